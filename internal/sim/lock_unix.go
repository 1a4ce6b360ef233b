//go:build linux || darwin || freebsd || openbsd || netbsd

package sim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir takes a state directory for this cloud alone: two of them on one
// directory would not see each other's records. The lock ends with its process.
func lockDir(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the state directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errors.New("another local cloud has it open")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the state directory %s: %w", dir, err), f.Close())
	}
	return f, nil
}
