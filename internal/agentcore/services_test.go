package agentcore

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// service returns a configuration whose calls go to the given answers.
func service(answers ...answer) (aws.Config, *remote) {
	f := &remote{answers: answers}
	cfg := config()
	cfg.HTTPClient = &http.Client{Transport: f}
	return cfg, f
}

func jsonError(status int, code string) answer {
	return answer{status: status, body: `{"__type":"` + code + `","message":"m"}`}
}

func TestParameters(t *testing.T) {
	cfg, f := service(answer{status: 200, body: `{"Parameter":{"Name":"/a/dev/runtime-id","Type":"String","Value":" x \n"}}`}, answer{status: 200, body: `{}`})
	p := NewParameters(cfg)
	value, err := p.Parameter(t.Context(), "/a/dev/runtime-id")
	if err != nil || value != " x \n" {
		t.Errorf("got %q, %v", value, err)
	}
	if err := p.PutParameter(t.Context(), "/a/dev/lock", "v", false); err != nil {
		t.Error(err)
	}
	if err := p.DeleteParameter(t.Context(), "/a/dev/lock"); err != nil {
		t.Error(err)
	}
	want := []string{`{"Name":"/a/dev/runtime-id"}`, `{"Name":"/a/dev/lock","Overwrite":false,"Type":"String","Value":"v"}`, `{"Name":"/a/dev/lock"}`}
	for i, w := range want {
		if !sameJSON(t, f.bodies[i], w) {
			t.Errorf("sent %s, want %s", f.bodies[i], w)
		}
	}
	if target := f.requests[1].Header.Get("X-Amz-Target"); target != "AmazonSSM.PutParameter" {
		t.Errorf("sent %s", target)
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	return fmt.Sprint(x) == fmt.Sprint(y)
}

func TestParameterErrors(t *testing.T) {
	tests := []struct {
		answers []answer
		kind    error
		calls   int
	}{
		{[]answer{jsonError(400, "ParameterNotFound")}, delivery.ErrNotFound, 1},
		{[]answer{jsonError(400, "ParameterAlreadyExists")}, delivery.ErrExists, 1},
		{[]answer{jsonError(400, "AccessDeniedException")}, delivery.ErrDenied, 1},
		{[]answer{jsonError(400, "ExpiredTokenException")}, delivery.ErrExpired, 1},
		{[]answer{jsonError(400, "ParameterMaxVersionLimitExceeded")}, delivery.ErrQuota, 1},
		{[]answer{jsonError(400, "ThrottlingException")}, delivery.ErrThrottled, 3},
		{[]answer{jsonError(400, "TooManyUpdates")}, delivery.ErrThrottled, 3},
		{[]answer{jsonError(500, "InternalServerError"), {status: 200, body: `{}`}}, nil, 2},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			cfg, f := service(tt.answers...)
			err := NewParameters(cfg).PutParameter(t.Context(), "/a/dev/lock", canarySecret, false)
			if (tt.kind == nil) != (err == nil) || !errors.Is(err, tt.kind) || len(f.requests) != tt.calls {
				t.Errorf("%s: got %v after %d calls", tt.answers[0].body, err, len(f.requests))
			}
			if err == nil {
				return
			}
			var e *delivery.RemoteError
			if !errors.As(err, &e) || e.Service != "SSM" || e.Resource != "/a/dev/lock" || e.RequestID != "req-1" || e.Status != 400 {
				t.Errorf("got %+v", e)
			}
			if strings.Contains(err.Error(), "CANARY") {
				t.Errorf("the error holds the value: %v", err)
			}
		})
	}
}

func TestParameterRefusesSecureString(t *testing.T) {
	cfg, _ := service(answer{status: 200, body: `{"Parameter":{"Type":"SecureString","Value":"` + canarySecret + `"}}`})
	value, err := NewParameters(cfg).Parameter(t.Context(), "/a/dev/runtime-id")
	if !errors.Is(err, delivery.ErrInvalid) || value != "" || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("got %q, %v", value, err)
	}
	cfg, _ = service(answer{status: 200, body: `{}`})
	if _, err := NewParameters(cfg).Parameter(t.Context(), "x"); err == nil {
		t.Error("an answer without a parameter was taken")
	}
}

