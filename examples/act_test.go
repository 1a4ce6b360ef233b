package examples_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/needs"
)

// delivers runs the delivering jobs of the starter's generated workflows with
// act, on this machine and against the local cloud: a push goes to dev, and by
// hand to stg once somebody has approved it. act knows neither gates nor
// tokens; both are the local cloud's, of jobs that it has meanwhile.
func (w *world) delivers(t *testing.T) {
	r := newRunner(t, w)
	w.pin(t)
	w.run(t, "workflow", "generate", "--force")
	w.run(t, "workflow", "check")
	// The copy that act runs leaves out what is out of reach here: the steps of
	// CI need package indices, and act 0.2.89 does not know queue.
	w.write(t, ".github/workflows/ci.yml", "on: {workflow_call: }\npermissions: {}\njobs: {tested: {runs-on: ubuntu-24.04, steps: [{run: echo tested}]}}\n")
	for _, file := range []string{"deploy-agent.yml", "rollback.yml"} {
		w.edit(t, ".github/workflows/"+file, "      queue: max\n", "")
	}
	w.git(t, "commit", "-q", "-m", "workflows")

	deploy := w.job(t, "--environment", "dev", "--name", "deploy-dev")
	r.acting(deploy)
	printed := r.run(t, deploy, nil, "push", "--workflows", ".github/workflows/deploy-agent.yml", "--job", "deploy-dev")
	if !strings.Contains(printed, "### ✓ customerServiceAgent → dev: ") {
		t.Errorf("the push does not deliver:\n%s", printed)
	}
	deploy.end(t)

	prove := w.job(t, "--environment", "dev", "--name", "prove-stg", "--event", "workflow_dispatch")
	r.acting(prove)
	var promote *job
	printed = r.run(t, prove, func(id string) {
		if id != "promote-stg" || promote != nil {
			return
		}
		r.acting(nil)
		promote = w.approved(t, prove.variables["GITHUB_RUN_ID"], "--environment", "stg", "--name", "promote-stg", "--event", "workflow_dispatch")
		r.acting(promote)
	}, "workflow_dispatch", "--workflows", ".github/workflows/deploy-agent.yml", "--job", "promote-stg", "--input", "environment=stg")
	if promote == nil {
		t.Fatalf("nothing reached the gate:\n%s", printed)
	}
	promote.end(t)
	prove.end(t)
	w.promoted(t, printed)

	back := w.job(t, "--environment", "dev", "--name", "rollback", "--event", "workflow_dispatch")
	r.acting(back)
	printed = r.run(t, back, nil, "workflow_dispatch", "--workflows", ".github/workflows/rollback.yml", "--input", "environment=dev", "--input", "revision=")
	back.end(t)
	if dev, stg := w.serves(t, "dev"), w.serves(t, "stg"); !strings.Contains(printed, "### ✓ customerServiceAgent → dev: ") || dev.Digest == stg.Digest {
		t.Errorf("dev serves %+v after its rollback:\n%s", dev, printed)
	}
}

// promoted sees that stg serves what dev does, and that whoever approved and
// whoever looks at GitHub is told so.
func (w *world) promoted(t *testing.T, printed string) {
	t.Helper()
	for _, want := range []string{", to be approved", "### ✓ customerServiceAgent → stg: ", "approved by hubot"} {
		if !strings.Contains(printed, want) {
			t.Errorf("the promotion does not say %q:\n%s", want, printed)
		}
	}
	dev, stg := w.serves(t, "dev"), w.serves(t, "stg")
	if dev.Digest == "" || dev.Digest != stg.Digest || stg.Verdict != "passed" {
		t.Errorf("dev serves %+v, stg %+v", dev, stg)
	}
	if want := "customerServiceAgent: " + stg.Revision + " serves as version " + stg.Version; w.told(t, "stg") != want {
		t.Errorf("GitHub says of stg %q, want %q", w.told(t, "stg"), want)
	}
}

// release is what an environment serves.
type release struct{ Revision, Digest, Version, Verdict string }

func (w *world) serves(t *testing.T, environment string) release {
	t.Helper()
	var status struct{ Environments []release }
	w.json(t, &status, "status", "--env", environment)
	return status.Environments[0]
}

