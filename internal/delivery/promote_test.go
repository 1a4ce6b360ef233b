package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// before is the environment int, which dev takes its releases from: a world of
// its own, in which the commits are deployed in turn.
func before(t *testing.T, letters ...string) (*world, *Deliverer) {
	t.Helper()
	w := newWorld(t)
	d, _ := w.deliverer("int")
	d.Target.Environment = "int"
	w.params["/helper/int/runtime-id"] = testID
	for _, letter := range letters {
		if _, err := d.Deploy(t.Context(), commit(letter)); err != nil {
			t.Fatal(err)
		}
	}
	return w, d
}

// from opens images of another world, in calls of this one.
type from struct{ world, there *world }

func (f from) Resolve(ctx context.Context, tag string) (string, error) {
	return f.there.Resolve(ctx, tag)
}

func (f from) Open(ctx context.Context, digest string) (img Image, err error) {
	return img, f.world.call(ctx, "OpenThere", digest, false, func() error {
		img, err = f.there.Open(ctx, digest)
		return err
	})
}

// promotion makes d's environment one that takes its releases from int, and is
// about to get the commit that serves there.
func (w *world) promotion(t *testing.T, d *Deliverer, letter string) PromoteOptions {
	t.Helper()
	there, source := before(t, letter)
	time.Sleep(time.Second) // of the fake clock: what was recorded here was recorded before
	e, err := source.Prove(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	d.Target.After = "int"
	return PromoteOptions{Evidence: e, Images: from{w, there}}
}

// TestPromote takes the image that was proved, and no other, under the
// target's own settings.
func TestPromote(t *testing.T) {
	for story, prepare := range map[string]func(w *world, d *Deliverer){
		"another repository":  func(*world, *Deliverer) {},
		"the same repository": func(w *world, _ *Deliverer) { w.keep(w.imageOf(rev("b")), rev("b")) },
		"behind live":         func(w *world, d *Deliverer) { w.endpointLive("2"); d.Target.Endpoint = "live" },
	} {
		t.Run(story, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.mustDeploy(t, "a")
				d, _ := w.deliverer("me")
				prepare(w, d)
				p := w.promotion(t, d, "b")
				d.Target.Settings = json.RawMessage(`{"environmentVariables":{"LOG_LEVEL":"warn"}}`)
				plan, err := d.PromotePlan(t.Context(), p)
				if err != nil || w.writes != 0 || plan.Digest != w.digestOf("b") || len(plan.Changes) != 2 {
					t.Fatalf("the plan: %+v, %v", plan, err)
				}
				dep, err := d.Promote(t.Context(), p)
				if err != nil || dep.Outcome != Deployed || w.serving(d.Target.Serving()) != w.digestOf("b") || w.tags[latestTag] != w.digestOf("b") || w.tags[rev("b")] != w.digestOf("b") {
					t.Fatalf("%+v, %v; %v", dep, err, w.wrote())
				}
				if pushes := w.counts["Push"]; w.counts["Build"] != 0 || (pushes == 0) != (story == "the same repository") {
					t.Errorf("it was built or copied: %v", w.ledger)
				}
				r := w.release(t)
				if !reflect.DeepEqual(r.PromotedFrom, p.Evidence.origin()) || r.OutOfOrder || r.Verdict != Passed || r.Digest != p.Evidence.Digest {
					t.Errorf("recorded %+v", r)
				}
				writes := w.writes
				if dep, err := d.Promote(t.Context(), p); err != nil || dep.Outcome != Unchanged || w.writes != writes {
					t.Errorf("again: %s, %v", dep.Outcome, err)
				}
			})
		})
	}
}

