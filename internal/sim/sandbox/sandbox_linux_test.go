package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-cd/slipway/internal/needs"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "sandbox-init" {
		os.Exit(Init(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "run-agent" {
		os.Exit(runAgent(os.Args[2], os.Args[3]))
	}
	os.Exit(m.Run())
}

// runAgent is a program that starts an agent and then waits to be killed. It
// prints the sandbox's first process.
func runAgent(root, scratch string) int {
	r := &Runner{Init: []string{os.Args[0], "sandbox-init"}}
	_, err := r.Start(context.Background(), Agent{Root: root, Scratch: scratch, Args: []string{"agent", "sleep"}, Port: 8080})
	if err != nil {
		_, _ = os.Stdout.WriteString(err.Error())
		return 1
	}
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return 1
	}
	for _, name := range children {
		raw, _ := os.ReadFile(name) // a thread that has ended has none
		_, _ = os.Stdout.Write(raw)
	}
	_, _ = os.Stdout.WriteString("\n")
	select {} // until it is killed
}

// agentBinary builds the test's agent once.
var agentBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "slipway-agent-")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "agent")
	cmd := exec.Command("go", "build", "-o", out, "./testdata/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if raw, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the agent: %w\n%s", err, raw)
	}
	return out, nil
})

// agentRoot is an unpacked image with the test's agent and a user.
func agentRoot(t *testing.T) string {
	t.Helper()
	binary, err := agentBinary()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "image, with:odd name")
	for _, dir := range []string{"bin", "etc", "home/app"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(root, name), data, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("bin/agent", raw, 0o755)
	write("bin/script", []byte("#!/bin/nothing\n"), 0o755)
	write("bin/broken", []byte("\x7fELFnonsense"), 0o755)
	write("etc/passwd", []byte("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"), 0o644)
	return root
}

// output collects an agent's lines.
type output struct {
	mu    sync.Mutex
	lines []string
}

func (o *output) add(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, line)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines, "\n")
}

func namespacesOf(t *testing.T) backend {
	t.Helper()
	b, err := newNamespaces(t.Context(), []string{os.Args[0], "sandbox-init"})
	if err != nil {
		t.Log(err)
	}
	needs.Part(t, "namespaces", err == nil)
	return b
}

func newAgent(t *testing.T, out *output) Agent {
	return Agent{Root: agentRoot(t), Scratch: filepath.Join(t.TempDir(), "scratch"), Args: []string{"agent"},
		Env: []string{"REVISION=abc"}, Port: 8080, Output: out.add}
}

func startAgentOf(t *testing.T, b backend, a Agent) *Process {
	t.Helper()
	p, err := b.start(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func clientOf(t *testing.T, p *Process) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.Dial(ctx) }}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// ask invokes the agent, waiting for it to listen.
