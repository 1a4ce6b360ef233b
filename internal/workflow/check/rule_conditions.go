package check

import (
	"maps"
	"slices"
	"strings"

	"github.com/rhysd/actionlint"
)

// checkConditions looks at the guards of a job and its steps.
func (j *job) checkConditions() {
	if guard := j.node.at("if"); guard.key.ok() && !j.doc.action {
		j.checkCondition(guard.value)
	}
	for _, s := range j.steps {
		if guard := s.node.at("if"); guard.key.ok() {
			j.checkCondition(guard.value)
		}
	}
}

func (j *job) checkCondition(n node) {
	text := n.text()
	found := expressions(text)
	if len(found) > 0 && found[0].raw != text {
		j.doc.report("workflow/unsound-condition", n.place(), "text stands around the expression, so the condition is a text, which is always true")
	}
	for _, e := range found {
		j.checkGuard(n, e)
	}
	if len(found) == 0 {
		j.checkGuard(n, condition(text))
	}
}

func (j *job) checkGuard(n node, e expression) {
	if e.tree == nil {
		return
	}
	asks := false
	e.paths(func(p dotted) { asks = asks || len(p) > 1 })
	if asks && is(e.tree, nothing(), true) && !callsAlways(e.tree) {
		j.doc.report("workflow/unsound-condition", n.place(), "the condition is true whatever it asks: a text by itself is true")
		return
	}
	g := guard{job: j, at: n}
	g.visit(e.tree, true)
}

func callsAlways(n actionlint.ExprNode) bool {
	found := false
	actionlint.VisitExprNode(n, func(n, _ actionlint.ExprNode, _ bool) {
		if call, ok := n.(*actionlint.FuncCallNode); ok && strings.EqualFold(call.Callee, "always") {
			found = true
		}
	})
	return found
}

// guard walks through a condition with the sign that its parts have in it:
// what keeps a job from running needs no proof.
type guard struct {
	job    *job
	at     node
	pinned bool // all of it is asked of one ref alone
}

func (g guard) visit(n actionlint.ExprNode, lets bool) {
	switch n := n.(type) {
	case *actionlint.NotOpNode:
		g.visit(n.Operand, !lets)
	case *actionlint.LogicalOpNode:
		g.pinned = g.pinned || lets && len(pinned(n)) > 0 && g.job.refTellsCode()
		g.visit(n.Left, lets)
		g.visit(n.Right, lets)
	case *actionlint.CompareOpNode:
		g.compare(n, lets)
	case *actionlint.FuncCallNode:
		if lets {
			g.call(n)
		}
	}
}

// pinned collects what github.ref or github.ref_name has to be, as a whole, for a
// condition to be true.
func pinned(n actionlint.ExprNode) map[string]string {
	refs := map[string]string{}
	switch n := n.(type) {
	case *actionlint.LogicalOpNode:
		if n.Kind == actionlint.LogicalOpNodeKindAnd {
			maps.Copy(refs, pinned(n.Left))
			maps.Copy(refs, pinned(n.Right))
		}
	case *actionlint.CompareOpNode:
		for _, side := range [][2]actionlint.ExprNode{{n.Left, n.Right}, {n.Right, n.Left}} {
			name := pathOf(side[0]).String()
			value, ok := side[1].(*actionlint.StringNode)
			if ok && n.Kind == actionlint.CompareOpNodeKindEq && (name == "github.ref" || name == "github.ref_name") {
				refs[name] = value.Value
			}
		}
	}
	return refs
}

// refTellsCode says whether github.ref tells whose code a job runs for,
// whatever starts it. With issue_comment and the like it is the default branch
// for everybody, and a called workflow does not know (GitHub docs: events that
// trigger workflows).
func (j *job) refTellsCode() bool {
	if j.doc.action {
		return false
	}
	return !slices.ContainsFunc(j.doc.triggers, func(t started) bool {
		return !slices.Contains([]string{"push", "pull_request", "merge_group", "schedule", "workflow_dispatch"}, t.name) && j.starts(t.name)
	})
}

func (g guard) compare(n *actionlint.CompareOpNode, lets bool) {
	if !n.Kind.IsEqualityOp() || lets != (n.Kind == actionlint.CompareOpNodeKindEq) {
		return
	}
	if b, ok := n.Right.(*actionlint.BoolNode); ok && b.Value {
		g.visit(n.Left, true)
		return
	}
	if isActor(n.Left) && isBot(n.Right) || isActor(n.Right) && isBot(n.Left) {
		g.bot()
	}
}

