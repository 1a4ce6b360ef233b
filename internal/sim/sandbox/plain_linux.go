package sandbox

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// plain runs a static program from a copy of its image, without namespaces.
// Agents listen on fixed ports, so there is room for one: starting the next
// ends the one before it.
type plain struct {
	init []string

	mu      sync.Mutex
	current *Process
}

func newPlain(init []string) (backend, error) {
	if len(init) == 0 {
		return nil, errors.New("the program can't start itself as a supervisor")
	}
	return &plain{init: init}, nil
}

func (b *plain) start(ctx context.Context, a Agent) (*Process, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current != nil {
		b.current.Close()
		b.current = nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(a.Port)))
	if err != nil {
		return nil, fmt.Errorf("an agent without a network of its own needs port %d of this machine: %w", a.Port, err)
	}
	if err := l.Close(); err != nil {
		return nil, err
	}
	c := configOf(a)
	c.Plain = true
	p, err := supervise(ctx, exec.Command(b.init[0], b.init[1:]...), c, a) //nolint:noctx // the agent outlives its start
	b.current = p
	return p, err
}

// startPlain is Init's part: it copies the image and starts the program.
func startPlain(c initConfig) (running, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return running{}, err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return running{}, err
	}
	root := filepath.Join(c.Scratch, "root")
	if err := copyTree(c.Root, root); err != nil {
		return running{}, fmt.Errorf("copying the image: %w", err)
	}
	program, err := staticProgram(root, c)
	if err != nil {
		return running{}, err
	}
	dir, err := within(root, path.Join("/", c.Dir))
	if err != nil {
		return running{}, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return running{}, err
	}
	defer null.Close()
	p, err := os.StartProcess(program, c.Args, &os.ProcAttr{Dir: dir, Env: c.Env,
		Files: []*os.File{null, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}})
	if err != nil {
		fmt.Fprintf(os.Stderr, "exec %s: %v\n", c.Args[0], cause(err))
		return running{code: 127}, nil
	}
	return running{pid: p.Pid, port: c.Port, kill: true}, nil
}

// staticProgram finds the program in the image and makes sure that it needs
// nothing else of it.
func staticProgram(root string, c initConfig) (string, error) {
	names := []string{c.Args[0]}
	if !strings.Contains(c.Args[0], "/") {
		names = nil
		for _, in := range strings.Split(envValue(c.Env, "PATH"), ":") {
			names = append(names, path.Join(in, c.Args[0]))
		}
	}
	for _, name := range names {
		if !path.IsAbs(name) {
			name = path.Join("/", c.Dir, name)
		}
		file, err := within(root, name)
		if err != nil {
			return "", err
		}
		f, err := elf.Open(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("without namespaces or Docker, only static programs can be run; %s: %w", name, err)
		}
		defer func() { _ = f.Close() }()
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				return "", fmt.Errorf("without namespaces or Docker, only static programs can be run; %s is linked dynamically", name)
			}
		}
		return file, nil
	}
	return "", fmt.Errorf("%s is not in the image", c.Args[0])
}

// within resolves a name of the image, its links included, to the host's.
func within(dir, name string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Close() }()
	u := &unpacker{root: root}
	resolved, err := u.resolve(name)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", name, err)
	}
	return filepath.Join(dir, filepath.FromSlash(resolved)), nil
}
