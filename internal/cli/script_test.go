package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/slipway-cd/slipway/internal/agentcore"
	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/needs"
	"github.com/slipway-cd/slipway/internal/sim"
)

// update rewrites golden files and generated docs.
func update() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite golden files and generated docs")
	testscript.Main(tidy{m}, map[string]func(){"slipway": runMain})
}

// tidy removes the program that tests have built.
type tidy struct{ *testing.M }

func (t tidy) Run() int {
	defer func() { _ = os.RemoveAll(builtIn) }() // "" where none was built
	return t.M.Run()
}

var builtIn string

// program is cmd/slipway as users have it. This test binary can be slipway as
// well, but where it has the race detector each start takes most of a second.
var program = sync.OnceValues(func() (string, error) {
	var err error
	if builtIn, err = os.MkdirTemp("", "slipway-program-"); err != nil {
		return "", err
	}
	name := filepath.Join(builtIn, "slipway")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", name, "../../cmd/slipway").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return name, nil
})

// linkProgram puts the program into a directory, as slipway, and returns its
// path there.
func linkProgram(t *testing.T, dir string) string {
	t.Helper()
	needs.Program(t, "go")
	built, err := program()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "slipway")
	if err := os.Symlink(built, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// runMain is main of cmd/slipway, for scripts and their sandboxes: this very
// test binary is the program.
func runMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	sys := System{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Environ(), Setenv: os.Setenv}
	var errDir, errExe error
	sys.Dir, errDir = os.Getwd()
	sys.Executable, errExe = os.Executable()
	if err := errors.Join(errDir, errExe); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := Main(ctx, os.Args[1:], sys)
	stop()
	os.Exit(code)
}

// TestScripts runs the binary as users do, stderr and exit codes included.
// Scripts that begin with "world" have a local cloud with the demo's
// repository and trust in it.
func TestScripts(t *testing.T) {
	needs.Program(t, "git")
	needs.Program(t, "go")
	plain := t.TempDir()
	linkProgram(t, plain)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       update(),
		Setup: func(env *testscript.Env) error {
			// The agent is built with the machine's own caches.
			for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS"} {
				out, err := exec.Command("go", "env", name).Output()
				if err != nil {
					return err
				}
				env.Setenv(name, strings.TrimSpace(string(out)))
			}
			env.Setenv("TERM", "dumb")
			if name := filepath.Base(env.WorkDir); !slices.Contains(racing(), strings.TrimPrefix(name, "script-")) {
				env.Setenv("PATH", plain+string(filepath.ListSeparator)+env.Getenv("PATH"))
			}
			env.Setenv("GORACE", os.Getenv("GORACE")) // CI says there that programs need not linger
			env.Values[worldKey] = &scriptWorld{}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "agents" {
				return runtime.GOOS == "linux", nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"world":     cmdWorld,
			"admin":     cmdAdmin,
			"stages":    cmdStages,
			"job":       cmdJob,
			"agent":     cmdAgent,
			"bearer":    cmdBearer,
			"config":    cmdConfig,
			"exit":      cmdExit,
			"param":     cmdParam,
			"settle":    cmdSettle,
			"await":     cmdAwait,
			"served":    cmdServed,
			"writes":    cmdWrites,
			"canary":    cmdCanary,
			"secret":    cmdSecret,
			"byhand":    cmdByHand,
			"sees":      cmdSees,
			"variable":  cmdVariable,
			"image":     cmdImage,
			"policy":    cmdPolicy,
			"lifecycle": cmdLifecycle,
			"protect":   cmdProtect,
			"waits":     cmdWaits,
		},
	})
}

// racing are the scripts that run this test binary as the program, with the
// race detector where the tests have it. The others take the program as it is
// built: it starts in a fifth of the time, and scripts start it a thousand
// times.
func racing() []string { return []string{"main-job", "race"} }

// scriptWorld is a cloud, a repository and trust, as the demo makes them.
type scriptWorld struct {
	*demo
	seen    int      // how much of the journal was looked at
	secrets []string // every credential that a command of the script was given
}

const worldKey = "world"

func theWorld(ts *testscript.TestScript) *scriptWorld {
	w := ts.Value(worldKey).(*scriptWorld)
	if w.demo == nil {
		ts.Fatalf("the script has no world")
	}
	return w
}

