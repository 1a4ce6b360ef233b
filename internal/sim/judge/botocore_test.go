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
	"sync"
	"testing"

	"github.com/slipway-cd/slipway/internal/needs"
)

// partBotocore is botocore with a model that knows AgentCore.
const partBotocore = "botocore"

// TestBotocore judges the raw answers to every call that the JavaScript SDK
// makes by botocore's models: required members, unknown members, types,
// enumerations, patterns, declared errors.
func TestBotocore(t *testing.T) {
	needBotocore(t)
	judgeShapes(t, recordAnswers(t)).holds(t, partBotocore)
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

// recordAnswers is what the JavaScript SDK is answered, in order.
func recordAnswers(t *testing.T) []answer {
	t.Helper()
	tape := &recorder{answers: map[string]answer{}}
	c := newCloud(t, tape.record)
	judgeJS(c) // what it says is its own test's
	return tape.named(c)
}

// judgeShapes lets botocore judge answers.
func judgeShapes(t *testing.T, answers []answer) verdict {
	t.Helper()
	var in bytes.Buffer
	for _, a := range answers {
		fmt.Fprintf(&in, "%s\n", must[[]byte](t)(json.Marshal(a)))
	}
	p := program{dir: must[string](t)(filepath.Abs("testdata/python")), in: in.String()}
	p.version(t, "python3", "-c", "import botocore; print('botocore', botocore.__version__)")
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
		r.answers[w.Header().Get("X-Amzn-Requestid")] = a
	})
}

// named are the answers of AWS's services; the cloud's journal knows what each
// was called for.
func (r *recorder) named(c *cloud) []answer {
	c.t.Helper()
	var all []answer
	for _, call := range c.cloud.Journal() {
		a, ok := r.answers[call.RequestID]
		if !ok || call.Service == "registry" || call.Service == "github" {
			continue // no model of AWS has those
		}
		a.Service, a.Operation = call.Service, call.Action
		all = append(all, a)
	}
	return all
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
