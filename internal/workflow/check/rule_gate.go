package check

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkGate looks at what stands before a delivery.
func (j *job) checkGate() {
	if !j.deploys() {
		return
	}
	environment := j.environment()
	if !environment.ok() {
		j.doc.report("workflow/no-environment", j.key.place(), "%s deploys and names no environment: no approval, no branch rule, and a subject that any job of the branch sends", j.name())
	} else if c := j.choices(environment.text()); c.open {
		j.doc.report("workflow/dynamic-environment", environment.place(), "the environment's name comes from text that no list bounds: GitHub makes one that does not exist, unprotected")
	}
	j.checkRoles(environment)
	j.checkMismatch(environment)
	if j.selfHosted() {
		j.doc.report("workflow/self-hosted-runner", j.node.at("runs-on").value.place(), "%s deploys from a machine that keeps what earlier jobs left there", j.name())
	}
}

// selfHosted says whether a job may run on a machine of one's own.
func (j *job) selfHosted() bool {
	runs := j.node.get("runs-on")
	if runs.is(yaml.MappingNode) {
		runs = runs.get("labels")
	}
	for _, label := range runs.texts() {
		if strings.Contains(strings.ToLower(label), "self-hosted") {
			return true
		}
		if len(expressions(label)) > 0 && slices.ContainsFunc(j.choices(label).values, func(v string) bool { return strings.EqualFold(v, "self-hosted") }) {
			return true
		}
	}
	return false
}

// checkRoles finds one role where there are several environments.
func (j *job) checkRoles(environment node) {
	several := environment.ok() && j.choices(environment.text()).several()
	var named []string
	for _, s := range j.steps {
		for _, c := range s.slipway() {
			if w, ok := c.environmentFlag(); ok && c.delivers() && len(w.variables) == 0 && len(expressions(w.raw)) == 0 && !slices.Contains(named, w.text) {
				named = append(named, w.text)
			}
		}
	}
	roles := j.roles()
	if len(named) > 1 && len(roles) < 2 {
		j.doc.report("workflow/one-role-for-all", j.key.place(), "%s delivers to %s with one role", j.name(), strings.Join(named, ", "))
		return
	}
	if several && len(roles) == 1 && !j.perEnvironment(roles[0]) {
		j.doc.report("workflow/one-role-for-all", roles[0].place(), "%s is for several environments, and all have this one setting of a role: who may deploy to one may deploy to each", j.name())
	}
}

// roles are the settings of the job that name a role.
func (j *job) roles() []node {
	var all []node
	add := func(n node) {
		if n.text() != "" && !slices.ContainsFunc(all, func(o node) bool { return o.text() == n.text() }) {
			all = append(all, n)
		}
	}
	for _, s := range j.steps {
		if s.action == "aws-actions/configure-aws-credentials" {
			add(s.with.fold("role-to-assume"))
		}
		for _, name := range []string{"AWS_DEPLOY_ROLE_ARN", "AWS_ROLE_ARN"} {
			add(s.env[name].value)
		}
	}
	return all
}

// perEnvironment says whether a setting shows that it differs from environment
// to environment: a variable does, which slipway bootstrap sets in each. A text
// can't differ; a secret might, but nobody sees whether it is not the
// repository's own, the same for all.
func (j *job) perEnvironment(setting node) bool {
	for _, e := range expressions(setting.text()) {
		found := false
		e.paths(func(p dotted) {
			switch p.nth(0) {
			case "vars", "inputs", "matrix", "needs", "steps":
				found = true
			case "secrets":
				found = found || len(p) > 1 && p[1] == "*" // named by the environment
			case "env":
				v := j.env[strings.ToUpper(p.nth(1))]
				found = found || v.value.ok() && v.value != setting && j.perEnvironment(v.value)
			case "github":
				found = found || p.begins("github", "event", "inputs")
			}
		})
		if found {
			return true
		}
	}
	return false
}

// checkMismatch finds a delivery to another environment than the job's.
func (j *job) checkMismatch(environment node) {
	name := environment.text()
	if name == "" || len(expressions(name)) > 0 {
		return
	}
	for _, s := range j.steps {
		for _, c := range s.slipway() {
			w, ok := c.environmentFlag()
			if !ok || !c.delivers() || c.has("--prove") { // a proof is of the environment before
				continue
			}
			to := w.text
			if len(w.variables) == 1 && strings.Trim(w.raw, `"${}`) == w.variables[0] {
				to = s.env[w.variables[0]].value.text()
			} else if len(w.variables) > 0 {
				continue
			}
			if to != "" && to != name && len(expressions(to)) == 0 {
				j.doc.report("workflow/environment-mismatch", s.at(w), "the job's environment is %s and its token says so: the role of %s will never admit it", name, to)
			}
		}
	}
}

// checkConcurrency looks at what keeps two deliveries apart: the groups of the
// job and its workflow or, where they have none, of all that call it.
func (j *job) checkConcurrency() {
	if !j.deploys() {
		return
	}
	all := j.queues(j.environment().text(), map[*job]bool{}, 0)
	if len(all) == 0 {
		j.doc.report("workflow/no-concurrency", j.key.place(), "%s has no concurrency group: two runs deploy at once, and the older may end last", j.name())
	}
	for _, q := range all {
		q.check()
	}
}

// queue is what a delivery waits in.
type queue struct {
	job         *job
	groups      []entry
	environment string // that it delivers to, as the job would write it
}

