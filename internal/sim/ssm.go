package sim

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// Limits of Parameter Store (facts: SSM; PutParameter's reference).
const (
	maxParameterVersions = 100
	maxStandardValue     = 4096
	maxAdvancedValue     = 8192
	maxParameterName     = 1011 // 2048 less the 1037 that AWS reserves; the ARN in front of it counts
	maxParameterLevels   = 15
	maxStandard          = 10_000  // parameters of the tier, in an account and region
	maxAdvanced          = 100_000 // (Parameter Store's quotas)
	parameterPageSize    = 50
)

// ssmState guards the read-modify-write of a parameter, so that of two
// creators without Overwrite one wins: it is used as a lock.
type ssmState struct {
	mu sync.Mutex
}

// parameter is a parameter with the versions that are kept, oldest first.
type parameter struct {
	Name     string             `json:"name"`
	Versions []parameterVersion `json:"versions"`
	Tags     []jsonTag          `json:"tags,omitempty"`
}

type parameterVersion struct {
	Version        int64     `json:"version"`
	Type           string    `json:"type"`
	Value          string    `json:"value"`
	Description    string    `json:"description,omitempty"`
	AllowedPattern string    `json:"allowed_pattern,omitempty"`
	Tier           string    `json:"tier"`
	Modified       time.Time `json:"modified"`
	ModifiedBy     string    `json:"modified_by"`
}

func (p *parameter) newest() parameterVersion { return p.Versions[len(p.Versions)-1] }

// version returns version n, if it is still kept.
func (p *parameter) version(n int64) (parameterVersion, bool) {
	for _, v := range p.Versions {
		if v.Version == n {
			return v, true
		}
	}
	return parameterVersion{}, false
}

func (c *Cloud) ssmOperations() map[string]func(*call) (any, error) {
	return map[string]func(*call) (any, error){
		"GetParameter":        c.getParameter,
		"GetParameters":       c.getParameters,
		"GetParameterHistory": c.getParameterHistory,
		"GetParametersByPath": c.getParametersByPath,
		"DescribeParameters":  c.describeParameters,
		"PutParameter":        c.putParameter,
		"DeleteParameter":     c.deleteParameter,
		"DeleteParameters":    c.deleteParameters,
	}
}

func (k *call) parameterKey(name string) string {
	return "ssm/" + k.account + "/" + k.region + "/" + name
}

// parameterARN has one slash between "parameter" and the name, whether the
// name begins with one or not.
func (k *call) parameterARN(name string) string {
	return "arn:aws:ssm:" + k.region + ":" + k.account + ":parameter/" + strings.TrimPrefix(name, "/")
}

// mayUseParameter asks whether the caller may do action on a parameter and
// notes the parameter for the journal.
func (c *Cloud) mayUseParameter(k *call, action, name string, more keys) error {
	k.resource = k.parameterARN(name)
	if p, ok := c.loadParameter(k, name); ok {
		more = more.joined(resourceTags(tagsOf(p.Tags), "ssm:resourceTag"))
	}
	return c.allowed(k.asker(), "ssm:"+action, k.resource, more)
}

// loadParameter returns what all readers share: a change makes a new one.
func (c *Cloud) loadParameter(k *call, name string) (*parameter, bool) {
	p, ok := shared[parameter](c.store, k.parameterKey(name))
	if !ok || len(p.Versions) == 0 {
		return nil, false
	}
	return p, true
}

func ssmInvalid(format string, args ...any) error {
	return faultf(http.StatusBadRequest, "ValidationException", format, args...)
}

// parameterNotFound has no message: Parameter Store sends none.
func parameterNotFound() error { return faultf(http.StatusBadRequest, "ParameterNotFound", "") }

// parameterRef is a parameter as a reader names it: by name or full ARN, with
// a version or a label behind a colon.
type parameterRef struct{ name, selector string }

// parseParameterRef reads a reference. ok is false for the ARN of another
// account or region: shared parameters are not modelled.
func (c *Cloud) parseParameterRef(k *call, s string) (ref parameterRef, ok bool) {
	path, isARN := s, false
	if strings.HasPrefix(s, "arn:") {
		prefix := strings.TrimSuffix(k.parameterARN(""), "/")
		if path, isARN = strings.CutPrefix(s, prefix); !isARN {
			return ref, false
		}
	}
	ref.name, ref.selector, _ = strings.Cut(path, ":")
	if isARN {
		// The ARN of "x" and of "/x" is the same.
		if _, found := c.loadParameter(k, ref.name); !found {
			ref.name = strings.TrimPrefix(ref.name, "/")
		}
	}
	return ref, true
}

