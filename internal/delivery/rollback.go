package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// RollbackOptions says what a rollback goes to.
type RollbackOptions struct {
	// To is a revision or a prefix of 7 digits or more that names one, a
	// digest, or the number of a version. "" is the newest release before the
	// one that serves that passed its verify and was not gone back from.
	To string
	// Agree is shown what would be done, before anything is written; its error
	// ends the rollback. What comes in between ends it too, with an *Error of
	// KindSuperseded. If nil, nobody is asked.
	Agree func(*Plan) error
}

// back is what a rollback goes to.
type back struct {
	RollbackOptions
	release Release
	leaving *Pointer // what serves, and shall not
	// pointed says that the version is there and a named endpoint moves to it:
	// no version is made.
	pointed bool
	// gone says why the version is not what was served: AgentCore has deleted
	// it, or it is another runtime's. Then today's configuration with the
	// recorded image becomes a new one.
	gone     string
	snapshot Document // the version, where it is there
	uri      string   // what is to run, as the configuration names it
}

// Rollback serves an earlier release again and verifies it. With a named
// endpoint it moves the pointer; with DEFAULT it makes a version of the old
// one's configuration. No image byte moves. It returns what Deploy does.
func (d *Deliverer) Rollback(ctx context.Context, opts RollbackOptions) (*Deployment, error) {
	r := newRollback(d, opts)
	outcome, err := r.walk(ctx, []step{
		{StageCredentials, r.enter}, {StageBuild, leftOut}, {StagePreflight, r.preflightBack},
		{StagePush, leftOut}, {StageUpdate, r.updateBack}, {StageReady, r.unlessPointed(r.awaitReady)},
		{StageVerify, r.unlessPointed(r.prove)}, {StageEndpoint, r.pointBack},
		{StageLatest, r.moveLatest}, {StageRecord, r.recordBack},
	})
	return r.end(outcome), err
}

// RollbackPlan reads what a rollback would start from and says what it would
// do. It writes nothing.
func (d *Deliverer) RollbackPlan(ctx context.Context, opts RollbackOptions) (*Plan, error) {
	r := newRollback(d, opts)
	_, err := r.enter(ctx)
	if err == nil {
		err = r.lookBack(ctx)
	}
	return r.show(ctx, r.plannedBack, err)
}

func newRollback(d *Deliverer, opts RollbackOptions) *run {
	r := newRun(d, DeployOptions{Replace: true}) // a snapshot is taken whole
	r.back = &back{RollbackOptions: opts}
	return r
}

func leftOut(context.Context) (bool, error) { return true, nil }

// unlessPointed leaves out what is about a new version.
func (r *run) unlessPointed(do func(context.Context) (bool, error)) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		if r.back.pointed {
			return true, nil
		}
		return do(ctx)
	}
}

// preflightBack reads all that a failure could come from, refuses it while
// nothing has been written, and takes the lock.
func (r *run) preflightBack(ctx context.Context) (bool, error) {
	if err := r.lookBack(ctx); err != nil {
		return false, err
	}
	if r.idle = r.backAlready(ctx); r.idle {
		r.tidy(ctx, r.owner())
		return false, nil
	}
	if r.back.Agree != nil {
		if err := r.back.Agree(r.stepsBack()); err != nil {
			return false, err
		}
	} else if len(r.report.Changes) > 0 {
		r.observe(Event{Kind: Diff, Stage: StagePreflight, Changes: r.report.Changes})
	}
	return false, r.takeLock(ctx)
}

func (r *run) lookBack(ctx context.Context) error {
	r.Target.Reference = ByDigest // whatever new versions do
	for _, look := range []func(context.Context) error{r.findRuntime, r.readRelease, r.choose, r.inspectBack, r.readVersion} {
		if err := look(ctx); err != nil {
			return err
		}
	}
	return r.planBack(ctx)
}

// choose finds the release among those that were recorded.
func (r *run) choose(ctx context.Context) error {
	all, err := r.releases(ctx)
	if err != nil {
		return err
	}
	to, serving := r.back.To, ""
	if r.back.leaving = r.good; r.settled {
		serving = r.good.Digest // else what was recorded last is before what serves, be it of the same image
	}
	if begun := r.begunBack(ctx); begun != nil {
		// It goes on, be it finished but for its lock: another one would go
		// further back.
		r.back.leaving = begun.Previous
		if to == "" {
			to = begun.Digest
		}
	}
	r.back.release, err = goal(all, to, serving)
	r.report.Revision, r.report.Digest, r.report.Image = r.back.release.Revision, r.back.release.Digest, r.back.release.Image
	return err
}

