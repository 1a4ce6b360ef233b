package explain_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/workflow/explain"
	"github.com/slipway-cd/slipway/internal/workflow/trigger"
)

var update = flag.Bool("update", false, "write the golden files anew")

const file = ".github/workflows/w.yml"

// of explains one workflow, which has to be there.
func of(t *testing.T, x explain.Explainer, workflow string) explain.Workflow {
	t.Helper()
	x.Files = map[string][]byte{file: []byte(workflow)}
	all, _ := x.Explain()
	return all[0]
}

func push(changed ...string) trigger.Event {
	return trigger.Event{Name: "push", Ref: "refs/heads/main", Changed: changed, Compared: true}
}

// agents are one and two, in folders of their names.
func agents(files []string) []string {
	var names []string
	for _, name := range []string{"one", "two"} {
		if slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, "apps/"+name+"/") }) {
			names = append(names, name)
		}
	}
	return names
}

// TestConditions tries an if: on a push to main by octocat, beside jobs that
// run, don't run, and may run.
func TestConditions(t *testing.T) {
	for condition, want := range map[string]string{
		"true":                                 "runs",
		"false":                                "skipped: if: false is false",
		"''":                                   "skipped",
		"0":                                    "skipped",
		"'false'":                              "runs", // a text
		"null":                                 "skipped",
		"github.event_name == 'push'":          "runs",
		"github.event_name == 'PUSH'":          "runs",
		"github.event_name != 'push'":          "skipped: if: github.event_name != 'push' is false",
		"GitHub.Ref == 'refs/heads/main'":      "runs",
		"github['ref_name'] == 'main'":         "runs",
		"github.ref_type == 'tag'":             "skipped",
		"startsWith(github.ref, 'REFS/HEADS')": "runs",
		"endsWith(github.ref, 'main') && contains('xmain', 'MAI')":       "runs",
		"contains(fromJSON('[\"push\", 1]'), github.event_name)":         "runs",
		"contains(fromJSON('[\"pus\"]'), github.event_name)":             "skipped",
		"fromJSON('{\"a\": {\"b\": [2]}}').a.b[0] == 2":                  "runs",
		"format('{0}-{1}{{}}', 'a', 1) == 'a-1{}'":                       "runs",
		"!(github.actor == 'octocat')":                                   "skipped",
		"github.repository_owner == 'acme'":                              "runs",
		"github.head_ref == ''":                                          "runs",
		"inputs.environment == ''":                                       "runs", // null and '' are both 0
		"inputs.environment == 'stg' || github.ref == 'refs/heads/main'": "runs",
		"github.event.inputs.x == null":                                  "runs",
		"'1' == 1 && true == 1 && '' == 0 && null == 0":                  "runs",
		"'a' == 0": "skipped",
		"1 < 2 && 'a' < 'B' && 2 >= 2 && !('x' < 1)":          "runs",
		"vars.ENABLED == 'yes'":                               "depends: vars.ENABLED",
		"vars.ENABLED == 'yes' && false":                      "skipped",
		"vars.ENABLED && false":                               "skipped",
		"vars.ENABLED == 'yes' || true":                       "runs",
		"vars.A == 'yes' && github.event.head_commit.message": "depends: vars.A, github.event.head_commit.message",
		"!vars.ENABLED":                                       "depends: vars.ENABLED",
		"hashFiles('x') == 'y'":                               "depends: hashfiles()",
		"failure()":                                           "depends: failure()",
		"!cancelled()":                                        "runs",
		"${{ github.event_name == 'pull_request' }}":          "skipped",
		"${{ false }} && true":                                "runs", // a text that is not empty
		"github.event_name ==":                                "depends: if: github.event_name ==",
		"needs.may.result == 'success'":                       "runs", // no need of it: null, which is no text
	} {
		x := explain.Explainer{Event: push(), Repository: "acme@1/agents@2", Actor: "octocat"}
		w := of(t, x, "on: push\njobs:\n  j:\n    runs-on: x\n    if: "+quote(condition)+"\n    steps: [{run: x}]\n")
		if condition == "needs.may.result == 'success'" {
			want = "skipped"
		}
		if got := told(w.Jobs[0]); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", condition, got, want)
		}
	}
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

