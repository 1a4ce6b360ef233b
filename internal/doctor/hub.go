package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// hubRepository is the repository as GitHub has it now.
func (x *examination) hubRepository(ctx context.Context) (GitHubRepository, error) {
	return x.hub.get(func() (GitHubRepository, error) {
		switch {
		case x.Project.GitHub == "":
			return GitHubRepository{}, skipped("slipway.yaml does not name the repository (github:)")
		case x.GitHub == nil && x.getenv("GH_TOKEN") == "" && x.getenv("GITHUB_TOKEN") == "":
			return GitHubRepository{}, skipped("no token for GitHub: GH_TOKEN or GITHUB_TOKEN")
		case x.GitHub == nil:
			return GitHubRepository{}, skipped("GitHub was not asked")
		}
		return x.GitHub.Repository(ctx)
	})
}

func hubRepository(ctx context.Context, x *examination) (string, error) {
	p := x.Project
	r, err := x.hubRepository(ctx)
	if errors.Is(err, delivery.ErrNotFound) {
		x.finding("doctor/github-repository-missing", "GitHub has no repository "+p.GitHub+", or the token does not see it",
			"correct github: in slipway.yaml, or use a token that may read the repository").in(p.File)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if p.NameID != "" && (p.NameID != r.ID || p.OwnerID != r.OwnerID) {
		x.finding("doctor/github-ids", fmt.Sprintf("%s is repository %s of owner %s; slipway.yaml says %s of %s", p.GitHub, r.ID, r.OwnerID, p.NameID, p.OwnerID),
			"it is another repository of the same name: correct github:, and look at who the deploy role trusts").in(p.File)
	}
	if r.FullName != p.GitHub {
		x.finding("doctor/github-renamed", p.GitHub+" is called "+r.FullName+" now: its jobs send "+x.subject(r.SubjectPrefix),
			"correct github: in slipway.yaml and run slipway bootstrap, which writes that subject").in(p.File)
	}
	return x.subject(r.SubjectPrefix), nil
}

func hubEnvironment(ctx context.Context, x *examination) (string, error) {
	if _, err := x.hubRepository(ctx); err != nil {
		return "", x.withoutHub(err)
	}
	name := x.Target.Environment
	e, err := x.GitHub.Environment(ctx, name)
	if errors.Is(err, delivery.ErrNotFound) {
		x.finding("doctor/environment-missing", "GitHub has no environment "+name+": the first job that names it makes it, unprotected",
			"slipway bootstrap makes and protects it").on(name)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if x.Project.Approvals {
		x.approvals(e)
	}
	if x.Project.Branch != "" {
		x.branches(e)
	}
	return count(len(e.Reviewers), "reviewer"), nil
}

// withoutHub is the reason for skipping where the repository itself can't be
// read; that it isn't there, another check has said.
func (x *examination) withoutHub(err error) error {
	if errors.Is(err, delivery.ErrNotFound) {
		return skipped("GitHub has no such repository")
	}
	return err
}

func (x *examination) approvals(e GitHubEnvironment) {
	name := x.Target.Environment
	if len(e.Reviewers) == 0 {
		x.finding("doctor/no-reviewers", "slipway.yaml asks for approvals of "+name+", and GitHub asks nobody",
			"slipway bootstrap sets the reviewers; in private repositories GitHub drops them silently below Enterprise").on(name)
		return
	}
	for _, want := range x.Project.Reviewers {
		if !slices.ContainsFunc(e.Reviewers, func(has string) bool { return strings.EqualFold(has, want) }) {
			x.finding("doctor/reviewers-differ", "GitHub does not ask "+want+" for "+name, "slipway bootstrap adds the reviewer").on(name)
		}
	}
	if !e.PreventSelfReview {
		x.finding("doctor/self-review", "whoever starts a deployment to "+name+" may approve it", "slipway bootstrap prevents self-review").on(name)
	}
	if e.AdminsBypass {
		x.finding("doctor/admins-bypass", "administrators may pass the approvals of "+name, "turn off bypassing in the environment's settings").on(name)
	}
}

func (x *examination) branches(e GitHubEnvironment) {
	name, branch := x.Target.Environment, x.Project.Branch
	switch {
	case e.AnyBranch:
		x.finding("doctor/branch-policy", "any branch or tag may deploy to "+name+"; slipway.yaml names "+branch, "slipway bootstrap lets "+branch+" alone deploy").on(name)
	case e.ProtectedBranches:
		x.finding("doctor/branch-policy", "every protected branch may deploy to "+name+", and every branch while none is protected", "slipway bootstrap lets "+branch+" alone deploy").on(name)
	default:
		x.branchPatterns(e.Branches)
	}
}

// branchPatterns compares GitHub's patterns, in which * is no / (GitHub docs:
// deployments and environments), with the one branch.
func (x *examination) branchPatterns(patterns []string) {
	name, branch := x.Target.Environment, x.Project.Branch
	admitted := false
	for _, p := range patterns {
		if ok, err := path.Match(p, branch); ok && err == nil {
			admitted = true
		}
		if p != branch {
			x.finding("doctor/branch-policy", "branches like "+p+" may deploy to "+name+"; slipway.yaml names "+branch, "slipway bootstrap lets "+branch+" alone deploy").on(name)
		}
	}
	if !admitted {
		x.finding("doctor/branch-refused", "the branch "+branch+" may not deploy to "+name, "slipway bootstrap lets it").on(name)
	}
}

// list puts a list of ids, in whichever of its forms, into one.
func list(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n[]\"", r) }), ",")
}

// hubVariables compares what jobs are given with slipway.yaml.
func hubVariables(ctx context.Context, x *examination) (string, error) {
	if _, err := x.hubRepository(ctx); err != nil {
		return "", x.withoutHub(err)
	}
	variables, err := x.GitHub.Variables(ctx, x.Target.Environment)
	if errors.Is(err, delivery.ErrNotFound) {
		return "", skipped("GitHub has no such environment")
	}
	if err != nil {
		return "", err
	}
	want := map[string]string{
		"AWS_DEPLOY_ROLE_ARN":     x.Project.DeployRole,
		"EXECUTION_ROLE_ARN":      x.Target.ExecutionRole,
		"AGENT_SUBNET_IDS":        strings.Join(x.Project.Subnets, ","),
		"AGENT_SECURITY_GROUP_ID": strings.Join(x.Project.SecurityGroups, ","),
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got := list(variables[name]); got != "" && want[name] != "" && got != want[name] {
			x.finding("doctor/variable-differs", fmt.Sprintf("the variable %s of %s is %s; slipway.yaml says %s", name, x.Target.Environment, got, want[name]),
				"correct one of the two: in a job the variable wins").on(name)
		}
	}
	return count(len(variables), "variable"), nil
}
