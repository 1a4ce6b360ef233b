package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rhysd/actionlint"

	"github.com/slipway-cd/slipway/internal/workflow/expr"
	"github.com/slipway-cd/slipway/internal/workflow/trigger"
)

// scope is where an expression of a workflow stands.
type scope struct {
	expr.Scope
	kinds kinds // of the file's scalars
}

// scalar is one of the file: an expression's value, or what stands there.
func (s scope) scalar(text string, at *actionlint.Pos) expr.Value {
	if actionlint.ContainsExpression(text) {
		return s.Template(text)
	}
	return expr.Known(s.kinds.of(text, at))
}

// run is one run of a workflow, or of one that a job calls.
type run struct {
	Explainer
	workflow *actionlint.Workflow
	file     string
	kinds    kinds // of its scalars
	inputs   expr.Value
	granted  *actionlint.Permissions // by whoever calls; nil where nobody states them
	callers  []string                // the files that call it, from the outermost
	calls    *int                    // how many were looked into, all in all

	done map[string]*Job
}

// mostCalls bounds how many calls are looked into: workflows that call each
// other twice on each of GitHub's ten levels make a thousand.
const mostCalls = 256

// jobs are all jobs in the order of the file.
func (r *run) jobs() []Job {
	r.done = map[string]*Job{}
	list := []Job{}
	for _, job := range inOrder(r.workflow.Jobs, func(j *actionlint.Job) *actionlint.Pos { return j.Pos }) {
		list = append(list, *r.job(job, nil))
	}
	return list
}

// job explains a job, those that it needs first. above are those that need it.
func (r *run) job(j *actionlint.Job, above []string) *Job {
	id := strings.ToLower(j.ID.Value)
	if done, ok := r.done[id]; ok {
		return done
	}
	out := &Job{ID: j.ID.Value, Name: text(j.Name), Needs: texts(j.Needs), If: text(j.If), Places: []Place{}}
	if slices.Contains(above, id) {
		out.Verdict, out.Because = trigger.Skipped, "it needs itself"
		return out
	}
	for _, name := range out.Needs {
		if need := r.workflow.Jobs[strings.ToLower(name)]; need != nil {
			r.job(need, append(above, id))
		}
	}
	r.done[id] = out
	r.decide(out)
	if out.Verdict == trigger.Skipped {
		return out
	}
	out.Token = granted(r.permissions(j))["id-token"] == write
	matrix := r.matrix(j)
	out.Matrix = matrix.shown()
	if j.WorkflowCall != nil {
		out.Calls = r.called(j, out, matrix)
		return out
	}
	out.Places = r.places(j, out, matrix)
	return out
}

// decide says whether a job runs.
func (r *run) decide(out *Job) {
	s := scope{Scope: expr.Scope{Before: func() expr.Value { return r.before(out.Needs, map[string]bool{}) }}}
	s.Lookup = func(path []string) expr.Value { return r.lookup(path, out.Needs) }
	condition := out.If
	if condition == "" {
		condition = "success()"
	}
	v := s.Condition(condition)
	switch {
	case v.Unknown():
		out.Verdict, out.DependsOn = trigger.Depends, v.DependsOn
	case expr.Truthy(v.Of):
		out.Verdict = trigger.Runs
	default:
		out.Verdict, out.Because = trigger.Skipped, r.whySkipped(out)
	}
}

// whySkipped is the job's own condition, or the first job before it that does
// not run.
func (r *run) whySkipped(out *Job) string {
	before := r.before(out.Needs, map[string]bool{})
	if !expr.Asks(out.If) && !before.Unknown() && !expr.Truthy(before.Of) {
		for _, name := range out.Needs {
			if need := r.done[strings.ToLower(name)]; need == nil || need.Verdict == trigger.Skipped {
				return "the job " + name + " does not run"
			}
		}
		return "a job before it does not run"
	}
	return "if: " + strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(out.If), "${{"), "}}")) + " is false"
}

