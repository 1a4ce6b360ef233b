package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
)

// promoteFlags are the flags of slipway promote.
type promoteFlags struct {
	agent      string
	all        bool
	to, from   string
	revision   string
	prove      bool
	evidence   string
	given      bool // --evidence was, be it empty
	dryRun     bool
	create     bool
	replace    bool
	outOfOrder bool
	skipVerify bool
	timeout    time.Duration
}

func (a *app) promoteCommand() *cobra.Command {
	var f promoteFlags
	cmd := &cobra.Command{
		Use:   "promote --to NAME",
		Short: "The digest that serves, verified, in one environment goes to the next; nothing is rebuilt",
		Long: "Takes the image that serves in the environment before, where record and runtime agree that it passed its\n" +
			"verify, copies it by its digest where the repository is another one, and delivers it under the target's own\n" +
			"settings. In GitHub Actions each environment has its own role: a job of the environment before says --prove,\n" +
			"and the job behind the gate takes what that printed (and set as output evidence) with --evidence: exactly that\n" +
			"digest is promoted, and the command ends with 5 if the target got another release meanwhile.",
		Example: `  slipway promote --to stg
  slipway promote --to prd --revision 3f2a91c --dry-run   # an older verified release; writes nothing
  slipway promote --to stg --prove                        # in the job before the gate
  slipway promote --to stg --evidence "$EVIDENCE"         # in the job behind it`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.given = cmd.Flags().Changed("evidence")
			if err := cmp.Or(positive(cmd, "timeout", f.timeout), notEmpty(cmd, "from"), notEmpty(cmd, "revision"), f.check(cmd)); err != nil {
				return err
			}
			return a.promote(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "environment of slipway.yaml that is delivered to")
	flags.StringVar(&f.from, "from", "", "environment that it comes from (default: after: of the target)")
	flags.StringVar(&f.agent, "agent", "", "agent of slipway.yaml, where there is more than one (SLIPWAY_AGENT)")
	flags.BoolVar(&f.all, "all", false, "every agent of slipway.yaml, one after the other")
	flags.StringVar(&f.revision, "revision", "", "an older release that passed its verify there: its commit, or the first 7 digits or more")
	flags.BoolVar(&f.prove, "prove", false, "print what would be promoted, as evidence for another job, and stop; reads the environment before alone")
	flags.StringVar(&f.evidence, "evidence", "", "what --prove printed: the text itself, @FILE, or - for stdin")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and stop")
	flags.BoolVar(&f.create, "create", false, "make the runtime, its parameter and its endpoint where they are missing")
	flags.BoolVar(&f.replace, "replace", false, "drop the live settings that slipway.yaml sets to null")
	flags.BoolVar(&f.outOfOrder, "out-of-order", false, "promote past an environment in between; the record keeps it")
	flags.BoolVar(&f.skipVerify, "skip-verify", false, "record the release as unverified, which can't be promoted")
	flags.DurationVar(&f.timeout, "timeout", 0, "how long to wait for READY and for the verify, each, and at most for an answer (default 15m and 2m)")
	a.actingFlags(cmd)
	return cmd
}

// check refuses flags that don't go together.
func (f promoteFlags) check(cmd *cobra.Command) error {
	switch {
	case f.to == "":
		return usage(cmd, errors.New("--to names the environment to deliver to"))
	case f.given && f.prove:
		return usage(cmd, errors.New("--prove and --evidence are two ends of one promotion: each in its own job"))
	case f.given && f.revision != "":
		return usage(cmd, errors.New("the evidence names the revision: --revision goes with --prove"))
	case f.prove && (f.dryRun || f.create || f.skipVerify || f.replace):
		return usage(cmd, errors.New("--prove delivers nothing: it goes with --to, --from, --out-of-order, --revision and --agent"))
	case f.all && (f.given || f.prove):
		return usage(cmd, errors.New("evidence is of one agent: name it with --agent"))
	}
	return nil
}

func (a *app) promote(ctx context.Context, f promoteFlags) error {
	file, err := a.load()
	if err != nil {
		return err
	}
	if f.prove {
		return a.printEvidence(ctx, file, f)
	}
	return a.eachAgent(ctx, file, f.all, f.agent, func(name string) (any, error) {
		f.agent = name
		return a.promoteOne(ctx, file, f)
	})
}

// notEmpty refuses a flag that was given nothing: a variable that is not set is
// no wish for the default.
func notEmpty(cmd *cobra.Command, flag string) error {
	if f := cmd.Flags().Lookup(flag); f.Changed && f.Value.String() == "" {
		return usage(cmd, fmt.Errorf("--%s is empty", flag))
	}
	return nil
}

// promotion is both ends of one.
type promotion struct{ from, to *project }

func (a *app) promotion(file *config.File, f promoteFlags, from string) (promotion, error) {
	to, err := a.pick(file, selection{agent: f.agent, environment: f.to, look: f.prove})
	if err != nil {
		return promotion{}, err
	}
	if from = cmp.Or(from, to.target.After); from == "" {
		return promotion{}, &delivery.Error{Kind: delivery.KindRefused, Op: "promoting to " + f.to, Err: errors.New("it takes its releases from commits"),
			Hints: []string{"slipway deploy --env " + f.to, "--from NAME --out-of-order promotes all the same; the record keeps it"}}
	}
	source, err := a.pick(file, selection{agent: to.target.Agent, environment: from, look: true})
	return promotion{source, to}, err
}

// promoteOne promotes one agent. It returns the document to print, nil where
// there is nothing to tell but the error.
func (a *app) promoteOne(ctx context.Context, file *config.File, f promoteFlags) (any, error) {
	evidence, err := a.evidence(ctx, f)
	if err != nil {
		return nil, err
	}
	p, err := a.promotion(file, f, cmp.Or(f.from, evidence.Environment))
	if err != nil {
		return nil, err
	}
	if f.given && evidence.Environment != p.from.target.Environment {
		return nil, &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("the evidence is of %s, --from names %s", evidence.Environment, f.from)}
	}
	timeout(&p.to.target, f.timeout)
	timeout(&p.from.target, f.timeout)
	p.to.target.Verify.Skip = f.skipVerify
	a.ui.line("%s", a.ui.paint(bold, fmt.Sprintf("promote %s %s → %s", p.to.target.Agent, p.from.target.Environment, p.to.target.Environment)))
	d, opts, err := a.promoter(ctx, p, f, evidence)
	if err != nil {
		return a.refusal(ctx, p.to, f.dryRun, err), err
	}
	show := a.planShow(f.dryRun)
	if f.dryRun || !a.yes && !a.ci() {
		plan, err := d.PromotePlan(ctx, opts)
		if err = a.explained(p.to, err); err != nil {
			return a.refusal(ctx, p.to, f.dryRun, err), err
		}
		document := a.showSteps(plan, show)
		if f.dryRun {
			return document, nil
		}
		if err := a.ui.confirm(ctx, fmt.Sprintf("promote %s to %s?", p.to.target.Agent, p.to.target.Environment)); err != nil {
			return nil, err
		}
	}
	report, err := d.Promote(ctx, opts)
	return a.ended(ctx, p.to, report, err)
}