// TestPromoteRefused writes nothing.
func TestPromoteRefused(t *testing.T) {
	later := func(w *world, r Release) {
		r.Schema, r.Agent, r.Environment, r.At = releaseSchema, "helper", "dev", time.Now()
		raw, _ := json.Marshal(r)
		w.params["/helper/dev/release"] = string(raw)
	}
	for what, test := range map[string]struct {
		hurt func(w *world, d *Deliverer, p *PromoteOptions)
		code int
		says string
	}{
		"another agent":     {func(_ *world, _ *Deliverer, p *PromoteOptions) { p.Evidence.Agent = "other" }, 2, "is of other, not of helper"},
		"itself":            {func(_ *world, _ *Deliverer, p *PromoteOptions) { p.Evidence.Environment = "dev" }, 2, "of dev itself"},
		"out of order":      {func(_ *world, _ *Deliverer, p *PromoteOptions) { p.Evidence.Environment = "lab" }, 2, "takes its releases from int, not from lab"},
		"first in line":     {func(_ *world, d *Deliverer, _ *PromoteOptions) { d.Target.After = "" }, 2, "takes its releases from commits"},
		"the image is gone": {func(_ *world, _ *Deliverer, p *PromoteOptions) { clear(p.Images.(from).there.images) }, 2, "is gone from the repository of int"},
		"built twice": {func(w *world, _ *Deliverer, _ *PromoteOptions) {
			w.keep(newImage("linux", "arm64", rev("d")), rev("b"))
		}, 2, "was proved in int"},
		"another platform":   {func(_ *world, _ *Deliverer, p *PromoteOptions) { foreignPlatform(p) }, 2, "it is built for linux/amd64"},
		"deployed meanwhile": {func(w *world, _ *Deliverer, _ *PromoteOptions) { r := *w.release(w.t); later(w, r) }, 5, "dev got aaaaaaa by setup, after the evidence was made"},
		"rolled back meanwhile": {func(w *world, _ *Deliverer, p *PromoteOptions) {
			r := *w.release(w.t)
			r.Failed = &Pointer{Revision: p.Evidence.Revision, Digest: p.Evidence.Digest}
			later(w, r)
		}, 5, "was rolled back from bbbbbbb by setup"},
		"edited meanwhile": {func(w *world, _ *Deliverer, _ *PromoteOptions) {
			w.foreign()
			o, _ := parseObject(w.versions[2])
			w.versions[2] = o.set("agentRuntimeArtifact", json.RawMessage(`{"containerConfiguration":{"containerUri":"`+testRegistry+`/helper/runtime@`+w.tags[rev("0")]+`"}}`)).raw()
		}, 5, "dev got version 3 by other hands, after the evidence was made"},
		"made in the future": {func(_ *world, _ *Deliverer, p *PromoteOptions) { p.Evidence.At = time.Now().Add(time.Hour) }, 2, "which is yet to come"},
		"another commit's": {func(_ *world, _ *Deliverer, p *PromoteOptions) {
			p.Images.(from).there.tags[rev("b")] = p.Images.(from).there.tags[rev("0")]
		}, 2, "in the repository of int, the evidence says"},
		"another account": {func(w *world, _ *Deliverer, _ *PromoteOptions) { w.account = "999999999999" }, 2, "belong to account"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.mustDeploy(t, "a")
				d, _ := w.deliverer("me")
				p := w.promotion(t, d, "b")
				test.hurt(w, d, &p)
				dep, err := d.Promote(t.Context(), p)
				if ExitCode(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) || w.writes != 0 || dep.Outcome != Failed {
					t.Errorf("exit %d: %v; %v", ExitCode(err), err, w.wrote())
				}
				if _, err := d.PromotePlan(t.Context(), p); ExitCode(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) {
					t.Errorf("its plan: exit %d: %v", ExitCode(err), err)
				}
			})
		})
	}
}

// foreignPlatform puts an image of the wrong platform in the place of the one
// that was proved.
func foreignPlatform(p *PromoteOptions) {
	img := newImage("linux", "amd64", rev("b"))
	p.Images.(from).there.keep(img, rev("b"))
	p.Evidence.Digest = img.digest
}

