package agentcore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

func TestInvokeAnswers(t *testing.T) {
	call := delivery.Invocation{RuntimeARN: runtimeARN, Session: strings.Repeat("s", 33), Payload: []byte("{}")}
	c, f := client(answer{status: 200, header: map[string]string{"Content-Type": "text/event-stream"}, body: "data: hi\n\n" + strings.Repeat("x", maxAnswer)})
	a, err := c.Invoke(t.Context(), call)
	if err != nil || a.Status != 200 || a.Type != "text/event-stream" || len(a.Body) != maxAnswer || !bytes.HasPrefix(a.Body, []byte("data: hi")) || a.RequestID != "req-1" {
		t.Errorf("got %d %s, %d bytes, %v", a.Status, a.Type, len(a.Body), err)
	}
	h := f.requests[0].Header
	if h.Get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id") != call.Session || h.Get("Content-Type") != "application/json" ||
		h.Get("Accept") != "application/json, text/event-stream" || !strings.HasSuffix(f.requests[0].URL.String(), "?qualifier=DEFAULT") {
		t.Errorf("sent %s, %v", f.requests[0].URL, h)
	}
	c, _ = client(code(424, "RuntimeClientError", "initialization time exceeded"))
	a, err = c.Invoke(t.Context(), call)
	if err != nil || a.Status != 424 || a.ErrorCode != "RuntimeClientError" || a.Message != "initialization time exceeded" || len(a.Body) == 0 {
		t.Errorf("got %+v, %v", a, err)
	}
	// An earlier refusal is not taken for the answer of a later attempt.
	synctest.Test(t, func(t *testing.T) {
		c, _ := client(code(429, "ThrottlingException", "slow"), answer{err: errors.New("reset")})
		if a, err := c.Invoke(t.Context(), call); err == nil || a.Status != 0 {
			t.Errorf("got %+v, %v", a, err)
		}
	})
}

func TestBearer(t *testing.T) {
	call := delivery.Invocation{RuntimeARN: runtimeARN, Bearer: canaryBearer}
	c, f := client(answer{status: 200})
	if _, err := c.Invoke(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	h := f.requests[0].Header
	if h.Get("Authorization") != "Bearer "+canaryBearer || h.Get("X-Amz-Date") != "" || h.Get("X-Amz-Security-Token") != "" {
		t.Errorf("sent %v", h)
	}
	if err := c.CheckBearer(); err != nil {
		t.Error(err)
	}
	for _, base := range []string{"http://agentcore.example", "http://127.0.0.1:4510", "http://localhost"} {
		c, f = client(answer{status: 200})
		c.Data = base
		_, err := c.Invoke(t.Context(), call)
		if delivery.KindOf(err) != delivery.KindRefused || len(f.requests) != 0 || strings.Contains(err.Error(), canaryBearer) {
			t.Errorf("%s: got %v, %d calls", base, err, len(f.requests))
		}
		if err := c.CheckBearer(); delivery.KindOf(err) != delivery.KindRefused {
			t.Errorf("%s: %v", base, err)
		}
	}
	c, _ = client(answer{status: 401, body: `{"message":"no"}`})
	if a, err := c.Invoke(t.Context(), call); err != nil || a.Status != 401 || strings.Contains(fmt.Sprint(a), canaryBearer) {
		t.Errorf("got %+v, %v", a, err)
	}
}

// TestRefusalsOfTheProtocols: MCP and A2A word AgentCore's own errors as
// JSON-RPC, AG-UI as an event.
func TestRefusalsOfTheProtocols(t *testing.T) {
	for name, body := range map[string]string{
		"JSON-RPC": `{"jsonrpc":"2.0","error":{"code":-32001,"message":"Missing Authentication Token"}}`,
		"event":    "data: {\"type\":\"RUN_ERROR\",\"code\":\"UNAUTHORIZED\",\"message\":\"Missing Authentication Token\"}\n\n",
		"plain":    `{"message":"Missing Authentication Token"}`,
	} {
		c, _ := client(answer{status: 401, header: map[string]string{"X-Amzn-ErrorType": "UnauthorizedException"}, body: body})
		a, err := c.Invoke(t.Context(), delivery.Invocation{RuntimeARN: runtimeARN, Bearer: canaryBearer})
		if err != nil || a.Status != 401 || a.ErrorCode != "UnauthorizedException" || a.Message != "Missing Authentication Token" {
			t.Errorf("%s: got %+v, %v", name, a, err)
		}
	}
}

// A stream that breaks off is not an answer; one that ends is read as it
// comes.
func TestInvokeStream(t *testing.T) {
	next, done := make(chan bool), make(chan bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "broken") {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
			return
		}
		io.WriteString(w, "one ")
		w.(http.Flusher).Flush()
		<-next
		io.WriteString(w, "two")
	}))
	defer server.Close()
	c := &Client{Config: config(), Data: server.URL}
	var got writerFunc = func(p []byte) (int, error) {
		if strings.Contains(string(p), "one") {
			close(next)
		}
		if strings.Contains(string(p), "two") {
			close(done)
		}
		return len(p), nil
	}
	a, err := c.Invoke(t.Context(), delivery.Invocation{RuntimeARN: runtimeARN, Stream: got})
	if err != nil || a.Status != 200 || a.Body != nil {
		t.Errorf("got %+v, %v", a, err)
	}
	<-done
	if _, err = c.Invoke(t.Context(), delivery.Invocation{RuntimeARN: runtimeARN, Endpoint: "broken"}); err == nil || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// An agent may take longer than the control plane's clients wait.
func TestInvokeIsPatient(t *testing.T) {
	cfg := config()
	cfg.HTTPClient = &http.Client{Timeout: time.Nanosecond, Transport: &remote{answers: []answer{{status: 200, body: "{}"}}}}
	c := &Client{Config: cfg}
	if a, err := c.Invoke(t.Context(), delivery.Invocation{RuntimeARN: runtimeARN}); err != nil || a.Status != 200 {
		t.Errorf("got %+v, %v", a, err)
	}
}
