package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// deployFlags are the flags of slipway deploy.
type deployFlags struct {
	selection
	all        bool
	dryRun     bool
	create     bool
	allowDirty bool
	replace    bool
	outOfOrder bool
	skipVerify bool
	timeout    time.Duration
}

func (a *app) deployCommand() *cobra.Command {
	var f deployFlags
	cmd := &cobra.Command{
		Use:   "deploy --env NAME",
		Short: "Build, push, update, wait, verify, move latest, record",
		Long: "Takes the commit that is checked out to a serving agent, and proves that it serves.\n" +
			"A version that fails its verify is taken out of service at once (exit 4).",
		Example: `  slipway deploy --env dev
  slipway deploy --env dev --dry-run            # what it would do; writes nothing
  slipway deploy --env dev --create --yes       # once per environment, as an administrator`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := positive(cmd, "timeout", f.timeout); err != nil {
				return err
			}
			return a.deploy(cmd.Context(), f)
		},
	}
	selectionFlags(cmd, &f.selection)
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "every agent of slipway.yaml, one after the other")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and stop")
	flags.BoolVar(&f.create, "create", false, "make the runtime, its parameter and its endpoint where they are missing")
	flags.BoolVar(&f.allowDirty, "allow-dirty", false, "deliver uncommitted changes, under a tag that says so")
	flags.BoolVar(&f.replace, "replace", false, "drop the live settings that slipway.yaml sets to null")
	flags.BoolVar(&f.outOfOrder, "out-of-order", false, "deploy to an environment that takes its releases from another")
	flags.BoolVar(&f.skipVerify, "skip-verify", false, "record the release as unverified, which can't be promoted")
	flags.DurationVar(&f.timeout, "timeout", 0, "how long to wait for READY and for the verify, each, and at most for an answer (default 15m and 2m)")
	a.actingFlags(cmd)
	return cmd
}

// actingFlags are the flags of commands that change something outside.
func (a *app) actingFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "answer yes to every question")
	cmd.Flags().BoolVar(&a.force, "allow-long-lived-keys", false, "take long-lived AWS keys in CI too")
}

func (a *app) deploy(ctx context.Context, f deployFlags) error {
	file, err := a.load()
	if err != nil {
		return err
	}
	return a.eachAgent(ctx, file, f.all, f.agent, func(name string) (any, error) {
		f.agent = name
		return a.deployOne(ctx, file, f)
	})
}

// eachAgent delivers the agents that a command is about, one after the other,
// and prints their documents.
func (a *app) eachAgent(ctx context.Context, file *config.File, all bool, chosen string, deliver func(name string) (any, error)) error {
	names, err := a.agents(file, all, chosen)
	if err != nil {
		return err
	}
	var documents []any
	var failures []error
	for _, name := range names {
		doc, err := deliver(name)
		if doc != nil {
			documents = append(documents, doc)
		}
		if err != nil {
			failures = append(failures, inCase(all, name, err))
		}
		if err != nil && ctx.Err() != nil {
			break
		}
	}
	if a.json() {
		if err := a.printDocuments(all, documents); err != nil {
			failures = append(failures, err)
		}
	}
	return a.each(failures)
}

// planShow is how a plan is shown: as the result where it was asked for, else
// on stderr, before the question.
func (a *app) planShow(asked bool) func(string, ...any) {
	switch {
	case asked && a.json():
		return a.silent
	case asked:
		return a.ui.result
	}
	return a.ui.line
}

// refusal tells the job of a delivery that was refused before it began, and
// returns its document; nil where a plan was asked for.
func (a *app) refusal(ctx context.Context, p *project, planned bool, err error) any {
	if planned {
		return nil
	}
	report := &delivery.Deployment{Target: p.target, Outcome: delivery.Failed}
	a.reportToJob(ctx, p, report, err)
	return deploymentOf(report, err)
}

// inCase names the agent where several are delivered.
func inCase(several bool, agent string, err error) error {
	if !several || strings.Contains(err.Error(), agent) {
		return err
	}
	return fmt.Errorf("%s: %w", agent, err)
}

// printDocuments prints the document of a command, or those of --all.
func (a *app) printDocuments(all bool, documents []any) error {
	switch {
	case len(documents) == 0:
		return nil
	case all:
		return a.ui.document(deploymentsDocument{"slipway.deployments/v1", documents})
	}
	return a.ui.document(documents[0])
}

