package delivery

import (
	"context"
	"errors"
	"fmt"
)

// settle answers a failed stage: it leaves the environment with a release
// that serves, or says truly where it stands.
func (r *run) settle(ctx context.Context, stage string, cause error) (Outcome, error) {
	if ctx.Err() != nil {
		return Failed, r.interrupted(ctx, stage)
	}
	r.observe(Event{Kind: StageDone, Stage: stage, Text: "failed"})
	outcome, err := r.answer(ctx, stage, cause)
	if r.lock != nil && KindOf(err) == KindPerson {
		r.leave(context.WithoutCancel(ctx), *r.lock, err.Error())
		r.lock = nil
	}
	r.unlock(ctx)
	return outcome, err
}

func (r *run) answer(ctx context.Context, stage string, cause error) (Outcome, error) {
	switch stage {
	case StageCredentials, StagePreflight:
		return Failed, r.refused(cause)
	case StageBuild, StagePush:
		return Failed, r.failed(stage, cause)
	case StageLatest, StageRecord:
		return Failed, r.person(cause, fmt.Sprintf("version %s serves %s, verified; %s is not done. The same command finishes it",
			r.report.Runtime.Version, short(r.report.Revision), stage))
	}
	if errors.Is(cause, errForeignVersion) {
		return Failed, r.superseded(cause)
	}
	var late *deadlineError
	if errors.As(cause, &late) {
		return Failed, r.person(cause, r.standing(ctx))
	}
	return r.unserve(ctx, stage, cause)
}

