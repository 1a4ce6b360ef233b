package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
)

// story is what GitHub's page of a job tells of a delivery.
type story struct {
	*delivery.Deployment
	err       error // what the delivery ended with
	job       github.Job
	url       string   // the environment's
	between            // the release before and this one
	approvers []string // who let the job into the environment
	agentLog  []string // what the agent printed, where that was asked for
	oneOfMany bool     // slipway.yaml has several agents
}

// between is what lies between two revisions. The zero value is nothing.
type between struct {
	from, to string
	ahead    int              // how many commits the second has that the first has not
	behind   int              // how many the first has that the second has not
	commits  []commitDocument // those of ahead, the newest first, as far as they are told
}

// verdict is the delivery's end in a line.
func (s *story) verdict() string {
	what := deliveredName(s.Deployment)
	switch {
	case s.err == nil && s.Outcome == delivery.Unchanged:
		return what + " serves already, nothing was done"
	case s.err == nil:
		return what + " serves as version " + orAbsent(s.Runtime.Version)
	case s.Outcome == delivery.RolledBack && s.Previous != nil:
		return what + " failed, " + shortRevision(s.Previous.Revision) + " serves again"
	case s.Outcome == delivery.RolledBack:
		return what + " failed, the release before serves again"
	}
	switch end := delivery.ExitCode(s.err); {
	case end == 130:
		return what + ": interrupted"
	case end == 6:
		return what + ": a person is needed"
	case s.Revision == "":
		return "not delivered"
	}
	return what + " was not delivered"
}

// write is the page: the verdict first, then whose release it is and how to go
// back, what went wrong and what serves, what changed, and what it took.
func (s *story) write(b *bytes.Buffer) error {
	var md bytes.Buffer
	mark := "✓"
	if s.err != nil {
		mark = "✗"
	}
	fmt.Fprintf(&md, "### %s %s → %s: %s\n\n%s\n\n", mark, s.Target.Agent, s.Target.Environment, s.verdict(), strings.Join(s.facts(), " · "))
	s.writeError(&md)
	s.writeChanges(&md)
	s.list(&md)
	s.writeStages(&md)
	return github.WriteSummary(b, md.String())
}

// facts are what stands below the verdict.
func (s *story) facts() []string {
	var facts []string
	if distance := s.distance(s.job); distance != "" {
		facts = append(facts, distance)
	}
	if from := s.PromotedFrom; from != nil {
		facts = append(facts, "promoted from "+from.Environment+", version "+from.Version)
	}
	if s.job.Actor != "" {
		facts = append(facts, s.job.Actor)
	}
	if len(s.approvers) > 0 {
		facts = append(facts, "approved by "+strings.Join(s.approvers, ", "))
	}
	if url := s.job.RunURL(); url != "" {
		facts = append(facts, fmt.Sprintf("[run %s](%s)", cmp.Or(s.job.RunNumber, s.job.RunID), url))
	}
	if s.Elapsed > 0 {
		facts = append(facts, fmt.Sprintf("%.1f s", s.Elapsed.Seconds()))
	}
	if command := s.goBack(); command != "" {
		facts = append(facts, "go back: `"+command+"`")
	}
	if s.url != "" {
		facts = append(facts, "[environment](<"+s.url+">)")
	}
	return facts
}

// goBack is the command that serves the release before again, "" where a
// rollback would refuse that one.
func (s *story) goBack() string {
	if s.err != nil || s.Outcome != delivery.Deployed || !s.PreviousPassed {
		return ""
	}
	command := "slipway rollback --env " + s.Target.Environment
	if s.oneOfMany {
		command += " --agent " + s.Target.Agent
	}
	if s.Back { // without a name it would go further back
		command += " --to " + s.Previous.Version
	}
	return command
}

// distance says how far the second is from the first, with a link to GitHub's
// comparison.
func (b between) distance(job github.Job) string {
	if b.from == "" {
		return ""
	}
	first, second, count := b.from, b.to, ""
	switch {
	case b.ahead > 0 && b.behind > 0:
		count = fmt.Sprintf("%s more, %d fewer: ", plural(b.ahead, "commit"), b.behind)
	case b.ahead > 0:
		count = plural(b.ahead, "commit") + " "
	case b.behind > 0:
		count = plural(b.behind, "commit") + " back "
		first, second = second, first // GitHub shows what the second has more
	}
	return fmt.Sprintf("%s[%s..%s](%s/%s/compare/%s...%s)", count, shortRevision(b.from), shortRevision(b.to), job.ServerURL, job.Repository, first, second)
}

