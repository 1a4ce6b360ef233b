package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/agentcore"
	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/ecr"
	"github.com/slipway-cd/slipway/internal/needs"
	"github.com/slipway-cd/slipway/internal/registry"
	"github.com/slipway-cd/slipway/internal/sim"
)

// knock is a cell of the fault matrix (security: section 7): what befalls a
// stage of a deploy, how the real program ends, and what it says.
type knock struct {
	stage string
	what  string
	// faults are set before the deploy, in the words of `local fault add`,
	// separated by semicolons.
	faults string
	exit   int
	// says has what stderr holds, separated by |.
	says string
	knockExtra
}

// knockExtra is what few cells need.
type knockExtra struct {
	live bool   // the environment serves through the named endpoint live
	args string // more arguments of the deploy
	// meanwhile happens once the first fault has befallen a call; then the
	// faults are cleared.
	meanwhile func(*testing.T, *knockWorld)
	// stop is sent in place of that, and the faults stay.
	stop os.Signal
	// then are faults that are set before either.
	then string
	// again are the arguments of the run that converges, as the
	// administrator; the same command where it is empty.
	again string
	// surplus is how many versions more than one the way took.
	surplus int
	// fresh is for cells about the build: others deliver one of two images
	// that are there, in turn.
	fresh bool
}

// knockWorlds is how many cells run at once, each in a world of its own. They
// mostly wait; with more of them two cores don't keep the cells' deadlines.
const knockWorlds = 8

// TestKnocks lets every bad day befall every stage of a deploy by the real
// program: the exit code is true, the words say what failed and what serves,
// no secret is told, and the same command converges without the fault. CI runs
// every cell, plain go test each sixteenth.
func TestKnocks(t *testing.T) {
	t.Parallel()
	cells := needs.Sample(t, "matrix", 16, knocks())
	queues := map[bool]chan knock{false: make(chan knock, len(cells)), true: make(chan knock, len(cells))}
	for _, k := range cells {
		queues[k.live] <- k
	}
	var table knockTable
	var group sync.WaitGroup
	for i := range worldsFor("matrix", knockWorlds) {
		live := i%4 == 0 // enough for the cells with a named endpoint
		group.Go(func() {
			t.Run(fmt.Sprintf("world %d", i+1), func(t *testing.T) { table.fill(t, live, queues[live]) })
		})
	}
	group.Wait()
	t.Log("fault matrix, real program:\n" + table.String())
	if needs.Required("matrix") && !t.Failed() {
		holdTable(t, "fault-matrix.md", "stages", table.String())
	}
}

// fill runs cells until there are none left.
func (k *knockTable) fill(t *testing.T, live bool, queue <-chan knock) {
	w := knockWorldOn(t, servedWorld(t), live)
	for {
		select {
		case cell := <-queue:
			ran := false // -run may leave it out
			held := t.Run(cell.stage+"/"+cell.what, func(t *testing.T) { ran = true; w.run(t, cell) })
			if ran {
				k.add(cell, held)
			}
		default:
			return
		}
	}
}

// knockTable counts cells by stage.
type knockTable struct {
	mu        sync.Mutex
	run, held map[string]int
}

func (k *knockTable) add(cell knock, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.run == nil {
		k.run, k.held = map[string]int{}, map[string]int{}
	}
	k.run[cell.stage]++
	if ok {
		k.held[cell.stage]++
	}
}

// String is the table of docs/fault-matrix.md.
func (k *knockTable) String() string {
	var b strings.Builder
	b.WriteString("| stage | cells | held |\n|---|---|---|\n")
	run, held := 0, 0
	for _, stage := range knockStages() {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", stage, k.run[stage], k.held[stage])
		run, held = run+k.run[stage], held+k.held[stage]
	}
	fmt.Fprintf(&b, "| all | %d | %d |\n", run, held)
	return b.String()
}

// knockStages are those that cells are about, in their order.
func knockStages() []string {
	var stages []string
	for _, k := range knocks() {
		if !slices.Contains(stages, k.stage) {
			stages = append(stages, k.stage)
		}
	}
	return stages
}

// knockWorld is a cloud with a runtime that serves a verified release.
type knockWorld struct {
	*demo
	live       bool
	admin      map[string]string
	session    *awsauth.Session // the administrator's
	runtimes   *agentcore.Client
	parameters *agentcore.Parameters
	images     *registry.Repository
	repository string // of dev's images; "" is the demo's
	commits    int
	built      []string // commits whose images are there
}

// newKnockWorld is one whose cloud is in the test's own process.
func newKnockWorld(t *testing.T, live bool) *knockWorld {
	t.Helper()
	return knockWorldOn(t, newBareWorld(t), live)
}

