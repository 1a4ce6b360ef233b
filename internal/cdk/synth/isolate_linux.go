package synth

import (
	"context"
	"os"
	"os/exec"
	"syscall"
)

// isolate gives a program a network of its own, which leads nowhere. It needs
// a user namespace for that, in which it stays who it is.
func isolate(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
}

// canIsolate tries it: kernels and containers may forbid it in several ways.
func canIsolate(ctx context.Context) bool {
	cmd := exec.CommandContext(ctx, "/bin/true")
	isolate(cmd)
	return cmd.Run() == nil
}
