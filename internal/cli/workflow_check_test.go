package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/slipway-cd/slipway/internal/workflow/check"
)

const workflowData = "../workflow/check/testdata"

// checkRun is the program in a directory, with env besides.
func checkRun(t *testing.T, dir string, env []string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	status = Main(t.Context(), append([]string{"workflow", "check"}, args...), System{In: strings.NewReader(""), Out: &out, Err: &errs, Dir: dir, Env: env})
	return status, out.String(), errs.String()
}

func TestWorkflowCheckOfTheCorpus(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(workflowData, "corpus", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct {
		ID, File, Verdict string
		Rules             []string
	}
	if err := json.Unmarshal(raw, &entries); err != nil || len(entries) < 20 {
		t.Fatalf("%d entries: %v", len(entries), err)
	}
	for _, e := range entries {
		t.Run(e.ID, func(t *testing.T) {
			name := filepath.Base(e.File)
			status, stdout, stderr := checkRun(t, filepath.Join(workflowData, "corpus"), nil, name, "-o", "json")
			if want := map[string]int{"accept": 0, "warn": 0, "reject": 3}[e.Verdict]; status != want || stderr != "" {
				t.Errorf("exit %d, want %d; stderr %q", status, want, stderr)
			}
			var doc workflowCheckDocument
			if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
				t.Fatal(err)
			}
			if doc.Schema != "slipway.workflow-check/v1" || string(doc.Verdict) != e.Verdict || doc.Findings == nil {
				t.Errorf("got %s, want %s in %s", doc.Verdict, e.Verdict, stdout)
			}
			for _, rule := range e.Rules {
				if !slices.ContainsFunc(doc.Findings, func(f check.Finding) bool { return f.Rule == rule && f.File == name && f.Line > 0 }) {
					t.Errorf("%s is not among %v", rule, doc.Findings)
				}
			}
			for _, output := range []string{"text", "sarif"} {
				if again, _, _ := checkRun(t, filepath.Join(workflowData, "corpus"), nil, name, "-o", output); again != status {
					t.Errorf("as %s: exit %d", output, again)
				}
			}
		})
	}
}

// TestWorkflowCheckOfTheDescribedSystem holds the text to what people read: the
// two workflows that Slipway sets out to correct.
func TestWorkflowCheckOfTheDescribedSystem(t *testing.T) {
	described := filepath.Join(workflowData, "described")
	status, stdout, stderr := checkRun(t, described, nil)
	if status != 3 || stderr != "" {
		t.Errorf("exit %d, stderr %q", status, stderr)
	}
	file := filepath.Join(described, "findings.txt")
	if update() {
		if err := os.WriteFile(file, []byte(stdout), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), stdout); diff != "" {
		t.Error(diff)
	}
}

// TestWorkflowCheckLeavesGoodOnesAlone: a repository as it should be, joined
// with its slipway.yaml and file by file.
func TestWorkflowCheckLeavesGoodOnesAlone(t *testing.T) {
	good := filepath.Join(workflowData, "good")
	for name, args := range map[string][]string{"the repository": nil, "a file": {".github/workflows/deploy-agent.yml"},
		"all files": {".github/workflows/deploy-agent.yml", ".github/workflows/ci.yml", ".github/actions/slipway/action.yml"}} {
		if status, stdout, stderr := checkRun(t, good, nil, args...); status != 0 || strings.Count(stdout, "\n") != 1 || !strings.HasPrefix(stdout, "accept") {
			t.Errorf("%s: exit %d: %s%s", name, status, stdout, stderr)
		}
	}
}

func TestWorkflowCheckRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"policy.yml": "Version: 1\n", "broken.yml": "on: [\n", "good.yml": goodWorkflow(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no file":           {[]string{"none.yml"}, "none.yml"},
		"no workflow":       {[]string{"policy.yml"}, "neither a workflow"},
		"no YAML":           {[]string{"broken.yml"}, "broken.yml: no YAML"},
		"one of two":        {[]string{"good.yml", "policy.yml"}, "policy.yml"},
		"an empty stdin":    {[]string{"-"}, "neither a workflow"},
		"nothing to check":  {nil, "there is no workflow in"},
		"an unknown output": {[]string{"-o", "xml", "good.yml"}, "text, json or sarif"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := checkRun(t, dir, nil, tt.args...)
			if status != 2 || stdout != "" || !strings.HasPrefix(stderr, "error: ") || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit %d, stdout %q, stderr %q; want %q", status, stdout, stderr, tt.want)
			}
		})
	}
	var out, errs bytes.Buffer
	if status := Main(t.Context(), []string{"version", "-o", "sarif"}, System{Out: &out, Err: &errs, Dir: dir}); status != 2 || !strings.Contains(errs.String(), "text or json") {
		t.Errorf("another command as SARIF: exit %d, %s", status, errs.String())
	}
}

