package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// nested marks the processes that slipway credentials starts, AWS's
// credential_process among them: one that finds it was called by itself.
const nested = "SLIPWAY_CREDENTIALS"

// processDocument is what a credential_process prints. AWS's SDKs know these
// members alone (AWS SDKs and Tools Reference, "Process credential provider").
type processDocument struct {
	Version         int
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string `json:",omitempty"`
	Expiration      string `json:",omitempty"` // RFC 3339, UTC
}

type credentialsFlags struct {
	environment string
	duration    time.Duration
}

func (a *app) credentialsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "credentials",
		Short: "Temporary AWS credentials for other tools: as variables, as a credential_process, for one command",
		Long: "Hands out what a deploy to the environment would use: in a GitHub job the deploy role, by the\n" +
			"job's own token; elsewhere what AWS's usual chain gives (--profile, AWS_PROFILE, SSO).\n" +
			"The account is compared with slipway.yaml. GitHub is told to mask the values before they are printed.",
		Example: `  slipway credentials exec --env dev -- terraform plan    # that command alone gets them
  eval "$(slipway credentials env --env dev)"             # the rest of this shell
  # and as the credential_process of an AWS profile: slipway credentials json --help`,
	}
	cmd.AddCommand(a.credentialsEnv(), a.credentialsJSON(), a.credentialsExec())
	return cmd
}

func (a *app) credentialsFlags(cmd *cobra.Command, f *credentialsFlags) {
	cmd.Flags().StringVarP(&f.environment, "env", "e", "", "environment of slipway.yaml (SLIPWAY_ENV)")
	cmd.Flags().DurationVar(&f.duration, "duration", 0, "how long they last in a GitHub job, 15m to 12h and no longer than the role allows (default 1h)")
	a.actingFlags(cmd)
}

