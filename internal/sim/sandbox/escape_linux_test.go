package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestImageLinksStayInside: links of an image to where the host's root is
// while a sandbox is made change nothing there.
func TestImageLinksStayInside(t *testing.T) {
	b := namespacesOf(t)
	for _, name := range []string{"etc", "tmp", "dev", "proc"} {
		t.Run(name, func(t *testing.T) {
			victim := filepath.Join(t.TempDir(), "victim")
			if err := os.Mkdir(victim, 0o700); err != nil {
				t.Fatal(err)
			}
			var out output
			a := newAgent(t, &out)
			link := filepath.Join(a.Root, name)
			if err := os.RemoveAll(link); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/"+oldRoot+victim, link); err != nil {
				t.Fatal(err)
			}
			if p, err := b.start(t.Context(), a); err == nil {
				p.Close()
				t.Error("it starts")
			}
			left, err := os.ReadDir(victim)
			if err != nil || len(left) > 0 {
				t.Errorf("the host has %v, %v", left, err)
			}
			if info, err := os.Stat(victim); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the host's directory has mode %v, %v", info.Mode(), err)
			}
		})
	}
}

// TestImageLinksWithinIt: an image may have its /tmp elsewhere in it.
func TestImageLinksWithinIt(t *testing.T) {
	b := namespacesOf(t)
	var out output
	a := newAgent(t, &out)
	if err := os.MkdirAll(filepath.Join(a.Root, "var/tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/var/tmp", filepath.Join(a.Root, "tmp")); err != nil {
		t.Fatal(err)
	}
	startAgentOf(t, b, a)
}

// TestCancelledStartChoosesNothing: a start that is given up does not decide
// how all later agents are run.
func TestCancelledStartChoosesNothing(t *testing.T) {
	r := &Runner{Init: []string{os.Args[0], "sandbox-init"}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Start(ctx, Agent{Args: []string{"agent"}}); err == nil {
		t.Error("it starts")
	}
	if r.backend != nil {
		t.Errorf("it has chosen %T", r.backend)
	}
}
