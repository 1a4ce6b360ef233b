package agentcore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	runtimeID    = "support_dev-a1b2c3d4e5"
	runtimeARN   = "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/" + runtimeID
	canarySecret = "CANARY-secret-5d1e"
	canaryToken  = "CANARY-session-77aa"
	canaryBearer = "CANARY-bearer-0c0c"
)

func config() aws.Config {
	return aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("ASIAKEY", canarySecret, canaryToken)}
}

// answer is one answer of the remote that the tests talk to.
type answer struct {
	status int
	header map[string]string
	body   string
	err    error
}

func code(status int, name, message string) answer {
	return answer{status: status, header: map[string]string{"X-Amzn-ErrorType": name + ":http://internal.amazon.com/"}, body: `{"message":"` + message + `"}`}
}

// remote gives its answers one by one, the last one for ever, and keeps the
// requests and their bodies.
type remote struct {
	answers  []answer
	requests []*http.Request
	bodies   []string
	times    []time.Time
}

// Do wraps an error as http.Client does.
func (f *remote) Do(r *http.Request) (*http.Response, error) {
	resp, err := f.RoundTrip(r)
	if err != nil {
		return nil, &url.Error{Op: r.Method, URL: r.URL.String(), Err: err}
	}
	return resp, nil
}

func (f *remote) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	a := f.answers[min(len(f.requests), len(f.answers)-1)]
	f.requests, f.bodies, f.times = append(f.requests, r), append(f.bodies, string(body)), append(f.times, time.Now())
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if a.err != nil {
		return nil, a.err
	}
	header := http.Header{"Content-Type": {"application/json"}, "X-Amzn-Requestid": {"req-1"}}
	for name, value := range a.header {
		header.Set(name, value)
	}
	return &http.Response{StatusCode: a.status, Header: header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func client(answers ...answer) (*Client, *remote) {
	f := &remote{answers: answers}
	return &Client{Config: config(), HTTP: f, UserAgent: "slipway/test"}, f
}

func TestWire(t *testing.T) {
	const control = "https://bedrock-agentcore-control.us-east-1.amazonaws.com"
	const data = "https://bedrock-agentcore.us-east-1.amazonaws.com"
	escapedARN := "arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A111122223333%3Aruntime%2F" + runtimeID
	tests := []struct {
		name   string
		call   func(*Client) error
		method string
		url    string
		body   string
	}{
		{"get", func(c *Client) error { _, err := c.Get(t.Context(), runtimeID, ""); return err },
			"GET", control + "/runtimes/" + runtimeID + "/", ""},
		{"get a version", func(c *Client) error { _, err := c.Get(t.Context(), runtimeID, "7"); return err },
			"GET", control + "/runtimes/" + runtimeID + "/?version=7", ""},
		{"a hostile id stays a label", func(c *Client) error { _, err := c.Get(t.Context(), "../x?y=%2F", ""); return err },
			"GET", control + "/runtimes/..%2Fx%3Fy%3D%252F/", ""},
		{"update", func(c *Client) error {
			_, err := c.Update(t.Context(), runtimeID, delivery.Document(`{"z":{"new":[1.0,"<é>"]},"clientToken":"old","big":12345678901234567890}`), "token")
			return err
		}, "PUT", control + "/runtimes/" + runtimeID + "/", `{"big":12345678901234567890,"clientToken":"token","z":{"new":[1.0,"<é>"]}}`},
		{"endpoint", func(c *Client) error { _, err := c.Endpoint(t.Context(), runtimeID, "DEFAULT"); return err },
			"GET", control + "/runtimes/" + runtimeID + "/runtime-endpoints/DEFAULT/", ""},
		{"create", func(c *Client) error {
			_, err := c.Create(t.Context(), delivery.Document(`{"agentRuntimeName":"n"}`), "token")
			return err
		}, "PUT", control + "/runtimes/", `{"agentRuntimeName":"n","clientToken":"token"}`},
		{"create an endpoint", func(c *Client) error { return c.CreateEndpoint(t.Context(), runtimeID, "live", "3", "token") },
			"PUT", control + "/runtimes/" + runtimeID + "/runtime-endpoints/", `{"agentRuntimeVersion":"3","clientToken":"token","name":"live"}`},
		{"move an endpoint", func(c *Client) error { return c.MoveEndpoint(t.Context(), runtimeID, "live", "3", "token") },
			"PUT", control + "/runtimes/" + runtimeID + "/runtime-endpoints/live/", `{"agentRuntimeVersion":"3","clientToken":"token"}`},
		{"invoke", func(c *Client) error {
			_, err := c.Invoke(t.Context(), delivery.Invocation{RuntimeARN: runtimeARN, Endpoint: "live", Session: "s", Payload: []byte(`{"prompt":"ping"}`)})
			return err
		}, "POST", data + "/runtimes/" + escapedARN + "/invocations?qualifier=live", `{"prompt":"ping"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, f := client(answer{status: 202, body: `{}`})
			if err := tt.call(c); err != nil {
				t.Fatal(err)
			}
			r := f.requests[0]
			if r.Method != tt.method || r.URL.String() != tt.url || f.bodies[0] != tt.body {
				t.Errorf("sent %s %s\n%s\nwant %s %s\n%s", r.Method, r.URL, f.bodies[0], tt.method, tt.url, tt.body)
			}
			auth := r.Header.Get("Authorization")
			if !strings.Contains(auth, "/us-east-1/bedrock-agentcore/aws4_request") || r.Header.Get("User-Agent") != "slipway/test" ||
				r.Header.Get("X-Amz-Security-Token") != canaryToken {
				t.Errorf("headers %v", r.Header)
			}
		})
	}
}

// The signature of a path with an ARN in it is the one that AWS's own client
// makes.
func TestSignatureIsTheSDKs(t *testing.T) {
	cfg := config()
	capture := &remote{answers: []answer{{status: 200, body: `{}`}}}
	cfg.HTTPClient = capture
	cfg.RetryMaxAttempts = 1
	_, err := bedrockagentcore.NewFromConfig(cfg).InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: aws.String(runtimeARN), Qualifier: aws.String("li ve"), Payload: []byte(`{"prompt":"ü"}`),
		RuntimeSessionId: aws.String(strings.Repeat("s", 33)), ContentType: aws.String("application/json")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = bedrockagentcorecontrol.NewFromConfig(cfg).GetAgentRuntime(t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{
		AgentRuntimeId: aws.String(runtimeID), AgentRuntimeVersion: aws.String("7")})
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Config: config()}
	data := c.data("InvokeAgentRuntime", "invocations", runtimeARN, "li ve", "")
	control := c.control("GetAgentRuntime", "", "GET", runtimeID)
	control.query.Set("version", "7")
	for i, r := range []*request{data, control} {
		theirs := capture.requests[i]
		req, err := http.NewRequest(theirs.Method, r.base+r.path+"?"+r.query.Encode(), strings.NewReader(capture.bodies[i]))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = theirs.Header.Clone()
		req.Header.Del("Authorization")
		at, err := time.Parse("20060102T150405Z", theirs.Header.Get("X-Amz-Date"))
		if err != nil {
			t.Fatal(err)
		}
		creds, err := cfg.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := sign(t.Context(), req, creds, "us-east-1", []byte(capture.bodies[i]), at); err != nil {
			t.Fatal(err)
		}
		if got, want := req.Header.Get("Authorization"), theirs.Header.Get("Authorization"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", theirs.URL, got, want)
		}
		if got, want := req.URL.EscapedPath(), theirs.URL.EscapedPath(); got != want {
			t.Errorf("path %s, want %s", got, want)
		}
	}
}

func TestRetries(t *testing.T) {
	ok := answer{status: 200, body: `{}`}
	throttled := code(429, "ThrottlingException", "slow down")
	internal := code(500, "InternalServerException", "oops")
	retryable := code(409, "RetryableConflictException", "again")
	reset := answer{err: errors.New("connection reset by peer")}
	refused := answer{err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}
	get := func(c *Client) error { _, err := c.Get(context.Background(), runtimeID, ""); return err }
	update := func(c *Client) error {
		_, err := c.Update(context.Background(), runtimeID, delivery.Document(`{}`), "token")
		return err
	}
	tokenless := func(c *Client) error {
		_, err := c.Update(context.Background(), runtimeID, delivery.Document(`{}`), "")
		return err
	}
	invoke := func(c *Client) error {
		a, err := c.Invoke(context.Background(), delivery.Invocation{RuntimeARN: runtimeARN, Payload: []byte(canaryBearer)})
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("answer %d %s", a.Status, a.ErrorCode)
		}
		return err
	}
	tests := []struct {
		name    string
		call    func(*Client) error
		answers []answer
		calls   int
		kind    error // nil: no error is expected, or only that there is one where the last answer is no success
	}{
		{"throttled, 500, conflict, then fine", get, []answer{throttled, internal, retryable, ok}, 4, nil},
		{"throttled for ever", get, []answer{throttled}, 5, delivery.ErrThrottled},
		{"500 for ever", update, []answer{internal}, 5, nil},
		{"network down for ever", update, []answer{reset}, 5, nil},
		{"an HTML 502", update, []answer{{status: 502, body: "<html>"}, ok}, 2, nil},
		{"busy", update, []answer{code(409, "ConflictException", "is UPDATING"), ok}, 1, delivery.ErrConflict},
		{"quota", update, []answer{code(402, "ServiceQuotaExceededException", "no"), ok}, 1, delivery.ErrQuota},
		{"invalid", update, []answer{code(400, "ValidationException", "no"), ok}, 1, delivery.ErrInvalid},
		{"denied", update, []answer{code(403, "AccessDeniedException", "no"), ok}, 1, delivery.ErrDenied},
		{"gone", get, []answer{code(404, "ResourceNotFoundException", "no"), ok}, 1, delivery.ErrNotFound},
		{"expired", get, []answer{code(403, "ExpiredTokenException", "no"), ok}, 1, delivery.ErrExpired},
		{"a write without a token: throttled", tokenless, []answer{throttled, ok}, 2, nil},
		{"a write without a token: 500", tokenless, []answer{internal, ok}, 1, nil},
		{"a write without a token: reset", tokenless, []answer{reset, ok}, 1, nil},
		{"a write without a token: never sent", tokenless, []answer{refused, ok}, 2, nil},
		{"invoke: retryable conflict, throttled, then fine", invoke, []answer{retryable, throttled, ok}, 3, nil},
		{"invoke: 500 is not repeated", invoke, []answer{internal, ok}, 1, nil},
		{"invoke: a reset is not repeated", invoke, []answer{reset, ok}, 1, nil},
		{"invoke: never sent", invoke, []answer{refused, ok}, 2, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, f := client(tt.answers...)
				err := tt.call(c)
				if len(f.requests) != tt.calls {
					t.Errorf("%d calls, want %d", len(f.requests), tt.calls)
				}
				last := tt.answers[min(tt.calls, len(tt.answers))-1]
				if (err == nil) != (last.status == 200) {
					t.Errorf("got %v after %d", err, last.status)
				}
				if tt.kind != nil && !errors.Is(err, tt.kind) {
					t.Errorf("got %v, want %v", err, tt.kind)
				}
				checkFailure(t, err, f)
			})
		})
	}
}

func checkFailure(t *testing.T, err error, f *remote) {
	t.Helper()
	for i := range f.bodies { // the same bytes, the same client token
		if f.bodies[i] != f.bodies[0] {
			t.Errorf("call %d sent %s, the first %s", i, f.bodies[i], f.bodies[0])
		}
	}
	if err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, err), "CANARY") {
		t.Errorf("the error holds a secret: %v", err)
	}
}

func TestErrorsCarryWhatAWSSaid(t *testing.T) {
	c, _ := client(answer{status: 400, header: map[string]string{"X-Amzn-ErrorType": "ValidationException"},
		body: `{"message":"bad","reason":"FieldValidationFailed","fieldList":[{"name":"roleArn","message":"no role"}]}`})
	_, err := c.Get(t.Context(), runtimeID, "9")
	var e *delivery.RemoteError
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	want := delivery.RemoteError{Service: "AgentCore", Operation: "GetAgentRuntime", Resource: runtimeID + " version 9", Code: "ValidationException",
		Message: "bad (FieldValidationFailed); roleArn: no role", Status: 400, RequestID: "req-1", Kind: delivery.ErrInvalid}
	if *e != want {
		t.Errorf("got %+v, want %+v", *e, want)
	}
	for body, code := range map[string]string{`{"__type":"com.amazonaws.x#ThrottledX","message":"m"}`: "ThrottledX", `{"code":"C"}`: "C", `<html>`: "418", ``: "418"} {
		c, _ := client(answer{status: 418, body: body})
		if _, err := c.Get(t.Context(), runtimeID, ""); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

// What nobody answered is a remote error without a status: the core asks
// again.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := client(answer{err: errors.New("connection reset")})
		_, err := c.Get(t.Context(), runtimeID, "")
		var e *delivery.RemoteError
		if !errors.As(err, &e) || e.Status != 0 || !strings.Contains(err.Error(), "connection reset") || strings.Contains(err.Error(), "https://") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRetryAfterAndInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := code(429, "ThrottlingException", "slow")
		slow.header["Retry-After"] = "7"
		c, f := client(slow, answer{status: 200, body: `{}`})
		if _, err := c.Get(t.Context(), runtimeID, ""); err != nil {
			t.Fatal(err)
		}
		if gap := f.times[1].Sub(f.times[0]); gap < 7*time.Second || gap > 8*time.Second {
			t.Errorf("waited %v", gap)
		}
		c, f = client(slow)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.Get(ctx, runtimeID, ""); !errors.Is(err, delivery.ErrThrottled) || time.Since(start) != 3*time.Second || len(f.requests) != 1 {
			t.Errorf("after %v and %d calls: %v", time.Since(start), len(f.requests), err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "-3": 0, "99999999999999999": maxRetryAfter, "100000": maxRetryAfter,
		"Sun, 01 Nov 2026 12:00:05 GMT": 5 * time.Second, "Sun, 01 Nov 2026 11:00:05 GMT": 0, "soon": 0} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}

// A hang is cut off per attempt, and the whole call has an end.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hang{}
		c := &Client{Config: config(), HTTP: h}
		start := time.Now()
		_, err := c.Get(t.Context(), runtimeID, "")
		if err == nil || time.Since(start) > callBudget || h.calls != maxTries {
			t.Errorf("after %v and %d calls: %v", time.Since(start), h.calls, err)
		}
	})
}

type hang struct{ calls int }

func (h *hang) Do(r *http.Request) (*http.Response, error) {
	h.calls++
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestCreateWaitsForTheRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notYet := code(400, "ValidationException", "Role validation failed for 'arn:aws:iam::111122223333:role/x'")
		c, f := client(notYet, notYet, answer{status: 202, body: `{"agentRuntimeId":"x"}`})
		if _, err := c.Create(t.Context(), delivery.Document(`{"agentRuntimeName":"n"}`), "token"); err != nil || len(f.requests) != 3 {
			t.Errorf("%d calls, %v", len(f.requests), err)
		}
		c, f = client(notYet)
		if _, err := c.Create(t.Context(), delivery.Document(`{"agentRuntimeName":"n"}`), "token"); !errors.Is(err, delivery.ErrInvalid) || len(f.requests) != 8 {
			t.Errorf("%d calls, %v", len(f.requests), err)
		}
		c, f = client(notYet)
		if _, err := c.Update(t.Context(), runtimeID, delivery.Document(`{}`), "token"); err == nil || len(f.requests) != 1 {
			t.Errorf("%d calls, %v", len(f.requests), err)
		}
	})
}

func TestFindReadsEveryPage(t *testing.T) {
	page := func(token string, names ...string) answer {
		var items []map[string]string
		for _, n := range names {
			items = append(items, map[string]string{"agentRuntimeName": n, "agentRuntimeId": n + "-id"})
		}
		raw, err := json.Marshal(map[string]any{"agentRuntimes": items, "nextToken": token})
		if err != nil {
			t.Fatal(err)
		}
		return answer{status: 200, body: string(raw)}
	}
	c, f := client(page("t&1", "a"), page("t2"), page("", "b", "c"))
	id, err := c.Find(t.Context(), "c")
	if err != nil || id != "c-id" || len(f.requests) != 3 {
		t.Errorf("got %s, %v after %d calls", id, err, len(f.requests))
	}
	if q := f.requests[1].URL.Query(); f.requests[1].Method != http.MethodPost || q.Get("nextToken") != "t&1" || q.Get("maxResults") != "100" {
		t.Errorf("sent %s %s", f.requests[1].Method, f.requests[1].URL)
	}
	c, _ = client(page("", "a"))
	if _, err = c.Find(t.Context(), "c"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	c, f = client(page("again"))
	if _, err = c.Find(t.Context(), "c"); err == nil || errors.Is(err, delivery.ErrNotFound) || len(f.requests) != maxPages {
		t.Errorf("got %v after %d pages", err, len(f.requests))
	}
}

func TestEndpointState(t *testing.T) {
	c, _ := client(answer{status: 200, body: `{"name":"live","status":"READY","liveVersion":"1","targetVersion":"2","failureReason":"f","new":1}`})
	e, err := c.Endpoint(t.Context(), runtimeID, "live")
	if want := (delivery.Endpoint{Name: "live", Status: "READY", LiveVersion: "1", TargetVersion: "2", FailureReason: "f"}); err != nil || e != want {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestForeignAnswers(t *testing.T) {
	for name, body := range map[string]string{"HTML": "<html>", "list": "[]", "null": "null", "nothing": "", "too large": `{"a":"` + strings.Repeat("a", maxBody) + `"}`} {
		c, f := client(answer{status: 200, body: body})
		if doc, err := c.Get(t.Context(), runtimeID, ""); err == nil || len(f.requests) != 1 {
			t.Errorf("%s: got %.20s after %d calls", name, doc, len(f.requests))
		}
	}
	for _, body := range []string{"", "[]", "null", `{"a":`} {
		c, f := client(answer{status: 200, body: "{}"})
		if _, err := c.Update(t.Context(), runtimeID, delivery.Document(body), "t"); err == nil || len(f.requests) != 0 {
			t.Errorf("configuration %q was sent", body)
		}
	}
}

func TestLoginFailureIsNotWrapped(t *testing.T) {
	login := &delivery.Error{Kind: delivery.KindDenied, Op: "assuming the role", Hints: []string{"h"}}
	c, f := client(answer{status: 200, body: "{}"})
	c.Config.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, login })
	if _, err := c.Get(t.Context(), runtimeID, ""); !errors.Is(err, login) || err.Error() != login.Error() || len(f.requests) != 0 {
		t.Errorf("got %v", err)
	}
	c.Config.Credentials = nil
	if _, err := c.Get(t.Context(), runtimeID, ""); delivery.KindOf(err) != delivery.KindCredentials {
		t.Errorf("got %v", err)
	}
}

func TestBaseURLs(t *testing.T) {
	cn := &Client{Config: aws.Config{Region: "cn-north-1"}}
	if got := cn.base("", "bedrock-agentcore"); got != "https://bedrock-agentcore.cn-north-1.amazonaws.com.cn" {
		t.Error(got)
	}
	local := &Client{Config: aws.Config{Region: "us-east-1", BaseEndpoint: aws.String("http://127.0.0.1:4510/")}}
	if got := local.base("", "x"); got != "http://127.0.0.1:4510" {
		t.Error(got)
	}
	if got := local.base("http://127.0.0.1:1/", "x"); got != "http://127.0.0.1:1" {
		t.Error(got)
	}
}

func FuzzFailure(f *testing.F) {
	f.Add("ValidationException:http://x", `{"message":"m","fieldList":[{"name":"a"}]}`)
	f.Add("", `{"__type":"a#b:c"}`)
	f.Fuzz(func(t *testing.T, header, body string) {
		resp := &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{"X-Amzn-Errortype": {header}}}
		if _, code := readFailure(resp, []byte(body)); code == "" {
			t.Error("no code")
		}
	})
}

// FuzzSetBody: a configuration is sent as it is, each member's value to the
// byte but for white space, with the token of this call and no other.
func FuzzSetBody(f *testing.F) {
	f.Add([]byte(`{"a":1.50,"b":"<\u00e9>","clientToken":"another","c":{"d":[1e5,12345678901234567890]}}`), "token")
	f.Add([]byte(`{"ClientToken":"x"}`), "")
	f.Add([]byte(`{"clientToken":"x"}`), "")
	f.Add([]byte(`null`), "x")
	f.Fuzz(func(t *testing.T, body []byte, token string) {
		r := &request{operation: "UpdateAgentRuntime", header: http.Header{}}
		if r.setBody(body, token) != nil {
			return
		}
		var before, after map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal(body, &before), json.Unmarshal(r.body, &after)); err != nil {
			t.Fatalf("%s is sent as %s: %v", body, r.body, err)
		}
		delete(before, "clientToken")
		sent, stated := after["clientToken"]
		var got string
		if stated && json.Unmarshal(sent, &got) != nil || stated != (token != "") || utf8.ValidString(token) && got != token {
			t.Errorf("the token %q is sent as %s", token, sent)
		}
		delete(after, "clientToken")
		if len(before) != len(after) {
			t.Errorf("%s is sent as %s", body, r.body)
		}
		for name, value := range before {
			var compact bytes.Buffer
			if err := json.Compact(&compact, value); err != nil || !bytes.Equal(compact.Bytes(), after[name]) {
				t.Errorf("%q was %s and is sent as %s (%v)", name, value, after[name], err)
			}
		}
	})
}
