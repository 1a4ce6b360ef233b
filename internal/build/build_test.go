package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	module  = "module example.com/agents/echo\n\ngo 1.24\n"
	program = "package main\n\nfunc main() { println(\"pong\") }\n"
)

// tree writes files into a new directory. The file system must not decide
// what is in a git repository above it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, files)
	return dir
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// offered is an environment as a CI job has it, with canaries that must reach
// no child.
func offered() []string {
	return append(os.Environ(), canaries()...)
}

func canaries() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=canary-1", "AWS_SECRET_ACCESS_KEY=canary-2", "AWS_SESSION_TOKEN=canary-3",
		"AWS_WEB_IDENTITY_TOKEN_FILE=canary-4", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=canary-5",
		"ACTIONS_ID_TOKEN_REQUEST_URL=canary-6", "ACTIONS_RUNTIME_TOKEN=canary-7", "GITHUB_TOKEN=canary-8",
		"GH_TOKEN=canary-9", "SLIPWAY_VERIFY_TOKEN=canary-10", "GOOGLE_API_KEY=canary-11", "NPM_TOKEN=canary-12",
		"GH_ENTERPRISE_TOKEN=canary-13", "GIT_PASSWORD=canary-14", "DOCKER_AUTH_CONFIG=canary-15",
	}
}

func gitIn(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=o", "GIT_AUTHOR_EMAIL=o@example.com", "GIT_COMMITTER_NAME=o", "GIT_COMMITTER_EMAIL=o@example.com",
		"GIT_AUTHOR_DATE=1700000000 +0100", "GIT_COMMITTER_DATE=1700000000 +0100")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// committed makes a repository with one commit of files.
func committed(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := tree(t, files)
	gitIn(t, dir, "init", "-q")
	gitIn(t, dir, "add", ".")
	gitIn(t, dir, "commit", "-q", "-m", "first")
	return dir
}

