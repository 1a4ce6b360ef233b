package trust

import (
	"slices"
	"strings"
	"testing"
)

// What the table of policies below abbreviates.
const (
	host          = "token.actions.githubusercontent.com"
	github        = `"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/` + host + `"}`
	assume        = `"Action":"sts:AssumeRoleWithWebIdentity"`
	aud           = `"~aud":"sts.amazonaws.com"`
	sub           = `"~sub":"repo:acme@1001/agent@2002:environment:prod"`
	legacy        = `"~sub":"repo:acme/agent:environment:prod"`
	id            = `"~repository_id":"2002"`
	pinnedExactly = `"StringEquals":{` + aud + `,` + sub + `}`
	enforced      = `"StringEquals":{` + aud + `}`
)

// trustOf makes a policy of statements: ~ is the issuer's prefix of keys.
func trustOf(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.ReplaceAll(strings.Join(statements, ","), "~", host+":") + `]}`
}

// when is an Allow for GitHub's tokens under conditions.
func when(conditions ...string) string {
	return `{"Effect":"Allow",` + github + `,` + assume + `,"Condition":{` + strings.Join(conditions, ",") + `}}`
}

func deny(conditions ...string) string {
	return strings.Replace(when(conditions...), "Allow", "Deny", 1)
}

func equals(pairs ...string) string { return `"StringEquals":{` + strings.Join(pairs, ",") + `}` }
func like(pairs ...string) string   { return `"StringLike":{` + strings.Join(pairs, ",") + `}` }

// subLike is the usual loose policy: a fitting audience, and a pattern for sub.
func subLike(values ...string) string {
	return trustOf(when(enforced, like(`"~sub":["`+strings.Join(values, `","`)+`"]`)))
}

func subEquals(values ...string) string {
	return trustOf(when(equals(aud, `"~sub":["`+strings.Join(values, `","`)+`"]`)))
}

// plus is a good policy with more conditions.
func plus(conditions ...string) string {
	return trustOf(when(append([]string{pinnedExactly}, conditions...)...))
}

// with replaces text of a good policy.
func with(old, new string) string { return strings.ReplaceAll(trustOf(when(pinnedExactly)), old, new) }

const byIDs = "acme@1001/agent@2002"

func audited(t *testing.T, doc, repository, environment string, change ...func(*AuditOptions)) Report {
	t.Helper()
	r, err := ParseRepository(repository)
	if err != nil {
		t.Fatal(err)
	}
	o := AuditOptions{Repository: r, Environment: environment, Account: "123456789012"}
	for _, c := range change {
		c(&o)
	}
	report, err := AuditTrust([]byte(doc), o)
	if err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
	return report
}

func issuer(url string) func(*AuditOptions) { return func(o *AuditOptions) { o.Issuer = url } }

// ruleCase is a policy that a rule is about.
type ruleCase struct {
	rule       string
	doc        string
	repository string // byIDs if empty
	change     func(*AuditOptions)
}

func (c ruleCase) audited(t *testing.T) Report {
	t.Helper()
	repository, change := c.repository, c.change
	if repository == "" {
		repository = byIDs
	}
	if change == nil {
		change = func(*AuditOptions) {}
	}
	return audited(t, c.doc, repository, "prod", change)
}

const acmeInc = "https://" + host + "/acme-inc"

