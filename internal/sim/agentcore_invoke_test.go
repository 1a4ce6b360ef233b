package sim

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	ggcr "github.com/google/go-containerregistry/pkg/v1/types"
)

// The tests' agents, as layers that are made once, static and for this machine:
// the sandbox's, which does what its payload asks for, and the small one of each
// protocol. They are not compressed: with the race detector, that took longer than
// all else.
var (
	agentLayer    = sync.OnceValues(func() (v1.Layer, error) { return buildAgent("./sandbox/testdata/agent") })
	protocolLayer = sync.OnceValues(func() (v1.Layer, error) { return buildAgent("./testdata/agent") })
)

func buildAgent(source string) (v1.Layer, error) {
	dir, err := os.MkdirTemp("", "slipway-agent-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "agent")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", out, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if raw, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the agent: %w\n%s", err, raw)
	}
	program, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	if err := w.WriteHeader(&tar.Header{Name: "agent", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return static.NewLayer(raw.Bytes(), ggcr.DockerUncompressedLayer), nil
}

// agentImage is an image of the sandbox's agent; env is the image's.
func agentImage(t *testing.T, env ...string) v1.Image {
	t.Helper()
	return programImage(t, must[v1.Layer](t)(agentLayer()), env...)
}

// zippedImage is agentImage as builds push it.
func zippedImage(t *testing.T, env ...string) v1.Image {
	t.Helper()
	layer := must[v1.Layer](t)(agentLayer())
	return programImage(t, must[v1.Layer](t)(tarball.LayerFromOpener(layer.Uncompressed, tarball.WithCompressedCaching)), env...)
}

// protocolImage is an image of the small agent of each protocol.
func protocolImage(t *testing.T) v1.Image {
	t.Helper()
	return programImage(t, must[v1.Layer](t)(protocolLayer()))
}

func programImage(t *testing.T, layer v1.Layer, env ...string) v1.Image {
	t.Helper()
	img := must[v1.Image](t)(mutate.AppendLayers(empty.Image, layer))
	config := must[*v1.ConfigFile](t)(img.ConfigFile()).DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Entrypoint, config.Config.Env = []string{"/agent"}, env
	return must[v1.Image](t)(mutate.ConfigFile(img, config))
}

// fleet is a cloud whose runtimes run on instances, so that agents of this
// machine's own platform can be run.
type fleet struct {
	*agents
	data *bedrockagentcore.Client
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: agents run on Linux alone")
	}
	a := newAgents(t)
	config := adminConfig(t, a.srv, DefaultAccount)
	return &fleet{agents: a, data: bedrockagentcore.NewFromConfig(config)}
}

func instances() *types.CapacityProviderConfiguration {
	return &types.CapacityProviderConfiguration{CapacityProviderArn: aws.String("arn:aws:bedrock-agentcore:us-east-1:111122223333:capacity-provider/x")}
}

// deploy makes a runtime of the image "one" that serves.
func (f *fleet) deploy(env map[string]string) (id, arn string) {
	f.t.Helper()
	in := f.createInput("agent")
	in.CapacityProviderConfiguration, in.EnvironmentVariables = instances(), env
	out := must[*bedrockagentcorecontrol.CreateAgentRuntimeOutput](f.t)(f.client.CreateAgentRuntime(f.t.Context(), in))
	f.settle()
	return *out.AgentRuntimeId, *out.AgentRuntimeArn
}

// redeploy updates the runtime and waits until DEFAULT has followed.
func (f *fleet) redeploy(id string, change func(*bedrockagentcorecontrol.UpdateAgentRuntimeInput)) {
	f.t.Helper()
	in := f.updateInput(id)
	in.CapacityProviderConfiguration = instances()
	change(in)
	f.update(in)
	f.settle()
}

func sessionID(name string) string { return name + strings.Repeat("-", 40) }

func (f *fleet) invoke(arn, session, payload string) (map[string]any, error) {
	f.t.Helper()
	in := &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, Payload: []byte(payload), ContentType: aws.String("application/json")}
	if session != "" {
		in.RuntimeSessionId = aws.String(sessionID(session))
	}
	out, err := f.data.InvokeAgentRuntime(f.t.Context(), in)
	if err != nil {
		return nil, err
	}
	defer out.Response.Close()
	var answer map[string]any
	if err := json.NewDecoder(out.Response).Decode(&answer); err != nil {
		return nil, err
	}
	if answer["session"] != *out.RuntimeSessionId || *out.ContentType != "application/json" || *out.StatusCode != 200 {
		f.t.Errorf("the agent saw session %v; the answer has %v, %v, %v", answer["session"], *out.RuntimeSessionId, *out.ContentType, *out.StatusCode)
	}
	return answer, nil
}