// told is the newest that Slipway has told GitHub of an environment.
func (w *world) told(t *testing.T, environment string) string {
	t.Helper()
	var deployments []struct{ ID int }
	w.github(t, "deployments?environment="+environment, &deployments)
	for _, d := range deployments {
		var statuses []struct {
			Description string
			URL         string `json:"environment_url"`
		}
		w.github(t, fmt.Sprintf("deployments/%d/statuses", d.ID), &statuses)
		for _, s := range statuses {
			if s.Description != "" && strings.HasPrefix(s.URL, "https://us-east-1.console.aws.amazon.com/bedrock-agentcore/agents/customerServiceAgent_"+environment+"-") {
				return s.Description
			}
		}
	}
	return ""
}

func (w *world) github(t *testing.T, path string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.env["GITHUB_API_URL"]+"/repos/acme/agents/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.env["GH_TOKEN"])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
}

// pin has slipway.yaml install the program that is tested, from a server that
// serves it as a release.
func (w *world) pin(t *testing.T) {
	t.Helper()
	program, err := os.ReadFile(w.slipway)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	z, err := gzip.NewWriterLevel(&archive, gzip.NoCompression) // compressing it takes the race detector half a minute
	if err != nil {
		t.Fatal(err)
	}
	files := tar.NewWriter(z)
	err = files.WriteHeader(&tar.Header{Name: "slipway", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = files.Write(program)
	}
	if err = errors.Join(err, files.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	release := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive.Bytes()) }))
	t.Cleanup(release.Close)
	text, err := os.ReadFile(filepath.Join(w.dir, "slipway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	kept, _, found := strings.Cut(string(text), "\ntool:")
	if !found {
		t.Fatal("slipway.yaml pins no tool")
	}
	w.write(t, "slipway.yaml", kept+fmt.Sprintf("\ntool: {version: 0.1.0, url: %q, sha256: {linux/%s: %q}}\n",
		release.URL+"/slipway.tar.gz", runtime.GOARCH, fmt.Sprintf("%x", sha256.Sum256(archive.Bytes()))))
}

func (w *world) write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, file), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// job is a job of the local cloud's GitHub that lasts until it is told to end.
type job struct {
	cmd       *exec.Cmd
	stdin     io.Closer
	variables map[string]string
}

// start begins a job. What it says before it may run goes to stderr.
func (w *world) start(t *testing.T, stderr io.Writer, flags ...string) (*exec.Cmd, io.WriteCloser, io.Reader) {
	t.Helper()
	head := strings.TrimSpace(run(t, w.dir, os.Environ(), "git", "rev-parse", "HEAD"))
	args := append([]string{"local", "job", "--repository", "acme/agents", "--sha", head, "--permissions", "actions=read,contents=read,deployments=write"}, flags...)
	cmd := exec.CommandContext(t.Context(), w.slipway, append(args, "--", "sh", "-c", "env -0; printf '\\n'; cat")...)
	cmd.Dir, cmd.Env, cmd.Stderr = w.dir, clean(w.env), stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stdin, stdout
}

// running reads the variables of a job, which it has once it runs.
func running(t *testing.T, cmd *exec.Cmd, stdin io.Closer, stdout io.Reader) *job {
	t.Helper()
	text, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the job does not run: %v, %v", err, cmd.Wait())
	}
	j := &job{cmd: cmd, stdin: stdin, variables: map[string]string{}}
	for pair := range strings.SplitSeq(text, "\x00") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			j.variables[name] = value
		}
	}
	return j
}

// job begins a job that no gate keeps.
func (w *world) job(t *testing.T, flags ...string) *job {
	t.Helper()
	cmd, stdin, stdout := w.start(t, os.Stderr, flags...)
	return running(t, cmd, stdin, stdout)
}

