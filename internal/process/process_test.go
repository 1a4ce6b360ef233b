package process_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/slipway-cd/slipway/internal/process"
)

// TestFind: the first absolute directory on the offered PATH that has the
// program counts; what is in the work tree, or can't be run, is none.
func TestFind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows has other rules")
	}
	tree, tools := t.TempDir(), t.TempDir()
	for name, mode := range map[string]os.FileMode{filepath.Join(tree, "tool"): 0o755, filepath.Join(tools, "tool"): 0o755, filepath.Join(tools, "text"): 0o644} {
		if err := os.WriteFile(name, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(tree)
	env := []string{"PATH=/elsewhere", "PATH=.:" + tools}
	if got, err := process.Find(env, "tool"); err != nil || got != filepath.Join(tools, "tool") {
		t.Errorf("found %q, %v", got, err)
	}
	for _, missing := range []string{"text", "nothing"} {
		if got, err := process.Find(env, missing); !errors.Is(err, process.ErrNotFound) {
			t.Errorf("%s: found %q, %v", missing, got, err)
		}
	}
	if got, err := process.Find([]string{"PATH=."}, "tool"); !errors.Is(err, process.ErrNotFound) {
		t.Errorf("a program of the work tree: found %q, %v", got, err)
	}
}
