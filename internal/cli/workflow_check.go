package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/trust"
	"github.com/slipway-cd/slipway/internal/workflow/check"
	"github.com/slipway-cd/slipway/internal/workflow/pins"
)

type workflowCheckDocument struct {
	Schema   string          `json:"schema"` // slipway.workflow-check/v1
	Findings []check.Finding `json:"findings"`
	Verdict  check.Verdict   `json:"verdict"`
}

// moreOutput is the annotation of a command that takes another value of --output.
const moreOutput = "output"

func (a *app) workflowCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE...]",
		Short: "Judge workflows: syntax, who may deploy, whose text runs, what waits for what",
		Long: "Judges GitHub workflows and composite actions, Slipway's own or anybody's, offline: actionlint's\n" +
			"checks, and rules for delivery. Without FILE those of the repository, held to slipway.yaml where there\n" +
			"is one; with FILE nothing but the file counts, - is stdin. Exit 0: nothing, or warnings; 3: errors.\n" +
			"--output sarif is for GitHub's code scanning. docs/workflow-rules.md lists the rules.",
		Example: `  slipway workflow check
  slipway workflow check .github/workflows/deploy.yml
  slipway workflow check -o sarif > workflows.sarif`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		Annotations:       map[string]string{moreOutput: "sarif"},
		RunE:              func(_ *cobra.Command, args []string) error { return a.workflowCheck(args) },
	}
}

func (a *app) workflowCheck(names []string) error {
	options := check.Options{Pins: pins.Version}
	if len(names) == 0 {
		var err error
		if names, err = a.workflowFiles(); err != nil {
			return err
		}
		if options.Project, err = a.checkedProject(); err != nil {
			return err
		}
	}
	var files []check.File
	for _, name := range names {
		data, err := a.readInput(name)
		if err != nil {
			return workflowReadable(name, err)
		}
		files = append(files, check.File{Name: name, Data: data})
	}
	report, err := check.Check(files, options)
	if err != nil {
		return workflowReadable("", err)
	}
	return a.tellWorkflowCheck(names, report)
}

// workflowReadable is the error of a file that can't be judged.
func workflowReadable(name string, err error) error {
	var known *delivery.Error
	if name != "" && !errors.As(err, &known) {
		err = fmt.Errorf("reading %s: %w", name, err)
	}
	return &delivery.Error{Kind: delivery.KindUsage, Err: err, Hints: []string{"the file has to hold a GitHub workflow, or the action.yml of a composite action"}}
}

// workflowFiles are the repository's workflows and composite actions, as
// paths from the working directory.
func (a *app) workflowFiles() ([]string, error) {
	root := repositoryRoot(a.Dir)
	var names []string
	for _, pattern := range []string{"workflows/*.yml", "workflows/*.yaml", "actions/*/action.yml", "actions/*/action.yaml"} {
		found, err := filepath.Glob(filepath.Join(escapeGlob(root), ".github", filepath.FromSlash(pattern)))
		if err != nil {
			return nil, fmt.Errorf("looking for workflows in %s: %w", root, err)
		}
		names = append(names, found...)
	}
	if len(names) == 0 {
		return nil, &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("there is no workflow in %s", filepath.Join(root, ".github", "workflows")),
			Hints: []string{"name the files: slipway workflow check FILE"}}
	}
	for i, name := range names {
		if relative, err := filepath.Rel(a.Dir, name); err == nil {
			names[i] = filepath.ToSlash(relative)
		}
	}
	return names, nil
}

// escapeGlob takes a directory's name literally.
func escapeGlob(dir string) string {
	return strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace(dir)
}

// repositoryRoot is the nearest directory above that has workflows or is a
// repository's root, else dir itself.
func repositoryRoot(dir string) string {
	for at := dir; ; at = filepath.Dir(at) {
		for _, mark := range []string{".git", filepath.Join(".github", "workflows")} {
			if _, err := os.Stat(filepath.Join(at, mark)); err == nil {
				return at
			}
		}
		if at == filepath.Dir(at) {
			return dir
		}
	}
}

