package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// updateTries bounds how often an update meets a runtime that somebody else
// keeps busy.
const updateTries = 3

// push sends the image under its revision tag and reads back what that tag
// names: digest is identity.
func (r *run) push(ctx context.Context) (bool, error) {
	if r.there {
		return true, nil
	}
	if digest, err := r.Repository.Resolve(ctx, r.tag); err == nil && digest != r.report.Digest {
		return false, fmt.Errorf("the revision tag %s names %s already and is never pointed at another digest (%s)", r.tag, digest, r.report.Digest)
	} else if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	progress := func(t Transfer) { r.observe(Event{Kind: Transferred, Stage: StagePush, Transfer: t}) }
	if err := r.Publisher.Push(ctx, r.image, r.tag, progress); err != nil {
		return false, err
	}
	digest, err := r.Repository.Resolve(ctx, r.tag)
	if err != nil {
		return false, fmt.Errorf("reading back the tag %s: %w", r.tag, err)
	}
	if digest != r.report.Digest {
		return false, fmt.Errorf("the tag %s names %s after the push of %s: somebody else pushed it", r.tag, digest, r.report.Digest)
	}
	return false, nil
}

// update makes the new version, unless the runtime has this configuration
// already (a run that was killed after its update).
func (r *run) update(ctx context.Context) (bool, error) {
	if r.create {
		return false, r.createRuntime(ctx)
	}
	if !r.needsUpdate() {
		r.updated = r.good == nil || r.live.Version != r.good.Version
		r.began = r.start
		return true, nil
	}
	if err := r.latestFirst(ctx); err != nil {
		return false, err
	}
	for try := 1; ; try++ {
		err := r.tryUpdate(ctx)
		if !errors.Is(err, ErrConflict) || try == updateTries {
			return false, err
		}
		r.note("the runtime is busy (%v): waiting for it, then planning anew", err)
		if err := r.replan(ctx); err != nil {
			return false, err
		}
	}
}

// tryUpdate sends the update and checks the fence: the version made must be
// the one read plus one.
func (r *run) tryUpdate(ctx context.Context) error {
	id := r.report.Runtime.ID
	r.began, r.touched = r.now(), true
	doc, err := r.Runtimes.Update(ctx, id, r.body, clientToken(id, r.live.Version, r.body))
	if err != nil {
		return err
	}
	made, err := readFacts(doc)
	if err != nil {
		return err
	}
	r.updated = true
	r.report.Runtime.Version, r.report.Runtime.Status = made.Version, made.Status
	if made.Version != next(r.live.Version) {
		return &Error{Kind: KindSuperseded, Op: "updating the runtime",
			Err: fmt.Errorf("%w: the update made version %s, expected %s", errForeignVersion, made.Version, next(r.live.Version))}
	}
	return nil
}

func next(version string) string {
	n, err := strconv.Atoi(version)
	if err != nil {
		return ""
	}
	return strconv.Itoa(n + 1)
}

// replan reads the runtime again and lays the settings over what it is now.
func (r *run) replan(ctx context.Context) error {
	if err := r.readLive(ctx); err != nil {
		return err
	}
	return r.plan()
}

// latestFirst moves latest before the update where the configuration names
// the image by it: AgentCore takes what the tag names at that moment.
func (r *run) latestFirst(ctx context.Context) error {
	if r.Target.Reference != ByLatest {
		return nil
	}
	old, err := r.Repository.Resolve(ctx, latestTag)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	r.oldLatest = old
	return r.Publisher.Tag(ctx, r.report.Digest, latestTag)
}

// awaitReady waits until the version is READY and served by DEFAULT, and
// compares what AgentCore made of it with what was sent.
func (r *run) awaitReady(ctx context.Context) (bool, error) {
	id, version := r.report.Runtime.ID, r.report.Runtime.Version
	if err := r.ready(ctx, id, version); err != nil {
		return false, err
	}
	r.report.Runtime.Status = "READY"
	doc, err := r.Runtimes.Get(ctx, id, version)
	if err != nil {
		return false, err
	}
	made, err := readFacts(doc)
	if err != nil {
		return false, err
	}
	if r.live.ARN == "" {
		r.live = made
	}
	if made.Artifact.Container.URI != r.imageURI() {
		return false, fmt.Errorf("version %s runs %s, not %s", version, made.Artifact.Container.URI, r.imageURI())
	}
	return false, nil
}

// prove invokes the new version through DEFAULT.
func (r *run) prove(ctx context.Context) (bool, error) {
	if r.Target.Verify.Skip {
		return true, nil
	}
	return false, r.verify(ctx, r.report.Runtime.ID, r.live.ARN, DefaultEndpoint, r.report.Runtime.Version)
}

