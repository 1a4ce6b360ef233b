package delivery

import (
	"context"
	"errors"
	"fmt"
)

// Plan is what a deploy would do, in order, found out by reading alone.
type Plan struct {
	Target   Target
	Revision string
	Digest   string // "" where the image is still to be built
	Steps    []PlanStep
	Changes  []Change
	Runtime  RuntimeState
}

// PlanStep is one thing a deploy would do: add (+), change (~) or leave (=).
type PlanStep struct {
	Stage  string
	Action string // "+", "~" or "="
	Text   string
}

// Plan reads what a deploy would start from and says what it would do. It
// writes nothing and builds nothing.
func (d *Deliverer) Plan(ctx context.Context, opts DeployOptions) (*Plan, error) {
	r := newRun(d, opts)
	if err := r.admissible(); err != nil {
		return nil, err
	}
	_, err := r.credentials(ctx)
	if err == nil {
		err = r.complete(ctx)
	}
	if err == nil {
		err = r.look(ctx)
	}
	return r.show(ctx, r.planned, err)
}

// show is the plan, or why there is none.
func (r *run) show(ctx context.Context, plan func(context.Context) *Plan, err error) (*Plan, error) {
	switch {
	case err == nil:
		return plan(ctx), nil
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, r.interrupted(StagePreflight)
	}
	return nil, r.refused(err)
}

// look does what preflight does, short of building and locking.
func (r *run) look(ctx context.Context) error {
	if err := r.findRuntime(ctx); err != nil {
		return err
	}
	if err := r.readRelease(ctx); err != nil {
		return err
	}
	var err error
	if !r.opts.Source.Dirty {
		if r.image, r.there, err = r.existing(ctx); err != nil {
			return err
		}
	}
	if r.opts.Source.Dirty {
		r.tag += "-dirty-<digest>"
	}
	r.report.Tags = []string{r.tag}
	if r.there {
		if err := r.inspectImage(ctx); err != nil {
			return err
		}
	} else {
		r.report.Digest = "(known after build)"
	}
	return r.planUpdate(ctx)
}

func (r *run) beginPlan() *Plan {
	return &Plan{Target: r.Target, Revision: r.report.Revision, Digest: r.report.Digest, Changes: r.report.Changes, Runtime: r.report.Runtime}
}

func (p *Plan) add(stage, action, format string, args ...any) {
	p.Steps = append(p.Steps, PlanStep{Stage: stage, Action: action, Text: fmt.Sprintf(format, args...)})
}

// nothing says that there is nothing to do.
func (p *Plan) nothing() *Plan {
	p.add(StageUpdate, "=", "%s serves %s already, verified: nothing to do", p.Target.Serving(), short(p.Revision))
	return p
}

// planFound says what becomes of a release that was never recorded.
func (r *run) planFound(add func(stage, action, format string, args ...any)) {
	switch {
	case r.release != nil || r.create || !r.needsUpdate():
	case r.found.unknown != "":
		add(StageRecord, "=", "%s", r.unknownImage())
	case r.adopts():
		add(StageRecord, "+", "%s", r.adoption())
	}
}

func (r *run) planned(ctx context.Context) *Plan {
	unchanged := r.unchanged(ctx) // of which the report then says no changes
	p := r.beginPlan()
	if p.Digest = ""; r.there || r.promoted != nil {
		p.Digest = r.report.Digest
	}
	if unchanged {
		return p.nothing()
	}
	add := p.add
	switch {
	case r.there:
		add(StageBuild, "=", "the repository has an image for %s: %s", short(r.report.Revision), r.report.Digest)
	case r.promoted != nil:
		add(StagePush, "+", "copy %s of %s from %s, by its digest: tag %s in %s/%s", r.report.Digest, short(r.report.Revision),
			r.promoted.Evidence.Environment, r.tag, r.Target.Registry, r.Target.Repository)
	default:
		add(StageBuild, "+", "an image for %s, %s", short(r.report.Revision), r.opts.Platform)
		add(StagePush, "+", "tag %s in %s/%s", r.tag, r.Target.Registry, r.Target.Repository)
	}
	r.planFound(add)
	switch {
	case r.create:
		add(StageUpdate, "+", "runtime %s, version 1, its parameter %s", RuntimeName(r.Target.Agent, r.Target.Environment), r.Target.Parameter("runtime-id"))
	case r.needsUpdate():
		add(StageUpdate, "~", "runtime %s: version %s becomes %s", r.report.Runtime.ID, r.live.Version, next(r.live.Version))
	default:
		add(StageUpdate, "=", "runtime %s has this configuration, as version %s", r.report.Runtime.ID, r.live.Version)
	}
	if !r.Target.Verify.Skip {
		add(StageVerify, "=", "invoke the new version through DEFAULT in a fresh session")
	}
	if r.Target.Serving() != DefaultEndpoint {
		add(StageEndpoint, "~", "move the endpoint %s to it", r.Target.Endpoint)
	}
	if r.Target.MovesLatest {
		action, text := "~", "point the tag latest at it"
		if digest, err := r.Repository.Resolve(ctx, latestTag); err == nil && digest == p.Digest {
			action, text = "=", "the tag latest names it already"
		}
		add(StageLatest, action, "%s", text)
	}
	add(StageRecord, "~", "record the release in %s", r.Target.Parameter("release"))
	return p
}
