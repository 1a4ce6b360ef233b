package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestGoal picks releases by each way of naming one.
func TestGoal(t *testing.T) {
	digest := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	a := Release{Revision: rev("a"), Digest: digest("a"), Version: "2", Verdict: Passed}
	b := Release{Revision: rev("b"), Digest: digest("b"), Version: "3", Verdict: Unverified}
	c := Release{Revision: rev("c"), Digest: digest("c"), Version: "4", Verdict: Passed}
	d := Release{Revision: rev("d"), Digest: digest("d"), Version: "5", Verdict: Passed}
	cAgain := Release{Revision: rev("c"), Digest: digest("c"), Version: "6", Verdict: Passed, Failed: d.pointer()}
	near := Release{Revision: rev("a")[:39] + "0", Digest: digest("e"), Version: "7", Verdict: Passed}
	for _, test := range []struct {
		what string
		all  []Release
		to   string
		want string // version
		says string
	}{
		{"the one before", []Release{a, c, d}, "", "4", ""},
		{"an unverified one is passed over", []Release{a, b, c}, "", "2", ""},
		{"what was gone back from is passed over", []Release{a, c, d, cAgain}, "", "2", ""},
		{"twice", []Release{a, c, d, cAgain, {Revision: rev("a"), Digest: digest("a"), Version: "7", Verdict: Passed, Failed: cAgain.pointer()}}, "", "", "no release before"},
		{"delivered again", []Release{a, c, d, cAgain, d, a}, "", "5", ""},
		{"the same image with other settings was gone back from", []Release{a, c, {Revision: rev("c"), Digest: digest("c"), Version: "6", Verdict: Passed, Failed: c.pointer()}, d}, "", "6", ""},
		{"nothing before", []Release{d}, "", "", "no release before"},
		{"nothing at all", nil, "", "", "no release is recorded"},
		{"by revision", []Release{a, c, d}, rev("a"), "2", ""},
		{"by prefix", []Release{a, c, d}, rev("c")[:7], "4", ""},
		{"the newest of a revision", []Release{a, c, d, cAgain, a}, rev("c")[:9], "6", ""},
		{"by digest", []Release{a, c, d}, a.Digest, "2", ""},
		{"by version", []Release{a, c, d}, "2", "2", ""},
		{"an ambiguous prefix", []Release{a, near}, rev("a")[:8], "", "is the beginning of"},
		{"an unverified one by name", []Release{a, b, c}, "3", "", "never passed a verify"},
		{"an unknown one", []Release{a, c}, "99", "", "no recorded release is 99"},
		{"no name at all", []Release{a, c}, "latest", "", "names no release"},
		{"too short a prefix", []Release{a, c}, "aaaaaa", "", "names no release"},
	} {
		serving := ""
		if len(test.all) > 0 {
			serving = test.all[len(test.all)-1].Digest
		}
		got, err := goal(test.all, test.to, serving)
		if test.says != "" {
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v", test.what, err)
			}
			continue
		}
		if err != nil || got.Version != test.want {
			t.Errorf("%s: version %q, %v", test.what, got.Version, err)
		}
	}
}

// retreat is a world in which b serves, after a, and a rollback to a.
type retreat struct {
	*Deliverer
	world    *world
	bad      bool
	endpoint string
	from     string // the digest that serves
	aim      string // the digest that shall
}

// newRetreat makes one: "good" or "bad", which is whether a still serves, and
// "behind live" or "gone", where a's version is.
func newRetreat(t *testing.T, story string) *retreat {
	t.Helper()
	f := &retreat{world: newWorld(t), bad: strings.HasPrefix(story, "bad"), endpoint: DefaultEndpoint}
	f.Deliverer, _ = f.world.deliverer("me")
	if strings.Contains(story, "live") {
		f.endpoint, f.Target.Endpoint = "live", "live"
		f.world.endpointLive("1")
	}
	for _, letter := range []string{"a", "b"} {
		if _, err := f.Deploy(t.Context(), commit(letter)); err != nil {
			t.Fatal(err)
		}
	}
	if strings.HasSuffix(story, "gone") {
		f.world.deleted = 2
	}
	f.from, f.aim = f.world.digestOf("b"), f.world.digestOf("a")
	if f.bad {
		f.world.bad("a")
	}
	f.world.ledger, f.world.counts, f.world.writes = nil, map[string]int{}, 0
	return f
}