// moveEndpoint points the named endpoint at the verified version and probes
// through it.
func (r *run) moveEndpoint(ctx context.Context) (bool, error) {
	name, id, version := r.Target.Endpoint, r.report.Runtime.ID, r.report.Runtime.Version
	if name == "" || name == DefaultEndpoint {
		return true, nil
	}
	e, err := r.Runtimes.Endpoint(ctx, id, name)
	switch {
	case errors.Is(err, ErrNotFound) && r.opts.Create && r.Creator != nil:
		err = r.Creator.CreateEndpoint(ctx, id, name, version, clientToken(id, version, []byte(name)))
	case err != nil:
	case e.LiveVersion == version:
		return true, nil
	default:
		err = r.Mover.MoveEndpoint(ctx, id, name, version, clientToken(id, version, []byte(name+" from "+e.LiveVersion)))
	}
	if err != nil {
		return false, err
	}
	if err := r.endpointAt(ctx, id, name, version, DefaultReadyTimeout); err != nil {
		return false, err
	}
	if r.Target.Verify.Skip {
		return false, nil
	}
	return false, r.verify(ctx, id, r.live.ARN, name, version)
}

// moveLatest points latest at what serves: last, and only now.
func (r *run) moveLatest(ctx context.Context) (bool, error) {
	if !r.Target.MovesLatest {
		return true, nil
	}
	digest, err := r.Repository.Resolve(ctx, latestTag)
	if err == nil && digest == r.report.Digest {
		return true, nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	return false, r.Publisher.Tag(ctx, r.report.Digest, latestTag)
}

// recordRelease writes what the environment serves now.
func (r *run) recordRelease(ctx context.Context) (bool, error) {
	verdict := Passed
	if r.Target.Verify.Skip {
		verdict = Unverified
	}
	return false, r.record(ctx, Release{
		Revision: r.report.Revision, Digest: r.report.Digest, Version: r.report.Runtime.Version,
		Endpoint: r.Target.Serving(), Verdict: verdict, Previous: r.good,
		At: r.now().UTC(), By: r.by(), Run: r.Actor.Run,
	})
}

// creatable refuses to create a runtime that could not be created.
func (r *run) creatable() error {
	op := "creating the runtime of " + r.Target.Agent + " in " + r.Target.Environment
	if r.Creator == nil {
		return &Error{Kind: KindRefused, Op: op, Err: errors.New("runtimes can't be created from here")}
	}
	if r.Target.ExecutionRole == "" {
		return &Error{Kind: KindConfig, Op: op, Err: errors.New("no execution role is set"),
			Hints: []string{"set environments." + r.Target.Environment + ".execution_role in slipway.yaml, or EXECUTION_ROLE_ARN"}}
	}
	return nil
}

// createRuntime makes the runtime and registers its id. A run that was killed
// between the two finds the runtime by its name.
func (r *run) createRuntime(ctx context.Context) error {
	name := RuntimeName(r.Target.Agent, r.Target.Environment)
	body, err := r.creation(name)
	if err != nil {
		return err
	}
	r.began, r.touched = r.now(), true
	doc, err := r.Creator.Create(ctx, body, clientToken(name, "0", body))
	if errors.Is(err, ErrConflict) {
		return r.adopt(ctx, name)
	}
	if err != nil {
		return err
	}
	if r.live, err = readFacts(doc); err != nil {
		return err
	}
	r.updated = true
	r.report.Runtime = RuntimeState{ID: r.live.ID, Version: r.live.Version, Endpoint: r.Target.Serving(), Status: r.live.Status}
	return r.keepParameter(ctx, "runtime-id", r.live.ID)
}

// adopt takes the runtime that has our name: made by a run that was killed
// before it could register it.
func (r *run) adopt(ctx context.Context, name string) error {
	id, err := r.Creator.Find(ctx, name)
	if err != nil {
		return err
	}
	r.note("runtime %s exists already: taking it", id)
	r.report.Runtime.ID, r.create = id, false
	if err := r.readLive(ctx); err != nil {
		return err
	}
	if err := r.keepParameter(ctx, "runtime-id", id); err != nil {
		return err
	}
	if err := r.plan(); err != nil {
		return err
	}
	if !r.needsUpdate() {
		r.updated = true
		return nil
	}
	return r.tryUpdate(ctx)
}

// creation is the body that makes a runtime. It needs a network, which an
// update takes from the live runtime.
func (r *run) creation(name string) (Document, error) {
	base := object{
		{"agentRuntimeName", json.RawMessage(strconv.Quote(name))},
		{"roleArn", json.RawMessage(strconv.Quote(r.Target.ExecutionRole))},
		{"networkConfiguration", json.RawMessage(`{"networkMode":"PUBLIC"}`)},
	}
	if r.Target.Compute == Instances {
		base = base.without("networkConfiguration") // the capacity provider has one
	}
	raw := base.raw()
	// edit drops the name as it drops all that only answers carry; create needs it.
	body, _, err := edit(raw, r.Target.Settings, r.imageURI())
	if err != nil {
		return nil, err
	}
	o, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	// Create refuses metadataConfiguration: new runtimes have MMDSv2 on.
	o = o.without("metadataConfiguration").set("agentRuntimeName", json.RawMessage(strconv.Quote(name)))
	return o.raw(), nil
}
