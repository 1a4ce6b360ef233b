package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/build"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/scaffold"
)

type initDocument struct {
	Schema       string            `json:"schema"` // slipway.init/v1
	File         string            `json:"file"`   // absolute
	Written      bool              `json:"written"`
	GitHub       string            `json:"github,omitempty"`
	Agents       []initAgent       `json:"agents"`
	Environments []initEnvironment `json:"environments"`
	Found        []string          `json:"found"`
	Notes        []string          `json:"notes"`
	Content      string            `json:"content"`
}

type initAgent struct {
	Name       string `json:"name"`
	Path       string `json:"path"`
	Engine     string `json:"engine"`
	Dockerfile string `json:"dockerfile,omitempty"`
	Package    string `json:"package,omitempty"`
	Repository string `json:"repository"`
}

type initEnvironment struct {
	Name    string `json:"name"`
	Account string `json:"account"`
	Region  string `json:"region"`
	Branch  string `json:"branch,omitempty"`
}

func (a *app) initCommand() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use: "init", Args: cobra.NoArgs,
		Short: "Write slipway.yaml from what the repository shows",
		Long: "Reads git's remote, Dockerfiles, Go programs, CDK's cdk.context.json and the files of AWS's agentcore\n" +
			"CLI, which stay as they are. What they don't say is asked, four questions at most; without a terminal\n" +
			"the flags answer. Nothing is looked up over the network, and a slipway.yaml is never overwritten.",
		Example: `  slipway init
  slipway init --dry-run | diff slipway.yaml -            # what it would write today
  slipway init --agent support --account 111122223333 --region us-east-1`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.init(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.agents, "agent", nil, "name of the agent; where there are several, which of them (repeated)")
	flags.StringVarP(&f.environment, "env", "e", "", `the environment; where aws-targets.json names several, which (default: all of them, else "dev")`)
	flags.StringVar(&f.account, "account", "", "AWS account of the environment, 12 digits")
	flags.StringVar(&f.github, "github", "", "repository on GitHub, owner/name; default: git's remote")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the file and write nothing")
	return cmd
}

func (a *app) init(ctx context.Context, f initFlags) error {
	if err := f.check(a.region); err != nil {
		return err
	}
	checkout, err := build.FindCheckout(ctx, a.Dir, a.Env)
	var notes []string
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil: // the working directory has to do
		checkout.Root, notes = a.Dir, []string{err.Error() + "; a deploy needs a commit"}
	}
	if err := a.vacant(checkout.Root); err != nil && !f.dryRun {
		return err
	}
	root, err := os.OpenRoot(checkout.Root)
	if err != nil {
		return &delivery.Error{Kind: delivery.KindUsage, Op: "reading the repository", Err: err}
	}
	defer func() { _ = root.Close() }() // it was only held
	remote, isRemote := scaffold.ParseRemote(checkout.Remote)
	project := filepath.Base(checkout.Root)
	if isRemote {
		project = remote.Name
	}
	survey, err := scaffold.Look(root.FS(), project)
	if err != nil {
		return &delivery.Error{Kind: delivery.KindUsage, Op: "reading the repository", Err: err}
	}
	survey.Notes = append(notes, survey.Notes...)
	i := &interview{app: a, flags: f, survey: survey, branch: checkout.Branch}
	i.origin(checkout.Remote, remote, isRemote)
	for _, line := range survey.Found {
		a.ui.line("%s  %s", a.ui.paint(green, "found"), a.ui.tame(line))
	}
	for _, line := range survey.Notes {
		a.ui.warn("%s", line)
	}
	proposal, err := i.proposal(ctx)
	if err != nil {
		return err
	}
	return a.propose(root, proposal, survey, f.dryRun)
}

// vacant refuses where there is a slipway.yaml already, be it one that leads
// nowhere or is called slipway.yml.
func (a *app) vacant(root string) error {
	names := []string{filepath.Join(root, config.FileName), filepath.Join(root, "slipway.yml")}
	if name, err := config.Find(a.Dir); err == nil {
		names = append(names, name)
	}
	for _, name := range names {
		if _, err := os.Lstat(name); err == nil {
			return occupied(name)
		}
	}
	return nil
}

func occupied(name string) error {
	return &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("%s is there already, and is not overwritten", name),
		Hints: []string{"slipway init --dry-run prints what the repository shows today"}}
}

