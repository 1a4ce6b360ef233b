package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/trust"
)

// Tag marks what bootstrap makes; its value says for whom.
const Tag = "slipway"

// PolicyName is the inline policy that bootstrap keeps in a role.
const PolicyName = "slipway"

// sessionLimit is the longest session of a deploy role; deliveries ask for less.
const sessionLimit = time.Hour

// Environment is what one environment shall have.
type Environment struct {
	trust.Deployment
	// Caller is the job that the deploy role trusts.
	Caller trust.Caller
	// DeployRole is its ARN.
	DeployRole string
	// MakeExecutionRole has the execution role made where it is missing.
	MakeExecutionRole bool
	// Pullers are roles of other accounts that promote from a repository, by
	// its name. Environments that share it share them.
	Pullers map[string][]string
	// Owner is the value of Tag: owner/repository environment.
	Owner string
}

// Providers is an account's OIDC providers.
type Providers interface {
	Provider(ctx context.Context, account, issuer string) (trust.Provider, error)
	CreateProvider(ctx context.Context, issuer, audience string, tags map[string]string) error
	AddAudience(ctx context.Context, arn, audience string) error
}

// Roles is an account's roles. UpdateRole leaves alone what a role does not
// state, policies of other names among it.
type Roles interface {
	Role(ctx context.Context, name string) (trust.Role, error)
	CreateRole(ctx context.Context, r trust.Role) error
	UpdateRole(ctx context.Context, r trust.Role) error
}

// ServiceRoles makes the roles that AWS's services act by.
type ServiceRoles interface {
	CreateServiceRole(ctx context.Context, service string) error
}

// Policies is an account's managed policies, by ARN.
type Policies interface {
	Policy(ctx context.Context, arn string) (trust.Managed, error)
	CreatePolicy(ctx context.Context, m trust.Managed) error
	UpdatePolicy(ctx context.Context, m trust.Managed) error
}

// Repositories is the image repositories of an account in a region.
type Repositories interface {
	State(ctx context.Context, name string) (Repository, error)
	Make(ctx context.Context, r Repository) error
	Bring(ctx context.Context, from, to Repository) error
}

// Account is what a planner reads and changes in AWS. It is opened for one
// account and region.
type Account struct {
	Providers    Providers
	Roles        Roles
	ServiceRoles ServiceRoles
	Policies     Policies
	Repositories Repositories
	// Adopt takes over what another made under the same name.
	Adopt bool
}

// Plan reads the account and returns the steps of an environment, in the order
// in which they have to be carried out. It writes nothing. A *ForeignError in the
// error is something in the way.
func (a Account) Plan(ctx context.Context, e Environment) ([]Step, error) {
	var steps []Step
	var refused []error
	for _, plan := range []func(context.Context, Environment) ([]Step, error){
		a.provider, a.boundary, a.serviceRoles, a.executionRole, a.repositories, a.deployRole,
	} {
		more, err := plan(ctx, e)
		var foreign *ForeignError
		if err != nil && !errors.As(err, &foreign) {
			return nil, err
		}
		if err != nil {
			refused = append(refused, err)
		}
		steps = append(steps, more...)
	}
	for i := range steps {
		if steps[i].Side == "" {
			steps[i].Side = AWS
		}
		if steps[i].Environment == "" && steps[i].ID != "provider" {
			steps[i].Environment = e.Environment()
		}
	}
	return steps, errors.Join(refused...)
}

// Environment is the environment's name.
func (e Environment) Environment() string { return e.Deployment.Environment }

func (e Environment) tags() map[string]string { return map[string]string{Tag: e.Owner} }

// provider is the account's trust in the issuer. It is everybody's: an
// audience is added, and nothing else is ever changed.
func (a Account) provider(ctx context.Context, e Environment) ([]Step, error) {
	issuer, audience := orElse(e.Caller.Issuer, trust.GitHubIssuer), orElse(e.Caller.Audience, "sts.amazonaws.com")
	have, err := a.Providers.Provider(ctx, e.Account, issuer)
	s := Step{ID: "provider", Resource: issuer, Action: Keep}
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		s.Action, s.Changes = Create, []Change{{Field: "audience", After: audience}}
		s.Apply = func(ctx context.Context) error {
			err := a.Providers.CreateProvider(ctx, issuer, audience, map[string]string{Tag: "shared"})
			if !errors.Is(err, delivery.ErrExists) {
				return err
			}
			made, err := a.Providers.Provider(ctx, e.Account, issuer) // somebody was faster
			if err != nil || slices.Contains(made.Audiences, audience) {
				return err
			}
			return a.Providers.AddAudience(ctx, made.ARN, audience)
		}
	case err != nil:
		return nil, err
	case !slices.Contains(have.Audiences, audience):
		s.Resource, s.Action = have.ARN, Update
		s.Changes = []Change{{Field: "audiences", Before: strings.Join(have.Audiences, ", "), After: strings.Join(append(slices.Clone(have.Audiences), audience), ", ")}}
		s.Notes = []string{"others use this provider: its audiences stay"}
		s.Apply = func(ctx context.Context) error { return a.Providers.AddAudience(ctx, have.ARN, audience) }
	default:
		s.Resource = have.ARN
	}
	return []Step{s}, nil
}