// lookup finds the version that a reference names.
func (c *Cloud) lookupParameter(k *call, s string) (parameterRef, parameterVersion, error) {
	ref, ok := c.parseParameterRef(k, s)
	if !ok {
		return ref, parameterVersion{}, parameterNotFound()
	}
	p, ok := c.loadParameter(k, ref.name)
	if !ok {
		return ref, parameterVersion{}, parameterNotFound()
	}
	if ref.selector == "" {
		return ref, p.newest(), nil
	}
	n, err := strconv.ParseInt(ref.selector, 10, 64)
	v, ok := p.version(n)
	if err != nil || !ok { // labels can't be set here, so none is ever found
		return ref, v, faultf(http.StatusBadRequest, "ParameterVersionNotFound",
			"Systems Manager could not find version %s of %s. Verify the version and try again.", ref.selector, ref.name)
	}
	return ref, v, nil
}

// parameterView is a Parameter as GetParameter answers it.
type parameterView struct {
	Name             string
	Type             string
	Value            string
	Version          int64
	Selector         string `json:",omitempty"`
	LastModifiedDate float64
	ARN              string
	DataType         string
}

func viewParameter(k *call, ref parameterRef, v parameterVersion, decrypt bool) parameterView {
	view := parameterView{Name: ref.name, Type: v.Type, Value: v.visible(decrypt), Version: v.Version,
		LastModifiedDate: epoch(v.Modified), ARN: k.parameterARN(ref.name), DataType: "text"}
	if ref.selector != "" {
		view.Selector = ":" + ref.selector
	}
	return view
}

// visible is the value as a reader gets it: a SecureString that is not asked
// to be decrypted is an opaque text. KMS is not modelled.
func (v parameterVersion) visible(decrypt bool) string {
	if v.Type != "SecureString" || decrypt {
		return v.Value
	}
	sum := sha256.Sum256([]byte("ciphertext of\x00" + v.Modified.String() + "\x00" + v.Value))
	return "AQICAHh" + base64.StdEncoding.EncodeToString(sum[:])
}

// epoch is a timestamp of the JSON 1.1 protocol: seconds, with milliseconds.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (c *Cloud) getParameter(k *call) (any, error) {
	var in struct {
		Name           string
		WithDecryption bool
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	if in.Name == "" {
		return nil, ssmInvalid("1 validation error detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1.")
	}
	ref, _ := c.parseParameterRef(k, in.Name)
	if err := c.mayUseParameter(k, "GetParameter", ref.name, nil); err != nil {
		return nil, err
	}
	ref, v, err := c.lookupParameter(k, in.Name)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Parameter": viewParameter(k, ref, v, in.WithDecryption)}, nil
}

