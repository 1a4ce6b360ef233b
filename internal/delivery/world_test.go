package delivery

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// watch is what a delivery told while it ran.
type watch struct {
	mu     sync.Mutex
	events []Event
	times  []time.Time
}

func (o *watch) see(e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events, o.times = append(o.events, e), append(o.times, time.Now())
}

func (o *watch) told(kind EventKind, part string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.events {
		said := strings.Contains(e.Text, part)
		for _, l := range e.Lines {
			said = said || strings.Contains(l.Text, part)
		}
		if said && e.Kind == kind {
			return true
		}
	}
	return false
}

// deliverer is one deployer of the world, a CI run by the name of owner.
func (w *world) deliverer(owner string) (*Deliverer, *watch) {
	o := &watch{}
	return &Deliverer{Target: testTarget(), Actor: Actor{Name: owner, Run: "https://github.com/runs/" + owner, Owner: owner, CI: true},
		Login: w, Builder: w, Repository: w, Publisher: w, Runtimes: w, Creator: w, Mover: w, Invoker: w, Logs: w, Parameters: w, Archive: w,
		Observe: o.see}, o
}

func commit(letter string) DeployOptions {
	return DeployOptions{Source: Source{Dir: ".", Revision: rev(letter)}, Platform: "linux/arm64"}
}

// mustDeploy delivers a commit that has to arrive.
func (w *world) mustDeploy(t *testing.T, letter string) *Deployment {
	t.Helper()
	d, _ := w.deliverer("setup")
	dep, err := d.Deploy(t.Context(), commit(letter))
	if err != nil || dep.Outcome != Deployed {
		t.Fatalf("deploying %s: %s, %v", letter, dep.Outcome, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ledger, w.counts, w.writes = nil, map[string]int{}, 0
	return dep
}

func (w *world) release(t testing.TB) *Release {
	t.Helper()
	value, ok := w.params["/helper/dev/release"]
	if !ok {
		return nil
	}
	var r Release
	if err := json.Unmarshal([]byte(value), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

func (w *world) lock(t testing.TB) *Lock {
	t.Helper()
	value, ok := w.params["/helper/dev/lock"]
	if !ok {
		return nil
	}
	var l Lock
	if err := json.Unmarshal([]byte(value), &l); err != nil {
		t.Fatal(err)
	}
	return &l
}

// serving is the digest that users get through an endpoint.
func (w *world) serving(name string) string {
	n, err := strconv.Atoi(w.endpoints[name].LiveVersion)
	if err != nil {
		return ""
	}
	return w.runs(w.versions[n-1])
}
