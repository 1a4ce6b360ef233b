package bootstrap

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/trust"
)

// wanted is one environment with one agent whose runtime is there.
func wanted() Environment {
	return Environment{
		Deployment: trust.Deployment{Account: "111122223333", Region: "us-east-1", Environment: "dev", Logs: true,
			ExecutionRole: "arn:aws:iam::111122223333:role/agents/run",
			Agents:        []trust.Agent{{Name: "agent", Repository: "agent/runtime", RuntimeID: "agent_dev-AbCdEf1234"}}},
		Caller: trust.Caller{Account: "111122223333", Region: "us-east-1", Environment: "dev", RepositoryID: "2", Ref: "refs/heads/main",
			Subjects: []string{"repo:acme@1/agents@2:environment:dev"}},
		DeployRole: "arn:aws:iam::111122223333:role/ci/deploy-dev", MakeExecutionRole: true, Owner: "acme/agents/dev",
	}
}

// made is an account in which everything wanted is in place.
func made(t *testing.T) *fakeAccount {
	t.Helper()
	f := newFakeAccount()
	steps, err := f.account().Plan(t.Context(), wanted())
	if err == nil {
		err = Apply(t.Context(), steps, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.writes = nil
	return f
}

// pendingOf lists what a plan would do: id and action.
func pendingOf(steps []Step) []string {
	list := []string{}
	for _, s := range steps {
		if s.Pending() {
			list = append(list, s.ID+" "+string(s.Action))
		}
	}
	return list
}

func TestPlanOfAnEmptyAccount(t *testing.T) {
	f := newFakeAccount()
	steps, err := f.account().Plan(t.Context(), wanted())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"provider create", "boundary create", "service-role create", "execution-role create", "repository create", "deploy-role create"}
	if diff := cmp.Diff(want, pendingOf(steps)); diff != "" {
		t.Error(diff)
	}
	if len(f.writes) > 0 {
		t.Errorf("planning wrote: %v", f.writes)
	}
	for _, s := range steps {
		if s.Side != AWS || len(s.Changes) == 0 || (s.Environment == "") != (s.ID == "provider") {
			t.Errorf("%+v", s)
		}
	}
}

func TestNothingToDoTheSecondTime(t *testing.T) {
	f := made(t)
	steps, err := f.account().Plan(t.Context(), wanted())
	if err != nil || len(pendingOf(steps)) > 0 {
		t.Errorf("%v, %v", pendingOf(steps), err)
	}
	if err := Apply(t.Context(), steps, nil); err != nil || len(f.writes) > 0 {
		t.Errorf("%v, %v", f.writes, err)
	}
}

// TestDrift: each field that differs is seen, named, and brought back.
func TestDrift(t *testing.T) {
	role := func(change func(*trust.Role)) func(*fakeAccount) {
		return func(f *fakeAccount) {
			r := f.roles["deploy-dev"]
			r.Inline = slices.Clone(r.Inline)
			change(&r)
			f.roles["deploy-dev"] = r
		}
	}
	repository := func(change func(*Repository)) func(*fakeAccount) {
		return func(f *fakeAccount) {
			r := f.repositories["agent/runtime"]
			change(&r)
			f.repositories["agent/runtime"] = r
		}
	}
	for _, c := range []struct {
		name  string
		drift func(*fakeAccount)
		want  string // the step
		field string
	}{
		{"an audience is gone", func(f *fakeAccount) { f.provider.Audiences = []string{"theirs"} }, "provider update", "audiences"},
		{"the trust was widened", role(func(r *trust.Role) {
			r.Trust = []byte(strings.Replace(string(r.Trust), "environment:dev", "*", 1))
		}), "deploy-role update", "trust: GitHubEnvironmentDev"},
		{"a permission was added", role(func(r *trust.Role) {
			r.Inline[0].JSON = []byte(strings.Replace(string(r.Inline[0].JSON), `"ecr:PutImage"`, `"ecr:PutImage", "ecr:DeleteRepository"`, 1))
		}), "deploy-role update", "permissions: EcrPushOneRepo"},
		{"the policy can't be read", role(func(r *trust.Role) { r.Inline[0].JSON = []byte("{") }), "deploy-role update", "permissions"},
		{"the boundary was taken off", role(func(r *trust.Role) { r.Boundary = nil }), "deploy-role update", "boundary"},
		{"sessions last longer", role(func(r *trust.Role) { r.MaxSession = 12 * time.Hour }), "deploy-role update", "longest session"},
		{"the boundary was widened", func(f *fakeAccount) {
			for arn, m := range f.policies {
				m.JSON = []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
				f.policies[arn] = m
			}
		}, "boundary update", "boundary: statement 1"},
		{"tags may move", repository(func(r *Repository) { r.Mutability, r.Exclusions = "MUTABLE", nil }), "repository update", "tag mutability"},
		{"nothing is scanned", repository(func(r *Repository) { r.ScanOnPush = false }), "repository update", "scan on push"},
		{"no lifecycle", repository(func(r *Repository) { r.Lifecycle = "" }), "repository update", "lifecycle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := made(t)
			c.drift(f)
			steps, err := f.account().Plan(t.Context(), wanted())
			if err != nil {
				t.Fatal(err)
			}
			if got := pendingOf(steps); !slices.Equal(got, []string{c.want}) {
				t.Fatalf("got %v, want %s", got, c.want)
			}
			i := slices.IndexFunc(steps, Step.Pending)
			if !slices.ContainsFunc(steps[i].Changes, func(ch Change) bool { return ch.Field == c.field }) {
				t.Errorf("%+v name no %s", steps[i].Changes, c.field)
			}
			if err := Apply(t.Context(), steps, nil); err != nil {
				t.Fatal(err)
			}
			if steps, err = f.account().Plan(t.Context(), wanted()); err != nil || len(pendingOf(steps)) > 0 {
				t.Errorf("afterwards: %v, %v", pendingOf(steps), err)
			}
		})
	}
}