func source(t *testing.T, dir string) delivery.Source {
	t.Helper()
	s, err := FindSource(t.Context(), dir, offered())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func buildGo(t *testing.T, g *Go, s delivery.Source) (delivery.Image, error) {
	t.Helper()
	g.Env = offered()
	return g.Build(t.Context(), delivery.BuildRequest{Source: s, Platform: "linux/arm64"})
}

// blob reads a blob and checks that it is what its digest says.
func blob(t *testing.T, img delivery.Image, d v1.Descriptor) []byte {
	t.Helper()
	r, err := img.Blob(t.Context(), d.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != d.Digest.Hex || int64(len(raw)) != d.Size {
		t.Errorf("blob %s: %d bytes of %x, want %d", d.Digest, len(raw), sum, d.Size)
	}
	return raw
}

func manifestOf(t *testing.T, img delivery.Image) v1.Manifest {
	t.Helper()
	raw, mediaType, err := img.Manifest(t.Context())
	if err != nil || mediaType != "application/vnd.oci.image.manifest.v1+json" {
		t.Fatalf("media type %q, %v", mediaType, err)
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

func unpack(t *testing.T, layer []byte) (headers []tar.Header, contents map[string][]byte, diffID string) {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		t.Fatal(err)
	}
	if !zipped.ModTime.IsZero() || zipped.Name != "" {
		t.Errorf("the archive's header says %v %q", zipped.ModTime, zipped.Name)
	}
	bare, err := io.ReadAll(zipped)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(bare)
	contents = map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(bare)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return headers, contents, "sha256:" + hex.EncodeToString(sum[:])
		}
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, *h)
		if contents[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestImageOfACommit(t *testing.T) {
	dir := committed(t, map[string]string{"go.mod": module, "main.go": program})
	s := source(t, dir)
	img, err := buildGo(t, &Go{}, s)
	if err != nil {
		t.Fatal(err)
	}
	m := manifestOf(t, img)
	var config v1.ConfigFile
	if err := json.Unmarshal(blob(t, img, m.Config), &config); err != nil {
		t.Fatal(err)
	}
	headers, contents, diffID := unpack(t, blob(t, img, m.Layers[0]))

	at := v1.Time{Time: time.Unix(1700000000, 0).UTC()}
	hash, err := v1.NewHash(diffID)
	if err != nil {
		t.Fatal(err)
	}
	want := v1.ConfigFile{OS: "linux", Architecture: "arm64", Created: at,
		Config: v1.Config{User: "65532:65532", WorkingDir: "/app", Entrypoint: []string{"/app/echo"},
			Env: []string{"PATH=/app", "HOME=/tmp"}, ExposedPorts: map[string]struct{}{"8080/tcp": {}},
			Labels: map[string]string{"org.opencontainers.image.revision": s.Revision, "org.opencontainers.image.created": "2023-11-14T22:13:20Z"}},
		RootFS:  v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{hash}},
		History: []v1.History{{Created: at, CreatedBy: "slipway build, engine go"}},
	}
	if diff := cmp.Diff(want, config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	var names []string
	for _, h := range headers {
		names = append(names, h.Name)
		if !h.ModTime.Equal(at.Time) || h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
			t.Errorf("%s: %v by %d:%d %q, want the commit's time and root", h.Name, h.ModTime, h.Uid, h.Gid, h.Uname)
		}
	}
	if diff := cmp.Diff([]string{"app/", "tmp/", "app/echo"}, names); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
	info, err := buildinfo.Read(bytes.NewReader(contents["app/echo"]))
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, kv := range info.Settings {
		settings[kv.Key] = kv.Value
	}
	for key, want := range map[string]string{"vcs.revision": s.Revision, "vcs.modified": "false", "GOARCH": "arm64", "CGO_ENABLED": "0", "-trimpath": "true"} {
		if settings[key] != want {
			t.Errorf("the binary says %s=%q, want %q", key, settings[key], want)
		}
	}
}

func TestSameCommitSameDigest(t *testing.T) {
	files := map[string]string{"go.mod": module, "cmd/agent/main.go": program}
	var digests []string
	for range 2 { // two clones, in two directories
		img, err := buildGo(t, &Go{Package: "cmd/agent"}, source(t, committed(t, files)))
		if err != nil {
			t.Fatal(err)
		}
		raw, _, err := img.Manifest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, string(raw))
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds of one commit differ:\n%s\n%s", digests[0], digests[1])
	}
}

func TestGOFLAGSCanNotHideTheCommit(t *testing.T) {
	dir := committed(t, map[string]string{"go.mod": module, "main.go": program})
	g := &Go{Env: append(os.Environ(), "GOFLAGS=-buildvcs=false -tags=x", "GOOS=plan9", "GOARCH=mips", "CGO_ENABLED=1")}
	img, err := g.Build(t.Context(), delivery.BuildRequest{Source: source(t, dir), Platform: "linux/arm64"})
	if err != nil {
		t.Fatal(err)
	}
	_, contents, _ := unpack(t, blob(t, img, manifestOf(t, img).Layers[0]))
	info, err := buildinfo.Read(bytes.NewReader(contents["app/echo"]))
	if err != nil {
		t.Fatal(err)
	}
	text := info.String()
	for _, want := range []string{"vcs.revision=", "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0", "-tags=x"} {
		if !strings.Contains(text, want) {
			t.Errorf("the binary lacks %s:\n%s", want, text)
		}
	}
}

func TestDirtyImageSaysSo(t *testing.T) {
	dir := committed(t, map[string]string{"go.mod": module, "main.go": program})
	write(t, dir, map[string]string{"extra.txt": "x"})
	s := source(t, dir)
	if got := labels(s)["org.opencontainers.image.revision"]; !s.Dirty || got != s.Revision+"-dirty" {
		t.Errorf("dirty %v, label %q", s.Dirty, got)
	}
}

func TestRootsAreAFileOfTheLayer(t *testing.T) {
	pem := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	dir := tree(t, map[string]string{"roots.pem": pem, "none.pem": "hello", "agent": "ELF"})
	g := &Go{Roots: filepath.Join(dir, "roots.pem")}
	files, err := g.files(filepath.Join(dir, "agent"))
	if err != nil {
		t.Fatal(err)
	}
	layer, _, err := pack(files, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	headers, contents, _ := unpack(t, layer)
	var names []string
	for _, h := range headers {
		names = append(names, h.Name)
	}
	want := []string{"app/", "etc/", "etc/ssl/", "etc/ssl/certs/", "tmp/", "app/agent", "etc/ssl/certs/ca-certificates.crt"}
	if diff := cmp.Diff(want, names); diff != "" || string(contents["etc/ssl/certs/ca-certificates.crt"]) != pem {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"none.pem", "absent.pem"} {
		_, err := (&Go{Roots: filepath.Join(dir, bad)}).files(filepath.Join(dir, "agent"))
		if delivery.KindOf(err) != delivery.KindConfig {
			t.Errorf("%s: %v, want KindConfig", bad, err)
		}
	}
}

func TestWhatCanNotBeBuilt(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		pkg   string
		kind  delivery.Kind
		says  string
	}{
		{"compile error", map[string]string{"go.mod": module, "main.go": "package main\n\nfunc main() { undefinedThing() }\n"}, "", delivery.KindFailed, "main.go:3:15: undefined: undefinedThing"},
		{"absent import", map[string]string{"go.mod": module, "main.go": "package main\n\nimport _ \"example.com/agents/echo/absent\"\n\nfunc main() {}\n"}, "", delivery.KindFailed, "main.go:3:8"},
		{"no go.mod", map[string]string{"main.go": program}, "", delivery.KindSource, "no go.mod"},
		{"no Go files", map[string]string{"go.mod": module}, "", delivery.KindSource, "no Go files"},
		{"other systems alone", map[string]string{"go.mod": module, "main_windows.go": program}, "", delivery.KindSource, "no Go file is for Linux"},
		{"no such directory", map[string]string{"go.mod": module, "main.go": program}, "cmd/absent", delivery.KindSource, "no such directory"},
		{"no main package", map[string]string{"go.mod": module, "lib.go": "package lib\n"}, "", delivery.KindSource, "not a main package"},
		{"outside", map[string]string{"go.mod": module, "main.go": program}, "../x", delivery.KindConfig, "not a package within"},
		{"all", map[string]string{"go.mod": module, "main.go": program}, "./...", delivery.KindConfig, "not a package within"},
		{"a flag", map[string]string{"go.mod": module, "main.go": program}, "-toolexec=x", delivery.KindConfig, "not a package within"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := source(t, committed(t, test.files))
			_, err := buildGo(t, &Go{Package: test.pkg}, s)
			if delivery.KindOf(err) != test.kind || err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v (kind %s), want %s with %q", err, delivery.KindOf(err), test.kind, test.says)
			}
		})
	}
}