func (f *fleet) must(arn, session, payload string) map[string]any {
	f.t.Helper()
	return must[map[string]any](f.t)(f.invoke(arn, session, payload))
}

func TestInvoke(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary")
	f := newFleet(t)
	f.push("one", zippedImage(t, "REVISION=image", "PATH=/bin"))
	id, arn := f.deploy(map[string]string{"REVISION": "one"})
	if got := f.must(arn, "", `{}`); got["revision"] != "one" {
		t.Errorf("the runtime's variables are not above the image's: %v", got)
	}
	if got := fmt.Sprint(f.must(arn, "a", `{"do":"env"}`)["env"]); got != "[PATH=/bin REVISION=one HOME=/root]" {
		t.Errorf("the agent's environment: %s", got)
	}
	f.must(arn, "a", `{"do":"write","arg":"/tmp/x","text":"mine"}`)
	if got := f.must(arn, "a", `{"do":"read","arg":"/tmp/x"}`); got["text"] != "mine" {
		t.Errorf("the same session: %v", got)
	}
	if got := f.must(arn, "b", `{"do":"read","arg":"/tmp/x"}`); got["error"] == nil {
		t.Errorf("another session has the file: %v", got)
	}
	out := must[*bedrockagentcore.InvokeAgentRuntimeOutput](t)(f.data.InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &id, AccountId: aws.String(DefaultAccount), Qualifier: aws.String("DEFAULT"), Payload: []byte(`{"do":"stream"}`)}))
	raw := must[[]byte](t)(io.ReadAll(out.Response))
	if string(raw) != "data: one\n\ndata: two\n\n" || *out.ContentType != "text/event-stream" || len(*out.RuntimeSessionId) < 33 {
		t.Errorf("%s %s: %q", *out.ContentType, *out.RuntimeSessionId, raw)
	}
}

func TestSessionsKeepTheirVersion(t *testing.T) {
	f := newFleet(t)
	f.push("one", agentImage(t, "REVISION=one"))
	digest := f.push("two", agentImage(t, "REVISION=two"))
	id, arn := f.deploy(nil)
	must[*bedrockagentcorecontrol.CreateAgentRuntimeEndpointOutput](t)(f.client.CreateAgentRuntimeEndpoint(t.Context(),
		&bedrockagentcorecontrol.CreateAgentRuntimeEndpointInput{AgentRuntimeId: &id, Name: aws.String("live")}))
	f.settle()
	first := f.must(arn, "old", `{}`)
	f.redeploy(id, func(in *bedrockagentcorecontrol.UpdateAgentRuntimeInput) {
		in.AgentRuntimeArtifact = container(f.uri("@" + digest))
	})
	if got := f.must(arn, "old", `{}`); got["revision"] != "one" || got["pid"] != first["pid"] {
		t.Errorf("a running session moved: %v", got)
	}
	if got := f.must(arn, "new", `{}`); got["revision"] != "two" {
		t.Errorf("a new session: %v", got["revision"])
	}
	out := must[*bedrockagentcore.InvokeAgentRuntimeOutput](t)(f.data.InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &arn, Qualifier: aws.String("live"), RuntimeSessionId: aws.String(sessionID("new")), Payload: []byte(`{}`)}))
	if raw := must[[]byte](t)(io.ReadAll(out.Response)); !strings.Contains(string(raw), `"revision":"one"`) {
		t.Errorf("the named endpoint serves %s", raw)
	}
	stop := &bedrockagentcore.StopRuntimeSessionInput{AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(sessionID("old"))}
	if out := must[*bedrockagentcore.StopRuntimeSessionOutput](t)(f.data.StopRuntimeSession(t.Context(), stop)); *out.RuntimeSessionId != sessionID("old") {
		t.Errorf("StopRuntimeSession answered %+v", out)
	}
	_, err := f.data.StopRuntimeSession(t.Context(), stop)
	wantFault(t, err, "ResourceNotFoundException", 404, "old")
	if got := f.must(arn, "old", `{}`); got["revision"] != "two" {
		t.Errorf("after its end, the session's version is %v", got["revision"])
	}
}

