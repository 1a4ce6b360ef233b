package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
)

type logsDocument struct {
	Schema string        `json:"schema"` // slipway.logs/v1
	Lines  []logDocument `json:"lines"`  // oldest first
}

type logDocument struct {
	Schema string    `json:"schema,omitempty"` // slipway.log/v1, where each line is a document
	At     time.Time `json:"at"`
	Stream string    `json:"stream"`
	Text   string    `json:"text"`
}

func (a *app) logsCommand() *cobra.Command {
	var s selection
	var q delivery.LogQuery
	var since time.Duration
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs --env NAME",
		Short: "What the agent itself printed",
		Long: "Prints the agent's own log lines. AgentCore keeps one log per endpoint, not per version:\n" +
			"--version takes the time from the making of that version to the making of the next.\n" +
			"--follow goes on with what the agent prints until it is interrupted, which is its end (exit 0);\n" +
			"with -o json each line is a document.",
		Example: "  slipway logs --env dev --since 10m\n  slipway logs --env dev --version 7\n  slipway logs --env dev --follow --since 0s",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n, err := strconv.Atoi(q.Version); q.Version != "" && (err != nil || n < 1) {
				return usage(cmd, fmt.Errorf("--version is %q; versions are 1, 2, 3 and so on", q.Version))
			}
			if err := positive(cmd, "since", since); err != nil {
				return err
			}
			if q.Limit < 1 {
				return usage(cmd, fmt.Errorf("--limit is %d; it has to be 1 or more", q.Limit))
			}
			s.look = true
			p, err := a.project(s)
			if err != nil {
				return err
			}
			d, err := a.deliverer(cmd.Context(), p)
			if err != nil {
				return err
			}
			q.Since = time.Now().Add(-since)
			if follow {
				return a.explained(p, d.FollowLog(cmd.Context(), q, a.followed))
			}
			lines, err := d.AgentLog(cmd.Context(), q)
			if err != nil {
				return a.explained(p, err)
			}
			return a.printLog(lines)
		},
	}
	selectionFlags(cmd, &s)
	cmd.Flags().StringVar(&q.Endpoint, "endpoint", "", "endpoint whose log is read; default: the one that serves")
	cmd.Flags().StringVar(&q.Version, "version", "", "the time of that version alone")
	cmd.Flags().DurationVar(&since, "since", time.Hour, "how far back")
	cmd.Flags().IntVar(&q.Limit, "limit", 1000, "at most so many lines, the newest; with --follow, of those that are there")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what the agent prints, until interrupted")
	cmd.MarkFlagsMutuallyExclusive("follow", "version")
	return cmd
}

func (a *app) printLog(lines []delivery.LogLine) error {
	if a.json() {
		doc := logsDocument{Schema: "slipway.logs/v1", Lines: []logDocument{}}
		for _, l := range lines {
			doc.Lines = append(doc.Lines, logDocument{At: l.At.UTC(), Stream: l.Stream, Text: l.Text})
		}
		return a.ui.document(doc)
	}
	if len(lines) == 0 {
		a.ui.line("the agent printed nothing in that time")
	}
	for _, l := range lines {
		a.logLine(l)
	}
	return nil
}

func (a *app) logLine(l delivery.LogLine) {
	a.ui.result("%s  %s", l.At.UTC().Format("2006-01-02T15:04:05.000Z"), a.ui.harmless(l.Text))
}

// followed prints lines of a log that is followed.
func (a *app) followed(lines []delivery.LogLine) {
	for _, l := range lines {
		if a.json() {
			a.ui.jsonLine(logDocument{"slipway.log/v1", l.At.UTC(), l.Stream, l.Text})
			continue
		}
		a.logLine(l)
	}
}
