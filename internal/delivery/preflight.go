package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// lockMargin is added to a delivery's own deadlines: past it the holder is
// taken for dead.
const lockMargin = 5 * time.Minute

// preflight reads all that a failure could come from, refuses it while
// nothing has been written, and takes the lock.
func (r *run) preflight(ctx context.Context) (bool, error) {
	for _, check := range []func(context.Context) error{r.findRuntime, r.readRelease, r.inspectImage, r.planUpdate} {
		if err := check(ctx); err != nil {
			return false, err
		}
	}
	if r.idle = r.unchanged(ctx); r.idle {
		r.tidy(ctx, r.owner())
		return false, nil // nothing to do writes nothing, not even a lock
	}
	if err := r.reviewed(ctx); err != nil {
		return false, err
	}
	if len(r.report.Changes) > 0 {
		r.observe(Event{Kind: Diff, Stage: StagePreflight, Changes: r.report.Changes})
	}
	return false, r.takeLock(ctx)
}

// findRuntime reads the runtime's id from SSM and its live configuration.
func (r *run) findRuntime(ctx context.Context) error {
	id, err := r.runtimeID(ctx)
	if errors.Is(err, ErrNotFound) && r.opts.Create {
		r.create = true
		return r.creatable()
	}
	if err != nil {
		return err
	}
	r.report.Runtime.ID = id
	return r.readLive(ctx)
}

// runtimeID reads /<agent>/<environment>/runtime-id and checks its form.
func (d *Deliverer) runtimeID(ctx context.Context) (string, error) {
	name := d.Target.Parameter("runtime-id")
	op := "finding the runtime of " + d.Target.Agent + " in " + d.Target.Environment
	value, err := d.Parameters.Parameter(ctx, name)
	if err != nil {
		e := &Error{Kind: kindOfRefusal(err), Op: op, Err: err, Hints: hints(err)}
		if errors.Is(err, ErrNotFound) {
			e.Kind = KindRuntime
			e.Hints = []string{"no runtime is registered there yet: an administrator runs " + d.Target.Delivery(true) + " once",
				"a runtime that exists already is registered by writing its id to the parameter " + name}
		}
		return "", e
	}
	id := strings.TrimSpace(value)
	if !validRuntimeID(id) {
		what := fmt.Sprintf("the parameter %s holds %q", name, excerpt([]byte(value)))
		if id == "" {
			what = "the parameter " + name + " is empty"
		}
		return "", &Error{Kind: KindRuntime, Op: op, Err: fmt.Errorf("%s, which is no runtime id", what),
			Hints: []string{"a runtime id looks like customerServiceAgent_dev-a1b2c3d4e5; correct the parameter " + name}}
	}
	return id, nil
}

// gone says which parameter is stale where a runtime is not there. Any other
// failure stays as it is.
func (d *Deliverer) gone(id string, err error) error {
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	return &Error{Kind: KindRuntime, Op: "reading the runtime", Err: err,
		Hints: []string{"the runtime " + id + " is gone; the parameter " + d.Target.Parameter("runtime-id") + " is stale",
			"delete that parameter and let an administrator run " + d.Target.Delivery(true) + ", or write the id of the new runtime to it"}}
}

// readLive reads the runtime and waits while an update of somebody, perhaps
// of a killed run of ours, is under way.
func (r *run) readLive(ctx context.Context) error {
	id := r.report.Runtime.ID
	doc, err := r.Runtimes.Get(ctx, id, "")
	if err != nil {
		return r.gone(id, err)
	}
	if r.live, err = readFacts(doc); err != nil {
		return err
	}
	r.liveDoc = doc
	r.report.Runtime.Version, r.report.Runtime.Status = r.live.Version, r.live.Status
	switch r.live.Status {
	case "READY":
		return nil
	case "DELETING", "DELETE_FAILED":
		return &Error{Kind: KindRuntime, Op: "reading the runtime", Err: fmt.Errorf("%s is %s", id, r.live.Status)}
	case "UPDATE_FAILED", "CREATE_FAILED":
		return nil // an update is the way out
	}
	if err := r.heldByOther(ctx); err != nil {
		return err
	}
	r.note("the runtime is %s: waiting for it", r.live.Status)
	if err := r.runtimeReady(ctx, id, "", r.Target.readyLimit()); err != nil && !errors.Is(err, errUpdateFailed) {
		return &Error{Kind: KindRuntime, Op: "waiting for the runtime", Err: err}
	}
	return r.readLive(ctx)
}

