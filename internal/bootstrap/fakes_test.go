package bootstrap

import (
	"context"
	"errors"
	"slices"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/trust"
)

// fakeAccount is an AWS account in memory. Each write is counted.
type fakeAccount struct {
	provider     *trust.Provider
	roles        map[string]trust.Role
	policies     map[string]trust.Managed
	repositories map[string]Repository
	writes       []string
	// race has a provider made by another just before ours.
	race bool
	// fails is the write that fails.
	fails string
}

func newFakeAccount() *fakeAccount {
	return &fakeAccount{roles: map[string]trust.Role{}, policies: map[string]trust.Managed{}, repositories: map[string]Repository{}}
}

func (f *fakeAccount) account() Account {
	return Account{Providers: f, Roles: f, ServiceRoles: f, Policies: f, Repositories: f}
}

func (f *fakeAccount) write(what string) error {
	if f.fails == what {
		return errors.New(what + " failed")
	}
	f.writes = append(f.writes, what)
	return nil
}

func (f *fakeAccount) Provider(context.Context, string, string) (trust.Provider, error) {
	if f.provider == nil {
		return trust.Provider{}, delivery.ErrNotFound
	}
	return *f.provider, nil
}

func (f *fakeAccount) CreateProvider(_ context.Context, issuer, audience string, tags map[string]string) error {
	if f.race {
		f.provider = &trust.Provider{ARN: "arn:theirs", Issuer: issuer, Audiences: []string{"theirs"}}
		return delivery.ErrExists
	}
	f.provider = &trust.Provider{ARN: "arn:ours", Issuer: issuer, Audiences: []string{audience}, Tags: tags}
	return f.write("create provider")
}

func (f *fakeAccount) AddAudience(_ context.Context, _, audience string) error {
	f.provider.Audiences = append(f.provider.Audiences, audience)
	return f.write("add audience")
}

func (f *fakeAccount) Role(_ context.Context, name string) (trust.Role, error) {
	r, ok := f.roles[name]
	if !ok {
		return r, delivery.ErrNotFound
	}
	return r, nil
}

func (f *fakeAccount) CreateRole(_ context.Context, r trust.Role) error {
	if err := f.write("create role " + r.Name); err != nil {
		return err
	}
	f.roles[r.Name] = r
	return nil
}

// UpdateRole leaves policies of other names, as IAM does.
func (f *fakeAccount) UpdateRole(_ context.Context, r trust.Role) error {
	old := f.roles[r.Name]
	for _, p := range old.Inline {
		if !slices.ContainsFunc(r.Inline, func(d trust.Document) bool { return d.Name == p.Name }) {
			r.Inline = append(r.Inline, p)
		}
	}
	r.Attached = old.Attached
	f.roles[r.Name] = r
	return f.write("update role " + r.Name)
}

func (f *fakeAccount) CreateServiceRole(_ context.Context, service string) error {
	f.roles[map[string]string{"runtime-identity.bedrock-agentcore.amazonaws.com": "AWSServiceRoleForBedrockAgentCoreRuntimeIdentity",
		"network.bedrock-agentcore.amazonaws.com": "AWSServiceRoleForBedrockAgentCoreNetwork"}[service]] = trust.Role{}
	return f.write("create service role " + service)
}

func (f *fakeAccount) Policy(_ context.Context, arn string) (trust.Managed, error) {
	m, ok := f.policies[arn]
	if !ok {
		return m, delivery.ErrNotFound
	}
	return m, nil
}

func (f *fakeAccount) CreatePolicy(_ context.Context, m trust.Managed) error {
	f.policies[m.Name] = m
	return f.write("create policy")
}

func (f *fakeAccount) UpdatePolicy(_ context.Context, m trust.Managed) error {
	f.policies[m.Name] = m
	return f.write("update policy")
}

func (f *fakeAccount) State(_ context.Context, name string) (Repository, error) {
	r, ok := f.repositories[name]
	if !ok {
		return r, delivery.ErrNotFound
	}
	return r, nil
}

func (f *fakeAccount) Make(_ context.Context, r Repository) error {
	f.repositories[r.Name] = r
	return f.write("make repository")
}

func (f *fakeAccount) Bring(_ context.Context, _, to Repository) error {
	f.repositories[to.Name] = to
	return f.write("bring repository")
}

// fakeHost is a repository on GitHub in memory.
type fakeHost struct {
	gates     map[string]Gate
	people    []string
	variables map[string]string
	secrets   []string
	own       []string
	drops     bool // reviewers, as plans without them do
	writes    int
}

func newFakeHost() *fakeHost {
	return &fakeHost{gates: map[string]Gate{}, people: []string{"octocat", "acme/platform"}, variables: map[string]string{}}
}

func (f *fakeHost) host() Host { return Host{Gates: f, Settings: f, Names: f} }

func (f *fakeHost) Gate(_ context.Context, name string) (Gate, error) {
	g, ok := f.gates[name]
	if !ok {
		return g, delivery.ErrNotFound
	}
	return g, nil
}

func (f *fakeHost) PutGate(_ context.Context, g Gate) error {
	if f.drops {
		g.Reviewers, g.PreventSelf = nil, false
	}
	f.gates[g.Name] = g
	f.writes++
	return nil
}

func (f *fakeHost) CheckReviewer(_ context.Context, name string) error {
	if !slices.Contains(f.people, name) {
		return delivery.ErrNotFound
	}
	return nil
}

func (f *fakeHost) Variables(context.Context, string) (map[string]string, error) {
	return f.variables, nil
}

func (f *fakeHost) PutVariable(_ context.Context, _, name, value string) error {
	f.variables[name] = value
	f.writes++
	return nil
}

func (f *fakeHost) PutSecret(_ context.Context, _, name, _ string) error {
	f.secrets = append(f.secrets, name)
	f.writes++
	return nil
}

func (f *fakeHost) Secrets(context.Context, string) ([]string, error) { return f.secrets, nil }

func (f *fakeHost) RepositorySecrets(context.Context) ([]string, error) { return f.own, nil }
