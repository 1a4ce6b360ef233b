package generate

import (
	"strconv"
	"strings"

	"github.com/slipway-cd/slipway/internal/config"
)

// The tools that Python agents are checked with, by version: a check that
// changes by itself fails where nothing has changed.
const (
	ruff   = "ruff==0.15.15"
	black  = "black==26.5.1"
	pytest = "pytest==9.0.3"
)

// nodeVersion is that of packages that name none.
const nodeVersion = "24"

// ci is the workflow that checks: on every push and pull request, and before
// every delivery. Its jobs have no token that AWS would take.
func (p *plan) ci() []byte {
	var jobs []string
	for _, a := range p.agents {
		if job := p.testJob(a); job != "" {
			jobs = append(jobs, job)
		}
	}
	for _, a := range p.agents {
		if job := p.imageJob(a); job != "" {
			jobs = append(jobs, job)
		}
	}
	for i, app := range p.seen.apps {
		jobs = append(jobs, p.infraJob(i, app))
	}
	jobs = append(jobs, p.deliveryJob())
	return []byte(fill(`
name: ci

on:
  push:
    branches: ["**"] # not tags
  pull_request:
  workflow_call: # deploy-agent.yml asks before it delivers

# No job can ask for an AWS token, and what a pull request runs can't write.
permissions: {}

concurrency: # a newer commit of a pull request takes the place of an older; nothing else is cancelled
  group: ci-${{ github.event_name == 'pull_request' && github.ref || github.run_id }}
  cancel-in-progress: true

jobs:
`) + indent(2, strings.Join(jobs, "\n")))
}

// checkJob is a job of ci.yml: it can read, and nothing else.
func checkJob(id, title, on string, minutes int, dir, steps string) string {
	defaults := ""
	if dir != "" {
		defaults = "defaults:\n  run:\n    working-directory: " + dir + "\n"
	}
	return fill(`
<id>:
  name: <title>
  runs-on: <runner>
  timeout-minutes: <minutes>
  permissions:
    contents: read # to check out
<defaults>  steps:
<steps>`, "<id>", id, "<title>", title, "<runner>", on, "<minutes>", strconv.Itoa(minutes), "<defaults>", indent(2, defaults), "<steps>", indent(4, steps))
}

// testJob checks an agent as its languages want it, "" where none is known.
func (p *plan) testJob(a config.Agent) string {
	seen := p.seen.agents[a.Name]
	steps := p.pythonSteps(seen.python) + p.nodeSteps(seen.node) + p.goSteps(seen.module)
	if steps == "" {
		return ""
	}
	dir := ""
	if a.Build.Path != "." {
		dir = p.scalar(a.Build.Path)
	}
	return checkJob("test-"+a.Name, "test "+a.Name, runnerOf(a), 20, dir, checkout("")+steps)
}

func (p *plan) pythonSteps(py *python) string {
	if py == nil {
		return ""
	}
	version := "python-version: " + `"` + py.version + `"` + "\n"
	if py.versionFile != "" {
		version = "python-version-file: " + p.scalar(py.versionFile) + "\n"
	}
	steps := fill(`
- name: set up Python
  uses: <uses>
  with:
<version>- name: lint
  run: |
    python -m pip install --disable-pip-version-check <ruff> <black>
    ruff check .
    black --check .
`, "<uses>", uses("actions/setup-python"), "<version>", indent(4, version), "<ruff>", ruff, "<black>", black)
	if !py.tests {
		return steps
	}
	what := ""
	if len(py.requirements) > 0 {
		what = " --requirement " + strings.Join(py.requirements, " --requirement ")
	} else if py.installable {
		what = " ."
	}
	return steps + fill(`
- name: test
  run: |
    python -m pip install --disable-pip-version-check <pytest><what>
    python -m pytest
`, "<pytest>", pytest, "<what>", what)
}

// setupNode brings Node. It keeps no cache, and neither do the others: what a
// check finds must not depend on what another run left behind.
func (p *plan) setupNode(n node) string {
	version := `node-version: "` + nodeVersion + `"` + "\n"
	if n.versionFile != "" {
		version = "node-version-file: " + p.scalar(n.versionFile) + "\n"
	}
	return fill(`
- name: set up Node
  uses: <uses>
  with:
<version>    package-manager-cache: false
`, "<uses>", uses("actions/setup-node"), "<version>", indent(4, version))
}

