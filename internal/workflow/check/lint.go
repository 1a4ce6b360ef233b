package check

import (
	"strings"

	"github.com/rhysd/actionlint"
)

// lint lets actionlint judge syntax, types and expressions. Its rules that
// start shellcheck and pyflakes are left out, and it looks for no other file.
func (d *document) lint() {
	workflow, all := actionlint.Parse(d.data)
	if workflow != nil {
		actions := actionlint.NewLocalActionsCache(nil, nil)
		workflows := actionlint.NewLocalReusableWorkflowCache(nil, "", nil)
		rules := []actionlint.Rule{
			actionlint.NewRuleMatrix(), actionlint.NewRuleCredentials(), actionlint.NewRuleShellName(), actionlint.NewRuleRunnerLabel(),
			actionlint.NewRuleEvents(), actionlint.NewRuleJobNeeds(), actionlint.NewRuleAction(actions), actionlint.NewRuleEnvVar(),
			actionlint.NewRuleID(), actionlint.NewRuleGlob(), actionlint.NewRulePermissions(), actionlint.NewRuleWorkflowCall(d.name, workflows),
			actionlint.NewRuleExpression(actions, workflows), actionlint.NewRuleDeprecatedCommands(), actionlint.NewRuleIfCond(),
		}
		visitor := actionlint.NewVisitor()
		for _, r := range rules {
			visitor.AddPass(r)
		}
		if err := visitor.Visit(workflow); err != nil {
			d.report("actionlint/syntax-check", place{1, 1}, "%v", err)
		}
		for _, r := range rules {
			all = append(all, r.Errs()...)
		}
	}
	for _, e := range all {
		if knowsQueue(e) {
			continue
		}
		severity := SeverityError
		if e.Kind == "runner-label" {
			severity = SeverityWarning // whoever has runners of their own names them as they like
		}
		d.found = append(d.found, Finding{Rule: "actionlint/" + e.Kind, Severity: severity, Line: max(1, e.Line), Column: max(1, e.Column), Message: e.Message})
	}
}

// knowsQueue says whether an error is about the key queue of a concurrency
// group, which GitHub has had since 2026-05-07 and actionlint 1.7.12 does not
// know.
func knowsQueue(e *actionlint.Error) bool {
	return e.Kind == "syntax-check" && strings.HasPrefix(e.Message, `unexpected key "queue" for "concurrency" section`)
}