// cmdWorld starts a cloud in $WORK/cloud, makes $WORK/repo and goes there. With
// "bare", its account is empty.
func cmdWorld(ts *testscript.TestScript, _ bool, args []string) {
	work := ts.Getenv("WORK")
	exe := filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], "slipway")
	a := &app{System: System{Env: scriptEnviron(ts), Dir: work, Executable: exe, Out: io.Discard, Err: io.Discard}, output: "json"}
	a.ui = newUI(a)
	ctx := context.Background()
	cloud, err := a.startCloud(ctx, filepath.Join(work, "cloud"), "127.0.0.1:0", 100*time.Millisecond, func(string) {})
	ts.Check(err)
	w := ts.Value(worldKey).(*scriptWorld)
	ts.Defer(func() { ts.Check(w.cloud.stop()) })
	source, yaml, err := smallWorld()
	ts.Check(err)
	w.demo = &demo{app: a, cloud: cloud, repo: filepath.Join(work, "repo"), source: source, yaml: yaml,
		api: &control{base: cloud.address, token: cloud.ControlToken()}}
	_, _, err = w.makeRepository(ctx)
	ts.Check(err)
	if !slices.Contains(args, "bare") {
		ts.Check(w.trustByHand(ctx))
	}
	ts.Check(ts.Chdir(w.repo))
}

func scriptEnviron(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GORACE"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

// cmdAdmin makes the script the administrator of an account: admin [ACCOUNT].
func cmdAdmin(ts *testscript.TestScript, _ bool, args []string) {
	w := theWorld(ts)
	env, err := w.api.administrator(context.Background(), append(args, demoAccount)[0])
	ts.Check(err)
	w.use(ts, env)
}

// cmdJob makes the script a GitHub job: job REPOSITORY [ENVIRONMENT].
func cmdJob(ts *testscript.TestScript, _ bool, args []string) {
	w := theWorld(ts)
	env, err := w.job(context.Background(), args[0], append(args[1:], "dev")[0])
	ts.Check(err)
	env["GITHUB_OUTPUT"], env["GITHUB_STEP_SUMMARY"] = filepath.Join(ts.Getenv("WORK"), "output"), filepath.Join(ts.Getenv("WORK"), "summary")
	w.use(ts, env)
}

// use sets the variables of an administrator or a job, and nothing of the
// other.
func (w *scriptWorld) use(ts *testscript.TestScript, env map[string]string) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "ACTIONS_ID_TOKEN_REQUEST_URL",
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ACTIONS", "CI", "GH_TOKEN"} {
		ts.Setenv(name, "")
	}
	for name, value := range env {
		ts.Setenv(name, value)
		if name == "AWS_SECRET_ACCESS_KEY" || name == "ACTIONS_ID_TOKEN_REQUEST_TOKEN" || name == "GH_TOKEN" {
			w.secrets = append(w.secrets, value)
		}
	}
}

// cmdStages gives the world three environments in a row, dev, stg and prd, the
// last of another account and behind the endpoint live. Each has a repository
// of its own.
func cmdStages(ts *testscript.TestScript, _ bool, _ []string) {
	w := theWorld(ts)
	ts.Check(w.stages())
	_, err := w.git(context.Background(), "commit", "--quiet", "--all", "--message", "three environments")
	ts.Check(err)
}

// cmdAgent commits an agent: agent good|bad|other.
func cmdAgent(ts *testscript.TestScript, _ bool, args []string) {
	tools := map[string]string{"good": `var tools = []string{"clock", "calendar"}`, "other": `var tools = []string{"weather"}`, "bad": "var tools []string"}
	revision, err := theWorld(ts).commit(context.Background(), tools[args[0]], args[0])
	ts.Check(err)
	ts.Setenv("REVISION", revision)
}

