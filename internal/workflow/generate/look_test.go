package generate_test

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/slipway-cd/slipway/internal/workflow/generate"
)

func TestOnly(t *testing.T) {
	whole := fstest.MapFS{}
	for _, name := range []string{"a/b/x", "a/b/y", "a/z", "c/x", "top", "link/x", "link/deep/x"} {
		whole[name] = &fstest.MapFile{}
	}
	part := generate.Only(whole, []string{"a/b/x", "top", "link", "gone", "/odd", "../odd"})
	var seen []string
	err := fs.WalkDir(part, ".", func(name string, _ fs.DirEntry, err error) error {
		seen = append(seen, name)
		return err
	})
	if want := []string{".", "a", "a/b", "a/b/x", "link", "link/deep", "link/deep/x", "link/x", "top"}; err != nil || !slices.Equal(seen, want) {
		t.Errorf("%v, %q, want %q", err, seen, want)
	}
	for name, want := range map[string]bool{"a/b/x": true, "link/x": true, "a/b/y": false, "c": false, "c/x": false, "gone": false, "../odd": false, "/odd": false, "": false} {
		if _, err := fs.Stat(part, name); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := fs.ReadDir(part, "c"); err == nil {
		t.Error("c can be listed")
	}
}
