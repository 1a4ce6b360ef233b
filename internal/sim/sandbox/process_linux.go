package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// initConfig is what Init is told, as JSON on initConfigFD: an argument would
// show the agent's environment to everybody who may list processes.
type initConfig struct {
	Plain   bool     `json:"plain"` // no namespaces
	Probe   bool     `json:"probe"` // set everything up, run nothing
	Mapped  bool     `json:"mapped"`
	Root    string   `json:"root"`
	Scratch string   `json:"scratch"`
	Args    []string `json:"args"`
	Env     []string `json:"env"`
	Dir     string   `json:"dir"`
	User    string   `json:"user"`
	Port    int      `json:"port"`
}

// The files that Init inherits.
const (
	initConfigFD  = 3 // read to its end
	initControlFD = 4 // a SOCK_SEQPACKET pair: see control_linux.go
)

// startLimit bounds the set-up of a sandbox.
const startLimit = 30 * time.Second

// namespaces runs agents in Linux namespaces.
type namespaces struct {
	init   []string
	mapped bool // 65536 user ids are mapped, not one
}

// newNamespaces tries a sandbox out. A process outside any restriction maps
// the ids one to one; where it may map its own id alone, images' users are
// not kept.
func newNamespaces(ctx context.Context, init []string) (backend, error) {
	if len(init) == 0 {
		return nil, errors.New("the program can't start itself as a sandbox's first process")
	}
	var failed error
	for _, mapped := range []bool{true, false} {
		if mapped && os.Geteuid() != 0 {
			continue
		}
		n := &namespaces{init: init, mapped: mapped}
		if failed = n.probe(ctx); failed == nil {
			return n, nil
		}
	}
	return nil, fmt.Errorf("no namespaces for agents: %w", failed)
}

func (n *namespaces) probe(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "slipway-probe-")
	if err != nil {
		return err
	}
	defer RemoveTree(dir) //nolint:errcheck // a directory left in the temporary directory
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	p, err := n.run(ctx, Agent{Root: root, Scratch: filepath.Join(dir, "scratch")}, true)
	if err != nil {
		return err
	}
	<-p.Done()
	return nil
}

func (n *namespaces) start(ctx context.Context, a Agent) (*Process, error) {
	return n.run(ctx, a, false)
}

func (n *namespaces) run(ctx context.Context, a Agent, probe bool) (*Process, error) {
	c := configOf(a)
	c.Probe, c.Mapped = probe, n.mapped
	cmd := exec.Command(n.init[0], n.init[1:]...) //nolint:noctx // the agent outlives its start
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID |
			unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		UidMappings:                []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings:                []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		GidMappingsEnableSetgroups: n.mapped,
	}
	if n.mapped {
		all := []syscall.SysProcIDMap{{Size: 1 << 16}}
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = all, all
	}
	return supervise(ctx, cmd, c, a)
}

func configOf(a Agent) initConfig {
	return initConfig{Root: a.Root, Scratch: a.Scratch, Args: a.Args, Env: a.Env, Dir: a.Dir, User: a.User, Port: a.Port}
}

// supervise starts Init, hands it its configuration, waits until it says that
// the agent is started, and watches it from then on.
//
// The control socket is also what ties the two lives together: Init ends when
// its other side is closed, and that happens however this program ends. A
// parent-death signal would be tied to a thread, which may end earlier.
func supervise(ctx context.Context, cmd *exec.Cmd, c initConfig, a Agent) (*Process, error) {
	if err := os.MkdirAll(a.Scratch, 0o700); err != nil {
		return nil, fmt.Errorf("making the agent's layer: %w", err)
	}
	p, err := launch(ctx, cmd, c, a)
	if err != nil {
		return nil, errors.Join(err, RemoveTree(a.Scratch))
	}
	return p, nil
}

func launch(ctx context.Context, cmd *exec.Cmd, c initConfig, a Agent) (*Process, error) {
	control, theirs, err := controlPair()
	if err != nil {
		return nil, err
	}
	configRead, configWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, control.Close(), theirs.Close())
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, control.Close(), theirs.Close(), configRead.Close(), configWrite.Close())
	}
	cmd.Stdout, cmd.Stderr = outWrite, outWrite
	cmd.ExtraFiles = []*os.File{configRead, theirs}
	cmd.Env = []string{} // nothing of ours
	err = cmd.Start()
	_ = errors.Join(configRead.Close(), theirs.Close(), outWrite.Close()) // the child's copies
	if err != nil {
		return nil, errors.Join(err, configWrite.Close(), control.Close(), outRead.Close())
	}
	p := &Process{done: make(chan struct{})}
	link := &controlLink{conn: control}
	p.dial = link.dial
	p.kill = func() { stop(cmd, control, c.Plain) }
	go p.watch(cmd, outRead, a)
	if err := handshake(ctx, configWrite, control, c); err != nil {
		p.Close()
		return nil, fmt.Errorf("starting the sandbox: %w", err)
	}
	return p, nil
}

// handshake sends the configuration and waits for the word that the agent is
// started.
func handshake(ctx context.Context, config io.WriteCloser, control *net.UnixConn, c initConfig) error {
	err := json.NewEncoder(config).Encode(c)
	if err := errors.Join(err, config.Close()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	release := context.AfterFunc(ctx, func() { _ = control.SetReadDeadline(time.Unix(1, 0)) })
	defer release()
	buf := make([]byte, 4096)
	n, err := control.Read(buf)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("the sandbox's first process ended: %w", err)
	case string(buf[:n]) != controlStarted:
		return errors.New(string(buf[:n]))
	}
	return nil
}

// stop ends an agent: in namespaces the death of the first process is the
// death of all; a plain one is asked to kill its children first.
func stop(cmd *exec.Cmd, control *net.UnixConn, plain bool) {
	_ = control.Close()
	if !plain {
		_ = cmd.Process.Kill() // it may have ended by itself
		return
	}
	time.AfterFunc(2*time.Second, func() { _ = cmd.Process.Kill() })
}

// watch reads the output to its end and cleans up after the agent.
func (p *Process) watch(cmd *exec.Cmd, out *os.File, a Agent) {
	var reading sync.WaitGroup
	reading.Go(func() { readLines(out, a.Output) })
	_ = cmd.Wait() // the state says it
	// A process that left a plain agent's group may hold the pipe open.
	give := time.AfterFunc(2*time.Second, func() { _ = out.SetReadDeadline(time.Unix(1, 0)) })
	reading.Wait()
	give.Stop()
	_ = out.Close()
	_ = RemoveTree(a.Scratch) // what stays is in the cloud's own directory
	p.end = cmd.ProcessState.String()
	close(p.done)
}

// CanRun says whether this machine executes programs for the architecture, by
// itself or through an emulator that is registered so that it works in other
// root file systems (binfmt_misc, flag F).
func CanRun(arch string) bool {
	if arch == runtime.GOARCH {
		return true
	}
	machine, ok := map[string]string{"arm64": "aarch64", "amd64": "x86_64"}[arch]
	if !ok {
		return false
	}
	raw, err := os.ReadFile("/proc/sys/fs/binfmt_misc/qemu-" + machine)
	if err != nil {
		return false
	}
	enabled, fixed := false, false
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		enabled = enabled || line == "enabled"
		if flags, ok := strings.CutPrefix(line, "flags:"); ok {
			fixed = strings.Contains(flags, "F")
		}
	}
	return enabled && fixed
}
