package check

import (
	"strings"

	"github.com/rhysd/actionlint"

	"github.com/slipway-cd/slipway/internal/workflow/expr"
)

// is says whether a condition is known to come out so.
func is(tree actionlint.ExprNode, about expr.Scope, truth bool) bool {
	v := about.Truth(tree)
	return !v.Unknown() && expr.Truthy(v.Of) == truth
}

// nothing knows no context.
func nothing() expr.Scope { return expr.Scope{Lookup: expr.Unread} }

// starts says whether an event may start a job: its condition, and those of
// the jobs it waits for, don't rule it out.
func (j *job) starts(event string) bool { return j.startsIn(j.doc.during(event), map[*job]bool{}) }

// startsIn is starts for what is known of a run.
func (j *job) startsIn(about expr.Scope, seen map[*job]bool) bool {
	if seen[j] {
		return true
	}
	seen[j] = true
	text := j.node.get("if").text()
	e := condition(text)
	if text != "" && e.tree != nil && is(e.tree, about, false) {
		return false
	}
	if strings.Contains(text, "always()") || strings.Contains(text, "failure()") || strings.Contains(text, "cancelled()") {
		return true
	}
	for _, n := range j.needed() {
		if !n.startsIn(about, seen) {
			return false
		}
	}
	return true
}

// during is what is known of the contexts in a run of an event (GitHub docs:
// events that trigger workflows). Inputs are there for who is called or started
// by hand alone.
func (d *document) during(event string) expr.Scope {
	return expr.Scope{Lookup: func(path []string) expr.Value {
		p := dotted(path)
		if p.nth(0) == "inputs" && event != "workflow_dispatch" && !d.on("workflow_call") {
			return expr.Known(nil)
		}
		switch p.String() {
		case "github.event_name":
			return expr.Known(event)
		case "github.ref":
			if event == "pull_request" {
				return expr.Known("refs/pull/1/merge")
			}
		case "github.ref_name":
			if event == "pull_request" {
				return expr.Known("1/merge")
			}
		case "github.head_ref", "github.base_ref":
			if event == "push" || event == "workflow_dispatch" || event == "schedule" {
				return expr.Known("")
			}
		}
		return expr.Unread(path)
	}}
}

// knowing is a scope with names of which more is known.
func knowing(about expr.Scope, names map[string]string) expr.Scope {
	return expr.Scope{Lookup: func(path []string) expr.Value {
		if text, ok := names[dotted(path).String()]; ok {
			return expr.Known(text)
		}
		return about.Lookup(path)
	}}
}

// handing is what is known in the workflow that a job calls: what the job's own
// knows, and the inputs that it hands over.
func (j *job) handing(d *document, about expr.Scope) expr.Scope {
	return expr.Scope{Lookup: func(path []string) expr.Value {
		p := dotted(path)
		if p.nth(0) != "inputs" {
			return about.Lookup(path)
		}
		stated := d.callInput(p.nth(1))
		if len(p) != 2 || !stated.ok() {
			return expr.Unread(path)
		}
		given := j.node.get("with").fold(p.nth(1))
		handed := given.ok()
		if !handed {
			given = stated.get("default")
		}
		v := about.Template(given.text())
		if v.Unknown() {
			return v
		}
		switch text, kind := expr.InText(v.Of), stated.get("type").text(); {
		case kind == "string":
			return expr.Known(text)
		case kind == "boolean" && (text == "true" || text == "false" || text == "" && !handed):
			return expr.Known(text == "true")
		}
		return expr.Unread(path)
	}}
}

// callInput is what a workflow states of an input that its callers give.
func (d *document) callInput(name string) node {
	for _, t := range d.triggers {
		if in := t.value.get("inputs").fold(name); t.name == "workflow_call" && in.ok() {
			return in
		}
	}
	return node{}
}