func retreats() []string {
	return []string{"good", "bad", "good behind live", "bad behind live", "good, gone", "good behind live, gone"}
}

func (f *retreat) run(ctx context.Context) (*Deployment, error) {
	return f.Rollback(ctx, RollbackOptions{To: rev("a")[:8]})
}

// TestRollback goes back in each way there is.
func TestRollback(t *testing.T) {
	for _, story := range retreats() {
		t.Run(story, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newRetreat(t, story)
				versions := len(f.world.versions)
				dep, err := f.run(t.Context())
				if f.bad {
					if dep.Outcome != RolledBack || ExitCode(err) != 4 || f.world.serving(f.endpoint) != f.from || f.world.tags[latestTag] != f.from {
						t.Errorf("%s, %v; %v", dep.Outcome, err, f.world.wrote())
					}
					return
				}
				if err != nil || dep.Outcome != Deployed || f.world.serving(f.endpoint) != f.aim || f.world.tags[latestTag] != f.aim {
					t.Fatalf("%s, %v; %v", dep.Outcome, err, f.world.wrote())
				}
				f.wentWell(t, dep, strings.HasSuffix(story, "live"), len(f.world.versions)-versions)
				writes := f.world.writes
				if dep, err := f.run(t.Context()); err != nil || dep.Outcome != Unchanged || f.world.writes != writes {
					t.Errorf("again: %s, %v", dep.Outcome, err)
				}
				if _, err := f.Rollback(t.Context(), RollbackOptions{}); ExitCode(err) != 2 || f.world.writes != writes {
					t.Errorf("there is nothing good before it: %v", err)
				}
			})
		})
	}
}

// wentWell looks at a rollback that is done; pointed is whether the endpoint
// alone had to move.
func (f *retreat) wentWell(t *testing.T, dep *Deployment, pointed bool, made int) {
	t.Helper()
	if made != map[bool]int{true: 0, false: 1}[pointed] {
		t.Errorf("%d versions were made", made)
	}
	for _, s := range dep.Stages {
		skipped := s.Name == StageBuild || s.Name == StagePush || pointed && (s.Name == StageUpdate || s.Name == StageReady || s.Name == StageVerify) ||
			s.Name == StageEndpoint && f.endpoint == DefaultEndpoint
		if s.Skipped != skipped {
			t.Errorf("stage %s: skipped %v", s.Name, s.Skipped)
		}
	}
	r := f.world.release(t)
	if r.Digest != f.aim || r.Verdict != Passed || r.Endpoint != f.endpoint || r.Failed == nil || r.Failed.Digest != f.from {
		t.Errorf("recorded %+v", r)
	}
	if n := f.world.counts["Build"] + f.world.counts["Push"]; n != 0 {
		t.Errorf("it moved image bytes: %v", f.world.ledger)
	}
}

// TestRollbackPlan says what a rollback would do, and writes nothing.
func TestRollbackPlan(t *testing.T) {
	for story, want := range map[string]string{
		"good":                   "with the configuration of version 2",
		"good behind live":       "move the endpoint live from version 3 to 2",
		"good, gone":             "today's configuration and the recorded image: version 2 is gone",
		"good behind live, gone": "move the endpoint live to it",
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newRetreat(t, story)
			p, err := f.RollbackPlan(t.Context(), RollbackOptions{})
			if err != nil || f.world.writes != 0 || !slices.ContainsFunc(p.Steps, func(s PlanStep) bool { return strings.Contains(s.Text, want) }) {
				t.Fatalf("%s: %+v, %v", story, p, err)
			}
			if resets := len(p.RollbackCaveats()) > 1; resets != (story != "good behind live") {
				t.Errorf("%s: %v", story, p.RollbackCaveats())
			}
		})
	}
}