func (p *plan) nodeSteps(n *node) string {
	if n == nil {
		return ""
	}
	var steps strings.Builder
	steps.WriteString(p.setupNode(*n) + "- name: install\n  run: npm ci\n")
	for _, script := range []string{"lint", "test"} {
		if n.has(script) {
			steps.WriteString("- name: " + script + "\n  run: npm run " + script + "\n")
		}
	}
	return steps.String()
}

func (p *plan) setupGo(module string) string {
	version := "go-version: stable\n"
	if module != "" {
		version = "go-version-file: " + p.scalar(module) + "\n"
	}
	return fill(`
- name: set up Go
  uses: <uses>
  with:
<version>    cache: false
`, "<uses>", uses("actions/setup-go"), "<version>", indent(4, version))
}

func (p *plan) goSteps(module string) string {
	if module == "" {
		return ""
	}
	return p.setupGo(module) + fill(`
- name: lint
  run: |
    test -z "$(gofmt -l . | tee /dev/stderr)"
    go vet ./...
- name: test
  run: go test ./...
`)
}

// imageJob builds an agent's image and checks it as a deploy would, without
// sending it anywhere. It has no secrets, so a build that needs some is left to
// the delivery.
func (p *plan) imageJob(a config.Agent) string {
	if a.Build.Engine == config.EngineBuildKit || len(a.Build.Secrets) > 0 {
		return ""
	}
	first := p.environments[0].Name
	flag := ""
	if p.many() {
		flag = " --agent " + a.Name
	}
	return checkJob("image-"+a.Name, "image of "+a.Name, runnerOf(a), 30, "", checkout("")+install()+p.goToBuild([]config.Agent{a})+fill(`
- name: build, push nothing
<env>  run: slipway build --env <first><flag>
`, "<env>", indent(2, repositoryEnv(p.file.Variables(a.Name, first))), "<first>", first, "<flag>", flag))
}

// infraJob tests a CDK app and synthesises it. No credentials are there, so
// what synth wants to look up has to be in cdk.context.json.
func (p *plan) infraJob(i int, app app) string {
	id := "infra"
	if i > 0 {
		id += "-" + strconv.Itoa(i+1)
	}
	dir := ""
	if app.dir != "." {
		dir = p.scalar(app.dir)
	}
	steps := checkout("") + p.setupNode(app.node) + "- name: install\n  run: npm ci\n"
	if app.has("test") {
		steps += "- name: test\n  run: npm test\n"
	}
	synth := "npm exec --offline -- cdk synth --no-lookups --quiet"
	switch text := app.scripts["synth"]; {
	case strings.Contains(text, "cdk synth"):
		synth = "npm run synth -- --no-lookups"
	case text != "":
		synth = "npm run synth"
	}
	steps += fill(`
- name: synthesise, with no AWS credentials
  env:
    AWS_EC2_METADATA_DISABLED: "true"
  run: <synth>
`, "<synth>", synth)
	return checkJob(id, "infrastructure", runner, 20, dir, steps)
}

// deliveryJob checks what would make a delivery fail or unsafe, offline.
func (p *plan) deliveryJob() string {
	var names []string
	for _, e := range p.environments {
		names = append(names, e.Name)
	}
	return checkJob("delivery", "delivery", runner, 10, "", checkout("")+install()+`- name: workflows are those of slipway.yaml
  run: slipway workflow generate --check
- name: workflows are safe
  run: slipway workflow check
- name: nothing would make a delivery fail
`+indent(2, repositoryEnv(p.variables(names...)))+`  run: slipway doctor --offline --all
`)
}

// repositoryEnv has the values of variables that the repository has on GitHub:
// those of its environments are not there outside their jobs.
func repositoryEnv(names []string) string {
	var lines strings.Builder
	for _, name := range names {
		if !ownedByRunner(name) {
			lines.WriteString(name + ": ${{ vars." + name + " }}\n")
		}
	}
	return env(lines.String())
}