// readRelease learns which release to come back to, should the new one fail:
// what serves now, unless takeLock finds that it is what a killed delivery
// left there.
func (r *run) readRelease(ctx context.Context) error {
	if r.create {
		return nil
	}
	var err error
	if r.release, err = r.recorded(ctx); err != nil {
		return err
	}
	version, err := r.servingVersion(ctx)
	if err != nil {
		return err
	}
	r.from, r.settled = version, r.release != nil && r.release.Version == version
	if r.settled {
		r.good = r.release.pointer()
	} else if r.good, err = r.pointerTo(ctx, version); err != nil {
		return err
	}
	if r.release != nil && r.release.Failed != nil {
		r.note("%s was rolled back from %s by %s: %s", r.Target.Environment,
			short(r.release.Failed.Revision), r.release.By, r.release.Reason)
	}
	return nil
}

// servingVersion is the version that the agent's users get, "" where they get
// none. The newest one may not be it: a named endpoint stays behind, and so
// does DEFAULT where the newest never became ready.
func (r *run) servingVersion(ctx context.Context) (string, error) {
	name := r.Target.Serving()
	if name == DefaultEndpoint && r.live.Status == "READY" {
		return r.live.Version, nil
	}
	e, err := r.Runtimes.Endpoint(ctx, r.report.Runtime.ID, name)
	if errors.Is(err, ErrNotFound) && (name == DefaultEndpoint || r.opts.Create) {
		return "", nil
	}
	if errors.Is(err, ErrNotFound) {
		err = &Error{Kind: KindRuntime, Op: "finding the endpoint " + name, Err: err,
			Hints: []string{"an administrator makes it: " + r.Target.Delivery(true)}}
	}
	if err == nil && name != DefaultEndpoint && e.TargetVersion != "" && e.TargetVersion != e.LiveVersion && e.Status != "UPDATE_FAILED" {
		return r.arrival(ctx, e)
	}
	return e.LiveVersion, err
}

// arrival waits for a named endpoint that is on its way, perhaps sent by a run
// that was killed: where it comes from is about to be served no more.
func (r *run) arrival(ctx context.Context, e Endpoint) (string, error) {
	if err := r.heldByOther(ctx); err != nil {
		return "", err
	}
	r.note("endpoint %s is on its way to version %s: waiting for it", e.Name, e.TargetVersion)
	if err := r.endpointAt(ctx, r.report.Runtime.ID, e.Name, e.TargetVersion, r.Target.readyLimit()); err != nil {
		return "", &Error{Kind: KindRuntime, Op: "waiting for the endpoint " + e.Name, Err: err}
	}
	return e.TargetVersion, nil
}

// inspectImage resolves the image to what runs and checks it.
func (r *run) inspectImage(ctx context.Context) error {
	compute := r.Target.Compute
	if !r.create {
		compute = r.live.compute() // fixed when the runtime was created
	}
	img, err := runnable(ctx, r.image, compute.Platforms())
	if err != nil {
		return err
	}
	facts, err := inspect(ctx, img)
	if err != nil {
		return &Error{Kind: KindImage, Op: "reading the image", Err: err}
	}
	if err := facts.check(compute); err != nil {
		return err
	}
	if r.there && facts.Revision != "" && facts.Revision != r.opts.Source.Revision {
		// No refusal: a base image's label may have stayed in an image that
		// something else has built.
		r.warn("the tag %s names %s, which says that it was built from %s: was the tag moved?", r.tag, facts.Digest, facts.Revision)
	}
	r.image = img
	r.report.Digest, r.report.Platform = facts.Digest, facts.Platform
	if err := r.same(); err != nil {
		return err
	}
	if r.opts.Source.Dirty {
		r.tag += "-dirty-" + strings.TrimPrefix(facts.Digest, "sha256:")[:12]
		if r.Repository != nil { // a build that is not pushed asks nobody
			digest, err := r.Repository.Resolve(ctx, r.tag)
			r.there = err == nil && digest == facts.Digest
		}
	}
	if r.there {
		r.report.Tags = []string{r.tag}
	}
	return nil
}

const latestTag = "latest"

// planUpdate works out what the update would change, and refuses what it must
// not do.
func (r *run) planUpdate(ctx context.Context) error {
	if r.Target.Reference == ByLatest {
		r.warn("image_reference: latest names a moving tag: versions made with it can't be rolled back to")
	}
	if r.create {
		return r.verifiable(r.Target.Settings)
	}
	if err := r.plan(ctx); err != nil {
		return err
	}
	return r.verifiable(r.body)
}

// verifiable refuses a configuration whose verify would need a token that is
// not there, or of no use.
func (r *run) verifiable(configuration json.RawMessage) error {
	o, _ := parseObject(configuration) // no settings, no authorizer
	authorizer, _ := o.get("authorizerConfiguration")
	if !present(authorizer) || r.Target.Verify.Skip {
		return nil
	}
	return r.checkToken("preparing the verify", authorizer, "--skip-verify delivers unverified, which can't be promoted")
}

