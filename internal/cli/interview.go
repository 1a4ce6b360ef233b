package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/scaffold"
)

type initFlags struct {
	agents                       []string
	environment, account, github string
	dryRun                       bool
}

// check reports all flags that slipway.yaml would refuse.
func (f initFlags) check(region string) error {
	var errs []error
	refuse := func(flag string, kind config.Value, values ...string) {
		for _, v := range values {
			if err := config.CheckValue(kind, v); err != nil {
				errs = append(errs, fmt.Errorf("--%s %w", flag, err))
			}
		}
	}
	refuse("agent", config.ValueAgent, f.agents...)
	refuse("env", config.ValueName, given(f.environment)...)
	refuse("account", config.ValueAccount, given(f.account)...)
	refuse("github", config.ValueGitHub, given(f.github)...)
	refuse("region", config.ValueRegion, given(region)...)
	if len(errs) > 0 {
		return &delivery.Error{Kind: delivery.KindUsage, Err: errors.Join(errs...)}
	}
	return nil
}

// given is the value of a flag that was set.
func given(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// interview makes a proposal of a survey, flags and answers: what flags or the
// repository say is not asked, and what nobody says is not made up.
type interview struct {
	*app
	flags   initFlags
	survey  *scaffold.Survey
	github  string
	branch  string
	missing []string // flags that would have answered, where nobody can be asked
}

// origin takes the repository's name on GitHub from the remote.
func (i *interview) origin(address string, remote scaffold.Remote, isRemote bool) {
	i.github = i.flags.github
	if config.CheckValue(config.ValueBranch, i.branch) != nil {
		i.branch = ""
	}
	switch {
	case i.github != "" || address == "":
	case !isRemote:
		i.survey.Notes = append(i.survey.Notes, "git's remote names no repository on GitHub; --github owner/name does")
	case !remote.OnGitHub(i.serverHost()):
		i.survey.Notes = append(i.survey.Notes, fmt.Sprintf("git's remote is on %s: if that is GitHub, --github %s says so", remote.Host, remote))
	default:
		i.github = remote.String()
		found := "git remote " + i.github
		if i.branch != "" {
			found += ", default branch " + i.branch
		}
		i.survey.Found = append(i.survey.Found, found)
	}
}

// proposal asks what is not known, at most four things.
func (i *interview) proposal(ctx context.Context) (scaffold.Proposal, error) {
	var p scaffold.Proposal
	var err error
	if p.Agents, err = i.agents(ctx); err != nil {
		return p, err
	}
	if p.Environments, err = i.environments(ctx); err != nil {
		return p, err
	}
	if len(i.missing) > 0 {
		return p, &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("there is no terminal to ask on, and the repository does not say it all"),
			Hints: []string{"add " + strings.Join(i.missing, " ")}}
	}
	p.GitHub = i.github
	if p.GitHub == "" && i.ui.asks {
		p.GitHub, err = i.ui.ask(ctx, "repository on GitHub, owner/name (empty for none yet)", "", func(s string) error {
			if s == "" {
				return nil
			}
			return config.CheckValue(config.ValueGitHub, s)
		})
	}
	return p, err
}

// agents are those that the flags choose, or the answer does.
func (i *interview) agents(ctx context.Context) ([]scaffold.Agent, error) {
	all := slices.Clone(i.survey.Agents)
	chosen := i.flags.agents
	switch {
	case len(all) == 0:
		return nil, &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("the repository shows nothing to deliver: no Dockerfile, and no Go program"),
			Hints: []string{"an agent is a container that answers POST /invocations and GET /ping on port 8080: add its Dockerfile, or a Go main package"}}
	case len(all) == 1 && len(chosen) > 1:
		return nil, &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("--agent is given several times; the repository shows one agent")}
	case len(all) == 1:
		name, err := i.name(ctx, all[0])
		if err != nil {
			return nil, err
		}
		all[0].Rename(name)
		return all, nil
	case len(chosen) == 0 && i.survey.Certain:
		return all, nil
	}
	if len(chosen) == 0 {
		if !i.ui.asks {
			i.missing = append(i.missing, "--agent "+strings.Join(names(all), " --agent "))
			return all, nil
		}
		answer, err := i.ui.ask(ctx, "agents, of those found", strings.Join(names(all), ","), func(s string) error {
			_, err := pickAgents(all, strings.Split(s, ","))
			return err
		})
		if err != nil {
			return nil, err
		}
		chosen = strings.Split(answer, ",")
	}
	picked, err := pickAgents(all, chosen)
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindUsage, Err: err}
	}
	return picked, nil
}

