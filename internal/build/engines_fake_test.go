//go:build unix

package build

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ref "github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// These tests run everywhere: a shell script stands in for docker or buildctl,
// notes how it was called, and answers as the real one does.

// fakeClient writes the script and returns its path, and that of its notes.
func fakeClient(t *testing.T, name, script string) (client, notes string) {
	t.Helper()
	dir := t.TempDir()
	client, notes = filepath.Join(dir, name), filepath.Join(dir, "notes")
	head := "#!/bin/sh\nnotes='" + notes + "'\n{ for a in \"$@\"; do printf '%s\\n' \"$a\"; done; echo; } >>\"$notes\"; env >>\"$notes.env\"\n"
	if err := os.WriteFile(client, []byte(head+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return client, notes
}

// calls are the argument lists that a fake client was called with.
func calls(t *testing.T, notes string) [][]string {
	t.Helper()
	raw, err := os.ReadFile(notes)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for _, call := range strings.Split(strings.TrimSuffix(string(raw), "\n\n"), "\n\n") {
		all = append(all, strings.Split(call, "\n"))
	}
	return all
}

// ociArchive writes an image in the layout that BuildKit exports.
func ociArchive(t *testing.T, files map[string]string) (archive, digest string) {
	t.Helper()
	manifest := `{"schemaVersion":2,"config":{"digest":"sha256:` + sum("{}") + `","size":2},"layers":[]}`
	if files == nil {
		files = map[string]string{"oci-layout": "{}", "blobs/sha256/" + sum("{}"): "{}", "blobs/sha256/" + sum(manifest): manifest,
			"index.json": `{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:` + sum(manifest) + `","size":1}]}`}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	archive = filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(archive, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return archive, "sha256:" + sum(manifest)
}

const (
	modernHelp = `echo "  -o, --output stringArray"; echo 'progress ("auto", "plain", "rawjson")'`
	// exporting copies an archive to where --output says.
	exporting = `for a in "$@"; do case "$a" in --output=*) d=${a#*dest=}; cp "$ARCHIVE" "${d%%,*}";; esac; done`
)

// fakeSource is a commit in no repository: fakes read nothing.
func fakeSource(t *testing.T) delivery.Source {
	t.Helper()
	dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\n", "docker/Other": "FROM scratch\n"})
	return delivery.Source{Dir: dir, Revision: strings.Repeat("c", 40), Time: time.Unix(1700000000, 0)}
}

// full is an order with every setting.
func full(t *testing.T) Dockerfile {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("in a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Dockerfile{Path: "docker/Other", Args: map[string]string{"B": "2", "A": "1 = one"}, Target: "serve",
		Secrets:   []Secret{{ID: "npm", Env: "NPM_TOKEN"}, {ID: "rc", File: file}},
		CacheFrom: []string{"type=registry,ref=h/n:c"}, CacheTo: []string{"type=inline"}}
}

func TestWhatClientsAreTold(t *testing.T) {
	archive, digest := ociArchive(t, nil)
	d := full(t)
	file := d.Secrets[1].File
	shared := func(sep, label, target, from, to string) []string {
		return []string{sep + "SOURCE_DATE_EPOCH=1700000000", sep + "A=1 = one", sep + "B=2",
			label + "org.opencontainers.image.created=2023-11-14T22:13:20Z", label + "org.opencontainers.image.revision=" + strings.Repeat("c", 40),
			"--secret=id=npm,env=NPM_TOKEN", "--secret=id=rc,src=" + file, target + "serve", from + "type=registry,ref=h/n:c", to + "type=inline"}
	}
	tests := []struct {
		name, script string
		builder      func(client string, env []string) delivery.Builder
		want         [][]string // DEST is the spooled archive
	}{
		{"buildx", `case "$1 $2" in "buildx inspect") echo "Driver:  remote";; *) case "$3" in --help) ` + modernHelp + `;; *) ` + exporting + `;; esac;; esac`,
			func(c string, env []string) delivery.Builder { return &Docker{Dockerfile: d, Env: env, Command: c} },
			[][]string{{"buildx", "build", "--help"}, {"buildx", "inspect"}, append(append(
				[]string{"buildx", "build", "--progress=rawjson", "--platform=linux/arm64", "--file=docker/Other"},
				shared("--build-arg=", "--label=", "--target=", "--cache-from=", "--cache-to=")...),
				"--output=type=oci,dest=DEST,rewrite-timestamp=true", ".")}},
		{"old buildx", `case "$1 $2" in "buildx inspect") echo "Driver: docker-container";; *) case "$3" in --help) echo --output;; *) ` + exporting + `;; esac;; esac`,
			func(c string, env []string) delivery.Builder { return &Docker{Env: env, Command: c} },
			[][]string{{"buildx", "build", "--help"}, {"buildx", "inspect"}, {"buildx", "build", "--progress=plain", "--platform=linux/arm64", "--file=Dockerfile",
				"--build-arg=SOURCE_DATE_EPOCH=1700000000", "--label=org.opencontainers.image.created=2023-11-14T22:13:20Z",
				"--label=org.opencontainers.image.revision=" + strings.Repeat("c", 40), "--output=type=oci,dest=DEST,rewrite-timestamp=true", "."}}},
		{"buildctl", `case "$2" in --help) ` + modernHelp + `;; *) ` + exporting + `;; esac`,
			func(c string, env []string) delivery.Builder {
				return &Buildctl{Dockerfile: d, Env: env, Command: c, Address: "tcp://far:1", TLS: "/tls"}
			},
			[][]string{{"build", "--help"}, append(append([]string{"--addr=tcp://far:1", "--tlsdir=/tls", "build", "--frontend=dockerfile.v0", "--progress=rawjson",
				"--local=context=.", "--local=dockerfile=.", "--opt=filename=docker/Other", "--opt=platform=linux/arm64"},
				shared("--opt=build-arg:", "--opt=label:", "--opt=target=", "--import-cache=", "--export-cache=")...),
				"--output=type=oci,dest=DEST,rewrite-timestamp=true")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, notes := fakeClient(t, "client", strings.ReplaceAll(test.script, "$ARCHIVE", archive))
			temp := t.TempDir()
			env := append(offered(), "TMPDIR="+temp, "NPM_TOKEN=the-value", "DOCKER_HOST=unix:///d", "BUILDKIT_HOST=unix:///b", "BUILDX_BUILDER=mine")
			img, err := test.builder(client, env).Build(t.Context(), delivery.BuildRequest{Source: fakeSource(t), Platform: "linux/arm64"})
			if err != nil {
				t.Fatal(err)
			}
			raw, _, err := img.Manifest(t.Context())
			if s := sha256.Sum256(raw); err != nil || "sha256:"+hex.EncodeToString(s[:]) != digest {
				t.Errorf("the manifest is %x, %v; want %s", s, err, digest)
			}
			got := calls(t, notes)
			for _, call := range got {
				for i, arg := range call {
					if strings.HasPrefix(arg, "--output=type=oci,dest="+temp) {
						call[i] = "--output=type=oci,dest=DEST,rewrite-timestamp=true"
					}
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// TestThroughTheStore: a docker that can't export builds under a name of our
// own, which it has no longer in the end.
func TestThroughTheStore(t *testing.T) {
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	id, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "saved.tar")
	if err := tarball.WriteToFile(archive, ref.MustParseReference("slipway-build:x").(ref.Tag), img); err != nil {
		t.Fatal(err)
	}
	const rest = `*) for a in "$@"; do case "$a" in --iidfile=*) printf ` + "ID" + ` > "${a#*=}";; --output=*) cp ARCHIVE "${a#*=}";; esac; done;; esac`
	plain := `case "$1 $2" in "buildx build") echo "Usage:  docker [OPTIONS] COMMAND";; ` + rest
	inDaemon := `case "$1 $2 $3" in "buildx build --help") ` + modernHelp + `;; "buildx inspect "*) echo "Driver: docker";; ` +
		`info*) echo '[["Backing Filesystem","extfs"]]';; ` + rest
	labels := []string{"--label=org.opencontainers.image.created=2023-11-14T22:13:20Z", "--label=org.opencontainers.image.revision=" + strings.Repeat("c", 40)}
	cached := Dockerfile{CacheFrom: []string{"type=registry,ref=h/n:c", "h/m"}, CacheTo: []string{"type=inline"}}
	for name, test := range map[string]struct {
		script string
		want   [][]string
	}{
		"plain": {plain, [][]string{{"buildx", "build", "--help"},
			append(append([]string{"build", "--progress=plain", "--platform=linux/amd64", "--file=Dockerfile", "--build-arg=SOURCE_DATE_EPOCH=1700000000"}, labels...),
				"--cache-from=h/n:c", "--cache-from=h/m", "--build-arg=BUILDKIT_INLINE_CACHE=1", "--tag=TAG", "--iidfile=FILE", ".")}},
		"buildx": {inDaemon, [][]string{{"buildx", "build", "--help"}, {"buildx", "inspect"}, {"info", "--format", "{{json .DriverStatus}}"},
			append(append([]string{"buildx", "build", "--progress=rawjson", "--platform=linux/amd64", "--file=Dockerfile", "--build-arg=SOURCE_DATE_EPOCH=1700000000"}, labels...),
				"--cache-from=type=registry,ref=h/n:c", "--cache-from=h/m", "--cache-to=type=inline", "--tag=TAG", "--iidfile=FILE", "--load", ".")}},
	} {
		t.Run(name, func(t *testing.T) {
			client, notes := fakeClient(t, "docker", strings.NewReplacer("ID", id.String(), "ARCHIVE", archive).Replace(test.script))
			b := &Docker{Dockerfile: cached, Env: offered(), Command: client}
			built(t, b, delivery.BuildRequest{Source: fakeSource(t), Platform: "linux/amd64"})
			got := calls(t, notes)
			tag := got[len(got)-1][2]
			for _, call := range got {
				for i, arg := range call {
					arg = strings.ReplaceAll(arg, tag, "TAG")
					if flag, _, ok := strings.Cut(arg, "="); ok && (flag == "--iidfile" || flag == "--output") {
						arg = flag + "=FILE"
					}
					call[i] = arg
				}
			}
			want := slices.Concat(test.want, [][]string{{"image", "save", "--output=FILE", "TAG"}, {"image", "rm", "TAG"}})
			if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(tag, "slipway-build:") {
				t.Errorf("tag %s, calls (-want +got):\n%s", tag, diff)
			}
		})
	}
}

// TestWhatClientsSee: of all that a job has, a client gets the daemon's
// address and the secrets that slipway.yaml names. No value is an argument.
func TestWhatClientsSee(t *testing.T) {
	archive, _ := ociArchive(t, nil)
	script := strings.ReplaceAll(`case "$1 $2" in "buildx inspect") echo "Driver: remote";; *--help) `+modernHelp+`;; *) case "$3" in --help) `+modernHelp+`;; *) `+exporting+`;; esac;; esac`, "$ARCHIVE", archive)
	for name, builder := range map[string]func(string, []string) delivery.Builder{
		"docker": func(c string, env []string) delivery.Builder {
			return &Docker{Dockerfile: full(t), Env: env, Command: c}
		},
		"buildkit": func(c string, env []string) delivery.Builder {
			return &Buildctl{Dockerfile: full(t), Env: env, Command: c}
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, notes := fakeClient(t, "client", script)
			env := append(offered(), "NPM_TOKEN=the-named-one", "DOCKER_HOST=unix:///d", "DOCKER_CONFIG=/c", "BUILDKIT_HOST=unix:///b", "BUILDX_BUILDER=mine")
			if _, err := builder(client, env).Build(t.Context(), delivery.BuildRequest{Source: fakeSource(t), Platform: "linux/arm64"}); err != nil {
				t.Fatal(err)
			}
			seen, err := os.ReadFile(notes + ".env")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(seen), "canary") {
				t.Errorf("a credential reached the client:\n%s", seen)
			}
			for _, want := range []string{"NPM_TOKEN=the-named-one", "DOCKER_HOST=unix:///d", "DOCKER_CONFIG=/c", "BUILDKIT_HOST=unix:///b",
				"BUILDX_BUILDER=mine", "BUILDX_NO_DEFAULT_ATTESTATIONS=1", "SOURCE_DATE_EPOCH=1700000000"} {
				if !strings.Contains(string(seen), want+"\n") {
					t.Errorf("the client lacks %s:\n%s", want, seen)
				}
			}
			args, err := os.ReadFile(notes)
			if err != nil || strings.Contains(string(args), "the-named-one") || strings.Contains(string(args), "in a file") {
				t.Errorf("a secret is an argument, %v:\n%s", err, args)
			}
		})
	}
}

func TestMissingSecrets(t *testing.T) {
	dir := tree(t, map[string]string{"empty": ""})
	for name, s := range map[string]Secret{"variable": {ID: "npm", Env: "ABSENT"}, "file": {ID: "npm", File: filepath.Join(dir, "absent")},
		"empty file": {ID: "npm", File: filepath.Join(dir, "empty")}, "directory": {ID: "npm", File: dir}} {
		client, notes := fakeClient(t, "docker", "exit 0")
		d := &Docker{Dockerfile: Dockerfile{Secrets: []Secret{s}}, Env: offered(), Command: client}
		_, err := d.Build(t.Context(), delivery.BuildRequest{Source: fakeSource(t), Platform: "linux/arm64"})
		if delivery.KindOf(err) != delivery.KindConfig || err == nil || !strings.Contains(err.Error(), "secret npm") {
			t.Errorf("%s: %v, want KindConfig", name, err)
		}
		if _, err := os.Stat(notes); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: docker was called", name)
		}
	}
}

func TestSecretsInTheOpen(t *testing.T) {
	for address, refused := range map[string]bool{"tcp://build.example.com:1234": true, "tcp://192.0.2.1:1": true, "tcp://127.0.0.1:1": false,
		"tcp://localhost:1": false, "tcp://[::1]:1": false, "unix:///x": false, "": false} {
		d := full(t)
		docker := []string{"DOCKER_HOST=" + address}
		for _, b := range []interface{ private() error }{&Buildctl{Dockerfile: d, Address: address},
			&Buildctl{Dockerfile: d, Env: []string{"BUILDKIT_HOST=" + address}}, &Docker{Dockerfile: d, Env: docker}} {
			if err := b.private(); (err != nil) != refused || refused && !errors.Is(err, errSecretsInTheOpen) {
				t.Errorf("%q: %v, refused must be %v", address, err, refused)
			}
		}
		for _, b := range []*Buildctl{{Dockerfile: d, Address: address, TLS: "/tls"}, {Address: address}} {
			if err := b.private(); err != nil {
				t.Errorf("%q with %q and %d secrets: %v", address, b.TLS, len(b.Secrets), err)
			}
		}
		for _, b := range []*Docker{{Dockerfile: d, Env: append(docker, "DOCKER_TLS_VERIFY=1")}, {Env: docker}} {
			if err := b.private(); err != nil {
				t.Errorf("%q with %d secrets: %v", address, len(b.Secrets), err)
			}
		}
	}
}

func TestPlainDocker(t *testing.T) {
	const plain = `case "$1" in buildx) echo "Usage: docker [OPTIONS] COMMAND";; `
	tests := []struct {
		name, script string
		d            Dockerfile
		kind         delivery.Kind
		says         string
	}{
		{"cache_to", plain + `esac`, Dockerfile{CacheTo: []string{"type=registry,ref=h/n"}}, delivery.KindConfig, "no buildx"},
		{"cache_from", plain + `esac`, Dockerfile{CacheFrom: []string{"type=local,src=/c"}}, delivery.KindConfig, "no buildx"},
		{"modern, without buildx", plain + `*) echo "ERROR: BuildKit is enabled but the buildx component is missing or broken." >&2; exit 1;; esac`,
			Dockerfile{}, delivery.KindConfig, "buildx component is missing"},
		{"another image is saved", plain + `build) for a in "$@"; do case "$a" in --iidfile=*) printf sha256:abc > "${a#*=}";; esac; done;; image) exit 0;; esac`,
			Dockerfile{}, delivery.KindFailed, "docker save"},
		{"no daemon", plain + `*) echo "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?" >&2; exit 1;; esac`,
			Dockerfile{}, delivery.KindUnavailable, "Cannot connect"},
		{"not ours", plain + `*) echo "dial unix /var/run/docker.sock: connect: permission denied" >&2; exit 1;; esac`,
			Dockerfile{}, delivery.KindUnavailable, "permission denied"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, _ := fakeClient(t, "docker", test.script)
			temp := t.TempDir()
			b := &Docker{Dockerfile: test.d, Env: append(offered(), "TMPDIR="+temp), Command: client}
			_, err := b.Build(t.Context(), delivery.BuildRequest{Source: fakeSource(t), Platform: "linux/arm64"})
			if err == nil || delivery.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v (kind %s), want %s with %q", err, delivery.KindOf(err), test.kind, test.says)
			}
			empties(t, temp)
		})
	}
}

func TestNoClient(t *testing.T) {
	env := []string{"PATH=" + t.TempDir()}
	for name, b := range map[string]delivery.Builder{"docker": &Docker{Env: env}, "buildctl": &Buildctl{Env: env}} {
		_, err := b.Build(t.Context(), delivery.BuildRequest{Source: fakeSource(t), Platform: "linux/arm64"})
		if err == nil || delivery.KindOf(err) != delivery.KindConfig || !strings.Contains(err.Error(), "needs "+name) {
			t.Errorf("%s: %v, want KindConfig", name, err)
		}
	}
}

// TestBadArchives: what a daemon exports is read with care.
func TestBadArchives(t *testing.T) {
	one := func(digest string) string {
		return `{"manifests":[{"mediaType":"m","digest":"` + digest + `","size":2}]}`
	}
	for name, files := range map[string]map[string]string{
		"empty":            {},
		"no JSON":          {"index.json": "hello"},
		"no image":         {"index.json": `{"manifests":[]}`},
		"blob is missing":  {"index.json": one("sha256:" + sum("x"))},
		"no digest":        {"index.json": one("../../etc/passwd")},
		"blob is another":  {"index.json": one("sha256:" + sum("x")), "blobs/sha256/" + sum("x"): "y"},
		"blob leaves path": {"index.json": one("sha256:" + sum("x")), "../blobs/sha256/" + sum("x"): "x"},
	} {
		archive, _ := ociArchive(t, files)
		if img, err := openArchive(archive, t.TempDir()); err == nil {
			t.Errorf("%s: opened as %s", name, img.manifest)
		}
	}
	archive, digest := ociArchive(t, nil)
	img, err := openArchive(archive, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := img.Blob(t.Context(), digest); err != nil {
		t.Error(err)
	}
	if _, err := img.Blob(t.Context(), "sha256:"+sum("absent")); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
}

// TestConvert: what comes out of docker save is checked against what was
// built, layer by layer.
func TestConvert(t *testing.T) {
	img, err := random.Image(3000, 3)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.RootFS.DiffIDs[1] = v1.Hash{Algorithm: "sha256", Hex: sum("another")}
	wrong, err := mutate.ConfigFile(img, config)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		img  v1.Image
		id   string
		says string
	}{
		"as built":      {img: img},
		"another image": {img: img, id: "sha256:" + sum("x"), says: "docker built sha256:" + sum("x") + " and saved"},
		"another layer": {img: wrong, says: "the configuration says sha256:" + sum("another")},
	} {
		dir := t.TempDir()
		archive := filepath.Join(dir, "saved.tar")
		if err := tarball.WriteToFile(archive, ref.MustParseReference("slipway-build:x").(ref.Tag), test.img); err != nil {
			t.Fatal(err)
		}
		id, err := test.img.ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		if test.id == "" {
			test.id = id.String()
		}
		got, err := convert(t.Context(), archive, dir, test.id)
		if test.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			contents(t, got)
		} else if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	archive := filepath.Join(dir, "saved.tar")
	if err := tarball.WriteToFile(archive, ref.MustParseReference("slipway-build:x").(ref.Tag), img); err != nil {
		t.Fatal(err)
	}
	id, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := convert(ended, archive, dir, id.String()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestMask(t *testing.T) {
	m := newMask([]string{"s3cr3t-value", "machine m.example password longer-word\nab\n", "hunter2secret\n", "x"})
	for text, want := range map[string]string{
		"the token is s3cr3t-value.":               "the token is ***.",
		"Basic czNjcjN0LXZhbHVl":                   "Basic ***",
		"password=longer-word":                     "password=***",
		"machine m.example password longer-word":   "***",
		"czNjcjN0LXZhbHVl with no end":             "*** with no end",
		"hidden as aHVudGVyMnNlY3JldAo= in a log":  "hidden as *** in a log",
		"hunter2secret\nand more":                  "***\nand more",
		"an x and ab are in every other word":      "an x and ab are in every other word",
		"GET /?t=s3cr3t-value&u=s3cr3t-value HTTP": "GET /?t=***&u=*** HTTP",
	} {
		if got := m.hide(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := (mask{}).hide("as it is"); got != "as it is" {
		t.Errorf("no secrets: %q", got)
	}
}

// TestProgress holds both forms of progress to the same account.
func TestProgress(t *testing.T) {
	log := func(text string) string {
		raw, err := json.Marshal([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	at := func(second int) string { return fmt.Sprintf(`"2026-11-25T22:55:%02dZ"`, second) }
	data := []string{
		`{"vertexes":[{"digest":"sha256:a","name":"[internal] load build definition"},{"digest":"sha256:b","name":"[1/3] COPY . ."},{"digest":"sha256:c","name":"[2/3] RUN make"}]}`,
		`{"vertexes":[{"digest":"sha256:a","name":"[internal] load build definition","started":` + at(1) + `,"completed":` + at(1) + `}]}`,
		`{"vertexes":[{"digest":"sha256:b","name":"[1/3] COPY . .","started":` + at(2) + `,"completed":` + at(2) + `,"cached":true}]}`,
		`{"vertexes":[{"digest":"sha256:c","name":"[2/3] RUN make","started":` + at(3) + `}]}`,
		`{"logs":[{"vertex":"sha256:c","stream":1,"data":` + log("one\ntw") + `}]}`,
		`{"logs":[{"vertex":"sha256:c","stream":2,"data":` + log("other\r\n") + `}]}`,
		`{"logs":[{"vertex":"sha256:c","stream":1,"data":` + log("o\nthree") + `}]}`,
		`{"vertexes":[{"digest":"sha256:c","name":"[2/3] RUN make","started":` + at(3) + `,"completed":` + at(5) + `}]}`,
		`{"vertexes":[{"digest":"sha256:d","name":"exporting to oci image format","started":` + at(6) + `,"completed":` + at(6) + `}]}`,
		`{"vertexes":[{"digest":"sha256:c","name":"[2/3] RUN make","started":` + at(3) + `,"completed":` + at(5) + `}]}`,
		"a word of the client",
	}
	plain := []string{"#1 [internal] load build definition", "#1 sha256:" + sum("a"), "#1 DONE 0.0s", "", "#2 [1/3] COPY . .", "#2 CACHED", "",
		"#3 [2/3] RUN make", "#3 0.101 one", "#3 0.102 other", "#3 ...", "", "#3 [2/3] RUN make", "#3 0.201 two", "#3 0.202 three", "#3 DONE 2.0s",
		"", "#4 exporting to image", "#4 DONE 0.0s", "a word of the client"}
	wantSteps := []delivery.BuildStep{{Name: "#2 [1/3] COPY . .", Done: true, Cached: true}, {Name: "#3 [2/3] RUN make", Done: true, Elapsed: 2 * time.Second}}
	wantLines := []string{"#3 one", "#3 other", "#3 two", "#3 three", "a word of the client"}
	for name, test := range map[string]struct {
		parse func(*steps, string)
		lines []string
	}{"rawjson": {(*steps).report, data}, "plain": {(*steps).plain, plain}} {
		var o told
		s := newSteps(&order{req: o.request(delivery.Source{}, "")}, test.parse)
		for _, line := range test.lines {
			s.line(line)
		}
		var ended []delivery.BuildStep
		for _, step := range o.steps {
			if step.Done {
				ended = append(ended, step)
			}
		}
		if diff := cmp.Diff(wantSteps, ended); diff != "" {
			t.Errorf("%s: steps (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(wantLines, o.lines); diff != "" {
			t.Errorf("%s: lines (-want +got):\n%s", name, diff)
		}
	}
}

// TestComplaints holds the texts that are looked for to those of the clients,
// for what a test can't bring about everywhere.
func TestComplaints(t *testing.T) {
	tests := []struct {
		program, said string
		kind          delivery.Kind
		hint          string
	}{
		{"docker", "ERROR: failed to connect to the docker API at unix:///nope.sock; check if the path is correct and if the daemon is running: dial unix /nope.sock: connect: no such file or directory", delivery.KindUnavailable, "DOCKER_HOST"},
		{"docker", "failed to dial gRPC: cannot connect to the Docker daemon. Is 'docker daemon' running on this host?: dial unix /nope.sock: connect: no such file or directory", delivery.KindUnavailable, "DOCKER_HOST"},
		{"buildctl", `error: listing workers for Build: failed to list workers: Unavailable: connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:9: connect: connection refused"`, delivery.KindUnavailable, "BUILDKIT_HOST"},
		{"buildctl", `connection error: desc = "transport: Error while dialing: dial unix /run/buildkit/buildkitd.sock: connect: permission denied"`, delivery.KindUnavailable, "may not use"},
		{"buildctl", "error: failed to receive status: rpc error: code = Unavailable desc = error reading from server: EOF", delivery.KindUnavailable, "its log"},
		{"docker", `ERROR: no builder "nosuch" found`, delivery.KindConfig, "BUILDX_BUILDER"},
		{"docker", "ERROR: failed to build: Cache export is not supported for the docker driver.\nSwitch to a different driver", delivery.KindConfig, "type=inline"},
		{"docker", `failed to solve: target stage "b" could not be found`, delivery.KindConfig, "build.target"},
		{"docker", "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed", delivery.KindFailed, "docker login"},
		{"docker", "failed to solve: registry.example.com/x:1: failed to do request: Head \"https://registry.example.com\": dial tcp: lookup registry.example.com: no such host", delivery.KindFailed, "fetches base images"},
		{"docker", "something nobody has heard of", delivery.KindFailed, ""},
	}
	for _, test := range tests {
		err := explainSaid("building", test.program, test.said, errors.New("exit status 1"))
		var e *delivery.Error
		if !errors.As(err, &e) || e.Kind != test.kind || !strings.Contains(err.Error(), test.said) ||
			!strings.Contains(strings.Join(e.Hints, " "), test.hint) || test.hint == "" && e.Hints != nil {
			t.Errorf("%q: %v %v, want %s with %q", test.said, e.Kind, e.Hints, test.kind, test.hint)
		}
	}
	for said, hint := range map[string]string{"exec /bin/sh: exec format error": "ubuntu-24.04-arm", "Killed": "memory"} {
		o := &order{}
		s := newSteps(o, (*steps).plain)
		for _, line := range []string{"#1 [1/1] RUN x", "#1 0.1 " + said, `#1 ERROR: process "/bin/sh -c x" did not complete successfully: exit code: 137`} {
			s.line(line)
		}
		var e *delivery.Error
		if err := s.explain("building", "docker", &failure{err: errors.New("exit status 1")}); !errors.As(err, &e) || !strings.Contains(strings.Join(e.Hints, " "), hint) {
			t.Errorf("%q: hints %v, want %q", said, e.Hints, hint)
		}
	}
}

// FuzzProgress: a client's output, whatever it is, neither breaks the reader
// nor lets a secret through.
func FuzzProgress(f *testing.F) {
	f.Add([]byte(`{"vertexes":[{"digest":"a","name":"RUN x","started":"2026-11-25T22:55:01Z","completed":"2026-11-25T22:55:02Z","error":"exit code: 1"}]}`+"\n"), true)
	f.Add([]byte("#1 [1/1] RUN x\n#1 0.1 s3cr3t-value\n#1 ERROR: exit code: 1\n"), false)
	f.Add([]byte(`{"logs":[{"vertex":"a","stream":1,"data":"czNjcjN0LXZhbHVlCg=="}]}`), true)
	f.Fuzz(func(t *testing.T, data []byte, raw bool) {
		var o told
		parse := (*steps).plain
		if raw {
			parse = (*steps).report
		}
		s := newSteps(&order{req: o.request(delivery.Source{}, ""), mask: newMask([]string{"s3cr3t-value"})}, parse)
		for line := range strings.Lines(string(data)) {
			s.line(strings.TrimSuffix(line, "\n"))
		}
		err := s.explain("building", "docker", &failure{err: errors.New("exit status 1")})
		if text := o.text() + err.Error(); strings.Contains(text, "s3cr3t-value") {
			t.Errorf("the secret is told:\n%s", text)
		}
	})
}