func (a *app) credentialsEnv() *cobra.Command {
	var f credentialsFlags
	cmd := &cobra.Command{
		Use: "env --env NAME", Args: cobra.NoArgs,
		Short:   "Print them as shell exports",
		Example: `  eval "$(slipway credentials env --env dev)"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := a.grant(cmd.Context(), f)
			if err != nil {
				return err
			}
			a.tellGrant(f, g)
			variables := g.variables()
			if a.json() {
				return a.ui.document(envDocument{"slipway.credentials/v1", variables})
			}
			for _, name := range sortedNames(variables) {
				a.ui.result("export %s=%s", name, shellQuote(variables[name]))
			}
			for _, name := range keyVariables() {
				if variables[name] == "" {
					a.ui.result("unset %s", name) // another key's would spoil these
				}
			}
			return nil
		},
	}
	a.credentialsFlags(cmd, &f)
	return cmd
}

func (a *app) credentialsJSON() *cobra.Command {
	var f credentialsFlags
	cmd := &cobra.Command{
		Use: "json --env NAME", Args: cobra.NoArgs,
		Short: "Print them as AWS's tools ask a credential_process for them",
		Long: "Prints AWS's own document (Version 1), whatever --output says. A tool that has this command as\n" +
			"the credential_process of its profile calls it again when the credentials end.",
		Example: `  # ~/.aws/config, or the file that AWS_CONFIG_FILE names:
  [profile dev]
  credential_process = slipway credentials json --env dev -C /path/to/repository`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := a.grant(cmd.Context(), f)
			if err != nil {
				return err
			}
			return a.ui.document(processDocument{Version: 1, AccessKeyID: g.keys.KeyID, SecretAccessKey: g.keys.Secret,
				SessionToken: g.keys.Token, Expiration: g.expires()})
		},
	}
	a.credentialsFlags(cmd, &f)
	return cmd
}

func (a *app) credentialsExec() *cobra.Command {
	var f credentialsFlags
	cmd := &cobra.Command{
		Use: "exec --env NAME [flags] -- COMMAND [ARG]...", Args: cobra.MinimumNArgs(1),
		Short: "Run one command that has them; its exit code is this one's",
		Long: "The command gets the credentials and the region in its environment. Other AWS settings are taken\n" +
			"out of it, endpoints aside, and so is what a GitHub job asks for tokens with.",
		Example: `  slipway credentials exec --env dev -- aws sts get-caller-identity
  slipway credentials exec --env dev --duration 15m -- npx cdk diff`,
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := a.grant(cmd.Context(), f)
			if err != nil {
				return err
			}
			a.tellGrant(f, g)
			return a.handOver(cmd.Context(), args, grantedEnviron(a.Env, g.variables()))
		},
	}
	cmd.Flags().SetInterspersed(false) // flags after the command are its own
	a.credentialsFlags(cmd, &f)
	return cmd
}

// grant is credentials and where they hold.
type grant struct {
	keys            awsauth.Keys
	account, region string
}

// grant logs in as a deploy to the environment would.
func (a *app) grant(ctx context.Context, f credentialsFlags) (*grant, error) {
	if a.Getenv(nested) != "" {
		return nil, &delivery.Error{Kind: delivery.KindUsage, Op: "choosing credentials",
			Err:   errors.New("slipway credentials was called by itself: the AWS profile that it takes credentials from has it as credential_process"),
			Hints: []string{"where they come from: --profile NAME, or profile: of the environment in slipway.yaml"}}
	}
	if f.duration != 0 && (f.duration < 15*time.Minute || f.duration > 12*time.Hour || f.duration%time.Second != 0) {
		return nil, &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("--duration is %v; STS takes 15m to 12h, in whole seconds", f.duration)}
	}
	file, err := a.load()
	if err != nil {
		return nil, err
	}
	// The account's credentials are the same for each of its agents.
	p, err := a.pick(file, selection{agent: file.Agents()[0].Name, environment: f.environment, login: true})
	if err != nil {
		return nil, err
	}
	if a.Setenv != nil {
		if err := a.Setenv(nested, "1"); err != nil {
			return nil, fmt.Errorf("setting %s: %w", nested, err)
		}
	}
	p.lifetime = f.duration
	session, err := a.session(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := (&delivery.Deliverer{Target: p.target, Login: session}).Admit(ctx); err != nil {
		return nil, err
	}
	g := &grant{account: p.target.Account, region: session.Region()}
	if g.keys, err = session.Keys(ctx); err != nil {
		return nil, err
	}
	return g, a.ui.mask(g.keys.KeyID, g.keys.Secret, g.keys.Token)
}

// tellGrant says how long credentials hold.
func (a *app) tellGrant(f credentialsFlags, g *grant) {
	if f.duration != 0 && a.Getenv("GITHUB_ACTIONS") != "true" {
		a.ui.warn("--duration is for a GitHub job, which asks for its own session; this one lasts as the profile says")
	}
	until := "that don't expire"
	if !g.keys.Expires.IsZero() {
		until = "until " + g.expires()
	}
	a.ui.line("credentials of account %s in %s, %s", g.account, g.region, until)
}

func (g *grant) expires() string {
	if g.keys.Expires.IsZero() {
		return ""
	}
	return g.keys.Expires.UTC().Format(time.RFC3339)
}

// keyVariables are the variables that make up credentials.
func keyVariables() []string {
	return []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"}
}

func (g *grant) variables() map[string]string {
	variables := map[string]string{"AWS_REGION": g.region, "AWS_DEFAULT_REGION": g.region}
	for i, value := range []string{g.keys.KeyID, g.keys.Secret, g.keys.Token, g.expires()} {
		if value != "" {
			variables[keyVariables()[i]] = value
		}
	}
	return variables
}

// grantedEnviron is an environment with these credentials and no others in
// it, and nothing to ask for others with. Where calls go stays.
func grantedEnviron(inherited []string, variables map[string]string) []string {
	var env []string
	for _, kv := range inherited {
		name, _, _ := strings.Cut(kv, "=")
		where := strings.HasPrefix(name, "AWS_ENDPOINT_URL") || name == "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" || name == "AWS_CA_BUNDLE" ||
			name == "AWS_USE_FIPS_ENDPOINT" || name == "AWS_USE_DUALSTACK_ENDPOINT"
		if strings.HasPrefix(name, "AWS_") && !where || strings.HasPrefix(name, "ACTIONS_ID_TOKEN_") {
			continue
		}
		env = append(env, kv)
	}
	for _, name := range sortedNames(variables) {
		env = append(env, name+"="+variables[name])
	}
	return env
}

// handOver runs a command to its own end, however long that takes: what
// interrupts us is passed on, and its exit status is ours.
func (a *app) handOver(ctx context.Context, args, env []string) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), args[0], args[1:]...)
	cmd.Env, cmd.Dir = env, a.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.In, a.Out, a.Err
	if err := cmd.Start(); err != nil {
		return &delivery.Error{Kind: delivery.KindUsage, Op: "running " + args[0], Err: err}
	}
	stop := context.AfterFunc(ctx, func() {
		_ = cmd.Process.Signal(signalOf(context.Cause(ctx))) // it may have ended
	})
	defer stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return &delivery.Error{Kind: delivery.KindUsage, Op: "running " + args[0], Err: err}
	case exit.ExitCode() >= 0:
		return exitError(exit.ExitCode())
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitError(128 + int(status.Signal())) // as a shell has it
	}
	return exitError(1)
}

// signalOf is the signal that ended a context of signal.NotifyContext, whose
// cause names it.
func signalOf(cause error) os.Signal {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		if cause != nil && strings.HasPrefix(cause.Error(), sig.String()) {
			return sig
		}
	}
	return os.Interrupt
}
