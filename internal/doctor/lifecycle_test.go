package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// aRule is a rule of a policy: its tag selection, what it counts by, how many.
func aRule(priority int, tags, countType string, n int) string {
	unit := ""
	if countType != byCount {
		unit = `"countUnit":"days",`
	}
	return fmt.Sprintf(`{"rulePriority":%d,"selection":{%s,"countType":%q,%s"countNumber":%d},"action":{"type":"expire"}}`, priority, tags, countType, unit, n)
}

func policyOf(rules ...string) string { return `{"rules":[` + strings.Join(rules, ",") + `]}` }

// What the rules select.
const (
	everything = `"tagStatus":"any"`
	untagged   = `"tagStatus":"untagged"`
)

func prefixes(list string) string { return `"tagStatus":"tagged","tagPrefixList":[` + list + `]` }

func patterns(list string) string { return `"tagStatus":"tagged","tagPatternList":[` + list + `]` }

// TestTaken holds the evaluation of a policy to the words of ECR's user guide.
func TestTaken(t *testing.T) {
	image := func(digest string, daysAgo int, tags ...string) StoredImage {
		return StoredImage{Digest: digest, Tags: tags, Pushed: now.AddDate(0, 0, -daysAgo)}
	}
	// The repository of the guide's examples of several rules.
	three := []StoredImage{image("A", 10, "beta-1", "prod-1"), image("B", 9, "beta-2", "prod-2"), image("C", 8, "beta-3")}
	pulled := image("pulled", 50)
	pulled.Pulled = now.AddDate(0, 0, -2)
	restored := image("restored", 90)
	restored.Pulled, restored.Activated, restored.Transitioned = now.AddDate(0, 0, -80), now.AddDate(0, 0, -4), now.AddDate(0, 0, -70)
	archived := image("archived", 90, "v1")
	archived.Archived, archived.Transitioned = true, now.AddDate(0, 0, -30)
	inArchive := `"tagStatus":"any","storageClass":"archive"`
	for _, test := range []struct {
		name   string
		rules  string
		images []StoredImage
		want   string
	}{
		{"prod before beta", policyOf(aRule(1, prefixes(`"prod"`), byCount, 1), aRule(2, prefixes(`"beta"`), byCount, 1)), three, "A"},
		{"beta before prod", policyOf(aRule(1, prefixes(`"beta"`), byCount, 1), aRule(2, prefixes(`"prod"`), byCount, 1)), three, "A B"},
		{"in another order of writing", policyOf(aRule(2, prefixes(`"beta"`), byCount, 1), aRule(1, prefixes(`"prod"`), byCount, 1)), three, "A"},
		{"both prefixes by one tag or another", policyOf(aRule(1, prefixes(`"beta","prod"`), byCount, 1)), three, "A"},
		{"both patterns", policyOf(aRule(1, patterns(`"*-2","prod*"`), sincePushed, 1)), three, "B"},
		{"a pattern within", policyOf(aRule(1, patterns(`"b*-*3"`), sincePushed, 1)), three, "C"},
		{"a pattern is of the whole tag", policyOf(aRule(1, patterns(`"beta"`), sincePushed, 1)), three, ""},
		{"a prefix has no wildcard", policyOf(aRule(1, prefixes(`"b*"`), sincePushed, 1)), three, ""},
		{"tagged, of no kind", policyOf(aRule(1, `"tagStatus":"tagged"`, sincePushed, 1)), three, ""},
		{"as many as there are", policyOf(aRule(1, everything, byCount, 3)), three, ""},
		{"one less", policyOf(aRule(1, everything, byCount, 2)), three, "A"},
		{"nine days and not older", policyOf(aRule(1, everything, sincePushed, 9)), three, "A"},
		{"any counts what others have the say over", policyOf(aRule(1, prefixes(`"prod"`), byCount, 2), aRule(2, everything, byCount, 1)), three, ""},
		{"any takes what is left", policyOf(aRule(1, prefixes(`"prod"`), byCount, 2), aRule(2, everything, sincePushed, 1)), three, "C"},
		{"untagged", policyOf(aRule(1, untagged, sincePushed, 1)), append(slices.Clone(three), image("D", 2)), "D"},
		{"untagged of today", policyOf(aRule(1, untagged, sincePushed, 1)), append(slices.Clone(three), image("D", 0)), ""},
		{"pulled not long ago", policyOf(aRule(1, everything, sincePulled, 3)), []StoredImage{pulled, restored, image("never", 50), image("new", 2)}, "never restored"},
		{"restored not long ago", policyOf(aRule(1, everything, sincePulled, 5)), []StoredImage{pulled, restored, image("never", 50)}, "never"},
		{"restored counts as pushed then", policyOf(aRule(1, everything, byCount, 1)), []StoredImage{restored, image("E", 5)}, "E"},
		{"the archive is apart", policyOf(aRule(1, everything, byCount, 1)), []StoredImage{archived, image("E", 5)}, ""},
		{"in the archive for long", policyOf(aRule(1, inArchive, sinceArchived, 29)), []StoredImage{archived, image("E", 95)}, "archived"},
		{"in the archive not for long", policyOf(aRule(1, inArchive, sinceArchived, 30)), []StoredImage{archived}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules, err := lifecycleRules(test.rules)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(slices.Sorted(maps.Keys(taken(rules, test.images, now))), " ")
			if got != test.want {
				t.Errorf("takes %q, want %q", got, test.want)
			}
		})
	}
}

