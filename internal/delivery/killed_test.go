package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// end is what a delivery leaves, without what differs from run to run.
type end struct {
	Serving, Live, Latest, Revision string // digests, and the revision's tag
	Record                          Release
	Previous                        string // digest
	ImageURI                        string
	Locked                          bool
}

func (w *world) end(t *testing.T, letter string) end {
	e := end{Serving: w.serving(DefaultEndpoint), Latest: w.tags["latest"], Revision: w.tags[rev(letter)],
		ImageURI: w.params["/helper/dev/image-uri"], Locked: w.lock(t) != nil}
	if w.endpoints["live"] != nil {
		e.Live = w.serving("live")
	}
	if r := w.release(t); r != nil {
		e.Record = Release{Revision: r.Revision, Digest: r.Digest, Verdict: r.Verdict, Endpoint: r.Endpoint}
		if r.Previous != nil {
			e.Previous = r.Previous.Digest
		}
	}
	return e
}

// TestKilledAnywhere kills a delivery before and after each of its writes and
// runs it again: the end is as if it had never been killed (I5).
func TestKilledAnywhere(t *testing.T) {
	for name, story := range map[string]struct {
		prepare func(w *world, d *Deliverer, o *DeployOptions)
		exit    int
		surplus int  // versions more than an unkilled run's
		found   bool // what serves was not delivered by slipway, and runs by the tag latest

		promoted bool
	}{
		"deploy":         {prepare: func(*world, *Deliverer, *DeployOptions) {}},
		"bad deploy":     {prepare: func(w *world, _ *Deliverer, _ *DeployOptions) { w.bad("b") }, exit: 4, surplus: 1},
		"named endpoint": {prepare: func(w *world, d *Deliverer, _ *DeployOptions) { w.endpointLive("2"); d.Target.Endpoint = "live" }},
		"create": {prepare: func(w *world, _ *Deliverer, o *DeployOptions) {
			w.noRuntime()
			clear(w.params)
			o.Create = true
		}},
		"adoption": {prepare: func(*world, *Deliverer, *DeployOptions) {}, found: true},
		"bad adoption": {prepare: func(w *world, _ *Deliverer, _ *DeployOptions) { w.bad("b"); w.moveLatestAt("Update") },
			exit: 4, surplus: 1, found: true},
		"adoption behind live": {prepare: func(w *world, d *Deliverer, _ *DeployOptions) {
			w.endpointLive("1")
			w.foreign()
			d.Target.Endpoint = "live"
		}, found: true},
		"by latest":     {prepare: func(_ *world, d *Deliverer, _ *DeployOptions) { d.Target.Reference = ByLatest }, surplus: 1},
		"promotion":     {prepare: func(*world, *Deliverer, *DeployOptions) {}, promoted: true},
		"bad promotion": {prepare: func(w *world, _ *Deliverer, _ *DeployOptions) { w.bad("b") }, exit: 4, surplus: 1, promoted: true},
		"promotion behind live": {prepare: func(w *world, d *Deliverer, _ *DeployOptions) {
			w.endpointLive("2")
			d.Target.Endpoint = "live"
		}, promoted: true},
		"promotion onto what was found": {prepare: func(*world, *Deliverer, *DeployOptions) {}, found: true, promoted: true},
	} {
		t.Run(name, func(t *testing.T) {
			start := func(t *testing.T) (*world, func() (*Deployment, error)) {
				w := newWorld(t)
				if !story.found {
					w.mustDeploy(t, "a")
				}
				d, _ := w.deliverer("me")
				opts := commit("b")
				story.prepare(w, d, &opts)
				if story.promoted {
					p := w.promotion(t, d, "b")
					return w, func() (*Deployment, error) { return d.Promote(t.Context(), p) }
				}
				return w, func() (*Deployment, error) { return d.Deploy(t.Context(), opts) }
			}
			var want end
			var writes, versions int
			synctest.Test(t, func(t *testing.T) {
				w, run := start(t)
				_, err := run()
				if ExitCode(err) != story.exit {
					t.Fatalf("unkilled: %v", err)
				}
				want, writes, versions = w.end(t, "b"), w.writes, len(w.versions)
			})
			for n := 1; n <= writes; n++ {
				for _, done := range []bool{false, true} {
					t.Run(fmt.Sprint(n, done), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							w, run := start(t)
							w.killAt(n, done)
							runKilled(t, run)
							w.onWrite = nil
							dep, err := run()
							last := n == writes || n == writes-1 && done // the verdict was written
							if ExitCode(err) != story.exit && (!last || err != nil) {
								t.Fatalf("run again: exit %d, %+v, %v", ExitCode(err), dep, err)
							}
							if got := w.end(t, "b"); !reflect.DeepEqual(got, want) {
								t.Errorf("after %v:\n got %+v\nwant %+v", w.wrote(), got, want)
							}
							if len(w.versions) > versions+story.surplus+1 || story.exit == 0 && len(w.versions) > versions+story.surplus {
								t.Errorf("%d versions, unkilled %d", len(w.versions), versions)
							}
						})
					})
				}
			}
		})
	}
}

