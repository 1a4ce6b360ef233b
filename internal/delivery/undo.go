package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// unserve takes a version that failed out of service, if it got there.
func (r *run) unserve(ctx context.Context, stage string, cause error) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	var bad *verifyError
	if errors.As(cause, &bad) {
		tried := DefaultEndpoint
		if stage == StageEndpoint {
			tried = r.Target.Endpoint
		}
		// What serves comes first: lines that are not there yet are looked for
		// again when the release before serves.
		window := LogWindow{RuntimeID: r.report.Runtime.ID, Endpoint: tried, Since: r.began}
		if !r.explain(ctx, window, 0) {
			window.Until = r.now()
			defer r.explain(context.WithoutCancel(ctx), window, logPatience)
		}
	}
	if stage == StageEndpoint {
		return r.moveBack(ctx, cause)
	}
	serves, err := r.serves(ctx, cause)
	version := r.report.Runtime.Version
	switch {
	case errors.Is(err, errForeignVersion):
		return Failed, r.superseded(ctx, errors.Join(cause, err))
	case err != nil:
		return Failed, r.person(errors.Join(cause, err), "what DEFAULT serves could not be read")
	case !serves:
		return Failed, r.unmoved(ctx, stage, cause)
	case r.Target.Serving() != DefaultEndpoint:
		e := r.failed(stage, cause)
		e.Serves = fmt.Sprintf("%s was not touched; DEFAULT, which serves nobody, is at version %s", r.Target.Endpoint, version)
		return Failed, e
	case r.good == nil:
		return Failed, r.person(cause, fmt.Sprintf("DEFAULT serves version %s, which failed; nothing that is known to be good served before it", version))
	}
	return r.undo(ctx, cause)
}

// unmoved answers a failure after which the release before still serves. Where
// the tag latest had to go first, it comes back.
func (r *run) unmoved(ctx context.Context, stage string, cause error) error {
	if err := r.latestBack(ctx); err != nil {
		return r.person(errors.Join(cause, err), r.untouched()+"; the tag latest names the release that failed")
	}
	return r.failed(stage, cause)
}

func (r *run) latestBack(ctx context.Context) error {
	if !r.latestMoved {
		return nil
	}
	if r.good == nil || r.good.Digest == "" || r.good.Image != "" {
		return errors.New("which digest latest named before is not known")
	}
	return r.Publisher.Tag(ctx, r.good.Digest, latestTag)
}

// needsLatest says whether a configuration names its image by the tag that
// latestBack moves: it would run whatever that tag names.
func (r *run) needsLatest(body Document) (bool, error) {
	f, err := readFacts(body)
	name := parseImage(f.Artifact.Container.URI)
	return r.Target.owns(name) && name.tag == latestTag && name.digest == "", err
}

// serves says whether DEFAULT serves our version, or is about to. An update
// whose answer was lost is looked for by what the runtime runs now.
func (r *run) serves(ctx context.Context, cause error) (bool, error) {
	if r.report.Runtime.ID == "" {
		return false, nil // a runtime that could not be created
	}
	if !r.updated {
		if made, err := r.ours(ctx); !made || err != nil {
			return false, err
		}
	}
	e, err := r.Runtimes.Endpoint(ctx, r.report.Runtime.ID, DefaultEndpoint)
	if errors.Is(err, ErrNotFound) && r.create {
		return false, nil // it never came to that
	}
	version := r.report.Runtime.Version
	coming := !errors.Is(cause, errUpdateFailed) // whatever DEFAULT says yet
	return err == nil && (e.LiveVersion == version || coming), err
}

// undo re-applies the configuration of the last good version as a new version
// and verifies that it serves.
func (r *run) undo(ctx context.Context, cause error) (Outcome, error) {
	failed := &Pointer{Revision: r.report.Revision, Digest: r.report.Digest, Version: r.report.Runtime.Version}
	r.note("bringing version %s back", r.good.Version)
	if err := r.reapply(ctx, failed.Version); err != nil {
		if errors.Is(err, errForeignVersion) {
			return Failed, r.superseded(ctx, errors.Join(cause, err))
		}
		return Failed, r.person(errors.Join(cause, fmt.Errorf("bringing version %s back: %w", r.good.Version, err)),
			r.standing(ctx, DefaultVerifyTimeout))
	}
	version := r.report.Runtime.Version
	r.recordReturn(ctx, version, failed, cause)
	return RolledBack, r.rolledBack(cause, fmt.Sprintf("%s serves again, as version %s%s", r.goodName(), version, r.orUnverified()))
}

