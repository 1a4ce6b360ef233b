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

// TestNothingFoundMeansNobodyElse holds verdicts to the probes, for every
// policy of the tables and the corpus: what is accepted admits the intended
// caller and no stranger, and a stranger is always an error.
func TestNothingFoundMeansNobodyElse(t *testing.T) {
	var docs [][]byte
	for _, m := range corpusEntries(t) {
		docs = append(docs, readFile(t, filepath.Base(m.File)))
	}
	for _, c := range faults() {
		docs = append(docs, []byte(c.doc))
	}
	for _, m := range misses() {
		docs = append(docs, []byte(m.doc))
	}
	for _, doc := range docs {
		for _, repository := range []string{byIDs, "acme/agent"} {
			r, err := ParseRepository(repository)
			if err != nil {
				t.Fatal(err)
			}
			consistent(t, doc, AuditOptions{Repository: r, Environment: "prod", Account: "123456789012"})
		}
	}
}

// consistent audits a document and compares verdict and probes.
func consistent(t *testing.T, doc []byte, o AuditOptions) {
	t.Helper()
	report, err := AuditTrust(doc, o)
	if err != nil {
		return
	}
	callers, strangers := 0, 0
	for _, id := range report.Admitted {
		switch {
		case Stranger(id):
			strangers++
		case id != otherWorkflow && (id == "legit-immutable" || !o.Repository.immutable()):
			callers++
		}
	}
	safe := report.Outcome() != Reject
	if safe && (strangers > 0 || callers == 0) {
		t.Errorf("%s admits %v: %s", report.Outcome(), report.Admitted, doc)
	}
	if report.Findings == nil || report.Admitted == nil {
		t.Errorf("a list is nil: %+v", report)
	}
	for _, f := range report.Findings {
		if f.Admits == nil || f.Message == "" || f.Fix == "" || !slices.ContainsFunc(Rules(), func(r Rule) bool { return r.ID == f.Rule }) {
			t.Errorf("finding %+v of %s", f, doc)
		}
	}
	again, err := AuditTrust(doc, o)
	if diff := cmp.Diff(report, again); err != nil || diff != "" {
		t.Errorf("the second audit of %s differs: %v %s", doc, err, diff)
	}
}

func FuzzAuditTrust(f *testing.F) {
	for _, m := range corpusEntries(f) {
		f.Add(readFile(f, filepath.Base(m.File)), "acme@1001/agent@2002", "prod", "")
	}
	for _, c := range faults() {
		f.Add([]byte(c.doc), "acme/agent", "", acmeInc)
	}
	f.Fuzz(func(t *testing.T, doc []byte, repository, environment, issuer string) {
		r, err := ParseRepository(repository)
		if err != nil {
			return
		}
		consistent(t, doc, AuditOptions{Repository: r, Environment: environment, Account: "123456789012"})
		_, _ = AuditTrust(doc, AuditOptions{Issuer: issuer}) // nothing is known: it may find what it likes
	})
}

func FuzzReadProbes(f *testing.F) {
	f.Add(readFile(f, "probes.json"))
	f.Add([]byte(`{"a":{"b":1},"a":{}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		probes, err := ReadProbes(doc)
		seen := make(map[string]bool)
		for _, p := range probes {
			if err == nil && seen[p.ID] {
				t.Errorf("%q twice", p.ID)
			}
			seen[p.ID] = true
		}
	})
}
