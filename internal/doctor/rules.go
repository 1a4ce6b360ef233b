package doctor

import "slices"

// Rule is a kind of finding.
type Rule struct {
	ID       string
	Severity Severity
	Finds    string
	Fix      string
}

// Rules lists every finding of this package, in the order of the checks that
// make them. The rules of package trust's audits come besides, as warnings.
func Rules() []Rule {
	return slices.Concat(projectRules(), machineRules(), treeRules(), accessRules(), permissionRules(),
		imageRules(), runtimeRules(), executionRules(), hubRules())
}

func projectRules() []Rule {
	return []Rule{
		{"doctor/config", Error, "slipway.yaml has a mistake", "correct the line"},
		{"doctor/approvals-without-endpoint", Warning, "an environment with approvals and without a named endpoint: an image that fails its verify has served for a while", "write endpoint: NAME, or endpoint: DEFAULT to keep it so"},
		{"doctor/moving-image-reference", Warning, "image_reference: latest or tag: a version names what can change under it", "remove image_reference; digest is the default"},
		{"doctor/tool-unpinned", Note, "no tool: generated workflows can't pin the Slipway they install", "write tool: with version and sha256"},
	}
}

func machineRules() []Rule {
	return []Rule{
		{"doctor/long-lived-keys", Warning, "AWS keys that don't expire are in the environment; a job refuses them", "sign in with aws sso login, or let the job assume its role, and deactivate the key"},
		{"doctor/proxy", Note, "a proxy is set: what is not HTTPS passes it in clear", "leave this machine and the endpoints of AWS that need no proxy to NO_PROXY"},
		{"doctor/engine-missing", Error, "the build engine is not on this machine", "install it, or choose another build.engine"},
		{"doctor/clock", Error, "the machine's clock differs from AWS's by more than five minutes: signatures and tokens are refused", "set the clock"},
	}
}

func treeRules() []Rule {
	return []Rule{
		{"doctor/no-commit", Error, "there is no commit to deliver", "commit what shall be delivered"},
		{"doctor/dirty", Note, "the work tree differs from its commit", "commit or stash what has changed"},
		{"doctor/shallow", Note, "the clone is shallow: earlier revisions can't be named by a prefix", "fetch-depth: 0 in actions/checkout"},
		{"doctor/no-context", Error, "the agent's path is not in the repository", "correct path: of the agent"},
		{"doctor/no-dockerfile", Error, "the Dockerfile is not there", "correct build.dockerfile of the agent"},
		{"doctor/dockerfile-platform", Error, "a FROM pins a platform that the runtime doesn't run", "FROM --platform=$TARGETPLATFORM, or no --platform at all"},
		{"doctor/cdk-lock-missing", Warning, "a CDK app of npm without package-lock.json: npm ci refuses it", "run npm install once and commit package-lock.json"},
		{"doctor/cdk-context-missing", Warning, "a CDK app without cdk.context.json: its synth asks AWS, which a job without credentials can't", "run cdk synth once with credentials and commit cdk.context.json"},
		{"doctor/cdk-context-untracked", Warning, "cdk.context.json is not committed", "git add it, and take it out of .gitignore"},
		{"doctor/cdk-context-key", Warning, "cdk.context.json lacks a lookup of the environment's account and region, or one that synth asks for", "look up that key alone, as the hint says, and commit the file"},
		{"doctor/cdk-context-empty", Warning, "a lookup of cdk.context.json has no value", "look up that key alone, as the hint says, and commit the file"},
		{"doctor/cdk-context-broken", Warning, "cdk.context.json is no JSON object", "restore it from git, or run cdk synth anew"},
		{"doctor/cdk-synth", Warning, "a CDK app can't be synthesised without credentials and network, as CI does it", "mend what the message says"},
		{"doctor/cdk-image", Warning, "a CDK app makes the runtime and does not read the image from /<agent>/<environment>/image-uri: a later cdk deploy undoes a delivery", "valueForStringParameter of that parameter as the image's URI"},
		{"doctor/cdk-image-frozen", Warning, "cdk.context.json keeps a value of /<agent>/<environment>/image-uri: a later cdk deploy undoes a delivery", "valueForStringParameter instead of valueFromLookup"},
	}
}

