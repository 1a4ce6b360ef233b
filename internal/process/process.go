// Package process finds the programs that Slipway runs, and ends them with all
// that they have started.
//
// The caller's environment decides, never this process's own, and a program in
// the work tree is no tool: a relative directory on PATH is passed over.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// ErrNotFound says that a program is not on the PATH that was offered.
var ErrNotFound = errors.New("not found on PATH")

// Find looks a program up on env's PATH. A name with a separator in it is taken
// as it is. It returns ErrNotFound where there is none.
func Find(env []string, program string) (string, error) {
	if strings.ContainsRune(program, filepath.Separator) || runtime.GOOS == "windows" {
		return exec.LookPath(program)
	}
	for _, dir := range filepath.SplitList(Lookup(env, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue // a program in the work tree is no tool
		}
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", program, ErrNotFound)
}

// Lookup is a variable of env, "" where there is none. The last of a name
// counts, as for the programs that are given env.
func Lookup(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(env[i], name+"="); ok {
			return value
		}
	}
	return ""
}
