package delivery

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// afterA is a world in which commit a was delivered: version 2 serves it.
func afterA(more ...func(t *testing.T, w *world)) func(t *testing.T, w *world) {
	return func(t *testing.T, w *world) {
		w.mustDeploy(t, "a")
		for _, m := range more {
			m(t, w)
		}
	}
}

func deployB(o *DeployOptions) { o.Source.Revision = rev("b") }

func badB(_ *testing.T, w *world) { w.bad("b") }

// undoOf is what a failed deploy of b writes: no latest, one version more.
func undoOf() []string {
	return []string{putLock, pushOf("b"), "Update", "Update", putRelease, dropLock}
}

func servesA(t *testing.T, o *outcome) {
	t.Helper()
	if o.serving(DefaultEndpoint) != o.digestOf("a") || o.tags["latest"] != o.digestOf("a") {
		t.Errorf("serving %s, latest %s, want a's %s", o.serving(DefaultEndpoint), o.tags["latest"], o.digestOf("a"))
	}
}

func TestUndo(t *testing.T) {
	for _, tr := range []trial{
		{name: "a crash at start", world: afterA(badB, func(_ *testing.T, w *world) {
			w.lines = []LogLine{{Text: "ModuleNotFoundError: flask"}}
		}), exit: 4, kind: KindRolledBack, writes: undoOf(), says: []string{"424 RuntimeClientError", "aaaaaaa", "as version 4, verified"},
			after: func(t *testing.T, o *outcome) {
				servesA(t, o)
				r := o.release(t)
				if r.Version != "4" || r.Digest != o.digestOf("a") || r.Verdict != Passed || r.Failed == nil || r.Failed.Revision != rev("b") ||
					r.Failed.Version != "3" || r.Reason == "" || r.Previous == nil || r.Previous.Version != "1" {
					t.Errorf("release %+v, failed %+v, previous %+v", r, r.Failed, r.Previous)
				}
				if o.dep.Outcome != RolledBack || !o.watch.told(AgentOutput, "ModuleNotFoundError") {
					t.Errorf("%s; the agent's own lines were not shown", o.dep.Outcome)
				}
				if !bytes.Equal(settingsOf(o.versions[3]), settingsOf(o.versions[1])) {
					t.Errorf("version 4 is not version 2:\n%s\n%s", o.versions[3], o.versions[1])
				}
			}},
		{name: "an answer without what it has to contain", world: afterA(func(_ *testing.T, w *world) {
			w.verdicts[w.digestOf("b")] = Answer{Status: 200, Body: []byte("sorry")}
		}), alter: func(d *Deliverer) { d.Target.Verify.Contains = "pong" }, exit: 4, kind: KindRolledBack, writes: undoOf(),
			says: []string{`does not contain "pong": sorry`}, after: servesA},
		{name: "no answer at all", world: afterA(func(_ *testing.T, w *world) {
			w.before["Invoke"] = func(ctx context.Context, n int) error {
				if n == 1 {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
		}), exit: 4, kind: KindRolledBack, writes: undoOf(), says: []string{"no answer within 2m0s"}, after: servesA},
		{name: "the second bad one in a row", world: afterA(badB, func(t *testing.T, w *world) {
			d, _ := w.deliverer("other")
			opts := commit("c")
			w.bad("c")
			if _, err := d.Deploy(t.Context(), opts); ExitCode(err) != 4 {
				t.Errorf("the first: %v", err)
			}
			w.ledger = nil
		}), exit: 4, kind: KindRolledBack, writes: undoOf(), after: func(t *testing.T, o *outcome) {
			servesA(t, o)
			if r := o.release(t); r.Version != "6" || r.Revision != rev("a") || r.Previous.Version != "1" {
				t.Errorf("release %+v", r)
			}
			if !o.watch.told(Note, "was rolled back from ccccccc by other") {
				t.Error("it is not said that the environment was rolled back")
			}
		}},
		{name: "the good one again is nothing to do", world: afterA(badB, func(t *testing.T, w *world) {
			d, _ := w.deliverer("other")
			_, _ = d.Deploy(t.Context(), commit("b"))
			w.ledger = nil
		}), opts: func(o *DeployOptions) { o.Source.Revision = rev("a") }, writes: nothing(), after: servesA},
		{name: "an adopted runtime", world: badB, exit: 4, kind: KindRolledBack, says: []string{"version 1 serves again, as version 3"},
			after: func(t *testing.T, o *outcome) {
				if r := o.release(t); r == nil || r.Digest != o.tags[rev("0")] || o.tags["latest"] != r.Digest {
					t.Errorf("release %+v", r)
				}
			}},
		{name: "by latest, which comes back too", world: func(t *testing.T, w *world) {
			d, _ := w.deliverer("other")
			d.Target.Reference = ByLatest
			if _, err := d.Deploy(t.Context(), commit("a")); err != nil {
				t.Fatal(err)
			}
			w.bad("b")
		}, alter: func(d *Deliverer) { d.Target.Reference = ByLatest }, exit: 4, kind: KindRolledBack, after: servesA},
		{name: "itself fails", world: afterA(badB, func(_ *testing.T, w *world) {
			w.before["Update"] = func(_ context.Context, n int) error {
				if n > 1 {
					return remote(ErrDenied, 403, "AccessDeniedException")
				}
				return nil
			}
		}), exit: 6, kind: KindPerson, says: []string{"AccessDenied", "DEFAULT serves version 3 (unverified)"}, after: leftLock},
		{name: "and what comes back does not serve either", world: afterA(badB, func(_ *testing.T, w *world) {
			w.bad("a")
		}), exit: 6, kind: KindPerson, says: []string{"bringing version 2 back", "DEFAULT serves version 4"}, after: leftLock},
		{name: "somebody came between", world: afterA(badB, func(_ *testing.T, w *world) {
			w.after["Invoke"] = func(context.Context, int) error { w.foreign(); return nil }
		}), exit: 5, kind: KindSuperseded, says: []string{"DEFAULT serves version 4"}},
		{name: "the record can't be written", world: afterA(badB, func(_ *testing.T, w *world) {
			w.before["PutParameter"] = func(_ context.Context, n int) error {
				if n == 2 {
					return throttled()
				}
				return nil
			}
		}), exit: 4, kind: KindRolledBack, after: func(t *testing.T, o *outcome) {
			if servesA(t, o); !o.watch.told(Warning, "could not be recorded") {
				t.Error("no warning")
			}
		}},
		{name: "what served anyway fails its verify", world: afterA(func(_ *testing.T, w *world) {
			w.tags["latest"] = w.tags[rev("0")]
			w.bad("a")
		}), opts: func(o *DeployOptions) { o.Source.Revision = rev("a") }, exit: 6, kind: KindPerson,
			says: []string{"as before; nothing was changed"}, writes: []string{putLock, putLock}},
	} {
		if tr.opts == nil {
			tr.opts = deployB
		}
		tr.run(t)
	}
}

// settingsOf is a version's configuration without what names the version.
func settingsOf(doc Document) []byte {
	o, _ := parseObject(doc)
	return o.without(responseOnly()...).raw()
}

// leftLock: a person is needed, and the next deployer finds the last word.
func leftLock(t *testing.T, o *outcome) {
	t.Helper()
	if l := o.lock(t); l == nil || l.Left == "" || l.Previous == nil || l.Previous.Version != "2" {
		t.Errorf("lock %+v", l)
	}
	if o.tags["latest"] != o.digestOf("a") {
		t.Error("latest moved")
	}
	o.bads()
	d, watch := o.deliverer("next")
	dep, err := d.Deploy(t.Context(), commit("d"))
	if err != nil || dep.Previous.Version != "2" || !watch.told(Note, "an earlier delivery was interrupted") {
		t.Errorf("the next deploy: %+v, %v", dep, err)
	}
}

// bads takes every fault out of the world.
func (w *world) bads() {
	clear(w.before)
	clear(w.after)
	clear(w.verdicts)
}

func TestUpdateFails(t *testing.T) {
	for _, tr := range []trial{
		{name: "UPDATE_FAILED", world: afterA(func(_ *testing.T, w *world) { w.updateFails[w.digestOf("b")] = "no pull" }),
			exit: 1, kind: KindFailed, says: []string{"UPDATE_FAILED: no pull", "aaaaaaa, still serves"}, writes: []string{putLock, pushOf("b"), "Update", dropLock}, after: servesA},
		{name: "never READY", world: afterA(func(_ *testing.T, w *world) { w.polls = 1 << 30 }),
			exit: 6, kind: KindPerson, says: []string{"waited 15m0s", "last seen: UPDATING", "DEFAULT serves version 2"}},
		{name: "liveVersion never follows", world: afterA(func(_ *testing.T, w *world) { w.lag = 1 << 30 }),
			exit: 6, kind: KindPerson, says: []string{"endpoint DEFAULT to serve version 3", "live 2, target 3"}},
		{name: "deleted meanwhile", world: afterA(func(_ *testing.T, w *world) {
			w.after["Update"] = func(context.Context, int) error { w.status, w.busy = "DELETING", 0; return nil }
		}), exit: 6, kind: KindPerson, says: []string{"DELETING"}},
		{name: "busy, then not", world: afterA(func(_ *testing.T, w *world) {
			w.before["Update"] = func(_ context.Context, n int) error {
				if n == 1 {
					w.foreign()
					return remote(ErrConflict, 409, "ConflictException")
				}
				return nil
			}
		}), after: func(t *testing.T, o *outcome) {
			if p := o.release(t).Previous; o.dep.Outcome != Deployed || p.Version != "3" || !bytes.Contains(o.versions[3], []byte("by hand")) {
				t.Errorf("%s, previous %+v; the other update must survive: %s", o.dep.Outcome, p, o.versions[3])
			}
		}},
		{name: "busy for good", world: afterA(func(_ *testing.T, w *world) {
			w.before["Update"] = func(context.Context, int) error { return remote(ErrConflict, 409, "ConflictException") }
		}), exit: 1, kind: KindFailed, writes: []string{putLock, pushOf("b"), "Update", "Update", "Update", dropLock}, after: servesA},
		{name: "the answer is lost, then the token finds it", world: afterA(func(_ *testing.T, w *world) {
			w.after["Update"] = func(_ context.Context, n int) error {
				if n == 1 {
					return remote(nil, 0, "connection reset")
				}
				return nil
			}
		}), after: func(t *testing.T, o *outcome) {
			if o.dep.Outcome != Deployed || len(o.versions) != 3 {
				t.Errorf("%s, %d versions", o.dep.Outcome, len(o.versions))
			}
		}},
		{name: "the answer is lost, and somebody else's update found", world: afterA(func(_ *testing.T, w *world) {
			w.before["Update"] = func(context.Context, int) error { w.foreign(); return remote(nil, 0, "connection reset") }
		}), exit: 5, kind: KindSuperseded, after: func(t *testing.T, o *outcome) {
			if len(o.versions) != 3 {
				t.Errorf("%d versions: the other's was undone", len(o.versions))
			}
		}},
		{name: "refused", world: afterA(func(_ *testing.T, w *world) {
			w.before["Update"] = func(context.Context, int) error { return remote(ErrInvalid, 400, "ValidationException") }
		}), exit: 1, kind: KindFailed, after: servesA},
		{name: "refused with latest moved before it", world: afterA(func(_ *testing.T, w *world) {
			w.before["Update"] = func(context.Context, int) error { return remote(ErrInvalid, 400, "ValidationException") }
		}), alter: func(d *Deliverer) { d.Target.Reference = ByLatest }, exit: 1, kind: KindFailed, after: servesA},
		{name: "the fence: another update before ours", world: afterA(func(_ *testing.T, w *world) {
			w.after["Push"] = func(context.Context, int) error { w.foreign(); return nil }
		}), exit: 5, kind: KindSuperseded, writes: []string{putLock, pushOf("b"), dropLock}},
		{name: "the fence: another update beside ours", world: afterA(func(_ *testing.T, w *world) {
			w.before["Update"] = func(context.Context, int) error { w.foreign(); return nil }
		}), exit: 5, kind: KindSuperseded, says: []string{"made version 4, expected 3"}, after: func(t *testing.T, o *outcome) {
			if l := o.lock(t); l == nil || l.Left == "" || l.Previous.Version != "2" {
				t.Errorf("our version serves unverified, and the lock does not say so: %+v", l)
			}
		}},
		{name: "another update after ours", world: afterA(func(_ *testing.T, w *world) {
			w.after["Update"] = func(context.Context, int) error { w.foreign(); return nil }
		}), exit: 5, kind: KindSuperseded, after: func(t *testing.T, o *outcome) {
			if o.lock(t) != nil || o.counts["Tag"] > 0 {
				t.Errorf("lock %+v, wrote %v", o.lock(t), o.wrote())
			}
		}},
		{name: "another update while it is verified", world: afterA(func(_ *testing.T, w *world) {
			w.after["Invoke"] = func(context.Context, int) error { w.foreign(); return nil }
		}), exit: 5, kind: KindSuperseded, says: []string{"DEFAULT serves version 4"}},
		{name: "another release recorded since it was planned", world: afterA(func(t *testing.T, w *world) {
			w.after["Push"] = func(context.Context, int) error {
				w.params["/helper/dev/release"] = strings.Replace(w.params["/helper/dev/release"], rev("a"), rev("c"), 1)
				return nil
			}
		}), exit: 5, kind: KindSuperseded, writes: []string{putLock, pushOf("b"), dropLock}},
		{name: "a first release recorded since it was planned", world: func(t *testing.T, w *world) {
			w.after["Push"] = func(context.Context, int) error {
				w.params["/helper/dev/release"] = `{"schema":"slipway.release/v1","version":"1"}`
				return nil
			}
		}, exit: 5, kind: KindSuperseded, writes: []string{putLock, pushOf("b"), dropLock}},
		{name: "a newer delivery serves before latest moves", world: afterA(func(_ *testing.T, w *world) {
			w.after["Invoke"] = func(context.Context, int) error {
				w.before["Resolve"] = nil
				w.after["Endpoint"] = func(context.Context, int) error { delete(w.after, "Endpoint"); w.foreign(); return nil }
				return nil
			}
		}), writes: []string{putLock, pushOf("b"), "Update", dropLock}, after: func(t *testing.T, o *outcome) {
			if !o.watch.told(Note, "latest is left to it") {
				t.Error("no note")
			}
		}},
	} {
		tr.opts = deployB
		tr.run(t)
	}
}

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
		tr.alter = live
		if tr.opts == nil {
			tr.opts = deployB
		}
		tr.run(t)
	}
}