// begunBack is the lock of a rollback that was killed or interrupted, and that
// this one may take over; nil where there is none.
func (r *run) begunBack(ctx context.Context) *Lock {
	held, err := r.readLock(ctx)
	if err != nil || !held.Back || !held.free(r.owner(), r.now()) {
		return nil
	}
	return held
}

// inspectBack looks whether the image is still there: a lifecycle rule may
// have taken it.
func (r *run) inspectBack(ctx context.Context) error {
	images := r.Repository
	if name := parseImage(r.back.release.Image); name.repository != "" {
		if images = nil; r.Elsewhere != nil {
			images = r.Elsewhere(name.registry, name.repository)
		}
	}
	if images == nil {
		return nil
	}
	img, err := images.Open(ctx, r.report.Digest)
	if errors.Is(err, ErrNotFound) {
		return &Error{Kind: KindImage, Op: "finding the image of " + short(r.report.Revision),
			Err:   fmt.Errorf("%s is gone from the repository", r.report.Digest),
			Hints: []string{"slipway doctor names lifecycle rules that delete what a rollback wants", "another release: slipway rollback --to"}}
	}
	if err != nil {
		return err
	}
	compute := r.live.compute()
	if img, err = runnable(ctx, img, compute.Platforms()); err != nil {
		return err
	}
	facts, err := inspect(ctx, img)
	if err != nil {
		return &Error{Kind: KindImage, Op: "reading the image", Err: err}
	}
	r.report.Platform = facts.Platform
	if tag := r.back.release.tag(); tag != "" {
		if digest, err := images.Resolve(ctx, tag); err == nil && digest == r.report.Digest {
			r.report.Tags = []string{tag}
		}
	}
	return facts.check(compute)
}

// readVersion reads the version that the release was served as. AgentCore
// deletes old ones (facts: Versions).
func (r *run) readVersion(ctx context.Context) error {
	doc, err := r.Runtimes.Get(ctx, r.report.Runtime.ID, r.back.release.Version)
	if errors.Is(err, ErrNotFound) {
		return r.lost("is gone")
	}
	if err != nil {
		return err
	}
	// Numbers begin again where a runtime was made anew.
	facts, err := readFacts(doc)
	if name := parseImage(facts.Artifact.Container.URI); err == nil && name.digest != "" && name.digest != r.back.release.Digest {
		return r.lost("runs another image by now")
	}
	r.back.snapshot = doc
	r.back.pointed = r.Target.Serving() != DefaultEndpoint
	return nil
}

func (r *run) lost(why string) error {
	r.back.gone = why
	r.note("version %s %s: today's configuration with the recorded image becomes a new one", r.back.release.Version, why)
	return nil
}

// planBack works out what the rollback changes.
func (r *run) planBack(ctx context.Context) error {
	goal, before := r.back.release, r.liveDoc
	var err error
	switch {
	case r.back.pointed: // what DEFAULT has serves nobody
		if before, err = r.Runtimes.Get(ctx, r.report.Runtime.ID, r.from); err == nil {
			r.body, err = snapshotBody(r.back.snapshot)
		}
	case r.back.gone != "":
		r.body, _, err = edit(r.liveDoc, nil, goal.imageURI(r.Target))
	default:
		if r.body, err = snapshotBody(r.back.snapshot); err == nil {
			r.body, err = r.pin(r.body, goal.pointer())
		}
	}
	if err != nil {
		return err
	}
	facts, err := readFacts(r.body)
	if err != nil {
		return err
	}
	r.back.uri = facts.Artifact.Container.URI
	if r.report.Changes, err = diff(before, r.body, nil); err != nil {
		return err
	}
	r.hide(r.report.Changes)
	return r.verifiable(r.body)
}

