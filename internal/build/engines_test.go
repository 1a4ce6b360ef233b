//go:build unix

package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/needs"
)

// engine is one way to build a Dockerfile on the machine at hand.
type engine struct {
	name string
	env  []string
	// exports says that the engine yields what BuildKit exports, rather than
	// what an image store has kept.
	exports bool
	make    func(d Dockerfile, env []string) delivery.Builder
}

// answers says whether a program ends well.
func answers(env []string, program string, args ...string) bool {
	cmd := exec.Command(program, args...)
	cmd.Env = env
	return cmd.Run() == nil
}

// plainDocker is a docker that still builds without buildx (before 23), with
// a daemon that answers.
func plainDocker(t *testing.T) (string, []string) {
	t.Helper()
	env := append(offered(), "DOCKER_CONFIG="+t.TempDir())
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		docker := filepath.Join(dir, "docker")
		cmd := exec.Command(docker, "version", "--format", "{{.Client.Version}} {{.Server.Version}}")
		cmd.Env = env
		out, err := cmd.Output()
		major, convErr := strconv.Atoi(strings.SplitN(string(out), ".", 2)[0])
		if err == nil && convErr == nil && major < 23 {
			return docker, env
		}
	}
	needs.Part(t, "docker", false)
	return "", nil
}

// withBuildx is an environment in which docker has its plugin.
func withBuildx(t *testing.T) []string {
	t.Helper()
	buildx, err := exec.LookPath("buildx")
	needs.Part(t, "buildx", err == nil)
	config := t.TempDir()
	if err := os.Mkdir(filepath.Join(config, "cli-plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(buildx, filepath.Join(config, "cli-plugins", "docker-buildx")); err != nil {
		t.Fatal(err)
	}
	return append(offered(), "DOCKER_CONFIG="+config)
}

func needsDaemon(t *testing.T, env []string) {
	t.Helper()
	needs.Part(t, "docker", answers(env, "docker", "version"))
}

func needsBuildKit(t *testing.T) {
	t.Helper()
	needs.Part(t, "buildkit", os.Getenv("BUILDKIT_HOST") != "" && answers(os.Environ(), "buildctl", "debug", "workers"))
}

// eachEngine runs a test with each engine that there is.
func eachEngine(t *testing.T, test func(*testing.T, engine)) {
	t.Run("docker", func(t *testing.T) {
		command, env := plainDocker(t)
		test(t, engine{name: "docker", env: env, make: func(d Dockerfile, env []string) delivery.Builder {
			return &Docker{Dockerfile: d, Env: env, Command: command}
		}})
	})
	docker := func(d Dockerfile, env []string) delivery.Builder { return &Docker{Dockerfile: d, Env: env} }
	t.Run("buildx", func(t *testing.T) {
		env := withBuildx(t)
		needsDaemon(t, env)
		test(t, engine{name: "docker", env: env, make: docker})
	})
	eachExporter(t, test)
}

// eachExporter runs a test with each engine that exports as BuildKit does.
func eachExporter(t *testing.T, test func(*testing.T, engine)) {
	t.Run("buildx-remote", func(t *testing.T) {
		env := withBuildx(t)
		needsBuildKit(t)
		if !answers(env, "docker", "buildx", "create", "--driver=remote", "--name=far", os.Getenv("BUILDKIT_HOST")) {
			t.Fatal("docker buildx create failed")
		}
		test(t, engine{name: "docker", env: append(env, "BUILDX_BUILDER=far"), exports: true,
			make: func(d Dockerfile, env []string) delivery.Builder { return &Docker{Dockerfile: d, Env: env} }})
	})
	t.Run("buildkit", func(t *testing.T) {
		needsBuildKit(t)
		test(t, engine{name: "buildkit", env: offered(), exports: true,
			make: func(d Dockerfile, env []string) delivery.Builder { return &Buildctl{Dockerfile: d, Env: env} }})
	})
}

// shell is the program of testdata/shell, built once.
var shell = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "shell-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, "sh"), "./testdata/shell")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(filepath.Join(dir, "sh"))
})

