package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/ecr"
	"github.com/slipway-cd/slipway/internal/needs"
)

// sweep is a command whose every request is befallen by every fault.
type sweep struct {
	name  string
	live  bool // behind the endpoint live
	begin func(*testing.T, *sweepWorld, candidate) []string
}

func sweeps() []sweep {
	rollback := func(_ *testing.T, _ *sweepWorld, to candidate) []string {
		return []string{"rollback", "--env", "dev", "--to", to.revision[:12]}
	}
	return []sweep{
		{"deploy", false, func(t *testing.T, w *sweepWorld, to candidate) []string {
			if _, err := w.git(t.Context(), "checkout", "--quiet", "--detach", to.revision); err != nil {
				t.Fatal(err)
			}
			return []string{"deploy", "--env", "dev", "--out-of-order"}
		}},
		{"promote", true, func(t *testing.T, w *sweepWorld, to candidate) []string {
			deleteTag(t, w.knockWorld, to.revision) // it is copied anew
			return []string{"promote", "--to", "dev", "--evidence", to.evidence(t)}
		}},
		{"rollback", false, rollback},
		{"rollback", true, rollback},
	}
}

// candidate is a release that the world may serve.
type candidate struct{ revision, digest string }

func (c candidate) evidence(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(delivery.Evidence{Schema: "slipway.evidence/v1", Agent: "supportAgent", Environment: "int", Revision: c.revision,
		Digest: c.digest, Version: "1", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sweepWorld has three releases, each verified in the environments int and dev.
// One serves in dev, another is delivered, the third is somebody else's.
type sweepWorld struct {
	*knockWorld
	releases []candidate
}

func newSweepWorld(t *testing.T, live bool) *sweepWorld {
	t.Helper()
	d := servedWorld(t)
	if err := d.trustByHand(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &sweepWorld{knockWorld: &knockWorld{demo: d, live: live, repository: "supportagent/dev"}}
	w.stages(t, "dev")
	w.openAsAdministrator(t)
	for _, name := range []string{"supportagent/dev", "supportagent/int"} {
		if _, err := ecr.New(w.session.Config(awsauth.ECR)).CreateRepository(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		revision := w.change(t)
		for _, args := range [][]string{{"deploy", "--env", "int", "--create", "--yes"}, {"promote", "--to", "dev", "--create", "--yes"}} {
			_, wait := w.start(t, w.admin, args...)
			o := wait()
			if o.code != 0 {
				t.Fatalf("slipway %v: exit %d\n%s", args, o.code, o.stderr)
			}
			if args[0] == "promote" {
				w.releases = append(w.releases, candidate{revision, o.report.Image.Digest})
			}
		}
	}
	return w
}

// stages has int before dev, each with a repository of its own. execution
// is the environment whose execution role int has.
func (w *knockWorld) stages(t *testing.T, execution string) {
	t.Helper()
	w.shortSessions(t)
	name := filepath.Join(w.repo, "slipway.yaml")
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, dev, ok := strings.Cut(string(raw), "  dev:\n")
	if !ok {
		t.Fatal("slipway.yaml has no dev")
	}
	dev += "    timeouts: {ready: 3s, verify: 8s}\n"
	before := strings.NewReplacer(demoDeployRole, "deploy-supportAgent-int", "ExecutionRole-dev", "ExecutionRole-"+execution).Replace(dev)
	text := strings.Replace(head, demoRepository, `"supportagent/{environment}"`, 1) + "  int:\n" + before + "  dev:\n" + dev + "    after: int\n"
	if w.live {
		text += "    endpoint: live\n"
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// others are the releases that don't serve.
func (w *sweepWorld) others(t *testing.T, now standing) (next, third candidate) {
	t.Helper()
	i := slices.IndexFunc(w.releases, func(c candidate) bool { return c.digest == now.digest })
	if i < 0 {
		t.Fatalf("none of the releases serves: %+v", now)
	}
	return w.releases[(i+1)%3], w.releases[(i+2)%3]
}

// request is one of those that a command makes.
type request struct {
	number int
	what   string // service:action resource
	writes bool
	early  bool // nothing was written before it
	state  bool // it reads or writes what another deployer would change
}

var (
	runtimeIDs = regexp.MustCompile(`(supportAgent_[a-z]+)-[0-9A-Za-z]{10}`)
	arnStart   = regexp.MustCompile(`arn:aws:[a-z-]+:[a-z0-9-]*:[0-9]*:`)
)

// requests runs the command and lists what it asks the cloud for, each once
// before it has written anything and once after.
func (w *sweepWorld) requests(t *testing.T, s sweep) []request {
	t.Helper()
	seen := len(w.journal(t))
	next, _ := w.others(t, w.standing(t))
	args := s.begin(t, w, next)
	skip := len(w.journal(t)) - seen
	env := w.aJob(t)
	w.setFault(t, "'*:*' --latency 1ms")
	_, wait := w.start(t, env, args...)
	o := wait()
	reached := w.faults(t)[0].Hits
	w.clear(t, true)
	if o.code != 0 {
		t.Fatalf("exit %d\n%s", o.code, o.stderr)
	}
	var all []request
	known := map[string]bool{}
	number, early := 0, true
	for _, c := range w.journal(t)[seen+skip:] {
		if c.Fault == "" { // ours, to look
			continue
		}
		r := request{number: number, what: c.Action + " " + arnStart.ReplaceAllString(runtimeIDs.ReplaceAllString(c.Resource, "$1"), ""), writes: changes(c.Action)}
		r.early, early = early, early && !r.writes
		r.state = r.writes || c.Service == "bedrock-agentcore" || strings.HasSuffix(c.Resource, "/release")
		if key := fmt.Sprint(r.what, r.early); !known[key] || r.writes {
			all, known[key] = append(all, r), true
		}
		number++
	}
	if number != reached {
		t.Fatalf("%d calls were befallen, the journal has %d", reached, number)
	}
	return all
}

// changes says whether an action is one that leaves something.
func changes(action string) bool {
	for _, reads := range []string{"Get", "Head", "List", "Describe", "Batch", "Issue", "Assume", "Filter", "Check"} {
		if strings.HasPrefix(action, reads) {
			return false
		}
	}
	return true
}

// journalCall is what is read of the cloud's journal.
type journalCall struct {
	Service, Action, Resource, Method, Fault string
	Status                                   int
}

func (w *sweepWorld) journal(t *testing.T) []journalCall {
	t.Helper()
	var answer struct{ Calls []journalCall }
	if err := w.api.call(t.Context(), http.MethodGet, "journal", nil, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Calls
}

func (w *sweepWorld) aJob(t *testing.T) map[string]string {
	t.Helper()
	env, err := w.job(t.Context(), "acme/agents", "dev")
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// bane is a fault of the matrix (security: section 7).
type bane struct {
	name   string
	effect string // in the words of `local fault add`
	// signal is sent while the call is held.
	signal os.Signal
	// meanwhile happens while the call is held, which then goes on.
	meanwhile func(*testing.T, *sweepWorld, candidate)
	at        func(request) bool // if nil, it befalls every request
	exits     []int              // that the command may end with
}

// A command that is killed before it reads leaves what it would have left if
// it had been killed after its last write. So with what others change: it is
// between what reads and writes that state.
func isWrite(r request) bool  { return r.writes }
func isState(r request) bool  { return r.state }
func isSigned(r request) bool { return !strings.HasPrefix(r.what, "IssueIDToken") }
func isLocked(r request) bool { return r.state && !r.early }

func banes() []bane {
	return []bane{
		{name: "killed before it", effect: hang, signal: syscall.SIGKILL, at: isWrite, exits: []int{-1}},
		{name: "killed after it", effect: " --hold", signal: syscall.SIGKILL, at: isWrite, exits: []int{-1}},
		{name: "SIGTERM", effect: hang, signal: syscall.SIGTERM, at: isWrite, exits: []int{130, 0}},
		{name: "answer lost", effect: lost + once, exits: []int{0}},
		{name: "429 once", effect: throttled + once, exits: []int{0}},
		{name: "503 from there on", effect: away, exits: []int{0, 1, 2, 4, 6}},
		{name: "hangs once", effect: hang + once, exits: []int{0, 1, 2, 4, 6}},
		{name: "expired once", effect: expired + once, at: isSigned, exits: []int{0}},
		{name: "another deployer", effect: hang + once, meanwhile: anotherDeployer, at: isState, exits: []int{0, 5}},
		{name: "edited by hand", effect: hang + once, meanwhile: editedByHand, at: isState, exits: []int{0, 5}},
		{name: "lock deleted", effect: hang + once, meanwhile: lockDeleted, at: isLocked, exits: []int{0}},
	}
}

// anotherDeployer delivers the third release, by the same command in a job of
// its own.
func anotherDeployer(t *testing.T, w *sweepWorld, third candidate) {
	t.Helper()
	_, wait := w.start(t, w.aJob(t), "rollback", "--env", "dev", "--to", third.revision[:12])
	if o := wait(); o.code != 0 && o.code != 5 {
		t.Errorf("the other: exit %d\n%s", o.code, o.stderr)
	}
}

func editedByHand(t *testing.T, w *sweepWorld, _ candidate) {
	t.Helper()
	foreignUpdate(t, w.knockWorld)
}

func lockDeleted(t *testing.T, w *sweepWorld, _ candidate) {
	t.Helper()
	if err := w.parameters.DeleteParameter(t.Context(), "/supportAgent/dev/lock"); err != nil && !errors.Is(err, delivery.ErrNotFound) {
		t.Fatal(err)
	}
}

// sweepCell is a request and what befalls it.
type sweepCell struct {
	request
	bane
}

// TestEveryRequest lets every fault befall every request of a deploy, a
// promotion and a rollback by the real program, kill -9 included, then runs
// the same command without the fault: it converges, and what the exit code
// said was true. docs/fault-matrix.md has the count.
func TestEveryRequest(t *testing.T) {
	t.Parallel()
	needs.Program(t, "go")
	var table sweepTable
	var group sync.WaitGroup
	for _, s := range sweeps() {
		group.Go(func() { t.Run(s.title(), func(t *testing.T) { table.sweep(t, s) }) })
	}
	group.Wait()
	t.Logf("every request, real program: %d cells, %d held; %d requests were not reached\n%s", table.all, table.held, table.missed, table.String())
	if needs.Required("matrix") && !t.Failed() {
		holdTable(t, "fault-matrix.md", "requests", table.String())
	}
}

// sweepWorlds is how many cells of a sweep run at once.
const sweepWorlds = 4

func (k *sweepTable) sweep(t *testing.T, s sweep) {
	var cells chan sweepCell
	var fill sync.Once
	var group sync.WaitGroup
	for i := range worldsFor("matrix", sweepWorlds) {
		group.Go(func() {
			t.Run(fmt.Sprintf("world %d", i+1), func(t *testing.T) {
				w := newSweepWorld(t, s.live)
				fill.Do(func() { cells = k.cells(t, s, w.requests(t, s)) })
				for c := range cells {
					t.Run(fmt.Sprintf("%d %s/%s", c.number, c.what, c.name), func(t *testing.T) {
						reached := w.run(t, s, c)
						k.add(reached, !t.Failed())
					})
				}
			})
		})
	}
	group.Wait()
}

// cells are a sweep's.
func (k *sweepTable) cells(t *testing.T, s sweep, requests []request) chan sweepCell {
	t.Helper()
	var all []sweepCell
	for _, r := range requests {
		for _, b := range banes() {
			if b.at != nil && !b.at(r) {
				continue
			}
			all = append(all, sweepCell{r, b})
			k.plan(s, b)
		}
	}
	t.Logf("%d requests, %d cells", len(requests), len(all))
	all = needs.Sample(t, "matrix", 50, all)
	cells := make(chan sweepCell, len(all))
	for _, c := range all {
		cells <- c
	}
	close(cells)
	return cells
}

// run is one cell. It says whether the command came to that request at all.
func (w *sweepWorld) run(t *testing.T, s sweep, c sweepCell) bool {
	before := w.standing(t)
	next, third := w.others(t, before)
	args, env := s.begin(t, w, next), w.aJob(t)
	if c.meanwhile != nil {
		args = append(args, "--timeout", "30s") // what is held has to wait for the other
	}
	w.setFault(t, "'*:*'"+c.effect+" --skip "+strconv.Itoa(c.number))
	cmd, wait := w.start(t, env, args...)
	ended := make(chan struct{})
	var meanwhile sync.WaitGroup
	var held atomic.Bool
	if c.signal != nil || c.meanwhile != nil {
		meanwhile.Go(func() {
			if !w.awaitHeld(t, c, ended) {
				return
			}
			held.Store(true)
			if c.signal != nil {
				_ = cmd.Process.Signal(c.signal) // it may have ended this moment
				return
			}
			c.meanwhile(t, w, third)
			w.clear(t, false)
		})
	}
	o := wait()
	close(ended)
	meanwhile.Wait()
	reached := held.Load()
	for _, f := range w.faults(t) { // none, where the call went on
		reached = reached || f.Hits > 0
	}
	w.clear(t, false)
	exits := c.exits
	if !reached {
		exits = []int{0}
	}
	t.Logf("exit %d\n%s", o.code, o.stderr)
	if !slices.Contains(exits, o.code) {
		t.Errorf("exit %d, expected one of %v", o.code, exits)
	}
	switch now := w.standing(t); {
	case c.meanwhile == nil, o.code == 0 && c.name != "edited by hand": // after an edit the record is left to whoever edited
		w.judge(t, "at once", before, now, next.revision, o.code, 0)
	case o.code == 5 && c.name == "another deployer":
		w.judge(t, "at once", before, now, third.revision, 0, 0)
	}
	w.converges(t, s, c, before, next, args, env, o.code)
	return reached
}

// converges runs the command again, where it has not done its work.
func (w *sweepWorld) converges(t *testing.T, s sweep, c sweepCell, before standing, next candidate, args []string, env map[string]string, code int) {
	t.Helper()
	most := 2 // one surplus
	if code == 4 {
		most = 3 // and the one that was brought back
	}
	if c.meanwhile != nil {
		args, most = s.begin(t, w, next), 1<<30
		code = 1
	}
	if code != 0 || w.standing(t).lock != nil { // which may have been left behind, with a warning
		_, wait := w.start(t, env, args...)
		if o := wait(); o.code != 0 {
			t.Errorf("again: exit %d\n%s", o.code, o.stderr)
		}
	}
	w.judge(t, "again", before, w.standing(t), next.revision, 0, most)
}

// awaitHeld waits until the call is held, or the command has ended before it.
func (w *sweepWorld) awaitHeld(t *testing.T, c sweepCell, ended chan struct{}) bool {
	t.Helper()
	for {
		f := w.faults(t)
		if len(f) > 0 && f[0].Hits > 0 && (c.effect != " --hold" || f[0].Held > 0) {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond): // there is nothing to be told by
		}
	}
}

// sweepTable counts cells by command and fault.
type sweepTable struct {
	mu        sync.Mutex
	run       map[string]int
	all, held int
	missed    int
}

// plan counts a cell.
func (k *sweepTable) plan(s sweep, b bane) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.run == nil {
		k.run = map[string]int{}
	}
	k.run[s.title()+b.name]++
}

func (k *sweepTable) add(reached, held bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !reached {
		k.missed++ // the command had fewer requests this time
	}
	if held {
		k.held++
	}
	k.all++
}

// String is the table of docs/fault-matrix.md: of each command and fault, how
// many cells there are.
func (k *sweepTable) String() string {
	var b strings.Builder
	b.WriteString("| what befalls a request |")
	for _, s := range sweeps() {
		fmt.Fprintf(&b, " %s |", s.title())
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(sweeps())))
	all := make([]int, len(sweeps()))
	for _, bane := range banes() {
		fmt.Fprintf(&b, "\n| %s |", bane.name)
		for i, s := range sweeps() {
			n := k.run[s.title()+bane.name]
			all[i] += n
			fmt.Fprintf(&b, " %d |", n)
		}
	}
	b.WriteString("\n| all |")
	for _, n := range all {
		fmt.Fprintf(&b, " %d |", n)
	}
	return b.String() + "\n"
}

func (s sweep) title() string {
	if s.live {
		return s.name + " behind `live`"
	}
	return s.name
}
