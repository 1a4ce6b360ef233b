package scaffold

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/config"
)

const current = `{"$schema": "https://schema.agentcore.aws.dev/v1/agentcore.json", "name": "shop", "version": 1, "managedBy": "CDK",
 "runtimes": [{"name": "Support", "build": "Container", "entrypoint": "main.py", "codeLocation": "app/Support/", "networkMode": "PUBLIC",
  "envVars": []}], "memories": [], "unknown": {"deep": [1]}}`

// TestAgentCore reads the files of AWS's agentcore CLI in all the forms that
// it has written, and broken ones.
func TestAgentCore(t *testing.T) {
	with := func(json string, more ...string) map[string]string {
		files := map[string]string{"agentcore/agentcore.json": json, "app/Support/Dockerfile": plainImage}
		for i := 0; i+1 < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		return files
	}
	runtime := func(members string) string { return `{"version": 1, "runtimes": [{` + members + `}]}` }
	support := []string{"Support docker app/Support Dockerfile → support/runtime"}
	for _, test := range []struct {
		name   string
		files  map[string]string
		agents []string
		notes  []string
	}{
		{"0.30", with(current), support, nil},
		{"before 0.4", with(`{"name": "shop", "version": 1, "agents": [{"type": "AgentCoreRuntime", "name": "Support", "build": "Container", "codeLocation": "app/Support"}]}`), support, nil},
		{"settings that are not taken over", with(runtime(`"name": "Support", "codeLocation": "app/Support", "protocol": "MCP", "networkMode": "VPC", "authorizerType": "CUSTOM_JWT",
			"envVars": [{"name": "KEY", "value": "v"}], "lifecycleConfiguration": null`)), support, []string{"not taken over: networkMode, protocol, authorizerType, envVars."}},
		{"with a byte order mark", with("\ufeff" + current), support, nil},
		{"a later version", with(`{"version": 2, "runtimes": [{"name": "Support", "codeLocation": "app/Support"}]}`), support, []string{"says version 2"}},
		{"in a directory of its own", map[string]string{"shop/agentcore/agentcore.json": current, "shop/app/Support/Dockerfile": plainImage},
			[]string{"Support docker shop/app/Support Dockerfile → support/runtime"}, nil},
		{"a context for several", with(runtime(`"name": "Support", "build": "Container", "codeLocation": "app/Support", "buildContextPath": ".", "dockerfile": "docker/Dockerfile.gpu",
			"customDockerBuildArgs": {"AGENT_NAME": "x: y # no", "PIN": "1e3", "TOKEN": "ghp_abcdefghijkl", "A=B": "c", "BELL": "\u0007"}`), "docker/Dockerfile.gpu", plainImage),
			[]string{"Support docker . docker/Dockerfile.gpu → support/runtime map[AGENT_NAME:x: y # no PIN:1e3]"},
			[]string{"a build argument is left out", "argument BELL", "argument TOKEN is left out", "app/Support/Dockerfile is left out"}},
		{"a CodeZip", with(runtime(`"name": "Zip", "build": "CodeZip", "codeLocation": "app/Zip"`)), []string{"Support docker app/Support Dockerfile → support/runtime"},
			[]string{"runtime Zip is left out: it is a CodeZip"}},
		{"no Dockerfile", with(runtime(`"name": "Gone", "build": "Container", "codeLocation": "app/Gone"`)), support, []string{"there is no app/Gone/Dockerfile"}},
		{"out of the repository", with(runtime(`"name": "Out", "build": "Container", "codeLocation": "../../etc"`)), support, []string{"outside this repository"}},
		{"an absolute path", with(runtime(`"name": "Out", "build": "Container", "codeLocation": "/etc"`)), support, []string{"outside this repository"}},
		{"a Dockerfile elsewhere", with(runtime(`"name": "Out", "codeLocation": "app/Support", "dockerfile": "../../../etc/passwd"`)), support, []string{"can't name its Dockerfile"}},
		{"a hostile name", with(runtime(`"name": "x\n  evil: true", "codeLocation": "app/Support"`)), support, []string{`runtime "x\n  evil: true" is left out`}},
		{"no name", with(runtime(`"codeLocation": "app/Support"`)), support, []string{"takes no such name"}},
		{"a name of the wrong type", with(runtime(`"name": 7`)), support, []string{"runtime 1 can't be read: its member name is of the wrong type"}},
		{"empty", with(`{"name": "x", "version": 1}`), support, []string{"names no runtimes"}},
		{"not JSON", with(`{"runtimes": [`), support, []string{"agentcore/agentcore.json can't be read: unexpected end of JSON input"}},
		{"another JSON", with(`[]`), support, []string{"it is a JSON array"}},
		{"binary", with("\x00"), support, []string{"not a text"}},
		{"too deep", with(strings.Repeat("[", 20000)), support, []string{"can't be read"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := look(t, test.files)
			var agents []string
			for _, a := range s.Agents {
				agents = append(agents, brief(a))
			}
			if diff := cmp.Diff(test.agents, agents); diff != "" {
				t.Errorf("agents:\n%s", diff)
			}
			wantNotes(t, s.Notes, test.notes)
		})
	}
}

