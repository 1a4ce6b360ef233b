package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// told is an entry in a line, for tests.
func (e Entry) told() string {
	name := func(revision string) string { return revision[:min(1, len(revision))] }
	words := []string{name(e.Revision), "v" + e.Version, string(e.Verdict), "version " + string(e.VersionIs), "image " + string(e.ImageIs)}
	for _, tag := range e.Tags {
		if tag != latestTag {
			tag = "revision"
		}
		words = append(words, tag)
	}
	if e.Serves {
		words = append(words, "serves")
	}
	if !e.Recorded {
		words = append(words, "unrecorded", "by "+e.By)
	}
	if e.Failed != nil {
		words = append(words, "after "+name(e.Failed.Revision))
	}
	return strings.Join(words, " ")
}

// TestHistory: what was served, joined with what is still there.
func TestHistory(t *testing.T) {
	must := func(t *testing.T, d *Deliverer, letter string, exit int) {
		t.Helper()
		if _, err := d.Deploy(t.Context(), commit(letter)); ExitCode(err) != exit {
			t.Fatalf("deploying %s: %v", letter, err)
		}
	}
	deployed := func(t *testing.T, _ *world, d *Deliverer) {
		must(t, d, "a", 0)
		must(t, d, "b", 0)
	}
	for name, test := range map[string]struct {
		world func(t *testing.T, w *world, d *Deliverer)
		limit int
		want  []string // newest first
		warns string
		total int // how many are recorded, where not all that are wanted
	}{
		"deploys": {world: deployed, want: []string{
			"b v3 passed version there image there revision latest serves",
			"a v2 passed version there image there revision",
			"0 v1 unverified version there image there revision"}},
		"a bad one is undone, a good one gone back from": {world: func(t *testing.T, w *world, d *Deliverer) {
			deployed(t, w, d)
			w.bad("c")
			must(t, d, "c", 4)
			if _, err := d.Rollback(t.Context(), RollbackOptions{}); err != nil {
				t.Fatal(err)
			}
		}, want: []string{
			"a v6 passed version there image there revision latest serves after b",
			"b v5 passed version there image there revision after c",
			"b v3 passed version there image there revision",
			"a v2 passed version there image there revision latest",
			"0 v1 unverified version there image there revision"}},
		"a limit": {world: deployed, limit: 1, total: 3, want: []string{"b v3 passed version there image there revision latest serves"}},
		"what is gone": {world: func(t *testing.T, w *world, d *Deliverer) {
			deployed(t, w, d)
			w.deleted = 2
			delete(w.images, w.digestOf("a"))
			delete(w.tags, rev("a"))
			w.tags[rev("b")] = w.tags[rev("0")] // moved by other hands
		}, want: []string{
			"b v3 passed version there image there latest serves",
			"a v2 passed version gone image gone",
			"0 v1 unverified version gone image there revision"}},
		"the whole runtime is gone": {world: func(t *testing.T, w *world, d *Deliverer) {
			deployed(t, w, d)
			w.runtime = false
		}, warns: "ResourceNotFoundException", want: []string{
			"b v3 passed version gone image there revision latest",
			"a v2 passed version gone image there revision",
			"0 v1 unverified version gone image there revision"}},
		"an index": {world: func(t *testing.T, w *world, d *Deliverer) {
			runs := newImage("linux", "arm64", rev("a"))
			w.keep(runs)
			w.keep(index(newImage("linux", "amd64", rev("a")), runs), rev("a"))
			must(t, d, "a", 0)
		}, want: []string{
			"a v2 passed version there image there revision latest serves",
			"0 v1 unverified version there image there revision"}},
		"another repository's": {world: func(t *testing.T, w *world, d *Deliverer) {
			w.runsImage(otherRegistry + "/shared/agent:latest")
			elsewhere(w)(d)
			must(t, d, "a", 0)
		}, want: []string{
			"a v2 passed version there image there revision latest serves",
			"0 v1 unverified version there image unknown"}},
		"killed after the update": {world: func(t *testing.T, w *world, d *Deliverer) {
			deployed(t, w, d)
			w.killAt(w.writes+3, true) // the update
			runKilled(t, func() (*Deployment, error) { return d.Deploy(t.Context(), commit("c")) })
			w.onWrite = nil
			synctest.Wait()
			for range w.polls + w.lag + 1 { // the world goes on when it is looked at
				if _, err := d.Status(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}, want: []string{
			"c v4  version there image there revision serves unrecorded by me",
			"b v3 passed version there image there revision latest",
			"a v2 passed version there image there revision",
			"0 v1 unverified version there image there revision"}},
		"a pointer moved by hand": {world: func(t *testing.T, w *world, d *Deliverer) {
			w.endpointLive("1")
			d.Target.Endpoint = "live"
			deployed(t, w, d)
			w.endpointLive("2")
		}, want: []string{
			"a v2  version there image there revision serves unrecorded by ",
			"b v3 passed version there image there revision latest",
			"a v2 passed version there image there revision",
			"0 v1 unverified version there image there revision"}},
		"never delivered": {world: func(*testing.T, *world, *Deliverer) {}, want: []string{
			" v1  version there image unknown serves unrecorded by "}},
		"no runtime": {world: func(_ *testing.T, w *world, _ *Deliverer) { w.noRuntime() }},
		"a version that may not be read": {world: func(t *testing.T, w *world, d *Deliverer) {
			deployed(t, w, d)
			w.fault = func(_ context.Context, k int, _ string, done bool) error {
				if !done && w.called(k) == "Get 1" {
					return remote(ErrDenied, 403, "AccessDeniedException")
				}
				return nil
			}
		}, warns: "AccessDeniedException", want: []string{
			"b v3 passed version there image there revision latest serves",
			"a v2 passed version there image there revision",
			"0 v1 unverified version unknown image there revision"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				d, o := w.deliverer("me")
				test.world(t, w, d)
				w.ledger, w.writes = nil, 0
				h, err := d.History(t.Context(), HistoryOptions{Limit: test.limit})
				if err != nil {
					t.Fatal(err)
				}
				var told []string
				recorded := 0
				for _, e := range h.Entries {
					told = append(told, e.told())
					if e.Recorded {
						recorded++
					}
				}
				if !slices.Equal(told, test.want) {
					t.Errorf("it tells\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(test.want, "\n"))
				}
				if want := max(test.total, recorded); h.Recorded != want {
					t.Errorf("%d are recorded, want %d", h.Recorded, want)
				}
				if w.writes > 0 || o.told(Warning, test.warns) != (test.warns != "") {
					t.Errorf("it wrote %v; events %v", w.wrote(), o.events)
				}
				w.askedOnce(t, len(h.Entries) > 0 && !h.Entries[0].Recorded)
			})
		})
	}
}

// askedOnce: no version and no tag was asked for twice, but for the version
// that serves where it is to be told what no record tells.
func (w *world) askedOnce(t *testing.T, unrecorded bool) {
	t.Helper()
	counts := map[string]int{}
	for _, call := range w.ledger {
		name, on, _ := strings.Cut(call, " ")
		most := 1
		if name == "Get" && unrecorded {
			most = 2
		}
		if counts[call]++; counts[call] > most && on != "" && (name == "Get" || name == "Resolve") {
			t.Errorf("%s was asked for %d times", call, counts[call])
		}
	}
}

// TestHistoryInterrupted: half a history is none.
func TestHistoryInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mustDeploy(t, "a")
		d, _ := w.deliverer("me")
		if _, err := d.History(w.interruptIn("Resolve"), HistoryOptions{}); ExitCode(err) != 130 {
			t.Errorf("it ends with %v", err)
		}
	})
}

