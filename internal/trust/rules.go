package trust

// Rule is a kind of fault, and how it is told and mended.
type Rule struct {
	ID       string
	Severity Severity
	// Broken says that a policy with this fault would never work: it explains
	// why the intended caller stays out.
	Broken bool
	Finds  string
	Fix    string
}

// TrustRules are the rules for trust policies.
func TrustRules() []Rule {
	const broken = true
	exact := "pin the exact subject with StringEquals: repo:OWNER@ID/REPO@ID:environment:NAME"
	return []Rule{
		{"trust/missing-sub", SeverityError, false, "no condition on the token's sub: whoever the issuer knows gets in", exact},
		{"trust/missing-aud", SeverityError, false, "no condition on the token's aud: a token made for another service gets in",
			`add "aud": "sts.amazonaws.com" under StringEquals`},
		{"trust/wildcard-subject", SeverityError, false, "the subject leaves the repository open", exact},
		{"trust/wildcard-owner", SeverityError, false, "a wildcard in or after the owner: whoever registers such a name gets in", exact},
		{"trust/wildcard-repository", SeverityError, false, "a wildcard for the repository, in its name or after it: other repositories get in", exact},
		{"trust/wildcard-id", SeverityError, false, "a wildcard for an id: who takes over a deleted name gets in",
			"write the ids out: they are what outlives a name"},
		{"trust/wildcard-context", SeverityError, false, "a wildcard after the repository: its branches, tags, pull requests or environments get in",
			"name the environment: …:environment:NAME"},
		{"trust/pull-request-subject", SeverityError, false, "pull requests get in: code that nobody has reviewed",
			"take the pull_request subject out, and deploy from a job that names the environment"},
		{"trust/tag-subject", SeverityError, false, "tags get in: whoever may push one deploys, without review or environment",
			"take the tag out, and deploy from a job that names the environment"},
		{"trust/environment-subject", SeverityError, broken, "the subject of a branch or another environment: a job that names an environment sends that environment's",
			"name the environment of the job: …:environment:NAME"},
		{"trust/subject-format", SeverityError, broken, "names where the repository sends ids, or ids where it sends names",
			"write the subject as GitHub sends it: GET /repos/OWNER/REPO/actions/oidc/customization/sub tells"},
		{"trust/legacy-subject", SeverityWarning, false, "a subject of names alone",
			"let the repository send the immutable subject, and admit both forms meanwhile"},
		{"trust/for-all-values", SeverityWarning, false, "a set operator on a claim that has one value: ForAllValues also holds where the claim is absent",
			"use the plain operator"},
		{"trust/no-effect", SeverityWarning, false, "a condition that tests nothing", "take it out, or test a claim that AWS knows, with a plain operator"},
		{"trust/unsupported-claim", SeverityError, broken, "a key that no request with a token has: the condition never holds",
			"use sub, aud, repository_id, repository, ref, environment, job_workflow_ref, workflow, actor, actor_id or enterprise_id"},
		{"trust/negated-condition", SeverityError, false, "a negated condition is all that narrows: whoever it does not name gets in", "say who gets in, with StringEquals"},
		{"trust/literal-wildcard", SeverityError, broken, "* or ? under an operator that takes them literally",
			"write the value out; StringLike would expand it"},
		{"trust/duplicate-key", SeverityError, false, "a JSON key twice: the last counts, and what the first says is lost", "join both under one key"},
		{"trust/foreign-provider", SeverityError, broken, "the provider of another account: a role can trust its own account's only", "name the provider of this account"},
		{"trust/open-principal", SeverityError, false, "a principal that stands for everyone", "name the provider as {\"Federated\": \"arn:…:oidc-provider/…\"}"},
		{"trust/other-principal", SeverityWarning, false, "the role trusts others besides", "give them a role of their own"},
		{"trust/broad-action", SeverityWarning, false, "more actions than a token needs", "allow sts:AssumeRoleWithWebIdentity alone"},
		{"trust/audience-mismatch", SeverityError, broken, "an audience that Slipway does not ask for", "use sts.amazonaws.com alone"},
		{"trust/actor-pin", SeverityError, broken, "who ran the job stands for which repository: they can be lured into running another", exact},
		{"trust/workflow-pin-alone", SeverityError, false, "the workflow without the repository: anyone may call it", exact},
		{"trust/environment-pin-alone", SeverityError, false, "the environment without the repository: anyone may name one so", exact},
		{"trust/mutable-workflow", SeverityWarning, false, "the workflow at any ref: any branch's copy gets in", "pin the ref: …yml@refs/heads/main"},
		{"trust/template-subject", SeverityError, broken, "a subject that does not begin with one repository: others can choose its beginning",
			"let the subject begin with repo (include_claim_keys), and pin it"},
		{"trust/issuer-mismatch", SeverityError, broken, "condition keys of another issuer than the provider, or a provider of another issuer than the tokens",
			"begin the keys with the provider's URL without https://, path included"},
		{"trust/placeholder", SeverityError, broken, "text of a template left in: someone may own that name", "put the real value in"},
		{"trust/case-mismatch", SeverityError, broken, "differs by case alone: subjects have case", "write it as GitHub does"},
		{"trust/repository-mismatch", SeverityError, broken, "another repository, or another id", "name this repository, with its own ids"},
		{"trust/deny-guard", SeverityError, false, "a Deny is all that narrows: what it forgets gets in", "say in the Allow who gets in, with StringEquals"},
		{"trust/unsafe-trigger-admitted", SeverityError, false, "a workflow that outsiders can start may ask for this role",
			"pin job_workflow_ref, or take id-token: write out of that workflow"},
		{"trust/invalid-element", SeverityError, broken, "what IAM refuses, or nobody can judge: an unknown operator or element, NotPrincipal, a Sid twice",
			"correct it: a statement that holds it is not counted on"},
		{"trust/admits-stranger", SeverityError, false, "a stranger gets in, for no reason above", exact},
		{"trust/never-matches", SeverityError, broken, "the intended caller stays out, for no reason above", "bring the condition to what the token says"},
	}
}

func ruleOf(id string) Rule {
	for _, r := range TrustRules() {
		if r.ID == id {
			return r
		}
	}
	return Rule{ID: id, Severity: SeverityError} // a test holds that there are none
}
