package sim

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// jwtAuthorizer is a runtime's customJWTAuthorizer. What is configured has to
// hold all at once.
type jwtAuthorizer struct {
	DiscoveryURL     string            `json:"discoveryUrl"`
	AllowedAudience  []string          `json:"allowedAudience"` // of aud
	AllowedClients   []string          `json:"allowedClients"`  // of client_id
	AllowedScopes    []string          `json:"allowedScopes"`   // one of them
	AdvertisedScopes map[string]string `json:"advertisedScopeMapping"`
	CustomClaims     []customClaim     `json:"customClaims"`
	Workloads        json.RawMessage   `json:"allowedWorkloadConfiguration"`
}

// customClaim asks for a value of a claim.
type customClaim struct {
	Name  string `json:"inboundTokenClaimName"`
	Type  string `json:"inboundTokenClaimValueType"` // STRING or STRING_ARRAY
	Match struct {
		Operator string `json:"claimMatchOperator"` // EQUALS, CONTAINS or CONTAINS_ANY
		Value    struct {
			String string   `json:"matchValueString"`
			List   []string `json:"matchValueStringList"`
		} `json:"claimMatchValue"`
	} `json:"authorizingClaimMatchValue"`
}

// authorizerOf is a version's authorizer, nil where it takes signed calls.
func authorizerOf(d document) *jwtAuthorizer {
	raw, ok := stringsOf(d, "authorizerConfiguration")["customJWTAuthorizer"]
	if !ok {
		return nil
	}
	a := &jwtAuthorizer{}
	_ = exact(raw, a) // checked on its way in
	return a
}

// lifeLeft is what a token must still have of its life: one that ends within a
// minute is refused (aws-samples/sample-strands-agent-with-agentcore#265).
const lifeLeft = time.Minute

// carriesBearer says whether a call has a bearer token in a signature's place.
func carriesBearer(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "bearer")
}

// takesBearer says which operations a runtime with a JWT authorizer serves to
// the owner of a token. The last one is for callers that have none yet.
func takesBearer(operation string) bool {
	switch operation {
	case "InvokeAgentRuntime", "StopRuntimeSession", "GetAgentCard", "GetRuntimeProtectedResourceMetadata":
		return true
	}
	return false
}

// mismatch is the answer to a call by the method that the runtime does not
// take.
func mismatch() error {
	return accessDenied("Authorization method mismatch. The agent is configured for a different authorization method than what was used in your request. " +
		"Check the agent's authorization configuration and ensure your request uses the matching method (OAuth or SigV4)")
}

func accessDenied(message string) *fault {
	return faultf(http.StatusForbidden, "AccessDeniedException", "%s", message)
}

// authorizeBearer judges the token of a call, and says in the journal whose it
// is. AWS's words, as far as they are known: a missing token and claims that
// differ are 401, one that can't be read is 403. Assumption: what is badly
// signed or over is 401; where the keys are out of reach it is 403.
func (c *Cloud) authorizeBearer(k *call, in invocation, a *jwtAuthorizer) error {
	token := bearer(k.Request)
	if token == "" {
		return k.unauthorized(in, a, "Missing Authentication Token")
	}
	if k.TLS == nil {
		return accessDenied("the local cloud takes bearer tokens over HTTPS alone, as AWS does: call https://" + k.Host +
			", with the file ca.pem of the cloud's state as the authority (AWS_CA_BUNDLE)")
	}
	if len(token) > maxToken {
		return parseFailed()
	}
	if _, _, err := tokenParts(token); err != nil {
		return parseFailed()
	}
	if a.Workloads != nil {
		return accessDenied("the local cloud has no gateways: nobody meets allowedWorkloadConfiguration")
	}
	issuer, err := c.issuerAt(k.Context(), a.DiscoveryURL)
	if err != nil {
		c.warn("fetching the keys of %s: %v", a.DiscoveryURL, err)
		f := accessDenied("OAuth authorization failed: Failed to retrieve keys from the identity provider")
		f.why = err.Error()
		return f
	}
	claims, err := a.verify(token, issuer, c.now())
	if err != nil {
		return k.unauthorized(in, a, err.Error())
	}
	subject, _ := claims["sub"].(string)
	k.principal.arn, k.account, k.region = issuer.URL+":"+subject, in.account, in.region
	return nil
}

func parseFailed() error {
	return accessDenied("OAuth authorization failed: Failed to parse token")
}

// unauthorized refuses a token and tells where its like is to be had (RFC
// 9728). Assumption: AWS documents the header for a missing token; here every
// 401 has it.
func (k *call) unauthorized(in invocation, a *jwtAuthorizer, message string) error {
	f := faultf(http.StatusUnauthorized, "UnauthorizedException", "%s", message)
	challenge := `Bearer resource_metadata="` + k.invocationURL(in, "/.well-known/oauth-protected-resource") + `"`
	if scopes := a.scopes(); len(scopes) > 0 {
		challenge += `, scope="` + strings.Join(scopes, " ") + `"`
	}
	f.header = http.Header{"Www-Authenticate": {challenge}}
	return f
}

