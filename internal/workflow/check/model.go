package check

import (
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-cd/slipway/internal/workflow/expr"
)

// job is one job of a workflow, or the steps of a composite action.
type job struct {
	doc   *document
	id    string
	key   node
	node  node
	steps []*step
	env   map[string]variable // the workflow's and its own

	token   node // the permission that lets it mint a token, the job's id where that is its caller's; absent if none does
	secrets bool // it is handed some
	callee  *document
}

// step is one step of a job.
type step struct {
	job      *job
	node     node
	uses     node
	action   string // owner/repository/path in lower case; "" for a run
	ref      string
	with     node
	run      node
	commands []*command          // of run
	env      map[string]variable // all that it sees

	output *taint // what its outputs may hold, once that is known
	busy   bool   // that is being found out
}

// variable is an environment variable as a workflow sets it.
type variable struct {
	key, value node
}

// survey finds out what there is, before anything is judged.
func (d *document) survey() {
	d.inputs = map[string][]input{}
	if d.action {
		d.surveyAction()
		return
	}
	on := d.root.at("on")
	for _, name := range on.value.items() {
		d.triggers = append(d.triggers, started{name: name.text(), key: name})
	}
	for _, e := range on.value.entries() {
		d.triggers = append(d.triggers, started{name: e.key.text(), key: e.key, value: e.value})
	}
	for _, t := range d.triggers {
		if t.name != "workflow_dispatch" && t.name != "workflow_call" {
			continue
		}
		for _, e := range t.value.get("inputs").entries() {
			in := input{kind: e.value.get("type").text(), options: e.value.get("options").texts(), event: t.name}
			name := strings.ToLower(e.key.text())
			d.inputs[name] = append(d.inputs[name], in)
		}
	}
	for _, e := range d.root.get("jobs").entries() {
		j := &job{doc: d, id: e.key.text(), key: e.key, node: e.value, env: map[string]variable{}}
		addEnv(j.env, d.root.get("env"))
		addEnv(j.env, j.node.get("env"))
		j.surveySteps(j.node.get("steps"))
		d.jobs = append(d.jobs, j)
	}
}

func (d *document) surveyAction() {
	for _, e := range d.root.get("inputs").entries() {
		d.inputs[strings.ToLower(e.key.text())] = []input{{kind: "string", event: "workflow_call"}}
	}
	runs := d.root.at("runs")
	j := &job{doc: d, key: runs.key, node: runs.value, env: map[string]variable{}}
	j.surveySteps(j.node.get("steps"))
	d.jobs = append(d.jobs, j)
}

func (j *job) surveySteps(steps node) {
	for _, n := range steps.items() {
		s := &step{job: j, node: n, uses: n.get("uses"), with: n.get("with"), run: n.get("run"), env: map[string]variable{}}
		for name, v := range j.env {
			s.env[name] = v
		}
		addEnv(s.env, n.get("env"))
		s.action, s.ref, _ = strings.Cut(s.uses.text(), "@")
		s.action = strings.ToLower(s.action)
		if s.shellScript() {
			s.commands = parseScript(s.run.text())
		}
		j.steps = append(j.steps, s)
	}
	if j.node.Node != nil {
		scalars(j.node.Node, func(n node) {
			for _, e := range expressions(n.text()) {
				j.secrets = j.secrets || e.mentions("secrets")
			}
		})
	}
}

// shellScript says whether a step's script is one for a shell, not for Python
// and the like.
func (s *step) shellScript() bool {
	shell := s.node.get("shell").text()
	for _, n := range []node{s.job.node, s.job.doc.root} {
		if shell == "" {
			shell = n.get("defaults").get("run").get("shell").text()
		}
	}
	program, _, _ := strings.Cut(shell, " ")
	return !slices.Contains([]string{"python", "python3", "node", "perl", "ruby", "deno", "bun", "php"}, path.Base(program))
}

func addEnv(env map[string]variable, n node) {
	for _, e := range n.entries() {
		env[e.key.text()] = variable(e)
	}
}

// mayMint is the permission by which a job may mint a token: its own, the
// workflow's where it states none, or a caller's where that states none either.
// The default has none (GitHub docs: permissions for the GITHUB_TOKEN).
func (j *job) mayMint() node {
	for _, g := range j.granted() {
		if n := minting(g.permissions()); n.ok() && g == j {
			return n
		} else if n.ok() {
			return j.key
		}
	}
	return node{}
}

// minting is the permission to mint a token among permissions.
func minting(permissions entry) node {
	if strings.EqualFold(permissions.value.text(), "write-all") {
		return permissions.value
	}
	if e := permissions.value.at("id-token"); strings.EqualFold(e.value.text(), "write") {
		return e.key
	}
	return node{}
}

// granted lists the jobs whose permissions a job has: itself, or those by which
// it is called where neither it nor its workflow states any.
func (j *job) granted() []*job {
	if j.permissions().key.ok() || len(j.doc.callers) == 0 {
		return []*job{j}
	}
	var all []*job
	seen := map[*document]bool{}
	var follow func(*document)
	follow = func(d *document) {
		if seen[d] {
			return
		}
		seen[d] = true
		for _, c := range d.callers {
			if c.permissions().key.ok() || len(c.doc.callers) == 0 {
				all = append(all, c)
			} else {
				follow(c.doc)
			}
		}
	}
	follow(j.doc)
	if len(all) == 0 { // they call each other, and nobody else calls them
		return []*job{j}
	}
	return all
}