func knockWorldOn(t *testing.T, d *demo, live bool) *knockWorld {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: agents run on Linux")
	}
	if err := d.trustByHand(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &knockWorld{demo: d, live: live}
	w.shortSessions(t)
	settings := "    timeouts: {ready: 3s, verify: 30s}\n"
	if live {
		settings += "    endpoint: live\n"
	}
	w.append(t, settings)
	w.openAsAdministrator(t)
	for _, args := range [][]string{{"--create", "--yes"}, {"--yes"}} {
		revision := w.change(t)
		if o := w.deploy(t, w.admin, args...); o.code != 0 {
			t.Fatalf("deploy %v: exit %d\n%s", args, o.code, o.stderr)
		}
		w.built = append(w.built, revision)
	}
	return w
}

// shortSessions has the sessions of verifies end when they have been idle for a
// minute, the least that AgentCore takes: hundreds would be left at the end.
func (w *knockWorld) shortSessions(t *testing.T) {
	t.Helper()
	name := filepath.Join(w.repo, "slipway.yaml")
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(raw), "    runtime:\n", "    runtime:\n      lifecycle_configuration: {idle_runtime_session_timeout: 60}\n", 1)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// turn checks out a commit whose image is there, and does not serve under
// another commit's tag either.
func (w *knockWorld) turn(t *testing.T, now standing) string {
	t.Helper()
	i := slices.IndexFunc(w.built, func(revision string) bool {
		digest, err := w.images.Resolve(t.Context(), revision)
		return err == nil && digest != now.digest && revision != now.release.Revision
	})
	if i < 0 {
		t.Fatalf("of %q none could be delivered anew", w.built)
	}
	if _, err := w.git(t.Context(), "checkout", "--quiet", "--detach", w.built[i]); err != nil {
		t.Fatal(err)
	}
	return w.built[i]
}

// openAsAdministrator makes the clients that look at what there is.
func (w *knockWorld) openAsAdministrator(t *testing.T) {
	t.Helper()
	var err error
	if w.admin, err = w.api.administrator(t.Context(), demoAccount); err != nil {
		t.Fatal(err)
	}
	if w.session, err = (awsauth.Source{Getenv: func(name string) string { return w.admin[name] }, Region: demoRegion}).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	endpoint, err := url.Parse(w.cloud.address)
	if err != nil {
		t.Fatal(err)
	}
	w.runtimes = &agentcore.Client{Config: w.session.Config(awsauth.AgentCore)}
	w.parameters = agentcore.NewParameters(w.session.Config(awsauth.SSM))
	w.images = &registry.Repository{Registry: demoAccount + ".dkr.ecr." + demoRegion + ".amazonaws.com", Name: cmp.Or(w.repository, demoRepository),
		Endpoint: endpoint, Auth: ecr.New(w.session.Config(awsauth.ECR)).Credentials}
}

// append adds to slipway.yaml, and commits it.
func (w *knockWorld) append(t *testing.T, text string) {
	t.Helper()
	name := filepath.Join(w.repo, "slipway.yaml")
	old, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(old, text...), 0o644); err != nil {
		t.Fatal(err)
	}
	w.change(t)
}

// change commits, with a new revision as all that is new.
func (w *knockWorld) change(t *testing.T) string {
	t.Helper()
	w.commits++
	if _, err := w.git(t.Context(), "commit", "--quiet", "--all", "--allow-empty", "--message", "change "+strconv.Itoa(w.commits)); err != nil {
		t.Fatal(err)
	}
	revision, err := w.git(t.Context(), "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(revision)
}

// ended is how a deploy by the real program ended.
type ended struct {
	code   int
	report deploymentDocument
	stdout string
	stderr string
}

// startDeploy starts a deploy.
func (w *knockWorld) startDeploy(t *testing.T, env map[string]string, args ...string) (cmd *exec.Cmd, wait func() ended) {
	t.Helper()
	return w.start(t, env, append([]string{"deploy", "--env", "dev"}, args...)...)
}

// start starts a command that delivers.
func (w *knockWorld) start(t *testing.T, env map[string]string, args ...string) (cmd *exec.Cmd, wait func() ended) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, w.Executable, append(args, "-o", "json")...)
	cmd.Dir, cmd.Env = w.repo, jobEnviron(w.Env, env)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, func() ended {
		err := cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		o := ended{code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: messages.String()}
		if ctx.Err() != nil {
			t.Fatalf("it did not end\n%s", o.stderr)
		}
		if out.Len() > 0 {
			if err := json.Unmarshal(out.Bytes(), &o.report); err != nil {
				t.Fatal(err)
			}
		}
		w.keepsSecrets(t, env, o.stdout+o.stderr)
		return o
	}
}

