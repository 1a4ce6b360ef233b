package cli

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
)

// demoFiles are what the demo's repository and account are made of.
//
//go:embed demo
var demoFiles embed.FS

type demoDocument struct {
	Schema  string         `json:"schema"` // slipway.demo/v1
	Cloud   string         `json:"cloud"`
	Steps   []demoStep     `json:"steps"`
	Stages  []stagesOfStep `json:"stages"`
	Seconds float64        `json:"seconds"`
}

type demoStep struct {
	Name    string   `json:"name"`
	OK      bool     `json:"ok"`
	Seconds float64  `json:"seconds"`
	Text    string   `json:"text"`
	Details []string `json:"details"`
}

// stagesOfStep is what the stages of one delivery took.
type stagesOfStep struct {
	Step   string          `json:"step"`
	Stages []stageDocument `json:"stages"`
}

// demo tells the whole story on a local cloud of its own.
type demo struct {
	*app
	cloud  *runningCloud
	api    *control
	repo   string
	yaml   []byte // slipway.yaml, with PLATFORM and COMPUTE to be filled in
	source string // the agent's, in Go
	doc    demoDocument
	failed error
}

func (a *app) demoCommand() *cobra.Command {
	var dir, listen string
	var exit bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "The whole story on a local cloud: no account, no Docker, no key",
		Long: "Starts a local cloud, makes a repository with an agent, sets up trust, and delivers as a\n" +
			"GitHub jobs would: a good commit to dev, its digest to stg and prd behind approvals, a commit that crashes,\n" +
			"one that fails in prd alone, a rollback, and a stranger's token.",
		Example: "  slipway demo\n  slipway demo --exit -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), a.path(dir), listen, cmd.Flags().Changed("listen"), exit)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "slipway-demo", "directory for the cloud's state and the repository; made anew")
	cmd.Flags().StringVar(&listen, "listen", defaultListen, "loopback address of the cloud; a free port where this one is taken")
	cmd.Flags().BoolVar(&exit, "exit", false, "end the cloud at the end (as without a terminal)")
	return cmd
}

func (a *app) demo(ctx context.Context, dir, listen string, exactly, exit bool) error {
	start := time.Now()
	source, err := demoFiles.ReadFile("demo/agent.go.txt")
	yaml, wrong := demoFiles.ReadFile("demo/slipway.yaml.txt")
	if err := errors.Join(err, wrong); err != nil {
		return err
	}
	if err := freshDirectory(ctx, dir); err != nil {
		return err
	}
	cloud, err := a.startCloud(ctx, filepath.Join(dir, "cloud"), listen, time.Second, a.demoWarning)
	if err != nil && !exactly && delivery.KindOf(err) == delivery.KindUnavailable {
		cloud, err = a.startCloud(ctx, filepath.Join(dir, "cloud"), "127.0.0.1:0", time.Second, a.demoWarning)
	}
	if err != nil {
		return err
	}
	d := &demo{app: a, cloud: cloud, repo: filepath.Join(dir, "repo"), yaml: yaml, source: string(source),
		api: &control{base: cloud.address, token: cloud.ControlToken()}}
	d.doc = demoDocument{Schema: "slipway.demo/v1", Cloud: cloud.address, Steps: []demoStep{}, Stages: []stagesOfStep{}}
	d.say("%s", a.ui.paint(bold, fmt.Sprintf("slipway %s · local cloud %s · STS IAM ECR SSM AgentCore Logs GitHub", version().Version, cloud.address)))
	d.say("no account, no Docker, no stored key; ~/.aws, AWS_* and GH_TOKEN are not read; files only in %s", d.near(dir))
	d.say("")
	d.run(ctx)
	d.doc.Seconds = seconds(time.Since(start))
	stays := d.failed == nil && !exit && a.ui.asks
	d.ending(dir, stays)
	if d.json() {
		d.failed = errors.Join(d.failed, a.ui.document(d.doc))
	}
	if stays {
		return cloud.wait(ctx)
	}
	return errors.Join(d.failed, cloud.stop())
}