func (c *Cloud) getParameters(k *call) (any, error) {
	var in struct {
		Names          []string
		WithDecryption bool
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	if err := checkParameterNames(in.Names); err != nil {
		return nil, err
	}
	found, missing := []parameterView{}, []string{}
	for _, name := range in.Names {
		ref, _ := c.parseParameterRef(k, name)
		if err := c.mayUseParameter(k, "GetParameters", ref.name, nil); err != nil {
			return nil, err
		}
		ref, v, err := c.lookupParameter(k, name)
		if err != nil {
			missing = append(missing, name)
			continue
		}
		found = append(found, viewParameter(k, ref, v, in.WithDecryption))
	}
	return map[string]any{"Parameters": found, "InvalidParameters": missing}, nil
}

// checkParameterNames holds GetParameters and DeleteParameters to 1–10 names.
func checkParameterNames(names []string) error {
	const detected = "1 validation error detected: Value '[%s]' at 'names' failed to satisfy constraint: Member must have length %s"
	switch joined := strings.Join(names, ", "); {
	case len(names) == 0:
		return ssmInvalid(detected, joined, "greater than or equal to 1")
	case len(names) > 10:
		return ssmInvalid(detected, joined, "less than or equal to 10")
	}
	return nil
}

// parameterHistoryView is a ParameterHistory.
type parameterHistoryView struct {
	Name             string
	Type             string
	KeyID            string `json:"KeyId,omitempty"`
	LastModifiedDate float64
	LastModifiedUser string
	Description      string `json:",omitempty"`
	Value            string
	AllowedPattern   string `json:",omitempty"`
	Version          int64
	Labels           []string
	Tier             string
	Policies         []string
	DataType         string
}

func (c *Cloud) getParameterHistory(k *call) (any, error) {
	var in struct {
		Name           string
		WithDecryption bool
		MaxResults     *int
		NextToken      string
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	size := parameterPageSize
	if in.MaxResults != nil {
		size = *in.MaxResults
	}
	if size < 1 || size > parameterPageSize {
		return nil, ssmInvalid("1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value between 1 and %d", size, parameterPageSize)
	}
	ref, ok := c.parseParameterRef(k, in.Name)
	if err := c.mayUseParameter(k, "GetParameterHistory", ref.name, nil); err != nil {
		return nil, err
	}
	p, found := c.loadParameter(k, ref.name)
	if !ok || !found {
		return nil, parameterNotFound()
	}
	after, err := decodeVersionToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	return historyPage(p, after, size, in.WithDecryption), nil
}

// historyPage returns up to size versions newer than after, oldest first.
func historyPage(p *parameter, after int64, size int, decrypt bool) map[string]any {
	page := []parameterHistoryView{}
	answer := map[string]any{}
	for _, v := range p.Versions {
		if v.Version <= after {
			continue
		}
		if len(page) == size {
			answer["NextToken"] = encodeVersionToken(page[len(page)-1].Version)
			break
		}
		entry := parameterHistoryView{Name: p.Name, Type: v.Type, LastModifiedDate: epoch(v.Modified),
			LastModifiedUser: v.ModifiedBy, Description: v.Description, Value: v.visible(decrypt),
			AllowedPattern: v.AllowedPattern, Version: v.Version, Labels: []string{}, Tier: v.Tier,
			Policies: []string{}, DataType: "text"}
		if v.Type == "SecureString" {
			entry.KeyID = defaultParameterKey
		}
		page = append(page, entry)
	}
	answer["Parameters"] = page
	return answer
}

func encodeVersionToken(version int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte("v" + strconv.FormatInt(version, 10)))
}

func decodeVersionToken(token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	digits, ok := strings.CutPrefix(string(raw), "v")
	version, parseErr := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || parseErr != nil {
		return 0, faultf(http.StatusBadRequest, "InvalidNextToken", "The specified token isn't valid.")
	}
	return version, nil
}

func (c *Cloud) deleteParameter(k *call) (any, error) {
	var in struct{ Name string }
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	return nil, c.removeParameter(k, "DeleteParameter", in.Name)
}

// removeParameter deletes a parameter with its history; one created again
// begins with version 1.
func (c *Cloud) removeParameter(k *call, action, name string) error {
	if err := c.mayUseParameter(k, action, name, nil); err != nil {
		return err
	}
	c.ssm.mu.Lock()
	defer c.ssm.mu.Unlock()
	if _, ok := c.loadParameter(k, name); !ok {
		return parameterNotFound()
	}
	return c.store.delete(k.parameterKey(name))
}

func (c *Cloud) deleteParameters(k *call) (any, error) {
	var in struct{ Names []string }
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	if err := checkParameterNames(in.Names); err != nil {
		return nil, err
	}
	deleted, missing := []string{}, []string{}
	for _, name := range in.Names {
		err := c.removeParameter(k, "DeleteParameters", name)
		var f *fault
		switch {
		case err == nil:
			deleted = append(deleted, name)
		case errors.As(err, &f) && f.Code == "ParameterNotFound":
			missing = append(missing, name)
		default:
			return nil, err
		}
	}
	return map[string]any{"DeletedParameters": deleted, "InvalidParameters": missing}, nil
}

var (
	parameterNamePattern  = pattern.New(`^[a-zA-Z0-9_.\-/]+$`)
	nestedParameterValues = pattern.New(`(?s)\{\{.*\}\}`)
)
