package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/slipway-cd/slipway/internal/cdk"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/trust"
)

const (
	account = "111122223333"
	rid     = "support_dev-0123456789"
)

// world is an environment in which nothing is wrong, and that answers every
// port of a doctor.
type world struct {
	Doctor
	roles       map[string]trust.Role
	audiences   []string
	parameters  map[string]string
	runtime     string // the document
	endpoints   map[string]delivery.Endpoint
	settings    RepositorySettings
	lifecycle   string
	contents    []StoredImage
	unlisted    error // what DescribeImages answers
	history     []string
	images      map[string]string // tag to architecture
	status      delivery.Status
	caller      delivery.Caller
	clock       time.Time
	head        delivery.Source
	untracked   []string
	ignored     []string
	isShallow   bool
	hub         GitHubRepository
	environment *GitHubEnvironment
	variables   map[string]string
	refuse      error // what every remote answers
}

func target() delivery.Target {
	return delivery.Target{Agent: "support", Environment: "dev", Account: account, Region: "us-east-1",
		Registry: account + ".dkr.ecr.us-east-1.amazonaws.com", Repository: "support/runtime", Compute: delivery.MicroVM,
		Endpoint: "live", MovesLatest: true, ExecutionRole: "arn:aws:iam::" + account + ":role/agent"}
}

var now = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

// digest, revision, pushed and released are those of the n-th delivery.
func digest(n int) string { return fmt.Sprintf("sha256:%064d", n) }

func revision(n int) string { return fmt.Sprintf("%07d%033d", n, 0) }

func pushed(n, daysAgo int, tags ...string) StoredImage {
	return StoredImage{Digest: digest(n), Tags: append(tags, revision(n)), Pushed: now.AddDate(0, 0, -daysAgo)}
}

func released(n int, verdict delivery.Verdict) string {
	return fmt.Sprintf(`{"schema":"slipway.release/v1","revision":%q,"digest":%q,"version":"%d","verdict":%q}`, revision(n), digest(n), n, verdict)
}

func healthy() *world {
	t := target()
	deployment := trust.Deployment{Account: account, Region: t.Region, Environment: "dev", Endpoint: "live",
		Agents: []trust.Agent{{Name: "support", Repository: t.Repository, RuntimeID: rid}}, ExecutionRole: t.ExecutionRole}
	caller := trust.Caller{Account: account, Region: t.Region, Environment: "dev", RepositoryID: "2", Ref: "refs/heads/main",
		Subjects: []string{"repo:acme@1/agents@2:environment:dev"}}
	w := &world{
		roles: map[string]trust.Role{
			"deploy": {Name: "deploy", ARN: "arn:aws:iam::" + account + ":role/deploy", MaxSession: time.Hour, Trust: caller.Trust().JSON(),
				Inline:   []trust.Document{{Name: "slipway", JSON: deployment.DeployPolicy().JSON()}},
				Boundary: &trust.Document{Name: "boundary", JSON: deployment.Boundary().JSON()}},
			"agent": {Name: "agent", ARN: t.ExecutionRole, Trust: deployment.ExecutionTrust().JSON(),
				Inline: []trust.Document{{Name: "slipway", JSON: deployment.ExecutionPolicy().JSON()}}},
		},
		audiences:  []string{"sts.amazonaws.com"},
		parameters: map[string]string{"/support/dev/runtime-id": rid + "\n"},
		runtime: `{"agentRuntimeId":"` + rid + `","agentRuntimeVersion":"3","status":"READY","roleArn":"` + t.ExecutionRole + `",
			"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"` + t.ImageURI(digest(3)) + `"}},
			"metadataConfiguration":{"requireMMDSV2":true},"networkConfiguration":{"networkMode":"PUBLIC"}}`,
		endpoints: map[string]delivery.Endpoint{"live": {Name: "live", Status: "READY", LiveVersion: "3", TargetVersion: "3"}},
		settings:  RepositorySettings{ARN: "arn:aws:ecr:us-east-1:" + account + ":repository/support/runtime", RevisionsFix: true, LatestMoves: true, ScanOnPush: true},
		lifecycle: `{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":1}},{"rulePriority":2,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":100}}]}`,
		images:    map[string]string{},
		status: delivery.Status{Image: t.ImageURI(digest(3)),
			Release: &delivery.Release{Revision: revision(3), Digest: digest(3), Version: "3", Verdict: delivery.Passed}},
		contents:    []StoredImage{pushed(3, 1, "latest"), pushed(2, 5), pushed(1, 9), {Digest: digest(4), Pushed: now.AddDate(0, 0, -1)}},
		history:     []string{"by hand", released(1, delivery.Passed), released(2, delivery.Passed), released(3, delivery.Passed)},
		caller:      delivery.Caller{Account: account, ARN: "arn:aws:iam::" + account + ":user/admin"},
		clock:       now,
		head:        delivery.Source{Revision: strings.Repeat("0", 40)},
		hub:         GitHubRepository{FullName: "acme/agents", OwnerID: "1", ID: "2", DefaultBranch: "main", SubjectPrefix: "repo:acme@1/agents@2"},
		environment: &GitHubEnvironment{Reviewers: []string{"octocat"}, PreventSelfReview: true, Branches: []string{"main"}},
		variables:   map[string]string{"AWS_DEPLOY_ROLE_ARN": "arn:aws:iam::" + account + ":role/deploy"},
	}
	w.Doctor = Doctor{Target: t,
		Project: Project{File: "slipway.yaml", DeployRole: "arn:aws:iam::" + account + ":role/deploy", Session: time.Hour,
			GitHub: "acme/agents", OwnerID: "1", NameID: "2", Branch: "main", Reviewers: []string{"octocat"}, Approvals: true,
			Endpoint: "live", ToolPinned: true, Path: "app", Engine: "docker", Dockerfile: "Dockerfile", Platform: "linux/arm64"},
		Now: func() time.Time { return w.clock }, Engine: func() error { return nil },
		Tree: fstest.MapFS{"app/Dockerfile": {Data: []byte("FROM --platform=$BUILDPLATFORM golang AS build\nFROM scratch\n")}},
		Git:  git{w}, Login: w, Roles: w, Parameters: w, Runtimes: w, Repository: w, Images: images{w}, GitHub: hub{w},
		Clock:  func(context.Context) (time.Time, error) { return w.clock, w.refuse },
		Status: func(context.Context) (delivery.Status, error) { return w.status, w.refuse }, Archive: w,
	}
	return w
}

