package assume

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// maxAnswer bounds an answer that is read.
const maxAnswer = 16 << 20

// answer is a response as it was on the wire. Of an error, code and message are
// what the service's protocol makes of it.
type answer struct {
	call          string
	status        int
	header        http.Header
	body          []byte
	code, message string
}

func (x answer) String() string {
	return fmt.Sprintf("%s: %d %s %.400s", x.call, x.status, x.code, x.body)
}

// at is the JSON value at a path of member names and positions, separated by
// dots; nil if there is none.
func (x answer) at(path string) any {
	var value any
	if json.Unmarshal(x.body, &value) != nil {
		return nil
	}
	if path == "" {
		return value
	}
	for name := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// text is the value at a path as text: "" if there is none.
func (x answer) text(path string) string {
	switch v := x.at(path).(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(raw)
	}
}

// count is the length of the list at a path, -1 if there is no list.
func (x answer) count(path string) int {
	list, ok := x.at(path).([]any)
	if !ok {
		return -1
	}
	return len(list)
}

// element is the text of the first XML element of that name.
func (x answer) element(name string) string {
	d := xml.NewDecoder(bytes.NewReader(x.body))
	for {
		token, err := d.Token()
		if err != nil {
			return ""
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == name {
			var text string
			if d.DecodeElement(&text, &start) != nil {
				return ""
			}
			return text
		}
	}
}

// want ends the assumption unless the call was answered with the status.
func (x answer) want(t T, status int) answer {
	t.Helper()
	if x.status != status {
		t.Fatalf("want %d: %s", status, x)
	}
	return x
}

// refused fails the assumption unless the call was refused with the status, the
// code, and a message that has part in it.
func (x answer) refused(t T, status int, code, part string) {
	t.Helper()
	if x.status != status || x.code != code || !strings.Contains(x.message, part) {
		t.Errorf("want %d %s with %q: %s", status, code, part, x)
	}
}

// same fails the assumption unless got is want.
func same(t T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %q, want %q", what, got, want)
	}
}

// host of a service, as AWS names it.
func (a *Account) host(service string) string {
	if a.Endpoint != "" {
		return strings.TrimSuffix(a.Endpoint, "/")
	}
	switch service {
	case "iam":
		return "https://iam.amazonaws.com"
	case "ecr":
		return "https://api.ecr." + a.Region + ".amazonaws.com"
	}
	return "https://" + service + "." + a.Region + ".amazonaws.com"
}

// signingRegion of a service: IAM is global.
func (a *Account) signingRegion(service string) string {
	if service == "iam" && a.Endpoint == "" {
		return "us-east-1"
	}
	return a.Region
}

func (a *Account) request(t T, method, target string, body []byte, header map[string]string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		t.Fatalf("making a request: %v", err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	return r
}

// sign signs a request as AWS's own signer does.
func (a *Account) sign(t T, r *http.Request, service string, body []byte) {
	t.Helper()
	keys, err := a.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatalf("getting credentials: %v", err)
	}
	sum := sha256.Sum256(body)
	name := strings.TrimSuffix(service, "-control")
	err = v4.NewSigner().SignHTTP(t.Context(), keys, r, hex.EncodeToString(sum[:]), name, a.signingRegion(service), a.now())
	if err != nil {
		t.Fatalf("signing: %v", err)
	}
}

// throttled says whether a call may be sent again: a real account has limits.
func throttled(status int) bool { return status == http.StatusTooManyRequests || status == 503 }

// send sends a request and reads the answer.
func (a *Account) send(t T, call string, r *http.Request) answer {
	t.Helper()
	x := answer{call: call}
	for attempt := range 4 {
		body, err := r.GetBody()
		if err != nil {
			t.Fatalf("%s: %v", call, err)
		}
		r.Body = body
		response, err := a.Client.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", call, err)
		}
		x.status, x.header = response.StatusCode, response.Header
		x.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		_ = response.Body.Close() // read to its end
		if err != nil {
			t.Fatalf("%s: %v", call, err)
		}
		if !throttled(x.status) || a.wait(t.Context(), a.Pause<<attempt) != nil {
			break
		}
	}
	return x
}

