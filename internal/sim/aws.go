package sim

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Most bytes of a call's body. AgentCore's payloads are 100 MB at most; of the
// other calls UploadLayerPart has the largest, then PutImage: a manifest of 4 MiB
// within JSON.
const (
	maxPayload = 100_000_000
	maxBody    = 16 << 20
)

// maxStranger bounds the body of a call that names no key of the cloud's: a
// token, a form.
const maxStranger = 1 << 20

// bodyLimit of a request that nobody has vouched for yet: its signature covers
// the body, which has to be read first. Who names no key that is known is not
// given the room of the others.
func (c *Cloud) bodyLimit(r *http.Request) int64 {
	if _, scope, signed := strings.Cut(r.Header.Get("Authorization"), "Credential="); signed {
		id, _, _ := strings.Cut(scope, "/")
		if !c.store.get(keyRecord+id, &accessKey{}) {
			return maxStranger
		}
	} else if bearer(r) == "" {
		return maxStranger
	}
	if strings.HasPrefix(r.URL.Path, "/runtimes/") && strings.HasSuffix(r.URL.Path, "/invocations") {
		return c.maxPayload()
	}
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".UploadLayerPart") {
		return c.maxLayerPartBody()
	}
	return maxBody
}

func (c *Cloud) maxPayload() int64 {
	if c.payloadLimit > 0 {
		return c.payloadLimit
	}
	return maxPayload
}

// protocol is one of AWS's wire protocols.
type protocol int

const (
	queryXML protocol = iota // STS, IAM
	json11                   // ECR, SSM, Logs
	restJSON                 // AgentCore
)

// operation is one operation of a service.
type operation struct {
	service  string // as in the credential scope: sts, iam, ssm, ecr, logs, bedrock-agentcore
	name     string
	protocol protocol
	unsigned bool // AssumeRoleWithWebIdentity alone
	// run answers the call. A returned *fault is rendered as the service
	// renders its errors; any other error is an InternalFailure.
	run func(*call) (any, error)
}

// call is one request to an operation.
type call struct {
	*http.Request
	op        operation
	id        string
	at        time.Time
	body      []byte
	form      url.Values // queryXML
	params    []string   // restJSON: labels of the path, decoded
	principal principal
	account   string // the caller's, or the default one where unsigned
	region    string // of the credential scope
	resource  string // set by run: the ARN that was acted on, for the journal
	// answer is set by run where it writes the response itself (streams).
	answer http.ResponseWriter
	wrote  bool
	hit    *hit // what befalls it
	// decisions are what the permission policies said.
	decisions []Decision
}

// decode reads a JSON body into v, by exact names. Unknown members are ignored,
// as AWS's JSON protocols do.
func (k *call) decode(v any) error {
	if len(bytes.TrimSpace(k.body)) == 0 {
		return nil
	}
	if err := exact(k.body, v); err != nil {
		return &fault{Code: "SerializationException", Status: 400, Message: "the request's body could not be read: " + err.Error()}
	}
	return nil
}

// reply is an answer with a status or headers of its own.
type reply struct {
	status int
	header http.Header
	body   any
}

// fault is an error as AWS answers it.
type fault struct {
	Code    string
	Status  int
	Message string
	Fields  map[string]any // further members (rest-json's reason, fieldList)
	// header is set besides; raw, where there is one, is the whole body in
	// place of the service's own form (rest-json: AgentCore's protocols).
	header http.Header
	raw    []byte
	// why is what the caller is not told: it goes to the journal.
	why string
}

func (f *fault) Error() string { return f.Code + ": " + f.Message }

// reason is the error with what the caller is not told.
func (f *fault) reason() string {
	if f.why == "" {
		return f.Error()
	}
	return f.Error() + ": " + f.why
}

func faultf(status int, code, format string, args ...any) *fault {
	return &fault{Code: code, Status: status, Message: fmt.Sprintf(format, args...)}
}

// serveAWS answers one call of an AWS service: finds the operation, checks the
// signature, asks whether the principal may, and runs it.
func (c *Cloud) serveAWS(w http.ResponseWriter, r *http.Request) {
	k := &call{Request: r, id: newRequestID(), at: c.now().UTC(), account: c.Account, region: c.Region, answer: w, hit: &hit{}}
	k.principal.arn = "anonymous"
	body, err := readBody(r, c.bodyLimit(r))
	k.body = body
	var result any
	if err == nil {
		result, err = c.dispatch(k)
	} else {
		_ = c.identify(k) // so that the refusal is worded as the service words it
	}
	status := c.respond(k.answer, k, result, err)
	entry := Call{Time: k.at, Principal: k.principal.arn, Service: k.op.service, Action: k.op.name,
		Resource: k.resource, Method: r.Method, Path: r.URL.Path, Bytes: int64(len(body)),
		Status: status, Allowed: true, RequestID: k.id, Fault: k.hit.mark(), Decisions: k.decisions}
	if f := asFault(err); f != nil && (denies(f) || k.principal.arn == "anonymous") {
		entry.Allowed, entry.Why = false, f.reason()
	}
	c.journal.add(entry)
	k.hit.end(r.Context())
}

