package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsNoWorkflow(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "neither a workflow",
		"a: 1":                  "neither a workflow",
		"[on, jobs]":            "neither a workflow",
		"on: [":                 "no YAML",
		"on: push\njobs: \xff":  "not UTF-8",
		"on: &a [*a]\njobs: {}": "anchors",
		"on: push\n" + strings.Repeat("#", maxSize): "too large",
		bomb(): "anchors",
	} {
		_, err := Check([]File{{"w.yml", []byte(text)}}, Options{})
		if got := fmt.Sprint(err); !strings.Contains(got, want) || !strings.Contains(got, "w.yml") {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// bomb unfolds to a billion nodes.
func bomb() string {
	var b strings.Builder
	b.WriteString("on: push\nx0: &a0 [x]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&b, "x%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	return b.String()
}

// TestQueueIsKnown: of actionlint's findings that about the key queue alone
// goes.
func TestQueueIsKnown(t *testing.T) {
	if f := checked(t, Options{}, File{"w.yml", []byte(with("cancel-in-progress: false", "cancel-in-progress: false, queue: max"))}); len(f) > 0 {
		t.Errorf("%+v", f)
	}
	for _, change := range [][]string{{"cancel-in-progress: false", "cancel-in-progress: false, queues: max"}, {"timeout-minutes: 30", "queue: max"}} {
		if f := checked(t, Options{}, File{"w.yml", []byte(with(change...))}); !has(f, "actionlint/syntax-check") {
			t.Errorf("%v: %+v", change, f)
		}
	}
}

// TestPlaces holds findings to where the fault stands.
func TestPlaces(t *testing.T) {
	for _, tt := range []struct {
		text, rule   string
		line, column int
	}{
		{uses("a/b@v1"), "workflow/unpinned-action", 18, 15},
		{with(group, ""), "workflow/no-concurrency", 7, 3},
		{run("echo a\necho ${{ github.ref }} ${{ github.ref }}"), "workflow/template-injection", 20, 16},
		{run("echo 'ä' ${{ github.ref }}"), "workflow/template-injection", 19, 20},
		{with(choice, "echo \"${{ github.ref }}\""), "workflow/template-injection", 17, 20},
		{run("true\ncurl x |\n  sh"), "workflow/unpinned-tool", 20, 11},
		{with("cancel-in-progress: false", "cancel-in-progress: true"), "workflow/cancel-in-progress", 10, 62},
		{stepOf("run: >-\n  echo\n  ${{ github.ref }}"), "workflow/template-injection", 20, 11},
	} {
		found := false
		for _, f := range checked(t, Options{}, File{"w.yml", []byte(tt.text)}) {
			if f.Rule == tt.rule && !found {
				found = true
				if f.Line != tt.line || f.Column != tt.column {
					t.Errorf("%s at %d:%d, want %d:%d in\n%s", f.Rule, f.Line, f.Column, tt.line, tt.column, tt.text)
				}
			}
		}
		if !found {
			t.Errorf("no %s in\n%s", tt.rule, tt.text)
		}
	}
}

// TestScriptsAreReadAsShellsDo lists the programs of a script, in their order.
func TestScriptsAreReadAsShellsDo(t *testing.T) {
	for script, want := range map[string]string{
		"a b; c":                    "a|c",
		"a && b || c & d":           "a|b|c|d",
		"x=$(a | b) c":              "a|b|c",
		"if a; then b; fi":          "a|b|fi",
		"a 'b; c' \"d $(e) f\"":     "e|a",
		"a \\\n  b\nc # d; e":       "a|c",
		"cat <<EOF\nx; y\nEOF\nz":   "cat|z",
		"a `b c` d":                 "b|a",
		"sudo -E a":                 "a",
		"env A=b a":                 "a",
		"./bin/a <(b)":              "b|a",
		"a > b 2>&1 &>> c":          "a",
		"echo $((1 + 2)) x":         "echo",
		"A=(a b) c":                 "c",
		"echo ${{ a || 'b; c' }} d": "echo",
	} {
		var got []string
		for _, c := range parseScript(script) {
			got = append(got, c.program())
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q: %q, want %q", script, strings.Join(got, "|"), want)
		}
	}
}

// broken are workflows that once broke the check: none may panic.
func broken() []string {
	return []string{
		run(`MSG="::set-output name=t::$AWS_SECRET_ACCESS_KEY"`),
		chosenBy(strings.Repeat("Ⱥ", 20)), // longer in lower case
		chosenBy("İ"),
	}
}

// chosenBy is a workflow whose environment a script writes out.
func chosenBy(value string) string {
	return with("jobs:", "jobs:\n  pick:\n    runs-on: ubuntu-24.04\n    outputs: {e: \"${{ steps.p.outputs.E }}\"}\n    steps:\n      - id: p\n        run: echo \"e="+value+"\" >> \"$GITHUB_OUTPUT\"",
		env, "    needs: pick\n    environment: ${{ needs.pick.outputs.e }}\n", group, "    concurrency: {group: \"deploy-${{ needs.pick.outputs.e }}\"}\n")
}

func TestBroken(t *testing.T) {
	for _, text := range broken() {
		if f := checked(t, Options{}, File{"w.yml", []byte(text)}); has(f, "workflow/dynamic-environment") || has(f, "actionlint/syntax-check") {
			t.Errorf("%+v in\n%s", f, text)
		}
	}
}

func FuzzCheck(f *testing.F) {
	names, err := filepath.Glob("testdata/corpus/*.yml")
	if err != nil || len(names) < 20 {
		f.Fatalf("%d seeds: %v", len(names), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, c := range ruleCases() {
		for _, text := range c.finds {
			f.Add([]byte(text))
		}
	}
	for _, text := range broken() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		report, err := Check([]File{{".github/workflows/w.yml", data}}, Options{Pins: pins, Project: &Project{}})
		if err != nil {
			return
		}
		for _, finding := range report.Findings {
			if finding.Line < 1 || finding.Column < 1 || finding.Message == "" {
				t.Errorf("%+v", finding)
			}
		}
	})
}

// FuzzScript: every script comes to an end, and every word stands in it.
func FuzzScript(f *testing.F) {
	for _, script := range []string{"a $(b `c` <(d)) | e", "cat <<EOF\n$(x)\nEOF", "'", "\"$(", "`", "${{ a", "$((", "a=(", "<<", "x <<A <<-B\n"} {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script string) {
		for _, c := range parseScript(script) {
			for _, w := range c.all() {
				if w.offset < 0 || w.offset+len(w.raw) > len(script) || script[w.offset:w.offset+len(w.raw)] != w.raw {
					t.Fatalf("%q is not at %d", w.raw, w.offset)
				}
			}
		}
	})
}
