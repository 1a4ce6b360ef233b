package sim

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"golang.org/x/sys/unix"

	"github.com/slipway-cd/slipway/internal/needs"
)

// smallDisk names, for the test's second process, the directory that is to be
// a disk of its own.
const smallDisk = "SLIPWAY_TEST_SMALL_DISK"

// TestFullDisk fills the disk that the state is on: a tmpfs in a mount
// namespace, in which the test runs itself again.
func TestFullDisk(t *testing.T) {
	dir := os.Getenv(smallDisk)
	if dir != "" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
			t.Fatal(err)
		}
		fillDisk(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), smallDisk+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	needs.Part(t, "namespaces", err == nil || errors.As(err, &exit) && !bytes.Contains(out, []byte("operation not permitted")))
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}

func fillDisk(t *testing.T, disk string) {
	dir := filepath.Join(disk, "cloud")
	w := newWorld(t, dir)
	ballast := fill(t, disk)
	old := w.look()
	ctx := t.Context()
	for code, write := range map[string]func() error{
		"InternalServerError": func() error { return second(w.ssm.PutParameter(ctx, putString("/p/full", "x"))) },
		"ServerException": func() error {
			return second(w.ecr.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("team/full")}))
		},
		"ServiceFailure": func() error {
			return second(w.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("full"), AssumeRolePolicyDocument: aws.String(serviceTrust)}))
		},
		"InternalServerException": func() error { return second(w.client.CreateAgentRuntime(ctx, w.createInput("full"))) },
	} {
		wantFault(t, write(), code, http.StatusInternalServerError, "no space left on device")
	}
	in := w.updateInput(w.runtime)
	in.Description = aws.String("does not fit")
	wantFault(t, second(w.client.UpdateAgentRuntime(ctx, in)), "InternalServerException", http.StatusInternalServerError, "no space left on device")
	blob, digest := randomBlob(t, 100_000)
	w.want(w.do("PATCH", w.upload, bytes.NewReader(blob)), 500, "UNKNOWN")
	w.want(w.do("POST", "/blobs/uploads/?digest="+digest, bytes.NewReader(blob)), 500, "UNKNOWN")
	w.want(w.do("PUT", "/manifests/full", bytes.NewReader(append(w.rawManifest(), '\n')), "Content-Type", typeDockerManifest), 500, "UNKNOWN")
	if got := w.look(); got != old {
		t.Errorf("on a full disk it shows\n%s\nand not\n%s", got, old)
	}
	again := w.reopen()
	if got := again.look(); got != old {
		t.Errorf("after a restart on a full disk it shows\n%s\nand not\n%s", got, old)
	}
	w = again
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for name, write := range writes() {
		if strings.HasPrefix(name, "delete") {
			continue // the others want what is there
		}
		if err := write(w); err != nil {
			t.Errorf("%s, when there is room: %v", name, err)
		}
		w.look() // time goes on: a runtime is READY
	}
	must[*bedrockagentcorecontrol.DeleteAgentRuntimeOutput](t)(w.client.DeleteAgentRuntime(ctx, &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: &w.runtime}))
	if got, after := w.look(), w.reopen().look(); got != after {
		t.Errorf("before and after a restart:\n%s\n%s", got, after)
	}
	calls := w.cloud.Journal()
	if last := calls[len(calls)-1]; last.Action == "" {
		t.Errorf("the last call in the journal is %+v", last)
	}
}

// fill takes every byte that the disk has left, and returns the file that has
// them.
func fill(t *testing.T, disk string) string {
	t.Helper()
	path := filepath.Join(disk, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 1} {
		chunk := make([]byte, size)
		for err = nil; err == nil; {
			_, err = f.Write(chunk)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return path
}
