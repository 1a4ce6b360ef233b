package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/process"
)

// FindSource says which commit dir stands on: HEAD's id and time, the root of
// the work tree, and whether anything in the whole work tree differs from the
// commit, untracked files that are not ignored included. It asks the git
// command, with what environ.go lists of env.
//
// It returns an *delivery.Error of KindSource where there is no git, no
// repository or no commit, with a hint that says what to do.
func FindSource(ctx context.Context, dir string, env []string) (delivery.Source, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return delivery.Source{}, sourceError("finding the commit", err)
	}
	g := gitAt(abs, env)
	s := delivery.Source{Dir: abs}
	if s.Root, err = g.root(ctx); err != nil {
		return delivery.Source{}, err
	}
	if s.Revision, s.Time, err = g.head(ctx); err != nil {
		return delivery.Source{}, err
	}
	if s.Dirty, err = g.dirty(ctx); err != nil {
		return delivery.Source{}, err
	}
	return s, nil
}

// git runs the git command in a directory.
type git struct {
	dir string
	env []string
}

func gitAt(dir string, offered []string) git {
	return git{dir: dir, env: environ(offered, passed(), "LC_ALL=C", "GIT_TERMINAL_PROMPT=0")}
}

func (g git) run(ctx context.Context, args ...string) (string, error) {
	return g.runTo(ctx, nil, args...)
}

// names runs a git command that lists names with -z. Unlike run's, its output
// may be of any length.
func (g git) names(ctx context.Context, args ...string) ([]string, error) {
	var out bytes.Buffer
	if _, err := g.runTo(ctx, &out, args...); err != nil {
		return nil, err
	}
	return strings.FieldsFunc(out.String(), func(r rune) bool { return r == 0 }), nil
}

// runTo is run with another writer for the standard output, if there is one.
func (g git) runTo(ctx context.Context, to io.Writer, args ...string) (string, error) {
	// Without optional locks, looking does not write to the index.
	all := append([]string{"--no-optional-locks", "-c", "log.showSignature=false"}, args...)
	out, err := child{program: "git", name: "git " + args[0], args: all, dir: g.dir, env: g.env, out: to}.run(ctx)
	if err != nil && ctx.Err() == nil {
		return "", g.explain(err)
	}
	return out, err
}

func (g git) root(ctx context.Context) (string, error) {
	out, err := g.run(ctx, "rev-parse", "--show-toplevel")
	return strings.TrimRight(out, "\r\n"), err
}

func (g git) head(ctx context.Context) (string, time.Time, error) {
	out, err := g.run(ctx, "show", "--no-patch", "--format=%H %ct", "HEAD", "--")
	if err != nil {
		return "", time.Time{}, err
	}
	id, seconds, _ := strings.Cut(strings.TrimSpace(out), " ")
	if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(id) {
		return "", time.Time{}, sourceError("finding the commit", fmt.Errorf("%q is no commit id of 40 hex digits", id),
			"repositories with SHA-256 commit ids are not supported")
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return "", time.Time{}, sourceError("finding the commit", fmt.Errorf("git gives %q as the time of %s", seconds, id))
	}
	return id, time.Unix(unix, 0).UTC(), nil
}

func (g git) dirty(ctx context.Context) (bool, error) {
	out, err := g.run(ctx, "status", "--porcelain", "--untracked-files=normal")
	return out != "", err
}

// explain puts git's refusals into words that say what to do.
func (g git) explain(err error) error {
	const op = "finding the commit"
	var f *failure
	switch {
	case errors.Is(err, process.ErrNotFound):
		return sourceError(op, err, "install git, or put it on PATH")
	case errors.Is(err, fs.ErrNotExist):
		return sourceError(op, fmt.Errorf("there is no directory %s", g.dir))
	case !errors.As(err, &f):
		return sourceError(op, err)
	}
	said := func(text string) bool { return strings.Contains(f.output, text) }
	switch {
	case said("dubious ownership"):
		return sourceError(op, fmt.Errorf("git does not trust %s: it belongs to another user", g.dir),
			"run: git config --global --add safe.directory "+g.dir)
	case said("not a git repository"):
		return sourceError(op, fmt.Errorf("%s is not in a git repository", g.dir),
			"run slipway in a clone, or begin with: git init && git add . && git commit")
	case said("must be run in a work tree"):
		return sourceError(op, fmt.Errorf("%s has no work tree", g.dir), "run slipway in a clone that is not bare")
	case said("bad revision 'HEAD'"), said("unknown revision"), said("does not have any commits"):
		return sourceError(op, fmt.Errorf("the repository at %s has no commit yet", g.dir), "run: git add . && git commit")
	}
	return sourceError(op, fmt.Errorf("%w: %s", f.err, f.output))
}

func sourceError(op string, err error, hints ...string) error {
	return &delivery.Error{Kind: delivery.KindSource, Op: op, Err: err, Hints: hints}
}
