package check

import (
	"slices"
	"strings"
	"testing"
)

// good is a workflow without a fault: the cases below change it.
const good = `name: deploy
on:
  push:
    branches: [main]
permissions: {}
jobs:
  deploy:
    runs-on: ubuntu-24.04
    environment: prod
    concurrency: {group: agentcore-prod, cancel-in-progress: false}
    timeout-minutes: 30
    permissions: {id-token: write, contents: read}
    steps:
      - uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6
        with: {persist-credentials: false}
      - env: {ENVIRONMENT: prod}
        run: slipway deploy --env "$ENVIRONMENT"
`

const (
	sha    = "de0fac2e4500dabe0009e67214ff5f5447ce83dd"
	login  = "aws-actions/configure-aws-credentials@" + sha
	digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// with replaces text of the good workflow, in pairs.
func with(pairs ...string) string {
	text := good
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			panic("no " + pairs[i] + " in the good workflow")
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// run adds a step with a script to the good workflow.
func run(script string, more ...string) string {
	return stepOf("run: |\n"+indented(script, 2), more...)
}

func indented(text string, by int) string {
	pad := strings.Repeat(" ", by)
	return pad + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+pad)
}

// step adds one as YAML. more are replacements.
func stepOf(yaml string, more ...string) string {
	return with(more...) + "      - " + strings.TrimLeft(indented(yaml, 8), " ") + "\n"
}

func uses(action string, inputs ...string) string {
	text := "uses: " + action
	if len(inputs) > 0 {
		text += "\nwith:\n" + indented(strings.Join(inputs, "\n"), 2)
	}
	return stepOf(text)
}

// job adds a job without a token to the good workflow.
func jobOf(yaml string, more ...string) string {
	return with(more...) + "  other:\n" + indented(yaml, 4) + "\n"
}

const (
	ci       = "    permissions: {id-token: write, contents: read}\n"
	noToken  = "    permissions: {contents: read}\n"
	push     = "  push:\n    branches: [main]\n"
	env      = "    environment: prod\n"
	group    = "    concurrency: {group: agentcore-prod, cancel-in-progress: false}\n"
	dispatch = push + "  workflow_dispatch:\n    inputs:\n      environment: {type: choice, options: [dev, prod], default: dev}\n      note: {type: string}\n"
	chosen   = "    environment: ${{ inputs.environment }}\n"
	byChoice = "    concurrency: {group: \"deploy-${{ inputs.environment }}\", cancel-in-progress: false}\n"
	choice   = "slipway deploy --env \"$ENVIRONMENT\""
)

// ruleCase holds a rule to what it finds and what it leaves alone.
type ruleCase struct {
	rule   string
	finds  []string
	leaves []string
}

func ruleCases() []ruleCase {
	return slices.Concat(permissionCases(), textCases(), credentialCases(), gateCases(), brokenCases())
}

func permissionCases() []ruleCase {
	testJob := "runs-on: ubuntu-24.04\npermissions: {contents: read}\nsteps:\n  - run: go test ./..."
	return []ruleCase{
		{"workflow/id-token-for-all-jobs",
			[]string{with("permissions: {}", "permissions: {id-token: write, contents: read}"), with("permissions: {}", "permissions:\n  id-token: write")},
			[]string{with("permissions: {}", "permissions: {contents: read}")}},
		{"workflow/write-all",
			[]string{with("permissions: {}", "permissions: write-all"), with(ci, "    permissions: write-all\n")},
			[]string{with("permissions: {}", "permissions: read-all")}},
		{"workflow/no-permissions",
			[]string{with("permissions: {}\n", "", ci, ""), jobOf("runs-on: ubuntu-24.04\nsteps:\n  - run: true", "permissions: {}\n", "")},
			[]string{with("permissions: {}\n", ""), jobOf(testJob, "permissions: {}\n", "")}},
		{"workflow/missing-id-token",
			[]string{with(ci, noToken), with(ci, ""), stepOf("uses: "+login+"\nwith: {role-to-assume: \"arn:aws:iam::123456789012:role/r\", aws-region: us-east-1}", ci, noToken, choice, "true")},
			[]string{with(ci, noToken, choice, "slipway workflow check"), with(ci, noToken, "ubuntu-24.04", "self-hosted")}},
		{"workflow/missing-contents-read",
			[]string{with(ci, "    permissions: {id-token: write}\n")},
			[]string{with(ci, "    permissions: {id-token: write, contents: write}\n"), with("permissions: {}", "permissions: read-all")}},
		{"workflow/unsafe-trigger",
			[]string{with(push, "  pull_request_target:\n"), with(push, "  workflow_run: {workflows: [ci], types: [completed], branches: [main]}\n"),
				with(push, "  pull_request_target:\n", "permissions: {}", "permissions: {id-token: write}", ci, ""),
				with(push, "  pull_request_target:\n", ci, "    permissions: write-all\n"),
				with("on:\n"+push, "on: [push, pull_request_target]\n")},
			[]string{with(push, "  pull_request_target:\n", ci, noToken, choice, "true"),
				with(push, push+"  pull_request_target:\n", env, env+"    if: github.event_name == 'push'\n")}},
		{"workflow/pull-request-deploy",
			[]string{with(push, push+"  pull_request:\n"), with("on:\n"+push, "on: [push, pull_request]\n"), with(push, push+"  pull_request:\n", env, env+"    if: github.actor != 'x'\n"),
				with(push, "  pull_request:\n    types: [closed]\n")},
			[]string{with(push, push+"  pull_request:\n", env, env+"    if: github.event_name != 'pull_request'\n"),
				with(push, push+"  pull_request:\n", env, env+"    if: ${{ github.ref == 'refs/heads/main' }}\n"),
				with(push, push+"  pull_request:\n", env, env+"    needs: other\n") + "  other:\n    if: github.event_name == 'push'\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo\n",
				with(push, push+"  pull_request:\n", ci, noToken, choice, "true")}},
		{"workflow/secrets-inherit",
			[]string{"on: push\npermissions: {}\njobs:\n  a:\n    uses: o/r/.github/workflows/d.yml@" + sha + "\n    secrets: inherit\n"},
			[]string{"on: push\npermissions: {}\njobs:\n  a:\n    uses: ./.github/workflows/d.yml\n    secrets: inherit\n",
				"on: push\npermissions: {}\njobs:\n  a:\n    uses: o/r/.github/workflows/d.yml@" + sha + "\n    secrets: {A: \"${{ secrets.A }}\"}\n"}},
		{"workflow/self-hosted-runner",
			[]string{with("ubuntu-24.04", "self-hosted"), with("ubuntu-24.04", "[self-hosted, linux]"), with("ubuntu-24.04", "{group: g, labels: [self-hosted]}"),
				with("    runs-on: ubuntu-24.04", "    strategy: {matrix: {on: [self-hosted]}}\n    runs-on: ${{ matrix.on }}")},
			[]string{with("ubuntu-24.04", "ubuntu-24.04-arm"), jobOf("runs-on: self-hosted\nsteps:\n  - run: true")}},
		{"workflow/bot-condition",
			[]string{with(env, env+"    if: github.actor == 'dependabot[bot]'\n"), with(env, env+"    if: ${{ 'renovate[bot]' == github.triggering_actor }}\n"),
				with(env, env+"    if: github['actor'] == 'dependabot[bot]' && github.ref == 'refs/heads/main'\n"),
				with(env, env+"    if: endsWith(github.actor, '[bot]')\n"), with(env, env+"    if: contains(fromJSON('[\"dependabot[bot]\"]'), github.actor)\n"),
				with("      - env:", "      - if: github.actor == 'dependabot[bot]'\n        env:"),
				run(`[ "$GITHUB_ACTOR" = "dependabot[bot]" ] && echo yes`)},
			[]string{with(env, env+"    if: github.actor != 'dependabot[bot]'\n"), with(env, env+"    if: github.event.pull_request.user.login == 'dependabot[bot]'\n"),
				with(env, env+"    if: github.actor == 'octocat'\n")}},
		{"workflow/unsound-condition",
			[]string{with(env, env+"    if: contains('refs/heads/main refs/heads/release', github.ref)\n"), with(env, env+"    if: contains(github.ref, 'main')\n"),
				with(env, env+"    if: endsWith(github.ref, '/main')\n"), with(env, env+"    if: startsWith(github.ref_name, 'main')\n"),
				with(env, env+"    if: \"${{ github.ref == 'refs/heads/main' }} \"\n"), with(env, env+"    if: ${{ github.ref_protected }} == true\n"),
				with(env, env+"    if: |\n      ${{ github.ref == 'refs/heads/main' }}\n"), with(env, env+"    if: github.ref == 'refs/heads/main' || 'refs/heads/release'\n"),
				with(env, env+"    if: contains(github['head_ref'], 'release')\n"), with(env, env+"    if: CONTAINS('alice bob', GITHUB.ACTOR)\n"),
				with(env, env+"    if: contains(github.event.head_commit.message, '[deploy]')\n"), with(env, env+"    if: contains('main', github.ref_name) == true\n"),
				with("      - env:", "      - if: contains(github.ref, 'main')\n        env:"),
				with(env, env+"    if: github.ref == 'refs/heads/main' || startsWith(github.event.head_commit.message, 'release')\n"),
				with(env, env+"    if: github.ref != 'refs/heads/old' && startsWith(github.event.head_commit.message, 'release')\n"),
				with(env, env+"    if: \"!(github.ref == 'refs/heads/main') && startsWith(github.event.head_commit.message, 'release')\"\n"),
				with(env, env+"    if: \"!(github.ref == 'refs/heads/main' && github.sha == 'x' && !startsWith(github.event.head_commit.message, 'release'))\"\n"),
				with(env, env+"    if: github.ref == 'refs/heads/main' && github.sha == 'x' || startsWith(github.event.head_commit.message, 'release')\n"),
				with(env, env+"    if: (github.ref == 'refs/heads/main' || github.sha == 'x') && startsWith(github.event.head_commit.message, 'release')\n"),
				with(env, env+"    if: github.ref == 'refs/heads/main' && contains('alice bob', github.actor)\n"),
				with(env, env+"    if: github.ref == github.head_ref && startsWith(github.event.head_commit.message, 'release')\n"),
				with(push, "  issue_comment:\n", env, env+"    if: github.ref == 'refs/heads/main' && startsWith(github.event.comment.body, '/deploy')\n")},
			[]string{with(env, env+"    if: github.ref == 'refs/heads/main'\n"), with(env, env+"    if: contains(fromJSON('[\"refs/heads/main\"]'), github.ref)\n"),
				with(env, env+"    if: \"!contains(github.event.head_commit.message, 'skip')\"\n"), with(env, env+"    if: ${{ github.ref == 'refs/heads/main' }}\n"),
				with(env, env+"    if: startsWith(github.ref, 'refs/tags/v')\n"), with(env, env+"    if: contains(github.event.pull_request.labels.*.name, 'deploy')\n"),
				with(env, env+"    if: github.ref == 'refs/heads/main' && startsWith(github.event.head_commit.message, 'release')\n"),
				with(env, env+"    if: startsWith(github.event.head_commit.message, 'release') && github.event_name == 'push' && 'main' == github.ref_name\n"),
				with(env, env+"    if: github.ref == 'refs/heads/main' && (startsWith(github.event.head_commit.message, 'a') || contains(github.event.head_commit.message, 'b'))\n"),
				with(push, push+"  issue_comment:\n", env, env+"    if: github.event_name == 'push' && github.ref == 'refs/heads/main' && startsWith(github.event.head_commit.message, 'a')\n"),
				with(env, env+"    if: always() && github.ref == 'refs/heads/main'\n"), with(env, env+"    if: |\n      github.ref == 'refs/heads/main'\n"),
				jobOf("runs-on: ubuntu-24.04\npermissions: {contents: read}\nif: contains(github.ref, 'docs')\nsteps:\n  - run: true")}},
	}
}

func textCases() []ruleCase {
	return []ruleCase{
		{"workflow/template-injection",
			[]string{run("echo ${{ github.head_ref }}"), run("echo ${{ GitHub.Event.Issue.Title }}"), run("echo ${{ github['head_ref'] }}"), run("echo ${{ github.event['pull_request']['title'] }}"),
				run("echo '${{ toJSON(github.event) }}'"), run("echo ${{ toJSON(github) }}"), run("echo ${{ format('x-{0}', github.ref_name) }}"), run("# ${{ github.event.comment.body }}\ntrue"),
				run("echo ${{ github.event.commits.*.message }}"), run("echo ${{ github.event.commits[0].message }}"), run("echo ${{ join(github.event.commits.*.author.name, ' ') }}"),
				run("echo ${{ inputs.note }}", push, dispatch), run("echo ${{ github.event.inputs.note }}", push, dispatch), run("echo ${{ inputs.unknown }}", push, dispatch),
				run("echo ${{ github.head_ref || github.ref_name }}"), run("echo ${{ github.event_name == 'push' && github.ref || 'x' }}"),
				stepOf("env: {TITLE: \"${{ github.event.pull_request.title }}\"}\nrun: echo ${{ env.TITLE }}"),
				with("permissions: {}", "env: {BRANCH: \"${{ github.head_ref }}\"}\npermissions: {}", choice, "echo ${{ env.branch }}"),
				with("permissions: {}", "env: {A: \"${{ github.head_ref }}\"}\npermissions: {}", env, env+"    env: {B: \"x${{ env.A }}\"}\n", choice, "echo ${{ env.B }}"),
				uses("actions/github-script@"+sha, "script: console.log('${{ github.event.issue.title }}')"), uses("azure/cli@"+sha, "inlineScript: echo ${{ github.ref_name }}"),
				stepOf("id: a\nenv: {T: \"${{ github.head_ref }}\"}\nrun: echo \"t=$T\" >> \"$GITHUB_OUTPUT\"") + "      - run: echo ${{ steps.a.outputs.t }}\n",
				stepOf("id: a\nrun: |\n  t=$(git log -1 --format=%s)\n  echo \"t=$t\" >> $GITHUB_OUTPUT") + "      - run: echo ${{ steps.a.outputs.t }}\n",
				with("jobs:", "jobs:\n  first:\n    runs-on: ubuntu-24.04\n    outputs: {b: \"${{ github.head_ref }}\"}\n    steps:\n      - run: true", env, env+"    needs: first\n", choice, "echo ${{ needs.first.outputs.b }}"),
				with(env, env+"    strategy: {matrix: {name: \"${{ fromJSON(github.event.client_payload.names) }}\"}}\n", choice, "echo ${{ matrix.name }}"),
				"name: a\ndescription: b\ninputs: {version: {description: v}}\nruns:\n  using: composite\n  steps:\n    - run: echo ${{ inputs.version }}\n      shell: bash\n"},
			[]string{run("echo ${{ github.sha }}"), run("echo ${{ github.actor }}"), run("echo ${{ inputs.environment }}", push, dispatch), run("echo ${{ contains(github.ref, 'x') }}"),
				run("echo ${{ github.event_name == 'push' && 'a' || 'b' }}"), stepOf("env: {REF: \"${{ github.head_ref }}\"}\nrun: echo \"$REF\""), run("echo ${{ hashFiles('**/go.sum') }}"),
				uses("actions/github-script@"+sha, "script: console.log(process.env.TITLE)"), uses("a/b@"+sha, "title: \"${{ github.event.issue.title }}\"")}},
		{"workflow/expression-in-run",
			[]string{run("echo ${{ env.X }}"), run("echo ${{ secrets.X }}"), run("echo ${{ github.sha }}"), run("echo \\\n  ${{ matrix.os }}")},
			[]string{stepOf("name: ${{ github.sha }}\nenv: {SHA: \"${{ github.sha }}\"}\nrun: echo \"$SHA\"")}},
		{"workflow/github-env",
			[]string{run(`echo "BRANCH=$GITHUB_HEAD_REF" >> "$GITHUB_ENV"`), run(`echo "T=${{ github.event.issue.title }}" >> $GITHUB_ENV`),
				stepOf("env: {T: \"${{ github.event.issue.title }}\"}\nrun: echo \"T=${T}\" >> ${GITHUB_ENV}"), run(`echo "T=$(gh pr view --json title -q .title)" >> "$GITHUB_ENV"`),
				run("T=$(jq -r .pull_request.title \"$GITHUB_EVENT_PATH\")\necho \"T=$T\" >> \"$GITHUB_ENV\""), run(`echo "$GITHUB_REF_NAME/bin" >> "$GITHUB_PATH"`),
				run("{\n  echo 'T<<EOF'\n  git log -1 --format=%s\n  echo EOF\n} >> \"$GITHUB_ENV\""), run("cat <<EOF >> $GITHUB_ENV\nT=$GITHUB_HEAD_REF\nEOF"), run(`echo "T=$GITHUB_HEAD_REF" | tee -a "$GITHUB_ENV"`),
				run("cat vars.txt >> $GITHUB_ENV", push, "  pull_request_target:\n"), run(`"T=$env:GITHUB_HEAD_REF" >> $env:GITHUB_ENV`),
				uses("actions/github-script@"+sha, "script: core.exportVariable('T', context.payload.issue.title)")},
			[]string{run(`echo "X=1" >> "$GITHUB_ENV"`), run(`echo "$HOME/bin" >> "$GITHUB_PATH"`), run(`echo "SHA=$GITHUB_SHA" >> "$GITHUB_ENV"`), run(`echo "T=$GITHUB_HEAD_REF" >> "$GITHUB_STEP_SUMMARY"`),
				run(`echo "X=1" >> "$GITHUB_ENV"`, push, "  pull_request_target:\n")}},
		{"workflow/unpinned-action",
			[]string{uses("a/b@v1"), uses("a/b@main"), uses("a/b@de0fac2"), uses("a/b/c@v1.2.3"), uses("a/b@" + sha[:39]), uses("actions/setup-node@v4"),
				"on: push\npermissions: {}\njobs:\n  a:\n    uses: o/r/.github/workflows/d.yml@v1\n"},
			[]string{uses("a/b@" + sha), uses("./.github/actions/x"), uses("docker://alpine@" + digest), "on: push\npermissions: {}\njobs:\n  a:\n    uses: ./.github/workflows/d.yml\n"}},
		{"workflow/unpinned-image",
			[]string{uses("docker://alpine:3.20"), with(env, env+"    container: node:22\n"), with(env, env+"    container: {image: \"node:22\"}\n"), with(env, env+"    services: {db: {image: postgres}}\n"),
				with(env, env+"    strategy: {matrix: {image: [\"node:22\", \"node@"+digest+"\"]}}\n    container: ${{ matrix.image }}\n"), with(env, env+"    container: ${{ vars.IMAGE }}\n"),
				"name: a\ndescription: b\nruns: {using: docker, image: \"docker://alpine:3\"}\n"},
			[]string{uses("docker://alpine@" + digest), with(env, env+"    container: node:22@"+digest+"\n"), with(env, env+"    services: {db: {image: \"postgres@"+digest+"\"}}\n"),
				with(env, env+"    strategy: {matrix: {image: [\"node@"+digest+"\"]}}\n    container: ${{ matrix.image }}\n")}},
		{"workflow/pin-comment",
			[]string{with("# v6", "# v5"), with("# v6", "# v6.0.3"), with("# v6", "# v6.1"), with("# v6", "# tag=v4.2.2"), uses("a/b@" + strings.Repeat("0", 40) + " # v1"), uses("a/b@4b825dc642cb6eb9a060e54bf8d69288fbee4904 # v2.0.0"), uses("a/b@" + strings.Repeat("deadbeef", 5) + " # v2")},
			[]string{with("# v6", "# v6.0"), with("# v6", "# v6.0.2"), with("# v6", "# 6.0.2"), with("# v6", "# main"), with(" # v6", ""), uses("a/b@" + sha + " # v1")}},
		{"workflow/unpinned-tool",
			[]string{run("curl -sSL https://x/i.sh | sh"), run("curl https://x/i.sh | sudo -E bash -"), run("bash <(curl -s https://x)"), run("wget -qO- https://x | bash -s -- -y"), run(`sh -c "$(curl -fsSL https://x)"`),
				run("source <(curl -s https://x)"), run(`eval "$(curl -s https://x)"`), run("curl https://x \\\n  | tee i.sh \\\n  | bash"), run("curl -o i.sh https://x\nbash i.sh"), run("wget https://x/install.sh\nchmod +x install.sh\n./install.sh"),
				run("curl https://x > /tmp/i.sh && sh /tmp/i.sh"), run("curl -sSL https://install.python-poetry.org | python3 -"), run("irm https://x | iex"), run("bash -c 'curl https://x | sh'"), run("bash -euo pipefail -c \"true; curl https://x | bash\"")},
			[]string{run("curl -sSL https://x | jq ."), run("curl -o t.tgz https://x\necho \"$SUM t.tgz\" | sha256sum -c\nsh t.tgz", choice, "true", "ENVIRONMENT: prod", "SUM: x"), run("curl https://x | bash -c 'cat > out'"), run("# curl https://x | sh"),
				run("echo 'curl https://x | sh'"), run("bash scripts/build.sh")}},
		{"workflow/cache-in-deploy",
			[]string{uses("actions/cache@"+sha, "path: x", "key: y"), uses("actions/cache/restore@"+sha, "path: x", "key: y"), uses("actions/setup-node@"+sha, "cache: npm"), uses("actions/setup-go@" + sha),
				uses("actions/setup-python@"+sha, "cache: pip"), uses("docker/build-push-action@"+sha, "cache-from: type=gha"), run("docker buildx build --cache-from type=gha ."), uses("ruby/setup-ruby@"+sha, "bundler-cache: true"),
				uses("Swatinem/rust-cache@" + sha), uses("astral-sh/setup-uv@" + sha)},
			[]string{uses("actions/cache/save@"+sha, "path: x", "key: y"), uses("actions/setup-node@"+sha, "node-version: 22"), uses("actions/setup-go@"+sha, "cache: false"), uses("actions/cache@"+sha, "path: x", "key: y", "lookup-only: true"),
				uses("astral-sh/setup-uv@"+sha, "enable-cache: false"), jobOf("runs-on: ubuntu-24.04\nsteps:\n  - uses: actions/cache@" + sha + "\n    with: {path: x, key: y}")}},
		{"workflow/mixed-job",
			[]string{run("npm ci"), run("pip install -r requirements.txt"), run("go test ./... && slipway deploy --env prod"), run("uv run pytest\npytest"), run("make test"), run("npx jest"), run("python -m pytest")},
			[]string{run("npm run synth"), run("go build ./..."), run("docker build ."), jobOf("runs-on: ubuntu-24.04\nsteps:\n  - run: npm ci && npm test")}},
	}
}

func credentialCases() []ruleCase {
	secretEnv := "env: {KEY: \"${{ secrets.API_TOKEN }}\"}\n"
	return []ruleCase{
		{"workflow/long-lived-keys",
			[]string{stepOf("env: {AWS_ACCESS_KEY_ID: \"${{ secrets.KEY }}\"}\nrun: true"), with("permissions: {}", "env: {AWS_SECRET_ACCESS_KEY: \"${{ vars.KEY }}\"}\npermissions: {}"),
				uses(login, "aws-access-key-id: ${{ secrets.PROD_KEY }}", "aws-region: us-east-1"), uses(login, "AWS-Access-Key-ID: ${{ inputs.key }}", "aws-region: us-east-1"),
				run("export AWS_SECRET_ACCESS_KEY=${{ secrets.AWS_SECRET_ACCESS_KEY }}"), run("aws configure set aws_access_key_id \"$K\""), stepOf("env: {K: AKIAIOSFODNN7EXAMPLE}\nrun: true"),
				"on: push\npermissions: {}\njobs:\n  a:\n    uses: ./.github/workflows/d.yml\n    secrets: {KEY: \"${{ secrets.PRD_AWS_SECRET_KEY }}\"}\n", run("echo ${{ secrets['AWS_ACCESS_KEY_ID'] }}")},
			[]string{uses(login, "role-to-assume: arn:aws:iam::123456789012:role/r", "aws-region: us-east-1"), stepOf("env: {AWS_ACCESS_KEY_ID: \"${{ steps.c.outputs.aws-access-key-id }}\"}\nrun: true"),
				stepOf("env: {AWS_ROLE_ARN: \"${{ secrets.AWS_DEPLOY_ROLE_ARN }}\"}\nrun: true")}},
		{"workflow/credentials-in-outputs",
			[]string{uses(login, "role-to-assume: arn:aws:iam::123456789012:role/r", "aws-region: us-east-1", "output-credentials: true"), run(`echo "s=$AWS_SECRET_ACCESS_KEY" >> "$GITHUB_OUTPUT"`), run(`echo "::set-output name=s::$AWS_SECRET_ACCESS_KEY"`), run(`MSG="::set-output name=s::$AWS_SECRET_ACCESS_KEY"`), run(`echo "AWS_SESSION_TOKEN=$AWS_SESSION_TOKEN" >> $GITHUB_ENV`),
				stepOf(secretEnv + "run: echo \"$KEY\" > .npmrc"), run("aws sts assume-role --role-arn x > creds.json"), run("aws configure export-credentials --format env >> $GITHUB_ENV"), run("slipway credentials env >> \"$GITHUB_ENV\""),
				run("cat > ~/.aws/credentials <<EOF\naws_secret_access_key=$AWS_SECRET_ACCESS_KEY\nEOF"), run("aws ecr get-login-password > pw"), run("echo \"::set-output name=k::$AWS_SECRET_ACCESS_KEY\""), uses("actions/upload-artifact@"+sha, "name: x", "path: |", "  dist", "  ~/.aws/credentials"), run("x=$(aws sts assume-role --role-arn x)\necho \"c=$x\" >> $GITHUB_OUTPUT"),
				stepOf("id: c\nuses: "+login+"\nwith: {aws-region: us-east-1}", env, env+"    outputs: {k: \"${{ steps.c.outputs.aws-secret-access-key }}\"}\n"), with(env, env+"    outputs: {k: \"${{ secrets.API_TOKEN }}\"}\n")},
			[]string{uses(login, "role-to-assume: arn:aws:iam::123456789012:role/r", "aws-region: us-east-1", "output-credentials: false"), run("aws ecr get-login-password | docker login --username AWS --password-stdin x"), run(`echo "digest=$DIGEST" >> "$GITHUB_OUTPUT"`),
				stepOf(secretEnv + "run: curl -sf -H @- https://x >/dev/null"), stepOf("env: {ROLE: \"${{ secrets.AWS_DEPLOY_ROLE_ARN }}\"}\nrun: echo \"role=$ROLE\" >> \"$GITHUB_OUTPUT\"")}},
		{"workflow/token-printed",
			[]string{run(`echo "$ACTIONS_ID_TOKEN_REQUEST_TOKEN"`), run(`curl -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL"`), run(`curl -s -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL" | jq -r .value`),
				run("T=$(curl -s -H \"Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN\" \"$ACTIONS_ID_TOKEN_REQUEST_URL\" | jq -r .value)\necho \"$T\""), run(`curl -o token.json -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL"`),
				run(`curl -s "$ACTIONS_ID_TOKEN_REQUEST_URL" > token.json`), uses("actions/github-script@"+sha, "script: console.log(await core.getIDToken())"), run("echo $ACTIONS_ID_TOKEN_REQUEST_TOKEN | base64")},
			[]string{run("T=$(curl -s \"$ACTIONS_ID_TOKEN_REQUEST_URL\" | jq -r .value)\necho \"::add-mask::$T\""), run(`test -n "$ACTIONS_ID_TOKEN_REQUEST_TOKEN"`), run(`curl -s "$ACTIONS_ID_TOKEN_REQUEST_URL" > /dev/null`)}},
		{"workflow/secrets-dumped",
			[]string{run("env | sort"), run("env"), run("printenv"), run("sh -c env"), run("env|sort"), run("export -p"), run("set"), run("declare -x"), run("cat /proc/self/environ"), run("env > env.txt"), run("echo '${{ toJSON(secrets) }}'"), run("echo ${{ toJson( Secrets ) }}"), stepOf("env: {ALL: \"${{ toJSON(secrets) }}\"}\nrun: true"),
				run("python3 -c 'import os; print(os.environ)'"), run("jq -n env"), run("Get-ChildItem env:"), run("if true; then env; fi"), uses("actions/github-script@"+sha, "script: console.log(process.env)"), run("echo \"$(env)\"")},
			[]string{run("env A=b slipway status --env prod"), run("printenv PATH"), run("set -euo pipefail"), run("export A=b"), run("echo env"), stepOf("shell: python\nrun: set()"), jobOf("runs-on: ubuntu-24.04\nsteps:\n  - run: env | sort"), run("ls")}},
		{"workflow/shell-trace",
			[]string{run("set -x\nslipway deploy --env prod"), run("set -euxo pipefail"), run("set -o xtrace"), run("bash -x deploy.sh"), stepOf("shell: bash -x {0}\nrun: true"), stepOf("shell: bash -exo pipefail {0}\nrun: true"), with(env, env+"    defaults: {run: {shell: \"bash -x {0}\"}}\n"), run("#!/bin/bash -x\ntrue"), run("set -e -x"), run("Set-PSDebug -Trace 1"), stepOf("env: {SHELLOPTS: xtrace}\nrun: true")},
			[]string{run("set -euo pipefail"), run("set +x"), run("bash deploy.sh -x"), jobOf("runs-on: ubuntu-24.04\nsteps:\n  - run: set -x"), run("docker run -x y")}},
		{"workflow/credentials-in-build-args",
			[]string{run(`docker build --build-arg AWS_SECRET_ACCESS_KEY="$AWS_SECRET_ACCESS_KEY" .`), run("docker build --build-arg=NPM_TOKEN=x ."), run("docker build --build-arg AWS_SESSION_TOKEN ."), stepOf(secretEnv + "run: docker buildx build --build-arg K=$KEY ."), run("docker build --build-arg K=${{ secrets.API_TOKEN }} ."),
				uses("docker/build-push-action@"+sha, "build-args: |", "  A=b", "  K=${{ secrets.API_TOKEN }}"), run("buildctl build --opt build-arg:GITHUB_TOKEN=$GITHUB_TOKEN")},
			[]string{run("docker build --build-arg VERSION=1 ."), run("docker build --secret id=npm,env=NPM_TOKEN ."), uses("docker/build-push-action@"+sha, "build-args: VERSION=1", "secrets: npm=${{ secrets.NPM_TOKEN }}")}},
		{"workflow/password-argument",
			[]string{run("docker login -u AWS -p $(aws ecr get-login-password) x"), run("docker login --password=\"$P\" x"), run("helm registry login x -u a -p $P"), stepOf(secretEnv + "run: curl -u \"me:$KEY\" https://x"), run("x --token ${{ secrets.API_TOKEN }}"), run("$(aws ecr get-login --no-include-email)"), stepOf(secretEnv + "run: |\n  deploy \\\n    --api-key=$KEY")},
			[]string{run("aws ecr get-login-password | docker login -u AWS --password-stdin x"), run("mkdir -p x"), stepOf(secretEnv + "run: deploy"), run("docker run -p 80:80 x")}},
		{"workflow/persisted-credentials",
			[]string{with("        with: {persist-credentials: false}\n", ""), with("persist-credentials: false", "persist-credentials: true"), with("persist-credentials: false", "fetch-depth: 0"),
				with("        with: {persist-credentials: false}\n", "") + "      - uses: actions/upload-artifact@" + sha + "\n        with: {name: x, path: .}\n"},
			[]string{good, with("persist-credentials: false", "persist-credentials: 'false'")}},
		{"workflow/plain-secret",
			[]string{stepOf("env: {R: \"${{ secrets.AWS_DEPLOY_ROLE_ARN }}\"}\nrun: true"), stepOf("env: {S: \"${{ secrets.AGENT_SUBNET_IDS }}\"}\nrun: true")},
			[]string{stepOf("env: {R: \"${{ vars.AWS_DEPLOY_ROLE_ARN }}\"}\nrun: true"), stepOf("env: {R: \"${{ vars.AWS_DEPLOY_ROLE_ARN || secrets.AWS_DEPLOY_ROLE_ARN }}\"}\nrun: true"), stepOf("env: {S: \"${{ secrets.API_TOKEN }}\"}\nrun: true")}},
	}
}

func gateCases() []ruleCase {
	matrix := "    strategy: {matrix: {environment: [dev, stg, prd]}}\n"
	perMatrix := "    environment: ${{ matrix.environment }}\n"
	byMatrix := "    concurrency: {group: \"d-${{ matrix.environment }}\", cancel-in-progress: false}\n"
	byRef := func(group, cancel, guard string) string {
		return with("permissions: {}", "concurrency: {group: \""+group+"\", cancel-in-progress: \"${{ "+cancel+" }}\"}\npermissions: {}", env, env+"    if: "+guard+"\n")
	}
	role := func(arn string, more ...string) string {
		return stepOf("uses: "+login+"\nwith:\n  role-to-assume: "+arn+"\n  aws-region: us-east-1", more...)
	}
	literal := "arn:aws:iam::123456789012:role/deploy"
	called := func(environment string) string {
		return "on:\n  workflow_call:\n    inputs: {environment: {type: string, required: true}}\n" + afterTriggers(with(env, environment, group, byChoice))
	}
	return []ruleCase{
		{"workflow/no-environment",
			[]string{with(env, ""), role(literal, env, "", choice, "true")},
			[]string{with(env, "", ci, noToken, choice, "true"), with(env, "", choice, "make"), with(env, "    environment: {name: prod, url: \"https://x\"}\n")}},
		{"workflow/dynamic-environment",
			[]string{with(env, "    environment: ${{ github.ref_name }}\n"), with(env, "    environment: {name: \"${{ github.head_ref }}\"}\n"), with(push, dispatch, env, "    environment: ${{ inputs.note }}\n"), with(push, dispatch, env, "    environment: ${{ inputs.environment || github.ref_name }}\n"),
				with(env, "    environment: deploy-${{ github.event.label.name }}\n"), with(env, "    strategy: {matrix: {e: \"${{ fromJSON(inputs.note) }}\"}}\n    environment: ${{ matrix.e }}\n"), called(chosen), with(push, dispatch, env, "    environment: ${{ github.event.inputs.note }}\n"),
				with(env, "    environment: ${{ format('{0}', github.ref_name) }}\n")},
			[]string{with(push, dispatch, env, chosen, group, byChoice), with(env, matrix+perMatrix, group, byMatrix), with(push, dispatch, env, "    environment: ${{ inputs.environment || 'dev' }}\n"), with(env, "    environment: ${{ vars.ENVIRONMENT }}\n"),
				with(env, "    environment: ${{ github.ref == 'refs/heads/main' && 'prod' || 'dev' }}\n"), with(env, "    environment: ${{ fromJSON('{\"main\":\"prod\"}')[github.ref_name] }}\n")}},
		{"workflow/environment-mismatch",
			[]string{with("ENVIRONMENT: prod", "ENVIRONMENT: dev"), with(choice, "slipway deploy --env dev"), with(choice, "slipway promote --to=stg")},
			[]string{with(choice, "slipway deploy --env prod"), with(choice, "slipway promote --from dev --to prod"), with(choice, "slipway promote --to stg --prove"), with(choice, "slipway status --env dev")}},
		{"workflow/one-role-for-all",
			[]string{role(literal, push, dispatch, env, chosen, group, byChoice), role(literal, env, matrix+perMatrix, group, byMatrix), role("${{ secrets.AWS_DEPLOY_ROLE_ARN }}", push, dispatch, env, chosen, group, byChoice), with(choice, "slipway deploy --env dev && slipway promote --to prod"),
				stepOf("env: {AWS_DEPLOY_ROLE_ARN: \""+literal+"\"}\nrun: true", push, dispatch, env, chosen, group, byChoice), role("${{ env.ROLE }}", "permissions: {}", "env: {ROLE: \""+literal+"\"}\npermissions: {}", push, dispatch, env, chosen, group, byChoice)},
			[]string{role(literal), role("${{ secrets.AWS_DEPLOY_ROLE_ARN }}"), role("${{ secrets[format('ROLE_{0}', inputs.environment)] }}", push, dispatch, env, chosen, group, byChoice), role("${{ vars.AWS_DEPLOY_ROLE_ARN }}", push, dispatch, env, chosen, group, byChoice), role("arn:aws:iam::123456789012:role/deploy-${{ inputs.environment }}", push, dispatch, env, chosen, group, byChoice)}},
		{"workflow/no-concurrency",
			[]string{with(group, "")},
			[]string{good, with(group, "", "permissions: {}", "concurrency: deploy-prod\npermissions: {}"), with(group, "", ci, noToken, choice, "true")}},
		{"workflow/cancel-in-progress",
			[]string{with("cancel-in-progress: false", "cancel-in-progress: true"), with("cancel-in-progress: false", "cancel-in-progress: \"${{ github.ref != 'refs/heads/main' }}\""), with("permissions: {}", "concurrency: {group: ci-prod, cancel-in-progress: true}\npermissions: {}"),
				byRef("ci-${{ github.ref }}", "github.ref != 'refs/heads/next'", "github.ref == 'refs/heads/main'"), byRef("ci-${{ github.ref }}", "github.ref != 'refs/heads/main'", "github.ref == 'refs/heads/main' || github.actor == 'x'"),
				byRef("ci-${{ github.ref }}", "github.ref != 'refs/heads/main'", "\"!(github.ref == 'refs/heads/main')\""), byRef("ci-${{ github.ref }}", "github.ref != 'refs/heads/main'", "\"${{ github.ref == 'refs/heads/main' }} \""),
				byRef("ci", "github.ref != 'refs/heads/main'", "github.ref == 'refs/heads/main'"), byRef("${{ github.head_ref || github.ref }}", "github.ref != 'refs/heads/main'", "github.ref == 'refs/heads/main'")},
			[]string{with(", cancel-in-progress: false", ""), with("cancel-in-progress: false", "cancel-in-progress: \"${{ github.event_name == 'pull_request' }}\""),
				byRef("ci-${{ github.ref }}", "github.ref != 'refs/heads/main'", "github.ref == 'refs/heads/main'"), byRef("${{ github.workflow }}-${{ github.ref_name }}", "github.ref_name != 'main'", "github.event_name == 'push' && 'main' == github.ref_name")}},
		{"workflow/concurrency-by-ref",
			[]string{with("agentcore-prod", "\"${{ github.ref }}\""), with("agentcore-prod", "\"prod-${{ github.ref_name }}\""), with("agentcore-prod", "\"prod-${{ github.run_id }}\""), with("agentcore-prod", "\"${{ github.workflow }}-${{ github.sha }}\""), with("agentcore-prod", "deploy"), with(group, "    concurrency: ${{ github['ref'] }}\n"),
				with(push, dispatch, env, chosen), with("agentcore-prod", "\"${{ github.workflow }}\"")},
			[]string{good, with(push, dispatch, env, chosen, group, byChoice), with(push, dispatch, env, "    environment: ${{ inputs.environment || 'dev' }}\n", group, "    concurrency: {group: \"d-${{ github.event.inputs.environment || 'dev' }}\"}\n"), with(env, matrix+perMatrix, group, byMatrix)}},
		{"workflow/queue-max",
			[]string{with(env, "    strategy: {matrix: {agent: [a, b, c]}}\n"+env)},
			[]string{good, with(env, "    strategy: {matrix: {agent: [a, b, c]}}\n"+env, "cancel-in-progress: false", "cancel-in-progress: false, queue: max"), with(env, "    strategy: {matrix: {agent: [a, b, c]}}\n"+env, "agentcore-prod", "\"prod-${{ matrix.agent }}\"")}},
		{"workflow/failure-ignored",
			[]string{with(choice, choice+" || true"), with(choice, choice+" || echo failed"), run("slipway rollback --env prod || :"), with("      - env:", "      - continue-on-error: true\n        env:"), with(env, env+"    continue-on-error: true\n"), run("slipway deploy --env prod | tee log"), run("set +e\nslipway deploy --env prod"), run("slipway deploy --env prod ||\n  exit 0"),
				with("      - env:", "      - continue-on-error: ${{ inputs.soft }}\n        env:"), run("docker push x || true"), run("slipway deploy --env prod &")},
			[]string{run("rm x || true"), with(choice, choice+" || exit 1"), with(choice, choice+" || { echo failed; exit 1; }"), stepOf("shell: bash\nrun: slipway deploy --env prod | tee log"), stepOf("continue-on-error: true\nrun: echo"), run("set -o pipefail\nslipway deploy --env prod | tee log"), run("set +e\nslipway deploy --env prod\ncode=$?\nexit $code"),
				with("      - env:", "      - continue-on-error: false\n        env:")}},
		{"workflow/deploy-before-tests",
			[]string{jobOf("runs-on: ubuntu-24.04\nsteps:\n  - run: go test ./...")},
			[]string{with(env, env+"    needs: other\n") + "  other:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: go test ./...\n", jobOf("runs-on: ubuntu-24.04\nneeds: deploy\nsteps:\n  - run: go test ./..."), jobOf("runs-on: ubuntu-24.04\nsteps:\n  - run: echo"),
				with(push, dispatch, env, env+"    if: inputs.environment == 'prod'\n") + "  other:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: go test ./...\n"}},
		{"workflow/rebuild-on-promotion",
			[]string{run("docker build .", push, dispatch, env, chosen, group, byChoice), stepOf("uses: docker/build-push-action@"+sha, push, dispatch, env, chosen, group, byChoice)},
			[]string{run("docker build ."), with(push, dispatch, env, chosen, group, byChoice), run("docker build .", push, push+"  workflow_dispatch:\n")}},
	}
}

func brokenCases() []ruleCase {
	update := "aws bedrock-agentcore-control update-agent-runtime --agent-runtime-id \"$ID\" "
	return []ruleCase{
		{"workflow/missing-checkout",
			[]string{with("      - uses: actions/checkout@"+sha+" # v6\n        with: {persist-credentials: false}\n", ""), with("      - uses: actions/checkout@"+sha+" # v6\n        with: {persist-credentials: false}\n", "", choice, "docker build -t x ."),
				with("      - uses: actions/checkout@"+sha+" # v6\n        with: {persist-credentials: false}\n", "      - uses: ./.github/actions/x\n")},
			[]string{good, with("actions/checkout@"+sha+" # v6\n        with: {persist-credentials: false}", "actions/download-artifact@"+sha), with("      - uses: actions/checkout@"+sha+" # v6\n        with: {persist-credentials: false}\n", "", choice, "echo")}},
		{"workflow/missing-ecr-login",
			[]string{run("docker push 123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1"), run("docker push $ECR_URI:latest")},
			[]string{uses("aws-actions/amazon-ecr-login@"+sha) + "      - run: docker push $ECR_URI:latest\n", run("aws ecr get-login-password | docker login -u AWS --password-stdin x\ndocker push $ECR_URI:1"), run("docker push ghcr.io/a/b")}},
		{"workflow/unset-variable",
			[]string{run("echo ${{ env.ECR_URI }}"), run(`echo "$GIT_SHA"`), run(`aws ssm get-parameter --name "/a/${STAGE}/x"`), stepOf("uses: actions/cache/save@" + sha + "\nwith: {path: x, key: \"${{ env.NOPE }}\"}")},
			[]string{stepOf("env: {GIT_SHA: x}\nrun: echo \"$GIT_SHA\""), run("GIT_SHA=1\necho \"$GIT_SHA\""), run("echo \"GIT_SHA=1\" >> $GITHUB_ENV") + "      - run: echo \"$GIT_SHA\"\n", run(`echo "$GITHUB_SHA $AWS_REGION $HOME"`), run(`echo "${GIT_SHA:-none}"`), run("echo '$GIT_SHA'"), with("permissions: {}", "env: {ecr_uri: x}\npermissions: {}", choice, "echo ${{ env.ECR_URI }}"),
				uses("some/exporter@"+sha) + "      - run: echo \"$EXPORTED\"\n"}},
		{"workflow/role-arn",
			[]string{uses(login, "role-to-assume: arn:aws:iam::<ACCOUNT>:role/r", "aws-region: us-east-1"), uses(login, "role-to-assume: deploy", "aws-region: us-east-1"), uses(login, "role-to-assume: arn:aws:iam::123456789012:user/u", "aws-region: us-east-1")},
			[]string{uses(login, "role-to-assume: arn:aws-cn:iam::123456789012:role/p/r", "aws-region: cn-north-1"), uses(login, "role-to-assume: ${{ vars.ROLE }}", "aws-region: us-east-1")}},
		{"workflow/role-duration",
			[]string{uses(login, "role-to-assume: ${{ vars.ROLE }}", "role-duration-seconds: 60", "aws-region: us-east-1"), uses(login, "role-to-assume: ${{ vars.ROLE }}", "role-duration-seconds: 86400", "aws-region: us-east-1")},
			[]string{uses(login, "role-to-assume: ${{ vars.ROLE }}", "role-duration-seconds: 1800", "aws-region: us-east-1")}},
		{"workflow/comma-subnets",
			[]string{run(`x '{"subnets": ["${{ secrets.AGENT_SUBNET_IDS }}"]}'`), run(`x "{\"subnets\": [\"$AGENT_SUBNET_IDS\"]}"`), run(`x '{"subnets":["subnet-11112222,subnet-33334444"]}'`)},
			[]string{run(`x '{"subnets":["subnet-11112222","subnet-33334444"]}'`), run(`x '{"subnets":["$SUBNET_A"]}'`)}},
		{"workflow/service-prefix",
			[]string{run(`echo '{"Action": "bedrock-agentcore-control:UpdateAgentRuntime"}'`)},
			[]string{run(`echo '{"Action": "bedrock-agentcore:UpdateAgentRuntime"}'`), run("aws bedrock-agentcore-control list-agent-runtimes")}},
		{"workflow/amd64-image",
			[]string{run("docker build --platform linux/amd64 .\n" + update)},
			[]string{run("docker build --platform linux/arm64 .\n" + update), run("docker build --platform linux/amd64 .")}},
		{"workflow/latest-image",
			[]string{run(update + `--agent-runtime-artifact '{"containerConfiguration":{"containerUri":"x:latest"}}'`), run(update + "--agent-runtime-artifact containerConfiguration={containerUri=x:latest}")},
			[]string{run(update + `--agent-runtime-artifact '{"containerConfiguration":{"containerUri":"x@` + digest + `"}}'`), run("docker push x:latest")}},
		{"workflow/hand-update",
			[]string{run(update), run("aws bedrock-agentcore-control \\\n  update-agent-runtime --role-arn x")},
			[]string{run("aws bedrock-agentcore-control update-agent-runtime --cli-input-json file://whole.json"), run("aws bedrock-agentcore-control get-agent-runtime")}},
		{"workflow/regions-differ",
			[]string{uses(login, "role-to-assume: ${{ vars.ROLE }}", "aws-region: us-east-1") + "      - run: aws ecr describe-repositories --region eu-west-1\n", with(env, env+"    env: {AWS_REGION: us-east-1}\n", choice, "aws ssm get-parameters --region=us-west-2")},
			[]string{uses(login, "role-to-assume: ${{ vars.ROLE }}", "aws-region: us-east-1") + "      - run: aws ecr describe-repositories --region us-east-1\n", run("aws x --region \"$AWS_REGION\"")}},
	}
}

// TestRules holds each rule to inputs that it finds and to near misses that it
// leaves alone.
func TestRules(t *testing.T) {
	covered := map[string]bool{
		"workflow/path-filters": true, "workflow/unknown-environment": true, "workflow/missing-approvals": true, "workflow/subject-mismatch": true, // across files: TestAcross
	}
	for _, c := range ruleCases() {
		covered[c.rule] = len(c.finds) > 0 && len(c.leaves) > 0
		for _, text := range c.finds {
			if f := checked(t, Options{Pins: pins}, File{"w.yml", []byte(text)}); !has(f, c.rule) {
				t.Errorf("%s does not find:\n%s\nit has %+v", c.rule, text, f)
			}
		}
		for _, text := range c.leaves {
			for _, f := range checked(t, Options{Pins: pins}, File{"w.yml", []byte(text)}) {
				if f.Rule == c.rule || f.Rule == "actionlint/syntax-check" {
					t.Errorf("%s finds %s (%d:%d %s) in:\n%s", c.rule, f.Rule, f.Line, f.Column, f.Message, text)
				}
			}
		}
	}
	for _, r := range Rules() {
		if !covered[r.ID] {
			t.Errorf("%s has no input that it finds, or no near miss", r.ID)
		}
		if r.Finds == "" || r.Why == "" || r.Fix == "" || r.Severity == "" {
			t.Errorf("%s is told by half", r.ID)
		}
	}
	if f := checked(t, Options{Pins: pins}, File{"w.yml", []byte(good)}); len(f) > 0 {
		t.Errorf("the good workflow has findings: %+v", f)
	}
}