// name is what the only agent is called.
func (i *interview) name(ctx context.Context, a scaffold.Agent) (string, error) {
	switch {
	case len(i.flags.agents) == 1:
		return i.flags.agents[0], nil
	case a.Named || !i.ui.asks:
		return a.Name, nil
	}
	return i.ui.ask(ctx, "name of the agent", a.Name, func(s string) error { return config.CheckValue(config.ValueAgent, s) })
}

func names(agents []scaffold.Agent) []string {
	var all []string
	for _, a := range agents {
		all = append(all, a.Name)
	}
	return all
}

// pickAgents are the agents of the names, in the survey's order.
func pickAgents(all []scaffold.Agent, chosen []string) ([]scaffold.Agent, error) {
	wanted := map[string]bool{}
	for _, name := range chosen {
		name = strings.TrimSpace(name)
		if !slices.Contains(names(all), name) {
			return nil, fmt.Errorf("there is no %q; there are %s", name, strings.Join(names(all), ", "))
		}
		wanted[name] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(a scaffold.Agent) bool { return !wanted[a.Name] }), nil
}

// environments are those of the targets that the repository names, or one.
func (i *interview) environments(ctx context.Context) ([]scaffold.Environment, error) {
	targets, err := i.targets()
	if err != nil {
		return nil, err
	}
	var environments []scaffold.Environment
	answered := i.regionVariable()
	for _, t := range targets {
		e := scaffold.Environment{Name: t.Name, Account: cmp.Or(i.flags.account, t.Account),
			Region: cmp.Or(i.region, t.Region, answered), Branch: i.branch}
		if e.Account, err = i.need(ctx, e.Account, "AWS account of "+e.Name, "--account ACCOUNT", config.ValueAccount); err != nil {
			return nil, err
		}
		if e.Region, err = i.need(ctx, e.Region, "AWS region", "--region REGION", config.ValueRegion); err != nil {
			return nil, err
		}
		if t.Region == "" {
			answered = e.Region // one answer for all
		}
		environments = append(environments, e)
	}
	return environments, nil
}

// regionVariable is the region that the AWS tools would take.
func (i *interview) regionVariable() string {
	region := cmp.Or(i.Getenv("AWS_REGION"), i.Getenv("AWS_DEFAULT_REGION"))
	if config.CheckValue(config.ValueRegion, region) != nil {
		return ""
	}
	return region
}

// targets are what the repository names, with the names of environments. Of
// several that no file tells apart none is taken.
func (i *interview) targets() ([]scaffold.Target, error) {
	targets := slices.Clone(i.survey.Targets)
	named := len(targets) > 0 && targets[0].Name != ""
	name := i.flags.environment
	if !named || len(targets) == 1 {
		if name == "" && named && targets[0].Name != "default" {
			name = targets[0].Name
		}
		if name == "" {
			name = "dev"
		}
		if len(targets) == 1 {
			targets[0].Name = name
			return targets, nil
		}
		return []scaffold.Target{{Name: name}}, nil
	}
	if name != "" {
		at := slices.IndexFunc(targets, func(t scaffold.Target) bool { return t.Name == name })
		if at < 0 {
			var all []string
			for _, t := range targets {
				all = append(all, t.Name)
			}
			return nil, &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("aws-targets.json has no target %q; it has %s", name, strings.Join(all, ", "))}
		}
		return targets[at : at+1], nil
	}
	if i.flags.account != "" {
		return nil, &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("--account can't hold for all targets of aws-targets.json"),
			Hints: []string{"--env names the one that is meant"}}
	}
	return targets, nil
}

// need is a value that is known, or the answer to a question, or a flag that
// is missing.
func (i *interview) need(ctx context.Context, known, question, flag string, kind config.Value) (string, error) {
	check := func(s string) error { return config.CheckValue(kind, s) }
	switch {
	case known != "":
		return known, nil
	case !i.ui.asks:
		if !slices.Contains(i.missing, flag) {
			i.missing = append(i.missing, flag)
		}
		return "", nil
	}
	return i.ui.ask(ctx, question, "", check)
}
