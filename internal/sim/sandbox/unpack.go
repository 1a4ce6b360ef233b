package sandbox

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Layer is one layer of an image, as a file.
type Layer struct {
	Digest string // sha256:…, of the file
	Path   string
}

// maxEntries bounds the number of files of an image.
const maxEntries = 1_000_000

// maxLinks bounds the symbolic links that one name may lead through.
const maxLinks = 40

// maxName and maxDepth bound a file's name, in bytes and in directories:
// Linux has the first, and no image comes near the second.
const (
	maxName  = 4095
	maxDepth = 255
)

// overhead is the room that headers and padding have, in bytes, beside what is
// in the files: a KiB for each of maxEntries.
const overhead = maxEntries << 10

// Unpack puts the layers of an image above each other in dir, which has to be
// there and empty. Layers are tar, plain or gzip; zstd is refused. Nothing is
// written outside dir, whatever the layers say: symbolic links are followed
// within it, and names that lead out of it are refused. Whiteouts remove what
// lower layers made. More than limit bytes are refused, counted as they are
// written, and with room for headers as they come out of the compression. Device nodes are left out; owners
// are kept where the caller may set them, setuid is not.
func Unpack(ctx context.Context, dir string, layers []Layer, limit int64) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpacking an image: %w", err)
	}
	defer func() { _ = root.Close() }()
	u := &unpacker{root: root, left: limit, plain: limit + overhead, entries: maxEntries, owners: os.Geteuid() == 0}
	for _, l := range layers {
		if err := u.layer(ctx, l); err != nil {
			return fmt.Errorf("unpacking layer %s: %w", l.Digest, err)
		}
	}
	return u.setModes()
}

type unpacker struct {
	root    *os.Root
	left    int64 // bytes that may still be written
	plain   int64 // bytes that may still come out of the compression
	entries int
	owners  bool
	// modes of directories are set at the end: one that nobody may write to
	// would keep its own content out.
	modes modeTree
}

func (u *unpacker) layer(ctx context.Context, l Layer) error {
	f, err := os.Open(l.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	raw := io.TeeReader(&contextReader{ctx, f}, sum)
	if err := u.stream(raw); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != l.Digest {
		return fmt.Errorf("the layer's content is %s", got)
	}
	return nil
}

// stream unpacks one layer; made keeps what this layer has made, which its own
// whiteouts do not remove.
func (u *unpacker) stream(raw io.Reader) error {
	plain, err := decompress(raw)
	if err != nil {
		return err
	}
	made := make(map[string]bool)
	archive := tar.NewReader(&budget{plain, &u.plain})
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if u.entries--; u.entries < 0 {
			return fmt.Errorf("more than %d files", maxEntries)
		}
		if err := u.entry(h, archive, made); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
}

// decompress tells gzip and zstd by their first bytes, as container engines do.
func decompress(raw io.Reader) (io.Reader, error) {
	r := bufio.NewReaderSize(raw, 64<<10)
	magic, err := r.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		return gzip.NewReader(r)
	case len(magic) == 4 && string(magic) == "\x28\xb5\x2f\xfd":
		return nil, errors.New("zstd compression is not supported here; build the image with gzip")
	}
	return r, nil
}

func (u *unpacker) entry(h *tar.Header, content io.Reader, made map[string]bool) error {
	name, err := inside(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		u.modes.set(name, h.FileInfo().Mode().Perm())
		return nil
	}
	parent, err := u.resolve(path.Dir(name))
	if err != nil {
		return err
	}
	base := path.Base(name)
	if base == ".wh..wh..opq" {
		return u.empty(parent, made)
	}
	if hidden, ok := strings.CutPrefix(base, ".wh."); ok {
		if hidden == "" || hidden == "." || hidden == ".." {
			return errors.New("the whiteout names nothing")
		}
		return u.remove(path.Join(parent, hidden), made)
	}
	if err := u.root.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	target := path.Join(parent, base)
	for p := target; p != "."; p = path.Dir(p) {
		made[p] = true
	}
	return u.write(h, content, target)
}

// write makes one file. What was there goes, except a directory under a
// directory.
func (u *unpacker) write(h *tar.Header, content io.Reader, target string) error {
	mode := h.FileInfo().Mode()
	if old, err := u.root.Lstat(target); err == nil && (h.Typeflag != tar.TypeDir || !old.IsDir()) {
		if err := u.root.RemoveAll(target); err != nil {
			return err
		}
		u.modes.forget(target)
	}
	var err error
	switch h.Typeflag {
	case tar.TypeDir:
		if err = u.root.Mkdir(target, 0o755); errors.Is(err, fs.ErrExist) {
			err = nil
		}
		u.modes.set(target, mode.Perm()|mode&fs.ModeSticky)
	case tar.TypeReg:
		err = u.file(target, mode.Perm(), content)
	case tar.TypeSymlink:
		err = u.root.Symlink(h.Linkname, target)
	case tar.TypeLink:
		return u.link(h.Linkname, target)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return nil // an agent's /dev is not the image's
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("a file of type %q can't be unpacked", h.Typeflag)
	}
	if err == nil && u.owners {
		err = u.root.Lchown(target, h.Uid, h.Gid)
	}
	return err
}