func (w *world) Login(context.Context) (delivery.Caller, error) { return w.caller, nil }

func (w *world) Role(_ context.Context, name string) (trust.Role, error) {
	role, ok := w.roles[name]
	return role, w.answer("IAM", "GetRole", ok)
}

func (w *world) Audiences(context.Context, string, string) ([]string, error) {
	return w.audiences, w.answer("IAM", "GetOpenIDConnectProvider", w.audiences != nil)
}

func (w *world) Parameter(_ context.Context, name string) (string, error) {
	value, ok := w.parameters[name]
	return value, w.answer("SSM", "GetParameter", ok)
}

func (w *world) Get(context.Context, string, string) (delivery.Document, error) {
	return delivery.Document(w.runtime), w.answer("AgentCore", "GetAgentRuntime", w.runtime != "")
}

func (w *world) Endpoint(_ context.Context, _, name string) (delivery.Endpoint, error) {
	e, ok := w.endpoints[name]
	return e, w.answer("AgentCore", "GetAgentRuntimeEndpoint", ok)
}

func (w *world) Settings(context.Context, string) (RepositorySettings, error) {
	return w.settings, w.answer("ECR", "DescribeRepositories", w.settings.ARN != "")
}

func (w *world) Lifecycle(context.Context, string) (string, error) {
	return w.lifecycle, w.answer("ECR", "GetLifecyclePolicy", w.lifecycle != "")
}

func (w *world) Contents(context.Context, string) ([]StoredImage, error) {
	if w.unlisted != nil {
		return nil, w.unlisted
	}
	return w.contents, w.answer("ECR", "DescribeImages", true)
}

func (w *world) History(context.Context, string) ([]string, error) {
	return w.history, w.answer("SSM", "GetParameterHistory", w.history != nil)
}

func (w *world) answer(service, operation string, there bool) error {
	switch {
	case w.refuse != nil:
		return &delivery.RemoteError{Service: service, Operation: operation, Resource: "it", Code: "AccessDenied", Kind: w.refuse}
	case !there:
		return &delivery.RemoteError{Service: service, Operation: operation, Resource: "it", Code: "NotFound", Kind: delivery.ErrNotFound}
	}
	return nil
}

// images answers for a repository: an image is its architecture.
type images struct{ *world }

func (i images) Resolve(_ context.Context, tag string) (string, error) {
	architecture, ok := i.images[tag]
	return architecture, i.answer("ECR", "BatchGetImage", ok)
}

func (i images) Open(_ context.Context, digest string) (delivery.Image, error) {
	return imageOf(digest), nil
}

// imageOf is an image of an architecture, which is all that there is of it.
type imageOf string

func (imageOf) Manifest(context.Context) ([]byte, string, error) {
	return []byte(`{"config":{"digest":"sha256:c"}}`), "application/vnd.oci.image.manifest.v1+json", nil
}

func (i imageOf) Blob(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(`{"os":"linux","architecture":"` + string(i) + `"}`)), nil
}

type git struct{ *world }

func (g git) Head(context.Context) (delivery.Source, error) {
	if g.head.Revision == "" {
		return g.head, &delivery.Error{Kind: delivery.KindSource, Err: errors.New("no commit yet")}
	}
	return g.head, nil
}

func (g git) Tracked(_ context.Context, file string) (bool, error) {
	return !slices.Contains(g.untracked, file), nil
}

func (g git) Ignored(_ context.Context, file string) (bool, error) {
	return slices.Contains(g.ignored, file), nil
}

func (g git) Shallow(context.Context) (bool, error) { return g.isShallow, nil }

type hub struct{ *world }

func (h hub) Repository(context.Context) (GitHubRepository, error) {
	return h.hub, h.answer("GitHub", "repos/get", h.hub.FullName != "")
}

func (h hub) Environment(context.Context, string) (GitHubEnvironment, error) {
	if err := h.answer("GitHub", "repos/get-environment", h.environment != nil); err != nil {
		return GitHubEnvironment{}, err
	}
	return *h.environment, nil
}

func (h hub) Variables(context.Context, string) (map[string]string, error) {
	return h.variables, h.answer("GitHub", "actions/list-environment-variables", true)
}