func ask(t *testing.T, p *Process, do, arg string) map[string]any {
	t.Helper()
	client := clientOf(t, p)
	body, _ := json.Marshal(map[string]string{"do": do, "arg": arg, "text": "written"})
	deadline := time.Now().Add(20 * time.Second)
	for {
		res, err := client.Post("http://agent/invocations", "application/json", bytes.NewReader(body))
		if err == nil {
			defer res.Body.Close()
			var answer map[string]any
			if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
				t.Fatal(err)
			}
			return answer
		}
		select {
		case <-p.Done():
			t.Fatalf("the agent ended: %s", p.End())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestAgentHasEverythingOfItsOwn(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary")
	b, out := namespacesOf(t), &output{}
	a := newAgent(t, out)
	one := startAgentOf(t, b, a)
	a.Scratch = filepath.Join(t.TempDir(), "scratch")
	two := startAgentOf(t, b, a) // the same port: only a network of its own lets it

	if got := ask(t, one, "write", "/marker")["error"]; got != nil {
		t.Errorf("writing to its own root: %v", got)
	}
	if got := ask(t, one, "read", "/marker")["text"]; got != "written" {
		t.Errorf("/marker holds %v", got)
	}
	if got := ask(t, two, "read", "/marker")["error"]; got == nil {
		t.Error("a file of one agent is in the other's root")
	}
	if _, err := os.Stat(filepath.Join(a.Root, "marker")); err == nil {
		t.Error("the agent has written to the image")
	}
	names := fmt.Sprint(ask(t, one, "list", "/")["names"])
	if want := "[bin dev etc home marker proc tmp]"; names != want {
		t.Errorf("the root holds %s, want %s", names, want)
	}
	env := fmt.Sprint(ask(t, one, "env", "")["env"])
	if env != "[REVISION=abc HOME=/root]" {
		t.Errorf("the environment is %s", env)
	}
	listing := fmt.Sprint(ask(t, one, "list", "/proc")["names"])
	if strings.Contains(listing, strconv.Itoa(os.Getpid())) && os.Getpid() > 1000 {
		t.Error("the agent sees this process")
	}
	host, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	if got := ask(t, one, "get", "http://"+host.Addr().String())["error"]; got == nil {
		t.Error("the agent reaches the host's network")
	}
	if got := ask(t, one, "get", "http://127.0.0.1:8080/ping")["error"]; got != nil {
		t.Errorf("the agent can't reach itself: %v", got)
	}
}

func TestAgentEndsWithAllItStarted(t *testing.T) {
	b, out := namespacesOf(t), &output{}
	a := newAgent(t, out)
	p := startAgentOf(t, b, a)
	ask(t, p, "spawn", "")
	p.Close() // returns only when the output is closed by everybody who held it
	if _, err := os.Stat(a.Scratch); !os.IsNotExist(err) {
		t.Errorf("the agent's layer is still there: %v", err)
	}
	if !strings.Contains(out.String(), "agent starts, revision abc") {
		t.Errorf("the output is %q", out)
	}
	if _, err := p.Dial(t.Context()); err == nil {
		t.Error("a dead agent answers")
	}
}

func TestAgentUser(t *testing.T) {
	b := namespacesOf(t)
	if !b.(*namespaces).mapped {
		t.Skip("SKIPPED: users are mapped for root alone")
	}
	for _, test := range []struct {
		spec string
		uid  float64
		fail bool
	}{{"", 0, false}, {"app", 1000, false}, {"1234:5", 1234, false}, {"app:99", 1000, false}, {"nobody", 0, true}} {
		a := newAgent(t, &output{})
		a.User = test.spec
		p, err := b.start(t.Context(), a)
		if test.fail {
			if err == nil || !strings.Contains(err.Error(), "unable to find user") {
				t.Errorf("user %q: %v", test.spec, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(t, p, "", "")["uid"]; got != test.uid {
			t.Errorf("user %q runs as %v", test.spec, got)
		}
		if got := ask(t, p, "mkroot", "")["error"]; (got == nil) != (test.uid == 0) {
			t.Errorf("user %q, a directory under /: %v", test.spec, got)
		}
		p.Close()
	}
}

func TestAgentThatCannotStart(t *testing.T) {
	b := namespacesOf(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"absent"}, "exec absent: executable file not found in $PATH"},
		{[]string{"/bin/absent"}, "exec /bin/absent: no such file or directory"},
		{[]string{"/bin/broken"}, "exec /bin/broken: exec format error"},
		{[]string{"/etc/passwd"}, "exec /etc/passwd: permission denied"},
	} {
		out := &output{}
		a := newAgent(t, out)
		a.Args = test.args
		p, err := b.start(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		if out.String() != test.want || p.End() != "exit status 127" {
			t.Errorf("%v: %q, %s", test.args, out, p.End())
		}
	}
}

func TestAgentExitCode(t *testing.T) {
	b, out := namespacesOf(t), &output{}
	a := newAgent(t, out)
	a.Env = []string{"MODE=crash"}
	p := startAgentOf(t, b, a)
	<-p.Done()
	if p.End() != "exit status 3" || !strings.Contains(out.String(), "ModuleNotFoundError") {
		t.Errorf("%s: %q", p.End(), out)
	}
}

func TestAgentDiesWithAKilledProgram(t *testing.T) {
	namespacesOf(t)
	cmd := exec.Command(os.Args[0], "run-agent", agentRoot(t), filepath.Join(t.TempDir(), "scratch"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the program says %q", line)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n != 1 {
			t.Fatalf("the sandbox is still there: %d, %v", n, err)
		}
		return
	}
}

func TestDocker(t *testing.T) {
	b, err := newDocker(t.Context(), t.Name())
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	out := &output{}
	a := newAgent(t, out)
	raw, err := os.ReadFile(filepath.Join(a.Root, "bin/agent"))
	if err != nil {
		t.Fatal(err)
	}
	a.Digest, a.Platform, a.Env = fmt.Sprintf("test:%x", sha256.Sum256(raw)), "linux/"+runtime.GOARCH, []string{"REVISION=abc", "PATH=/bin", "QUOTED=\"a b\" $x"}
	one := startAgentOf(t, b, a)
	if got := ask(t, one, "read", "/etc/hostname"); !strings.Contains(fmt.Sprint(got["text"]), "agent") || got["revision"] != "abc" {
		t.Errorf("got %v", got)
	}
	if got := fmt.Sprint(ask(t, one, "env", "")["env"]); !strings.Contains(got, `QUOTED="a b" $x`) || strings.Contains(got, "DOCKER") {
		t.Errorf("the environment is %s", got)
	}
	again, err := newDocker(t.Context(), t.Name()) // the next program of the same owner
	if err != nil {
		t.Fatal(err)
	}
	<-one.Done()
	a.Scratch = filepath.Join(t.TempDir(), "scratch")
	two := startAgentOf(t, again, a)
	ask(t, two, "", "")
	two.Close()
	if !strings.Contains(out.String(), "agent starts, revision abc") {
		t.Errorf("the output is %q", out)
	}
	left, err := again.(*docker).output(t.Context(), "ps", "--all", "--quiet", "--filter", "label="+dockerLabel+"="+t.Name())
	if err != nil || left != "" {
		t.Errorf("containers are left: %s, %v", left, err)
	}
}

func TestPlainProcess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		t.Skipf("SKIPPED: port 8080 is taken: %v", err)
	}
	l.Close()
	b, err := newPlain([]string{os.Args[0], "sandbox-init"})
	if err != nil {
		t.Fatal(err)
	}
	out := &output{}
	a := newAgent(t, out)
	one := startAgentOf(t, b, a)
	if got := ask(t, one, "", "")["revision"]; got != "abc" {
		t.Errorf("revision %v", got)
	}
	env := fmt.Sprint(ask(t, one, "env", "")["env"])
	if env != "[REVISION=abc]" {
		t.Errorf("the environment is %s", env)
	}
	a.Scratch = filepath.Join(t.TempDir(), "scratch")
	startAgentOf(t, b, a)
	select {
	case <-one.Done():
	default:
		t.Error("two plain agents at once")
	}
	a.Args = []string{"script"}
	a.Scratch = filepath.Join(t.TempDir(), "scratch")
	if _, err := b.start(t.Context(), a); err == nil || !strings.Contains(err.Error(), "only static programs") {
		t.Errorf("a script: %v", err)
	}
}

func TestRunnerWithoutAWay(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	r := &Runner{}
	if _, err := r.Start(t.Context(), Agent{Args: []string{"agent"}}); err == nil || !strings.Contains(err.Error(), ErrUnsupported.Error()) {
		t.Errorf("got %v", err)
	}
}

func TestReadLinesCutsLongOnes(t *testing.T) {
	long := strings.Repeat("x", MaxLine+10)
	var got []int
	readLines(strings.NewReader("a\r\n\n"+long+"\nend"), func(line string) { got = append(got, len(line)) })
	if want := []int{1, 0, MaxLine, 10, 3}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
