package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
	"github.com/slipway-cd/slipway/internal/sim/sandbox"
)

// Where a local cloud is and keeps its state, unless told otherwise.
const (
	defaultListen = "127.0.0.1:4510"
	defaultState  = ".slipway/local"
)

// maxHeader bounds a request's headers, in bytes: AgentCore passes an agent 20
// of its own, 4 KB each, beside a token.
const maxHeader = 256 << 10

// initCommand is the hidden command that becomes the first process of an
// agent's sandbox.
const initCommand = "agent-init"

type localDocument struct {
	Schema  string `json:"schema"` // slipway.local/v1
	Address string `json:"address"`
	State   string `json:"state"`
}

type envDocument struct {
	Schema    string            `json:"schema"` // slipway.local-env/v1
	Variables map[string]string `json:"variables"`
}

type tokenDocument struct {
	Schema string          `json:"schema"` // slipway.local-token/v1
	Token  string          `json:"token"`
	Claims json.RawMessage `json:"claims"`
}

func (a *app) localCommand() *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "local",
		Short: "The local cloud: AWS and GitHub as far as a delivery needs them, on one loopback port",
		Example: `  slipway local up &
  eval "$(slipway local env)"            # be the administrator
  aws ssm get-parameters --names /agent/dev/runtime-id
  slipway local job --repository acme/agents --environment dev -- slipway deploy --env dev
  slipway local approve                  # the job that waits, as one who may`,
	}
	cmd.PersistentFlags().StringVar(&state, "state", defaultState, "directory of the cloud's state; it names the cloud")
	dir := func() string { return a.path(state) }
	cmd.AddCommand(a.localUp(dir), a.localEnv(dir), a.localJob(dir), a.localApprove(dir), a.localRepository(dir), a.localToken(dir), a.localJournal(dir), a.localFault(dir), a.localReset(dir), a.localInit())
	return cmd
}

func (a *app) localInit() *cobra.Command {
	return &cobra.Command{Use: initCommand, Hidden: true, DisableFlagParsing: true,
		// No output option is read: the arguments are the sandbox's alone.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(_ *cobra.Command, args []string) error {
			return exitError(sandbox.Init(args))
		}}
}

func (a *app) localUp(dir func() string) *cobra.Command {
	var listen string
	var settle time.Duration
	cmd := &cobra.Command{
		Use: "up", Short: "Serve the local cloud in the foreground; its address is the one line on stdout", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := positive(cmd, "settle", settle); err != nil {
				return err
			}
			c, err := a.startCloud(cmd.Context(), dir(), listen, settle, a.warning)
			if err != nil {
				return err
			}
			if a.json() {
				err = a.ui.document(localDocument{"slipway.local/v1", c.address, dir()})
			} else {
				a.ui.result("%s", c.address)
			}
			a.ui.line("the local cloud serves; eval \"$(slipway local env --state %s)\" makes a shell its administrator's", dir())
			return errors.Join(err, c.wait(cmd.Context()))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", defaultListen, "loopback address to serve on; port 0 takes a free one")
	cmd.Flags().DurationVar(&settle, "settle", time.Second, "how long a runtime stays CREATING or UPDATING")
	return cmd
}

// runningCloud is a local cloud that this process serves.
type runningCloud struct {
	*sim.Cloud
	address string
	server  *http.Server
	failed  chan error
}

// startCloud serves a cloud on a loopback address until wait or stop ends it.
func (a *app) startCloud(ctx context.Context, dir, listen string, settle time.Duration, warn func(string)) (*runningCloud, error) {
	host, _, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("--listen is %q; it has to be a loopback address and a port, such as %s", listen, defaultListen)}
	}
	if c, err := dial(ctx, dir); err == nil {
		return nil, &delivery.Error{Kind: delivery.KindRefused, Op: "starting the local cloud", Err: fmt.Errorf("one serves %s already, on %s", dir, c.base)}
	}
	cloud := &sim.Cloud{Dir: dir, Settle: settle, Sandbox: []string{a.Executable, "local", initCommand},
		Warn: warn}
	if err := cloud.Open(); err != nil {
		return nil, &delivery.Error{Kind: delivery.KindFailed, Op: "starting the local cloud", Err: err}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindUnavailable, Op: "starting the local cloud", Err: errors.Join(err, cloud.Close()),
			Hints: []string{"another program may have the port: --listen 127.0.0.1:0 takes a free one"}}
	}
	secured, err := cloud.Secure(l)
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindFailed, Op: "starting the local cloud", Err: errors.Join(err, l.Close(), cloud.Close())}
	}
	c := &runningCloud{Cloud: cloud, address: "http://" + l.Addr().String(), failed: make(chan error, 1),
		server: &http.Server{Handler: cloud, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader}}
	go func() { c.failed <- c.server.Serve(secured) }()
	// The state may lie in somebody's repository: it keeps itself out of it.
	return c, errors.Join(os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o600),
		os.WriteFile(filepath.Join(dir, addressFile), []byte(c.address+"\n"), 0o600))
}

