// Package expr evaluates GitHub's expressions as far as they can be told
// without running anything (GitHub docs: Evaluate expressions in workflows and
// actions).
//
// It refuses to guess: what a name stands for is the caller's to say, and an
// expression whose value rests on what nobody said is Unknown, with what it
// depends on.
package expr
