package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// TestFaultRefused: a fault that could never happen is refused, with what was
// probably meant.
func TestFaultRefused(t *testing.T) {
	c, _ := startCloud(t)
	for _, tt := range []struct {
		fault Fault
		says  string
	}{
		{Fault{Service: "smm", Operation: "*", Effect: EffectHang}, `there is no service "smm"; did you mean ssm?`},
		{Fault{Service: "kinesis", Operation: "*", Effect: EffectHang}, "there are bedrock-agentcore, ecr, github, iam, logs, registry, ssm, sts"},
		{Fault{Service: "ssm", Operation: "putparameter", Effect: EffectHang}, "did you mean PutParameter?"},
		{Fault{Service: "*", Operation: "GetBlub", Effect: EffectHang}, "did you mean GetBlob?"},
		{Fault{Service: "github", Operation: "X", Effect: EffectHang}, "there are GetConfiguration, GetKeySet, IssueIDToken"},
		{Fault{Service: "ssm", Operation: "*", Effect: "explode"}, `no effect "explode"`},
		{Fault{Service: "ssm", Operation: "*", Effect: EffectError, Code: "Throttled"}, "did you mean Throttling?"},
		{Fault{Service: "ssm", Operation: "*", Effect: EffectError, Code: "X", Status: 200}, "400 to 599"},
		{Fault{Service: "ssm", Operation: "*", Effect: EffectLatency}, "longer than nothing"},
		{Fault{Service: "ssm", Operation: "*", Effect: EffectCorrupt}, "registry:GetBlob"},
		{Fault{Service: "ssm", Operation: "*", Effect: EffectStuck, State: "UPDATING"}, "bedrock-agentcore:CreateAgentRuntime"},
		{Fault{Service: "bedrock-agentcore", Operation: "UpdateAgentRuntime", Effect: EffectStuck, State: "READY"}, "no status to be stuck in"},
		{Fault{Service: "ssm", Operation: "*", Effect: EffectHang, Times: -1}, "negative"},
	} {
		if _, err := c.AddFault(tt.fault); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt.fault, err)
		}
	}
	if len(c.Faults()) != 0 {
		t.Errorf("set: %+v", c.Faults())
	}
	if err := c.ClearFault("f7"); err == nil {
		t.Error("a fault that is not set was cleared")
	}
}

func mustFault(t *testing.T, c *Cloud, f Fault) string {
	t.Helper()
	set, err := c.AddFault(f)
	if err != nil {
		t.Fatal(err)
	}
	return set.ID
}

// TestFaultErrors: an error is worded as its service words errors, with the
// status that its code comes with there.
func TestFaultErrors(t *testing.T) {
	c, srv := startCloud(t)
	cfg := adminConfig(t, srv, DefaultAccount)
	for _, tt := range []struct {
		service, code string
		status        int
	}{
		{"ssm", "ThrottlingException", 400}, {"ssm", "InternalServerError", 500}, {"sts", "ExpiredTokenException", 403},
	} {
		id := mustFault(t, c, Fault{Service: tt.service, Operation: "*", Effect: EffectError, Code: tt.code, Times: 1})
		var err error
		if tt.service == "ssm" {
			_, err = ssm.NewFromConfig(cfg).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/x")})
		} else {
			_, err = sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		}
		var api smithy.APIError
		var status interface{ HTTPStatusCode() int }
		if !errors.As(err, &api) || api.ErrorCode() != tt.code || !errors.As(err, &status) || status.HTTPStatusCode() != tt.status {
			t.Errorf("%+v: %v", tt, err)
		}
		calls := c.Journal()
		if last := calls[len(calls)-1]; last.Fault != id+" error "+tt.code || last.Status != tt.status {
			t.Errorf("journal: %+v", last)
		}
	}
	// By its own words, once: then the call is performed.
	if _, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err != nil {
		t.Error(err)
	}
	// The registry and GitHub have words of their own.
	mustFault(t, c, Fault{Service: "github", Operation: "GetKeySet", Effect: EffectError, Code: "ServiceUnavailable"})
	if status, body := get(t, srv.URL+"/.well-known/jwks"); status != 503 || !strings.Contains(body, `"message"`) {
		t.Errorf("%d %s", status, body)
	}
	for code, want := range map[string]string{
		"ThrottlingException": "429 TOOMANYREQUESTS", "ExpiredTokenException": "403 DENIED", "InternalServerException": "500 UNKNOWN",
		"ServiceUnavailable": "503 UNAVAILABLE", "MANIFEST_UNKNOWN": "404 MANIFEST_UNKNOWN",
	} {
		f := Fault{Service: "registry", Operation: "*", Effect: EffectError, Code: code}
		if err := c.completeFault(&f); err != nil {
			t.Fatal(err)
		}
		got := &fault{Code: f.Code, Status: f.Status, Message: f.Message}
		registryFault(got)
		if status, code := registryCode(got); fmt.Sprint(status, " ", code) != want {
			t.Errorf("%s: %d %s", code, status, code)
		}
	}
}

func get(t *testing.T, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err.Error()
	}
	return resp.StatusCode, string(body)
}

