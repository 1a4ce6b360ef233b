package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// found is a version that no record names: made by other hands, or left by a
// delivery that was killed.
type found struct {
	version string
	image   string // as its configuration names it
	tag     string // where that is by a tag
	unknown string // why the digest can't be told, "" where it was
}

// imageName is an image URI in its parts. Tag and digest may both be there,
// and either may be "".
type imageName struct{ registry, repository, tag, digest string }

func parseImage(uri string) imageName {
	var n imageName
	uri, n.digest, _ = strings.Cut(uri, "@")
	n.registry, n.repository, _ = strings.Cut(uri, "/")
	n.repository, n.tag, _ = strings.Cut(n.repository, ":")
	if n.tag == "" && n.digest == "" && n.repository != "" {
		n.tag = latestTag // what a bare repository means
	}
	return n
}

// at is the image with a digest in the same repository.
func (n imageName) at(digest string) string { return n.registry + "/" + n.repository + "@" + digest }

// sameImage says whether two URIs name one digest in one repository: a tag
// beside the digest says nothing more.
func sameImage(a, b string) bool {
	m, n := parseImage(a), parseImage(b)
	return m.at(m.digest) == n.at(n.digest)
}

// owns says whether an image is in the target's repository.
func (t Target) owns(n imageName) bool {
	return n.registry == t.Registry && n.repository == t.Repository
}

// pointerTo names a version that no record names, nil where there is none. A
// tag is followed to the digest that it names now: that AgentCore read the
// same when it made the version can't be known (system: E8).
func (r *run) pointerTo(ctx context.Context, version string) (*Pointer, error) {
	if version == "" {
		return nil, nil //nolint:nilnil // nothing to come back to is no failure
	}
	doc, err := r.Runtimes.Get(ctx, r.report.Runtime.ID, version)
	if err != nil {
		return nil, err
	}
	f, err := readFacts(doc)
	if err != nil {
		return nil, err
	}
	p := &Pointer{Version: version}
	r.found = found{version: version, image: f.Artifact.Container.URI}
	return p, r.identify(ctx, p, f)
}

// identify finds out which image a version runs, as far as that can be told.
// It fails where the answer is there and could not be had.
func (r *run) identify(ctx context.Context, p *Pointer, version runtimeFacts) error {
	name := parseImage(r.found.image)
	if name.repository == "" {
		r.found.unknown = "it runs no image"
		return nil
	}
	images, own := r.Repository, r.Target.owns(name)
	if !own {
		if images = nil; r.Elsewhere != nil {
			images = r.Elsewhere(name.registry, name.repository)
		}
	}
	p.Digest = name.digest
	if p.Digest == "" {
		r.found.tag = name.tag
		if images == nil {
			r.found.unknown = "it is in another repository"
			return nil
		}
		digest, err := images.Resolve(ctx, name.tag)
		switch {
		case transient(err) || ctx.Err() != nil || own && err != nil && !errors.Is(err, ErrNotFound):
			return fmt.Errorf("looking for the digest of %s: %w", r.found.image, err)
		case err != nil:
			r.found.unknown = err.Error()
			return nil //nolint:nilerr // it is told, and nothing that a deploy needs
		}
		p.Digest = digest
	}
	if !own {
		p.Image = name.at(p.Digest)
	}
	if images != nil {
		p.Revision = labelledRevision(ctx, images, p.Digest, version.compute())
	}
	return nil
}

var revisionShape = regexp.MustCompile(`^[0-9a-f]{40}$`)

// labelledRevision is the commit that an image says it was built from, ""
// where it does not say, or can't be asked.
func labelledRevision(ctx context.Context, images Repository, digest string, compute Compute) string {
	img, err := images.Open(ctx, digest)
	if err != nil {
		return ""
	}
	if img, err = runnable(ctx, img, compute.Platforms()); err != nil {
		return ""
	}
	facts, err := inspect(ctx, img)
	if err != nil || !revisionShape.MatchString(facts.Revision) {
		return ""
	}
	return facts.Revision
}

// adopts says whether this delivery finds a release that was never recorded,
// and knows its image.
func (r *run) adopts() bool {
	return r.release == nil && r.good != nil && r.good.Digest != "" && r.good.Version == r.from && r.found.version == r.from
}

// recordFound records what was found serving before anything of it changes:
// from then on it is known what to come back to, whatever becomes of its tag
// and of this delivery.
func (r *run) recordFound(ctx context.Context) error {
	if r.release == nil && r.found.unknown != "" {
		r.warn("%s", r.unknownImage())
	}
	if !r.adopts() {
		return nil
	}
	release := Release{Revision: r.good.Revision, Digest: r.good.Digest, Image: r.good.Image, Version: r.good.Version,
		Endpoint: r.Target.Serving(), Verdict: Unverified, At: r.now().UTC(), By: r.by(), Run: r.Actor.Run, Adopted: r.found.image}
	if err := r.record(ctx, release); err != nil {
		return fmt.Errorf("recording what serves: %w", err)
	}
	r.release = &release
	r.note("%s", r.adoption())
	return nil
}

// adoption says what is recorded of a release that was found, and how sure it
// is.
func (r *run) adoption() string {
	text := fmt.Sprintf("version %s was not delivered by slipway: recorded as the release before, %s", r.good.Version, r.good.Digest)
	if r.found.tag != "" {
		text += fmt.Sprintf(". That is what the tag %s names now; it may have named another when the version was made", r.found.tag)
	}
	return text
}

func (r *run) unknownImage() string {
	return fmt.Sprintf("the digest of version %s (%s) can't be told (%s): it is not recorded, and would come back as its tag has it then",
		r.found.version, r.found.image, r.found.unknown)
}

// pin names the image of a configuration that is brought back by its digest:
// a tag may name another by now, this delivery's own for one.
func (r *run) pin(body Document, release *Pointer) (Document, error) {
	f, err := readFacts(body)
	if err != nil {
		return nil, err
	}
	name := parseImage(f.Artifact.Container.URI)
	if name.repository == "" || name.digest != "" || release.Digest == "" {
		return body, nil
	}
	uri, _ := json.Marshal(name.at(release.Digest)) // a string always encodes
	r.note("version %s named its image by the tag %s: it comes back by its digest, %s", release.Version, name.tag, release.Digest)
	body, _, err = merge(body, json.RawMessage(`{"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":`+string(uri)+`}}}`), "", nil)
	return body, err
}
