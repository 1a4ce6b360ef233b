package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Archive keeps what parameters held before.
type Archive interface {
	// History returns the values that a parameter has had and still keeps,
	// oldest first (SSM keeps 100), or ErrNotFound.
	History(ctx context.Context, name string) ([]string, error)
}

// releases are those that the environment has recorded, oldest first: the last
// is the one it serves, as far as the record knows. Values that are no release
// are passed over: the parameter may have been somebody else's once.
func (d *Deliverer) releases(ctx context.Context) ([]Release, error) {
	values, err := d.Archive.History(ctx, d.Target.Parameter("release"))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ReadReleases(values), nil
}

// ReadReleases reads values that the parameter release has had. Those that are
// no release are passed over: the parameter may have been somebody else's once.
func ReadReleases(values []string) []Release {
	var all []Release
	for _, value := range values {
		var r Release
		if json.Unmarshal([]byte(value), &r) == nil && r.Schema == releaseSchema {
			all = append(all, r)
		}
	}
	return all
}

// The ways to name a release.
var (
	versionShape  = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)
	digestShape   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	revisionStart = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
)

// goal is the release to go back to, of those that were recorded, oldest
// first. to is a revision or a unique prefix of one, a digest or a version;
// where it is "", it is the newest that passed its verify, runs another image
// than serving and was not gone back from. serving is "" where what serves is
// none of them.
func goal(all []Release, to, serving string) (Release, error) {
	if len(all) == 0 {
		return Release{}, refusedGoal("no release is recorded", "a deploy records what it finds, and what it delivers")
	}
	if to == "" {
		return previous(all, serving)
	}
	candidates, err := matching(all, to)
	if err != nil {
		return Release{}, err
	}
	for _, r := range slices.Backward(candidates) {
		if r.Verdict == Passed {
			return r, nil
		}
	}
	return Release{}, refusedGoal(to+" was served, and never passed a verify", offered(all))
}

func previous(all []Release, serving string) (Release, error) {
	left := map[string]bool{} // images that were gone back from, and not served since
	for _, r := range all {
		delete(left, r.Digest)
		if r.Failed != nil && r.Failed.Digest != r.Digest { // else its settings were gone back from
			left[r.Failed.Digest] = true
		}
	}
	for _, r := range slices.Backward(all) {
		if r.Digest != serving && r.Verdict == Passed && !left[r.Digest] {
			return r, nil
		}
	}
	return Release{}, refusedGoal("no release before what serves passed a verify", offered(all))
}

// matching are the releases that to names, all of one image or revision.
func matching(all []Release, to string) ([]Release, error) {
	var is func(Release) bool
	switch {
	case versionShape.MatchString(to):
		is = func(r Release) bool { return r.Version == to }
	case digestShape.MatchString(to):
		is = func(r Release) bool { return r.Digest == to }
	case revisionStart.MatchString(to):
		is = func(r Release) bool { return strings.HasPrefix(r.Revision, to) }
	default:
		return nil, &Error{Kind: KindUsage, Err: fmt.Errorf("%q names no release", to),
			Hints: []string{"a revision or the first 7 of its digits or more, sha256:…, or the number of a version"}}
	}
	var found []Release
	var revisions []string
	for _, r := range all {
		if is(r) {
			found = append(found, r)
			if !slices.Contains(revisions, r.Revision) {
				revisions = append(revisions, r.Revision)
			}
		}
	}
	switch {
	case found == nil:
		return nil, refusedGoal("no recorded release is "+to, offered(all))
	case len(revisions) > 1 && revisionStart.MatchString(to) && !versionShape.MatchString(to):
		return nil, &Error{Kind: KindUsage, Err: fmt.Errorf("%s is the beginning of %s", to, strings.Join(revisions, " and "))}
	}
	return found, nil
}

// offered names what a rollback could go to, newest first.
func offered(all []Release) string {
	const most = 5
	var names []string
	for _, r := range slices.Backward(all) {
		name := short(r.Revision) + " (version " + r.Version + ")"
		if r.Verdict == Passed && !slices.Contains(names, name) && len(names) < most {
			names = append(names, name)
		}
	}
	if names == nil {
		return "no release that is recorded passed its verify"
	}
	return "verified are " + strings.Join(names, ", ")
}

func refusedGoal(why, hint string) error {
	return &Error{Kind: KindRefused, Op: "choosing the release", Err: errors.New(why), Hints: []string{hint}}
}
