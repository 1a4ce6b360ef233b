package generate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/pattern"
)

// deploy is the workflow that delivers: pushes to the environments that take
// commits, and by hand what serves in one environment to the next.
func (p *plan) deploy() []byte {
	var b strings.Builder
	b.WriteString("name: deploy agent\n\non:\n")
	if len(p.pushed()) > 0 {
		b.WriteString(p.onPush())
	}
	if len(p.byHand()) > 0 {
		b.WriteString(p.onDispatch())
	}
	b.WriteString(fill(`

# Each job asks for what it needs, and gets nothing else.
permissions: {}

jobs:
`))
	b.WriteString(indent(2, strings.Join(p.jobs(), "\n")))
	return []byte(b.String())
}

// jobs are those of the workflow that delivers, in their order.
func (p *plan) jobs() []string {
	var jobs []string
	if len(p.pushed())+len(p.builtByHand()) > 0 {
		jobs = append(jobs, p.ciJob())
	}
	if p.many() && len(p.pushed()) > 0 {
		jobs = append(jobs, p.changesJob())
	}
	for _, e := range p.pushed() {
		jobs = append(jobs, p.deployJob(e))
	}
	for _, e := range p.byHand() {
		if e.After == "" {
			jobs = append(jobs, p.deployJob(e))
			continue
		}
		jobs = append(jobs, p.proveJob(e), p.promoteJob(e))
	}
	return jobs
}

// onPush is the event that delivers commits.
func (p *plan) onPush() string {
	var paths strings.Builder
	for _, filter := range p.filters() {
		fmt.Fprintf(&paths, "      - %s\n", p.scalar(filter))
	}
	return fill(`
  # A change of an agent, or of how agents are delivered, is delivered.
  push:
    branches: <branches>
    paths:
<paths>`, "<branches>", p.scalars(p.branches()), "<paths>", paths.String())
}

// filters are the paths whose changes are delivered.
func (p *plan) filters() []string {
	var filters []string
	for _, a := range p.agents {
		if a.Build.Path == "." {
			return []string{"**"}
		}
		if filter := literal(a.Build.Path) + "/**"; !slices.Contains(filters, filter) {
			filters = append(filters, filter)
		}
	}
	return append(filters, shared()...)
}

// shared are the paths whose changes are about every agent.
func shared() []string {
	return []string{config.FileName, Deploy, strings.TrimSuffix(Setup, "action.yml") + "**"}
}

// literal is a path as a filter that matches it alone
// (https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#filter-pattern-cheat-sheet).
func literal(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "+", `\+`, "[", `\[`, "]", `\]`, "!", `\!`).Replace(path)
}

// onDispatch is the event by which somebody chooses where to deliver to.
func (p *plan) onDispatch() string {
	what := "  # By hand: what serves, verified, in the environment before goes to the one that is chosen.\n"
	if len(p.builtByHand()) > 0 {
		what = "  # By hand, to the environment that is chosen: what serves, verified, in the one before it, or the commit of the branch.\n"
	}
	return what + "  workflow_dispatch:\n    inputs:\n" + p.choiceOfEnvironment("deliver to", p.byHand()) + p.choiceOfAgent()
}

func (p *plan) choiceOfEnvironment(what string, environments []config.Environment) string {
	return p.choice("environment", what, names(environments))
}

func names(environments []config.Environment) []string {
	var all []string
	for _, e := range environments {
		all = append(all, e.Name)
	}
	return all
}

// choiceOfAgent is the input that says which of many agents is meant.
func (p *plan) choiceOfAgent() string {
	if !p.many() {
		return ""
	}
	var names []string
	for _, a := range p.agents {
		names = append(names, a.Name)
	}
	return p.choice("agent", "which agent", names)
}

// choice is an input that takes one of a closed list.
func (p *plan) choice(name, what string, options []string) string {
	return fill(`
      <name>:
        description: <what>
        type: choice
        required: true
        default: <first>
        options: <options>
`, "<name>", name, "<what>", what, "<first>", p.scalar(options[0]), "<options>", p.scalars(options))
}