// TestRollbackRefused writes nothing.
func TestRollbackRefused(t *testing.T) {
	for what, test := range map[string]struct {
		to   string
		hurt func(f *retreat)
		code int
		says string
	}{
		"no such release":   {"1234567", func(*retreat) {}, 2, "no recorded release is 1234567"},
		"the image is gone": {"", func(f *retreat) { delete(f.world.images, f.aim) }, 2, "is gone from the repository"},
		"no record":         {"", func(f *retreat) { clear(f.world.history) }, 2, "no release is recorded"},
		"another account":   {"", func(f *retreat) { f.world.account = "999999999999" }, 2, "belong to account"},
		"somebody is at work": {"", func(f *retreat) {
			raw, _ := json.Marshal(Lock{Schema: lockSchema, Nonce: "theirs", Owner: "other", Expires: time.Now().Add(time.Hour)})
			f.world.params["/helper/dev/lock"] = string(raw)
		}, 5, "has held it since"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newRetreat(t, "good")
				versions := len(f.world.versions)
				test.hurt(f)
				_, err := f.Rollback(t.Context(), RollbackOptions{To: test.to})
				if ExitCode(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) || len(f.world.versions) != versions {
					t.Errorf("exit %d: %v", ExitCode(err), err)
				}
			})
		})
	}
}

// TestRollbackFaultAnywhere lets each fault befall each call of a rollback:
// the exit code is true, and the same command run again does its work.
func TestRollbackFaultAnywhere(t *testing.T) {
	for fault, befall := range faults() {
		for _, story := range retreats() {
			t.Run(fault+", "+story, func(t *testing.T) {
				for k := 1; ; k += stride {
					more := true
					synctest.Test(t, func(t *testing.T) {
						f := newRetreat(t, story)
						ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
						defer cancel()
						f.world.fault = befall(k, cancel)
						_, err := f.run(ctx)
						more = len(f.world.ledger) >= k
						f.judge(t, fmt.Sprintf("call %d (%s)", k, f.world.ledger[min(k, len(f.world.ledger))-1]), err)
					})
					if !more || t.Failed() {
						return
					}
				}
			})
		}
	}
}

func (f *retreat) judge(t *testing.T, where string, err error) {
	t.Helper()
	w, exit := f.world, ExitCode(err)
	serving, latest, lock := w.serving(f.endpoint), w.tags[latestTag], w.lock(t)
	say := func(format string, args ...any) {
		t.Errorf("%s: exit %d (%v): %s", where, exit, err, fmt.Sprintf(format, args...))
	}
	switch {
	case exit == 0 && (serving != f.aim || latest != f.aim || w.release(t).Digest != f.aim || f.bad):
		say("a does not serve")
	case (exit == 1 || exit == 2 || exit == 4) && (serving != f.from || latest != f.from):
		say("b does not serve: %s, latest %s", serving, latest)
	case exit == 5 || exit == 3:
		say("there is nobody else")
	case (exit == 6 || exit == 130) && serving != f.from && (lock == nil || lock.Previous == nil):
		say("b does not serve, and the lock %+v does not say what to come back to", lock)
	}
	w.fault = nil
	_, again := f.run(t.Context())
	want, code := f.aim, 0
	if f.bad {
		want, code = f.from, 4
	}
	if ExitCode(again) != code || w.serving(f.endpoint) != want || w.tags[latestTag] != want || w.lock(t) != nil {
		say("run again: exit %d, %v; serving %s, latest %s, lock %+v", ExitCode(again), again, w.serving(f.endpoint), w.tags[latestTag], w.lock(t))
	}
}