func (a *Account) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// wait waits, or less if the context ends.
func (a *Account) wait(ctx context.Context, d time.Duration) error {
	if a.Wait != nil {
		return a.Wait(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// core calls AgentCore's control plane (rest-json). body is marshalled.
func (a *Account) core(t T, method, path string, body any) answer {
	t.Helper()
	return a.rest(t, "bedrock-agentcore-control", method, path, encode(t, body), nil)
}

// data calls AgentCore's data plane.
func (a *Account) data(t T, path string, payload string, header map[string]string) answer {
	t.Helper()
	return a.rest(t, "bedrock-agentcore", http.MethodPost, path, []byte(payload), header)
}

func (a *Account) rest(t T, service, method, path string, body []byte, header map[string]string) answer {
	t.Helper()
	r := a.request(t, method, a.host(service)+path, body, header)
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	a.sign(t, r, service, body)
	x := a.send(t, method+" "+path, r)
	x.code, _, _ = strings.Cut(x.header.Get("X-Amzn-ErrorType"), ":")
	x.message = x.text("message")
	return x
}

// targets of the JSON 1.1 services.
func targetOf(service string) string {
	return map[string]string{"ecr": "AmazonEC2ContainerRegistry_V20150921", "ssm": "AmazonSSM", "logs": "Logs_20140328"}[service]
}

// json11 calls an operation of a JSON 1.1 service.
func (a *Account) json11(t T, service, operation string, in any) answer {
	t.Helper()
	body := encode(t, in)
	r := a.request(t, http.MethodPost, a.host(service)+"/", body, map[string]string{
		"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": targetOf(service) + "." + operation})
	a.sign(t, r, service, body)
	x := a.send(t, service+":"+operation, r)
	if x.status != http.StatusOK {
		kind := x.text("__type")
		x.code, x.message = kind[strings.LastIndexByte(kind, '#')+1:], x.text("message")
		if x.message == "" {
			x.message = x.text("Message")
		}
	}
	return x
}

// form is a Query call's parameters: names and values in turn.
type form []string

// query calls an operation of a Query service; version is the API's.
func (a *Account) query(t T, service, version, action string, signed bool, parameters form) answer {
	t.Helper()
	values := url.Values{"Action": {action}, "Version": {version}}
	for i := 0; i+1 < len(parameters); i += 2 {
		values.Set(parameters[i], parameters[i+1])
	}
	body := []byte(values.Encode())
	r := a.request(t, http.MethodPost, a.host(service)+"/", body, map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})
	if signed {
		a.sign(t, r, service, body)
	}
	x := a.send(t, service+":"+action, r)
	if x.status != http.StatusOK {
		x.code, x.message = x.element("Code"), x.element("Message")
	}
	return x
}

// docker calls ECR's registry with a login, "" for none. target is a path, or a
// URL that the registry gave.
func (a *Account) docker(t T, login, method, target string, body []byte, header map[string]string) answer {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = a.registryHost(t) + target
	}
	r := a.request(t, method, target, body, header)
	if login != "" {
		r.Header.Set("Authorization", "Basic "+login)
	}
	x := a.send(t, method+" "+r.URL.Path, r)
	if x.status >= http.StatusBadRequest {
		x.code, x.message = x.text("errors.0.code"), x.text("errors.0.message")
	}
	return x
}

func encode(t T, v any) []byte {
	t.Helper()
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return []byte(v)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("encoding a request: %v", err)
	}
	return raw
}

// errPatience is what eventually ends with.
var errPatience = errors.New("it took too long")

// eventually asks until done says so.
func (a *Account) eventually(t T, what string, done func() bool) {
	t.Helper()
	deadline := a.now().Add(a.Patience)
	for !done() {
		err := a.wait(t.Context(), a.Pause)
		if err == nil && a.now().After(deadline) {
			err = errPatience
		}
		if err != nil {
			t.Fatalf("waiting until %s: %v", what, err)
		}
	}
}

// later runs undo when the assumption has been asked, whatever came of it. The
// test's own context has ended by then.
func later(t T, undo func(T)) {
	t.Cleanup(func() { undo(lasting{t, context.WithoutCancel(t.Context())}) })
}

// lasting is a test whose context does not end with it.
type lasting struct {
	T
	ctx context.Context //nolint:containedctx // it stands in for the test's own
}

// Context of the cleanup.
func (l lasting) Context() context.Context { return l.ctx }

// name returns a new name that begins with the prefix: letters and digits.
func (a *Account) name() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count++
	return fmt.Sprintf("%s%02d", a.Prefix, a.count)
}
