package cdk_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/slipway-cd/slipway/internal/cdk"
)

func tree(files ...string) fstest.MapFS {
	t := fstest.MapFS{}
	for _, f := range files {
		name, text, _ := strings.Cut(f, "|")
		t[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return t
}

func TestApps(t *testing.T) {
	apps, err := cdk.Apps(t.Context(), tree("infra/cdk.json", "infra/node_modules/x/cdk.json", "infra/cdk.out/cdk.json",
		".cache/cdk.json", "a/b/c/d/e/f/cdk.json", "other/stack.ts", "more/infra/cdk.json"))
	if err != nil || !slices.Equal(apps, []string{"infra", "more/infra"}) {
		t.Errorf("%v, %v", apps, err)
	}
}

func TestFiles(t *testing.T) {
	root := tree("package-lock.json", "node_modules/aws-cdk/package.json", "a/infra/package.json", "python/cdk.json")
	if lock, npm := cdk.Lock(root, "a/infra"); lock != "package-lock.json" || !npm {
		t.Errorf("a workspace's lock is %q, %v", lock, npm)
	}
	if lock, npm := cdk.Lock(root, "python"); lock != "" || npm {
		t.Errorf("an app of Python has the lock %q, %v", lock, npm)
	}
	if lock, npm := cdk.Lock(tree("infra/package.json"), "infra"); lock != "" || !npm {
		t.Errorf("without a lock: %q, %v", lock, npm)
	}
	if !cdk.Installed(root, "a/infra") || cdk.Installed(tree("infra/package.json"), "infra") {
		t.Error("what is installed")
	}
}

func TestSources(t *testing.T) {
	for name, tt := range map[string]struct {
		file string
		want cdk.Sources
	}{
		"TypeScript":     {"infra/lib/a.ts|CfnRuntime from aws-bedrockagentcore; `/${a}/${e}/image-uri`", cdk.Sources{Runtime: true, Image: true}},
		"Python":         {"infra/a.py|aws_cdk.aws_bedrockagentcore", cdk.Sources{Runtime: true}},
		"a dependency's": {"infra/node_modules/a.js|bedrockagentcore image-uri", cdk.Sources{}},
		"prose":          {"infra/README.md|image-uri", cdk.Sources{}},
		"elsewhere":      {"app/a.ts|image-uri", cdk.Sources{}},
	} {
		got, err := cdk.ReadSources(t.Context(), tree("infra/cdk.json", tt.file), "infra")
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestKeys(t *testing.T) {
	const vpc = "vpc-provider:account=111122223333:filter.isDefault=true:region=us-east-1:returnAsymmetricSubnets=true"
	k, ok := cdk.ParseKey(vpc)
	if !ok || k.Provider != "vpc-provider" || k.Account != "111122223333" || k.Region != "us-east-1" {
		t.Errorf("%+v", k)
	}
	if got := k.In("444455556666", "eu-west-1"); got != "vpc-provider:account=444455556666:filter.isDefault=true:region=eu-west-1:returnAsymmetricSubnets=true" {
		t.Errorf("elsewhere it is %s", got)
	}
	quoted, ok := cdk.ParseKey("ssm:account=1:parameterName=/a$:region=x$$/b:region=us-east-1")
	if !ok || quoted.Region != "us-east-1" || quoted.In("1", "us-east-1") != quoted.Text {
		t.Errorf("%+v", quoted)
	}
	for _, other := range []string{"@aws-cdk/core:enableStackNameDuplicates", "environment", "", "acknowledged-issue-numbers", "x:account=1"} {
		if _, ok := cdk.ParseKey(other); ok {
			t.Errorf("%q is a lookup", other)
		}
	}
}

func TestMissing(t *testing.T) {
	here := func(key string) string {
		return strings.NewReplacer("A", "account=111122223333", "R", "region=us-east-1", "B", "account=444455556666", "E", "region=eu-west-1").Replace(key)
	}
	for name, tt := range map[string]struct{ keys, want string }{
		"none":              {"", ""},
		"flags alone":       {"flag=x", ""},
		"there":             {"vpc-provider:A:R", ""},
		"another account":   {"vpc-provider:B:R", "vpc-provider:A:R"},
		"another region":    {"vpc-provider:A:E", "vpc-provider:A:R"},
		"both":              {"vpc-provider:A:R vpc-provider:B:R", ""},
		"another filter":    {"vpc-provider:A:filter.vpc-id=x:R vpc-provider:B:filter.vpc-id=y:R", ""},
		"another kind":      {"vpc-provider:A:R ami:B:R hosted-zone:A:domainName=x:E", "ami:A:R hosted-zone:A:domainName=x:R"},
		"of several places": {"availability-zones:B:R availability-zones:B:E", "availability-zones:A:R"},
	} {
		var entries []string
		for key := range strings.FieldsSeq(tt.keys) {
			entries = append(entries, `"`+here(key)+`": {}`)
		}
		l, err := cdk.ParseLookups([]byte("{" + strings.Join(entries, ",") + "}"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range l.Missing("111122223333", "us-east-1") {
			got = append(got, m.Key)
		}
		if strings.Join(got, " ") != here(tt.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLookups(t *testing.T) {
	l, err := cdk.ParseLookups([]byte(`{"ssm:account=1:parameterName=/support/dev/image-uri:region=r": "x", "ssm:account=1:parameterName=/support/dev/runtime-id:region=r": "",
		"ami:account=1:region=r": null, "flag": null}`))
	if err != nil || !slices.Equal(l.Empty, []string{"ami:account=1:region=r", "ssm:account=1:parameterName=/support/dev/runtime-id:region=r"}) {
		t.Errorf("%+v, %v", l, err)
	}
	if got := l.Frozen("support"); len(got) != 1 || !strings.Contains(got[0], "image-uri") {
		t.Errorf("frozen: %v", got)
	}
	if got := l.Frozen("other"); got != nil {
		t.Errorf("frozen: %v", got)
	}
	for _, broken := range []string{"", "[", "[]", "null", `"x"`} {
		if _, err := cdk.ParseLookups([]byte(broken)); err == nil || !strings.HasPrefix(err.Error(), "it is no JSON object") {
			t.Errorf("%q: %v", broken, err)
		}
	}
}

func TestAssembly(t *testing.T) {
	const runtime = `"Resources": {"R": {"Type": "AWS::BedrockAgentCore::Runtime"}}`
	for name, tt := range map[string]struct {
		template       string
		runtime, reads bool
	}{
		"a parameter":            {`{"Parameters": {"P": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/support/dev/image-uri"}}, ` + runtime + `}`, true, true},
		"a reference":            {`{"X": "{{resolve:ssm:/other}} {{resolve:ssm:/support/prd/image-uri:3}}", ` + runtime + `}`, true, true},
		"a plain parameter":      {`{"Parameters": {"P": {"Type": "String", "Default": "/support/dev/image-uri"}}, ` + runtime + `}`, true, false},
		"it makes the parameter": {`{"Resources": {"P": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/support/dev/image-uri"}}, "R": {"Type": "AWS::BedrockAgentCore::Runtime"}}}`, true, false},
		"another agent":          {`{"X": "{{resolve:ssm:/other/prd/image-uri}}", ` + runtime + `}`, true, false},
		"deeper":                 {`{"X": "{{resolve:ssm:/support/a/b/image-uri}}", ` + runtime + `}`, true, false},
		"nothing":                {`{}`, false, false},
	} {
		a, err := cdk.ReadAssembly(tree(`manifest.json|{"artifacts": {"Tree": {"type": "cdk:tree"}, "assembly-dev": {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-dev"}}}, "missing": [{"key": "k", "provider": "vpc-provider", "props": {"account": "1", "region": "r", "filter": {}}}]}`,
			`assembly-dev/manifest.json|{"artifacts": {"S": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "S.template.json"}}}, "missing": [{"key": "k", "provider": "vpc-provider", "props": {"account": "1", "region": "r"}}]}`,
			"assembly-dev/S.template.json|"+tt.template))
		if err != nil {
			t.Fatal(err)
		}
		if made, reads := a.Images("support"); made != tt.runtime || reads != tt.reads {
			t.Errorf("%s: runtime %v, reads %v", name, made, reads)
		}
		if len(a.Missing) != 1 || a.Missing[0].Key != "k" || a.Missing[0].Props.Account != "1" {
			t.Errorf("%s: missing %+v", name, a.Missing)
		}
	}
	for _, files := range [][]string{nil, {"manifest.json|{"}, {`manifest.json|{"artifacts": {"S": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "nosuch"}}}}`}} {
		if _, err := cdk.ReadAssembly(tree(files...)); err == nil {
			t.Errorf("%v is an assembly", files)
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add("vpc-provider:account=1:filter.x=y$:z:region=r")
	f.Add("a$")
	f.Fuzz(func(t *testing.T, text string) {
		k, ok := cdk.ParseKey(text)
		if again := k.In(k.Account, k.Region); ok && again != text && strings.Count(text, "account=") == 1 && strings.Count(text, "region=") == 1 {
			t.Errorf("%q became %q", text, again)
		}
	})
}
