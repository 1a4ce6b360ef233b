package check

import (
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// taint is what a text may hold.
type taint uint8

const (
	foreign taint = 1 << iota // words of a stranger, or of whoever starts the run
	secret                    // a credential
	token                     // the job's own token, or what it is asked for with
)

// plainSecret matches the names of secrets that hold no secret: they name things, and masking them
// only hides them in logs (configure-aws-credentials' README).
var plainSecret = pattern.New(`(?i)(role(_?arn|_?to_?assume|_?name)?|_arn|subnet(_?ids?|s)?|security_?groups?(_?ids?)?|vpc_?id|account(_?id)?|region|ecr_(uri|repo\w*|registry)|runtime_?id|bucket(_?name)?|cluster(_?name)?|environment|env_?name)$`)

// keyName matches the names of AWS keys that last.
var keyName = pattern.New(`(?i)aws.*(access[_-]?key|secret[_-]?key|secret[_-]?access)`)

// of judges what a text of a workflow may hold: what its expressions come out
// as.
func (j *job) of(s *step, text string) taint {
	var t taint
	for _, e := range expressions(text) {
		t |= j.ofExpression(s, e)
	}
	return t
}

func (j *job) ofExpression(s *step, e expression) taint {
	var t taint
	for _, p := range e.yields() {
		t |= j.ofPath(s, p, 0)
	}
	return t
}

// deepestOrigin is how far an origin is followed: env of an output of a step.
const deepestOrigin = 8

// ofPath judges a context. s is the step that reads it, nil for the job.
func (j *job) ofPath(s *step, p dotted, depth int) taint {
	if depth > deepestOrigin {
		return 0
	}
	switch p.nth(0) {
	case "github":
		return j.ofGitHub(p)
	case "inputs":
		return j.doc.ofInput(p.nth(1))
	case "secrets":
		if name := p.nth(1); name != "" && !plainSecret.MatchString(name) {
			return secret
		}
	case "env":
		return j.ofVariable(s, p.nth(1), depth+1)
	case "steps":
		return j.ofStep(p, depth+1)
	case "needs":
		return j.ofNeed(p, depth+1)
	case "matrix":
		return j.ofMatrix(p.nth(1), depth+1)
	}
	return 0
}

func (j *job) ofGitHub(p dotted) taint {
	switch p.nth(1) {
	case "event":
		if p.nth(2) == "inputs" {
			return j.doc.ofInput(p.nth(3))
		}
		return foreign
	case "head_ref", "ref_name", "ref", "workflow_ref", "*":
		return foreign
	case "":
		return foreign | secret // the whole context: the event, and the job's GitHub token
	case "token":
		return secret
	}
	return 0
}

// ofInput judges what whoever starts a run writes: free text is foreign, a
// choice is not. It is free where it is for any of the events.
func (d *document) ofInput(name string) taint {
	free := func(in input) bool { return !slices.Contains([]string{"choice", "boolean", "number"}, in.kind) }
	if stated := d.inputs[name]; len(stated) > 0 && !slices.ContainsFunc(stated, free) {
		return 0
	}
	return foreign
}

func (j *job) ofVariable(s *step, name string, depth int) taint {
	env := j.env
	if s != nil {
		env = s.env
	}
	for n, v := range env {
		if strings.EqualFold(n, name) {
			var t taint
			for _, e := range expressions(v.value.text()) {
				for _, p := range e.yields() {
					if p.begins("env", name) {
						continue
					}
					t |= j.ofPath(s, p, depth)
				}
			}
			return t
		}
	}
	return 0
}

// ofStep judges an output of a step: what its script writes there, or what an
// action is known to put there.
func (j *job) ofStep(p dotted, depth int) taint {
	name := p.nth(3)
	if p.nth(2) != "outputs" {
		return 0
	}
	for _, s := range j.steps {
		if !strings.EqualFold(s.node.get("id").text(), p.nth(1)) {
			continue
		}
		switch {
		case s.action == "aws-actions/configure-aws-credentials" && strings.HasPrefix(name, "aws-") && name != "aws-account-id":
			return secret
		case strings.HasSuffix(s.action, "/changed-files") || s.action == "dorny/paths-filter" && strings.HasSuffix(name, "_files"):
			return foreign // names of files
		case s.action != "":
			return 0
		}
		return s.outputs(depth)
	}
	return 0
}

// outputs is what a script may put into its step's outputs.
func (s *step) outputs(depth int) taint {
	if s.busy || s.output != nil {
		if s.output == nil {
			return 0
		}
		return *s.output
	}
	s.busy = true
	var t taint
	for _, w := range s.writes(depth) {
		if w.file == "GITHUB_OUTPUT" {
			t |= w.taint
		}
	}
	s.output = &t
	return t
}

func (j *job) ofNeed(p dotted, depth int) taint {
	other := j.doc.job(p.nth(1))
	if other == nil || p.nth(2) != "outputs" {
		return 0
	}
	var t taint
	for _, e := range expressions(other.node.get("outputs").fold(p.nth(3)).text()) {
		for _, q := range e.yields() {
			t |= other.ofPath(nil, q, depth)
		}
	}
	return t
}

func (j *job) ofMatrix(name string, depth int) taint {
	var t taint
	for _, value := range j.matrix(name) {
		for _, e := range expressions(value.text()) {
			for _, p := range e.yields() {
				t |= j.ofPath(nil, p, depth)
			}
		}
	}
	return t
}

// matrix lists the values that a matrix gives a name. An expression in place
// of a list, or of the whole matrix, is a value of its own.
func (j *job) matrix(name string) []node {
	m := j.node.get("strategy").get("matrix")
	if m.text() != "" {
		return []node{m}
	}
	var values []node
	collect := func(n node) {
		for _, e := range n.entries() {
			if strings.EqualFold(e.key.text(), name) {
				values = append(values, e.value.items()...)
			}
		}
	}
	collect(m)
	include := m.get("include")
	if include.text() != "" {
		values = append(values, include)
	}
	for _, n := range include.items() {
		collect(n)
	}
	return values
}

// write is what a script puts into a file.
type write struct {
	file    string // GITHUB_ENV and the like, or as written
	taint   taint
	dynamic bool // it is worked out as the script runs
	command *command
	at      word
}

// shellState follows what a script's variables hold.
type shellState struct {
	step  *step
	vars  map[string]taint
	depth int
}

func (s *step) newState(depth int) *shellState {
	st := &shellState{step: s, vars: map[string]taint{
		"GITHUB_HEAD_REF": foreign, "GITHUB_REF_NAME": foreign, "GITHUB_REF": foreign, "GITHUB_EVENT_PATH": foreign,
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN": token, "ACTIONS_RUNTIME_TOKEN": token,
		"AWS_ACCESS_KEY_ID": secret, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": secret,
		"GITHUB_TOKEN": secret, "GH_TOKEN": secret,
	}, depth: depth}
	for name := range s.env {
		if t := s.job.ofVariable(s, strings.ToLower(name), depth+1); t != 0 || st.vars[name] == 0 {
			st.vars[name] = t
		}
	}
	return st
}

func (st *shellState) of(w word) taint {
	var t taint
	for _, name := range w.variables {
		t |= st.vars[name]
	}
	for _, e := range expressions(w.raw) {
		for _, p := range e.yields() {
			t |= st.step.job.ofPath(st.step, p, st.depth+1)
		}
	}
	return t
}

// held is what all words of a command may hold, its substitutions included.
func (st *shellState) held(c *command) taint {
	var t taint
	for _, w := range c.all() {
		t |= st.of(w)
	}
	return t | st.substituted(c)
}

// substituted is what a command's substitutions may print.
func (st *shellState) substituted(c *command) taint {
	var t taint
	for _, inner := range c.inner {
		if inner.then != "|" {
			t |= st.printed(inner)
		}
	}
	return t
}

// filters print what they are given.
func filters() []string {
	return []string{"echo", "printf", "cat", "sed", "awk", "tr", "cut", "jq", "head", "tail", "sort", "grep", "basename", "dirname",
		"xargs", "tee", "envsubst", "base64", "rev", "uniq", "paste", "fold", "xxd", "hexdump", "Write-Output", "Write-Host", "yq"}
}

// printed is what a command may print.
func (st *shellState) printed(c *command) taint {
	var t taint
	switch name := c.program(); {
	case name == "":
		t = st.held(c)
	case slices.Contains(filters(), name):
		t = st.held(c)
		if before := c.before(st.step.commands); before != nil {
			t |= st.printed(before)
		}
	case name == "gh" && !c.has("auth"):
		t = foreign
	case name == "gh":
		t = secret // gh auth token
	case name == "git" && (c.has("log") || c.has("show") || c.has("branch") || c.has("diff") || c.has("describe") || c.has("--abbrev-ref")):
		t = foreign
	case name == "curl" || name == "wget":
		if c.expands("ACTIONS_ID_TOKEN_REQUEST_URL") || c.expands("ACTIONS_ID_TOKEN_REQUEST_TOKEN") {
			t = token
		}
	case name == "aws" && (c.has("export-credentials") || c.has("get-login-password") || c.has("assume-role") ||
		c.has("assume-role-with-web-identity") || c.has("get-session-token") || c.has("get-secret-value")):
		t = secret
	case name == "slipway" && c.has("credentials") && !c.has("exec"):
		t = secret
	}
	return t
}

// before is the command that pipes into this one.
func (c *command) before(all []*command) *command {
	for _, o := range all {
		if o.next == c && o.then == "|" {
			return o
		}
	}
	return nil
}

// assign follows what a command sets.
func (st *shellState) assign(c *command) {
	for name, w := range c.assignments() {
		t := st.of(w)
		for _, inner := range c.inner {
			if inner.then != "|" && inner.end > w.offset {
				t |= st.printed(inner)
			}
		}
		st.vars[name] = t
	}
	if a := c.arguments(); len(a) > 1 && a[0].text == "read" {
		var t taint
		if before := c.before(st.step.commands); before != nil {
			t = st.printed(before)
		}
		for _, r := range c.redirects {
			t |= st.of(r.target)
		}
		for _, w := range a[1:] {
			if !strings.HasPrefix(w.text, "-") {
				st.vars[w.text] = t | st.substituted(c)
			}
		}
	}
}

// walk calls yield with each command of a script and what is known before it.
func (s *step) walk(depth int, yield func(*command, *shellState)) {
	if depth > deepestOrigin {
		return
	}
	st := s.newState(depth)
	for _, c := range s.commands {
		yield(c, st)
		st.assign(c)
	}
}

// runnerFile matches those that the runner reads after a step.
var runnerFile = pattern.New(`^"?\$(?:\{|env:)?(GITHUB_(?:ENV|PATH|OUTPUT|STATE|STEP_SUMMARY))\}?"?$`)

// writes lists what a script puts into files.
func (s *step) writes(depth int) []write {
	var all []write
	s.walk(depth, func(c *command, st *shellState) {
		for _, target := range c.targets() {
			w := write{file: target.text, command: c, at: target}
			if m := runnerFile.FindStringSubmatch(target.raw); m != nil {
				w.file = m[1]
			}
			for _, from := range s.sources(c) {
				w.taint |= st.printed(from)
				name := from.program()
				w.dynamic = w.dynamic || len(from.inner) > 0 || name != "echo" && name != "printf" && name != "Write-Output" && name != "" && !(name == "cat" && static(from.body))
			}
			all = append(all, w)
		}
	})
	return all
}

// static says whether a here-document has no substitution in it.
func static(w word) bool {
	return w.raw != "" && !strings.Contains(w.raw, "$(") && !strings.Contains(w.raw, "`")
}

// targets are the files that a command writes to.
func (c *command) targets() []word {
	var all []word
	for _, r := range c.redirects {
		op := strings.TrimLeft(r.op, "0123456789")
		if strings.Contains(op, ">") && op != ">&" && r.target.text != "/dev/null" && r.target.text != "/dev/stderr" && r.target.text != "/dev/stdout" && !strings.HasPrefix(r.op, "2") {
			all = append(all, r.target)
		}
	}
	a := c.arguments()
	switch c.program() {
	case "tee", "Add-Content", "Out-File", "Set-Content":
		for _, w := range a[1:] {
			if !strings.HasPrefix(w.text, "-") && w.text != "/dev/stderr" && w.text != "/dev/null" {
				all = append(all, w)
			}
		}
	}
	return all
}

// sources are the commands whose output ends in what a command writes: what
// pipes into it, and where it closes a group, all of that group.
func (s *step) sources(c *command) []*command {
	if c.program() == "tee" || c.program() == "Out-File" || c.program() == "Add-Content" {
		if before := c.before(s.commands); before != nil {
			return append(s.sources(before), before)
		}
	}
	if len(c.words) > 0 && c.words[0].text == "}" || len(c.words) > 0 && c.words[0].text == "done" || len(c.words) == 0 {
		var group []*command
		for _, o := range s.commands {
			if o == c {
				break
			}
			if o.within != c.within {
				continue
			}
			if len(o.words) > 0 && (o.words[0].text == "{" || o.words[0].text == "for" || o.words[0].text == "while") {
				group = nil
			}
			group = append(group, o)
		}
		if group != nil {
			return group
		}
	}
	return []*command{c}
}