// TestFaultCounts: calls are let through first, then befallen, then let be;
// only those that name the resource count, and one fault takes a call at most.
func TestFaultCounts(t *testing.T) {
	c, srv := startCloud(t)
	client := ssm.NewFromConfig(adminConfig(t, srv, DefaultAccount))
	mustFault(t, c, Fault{Service: "ssm", Operation: "GetParameters", Resource: "/a/lock", Skip: 1, Times: 2, Effect: EffectError, Code: "ThrottlingException"})
	mustFault(t, c, Fault{Service: "*", Operation: "*", Effect: EffectLatency, Latency: 1})
	mustFault(t, c, Fault{Service: "ssm", Operation: "GetParameters", Resource: "/a/lock", Skip: 1, Effect: EffectError, Code: "InternalServerError", Times: 1})
	var got []string
	for _, name := range []string{"/a/lock", "/b/lock", "/a/lock", "/a/lock", "/a/lock", "/a/lock", "/a/lock"} {
		_, err := client.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{name}})
		var api smithy.APIError
		switch {
		case errors.As(err, &api):
			got = append(got, api.ErrorCode())
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, "ok")
		}
	}
	want := "ok ok ThrottlingException ThrottlingException InternalServerError ok ok"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	if f := c.Faults(); f[0].Hits != 2 || f[1].Hits != 7 || f[2].Hits != 1 {
		t.Errorf("%+v", f)
	}
}

// TestFaultConnections: what is lost was performed, what is dropped was not,
// what hangs goes on when the fault is cleared, what is cut says how long it
// would have been.
func TestFaultConnections(t *testing.T) {
	c, srv := startCloud(t)
	client := ssm.NewFromConfig(adminConfig(t, srv, DefaultAccount))
	put := func(ctx context.Context, name string) error {
		_, err := client.PutParameter(ctx, &ssm.PutParameterInput{Name: aws.String(name), Value: aws.String("v"), Type: types.ParameterTypeString})
		return err
	}
	there := func(name string) bool {
		out, err := client.GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		return len(out.Parameters) == 1
	}
	for effect, performed := range map[string]bool{EffectLost: true, EffectDrop: false, EffectTruncate: true} {
		mustFault(t, c, Fault{Service: "ssm", Operation: "PutParameter", Effect: effect, Times: 1})
		name := "/" + effect
		if err := put(t.Context(), name); err == nil || there(name) != performed {
			t.Errorf("%s: %v, there: %t", effect, err, there(name))
		}
	}

	mustFault(t, c, Fault{Service: "ssm", Operation: "PutParameter", Effect: EffectHold, Times: 1})
	gone, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- put(gone, "/kept") }()
	for faults := c.Faults(); faults[len(faults)-1].Held == 0; faults = c.Faults() {
		time.Sleep(time.Millisecond) // there is nothing to be told by
	}
	if leave(); <-left == nil || !there("/kept") {
		t.Error("what is held was answered, or not performed")
	}
	mustFault(t, c, Fault{Service: "ssm", Operation: "PutParameter", Effect: EffectHold, Times: 1})
	go func() { left <- put(t.Context(), "/freed") }()
	for faults := c.Faults(); faults[len(faults)-1].Held == 0; faults = c.Faults() {
		time.Sleep(time.Millisecond) // there is nothing to be told by
	}
	if err := c.ClearFault(""); err != nil {
		t.Fatal(err)
	}
	if <-left == nil || !there("/freed") {
		t.Error("what was held and let go was answered, or not performed")
	}

	mustFault(t, c, Fault{Service: "ssm", Operation: "PutParameter", Effect: EffectHang})
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := put(short, "/gone"); err == nil {
		t.Error("a call that hangs was answered")
	}
	ended := make(chan error)
	go func() { ended <- put(t.Context(), "/held") }()
	for hits := 0; hits < 2; {
		hits = 0
		for _, f := range c.Faults() {
			if f.Effect == EffectHang {
				hits = f.Hits
			}
		}
		time.Sleep(time.Millisecond) // there is nothing to be told by
	}
	if there("/gone") || there("/held") {
		t.Error("what hangs was performed")
	}
	if err := c.ClearFault(""); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil || !there("/held") || there("/gone") {
		t.Errorf("%v; held: %t, gone: %t", err, there("/held"), there("/gone"))
	}

	mustFault(t, c, Fault{Service: "github", Operation: "GetKeySet", Effect: EffectTruncate, Times: 1})
	status, cut := get(t, srv.URL+"/.well-known/jwks")
	_, whole := get(t, srv.URL+"/.well-known/jwks")
	if status != 200 || !strings.Contains(cut, "unexpected EOF") || !json.Valid([]byte(whole)) {
		t.Errorf("%d %q", status, cut)
	}
}

// TestFaultReset: faults end with reset and are not there after a restart.
func TestFaultReset(t *testing.T) {
	c, _ := startCloud(t)
	mustFault(t, c, Fault{Service: "*", Operation: "*", Effect: EffectDrop})
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	if len(c.Faults()) != 0 {
		t.Error("a fault outlives reset")
	}
	mustFault(t, c, Fault{Service: "*", Operation: "*", Effect: EffectDrop})
	kill(t, c)
	again := &Cloud{Dir: c.Dir}
	srv := serveCloud(t, again)
	if status, _ := get(t, srv.URL+"/.well-known/jwks"); status != 200 || len(again.Faults()) != 0 {
		t.Errorf("a fault outlives the cloud: %d", status)
	}
}

// TestCorrupt: a byte differs on the way, here and there, and nothing else.
func TestCorrupt(t *testing.T) {
	h := &hit{fault: &setFault{Fault: Fault{Effect: EffectCorrupt}}}
	sent := []byte("the layer's bytes")
	got, err := io.ReadAll(h.payload(io.NopCloser(bytes.NewReader(sent)), int64(len(sent))))
	if err != nil || len(got) != len(sent) || got[0] == sent[0] || !bytes.Equal(got[1:], sent[1:]) {
		t.Errorf("%q, %v", got, err)
	}
	h = &hit{fault: &setFault{Fault: Fault{Effect: EffectTruncate}}}
	got, err = io.ReadAll(h.payload(io.NopCloser(bytes.NewReader(sent)), int64(len(sent))))
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != len(sent)/2 || !h.silent {
		t.Errorf("%q, %v", got, err)
	}
}
