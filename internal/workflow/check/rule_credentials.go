package check

import (
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
)

var (
	literalKey  = pattern.New(`\b(?:AKIA|ASIA)[A-Z2-7]{16}\b`)
	secretName  = pattern.New(`(?i)(^|[_-])(secret|token|passw(or)?d|credentials?|api[_-]?key|access[_-]?key([_-]?id)?|private[_-]?key)s?($|[_-])`)
	keyVariable = pattern.New(`(?i)^aws[_-](access[_-]key[_-]id|secret[_-]access[_-]key)$`)
)

// checkCredentials looks at where keys come from and where they go.
func (j *job) checkCredentials() {
	seen := map[node]bool{}
	for _, s := range j.steps {
		for _, v := range s.env {
			if !seen[v.value] {
				seen[v.value] = true
				j.checkKeyVariable(v.key, v.value)
			}
		}
		for _, e := range s.with.entries() {
			j.checkKeyVariable(e.key, e.value)
		}
		j.checkLogin(s)
		j.checkUpload(s)
		j.checkBuildArguments(s)
	}
	for _, v := range j.env {
		if !seen[v.value] {
			j.checkKeyVariable(v.key, v.value)
		}
	}
	for _, e := range j.node.get("with").entries() {
		j.checkKeyVariable(e.key, e.value)
	}
	for _, e := range j.node.get("secrets").entries() {
		j.checkKeyVariable(e.key, e.value)
	}
	for _, e := range j.node.get("outputs").entries() {
		if j.of(nil, e.value.text())&(secret|token) != 0 {
			j.doc.report("workflow/credentials-in-outputs", e.value.place(), "output %s of %s is a credential: outputs are kept with the run", e.key.text(), j.name())
		}
	}
	j.checkPersisted()
}

// checkKeyVariable finds AWS keys that are handed over: what a login of this
// very job has made is no such key.
func (j *job) checkKeyVariable(key, value node) {
	if !keyVariable.MatchString(key.text()) {
		return
	}
	for _, e := range expressions(value.text()) {
		if e.mentions("secrets") || e.mentions("inputs") || e.mentions("vars") || e.mentions("github", "event") {
			j.doc.report("workflow/long-lived-keys", value.place(), "%s is a key that lasts: whoever reads it once keeps it", key.text())
			return
		}
	}
}

func (j *job) checkLogin(s *step) {
	if s.action == "aws-actions/configure-aws-credentials" {
		if on := s.with.fold("output-credentials"); truthy(on) {
			j.doc.report("workflow/credentials-in-outputs", on.place(), "the credentials become outputs of the step, which later steps, actions among them, may read")
		}
		if role := s.with.fold("role-to-assume"); role.ok() && len(expressions(role.text())) == 0 && !roleARN.MatchString(role.text()) {
			j.doc.report("workflow/role-arn", role.place(), "%q is no ARN of a role: AWS will refuse it", role.text())
		}
		if d := s.with.fold("role-duration-seconds"); d.ok() && len(expressions(d.text())) == 0 && !between(d.text(), 900, 43200) {
			j.doc.report("workflow/role-duration", d.place(), "a session of %s seconds: AWS gives 900 to 43200, and no more than the role's own limit", d.text())
		}
	}
}

// checkUpload finds artifacts that hold what programs keep credentials in.
func (j *job) checkUpload(s *step) {
	if !strings.HasPrefix(s.action, "actions/upload-") {
		return
	}
	paths := s.with.fold("path")
	for _, file := range []string{".aws", ".docker/config.json", ".netrc", ".npmrc", ".git-credentials"} {
		for line := range strings.Lines(paths.text()) {
			if name := strings.TrimSpace(line); strings.HasSuffix(name, file) || strings.Contains(name, file+"/") {
				j.doc.report("workflow/credentials-in-outputs", j.doc.within(paths, strings.Index(paths.text(), name), name), "%s may hold credentials, and becomes an artifact", name)
			}
		}
	}
}

var roleARN = pattern.New(`^arn:aws(-[^:]+)?:iam::\d{12}:role/.+$`)

