package judge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/slipway-cd/slipway/internal/needs"
)

// partBotocore is botocore with a model that knows AgentCore.
const partBotocore = "botocore"

// TestBotocore judges the raw answers to every call that the JavaScript SDK
// makes by botocore's models: required members, unknown members, types,
// enumerations, declared errors.
func TestBotocore(t *testing.T) {
	needBotocore(t)
	judgeShapes(t, nil).holds(t, partBotocore)
}

func TestBotocoreCanFail(t *testing.T) {
	needBotocore(t)
	for about, broken := range map[string][2]string{
		"repositoryurl is unknown": {`"repositoryUri"`, `"repositoryUrl"`},
		"missing required":         {`"workloadIdentityArn"`, `"workloadIdentity"`},
		"not among":                {`"imageTagMutability":"MUTABLE"`, `"imageTagMutability":"mutable"`},
		"is not declared":          {`RepositoryAlreadyExistsException`, `RepositoryExistsException`},
		"no timestamp":             {`"LastModifiedDate":`, `"LastModifiedDate":"2026-01-01T00:00:00Z","Was":`},
		"bad reason":               {`"reason":"FieldValidationFailed"`, `"reason":"bad reason"`},
	} {
		t.Run(about, func(t *testing.T) {
			judgeShapes(t, replacing(broken[0], broken[1])).mustFail(t, about)
		})
	}
}

func needBotocore(t *testing.T) {
	t.Helper()
	needJS(t)
	known := exec.Command("python3", "-c", "import botocore.session as s; s.get_session().get_service_model('bedrock-agentcore-control')").Run()
	needs.Part(t, partBotocore, known == nil)
}

// answer is one of the cloud's, as it went over the wire.
type answer struct {
	Service   string            `json:"service"`
	Operation string            `json:"operation"`
	Status    int               `json:"status"`
	Headers   map[string]string `json:"headers"`
	Body      []byte            `json:"body"`
}

// judgeShapes records what the JavaScript SDK is answered and lets botocore
// judge it.
func judgeShapes(t *testing.T, broken func(http.Handler) http.Handler) verdict {
	t.Helper()
	tape := &recorder{}
	c := newCloud(t, func(next http.Handler) http.Handler {
		if broken != nil {
			next = broken(next)
		}
		return tape.record(next)
	})
	judgeJS(c) // what it says is its own test's
	p := program{dir: must[string](t)(filepath.Abs("testdata/python")), in: tape.named(c)}
	out, messages, err := p.run(t, "python3", "shapes.py")
	if err != nil {
		t.Fatalf("%v\n%s", err, messages)
	}
	return countShapes(t, lines(out))
}

// countShapes counts kinds of answers, not answers: how often a client asks
// while it waits is chance.
func countShapes(t *testing.T, said []string) verdict {
	t.Helper()
	kinds := map[string]error{}
	for _, line := range said {
		var s struct{ Service, Operation, Outcome, Error string }
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		kind := s.Service + " " + s.Operation + " " + s.Outcome
		if s.Error != "" {
			kinds[kind] = errors.New(s.Error)
		} else if _, known := kinds[kind]; !known {
			kinds[kind] = nil
		}
	}
	var v verdict
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		v.note(kind, kinds[kind])
	}
	return v
}

// recorder keeps what passes.
type recorder struct {
	mu      sync.Mutex
	answers map[string]answer // by request id
	order   []string
}

func (r *recorder) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		tee := &teeing{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(tee, q)
		a := answer{Status: tee.status, Headers: map[string]string{}, Body: tee.body.Bytes()}
		for name, values := range w.Header() {
			a.Headers[name] = values[0]
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		id := w.Header().Get("X-Amzn-Requestid")
		if r.answers == nil {
			r.answers = map[string]answer{}
		}
		r.answers[id], r.order = a, append(r.order, id)
	})
}

// named is the tape for the judge, a line for each answer; the journal knows
// what each was called for.
func (r *recorder) named(c *cloud) string {
	c.t.Helper()
	called := map[string][2]string{}
	for _, call := range c.cloud.Journal() {
		called[call.RequestID] = [2]string{call.Service, call.Action}
	}
	var tape strings.Builder
	for _, id := range r.order {
		a := r.answers[id]
		a.Service, a.Operation = called[id][0], called[id][1]
		if a.Service == "" || a.Service == "registry" || strings.HasPrefix(a.Service, "github") {
			continue // no AWS model has those
		}
		fmt.Fprintf(&tape, "%s\n", must[[]byte](c.t)(json.Marshal(a)))
	}
	return tape.String()
}

// teeing keeps a copy of an answer.
type teeing struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *teeing) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *teeing) Write(b []byte) (int, error) {
	w.body.Write(b) // never fails: bytes.Buffer
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *teeing) Unwrap() http.ResponseWriter { return w.ResponseWriter }
