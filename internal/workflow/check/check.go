package check

import (
	"cmp"
	"fmt"
	"slices"
)

// File is a workflow, or the action.yml of a composite action.
type File struct {
	Name string // as findings call it
	Data []byte
}

// Options are what a check may know besides the files. The zero value knows
// nothing.
type Options struct {
	// Pins names the version that a commit of an action is, if it is known.
	// If nil, none is.
	Pins func(action, sha string) (version string, known bool)
	// Project is what slipway.yaml says. If nil, nothing is compared with it,
	// and advice that is not about a fault of the files themselves is left out.
	Project *Project
}

// Finding is one fault. Rule ids are stable; docs/workflow-rules.md lists them.
type Finding struct {
	Rule     string   `json:"rule"` // workflow/… or actionlint/…
	Severity Severity `json:"severity"`
	File     string   `json:"file"`
	Line     int      `json:"line"`   // from 1
	Column   int      `json:"column"` // from 1, in characters
	Message  string   `json:"message"`
	Fix      string   `json:"fix,omitempty"` // what to do; actionlint's messages say it themselves
}

// Report is what a check found, errors first, in the order of files and lines.
type Report struct {
	Findings []Finding // never nil
}

// Verdict is what a report comes to.
type Verdict string

// The verdicts there are, the worst last.
const (
	Accept Verdict = "accept"
	Warn   Verdict = "warn"
	Reject Verdict = "reject"
)

// Verdict is reject with any error, else warn with any warning, else accept.
func (r Report) Verdict() Verdict {
	verdict := Accept
	for _, f := range r.Findings {
		if f.Severity == SeverityError {
			return Reject
		}
		verdict = Warn
	}
	return verdict
}

// Check judges files, each by itself and together: a called workflow is known
// to its caller, and filters are compared. It fails where a file is no YAML,
// or neither a workflow nor an action.
func Check(files []File, o Options) (Report, error) {
	var set []*document
	for _, f := range files {
		d, err := read(f)
		if err != nil {
			return Report{}, fmt.Errorf("reading %s: %w", f.Name, err)
		}
		d.options, d.set = o, &set
		set = append(set, d)
	}
	for _, d := range set {
		d.survey()
	}
	for _, d := range set {
		d.surveyCalls()
	}
	for _, d := range set {
		for _, j := range d.jobs {
			j.token = j.mayMint()
		}
	}
	for _, d := range set {
		d.check()
	}
	across(set)
	if o.Project != nil {
		o.Project.compare(set)
	}
	report := Report{Findings: []Finding{}}
	for _, d := range set {
		report.Findings = append(report.Findings, sorted(d.found, d.name)...)
	}
	slices.SortStableFunc(report.Findings, func(a, b Finding) int { return cmp.Compare(a.Severity, b.Severity) })
	return report, nil
}

// sorted puts the findings of a file in the order of its lines, without
// repeats.
func sorted(findings []Finding, file string) []Finding {
	for i := range findings {
		findings[i].File = file
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Rule, b.Rule))
	})
	return slices.CompactFunc(findings, func(a, b Finding) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Rule == b.Rule
	})
}

// check applies every rule that is about one file.
func (d *document) check() {
	if !d.action {
		d.lint()
		d.checkPermissions()
		d.checkTriggers()
	}
	for _, j := range d.jobs {
		j.checkPins()
		j.checkConditions()
		j.checkExpressions()
		j.checkCredentials()
		j.checkScripts()
		if d.action {
			continue
		}
		j.checkGate()
		j.checkConcurrency()
		j.checkDelivery()
		j.checkSteps()
	}
	d.checkText()
}
