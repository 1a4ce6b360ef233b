package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/bootstrap"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/trust"
	"github.com/slipway-cd/slipway/internal/workflow/generate"
)

// wanted is what slipway.yaml asks for, in the words of policies.
func (a *app) wanted(ctx context.Context, file *config.File, s *setup, f bootstrapFlags, client *github.Client) (bootstrap.Environment, error) {
	p := s.projects[0]
	e := bootstrap.Environment{Owner: file.GitHub.String() + "/" + s.name, MakeExecutionRole: f.executionRole}
	e.Deployment = deployment(s.projects...)
	for i, p := range s.projects {
		from, err := a.pullFrom(file, p)
		if err != nil {
			return e, err
		}
		e.Agents[i].PullFrom = from
	}
	var err error
	if e.DeployRole, err = deployRole(file, e.Deployment, a.Getenv); err != nil {
		return e, err
	}
	e.Pullers = pullers(file, s.projects)
	if e.ExecutionRole == "" {
		return e, &delivery.Error{Kind: delivery.KindConfig, Op: "planning " + s.name, Err: errors.New("no execution role is named"),
			Hints: []string{"set environments." + s.name + ".execution_role in slipway.yaml, or EXECUTION_ROLE_ARN"}}
	}
	e.Caller, err = a.caller(ctx, file, p, f, client)
	return e, err
}

// roleOf is the deploy role of an environment: the file's, or its default name.
func roleOf(file *config.File, e config.Environment, region string) string {
	return cmp.Or(e.DeployRole, "arn:"+trust.Partition(region)+":iam::"+e.Account+":role/slipway-"+file.GitHub.Name+"-"+e.Name)
}

// pullFrom is the repository that an agent is promoted from, where it is not
// the environment's own.
func (a *app) pullFrom(file *config.File, p *project) ([]string, error) {
	if p.env.After == "" {
		return nil, nil
	}
	from, err := a.pick(file, selection{agent: p.target.Agent, environment: p.env.After, look: true})
	if err != nil {
		return nil, err
	}
	f, t := from.target, p.target
	if f.Registry == t.Registry && f.Repository == t.Repository {
		return nil, nil
	}
	return []string{"arn:" + trust.Partition(f.Region) + ":ecr:" + f.Region + ":" + f.Account + ":repository/" + f.Repository}, nil
}

// pullers are the deploy roles of other accounts that promote from the
// repositories of an environment, by repository: also those that promote from
// another environment which keeps its images there.
func pullers(file *config.File, projects []*project) map[string][]string {
	roles := map[string][]string{}
	for _, p := range projects {
		t := p.target
		for _, e := range file.Environments() {
			from, err := file.Environment(e.After)
			if err != nil || e.Account == t.Account || from.Account != t.Account || cmp.Or(from.Region, file.Region, t.Region) != t.Region ||
				p.agent.RepositoryIn(from.Name) != t.Repository {
				continue
			}
			role := roleOf(file, e, cmp.Or(e.Region, file.Region, t.Region))
			if !slices.Contains(roles[t.Repository], role) {
				roles[t.Repository] = append(roles[t.Repository], role)
			}
		}
	}
	return roles
}

// workflows are the generated ones that deliver.
func workflows() []string { return []string{generate.Deploy, generate.Rollback} }