// truthy says whether an input is on: text that is not plainly off.
func truthy(n node) bool {
	switch strings.ToLower(strings.TrimSpace(n.text())) {
	case "", "false", "no", "off", "0", "never":
		return false
	}
	if e := expressions(n.text()); len(e) == 1 && e[0].tree != nil {
		return !is(e[0].tree, nothing(), false)
	}
	return true
}

// checkBuildArguments looks for credentials that a build keeps.
func (j *job) checkBuildArguments(s *step) {
	args := s.with.fold("build-args")
	from := 0
	for line := range strings.Lines(args.text()) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "=")
		if j.of(s, line)&(secret|token) != 0 || secretName.MatchString(name) {
			j.doc.report("workflow/credentials-in-build-args", j.doc.within(args, from, strings.TrimRight(line, "\r\n")),
				"build argument %s is a credential: the image's history keeps it, and its provenance", name)
		}
		from += len(line)
	}
	s.walk(0, func(c *command, st *shellState) {
		for i, w := range c.words {
			value, ok := buildArgument(c.words, i)
			if !ok {
				continue
			}
			name, _, _ := strings.Cut(value.text, "=")
			held := st.of(value)
			if !strings.Contains(value.text, "=") {
				held |= st.vars[name] // --build-arg NAME takes the variable
			}
			if held&(secret|token) != 0 || secretName.MatchString(name) {
				j.doc.report("workflow/credentials-in-build-args", j.doc.within(s.run, w.offset, w.raw),
					"build argument %s is a credential: the image's history keeps it, and its provenance", name)
			}
		}
	})
}

func buildArgument(words []word, i int) (word, bool) {
	w := words[i]
	for _, option := range []string{"--build-arg", "--opt"} {
		if w.text == option && i+1 < len(words) {
			w = words[i+1]
			w.text = strings.TrimPrefix(w.text, "build-arg:")
			return w, option == "--build-arg" || w.text != words[i+1].text
		}
		if value, ok := strings.CutPrefix(w.text, option+"="); ok {
			w.text = strings.TrimPrefix(value, "build-arg:")
			return w, option == "--build-arg" || w.text != value
		}
	}
	return word{}, false
}

// checkPersisted looks for checkouts that leave the job's token in the work
// tree.
func (j *job) checkPersisted() {
	for i, s := range j.steps {
		if s.action != "actions/checkout" {
			continue
		}
		keeps := s.with.fold("persist-credentials")
		if keeps.ok() && !truthy(keeps) {
			continue
		}
		at := s.uses
		if keeps.ok() {
			at = keeps
		}
		dir := strings.Trim(strings.TrimPrefix(s.with.fold("path").text(), "./"), "/")
		if up := uploads(j.steps[i+1:], dir); up != nil {
			j.doc.report("workflow/persisted-credentials", at.place(), "the checkout keeps its token in the work tree, and that is uploaded")
			continue
		}
		j.doc.reportAs(SeverityWarning, "workflow/persisted-credentials", at.place(), "the checkout keeps its token in the work tree, where any later step reads it")
	}
}

// uploads is the first step that uploads a whole work tree.
func uploads(steps []*step, dir string) *step {
	for _, s := range steps {
		if strings.HasPrefix(s.action, "actions/upload-") {
			for line := range strings.Lines(s.with.fold("path").text()) {
				if wholeTree(line, dir) {
					return s
				}
			}
		}
		for _, c := range s.commands {
			if c.program() == "aws" && c.has("s3") && (c.has("sync") || c.has("cp")) && slices.ContainsFunc(c.words, func(w word) bool { return wholeTree(w.text, dir) }) {
				return s
			}
		}
	}
	return nil
}

func wholeTree(name, dir string) bool {
	name = strings.TrimSpace(name)
	for _, e := range expressions(name) {
		if e.mentions("github", "workspace") {
			name = strings.Replace(name, e.raw, ".", 1)
		}
	}
	name = strings.NewReplacer("$GITHUB_WORKSPACE", ".", "${GITHUB_WORKSPACE}", ".").Replace(name)
	name = strings.Trim(strings.TrimPrefix(name, "./"), "/")
	name = strings.TrimSuffix(strings.TrimSuffix(name, "/**"), "/*")
	return slices.Contains([]string{"", ".", "*", "**", ".git", "**/*"}, name) && name+dir != "" || name == "" && dir == "" || dir != "" && (name == dir || name == dir+"/.git")
}