// propose writes the file, or prints it.
func (a *app) propose(root *os.Root, p scaffold.Proposal, survey *scaffold.Survey, dryRun bool) error {
	content := scaffold.Render(p)
	file := filepath.Join(root.Name(), config.FileName)
	if _, err := config.Parse(config.FileName, content); err != nil {
		return &delivery.Error{Kind: delivery.KindConfig, Op: "making a " + config.FileName + " of what the repository shows", Err: err,
			Hints: []string{"--agent and --env choose what is taken over"}}
	}
	if !dryRun {
		if err := write(root, content); err != nil {
			return err
		}
	}
	if a.json() {
		return a.ui.document(initOf(p, survey, file, content, !dryRun))
	}
	if dryRun {
		a.ui.raw(content)
		return nil
	}
	a.ui.result("wrote  %s (%d lines)", a.nearby(file), bytes.Count(content, []byte("\n")))
	for _, next := range nextSteps(p, survey) {
		a.ui.line("next   %s", next)
	}
	return nil
}

// nearby is a file's name alone where it is in the working directory.
func (a *app) nearby(file string) string {
	here, errHere := os.Stat(a.Dir)
	there, errThere := os.Stat(filepath.Dir(file))
	if errHere == nil && errThere == nil && os.SameFile(here, there) {
		return filepath.Base(file)
	}
	return file
}

// write makes the file, and leaves none that is incomplete or that Load
// refuses.
func write(root *os.Root, content []byte) error {
	file := filepath.Join(root.Name(), config.FileName)
	failed := func(err error) error {
		return &delivery.Error{Kind: delivery.KindUsage, Op: "writing " + file, Err: err}
	}
	f, err := root.OpenFile(config.FileName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return occupied(file)
	}
	if err != nil {
		return failed(err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		_, err = config.Load(file)
	}
	if err != nil {
		return failed(errors.Join(err, root.Remove(config.FileName)))
	}
	return nil
}

// nextSteps are commands to go on with, as far as they are known.
func nextSteps(p scaffold.Proposal, survey *scaffold.Survey) []string {
	steps := []string{"git add " + config.FileName + " && git commit -m 'deliver by slipway'"}
	for _, e := range p.Environments {
		for _, agent := range p.Agents {
			if id := deployed(survey, e, agent.Name); id != "" {
				steps = append(steps, fmt.Sprintf("aws ssm put-parameter --type String --region %s --name /%s/%s/runtime-id --value %s    # the runtime that is there",
					e.Region, agent.Name, e.Name, id))
			}
		}
	}
	agent := ""
	if len(p.Agents) > 1 {
		agent = " --agent " + p.Agents[0].Name
	}
	return append(steps, "slipway deploy --env "+p.Environments[0].Name+agent+" --dry-run")
}

// deployed is the id of the runtime that another tool has made of an agent.
func deployed(survey *scaffold.Survey, e scaffold.Environment, agent string) string {
	for _, t := range survey.Targets {
		if t.Account == e.Account && t.Region == e.Region && (t.Name == e.Name || len(survey.Targets) == 1) {
			return t.Runtimes[agent]
		}
	}
	return ""
}

func initOf(p scaffold.Proposal, survey *scaffold.Survey, file string, content []byte, written bool) initDocument {
	doc := initDocument{Schema: "slipway.init/v1", File: file, Written: written, GitHub: p.GitHub, Content: string(content),
		Found: append([]string{}, survey.Found...), Notes: append([]string{}, survey.Notes...)}
	for _, a := range p.Agents {
		doc.Agents = append(doc.Agents, initAgent{a.Name, a.Path, a.Engine, a.Dockerfile, a.Package, a.Repository})
	}
	for _, e := range p.Environments {
		doc.Environments = append(doc.Environments, initEnvironment{e.Name, e.Account, e.Region, e.Branch})
	}
	return doc
}

// serverHost is the GitHub server that the environment names: a job's, or gh's.
func (a *app) serverHost() string {
	if host := a.Getenv("GH_HOST"); host != "" {
		return host
	}
	u, err := url.Parse(strings.TrimSpace(a.Getenv("GITHUB_SERVER_URL")))
	if err != nil {
		return ""
	}
	return u.Hostname()
}
