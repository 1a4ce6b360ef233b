package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// marked lists the processes of this machine that have a mark among their
// arguments.
func marked(t *testing.T, mark string) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		raw, err := os.ReadFile(name) // one that has ended has none
		if err == nil && bytes.Contains(raw, []byte("stay\x00"+mark)) {
			found = append(found, name)
		}
	}
	return found
}

// TestStubbornAgent: an agent ends with all that it has started, those that
// have left it included, in whatever it runs.
func TestStubbornAgent(t *testing.T) {
	plain, err := newPlain([]string{os.Args[0], "sandbox-init"})
	if err != nil {
		t.Fatal(err)
	}
	for name, of := range map[string]func(*testing.T) backend{
		"namespaces": namespacesOf,
		"plain":      func(*testing.T) backend { return plain },
	} {
		t.Run(name, func(t *testing.T) {
			b := of(t)
			a := newAgent(t, &output{})
			mark := fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
			a.Env = []string{"MODE=stubborn", "MARK=" + mark}
			a.Port = 8080
			p, err := b.start(t.Context(), a)
			if err != nil && name == "plain" {
				t.Skipf("SKIPPED: %v", err) // the port is another program's
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			ask(t, p, "", "") // it serves: all of them are there
			if got := marked(t, mark); len(got) != 3 {
				t.Fatalf("%d processes have left", len(got))
			}
			p.Close()
			if got := marked(t, mark); len(got) != 0 {
				t.Errorf("still there: %v", got)
			}
		})
	}
}
