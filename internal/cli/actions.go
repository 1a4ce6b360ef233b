package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
)

// reportToJob sets the outputs of a GitHub Actions step and writes its
// summary. It tells of the delivery and does not decide it: a failure here is
// a warning.
func (a *app) reportToJob(d *delivery.Deployment, err error) {
	job := github.JobFrom(a.Getenv)
	if !job.Actions {
		return
	}
	if failed := errors.Join(a.appendTo(job.OutputFile, outputs(d)), a.appendTo(job.SummaryFile, summary(d, err))); failed != nil {
		a.ui.warn("the step's outputs or summary could not be written: %v", failed)
	}
}

func (a *app) appendTo(name string, write func(*bytes.Buffer) error) error {
	if name == "" {
		return nil
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(a.ui.redact(b.Bytes()))
	return errors.Join(err, f.Close())
}

func outputs(d *delivery.Deployment) func(*bytes.Buffer) error {
	return func(b *bytes.Buffer) error {
		previous := ""
		if d.Previous != nil {
			previous = d.Previous.Version
		}
		var err error
		for _, o := range [][2]string{{"outcome", string(d.Outcome)}, {"revision", d.Revision}, {"digest", d.Digest},
			{"version", d.Runtime.Version}, {"previous-version", previous}, {"endpoint", d.Runtime.Endpoint}} {
			err = errors.Join(err, github.WriteOutput(b, o[0], o[1]))
		}
		return err
	}
}

// summary is the page that GitHub shows of the step: the verdict first, then
// what went wrong and what serves, what changed, and what it took.
func summary(d *delivery.Deployment, err error) func(*bytes.Buffer) error {
	return func(b *bytes.Buffer) error {
		var md bytes.Buffer
		mark := "✓"
		if err != nil {
			mark = "✗"
		}
		fmt.Fprintf(&md, "### %s %s → %s: %s %s, version %s\n\n", mark, d.Target.Agent, d.Target.Environment,
			deliveredName(d), d.Outcome, orAbsent(d.Runtime.Version))
		summarizeError(&md, err)
		summarizeChanges(&md, d)
		fmt.Fprintf(&md, "<details><summary>stages, %.1f s</summary>\n\n| stage | seconds |\n|---|---|\n", d.Elapsed.Seconds())
		for _, s := range d.Stages {
			took := fmt.Sprintf("%.1f", s.Elapsed.Seconds())
			if s.Skipped {
				took = "–"
			}
			fmt.Fprintf(&md, "| %s | %s |\n", s.Name, took)
		}
		fmt.Fprint(&md, "\n</details>\n")
		return github.WriteSummary(b, md.String())
	}
}

func summarizeError(md *bytes.Buffer, err error) {
	if err == nil {
		return
	}
	text := []string{"error: " + err.Error()}
	var e *delivery.Error
	if errors.As(err, &e) {
		for _, h := range e.Hints {
			text = append(text, "hint: "+h)
		}
		if e.Serves != "" {
			text = append(text, "now: "+e.Serves)
		}
	}
	fenced(md, strings.Join(text, "\n"))
}

// summarizeChanges shows the field diff as the log does.
func summarizeChanges(md *bytes.Buffer, d *delivery.Deployment) {
	if len(d.Changes) == 0 {
		return
	}
	title := "changes"
	if d.Previous != nil {
		title = "changes from version " + d.Previous.Version
	}
	fmt.Fprintf(md, "<details><summary>%s</summary>\n\n", title)
	fenced(md, strings.Join(changeLines(d.Changes), "\n"))
	fmt.Fprint(md, "</details>\n\n")
}

// fenced writes text that may quote others as a block that it can't leave.
func fenced(md *bytes.Buffer, text string) {
	fmt.Fprintf(md, "```text\n%s\n```\n\n", strings.ReplaceAll(printableLines(text), "```", "'''"))
}
