package agentcore_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/slipway-cd/slipway/internal/agentcore"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
)

// startCloud serves a local cloud and returns an administrator's
// configuration.
func startCloud(t *testing.T) aws.Config {
	t.Helper()
	c := &sim.Cloud{Dir: t.TempDir(), Settle: 50 * time.Millisecond}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c)
	t.Cleanup(func() {
		server.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	key, secret, err := c.Administrator(sim.DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	return aws.Config{Region: sim.DefaultRegion, BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")}
}

// pushImage makes a repository with an arm64 image that does nothing, and
// returns its URI.
func pushImage(t *testing.T, cfg aws.Config) string {
	t.Helper()
	client := ecr.NewFromConfig(cfg)
	if _, err := client.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: aws.String("agent")}); err != nil {
		t.Fatal(err)
	}
	login, err := client.GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(*login.AuthorizationData[0].AuthorizationToken)
	if err != nil {
		t.Fatal(err)
	}
	user, password, _ := strings.Cut(string(raw), ":")
	base, err := random.Image(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	config, err := base.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config.Entrypoint = "linux", "arm64", []string{"/agent"}
	image, err := mutate.ConfigFile(base, config)
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(*cfg.BaseEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(address.Host + "/agent:one")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image, remote.WithContext(t.Context()), remote.WithAuth(&authn.Basic{Username: user, Password: password})); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return sim.DefaultAccount + ".dkr.ecr." + sim.DefaultRegion + ".amazonaws.com/agent@" + digest.String()
}

func executionRole(t *testing.T, cfg aws.Config) string {
	t.Helper()
	roles := iam.NewFromConfig(cfg)
	out, err := roles.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("execution"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",
			"Principal":{"Service":"bedrock-agentcore.amazonaws.com"}}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = roles.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("execution"), PolicyName: aws.String("pull"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"},
			{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Resource":"arn:aws:ecr:*:*:repository/agent"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Role.Arn
}

// settled polls until the endpoint serves version.
func settled(t *testing.T, c *agentcore.Client, id, endpoint, version string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		e, err := c.Endpoint(ctx, id, endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if e.Status == "READY" && e.LiveVersion == version && e.TargetVersion == version {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s stays %+v", endpoint, e)
		}
	}
}

func member(t *testing.T, doc delivery.Document, name string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(doc, &members); err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(members[name]), `"`)
}

func TestRuntimeOnTheLocalCloud(t *testing.T) {
	cfg := startCloud(t)
	c := &agentcore.Client{Config: cfg}
	image, role := pushImage(t, cfg), executionRole(t, cfg)
	configuration := `"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"` + image + `"}},"roleArn":"` + role + `","networkConfiguration":{"networkMode":"PUBLIC"}`
	create := delivery.Document(`{"agentRuntimeName":"support_dev",` + configuration + `}`)
	token := strings.Repeat("t", 40)

	made, err := c.Create(t.Context(), create, token)
	if err != nil {
		t.Fatal(err)
	}
	id, arn := member(t, made, "agentRuntimeId"), member(t, made, "agentRuntimeArn")
	if again, err := c.Create(t.Context(), create, token); err != nil || member(t, again, "agentRuntimeId") != id {
		t.Errorf("the same token made %s, %v", again, err)
	}
	if _, err := c.Create(t.Context(), create, strings.Repeat("u", 40)); !errors.Is(err, delivery.ErrConflict) {
		t.Errorf("the name is taken: got %v", err)
	}
	if found, err := c.Find(t.Context(), "support_dev"); err != nil || found != id {
		t.Errorf("found %s, %v", found, err)
	}
	if _, err := c.Find(t.Context(), "nobody"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	settled(t, c, id, "DEFAULT", "1")
	if err := c.CreateEndpoint(t.Context(), id, "live", "1", strings.Repeat("e", 40)); err != nil {
		t.Fatal(err)
	}

	update := delivery.Document(`{` + configuration + `,"environmentVariables":{"A":"<&>é"},"metadataConfiguration":{"requireMMDSV2":true}}`)
	changed, err := c.Update(t.Context(), id, update, strings.Repeat("v", 40))
	if err != nil || member(t, changed, "agentRuntimeVersion") != "2" {
		t.Fatalf("got %s, %v", changed, err)
	}
	if _, err = c.Update(t.Context(), id, create, strings.Repeat("w", 40)); err == nil {
		t.Error("an update with a name was taken")
	}
	settled(t, c, id, "DEFAULT", "2")
	settled(t, c, id, "live", "1")
	checkVersions(t, c, cfg, id)
	if err := c.MoveEndpoint(t.Context(), id, "live", "2", strings.Repeat("m", 40)); err != nil {
		t.Fatal(err)
	}
	settled(t, c, id, "live", "2")
	checkInvoke(t, c, arn)
}

// checkVersions reads both snapshots, and the newest through AWS's own client.
func checkVersions(t *testing.T, c *agentcore.Client, cfg aws.Config, id string) {
	t.Helper()
	first, err := c.Get(t.Context(), id, "1")
	if err != nil || member(t, first, "environmentVariables") != "" {
		t.Errorf("got %s, %v", first, err)
	}
	newest, err := c.Get(t.Context(), id, "")
	if err != nil || member(t, newest, "agentRuntimeVersion") != "2" {
		t.Errorf("got %s, %v", newest, err)
	}
	theirs, err := bedrockagentcorecontrol.NewFromConfig(cfg).GetAgentRuntime(t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id})
	if err != nil || theirs.EnvironmentVariables["A"] != "<&>é" {
		t.Errorf("got %+v, %v", theirs, err)
	}
	for _, missing := range [][2]string{{id, "9"}, {"gone-a1b2c3d4e5", ""}} {
		if _, err := c.Get(t.Context(), missing[0], missing[1]); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("%v: got %v", missing, err)
		}
	}
	if _, err := c.Endpoint(t.Context(), id, "nobody"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// checkInvoke reaches the data plane: the signature of the escaped ARN is
// accepted, and the image, which can't run, is AgentCore's to refuse.
func checkInvoke(t *testing.T, c *agentcore.Client, arn string) {
	t.Helper()
	a, err := c.Invoke(t.Context(), delivery.Invocation{RuntimeARN: arn, Session: strings.Repeat("s", 33), Payload: []byte(`{}`)})
	if err != nil || a.Status < 400 || a.ErrorCode == "" || strings.Contains(a.Message, "signature") || a.Status == 401 {
		t.Errorf("got %+v, %v", a, err)
	}
	bad := *c
	bad.Config.Credentials = credentials.NewStaticCredentialsProvider("AKIANOBODY0000000000", "wrong", "")
	if a, err = bad.Invoke(t.Context(), delivery.Invocation{RuntimeARN: arn, Session: strings.Repeat("s", 33)}); err != nil || a.Status != 403 {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestParametersAndLogsOnTheLocalCloud(t *testing.T) {
	cfg := startCloud(t)
	p := agentcore.NewParameters(cfg)
	const name = "/customerServiceAgent/dev/lock"
	if _, err := p.Parameter(t.Context(), name); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := p.PutParameter(t.Context(), name, "mine", false); err != nil {
		t.Fatal(err)
	}
	if err := p.PutParameter(t.Context(), name, "yours", false); !errors.Is(err, delivery.ErrExists) {
		t.Errorf("got %v", err)
	}
	if err := p.PutParameter(t.Context(), name, "mine, later", true); err != nil {
		t.Error(err)
	}
	if value, err := p.Parameter(t.Context(), name); err != nil || value != "mine, later" {
		t.Errorf("got %q, %v", value, err)
	}
	if err := p.DeleteParameter(t.Context(), name); err != nil {
		t.Error(err)
	}
	if err := p.DeleteParameter(t.Context(), name); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	lines, err := agentcore.NewLogs(cfg).Lines(t.Context(), delivery.LogWindow{RuntimeID: "nobody-a1b2c3d4e5", Endpoint: "DEFAULT"})
	if err != nil || len(lines) != 0 {
		t.Errorf("got %v, %v", lines, err)
	}
}
