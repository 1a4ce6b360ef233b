package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/agentcore"
	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/bootstrap"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/ecr"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/iam"
)

type bootstrapDocument struct {
	Schema       string                 `json:"schema"` // slipway.bootstrap/v1
	Outcome      string                 `json:"outcome"`
	Environments []bootstrapEnvironment `json:"environments"`
}

type bootstrapEnvironment struct {
	Name  string          `json:"name"`
	Steps []bootstrapStep `json:"steps"`
	// Missing are the agents without a runtime: --create makes it.
	Missing []string `json:"missing"`
	// Created are the deliveries that made runtimes.
	Created []deploymentDocument `json:"created"`
}

type bootstrapStep struct {
	ID       string             `json:"id"`
	Side     string             `json:"side"`
	Resource string             `json:"resource"`
	Action   bootstrap.Action   `json:"action"`
	Changes  []bootstrap.Change `json:"changes"`
	Notes    []string           `json:"notes"`
	Applied  bool               `json:"applied"`
}

// How a bootstrap ended.
const (
	planned      = "planned"
	bootstrapped = "bootstrapped"
	inPlace      = "unchanged"
)

// bootstrapFlags are the flags of slipway bootstrap.
type bootstrapFlags struct {
	environment   string
	dryRun        bool
	adopt         bool
	executionRole bool
	create        bool
	offGitHub     bool
	pinWorkflows  bool
	secrets       bool
	format        string
}

func (a *app) bootstrapCommand() *cobra.Command {
	var f bootstrapFlags
	cmd := &cobra.Command{
		Use:   "bootstrap [--env NAME]",
		Short: "AWS trust, roles, repositories and GitHub environments: plan, then apply",
		Long: "Makes what deliveries need and no more: GitHub's provider in the account; for each environment the\n" +
			"deploy role, which trusts exactly that environment's jobs, its boundary, image repositories, and the\n" +
			"GitHub environment with its reviewers and settings. It shows the plan first and asks. What another made\n" +
			"is never replaced nor deleted. Run it again to see what has drifted; it brings that back.",
		Example: `  slipway bootstrap --dry-run                  # what is missing; writes nothing
  slipway bootstrap --env dev                  # as an administrator of the account and the repository
  slipway bootstrap --env dev --create --yes   # and the runtime, by deploy --create`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.format != "" && f.format != "cloudformation" {
				return usage(cmd, fmt.Errorf("--format is cloudformation, not %q", f.format))
			}
			return a.bootstrap(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.environment, "env", "e", "", "one environment of slipway.yaml (SLIPWAY_ENV); all of them without it")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and stop")
	flags.BoolVar(&f.adopt, "adopt", false, "take over what another made under the same name")
	flags.BoolVar(&f.executionRole, "execution-role", false, "make the execution role where it is missing")
	flags.BoolVar(&f.create, "create", false, "make runtimes that are missing too, by deploy --create, and give the role their ids")
	flags.BoolVar(&f.offGitHub, "no-github", false, "leave GitHub alone; slipway.yaml has to name the ids: owner@1/name@2")
	flags.StringVar(&f.format, "format", "", "cloudformation prints the AWS side of one environment as a template, and stops")
	flags.BoolVar(&f.secrets, "secrets", false, "keep the settings on GitHub as sealed secrets, not as variables")
	flags.BoolVar(&f.pinWorkflows, "pin-workflows", false, "trust the generated workflows alone (job_workflow_ref)")
	a.actingFlags(cmd)
	return cmd
}

// setup is one environment on its way: where it stands and what is to be done.
type setup struct {
	name     string
	projects []*project // one for each agent
	account  bootstrap.Account
	host     *bootstrap.Host // nil where GitHub is left alone
	params   *agentcore.Parameters
	wanted   bootstrap.Environment
	hosted   bootstrap.HostEnvironment
	steps    []bootstrap.Step
	applied  map[int]bool
	created  []deploymentDocument
}

func (a *app) bootstrap(ctx context.Context, f bootstrapFlags) error {
	file, err := a.load()
	if err != nil {
		return err
	}
	if f.environment == "" {
		f.environment = a.Getenv("SLIPWAY_ENV")
	}
	if a.ci() {
		return &delivery.Error{Kind: delivery.KindRefused, Err: errors.New("bootstrap is an administrator's act: it does not run in CI")}
	}
	client, err := a.gitHub(file, f)
	if err != nil {
		return err
	}
	setups, err := a.setups(ctx, file, f, client)
	if err != nil {
		return err
	}
	if f.format != "" {
		return a.template(ctx, setups)
	}
	var refused []error
	for _, s := range setups {
		if err := s.plan(ctx); err != nil {
			refused = append(refused, a.explained(s.projects[0], err))
		}
	}
	share(setups)
	a.showPlan(setups, f)
	if err := refusal(refused); err != nil {
		return err
	}
	if f.dryRun {
		return a.bootstrapDone(setups, planned)
	}
	return a.applySetups(ctx, file, setups, f)
}

// share leaves what several environments need to the first of them: the
// account's provider and service roles, and a repository that they share.
func share(setups []*setup) {
	first := map[string]string{}
	for _, s := range setups {
		for i, step := range s.steps {
			if step.Side != bootstrap.AWS || !step.Pending() {
				continue
			}
			key := s.wanted.Account + " " + s.wanted.Region + " " + step.ID + " " + step.Resource
			if name := first[key]; name != "" {
				s.steps[i] = bootstrap.Step{ID: step.ID, Environment: step.Environment, Side: step.Side, Resource: step.Resource,
					Action: bootstrap.Keep, Notes: []string{"as above: " + name + " shares it"}}
				continue
			}
			first[key] = s.name
		}
	}
}

// template prints one environment as a CloudFormation template.
func (a *app) template(ctx context.Context, setups []*setup) error {
	if len(setups) != 1 {
		return &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("a template is of one environment"), Hints: []string{"name it: --env NAME"}}
	}
	s := setups[0]
	if err := s.readRuntimes(ctx); err != nil {
		return err
	}
	text, err := bootstrap.Template(s.wanted)
	if err == nil {
		_, err = a.ui.out.Write(text)
	}
	return err
}

