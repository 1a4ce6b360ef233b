package sandbox

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// copyTree copies a file tree: directories, files and links, with modes and,
// where allowed, owners. Nothing else is in an unpacked image.
func copyTree(from, to string) error {
	modes := map[string]fs.FileMode{}
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			modes[target] = info.Mode().Perm() | info.Mode()&fs.ModeSticky
		}
		return copyEntry(name, target, info)
	})
	if err != nil {
		return err
	}
	for dir, mode := range modes {
		if err := os.Chmod(dir, mode|0o700); err != nil {
			return err
		}
	}
	return nil
}

func copyEntry(from, to string, info fs.FileInfo) error {
	var err error
	switch {
	case info.IsDir():
		if err = os.Mkdir(to, 0o755); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case info.Mode()&fs.ModeSymlink != 0:
		var link string
		if link, err = os.Readlink(from); err == nil {
			err = os.Symlink(link, to)
		}
	case info.Mode().IsRegular():
		err = copyFile(from, to, info.Mode().Perm())
	default:
		return nil
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && err == nil {
		_ = os.Lchown(to, int(owner.Uid), int(owner.Gid)) // allowed to root alone
	}
	return err
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode), out.Close())
}
