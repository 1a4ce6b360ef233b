package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// jobProcess is the environment of a process in a job of the world, with a
// profile whose credential_process is slipway.
func jobProcess(t *testing.T, d *demo) []string {
	t.Helper()
	job, err := d.job(t.Context(), "acme/agents", "dev")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config")
	profile := fmt.Sprintf("[profile dev]\nregion = us-east-1\ncredential_process = %s credentials json --env dev -C %s\n", d.Executable, d.repo)
	if err := os.WriteFile(file, []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_CONFIG_FILE=" + file, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"AWS_PROFILE=dev", "AWS_PAGER=", "AWS_MAX_ATTEMPTS=1"}
	for name, value := range job {
		env = append(env, name+"="+value)
	}
	return env
}

// TestCredentialProcess lets AWS's own clients call slipway for credentials.
func TestCredentialProcess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: a credential_process is quoted otherwise on Windows")
	}
	d := newTestWorld(t)
	env := jobProcess(t, d)
	const role = ":assumed-role/" + demoDeployRole + "/gh-"
	t.Run("Go SDK", func(t *testing.T) {
		for _, kv := range env { // the SDK reads the process's own
			name, value, _ := strings.Cut(kv, "=")
			t.Setenv(name, value)
		}
		cfg, err := config.LoadDefaultConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		creds, err := cfg.Credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !creds.CanExpire || time.Until(creds.Expires) > time.Hour || !strings.HasPrefix(creds.AccessKeyID, "ASIA") || creds.SessionToken == "" {
			t.Errorf("the SDK took key %q, expiring %v at %v", creds.AccessKeyID, creds.CanExpire, creds.Expires)
		}
		who, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(aws.ToString(who.Arn), role) {
			t.Errorf("the SDK is %s", aws.ToString(who.Arn))
		}
	})
	t.Run("AWS CLI", func(t *testing.T) {
		c := newAWS(t)
		c.env = env
		if arn := c.run("sts", "get-caller-identity", "--query", "Arn", "--output", "text"); !strings.Contains(arn, role) {
			t.Errorf("the AWS CLI is %s", arn)
		}
	})
}

// TestHandOverSignals ends slipway while its command runs: the command is told
// so, takes the time it needs, and decides the exit code.
func TestHandOverSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows has no signals to pass on")
	}
	// Started with nohup, a program and its children have nothing to tell: what
	// takes the signal here starts them as they are elsewhere.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	d := newTestWorld(t)
	env := jobProcess(t, d)
	signals := map[syscall.Signal]struct {
		code int
		told string
	}{syscall.SIGTERM: {41, "TERM"}, syscall.SIGINT: {42, "INT"}, syscall.SIGHUP: {43, "HUP"}}
	for command, args := range map[string][]string{
		"credentials exec": {"credentials", "exec", "--env", "dev", "-C", d.repo},
		"local job":        {"local", "job", "--state", d.cloud.Dir, "--repository", "acme/agents"},
	} {
		for sig, want := range signals {
			t.Run(command+" "+sig.String(), func(t *testing.T) {
				// read waits for input that never comes; the trap ends it.
				const script = `trap 'echo TERM; exit 41' TERM; trap 'echo INT; exit 42' INT; trap 'echo HUP; exit 43' HUP
					echo ready; while read -r line; do :; done`
				told, code := signalled(t, env, sig, d.Executable, append(slices.Clone(args), "--", "sh", "-c", script)...)
				if code != want.code || !slices.Equal(told, []string{want.told}) {
					t.Errorf("ended with %d after %q, expected %d", code, told, want.code)
				}
			})
		}
	}
}

// signalled starts a program, sends it a signal once it has said that it is
// ready, and returns what it said then and its exit code.
func signalled(t *testing.T, env []string, sig os.Signal, program string, args ...string) (said []string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.WaitDelay = env, time.Second
	var messages bytes.Buffer
	cmd.Stderr = &messages
	stdin, errIn := cmd.StdinPipe()
	stdout, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }() // it is held open till the end
	// A command that outlives slipway would hold its output open for ever.
	defer context.AfterFunc(ctx, func() { _ = errors.Join(stdin.Close(), stdout.Close()) })()
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the command did not begin: %q\n%s", lines.Text(), messages.String())
	}
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	if err := cmd.Wait(); ctx.Err() != nil {
		t.Errorf("it did not end: %v\n%s", err, messages.String())
	}
	return said, cmd.ProcessState.ExitCode()
}

func TestGrantedEnviron(t *testing.T) {
	inherited := []string{"PATH=/bin", "AWS_PROFILE=x", "AWS_ACCESS_KEY_ID=old", "AWS_SESSION_TOKEN=old", "AWS_WEB_IDENTITY_TOKEN_FILE=f",
		"AWS_ROLE_ARN=r", "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_ENDPOINT_URL_STS=http://127.0.0.1:1", "AWS_REGION=eu-west-1",
		"ACTIONS_ID_TOKEN_REQUEST_URL=u", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=t", "ACTIONS_CACHE_URL=c", "AWSOME=1"}
	got := grantedEnviron(inherited, map[string]string{"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "new"})
	want := []string{"PATH=/bin", "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_ENDPOINT_URL_STS=http://127.0.0.1:1", "ACTIONS_CACHE_URL=c", "AWSOME=1",
		"AWS_ACCESS_KEY_ID=new", "AWS_REGION=us-east-1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