// surveyCalls finds which workflows of the set the jobs are.
func (d *document) surveyCalls() {
	for _, j := range d.jobs {
		if j.callee = j.called(); j.callee != nil && j.callee.calledOnly() {
			j.callee.callers = append(j.callee.callers, j)
		}
	}
}

// calledOnly says whether a workflow runs for callers alone.
func (d *document) calledOnly() bool {
	return !d.action && len(d.triggers) > 0 && !slices.ContainsFunc(d.triggers, func(t started) bool { return t.name != "workflow_call" })
}

// permissions are the job's own, or else the workflow's.
func (j *job) permissions() entry {
	if own := j.node.at("permissions"); own.key.ok() {
		return own
	}
	return j.doc.root.at("permissions")
}

// credentialed says whether a job has anything to lose: a token to mint,
// secrets, or whatever the caller of an action has.
func (j *job) credentialed() bool { return j.doc.action || j.token.ok() || j.secrets }

// deploys says whether a job may mint a token and names an environment, runs
// slipway or takes AWS credentials.
func (j *job) deploys() bool {
	if j.doc.action || !j.token.ok() || j.calls() {
		return false
	}
	if j.environment().ok() {
		return true
	}
	return slices.ContainsFunc(j.steps, func(s *step) bool { return s.takesCredentials() || len(s.slipway()) > 0 })
}

// mayDeploy says whether a job, or one of the workflow that it calls, deploys
// in a run of which so much is known. A token is the called job's only if its
// caller may mint it.
func (j *job) mayDeploy(about expr.Scope, seen map[*job]bool) bool {
	d := j.callee
	if d == nil || seen[j] || !j.token.ok() {
		return j.deploys()
	}
	seen[j] = true
	inside := j.handing(d, about)
	return slices.ContainsFunc(d.jobs, func(o *job) bool {
		return !seen[o] && o.startsIn(inside, map[*job]bool{}) && o.mayDeploy(inside, seen)
	})
}

// deploysOn says whether an event may start a delivery by the job.
func (j *job) deploysOn(event string) bool {
	return j.starts(event) && j.mayDeploy(j.doc.during(event), map[*job]bool{})
}

// calls says whether a job is another workflow.
func (j *job) calls() bool { return j.node.get("uses").ok() }

// environment is the name of the environment as the job states it.
func (j *job) environment() node {
	n := j.node.get("environment")
	if n.is(yaml.MappingNode) {
		return n.get("name")
	}
	if n.text() == "" {
		return node{}
	}
	return n
}

// name is how messages call a job.
func (j *job) name() string {
	if j.doc.action {
		return "the action"
	}
	return "job " + j.id
}

// takesCredentials says whether a step logs in to AWS.
func (s *step) takesCredentials() bool {
	if s.action == "aws-actions/configure-aws-credentials" {
		return true
	}
	return slices.ContainsFunc(s.commands, func(c *command) bool {
		return c.program() == "aws" && c.has("sts") && c.has("assume-role-with-web-identity") ||
			c.program() == "slipway" && c.has("credentials")
	})
}

// slipway lists the commands of a step that run slipway.
func (s *step) slipway() []*command {
	var all []*command
	for _, c := range s.commands {
		if c.program() == "slipway" {
			all = append(all, c)
		}
	}
	return all
}

// environmentFlag is what a command of slipway names with --env or --to.
func (c *command) environmentFlag() (word, bool) {
	for _, name := range []string{"--to", "--env", "-e"} {
		if w, ok := c.flag(name); ok && w.text != "" && !strings.HasPrefix(w.text, "-") {
			return w, true
		}
	}
	return word{}, false
}

// local says whether a reference is to a file of the same repository.
func local(uses string) bool { return strings.HasPrefix(uses, "./") }

// called is the workflow of this very set that a job calls.
func (j *job) called() *document {
	uses := j.node.get("uses").text()
	if !local(uses) {
		return nil
	}
	for _, d := range *j.doc.set {
		if name := path.Clean(strings.ReplaceAll(d.name, `\`, "/")); name == path.Clean(uses) || strings.HasSuffix(name, "/"+path.Clean(uses)) {
			return d
		}
	}
	return nil
}

func (d *document) on(event string) bool {
	return slices.ContainsFunc(d.triggers, func(t started) bool { return t.name == event })
}

func (d *document) job(id string) *job {
	for _, j := range d.jobs {
		if strings.EqualFold(j.id, id) {
			return j
		}
	}
	return nil
}

// needed lists the jobs that have to end before a job begins.
func (j *job) needed() []*job {
	var all []*job
	for _, id := range j.node.get("needs").texts() {
		if n := j.doc.job(id); n != nil && n != j {
			all = append(all, n)
		}
	}
	return all
}
