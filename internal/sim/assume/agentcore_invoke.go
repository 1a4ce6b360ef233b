package assume

import (
	"net/http"
	"strings"
)

const headerSession = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"

// session makes a session id of 33 characters at least.
func (a *Account) session() string { return a.newToken() }

// invoke calls a runtime through an endpoint.
func (a *Account) invoke(t T, r runtime, qualifier, session, payload string) answer {
	t.Helper()
	return a.data(t, r.invocations()+"?qualifier="+qualifier, payload, map[string]string{headerSession: session})
}

// A150: A session id has 33 to 256 characters; others are 400
// ValidationException.
// Source: service model, runtimeSessionId of InvokeAgentRuntime.
// Confidence: H.
func a150SessionIDLength(t T, a *Account) {
	r := a.create(t, document{})
	for _, id := range []string{strings.Repeat("a", 32), strings.Repeat("a", 257)} {
		a.invoke(t, r, "DEFAULT", id, `{}`).refused(t, http.StatusBadRequest, "ValidationException", "")
	}
}

// A151: A qualifier, or a runtime, that is not there is 404
// ResourceNotFoundException.
// Source: API reference, InvokeAgentRuntime (errors).
// Confidence: H.
func a151NoSuchQualifier(t T, a *Account) {
	r := a.create(t, document{})
	a.invoke(t, r, "nobody", a.session(), `{}`).refused(t, http.StatusNotFound, "ResourceNotFoundException", "")
	r.arn = strings.TrimSuffix(r.arn, r.id) + a.name() + "-0123456789"
	a.invoke(t, r, "DEFAULT", a.session(), `{}`).refused(t, http.StatusNotFound, "ResourceNotFoundException", "")
}

// A152: A runtime that is named by its bare id needs the parameter accountId.
// Source: service model, accountId of InvokeAgentRuntime.
// Confidence: H.
func a152BareIDNeedsAnAccount(t T, a *Account) {
	r := a.create(t, document{})
	x := a.data(t, "/runtimes/"+r.id+"/invocations", `{}`, map[string]string{headerSession: a.session()})
	x.refused(t, http.StatusBadRequest, "ValidationException", "accountId")
	x = a.data(t, "/runtimes/"+r.id+"/invocations?qualifier=nobody&accountId="+a.ID, `{}`, map[string]string{headerSession: a.session()})
	x.refused(t, http.StatusNotFound, "ResourceNotFoundException", "")
}

// A153: A version whose metadataConfiguration is missing can't be invoked: 400
// ValidationException, "This runtime is not MMDSv2-enabled".
// Source: AgentCore release notes, 2026-06-30; hashicorp/terraform-provider-aws#48874.
// Confidence: H for runtimes from before; that an update clears it is A115.
func a153NoMMDSv2NoCall(t T, a *Account) {
	r := a.create(t, document{})
	a.updated(t, r, document{"metadataConfiguration": nil})
	a.invoke(t, r, "DEFAULT", a.session(), `{}`).refused(t, http.StatusBadRequest, "ValidationException", "This runtime is not MMDSv2-enabled")
}

// A154: A runtime with a JWT authorizer refuses a signed call with 403
// AccessDeniedException, "Authorization method mismatch".
// Source: AgentCore guide, "Inbound auth"; the text, many reports.
// Confidence: H.
func a154JWTRuntimeRefusesSigV4(t T, a *Account) {
	r := a.create(t, document{"authorizerConfiguration": document{"customJWTAuthorizer": document{
		"discoveryUrl": "https://token.actions.githubusercontent.com/.well-known/openid-configuration", "allowedAudience": []string{"agent"}}}})
	a.invoke(t, r, "DEFAULT", a.session(), `{}`).refused(t, http.StatusForbidden, "AccessDeniedException", "Authorization method mismatch")
}

// agent makes a runtime of the account's program.
func (a *Account) agent(t T, variables document) runtime {
	t.Helper()
	return a.create(t, a.agentMembers(t, variables))
}

func (a *Account) agentMembers(t T, variables document) document {
	t.Helper()
	repository := a.sharedRepository(t)
	a.mu.Lock()
	f, known := a.images["program"]
	a.mu.Unlock()
	if !known {
		f.digest = a.push(t, repository, "program", paint(t, a.Arch, "program", a.Program))
		a.mu.Lock()
		a.images["program"] = f
		a.mu.Unlock()
	}
	members := document{"agentRuntimeArtifact": artifact(a.uri(repository, "@"+f.digest)), "environmentVariables": variables}
	if a.Capacity != "" {
		members["capacityProviderConfiguration"] = document{"capacityProviderArn": a.Capacity}
	}
	return members
}