func TestTargets(t *testing.T) {
	project := func(file, text string) map[string]string {
		return map[string]string{"agentcore/agentcore.json": current, "app/Support/Dockerfile": plainImage, file: text}
	}
	const targets = "agentcore/aws-targets.json"
	const vpc = `"vpc-provider:account=111122223333:filter.isDefault=true:region=us-east-1:returnAsymmetricSubnets=true": {"vpcId": "vpc-1"}`
	for _, test := range []struct {
		name  string
		files map[string]string
		want  []Target
		notes []string
	}{
		{"one", project(targets, `[{"name": "default", "description": "d", "account": "111122223333", "region": "us-east-1"}]`),
			[]Target{{Name: "default", Account: "111122223333", Region: "us-east-1", Runtimes: map[string]string{}}}, nil},
		{"in an object", project(targets, `{"version": 2, "targets": [{"name": "dev", "account": "111122223333"}]}`),
			[]Target{{Name: "dev", Account: "111122223333", Runtimes: map[string]string{}}}, nil},
		{"none yet", project(targets, `[]`), nil, nil},
		{"bad ones", project(targets, `[{"name": "a", "account": "123"}, {"name": "b c", "account": "111122223333"}, 7, {"name": "d", "account": "111122223333", "region": "x/y"},
			{"name": "D", "account": "111122223333"}]`), []Target{{Name: "d", Account: "111122223333", Runtimes: map[string]string{}}},
			[]string{"target a is left out", "target b c is left out", "target 3 can't be read", "target d names no AWS region", "another of that name"}},
		{"not JSON", project(targets, `nonsense`), nil, []string{"aws-targets.json can't be read"}},
		{"CDK", map[string]string{"infra/cdk.context.json": `{` + vpc + `, "@aws-cdk/core:x": true}`}, []Target{{Account: "111122223333", Region: "us-east-1"}}, nil},
		{"CDK in two regions", map[string]string{"infra/cdk.context.json": `{` + vpc + `, "availability-zones:account=111122223333:region=eu-west-1": []}`},
			[]Target{{Account: "111122223333"}}, nil},
		{"CDK in two accounts", map[string]string{"a/cdk.context.json": `{` + vpc + `}`, "b/cdk.context.json": `{"availability-zones:account=444455556666:region=us-east-1": []}`},
			nil, []string{"names 2 accounts"}},
		{"CDK that says nothing", map[string]string{"a/cdk.context.json": `{"vpc-provider:account=1:region=us-east-1": {}}`}, nil, nil},
		{"aws-targets before CDK", map[string]string{"agentcore/agentcore.json": current, "app/Support/Dockerfile": plainImage, "cdk.context.json": `{` + vpc + `}`,
			targets: `[{"name": "default", "account": "444455556666", "region": "eu-west-1"}]`},
			[]Target{{Name: "default", Account: "444455556666", Region: "eu-west-1", Runtimes: map[string]string{}}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := look(t, test.files)
			if diff := cmp.Diff(test.want, s.Targets); diff != "" {
				t.Errorf("targets:\n%s", diff)
			}
			wantNotes(t, s.Notes, test.notes)
		})
	}
}

