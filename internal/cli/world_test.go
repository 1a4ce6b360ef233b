package cli

import (
	"context"
	"errors"
	"os"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/bootstrap"
	"github.com/slipway-cd/slipway/internal/ecr"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/iam"
	"github.com/slipway-cd/slipway/internal/trust"
)

// smallAgent is the source of the agent that worlds deliver.
func smallAgent() (string, error) {
	source, err := os.ReadFile("testdata/world/agent.go.txt")
	return string(source), err
}

// trustByHand sets a world up as a stack of one's own does, without bootstrap:
// the policies of testdata/world, which name runtimes by their beginning, so
// that tests may make them when they like.
func (d *demo) trustByHand(ctx context.Context) error {
	env, err := d.api.administrator(ctx, demoAccount)
	if err != nil {
		return err
	}
	session, err := awsauth.Source{Getenv: func(name string) string { return env[name] }, Region: demoRegion}.Open(ctx)
	if err != nil {
		return err
	}
	admin := &iam.Client{Config: session.Config(awsauth.IAM)}
	if err := admin.CreateProvider(ctx, trust.GitHubIssuer, awsauth.DefaultAudience, nil); err != nil {
		return err
	}
	for name, kind := range map[string]string{demoDeployRole: "deploy", "supportAgentExecutionRole-dev": "execution"} {
		who, err := os.ReadFile("testdata/world/" + kind + "-trust.json")
		what, errWhat := os.ReadFile("testdata/world/" + kind + "-policy.json")
		if err := errors.Join(err, errWhat); err != nil {
			return err
		}
		if err := admin.CreateRole(ctx, trust.Role{Name: name, Trust: who, Inline: []trust.Document{{Name: "slipway", JSON: what}}}); err != nil {
			return err
		}
	}
	host := &github.Client{Getenv: func(name string) string { return env[name] }, Name: "acme/agents"}
	if err := host.PutGate(ctx, bootstrap.Gate{Name: "dev", NamedBranches: true, Branches: []bootstrap.BranchRule{{Name: "main"}}}); err != nil {
		return err
	}
	_, err = ecr.New(session.Config(awsauth.ECR)).CreateRepository(ctx, demoRepository)
	return err
}
