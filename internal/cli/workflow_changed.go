package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/build"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/workflow/generate"
)

type changedDocument struct {
	Schema string   `json:"schema"` // slipway.workflow-changed/v1
	Since  string   `json:"since"`
	Agents []string `json:"agents"`
	// All says that every agent is listed whatever has changed of it, Reason why.
	All    bool   `json:"all"`
	Reason string `json:"reason,omitempty"`
}

func (a *app) workflowChangedCommand() *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use:   "changed --since COMMIT",
		Short: "The agents that have changed since a commit, for the generated workflow",
		Long: "Lists the agents whose path holds a file that differs between the commit and the one that is checked\n" +
			"out: all of them where slipway.yaml or the workflow differs, and where git does not have the commit, as\n" +
			"with a branch's first push. In GitHub Actions the list is the step's output agents, in JSON.",
		Example: "  slipway workflow changed --since HEAD~1\n  slipway workflow changed --since \"$BEFORE\" -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("since") {
				return usage(cmd, errors.New("--since names the commit to compare with"))
			}
			return a.changed(cmd.Context(), since)
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "the commit before, 40 hex digits; one that git does not have stands for the beginning")
	return cmd
}

func (a *app) changed(ctx context.Context, since string) error {
	file, err := a.load()
	if err != nil {
		return err
	}
	if _, err := a.atRoot(ctx, file.Dir); err != nil {
		return err
	}
	files, known, err := build.FindChanges(ctx, file.Dir, a.Env, since)
	if err != nil {
		return err
	}
	doc := changedDocument{Schema: "slipway.workflow-changed/v1", Since: since, Agents: []string{}}
	if known {
		agents, because := generate.Changed(file, files)
		doc.Agents = append(doc.Agents, agents...)
		if because != "" {
			doc.All, doc.Reason = true, because+" has changed"
		}
	} else {
		for _, agent := range file.Agents() {
			doc.Agents = append(doc.Agents, agent.Name)
		}
		doc.All, doc.Reason = true, "git does not have the commit before"
	}
	if doc.All {
		a.ui.line("every agent: %s", a.ui.tame(doc.Reason))
	}
	if err := a.changedToJob(doc.Agents); err != nil {
		return err
	}
	if a.json() {
		return a.ui.document(doc)
	}
	for _, name := range doc.Agents {
		a.ui.result("%s", name)
	}
	return nil
}

// changedToJob sets the step's output, which the jobs of the workflow are made
// of: without it nothing would be delivered, and nobody told.
func (a *app) changedToJob(agents []string) error {
	job := github.JobFrom(a.Getenv)
	if !job.Actions {
		return nil
	}
	list, err := json.Marshal(agents)
	if err == nil {
		err = a.appendTo(job.OutputFile, func(b *bytes.Buffer) error { return github.WriteOutput(b, "agents", string(list)) })
	}
	if err != nil {
		return &delivery.Error{Kind: delivery.KindFailed, Op: "setting the step's output", Err: err}
	}
	return nil
}
