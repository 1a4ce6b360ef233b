package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/scaffold"
)

func TestAsk(t *testing.T) {
	account := func(s string) error { return config.CheckValue(config.ValueAccount, s) }
	for _, test := range []struct {
		typed, fallback, want string
		code                  int
	}{
		{"111122223333\n", "", "111122223333", 0},
		{" 111122223333 \r\n", "", "111122223333", 0},
		{"111122223333", "", "111122223333", 0}, // the end of input, without a line end
		{"\n", "444455556666", "444455556666", 0},
		{"12\nx\n111122223333\n", "", "111122223333", 0},
		{"1\n2\n3\n111122223333\n", "", "", 2},
		{"", "444455556666", "", 2}, // nobody answered
	} {
		var said bytes.Buffer
		u := &ui{err: &said, in: strings.NewReader(test.typed), asks: true}
		got, err := u.ask(t.Context(), "account", test.fallback, account)
		if got != test.want || delivery.ExitCode(err) != test.code {
			t.Errorf("%.20q: %q, %v (exit %d)\n%s", test.typed, got, err, delivery.ExitCode(err), said.String())
		}
	}
}

// TestLongAnswer reads no more of a line than an answer may have.
func TestLongAnswer(t *testing.T) {
	u := &ui{err: io.Discard, in: strings.NewReader(strings.Repeat("x", mostAnswer) + "\n"), asks: true}
	if answer, err := u.ask(t.Context(), "name", "", func(string) error { return nil }); err == nil {
		t.Errorf("took an answer of %d bytes", len(answer))
	}
}

// TestInterruptedAsk ends a question by an interrupt, with nobody typing.
func TestInterruptedAsk(t *testing.T) {
	never, _ := io.Pipe()
	defer never.Close()
	ctx, cancel := context.WithCancel(t.Context())
	u := &ui{err: writerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	}), in: never, asks: true}
	if _, err := u.ask(ctx, "account", "", func(string) error { return nil }); delivery.ExitCode(err) != 130 {
		t.Errorf("ask returned %v, exit code %d", err, delivery.ExitCode(err))
	}
}

// TestInterview puts the questions that a survey leaves open, four at most,
// and those alone.
func TestInterview(t *testing.T) {
	one := []scaffold.Agent{{Name: "bot", Path: "bot", Engine: "docker", Dockerfile: "Dockerfile", Repository: "bot/runtime"}}
	two := append([]scaffold.Agent{{Name: "api", Path: "api", Engine: "docker", Dockerfile: "Dockerfile", Repository: "api/runtime"}}, one...)
	for _, test := range []struct {
		name      string
		survey    scaffold.Survey
		flags     initFlags
		github    string
		env       []string
		typed     string
		questions int
		want      string // github, agents, environments
	}{
		{"everything", scaffold.Survey{Agents: one}, initFlags{}, "", nil, "helper\n111122223333\nus-east-1\nacme/agents\n", 4,
			"acme/agents; helper helper/runtime; dev 111122223333 us-east-1"},
		{"the defaults", scaffold.Survey{Agents: one}, initFlags{}, "", nil, "\n111122223333\nus-east-1\n\n", 4, "; bot bot/runtime; dev 111122223333 us-east-1"},
		{"which of several", scaffold.Survey{Agents: two}, initFlags{}, "acme/agents", nil, "nobody\nbot\n111122223333\nus-east-1\n", 4,
			"acme/agents; bot bot/runtime; dev 111122223333 us-east-1"},
		{"all of several", scaffold.Survey{Agents: two}, initFlags{}, "acme/agents", nil, "\n111122223333\nus-east-1\n", 3,
			"acme/agents; api api/runtime, bot bot/runtime; dev 111122223333 us-east-1"},
		{"flags answer", scaffold.Survey{Agents: two}, initFlags{agents: []string{"bot"}, account: "111122223333", environment: "qa"}, "acme/agents",
			[]string{"AWS_REGION=eu-west-1"}, "", 0, "acme/agents; bot bot/runtime; qa 111122223333 eu-west-1"},
		{"files answer", scaffold.Survey{Agents: []scaffold.Agent{{Name: "Support", Named: true, Repository: "support/runtime"}}, Certain: true,
			Targets: []scaffold.Target{{Name: "default", Account: "111122223333", Region: "us-west-2"}}}, initFlags{}, "acme/agents", []string{"AWS_REGION=eu-west-1"}, "", 0,
			"acme/agents; Support support/runtime; dev 111122223333 us-west-2"},
		{"one region for all", scaffold.Survey{Agents: one, Certain: true, Targets: []scaffold.Target{{Name: "a", Account: "111122223333", Region: "eu-west-1"},
			{Name: "b", Account: "111122223333"}, {Name: "c", Account: "444455556666"}}}, initFlags{}, "acme/agents", nil, "\nus-east-1\n", 2,
			"acme/agents; bot bot/runtime; a 111122223333 eu-west-1, b 111122223333 us-east-1, c 444455556666 us-east-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var said bytes.Buffer
			a := &app{System: System{Env: test.env}}
			a.ui = &ui{err: &said, in: strings.NewReader(test.typed), asks: true}
			i := &interview{app: a, flags: test.flags, survey: &test.survey, github: test.github}
			p, err := i.proposal(t.Context())
			if err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
			var agents, environments []string
			for _, agent := range p.Agents {
				agents = append(agents, agent.Name+" "+agent.Repository)
			}
			for _, e := range p.Environments {
				environments = append(environments, e.Name+" "+e.Account+" "+e.Region)
			}
			got := p.GitHub + "; " + strings.Join(agents, ", ") + "; " + strings.Join(environments, ", ")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if asked := strings.Count(said.String(), ": "); asked != test.questions {
				t.Errorf("%d questions, want %d:\n%s", asked, test.questions, said.String())
			}
		})
	}
}

// TestInterviewWithoutTerminal names every flag that would have answered, and
// reads nothing.
func TestInterviewWithoutTerminal(t *testing.T) {
	a := &app{}
	a.ui = &ui{err: io.Discard, in: nobody{}}
	i := &interview{app: a, survey: &scaffold.Survey{Agents: []scaffold.Agent{{Name: "a"}, {Name: "b"}}}}
	_, err := i.proposal(t.Context())
	var e *delivery.Error
	if !errors.As(err, &e) || e.Kind != delivery.KindUsage || len(e.Hints) != 1 || e.Hints[0] != "add --agent a --agent b --account ACCOUNT --region REGION" {
		t.Errorf("%v %+v", err, e)
	}
}

// nobody is an input that nobody may read.
type nobody struct{}

func (nobody) Read([]byte) (int, error) { panic("there is nobody to ask") }
