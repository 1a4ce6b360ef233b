package sandbox

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// entry is a file of a test's layer: a directory ends in a slash, a link has a
// target.
type entry struct {
	name, content string
	kind          byte
	mode          int64
}

func file(name, content string) entry { return entry{name, content, tar.TypeReg, 0o644} }
func dir(name string) entry           { return entry{name, "", tar.TypeDir, 0o755} }
func symlink(name, to string) entry   { return entry{name, to, tar.TypeSymlink, 0o777} }
func hardLink(name, to string) entry  { return entry{name, to, tar.TypeLink, 0o644} }

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: e.mode, Uid: os.Geteuid(), Gid: os.Getegid()}
		if e.kind == tar.TypeReg {
			h.Size = int64(len(e.content))
		} else {
			h.Linkname = e.content
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if e.kind == tar.TypeReg {
			if _, err := w.Write([]byte(e.content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func compressed(t testing.TB, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func layerOf(t testing.TB, raw []byte) Layer {
	t.Helper()
	sum := sha256.Sum256(raw)
	digest := hex.EncodeToString(sum[:])
	path := filepath.Join(t.TempDir(), digest)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return Layer{Digest: "sha256:" + digest, Path: path}
}

// unpackIn unpacks layers below a directory that nothing else is in, so that
// whatever leaves the root is seen.
func unpackIn(t testing.TB, limit int64, layers ...[]byte) (listing string, err error) {
	t.Helper()
	outside := t.TempDir()
	root := filepath.Join(outside, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "host"), []byte("host"), 0o600); err != nil {
		t.Fatal(err)
	}
	var all []Layer
	for _, raw := range layers {
		all = append(all, layerOf(t, raw))
	}
	err = Unpack(t.Context(), root, all, limit)
	if raw, readErr := os.ReadFile(filepath.Join(outside, "host")); readErr != nil || string(raw) != "host" {
		t.Errorf("a file outside was changed: %q, %v", raw, readErr)
	}
	if entries, readErr := os.ReadDir(outside); readErr != nil || len(entries) != 2 {
		t.Errorf("files were made outside: %v, %v", entries, readErr)
	}
	return list(t, root), err
}

// list names what is below a directory: name=content, name->target, name/.
func list(t testing.TB, root string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			all = append(all, rel+"/")
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(name)
			if err != nil {
				return err
			}
			all = append(all, rel+"->"+to)
		default:
			raw, err := os.ReadFile(name)
			if err != nil && !errors.Is(err, fs.ErrPermission) { // a file that nobody may read
				return err
			}
			all = append(all, rel+"="+string(raw))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(all)
	return strings.Join(all, " ")
}

func TestUnpack(t *testing.T) {
	base := archive(t, dir("./etc/"), file("./etc/passwd", "root"), file("etc/old", "1"), dir("lib/"), file("lib/a", "1"), file("lib/b", "1"),
		symlink("var", "/srv/data"), symlink("up", "../../../etc"))
	for name, test := range map[string]struct {
		layers [][]byte
		want   string
	}{
		"one layer":             {[][]byte{base}, "etc/ etc/old=1 etc/passwd=root lib/ lib/a=1 lib/b=1 up->../../../etc var->/srv/data"},
		"gzip":                  {[][]byte{compressed(t, archive(t, file("a", "1")))}, "a=1"},
		"replaced":              {[][]byte{base, archive(t, file("etc/old", "2"), file("lib", "now a file"))}, "etc/ etc/old=2 etc/passwd=root lib=now a file up->../../../etc var->/srv/data"},
		"whiteout":              {[][]byte{base, archive(t, file("etc/.wh.old", ""), file(".wh.lib", ""))}, "etc/ etc/passwd=root up->../../../etc var->/srv/data"},
		"opaque":                {[][]byte{base, archive(t, file("lib/c", "2"), file("lib/.wh..wh..opq", ""))}, "etc/ etc/old=1 etc/passwd=root lib/ lib/c=2 up->../../../etc var->/srv/data"},
		"own files outlive it":  {[][]byte{archive(t, file("a", "1"), file(".wh.a", ""))}, "a=1"},
		"absolute link as path": {[][]byte{base, archive(t, file("var/x", "2"))}, "etc/ etc/old=1 etc/passwd=root lib/ lib/a=1 lib/b=1 srv/ srv/data/ srv/data/x=2 up->../../../etc var->/srv/data"},
		"climbing link as path": {[][]byte{base, archive(t, file("up/new", "2"))}, "etc/ etc/new=2 etc/old=1 etc/passwd=root lib/ lib/a=1 lib/b=1 up->../../../etc var->/srv/data"},
		"link replaced":         {[][]byte{archive(t, symlink("a", "/../../host")), archive(t, file("a", "2"))}, "a=2"},
		"hard link":             {[][]byte{archive(t, file("a", "1"), hardLink("b/c", "/a"))}, "a=1 b/ b/c=1"},
		"no parents":            {[][]byte{archive(t, file("x/y/z", "1"))}, "x/ x/y/ x/y/z=1"},
		"device":                {[][]byte{archive(t, entry{"dev/null", "", tar.TypeChar, 0o666})}, "dev/"},
		"closed directory":      {[][]byte{archive(t, entry{"d/", "", tar.TypeDir, 0o555}, file("d/x", "1"))}, "d/ d/x=1"},
		"empty":                 {[][]byte{{}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := unpackIn(t, 1<<20, test.layers...)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v\nwant %q", got, err, test.want)
			}
		})
	}
}

func TestUnpackRefuses(t *testing.T) {
	big := archive(t, file("a", strings.Repeat("x", 1000)))
	for name, test := range map[string]struct {
		raw  []byte
		want string
	}{
		"climbing name":      {archive(t, file("../host", "x")), "leads out of the image"},
		"climbing in middle": {archive(t, file("a/../../host", "x")), "leads out of the image"},
		"climbing hard link": {archive(t, hardLink("a", "../host")), "leads out of the image"},
		"climbing whiteout":  {archive(t, file(".wh...", "")), "names nothing"},
		"hard link to none":  {archive(t, hardLink("a", "b")), "no such file"},
		"link loop":          {archive(t, symlink("a", "b"), symlink("b", "a"), file("a/x", "1")), "too many symbolic links"},
		"file as directory":  {archive(t, file("a", "1"), file("a/b", "2")), "file exists"},
		"zstd":               {[]byte("\x28\xb5\x2f\xfd and so on"), "zstd"},
		"cut off":            {big[:700], "unexpected EOF"},
		"too large":          {archive(t, file("a", strings.Repeat("x", 600)), file("b", strings.Repeat("x", 600))), "too large"},
		"no archive":         {bytes.Repeat([]byte("nonsense"), 200), "invalid tar header"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := unpackIn(t, 1000, test.raw)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	l := layerOf(t, archive(t, file("a", "1")))
	l.Digest = "sha256:" + strings.Repeat("0", 64)
	if err := Unpack(t.Context(), t.TempDir(), []Layer{l}, 1000); err == nil || !strings.Contains(err.Error(), "the layer's content is sha256:") {
		t.Errorf("another content: %v", err)
	}
}

func TestRemoveTree(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "root")
	if err := os.MkdirAll(filepath.Join(root, "closed"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "closed", "file"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "closed"), 0o500); err != nil {
		t.Fatal(err)
	}
	if err := RemoveTree(root); err != nil {
		t.Fatal(err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, dir("a/"), file("a/b", "1"), symlink("c", "/a"), hardLink("c/d", "a/b"), file("a/.wh.b", "")))
	f.Add(archive(f, symlink("x", ".."), file("x/host", "1"), file(".wh.x", "")))
	f.Add(compressed(f, archive(f, symlink("x", "/../.."), symlink("x/y", "../z"), file("x/y/host", "1"))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = unpackIn(t, 1<<16, raw, raw) // unpackIn fails where something leaves the root
	})
}