// denies says whether a fault is a refusal of the caller. The JSON protocols
// answer some of them with 400.
func denies(f *fault) bool {
	return f.Status == http.StatusForbidden || strings.HasPrefix(f.Code, "AccessDenied")
}

func (c *Cloud) dispatch(k *call) (any, error) {
	if err := c.identify(k); err != nil {
		return nil, err
	}
	if !k.op.unsigned {
		if err := c.authenticate(k); err != nil {
			return nil, err
		}
	}
	k.hit = c.befall(k.op.service, k.op.name, k.named())
	k.answer = k.hit.answer(k.answer)
	if err := k.hit.begin(k.Context()); err != nil {
		return nil, err
	}
	return c.perform(k)
}

// perform runs the operation. The others ask the policies once they have read
// what they are about; IAM is asked for before anything.
func (c *Cloud) perform(k *call) (any, error) {
	if k.op.service == "iam" {
		if err := c.mayIAM(k); err != nil {
			return nil, k.wordDenial(err)
		}
	}
	result, err := k.op.run(k)
	return result, k.wordDenial(err)
}

// identify finds the operation that a request names.
func (c *Cloud) identify(k *call) error {
	if target := k.Header.Get("X-Amz-Target"); target != "" {
		return c.identifyTarget(k, target)
	}
	if k.URL.Path == "/runtimes" || strings.HasPrefix(k.URL.Path, "/runtimes/") {
		return c.identifyRuntime(k)
	}
	if k.Method == http.MethodPost && k.URL.Path == "/" && strings.HasPrefix(k.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return c.identifyAction(k)
	}
	return faultf(http.StatusNotFound, "UnknownOperationException", "the local cloud does not serve %s %s", k.Method, k.URL.Path)
}

// identifyTarget reads X-Amz-Target: <service target>.<operation>.
func (c *Cloud) identifyTarget(k *call, target string) error {
	prefix, name, _ := strings.Cut(target, ".")
	k.op = operation{name: name, protocol: json11}
	if k.Method != http.MethodPost || k.URL.Path != "/" {
		return faultf(http.StatusNotFound, "UnknownOperationException", "%s is called by POST /, not by %s %s", target, k.Method, k.URL.Path)
	}
	var table map[string]func(*call) (any, error)
	switch prefix {
	case "AmazonEC2ContainerRegistry_V20150921":
		k.op.service, table = "ecr", c.ecrOperations()
	case "AmazonSSM":
		k.op.service, table = "ssm", c.ssmOperations()
	case "Logs_20140328":
		k.op.service, table = "logs", c.logsOperations()
	default:
		return faultf(http.StatusBadRequest, "UnknownOperationException", "the local cloud has no service behind the target %q", target)
	}
	return k.find(table)
}

// identifyAction reads the form of a Query call: Action and Version.
func (c *Cloud) identifyAction(k *call) error {
	k.op = operation{protocol: queryXML}
	form, err := url.ParseQuery(string(k.body))
	if err != nil {
		return faultf(http.StatusBadRequest, "MalformedQueryString", "the form could not be read: %v", err)
	}
	k.form, k.op.name = form, form.Get("Action")
	var table map[string]func(*call) (any, error)
	switch version := form.Get("Version"); version {
	case "2011-06-15":
		k.op.service, table = "sts", c.stsOperations()
		k.op.unsigned = k.op.name == "AssumeRoleWithWebIdentity"
	case "2010-05-08":
		k.op.service, table = "iam", c.iamOperations()
	default:
		return faultf(http.StatusBadRequest, "InvalidAction", "the local cloud has no service with API version %q", version)
	}
	return k.find(table)
}

// find takes the operation from its service's table; one that is not there
// fails loudly.
func (k *call) find(table map[string]func(*call) (any, error)) error {
	run, ok := table[k.op.name]
	if !ok {
		code := "UnknownOperationException"
		if k.op.protocol == queryXML {
			code = "InvalidAction"
		}
		return faultf(http.StatusBadRequest, code, "the local cloud does not implement %s:%s", k.op.service, k.op.name)
	}
	k.op.run = run
	return nil
}

