//go:build !linux

package synth

import (
	"context"
	"os/exec"
)

// isolate does nothing: there are no network namespaces.
func isolate(*exec.Cmd) {}

func canIsolate(context.Context) bool { return false }
