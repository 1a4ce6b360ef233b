package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/doctor"
)

type doctorDocument struct {
	Schema      string           `json:"schema"` // slipway.doctor/v1
	Agent       string           `json:"agent"`
	Environment string           `json:"environment"`
	Findings    []doctor.Finding `json:"findings"` // the worst first
	Checks      []doctor.Check   `json:"checks"`
	Verdict     string           `json:"verdict"` // accept, warn or reject
}

// doctorsDocument is what --all prints.
type doctorsDocument struct {
	Schema  string           `json:"schema"` // slipway.doctors/v1
	Reports []doctorDocument `json:"reports"`
	Verdict string           `json:"verdict"` // the worst
}

func (a *app) doctorCommand() *cobra.Command {
	var s selection
	var all, offline bool
	cmd := &cobra.Command{
		Use:   "doctor [--env NAME] [--agent NAME] [--all] [--offline]",
		Short: "Everything that would make a deploy fail, found before it does; read-only",
		Long: "Looks for everything that would make a deploy fail, and changes nothing: slipway.yaml, the\n" +
			"machine, the repository, token and trust, permissions, images, the runtime, GitHub.\n" +
			"What can't be read is skipped, and says which permission it lacked: an administrator's\n" +
			"session sees more than a job's. docs/doctor.md lists what can be found.\n\n" +
			"Exit 0 with warnings and notes alone, 3 with an error.",
		Example: `  slipway doctor --env prd
  slipway doctor --all
  slipway doctor --env dev --offline -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context(), s, all, offline) },
	}
	selectionFlags(cmd, &s)
	cmd.Flags().BoolVar(&all, "all", false, "every agent, in every environment or in that of --env")
	cmd.Flags().BoolVar(&offline, "offline", false, "what needs no network alone")
	return cmd
}

func (a *app) doctor(ctx context.Context, s selection, all, offline bool) error {
	documents, err := a.examineAll(ctx, s, all, offline)
	if err != nil {
		return err
	}
	verdict := doctor.Accept
	for _, d := range documents {
		if d.Verdict == doctor.Reject || verdict == doctor.Accept {
			verdict = d.Verdict
		}
	}
	if err := a.printDoctor(documents, all, verdict); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &delivery.Error{Kind: delivery.KindInterrupted, Err: errors.New("interrupted: not everything was looked at")}
	}
	if verdict == doctor.Reject {
		return exitError(delivery.ExitCode(&delivery.Error{Kind: delivery.KindFindings}))
	}
	return nil
}

func (a *app) printDoctor(documents []doctorDocument, all bool, verdict string) error {
	switch {
	case a.json() && all:
		return a.ui.document(doctorsDocument{Schema: "slipway.doctors/v1", Reports: documents, Verdict: verdict})
	case a.json():
		return a.ui.document(documents[0])
	}
	for i, d := range documents {
		if i > 0 {
			a.ui.result("")
		}
		a.printExamination(d)
	}
	return nil
}

// examineAll examines each agent and environment of a selection. Mistakes in
// slipway.yaml are findings; a file that is not there, or a name that is not
// in it, is an error.
func (a *app) examineAll(ctx context.Context, s selection, all, offline bool) ([]doctorDocument, error) {
	file, err := a.load()
	var problems config.Problems
	if errors.As(err, &problems) {
		return []doctorDocument{a.doctorDocument(s, misconfigured(problems))}, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := a.agents(file, all, s.agent)
	if err != nil {
		return nil, err
	}
	var documents []doctorDocument
	for _, agent := range names {
		for _, environment := range a.doctored(file, s, all) {
			d, err := a.examine(ctx, file, selection{agent: agent, environment: environment, partial: offline}, offline)
			if err != nil {
				return nil, err
			}
			documents = append(documents, d)
		}
	}
	return documents, nil
}

// doctored lists the environments that --all is about.
func (a *app) doctored(file *config.File, s selection, all bool) []string {
	if !all || s.environment != "" {
		return []string{s.environment}
	}
	var names []string
	for _, e := range file.Environments() {
		names = append(names, e.Name)
	}
	return names
}

func (a *app) examine(ctx context.Context, file *config.File, s selection, offline bool) (doctorDocument, error) {
	p, err := a.pick(file, s)
	var problems config.Problems
	if errors.As(err, &problems) { // of expressions, which --env resolves
		a.relative(problems)
		return a.doctorDocument(s, misconfigured(problems)), nil
	}
	if err != nil {
		return doctorDocument{}, err
	}
	patient, err := a.patient(ctx, p, offline)
	if err != nil {
		return doctorDocument{}, err
	}
	a.ui.draft("examining %s in %s", p.target.Agent, p.target.Environment)
	return a.doctorDocument(selection{agent: p.target.Agent, environment: p.target.Environment}, patient.Examine(ctx)), nil
}

func (a *app) doctorDocument(s selection, r doctor.Report) doctorDocument {
	return doctorDocument{Schema: "slipway.doctor/v1", Agent: s.agent, Environment: s.environment,
		Findings: r.Findings, Checks: r.Checks, Verdict: r.Verdict()}
}

func misconfigured(problems config.Problems) doctor.Report {
	var list []doctor.Problem
	for _, p := range problems {
		list = append(list, doctor.Problem{File: p.File, Line: p.Line, Message: strings.TrimPrefix(p.Path+": "+p.Message, ": "), Hint: p.Hint})
	}
	return doctor.Misconfigured(list)
}

// defaultLifetime is how long a deploy's session is asked for.
const defaultLifetime = time.Hour

// patient is one agent in one environment, with what can be asked of it.
func (a *app) patient(ctx context.Context, p *project, offline bool) (doctor.Doctor, error) {
	stated, err := a.doctorProject(p)
	if err != nil {
		return doctor.Doctor{}, err
	}
	tree := gitTree(p, a.Env)
	d := doctor.Doctor{Target: p.target, Project: stated, Offline: offline, Getenv: a.Getenv,
		Tree: os.DirFS(p.file.Dir), Git: tree,
		Engine: func() error { return enginePresent(p, a.Env) }, Synth: a.synth(p.file.Dir)}
	if !offline {
		a.connect(ctx, p, &d)
	}
	return d, nil
}

// doctorProject is what slipway.yaml and the environment's variables say.
func (a *app) doctorProject(p *project) (doctor.Project, error) {
	role, err := a.doctorRole(p)
	if err != nil {
		return doctor.Project{}, err
	}
	stated, err := delivery.ReadRuntime(p.target.Settings)
	if err != nil {
		return doctor.Project{}, fmt.Errorf("reading the runtime's settings: %w", err)
	}
	name := filepath.Join(p.file.Dir, config.FileName)
	if relative, err := filepath.Rel(a.Dir, name); err == nil {
		name = relative
	}
	project := doctor.Project{File: name, DeployRole: role, Session: defaultLifetime,
		GitHub: p.file.GitHub.String(), OwnerID: p.file.GitHub.OwnerID, NameID: p.file.GitHub.NameID,
		Branch: p.env.Branch, Reviewers: p.env.Reviewers, Approvals: len(p.env.Reviewers) > 0, Endpoint: p.env.Endpoint,
		Unset:      p.file.Unset(),
		ToolPinned: p.file.Tool.Version != "",
		Path:       p.agent.Build.Path, Engine: p.agent.Build.Engine, Platform: p.agent.Build.Platform,
		NetworkMode: stated.NetworkMode, Subnets: stated.Subnets, SecurityGroups: stated.SecurityGroups,
		Siblings: siblings(p)}
	if p.agent.Build.Engine != config.EngineGo {
		project.Dockerfile = p.agent.Build.Dockerfile
	}
	return project, nil
}

// doctorRole is the role that the environment's jobs assume. A job has to be
// told; elsewhere it is the one that bootstrap makes where nothing names another.
func (a *app) doctorRole(p *project) (string, error) {
	if a.ci() {
		return p.file.DeployRole(p.target.Environment, a.Getenv)
	}
	return deployRole(p.file, deployment(p), a.Getenv)
}

// siblings are the runtime-id parameters of the agent's other environments
// that the same session can read.
func siblings(p *project) map[string]string {
	others := map[string]string{}
	for _, e := range p.file.Environments() {
		here := e.Account == p.target.Account && (e.Region == "" || e.Region == p.target.Region)
		if e.Name != p.target.Environment && here {
			others[e.Name] = delivery.Target{Agent: p.target.Agent, Environment: e.Name}.Parameter("runtime-id")
		}
	}
	return others
}

// mark is how a check ended, in one character; colour says no more.
func (a *app) mark(c doctor.Check) string {
	switch {
	case c.Status == doctor.Skipped:
		return a.tint(dim, "–")
	case c.Worst == doctor.Error:
		return a.tint(red, "✗")
	case c.Worst == doctor.Warning:
		return a.tint(yellow, "!")
	case c.Worst == doctor.Note:
		return a.tint(dim, "·")
	}
	return a.tint(green, "✓")
}

// tint paints what goes to stdout, where that is a terminal as stderr is.
func (a *app) tint(code, text string) string {
	if !isTerminal(a.Out) {
		return text
	}
	return a.ui.paint(code, text)
}

func (a *app) printExamination(d doctorDocument) {
	about := strings.TrimSpace(d.Agent + " in " + d.Environment)
	if d.Agent == "" {
		about = config.FileName
	}
	a.ui.result("%s", a.tint(bold, "doctor "+about))
	width := 0
	for _, c := range d.Checks {
		width = max(width, len(c.ID))
	}
	for _, group := range grouped(d.Checks) {
		a.ui.result("\n%s", a.tint(bold, group[0].Group))
		if reason, alike := skippedAlike(group); alike {
			a.ui.result("  %s %s", a.mark(group[0]), a.tint(dim, "skipped: "+a.ui.tame(reason)))
			continue
		}
		for _, c := range group {
			a.ui.result("  %s %-*s  %s", a.mark(c), width, c.ID, a.checkDetail(c))
		}
	}
	a.printFindings(d.Findings)
	a.ui.result("\n%s", d.sum())
}

// sum is the examination in one line.
func (d doctorDocument) sum() string {
	counts := map[string]int{}
	for _, f := range d.Findings {
		counts[string(f.Severity)]++
	}
	for _, c := range d.Checks {
		counts[string(c.Status)]++
	}
	found := "nothing found"
	if len(d.Findings) > 0 {
		found = plural(counts["error"], "error") + ", " + plural(counts["warning"], "warning") + ", " + plural(counts["note"], "note")
	}
	return fmt.Sprintf("%s: %s in %s, %d of them skipped", d.Verdict, found, plural(len(d.Checks), "check"), counts["skipped"])
}

func (a *app) checkDetail(c doctor.Check) string {
	detail := a.ui.tame(c.Detail)
	if c.Status == doctor.Skipped {
		return a.tint(dim, "skipped: "+detail)
	}
	return detail
}

// grouped splits checks where the group changes.
func grouped(checks []doctor.Check) [][]doctor.Check {
	var groups [][]doctor.Check
	for i, c := range checks {
		if i == 0 || checks[i-1].Group != c.Group {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], c)
	}
	return groups
}

// skippedAlike says whether all of a group were skipped, for one reason.
func skippedAlike(group []doctor.Check) (reason string, alike bool) {
	for _, c := range group {
		if c.Status != doctor.Skipped || c.Detail != group[0].Detail {
			return "", false
		}
	}
	return group[0].Detail, true
}

func (a *app) printFindings(findings []doctor.Finding) {
	colors := map[doctor.Severity]string{doctor.Error: red, doctor.Warning: yellow, doctor.Note: dim}
	for _, f := range findings {
		a.ui.result("\n%s %s", a.tint(colors[f.Severity], string(f.Severity)+":"), a.ui.tame(f.Message))
		a.ui.result("  hint: %s", a.ui.tame(f.Hint))
		where := f.ID
		if f.File != "" {
			where += "  " + f.File
		}
		if f.Line > 0 {
			where += fmt.Sprintf(":%d", f.Line)
		}
		if f.Resource != "" {
			where += "  " + f.Resource
		}
		a.ui.result("  %s", a.tint(dim, a.ui.tame(where)))
	}
}
