package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/slipway-cd/slipway/internal/process"
)

const (
	// keptOutput bounds what is kept of a child's output, in bytes. The end is
	// kept: compilers say what is wrong last.
	keptOutput = 32 << 10
	// longestLine bounds a line that is handed on as progress.
	longestLine = 4 << 10
	// lingering is how long a killed child's pipes may stay open.
	lingering = 5 * time.Second
)

// child is a program that runs in a directory with an environment of its own.
type child struct {
	program string
	name    string // in errors: "git status"
	args    []string
	dir     string
	env     []string
	out     io.Writer    // its standard output; if nil, run returns that
	line    func(string) // each line of its standard error; may be nil
	longest int          // bytes of a line that line is given at most; 0 means longestLine
}

// failure is a child that did not succeed, with the end of what it said.
type failure struct {
	err    error
	output string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// run runs the child to its end and returns its standard output, up to
// keptOutput of it. When ctx ends, the child and all that it has started are
// killed, and ctx's error is returned.
func (c child) run(ctx context.Context) (string, error) {
	program, err := process.Find(c.env, c.program)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, c.args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = c.dir, c.env, lingering
	var stdout, stderr tail
	stderr.line, stderr.longest = c.line, c.longest
	if stderr.longest == 0 {
		stderr.longest = longestLine
	}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.out != nil {
		cmd.Stdout = c.out
	}
	process.OwnGroup(cmd)
	err = cmd.Run()
	stderr.flush()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", err // the directory, or the program, went away
		}
		return "", &failure{err: fmt.Errorf("%s: %w", c.name, err), output: stderr.String()}
	}
	return stdout.String(), nil
}

// tail keeps the end of what is written to it and hands on whole lines.
type tail struct {
	mu   sync.Mutex
	kept []byte
	cut  bool
	part []byte
	line func(string)
	// longest is where a line without an end is cut for line, in bytes.
	longest int
}

// Write never fails: a child must not be stopped by its reader.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - keptOutput; over > 0 {
		t.kept, t.cut = append([]byte(nil), t.kept[over:]...), true
	}
	if t.line == nil {
		return len(p), nil
	}
	t.part = append(t.part, p...)
	for {
		i := bytes.IndexByte(t.part, '\n')
		if i < 0 && len(t.part) < t.longest {
			return len(p), nil
		}
		if i < 0 || i > t.longest {
			i = t.longest
		}
		t.line(strings.TrimRight(string(t.part[:i]), "\r\n"))
		t.part = bytes.TrimPrefix(t.part[i:], []byte("\n"))
	}
}

// flush hands on a last line that has no end.
func (t *tail) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.line != nil && len(t.part) > 0 {
		t.line(string(t.part))
		t.part = nil
	}
}

// String returns the end of what was written; where it was cut, from the
// first whole line on.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := string(t.kept)
	if t.cut {
		_, s, _ = strings.Cut(s, "\n")
		s = "…\n" + s
	}
	return strings.ToValidUTF8(strings.TrimRight(s, "\n"), "?")
}
