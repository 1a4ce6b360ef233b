package assume

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// github lists the assumptions about the ID tokens of GitHub Actions.
func github() []Assumption {
	return []Assumption{
		{"A801", Job, a801TokensAreShort}, {"A802", Job, a802IDsAreText}, {"A803", Job, a803SubjectOfTheJob},
		{"A804", Job, a804SignedByAPublishedKey}, {"A805", Job, a805AudienceAsAsked}, {"A806", Job, a806OwnerIsTheDefaultAudience},
		{"A807", Job, a807EachTokenIsNew}, {"A808", Local, a808SubjectsOfEveryJob}, {"A809", Local, a809ImmutableSubjects},
		{"A810", Local, a810ColonsAreEscaped}, {"A811", Job, a811WorkflowsAreNamed},
	}
}

func claimText(claims map[string]any, name string) string {
	text, _ := claims[name].(string)
	return text
}

// A801: A token lives 300 seconds, and is valid from 600 seconds before it was
// issued.
// Source: tokens of GitHub-hosted jobs; GitHub docs, "OpenID Connect reference" (exp, nbf, iat).
// Confidence: M.
func a801TokensAreShort(t T, a *Account) {
	claims := a.claims(t, a.jobToken(t, awsAudience))
	issued, _ := claims["iat"].(float64)
	expires, _ := claims["exp"].(float64)
	before, _ := claims["nbf"].(float64)
	same(t, "exp - iat", fmt.Sprint(expires-issued), "300")
	same(t, "iat - nbf", fmt.Sprint(issued-before), "600")
}

// A802: Ids, numbers and booleans of a token are text; ids are decimal.
// Source: GitHub docs, "OpenID Connect reference" (example token).
// Confidence: H.
func a802IDsAreText(t T, a *Account) {
	claims := a.claims(t, a.jobToken(t, awsAudience))
	for _, name := range []string{"repository_id", "repository_owner_id", "actor_id", "run_id", "run_number", "run_attempt"} {
		if !regexp.MustCompile(`^[0-9]+$`).MatchString(claimText(claims, name)) {
			t.Errorf("%s is %v, no text of digits", name, claims[name])
		}
	}
	if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(claimText(claims, "sha")) {
		t.Errorf("sha is %v", claims["sha"])
	}
}

// A803: The subject begins with repo: and the repository, and goes on with the
// job's environment, or pull_request, or its ref.
// Source: GitHub docs, "OpenID Connect reference"; github/docs#28291.
// Confidence: H.
func a803SubjectOfTheJob(t T, a *Account) {
	claims := a.claims(t, a.jobToken(t, awsAudience))
	owner, name, _ := strings.Cut(claimText(claims, "repository"), "/")
	rest := ":ref:" + claimText(claims, "ref")
	switch {
	case claimText(claims, "environment") != "":
		rest = ":environment:" + strings.ReplaceAll(claimText(claims, "environment"), ":", "%3A")
	case claimText(claims, "event_name") == "pull_request":
		rest = ":pull_request"
	}
	names := "repo:" + owner + "/" + name + rest
	ids := "repo:" + owner + "@" + claimText(claims, "repository_owner_id") + "/" + name + "@" + claimText(claims, "repository_id") + rest
	if sub := claimText(claims, "sub"); sub != names && sub != ids {
		t.Errorf("sub is %q, want %q or %q", sub, names, ids)
	}
}

// published fetches a document of the issuer, with no login.
func (a *Account) published(t T, address string) answer {
	t.Helper()
	if address == "" {
		t.Fatalf("the issuer does not say where that is")
	}
	return a.send(t, "GET "+address, a.request(t, http.MethodGet, address, nil, nil)).want(t, http.StatusOK)
}

// A804: A token is signed by RS256 with a key that the issuer's discovery
// document leads to; that document names the issuer itself.
// Source: OpenID Connect Discovery 1.0; https://token.actions.githubusercontent.com/.well-known/openid-configuration.
// Confidence: H.
func a804SignedByAPublishedKey(t T, a *Account) {
	token := a.jobToken(t, awsAudience)
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Alg, Kid, Typ string }
	if err == nil {
		err = json.Unmarshal(raw, &header)
	}
	if err != nil {
		t.Fatalf("the token's header: %v", err)
	}
	same(t, "alg", header.Alg, "RS256")
	issuer := "https://" + gitHubHost
	same(t, "iss", claimText(a.claims(t, token), "iss"), issuer)
	base := issuer
	if a.Endpoint != "" {
		base = a.host("sts")
	}
	discovery := a.published(t, base+"/.well-known/openid-configuration")
	same(t, "the issuer that it names", discovery.text("issuer"), issuer)
	keys := a.published(t, discovery.text("jwks_uri"))
	for i := range keys.count("keys") {
		if keys.text("keys."+strconv.Itoa(i)+".kid") == header.Kid {
			return
		}
	}
	t.Errorf("no published key has the kid %q", header.Kid)
}

