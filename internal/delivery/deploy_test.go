package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

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
	whole := []string{putLock, pushOf("a"), "Update", tagLatest, putImageURI, putRelease, dropLock}
	for _, tr := range []trial{
		{name: "first onto an existing runtime", writes: whole, after: func(t *testing.T, o *outcome) {
			r := o.release(t)
			if r == nil || r.Version != "2" || r.Verdict != Passed || r.Digest != o.digestOf("a") || r.Revision != rev("a") {
				t.Errorf("release %+v", r)
			}
			if r.Previous == nil || r.Previous.Version != "1" || r.Previous.Digest != o.imageDigest("0") {
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
		}},
		{name: "a second time", writes: nothing(),
			world: func(t *testing.T, w *world) { w.mustDeploy(t, "a") },
			after: func(t *testing.T, o *outcome) {
				if o.dep.Outcome != Unchanged || len(o.dep.Stages) != len(Stages()) || o.counts["Build"] > 0 {
					t.Errorf("%s, stages %v", o.dep.Outcome, o.dep.Stages)
				}
			}},
		{name: "settings changed, same image", writes: []string{putLock, "Update", putRelease, dropLock},
			world: func(t *testing.T, w *world) { w.mustDeploy(t, "a") },
			alter: func(d *Deliverer) { d.Target.Settings = []byte(`{"environmentVariables":{"LOG_LEVEL":"debug"}}`) },
			after: func(t *testing.T, o *outcome) {
				if o.dep.Outcome != Deployed || o.dep.Runtime.Version != "3" {
					t.Errorf("%s, version %s", o.dep.Outcome, o.dep.Runtime.Version)
				}
			}},
	} {
		tr.run(t)
	}
}

func (w *world) imageDigest(letter string) string { return w.tags[rev(letter)] }

func stageNames(d *Deployment) []string {
	var names []string
	for _, s := range d.Stages {
		names = append(names, s.Name)
	}
	return names
}