func told(j explain.Job) string {
	s := string(j.Verdict)
	for _, more := range []string{j.Because, strings.Join(j.DependsOn, ", ")} {
		if more != "" {
			s += ": " + more
		}
	}
	return s
}

// TestNeeds has a job that runs, one that does not and one that may, and what
// becomes of those that need them.
func TestNeeds(t *testing.T) {
	const before = `on: push
jobs:
  yes: {runs-on: x, steps: [{run: x}]}
  no: {runs-on: x, if: false, steps: [{run: x}]}
  may: {runs-on: x, if: vars.MAY, steps: [{run: x}]}
  behind: {runs-on: x, if: always(), needs: no, steps: [{run: x}]}
  j: {runs-on: x, needs: [%s], if: "%s", steps: [{run: x}]}
`
	for _, tt := range []struct{ needs, condition, want string }{
		{"yes", "", "runs"},
		{"no", "", "skipped: the job no does not run"},
		{"no", "true", "skipped: the job no does not run"},
		{"no", "always()", "runs"},
		{"no", "!cancelled()", "runs"},
		{"no", "success()", "skipped"},
		{"no", "${{ !cancelled() && needs.no.result == 'skipped' }}", "runs"},
		{"no", "${{ always() && needs.no.result == 'success' }}", "skipped: if: always() && needs.no.result == 'success' is false"},
		{"may", "", "depends: the job may"},
		{"may", "false", "skipped: if: false is false"},
		{"may", "vars.X", "depends: the job may, vars.X"},
		{"may", "always() && needs.may.result == 'success'", "depends: needs.may.result"},
		{"yes, may", "always()", "runs"},
		{"may, no", "", "skipped: the job no does not run"},
		{"behind", "", "skipped: a job before it does not run"},
		{"behind", "always()", "runs"},
		{"yes", "needs.yes.outputs.agents != '[]'", "depends: needs.yes.outputs.agents"},
		{"nosuch", "", "skipped"},
		{"j", "", "skipped"},
	} {
		w := of(t, explain.Explainer{Event: push()}, fmt.Sprintf(before, tt.needs, tt.condition))
		if got := told(w.Jobs[4]); !strings.HasPrefix(got, tt.want) {
			t.Errorf("needs %s, if: %s: %s, want %s", tt.needs, tt.condition, got, tt.want)
		}
	}
}