// boundaryARN is the permissions boundary of the deploy role.
func (e Environment) boundaryARN() string {
	head, path, _ := strings.Cut(e.DeployRole, ":role/")
	return head + ":policy/" + path + "-boundary"
}

func (a Account) boundary(ctx context.Context, e Environment) ([]Step, error) {
	want := trust.Managed{Document: trust.Document{Name: e.boundaryARN(), JSON: e.Boundary().JSON()}, Tags: e.tags()}
	s := Step{ID: "boundary", Resource: want.Name, Action: Keep}
	have, err := a.Policies.Policy(ctx, want.Name)
	if errors.Is(err, delivery.ErrNotFound) {
		s.Action, s.Changes = Create, documentChanges("boundary", nil, want.JSON)
		s.Apply = func(ctx context.Context) error { return a.Policies.CreatePolicy(ctx, want) }
		return []Step{s}, nil
	}
	if err != nil {
		return nil, err
	}
	s.Changes = documentChanges("boundary", have.JSON, want.JSON)
	return a.settle(s, have.Tags, func(ctx context.Context) error { return a.Policies.UpdatePolicy(ctx, want) })
}

// settle makes an update of a step that has changes: of what is ours; of what
// is another's where the caller adopts it. Else it is a *ForeignError.
func (a Account) settle(s Step, tags map[string]string, apply func(context.Context) error) ([]Step, error) {
	_, ours := tags[Tag]
	switch {
	case len(s.Changes) == 0:
		return []Step{s}, nil
	case ours:
		s.Action, s.Apply = Update, apply
	case a.Adopt:
		s.Action, s.Apply = Adopt, apply
	default:
		s.Action = Adopt
		return []Step{s}, &ForeignError{s}
	}
	return []Step{s}, nil
}

