package sim

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// jwtFleet is a fleet that is served by HTTPS too, and a provider of tokens.
type jwtFleet struct {
	*fleet
	idp    *identityProvider
	secure *httptest.Server
}

func newJWTFleet(t *testing.T) *jwtFleet {
	f := &jwtFleet{fleet: newSmallFleet(t), idp: newIdentityProvider(t)}
	f.secure = httptest.NewTLSServer(f.cloud)
	t.Cleanup(f.secure.Close)
	return f
}

// guarded makes a runtime with a JWT authorizer.
func (f *jwtFleet) guarded(protocol string, a types.CustomJWTAuthorizerConfiguration) (arn string) {
	f.t.Helper()
	if a.DiscoveryUrl == nil {
		a.DiscoveryUrl = aws.String(f.idp.address())
	}
	return f.small(protocol, nil, func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
		in.AuthorizerConfiguration = &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: a}
	})
}

// bearer invokes with a token; "-" sends no header.
func (f *jwtFleet) bearer(base, arn, token string, change func(*http.Request)) (*http.Response, string) {
	f.t.Helper()
	r := must[*http.Request](f.t)(http.NewRequestWithContext(f.t.Context(), http.MethodPost, base+"/runtimes/"+escaped(arn)+"/invocations", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if token != "-" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if change != nil {
		change(r)
	}
	res := must[*http.Response](f.t)(f.secure.Client().Do(r))
	defer res.Body.Close()
	return res, string(must[[]byte](f.t)(io.ReadAll(res.Body)))
}

func TestJWTAuthorizer(t *testing.T) {
	f := newJWTFleet(t)
	arn := f.guarded("HTTP", types.CustomJWTAuthorizerConfiguration{AllowedAudience: []string{"other", "agents"}, AllowedClients: []string{"web"},
		AllowedScopes: []string{"agents/invoke", "agents/admin"}, AdvertisedScopeMapping: map[string]string{"agents/admin": "api://agents/admin"},
		CustomClaims: []types.CustomClaimValidationType{
			claimRule("tenant", "STRING", "EQUALS", &types.ClaimMatchValueTypeMemberMatchValueString{Value: "acme"}),
			claimRule("groups", "STRING_ARRAY", "CONTAINS", &types.ClaimMatchValueTypeMemberMatchValueString{Value: "ops"}),
			claimRule("roles", "STRING_ARRAY", "CONTAINS_ANY", &types.ClaimMatchValueTypeMemberMatchValueStringList{Value: []string{"a", "b"}})}})
	good := map[string]any{"tenant": "acme", "groups": []string{"dev", "ops"}, "roles": []string{"b"}}
	with := func(more map[string]any) map[string]any {
		claims := map[string]any{}
		for _, m := range []map[string]any{good, more} {
			for name, value := range m {
				claims[name] = value
			}
		}
		return claims
	}
	now := f.clock.now()
	impostor := newTestKey(t)
	impostor.id = f.idp.key.id
	ours, err := f.cloud.identity.signer.sign(with(map[string]any{"iss": f.idp.issuer(), "aud": "agents", "exp": now.Add(time.Hour).Unix()}))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, token string
		status      int
		say         string
	}{
		{"good", f.idp.token(now, good), 200, `"calls":1`},
		{"one audience of several", f.idp.token(now, with(map[string]any{"aud": []string{"x", "agents"}})), 200, ""},
		{"scopes of Entra ID", f.idp.token(now, with(map[string]any{"scope": nil, "scp": "agents/admin"})), 200, ""},
		{"scopes in a list", f.idp.token(now, with(map[string]any{"scope": nil, "scp": []string{"agents/admin"}})), 200, ""},
		{"none", "-", 401, "Missing Authentication Token"},
		{"empty", "", 401, "Missing Authentication Token"},
		{"garbage", "not.a.token", 403, "OAuth authorization failed: Failed to parse token"},
		{"no JWT", "garbage", 403, "OAuth authorization failed: Failed to parse token"},
		{"longer than any", strings.Repeat("a", maxToken+1), 403, "Failed to parse token"},
		{"expired", f.idp.token(now, with(map[string]any{"exp": now.Add(-time.Second).Unix()})), 401, "Token has expired"},
		{"about to expire", f.idp.token(now, with(map[string]any{"exp": now.Add(30 * time.Second).Unix()})), 401, "Token has expired"},
		{"not yet valid", f.idp.token(now, with(map[string]any{"nbf": now.Add(time.Hour).Unix()})), 401, "Invalid Bearer token"},
		{"without an end", f.idp.token(now, with(map[string]any{"exp": nil})), 401, "Invalid Bearer token"},
		{"another issuer", f.idp.token(now, with(map[string]any{"iss": f.idp.issuer() + "/x"})), 401, "Invalid Bearer token"},
		{"another key under the id", f.idp.tokenBy(impostor, now, good), 401, "Invalid Bearer token"},
		{"an unknown key", f.idp.tokenBy(newTestKey(t), now, good), 401, "Invalid Bearer token"},
		{"the cloud's own key", ours, 401, "Invalid Bearer token"},
		{"another audience", f.idp.token(now, with(map[string]any{"aud": "agentsx"})), 401, "Claim 'aud' value mismatch with configuration."},
		{"no audience", f.idp.token(now, with(map[string]any{"aud": nil})), 401, "Claim 'aud' value mismatch"},
		{"another client", f.idp.token(now, with(map[string]any{"client_id": "cli"})), 401, "Claim 'client_id' value mismatch with configuration."},
		{"the client in another claim", f.idp.token(now, with(map[string]any{"client_id": nil, "azp": "web"})), 401, "Claim 'client_id'"},
		{"no scope of them", f.idp.token(now, with(map[string]any{"scope": "openid agents"})), 401, "Claim 'scope'"},
		{"another tenant", f.idp.token(now, with(map[string]any{"tenant": "acme2"})), 401, "Claim 'tenant'"},
		{"a list where a string is wanted", f.idp.token(now, with(map[string]any{"tenant": []string{"acme"}})), 401, "Claim 'tenant'"},
		{"a string where a list is wanted", f.idp.token(now, with(map[string]any{"groups": "ops"})), 401, "Claim 'groups'"},
		{"none of the roles", f.idp.token(now, with(map[string]any{"roles": []string{"c"}})), 401, "Claim 'roles'"},
		{"no roles", f.idp.token(now, with(map[string]any{"roles": nil})), 401, "Claim 'roles'"},
	} {
		res, body := f.bearer(f.secure.URL, arn, test.token, nil)
		if res.StatusCode != test.status || !strings.Contains(body, test.say) {
			t.Errorf("%s: %d %s", test.name, res.StatusCode, body)
		}
		challenge := res.Header.Get("WWW-Authenticate")
		want := `Bearer resource_metadata="` + f.secure.URL + "/runtimes/" + escaped(arn) + `/invocations/.well-known/oauth-protected-resource?qualifier=DEFAULT", scope="agents/invoke api://agents/admin"`
		if (res.StatusCode == 401) != (challenge == want) || (res.StatusCode == 401) != (res.Header.Get("X-Amzn-ErrorType") == "UnauthorizedException") {
			t.Errorf("%s: %s, WWW-Authenticate: %s", test.name, res.Header.Get("X-Amzn-ErrorType"), challenge)
		}
	}
	for _, c := range f.cloud.Journal() {
		if strings.Contains(c.Why+c.Path+c.Principal, "eyJ") {
			t.Errorf("the journal holds a token: %+v", c)
		}
	}
	last := f.cloud.Journal()
	if c := last[len(last)-1]; c.Allowed || !strings.Contains(c.Why, "roles") {
		t.Errorf("the refusal in the journal: %+v", c)
	}
}

func claimRule(name, kind, operator string, value types.ClaimMatchValueType) types.CustomClaimValidationType {
	return types.CustomClaimValidationType{InboundTokenClaimName: &name, InboundTokenClaimValueType: types.InboundTokenClaimValueType(kind),
		AuthorizingClaimMatchValue: &types.AuthorizingClaimMatchValueType{ClaimMatchOperator: types.ClaimMatchOperatorType(operator), ClaimMatchValue: value}}
}

// elsewhere names a runtime that is not there: its id ends in another letter.
func elsewhere(arn string) string {
	other := "x"
	if strings.HasSuffix(arn, other) {
		other = "y"
	}
	return arn[:len(arn)-1] + other
}

// TestOneAuthorizationMethod: a runtime takes signed calls or tokens, never
// both, and tokens by HTTPS alone.
func TestOneAuthorizationMethod(t *testing.T) {
	f := newJWTFleet(t)
	arn, signed := f.guarded("HTTP", types.CustomJWTAuthorizerConfiguration{AllowedAudience: []string{"agents"}}), f.small("HTTP", nil, nil)
	token := f.idp.token(f.clock.now(), nil)
	if res, body := f.bearer(f.srv.URL, arn, token, nil); res.StatusCode != 403 || !strings.Contains(body, "over HTTPS alone") || strings.Contains(body, token) {
		t.Errorf("a token by plain HTTP: %d %s", res.StatusCode, body)
	}
	if res, body := f.bearer(f.secure.URL, signed, token, nil); res.StatusCode != 403 || !strings.Contains(body, "Authorization method mismatch") || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("a token for a runtime of IAM: %d %s", res.StatusCode, body)
	}
	if res, body := f.bearer(f.secure.URL, signed, "-", nil); res.StatusCode != 403 || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("nothing for a runtime of IAM: %d %s", res.StatusCode, body)
	}
	if res, _ := f.bearer(f.secure.URL, elsewhere(arn), "-", nil); res.StatusCode != 403 {
		t.Errorf("nothing for a runtime that is not there: %d", res.StatusCode)
	}
	_, err := f.invoke(arn, "a", `{}`)
	wantFault(t, err, "AccessDeniedException", 403, "Authorization method mismatch")
	_, err = f.data.StopRuntimeSession(t.Context(), &bedrockagentcore.StopRuntimeSessionInput{AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(sessionID("a"))})
	wantFault(t, err, "AccessDeniedException", 403, "Authorization method mismatch")
	session := func(r *http.Request) { r.Header.Set(headerSession, sessionID("a")) }
	if res, body := f.bearer(f.secure.URL, arn, token, session); res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	stop := func(r *http.Request) {
		session(r)
		r.URL.Path = strings.Replace(r.URL.Path, "/invocations", "/stopruntimesession", 1)
		r.URL.RawPath = strings.Replace(r.URL.RawPath, "/invocations", "/stopruntimesession", 1)
	}
	if res, body := f.bearer(f.secure.URL, arn, token, stop); res.StatusCode != 200 {
		t.Errorf("stopping by token: %d %s", res.StatusCode, body)
	}
	if res, _ := f.bearer(f.secure.URL, arn, f.idp.token(f.clock.now(), map[string]any{"aud": "x"}), stop); res.StatusCode != 401 {
		t.Errorf("stopping by another's token: %d", res.StatusCode)
	}
}

