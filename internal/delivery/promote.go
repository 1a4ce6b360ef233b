package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// PromoteOptions says what is promoted.
type PromoteOptions struct {
	// Evidence is the release to promote, as Prove found it in the environment
	// before.
	Evidence Evidence
	// Images are those of that environment's repository.
	Images Repository
	// Create makes a runtime that is not there: an administrator's act.
	Create bool
	// OutOfOrder promotes from another environment than the one before.
	OutOfOrder bool
	// Replace lets settings drop live members (a null in slipway.yaml).
	Replace bool
}

// Promote delivers the image of the evidence, and no other: it is copied by
// its digest where it is not there, never built. The target's own settings
// apply. It returns what Deploy does; an *Error of KindSuperseded where the
// target has got another release since the evidence was made.
func (d *Deliverer) Promote(ctx context.Context, opts PromoteOptions) (*Deployment, error) {
	r := newPromotion(d, opts)
	if err := r.promotable(); err != nil {
		return r.end(Failed), err
	}
	outcome, err := r.deliver(ctx, leftOut, r.preflightPromoted)
	return r.end(outcome), err
}

// PromotePlan reads what a promotion would start from and says what it would
// do. It writes nothing.
func (d *Deliverer) PromotePlan(ctx context.Context, opts PromoteOptions) (*Plan, error) {
	r := newPromotion(d, opts)
	if err := r.promotable(); err != nil {
		return nil, err
	}
	_, err := r.enter(ctx)
	if err == nil {
		err = r.lookPromoted(ctx)
	}
	return r.show(ctx, r.planned, err)
}

func newPromotion(d *Deliverer, opts PromoteOptions) *run {
	r := newRun(d, DeployOptions{Source: Source{Revision: opts.Evidence.Revision}, Create: opts.Create, Replace: opts.Replace, OutOfOrder: opts.OutOfOrder})
	r.promoted = &opts
	r.report.PromotedFrom = opts.Evidence.origin()
	return r
}

// promotable refuses what can be refused without asking anybody.
func (r *run) promotable() error {
	e := r.promoted.Evidence
	switch {
	case e.Agent != r.Target.Agent:
		return &Error{Kind: KindRefused, Op: r.op(), Err: fmt.Errorf("the evidence is of %s, not of %s", e.Agent, r.Target.Agent)}
	case e.At.After(r.now().Add(clockSkew)):
		return &Error{Kind: KindRefused, Op: r.op(), Err: fmt.Errorf("the evidence was made at %s, which is yet to come", e.At.UTC().Format(time.RFC3339)),
			Hints: []string{"are the clocks of both machines right? Prove again: slipway promote --prove"}}
	}
	return r.Target.TakesFrom(e.Environment, r.opts.OutOfOrder)
}

// clockSkew is how far the clocks of two jobs may be apart.
const clockSkew = 5 * time.Minute

// TakesFrom returns an *Error of KindRefused where the environment does not
// take its releases from another one.
func (t Target) TakesFrom(from string, outOfOrder bool) error {
	refuse := func(why string, hints ...string) error {
		return &Error{Kind: KindRefused, Op: "promoting to " + t.Environment, Err: errors.New(why), Hints: hints}
	}
	const override = "--out-of-order promotes all the same; the record keeps it"
	switch {
	case from == t.Environment:
		return refuse("the evidence is of " + from + " itself")
	case outOfOrder || from == t.After:
		return nil
	case t.After == "":
		return refuse(t.Environment+" takes its releases from commits", "slipway deploy --env "+t.Environment, override)
	}
	return refuse(fmt.Sprintf("%s takes its releases from %s, not from %s", t.Environment, t.After, from),
		"promote what serves there: slipway promote --to "+t.Environment, override)
}

func (r *run) preflightPromoted(ctx context.Context) (bool, error) {
	if err := r.findPromoted(ctx); err != nil {
		return false, err
	}
	return r.preflight(ctx)
}

func (r *run) lookPromoted(ctx context.Context) error {
	for _, look := range []func(context.Context) error{r.findPromoted, r.findRuntime, r.readRelease, r.inspectImage, r.planUpdate} {
		if err := look(ctx); err != nil {
			return err
		}
	}
	if r.unchanged(ctx) {
		return nil
	}
	return r.reviewed(ctx)
}

