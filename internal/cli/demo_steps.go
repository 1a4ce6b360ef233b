package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
)

// The demo's names, as its files have them.
const (
	demoAccount    = "111122223333"
	demoRegion     = "us-east-1"
	demoRepository = "supportagent/runtime"
	demoDeployRole = "deploy-supportAgent-dev"
)

// makeRepository makes a git repository with an agent and a slipway.yaml, and
// registers it with the cloud's GitHub.
func (d *demo) makeRepository(ctx context.Context) (string, []string, error) {
	platform, compute := hostPlatform()
	yaml, err := demoFiles.ReadFile("demo/slipway.yaml.txt")
	if err != nil {
		return "", nil, err
	}
	text := strings.Replace(strings.TrimRight(string(yaml), "\n"), "PLATFORM", platform, 1) + compute + "\n"
	mod, err := demoFiles.ReadFile("demo/go.mod.txt")
	if err != nil {
		return "", nil, err
	}
	err = errors.Join(os.MkdirAll(filepath.Join(d.repo, "support"), 0o755),
		os.WriteFile(filepath.Join(d.repo, "slipway.yaml"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(d.repo, "support", "go.mod"), mod, 0o644))
	if err != nil {
		return "", nil, err
	}
	if _, err := d.git(ctx, "init", "--quiet", "--initial-branch=main"); err != nil {
		return "", nil, err
	}
	repository := sim.Repository{Owner: "acme", OwnerID: "1001", Name: "agents", ID: "2002", Immutable: true, Readers: []string{"octocat", "hubot"}}
	if err := d.api.call(ctx, "POST", "repositories", repository, nil); err != nil {
		return "", nil, err
	}
	_, err = d.commit(ctx, `var tools = []string{"clock"}`, "a support agent")
	return "acme/agents: an agent in Go, slipway.yaml, one commit", nil, err
}

// commit writes the agent with a line of its own and commits it.
func (d *demo) commit(ctx context.Context, tools, message string) (revision string, err error) {
	text := strings.Replace(d.source, `var tools = []string{"clock"}`, tools, 1)
	if err := os.WriteFile(filepath.Join(d.repo, "support", "main.go"), []byte(text), 0o644); err != nil {
		return "", err
	}
	if _, err := d.git(ctx, "add", "--all"); err != nil {
		return "", err
	}
	if _, err := d.git(ctx, "commit", "--quiet", "--message", message); err != nil {
		return "", err
	}
	revision, err = d.git(ctx, "rev-parse", "HEAD")
	return strings.TrimSpace(revision), err
}

// git runs the git command with no configuration but this.
func (d *demo) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "user.name=octocat", "-c", "user.email=octocat@example.com"}, args...)...)
	cmd.Dir = d.repo
	cmd.Env = append(jobEnviron(d.Env, nil), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// setUpTrust does as an administrator what every account needs once, and each
// environment once.
func (d *demo) setUpTrust(ctx context.Context) (string, []string, error) {
	doc, err := d.bootstrap(ctx, "--execution-role")
	if err != nil {
		return "", nil, err
	}
	made := 0
	for _, s := range doc.Environments[0].Steps {
		if s.Applied {
			made++
		}
	}
	return fmt.Sprintf("slipway bootstrap: %d steps in AWS and on GitHub", made), []string{
		"the deploy role trusts " + d.subject("dev") + " alone,", "may do nothing but deliver, and no more than its boundary"}, nil
}

// bootstrap runs slipway bootstrap as the administrator of both sides.
func (d *demo) bootstrap(ctx context.Context, args ...string) (bootstrapDocument, error) {
	var doc bootstrapDocument
	env, err := d.api.administrator(ctx, demoAccount)
	if err != nil {
		return doc, err
	}
	o, out, err := d.slipway(ctx, env, append([]string{"bootstrap", "--env", "dev", "--yes"}, args...)...)
	if err == nil && o.code != 0 {
		err = fmt.Errorf("slipway bootstrap ended with %d:\n%s", o.code, o.stderr)
	}
	if err != nil {
		return doc, err
	}
	return doc, json.Unmarshal(out, &doc)
}

func (d *demo) subject(environment string) string {
	return "repo:acme@1001/agents@2002:environment:" + environment
}

// outcome is how a run of this program ended.
type outcome struct {
	code   int
	report deploymentDocument
	stderr string
}

// slipway runs this program again, in the repository, with an environment.
func (d *demo) slipway(ctx context.Context, env map[string]string, args ...string) (outcome, []byte, error) {
	cmd := exec.CommandContext(ctx, d.Executable, append(args, "-o", "json")...)
	cmd.Dir, cmd.Env = d.repo, jobEnviron(d.Env, env)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, nil, fmt.Errorf("running slipway %s: %w", args[0], err)
	}
	return outcome{code: cmd.ProcessState.ExitCode(), stderr: messages.String()}, out.Bytes(), ctx.Err()
}

