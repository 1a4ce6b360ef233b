package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rhysd/actionlint"

	"github.com/slipway-cd/slipway/internal/workflow/expr"
	"github.com/slipway-cd/slipway/internal/workflow/trigger"
)

// Explainer holds an event and what is known of the repository.
type Explainer struct {
	Event  trigger.Event
	Inputs map[string]string // of workflow_dispatch, as given
	Actor  string            // "" where nobody is named
	// Repository is OWNER/REPO, or OWNER@ID/REPO@ID where its tokens send ids;
	// "" where it is not known.
	Repository string
	// Environments are those of slipway.yaml, by name.
	Environments map[string]Environment
	// Agents are those of slipway.yaml that changed files are about. If nil,
	// none are named.
	Agents func(files []string) []string
	// Files are the workflows by path, as in .github/workflows/ci.yml.
	Files map[string][]byte
	// Only are those to explain; if nil, all. Others may be called by them.
	Only []string
}

// Environment is what slipway.yaml says of one.
type Environment struct {
	Role      string // ARN that its jobs assume
	Reviewers []string
	Branch    string // that alone may deploy; "" is the default branch
}

// Broken is the verdict on a workflow that GitHub can't read or refuses.
const Broken trigger.Verdict = "broken"

// Workflow is what the event does to one.
type Workflow struct {
	File      string          `json:"file"`
	Name      string          `json:"name,omitempty"`
	Verdict   trigger.Verdict `json:"verdict"` // runs, skipped, depends or broken
	Because   string          `json:"because"`
	DependsOn []string        `json:"depends_on,omitempty"`
	Jobs      []Job           `json:"jobs"` // of one that is not skipped

	inputs error // what GitHub refuses to start it with
}

// Job is what becomes of a job.
type Job struct {
	ID        string          `json:"id"`
	Name      string          `json:"name,omitempty"`
	Verdict   trigger.Verdict `json:"verdict"`
	Because   string          `json:"because,omitempty"`
	DependsOn []string        `json:"depends_on,omitempty"`
	Needs     []string        `json:"needs,omitempty"`
	If        string          `json:"if,omitempty"`
	Token     bool            `json:"token"` // it may ask for an OIDC token
	Matrix    *Matrix         `json:"matrix,omitempty"`
	// Places are the environments it runs in, or one without a name where it
	// has none and may ask for a token.
	Places []Place `json:"places"`
	// Calls is the workflow that the job is, of the same repository.
	Calls *Workflow `json:"calls,omitempty"`
}

// Matrix is how often a job runs.
type Matrix struct {
	Jobs int `json:"jobs,omitempty"` // 0 where that depends
	// From are the jobs whose outputs make it.
	From      []string `json:"from,omitempty"`
	DependsOn []string `json:"depends_on,omitempty"`
	// Agents are those that the changed files are about, where a job makes the
	// matrix.
	Agents []string `json:"agents,omitempty"`
}

// Place is an environment as a job meets it.
type Place struct {
	Environment string   `json:"environment,omitempty"`
	DependsOn   []string `json:"depends_on,omitempty"` // of the environment's name
	Known       bool     `json:"known"`                // slipway.yaml has the environment
	Subject     string   `json:"subject,omitempty"`
	Role        string   `json:"role,omitempty"`
	// RoleFrom is what names the role: a part of the workflow or slipway.yaml.
	RoleFrom string `json:"role_from,omitempty"`
	// RoleDependsOn is what the workflow takes the role from, where that is not
	// known: Role is then what slipway.yaml expects.
	RoleDependsOn []string `json:"role_depends_on,omitempty"`
	// Reviewers and Branch are the gate as slipway.yaml wants it.
	Reviewers []string `json:"reviewers,omitempty"`
	Branch    string   `json:"branch,omitempty"`
	// Refused says that the branch is another than the event's.
	Refused bool `json:"refused,omitempty"`
}

// InputError is what GitHub refuses to start a workflow with.
type InputError struct {
	File string
	Err  error
}

// Error names the workflow.
func (e *InputError) Error() string { return fmt.Sprintf("%s: %v", e.File, e.Err) }

// Unwrap is what is wrong with the inputs.
func (e *InputError) Unwrap() error { return e.Err }

// Events lists the names of events that can start a workflow.
func Events() []string {
	names := slices.Collect(maps.Keys(actionlint.AllWebhookTypes))
	for _, other := range []string{"schedule", "workflow_dispatch", "repository_dispatch"} {
		if !slices.Contains(names, other) {
			names = append(names, other)
		}
	}
	slices.Sort(names)
	return names
}

// Types lists the activities of an event, nil where it has none.
func Types(event string) []string { return actionlint.AllWebhookTypes[event] }

// Explain goes through the workflows in the order of their names. Its errors
// are *InputError, where no workflow starts with the inputs that were given.
func (x Explainer) Explain() ([]Workflow, []*InputError) {
	all := []Workflow{}
	var refused []*InputError
	started := false
	for _, file := range slices.Sorted(maps.Keys(x.Files)) {
		if x.Only != nil && !slices.Contains(x.Only, file) {
			continue
		}
		w := x.workflow(file)
		if w.inputs != nil {
			refused = append(refused, &InputError{file, w.inputs})
		}
		started = started || w.Verdict == trigger.Runs
		all = append(all, w)
	}
	if started {
		refused = nil
	}
	return all, refused
}