// queues lists those of a job, or of all jobs that call it: none where one of
// these has no group.
func (j *job) queues(environment string, within map[*job]bool, depth int) []queue {
	groups := []entry{j.node.at("concurrency"), j.doc.root.at("concurrency")}
	groups = slices.DeleteFunc(groups, func(e entry) bool { return !e.key.ok() })
	if len(groups) > 0 {
		return []queue{{j, groups, environment}}
	}
	if within[j] || depth > deepestOrigin {
		return nil
	}
	within[j] = true
	defer delete(within, j)
	var all []queue
	for _, c := range j.doc.callers {
		if !c.doc.on("workflow_call") && !slices.ContainsFunc(c.doc.triggers, func(t started) bool { return c.deploysOn(t.name) }) {
			continue // it calls for something else
		}
		more := c.queues(c.handed(environment), within, depth+1)
		if len(more) == 0 {
			return nil
		}
		all = append(all, more...)
	}
	return all
}

// handed is the text of a called workflow as the job that calls it would write
// it: an input is what the job gives.
func (j *job) handed(text string) string {
	found := expressions(text)
	if len(found) != 1 || found[0].tree == nil {
		return text
	}
	p := pathOf(found[0].tree)
	if given := j.node.get("with").fold(p.nth(1)).text(); len(p) == 2 && p[0] == "inputs" && given != "" {
		return strings.Replace(text, found[0].raw, given, 1)
	}
	return text
}

func (q queue) check() {
	j := q.job
	for _, e := range q.groups {
		if cancel := e.value.get("cancel-in-progress"); j.mayCancel(cancel, e.value.get("group")) {
			j.doc.report("workflow/cancel-in-progress", cancel.place(), "a running delivery of %s is cancelled by the next, wherever it stands", j.name())
		}
	}
	group := q.groups[0].value
	if group.is(yaml.MappingNode) {
		group = group.get("group")
	}
	if !group.ok() {
		return
	}
	if why := loose(group.text(), q.environment); why != "" {
		j.doc.report("workflow/concurrency-by-ref", group.place(), "%s: %s", j.name(), why)
		return
	}
	j.checkQueue(q.groups[0], group)
}

// mayCancel says whether cancel-in-progress may be true in a run that the job
// is part of. The run that cancels is the later one: what the job's condition
// says of its own ref holds for that too where the group is one of the ref.
func (j *job) mayCancel(n, group node) bool {
	if !n.ok() || !truthy(n) {
		return false
	}
	found := expressions(n.text())
	if len(found) != 1 || found[0].tree == nil {
		return true
	}
	refs := j.refs()
	maps.DeleteFunc(refs, func(name, _ string) bool {
		return !slices.ContainsFunc(expressions(group.text()), func(e expression) bool { return e.tree != nil && pathOf(e.tree).String() == name })
	})
	for _, t := range j.doc.triggers {
		if j.deploysOn(t.name) && !is(found[0].tree, knowing(j.doc.during(t.name), refs), false) {
			return true
		}
	}
	return len(j.doc.triggers) == 0
}

// refs is what a job's condition says of the ref that it runs for.
func (j *job) refs() map[string]string {
	text := j.node.get("if").text()
	guard := condition(text)
	if guard.tree == nil || guard.raw != text { // a text, which is always true
		return map[string]string{}
	}
	return pinned(guard.tree)
}

// loose says why a group does not keep apart what deploys to one environment.
func loose(group, environment string) string {
	for _, e := range expressions(group) {
		why := ""
		e.paths(func(p dotted) {
			if p.nth(0) != "github" {
				return
			}
			if p.begins("github", "event", "inputs") || strings.Contains(environment, e.source) {
				return
			}
			switch p.nth(1) {
			case "ref", "head_ref", "ref_name", "sha", "run_id", "run_number", "run_attempt", "actor", "triggering_actor", "event", "base_ref", "event_name", "workflow_ref", "workflow_sha":
				why = "the group differs by " + p.String() + ", so two of them deploy to one environment at once"
			}
		})
		if why != "" {
			return why
		}
	}
	if environment == "" || sameChoice(group, environment) {
		return ""
	}
	return "the group does not name the environment " + environment + ", so what else deploys there does not wait for it"
}

// sameChoice says whether a group holds the environment's name.
func sameChoice(group, environment string) bool {
	if len(expressions(environment)) == 0 {
		return strings.Contains(strings.ToLower(group), strings.ToLower(environment))
	}
	for _, e := range expressions(environment) {
		named := false
		for _, p := range e.yields() {
			named = named || slices.ContainsFunc(expressions(group), func(g expression) bool {
				return slices.ContainsFunc(g.yields(), func(q dotted) bool { return lastOf(q) == lastOf(p) && q.nth(0) != "secrets" })
			})
		}
		if !named && len(e.yields()) > 0 {
			return false
		}
	}
	return true
}

// lastOf is what a context is about: inputs.environment and
// github.event.inputs.environment are the same.
func lastOf(p dotted) string { return p[len(p)-1] }

// checkQueue finds runs that push each other out of a queue of one, where the
// workflow itself shows several.
func (j *job) checkQueue(e entry, group node) {
	if e.value.get("queue").text() == "max" {
		return
	}
	legs := 0
	for _, row := range j.node.get("strategy").get("matrix").entries() {
		if row.key.text() == "include" || row.key.text() == "exclude" {
			continue
		}
		named := slices.ContainsFunc(expressions(group.text()), func(x expression) bool { return x.mentions("matrix", strings.ToLower(row.key.text())) })
		if !named && len(row.value.items()) > legs {
			legs = len(row.value.items())
		}
	}
	if legs > 2 {
		j.doc.report("workflow/queue-max", e.key.place(), "%d jobs of the matrix share the group, which keeps one waiting and cancels the others", legs)
		return
	}
	if j.doc.options.Project != nil {
		j.doc.report("workflow/queue-max", e.key.place(), "the group keeps one run waiting: a third one cancels the second")
	}
}
