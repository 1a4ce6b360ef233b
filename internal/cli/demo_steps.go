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

	"github.com/slipway-cd/slipway/internal/agentcore"
	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
)

// The demo's names, as its files have them.
const (
	demoAccount    = "111122223333"
	demoProduction = "444455556666" // the account of prd
	demoRegion     = "us-east-1"
	demoGitHub     = "acme/agents"
	demoActor      = "octocat" // who starts its runs
	demoReviewer   = "hubot"   // who approves them
	demoDeployRole = "deploy-supportAgent-dev"
)

// demoEnvironments are those of slipway.yaml, in their order.
func demoEnvironments() []string { return []string{"dev", "stg", "prd"} }

func demoAccountOf(environment string) string {
	if environment == "prd" {
		return demoProduction
	}
	return demoAccount
}

// demoYAML is a slipway.yaml whose images this machine can run.
func demoYAML(text []byte) string {
	platform, _ := hostPlatform(demoAccount)
	yaml := strings.Replace(string(text), "PLATFORM", platform, 1)
	var b strings.Builder
	account := ""
	for line := range strings.Lines(yaml) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "account: "); ok {
			account = strings.Trim(name, `"`)
		}
		if strings.TrimSpace(line) != "COMPUTE" {
			b.WriteString(line)
		} else if _, compute := hostPlatform(account); compute != "" {
			b.WriteString(compute + "\n")
		}
	}
	return b.String()
}

