// Package examples_test runs the starter repository as its readers would: the
// agent's own tests, the infrastructure's, and the agent's image on the local
// cloud.
package examples_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/needs"
	"github.com/slipway-cd/slipway/internal/process"
)

const agentDir = "starter/apps/customer-service-agent"

// TestStarterAgent runs the agent's own tests, which need nothing but Python.
func TestStarterAgent(t *testing.T) {
	t.Run("tests", func(t *testing.T) {
		needsPython(t)
		run(t, agentDir, clean(nil), "python3", "-B", "-m", "unittest")
	})
	t.Run("format", func(t *testing.T) {
		black := needs.Program(t, "black")
		run(t, agentDir, clean(map[string]string{"BLACK_CACHE_DIR": t.TempDir()}), black, "--check", "--quiet", ".")
	})
}

func needsPython(t *testing.T) {
	t.Helper()
	needs.Part(t, "python3", exec.Command("python3", "-c", "import sys; sys.exit(sys.version_info < (3, 11))").Run() == nil)
}

// TestStarterInfrastructure runs the CDK app's tests and its synth with no
// credentials, no home and, where the kernel lets a test give it up, no
// network; then it holds the templates to slipway.yaml.
func TestStarterInfrastructure(t *testing.T) {
	t.Parallel()
	needs.Part(t, "cdk", exec.Command("npm", "--version").Run() == nil)
	dir := filepath.Join(t.TempDir(), "infra")
	copyTree(t, "starter/infra", dir)
	install := exec.CommandContext(t.Context(), "npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir, install.Env = dir, clean(nil)
	if out, err := install.CombinedOutput(); err != nil {
		t.Logf("npm ci: %v\n%s", err, out)
		needs.Part(t, "cdk", false) // npm's registry is part of it
	}
	nobody := clean(map[string]string{"HOME": t.TempDir(), "CI": "1"})
	var alone []string
	if exec.Command("unshare", "-rn", "true").Run() == nil {
		alone = []string{"unshare", "-rn"}
	}
	run(t, dir, nobody, append(alone, "npm", "test")...)
	run(t, dir, nobody, append(alone, "npm", "run", "synth")...)
	t.Run("as slipway.yaml says", func(t *testing.T) { compareTemplates(t, dir) })
	t.Run("cfn-lint", func(t *testing.T) {
		lint := needs.Program(t, "cfn-lint")
		files, err := filepath.Glob(filepath.Join(dir, "cdk.out", "*.template.json"))
		if err != nil || len(files) != 6 {
			t.Fatalf("templates: %v, %v", files, err)
		}
		run(t, dir, clean(nil), append([]string{lint}, files...)...)
	})
}

// template is what the tests look at of a CloudFormation template.
type template struct {
	Parameters map[string]struct{ Type, Default string }
	Resources  map[string]struct {
		Type       string
		Properties map[string]any
	}
}

func readTemplate(t *testing.T, dir, stack string) template {
	t.Helper()
	var read template
	text, err := os.ReadFile(filepath.Join(dir, "cdk.out", stack+".template.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// property is a property of the only resource of a type, nil where there is none.
func (s template) property(kind, name string) any {
	for _, r := range s.Resources {
		if r.Type == kind {
			return r.Properties[name]
		}
	}
	return nil
}

// compareTemplates holds the names that slipway.yaml and the CDK app both
// write to each other.
func compareTemplates(t *testing.T, dir string) {
	file, err := config.Load("starter/slipway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	agent := file.Agents()[0]
	for _, e := range file.Environments() {
		base := readTemplate(t, dir, "CustomerServiceAgentBaseStack-"+e.Name)
		stack := readTemplate(t, dir, "CustomerServiceAgentStack-"+e.Name)
		var endpoint any
		if e.Endpoint != "" && e.Endpoint != "DEFAULT" {
			endpoint = e.Endpoint
		}
		role, _ := base.property("AWS::IAM::Role", "RoleName").(string)
		for what, pair := range map[string][2]any{
			"repository":     {base.property("AWS::ECR::Repository", "RepositoryName"), agent.RepositoryIn(e.Name)},
			"execution role": {"arn:aws:iam::" + e.Account + ":role/" + role, e.ExecutionRole},
			"runtime-id":     {stack.property("AWS::SSM::Parameter", "Name"), "/" + agent.Name + "/" + e.Name + "/runtime-id"},
			"endpoint":       {stack.property("AWS::BedrockAgentCore::RuntimeEndpoint", "Name"), endpoint},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: the %s is %v in the template, %v in slipway.yaml", e.Name, what, pair[0], pair[1])
			}
		}
		if want, got := pullers(file, e), base.property("AWS::ECR::Repository", "RepositoryPolicyText"); !strings.Contains(marshal(t, got), marshal(t, want)) {
			t.Errorf("%s: pulled by %s, the template has %s", e.Name, marshal(t, want), marshal(t, got))
		}
		image := "/" + agent.Name + "/" + e.Name + "/image-uri"
		if !slices.ContainsFunc(slices.Collect(maps.Values(stack.Parameters)), func(p struct{ Type, Default string }) bool {
			return p.Type == "AWS::SSM::Parameter::Value<String>" && p.Default == image
		}) {
			t.Errorf("%s: the runtime's image is not read from %s", e.Name, image)
		}
	}
}

// pullers are the conditions of a repository's policy: the deploy roles of
// other accounts that promote from it.
func pullers(file *config.File, from config.Environment) any {
	for _, e := range file.Environments() {
		if e.After == from.Name && e.Account != from.Account {
			return map[string]any{"ArnEquals": map[string][]string{"aws:PrincipalArn": {e.DeployRole}}}
		}
	}
	return nil
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestStarterImage builds the agent's image with the starter's Dockerfile, on
// a base with a Python, and lets it serve in the local cloud: the README's
// commands.
func TestStarterImage(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: agents run on Linux")
	}
	needs.Part(t, "docker", exec.Command("docker", "version").Run() == nil)
	w := newWorld(t)
	w.env["DOCKER_CONFIG"] = dockerConfig(t)
	foreign := foreignBase(t)
	w.edit(t, "slipway.yaml", "build: {engine: docker, ", "build: {engine: docker, args: {BASE: "+foreign+"}, ")
	w.git(t, "commit", "-q", "-m", "the starter")

	// No step of the Dockerfile runs a program: what AgentCore wants, any machine builds.
	var built struct{ Image struct{ Platform string } }
	w.json(t, &built, "build", "--env", "dev")
	if built.Image.Platform != "linux/arm64" {
		t.Errorf("built for %q", built.Image.Platform)
	}

	w.edit(t, "slipway.yaml", foreign, pythonBase(t))
	if runtime.GOARCH == "amd64" {
		run(t, w.dir, os.Environ(), "sh", "-c", readme(t, "sed "))
	}
	w.git(t, "commit", "-q", "-m", "for this machine")
	w.cloud(t)
	w.env["AGENT_SECURITY_GROUP_ID"], w.env["AGENT_SUBNET_IDS"] = "sg-0123456789abcdef0", "subnet-0123456789abcdef0,subnet-0fedcba9876543210"
	w.run(t, "local", "repository", "acme@1001/agents@2002", "--reader", "octocat", "--reader", "hubot", "--member", "acme/platform=hubot")
	w.run(t, "bootstrap", "--env", "dev", "--execution-role", "--create", "--yes")
	if out := w.run(t, "invoke", "--env", "dev", "Where is order 1001?"); !strings.Contains(out, `"reply": "Order 1001 is on its way."`) {
		t.Errorf("the agent answers %s", out)
	}
	out := w.run(t, "invoke", "--env", "dev", `{"prompt": "order 1003", "stream": true}`)
	if !strings.HasPrefix(out, "data: {\"text\": \"Order \"}\n\ndata: ") || !strings.Contains(out, `data: {"done": true, "session": "`) {
		t.Errorf("the agent streams %s", out)
	}

	w.edit(t, "apps/customer-service-agent/customer_service_agent/tools.py", `"1001": "on its way"`, `"1001": "at your door"`)
	w.git(t, "commit", "-q", "-m", "order 1001 has arrived")
	w.run(t, "local", "job", "--repository", "acme@1001/agents@2002", "--environment", "dev", "--", w.slipway, "deploy", "--env", "dev")
	if out := w.run(t, "invoke", "--env", "dev", "Where is order 1001?"); !strings.Contains(out, "Order 1001 is at your door.") {
		t.Errorf("after a push, the agent answers %s", out)
	}

	w.run(t, "bootstrap", "--env", "stg", "--execution-role", "--create", "--yes")
	t.Run("act", w.delivers)
}

// TestStarterWorkflows: the workflows that are kept are those that slipway.yaml
// makes, and nothing is wrong with them.
func TestStarterWorkflows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git(t, "commit", "-q", "-m", "the starter")
	w.run(t, "workflow", "generate", "--check")
	w.run(t, "workflow", "check")
}

// world is a copy of the starter with a local cloud of its own.
type world struct {
	dir, slipway string
	env          map[string]string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: filepath.Join(t.TempDir(), "agents"), slipway: filepath.Join(t.TempDir(), "slipway"), env: map[string]string{}}
	run(t, "..", os.Environ(), "go", "build", "-buildvcs=false", "-o", w.slipway, "./cmd/slipway")
	copyTree(t, "starter", w.dir)
	w.git(t, "init", "-q", "-b", "main")
	return w
}

func (w *world) run(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, w.dir, clean(w.env), append([]string{w.slipway}, args...)...)
}

func (w *world) json(t *testing.T, into any, args ...string) {
	t.Helper()
	if err := json.Unmarshal([]byte(w.run(t, append(args, "-o", "json")...)), into); err != nil {
		t.Fatal(err)
	}
}

// git commits what there is, and does all else as it is told.
func (w *world) git(t *testing.T, args ...string) {
	t.Helper()
	if args[0] == "commit" {
		run(t, w.dir, os.Environ(), "git", "add", "-A")
	}
	run(t, w.dir, os.Environ(), append([]string{"git", "-c", "user.name=starter", "-c", "user.email=starter@example.com"}, args...)...)
}

func (w *world) edit(t *testing.T, file, before, after string) {
	t.Helper()
	file = filepath.Join(w.dir, file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(before)) {
		t.Fatalf("%s has no %q", file, before)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte(before), []byte(after)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// cloud starts a local cloud, and makes the world its administrator's.
func (w *world) cloud(t *testing.T) {
	t.Helper()
	cmd := exec.Command(w.slipway, "local", "up", "--listen", "127.0.0.1:0", "--settle", "100ms")
	cmd.Dir, cmd.Env = w.dir, clean(nil)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil { // its address: it serves
		t.Fatalf("the local cloud does not serve: %v", err)
	}
	var administrator struct{ Variables map[string]string }
	w.json(t, &administrator, "local", "env")
	maps.Copy(w.env, administrator.Variables)
}

// readme is the line of the starter's README that begins so.
func readme(t *testing.T, beginning string) string {
	t.Helper()
	text, err := os.ReadFile("starter/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, beginning) {
			return line
		}
	}
	t.Fatalf("the README has no line %s…", beginning)
	return ""
}

// dockerConfig is a DOCKER_CONFIG with buildx, where it is on this machine and
// not Docker's own.
func dockerConfig(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	buildx, err := exec.LookPath("buildx")
	if err != nil {
		return dir
	}
	plugins := filepath.Join(dir, "cli-plugins")
	if err := errors.Join(os.Mkdir(plugins, 0o755), os.Symlink(buildx, filepath.Join(plugins, "docker-buildx"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// pythonBase is an image with a Python, in the daemon for this test: Debian's
// where its mirror answers, or else this machine's. One that is pulled would
// want a registry, which no test has.
func pythonBase(t *testing.T) string {
	t.Helper()
	const tag = "slipway-starter/python:3"
	archive := filepath.Join(t.TempDir(), "python.tar")
	bin, err := "/usr/bin", debian(t, archive)
	if err != nil {
		t.Logf("SKIPPED: a base of Debian's own: %v. It is of this machine's Python", err)
		bin = machine(t, archive)
	}
	run(t, ".", os.Environ(), "docker", "import", "--change", "ENV PATH="+bin+":/usr/bin:/bin", archive, tag)
	t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", "--force", tag).Run() })
	return tag
}

// mirrorLimit is how long Debian's mirror may take; half a minute is usual.
const mirrorLimit = 2 * time.Minute

// debian archives what Debian's Python needs, or says why it can't.
func debian(t *testing.T, archive string) error {
	t.Helper()
	_, err := exec.LookPath("debootstrap")
	there := err == nil && os.Geteuid() == 0
	if needs.Required("debootstrap") {
		needs.Part(t, "debootstrap", there)
	}
	if !there {
		return errors.New("debootstrap is not here, or not root's")
	}
	script, err := filepath.Abs("testdata/python.debootstrap")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root")
	ctx, cancel := context.WithTimeout(t.Context(), mirrorLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "debootstrap", "--foreign", "bookworm", root, "http://deb.debian.org/debian", script)
	process.OwnGroup(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("debootstrap: %w: %s", cmp.Or(ctx.Err(), err), bytes.TrimSpace(out[max(0, len(out)-200):]))
	}
	run(t, root, os.Environ(), "tar", "--create", "--file", archive, "--exclude=./debootstrap", "--exclude=./var", ".")
	return nil
}

// machine archives this machine's Python: the interpreter, its library, and the
// shared libraries of both. It returns the interpreter's directory.
func machine(t *testing.T, archive string) string {
	t.Helper()
	needsPython(t)
	where := run(t, ".", clean(nil), "python3", "-c", "import sys, sysconfig; print(sys.base_prefix); print(sysconfig.get_path('stdlib'))")
	prefix, library, _ := strings.Cut(strings.TrimSpace(where), "\n")
	python := filepath.Join(prefix, "bin/python3")
	modules, err := filepath.Glob(filepath.Join(library, "lib-dynload/*.so"))
	if err != nil {
		t.Fatal(err)
	}
	files := append(libraries(t, append(modules, python)), python, library)
	run(t, "/", clean(nil), append([]string{"tar", "--create", "--dereference", "--file", archive, "--exclude=__pycache__", "--exclude=config-*",
		"--exclude=site-packages", "--exclude=test"}, files...)...)
	return filepath.Dir(python)
}

// libraries are the shared libraries that programs load, the loader included.
func libraries(t *testing.T, programs []string) []string {
	t.Helper()
	found := map[string]bool{}
	for line := range strings.Lines(run(t, ".", clean(nil), append([]string{"ldd"}, programs...)...)) {
		for word := range strings.FieldsSeq(line) {
			if strings.HasPrefix(line, "\t") && filepath.IsAbs(word) {
				found[word] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// foreignBase is an image with nothing in it, for arm64.
func foreignBase(t *testing.T) string {
	t.Helper()
	const tag = "slipway-starter/nothing:arm64"
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		err := w.WriteHeader(&tar.Header{Name: "app/", Mode: 0o755, Typeflag: tar.TypeDir})
		return io.NopCloser(&b), errors.Join(err, w.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	settings.OS, settings.Architecture = "linux", "arm64"
	if image, err = mutate.ConfigFile(image, settings); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "nothing.tar")
	if err := tarball.WriteToFile(archive, name.MustParseReference(tag), image); err != nil {
		t.Fatal(err)
	}
	run(t, ".", os.Environ(), "docker", "load", "--quiet", "--input", archive)
	t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", "--force", tag).Run() })
	return tag
}

// clean is the environment without what could reach a cloud by accident: AWS
// and GitHub settings, a job's variables. What is given comes besides.
func clean(more map[string]string) []string {
	var env []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if _, given := more[name]; given || strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "GITHUB_") ||
			strings.HasPrefix(name, "ACTIONS_") || strings.HasPrefix(name, "SLIPWAY_") || name == "GH_TOKEN" || name == "CI" {
			continue
		}
		env = append(env, pair)
	}
	for name, value := range more {
		env = append(env, name+"="+value)
	}
	return env
}

// run runs a command, which has to end well, and returns its stdout.
func run(t *testing.T, dir string, env []string, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(command, " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

// copyTree copies what git would: nothing that a reader's own npm or Python
// has left there.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{"node_modules", "dist", "cdk.out", "infra/node_modules", "infra/dist", "infra/cdk.out", ".slipway"} {
		if err := os.RemoveAll(filepath.Join(to, left)); err != nil {
			t.Fatal(err)
		}
	}
}