func TestDeployedRuntimes(t *testing.T) {
	files := map[string]string{"agentcore/agentcore.json": current, "app/Support/Dockerfile": plainImage,
		"agentcore/aws-targets.json": `[{"name": "default", "account": "111122223333", "region": "us-east-1"}]`,
		"agentcore/.cli/deployed-state.json": `{"targets": {"default": {"resources": {"runtimes": {"Support": {"runtimeId": "shop_Support-a1b2c3d4e5"},
			"Evil": {"runtimeId": "x; rm -rf /"}}}}, "other": {"resources": {"agents": {"Old": {"runtimeId": "shop_Old-a1b2c3d4e5"}}}}}}`}
	s := look(t, files)
	if diff := cmp.Diff(map[string]string{"Support": "shop_Support-a1b2c3d4e5"}, s.Targets[0].Runtimes); diff != "" {
		t.Error(diff)
	}
	files["agentcore/.cli/deployed-state.json"] = `{"targets": {"default": {"resources": {"agents": {"Support": {"runtimeId": "shop_Support-0123456789"}}}}}}`
	if got := look(t, files).Targets[0].Runtimes["Support"]; got != "shop_Support-0123456789" {
		t.Errorf("the form before 0.4 gives %q", got)
	}
}

// FuzzAgentCore holds the reader of other tools' files to this: whatever they
// hold, what is proposed is a slipway.yaml, its paths stay inside, and no note
// can move a terminal's cursor.
func FuzzAgentCore(f *testing.F) {
	f.Add(current, `[{"name": "default", "account": "111122223333", "region": "us-east-1"}]`, "FROM a\nEXPOSE 8080\n", "app/Support")
	f.Add(`{"version": 2, "agents": [{"name": "no", "codeLocation": "../x", "customDockerBuildArgs": {"A": "\u0000"}}]}`, `{"targets": [{"name": "on"}]}`, "from a", "x")
	f.Add(`{"runtimes": [{"name": "a", "dockerfile": "\u2028"}, {"name": "A"}]}`, `[]`, "FROM --platform=linux/amd64 x", ".")
	f.Fuzz(func(t *testing.T, projectFile, targets, dockerfile, dir string) {
		files := map[string]string{"agentcore/agentcore.json": projectFile, "agentcore/aws-targets.json": targets,
			"agentcore/.cli/deployed-state.json": targets, "Dockerfile": dockerfile}
		if name := strings.Trim(dir, "/") + "/Dockerfile"; fs.ValidPath(name) && len(name) < 200 && !strings.HasPrefix(name, "agentcore/") {
			files[name] = dockerfile
		}
		s, err := Look(tree(files), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range append(s.Found, s.Notes...) {
			for _, r := range line {
				if r < ' ' || r == 0x7f {
					t.Fatalf("a line holds %U: %q", r, line)
				}
			}
		}
		if len(s.Agents) == 0 {
			return
		}
		p := Proposal{Environments: []Environment{{Name: "dev", Account: "111122223333", Region: "us-east-1"}}}
		for _, a := range s.Agents[:1] { // several may be too alike for one file
			if strings.Contains("/"+a.Path+"/"+a.Dockerfile+"/", "/../") {
				t.Fatalf("%+v leads out", a)
			}
			p.Agents = append(p.Agents, a)
		}
		if len(s.Agents[0].Name) > maxName {
			return // with an environment too long for a runtime, which Parse says
		}
		text := Render(p)
		file, err := config.Parse("slipway.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		got, _ := json.Marshal(file.Agents()[0].Build.Args)
		if want, _ := json.Marshal(p.Agents[0].Args); len(p.Agents[0].Args) > 0 && string(want) != string(got) {
			t.Fatalf("arguments %s read back as %s", want, got)
		}
	})
}
