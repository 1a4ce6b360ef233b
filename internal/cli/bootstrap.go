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
	"github.com/slipway-cd/slipway/internal/iam"
	"github.com/slipway-cd/slipway/internal/trust"
)

type bootstrapDocument struct {
	Schema       string                 `json:"schema"` // slipway.bootstrap/v1
	Outcome      string                 `json:"outcome"`
	Environments []bootstrapEnvironment `json:"environments"`
}

type bootstrapEnvironment struct {
	Name  string          `json:"name"`
	Steps []bootstrapStep `json:"steps"`
	// Create are the agents without a runtime, for deploy --create.
	Create []string `json:"create"`
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
		RunE: func(cmd *cobra.Command, _ []string) error { return a.bootstrap(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.environment, "env", "e", "", "one environment of slipway.yaml (SLIPWAY_ENV); all of them without it")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and stop")
	flags.BoolVar(&f.adopt, "adopt", false, "take over what another made under the same name")
	flags.BoolVar(&f.executionRole, "execution-role", false, "make the execution role where it is missing")
	flags.BoolVar(&f.create, "create", false, "make runtimes that are missing too, by deploy --create, and give the role their ids")
	flags.BoolVar(&f.offGitHub, "no-github", false, "leave GitHub alone; slipway.yaml has to name the ids: owner@1/name@2")
	flags.BoolVar(&f.pinWorkflows, "pin-workflows", false, "trust the generated workflows alone (job_workflow_ref)")
	a.actingFlags(cmd)
	return cmd
}

// setup is one environment on its way: where it stands and what is to be done.
type setup struct {
	name     string
	projects []*project // one for each agent
	account  bootstrap.Account
	params   *agentcore.Parameters
	wanted   bootstrap.Environment
	steps    []bootstrap.Step
	applied  map[int]bool
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
	setups, err := a.setups(ctx, file, f)
	if err != nil {
		return err
	}
	var refused []error
	for _, s := range setups {
		if err := s.plan(ctx); err != nil {
			refused = append(refused, err)
		}
	}
	a.showPlan(setups, f)
	if err := refusal(refused); err != nil {
		return err
	}
	if f.dryRun {
		return a.bootstrapDone(setups, planned)
	}
	return a.applySetups(ctx, file, setups, f)
}

// refusal says what is in the way, with the way out.
func refusal(errs []error) error {
	err := errors.Join(errs...)
	var foreign *bootstrap.Foreign
	if !errors.As(err, &foreign) {
		return err
	}
	return &delivery.Error{Kind: delivery.KindRefused, Err: err,
		Hints: []string{"--adopt takes it over: it is then changed as the plan shows", "or choose another name in slipway.yaml"}}
}

// setups opens the environments that the command is about.
func (a *app) setups(ctx context.Context, file *config.File, f bootstrapFlags) ([]*setup, error) {
	names := []string{f.environment}
	if f.environment == "" {
		names = nil
		for _, e := range file.Environments() {
			names = append(names, e.Name)
		}
	}
	var all []*setup
	for _, name := range names {
		s, err := a.setup(ctx, file, name, f)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (a *app) setup(ctx context.Context, file *config.File, name string, f bootstrapFlags) (*setup, error) {
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
	s.wanted, err = a.wanted(file, s, f)
	return s, err
}

// wanted is what slipway.yaml asks for, in the words of policies.
func (a *app) wanted(file *config.File, s *setup, f bootstrapFlags) (bootstrap.Environment, error) {
	p := s.projects[0]
	e := bootstrap.Environment{Owner: file.GitHub.String() + "/" + s.name, MakeExecutionRole: f.executionRole}
	e.Deployment = trust.Deployment{Account: p.target.Account, Region: p.target.Region, Environment: s.name, Endpoint: p.target.Endpoint,
		ExecutionRole: p.target.ExecutionRole, Subnets: p.env.Network.Subnets, SecurityGroups: p.env.Network.SecurityGroups, Logs: true}
	for _, p := range s.projects {
		e.Agents = append(e.Agents, trust.Agent{Name: p.target.Agent, Repository: p.target.Repository})
	}
	var err error
	if e.DeployRole, err = file.DeployRole(s.name, a.Getenv); err != nil {
		return e, err
	}
	if e.DeployRole == "" {
		e.DeployRole = "arn:" + trust.Partition(e.Region) + ":iam::" + e.Account + ":role/slipway-" + file.GitHub.Name + "-" + s.name
	}
	if e.ExecutionRole == "" {
		return e, &delivery.Error{Kind: delivery.KindConfig, Op: "planning " + s.name, Err: errors.New("no execution role is named"),
			Hints: []string{"set environments." + s.name + ".execution_role in slipway.yaml, or EXECUTION_ROLE_ARN"}}
	}
	e.Caller, err = a.caller(file, p, f)
	return e, err
}

// workflows are the generated ones that deliver.
func workflows() []string { return []string{"deploy-agent.yml", "rollback.yml"} }

// caller is the job that the deploy role will trust.
func (a *app) caller(file *config.File, p *project, f bootstrapFlags) (trust.Caller, error) {
	c := trust.Caller{Account: p.target.Account, Region: p.target.Region, Environment: p.target.Environment, RepositoryID: file.GitHub.NameID}
	if p.env.Branch != "" {
		c.Ref = "refs/heads/" + p.env.Branch
	}
	if file.GitHub.NameID == "" || !f.offGitHub {
		return c, &delivery.Error{Kind: delivery.KindConfig, Op: "asking GitHub what the jobs' tokens say", Err: errors.New("not yet")}
	}
	c.Subjects = []string{"repo:" + file.GitHub.Subject() + ":environment:" + strings.ReplaceAll(p.target.Environment, ":", "%3A")}
	if f.pinWorkflows {
		for _, name := range workflows() {
			c.Workflows = append(c.Workflows, file.GitHub.String()+"/.github/workflows/"+name+"@"+c.Ref)
		}
	}
	return c, nil
}

// plan reads the account, runtimes' ids first: the deploy role is made for
// exactly those.
func (s *setup) plan(ctx context.Context) error {
	for i, p := range s.projects {
		id, err := s.params.Parameter(ctx, "/"+p.target.Agent+"/"+s.name+"/runtime-id")
		if err != nil && !errors.Is(err, delivery.ErrNotFound) {
			return err
		}
		s.wanted.Agents[i].RuntimeID = strings.TrimSpace(id)
	}
	var err error
	s.applied = map[int]bool{}
	s.steps, err = s.account.Plan(ctx, s.wanted)
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
			return failedSetup(s, err)
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
	return &delivery.Error{Kind: kind, Op: "setting up " + s.name, Err: err,
		Hints: []string{fmt.Sprintf("%d steps of %s were carried out and stay; the same command goes on from there", len(s.applied), s.name)}}
}

func (a *app) applySetup(ctx context.Context, file *config.File, s *setup, f bootstrapFlags) error {
	if err := a.applySteps(ctx, s); err != nil {
		return err
	}
	if f.create && len(s.missing()) > 0 {
		for _, agent := range s.missing() {
			if err := a.createFor(ctx, file, agent, s.name); err != nil {
				return err
			}
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
		a.ui.line("%s %-8s %-15s %s", a.ui.paint(green, "done"), done.Action, done.ID, done.Resource)
	})
}

// createFor makes an agent's runtime, as an administrator does by hand.
func (a *app) createFor(ctx context.Context, file *config.File, agent, environment string) error {
	yes := a.yes
	a.yes = true // it was asked already
	defer func() { a.yes = yes }()
	out := a.ui.out
	a.ui.out = a.ui.err // its result is not ours
	defer func() { a.ui.out = out }()
	_, err := a.deployOne(ctx, file, deployFlags{selection: selection{agent: agent, environment: environment}, create: true, outOfOrder: true})
	return err
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

// bootstrapDone prints the result.
func (a *app) bootstrapDone(setups []*setup, outcome string) error {
	if a.json() {
		doc := bootstrapDocument{Schema: "slipway.bootstrap/v1", Outcome: outcome, Environments: []bootstrapEnvironment{}}
		for _, s := range setups {
			doc.Environments = append(doc.Environments, s.document())
		}
		return a.ui.document(doc)
	}
	if outcome != planned {
		for _, s := range setups {
			a.ui.result("%s %s", s.name, outcome)
		}
	}
	for _, s := range setups {
		for _, agent := range s.missing() {
			a.ui.line("%s", a.ui.paint(dim, fmt.Sprintf("next: slipway bootstrap --env %s --create   # or: slipway deploy --env %s --agent %s --create, then bootstrap again", s.name, s.name, agent)))
			break
		}
	}
	return nil
}

func (s *setup) document() bootstrapEnvironment {
	e := bootstrapEnvironment{Name: s.name, Steps: []bootstrapStep{}, Create: s.missing()}
	for i, step := range s.steps {
		e.Steps = append(e.Steps, bootstrapStep{ID: step.ID, Side: step.Side, Resource: step.Resource, Action: step.Action,
			Changes: orEmpty(step.Changes), Notes: orEmpty(step.Notes), Applied: s.applied[i]})
	}
	return e
}

// showPlan prints the plan: as the result where it was asked for, else before
// the question.
func (a *app) showPlan(setups []*setup, f bootstrapFlags) {
	if a.json() {
		return
	}
	show := a.ui.line
	if f.dryRun {
		show = a.ui.result
	}
	for _, s := range setups {
		show("%s", a.ui.paint(bold, fmt.Sprintf("%s  account %s, %s", s.name, s.wanted.Account, s.wanted.Region)))
		for _, step := range s.steps {
			a.showStep(show, step)
		}
		for _, agent := range s.missing() {
			show("  %-7s %-15s %s", "later", "runtime", agent+": deploy --create makes it")
		}
	}
}

func (a *app) showStep(show func(string, ...any), step bootstrap.Step) {
	action := string(step.Action)
	if step.Pending() {
		action = a.ui.paint(yellow, fmt.Sprintf("%-7s", action))
	} else {
		action = a.ui.paint(dim, fmt.Sprintf("%-7s", action))
	}
	show("  %s %-15s %s", action, step.ID, a.ui.tame(step.Resource))
	for _, c := range step.Changes {
		show("            %s", a.ui.tame(a.changeLine(c)))
	}
	for _, note := range step.Notes {
		show("            %s", a.ui.tame("("+note+")"))
	}
}

// mostOfValue is how much of a value the plan shows; --debug shows all.
const mostOfValue = 60

func (a *app) changeLine(c bootstrap.Change) string {
	short := func(s string) string {
		s = strings.Join(strings.Fields(s), " ")
		if r := []rune(s); !a.debug && len(r) > mostOfValue {
			return string(r[:mostOfValue-1]) + "…"
		}
		return s
	}
	switch {
	case c.Before == "":
		return "+ " + c.Field + "  " + short(c.After)
	case c.After == "":
		return "- " + c.Field + "  " + short(c.Before)
	}
	return "~ " + c.Field + "  " + short(c.Before) + " → " + short(c.After)
}
