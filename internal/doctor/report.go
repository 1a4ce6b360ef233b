package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// Severity is how bad a finding is.
type Severity string

// The severities there are. With an error a delivery fails, or does what
// slipway.yaml does not say; a warning is a weakness; a note is good to know.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Finding is one fault.
type Finding struct {
	ID       string   `json:"id"` // stable; Rules lists them
	Severity Severity `json:"severity"`
	Message  string   `json:"message"` // what is wrong
	Hint     string   `json:"hint"`    // what to do
	Resource string   `json:"resource,omitempty"`
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"` // from 1
}

// Status is how a check ended.
type Status string

// The ways for a check to end.
const (
	OK      Status = "ok"
	Found   Status = "finding"
	Skipped Status = "skipped"
)

// Check is one thing that was looked at.
type Check struct {
	ID     string   `json:"id"`
	Group  string   `json:"-"`
	Status Status   `json:"status"`
	Detail string   `json:"detail"`
	Worst  Severity `json:"-"` // of its findings; "" without any
}

// Report is what an examination came to. Its lists are never nil.
type Report struct {
	Findings []Finding // the worst first
	Checks   []Check   // in their order
}

// The verdicts there are.
const (
	Accept = "accept"
	Warn   = "warn"
	Reject = "reject"
)

// Verdict is reject with any error, else warn with any warning, else accept.
func (r Report) Verdict() string {
	switch worst(r.Findings) {
	case Error:
		return Reject
	case Warning:
		return Warn
	}
	return Accept
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return rank(b.Severity) - rank(a.Severity) })
}

func rank(s Severity) int { return slices.Index([]Severity{"", Note, Warning, Error}, s) }

func worst(findings []Finding) Severity {
	var worst Severity
	for _, f := range findings {
		if rank(f.Severity) > rank(worst) {
			worst = f.Severity
		}
	}
	return worst
}

// summary says in one line what a check found.
func summary(findings []Finding) string {
	if len(findings) == 1 {
		return findings[0].Message
	}
	counts := map[Severity]int{}
	for _, f := range findings {
		counts[f.Severity]++
	}
	var parts []string
	for _, s := range []Severity{Error, Warning, Note} {
		if n := counts[s]; n > 0 {
			parts = append(parts, count(n, string(s)))
		}
	}
	return strings.Join(parts, ", ")
}

// count names a number of things.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
