// Package sandbox unpacks container images and runs them as sandboxed
// processes: an agent has a root file system, a network, a process tree and an
// environment of its own, and dies with the program that started it.
//
// On Linux it uses namespaces, as root and without. Where the kernel allows
// none it uses Docker, and where there is no Docker either, a static program
// runs as a plain process, one at a time, and a warning says what is missing.
// Elsewhere it needs Docker.
//
// It gives an agent no way out: the network has a loopback interface alone
// (Docker's fallback aside). It limits neither memory nor processor time, has
// no seccomp filter, and is no defence against hostile images: it keeps honest
// agents apart from each other and from their host. It makes no device nodes
// out of images, and keeps no extended attributes and no set-user-id power.
package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Agent is what a sandbox runs.
type Agent struct {
	// Root is the unpacked image's root file system (see Unpack). It is never
	// written to: every agent has a layer of its own above it.
	Root string
	// Scratch is the directory for that layer. It must not exist; it is made
	// by Start and removed when the agent has ended.
	Scratch string
	// Digest names the image, so that Docker imports it once.
	Digest string
	// Platform is the image's, as in linux/arm64.
	Platform string
	// Args is the image's entrypoint and command.
	Args []string
	// Env is the agent's whole environment: nothing of the host's is added.
	Env []string
	// Dir is the working directory inside; "/" if empty.
	Dir string
	// User is the image's USER: name or number, with an optional group. Where
	// it can't be mapped (not root outside), the agent is its sandbox's root.
	User string
	// Port is what the agent listens on.
	Port int
	// Output receives the agent's output, a line each, without the newline.
	// Longer lines than MaxLine are cut into several. If nil, it is dropped.
	Output func(line string)
}

// MaxLine is the longest line that Agent.Output receives, in bytes.
const MaxLine = 64 << 10

// ErrUnsupported says that this machine can't run agents at all.
var ErrUnsupported = errors.New("this machine can't run agents")

// Runner starts agents. The zero value has no command for Init, so it can use
// Docker and plain processes alone.
type Runner struct {
	// Init is the command that calls Init: the program itself with an argument
	// that it knows.
	Init []string
	// Owner marks Docker's containers, so that those that a killed program
	// left behind are removed by the next one with the same Owner.
	Owner string
	// Warn receives what an operator should know. If nil, it is dropped.
	Warn func(line string)

	mu      sync.Mutex
	backend backend
}

// backend is one way to run an agent.
type backend interface {
	start(ctx context.Context, a Agent) (*Process, error)
}

// Start runs an agent. It returns once the agent's process exists, not when it
// answers. The error wraps ErrUnsupported where this machine has no way to run
// agents; an agent that can't be executed is an agent that ends at once, and
// its output says why.
func (r *Runner) Start(ctx context.Context, a Agent) (*Process, error) {
	if len(a.Args) == 0 {
		return nil, errors.New("the image has neither an entrypoint nor a command")
	}
	b, err := r.choose(ctx)
	if err != nil {
		return nil, err
	}
	return b.start(ctx, a)
}

// choose finds the best backend once.
func (r *Runner) choose(ctx context.Context) (backend, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.backend != nil {
		return r.backend, nil
	}
	b, err := r.pick(ctx)
	if err != nil {
		return nil, err
	}
	r.backend = b
	return b, nil
}

// pick tries namespaces, then Docker, then the plain process.
func (r *Runner) pick(ctx context.Context) (backend, error) {
	namespaces, why := newNamespaces(ctx, r.Init)
	if why == nil {
		return namespaces, nil
	}
	docker, whyNot := newDocker(ctx, r.Owner)
	if err := ctx.Err(); err != nil { // says nothing of the machine, and the choice is for good
		return nil, fmt.Errorf("looking for a way to run agents: %w", err)
	}
	if whyNot == nil {
		r.warn("agents run in Docker: %v", why)
		return docker, nil
	}
	plain, err := newPlain(r.Init)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; %w; %w", ErrUnsupported, why, whyNot, err)
	}
	r.warn("agents run as plain processes, one at a time, with neither a file system nor a network of their own: %v; %v", why, whyNot)
	return plain, nil
}

func (r *Runner) warn(format string, args ...any) {
	if r.Warn != nil {
		r.Warn(fmt.Sprintf(format, args...))
	}
}

// Process is a running agent.
type Process struct {
	dial func(ctx context.Context) (net.Conn, error)
	kill func()
	done chan struct{}
	end  string // valid once done is closed
}

// Dial connects to the agent's port.
func (p *Process) Dial(ctx context.Context) (net.Conn, error) { return p.dial(ctx) }

// Done is closed when the agent has ended, its output is read to the end and
// its own layer is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// End says how the agent ended, as in "exit status 1". It may be called once
// Done is closed.
func (p *Process) End() string { return p.end }

// Close kills the agent and everything that it started, and waits for its end.
func (p *Process) Close() {
	p.kill()
	<-p.done
}

// readLines hands r to output line by line. A line longer than MaxLine is cut.
func readLines(r io.Reader, output func(string)) {
	lines := bufio.NewReaderSize(r, MaxLine)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 && output != nil {
			output(strings.TrimRight(string(line), "\r\n"))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// dialLimit bounds one connection to an agent's port.
const dialLimit = 5 * time.Second
