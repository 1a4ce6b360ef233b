package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const evidenceSchema = "slipway.evidence/v1"

// Evidence says which verified release an environment had, and when that was
// looked at: what a promotion starts from. It holds no secret, and is no
// permission: whoever approves a promotion approves this digest.
type Evidence struct {
	Schema      string    `json:"schema"` // slipway.evidence/v1
	Agent       string    `json:"agent"`
	Environment string    `json:"environment"` // that the release was proved in
	Revision    string    `json:"revision"`
	Digest      string    `json:"digest"`
	Version     string    `json:"version"`
	Released    time.Time `json:"released"` // when it was recorded there
	By          string    `json:"by"`       // who released it there
	Earlier     bool      `json:"earlier,omitempty"`
	At          time.Time `json:"at"` // of the proof
	Run         string    `json:"run,omitempty"`
}

// ParseEvidence reads what Prove said in another job. It returns an *Error of
// KindUsage for anything else.
func ParseEvidence(text []byte) (Evidence, error) {
	var e Evidence
	err := json.Unmarshal(text, &e)
	switch {
	case err != nil:
	case e.Schema != evidenceSchema:
		err = fmt.Errorf("its schema is %q, expected %s", e.Schema, evidenceSchema)
	case e.Agent == "" || e.Environment == "":
		err = errors.New("it does not say of which agent it is, and of which environment")
	case !digestShape.MatchString(e.Digest):
		err = fmt.Errorf("%q is no digest", e.Digest)
	case !revisionShape.MatchString(e.Revision):
		err = fmt.Errorf("%q is no revision of 40 hex digits", e.Revision)
	case e.At.IsZero():
		err = errors.New("it does not say when it was made")
	}
	if err != nil {
		return Evidence{}, &Error{Kind: KindUsage, Op: "reading the evidence", Err: err,
			Hints: []string{"it is what slipway promote --prove prints, whole: {\"schema\":\"" + evidenceSchema + "\",…}"}}
	}
	return e, nil
}

// origin is what a release that was promoted keeps of the evidence.
func (e Evidence) origin() *Origin {
	return &Origin{Environment: e.Environment, Version: e.Version, At: e.At, Run: e.Run}
}

// Prove reads what the environment serves and says so where record and runtime
// agree that it passed its verify. revision names an earlier release that did,
// "" what serves now. It writes nothing. It returns an *Error of KindRefused
// for a release that may not be promoted.
func (d *Deliverer) Prove(ctx context.Context, revision string) (Evidence, error) {
	release, earlier, err := d.provable(ctx, revision)
	if err == nil {
		err = d.kept(ctx, *release)
	}
	switch {
	case err == nil:
	case errors.Is(ctx.Err(), context.Canceled):
		return Evidence{}, &Error{Kind: KindInterrupted, Op: d.proving(), Err: errors.New("interrupted"), Serves: "nothing was changed"}
	default:
		return Evidence{}, d.unproven(err)
	}
	return Evidence{Schema: evidenceSchema, Agent: d.Target.Agent, Environment: d.Target.Environment,
		Revision: release.Revision, Digest: release.Digest, Version: release.Version, Released: release.At, By: release.By,
		Earlier: earlier, At: d.now().UTC(), Run: d.Actor.Run}, nil
}

func (d *Deliverer) proving() string { return "proving what " + d.Target.Environment + " serves" }

func (d *Deliverer) unproven(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: kindOfRefusal(err), Op: d.proving(), Err: err, Hints: hints(err)}
}

func (d *Deliverer) unpromotable(why string, hints ...string) error {
	return &Error{Kind: KindRefused, Op: d.proving(), Err: errors.New(why), Hints: hints}
}

// ErrNothingServes says that an environment has nothing that could be
// promoted, for it was never delivered to.
var ErrNothingServes = errors.New("no release is recorded there")

