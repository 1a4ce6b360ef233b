package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/agentcore"
	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/build"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/ecr"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/registry"
)

// selection is which agent and environment a command is about.
type selection struct {
	agent, environment string
	login              bool // the environment alone matters, to log in there
	look               bool // nothing is delivered: the agent's settings don't matter
	partial            bool // nor is anything asked of AWS: variables may be set elsewhere
}

func selectionFlags(cmd *cobra.Command, s *selection) {
	cmd.Flags().StringVarP(&s.environment, "env", "e", "", "environment of slipway.yaml (SLIPWAY_ENV)")
	cmd.Flags().StringVar(&s.agent, "agent", "", "agent of slipway.yaml, where there is more than one (SLIPWAY_AGENT)")
}

// load reads the slipway.yaml that governs the working directory.
func (a *app) load() (*config.File, error) {
	name, err := config.Find(a.Dir)
	if err != nil {
		return nil, err
	}
	file, err := config.Load(name)
	var problems config.Problems
	if errors.As(err, &problems) {
		a.relative(problems)
	}
	return file, err
}

// relative names the file as the user would: from where they are, and to
// GitHub, which marks its lines, from the checkout's root.
func (a *app) relative(problems config.Problems) {
	base := a.Dir
	if job := github.JobFrom(a.Getenv); job.Actions && job.Workspace != "" {
		base = job.Workspace
	}
	for i, p := range problems {
		if name, err := filepath.Rel(base, p.File); err == nil {
			problems[i].File = name
		}
	}
}

// project is slipway.yaml with one agent and environment of it picked.
type project struct {
	file   *config.File
	agent  config.Agent
	env    config.Environment
	target delivery.Target
	// lifetime of the session in a job; zero leaves it to awsauth.
	lifetime time.Duration
}

func (a *app) project(s selection) (*project, error) {
	file, err := a.load()
	if err != nil {
		return nil, err
	}
	return a.pick(file, s)
}

// named is a selection with what the process environment names, where the
// command line names nothing.
func (a *app) named(s selection) selection {
	s.environment = cmp.Or(s.environment, a.Getenv("SLIPWAY_ENV"))
	s.agent = cmp.Or(s.agent, a.Getenv("SLIPWAY_AGENT"))
	return s
}

func (a *app) pick(file *config.File, s selection) (*project, error) {
	s = a.named(s)
	choice := config.Selection{Agent: s.agent, Environment: s.environment, Region: a.region, Login: s.login, Look: s.look, Partial: s.partial}
	file, err := a.resolve(file, choice, nil)
	if err != nil {
		return nil, err
	}
	p := &project{file: file}
	if p.target, err = file.Target(choice, a.Getenv); err != nil {
		return nil, err
	}
	if p.agent, err = file.Agent(p.target.Agent); err != nil {
		return nil, err
	}
	if p.env, err = file.Environment(p.target.Environment); err != nil {
		return nil, err
	}
	p.target.BearerToken = a.Getenv("SLIPWAY_VERIFY_TOKEN")
	return p, nil
}

// session opens the session that a target is delivered with.
func (a *app) session(ctx context.Context, p *project) (*awsauth.Session, error) {
	role, err := p.file.DeployRole(p.target.Environment, a.Getenv)
	if err != nil {
		return nil, err
	}
	profile := a.profile
	if profile == "" {
		profile = p.env.Profile
	}
	minter := github.Minter{Getenv: a.Getenv}
	return awsauth.Source{
		Getenv: a.Getenv, Region: p.target.Region, Profile: profile, Role: role,
		Duration: p.lifetime, Token: minter.IDToken, Claims: github.Claims, Expect: expectation(p),
		AllowKeys: a.force, AllowForeign: a.yes, Patience: p.target.ReadyTimeout, Version: version().Version,
		Warn: func(line string) { a.ui.warn("%s", line) },
	}.Open(ctx)
}

// expectation is the caller that slipway.yaml implies the deploy role to
// trust.
func expectation(p *project) awsauth.Expect {
	e := awsauth.Expect{Repository: p.file.GitHub.Subject(), RepositoryID: p.file.GitHub.NameID,
		Environment: p.target.Environment, Audience: awsauth.DefaultAudience}
	if p.env.Branch != "" {
		e.Ref = "refs/heads/" + p.env.Branch
	}
	return e
}

// deliverer joins the core to the adapters of one target.
func (a *app) deliverer(ctx context.Context, p *project) (*delivery.Deliverer, error) {
	session, err := a.session(ctx, p)
	if err != nil {
		return nil, err
	}
	return a.delivererOf(session, p)
}

// delivererOf is deliverer within a session that is open.
func (a *app) delivererOf(session *awsauth.Session, p *project) (*delivery.Deliverer, error) {
	images, err := repository(session, p.target, p.target.Registry, p.target.Repository)
	if err != nil {
		return nil, err
	}
	runtimes := &agentcore.Client{
		Config:  session.Config(awsauth.AgentCoreControl),
		Control: session.Endpoint(awsauth.AgentCoreControl),
		Data:    session.Endpoint(awsauth.AgentCore), UserAgent: "slipway/" + version().Version,
		Patience: p.target.ReadyTimeout, Renew: session.Renew,
	}
	parameters := agentcore.NewParameters(session.Config(awsauth.SSM))
	d := &delivery.Deliverer{
		Target: p.target, Actor: a.actor(p),
		Login: session, Builder: lazyBuilder{a, p},
		Repository: images, Publisher: images,
		Runtimes: runtimes, Creator: runtimes, Mover: runtimes, Invoker: runtimes,
		Elsewhere:  func(host, name string) delivery.Repository { return elsewhere(session, p.target, host, name) },
		Logs:       agentcore.NewLogs(session.Config(awsauth.Logs)),
		Parameters: parameters,
		Archive:    parameters,
		Redact:     a.ui.hidden,
		Observe:    (&progress{ui: a.ui, debug: a.debug, heard: &a.heard}).observe,
	}
	if len(p.target.Unread) > 0 {
		d.Complete = a.completion(p, parameters)
	}
	return d, nil
}

