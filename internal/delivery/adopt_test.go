package delivery

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
)

// moveLatestAt has somebody else point latest at another image when a call
// comes.
func (w *world) moveLatestAt(name string) {
	theirs := newImage("linux", "arm64", rev("f"))
	w.before[name] = func(context.Context, int) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.keep(theirs, "latest")
		return nil
	}
}

// runsImage has version 1 name its image otherwise.
func (w *world) runsImage(uri string) {
	w.versions[0] = Document(strings.Replace(string(w.versions[0]), testRegistry+"/helper/runtime:latest", uri, 1))
}

// liveImage is what the newest version names its image by.
func (w *world) liveImage() string {
	f, _ := readFacts(w.versions[len(w.versions)-1])
	return f.Artifact.Container.URI
}

const otherRegistry = "444455556666.dkr.ecr.us-east-1.amazonaws.com"

// elsewhere has another account's repository hold version 1's image.
func elsewhere(repository Repository) func(d *Deliverer) {
	return func(d *Deliverer) {
		d.Elsewhere = func(registry, name string) Repository {
			if registry != otherRegistry || name != "shared/agent" {
				return nil
			}
			return repository
		}
	}
}

// refusing is a repository that says no.
type refusing struct{ err error }

func (r refusing) Resolve(context.Context, string) (string, error) { return "", r.err }
func (r refusing) Open(context.Context, string) (Image, error)     { return nil, r.err }

// TestAdopt: a runtime that was not delivered by slipway is recorded before it
// is touched, and what comes back is what served, whatever its tag names by
// then.
func TestAdopt(t *testing.T) {
	old := newImage("linux", "arm64", rev("0"))
	comesBack := func(image string, record Release) func(t *testing.T, o *outcome) {
		return func(t *testing.T, o *outcome) {
			t.Helper()
			if o.liveImage() != image {
				t.Errorf("version %d names %s, want %s", len(o.versions), o.liveImage(), image)
			}
			r := o.release(t)
			if r == nil {
				t.Fatal("there is no record")
			}
			got := Release{Revision: r.Revision, Digest: r.Digest, Image: r.Image, Version: r.Version, Verdict: r.Verdict, Adopted: r.Adopted}
			if !reflect.DeepEqual(got, record) {
				t.Errorf("recorded %+v\nwant %+v", got, record)
			}
		}
	}
	own := testTarget().ImageURI(old.digest)
	back := Release{Revision: rev("0"), Digest: old.digest, Version: "3", Verdict: Passed}
	for _, tr := range []trial{
		{name: "by a tag that moves meanwhile", world: func(_ *testing.T, w *world) { w.bad("b"); w.moveLatestAt("Update") }, exit: 4, kind: KindRolledBack,
			writes: []string{putLock, pushOf("b"), putImageURI, putRelease, "Update", "Update", putRelease, dropLock},
			says:   []string{"0000000, serves again, as version 3, verified"}, after: func(t *testing.T, o *outcome) {
				comesBack(own, back)(t, o)
				if !o.watch.told(Note, "the tag latest names now; it may have named another") || !o.watch.told(Note, "it comes back by its digest, "+old.digest) {
					t.Error("the output does not say how sure that is")
				}
				if o.serving(DefaultEndpoint) != old.digest || o.tags["latest"] == old.digest {
					t.Errorf("%s serves", o.serving(DefaultEndpoint))
				}
			}},
		{name: "by a digest", world: func(_ *testing.T, w *world) { w.bad("b"); w.runsImage(own) }, exit: 4, kind: KindRolledBack, after: comesBack(own, back)},
		{name: "by another tag and a digest", world: func(_ *testing.T, w *world) {
			w.bad("b")
			w.runsImage(strings.Replace(own, "@", ":v1@", 1))
		}, exit: 4, kind: KindRolledBack, after: comesBack(strings.Replace(own, "@", ":v1@", 1), back)},
		{name: "by no tag at all", world: func(_ *testing.T, w *world) { w.bad("b"); w.runsImage(testRegistry + "/helper/runtime") }, exit: 4, kind: KindRolledBack,
			after: comesBack(own, back)},
		{name: "for another platform", world: func(_ *testing.T, w *world) {
			w.bad("b")
			amd := newImage("linux", "amd64", rev("0"))
			w.keep(amd, "latest")
		}, exit: 4, kind: KindRolledBack, after: func(t *testing.T, o *outcome) {
			amd := newImage("linux", "amd64", rev("0"))
			comesBack(testTarget().ImageURI(amd.digest), Release{Revision: rev("0"), Digest: amd.digest, Version: "3", Verdict: Passed})(t, o)
		}},
		{name: "without a label", world: func(_ *testing.T, w *world) {
			w.bad("b")
			w.keep(newImage("linux", "arm64", "main"), "latest")
		}, exit: 4, kind: KindRolledBack, says: []string{"version 1 serves again, as version 3, verified"}, after: func(t *testing.T, o *outcome) {
			if r := o.release(t); r.Revision != "" {
				t.Errorf("revision %q", r.Revision)
			}
		}},
		{name: "of another account's repository", world: func(_ *testing.T, w *world) { w.bad("b"); w.runsImage(otherRegistry + "/shared/agent:latest") },
			alter: func(d *Deliverer) { elsewhere(d.Repository)(d) }, exit: 4, kind: KindRolledBack, after: func(t *testing.T, o *outcome) {
				there := otherRegistry + "/shared/agent@" + old.digest
				r := back
				r.Image = there
				comesBack(there, r)(t, o)
				if o.params["/helper/dev/image-uri"] != there {
					t.Errorf("image-uri is %s", o.params["/helper/dev/image-uri"])
				}
			}},
		{name: "of a repository that can't be read", world: func(_ *testing.T, w *world) { w.bad("b"); w.runsImage(otherRegistry + "/shared/agent:latest") },
			alter: elsewhere(refusing{remote(ErrDenied, 403, "DENIED")}), exit: 4, kind: KindRolledBack, says: []string{"version 1 serves again"},
			writes: []string{putLock, pushOf("b"), "Update", "Update", dropLock}, after: func(t *testing.T, o *outcome) {
				if o.liveImage() != otherRegistry+"/shared/agent:latest" || o.release(t) != nil || !o.watch.told(Warning, "can't be told") {
					t.Errorf("%s, %+v", o.liveImage(), o.release(t))
				}
			}},
		{name: "of a repository that gives no answer", world: func(_ *testing.T, w *world) { w.runsImage(otherRegistry + "/shared/agent:latest") },
			alter: elsewhere(refusing{throttled()}), exit: 2, kind: KindUnavailable, writes: nothing()},
		{name: "by a tag that is gone", world: func(_ *testing.T, w *world) {
			w.bad("b")
			w.runsImage(testRegistry + "/helper/runtime:gone")
			w.tags["gone"] = ""
		}, exit: 4, kind: KindRolledBack, after: func(t *testing.T, o *outcome) {
			if o.liveImage() != testRegistry+"/helper/runtime:gone" || !o.watch.told(Warning, "can't be told") {
				t.Errorf("%s", o.liveImage())
			}
		}},
		{name: "what has a record is not adopted", world: func(t *testing.T, w *world) {
			w.mustDeploy(t, "a")
			w.foreign()
			w.bad("b")
		}, exit: 4, kind: KindRolledBack, writes: []string{putLock, pushOf("b"), "Update", "Update", putRelease, dropLock}},
		{name: "a good one needs nothing back", after: func(t *testing.T, o *outcome) {
			if r := o.release(t); r.Previous == nil || *r.Previous != (Pointer{Revision: rev("0"), Digest: old.digest, Version: "1"}) || r.Adopted != "" {
				t.Errorf("recorded %+v", r)
			}
		}},
	} {
		if tr.opts == nil && tr.exit != 0 {
			tr.opts = deployB
		}
		tr.run(t)
	}
}