func TestContextThatIsNoRepository(t *testing.T) {
	dir := tree(t, map[string]string{"go.mod": module, "main.go": program})
	if _, err := buildGo(t, &Go{}, delivery.Source{Dir: dir}); err != nil {
		t.Errorf("no commit asked for: %v", err)
	}
	_, err := buildGo(t, &Go{}, delivery.Source{Dir: dir, Revision: strings.Repeat("a", 40)})
	if delivery.KindOf(err) != delivery.KindSource {
		t.Errorf("a commit asked for: %v, want KindSource", err)
	}
	_, err = buildGo(t, &Go{}, delivery.Source{Dir: filepath.Join(dir, "gone")})
	if delivery.KindOf(err) != delivery.KindSource {
		t.Errorf("no directory: %v, want KindSource", err)
	}
}

func TestPlatforms(t *testing.T) {
	for text, want := range map[string]platform{"linux/arm64": {"linux", "arm64"}, "linux/amd64": {"linux", "amd64"},
		"": {}, "arm64": {}, "windows/amd64": {}, "linux/": {}, "linux/arm64/v8": {}, "linux/x y": {}} {
		got, err := parsePlatform(text)
		if got != want || (err == nil) != (want.os != "") {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestEngines(t *testing.T) {
	for _, engine := range []string{"", "kaniko"} {
		if b, err := New(engine, Options{}); b != nil || delivery.KindOf(err) != delivery.KindConfig {
			t.Errorf("%q: %v, %v; want KindConfig", engine, b, err)
		}
	}
	options := Options{Package: "./cmd/agent", Dockerfile: Dockerfile{Path: "Containerfile"}, Address: "unix:///x", TLS: "/tls", Env: []string{"A=b"}}
	want := map[string]delivery.Builder{
		"go":       &Go{Package: "./cmd/agent", Env: options.Env},
		"docker":   &Docker{Dockerfile: options.Dockerfile, Env: options.Env},
		"buildkit": &Buildctl{Dockerfile: options.Dockerfile, Address: "unix:///x", TLS: "/tls", Env: options.Env},
	}
	for engine, want := range want {
		got, err := New(engine, options)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", engine, err, diff)
		}
	}
}

func TestNoGoCommand(t *testing.T) {
	dir := t.TempDir()
	g := &Go{Env: []string{"PATH=" + dir}}
	_, err := g.Build(t.Context(), delivery.BuildRequest{Source: delivery.Source{Dir: dir}, Platform: "linux/arm64"})
	if delivery.KindOf(err) != delivery.KindConfig || !strings.Contains(err.Error(), "not found on PATH") {
		t.Errorf("%v, want KindConfig", err)
	}
}