func (w *world) killAt(n int, done bool) {
	w.onWrite = func(i int, d bool) {
		if i == n && d == done {
			panic(killed{})
		}
	}
}

func runKilled(t *testing.T, run func() (*Deployment, error)) {
	t.Helper()
	defer func() {
		if p := recover(); p != (killed{}) {
			t.Errorf("it was not killed: %v", p)
		}
	}()
	_, err := run()
	t.Errorf("it lived: %v", err)
}

// TestManyAtOnce has several deployers of several commits at once: the end is
// one of them whole, the others exit 5 (I6).
func TestManyAtOnce(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t)
			w.mustDeploy(t, "a")
			for _, call := range []string{"Build", "Push", "Resolve", "Parameter", "PutParameter"} {
				w.before[call] = func(context.Context, int) error {
					w.mu.Lock()
					d := time.Duration(rng.IntN(3000)) * time.Millisecond
					w.mu.Unlock()
					time.Sleep(d)
					return nil
				}
			}
			var all sync.WaitGroup
			errs := make([]error, 4)
			for i := range errs {
				all.Go(func() {
					d, _ := w.deliverer(strconv.Itoa(i))
					_, errs[i] = d.Deploy(t.Context(), commit(string(rune('b'+i))))
				})
			}
			all.Wait()
			won := 0
			for i, err := range errs {
				if err == nil {
					won++
				} else if ExitCode(err) != 5 {
					t.Errorf("seed %d: deployer %d: exit %d: %v", seed, i, ExitCode(err), err)
				}
			}
			e := w.end(t, "b")
			if won == 0 || e.Serving != e.Latest || e.Serving != e.Record.Digest || e.Locked || e.Record.Verdict != Passed {
				t.Errorf("seed %d: %d won; the end is %+v", seed, won, e)
			}
		})
	}
}

// TestLostLock has a delivery whose lock ran out go on beside its successor.
func TestLostLock(t *testing.T) {
	trial{name: "the successor's lock is left alone", world: func(_ *testing.T, w *world) {
		w.after["Push"] = func(context.Context, int) error {
			raw, _ := json.Marshal(Lock{Schema: lockSchema, Nonce: "theirs", Owner: "other", Expires: time.Now().Add(time.Hour)})
			w.mu.Lock()
			defer w.mu.Unlock()
			w.params["/helper/dev/lock"] = string(raw)
			return nil
		}
	}, after: func(t *testing.T, o *outcome) {
		if l := o.lock(t); l == nil || l.Nonce != "theirs" || o.dep.Outcome != Deployed {
			t.Errorf("%s, lock %+v", o.dep.Outcome, l)
		}
	}}.run(t)
}

// TestUnlock breaks the lock of a dead holder; what served before it stays
// known.
func TestUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mustDeploy(t, "a")
		dead, _ := w.deliverer("dead")
		w.killAt(3, true) // the update
		runKilled(t, func() (*Deployment, error) { return dead.Deploy(t.Context(), commit("b")) })
		w.onWrite = nil
		d, _ := w.deliverer("me")
		if _, err := d.Deploy(t.Context(), commit("c")); ExitCode(err) != 5 {
			t.Fatalf("it is not kept out: %v", err)
		}
		nonce := w.lock(t).Nonce
		if err := d.Unlock(t.Context(), "0123"); ExitCode(err) != 2 || !strings.Contains(err.Error(), "is not its nonce: a delivery of bbbbbbb by dead is under way") {
			t.Errorf("another nonce: %v", err)
		}
		if err := errors.Join(d.Unlock(t.Context(), nonce), d.Unlock(t.Context(), nonce)); err != nil || w.lock(t).Left != "its lock was broken by me" {
			t.Fatalf("%v; %+v", err, w.lock(t))
		}
		w.bad("c")
		if _, err := d.Deploy(t.Context(), commit("c")); ExitCode(err) != 4 || w.serving(DefaultEndpoint) != w.digestOf("a") {
			t.Errorf("what served before the dead one does not come back: %v", err)
		}
		if err := d.Unlock(t.Context(), nonce); ExitCode(err) != 2 || !strings.Contains(err.Error(), "nobody holds it") {
			t.Errorf("no lock: %v", err)
		}
		w.params["/helper/dev/lock"] = "somebody's"
		for _, nonce := range []string{"unreadable", nonce} {
			if err := d.Unlock(t.Context(), nonce); ExitCode(err) != 2 || !strings.Contains(err.Error(), "not written by slipway") {
				t.Errorf("an unreadable one: %v", err)
			}
		}
	})
}