func (a *app) warning(line string) { a.ui.warn("%s", line) }

// wait serves until the context ends.
func (c *runningCloud) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return c.stop()
	case err := <-c.failed:
		return errors.Join(err, c.stop())
	}
}

// stop ends the cloud and every agent in it.
func (c *runningCloud) stop() error {
	return errors.Join(os.Remove(filepath.Join(c.Dir, addressFile)), c.server.Close(), c.Close())
}

func (a *app) localEnv(dir func() string) *cobra.Command {
	var account, login string
	cmd := &cobra.Command{
		Use: "env", Short: "The exports that an administrator of the cloud needs, or a person on its GitHub", Args: cobra.NoArgs,
		Example: `  eval "$(slipway local env)"
  eval "$(slipway local env --as hubot)"   # GitHub's API alone, as somebody who can read a repository`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := dial(cmd.Context(), dir())
			if err != nil {
				return err
			}
			ask := func() (map[string]string, error) { return c.administrator(cmd.Context(), account) }
			if login != "" {
				ask = func() (map[string]string, error) { return c.person(cmd.Context(), login) }
			}
			env, err := ask()
			if err != nil {
				return &delivery.Error{Kind: delivery.KindUsage, Err: err}
			}
			if a.json() {
				return a.ui.document(envDocument{"slipway.local-env/v1", env})
			}
			for _, name := range sortedNames(env) {
				a.ui.result("export %s=%s", name, shellQuote(env[name]))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&account, "account", sim.DefaultAccount, "account to administer")
	cmd.Flags().StringVar(&login, "as", "", "login of a person: no keys of AWS, a token of GitHub's API")
	cmd.MarkFlagsMutuallyExclusive("account", "as")
	return cmd
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// jobFlags are the properties of a job that local job and local token share.
func jobFlags(cmd *cobra.Command, j *sim.Job) {
	f := cmd.Flags()
	f.StringVar(&j.Repository, "repository", "", "OWNER/NAME, or OWNER@ID/NAME@ID for the immutable subject")
	f.StringVar(&j.Ref, "ref", "", "the ref that the workflow runs on (default refs/heads/main)")
	f.StringVar(&j.Environment, "environment", "", "the job's environment")
	f.StringVar(&j.Event, "event", "", "the event that started the run (default push)")
	f.StringVar(&j.SHA, "sha", "", "the commit; default: made up")
	f.StringVar(&j.Actor, "actor", "", "who started the run (default octocat)")
	f.StringVar(&j.Workflow, "workflow", "", "name of the workflow (default deploy-agent)")
}

// jobEnviron is an environment with a job's variables in it and nothing that
// could stand for other credentials.
func jobEnviron(inherited []string, job map[string]string) []string {
	var env []string
	for _, kv := range inherited {
		name, _, _ := strings.Cut(kv, "=")
		foreign := strings.HasPrefix(name, "AWS_") && name != "AWS_CA_BUNDLE" || strings.HasPrefix(name, "ACTIONS_") ||
			strings.HasPrefix(name, "GITHUB_") || name == "GH_TOKEN" || name == "CI"
		if !foreign {
			env = append(env, kv)
		}
	}
	for _, name := range sortedNames(job) {
		env = append(env, name+"="+job[name])
	}
	return env
}

func (a *app) localToken(dir func() string) *cobra.Command {
	var job sim.Job
	var v verification
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use: "token (--repository OWNER/NAME [flags] | --verify FILE --jwks FILE)", Args: cobra.NoArgs,
		Short: "A signed token as GitHub would give a job one; or the verdict of STS on one",
		Example: `  slipway local token --repository acme/agents --environment dev
  slipway local token --verify token.txt --jwks jwks.json --trust trust.json   # offline; rejected: exit 3`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if v.token != "" {
				return a.verifyToken(v)
			}
			job.Lifetime = int64(lifetime.Seconds())
			return a.printToken(cmd.Context(), dir(), job, v.audience)
		},
	}
	jobFlags(cmd, &job)
	cmd.Flags().DurationVar(&lifetime, "lifetime", 5*time.Minute, "how long the token is good; GitHub's are for five minutes")
	cmd.Flags().StringVar(&v.audience, "audience", "sts.amazonaws.com", "the audience to ask for, or the one registered")
	cmd.Flags().StringVar(&v.token, "verify", "", "file with a token to judge; - for stdin")
	cmd.Flags().StringVar(&v.jwks, "jwks", "", "file with the issuer's key set")
	cmd.Flags().StringVar(&v.trust, "trust", "", "file with the trust policy of a role")
	cmd.Flags().Int64Var(&v.now, "now", 0, "the time to judge at, in Unix seconds; default: now")
	cmd.MarkFlagsOneRequired("repository", "verify")
	cmd.MarkFlagsMutuallyExclusive("repository", "verify")
	return cmd
}