// demoWarning leaves out what the cloud's operator would be told of agents:
// one of the demo's crashes, and slipway itself has to find that out.
func (a *app) demoWarning(line string) {
	if a.debug || !strings.HasPrefix(line, "agent ") {
		a.warning(line)
	}
}

// say tells the story: on stdout, or on stderr where stdout is for JSON.
func (d *demo) say(format string, args ...any) {
	if d.json() {
		d.ui.line(format, args...)
		return
	}
	d.ui.result(format, args...)
}

// tell says a line, broken between words where it is wider than the terminal.
func (d *demo) tell(begin, text string) {
	width := 0
	if !d.json() {
		width = terminalWidth(d.Out)
	}
	d.say("%s", begin+strings.Join(broken(text, width-utf8.RuneCountInString(begin)), "\n"+strings.Repeat(" ", utf8.RuneCountInString(begin))))
}

// leastWidth is what a text is broken to at the least.
const leastWidth = 30

// broken cuts a text into lines of at most width characters, at blanks.
func broken(text string, width int) []string {
	var lines []string
	rest := []rune(text)
	for width >= leastWidth && len(rest) > width {
		at := width
		for at > leastWidth/2 && rest[at] != ' ' {
			at--
		}
		if rest[at] != ' ' {
			at = width
		}
		lines = append(lines, strings.TrimRight(string(rest[:at]), " "))
		rest = []rune(strings.TrimLeft(string(rest[at:]), " "))
	}
	return append(lines, string(rest))
}

// markerFile tells a demo's directory from one that holds something else.
const markerFile = ".slipway-demo"

// freshDirectory makes the directory anew, if it is a demo's that has ended.
func freshDirectory(ctx context.Context, dir string) error {
	if c, err := dial(ctx, filepath.Join(dir, "cloud")); err == nil {
		return &delivery.Error{Kind: delivery.KindRefused, Op: "making " + dir, Err: fmt.Errorf("a cloud serves from there, on %s", c.base),
			Hints: []string{"end it, or choose another directory: --dir DIR"}}
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(dir, markerFile)); err != nil {
			return &delivery.Error{Kind: delivery.KindUsage, Op: "making " + dir,
				Err:   errors.New("it exists and was not made by a demo"),
				Hints: []string{"choose another directory: --dir DIR"}}
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("removing the last demo: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the demo's directory: %w", err)
	}
	// The demo may lie in somebody's repository: it keeps itself out of it.
	return errors.Join(os.WriteFile(filepath.Join(dir, markerFile), nil, 0o644),
		os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o644))
}

// run tells the steps in their order and stops at the first that does not end
// as it should.
func (d *demo) run(ctx context.Context) {
	for _, s := range []struct {
		name string
		do   func(context.Context) (text string, details []string, err error)
	}{
		{"repository", d.makeRepository},
		{"trust", d.setUpTrust},
		{"create", d.createRuntimes},
		{"deploy", d.firstDeploy},
		{"invoke", d.invoke},
		{"promote-stg", d.toStaging},
		{"promote-prd", d.toProduction},
		{"bad-deploy", d.badDeploy},
		{"next-deploy", d.nextDeploy},
		{"bad-prd", d.badInProduction},
		{"rollback", d.back},
		{"refused", d.refused},
		{"status", d.look},
	} {
		d.ui.draft("%2d %-11s …", len(d.doc.Steps)+1, s.name)
		start := time.Now()
		text, details, err := s.do(ctx)
		step := demoStep{Name: s.name, OK: err == nil, Seconds: seconds(time.Since(start)), Text: text, Details: orEmpty(details)}
		d.doc.Steps = append(d.doc.Steps, step)
		d.tell(fmt.Sprintf("%2d %-11s %5.1fs  ", len(d.doc.Steps), step.Name, step.Seconds), text)
		for _, line := range details {
			d.tell(strings.Repeat(" ", 14), line)
		}
		if err != nil {
			d.failed = &delivery.Error{Kind: delivery.KindFailed, Op: "demo step " + s.name, Err: err}
			if ctx.Err() != nil {
				d.failed = &delivery.Error{Kind: delivery.KindInterrupted, Op: "demo step " + s.name, Err: ctx.Err()}
			}
			return
		}
	}
}

