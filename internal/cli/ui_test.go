package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// hostile is what an agent might answer or print: commands for GitHub's
// runner, for the terminal, and a text that reads otherwise than it is.
const hostile = "pong\x1b[2J\n::error::pwned\r\n  ::add-mask::x\n##[error]pwned \u202eltr\u2028 end"

// TestForeignWords shows hostile text in every way that it can reach the
// output, on a terminal and in a job.
func TestForeignWords(t *testing.T) {
	failure := &delivery.Error{Kind: delivery.KindRolledBack, Err: errors.New(hostile), Hints: []string{hostile}, Serves: hostile}
	ways := map[string]func(*ui){
		"note":    func(u *ui) { (&progress{ui: u}).observe(delivery.Event{Kind: delivery.Note, Text: hostile}) },
		"waiting": func(u *ui) { (&progress{ui: u}).observe(delivery.Event{Kind: delivery.Waiting, Text: hostile}) },
		"warning": func(u *ui) { u.warn("%s", hostile) },
		"error":   func(u *ui) { u.fail(failure) },
		"log": func(u *ui) {
			(&progress{ui: u}).observe(delivery.Event{Kind: delivery.AgentOutput, Lines: []delivery.LogLine{{Text: hostile}}})
		},
		"agent's log": func(u *ui) { (&app{ui: u}).logLine(delivery.LogLine{Text: hostile}) },
		"status":      func(u *ui) { (&blocks{app: &app{ui: u}}).show(look{failures: []error{errors.New(hostile)}}) },
		"origin": func(u *ui) {
			(&progress{ui: u}).observe(delivery.Event{Kind: delivery.Diff, Changes: []delivery.Change{{Path: "environmentVariables.A", Origin: hostile, Secret: true}}})
		},
		"diff": func(u *ui) {
			raw, err := json.Marshal(hostile)
			if err != nil {
				t.Fatal(err)
			}
			(&progress{ui: u}).observe(delivery.Event{Kind: delivery.Diff, Changes: []delivery.Change{{Path: "environmentVariables.A", Before: raw, After: raw}}})
		},
	}
	for name, way := range ways {
		for _, actions := range []bool{false, true} {
			var out bytes.Buffer
			way(&ui{out: &out, err: &out, actions: actions})
			if !strings.Contains(out.String(), "pong") {
				t.Errorf("%s, actions %v: the text is gone: %q", name, actions, out.String())
			}
			if strings.ContainsAny(out.String(), "\x1b\r\u202e\u2028") {
				t.Errorf("%s, actions %v: control characters: %q", name, actions, out.String())
			}
			if actions {
				refuseCommands(t, name, out.String())
			}
		}
	}
}

// refuseCommands fails where GitHub's runner would obey text that is not
// ours: "::" at the beginning of a line, "##[" anywhere, unless stopped.
func refuseCommands(t *testing.T, name, out string) {
	t.Helper()
	stopped := ""
	for _, line := range strings.Split(out, "\n") {
		token, stops := strings.CutPrefix(line, "::stop-commands::")
		switch {
		case stops:
			stopped = token
		case stopped != "" && line == "::"+stopped+"::":
			stopped = ""
		case stopped != "", strings.HasPrefix(line, "::error title=slipway::pong"), strings.HasPrefix(line, "::warning::pong"):
		case strings.HasPrefix(strings.TrimSpace(line), "::"), strings.Contains(line, "##["):
			t.Errorf("%s: the runner would obey %q", name, line)
		}
	}
}

func TestLongLinesAreCut(t *testing.T) {
	var out bytes.Buffer
	u := &ui{err: &out}
	u.foreign([]string{strings.Repeat("é", mostOfLine), strings.Repeat("x", mostOfLine)})
	lines := strings.Split(out.String(), "\n")
	if want := "é… (2000 bytes more)"; !strings.HasSuffix(lines[0], want) {
		t.Errorf("the long line ends in %q, want %q", lines[0][len(lines[0])-30:], want)
	}
	if strings.Contains(lines[1], "…") {
		t.Error("a line of just the limit was cut")
	}
}