func TestTagsAreResolvedOnce(t *testing.T) {
	f := newFleet(t)
	f.push("one", agentImage(t, "REVISION=one"))
	_, arn := f.deploy(nil)
	f.push("one", agentImage(t, "REVISION=two"))
	if got := f.must(arn, "a", `{}`); got["revision"] != "one" {
		t.Errorf("the moved tag is served: %v", got["revision"])
	}
}

func TestInvokeFailures(t *testing.T) {
	f := newFleet(t)
	f.push("one", agentImage(t))
	id, arn := f.deploy(nil)
	_, err := f.invoke(arn, "a", `{"do":"fail"}`)
	wantFault(t, err, "RuntimeClientError", 424, "Received error (500) from runtime. Please check your CloudWatch logs for more information.")
	_, err = f.invoke(arn, "a", `{"do":"exit"}`)
	wantFault(t, err, "RuntimeClientError", 424, "Please check your CloudWatch logs")
	f.awaitNoSession(arn)
	f.must(arn, "a", `{}`) // the session's next call starts the agent again

	const text = "Runtime initialization time exceeded. Please make sure that initialization completes in 30s."
	f.cloud.agentcore.sessions.limit = 2 * time.Second // from here on nothing gets healthy
	for _, mode := range []string{"crash", "unhealthy"} {
		f.redeploy(id, func(in *bedrockagentcorecontrol.UpdateAgentRuntimeInput) {
			in.EnvironmentVariables = map[string]string{"MODE": mode}
		})
		_, err = f.invoke(arn, mode, `{}`)
		wantFault(t, err, "RuntimeClientError", 424, text)
	}
	f.redeploy(id, func(in *bedrockagentcorecontrol.UpdateAgentRuntimeInput) { in.MetadataConfiguration = nil })
	_, err = f.invoke(arn, "mmds", `{}`)
	wantFault(t, err, "ValidationException", 400, "This runtime is not MMDSv2-enabled")
	f.redeploy(id, func(in *bedrockagentcorecontrol.UpdateAgentRuntimeInput) {
		in.AuthorizerConfiguration = &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
			DiscoveryUrl: aws.String("https://id.example.com/.well-known/openid-configuration")}}
	})
	_, err = f.invoke(arn, "jwt", `{}`)
	wantFault(t, err, "AccessDeniedException", 403, "Authorization method mismatch")
	_, err = f.data.InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, Qualifier: aws.String("live"), Payload: []byte(`{}`)})
	wantFault(t, err, "ResourceNotFoundException", 404, "No endpoint or agent found with qualifier 'live'")
	_, err = f.data.InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, RuntimeSessionId: aws.String("short"), Payload: []byte(`{}`)})
	wantFault(t, err, "ValidationException", 400, "runtimeSessionId")
	_, err = f.data.InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &id, Payload: []byte(`{}`)})
	wantFault(t, err, "ValidationException", 400, "accountId")
	_, err = f.invoke(strings.Replace(arn, DefaultAccount, "444455556666", 1), "x", `{}`)
	wantFault(t, err, "AccessDeniedException", 403, "")
	_, err = f.invoke(strings.Replace(arn, id, "agent-0123456789", 1), "x", `{}`)
	wantFault(t, err, "ResourceNotFoundException", 404, "agent-0123456789")
}

