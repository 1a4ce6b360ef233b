package build

import "context"

// FindChanges lists the files that differ between a commit and the one that is
// checked out, from the root of dir's work tree, with slashes; a file that was
// moved is there under both names. known is false where git does not have the
// commit: before a branch's first push there was none, and what a forced push
// took away is not fetched. It returns a *delivery.Error of KindSource where
// there is no git, no work tree or no commit.
func FindChanges(ctx context.Context, dir string, env []string, since string) (files []string, known bool, err error) {
	g, err := historyAt(dir, env)
	if err != nil {
		return nil, false, err
	}
	if _, _, err := g.head(ctx); err != nil {
		return nil, false, err
	}
	if !commitID.MatchString(since) {
		return nil, false, nil
	}
	if _, err := g.run(ctx, "cat-file", "-e", since+"^{commit}"); err != nil {
		return nil, false, ctx.Err()
	}
	files, err = g.names(ctx, "diff", "--name-only", "--no-renames", "--no-relative", "--no-ext-diff", "-z", since, "HEAD", "--")
	if err != nil {
		return nil, false, err
	}
	return files, true, nil
}
