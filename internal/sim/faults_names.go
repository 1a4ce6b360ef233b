package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// anyName stands for every service or operation.
const anyName = "*"

// operationNames lists the operations that a fault can befall, by service,
// under the names that the journal uses.
func (c *Cloud) operationNames() map[string][]string {
	names := map[string][]string{"github": {actionDiscovery, actionKeySet, actionToken}}
	for service, table := range map[string]map[string]func(*call) (any, error){
		"sts": c.stsOperations(), "iam": c.iamOperations(), "ssm": c.ssmOperations(),
		"ecr": c.ecrOperations(), "logs": c.logsOperations(),
	} {
		names[service] = slices.Collect(maps.Keys(table))
	}
	for _, op := range c.runtimeRoutes() {
		if op.run != nil {
			names["bedrock-agentcore"] = append(names["bedrock-agentcore"], op.name)
		}
	}
	for _, table := range []map[string]route{pingRoutes(), manifestRoutes(), blobRoutes(), startRoutes(), uploadRoutes(), referrerRoutes(), tagRoutes()} {
		for _, r := range table {
			names["registry"] = append(names["registry"], r.action)
		}
	}
	for _, r := range c.githubRoutes() {
		names["github"] = append(names["github"], r.name)
	}
	for service, list := range names {
		slices.Sort(list)
		names[service] = slices.Compact(list)
	}
	return names
}

// completeFault checks a fault and fills in what an error's code usually comes
// with.
func (c *Cloud) completeFault(f *Fault) error {
	if err := c.checkNames(f); err != nil {
		return err
	}
	if f.Skip < 0 || f.Times < 0 {
		return errors.New("skip and times can't be negative")
	}
	switch f.Effect {
	case EffectError:
		return completeError(f)
	case EffectLatency:
		if f.Latency <= 0 {
			return errors.New("a latency is longer than nothing")
		}
	case EffectStuck:
		return checkStuck(f)
	case EffectCorrupt:
		if f.Service != "registry" || !slices.Contains([]string{"GetBlob", "GetManifest", "UploadBlob", "CompleteUpload", "PutManifest"}, f.Operation) {
			return errors.New("what can be corrupt are registry:GetBlob, GetManifest, UploadBlob, CompleteUpload and PutManifest")
		}
	case EffectHang, EffectHold, EffectLost, EffectDrop, EffectTruncate:
	default:
		return fmt.Errorf("there is no effect %q", f.Effect)
	}
	return nil
}

// checkNames refuses a service or operation that the cloud does not serve: a
// fault that can never happen would make a test pass for nothing.
func (c *Cloud) checkNames(f *Fault) error {
	all := c.operationNames()
	if f.Service != anyName && all[f.Service] == nil {
		return fmt.Errorf("there is no service %q; %s", f.Service, nearest(f.Service, slices.Sorted(maps.Keys(all))))
	}
	if f.Operation == anyName {
		return nil
	}
	operations := all[f.Service]
	if f.Service == anyName {
		for _, list := range all {
			operations = append(operations, list...)
		}
		slices.Sort(operations)
	}
	if !slices.Contains(operations, f.Operation) {
		return fmt.Errorf("%s has no operation %q; %s", f.Service, f.Operation, nearest(f.Operation, operations))
	}
	return nil
}

