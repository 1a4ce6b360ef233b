package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// progress draws the events of a delivery: one line a stage.
type progress struct {
	ui    *ui
	debug bool
	sent  delivery.Transfer
	since time.Time
	heard *[]string // where the agent's own lines are kept; may be nil
}

func (p *progress) observe(e delivery.Event) {
	switch e.Kind {
	case delivery.StageStarted:
		p.sent, p.since = delivery.Transfer{}, time.Now()
		p.ui.draft("  %-12s …", e.Stage)
	case delivery.StageDone:
		p.done(e)
	case delivery.Note:
		p.ui.line("    %s", p.ui.tame(e.Text))
	case delivery.Warning:
		p.ui.warn("%s", e.Text)
	case delivery.BuildOutput:
		if p.debug {
			p.ui.foreign([]string{e.Text})
		} else {
			p.ui.draft("  %-12s %s", delivery.StageBuild, printable(e.Text))
		}
	case delivery.BuildStepped:
		p.step(e.Step)
	case delivery.Transferred:
		p.sent = e.Transfer
		p.ui.draft("  %-12s %s of %s", e.Stage, size(e.Transfer.Done), size(e.Transfer.Total))
	case delivery.Waiting:
		p.ui.line("    waiting for %s", p.ui.tame(e.Text))
	case delivery.Diff:
		p.changes(e.Changes)
	case delivery.AgentOutput:
		p.agent(e.Lines)
	}
}

// step tells a step of a Dockerfile: while it runs, on a terminal alone, and
// when it has ended well. The error tells of one that has not.
func (p *progress) step(s delivery.BuildStep) {
	name := p.ui.tame(cut(s.Name))
	switch {
	case !s.Done:
		p.ui.draft("    %s …", name)
	case s.Cached:
		p.ui.line("    %s  %s", name, p.ui.paint(dim, "cached"))
	default:
		p.ui.line("    %s  %.1fs", name, s.Elapsed.Seconds())
	}
}

func (p *progress) done(e delivery.Event) {
	switch {
	case e.Text != "":
		p.ui.line("  %-12s %s", e.Stage, p.ui.paint(red, e.Text))
	case e.Skipped:
		p.ui.line("  %-12s %s", e.Stage, p.ui.paint(dim, "     –"))
	case p.sent.Total > 0 && e.Stage == delivery.StagePush:
		p.ui.line("  %-12s %5.1fs  %s, %s/s", e.Stage, e.Elapsed.Seconds(), size(p.sent.Done), size(rate(p.sent.Done, e.Elapsed)))
	default:
		p.ui.line("  %-12s %5.1fs", e.Stage, e.Elapsed.Seconds())
	}
}

func rate(bytes int64, elapsed time.Duration) int64 {
	if elapsed <= 0 {
		return bytes
	}
	return int64(float64(bytes) / elapsed.Seconds())
}

// size is a number of bytes for people, in powers of ten as networks count.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// changes prints a field diff: added +, removed -, changed ~.
func (p *progress) changes(changes []delivery.Change) {
	for _, line := range changeLines(changes) {
		p.ui.line("    %s", p.ui.tame(line))
	}
}

func changeLines(changes []delivery.Change) []string {
	var lines []string
	width := 0
	for _, c := range changes {
		width = max(width, len(c.Path))
	}
	for _, c := range changes {
		before, after := briefly(sides(c))
		switch {
		case len(c.Before) == 0:
			lines = append(lines, fmt.Sprintf("+ %-*s  %s", width, c.Path, after))
		case len(c.After) == 0:
			lines = append(lines, fmt.Sprintf("- %-*s  %s", width, c.Path, before))
		default:
			lines = append(lines, fmt.Sprintf("~ %-*s  %s → %s", width, c.Path, before, after))
		}
	}
	return lines
}

// briefly shortens both sides of a change: digests lose most of their digits,
// images the registry that they share.
func briefly(before, after string) (string, string) {
	from, image, one := strings.Cut(before, ".amazonaws.com/")
	to, next, other := strings.Cut(after, ".amazonaws.com/")
	if one && other && from == to {
		before, after = image, next
	}
	return shortImage(before), shortImage(after)
}

func shortImage(value string) string {
	image, hex, ok := strings.Cut(value, "@sha256:")
	if !ok || len(hex) != 64 {
		return value
	}
	return image + "@sha256:" + hex[:8] + "…"
}

// sides are the values before and after a change, as far as they are shown.
func sides(c delivery.Change) (before, after string) {
	before, after = shown(c.Before, c.Secret), shown(c.After, c.Secret)
	if c.Origin != "" {
		after = "(from " + printable(c.Origin) + ")"
	}
	return before, after
}

func shown(raw json.RawMessage, secret bool) string {
	if secret {
		return "(changed)"
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return printable(text)
	}
	return printable(strings.TrimSpace(string(raw)))
}

// agent prints the last lines that the agent itself printed.
func (p *progress) agent(lines []delivery.LogLine) {
	const most = 40
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	p.ui.line("    the agent's own log:")
	var text []string
	for _, l := range lines {
		text = append(text, l.Text)
	}
	p.ui.foreign(text)
	if p.heard != nil {
		*p.heard = text
	}
}
