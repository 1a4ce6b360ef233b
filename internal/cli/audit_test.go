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

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/iam"
	"github.com/slipway-cd/slipway/internal/trust"
)

const corpus = "../trust/testdata"

// auditRun is the program on a directory of policies, with nothing else there.
func auditRun(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	dir, err := filepath.Abs(corpus)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	status = Main(t.Context(), append([]string{"audit"}, args...), System{In: strings.NewReader(""), Out: &out, Err: &errs, Dir: dir})
	return status, out.String(), errs.String()
}

func TestAuditOfTheCorpus(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(corpus, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []struct {
		ID, File, Verdict   string
		Args, Rules, Admits []string
	}
	if err := json.Unmarshal(raw, &entries); err != nil || len(entries) < 26 {
		t.Fatalf("%d entries: %v", len(entries), err)
	}
	for _, e := range entries {
		t.Run(e.ID, func(t *testing.T) {
			args := append([]string{"--trust", filepath.Base(e.File)}, e.Args...)
			status, stdout, stderr := auditRun(t, append(args, "--probes", "probes.json", "-o", "json")...)
			if want := map[string]int{"accept": 0, "warn": 0, "reject": 3}[e.Verdict]; status != want || stderr != "" {
				t.Errorf("exit %d, want %d; stderr %q", status, want, stderr)
			}
			var doc struct {
				Schema, Verdict string
				Findings        []struct{ Rule string }
				Admitted        []string
			}
			if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
				t.Fatal(err)
			}
			if doc.Schema != "slipway.audit/v1" || doc.Verdict != e.Verdict || doc.Findings == nil {
				t.Errorf("got %s, want %s in %s", doc.Verdict, e.Verdict, stdout)
			}
			for _, rule := range e.Rules {
				if !slices.ContainsFunc(doc.Findings, func(f struct{ Rule string }) bool { return f.Rule == rule }) {
					t.Errorf("%s is not among %v", rule, doc.Findings)
				}
			}
			if diff := cmp.Diff(e.Admits, doc.Admitted); diff != "" {
				t.Errorf("admitted (-want +got):\n%s", diff)
			}
			if again, _, _ := auditRun(t, args...); again != status {
				t.Errorf("as text: exit %d", again)
			}
		})
	}
}

func TestAuditRefuses(t *testing.T) {
	good := []string{"--trust", "T00a.json", "--github", "acme/agent"}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no file":          {[]string{"--trust", "none.json", "--github", "acme/agent"}, "none.json"},
		"no policy":        {[]string{"--trust", "probes.json", "--github", "acme/agent"}, "no Statement"},
		"no JSON":          {[]string{"--trust", "-", "--github", "acme/agent"}, "unexpected EOF"},
		"permissions":      {[]string{"--trust", "iam/deploy-policy.json", "--github", "acme/agent"}, "this is no trust policy"},
		"trust as policy":  {[]string{"--policy", "T00a.json"}, "no permission policy"},
		"nothing to audit": {nil, "at least one of the flags"},
		"two things":       {append(good, "--policy", "T00a.json"), "were all set"},
		"no repository":    {good[:2], "--trust needs --github"},
		"bad repository":   {append(good[:3:3], "acme"), "neither OWNER/REPO"},
		"half the ids":     {append(good[:3:3], "acme@1/agent"), "neither OWNER/REPO"},
		"bad account":      {append(good, "--account", "12"), `"12" is no account`},
		"bad issuer":       {append(good, "--issuer", "http://example.com"), "is no issuer"},
		"bad probes":       {append(good, "--probes", "T24.json"), "--probes"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := auditRun(t, tt.args...)
			if status != 2 || stdout != "" || !strings.HasPrefix(stderr, "error: ") || !strings.Contains(stderr, tt.want) || !strings.Contains(stderr, "\nhint: ") {
				t.Errorf("exit %d, stdout %q, stderr %q; want %q", status, stdout, stderr, tt.want)
			}
		})
	}
}

// TestAuditOfTheUsualPolicies holds the text to what people read: the policies
// that guides to GitHub and AWS show, before and after they are locked down.
func TestAuditOfTheUsualPolicies(t *testing.T) {
	for name, args := range map[string][]string{
		"guide":           {"--trust", "../../cli/testdata/audit/guide.json", "--github", "acme/agent", "--environment", "prod"},
		"guide-locked":    {"--trust", "../../cli/testdata/audit/guide-locked.json", "--github", "acme/agent", "--environment", "prod"},
		"any-context":     {"--trust", "T08.json", "--github", "acme/agent", "--environment", "prod"},
		"branch-subject":  {"--trust", "T14.json", "--github", "acme@1001/agent@2002", "--environment", "prod"},
		"deploy-trust":    {"--trust", "iam/deploy-trust.json", "--github", "acme@1001/agent@2002", "--environment", "prod"},
		"repository-open": {"--trust", "T02.json", "--github", "acme/agent"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stdout, stderr := auditRun(t, append(args, "--account", "123456789012")...)
			if stderr != "" {
				t.Error(stderr)
			}
			file := filepath.Join("testdata", "audit", name+".txt")
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
		})
	}
}

