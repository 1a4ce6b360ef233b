package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// DeployOptions says how a deploy differs from the usual.
type DeployOptions struct {
	Source Source
	// Platform to build for: linux/arm64.
	Platform string
	// Create makes a runtime that is not there: an administrator's act.
	Create bool
	// AllowDirty delivers uncommitted changes; the tag then says so.
	AllowDirty bool
	// Replace lets settings drop live members (a null in slipway.yaml).
	Replace bool
	// OutOfOrder delivers to an environment that takes its releases from
	// another one.
	OutOfOrder bool
}

// undoTimeout bounds bringing the previous release back: it runs although the
// delivery's own time is up.
const undoTimeout = 20 * time.Minute

// Deploy takes a commit to a serving agent: build, push, update, verify. The
// Deployment is returned whatever happens; the error says what went wrong and
// what serves now.
func (d *Deliverer) Deploy(ctx context.Context, opts DeployOptions) (*Deployment, error) {
	r := newRun(d, opts)
	defer r.discard()
	if err := r.admissible(); err != nil {
		return r.end(Failed), err
	}
	outcome, err := r.deliver(ctx, r.build, r.preflight)
	return r.end(outcome), err
}

// run is one delivery under way.
type run struct {
	*Deliverer
	opts   DeployOptions
	start  time.Time
	report *Deployment
	caller Caller

	tag   string // the revision tag
	image Image  // what runs: index resolved
	built Image  // what the build made, nil where it was not run
	there bool   // the repository holds the image under its tag

	live    runtimeFacts // the runtime as found
	made    runtimeFacts // the version that this delivery made, or goes on with
	liveDoc Document
	body    Document // what the update sends
	create  bool     // there is no runtime yet
	idle    bool     // there is nothing to do
	back    *back    // what a rollback goes to, nil for a deploy
	// promoted is what a promotion takes, nil where a commit is deployed.
	promoted *PromoteOptions

	release *Release // as recorded before
	settled bool     // the record names what serves
	good    *Pointer // what to come back to
	from    string   // the version that users got when this delivery began
	found   found    // what serves, where no record names it
	lock    *Lock    // ours, while we hold it

	updated     bool      // DEFAULT serves our version, or is about to
	touched     bool      // an update was sent: nobody may know how it ended
	latestMoved bool      // before the update, which needs it there
	proven      bool      // our version serves the agent's users, and passed its verify if there was one
	unproven    error     // why what was brought back could not be verified: its token was refused
	began       time.Time // when the update was sent
}

func newRun(d *Deliverer, opts DeployOptions) *run {
	r := &run{Deliverer: d, opts: opts, start: d.now(), tag: opts.Source.Revision}
	r.report = &Deployment{Target: d.Target, Outcome: Failed, Revision: opts.Source.Revision}
	r.report.Runtime.Endpoint = d.Target.Serving()
	return r
}

func (r *run) end(outcome Outcome) *Deployment {
	r.report.Outcome = outcome
	r.report.Back, r.report.PreviousPassed = r.back != nil, r.passedBefore()
	r.report.Elapsed = r.now().Sub(r.start)
	return r.report
}

// passedBefore says whether what served before is recorded, and verified.
func (r *run) passedBefore() bool {
	before := r.report.Previous
	return before != nil && r.release != nil && *r.release.pointer() == *before && r.release.Verdict == Passed
}

// admissible refuses what can be refused without asking anybody.
func (r *run) admissible() error {
	if r.Target.After != "" && !r.opts.OutOfOrder {
		return &Error{Kind: KindRefused, Op: "deploying to " + r.Target.Environment,
			Err: fmt.Errorf("it takes its releases from %s", r.Target.After),
			Hints: []string{"promote what serves there: slipway promote --to " + r.Target.Environment,
				"--out-of-order deploys all the same; the record keeps it"}}
	}
	if r.opts.Source.Dirty && !r.opts.AllowDirty {
		return &Error{Kind: KindSource, Op: "reading the work tree",
			Err:   errors.New("it has changes that are not committed, so no commit names what would be delivered"),
			Hints: []string{"commit them, or deliver them under a tag that says so: --allow-dirty"}}
	}
	return nil
}

type step struct {
	name string
	do   func(context.Context) (skipped bool, err error)
}

// deliver walks the stages. Before update nothing of the runtime changes;
// after it, a failure is answered by settle.
func (r *run) deliver(ctx context.Context, build, preflight func(context.Context) (bool, error)) (Outcome, error) {
	return r.walk(ctx, []step{
		{StageCredentials, r.enter}, {StageBuild, build}, {StagePreflight, preflight},
		{StagePush, r.push}, {StageUpdate, r.update}, {StageReady, r.awaitReady},
		{StageVerify, r.prove}, {StageEndpoint, r.moveEndpoint},
		{StageLatest, r.moveLatest}, {StageRecord, r.recordRelease},
	})
}

