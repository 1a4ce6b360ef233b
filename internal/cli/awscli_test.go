package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/needs"
)

// awsCLI runs the AWS CLI against the local cloud by AWS_ENDPOINT_URL alone.
type awsCLI struct {
	t   *testing.T
	env []string
	dir string
}

// newAWS skips where there is no AWS CLI that knows AgentCore and
// AWS_ENDPOINT_URL; Debian's 2.9 knows neither.
func newAWS(t *testing.T) *awsCLI {
	t.Helper()
	out, err := exec.Command("aws", "--version").CombinedOutput()
	needs.Part(t, "aws", err == nil && recentBotocore(string(out)))
	return &awsCLI{t: t, dir: t.TempDir()}
}

// recentBotocore says whether botocore is 1.42 or later.
func recentBotocore(version string) bool {
	m := regexp.MustCompile(`botocore/(\d+)\.(\d+)\.`).FindStringSubmatch(version)
	if m == nil {
		return false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return major == 1 && minor >= 42
}

// as sets who the CLI is.
func (c *awsCLI) as(variables map[string]string) {
	c.env = []string{"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1"}
	// Its cache of assumed roles is in HOME: a new one for each identity.
	c.env = append(c.env, "PATH="+os.Getenv("PATH"), "HOME="+c.t.TempDir())
	for name, value := range variables {
		c.env = append(c.env, name+"="+value)
	}
}

// try runs a command and returns what it printed.
func (c *awsCLI) try(args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "aws", args...)
	cmd.Env, cmd.Dir = c.env, c.dir
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err = cmd.Run()
	return strings.TrimSpace(out.String()), messages.String(), err
}

func (c *awsCLI) run(args ...string) string {
	c.t.Helper()
	out, messages, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, messages)
	}
	return out
}

// refused runs a command that AWS has to refuse with a code.
func (c *awsCLI) refused(code string, args ...string) {
	c.t.Helper()
	out, messages, err := c.try(args...)
	if err == nil || !strings.Contains(messages, code) {
		c.t.Errorf("aws %s: expected %s, got %v %s%s", strings.Join(args, " "), code, err, out, messages)
	}
}

// TestAWSCLI does every call of the described system with AWS's own client,
// and reads back with it what Slipway did.
func TestAWSCLI(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: agents run on Linux")
	}
	c := newAWS(t)
	d := newTestWorld(t)
	admin, err := d.api.administrator(t.Context(), demoAccount)
	if err != nil {
		t.Fatal(err)
	}
	c.as(admin)
	t.Run("identity", func(t *testing.T) { c.t = t; awsIdentity(c) })
	o, err := d.deliver(t.Context(), "create", 0, admin, "deploy", "--env", "dev", "--create", "--yes")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("trust", func(t *testing.T) { c.t = t; awsTrust(c, d) })
	c.as(admin)
	t.Run("images", func(t *testing.T) { c.t = t; awsImages(c, o) })
	t.Run("parameters", func(t *testing.T) { c.t = t; awsParameters(c, o) })
	t.Run("runtime", func(t *testing.T) { c.t = t; awsRuntime(c, o) })
	t.Run("update", func(t *testing.T) { c.t = t; awsUpdate(c, arm64Image(t, d, admin)) })
	t.Run("wrong signature", func(t *testing.T) {
		c.t = t
		wrong := map[string]string{}
		for k, v := range admin {
			wrong[k] = v
		}
		wrong["AWS_SECRET_ACCESS_KEY"] = "not-the-secret"
		c.as(wrong)
		c.refused("SignatureDoesNotMatch", "sts", "get-caller-identity")
		c.refused("InvalidSignatureException", "ssm", "get-parameter", "--name", "/x")
	})
}