// TestPromoteOutOfOrder is recorded as what it is.
func TestPromoteOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d, _ := w.deliverer("me")
		p := w.promotion(t, d, "b")
		d.Target.After, p.OutOfOrder = "lab", true
		if _, err := d.Promote(t.Context(), p); err != nil || !w.release(t).OutOfOrder {
			t.Errorf("%+v, %v", w.release(t), err)
		}
	})
}

// TestPromoteAgainInOneRun goes on after the run's own failure: what was
// approved is still the case.
func TestPromoteAgainInOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mustDeploy(t, "a")
		d, _ := w.deliverer("me")
		p := w.promotion(t, d, "b")
		w.bad("b")
		if _, err := d.Promote(t.Context(), p); ExitCode(err) != 4 {
			t.Fatal(err)
		}
		clear(w.verdicts)
		d.Actor.Run += "/attempts/2"
		if dep, err := d.Promote(t.Context(), p); err != nil || dep.Outcome != Deployed {
			t.Errorf("again: %s, %v", dep.Outcome, err)
		}
		other, _ := w.deliverer("somebody else")
		other.Target.After = "int"
		p.Evidence.Digest, p.Evidence.Revision = w.digestOf("a"), rev("a")
		if _, err := other.Promote(t.Context(), p); ExitCode(err) != 5 {
			t.Errorf("another run: %v", err)
		}
	})
}

func TestSameRun(t *testing.T) {
	const run = "https://github.com/acme/agents/actions/runs/17"
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{run, run, true}, {run, run + "/attempts/2", true}, {run + "/attempts/2", run + "/attempts/3", true}, {run + "/attempts/2", run, true},
		{run, run + "0", false}, {"", "", false}, {run, "", false},
	} {
		if sameRun(test.a, test.b) != test.want {
			t.Errorf("%q, %q: not %v", test.a, test.b, test.want)
		}
	}
}