func accessRules() []Rule {
	return []Rule{
		{"doctor/credentials", Error, "AWS takes no credentials of this machine or job", "see the message"},
		{"doctor/account", Error, "the credentials are another account's than slipway.yaml names", "choose the profile or role of the account"},
		{"doctor/token", Error, "the job can't get an OIDC token", "permissions: {id-token: write} in the job"},
		{"doctor/token-claims", Error, "the job's token differs from what slipway.yaml implies", "correct the job's environment, branch or repository, or slipway.yaml"},
		{"doctor/provider-missing", Error, "the account has no OIDC provider for GitHub", "slipway bootstrap, or an administrator creates it"},
		{"doctor/provider-audience", Error, "the OIDC provider does not list the audience", "add sts.amazonaws.com to its client ids"},
		{"doctor/no-deploy-role", Error, "no deploy role is named", "set deploy_role in slipway.yaml, or AWS_DEPLOY_ROLE_ARN"},
		{"doctor/deploy-role-missing", Error, "the deploy role does not exist", "slipway bootstrap, or correct deploy_role"},
		{"doctor/trust-unreadable", Error, "the deploy role's trust policy can't be read as IAM means it", "write the policy anew: slipway bootstrap"},
		{"doctor/trust-denies", Error, "the deploy role does not admit the job that GitHub would start", "correct the condition that the message names: slipway bootstrap"},
		{"doctor/session-too-long", Error, "a session is asked for longer than the deploy role allows", "raise the role's MaxSessionDuration"},
	}
}

func permissionRules() []Rule {
	return []Rule{
		{"doctor/policy-unreadable", Error, "a policy of the role can't be read as IAM means it", "write the policy anew: slipway bootstrap"},
		{"doctor/action-denied", Error, "the deploy role may not make a call that a delivery makes", "slipway bootstrap, or add the statement of the hint"},
		{"doctor/pass-role-denied", Error, "the deploy role may not pass the execution role to AgentCore", "slipway bootstrap, or add the statement of the hint"},
	}
}

func imageRules() []Rule {
	return []Rule{
		{"doctor/repository-missing", Error, "the ECR repository does not exist", "slipway bootstrap, or correct repository:"},
		{"doctor/repository-elsewhere", Error, "the ECR repository is of another account, region or partition than the environment", "correct account: or region:"},
		{"doctor/tags-movable", Warning, "tags of commits can be moved to other images", "IMMUTABLE_WITH_EXCLUSION with the exclusion latest"},
		{"doctor/latest-immutable", Error, "the tag latest can't be moved: the second delivery fails at its end", "exclude latest: IMMUTABLE_WITH_EXCLUSION"},
		{"doctor/no-scan", Warning, "images are not scanned when they are pushed", "turn scan on push on"},
		{"doctor/lifecycle-serving", Error, "the next run of the lifecycle policy, within 24 hours, deletes or archives the image that serves", "let the rule select untagged images alone, or keep more"},
		{"doctor/lifecycle-rollback", Warning, "the next run of the lifecycle policy deletes or archives an image that a rollback may want: one of the 20 that were verified last", "let the rule select untagged images alone, or keep more"},
		{"doctor/lifecycle", Warning, "a lifecycle rule will some day delete or archive the image that serves, or that a rollback may want: it keeps less than 20 images or 180 days", "keep more images, or let the rule select untagged ones alone"},
		{"doctor/lifecycle-unreadable", Warning, "the lifecycle policy can't be read", "write it anew"},
		{"doctor/serving-image-gone", Error, "the image that serves is not in its repository any more, or archived: new sessions can't start, and nothing can go back to it", "deploy; restore what is archived"},
		{"doctor/release-image-gone", Note, "images of verified releases are gone, archived, or about to be: no rollback goes back to them", "a deploy of the revision builds it anew"},
		{"doctor/image-unfit", Error, "the image of HEAD can't run on the runtime's compute", "build it for the platform of the hint"},
	}
}