// repository is an ECR repository of a target's region, logged in by ECR's own
// token. Where ECR's API stands elsewhere, so does its registry.
func repository(session *awsauth.Session, t delivery.Target, host, name string) (*registry.Repository, error) {
	images := &registry.Repository{Registry: host, Name: name, Transport: session.Transport(), Patience: t.ReadyTimeout}
	if base := session.Endpoint(awsauth.ECR); base != "" {
		endpoint, err := url.Parse(base)
		if err != nil {
			return nil, fmt.Errorf("reading ECR's endpoint: %w", err)
		}
		images.Endpoint = endpoint
	}
	config := session.Config(awsauth.ECR)
	config.Region = t.Region
	images.Auth = ecr.New(config).Credentials
	return images, nil
}

// elsewhere is another ECR repository of a target's region, nil where the host
// is none: ECR's token, which is good for every registry of the region, goes
// to nobody else.
func elsewhere(session *awsauth.Session, t delivery.Target, host, name string) delivery.Repository {
	account, rest, _ := strings.Cut(host, ".")
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" ||
		strings.TrimSuffix(rest, ".cn") != "dkr.ecr."+t.Region+".amazonaws.com" {
		return nil
	}
	images, err := repository(session, t, host, name)
	if err != nil {
		return nil
	}
	return images
}

// lazyBuilder chooses the engine when there is something to build, so that an
// environment whose image exists needs none.
type lazyBuilder struct {
	app     *app
	project *project
}

func (b lazyBuilder) Build(ctx context.Context, req delivery.BuildRequest) (delivery.Image, error) {
	file, settings := b.project.file, b.project.agent.Build
	secrets, err := file.BuildSecrets(b.project.agent.Name, b.app.Getenv)
	if err != nil {
		var problems config.Problems
		if errors.As(err, &problems) {
			b.app.relative(problems)
		}
		return nil, err
	}
	dockerfile := build.Dockerfile{Path: settings.Dockerfile, Args: settings.Args, Target: settings.Target,
		CacheFrom: settings.CacheFrom, CacheTo: settings.CacheTo}
	for _, s := range secrets {
		dockerfile.Secrets = append(dockerfile.Secrets, build.Secret{ID: s.ID, Env: s.Env, File: s.File})
	}
	engine, err := build.New(settings.Engine, build.Options{Package: settings.Package, Dockerfile: dockerfile,
		Address: settings.Address, TLS: file.PathTo(settings.TLS, b.app.Getenv), Env: b.app.Env})
	if err != nil {
		return nil, err
	}
	return engine.Build(ctx, req)
}

// source finds the commit that is to be built.
func (a *app) source(ctx context.Context, p *project) (delivery.Source, error) {
	dir := filepath.Join(p.file.Dir, filepath.FromSlash(p.agent.Build.Path))
	if _, err := os.Stat(dir); err != nil {
		return delivery.Source{}, &delivery.Error{Kind: delivery.KindSource, Op: "finding the build context", Err: err,
			Hints: []string{"agents." + p.target.Agent + ".path in slipway.yaml names it"}}
	}
	return build.FindSource(ctx, dir, a.Env)
}

// actor is on whose behalf this runs, and who may take over its lock: the
// same run in CI, else the same person in the same work tree.
func (a *app) actor(p *project) delivery.Actor {
	job := github.JobFrom(a.Getenv)
	if job.Actions {
		return delivery.Actor{Name: job.Actor, Run: job.RunURL(), Owner: job.Repository + " " + job.RunID, CI: true}
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return delivery.Actor{Owner: host + " " + p.file.Dir}
}

// timeout puts --timeout in place of what slipway.yaml says.
func timeout(t *delivery.Target, limit time.Duration) {
	if limit > 0 {
		t.ReadyTimeout, t.VerifyTimeout = limit, limit
	}
}

// agents lists the names that a command with --all or --agent is about.
func (a *app) agents(file *config.File, all bool, chosen string) ([]string, error) {
	if all && chosen != "" {
		return nil, &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("--all and --agent exclude each other")}
	}
	if !all {
		return []string{chosen}, nil
	}
	var names []string
	for _, agent := range file.Agents() {
		names = append(names, agent.Name)
	}
	return names, nil
}

// shortDigest is a digest for tables: sha256:4ae2c7a6….
func shortDigest(digest string) string {
	if hex, ok := strings.CutPrefix(digest, "sha256:"); ok && len(hex) > 8 {
		return "sha256:" + hex[:8] + "…"
	}
	return digest
}

func shortRevision(revision string) string {
	if len(revision) > 7 {
		return revision[:7]
	}
	return revision
}