func TestWarnsOnce(t *testing.T) {
	var out bytes.Buffer
	u := &ui{err: &out}
	u.warn("one")
	u.warn("two")
	u.warn("one")
	if diff := cmp.Diff("warning: one\nwarning: two\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

// TestEach tells several failures each with its own hints, equal ones once,
// and ends with the worst.
func TestEach(t *testing.T) {
	var out bytes.Buffer
	a := &app{ui: &ui{err: &out}}
	locked := &delivery.Error{Kind: delivery.KindLocked, Err: errors.New("b is locked"), Hints: []string{"wait"}}
	config := &delivery.Error{Kind: delivery.KindConfig, Err: errors.New("a is wrong"), Hints: []string{"mend it"}}
	if got := a.each([]error{config, locked, config}); !errors.Is(got, exitError(5)) {
		t.Errorf("ends with %v", got)
	}
	if diff := cmp.Diff("error: a is wrong\nhint: mend it\nerror: b is locked\nhint: wait\n", out.String()); diff != "" {
		t.Error(diff)
	}
	if got := a.each([]error{config}); !errors.Is(got, config) {
		t.Errorf("a lone failure became %v", got)
	}
	if got := a.each(nil); got != nil {
		t.Errorf("no failure became %v", got)
	}
}

func TestBroken(t *testing.T) {
	text := "the release before it, 5243236, serves again, as version 4"
	for _, c := range []struct {
		width int
		want  []string
	}{
		{0, []string{text}},
		{len(text), []string{text}},
		{40, []string{"the release before it, 5243236, serves", "again, as version 4"}},
	} {
		if diff := cmp.Diff(c.want, broken(text, c.width)); diff != "" {
			t.Errorf("width %d: %s", c.width, diff)
		}
	}
	if got := broken(strings.Repeat("x", 70), 30); len(got) != 3 {
		t.Errorf("a word of 70 in 30: %q", got)
	}
}

func TestBriefly(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	one, other := "111122223333.dkr.ecr.us-east-1.amazonaws.com/", "444455556666.dkr.ecr.us-east-1.amazonaws.com/"
	for _, c := range [][4]string{
		{one + "a/b@sha256:" + digest, one + "a/b:latest", "a/b@sha256:abababab…", "a/b:latest"},
		{one + "a/b:latest", other + "a/b:latest", one + "a/b:latest", other + "a/b:latest"}, // the change is in the registry
		{"info", "debug", "info", "debug"},
	} {
		before, after := briefly(c[0], c[1])
		if before != c[2] || after != c[3] {
			t.Errorf("%s → %s is shown as %s → %s", c[0], c[1], before, after)
		}
	}
}

// TestInterruptedQuestion ends a question by an interrupt, with nobody typing.
func TestInterruptedQuestion(t *testing.T) {
	never, _ := io.Pipe()
	defer never.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	asked := make(chan struct{})
	u := &ui{err: writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("[y/N]")) {
			close(asked)
		}
		return out.Write(p)
	}), in: never, asks: true}
	go func() {
		<-asked
		cancel()
	}()
	err := u.confirm(ctx, "deploy a to dev?")
	if delivery.ExitCode(err) != 130 {
		t.Errorf("confirm returned %v, exit code %d", err, delivery.ExitCode(err))
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestQuestion(t *testing.T) {
	for answer, want := range map[string]int{"y\n": 0, "Yes\n": 0, "n\n": 2, "\n": 2, "": 2, "yes": 0, "yesterday\n": 2} {
		u := &ui{err: io.Discard, in: strings.NewReader(answer), asks: true}
		if got := delivery.ExitCode(u.confirm(t.Context(), "go on?")); got != want {
			t.Errorf("%q: exit code %d, want %d", answer, got, want)
		}
	}
}
