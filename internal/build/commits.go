package build

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// mostCommits bounds how many commits are listed: their number is told besides.
const mostCommits = 100

// commitLine has git print a commit as its id and the first line of its
// message, as far as a table has room for it.
const commitLine = "--format=%H %<(120,trunc)%s"

var commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)

// Commit is a commit as a list shows it.
type Commit struct {
	Revision string // 40 hex
	Subject  string // the first line of its message, 120 characters of it at most
}

// Gap is what lies between two commits: of one that serves, and one that shall.
type Gap struct {
	Ahead   int      // how many commits the second has that the first has not
	Behind  int      // how many the first has that the second has not
	Commits []Commit // those of Ahead, the newest first, 100 of them at most
}

// FindGap says what lies between two commits of dir's work tree. It returns an
// *delivery.Error of KindSource where git does not know both: in a shallow
// clone, for one.
func FindGap(ctx context.Context, dir string, env []string, from, to string) (Gap, error) {
	for _, id := range []string{from, to} {
		if !commitID.MatchString(id) {
			return Gap{}, sourceError("comparing commits", fmt.Errorf("%q is no commit id", id))
		}
	}
	g, err := historyAt(dir, env)
	if err != nil {
		return Gap{}, err
	}
	out, err := g.run(ctx, "rev-list", "--left-right", "--count", from+"..."+to, "--")
	if err != nil {
		return Gap{}, err
	}
	var gap Gap
	if _, err := fmt.Sscan(out, &gap.Behind, &gap.Ahead); err != nil {
		return Gap{}, sourceError("comparing commits", fmt.Errorf("git counts %q", strings.TrimSpace(out)))
	}
	if gap.Ahead == 0 {
		return gap, nil
	}
	out, err = g.run(ctx, "log", fmt.Sprintf("--max-count=%d", mostCommits), commitLine, from+".."+to, "--")
	gap.Commits = commits(out)
	return gap, err
}

// Subjects returns the first line of the message of each of these commits that
// dir's work tree knows. Without git, a work tree or the commits, it is empty:
// nothing but a name for people depends on it.
func Subjects(ctx context.Context, dir string, env, revisions []string) map[string]string {
	subjects := map[string]string{}
	asked := map[string]bool{}
	args := []string{"log", "--no-walk=unsorted", "--ignore-missing", commitLine}
	for _, id := range revisions {
		if commitID.MatchString(id) && !asked[id] {
			asked[id], args = true, append(args, id)
		}
	}
	g, err := historyAt(dir, env)
	if err != nil || len(asked) == 0 {
		return subjects
	}
	out, err := g.run(ctx, append(args, "--")...)
	if err != nil {
		return subjects
	}
	for _, c := range commits(out) {
		if asked[c.Revision] {
			subjects[c.Revision] = c.Subject
		}
	}
	return subjects
}

// historyAt is git for what has happened. A clone without all commits is not
// completed for it.
func historyAt(dir string, env []string) (git, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return git{}, sourceError("finding the commits", err)
	}
	g := gitAt(abs, env)
	g.env = append(g.env, "GIT_NO_LAZY_FETCH=1")
	return g, nil
}

// commits reads lines as commitLine has them. The first may be cut.
func commits(out string) []Commit {
	var list []Commit
	for line := range strings.Lines(out) {
		if id, subject, ok := strings.Cut(line, " "); ok && commitID.MatchString(id) {
			list = append(list, Commit{Revision: id, Subject: strings.TrimSpace(subject)})
		}
	}
	return list
}
