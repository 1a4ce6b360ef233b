package trust

import (
	"cmp"
	"slices"
)

// Severity is how bad a finding is.
type Severity string

// The severities there are.
const (
	SeverityError   Severity = "error"   // nothing may be delivered with it
	SeverityWarning Severity = "warning" // it works and is safe today
)

// Finding is one fault of a document. Rule ids are stable; docs/audit.md lists
// them.
type Finding struct {
	Rule     string   `json:"rule"` // trust/… or policy/…
	Severity Severity `json:"severity"`
	Message  string   `json:"message"` // what is wrong
	Fix      string   `json:"fix"`     // what to do
	// Admits are the strangers that this fault lets in, as ids of probes.
	Admits []string `json:"admits"`
	// Line and Column are where the offending element begins, from 1; 0 where
	// it is no place in the document.
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Role   string `json:"role,omitempty"`   // whose document it is
	Policy string `json:"policy,omitempty"` // and which of them
}

// Outcome is what a report comes to.
type Outcome string

// The outcomes there are, the worst last.
const (
	Accept Outcome = "accept"
	Warn   Outcome = "warn"
	Reject Outcome = "reject"
)

// Report is what an audit found.
type Report struct {
	Findings []Finding
	Admitted []string // the probes let in, in the order they were given
}

// Outcome is reject with any error, else warn with any warning, else accept.
func (r Report) Outcome() Outcome {
	outcome := Accept
	for _, f := range r.Findings {
		if f.Severity == SeverityError {
			return Reject
		}
		outcome = Warn
	}
	return outcome
}

// sorted returns the report in its lasting order, errors first and then as the
// document has them, without repeats, its lists never nil.
func (r Report) sorted() Report {
	sorted := Report{Findings: []Finding{}, Admitted: append([]string{}, r.Admitted...)}
	findings := slices.Clone(r.Findings)
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	for _, f := range findings {
		f.Admits = append([]string{}, f.Admits...)
		if n := len(sorted.Findings); n > 0 && same(sorted.Findings[n-1], f) {
			continue
		}
		sorted.Findings = append(sorted.Findings, f)
	}
	return sorted
}

func same(a, b Finding) bool {
	return a.Rule == b.Rule && a.Message == b.Message && a.Line == b.Line && a.Column == b.Column && a.Role == b.Role && a.Policy == b.Policy
}
