package assume

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const gitHubHost = "token.actions.githubusercontent.com"

// iam lists the assumptions about IAM.
func iam() []Assumption {
	return []Assumption{
		{"A501", "", a501ProviderOfAnIssuer}, {"A502", "", a502ProviderTwice}, {"A503", "", a503WhatIsNotThere},
		{"A504", "", a504AudiencesAreAdded}, {"A505", "", a505ProviderURLs}, {"A506", "", a506ProviderIsDeletedTwice},
		{"A510", "", a510GitHubNeedsASubject}, {"A511", "", a511RoleTwice}, {"A512", "", a512RoleWithPoliciesStays},
		{"A513", "", a513DocumentsAreEncoded}, {"A514", "", a514TrustHasALimit}, {"A515", "", a515MalformedPolicies},
		{"A516", "", a516SessionLimits}, {"A517", "", a517NamesWithoutCase}, {"A518", "", a518ThumbprintsAreOptional},
	}
}

func (a *Account) iam(t T, action string, parameters ...string) answer {
	t.Helper()
	return a.query(t, "iam", "2010-05-08", action, true, parameters)
}

// trustOf is a trust policy of one statement.
func trustOf(kind, principal, action string, conditions document) string {
	statement := document{"Effect": "Allow", "Principal": document{kind: principal}, "Action": action}
	if conditions != nil {
		statement["Condition"] = conditions
	}
	raw, err := json.Marshal(document{"Version": "2012-10-17", "Statement": []any{statement}})
	if err != nil {
		return ""
	}
	return string(raw)
}

// gitHubTrust trusts GitHub's provider of the account where claims are equal.
func (a *Account) gitHubTrust(claims map[string]string) string {
	equals := document{}
	for name, value := range claims {
		equals[gitHubHost+":"+name] = value
	}
	var conditions document
	if len(equals) > 0 {
		conditions = document{"StringEquals": equals}
	}
	return trustOf("Federated", a.providerARN(""), "sts:AssumeRoleWithWebIdentity", conditions)
}

func (a *Account) providerARN(path string) string {
	return "arn:aws:iam::" + a.ID + ":oidc-provider/" + gitHubHost + path
}

// role makes a role that lasts as long as the assumption and returns its ARN.
func (a *Account) role(t T, trust string) string {
	t.Helper()
	name := a.name()
	x := a.iam(t, "CreateRole", "RoleName", name, "AssumeRolePolicyDocument", trust).want(t, http.StatusOK)
	later(t, func(t T) { a.iam(t, "DeleteRole", "RoleName", name) })
	return x.element("Arn")
}

