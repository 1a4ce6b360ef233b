package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// oldRoot is where the host's root stays until the sandbox is made.
const oldRoot = ".slipway-host"

// enter makes the sandbox's file system and network, and moves into them. It
// runs as root of new user, mount, process, network, host name and IPC
// namespaces.
func enter(c initConfig) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts private: %w", err)
	}
	root, err := ownRoot(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, oldRoot), 0o700); err != nil {
		return fmt.Errorf("making the sandbox's root: %w", err)
	}
	if err := unix.PivotRoot(root, filepath.Join(root, oldRoot)); err != nil {
		return fmt.Errorf("moving into the sandbox's root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := mountKernel(); err != nil {
		return err
	}
	if err := unix.Unmount("/"+oldRoot, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the host's root: %w", err)
	}
	if err := os.Remove("/" + oldRoot); err != nil {
		return err
	}
	if err := furnish(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("agent")); err != nil {
		return fmt.Errorf("naming the sandbox: %w", err)
	}
	return loopbackUp()
}

// ownRoot gives the agent a file system of its own: the image below, the
// agent's layer above; a copy where the kernel or the file system has no
// overlay for us.
func ownRoot(c initConfig) (string, error) {
	lower, merged := filepath.Join(c.Scratch, "image"), filepath.Join(c.Scratch, "root")
	for _, dir := range []string{lower, merged, filepath.Join(c.Scratch, "upper"), filepath.Join(c.Scratch, "work")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", err
		}
		if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask: upper's mode is the root's
			return "", err
		}
	}
	if err := unix.Mount(c.Root, lower, "", unix.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("mounting the image: %w", err)
	}
	// Relative names: an absolute one with a comma or a colon would be taken
	// for more options.
	if err := os.Chdir(c.Scratch); err != nil {
		return "", err
	}
	err := unix.Mount("overlay", "root", "overlay", unix.MS_NOSUID|unix.MS_NODEV,
		"lowerdir=image,upperdir=upper,workdir=work,userxattr")
	if err == nil {
		return merged, nil
	}
	if err := copyTree(lower, merged); err != nil {
		return "", fmt.Errorf("copying the image: %w", err)
	}
	if err := unix.Mount(merged, merged, "", unix.MS_BIND, ""); err != nil {
		return "", fmt.Errorf("mounting the copied image: %w", err)
	}
	return merged, nil
}

// mountKernel mounts /proc and /dev. The kernel allows the one, and the other
// has its devices, only while the host's root is still in reach, and so would
// it be for a link of the image: neither may be one.
func mountKernel() error {
	for _, dir := range []string{"/proc", "/dev"} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("making %s: %w", dir, err)
		}
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("the image's %s is no directory", dir)
		}
	}
	// A host that hides parts of its own /proc (a container) lets nobody mount
	// another one. Agents can do without.
	_ = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	return devices()
}

// furnish makes /tmp and /etc/hosts. The image's own links are followed, and
// lead nowhere but into the image: the host's root is gone.
func furnish() error {
	for _, dir := range []string{"/tmp", "/etc"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", dir, err)
		}
	}
	if err := os.Chmod("/tmp", 0o777|os.ModeSticky); err != nil {
		return err
	}
	if _, err := os.Stat("/etc/hosts"); errors.Is(err, os.ErrNotExist) {
		return os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost agent\n::1 localhost\n"), 0o644)
	}
	return nil
}

func devices() error {
	if err := unix.Mount("tmpfs", "/dev", "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("mounting /dev: %w", err)
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		f, err := os.OpenFile("/dev/"+name, os.O_CREATE, 0o666)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		if err := unix.Mount("/"+oldRoot+"/dev/"+name, "/dev/"+name, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting /dev/%s: %w", name, err)
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, "/dev/"+name); err != nil {
			return err
		}
	}
	if err := os.Mkdir("/dev/shm", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777"); err != nil {
		return fmt.Errorf("mounting /dev/shm: %w", err)
	}
	return nil
}

// loopbackUp brings the sandbox's only network interface up.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bringing the loopback interface up: %w", err)
	}
	defer func() { _ = unix.Close(s) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bringing the loopback interface up: %w", err)
	}
	return nil
}
