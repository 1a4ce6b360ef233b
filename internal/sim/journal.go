package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	RequestID string    `json:"request_id,omitempty"`
}

// journal is an append-only file of calls, one JSON object a line.
type journal struct {
	mu    sync.Mutex
	file  *os.File
	calls []Call
}

func openJournal(path string) (*journal, error) {
	j := &journal{}
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var call Call
		if json.Unmarshal(lines.Bytes(), &call) == nil { // a line cut off by a crash is dropped
			j.calls = append(j.calls, call)
		}
	}
	if j.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	return j, nil
}

// add records a call. The journal is an account, not a ledger: a line that
// can't be written is not worth failing the call it describes.
func (j *journal) add(call Call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls = append(j.calls, call)
	if raw, err := json.Marshal(call); err == nil {
		_, _ = j.file.Write(append(raw, '\n'))
	}
}

// Journal returns every call since the last reset, oldest first.
func (c *Cloud) Journal() []Call {
	if c.Open() != nil {
		return nil
	}
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	return append([]Call{}, c.journal.calls...)
}

func (j *journal) reset() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls = nil
	return j.file.Truncate(0)
}

func (j *journal) close() error { return j.file.Close() }