// promoter joins the target to the images that it takes. Without evidence it
// proves first what the environment before serves, in a session of that
// environment; with it the target's own session reads them.
func (a *app) promoter(ctx context.Context, p promotion, f promoteFlags, evidence delivery.Evidence) (*delivery.Deliverer, delivery.PromoteOptions, error) {
	opts := delivery.PromoteOptions{Evidence: evidence, Create: f.create, OutOfOrder: f.outOfOrder, Replace: f.replace}
	if !f.given {
		source, err := a.deliverer(ctx, p.from)
		if err != nil {
			return nil, opts, &unproved{a.elsewhereProved(p, err)}
		}
		if opts.Evidence, err = a.proved(ctx, source, p, f); err != nil {
			return nil, opts, err
		}
		opts.Images = source.Repository
	}
	session, err := a.session(ctx, p.to)
	if err != nil {
		return nil, opts, err
	}
	if f.given {
		t := p.from.target
		opts.Images = elsewhere(session, t, t.Registry, t.Repository)
	}
	d, err := a.delivererOf(session, p.to)
	return d, opts, err
}

func (a *app) proved(ctx context.Context, source *delivery.Deliverer, p promotion, f promoteFlags) (delivery.Evidence, error) {
	e, err := source.Prove(ctx, f.revision)
	if err != nil {
		return e, &unproved{a.elsewhereProved(p, a.explained(p.from, err))}
	}
	what := "serves"
	if e.Earlier {
		what = "has served"
	}
	a.ui.line("  %s %s %s, %s, as version %s, verified; released %s by %s", e.Environment, what, shortRevision(e.Revision), e.Digest, e.Version,
		e.Released.UTC().Format(time.RFC3339), a.ui.tame(e.By))
	return e, nil
}

// unproved says that nothing was found that could be promoted.
type unproved struct{ error }

func (e *unproved) Unwrap() error { return e.error }