func (a *app) printToken(ctx context.Context, dir string, job sim.Job, audience string) error {
	c, err := dial(ctx, dir)
	if err != nil {
		return err
	}
	var token struct {
		Value  string          `json:"value"`
		Claims json.RawMessage `json:"claims"`
	}
	request := map[string]any{"job": job, "audience": audience}
	if err := c.call(ctx, http.MethodPost, "token", request, &token); err != nil {
		return &delivery.Error{Kind: delivery.KindUsage, Err: err}
	}
	if a.json() {
		return a.ui.document(tokenDocument{"slipway.local-token/v1", token.Value, token.Claims})
	}
	a.ui.result("%s", token.Value)
	return nil
}

func (a *app) localJournal(dir func() string) *cobra.Command {
	return &cobra.Command{
		Use: "journal", Short: "Every call that the cloud has answered, oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := dial(cmd.Context(), dir())
			if err != nil {
				return err
			}
			var journal struct {
				Schema string     `json:"schema"`
				Calls  []sim.Call `json:"calls"`
			}
			if err := c.call(cmd.Context(), http.MethodGet, "journal", nil, &journal); err != nil {
				return err
			}
			if a.json() {
				return a.ui.document(journal)
			}
			for _, call := range journal.Calls {
				a.ui.result("%s", journalText(call))
			}
			return nil
		},
	}
}

// journalText is a call in a line; what the policies said of it follows, a line
// for each question that they were asked.
func journalText(c sim.Call) string {
	lines := []string{journalLine(c)}
	for _, d := range c.Decisions {
		verdict, who := "allowed", ""
		if !d.Allowed {
			verdict = "DENIED"
		}
		if d.Principal != "" {
			who = " to " + d.Principal
		}
		lines = append(lines, fmt.Sprintf("                   %-7s  %s %s%s: %s", verdict, d.Action, d.Resource, who, d.By))
	}
	return strings.Join(lines, "\n")
}

func journalLine(c sim.Call) string {
	verdict := "allowed"
	if !c.Allowed {
		verdict = "DENIED " + c.Why
	}
	what := c.Service + ":" + c.Action
	if c.Resource != "" {
		what += " " + c.Resource
	}
	if c.Fault != "" {
		verdict += "  FAULT " + c.Fault
	}
	return fmt.Sprintf("%s  %3d  %s  by %s  %s", c.Time.UTC().Format("15:04:05.000"), c.Status, what, c.Principal, verdict)
}

func (a *app) localReset(dir func() string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "reset", Short: "Forget everything but the cloud's own keys", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !a.yes {
				if err := a.ui.confirm(cmd.Context(), "forget everything in the local cloud "+dir()+"?"); err != nil {
					return err
				}
			}
			if c, err := dial(cmd.Context(), dir()); err == nil {
				return c.call(cmd.Context(), http.MethodPost, "reset", nil, nil)
			}
			if _, err := os.Stat(filepath.Join(dir(), controlFile)); err != nil {
				return &delivery.Error{Kind: delivery.KindUsage, Op: "resetting " + dir(), Err: errors.New("it is no local cloud's state")}
			}
			cloud := &sim.Cloud{Dir: dir()}
			return errors.Join(cloud.Reset(), cloud.Close())
		},
	}
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "answer yes to every question")
	return cmd
}