// deliver runs slipway deploy and expects an exit code.
func (d *demo) deliver(ctx context.Context, step string, want int, env map[string]string, args ...string) (outcome, error) {
	o, out, err := d.slipway(ctx, env, append([]string{"deploy", "--env", "dev"}, args...)...)
	if err != nil {
		return o, err
	}
	if o.code != want {
		return o, fmt.Errorf("slipway deploy ended with %d, expected %d:\n%s", o.code, want, o.stderr)
	}
	if len(out) == 0 {
		return o, nil
	}
	if err := json.Unmarshal(out, &o.report); err != nil {
		return o, fmt.Errorf("reading what slipway deploy printed: %w", err)
	}
	if o.report.Outcome != delivery.Failed {
		d.doc.Stages = append(d.doc.Stages, stagesOfStep{step, o.report.Stages})
	}
	return o, nil
}

// job is the environment of a GitHub job of the demo's repository.
func (d *demo) job(ctx context.Context, repository string) (map[string]string, error) {
	return d.api.job(ctx, sim.Job{Repository: repository, Environment: "dev"})
}

// createRuntime is the last step of setting up: the runtime itself, and the
// deploy role narrowed to it.
func (d *demo) createRuntime(ctx context.Context) (string, []string, error) {
	doc, err := d.bootstrap(ctx, "--create")
	if err != nil {
		return "", nil, err
	}
	if len(doc.Environments[0].Created) != 1 {
		return "", nil, errors.New("slipway bootstrap --create made no runtime")
	}
	r := doc.Environments[0].Created[0]
	d.doc.Stages = append(d.doc.Stages, stagesOfStep{"create", r.Stages})
	return fmt.Sprintf("an administrator, once: %s, version %s", r.Runtime.ID, r.Runtime.Version),
		[]string{"image " + shortDigest(r.Image.Digest) + " " + r.Image.Platform, "the deploy role now holds that runtime's id"}, nil
}

func (d *demo) firstDeploy(ctx context.Context) (string, []string, error) {
	if _, err := d.commit(ctx, `var tools = []string{"clock", "calendar"}`, "a calendar"); err != nil {
		return "", nil, err
	}
	env, err := d.job(ctx, "acme/agents")
	if err != nil {
		return "", nil, err
	}
	o, err := d.deliver(ctx, "deploy", 0, env)
	return delivered(o), []string{"token " + d.subject("dev")}, err
}

// delivered says what a delivery did in one line.
func delivered(o outcome) string {
	r := o.report
	from := ""
	if r.Previous != nil {
		from = fmt.Sprintf(" (from %s)", r.Previous.Version)
	}
	return fmt.Sprintf("dev %s → version %s%s, %s, %s", shortRevision(r.Revision), r.Runtime.Version, from, shortDigest(r.Image.Digest), r.Outcome)
}

