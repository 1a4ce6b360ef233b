package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

func TestFindSource(t *testing.T) {
	root := committed(t, map[string]string{"apps/echo/go.mod": module, "other/x": "x", ".gitignore": "*.log\n"})
	dir := filepath.Join(root, "apps", "echo")
	s := source(t, dir)
	if len(s.Revision) != 40 || !s.Time.Equal(time.Unix(1700000000, 0)) || s.Dirty || s.Dir != dir || s.Root != root {
		t.Errorf("%+v", s)
	}
	// A hook's variables must not point elsewhere.
	elsewhere := committed(t, map[string]string{"y": "y"})
	hooked, err := FindSource(t.Context(), dir, append(offered(), "GIT_DIR="+elsewhere+"/.git", "GIT_WORK_TREE="+elsewhere, "GIT_INDEX_FILE="+elsewhere+"/.git/index"))
	if err != nil || hooked != s {
		t.Errorf("with GIT_DIR set: %+v, %v", hooked, err)
	}
}

func TestDirty(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, root string)
		want   bool
	}{
		"nothing":           {func(*testing.T, string) {}, false},
		"ignored file":      {func(t *testing.T, root string) { write(t, root, map[string]string{"a.log": ""}) }, false},
		"untracked":         {func(t *testing.T, root string) { write(t, root, map[string]string{"new": ""}) }, true},
		"changed elsewhere": {func(t *testing.T, root string) { write(t, root, map[string]string{"other/x": "y"}) }, true},
		"staged": {func(t *testing.T, root string) {
			write(t, root, map[string]string{"n": ""})
			gitIn(t, root, "add", "n")
		}, true},
		"deleted":            {func(t *testing.T, root string) { gitIn(t, root, "rm", "-q", "other/x") }, true},
		"untracked elsewere": {func(t *testing.T, root string) { write(t, root, map[string]string{"other/new": ""}) }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := committed(t, map[string]string{"apps/echo/go.mod": module, "other/x": "x", ".gitignore": "*.log\n"})
			test.change(t, root)
			if s := source(t, filepath.Join(root, "apps", "echo")); s.Dirty != test.want {
				t.Errorf("dirty %v, want %v", s.Dirty, test.want)
			}
		})
	}
}

func TestNoSource(t *testing.T) {
	plain := tree(t, nil)
	empty := tree(t, nil)
	gitIn(t, empty, "init", "-q")
	bare := tree(t, nil)
	gitIn(t, bare, "init", "-q", "--bare")
	for name, test := range map[string]struct {
		dir, env, says string
	}{
		"no repository": {plain, "", "not in a git repository"},
		"no commit":     {empty, "", "no commit yet"},
		"bare":          {bare, "", "no work tree"},
		"no directory":  {filepath.Join(plain, "absent"), "", "no directory"},
		"no git":        {plain, "PATH=" + plain, "not found on PATH"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := FindSource(t.Context(), test.dir, append(os.Environ(), test.env))
			if delivery.KindOf(err) != delivery.KindSource || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want KindSource with %q", err, test.says)
			}
		})
	}
}

// TestGitsWords holds the texts that explain looks for against git's own, for
// what a test can't bring about (another user's directory).
func TestGitsWords(t *testing.T) {
	g := git{dir: "/src/agents"}
	for said, want := range map[string]string{
		"fatal: detected dubious ownership in repository at '/src/agents'\nTo add an exception...": "safe.directory /src/agents",
		"fatal: ambiguous argument 'HEAD': unknown revision or path not in the working tree.":      "git commit",
	} {
		err := g.explain(&failure{err: errors.New("exit status 128"), output: said})
		var e *delivery.Error
		if !errors.As(err, &e) || e.Kind != delivery.KindSource || !strings.Contains(strings.Join(e.Hints, " "), want) {
			t.Errorf("%q: %v, want a hint with %q", said, err, want)
		}
	}
	err := g.explain(&failure{err: errors.New("git show: exit status 1"), output: "fatal: something else"})
	if !strings.Contains(err.Error(), "something else") {
		t.Errorf("an unknown refusal lost git's words: %v", err)
	}
}

func TestFindSourceStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FindSource(ctx, t.TempDir(), os.Environ()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestEnviron(t *testing.T) {
	env := environ(append(canaries(), "PATH=/bin", "HOME=/h", "XDG_CACHE_HOME=/c", "GOPRIVATE=x", "GIT_CONFIG_KEY_0=safe.directory",
		"GIT_DIR=/elsewhere", "GOOS=plan9", "LD_PRELOAD=/x", "=odd", "noequals"), passed(), "GOOS=linux")
	want := "PATH=/bin HOME=/h XDG_CACHE_HOME=/c GOPRIVATE=x GIT_CONFIG_KEY_0=safe.directory GOOS=linux"
	if got := strings.Join(env, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