// arm64Image pushes an image that a microVM takes, whatever runs here.
func arm64Image(t *testing.T, d *demo, admin map[string]string) string {
	t.Helper()
	file := filepath.Join(d.repo, "slipway.yaml")
	yaml, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	yaml = regexp.MustCompile(`platform: \S+}`).ReplaceAll(yaml, []byte("platform: linux/arm64}"))
	if err := os.WriteFile(file, yaml, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.commit(t.Context(), `var tools = []string{"arm64"}`, "for microVMs"); err != nil {
		t.Fatal(err)
	}
	o, out, err := d.slipway(t.Context(), admin, "build", "--env", "dev", "--push", "--yes")
	if err != nil || o.code != 0 {
		t.Fatalf("slipway build ended with %d, %v: %s", o.code, err, o.stderr)
	}
	var built buildDocument
	if err := json.Unmarshal(out, &built); err != nil {
		t.Fatal(err)
	}
	return built.Image.URI
}

func awsIdentity(c *awsCLI) {
	if got := c.run("sts", "get-caller-identity", "--query", "Arn", "--output", "text"); got != "arn:aws:iam::111122223333:user/administrator" {
		c.t.Errorf("the administrator is %s", got)
	}
	provider := "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
	c.refused("EntityAlreadyExists", "iam", "create-open-id-connect-provider", "--url", "https://token.actions.githubusercontent.com",
		"--client-id-list", "sts.amazonaws.com", "--thumbprint-list", "6938fd4d98bab03faadb97b34396831e3780aea1")
	if got := c.run("iam", "get-open-id-connect-provider", "--open-id-connect-provider-arn", provider, "--query", "ClientIDList", "--output", "text"); got != "sts.amazonaws.com" {
		c.t.Errorf("the provider's audiences are %s", got)
	}
	var role struct {
		Role struct {
			AssumeRolePolicyDocument struct{ Statement []struct{ Sid string } }
		}
	}
	c.decode(&role, "iam", "get-role", "--role-name", demoDeployRole)
	if s := role.Role.AssumeRolePolicyDocument.Statement; len(s) != 1 || s[0].Sid != "GitHubEnvironmentDev" {
		c.t.Errorf("the role's trust came back as %+v", role)
	}
	c.refused("NoSuchEntity", "iam", "get-role", "--role-name", "nobody")
	c.refused("MalformedPolicyDocument", "iam", "create-role", "--role-name", "open", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"`+provider+`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com"}}}]}`)
}

func (c *awsCLI) decode(v any, args ...string) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.run(append(args, "--output", "json")...)), v); err != nil {
		c.t.Fatal(err)
	}
}

// awsTrust logs in as the CLI does in a job: a token in a file and a role.
func awsTrust(c *awsCLI, d *demo) {
	login := func(repository string) map[string]string {
		var token struct {
			Value string `json:"value"`
		}
		request := map[string]any{"job": map[string]string{"repository": repository, "environment": "dev"}, "audience": "sts.amazonaws.com"}
		if err := d.api.call(c.t.Context(), "POST", "token", request, &token); err != nil {
			c.t.Fatal(err)
		}
		file := filepath.Join(c.dir, "token")
		if err := os.WriteFile(file, []byte(token.Value), 0o600); err != nil {
			c.t.Fatal(err)
		}
		return map[string]string{"AWS_ENDPOINT_URL": d.cloud.address, "AWS_REGION": demoRegion, "AWS_DEFAULT_REGION": demoRegion, "AWS_ROLE_SESSION_NAME": "cli",
			"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/" + demoDeployRole, "AWS_WEB_IDENTITY_TOKEN_FILE": file}
	}
	c.as(login("acme/agents"))
	if got := c.run("sts", "get-caller-identity", "--query", "Arn", "--output", "text"); got != "arn:aws:sts::111122223333:assumed-role/"+demoDeployRole+"/cli" {
		c.t.Errorf("a job is %s", got)
	}
	c.as(login("evil@99/agents@77"))
	c.refused("Not authorized to perform sts:AssumeRoleWithWebIdentity", "sts", "get-caller-identity")
}

func awsImages(c *awsCLI, o outcome) {
	if got := c.run("ecr", "get-login-password"); got == "" {
		c.t.Error("there is no login password")
	}
	var images struct {
		ImageDetails []struct {
			ImageDigest string
			ImageTags   []string
		} `json:"imageDetails"`
	}
	c.decode(&images, "ecr", "describe-images", "--repository-name", demoRepository)
	if len(images.ImageDetails) != 1 || images.ImageDetails[0].ImageDigest != o.report.Image.Digest || len(images.ImageDetails[0].ImageTags) != 2 {
		c.t.Errorf("the repository holds %+v, slipway pushed %+v", images, o.report.Image)
	}
	manifest := c.run("ecr", "batch-get-image", "--repository-name", demoRepository, "--image-ids", "imageTag="+o.report.Revision,
		"--query", "images[0].imageManifest", "--output", "text")
	file := filepath.Join(c.dir, "manifest")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		c.t.Fatal(err)
	}
	// The described system's rollback: an older image becomes latest again.
	c.refused("ImageAlreadyExistsException", "ecr", "put-image", "--repository-name", demoRepository, "--image-tag", "latest", "--image-manifest", "file://"+file)
	c.refused("ImageNotFound", "ecr", "describe-images", "--repository-name", demoRepository, "--image-ids", "imageTag=nothing")
	if got := c.run("ecr", "describe-repositories", "--query", "repositories[0].imageTagMutability", "--output", "text"); got != "IMMUTABLE_WITH_EXCLUSION" {
		c.t.Errorf("tags are %s", got)
	}
}

func awsParameters(c *awsCLI, o outcome) {
	if got := c.run("ssm", "get-parameter", "--name", "/supportAgent/dev/runtime-id", "--query", "Parameter.Value", "--output", "text"); got != o.report.Runtime.ID {
		c.t.Errorf("runtime-id is %s, slipway made %s", got, o.report.Runtime.ID)
	}
	if got := c.run("ssm", "get-parameter", "--name", "/supportAgent/dev/image-uri", "--query", "Parameter.Value", "--output", "text"); got != o.report.Image.URI {
		c.t.Errorf("image-uri is %s, slipway deployed %s", got, o.report.Image.URI)
	}
	release := c.run("ssm", "get-parameter-history", "--name", "/supportAgent/dev/release", "--query", "Parameters[-1].Value", "--output", "text")
	if !strings.Contains(release, o.report.Image.Digest) || !strings.Contains(release, `"verdict":"passed"`) {
		c.t.Errorf("the release record is %s", release)
	}
	c.refused("ParameterNotFound", "ssm", "get-parameter", "--name", "/supportAgent/dev/lock")
	c.run("ssm", "put-parameter", "--name", "/demo/one", "--value", "1", "--type", "String")
	c.refused("ParameterAlreadyExists", "ssm", "put-parameter", "--name", "/demo/one", "--value", "2", "--type", "String")
	c.run("ssm", "delete-parameter", "--name", "/demo/one")
}

// awsRuntime does the described system's update by hand: it loses what it does
// not send, and DEFAULT follows.
func awsRuntime(c *awsCLI, o outcome) {
	id := o.report.Runtime.ID
	var runtime struct {
		AgentRuntimeArn      string            `json:"agentRuntimeArn"`
		Status               string            `json:"status"`
		EnvironmentVariables map[string]string `json:"environmentVariables"`
	}
	c.decode(&runtime, "bedrock-agentcore-control", "get-agent-runtime", "--agent-runtime-id", id)
	if runtime.Status != "READY" || runtime.EnvironmentVariables["LOG_LEVEL"] != "info" {
		c.t.Errorf("the runtime is %+v", runtime)
	}
	out, payload := filepath.Join(c.dir, "answer"), filepath.Join(c.dir, "payload")
	if err := os.WriteFile(payload, []byte(`{"prompt": "ping"}`), 0o600); err != nil {
		c.t.Fatal(err)
	}
	invoke := []string{"bedrock-agentcore", "invoke-agent-runtime", "--agent-runtime-arn", runtime.AgentRuntimeArn, "--runtime-session-id",
		strings.Repeat("s", 40), "--payload", "fileb://" + payload, out}
	c.run(invoke...)
	// AWS_ENDPOINT_URL alone is enough: a signed call needs no HTTPS.
	whole := c.env
	c.env = slices.DeleteFunc(slices.Clone(whole), func(kv string) bool {
		return strings.HasPrefix(kv, "AWS_ENDPOINT_URL_") || strings.HasPrefix(kv, "AWS_CA_BUNDLE=")
	})
	c.run(invoke...)
	c.env = whole
	answer, err := os.ReadFile(out)
	if err != nil || !bytes.Contains(answer, []byte("pong from "+o.report.Revision[:7])) {
		c.t.Errorf("the agent answered %s, %v", answer, err)
	}
	group := "/aws/bedrock-agentcore/runtimes/" + id + "-DEFAULT"
	if got := c.run("logs", "filter-log-events", "--log-group-name", group, "--filter-pattern", "asked", "--query", "events[].message", "--output", "text"); !strings.Contains(got, "ping") {
		c.t.Errorf("the agent's log is %q", got)
	}
}

// awsUpdate does the described system's update by hand, on a runtime made by
// hand: it loses what it does not send, and DEFAULT follows.
func awsUpdate(c *awsCLI, image string) {
	control := func(args ...string) []string { return append([]string{"bedrock-agentcore-control"}, args...) }
	role := "arn:aws:iam::111122223333:role/" + "supportAgentExecutionRole-dev"
	artifact := func(uri string) string { return `{"containerConfiguration":{"containerUri":"` + uri + `"}}` }
	id := c.run(control("create-agent-runtime", "--agent-runtime-name", "byHand", "--role-arn", role, "--agent-runtime-artifact", artifact(image),
		"--network-configuration", `{"networkMode":"PUBLIC"}`, "--environment-variables", "LOG_LEVEL=info", "--query", "agentRuntimeId", "--output", "text")...)
	c.waitReady(id)
	update := func(subnets, uri string) []string {
		network := `{"networkMode":"VPC","networkModeConfig":{"securityGroups":["sg-0123456789abcdef0"],"subnets":[` + subnets + `]}}`
		return control("update-agent-runtime", "--agent-runtime-id", id, "--role-arn", role, "--agent-runtime-artifact", artifact(uri), "--network-configuration", network)
	}
	one, two := `"subnet-0123456789abcdef0,subnet-0123456789abcdef1"`, `"subnet-0123456789abcdef0","subnet-0123456789abcdef1"`
	c.refused("ValidationException", update(one, image)...) // E2: two ids pasted into one element
	c.refused("ValidationException", update(two, strings.Split(image, "@")[0]+":no-such-tag")...)
	c.run(update(two, image)...)
	c.waitReady(id)
	var runtime struct {
		AgentRuntimeVersion  string            `json:"agentRuntimeVersion"`
		EnvironmentVariables map[string]string `json:"environmentVariables"`
	}
	c.decode(&runtime, control("get-agent-runtime", "--agent-runtime-id", id)...)
	if runtime.AgentRuntimeVersion != "2" || len(runtime.EnvironmentVariables) != 0 {
		c.t.Errorf("after an update that sends 3 of 14 settings: %+v; AWS resets the others (E9)", runtime)
	}
	c.decode(&runtime, control("get-agent-runtime", "--agent-runtime-id", id, "--agent-runtime-version", "1")...)
	if runtime.EnvironmentVariables["LOG_LEVEL"] != "info" {
		c.t.Errorf("version 1 has changed: %+v", runtime)
	}
	if got := c.run(control("list-agent-runtime-versions", "--agent-runtime-id", id, "--query", "length(agentRuntimes)")...); got != "2" {
		c.t.Errorf("there are %s versions, expected 2: a refused update makes none", got)
	}
	c.run(control("create-agent-runtime-endpoint", "--agent-runtime-id", id, "--name", "live", "--agent-runtime-version", "1")...)
	if got := c.run(control("list-agent-runtime-endpoints", "--agent-runtime-id", id, "--query", "sort(runtimeEndpoints[].join(':', [name, targetVersion || liveVersion]))", "--output", "text")...); got != "DEFAULT:2\tlive:1" {
		c.t.Errorf("the endpoints are %q", got)
	}
	c.run(control("delete-agent-runtime", "--agent-runtime-id", id)...)
}

func (c *awsCLI) waitReady(id string) {
	c.t.Helper()
	for range 60 { // each is a process of its own: no pause is needed
		if c.run("bedrock-agentcore-control", "get-agent-runtime", "--agent-runtime-id", id, "--query", "status", "--output", "text") == "READY" {
			return
		}
	}
	c.t.Fatalf("runtime %s never became READY", id)
}
