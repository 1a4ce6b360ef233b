package assume

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

const notAuthorized = "Not authorized to perform sts:AssumeRoleWithWebIdentity"

// sts lists the assumptions about AssumeRoleWithWebIdentity. Not among them:
// IDPCommunicationError, IDPRejectedClaim, RegionDisabledException and
// PackedPolicyTooLarge, which nobody can provoke at will.
func sts() []Assumption {
	return []Assumption{
		{"A401", Job, a401TokenBuysASession}, {"A402", Job, a402OneTextForEveryNo}, {"A403", Job, a403ReplaysAreTaken},
		{"A404", "", a404NoProviderForTheIssuer}, {"A405", Job, a405AudienceHasToBeListed}, {"A406", Job, a406UnknownKey},
		{"A407", "", a407NoJWT}, {"A408", Local, a408ExpiredToken}, {"A409", Local, a409AuthorizedPartyCounts},
		{"A410", Local, a410SubjectIsOneString}, {"A411", Local, a411TimesAreIntegers}, {"A412", Local, a412NotYetValid},
		{"A413", "", a413DurationBounds}, {"A414", Job, a414DurationOfTheRole}, {"A415", "", a415ParameterLengths},
		{"A416", Job, a416OrderOfJudgement}, {"A417", Job, a417KnownConditionKeys}, {"A418", Job, a418OtherClaimsAreNoKeys},
		{"A419", Job, a419SessionPolicyHasToBeOne}, {"A420", Job, a420AlgorithmIsAsymmetric}, {"A421", "", a421CallerIdentity},
		{"A422", Job, a422SubjectsKnowCase}, {"A423", Local, a423NothingIsTrimmed}, {"A424", Local, a424CaseMakesAnotherClaim},
	}
}

// assume asks for a session of a role for a token; parameters come last.
func (a *Account) assume(t T, role, token string, parameters ...string) answer {
	t.Helper()
	all := append(form{"RoleArn", role, "RoleSessionName", "assume", "WebIdentityToken", token}, parameters...)
	return a.query(t, "sts", "2011-06-15", "AssumeRoleWithWebIdentity", false, all)
}

// admitted asks until the role admits the token: IAM is eventually consistent.
func (a *Account) admitted(t T, role, token string, parameters ...string) answer {
	t.Helper()
	var x answer
	a.eventually(t, role+" admits the token", func() bool {
		x = a.assume(t, role, token, parameters...)
		return x.code != "AccessDenied"
	})
	return x.want(t, http.StatusOK)
}

// jobToken mints a token for AWS's audience.
func (a *Account) jobToken(t T, audience string) string {
	t.Helper()
	token, err := a.Token(t.Context(), audience)
	if err != nil {
		t.Fatalf("minting a token: %v", err)
	}
	return token
}

const awsAudience = "sts.amazonaws.com"

// jobRole makes a role that trusts the job, and what else claims say.
func (a *Account) jobRole(t T, claims map[string]string) string {
	t.Helper()
	all := map[string]string{"aud": awsAudience, "sub": a.Subject}
	for name, value := range claims {
		all[name] = value
	}
	return a.role(t, a.gitHubTrust(all))
}

// part64 encodes a part of a JWT.
func part64(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// unsigned is a token that nobody has signed, of an issuer.
func (a *Account) unsigned(header document, issuer string) string {
	now := a.now().Unix()
	claims := document{"iss": issuer, "sub": "repo:acme/agent:ref:refs/heads/main", "aud": awsAudience, "iat": now, "exp": now + 300}
	return part64(header) + "." + part64(claims) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 256))
}

func rs256(kid string) document { return document{"alg": "RS256", "typ": "JWT", "kid": kid} }

// forged is a token of claims that the issuer's own key has signed. change
// alters good claims.
func (a *Account) forged(t T, change func(claims document)) string {
	t.Helper()
	now := a.now().Unix()
	claims := document{"iss": "https://" + gitHubHost, "sub": a.Subject, "aud": awsAudience, "iat": now - 1, "nbf": now - 600, "exp": now + 300}
	change(claims)
	return a.forgedRaw(t, string(encode(t, claims)))
}

