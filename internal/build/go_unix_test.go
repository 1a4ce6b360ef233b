//go:build unix

package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// fakeGo writes a shell script that stands in for the go command.
func fakeGo(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "go")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNoCredentialReachesTheCompiler(t *testing.T) {
	dir := tree(t, nil)
	seen := filepath.Join(dir, "seen")
	g := &Go{Env: append(offered(), "GOPROXY=https://proxy.example"), Command: fakeGo(t, `(env; echo "$@") > "`+seen+`"; exit 1`)}
	_, err := g.Build(t.Context(), delivery.BuildRequest{Source: delivery.Source{Dir: dir}, Platform: "linux/arm64"})
	if delivery.KindOf(err) != delivery.KindFailed {
		t.Fatalf("%v, want KindFailed", err)
	}
	raw, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "canary") {
		t.Errorf("a credential reached the compiler:\n%s", raw)
	}
	for _, want := range []string{"PATH=", "GOPROXY=https://proxy.example", "GOARCH=arm64", "-buildvcs=auto"} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the compiler lacks %s:\n%s", want, raw)
		}
	}
}

func TestOutputIsProgressAndItsEndTheError(t *testing.T) {
	g := &Go{Env: os.Environ(), Command: fakeGo(t, `i=0; while [ $i -lt 5000 ]; do echo "line $i of what the compiler says" >&2; i=$((i+1)); done; printf 'last' >&2; exit 2`)}
	var lines []string
	_, err := g.Build(t.Context(), delivery.BuildRequest{Source: delivery.Source{Dir: t.TempDir()}, Platform: "linux/arm64",
		Progress: func(line string) { lines = append(lines, line) }})
	if err == nil || len(err.Error()) > keptOutput+200 || !strings.HasSuffix(err.Error(), "line 4999 of what the compiler says\nlast") {
		t.Errorf("the error has %d bytes and ends %.100q", len(err.Error()), err.Error()[max(0, len(err.Error())-100):])
	}
	if len(lines) != 5001 || lines[0] != "line 0 of what the compiler says" || lines[5000] != "last" {
		t.Errorf("%d lines of progress, want 5001", len(lines))
	}
}

func TestCancelledBuildLeavesNothing(t *testing.T) {
	temp := t.TempDir()
	// What the compiler starts holds the pipe's other end open while it lives.
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(fifo)
		ended <- err
	}()
	g := &Go{Env: append(os.Environ(), "TMPDIR="+temp), Command: fakeGo(t, `exec 3> "`+fifo+`"; sleep 600 & echo started >&2; wait`)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := g.Build(ctx, delivery.BuildRequest{Source: delivery.Source{Dir: t.TempDir()}, Platform: "linux/arm64",
		Progress: func(string) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("what the compiler had started still runs")
	}
}
