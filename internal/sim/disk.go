package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// errUnsynced says that a write is there for every reader, and may be gone
// after a power cut: the directory that holds it could not be synced.
var errUnsynced = errors.New("the directory could not be synced")

// disk writes the state. Whatever step it is stopped at (a full disk, a kill),
// readers find the old content or the new one. The zero value is ready.
type disk struct {
	// step, where a test sets it, is asked before each step of a write; its
	// error stops the write there.
	step func(op, path string) error
}

// before asks for leave to go on with op: mkdir, create, write, sync, rename,
// syncdir, remove,
// append, truncate, link.
func (d disk) before(op, path string) error {
	if d.step == nil {
		return nil
	}
	return d.step(op, path)
}

// writeFile replaces path in one step: readers see the old content or the new
// one, and after it returns a crash does not bring the old one back.
func (d disk) writeFile(path string, data []byte) error {
	if err := d.before("create", path); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	if err = d.before("write", f.Name()); err == nil {
		_, err = f.Write(data)
	}
	if err != nil {
		return errors.Join(err, f.Close(), d.remove(f.Name()))
	}
	return d.keep(f, path)
}

// keep closes a written file and makes it path, durably. It is gone where that
// fails before it is path.
func (d disk) keep(f *os.File, path string) error {
	err := d.before("sync", f.Name())
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = d.before("rename", path)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, d.remove(f.Name()))
	}
	return d.syncDir(filepath.Dir(path))
}

// remove removes a file; an absent one is no error.
func (d disk) remove(path string) error {
	if err := d.before("remove", path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes the names in a directory durable.
func (d disk) syncDir(dir string) error {
	if err := d.before("syncdir", dir); err != nil {
		return fmt.Errorf("%w: %w", errUnsynced, err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnsynced, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%w: %w", errUnsynced, err)
	}
	return nil
}

// truncate cuts an open file.
func (d disk) truncate(f *os.File, size int64) error {
	if err := d.before("truncate", f.Name()); err != nil {
		return err
	}
	return f.Truncate(size)
}

// mkdir makes a directory and those above it.
func (d disk) mkdir(path string) error {
	if err := d.before("mkdir", path); err != nil {
		return err
	}
	return os.MkdirAll(path, 0o700)
}

// append adds to a file, unsynced. It may be cut off.
func (d disk) append(path string, data []byte) error {
	if err := d.before("append", path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
