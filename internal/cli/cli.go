// Package cli is the command slipway as a value: streams, environment and
// arguments in, exit status out. One file holds one command; wire.go is the
// only place where adapters and the core meet.
//
// It refuses to decide anything about a delivery, which is the core's
// business, and to touch the process: it neither reads the real environment
// nor exits.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// System is what a process has: everything the command may touch.
type System struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
	// Env is the environment, as KEY=value.
	Env []string
	// Dir is the working directory, absolute.
	Dir string
	// Executable is the path of this very program: the local cloud and the
	// demo run it again.
	Executable string
	// Setenv changes the process's own environment, for children that
	// libraries start. May be nil.
	Setenv func(name, value string) error
}

// Getenv returns the value of an environment variable, "" where it is not set.
func (s System) Getenv(name string) string {
	for i := len(s.Env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(s.Env[i], name+"="); ok {
			return value
		}
	}
	return ""
}

// app is one run of the command.
type app struct {
	System
	ui *ui

	// Flags that every command has.
	output  string
	quiet   bool
	debug   bool
	noColor bool
	chdir   string
	yes     bool
	region  string
	profile string
	force   bool // --allow-long-lived-keys

	heard  []string    // the agent's own lines of the delivery under way
	synths synthesised // by doctor
}

// Main runs the command and returns its exit status (docs/errors.md).
func Main(ctx context.Context, args []string, sys System) int {
	a := &app{System: sys}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(sys.In)
	root.SetOut(sys.Out)
	root.SetErr(sys.Err)
	a.ui = newUI(a) // for errors before flags are read
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var status exitError
	if errors.As(err, &status) {
		return int(status)
	}
	a.ui.fail(err)
	return delivery.ExitCode(err)
}

// exitError is the status of a command that was run for the user: that command
// has told what there was to tell.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "slipway",
		Short: "From a commit to a serving agent on Amazon Bedrock AgentCore, without stored keys",
		Example: `  slipway demo                  the whole story on a local cloud: no account, no Docker
  slipway deploy --env dev      build, push, update, wait, verify
  slipway status                what serves where`,
		SilenceErrors: true, SilenceUsage: true, Version: version().String(),
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.begin(cmd.Annotations[moreOutput]) },
	}
	root.SetFlagErrorFunc(usage)
	root.SetVersionTemplate("{{.Version}}\n")
	flags := root.PersistentFlags()
	flags.StringVarP(&a.output, "output", "o", "text", "what stdout carries: text or json")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no progress on stderr")
	flags.BoolVar(&a.debug, "debug", false, "more of what happens on stderr")
	flags.BoolVar(&a.noColor, "no-color", false, "no colours (also NO_COLOR)")
	flags.StringVarP(&a.chdir, "directory", "C", "", "run as if started in this directory")
	flags.StringVar(&a.region, "region", "", "AWS region, over slipway.yaml and AWS_REGION")
	flags.StringVar(&a.profile, "profile", "", "AWS profile, over slipway.yaml and AWS_PROFILE")
	root.AddGroup(&cobra.Group{ID: "setup", Title: "Set up"}, &cobra.Group{ID: "deliver", Title: "Deliver"}, &cobra.Group{ID: "look", Title: "Look"},
		&cobra.Group{ID: "tools", Title: "Tools"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("setup", a.initCommand(), a.bootstrapCommand(), a.workflowCommand())
	add("deliver", a.buildCommand(), a.deployCommand(), a.promoteCommand(), a.rollbackCommand())
	add("look", a.statusCommand(), a.historyCommand(), a.diffCommand(), a.logsCommand(), a.invokeCommand(), a.doctorCommand(), a.auditCommand())
	add("tools", a.credentialsCommand(), a.localCommand(), a.demoCommand(), a.unlockCommand(), a.completionCommand(), a.schemaCommand(), a.versionCommand())
	root.SetHelpCommandGroupID("tools")
	a.strict(root)
	a.completions(root)
	return root
}

// strict makes every command report a wrong argument as a usage error, and a
// missing flag too: cobra looks for those only after the arguments.
func (a *app) strict(cmd *cobra.Command) {
	if cmd.RunE == nil {
		// A command of commands: what is no name of one is a mistake.
		cmd.Args = misspelled
		cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	} else if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := errors.Join(check(c, args), c.ValidateRequiredFlags(), c.ValidateFlagGroups()); err != nil {
				return usage(c, err)
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		a.strict(sub)
	}
}

func usage(cmd *cobra.Command, err error) error {
	hints := []string{"see " + cmd.CommandPath() + " --help"}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var flags []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
		hints = append(meant("--", unknown.GetSpecifiedName(), flags), hints...)
	}
	return &delivery.Error{Kind: delivery.KindUsage, Err: err, Hints: hints}
}

// misspelled is the usage error of a command of commands that has none of the
// name.
func misspelled(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return &delivery.Error{Kind: delivery.KindUsage, Err: cobra.NoArgs(cmd, args),
		Hints: append(meant("", args[0], names), "see "+cmd.CommandPath()+" --help")}
}

// meant is a hint at the word that was probably meant, if there is one.
func meant(prefix, word string, options []string) []string {
	if s := config.Suggest(word, options); s != "" {
		return []string{"did you mean " + prefix + s + "?"}
	}
	return nil
}

// positive refuses a duration that was given and is none to wait for.
func positive(cmd *cobra.Command, flag string, d time.Duration) error {
	if cmd.Flags().Changed(flag) && d <= 0 {
		return usage(cmd, fmt.Errorf("--%s is %s; it has to be more than 0", flag, d))
	}
	return nil
}

// begin reads the flags that every command has. more is a value of --output
// besides text and json, "" for none.
func (a *app) begin(more string) error {
	if a.output != "text" && a.output != "json" && (more == "" || a.output != more) {
		can := "text or json"
		if more != "" {
			can = "text, json or " + more
		}
		return &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("--output is %q; it can be %s", a.output, can)}
	}
	if a.chdir != "" {
		if !filepath.IsAbs(a.chdir) {
			a.chdir = filepath.Join(a.Dir, a.chdir)
		}
		a.Dir = a.chdir
	}
	a.ui = newUI(a)
	return nil
}

func (a *app) json() bool { return a.output == "json" }

// ci says whether this runs as a job of some CI system.
func (a *app) ci() bool { return a.Getenv("CI") == "true" || a.Getenv("GITHUB_ACTIONS") == "true" }

// path makes a path of the user's absolute.
func (a *app) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(a.Dir, p)
}