// TestAdoptByLatest: what was found comes back although it is not known what
// latest named before, unless it is by latest that its version names its image.
func TestAdoptByLatest(t *testing.T) {
	found := func(uri string) func(t *testing.T, w *world) {
		return func(_ *testing.T, w *world) {
			w.bad("b")
			w.tags["stable"] = w.tags[latestTag]
			w.runsImage(uri)
		}
	}
	back := func(image string) func(t *testing.T, o *outcome) {
		return func(t *testing.T, o *outcome) {
			t.Helper()
			if o.liveImage() != image || o.lock(t) != nil {
				t.Errorf("version %d names %s, want %s; lock %+v", len(o.versions), o.liveImage(), image, o.lock(t))
			}
			if o.tags[latestTag] != o.digestOf("b") || !o.watch.told(Warning, "is left where it is") {
				t.Errorf("latest names %s, and nobody is told", o.tags[latestTag])
			}
		}
	}
	own, other := testRegistry+"/helper/runtime", otherRegistry+"/shared/agent"
	digest := newImage("linux", "arm64", rev("0")).digest
	unreadable := elsewhere(refusing{remote(ErrDenied, 403, "DENIED")})
	readable := func(d *Deliverer) { elsewhere(d.Repository)(d) }
	for _, test := range []struct {
		trial
		elsewhere func(d *Deliverer)
	}{
		{trial{name: "of another repository", world: found(other + ":stable"), exit: 4, kind: KindRolledBack, after: back(other + "@" + digest)}, readable},
		{trial{name: "of one that can't be read", world: found(other + ":stable"), exit: 4, kind: KindRolledBack, after: back(other + ":stable")}, unreadable},
		{trial{name: "by a tag that is gone", world: found(own + ":gone"), exit: 4, kind: KindRolledBack, after: back(own + ":gone")}, unreadable},
		{trial{name: "by a digest, and the tag is denied", world: func(t *testing.T, w *world) {
			found(own+"@"+digest)(t, w)
			w.before["Tag"] = func(_ context.Context, n int) error {
				if n > 1 {
					return remote(ErrDenied, 403, "AccessDeniedException")
				}
				return nil
			}
		}, exit: 4, kind: KindRolledBack, after: back(own + "@" + digest)}, unreadable},
		{trial{name: "by latest, which was gone", world: func(t *testing.T, w *world) {
			found(own+":latest")(t, w)
			delete(w.tags, latestTag)
		}, exit: 6, kind: KindPerson, says: []string{"which digest latest named before is not known", "DEFAULT serves version 2"},
			writes: []string{putLock, pushOf("b"), tagLatest, "Update", putLock}}, unreadable},
	} {
		test.opts = deployB
		test.alter = func(d *Deliverer) {
			d.Target.Reference = ByLatest
			test.elsewhere(d)
		}
		test.run(t)
	}
}