func (w *knockWorld) deploy(t *testing.T, env map[string]string, args ...string) ended {
	t.Helper()
	_, wait := w.startDeploy(t, env, args...)
	return wait()
}

// setFaults sets faults in the words of the command line.
func (w *knockWorld) setFaults(t *testing.T, lines string) {
	t.Helper()
	for line := range strings.SplitSeq(lines, ";") {
		if line != "" {
			w.setFault(t, line)
		}
	}
}

func (w *knockWorld) setFault(t *testing.T, words string) {
	t.Helper()
	var out, messages bytes.Buffer
	args := append([]string{"local", "fault", "add", "--state", w.cloud.Dir}, fields(words)...)
	if code := Main(t.Context(), args, System{In: strings.NewReader(""), Out: &out, Err: &messages, Dir: w.Dir}); code != 0 {
		t.Fatalf("fault add %s: exit %d: %s", words, code, messages.String())
	}
}

// fields splits a command line; single quotes hold words together.
func fields(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

// standing is what serves, and what is written about it.
type standing struct {
	newest  int    // the newest version's number
	version string // what the users' endpoint serves
	digest  string // the image of that version
	latest  string // what the tag latest names
	release delivery.Release
	lock    *delivery.Lock
}

var digestInURI = regexp.MustCompile(`@(sha256:[0-9a-f]{64})`)

func (w *knockWorld) id(t *testing.T) string {
	t.Helper()
	id, err := w.parameters.Parameter(t.Context(), "/supportAgent/dev/runtime-id")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (w *knockWorld) endpoint() string {
	if w.live {
		return "live"
	}
	return delivery.DefaultEndpoint
}

func (w *knockWorld) standing(t *testing.T) standing {
	t.Helper()
	var s standing
	id := w.id(t)
	newest := struct{ AgentRuntimeVersion string }{}
	doc, err := w.runtimes.Get(t.Context(), id, "")
	e, endpointErr := w.runtimes.Endpoint(t.Context(), id, w.endpoint())
	if err := errors.Join(err, endpointErr, json.Unmarshal(doc, &newest)); err != nil {
		t.Fatal(err)
	}
	if s.newest, err = strconv.Atoi(newest.AgentRuntimeVersion); err != nil {
		t.Fatal(err)
	}
	s.version = e.LiveVersion
	if doc, err = w.runtimes.Get(t.Context(), id, e.LiveVersion); err != nil {
		t.Fatal(err)
	}
	if m := digestInURI.FindSubmatch(doc); m != nil {
		s.digest = string(m[1])
	}
	if s.latest, err = w.images.Resolve(t.Context(), "latest"); err != nil {
		t.Fatal(err)
	}
	w.read(t, "release", &s.release)
	w.read(t, "lock", &s.lock)
	return s
}

func (w *knockWorld) read(t *testing.T, name string, v any) {
	t.Helper()
	value, err := w.parameters.Parameter(t.Context(), "/supportAgent/dev/"+name)
	if errors.Is(err, delivery.ErrNotFound) {
		return
	}
	if err := errors.Join(err, json.Unmarshal([]byte(value), v)); err != nil {
		t.Fatal(err)
	}
}

// keepsSecrets looks in what a command printed for every credential that the
// cloud has given out, and for anything that looks like a token.
func (w *knockWorld) keepsSecrets(t *testing.T, env map[string]string, printed string) {
	t.Helper()
	secrets := []string{env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"], env["AWS_SECRET_ACCESS_KEY"]}
	records, err := filepath.Glob(filepath.Join(w.cloud.Dir, "records", "*"))
	if err != nil || len(records) == 0 {
		t.Fatal("the cloud has no records", err)
	}
	for _, name := range records {
		raw, err := os.ReadFile(name)
		var record struct {
			Key   string
			Value struct{ Secret, Token string }
		}
		if err != nil || json.Unmarshal(raw, &record) != nil || !strings.HasPrefix(record.Key, "identity/key/") {
			continue // written anew this moment, or no key
		}
		secrets = append(secrets, record.Value.Secret, record.Value.Token)
	}
	for _, secret := range secrets {
		if secret != "" && strings.Contains(printed, secret) {
			t.Errorf("a credential was told")
		}
	}
	if regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}\.eyJ`).MatchString(printed) {
		t.Errorf("a token was told")
	}
}

// run is one cell.
func (w *knockWorld) run(t *testing.T, k knock) {
	before := w.standing(t)
	deliver := func() string { return w.turn(t, before) }
	if k.fresh || k.stage == "push" || strings.Contains(k.faults, opBlob) {
		deliver = func() string { return w.change(t) }
	}
	revision := deliver()
	env, err := w.job(t.Context(), "acme/agents", "dev")
	if err != nil {
		t.Fatal(err)
	}
	w.setFaults(t, k.faults)
	cmd, wait := w.startDeploy(t, env, fields(k.args)...)
	signalled := w.meanwhile(t, k, cmd)
	o := wait()
	if k.stop != nil {
		took := time.Since(signalled)
		t.Logf("ended %s after %s", took.Round(10*time.Millisecond), k.stop)
		if took > 10*time.Second { // what it waited for would have taken minutes
			t.Errorf("it took %s to end", took)
		}
	}
	t.Logf("exit %d\n%s", o.code, o.stderr)
	if o.code != k.exit {
		t.Errorf("exit %d, expected %d", o.code, k.exit)
	}
	for _, words := range strings.Split(k.says, "|") {
		if !strings.Contains(o.stderr, words) {
			t.Errorf("it does not say %q", words)
		}
	}
	if o.code != 2 && !strings.Contains(o.stderr, "now: ") {
		t.Error("it does not say what serves now")
	}
	w.clear(t, k.meanwhile == nil)
	if k.again != "" {
		if o := w.deploy(t, w.admin, fields(k.again)...); o.code != 0 {
			t.Errorf("again: exit %d\n%s", o.code, o.stderr)
		}
		w.judge(t, "again", before, w.standing(t), revision, 0, 1<<30)
		return
	}
	if k.meanwhile == nil {
		w.judge(t, "at once", before, w.standing(t), revision, o.code, 0)
	}
	if o = w.deploy(t, env); o.code != 0 {
		t.Errorf("again: exit %d\n%s", o.code, o.stderr)
	}
	w.judge(t, "again", before, w.standing(t), revision, 0, 1+k.surplus)
}

// meanwhile does what a cell wants done once its first fault has befallen a
// call. It returns when that was.
func (w *knockWorld) meanwhile(t *testing.T, k knock, cmd *exec.Cmd) time.Time {
	t.Helper()
	if k.meanwhile == nil && k.stop == nil {
		return time.Time{}
	}
	w.awaitHit(t)
	w.setFaults(t, k.then)
	at := time.Now()
	if k.stop != nil {
		if err := cmd.Process.Signal(k.stop); err != nil {
			t.Fatal(err)
		}
		return at
	}
	k.meanwhile(t, w)
	w.clear(t, false)
	return at
}

// faults are those that are set.
func (w *knockWorld) faults(t *testing.T) []sim.Fault {
	t.Helper()
	var answer struct{ Faults []sim.Fault }
	if err := w.api.call(t.Context(), http.MethodGet, "faults", nil, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Faults
}

// awaitHit waits until the first fault has befallen a call.
func (w *knockWorld) awaitHit(t *testing.T) {
	t.Helper()
	for range 6000 {
		if f := w.faults(t); len(f) > 0 && f[0].Hits > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to be told by
	}
	t.Fatal("the fault befell no call")
}

// clear takes all faults back. Where it asks, each must have befallen a call:
// else the cell shows nothing.
func (w *knockWorld) clear(t *testing.T, all bool) {
	t.Helper()
	for _, f := range w.faults(t) {
		if all && f.Hits == 0 {
			t.Errorf("nothing was befallen by %s", faultLine(f))
		}
	}
	if err := w.api.call(t.Context(), http.MethodDelete, "faults?id=", nil, nil); err != nil {
		t.Fatal(err)
	}
}

// judge compares what there is with what an exit code says. most is how many
// versions may have been made; 0 leaves them out.
func (w *knockWorld) judge(t *testing.T, when string, before, now standing, revision string, code, most int) {
	t.Helper()
	say := func(format string, args ...any) {
		t.Errorf("%s, exit %d: %s\nbefore %+v\nnow    %+v", when, code, fmt.Sprintf(format, args...), before, now)
	}
	old := now.digest == before.digest && now.latest == before.latest && now.release.Digest == before.release.Digest
	serves := now.release.Revision == revision && now.release.Verdict == delivery.Passed &&
		now.digest == now.release.Digest && now.latest == now.digest && now.version == now.release.Version
	switch {
	case code == 0 && !serves:
		say("the new release does not serve, verified and recorded, with latest at it")
	case (code == 1 || code == 2 || code == 4) && !old:
		say("the old release does not serve")
	case code == 2 && now.newest != before.newest:
		say("a version was made")
	case most > 0 && now.newest > before.newest+most:
		say("%d versions were made, %d at most are due", now.newest-before.newest, most)
	}
	if now.lock != nil && now.lock.Left == "" && when == "again" {
		say("the lock is still there")
	}
}
