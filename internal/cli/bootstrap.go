package cli

import (
	"cmp"
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
	var foreign *bootstrap.Foreign
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
func workflows() []string { return []string{"deploy-agent.yml", "rollback.yml"} }

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
			c.Workflows = append(c.Workflows, repository.FullName+"/.github/workflows/"+name+"@"+c.Ref)
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
	doc, err := a.deployOne(ctx, file, deployFlags{selection: selection{agent: agent, environment: environment}, create: true, outOfOrder: true})
	made, _ := doc.(deploymentDocument) // empty where there is nothing to tell but the error
	return made, err
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
	e := bootstrapEnvironment{Name: s.name, Steps: []bootstrapStep{}, Missing: s.missing(), Created: orEmpty(s.created)}
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
			show("  %-7s %-18s %s", "later", "runtime", agent+": deploy --create makes it")
		}
	}
}

func (a *app) showStep(show func(string, ...any), step bootstrap.Step) {
	color := dim
	if step.Pending() {
		color = yellow
	}
	show("  %s %-18s %s", a.ui.paint(color, fmt.Sprintf("%-7s", step.Action)), step.ID, a.ui.tame(step.Resource))
	for _, line := range a.stepLines(step) {
		show("          %s", a.ui.tame(line))
	}
}

// stepLines are the changes of a step and what is to be known of it. Statements
// that a document gets anew are told by their names alone.
func (a *app) stepLines(step bootstrap.Step) []string {
	var lines []string
	for i := 0; i < len(step.Changes); i++ {
		c := step.Changes[i]
		document, name, isStatement := strings.Cut(c.Field, ": ")
		if !isStatement || c.Before != "" || a.debug {
			lines = append(lines, a.changeLine(c))
			continue
		}
		names := []string{name}
		for i+1 < len(step.Changes) {
			next := step.Changes[i+1]
			other, more, ok := strings.Cut(next.Field, ": ")
			if !ok || other != document || next.Before != "" {
				break
			}
			names = append(names, more)
			i++
		}
		lines = append(lines, "+ "+document+"  "+strings.Join(names, ", "))
	}
	for _, note := range step.Notes {
		lines = append(lines, "! "+note)
	}
	return lines
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
