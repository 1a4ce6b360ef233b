package check

// Severity is how bad a finding is.
type Severity string

// The severities there are.
const (
	SeverityError   Severity = "error"   // nothing may be delivered with it
	SeverityWarning Severity = "warning" // it works and is safe today
)

// Rule is a kind of fault: what it is, why it is one, and how it is mended.
type Rule struct {
	ID       string
	Severity Severity
	Finds    string
	Why      string
	Fix      string
}

// Rules are Slipway's own; actionlint's kinds come besides, as actionlint/….
func Rules() []Rule {
	const e, w = SeverityError, SeverityWarning
	return []Rule{
		// Who may do what.
		{"workflow/id-token-for-all-jobs", e, "`id-token: write` at the top of a workflow",
			"Every job, and every action that it uses, may mint a token for the deploy role.",
			"move id-token: write to the job that deploys, and write permissions: {} at the top"},
		{"workflow/write-all", e, "`permissions: write-all`",
			"Any step may push code, change releases and mint tokens.",
			"write permissions: {} at the top and give each job what it uses"},
		{"workflow/no-permissions", e, "a job for which no `permissions` are stated, by a caller neither",
			"It has the default of the repository's settings, which an administrator may widen at any time.",
			"write permissions: {} at the top and give each job what it uses"},
		{"workflow/missing-id-token", e, "credentials asked for in a job without `id-token: write`",
			"GitHub sets no request variables then, and the login fails.",
			"give the job permissions: {id-token: write, contents: read}"},
		{"workflow/missing-contents-read", w, "a checkout in a job whose permissions leave `contents` out",
			"Naming one permission sets the others to none: a private repository can't be read.",
			"add contents: read beside id-token: write"},
		{"workflow/unsafe-trigger", e, "`pull_request_target` or `workflow_run` with a job that may mint a token",
			"They run on the default branch for code and text of strangers. The event's name is no condition key in AWS, so a trust policy can't tell such a run from a push.",
			"take id-token: write out of this workflow, or the trigger"},
		{"workflow/pull-request-deploy", e, "a deploy job that `pull_request` starts, in a called workflow too",
			"Code that nobody has reviewed runs with the deploy role.",
			"deploy on push alone, and give jobs on pull requests no id-token"},
		{"workflow/secrets-inherit", e, "`secrets: inherit` to another repository's workflow",
			"Whatever that workflow becomes, it is handed every secret.",
			"name the secrets that it needs, or none: a role needs no secret"},
		{"workflow/self-hosted-runner", w, "a deploy job on a runner of one's own",
			"What an earlier job left on the machine runs beside the delivery.",
			"use a GitHub-hosted runner, or one that is made anew for each job"},
		{"workflow/bot-condition", e, "trust in the run's actor being a bot",
			"The actor is whoever started the last run, not whose code runs: a bot can be made to push.",
			"look at github.event.pull_request.user.login, and trust no code by a name"},
		{"workflow/unsound-condition", e, "a guard that a chosen name satisfies, or that is always true",
			"`contains` on a text looks for a part of it, `endsWith` and `startsWith` take longer names, and text around an expression makes the whole a text.",
			"compare the whole: github.ref == 'refs/heads/main', or contains(fromJSON('[…]'), github.ref)"},
		// Whose text runs.
		{"workflow/template-injection", e, "text of others expanded in a script",
			"GitHub pastes it before the shell starts. A branch may be called `$(curl …)`.",
			"hand it over in env: and write \"$NAME\""},
		{"workflow/expression-in-run", w, "any other `${{ }}` in `run`",
			"It is pasted before the shell reads the script; one quote in the value breaks out.",
			"hand it over in env: and write \"$NAME\""},
		{"workflow/github-env", e, "`GITHUB_ENV` or `GITHUB_PATH` written from text of others",
			"A line end in it sets any variable, `LD_PRELOAD` for one, for all later steps.",
			"keep it in the step, or write it to GITHUB_OUTPUT and check it before use"},
		{"workflow/unpinned-action", e, "an action or workflow without a full commit SHA",
			"Tags and branches move (CVE-2025-30066), and short SHAs can be imitated.",
			"pin the 40 hex digits, with the version in a comment behind: @… # v6.0.2"},
		{"workflow/unpinned-image", e, "an image without a digest",
			"A tag names whatever was pushed last.",
			"pin image@sha256:…"},
		{"workflow/pin-comment", w, "a SHA that can't be the version its comment names",
			"Readers and update tools believe the comment.",
			"look the tag up in the action's own repository, and write its commit and its version"},
		{"workflow/unpinned-tool", e, "a script from the network that is run unseen",
			"What runs is what the server answers today.",
			"fetch a version, compare its SHA-256 with one that is written down, then run it"},
		{"workflow/cache-in-deploy", e, "a cache restored in a deploy job",
			"Any job of the default branch may have written it: what it holds runs with the deploy role.",
			"build without a cache in jobs that deploy (cache: false), or build in another job"},
		{"workflow/mixed-job", w, "tests or the installation of dependencies beside a delivery",
			"Every package's install script may mint the job's token.",
			"test in a job without id-token, and let the delivery need it"},
		// Where credentials go.
		{"workflow/long-lived-keys", e, "AWS keys from secrets, inputs or the file itself",
			"They last until somebody rotates them, in every repository that has them.",
			"assume a role with the job's token: permissions: {id-token: write}, and delete the keys"},
		{"workflow/credentials-in-outputs", e, "credentials in outputs or files",
			"Outputs and files outlive the step; artifacts, caches and images carry them on.",
			"let the step that needs credentials ask for them itself"},
		{"workflow/token-printed", e, "the job's token, or what asks for it, in a log or a file",
			"Whoever reads the log within minutes is the job.",
			"let slipway or configure-aws-credentials ask for the token, and print nothing of it"},
		{"workflow/secrets-dumped", e, "`env`, `printenv` and the like beside credentials, and `toJSON(secrets)`",
			"Masks miss what is encoded or cut; toJSON(secrets) hands over secrets the job never needed.",
			"print the variables that are of interest, by name"},
		{"workflow/shell-trace", e, "`set -x` beside credentials",
			"Each command is printed with its values.",
			"take the tracing out; print what is of interest"},
		{"workflow/credentials-in-build-args", e, "credentials as build arguments",
			"The image's history and its provenance keep them.",
			"mount them for the one step: docker build --secret"},
		{"workflow/password-argument", e, "credentials on a command line",
			"Every process of the machine can read it.",
			"hand it over on standard input (--password-stdin) or in a variable"},
		{"workflow/persisted-credentials", e, "a checkout that keeps its token; a warning where the work tree is not uploaded",
			"Later steps and whoever downloads the artifact can use it.",
			"with: {persist-credentials: false}"},
		{"workflow/plain-secret", w, "role ARNs and ids kept as secrets",
			"They name things and open nothing. Masking hides them in every log, and a value of the repository reaches every job.",
			"make it a variable (vars), of the environment"},
		// What a delivery passes.
		{"workflow/no-environment", e, "a deploy job without `environment`",
			"No approval and no branch rule stands before it, and its subject is that of any job of the branch.",
			"name the environment in the job"},
		{"workflow/dynamic-environment", e, "an environment named by text that no list bounds",
			"A branch called prod deploys to prod; a name that is new makes an environment without rules.",
			"write the name, or take an input of type: choice"},
		{"workflow/environment-mismatch", e, "a delivery to another environment than the job names",
			"The token's subject names the job's environment; the other one's role does not admit it.",
			"let the job and the command name the same environment"},
		{"workflow/one-role-for-all", e, "several environments with one role",
			"Who may deploy to dev then may deploy to prd: approvals are beside the way.",
			"give each environment a role of its own, in a variable of the environment"},
		{"workflow/no-concurrency", e, "a deploy job without a concurrency group, its own or of all that call it",
			"Two pushes race, and the older may finish last.",
			"concurrency: {group: deploy-ENVIRONMENT, cancel-in-progress: false, queue: max}"},
		{"workflow/cancel-in-progress", e, "a deploy job that the next one cancels",
			"A delivery that is cut off leaves an unverified version serving.",
			"cancel-in-progress: false"},
		{"workflow/concurrency-by-ref", e, "a group that is not named by the environment",
			"Two branches, or two workflows, deploy to one environment at once.",
			"name the group by the environment: deploy-ENVIRONMENT"},
		{"workflow/queue-max", w, "a group whose waiting runs push each other out",
			"Without queue: max one run waits, and a newer one cancels it.",
			"add queue: max to the group"},
		{"workflow/failure-ignored", e, "a delivery that may fail unheard",
			"The run is green, and nobody looks.",
			"let the job fail; what has to run afterwards says if: always()"},
		{"workflow/deploy-before-tests", w, "tests that start on the same push, which the delivery does not wait for",
			"Red tests stop nothing.",
			"let the deploy job need the tests: needs:, or call the tests' workflow from it"},
		{"workflow/rebuild-on-promotion", w, "a build for each environment that is chosen",
			"The base image and loose dependencies differ from build to build: what was tested is not what ships.",
			"build once and promote the digest: slipway promote"},
		{"workflow/path-filters", w, "path filters that differ, or that leave the workflow itself out",
			"A change deploys in one place and not in the other; a mended workflow does not run.",
			"write one filter, with the workflow's own path in it"},
		// What can't work.
		{"workflow/missing-checkout", e, "a job that works on files nothing has checked out",
			"The work tree is empty.",
			"begin with actions/checkout, with persist-credentials: false"},
		{"workflow/missing-ecr-login", e, "a push to ECR that nothing logs in for",
			"ECR refuses it: no basic auth credentials.",
			"use aws-actions/amazon-ecr-login before, or slipway deploy, which logs in by itself"},
		{"workflow/unset-variable", w, "a variable that is read and set nowhere",
			"It is empty: an image is called :latest, a parameter /agent//runtime-id.",
			"set it in env:, and let the script stop where it is empty: ${NAME:?}"},
		{"workflow/role-arn", e, "`role-to-assume` that is no ARN of a role",
			"AWS refuses it, or a template was left unfilled.",
			"write arn:aws:iam::ACCOUNT:role/NAME, or take it from a variable"},
		{"workflow/role-duration", e, "a session shorter or longer than AWS gives",
			"AWS refuses less than 900 and more than 43200 seconds.",
			"ask for 900 to 3600 seconds"},
		{"workflow/comma-subnets", e, "a list of subnets pasted as one element of JSON",
			"\"subnet-a,subnet-b\" is no subnet; with one subnet nobody notices.",
			"split it: jq -c 'split(\",\")', or let slipway deploy read AGENT_SUBNET_IDS"},
		{"workflow/service-prefix", e, "`bedrock-agentcore-control:` as an action's prefix",
			"That is the endpoint's name; IAM knows bedrock-agentcore.",
			"write bedrock-agentcore:"},
		{"workflow/amd64-image", e, "an image for linux/amd64, for AgentCore",
			"The default compute runs linux/arm64 alone.",
			"build with --platform linux/arm64, best on an ubuntu-24.04-arm runner"},
		{"workflow/latest-image", w, "`:latest` handed to update-agent-runtime",
			"Old versions and pinned endpoints then run whatever the tag names, or never see the new image.",
			"hand over the digest: repository@sha256:…"},
		{"workflow/hand-update", e, "update-agent-runtime with a few settings",
			"The call replaces the whole configuration. What is left out is dropped, the authorizer included.",
			"use slipway deploy, which reads the runtime and changes the image alone"},
		{"workflow/regions-differ", w, "two regions in one job",
			"The image is pushed where the runtime does not look.",
			"write the region once, in env: AWS_REGION"},
		// Against slipway.yaml.
		{"workflow/unknown-environment", e, "a job for an environment that slipway.yaml does not have",
			"The delivery is refused, and GitHub makes an environment without rules meanwhile.",
			"write the name as slipway.yaml has it"},
		{"workflow/missing-approvals", w, "a delivery to a later environment that nobody has to approve",
			"What serves in the environment before it goes on unseen.",
			"name reviewers in slipway.yaml: approvals: {reviewers: […]}, then slipway bootstrap"},
		{"workflow/subject-mismatch", e, "a job whose token the environment's role will never admit",
			"STS answers Not authorized to perform sts:AssumeRoleWithWebIdentity, and says no more.",
			"let the job name the environment and start on its branch, or change slipway.yaml and run slipway bootstrap"},
	}
}

func ruleOf(id string) Rule {
	for _, r := range Rules() {
		if r.ID == id {
			return r
		}
	}
	return Rule{ID: id, Severity: SeverityError} // a test holds that there are none
}