// TestLifecycle: which rule takes which image that is wanted, and when. A case
// that wants no message is a near miss.
func TestLifecycle(t *testing.T) {
	pr := pushed(7, 0)
	pr.Tags = []string{"pr-7"}
	many := func(w *world, newest int) {
		w.contents, w.history = nil, nil
		for n := 1; n <= newest; n++ {
			w.contents = append(w.contents, pushed(n, 100-n))
			w.history = append(w.history, released(n, delivery.Passed))
		}
		w.status.Image, w.status.Release = w.Target.ImageURI(digest(newest)), nil
	}
	const ofTwo = "0000002 (sha256:0000000000000000000000000000000000000000000000000000000000000002)"
	const ofThree = "0000003 (sha256:0000000000000000000000000000000000000000000000000000000000000003)"
	for _, test := range []struct {
		name   string
		policy string
		change func(*world)
		want   []string // a part of each message, in order
	}{
		{"what serves, next", policyOf(aRule(4, everything, byCount, 1)), func(w *world) { w.contents = append(w.contents[:1], pr) },
			[]string{"error: lifecycle rule 4 keeps the newest image alone: its next run deletes " + ofThree + ", which dev serves", "note: 2 verified releases without an image"}},
		{"what serves, later", policyOf(aRule(1, everything, byCount, 3)), func(w *world) { w.contents, w.history = append(w.contents[:1], pr), nil },
			[]string{"warning: lifecycle rule 1 keeps the 3 newest images alone: after 2 more images it deletes " + ofThree + ", which dev serves"}},
		{"what serves, with one more", policyOf(aRule(1, everything, byCount, 2)), func(w *world) { w.contents, w.history = append(w.contents[:1], pr), nil },
			[]string{"after one more image it deletes " + ofThree}},
		{"what serves by its tag", policyOf(aRule(1, everything, byCount, 1)), func(w *world) {
			w.contents, w.history = append(w.contents[:1], pr), nil
			w.status.Image, w.status.Release = w.Target.Registry+"/"+w.Target.Repository+":latest", nil
		}, []string{"error: lifecycle rule 1 keeps the newest image alone: its next run deletes " + digest(3) + ", which dev serves"}},
		{"what serves, without a tag", policyOf(aRule(1, untagged, byCount, 1)), func(w *world) {
			w.history, w.contents[0].Tags = nil, nil
			w.contents = append(w.contents, StoredImage{Digest: digest(8), Pushed: now})
		}, []string{"error: lifecycle rule 1 keeps the newest image alone: its next run deletes " + ofThree}},
		{"what the record names", policyOf(aRule(1, everything, byCount, 1)), func(w *world) {
			w.contents, w.history = w.contents[:2], nil
			w.status.Release = &delivery.Release{Revision: revision(2), Digest: digest(2)}
		}, []string{ofTwo + ", which dev serves by its record", "after one more image it deletes " + digest(3)}},
		{"another repository's", policyOf(aRule(1, everything, byCount, 1)), func(w *world) {
			w.contents, w.history = append(w.contents[:1], pr), nil
			w.status.Image = w.Target.Registry + "/" + w.Target.Repository + "-old@" + digest(3)
			w.status.Release.Image = w.status.Image
		}, []string{"warning: lifecycle rule 1 keeps the newest image alone, whether it serves or not"}},
		{"a rollback's", policyOf(aRule(1, everything, sincePushed, 8)), nil,
			[]string{"warning: lifecycle rule 1 takes what was pushed more than 8 days ago: its next run deletes 0000001 (",
				"warning: lifecycle rule 1 takes what was pushed more than 8 days ago: from 2026-11-29 on it deletes " + ofThree + ", which dev serves; " + ofTwo + ", which a rollback may want"}},
		{"no rollback goes to what failed", policyOf(aRule(1, everything, sincePushed, 8)), func(w *world) { w.history[1] = released(1, delivery.Unverified) },
			[]string{"from 2026-11-29 on it deletes"}},
		{"archives", strings.Replace(policyOf(aRule(1, everything, sincePulled, 4)), `"expire"`, `"transition","targetStorageClass":"archive"`, 1), func(w *world) { w.contents[1].Pulled = now },
			[]string{"not pulled for 4 days: its next run archives 0000001 (", "not pulled for 4 days: from 2026-11-29 on it archives " + ofThree}},
		{"other tags alone", policyOf(aRule(1, prefixes(`"pr-"`), byCount, 1)), nil, nil},
		{"a rule before it keeps enough", policyOf(aRule(1, patterns(`"*"`), byCount, 900), aRule(2, everything, byCount, 1)), nil, nil},
		{"a rule before it keeps some", policyOf(aRule(1, prefixes(`"0"`), byCount, 900), aRule(2, everything, byCount, 1)), nil,
			[]string{"warning: lifecycle rule 2 keeps the newest image alone, whether it serves or not"}},
		{"twenty releases", policyOf(aRule(1, everything, byCount, 20)), func(w *world) { many(w, 20) }, nil},
		{"more releases than a rollback needs", policyOf(aRule(1, everything, byCount, 20)), func(w *world) { many(w, 24) },
			[]string{"note: 4 verified releases without an image to go back to, gone, archived or about to be: 0000004 ("}},
		{"more releases than a rollback needs, for some time", policyOf(aRule(1, everything, sincePushed, 120)), func(w *world) { many(w, 24) },
			[]string{"0000024 (" + digest(24) + "), which dev serves; 0000023 (" + digest(23) + "), which a rollback may want; 0000022 (" + digest(22) + "), which a rollback may want; 17 more"}},
		{"a rollback's in another repository", policyOf(aRule(1, everything, sincePushed, 8)), func(w *world) {
			w.history[1] = strings.Replace(w.history[1], `{`, `{"image":"`+w.Target.Registry+`/other@`+digest(1)+`",`, 1)
		}, []string{"from 2026-11-29 on it deletes"}},
		{"the archive alone", policyOf(aRule(1, `"tagStatus":"any","storageClass":"archive"`, sinceArchived, 1)), func(w *world) { w.unlisted = errors.New("no answer") }, nil},
		{"less releases than a rollback needs", policyOf(aRule(1, everything, byCount, 20)), func(w *world) { many(w, 20); w.contents = append(w.contents, pr) },
			[]string{"warning: lifecycle rule 1 keeps the 20 newest images alone: its next run deletes 0000001 ("}},
		{"archived", "", func(w *world) { w.contents[0].Archived = true }, []string{"error: " + ofThree + ", which dev serves, is archived"}},
		{"gone", "", func(w *world) { w.contents = w.contents[1:] }, []string{"error: " + ofThree + ", which dev serves, is not in the repository any more"}},
		{"a count unheard of", policyOf(aRule(1, everything, "sinceImageScanned", 1)), nil, []string{`rule 1 counts by "sinceImageScanned"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := healthy()
			w.lifecycle = test.policy
			if test.change != nil {
				test.change(w)
			}
			x := &examination{Doctor: w.Doctor}
			if _, err := lifecycle(t.Context(), x); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range x.found {
				got = append(got, string(f.Severity)+": "+f.Message)
			}
			if len(got) != len(test.want) {
				t.Fatalf("found %q, want %q", got, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("found %s\nwant %s", got[i], want)
				}
			}
		})
	}
}

// TestLifecycleHint says how much is enough for all that is wanted.
func TestLifecycleHint(t *testing.T) {
	for n, want := range map[int]string{19: "keep 20 images or more", 24: "keep 25 images or more"} {
		w := healthy()
		w.lifecycle, w.history = policyOf(aRule(1, everything, byCount, 1)), nil
		w.contents = []StoredImage{pushed(3, 100)}
		for i := range n {
			w.contents = append(w.contents, pushed(10+i, i))
		}
		x := &examination{Doctor: w.Doctor}
		if _, err := lifecycle(t.Context(), x); err != nil || len(x.found) != 1 || !strings.HasSuffix(x.found[0].Hint, want) {
			t.Errorf("%d images and %v: found %+v, want %s", n, err, x.found, want)
		}
	}
}

// indexes are the repository's: each lists the same child.
type indexes struct {
	images
	child string
}

func (i indexes) Open(context.Context, string) (delivery.Image, error) { return listing(i.child), nil }

// listing is an index of one image.
type listing string

func (l listing) Manifest(context.Context) ([]byte, string, error) {
	return []byte(`{"manifests":[{"digest":"` + string(l) + `"}]}`), "application/vnd.oci.image.index.v1+json", nil
}

func (listing) Blob(context.Context, string) (io.ReadCloser, error) { return nil, delivery.ErrNotFound }

// TestIndexHoldsItsImages: what an index lists can't be taken before it.
func TestIndexHoldsItsImages(t *testing.T) {
	for _, test := range []struct {
		name, child string
		age         int // of the index, in days
		want        bool
	}{{"of an index that stays", digest(3), 0, false}, {"of no index", digest(1), 0, true}, {"of an index that goes", digest(3), 31, true}} {
		w := healthy()
		index := pushed(9, test.age)
		index.Index = true
		w.contents, w.history = []StoredImage{pushed(3, 40), index}, nil
		w.lifecycle = policyOf(aRule(1, everything, sincePushed, 30))
		w.Images = indexes{images{w}, test.child}
		x := &examination{Doctor: w.Doctor}
		if _, err := lifecycle(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		got := slices.ContainsFunc(x.found, func(f Finding) bool { return f.ID == "doctor/lifecycle-serving" })
		if got != test.want {
			t.Errorf("%s: found %+v", test.name, x.found)
		}
	}
}

// TestLifecycleUnread: without the images, the rules are judged by their
// numbers; without the record, the images by what else is known.
func TestLifecycleUnread(t *testing.T) {
	denied := func(operation string) error {
		return &delivery.RemoteError{Service: "ECR", Operation: operation, Resource: "support/runtime", Code: "AccessDeniedException", Kind: delivery.ErrDenied}
	}
	for _, test := range []struct {
		name, policy string
		change       func(*world)
		status       Status
		want         string
	}{
		{"all read", policyOf(aRule(1, everything, byCount, 100)), func(*world) {}, OK, "1 rule, 4 images, 3 of them wanted"},
		{"no policy", "", func(*world) {}, OK, "no lifecycle policy: nothing is deleted, 4 images, 3 of them wanted"},
		{"no images, long", policyOf(aRule(1, everything, byCount, 100)), func(w *world) { w.unlisted = denied("DescribeImages") },
			OK, "1 rule; the images could not be read: lacks ecr:DescribeImages on support/runtime"},
		{"no images, short", policyOf(aRule(1, everything, byCount, 3)), func(w *world) { w.unlisted = denied("DescribeImages") },
			Found, "lifecycle rule 1 keeps the 3 newest images alone, whether it serves or not; then lacks ecr:DescribeImages on support/runtime"},
		{"no images, other tags", policyOf(aRule(1, patterns(`"pr-*"`), byCount, 3)), func(w *world) { w.unlisted = denied("DescribeImages") },
			OK, "1 rule; the images could not be read: lacks ecr:DescribeImages on support/runtime"},
		{"no images, tags of commits", policyOf(aRule(1, patterns(`"*0","lat*"`), byCount, 3)), func(w *world) { w.unlisted = denied("DescribeImages") },
			Found, "lifecycle rule 1 keeps the 3 newest images alone, whether it serves or not; then lacks ecr:DescribeImages on support/runtime"},
		{"no status", policyOf(aRule(1, everything, byCount, 100)), func(w *world) {
			w.Status = func(context.Context) (delivery.Status, error) { return delivery.Status{}, errors.New("no answer") }
		}, OK, "1 rule, 4 images; not all that is wanted could be read: no answer"},
		{"no history", policyOf(aRule(1, everything, byCount, 100)), func(w *world) { w.Archive = nil },
			OK, "1 rule, 4 images; not all that is wanted could be read: earlier releases are not known"},
		{"served twice", policyOf(aRule(1, everything, byCount, 100)), func(w *world) { w.history = append(w.history, w.history[2], w.history[1]) },
			OK, "1 rule, 4 images, 3 of them wanted"},
		{"nothing recorded", policyOf(aRule(1, everything, byCount, 100)), func(w *world) { w.history = nil },
			OK, "1 rule, 4 images, 1 of them wanted"},
		{"no repository", "", func(w *world) { w.unlisted = delivery.ErrNotFound }, OK, "no lifecycle policy: nothing is deleted"},
	} {
		w := healthy()
		w.lifecycle = test.policy
		test.change(w)
		checks := w.Examine(t.Context()).Checks
		c := checks[slices.IndexFunc(checks, func(c Check) bool { return c.ID == "ecr-lifecycle" })]
		if c.Status != test.status || c.Detail != test.want {
			t.Errorf("%s: %s %q, want %s %q", test.name, c.Status, c.Detail, test.status, test.want)
		}
	}
}