func TestInterrupted(t *testing.T) {
	for _, tr := range []trial{
		{name: "before the update", ctx: func(w *world) context.Context { return w.interruptAfter("Push", 1) },
			says: []string{"during push", "aaaaaaa, still serves"}, writes: []string{putLock, pushOf("b"), dropLock}},
		{name: "in the update", ctx: func(w *world) context.Context { return w.interruptIn("Update") }, says: []string{"was sent and not answered", "version 2 or the one after it"}, writes: []string{putLock, pushOf("b"), "Update", putLock}},
		{name: "while waiting", ctx: func(w *world) context.Context { return w.interruptAfter("Update", 1) },
			says:   []string{"during ready", "version 3 serves through DEFAULT or is about to, unverified", "same command"},
			writes: []string{putLock, pushOf("b"), "Update", putLock}},
		{name: "with latest to do", ctx: func(w *world) context.Context { return w.interruptIn("Tag") },
			says: []string{"version 3 serves bbbbbbb, verified; ", "is not done"}},
	} {
		tr.world, tr.opts, tr.exit, tr.kind = afterA(), deployB, 130, KindInterrupted
		look := tr.name
		tr.after = func(t *testing.T, o *outcome) {
			if look != "before the update" {
				leftLock(t, o)
			} else if o.lock(t) != nil {
				t.Errorf("lock %+v", o.lock(t))
			}
		}
		tr.run(t)
	}
}

