package sandbox

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// docker runs agents as containers, by the docker command. Unlike namespaces,
// it gives them Docker's network, the way out included; and containers of a
// program that was killed live until the next one with the same owner starts.
type docker struct {
	command string
	owner   string
}

// dockerLimit bounds one docker command that is not an agent.
const dockerLimit = 2 * time.Minute

const dockerLabel = "dev.slipway.owner"

// newDocker finds a Docker that answers and runs Linux containers, and removes
// what an earlier program of the same owner left there.
func newDocker(ctx context.Context, owner string) (backend, error) {
	command, err := exec.LookPath("docker")
	if err != nil {
		return nil, errors.New("no docker command")
	}
	d := &docker{command: command, owner: owner}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	system, err := d.output(ctx, "version", "--format", "{{.Server.Os}}")
	if err != nil {
		return nil, fmt.Errorf("docker does not answer: %w", err)
	}
	if system != "linux" {
		return nil, fmt.Errorf("docker runs %s containers, not Linux's", system)
	}
	left, err := d.output(ctx, "ps", "--all", "--quiet", "--filter", "label="+dockerLabel+"="+owner)
	if err != nil {
		return nil, err
	}
	for _, id := range strings.Fields(left) {
		if _, err := d.output(ctx, "rm", "--force", id); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// output runs a docker command and returns what it prints.
func (d *docker) output(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.command, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

func (d *docker) start(ctx context.Context, a Agent) (*Process, error) {
	ctx, cancel := context.WithTimeout(ctx, dockerLimit)
	defer cancel()
	image, err := d.load(ctx, a)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(a.Scratch, 0o700); err != nil {
		return nil, fmt.Errorf("making the agent's directory: %w", err)
	}
	p, err := d.run(a, image) //nolint:contextcheck // the agent outlives its start
	if err != nil {
		return nil, errors.Join(err, RemoveTree(a.Scratch))
	}
	return p, nil
}

// load imports an unpacked image, unless it is there.
func (d *docker) load(ctx context.Context, a Agent) (string, error) {
	image := "slipway-agent:" + strings.NewReplacer(":", "-", "/", "-").Replace(a.Digest+"-"+a.Platform)
	if _, err := d.output(ctx, "image", "inspect", "--format", "{{.Id}}", image); err == nil {
		return image, nil
	}
	read, write := io.Pipe()
	cmd := exec.CommandContext(ctx, d.command, "import", "--platform", a.Platform, "-", image)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = read, &complaint
	var packing sync.WaitGroup
	packing.Go(func() { _ = write.CloseWithError(pack(a.Root, write)) })
	err := cmd.Run()
	_ = read.CloseWithError(errors.New("docker import has ended"))
	packing.Wait()
	if err != nil {
		return "", fmt.Errorf("docker import: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return image, nil
}

// pack writes a file tree as a tar archive.
func pack(root string, to io.Writer) error {
	w := tar.NewWriter(to)
	if err := w.AddFS(os.DirFS(root)); err != nil {
		return fmt.Errorf("packing %s: %w", root, err)
	}
	return w.Close()
}

// run starts the container and finds its port. The agent's environment goes
// through a file: arguments can be read by everybody.
func (d *docker) run(a Agent, image string) (*Process, error) {
	for _, e := range a.Env {
		if strings.ContainsAny(e, "\n\r") {
			name, _, _ := strings.Cut(e, "=")
			return nil, fmt.Errorf("docker can't take the environment variable %s: its value has several lines", name)
		}
	}
	env := filepath.Join(a.Scratch, "env")
	if err := os.WriteFile(env, []byte(strings.Join(a.Env, "\n")+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("writing the agent's environment: %w", err)
	}
	name := "slipway-" + filepath.Base(a.Scratch)
	args := []string{"run", "--rm", "--init", "--name", name, "--label", dockerLabel + "=" + d.owner, "--platform", a.Platform,
		"--publish", "127.0.0.1::" + strconv.Itoa(a.Port), "--env-file", env, "--security-opt", "no-new-privileges",
		"--hostname", "agent", "--entrypoint", a.Args[0]}
	if a.Dir != "" {
		args = append(args, "--workdir", a.Dir)
	}
	if a.User != "" {
		args = append(args, "--user", a.User)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(d.command, append(append(args, image), a.Args[1:]...)...) //nolint:noctx // the agent outlives its start
	cmd.Stdout, cmd.Stderr = write, write
	err = errors.Join(cmd.Start(), write.Close())
	if err != nil {
		return nil, errors.Join(err, read.Close())
	}
	p := &Process{done: make(chan struct{})}
	p.kill = func() {
		d.remove(name)
		_ = cmd.Process.Kill() // it may have ended, with its container
	}
	port := &dockerPort{docker: d, name: name, inside: a.Port}
	p.dial = port.dial
	go p.watchDocker(cmd, read, a)
	return p, nil
}

// remove kills a container. It outlives whatever asked for it.
func (d *docker) remove(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), dockerLimit)
	defer cancel()
	_, _ = d.output(ctx, "rm", "--force", name) // it may have ended by itself
}

func (p *Process) watchDocker(cmd *exec.Cmd, out *os.File, a Agent) {
	readLines(out, a.Output)
	_ = cmd.Wait() // the state says it
	_ = out.Close()
	_ = RemoveTree(a.Scratch)
	p.end = cmd.ProcessState.String()
	close(p.done)
}

// dockerPort is where a container's port is published; Docker chooses it when
// the container starts.
type dockerPort struct {
	docker *docker
	name   string
	inside int

	mu      sync.Mutex
	address string
}

func (t *dockerPort) dial(ctx context.Context) (net.Conn, error) {
	address, err := t.find(ctx)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: dialLimit}
	return dialer.DialContext(ctx, "tcp", address)
}

func (t *dockerPort) find(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.address != "" {
		return t.address, nil
	}
	out, err := t.docker.output(ctx, "port", t.name, strconv.Itoa(t.inside))
	if err != nil {
		return "", fmt.Errorf("dialling the agent: %w", err)
	}
	t.address, _, _ = strings.Cut(out, "\n")
	return t.address, nil
}
