package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/slipway-cd/slipway/internal/awsauth"
)

// What people do while a deploy is under way.

// moveTag points the revision's tag at what latest names.
func moveTag(t *testing.T, w *knockWorld) {
	t.Helper()
	digest, err := w.images.Resolve(t.Context(), "latest")
	if err != nil {
		t.Fatal(err)
	}
	revision, err := w.git(t.Context(), "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	revision = strings.TrimSpace(revision)
	deleteTag(t, w, revision) // it can't be moved otherwise
	if err := w.images.Tag(t.Context(), digest, revision); err != nil {
		t.Fatal(err)
	}
}

func deleteTag(t *testing.T, w *knockWorld, tag string) {
	t.Helper()
	_, err := ecr.NewFromConfig(w.session.Config(awsauth.ECR)).BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{RepositoryName: aws.String(w.images.Name),
		ImageIds: []types.ImageIdentifier{{ImageTag: aws.String(tag)}}})
	if err != nil {
		t.Fatal(err)
	}
}

// deleteImage deletes the image of the version in the making.
func deleteImage(t *testing.T, w *knockWorld) {
	t.Helper()
	revision, err := w.git(t.Context(), "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	deleteTag(t, w, strings.TrimSpace(revision))
}

// awaitReady waits until nothing is under way at the runtime.
func awaitReady(t *testing.T, w *knockWorld) map[string]json.RawMessage {
	t.Helper()
	for range 3000 {
		var doc map[string]json.RawMessage
		raw, err := w.runtimes.Get(t.Context(), w.id(t), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		if string(doc["status"]) == `"READY"` {
			return doc
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to be told by
	}
	t.Fatal("the runtime does not become READY")
	return nil
}

// deleteRuntime deletes the runtime, and the parameter that names it, as the
// hint says.
func deleteRuntime(t *testing.T, w *knockWorld) {
	t.Helper()
	awaitReady(t, w)
	control := bedrockagentcorecontrol.NewFromConfig(w.session.Config(awsauth.AgentCoreControl))
	_, err := control.DeleteAgentRuntime(t.Context(), &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: aws.String(w.id(t))})
	if err != nil {
		t.Fatal(err)
	}
	for range 3000 { // until it is gone
		if _, err := w.runtimes.Get(t.Context(), w.id(t), ""); err != nil {
			break
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to be told by
	}
	if err := w.parameters.DeleteParameter(t.Context(), "/supportAgent/dev/runtime-id"); err != nil {
		t.Fatal(err)
	}
}

// foreignUpdate changes the runtime as somebody at the console would.
func foreignUpdate(t *testing.T, w *knockWorld) {
	t.Helper()
	doc := awaitReady(t, w)
	for _, member := range []string{"agentRuntimeArn", "agentRuntimeId", "agentRuntimeName", "agentRuntimeVersion",
		"createdAt", "lastUpdatedAt", "status", "workloadIdentityDetails"} {
		delete(doc, member)
	}
	doc["description"] = json.RawMessage(fmt.Sprintf("%q", "by hand "+t.Name()))
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.runtimes.Update(t.Context(), w.id(t), body, ""); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, w)
}

// TestStopInBuild interrupts a build that would last: its processes end too.
func TestStopInBuild(t *testing.T) {
	t.Parallel()
	w := newKnockWorld(t, false)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		before, revision := w.standing(t), w.change(t)
		bin, marker := t.TempDir(), filepath.Join(t.TempDir(), "pid")
		script := "#!/bin/sh\necho $$ >" + marker + ".new; mv " + marker + ".new " + marker + "; sleep 600\n"
		if err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		env, err := w.job(t.Context(), "acme/agents", "dev")
		if err != nil {
			t.Fatal(err)
		}
		path := os.Getenv("PATH")
		env["PATH"] = bin + string(filepath.ListSeparator) + path
		cmd, wait := w.startDeploy(t, env)
		for range 3000 {
			if _, err := os.Stat(marker); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond) // there is nothing to be told by
		}
		at := time.Now()
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		o := wait()
		t.Logf("ended %s after %s: exit %d\n%s", time.Since(at).Round(10*time.Millisecond), signal, o.code, o.stderr)
		if o.code != 130 || time.Since(at) > 10*time.Second || !strings.Contains(o.stderr, "interrupted during build") {
			t.Errorf("exit %d after %s\n%s", o.code, time.Since(at), o.stderr)
		}
		pid, err := os.ReadFile(marker)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid)) + "/fd/0"); err == nil {
			t.Errorf("the build goes on: process %s", pid)
		}
		w.judge(t, "at once", before, w.standing(t), revision, 2, 0)
		delete(env, "PATH")
		if o = w.deploy(t, env); o.code != 0 {
			t.Errorf("again: exit %d\n%s", o.code, o.stderr)
		}
		w.judge(t, "again", before, w.standing(t), revision, 0, 1)
	}
}
