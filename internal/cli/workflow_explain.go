package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/build"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/scaffold"
	"github.com/slipway-cd/slipway/internal/trust"
	"github.com/slipway-cd/slipway/internal/workflow/explain"
	"github.com/slipway-cd/slipway/internal/workflow/generate"
	"github.com/slipway-cd/slipway/internal/workflow/trigger"
)

// workflowDir is where GitHub looks for workflows.
const workflowDir = ".github/workflows"

// occurrence is an event as the command line tells it.
type occurrence struct {
	event, activity, ref, base, actor string
	changed, inputs                   []string
	compared                          bool // --changed was given
	refGiven                          bool
	github                            string
	workflows                         []string
}

type workflowExplainDocument struct {
	Schema     string             `json:"schema"` // slipway.workflow-explain/v1
	Event      eventDocument      `json:"event"`
	Repository string             `json:"repository,omitempty"` // as subjects name it
	Workflows  []explain.Workflow `json:"workflows"`
}

type eventDocument struct {
	Name    string            `json:"name"`
	Type    string            `json:"type,omitempty"`
	Ref     string            `json:"ref,omitempty"`
	Base    string            `json:"base,omitempty"`
	Actor   string            `json:"actor,omitempty"`
	Changed []string          `json:"changed"` // null where that was not said
	Inputs  map[string]string `json:"inputs,omitempty"`
}