// provable is the release that revision names, or the one that serves.
func (d *Deliverer) provable(ctx context.Context, revision string) (release *Release, earlier bool, err error) {
	if revision != "" && !revisionStart.MatchString(revision) {
		return nil, false, &Error{Kind: KindUsage, Op: d.proving(), Err: fmt.Errorf("%q names no revision", revision),
			Hints: []string{"a commit, or the first 7 of its digits or more"}}
	}
	s, err := d.Status(ctx)
	if err != nil {
		return nil, false, err
	}
	if s.Runtime.ID == "" || s.Release == nil {
		return nil, false, &Error{Kind: KindRefused, Op: d.proving(), Err: ErrNothingServes,
			Hints: []string{"deliver to " + d.Target.Environment + " what shall be promoted: " + d.Target.Delivery(false)}}
	}
	if release = s.Release; revision != "" {
		if release, err = d.earlier(ctx, revision); err != nil {
			return nil, false, err
		}
	}
	if *release.pointer() != *s.Release.pointer() {
		return release, true, nil
	}
	return release, false, d.serves(ctx, s)
}

// serves refuses what is recorded and not served, or served and not verified.
func (d *Deliverer) serves(ctx context.Context, s Status) error {
	again := "slipway status says more; " + d.Target.again() + ": " + d.Target.Delivery(false)
	if err := d.fit(*s.Release); err != nil {
		return err
	}
	if len(s.Drift) > 0 {
		return d.unpromotable("what is live differs from the record: "+strings.Join(s.Drift, "; "), again)
	}
	digest := s.Digest()
	if image := parseImage(s.Image); digest == "" && d.Target.owns(image) {
		var err error
		if digest, err = tagMeans(ctx, d.Repository, image.tag, s.Release.Digest); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	if digest != s.Release.Digest {
		return d.unpromotable(fmt.Sprintf("version %s runs %s, the record says %s", s.Runtime.Version, s.Image, s.Release.Digest), again)
	}
	return nil
}

// tagMeans is the digest that a tag names: the one that is meant, where the tag
// names an index and that is its child for a platform.
func tagMeans(ctx context.Context, images Repository, tag, meant string) (string, error) {
	digest, err := images.Resolve(ctx, tag)
	if err != nil || digest == meant {
		return digest, err
	}
	img, err := images.Open(ctx, digest)
	if err != nil {
		return "", err
	}
	for _, platform := range Instances.Platforms() {
		child, err := runnable(ctx, img, []string{platform})
		if err != nil {
			continue // it has none of that platform
		}
		if raw, _, err := child.Manifest(ctx); err == nil && digestOf(raw) == meant {
			return meant, nil
		}
	}
	return digest, nil
}

// fit refuses releases that no gate was passed by.
func (d *Deliverer) fit(r Release) error {
	name := short(r.Revision)
	switch {
	case r.Verdict != Passed:
		return d.unpromotable(fmt.Sprintf("%s is recorded there as %s", name, r.Verdict), d.Target.again()+", without --skip-verify")
	case r.Dirty:
		return d.unpromotable(name+" was delivered there with changes that no commit has", "commit them and deploy the commit")
	case r.Image != "" || !revisionShape.MatchString(r.Revision):
		return d.unpromotable("which commit it is of is not known", "deliver a commit there: "+d.Target.Delivery(false))
	}
	return nil
}

// earlier is the newest release of that revision that passed its verify.
func (d *Deliverer) earlier(ctx context.Context, revision string) (*Release, error) {
	all, err := d.releases(ctx)
	if err != nil {
		return nil, err
	}
	release, err := goal(all, revision, "")
	if err != nil {
		return nil, err
	}
	return &release, d.fit(release)
}

// kept refuses a release whose image is gone.
func (d *Deliverer) kept(ctx context.Context, r Release) error {
	_, err := d.Repository.Open(ctx, r.Digest)
	if errors.Is(err, ErrNotFound) {
		return &Error{Kind: KindImage, Op: d.proving(), Err: fmt.Errorf("the image of %s, %s, is gone from %s/%s", short(r.Revision), r.Digest, d.Target.Registry, d.Target.Repository),
			Hints: []string{"slipway doctor names lifecycle rules that delete what is in use"}}
	}
	return err
}