// unserve takes a version that failed out of service, if it got there.
func (r *run) unserve(ctx context.Context, stage string, cause error) (Outcome, error) {
	var bad *verifyError
	if errors.As(cause, &bad) {
		r.explain(context.WithoutCancel(ctx), r.report.Runtime.ID, DefaultEndpoint, r.began)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if stage == StageEndpoint {
		return r.moveBack(ctx, cause)
	}
	serves, err := r.serves(ctx)
	if err != nil {
		return Failed, r.person(errors.Join(cause, err), "what DEFAULT serves could not be read")
	}
	switch {
	case !serves:
		return Failed, r.failed(stage, cause)
	case r.Target.Serving() != DefaultEndpoint:
		e := r.failed(stage, cause)
		e.Serves = fmt.Sprintf("%s was not touched; DEFAULT, which serves nobody, is at version %s", r.Target.Endpoint, r.report.Runtime.Version)
		return Failed, e
	case r.good == nil:
		e := r.failed(stage, cause)
		e.Serves = fmt.Sprintf("nothing served before; DEFAULT is at version %s, which failed", r.report.Runtime.Version)
		return Failed, e
	}
	return r.undo(ctx, cause)
}

// serves says whether DEFAULT serves our version. An update whose answer was
// lost is looked for by what the runtime runs now.
func (r *run) serves(ctx context.Context) (bool, error) {
	if !r.touched && !r.updated || r.report.Runtime.ID == "" {
		return false, nil
	}
	if !r.updated {
		doc, err := r.Runtimes.Get(ctx, r.report.Runtime.ID, "")
		if err != nil {
			return false, err
		}
		now, err := readFacts(doc)
		if err != nil || now.Version == r.live.Version {
			return false, err
		}
		r.report.Runtime.Version = now.Version
	}
	e, err := r.Runtimes.Endpoint(ctx, r.report.Runtime.ID, DefaultEndpoint)
	return err == nil && (e.LiveVersion == r.report.Runtime.Version || e.TargetVersion == r.report.Runtime.Version), err
}

// undo re-applies the configuration of the last good version as a new version
// and verifies that it serves.
func (r *run) undo(ctx context.Context, cause error) (Outcome, error) {
	failed := &Pointer{Revision: r.report.Revision, Digest: r.report.Digest, Version: r.report.Runtime.Version}
	r.note("bringing version %s back", r.good.Version)
	if err := r.reapply(ctx, failed.Version); err != nil {
		if errors.Is(err, errForeignVersion) {
			return Failed, r.superseded(errors.Join(cause, err))
		}
		return Failed, r.person(errors.Join(cause, fmt.Errorf("bringing version %s back: %w", r.good.Version, err)),
			r.standing(ctx))
	}
	back := Release{Revision: r.good.Revision, Digest: r.good.Digest, Version: r.report.Runtime.Version,
		Endpoint: DefaultEndpoint, Verdict: Passed, At: r.now().UTC(), By: r.by(), Run: r.Actor.Run,
		Failed: failed, Reason: excerpt([]byte(cause.Error()))}
	if r.Target.Verify.Skip {
		back.Verdict = Unverified
	}
	if r.release != nil {
		back.Previous = r.release.Previous
	}
	err := &Error{Kind: KindRolledBack, Op: r.op(), Err: cause,
		Serves: fmt.Sprintf("%s serves again, as version %s, verified", r.goodName(), back.Version),
		Hints:  []string{"mend the agent and deploy the next commit; the log lines above are the agent's own"}}
	if r.good.Digest != "" {
		if recordErr := r.record(ctx, back); recordErr != nil {
			r.warn("the release could not be recorded: %v", recordErr)
		}
	}
	return RolledBack, err
}

func (r *run) goodName() string {
	if r.good.Revision != "" {
		return "the release before it, " + short(r.good.Revision) + ","
	}
	return "version " + r.good.Version
}

// reapply updates the runtime to the good version's snapshot. bad is the
// version that must still be the newest: the fence.
func (r *run) reapply(ctx context.Context, bad string) error {
	id := r.report.Runtime.ID
	snapshot, err := r.Runtimes.Get(ctx, id, r.good.Version)
	if err != nil {
		return err
	}
	then, err := readFacts(snapshot)
	if err != nil {
		return err
	}
	body, _, err := edit(snapshot, nil, then.Artifact.Container.URI)
	if err != nil {
		return err
	}
	if err := r.runtimeReady(ctx, id, bad, DefaultReadyTimeout); err != nil && !errors.Is(err, errUpdateFailed) {
		return err
	}
	if r.oldLatest != "" {
		if err := r.Publisher.Tag(ctx, r.oldLatest, latestTag); err != nil {
			return err
		}
	}
	r.live.Version, r.body = bad, body
	if err := r.tryUpdate(ctx); err != nil {
		return err
	}
	if err := r.ready(ctx, id, r.report.Runtime.Version); err != nil {
		return err
	}
	r.report.Runtime.Status = "READY"
	if r.Target.Verify.Skip {
		return nil
	}
	return r.verify(ctx, id, then.ARN, DefaultEndpoint, r.report.Runtime.Version)
}

// moveBack returns a named endpoint to the version it served before.
func (r *run) moveBack(ctx context.Context, cause error) (Outcome, error) {
	name, id := r.Target.Endpoint, r.report.Runtime.ID
	if r.good == nil || r.Mover == nil {
		return Failed, r.failed(StageEndpoint, cause)
	}
	e, err := r.Runtimes.Endpoint(ctx, id, name)
	if err == nil && e.LiveVersion == r.good.Version && e.TargetVersion == r.good.Version {
		return Failed, r.failed(StageEndpoint, cause) // it never moved
	}
	if err == nil {
		token := clientToken(id, r.report.Runtime.Version, []byte(name+" back to "+r.good.Version))
		err = r.Mover.MoveEndpoint(ctx, id, name, r.good.Version, token)
	}
	if err == nil {
		err = r.endpointAt(ctx, id, name, r.good.Version, DefaultReadyTimeout)
	}
	if err != nil {
		return Failed, r.person(errors.Join(cause, err), r.standing(ctx))
	}
	r.report.Runtime.Version = r.good.Version
	return RolledBack, &Error{Kind: KindRolledBack, Op: r.op(), Err: cause,
		Serves: fmt.Sprintf("endpoint %s serves version %s again", name, r.good.Version)}
}

// standing says what serves, as far as it can be told.
func (r *run) standing(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), DefaultVerifyTimeout)
	defer cancel()
	e, err := r.Runtimes.Endpoint(ctx, r.report.Runtime.ID, r.Target.Serving())
	if err != nil {
		return fmt.Sprintf("what %s serves could not be read: %v", r.Target.Serving(), err)
	}
	verified := "unverified"
	if r.good != nil && e.LiveVersion == r.good.Version {
		verified = "the release before this one"
	}
	return fmt.Sprintf("%s serves version %s (%s); it is %s, on its way to version %s", r.Target.Serving(), e.LiveVersion, verified, e.Status, e.TargetVersion)
}