// TestTokenStaysOutside: the agent sees the token only where the runtime's
// allowlist says so, and no user that the caller names.
func TestTokenStaysOutside(t *testing.T) {
	f := newJWTFleet(t)
	arn := f.guarded("HTTP", types.CustomJWTAuthorizerConfiguration{AllowedAudience: []string{"agents"}})
	token := f.idp.token(f.clock.now(), nil)
	user := func(r *http.Request) { r.Header.Set(headerUser, "somebody") }
	if _, body := f.bearer(f.secure.URL, arn, token, user); strings.Contains(body, token) || strings.Contains(body, "somebody") || !strings.Contains(body, `"calls":1`) {
		t.Errorf("the agent saw %s", body)
	}
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	f.redeploy(id, func(in *bedrockagentcorecontrol.UpdateAgentRuntimeInput) {
		in.EnvironmentVariables = map[string]string{"PROTOCOL": "HTTP"}
		in.AuthorizerConfiguration = &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{DiscoveryUrl: aws.String(f.idp.address()), AllowedAudience: []string{"agents"}}}
		in.RequestHeaderConfiguration = &types.RequestHeaderConfigurationMemberRequestHeaderAllowlist{Value: []string{"Authorization"}}
	})
	if _, body := f.bearer(f.secure.URL, arn, token, user); !strings.Contains(body, "Bearer "+token) {
		t.Errorf("the allowed header is missing: %s", body)
	}
}

