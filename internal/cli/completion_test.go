package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/needs"
)

// completionCase is a command line, up to the cursor, and what a shell is to
// offer there. Names that begin with ! must not be offered.
type completionCase struct {
	name string
	line string
	want []string
}

func completionCases() []completionCase {
	return []completionCase{
		{"verbs", "slipway de", []string{"deploy", "demo"}},
		{"all verbs", "slipway ", []string{"build", "completion", "credentials", "status", "!agent-init", "!slipway.yaml"}},
		{"below a verb", "slipway local ", []string{"up", "journal", "!agent-init"}},
		{"environments", "slipway deploy --env ", []string{"dev", "prd", "!slipway.yaml"}},
		{"an environment", "slipway deploy --env d", []string{"dev", "!prd"}},
		{"after =", "slipway deploy --env=p", []string{"prd", "!dev"}},
		{"short flag", "slipway status -e p", []string{"prd", "!dev"}},
		{"agents", "slipway deploy --env dev --agent ", []string{"support", "triage"}},
		{"formats", "slipway status -o ", []string{"json", "text"}},
		{"another directory", "slipway -C sub/empty deploy --env ", []string{"!dev", "!slipway.yaml"}},
		{"flags", "slipway deploy --dry", []string{"--dry-run"}},
		{"shells", "slipway completion p", []string{"powershell", "!zsh"}},
		{"no files", "slipway deploy ", []string{"!slipway.yaml", "!sub"}},
	}
}

func completionProject(t *testing.T) (dir, path string) {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	linkProgram(t, bin)
	const yaml = `version: 1
region: us-east-1
agents:
  support: {path: a, repository: support/runtime}
  triage: {path: b, repository: triage/runtime}
environments:
  dev: {account: "111122223333"}
  prd: {account: "444455556666", after: dev}
`
	// A repository of its own: the search for slipway.yaml ends there.
	if err := os.MkdirAll(filepath.Join(dir, "sub", "empty", ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "slipway.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, bin + string(os.PathListSeparator) + os.Getenv("PATH")
}

// judgeCompletion runs a shell's program for each case and looks at what it offers, one
// a line; a description may follow a tab.
func judgeCompletion(t *testing.T, program func(line string) []string) {
	dir, path := completionProject(t)
	for _, c := range completionCases() {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			args := program(c.line)
			cmd := exec.CommandContext(ctx, args[0], args[1:]...)
			cmd.Dir, cmd.Env = dir, []string{"PATH=" + path, "HOME=" + t.TempDir(), "TERM=dumb"}
			var out, messages bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &messages
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, messages.String())
			}
			if messages.Len() > 0 {
				t.Errorf("the shell said: %s", messages.String())
			}
			var offered []string
			for line := range strings.Lines(out.String()) {
				word, _, _ := strings.Cut(strings.TrimRight(line, " \n"), "\t")
				word = strings.TrimPrefix(word, "--env=") // fish offers the whole word
				offered = append(offered, strings.TrimSpace(word))
			}
			for _, want := range c.want {
				name, never := strings.CutPrefix(want, "!")
				if slices.Contains(offered, name) == never {
					t.Errorf("%q offers %q; expected %s", c.line, offered, want)
				}
			}
		})
	}
}

// bashProgram completes a line as bash does at a tab: by the function that is
// registered, with the variables that readline sets.
func bashProgram(before, line string) []string {
	const complete = `
source <(slipway completion bash)
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
IFS=$' ' read -r -a COMP_WORDS <<<"${1//=/ = }"
[[ $1 == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { :; }
spec=$(complete -p slipway)
[[ $spec =~ '-F '([^ ]+) ]] || exit 9
"${BASH_REMATCH[1]}" slipway "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]%% *}"
`
	return []string{"bash", "--norc", "--noprofile", "-c", before + complete, "bash", line}
}

func TestBashCompletion(t *testing.T) {
	needs.Program(t, "bash")
	judgeCompletion(t, func(line string) []string { return bashProgram("", line) })
}

// TestBashCompletionWithPackage is the same where bash-completion is there.
func TestBashCompletionWithPackage(t *testing.T) {
	needs.Program(t, "bash")
	const file = "/usr/share/bash-completion/bash_completion"
	_, err := os.Stat(file)
	needs.Part(t, "bash-completion", err == nil)
	judgeCompletion(t, func(line string) []string { return bashProgram("shopt -s extglob\nsource "+file+"\n", line) })
}

func TestFishCompletion(t *testing.T) {
	needs.Program(t, "fish")
	judgeCompletion(t, func(line string) []string {
		return []string{"fish", "--no-config", "-c", "slipway completion fish | source; complete --do-complete $argv[1]", line}
	})
}

// TestZshCompletion runs the function that compinit would call, with what it
// tells zsh taken down instead of drawn.
func TestZshCompletion(t *testing.T) {
	needs.Program(t, "zsh")
	const complete = `
compdef() { : }
source <(slipway completion zsh)
_describe() { print -rl -- "${(@)completions%%:*}" }
_arguments() { : }
words=(${(z)1}); [[ $1 == *' ' ]] && words+=("")
CURRENT=$#words
_slipway
`
	judgeCompletion(t, func(line string) []string { return []string{"zsh", "-f", "-c", complete, "zsh", line} })
}