// TestHistoryWithoutArchive: what forbids the history is told as it is.
func TestHistoryWithoutArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mustDeploy(t, "a")
		d, _ := w.deliverer("me")
		w.before["History"] = func(context.Context, int) error { return remote(ErrDenied, 403, "AccessDeniedException") }
		if _, err := d.History(t.Context(), HistoryOptions{}); !errors.Is(err, ErrDenied) {
			t.Errorf("it ends with %v", err)
		}
	})
}

func TestLockStory(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	held := Lock{Holder: "octocat", Revision: rev("a"), Since: now.Add(-time.Minute), Expires: now.Add(time.Hour)}
	left, dead, unknown := held, held, Lock{Holder: "someone unknown", Expires: now.Add(time.Hour)}
	left.Left = "version 3 serves"
	dead.Expires = now.Add(-time.Second)
	for want, lock := range map[string]Lock{
		"a delivery of aaaaaaa by octocat is under way since 2026-11-26T11:59:00Z; if it is dead, its lock ends at 2026-11-26T13:00:00Z": held,
		"a delivery of aaaaaaa by octocat was interrupted: version 3 serves":                                                             left,
		"a delivery of aaaaaaa by octocat was killed: its lock has expired at 2026-11-26T11:59:59Z":                                      dead,
		"someone unknown holds the lock": unknown,
	} {
		if got := lock.Story(now); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

// TestStatusEndpoints: what each endpoint serves, and what of it is drift.
func TestStatusEndpoints(t *testing.T) {
	tag := func(w *world, version int, by string) {
		w.versions[version-1] = edited(w.versions[version-1], `{"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"`+testRegistry+`/helper/runtime`+by+`"}}}`)
	}
	held := func(w *world, left time.Duration, word string) {
		raw, _ := json.Marshal(Lock{Schema: lockSchema, Holder: "mallory", Expires: time.Now().Add(left), Left: word})
		w.params["/helper/dev/lock"] = string(raw)
	}
	for name, test := range map[string]struct {
		world  func(w *world, d *Deliverer)
		served []string
		drift  []string
		notes  []string
	}{
		"DEFAULT alone": {world: func(*world, *Deliverer) {}, served: []string{"DEFAULT 3 b"}},
		"both": {world: func(w *world, d *Deliverer) { w.endpointLive("3"); d.Target.Endpoint = "live" },
			served: []string{"DEFAULT 3 b", "live 3 b"}},
		"a newer version failed its verify": {world: func(w *world, d *Deliverer) { w.endpointLive("3"); d.Target.Endpoint = "live"; w.foreign() },
			served: []string{"DEFAULT 4 b", "live 3 b"}, notes: []string{"DEFAULT is at version 4"}},
		"behind": {world: func(w *world, d *Deliverer) { w.endpointLive("2"); d.Target.Endpoint = "live" },
			served: []string{"DEFAULT 3 b", "live 2 a"}, notes: []string{"DEFAULT is at version 3"},
			drift: []string{"live is behind: it serves version 2, the record says 3"}},
		"a lock": {world: func(w *world, _ *Deliverer) { held(w, time.Hour, "") }, served: []string{"DEFAULT 3 b"}},
		"a lock that has expired": {world: func(w *world, _ *Deliverer) { held(w, -time.Hour, "") }, served: []string{"DEFAULT 3 b"},
			notes: []string{"an interrupted delivery left its lock: slipway history --env dev --agent helper"}},
		"no lock of slipway's": {world: func(w *world, _ *Deliverer) { w.params["/helper/dev/lock"] = "{" }, served: []string{"DEFAULT 3 b"},
			notes: []string{"the parameter /helper/dev/lock is no lock of slipway's, and keeps deliveries out"}},
		"a lock with a last word": {world: func(w *world, _ *Deliverer) { held(w, -time.Hour, "version 3 serves") }, served: []string{"DEFAULT 3 b"}},
		"ahead": {world: func(w *world, _ *Deliverer) { w.foreign() }, served: []string{"DEFAULT 4 b"},
			drift: []string{"DEFAULT serves version 4, the record says 3"}},
		"no named endpoint": {world: func(_ *world, d *Deliverer) { d.Target.Endpoint = "live" }, served: []string{"DEFAULT 3 b"},
			notes: []string{"DEFAULT is at version 3"}, drift: []string{"endpoint live is not there"}},
		"a tag that nobody asked for": {world: func(w *world, _ *Deliverer) { tag(w, 3, ":v1") }, served: []string{"DEFAULT 3 "},
			drift: []string{"version 3 runs " + testRegistry + "/helper/runtime:v1, the record says B"}},
		"a tag behind the endpoint": {world: func(w *world, d *Deliverer) {
			w.endpointLive("3")
			d.Target.Endpoint = "live"
			w.foreign()
			tag(w, 3, ":v1")
		}, served: []string{"DEFAULT 4 b", "live 3 "}, notes: []string{"DEFAULT is at version 4"},
			drift: []string{"its image is named by the tag v1 alone, which may move"}},
		"a tag that was asked for": {world: func(w *world, d *Deliverer) { d.Target.Reference = ByLatest; tag(w, 3, "") }, served: []string{"DEFAULT 3 "},
			notes: []string{"its image is named by the tag latest alone, which may move"}},
		"never delivered": {world: func(w *world, _ *Deliverer) {
			clear(w.params)
			w.params["/helper/dev/runtime-id"] = testID
			tag(w, 3, ":latest")
		},
			served: []string{"DEFAULT 3 "}, drift: []string{"no release is recorded: it was not delivered by slipway",
				"its image is named by the tag latest alone, which may move"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.mustDeploy(t, "a")
				w.mustDeploy(t, "b")
				d, _ := w.deliverer("me")
				test.world(w, d)
				s, err := d.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				names := strings.NewReplacer(testTarget().ImageURI(w.digestOf("a")), "a", testTarget().ImageURI(w.digestOf("b")), "b")
				var served []string
				for _, e := range s.Endpoints {
					image := names.Replace(e.Image)
					if len(image) > 1 {
						image = ""
					}
					served = append(served, fmt.Sprintf("%s %s %s", e.Name, e.LiveVersion, image))
				}
				for i := range s.Drift {
					s.Drift[i] = strings.Replace(s.Drift[i], "says "+testTarget().ImageURI(w.digestOf("b")), "says B", 1)
				}
				if !slices.Equal(served, test.served) || !slices.Equal(s.Drift, test.drift) || !slices.Equal(s.Notes, test.notes) {
					t.Errorf("serves %q\ndrift %q\nnotes %q", served, s.Drift, s.Notes)
				}
			})
		})
	}
}
