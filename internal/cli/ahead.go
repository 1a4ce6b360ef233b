package cli

import (
	"context"
	"fmt"

	"github.com/slipway-cd/slipway/internal/build"
	"github.com/slipway-cd/slipway/internal/config"
)

// aheadDocument says how the environment that another takes its releases from
// is ahead of it.
type aheadDocument struct {
	Environment string           `json:"environment"` // the one before
	Revision    string           `json:"revision"`    // what serves there
	Known       bool             `json:"known"`       // the work tree has both commits
	Count       int              `json:"count"`       // commits that are there and not here
	Lacks       int              `json:"lacks"`       // commits that are here and not there
	Commits     []commitDocument `json:"commits"`     // those of count, the newest first, 100 at most
}

type commitDocument struct {
	Revision string `json:"revision"`
	Subject  string `json:"subject"`
}

// mostSubjects is how many commits are named below the table.
const mostSubjects = 5

// compare finds, for each environment that takes its releases from another,
// how far that one is ahead, as far as the work tree knows the commits.
func (a *app) compare(ctx context.Context, file *config.File, rows []environmentStatus) {
	before := map[string]string{}
	for _, env := range file.Environments() {
		before[env.Name] = env.After
	}
	serves := map[selection]string{}
	for _, r := range rows {
		serves[selection{agent: r.Agent, environment: r.Environment}] = r.Revision
	}
	for i, r := range rows {
		source := before[r.Environment]
		there := serves[selection{agent: r.Agent, environment: source}]
		if source == "" || there == "" || r.Revision == "" || there == r.Revision {
			continue
		}
		ahead := &aheadDocument{Environment: source, Revision: there, Commits: []commitDocument{}}
		rows[i].Ahead = ahead
		gap, err := build.FindGap(ctx, file.Dir, a.Env, r.Revision, there)
		if err != nil {
			continue // git need not know them, nor be there: it is another revision
		}
		ahead.Known, ahead.Count, ahead.Lacks = true, gap.Ahead, gap.Behind
		for _, c := range gap.Commits {
			ahead.Commits = append(ahead.Commits, commitDocument{c.Revision, c.Subject})
		}
	}
}

// aheadLines says what environments have to promote, each with its commits.
func (a *app) aheadLines(rows []environmentStatus) []string {
	var lines []string
	for _, r := range rows {
		if r.Ahead == nil {
			continue
		}
		if lines == nil {
			lines = []string{""} // the table is above it
		}
		lines = append(lines, a.ui.harmless(r.Agent+": "+distance(r.Environment, *r.Ahead)))
		for i, c := range r.Ahead.Commits {
			if i == mostSubjects {
				lines = append(lines, fmt.Sprintf("  … and %d more", r.Ahead.Count-mostSubjects))
				break
			}
			lines = append(lines, "  "+shortRevision(c.Revision)+" "+a.ui.harmless(oneLine(c.Subject)))
		}
	}
	return lines
}

// distance says how far an environment is ahead of another.
func distance(environment string, a aheadDocument) string {
	switch {
	case !a.Known:
		return fmt.Sprintf("%s serves another revision than %s", a.Environment, environment)
	case a.Count == 0:
		return fmt.Sprintf("%s is behind %s by %s", a.Environment, environment, plural(a.Lacks, "commit"))
	case a.Lacks == 0:
		return fmt.Sprintf("%s is ahead of %s by %s", a.Environment, environment, plural(a.Count, "commit"))
	}
	return fmt.Sprintf("%s is ahead of %s by %s, and lacks %d of its own", a.Environment, environment, plural(a.Count, "commit"), a.Lacks)
}
