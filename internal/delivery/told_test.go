package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// TestTagsAreTrue: a deployment lists the tags that name its image, no more.
func TestTagsAreTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if tags := w.mustDeploy(t, "a").Tags; !slices.Equal(tags, []string{rev("a"), latestTag}) {
			t.Errorf("deployed: %v", tags)
		}
		w.bad("b")
		d, _ := w.deliverer("me")
		dep, err := d.Deploy(t.Context(), commit("b"))
		if ExitCode(err) != 4 || !slices.Equal(dep.Tags, []string{rev("b")}) {
			t.Errorf("rolled back (%v): %v", err, dep.Tags)
		}
	})
}

// TestNoRepository: a repository that is not there is found out before the
// build, and nothing is written.
func TestNoRepository(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.before["Resolve"] = func(context.Context, int) error {
			return &RemoteError{Service: "registry", Code: "NAME_UNKNOWN", Status: 404, Kind: ErrNotFound}
		}
		d, _ := w.deliverer("me")
		_, err := d.Deploy(t.Context(), commit("b"))
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindRefused || len(e.Hints) == 0 || w.writes != 0 || w.counts["Build"] != 0 {
			t.Errorf("%v after %d builds and %d writes", err, w.counts["Build"], w.writes)
		}
	})
}

// TestRuntimeBeforeBuild: a parameter that names no runtime is found out
// before minutes are spent on a build.
func TestRuntimeBeforeBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.params[testTarget().Parameter("runtime-id")] = "PLACEHOLDER"
		d, _ := w.deliverer("me")
		_, err := d.Deploy(t.Context(), commit("b"))
		if KindOf(err) != KindRuntime || w.counts["Build"] != 0 {
			t.Errorf("%v after %d builds", err, w.counts["Build"])
		}
	})
}

// TestRefusedBearer: a token that the runtime's authorizer refuses says
// nothing about the agent, and the hint names it.
func TestRefusedBearer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.versions[0] = edited(w.versions[0], `{"authorizerConfiguration":{"customJWTAuthorizer":{}}}`)
		for _, digest := range []string{w.digestOf("b"), w.tags[latestTag]} {
			w.verdicts[digest] = Answer{Status: 401, ErrorCode: "UnauthorizedException"}
		}
		d, _ := w.deliverer("me")
		d.Target.BearerToken = "stale"
		_, err := d.Deploy(t.Context(), commit("b"))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(strings.Join(e.Hints, " "), "SLIPWAY_VERIFY_TOKEN") {
			t.Errorf("%v with %+v", err, e)
		}
		if strings.Contains(err.Error(), "does not serve") || strings.Contains(err.Error(), "stale") {
			t.Errorf("it was judged by its refusal: %v", err)
		}
	})
}