// building is the condition under which a run takes commits: always where that
// is all the workflow does.
func (p *plan) building() string {
	conditions := []string{"github.event_name == 'push'"}
	if len(p.pushed()) == 0 {
		conditions = nil
	}
	for _, e := range p.builtByHand() {
		conditions = append(conditions, "inputs.environment == '"+e.Name+"'")
	}
	if len(p.byHand()) == len(p.builtByHand()) {
		return ""
	}
	return "if: " + strings.Join(conditions, " || ") + "\n"
}

func (p *plan) ciJob() string {
	return fill(`
# Nothing is delivered that does not pass.
ci:
  name: ci
<if>  permissions:
    contents: read # to check out
  uses: ./<ci>
`, "<if>", indent(2, p.building()), "<ci>", CI)
}

func (p *plan) changesJob() string {
	condition := ""
	if len(p.byHand()) > 0 {
		condition = "if: github.event_name == 'push'\n"
	}
	return fill(`
# Which agents the push has changed: all of them where it changed how they are delivered.
changes:
  name: what has changed
<if>  runs-on: <runner>
  timeout-minutes: 10
  permissions:
    contents: read # to check out
  outputs:
    agents: ${{ steps.changed.outputs.agents }}
  steps:
<checkout><install>    - name: compare with what was there before the push
      id: changed
      env:
        BEFORE: ${{ github.event.before }}
      run: slipway workflow changed --since "$BEFORE"
`, "<if>", indent(2, condition), "<runner>", runner, "<checkout>", indent(4, checkout("fetch-depth: 0 # the commit before is needed\n")),
		"<install>", indent(4, install()))
}

// gate is what every job has that an environment lets in: its name, which is
// in the token's subject, and its turn. step is the one whose output is where
// the environment can be looked at, "" where none says so.
func (p *plan) gate(environment, step string) string {
	const comment = " # its reviewers, its branch, its variables\n"
	named := "environment: " + p.scalar(environment) + comment
	if step != "" {
		named = "environment:" + comment + "  name: " + p.scalar(environment) + "\n  url: ${{ steps." + step + ".outputs.url }}\n"
	}
	return fill(`
<environment>concurrency: # one at a time, in turn; none is cancelled
  group: <group>
  cancel-in-progress: false
  queue: max
`, "<environment>", named, "<group>", "deploy-"+environment)
}

// delivering are the permissions of a job that delivers.
const delivering = `permissions:
  actions: read # to name who approved
  contents: read # to check out
  deployments: write # to show on GitHub what serves
  id-token: write # the token that AWS takes instead of keys
`

// proving are those of a job that looks.
const proving = `permissions:
  contents: read # to check out
  deployments: read # to list what whoever approves lets in
  id-token: write # the token that AWS takes instead of keys
`

// settings are what a job is told of its environments: the described system's
// names, and what slipway.yaml takes from variables. A setting is a variable
// of the GitHub environment, or a secret of the same name.
func (p *plan) settings(own []string, environments ...string) string {
	var b strings.Builder
	b.WriteString("env:\n")
	for _, name := range p.handed(own, environments...) {
		fmt.Fprintf(&b, "  %s: ${{ vars.%s || secrets.%s }}\n", name, name, name)
	}
	return b.String()
}

