package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkiam "github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/iam"
	"github.com/slipway-cd/slipway/internal/needs"
	"github.com/slipway-cd/slipway/internal/trust"
)

// removal takes one action out of a statement, or the statement out of the
// policy.
type removal struct {
	statement, action string // action "" is the whole statement
}

func (r removal) String() string {
	if r.action == "" {
		return r.statement + ", whole"
	}
	return r.statement + ", " + r.action
}

// removals lists every one that a policy has.
func removals(p trust.Policy) []removal {
	var all []removal
	for _, s := range p.Statements {
		if len(s.Actions) > 1 {
			all = append(all, removal{s.Sid, ""})
		}
		for _, action := range s.Actions {
			all = append(all, removal{s.Sid, action})
		}
	}
	return all
}

// from returns the policy without what is removed.
func (r removal) from(p trust.Policy) trust.Policy {
	without := p
	without.Statements = nil
	for _, s := range p.Statements {
		if s.Sid == r.statement {
			s.Actions = slices.DeleteFunc(slices.Clone(s.Actions), func(a string) bool { return r.action == "" || a == r.action })
			if len(s.Actions) == 0 {
				continue
			}
		}
		without.Statements = append(without.Statements, s)
	}
	return without
}

// loss is what fails without an action.
type loss struct {
	removal
	command string
	code    int
	says    string
}

// worldsFor is how many worlds the cases of a test share: fewer where it takes
// a sample of them, for each world takes ten seconds to make.
func worldsFor(part string, n int) int {
	if needs.Required(part) {
		return n
	}
	return max(1, n/4)
}

// privilegeWorlds is how many removals are tried at once.
const privilegeWorlds = 4

// TestLeastPrivilege delivers under exactly the policy that bootstrap writes,
// then takes each action and each statement away in turn: each time something
// has to fail, or the policy is wider than it needs to be. The table of what
// fails is docs/least-privilege.md. Plain go test takes some, CI all of them.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	queue := make(chan removal, 100)
	losses := make(map[removal]loss)
	var order []removal
	var mu sync.Mutex
	var once sync.Once
	var group sync.WaitGroup
	for i := range worldsFor("matrix", privilegeWorlds) {
		group.Go(func() {
			t.Run(fmt.Sprintf("world %d", i+1), func(t *testing.T) {
				w := newPrivilegeWorld(t)
				once.Do(func() {
					order = needs.Sample(t, "matrix", 12, removals(w.policy))
					for _, r := range order {
						queue <- r
					}
					close(queue)
				})
				for r := range queue {
					t.Run(r.String(), func(t *testing.T) {
						l := w.lose(t, r)
						mu.Lock()
						defer mu.Unlock()
						losses[r] = l
					})
				}
			})
		})
	}
	group.Wait()
	if needs.Required("matrix") && !t.Failed() {
		goldenTable(t, order, losses)
	}
}

// privilegeWorld is a cloud whose deploy role is as bootstrap left it.
type privilegeWorld struct {
	*knockWorld
	iam    *sdkiam.Client
	policy trust.Policy
}

func newPrivilegeWorld(t *testing.T) *privilegeWorld {
	t.Helper()
	w := &privilegeWorld{knockWorld: bootstrappedWorld(t)}
	w.iam = sdkiam.NewFromConfig(w.session.Config(awsauth.IAM))
	role, err := (&iam.Client{Config: w.session.Config(awsauth.IAM)}).Role(t.Context(), demoDeployRole)
	if err != nil {
		t.Fatal(err)
	}
	if len(role.Inline) != 1 || len(role.Attached) != 0 {
		t.Fatalf("the role has other policies than bootstrap's: %v, %v", role.Inline, role.Attached)
	}
	if w.policy, err = trust.Parse(role.Inline[0].JSON); err != nil {
		t.Fatal(err)
	}
	if l := w.try(t); l.command != "" {
		t.Fatalf("with the whole policy, slipway %s ends with %d: %s", l.command, l.code, l.says)
	}
	return w
}

// bootstrappedWorld is a cloud with nothing in it but what bootstrap makes.
func bootstrappedWorld(t *testing.T) *knockWorld {
	t.Helper()
	w := &knockWorld{demo: servedWorld(t), live: true, repository: "supportagent/dev"}
	w.stages(t, "int")
	w.change(t)
	for _, args := range [][]string{{"int", "--execution-role"}, {"dev", "--execution-role"}, {"int", "--create"}, {"dev", "--create"}} {
		if _, err := w.bootstrap(t.Context(), args[0], args[1]); err != nil {
			t.Fatal(err)
		}
	}
	w.openAsAdministrator(t)
	return w
}