// TestRollbackKilledAnywhere kills a rollback before and after each of its
// writes and runs it again: the end is as if it had never been killed.
func TestRollbackKilledAnywhere(t *testing.T) {
	for _, story := range retreats() {
		for _, to := range []string{rev("a"), ""} {
			var want end
			writes, code := 0, 0
			synctest.Test(t, func(t *testing.T) {
				f := newRetreat(t, story)
				_, err := f.Rollback(t.Context(), RollbackOptions{To: to})
				want, writes, code = f.world.end(t, "a"), f.world.writes, ExitCode(err)
			})
			for n := 1; n <= writes; n++ {
				for _, done := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, to %q, %d %v", story, to, n, done), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							f := newRetreat(t, story)
							f.world.killAt(n, done)
							run := func() (*Deployment, error) { return f.Rollback(t.Context(), RollbackOptions{To: to}) }
							runKilled(t, run)
							f.world.onWrite = nil
							_, err := run()
							last := n == writes || n == writes-1 && done // the verdict was written
							if last && to == "" && ExitCode(err) == 2 {
								return // it was done, and there is nothing further back
							}
							if ExitCode(err) != code && (!last || err != nil) {
								t.Fatalf("run again: %v", err)
							}
							if got := f.world.end(t, "a"); !reflect.DeepEqual(got, want) {
								t.Errorf("after %v:\n got %+v\nwant %+v", f.world.wrote(), got, want)
							}
						})
					})
				}
			}
		}
	}
}

// TestRollbackEdited: after an edit by hand the release that it was made to is
// the one before; and what DEFAULT has behind a named endpoint is not what was
// served.
func TestRollbackEdited(t *testing.T) {
	for story, want := range map[string]string{"good": "b", "good behind live": "a"} {
		synctest.Test(t, func(t *testing.T) {
			f := newRetreat(t, story)
			f.world.foreign()
			p, err := f.RollbackPlan(t.Context(), RollbackOptions{})
			if err != nil {
				t.Fatalf("%s: %v", story, err)
			}
			edited := slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Path == "description" })
			if p.Digest != f.world.digestOf(want) || edited != (want == "b") {
				t.Errorf("%s: planned is %s with %+v", story, p.Digest, p.Changes)
			}
			if _, err := f.Rollback(t.Context(), RollbackOptions{}); err != nil || f.world.serving(f.endpoint) != f.world.digestOf(want) {
				t.Errorf("%s: %v", story, err)
			}
		})
	}
}

// TestRollbackUnrecorded goes back from what serves, not from what was recorded
// last: what a delivery that was killed has left, for one.
func TestRollbackUnrecorded(t *testing.T) {
	for _, story := range []string{"good", "good behind live"} {
		t.Run(story, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newRetreat(t, story)
				f.world.onWrite = func(_ int, done bool) {
					if name := f.world.ledger[len(f.world.ledger)-1]; name == "PutParameter /helper/dev/image-uri" && done {
						panic(killed{})
					}
				}
				runKilled(t, func() (*Deployment, error) { return f.Deploy(t.Context(), commit("c")) })
				f.world.onWrite = nil
				if f.world.serving(f.endpoint) != f.world.digestOf("c") {
					t.Fatal("c does not serve")
				}
				if _, err := f.Rollback(t.Context(), RollbackOptions{}); err != nil || f.world.serving(f.endpoint) != f.from {
					t.Fatalf("%v; b does not serve", err)
				}
				if r := f.world.release(t); r.Digest != f.from || r.Failed == nil || r.Failed.Digest != f.world.digestOf("c") || f.world.lock(t) != nil {
					t.Errorf("recorded %+v", r)
				}
			})
		})
	}
}