// shellContext is a repository with a Dockerfile and the shell.
func shellContext(t *testing.T, dockerfile string) delivery.Source {
	t.Helper()
	program, err := shell()
	if err != nil {
		t.Fatal(err)
	}
	dir := tree(t, map[string]string{"Dockerfile": dockerfile})
	if err := os.WriteFile(filepath.Join(dir, "sh"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	gitIn(t, dir, "init", "-q")
	gitIn(t, dir, "add", ".")
	gitIn(t, dir, "commit", "-q", "-m", "first")
	return source(t, dir)
}

// told is what a build told while it ran.
type told struct {
	mu    sync.Mutex
	lines []string
	steps []delivery.BuildStep
}

func (o *told) request(s delivery.Source, platform string) delivery.BuildRequest {
	return delivery.BuildRequest{Source: s, Platform: platform,
		Progress: func(line string) { o.mu.Lock(); defer o.mu.Unlock(); o.lines = append(o.lines, line) },
		Step:     func(s delivery.BuildStep) { o.mu.Lock(); defer o.mu.Unlock(); o.steps = append(o.steps, s) }}
}

// step returns the finished step whose name holds text.
func (o *told) step(t *testing.T, text string) delivery.BuildStep {
	t.Helper()
	for _, s := range o.steps {
		if s.Done && strings.Contains(s.Name, text) {
			return s
		}
	}
	t.Fatalf("no step with %q has ended: %+v\n%s", text, o.steps, strings.Join(o.lines, "\n"))
	return delivery.BuildStep{}
}

func (o *told) text() string {
	var b strings.Builder
	for _, s := range o.steps {
		fmt.Fprintln(&b, s.Name)
	}
	return b.String() + strings.Join(o.lines, "\n")
}

// host is the platform whose programs the builders here can run.
func host(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOHOSTARCH").Output()
	if err != nil {
		t.Fatal(err)
	}
	return "linux/" + strings.TrimSpace(string(out))
}

// built builds, and has the image's files removed at the end.
func built(t *testing.T, b delivery.Builder, req delivery.BuildRequest) delivery.Image {
	t.Helper()
	img, err := b.Build(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := img.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return img
}

// contents unpacks all layers, the later over the earlier, and checks every
// digest and diff id on the way.
func contents(t *testing.T, img delivery.Image) (map[string]string, v1.ConfigFile) {
	t.Helper()
	m := manifestOf(t, img)
	var config v1.ConfigFile
	if err := json.Unmarshal(blob(t, img, m.Config), &config); err != nil {
		t.Fatal(err)
	}
	if len(config.RootFS.DiffIDs) != len(m.Layers) {
		t.Fatalf("%d diff ids for %d layers", len(config.RootFS.DiffIDs), len(m.Layers))
	}
	files := map[string]string{}
	for i, layer := range m.Layers {
		if layer.MediaType != "application/vnd.oci.image.layer.v1.tar+gzip" {
			t.Errorf("layer %d is %s", i, layer.MediaType)
		}
		zipped, err := gzip.NewReader(bytes.NewReader(blob(t, img, layer)))
		if err != nil {
			t.Fatal(err)
		}
		bare, err := io.ReadAll(zipped)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(bare); hex.EncodeToString(sum[:]) != config.RootFS.DiffIDs[i].Hex {
			t.Errorf("layer %d is %x, not %s", i, sum, config.RootFS.DiffIDs[i])
		}
		for r := tar.NewReader(bytes.NewReader(bare)); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			raw, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			files[strings.TrimPrefix(h.Name, "/")] = string(raw)
		}
	}
	return files, config
}

func nonce() string { return hex.EncodeToString(unique()) }

const everything = `FROM scratch AS base
COPY sh /bin/sh
FROM base AS made
ARG GREETING
ARG NONCE
RUN write /out/greeting $GREETING
RUN --mount=type=secret,id=token sum /run/secrets/token /out/env-sum
RUN --mount=type=secret,id=netrc sum /run/secrets/netrc /out/file-sum
RUN --mount=type=secret,id=token --mount=type=secret,id=netrc show /run/secrets/token
FROM scratch AS wanted
COPY --from=made /out/ /app/
USER 65532
EXPOSE 8080
ENTRYPOINT ["/app/agent"]
FROM base AS unwanted
RUN fail 1 this stage was not asked for
`

// TestDockerfile builds one Dockerfile with all that an order can hold, by
// every engine, and looks for the secrets in all that comes of it.
func TestDockerfile(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		s := shellContext(t, everything)
		secret, netrc := "value-"+nonce(), "machine m login l password file-"+nonce()+"\n"
		file := filepath.Join(t.TempDir(), "net,rc") // a comma must not end the path
		if err := os.WriteFile(file, []byte(netrc), 0o600); err != nil {
			t.Fatal(err)
		}
		d := Dockerfile{Target: "wanted", Args: map[string]string{"GREETING": "good day, all", "NONCE": nonce()},
			Secrets: []Secret{{ID: "token", Env: "REGISTRY_TOKEN"}, {ID: "netrc", File: file}}}
		var o told
		temp := t.TempDir()
		img := built(t, e.make(d, append(e.env, "REGISTRY_TOKEN="+secret, "TMPDIR="+temp)), o.request(s, host(t)))
		files, config := contents(t, img)
		for name, want := range map[string]string{"app/greeting": "good day, all",
			"app/env-sum": sum(secret), "app/file-sum": sum(netrc)} {
			if files[name] != want {
				t.Errorf("%s is %q, want %q", name, files[name], want)
			}
		}
		if files["bin/sh"] != "" || config.Config.User != "65532" || config.Config.Labels["org.opencontainers.image.revision"] != s.Revision {
			t.Errorf("configuration %+v", config.Config)
		}
		o.step(t, "RUN write /out/greeting")
		if !strings.Contains(o.text(), "the file says: ***") {
			t.Errorf("the log does not show that a secret was hidden:\n%s", o.text())
		}
		raw, _, err := img.Manifest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		places := map[string]string{"the log": o.text(), "the manifest": string(raw), "the configuration": string(blob(t, img, manifestOf(t, img).Config))}
		for name, content := range files {
			places[name] = content
		}
		for place, text := range places {
			if strings.Contains(text, secret) || strings.Contains(text, strings.Fields(netrc)[5]) {
				t.Errorf("a secret is in %s", place)
			}
		}
		if err := img.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
		empties(t, temp)
	})
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

// empties checks that a build has left nothing behind.
func empties(t *testing.T, temp string) {
	t.Helper()
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// baseImage pushes an image that holds the shell to a registry of this test.
func baseImage(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New())
	t.Cleanup(server.Close)
	program, err := shell()
	if err != nil {
		t.Fatal(err)
	}
	packed, _, err := pack([]file{{name: "bin/sh", mode: 0o755, content: program}}, time.Unix(1600000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", strings.TrimPrefix(host(t), "linux/")
	config.Config.Env = []string{"FROM_BASE=yes"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/bases/shell:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

func TestBaseFromARegistry(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		s := shellContext(t, "FROM "+baseImage(t)+"\nARG NONCE\nRUN write /made $FROM_BASE $NONCE\n")
		var o told
		n := nonce()
		files, config := contents(t, built(t, e.make(Dockerfile{Args: map[string]string{"NONCE": n}}, e.env), o.request(s, host(t))))
		if files["made"] != "yes "+n || !slices.Contains(config.Config.Env, "FROM_BASE=yes") {
			t.Errorf("made %q, env %v", files["made"], config.Config.Env)
		}
	})
}

func TestForAnotherPlatform(t *testing.T) {
	other := "linux/arm64"
	if host(t) == other {
		other = "linux/amd64"
	}
	eachEngine(t, func(t *testing.T, e engine) {
		s := shellContext(t, "FROM scratch\nCOPY Dockerfile /app/\n")
		var o told
		files, config := contents(t, built(t, e.make(Dockerfile{}, e.env), o.request(s, other)))
		if got := config.OS + "/" + config.Architecture; got != other || files["app/Dockerfile"] == "" {
			t.Errorf("built for %s, want %s", got, other)
		}
	})
}

func TestFailingStep(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		s := shellContext(t, "FROM scratch\nCOPY sh /bin/sh\nRUN --mount=type=secret,id=token fail 7 the dependency is not there: $PASSWORD "+nonce()+"\n")
		var o told
		temp := t.TempDir()
		_, err := e.make(Dockerfile{}, append(e.env, "TMPDIR="+temp)).Build(t.Context(), o.request(s, host(t)))
		if delivery.KindOf(err) != delivery.KindFailed {
			t.Fatalf("%v, want KindFailed", err)
		}
		for _, want := range []string{"building with " + e.name + ": step #", "RUN --mount=type=secret,id=token fail 7", "exit code: 7", "…\nline 3", "the dependency is not there"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error lacks %q:\n%v", want, err)
			}
		}
		if strings.Contains(err.Error(), "line 10\n") {
			t.Errorf("the error has more than the last lines:\n%v", err)
		}
		empties(t, temp)
	})
}

