package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// updateTries bounds how often an update, or the move of an endpoint, meets
// what somebody else keeps busy.
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
	r.report.Tags = []string{r.tag}
	return false, nil
}

// update makes the new version, unless the runtime has this configuration
// already (a run that was killed after its update).
func (r *run) update(ctx context.Context) (bool, error) {
	if r.create {
		return false, r.createRuntime(ctx)
	}
	if err := r.fence(ctx); err != nil {
		return false, err
	}
	if !r.needsUpdate() {
		r.updated = r.good == nil || r.live.Version != r.good.Version
		r.began = r.start
		return true, nil
	}
	if err := r.recordFound(ctx); err != nil {
		return false, err
	}
	if r.Target.Reference == ByLatest { // AgentCore takes what the tag names at that moment
		r.latestMoved = true
		if err := r.Publisher.Tag(ctx, r.report.Digest, latestTag); err != nil {
			return false, err
		}
	}
	return false, r.send(ctx, r.replan)
}

// fence sees that what was planned on is still so: since preflight somebody
// may have finished who held the lock before us, or come in without one.
func (r *run) fence(ctx context.Context) error {
	doc, err := r.Runtimes.Get(ctx, r.report.Runtime.ID, "")
	if err != nil {
		return err
	}
	now, err := readFacts(doc)
	if err != nil {
		return err
	}
	if now.Version != r.live.Version {
		return fmt.Errorf("%w: it is at version %s, this delivery was planned on %s", errForeignVersion, now.Version, r.live.Version)
	}
	release, err := r.recorded(ctx)
	if err != nil {
		return err
	}
	if (release == nil) != (r.release == nil) || release != nil && *release.pointer() != *r.release.pointer() {
		return fmt.Errorf("%w: the release record has changed since this delivery was planned", errForeignVersion)
	}
	return nil
}

// send sends the update, again where AWS gave no answer (the same token makes
// one version of both) or the runtime is busy: then after again has waited.
func (r *run) send(ctx context.Context, again func(context.Context) error) error {
	for try := 1; ; try++ {
		err := r.tryUpdate(ctx)
		busy := errors.Is(err, ErrConflict)
		if err == nil || try == updateTries || !busy && !transient(err) {
			return err
		}
		if ctx.Err() != nil {
			return err
		}
		if busy {
			r.note("the runtime is busy (%v): trying again", err)
		} else {
			r.note("AgentCore gave no good answer to the update (%v): looking what became of it", err)
		}
		if err := pause(ctx, time.Duration(try)*pollInterval); err != nil {
			return err
		}
		if r.touched {
			if made, err := r.ours(ctx); made || err != nil {
				return err
			}
		}
		if busy {
			if err := again(ctx); err != nil {
				return err
			}
		}
	}
}

// ours looks whether an update made its version although its answer was lost.
func (r *run) ours(ctx context.Context) (bool, error) {
	doc, err := r.Runtimes.Get(ctx, r.report.Runtime.ID, "")
	if err != nil {
		return false, err
	}
	now, err := readFacts(doc)
	if err != nil || now.Version == r.live.Version {
		return false, err
	}
	sent, err := readFacts(r.body)
	if err != nil {
		return false, err
	}
	if now.Version != next(r.live.Version) || now.Artifact.Container.URI != sent.Artifact.Container.URI {
		return false, fmt.Errorf("%w: it is at version %s with %s", errForeignVersion, now.Version, now.Artifact.Container.URI)
	}
	r.updated = true
	r.report.Runtime.Version, r.report.Runtime.Status = now.Version, now.Status
	return true, nil
}