func (a *Account) forgedRaw(t T, claims string) string {
	t.Helper()
	token, err := a.Forge([]byte(claims))
	if err != nil {
		t.Fatalf("signing: %v", err)
	}
	return token
}

// A401: A token that a role trusts buys temporary keys, with no signature on the
// call: an ASIA key, its subject, audience and provider, and the session's ARN.
// Source: STS API reference, AssumeRoleWithWebIdentity.
// Confidence: H.
func a401TokenBuysASession(t T, a *Account) {
	role := a.jobRole(t, nil)
	x := a.admitted(t, role, a.jobToken(t, awsAudience))
	for element, want := range map[string]string{"SubjectFromWebIdentityToken": a.Subject, "Audience": awsAudience, "Provider": a.providerARN(""),
		"Arn": "arn:aws:sts::" + a.ID + ":assumed-role/" + nameOf(role) + "/assume"} {
		same(t, element, x.element(element), want)
	}
	if !strings.HasPrefix(x.element("AccessKeyId"), "ASIA") || x.element("SessionToken") == "" {
		t.Errorf("the key is no temporary one: %s", x.element("AccessKeyId"))
	}
}

// A402: Whatever a role has against a token, and a role that is not there, is
// 403 AccessDenied with one text.
// Source: STS API reference; aws-actions/configure-aws-credentials#318, #929.
// Confidence: H.
func a402OneTextForEveryNo(t T, a *Account) {
	token := a.jobToken(t, awsAudience)
	for what, claims := range map[string]map[string]string{"subject": {"sub": "repo:nobody/else:ref:refs/heads/main"}, "repository": {"repository_id": "1"}} {
		x := a.assume(t, a.jobRole(t, claims), token)
		x.refused(t, http.StatusForbidden, "AccessDenied", notAuthorized)
		same(t, "the text for another "+what, x.message, notAuthorized)
	}
	a.assume(t, "arn:aws:iam::"+a.ID+":role/"+a.name(), token).refused(t, http.StatusForbidden, "AccessDenied", notAuthorized)
}

// A403: A token is taken twice: STS keeps no memory of tokens.
// Source: STS API reference says nothing of replays; aws-actions/configure-aws-credentials retries with one token.
// Confidence: M.
func a403ReplaysAreTaken(t T, a *Account) {
	role, token := a.jobRole(t, nil), a.jobToken(t, awsAudience)
	first, second := a.admitted(t, role, token).element("AccessKeyId"), a.admitted(t, role, token).element("AccessKeyId")
	if first == "" || first == second {
		t.Errorf("the keys are %q and %q", first, second)
	}
}