// findPromoted opens the image: the target's own where its repository has one
// of the revision, else that of the environment before.
func (r *run) findPromoted(ctx context.Context) error {
	img, found, err := r.existing(ctx)
	if err != nil {
		return fmt.Errorf("looking for the image of %s: %w", short(r.tag), err)
	}
	digest := r.promoted.Evidence.Digest
	if !found {
		img, err = r.promoted.Images.Open(ctx, digest)
	}
	if errors.Is(err, ErrNotFound) {
		return &Error{Kind: KindImage, Op: "finding the image of " + short(r.tag),
			Err:   fmt.Errorf("%s is gone from the repository of %s", digest, r.promoted.Evidence.Environment),
			Hints: []string{"slipway doctor names lifecycle rules that delete what is in use", "prove what serves there now: slipway promote --to " + r.Target.Environment}}
	}
	r.image, r.there = img, found
	if err != nil || found {
		return err
	}
	return r.tagged(ctx)
}

// tagged refuses evidence whose revision is not the one that its image was
// built of: the target's own tag would name it for good.
func (r *run) tagged(ctx context.Context) error {
	e := r.promoted.Evidence
	digest, err := tagMeans(ctx, r.promoted.Images, e.Revision, e.Digest)
	switch {
	case errors.Is(err, ErrNotFound):
		r.warn("no tag %s is in the repository of %s any more: that the image is of this commit can't be compared", e.Revision, e.Environment)
		return nil
	case err != nil || digest == e.Digest:
		return err
	}
	return &Error{Kind: KindRefused, Op: r.op(), Err: fmt.Errorf("the tag %s names %s in the repository of %s, the evidence says %s", e.Revision, digest, e.Environment, e.Digest),
		Hints: []string{"prove again what " + e.Environment + " serves: slipway promote --prove"}}
}

// same refuses an image that is not the one that was proved: a tag of the
// target's repository may name another one, built for it.
func (r *run) same() error {
	if r.promoted == nil || r.report.Digest == r.promoted.Evidence.Digest {
		return nil
	}
	if !r.there {
		return &Error{Kind: KindRefused, Op: r.op(), Err: fmt.Errorf("%s is no image that runs, but names %s", r.promoted.Evidence.Digest, r.report.Digest)}
	}
	return &Error{Kind: KindRefused, Op: r.op(),
		Err: fmt.Errorf("the tag %s names %s in %s/%s; %s was proved in %s", r.tag, r.report.Digest, r.Target.Registry, r.Target.Repository,
			r.promoted.Evidence.Digest, r.promoted.Evidence.Environment),
		Hints: []string{"one commit was built twice: a revision tag is never pointed at another digest; deploy and promote another commit"}}
}

// reviewed refuses to overwrite what the target got after the evidence was
// made: whoever approved it has not seen that. What was found there and only
// recorded since has been there all along, and what this very run has put back
// was there before.
func (r *run) reviewed(ctx context.Context) error {
	if r.promoted == nil {
		return nil
	}
	what, err := r.moved(ctx)
	if what == "" || err != nil {
		return err
	}
	return &Error{Kind: KindSuperseded, Op: r.op(), Serves: r.untouched(),
		Err:   fmt.Errorf("%s %s, after the evidence was made", r.Target.Environment, what),
		Hints: []string{"prove again what " + r.promoted.Evidence.Environment + " serves, and let that be approved"}}
}

// moved says what the target got after the evidence was made, "" for nothing.
func (r *run) moved(ctx context.Context) (string, error) {
	at, now := r.promoted.Evidence.At, r.release
	switch {
	case now != nil && now.Adopted == "" && now.At.After(at) && !sameRun(now.Run, r.Actor.Run):
		if now.Failed != nil {
			return fmt.Sprintf("was rolled back from %s by %s", short(now.Failed.Revision), now.By), nil
		}
		return fmt.Sprintf("got %s by %s", short(now.Revision), now.By), nil
	case r.settled || r.from == "", now != nil && r.good != nil && r.good.Digest == now.Digest:
		return "", nil // the image is the recorded one: put back by a run that could not record it, or set otherwise by hand
	}
	if held, err := r.readLock(ctx); err == nil && held.free(r.owner(), r.now()) {
		return "", nil // a delivery left it there, ours perhaps: it is settled first
	} else if err != nil && !errors.Is(err, ErrNotFound) {
		return "", err
	}
	doc, err := r.Runtimes.Get(ctx, r.report.Runtime.ID, r.from)
	if err != nil {
		return "", err
	}
	if made, err := madeTime(doc, r.from); err == nil && made.After(at) {
		return "got version " + r.from + " by other hands", nil
	}
	return "", nil
}

// sameRun says whether two URLs are of one run: a job that is run again is
// another attempt of it (GITHUB_RUN_ATTEMPT).
func sameRun(a, b string) bool {
	a, _, _ = strings.Cut(a, "/attempts/")
	b, _, _ = strings.Cut(b, "/attempts/")
	return a != "" && a == b
}

// outOfOrder says whether the release passes an environment by.
func (r *run) outOfOrder() bool {
	if r.promoted == nil {
		return r.Target.After != ""
	}
	return r.promoted.Evidence.Environment != r.Target.After
}