// invocationURL is the address of an endpoint of a runtime as its callers see
// it, with a path below it.
func (k *call) invocationURL(in invocation, below string) string {
	scheme := "http"
	if k.TLS != nil {
		scheme = "https"
	}
	path := "/runtimes/" + url.QueryEscape(in.arn()) + "/invocations" + below
	return scheme + "://" + k.Host + path + "?qualifier=" + in.endpoint
}

// scopes are what clients should ask the identity provider for.
func (a *jwtAuthorizer) scopes() []string {
	var scopes []string
	for _, scope := range a.AllowedScopes {
		scopes = append(scopes, or(a.AdvertisedScopes[scope], scope))
	}
	return scopes
}

// bearerError is why a token is not taken, in AgentCore's words.
type bearerError string

func (e bearerError) Error() string { return string(e) }

// verify returns the claims of a token that the authorizer takes, or a
// bearerError, which repeats neither the token nor a claim's value.
func (a *jwtAuthorizer) verify(token string, issuer TokenIssuer, now time.Time) (map[string]any, error) {
	claims, _, err := signedClaims(token, func(url string) (TokenIssuer, error) {
		if url != issuer.URL {
			return TokenIssuer{}, noProvider(url)
		}
		return issuer, nil
	})
	if err != nil {
		return nil, bearerError("Invalid Bearer token")
	}
	expires, err := secondsClaim(claims, "exp", true)
	if err != nil {
		return nil, bearerError("Invalid Bearer token")
	}
	notBefore, err := secondsClaim(claims, "nbf", false)
	if err != nil || notBefore > now.Unix() {
		return nil, bearerError("Invalid Bearer token")
	}
	if now.Add(lifeLeft).Unix() >= expires {
		return nil, bearerError("Token has expired")
	}
	if claim := a.differs(claims); claim != "" {
		return nil, bearerError("Claim '" + claim + "' value mismatch with configuration.")
	}
	return claims, nil
}

// differs names the claim that is not as the configuration wants it, "" where
// all are.
func (a *jwtAuthorizer) differs(claims map[string]any) string {
	client, _ := claims["client_id"].(string)
	if len(a.AllowedClients) > 0 && !slices.Contains(a.AllowedClients, client) {
		return "client_id"
	}
	if len(a.AllowedAudience) > 0 && !anyOf(claimStrings(claims["aud"]), a.AllowedAudience) {
		return "aud"
	}
	if len(a.AllowedScopes) > 0 && !anyOf(tokenScopes(claims), a.AllowedScopes) {
		return "scope"
	}
	for _, c := range a.CustomClaims {
		if !c.holds(claims[c.Name]) {
			return c.Name
		}
	}
	return ""
}

func (c customClaim) holds(claim any) bool {
	if c.Type == "STRING" {
		text, ok := claim.(string)
		return ok && c.Match.Operator == "EQUALS" && text == c.Match.Value.String
	}
	if _, ok := claim.([]any); !ok {
		return false
	}
	switch values := claimStrings(claim); c.Match.Operator {
	case "CONTAINS":
		return slices.Contains(values, c.Match.Value.String)
	case "CONTAINS_ANY":
		return anyOf(values, c.Match.Value.List)
	}
	return false
}

// claimStrings reads a claim that is a string or a list of them; what is
// neither has none.
func claimStrings(claim any) []string {
	if text, ok := claim.(string); ok {
		return []string{text}
	}
	list, _ := claim.([]any)
	var values []string
	for _, v := range list {
		text, ok := v.(string)
		if !ok {
			return nil
		}
		values = append(values, text)
	}
	return values
}

// tokenScopes reads scope, words in one string (RFC 8693), or scp, which Entra
// ID and Okta send in its place.
func tokenScopes(claims map[string]any) []string {
	var scopes []string
	for _, name := range []string{"scope", "scp"} {
		for _, value := range claimStrings(claims[name]) {
			scopes = append(scopes, strings.Fields(value)...)
		}
	}
	return scopes
}

func anyOf(have, want []string) bool {
	return slices.ContainsFunc(have, func(s string) bool { return slices.Contains(want, s) })
}

// getProtectedResource answers who may ask before having a token: which issuer
// protects a runtime (RFC 9728).
func (c *Cloud) getProtectedResource(k *call) (any, error) {
	in, err := target(k)
	if err != nil {
		return nil, err
	}
	v, err := c.find(in)
	if err != nil {
		return nil, err
	}
	a := authorizerOf(v.Document)
	if a == nil {
		return nil, noEndpoint(in)
	}
	k.resource = in.arn()
	issuer, err := c.issuerOfDocument(k.Context(), a.DiscoveryURL)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"resource": k.invocationURL(in, ""), "authorization_servers": []string{issuer}}
	if scopes := a.scopes(); len(scopes) > 0 {
		answer["scopes_supported"] = scopes
	}
	return answer, nil
}

func (c *Cloud) issuerOfDocument(ctx context.Context, address string) (string, error) {
	issuer, err := c.issuerAt(ctx, address)
	if err != nil {
		c.warn("fetching %s: %v", address, err)
		return "", faultf(http.StatusInternalServerError, "InternalServerException",
			"The identity provider's metadata could not be retrieved")
	}
	return issuer.URL, nil
}