func (r *run) walk(ctx context.Context, steps []step) (Outcome, error) {
	for i, s := range steps {
		if err := r.step(ctx, s); err != nil {
			return r.settle(ctx, s.name, err)
		}
		if r.idle {
			r.skip(steps[i+1:])
			return Unchanged, nil
		}
	}
	r.unlock(ctx)
	return Deployed, nil
}

func (r *run) step(ctx context.Context, s step) error {
	start := r.now()
	r.observe(Event{Kind: StageStarted, Stage: s.name})
	skipped, err := false, ctx.Err() // looked at before, not after: what is done is done
	if err == nil {
		skipped, err = s.do(ctx)
	}
	elapsed := r.now().Sub(start)
	r.report.Stages = append(r.report.Stages, Stage{Name: s.name, Elapsed: elapsed, Skipped: skipped})
	if err == nil {
		r.observe(Event{Kind: StageDone, Stage: s.name, Elapsed: elapsed, Skipped: skipped})
	}
	return err
}

func (r *run) skip(steps []step) {
	for _, s := range steps {
		r.report.Stages = append(r.report.Stages, Stage{Name: s.name, Skipped: true})
	}
}

func (r *run) unlock(ctx context.Context) {
	if r.lock != nil {
		r.Deliverer.release(ctx, r.lock.Nonce)
		r.lock = nil
	}
}

// credentials proves the login before minutes are spent on a build.
func (r *run) credentials(ctx context.Context) (bool, error) {
	caller, err := r.Login.Login(ctx)
	if err != nil {
		return false, err
	}
	r.caller = caller
	if caller.Account != r.Target.Account {
		return false, &Error{Kind: KindAccount, Op: "checking the account",
			Err:   fmt.Errorf("the credentials belong to account %s (%s); slipway.yaml says %s for %s", caller.Account, caller.ARN, r.Target.Account, r.Target.Environment),
			Hints: []string{"use the credentials of account " + r.Target.Account + ", or correct environments." + r.Target.Environment + ".account"}}
	}
	return false, nil
}

// enter logs in, and finds out before minutes are spent on a build whether
// there is a runtime to deliver to.
func (r *run) enter(ctx context.Context) (bool, error) {
	if _, err := r.credentials(ctx); err != nil {
		return false, err
	}
	if err := r.complete(ctx); err != nil {
		return false, err
	}
	_, err := r.runtimeID(ctx)
	if errors.Is(err, ErrNotFound) && r.opts.Create {
		return false, nil
	}
	return false, err
}

// complete reads the values that the target still lacks.
func (r *run) complete(ctx context.Context) error {
	if r.Complete != nil {
		target, err := r.Complete(ctx)
		if err != nil {
			return err
		}
		r.Target, r.report.Target = target, target
	}
	if len(r.Target.Unread) > 0 {
		return &Error{Kind: KindConfig, Op: "reading the settings of " + r.Target.Environment,
			Err: fmt.Errorf("the parameters %s were not read", strings.Join(r.Target.Unread, ", "))}
	}
	return nil
}

// noRepository says whether a registry has no such repository at all (OCI
// distribution: NAME_UNKNOWN), rather than no such tag.
func noRepository(err error) bool {
	var remote *RemoteError
	return errors.As(err, &remote) && remote.Code == "NAME_UNKNOWN"
}

// build makes the image, unless the repository has one for this commit. The
// session that writes is opened after it: no child process could have seen it.
func (r *run) build(ctx context.Context) (bool, error) {
	img, found, err := r.existing(ctx)
	if err != nil {
		return false, fmt.Errorf("looking for the image of %s: %w", short(r.tag), err)
	}
	if found && !r.opts.Source.Dirty {
		r.image, r.there = img, true
		return true, nil
	}
	if _, err := r.make(ctx); err != nil {
		return false, err
	}
	return r.credentials(ctx)
}

func (r *run) existing(ctx context.Context) (Image, bool, error) {
	digest, err := r.Repository.Resolve(ctx, r.tag)
	if noRepository(err) {
		return nil, false, &Error{Kind: KindRefused, Op: "finding the repository", Err: err,
			Hints: []string{"ECR does not create " + r.Target.Repository + " by itself: an administrator creates it in account " + r.Target.Account + ", " + r.Target.Region}}
	}
	if errors.Is(err, ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	img, err := r.Repository.Open(ctx, digest)
	return img, err == nil, err
}