func (d *demo) invoke(ctx context.Context) (string, []string, error) {
	env, err := d.job(ctx, "acme/agents")
	if err != nil {
		return "", nil, err
	}
	o, out, err := d.slipway(ctx, env, "invoke", "--env", "dev", `{"prompt": "ping"}`)
	if err != nil {
		return "", nil, err
	}
	var answer struct {
		Answer struct {
			Reply string   `json:"reply"`
			Tools []string `json:"tools"`
		} `json:"answer"`
	}
	if err := json.Unmarshal(out, &answer); err != nil || o.code != 0 {
		return "", nil, fmt.Errorf("slipway invoke ended with %d: %s", o.code, o.stderr)
	}
	return fmt.Sprintf("%q → %q, tools %v", "ping", answer.Answer.Reply, answer.Answer.Tools), nil, nil
}

// badDeploy delivers a commit that crashes at start: it is caught, explained
// from its own log, and the release before it serves again.
func (d *demo) badDeploy(ctx context.Context) (string, []string, error) {
	if _, err := d.commit(ctx, `var tools []string`, "fewer tools"); err != nil {
		return "", nil, err
	}
	env, err := d.job(ctx, "acme/agents")
	if err != nil {
		return "", nil, err
	}
	o, err := d.deliver(ctx, "bad-deploy", delivery.ExitCode(&delivery.Error{Kind: delivery.KindRolledBack}), env)
	if err != nil {
		return "", nil, err
	}
	details := []string{o.report.Error.Message, o.report.Error.Serves}
	if line := lineWith(o.stderr, "panic:"); line != "" {
		details = append([]string{"its log: " + line}, details...)
	} else {
		err = errors.New("the agent's own log line was not shown:\n" + o.stderr)
	}
	return delivered(o) + ", exit 4", details, err
}

// lineWith returns the first line that holds text, from there on.
func lineWith(all, text string) string {
	for _, line := range strings.Split(all, "\n") {
		if i := strings.Index(line, text); i >= 0 {
			return line[i:]
		}
	}
	return ""
}

func (d *demo) nextDeploy(ctx context.Context) (string, []string, error) {
	if _, err := d.commit(ctx, `var tools = []string{"clock", "weather"}`, "tools that exist"); err != nil {
		return "", nil, err
	}
	env, err := d.job(ctx, "acme/agents")
	if err != nil {
		return "", nil, err
	}
	o, err := d.deliver(ctx, "next-deploy", 0, env)
	return delivered(o), nil, err
}

// refused shows a token of another repository, and why it gets nothing.
func (d *demo) refused(ctx context.Context) (string, []string, error) {
	env, err := d.job(ctx, "evil@99/agents@77")
	if err != nil {
		return "", nil, err
	}
	o, err := d.deliver(ctx, "refused", delivery.ExitCode(&delivery.Error{Kind: delivery.KindDenied}), env)
	if err != nil {
		return "", nil, err
	}
	var details []string
	for _, line := range strings.Split(strings.TrimRight(o.stderr, "\n"), "\n") {
		if explains := strings.HasPrefix(line, "       ") || strings.HasPrefix(line, "hint:"); explains {
			details = append(details, strings.TrimPrefix(line, "       "))
		}
	}
	if len(details) == 0 {
		err = errors.New("the refusal was not explained:\n" + o.stderr)
	}
	return "a token of evil/agents asks for " + demoDeployRole + ": exit 2", details, err
}

// look shows what serves in the end.
func (d *demo) look(ctx context.Context) (string, []string, error) {
	env, err := d.job(ctx, "acme/agents")
	if err != nil {
		return "", nil, err
	}
	o, out, err := d.slipway(ctx, env, "status")
	if err != nil {
		return "", nil, err
	}
	var doc statusDocument
	if err := json.Unmarshal(out, &doc); err != nil || o.code != 0 || len(doc.Environments) != 1 {
		return "", nil, fmt.Errorf("slipway status ended with %d: %s", o.code, o.stderr)
	}
	e := doc.Environments[0]
	return fmt.Sprintf("%s %s serves %s %s as version %s, %s, drift %s", e.Agent, e.Environment, shortRevision(e.Revision),
		shortDigest(e.Digest), e.Version, e.Verdict, driftCell(e)), nil, nil
}
