package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/delivery"
)

func goodExpressions(t *testing.T) *File {
	t.Helper()
	f, err := Parse("slipway.yaml", read(t, "testdata/good/expressions.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func testParameters() map[string]Parameter {
	return map[string]Parameter{
		"/support/dev/api-key": {Value: "hush-${env:TEAM}-hush\n", Secret: true},
		"/shared/token":        {Value: "hush-token", Secret: true},
		"/oidc/url":            {Value: "https://login.example.com/.well-known/openid-configuration"},
		"/oidc/audience":       {Value: "agents"},
		"/shared/question":     {Value: `who "are" you?` + "\n\n"},
		"/roles/execution":     {Value: "arn:aws:iam::111122223333:role/agents\r\n"},
		"/network/subnets":     {Value: "subnet-0123456789abcdef0,subnet-0fedcba9876543210"},
	}
}

// TestResolve: every place that may hold an expression gets its value, as it
// would have been read from a literal.
func TestResolve(t *testing.T) {
	f := goodExpressions(t)
	dev := Selection{Environment: "dev"}
	before, err := f.Resolve(dev, Lookup{Env: testVariables})
	if err != nil {
		t.Fatal(err)
	}
	target, err := before.Target(dev, testVariables)
	if err != nil {
		t.Fatal(err)
	}
	wanted := slices.Sorted(func(yield func(string) bool) {
		for name := range testParameters() {
			if !yield(name) {
				return
			}
		}
	})
	if diff := cmp.Diff(wanted, before.Parameters()); diff != "" || !slices.Equal(target.Unread, wanted) {
		t.Errorf("still to be read: %v (-want +got):\n%s", target.Unread, diff)
	}
	if target.Account != "111122223333" || target.Region != "us-east-1" || target.Repository != "support/runtime" || target.Endpoint != "live" {
		t.Errorf("without parameters: %+v", target)
	}
	if p := before.NeededBy("/roles/execution").String(); p != "slipway.yaml:25:21: environments.dev.execution_role: " {
		t.Errorf("the place is %s", p)
	}

	after, err := f.Resolve(dev, Lookup{Env: testVariables, Parameters: testParameters()})
	if err != nil {
		t.Fatal(err)
	}
	if target, err = after.Target(dev, testVariables); err != nil {
		t.Fatal(err)
	}
	const settings = `{
		"authorizerConfiguration": {"customJWTAuthorizer": {"allowedAudience": ["agents"], "discoveryUrl": "https://login.example.com/.well-known/openid-configuration"}},
		"description": "the agent of support, costs ${5}",
		"environmentVariables": {"API_KEY": "hush-${env:TEAM}-hush", "HEADER": "Bearer hush-token", "LITERAL": "${HOME}", "TEAM": "support"},
		"filesystemConfigurations": [{"sessionStorage": {"mountPath": "/mnt/support"}}],
		"networkConfiguration": {"networkMode": "VPC", "networkModeConfig": {
			"securityGroups": ["sg-0123456789abcdef0"], "subnets": ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]}},
		"protocolConfiguration": {"path": "/invocations", "serverProtocol": "HTTP"},
		"requestHeaderConfiguration": {"requestHeaderAllowlist": ["X-Team"]},
		"roleArn": "arn:aws:iam::111122223333:role/agents"}`
	var want, got any
	if err := errors.Join(json.Unmarshal([]byte(settings), &want), json.Unmarshal(target.Settings, &got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if payload := string(target.Verify.Payload); payload != `{"prompt":"ping support","list":["who \"are\" you?\n"]}` || target.Verify.Contains != "support" {
		t.Errorf("verify sends %s, expects %s", payload, target.Verify.Contains)
	}
	origins := map[string]string{"API_KEY": "${ssm:/{agent}/{environment}/api-key}", "HEADER": "Bearer ${ssm:/shared/token}", "TEAM": "${env:TEAM}"}
	if diff := cmp.Diff(origins, target.Origins); diff != "" || len(target.Unread) != 0 {
		t.Errorf("unread %v, origins (-want +got):\n%s", target.Unread, diff)
	}
	a, _ := after.Agent("")
	e, _ := after.Environment("dev")
	role, err := f.DeployRole("dev", testVariables)
	if a.Build.Args["PYTHON"] != "3.13" || e.Profile != "dev" || role != "arn:aws:iam::111122223333:role/deploy" || err != nil {
		t.Errorf("build %+v, environment %+v, role %s, %v", a.Build, e, role, err)
	}
}

// TestResolveRefuses: what an expression yields is held to the rules of a
// literal, at the place of the expression, and is not shown.
func TestResolveRefuses(t *testing.T) {
	const canary = "canary-0815"
	tests := []struct {
		name string
		env  map[string]string
		ssm  map[string]Parameter
		want []string
	}{
		{name: "missing and empty, all at once", env: map[string]string{"TEAM": "", "ACCOUNT": ""}, ssm: map[string]Parameter{
			"/oidc/url": {}, "/shared/token": {Value: "\n", Secret: true}}, want: []string{
			"slipway.yaml:6:17: agents.support.repository: ${env:TEAM} has no value (set the environment variable TEAM)",
			"slipway.yaml:12:17: agents.support.runtime.environment_variables.HEADER: ${ssm:/shared/token} has no value (write the parameter /shared/token",
			"slipway.yaml:18:48: agents.support.runtime.authorizer_configuration.custom_jwt_authorizer.discovery_url: ${ssm:/oidc/url} has no value",
			"slipway.yaml:23:14: environments.dev.account: ${env:ACCOUNT} has no value"}},
		{name: "a bad account", env: map[string]string{"ACCOUNT": canary}, want: []string{
			"slipway.yaml:23:14: environments.dev.account: the value of ${env:ACCOUNT} must be a quoted string of 12 digits, not a text of 11 characters",
			`slipway.yaml:24:18: environments.dev.deploy_role: the value of "arn:aws:iam::${env:ACCOUNT}:role/deploy" must be an IAM role ARN`}},
		{name: "a bad subnet in a list", ssm: map[string]Parameter{"/network/subnets": {Value: "subnet-0123456789abcdef0 " + canary}}, want: []string{
			"slipway.yaml:28:58: environments.dev.network.subnets[0]: the value of ${ssm:/network/subnets} holds a text of 11 characters; each id must be a subnet id such as subnet-0123456789abcdef0"}},
		{name: "a bad repository", env: map[string]string{"TEAM": canary + "|"}, want: []string{
			`agents.support.repository: the value of "${env:TEAM}/runtime" must be an ECR repository name: lower-case letters and digits in parts joined by . _ - or /, not a text of 20 characters`}},
		{name: "a role of another account", ssm: map[string]Parameter{"/roles/execution": {Value: "arn:aws:iam::444455556666:role/agents"}}, want: []string{
			"slipway.yaml:25:21: environments.dev.execution_role: the value of ${ssm:/roles/execution} belongs to account 444455556666, and the environment to 111122223333"}},
		{name: "a secret in the open", ssm: map[string]Parameter{"/shared/question": {Value: canary, Secret: true}}, want: []string{
			"slipway.yaml:20:59: agents.support.verify.payload.list[0]: ${ssm:/shared/question} is a SecureString, and this value is shown in plans and logs"}},
		{name: "a credential in the open", env: map[string]string{"PYTHON": "ghp_" + strings.Repeat("Ab3", 12)}, want: []string{
			"slipway.yaml:7:28: agents.support.build.args.PYTHON: the value of ${env:PYTHON} looks like a GitHub token"}},
		{name: "no text", env: map[string]string{"TEAM": "a\x1b[31m", "PYTHON": "\xff"}, want: []string{
			"agents.support.repository: the value of \"${env:TEAM}/runtime\" is not plain text in UTF-8", "agents.support.build.args.PYTHON: the value of ${env:PYTHON} is not plain text"}},
		{name: "too long", env: map[string]string{"TEAM": strings.Repeat("x", 5001)}, want: []string{
			"environment_variables.TEAM: the value of ${env:TEAM} must be at most 5000 characters, not 5001"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			parameters := testParameters()
			for name, p := range test.ssm {
				parameters[name] = p
			}
			lookup := Lookup{Parameters: parameters, Env: func(name string) string {
				if value, ok := test.env[name]; ok {
					return value
				}
				return testVariables(name)
			}}
			_, err := goodExpressions(t).Resolve(Selection{Environment: "dev"}, lookup)
			var problems Problems
			if !errors.As(err, &problems) || delivery.KindOf(err) != delivery.KindConfig || delivery.ExitCode(err) != 2 {
				t.Fatalf("got %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got\n%v\nwithout %s", err, want)
				}
			}
			if said := err.Error(); strings.Contains(said, canary) || strings.Contains(said, "ghp_") || strings.Contains(said, "\x1b") {
				t.Errorf("a value is shown: %s", said)
			}
		})
	}
}

// TestResolveAsksForNoMore: other environments and agents need no values, nor
// does a region that is not used.
func TestResolveAsksForNoMore(t *testing.T) {
	f := goodExpressions(t)
	var asked []string
	_, err := f.Resolve(Selection{Environment: "prd"}, Lookup{Env: func(name string) string {
		asked = append(asked, name)
		return testVariables(name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"REGION", "ACCOUNT", "ENDPOINT", "GROUP", "PROFILE"} {
		if slices.Contains(asked, name) {
			t.Errorf("prd was asked for %s", name)
		}
	}
	if !slices.Contains(asked, "PRD_ACCOUNT") {
		t.Errorf("asked for %v", asked)
	}
}

// TestResolveForLogin: to log in, no agent's values are needed.
func TestResolveForLogin(t *testing.T) {
	s := Selection{Environment: "dev", Login: true}
	f, err := goodExpressions(t).Resolve(s, Lookup{Env: func(name string) string {
		if name == "TEAM" || name == "PYTHON" {
			t.Errorf("it asks for %s", name)
		}
		return testVariables(name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if target, err := f.Target(s, testVariables); err != nil || target.Account != "111122223333" {
		t.Errorf("%+v, %v", target, err)
	}
}

// TestResolveToLook: to look at what serves, of the agent only where its images
// are is needed.
func TestResolveToLook(t *testing.T) {
	file, err := Parse("slipway.yaml", []byte(`version: 1
region: us-east-1
agents:
  a:
    repository: ${env:TEAM}/runtime
    runtime: {environment_variables: {LEVEL: "${env:LEVEL}", KEY: "${ssm:/key}"}}
    verify: {expect: {contains: "${env:WORD}"}}
environments:
  dev: {account: "${env:ACCOUNT}"}
`))
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{"TEAM": "team", "ACCOUNT": "111122223333"}
	look := Lookup{Env: func(name string) string { return variables[name] }}
	f, err := file.Resolve(Selection{Environment: "dev", Look: true}, look)
	if err != nil {
		t.Fatal(err)
	}
	target, err := f.Target(Selection{Environment: "dev", Look: true}, look.Env)
	if err != nil || target.Repository != "team/runtime" || target.Account != "111122223333" || len(target.Unread) > 0 {
		t.Errorf("%+v, %v", target, err)
	}
	delete(variables, "TEAM")
	if _, err := file.Resolve(Selection{Environment: "dev", Look: true}, look); err == nil {
		t.Error("a repository without a name was looked at")
	}
	variables["TEAM"] = "team"
	if _, err := file.Resolve(Selection{Environment: "dev"}, look); err == nil {
		t.Error("delivered without the agent's values")
	}
}

// TestResolvePartial: what a runtime is given may be known elsewhere, and is
// named; what says where an agent is delivered and how it is built may not.
func TestResolvePartial(t *testing.T) {
	file, err := Parse("slipway.yaml", []byte(`version: 1
region: us-east-1
agents:
  a:
    repository: ${env:TEAM}/runtime
    runtime: {environment_variables: {LEVEL: "${env:LEVEL}", KIND: agent}}
    verify: {expect: {contains: "${env:WORD} and ${env:LEVEL}"}}
environments:
  dev: {account: "${env:ACCOUNT}", execution_role: "${env:ROLE}", network: {mode: VPC, subnets: ["${env:SUBNET}"], security_groups: "${env:GROUPS}"}}
  lab: {account: "444455556666", network: {mode: VPC}} # AGENT_SUBNET_IDS and AGENT_SECURITY_GROUP_ID have the rest
`))
	if err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{"TEAM": "team", "ACCOUNT": "111122223333"}
	s, lookup := Selection{Environment: "dev", Partial: true}, Lookup{Env: func(name string) string { return variables[name] }}
	f, err := file.Resolve(s, lookup)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Unset(); !slices.Equal(got, []string{"GROUPS", "LEVEL", "ROLE", "SUBNET", "WORD"}) {
		t.Errorf("not set: %v", got)
	}
	target, err := f.Target(s, lookup.Env)
	if err != nil || !strings.Contains(string(target.Settings), `"KIND":"agent"`) || !strings.Contains(string(target.Settings), `"LEVEL":""`) {
		t.Errorf("%s, %v", target.Settings, err)
	}
	for _, partial := range []bool{true, false} {
		_, err := file.Target(Selection{Environment: "lab", Partial: partial}, func(name string) string {
			return map[string]string{"TEAM": "team", "LEVEL": "info", "WORD": "yes"}[name]
		})
		if needs := err != nil && strings.Contains(err.Error(), "needs subnets"); partial == needs {
			t.Errorf("lab, partial %v: %v", partial, err)
		}
	}
	for _, name := range []string{"TEAM", "ACCOUNT"} {
		was := variables[name]
		delete(variables, name)
		if _, err := file.Resolve(s, lookup); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
		variables[name] = was
	}
	variables["LEVEL"], variables["WORD"], variables["ROLE"] = "debug", "yes", "arn:aws:iam::111122223333:role/x"
	variables["SUBNET"], variables["GROUPS"] = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"
	if f, err := file.Resolve(s, lookup); err != nil || len(f.Unset()) > 0 {
		t.Errorf("with all of them: %v", err)
	}
}

// TestLiteral: what is written as a literal is read as it was.
func TestLiteral(t *testing.T) {
	for _, text := range []string{"", "$", "${HOME}", "$${HOME}", "$$${env:A}", "${{ github.sha }}", "a${ssm:/x}${", "${${"} {
		parts, message, _ := split(Literal(text))
		if len(parts) != 1 || parts[0].text != text || message != "" {
			t.Errorf("%q is read as %+v, %s", text, parts, message)
		}
	}
}

// TestUnknownAccounts: an account that only another job knows may be any, so
// latest is left to the environment that comes first.
func TestUnknownAccounts(t *testing.T) {
	f := parse(t, `version: 1
region: us-east-1
agents: {a: {repository: aa}}
environments:
  dev: {account: "${env:ACCOUNT}"}
  prd: {account: "${env:ACCOUNT}", after: dev}
`)
	for environment, want := range map[string]bool{"dev": true, "prd": false} {
		target, err := f.Target(Selection{Environment: environment}, testVariables)
		if err != nil || target.MovesLatest != want {
			t.Errorf("%s: moves latest %v, %v", environment, target.MovesLatest, err)
		}
	}
	if _, err := f.Target(Selection{Environment: "dev"}, nil); delivery.KindOf(err) != delivery.KindConfig {
		t.Errorf("without variables: %v", err)
	}
}

// FuzzResolve: whatever expressions yield, the file is refused with problems
// or has targets, and the values are not in the problems.
func FuzzResolve(f *testing.F) {
	const canary = "canary-0815"
	for _, dir := range []string{"good", "bad"} {
		for _, file := range mustGlob(f, dir) {
			f.Add(file, "x", true)
		}
	}
	f.Add([]byte("version: 1\nagents: {a: {repository: '$${env:A}${env:A}$'}}\nenvironments: {dev: {account: '${env:B}'}}\n"), "${env:A}\x1b", false)
	f.Fuzz(func(t *testing.T, data []byte, value string, secret bool) {
		file, err := Parse("slipway.yaml", data)
		if err != nil || bytes.Contains(data, []byte(canary)) {
			return
		}
		for _, a := range file.Agents() {
			for _, e := range file.Environments() {
				s := Selection{Agent: a.Name, Environment: e.Name}
				lookup := Lookup{Env: func(string) string { return canary + value }}
				before, err := file.Resolve(s, lookup)
				if err == nil {
					lookup.Parameters = map[string]Parameter{}
					for _, name := range before.Parameters() {
						lookup.Parameters[name] = Parameter{canary + value, secret}
					}
					_, err = file.Resolve(s, lookup)
				}
				var problems Problems
				if err != nil && (!errors.As(err, &problems) || strings.Contains(err.Error(), canary)) {
					t.Fatalf("got %v", err)
				}
			}
		}
	})
}

// TestVariables: what a job has to hand over, so that slipway.yaml finds it.
func TestVariables(t *testing.T) {
	f := goodExpressions(t)
	for _, test := range []struct {
		agent, environment string
		want               []string
	}{
		{"support", "dev", []string{"ACCOUNT", "ENDPOINT", "GROUP", "HEADER", "PROFILE", "PYTHON", "REGION", "ROUTE", "TEAM"}},
		{"", "prd", []string{"PRD_ACCOUNT", "PRD_REGION", "REGION"}},
		{"", "", []string{"REGION"}},
	} {
		if diff := cmp.Diff(test.want, f.Variables(test.agent, test.environment)); diff != "" {
			t.Errorf("%q in %q (-want +got):\n%s", test.agent, test.environment, diff)
		}
	}
	plain, err := Parse("slipway.yaml", []byte(smallest))
	if err != nil || plain.Variables("a", "dev") != nil {
		t.Errorf("a file without expressions: %v, %v", plain.Variables("a", "dev"), err)
	}
}

// TestToolURL: a download is encrypted, but for one that does not leave the
// machine.
func TestToolURL(t *testing.T) {
	for url, good := range map[string]bool{
		"https://example.com/slipway": true, "http://127.0.0.1:8080/slipway": true, "http://localhost/x": true, "http://[::1]:1/x": true,
		"http://example.com/slipway": false, "http://127.0.0.1.example.com/x": false, "http://127.0.0.1@example.com/x": false, "http://localhost.example.com/": false,
		"file:///slipway": false, "https://example.com/a b": false,
	} {
		problems := problemsOf(t, smallest+"tool: {version: 0.1.0, url: \""+url+"\"}\n")
		if (problems == nil) != good {
			t.Errorf("%s: %v", url, problems)
		}
	}
}