// before is success(): whether all jobs before one run, those that they need
// included. Each that runs is taken to succeed. seen are those that were looked
// at already.
func (r *run) before(needs []string, seen map[string]bool) expr.Value {
	var open []expr.Value
	for _, name := range needs {
		id := strings.ToLower(name)
		job := r.done[id]
		if job == nil || job.Verdict == trigger.Skipped || job.Verdict == "" { // "": they need each other
			return expr.Known(false)
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		if job.Verdict == trigger.Depends {
			open = append(open, expr.Unknown("the job "+job.ID))
			continue // its own conditions are its own
		}
		above := r.before(job.Needs, seen)
		if !above.Unknown() && !expr.Truthy(above.Of) {
			return above
		}
		open = append(open, above)
	}
	if on := expr.Join(open...); on != nil {
		return expr.Unknown(on...)
	}
	return expr.Known(true)
}

// lookup is what a name means to a job (GitHub docs: Contexts reference).
func (r *run) lookup(path, needs []string) expr.Value {
	switch path[0] {
	case "github":
		return r.github(path)
	case "inputs":
		return r.input(path)
	case "needs":
		if len(path) == 3 && path[2] == "result" {
			return r.result(path)
		}
		if len(path) > 1 && !slices.ContainsFunc(needs, func(n string) bool { return strings.EqualFold(n, path[1]) }) {
			return expr.Known(nil)
		}
	}
	return expr.Unread(path)
}

func (r *run) input(path []string) expr.Value {
	if r.inputs.Unknown() {
		return expr.Unread(path)
	}
	of := r.inputs.Of
	for _, name := range path[1:] {
		of = expr.Property(of, name)
	}
	if open, ok := of.(expr.Value); ok { // of a called workflow
		return open
	}
	return expr.Known(of)
}

func (r *run) result(path []string) expr.Value {
	job := r.done[path[1]]
	switch {
	case job == nil:
		return expr.Known(nil)
	case job.Verdict == trigger.Runs:
		return expr.Known("success")
	case job.Verdict == trigger.Skipped:
		return expr.Known("skipped")
	}
	return expr.Unread(path)
}

// github is the context of that name, as far as the event tells.
func (r *run) github(path []string) expr.Value {
	e := r.Event
	if len(path) > 3 && path[1] == "event" && path[2] == "inputs" {
		return r.eventInput(path[3])
	}
	if len(path) == 3 && path[1] == "event" && path[2] == "action" && e.Type != "" {
		return expr.Known(e.Type)
	}
	if len(path) != 2 {
		return expr.Unread(path)
	}
	kind, name := "branch", strings.TrimPrefix(e.Ref, "refs/heads/")
	if tag, ok := strings.CutPrefix(e.Ref, "refs/tags/"); ok {
		kind, name = "tag", tag
	}
	if pull, ok := strings.CutPrefix(e.Ref, "refs/pull/"); ok {
		name = pull
	}
	repository := withoutIDs(r.Repository)
	owner, _, _ := strings.Cut(repository, "/")
	texts := map[string]string{"event_name": e.Name, "ref": e.Ref, "ref_name": name, "ref_type": kind, "actor": r.Actor,
		"triggering_actor": r.Actor, "repository": repository, "repository_owner": owner, "base_ref": e.Base}
	text, ok := texts[path[1]]
	ofPull := strings.HasPrefix(e.Name, "pull_request")
	switch {
	case (path[1] == "head_ref" || path[1] == "base_ref") && !ofPull:
		return expr.Known("")
	case !ok || text == "" || path[1] == "ref_name" && strings.HasPrefix(e.Ref, "refs/pull/"):
		return expr.Unread(path)
	}
	return expr.Known(text)
}

// eventInput is an input as the event has it: a text.
func (r *run) eventInput(name string) expr.Value {
	if r.Event.Name != "workflow_dispatch" {
		return expr.Known(nil)
	}
	if len(r.callers) > 0 {
		return expr.Unread([]string{"github", "event", "inputs", name})
	}
	of := expr.Property(r.inputs.Of, name)
	if of == nil {
		return expr.Known(nil)
	}
	return expr.Known(expr.InText(of))
}

// withoutIDs is OWNER/REPO.
func withoutIDs(repository string) string {
	owner, name, _ := strings.Cut(repository, "/")
	owner, _, _ = strings.Cut(owner, "@")
	name, _, _ = strings.Cut(name, "@")
	if owner == "" {
		return ""
	}
	return owner + "/" + name
}

// called explains the workflow that a job is.
func (r *run) called(j *actionlint.Job, out *Job, m matrix) *Workflow {
	uses := text(j.WorkflowCall.Uses)
	w := &Workflow{File: uses, Verdict: out.Verdict, Jobs: []Job{}, Because: "called by " + out.ID}
	file, local := strings.CutPrefix(uses, "./")
	source, ok := r.Files[file]
	callers := append(slices.Clone(r.callers), r.file)
	problem := ""
	switch {
	case !local:
		w.Because += "; it is another repository's, and not looked into"
		return w
	case !ok:
		problem = "there is no " + file
	case slices.Contains(callers, file):
		problem = file + " calls itself"
	case *r.calls == mostCalls:
		problem = fmt.Sprintf("there are more than %d calls", mostCalls)
	}
	if problem != "" {
		w.Verdict, w.Because = Broken, problem
		return w
	}
	*r.calls++
	w.File = file
	parsed, problem := parse(file, source)
	if problem != "" {
		w.Verdict, w.Because = Broken, problem
		return w
	}
	w.Name = text(parsed.Name)
	inner := run{Explainer: r.Explainer, workflow: parsed, file: file, kinds: kindsOf(source), granted: r.permissions(j), callers: callers, calls: r.calls}
	if inner.granted == nil {
		if more := beyond(parsed, file, restricted()); more != "" {
			w.Because += "; where the repository's default permissions are read-only, GitHub refuses it: " + more
		}
	}
	inputs, problem := r.passed(j, out, m, inner)
	if problem != "" {
		w.Verdict, w.Because = Broken, problem
		return w
	}
	inner.inputs = expr.Known(inputs)
	w.Jobs = inner.jobs()
	return w
}

// passed are the inputs of a call, with the defaults of the called, each of the
// kind that it declares. A problem is one that GitHub refuses.
func (r *run) passed(j *actionlint.Job, out *Job, m matrix, called run) (inputs map[string]any, problem string) {
	inputs = map[string]any{}
	given := r.given(j, out, m)
	if event, ok := called.workflow.FindWorkflowCallEvent(); ok {
		for _, i := range event.Inputs {
			v, ok := given[i.ID]
			if !ok {
				v = called.byDefault(i)
			}
			delete(given, i.ID)
			if v.Unknown() {
				inputs[i.ID] = v
				continue
			}
			if inputs[i.ID], ok = declared(i.Type, v.Of); !ok {
				return nil, fmt.Sprintf("GitHub refuses the input %s: %s is no %s", i.Name.Value, shown(v.Of), kindNames()[i.Type])
			}
		}
	}
	for id, v := range given { // GitHub knows none of that name
		inputs[id] = v.Of
		if v.Unknown() {
			inputs[id] = v
		}
	}
	return inputs, ""
}

// given are the values of with:.
func (r *run) given(j *actionlint.Job, out *Job, m matrix) map[string]expr.Value {
	s := scope{kinds: r.kinds}
	s.Lookup = func(path []string) expr.Value {
		return m.lookup(path, 0, func() expr.Value { return r.lookup(path, out.Needs) })
	}
	values := map[string]expr.Value{}
	for id, input := range j.WorkflowCall.Inputs {
		if input.Value == nil {
			values[id] = expr.Known("")
			continue
		}
		v := s.scalar(input.Value.Value, input.Value.Pos)
		if len(m.rows) > 1 { // each of its runs has its own
			v = expr.Unknown("the matrix of " + out.ID)
		}
		values[id] = v
	}
	return values
}

// byDefault is an input that the caller does not give. Of one without a
// default it is false, 0 or "" (GitHub docs: Workflow syntax,
// on.workflow_call.inputs.<input_id>.default).
func (r *run) byDefault(i *actionlint.WorkflowCallEventInput) expr.Value {
	if i.Default != nil {
		s := scope{kinds: r.kinds}
		s.Lookup = func(path []string) expr.Value {
			if path[0] == "github" {
				return r.github(path)
			}
			return expr.Unread(path)
		}
		return s.scalar(i.Default.Value, i.Default.Pos)
	}
	switch i.Type {
	case actionlint.WorkflowCallEventInputTypeBoolean:
		return expr.Known(false)
	case actionlint.WorkflowCallEventInputTypeNumber:
		return expr.Known(0.0)
	}
	return expr.Known("")
}
