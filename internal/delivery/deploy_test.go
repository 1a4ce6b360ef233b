package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// trial is one delivery in a world, and what must come of it.
type trial struct {
	name   string
	world  func(t *testing.T, w *world)   // what is there before; nil for newWorld's
	alter  func(d *Deliverer)             // how the target differs
	opts   func(o *DeployOptions)         // how the command differs; commit a
	ctx    func(w *world) context.Context // nil for the test's
	exit   int                            // ExitCode
	kind   Kind                           // where exit is not 0
	says   []string                       // parts of error, hints and serves
	writes []string                       // all writes in order; nil not to look
	after  func(t *testing.T, o *outcome) // further looks
}

// outcome is what a trial looks at afterwards.
type outcome struct {
	*world
	dep   *Deployment
	err   error
	watch *watch
}

func (o *outcome) text() string {
	if o.err == nil {
		return ""
	}
	text := o.err.Error()
	var e *Error
	if errors.As(o.err, &e) {
		text += "\n" + e.Serves + "\n" + strings.Join(e.Hints, "\n")
	}
	return text
}

func (tr trial) run(t *testing.T) {
	t.Run(tr.name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			if tr.world != nil {
				tr.world(t, w)
			}
			d, watch := w.deliverer("me")
			if tr.alter != nil {
				tr.alter(d)
			}
			opts := commit("a")
			if tr.opts != nil {
				tr.opts(&opts)
			}
			ctx := t.Context()
			if tr.ctx != nil {
				ctx = tr.ctx(w)
			}
			dep, err := d.Deploy(ctx, opts)
			tr.judge(t, &outcome{w, dep, err, watch})
		})
	})
}