func (r *run) plan(ctx context.Context) error {
	if r.back != nil {
		return r.planBack(ctx)
	}
	body, dropped, err := edit(r.liveDoc, r.Target.Settings, r.imageURI())
	if err != nil {
		return err
	}
	if len(dropped) > 0 && !r.opts.Replace {
		return &Error{Kind: KindRefused, Op: "planning the update",
			Err:   fmt.Errorf("it would drop what is live: %s", strings.Join(dropped, ", ")),
			Hints: []string{"--replace drops it; without the null in slipway.yaml it stays"}}
	}
	r.body = body
	r.report.Changes, err = diff(r.liveDoc, body, r.Target.Settings)
	r.hide(r.report.Changes)
	return err
}

// hide marks the changes of variables whose values come from elsewhere, or did
// when the release that serves was made: what slipway.yaml does not show, a
// diff of it does not either. A rollback takes the values that the old version
// has, wherever they came from.
func (r *run) hide(changes []Change) {
	hidden := map[string]string{}
	if r.release != nil {
		for _, name := range r.release.Hidden {
			hidden[join(variablesMember, name)] = ""
		}
	}
	for name, origin := range r.Target.Origins {
		hidden[join(variablesMember, name)] = origin
	}
	for i, c := range changes {
		if origin, ok := hidden[c.Path]; ok {
			changes[i].Secret = true
			if r.back == nil {
				changes[i].Origin = origin
			}
		}
	}
}

// imageURI is what the runtime's configuration names the image by.
func (r *run) imageURI() string {
	if r.back != nil {
		return r.back.uri
	}
	base := r.Target.Registry + "/" + r.Target.Repository
	switch r.Target.Reference {
	case ByTag:
		return base + ":" + r.tag
	case ByLatest:
		return base + ":" + latestTag
	}
	return base + "@" + r.report.Digest
}

// needsUpdate says whether the live configuration differs from what it shall
// be. Where a moving tag names the image, the record knows the digest.
func (r *run) needsUpdate() bool {
	if r.create || len(r.report.Changes) > 0 || r.live.Status != "READY" {
		return true
	}
	return r.Target.Reference == ByLatest && (r.release == nil || r.release.Digest != r.report.Digest)
}

// unchanged says whether the environment serves this very release already,
// verified, recorded and tagged.
func (r *run) unchanged(ctx context.Context) bool {
	p := r.release
	if !r.settled || !r.there || p.Digest != r.report.Digest || p.Revision != r.report.Revision ||
		p.Endpoint != r.Target.Serving() || !r.configured(ctx, p.Version) {
		return false
	}
	if p.Verdict != Passed && !r.Target.Verify.Skip {
		return false
	}
	if e, err := r.Runtimes.Endpoint(ctx, r.report.Runtime.ID, r.Target.Serving()); err != nil || e.LiveVersion != p.Version {
		return false
	}
	if r.Target.MovesLatest {
		if digest, err := r.Repository.Resolve(ctx, latestTag); err != nil || digest != r.report.Digest {
			return false
		}
		r.report.Tags = append(r.report.Tags, latestTag)
	}
	r.report.Previous, r.report.Runtime.Version, r.report.Changes = p.Previous, p.Version, nil
	return true
}

// configured says whether a version has the configuration that the delivery
// would give it. Behind a named endpoint that need not be the newest one.
func (r *run) configured(ctx context.Context, version string) bool {
	if version == r.live.Version {
		return !r.needsUpdate()
	}
	doc, err := r.Runtimes.Get(ctx, r.report.Runtime.ID, version)
	if err != nil {
		return false
	}
	body, _, err := edit(doc, r.Target.Settings, r.imageURI())
	if err != nil {
		return false
	}
	changes, err := diff(doc, body, r.Target.Settings)
	return err == nil && len(changes) == 0 && r.Target.Reference != ByLatest
}

// takeLock takes the environment's lock and writes into it what is about to
// happen and what served before.
func (r *run) takeLock(ctx context.Context) error {
	ready, verify := r.Target.readyLimit(), r.Target.verifyLimit()
	now := r.now().UTC()
	want := Lock{Schema: lockSchema, Nonce: randomHex(8), Owner: r.owner(), Holder: r.by(), Run: r.Actor.Run,
		Since: now, Expires: now.Add(2*ready + 2*verify + lockMargin), Revision: r.report.Revision,
		Digest: r.report.Digest, Previous: r.good, Back: r.back != nil}
	if r.Target.Serving() != DefaultEndpoint {
		want.Expires = want.Expires.Add(2*ready + verify) // there and back
	}
	left, err := r.acquire(ctx, &want, r.settled)
	if err != nil {
		return err
	}
	r.lock, r.good, r.report.Previous = &want, want.Previous, want.Previous
	if left != "" {
		r.note("an earlier delivery was interrupted: %s", left)
	}
	return nil
}

func (r *run) by() string {
	if r.Actor.Name != "" {
		return r.Actor.Name
	}
	return r.caller.ARN
}

func (r *run) owner() string {
	if r.Actor.CI {
		return r.Actor.Owner
	}
	return r.caller.ARN + " " + r.Actor.Owner
}
