package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/slipway-cd/slipway/internal/config"
)

// withoutPackage lets cobra's script for bash do without the bash-completion
// package, which macOS, containers and small servers don't have: words are
// then what stands between blanks.
const withoutPackage = `
if ! declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
    __slipway_init_completion()
    {
        local line="${COMP_LINE:0:COMP_POINT}"
        COMPREPLY=()
        IFS=$' \t\n' read -r -a words <<<"${line}"
        [[ ${line} == *[[:blank:]] ]] && words+=("")
        cword=$((${#words[@]} - 1))
        cur="${words[cword]}"
        prev="${words[cword > 0 ? cword - 1 : 0]}"
    }
    declare -F _filedir >/dev/null 2>&1 || _filedir()
    {
        local IFS=$'\n'
        COMPREPLY=($(compgen -d -- "${cur}"))
    }
fi
`

func shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish|powershell", ValidArgs: shells(),
		Short: "A script that teaches a shell to complete slipway's commands, flags and names",
		Long: "Prints a script for the shell. Environments and agents are completed from the slipway.yaml of the\n" +
			"directory; nothing is asked over the network.",
		Example: `  source <(slipway completion bash)       # this shell; for all to come, a line of ~/.bashrc
  slipway completion bash > /etc/bash_completion.d/slipway
  slipway completion zsh > "${fpath[1]}/_slipway"    # compinit has to run; then start a new shell
  slipway completion fish > ~/.config/fish/completions/slipway.fish
  slipway completion powershell | Out-String | Invoke-Expression    # a line of $PROFILE`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(shells(), args[0]) {
				return fmt.Errorf("name one shell: %s", strings.Join(shells(), ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var script bytes.Buffer
			if err := writeCompletion(&script, cmd.Root(), args[0]); err != nil {
				return err
			}
			a.ui.raw(script.Bytes())
			return nil
		},
	}
}

func writeCompletion(script *bytes.Buffer, root *cobra.Command, shell string) error {
	switch shell {
	case "zsh":
		return root.GenZshCompletion(script)
	case "fish":
		return root.GenFishCompletion(script, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(script)
	}
	err := root.GenBashCompletionV2(script, true)
	script.WriteString(withoutPackage)
	return err
}

// completions says for every command's flags what their values can be. Files
// are offered where a file is meant and nowhere else.
func (a *app) completions(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	files := cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	directories := cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	values := map[string]cobra.CompletionFunc{
		"env": a.completeEnvironments, "environment": a.completeEnvironments, "from": a.completeEnvironments, "agent": a.completeAgents,
		"output":    completeOutput,
		"directory": directories, "state": directories, "dir": directories,
		"verify": files, "jwks": files, "trust": files,
	}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		register := func(f *pflag.Flag) {
			complete := values[f.Name]
			if f.Name == "to" && cmd.Name() == "promote" {
				complete = a.completeEnvironments
			}
			if complete != nil && f.Value.Type() == "string" {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // the flag is there, and registered once
			}
		}
		cmd.LocalNonPersistentFlags().VisitAll(register)
		cmd.PersistentFlags().VisitAll(register)
		if strings.Contains(cmd.Use, "-- COMMAND") {
			cmd.ValidArgsFunction = files
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// completeOutput offers what the command can print.
func completeOutput(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	formats := []string{"text", "json"}
	if more := cmd.Annotations[moreOutput]; more != "" {
		formats = append(formats, more)
	}
	return formats, cobra.ShellCompDirectiveNoFileComp
}

// completed is the slipway.yaml of the directory, or nil: completion has
// nobody to tell of mistakes.
func (a *app) completed() *config.File {
	name, err := config.Find(a.path(a.chdir))
	if err != nil {
		return nil
	}
	file, err := config.Load(name)
	if err != nil {
		return nil
	}
	return file
}

func (a *app) completeEnvironments(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if file := a.completed(); file != nil {
		for _, e := range file.Environments() {
			if strings.HasPrefix(e.Name, begun) {
				names = append(names, cobra.CompletionWithDesc(e.Name, "account "+e.Account))
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

func (a *app) completeAgents(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if file := a.completed(); file != nil {
		for _, agent := range file.Agents() {
			if strings.HasPrefix(agent.Name, begun) {
				names = append(names, cobra.CompletionWithDesc(agent.Name, agent.Build.Path))
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