// checkedProject is what slipway.yaml says, nil where there is none.
func (a *app) checkedProject() (*check.Project, error) {
	if _, err := config.Find(a.Dir); err != nil {
		return nil, nil //nolint:nilerr // a repository without slipway.yaml has workflows too
	}
	file, err := a.load()
	if err != nil {
		return nil, err
	}
	p := &check.Project{}
	for _, agent := range file.Agents() {
		p.Agents = append(p.Agents, check.Agent{Name: agent.Name, Path: agent.Build.Path})
	}
	for _, e := range file.Environments() {
		p.Environments = append(p.Environments, check.Environment{Name: e.Name, After: e.After, Approvals: len(e.Reviewers) > 0,
			Branch: e.Branch, Admits: trusts(file, e)})
	}
	return p, nil
}

// trusts asks the trust that bootstrap writes for an environment about a job:
// nil where slipway.yaml does not name the repository.
func trusts(file *config.File, e config.Environment) func(environment, ref string) bool {
	if file.GitHub.String() == "" {
		return nil
	}
	prefix := "repo:" + file.GitHub.Subject()
	caller := trust.Caller{Account: e.Account, Region: cmp.Or(e.Region, file.Region), Environment: e.Name,
		Subjects: []string{environmentSubject(prefix, e.Name)}, RepositoryID: file.GitHub.NameID}
	if e.Branch != "" {
		caller.Ref = "refs/heads/" + e.Branch
	}
	policy := caller.Trust()
	provider := policy.Statements[0].Principals[0].Value
	return func(environment, ref string) bool {
		claims := map[string]string{"aud": awsauth.DefaultAudience, "sub": prefix + ":ref:" + ref, "ref": ref, "repository_id": file.GitHub.NameID}
		if environment != "" {
			claims["sub"] = environmentSubject(prefix, environment)
		}
		return policy.Evaluate(trust.WebIdentity(provider, trust.GitHubIssuer, claims)).Allowed
	}
}

// environmentSubject is the subject of a job that names an environment (GitHub
// docs: OpenID Connect reference).
func environmentSubject(prefix, environment string) string {
	return prefix + ":environment:" + strings.ReplaceAll(environment, ":", "%3A")
}

// tellWorkflowCheck prints what was found, and sets the exit status.
func (a *app) tellWorkflowCheck(names []string, report check.Report) error {
	verdict := report.Verdict()
	var err error
	switch a.output {
	case "json":
		err = a.ui.document(workflowCheckDocument{"slipway.workflow-check/v1", report.Findings, verdict})
	case "sarif":
		err = a.ui.document(report.SARIF(version().Version))
	default:
		a.ui.workflows(names, report)
	}
	if err != nil {
		return err
	}
	if a.ui.actions {
		a.ui.annotateWorkflows(report.Findings)
	}
	if verdict != check.Reject {
		return nil
	}
	return exitError(delivery.ExitCode(&delivery.Error{Kind: delivery.KindFindings}))
}

// workflows shows a verdict to people: each fault, where it is and its mend.
func (u *ui) workflows(names []string, report check.Report) {
	colors := map[check.Verdict]string{check.Accept: green, check.Warn: yellow, check.Reject: red}
	verdict := report.Verdict()
	about := names[0]
	if len(names) > 1 {
		about = plural(len(names), "file")
	}
	u.result("%s  %s%s", u.paint(colors[verdict], string(verdict)), u.tame(about), tally(report.Findings, func(f check.Finding) string { return string(f.Severity) }))
	for _, f := range report.Findings {
		color := red
		if f.Severity == check.SeverityWarning {
			color = yellow
		}
		u.result("")
		u.result("%s  %s  %s:%d:%d", u.paint(color, string(f.Severity)), f.Rule, u.tame(f.File), f.Line, f.Column)
		u.result("    %s", u.tame(f.Message))
		if f.Fix != "" {
			u.result("    fix: %s", f.Fix)
		}
	}
}

// annotateWorkflows shows findings at their lines.
func (u *ui) annotateWorkflows(findings []check.Finding) {
	var notes []github.Annotation
	for _, f := range findings {
		note := github.Annotation{Level: string(f.Severity), Title: f.Rule, Line: f.Line, Column: f.Column, Message: f.Message}
		if f.Fix != "" {
			note.Message += "\nfix: " + f.Fix
		}
		if f.File != "-" {
			note.File = f.File
		}
		notes = append(notes, note)
	}
	u.annotations(notes)
}