func faults() []ruleCase {
	const names = "acme/agent"
	lambda := `{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}`
	enterprise := strings.ReplaceAll(trustOf(when(pinnedExactly)), host, host+"/acme-inc")
	workflows := func(o *AuditOptions) { o.UnsafeWorkflows = []string{"triage.yml"} }
	return []ruleCase{
		{rule: "trust/missing-sub", doc: trustOf(when(enforced))},
		{rule: "trust/missing-sub", doc: trustOf(when())},
		{rule: "trust/missing-sub", doc: trustOf(`{"Effect":"Allow",` + github + `,` + assume + `}`)},
		{rule: "trust/missing-sub", doc: trustOf(when(pinnedExactly), when(enforced))},
		{rule: "trust/missing-sub", doc: trustOf(when(equals(aud, `"~subject":"repo:acme@1001/agent@2002:environment:prod"`)))},
		{rule: "trust/missing-sub", doc: trustOf(when(enforced, `"ForAllValues:StringEquals":{"~subs":"x"}`))},
		{rule: "trust/missing-sub", doc: trustOf(when(enforced, `"Null":{"~sub":"false"}`))},
		{rule: "trust/missing-sub", doc: trustOf(when(enforced, `"StringEqualsIfExists":{"sub":"x"}`))},
		{rule: "trust/missing-sub", doc: trustOf(when(equals(aud, id)))},
		{rule: "trust/missing-aud", doc: trustOf(when(equals(sub)))},
		{rule: "trust/missing-aud", doc: trustOf(when(equals(sub), like(`"~aud":"*"`)))},
		{rule: "trust/missing-aud", doc: trustOf(when(equals(sub), `"StringEqualsIfExists":{"~audience":"sts.amazonaws.com"}`))},
		{rule: "trust/wildcard-subject", doc: subLike("*")},
		{rule: "trust/wildcard-subject", doc: subLike("repo:*")},
		{rule: "trust/wildcard-subject", doc: subLike("r*")},
		{rule: "trust/wildcard-subject", doc: subLike("*:environment:prod")},
		{rule: "trust/wildcard-subject", doc: subLike("repo:*:environment:prod")},
		{rule: "trust/wildcard-subject", doc: subLike("repo:acme@1001/agent@2002:environment:prod", "*")},
		{rule: "trust/wildcard-subject", doc: subEquals("${" + host + ":sub}")},
		{rule: "trust/wildcard-owner", doc: subLike("repo:acme*")},
		{rule: "trust/wildcard-owner", doc: subLike("repo:acme-*/agent:environment:prod")},
		{rule: "trust/wildcard-owner", doc: subLike("repo:*/agent:environment:prod")},
		{rule: "trust/wildcard-owner", doc: subLike("repo:?cme@1001/agent@2002:environment:prod")},
		{rule: "trust/wildcard-repository", doc: subLike("repo:acme/*"), repository: names},
		{rule: "trust/wildcard-repository", doc: subLike("repo:acme/agent*"), repository: names},
		{rule: "trust/wildcard-repository", doc: subLike("repo:acme@1001/*:environment:prod")},
		{rule: "trust/wildcard-repository", doc: subLike("repo:acme@1001/agent*:environment:prod")},
		{rule: "trust/wildcard-repository", doc: subLike("repo:acme/agent?:environment:prod"), repository: names},
		{rule: "trust/wildcard-id", doc: subLike("repo:acme@1001/agent@*:environment:prod")},
		{rule: "trust/wildcard-id", doc: subLike("repo:acme@*/agent@2002:environment:prod")},
		{rule: "trust/wildcard-id", doc: subLike("repo:acme@1001/agent@*")},
		{rule: "trust/wildcard-id", doc: subLike("repo:acme@1001/agent@2???:environment:prod")},
		{rule: "trust/wildcard-id", doc: trustOf(when(equals(aud, legacy), like(`"~repository_id":"*"`))), repository: names},
		{rule: "trust/wildcard-context", doc: subLike("repo:acme@1001/agent@2002:*")},
		{rule: "trust/wildcard-context", doc: subLike("repo:acme@1001/agent@2002:environment:*")},
		{rule: "trust/wildcard-context", doc: subLike("repo:acme@1001/agent@2002:environment:prod*")},
		{rule: "trust/wildcard-context", doc: subLike("repo:acme@1001/agent@2002:ref:refs/heads/*")},
		{rule: "trust/wildcard-context", doc: subLike("repo:acme/agent:ref:refs/heads/release-*"), repository: names},
		{rule: "trust/wildcard-context", doc: trustOf(when(equals(aud, id), like(`"~sub":"repo:*"`)))},
		{rule: "trust/pull-request-subject", doc: subEquals("repo:acme@1001/agent@2002:pull_request")},
		{rule: "trust/pull-request-subject", doc: subLike("repo:acme@1001/agent@2002:pull*")},
		{rule: "trust/tag-subject", doc: subEquals("repo:acme@1001/agent@2002:ref:refs/tags/v9")},
		{rule: "trust/tag-subject", doc: subLike("repo:acme@1001/agent@2002:ref:refs/tags/*")},
		{rule: "trust/tag-subject", doc: subLike("repo:acme@1001/agent@2002:ref:*")},
		{rule: "trust/environment-subject", doc: subEquals("repo:acme@1001/agent@2002:environment:dev")},
		{rule: "trust/environment-subject", doc: subEquals("repo:acme@1001/agent@2002:environment:prod", "repo:acme@1001/agent@2002:environment:dev")},
		{rule: "trust/environment-subject", doc: subEquals("repo:acme/agent:ref:refs/heads/main"), repository: names},
		{rule: "trust/environment-subject", doc: plus(`"StringEqualsIgnoreCase":{"~environment":"dev"}`)},
		{rule: "trust/subject-format", doc: trustOf(when(equals(aud, legacy)))},
		{rule: "trust/subject-format", doc: trustOf(when(equals(aud, legacy, id)))},
		{rule: "trust/subject-format", doc: subEquals("repo:acme@1001/agent:environment:prod")},
		{rule: "trust/subject-format", doc: strings.ReplaceAll(trustOf(when(pinnedExactly)), host, "git.acme.example/_services/token"), change: issuer("https://git.acme.example/_services/token")},
		{rule: "trust/legacy-subject", doc: trustOf(when(equals(aud, legacy, id))), repository: names},
		{rule: "trust/for-all-values", doc: trustOf(when(enforced, `"ForAnyValue:StringLike":{`+sub+`}`))},
		{rule: "trust/for-all-values", doc: trustOf(when(equals(sub), `"ForAllValues:StringEquals":{`+aud+`}`))},
		{rule: "trust/no-effect", doc: plus(`"StringEqualsIfExists":{"~repository_owner_id":"1001"}`)},
		{rule: "trust/no-effect", doc: plus(`"StringNotEquals":{"~event_name":"pull_request"}`)},
		{rule: "trust/no-effect", doc: plus(`"ForAllValues:StringEquals":{"~runner_environment":"github-hosted"}`)},
		{rule: "trust/no-effect", doc: plus(`"Null":{"~repository_owner":"true"}`)},
		{rule: "trust/no-effect", doc: plus(like(`"~ref":"*"`))},
		{rule: "trust/no-effect", doc: trustOf(when(enforced, `"StringEqualsIfExists":{`+sub+`}`))},
		{rule: "trust/unsupported-claim", doc: plus(like(`"~event_name":"push"`))},
		{rule: "trust/unsupported-claim", doc: plus(like(`"~runner_environment":"github-hosted"`))},
		{rule: "trust/unsupported-claim", doc: plus(`"Null":{"~repository_owner":"false"}`)},
		{rule: "trust/unsupported-claim", doc: plus(`"ForAnyValue:StringEquals":{"~sha":"x"}`)},
		{rule: "trust/unsupported-claim", doc: plus(like(`"aws:PrincipalOrgID":"o-1"`))},
		{rule: "trust/negated-condition", doc: trustOf(when(enforced, `"StringNotEquals":{"~sub":"repo:evil/x:environment:prod"}`))},
		{rule: "trust/negated-condition", doc: trustOf(when(enforced, `"StringNotLike":{"~sub":["repo:evil/*","*:pull_request"]}`))},
		{rule: "trust/negated-condition", doc: trustOf(when(enforced, `"StringNotEquals":{"~repository":"evil/x"}`))},
		{rule: "trust/negated-condition", doc: trustOf(when(enforced, like(`"~sub":"repo:*"`), `"StringNotLike":{"~sub":"repo:evil/*"}`))},
		{rule: "trust/literal-wildcard", doc: subEquals("repo:acme@1001/agent@2002:environment:prod", "repo:acme@1001/agent@2002:environment:pro?")},
		{rule: "trust/literal-wildcard", doc: plus(`"StringEqualsIgnoreCase":{"~ref":"refs/heads/*"}`)},
		{rule: "trust/duplicate-key", doc: with(`"Effect":"Allow"`, `"Effect":"Deny","Effect":"Allow"`)},
		{rule: "trust/duplicate-key", doc: trustOf(when(equals(aud, sub, `"~sub":"repo:*"`)))},
		{rule: "trust/duplicate-key", doc: trustOf(when(equals(aud, sub, `"~SUB":"repo:*"`)))},
		{rule: "trust/foreign-provider", doc: with("123456789012", "210987654321")},
		{rule: "trust/open-principal", doc: trustOf(when(pinnedExactly), `{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":"sts:AssumeRole"}`)},
		{rule: "trust/open-principal", doc: with(github, `"Principal":"*"`)},
		{rule: "trust/open-principal", doc: with(`"Principal":{"F`, `"NotPrincipal":{"F`)},
		{rule: "trust/other-principal", doc: trustOf(when(pinnedExactly), lambda)},
		{rule: "trust/other-principal", doc: trustOf(when(pinnedExactly), `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}`)},
		{rule: "trust/other-principal", doc: with(`"Principal":{`, `"Principal":{"Service":"ecs.amazonaws.com",`)},
		{rule: "trust/other-principal", doc: with(host+`"}`, host+`","AWS":"123456789012"}`)},
		{rule: "trust/broad-action", doc: with(`"sts:AssumeRoleWithWebIdentity"`, `"sts:*"`)},
		{rule: "trust/broad-action", doc: with(`"sts:AssumeRoleWithWebIdentity"`, `"*"`)},
		{rule: "trust/broad-action", doc: with(`"sts:AssumeRoleWithWebIdentity"`, `"sts:AssumeRole*"`)},
		{rule: "trust/broad-action", doc: with(`"sts:AssumeRoleWithWebIdentity"`, `["sts:AssumeRoleWithWebIdentity","sts:TagSession"]`)},
		{rule: "trust/broad-action", doc: with(assume, `"NotAction":"sts:AssumeRole"`)},
		{rule: "trust/audience-mismatch", doc: with(`"sts.amazonaws.com"`, `"https://github.com/acme"`)},
		{rule: "trust/audience-mismatch", doc: with(`"sts.amazonaws.com"`, `["sts.amazonaws.com","https://github.com/acme"]`)},
		{rule: "trust/audience-mismatch", doc: with(`"sts.amazonaws.com"`, `"STS.amazonaws.com"`)},
		{rule: "trust/actor-pin", doc: trustOf(when(equals(aud, `"~actor_id":"9"`), like(`"~sub":"repo:*"`)))},
		{rule: "trust/actor-pin", doc: trustOf(when(equals(aud, `"~actor":"alice"`)))},
		{rule: "trust/workflow-pin-alone", doc: trustOf(when(equals(aud, `"~job_workflow_ref":"acme/shared/.github/workflows/deploy-agent.yml@refs/heads/main"`), like(`"~sub":"repo:*"`)))},
		{rule: "trust/workflow-pin-alone", doc: trustOf(when(equals(aud), like(`"~sub":"repo:acme/*"`, `"~job_workflow_ref":"acme/shared/*"`)))},
		{rule: "trust/environment-pin-alone", doc: trustOf(when(equals(aud, `"~environment":"prod"`), like(`"~sub":"repo:*"`)))},
		{rule: "trust/environment-pin-alone", doc: trustOf(when(equals(aud, `"~environment":"prod"`)))},
		{rule: "trust/environment-pin-alone", doc: subLike("repo:*:environment:prod")},
		{rule: "trust/mutable-workflow", doc: plus(like(`"~job_workflow_ref":"acme/agent/.github/workflows/deploy-agent.yml@refs/*"`))},
		{rule: "trust/mutable-workflow", doc: plus(like(`"~job_workflow_ref":"acme/agent/*"`))},
		{rule: "trust/template-subject", doc: subEquals("environment:prod:repository:acme/agent")},
		{rule: "trust/template-subject", doc: subLike("repository_owner:acme:*")},
		{rule: "trust/template-subject", doc: subLike("job_workflow_ref:acme/shared/*")},
		{rule: "trust/issuer-mismatch", doc: strings.Replace(trustOf(when(pinnedExactly)), host+`"}`, host+`/acme-inc"}`, 1), change: issuer(acmeInc)},
		{rule: "trust/issuer-mismatch", doc: with(host+":", host+"/acme-inc:")},
		{rule: "trust/issuer-mismatch", doc: enterprise},
		{rule: "trust/placeholder", doc: with("acme@1001/agent@2002", "<ORG>/<REPO>")},
		{rule: "trust/placeholder", doc: with("acme@1001/agent@2002", "YOUR_ORG/YOUR_REPO")},
		{rule: "trust/placeholder", doc: with("acme@1001/agent@2002", "OWNER/REPO")},
		{rule: "trust/placeholder", doc: with("acme@1001/agent@2002", "your-org/your-repo")},
		{rule: "trust/placeholder", doc: with("acme@1001/agent@2002", "octo-org/octo-repo")},
		{rule: "trust/placeholder", doc: with("acme@1001/agent@2002", "${GITHUB_ORG}/agent")},
		{rule: "trust/placeholder", doc: with("acme@1001/agent@2002", "{{org}}/agent")},
		{rule: "trust/placeholder", doc: with("acme@1001/agent@2002", "[org]/[repo]")},
		{rule: "trust/placeholder", doc: with("acme@1001/agent@2002", "GitHubOrg/GitHubRepo")},
		{rule: "trust/placeholder", doc: with("123456789012", "<ACCOUNT>")},
		{rule: "trust/placeholder", doc: with("123456789012", "${AWS::AccountId}")},
		{rule: "trust/placeholder", doc: with("123456789012", "ACCOUNT_ID")},
		{rule: "trust/case-mismatch", doc: with("acme@1001", "Acme@1001")},
		{rule: "trust/case-mismatch", doc: subLike("repo:acme/Agent:*"), repository: names},
		{rule: "trust/case-mismatch", doc: plus(`"StringLike":{"~repository":"ACME/agent"}`)},
		{rule: "trust/case-mismatch", doc: with("environment:prod", "environment:Prod")},
		{rule: "trust/repository-mismatch", doc: with("agent@2002", "other@3003")},
		{rule: "trust/repository-mismatch", doc: with("agent@2002", "agent@777")},
		{rule: "trust/repository-mismatch", doc: with("acme@1001", "acme@666")},
		{rule: "trust/repository-mismatch", doc: plus(like(`"~repository_id":"777"`))},
		{rule: "trust/repository-mismatch", doc: plus(like(`"~repository":"acme/other"`))},
		{rule: "trust/deny-guard", doc: trustOf(when(enforced), deny(`"StringNotEquals":{`+sub+`}`))},
		{rule: "trust/deny-guard", doc: trustOf(when(enforced, like(`"~sub":"repo:*"`)), deny(`"StringNotLike":{`+sub+`}`))},
		{rule: "trust/unsafe-trigger-admitted", doc: trustOf(when(pinnedExactly)), change: workflows},
		{rule: "trust/invalid-element", doc: plus(`"StringMatches":{"~ref":"refs/heads/main"}`)},
		{rule: "trust/invalid-element", doc: plus(`"stringEquals":{"~ref":"refs/heads/main"}`)},
		{rule: "trust/invalid-element", doc: with(`"Condition"`, `"condition"`)},
		{rule: "trust/invalid-element", doc: with(`"Allow"`, `"allow"`)},
		{rule: "trust/invalid-element", doc: with(`"Effect"`, `"Sid":"a","Resource":"*","Effect"`)},
		{rule: "trust/invalid-element", doc: trustOf(when(pinnedExactly), `{"Effect":"Allow",`+assume+`}`)},
		{rule: "trust/invalid-element", doc: trustOf(when(pinnedExactly), `{"Effect":"Deny","NotPrincipal":{"AWS":"1"},`+assume+`}`)},
		{rule: "trust/admits-stranger", doc: trustOf(when(equals(aud, legacy))), repository: names},
		{rule: "trust/admits-stranger", doc: trustOf(when(equals(aud, `"~sub":["repo:acme@1001/agent@2002:environment:prod","repo:acme/agent:environment:prod"]`)))},
		{rule: "trust/never-matches", doc: trustOf(when(pinnedExactly), deny(like(`"~sub":"repo:acme*"`)))},
		{rule: "trust/never-matches", doc: with("AssumeRoleWithWebIdentity", "AssumeRole")},
		{rule: "trust/never-matches", doc: plus(`"Null":{"~ref":"true"}`)},
		{rule: "trust/never-matches", doc: plus(`"StringNotEquals":{"~repository_id":"2002"}`)},
	}
}

