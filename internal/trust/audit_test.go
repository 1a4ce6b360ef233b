package trust

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// options reads the arguments of the corpus's manifest.
func options(t testing.TB, args []string) AuditOptions {
	t.Helper()
	var o AuditOptions
	for i := 0; i+1 < len(args); i += 2 {
		var err error
		switch value := args[i+1]; args[i] {
		case "--github":
			o.Repository, err = ParseRepository(value)
		case "--environment":
			o.Environment = value
		case "--account":
			o.Account = value
		case "--issuer":
			o.Issuer = value
		default:
			t.Fatalf("%s is unknown", args[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func rulesOf(r Report) []string {
	ids := []string{}
	for _, f := range r.Findings {
		if !slices.Contains(ids, f.Rule) {
			ids = append(ids, f.Rule)
		}
	}
	slices.Sort(ids)
	return ids
}

type corpusEntry struct {
	ID, Title, File, Verdict string
	Args, Rules, Admits      []string
}

func corpusEntries(t testing.TB) []corpusEntry {
	t.Helper()
	var entries []corpusEntry
	readJSON(t, "manifest.json", &entries)
	if len(entries) < 26 {
		t.Fatalf("the manifest has %d policies", len(entries))
	}
	return entries
}

func TestCorpusVerdicts(t *testing.T) {
	given, err := ReadProbes(readFile(t, "probes.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range corpusEntries(t) {
		for name, probes := range map[string][]Probe{"given probes": given, "made probes": nil} {
			t.Run(m.ID+" "+name, func(t *testing.T) {
				o := options(t, m.Args)
				o.Probes = probes
				report, err := AuditTrust(readFile(t, filepath.Base(m.File)), o)
				if err != nil {
					t.Fatal(err)
				}
				if got := string(report.Outcome()); got != m.Verdict {
					t.Errorf("%s: verdict %s, want %s", m.Title, got, m.Verdict)
				}
				for _, rule := range m.Rules {
					if !slices.Contains(rulesOf(report), rule) {
						t.Errorf("%s is not among %v", rule, rulesOf(report))
					}
				}
				if m.Verdict == "accept" && len(report.Findings) > 0 {
					t.Errorf("false alarm: %+v", report.Findings)
				}
				if diff := cmp.Diff(m.Admits, report.Admitted); diff != "" && m.ID != "T32" {
					t.Errorf("admitted (-want +got):\n%s", diff)
				}
				t.Log(rulesOf(report))
			})
		}
	}
}
