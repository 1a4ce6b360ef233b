package judge

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/slipway-cd/slipway/internal/needs"
)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// agentRepository holds the agent that the judges invoke.
const agentRepository = "judge/agent"

// agentProgram builds the tests' agent once, static and for this machine.
var agentProgram = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "slipway-judge-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "agent")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", file, "../testdata/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the agent: %w\n%s", err, out)
	}
	return os.ReadFile(file)
})

// pushAgent pushes the tests' agent. It returns the image's URI, by digest.
func (c *cloud) pushAgent() string {
	c.t.Helper()
	needs.Program(c.t, "go")
	program := must[[]byte](c.t)(agentProgram())
	c.repository(agentRepository, "")
	digest := c.push(agentRepository+":one", imageOf(c.t, runtime.GOARCH, "agent", program))
	return "111122223333.dkr.ecr.us-east-1.amazonaws.com/" + agentRepository + "@" + digest
}

// push pushes an image by our own client's library; it is no judge here.
func (c *cloud) push(reference string, img v1.Image) string {
	c.t.Helper()
	tag, auth := c.target(reference)
	if err := remote.Write(tag, img, auth); err != nil {
		c.t.Fatal(err)
	}
	return must[v1.Hash](c.t)(img.Digest()).String()
}

// pushIndex is push for an index with its images.
func (c *cloud) pushIndex(reference string, index v1.ImageIndex) string {
	c.t.Helper()
	tag, auth := c.target(reference)
	if err := remote.WriteIndex(tag, index, auth); err != nil {
		c.t.Fatal(err)
	}
	return must[v1.Hash](c.t)(index.Digest()).String()
}

func (c *cloud) target(reference string) (name.Tag, remote.Option) {
	c.t.Helper()
	tag := must[name.Tag](c.t)(name.NewTag(c.host + "/" + reference))
	return tag, remote.WithAuth(&authn.Basic{Username: "AWS", Password: c.password()})
}

// imageOf is an image for linux of one program.
func imageOf(t *testing.T, arch, program string, content []byte) v1.Image {
	t.Helper()
	var raw bytes.Buffer
	w := tar.NewWriter(&raw)
	if err := w.WriteHeader(&tar.Header{Name: program, Mode: 0o755, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer := must[v1.Layer](t)(tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw.Bytes())), nil }))
	img := must[v1.Image](t)(mutate.AppendLayers(empty.Image, layer))
	config := must[*v1.ConfigFile](t)(img.ConfigFile()).DeepCopy()
	config.OS, config.Architecture, config.Config.Entrypoint = "linux", arch, []string{"/" + program}
	return must[v1.Image](t)(mutate.ConfigFile(img, config))
}
