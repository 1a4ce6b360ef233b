// Package trigger says which events start a GitHub workflow: the patterns of
// branches, tags and paths, the types of activity, and the inputs of a manual
// start, as GitHub documents them (GitHub docs: Workflow syntax, "on" and
// "Filter pattern cheat sheet"; Events that trigger workflows).
//
// It works on data alone. It refuses to guess: what an event leaves open, such
// as the files that a push changed, makes the answer Depends, which names what
// it depends on.
package trigger
