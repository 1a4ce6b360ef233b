package trust

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// corpusDeployment has the names that the corpus's documents have.
func corpusDeployment() Deployment {
	return Deployment{
		Account: "123456789012", Region: "us-east-1", Environment: "prod", Endpoint: "live",
		Agents: []Agent{{
			Name: "customerServiceAgent", Repository: "customerserviceagent/runtime-prod", RuntimeID: "customerServiceAgent_prod-AbCdEf1234",
		}},
		ExecutionRole:  "arn:aws:iam::123456789012:role/agentcore/customerServiceAgentExecutionRole-prod",
		Subnets:        []string{"subnet-0a1b2c3d4e5f60001", "subnet-0a1b2c3d4e5f60002"},
		SecurityGroups: []string{"sg-0a1b2c3d4e5f60003"},
	}
}

func corpusCaller() Caller {
	return Caller{
		Account: "123456789012", Region: "us-east-1", Environment: "prod", RepositoryID: "2002", Ref: "refs/heads/main",
		Subjects:  []string{"repo:acme@1001/agent@2002:environment:prod"},
		Workflows: []string{"acme/agent/.github/workflows/deploy-agent.yml@refs/heads/main"},
	}
}

// TestGeneratedAreTheCorpusDocuments: the documents of the corpus were written
// by hand; the places where the generated ones differ are edited here.
func TestGeneratedAreTheCorpusDocuments(t *testing.T) {
	const parameters = `"arn:aws:ssm:us-east-1:123456789012:parameter/customerServiceAgent/prod/`
	const history = `{"Sid": "ReadHistory", "Effect": "Allow", "Action": "ssm:GetParameterHistory", "Resource": ` + parameters + `release"},`
	d := corpusDeployment()
	tests := []struct {
		file     string
		got      Policy
		old, new string // of the file
	}{
		{"deploy-trust.json", corpusCaller().Trust(), "", ""},
		{"exec-trust.json", d.ExecutionTrust(), "", ""},
		{"deploy-policy.json", d.DeployPolicy(), parameters + `release"]`, parameters + `release", ` + parameters + `image-uri"]`},
		{"deploy-boundary.json", d.Boundary(), `"PassRoleOnlyUnderPath", "Effect": "Deny", "Action": "iam:PassRole", "NotResource": "arn:aws:iam::123456789012:role/agentcore/*"`,
			`"PassRoleOnlyTheExecutionRole", "Effect": "Deny", "Action": "iam:PassRole", "NotResource": "` + d.ExecutionRole + `"`},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			doc := string(readFile(t, "iam/"+tt.file))
			if !strings.Contains(doc, tt.old) {
				t.Fatalf("it has no %s", tt.old)
			}
			doc = strings.Replace(doc, tt.old, tt.new, 1)
			if tt.file == "deploy-policy.json" {
				doc = unmissed().Replace(doc)
				doc = strings.Replace(doc, `{"Sid": "LockAndRecord"`, history+`{"Sid": "LockAndRecord"`, 1) // of the record alone
			}
			want, err := Parse([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, tt.got); diff != "" {
				t.Errorf("(-corpus +generated):\n%s", diff)
			}
		})
	}
}

// generated are documents of the kinds of deployment there are.
func generated() map[string]Policy {
	full := corpusDeployment()
	full.Logs = true
	full.Agents[0].PullFrom = []string{"arn:aws:ecr:eu-west-1:210987654321:repository/customerserviceagent/runtime-dev"}
	full.Agents = append(full.Agents, Agent{Name: "billing", Repository: "billing/runtime-prod", RuntimeID: "billing_prod-ZyXwVu9876"})
	plain := corpusDeployment()
	plain.Endpoint, plain.Subnets, plain.SecurityGroups = "DEFAULT", nil, nil
	early := corpusDeployment()
	early.Agents[0].RuntimeID = ""
	early.Region, early.Agents[0].Name = "cn-north-1", "odd*${x}?"
	bare := Deployment{Account: "123456789012", Region: "us-east-1", Environment: "prod"}
	caller := Caller{Account: "123456789012", Region: "us-gov-west-1", Environment: "stg-2 é", Subjects: []string{"a", "b${sub}"}, Issuer: "https://octo.ghe.com"}
	return map[string]Policy{
		"full-deploy": full.DeployPolicy(), "full-boundary": full.Boundary(), "full-execution": full.ExecutionPolicy(),
		"plain-deploy": plain.DeployPolicy(),
		"early-deploy": early.DeployPolicy(), "early-execution": early.ExecutionPolicy(), "early-execution-trust": early.ExecutionTrust(),
		"bare-deploy": bare.DeployPolicy(), "bare-boundary": bare.Boundary(),
		"caller": caller.Trust(), "corpus-caller": corpusCaller().Trust(),
		"repository": RepositoryPolicy([]string{"arn:aws:iam::210987654321:role/a", "arn:aws:iam::210987654322:role/b"}),
	}
}

