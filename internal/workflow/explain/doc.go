// Package explain says what an event does to a repository's GitHub workflows:
// which run and why, which of their jobs, in which environments, with which
// token subject, as which role, behind which gate.
//
// Syntax is actionlint's to read, triggers are package trigger's to judge. It
// refuses to guess: what an event and the files leave open, such as the output
// of a job, is named, and whatever hangs on it "depends on" that. Its one
// assumption is that each job that runs succeeds and that nobody cancels.
//
// It reads no disk and asks nobody: whoever calls brings the files, and what
// slipway.yaml says.
package explain