func TestValueDecrypts(t *testing.T) {
	for kind, secret := range map[string]bool{"String": false, "StringList": false, "SecureString": true} {
		cfg, sent := service(answer{status: 200, body: `{"Parameter":{"Type":"` + kind + `","Value":"hush\n"}}`})
		value, is, err := NewParameters(cfg).Value(t.Context(), "/a/key")
		if value != "hush\n" || is != secret || err != nil {
			t.Errorf("%s: got %q, secret %v, %v", kind, value, is, err)
		}
		if body := sent.bodies[0]; !strings.Contains(body, `"WithDecryption":true`) || !strings.Contains(body, `"Name":"/a/key"`) {
			t.Errorf("%s: sent %s", kind, body)
		}
	}
	cfg, _ := service(answer{status: 400, body: `{"__type":"ParameterNotFound"}`})
	if _, _, err := NewParameters(cfg).Value(t.Context(), "/a/key"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	cfg, _ = service(answer{status: 200, body: `{}`})
	if _, _, err := NewParameters(cfg).Value(t.Context(), "/a/key"); err == nil {
		t.Error("an answer without a parameter was taken")
	}
}

func TestSDKNetworkErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, f := service(answer{err: errors.New("connection reset")})
		_, err := NewParameters(cfg).Parameter(t.Context(), "/x")
		var e *delivery.RemoteError
		if !errors.As(err, &e) || e.Status != 0 || e.Service != "SSM" || len(f.requests) < 2 || strings.Contains(err.Error(), "https://") {
			t.Errorf("got %v after %d calls", err, len(f.requests))
		}
	})
}

func event(at int64, id, text string) string {
	return fmt.Sprintf(`{"eventId":%q,"timestamp":%d,"logStreamName":"s","message":%q}`, id, at, text)
}

func TestLogs(t *testing.T) {
	pages := []answer{
		{status: 200, body: `{"events":[` + event(3000, "c", "third\n") + `,` + event(2000, "b1", "second") + `],"nextToken":"1"}`},
		{status: 200, body: `{"events":[],"nextToken":"2"}`},
		{status: 200, body: `{"events":[` + event(1000, "a", "first\r\n") + `,` + event(2000, "b2", "second too") + `]}`},
	}
	cfg, f := service(pages...)
	since := time.UnixMilli(1700000000123)
	lines, err := NewLogs(cfg).Lines(t.Context(), delivery.LogWindow{RuntimeID: runtimeID, Endpoint: "DEFAULT", Since: since, Until: since.Add(time.Second), Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(lines); got != "a b1 b2 c" || lines[0].Text != "first" || lines[3].Text != "third" ||
		!lines[0].At.Equal(time.Unix(1, 0)) || lines[0].Stream != "s" {
		t.Errorf("got %s: %+v", got, lines)
	}
	want := `{"logGroupName":"/aws/bedrock-agentcore/runtimes/` + runtimeID + `-DEFAULT","startTime":1700000000123,"endTime":1700000001123,"limit":10000,"nextToken":"2"}`
	if !sameJSON(t, f.bodies[2], want) || f.requests[0].Header.Get("X-Amz-Target") != "Logs_20140328.FilterLogEvents" {
		t.Errorf("sent %s", f.bodies[2])
	}
	cfg, f = service(pages...)
	if lines, err = NewLogs(cfg).Lines(t.Context(), delivery.LogWindow{RuntimeID: runtimeID, Endpoint: "DEFAULT", Limit: 2}); err != nil || ids(lines) != "b2 c" || strings.Contains(f.bodies[0], "startTime") {
		t.Errorf("got %s, %v, sent %s", ids(lines), err, f.bodies[0])
	}
}

func ids(lines []delivery.LogLine) string {
	var list []string
	for _, l := range lines {
		list = append(list, l.ID)
	}
	return strings.Join(list, " ")
}

func TestLogsErrors(t *testing.T) {
	cfg, _ := service(jsonError(400, "ResourceNotFoundException"))
	if lines, err := NewLogs(cfg).Lines(t.Context(), delivery.LogWindow{RuntimeID: runtimeID, Endpoint: "DEFAULT"}); err != nil || lines != nil {
		t.Errorf("got %v, %v", lines, err)
	}
	cfg, _ = service(jsonError(400, "AccessDeniedException"))
	if _, err := NewLogs(cfg).Lines(t.Context(), delivery.LogWindow{RuntimeID: runtimeID, Endpoint: "DEFAULT"}); !errors.Is(err, delivery.ErrDenied) {
		t.Errorf("got %v", err)
	}
	cfg, f := service(answer{status: 200, body: `{"events":[],"nextToken":"again"}`})
	if lines, err := NewLogs(cfg).Lines(t.Context(), delivery.LogWindow{RuntimeID: runtimeID, Endpoint: "DEFAULT"}); err != nil || len(lines) != 0 || len(f.requests) != maxLogPages {
		t.Errorf("got %v, %v after %d pages", lines, err, len(f.requests))
	}
}