// recordReturn records that the good release serves again. What serves is
// settled by then, so a failure is a warning.
func (r *run) recordReturn(ctx context.Context, version string, failed *Pointer, cause error) {
	if r.good.Digest == "" {
		r.warn("the release is not recorded: the digest of version %s is not known", r.good.Version)
		return
	}
	back := Release{Revision: r.good.Revision, Digest: r.good.Digest, Image: r.good.Image, Version: version, Endpoint: r.Target.Serving(),
		Verdict: r.verdict(), At: r.now().UTC(), By: r.by(), Run: r.Actor.Run, Failed: failed, Reason: r.quote(cause.Error())}
	if r.release != nil {
		back.Hidden = r.release.Hidden
	}
	switch {
	case r.release != nil && r.release.Version == r.good.Version:
		back.Previous = r.release.Previous
	case r.release != nil:
		back.Previous = r.release.pointer()
	}
	if err := r.record(ctx, back); err != nil {
		r.warn("the release could not be recorded: %v", err)
	}
}

func (r *run) rolledBack(cause error, serves string) error {
	e := &Error{Kind: KindRolledBack, Op: r.op(), Err: cause, Serves: serves, Hints: rolledBackHints(cause)}
	for _, hint := range hints(r.unproven) {
		if !slices.Contains(e.Hints, hint) {
			e.Hints = append(e.Hints, hint)
		}
	}
	return e
}

// rolledBackHints tell an agent that failed from what was not its fault.
func rolledBackHints(cause error) []string {
	var bad *verifyError
	if errors.As(cause, &bad) {
		return []string{"mend the agent and deploy the next commit; the log lines above are the agent's own"}
	}
	return append(hints(cause), "the agent may be sound: see the message, then run the same command again")
}

func (r *run) orUnverified() string {
	switch {
	case r.unproven != nil:
		return ", unverified: the token was refused"
	case r.Target.Verify.Skip:
		return ", unverified"
	}
	return ", verified"
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
	body, err := snapshotBody(snapshot)
	if err == nil {
		body, err = r.pin(body, r.good)
	}
	if err != nil {
		return err
	}
	settled := func(ctx context.Context) error {
		err := r.runtimeReady(ctx, id, bad, r.Target.readyLimit())
		if errors.Is(err, errUpdateFailed) {
			return nil
		}
		return err
	}
	if err := settled(ctx); err != nil {
		return err
	}
	if err := r.latestBack(ctx); err != nil {
		if needs, unread := r.needsLatest(body); needs || unread != nil {
			return errors.Join(err, unread)
		}
		r.warn("the tag latest could not be brought back from the release that failed and is left where it is: %v", err)
	}
	r.live.Version, r.body, r.touched = bad, body, false
	if err := r.send(ctx, settled); err != nil {
		return err
	}
	if err := r.ready(ctx, id, r.report.Runtime.Version); err != nil {
		return err
	}
	r.report.Runtime.Status = "READY"
	return r.proveAgain(ctx, r.report.Runtime.Version, DefaultEndpoint)
}

// proveAgain verifies a version that was brought back. That its token is
// refused tells nothing against it: the token may have ended on the way. It
// serves unverified then, which is what r.unproven says.
func (r *run) proveAgain(ctx context.Context, version, endpoint string) error {
	if r.Target.Verify.Skip {
		return nil
	}
	doc, err := r.Runtimes.Get(ctx, r.report.Runtime.ID, version)
	if err != nil {
		return err
	}
	f, err := readFacts(doc)
	if err != nil {
		return err
	}
	err = r.verify(ctx, f, endpoint)
	var refused *tokenError
	if errors.As(err, &refused) {
		r.unproven = err
		return r.stillAt(ctx, f, endpoint)
	}
	var bad *verifyError
	if errors.As(err, &bad) {
		bad.again = true
	}
	return err
}

// moveBack returns a named endpoint to the version it served before.
func (r *run) moveBack(ctx context.Context, cause error) (Outcome, error) {
	name, id, version := r.Target.Endpoint, r.report.Runtime.ID, r.report.Runtime.Version
	e, err := r.Runtimes.Endpoint(ctx, id, name)
	switch {
	case err != nil:
		return Failed, r.person(errors.Join(cause, err), fmt.Sprintf("what %s serves could not be read", name))
	case r.good == nil:
		return Failed, r.person(cause, fmt.Sprintf("%s is at version %s; nothing that is known to be good served before it", name, e.LiveVersion))
	case e.LiveVersion == r.good.Version && e.TargetVersion != version:
		return Failed, r.failed(StageEndpoint, cause) // it never moved
	}
	failed := &Pointer{Revision: r.report.Revision, Digest: r.report.Digest, Version: version}
	err = r.move(ctx, id, name, r.good.Version)
	if err == nil {
		err = r.endpointAt(ctx, id, name, r.good.Version, r.Target.readyLimit())
	}
	if err == nil {
		err = r.proveAgain(ctx, r.good.Version, name)
	}
	if err != nil {
		return Failed, r.person(errors.Join(cause, err), r.standing(ctx, DefaultVerifyTimeout))
	}
	r.report.Runtime.Version = r.good.Version
	r.recordReturn(ctx, r.good.Version, failed, cause)
	return RolledBack, r.rolledBack(cause, fmt.Sprintf("endpoint %s serves version %s again%s", name, r.good.Version, r.orUnverified()))
}
