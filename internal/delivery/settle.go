package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// settle answers a failed stage: it leaves the environment with a release
// that serves, or says truly where it stands.
func (r *run) settle(ctx context.Context, stage string, cause error) (Outcome, error) {
	ended := "failed"
	if errors.Is(ctx.Err(), context.Canceled) {
		ended = "interrupted"
	}
	r.observe(Event{Kind: StageDone, Stage: stage, Text: ended})
	outcome := Failed
	var err error
	switch {
	case ctx.Err() == nil:
		outcome, err = r.answer(ctx, stage, cause)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = r.late(ctx, stage, cause)
	default:
		err = r.interrupted(stage)
	}
	if r.lock != nil && (r.unfinished(stage, KindOf(err)) || !r.begun() && r.orphan()) {
		r.leave(ctx, *r.lock, lastWord(err))
		r.lock = nil
	}
	r.unlock(ctx)
	return outcome, err
}

// unfinished says whether the next delivery has something to settle: then the
// lock stays, with a last word in it.
func (r *run) unfinished(stage string, kind Kind) bool {
	switch kind {
	case KindPerson:
		return true
	case KindInterrupted:
		return r.begun()
	case KindSuperseded:
		return stage == StageUpdate && r.updated // our version came after theirs, and serves
	}
	return false
}

// orphan says whether what served when this delivery began was left there by
// one that ended before its record: killed, interrupted, or kept from writing
// it. Its verdict is not known then.
func (r *run) orphan() bool {
	return r.lock != nil && r.from != "" && (r.good == nil || r.good.Version != r.from)
}

func lastWord(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Serves != "" {
		return e.Serves
	}
	return err.Error()
}

// begun says whether this delivery may have changed what the runtime serves.
func (r *run) begun() bool { return r.touched || r.updated }

func (r *run) answer(ctx context.Context, stage string, cause error) (Outcome, error) {
	var bad *verifyError
	var late *deadlineError
	switch {
	case stage == StageCredentials, stage == StagePreflight:
		return Failed, r.refused(cause)
	case stage == StageBuild:
		return Failed, r.unbuilt(cause)
	case stage == StageLatest, stage == StageRecord:
		return Failed, r.person(cause, r.where(stage))
	case errors.Is(cause, errForeignVersion):
		return Failed, r.superseded(ctx, cause)
	case !r.begun() && errors.As(cause, &bad):
		r.explain(ctx, LogWindow{RuntimeID: r.report.Runtime.ID, Endpoint: DefaultEndpoint, Since: r.began}, logPatience)
		return Failed, r.person(cause, fmt.Sprintf("%s serves version %s as before; nothing was changed, and it fails its verify",
			r.Target.Serving(), r.report.Runtime.Version))
	case !r.begun():
		return Failed, r.unmoved(ctx, stage, cause)
	case errors.As(cause, &late), errors.Is(cause, errDeleting):
		return Failed, r.person(cause, r.standing(ctx, DefaultVerifyTimeout))
	}
	return r.unserve(ctx, stage, cause)
}

// standing says what serves, as far as it can be told within limit.
func (r *run) standing(ctx context.Context, limit time.Duration) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if r.report.Runtime.ID == "" {
		return "it is not known whether a runtime was created"
	}
	e, err := r.Runtimes.Endpoint(ctx, r.report.Runtime.ID, r.Target.Serving())
	if err != nil {
		return fmt.Sprintf("what %s serves could not be read: %v", r.Target.Serving(), err)
	}
	verified := "unverified"
	switch {
	case r.good != nil && e.LiveVersion == r.good.Version:
		verified = "the release before this one"
	case !r.begun():
		verified = "not by this delivery"
	}
	serves := fmt.Sprintf("%s serves version %s (%s)", r.Target.Serving(), e.LiveVersion, verified)
	if e.Status != "READY" || e.LiveVersion != e.TargetVersion {
		// The endpoint has a status of its own beside the runtime's, which
		// what failed may have named.
		serves += fmt.Sprintf("; the endpoint itself is %s, its target version %s", e.Status, e.TargetVersion)
	}
	return serves
}

// where says where an unfinished delivery stands, from what it knows itself.
func (r *run) where(stage string) string {
	version, serving := r.report.Runtime.Version, r.Target.Serving()
	switch {
	case r.proven:
		return fmt.Sprintf("version %s serves %s%s; %s is not done. The same command finishes it",
			version, short(r.report.Revision), r.orUnverified(), stage)
	case !r.begun():
		return r.untouched()
	case !r.updated:
		return fmt.Sprintf("an update was sent and not answered: DEFAULT has version %s or the one after it, unverified", version)
	case serving == DefaultEndpoint:
		return fmt.Sprintf("version %s serves through DEFAULT or is about to, unverified", version)
	case stage == StageEndpoint:
		return fmt.Sprintf("%s serves version %s or the one before; neither was probed through it", serving, version)
	}
	return fmt.Sprintf("%s was not touched; DEFAULT, which serves nobody, has version %s", serving, version)
}