// TestMatrix tries what environments a matrix makes.
func TestMatrix(t *testing.T) {
	for name, tt := range map[string]struct{ strategy, environment, want string }{
		"rows":           {"{env: [dev, stg], n: [1, 2]}", "${{ matrix.env }}", "4: dev stg"},
		"exclude":        {"{env: [dev, stg], n: [1, 2], exclude: [{env: dev}]}", "${{ matrix.env }}", "2: stg"},
		"include":        {"{env: [dev], include: [{env: dev, as: x}, {env: prd, as: y}]}", "${{ matrix.env }}-${{ matrix.as }}", "2: dev-x prd-y"},
		"include alone":  {"{include: [{env: dev}, {env: stg}]}", "${{ matrix.env }}", "2: dev stg"},
		"objects":        {"{it: [{env: dev}, {env: stg}]}", "${{ matrix.it.env }}", "2: dev stg"},
		"an input":       {"{env: ['${{ github.ref_name }}']}", "${{ matrix.env }}", "1: main"},
		"JSON":           {"{env: \"${{ fromJSON('[\\\"a\\\", \\\"b\\\"]') }}\"}", "${{ matrix.env }}", "2: a b"},
		"whole as JSON":  {"\"${{ fromJSON('{\\\"env\\\": [\\\"a\\\"], \\\"include\\\": [{\\\"env\\\": \\\"c\\\"}]}') }}\"", "${{ matrix.env }}", "2: a c"},
		"of a job":       {"{agent: \"${{ fromJSON(needs.plan.outputs.agents) }}\"}", "dev", "0: dev from plan, agents one"},
		"whole of a job": {"\"${{ fromJSON(needs.plan.outputs.matrix) }}\"", "${{ matrix.env }}", "0: ?matrix.env from plan, agents one"},
		"of variables":   {"{env: \"${{ fromJSON(vars.ENVS) }}\"}", "${{ matrix.env }}", "0: ?matrix.env"},
		"too many":       {"{a: &a [1,2,3,4,5,6,7,8,9], b: *a, c: *a}", "dev", "0: dev"},
	} {
		x := explain.Explainer{Event: push("apps/one/main.py", "apps/oneother/x"), Agents: agents}
		w := of(t, x, "on: push\njobs:\n  plan: {runs-on: x, steps: [{run: x}]}\n  j:\n    needs: plan\n    runs-on: x\n    strategy: {matrix: "+
			tt.strategy+"}\n    environment: "+quote(tt.environment)+"\n    steps: [{run: x}]\n")
		j := w.Jobs[1]
		got := fmt.Sprintf("%d:", j.Matrix.Jobs)
		for _, p := range j.Places {
			got += " " + p.Environment
			if p.DependsOn != nil {
				got += "?" + strings.Join(p.DependsOn, ",")
			}
		}
		if j.Matrix.From != nil {
			got += " from " + strings.Join(j.Matrix.From, ",") + ", agents " + strings.Join(j.Matrix.Agents, ",")
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// TestPlaces tries the subject, the role and the gate.
func TestPlaces(t *testing.T) {
	environments := map[string]explain.Environment{
		"dev": {Role: "arn:dev"},
		"prd": {Role: "arn:prd", Reviewers: []string{"acme/release"}, Branch: "main"},
	}
	const token = "permissions: {id-token: write}\n    "
	for name, tt := range map[string]struct {
		event trigger.Event
		job   string
		want  []explain.Place
	}{
		"no token":        {push(), "runs-on: x", nil},
		"branch":          {push(), token + "runs-on: x", []explain.Place{{Subject: "repo:acme/agents:ref:refs/heads/main"}}},
		"tag":             {trigger.Event{Name: "push", Ref: "refs/tags/v1"}, token + "runs-on: x", []explain.Place{{Subject: "repo:acme/agents:ref:refs/tags/v1"}}},
		"pull request":    {trigger.Event{Name: "pull_request", Ref: "refs/pull/N/merge"}, token + "runs-on: x", []explain.Place{{Subject: "repo:acme/agents:pull_request"}}},
		"write-all":       {push(), "permissions: write-all\n    runs-on: x", []explain.Place{{Subject: "repo:acme/agents:ref:refs/heads/main"}}},
		"read":            {push(), "permissions: {id-token: none}\n    runs-on: x", nil},
		"gate, no token":  {push(), "environment: prd", []explain.Place{{Environment: "prd", Known: true, Reviewers: []string{"acme/release"}, Branch: "main"}}},
		"environment":     {push(), token + "environment: dev", []explain.Place{{Environment: "dev", Known: true, Subject: "repo:acme/agents:environment:dev", Role: "arn:dev", RoleFrom: "slipway.yaml"}}},
		"with a URL":      {push(), token + "environment: {name: dev, url: 'https://x'}", []explain.Place{{Environment: "dev", Known: true, Subject: "repo:acme/agents:environment:dev", Role: "arn:dev", RoleFrom: "slipway.yaml"}}},
		"of a request":    {trigger.Event{Name: "pull_request"}, token + "environment: x", []explain.Place{{Environment: "x", Subject: "repo:acme/agents:environment:x"}}},
		"colon":           {push(), token + "environment: a:b", []explain.Place{{Environment: "a:b", Subject: "repo:acme/agents:environment:a%3Ab"}}},
		"case":            {push(), token + "environment: DEV", []explain.Place{{Environment: "DEV", Known: true, Subject: "repo:acme/agents:environment:DEV", Role: "arn:dev", RoleFrom: "slipway.yaml"}}},
		"other branch":    {trigger.Event{Name: "push", Ref: "refs/heads/x"}, "environment: prd", []explain.Place{{Environment: "prd", Known: true, Reviewers: []string{"acme/release"}, Branch: "main", Refused: true}}},
		"tag named main":  {trigger.Event{Name: "push", Ref: "refs/tags/main"}, "environment: prd", []explain.Place{{Environment: "prd", Known: true, Reviewers: []string{"acme/release"}, Branch: "main", Refused: true}}},
		"empty name":      {push(), "environment: \"${{ inputs.environment }}\"", []explain.Place{{}}},
		"unknown name":    {push(), token + "environment: \"${{ vars.E }}\"", []explain.Place{{DependsOn: []string{"vars.E"}}}},
		"role of a step":  {push(), token + "environment: dev\n    steps: [{uses: aws-actions/configure-aws-credentials@v6, with: {role-to-assume: 'arn:${{ github.ref_name }}'}}]", []explain.Place{{Environment: "dev", Known: true, Subject: "repo:acme/agents:environment:dev", Role: "arn:main", RoleFrom: "role-to-assume"}}},
		"role of env":     {push(), token + "environment: dev\n    env: {ROLE: arn:x}\n    steps: [{uses: a/b@v1, with: {role-to-assume: '${{ env.ROLE }}'}}]", []explain.Place{{Environment: "dev", Known: true, Subject: "repo:acme/agents:environment:dev", Role: "arn:x", RoleFrom: "role-to-assume"}}},
		"role of a value": {push(), token + "environment: dev\n    steps: [{uses: a/b@v1, with: {role-to-assume: '${{ vars.AWS_DEPLOY_ROLE_ARN }}'}}]", []explain.Place{{Environment: "dev", Known: true, Subject: "repo:acme/agents:environment:dev", Role: "arn:dev", RoleFrom: "slipway.yaml", RoleDependsOn: []string{"vars.AWS_DEPLOY_ROLE_ARN"}}}},
		"role, Slipway's": {push(), token + "env: {AWS_DEPLOY_ROLE_ARN: arn:y}", []explain.Place{{Subject: "repo:acme/agents:ref:refs/heads/main", Role: "arn:y", RoleFrom: "AWS_DEPLOY_ROLE_ARN"}}},
	} {
		x := explain.Explainer{Event: tt.event, Repository: "acme/agents", Environments: environments}
		job := tt.job
		if !strings.Contains(job, "steps:") {
			job += "\n    steps: [{run: x}]"
		}
		w := of(t, x, "on: [push, pull_request]\njobs:\n  j:\n    "+job+"\n")
		if w.Verdict != trigger.Runs {
			t.Errorf("%s: %s: %s", name, w.Verdict, w.Because)
			continue
		}
		if diff := cmp.Diff(append([]explain.Place{}, tt.want...), w.Jobs[0].Places); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestCalls(t *testing.T) {
	files := map[string][]byte{
		".github/workflows/a.yml": []byte(`on: push
jobs:
  go:
    permissions: {id-token: write}
    uses: ./.github/workflows/b.yml
    with: {environment: dev}
  none:
    uses: ./.github/workflows/b.yml
    with: {environment: "${{ vars.E }}"}
  far: {uses: acme/other/.github/workflows/x.yml@v1}
  nowhere: {uses: ./.github/workflows/nosuch.yml}
  loop: {uses: ./.github/workflows/a.yml}
`),
		".github/workflows/b.yml": []byte(`on:
  workflow_call:
    inputs: {environment: {type: string}, more: {type: string, default: x}}
jobs:
  deploy:
    if: inputs.more == 'x' && github.event_name == 'push'
    runs-on: x
    environment: ${{ inputs.environment }}
    steps: [{run: x}]
`),
	}
	x := explain.Explainer{Event: push(), Repository: "acme/agents", Files: files, Only: []string{".github/workflows/a.yml"}}
	if all, _ := x.Explain(); len(all) != 1 || len(all[0].Jobs[0].Calls.Jobs) != 1 {
		t.Errorf("a.yml alone: %+v", all)
	}
	x.Only = nil
	all, _ := x.Explain()
	if all[1].Verdict != trigger.Skipped {
		t.Errorf("b.yml: %s", all[1].Verdict)
	}
	jobs := all[0].Jobs
	deploy := jobs[0].Calls.Jobs[0]
	if deploy.Verdict != trigger.Runs || !deploy.Token || deploy.Places[0].Subject != "repo:acme/agents:environment:dev" {
		t.Errorf("go: %+v", deploy)
	}
	deploy = jobs[1].Calls.Jobs[0]
	if deploy.Token || !slices.Equal(deploy.Places[0].DependsOn, []string{"vars.E"}) {
		t.Errorf("none: %+v", deploy)
	}
	if far := jobs[2].Calls; len(far.Jobs) != 0 || !strings.Contains(far.Because, "another repository's") {
		t.Errorf("far: %+v", far)
	}
	if nowhere := jobs[3].Calls; nowhere.Verdict != explain.Broken {
		t.Errorf("nowhere: %+v", nowhere)
	}
	if loop := jobs[4].Calls; loop.Verdict != explain.Broken || !strings.Contains(loop.Because, "a.yml calls itself") {
		t.Errorf("loop: %+v", loop)
	}
}

// TestPermissions tries what a called workflow may ask for, with what its
// caller has.
func TestPermissions(t *testing.T) {
	const asks = "the job j of .github/workflows/c.yml asks for id-token: write, and gets id-token: none"
	const refused, none = "broken: GitHub refuses it: " + asks + " from the job call of .github/workflows/w.yml", "permissions: {}"
	for name, tt := range map[string]struct{ workflow, caller, called, job, want string }{
		"less":               {none, "permissions: {contents: read}", none, "permissions: {id-token: write}", refused},
		"nothing":            {none, "", none, "permissions: {id-token: write}", refused},
		"explicitly none":    {none, "permissions: {id-token: none}", none, "permissions: {id-token: write}", refused},
		"enough":             {none, "permissions: {id-token: write}", none, "permissions: {id-token: write}", "token"},
		"its workflow's":     {"permissions: {id-token: write}", "", none, "permissions: {id-token: write}", "token"},
		"write-all":          {none, "permissions: write-all", none, "permissions: {id-token: write, models: read}", "token"},
		"all of write-all":   {none, "permissions: write-all", "permissions: write-all", "", "token"},
		"less than it has":   {none, "permissions: {id-token: write, contents: write}", none, "permissions: {contents: read}", "no token"},
		"inherited":          {none, "permissions: {id-token: write}", "", "", "token"},
		"of the called":      {none, "permissions: {id-token: write}", "permissions: {id-token: write}", "", "token"},
		"of the called, not": {none, "permissions: {contents: read}", "permissions: {contents: write}", "permissions: {}", "broken: GitHub refuses it: .github/workflows/c.yml asks for contents: write, and gets contents: read from the job call of .github/workflows/w.yml"},
		"two":                {none, "permissions: read-all", none, "permissions: {id-token: write, contents: write}", "broken: GitHub refuses it: the job j of .github/workflows/c.yml asks for contents: write, id-token: write, and gets contents: read, id-token: read from"},
		"a skipped call":     {none, "if: false", none, "permissions: {id-token: write}", refused},
		"by the repository":  {"", "", none, "permissions: {id-token: write}", "token; where the repository's default permissions are read-only, GitHub refuses it: " + asks},
		"by it, unasked":     {"", "", "", "", "no token"},
		"by it, to read":     {"", "", none, "permissions: {contents: read}", "no token"},
		"no such level":      {none, "permissions: {contents: all}", none, "permissions: {id-token: write}", "token"},
	} {
		x := explain.Explainer{Event: push(), Only: []string{file}, Files: map[string][]byte{
			file:                      []byte("on: push\n" + tt.workflow + "\njobs:\n  call:\n    uses: ./.github/workflows/c.yml\n    " + tt.caller + "\n"),
			".github/workflows/c.yml": []byte("on: workflow_call\n" + tt.called + "\njobs:\n  j:\n    runs-on: x\n    " + tt.job + "\n    steps: [{run: x}]\n"),
		}}
		all, _ := x.Explain()
		got := string(all[0].Verdict) + ": " + all[0].Because
		if all[0].Verdict == trigger.Runs {
			called := all[0].Jobs[0].Calls
			got = map[bool]string{true: "token", false: "no token"}[called.Jobs[0].Token] + strings.TrimPrefix(called.Because, "called by call")
		}
		if !strings.HasPrefix(got, tt.want) || tt.want == "token" && got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// What a call within a call asks for is bounded by all above.
func TestPermissionsBelow(t *testing.T) {
	x := explain.Explainer{Event: push(), Only: []string{file}, Files: map[string][]byte{
		file:                      []byte("on: push\npermissions: {contents: read}\njobs: {a: {uses: ./.github/workflows/b.yml}}\n"),
		".github/workflows/b.yml": []byte("on: workflow_call\njobs: {b: {uses: ./.github/workflows/c.yml}}\n"),
		".github/workflows/c.yml": []byte("on: workflow_call\njobs: {c: {runs-on: x, permissions: {id-token: write}, steps: [{run: x}]}}\n"),
	}}
	all, _ := x.Explain()
	want := "the job c of .github/workflows/c.yml asks for id-token: write, and gets id-token: none from the job b of .github/workflows/b.yml"
	if all[0].Verdict != explain.Broken || !strings.Contains(all[0].Because, want) {
		t.Errorf("%s: %s", all[0].Verdict, all[0].Because)
	}
	x.Event.Name = "release"
	if all, _ = x.Explain(); all[0].Verdict != trigger.Skipped {
		t.Errorf("of another event: %s: %s", all[0].Verdict, all[0].Because)
	}
}

// Ten levels of ten calls each are not all looked into.
func TestManyCalls(t *testing.T) {
	files := map[string][]byte{}
	for level := range 10 {
		var b strings.Builder
		b.WriteString("on: [push, workflow_call]\njobs:\n")
		for i := range 10 {
			fmt.Fprintf(&b, "  j%d: {uses: ./.github/workflows/%d.yml}\n", i, level+1)
		}
		files[fmt.Sprintf(".github/workflows/%d.yml", level)] = []byte(b.String())
	}
	all, _ := explain.Explainer{Event: push(), Files: files}.Explain()
	raw, err := json.Marshal(all)
	if err != nil || !strings.Contains(string(raw), "more than 256 calls") {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

// Forty pairs of jobs, each of which needs both before: there are 2^40 ways
// through them.
func TestManyNeeds(t *testing.T) {
	var b strings.Builder
	b.WriteString("on: push\njobs:\n")
	for i := range 40 {
		for _, side := range "ab" {
			fmt.Fprintf(&b, "  %c%d: {runs-on: x, needs: [%s], steps: [{run: x}]}\n", side, i, map[bool]string{true: fmt.Sprintf("a%d, b%d", i-1, i-1)}[i > 0])
		}
	}
	w := of(t, explain.Explainer{Event: push()}, b.String())
	if len(w.Jobs) != 80 || w.Jobs[79].Verdict != trigger.Runs {
		t.Errorf("%d jobs, %s", len(w.Jobs), told(w.Jobs[79]))
	}
}

func TestDispatch(t *testing.T) {
	const workflow = `on:
  workflow_dispatch:
    inputs:
      environment: {type: choice, options: [stg, prd], required: true}
      dry: {type: boolean, default: true}
jobs:
  j:
    if: inputs.dry && github.event.inputs.dry == 'true'
    runs-on: x
    environment: ${{ inputs.environment }}
    steps: [{run: x}]
`
	x := explain.Explainer{Event: trigger.Event{Name: "workflow_dispatch", Ref: "refs/heads/main"},
		Files: map[string][]byte{file: []byte(workflow), "other.yml": []byte("on: push\njobs: {j: {runs-on: x, steps: [{run: x}]}}\n")}}
	x.Inputs = map[string]string{"environment": "stg"}
	all, refused := x.Explain()
	if refused != nil || all[0].Jobs[0].Places[0].Environment != "stg" || all[1].Because != "it is not on workflow_dispatch" {
		t.Errorf("%+v, %v", all, refused)
	}
	x.Inputs = map[string]string{"environment": "nosuch"}
	all, refused = x.Explain()
	if len(refused) != 1 || !strings.Contains(refused[0].Error(), "w.yml: the input environment is \"nosuch\"; it can be stg, prd") || all[0].Verdict != trigger.Skipped {
		t.Errorf("%+v, %v", all, refused)
	}
}

func TestBroken(t *testing.T) {
	for name, tt := range map[string]struct{ workflow, want string }{
		"no YAML":     {"on: [", "w.yml:"},
		"unquoted *":  {"on:\n  push:\n    paths:\n      - **/a\n", "w.yml: could not parse"},
		"empty":       {"", "w.yml:"},
		"no jobs":     {"on: push\n", "w.yml:"},
		"two filters": {"on: {push: {paths: [a], paths-ignore: [b]}}\njobs: {j: {runs-on: x, steps: [{run: x}]}}\n", "on.push: paths and paths-ignore"},
		"bad pattern": {"on: {push: {branches: ['+a']}}\njobs: {j: {runs-on: x, steps: [{run: x}]}}\n", `on.push: branches: pattern "+a"`},
	} {
		w := of(t, explain.Explainer{Event: push()}, tt.workflow)
		if w.Verdict != explain.Broken || !strings.Contains(w.Because, tt.want) {
			t.Errorf("%s: %s: %s", name, w.Verdict, w.Because)
		}
	}
}

// TestGolden explains the workflows of testdata.
func TestGolden(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("testdata", "deploy.yml"))
	if err != nil {
		t.Fatal(err)
	}
	x := explain.Explainer{Repository: "acme@1001/agents@2002", Agents: agents,
		Environments: map[string]explain.Environment{"dev": {Role: "arn:aws:iam::111122223333:role/slipway-agents-dev"},
			"stg": {Role: "arn:aws:iam::111122223333:role/slipway-agents-stg", Reviewers: []string{"octocat"}, Branch: "main"}},
		Files: map[string][]byte{".github/workflows/deploy.yml": source}}
	for name, event := range map[string]trigger.Event{
		"push":     push("apps/two/main.py"),
		"dispatch": {Name: "workflow_dispatch", Ref: "refs/heads/main"},
	} {
		x.Event, x.Inputs = event, nil
		if name == "dispatch" {
			x.Inputs = map[string]string{"environment": "stg"}
		}
		all, _ := x.Explain()
		got, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".json")
		if *update {
			_ = os.WriteFile(golden, append(got, '\n'), 0o644)
		}
		want, err := os.ReadFile(golden)
		if diff := cmp.Diff(string(want), string(got)+"\n"); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

// FuzzExplain: whatever a workflow holds, it is explained, and the answer can
// be written as JSON.
func FuzzExplain(f *testing.F) {
	source, err := os.ReadFile(filepath.Join("testdata", "deploy.yml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(source, "stg")
	f.Add([]byte("on: push\njobs: {a: {needs: b, if: \"${{ needs.b.result\"}, b: {needs: a}}"), "x")
	f.Add([]byte("on: [push]\njobs: {a: {strategy: {matrix: {a: [[1], {b: c}], include: 1}}, environment: '${{ matrix.a[0] }}'}}"), "")
	f.Fuzz(func(t *testing.T, workflow []byte, input string) {
		for _, name := range []string{"push", "workflow_dispatch", "pull_request"} {
			x := explain.Explainer{Event: trigger.Event{Name: name, Ref: "refs/heads/main"}, Inputs: map[string]string{"environment": input},
				Files: map[string][]byte{file: workflow}}
			all, _ := x.Explain()
			if _, err := json.Marshal(all); err != nil {
				t.Error(err)
			}
		}
	})
}