// TestAdoptPlan: a plan says what is recorded and how sure that is, and
// writes nothing.
func TestAdoptPlan(t *testing.T) {
	for image, want := range map[string]string{
		testRegistry + "/helper/runtime:latest": "+ version 1 was not delivered by slipway: recorded as the release before, sha256:",
		otherRegistry + "/shared/agent:v1":      "= the digest of version 1 (" + otherRegistry + "/shared/agent:v1) can't be told (it is in another repository)",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.runsImage(image)
			d, _ := w.deliverer("me")
			plan, err := d.Plan(t.Context(), commit("a"))
			if err != nil || len(w.wrote()) > 0 {
				t.Fatalf("%v, %v", err, w.wrote())
			}
			said := ""
			for _, s := range plan.Steps {
				if s.Stage == StageRecord {
					said += s.Action + " " + s.Text + "\n"
				}
			}
			if !strings.Contains(said, want) {
				t.Errorf("the plan says %s", said)
			}
		})
	}
}

// TestAdoptStatus: between adoption and the first release, status says so.
func TestAdoptStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.endpointLive("1")
		w.foreign() // DEFAULT is ahead of what users get
		w.bad("b")
		d, _ := w.deliverer("me")
		d.Target.Endpoint = "live"
		if _, err := d.Deploy(t.Context(), commit("b")); ExitCode(err) != 1 {
			t.Fatal(err)
		}
		s, err := d.Status(t.Context())
		if err != nil || s.Release == nil || s.Release.Version != "1" || s.Release.Digest != w.tags[rev("0")] || s.Release.Endpoint != "live" {
			t.Fatalf("%+v, %v", s.Release, err)
		}
		if len(s.Drift) != 1 || !strings.Contains(s.Drift[0], "version 1 was adopted, not delivered: it names its image "+testRegistry+"/helper/runtime:latest") {
			t.Errorf("drift %v", s.Drift)
		}
	})
}

// TestAdoptedComesBackWithoutDrift: status compares what came back with its
// record by repository and digest, whatever else its name says.
func TestAdoptedComesBackWithoutDrift(t *testing.T) {
	digest, other := newImage("linux", "arm64", rev("0")).digest, "sha256:"+strings.Repeat("f", 64)
	own, shared := testRegistry+"/helper/runtime", otherRegistry+"/shared/agent"
	for name, test := range map[string]struct{ found, runs, drift string }{
		"another repository's": {found: shared + ":latest"},
		"a tag beside it":      {found: own + ":v1@" + digest},
		"both":                 {found: shared + ":v1@" + digest},
		"another digest": {shared + ":latest", shared + ":v1@" + other,
			"version 3 runs " + shared + ":v1@" + other + ", the record says " + shared + "@" + digest},
		"another repository": {shared + ":latest", own + "@" + digest, "version 3 runs " + own + "@" + digest + ", the record says " + shared + "@" + digest},
		"another one's registry": {own + "@" + digest, otherRegistry + "/helper/runtime@" + digest,
			"version 3 runs " + otherRegistry + "/helper/runtime@" + digest + ", the record says " + own + "@" + digest},
		"no digest": {own + "@" + digest, own, "version 3 runs " + own + ", the record says " + own + "@" + digest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.bad("b")
				w.runsImage(test.found)
				d, _ := w.deliverer("me")
				elsewhere(d.Repository)(d)
				if _, err := d.Deploy(t.Context(), commit("b")); ExitCode(err) != 4 {
					t.Fatal(err)
				}
				if test.runs != "" {
					w.versions[2] = edited(w.versions[2], `{"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"`+test.runs+`"}}}`)
				}
				s, err := d.Status(t.Context())
				if err != nil || s.Release == nil || s.Release.Version != "3" {
					t.Fatalf("%+v, %v", s.Release, err)
				}
				if got := strings.Join(s.Drift, "; "); got != test.drift {
					t.Errorf("drift %q, want %q", got, test.drift)
				}
			})
		})
	}
}
