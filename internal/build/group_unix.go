//go:build unix

package build

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup gives the child a process group of its own, so that a cancelled
// build also ends the compilers that `go build` has started.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}
