package check

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/rhysd/actionlint"
)

// choices are the values that a text can have.
type choices struct {
	values  []string
	open    bool // anything: no list bounds it
	unknown bool // others that this repository's settings hold
}

func (c choices) several() bool { return c.open || c.unknown || len(c.values) > 1 }

func (c choices) plus(o choices) choices {
	for _, v := range o.values {
		if v != "" && !slices.Contains(c.values, v) {
			c.values = append(c.values, v)
		}
	}
	c.open, c.unknown = c.open || o.open, c.unknown || o.unknown
	return c
}

// choices are the values of a text of the job, expressions worked out as far
// as the files tell.
func (j *job) choices(text string) choices { return j.choicesOf(text, 0) }

func (j *job) choicesOf(text string, depth int) choices {
	found := expressions(text)
	switch {
	case len(found) == 0:
		return choices{values: []string{text}}
	case depth > deepestOrigin:
		return choices{open: true}
	case len(found) > 1:
		all := choices{unknown: true}
		for _, e := range found {
			all.open = all.open || e.tree == nil || j.choicesIn(e.tree, depth+1).open
		}
		return all
	case found[0].tree == nil:
		return choices{open: true}
	}
	c := j.choicesIn(found[0].tree, depth+1)
	for i, v := range c.values {
		c.values[i] = strings.Replace(text, found[0].raw, v, 1)
	}
	return c
}

func (j *job) choicesIn(n actionlint.ExprNode, depth int) choices {
	switch n := n.(type) {
	case *actionlint.StringNode:
		return choices{}.plus(choices{values: []string{n.Value}})
	case *actionlint.BoolNode, *actionlint.NullNode, *actionlint.IntNode, *actionlint.FloatNode, *actionlint.NotOpNode, *actionlint.CompareOpNode:
		return choices{}
	case *actionlint.LogicalOpNode:
		if n.Kind == actionlint.LogicalOpNodeKindAnd {
			return j.choicesIn(n.Right, depth)
		}
		return j.choicesIn(n.Left, depth).plus(j.choicesIn(n.Right, depth))
	case *actionlint.FuncCallNode:
		return j.choicesOfCall(n, depth)
	}
	if p := pathOf(n); p != nil {
		return j.choicesOfPath(p, depth)
	}
	if table, ok := tableOf(n); ok {
		return table
	}
	return choices{open: true}
}

func (j *job) choicesOfCall(n *actionlint.FuncCallNode, depth int) choices {
	switch strings.ToLower(n.Callee) {
	case "contains", "startswith", "endswith", "always", "success", "failure", "cancelled":
		return choices{}
	case "format":
		all := choices{unknown: true}
		for _, a := range n.Args {
			all.open = all.open || j.choicesIn(a, depth).open
		}
		return all
	}
	return choices{open: true}
}

// tableOf reads fromJSON('{"main": "prd"}')[…]: whatever is looked up, the
// values are those that are written out.
func tableOf(n actionlint.ExprNode) (choices, bool) {
	var from actionlint.ExprNode
	switch n := n.(type) {
	case *actionlint.IndexAccessNode:
		from = n.Operand
	case *actionlint.ObjectDerefNode:
		from = n.Receiver
	}
	call, ok := from.(*actionlint.FuncCallNode)
	if !ok || !strings.EqualFold(call.Callee, "fromJSON") || len(call.Args) != 1 {
		return choices{}, false
	}
	literal, ok := call.Args[0].(*actionlint.StringNode)
	if !ok {
		return choices{}, false
	}
	var table map[string]string
	if json.Unmarshal([]byte(literal.Value), &table) != nil {
		return choices{}, false
	}
	var c choices
	for _, v := range table {
		c = c.plus(choices{values: []string{v}})
	}
	slices.Sort(c.values)
	return c, true
}

func (j *job) choicesOfPath(p dotted, depth int) choices {
	if depth > deepestOrigin {
		return choices{open: true}
	}
	if p.begins("github", "event", "inputs") {
		p = p[2:]
	}
	switch p.nth(0) {
	case "inputs":
		return j.doc.choicesOfInput(p.nth(1))
	case "vars":
		return choices{unknown: true}
	case "matrix":
		values := j.matrix(p.nth(1))
		all := choices{open: len(values) == 0}
		for _, v := range values {
			all = all.plus(j.choicesOf(v.text(), depth+1))
		}
		return all
	case "needs":
		if other := j.doc.job(p.nth(1)); other != nil {
			return other.choicesOf(other.node.get("outputs").fold(p.nth(3)).text(), depth+1)
		}
	case "steps":
		return j.choicesOfStep(p, depth)
	}
	return choices{open: true}
}

// choicesOfInput are those of an input's list, or of what the callers among
// the files give, all events together.
func (d *document) choicesOfInput(name string) choices {
	if known, ok := d.choices[name]; ok {
		return known
	}
	if d.choices == nil {
		d.choices = map[string]choices{}
	}
	d.choices[name] = choices{open: true} // for workflows that call each other in a circle, which GitHub does not run
	stated := d.inputs[name]
	all := choices{open: len(stated) == 0}
	for _, in := range stated {
		switch {
		case in.kind == "choice":
			all = all.plus(choices{values: in.options})
		case in.kind == "environment":
			all.unknown = true // one that exists
		case in.event == "workflow_call" && (len(stated) > 1 || !d.on("workflow_dispatch")): // by hand it would be empty
			all = all.plus(d.choicesOfCallers(name))
		default:
			all.open = true
		}
	}
	all.values = slices.Clip(all.values) // whoever adds to them has a copy
	d.choices[name] = all
	return all
}

func (d *document) choicesOfCallers(name string) choices {
	var all choices
	callers := 0
	for _, other := range *d.set {
		for _, j := range other.jobs {
			if j.callee == d {
				callers++
				all = all.plus(j.choicesOf(j.node.get("with").fold(name).text(), 0))
			}
		}
	}
	all.open = all.open || callers == 0
	return all
}

// choicesOfStep are the values of an output that a script writes out plainly.
func (j *job) choicesOfStep(p dotted, depth int) choices {
	var all choices
	found := false
	for _, s := range j.steps {
		if !strings.EqualFold(s.node.get("id").text(), p.nth(1)) || s.run.text() == "" {
			continue
		}
		for _, w := range s.writes(depth) {
			if w.file != "GITHUB_OUTPUT" {
				continue
			}
			for _, from := range s.sources(w.command) {
				for _, word := range from.all() {
					if name, value, ok := strings.Cut(word.text, "="); ok && strings.EqualFold(name, p.nth(3)) {
						plain := len(word.variables) == 0 && len(expressions(word.raw)) == 0 && len(from.inner) == 0
						all = all.plus(choices{values: []string{value}, open: !plain})
						found = true
					}
				}
			}
		}
	}
	all.open = all.open || !found
	return all
}
