package check

import (
	"slices"
	"strings"
)

// scriptInput says whether an input of an action is run as code, as that of
// actions/github-script and those of others that are named alike.
func scriptInput(name string) bool {
	return slices.Contains([]string{"script", "inlinescript", "inline-script", "command", "commands", "cmd", "run", "shell-command"}, strings.ToLower(name))
}

// checkExpressions looks at what is pasted into scripts before they run.
func (j *job) checkExpressions() {
	for _, s := range j.steps {
		j.checkPasted(s, s.run, true)
		for _, e := range s.with.entries() {
			if scriptInput(e.key.text()) {
				j.checkPasted(s, e.value, false)
			}
		}
	}
}

func (j *job) checkPasted(s *step, script node, run bool) {
	for _, e := range expressions(script.text()) {
		at := j.doc.within(script, e.offset, e.raw)
		switch {
		case j.ofExpression(s, e)&foreign != 0:
			j.doc.report("workflow/template-injection", at, "%s is text of others, and becomes part of the script: $(…) in it is run", e.raw)
		case run:
			j.doc.report("workflow/expression-in-run", at, "%s is pasted into the script before the shell reads it: a quote in it breaks out", e.raw)
		}
	}
}

// checkText looks at every text of a file, wherever it stands.
func (d *document) checkText() {
	if d.root.Node == nil {
		return
	}
	scalars(d.root.Node, func(n node) {
		text := n.text()
		for _, e := range expressions(text) {
			if e.dumps("secrets") {
				d.report("workflow/secrets-dumped", d.within(n, e.offset, e.raw), "%s is every secret that the job could read", e.raw)
			}
			e.paths(func(p dotted) {
				if p.begins("secrets") && keyName.MatchString(p.nth(1)) {
					d.report("workflow/long-lived-keys", d.within(n, e.offset, e.raw), "%s is a key that lasts: whoever reads it once keeps it", e.raw)
				}
			})
		}
		if i := strings.Index(text, "bedrock-agentcore-control:"); i >= 0 {
			d.report("workflow/service-prefix", d.within(n, i, "bedrock-agentcore-control:"), "bedrock-agentcore-control: is no service of IAM's: such an action grants nothing")
		}
		if key := literalKey.FindString(text); key != "" {
			d.report("workflow/long-lived-keys", d.within(n, strings.Index(text, key), key), "an AWS key stands in the file")
		}
	})
}

// dumps says whether an expression turns a whole context into text.
func (e expression) dumps(context string) bool {
	found := false
	for _, p := range e.yields() {
		found = found || len(p) == 1 && p[0] == context || len(p) == 2 && p[0] == context && p[1] == "*" && strings.Contains(e.source, "*")
	}
	return found
}