func (u *unpacker) file(target string, mode fs.FileMode, content io.Reader) error {
	f, err := u.root.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(content, u.left+1))
	if u.left -= n; err == nil && u.left < 0 {
		err = errTooLarge
	}
	return errors.Join(err, f.Chmod(mode), f.Close())
}

func (u *unpacker) link(to, target string) error {
	name, err := inside(to)
	if err != nil {
		return err
	}
	parent, err := u.resolve(path.Dir(name))
	if err != nil {
		return err
	}
	return u.root.Link(path.Join(parent, path.Base(name)), target)
}

// remove is a whiteout: what lower layers made goes.
func (u *unpacker) remove(target string, made map[string]bool) error {
	if made[target] {
		return nil
	}
	u.modes.forget(target)
	return u.root.RemoveAll(target)
}

var errTooLarge = errors.New("the image is too large when unpacked")

// budget reads what is left of it, then fails.
type budget struct {
	r    io.Reader
	left *int64
}

func (b *budget) Read(p []byte) (int, error) {
	if *b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), *b.left)])
	*b.left -= int64(n)
	return n, err
}

// modeTree keeps the modes of directories, as a tree: forgetting one forgets
// those below it, however many there are beside it.
type modeTree struct {
	mode  *fs.FileMode // nil: not given
	below map[string]*modeTree
}

func (t *modeTree) set(name string, mode fs.FileMode) {
	if name != "." {
		for part := range strings.SplitSeq(name, "/") {
			next := t.below[part]
			if next == nil {
				next = &modeTree{}
				if t.below == nil {
					t.below = make(map[string]*modeTree)
				}
				t.below[part] = next
			}
			t = next
		}
	}
	t.mode = &mode
}

// forget drops the modes kept for a directory that goes, and those below it.
func (t *modeTree) forget(name string) {
	dir, base := path.Split(name)
	for part := range strings.SplitSeq(strings.TrimSuffix(dir, "/"), "/") {
		if part == "" {
			break // it is in the root
		}
		if t = t.below[part]; t == nil {
			return
		}
	}
	delete(t.below, base)
}

// each calls set for every mode that is kept.
func (t *modeTree) each(name string, set func(string, fs.FileMode) error) error {
	if t.mode != nil {
		if err := set(name, *t.mode); err != nil {
			return err
		}
	}
	for part, next := range t.below {
		if err := next.each(path.Join(name, part), set); err != nil {
			return err
		}
	}
	return nil
}

// empty is an opaque whiteout: the directory shows nothing of lower layers.
func (u *unpacker) empty(dir string, made map[string]bool) error {
	d, err := u.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, name := range names {
		child := path.Join(dir, name)
		hide := func() error { return u.remove(child, made) }
		if info, err := u.root.Lstat(child); err == nil && info.IsDir() && made[child] {
			hide = func() error { return u.empty(child, made) }
		}
		if err := hide(); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) setModes() error {
	return u.modes.each(".", func(name string, mode fs.FileMode) error {
		if err := u.root.Chmod(name, mode|0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("setting the mode of %q: %w", name, err)
		}
		return nil
	})
}

// resolve follows the symbolic links of a directory's name within the root and
// returns a name without any. What does not exist yet is taken as it is.
func (u *unpacker) resolve(name string) (string, error) {
	done, rest, links := ".", strings.Split(name, "/"), 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done) // the root is its own parent, as in a kernel
			continue
		}
		next := path.Join(done, part)
		info, err := u.root.Lstat(next)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", errors.New("too many symbolic links")
		}
		to, err := u.root.Readlink(next)
		if err != nil {
			return "", err
		}
		if path.IsAbs(to) {
			done = "."
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return done, nil
}

// inside cleans an entry's name and refuses one that leads out of the root.
func inside(name string) (string, error) {
	if len(name) > maxName || strings.Count(name, "/") > maxDepth {
		return "", fmt.Errorf("the name is longer than %d bytes or %d directories", maxName, maxDepth)
	}
	if strings.ContainsRune(name, 0) {
		return "", errors.New("the name holds a zero byte")
	}
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return "", errors.New("the name leads out of the image")
		}
	}
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if clean == "" || clean == "/" {
		return ".", nil
	}
	return clean, nil
}

// contextReader ends when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// RemoveTree removes a directory of unpacked files, those that their owner may
// not write to included.
func RemoveTree(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path.Join(dir, name), 0o700) // RemoveAll says what could not be removed
		}
		return nil
	})
	return os.RemoveAll(dir)
}
