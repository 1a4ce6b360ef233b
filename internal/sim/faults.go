package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What a fault does to a call.
const (
	EffectError    = "error"    // refused, with a code of the service
	EffectLatency  = "latency"  // answered late
	EffectHang     = "hang"     // held until the client goes or the fault is cleared
	EffectHold     = "hold"     // performed; the answer is held until the client goes or the fault is cleared, and never sent
	EffectLost     = "lost"     // performed; the connection ends without an answer
	EffectDrop     = "drop"     // the connection ends before anything is performed
	EffectTruncate = "truncate" // performed, the answer cut half-way; an upload's own bytes are cut
	EffectCorrupt  = "corrupt"  // a byte of a blob or manifest is another one
	EffectStuck    = "stuck"    // a runtime or endpoint gets a status and keeps it
)

// Fault is something that goes wrong on purpose: which calls it befalls, how
// many of them, and what it does.
type Fault struct {
	ID        string `json:"id,omitempty"` // given by the cloud: f1, f2 ...
	Service   string `json:"service"`      // as in the journal, or *
	Operation string `json:"operation"`    // as the journal's action, or *
	// Resource is a part of what the call names: a parameter, a repository
	// with its tag or digest, a runtime's id, an endpoint. If empty, anything.
	Resource string `json:"resource,omitempty"`
	Skip     int    `json:"skip,omitempty"`  // calls that are let through first
	Times    int    `json:"times,omitempty"` // calls that it befalls; 0: all until cleared
	Effect   string `json:"effect"`
	Code     string `json:"code,omitempty"`       // of an error
	Status   int    `json:"status,omitempty"`     // of an error: HTTP
	Message  string `json:"message,omitempty"`    // of an error, or of a status that says why
	Latency  int64  `json:"latency_ms,omitempty"` // milliseconds
	State    string `json:"state,omitempty"`      // of what is stuck
	Hits     int    `json:"hits"`                 // calls that it has befallen so far
	Held     int    `json:"held,omitempty"`       // of them, those that were performed and then held
}

// faults are those that are set. They are kept in memory alone: a fault is a
// tester's act on a running cloud, and one that was forgotten must not outlive
// it. Nothing of the cloud's own state depends on them.
type faults struct {
	mu   sync.Mutex
	last int    // the number in the newest id
	run  string // tells this process's faults from an earlier one's
	set  []*setFault
}

// setFault is a fault while it is set.
type setFault struct {
	Fault
	// key names it in records, which outlive the process: ids begin again.
	key     string
	seen    int           // calls that matched
	cleared chan struct{} // closed when it is no longer set
}

// AddFault sets a fault and returns it as the cloud keeps it: with its id and
// with what an error's code usually comes with.
func (c *Cloud) AddFault(f Fault) (Fault, error) {
	if err := c.completeFault(&f); err != nil {
		return Fault{}, err
	}
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	if c.faults.run == "" {
		c.faults.run = newID(8)
	}
	c.faults.last++
	f.ID, f.Hits, f.Held = "f"+strconv.Itoa(c.faults.last), 0, 0
	c.faults.set = append(c.faults.set, &setFault{Fault: f, key: c.faults.run + " " + f.ID, cleared: make(chan struct{})})
	return f, nil
}

// Faults lists what is set, the oldest first. A fault that has befallen as
// many calls as it may stays listed until it is cleared.
func (c *Cloud) Faults() []Fault {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	list := []Fault{}
	for _, f := range c.faults.set {
		list = append(list, f.Fault)
	}
	return list
}

// ClearFault takes a fault back, all of them where id is empty: calls that hang
// go on, what was stuck moves.
func (c *Cloud) ClearFault(id string) error {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	var kept []*setFault
	for _, f := range c.faults.set {
		if id != "" && f.ID != id {
			kept = append(kept, f)
			continue
		}
		close(f.cleared)
	}
	if id != "" && len(kept) == len(c.faults.set) {
		return fmt.Errorf("no fault %s is set", id)
	}
	c.faults.set = kept
	return nil
}

// befall counts a call against the faults that match it and returns what
// happens to it: every latency, and the first other effect that is due.
func (c *Cloud) befall(service, operation, resource string) *hit {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	h := &hit{held: c.held}
	for _, f := range c.faults.set {
		if h.fault != nil && f.Effect != EffectLatency || !f.matches(service, operation, resource) || !f.due() {
			continue
		}
		f.Hits++
		h.marks = append(h.marks, f.mark())
		if f.Effect == EffectLatency {
			h.delay += time.Duration(f.Latency) * time.Millisecond
		} else {
			h.fault = f
		}
	}
	return h
}

// held counts a call that was performed and has no answer yet.
func (c *Cloud) held(f *setFault) {
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	f.Held++
}

func (f *setFault) matches(service, operation, resource string) bool {
	return (f.Service == anyName || f.Service == service) && (f.Operation == anyName || f.Operation == operation) &&
		strings.Contains(resource, f.Resource)
}

// due counts a call that matches and says whether its turn has come.
func (f *setFault) due() bool {
	f.seen++
	return f.seen > f.Skip && (f.Times == 0 || f.Hits < f.Times)
}

// mark is how the journal names a fault.
func (f *Fault) mark() string {
	mark := f.ID + " " + f.Effect
	if detail := f.Code + f.State; detail != "" {
		mark += " " + detail
	}
	return mark
}

// stuckState is the status that a fault holds something in, "" where it is no
// longer set.
func (c *Cloud) stuckState(key string) string {
	if key == "" {
		return ""
	}
	c.faults.mu.Lock()
	defer c.faults.mu.Unlock()
	i := slices.IndexFunc(c.faults.set, func(f *setFault) bool { return f.key == key })
	if i < 0 {
		return ""
	}
	return c.faults.set[i].State
}

func (c *Cloud) controlFaults(*http.Request) (any, error) {
	return map[string]any{"faults": c.Faults()}, nil
}

func (c *Cloud) controlAddFault(r *http.Request) (any, error) {
	var f Fault
	if err := readControl(r, &f); err != nil {
		return nil, err
	}
	return c.AddFault(f)
}

func (c *Cloud) controlClearFault(r *http.Request) (any, error) {
	return struct{}{}, c.ClearFault(r.URL.Query().Get("id"))
}