// TestInterruptedThenBad: what the interrupted delivery left is not what a
// failing successor comes back to.
func TestInterruptedThenBad(t *testing.T) {
	trial{name: "comes back to what served before", world: afterA(func(t *testing.T, w *world) {
		d, _ := w.deliverer("other")
		if _, err := d.Deploy(w.interruptAfter("Update", 1), commit("c")); ExitCode(err) != 130 {
			t.Fatal(err)
		}
		w.bads()
		w.bad("b")
	}), opts: deployB, exit: 4, kind: KindRolledBack, after: servesA}.run(t)
}

// TestOrphan: what a killed delivery left is not forgotten when its successor
// fails before it could do better.
func TestOrphan(t *testing.T) {
	trial{name: "the third comes back to what served before the first", world: afterA(func(t *testing.T, w *world) {
		first, _ := w.deliverer("first")
		w.killAt(3, true) // the update
		runKilled(t, first, commit("c"))
		w.onWrite = nil
		synctest.Wait()
		time.Sleep(2 * time.Hour)
		second, _ := w.deliverer("second")
		w.before["Push"] = func(context.Context, int) error { return throttled() }
		_, err := second.Deploy(t.Context(), commit("d"))
		var e *Error
		if !errors.As(err, &e) || ExitCode(err) != 1 || !strings.Contains(e.Serves, "version 3 serves, left unverified") {
			t.Errorf("the second: %v", err)
		}
		if l := w.lock(t); l == nil || l.Left == "" || l.Previous.Version != "2" {
			t.Errorf("lock %+v", l)
		}
		w.bads()
		w.bad("b")
	}), opts: deployB, exit: 4, kind: KindRolledBack, after: servesA}.run(t)
}