// TestAuditDoc holds docs/audit.md to the rules.
func TestAuditDoc(t *testing.T) {
	var b bytes.Buffer
	fmt.Fprint(&b, "# What `slipway audit` finds\n\nGenerated from the program; `make golden` rewrites it.\n\n"+
		"A trust policy is tried with tokens, the *probes*: those of the intended job, whose ids begin with `legit-`, and\n"+
		"those of strangers. Who gets in decides: a stranger is an error, and so is an intended job that stays out. The\n"+
		"rules explain why, and find what no probe happens to hit. `--probes FILE` tries your own tokens, `{\"id\": {claims}}`.\n\n"+
		"The verdict is `reject` with any error, else `warn` with any warning, else `accept`; exit 3 for `reject`, 0 for\n"+
		"the others, 2 for what is no policy at all. A rule marked *broken* explains why the policy would never work.\n"+
		"`trust/wildcard-context` is a warning for a role of slipway.yaml whose environment nobody has to approve.\n"+
		"A condition on the call itself (`aws:SourceIp`) is taken as met in an Allow and as unmet in a Deny.\n"+
		"`--role` and `--all` also know the tokens of GitLab, CircleCI and Buildkite: by rules alone, without probes.\n\n"+
		"## Probes\n\n| id | who that is |\n|---|---|\n")
	for _, id := range probeIDs(t) {
		word := ""
		if !trust.Stranger(id) {
			word = " (may get in)"
		}
		fmt.Fprintf(&b, "| `%s` | %s%s |\n", id, trust.About(id), word)
	}
	fmt.Fprint(&b, "\nIds that end in `-legacy` send the subject of names alone.\n")
	for _, part := range []struct {
		title string
		rules []trust.Rule
	}{{"Trust policies", trust.Rules()}, {"Permission policies", trust.PolicyRules()}} {
		fmt.Fprintf(&b, "\n## %s\n\n| rule | | finds | fix |\n|---|---|---|---|\n", part.title)
		for _, r := range part.rules {
			severity := string(r.Severity)
			if r.Broken {
				severity += ", broken"
			}
			cell := strings.NewReplacer("|", `\|`, "*", `\*`, "<", `\<`)
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.ID, severity, cell.Replace(r.Finds), cell.Replace(r.Fix))
		}
	}
	golden(t, "audit.md", b.Bytes())
}

// probeIDs lists the probes that the program makes: an open policy admits all.
func probeIDs(t *testing.T) []string {
	t.Helper()
	open := `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*"}}`
	report, err := trust.AuditTrust([]byte(open), trust.AuditOptions{})
	if err != nil || len(report.Admitted) < 20 {
		t.Fatalf("%d probes: %v", len(report.Admitted), err)
	}
	return report.Admitted
}

// TestAuditOfAnAccount judges the roles of a local cloud: the demo's, and one
// that somebody made by hand.
func TestAuditOfAnAccount(t *testing.T) {
	d := newTestWorld(t)
	env, err := d.api.administrator(t.Context(), demoAccount)
	if err != nil {
		t.Fatal(err)
	}
	session, err := awsauth.Source{Getenv: func(name string) string { return env[name] }, Region: demoRegion}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byHand := trust.Role{Name: "by-hand", Trust: []byte(strings.ReplaceAll(anyContext, "acme/agent", "acme@1001/agents@2002")),
		Inline: []trust.Document{{Name: "all", JSON: []byte(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)}}}
	if err := (&iam.Client{Config: session.Config(awsauth.IAM)}).CreateRole(t.Context(), byHand); err != nil {
		t.Fatal(err)
	}
	var environ []string
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	run := func(dir string, args ...string) (int, auditDocument, string) {
		var out, errs bytes.Buffer
		status := Main(t.Context(), append([]string{"audit"}, args...), System{In: strings.NewReader(""), Out: &out, Err: &errs, Dir: dir, Env: environ})
		var doc auditDocument
		if slices.Contains(args, "json") {
			if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
				t.Errorf("%v: %v: %s%s", args, err, out.String(), errs.String())
			}
		}
		return status, doc, out.String() + errs.String()
	}
	status, doc, said := run(d.repo, "--all", "-o", "json")
	verdicts := make(map[string]trust.Outcome)
	for _, r := range doc.Roles {
		verdicts[r.Name] = r.Verdict
	}
	if diff := cmp.Diff(map[string]trust.Outcome{"by-hand": trust.Reject, demoDeployRole: trust.Accept}, verdicts); diff != "" || status != 3 {
		t.Errorf("exit %d: %s\n%s", status, diff, said)
	}
	for _, f := range doc.Findings {
		if f.Role != "by-hand" {
			t.Errorf("false alarm: %+v", f)
		}
	}
	status, doc, said = run(t.TempDir(), "--role", "by-hand", "-o", "json")
	for _, rule := range []string{"trust/wildcard-context", "policy/managed-admin", "policy/no-boundary"} {
		if !slices.ContainsFunc(doc.Findings, func(f trust.Finding) bool { return f.Rule == rule && f.Role == "by-hand" }) {
			t.Errorf("%s not found: %s", rule, said)
		}
	}
	if status != 3 || !slices.Contains(doc.Admitted, "pull_request") {
		t.Errorf("exit %d: %s", status, said)
	}
	if status, _, said = run(d.repo, "--role", demoDeployRole); status != 0 || !strings.Contains(said, "  gets in  legit-immutable  ") {
		t.Errorf("exit %d: %s", status, said)
	}
	if status, _, said = run(d.repo, "--role", "supportAgentExecutionRole-dev"); strings.Contains(said, "trust/") {
		t.Errorf("exit %d: %s", status, said)
	}
	if status, _, said = run(d.repo, "--role", "nobody"); status != 2 || !strings.Contains(said, "hint: slipway audit --all") {
		t.Errorf("exit %d: %s", status, said)
	}
}

// anyContext is the policy of most guides.
const anyContext = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
"Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"},
"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com"},
"StringLike":{"token.actions.githubusercontent.com:sub":"repo:acme/agent:*"}}}]}`