// TestOwnIssuer: a runtime that trusts the cloud's issuer takes its jobs'
// tokens, and nothing is fetched.
func TestOwnIssuer(t *testing.T) {
	f := newJWTFleet(t)
	f.cloud.keySets.transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("%s is fetched", r.URL)
		return nil, io.EOF
	})
	arn := f.guarded("HTTP", types.CustomJWTAuthorizerConfiguration{DiscoveryUrl: aws.String(Issuer + discoveryPath), AllowedAudience: []string{"my-agent"},
		CustomClaims: []types.CustomClaimValidationType{claimRule("repository", "STRING", "EQUALS", &types.ClaimMatchValueTypeMemberMatchValueString{Value: "acme/agents"})}})
	job := must[Job](t)(f.cloud.complete(Job{Repository: "acme/agents"}))
	token, _, err := f.cloud.issue(job, "my-agent")
	if err != nil {
		t.Fatal(err)
	}
	if res, body := f.bearer(f.secure.URL, arn, token, nil); res.StatusCode != 200 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	other, _, err := f.cloud.issue(job, "sts.amazonaws.com")
	if err != nil {
		t.Fatal(err)
	}
	if res, _ := f.bearer(f.secure.URL, arn, other, nil); res.StatusCode != 401 {
		t.Errorf("a token for STS: %d", res.StatusCode)
	}
}

