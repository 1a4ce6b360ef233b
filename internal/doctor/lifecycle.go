package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// wanted is an image that must not go.
type wanted struct {
	digest, revision string
	use              string // which dev serves
	serves           bool
	late             bool // enough others were verified after it
}

func (w wanted) String() string {
	if w.revision == "" {
		return w.digest
	}
	return w.revision[:min(7, len(w.revision))] + " (" + w.digest + ")"
}

func holds(list []wanted, digest string) bool {
	return slices.ContainsFunc(list, func(w wanted) bool { return w.digest == digest })
}

// enumerate names some of what is wanted, and what for.
func enumerate(list []wanted) string {
	const most = 3
	var parts []string
	for _, w := range list[:min(most, len(list))] {
		parts = append(parts, w.String()+", "+w.use)
	}
	if more := len(list) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, "; ")
}

// inRepository says whether an image's URI is of the target's repository.
func (x *examination) inRepository(uri string) bool {
	rest, ok := strings.CutPrefix(uri, x.Target.Registry+"/"+x.Target.Repository)
	return ok && (strings.HasPrefix(rest, "@") || strings.HasPrefix(rest, ":"))
}

// serving lists what the environment serves, and what its record says that it
// serves. Environments beside it that keep their images here have a doctor of
// their own.
func (x *examination) serving(ctx context.Context, images []StoredImage) ([]wanted, error) {
	if x.Status == nil {
		return nil, skipped("what serves is not known")
	}
	status, err := x.served(ctx)
	if err != nil {
		return nil, err
	}
	var list []wanted
	env := x.Target.Environment
	if digest := digestIn(status.Image, images); digest != "" && x.inRepository(status.Image) {
		list = append(list, wanted{digest: digest, use: "which " + env + " serves", serves: true})
	}
	r := status.Release
	if r == nil || r.Digest == "" || r.Image != "" && !x.inRepository(r.Image) {
		return list, nil
	}
	if len(list) > 0 && list[0].digest == r.Digest {
		list[0].revision = r.Revision
		return list, nil
	}
	return append(list, wanted{digest: r.Digest, revision: r.Revision, use: "which " + env + " serves by its record", serves: true}), nil
}

// digestIn is the digest that an image's URI names; by its tag, where it has no
// digest.
func digestIn(uri string, images []StoredImage) string {
	if digest := delivery.ImageDigest(uri); digest != "" {
		return digest
	}
	tag := uri[strings.LastIndexByte(uri, ':')+1:]
	for _, image := range images {
		if slices.Contains(image.Tags, tag) {
			return image.Digest
		}
	}
	return ""
}

// verified lists the images that a rollback may want, the newest first.
func (x *examination) verified(ctx context.Context) ([]wanted, error) {
	if x.Archive == nil {
		return nil, skipped("earlier releases are not known")
	}
	values, err := x.Archive.History(ctx, x.Target.Parameter("release"))
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		return nil, err
	}
	var list []wanted
	for _, r := range slices.Backward(delivery.ReadReleases(values)) {
		if r.Verdict == delivery.Passed && !holds(list, r.Digest) && (r.Image == "" || x.inRepository(r.Image)) {
			list = append(list, wanted{digest: r.Digest, revision: r.Revision, use: "which a rollback may want", late: len(list) >= keptImages})
		}
	}
	return list, nil
}

// wanted lists what serves, then what a rollback may want besides. What can't be
// read of that is left out, and is its error.
func (x *examination) wanted(ctx context.Context, images []StoredImage) ([]wanted, error) {
	list, unserved := x.serving(ctx, images)
	earlier, err := x.verified(ctx)
	for _, w := range earlier {
		if i := slices.IndexFunc(list, func(s wanted) bool { return s.digest == w.digest }); i >= 0 {
			list[i].revision = w.revision
			continue
		}
		list = append(list, w)
	}
	if unserved != nil {
		err = unserved
	}
	return list, err
}

func lifecycle(ctx context.Context, x *examination) (string, error) {
	name := x.Target.Repository
	if x.Repository == nil {
		return "", skipped("not asked")
	}
	text, err := x.Repository.Lifecycle(ctx, name)
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		return "", err
	}
	var rules []lifecycleRule
	detail := "no lifecycle policy: nothing is deleted"
	if err == nil {
		if rules, err = lifecycleRules(text); err != nil {
			x.finding("doctor/lifecycle-unreadable", "the lifecycle policy: "+err.Error(), "write it anew").on(x.repositoryARN())
			return "", nil //nolint:nilerr // it is the finding
		}
		detail = count(len(rules), "rule")
	}
	images, err := x.Repository.Contents(ctx, name)
	if errors.Is(err, delivery.ErrNotFound) {
		return detail, nil // there is no repository
	}
	if err != nil {
		x.foresee(rules, make([]bool, len(rules)))
		return x.partly(detail+"; the images could not be read", err)
	}
	detail += ", " + count(len(images), "image")
	list, err := x.wanted(ctx, images)
	x.judge(ctx, rules, images, list)
	if err != nil {
		return x.partly(detail+"; not all that is wanted could be read", err)
	}
	return fmt.Sprintf("%s, %d of them wanted", detail, len(list)), nil
}

// partly is the outcome of a check that could not read all that it wanted to,
// and looked at the rest.
func (x *examination) partly(detail string, err error) (string, error) {
	if len(x.found) > 0 {
		return "", err
	}
	return detail + ": " + because(err), nil
}