// awaitNoSession waits until every session of the runtime has ended.
func (f *fleet) awaitNoSession(arn string) {
	f.t.Helper()
	t := &f.cloud.agentcore.sessions
	t.mu.Lock()
	var ending []*session
	for key, s := range t.all {
		if key.runtime == arn {
			ending = append(ending, s)
		}
	}
	t.mu.Unlock()
	for _, s := range ending {
		select {
		case <-s.done:
		case <-time.After(20 * time.Second):
			f.t.Fatal("the session did not end")
		}
	}
}

func TestForeignPlatformIsRefusedAtInvoke(t *testing.T) {
	f := newFleet(t)
	foreign := "arm64"
	if runtime.GOARCH == "arm64" {
		foreign = "amd64"
	}
	img := agentImage(t)
	config := must[*v1.ConfigFile](t)(img.ConfigFile()).DeepCopy()
	config.Architecture = foreign
	f.push("one", must[v1.Image](t)(mutate.ConfigFile(img, config)))
	_, arn := f.deploy(nil)
	_, err := f.invoke(arn, "a", `{}`)
	// Where an emulator is registered, the program (which is this machine's
	// after all) does not become an agent either.
	if errorCode(err) != "RuntimeClientError" {
		t.Fatalf("got %v", err)
	}
	if strings.Contains(err.Error(), "can't run") && !strings.Contains(err.Error(), "linux/"+foreign) {
		t.Errorf("the platform is not named: %v", err)
	}
}

func TestAgentsEndWithTheirCloud(t *testing.T) {
	f := newFleet(t)
	f.push("one", agentImage(t))
	id, arn := f.deploy(nil)
	f.must(arn, "b", `{}`)
	f.cloud.closeAgents()
	if left := must[[]string](t)(filepath.Glob(filepath.Join(f.cloud.agentsDir("running"), "*"))); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	must[*bedrockagentcorecontrol.DeleteAgentRuntimeOutput](t)(f.client.DeleteAgentRuntime(t.Context(), &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: &id}))
	_, err := f.invoke(arn, "c", `{}`)
	wantFault(t, err, "ResourceNotFoundException", 404, "")
	if err := f.cloud.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.cloud.agentsDir("")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("images are left after a reset: %v", err)
	}
}

func TestSessionStartsOnce(t *testing.T) {
	f := newFleet(t)
	f.push("one", agentImage(t))
	_, arn := f.deploy(nil)
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			in := &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(sessionID("a")), Payload: []byte(`{}`)}
			if out, err := f.data.InvokeAgentRuntime(context.WithoutCancel(t.Context()), in); err != nil {
				t.Error(err)
			} else {
				out.Response.Close()
			}
		})
	}
	wait.Wait()
	if n := strings.Count(strings.Join(f.logLines(arn), "\n"), "agent starts"); n != 1 {
		t.Errorf("the agent was started %d times", n)
	}
}

func TestHealthy(t *testing.T) {
	for _, test := range []struct {
		status   int
		body     string
		ok, busy bool
	}{
		{200, `{"status":"Healthy"}`, true, false},
		{200, `{"status":"HealthyBusy","time_of_last_update":1}`, true, true},
		{200, `{"status":"healthy"}`, false, false},
		{200, `ok`, false, false},
		{500, `{"status":"Healthy"}`, false, false},
	} {
		if ok, busy := healthy(test.status, []byte(test.body)); ok != test.ok || busy != test.busy {
			t.Errorf("%d %s: %v %v", test.status, test.body, ok, busy)
		}
	}
}

func TestContract(t *testing.T) {
	for raw, want := range map[string]string{
		`null`:                      "8080 /invocations /ping",
		`{"serverProtocol":"HTTP"}`: "8080 /invocations /ping",
		`{"serverProtocol":"MCP"}`:  "8000 /mcp ",
		`{"serverProtocol":"A2A"}`:  "9000 / /ping",
		`{"serverProtocol":"HTTP","port":8123,"path":"/run"}`: "8123 /run /ping",
	} {
		k := contractOf(document{"protocolConfiguration": json.RawMessage(raw)})
		if got := fmt.Sprintln(k.port, k.path, k.ping); strings.TrimRight(got, "\n") != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}