// makeRepository makes a git repository with an agent and a slipway.yaml, and
// registers it with the cloud's GitHub.
func (d *demo) makeRepository(ctx context.Context) (string, []string, error) {
	mod, err := demoFiles.ReadFile("demo/go.mod.txt")
	if err != nil {
		return "", nil, err
	}
	err = errors.Join(os.MkdirAll(filepath.Join(d.repo, "support"), 0o755),
		os.WriteFile(filepath.Join(d.repo, "slipway.yaml"), []byte(demoYAML(d.yaml)), 0o644),
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
	made := 0
	for _, environment := range demoEnvironments() {
		if err := d.putCalendar(ctx, environment); err != nil {
			return "", nil, err
		}
		doc, err := d.bootstrap(ctx, environment, "--execution-role")
		if err != nil {
			return "", nil, err
		}
		for _, s := range doc.Environments[0].Steps {
			if s.Applied {
				made++
			}
		}
	}
	return fmt.Sprintf("slipway bootstrap, dev, stg, prd: %d steps in two accounts and on GitHub", made), []string{
		"each deploy role trusts one environment's jobs, such as " + d.subject("dev") + " alone,", "may do nothing but deliver, and no more than its boundary"}, nil
}

// putCalendar writes the agent's own setting of an environment. That of prd is
// no address yet.
func (d *demo) putCalendar(ctx context.Context, environment string) error {
	env, err := d.api.administrator(ctx, demoAccountOf(environment))
	if err != nil {
		return err
	}
	session, err := awsauth.Source{Getenv: func(name string) string { return env[name] }, Region: demoRegion}.Open(ctx)
	if err != nil {
		return err
	}
	value := "https://calendar.example.com/" + environment
	if environment == "prd" {
		value = "calendar.example.com/prd"
	}
	return agentcore.NewParameters(session.Config(awsauth.SSM)).PutParameter(ctx, "/supportAgent/"+environment+"/calendar", value, true)
}

// bootstrap runs slipway bootstrap as the administrator of both sides.
func (d *demo) bootstrap(ctx context.Context, environment string, args ...string) (bootstrapDocument, error) {
	var doc bootstrapDocument
	env, err := d.api.administrator(ctx, demoAccountOf(environment))
	if err != nil {
		return doc, err
	}
	o, out, err := d.slipway(ctx, env, append([]string{"bootstrap", "--env", environment, "--yes"}, args...)...)
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

// deliver runs a command that delivers, and expects an exit code.
func (d *demo) deliver(ctx context.Context, step string, want int, env map[string]string, args ...string) (outcome, error) {
	o, out, err := d.slipway(ctx, env, args...)
	if err != nil {
		return o, err
	}
	if o.code != want {
		return o, fmt.Errorf("slipway %s ended with %d, expected %d:\n%s", args[0], o.code, want, o.stderr)
	}
	if len(out) == 0 {
		return o, nil
	}
	if err := json.Unmarshal(out, &o.report); err != nil {
		return o, fmt.Errorf("reading what slipway %s printed: %w", args[0], err)
	}
	if len(o.report.Stages) > 0 {
		d.doc.Stages = append(d.doc.Stages, stagesOfStep{step, o.report.Stages})
	}
	return o, nil
}

// deploy delivers the commit to dev, in a job of dev.
func (d *demo) deploy(ctx context.Context, step string, want int) (o outcome, err error) {
	err = d.inJob(ctx, sim.Job{Repository: demoGitHub, Environment: "dev"}, func(env map[string]string) (int, error) {
		o, err = d.deliver(ctx, step, want, env, "deploy", "--env", "dev")
		return o.code, err
	})
	return o, err
}

// inJob does something in a job, which has to need no approval or have had one,
// and says how it ended.
func (d *demo) inJob(ctx context.Context, j sim.Job, do func(env map[string]string) (code int, err error)) error {
	s, err := d.api.start(ctx, j)
	if err != nil {
		return err
	}
	return d.finishJob(ctx, s, do)
}

func (d *demo) finishJob(ctx context.Context, s sim.JobState, do func(env map[string]string) (code int, err error)) error {
	if s.Environ == nil {
		return fmt.Errorf("a job of run %s does not begin: %s %s", s.RunID, s.Status, s.Message)
	}
	code, err := do(s.Environ)
	conclusion := endedWell
	if err != nil || code != 0 {
		conclusion = endedBadly
	}
	return errors.Join(err, d.api.end(context.WithoutCancel(ctx), s.ID, conclusion))
}

// approve has a person approve the job that waits, and returns it as it stands
// then.
func (d *demo) approve(ctx context.Context, s sim.JobState, login string) (sim.JobState, error) {
	if s.Gate == nil {
		return s, fmt.Errorf("a job of run %s waits for nobody: it is %s %s", s.RunID, s.Status, s.Message)
	}
	if _, err := d.api.review(ctx, review{run: s.RunID, as: login, comment: "that digest"}); err != nil {
		return s, err
	}
	return d.api.job(ctx, s.ID)
}

// createRuntimes is the last step of setting up: the runtimes themselves, and
// each deploy role narrowed to its own.
func (d *demo) createRuntimes(ctx context.Context) (string, []string, error) {
	var ids []string
	for _, environment := range demoEnvironments() {
		doc, err := d.bootstrap(ctx, environment, "--create")
		if err != nil {
			return "", nil, err
		}
		if len(doc.Environments[0].Created) != 1 {
			return "", nil, errors.New("slipway bootstrap --create made no runtime of " + environment)
		}
		r := doc.Environments[0].Created[0]
		d.doc.Stages = append(d.doc.Stages, stagesOfStep{"create-" + environment, r.Stages})
		ids = append(ids, r.Runtime.ID)
	}
	return "an administrator, once: " + strings.Join(ids, ", "), []string{"each deploy role now holds its runtime's id"}, nil
}

func (d *demo) firstDeploy(ctx context.Context) (string, []string, error) {
	if _, err := d.commit(ctx, `var tools = []string{"clock", "calendar"}`, "a calendar"); err != nil {
		return "", nil, err
	}
	o, err := d.deploy(ctx, "deploy", 0)
	return delivered(o), []string{"token " + d.subject("dev")}, err
}

// promotion takes what serves in one environment to the next, in one run: a job
// of the first proves it, and a job of the second, which waits until the
// reviewer has approved it, delivers exactly that.
func (d *demo) promotion(ctx context.Context, step, from, to string, want int) (o outcome, details []string, err error) {
	run, evidence, proof, err := d.prove(ctx, from, to)
	if err != nil {
		return o, nil, err
	}
	s, err := d.api.start(ctx, sim.Job{Repository: demoGitHub, RunID: run, Name: "promote", Environment: to})
	if err != nil {
		return o, nil, err
	}
	if _, own := d.api.review(ctx, review{run: run, as: demoActor}); delivery.KindOf(own) != delivery.KindRefused {
		return o, nil, errors.Join(errors.New(demoActor+", who started the run, was not refused a review of it"), own)
	}
	if s, err = d.approve(ctx, s, demoReviewer); err != nil {
		return o, nil, err
	}
	err = d.finishJob(ctx, s, func(env map[string]string) (int, error) {
		o, err = d.deliver(ctx, step, want, env, "promote", "--to", to, "--evidence", string(proof))
		return o.code, err
	})
	if err == nil && o.report.Image.Digest != evidence.Digest {
		err = fmt.Errorf("%s was promoted, %s was approved", o.report.Image.Digest, evidence.Digest)
	}
	return o, []string{fmt.Sprintf("a job of %s proved %s, version %s; then the run waited: %s, who started it,", from, shortDigest(evidence.Digest), evidence.Version, demoActor),
		fmt.Sprintf("was refused a review, %s approved through GitHub's API, and a job of %s took exactly that", demoReviewer, to)}, err
}

// prove is the job before the gate; its run goes on. An environment that has
// reviewers asks them about this job as well: a gate is an environment's, and
// GitHub does not know what the job is for.
func (d *demo) prove(ctx context.Context, from, to string) (run string, evidence delivery.Evidence, proof []byte, err error) {
	s, err := d.api.start(ctx, sim.Job{Repository: demoGitHub, Name: "prove", Environment: from, Event: "workflow_dispatch"})
	if err == nil && s.Gate != nil {
		s, err = d.approve(ctx, s, demoReviewer)
	}
	if err != nil {
		return "", evidence, nil, err
	}
	err = d.finishJob(ctx, s, func(env map[string]string) (int, error) {
		o, out, err := d.slipway(ctx, env, "promote", "--to", to, "--prove")
		if err == nil && o.code != 0 {
			err = fmt.Errorf("slipway promote --prove ended with %d:\n%s", o.code, o.stderr)
		}
		proof = out
		return o.code, err
	})
	if err == nil {
		evidence, err = delivery.ParseEvidence(proof)
	}
	return s.RunID, evidence, proof, err
}

func (d *demo) toStaging(ctx context.Context) (string, []string, error) {
	o, details, err := d.promotion(ctx, "promote-stg", "dev", "stg", 0)
	return delivered(o) + ", copied and not built", details, err
}

func (d *demo) toProduction(ctx context.Context) (string, []string, error) {
	o, details, err := d.promotion(ctx, "promote-prd", "stg", "prd", 0)
	return delivered(o) + " through live, another account", details, err
}

// badInProduction promotes an image that passed in dev and stg and fails with
// the settings of prd: the endpoint live never serves it.
func (d *demo) badInProduction(ctx context.Context) (string, []string, error) {
	if o, _, err := d.promotion(ctx, "next-stg", "dev", "stg", 0); err != nil {
		return delivered(o), nil, err
	}
	seen := len(d.cloud.Journal())
	o, _, err := d.promotion(ctx, "bad-prd", "stg", "prd", 1)
	if err != nil {
		return delivered(o), nil, err
	}
	for _, c := range d.cloud.Journal()[seen:] {
		if c.Action == "UpdateAgentRuntimeEndpoint" {
			return "", nil, errors.New("live was moved to a version that failed")
		}
	}
	return delivered(o) + ", exit 1", []string{"its log: " + lineWith(o.stderr, "panic:"), o.report.Error.Serves, "no call moved live: it never served that version"}, nil
}

// back rolls prd back: a pointer moves.
func (d *demo) back(ctx context.Context) (string, []string, error) {
	s, err := d.api.start(ctx, sim.Job{Repository: demoGitHub, Name: "rollback", Environment: "prd", Event: "workflow_dispatch"})
	if err == nil {
		s, err = d.approve(ctx, s, demoReviewer)
	}
	if err != nil {
		return "", nil, err
	}
	var o outcome
	err = d.finishJob(ctx, s, func(env map[string]string) (int, error) {
		o, err = d.deliver(ctx, "rollback", 0, env, "rollback", "--env", "prd")
		return o.code, err
	})
	return fmt.Sprintf("prd live → version %s, verified, in %.1fs: no image byte moved", o.report.Runtime.Version, o.report.Seconds),
		[]string{demoReviewer + " approved that first: a rollback is behind the same gate"}, err
}

// delivered says what a delivery did in one line.
func delivered(o outcome) string {
	r := o.report
	from := ""
	if r.Previous != nil {
		from = fmt.Sprintf(" (from %s)", r.Previous.Version)
	}
	return fmt.Sprintf("%s %s → version %s%s, %s, %s", r.Environment, shortRevision(r.Revision), r.Runtime.Version, from, shortDigest(r.Image.Digest), r.Outcome)
}

func (d *demo) invoke(ctx context.Context) (string, []string, error) {
	var o outcome
	var out []byte
	err := d.inJob(ctx, sim.Job{Repository: demoGitHub, Name: "invoke", Environment: "dev"}, func(env map[string]string) (int, error) {
		var err error
		o, out, err = d.slipway(ctx, env, "invoke", "--env", "dev", `{"prompt": "ping"}`)
		return o.code, err
	})
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
	o, err := d.deploy(ctx, "bad-deploy", delivery.ExitCode(&delivery.Error{Kind: delivery.KindRolledBack}))
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
	if _, err := d.commit(ctx, `var tools = []string{"clock", "booking"}`, "booking, which needs a calendar"); err != nil {
		return "", nil, err
	}
	o, err := d.deploy(ctx, "next-deploy", 0)
	return delivered(o), nil, err
}

// refused shows a token of another repository, and why it gets nothing.
func (d *demo) refused(ctx context.Context) (string, []string, error) {
	var o outcome
	err := d.inJob(ctx, sim.Job{Repository: "evil@99/agents@77", Environment: "dev"}, func(env map[string]string) (int, error) {
		var err error
		o, err = d.deliver(ctx, "refused", delivery.ExitCode(&delivery.Error{Kind: delivery.KindDenied}), env, "deploy", "--env", "dev")
		return o.code, err
	})
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

// look shows what serves in the end, each environment seen by its own account.
func (d *demo) look(ctx context.Context) (string, []string, error) {
	var lines []string
	for _, environment := range demoEnvironments() {
		env, err := d.api.administrator(ctx, demoAccountOf(environment))
		if err != nil {
			return "", nil, err
		}
		o, out, err := d.slipway(ctx, env, "status", "--env", environment)
		if err != nil {
			return "", nil, err
		}
		var doc statusDocument
		if err := json.Unmarshal(out, &doc); err != nil || o.code != 0 || len(doc.Environments) != 1 {
			return "", nil, fmt.Errorf("slipway status ended with %d: %s", o.code, o.stderr)
		}
		e := doc.Environments[0]
		lines = append(lines, fmt.Sprintf("%s  %s %s, version %s, %s; drift %s", e.Environment, shortRevision(e.Revision), shortDigest(e.Digest),
			servedVersion(e), e.Verdict, driftCell(e)))
	}
	return "what serves where", lines, nil
}