func (r *run) op() string {
	if r.back != nil && r.report.Revision == "" {
		return "rolling back " + r.Target.Environment
	}
	if r.back != nil {
		return "rolling " + r.Target.Environment + " back to " + short(r.report.Revision)
	}
	if r.promoted != nil {
		return "promoting " + short(r.report.Revision) + " to " + r.Target.Environment
	}
	return "deploying " + short(r.report.Revision) + " to " + r.Target.Environment
}

// failed is a failure after something was written, with what served before
// still serving.
func (r *run) failed(stage string, cause error) *Error {
	return &Error{Kind: KindFailed, Op: stage, Err: cause, Hints: hints(cause), Serves: r.untouched()}
}

// unbuilt is a failure of the build, or of the remotes that are asked before
// and after it: nothing was written yet.
func (r *run) unbuilt(cause error) error {
	var known *Error
	var remote *RemoteError
	if errors.As(cause, &known) || errors.As(cause, &remote) || transient(cause) {
		return r.refused(cause)
	}
	return r.failed(StageBuild, cause)
}

// refused is a failure before anything was written.
func (r *run) refused(cause error) error {
	var e *Error
	if errors.As(cause, &e) {
		return e
	}
	return &Error{Kind: kindOfRefusal(cause), Op: r.op(), Err: cause, Hints: hints(cause)}
}

// kindOfRefusal is the kind of a remote's refusal before anything was written.
func kindOfRefusal(err error) Kind {
	switch {
	case errors.Is(err, ErrDenied):
		return KindDenied
	case errors.Is(err, ErrExpired):
		return KindCredentials
	case transient(err):
		return KindUnavailable
	}
	return KindRefused
}

func (r *run) superseded(ctx context.Context, cause error) error {
	return &Error{Kind: KindSuperseded, Op: r.op(), Err: cause, Serves: r.standing(ctx, DefaultVerifyTimeout),
		Hints: []string{"look at what serves now: slipway status; then run this command again"}}
}

// late answers a delivery whose own time is up. Bringing a release back takes
// longer than is left.
func (r *run) late(ctx context.Context, stage string, cause error) error {
	cause = fmt.Errorf("the time allowed for it was up during %s: %w", stage, cause)
	switch {
	case r.proven:
		return r.person(cause, r.where(stage))
	case r.begun():
		return r.person(cause, r.where(stage)+"; "+r.standing(ctx, parting))
	case r.lock != nil || stage == StageBuild:
		return r.failed(stage, cause)
	}
	return &Error{Kind: KindUnavailable, Op: r.op(), Err: cause, Serves: r.untouched()}
}

func (r *run) person(cause error, serves string) error {
	return &Error{Kind: KindPerson, Op: r.op(), Err: cause, Serves: serves, Hints: hints(cause)}
}

// interrupted leaves a true statement. Bringing the previous release back
// takes longer than whoever sent the signal will wait, so that is left to the
// next command, which finds the lock and settles it first.
func (r *run) interrupted(stage string) error {
	e := &Error{Kind: KindInterrupted, Op: r.op(), Err: fmt.Errorf("interrupted during %s", stage), Serves: r.where(stage)}
	if r.begun() {
		e.Hints = []string{"run the same command again: it goes on from there"}
	}
	return e
}

func (r *run) untouched() string {
	switch {
	case r.orphan():
		return fmt.Sprintf("version %s serves, by an earlier delivery whose verdict is not recorded; nothing was changed", r.from)
	case r.good == nil:
		return "nothing was changed"
	}
	return r.goodName() + " still serves"
}

// DeniedHint is all that the core says of a permission that is missing. Who
// knows the policies says more in its place.
const DeniedHint = "the role lacks a permission: the message names the action and the resource"

// hints says what to do about a remote's refusal, where that is known.
func hints(cause error) []string {
	var known *Error
	if errors.As(cause, &known) && len(known.Hints) > 0 {
		return known.Hints
	}
	switch {
	case errors.Is(cause, ErrThrottled):
		return []string{"AWS is throttling: run the same command again in a while"}
	case errors.Is(cause, ErrExpired):
		return []string{"the credentials ran out: run the same command again"}
	case errors.Is(cause, ErrQuota):
		return []string{"a quota is used up: see Service Quotas for Bedrock AgentCore"}
	case errors.Is(cause, ErrDenied):
		return []string{DeniedHint}
	}
	return nil
}