func (x Explainer) workflow(file string) Workflow {
	w := Workflow{File: file, Jobs: []Job{}}
	parsed, problem := parse(file, x.Files[file])
	if parsed != nil && parsed.Name != nil {
		w.Name = parsed.Name.Value
	}
	if problem != "" {
		w.Verdict, w.Because = Broken, problem
		return w
	}
	on, ok := onEvent(parsed, x.Event.Name)
	if !ok {
		w.Verdict, w.Because = trigger.Skipped, "it is not on "+x.Event.Name
		return w
	}
	decision, err := on.Decide(x.Event)
	if err != nil {
		w.Verdict, w.Because = Broken, "on."+on.Event+": "+err.Error()
		return w
	}
	w.Verdict, w.Because, w.DependsOn = decision.Verdict, decision.Because, decision.DependsOn
	inputs := map[string]any{}
	if x.Event.Name == "workflow_dispatch" {
		if inputs, w.inputs = trigger.Values(on.Inputs, x.Inputs); w.inputs != nil {
			w.Verdict, w.Because = trigger.Skipped, strings.ReplaceAll(w.inputs.Error(), "\n", "; ")
			return w
		}
	}
	if w.Verdict == trigger.Skipped {
		return w
	}
	run := run{Explainer: x, workflow: parsed, file: file, kinds: kindsOf(x.Files[file]), inputs: expr.Known(inputs), calls: new(int)}
	if more := run.overreach(new(int)); more != "" {
		w.Verdict, w.Because = Broken, "GitHub refuses it: "+more
		return w
	}
	w.Jobs = run.jobs()
	return w
}

// parse reads a workflow. A problem is what keeps GitHub from running it;
// what actionlint finds beside that is for slipway workflow check.
func parse(file string, text []byte) (w *actionlint.Workflow, problem string) {
	w, errs := actionlint.Parse(text)
	if w == nil || len(w.On) == 0 || len(w.Jobs) == 0 {
		problem = "it has no event or no job"
		if len(errs) > 0 {
			problem = fmt.Sprintf("%s: %s", file, errs[0].Message)
			if errs[0].Line > 0 { // of what is no YAML there may be no place
				problem = fmt.Sprintf("%s:%d:%d: %s", file, errs[0].Line, errs[0].Column, errs[0].Message)
			}
		}
	}
	return w, problem
}

// onEvent is what a workflow says of an event.
func onEvent(w *actionlint.Workflow, name string) (trigger.On, bool) {
	for _, event := range w.On {
		if event.EventName() != name {
			continue
		}
		on := trigger.On{Event: name}
		switch e := event.(type) {
		case *actionlint.WebhookEvent:
			on.Types, on.Workflows = texts(e.Types), texts(e.Workflows)
			on.Branches, on.BranchesIgnore = lines(e.Branches), lines(e.BranchesIgnore)
			on.Tags, on.TagsIgnore = lines(e.Tags), lines(e.TagsIgnore)
			on.Paths, on.PathsIgnore = lines(e.Paths), lines(e.PathsIgnore)
		case *actionlint.ScheduledEvent:
			for _, s := range e.Schedules {
				if s.Cron != nil {
					on.Crons = append(on.Crons, s.Cron.Value)
				}
			}
		case *actionlint.RepositoryDispatchEvent:
			on.Types = texts(e.Types)
		case *actionlint.WorkflowDispatchEvent:
			on.Inputs = dispatchInputs(e)
		}
		return on, true
	}
	return trigger.On{}, false
}

func lines(f *actionlint.WebhookEventFilter) []string {
	if f.IsEmpty() {
		return nil
	}
	return texts(f.Values)
}

func texts(list []*actionlint.String) []string {
	var all []string
	for _, s := range list {
		if s != nil {
			all = append(all, s.Value)
		}
	}
	return all
}

func text(s *actionlint.String) string {
	if s == nil {
		return ""
	}
	return s.Value
}

// dispatchInputs lists the inputs as the file has them.
func dispatchInputs(e *actionlint.WorkflowDispatchEvent) []trigger.Input {
	types := map[actionlint.WorkflowDispatchEventInputType]string{
		actionlint.WorkflowDispatchEventInputTypeNumber:      "number",
		actionlint.WorkflowDispatchEventInputTypeBoolean:     "boolean",
		actionlint.WorkflowDispatchEventInputTypeChoice:      "choice",
		actionlint.WorkflowDispatchEventInputTypeEnvironment: "environment",
	}
	var inputs []trigger.Input
	for _, i := range inOrder(e.Inputs, func(i *actionlint.DispatchInput) *actionlint.Pos { return i.Name.Pos }) {
		inputs = append(inputs, trigger.Input{Name: i.Name.Value, Type: types[i.Type], Default: text(i.Default),
			Required: i.Required != nil && i.Required.Value, Options: texts(i.Options)})
	}
	return inputs
}

// inOrder lists what a mapping holds as the file has it.
func inOrder[T any](m map[string]T, at func(T) *actionlint.Pos) []T {
	return slices.SortedFunc(maps.Values(m), func(a, b T) int {
		switch pa, pb := at(a), at(b); {
		case pa.IsBefore(pb):
			return -1
		case pb.IsBefore(pa):
			return 1
		}
		return 0
	})
}