// cmdBearer puts a token of the cloud's issuer into SLIPWAY_VERIFY_TOKEN:
// bearer AUDIENCE [LIFETIME].
func cmdBearer(ts *testscript.TestScript, _ bool, args []string) {
	w := theWorld(ts)
	command := []string{"local", "token", "--state", w.cloud.Dir, "--repository", "acme/agents", "--audience", args[0]}
	forged := len(args) > 1 && args[1] == "forged"
	if len(args) > 1 && !forged {
		command = append(command, "--lifetime="+args[1])
	}
	ts.Check(ts.Exec("slipway", command...))
	token := strings.TrimSpace(ts.ReadFile("stdout"))
	if forged { // its claims are right, its signature is another token's
		head, signature, _ := cutLastDot(token)
		token = head + "." + strings.Map(func(r rune) rune {
			if r == 'A' {
				return 'B'
			}
			return r
		}, signature[:len(signature)-8]) + "AAAAAAAA"
	}
	ts.Setenv("SLIPWAY_VERIFY_TOKEN", token)
	w.secrets = append(w.secrets, token)
}

func cutLastDot(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// cmdConfig puts a file in place of the agent's runtime: and verify: in
// slipway.yaml: config FILE.
func cmdConfig(ts *testscript.TestScript, _ bool, args []string) {
	file := filepath.Join(theWorld(ts).repo, "slipway.yaml")
	raw, err := os.ReadFile(file)
	ts.Check(err)
	head, _, ok := strings.Cut(string(raw), "    runtime:")
	_, tail, also := strings.Cut(string(raw), "\nenvironments:")
	if !ok || !also {
		ts.Fatalf("slipway.yaml has no runtime: of an agent")
	}
	ts.Check(os.WriteFile(file, []byte(head+ts.ReadFile(args[0])+"\nenvironments:"+tail), 0o644))
}

// cmdExit runs slipway and checks its exit code: exit CODE ARG...
func cmdExit(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("slipway", args[1:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("slipway ended with %d, expected %s", code, args[0])
	}
}

// cmdParam writes a parameter as somebody at the console would: param NAME
// VALUE, with \n for the end of a line.
func cmdParam(ts *testscript.TestScript, _ bool, args []string) {
	w := theWorld(ts)
	env, err := w.api.administrator(context.Background(), demoAccount)
	ts.Check(err)
	session, err := awsauth.Source{Getenv: func(name string) string { return env[name] }}.Open(context.Background())
	ts.Check(err)
	parameters := agentcore.NewParameters(session.Config(awsauth.SSM))
	ts.Check(parameters.PutParameter(context.Background(), args[0], strings.ReplaceAll(args[1], `\n`, "\n"), true))
}

// cmdSettle restarts the cloud on its state, with another time that runtimes
// take to become ready: settle DURATION.
func cmdSettle(ts *testscript.TestScript, _ bool, args []string) {
	w := theWorld(ts)
	settle, err := time.ParseDuration(args[0])
	ts.Check(err)
	ts.Check(w.cloud.stop())
	http.DefaultClient.CloseIdleConnections() // they led to the cloud that is no more
	listen := strings.TrimPrefix(w.cloud.address, "http://")
	again, err := w.startCloud(context.Background(), w.cloud.Dir, listen, settle, func(string) {})
	ts.Check(err)
	w.cloud = again
}

// cmdAwait waits until the journal holds an action: await ACTION.
func cmdAwait(ts *testscript.TestScript, _ bool, args []string) {
	w := theWorld(ts)
	for range 3000 {
		for _, c := range w.cloud.Journal() {
			if c.Action == args[0] {
				return
			}
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to be told by
	}
	ts.Fatalf("nobody called %s", args[0])
}

// cmdServed waits until a cloud serves a state directory: served DIR.
func cmdServed(ts *testscript.TestScript, _ bool, args []string) {
	for range 3000 {
		if _, err := dial(context.Background(), ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to be told by
	}
	ts.Fatalf("no cloud serves %s", args[0])
}

// cmdProtect lets an environment be deployed to from main alone, after a review
// by a team and by nobody of his own run: protect STATE REPOSITORY ENVIRONMENT TEAM.
func cmdProtect(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	c, err := dial(ctx, ts.MkAbs(args[0]))
	ts.Check(err)
	env, err := c.administrator(ctx, demoAccount)
	ts.Check(err)
	org, slug, _ := strings.Cut(args[3], "/")
	var team struct {
		ID int64 `json:"id"`
	}
	ts.Check(askGitHub(ctx, env, http.MethodGet, "/orgs/"+org+"/teams/"+slug, nil, &team))
	path := "/repos/" + args[1] + "/environments/" + args[2]
	ts.Check(askGitHub(ctx, env, http.MethodPut, path, map[string]any{"prevent_self_review": true, "reviewers": []map[string]any{{"type": "Team", "id": team.ID}},
		"deployment_branch_policy": map[string]bool{"protected_branches": false, "custom_branch_policies": true}}, nil))
	ts.Check(askGitHub(ctx, env, http.MethodPost, path+"/deployment-branch-policies", map[string]string{"name": "main"}, nil))
}

// cmdWaits waits until a job waits for a review: waits STATE.
func cmdWaits(ts *testscript.TestScript, _ bool, args []string) {
	for range 3000 {
		c, err := dial(context.Background(), ts.MkAbs(args[0]))
		if err == nil {
			if waiting, err := c.waiting(context.Background()); err == nil && len(waiting) > 0 {
				return
			}
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to be told by
	}
	ts.Fatalf("no job waits")
}

// writing is every call that changes something.
func writing(c sim.Call) bool {
	for _, verb := range []string{"Put", "Set", "Attach", "Detach", "Tag", "Untag", "Create", "Update", "Delete", "Upload", "Start", "Complete", "Initiate", "Add", "Stop", "Invoke"} {
		if strings.HasPrefix(c.Action, verb) {
			return true
		}
	}
	return (c.Service == "registry" || c.Service == "github") && c.Method != http.MethodGet && c.Method != http.MethodHead
}

// cmdWrites checks how many calls of the cloud's journal changed something
// since the last time: writes [!] N; with ! not N.
func cmdWrites(ts *testscript.TestScript, neg bool, args []string) {
	w := theWorld(ts)
	var found []string
	calls := w.cloud.Journal()
	for _, c := range calls[min(w.seen, len(calls)):] {
		if writing(c) {
			found = append(found, c.Service+":"+c.Action+" "+c.Path)
		}
	}
	w.seen = len(calls)
	if (strconv.Itoa(len(found)) == args[0]) == neg {
		ts.Fatalf("%d writing calls: %v", len(found), found)
	}
}

// cmdCanary looks for every credential that the cloud has given out and the
// script was given, plain, base64- and URL-encoded, and for anything that
// looks like a token: in the last output, in every file outside the cloud's
// state, and within it in parameters, the journal and agents' logs. The
// commands by which GitHub is told to mask a value are not looked at, nor is
// what is named: canary [stdout].
func cmdCanary(ts *testscript.TestScript, _ bool, args []string) {
	w := theWorld(ts)
	work := ts.Getenv("WORK")
	places := map[string]string{"stdout": ts.ReadFile("stdout"), "stderr": unmasked(ts.ReadFile("stderr"))}
	for _, handed := range args {
		delete(places, handed)
	}
	secrets := w.secrets
	ts.Check(filepath.WalkDir(work, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		in, _ := filepath.Rel(filepath.Join(work, "cloud"), name)
		switch {
		case filepath.Dir(in) == "records":
			var record struct {
				Key   string          `json:"key"`
				Value json.RawMessage `json:"value"`
			}
			if err := json.Unmarshal(raw, &record); err != nil {
				return err
			}
			if strings.HasPrefix(record.Key, "ssm/") {
				places[record.Key] = string(record.Value)
			}
			if strings.HasPrefix(record.Key, "identity/key/") {
				var key struct{ Secret, Token string }
				ts.Check(json.Unmarshal(record.Value, &key))
				secrets = append(secrets, key.Secret)
				if key.Token != "" {
					secrets = append(secrets, key.Token)
				}
			}
		case in == "journal.jsonl", filepath.Dir(in) == "logs", strings.HasPrefix(in, ".."):
			places[name] = string(raw)
		}
		return nil
	}))
	if len(secrets) <= len(w.secrets) || ts.ReadFile("stderr") == "" {
		ts.Fatalf("there is nothing to look for: %d credentials in %d places", len(secrets), len(places))
	}
	token := regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}`)
	for place, text := range places {
		if token.MatchString(text) {
			ts.Fatalf("%s holds a token", place)
		}
		for _, secret := range secrets {
			for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
				if strings.Contains(text, form) {
					ts.Fatalf("%s holds a credential", place)
				}
			}
		}
	}
}

// unmasked is what GitHub shows of a job's stderr, but for the masking.
func unmasked(stderr string) string {
	return regexp.MustCompile(`(?m)^::add-mask::.*\n`).ReplaceAllString(stderr, "")
}
