package check

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The size of what is read. GitHub itself takes workflows of 512 KiB; a small
// file whose anchors unfold into a large one is none to judge either.
const (
	maxSize  = 1 << 20
	maxNodes = 200_000
)

// document is a file under judgement.
type document struct {
	name    string
	data    []byte
	lines   []string
	root    node
	action  bool // a composite action: one job, of whoever uses it
	options Options
	set     *[]*document // all files that are checked together

	triggers []started
	inputs   map[string][]input // lower case; of each event that has one of the name
	jobs     []*job
	callers  []*job             // of a workflow on workflow_call alone
	choices  map[string]choices // of inputs, as far as they were asked for
	found    []Finding
}

// started is an event that starts a workflow.
type started struct {
	name       string
	key, value node
}

// input is one that whoever starts a workflow fills in.
type input struct {
	kind    string // string, choice, boolean, number, environment
	options []string
	event   string // workflow_dispatch or workflow_call
}

// read tells whether a file is something to judge.
func read(f File) (*document, error) {
	if len(f.Data) > maxSize {
		return nil, fmt.Errorf("%d bytes: too large for a workflow", len(f.Data))
	}
	if !utf8.Valid(f.Data) {
		return nil, errors.New("no workflow: not UTF-8")
	}
	var top yaml.Node
	if err := yaml.Unmarshal(f.Data, &top); err != nil {
		return nil, fmt.Errorf("no YAML: %w", err)
	}
	d := &document{name: f.Name, data: f.Data, lines: strings.Split(string(f.Data), "\n")}
	if len(top.Content) > 0 {
		d.root = follow(top.Content[0])
	}
	if unfolded(&top, map[*yaml.Node]int{}) > maxNodes {
		return nil, errors.New("too large for a workflow with its anchors unfolded")
	}
	switch {
	case d.root.at("jobs").key.ok() || d.root.at("on").key.ok():
	case d.root.at("runs").key.ok():
		d.action = true
	default:
		return nil, errors.New("neither a workflow (on, jobs) nor an action (runs)")
	}
	return d, nil
}

// unfolded counts a node's nodes with aliases followed, up to just over
// maxNodes; what contains itself counts as that much.
func unfolded(n *yaml.Node, known map[*yaml.Node]int) int {
	if size, ok := known[n]; ok {
		return size
	}
	known[n] = maxNodes + 1 // within itself
	size := 1
	if n.Kind == yaml.AliasNode {
		size += unfolded(n.Alias, known)
	}
	for _, c := range n.Content {
		size = min(size+unfolded(c, known), maxNodes+1)
	}
	known[n] = size
	return size
}

// report notes a finding of a rule.
func (d *document) report(rule string, at place, format string, args ...any) {
	r := ruleOf(rule)
	d.found = append(d.found, Finding{Rule: rule, Severity: r.Severity, Line: at.line, Column: at.column,
		Message: fmt.Sprintf(format, args...), Fix: r.Fix})
}

// reportAs is report with a severity of its own.
func (d *document) reportAs(severity Severity, rule string, at place, format string, args ...any) {
	d.report(rule, at, format, args...)
	d.found[len(d.found)-1].Severity = severity
}
