package check

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func checked(t testing.TB, o Options, files ...File) []Finding {
	t.Helper()
	report, err := Check(files, o)
	if err != nil {
		t.Fatalf("%v:\n%s", err, files[0].Data)
	}
	if report.Findings == nil {
		t.Error("findings are null")
	}
	return report.Findings
}

func has(findings []Finding, rule string) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Rule == rule })
}

// pins is a table as `slipway workflow generate` has one.
func pins(action, sha string) (string, bool) {
	if sha != "de0fac2e4500dabe0009e67214ff5f5447ce83dd" {
		return "", false
	}
	return "v6.0.2", action == "actions/checkout"
}

func TestCorpus(t *testing.T) {
	var manifest []struct {
		ID, Title, File string
		Verdict         Verdict
		Rules           []string
	}
	if err := json.Unmarshal(readFile(t, "corpus/manifest.json"), &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) < 20 {
		t.Fatalf("the manifest has %d workflows", len(manifest))
	}
	for _, m := range manifest {
		for name, o := range map[string]Options{"alone": {}, "with a table of pins": {Pins: pins}} {
			t.Run(m.ID+" "+name, func(t *testing.T) {
				report, err := Check([]File{{m.ID + ".yml", readFile(t, strings.Replace(m.File, "workflows/", "corpus/", 1))}}, o)
				if err != nil {
					t.Fatal(err)
				}
				if got := report.Verdict(); got != m.Verdict {
					t.Errorf("%s: %s, want %s: %+v", m.Title, got, m.Verdict, report.Findings)
				}
				for _, rule := range m.Rules {
					if !has(report.Findings, rule) {
						t.Errorf("%s: no %s in %+v", m.Title, rule, report.Findings)
					}
				}
				if m.ID == "W00" && len(report.Findings) > 0 {
					t.Errorf("the good one has findings: %+v", report.Findings)
				}
				if testing.Verbose() {
					for _, f := range report.Findings {
						t.Logf("%s %s %d:%d %s", f.Severity, f.Rule, f.Line, f.Column, f.Message)
					}
				}
			})
		}
	}
}

// TestGenerated: what slipway workflow generate writes has no finding, of any
// rule.
func TestGenerated(t *testing.T) {
	repositories, err := filepath.Glob("../generate/testdata/golden/*")
	if err != nil || len(repositories) < 4 {
		t.Fatalf("they are %q: %v", repositories, err)
	}
	for _, repository := range repositories {
		names, err := filepath.Glob(filepath.Join(repository, "workflows", "*.yml"))
		actions, wrong := filepath.Glob(filepath.Join(repository, "actions", "*", "action.yml"))
		if err != nil || wrong != nil || len(names) < 3 || len(actions) != 1 {
			t.Fatalf("%s has %q, %q", repository, names, actions)
		}
		var files []File
		for _, name := range append(names, actions...) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, File{".github" + strings.TrimPrefix(filepath.ToSlash(name), filepath.ToSlash(repository)), data})
		}
		for _, f := range checked(t, Options{}, files...) {
			t.Errorf("%s: %s %s:%d:%d %s", repository, f.Rule, f.File, f.Line, f.Column, f.Message)
		}
	}
}