func (a *app) workflowExplainCommand() *cobra.Command {
	var o occurrence
	cmd := &cobra.Command{
		Use:   "explain [--event NAME] [--ref REF] [--changed FILE...]",
		Short: "Which jobs an event would run, where, as whom and behind which gate",
		Long: "Says of each workflow of the repository whether an event would start it, and which pattern decided;\n" +
			"of each job whether it runs, in which environment, with which token subject, as which role and behind\n" +
			"which gate, as slipway.yaml has them. Nothing is asked over the network. What the event leaves open,\n" +
			"such as a job's output or a variable, is never guessed: it \"depends on\" that. Each job that runs is\n" +
			"taken to succeed. Jobs of pull requests from forks get no token, whatever is said here.",
		Example: `  slipway workflow explain --changed apps/support/main.py
  git diff --name-only origin/main | slipway workflow explain --changed -
  slipway workflow explain --event pull_request --base main --changed README.md
  slipway workflow explain --event workflow_dispatch --input environment=stg -o json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.compared, o.refGiven = cmd.Flags().Changed("changed"), cmd.Flags().Changed("ref")
			if len(args) > 0 && !o.compared {
				return usage(cmd, fmt.Errorf("%s: changed files come after --changed", args[0]))
			}
			o.changed = append(o.changed, args...)
			return a.workflowExplain(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.event, "event", "push", "the event, by GitHub's name")
	flags.StringVar(&o.activity, "type", "", "its activity, as in opened")
	flags.StringVar(&o.ref, "ref", "refs/heads/main", "the ref that is pushed, or that the event runs on")
	flags.StringVar(&o.base, "base", "", "the branch that a pull request goes to")
	flags.StringArrayVar(&o.changed, "changed", nil, "a changed file, from the repository's root; - reads names from stdin")
	flags.StringArrayVar(&o.inputs, "input", nil, "an input of workflow_dispatch: NAME=VALUE")
	flags.StringVar(&o.actor, "actor", "", "the user that causes it")
	flags.StringVar(&o.github, "github", "", "the repository over slipway.yaml's: OWNER/REPO, or OWNER@ID/REPO@ID where it sends ids")
	flags.StringArrayVar(&o.workflows, "workflow", nil, "this workflow alone, by its file")
	return cmd
}

func (a *app) workflowExplain(ctx context.Context, o occurrence) error {
	x, err := a.explainer(ctx, o)
	if err != nil {
		return err
	}
	workflows, refused := x.Explain()
	if refused != nil {
		var errs []error
		for _, e := range refused {
			errs = append(errs, e)
		}
		return &delivery.Error{Kind: delivery.KindUsage, Op: "starting a workflow by hand", Err: errors.Join(errs...),
			Hints: []string{"--input NAME=VALUE gives an input, --workflow FILE looks at one workflow alone"}}
	}
	if a.json() {
		return a.ui.document(workflowExplainDocument{Schema: "slipway.workflow-explain/v1", Repository: x.Repository, Workflows: workflows,
			Event: eventDocument{Name: x.Event.Name, Type: x.Event.Type, Ref: x.Event.Ref, Base: x.Event.Base, Actor: x.Actor, Changed: x.Event.Changed, Inputs: x.Inputs}})
	}
	a.ui.result("%s; each job that runs is taken to succeed", a.ui.harmless(eventLine(x.Event)))
	for _, w := range workflows {
		a.ui.result("")
		a.printWorkflow(x, w, "")
	}
	return nil
}

// explainer puts together what the command line, slipway.yaml and the
// repository say.
func (a *app) explainer(ctx context.Context, o occurrence) (explain.Explainer, error) {
	x := explain.Explainer{Actor: o.actor}
	file, root, err := a.slipwayOrNone(ctx)
	if err != nil {
		return x, err
	}
	if x.Event, err = a.eventOf(o); err != nil {
		return x, err
	}
	if x.Inputs, err = inputsOf(o); err != nil {
		return x, err
	}
	if x.Repository, err = a.subjectRepository(ctx, o, file); err != nil {
		return x, err
	}
	if file != nil {
		x.Environments = explained(file)
		x.Agents = func(files []string) []string { return agentsOf(file, files) }
	}
	if x.Files, err = workflowFiles(root); err != nil {
		return x, err
	}
	x.Only, err = namedWorkflows(x.Files, o.workflows)
	return x, err
}

// slipwayOrNone is slipway.yaml, nil where the repository has none, and the
// repository's root.
func (a *app) slipwayOrNone(ctx context.Context) (*config.File, string, error) {
	if _, err := config.Find(a.Dir); err != nil {
		checkout, err := build.FindCheckout(ctx, a.Dir, a.Env)
		return nil, cmp.Or(checkout.Root, a.Dir), errIf(ctx.Err() != nil, err)
	}
	file, err := a.load()
	if err != nil {
		return nil, "", err
	}
	return file, file.Dir, nil
}

// errIf is an error that counts in some case alone.
func errIf(counts bool, err error) error {
	if counts {
		return err
	}
	return nil
}

// eventOf checks what was said of the event, and completes it.
func (a *app) eventOf(o occurrence) (trigger.Event, error) {
	e := trigger.Event{Name: o.event, Type: o.activity, Ref: o.ref, Base: o.base, Compared: o.compared}
	if !slices.Contains(explain.Events(), e.Name) {
		return e, notOneOf("--event", e.Name, explain.Events())
	}
	if types := explain.Types(e.Name); e.Type != "" && e.Name != "repository_dispatch" && !slices.Contains(types, e.Type) {
		return e, notOneOf("--type", e.Type, types)
	}
	ofPull := e.Name == "pull_request" || strings.HasPrefix(e.Name, "pull_request_review")
	switch {
	case !strings.HasPrefix(e.Ref, "refs/"):
		return e, wrongFlag(fmt.Errorf("--ref is %q, which is no whole name of a ref", e.Ref), "as in --ref refs/heads/main or --ref refs/tags/v1")
	case ofPull && o.refGiven && !strings.HasPrefix(e.Ref, "refs/pull/"):
		return e, wrongFlag(fmt.Errorf("--ref is %s, but a pull request runs on refs/pull/N/merge", e.Ref), "--base NAME is the branch that it goes to")
	case ofPull && !o.refGiven:
		e.Ref = "refs/pull/N/merge"
	}
	e.Base = strings.TrimPrefix(e.Base, "refs/heads/")
	var err error
	e.Changed, err = a.changedFiles(o.changed)
	if o.compared && e.Changed == nil {
		e.Changed = []string{}
	}
	return e, err
}

func wrongFlag(err error, hint string) error {
	return &delivery.Error{Kind: delivery.KindUsage, Err: err, Hints: []string{hint}}
}

func notOneOf(flag, word string, options []string) error {
	failure := &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("%s is %q; it can be %s", flag, word, strings.Join(options, ", "))}
	if len(options) == 0 {
		failure.Err = fmt.Errorf("%s is %q, but such an event has no activities", flag, word)
	}
	failure.Hints = meant("", word, options)
	return failure
}

// changedFiles are the names as git has them: from the root, with slashes.
func (a *app) changedFiles(given []string) ([]string, error) {
	var names []string
	for _, name := range given {
		if name != "-" {
			names = append(names, name)
			continue
		}
		raw, err := a.readInput("-")
		if err != nil {
			return nil, err
		}
		for _, line := range strings.FieldsFunc(string(raw), func(r rune) bool { return r == '\n' || r == '\r' || r == 0 }) {
			if plain, err := strconv.Unquote(line); err == nil { // git quotes what is no plain ASCII
				line = plain
			}
			names = append(names, line)
		}
	}
	for i, name := range names {
		clean := path.Clean(filepath.ToSlash(name))
		if path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") || name == "" {
			return nil, wrongFlag(fmt.Errorf("--changed: %q is no file of the repository", name), "name files from the repository's root, as git diff --name-only does")
		}
		names[i] = clean
	}
	return names, nil
}

func inputsOf(o occurrence) (map[string]string, error) {
	if len(o.inputs) > 0 && o.event != "workflow_dispatch" {
		return nil, wrongFlag(fmt.Errorf("--input is for workflow_dispatch, not %s", o.event), "--event workflow_dispatch")
	}
	inputs := map[string]string{}
	for _, each := range o.inputs {
		name, value, ok := strings.Cut(each, "=")
		if !ok || name == "" {
			return nil, wrongFlag(fmt.Errorf("--input is %q", each), "as in --input environment=stg")
		}
		inputs[name] = value
	}
	return inputs, nil
}

// subjectRepository is the repository as tokens name it: that of --github, of
// slipway.yaml, or of the work tree's remote.
func (a *app) subjectRepository(ctx context.Context, o occurrence, file *config.File) (string, error) {
	if o.github != "" {
		r, err := trust.ParseRepository(o.github)
		if err != nil {
			return "", wrongFlag(fmt.Errorf("--github: %w", err), "as in --github acme/agent, or --github acme@1001/agent@2002 with GitHub's ids")
		}
		return r.String(), nil
	}
	if file != nil && file.GitHub.String() != "" {
		return file.GitHub.Subject(), nil
	}
	checkout, err := build.FindCheckout(ctx, a.Dir, a.Env)
	if err != nil {
		return "", errIf(ctx.Err() != nil, err)
	}
	if remote, ok := scaffold.ParseRemote(checkout.Remote); ok {
		return remote.String(), nil
	}
	return "", nil
}

// explained is what slipway.yaml says of environments. A role whose account is
// in an expression is not known here.
func explained(file *config.File) map[string]explain.Environment {
	environments := map[string]explain.Environment{}
	for _, e := range file.Environments() {
		environment := explain.Environment{Role: e.DeployRole, Reviewers: e.Reviewers, Branch: e.Branch}
		if e.Account != "" && file.GitHub.Name != "" {
			environment.Role = roleOf(file, e, cmp.Or(e.Region, file.Region))
		}
		environments[e.Name] = environment
	}
	return environments
}

// agentsOf are the agents that changed files are about.
func agentsOf(file *config.File, files []string) []string {
	names, _ := generate.Changed(file, files)
	return names
}

// workflowFiles reads the workflows of a repository.
func workflowFiles(root string) (map[string][]byte, error) {
	tree := os.DirFS(root)
	var names []string
	for _, extension := range []string{"*.yml", "*.yaml"} { // GitHub takes both
		found, _ := fs.Glob(tree, workflowDir+"/"+extension) // the pattern is whole
		names = append(names, found...)
	}
	if len(names) == 0 {
		return nil, &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("there is no workflow in %s", filepath.Join(root, filepath.FromSlash(workflowDir))),
			Hints: []string{"-C DIR looks at another repository"}}
	}
	files := map[string][]byte{}
	for _, name := range names {
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return nil, &delivery.Error{Kind: delivery.KindUsage, Op: "reading a workflow", Err: err}
		}
		files[name] = text
	}
	return files, nil
}

// namedWorkflows are the workflows that the command line names, nil where it
// names none.
func namedWorkflows(files map[string][]byte, named []string) ([]string, error) {
	var only []string
	for _, name := range named {
		name = path.Clean(filepath.ToSlash(name))
		if files[name] == nil {
			name = path.Join(workflowDir, name)
		}
		if files[name] == nil {
			return nil, &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("--workflow: there is no %s; there is %s", name, strings.Join(slices.Sorted(maps.Keys(files)), ", "))}
		}
		only = append(only, name)
	}
	return only, nil
}

// eventLine is the event in a line.
func eventLine(e trigger.Event) string {
	line := e.Name
	switch {
	case e.Name == "push":
		line += " to " + e.Ref
	case e.Base != "":
		line += " to " + e.Base
	case e.Ref != "":
		line += " on " + e.Ref
	}
	if e.Type != "" {
		line += " (" + e.Type + ")"
	}
	if e.Compared {
		line += ", " + plural(len(e.Changed), "changed file")
	}
	return line
}

// printWorkflow shows a workflow and its jobs.
func (a *app) printWorkflow(x explain.Explainer, w explain.Workflow, indent string) {
	reason := w.Because
	if w.Verdict == trigger.Depends && w.DependsOn != nil {
		reason = "on " + strings.Join(w.DependsOn, ", ") + ": " + w.Because
	}
	a.ui.result("%s%s  %s  %s", indent, a.tint(bold, a.ui.tame(w.File)), a.verdict(w.Verdict, 0), a.ui.tame(reason))
	width := 0
	for _, j := range w.Jobs {
		width = max(width, len(j.ID))
	}
	for _, j := range w.Jobs {
		a.ui.result("%s", strings.TrimRight(fmt.Sprintf("%s  %-*s  %s  %s", indent, width, a.ui.tame(j.ID), a.verdict(j.Verdict, 7), a.ui.tame(jobReason(j))), " "))
		for i, p := range j.Places {
			if i > 0 {
				a.ui.result("")
			}
			a.printPlace(x, j, p, indent+"    ")
		}
		if j.Calls != nil {
			a.printWorkflow(x, *j.Calls, indent+"    ")
		}
	}
}

func (a *app) verdict(v trigger.Verdict, width int) string {
	colors := map[trigger.Verdict]string{trigger.Runs: green, trigger.Depends: yellow, trigger.Skipped: dim, explain.Broken: red}
	return a.tint(colors[v], fmt.Sprintf("%-*s", width, v))
}

// jobReason says why a job does what it does, and how often.
func jobReason(j explain.Job) string {
	var parts []string
	switch {
	case j.Verdict == trigger.Depends:
		parts = append(parts, "on "+strings.Join(j.DependsOn, ", "))
	case j.Because != "":
		parts = append(parts, j.Because)
	case len(j.Needs) > 0:
		parts = append(parts, "after "+strings.Join(j.Needs, ", "))
	}
	if m := j.Matrix; m != nil {
		switch {
		case len(m.From) > 0 && len(m.Agents) > 0:
			parts = append(parts, "matrix from job "+strings.Join(m.From, ", ")+"; these files are of "+strings.Join(m.Agents, ", "))
		case len(m.From) > 0:
			parts = append(parts, "matrix from job "+strings.Join(m.From, ", "))
		case m.DependsOn != nil:
			parts = append(parts, "matrix depends on "+strings.Join(m.DependsOn, ", "))
		default:
			parts = append(parts, plural(m.Jobs, "job")+" by matrix")
		}
	}
	return strings.Join(parts, "; ")
}

// printPlace shows where a job runs, as whom, and behind what.
func (a *app) printPlace(x explain.Explainer, j explain.Job, p explain.Place, indent string) {
	say := func(label, text string) {
		if text != "" {
			a.ui.result("%s%-11s  %s", indent, label, a.ui.tame(text))
		}
	}
	named := p.Environment != "" || p.DependsOn != nil
	if named {
		say("environment", cmp.Or(p.Environment, "depends on "+strings.Join(p.DependsOn, ", ")))
	}
	if j.Token {
		subject := p.Subject
		switch {
		case x.Repository == "":
			subject = "not known: --github OWNER/REPO names the repository"
		case subject == "":
			subject = "depends on the environment"
		}
		say("subject", subject)
		say("role", roleText(p))
	} else if named {
		say("subject", "none: the job has no id-token: write")
	}
	if named {
		say("gate", gateOf(x, p))
	}
}

// roleText is the role, or what it depends on and what it should be.
func roleText(p explain.Place) string {
	switch {
	case p.RoleDependsOn == nil && p.Role == "":
		return ""
	case p.RoleDependsOn == nil:
		return p.Role + " (" + p.RoleFrom + ")"
	case p.Role == "":
		return "depends on " + strings.Join(p.RoleDependsOn, ", ")
	}
	return "depends on " + strings.Join(p.RoleDependsOn, ", ") + "; slipway.yaml has " + p.Role
}

// gateOf is what stands before an environment, as slipway.yaml wants it.
func gateOf(x explain.Explainer, p explain.Place) string {
	switch {
	case p.Environment == "":
		return "depends on the environment"
	case x.Environments == nil:
		return "not known: there is no slipway.yaml"
	case !p.Known:
		return "not known: slipway.yaml has no environment " + p.Environment
	}
	gate := "no approval"
	if len(p.Reviewers) > 0 {
		gate = "approval by " + strings.Join(p.Reviewers, " or ")
	}
	gate += "; only from " + cmp.Or(p.Branch, "the default branch")
	if p.Refused {
		gate += ", so GitHub refuses " + x.Event.Ref
	}
	return gate
}
