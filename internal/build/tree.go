package build

import (
	"context"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/process"
)

// Tree answers what git knows of a directory in a work tree. It asks the git
// command and changes nothing, the index included.
type Tree struct {
	Dir string
	Env []string
}

// Head is FindSource of the directory.
func (t Tree) Head(ctx context.Context) (delivery.Source, error) {
	return FindSource(ctx, t.Dir, t.Env)
}

// Tracked says whether git has the file, as it is committed or staged.
func (t Tree) Tracked(ctx context.Context, file string) (bool, error) {
	return t.lists(ctx, file)
}

// Ignored says whether git is told to leave the file out.
func (t Tree) Ignored(ctx context.Context, file string) (bool, error) {
	return t.lists(ctx, file, "--others", "--ignored", "--exclude-standard")
}

// Files lists what git has of the directory or would have after git add, with
// slashes: all files but those that it is told to leave out. Some may be
// deleted meanwhile.
func (t Tree) Files(ctx context.Context) ([]string, error) {
	return gitAt(t.Dir, t.Env).names(ctx, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
}

func (t Tree) lists(ctx context.Context, file string, flags ...string) (bool, error) {
	args := append([]string{"--literal-pathspecs", "ls-files", "-z"}, flags...)
	out, err := gitAt(t.Dir, t.Env).run(ctx, append(args, "--", file)...)
	return out != "", err
}

// Shallow says whether the clone lacks earlier commits.
func (t Tree) Shallow(ctx context.Context) (bool, error) {
	out, err := gitAt(t.Dir, t.Env).run(ctx, "rev-parse", "--is-shallow-repository")
	return strings.TrimSpace(out) == "true", err
}

// Present says whether the program of an engine is on env's PATH. It returns a
// *delivery.Error of KindConfig, with a hint that says how to get it.
func Present(engine string, env []string) error {
	program := engine
	if engine == "buildkit" {
		program = "buildctl"
	}
	if _, err := process.Find(env, program); err != nil {
		if program == "go" {
			return &delivery.Error{Kind: delivery.KindConfig, Op: "looking for Go", Err: err,
				Hints: []string{"install Go and put it on PATH: https://go.dev/dl"}}
		}
		return missing("looking for "+program, program, err)
	}
	return nil
}
