package bootstrap

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
)

func TestSubjects(t *testing.T) {
	for _, c := range []struct {
		name        string
		form        SubjectForm
		environment string
		want        string // or
		refused     string
	}{
		{"immutable", SubjectForm{Prefix: "repo:acme@1/agents@2"}, "prd", "repo:acme@1/agents@2:environment:prd", ""},
		{"by names", SubjectForm{Prefix: "repo:acme/agents"}, "prd", "repo:acme/agents:environment:prd", ""},
		{"colons are escaped", SubjectForm{Prefix: "repo:acme/agents"}, "a:b", "repo:acme/agents:environment:a%3Ab", ""},
		{"the default, written out", SubjectForm{"repo:acme/agents", []string{"repo", "context"}}, "prd", "repo:acme/agents:environment:prd", ""},
		{"an attacker's choice first", SubjectForm{"repo:acme/agents", []string{"environment", "repo"}}, "prd", "", "does not begin with the repository"},
		{"a claim that changes", SubjectForm{"repo:acme/agents", []string{"repo", "context", "sha"}}, "prd", "", "holds sha"},
		{"no environment", SubjectForm{"repo:acme/agents", []string{"repo"}}, "prd", "", "does not name the environment"},
		{"no prefix", SubjectForm{}, "prd", "", "does not name the environment"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.form.Subjects(c.environment)
			if c.refused != "" {
				if delivery.KindOf(err) != delivery.KindRefused || !strings.Contains(fmt.Sprint(err), c.refused) {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || !slices.Equal(got, []string{c.want}) {
				t.Errorf("got %v, %v, want %s", got, err, c.want)
			}
		})
	}
}

func gated() HostEnvironment {
	return HostEnvironment{Name: "prd", Reviewers: []string{"octocat", "acme/platform"}, Branch: "main",
		Values: map[string]string{"AWS_DEPLOY_ROLE_ARN": "arn:aws:iam::1:role/x", "EXECUTION_ROLE_ARN": "arn:aws:iam::1:role/y", "AGENT_SUBNET_IDS": ""}}
}

// TestGate: made with its protection, and nothing to do the second time.
func TestGate(t *testing.T) {
	f := newFakeHost()
	s, err := f.host().Gate(t.Context(), gated())
	if err != nil || s.Action != Create || f.writes != 0 {
		t.Fatalf("%+v, %v, %d writes", s, err, f.writes)
	}
	if err := s.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := f.gates["prd"]
	if !slices.Equal(g.Reviewers, []string{"octocat", "acme/platform"}) || !g.PreventSelf || !slices.Equal(g.Branches, []BranchRule{{Name: "main"}}) || !g.NamedBranches {
		t.Errorf("%+v", g)
	}
	if s, err = f.host().Gate(t.Context(), gated()); err != nil || s.Pending() {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestGateOfOthers: reviewers and branches that others added stay and are told;
// one that is open is closed.
func TestGateOfOthers(t *testing.T) {
	f := newFakeHost()
	f.gates["prd"] = Gate{Name: "prd", Reviewers: []string{"boss"}, NamedBranches: true, Branches: []BranchRule{{Name: "hotfix/*"}, {Name: "v1", Tag: true}}, Wait: 5, AdminsBypass: true}
	s, err := f.host().Gate(t.Context(), gated())
	if err != nil || s.Action != Update {
		t.Fatalf("%+v, %v", s, err)
	}
	notes := strings.Join(s.Notes, "\n")
	for _, words := range []string{"hotfix/* may deploy too", "tag v1 may deploy too", "boss may approve too", "administrators may bypass it"} {
		if !strings.Contains(notes, words) {
			t.Errorf("%q is not told: %s", words, notes)
		}
	}
	if err := s.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g := f.gates["prd"]; len(g.Reviewers) != 3 || len(g.Branches) != 3 || g.Wait != 5 {
		t.Errorf("%+v", g)
	}
	f.gates["prd"] = Gate{Name: "prd", ProtectedBranches: true}
	if s, err = f.host().Gate(t.Context(), gated()); err != nil || s.Apply(t.Context()) != nil || f.gates["prd"].ProtectedBranches {
		t.Errorf("%+v, %v: %+v", s, err, f.gates["prd"])
	}
}

func TestUnknownReviewer(t *testing.T) {
	e := gated()
	e.Reviewers = []string{"nobody"}
	_, err := newFakeHost().host().Gate(t.Context(), e)
	if delivery.KindOf(err) != delivery.KindConfig || !strings.Contains(fmt.Sprint(err), "GitHub knows no nobody") {
		t.Error(err)
	}
}

// TestDroppedReviewers: what GitHub did not take is no gate, and is not called
// one.
func TestDroppedReviewers(t *testing.T) {
	f := newFakeHost()
	f.drops = true
	s, err := f.host().Gate(t.Context(), gated())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context()); delivery.KindOf(err) != delivery.KindFailed || !strings.Contains(fmt.Sprint(err), "it is no gate") {
		t.Error(err)
	}
}

func TestValues(t *testing.T) {
	f := newFakeHost()
	f.variables["EXECUTION_ROLE_ARN"] = "old"
	f.secrets, f.own = []string{"AWS_DEPLOY_ROLE_ARN"}, []string{"AWS_DEPLOY_ROLE_ARN"}
	steps, err := f.host().Values(t.Context(), gated())
	if err != nil || !slices.Equal(pendingOf(steps), []string{"github-variable create", "github-variable update"}) || len(steps) != 2 {
		t.Fatalf("%v, %v", pendingOf(steps), err)
	}
	if notes := strings.Join(steps[0].Notes, "\n"); !strings.Contains(notes, "a secret of that name") || !strings.Contains(notes, "the repository has a secret") {
		t.Error(notes)
	}
	if err := Apply(t.Context(), steps, nil); err != nil {
		t.Fatal(err)
	}
	if steps, err = f.host().Values(t.Context(), gated()); err != nil || len(pendingOf(steps)) > 0 {
		t.Errorf("%v, %v", pendingOf(steps), err)
	}
}

// TestSealedValues: no value of a secret is told, and one that is there is left.
func TestSealedValues(t *testing.T) {
	f := newFakeHost()
	h := f.host()
	h.Seal = true
	steps, err := h.Values(t.Context(), gated())
	if err != nil || !slices.Equal(pendingOf(steps), []string{"github-secret create", "github-secret create"}) {
		t.Fatalf("%v, %v", pendingOf(steps), err)
	}
	for _, s := range steps {
		if strings.Contains(fmt.Sprint(s.Changes), "arn:") {
			t.Errorf("the value is told: %+v", s.Changes)
		}
	}
	if err := Apply(t.Context(), steps, nil); err != nil {
		t.Fatal(err)
	}
	if steps, err = h.Values(t.Context(), gated()); err != nil || len(pendingOf(steps)) > 0 {
		t.Errorf("%v, %v", pendingOf(steps), err)
	}
}
