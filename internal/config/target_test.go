package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/delivery"
)

func mustGlob(f *testing.F, dir string) [][]byte {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no inputs in testdata/%s: %v", dir, err)
	}
	var all [][]byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

// checkTargets asks for every target of a file and checks what is given.
func checkTargets(t *testing.T, f *File) {
	t.Helper()
	moves := map[string]int{}
	for _, a := range f.Agents() {
		for _, e := range f.Environments() {
			target, err := f.Target(Selection{Agent: a.Name, Environment: e.Name}, nil)
			if err != nil {
				var failure *delivery.Error
				if !errors.As(err, &failure) {
					t.Fatalf("got %T", err)
				}
				continue
			}
			var settings map[string]any
			if err := json.Unmarshal(target.Settings, &settings); err != nil {
				t.Fatalf("settings %s: %v", target.Settings, err)
			}
			if target.Verify.Payload != nil && !json.Valid(target.Verify.Payload) {
				t.Fatalf("payload %s is not JSON", target.Verify.Payload)
			}
			repository := target.Registry + "/" + target.Repository
			moves[repository] += 0
			if target.MovesLatest {
				moves[repository]++
			}
		}
	}
	for repository, n := range moves {
		if n > 1 || n == 0 && !f.expressions { // neither none nor two; none where an account is not known
			t.Fatalf("%d environments move latest in %s", n, repository)
		}
	}
}

