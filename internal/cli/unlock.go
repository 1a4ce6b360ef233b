package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) unlockCommand() *cobra.Command {
	s := selection{look: true}
	cmd := &cobra.Command{
		Use: "unlock --env NAME NONCE", Args: cobra.ExactArgs(1),
		Short: "Break the lock of a delivery that is dead",
		Long: "A delivery holds a lock on its environment. The same run, or the same person in the same work tree, takes\n" +
			"its own over at once, and anybody does when it has expired; this is for a holder that is dead for sure.\n" +
			"What served before it began stays in the lock: the next delivery settles that first.",
		Example: "  slipway unlock --env prd 5f0c1e9a2b7d4466     # the nonce is in the message of whoever was kept out",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.unlock(cmd.Context(), s, args[0]) },
	}
	selectionFlags(cmd, &s)
	a.actingFlags(cmd)
	return cmd
}

func (a *app) unlock(ctx context.Context, s selection, nonce string) error {
	p, err := a.project(s)
	if err != nil {
		return err
	}
	d, err := a.deliverer(ctx, p)
	if err != nil {
		return err
	}
	if !a.yes && !a.ci() {
		if err := a.ui.confirm(ctx, fmt.Sprintf("break the lock of %s in %s?", p.target.Agent, p.target.Environment)); err != nil {
			return err
		}
	}
	if err := d.Unlock(ctx, nonce); err != nil {
		return a.explained(p, err)
	}
	a.ui.line("the lock of %s in %s holds nobody up now", p.target.Agent, p.target.Environment)
	return nil
}
