package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/slipway-cd/slipway/internal/pattern"
	"github.com/slipway-cd/slipway/internal/sim/sandbox"
)

// An unpacked image has at most maxUnpacked bytes, and at most maxRatio times
// those of its layers; one below minUnpacked is let be. (Programs and libraries
// shrink to a third or so; what shrinks to a hundredth is made to fill a disk.)
const (
	maxUnpacked = 16 << 30
	maxRatio    = 100
	minUnpacked = 256 << 20
)

// unpackLimit is how large an image may become.
func unpackLimit(layers []sandbox.Layer) int64 {
	var total int64
	for _, l := range layers {
		if info, err := os.Stat(l.Path); err == nil { // Unpack says what is missing
			total += info.Size()
		}
	}
	return min(max(total*maxRatio, minUnpacked), maxUnpacked)
}

// maxLayersNamedUser is how many layers an image with a user's name may have
// (Runtime troubleshooting: "Failed to mount overlay").
const maxLayersNamedUser = 53

// imageConfig is what running an image takes of its configuration.
type imageConfig struct {
	Config struct {
		Entrypoint []string
		Cmd        []string
		Env        []string
		WorkingDir string
		User       string
	} `json:"config"`
}

var numericUser = pattern.New(`^[0-9]*(:[0-9]+)?$`)

// prepare pulls a version's image by digest and says how to run it. The
// agent's environment is the image's, with the runtime's variables above it.
func (c *Cloud) prepare(ctx context.Context, s *session, r *runtimeRecord) (sandbox.Agent, error) {
	none := sandbox.Agent{}
	if err := c.mayStart(r, s.version); err != nil {
		c.warn("agent %s version %d: %v", s.key.runtime, s.version.Number, err)
		return none, err
	}
	img, err := c.findImage(pinned(imageURI(s.version.Document), s.version.Digest), arches(s.version.Document))
	if err != nil {
		c.warn("agent %s version %d: %v", s.key.runtime, s.version.Number, err)
		return none, clientError("The image %s could not be pulled: %v", s.version.Digest, err)
	}
	platform := img.os + "/" + img.arch
	if !sandbox.CanRun(img.arch) {
		return none, platformError(platform)
	}
	var config imageConfig
	if err := json.Unmarshal(img.config, &config); err != nil {
		return none, clientError("The image's configuration could not be read: %v", err)
	}
	if len(img.layers) > maxLayersNamedUser && !numericUser.MatchString(config.Config.User) {
		return none, clientError("Failed to mount overlay")
	}
	root, err := c.unpack(ctx, img)
	if err != nil {
		c.warn("agent %s version %d: %v", s.key.runtime, s.version.Number, err)
		return none, clientError("The image %s could not be unpacked: %v", s.version.Digest, err)
	}
	scratch := c.agentsDir("running")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return none, fmt.Errorf("making room for an agent: %w", err)
	}
	return sandbox.Agent{Root: root, Scratch: filepath.Join(scratch, newID(8)), Digest: img.digest, Platform: platform,
		Args: append(config.Config.Entrypoint, config.Config.Cmd...), Env: environment(config.Config.Env, s.version.Document),
		Dir: config.Config.WorkingDir, User: config.Config.User, Port: s.contract.port, Output: c.agentOutput(s, r)}, nil
}

// environment puts the runtime's variables above the image's.
func environment(image []string, d document) []string {
	var own map[string]string
	_ = json.Unmarshal(d["environmentVariables"], &own) // absent or checked
	var env []string
	for _, e := range image {
		name, _, _ := strings.Cut(e, "=")
		if _, ok := own[name]; !ok {
			env = append(env, e)
		}
	}
	for _, name := range sortedKeys(own) {
		env = append(env, name+"="+own[name])
	}
	return env
}

// unpack unpacks an image once and returns its root.
func (c *Cloud) unpack(ctx context.Context, img *image) (string, error) {
	lock := c.agentcore.sessions.imageLock(img.digest)
	lock.Lock()
	defer lock.Unlock()
	images := c.agentsDir("images")
	done := filepath.Join(images, strings.ReplaceAll(img.digest, ":", "-"))
	if _, err := os.Stat(done); err == nil {
		return done, nil
	}
	if err := os.MkdirAll(images, 0o700); err != nil {
		return "", fmt.Errorf("making room for images: %w", err)
	}
	part, err := os.MkdirTemp(images, ".part-")
	if err != nil {
		return "", fmt.Errorf("making room for an image: %w", err)
	}
	if err := os.Chmod(part, 0o755); err != nil { // an agent's user has to read its root
		return "", err
	}
	var layers []sandbox.Layer
	for _, l := range img.layers {
		layers = append(layers, sandbox.Layer{Digest: l.digest, Path: l.path})
	}
	if err := sandbox.Unpack(ctx, part, layers, unpackLimit(layers)); err != nil {
		return "", errors.Join(err, sandbox.RemoveTree(part))
	}
	return done, os.Rename(part, done)
}

func (t *sessions) imageLock(digest string) *sync.Mutex {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.images == nil {
		t.images = make(map[string]*sync.Mutex)
	}
	if t.images[digest] == nil {
		t.images[digest] = &sync.Mutex{}
	}
	return t.images[digest]
}

// sweepAgents removes what a killed cloud left behind: layers of agents that
// run no more, images unpacked by half.
func (c *Cloud) sweepAgents() error {
	left, err := fs.Glob(os.DirFS(c.agentsDir("images")), ".part-*")
	if err != nil {
		return err
	}
	for _, name := range append(left, "../running") {
		dir := filepath.Join(c.agentsDir("images"), name)
		if err := sandbox.RemoveTree(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing what is left of agents: %w", err)
		}
	}
	return nil
}

// resetAgents forgets unpacked images and logs.
func (c *Cloud) resetAgents() error {
	return errors.Join(sandbox.RemoveTree(filepath.Join(c.Dir, "agents")), c.resetLogs())
}

// hostPlatform is what runs here without an emulator.
func hostPlatform() string { return "linux/" + runtime.GOARCH }