// TestRollbackRecreated trusts the digest that was recorded, not the number of
// a version: numbers begin again where a runtime was made anew.
func TestRollbackRecreated(t *testing.T) {
	for _, story := range []string{"good", "good behind live"} {
		t.Run(story, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newRetreat(t, story)
				other, err := parseObject(f.world.versions[2]) // b's
				if err != nil {
					t.Fatal(err)
				}
				f.world.versions[1] = other.set("agentRuntimeVersion", quoted("2")).raw()
				if _, err := f.Rollback(t.Context(), RollbackOptions{To: rev("a")}); err != nil || f.world.serving(f.endpoint) != f.aim || len(f.world.versions) != 4 {
					t.Errorf("%v; %d versions, a serves: %v", err, len(f.world.versions), f.world.serving(f.endpoint) == f.aim)
				}
			})
		})
	}
}

// TestRollbackAgreed does what was agreed to, or nothing.
func TestRollbackAgreed(t *testing.T) {
	for _, story := range []string{"good", "good behind live"} {
		synctest.Test(t, func(t *testing.T) {
			f := newRetreat(t, story)
			no := &Error{Kind: KindUsage, Err: errors.New("answered no")}
			if _, err := f.Rollback(t.Context(), RollbackOptions{Agree: func(*Plan) error { return no }}); ExitCode(err) != 2 || f.world.writes != 0 {
				t.Errorf("%s: nobody agreed: %v; %v", story, err, f.world.wrote())
			}
			other, _ := f.world.deliverer("other")
			other.Target.Endpoint = f.Target.Endpoint
			_, err := f.Rollback(t.Context(), RollbackOptions{Agree: func(p *Plan) error {
				if p.Digest != f.aim || len(p.Steps) == 0 {
					t.Errorf("%s: shown was %+v", story, p)
				}
				_, err := other.Deploy(t.Context(), commit("c"))
				return err
			}})
			if ExitCode(err) != 5 || f.world.serving(f.endpoint) != f.world.digestOf("c") || f.world.lock(t) != nil {
				t.Errorf("%s: what came in between was overwritten: %v", story, err)
			}
			agreed := func(*Plan) error { return nil }
			if _, err := f.Rollback(t.Context(), RollbackOptions{To: rev("a"), Agree: agreed}); err != nil || f.world.serving(f.endpoint) != f.aim {
				t.Errorf("%s: %v", story, err)
			}
		})
	}
}

// TestRollbackHides: a version that is gone comes back with today's
// configuration, and with it what must not be shown.
func TestRollbackHides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newRetreat(t, "good, gone")
		f.Target.Settings = json.RawMessage(`{"environmentVariables":{"TOKEN":"canary"}}`)
		f.Target.Origins = map[string]string{"TOKEN": "${ssm:/x}"}
		if _, err := f.Deploy(t.Context(), commit("c")); err != nil {
			t.Fatal(err)
		}
		f.Target.Origins = nil // slipway.yaml states it now
		if _, err := f.run(t.Context()); err != nil || !slices.Contains(f.world.release(t).Hidden, "TOKEN") {
			t.Errorf("recorded %+v, %v", f.world.release(t), err)
		}
	})
}

// TestRollbackElsewhere leaves the tag latest where the image is in another
// repository.
func TestRollbackElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newRetreat(t, "good")
		var r Release
		history := f.world.history["/helper/dev/release"]
		if err := json.Unmarshal([]byte(history[len(history)-2]), &r); err != nil {
			t.Fatal(err)
		}
		r.Image = "444455556666.dkr.ecr.us-east-1.amazonaws.com/other/agent@" + r.Digest
		raw, _ := json.Marshal(r)
		history[len(history)-2] = string(raw)
		dep, err := f.run(t.Context())
		if err != nil || f.world.serving(DefaultEndpoint) != f.aim || f.world.tags[latestTag] != f.from || dep.Image != r.Image {
			t.Errorf("%+v, %v; latest %s", dep, err, f.world.tags[latestTag])
		}
	})
}