func nameOf(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// provider registers an issuer that nobody else has registered: GitHub's host
// with a path of its own. It is the account's for as long as the assumption.
func (a *Account) provider(t T) (arn, path string) {
	t.Helper()
	path = "/" + a.name()
	x := a.iam(t, "CreateOpenIDConnectProvider", "Url", "https://"+gitHubHost+path, "ClientIDList.member.1", "sts.amazonaws.com",
		"ThumbprintList.member.1", strings.Repeat("a", 40)).want(t, http.StatusOK)
	arn = x.element("OpenIDConnectProviderArn")
	later(t, func(t T) { a.iam(t, "DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", arn) })
	return arn, path
}

// A501: A provider's ARN is arn:aws:iam::ACCOUNT:oidc-provider/ and the issuer
// without https://; Get answers the issuer without https:// too.
// Source: IAM API reference, CreateOpenIDConnectProvider, GetOpenIDConnectProvider.
// Confidence: H.
func a501ProviderOfAnIssuer(t T, a *Account) {
	arn, path := a.provider(t)
	same(t, "the ARN", arn, a.providerARN(path))
	x := a.iam(t, "GetOpenIDConnectProvider", "OpenIDConnectProviderArn", arn).want(t, http.StatusOK)
	same(t, "the URL", x.element("Url"), gitHubHost+path)
	same(t, "the audience", strings.TrimSpace(x.element("member")), "sts.amazonaws.com")
}

// A502: An issuer that has a provider is 409 EntityAlreadyExists.
// Source: IAM API reference, CreateOpenIDConnectProvider (errors).
// Confidence: H.
func a502ProviderTwice(t T, a *Account) {
	_, path := a.provider(t)
	x := a.iam(t, "CreateOpenIDConnectProvider", "Url", "https://"+gitHubHost+path, "ThumbprintList.member.1", strings.Repeat("a", 40))
	x.refused(t, http.StatusConflict, "EntityAlreadyExists", "")
}

// A503: A provider, a role or an inline policy that is not there is 404
// NoSuchEntity.
// Source: IAM API reference, GetOpenIDConnectProvider, GetRole, GetRolePolicy (errors).
// Confidence: H.
func a503WhatIsNotThere(t T, a *Account) {
	name := a.name()
	role := nameOf(a.role(t, trustOf("Service", "lambda.amazonaws.com", "sts:AssumeRole", nil)))
	a.iam(t, "GetOpenIDConnectProvider", "OpenIDConnectProviderArn", a.providerARN("/"+name)).refused(t, http.StatusNotFound, "NoSuchEntity", "")
	a.iam(t, "GetRole", "RoleName", name).refused(t, http.StatusNotFound, "NoSuchEntity", name)
	a.iam(t, "GetRolePolicy", "RoleName", role, "PolicyName", name).refused(t, http.StatusNotFound, "NoSuchEntity", name)
	a.iam(t, "DeleteRole", "RoleName", name).refused(t, http.StatusNotFound, "NoSuchEntity", name)
}

// A504: Adding an audience that is there already is no error, and it is there
// once.
// Source: IAM API reference, AddClientIDToOpenIDConnectProvider ("idempotent").
// Confidence: H.
func a504AudiencesAreAdded(t T, a *Account) {
	arn, _ := a.provider(t)
	for range 2 {
		a.iam(t, "AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn", arn, "ClientID", "another").want(t, http.StatusOK)
	}
	x := a.iam(t, "GetOpenIDConnectProvider", "OpenIDConnectProviderArn", arn).want(t, http.StatusOK)
	same(t, "how often the audience is there", strconv.Itoa(strings.Count(string(x.body), ">another<")), "1")
}

// A505: A provider's URL begins with https:// and has no port and no query; a
// thumbprint has 40 characters.
// Source: IAM API reference, CreateOpenIDConnectProvider (Url, ThumbprintList).
// Confidence: H that they are refused with 400, L for the code.
func a505ProviderURLs(t T, a *Account) {
	a.provider(t)
	for _, given := range []string{"http://" + gitHubHost + "/x", "https://" + gitHubHost + ":8443/x", "https://" + gitHubHost + "/x?y=z", "x"} {
		a.iam(t, "CreateOpenIDConnectProvider", "Url", given, "ThumbprintList.member.1", strings.Repeat("a", 40)).want(t, http.StatusBadRequest)
	}
	a.iam(t, "CreateOpenIDConnectProvider", "Url", "https://"+gitHubHost+"/"+a.name(), "ThumbprintList.member.1", "abc").want(t, http.StatusBadRequest)
}

// A506: Deleting a provider that is not there is no error.
// Source: IAM API reference, DeleteOpenIDConnectProvider ("This operation is idempotent").
// Confidence: H.
func a506ProviderIsDeletedTwice(t T, a *Account) {
	arn, _ := a.provider(t)
	for range 2 {
		a.iam(t, "DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", arn).want(t, http.StatusOK)
	}
	a.iam(t, "GetOpenIDConnectProvider", "OpenIDConnectProviderArn", arn).refused(t, http.StatusNotFound, "NoSuchEntity", "")
}

// A510: A role that trusts GitHub's provider without a condition on its subject
// is refused, when it is made and when its trust is changed: 400
// MalformedPolicyDocument.
// Source: IAM guide, "Secure by default" for OIDC providers (id_roles_providers_oidc_secure-by-default). The text is open.
// Confidence: H for the refusal, L for the code.
func a510GitHubNeedsASubject(t T, a *Account) {
	arn, path := a.provider(t)
	loose := strings.ReplaceAll(a.gitHubTrust(map[string]string{"aud": "sts.amazonaws.com"}), a.providerARN(""), arn)
	x := a.iam(t, "CreateRole", "RoleName", a.name(), "AssumeRolePolicyDocument", loose)
	x.refused(t, http.StatusBadRequest, "MalformedPolicyDocument", "")
	bound := trustOf("Federated", arn, "sts:AssumeRoleWithWebIdentity",
		document{"StringEquals": document{gitHubHost + path + ":sub": "repo:acme/agent:environment:prod"}})
	role := nameOf(a.role(t, bound))
	x = a.iam(t, "UpdateAssumeRolePolicy", "RoleName", role, "PolicyDocument", loose)
	x.refused(t, http.StatusBadRequest, "MalformedPolicyDocument", "")
}

// A511: A role's name that is taken is 409 EntityAlreadyExists.
// Source: IAM API reference, CreateRole (errors).
// Confidence: H.
func a511RoleTwice(t T, a *Account) {
	trust := trustOf("Service", "lambda.amazonaws.com", "sts:AssumeRole", nil)
	role := nameOf(a.role(t, trust))
	a.iam(t, "CreateRole", "RoleName", role, "AssumeRolePolicyDocument", trust).refused(t, http.StatusConflict, "EntityAlreadyExists", role)
}

// A512: A role with inline policies is not deleted: 409 DeleteConflict.
// Source: IAM API reference, DeleteRole.
// Confidence: H.
func a512RoleWithPoliciesStays(t T, a *Account) {
	role := nameOf(a.role(t, trustOf("Service", "lambda.amazonaws.com", "sts:AssumeRole", nil)))
	a.iam(t, "PutRolePolicy", "RoleName", role, "PolicyName", "p", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"}]}`).want(t, http.StatusOK)
	a.iam(t, "DeleteRole", "RoleName", role).refused(t, http.StatusConflict, "DeleteConflict", "")
	a.iam(t, "DeleteRolePolicy", "RoleName", role, "PolicyName", "p").want(t, http.StatusOK)
	a.iam(t, "DeleteRole", "RoleName", role).want(t, http.StatusOK)
}

// A513: Documents come back encoded as in URLs (RFC 3986), spaces as %20.
// Source: IAM API reference, GetRole (AssumeRolePolicyDocument).
// Confidence: H.
func a513DocumentsAreEncoded(t T, a *Account) {
	trust := strings.Replace(trustOf("Service", "lambda.amazonaws.com", "sts:AssumeRole", nil), ":", ": ", 1)
	x := a.iam(t, "GetRole", "RoleName", nameOf(a.role(t, trust))).want(t, http.StatusOK)
	raw := x.element("AssumeRolePolicyDocument")
	decoded, err := url.QueryUnescape(raw)
	if err != nil || strings.ContainsAny(raw, "{\" +") {
		t.Errorf("the document is not encoded: %q (%v)", raw, err)
	}
	same(t, "the document", decoded, trust)
}

// A514: A trust policy of more than 2048 characters, white space aside, is 409
// LimitExceeded.
// Source: IAM guide, "IAM and STS quotas" (2048, adjustable up to 4096).
// Confidence: H.
func a514TrustHasALimit(t T, a *Account) {
	trust := trustOf("Service", "lambda.amazonaws.com", "sts:AssumeRole",
		document{"StringEquals": document{"aws:SourceArn": strings.Repeat("a", 4200)}})
	a.iam(t, "CreateRole", "RoleName", a.name(), "AssumeRolePolicyDocument", trust).refused(t, http.StatusConflict, "LimitExceeded", "ACLSizePerRole")
}

// A515: What is no policy is 400 MalformedPolicyDocument: no JSON, no principal
// in a trust policy, a principal in a permission policy, an action that is no
// AssumeRole in a trust policy.
// Source: IAM API reference, CreateRole, PutRolePolicy (errors); IAM guide, "Policy grammar".
// Confidence: H.
func a515MalformedPolicies(t T, a *Account) {
	good := trustOf("Service", "lambda.amazonaws.com", "sts:AssumeRole", nil)
	for _, bad := range []string{"{", strings.Replace(good, `"Principal"`, `"Principals"`, 1), strings.Replace(good, "sts:AssumeRole", "s3:GetObject", 1)} {
		a.iam(t, "CreateRole", "RoleName", a.name(), "AssumeRolePolicyDocument", bad).refused(t, http.StatusBadRequest, "MalformedPolicyDocument", "")
	}
	role := nameOf(a.role(t, good))
	a.iam(t, "PutRolePolicy", "RoleName", role, "PolicyName", "p", "PolicyDocument", good).refused(t, http.StatusBadRequest, "MalformedPolicyDocument", "")
}

// A516: MaxSessionDuration is 3600 to 43200 seconds, 3600 unless said.
// Source: IAM API reference, CreateRole.
// Confidence: H.
func a516SessionLimits(t T, a *Account) {
	trust := trustOf("Service", "lambda.amazonaws.com", "sts:AssumeRole", nil)
	for _, seconds := range []string{"3599", "43201"} {
		x := a.iam(t, "CreateRole", "RoleName", a.name(), "AssumeRolePolicyDocument", trust, "MaxSessionDuration", seconds)
		x.refused(t, http.StatusBadRequest, "ValidationError", "maxSessionDuration")
	}
	x := a.iam(t, "GetRole", "RoleName", nameOf(a.role(t, trust))).want(t, http.StatusOK)
	same(t, "MaxSessionDuration", x.element("MaxSessionDuration"), "3600")
}

// A517: Names of roles are one without regard to case.
// Source: IAM API reference, CreateRole ("Names are not distinguished by case").
// Confidence: H.
func a517NamesWithoutCase(t T, a *Account) {
	trust := trustOf("Service", "lambda.amazonaws.com", "sts:AssumeRole", nil)
	role := nameOf(a.role(t, trust))
	a.iam(t, "CreateRole", "RoleName", strings.ToUpper(role), "AssumeRolePolicyDocument", trust).refused(t, http.StatusConflict, "EntityAlreadyExists", "")
}

// A518: A provider may be made without a thumbprint.
// Source: IAM API reference, CreateOpenIDConnectProvider (optional); IAM guide, "Obtain the thumbprint" (not used for GitHub).
// Confidence: H.
func a518ThumbprintsAreOptional(t T, a *Account) {
	path := "/" + a.name()
	x := a.iam(t, "CreateOpenIDConnectProvider", "Url", "https://"+gitHubHost+path, "ClientIDList.member.1", "sts.amazonaws.com").want(t, http.StatusOK)
	same(t, "the ARN", x.element("OpenIDConnectProviderArn"), a.providerARN(path))
	a.iam(t, "DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", a.providerARN(path)).want(t, http.StatusOK)
}