// A805: The audience is what was asked for.
// Source: GitHub docs, "OpenID Connect reference" (requesting the JWT).
// Confidence: H.
func a805AudienceAsAsked(t T, a *Account) {
	audience := "https://example.com/?a=b&c=" + a.name()
	same(t, "aud", claimText(a.claims(t, a.jobToken(t, audience)), "aud"), audience)
}

// A806: Without an audience, it is the URL of the repository's owner.
// Source: GitHub docs, "OpenID Connect reference" (aud).
// Confidence: H.
func a806OwnerIsTheDefaultAudience(t T, a *Account) {
	claims := a.claims(t, a.jobToken(t, ""))
	same(t, "aud", claimText(claims, "aud"), "https://github.com/"+claimText(claims, "repository_owner"))
}

// A807: Each token has a jti of its own.
// Source: RFC 7519, 4.1.7; GitHub docs, "OpenID Connect reference" (jti).
// Confidence: H.
func a807EachTokenIsNew(t T, a *Account) {
	first, second := a.claims(t, a.jobToken(t, awsAudience)), a.claims(t, a.jobToken(t, awsAudience))
	if claimText(first, "jti") == "" || claimText(first, "jti") == claimText(second, "jti") {
		t.Errorf("jti is %q and then %q", claimText(first, "jti"), claimText(second, "jti"))
	}
}

// minted is the subject of a job that is made for the question.
func (a *Account) minted(t T, job document) string {
	t.Helper()
	token, err := a.Mint(t.Context(), job)
	if err != nil {
		t.Fatalf("minting for %v: %v", job, err)
	}
	return claimText(a.claims(t, token), "sub")
}

// A808: A job with an environment has the subject …:environment:NAME, on pull
// requests too; a pull request …:pull_request; else …:ref: and the full ref.
// Source: GitHub docs, "OpenID Connect reference" (example subjects).
// Confidence: H. A real job is one of them: A803.
func a808SubjectsOfEveryJob(t T, a *Account) {
	for want, job := range map[string]document{
		"repo:acme/agent:environment:prod":     {"environment": "prod", "event": "pull_request"},
		"repo:acme/agent:pull_request":         {"event": "pull_request", "ref": "refs/pull/7/merge"},
		"repo:acme/agent:ref:refs/heads/a/b":   {"ref": "refs/heads/a/b"},
		"repo:acme/agent:ref:refs/tags/v1.0.0": {"ref": "refs/tags/v1.0.0"},
	} {
		same(t, fmt.Sprintf("the subject of %v", job), a.minted(t, with(job, document{"repository": "acme/agent"})), want)
	}
}

// A809: A repository that is new since 2026-07-15, or has opted in, sends
// OWNER@ID/REPO@ID in its subjects.
// Source: GitHub changelog, 2026-04-23; github/docs#45221.
// Confidence: H.
func a809ImmutableSubjects(t T, a *Account) {
	same(t, "the subject", a.minted(t, document{"repository": "acme@1001/agent@2002", "environment": "prod"}), "repo:acme@1001/agent@2002:environment:prod")
}

// A810: A colon in an environment's name is sent as %3A, so that no name
// imitates another subject.
// Source: GitHub docs, "OpenID Connect reference"; GHES up to 3.18 does not.
// Confidence: H.
func a810ColonsAreEscaped(t T, a *Account) {
	same(t, "the subject", a.minted(t, document{"repository": "acme/agent", "environment": "x:ref:refs/heads/main"}), "repo:acme/agent:environment:x%3Aref%3Arefs/heads/main")
}

// A811: workflow_ref and job_workflow_ref are OWNER/REPO/PATH@REF.
// Source: GitHub docs, "OpenID Connect reference" (reusable workflows).
// Confidence: H.
func a811WorkflowsAreNamed(t T, a *Account) {
	claims := a.claims(t, a.jobToken(t, awsAudience))
	for _, name := range []string{"workflow_ref", "job_workflow_ref"} {
		if !regexp.MustCompile(`^[^/@]+/[^/@]+/[^@]+\.ya?ml@refs/.+$`).MatchString(claimText(claims, name)) {
			t.Errorf("%s is %q", name, claims[name])
		}
	}
}
