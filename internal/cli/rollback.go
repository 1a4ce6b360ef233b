package cli

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// rollbackFlags are the flags of slipway rollback.
type rollbackFlags struct {
	selection
	all        bool
	to         string
	dryRun     bool
	skipVerify bool
	timeout    time.Duration
}

func (a *app) rollbackCommand() *cobra.Command {
	var f rollbackFlags
	cmd := &cobra.Command{
		Use:   "rollback --env NAME [--to REVISION|DIGEST|VERSION]",
		Short: "The previous release again, or any other that passed its verify; no image is pulled",
		Long: "Serves an earlier release again, and proves that it does. Behind a named endpoint it moves the pointer;\n" +
			"with DEFAULT it makes a version of the old one's configuration. Without --to it goes to the newest\n" +
			"release before the one that serves that passed its verify and was not gone back from.",
		Example: `  slipway rollback --env dev
  slipway rollback --env dev --to 3f2a91c --dry-run   # what it would do; writes nothing`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmp.Or(positive(cmd, "timeout", f.timeout), notEmpty(cmd, "to")); err != nil {
				return err
			}
			return a.rollback(cmd.Context(), f)
		},
	}
	selectionFlags(cmd, &f.selection)
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "every agent of slipway.yaml, one after the other")
	flags.StringVar(&f.to, "to", "", "a revision or its first 7 digits or more, sha256:…, or the number of a version")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and stop")
	flags.BoolVar(&f.skipVerify, "skip-verify", false, "record the release as unverified, which can't be promoted")
	flags.DurationVar(&f.timeout, "timeout", 0, "how long to wait for READY and for the verify, each, and at most for an answer (default 15m and 2m)")
	a.actingFlags(cmd)
	return cmd
}

func (a *app) rollback(ctx context.Context, f rollbackFlags) error {
	file, err := a.load()
	if err != nil {
		return err
	}
	return a.eachAgent(ctx, file, f.all, f.agent, func(name string) (any, error) {
		f.agent = name
		return a.rollbackOne(ctx, file, f)
	})
}

// rollbackOne rolls one agent back. It returns the document to print.
func (a *app) rollbackOne(ctx context.Context, file *config.File, f rollbackFlags) (any, error) {
	p, err := a.pick(file, f.selection)
	if err != nil {
		return nil, err
	}
	timeout(&p.target, f.timeout)
	p.target.Verify.Skip = f.skipVerify
	d, err := a.deliverer(ctx, p)
	if err != nil {
		return a.refusal(ctx, p, f.dryRun, err), err
	}
	if d.Complete != nil {
		d.Complete = a.completionBack(p, d.Complete)
	}
	a.ui.line("%s", a.ui.paint(bold, fmt.Sprintf("rollback %s in %s", p.target.Agent, p.target.Environment)))
	if f.dryRun {
		plan, err := d.RollbackPlan(ctx, delivery.RollbackOptions{To: f.to})
		if err != nil {
			return nil, a.explained(p, err)
		}
		return a.showRollback(plan, a.planShow(true)), nil
	}
	report, err := d.Rollback(ctx, delivery.RollbackOptions{To: f.to, Agree: func(plan *delivery.Plan) error {
		a.showRollback(plan, a.ui.line)
		if a.yes || a.ci() {
			return nil
		}
		return a.ui.confirm(ctx, fmt.Sprintf("roll %s in %s back to %s?", p.target.Agent, p.target.Environment, shortRevision(plan.Revision)))
	}})
	return a.ended(ctx, p, report, err)
}

// showRollback says what it will do, and what it can't undo.
func (a *app) showRollback(plan *delivery.Plan, show func(string, ...any)) any {
	document := a.showSteps(plan, show)
	for _, caveat := range plan.RollbackCaveats() {
		show("  ! %s", caveat)
	}
	return document
}
