package sim

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestNothingIsLeftRunning: agents, their watchers and their connections end
// with a reset, and with the cloud.
func TestNothingIsLeftRunning(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Run("cloud", func(t *testing.T) {
		f := newFleet(t)
		f.push("one", agentImage(t))
		_, arn := f.deploy(nil)
		f.must(arn, "a", `{}`)
		f.must(arn, "b", `{}`)
		if len(children(t)) == 0 {
			t.Log("no agent is a child of this process: Docker runs them")
		}
		if err := f.cloud.Reset(); err != nil {
			t.Fatal(err)
		}
		if left := children(t); len(left) > 0 {
			t.Errorf("after a reset there are the processes %v", left)
		}
		createRepository(t, f.ecr, agentRepository)
		f.login(f.ecr)
		f.role = executionRole(t, f.srv, DefaultAccount, "exec")
		f.push("one", agentImage(t))
		_, arn = f.deploy(nil)
		f.must(arn, "a", `{}`)
	})
	if left := children(t); len(left) > 0 {
		t.Errorf("after the cloud's end there are the processes %v", left)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	goleak.VerifyNone(t, before)
}

// children are the processes that this one has started.
func children(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, name := range must[[]string](t)(filepath.Glob("/proc/self/task/*/children")) {
		raw, err := os.ReadFile(name) // a thread that has ended has none
		if err == nil {
			all = append(all, strings.Fields(string(raw))...)
		}
	}
	return all
}
