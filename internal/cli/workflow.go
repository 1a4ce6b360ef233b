package cli

import "github.com/spf13/cobra"

// workflowCommand groups what is done with the workflows of the repository.
func (a *app) workflowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "workflow", Short: "GitHub workflows: write them, judge them, and see what an event would run"}
	cmd.AddCommand(a.workflowGenerateCommand(), a.workflowCheckCommand(), a.workflowExplainCommand(), a.workflowChangedCommand())
	return cmd
}