// respond writes the answer of a call and returns its status.
func (c *Cloud) respond(w http.ResponseWriter, k *call, result any, err error) int {
	if err != nil {
		f := asFault(err)
		if f == nil {
			c.warn("%s:%s: %v", k.op.service, k.op.name, err)
			f = faultf(http.StatusInternalServerError, serverFault(k.op.service), "the local cloud failed: %v", err)
		}
		return k.writeFault(w, f)
	}
	if k.wrote {
		return http.StatusOK
	}
	status, body := http.StatusOK, result
	if r, ok := result.(*reply); ok {
		status, body = r.status, r.body
		for name, values := range r.header {
			w.Header()[name] = values
		}
	}
	return k.writeResult(w, status, body)
}

// serverFault is the code of a service that fails itself, as on a full disk:
// the model's error with "fault": true, in STS the common InternalFailure.
func serverFault(service string) string {
	switch service {
	case "ecr":
		return "ServerException"
	case "ssm":
		return "InternalServerError"
	case "iam":
		return "ServiceFailure"
	case "logs":
		return "ServiceUnavailableException"
	case "bedrock-agentcore":
		return "InternalServerException"
	}
	return "InternalFailure"
}

func asFault(err error) *fault {
	var f *fault
	errors.As(err, &f)
	return f
}

func (k *call) writeResult(w http.ResponseWriter, status int, body any) int {
	w.Header().Set("X-Amzn-RequestId", k.id)
	var raw []byte
	var err error
	switch k.op.protocol {
	case queryXML:
		w.Header().Set("Content-Type", "text/xml")
		raw, err = queryResponse(k.op, k.id, body)
	case json11:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		raw, err = jsonBody(body)
	case restJSON:
		w.Header().Set("Content-Type", "application/json")
		raw, err = jsonBody(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return http.StatusInternalServerError
	}
	w.WriteHeader(status)
	_, _ = w.Write(raw) // the client has gone: nothing to tell it
	return status
}

func jsonBody(v any) ([]byte, error) {
	if v == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(v)
}

// xmlNamespaces of the Query services.
func xmlNamespace(service string) string {
	if service == "iam" {
		return "https://iam.amazonaws.com/doc/2010-05-08/"
	}
	return "https://sts.amazonaws.com/doc/2011-06-15/"
}

// queryResponse wraps a result: <OpResponse><OpResult>…</OpResult>
// <ResponseMetadata>. The result's exported fields are its elements.
func queryResponse(op operation, id string, result any) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<%sResponse xmlns="%s">`, op.name, xmlNamespace(op.service))
	if result != nil {
		start := xml.StartElement{Name: xml.Name{Local: op.name + "Result"}}
		if err := xml.NewEncoder(&b).EncodeElement(result, start); err != nil {
			return nil, fmt.Errorf("encoding the answer of %s: %w", op.name, err)
		}
	}
	fmt.Fprintf(&b, `<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>`, id, op.name)
	return b.Bytes(), nil
}

func (k *call) writeFault(w http.ResponseWriter, f *fault) int {
	w.Header().Set("X-Amzn-RequestId", k.id)
	for name, values := range f.header {
		w.Header()[name] = values
	}
	switch k.op.protocol {
	case json11:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		writeJSONFault(w, f, map[string]any{"__type": f.Code, "message": f.Message})
	case restJSON:
		if f.raw != nil {
			w.WriteHeader(f.Status)
			_, _ = w.Write(f.raw)
			return f.Status
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-ErrorType", f.Code)
		writeJSONFault(w, f, map[string]any{"message": f.Message})
	default:
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(f.Status)
		kind := "Sender"
		if f.Status >= 500 {
			kind = "Receiver"
		}
		var message bytes.Buffer
		_ = xml.EscapeText(&message, []byte(f.Message)) // a bytes.Buffer does not fail
		fmt.Fprintf(w, `<ErrorResponse xmlns="%s"><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`,
			xmlNamespace(k.op.service), kind, f.Code, message.String(), k.id)
	}
	return f.Status
}

func writeJSONFault(w http.ResponseWriter, f *fault, body map[string]any) {
	for name, value := range f.Fields {
		body[name] = value
	}
	raw, err := json.Marshal(body)
	if err != nil {
		raw = []byte("{}")
	}
	w.WriteHeader(f.Status)
	_, _ = w.Write(raw)
}

// readBody reads at most limit bytes and refuses more.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, faultf(http.StatusBadRequest, "RequestTimeout", "the request's body could not be read: %v", err)
	}
	if int64(len(body)) > limit {
		return nil, faultf(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "the request's body is larger than %d bytes", limit)
	}
	return body, nil
}
