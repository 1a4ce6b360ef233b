package generate

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"

	"github.com/slipway-cd/slipway/internal/needs"
)

// partParser is GitHub's own parser, npm's @actions/workflow-parser, in a
// process of its own; `npm ci` in judgeDir installs it.
const (
	partParser = "workflow-parser"
	judgeDir   = "testdata/judge"
)

// written puts generated files into a new repository.
func written(t *testing.T, files []File) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range append(files, File{".git/HEAD", []byte("ref: refs/heads/main\n")}) {
		name := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestActionlint: syntax, types, expressions, the call of ci.yml and the local
// action; scripts too where shellcheck is there. It does not know queue: yet.
func TestActionlint(t *testing.T) {
	queue := regexp.MustCompile(`^unexpected key "queue" for "concurrency" section`)
	shellcheck, _ := exec.LookPath("shellcheck") // "" looks into no scripts
	lint := func(t *testing.T, files []File, shellcheck string) []string {
		linter, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{Shellcheck: shellcheck})
		if err != nil {
			t.Fatal(err)
		}
		found, err := linter.LintRepository(written(t, files))
		if err != nil {
			t.Fatal(err)
		}
		var faults []string
		for _, e := range found {
			if !queue.MatchString(e.Message) {
				faults = append(faults, e.Error())
			}
		}
		return faults
	}
	for name, p := range projects(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, shellcheck := generated(t, p).Files, shellcheck
			if name != "many" { // which has every script but one
				shellcheck = ""
			}
			for _, fault := range lint(t, files, shellcheck) {
				t.Error(fault)
			}
			if name == "starter" {
				files[2].Content = bytes.ReplaceAll(files[2].Content, []byte("needs.prove-stg"), []byte("needs.prove-nothing"))
				if lint(t, files, "") == nil {
					t.Error("actionlint sees no fault in a workflow that has one")
				}
			}
		})
	}
}

// TestShellcheck: the action's script, which actionlint does not look into.
func TestShellcheck(t *testing.T) {
	shellcheck := needs.Program(t, "shellcheck")
	for _, name := range []string{"minimal", "starter"} {
		p := projects(t)[name]
		cmd := exec.CommandContext(t.Context(), shellcheck, "--shell=bash", "-")
		cmd.Stdin = strings.NewReader(script(t, generated(t, p).Files[0]))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestGitHubReadsThem: what GitHub's parser says of every file; of two that are
// wrong it has to say something.
func TestGitHubReadsThem(t *testing.T) {
	_, err := os.Stat(filepath.Join(judgeDir, "node_modules", "@actions", "workflow-parser"))
	needs.Part(t, partParser, err == nil)
	node := needs.Program(t, "node")
	type question struct {
		Path    string `json:"path"`
		Content string `json:"content"`
	}
	var in bytes.Buffer
	asked := 0
	ask := func(path, content string) {
		asked++
		if err := json.NewEncoder(&in).Encode(question{path, content}); err != nil {
			t.Fatal(err)
		}
	}
	for name, p := range projects(t) {
		for _, f := range generated(t, p).Files {
			ask(name+"/"+f.Path, string(f.Content))
		}
	}
	ask("bad/workflow.yml", "on: push\njobs: {a: {runs-on: x, steps: [{run: \"echo ${{ nosuch.x }}\"}]}}\n")
	ask("bad/action.yml", "name: x\ndescription: x\nruns: {using: composite, steps: [{run: x}]}\n")
	cmd := exec.CommandContext(t.Context(), node, "judge.mjs")
	cmd.Dir, cmd.Stdin, cmd.Stderr = judgeDir, &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answered := 0
	for line := range strings.Lines(string(out)) {
		var answer struct {
			Path   string
			Errors []string
		}
		if err := json.Unmarshal([]byte(line), &answer); err != nil {
			t.Fatal(err)
		}
		answered++
		if bad := strings.HasPrefix(answer.Path, "bad/"); bad == (len(answer.Errors) == 0) {
			t.Errorf("%s: %q", answer.Path, answer.Errors)
		}
	}
	if answered != asked {
		t.Errorf("%d answers to %d questions", answered, asked)
	}
}