func (tr trial) judge(t *testing.T, o *outcome) {
	t.Helper()
	if got := ExitCode(o.err); got != tr.exit {
		t.Errorf("exit %d, want %d: %v", got, tr.exit, o.err)
	}
	if o.err != nil && KindOf(o.err) != tr.kind {
		t.Errorf("kind %s, want %s: %v", KindOf(o.err), tr.kind, o.err)
	}
	for _, part := range tr.says {
		if !strings.Contains(o.text(), part) {
			t.Errorf("the error does not say %q:\n%s", part, o.text())
		}
	}
	if tr.writes != nil {
		if diff := cmp.Diff(tr.writes, o.wrote()); diff != "" && len(tr.writes)+len(o.wrote()) > 0 {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	}
	if tr.after != nil {
		tr.after(t, o)
	}
}

const (
	putLock     = "PutParameter /helper/dev/lock"
	putID       = "PutParameter /helper/dev/runtime-id"
	putRelease  = "PutParameter /helper/dev/release"
	putImageURI = "PutParameter /helper/dev/image-uri"
	dropLock    = "DeleteParameter /helper/dev/lock"
	tagLatest   = "Tag latest"
)

func pushOf(letter string) string { return "Push " + rev(letter) }

func nothing() []string { return []string{} }

func TestDeploy(t *testing.T) {
	// What serves has no record yet: it gets one before it is touched.
	whole := []string{putLock, pushOf("a"), putImageURI, putRelease, "Update", tagLatest, putImageURI, putRelease, dropLock}
	deployed := func(t *testing.T, w *world) { w.mustDeploy(t, "a") }
	for _, tr := range []trial{
		{name: "first onto an existing runtime", writes: whole, after: func(t *testing.T, o *outcome) {
			r := o.release(t)
			if r == nil || r.Version != "2" || r.Verdict != Passed || r.Digest != o.digestOf("a") || r.Revision != rev("a") {
				t.Errorf("release %+v", r)
			}
			if r.Previous == nil || r.Previous.Version != "1" || r.Previous.Digest != o.tags[rev("0")] {
				t.Errorf("the adopted runtime is not recorded as the previous release: %+v", r.Previous)
			}
			if o.tags["latest"] != r.Digest || o.params["/helper/dev/image-uri"] != testTarget().ImageURI(r.Digest) {
				t.Error("latest or image-uri name something else")
			}
			if o.logins != 2 {
				t.Errorf("%d sessions, want a fresh one after the build", o.logins)
			}
			if got := stageNames(o.dep); !slices.Equal(got, Stages()) {
				t.Errorf("stages %v", got)
			}
			if verified, latest := slices.Index(o.ledger, "Invoke DEFAULT"), slices.Index(o.ledger, tagLatest); verified < 0 || latest < verified {
				t.Errorf("latest moved before the verify: %v", o.ledger)
			}
		}},
		{name: "what served before is in the lock before the runtime is written", world: func(t *testing.T, w *world) {
			w.before["Update"] = func(context.Context, int) error {
				if l := w.lock(t); l == nil || l.Previous == nil || l.Previous.Version != "1" || l.Digest != w.digestOf("a") || l.Run == "" {
					t.Errorf("lock at the update: %+v", l)
				}
				if r := w.release(t); r == nil || r.Version != "1" || r.Digest != w.tags[rev("0")] || r.Verdict != Unverified {
					t.Errorf("release at the update: %+v", r)
				}
				return nil
			}
		}, writes: whole},
		{name: "a second time", world: deployed, writes: nothing(), after: func(t *testing.T, o *outcome) {
			if o.dep.Outcome != Unchanged || len(o.dep.Stages) != len(Stages()) || o.counts["Build"] > 0 {
				t.Errorf("%s, stages %v", o.dep.Outcome, o.dep.Stages)
			}
		}},
		{name: "settings changed, same image", world: deployed,
			alter:  func(d *Deliverer) { d.Target.Settings = []byte(`{"environmentVariables":{"LOG_LEVEL":"debug"}}`) },
			writes: []string{putLock, "Update", putRelease, dropLock}},
		{name: "another commit with the same bytes gets its own tag and record", world: func(t *testing.T, w *world) {
			deployed(t, w)
			w.built[rev("b")] = w.imageOf(rev("a"))
		}, opts: func(o *DeployOptions) { o.Source.Revision = rev("b") },
			writes: []string{putLock, pushOf("b"), putRelease, dropLock}},
		{name: "another commit whose tag is there gets its record", world: func(t *testing.T, w *world) {
			deployed(t, w)
			w.keep(w.imageOf(rev("a")), rev("b"))
		}, opts: func(o *DeployOptions) { o.Source.Revision = rev("b") }, writes: []string{putLock, putRelease, dropLock}},
		{name: "users come by another endpoint now", world: func(t *testing.T, w *world) {
			deployed(t, w)
			w.endpointLive("2")
		}, alter: func(d *Deliverer) { d.Target.Endpoint = "live" }, writes: []string{putLock, putRelease, dropLock}},
		{name: "the record says another verdict", world: deployed,
			alter:  func(d *Deliverer) { d.Target.Verify.Skip = true },
			writes: nothing()}, // verified is more than unverified
		{name: "latest was moved by hand", world: func(t *testing.T, w *world) {
			deployed(t, w)
			w.tags["latest"] = w.tags[rev("0")]
		}, writes: []string{putLock, tagLatest, putRelease, dropLock}, after: func(t *testing.T, o *outcome) {
			if p := o.release(t).Previous; p == nil || p.Version != "1" {
				t.Errorf("a release became its own previous one: %+v", p)
			}
		}},
		{name: "this environment does not move latest",
			alter:  func(d *Deliverer) { d.Target.MovesLatest = false },
			writes: []string{putLock, pushOf("a"), putImageURI, putRelease, "Update", putImageURI, putRelease, dropLock}},
		{name: "without verify", alter: func(d *Deliverer) { d.Target.Verify.Skip = true }, writes: whole,
			after: func(t *testing.T, o *outcome) {
				if o.release(t).Verdict != Unverified || o.counts["Invoke"] > 0 {
					t.Errorf("verdict %s after %d invocations", o.release(t).Verdict, o.counts["Invoke"])
				}
			}},
		{name: "by latest, which then goes first", alter: func(d *Deliverer) { d.Target.Reference = ByLatest },
			writes: []string{putLock, pushOf("a"), putImageURI, putRelease, tagLatest, "Update", putImageURI, putRelease, dropLock}},
		{name: "uncommitted changes, allowed", opts: func(o *DeployOptions) { o.Source.Dirty, o.AllowDirty = true, true },
			after: func(t *testing.T, o *outcome) {
				tag := rev("a") + "-dirty-" + strings.TrimPrefix(o.digestOf("a"), "sha256:")[:12]
				if o.tags[tag] == "" || o.tags[rev("a")] != "" || o.dep.Tags[0] != tag {
					t.Errorf("tags %v, reported %v", o.tags, o.dep.Tags)
				}
			}},
		{name: "a busy runtime is waited for", world: func(_ *testing.T, w *world) { w.status, w.busy = "UPDATING", 5 }, writes: whole},
		{name: "a failed update is no obstacle, and not what to come back to", world: func(t *testing.T, w *world) {
			deployed(t, w)
			w.updateFails[w.digestOf("b")] = "no such role"
			d, _ := w.deliverer("other")
			if _, err := d.Deploy(t.Context(), commit("b")); ExitCode(err) != 1 {
				t.Errorf("the failing deploy: %v", err)
			}
		}, opts: func(o *DeployOptions) { o.Source.Revision = rev("c") }, after: func(t *testing.T, o *outcome) {
			if p := o.release(t).Previous; p == nil || p.Version != "2" || p.Revision != rev("a") {
				t.Errorf("previous %+v", p)
			}
		}},
		{name: "an interrupt after the last write changes nothing",
			ctx: func(w *world) context.Context { return w.interruptAfter("PutParameter", 5) }, writes: whole},
		{name: "in another environment's turn, out of order", alter: func(d *Deliverer) { d.Target.After = "stg" },
			opts: func(o *DeployOptions) { o.OutOfOrder = true }, writes: whole, after: func(t *testing.T, o *outcome) {
				if !o.release(t).OutOfOrder {
					t.Error("the record does not say so")
				}
			}},
	} {
		tr.run(t)
	}
}

// interruptAfter is a context that ends as by Ctrl-C when a call has been
// answered for the nth time.
func (w *world) interruptAfter(call string, n int) context.Context {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.after[call] = func(_ context.Context, i int) error {
		if i == n {
			cancel()
		}
		return nil
	}
	return ctx
}

// interruptIn is a context that ends while a call is on its way.
func (w *world) interruptIn(call string) context.Context {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.before[call] = func(context.Context, int) error { cancel(); return nil }
	return ctx
}

// TestRefused has all that ends before anything is written.
func TestRefused(t *testing.T) {
	param := func(value string) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) { w.params["/helper/dev/runtime-id"] = value }
	}
	builds := func(img *fakeImage) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) { w.built[rev("a")] = img }
	}
	holds := func(alter func(*Lock)) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) {
			l := Lock{Schema: lockSchema, Nonce: "n1", Owner: "other", Holder: "octocat", Run: "https://github.com/runs/7",
				Since: time.Now(), Expires: time.Now().Add(time.Hour), Revision: rev("f")}
			alter(&l)
			raw, _ := json.Marshal(l)
			w.params["/helper/dev/lock"] = string(raw)
		}
	}
	for _, tr := range []trial{
		{name: "no runtime id", world: func(_ *testing.T, w *world) { delete(w.params, "/helper/dev/runtime-id") },
			kind: KindRuntime, says: []string{"--create"}},
		{name: "empty runtime id", world: param(" \n"), kind: KindRuntime, says: []string{"/helper/dev/runtime-id is empty"}},
		{name: "malformed runtime id", world: param("helper-dev"), kind: KindRuntime, says: []string{`"helper-dev"`}},
		{name: "stale runtime id", world: param("helper_dev-zzzzzzzzzz"), kind: KindRuntime, says: []string{"stale", "--create"}},
		{name: "runtime being deleted", world: func(_ *testing.T, w *world) { w.status = "DELETING" }, kind: KindRuntime, says: []string{"DELETING"}},
		{name: "runtime stays busy", world: func(_ *testing.T, w *world) { w.status, w.busy = "UPDATING", 1<<30 }, kind: KindRuntime, says: []string{"waited 15m0s"}},
		{name: "named endpoint missing", alter: func(d *Deliverer) { d.Target.Endpoint = "live" }, kind: KindRuntime, says: []string{"endpoint live", "--create"}},
		{name: "record of something else", world: func(_ *testing.T, w *world) { w.params["/helper/dev/release"] = `{"schema":"other/v1"}` }, kind: KindRefused},
		{name: "other account", world: func(_ *testing.T, w *world) { w.account = "999999999999" }, kind: KindAccount, says: []string{"999999999999", testAccount}},
		{name: "amd64 for a microVM", world: builds(newImage("linux", "amd64", rev("a"))), kind: KindImage, says: []string{"linux/amd64", "linux/arm64"}},
		{name: "index without arm64", world: builds(index(newImage("linux", "amd64", rev("a")))), kind: KindImage, says: []string{"linux/amd64"}},
		{name: "over 2 GB", world: builds(shape{os: "linux", arch: "arm64", layers: 3, layerSize: 1 << 30}.image(rev("a"))), kind: KindImage, says: []string{"2048 MB"}},
		{name: "too many layers for a named user", world: builds(shape{os: "linux", arch: "arm64", layers: 54, user: "app"}.image(rev("a"))), kind: KindImage, says: []string{"54 layers", `"app"`}},
		{name: "uncommitted changes", opts: func(o *DeployOptions) { o.Source.Dirty = true }, kind: KindSource, says: []string{"--allow-dirty"}},
		{name: "another environment comes first", alter: func(d *Deliverer) { d.Target.After = "stg" }, kind: KindRefused, says: []string{"slipway promote", "--out-of-order"}},
		{name: "would drop a live member", alter: func(d *Deliverer) { d.Target.Settings = []byte(`{"environmentVariables":{"SECRET":null}}`) },
			kind: KindRefused, says: []string{"environmentVariables.SECRET", "--replace"}},
		{name: "would drop code in S3", world: func(_ *testing.T, w *world) {
			w.versions[0] = edited(w.versions[0], `{"agentRuntimeArtifact":{"containerConfiguration":null,"codeConfiguration":{"entryPoint":["main.py"]}}}`)
		}, kind: KindRefused, says: []string{"codeConfiguration"}},
		{name: "JWT authorizer and no token", world: func(_ *testing.T, w *world) {
			w.versions[0] = edited(w.versions[0], `{"authorizerConfiguration":{"customJWTAuthorizer":{}}}`)
		}, kind: KindRefused, says: []string{"SLIPWAY_VERIFY_TOKEN"}},
		{name: "JWT authorizer to be set and no token", alter: func(d *Deliverer) {
			d.Target.Settings = []byte(`{"authorizerConfiguration":{"customJWTAuthorizer":{}}}`)
		},
			kind: KindRefused, says: []string{"SLIPWAY_VERIFY_TOKEN"}},
		{name: "create without a role", world: func(_ *testing.T, w *world) { w.noRuntime() }, opts: func(o *DeployOptions) { o.Create = true },
			alter: func(d *Deliverer) { d.Target.ExecutionRole = "" }, kind: KindConfig, says: []string{"EXECUTION_ROLE_ARN"}},
		{name: "create as one who can't", world: func(_ *testing.T, w *world) { w.noRuntime() }, opts: func(o *DeployOptions) { o.Create = true },
			alter: func(d *Deliverer) { d.Creator = nil }, kind: KindRefused},
		{name: "locked", world: holds(func(*Lock) {}), exit: 5, kind: KindLocked,
			says: []string{"octocat", "https://github.com/runs/7", "until 2000-01-01T01:00:00Z", "slipway unlock --env dev --agent helper n1"}},
		{name: "busy with a delivery that holds the lock", world: func(t *testing.T, w *world) {
			holds(func(*Lock) {})(t, w)
			w.status, w.busy = "UPDATING", 1<<30
		}, exit: 5, kind: KindLocked, says: []string{"octocat"}, after: func(t *testing.T, o *outcome) {
			if o.dep.Elapsed > 0 {
				t.Errorf("found out after %s", o.dep.Elapsed)
			}
		}},
		{name: "locked by something unreadable", world: func(_ *testing.T, w *world) { w.params["/helper/dev/lock"] = "{" }, exit: 5, kind: KindLocked,
			says: []string{"taking the lock: the parameter /helper/dev/lock is no lock of slipway's", "look at it: aws ssm get-parameter --name /helper/dev/lock", "delete it, if"},
			after: func(t *testing.T, o *outcome) {
				if strings.Contains(o.text(), "unlock") || strings.Contains(o.text(), "0001-01-01") {
					t.Errorf("it is told as a lock: %s", o.text())
				}
			}},
		{name: "time up while waiting for a busy runtime", world: func(_ *testing.T, w *world) { w.status, w.busy = "UPDATING", 1<<30 },
			ctx: func(w *world) context.Context { return w.within(time.Minute) }, kind: KindUnavailable, says: []string{"during preflight"}},
		{name: "interrupted while it builds", ctx: func(w *world) context.Context { return w.interruptAfter("Build", 1) },
			exit: 130, kind: KindInterrupted, says: []string{"nothing was changed"}},
	} {
		tr.writes = nothing()
		if tr.name == "locked" || strings.HasPrefix(tr.name, "locked by") {
			tr.writes = []string{putLock} // refused by SSM: it was there
		}
		if tr.exit == 0 {
			tr.exit = 2
		}
		tr.run(t)
	}
}