func TestRuleFinds(t *testing.T) {
	for _, c := range faults() {
		report := c.audited(t)
		if !slices.Contains(rulesOf(report), c.rule) {
			t.Errorf("%s not found, but %v in %s", c.rule, rulesOf(report), c.doc)
		}
		want := Reject
		if ruleOf(c.rule).Severity == SeverityWarning {
			want = Warn
		}
		if got := report.Outcome(); got != want {
			t.Errorf("%s: %s, want %s: %v in %s", c.rule, got, want, rulesOf(report), c.doc)
		}
	}
}

// misses are policies close to a rule's fault that it leaves alone: good ones,
// unless another rule is named that has to be found in them.
func misses() []struct {
	ruleCase
	instead string
} {
	type miss = struct {
		ruleCase
		instead string
	}
	const names = "acme/agent"
	good := func(rule, doc string) miss { return miss{ruleCase{rule: rule, doc: doc}, ""} }
	named := func(rule, doc, instead string) miss {
		return miss{ruleCase{rule: rule, doc: doc, repository: names}, instead}
	}
	pinned := trustOf(when(equals(aud, sub), like(`"~job_workflow_ref":"acme/agent/.github/workflows/deploy-agent.yml@refs/heads/main"`)))
	return []miss{
		good("trust/missing-sub", with(sub, strings.Replace(sub, "~sub", "~SUB", 1))),
		good("trust/missing-aud", with(`"sts.amazonaws.com"`, `["sts.amazonaws.com"]`)),
		good("trust/wildcard-subject", trustOf(when(pinnedExactly, like(`"~sub":"repo:*"`)))),
		good("trust/wildcard-owner", subLike("repo:acme@1001/agent@2002:environment:prod")),
		good("trust/wildcard-repository", trustOf(when(equals(aud, id, `"~environment":"prod"`), like(`"~sub":"repo:acme@1001/*"`)))),
		good("trust/wildcard-id", trustOf(when(equals(aud, id), like(`"~sub":"repo:acme@*/agent@*:environment:prod"`)))),
		good("trust/wildcard-context", trustOf(when(equals(aud, `"~environment":"prod"`), like(`"~sub":"repo:acme@1001/agent@2002:*"`)))),
		good("trust/pull-request-subject", strings.ReplaceAll(trustOf(when(pinnedExactly)), "StringEquals", "StringLike")),
		{ruleCase{rule: "trust/tag-subject", doc: subEquals("repo:acme@1001/agent@2002:ref:refs/heads/main"),
			change: func(o *AuditOptions) { o.Environment = "" }}, ""},
		{ruleCase{rule: "trust/environment-subject", doc: trustOf(when(pinnedExactly), strings.Replace(when(pinnedExactly), ":prod", ":dev", 1)),
			change: func(o *AuditOptions) { o.Environment = "" }}, ""},
		{ruleCase{rule: "trust/environment-subject", doc: subEquals("repo:acme@1001/agent@2002:environment:a%3Ab"),
			change: func(o *AuditOptions) { o.Environment = "a:b" }}, ""},
		named("trust/subject-format", trustOf(when(pinnedExactly)), ""),
		good("trust/legacy-subject", trustOf(when(equals(aud, id, `"~sub":["repo:acme/agent:environment:prod","repo:acme@1001/agent@2002:environment:prod"]`)))),
		good("trust/for-all-values", plus(`"StringEqualsIfExists":{"~ref":"refs/heads/main"}`)),
		good("trust/no-effect", plus(`"Null":{"~sub":"false"}`)),
		good("trust/unsupported-claim", plus(like(`"~repository_id":"2002"`, `"~repository":"acme/agent"`, `"~ref":"refs/heads/main"`, `"~environment":"prod"`, `"~actor":"bob"`, `"~actor_id":"9"`, `"~workflow":"deploy"`, `"~enterprise_id":"3"`))),
		good("trust/negated-condition", plus(`"StringNotEquals":{"~actor":"dependabot[bot]"}`)),
		good("trust/literal-wildcard", plus(like(`"~ref":"refs/heads/*"`))),
		good("trust/duplicate-key", trustOf(when(equals(aud), like(sub)))),
		{ruleCase{rule: "trust/foreign-provider", doc: with("123456789012", "210987654321"), change: func(o *AuditOptions) { o.Account = "" }}, ""},
		good("trust/open-principal", trustOf(when(pinnedExactly), `{"Effect":"Deny","Principal":"*",`+assume+`,"Condition":{"StringNotEquals":{"~repository_id":"2002"}}}`)),
		good("trust/other-principal", trustOf(when(pinnedExactly), deny(`"StringEquals":{"~ref":"refs/heads/old"}`))),
		good("trust/broad-action", with("sts:AssumeRoleWithWebIdentity", "STS:assumerolewithwebidentity")),
		good("trust/audience-mismatch", trustOf(when(equals(sub), `"StringEqualsIgnoreCase":{"~aud":"STS.amazonaws.com"}`))),
		good("trust/actor-pin", plus(like(`"~actor":"alice"`))),
		good("trust/workflow-pin-alone", pinned),
		good("trust/environment-pin-alone", plus(like(`"~environment":"prod"`))),
		good("trust/mutable-workflow", pinned),
		named("trust/template-subject", subEquals("repository:acme/agent:environment:prod"), "trust/never-matches"),
		{ruleCase{rule: "trust/issuer-mismatch", doc: strings.ReplaceAll(trustOf(when(pinnedExactly)), host, host+"/acme-inc"), change: issuer(acmeInc)}, ""},
		{ruleCase{rule: "trust/placeholder", doc: with("acme@1001/agent@2002", "owner@1001/repo@2002"), repository: "owner@1001/repo@2002"}, ""},
		good("trust/case-mismatch", trustOf(when(`"StringEqualsIgnoreCase":{"~sub":"repo:Acme@1001/agent@2002:environment:prod"}`, enforced))),
		named("trust/repository-mismatch", with("acme@1001/agent@2002", "acme@5/agent@6"), ""),
		good("trust/deny-guard", trustOf(when(pinnedExactly), deny(`"StringNotLike":{"~sub":"repo:acme@1001/*"}`))),
		{ruleCase{rule: "trust/unsafe-trigger-admitted", doc: pinned, change: func(o *AuditOptions) { o.UnsafeWorkflows = []string{"triage.yml"} }}, ""},
		good("trust/invalid-element", plus(`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`)),
		named("trust/admits-stranger", trustOf(when(equals(aud, legacy, id))), "trust/legacy-subject"),
		good("trust/never-matches", plus(like(`"~ref":"refs/heads/release"`))),
	}
}