func runtimeRules() []Rule {
	return []Rule{
		{"doctor/runtime-id-missing", Error, "no runtime is registered for the agent in the environment", "an administrator runs slipway bootstrap --create once"},
		{"doctor/runtime-id-malformed", Error, "the parameter runtime-id holds no runtime id", "write the runtime's id to the parameter"},
		{"doctor/shared-runtime", Error, "two environments have one runtime", "give each environment a runtime of its own: slipway deploy --create"},
		{"doctor/runtime-missing", Error, "the runtime is gone", "delete the parameter and run slipway deploy --create, or write the new id"},
		{"doctor/runtime-busy", Note, "the runtime is being changed; a delivery waits for it", "wait"},
		{"doctor/runtime-deleting", Error, "the runtime is being deleted", "run slipway deploy --create for a new one"},
		{"doctor/runtime-failed", Error, "the last change of the runtime failed", "remove the cause that the message gives, then deploy"},
		{"doctor/compute", Error, "compute: is another than the runtime was created with, which can't be changed", "correct compute:"},
		{"doctor/mmds", Note, "the runtime answers metadata requests of version 1; the next delivery ends that", "none is needed"},
		{"doctor/moving-image-live", Warning, "the runtime names its image by a tag", "deploy: Slipway names it by digest"},
		{"doctor/endpoint-missing", Error, "the named endpoint does not exist", "an administrator runs slipway deploy --create"},
		{"doctor/endpoint-behind", Warning, "the endpoint does not serve the newest version", "slipway status says why; the next deploy moves it"},
		{"doctor/endpoint-failed", Error, "the endpoint's last move failed", "remove the cause that the message gives, then deploy"},
		{"doctor/verify-token-missing", Error, "the runtime has a JWT authorizer and SLIPWAY_VERIFY_TOKEN is not set: a deploy is refused", "put a token of the authorizer's issuer into SLIPWAY_VERIFY_TOKEN"},
		{"doctor/drift", Warning, "what serves differs from what was recorded", "slipway status; the next deploy records anew"},
		{"doctor/locked", Error, "another delivery holds the environment's lock", "wait for it, or slipway unlock NONCE"},
		{"doctor/lock-left", Note, "an earlier delivery was cut short and left its lock", "none is needed: the next delivery takes it over"},
		{"doctor/network-ids", Error, "a subnet or security group is no id", "correct network:"},
		{"doctor/network-egress", Note, "a runtime in a VPC pulls its image through that VPC, which is not looked into", "NAT, or endpoints for ecr.api, ecr.dkr and logs and a gateway for S3, and a security group that lets 443 out to them"},
		{"doctor/network-s3", Note, "the runtime has no path of its own to S3, where ECR keeps layers", "a gateway endpoint for S3 in the subnets' route tables, or NAT"},
	}
}

func executionRules() []Rule {
	return []Rule{
		{"doctor/no-execution-role", Error, "neither slipway.yaml nor the runtime names an execution role", "set execution_role"},
		{"doctor/execution-role-missing", Error, "the execution role does not exist", "slipway bootstrap, or correct execution_role"},
		{"doctor/same-role", Error, "deploy role and execution role are one: the agent's code can deploy", "give the agent a role of its own"},
		{"doctor/execution-trust-denies", Error, "AgentCore can't assume the execution role", "trust bedrock-agentcore.amazonaws.com with aws:SourceAccount and aws:SourceArn"},
		{"doctor/confused-deputy", Warning, "the execution role trusts AgentCore on behalf of any account", "add the conditions aws:SourceAccount and aws:SourceArn"},
		{"doctor/execution-pull-denied", Error, "the execution role can't pull the image", "allow ecr:GetAuthorizationToken on *, ecr:BatchGetImage and ecr:GetDownloadUrlForLayer on the repository"},
		{"doctor/execution-logs-denied", Warning, "the execution role can't write the agent's log", "allow logs:CreateLogGroup, CreateLogStream and PutLogEvents on the runtime's groups"},
	}
}

func hubRules() []Rule {
	return []Rule{
		{"doctor/github-repository-missing", Error, "GitHub has no such repository, or the token does not see it", "correct github: in slipway.yaml"},
		{"doctor/github-renamed", Warning, "the repository is called otherwise now: its tokens name it so", "correct github: and run slipway bootstrap"},
		{"doctor/github-ids", Error, "the repository's ids differ from those in slipway.yaml: it is another repository", "correct github: in slipway.yaml"},
		{"doctor/environment-missing", Error, "GitHub has no such environment: the first job that names it makes it, unprotected", "slipway bootstrap"},
		{"doctor/no-reviewers", Error, "slipway.yaml has approvals, and GitHub asks nobody", "slipway bootstrap; private repositories need GitHub Enterprise for reviewers"},
		{"doctor/reviewers-differ", Warning, "a reviewer of slipway.yaml is not asked", "slipway bootstrap"},
		{"doctor/self-review", Warning, "whoever starts a deployment may approve it", "prevent self-review: slipway bootstrap"},
		{"doctor/admins-bypass", Warning, "administrators may pass the approvals", "turn that off in the environment's settings"},
		{"doctor/branch-policy", Warning, "more branches may deploy than slipway.yaml names", "let that branch alone deploy: slipway bootstrap"},
		{"doctor/branch-refused", Error, "the branch of slipway.yaml may not deploy to the environment", "let that branch deploy: slipway bootstrap"},
		{"doctor/variable-differs", Error, "a variable in GitHub says otherwise than slipway.yaml: the variable wins", "correct the variable or slipway.yaml"},
	}
}

// severityOf is a rule's severity; that of the audits' rules is warning here:
// they are weaknesses, not what makes a delivery fail.
func severityOf(id string) Severity {
	for _, r := range Rules() {
		if r.ID == id {
			return r.Severity
		}
	}
	return Warning
}