// within is a context with a deadline, as --timeout sets it.
func (w *world) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	w.t.Cleanup(cancel)
	return ctx
}

// edited lays a patch over a document.
func edited(doc Document, patch string) Document {
	out, _, err := merge(doc, Document(patch), "", nil)
	if err != nil {
		panic(err)
	}
	return out
}

func TestTakesLocksOver(t *testing.T) {
	previous := &Pointer{Revision: rev("9"), Digest: "sha256:9", Version: "1"}
	for name, alter := range map[string]func(*Lock){
		"its own":          func(l *Lock) { l.Owner = "me" },
		"an expired one":   func(l *Lock) { l.Expires = time.Now().Add(-time.Second) },
		"an abandoned one": func(l *Lock) { l.Left = "version 2 serves, unverified" },
	} {
		trial{name: name, world: func(_ *testing.T, w *world) {
			l := Lock{Schema: lockSchema, Nonce: "n1", Owner: "other", Expires: time.Now().Add(time.Hour), Previous: previous}
			alter(&l)
			raw, _ := json.Marshal(l)
			w.params["/helper/dev/lock"] = string(raw)
		}, after: func(t *testing.T, o *outcome) {
			if o.dep.Outcome != Deployed || o.lock(t) != nil {
				t.Errorf("%s, lock %+v", o.dep.Outcome, o.lock(t))
			}
			if p := o.release(t).Previous; p == nil || p.Revision != rev("9") {
				t.Errorf("comes back to %+v, not to what the dead holder would have", p)
			}
		}}.run(t)
	}
}

