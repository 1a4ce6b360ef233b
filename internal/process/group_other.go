//go:build !unix

package process

import "os/exec"

// OwnGroup does nothing where there are no process groups: a cancelled program
// is killed alone.
func OwnGroup(*exec.Cmd) {}
