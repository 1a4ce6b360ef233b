package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// HostRepository is a repository as GitHub knows it.
type HostRepository struct {
	FullName      string // owner/name, in GitHub's own case
	ID, OwnerID   string // decimal
	DefaultBranch string
	Private       bool
	Admin         bool // the token may change its settings
}

// SubjectForm is how GitHub makes the subjects of a repository's tokens.
type SubjectForm struct {
	// Prefix is what comes before the job's context: repo:owner/name, or
	// repo:owner@1/name@2 for immutable subjects.
	Prefix string
	// ClaimKeys is the repository's own template; nil is GitHub's.
	ClaimKeys []string
}

// Subjects are the subjects that jobs of an environment send, exactly. A
// template whose claims anyone could choose, or that this does not know, is
// refused: a trust policy on a guess would admit nobody, or anybody.
func (f SubjectForm) Subjects(environment string) ([]string, error) {
	context := "environment:" + strings.ReplaceAll(environment, ":", "%3A")
	keys := f.ClaimKeys
	if len(keys) == 0 {
		keys = []string{"repo", "context"}
	}
	var parts []string
	for i, key := range keys {
		switch {
		case i == 0 && key != "repo":
			return nil, f.refused("it does not begin with the repository, so that others could send the same subject")
		case key == "repo":
			parts = append(parts, f.Prefix)
		case key == "context" || key == "environment":
			parts = append(parts, context)
		default:
			return nil, f.refused("it holds " + key + ", whose value differs from run to run")
		}
	}
	if f.Prefix == "" || !slices.Contains(parts, context) {
		return nil, f.refused("it does not name the environment")
	}
	return []string{strings.Join(parts, ":")}, nil
}

func (f SubjectForm) refused(why string) error {
	return &delivery.Error{Kind: delivery.KindRefused, Op: "reading how GitHub makes this repository's subjects",
		Err:   fmt.Errorf("the template %s can't be trusted exactly: %s", strings.Join(f.ClaimKeys, ", "), why),
		Hints: []string{"set the repository's subject claim to its default, or to repo and context"}}
}

// BranchRule is a branch or tag, or a pattern of them, that may deploy.
type BranchRule struct {
	Name string
	Tag  bool
}

// Gate is how a GitHub environment is protected.
type Gate struct {
	Name              string
	Reviewers         []string // login, or org/team
	PreventSelf       bool
	Wait              int  // minutes
	ProtectedBranches bool // every protected branch may deploy
	NamedBranches     bool // Branches alone may
	Branches          []BranchRule
	AdminsBypass      bool
}

// Gates is a repository's environments.
type Gates interface {
	Gate(ctx context.Context, name string) (Gate, error)
	PutGate(ctx context.Context, g Gate) error
	CheckReviewer(ctx context.Context, name string) error
}

// Settings is an environment's variables and secrets.
type Settings interface {
	Variables(ctx context.Context, environment string) (map[string]string, error)
	PutVariable(ctx context.Context, environment, name, value string) error
	PutSecret(ctx context.Context, environment, name, value string) error
}

// SecretNames tells which secrets there are; their values nobody reads.
type SecretNames interface {
	Secrets(ctx context.Context, environment string) ([]string, error)
	RepositorySecrets(ctx context.Context) ([]string, error)
}

// Host is what a planner reads and changes on GitHub.
type Host struct {
	Gates    Gates
	Settings Settings
	Names    SecretNames
	// Seal keeps the settings as secrets in place of variables.
	Seal bool
}

// HostEnvironment is what GitHub shall hold for one environment.
type HostEnvironment struct {
	Name      string
	Reviewers []string
	Branch    string            // the one that may deploy
	Values    map[string]string // settings by name; an empty value is none
}

// Gate plans the environment and its protection. It comes before anything that
// names the environment: a workflow that names one that is absent makes it,
// without protection.
func (h Host) Gate(ctx context.Context, e HostEnvironment) (Step, error) {
	s := Step{ID: "github-environment", Environment: e.Name, Side: GitHub, Resource: e.Name, Action: Keep}
	for _, name := range e.Reviewers {
		if err := h.Gates.CheckReviewer(ctx, name); err != nil {
			return s, unknownReviewer(name, err)
		}
	}
	have, err := h.Gates.Gate(ctx, e.Name)
	have.Name = e.Name
	absent := errors.Is(err, delivery.ErrNotFound)
	if err != nil && !absent {
		return s, err
	}
	want := wantedGate(have, e)
	s.Changes = gateChanges(have, want)
	s.Notes = gateNotes(have, e)
	switch {
	case absent:
		s.Action = Create
		if len(s.Changes) == 0 {
			s.Changes = []Change{{Field: "environment", After: e.Name}}
		}
	case len(s.Changes) == 0:
		return s, nil
	default:
		s.Action = Update
	}
	s.Apply = func(ctx context.Context) error {
		if err := h.Gates.PutGate(ctx, want); err != nil {
			return err
		}
		return h.readBack(ctx, want)
	}
	return s, nil
}

func unknownReviewer(name string, err error) error {
	if !errors.Is(err, delivery.ErrNotFound) {
		return err
	}
	return &delivery.Error{Kind: delivery.KindConfig, Op: "reading the reviewers of slipway.yaml", Err: fmt.Errorf("GitHub knows no %s", name),
		Hints: []string{"reviewers are people (octocat) or teams (acme/platform) who can read the repository; the token has to see them"}}
}

