package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Call is one entry of the journal: who did what, on what, and whether it was
// allowed. It never holds a body, a token or a query string.
type Call struct {
	Time      time.Time `json:"time"`
	Principal string    `json:"principal"` // ARN, or "anonymous"
	Service   string    `json:"service"`   // sts, iam, ssm, ecr, registry, bedrock-agentcore, logs, github
	Action    string    `json:"action"`
	Resource  string    `json:"resource,omitempty"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Bytes     int64     `json:"bytes"` // of the request's body
	Status    int       `json:"status"`
	Allowed   bool      `json:"allowed"`
	Why       string    `json:"why,omitempty"` // why not
	// Decisions are what the permission policies were asked, and said.
	Decisions []Decision `json:"decisions,omitempty"`
	RequestID string     `json:"request_id,omitempty"`
	Fault     string     `json:"fault,omitempty"` // what befell it: f1 lost
}

// Most bytes of a field: callers choose what is in them, and those who are
// refused are journaled too.
const (
	maxCallField = 2 << 10
	maxCallWhy   = 8 << 10 // it may explain a policy
)

// journal is an append-only file of calls, one JSON object a line. It is kept
// on disk alone, so that a cloud may run for weeks.
type journal struct {
	mu   sync.Mutex
	file *os.File
	torn bool // the last line was cut off, by a crash or a full disk
}

func openJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	j := &journal{file: file}
	if err := j.mend(); err != nil {
		return nil, errors.Join(fmt.Errorf("reading the journal: %w", err), file.Close())
	}
	return j, nil
}

// mend looks for a line that a crash cut off, for add to close.
func (j *journal) mend() error {
	info, err := j.file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	last := make([]byte, 1)
	_, err = j.file.ReadAt(last, info.Size()-1)
	j.torn = last[0] != '\n'
	return err
}

// add records a call. The journal is an account, not a ledger: a line that
// can't be written is not worth failing the call it describes.
func (j *journal) add(call Call) {
	for _, field := range []*string{&call.Principal, &call.Action, &call.Resource, &call.Method, &call.Path} {
		*field = cut(*field, maxCallField)
	}
	call.Why = cut(call.Why, maxCallWhy)
	for i := range call.Decisions {
		d := &call.Decisions[i]
		d.Resource, d.By = cut(d.Resource, maxCallField), cut(d.By, maxCallWhy)
	}
	raw, err := json.Marshal(call)
	if err != nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	raw = append(raw, '\n')
	if j.torn {
		raw = append([]byte{'\n'}, raw...)
	}
	n, err := j.file.Write(raw)
	j.torn = err != nil && (j.torn || n > 0)
}

// cut shortens s to most bytes and says so.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Journal returns every call since the last reset, oldest first.
func (c *Cloud) Journal() []Call {
	if c.Open() != nil {
		return nil
	}
	c.journal.mu.Lock()
	raw, err := os.ReadFile(c.journal.file.Name())
	c.journal.mu.Unlock()
	if err != nil {
		c.warn("reading the journal: %v", err)
	}
	calls := []Call{}
	for line := range bytes.Lines(raw) {
		var call Call
		if json.Unmarshal(line, &call) == nil { // a line cut off by a crash is left out
			calls = append(calls, call)
		}
	}
	return calls
}

func (j *journal) reset() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.torn = false
	return j.file.Truncate(0)
}

func (j *journal) close() error { return j.file.Close() }
