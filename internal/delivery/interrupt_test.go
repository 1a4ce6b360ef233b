package delivery

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
		runKilled(t, func() (*Deployment, error) { return first.Deploy(t.Context(), commit("c")) })
		w.onWrite = nil
		synctest.Wait()
		time.Sleep(2 * time.Hour)
		second, _ := w.deliverer("second")
		w.before["Push"] = func(context.Context, int) error { return throttled() }
		_, err := second.Deploy(t.Context(), commit("d"))
		var e *Error
		if !errors.As(err, &e) || ExitCode(err) != 1 || !strings.Contains(e.Serves, "version 3 serves, by an earlier delivery whose verdict is not recorded") {
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