func goodWorkflow(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(workflowData, "corpus", "W00.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestWorkflowCheckOfARepository joins the workflows with slipway.yaml, which
// does not count where a file is named.
func TestWorkflowCheckOfARepository(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("slipway.yaml", "version: 1\ngithub: acme@1001/agents@2002\nregion: us-east-1\nagents:\n  support: {path: apps/support, repository: support/runtime}\n"+
		"environments:\n  dev: {account: \"111122223333\", trigger: push}\n  prod: {account: \"111122223333\", after: dev, branch: release}\n")
	write("apps/support/Dockerfile", "FROM scratch\n")
	write(".github/workflows/deploy.yml", goodWorkflow(t))
	write(".github/actions/install/action.yml", "name: x\ndescription: y\nruns:\n  using: composite\n  steps:\n    - uses: a/b@v1\n")
	rules := func(args ...string) []string {
		t.Helper()
		_, stdout, stderr := checkRun(t, filepath.Join(dir, "apps"), nil, append(args, "-o", "json")...)
		var doc workflowCheckDocument
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
			t.Fatalf("%v: %s%s", err, stdout, stderr)
		}
		var all []string
		for _, f := range doc.Findings {
			all = append(all, f.File+" "+f.Rule)
		}
		return all
	}
	want := []string{"../.github/workflows/deploy.yml workflow/subject-mismatch", "../.github/actions/install/action.yml workflow/unpinned-action",
		"../.github/workflows/deploy.yml workflow/missing-approvals", "../.github/workflows/deploy.yml workflow/queue-max"}
	if diff := cmp.Diff(want, rules()); diff != "" {
		t.Error(diff)
	}
	if got := rules("../.github/workflows/deploy.yml"); got != nil {
		t.Errorf("by itself: %v", got)
	}
	write("slipway.yaml", "version: 2\n")
	if status, _, stderr := checkRun(t, dir, nil); status != 2 || !strings.Contains(stderr, "slipway.yaml:1:") {
		t.Errorf("a wrong slipway.yaml: exit %d, %s", status, stderr)
	}
}

// TestWorkflowCheckAnnotates shows findings at their lines on GitHub, ten of a
// severity, the worst first.
func TestWorkflowCheckAnnotates(t *testing.T) {
	status, stdout, stderr := checkRun(t, filepath.Join(workflowData, "described"), []string{"GITHUB_ACTIONS=true", "CI=true"}, "-o", "json")
	var doc workflowCheckDocument
	if err := json.Unmarshal([]byte(stdout), &doc); status != 3 || err != nil {
		t.Fatalf("exit %d: %v", status, err)
	}
	count := map[check.Severity]int{}
	for _, f := range doc.Findings {
		count[f.Severity]++
	}
	if count["error"] <= 10 || count["warning"] <= 10 {
		t.Fatalf("%v: too few to be cut", count)
	}
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if len(lines) != 20 || !strings.HasPrefix(lines[0], "::error file=.github/workflows/ci.yml,line=4,col=3,title=workflow/no-permissions::") {
		t.Errorf("%d annotations:\n%s", len(lines), stderr)
	}
	for i, severity := range map[int]check.Severity{9: "error", 19: "warning"} {
		if more := fmt.Sprintf("(and %d more)", count[severity]-10); !strings.HasPrefix(lines[i], "::"+string(severity)+" ") || !strings.HasSuffix(lines[i], more) {
			t.Errorf("annotation %d is %s; want %s", i+1, lines[i], more)
		}
	}
}

// TestWorkflowCheckSARIF holds the log to SARIF's schema.
func TestWorkflowCheckSARIF(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "workflow", "sarif-2.1.0.json"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("sarif.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, empty := range map[string]bool{"corpus/W00.yml": true, "corpus/W38.yml": false, "described/.github/workflows/deploy-agent.yml": false} {
		_, stdout, _ := checkRun(t, workflowData, nil, name, "-o", "sarif")
		log, err := jsonschema.UnmarshalJSON(strings.NewReader(stdout))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(log); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var read check.SARIFLog
		if err := json.Unmarshal([]byte(stdout), &read); err != nil || len(read.Runs) != 1 || (len(read.Runs[0].Results) == 0) != empty {
			t.Errorf("%s: %v: %s", name, err, stdout)
		}
		for _, r := range read.Runs[0].Results {
			if read.Runs[0].Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
				t.Errorf("%s: rule %d is not %s", name, r.RuleIndex, r.RuleID)
			}
		}
	}
	if schema.Validate(map[string]any{"version": "2.1.0"}) == nil {
		t.Error("the schema takes anything")
	}
}

// TestWorkflowRulesDoc holds docs/workflow-rules.md to the rules.
func TestWorkflowRulesDoc(t *testing.T) {
	var b bytes.Buffer
	fmt.Fprint(&b, "# What `slipway workflow check` finds\n\nGenerated from the program; `make golden` rewrites it.\n\n"+
		"Rules that begin with `actionlint/` are those of [actionlint](https://github.com/rhysd/actionlint) 1.7.12: syntax, types and\n"+
		"expressions, all errors, `actionlint/runner-label` aside, since whoever has runners of their own names them as they like.\n"+
		"The others are Slipway's and about delivery.\n\n"+
		"A *token job* may mint a token: `id-token: write`, its own, the workflow's or, where a called workflow\n"+
		"states none, its caller's. A *deploy job* is one that also names an environment, runs `slipway` or takes AWS credentials.\n"+
		"*Text of others* is `github.event.*`, `head_ref`, `ref_name`, `ref`, `inputs.*`\n"+
		"and what is derived from them: variables, outputs, matrices, branches and messages that a script asks `git` or `gh` for. An input\n"+
		"of type choice, boolean or number is none.\n\n"+
		"The verdict is `reject` with any error, else `warn` with any warning, else `accept`; exit 3 for `reject`, 0 for the others, 2 for\n"+
		"what is no workflow at all. Without FILE the repository's workflows and composite actions are checked together and held to\n"+
		"slipway.yaml; with FILE nothing but the files counts, and the last three rules are silent.\n\n"+
		"| rule | | finds | why | fix |\n|---|---|---|---|---|\n")
	cell := strings.NewReplacer("|", `\|`, "*", `\*`, "<", `\<`)
	for _, r := range check.Rules() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", r.ID, r.Severity, cell.Replace(r.Finds), cell.Replace(r.Why), cell.Replace(r.Fix))
	}
	golden(t, "workflow-rules.md", b.Bytes())
}