// TestUnauthorizedInTheProtocolsWords, and with a provider out of reach.
func TestUnauthorizedInTheProtocolsWords(t *testing.T) {
	f := newJWTFleet(t)
	allowed := types.CustomJWTAuthorizerConfiguration{AllowedAudience: []string{"agents"}}
	for protocol, want := range map[string]string{
		"MCP":  `"error":{"code":-32001,"message":"Missing Authentication Token"}`,
		"A2A":  `"error":{"code":-32001,"message":"Missing Authentication Token"}`,
		"AGUI": `data: {"code":"UNAUTHORIZED","message":"Missing Authentication Token","type":"RUN_ERROR"}`,
	} {
		arn := f.guarded(protocol, allowed)
		res, body := f.bearer(f.secure.URL, arn, "-", nil)
		if res.StatusCode != 401 || !strings.Contains(body, want) || res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", protocol, res.StatusCode, body)
		}
	}
	arn := f.guarded("HTTP", allowed)
	f.idp.set(func() { f.idp.discovery = serve(500, "text/plain", "no") })
	res, body := f.bearer(f.secure.URL, arn, f.idp.token(f.clock.now(), nil), nil)
	if res.StatusCode != 403 || !strings.Contains(body, "OAuth authorization failed") || strings.Contains(body, "500") {
		t.Errorf("a provider that is away: %d %s", res.StatusCode, body)
	}
}

func TestProtectedResourceMetadata(t *testing.T) {
	f := newJWTFleet(t)
	arn := f.guarded("HTTP", types.CustomJWTAuthorizerConfiguration{AllowedScopes: []string{"agents/invoke"}})
	ask := func(arn string) (int, map[string]any) {
		r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, f.secure.URL+"/runtimes/"+escaped(arn)+"/invocations/.well-known/oauth-protected-resource?qualifier=DEFAULT", nil))
		res := must[*http.Response](t)(f.secure.Client().Do(r))
		defer res.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, answer
	}
	status, answer := ask(arn)
	if status != 200 || answer["resource"] != f.secure.URL+"/runtimes/"+escaped(arn)+"/invocations?qualifier=DEFAULT" ||
		answer["authorization_servers"].([]any)[0] != f.idp.issuer() || answer["scopes_supported"].([]any)[0] != "agents/invoke" {
		t.Errorf("%d %v", status, answer)
	}
	if status, _ := ask(f.small("HTTP", nil, nil)); status != 404 {
		t.Errorf("of a runtime without an authorizer: %d", status)
	}
}

// TestAuthorizerIsChecked: what can never hold is refused when it is set.
func TestAuthorizerIsChecked(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	text := &types.ClaimMatchValueTypeMemberMatchValueString{Value: "x"}
	list := &types.ClaimMatchValueTypeMemberMatchValueStringList{Value: []string{"x"}}
	for name, rule := range map[string]types.CustomClaimValidationType{
		"EQUALS of a list":         claimRule("c", "STRING_ARRAY", "EQUALS", text),
		"CONTAINS of a string":     claimRule("c", "STRING", "CONTAINS", text),
		"CONTAINS_ANY of one":      claimRule("c", "STRING_ARRAY", "CONTAINS_ANY", text),
		"CONTAINS of several":      claimRule("c", "STRING_ARRAY", "CONTAINS", list),
		"EQUALS of several":        claimRule("c", "STRING", "EQUALS", list),
		"a name that no claim has": claimRule("c d", "STRING", "EQUALS", text),
	} {
		in := a.createInput("agent")
		in.AuthorizerConfiguration = &types.AuthorizerConfigurationMemberCustomJWTAuthorizer{Value: types.CustomJWTAuthorizerConfiguration{
			DiscoveryUrl: aws.String("https://id.example.com/.well-known/openid-configuration"), CustomClaims: []types.CustomClaimValidationType{rule}}}
		_, err := a.client.CreateAgentRuntime(t.Context(), in)
		t.Log(name)
		wantFault(t, err, "ValidationException", 400, "customClaims")
	}
}
