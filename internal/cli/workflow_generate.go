package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/build"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/workflow/generate"
)

// What became of a generated file.
const (
	fileWritten   = "written"
	fileUnchanged = "unchanged"
	fileRefused   = "refused" // it is not ours to overwrite
	fileDiffers   = "differs" // it is ours, and was left as it is
)

type generateDocument struct {
	Schema string              `json:"schema"` // slipway.workflow-generate/v1
	Files  []generatedDocument `json:"files"`
	Notes  []string            `json:"notes"`
}

type generatedDocument struct {
	Path    string          `json:"path"` // from the repository's root
	Outcome string          `json:"outcome"`
	Origin  generate.Origin `json:"origin,omitempty"` // of what was there; "" for nothing
	Diff    string          `json:"diff,omitempty"`   // unified, of what was there to what is generated
}

// generateFlags are the flags of slipway workflow generate.
type generateFlags struct{ check, dryRun, force bool }

func (a *app) workflowGenerateCommand() *cobra.Command {
	var f generateFlags
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Write the workflows that check, deliver and roll back, from slipway.yaml",
		Long: "Writes deploy-agent.yml, ci.yml, rollback.yml and the action by which their jobs install the Slipway\n" +
			"that tool: pins, and shows what changes. The same slipway.yaml yields the same files. What somebody has\n" +
			"edited, or another has written, is not overwritten without --force; then nothing is written at all.\n" +
			"docs/workflows.md says what is in them, and why.",
		Example: `  slipway workflow generate --dry-run    # the diff; writes nothing
  slipway workflow generate
  slipway workflow generate --check      # in CI: exit 3 where they are not those of slipway.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.generate(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.check, "check", false, "write nothing, and exit 3 where a file differs")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the diff and stop")
	flags.BoolVar(&f.force, "force", false, "overwrite what was edited, or is another's")
	cmd.MarkFlagsMutuallyExclusive("check", "dry-run", "force")
	return cmd
}

func (a *app) generate(ctx context.Context, f generateFlags) error {
	file, err := a.load()
	if err != nil {
		return err
	}
	checkout, err := a.atRoot(ctx, file.Dir)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(file.Dir)
	if err != nil {
		return &delivery.Error{Kind: delivery.KindUsage, Op: "reading the repository", Err: err}
	}
	defer func() { _ = root.Close() }() // it was only held
	tree, err := a.tracked(ctx, root.FS(), checkout)
	if err != nil {
		return err
	}
	made, err := generate.Generate(file, tree)
	if err != nil {
		return err
	}
	doc := generateDocument{Schema: "slipway.workflow-generate/v1", Files: []generatedDocument{}, Notes: orEmpty(append(made.Notes, otherBranch(file, checkout)...))}
	for _, made := range made.Files {
		compared, err := compareFile(root, made, f.force)
		if err != nil {
			return err
		}
		doc.Files = append(doc.Files, compared)
	}
	refused := slices.ContainsFunc(doc.Files, func(d generatedDocument) bool { return d.Outcome == fileRefused })
	var failure error
	if !f.check && !f.dryRun && !refused {
		failure = writeFiles(root, made.Files, doc.Files)
	}
	return errors.Join(a.tellGenerated(doc, f, refused), failure)
}

// atRoot refuses a slipway.yaml that is not in the root of its repository:
// GitHub reads workflows there, and their paths begin there. Without git, it is
// taken to be.
func (a *app) atRoot(ctx context.Context, dir string) (build.Checkout, error) {
	checkout, err := build.FindCheckout(ctx, dir, a.Env)
	if err != nil {
		return build.Checkout{}, ctx.Err()
	}
	here, errHere := os.Stat(dir)
	top, errTop := os.Stat(checkout.Root)
	if errHere == nil && errTop == nil && !os.SameFile(here, top) {
		return checkout, &delivery.Error{Kind: delivery.KindConfig, Err: fmt.Errorf("%s is not in the root of its repository, %s", filepath.Join(dir, config.FileName), checkout.Root),
			Hints: []string{"GitHub takes workflows from the root alone: move slipway.yaml there, and let the paths of agents begin there"}}
	}
	return checkout, nil
}

// tracked is what git has of a work tree or would have after git add: a clean
// clone has no more, and what is generated there has to be the same. Without
// git it is all there is.
func (a *app) tracked(ctx context.Context, tree fs.FS, c build.Checkout) (fs.FS, error) {
	if c.Root == "" {
		return tree, nil
	}
	files, err := build.Tree{Dir: c.Root, Env: a.Env}.Files(ctx)
	if err != nil {
		return nil, err
	}
	return generate.Only(tree, files), nil
}

// otherBranch says that pushes to the repository's default branch would not
// deliver.
func otherBranch(file *config.File, c build.Checkout) []string {
	var notes []string
	for _, e := range file.Environments() {
		if e.Trigger == "push" && e.Branch == "" && c.Branch != "" && c.Branch != generate.DefaultBranch {
			notes = append(notes, fmt.Sprintf("%s names no branch, so pushes to %s deliver there; the repository's default branch is %s: write branch: %s if that is meant",
				e.Name, generate.DefaultBranch, c.Branch, c.Branch))
		}
	}
	return notes
}

// compareFile says what is to become of a generated file.
func compareFile(root *os.Root, made generate.File, force bool) (generatedDocument, error) {
	doc := generatedDocument{Path: made.Path, Outcome: fileDiffers}
	there, err := root.ReadFile(filepath.FromSlash(made.Path))
	before := "a/" + made.Path
	switch {
	case errors.Is(err, fs.ErrNotExist):
		before = "/dev/null"
	case err != nil:
		return doc, &delivery.Error{Kind: delivery.KindUsage, Op: "reading " + made.Path, Err: err,
			Hints: []string{"it has to be a file of the repository: no directory, and no link that leads out"}}
	default:
		doc.Origin = generate.Judge(there)
	}
	if bytes.Equal(generate.Plain(there), made.Content) {
		doc.Outcome = fileUnchanged
		return doc, nil
	}
	if doc.Origin != "" && doc.Origin != generate.Ours && !force {
		doc.Outcome = fileRefused
	}
	doc.Diff = udiff.Unified(before, "b/"+made.Path, string(generate.Plain(there)), string(made.Content))
	return doc, nil
}

// writeFiles writes those that differ, and notes in docs which it has written.
func writeFiles(root *os.Root, files []generate.File, docs []generatedDocument) error {
	for i, f := range files {
		if docs[i].Outcome != fileDiffers {
			continue
		}
		if err := writeFile(root, filepath.FromSlash(f.Path), f.Content); err != nil {
			return &delivery.Error{Kind: delivery.KindFailed, Op: "writing " + f.Path, Err: err}
		}
		docs[i].Outcome = fileWritten
	}
	return nil
}

// writeFile puts a file in place at once, so that nobody finds half of it.
func writeFile(root *os.Root, name string, content []byte) error {
	dir := filepath.Dir(name)
	if err := root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	draft := filepath.Join(dir, "."+filepath.Base(name)+"."+rand.Text()[:8])
	f, err := root.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = root.Rename(draft, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(draft))
	}
	return nil
}

// diffTo shows a diff, which quotes what others wrote. To GitHub's runner a
// line of it must not begin with a command, blanks aside.
func (a *app) diffTo(show func(string, ...any), diff string) {
	before := ""
	if a.ui.actions {
		before = "| "
	}
	for line := range strings.Lines(diff) {
		show("%s%s", before, a.ui.harmless(strings.TrimSuffix(line, "\n")))
	}
}

// tellGenerated shows what changes and what was done, and sets the exit
// status.
func (a *app) tellGenerated(doc generateDocument, f generateFlags, refused bool) error {
	for _, note := range doc.Notes {
		a.ui.warn("%s", note)
	}
	// The diff is the result where it was asked for.
	asked := f.check || f.dryRun
	var differing, foreign []string
	for _, d := range doc.Files {
		if d.Outcome == fileRefused {
			foreign = append(foreign, d.Path)
		}
		if d.Outcome != fileUnchanged {
			differing = append(differing, path.Base(d.Path))
		}
		switch {
		case a.json():
		case asked:
			a.diffTo(a.ui.result, d.Diff)
		default:
			if d.Origin != "" { // of a new file the whole is the difference
				a.diffTo(a.ui.line, d.Diff)
			}
			a.ui.result("%-9s  %s", d.Outcome, d.Path)
		}
	}
	if a.json() {
		if err := a.ui.document(doc); err != nil {
			return err
		}
	}
	switch {
	case refused && !f.check:
		return &delivery.Error{Kind: delivery.KindRefused, Err: fmt.Errorf("%s: edited since it was generated, or another's; nothing was written", strings.Join(foreign, ", ")),
			Hints: []string{"move what you need elsewhere: ci.yml and the others are generated from slipway.yaml", "--force overwrites it with what the diff shows"}}
	case f.check && differing != nil:
		a.ui.line("%s", a.ui.paint(red, plural(len(differing), "file")+" not as slipway.yaml has it: "+strings.Join(differing, ", ")))
		a.ui.line("hint: slipway workflow generate, and commit what it writes")
		return exitError(delivery.ExitCode(&delivery.Error{Kind: delivery.KindFindings}))
	case f.check:
		a.ui.line("workflows are those of slipway.yaml")
	}
	return nil
}
