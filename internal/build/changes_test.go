package build

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
)

func TestFindChanges(t *testing.T) {
	dir := committed(t, map[string]string{"a/x": "one\n", "b/y": "two\n", "c/z": "three\n", "grün/w ä\n": "four\n"})
	first := source(t, dir).Revision
	if err := os.Rename(filepath.Join(dir, "a", "x"), filepath.Join(dir, "b", "x")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"grün/w ä\n": "five\n"})
	gitIn(t, dir, "add", "--all")
	gitIn(t, dir, "commit", "-q", "-m", "second")
	write(t, dir, map[string]string{"c/z": "not committed\n"})

	files, known, err := FindChanges(t.Context(), filepath.Join(dir, "b"), offered(), first)
	if want := []string{"a/x", "b/x", "grün/w ä\n"}; err != nil || !known || !slices.Equal(files, want) {
		t.Errorf("%q, %v, %v; want %q", files, known, err, want)
	}
	if files, known, err := FindChanges(t.Context(), dir, offered(), source(t, dir).Revision); err != nil || !known || len(files) != 0 {
		t.Errorf("since the commit itself: %q, %v, %v", files, known, err)
	}
	for _, since := range []string{"", strings.Repeat("0", 40), strings.Repeat("a", 40), "HEAD", first[:12], "--output=x", first + "^{tree}"} {
		if files, known, err := FindChanges(t.Context(), dir, offered(), since); files != nil || known || err != nil {
			t.Errorf("since %q: %q, %v, %v; want nothing known", since, files, known, err)
		}
	}
	many := map[string]string{}
	for i := range 500 {
		many[fmt.Sprintf("%s/%03d", strings.Repeat("x", 100), i)] = "\n"
	}
	write(t, dir, many)
	gitIn(t, dir, "add", "--all")
	gitIn(t, dir, "commit", "-q", "-m", "third")
	if files, known, err := FindChanges(t.Context(), dir, offered(), first); err != nil || !known || len(files) != 504 || files[0] != "a/x" {
		t.Errorf("many: %d, %v, %v", len(files), known, err)
	}
	if _, _, err := FindChanges(t.Context(), t.TempDir(), offered(), first); delivery.KindOf(err) != delivery.KindSource {
		t.Errorf("no repository: %v, want KindSource", err)
	}
}
