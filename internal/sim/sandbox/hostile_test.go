package sandbox

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// bomb is a gzip layer that is made by fill and larger than it looks.
func bomb(t *testing.T, fill func(*tar.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fill(tar.NewWriter(z)), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpackBombs(t *testing.T) {
	for name, test := range map[string]struct {
		raw  []byte
		want string
	}{
		"one large file": {bomb(t, func(w *tar.Writer) error {
			err := w.WriteHeader(&tar.Header{Name: "a", Mode: 0o644, Size: 64 << 20})
			_, copyErr := io.CopyN(w, zeros{}, 64<<20)
			return errors.Join(err, copyErr)
		}), "too large"},
		"a long name": {bomb(t, func(w *tar.Writer) error {
			return w.WriteHeader(&tar.Header{Name: strings.Repeat("n", maxName+1), Mode: 0o644})
		}), "longer than"},
		"a deep name": {bomb(t, func(w *tar.Writer) error {
			return w.WriteHeader(&tar.Header{Name: strings.Repeat("d/", maxDepth+1) + "x", Mode: 0o644})
		}), "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := unpackIn(t, 1<<20, test.raw); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestUnpackStopsReading: what is never written counts too, as it is read.
func TestUnpackStopsReading(t *testing.T) {
	left := int64(100_000)
	u := &unpacker{left: 1 << 40, plain: left, entries: maxEntries}
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	for i := range 1000 { // devices are left out of the image: nothing is written
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint("dev", i), Typeflag: tar.TypeChar}); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	u.root = root
	size := stream.Len()
	if err := u.stream(&stream); !errors.Is(err, errTooLarge) {
		t.Errorf("it ends with %v", err)
	}
	if read := size - stream.Len(); int64(read) > left+64<<10 { // the decompressor reads ahead
		t.Errorf("%d bytes were read", read)
	}
}

// TestUnpackManyWhiteouts: whiteouts and directories do not multiply.
func TestUnpackManyWhiteouts(t *testing.T) {
	var entries []entry
	const n = 2000
	for i := range n {
		entries = append(entries, dir(fmt.Sprintf("d%d/", i)))
	}
	lower := archive(t, entries...)
	entries = nil
	for i := range n - 1 {
		entries = append(entries, file(fmt.Sprintf(".wh.d%d", i), ""))
	}
	got, err := unpackIn(t, 1<<20, lower, archive(t, entries...))
	if want := fmt.Sprintf("d%d/", n-1); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestModeTree(t *testing.T) {
	var tree modeTree
	for _, name := range []string{".", "a", "a/b", "a/b/c", "ab", "x/y"} {
		tree.set(name, 0o700)
	}
	tree.forget("a/b")
	tree.forget("x")
	tree.forget("none/at/all")
	var left []string
	if err := tree.each(".", func(name string, _ fs.FileMode) error { left = append(left, name); return nil }); err != nil {
		t.Fatal(err)
	}
	if got := len(left); got != 3 || !strings.Contains(strings.Join(left, " ")+" ", "ab ") {
		t.Errorf("left: %v", left)
	}
}

// TestUnpackTakesNoPrivilege: setuid, setgid and devices stay behind.
func TestUnpackTakesNoPrivilege(t *testing.T) {
	root := t.TempDir()
	layer := layerOf(t, archive(t, entry{"su", "x", tar.TypeReg, 0o6755}, entry{"d/", "", tar.TypeDir, 0o7777},
		entry{"null", "", tar.TypeChar, 0o666}, entry{"sda", "", tar.TypeBlock, 0o666}, entry{"pipe", "", tar.TypeFifo, 0o666}))
	if err := Unpack(t.Context(), root, []Layer{layer}, 1<<20); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"su", "d"} {
		info, err := os.Lstat(filepath.Join(root, name))
		if err != nil || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 2 {
		t.Errorf("unpacked %v, %v", entries, err)
	}
}