// nearest suggests the name that was probably meant, or lists them all.
func nearest(word string, names []string) string {
	best, least := "", len(word)/3+1
	for _, name := range names {
		if d := distance(strings.ToLower(word), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "there are " + strings.Join(names, ", ")
}

// distance counts the characters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// checkStuck takes any status but READY: one that nobody knows yet, too.
func checkStuck(f *Fault) error {
	makers := []string{"CreateAgentRuntime", "CreateAgentRuntimeEndpoint", "UpdateAgentRuntime", "UpdateAgentRuntimeEndpoint"}
	if f.Service != "bedrock-agentcore" || !slices.Contains(makers, f.Operation) {
		return errors.New("what can be stuck is what these begin: bedrock-agentcore:" + strings.Join(makers, ", "))
	}
	if !regexp.MustCompile(`^[A-Z][A-Z_]{0,63}$`).MatchString(f.State) || f.State == statusReady {
		return fmt.Errorf("%q is no status to be stuck in; it is one such as %s, %s or REBALANCING", f.State, statusUpdating, statusUpdateFailed)
	}
	if f.Message == "" && failed(f.State) {
		f.Message = "The service could not start the version"
	}
	return nil
}

// failed says whether a status is an end and not a wait.
func failed(state string) bool { return state == statusUpdateFailed || state == statusCreateFailed }

// usualError is what an error's code comes with.
type usualError struct {
	status  int
	message string
}

// usualErrors are the codes that clients meet in any service. The JSON
// services answer a refusal with 400 whatever the code (AWS JSON 1.1).
func usualErrors() map[string]usualError {
	throttled := usualError{http.StatusTooManyRequests, "Rate exceeded"}
	return map[string]usualError{
		"ThrottlingException":           throttled,
		"Throttling":                    throttled,
		"TooManyRequestsException":      throttled,
		"TOOMANYREQUESTS":               throttled,
		"ExpiredTokenException":         {http.StatusForbidden, "The security token included in the request is expired"},
		"ExpiredToken":                  {http.StatusForbidden, "The security token included in the request is expired"},
		"UnrecognizedClientException":   {http.StatusForbidden, "The security token included in the request is invalid."},
		"AccessDeniedException":         {http.StatusForbidden, "User is not authorized to perform this action"},
		"AccessDenied":                  {http.StatusForbidden, "User is not authorized to perform this action"},
		"DENIED":                        {http.StatusForbidden, "User is not authorized to perform this action"},
		"UNAUTHORIZED":                  {http.StatusUnauthorized, "Not Authorized"},
		"ValidationException":           {http.StatusBadRequest, "The request is not valid"},
		"ConflictException":             {http.StatusConflict, "The resource is being changed"},
		"RetryableConflictException":    {http.StatusConflict, "The resource is being changed; try again"},
		"ResourceNotFoundException":     {http.StatusNotFound, "The resource was not found"},
		"ServiceQuotaExceededException": {http.StatusPaymentRequired, "A quota is used up"},
		"InternalServerException":       {http.StatusInternalServerError, "An internal error occurred"},
		"InternalServerError":           {http.StatusInternalServerError, "An internal error occurred"},
		"InternalFailure":               {http.StatusInternalServerError, "An internal error occurred"},
		"ServerException":               {http.StatusInternalServerError, "An internal error occurred"},
		"UNKNOWN":                       {http.StatusInternalServerError, "An internal error occurred"},
		"ServiceUnavailable":            {http.StatusServiceUnavailable, "The service is unavailable"},
		"ServiceUnavailableException":   {http.StatusServiceUnavailable, "The service is unavailable"},
		"UNAVAILABLE":                   {http.StatusServiceUnavailable, "The service is unavailable"},
		"IDPCommunicationError":         {http.StatusBadRequest, "An error occurred while contacting the identity provider"},
		"BLOB_UNKNOWN":                  {http.StatusNotFound, "The layer does not exist"},
		"BLOB_UPLOAD_UNKNOWN":           {http.StatusNotFound, "The upload does not exist"},
		"MANIFEST_UNKNOWN":              {http.StatusNotFound, "Requested image not found"},
	}
}

// completeError gives an error the status and message that its code usually
// comes with, where it has none of its own.
func completeError(f *Fault) error {
	usual, known := usualErrors()[f.Code]
	if !known && f.Status == 0 {
		return fmt.Errorf("it is not known what status %q comes with: give one (%s)", f.Code, nearest(f.Code, sortedKeys(usualErrors())))
	}
	if f.Code == "" || f.Status != 0 && (f.Status < 400 || f.Status > 599) {
		return errors.New("an error has a code, and a status from 400 to 599")
	}
	if f.Status == 0 {
		f.Status = usual.status
		json11 := f.Service == "ssm" || f.Service == "ecr" || f.Service == "logs"
		if json11 && f.Status < 500 {
			f.Status = http.StatusBadRequest
		}
	}
	if f.Message == "" {
		f.Message = usual.message
	}
	return nil
}

// registryFault words AWS's codes as ECR's registry does; a login that has
// expired is told by its text (flipt-io/flipt#3043).
func registryFault(f *fault) {
	switch {
	case strings.HasPrefix(f.Code, "Throttling"), f.Code == "TooManyRequestsException":
		f.Code, f.Status = "TOOMANYREQUESTS", http.StatusTooManyRequests
	case strings.HasPrefix(f.Code, "ExpiredToken"):
		f.Code, f.Status = "DENIED", http.StatusForbidden
		f.Message = "Your authorization token has expired. Reauthenticate and try again."
	case strings.HasPrefix(f.Code, "Internal"), strings.HasPrefix(f.Code, "Server"):
		f.Code = "UNKNOWN"
	case strings.HasPrefix(f.Code, "ServiceUnavailable"):
		f.Code = "UNAVAILABLE"
	}
}

// named is what a call is about, as far as a fault asks: the names in its path
// and, of the services whose bodies hold them, in its body.
func (k *call) named() string {
	names := append(slices.Clone(k.params), k.URL.Query().Get("qualifier"))
	for _, member := range []string{"RoleArn", "RoleName", "OpenIDConnectProviderArn", "Url"} {
		names = append(names, k.form[member]...)
	}
	var body document
	if k.op.protocol == json11 && json.Unmarshal(k.body, &body) == nil {
		for _, member := range []string{"Name", "Names", "repositoryName", "repositoryNames", "logGroupName"} {
			names = append(names, string(body[member]))
		}
	}
	return strings.Join(names, " ")
}