// caller is the job that the deploy role will trust, as GitHub itself
// describes it; slipway.yaml's own ids stand in where GitHub is left alone.
func (a *app) caller(ctx context.Context, file *config.File, p *project, f bootstrapFlags, client *github.Client) (trust.Caller, error) {
	c := trust.Caller{Account: p.target.Account, Region: p.target.Region, Environment: p.target.Environment}
	repository := bootstrap.HostRepository{FullName: file.GitHub.String(), ID: file.GitHub.NameID, DefaultBranch: "main", Admin: true}
	form := bootstrap.SubjectForm{Prefix: "repo:" + file.GitHub.Subject()}
	if client != nil {
		var err error
		if repository, err = client.Repository(ctx); err != nil {
			return c, atGitHub("reading the repository "+client.Name, err)
		}
		if form, err = client.Subject(ctx); err != nil {
			return c, atGitHub("reading how GitHub makes the subjects of "+client.Name, err)
		}
	}
	if err := sameRepository(file, repository); err != nil {
		return c, err
	}
	var err error
	if c.Subjects, err = form.Subjects(p.target.Environment); err != nil {
		return c, err
	}
	c.RepositoryID, c.Ref = repository.ID, "refs/heads/"+cmp.Or(p.env.Branch, repository.DefaultBranch)
	if f.pinWorkflows {
		for _, name := range workflows() {
			c.Workflows = append(c.Workflows, repository.FullName+"/"+name+"@"+c.Ref)
		}
	}
	return c, nil
}

// sameRepository compares what slipway.yaml says with GitHub's answer, and
// refuses a token that could not carry the plan out.
func sameRepository(file *config.File, r bootstrap.HostRepository) error {
	refused := func(err error, hint string) error {
		return &delivery.Error{Kind: delivery.KindRefused, Op: "comparing slipway.yaml with GitHub", Err: err, Hints: []string{hint}}
	}
	g := file.GitHub
	switch {
	case r.FullName != g.String():
		return refused(fmt.Errorf("github: is %s, GitHub calls it %s", g, r.FullName), "write it as GitHub does: subjects have case")
	case g.NameID != "" && g.NameID != r.ID:
		return refused(fmt.Errorf("github: names repository %s, GitHub answers %s", g.NameID, r.ID), "another repository has taken the name: look before anything trusts it")
	case !r.Admin:
		return refused(errors.New("the token may not change the settings of "+r.FullName), "an administrator of the repository runs this; or --no-github leaves GitHub alone")
	}
	return nil
}

func atGitHub(op string, err error) error {
	kind := delivery.KindUnavailable
	var remote *delivery.RemoteError
	if errors.As(err, &remote) {
		kind = delivery.KindDenied
	}
	return &delivery.Error{Kind: kind, Op: op, Err: err, Hints: []string{"GH_TOKEN has to belong to an administrator of the repository"}}
}

// gitHub is the client of the repository's settings, nil where GitHub is left
// alone.
func (a *app) gitHub(file *config.File, f bootstrapFlags) (*github.Client, error) {
	if f.offGitHub {
		if file.GitHub.NameID == "" {
			return nil, &delivery.Error{Kind: delivery.KindConfig, Err: errors.New("without GitHub, slipway.yaml has to name the repository's ids"),
				Hints: []string{"github: owner@1/name@2, as `gh api repos/" + file.GitHub.String() + "` tells them"}}
		}
		return nil, nil
	}
	client := &github.Client{Getenv: a.Getenv, Name: file.GitHub.String()}
	switch {
	case client.Name == "":
		return nil, &delivery.Error{Kind: delivery.KindConfig, Err: errors.New("slipway.yaml names no repository"), Hints: []string{"github: owner/name"}}
	case !client.HasToken():
		return nil, &delivery.Error{Kind: delivery.KindCredentials, Op: "asking GitHub what the jobs' tokens say", Err: errors.New("GH_TOKEN is not set"),
			Hints: []string{"export GH_TOKEN=$(gh auth token), of an administrator of the repository", "or --no-github, where slipway.yaml names the ids: owner@1/name@2"}}
	}
	return client, nil
}

// hosted is what GitHub shall hold.
func hosted(p *project, e bootstrap.Environment) bootstrap.HostEnvironment {
	return bootstrap.HostEnvironment{Name: p.target.Environment, Reviewers: p.env.Reviewers, Branch: strings.TrimPrefix(e.Caller.Ref, "refs/heads/"),
		Values: map[string]string{config.EnvDeployRole: e.DeployRole, config.EnvExecutionRole: e.ExecutionRole,
			config.EnvSecurityGroup: strings.Join(e.SecurityGroups, ","), config.EnvSubnets: strings.Join(e.Subnets, ",")}}
}
