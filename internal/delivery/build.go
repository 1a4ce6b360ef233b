package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Built is what a build made.
type Built struct {
	Digest   string
	Platform string
	Tags     []string // the revision tag; latest moves when a deploy has verified it
	Bytes    int64    // compressed
}

// Build makes the image of a commit and checks it as a deploy would, for the
// compute that slipway.yaml states. With push it goes to the repository under
// its revision tag. Without push no remote is spoken to.
func (d *Deliverer) Build(ctx context.Context, opts DeployOptions, push bool) (Built, error) {
	r := newRun(d, opts)
	defer r.discard()
	r.create = true // no runtime is looked at: the target's own compute counts
	if err := r.admissible(); err != nil {
		return Built{}, err
	}
	check := func(ctx context.Context) (bool, error) { return false, r.inspectImage(ctx) }
	steps := []step{{StageBuild, r.make}, {StagePreflight, check}}
	if push {
		steps = append([]step{{StageCredentials, r.credentials}, {StageBuild, r.build}}, steps[1:]...)
		steps = append(steps, step{StagePush, r.push})
	}
	for _, s := range steps {
		if err := r.step(ctx, s); err != nil {
			if errors.Is(ctx.Err(), context.Canceled) {
				return Built{}, &Error{Kind: KindInterrupted, Op: "building " + short(opts.Source.Revision),
					Err: fmt.Errorf("interrupted during %s", s.name), Serves: r.untouched()}
			}
			_, err = r.answer(ctx, s.name, err)
			return Built{}, err
		}
	}
	facts, err := inspect(ctx, r.image)
	return Built{Digest: facts.Digest, Platform: facts.Platform, Tags: []string{r.tag}, Bytes: facts.Size}, err
}

// make builds without asking whether the repository has the image.
func (r *run) make(ctx context.Context) (bool, error) {
	img, err := r.Builder.Build(ctx, BuildRequest{Source: r.opts.Source, Platform: r.opts.Platform,
		Progress: func(line string) { r.observe(Event{Kind: BuildOutput, Stage: StageBuild, Text: line}) },
		Step:     func(s BuildStep) { r.observe(Event{Kind: BuildStepped, Stage: StageBuild, Step: s}) }})
	r.image, r.built = img, img
	return false, err
}

// discard lets go of what the build keeps, a spooled image. The run has ended:
// there is nobody to tell.
func (r *run) discard() {
	if spool, ok := r.built.(io.Closer); ok {
		_ = spool.Close() // as above
	}
}