// TestStaleLock: the lock of a delivery that did arrive says nothing new.
func TestStaleLock(t *testing.T) {
	stale := func(t *testing.T, w *world) {
		w.mustDeploy(t, "a")
		raw, _ := json.Marshal(Lock{Schema: lockSchema, Nonce: "n1", Owner: "other", Expires: time.Now().Add(-1), Previous: &Pointer{Version: "1"}})
		w.params["/helper/dev/lock"] = string(raw)
		w.bad("b")
	}
	trial{name: "is not what to come back to", world: stale, opts: deployB, exit: 4, kind: KindRolledBack, says: []string{"aaaaaaa"}, after: servesA}.run(t)
	trial{name: "is tidied away where there is nothing to do", world: stale, writes: []string{dropLock}}.run(t)
}

func TestCreate(t *testing.T) {
	create := func(o *DeployOptions) { o.Create = true }
	whole := []string{putLock, pushOf("a"), "Create", putID, tagLatest, putImageURI, putRelease, dropLock}
	for _, tr := range []trial{
		{name: "a runtime", world: func(_ *testing.T, w *world) { w.noRuntime() }, opts: create, writes: whole, after: func(t *testing.T, o *outcome) {
			if r := o.release(t); r.Version != "1" || r.Previous != nil || o.params["/helper/dev/runtime-id"] != testID {
				t.Errorf("release %+v, id %q", r, o.params["/helper/dev/runtime-id"])
			}
		}},
		{name: "and its endpoint", world: func(_ *testing.T, w *world) { w.noRuntime() }, opts: create, alter: func(d *Deliverer) { d.Target.Endpoint = "live" },
			writes: slices.Insert(slices.Clone(whole), 4, "CreateEndpoint live 1"), after: func(t *testing.T, o *outcome) {
				if o.serving("live") != o.digestOf("a") || o.counts["Invoke"] != 2 {
					t.Errorf("live serves %s after %d probes", o.serving("live"), o.counts["Invoke"])
				}
			}},
		{name: "a runtime that is there", opts: create, writes: []string{putLock, pushOf("a"), putImageURI, putRelease, "Update", tagLatest, putImageURI, putRelease, dropLock}},
		{name: "a runtime that was never registered", world: func(_ *testing.T, w *world) { delete(w.params, "/helper/dev/runtime-id") }, opts: create,
			writes: []string{putLock, pushOf("a"), "Create", putID, putLock, putImageURI, putRelease, "Update", tagLatest, putImageURI, putRelease, dropLock},
			after: func(t *testing.T, o *outcome) {
				if p := o.release(t).Previous; p == nil || p.Version != "1" {
					t.Errorf("previous %+v", p)
				}
			}},
		{name: "one that crashes", world: func(_ *testing.T, w *world) { w.noRuntime().bad("a") }, opts: create, exit: 6, kind: KindPerson,
			says: []string{"version 1, which failed"}, after: func(t *testing.T, o *outcome) {
				if l := o.lock(t); l == nil || l.Left == "" || l.Previous != nil {
					t.Errorf("lock %+v", l)
				}
				if o.tags["latest"] == o.digestOf("a") {
					t.Error("latest moved")
				}
			}},
	} {
		tr.run(t)
	}
}

