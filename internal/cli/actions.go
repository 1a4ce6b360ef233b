package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"

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
	if failed := errors.Join(appendTo(job.OutputFile, outputs(d)), appendTo(job.SummaryFile, summary(d, err))); failed != nil {
		a.ui.warn("the step's outputs or summary could not be written: %v", failed)
	}
}

func appendTo(name string, write func(*bytes.Buffer) error) error {
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
	_, err = f.Write(b.Bytes())
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

func summary(d *delivery.Deployment, err error) func(*bytes.Buffer) error {
	return func(b *bytes.Buffer) error {
		var md bytes.Buffer
		mark := "✓"
		if err != nil {
			mark = "✗"
		}
		fmt.Fprintf(&md, "### %s %s → %s: %s %s, version %s\n\n", mark, d.Target.Agent, d.Target.Environment,
			shortRevision(d.Revision), d.Outcome, orAbsent(d.Runtime.Version))
		if err != nil {
			fmt.Fprintf(&md, "```text\n%s\n```\n\n", bytes.ReplaceAll([]byte(err.Error()), []byte("```"), []byte("'''")))
		}
		fmt.Fprintf(&md, "| stage | seconds |\n|---|---|\n")
		for _, s := range d.Stages {
			took := fmt.Sprintf("%.1f", s.Elapsed.Seconds())
			if s.Skipped {
				took = "–"
			}
			fmt.Fprintf(&md, "| %s | %s |\n", s.Name, took)
		}
		return github.WriteSummary(b, md.String())
	}
}