// wantedGate adds what is asked for to what there is: reviewers and branches
// of others stay, waits too.
func wantedGate(have Gate, e HostEnvironment) Gate {
	want := have
	want.Name = e.Name
	want.Reviewers = slices.Clone(have.Reviewers)
	for _, name := range e.Reviewers {
		if !slices.ContainsFunc(want.Reviewers, func(r string) bool { return strings.EqualFold(r, name) }) {
			want.Reviewers = append(want.Reviewers, name)
		}
	}
	want.PreventSelf = have.PreventSelf || len(want.Reviewers) > 0
	if e.Branch == "" {
		return want
	}
	want.ProtectedBranches, want.NamedBranches = false, true
	want.Branches = slices.Clone(have.Branches)
	if b := (BranchRule{Name: e.Branch}); !slices.Contains(want.Branches, b) {
		want.Branches = append(want.Branches, b)
	}
	return want
}

func gateChanges(have, want Gate) []Change {
	changes := changed("reviewers", strings.Join(have.Reviewers, ", "), strings.Join(want.Reviewers, ", "))
	if have.PreventSelf != want.PreventSelf {
		changes = append(changes, Change{Field: "own runs", After: "not approved by who started them"})
	}
	return append(changes, changed("branches", have.branches(), want.branches())...)
}

func (g Gate) branches() string {
	switch {
	case g.ProtectedBranches:
		return "every protected branch"
	case !g.NamedBranches:
		return ""
	}
	names := []string{}
	for _, b := range g.Branches {
		if b.Tag {
			names = append(names, "tag "+b.Name)
		} else {
			names = append(names, b.Name)
		}
	}
	return strings.Join(names, ", ")
}

// gateNotes are holes that are not ours to close.
func gateNotes(have Gate, e HostEnvironment) []string {
	var notes []string
	for _, b := range have.Branches {
		if b != (BranchRule{Name: e.Branch}) {
			notes = append(notes, fmt.Sprintf("%s may deploy too: another allowed it, and it stays; the role trusts %s alone", Gate{NamedBranches: true, Branches: []BranchRule{b}}.branches(), e.Branch))
		}
	}
	for _, name := range have.Reviewers {
		if !slices.ContainsFunc(e.Reviewers, func(r string) bool { return strings.EqualFold(r, name) }) {
			notes = append(notes, name+" may approve too: another added it, and it stays")
		}
	}
	if have.AdminsBypass && len(e.Reviewers) > 0 {
		notes = append(notes, "administrators may bypass it: switch that off in the environment's settings")
	}
	return notes
}

// readBack looks whether GitHub took the protection: on private repositories
// of plans without them it drops reviewers without a word, and then there is no
// gate (GitHub docs: deployments and environments).
func (h Host) readBack(ctx context.Context, want Gate) error {
	have, err := h.Gates.Gate(ctx, want.Name)
	if err != nil {
		return err
	}
	if changes := gateChanges(have, want); len(changes) > 0 {
		return &delivery.Error{Kind: delivery.KindFailed, Op: "protecting environment " + want.Name,
			Err:   fmt.Errorf("GitHub did not take its %s: it is no gate", changes[0].Field),
			Hints: []string{"reviewers of private repositories take GitHub Enterprise; without it, leave approvals out of slipway.yaml and say so to whoever relies on them"}}
	}
	return nil
}

// Values plans the settings that jobs read. They are no secrets (account ids
// and role names protect nothing), so variables are the default.
func (h Host) Values(ctx context.Context, e HostEnvironment) ([]Step, error) {
	have, err := h.Settings.Variables(ctx, e.Name)
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		return nil, err
	}
	secrets, own, err := h.secrets(ctx, e.Name)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, name := range slices.Sorted(maps.Keys(e.Values)) {
		value := e.Values[name]
		if value == "" {
			continue
		}
		s := h.value(e.Name, name, value, have[name], slices.Contains(secrets, name))
		if slices.Contains(own, name) && slices.Contains(secrets, name) {
			s.Notes = append(s.Notes, "the repository has a secret of that name too: the environment's is the one that counts")
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func (h Host) secrets(ctx context.Context, environment string) (there, own []string, err error) {
	if there, err = h.Names.Secrets(ctx, environment); err != nil && !errors.Is(err, delivery.ErrNotFound) {
		return nil, nil, err
	}
	own, err = h.Names.RepositorySecrets(ctx)
	return there, own, err
}

func (h Host) value(environment, name, value, have string, sealed bool) Step {
	s := Step{ID: "github-variable", Environment: environment, Side: GitHub, Resource: name, Action: Keep}
	if h.Seal {
		s.ID = "github-secret"
		if sealed {
			s.Notes = []string{"a secret's value can't be read: it is taken to be right"}
			return s
		}
		s.Action, s.Changes = Create, []Change{{Field: name, After: "(sealed)"}}
		s.Apply = func(ctx context.Context) error { return h.Settings.PutSecret(ctx, environment, name, value) }
		return s
	}
	if sealed {
		s.Notes = []string{"a secret of that name is there besides: workflows have to read the variable"}
	}
	if have == value {
		return s
	}
	s.Action, s.Changes = Create, changed(name, have, value)
	if have != "" {
		s.Action = Update
	}
	s.Apply = func(ctx context.Context) error { return h.Settings.PutVariable(ctx, environment, name, value) }
	return s
}
