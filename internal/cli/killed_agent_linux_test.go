package cli

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/slipway-cd/slipway/internal/needs"
	"github.com/slipway-cd/slipway/internal/sim"
)

// TestNoAgentOutlivesItsCloud: however the program ends, an agent that has let
// go of its children, all of them deaf to signals, is gone with them.
func TestNoAgentOutlivesItsCloud(t *testing.T) {
	needs.Program(t, "go")
	// In Docker, what a killed cloud has left ends when the next one starts.
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	needs.Part(t, "namespaces", probe.Run() == nil)
	img := stubbornImage(t)
	for name, end := range map[string]os.Signal{"killed": syscall.SIGKILL, "terminated": syscall.SIGTERM, "interrupted": os.Interrupt} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cloud")
			s := upCloud(t, dir)
			setUpKilled(t, s)
			mark := fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
			runStubborn(t, s, dir, img, mark)
			if got := staying(t, mark); len(got) != 3 {
				t.Fatalf("%d processes have left their agent", len(got))
			}
			if err := s.cmd.Process.Signal(end); err != nil {
				t.Fatal(err)
			}
			_ = s.cmd.Wait() // as it was told
			for deadline := time.Now().Add(30 * time.Second); len(staying(t, mark)) > 0; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("they outlive the cloud: %v", staying(t, mark))
				}
			}
		})
	}
}

// staying lists the processes that a stubborn agent has left behind.
func staying(t *testing.T, mark string) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		raw, err := os.ReadFile(name) // one that has ended has none
		if err == nil && bytes.Contains(raw, []byte("stay\x00"+mark)) {
			found = append(found, name)
		}
	}
	return found
}

// stubbornImage is an image of the sandbox's own test agent.
func stubbornImage(t *testing.T) v1.Image {
	t.Helper()
	out := filepath.Join(t.TempDir(), "agent")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", out, "../sim/sandbox/testdata/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if raw, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the agent: %v\n%s", err, raw)
	}
	program, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	if err := w.WriteHeader(&tar.Header{Name: "agent", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(program); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, Config: v1.Config{Entrypoint: []string{"/agent"}}})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// runStubborn deploys the image and invokes it, so that it runs.
func runStubborn(t *testing.T, s *killedServer, dir string, img v1.Image, mark string) {
	t.Helper()
	ctx := t.Context()
	name := strings.TrimPrefix(s.base, "http://") + "/" + killedRepository + ":stubborn"
	if err := crane.Push(img, name, crane.Insecure, crane.WithAuth(&authn.Basic{Username: "AWS", Password: s.password})); err != nil {
		t.Fatal(err)
	}
	made, err := s.core.CreateAgentRuntime(ctx, &bedrockagentcorecontrol.CreateAgentRuntimeInput{AgentRuntimeName: aws.String("stubborn"),
		RoleArn: aws.String("arn:aws:iam::" + sim.DefaultAccount + ":role/exec"),
		AgentRuntimeArtifact: &types.AgentRuntimeArtifactMemberContainerConfiguration{Value: types.ContainerConfiguration{
			ContainerUri: aws.String(sim.DefaultAccount + ".dkr.ecr." + sim.DefaultRegion + ".amazonaws.com/" + killedRepository + ":stubborn")}},
		NetworkConfiguration: &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic},
		CapacityProviderConfiguration: &types.CapacityProviderConfiguration{
			CapacityProviderArn: aws.String("arn:aws:bedrock-agentcore:us-east-1:111122223333:capacity-provider/x")},
		EnvironmentVariables: map[string]string{"MODE": "stubborn", "MARK": mark}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	env, err := c.administrator(ctx, sim.DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	data := bedrockagentcore.New(bedrockagentcore.Options{Region: sim.DefaultRegion, BaseEndpoint: &s.base, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], "")})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, err := data.InvokeAgentRuntime(ctx, &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: made.AgentRuntimeArn, Payload: []byte(`{}`)})
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