// tryUpdate sends the update and checks the fence: the version made must be
// the one read plus one.
func (r *run) tryUpdate(ctx context.Context) error {
	id, was := r.report.Runtime.ID, r.touched
	r.began, r.touched = r.now(), true
	doc, err := r.Runtimes.Update(ctx, id, r.body, clientToken(id, r.live.Version, r.body))
	if err != nil {
		r.touched = was || !refusal(err)
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

// refusal says whether a remote has said no: then it did nothing.
func refusal(err error) bool {
	var remote *RemoteError
	return errors.As(err, &remote) && (remote.Kind != nil || remote.Status/100 == 4)
}

func next(version string) string {
	n, err := strconv.Atoi(version)
	if err != nil {
		return ""
	}
	return strconv.Itoa(n + 1)
}

// replan waits for the runtime and lays the settings over what it is now. What
// somebody else's update made of it is what to come back to from here on.
func (r *run) replan(ctx context.Context) error {
	was := r.live.Version
	if err := r.readLive(ctx); err != nil {
		return err
	}
	if r.live.Version != was {
		if err := r.adoptGood(ctx); err != nil {
			return err
		}
	}
	return r.plan(ctx)
}

// adoptGood takes what serves now as what to come back to, and writes it into
// the lock before anything else is written.
func (r *run) adoptGood(ctx context.Context) error {
	if err := r.readRelease(ctx); err != nil {
		return err
	}
	r.report.Previous, r.lock.Previous = r.good, r.good
	return r.putLock(ctx, *r.lock, true)
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
	if r.made, err = readFacts(doc); err != nil {
		return false, err
	}
	if uri := r.made.Artifact.Container.URI; uri != r.imageURI() {
		return false, fmt.Errorf("version %s runs %s, not %s", version, uri, r.imageURI())
	}
	return false, nil
}

// prove invokes the new version through DEFAULT.
func (r *run) prove(ctx context.Context) (bool, error) {
	if !r.Target.Verify.Skip {
		if err := r.verify(ctx, r.made, DefaultEndpoint); err != nil {
			return false, err
		}
	}
	r.proven = r.Target.Serving() == DefaultEndpoint
	return r.Target.Verify.Skip, nil
}

// moveEndpoint points the named endpoint at the verified version and probes
// through it.
func (r *run) moveEndpoint(ctx context.Context) (bool, error) {
	name, id, version := r.Target.Endpoint, r.report.Runtime.ID, r.report.Runtime.Version
	if name == "" || name == DefaultEndpoint {
		return true, nil
	}
	if err := r.sendEndpoint(ctx, id, name, version); err != nil {
		return false, err
	}
	if err := r.endpointAt(ctx, id, name, version, r.Target.readyLimit()); err != nil {
		return false, err
	}
	if !r.Target.Verify.Skip {
		if err := r.verify(ctx, r.made, name); err != nil {
			return false, err
		}
	}
	r.proven = true
	return false, nil
}

// sendEndpoint sends the endpoint to version from where this delivery found
// it, and from nowhere else.
func (r *run) sendEndpoint(ctx context.Context, id, name, version string) error {
	e, err := r.Runtimes.Endpoint(ctx, id, name)
	switch {
	case errors.Is(err, ErrNotFound) && r.opts.Create && r.Creator != nil:
		return r.Creator.CreateEndpoint(ctx, id, name, version, clientToken(id, version, []byte(name)))
	case err != nil:
		return err
	case e.TargetVersion == version, e.TargetVersion == "" && e.LiveVersion == version:
		return nil // sent by a run that was killed
	case e.LiveVersion != r.from && e.LiveVersion != version: // it may be leaving it: taken back by a run that was killed
		return fmt.Errorf("%w: endpoint %s is at version %s, expected %s", errForeignVersion, name, e.LiveVersion, r.from)
	}
	return r.move(ctx, id, name, version)
}

// move sends an endpoint to a version, again where it is busy or AWS gave no
// answer: the same token moves it once. Another delivery's token is another
// one: AgentCore would take its move for a repeat of one that was taken back
// since, and do nothing.
func (r *run) move(ctx context.Context, id, name, version string) error {
	token := clientToken(id, version, []byte(name+" "+r.lock.Nonce))
	for try := 1; ; try++ {
		err := r.Mover.MoveEndpoint(ctx, id, name, version, token)
		again := errors.Is(err, ErrConflict) || transient(err)
		if err == nil || !again || try == updateTries {
			return err
		}
		r.note("endpoint %s was not moved (%v): trying again", name, err)
		if err := pause(ctx, time.Duration(try)*pollInterval); err != nil {
			return err
		}
	}
}

// moveLatest points latest at what serves: last, and only now.
func (r *run) moveLatest(ctx context.Context) (bool, error) {
	if !r.Target.MovesLatest {
		return true, nil
	}
	if r.report.Image != "" {
		r.note("the image is in another repository: the tag latest stays where it is")
		return true, nil
	}
	if gone, err := r.overtaken(ctx, latestTag); gone || err != nil {
		return true, err
	}
	digest, err := r.Repository.Resolve(ctx, latestTag)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	there := err == nil && digest == r.report.Digest
	if !there {
		if err := r.Publisher.Tag(ctx, r.report.Digest, latestTag); err != nil {
			return false, err
		}
	}
	r.report.Tags = append(r.report.Tags, latestTag)
	return there, nil
}

// recordRelease writes what the environment serves now.
func (r *run) recordRelease(ctx context.Context) (bool, error) {
	if gone, err := r.overtaken(ctx, "the release record"); gone || err != nil {
		return true, err
	}
	return false, r.record(ctx, Release{
		Revision: r.report.Revision, Digest: r.report.Digest, Version: r.report.Runtime.Version,
		Endpoint: r.Target.Serving(), Verdict: r.verdict(), Previous: r.before(),
		At: r.now().UTC(), By: r.by(), Run: r.Actor.Run, OutOfOrder: r.outOfOrder(), PromotedFrom: r.report.PromotedFrom,
		Dirty: r.opts.Source.Dirty, Hidden: slices.Sorted(maps.Keys(r.Target.Origins)),
	})
}

func (r *run) verdict() Verdict {
	if r.Target.Verify.Skip || r.unproven != nil {
		return Unverified
	}
	return Passed
}

// before is the release before the one that is to be recorded: itself is not
// its own.
func (r *run) before() *Pointer {
	if r.good != nil && r.good.Version != r.report.Runtime.Version {
		return r.good
	}
	if r.settled {
		return r.release.Previous
	}
	return nil
}

// overtaken says whether somebody else's version serves by now: then what is
// left to do is theirs.
func (r *run) overtaken(ctx context.Context, what string) (bool, error) {
	e, err := r.Runtimes.Endpoint(ctx, r.report.Runtime.ID, r.Target.Serving())
	if err != nil || e.LiveVersion == r.report.Runtime.Version {
		return false, err
	}
	r.note("%s serves version %s of another delivery by now: %s is left to it", r.Target.Serving(), e.LiveVersion, what)
	return true, nil
}