// fate is what becomes of wanted images by one rule.
type fate struct {
	next  []wanted // taken by the next run
	later []wanted // some day: it keeps little
}

// judge compares a policy with what is wanted.
func (x *examination) judge(ctx context.Context, rules []lifecycleRule, images []StoredImage, list []wanted) {
	there := map[string]StoredImage{}
	for _, image := range images {
		there[image.Digest] = image
	}
	gone := taken(rules, images, x.now())
	held := x.held(ctx, images, gone, list)
	fates := make([]fate, len(rules))
	var lost []wanted
	for _, w := range list {
		image, ok := there[w.digest]
		i := responsible(rules, image)
		switch {
		case w.serves && (!ok || image.Archived):
			x.unservable(w, image.Archived)
		case held[w.digest]:
		case !ok || image.Archived || w.late && gone[w.digest]:
			lost = append(lost, w)
		case gone[w.digest]:
			fates[i].next = append(fates[i].next, w)
		case i >= 0 && rules[i].short() && !w.late:
			fates[i].later = append(fates[i].later, w)
		}
	}
	said := make([]bool, len(rules))
	for i, r := range rules {
		x.tell(r, images, fates[i])
		said[i] = len(fates[i].next)+len(fates[i].later) > 0
	}
	x.foresee(rules, said)
	x.lost(lost)
}

// tell makes one finding of what a rule does to one kind of images.
func (x *examination) tell(r lifecycleRule, images []StoredImage, f fate) {
	say := func(id, when string, list []wanted) {
		if len(list) == 0 {
			return
		}
		x.finding(id, fmt.Sprintf("lifecycle rule %d %s: %s %s %s", r.Priority, r.describe(), when, r.verb(), enumerate(list)),
			"let the rule select untagged images alone, or keep "+r.enough(images, list)+" or more").on(x.repositoryARN())
	}
	i := slices.IndexFunc(f.next, func(w wanted) bool { return !w.serves }) // those that serve come first
	if i < 0 {
		i = len(f.next)
	}
	say("doctor/lifecycle-serving", "its next run", f.next[:i])
	say("doctor/lifecycle-rollback", "its next run", f.next[i:])
	say("doctor/lifecycle", r.ahead(images, f.later), f.later)
}

// unservable reports an image that serves, and can't be pulled.
func (x *examination) unservable(w wanted, archived bool) {
	what, hint := "is not in the repository any more", "slipway deploy builds it anew; let no lifecycle rule select tagged images"
	if archived {
		what, hint = "is archived: it can't be pulled", "aws ecr update-image-storage-class --target-storage-class STANDARD restores it, within 20 minutes"
	}
	x.finding("doctor/serving-image-gone", fmt.Sprintf("%s, %s, %s", w, w.use, what), hint).on(x.repositoryARN())
}

// lost reports releases that a rollback could go to, had they an image.
func (x *examination) lost(list []wanted) {
	if len(list) > 0 {
		x.finding("doctor/release-image-gone", fmt.Sprintf("%s without an image to go back to, gone, archived or about to be: %s",
			count(len(list), "verified release"), enumerate(list)), "slipway deploy of the revision builds it anew").on(x.repositoryARN())
	}
}

// foresee warns of rules that keep little of whatever is delivered next, and of
// which nothing was said.
func (x *examination) foresee(rules []lifecycleRule, said []bool) {
	for i, r := range rules {
		if !said[i] && r.mayTakeRevisions() && r.short() {
			x.finding("doctor/lifecycle", fmt.Sprintf("lifecycle rule %d %s, whether it serves or not", r.Priority, r.describe()),
				"let the rule select untagged images alone, or keep "+r.enough(nil, nil)+" or more").on(x.repositoryARN())
		}
		if r.takesAllRevisions() {
			return // no rule after it can take one
		}
	}
}

func (x *examination) repositoryARN() string {
	return x.arn("ecr", "repository/"+x.Target.Repository)
}

// mostIndexes bounds what is read of a repository to know what its indexes list.
const mostIndexes = 100

// held lists what indexes list that stay: it can't be taken before its index is.
// An index that can't be read holds nothing, and none is read where nothing that
// is wanted would go.
func (x *examination) held(ctx context.Context, images []StoredImage, gone map[string]bool, list []wanted) map[string]bool {
	held := map[string]bool{}
	if x.Images == nil || !slices.ContainsFunc(list, func(w wanted) bool { return gone[w.digest] }) {
		return held
	}
	staying := slices.DeleteFunc(slices.Clone(images), func(image StoredImage) bool { return !image.Index || gone[image.Digest] })
	for _, index := range staying[:min(mostIndexes, len(staying))] {
		for _, child := range x.children(ctx, index.Digest) {
			held[child] = true
		}
	}
	return held
}

// children are the digests that an index lists.
func (x *examination) children(ctx context.Context, digest string) []string {
	index, err := x.Images.Open(ctx, digest)
	if err != nil {
		return nil
	}
	raw, _, err := index.Manifest(ctx)
	var m struct {
		Manifests []struct {
			Digest string `json:"digest"`
		} `json:"manifests"`
	}
	if err != nil || json.Unmarshal(raw, &m) != nil {
		return nil
	}
	var list []string
	for _, child := range m.Manifests {
		list = append(list, child.Digest)
	}
	return list
}
