package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/config"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "The JSON Schema of slipway.yaml, for editors", Args: cobra.NoArgs,
		Example: "  slipway schema > slipway.schema.json\n  # then, as the first line of slipway.yaml:\n  # yaml-language-server: $schema=./slipway.schema.json",
		RunE: func(*cobra.Command, []string) error {
			a.ui.result("%s", strings.TrimSpace(string(config.Schema())))
			return nil
		},
	}
}