// backAlready says whether the environment serves the release as it is.
func (r *run) backAlready(ctx context.Context) bool {
	goal, now := r.back.release, r.release
	if !r.settled || now.Digest != goal.Digest || now.Revision != goal.Revision || now.Verdict != Passed {
		return false
	}
	if now.Version != goal.Version && (r.back.pointed || len(r.report.Changes) > 0) {
		return false
	}
	if r.Target.MovesLatest && goal.Image == "" {
		if digest, err := r.Repository.Resolve(ctx, latestTag); err != nil || digest != goal.Digest {
			return false
		}
		r.report.Tags = append(r.report.Tags, latestTag)
	}
	r.report.Previous, r.report.Runtime.Version, r.report.Changes = now.Previous, now.Version, nil
	return true
}

// updateBack makes the version anew, unless the endpoint moves to it.
func (r *run) updateBack(ctx context.Context) (bool, error) {
	if !r.back.pointed {
		return r.update(ctx)
	}
	if err := r.fence(ctx); err != nil {
		return false, err
	}
	made, err := readFacts(r.back.snapshot)
	r.made, r.report.Runtime.Version = made, made.Version
	r.began = r.now()
	return true, err
}

// pointBack moves the named endpoint. That is where a rollback to a version
// that is there begins: what fails from here on is taken back.
func (r *run) pointBack(ctx context.Context) (bool, error) {
	if r.back.pointed {
		r.updated = true
	}
	return r.moveEndpoint(ctx)
}

// recordBack records that the release serves again, and what it was gone back
// from.
func (r *run) recordBack(ctx context.Context) (bool, error) {
	if gone, err := r.overtaken(ctx, "the release record"); gone || err != nil {
		return true, err
	}
	again := r.back.release
	again.Version, again.Endpoint, again.Verdict = r.report.Runtime.Version, r.Target.Serving(), r.verdict()
	again.At, again.By, again.Run, again.Adopted = r.now().UTC(), r.by(), r.Actor.Run, ""
	again.Reason = "rolled back on request"
	if again.Failed = r.back.leaving; again.Failed != nil && again.Failed.Version == again.Version {
		again.Failed = nil // it served, unrecorded
	}
	if r.back.gone != "" { // the configuration is today's
		again.Hidden = r.hidden()
	}
	return false, r.record(ctx, again)
}

// hidden names the environment variables of today's configuration whose values
// came from elsewhere.
func (r *run) hidden() []string {
	names := slices.Collect(maps.Keys(r.Target.Origins))
	if r.release != nil {
		names = append(names, r.release.Hidden...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (r *run) plannedBack(ctx context.Context) *Plan {
	if r.backAlready(ctx) {
		return r.beginPlan().nothing()
	}
	return r.stepsBack()
}

// stepsBack is the plan of a rollback that has something to do.
func (r *run) stepsBack() *Plan {
	p := r.beginPlan()
	add := p.add
	goal, live := r.back.release, r.Target.Serving()
	switch {
	case r.back.pointed:
		add(StageUpdate, "=", "version %s of %s is there, with its configuration", goal.Version, r.report.Runtime.ID)
		probed := ", and invoke through it"
		if r.Target.Verify.Skip {
			probed = ""
		}
		add(StageEndpoint, "~", "move the endpoint %s from version %s to %s%s", live, r.from, goal.Version, probed)
	default:
		what := "the configuration of version " + goal.Version
		if r.back.gone != "" {
			what = "today's configuration and the recorded image: version " + goal.Version + " " + r.back.gone
		}
		add(StageUpdate, "~", "runtime %s: version %s, with %s", r.report.Runtime.ID, next(r.live.Version), what)
		if !r.Target.Verify.Skip {
			add(StageVerify, "=", "invoke the new version through DEFAULT in a fresh session")
		}
		if live != DefaultEndpoint {
			add(StageEndpoint, "~", "move the endpoint %s to it", live)
		}
	}
	if r.Target.MovesLatest && goal.Image == "" {
		add(StageLatest, "~", "point the tag latest at %s: one manifest, no image byte", goal.Digest)
	}
	add(StageRecord, "~", "record the release in %s", r.Target.Parameter("release"))
	return p
}

// RollbackCaveats is what a rollback can't undo (system: E30, E31): sentences
// for whoever is about to run one.
func (p *Plan) RollbackCaveats() []string {
	caveats := []string{"sessions under way keep the code they started with until they end, up to 8 h"}
	for _, s := range p.Steps {
		if s.Stage == StageUpdate && s.Action == "~" && strings.HasPrefix(s.Text, "runtime ") {
			caveats = append(caveats, "the update resets the storage of sessions")
		}
	}
	return caveats
}
