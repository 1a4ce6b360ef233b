package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/bootstrap"
	"github.com/slipway-cd/slipway/internal/ecr"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/iam"
	"github.com/slipway-cd/slipway/internal/needs"
	"github.com/slipway-cd/slipway/internal/sim"
	"github.com/slipway-cd/slipway/internal/trust"
)

// newTestWorld is a cloud with the demo's repository and trust.
func newTestWorld(t *testing.T) *demo {
	t.Helper()
	d := newBareWorld(t)
	if err := d.trustByHand(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// newBareWorld is a cloud with the demo's repository, and nothing in its
// accounts.
func newBareWorld(t *testing.T) *demo {
	t.Helper()
	needs.Program(t, "git")
	dir := t.TempDir()
	a := worldApp(t, dir)
	cloud, err := a.startCloud(t.Context(), filepath.Join(dir, "cloud"), "127.0.0.1:0", 100*time.Millisecond, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.stop(); err != nil {
			t.Error(err)
		}
	})
	return worldOn(t, &demo{app: a, cloud: cloud, repo: filepath.Join(dir, "repo")})
}

// servedWorld is one whose cloud is the program's own, in a process of its
// own: without the race detector it takes half the time, and the tests of the
// fault matrix make dozens of them.
func servedWorld(t *testing.T) *demo {
	t.Helper()
	needs.Program(t, "git")
	dir := t.TempDir()
	a := worldApp(t, dir)
	cloud := &runningCloud{Cloud: &sim.Cloud{Dir: filepath.Join(dir, "cloud")}}
	cmd, address, stderr := startUp(t, a.Executable, cloud.Dir, 100*time.Millisecond)
	cloud.address = address
	t.Cleanup(func() {
		err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
		if err != nil {
			t.Errorf("the cloud: %v\n%s", err, stderr.String())
		}
	})
	return worldOn(t, &demo{app: a, cloud: cloud, repo: filepath.Join(dir, "repo")})
}

// startUp starts the program's local cloud and waits until it serves; ending it
// is the caller's.
func startUp(t *testing.T, exe, dir string, settle time.Duration) (cmd *exec.Cmd, address string, stderr *bytes.Buffer) {
	t.Helper()
	stderr = &bytes.Buffer{}
	cmd = exec.Command(exe, "local", "up", "--listen", "127.0.0.1:0", "--state", dir, "--settle", settle.String())
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Process.Kill()
		t.Fatalf("the cloud does not start: %v, %v\n%s", err, cmd.Wait(), stderr.String())
	}
	return cmd, strings.TrimSpace(line), stderr
}

// worldApp is the program, as a world in dir has it.
func worldApp(t *testing.T, dir string) *app {
	t.Helper()
	a := &app{System: System{Env: os.Environ(), Dir: dir, Executable: linkProgram(t, dir), Out: io.Discard, Err: io.Discard}, output: "json"}
	a.ui = newUI(a)
	return a
}

// worldOn makes the demo's repository on a cloud.
func worldOn(t *testing.T, d *demo) *demo {
	t.Helper()
	var err error
	if d.source, d.yaml, err = smallWorld(); err != nil {
		t.Fatal(err)
	}
	if d.api, err = dial(t.Context(), d.cloud.Dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.makeRepository(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// job is the environment of a job of a repository that goes on; what waits
// before it is approved by whoever may.
func (d *demo) job(ctx context.Context, repository, environment string) (map[string]string, error) {
	s, err := d.api.start(ctx, sim.Job{Repository: repository, Environment: environment})
	if err == nil && s.Gate != nil {
		s, err = d.approve(ctx, s, "")
	}
	if err == nil && s.Environ == nil {
		err = errors.New(s.Message)
	}
	return s.Environ, err
}

// demoRepository is where worlds with one environment have their images.
const demoRepository = "supportagent/runtime"

// smallWorld is the source of the agent that worlds deliver, and their
// slipway.yaml.
func smallWorld() (source string, yaml []byte, err error) {
	agent, err := os.ReadFile("testdata/world/agent.go.txt")
	yaml, wrong := os.ReadFile("testdata/world/slipway.yaml.txt")
	return string(agent), yaml, errors.Join(err, wrong)
}

// trustByHand sets a world up as a stack of one's own does, without bootstrap:
// the policies of testdata/world, which name runtimes by their beginning, so
// that tests may make them when they like.
func (d *demo) trustByHand(ctx context.Context) error {
	env, err := d.api.administrator(ctx, demoAccount)
	if err != nil {
		return err
	}
	session, err := awsauth.Source{Getenv: func(name string) string { return env[name] }, Region: demoRegion}.Open(ctx)
	if err != nil {
		return err
	}
	admin := &iam.Client{Config: session.Config(awsauth.IAM)}
	if err := admin.CreateProvider(ctx, trust.GitHubIssuer, awsauth.DefaultAudience, nil); err != nil {
		return err
	}
	for name, kind := range map[string]string{demoDeployRole: "deploy", "supportAgentExecutionRole-dev": "execution"} {
		who, err := os.ReadFile("testdata/world/" + kind + "-trust.json")
		what, errWhat := os.ReadFile("testdata/world/" + kind + "-policy.json")
		if err := errors.Join(err, errWhat); err != nil {
			return err
		}
		if err := admin.CreateRole(ctx, trust.Role{Name: name, Trust: who, Inline: []trust.Document{{Name: "slipway", JSON: what}}}); err != nil {
			return err
		}
	}
	host := &github.Client{Getenv: func(name string) string { return env[name] }, Name: "acme/agents"}
	if err := host.PutGate(ctx, bootstrap.Gate{Name: "dev", NamedBranches: true, Branches: []bootstrap.BranchRule{{Name: "main"}}}); err != nil {
		return err
	}
	_, err = ecr.New(session.Config(awsauth.ECR)).CreateRepository(ctx, demoRepository)
	return err
}

// stages gives slipway.yaml three environments in a row: dev, stg of the same
// account, and prd of another one, behind the endpoint live.
func (d *demo) stages() error {
	name := filepath.Join(d.repo, "slipway.yaml")
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	text, platform, ok := strings.Cut(string(old), "supportAgentExecutionRole-dev")
	if !ok {
		return errors.New("slipway.yaml is not the demo's")
	}
	text = strings.Replace(text, demoRepository, `"supportagent/{environment}"`, 1) + "supportAgentExecutionRole-dev" + platform
	for _, e := range []struct{ name, after, account, more string }{
		{"stg", "dev", demoAccount, ""},
		{"prd", "stg", "444455556666", "    endpoint: live\n"},
	} {
		text += "  " + e.name + ":\n    account: \"" + e.account + "\"\n    after: " + e.after + "\n    branch: main\n" + e.more +
			"    deploy_role: arn:aws:iam::" + e.account + ":role/deploy-supportAgent-" + e.name + "\n" +
			"    execution_role: arn:aws:iam::" + e.account + ":role/supportAgentExecutionRole-" + e.name + strings.ReplaceAll(platform, demoAccount, e.account)
	}
	return os.WriteFile(name, []byte(text), 0o644)
}