// list is the commits, folded.
func (b between) list(md *bytes.Buffer) {
	if len(b.commits) == 0 {
		return
	}
	var lines []string
	for _, c := range b.commits {
		lines = append(lines, shortRevision(c.Revision)+" "+oneLine(c.Subject))
	}
	if more := b.ahead - len(b.commits); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	folded(md, plural(b.ahead, "commit"), strings.Join(lines, "\n"))
}

func (s *story) writeError(md *bytes.Buffer) {
	if s.err == nil {
		return
	}
	text := []string{"error: " + s.err.Error()}
	var e *delivery.Error
	if errors.As(s.err, &e) {
		for _, h := range e.Hints {
			text = append(text, "hint: "+h)
		}
		if e.Serves != "" {
			text = append(text, "now: "+e.Serves)
		}
	}
	fenced(md, strings.Join(text, "\n"))
	if len(s.agentLog) > 0 {
		folded(md, "the agent's own log", strings.Join(s.agentLog, "\n"))
	}
}

// mostRows is how many changes are shown before the rest is folded away.
const mostRows = 12

// writeChanges shows what a release changes as a table.
func (s *story) writeChanges(md *bytes.Buffer) {
	var rows []string
	row := func(name, before, after string) {
		rows = append(rows, "| "+cell(name)+" | "+cell(before)+" | "+cell(after)+" |\n")
	}
	if s.Previous != nil && s.Outcome == delivery.Deployed {
		row("version", s.Previous.Version, s.Runtime.Version)
	}
	for _, c := range s.Changes {
		before, after := briefly(sides(c))
		if len(c.Before) == 0 {
			before = ""
		}
		if len(c.After) == 0 {
			after = ""
		}
		row(fieldName(c.Path), before, after)
	}
	if len(rows) == 0 {
		return
	}
	head := "| | before | after |\n|---|---|---|\n"
	if s.err != nil {
		head = "| | before | tried |\n|---|---|---|\n"
	}
	shown := min(len(rows), mostRows)
	fmt.Fprintf(md, "%s%s\n", head, strings.Join(rows[:shown], ""))
	if rest := rows[shown:]; len(rest) > 0 {
		fmt.Fprintf(md, "<details><summary>%d more</summary>\n\n%s%s\n</details>\n\n", len(rest), head, strings.Join(rest, ""))
	}
}

func (s *story) writeStages(md *bytes.Buffer) {
	if len(s.Stages) == 0 {
		return
	}
	fmt.Fprintf(md, "<details><summary>stages, %.1f s</summary>\n\n| stage | seconds |\n|---|---|\n", s.Elapsed.Seconds())
	for _, stage := range s.Stages {
		took := fmt.Sprintf("%.1f", stage.Elapsed.Seconds())
		if stage.Skipped {
			took = "–"
		}
		fmt.Fprintf(md, "| %s | %s |\n", stage.Name, took)
	}
	fmt.Fprint(md, "\n</details>\n")
}

// fieldName is how a reader names a field of the runtime.
func fieldName(path string) string {
	if path == "agentRuntimeArtifact.containerConfiguration.containerUri" {
		return "image"
	}
	return path
}

// cell is foreign text in a table: as code, which no markup leaves.
func cell(text string) string {
	if text == "" {
		return ""
	}
	text = strings.NewReplacer("`", "'", "|", "\\|", "\n", " ").Replace(printable(text))
	return "`" + text + "`"
}

func folded(md *bytes.Buffer, title, text string) {
	fmt.Fprintf(md, "<details><summary>%s</summary>\n\n", title)
	fenced(md, text)
	fmt.Fprint(md, "</details>\n\n")
}

// fenced writes text that may quote others as a block that it can't leave.
func fenced(md *bytes.Buffer, text string) {
	fmt.Fprintf(md, "```text\n%s\n```\n\n", strings.ReplaceAll(printableLines(text), "```", "'''"))
}
