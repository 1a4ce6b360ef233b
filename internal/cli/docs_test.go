package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// golden compares what was made with a file of docs/; -update rewrites it.
func golden(t *testing.T, name string, made []byte) {
	t.Helper()
	name = filepath.Join("..", "..", "docs", name)
	if update() {
		if err := os.WriteFile(name, made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, made) {
		t.Errorf("%s is not what the program says now; make golden rewrites it", name)
	}
}

// TestErrorsDoc holds docs/errors.md to the kinds of the core.
func TestErrorsDoc(t *testing.T) {
	var b bytes.Buffer
	fmt.Fprint(&b, "# Errors and exit codes\n\nGenerated from the program; `make golden` rewrites it.\n\n"+
		"A failed command prints `error:` with what failed and on what, then `hint:` lines with what to do, and,\n"+
		"where a delivery had begun, `now:` with what serves. With `-o json` a delivery's document carries the same\n"+
		"in its `error` member: `kind` (below), `message`, `hints`, `serves`, and AWS's `request_id` where it gave one.\n\n"+
		"Where AWS denied a permission, the hints say which action on which resource the caller lacks, which statement of\n"+
		"the policies that `slipway bootstrap` writes allows it, or that they leave it out on purpose; and where a Deny, a\n"+
		"boundary, a session's, a resource's or the organization's policy decided, that no Allow helps, and who can change it.\n\n"+
		"| exit | kind | meaning |\n|---|---|---|\n| 0 | | done, or nothing to do |\n")
	for _, k := range delivery.Kinds() {
		fmt.Fprintf(&b, "| %d | `%s` | %s |\n", k.Exit, k.Kind, k.Meaning)
	}
	fmt.Fprint(&b, "\n5 may be tried again; 4 and 6 call somebody; 2 is for whoever edited the file or the account.\n")
	golden(t, "errors.md", b.Bytes())
}

// TestCommandsDoc holds docs/commands.md to the help texts.
func TestCommandsDoc(t *testing.T) {
	var b bytes.Buffer
	fmt.Fprint(&b, "# Commands\n\nGenerated from the program's own help; `make golden` rewrites it.\n")
	a := &app{}
	a.ui = newUI(a)
	describe(&b, a.root())
	golden(t, "commands.md", b.Bytes())
}

func describe(b *bytes.Buffer, cmd *cobra.Command) {
	if cmd.Hidden || cmd.Name() == "help" {
		return
	}
	var help bytes.Buffer
	cmd.SetOut(&help)
	cmd.InitDefaultHelpFlag()
	_ = cmd.Help()
	fmt.Fprintf(b, "\n## %s\n\n```text\n%s\n```\n", cmd.CommandPath(), strings.TrimSpace(help.String()))
	for _, sub := range cmd.Commands() {
		describe(b, sub)
	}
}

// TestHelp holds every help text to what fits a screen and begins with a
// sentence.
func TestHelp(t *testing.T) {
	a := &app{}
	a.ui = newUI(a)
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if !cmd.Hidden && cmd.Name() != "help" {
			var help bytes.Buffer
			cmd.SetOut(&help)
			_ = cmd.Help()
			if lines := strings.Count(help.String(), "\n"); lines > 50 {
				t.Errorf("%s --help has %d lines", cmd.CommandPath(), lines)
			}
			if cmd.Short == "" {
				t.Errorf("%s does not say what it does", cmd.CommandPath())
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(a.root())
}