// TestHintsNameWhatDelivers: where an environment takes its releases from
// another one, no hint names a deploy, which would be refused.
func TestHintsNameWhatDelivers(t *testing.T) {
	back := func(ctx context.Context, d *Deliverer) error {
		_, err := d.Rollback(ctx, RollbackOptions{})
		return err
	}
	prove := func(ctx context.Context, d *Deliverer) error { _, err := d.Prove(ctx, ""); return err }
	for what, test := range map[string]struct {
		world            func(w *world)
		do               func(ctx context.Context, d *Deliverer) error
		deploys, promote string
	}{
		"no runtime": {func(w *world) { w.noRuntime() }, back, "runs slipway deploy --create --env dev once", "runs slipway promote --to dev --create once"},
		"it is gone": {func(w *world) { w.params["/helper/dev/runtime-id"] = "helper_dev-0000000000" }, back,
			"run slipway deploy --create --env dev,", "run slipway promote --to dev --create,"},
		"no endpoint": {func(w *world) { delete(w.endpoints, "live") }, back, "makes it: slipway deploy --create --env dev", "makes it: slipway promote --to dev --create"},
		"nothing to promote": {func(w *world) { delete(w.params, "/helper/dev/release") }, prove,
			"deliver to dev what shall be promoted: slipway deploy --env dev", "deliver to dev what shall be promoted: slipway promote --to dev"},
		"drift":        {func(w *world) { w.foreign() }, prove, "deploy it again: slipway deploy --env dev", "promote it again: slipway promote --to dev"},
		"not verified": {func(w *world) { w.amend(func(r *Release) { r.Verdict = Unverified }) }, prove, "deploy it again, without", "promote it again, without"},
		"no commit":    {func(w *world) { w.amend(func(r *Release) { r.Revision = "" }) }, prove, "there: slipway deploy --env dev", "there: slipway promote --to dev"},
	} {
		for after, want := range map[string]string{"": test.deploys, "int": test.promote} {
			t.Run(what+" after "+after, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.endpointLive("1")
					w.mustDeploy(t, "a")
					d, _ := w.deliverer("me")
					d.Target.After = after
					if what == "no endpoint" {
						d.Target.Endpoint = "live"
					}
					test.world(w)
					var e *Error
					if err := test.do(t.Context(), d); !errors.As(err, &e) || !strings.Contains(strings.Join(e.Hints, "\n"), want) {
						t.Errorf("%v\n%+v lacks %q", err, e, want)
					}
				})
			})
		}
	}
}

// amend changes the release that is recorded.
func (w *world) amend(change func(*Release)) {
	r := w.release(w.t)
	change(r)
	raw, _ := json.Marshal(r)
	w.params["/helper/dev/release"] = string(raw)
	w.history["/helper/dev/release"] = append(w.history["/helper/dev/release"], string(raw))
}

// TestPreviousPassed: a deployment says whether a rollback can go to what served
// before it.
func TestPreviousPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		deploy := func(d *Deliverer, letter string) (*Deployment, error) { return d.Deploy(t.Context(), commit(letter)) }
		unverified := func(d *Deliverer, letter string) (*Deployment, error) {
			d.Target.Verify.Skip = true
			return deploy(d, letter)
		}
		back := func(d *Deliverer, letter string) (*Deployment, error) {
			return d.Rollback(t.Context(), RollbackOptions{To: rev(letter)})
		}
		for _, test := range []struct {
			what, letter string
			do           func(*Deliverer, string) (*Deployment, error)
			left         string // version
			passed, back bool
		}{
			{"over what was found", "a", deploy, "1", false, false},
			{"over a verified one", "b", deploy, "2", true, false},
			{"back from a verified one", "a", back, "3", true, true},
			{"unverified", "c", unverified, "4", true, false},
			{"back from an unverified one", "a", back, "5", false, true},
			{"unverified again", "c", unverified, "6", true, false},
			{"over an unverified one", "b", deploy, "7", false, false},
		} {
			d, _ := w.deliverer("me")
			dep, err := test.do(d, test.letter)
			if err != nil || dep.Previous.Version != test.left || dep.PreviousPassed != test.passed || dep.Back != test.back {
				t.Fatalf("%s: %+v, %v", test.what, dep, err)
			}
			if !dep.PreviousPassed {
				continue
			}
			if _, err := d.RollbackPlan(t.Context(), RollbackOptions{To: dep.Previous.Version}); err != nil {
				t.Errorf("%s: a rollback to it: %v", test.what, err)
			}
		}
		w.foreign()
		d, _ := w.deliverer("me")
		if dep, err := deploy(d, "a"); err != nil || dep.PreviousPassed {
			t.Errorf("over what others made: %+v, %v", dep, err)
		}
	})
}

// TestDirtyIsRecorded: a release of uncommitted changes says so for good.
func TestDirtyIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d, _ := w.deliverer("me")
		opts := commit("b")
		opts.Source.Dirty, opts.AllowDirty = true, true
		if _, err := d.Deploy(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		s, err := d.Status(t.Context())
		if err != nil || s.Release == nil || !s.Release.Dirty {
			t.Errorf("%+v, %v", s.Release, err)
		}
	})
}
