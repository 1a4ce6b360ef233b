package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// TestWrite writes a slipway.yaml that is whole and loads, or none; and never
// over another, not even one that came meanwhile.
func TestWrite(t *testing.T) {
	const good = "version: 1\nagents: {a: {repository: a/runtime}}\nenvironments: {dev: {account: \"111122223333\"}}\n"
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := write(root, []byte("version: 2\n")); delivery.ExitCode(err) != 2 {
		t.Errorf("a file that does not load: %v", err)
	}
	if left, err := os.ReadDir(root.Name()); err != nil || len(left) > 0 {
		t.Fatalf("left behind: %v %v", left, err)
	}
	if err := write(root, []byte(good)); err != nil {
		t.Fatal(err)
	}
	err = write(root, []byte(strings.ReplaceAll(good, "dev", "prd")))
	if delivery.KindOf(err) != delivery.KindUsage || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a file that is there: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(root.Name(), config.FileName)); err != nil || string(got) != good {
		t.Errorf("it holds %q, %v", got, err)
	}
}
