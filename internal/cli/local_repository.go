package cli

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
)

type repositoryDocument struct {
	Schema     string         `json:"schema"` // slipway.local-repository/v1
	Repository sim.Repository `json:"repository"`
}

func (a *app) localRepository(dir func() string) *cobra.Command {
	var r sim.Repository
	var members []string
	cmd := &cobra.Command{
		Use: "repository OWNER@ID/NAME@ID", Short: "Register a repository with the cloud's GitHub, and who can read it", Args: cobra.ExactArgs(1),
		Long: "Registers a repository with the cloud's GitHub: its environments gate jobs from then on. OWNER@ID/NAME@ID sends\n" +
			"immutable subjects, OWNER/NAME those of names. Registered again, it is what was said last.",
		Example: `  slipway local repository acme@1001/agents@2002 --reader octocat --member acme/platform=hubot`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Name = args[0]
			c, err := dial(cmd.Context(), dir())
			if err != nil {
				return err
			}
			if r.Teams, err = teamsOf(members); err != nil {
				return &delivery.Error{Kind: delivery.KindUsage, Err: err}
			}
			r.Readers = append(r.Readers, sortedNames(r.Teams)...)
			var known sim.Repository
			if err := c.call(cmd.Context(), http.MethodPost, "repositories", r, &known); err != nil {
				return &delivery.Error{Kind: delivery.KindUsage, Err: err}
			}
			if a.json() {
				return a.ui.document(repositoryDocument{"slipway.local-repository/v1", known})
			}
			a.ui.line("%s is registered, id %s", known.FullName(), known.ID)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&r.Readers, "reader", nil, "login of a person who can read it; may be repeated")
	f.StringArrayVar(&members, "member", nil, "ORG/TEAM=LOGIN[,LOGIN]...: a team that can read it; may be repeated")
	f.StringArrayVar(&r.Protected, "protected", nil, "a branch with protection; may be repeated")
	f.StringVar(&r.DefaultBranch, "default-branch", "main", "the default branch")
	f.BoolVar(&r.Private, "private", false, "a private repository")
	f.StringVar(&r.Plan, "plan", "enterprise", "its plan (enterprise, team, free): what environments of a private repository can do")
	return cmd
}

// teamsOf reads ORG/TEAM=LOGIN,LOGIN.
func teamsOf(members []string) (map[string][]string, error) {
	teams := map[string][]string{}
	for _, m := range members {
		team, logins, ok := strings.Cut(m, "=")
		if !ok || !strings.Contains(team, "/") || logins == "" {
			return nil, fmt.Errorf("--member is %q; it is ORG/TEAM=LOGIN[,LOGIN]", m)
		}
		teams[team] = append(teams[team], strings.Split(logins, ",")...)
	}
	return teams, nil
}