// serviceRoles are those by which AgentCore acts. Making them is free, and AWS
// makes them itself for callers who may: a job's role may not.
func (a Account) serviceRoles(ctx context.Context, e Environment) ([]Step, error) {
	services := []struct{ service, name string }{
		{"runtime-identity.bedrock-agentcore.amazonaws.com", "AWSServiceRoleForBedrockAgentCoreRuntimeIdentity"},
	}
	if len(e.Subnets) > 0 {
		services = append(services, struct{ service, name string }{"network.bedrock-agentcore.amazonaws.com", "AWSServiceRoleForBedrockAgentCoreNetwork"})
	}
	var steps []Step
	for _, l := range services {
		s := Step{ID: "service-role", Resource: l.name, Action: Keep}
		_, err := a.Roles.Role(ctx, l.name)
		if errors.Is(err, delivery.ErrNotFound) {
			s.Action, s.Changes = Create, []Change{{Field: "service", After: l.service}}
			s.Apply = func(ctx context.Context) error { return a.ServiceRoles.CreateServiceRole(ctx, l.service) }
		} else if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// executionRole is made where it is asked for and missing; one that is there is
// its makers', and stays as it is.
func (a Account) executionRole(ctx context.Context, e Environment) ([]Step, error) {
	if e.ExecutionRole == "" {
		return nil, nil
	}
	s := Step{ID: "execution-role", Resource: e.ExecutionRole, Action: Keep}
	have, err := a.Roles.Role(ctx, roleName(e.ExecutionRole))
	want := trust.Role{Name: roleName(e.ExecutionRole), Path: rolePath(e.ExecutionRole), Trust: e.ExecutionTrust().JSON(), Tags: e.tags(),
		Inline: []trust.Document{{Name: PolicyName, JSON: e.ExecutionPolicy().JSON()}}}
	switch {
	case errors.Is(err, delivery.ErrNotFound) && !e.MakeExecutionRole:
		return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "reading the execution role", Err: fmt.Errorf("there is no role %s", e.ExecutionRole),
			Hints: []string{"--execution-role makes it, with what AgentCore itself needs; add what the agent's code calls", "or name the one that your stack makes: execution_role in slipway.yaml"}}
	case errors.Is(err, delivery.ErrNotFound):
		s.Action, s.Changes = Create, roleChanges(trust.Role{}, want)
		s.Notes = []string{"it holds what AgentCore needs to run the agent; models, memories and what else its code calls are to be added"}
		s.Apply = func(ctx context.Context) error { return a.Roles.CreateRole(ctx, want) }
		return []Step{s}, nil
	case err != nil:
		return nil, err
	}
	if _, ours := have.Tags[Tag]; !ours {
		s.Notes = []string{"another made it: it stays as it is (slipway doctor looks at it)"}
		return []Step{s}, nil
	}
	s.Changes = roleChanges(have, want)
	return a.settle(s, have.Tags, func(ctx context.Context) error { return a.Roles.UpdateRole(ctx, want) })
}

// deployRole is the role that the job assumes: exactly that job, and exactly
// what a delivery needs, under a boundary.
func (a Account) deployRole(ctx context.Context, e Environment) ([]Step, error) {
	want := trust.Role{Name: roleName(e.DeployRole), Path: rolePath(e.DeployRole), Trust: e.Caller.Trust().JSON(), MaxSession: sessionLimit, Tags: e.tags(),
		Inline: []trust.Document{{Name: PolicyName, JSON: e.DeployPolicy().JSON()}}, Boundary: &trust.Document{Name: e.boundaryARN()}}
	if err := fits(e, want); err != nil {
		return nil, err
	}
	s := Step{ID: "deploy-role", Resource: e.DeployRole, Action: Keep, Notes: e.unmade()}
	have, err := a.Roles.Role(ctx, want.Name)
	if errors.Is(err, delivery.ErrNotFound) {
		s.Action, s.Changes = Create, roleChanges(trust.Role{}, want)
		s.Apply = func(ctx context.Context) error { return a.Roles.CreateRole(ctx, want) }
		return []Step{s}, nil
	}
	if err != nil {
		return nil, err
	}
	s.Notes = append(s.Notes, strangers(have)...)
	s.Changes = roleChanges(have, want)
	return a.settle(s, have.Tags, func(ctx context.Context) error { return a.Roles.UpdateRole(ctx, want) })
}

// nameLimit is the longest name of a role (IAM API: CreateRole, RoleName).
const nameLimit = 64

// fits compares the role with IAM's limits, before anything is written.
func fits(e Environment, r trust.Role) error {
	if len(r.Name) > nameLimit {
		return &delivery.Error{Kind: delivery.KindConfig, Op: "planning role " + r.Name,
			Err:   fmt.Errorf("its name has %d characters; IAM takes %d", len(r.Name), nameLimit),
			Hints: []string{"name it in slipway.yaml: deploy_role of " + e.Environment()}}
	}
	for _, d := range []struct {
		what  string
		size  int
		limit int
	}{
		{"permissions", e.DeployPolicy().Size(), trust.InlineLimit},
		{"boundary", e.Boundary().Size(), trust.ManagedLimit},
	} {
		if d.size > d.limit {
			return &delivery.Error{Kind: delivery.KindConfig, Op: "planning role " + r.Name,
				Err:   fmt.Errorf("its %s have %d characters; IAM takes %d", d.what, d.size, d.limit),
				Hints: []string{"spread the agents over several slipway.yaml, each with deploy roles of its own"}}
		}
	}
	return nil
}

// unmade names the agents without a runtime: the role may do nothing to
// runtimes of theirs until they are there.
func (e Environment) unmade() []string {
	var names []string
	for _, a := range e.Agents {
		if a.RuntimeID == "" {
			names = append(names, a.Name)
		}
	}
	if names == nil {
		return nil
	}
	return []string{"no runtime yet for " + strings.Join(names, ", ") + ": the role is given it once it is made"}
}

// strangers are policies of the role that bootstrap did not write.
func strangers(r trust.Role) []string {
	var notes []string
	for _, p := range r.Inline {
		if p.Name != PolicyName {
			notes = append(notes, "it also has the inline policy "+p.Name+", which stays")
		}
	}
	for _, p := range r.Attached {
		notes = append(notes, "it also has "+p.Name+" attached, which stays")
	}
	return notes
}

// roleName and rolePath take a role's ARN apart.
func roleName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

func rolePath(arn string) string {
	_, path, _ := strings.Cut(arn, ":role/")
	return "/" + path[:strings.LastIndexByte(path, '/')+1]
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
