package build

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/needs"
)

func TestTree(t *testing.T) {
	needs.Program(t, "git")
	dir := t.TempDir()
	for name, text := range map[string]string{"committed": "", "new": "", "ignored": "", "[x]": "", ".gitignore": "ignored\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "committed"}, {"-c", "user.name=o", "-c", "user.email=o@example.com", "commit", "-qm", "one"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	tree := Tree{Dir: dir, Env: os.Environ()}
	for name, want := range map[string][2]bool{"committed": {true, false}, "new": {}, "ignored": {false, true}, "[x]": {}, "absent": {}, "*": {}} {
		tracked, err := tree.Tracked(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		ignored, err := tree.Ignored(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{tracked, ignored}; got != want {
			t.Errorf("%s: tracked, ignored %v, want %v", name, got, want)
		}
	}
	if files, err := tree.Files(t.Context()); err != nil || !slices.Equal(slices.Sorted(slices.Values(files)), []string{".gitignore", "[x]", "committed", "new"}) {
		t.Errorf("files %q, %v", files, err)
	}
	if shallow, err := tree.Shallow(t.Context()); shallow || err != nil {
		t.Errorf("shallow %v, %v", shallow, err)
	}
	clone := t.TempDir()
	if out, err := exec.Command("git", "clone", "-q", "--depth=1", "file://"+dir, clone).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if shallow, err := (Tree{Dir: clone, Env: os.Environ()}).Shallow(t.Context()); !shallow || err != nil {
		t.Errorf("a shallow clone: %v, %v", shallow, err)
	}
}

// More names than are kept of another child's output.
func TestManyFiles(t *testing.T) {
	needs.Program(t, "git")
	dir := t.TempDir()
	gitIn(t, dir, "init", "-q")
	for i := range 200 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%0200d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := Tree{Dir: dir, Env: os.Environ()}.Files(t.Context())
	if err != nil || len(files) != 200 || len(files[0]) != 200 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

func TestPresent(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "buildctl"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + bin}
	if err := Present("buildkit", env); err != nil {
		t.Error(err)
	}
	for _, engine := range []string{"docker", "go"} {
		var e *delivery.Error
		if err := Present(engine, env); !errors.As(err, &e) || e.Kind != delivery.KindConfig || len(e.Hints) == 0 {
			t.Errorf("%s: %v", engine, err)
		}
	}
}