func TestTimeIsUp(t *testing.T) {
	hang := func(w *world, call string) context.Context {
		w.before[call] = func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }
		return w.within(time.Minute)
	}
	for call, want := range map[string]struct {
		exit int
		kind Kind
		says string
	}{
		"Login":   {2, KindUnavailable, "nothing was changed"},
		"Build":   {1, KindFailed, "during build"},
		"Push":    {1, KindFailed, "aaaaaaa, still serves"},
		"Update":  {6, KindPerson, "sent and not answered"},
		"Invoke":  {6, KindPerson, "version 3 serves through DEFAULT"},
		"Tag":     {6, KindPerson, "version 3 serves bbbbbbb, verified; latest is not done"},
		"Resolve": {2, KindUnavailable, ""},
	} {
		trial{name: call, world: afterA(), opts: deployB, exit: want.exit, kind: want.kind, says: []string{"time allowed", want.says},
			ctx: func(w *world) context.Context {
				if call == "Resolve" {
					call = "Parameter"
				}
				return hang(w, call)
			}, after: func(t *testing.T, o *outcome) {
				if call == "Tag" && strings.Contains(o.text(), "unverified") {
					t.Errorf("what is verified is called unverified: %s", o.text())
				}
				if took := o.dep.Elapsed; took > time.Minute+10*time.Second {
					t.Errorf("took %s", took)
				}
			}}.run(t)
	}
}

