package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/slipway-cd/slipway/internal/sim/sandbox"
)

// TestMain lets the test's program be the first process of agents' sandboxes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "sandbox-init" {
		os.Exit(sandbox.Init(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// movedClock is a clock that the test moves. Signatures are judged by it too:
// it starts at the real time and must not go far.
type movedClock struct {
	mu sync.Mutex
	at time.Time
}

func (m *movedClock) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *movedClock) add(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = m.at.Add(d)
}

// agents is a cloud with an execution role and a repository of images.
type agents struct {
	*hub
	clock  *movedClock
	client *bedrockagentcorecontrol.Client
	role   string
}

const agentRepository = "team/agent"

func newAgents(t *testing.T) *agents {
	t.Helper()
	clock := &movedClock{at: time.Now()}
	c := &Cloud{Dir: t.TempDir(), Now: clock.now, Sandbox: []string{os.Args[0], "sandbox-init"},
		Warn: func(line string) { t.Log("cloud: " + line) }}
	srv := serveCloud(t, c)
	a := &agents{hub: hubOf(t, c, srv, agentRepository), clock: clock,
		client: bedrockagentcorecontrol.NewFromConfig(adminConfig(t, srv, DefaultAccount))}
	a.role = executionRole(t, srv, DefaultAccount, "exec")
	return a
}

// pullPolicy lets a role pull from every repository of its account.
const pullPolicy = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"},
	{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Resource":"arn:aws:ecr:*:*:repository/*"}]}`

// permit gives a role its only inline policy.
func permit(t testing.TB, srv *httptest.Server, account, roleName, policy string) {
	t.Helper()
	_, err := iam.NewFromConfig(adminConfig(t, srv, account)).PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: &roleName, PolicyName: aws.String("permissions"), PolicyDocument: &policy})
	if err != nil {
		t.Fatal(err)
	}
}

func executionRole(t *testing.T, srv *httptest.Server, account, name string) string {
	t.Helper()
	client := iam.NewFromConfig(adminConfig(t, srv, account))
	out, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	permit(t, srv, account, name, pullPolicy)
	return *out.Role.Arn
}

// push puts an image in the registry and returns its digest.
func (a *agents) push(tag string, img v1.Image) string {
	a.t.Helper()
	if err := remote.Write(a.tag(tag), img, a.auth); err != nil {
		a.t.Fatal(err)
	}
	return must[v1.Hash](a.t)(img.Digest()).String()
}

func (a *agents) uri(suffix string) string {
	return DefaultAccount + ".dkr.ecr.us-east-1.amazonaws.com/" + agentRepository + suffix
}

func container(uri string) types.AgentRuntimeArtifact {
	return &types.AgentRuntimeArtifactMemberContainerConfiguration{Value: types.ContainerConfiguration{ContainerUri: &uri}}
}

func public() *types.NetworkConfiguration {
	return &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic}
}

func (a *agents) createInput(name string) *bedrockagentcorecontrol.CreateAgentRuntimeInput {
	return &bedrockagentcorecontrol.CreateAgentRuntimeInput{AgentRuntimeName: &name, RoleArn: &a.role,
		AgentRuntimeArtifact: container(a.uri(":one")), NetworkConfiguration: public()}
}

func (a *agents) updateInput(id string) *bedrockagentcorecontrol.UpdateAgentRuntimeInput {
	return &bedrockagentcorecontrol.UpdateAgentRuntimeInput{AgentRuntimeId: &id, RoleArn: &a.role, AgentRuntimeArtifact: container(a.uri(":one")),
		NetworkConfiguration: public(), MetadataConfiguration: &types.RuntimeMetadataConfiguration{RequireMMDSV2: aws.Bool(true)}}
}

// create makes a runtime of the image "one" and waits until it serves.
func (a *agents) create(name string) *bedrockagentcorecontrol.CreateAgentRuntimeOutput {
	a.t.Helper()
	out := must[*bedrockagentcorecontrol.CreateAgentRuntimeOutput](a.t)(a.client.CreateAgentRuntime(a.t.Context(), a.createInput(name)))
	a.settle()
	return out
}

func (a *agents) settle() { a.clock.add(2 * a.cloud.Settle) }

func (a *agents) get(id string) *bedrockagentcorecontrol.GetAgentRuntimeOutput {
	a.t.Helper()
	return must[*bedrockagentcorecontrol.GetAgentRuntimeOutput](a.t)(a.client.GetAgentRuntime(a.t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id}))
}

func (a *agents) endpoint(id, name string) *bedrockagentcorecontrol.GetAgentRuntimeEndpointOutput {
	a.t.Helper()
	return must[*bedrockagentcorecontrol.GetAgentRuntimeEndpointOutput](a.t)(a.client.GetAgentRuntimeEndpoint(a.t.Context(),
		&bedrockagentcorecontrol.GetAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: &name}))
}

func (a *agents) update(in *bedrockagentcorecontrol.UpdateAgentRuntimeInput) *bedrockagentcorecontrol.UpdateAgentRuntimeOutput {
	a.t.Helper()
	return must[*bedrockagentcorecontrol.UpdateAgentRuntimeOutput](a.t)(a.client.UpdateAgentRuntime(a.t.Context(), in))
}

func TestRuntimeLife(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	in := a.createInput("customerServiceAgent")
	in.EnvironmentVariables = map[string]string{"LOG_LEVEL": "info"}
	in.LifecycleConfiguration = &types.LifecycleConfiguration{IdleRuntimeSessionTimeout: aws.Int32(600), MaxLifetime: aws.Int32(7200)}
	made := must[*bedrockagentcorecontrol.CreateAgentRuntimeOutput](t)(a.client.CreateAgentRuntime(t.Context(), in))
	id := *made.AgentRuntimeId
	if !strings.HasPrefix(id, "customerServiceAgent-") || *made.AgentRuntimeArn != runtimeARN(DefaultAccount, DefaultRegion, id) ||
		*made.AgentRuntimeVersion != "1" || made.Status != types.AgentRuntimeStatusCreating || *made.WorkloadIdentityDetails.WorkloadIdentityArn == "" {
		t.Errorf("Create answered %+v", made)
	}
	if e := a.endpoint(id, "DEFAULT"); e.Status != types.AgentRuntimeEndpointStatusCreating || e.LiveVersion != nil || *e.TargetVersion != "1" {
		t.Errorf("DEFAULT while creating: %+v", e)
	}
	_, err := a.client.UpdateAgentRuntime(t.Context(), a.updateInput(id))
	wantFault(t, err, "ConflictException", 409, "CREATING")
	a.settle()
	got := a.get(id)
	if got.Status != types.AgentRuntimeStatusReady || !*got.MetadataConfiguration.RequireMMDSV2 || got.EnvironmentVariables["LOG_LEVEL"] != "info" || *got.LifecycleConfiguration.MaxLifetime != 7200 {
		t.Errorf("Get: %+v", got)
	}
	if e := a.endpoint(id, "DEFAULT"); e.Status != types.AgentRuntimeEndpointStatusReady || *e.LiveVersion != "1" {
		t.Errorf("DEFAULT: %+v", e)
	}
	must[*bedrockagentcorecontrol.DeleteAgentRuntimeOutput](t)(a.client.DeleteAgentRuntime(t.Context(), &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: &id}))
	if got := a.get(id); got.Status != types.AgentRuntimeStatusDeleting {
		t.Errorf("status after deletion: %s", got.Status)
	}
	a.settle()
	_, err = a.client.GetAgentRuntime(t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id})
	wantFault(t, err, "ResourceNotFoundException", 404, id)
	a.create("customerServiceAgent") // the name is free again
}

func TestUpdateReplacesTheWholeConfiguration(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	in := a.createInput("agent")
	in.EnvironmentVariables = map[string]string{"A": "1"}
	in.Description = aws.String("first")
	in.PlatformVersion = aws.String("V1")
	in.LifecycleConfiguration = &types.LifecycleConfiguration{IdleRuntimeSessionTimeout: aws.Int32(600), MaxLifetime: aws.Int32(7200)}
	in.AuthorizerConfiguration = &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
		DiscoveryUrl: aws.String("https://id.example.com/.well-known/openid-configuration"), AllowedAudience: []string{"x"}}}
	id := *must[*bedrockagentcorecontrol.CreateAgentRuntimeOutput](t)(a.client.CreateAgentRuntime(t.Context(), in)).AgentRuntimeId
	a.settle()

	up := a.updateInput(id)
	up.MetadataConfiguration = nil
	out := a.update(up)
	if *out.AgentRuntimeVersion != "2" || out.Status != types.AgentRuntimeStatusUpdating {
		t.Errorf("Update answered %+v", out)
	}
	a.settle()
	got := a.get(id)
	if got.EnvironmentVariables != nil || got.Description != nil || got.AuthorizerConfiguration != nil || got.MetadataConfiguration != nil ||
		*got.LifecycleConfiguration.IdleRuntimeSessionTimeout != 900 || *got.LifecycleConfiguration.MaxLifetime != 28800 || aws.ToString(got.PlatformVersion) != "V1" {
		t.Errorf("after the update: %+v", got)
	}
	old := must[*bedrockagentcorecontrol.GetAgentRuntimeOutput](t)(a.client.GetAgentRuntime(t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: aws.String("1")}))
	if old.EnvironmentVariables["A"] != "1" || *old.Description != "first" || old.AuthorizerConfiguration == nil || *old.LifecycleConfiguration.MaxLifetime != 7200 || *old.AgentRuntimeVersion != "1" {
		t.Errorf("version 1 is %+v", old)
	}
	_, err := a.client.GetAgentRuntime(t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: aws.String("3")})
	wantFault(t, err, "ResourceNotFoundException", 404, "3")
}

func TestEndpoints(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id, ctx := *a.create("agent").AgentRuntimeId, t.Context()
	live := must[*bedrockagentcorecontrol.CreateAgentRuntimeEndpointOutput](t)(a.client.CreateAgentRuntimeEndpoint(ctx, &bedrockagentcorecontrol.CreateAgentRuntimeEndpointInput{AgentRuntimeId: &id, Name: aws.String("live")}))
	if *live.TargetVersion != "1" || live.Status != types.AgentRuntimeEndpointStatusCreating || *live.EndpointName != "live" {
		t.Errorf("CreateAgentRuntimeEndpoint answered %+v", live)
	}
	a.settle()
	a.update(a.updateInput(id))
	state := func(name string) string {
		e := a.endpoint(id, name)
		return fmt.Sprintf("%s %s/%s", e.Status, aws.ToString(e.LiveVersion), *e.TargetVersion)
	}
	for _, step := range []struct {
		wait               time.Duration
		defaulted, runtime string
	}{
		{0, "UPDATING 1/2", "UPDATING"},
		{a.cloud.Settle, "READY 1/2", "READY"}, // liveVersion lags
		{a.cloud.Settle / 2, "READY 2/2", "READY"},
	} {
		a.clock.add(step.wait)
		if got := state("DEFAULT"); got != step.defaulted || string(a.get(id).Status) != step.runtime {
			t.Errorf("after %s: %s, runtime %s; want %s, %s", step.wait, got, a.get(id).Status, step.defaulted, step.runtime)
		}
		if got := state("live"); got != "READY 1/1" {
			t.Errorf("the named endpoint moved by itself: %s", got)
		}
	}
	move := func(version string) error {
		_, err := a.client.UpdateAgentRuntimeEndpoint(ctx, &bedrockagentcorecontrol.UpdateAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: aws.String("live"), AgentRuntimeVersion: &version})
		return err
	}
	wantFault(t, move("7"), "ResourceNotFoundException", 404, "7")
	if err := move("2"); err != nil {
		t.Fatal(err)
	}
	if got := state("live"); got != "UPDATING 1/2" {
		t.Errorf("moving: %s", got)
	}
	wantFault(t, move("1"), "ConflictException", 409, "UPDATING")
	a.settle()
	if got := state("live"); got != "READY 2/2" {
		t.Errorf("moved: %s", got)
	}
	_, err := a.client.DeleteAgentRuntimeEndpoint(ctx, &bedrockagentcorecontrol.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: aws.String("DEFAULT")})
	wantFault(t, err, "ConflictException", 409, "DEFAULT")
	must[*bedrockagentcorecontrol.DeleteAgentRuntimeEndpointOutput](t)(a.client.DeleteAgentRuntimeEndpoint(ctx, &bedrockagentcorecontrol.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: aws.String("live")}))
	a.settle()
	list := must[*bedrockagentcorecontrol.ListAgentRuntimeEndpointsOutput](t)(a.client.ListAgentRuntimeEndpoints(ctx, &bedrockagentcorecontrol.ListAgentRuntimeEndpointsInput{AgentRuntimeId: &id}))
	if len(list.RuntimeEndpoints) != 1 || *list.RuntimeEndpoints[0].Name != "DEFAULT" {
		t.Errorf("endpoints: %+v", list.RuntimeEndpoints)
	}
}

func TestClientTokens(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	token := aws.String(strings.Repeat("t", 40))
	in := a.createInput("agent")
	in.ClientToken = token
	one := must[*bedrockagentcorecontrol.CreateAgentRuntimeOutput](t)(a.client.CreateAgentRuntime(t.Context(), in))
	two := must[*bedrockagentcorecontrol.CreateAgentRuntimeOutput](t)(a.client.CreateAgentRuntime(t.Context(), in))
	if *one.AgentRuntimeId != *two.AgentRuntimeId {
		t.Error("one token made two runtimes")
	}
	other := a.createInput("other")
	other.ClientToken = token
	_, err := a.client.CreateAgentRuntime(t.Context(), other)
	wantFault(t, err, "ValidationException", 400, "token")
	_, err = a.client.CreateAgentRuntime(t.Context(), a.createInput("agent"))
	wantFault(t, err, "ConflictException", 409, "An agent with the specified name already exists")
	a.settle()

	up := a.updateInput(*one.AgentRuntimeId)
	up.ClientToken = aws.String(strings.Repeat("u", 40))
	a.update(up)
	if again := a.update(up); *again.AgentRuntimeVersion != "2" { // even while it is busy
		t.Errorf("a repeated update made version %s", *again.AgentRuntimeVersion)
	}
	up.Description = aws.String("another body")
	_, err = a.client.UpdateAgentRuntime(t.Context(), up)
	var invalid *types.ValidationException
	if !errors.As(err, &invalid) || invalid.Reason != types.ValidationExceptionReason("IdempotentParameterMismatchException") {
		t.Errorf("the same token with another body: %v", err)
	}
}

func TestRuntimesSurviveARestart(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id := *a.create("agent").AgentRuntimeId
	a.update(a.updateInput(id))
	kill(t, a.cloud)
	again := &Cloud{Dir: a.cloud.Dir, Now: a.clock.now}
	srv := httptest.NewServer(again)
	defer srv.Close()
	client := bedrockagentcorecontrol.NewFromConfig(adminConfig(t, srv, DefaultAccount))
	status := func() string {
		out := must[*bedrockagentcorecontrol.GetAgentRuntimeOutput](t)(client.GetAgentRuntime(t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id}))
		return string(out.Status) + " " + *out.AgentRuntimeVersion
	}
	if got := status(); got != "UPDATING 2" {
		t.Errorf("after the restart: %s", got)
	}
	a.settle()
	if got := status(); got != "READY 2" {
		t.Errorf("later: %s", got)
	}
}

func TestUpdateFailsWhereTheImageVanishes(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	digest := a.push("two", platformImage(t, "arm64"))
	id := *a.create("agent").AgentRuntimeId
	up := a.updateInput(id)
	up.AgentRuntimeArtifact = container(a.uri("@" + digest))
	a.update(up)
	a.deleteImage(digest)
	a.settle()
	got := a.get(id)
	if got.Status != types.AgentRuntimeStatusUpdateFailed || !strings.Contains(aws.ToString(got.FailureReason), digest) {
		t.Errorf("%s: %s", got.Status, aws.ToString(got.FailureReason))
	}
	if e := a.endpoint(id, "DEFAULT"); e.Status != types.AgentRuntimeEndpointStatusUpdateFailed || *e.LiveVersion != "1" || e.FailureReason == nil {
		t.Errorf("DEFAULT: %+v", e)
	}
	a.update(a.updateInput(id)) // a failed runtime can be updated
	a.settle()
	if e := a.endpoint(id, "DEFAULT"); a.get(id).Status != types.AgentRuntimeStatusReady || *e.LiveVersion != "3" || e.FailureReason != nil {
		t.Errorf("after the repair: %s, %+v", a.get(id).Status, e)
	}
}

func (a *agents) deleteImage(digest string) {
	a.t.Helper()
	if err := deleteImages(a.t.Context(), a.hub, digest); err != nil {
		a.t.Fatal(err)
	}
}

// raw sends a signed request with a body that no SDK would make.
func (a *agents) raw(method, path, body string) (int, map[string]any) {
	a.t.Helper()
	status, answer := signedRequest(a.t, a.srv, method, path, body)
	var out map[string]any
	if err := json.Unmarshal(answer, &out); err != nil {
		a.t.Fatalf("%s: %v", answer, err)
	}
	return status, out
}

func TestUnknownMembersSurvive(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	body := func(more string) string {
		return `{"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"` + a.uri(":one") + `"}},"roleArn":"` + a.role +
			`","networkConfiguration":{"networkMode":"PUBLIC","future":[1]}` + more + `}`
	}
	status, made := a.raw("PUT", "/runtimes/", body(`,"agentRuntimeName":"agent","hooksConfiguration":{"build":{"warmup":true}}`))
	if status != 202 {
		t.Fatalf("%d: %v", status, made)
	}
	id := made["agentRuntimeId"].(string)
	a.settle()
	_, got := a.raw("GET", "/runtimes/"+id+"/", "")
	if !reflect.DeepEqual(got["hooksConfiguration"], map[string]any{"build": map[string]any{"warmup": true}}) ||
		!reflect.DeepEqual(got["networkConfiguration"], map[string]any{"networkMode": "PUBLIC", "future": []any{1.0}}) {
		t.Errorf("got %v", got)
	}
	for _, name := range []string{"clientToken", "tags", "failureReason"} {
		if _, ok := got[name]; ok {
			t.Errorf("Get answers %s", name)
		}
	}
	for _, test := range []struct{ body, name string }{
		{body(`,"status":"READY"`), "status"},
		{body(`,"agentRuntimeName":"agent"`), "agentRuntimeName"},
		{body(`,"description":7`), "description"},
		{`{"roleArn":"` + a.role + `"}`, "agentRuntimeArtifact"},
	} {
		status, answer := a.raw("PUT", "/runtimes/"+id+"/", test.body)
		fields, _ := answer["fieldList"].([]any)
		if status != 400 || answer["reason"] != "FieldValidationFailed" || !strings.Contains(fmt.Sprint(fields), "name:"+test.name) {
			t.Errorf("%s: %d %v", test.name, status, answer)
		}
	}
	if status, answer := a.raw("PUT", "/runtimes/"+id+"/", `{`); status != 400 || answer["reason"] != "CannotParse" {
		t.Errorf("no JSON: %d %v", status, answer)
	}
	if status, answer := a.raw("PUT", "/runtimes/", body(`,"agentRuntimeName":"other","metadataConfiguration":{"requireMMDSV2":true}`)); status != 400 {
		t.Errorf("metadataConfiguration on Create: %d %v", status, answer)
	}
}

func TestPinned(t *testing.T) {
	for uri, want := range map[string]string{
		"host/repo:tag": "host/repo@D", "host/repo": "host/repo@D", "host/repo@sha256:x": "host/repo@D", "host/a/b:tag@sha256:x": "host/a/b@D",
	} {
		if got := pinned(uri, "D"); got != want {
			t.Errorf("pinned(%q) = %q, want %q", uri, got, want)
		}
	}
}

func FuzzConfiguration(f *testing.F) {
	f.Add([]byte(`{"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"111122223333.dkr.ecr.us-east-1.amazonaws.com/a:b"}},"roleArn":"arn:aws:iam::111122223333:role/x","networkConfiguration":{"networkMode":"PUBLIC"}}`))
	f.Add([]byte(`{"networkConfiguration":{"networkMode":"VPC","networkModeConfig":{"subnets":[null]}},"environmentVariables":{"a":1}}`))
	f.Add([]byte(`{"allowedPorts":[{"portRange":{"from":1}}],"filesystemConfigurations":[{}],"authorizerConfiguration":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var d document
		if json.Unmarshal(raw, &d) != nil || checkConfiguration(d, updateMembers()) != nil {
			return
		}
		if imageURI(d) == "" || stringOf(d, "roleArn") == "" {
			t.Errorf("accepted without image or role: %s", raw)
		}
		if idle, life := lifecycle(configuration(d)); idle < 60 || life > 28800 || idle > life {
			t.Errorf("accepted a lifecycle of %d/%d: %s", idle, life, raw)
		}
	})
}

// deleteImages removes an image from the repository.
func deleteImages(ctx context.Context, h *hub, digest string) error {
	_, err := h.ecr.BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{RepositoryName: &h.repository,
		ImageIds: []ecrtypes.ImageIdentifier{{ImageDigest: &digest}}})
	return err
}

// signedRequest sends a request that is signed, and otherwise as it is given.
func signedRequest(t *testing.T, srv *httptest.Server, method, path, body string) (int, []byte) {
	t.Helper()
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body)))
	key := must[aws.Credentials](t)(adminConfig(t, srv, DefaultAccount).Credentials.Retrieve(t.Context()))
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), key, r, hex.EncodeToString(sum[:]), "bedrock-agentcore", DefaultRegion, time.Now()); err != nil {
		t.Fatal(err)
	}
	return send(t, r)
}