func TestIndexIsResolved(t *testing.T) {
	trial{name: "to its arm64 child", world: func(_ *testing.T, w *world) {
		w.built[rev("a")] = index(newImage("linux", "amd64", rev("a")), newImage("linux", "arm64", rev("a")))
	}, after: func(t *testing.T, o *outcome) {
		want := newImage("linux", "arm64", rev("a")).digest
		if o.dep.Digest != want || o.tags[rev("a")] != want || o.serving(DefaultEndpoint) != want {
			t.Errorf("digest %s, tag %s, serving %s, want %s", o.dep.Digest, o.tags[rev("a")], o.serving(DefaultEndpoint), want)
		}
	}}.run(t)
	trial{name: "amd64 where instances run it", world: func(_ *testing.T, w *world) {
		w.built[rev("a")] = newImage("linux", "amd64", rev("a"))
		w.versions[0] = edited(w.versions[0], `{"capacityProviderConfiguration":{"capacityProviderArn":"arn"}}`)
	}}.run(t)
	trial{name: "many layers for a numeric user", world: func(_ *testing.T, w *world) {
		w.built[rev("a")] = shape{os: "linux", arch: "arm64", layers: 54, user: "1000:1000"}.image(rev("a"))
	}}.run(t)
}

func TestPlanWritesNothing(t *testing.T) {
	for name, prepare := range map[string]func(w *world, d *Deliverer, o *DeployOptions){
		"new commit":     func(*world, *Deliverer, *DeployOptions) {},
		"image is there": func(w *world, _ *Deliverer, _ *DeployOptions) { w.keep(w.imageOf(rev("a")), rev("a")) },
		"create":         func(w *world, _ *Deliverer, o *DeployOptions) { w.noRuntime(); o.Create = true },
		"done already":   func(w *world, _ *Deliverer, _ *DeployOptions) { w.mustDeploy(w.t.(*testing.T), "a") },
		"named endpoint": func(w *world, d *Deliverer, _ *DeployOptions) { w.endpointLive("1"); d.Target.Endpoint = "live" },
		"by latest":      func(_ *world, d *Deliverer, _ *DeployOptions) { d.Target.Reference = ByLatest },
		"dirty":          func(_ *world, _ *Deliverer, o *DeployOptions) { o.Source.Dirty, o.AllowDirty = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				d, _ := w.deliverer("me")
				opts := commit("a")
				prepare(w, d, &opts)
				p, err := d.Plan(t.Context(), opts)
				if err != nil || len(p.Steps) == 0 {
					t.Fatalf("%+v, %v", p, err)
				}
				if len(w.wrote()) > 0 || w.counts["Build"] > 0 {
					t.Errorf("a plan wrote: %v", w.wrote())
				}
			})
		})
	}
}

func TestPlanEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for call, want := range map[string]Kind{"Parameter": KindInterrupted, "Login": KindInterrupted, "": KindDenied} {
			w := newWorld(t)
			d, _ := w.deliverer("me")
			ctx := w.interruptIn(call)
			if call == "" {
				w.before["Get"] = func(context.Context, int) error { return remote(ErrDenied, 403, "AccessDeniedException") }
			}
			if _, err := d.Plan(ctx, commit("a")); KindOf(err) != want {
				t.Errorf("%s: %v", call, err)
			}
		}
	})
}

// endpointLive adds a named endpoint at a version.
func (w *world) endpointLive(version string) {
	w.endpoints["live"] = &Endpoint{Name: "live", Status: "READY", LiveVersion: version, TargetVersion: version}
}

// TestRevisionTag: whoever moved it meanwhile, it is not pointed elsewhere.
func TestRevisionTag(t *testing.T) {
	other := newImage("linux", "arm64", "other")
	for name, moment := range map[string]string{"before the push": "PutParameter", "during the push": "Push"} {
		trial{name: name, exit: 1, kind: KindFailed, says: []string{rev("a")}, world: func(_ *testing.T, w *world) {
			set := func(context.Context, int) error { w.keep(other, rev("a")); return nil }
			if moment == "Push" {
				w.after["Push"] = set
			} else {
				w.before[moment] = set
			}
		}, after: func(t *testing.T, o *outcome) {
			if o.tags[rev("a")] != other.digest || o.counts["Update"] > 0 || o.lock(t) != nil {
				t.Errorf("tag %s, wrote %v", o.tags[rev("a")], o.wrote())
			}
		}}.run(t)
	}
}

// TestForeignImageUnderTag: an image that says it was built from another commit
// is told of.
func TestForeignImageUnderTag(t *testing.T) {
	for label, told := range map[string]bool{rev("c"): true, rev("a"): false, "": false} {
		trial{name: "label " + label, world: func(_ *testing.T, w *world) { w.keep(newImage("linux", "arm64", label), rev("a")) },
			after: func(t *testing.T, o *outcome) {
				if o.watch.told(Warning, "was the tag moved?") != told {
					t.Errorf("told: %t", !told)
				}
			}}.run(t)
	}
}

func stageNames(d *Deployment) []string {
	var names []string
	for _, s := range d.Stages {
		names = append(names, s.Name)
	}
	return names
}
