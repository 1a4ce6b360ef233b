//go:build !linux

package sandbox

import (
	"context"
	"errors"
)

var errNotLinux = errors.New("namespaces are Linux's")

// Init is the first process of a sandbox. Off Linux there is none: it returns 1.
func Init([]string) int { return 1 }

func newNamespaces(context.Context, []string) (backend, error) { return nil, errNotLinux }

func newPlain([]string) (backend, error) {
	return nil, errors.New("agents are Linux programs: install Docker to run them here")
}

// CanRun says whether this machine executes programs for the architecture.
// Off Linux, Docker decides.
func CanRun(string) bool { return true }
