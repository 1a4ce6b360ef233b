package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in slipway.yaml.
type Problem struct {
	File    string // as given to Parse or Load
	Line    int    // from 1
	Column  int    // from 1, in characters
	Path    string // environments.dev.account; "" for the file as a whole
	Message string // what is wrong, lower case, no full stop
	Hint    string // what to write instead; may be empty
}

// String is the problem in one line: file:line:column: path: message (hint).
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems are all the mistakes of a file, in the order of the file. It is
// the error that Parse returns.
type Problems []Problem //nolint:errname // it is the list that callers read, and only then an error

// Error lists the problems, one per line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// maxProblems bounds how many problems are told: a file with more of them is
// not a slipway.yaml at all.
const maxProblems = 1000

// sorted returns the problems in the order of the file, each once.
func (p Problems) sorted() Problems {
	slices.SortFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	p = slices.Compact(p)
	if more := len(p) - maxProblems; more > 0 {
		next := p[maxProblems]
		next.Path, next.Hint, next.Message = "", "", fmt.Sprintf("and %d more problems from here on", more)
		p = append(p[:maxProblems:maxProblems], next)
	}
	return p
}