func TestRuleLeavesNearMissesAlone(t *testing.T) {
	for _, m := range misses() {
		report := m.audited(t)
		if slices.Contains(rulesOf(report), m.rule) {
			t.Errorf("%s in its near miss %s", m.rule, m.doc)
		}
		switch {
		case m.instead == "" && len(report.Findings) > 0:
			t.Errorf("false alarm near %s: %+v in %s", m.rule, report.Findings, m.doc)
		case m.instead != "" && !slices.Contains(rulesOf(report), m.instead):
			t.Errorf("near %s: %v, want %s in %s", m.rule, rulesOf(report), m.instead, m.doc)
		}
	}
}

func TestEveryRuleHasAFaultAndANearMiss(t *testing.T) {
	found, missed := make(map[string]bool), make(map[string]bool)
	for _, c := range faults() {
		found[c.rule] = true
	}
	for _, m := range misses() {
		missed[m.rule] = true
	}
	for _, r := range Rules() {
		if !found[r.ID] || !missed[r.ID] {
			t.Errorf("%s: fault %v, near miss %v", r.ID, found[r.ID], missed[r.ID])
		}
		delete(found, r.ID)
	}
	for id := range found {
		t.Errorf("%s is no rule", id)
	}
}

// TestOtherIssuers judges tokens of which the form alone is known.
func TestOtherIssuers(t *testing.T) {
	for _, tt := range []struct{ issuer, subject, rule string }{
		{"https://gitlab.com", "project_path:acme/agent:ref_type:branch:ref:main", ""},
		{"https://gitlab.com", "project_path:*", "trust/wildcard-subject"},
		{"https://gitlab.com", "project_path:acme/agent:*", "trust/wildcard-context"},
		{"https://oidc.circleci.com/org/1-2", "org/1-2/project/3-4/user/5", ""},
		{"https://oidc.circleci.com/org/1-2", "org/1-2/project/3-4/user/*", "trust/wildcard-context"},
		{"https://agent.buildkite.com", "organization:*", "trust/wildcard-subject"},
	} {
		host := strings.TrimPrefix(tt.issuer, "https://")
		doc := `{"Statement":{"Effect":"Allow","Principal":{"Federated":"` + ProviderARN("123456789012", tt.issuer) + `"},` + assume +
			`,"Condition":{"StringEquals":{"` + host + `:aud":"me"},"StringLike":{"` + host + `:sub":"` + tt.subject + `"}}}}`
		issuers, err := Issuers([]byte(doc))
		if err != nil || !slices.Equal(issuers, []string{tt.issuer}) {
			t.Errorf("issuers %v: %v", issuers, err)
		}
		report, err := AuditTrust([]byte(doc), AuditOptions{Issuer: tt.issuer})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(rulesOf(report), " "); got != tt.rule {
			t.Errorf("%s of %s: %q, want %q", tt.subject, tt.issuer, got, tt.rule)
		}
	}
}