// TestWhatADockerfileLacks are the mistakes that are not a command's.
func TestWhatADockerfileLacks(t *testing.T) {
	tests := []struct {
		name, dockerfile string
		settings         Dockerfile
		kind             delivery.Kind
		says             string
	}{
		{"no such file", "FROM scratch\nCOPY absent /\n", Dockerfile{}, delivery.KindFailed, "absent"},
		{"no such instruction", "FROM scratch\nCOPPY sh /\n", Dockerfile{}, delivery.KindFailed, "COPPY"},
		{"no such stage", "FROM scratch AS a\nCOPY sh /\n", Dockerfile{Target: "b"}, delivery.KindConfig, "b"},
		{"no such secret", "FROM scratch\nCOPY sh /bin/sh\nRUN --mount=type=secret,id=npm,required=true show /run/secrets/npm\n", Dockerfile{}, delivery.KindConfig, "npm"},
		{"no Dockerfile", "FROM scratch\n", Dockerfile{Path: "other/Dockerfile"}, delivery.KindSource, "no such file"},
		{"outside", "FROM scratch\n", Dockerfile{Path: "../Dockerfile"}, delivery.KindConfig, "not within"},
		{"no base", "FROM 127.0.0.1:1/none:1\n", Dockerfile{}, delivery.KindFailed, "127.0.0.1:1"},
	}
	eachEngine(t, func(t *testing.T, e engine) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				s := shellContext(t, test.dockerfile)
				var o told
				_, err := e.make(test.settings, e.env).Build(t.Context(), o.request(s, host(t)))
				if err == nil || delivery.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%v (kind %s), want %s with %q", err, delivery.KindOf(err), test.kind, test.says)
				}
			})
		}
	})
}