// approved begins a job of a run, sees that it waits, and that who started the
// run can't approve it, and has another one do so.
func (w *world) approved(t *testing.T, run string, flags ...string) *job {
	t.Helper()
	said, into := io.Pipe()
	cmd, stdin, stdout := w.start(t, into, append(flags, "--run", run)...)
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil || !strings.Contains(line, "stg") {
		t.Fatalf("the job does not wait: %q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()
	own := exec.Command(w.slipway, "local", "approve", run, "--as", "octocat")
	own.Dir, own.Env = w.dir, clean(w.env)
	if text, err := own.CombinedOutput(); err == nil {
		t.Fatalf("who started the run approves it: %s", text)
	}
	w.run(t, "local", "approve", run, "--as", "hubot", "--comment", "the digest is the tested one")
	return running(t, cmd, stdin, stdout)
}

func (j *job) end(t *testing.T) {
	t.Helper()
	if err := j.stdin.Close(); err != nil {
		t.Error(err)
	}
	if err := j.cmd.Wait(); err != nil {
		t.Errorf("the job ends with %v", err)
	}
}

// runner runs workflows with act, on this machine. Tokens are those of a job
// of the local cloud's: the one that acts.
type runner struct {
	*world
	act, cache string
	tokens     *httptest.Server
	jobs       chan *job // the one that acts; empty while none does
}

func newRunner(t *testing.T, w *world) *runner {
	t.Helper()
	r := &runner{world: w, act: needs.Program(t, "act"), cache: t.TempDir(), jobs: make(chan *job, 1)}
	r.tokens = httptest.NewServer(http.HandlerFunc(r.mint))
	t.Cleanup(r.tokens.Close)
	return r
}

// acting says which job acts from now on, nil for none yet.
func (r *runner) acting(j *job) {
	select {
	case <-r.jobs:
	default:
	}
	if j != nil {
		r.jobs <- j
	}
}

// mint asks the local cloud's GitHub for a token of the job that acts, and
// waits until one does.
func (r *runner) mint(w http.ResponseWriter, req *http.Request) {
	var j *job
	select {
	case j = <-r.jobs:
		r.jobs <- j
	case <-req.Context().Done():
		return
	}
	ask, err := http.NewRequestWithContext(req.Context(), http.MethodGet, j.variables["ACTIONS_ID_TOKEN_REQUEST_URL"]+"&audience="+req.URL.Query().Get("audience"), nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	ask.Header.Set("Authorization", "bearer "+j.variables["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
	resp, err := http.DefaultClient.Do(ask)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// run has act run jobs with what the acting job sees, tokens aside, and returns
// what they print. began is told of each job before anything of it is read.
func (r *runner) run(t *testing.T, as *job, began func(id string), args ...string) string {
	t.Helper()
	args = append(args, "--json", "--actor", as.variables["GITHUB_ACTOR"], "--secret", "GITHUB_TOKEN",
		"--platform", "ubuntu-24.04=-self-hosted", "--platform", "ubuntu-24.04-arm=-self-hosted",
		"--env", "ACTIONS_ID_TOKEN_REQUEST_URL="+r.tokens.URL+"/token?api-version=2.0", "--env", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=act", "--env", "DOCKER_CONFIG="+r.env["DOCKER_CONFIG"])
	for name, value := range as.variables {
		if strings.HasPrefix(name, "AWS_") || name == "GITHUB_API_URL" || name == "GITHUB_RUN_ID" || name == "GITHUB_RUN_NUMBER" || name == "GITHUB_REPOSITORY" {
			args = append(args, "--env", name+"="+value)
		}
	}
	cmd := exec.CommandContext(t.Context(), r.act, args...)
	env := maps.Clone(as.variables)
	env["XDG_CACHE_HOME"], env["DOCKER_CONFIG"] = r.cache, r.env["DOCKER_CONFIG"]
	cmd.Dir, cmd.Env = r.dir, clean(env)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	printed := r.follow(stdout, began)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("act %s: %v\n%s%s", strings.Join(args, " "), err, printed, stderr.Bytes())
	}
	return printed
}

// follow reads act's log: what jobs and their steps print.
func (r *runner) follow(log io.Reader, began func(id string)) string {
	var printed strings.Builder
	last := ""
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var line struct{ Msg, JobID string }
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		if line.JobID != last && began != nil {
			began(line.JobID)
		}
		last = line.JobID
		printed.WriteString(strings.TrimSuffix(line.Msg, "\n") + "\n")
	}
	return printed.String()
}