func (g guard) bot() {
	g.job.doc.report("workflow/bot-condition", g.at.place(), "the run's actor is asked whether it is a bot: it is whoever started the last run, whose code runs is another matter")
}

// call judges contains, startsWith and endsWith where they let a job run.
func (g guard) call(n *actionlint.FuncCallNode) {
	if len(n.Args) != 2 {
		return
	}
	name, a, b := strings.ToLower(n.Callee), n.Args[0], n.Args[1]
	switch name {
	case "contains", "startswith", "endswith":
	default:
		return
	}
	if isActor(a) && isBot(b) || isActor(b) && (isBot(a) || botList(a)) {
		g.bot()
		return
	}
	if !g.job.guarded() || g.pinned && !isActor(a) && !isActor(b) { // a name is asked for its own sake
		return
	}
	unsound := func(what string) {
		g.job.doc.report("workflow/unsound-condition", g.at.place(), "%s", what)
	}
	literal, isText := a.(*actionlint.StringNode)
	switch {
	case name == "contains" && isText && g.chosen(b):
		unsound("any part of " + quoted(literal.Value) + " passes, were it one letter: contains looks for a part of the text")
	case name == "contains" && g.chosen(a):
		unsound("any name with that in it passes: contains looks for a part of the text")
	case name == "endswith" && g.chosen(a):
		unsound("any name that ends so passes, such as a branch of one's own with a slash in it")
	case name == "startswith" && g.chosen(a) && openPrefix(b):
		unsound("any longer name passes: one that begins so is easily made")
	case name == "startswith" && isText && g.chosen(b):
		unsound("any beginning of " + quoted(literal.Value) + " passes")
	}
}

// guarded says whether a condition of the job guards anything: a token,
// secrets or the right to write.
func (j *job) guarded() bool {
	if j.credentialed() {
		return true
	}
	return slices.ContainsFunc(j.granted(), func(g *job) bool {
		return slices.ContainsFunc(g.permissions().value.entries(), func(e entry) bool { return e.value.text() == "write" })
	})
}

// chosen says whether somebody chooses a text by naming a branch, writing a
// message or being called so. A list's elements are compared whole.
func (g guard) chosen(n actionlint.ExprNode) bool {
	for _, p := range yields(n) {
		listed := false
		for _, part := range p[1:] {
			listed = listed || part == "*"
		}
		if listed || p.begins("github", "event", "pull_request", "labels") || p.begins("github", "event", "label") {
			continue
		}
		switch {
		case p.begins("github", "actor") || p.begins("github", "triggering_actor") || p.begins("github", "base_ref"):
			return true
		case p.begins("github", "event_name"):
		case p.nth(0) == "github" && len(p) > 1 && g.job.ofPath(nil, p, 0)&foreign != 0:
			return true
		case p.nth(0) == "env" && g.job.ofPath(nil, p, 0)&foreign != 0:
			return true
		}
	}
	return false
}

// openPrefix says whether a prefix is the whole of a branch's name, which
// longer names begin with: refs/heads/main, not refs/heads/release/ or
// refs/tags/v.
func openPrefix(n actionlint.ExprNode) bool {
	s, ok := n.(*actionlint.StringNode)
	if !ok {
		return false
	}
	v := strings.ToLower(s.Value)
	return !strings.HasSuffix(v, "/") && !strings.HasSuffix(v, "-") && !strings.HasPrefix(v, "refs/tags/") && v != "v" && v != "/"
}

func isActor(n actionlint.ExprNode) bool {
	p := pathOf(n)
	return p.begins("github", "actor") || p.begins("github", "triggering_actor") || p.begins("github", "event", "sender", "login") || p.begins("github", "actor_id") || p.begins("github", "event", "pusher", "name")
}

func isBot(n actionlint.ExprNode) bool {
	s, ok := n.(*actionlint.StringNode)
	return ok && (strings.Contains(strings.ToLower(s.Value), "[bot]") || s.Value == "49699333" || strings.EqualFold(s.Value, "dependabot") || strings.EqualFold(s.Value, "renovate"))
}

// botList says whether a list of names, fromJSON('["dependabot[bot]"]'), holds
// a bot.
func botList(n actionlint.ExprNode) bool {
	call, ok := n.(*actionlint.FuncCallNode)
	return ok && strings.EqualFold(call.Callee, "fromJSON") && len(call.Args) == 1 && isBot(call.Args[0])
}

func quoted(s string) string { return "'" + s + "'" }