// stop ends a session.
func (a *Account) stop(t T, r runtime, session string) answer {
	t.Helper()
	path := strings.TrimSuffix(r.invocations(), "invocations") + "stopruntimesession?qualifier=DEFAULT"
	return a.data(t, path, "", map[string]string{headerSession: session})
}

// A155: The agent's answer comes through with 200 and its type, and the session
// id in a header, as sent.
// Source: AgentCore guide, "HTTP protocol contract"; API reference, InvokeAgentRuntime.
// Confidence: H.
func a155AnswersComeThrough(t T, a *Account) {
	r := a.agent(t, document{"REVISION": "one"})
	session := a.session()
	x := a.invoke(t, r, "DEFAULT", session, `{}`).want(t, http.StatusOK)
	later(t, func(t T) { a.stop(t, r, session) })
	same(t, "the agent's word", x.text("revision"), "one")
	same(t, "the session that the agent sees", x.text("session"), session)
	same(t, "the session that the caller sees", x.header.Get(headerSession), session)
	same(t, "the type", x.header.Get("Content-Type"), "application/json")
}

// A156: What fails in the agent is 424 RuntimeClientError: an error of its own
// as "Received error (500) from runtime", and a crash at its start as "Runtime
// initialization time exceeded".
// Source: aws/bedrock-agentcore-sdk-python#519; awslabs/fullstack-solution-template-for-agentcore#93.
// Confidence: H for the code, M for the texts.
func a156AgentsErrorsAre424(t T, a *Account) {
	r := a.agent(t, document{"REVISION": "one"})
	session := a.session()
	later(t, func(t T) { a.stop(t, r, session) })
	a.invoke(t, r, "DEFAULT", session, `{"do":"fail"}`).refused(t, http.StatusFailedDependency, "RuntimeClientError", "500")
	a.updated(t, r, a.agentMembers(t, document{"MODE": "crash"}))
	a.invoke(t, r, "DEFAULT", a.session(), `{}`).refused(t, http.StatusFailedDependency, "RuntimeClientError", "initialization time exceeded")
}

// A157: A session keeps the version that it began with; a new one gets the
// endpoint's.
// Source: AgentCore guide, "Troubleshoot AgentCore Runtime" ("changes aren't reflected in existing sessions").
// Confidence: H.
func a157SessionsKeepTheirVersion(t T, a *Account) {
	r := a.agent(t, document{"REVISION": "one"})
	old, fresh := a.session(), a.session()
	later(t, func(t T) { a.stop(t, r, old); a.stop(t, r, fresh) })
	same(t, "the revision of a session", a.invoke(t, r, "DEFAULT", old, `{}`).want(t, http.StatusOK).text("revision"), "one")
	a.updated(t, r, a.agentMembers(t, document{"REVISION": "two"}))
	same(t, "the revision of a session after the update", a.invoke(t, r, "DEFAULT", old, `{}`).want(t, http.StatusOK).text("revision"), "one")
	same(t, "the revision of a new session", a.invoke(t, r, "DEFAULT", fresh, `{}`).want(t, http.StatusOK).text("revision"), "two")
}

// A158: StopRuntimeSession answers 200 with the session's id; a session that
// was stopped, or never was, is 404 ResourceNotFoundException.
// Source: API reference, StopRuntimeSession.
// Confidence: H for 200, M for 404.
func a158StoppingTwice(t T, a *Account) {
	r := a.agent(t, document{})
	session := a.session()
	a.invoke(t, r, "DEFAULT", session, `{}`).want(t, http.StatusOK)
	a.stop(t, r, session).want(t, http.StatusOK)
	a.stop(t, r, session).refused(t, http.StatusNotFound, "ResourceNotFoundException", "")
}

// A159: A tag is resolved once, when a version is made: moving the tag changes
// nothing of what runs, in new sessions either.
// Source: repositories of 2026; aws/bedrock-agentcore-starter-toolkit#409, of 2025-12, saw the opposite.
// Confidence: L.
func a159TagsAreResolvedOnce(t T, a *Account) {
	repository := a.sharedRepository(t)
	members := with(a.agentMembers(t, document{}), document{"agentRuntimeArtifact": artifact(a.uri(repository, ":moving"))})
	a.push(t, repository, "moving", paint(t, a.Arch, "one", a.Program))
	r := a.create(t, members)
	a.push(t, repository, "moving", paint(t, a.Arch, "two", a.Program))
	session := a.session()
	later(t, func(t T) { a.stop(t, r, session) })
	same(t, "what runs after the tag moved", a.invoke(t, r, "DEFAULT", session, `{}`).want(t, http.StatusOK).text("revision"), "one")
}
