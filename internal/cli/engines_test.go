package cli

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/build"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/ecr"
	"github.com/slipway-cd/slipway/internal/needs"
	"github.com/slipway-cd/slipway/internal/registry"
)

// engineTool is the program of the base image: what RUN runs.
const engineTool = `package main

import (
	"fmt"
	"os"
)

func main() {
	secret, err := os.ReadFile("/run/secrets/token")
	if err != nil {
		panic(err)
	}
	fmt.Printf("installed with %s\n", secret)
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "no such package:", os.Args[1])
		os.Exit(3)
	}
}
`

// TestEngines deploys an agent from a Dockerfile by each engine that needs a
// daemon, onto the local cloud: its base comes from the cloud's own registry
// by an ECR login, a step mounts a secret, and the agent serves.
func TestEngines(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: agents run on Linux")
	}
	t.Run("docker", func(t *testing.T) {
		needs.Part(t, "docker", exec.Command("docker", "version").Run() == nil)
		deployByEngine(t, "docker")
	})
	t.Run("buildkit", func(t *testing.T) {
		needs.Part(t, "buildkit", os.Getenv("BUILDKIT_HOST") != "" && exec.Command("buildctl", "debug", "workers").Run() == nil)
		deployByEngine(t, "buildkit")
	})
}

// runDeploy deploys to dev with the real program; it returns the exit code and
// stderr.
func (d *demo) runDeploy(t *testing.T, env map[string]string, args ...string) (int, string) {
	t.Helper()
	o, _, err := d.slipway(t.Context(), env, append([]string{"deploy", "--env", "dev"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return o.code, o.stderr
}

func deployByEngine(t *testing.T, engine string) {
	d := newTestWorld(t)
	admin, err := d.api.administrator(t.Context(), demoAccount)
	if err != nil {
		t.Fatal(err)
	}
	secret := fmt.Sprintf("package-token-%d", time.Now().UnixNano())
	admin["PACKAGE_TOKEN"] = secret
	bases := toolRepository(t, d, admin)
	admin["DOCKER_CONFIG"] = dockerLogin(t, d, bases)
	d.useEngine(t, engine, "")
	if code, stderr := d.runDeploy(t, admin, "--create", "--yes"); code != 0 || !strings.Contains(stderr, `true ["/app/tool"]  `) ||
		strings.Contains(stderr, secret) {
		t.Fatalf("create: exit %d\n%s", code, stderr)
	}
	if _, err := bases.Resolve(t.Context(), "cache"); err != nil && engine == "buildkit" {
		t.Errorf("the cache did not reach the cloud's registry: %v", err)
	}
	d.useEngine(t, engine, `"again"`) // the step fails
	code, stderr := d.runDeploy(t, admin, "--yes")
	if code != 1 || strings.Contains(stderr, secret) {
		t.Errorf("a failing step: exit %d\n%s", code, stderr)
	}
	for _, want := range []string{"building with " + engine + ": step #", "exit code: 3", "installed with ***", "no such package: again"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("a failing step lacks %q:\n%s", want, stderr)
		}
	}
	delete(admin, "PACKAGE_TOKEN")
	code, stderr = d.runDeploy(t, admin, "--yes")
	if code != 2 || !strings.Contains(stderr, "slipway.yaml:8:") || !strings.Contains(stderr, "PACKAGE_TOKEN is not set") {
		t.Errorf("a secret that is missing: exit %d\n%s", code, stderr)
	}
}

// toolRepository is a repository of the cloud with the base image in it.
func toolRepository(t *testing.T, d *demo, admin map[string]string) *registry.Repository {
	t.Helper()
	session, err := awsauth.Source{Getenv: func(name string) string { return admin[name] }, Region: demoRegion}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ecr.New(session.Config(awsauth.ECR)).CreateRepository(t.Context(), "bases/tool"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module example.com/tool\n\ngo 1.24\n", "main.go": engineTool} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	platform, _ := hostPlatform(demoAccount)
	base, err := (&build.Go{Env: d.Env}).Build(t.Context(), delivery.BuildRequest{Source: delivery.Source{Dir: dir}, Platform: platform})
	if err != nil {
		t.Fatal(err)
	}
	images, err := repository(session, delivery.Target{Region: demoRegion}, demoAccount+".dkr.ecr."+demoRegion+".amazonaws.com", "bases/tool")
	if err != nil {
		t.Fatal(err)
	}
	if err := images.Push(t.Context(), base, "1", nil); err != nil {
		t.Fatal(err)
	}
	return images
}

// dockerLogin is a DOCKER_CONFIG as docker login leaves it, with buildx where
// it is on this machine.
func dockerLogin(t *testing.T, d *demo, images *registry.Repository) string {
	t.Helper()
	user, password, _, err := images.Auth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config := t.TempDir()
	login := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, d.registryHost(), base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	buildx, err := exec.LookPath("buildx")
	if err != nil {
		return config
	}
	plugins := filepath.Join(config, "cli-plugins")
	if err := errors.Join(os.Mkdir(plugins, 0o755), os.Symlink(buildx, filepath.Join(plugins, "docker-buildx"))); err != nil {
		t.Fatal(err)
	}
	return config
}

func (d *demo) registryHost() string { return strings.TrimPrefix(d.cloud.address, "http://") }

// useEngine commits a Dockerfile and the settings that go with it. The agent's
// program, which git ignores, is built of the commit.
func (d *demo) useEngine(t *testing.T, engine, arguments string) {
	t.Helper()
	platform, _ := hostPlatform(demoAccount)
	yaml, err := os.ReadFile(filepath.Join(d.repo, "slipway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tool := `["/app/tool"]`
	if arguments != "" {
		tool = `["/app/tool", ` + arguments + `]`
	}
	cache := "" // the builder inside Docker's daemon writes none
	if engine == "buildkit" {
		cache = `, cache_to: ["type=registry,ref=` + d.registryHost() + `/bases/tool:cache,mode=max,image-manifest=true,oci-mediatypes=true"]`
	}
	dockerfile := "FROM " + d.registryHost() + "/bases/tool:1\nUSER 0:0\nRUN --mount=type=secret,id=token,required=true " + tool +
		"\nCOPY agent /app/agent\nUSER 65532\nEXPOSE 8080\nENTRYPOINT [\"/app/agent\"]\n"
	for name, content := range map[string]string{
		"slipway.yaml": strings.Replace(string(yaml), "{engine: go, platform: "+platform+"}",
			"{engine: "+engine+", platform: "+platform+", secrets: {token: {env: PACKAGE_TOKEN}}"+cache+"}", 1),
		"support/Dockerfile": dockerfile, ".gitignore": "/support/agent\n"} {
		if err := os.WriteFile(filepath.Join(d.repo, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.commit(t.Context(), fmt.Sprintf("var tools = []string{%q}", engine+arguments), engine); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", "agent", ".")
	cmd.Dir, cmd.Env = filepath.Join(d.repo, "support"), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestInterruptedEngine: an interrupt ends the client of a daemon too, at once
// and with nothing left behind, and the exit code says so.
func TestInterruptedEngine(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: a shell script stands in for buildctl")
	}
	d := newTestWorld(t)
	d.useEngine(t, "buildkit", "")
	bin, temp := t.TempDir(), t.TempDir()
	started := filepath.Join(bin, "started")
	script := "#!/bin/sh\ncase \"$2\" in --help) exit 0;; esac\ntouch '" + started + "'\nsleep 600\n"
	if err := os.WriteFile(filepath.Join(bin, "buildctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(d.Executable, "build", "--env", "dev")
	cmd.Dir = d.repo
	cmd.Env = append(jobEnviron(d.Env, nil), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "TMPDIR="+temp, "PACKAGE_TOKEN=x-y-z")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		if _, err := os.Stat(started); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to be told by
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(stderr.String(), "interrupted during build") {
		t.Errorf("exit %d, %v\n%s", code, err, stderr.String())
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
