package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
)

func TestLoad(t *testing.T) {
	write := func(t *testing.T, dir, data string) string {
		t.Helper()
		file := filepath.Join(dir, FileName)
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	refused := func(t *testing.T, file, want string) {
		t.Helper()
		_, err := Load(file)
		if delivery.KindOf(err) != delivery.KindConfig || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	t.Run("good", func(t *testing.T) {
		dir := t.TempDir()
		f, err := Load(write(t, dir, smallest))
		if err != nil || f.Dir != dir {
			t.Errorf("got %+v, %v", f, err)
		}
	})
	t.Run("absent", func(t *testing.T) { refused(t, filepath.Join(t.TempDir(), FileName), "no such file") })
	t.Run("directory", func(t *testing.T) { refused(t, t.TempDir(), "not a regular file") })
	t.Run("problems", func(t *testing.T) {
		file := write(t, t.TempDir(), "version: 2\n")
		_, err := Load(file)
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 3 || delivery.ExitCode(err) != 2 || problems[0].File != file {
			t.Errorf("got %v", err)
		}
	})
	t.Run("too large", func(t *testing.T) {
		refused(t, write(t, t.TempDir(), smallest+strings.Repeat("#", 2*MaxSize)), "larger than 1024 KiB")
	})
	t.Run("link within", func(t *testing.T) {
		dir := t.TempDir()
		mkdir(t, filepath.Join(dir, "real"))
		link(t, "real", filepath.Join(dir, "app"))
		if _, err := Load(write(t, dir, withPath("app"))); err != nil {
			t.Error(err)
		}
	})
	t.Run("link out", func(t *testing.T) {
		dir := t.TempDir()
		link(t, t.TempDir(), filepath.Join(dir, "app"))
		refused(t, write(t, dir, withPath("app")), FileName+":3:36: agents.a.path: leads out of the repository by a symbolic link")
	})
	t.Run("link in the middle", func(t *testing.T) {
		dir, out := t.TempDir(), t.TempDir()
		mkdir(t, filepath.Join(out, "app"))
		link(t, out, filepath.Join(dir, "apps"))
		refused(t, write(t, dir, withPath("apps/app")), "leads out of the repository")
	})
	t.Run("Dockerfile link out", func(t *testing.T) {
		dir, out := t.TempDir(), t.TempDir()
		write(t, out, "x")
		link(t, filepath.Join(out, FileName), filepath.Join(dir, "Dockerfile"))
		refused(t, write(t, dir, smallest), "agents.a.build.dockerfile: leads out of the repository")
	})
	t.Run("path not there", func(t *testing.T) {
		if _, err := Load(write(t, t.TempDir(), withPath("app"))); err != nil {
			t.Error(err)
		}
	})
}

func withPath(path string) string {
	return strings.Replace(smallest, "repository: aa", "repository: aa, path: "+path, 1)
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	mkdir(t, filepath.Join(root, "repo", ".git"))
	mkdir(t, filepath.Join(root, "repo", "apps", "a"))
	mkdir(t, filepath.Join(root, "repo", "sub", ".git"))
	for _, dir := range []string{"", "repo"} {
		if err := os.WriteFile(filepath.Join(root, dir, FileName), []byte(smallest), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := filepath.Join(root, "repo", FileName)
	for _, dir := range []string{"repo", "repo/apps", "repo/apps/a"} {
		if got, err := Find(filepath.Join(root, dir)); err != nil || got != want {
			t.Errorf("%s: got %s, %v", dir, got, err)
		}
	}
	_, err := Find(filepath.Join(root, "repo", "sub")) // its own repository: nothing above counts
	if delivery.KindOf(err) != delivery.KindConfig || !strings.Contains(err.Error(), "there is no slipway.yaml in ") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(root, "repo", "sub", "slipway.yml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Find(filepath.Join(root, "repo", "sub"))
	var failure *delivery.Error
	if !errors.As(err, &failure) || len(failure.Hints) != 1 || !strings.HasPrefix(failure.Hints[0], "rename ") {
		t.Errorf("got %+v", failure)
	}
}