// refusal says what is in the way, with the way out.
func refusal(errs []error) error {
	err := errors.Join(errs...)
	var foreign *bootstrap.ForeignError
	if !errors.As(err, &foreign) {
		return err
	}
	return &delivery.Error{Kind: delivery.KindRefused, Err: err,
		Hints: []string{"--adopt takes it over: it is then changed as the plan shows", "or choose another name in slipway.yaml"}}
}

// setups opens the environments that the command is about.
func (a *app) setups(ctx context.Context, file *config.File, f bootstrapFlags, client *github.Client) ([]*setup, error) {
	names := []string{f.environment}
	if f.environment == "" {
		names = nil
		for _, e := range file.Environments() {
			names = append(names, e.Name)
		}
	}
	var all []*setup
	for _, name := range names {
		s, err := a.setup(ctx, file, name, f, client)
		if delivery.KindOf(err) == delivery.KindAccount && f.environment == "" {
			err = &delivery.Error{Kind: delivery.KindAccount, Err: err,
				Hints: []string{"environments of several accounts: give each its profile in slipway.yaml, or set one up at a time with --env"}}
		}
		if err != nil {
			return nil, err
		}
		if err := apart(all, s, f); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// apart refuses roles that environments would share: one would undo what the
// other needs.
func apart(all []*setup, s *setup, f bootstrapFlags) error {
	shared := func(role, what, why, variable string) error {
		return &delivery.Error{Kind: delivery.KindUsage, Op: "planning " + s.name, Err: fmt.Errorf("%s is the %s too: %s", role, what, why),
			Hints: []string{"name one for each environment in slipway.yaml; " + variable + " is of one environment: unset it, or name that one with --env"}}
	}
	for _, other := range all {
		if role := s.wanted.DeployRole; role == other.wanted.DeployRole {
			return shared(role, "deploy role of "+other.name, "jobs of one would be let into the other", config.EnvDeployRole)
		}
		if role := s.wanted.ExecutionRole; f.executionRole && role == other.wanted.ExecutionRole {
			return shared(role, "execution role of "+other.name, "what --execution-role makes is for the agents of one environment", config.EnvExecutionRole)
		}
	}
	return nil
}

func (a *app) setup(ctx context.Context, file *config.File, name string, f bootstrapFlags, client *github.Client) (*setup, error) {
	s := &setup{name: name, applied: map[int]bool{}}
	for _, agent := range file.Agents() {
		p, err := a.pick(file, selection{agent: agent.Name, environment: name, look: true})
		if err != nil {
			return nil, err
		}
		s.projects = append(s.projects, p)
	}
	p := s.projects[0]
	session, err := a.session(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := (&delivery.Deliverer{Target: p.target, Login: session, Observe: func(delivery.Event) {}}).Admit(ctx); err != nil {
		return nil, err
	}
	roles := &iam.Client{Config: session.Config(awsauth.IAM)}
	s.account = bootstrap.Account{Providers: roles, Roles: roles, ServiceRoles: roles, Policies: roles,
		Repositories: ecr.New(session.Config(awsauth.ECR)), Adopt: f.adopt}
	s.params = agentcore.NewParameters(session.Config(awsauth.SSM))
	if s.wanted, err = a.wanted(ctx, file, s, f, client); err != nil {
		return nil, err
	}
	if client != nil {
		s.host = &bootstrap.Host{Gates: client, Settings: client, Names: client, Seal: f.secrets}
		s.hosted = hosted(p, s.wanted)
	}
	return s, nil
}

// plan reads the account, runtimes' ids first: the deploy role is made for
// exactly those.
func (s *setup) plan(ctx context.Context) error {
	if err := s.readRuntimes(ctx); err != nil {
		return err
	}
	return s.planSteps(ctx)
}

func (s *setup) readRuntimes(ctx context.Context) error {
	for i, p := range s.projects {
		id, err := s.params.Parameter(ctx, "/"+p.target.Agent+"/"+s.name+"/runtime-id")
		if err != nil && !errors.Is(err, delivery.ErrNotFound) {
			return err
		}
		s.wanted.Agents[i].RuntimeID = strings.TrimSpace(id)
	}
	return nil
}

func (s *setup) planSteps(ctx context.Context) error {
	s.applied = map[int]bool{}
	var gate, values []bootstrap.Step
	if s.host != nil {
		step, err := s.host.Gate(ctx, s.hosted)
		if err != nil {
			return err
		}
		gate = []bootstrap.Step{step}
		if values, err = s.host.Values(ctx, s.hosted); err != nil {
			return err
		}
	}
	steps, err := s.account.Plan(ctx, s.wanted)
	s.steps = slices.Concat(gate, steps, values)
	return err
}

// missing are the agents that have no runtime.
func (s *setup) missing() []string {
	names := []string{}
	for _, agent := range s.wanted.Agents {
		if agent.RuntimeID == "" {
			names = append(names, agent.Name)
		}
	}
	return names
}

func pending(setups []*setup) bool {
	return slices.ContainsFunc(setups, func(s *setup) bool { return slices.ContainsFunc(s.steps, bootstrap.Step.Pending) })
}

// applySetups asks, carries the plan out, and looks whether all is in place.
func (a *app) applySetups(ctx context.Context, file *config.File, setups []*setup, f bootstrapFlags) error {
	missing := f.create && slices.ContainsFunc(setups, func(s *setup) bool { return len(s.missing()) > 0 })
	if !pending(setups) && !missing {
		return a.bootstrapDone(setups, inPlace)
	}
	if !a.yes {
		if err := a.ui.confirm(ctx, "carry this out?"); err != nil {
			return err
		}
	}
	for _, s := range setups {
		if err := a.applySetup(ctx, file, s, f); err != nil {
			return a.explained(s.projects[0], failedSetup(s, err))
		}
	}
	return a.bootstrapDone(setups, bootstrapped)
}

// failedSetup says what stands after a step that failed.
func failedSetup(s *setup, err error) error {
	kind := delivery.KindFailed
	if errors.Is(err, context.Canceled) {
		kind = delivery.KindInterrupted
	}
	failure := &delivery.Error{Kind: kind, Op: "setting up " + s.name, Err: err, Hints: []string{"the same command goes on from there"}}
	if n := len(s.applied); n > 0 {
		failure.Hints = []string{fmt.Sprintf("%s of %s carried out, and stay; the same command goes on from there", plural(n, "step"), s.name)}
	}
	return failure
}

func (a *app) applySetup(ctx context.Context, file *config.File, s *setup, f bootstrapFlags) error {
	if err := a.applySteps(ctx, s); err != nil {
		return err
	}
	if f.create && len(s.missing()) > 0 {
		for _, agent := range s.missing() {
			doc, err := a.createFor(ctx, file, agent, s.name)
			if err != nil {
				return err
			}
			s.created = append(s.created, doc)
		}
		return a.narrow(ctx, s)
	}
	return nil
}

func (a *app) applySteps(ctx context.Context, s *setup) error {
	i := 0
	return bootstrap.Apply(ctx, s.steps, func(done bootstrap.Step) {
		for !s.steps[i].Pending() {
			i++
		}
		s.applied[i] = true
		i++
		a.ui.line("%s %-7s %-18s %s", a.ui.paint(green, "done"), done.Action, done.ID, done.Resource)
	})
}

// createFor makes an agent's runtime, as an administrator does by hand.
func (a *app) createFor(ctx context.Context, file *config.File, agent, environment string) (deploymentDocument, error) {
	yes := a.yes
	a.yes = true // it was asked already
	defer func() { a.yes = yes }()
	out := a.ui.out
	a.ui.out = a.ui.err // its result is not ours
	defer func() { a.ui.out = out }()
	doc, err := a.createWith(ctx, file, agent, environment)
	made, _ := doc.(deploymentDocument) // empty where there is nothing to tell but the error
	return made, err
}

// createWith makes the runtime with what serves in the environment before,
// where there is one and that can be proved; else with what HEAD is built to.
func (a *app) createWith(ctx context.Context, file *config.File, agent, environment string) (any, error) {
	if e, err := file.Environment(environment); err == nil && e.After != "" {
		doc, err := a.promoteOne(ctx, file, promoteFlags{agent: agent, to: environment, create: true})
		// An administrator of this account alone can't tell what the other serves.
		var none *unproved
		if !errors.As(err, &none) || !errors.Is(err, delivery.ErrNothingServes) && delivery.KindOf(err) != delivery.KindAccount {
			return doc, err
		}
		a.ui.line("  nothing is promoted from %s, HEAD is built: %v", e.After, a.ui.tame(err.Error()))
	}
	return a.deployOne(ctx, file, deployFlags{selection: selection{agent: agent, environment: environment}, create: true, outOfOrder: true})
}

// narrow gives the deploy role the runtimes that were made, and no others.
func (a *app) narrow(ctx context.Context, s *setup) error {
	before := s.steps
	if err := s.plan(ctx); err != nil {
		return err
	}
	if err := a.applySteps(ctx, s); err != nil {
		return err
	}
	s.steps = append(slices.DeleteFunc(before, func(b bootstrap.Step) bool { return !b.Pending() }), s.steps...)
	for i := range s.steps {
		s.applied[i] = s.steps[i].Pending()
	}
	return nil
}