// each tells failures one by one, and returns the exit status of the worst. A
// lone one is left to Main.
func (a *app) each(failures []error) error {
	if len(failures) < 2 {
		return errors.Join(failures...)
	}
	status := 0
	told := make(map[string]bool)
	for _, err := range failures {
		status = max(status, delivery.ExitCode(err))
		if !told[err.Error()] {
			a.ui.fail(err)
		}
		told[err.Error()] = true
	}
	return exitError(status)
}

// deployOne deploys one agent. It returns the document to print, nil where
// there is nothing to tell but the error.
func (a *app) deployOne(ctx context.Context, file *config.File, f deployFlags) (any, error) {
	p, err := a.pick(file, f.selection)
	if err != nil {
		return nil, err
	}
	timeout(&p.target, f.timeout)
	p.target.Verify.Skip = f.skipVerify
	source, err := a.source(ctx, p)
	if err != nil {
		return nil, err
	}
	d, err := a.deliverer(ctx, p)
	if err != nil {
		return nil, err
	}
	opts := delivery.DeployOptions{Source: source, Platform: p.agent.Build.Platform, Create: f.create,
		AllowDirty: f.allowDirty, Replace: f.replace, OutOfOrder: f.outOfOrder}
	a.ui.line("%s", a.ui.paint(bold, fmt.Sprintf("deploy %s → %s  %s", p.target.Agent, p.target.Environment, shortRevision(source.Revision))))
	if f.dryRun {
		doc, err := a.plan(ctx, d, opts, a.planShow(true))
		return doc, a.explained(p, err)
	}
	if !a.yes && !a.ci() {
		if _, err := a.plan(ctx, d, opts, a.ui.line); err != nil {
			return nil, a.explained(p, err)
		}
		if err := a.ui.confirm(ctx, fmt.Sprintf("deploy %s to %s?", p.target.Agent, p.target.Environment)); err != nil {
			return nil, err
		}
	}
	report, err := d.Deploy(ctx, opts)
	return a.ended(ctx, p, report, err)
}

// ended tells the job and the user how a delivery ended, and returns its
// document.
func (a *app) ended(ctx context.Context, p *project, report *delivery.Deployment, err error) (any, error) {
	err = a.explained(p, err)
	a.reportToJob(ctx, p, report, err)
	a.told(report, err)
	return deploymentOf(report, err), err
}

// told says on stdout how the delivery ended, and on stderr what serves now.
func (a *app) told(d *delivery.Deployment, err error) {
	if !a.json() && d.Outcome != delivery.Failed {
		a.ui.result("%s %s %s %s version %s %s", d.Target.Agent, d.Target.Environment, shortRevision(d.Revision),
			orAbsent(d.Digest), orAbsent(d.Runtime.Version), d.Outcome)
	}
	if err == nil {
		state := "serves"
		if d.Outcome == delivery.Unchanged {
			state = "serves already, nothing was done:"
		}
		verdict := ""
		if d.Outcome == delivery.Deployed && d.Target.Verify.Skip {
			verdict = ", unverified"
		}
		a.ui.line("%s %s in %s %s %s as version %s through %s%s  (%.1fs)", a.ui.paint(green, "now:"), d.Target.Agent,
			d.Target.Environment, state, deliveredName(d), d.Runtime.Version, d.Runtime.Endpoint, verdict, d.Elapsed.Seconds())
	}
}

// deliveredName is what was delivered: a commit, or one with changes.
func deliveredName(d *delivery.Deployment) string {
	name := shortRevision(d.Revision)
	if len(d.Tags) > 0 && strings.HasPrefix(d.Tags[0], d.Revision+"-dirty-") {
		name += "-dirty"
	}
	return name
}

// plan prints what a deploy would do.
func (a *app) plan(ctx context.Context, d *delivery.Deliverer, opts delivery.DeployOptions, show func(string, ...any)) (any, error) {
	plan, err := d.Plan(ctx, opts)
	if err != nil {
		return nil, err
	}
	return a.showSteps(plan, show), nil
}

// showSteps prints a plan's steps and returns its document.
func (a *app) showSteps(plan *delivery.Plan, show func(string, ...any)) any {
	for _, s := range plan.Steps {
		show("  %s %-9s %s", s.Action, s.Stage, a.ui.tame(s.Text))
		if s.Stage != delivery.StageUpdate {
			continue
		}
		for _, line := range changeLines(plan.Changes) {
			show("      %s", strings.TrimRight(line, " "))
		}
	}
	return planOf(plan)
}

func (a *app) silent(string, ...any) {}