// elsewhereProved says, of a job that may not look at the environment before,
// which job may.
func (a *app) elsewhereProved(p promotion, err error) error {
	kind := delivery.KindOf(err)
	if !a.ci() || kind != delivery.KindDenied && kind != delivery.KindAccount && kind != delivery.KindCredentials {
		return err
	}
	from, to := p.from.target.Environment, p.to.target.Environment
	e := &delivery.Error{Kind: kind, Err: err, Hints: []string{
		fmt.Sprintf("the role of %s proves what %s serves: slipway promote --to %s --prove in a job of %s, and --evidence with its output here", from, from, to, from)}}
	var known *delivery.Error
	if errors.As(err, &known) {
		e.Hints, e.Serves = append(e.Hints, known.Hints...), known.Serves
	}
	return e
}

// evidence reads what --evidence names.
func (a *app) evidence(ctx context.Context, f promoteFlags) (delivery.Evidence, error) {
	if !f.given {
		return delivery.Evidence{}, nil
	}
	const most = 64 << 10
	text := []byte(f.evidence)
	var err error
	if name, ok := strings.CutPrefix(f.evidence, "@"); ok {
		text, err = os.ReadFile(a.path(name))
	} else if f.evidence == "-" {
		text, err = until(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.In, most)) })
	}
	if err != nil {
		return delivery.Evidence{}, &delivery.Error{Kind: delivery.KindUsage, Op: "reading the evidence", Err: err}
	}
	return delivery.ParseEvidence(text)
}

// printEvidence proves what would be promoted, for the job behind the gate.
func (a *app) printEvidence(ctx context.Context, file *config.File, f promoteFlags) error {
	p, err := a.promotion(file, f, f.from)
	if err != nil {
		return err
	}
	if err := p.to.target.TakesFrom(p.from.target.Environment, f.outOfOrder); err != nil {
		return err
	}
	timeout(&p.from.target, f.timeout)
	source, err := a.deliverer(ctx, p.from)
	if err != nil {
		return err
	}
	e, err := a.proved(ctx, source, p, f)
	if err != nil {
		return err
	}
	a.evidenceToJob(ctx, p, e)
	if a.json() {
		return a.ui.document(e)
	}
	text, err := json.Marshal(e)
	a.ui.result("%s", text)
	return err
}

// evidenceToJob sets the outputs of a step that proves, and tells whoever is
// to approve what they approve.
func (a *app) evidenceToJob(ctx context.Context, p promotion, e delivery.Evidence) {
	job := github.JobFrom(a.Getenv)
	if !job.Actions {
		return
	}
	set := func(b *bytes.Buffer) error {
		text, err := json.Marshal(e)
		return errors.Join(err, github.WriteOutput(b, "evidence", string(text)), github.WriteOutput(b, "digest", e.Digest), github.WriteOutput(b, "revision", e.Revision))
	}
	news := a.news(ctx, p, job, e)
	say := func(b *bytes.Buffer) error {
		return github.WriteSummary(b, toApprove(e, p.to.target.Environment, job, news))
	}
	if failed := errors.Join(a.appendTo(job.OutputFile, set), a.appendTo(job.SummaryFile, say)); failed != nil {
		a.ui.warn("the step's outputs or summary could not be written: %v", failed)
	}
}

// news is what a promotion brings to an environment that this job may not look
// at in AWS: what it serves is taken from the last deployment at GitHub.
func (a *app) news(ctx context.Context, p promotion, job github.Job, e delivery.Evidence) between {
	c := &github.Client{Getenv: a.Getenv, Name: job.Repository}
	if !c.HasToken() {
		return between{}
	}
	ctx, cancel := context.WithTimeout(ctx, tellingTime)
	defer cancel()
	var lacks []string
	serves, err := c.LastServed(ctx, p.to.target.Environment, e.Agent)
	a.lack(&lacks, "deployments: read (what "+p.to.target.Environment+" serves)", err)
	news, err := a.between(ctx, p.to.file.Dir, c, serves, e.Revision)
	a.lack(&lacks, "contents: read (the list of commits)", err)
	a.noteLacks(lacks)
	return news
}

// toApprove is the page that whoever approves reads: which digest, tested
// where, and what comes with it.
func toApprove(e delivery.Evidence, to string, job github.Job, news between) string {
	var md bytes.Buffer
	fmt.Fprintf(&md, "### %s %s → %s: %s, to be approved\n\n`%s`, version %s of %s, verified there; released %s by %s.\n\n",
		e.Agent, e.Environment, to, shortRevision(e.Revision), e.Digest, e.Version, e.Environment, e.Released.UTC().Format(time.RFC3339), cell(e.By))
	if distance := news.distance(job); distance != "" {
		fmt.Fprintf(&md, "%s serves %s by its last deployment at GitHub: %s\n\n", to, shortRevision(news.from), distance)
	}
	news.list(&md)
	return md.String()
}