func (w *privilegeWorld) put(t *testing.T, p trust.Policy) {
	t.Helper()
	_, err := w.iam.PutRolePolicy(t.Context(), &sdkiam.PutRolePolicyInput{RoleName: aws.String(demoDeployRole),
		PolicyName: aws.String("slipway"), PolicyDocument: aws.String(string(p.JSON()))})
	if err != nil {
		t.Fatal(err)
	}
}

// lose finds what fails without an action, and that all is well again with it.
func (w *privilegeWorld) lose(t *testing.T, r removal) loss {
	t.Helper()
	w.put(t, r.from(w.policy))
	l := w.try(t)
	l.removal = r
	if l.command == "" {
		t.Errorf("nothing fails without %s: it should go", r)
	}
	t.Logf("slipway %s: exit %d: %s", l.command, l.code, l.says)
	w.put(t, w.policy)
	// Who may not unlock leaves a lock for others to wait for.
	if err := w.parameters.DeleteParameter(t.Context(), "/supportAgent/dev/lock"); err != nil && !errors.Is(err, delivery.ErrNotFound) {
		t.Fatal(err)
	}
	if again := w.tell(t, []string{"deploy", "--env", "dev", "--out-of-order"}); again.command != "" {
		t.Fatalf("with the whole policy again, slipway %s ends with %d: %s", again.command, again.code, again.says)
	}
	return l
}

// try does everything that a job of the environment does, until something
// fails or warns: it delivers a new commit, looks at it, calls the agent, goes
// back, and promotes another commit from the environment before.
func (w *privilegeWorld) try(t *testing.T) loss {
	t.Helper()
	w.change(t)
	if l := w.tell(t,
		[]string{"build", "--env", "dev", "--push", "--yes"},
		[]string{"deploy", "--env", "dev", "--out-of-order"},
		[]string{"status", "--env", "dev"},
		[]string{"logs", "--env", "dev"},
		[]string{"invoke", "--env", "dev"},
		[]string{"rollback", "--env", "dev"},
		[]string{"history", "--env", "dev"}); l.command != "" {
		return l
	}
	return w.tell(t, []string{"promote", "--to", "dev", "--evidence", w.evidence(t)})
}

// evidence is that of a new commit, deployed to the environment before by its
// administrator.
func (w *privilegeWorld) evidence(t *testing.T) string {
	t.Helper()
	w.change(t)
	_, wait := w.start(t, w.admin, "deploy", "--env", "int", "--yes")
	if o := wait(); o.code != 0 {
		t.Fatalf("deploy to int: exit %d\n%s", o.code, o.stderr)
	}
	_, out, err := w.slipway(t.Context(), w.admin, "promote", "--to", "dev", "--prove")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// tell runs commands as a job until one complains.
func (w *privilegeWorld) tell(t *testing.T, commands ...[]string) loss {
	t.Helper()
	env, err := w.job(t.Context(), "acme/agents", "dev")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range commands {
		if code, says := w.told(t, env, args); says != "" {
			return loss{command: args[0], code: code, says: says}
		}
	}
	return loss{}
}

// told runs a command and returns the first line of what it complains about.
func (w *privilegeWorld) told(t *testing.T, env map[string]string, args []string) (code int, says string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.Executable, args...)
	cmd.Dir, cmd.Env = w.repo, jobEnviron(w.Env, env)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	code = cmd.ProcessState.ExitCode()
	for line := range strings.Lines(messages.String() + out.String()) {
		if strings.HasPrefix(line, "::error ") || strings.HasPrefix(line, "warning:") || strings.HasPrefix(line, "::warning") { // it is a job
			return code, strings.TrimSpace(line)
		}
	}
	if code != 0 {
		t.Fatalf("slipway %s ends with %d and no error:\n%s", args, code, messages.String())
	}
	return 0, ""
}

// goldenTable holds docs/least-privilege.md to what was seen.
func goldenTable(t *testing.T, order []removal, losses map[removal]loss) {
	t.Helper()
	var b strings.Builder
	b.WriteString("| statement | without | what fails |\n|---|---|---|\n")
	for _, r := range order {
		what := "`" + r.action + "`"
		if r.action == "" {
			what = "the whole"
		}
		l := losses[r]
		how := fmt.Sprintf("exit %d", l.code)
		if l.code == 0 {
			how = "a warning"
		}
		fmt.Fprintf(&b, "| %s | %s | `slipway %s`, %s |\n", r.statement, what, l.command, how)
	}
	holdTable(t, "least-privilege.md", "table", b.String())
}

// holdTable holds a table of a page of docs/ to what was seen; -update writes
// it there. The page has it between <!-- NAME --> and <!-- end -->.
func holdTable(t *testing.T, page, marker, table string) {
	t.Helper()
	name := filepath.Join("..", "..", "docs", page)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+marker+" -->\n", "<!-- end -->"
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no table", name)
	}
	want := head + begin + table + end + tail
	if update() {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s is not what was seen; -update rewrites it:\n%s", name, table)
	}
}