// TestThrottled has each call answered 429 once and for good: what exit code,
// and whether the world is as the code says.
func TestThrottled(t *testing.T) {
	for _, tt := range []struct {
		call    string
		from    int // the first call of that name that is refused
		once    int
		forever int
	}{
		{"Login", 1, 2, 2},
		{"Login", 2, 2, 2}, // after the build
		{"Resolve", 1, 2, 2},
		{"Parameter", 1, 2, 2},
		{"Get", 1, 2, 2},
		{"PutParameter", 1, 0, 2}, // the lock
		{"Push", 1, 1, 1},
		{"Get", 2, 1, 1}, // the fence
		{"Update", 1, 0, 1},
		{"Get", 3, 0, 6}, // waiting
		{"Endpoint", 1, 0, 6},
		{"Invoke", 1, 0, 4}, // the way back is measured
		{"Tag", 1, 6, 6},
		{"PutParameter", 2, 6, 6}, // the record
		{"DeleteParameter", 1, 0, 0},
	} {
		for _, forever := range []bool{false, true} {
			want, name := tt.once, " once"
			if forever {
				want, name = tt.forever, " forever"
			}
			t.Run(tt.call+" "+strconv.Itoa(tt.from)+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.mustDeploy(t, "a")
					w.before[tt.call] = func(_ context.Context, n int) error {
						verify := tt.call == "Invoke" && n > measureTries
						if n == tt.from || forever && n > tt.from && !verify {
							return throttled()
						}
						return nil
					}
					d, _ := w.deliverer("me")
					_, err := d.Deploy(t.Context(), commit("b"))
					if ExitCode(err) != want {
						t.Fatalf("exit %d (%s), want %d: %v", ExitCode(err), KindOf(err), want, err)
					}
					serving := w.serving(DefaultEndpoint)
					if (want == 1 || want == 2 || want == 4) && (serving != w.digestOf("a") || w.tags["latest"] != serving) {
						t.Errorf("exit %d, and %s serves, latest %s", want, serving, w.tags["latest"])
					}
					w.bads()
					if dep, err := d.Deploy(t.Context(), commit("b")); err != nil || w.serving(DefaultEndpoint) != w.digestOf("b") || w.lock(t) != nil {
						t.Errorf("run again: %+v, %v", dep, err)
					}
				})
			})
		}
	}
}
