package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// faults are the columns of the fault matrix: what befalls the kth call, and
// perhaps all later ones of its name.
func faults() map[string]func(k int, cancel func()) func(context.Context, int, string, bool) error {
	at := func(forever bool, fail func() error) func(int, func()) func(context.Context, int, string, bool) error {
		return func(k int, _ func()) func(context.Context, int, string, bool) error {
			hit := ""
			return func(_ context.Context, i int, name string, done bool) error {
				if i == k {
					hit = name
				}
				if !done && (i == k || forever && name == hit) {
					return fail()
				}
				return nil
			}
		}
	}
	return map[string]func(int, func()) func(context.Context, int, string, bool) error{
		"throttled once":    at(false, throttled),
		"throttled forever": at(true, throttled),
		"500 forever":       at(true, func() error { return remote(nil, 500, "InternalServerException") }),
		"denied":            at(true, func() error { return remote(ErrDenied, 403, "AccessDeniedException") }),
		"expired":           at(true, func() error { return remote(ErrExpired, 400, "ExpiredTokenException") }),
		"answer lost": func(k int, _ func()) func(context.Context, int, string, bool) error {
			return func(_ context.Context, i int, _ string, done bool) error {
				if i == k && done {
					return remote(nil, 0, "connection reset by peer")
				}
				return nil
			}
		},
		"interrupted": func(k int, cancel func()) func(context.Context, int, string, bool) error {
			return func(_ context.Context, i int, _ string, done bool) error {
				if i == k && !done {
					cancel()
				}
				return nil
			}
		},
		"hangs past --timeout": func(k int, _ func()) func(context.Context, int, string, bool) error {
			return func(ctx context.Context, i int, _ string, done bool) error {
				if i == k && !done {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
		},
	}
}

// TestFaultAnywhere lets each fault befall each call of a deploy and of a
// promotion, good and bad, with and without a named endpoint, and onto a
// runtime that was not delivered by slipway. Whatever comes of it, the exit code
// is true, it ends in time, and the same command run again does its work.
func TestFaultAnywhere(t *testing.T) {
	for fault, befall := range faults() {
		for _, story := range []string{"good", "bad", "good behind live", "bad behind live", "good adoption", "bad adoption",
			"good promotion", "bad promotion", "good promotion behind live", "bad promotion behind live", "good promotion, adoption", "bad promotion, adoption"} {
			t.Run(fault+", "+story, func(t *testing.T) {
				for k := 1; ; k += stride {
					more := true
					synctest.Test(t, func(t *testing.T) {
						f := newFaulty(t, story)
						ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
						defer cancel()
						f.world.fault = befall(k, cancel)
						start := time.Now()
						_, err := f.deliver(ctx)
						more = len(f.world.ledger) >= k
						if took := time.Since(start); took > 40*time.Minute+10*time.Second {
							t.Errorf("took %s", took)
						}
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

// faulty is a world in which something serves, a or what was found there, and
// b is delivered: deployed or promoted.
type faulty struct {
	*Deliverer
	deliver  func(context.Context) (*Deployment, error)
	world    *world
	watch    *watch
	bad      bool
	endpoint string
	before   string // the digest that serves
	versions int    // how many there are
}

func newFaulty(t *testing.T, story string) *faulty {
	f := &faulty{world: newWorld(t), bad: strings.HasPrefix(story, "bad"), endpoint: DefaultEndpoint}
	f.Deliverer, f.watch = f.world.deliverer("me")
	if strings.HasSuffix(story, "live") {
		f.endpoint, f.Target.Endpoint = "live", "live"
		f.world.endpointLive("1")
	}
	f.before = f.world.tags[rev("0")]
	if !strings.HasSuffix(story, "adoption") {
		f.before = f.world.digestOf("a")
		if _, err := f.Deploy(t.Context(), commit("a")); err != nil {
			t.Fatal(err)
		}
	}
	f.deliver = func(ctx context.Context) (*Deployment, error) { return f.Deploy(ctx, commit("b")) }
	if strings.Contains(story, "promotion") {
		p := f.world.promotion(t, f.Deliverer, "b")
		f.deliver = func(ctx context.Context) (*Deployment, error) { return f.Promote(ctx, p) }
	}
	f.versions = len(f.world.versions)
	f.world.ledger, f.world.counts = nil, map[string]int{}
	if f.bad {
		f.world.bad("b")
	}
	return f
}

// judge compares what the exit code says with what is there, and runs the
// command again in a world without faults.
func (f *faulty) judge(t *testing.T, where string, err error) {
	w, exit := f.world, ExitCode(err)
	a, b := f.before, w.digestOf("b")
	serving, latest, lock := w.serving(f.endpoint), w.tags["latest"], w.lock(t)
	say := func(format string, args ...any) {
		t.Errorf("%s: exit %d (%v): %s", where, exit, err, fmt.Sprintf(format, args...))
	}
	// A lock that could not be released is a warning.
	locked := lock != nil && lock.Left == "" && !slices.Contains(w.ledger, dropLock) && !f.watch.told(Warning, "the lock /helper/dev/lock could not be")
	switch {
	case exit == 0 && (serving != b || latest != b || w.release(t).Digest != b || f.bad):
		say("b does not serve")
	case (exit == 1 || exit == 2 || exit == 4) && (serving != a || latest != a):
		say("a does not serve: %s, latest %s", serving, latest)
	case exit == 2 && len(w.versions) > f.versions:
		say("something was written: %v", w.wrote())
	case exit == 5 || exit == 3:
		say("there is nobody else")
	case exit == 6 || exit == 130:
		if serving != a && (lock == nil || lock.Previous == nil) {
			say("a does not serve, and the lock %+v does not say what to come back to", lock)
		}
	}
	if locked {
		say("the lock is still there: %+v", lock)
	}
	if f.bad && f.endpoint != DefaultEndpoint && serving != a {
		say("a named endpoint serves what failed")
	}
	w.fault = nil
	_, again := f.deliver(t.Context())
	want, exits := b, 0
	if f.bad {
		want, exits = a, 4
		if f.endpoint != DefaultEndpoint {
			exits = 1
		}
	}
	if ExitCode(again) != exits || w.serving(f.endpoint) != want || w.tags["latest"] != want || w.lock(t) != nil {
		say("run again: %v; serving %s, latest %s, lock %+v", again, w.serving(f.endpoint), w.tags["latest"], w.lock(t))
	}
}
