package delivery

import (
	"context"
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