func TestNoDaemon(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		s := shellContext(t, "FROM scratch\nCOPY sh /\n")
		nowhere := "unix://" + filepath.Join(t.TempDir(), "nobody.sock")
		env := slices.Concat(e.env, []string{"DOCKER_HOST=" + nowhere, "BUILDKIT_HOST=" + nowhere, "BUILDX_BUILDER=default"})
		_, err := e.make(Dockerfile{}, env).Build(t.Context(), delivery.BuildRequest{Source: s, Platform: host(t)})
		var known *delivery.Error
		if !errors.As(err, &known) || known.Kind != delivery.KindUnavailable || len(known.Hints) == 0 {
			t.Errorf("%v (kind %s), want KindUnavailable with a hint", err, delivery.KindOf(err))
		}
	})
}

func TestInterruptedBuild(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		s := shellContext(t, "FROM scratch\nCOPY sh /bin/sh\nARG NONCE\nRUN forever $NONCE\n")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		temp := t.TempDir()
		req := delivery.BuildRequest{Source: s, Platform: host(t), Progress: func(line string) {
			if strings.Contains(line, "still at it") {
				cancel()
			}
		}}
		_, err := e.make(Dockerfile{Args: map[string]string{"NONCE": nonce()}}, append(e.env, "TMPDIR="+temp)).Build(ctx, req)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		empties(t, temp)
	})
}

