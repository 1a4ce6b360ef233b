package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
)

type buildDocument struct {
	Schema   string        `json:"schema"` // slipway.build/v1
	Agent    string        `json:"agent"`
	Revision string        `json:"revision"`
	Image    imageDocument `json:"image"`
	Bytes    int64         `json:"bytes"` // compressed
	Pushed   bool          `json:"pushed"`
}

func (a *app) buildCommand() *cobra.Command {
	var s selection
	var push, dryRun, allowDirty bool
	cmd := &cobra.Command{
		Use:   "build --env NAME [--push]",
		Short: "Build and check the image of the commit that is checked out; its digest is stdout",
		Long: "Builds the image of the commit and checks it as a deploy would.\n" +
			"--push sends it under its revision tag; latest moves only when a deploy has verified it.",
		Example: "  slipway build --env dev\n  slipway build --env dev --push -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.partial = !push
			p, err := a.project(s)
			if err != nil {
				return err
			}
			return a.build(cmd.Context(), p, push, dryRun, allowDirty)
		},
	}
	selectionFlags(cmd, &s)
	cmd.Flags().BoolVar(&push, "push", false, "send it to the repository, under the revision tag")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be built and pushed, and stop")
	cmd.Flags().BoolVar(&allowDirty, "allow-dirty", false, "build uncommitted changes, under a tag that says so")
	a.actingFlags(cmd)
	return cmd
}

func (a *app) build(ctx context.Context, p *project, push, dryRun, allowDirty bool) error {
	source, err := a.source(ctx, p)
	if err != nil {
		return err
	}
	opts := delivery.DeployOptions{Source: source, Platform: p.agent.Build.Platform, AllowDirty: allowDirty, OutOfOrder: true}
	a.ui.line("%s", a.ui.paint(bold, fmt.Sprintf("build %s  %s", p.target.Agent, shortRevision(source.Revision))))
	d := &delivery.Deliverer{Target: p.target, Builder: lazyBuilder{a, p},
		Observe: (&progress{ui: a.ui, debug: a.debug}).observe}
	if dryRun {
		return a.planBuild(p, source, push, allowDirty)
	}
	if push {
		if !a.yes && !a.ci() {
			if err := a.ui.confirm(ctx, "push the image to "+p.target.Registry+"/"+p.target.Repository+"?"); err != nil {
				return err
			}
		}
		if d, err = a.deliverer(ctx, p); err != nil {
			return err
		}
	}
	built, err := d.Build(ctx, opts, push)
	if err != nil {
		return a.explained(p, err)
	}
	if a.json() {
		return a.ui.document(buildDocument{Schema: "slipway.build/v1", Agent: p.target.Agent, Revision: source.Revision,
			Image: imageDocument{URI: p.target.ImageURI(built.Digest), Digest: built.Digest, Platform: built.Platform, Tags: built.Tags},
			Bytes: built.Bytes, Pushed: push})
	}
	a.ui.result("%s", built.Digest)
	return nil
}

// planBuild says what a build would do.
func (a *app) planBuild(p *project, source delivery.Source, push, allowDirty bool) error {
	if source.Dirty && !allowDirty {
		return &delivery.Error{Kind: delivery.KindSource, Op: "reading the work tree", Err: errors.New("it has changes that are not committed"),
			Hints: []string{"commit them, or build them under a tag that says so: --allow-dirty"}}
	}
	tag := source.Revision
	if source.Dirty {
		tag += "-dirty-<digest>"
	}
	doc := planDocument{Schema: "slipway.plan/v1", Agent: p.target.Agent, Environment: p.target.Environment,
		Revision: source.Revision, Changes: []changeDocument{}, Steps: []stepDocument{{delivery.StageBuild, "+",
			fmt.Sprintf("an image of %s for %s with the engine %s", p.agent.Build.Path, p.agent.Build.Platform, p.agent.Build.Engine)}}}
	if push {
		doc.Steps = append(doc.Steps, stepDocument{delivery.StagePush, "+",
			fmt.Sprintf("tag %s in %s/%s", tag, p.target.Registry, p.target.Repository)})
	}
	if a.json() {
		return a.ui.document(doc)
	}
	for _, s := range doc.Steps {
		a.ui.result("  %s %-9s %s", s.Action, s.Stage, s.Text)
	}
	return nil
}
