package build

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
)

// Checkout is what git knows of a work tree, besides its commit.
type Checkout struct {
	// Root is the top of the work tree, absolute.
	Root string
	// Remote is the URL of the remote origin, else of the only one; "" where
	// there is none. It may hold credentials: don't print it.
	Remote string
	// Branch is the default branch of that remote, as far as it was fetched.
	Branch string
}

// FindCheckout says where dir's work tree is and where it comes from. A
// repository without commits will do. It returns an *delivery.Error of
// KindSource where there is no git or no work tree.
func FindCheckout(ctx context.Context, dir string, env []string) (Checkout, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Checkout{}, sourceError("finding the work tree", err)
	}
	g := gitAt(abs, env)
	root, err := g.root(ctx)
	if err != nil {
		return Checkout{}, err
	}
	c := Checkout{Root: filepath.FromSlash(root)}
	out, err := g.run(ctx, "remote")
	if err != nil {
		return Checkout{}, err
	}
	names := strings.Fields(out)
	name := "origin"
	if !slices.Contains(names, name) {
		if len(names) != 1 {
			return c, nil
		}
		name = names[0]
	}
	if out, err = g.run(ctx, "remote", "get-url", "--", name); err != nil {
		return Checkout{}, err
	}
	c.Remote, _, _ = strings.Cut(strings.TrimSpace(out), "\n")
	// A remote that was never fetched, or added by hand, has no HEAD.
	if out, err = g.run(ctx, "symbolic-ref", "--quiet", "--short", "refs/remotes/"+name+"/HEAD"); err == nil {
		c.Branch = strings.TrimPrefix(strings.TrimSpace(out), name+"/")
	}
	return c, ctx.Err()
}
