package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-cd/slipway/internal/config"
)

// terminal opens a pseudo-terminal: our end, and a program's.
func terminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	number, errNumber := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err := errors.Join(errNumber, unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0)); err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	return ours, theirs
}

// TestInitOnTerminal answers the real program's questions at a terminal.
func TestInitOnTerminal(t *testing.T) {
	dir, path := completionProject(t)
	if err := errors.Join(os.Remove(filepath.Join(dir, config.FileName)), os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	ours, theirs := terminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, strings.Split(path, ":")[0]+"/slipway", "init")
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + path, "HOME=" + t.TempDir(), "TERM=xterm", "NO_COLOR=1"}
	var result bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, &result, theirs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	screen := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(ours) // ends when the terminal is closed
		screen <- string(all)
	}()
	// A terminal keeps what is typed ahead, a line for each question.
	if _, err := ours.WriteString("helper\n12345\n111122223333\nus-east-1\nacme/agents\n"); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	_ = theirs.Close() // nobody has it any more: our end reads its end
	said := <-screen
	if err != nil || !strings.HasPrefix(result.String(), "wrote  slipway.yaml (") {
		t.Fatalf("%v, stdout %q\n%s", err, result.String(), said)
	}
	for _, question := range []string{"name of the agent [", "AWS account of dev: ", "  must be 12 digits", "AWS region: ", "repository on GitHub, owner/name (empty for none yet): "} {
		if !strings.Contains(said, question) {
			t.Errorf("the terminal does not show %q:\n%s", question, said)
		}
	}
	file, err := config.Load(filepath.Join(dir, config.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if got := file.GitHub.String() + " " + file.Agents()[0].Name + " " + file.Environments()[0].Account + " " + file.Region; got != "acme/agents helper 111122223333 us-east-1" {
		t.Errorf("the file says %s", got)
	}
}
