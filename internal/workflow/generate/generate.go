package generate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// Where the files are, from the repository's root. Deploy and Rollback are
// those that deliver: trust policies name them.
const (
	Deploy   = ".github/workflows/deploy-agent.yml"
	CI       = ".github/workflows/ci.yml"
	Rollback = ".github/workflows/rollback.yml"
	Setup    = ".github/actions/setup-slipway/action.yml"
)

// DefaultBranch is the branch of an environment that names none.
const DefaultBranch = "main"

// File is a file to write.
type File struct {
	Path    string // with slashes, from the repository's root
	Content []byte
}

// Result is what was generated, and what a reader should know besides.
type Result struct {
	Files []File   // sorted by path
	Notes []string // a line each
}

// Generate makes the files for a slipway.yaml that stands in the root of a
// repository. It returns a *delivery.Error of KindConfig where the file does
// not say enough, or says what no workflow can do.
func Generate(f *config.File, repository fs.FS) (Result, error) {
	p, err := newPlan(f)
	if err != nil {
		return Result{}, err
	}
	l := look(repository, f)
	p.seen = l.seen
	files := []File{
		{Setup, p.setup()},
		{CI, p.ci()},
		{Deploy, p.deploy()},
		{Rollback, p.rollback()},
	}
	for i := range files {
		if p.err != nil {
			return Result{}, p.err
		}
		files[i].Content = Stamp(files[i].Content)
	}
	return Result{files, append(p.notes(), l.notes...)}, nil
}

// plan is slipway.yaml as workflows see it.
type plan struct {
	file         *config.File
	agents       []config.Agent
	environments []config.Environment
	seen         survey
	err          error // the first value that can't be written
}

func newPlan(f *config.File) (*plan, error) {
	p := &plan{file: f, agents: f.Agents(), environments: f.Environments()}
	for _, e := range p.environments {
		if e.Trigger == "push" && e.After != "" {
			return nil, refused(fmt.Errorf("%s has trigger: push and takes its releases from %s: a push builds, and what is built goes to %s first", e.Name, e.After, e.After),
				"remove trigger: push from environments."+e.Name+": it is promoted to by hand, behind its gate")
		}
	}
	return p, errors.Join(p.pinned(), p.credentials())
}

func refused(err error, hints ...string) error {
	return &delivery.Error{Kind: delivery.KindConfig, Op: "generating workflows", Err: err, Hints: hints}
}

// credentials refuses to hand a job what OIDC makes unnecessary.
func (p *plan) credentials() error {
	for _, e := range p.environments {
		for _, name := range p.variables(e.Name) {
			if slices.Contains([]string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}, strings.ToUpper(name)) {
				return refused(fmt.Errorf("slipway.yaml takes a value from ${env:%s}, and no generated workflow hands AWS keys to a job", name),
					"name the variable otherwise; jobs take credentials by their own token")
			}
		}
	}
	return nil
}

// many says whether a job has to be told which agent it is about.
func (p *plan) many() bool { return len(p.agents) > 1 }

// pushed are the environments that a push delivers to, byHand those that
// somebody chooses.
func (p *plan) pushed() []config.Environment {
	return p.where(func(e config.Environment) bool { return e.Trigger == "push" })
}

func (p *plan) byHand() []config.Environment {
	return p.where(func(e config.Environment) bool { return e.Trigger != "push" })
}

func (p *plan) where(keep func(config.Environment) bool) []config.Environment {
	var some []config.Environment
	for _, e := range p.environments {
		if keep(e) {
			some = append(some, e)
		}
	}
	return some
}

// builtByHand are environments that somebody chooses and that take commits.
func (p *plan) builtByHand() []config.Environment {
	return p.where(func(e config.Environment) bool { return e.Trigger != "push" && e.After == "" })
}

func branch(e config.Environment) string { return cmp.Or(e.Branch, DefaultBranch) }

// branches are those whose pushes deliver.
func (p *plan) branches() []string {
	var names []string
	for _, e := range p.pushed() {
		if name := branch(e); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// variables are what expressions of slipway.yaml need in a job about an
// environment, or several, and all agents.
func (p *plan) variables(environments ...string) []string {
	var names []string
	for _, e := range environments {
		for _, a := range p.agents {
			names = append(names, p.file.Variables(a.Name, e)...)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), ownedByRunner)
}

// ownedByRunner says whether a variable is the runner's or Slipway's own.
// GitHub refuses settings of the runner's names.
func ownedByRunner(name string) bool {
	for _, prefix := range []string{"GITHUB_", "RUNNER_", "ACTIONS_", "SLIPWAY_"} {
		if strings.HasPrefix(strings.ToUpper(name), prefix) {
			return true
		}
	}
	return name == "CI"
}

// The runners of GitHub, by the platform they build natively.
const (
	runner    = "ubuntu-24.04"
	armRunner = "ubuntu-24.04-arm"
)

// runnerOf is where an agent's image is built: Go builds for any platform
// anywhere, a Dockerfile's steps run on their own.
func runnerOf(a config.Agent) string {
	if a.Build.Platform == "linux/arm64" && a.Build.Engine != config.EngineGo {
		return armRunner
	}
	return runner
}

// runners are those that jobs run on, each once.
func (p *plan) runners() []string {
	names := []string{runner}
	for _, a := range p.agents {
		if r := runnerOf(a); !slices.Contains(names, r) {
			names = append(names, r)
		}
	}
	return names
}

// minutes is how long a delivering job may take: to wait twice, once for what
// it delivers and once for what it brings back, and to build. A job that is
// killed in between leaves work to a person.
func minutes(build bool, environments ...config.Environment) int {
	most := 0
	for _, e := range environments {
		ready, verify := cmp.Or(e.ReadyTimeout, delivery.DefaultReadyTimeout), cmp.Or(e.VerifyTimeout, delivery.DefaultVerifyTimeout)
		most = max(most, 2*int((ready+verify).Minutes())+10)
	}
	if build {
		most += 20
	}
	const limit = 360 // of a job on GitHub's runners
	return min((most+4)/5*5, limit)
}

// notes are what slipway.yaml leaves to the reader.
func (p *plan) notes() []string {
	var notes []string
	for _, a := range p.agents {
		if a.Build.Engine == config.EngineBuildKit {
			notes = append(notes, a.Name+" is built with buildctl, which GitHub's runners don't have: engine: docker builds with BuildKit there")
		}
	}
	return notes
}
