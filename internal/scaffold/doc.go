// Package scaffold proposes a slipway.yaml from what a repository shows:
// Dockerfiles, Go programs, the files of AWS's agentcore CLI, CDK's cached
// lookups and git remotes.
//
// Look reads a file system and Render writes text; both are pure. What a
// repository does not say is left for somebody to answer: nothing is guessed.
// What was seen and can't be used is a note that says why.
//
// It refuses to follow links, to read files over 1 MiB, to run anything, and
// to repeat in its proposal what it did not check: names and paths that
// slipway.yaml would refuse, and values that look like credentials. It never
// writes; the files of other tools stay as they are.
package scaffold