// TestAnothersThings stay as they are, unless they are adopted.
func TestAnothersThings(t *testing.T) {
	for _, c := range []struct{ name, id string }{{"role", "deploy-role"}, {"policy", "boundary"}, {"repository", "repository"}} {
		t.Run(c.name, func(t *testing.T) {
			f := made(t)
			switch c.name {
			case "role":
				r := f.roles["deploy-dev"]
				r.Tags, r.MaxSession = nil, 2*time.Hour
				f.roles["deploy-dev"] = r
			case "policy":
				for arn, m := range f.policies {
					m.Tags, m.JSON = nil, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`)
					f.policies[arn] = m
				}
			case "repository":
				r := f.repositories["agent/runtime"]
				r.Tags, r.ScanOnPush = nil, false
				f.repositories["agent/runtime"] = r
			}
			steps, err := f.account().Plan(t.Context(), wanted())
			var foreign *ForeignError
			if !errors.As(err, &foreign) || foreign.Step.ID != c.id || len(pendingOf(steps)) > 0 {
				t.Fatalf("%v, %v", pendingOf(steps), err)
			}
			account := f.account()
			account.Adopt = true
			if steps, err = account.Plan(t.Context(), wanted()); err != nil || !slices.Equal(pendingOf(steps), []string{c.id + " adopt"}) {
				t.Errorf("adopting: %v, %v", pendingOf(steps), err)
			}
		})
	}
}

// TestKeptWhole: what others added is not taken away.
func TestKeptWhole(t *testing.T) {
	f := made(t)
	f.provider.Audiences = append(f.provider.Audiences, "theirs")
	role := f.roles["deploy-dev"]
	role.Inline = append(role.Inline, trust.Document{Name: "extra", JSON: []byte("{}")})
	role.Attached = []trust.Document{{Name: "arn:aws:iam::aws:policy/ReadOnlyAccess"}}
	f.roles["deploy-dev"] = role
	steps, err := f.account().Plan(t.Context(), wanted())
	if err != nil || len(pendingOf(steps)) > 0 {
		t.Fatalf("%v, %v", pendingOf(steps), err)
	}
	notes := strings.Join(steps[len(steps)-1].Notes, "\n")
	if !strings.Contains(notes, "extra") || !strings.Contains(notes, "ReadOnlyAccess") {
		t.Errorf("the role's other policies are not told: %s", notes)
	}
}

func TestProviderRace(t *testing.T) {
	f := newFakeAccount()
	f.race = true
	steps, err := f.account().Plan(t.Context(), wanted())
	if err == nil {
		err = Apply(t.Context(), steps, nil)
	}
	if err != nil || !slices.Equal(f.provider.Audiences, []string{"theirs", "sts.amazonaws.com"}) {
		t.Errorf("%+v, %v", f.provider, err)
	}
}

// TestFailureMidway: what was carried out stays, and the next run goes on.
func TestFailureMidway(t *testing.T) {
	f := newFakeAccount()
	f.fails = "create role deploy-dev"
	steps, err := f.account().Plan(t.Context(), wanted())
	if err != nil {
		t.Fatal(err)
	}
	var done []string
	err = Apply(t.Context(), steps, func(s Step) { done = append(done, s.ID) })
	if err == nil || !strings.Contains(err.Error(), "create arn:aws:iam::111122223333:role/ci/deploy-dev: ") || len(done) != 5 {
		t.Errorf("%v after %v", err, done)
	}
	f.fails = ""
	if steps, err = f.account().Plan(t.Context(), wanted()); err != nil || !slices.Equal(pendingOf(steps), []string{"deploy-role create"}) {
		t.Errorf("%v, %v", pendingOf(steps), err)
	}
}

func TestExecutionRole(t *testing.T) {
	e := wanted()
	e.MakeExecutionRole = false
	_, err := newFakeAccount().account().Plan(t.Context(), e)
	if delivery.KindOf(err) != delivery.KindConfig || !strings.Contains(fmt.Sprint(err), "there is no role arn:aws:iam::111122223333:role/agents/run") {
		t.Errorf("missing: %v", err)
	}
	f := made(t)
	f.roles["run"] = trust.Role{Name: "run", Trust: []byte("{}")} // of a stack
	steps, err := f.account().Plan(t.Context(), e)
	if err != nil || len(pendingOf(steps)) > 0 {
		t.Errorf("another's: %v, %v", pendingOf(steps), err)
	}
}

// TestNarrowing: before the runtime is there, the role may do nothing to
// runtimes; once it is, to that one alone.
func TestNarrowing(t *testing.T) {
	early := wanted()
	early.Agents[0].RuntimeID = ""
	f := newFakeAccount()
	steps, err := f.account().Plan(t.Context(), early)
	if err == nil {
		err = Apply(t.Context(), steps, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if text := string(f.roles["deploy-dev"].Inline[0].JSON); strings.Contains(text, "bedrock-agentcore") || strings.Contains(text, "iam:PassRole") {
		t.Errorf("it says something of runtimes: %s", text)
	}
	steps, err = f.account().Plan(t.Context(), wanted())
	if err != nil || !slices.Equal(pendingOf(steps), []string{"execution-role update", "deploy-role update"}) {
		t.Fatalf("%v, %v", pendingOf(steps), err)
	}
	for _, c := range steps[len(steps)-1].Changes {
		if c.Before != "" || !strings.HasPrefix(c.Field, "permissions: ") {
			t.Errorf("%+v", c)
		}
	}
}

func TestTooManyAgents(t *testing.T) {
	e := wanted()
	for i := range 20 {
		name := fmt.Sprintf("anAgentWithALongName%02d", i)
		e.Agents = append(e.Agents, trust.Agent{Name: name, Repository: strings.ToLower(name), RuntimeID: name + "-AbCdEf1234"})
	}
	_, err := newFakeAccount().account().Plan(t.Context(), e)
	if delivery.KindOf(err) != delivery.KindConfig || !strings.Contains(fmt.Sprint(err), "IAM takes 10240") {
		t.Error(err)
	}
}

// TestLongNames: a role that IAM would refuse is told before anything is
// written.
func TestLongNames(t *testing.T) {
	f, e := made(t), wanted()
	e.DeployRole = "arn:aws:iam::111122223333:role/" + strings.Repeat("r", 65)
	if _, err := f.account().Plan(t.Context(), e); delivery.KindOf(err) != delivery.KindConfig || !strings.Contains(fmt.Sprint(err), "65 characters; IAM takes 64") {
		t.Error(err)
	}
	e.DeployRole = "arn:aws:iam::111122223333:role/" + strings.Repeat("r", 64)
	if _, err := f.account().Plan(t.Context(), e); err != nil {
		t.Error(err)
	}
}

// TestRepositoryPolicy: our statement comes and goes, others stay.
func TestRepositoryPolicy(t *testing.T) {
	theirs := `{"Version":"2012-10-17","Statement":[{"Sid":"Scanner","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999900001111:root"},"Action":"ecr:BatchGetImage"}]}`
	f := made(t)
	r := f.repositories["agent/runtime"]
	r.Policy = []byte(theirs)
	f.repositories["agent/runtime"] = r
	e := wanted()
	e.Pullers = map[string][]string{"agent/runtime": {"arn:aws:iam::444455556666:role/deploy-prd"}}
	bring := func() string {
		t.Helper()
		steps, err := f.account().Plan(t.Context(), e)
		if err == nil {
			err = Apply(t.Context(), steps, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(f.repositories["agent/runtime"].Policy)
	}
	if got := bring(); !strings.Contains(got, "Scanner") || !strings.Contains(got, "444455556666:role/deploy-prd") {
		t.Error(got)
	}
	r = f.repositories["agent/runtime"] // ECR prints it anew, and something else has drifted
	printed := strings.ReplaceAll(string(r.Policy), `":`, `" : `)
	r.Policy, r.ScanOnPush = []byte(printed), false
	f.repositories["agent/runtime"] = r
	if got := bring(); got != printed {
		t.Errorf("the policy was sent anew:\n%s", got)
	}
	e.Pullers = nil
	if got := bring(); !strings.Contains(got, "Scanner") || strings.Contains(got, "444455556666") {
		t.Error(got)
	}
	r.Policy = []byte("{")
	f.repositories["agent/runtime"] = r
	if _, err := f.account().Plan(t.Context(), e); delivery.KindOf(err) != delivery.KindRefused {
		t.Errorf("a policy that can't be read: %v", err)
	}
}

// TestAnothersLifecycle stays: it may keep what its makers need.
func TestAnothersLifecycle(t *testing.T) {
	f := made(t)
	r := f.repositories["agent/runtime"]
	r.Lifecycle = `{"rules":[]}`
	f.repositories["agent/runtime"] = r
	steps, err := f.account().Plan(t.Context(), wanted())
	if err != nil || len(pendingOf(steps)) > 0 {
		t.Errorf("%v, %v", pendingOf(steps), err)
	}
	r.Lifecycle = strings.ReplaceAll(lifecycle, `":`, `" : `) // ECR writes it anew
	f.repositories["agent/runtime"] = r
	if steps, err = f.account().Plan(t.Context(), wanted()); err != nil || len(pendingOf(steps)) > 0 || len(steps[4].Notes) > 0 {
		t.Errorf("%+v, %v", steps[4], err)
	}
}