func prune(t *testing.T) {
	t.Helper()
	if !answers(os.Environ(), "buildctl", "prune", "--all") {
		t.Fatal("buildctl prune failed")
	}
}

// TestCacheAndReproducibility: a builder that knows nothing makes the same
// bytes of the same commit; one that is given the cache of another does not
// even run the steps.
func TestCacheAndReproducibility(t *testing.T) {
	const dockerfile = "FROM scratch AS base\nCOPY sh /bin/sh\nARG NONCE\nRUN write /out/made $NONCE\nFROM scratch\nCOPY --from=base /out /app\n"
	eachExporter(t, func(t *testing.T, e engine) {
		cache := filepath.Join(t.TempDir(), "cache")
		d := Dockerfile{Args: map[string]string{"NONCE": nonce()}, CacheTo: []string{"type=local,mode=max,dest=" + cache}}
		var manifests []string
		build := func(d Dockerfile) *told {
			var o told
			prune(t)
			raw, _, err := built(t, e.make(d, e.env), o.request(shellContext(t, dockerfile), host(t))).Manifest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			manifests = append(manifests, string(raw))
			return &o
		}
		if s := build(d).step(t, "RUN write"); s.Cached || s.Elapsed <= 0 {
			t.Errorf("the first build: %+v", s)
		}
		d.CacheTo = nil
		if s := build(d).step(t, "RUN write"); s.Cached {
			t.Errorf("a builder that knows nothing: %+v", s)
		}
		d.CacheFrom = []string{"type=local,src=" + cache}
		if s := build(d).step(t, "RUN write"); !s.Cached {
			t.Errorf("with the cache: %+v", s)
		}
		if manifests[0] != manifests[1] || manifests[0] != manifests[2] {
			t.Errorf("three builds of one commit differ:\n%s", strings.Join(manifests, "\n"))
		}
	})
}

// imageBuilder is a build that has been run.
type imageBuilder struct{ img delivery.Image }

func (b imageBuilder) Build(context.Context, delivery.BuildRequest) (delivery.Image, error) {
	return b.img, nil
}

// TestAttestations: an index that BuildKit makes with provenance and an SBOM's
// place goes on as it is, and the core resolves it to the child that runs.
func TestAttestations(t *testing.T) {
	needsBuildKit(t)
	s := shellContext(t, "FROM scratch\nCOPY sh /bin/sh\n")
	dir := t.TempDir()
	archive := filepath.Join(dir, "image.tar")
	cmd := exec.Command("buildctl", "build", "--frontend=dockerfile.v0", "--local=context=.", "--local=dockerfile=.",
		"--opt=platform=linux/arm64", "--opt=attest:provenance=mode=max", "--output=type=oci,dest="+archive)
	cmd.Dir = s.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	img, err := openArchive(archive, dir)
	if err != nil {
		t.Fatal(err)
	}
	raw, mediaType, err := img.Manifest(t.Context())
	var index v1.IndexManifest
	if err := errors.Join(err, json.Unmarshal(raw, &index)); err != nil || mediaType != "application/vnd.oci.image.index.v1+json" || len(index.Manifests) != 2 {
		t.Fatalf("%s %v, want an index of two:\n%s", mediaType, err, raw)
	}
	core := delivery.Deliverer{Target: delivery.Target{Compute: delivery.MicroVM}, Builder: imageBuilder{img}}
	got, err := core.Build(t.Context(), delivery.DeployOptions{Source: s, Platform: "linux/arm64"}, false)
	if err != nil || got.Digest != index.Manifests[0].Digest.String() || got.Platform != "linux/arm64" {
		t.Errorf("%+v, %v; want %s", got, err, index.Manifests[0].Digest)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run has ended and the spooled image is still there: %v", err)
	}
}
