package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dir = ".github/workflows/"

// filtered is the good workflow with a path filter.
func filtered(paths ...string) string {
	return with(push, push+"    paths: ['"+strings.Join(paths, "', '")+"']\n")
}

func TestFiltersAreCompared(t *testing.T) {
	for name, tt := range map[string]struct {
		files []File
		want  []string // files with a finding
	}{
		"the workflow is left out":       {[]File{{dir + "a.yml", []byte(filtered("apps/x/**"))}}, []string{dir + "a.yml"}},
		"the workflow is taken out":      {[]File{{dir + "a.yml", []byte(filtered("**", "!.github/**"))}}, []string{dir + "a.yml"}},
		"it is in":                       {[]File{{dir + "a.yml", []byte(filtered("apps/x/**", dir+"a.yml"))}}, nil},
		"in a directory that is in":      {[]File{{dir + "a.yml", []byte(filtered("apps/x/**", ".github/**"))}}, nil},
		"nobody knows where the file is": {[]File{{"a.yml", []byte(filtered("apps/x/**"))}}, nil},
		"two differ": {[]File{{dir + "a.yml", []byte(filtered("apps/x/**", dir+"*.yml"))}, {dir + "b.yml", []byte(filtered("apps/**", dir+"*.yml"))}},
			[]string{dir + "b.yml"}},
		"two of two agents": {[]File{{dir + "a.yml", []byte(filtered("apps/x/**", dir+"*.yml"))}, {dir + "b.yml", []byte(filtered("apps/y/**", dir+"*.yml"))}}, nil},
		"two alike":         {[]File{{dir + "a.yml", []byte(filtered("apps/x/**", dir+"a.yml"))}, {dir + "b.yml", []byte(filtered("apps/x/**", dir+"b.yml"))}}, nil},
		"one deploys nothing": {[]File{{dir + "a.yml", []byte(filtered("apps/x/**", dir+"*.yml"))},
			{dir + "b.yml", []byte("on: {push: {paths: ['apps/**']}}\npermissions: {}\njobs: {a: {runs-on: ubuntu-24.04, steps: [{run: 'true'}]}}\n")}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range checked(t, Options{}, tt.files...) {
				if f.Rule == "workflow/path-filters" {
					got = append(got, f.File)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTestsOfAnotherWorkflow(t *testing.T) {
	ci := "on: [push]\npermissions: {}\njobs: {test: {runs-on: ubuntu-24.04, steps: [{run: go test ./...}]}}\n"
	files := func(ci string, deploy string) []File {
		return []File{{dir + "deploy.yml", []byte(deploy)}, {dir + "ci.yml", []byte(ci)}}
	}
	calls := with(env, env+"    needs: tests\n") + "  tests:\n    permissions: {contents: read}\n    uses: ./.github/workflows/ci.yml\n"
	if !has(checked(t, Options{}, files(ci, good)...), "workflow/deploy-before-tests") {
		t.Error("tests beside the delivery are not found")
	}
	for name, set := range map[string][]File{"called": files(strings.Replace(ci, "[push]", "[push, workflow_call]", 1), calls), "on pull requests alone": files(strings.Replace(ci, "push", "pull_request", 1), good), "alone": files(ci, good)[:1]} {
		if f := checked(t, Options{}, set...); has(f, "workflow/deploy-before-tests") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// afterTriggers is a workflow from its permissions on.
func afterTriggers(text string) string {
	_, rest, _ := strings.Cut(text, "permissions: {}")
	return "permissions: {}" + rest
}

// TestCallersBoundAnInput follows an environment to the workflow that calls.
func TestCallersBoundAnInput(t *testing.T) {
	called := "on:\n  workflow_call:\n    inputs: {environment: {type: string, required: true}}\n" + afterTriggers(good)
	called = strings.Replace(strings.Replace(called, env, chosen, 1), group, byChoice, 1)
	caller := func(environment string) string {
		return "on: push\npermissions: {}\njobs:\n  a:\n    permissions: {id-token: write, contents: read}\n    uses: ./.github/workflows/called.yml\n    with: {environment: " + environment + "}\n"
	}
	for environment, open := range map[string]bool{"prod": false, `"${{ github.ref_name }}"`: true} {
		f := checked(t, Options{}, File{dir + "called.yml", []byte(called)}, File{dir + "caller.yml", []byte(caller(environment))})
		if has(f, "workflow/dynamic-environment") != open {
			t.Errorf("called with %s: %+v", environment, f)
		}
	}
	if !has(checked(t, Options{}, File{dir + "called.yml", []byte(called)}), "workflow/dynamic-environment") {
		t.Error("with no caller nothing bounds it")
	}
}

// TestInputsOfTwoEvents: the order of the events says nothing.
func TestInputsOfTwoEvents(t *testing.T) {
	byHand := "  workflow_dispatch:\n    inputs: {environment: {type: choice, options: [dev, prod]}}\n"
	byCall := "  workflow_call:\n    inputs: {environment: {type: string, required: true}}\n"
	for name, tt := range map[string]struct {
		files []File
		open  bool
	}{
		"called with a name":   {[]File{caller("push", "    with: {environment: dev}\n")}, false},
		"called with a branch": {[]File{caller("push", "    with: {environment: \"${{ github.ref_name }}\"}\n")}, true},
		"called by others":     {nil, true},
	} {
		for _, on := range []string{byHand + byCall, byCall + byHand} {
			f := checked(t, Options{}, append(tt.files, called("  workflow_call:\n", on, env, chosen, group, byChoice, choice, "echo ${{ inputs.environment }}"))...)
			if has(f, "workflow/dynamic-environment") != tt.open || !has(f, "workflow/template-injection") {
				t.Errorf("%s, on\n%s: %+v", name, on, f)
			}
		}
	}
	if f := checked(t, Options{}, caller("push", "    with: {environment: dev}\n"), called("  workflow_call:\n", "  workflow_dispatch:\n"+byCall, env, chosen, group, byChoice)); !has(f, "workflow/dynamic-environment") {
		t.Errorf("nobody chooses by hand: %+v", f)
	}
	for _, on := range []string{byHand, byHand + "  workflow_call:\n", byHand + strings.Replace(byCall, "string", "boolean", 1)} {
		if f := checked(t, Options{}, called("  workflow_call:\n", on, choice, "echo ${{ inputs.environment }}")); has(f, "workflow/template-injection") {
			t.Errorf("on\n%s: %+v", on, f)
		}
	}
}

// caller is a workflow whose job, which may mint a token, calls called.yml.
func caller(on string, more ...string) File {
	return File{dir + "caller.yml", []byte("on: " + on + "\npermissions: {}\njobs:\n  a:\n    permissions: {id-token: write, contents: read}\n    uses: ./.github/workflows/called.yml\n" + strings.Join(more, ""))}
}

// called is the good workflow for callers, with replacements.
func called(more ...string) File {
	return File{dir + "called.yml", []byte(with(append([]string{"  push:\n    branches: [main]\n", "  workflow_call:\n"}, more...)...))}
}

// TestPullRequestsThatCall follows a pull request to the workflow that it
// deploys by.
func TestPullRequestsThatCall(t *testing.T) {
	asks := called("  workflow_call:\n", "  workflow_call:\n    inputs: {deploy: {type: boolean}}\n", env, env+"    if: inputs.deploy\n")
	by := File{dir + "called.yml", []byte("on: workflow_call\npermissions: {}\njobs:\n  a:\n    permissions: {id-token: write, contents: read}\n    uses: ./.github/workflows/next.yml\n")}
	next := File{dir + "next.yml", called().Data}
	for name, tt := range map[string]struct {
		files []File
		finds bool
	}{
		"it deploys":                       {[]File{caller("pull_request"), called()}, true},
		"by another":                       {[]File{caller("[push, pull_request]"), by, next}, true},
		"in a circle":                      {[]File{caller("pull_request"), {dir + "called.yml", []byte(strings.ReplaceAll(string(by.Data), "next.yml", "called.yml"))}}, false},
		"on a push":                        {[]File{caller("push"), called()}, false},
		"not for pull requests":            {[]File{caller("[push, pull_request]", "    if: github.event_name == 'push'\n"), called()}, false},
		"the called one not for them":      {[]File{caller("[push, pull_request]"), called(env, env+"    if: github.event_name == 'push'\n")}, false},
		"the called one not for their ref": {[]File{caller("[push, pull_request]"), called(env, env+"    if: github.ref == 'refs/heads/main'\n")}, false},
		"it deploys nothing":               {[]File{caller("pull_request"), called(ci, noToken, choice, "true")}, false},
		"told to":                          {[]File{caller("pull_request", "    with: {deploy: true}\n"), asks}, true},
		"told not to":                      {[]File{caller("pull_request", "    with: {deploy: false}\n"), asks}, false},
		"not told to":                      {[]File{caller("pull_request"), asks}, false},
		"told on a push":                   {[]File{caller("[push, pull_request]", "    with: {deploy: \"${{ github.event_name == 'push' }}\"}\n"), asks}, false},
		"told by a label":                  {[]File{caller("pull_request", "    with: {deploy: \"${{ github.event.label.name == 'x' }}\"}\n"), asks}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := checked(t, Options{}, tt.files...)
			if has(f, "workflow/pull-request-deploy") != tt.finds {
				t.Errorf("%+v", f)
			}
			for _, each := range f {
				if each.Rule == "workflow/pull-request-deploy" && each.File != dir+"caller.yml" {
					t.Errorf("it stands in %s", each.File)
				}
			}
		})
	}
}

// TestPermissionsOfCallers: a called workflow that states none has its
// caller's.
func TestPermissionsOfCallers(t *testing.T) {
	silent := []string{"permissions: {}\n", "", ci, ""}
	none := func(more ...string) File { return called(append(silent, more...)...) }
	grants := "    permissions: {id-token: write, contents: read}\n"
	withhold := func(f File, by string) File {
		return File{f.Name, []byte(strings.Replace(string(f.Data), grants, by, 1))}
	}
	by := File{dir + "by.yml", []byte("on: workflow_call\njobs:\n  a:\n    uses: ./.github/workflows/called.yml\n")}
	first := File{dir + "first.yml", []byte(strings.Replace(string(caller("push").Data), "called.yml", "by.yml", 1))}
	cached := "uses: actions/cache@" + sha + "\n        with: {path: x, key: y}\n      - env:"
	for name, tt := range map[string]struct {
		files []File
		want  []string
	}{
		"a token":              {[]File{caller("push"), none()}, nil},
		"a token, not enough":  {[]File{caller("push"), none(env, "", group, "", "env:", cached)}, []string{"workflow/cache-in-deploy", "workflow/no-concurrency", "workflow/no-environment"}},
		"by another":           {[]File{first, by, none()}, nil},
		"no token":             {[]File{withhold(caller("push"), "    permissions: {contents: read}\n"), none()}, []string{"workflow/missing-id-token"}},
		"a token of one":       {[]File{caller("push"), {dir + "b.yml", withhold(caller("push"), "    permissions: {contents: read}\n").Data}, none()}, nil},
		"the caller has none":  {[]File{{dir + "caller.yml", []byte("on: push\njobs:\n  a:\n    uses: ./.github/workflows/called.yml\n")}, none()}, []string{"workflow/missing-id-token", "workflow/no-permissions"}},
		"no caller":            {[]File{none()}, []string{"workflow/missing-id-token", "workflow/no-permissions"}},
		"called by itself":     {[]File{{by.Name, []byte(strings.Replace(string(by.Data), "called.yml", "by.yml", 1))}}, []string{"workflow/no-permissions"}},
		"it starts itself too": {[]File{caller("push"), none("  workflow_call:\n", "  workflow_call:\n  workflow_dispatch:\n")}, []string{"workflow/missing-id-token", "workflow/no-permissions"}},
		"its own":              {[]File{caller("push"), called(ci, noToken)}, []string{"workflow/missing-id-token"}},
		"the right to write": {[]File{withhold(caller("push"), "    permissions: {contents: write}\n"), none(choice, "true", env, env+"    if: contains(github.ref, 'main')\n")},
			[]string{"workflow/unsound-condition"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range checked(t, Options{}, tt.files...) {
				got = append(got, f.Rule)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestQueuesOfCallers: a group of those who call keeps deliveries apart too.
func TestQueuesOfCallers(t *testing.T) {
	by := func(concurrency string, more ...string) File {
		return caller("push", append(more, "    concurrency: "+concurrency+"\n")...)
	}
	named := func(f File, name string) File { return File{dir + name, f.Data} }
	whole := func(f File) File {
		return File{f.Name, []byte(strings.Replace(string(f.Data), "jobs:", "concurrency: {group: deploy-prod}\njobs:", 1))}
	}
	bare := called(group, "")
	input := "  workflow_call:\n    inputs: {environment: {type: string, required: true}, deploy: {type: boolean, default: true}}\n"
	chooses := called("  workflow_call:\n", input, group, "", env, chosen+"    if: inputs.deploy\n")
	next := File{dir + "called.yml", []byte("on: workflow_call\npermissions: {}\njobs:\n  a:\n    permissions: {id-token: write, contents: read}\n    uses: ./.github/workflows/next.yml\n")}
	for name, tt := range map[string]struct {
		files []File
		want  []string
	}{
		"of the job":               {[]File{by("{group: deploy-prod}"), bare}, nil},
		"of its workflow":          {[]File{whole(caller("push")), bare}, nil},
		"of two":                   {[]File{by("{group: deploy-prod}"), named(whole(caller("push")), "b.yml"), bare}, nil},
		"of one of two":            {[]File{by("{group: deploy-prod}"), named(caller("push"), "b.yml"), bare}, []string{"called.yml workflow/no-concurrency"}},
		"of who calls the caller":  {[]File{by("{group: deploy-prod}"), next, named(bare, "next.yml")}, nil},
		"of nobody":                {[]File{bare}, []string{"called.yml workflow/no-concurrency"}},
		"it starts itself too":     {[]File{by("{group: deploy-prod}"), called("  workflow_call:\n", "  workflow_call:\n  workflow_dispatch:\n", group, "")}, []string{"called.yml workflow/no-concurrency"}},
		"cancelled":                {[]File{by("{group: deploy-prod, cancel-in-progress: true}"), bare}, []string{"caller.yml workflow/cancel-in-progress"}},
		"by ref":                   {[]File{by("\"deploy-prod-${{ github.ref }}\""), bare}, []string{"caller.yml workflow/concurrency-by-ref"}},
		"of another environment":   {[]File{by("deploy-dev"), bare}, []string{"caller.yml workflow/concurrency-by-ref"}},
		"of what it hands over":    {[]File{by("deploy-prod", "    with: {environment: prod}\n"), chooses}, nil},
		"of what a matrix hands":   {[]File{by("\"deploy-${{ matrix.e }}\"", "    strategy: {matrix: {e: [dev, prod]}}\n    with: {environment: \"${{ matrix.e }}\"}\n"), chooses}, nil},
		"of something else":        {[]File{by("deploy-dev", "    with: {environment: prod}\n"), chooses}, []string{"caller.yml workflow/concurrency-by-ref"}},
		"of who does not deploy":   {[]File{by("deploy-prod", "    with: {environment: prod}\n"), named(caller("pull_request", "    with: {environment: x, deploy: false}\n    concurrency: {group: \"${{ github.ref }}\", cancel-in-progress: true}\n"), "ci.yml"), chooses}, nil},
		"its own before all those": {[]File{by("{group: \"${{ github.ref }}\"}"), called()}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range checked(t, Options{}, tt.files...) {
				got = append(got, strings.TrimPrefix(f.File, dir)+" "+f.Rule)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProject(t *testing.T) {
	admits := func(name string) func(string, string) bool {
		return func(environment, ref string) bool { return environment == name && ref == "refs/heads/main" }
	}
	project := func() *Project {
		return &Project{Agents: []Agent{{"support", "apps/support"}}, Environments: []Environment{
			{Name: "prod", Branch: "main", Admits: admits("prod")}, {Name: "later", After: "prod", Branch: "main", Admits: admits("later")}, {Name: "gated", After: "prod", Approvals: true}}}
	}
	queued := []string{"cancel-in-progress: false", "cancel-in-progress: false, queue: max"}
	to := func(name string, more ...string) string {
		return with(append([]string{"environment: prod", "environment: " + name, "agentcore-prod", "d-" + name, "ENVIRONMENT: prod", "ENVIRONMENT: " + name}, append(queued, more...)...)...)
	}
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"sound":               {with(queued...), nil},
		"no queue":            {good, []string{"workflow/queue-max"}},
		"unknown environment": {to("prd"), []string{"workflow/unknown-environment"}},
		"one of the choices":  {with(append(queued, push, dispatch, env, chosen, "agentcore-prod", "\"d-${{ inputs.environment }}\"")...), []string{"workflow/unknown-environment"}},
		"nobody approves":     {to("later"), []string{"workflow/missing-approvals"}},
		"somebody does":       {to("gated"), nil},
		"another branch":      {with(append(queued, "[main]", "[release]")...), []string{"workflow/subject-mismatch"}},
		"branches, ours in":   {with(append(queued, "[main]", "[release, 'mai*']")...), nil},
		"tags":                {with(append(queued, "branches: [main]", "tags: ['v*']")...), []string{"workflow/subject-mismatch"}},
		"no environment":      {with(append(queued, env, "", choice, "slipway deploy --env prod")...), []string{"workflow/no-environment", "workflow/subject-mismatch"}},
		"filter without":      {with(append(queued, push, push+"    paths: ['apps/other/**', '"+dir+"w.yml']\n")...), []string{"workflow/path-filters"}},
		"filter with":         {with(append(queued, push, push+"    paths: ['apps/support/**', '"+dir+"w.yml']\n")...), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range checked(t, Options{Project: project()}, File{dir + "w.yml", []byte(tt.text)}) {
				got = append(got, f.Rule)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s\n%s", diff, tt.text)
			}
		})
	}
}

// TestActions judges the steps of a composite action.
func TestActions(t *testing.T) {
	action := func(steps string) File {
		return File{".github/actions/x/action.yml", []byte("name: x\ndescription: y\ninputs: {version: {description: v}}\nruns:\n  using: composite\n  steps:\n" + steps)}
	}
	sound := "    - env: {VERSION: \"${{ inputs.version }}\"}\n      shell: bash\n      run: |\n        curl -fsSLo s.tgz \"https://x/$VERSION\"\n        echo \"$SUM  s.tgz\" | sha256sum -c\n" +
		"    - uses: actions/cache@" + sha + "\n      with: {path: x, key: y}\n"
	if f := checked(t, Options{}, action(sound)); len(f) > 0 {
		t.Errorf("a sound action: %+v", f)
	}
	for rule, steps := range map[string]string{
		"workflow/template-injection": "    - run: curl https://x/${{ inputs.version }}\n      shell: bash\n",
		"workflow/unpinned-action":    "    - uses: a/b@v1\n",
		"workflow/unpinned-tool":      "    - run: curl https://x | sh\n      shell: bash\n",
		"workflow/secrets-dumped":     "    - run: env\n      shell: bash\n",
	} {
		if f := checked(t, Options{}, action(steps)); !has(f, rule) {
			t.Errorf("%s is not found: %+v", rule, f)
		}
	}
}

// TestCircle: workflows that call each other in a circle, which GitHub does not
// run, are judged all the same, and in no more time than others.
func TestCircle(t *testing.T) {
	jobs := func(to string) string {
		var b strings.Builder
		for i := range 60 {
			fmt.Fprintf(&b, "  j%d:\n    uses: ./.github/workflows/%s.yml\n    with: {environment: '${{ inputs.environment }}'}\n", i, to)
		}
		return b.String()
	}
	const called = "on: {workflow_call: {inputs: {environment: {type: string}}}}\njobs:\n"
	deploys := "  d:\n    runs-on: ubuntu-24.04\n    environment: ${{ inputs.environment }}\n    steps: [{run: slipway deploy --env prod}]\n"
	report, err := Check([]File{
		{dir + "a.yml", []byte(called + jobs("b") + deploys)},
		{dir + "b.yml", []byte(called + jobs("a") + deploys)},
		{dir + "pr.yml", []byte("on: pull_request\njobs:\n  pr:\n    permissions: {id-token: write, contents: read}\n" +
			"    uses: ./.github/workflows/a.yml\n    with: {environment: prod}\n")},
	}, Options{})
	if err != nil || !slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Rule == "workflow/pull-request-deploy" }) {
		t.Errorf("%+v, %v", report.Findings, err)
	}
}