// ending prints what the stages took and, if all went well, what to try next.
func (d *demo) ending(dir string, stays bool) {
	d.say("")
	for _, line := range stageTable(d.doc.Stages, "deploy", "promote-stg", "promote-prd", "bad-deploy", "rollback") {
		d.say(" %s", line)
	}
	d.say("")
	issued, refused := tokensIn(d.cloud.Journal())
	d.say(" logins by token %d, refused %d · %.1fs", issued, refused, d.doc.Seconds)
	if d.failed == nil {
		d.next(filepath.Join(dir, "cloud"), stays)
	}
}

// next says what to try, for the cloud that stays or that can be started again.
func (d *demo) next(state string, stays bool) {
	d.say("")
	if strings.Contains(d.Executable, "go-build") { // go run keeps it nowhere
		d.say(" install      go install ./cmd/slipway")
	}
	if !stays {
		d.say(" cloud        slipway local up --state %s &      # it has ended; its state is kept", d.near(state))
	}
	d.say(" look around  cd %s", d.near(d.repo))
	d.say("              eval \"$(slipway local env --state ../cloud)\" && slipway status --env dev")
	d.say("              slipway local journal --state ../cloud       # every call")
	d.say(" deploy       change support/main.go, commit it, then")
	d.say("              slipway local job --state ../cloud --repository acme/agents \\")
	d.say("                --environment dev -- slipway deploy --env dev")
	d.say(" your turn    cd your-repository && slipway init")
	if stays {
		d.say("")
		d.say("The cloud goes on serving. Ctrl-C ends it.")
	}
}

// near is a path as it is written from where we are, if that is shorter.
func (d *demo) near(path string) string {
	if rel, err := filepath.Rel(d.Dir, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}

// tokensIn counts the logins by token that the cloud's STS answered.
func tokensIn(calls []sim.Call) (issued, refused int) {
	for _, c := range calls {
		if c.Action != "AssumeRoleWithWebIdentity" {
			continue
		}
		if c.Status == http.StatusOK {
			issued++
		} else {
			refused++
		}
	}
	return issued, refused
}

// stageTable lays the stages of some deliveries side by side.
func stageTable(all []stagesOfStep, steps ...string) []string {
	var runs []stagesOfStep
	for _, step := range steps {
		for _, r := range all {
			if r.Step == step {
				runs = append(runs, r)
			}
		}
	}
	if len(runs) == 0 {
		return nil
	}
	head := &strings.Builder{}
	fmt.Fprintf(head, "%-12s", "stage")
	for _, r := range runs {
		fmt.Fprintf(head, "%13s", r.Step)
	}
	lines := []string{head.String()}
	for _, name := range delivery.Stages() {
		line := &strings.Builder{}
		fmt.Fprintf(line, "%-12s", name)
		for _, r := range runs {
			fmt.Fprintf(line, "%13s", stageCell(r.Stages, name))
		}
		lines = append(lines, line.String())
	}
	return lines
}

func stageCell(stages []stageDocument, name string) string {
	for _, s := range stages {
		if s.Name == name && !s.Skipped {
			return fmt.Sprintf("%.2fs", s.Seconds)
		}
	}
	return "–"
}

// hostPlatform is the platform of images that this machine can run, and what
// an environment of slipway.yaml has to say for it: microVMs run arm64 alone.
func hostPlatform(account string) (platform string, compute string) {
	if runtime.GOARCH == "arm64" {
		return "linux/arm64", ""
	}
	return "linux/" + runtime.GOARCH, "    compute: instances\n    capacity_provider: arn:aws:bedrock-agentcore:us-east-1:" + account + ":capacity-provider/demo"
}