// unmissed takes out of the corpus's policy the actions that no delivery would
// miss, by the proof of docs/least-privilege.md.
func unmissed() *strings.Replacer {
	return strings.NewReplacer(`, "ecr:DescribeImages", "ecr:DescribeRepositories"`, "", `, "ssm:GetParameters", "ssm:GetParameterHistory"`, "",
		`"bedrock-agentcore:ListAgentRuntimeVersions", `, "", `, "bedrock-agentcore:ListAgentRuntimeEndpoints"`, "")
}

func TestGeneratedDocuments(t *testing.T) {
	for name, p := range generated() {
		t.Run(name, func(t *testing.T) {
			golden(t, name+".json", p.JSON())
			for _, doc := range [][]byte{p.JSON(), p.Compact()} {
				got, err := Parse(doc)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(p, got); diff != "" {
					t.Errorf("read back (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	got = append(got, '\n')
	path := filepath.Join("testdata", "generated", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(readFile(t, "generated/"+name)), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestNamesAreNoPatterns: a branch or a repository may be called like a
// variable; it must not come to mean one.
func TestNamesAreNoPatterns(t *testing.T) {
	c := corpusCaller()
	c.Ref = "refs/heads/${token.actions.githubusercontent.com:ref}"
	provider := ProviderARN(c.Account, GitHubIssuer)
	for ref, want := range map[string]bool{c.Ref: true, "refs/heads/main": false} {
		claims := map[string]string{"aud": "sts.amazonaws.com", "sub": c.Subjects[0], "repository_id": "2002", "ref": ref, "job_workflow_ref": c.Workflows[0]}
		if got := c.Trust().Evaluate(WebIdentity(provider, GitHubIssuer, claims)).Allowed; got != want {
			t.Errorf("%s admitted: %t", ref, got)
		}
	}
	d := corpusDeployment()
	d.Agents[0].Repository = "a*"
	for repository, want := range map[string]bool{"a*": true, "ab": false} {
		r := Request{Action: "ecr:PutImage", Resource: "arn:aws:ecr:us-east-1:123456789012:repository/" + repository}
		if got := d.DeployPolicy().Evaluate(r).Allowed; got != want {
			t.Errorf("push to %s allowed: %t", repository, got)
		}
	}
}

func TestCallerWithoutSubjectAdmitsNobody(t *testing.T) {
	c := corpusCaller()
	c.Subjects = nil
	if in := admitted(t, c.Trust(), GitHubIssuer); len(in) > 0 {
		t.Errorf("admitted: %v", in)
	}
}

// TestHowManyAgentsFit holds Deployment's documentation to the truth.
func TestHowManyAgentsFit(t *testing.T) {
	fit := 0
	for n := 1; ; n++ {
		d := corpusDeployment()
		d.Logs = true
		for len(d.Agents) < n {
			d.Agents = append(d.Agents, d.Agents[0])
		}
		if d.DeployPolicy().Size() > InlineLimit {
			break
		}
		if d.Boundary().Size() > ManagedLimit || d.ExecutionTrust().Size() > TrustLimit {
			t.Fatal("the boundary or the trust policy is too large")
		}
		fit = n
	}
	if fit != 5 {
		t.Errorf("%d agents fit", fit)
	}
}

func TestWhatNoDocumentCanSayIsRefused(t *testing.T) {
	twice := []Condition{{"StringEquals", "k", []string{"a"}}, {"StringEquals", "k", []string{"b"}}}
	p := policy(Statement{Effect: Allow, Actions: []string{"a:b"}, Resources: []string{"*"}, Conditions: twice})
	if _, err := Parse(p.JSON()); err == nil || !strings.Contains(err.Error(), "stated twice") {
		t.Errorf("got %v", err)
	}
}

func TestWrittenIsStable(t *testing.T) {
	for _, name := range []string{"iam/deploy-policy.json", "iam/deploy-boundary.json", "T44.json"} {
		p, err := Parse(readFile(t, name))
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(p.JSON())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.JSON(), again.JSON()) || !bytes.Equal(p.Compact(), again.Compact()) {
			t.Errorf("%s is written in two ways", name)
		}
	}
}