func parse(t *testing.T, data string) *File {
	t.Helper()
	f, err := Parse("slipway.yaml", []byte(data))
	if err != nil {
		t.Fatalf("refused:\n%v", err)
	}
	return f
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func target(t *testing.T, f *File, s Selection, getenv func(string) string) delivery.Target {
	t.Helper()
	got, err := f.Target(s, getenv)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTarget(t *testing.T) {
	f := parse(t, string(read(t, "testdata/good/design.yaml")))
	got := target(t, f, Selection{Environment: "prd"}, nil)
	want := delivery.Target{
		Agent: "support", Environment: "prd", Account: "444455556666", Region: "us-east-1",
		Registry: "444455556666.dkr.ecr.us-east-1.amazonaws.com", Repository: "support/runtime",
		Compute: delivery.MicroVM, Reference: delivery.ByDigest, Endpoint: "live", After: "stg",
		MovesLatest: true, // the first in its own account
		Settings:    json.RawMessage(`{"environmentVariables":{"LOG_LEVEL":"info"}}`),
		Verify:      delivery.VerifySpec{Payload: json.RawMessage(`{"prompt":"ping"}`), Contains: "pong"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTargetDefaults(t *testing.T) {
	f := parse(t, smallest)
	got := target(t, f, Selection{Environment: "dev"}, nil)
	want := delivery.Target{
		Agent: "a", Environment: "dev", Account: "111122223333", Region: "us-east-1",
		Registry: "111122223333.dkr.ecr.us-east-1.amazonaws.com", Repository: "aa",
		Compute: delivery.MicroVM, Reference: delivery.ByDigest, MovesLatest: true,
		Settings: json.RawMessage(`{}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	build := Build{Path: ".", Engine: "docker", Dockerfile: "Dockerfile", Platform: "linux/arm64", Package: "."}
	if diff := cmp.Diff(build, f.Agents()[0].Build); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSettings holds the whole of what Slipway owns to AgentCore's names.
func TestSettings(t *testing.T) {
	f := parse(t, string(read(t, "../../examples/full/slipway.yaml")))
	got := target(t, f, Selection{Agent: "customerServiceAgent", Environment: "prd"},
		env("EXECUTION_ROLE_ARN", "arn:aws:iam::444455556666:role/agents", "AGENT_SUBNET_IDS", "subnet-00000001",
			"AGENT_SECURITY_GROUP_ID", "sg-00000001"))
	want := `{
	"authorizerConfiguration": {"customJWTAuthorizer": {
		"allowedAudience": ["agents"], "allowedClients": ["web", "mobile"], "allowedScopes": ["agents/invoke"],
		"discoveryUrl": "https://login.example.com/.well-known/openid-configuration"}},
	"capacityProviderConfiguration": {"capacityProviderArn": "arn:aws:bedrock-agentcore:eu-west-1:444455556666:capacity-provider/agents"},
	"description": "Answers customers",
	"environmentVariables": {"LOG_LEVEL": "info", "OLD_FLAG": null, "PORT_OF_TRACES": "4318"},
	"filesystemConfigurations": [
		{"sessionStorage": {"mountPath": "/mnt/session"}},
		{"s3FilesAccessPoint": {"accessPointArn": "arn:aws:s3files:us-east-1:111122223333:file-system/fs-0123456789abcdef0/access-point/fsap-0123456789abcdef0", "mountPath": "/mnt/documents"}},
		{"efsAccessPoint": {"accessPointArn": "arn:aws:elasticfilesystem:us-east-1:111122223333:access-point/fsap-0123456789abcdef0", "mountPath": "/mnt/shared"}}],
	"lifecycleConfiguration": {"idleRuntimeSessionTimeout": 900, "maxLifetime": 28800},
	"networkConfiguration": {"networkMode": "VPC", "networkModeConfig": {"securityGroups": ["sg-00000001"], "subnets": ["subnet-00000001"]}},
	"protocolConfiguration": {"path": "/invocations", "port": 8080, "serverProtocol": "HTTP"},
	"requestHeaderConfiguration": {"requestHeaderAllowlist": ["X-Request-Id", "X-Customer"]},
	"roleArn": "arn:aws:iam::444455556666:role/agents"}`
	var wantDoc, gotDoc any
	if err := json.Unmarshal([]byte(want), &wantDoc); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got.Settings, &gotDoc); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantDoc, gotDoc); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again := target(t, f, Selection{Agent: "triageAgent", Environment: "stg"}, nil)
	if again.Repository != "triageagent/stg" || !again.MovesLatest {
		t.Errorf("repository %s, moves latest %v", again.Repository, again.MovesLatest)
	}
}

func TestRemovalsStayNull(t *testing.T) {
	f := parse(t, string(read(t, "testdata/good/removals.yaml")))
	got := target(t, f, Selection{Environment: "dev"}, nil)
	want := `{"authorizerConfiguration":null,"description":null,"environmentVariables":{"OLD":null,"OLDER":null},"lifecycleConfiguration":{"maxLifetime":null}}`
	if string(got.Settings) != want {
		t.Errorf("got %s", got.Settings)
	}
}

func TestScalarVariables(t *testing.T) {
	f := parse(t, string(read(t, "testdata/good/scalars.yaml")))
	got := target(t, f, Selection{Environment: "dev"}, nil)
	want := `{"environmentVariables":{"DEBUG":"true","OCT":"0755","PORT":"8080","RATE":"0.5","YES":"yes"}}`
	if string(got.Settings) != want {
		t.Errorf("got %s", got.Settings)
	}
}

func TestPayloads(t *testing.T) {
	for payload, want := range map[string]string{
		`just text`:                                  `"just text"`,
		`{b: 1, a: [2, {c: d}]}`:                     `{"b":1,"a":[2,{"c":"d"}]}`,
		`[1, 1.0, 1e3, -2]`:                          `[1,1.0,1e3,-2]`,
		`12345678901234567890123`:                    `12345678901234567890123`,
		`[true, null, ~, 2026-11-23, yes, "1", <b>]`: `[true,null,null,"2026-11-23","yes","1","<b>"]`,
		`0x10`:                  `16`,
		`null`:                  `null`,
		`{1: a, "2": b, "": c}`: `{"1":"a","2":"b","":"c"}`,
		`""`:                    `""`,
	} {
		f := parse(t, strings.Replace(smallest, "repository: aa", "repository: aa, verify: {payload: "+payload+"}", 1))
		if got := string(target(t, f, Selection{Environment: "dev"}, nil).Verify.Payload); got != want {
			t.Errorf("%s: got %s, want %s", payload, got, want)
		}
	}
}

// TestRegions is S39's table: flag, environment, file; nothing built in.
func TestRegions(t *testing.T) {
	const own = `version: 1
region: us-east-1
agents: {a: {repository: aa}}
environments: {dev: {account: "111122223333", region: eu-west-1}, tst: {account: "111122223333"}, cn: {account: "111122223333", region: cn-north-1}}
`
	f := parse(t, own)
	tests := []struct {
		selection Selection
		getenv    func(string) string
		region    string
	}{
		{Selection{Environment: "tst"}, nil, "us-east-1"},
		{Selection{Environment: "dev"}, nil, "eu-west-1"},
		{Selection{Environment: "dev"}, env("AWS_DEFAULT_REGION", "eu-north-1"), "eu-north-1"},
		{Selection{Environment: "dev"}, env("AWS_REGION", " eu-south-1 ", "AWS_DEFAULT_REGION", "eu-north-1"), "eu-south-1"},
		{Selection{Environment: "dev", Region: "ap-southeast-2"}, env("AWS_REGION", "eu-south-1"), "ap-southeast-2"},
	}
	for _, test := range tests {
		got := target(t, f, test.selection, test.getenv)
		if want := "111122223333.dkr.ecr." + test.region + ".amazonaws.com"; got.Region != test.region || got.Registry != want {
			t.Errorf("got %s and %s, want %s", got.Region, got.Registry, test.region)
		}
	}
	if got := target(t, f, Selection{Environment: "cn"}, nil); got.Registry != "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn" {
		t.Errorf("got %s", got.Registry)
	}
}

// TestListForms is S54, S80 and E2: whatever form the ids are pasted in.
func TestListForms(t *testing.T) {
	f := parse(t, smallest)
	for _, text := range []string{"subnet-0000000a,subnet-0000000b", "subnet-0000000a, subnet-0000000b", "subnet-0000000a subnet-0000000b",
		"subnet-0000000a,subnet-0000000b,", "\nsubnet-0000000a\r\nsubnet-0000000b\n", `["subnet-0000000a","subnet-0000000b"]`,
		` [ "subnet-0000000a,subnet-0000000b" ] `, "subnet-0000000a,,subnet-0000000b,subnet-0000000a"} {
		got := target(t, f, Selection{Environment: "dev"}, env("AGENT_SUBNET_IDS", text))
		want := `{"networkConfiguration":{"networkMode":"VPC","networkModeConfig":{"subnets":["subnet-0000000a","subnet-0000000b"]}}}`
		if string(got.Settings) != want {
			t.Errorf("%q: got %s", text, got.Settings)
		}
	}
	for i := 1; i <= 8; i++ {
		f := parse(t, string(read(t, filepath.Join("testdata/good", "subnets-"+string(rune('0'+i))+".yaml"))))
		got := target(t, f, Selection{Environment: "dev"}, nil)
		if want := `"subnets":["subnet-0123456789abcdef0","subnet-0fedcba9876543210"]`; !strings.Contains(string(got.Settings), want) {
			t.Errorf("subnets-%d: got %s", i, got.Settings)
		}
	}
}

// TestVariablesRefused: what a variable says wrongly is told by its name, all
// at once, and no credential in one is shown.
func TestVariablesRefused(t *testing.T) {
	const network = `version: 1
region: us-east-1
agents: {a: {repository: aa}}
environments:
  dev: {account: "111122223333", network: {mode: PUBLIC}, execution_role: "arn:aws:iam::111122223333:role/run"}
  vpc: {account: "111122223333", network: {mode: VPC, subnets: subnet-00000001}}
`
	seventeen := strings.Repeat("subnet-0000000x ", 17)
	for i := range 17 {
		seventeen = strings.Replace(seventeen, "x", string(rune('a'+i)), 1)
	}
	tests := []struct {
		name        string
		environment string
		getenv      func(string) string
		kind        delivery.Kind
		want        []string
	}{
		{"role", "vpc", env("EXECUTION_ROLE_ARN", "run"), delivery.KindUsage, []string{"EXECUTION_ROLE_ARN must be an IAM role ARN", `not "run"`}},
		{"all at once", "vpc", env("EXECUTION_ROLE_ARN", "run", "AWS_REGION", "here", "AGENT_SUBNET_IDS", "sg-00000001", "AGENT_SECURITY_GROUP_ID", "[1]"),
			delivery.KindUsage, []string{"EXECUTION_ROLE_ARN", `AWS_REGION must be an AWS region such as us-east-1, not "here"`, "AGENT_SUBNET_IDS holds \"sg-00000001\"; each id must be", "AGENT_SECURITY_GROUP_ID begins with ["}},
		{"too many", "vpc", env("AGENT_SUBNET_IDS", seventeen), delivery.KindUsage, []string{"AGENT_SUBNET_IDS must hold 1 to 16 ids, not 17"}},
		{"commas alone", "vpc", env("AGENT_SUBNET_IDS", " , "), delivery.KindUsage, []string{"AGENT_SUBNET_IDS must hold 1 to 16 ids, not 0"}},
		{"other account", "vpc", env("EXECUTION_ROLE_ARN", "arn:aws:iam::999988887777:role/run"), delivery.KindUsage, []string{"EXECUTION_ROLE_ARN belongs to account 999988887777"}},
		{"other partition", "dev", env("AWS_REGION", "cn-north-1"), delivery.KindUsage, []string{"environments.dev.execution_role belongs to partition aws"}},
		{"same role", "dev", env("AWS_DEPLOY_ROLE_ARN", "arn:aws:iam::111122223333:role/run"), delivery.KindUsage, []string{"AWS_DEPLOY_ROLE_ARN and environments.dev.execution_role are the same role"}},
		{"public", "dev", env("AGENT_SUBNET_IDS", "subnet-00000001"), delivery.KindUsage, []string{"AGENT_SUBNET_IDS is set, but environments.dev.network.mode is PUBLIC"}},
		{"no groups", "vpc", nil, delivery.KindConfig, []string{"slipway.yaml:6:8: environment vpc has network mode VPC, which needs subnets and security groups"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parse(t, network).Target(Selection{Environment: test.environment}, test.getenv)
			if err == nil || delivery.KindOf(err) != test.kind || delivery.ExitCode(err) != 2 {
				t.Fatalf("got %v of kind %s", err, delivery.KindOf(err))
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			}
		})
	}
	for _, name := range []string{"AWS_REGION", "EXECUTION_ROLE_ARN", "AWS_DEPLOY_ROLE_ARN", "AGENT_SUBNET_IDS", "AGENT_SECURITY_GROUP_ID"} {
		canary := "ghp_" + strings.Repeat("canary7", 5)
		_, err := parse(t, network).Target(Selection{Environment: "vpc"}, env(name, canary))
		if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNetworkOfFileAndVariables(t *testing.T) {
	f := parse(t, `version: 1
region: us-east-1
agents: {a: {repository: aa}}
environments:
  pub: {account: "111122223333", network: {mode: PUBLIC}}
  vpc: {account: "111122223333", network: {mode: VPC, subnets: subnet-00000001}}
`)
	got := target(t, f, Selection{Environment: "vpc"}, env("AGENT_SECURITY_GROUP_ID", "sg-00000001", "AGENT_SUBNET_IDS", "subnet-00000002"))
	if want := `{"networkConfiguration":{"networkMode":"VPC","networkModeConfig":{"securityGroups":["sg-00000001"],"subnets":["subnet-00000002"]}}}`; string(got.Settings) != want {
		t.Errorf("got %s", got.Settings)
	}
	got = target(t, f, Selection{Environment: "pub"}, nil)
	if want := `{"networkConfiguration":{"networkMode":"PUBLIC","networkModeConfig":null}}`; string(got.Settings) != want {
		t.Errorf("got %s", got.Settings)
	}
}

func TestDeployRole(t *testing.T) {
	f := parse(t, strings.Replace(smallest, `"111122223333"}`, `"111122223333", deploy_role: "arn:aws:iam::111122223333:role/file"}`, 1))
	for want, getenv := range map[string]func(string) string{
		"arn:aws:iam::111122223333:role/file":     nil,
		"arn:aws:iam::111122223333:role/variable": env("AWS_DEPLOY_ROLE_ARN", "arn:aws:iam::111122223333:role/variable\n"),
	} {
		if got, err := f.DeployRole("dev", getenv); err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	if got, err := parse(t, smallest).DeployRole("dev", nil); err != nil || got != "" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := f.DeployRole("dev", env("AWS_DEPLOY_ROLE_ARN", "arn:aws:iam::111122223333:user/x")); delivery.KindOf(err) != delivery.KindUsage {
		t.Errorf("got %v", err)
	}
	if _, err := f.DeployRole("dve", nil); delivery.KindOf(err) != delivery.KindUsage {
		t.Errorf("got %v", err)
	}
}

// TestUnknownNames lists what exists.
func TestUnknownNames(t *testing.T) {
	f := parse(t, string(read(t, "../../examples/full/slipway.yaml")))
	tests := []struct {
		selection  Selection
		want, hint string
	}{
		{Selection{Agent: "customerServiceAgent", Environment: "pord"}, `there is no environment "pord"; slipway.yaml has dev, stg and prd`, "did you mean prd?"},
		{Selection{Agent: "customerServiceAgent", Environment: ""}, `no environment is named; slipway.yaml has dev, stg and prd`, "name one with --env"},
		{Selection{Agent: "customerserviceagent", Environment: "dev"}, `there is no agent "customerserviceagent"; slipway.yaml has customerServiceAgent and triageAgent`, "did you mean customerServiceAgent?"},
		{Selection{Agent: "", Environment: "dev"}, `no agent is named; slipway.yaml has customerServiceAgent and triageAgent`, "name one with --agent"},
		{Selection{Agent: "zebra", Environment: "dev"}, `there is no agent "zebra"; slipway.yaml has customerServiceAgent and triageAgent`, ""},
	}
	for _, test := range tests {
		_, err := f.Target(test.selection, nil)
		var failure *delivery.Error
		if !errors.As(err, &failure) || failure.Kind != delivery.KindUsage || err.Error() != test.want ||
			strings.Join(failure.Hints, "|") != test.hint {
			t.Errorf("%+v: got %v %+v", test.selection, err, failure)
		}
	}
}

func TestNoRegionAnywhere(t *testing.T) {
	f := parse(t, strings.Replace(smallest, "region: us-east-1\n", "", 1))
	_, err := f.Target(Selection{Environment: "dev"}, nil)
	if delivery.KindOf(err) != delivery.KindConfig || !strings.Contains(err.Error(), "environment dev has no region") {
		t.Errorf("got %v", err)
	}
}

// TestMovesLatest: the first environment, in the order of delivery, per
// concrete repository.
func TestMovesLatest(t *testing.T) {
	const header = "version: 1\nregion: us-east-1\nagents: {a: {repository: REPO}}\nenvironments:\n"
	tests := []struct {
		name, repository, environments string
		want                           string
	}{
		{"file order lies", "aa", `
  prd: {account: "111122223333", after: stg}
  stg: {account: "111122223333", after: dev}
  dev: {account: "111122223333"}`, "dev"},
		{"two first ones", "aa", `
  one: {account: "111122223333"}
  two: {account: "111122223333"}`, "one"},
		{"by account", "aa", `
  dev: {account: "111122223333"}
  prd: {account: "444455556666", after: dev}
  dr: {account: "444455556666", after: prd}`, "dev prd"},
		{"by region", "aa", `
  dev: {account: "111122223333"}
  prd: {account: "111122223333", region: eu-west-1, after: dev}`, "dev prd"},
		{"by name", "aa/{environment}", `
  dev: {account: "111122223333"}
  prd: {account: "111122223333", after: dev}`, "dev prd"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := parse(t, strings.Replace(header, "REPO", `"`+test.repository+`"`, 1)+test.environments+"\n")
			var got []string
			for _, e := range f.Environments() {
				// An override of the region holds for this command alone.
				if target(t, f, Selection{Environment: e.Name, Region: "eu-central-1"}, nil).MovesLatest {
					got = append(got, e.Name)
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %v, want %s", got, test.want)
			}
		})
	}
}

func TestAccessors(t *testing.T) {
	f := parse(t, string(read(t, "testdata/good/any-order.yaml")))
	if f.GitHub.String() != "acme/agents" || f.GitHub.Subject() != "acme@1001/agents@2002" {
		t.Errorf("github is %+v", f.GitHub)
	}
	if f.Tool.Version != "0.1.0" || len(f.Tool.SHA256["linux/amd64"]) != 64 {
		t.Errorf("tool is %+v", f.Tool)
	}
	if a, e := f.Agents(), f.Environments(); a[0].Name != "b-2" || a[1].Name != "B_3" || e[0].Name != "prd" || e[1].Name != "dev" {
		t.Errorf("not in the order of the file: %v, %v", a, e)
	}
	dev, err := f.Environment("dev")
	if err != nil {
		t.Fatal(err)
	}
	if dev.Branch != "release/1.x" || dev.URL != "https://agents.example.com/b" || dev.Profile != "my profile" || dev.Endpoint != "DEFAULT" ||
		dev.ReadyTimeout != 15*time.Minute || dev.VerifyTimeout != 90*time.Second || dev.ImageReference != delivery.ByTag {
		t.Errorf("got %+v", dev)
	}
	got := target(t, f, Selection{Agent: "B_3", Environment: "dev"}, nil)
	if got.Endpoint != "" || got.Repository != "b_3/dev" || got.Reference != delivery.ByTag || got.ReadyTimeout != 15*time.Minute {
		t.Errorf("got %+v", got)
	}
	amd := parse(t, string(read(t, "testdata/good/amd64-instances.yaml")))
	build := amd.Agents()[0].Build
	if build.Engine != EngineGo || build.Platform != "linux/amd64" || build.Package != "./cmd/agent" || build.Args["A"] != "1" {
		t.Errorf("got %+v", build)
	}
}
