package delivery

import (
	"bytes"
	"context"
	"errors"
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
		{name: "no measurement in time", world: afterA(func(_ *testing.T, w *world) {
			w.before["Invoke"] = func(_ context.Context, n int) error {
				if n <= 2 { // as many as there is time for
					return throttled()
				}
				return nil
			}
		}), alter: func(d *Deliverer) { d.Target.VerifyTimeout = 1400 * time.Millisecond }, exit: 4, kind: KindRolledBack, writes: undoOf(),
			says: []string{"verify could not be measured: ", "Throttl", "may be sound"}, after: servesA},
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
		{name: "an adopted runtime", world: badB, exit: 4, kind: KindRolledBack, says: []string{"0000000, serves again, as version 3, verified"},
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
		}), exit: 6, kind: KindPerson, says: []string{"bringing version 2 back: it does not serve", "DEFAULT serves version 4"}, after: leftLock},
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
		}), exit: 5, kind: KindSuperseded, says: []string{"DEFAULT serves version 3 (not by this delivery)"}, writes: []string{putLock, pushOf("b"), dropLock}},
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
		{name: "another release recorded since it was planned", world: afterA(func(_ *testing.T, w *world) {
			w.after["Push"] = func(context.Context, int) error {
				w.params["/helper/dev/release"] = strings.Replace(w.params["/helper/dev/release"], rev("a"), rev("c"), 1)
				return nil
			}
		}), exit: 5, kind: KindSuperseded, writes: []string{putLock, pushOf("b"), dropLock}},
		{name: "a first release recorded since it was planned", world: func(_ *testing.T, w *world) {
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

// TestTokenEndsBeforeTheUndo: where only the token is refused, what comes back
// serves unverified, and the record says so. An agent that fails, or an answer
// that says nothing, still needs a person.
func TestTokenEndsBeforeTheUndo(t *testing.T) {
	over := Answer{Status: 401, ErrorCode: "UnauthorizedException", Message: "Token has expired"}
	jwt := afterA(func(_ *testing.T, w *world) {
		w.versions[1] = edited(w.versions[1], `{"authorizerConfiguration":{"customJWTAuthorizer":{}}}`)
		w.verdicts[w.digestOf("a")], w.verdicts[w.digestOf("b")] = over, over
	})
	with := func(more func(w *world)) func(t *testing.T, w *world) {
		return func(t *testing.T, w *world) { jwt(t, w); more(w) }
	}
	unverified := func(version string) func(t *testing.T, o *outcome) {
		return func(t *testing.T, o *outcome) {
			t.Helper()
			r := o.release(t)
			if r.Version != version || r.Revision != rev("a") || r.Digest != o.digestOf("a") || r.Verdict != Unverified || r.Failed == nil || r.Failed.Revision != rev("b") {
				t.Errorf("release %+v", r)
			}
			if o.lock(t) != nil || o.dep.Outcome != RolledBack || strings.Contains(o.text(), "a-token") {
				t.Errorf("%s, lock %+v: %s", o.dep.Outcome, o.lock(t), o.text())
			}
			if n := strings.Count(o.text(), "put a fresh one there"); n != 1 {
				t.Errorf("the token's hint is given %d times: %s", n, o.text())
			}
		}
	}
	for _, tr := range []trial{
		{name: "for both", world: jwt, exit: 4, kind: KindRolledBack, writes: undoOf(), after: unverified("4"), says: []string{
			"verify could not be measured", "Token has expired", "may be sound",
			"aaaaaaa, serves again, as version 4, unverified: the token was refused"}},
		{name: "after the agent failed", world: with(func(w *world) { w.bad("b") }), exit: 4, kind: KindRolledBack, writes: undoOf(), after: unverified("4"),
			says: []string{"424 RuntimeClientError", "mend the agent", "as version 4, unverified: the token was refused"}},
		{name: "through a named endpoint", world: with(func(w *world) {
			w.endpointLive("2")
			delete(w.verdicts, w.digestOf("b"))
			w.verdicts["live "+w.digestOf("b")] = over
		}), alter: func(d *Deliverer) { d.Target.Endpoint = "live" }, exit: 4, kind: KindRolledBack, after: unverified("2"),
			says: []string{"endpoint live serves version 2 again, unverified: the token was refused"}},
		{name: "the agent fails", world: with(func(w *world) {
			w.verdicts[w.digestOf("a")] = Answer{Status: 403, ErrorCode: "RuntimeClientError", Message: "it crashed"}
		}), exit: 6, kind: KindPerson, says: []string{"bringing version 2 back", "it crashed"}},
		{name: "no answer says anything", world: with(func(w *world) {
			w.verdicts[w.digestOf("a")] = Answer{Status: 500, ErrorCode: "InternalServerException"}
		}), exit: 6, kind: KindPerson, says: []string{"bringing version 2 back", "InternalServerException"}},
		{name: "what serves can't be read", world: with(func(w *world) {
			w.after["Invoke"] = func(_ context.Context, n int) error {
				if n == 2 {
					w.before["Endpoint"] = func(context.Context, int) error { return remote(ErrDenied, 403, "AccessDeniedException") }
				}
				return nil
			}
		}), exit: 6, kind: KindPerson, says: []string{"could not be read"}},
		{name: "somebody came between", world: with(func(w *world) {
			w.after["Invoke"] = func(_ context.Context, n int) error {
				if n == 2 {
					w.foreign()
				}
				return nil
			}
		}), exit: 5, kind: KindSuperseded, says: []string{"DEFAULT serves version 5"}},
	} {
		alter := tr.alter
		tr.opts, tr.alter = deployB, func(d *Deliverer) {
			d.Target.BearerToken = "a-token"
			if alter != nil {
				alter(d)
			}
		}
		tr.run(t)
	}
}

// TestTurnedAway: a call that AgentCore refuses by itself tells nothing about
// the agent, and is not said to.
func TestTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			answer Answer
			hint   string
		}{
			{Answer{Status: 403, ErrorCode: "AccessDeniedException", Message: "not authorized to perform InvokeAgentRuntime"}, "lacks a permission"},
			{Answer{Status: 404, ErrorCode: "ResourceNotFoundException", Message: "No endpoint or agent found"}, "the agent may be sound"},
		} {
			w := newWorld(t)
			w.verdicts[w.digestOf("b")] = test.answer
			d, _ := w.deliverer("me")
			_, err := d.Deploy(t.Context(), commit("b"))
			var e *Error
			if !errors.As(err, &e) || e.Kind != KindRolledBack || strings.Contains(err.Error(), "does not serve") ||
				!strings.Contains(err.Error(), "could not be measured") || !strings.Contains(strings.Join(e.Hints, " "), test.hint) {
				t.Errorf("%s: %v, %+v", test.answer.ErrorCode, err, e)
			}
		}
	})
}
