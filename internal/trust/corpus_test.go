package trust

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readJSON reads a file of testdata.
func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, name), v); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// probes returns the corpus's tokens and their ids, sorted.
func probes(t testing.TB) (map[string]map[string]string, []string) {
	t.Helper()
	var byID map[string]map[string]string
	readJSON(t, "probes.json", &byID)
	var ids []string
	for id := range byID {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return byID, ids
}

// admitted lists the probes that the policy lets in.
func admitted(t testing.TB, p Policy, issuer string) []string {
	t.Helper()
	byID, ids := probes(t)
	in := []string{}
	for _, id := range ids {
		if p.Evaluate(WebIdentity(ProviderARN("123456789012", issuer), issuer, byID[id])).Allowed {
			in = append(in, id)
		}
	}
	return in
}

func TestCorpusPoliciesAdmitExactlyTheListedProbes(t *testing.T) {
	var manifest []struct {
		ID, Title, File string
		Args, Admits    []string
	}
	readJSON(t, "manifest.json", &manifest)
	if len(manifest) < 26 {
		t.Fatalf("the manifest has %d policies", len(manifest))
	}
	for _, m := range manifest {
		t.Run(m.ID, func(t *testing.T) {
			issuer := GitHubIssuer
			if i := slices.Index(m.Args, "--issuer"); i >= 0 {
				issuer = m.Args[i+1]
			}
			p, repeats, err := Read(readFile(t, filepath.Base(m.File)))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := len(repeats) > 0, m.ID == "T24"; got != want {
				t.Errorf("repeated keys: %v, want %v", got, want)
			}
			slices.Sort(m.Admits)
			if diff := cmp.Diff(m.Admits, admitted(t, p, issuer)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", m.Title, diff)
			}
		})
	}
}

func TestCorpusDocumentsOfOneEnvironment(t *testing.T) {
	for _, name := range []string{"deploy-boundary.json", "deploy-policy.json", "deploy-trust.json", "exec-trust.json"} {
		if _, err := Parse(readFile(t, "iam/"+name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := Parse(readFile(t, "iam/deploy-trust.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"legit-immutable"}, admitted(t, p, GitHubIssuer)); diff != "" {
		t.Error(diff)
	}
}

func TestRepeatedKeyIsRefusedByParse(t *testing.T) {
	_, err := Parse(readFile(t, "T24.json"))
	want := "line 1, column 318: Statement[0].Condition.StringEquals is stated twice"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