func (r *run) op() string {
	return "deploying " + short(r.report.Revision) + " to " + r.Target.Environment
}

func (r *run) failed(stage string, cause error) *Error {
	var e *Error
	if errors.As(cause, &e) && e.Kind != KindDenied && e.Kind != KindUnavailable {
		return e
	}
	return &Error{Kind: KindFailed, Op: stage, Err: cause, Hints: hints(cause), Serves: r.untouched()}
}

// refused is a failure before anything was written.
func (r *run) refused(cause error) error {
	var e *Error
	if errors.As(cause, &e) {
		return e
	}
	kind := KindRefused
	switch {
	case errors.Is(cause, ErrDenied):
		kind = KindDenied
	case transient(cause):
		kind = KindUnavailable
	}
	return &Error{Kind: kind, Op: r.op(), Err: cause, Hints: hints(cause)}
}

func (r *run) superseded(cause error) error {
	return &Error{Kind: KindSuperseded, Op: r.op(), Err: cause,
		Hints: []string{"look at what serves now: slipway status; then run this command again"}}
}

func (r *run) person(cause error, serves string) error {
	return &Error{Kind: KindPerson, Op: r.op(), Err: cause, Serves: serves, Hints: hints(cause)}
}

// interrupted leaves a true statement. Bringing the previous release back
// takes longer than whoever sent the signal will wait, so that is left to the
// next command, which finds the lock and settles it first.
func (r *run) interrupted(ctx context.Context, stage string) error {
	e := &Error{Kind: KindInterrupted, Op: r.op(), Err: fmt.Errorf("interrupted during %s", stage), Serves: r.untouched()}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pollInterval)
	defer cancel()
	if !r.touched && !r.updated {
		r.unlock(ctx)
		return e
	}
	e.Serves = fmt.Sprintf("version %s serves through DEFAULT or is about to, unverified", r.report.Runtime.Version)
	if r.Target.Serving() != DefaultEndpoint {
		e.Serves = r.Target.Endpoint + " may still serve the version before; DEFAULT has version " + r.report.Runtime.Version
	}
	e.Hints = []string{"run the same command again: it goes on from there"}
	if r.lock != nil {
		r.leave(ctx, *r.lock, e.Serves)
		r.lock = nil
	}
	return e
}

func (r *run) untouched() string {
	if r.good == nil {
		return "nothing was changed"
	}
	return r.goodName() + " still serves"
}

// hints says what to do about a remote's refusal, where that is known.
func hints(cause error) []string {
	switch {
	case errors.Is(cause, ErrThrottled):
		return []string{"AWS is throttling: run the same command again in a while"}
	case errors.Is(cause, ErrExpired):
		return []string{"the credentials ran out: run the same command again"}
	case errors.Is(cause, ErrQuota):
		return []string{"a quota is used up: see Service Quotas for Bedrock AgentCore"}
	case errors.Is(cause, ErrDenied):
		return []string{"the role lacks a permission: the message names the action and the resource"}
	}
	return nil
}