// A404: A token of an issuer that has no provider in the role's account, one
// with another path or a slash at its end included, is 400 InvalidIdentityToken,
// "No OpenIDConnect provider found in your account for …".
// Source: IAM guide, "Troubleshoot OIDC federation"; AWS re:Post, the text.
// Confidence: H.
func a404NoProviderForTheIssuer(t T, a *Account) {
	for _, issuer := range []string{"https://" + gitHubHost + "/" + a.name(), "https://" + gitHubHost + "/"} {
		x := a.assume(t, a.Role, a.unsigned(rs256("x"), issuer))
		x.refused(t, http.StatusBadRequest, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for "+issuer)
	}
}

// A405: An audience that the provider does not list is 400 InvalidIdentityToken,
// "Incorrect token audience", before the role is asked.
// Source: IAM guide, "Troubleshoot OIDC federation".
// Confidence: H.
func a405AudienceHasToBeListed(t T, a *Account) {
	token := a.jobToken(t, "https://example.com/"+a.name())
	a.assume(t, a.jobRole(t, nil), token).refused(t, http.StatusBadRequest, "InvalidIdentityToken", "Incorrect token audience")
}

// A406: A token whose key the issuer does not publish is 400
// InvalidIdentityToken, "Couldn't retrieve verification key".
// Source: AWS re:Post, the text; actions/runner#1466.
// Confidence: M: the text is known of key sets out of reach.
func a406UnknownKey(t T, a *Account) {
	x := a.assume(t, a.jobRole(t, nil), a.unsigned(rs256("nobody's"), "https://"+gitHubHost))
	x.refused(t, http.StatusBadRequest, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider")
}

// A407: What is no JWT is 400 InvalidIdentityToken.
// Source: STS API reference, InvalidIdentityToken; the text, many reports.
// Confidence: H.
func a407NoJWT(t T, a *Account) {
	for _, token := range []string{"garbage", "aa.bb", "a.b.c.d", "e30.e30.", strings.Repeat(".", 4000)} {
		a.assume(t, a.Role, token).refused(t, http.StatusBadRequest, "InvalidIdentityToken", "")
	}
}

// A408: A token past its exp is 400 ExpiredTokenException, "Token expired".
// Source: STS API reference, ExpiredTokenException; the text, many reports.
// Confidence: H.
func a408ExpiredToken(t T, a *Account) {
	token := a.forged(t, func(claims document) { claims["exp"] = a.now().Unix() - 1 })
	a.assume(t, a.jobRole(t, nil), token).refused(t, http.StatusBadRequest, "ExpiredTokenException", "Token expired")
}

// A409: Where a token has azp, that is its audience, and aud is not looked at.
// Source: IAM guide, "Available keys for AWS OIDC federation" (aud and azp).
// Confidence: H.
func a409AuthorizedPartyCounts(t T, a *Account) {
	role := a.jobRole(t, nil)
	wrong := a.forged(t, func(claims document) { claims["azp"] = "another" })
	a.assume(t, role, wrong).refused(t, http.StatusBadRequest, "InvalidIdentityToken", "Incorrect token audience")
	right := a.forged(t, func(claims document) { claims["aud"], claims["azp"] = []string{"another", "third"}, awsAudience })
	same(t, "the audience", a.admitted(t, role, right).element("Audience"), awsAudience)
}

// A410: A token needs one sub, and that a string: absent, a number, empty, or
// twice is 400 InvalidIdentityToken.
// Source: STS API reference (sub is required); that two are refused is the strict reading.
// Confidence: H for an absent one, L for two.
func a410SubjectIsOneString(t T, a *Account) {
	role := a.jobRole(t, nil)
	for _, value := range []any{nil, 7, "", []string{a.Subject}} {
		token := a.forged(t, func(claims document) {
			if claims["sub"] = value; value == nil {
				delete(claims, "sub")
			}
		})
		a.assume(t, role, token).refused(t, http.StatusBadRequest, "InvalidIdentityToken", "")
	}
	now := string(encode(t, a.now().Unix()))
	twice := `{"iss":"https://` + gitHubHost + `","aud":"` + awsAudience + `","iat":` + now + `,"exp":` + now + `9,"sub":"x","sub":"` + a.Subject + `"}`
	a.assume(t, role, a.forgedRaw(t, twice)).refused(t, http.StatusBadRequest, "InvalidIdentityToken", "")
}

// A411: exp and iat are there, and are integers.
// Source: STS API reference ("timestamps … must be formatted as either an integer or a long integer").
// Confidence: H.
func a411TimesAreIntegers(t T, a *Account) {
	role := a.jobRole(t, nil)
	for name, value := range map[string]any{"exp": "soon", "iat": 1.5, "nbf": "now"} {
		token := a.forged(t, func(claims document) { claims[name] = value })
		a.assume(t, role, token).refused(t, http.StatusBadRequest, "InvalidIdentityToken", "")
	}
	for _, name := range []string{"exp", "iat"} {
		token := a.forged(t, func(claims document) { delete(claims, name) })
		a.assume(t, role, token).refused(t, http.StatusBadRequest, "InvalidIdentityToken", name)
	}
}

// A412: A token from the future, by nbf or iat, is 400 InvalidIdentityToken; no
// leeway is given.
// Source: RFC 7519, 4.1.5; that there is no leeway is a guess.
// Confidence: M, L for the leeway.
func a412NotYetValid(t T, a *Account) {
	role := a.jobRole(t, nil)
	for _, name := range []string{"nbf", "iat"} {
		token := a.forged(t, func(claims document) { claims[name] = a.now().Unix() + 100 })
		a.assume(t, role, token).refused(t, http.StatusBadRequest, "InvalidIdentityToken", "")
	}
}

// A413: DurationSeconds is 900 to 43200: others are 400 ValidationError.
// Source: STS API reference, AssumeRoleWithWebIdentity.
// Confidence: H.
func a413DurationBounds(t T, a *Account) {
	for _, seconds := range []string{"899", "43201"} {
		x := a.assume(t, a.Role, "garbage", "DurationSeconds", seconds)
		x.refused(t, http.StatusBadRequest, "ValidationError", "durationSeconds")
	}
}

// A414: A duration above the role's MaxSessionDuration is 400 ValidationError.
// Source: STS API reference; AWS re:Post, the text.
// Confidence: H.
func a414DurationOfTheRole(t T, a *Account) {
	role, token := a.jobRole(t, nil), a.jobToken(t, awsAudience)
	a.admitted(t, role, token, "DurationSeconds", "900")
	x := a.assume(t, role, token, "DurationSeconds", "3601")
	x.refused(t, http.StatusBadRequest, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role")
}

// A415: RoleArn has 20 to 2048 characters, RoleSessionName 2 to 64 of
// [\w+=,.@-], WebIdentityToken 4 to 20000: others are 400 ValidationError, and
// no message repeats the token.
// Source: STS API reference, AssumeRoleWithWebIdentity.
// Confidence: H.
func a415ParameterLengths(t T, a *Account) {
	long := strings.Repeat("s", 20001)
	for _, parameters := range []form{{"RoleArn", "arn:aws:iam"}, {"RoleSessionName", "x"}, {"RoleSessionName", "a b"},
		{"RoleSessionName", strings.Repeat("a", 65)}, {"WebIdentityToken", "abc"}, {"WebIdentityToken", long}} {
		x := a.assume(t, a.Role, "garbage", parameters...)
		x.refused(t, http.StatusBadRequest, "ValidationError", "")
		if strings.Contains(x.message, long) {
			t.Errorf("the message repeats the token")
		}
	}
}

// A416: Parameters are judged first, then the token, then the role: a bad token
// learns nothing about roles.
// Source: none: AWS documents no order; error reports agree with it.
// Confidence: M.
func a416OrderOfJudgement(t T, a *Account) {
	nobody := "arn:aws:iam::" + a.ID + ":role/" + a.name()
	a.assume(t, nobody, "garbage", "RoleSessionName", "x").refused(t, http.StatusBadRequest, "ValidationError", "")
	a.assume(t, nobody, "garbage").refused(t, http.StatusBadRequest, "InvalidIdentityToken", "")
	a.assume(t, nobody, a.jobToken(t, "https://example.com/"+a.name())).refused(t, http.StatusBadRequest, "InvalidIdentityToken", "Incorrect token audience")
	a.assume(t, nobody, a.jobToken(t, awsAudience)).refused(t, http.StatusForbidden, "AccessDenied", notAuthorized)
}

// claims of the job's own token, unverified.
func (a *Account) claims(t T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	var claims map[string]any
	raw, err := base64.RawURLEncoding.DecodeString(parts[min(1, len(parts)-1)])
	if err == nil {
		err = json.Unmarshal(raw, &claims)
	}
	if err != nil || len(parts) != 3 {
		t.Fatalf("the token can't be read: %v", err)
	}
	return claims
}

// A417: STS knows actor, actor_id, job_workflow_ref, repository, repository_id,
// workflow and ref as condition keys of GitHub, beside sub and aud.
// Source: AWS what's new, 2026-01; IAM guide, "Available keys for AWS OIDC federation".
// Confidence: M.
func a417KnownConditionKeys(t T, a *Account) {
	token := a.jobToken(t, awsAudience)
	claims := a.claims(t, token)
	for _, name := range []string{"actor", "actor_id", "job_workflow_ref", "repository", "repository_id", "workflow", "ref"} {
		value, _ := claims[name].(string)
		a.admitted(t, a.jobRole(t, map[string]string{name: value}), token)
	}
}

// A418: Other claims are no condition keys: repository_owner_id,
// runner_environment and event_name never match.
// Source: IAM guide, "Available keys for AWS OIDC federation" (not among them).
// Confidence: M.
func a418OtherClaimsAreNoKeys(t T, a *Account) {
	token := a.jobToken(t, awsAudience)
	claims := a.claims(t, token)
	for _, name := range []string{"repository_owner_id", "runner_environment", "event_name"} {
		value, _ := claims[name].(string)
		a.assume(t, a.jobRole(t, map[string]string{name: value}), token).refused(t, http.StatusForbidden, "AccessDenied", notAuthorized)
	}
}

// A419: A session policy that is none is 400 MalformedPolicyDocument, and one of
// more than 2048 characters 400 ValidationError.
// Source: STS API reference, AssumeRoleWithWebIdentity (Policy).
// Confidence: H.
func a419SessionPolicyHasToBeOne(t T, a *Account) {
	role, token := a.jobRole(t, nil), a.jobToken(t, awsAudience)
	a.admitted(t, role, token)
	a.assume(t, role, token, "Policy", "{").refused(t, http.StatusBadRequest, "MalformedPolicyDocument", "")
	a.assume(t, role, token, "Policy", strings.Repeat(" ", 2049)).refused(t, http.StatusBadRequest, "ValidationError", "")
}

// A420: Only RS256/384/512 and ES256/384/512 sign tokens: none, in any case, and
// HMAC are 400 InvalidIdentityToken.
// Source: STS API reference ("signed using … RSA … ECDSA").
// Confidence: H.
func a420AlgorithmIsAsymmetric(t T, a *Account) {
	role := a.jobRole(t, nil)
	for _, algorithm := range []string{"none", "None", "HS256", "PS256", "EdDSA"} {
		token := a.unsigned(document{"alg": algorithm, "kid": "x"}, "https://"+gitHubHost)
		a.assume(t, role, token).refused(t, http.StatusBadRequest, "InvalidIdentityToken", "")
	}
}

// A421: GetCallerIdentity answers account and ARN to whoever signs.
// Source: STS API reference, GetCallerIdentity.
// Confidence: H.
func a421CallerIdentity(t T, a *Account) {
	x := a.query(t, "sts", "2011-06-15", "GetCallerIdentity", true, nil).want(t, http.StatusOK)
	same(t, "the account", x.element("Account"), a.ID)
	if !strings.Contains(x.element("Arn"), "::"+a.ID+":") {
		t.Errorf("the ARN is %q", x.element("Arn"))
	}
}

// A422: Subjects are compared with regard to case.
// Source: IAM guide, StringEquals ("case-sensitive").
// Confidence: H.
func a422SubjectsKnowCase(t T, a *Account) {
	role := a.jobRole(t, map[string]string{"sub": strings.ToUpper(a.Subject)})
	a.assume(t, role, a.jobToken(t, awsAudience)).refused(t, http.StatusForbidden, "AccessDenied", notAuthorized)
}

// A423: Nothing of a subject is trimmed: a control character at its end makes
// another subject.
// Source: none: the strict reading.
// Confidence: M.
func a423NothingIsTrimmed(t T, a *Account) {
	role := a.jobRole(t, nil)
	for _, more := range []string{"\n", " ", "\x00"} {
		token := a.forged(t, func(claims document) { claims["sub"] = a.Subject + more })
		a.assume(t, role, token).refused(t, http.StatusForbidden, "AccessDenied", notAuthorized)
	}
}

// A424: A claim that differs by case is another claim: SUB is not sub.
// Source: RFC 7519, 10.1.1 (claim names are case-sensitive).
// Confidence: H.
func a424CaseMakesAnotherClaim(t T, a *Account) {
	role := a.jobRole(t, nil)
	token := a.forged(t, func(claims document) { claims["SUB"], claims["Aud"] = "repo:nobody/else", "another" })
	same(t, "the subject", a.admitted(t, role, token).element("SubjectFromWebIdentityToken"), a.Subject)
}
