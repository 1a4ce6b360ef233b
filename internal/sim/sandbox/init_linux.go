package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Init is the first process of a sandbox: it makes the sandbox round itself,
// starts the agent in it, reaps whatever ends in it, and connects the cloud to
// the agent's port. A program calls it when it is started by Runner.Init, and
// exits with what it returns: the agent's status, 128 + n where signal n ended
// it, 1 where the sandbox could not be made. When its cloud ends, it ends, and
// with it everything inside.
func Init([]string) int {
	// Capabilities and no_new_privs belong to threads: the agent is started by
	// this one.
	runtime.LockOSThread()
	unix.CloseOnExec(initConfigFD)
	unix.CloseOnExec(initControlFD)
	control, err := controlConn(os.NewFile(initControlFD, "control"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "not started as the first process of a sandbox:", err)
		return 1
	}
	defer func() { _ = control.Close() }()
	pid, err := setUp()
	if err != nil {
		_, _ = control.Write([]byte(err.Error())) // nobody else to tell
		return 1
	}
	if _, err := control.Write([]byte(controlStarted)); err != nil {
		return 1
	}
	return pid.serve(control)
}

// running is what Init has started.
type running struct {
	pid  int // 0 for a probe, or if the agent could not be executed
	code int // then
	port int
	kill bool // nobody else kills what the agent leaves behind
}

// serve waits for the agent's end or the cloud's.
func (r running) serve(control *net.UnixConn) int {
	if r.pid == 0 {
		return r.code
	}
	ended, gone := make(chan int, 1), make(chan struct{})
	go func() { ended <- reap(r.pid) }()
	go func() { answerDials(control, r.port); close(gone) }()
	if r.kill {
		defer killChildren()
	}
	select {
	case code := <-ended:
		return code
	case <-gone:
		return 1
	}
}

// killChildren ends every process below this one. Those that have left their
// parents are this one's own children, since it is their subreaper: whoever is
// killed leaves more of them, until there are none.
func killChildren() {
	for {
		lists, _ := filepath.Glob("/proc/self/task/*/children") // the pattern is well-formed
		for _, list := range lists {
			raw, _ := os.ReadFile(list) // a thread that has ended has none
			for _, field := range strings.Fields(string(raw)) {
				if pid, err := strconv.Atoi(field); err == nil {
					_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
				}
			}
		}
		if _, err := unix.Wait4(-1, nil, 0, nil); errors.Is(err, unix.ECHILD) {
			return
		}
	}
}

// reap waits for every process that ends, until the agent does.
func reap(agent int) int {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1
		case pid == agent && status.Signaled():
			return 128 + int(status.Signal())
		case pid == agent && status.Exited():
			return status.ExitStatus()
		}
	}
}

func setUp() (running, error) {
	var c initConfig
	config := os.NewFile(initConfigFD, "config")
	if err := errors.Join(json.NewDecoder(config).Decode(&c), config.Close()); err != nil {
		return running{}, fmt.Errorf("reading the sandbox's configuration: %w", err)
	}
	if c.Plain {
		return startPlain(c)
	}
	if err := enter(c); err != nil {
		return running{}, err
	}
	if c.Probe {
		return running{}, nil
	}
	who, err := findUser(c.User, c.Mapped)
	if err != nil {
		return running{}, err
	}
	if err := restrict(); err != nil {
		return running{}, err
	}
	return startAgent(c, who)
}

// keptCapabilities are what a container's root has (Docker's default, without
// mknod and raw sockets).
const keptCapabilities = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID |
	1<<unix.CAP_KILL | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_SYS_CHROOT

// restrict takes from this thread, and so from the agent, what it may not gain.
func restrict() error {
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		if keptCapabilities>>capability&1 == 1 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("dropping capability %d: %w", capability, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	return nil
}

// startAgent executes the agent. That it can't be executed is the agent's
// fault, not the sandbox's: it is said in the agent's own output.
func startAgent(c initConfig, who user) (running, error) {
	dir := path.Join("/", c.Dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return running{}, fmt.Errorf("making the working directory: %w", err)
	}
	env := c.Env
	if !hasEnv(env, "HOME") {
		env = append(env, "HOME="+who.home)
	}
	attr := &os.ProcAttr{Dir: dir, Env: env, Files: []*os.File{nil, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}}
	if c.Mapped {
		attr.Sys.Credential = &syscall.Credential{Uid: who.uid, Gid: who.gid, Groups: who.groups}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return running{}, err
	}
	defer null.Close()
	attr.Files[0] = null
	program, err := lookUp(c.Args[0], dir, env)
	if err == nil {
		var p *os.Process
		if p, err = os.StartProcess(program, c.Args, attr); err == nil {
			return running{pid: p.Pid, port: c.Port}, nil
		}
	}
	fmt.Fprintf(os.Stderr, "exec %s: %v\n", c.Args[0], cause(err))
	return running{code: 127}, nil
}

// cause is an error without the operation, as in "exec format error".
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// lookUp finds a program as a shell would, by the agent's own PATH.
func lookUp(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if path.IsAbs(name) {
			return name, nil
		}
		return path.Join(dir, name), nil
	}
	for _, in := range strings.Split(envValue(env, "PATH"), ":") {
		full := path.Join(in, name)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", errors.New("executable file not found in $PATH")
}

func hasEnv(env []string, name string) bool {
	for _, e := range env {
		if strings.HasPrefix(e, name+"=") {
			return true
		}
	}
	return false
}

// defaultPath is what container engines give images that set none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func envValue(env []string, name string) string {
	value := defaultPath
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v // the last one counts
		}
	}
	return value
}