// handed are the names of settings, each once.
func (p *plan) handed(own []string, environments ...string) []string {
	all := slices.Clone(own)
	for _, name := range p.variables(environments...) {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// everySetting are those of a job that delivers, lookSetting those of one that
// looks.
func everySetting() []string {
	return []string{config.EnvDeployRole, config.EnvExecutionRole, config.EnvSecurityGroup, config.EnvSubnets}
}

func lookSetting() []string { return []string{config.EnvDeployRole} }

// verifying is the token that a runtime with an authorizer is verified with,
// where there is one.
const verifying = "SLIPWAY_VERIFY_TOKEN: ${{ secrets.SLIPWAY_VERIFY_TOKEN }} # for runtimes with a JWT authorizer\n"

// telling lets a step ask GitHub what came with a release and who approved it,
// and set the deployment's status.
const telling = "GITHUB_TOKEN: ${{ github.token }}\n"

// flag names the agent on a command line, where there are many.
func (p *plan) flag() string {
	if p.many() {
		return ` --agent "$SLIPWAY_AGENT"`
	}
	return ""
}

// about hands a step the agent that it is about, where there are many.
func (p *plan) about(context string) string {
	if p.many() {
		return "SLIPWAY_AGENT: ${{ " + context + " }}\n"
	}
	return ""
}

// chosen is the agent that somebody chose.
func (p *plan) chosen() string { return p.about("inputs.agent") }

// outputs are those that a delivery sets.
func outputs(step string) string {
	var b strings.Builder
	b.WriteString("outputs:\n")
	for _, name := range []string{"outcome", "revision", "digest", "version"} {
		fmt.Fprintf(&b, "  %s: ${{ steps.%s.outputs.%s }}\n", name, step, name)
	}
	return b.String()
}

// deployJob takes a commit to an environment: of the push, or of the branch
// that somebody chose.
func (p *plan) deployJob(e config.Environment) string {
	needs, title, matrix, out := "[ci]", "deploy to "+e.Name, "", outputs("deploy")
	agent := "inputs.agent"
	if p.many() && e.Trigger == "push" {
		needs, title, out = "[ci, changes]", "deploy ${{ matrix.agent }} to "+e.Name, "" // outputs of several would be those of one
		agent = "matrix.agent"
		matrix = "strategy:\n  fail-fast: false # one agent's failure is not another's\n  matrix:\n    agent: ${{ fromJSON(needs.changes.outputs.agents) }}\n"
	}
	return fill(`
deploy-<name>:
  name: <title>
  needs: <needs>
<if>  runs-on: <runner>
  timeout-minutes: <minutes>
<gate><permissions><matrix><settings><outputs>  steps:
<checkout><install><go>    - name: build, push, update, verify
      id: deploy
      env:
<env>      run: slipway deploy --env <name><flag>
`, "<name>", e.Name, "<title>", title, "<needs>", needs, "<if>", indent(2, p.condition(p.deployed(e))),
		"<runner>", p.buildRunner(agent), "<minutes>", strconv.Itoa(minutes(true, e)), "<gate>", indent(2, p.gate(e.Name, "deploy")),
		"<permissions>", indent(2, delivering), "<matrix>", indent(2, matrix), "<settings>", indent(2, p.settings(everySetting(), e.Name)+p.buildSecrets(e.Name)),
		"<outputs>", indent(2, out), "<checkout>", indent(4, checkout("")), "<install>", indent(4, install()), "<go>", indent(4, p.goToBuild(p.agents)),
		"<env>", indent(8, p.about(agent)+telling+verifying), "<flag>", p.flag())
}

// deployed are the conditions under which a run takes its commit to an
// environment: none where there is no other kind of run.
func (p *plan) deployed(e config.Environment) []string {
	if e.Trigger != "push" {
		return []string{"inputs.environment == '" + e.Name + "'"}
	}
	var all []string
	if len(p.byHand()) > 0 {
		all = append(all, "github.event_name == 'push'")
	}
	if len(p.branches()) > 1 {
		all = append(all, "github.ref == 'refs/heads/"+branch(e)+"'")
	}
	if p.many() {
		all = append(all, "needs.changes.outputs.agents != '[]'")
	}
	return all
}

// plainCondition matches a condition that YAML takes for a string.
var plainCondition = pattern.New(`^[a-z][A-Za-z0-9_./='&|()\[\]! -]*$`)

// condition is a job's if:, where there is one.
func (p *plan) condition(all []string) string {
	if len(all) == 0 {
		return ""
	}
	text := strings.Join(all, " && ")
	quoted := p.scalar(text)
	if plainCondition.MatchString(text) {
		quoted = text
	}
	return "if: " + quoted + "\n"
}

// buildSecrets are the secrets that builds take from variables, those aside
// that are settings already.
func (p *plan) buildSecrets(environment string) string {
	var b strings.Builder
	told := p.handed(everySetting(), environment)
	for _, a := range p.agents {
		for _, s := range a.Build.Secrets {
			if s.Env != "" && !slices.Contains(told, s.Env) && !ownedByRunner(s.Env) {
				told = append(told, s.Env)
				fmt.Fprintf(&b, "  %s: ${{ secrets.%s }} # for the build\n", s.Env, s.Env)
			}
		}
	}
	return b.String()
}

// buildRunner is where images are built: natively, where steps of a
// Dockerfile run. agent is the expression that says whose.
func (p *plan) buildRunner(agent string) string {
	var arm, other []string
	for _, a := range p.agents {
		switch {
		case runnerOf(a) == armRunner:
			arm = append(arm, a.Name)
		case a.Build.Engine != config.EngineGo: // Go builds anywhere
			other = append(other, a.Name)
		}
	}
	switch {
	case arm == nil:
		return runner
	case other == nil:
		return armRunner + " # linux/arm64, natively"
	}
	return "${{ contains(fromJSON(" + literals(other) + "), " + agent + ") && '" + runner + "' || '" + armRunner + "' }} # each platform natively"
}

// goToBuild is the step that brings Go, where the engine go builds one of the
// agents. It keeps no cache: other jobs could write what this one would build.
func (p *plan) goToBuild(agents []config.Agent) string {
	for _, a := range agents {
		if a.Build.Engine == config.EngineGo {
			return p.setupGo(p.seen.agents[a.Name].module)
		}
	}
	return ""
}

// proveJob says, under the role of the environment before, what serves there.
func (p *plan) proveJob(e config.Environment) string {
	return fill(`
# Before the gate: what <from> serves, and that it passed its verify. Who approves reads it in the summary.
prove-<name>:
  name: prove what <from> serves
  if: inputs.environment == '<name>'
  runs-on: <runner>
  timeout-minutes: 15
<gate><permissions><settings>  outputs:
    evidence: ${{ steps.prove.outputs.evidence }}
  steps:
<checkout><install>    - name: prove
      id: prove
<env>      run: slipway promote --to <name><flag> --prove
`, "<name>", e.Name, "<from>", e.After, "<runner>", runner, "<gate>", indent(2, p.gate(e.After, "")), "<permissions>", indent(2, proving),
		"<settings>", indent(2, p.settings(lookSetting(), e.After, e.Name)), "<checkout>", indent(4, checkout("")), "<install>", indent(4, install()),
		"<env>", indent(6, env(p.chosen()+telling)), "<flag>", p.flag())
}

// env is a step's env:, where there is something in it.
func env(lines string) string {
	if lines == "" {
		return ""
	}
	return "env:\n" + indent(2, lines)
}

// promoteJob takes exactly what was proved to an environment, behind its gate.
func (p *plan) promoteJob(e config.Environment) string {
	return fill(`
# Behind the gate: exactly that digest, nothing is rebuilt. It stops if <name> got another release meanwhile.
promote-<name>:
  name: promote to <name>
  needs: prove-<name>
  runs-on: <runner>
  timeout-minutes: <minutes>
<gate><permissions><settings><outputs>  steps:
<checkout><install>    - name: copy, update, verify
      id: promote
      env:
<env>      run: slipway promote --to <name><flag> --evidence "$SLIPWAY_EVIDENCE"
`, "<name>", e.Name, "<runner>", runner, "<minutes>", strconv.Itoa(minutes(false, e)), "<gate>", indent(2, p.gate(e.Name, "promote")),
		"<permissions>", indent(2, delivering), "<settings>", indent(2, p.settings(everySetting(), e.Name, e.After)), "<outputs>", indent(2, outputs("promote")),
		"<checkout>", indent(4, checkout("")), "<install>", indent(4, install()),
		"<env>", indent(8, p.chosen()+"SLIPWAY_EVIDENCE: ${{ needs.prove-"+e.Name+".outputs.evidence }}\n"+telling+verifying), "<flag>", p.flag())
}
