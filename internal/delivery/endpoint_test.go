package delivery

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNamedEndpoint(t *testing.T) {
	live := func(d *Deliverer) { d.Target.Endpoint = "live" }
	// served: version 2 of commit a behind the endpoint live.
	served := func(more ...func(t *testing.T, w *world)) func(t *testing.T, w *world) {
		return func(t *testing.T, w *world) {
			w.endpointLive("1")
			d, _ := w.deliverer("setup")
			live(d)
			if dep, err := d.Deploy(t.Context(), commit("a")); err != nil || w.serving("live") != w.digestOf("a") {
				t.Fatalf("%+v, %v", dep, err)
			}
			w.ledger, w.counts = nil, map[string]int{}
			for _, m := range more {
				m(t, w)
			}
		}
	}
	failedB := func(t *testing.T, w *world) { // leaves version 3 in DEFAULT
		w.bad("b")
		d, _ := w.deliverer("other")
		live(d)
		if _, err := d.Deploy(t.Context(), commit("b")); ExitCode(err) != 1 {
			t.Errorf("the failing deploy: %v", err)
		}
		w.ledger = nil
	}
	behindLive := func(_ *testing.T, w *world) { // b fails through the endpoint alone
		w.verdicts["live "+w.digestOf("b")] = Answer{Status: 424}
	}
	stillA := func(t *testing.T, o *outcome) {
		t.Helper()
		if o.serving("live") != o.digestOf("a") || o.tags["latest"] != o.digestOf("a") {
			t.Errorf("live serves %s, latest %s", o.serving("live"), o.tags["latest"])
		}
	}
	for _, tr := range []trial{
		{name: "moved and probed", world: served(), writes: []string{putLock, pushOf("b"), "Update", "MoveEndpoint live 3", tagLatest, putImageURI, putRelease, dropLock},
			after: func(t *testing.T, o *outcome) {
				if o.serving("live") != o.digestOf("b") || o.counts["Invoke"] != 2 || o.release(t).Endpoint != "live" {
					t.Errorf("live serves %s after %d probes", o.serving("live"), o.counts["Invoke"])
				}
			}},
		{name: "a failed verify leaves it alone", world: served(badB), exit: 1, kind: KindFailed, says: []string{"live was not touched"},
			writes: []string{putLock, pushOf("b"), "Update", dropLock}, after: stillA},
		{name: "the way back is what it serves, not what DEFAULT has", world: served(failedB), opts: func(o *DeployOptions) { o.Source.Revision = rev("c") },
			after: func(t *testing.T, o *outcome) {
				if p := o.release(t).Previous; p.Version != "2" || p.Revision != rev("a") {
					t.Errorf("previous %+v", p)
				}
			}},
		{name: "what it serves already is nothing to do", world: served(failedB), opts: func(o *DeployOptions) { o.Source.Revision = rev("a") }, writes: nothing(),
			after: func(t *testing.T, o *outcome) {
				if o.dep.Outcome != Unchanged || o.dep.Runtime.Version != "2" {
					t.Errorf("%s, version %s", o.dep.Outcome, o.dep.Runtime.Version)
				}
			}},
		{name: "moved again after it was moved back", world: served(behindLive, func(t *testing.T, w *world) {
			d, _ := w.deliverer("me")
			live(d)
			if _, err := d.Deploy(t.Context(), commit("b")); ExitCode(err) != 4 {
				t.Errorf("the failing deploy: %v", err)
			}
			w.bads()
			w.ledger = nil
		}), writes: []string{putLock, "MoveEndpoint live 3", tagLatest, putImageURI, putRelease, dropLock}},
		{name: "busy once", world: served(func(_ *testing.T, w *world) {
			w.before["MoveEndpoint"] = func(_ context.Context, n int) error {
				if n == 1 {
					return remote(ErrConflict, 409, "ConflictException")
				}
				return nil
			}
		}), after: func(t *testing.T, o *outcome) {
			if o.serving("live") != o.digestOf("b") {
				t.Errorf("live serves %s", o.serving("live"))
			}
		}},
		{name: "stuck past --timeout", world: served(func(_ *testing.T, w *world) {
			w.before["MoveEndpoint"] = func(context.Context, int) error { w.lag = 1 << 30; return nil }
		}), exit: 6, kind: KindPerson,
			says: []string{"waited 1m0s for endpoint live to serve version 3"}, alter: func(d *Deliverer) { d.Target.ReadyTimeout = time.Minute }},
		{name: "a failed probe through it moves it back", world: served(behindLive), exit: 4, kind: KindRolledBack, says: []string{"live serves version 2 again, verified"},
			writes: []string{putLock, pushOf("b"), "Update", "MoveEndpoint live 3", "MoveEndpoint live 2", putRelease, dropLock},
			after: func(t *testing.T, o *outcome) {
				if r := o.release(t); r.Version != "2" || r.Failed == nil || r.Failed.Version != "3" {
					t.Errorf("release %+v", r)
				}
				stillA(t, o)
			}},
		{name: "and can't be moved back", world: served(behindLive, func(_ *testing.T, w *world) {
			w.before["MoveEndpoint"] = func(_ context.Context, n int) error {
				if n > 1 {
					return throttled()
				}
				return nil
			}
		}), exit: 6, kind: KindPerson, says: []string{"live serves version 3"}},
		{name: "and does not serve there any more", world: served(behindLive, func(_ *testing.T, w *world) {
			w.verdicts["live "+w.digestOf("a")] = Answer{Status: 424}
		}), exit: 6, kind: KindPerson, says: []string{"live serves version 2"}},
		{name: "it can't be moved", world: served(func(_ *testing.T, w *world) {
			w.before["MoveEndpoint"] = func(context.Context, int) error { return remote(ErrDenied, 403, "AccessDeniedException") }
		}), exit: 1, kind: KindFailed, after: stillA},
		{name: "it never arrives", world: served(func(_ *testing.T, w *world) {
			w.after["MoveEndpoint"] = func(context.Context, int) error { w.lagging["live"] = 1 << 30; return nil }
		}), exit: 6, kind: KindPerson, says: []string{"live 2, target 3"}},
		{name: "somebody moved it", world: served(func(_ *testing.T, w *world) {
			w.after["Update"] = func(context.Context, int) error { w.endpointLive("1"); return nil }
		}), exit: 5, kind: KindSuperseded, after: func(t *testing.T, o *outcome) {
			if slices.ContainsFunc(o.wrote(), func(c string) bool { return strings.HasPrefix(c, "MoveEndpoint") }) {
				t.Error("it was moved all the same")
			}
		}},
		{name: "interrupted before it moves", world: served(), ctx: func(w *world) context.Context { return w.interruptAfter("Invoke", 1) },
			exit: 130, kind: KindInterrupted, says: []string{"live was not touched"}, after: stillA},
	} {
		more := tr.alter
		tr.alter = func(d *Deliverer) {
			live(d)
			if more != nil {
				more(d)
			}
		}
		if tr.opts == nil {
			tr.opts = deployB
		}
		tr.run(t)
	}
}