// ids lists what a report found, sorted.
func ids(r Report) []string {
	list := []string{}
	for _, f := range r.Findings {
		list = append(list, f.ID)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// cdkApp gives the repository a CDK app, and what its synth comes to.
func cdkApp(w *world, a cdk.Assembly, err error) {
	for name, text := range map[string]string{"cdk.json": "{}", "cdk.context.json": "{}", "package.json": "{}", "package-lock.json": "{}",
		"node_modules/aws-cdk/package.json": "{}"} {
		w.Tree.(fstest.MapFS)["infra/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	w.Synth = func(context.Context, string) (cdk.Assembly, error) { return a, err }
}

// assembly has a stack with a runtime whose image is the value of a parameter.
func assembly(t *testing.T, parameter string) cdk.Assembly {
	a, err := cdk.ReadAssembly(fstest.MapFS{
		"manifest.json": {Data: []byte(`{"artifacts": {"A": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "A.template.json"}}}}`)},
		"A.template.json": {Data: []byte(`{"Parameters": {"P": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "` + parameter + `"}},
			"Resources": {"R": {"Type": "AWS::BedrockAgentCore::Runtime"}}}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestCDKHints holds what is said of a lookup to the one key, and the checks to
// silence where there is no CDK app.
func TestCDKHints(t *testing.T) {
	for _, c := range healthy().Examine(t.Context()).Checks {
		if strings.HasPrefix(c.ID, "cdk") {
			t.Errorf("%s: %s", c.ID, c.Detail)
		}
	}
	w := healthy()
	cdkApp(w, cdk.Assembly{}, nil)
	w.Tree.(fstest.MapFS)["infra/cdk.context.json"] = &fstest.MapFile{Data: []byte(`{"vpc-provider:account=999999999999:filter.tag:Name=it's:region=eu-west-1":{}}`)}
	delete(w.Tree.(fstest.MapFS), "infra/node_modules/aws-cdk/package.json")
	r := w.Examine(t.Context())
	const key = "vpc-provider:account=" + account + ":filter.tag:Name=it's:region=us-east-1"
	f := r.Findings[0]
	if !strings.Contains(f.Message, "infra/cdk.context.json has no key "+key+"; it has vpc-provider:account=999999999999:") ||
		!strings.Contains(f.Hint, "with credentials of "+account+", in infra: npx cdk context --force --reset '"+strings.Replace(key, "'", `'\''`, 1)+"' && npx cdk synth") {
		t.Errorf("%s\n%s", f.Message, f.Hint)
	}
	for _, c := range r.Checks {
		if c.ID == "cdk-synth" && (c.Status != Skipped || c.Detail != "npm dependencies are not installed: npm ci in infra") {
			t.Errorf("%s: %s", c.Status, c.Detail)
		}
	}
}

func TestHealthy(t *testing.T) {
	r := healthy().Examine(t.Context())
	if len(r.Findings) > 0 {
		t.Errorf("found %+v", r.Findings)
	}
	for _, c := range r.Checks {
		if c.Status != OK && c.ID != "token" {
			t.Errorf("%s: %s %s", c.ID, c.Status, c.Detail)
		}
	}
	if r.Verdict() != Accept {
		t.Errorf("verdict %s", r.Verdict())
	}
}

// edit changes a role's documents as texts.
func (w *world) edit(role string, change func(*trust.Role)) {
	r := w.roles[role]
	change(&r)
	w.roles[role] = r
}

func replaced(t *testing.T, doc []byte, from, to string) []byte {
	t.Helper()
	if !strings.Contains(string(doc), from) {
		t.Fatalf("the document holds no %s", from)
	}
	return []byte(strings.ReplaceAll(string(doc), from, to))
}

// TestFindings breaks one thing at a time: that is found, and nothing else. A
// case that wants nothing is a near miss.
func TestFindings(t *testing.T) {
	inTrust := func(from, to string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			w.edit("deploy", func(r *trust.Role) { r.Trust = replaced(t, r.Trust, from, to) })
		}
	}
	inPolicy := func(role, from, to string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			w.edit(role, func(r *trust.Role) {
				r.Inline = []trust.Document{{Name: "slipway", JSON: replaced(t, r.Inline[0].JSON, from, to)}}
			})
		}
	}
	inRuntime := func(from, to string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) { w.runtime = string(replaced(t, []byte(w.runtime), from, to)) }
	}
	do := func(change func(*world)) func(*testing.T, *world) {
		return func(_ *testing.T, w *world) { change(w) }
	}
	env := func(pairs ...string) func(*testing.T, *world) {
		return do(func(w *world) {
			w.Getenv = func(name string) string {
				if i := slices.Index(pairs, name); i >= 0 {
					return pairs[i+1]
				}
				return ""
			}
		})
	}
	file := func(name, text string) func(*testing.T, *world) {
		return do(func(w *world) { w.Tree.(fstest.MapFS)[name] = &fstest.MapFile{Data: []byte(text)} })
	}
	tests := []struct {
		name   string
		breaks func(*testing.T, *world)
		want   string // ids, joined by blanks
	}{
		{"approvals without an endpoint", do(func(w *world) { w.Project.Endpoint = "" }), "doctor/approvals-without-endpoint"},
		{"DEFAULT, written out", do(func(w *world) { w.Project.Endpoint = "DEFAULT" }), ""},
		{"latest", do(func(w *world) { w.Target.Reference = delivery.ByLatest }), "doctor/moving-image-reference"},
		{"digest", do(func(w *world) { w.Target.Reference = delivery.ByDigest }), ""},
		{"no tool", do(func(w *world) { w.Project.ToolPinned = false }), "doctor/tool-unpinned"},
		{"keys", env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE", "AWS_SESSION_TOKEN", "x"), "doctor/long-lived-keys"},
		{"a session's keys", env("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE", "AWS_SESSION_TOKEN", "x"), ""},
		{"a proxy", env("https_proxy", "http://user:secret@proxy"), "doctor/proxy"},
		{"no engine", do(func(w *world) { w.Engine = func() error { return errors.New("no docker") } }), "doctor/engine-missing"},
		{"a slow clock", do(func(w *world) {
			now := w.clock
			w.Now = func() time.Time { return now.Add(-5*time.Minute - time.Second) }
		}), "doctor/clock"},
		{"a clock that will do", do(func(w *world) {
			now := w.clock
			w.Now = func() time.Time { return now.Add(-5 * time.Minute) }
		}), ""},
		{"no commit", do(func(w *world) { w.head.Revision = "" }), "doctor/no-commit"},
		{"dirty", do(func(w *world) { w.head.Dirty = true }), "doctor/dirty"},
		{"shallow", do(func(w *world) { w.isShallow = true }), "doctor/shallow"},
		{"no path", do(func(w *world) { w.Project.Path = "nosuch" }), "doctor/no-context"},
		{"no Dockerfile", do(func(w *world) { w.Project.Dockerfile = "Dockerfile.arm" }), "doctor/no-dockerfile"},
		{"amd64", file("app/Dockerfile", "FROM --platform=linux/amd64 python:3.12\n"), "doctor/dockerfile-platform"},
		{"amd64 in the stage below", file("app/Dockerfile", "FROM amd64/python AS base\nFROM base\n"), "doctor/dockerfile-platform"},
		{"amd64 in a stage beside", file("app/Dockerfile", "FROM --platform=linux/amd64 node AS page\nFROM python\nCOPY --from=page /x /x\n"), ""},
		{"amd64 on instances", do(func(w *world) {
			file("app/Dockerfile", "FROM --platform=linux/amd64 python\n")(nil, w)
			w.Target.Compute = delivery.Instances
			w.runtime = strings.Replace(w.runtime, "{", `{"capacityProviderConfiguration":{"capacityProviderArn":"x"},`, 1)
		}), ""},
		{"a CDK app without lookups", file("infra/cdk.json", "{}"), "doctor/cdk-context-missing"},
		{"a dependency's CDK app", file("infra/node_modules/x/cdk.json", "{}"), ""},
		{"lookups that git doesn't have", do(func(w *world) {
			file("infra/cdk.json", "{}")(nil, w)
			file("infra/cdk.context.json", "{}")(nil, w)
			w.untracked = []string{"infra/cdk.context.json"}
		}), "doctor/cdk-context-untracked"},
		{"another account's lookups", do(func(w *world) {
			file("cdk.json", "{}")(nil, w)
			file("cdk.context.json", `{"vpc-provider:account=999999999999:filter.vpc-id=v:region=us-east-1":{}}`)(nil, w)
		}), "doctor/cdk-context-key"},
		{"several accounts' lookups", do(func(w *world) {
			file("cdk.json", "{}")(nil, w)
			file("cdk.context.json", `{"vpc-provider:account=999999999999:region=us-east-1":{},"vpc-provider:account=`+account+`:filter.x=y:region=us-east-1":{}}`)(nil, w)
		}), ""},
		{"one kind of lookup elsewhere", do(func(w *world) {
			file("cdk.json", "{}")(nil, w)
			file("cdk.context.json", `{"vpc-provider:account=`+account+`:region=us-east-1":{},"ami:account=999999999999:region=us-east-1":{}}`)(nil, w)
		}), "doctor/cdk-context-key"},
		{"a lookup without a value", do(func(w *world) {
			file("cdk.json", "{}")(nil, w)
			file("cdk.context.json", `{"vpc-provider:account=`+account+`:region=us-east-1":null}`)(nil, w)
		}), "doctor/cdk-context-empty"},
		{"no package-lock.json", do(func(w *world) {
			cdkApp(w, cdk.Assembly{}, nil)
			delete(w.Tree.(fstest.MapFS), "infra/package-lock.json")
		}), "doctor/cdk-lock-missing"},
		{"a CDK app as it should be", do(func(w *world) { cdkApp(w, assembly(t, "/support/dev/image-uri"), nil) }), ""},
		{"a lookup that synth asks for", do(func(w *world) {
			a := assembly(t, "/support/dev/image-uri")
			a.Missing = []cdk.Missing{{Key: "ami:account=" + account + ":region=us-east-1"}}
			cdkApp(w, a, errors.New("lookups are disabled"))
		}), "doctor/cdk-context-key"},
		{"an app that does not compile", do(func(w *world) { cdkApp(w, cdk.Assembly{}, errors.New("cdk synth: exit status 1: TS2304")) }), "doctor/cdk-synth"},
		{"another agent's image", do(func(w *world) { cdkApp(w, assembly(t, "/other/dev/image-uri"), nil) }), "doctor/cdk-image"},
		{"a runtime in the sources", do(func(w *world) {
			cdkApp(w, cdk.Assembly{}, cdk.ErrNoProgram)
			file("infra/lib/stack.ts", "import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';")(nil, w)
		}), "doctor/cdk-image"},
		{"the parameter in the sources", do(func(w *world) {
			cdkApp(w, cdk.Assembly{}, cdk.ErrNoProgram)
			file("infra/lib/stack.ts", "import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore'; const p = `/${agent}/${env}/image-uri`;")(nil, w)
		}), ""},
		{"a frozen image", do(func(w *world) {
			cdkApp(w, assembly(t, "/support/dev/image-uri"), nil)
			file("infra/cdk.context.json", `{"ssm:account=`+account+`:parameterName=/support/dev/image-uri:region=us-east-1":"x"}`)(nil, w)
		}), "doctor/cdk-image-frozen"},
		{"broken lookups", do(func(w *world) {
			file("cdk.json", "{}")(nil, w)
			file("cdk.context.json", `[`)(nil, w)
		}), "doctor/cdk-context-broken"},
		{"another account", do(func(w *world) { w.caller.Account = "999999999999" }), "doctor/account"},
		{"no provider", do(func(w *world) { w.audiences = nil }), "doctor/provider-missing"},
		{"another audience", do(func(w *world) { w.audiences = []string{"vault"} }), "doctor/provider-audience"},
		{"one audience more", do(func(w *world) { w.audiences = append(w.audiences, "vault") }), ""},
		{"no deploy role named", do(func(w *world) { w.Project.DeployRole, w.variables = "", nil }), "doctor/no-deploy-role"},
		{"no deploy role", do(func(w *world) { delete(w.roles, "deploy") }), "doctor/deploy-role-missing"},
		{"a session too long", do(func(w *world) { w.Project.Session += time.Second }), "doctor/session-too-long"},
		{"another branch", inTrust("refs/heads/main", "refs/heads/next"), "doctor/trust-denies"},
		{"a branch's subject", inTrust(":environment:dev", ":ref:refs/heads/main"), "doctor/trust-denies trust/environment-subject"},
		{"a key twice", inTrust(`"Statement": [`, `"Statement": [], "Statement": [`), "doctor/trust-unreadable trust/duplicate-key"},
		{"a wildcard", inTrust(`"StringEquals"`, `"StringLike"`), ""},
		{"no push", inPolicy("deploy", `"ecr:PutImage",`, ""), "doctor/action-denied"},
		{"another's parameters", inPolicy("deploy", "support/dev/*", "other/dev/*"), "doctor/action-denied"},
		{"no pass", inPolicy("deploy", `"iam:PassRole"`, `"iam:GetRole"`), "doctor/pass-role-denied"},
		{"passed elsewhere", inPolicy("deploy", "bedrock-agentcore.amazonaws.com", "lambda.amazonaws.com"), "doctor/pass-role-denied"},
		{"a ceiling", do(func(w *world) {
			w.edit("deploy", func(r *trust.Role) {
				r.Boundary = &trust.Document{Name: "b", JSON: []byte(strings.Replace(string(r.Boundary.JSON), `"ssm:DeleteParameter",`, "", 1))}
			})
		}), "doctor/action-denied"},
		{"a broken policy", inPolicy("deploy", `"Effect"`, `"effect"`), "doctor/policy-unreadable policy/invalid-element"},
		{"too much", inPolicy("deploy", `"ecr:PutImage"`, `"ecr:PutImage", "ecr:DeleteRepository"`), "policy/repository-control"},
		{"no repository", do(func(w *world) { w.settings.ARN = "" }), "doctor/repository-missing"},
		{"another region's repository", do(func(w *world) { w.settings.ARN = strings.Replace(w.settings.ARN, "us-east-1", "eu-west-1", 1) }), "doctor/repository-elsewhere"},
		{"movable tags", do(func(w *world) { w.settings.RevisionsFix = false }), "doctor/tags-movable"},
		{"an immovable latest", do(func(w *world) { w.settings.LatestMoves = false }), "doctor/latest-immutable"},
		{"an immovable latest that nobody moves", do(func(w *world) { w.settings.LatestMoves, w.Target.MovesLatest = false, false }), ""},
		{"no scan", do(func(w *world) { w.settings.ScanOnPush = false }), "doctor/no-scan"},
		{"few images", do(func(w *world) { w.lifecycle = strings.Replace(w.lifecycle, "100", "19", 1) }), "doctor/lifecycle"},
		{"just enough images", do(func(w *world) { w.lifecycle = strings.Replace(w.lifecycle, "100", "20", 1) }), ""},
		{"one image", do(func(w *world) { w.lifecycle = strings.Replace(w.lifecycle, "100", "1", 1) }), "doctor/lifecycle doctor/lifecycle-rollback"},
		{"another image alone", do(func(w *world) {
			w.lifecycle = strings.Replace(w.lifecycle, "100", "1", 1)
			w.contents = append(w.contents, pushed(5, 0))
		}), "doctor/lifecycle-rollback doctor/lifecycle-serving"},
		{"the image gone", do(func(w *world) { w.contents = w.contents[1:] }), "doctor/serving-image-gone"},
		{"an earlier image gone", do(func(w *world) { w.contents = w.contents[:2] }), "doctor/release-image-gone"},
		{"no lifecycle", do(func(w *world) { w.lifecycle = "" }), ""},
		{"a broken lifecycle", do(func(w *world) { w.lifecycle = "{" }), "doctor/lifecycle-unreadable"},
		{"an image of amd64", do(func(w *world) { w.images[w.head.Revision] = "amd64" }), "doctor/image-unfit"},
		{"an image of arm64", do(func(w *world) { w.images[w.head.Revision] = "arm64" }), ""},
		{"no runtime id", do(func(w *world) { delete(w.parameters, "/support/dev/runtime-id") }), "doctor/runtime-id-missing"},
		{"a placeholder", do(func(w *world) { w.parameters["/support/dev/runtime-id"] = "TODO" }), "doctor/runtime-id-malformed"},
		{"a shared runtime", do(func(w *world) {
			w.Project.Siblings = map[string]string{"stg": "/support/stg/runtime-id"}
			w.parameters["/support/stg/runtime-id"] = rid
		}), "doctor/shared-runtime"},
		{"a sibling", do(func(w *world) {
			w.Project.Siblings = map[string]string{"stg": "/support/stg/runtime-id"}
			w.parameters["/support/stg/runtime-id"] = "support_stg-0123456789"
		}), ""},
		{"no runtime", do(func(w *world) { w.runtime = "" }), "doctor/runtime-missing"},
		{"updating", inRuntime("READY", "UPDATING"), "doctor/runtime-busy"},
		{"deleting", inRuntime("READY", "DELETING"), "doctor/runtime-deleting"},
		{"failed", inRuntime(`"READY"`, `"UPDATE_FAILED","failureReason":"no capacity"`), "doctor/runtime-failed"},
		{"another compute", do(func(w *world) { w.Target.Compute = delivery.Instances }), "doctor/compute"},
		{"metadata of version 1", inRuntime(`"requireMMDSV2":true`, `"requireMMDSV2":false`), "doctor/mmds"},
		{"a tag", inRuntime("@"+digest(3), ":latest"), "doctor/moving-image-live"},
		{"a tag and a digest", inRuntime("@sha256:", ":v1@sha256:"), ""},
		{"a bearer token needed", inRuntime(`"status"`, `"authorizerConfiguration":{"customJWTAuthorizer":{}},"status"`), "doctor/verify-token-missing"},
		{"a bearer token at hand", do(func(w *world) {
			w.runtime = strings.Replace(w.runtime, `"status"`, `"authorizerConfiguration":{"customJWTAuthorizer":{}},"status"`, 1)
			w.Target.BearerToken = "x"
		}), ""},
		{"no endpoint", do(func(w *world) { delete(w.endpoints, "live") }), "doctor/endpoint-missing"},
		{"an endpoint behind", do(func(w *world) { w.endpoints["live"] = delivery.Endpoint{Status: "READY", LiveVersion: "2"} }), "doctor/endpoint-behind"},
		{"an endpoint on its way", do(func(w *world) {
			w.endpoints["live"] = delivery.Endpoint{Status: "UPDATING", LiveVersion: "2", TargetVersion: "3"}
		}), "doctor/endpoint-behind"},
		{"an endpoint that failed", do(func(w *world) {
			w.endpoints["live"] = delivery.Endpoint{Status: "UPDATE_FAILED", LiveVersion: "2", TargetVersion: "3"}
		}), "doctor/endpoint-failed"},
		{"drift", do(func(w *world) { w.status.Drift = []string{"live serves version 3, the record says 2"} }), "doctor/drift"},
		{"a lock", do(func(w *world) {
			w.status.Lock = &delivery.Lock{Schema: "slipway.lock/v1", Holder: "octocat", Expires: w.clock.Add(time.Minute)}
		}), "doctor/locked"},
		{"no lock of slipway's", do(func(w *world) { w.status.Lock = &delivery.Lock{Expires: w.clock.Add(-time.Minute)} }), "doctor/locked"},
		{"an expired lock", do(func(w *world) {
			w.status.Lock = &delivery.Lock{Schema: "slipway.lock/v1", Holder: "octocat", Expires: w.clock.Add(-time.Minute)}
		}), "doctor/lock-left"},
		{"one role for both", do(func(w *world) {
			w.Target.ExecutionRole = w.Project.DeployRole
		}), "doctor/execution-logs-denied doctor/execution-trust-denies doctor/pass-role-denied doctor/same-role policy/same-role"},
		{"no execution role", do(func(w *world) { delete(w.roles, "agent") }), "doctor/execution-role-missing"},
		{"no execution role named", do(func(w *world) {
			w.Target.ExecutionRole = ""
			w.runtime = strings.Replace(w.runtime, `"roleArn"`, `"x"`, 1)
		}), "doctor/no-execution-role"},
		{"the runtime's execution role", do(func(w *world) { w.Target.ExecutionRole = "" }), ""},
		{"another service", do(func(w *world) {
			w.edit("agent", func(r *trust.Role) {
				r.Trust = []byte(strings.Replace(string(r.Trust), "bedrock-agentcore.ama", "lambda.ama", 1))
			})
		}), "doctor/execution-trust-denies"},
		{"any account", do(func(w *world) {
			w.edit("agent", func(r *trust.Role) {
				p, _ := trust.Parse(r.Trust)
				p.Statements[0].Conditions = nil
				r.Trust = p.JSON()
			})
		}), "doctor/confused-deputy"},
		{"no pull", inPolicy("agent", `"ecr:BatchGetImage"`, `"ecr:DescribeImages"`), "doctor/execution-pull-denied"},
		{"no log", inPolicy("agent", `"logs:PutLogEvents"`, `"logs:GetLogEvents"`), "doctor/execution-logs-denied"},
		{"a VPC", inRuntime(`"networkMode":"PUBLIC"`, `"networkMode":"VPC","networkModeConfig":{"subnets":["subnet-01234567"],"securityGroups":["sg-01234567"],"requireServiceS3Endpoint":true}`), "doctor/network-egress"},
		{"a newer VPC", inRuntime(`"networkMode":"PUBLIC"`, `"networkMode":"VPC","networkModeConfig":{"subnets":["subnet-01234567"],"securityGroups":["sg-01234567"]}`), "doctor/network-egress doctor/network-s3"},
		{"subnets in one text", inRuntime(`"networkMode":"PUBLIC"`, `"networkMode":"VPC","networkModeConfig":{"subnets":["subnet-01234567,subnet-76543210"],"securityGroups":[],"requireServiceS3Endpoint":true}`), "doctor/network-egress doctor/network-ids"},
		{"out of a VPC", do(func(w *world) {
			w.Project.NetworkMode = "PUBLIC"
			w.runtime = strings.Replace(w.runtime, `"networkMode":"PUBLIC"`, `"networkMode":"VPC","networkModeConfig":{"subnets":["subnet-01234567"]}`, 1)
		}), ""},
		{"no repository on GitHub", do(func(w *world) { w.hub.FullName = "" }), "doctor/github-repository-missing"},
		{"renamed", do(func(w *world) { w.hub.FullName, w.hub.SubjectPrefix = "acme/bots", "repo:acme@1/bots@2" }), "doctor/github-renamed doctor/trust-denies"},
		{"resurrected", do(func(w *world) { w.hub.ID, w.hub.SubjectPrefix = "3", "repo:acme@1/agents@3" }), "doctor/github-ids doctor/trust-denies trust/repository-mismatch"},
		{"no environment", do(func(w *world) { w.environment = nil }), "doctor/environment-missing"},
		{"nobody asked", do(func(w *world) { w.environment.Reviewers = nil }), "doctor/no-reviewers"},
		{"somebody else asked", do(func(w *world) { w.environment.Reviewers = []string{"hubot"} }), "doctor/reviewers-differ"},
		{"another case", do(func(w *world) { w.environment.Reviewers = []string{"OctoCat", "hubot"} }), ""},
		{"self-review", do(func(w *world) { w.environment.PreventSelfReview = false }), "doctor/self-review"},
		{"bypassing", do(func(w *world) { w.environment.AdminsBypass = true }), "doctor/admins-bypass"},
		{"any branch", do(func(w *world) { w.environment.AnyBranch = true }), "doctor/branch-policy"},
		{"protected branches", do(func(w *world) { w.environment.ProtectedBranches = true }), "doctor/branch-policy"},
		{"a branch more", do(func(w *world) { w.environment.Branches = []string{"main", "release/*"} }), "doctor/branch-policy"},
		{"another branch alone", do(func(w *world) { w.environment.Branches = []string{"next"} }), "doctor/branch-policy doctor/branch-refused"},
		{"a variable", do(func(w *world) { w.variables["EXECUTION_ROLE_ARN"] = "arn:aws:iam::" + account + ":role/other" }), "doctor/variable-differs"},
		{"a list in another form", do(func(w *world) {
			w.Project.Subnets = []string{"subnet-01234567", "subnet-76543210"}
			w.variables["AGENT_SUBNET_IDS"] = `["subnet-01234567", "subnet-76543210"]`
		}), "doctor/network-egress doctor/network-s3"},
		{"a foreign variable", do(func(w *world) { w.variables["LOG_LEVEL"] = "debug" }), ""},
		{"a token of another environment", do(func(w *world) { w.Claims = tokenOf("repo:acme@1/agents@2:environment:prd", "prd", "refs/heads/main") }), "doctor/token-claims doctor/trust-denies"},
		{"a token", do(func(w *world) { w.Claims = tokenOf("repo:acme@1/agents@2:environment:dev", "dev", "refs/heads/main") }), ""},
		{"no token", do(func(w *world) {
			w.Claims = func(context.Context) (map[string]string, error) { return nil, errors.New("id-token: write is missing") }
		}), "doctor/token"},
	}
	seen := map[string]bool{"doctor/config": true, "doctor/credentials": true} // by tests of their own
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := healthy()
			test.breaks(t, w)
			got := ids(w.Examine(t.Context()))
			if strings.Join(got, " ") != test.want {
				t.Errorf("found %v, want %s", got, test.want)
			}
			for _, id := range got {
				seen[id] = true
			}
		})
	}
	for _, r := range Rules() {
		if !seen[r.ID] {
			t.Errorf("nothing is found by %s", r.ID)
		}
	}
}

// TestWhatMakes: where releases come from another environment, a promotion
// makes what is missing.
func TestWhatMakes(t *testing.T) {
	for id, breaks := range map[string]func(w *world){
		"doctor/shared-runtime": func(w *world) {
			w.Project.Siblings = map[string]string{"int": "/support/int/runtime-id"}
			w.parameters["/support/int/runtime-id"] = rid
		},
		"doctor/runtime-missing":  func(w *world) { w.runtime = "" },
		"doctor/runtime-deleting": func(w *world) { w.runtime = strings.Replace(w.runtime, "READY", "DELETING", 1) },
		"doctor/endpoint-missing": func(w *world) { clear(w.endpoints) },
	} {
		for after, want := range map[string]string{"": "slipway deploy --create --env dev", "int": "slipway promote --to dev --create"} {
			w := healthy()
			w.Target.After = after
			breaks(w)
			if !slices.ContainsFunc(w.Examine(t.Context()).Findings, func(f Finding) bool { return f.ID == id && strings.Contains(f.Hint, want) }) {
				t.Errorf("%s after %q is not told to run %s", id, after, want)
			}
		}
	}
}

func tokenOf(sub, environment, ref string) func(context.Context) (map[string]string, error) {
	return func(context.Context) (map[string]string, error) {
		return map[string]string{"sub": sub, "aud": "sts.amazonaws.com", "environment": environment, "ref": ref,
			"repository": "acme/agents", "repository_id": "2"}, nil
	}
}

// TestDenied: where nothing may be read, everything is skipped and says why.
func TestDenied(t *testing.T) {
	w := healthy()
	w.refuse = delivery.ErrDenied
	r := w.Examine(t.Context())
	if len(r.Findings) > 0 || r.Verdict() != Accept {
		t.Errorf("found %+v", r.Findings)
	}
	details := map[string]string{}
	for _, c := range r.Checks {
		if c.Status == Skipped {
			details[c.ID] = c.Detail
		}
	}
	for id, want := range map[string]string{"trust": "lacks iam:GetRole on it", "runtime-id": "lacks ssm:GetParameter on it",
		"ecr-repository": "lacks ecr:DescribeRepositories on it", "runtime": "no runtime is known"} {
		if details[id] != want {
			t.Errorf("%s: %q, want %q", id, details[id], want)
		}
	}
}

func TestNoSession(t *testing.T) {
	w := healthy()
	w.Doctor.Login = noLogin{}
	r := w.Examine(t.Context())
	if got := ids(r); !slices.Equal(got, []string{"doctor/credentials"}) {
		t.Errorf("found %v", got)
	}
}

type noLogin struct{}

func (noLogin) Login(context.Context) (delivery.Caller, error) {
	return delivery.Caller{}, errors.New("no credentials")
}

// TestOffline asks nobody: ports that panic are not called.
func TestOffline(t *testing.T) {
	w := healthy()
	w.Offline = true
	w.Doctor.Login, w.Roles, w.Parameters, w.Runtimes, w.Repository, w.Images, w.GitHub = nil, nil, nil, nil, nil, nil, nil
	for _, c := range w.Examine(t.Context()).Checks {
		remote := c.Group == groupAccess || c.Group == groupPermissions || c.Group == groupImages || c.Group == groupRuntime || c.Group == groupGitHub
		if want := map[bool]Status{true: Skipped, false: OK}[remote]; c.Status != want {
			t.Errorf("%s: %s %s", c.ID, c.Status, c.Detail)
		}
	}
}

// TestNames: without GitHub and without ids in slipway.yaml, the ids that the
// trust policy pins are taken as right, in the repository's own name.
func TestNames(t *testing.T) {
	for _, test := range []struct {
		repository string
		want       string
	}{{"acme/agents", ""}, {"acme/other", "doctor/trust-denies"}} {
		w := healthy()
		w.GitHub, w.Project.OwnerID, w.Project.NameID, w.Project.GitHub = nil, "", "", test.repository
		got := slices.DeleteFunc(ids(w.Examine(t.Context())), func(id string) bool { return strings.HasPrefix(id, "trust/") })
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: found %v, want %s", test.repository, got, test.want)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range healthy().Examine(ctx).Checks {
		if c.Status != Skipped || c.Detail != "interrupted" {
			t.Errorf("%s: %s %s", c.ID, c.Status, c.Detail)
		}
	}
}

// TestRules holds the rules to the code: each is found somewhere, and nothing
// else is.
func TestRules(t *testing.T) {
	stated := map[string]bool{}
	for _, r := range Rules() {
		if stated[r.ID] || r.Finds == "" || r.Fix == "" {
			t.Errorf("%s is stated twice, or not in full", r.ID)
		}
		stated[r.ID] = true
	}
	used := map[string]bool{}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name == "rules.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"(doctor/[a-z0-9-]+)"`).FindAllStringSubmatch(string(text), -1) {
			used[m[1]] = true
			if !stated[m[1]] {
				t.Errorf("%s finds %s, which is no rule", name, m[1])
			}
		}
	}
	for id := range stated {
		if !used[id] {
			t.Errorf("%s is never found", id)
		}
	}
}

func FuzzPinnedPlatforms(f *testing.F) {
	f.Add([]byte("FROM --platform=linux/amd64 a AS b\nFROM b"))
	f.Add([]byte("FROM a AS a\nFROM a AS a\nFROM a"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, p := range pinnedPlatforms(text) {
			if p.platform == "" || p.line < 1 {
				t.Errorf("%+v", p)
			}
		}
	})
}

func FuzzPinnedIDs(f *testing.F) {
	f.Add([]byte(`"repo:acme@1/agents@2:environment:dev"`), "acme/agents")
	f.Add([]byte(`repo:acme@`), "acme")
	f.Fuzz(func(t *testing.T, document []byte, repository string) {
		ownerID, id := pinnedIDs(document, repository)
		if strings.Trim(ownerID+id, "0123456789") != "" || (id != "" && ownerID == "" && !strings.Contains(string(document), "@/")) {
			t.Errorf("%q %q", ownerID, id)
		}
	})
}

func FuzzLifecycle(f *testing.F) {
	f.Add(healthy().lifecycle)
	f.Add(`{"rules":[{"selection":{"tagStatus":"tagged","tagPatternList":["*0*","l*"],"countType":"imageCountMoreThan","countNumber":-1}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		w := healthy()
		rules, err := lifecycleRules(text)
		if gone := taken(rules, w.contents, now); err == nil && len(rules) == 0 && len(gone) > 0 {
			t.Errorf("%v are taken by no rule", gone)
		}
		w.lifecycle = text
		w.Examine(t.Context()) // any text may come; none may break
	})
}