// TestProve proves what record and runtime agree on, and refuses the rest.
func TestProve(t *testing.T) {
	edit := func(change func(*Release)) func(w *world) {
		return func(w *world) {
			var r Release
			_ = json.Unmarshal([]byte(w.params["/helper/int/release"]), &r)
			change(&r)
			raw, _ := json.Marshal(r)
			w.params["/helper/int/release"] = string(raw)
			w.history["/helper/int/release"] = append(w.history["/helper/int/release"], string(raw))
		}
	}
	for what, test := range map[string]struct {
		revision string
		hurt     func(w *world)
		want     string // letter of the commit
		code     int
		says     string
	}{
		"what serves":     {"", func(*world) {}, "b", 0, ""},
		"by its revision": {rev("b")[:7], func(*world) {}, "b", 0, ""},
		"by a tag that has moved": {"", func(w *world) {
			o, _ := parseObject(w.versions[2])
			w.versions[2] = o.set("agentRuntimeArtifact", json.RawMessage(`{"containerConfiguration":{"containerUri":"`+testRegistry+`/helper/runtime:moved"}}`)).raw()
			w.tags["moved"] = w.digestOf("a")
		}, "", 2, "version 3 runs " + testRegistry + "/helper/runtime:moved, the record says sha256:"},
		"by too little": {rev("b")[:6], func(*world) {}, "", 2, "names no revision"},
		"by the tag of an index": {"", func(w *world) {
			img := w.images[w.digestOf("b")]
			raw := fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d,"platform":{"os":"linux","architecture":"arm64"}}]}`, img.digest, len(img.raw))
			index := &fakeImage{raw: raw, digest: digestOf(raw), blobs: map[string][]byte{img.digest: img.raw}}
			w.keep(index, rev("b"))
			o, _ := parseObject(w.versions[2])
			w.versions[2] = o.set("agentRuntimeArtifact", json.RawMessage(`{"containerConfiguration":{"containerUri":"`+testRegistry+`/helper/runtime:`+rev("b")+`"}}`)).raw()
		}, "b", 0, ""},
		"an earlier one":       {rev("a")[:7], func(*world) {}, "a", 0, ""},
		"one that never was":   {"1234567", func(*world) {}, "", 2, "no recorded release is 1234567"},
		"not verified":         {"", edit(func(r *Release) { r.Verdict = Unverified }), "", 2, "is recorded there as unverified"},
		"with changes":         {"", edit(func(r *Release) { r.Dirty = true }), "", 2, "with changes that no commit has"},
		"no commit":            {"", edit(func(r *Release) { r.Revision = "" }), "", 2, "which commit it is of is not known"},
		"no record":            {"", func(w *world) { delete(w.params, "/helper/int/release") }, "", 2, "no release is recorded"},
		"somebody's update":    {"", func(w *world) { w.foreign() }, "", 2, "DEFAULT serves version 4, the record says 3"},
		"another image":        {"", edit(func(r *Release) { r.Digest = "sha256:" + strings.Repeat("0", 64) }), "", 2, "helper/runtime@sha256:000"},
		"the image is gone":    {"", func(w *world) { delete(w.images, w.digestOf("b")) }, "", 2, "is gone from"},
		"no runtime":           {"", func(w *world) { delete(w.params, "/helper/int/runtime-id") }, "", 2, "no release is recorded"},
		"no answer":            {"", func(w *world) { w.before["Get"] = func(context.Context, int) error { return throttled() } }, "", 2, "ThrottlingException"},
		"an earlier, not good": {rev("c")[:7], edit(func(r *Release) { r.Revision, r.Verdict = rev("c"), Unverified }), "", 2, "was served, and never passed a verify"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, d := before(t, "a", "b")
				w.ledger, w.writes = nil, 0
				if test.hurt(w); strings.Contains(what, "tag") {
					d.Target.Reference = ByTag
				}
				e, err := d.Prove(t.Context(), test.revision)
				if w.writes != 0 {
					t.Errorf("it wrote %v", w.wrote())
				}
				if test.code != 0 {
					if ExitCode(err) != test.code || !strings.Contains(fmt.Sprint(err), test.says) {
						t.Errorf("exit %d: %v", ExitCode(err), err)
					}
					return
				}
				if e.Earlier != (test.want == "a") {
					t.Errorf("earlier: %v", e.Earlier)
				}
				if err != nil || e.Digest != w.digestOf(test.want) || e.Revision != rev(test.want) || e.Environment != "int" || e.Agent != "helper" || e.By != "int" {
					t.Fatalf("%+v, %v", e, err)
				}
				raw, _ := json.Marshal(e)
				if again, err := ParseEvidence(raw); err != nil || !reflect.DeepEqual(again, e) {
					t.Errorf("read back: %+v, %v", again, err)
				}
			})
		})
	}
}

// FuzzEvidence: what is no evidence is refused, and what is has all that a
// promotion reads.
func FuzzEvidence(f *testing.F) {
	good := `{"schema":"slipway.evidence/v1","agent":"helper","environment":"int","revision":"` + rev("a") + `","digest":"sha256:` + strings.Repeat("a", 64) + `","version":"3","at":"2026-11-01T00:00:00Z"}`
	for _, seed := range []string{good, strings.Replace(good, "sha256", "sha512", 1), strings.Replace(good, rev("a"), "abc", 1), strings.Replace(good, "v1", "v2", 1),
		strings.Replace(good, `,"at":"2026-11-01T00:00:00Z"`, "", 1), strings.Replace(good, `"environment":"int",`, "", 1), strings.Replace(good, `"agent":"helper",`, "", 1), "", "null", "[]", good + "x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := ParseEvidence(text)
		if err != nil && KindOf(err) != KindUsage {
			t.Errorf("%v", err)
		}
		if err == nil && (!digestShape.MatchString(e.Digest) || len(e.Revision) != 40 || e.At.IsZero() || e.Agent == "" || e.Environment == "" || !json.Valid(text)) {
			t.Errorf("%s was taken for %+v", text, e)
		}
	})
}
