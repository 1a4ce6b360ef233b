//go:build !unix

package build

import "os/exec"

// ownGroup does nothing where there are no process groups: a cancelled build
// kills the child alone.
func ownGroup(*exec.Cmd) {}
