// Package generate writes the GitHub workflows of a repository from its
// slipway.yaml: one that delivers, one that checks, one that rolls back, and
// the action by which their jobs get Slipway itself. The same file and tree
// yield the same bytes.
//
// It reads the file system that it is given, and returns files: others show,
// write and compare them. Stamp and Judge tell a file that it wrote from one
// that somebody changed.
//
// It refuses what would make a workflow say something that it does not mean:
// a value that GitHub would evaluate (${{), a Slipway that is not pinned, an
// environment that no event can deliver to. No value of slipway.yaml stands in
// a script, names aside, which are letters, digits, _ and -; the rest reaches
// steps as quoted YAML or through their environment.
//
// What the workflows rely on is documented in GitHub's workflow syntax
// (https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax)
// and its page on contexts.
package generate
