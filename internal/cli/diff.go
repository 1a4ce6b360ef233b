package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
)

type diffDocument struct {
	Schema      string           `json:"schema"` // slipway.diff/v1
	Agent       string           `json:"agent"`
	Environment string           `json:"environment"`
	Revision    string           `json:"revision"`
	Digest      string           `json:"digest,omitempty"` // "" where the image is still to be built
	Changes     []changeDocument `json:"changes"`
	Steps       []stepDocument   `json:"steps"`
	Notes       []string         `json:"notes"`
}

func (a *app) diffCommand() *cobra.Command {
	var s selection
	cmd := &cobra.Command{
		Use:   "diff --env NAME",
		Short: "What a deploy or a promotion would change, field by field; exit 3 where it would change anything",
		Long: "Shows what a deploy of the commit that is checked out would change, the image first. It writes nothing.\n" +
			"Exit 0 says that nothing would change, 3 that something would. Values that slipway.yaml does not state\n" +
			"are not shown. For an environment that takes its releases from another it shows what a promotion of\n" +
			"what serves there would change; where that can't be proved, what --out-of-order would.",
		Example: `  slipway diff --env dev
  slipway diff --env dev -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.diff(cmd.Context(), s) },
	}
	selectionFlags(cmd, &s)
	return cmd
}

func (a *app) diff(ctx context.Context, s selection) error {
	p, err := a.project(s)
	if err != nil {
		return err
	}
	plan, notes, err := a.promotionDiff(ctx, p)
	if plan == nil && err == nil {
		var more []string
		plan, more, err = a.deployDiff(ctx, p)
		notes = append(notes, more...)
	}
	if err != nil {
		return a.explained(p, err)
	}
	slices.SortStableFunc(plan.Changes, func(x, y delivery.Change) int { return order(x) - order(y) })
	if a.json() {
		doc := planOf(plan)
		err = a.ui.document(diffDocument{Schema: "slipway.diff/v1", Agent: doc.Agent, Environment: doc.Environment, Revision: doc.Revision,
			Digest: doc.Digest, Changes: doc.Changes, Steps: doc.Steps, Notes: orEmpty(notes)})
	} else {
		a.printDiff(plan, notes)
	}
	if err == nil && len(effects(plan)) > 0 {
		err = exitError(delivery.ExitCode(&delivery.Error{Kind: delivery.KindFindings}))
	}
	return err
}

// promotionDiff plans the promotion of what serves in the environment before,
// nil where there is none, or where that can't be proved.
func (a *app) promotionDiff(ctx context.Context, p *project) (*delivery.Plan, []string, error) {
	if p.target.After == "" {
		return nil, nil, nil
	}
	f := promoteFlags{agent: p.target.Agent, to: p.target.Environment, replace: true}
	both, err := a.promotion(p.file, f, "")
	if err != nil {
		return nil, nil, err
	}
	d, opts, err := a.promoter(ctx, both, f, delivery.Evidence{})
	var none *unproved
	if errors.As(err, &none) && delivery.KindOf(err) == delivery.KindRefused {
		return nil, []string{fmt.Sprintf("this is what a deploy --out-of-order would change: what %s would promote can't be told: %v", p.target.After, err)}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	plan, refused, err := looked(d, func() (*delivery.Plan, error) { return d.PromotePlan(ctx, opts) })
	if err != nil {
		return nil, nil, err
	}
	return plan, append(diffNotes(plan, "a promotion", refused), "this is what a promotion of what serves in "+p.target.After+" would change"), nil
}

// deployDiff plans a deploy of the commit that is checked out.
func (a *app) deployDiff(ctx context.Context, p *project) (*delivery.Plan, []string, error) {
	source, err := a.source(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	d, err := a.deliverer(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	var notes []string
	if source.Dirty {
		source.Dirty = false // the commit is compared
		notes = []string{"the work tree has changes that are not committed; they are not in it"}
	}
	opts := delivery.DeployOptions{Source: source, Platform: p.agent.Build.Platform, Replace: true, OutOfOrder: true}
	plan, refused, err := looked(d, func() (*delivery.Plan, error) { return d.Plan(ctx, opts) })
	if err != nil {
		return nil, nil, err
	}
	return plan, append(notes, diffNotes(plan, "a deploy", refused)...), nil
}

// looked plans, without a verify where a plan with one is refused: perhaps for
// want of a token, which a look does not need.
func looked(d *delivery.Deliverer, plan func() (*delivery.Plan, error)) (p *delivery.Plan, refused, err error) {
	p, err = plan()
	if delivery.KindOf(err) != delivery.KindRefused {
		return p, nil, err
	}
	refused = err
	d.Target.Verify.Skip = true
	p, err = plan()
	return p, refused, err
}

// order puts the image before all else.
func order(c delivery.Change) int {
	if strings.HasPrefix(c.Path, "agentRuntimeArtifact") {
		return 0
	}
	return 1
}

// effects are the steps that would do something.
func effects(plan *delivery.Plan) []delivery.PlanStep {
	var steps []delivery.PlanStep
	for _, s := range plan.Steps {
		if s.Action != "=" {
			steps = append(steps, s)
		}
	}
	return steps
}

// printDiff prints the fields, then what else would be done. That it would be
// recorded goes without saying, unless that is all.
func (a *app) printDiff(plan *delivery.Plan, notes []string) {
	steps := effects(plan)
	if len(steps) == 0 {
		a.ui.result("nothing would change: %s serves %s already", plan.Target.Serving(), shortRevision(plan.Revision))
	}
	for _, line := range changeLines(plan.Changes) {
		a.ui.result("%s", strings.TrimRight(line, " "))
	}
	for _, s := range steps {
		if s.Stage == delivery.StageUpdate && len(plan.Changes) > 0 || s.Stage == delivery.StageRecord && s.Action == "~" && len(steps) > 1 {
			continue
		}
		a.ui.result("%s %-9s %s", s.Action, s.Stage, a.ui.tame(s.Text))
	}
	for _, note := range notes {
		a.ui.line("%s %s", a.ui.paint(yellow, "note:"), a.ui.tame(note))
	}
}

// diffNotes is what the command that was planned would say besides.
func diffNotes(plan *delivery.Plan, what string, refused error) []string {
	var notes, dropped []string
	if refused != nil {
		notes = append(notes, what+" is refused: "+refused.Error())
	}
	for _, c := range plan.Changes {
		if len(c.After) == 0 {
			dropped = append(dropped, c.Path)
		}
	}
	if dropped != nil {
		notes = append(notes, what+" drops "+strings.Join(dropped, ", ")+" with --replace alone")
	}
	return notes
}
