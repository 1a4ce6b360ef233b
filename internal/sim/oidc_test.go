package sim

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

func TestTokensVerifyByGoOIDC(t *testing.T) {
	_, srv := startCloud(t)
	env := jobEnv(t, srv, `{"repository":"acme@1/agents@2","environment":"prod:ref:refs/heads/main","actor":"ann","run_attempt":"2","sha":"0123456789012345678901234567890123456789"}`)
	ctx := oidc.InsecureIssuerURLContext(t.Context(), Issuer)
	provider, err := oidc.NewProvider(ctx, srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: "sts.amazonaws.com"}).Verify(ctx, mint(t, env, "sts.amazonaws.com"))
	if err != nil {
		t.Fatal(err)
	}
	if token.Issuer != Issuer || token.Expiry.Sub(token.IssuedAt) != 300*time.Second {
		t.Errorf("%+v", token)
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"sub":        "repo:acme@1/agents@2:environment:prod%3Aref%3Arefs/heads/main",
		"repository": "acme/agents", "repository_id": "2", "repository_owner": "acme", "repository_owner_id": "1",
		"environment": "prod:ref:refs/heads/main", "actor": "ann", "run_attempt": "2", "ref": "refs/heads/main", "ref_type": "branch",
		"event_name": "push", "sha": "0123456789012345678901234567890123456789", "ref_protected": "false",
		"job_workflow_ref": "acme/agents/.github/workflows/deploy-agent.yml@refs/heads/main", "runner_environment": "github-hosted",
	}
	for name, value := range want {
		if claims[name] != value {
			t.Errorf("%s: %v, want %v", name, claims[name], value)
		}
	}
	if got, want := claims["nbf"], claims["iat"].(float64)-600; got != want {
		t.Errorf("nbf %v, want %v", got, want)
	}
	for _, name := range strings.Fields("jti actor_id base_ref check_run_id head_ref job_workflow_sha repository_visibility run_id run_number workflow workflow_ref workflow_sha") {
		if _, ok := claims[name].(string); !ok {
			t.Errorf("%s: %v", name, claims[name])
		}
	}
}

func TestSubjects(t *testing.T) {
	c, _ := startCloud(t)
	if err := c.registerRepository(Repository{Owner: "acme", OwnerID: "1", Name: "new", ID: "3", Immutable: true}); err != nil {
		t.Fatal(err)
	}
	if err := c.registerRepository(Repository{Owner: "acme", OwnerID: "1", Name: "old", ID: "2"}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		job  Job
		want string
	}{
		{Job{Repository: "acme/agents"}, "repo:acme/agents:ref:refs/heads/main"},
		{Job{Repository: "acme/agents", Ref: "refs/tags/v1"}, "repo:acme/agents:ref:refs/tags/v1"},
		{Job{Repository: "acme/agents", Event: "pull_request", Ref: "refs/pull/7/merge"}, "repo:acme/agents:pull_request"},
		{Job{Repository: "acme/agents", Event: "pull_request", Environment: "dev"}, "repo:acme/agents:environment:dev"},
		{Job{Repository: "acme/agents", Event: "pull_request_target"}, "repo:acme/agents:ref:refs/heads/main"},
		{Job{Repository: "acme@5/agents@6"}, "repo:acme@5/agents@6:ref:refs/heads/main"},
		{Job{Repository: "acme/new"}, "repo:acme@1/new@3:ref:refs/heads/main"},
		{Job{Repository: "Acme/NEW"}, "repo:acme@1/new@3:ref:refs/heads/main"},
		{Job{Repository: "acme/old"}, "repo:acme/old:ref:refs/heads/main"},
		{Job{Repository: "acme@9/old@8"}, "repo:acme@9/old@8:ref:refs/heads/main"},
	}
	for _, tt := range tests {
		j := mustComplete(t, c, tt.job)
		if got := j.subject(); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.job, got, tt.want)
		}
	}
	one, two := mustComplete(t, c, Job{Repository: "acme/agents"}), mustComplete(t, c, Job{Repository: "acme/agents"})
	if !reflect.DeepEqual(one.repository, two.repository) || one.RunID == two.RunID || !decimal.MatchString(one.repository.ID) {
		t.Errorf("%+v %+v", one, two)
	}
	for _, bad := range []Job{{}, {Repository: "acme"}, {Repository: "acme@1/agents"}, {Repository: "acme@x/agents@1"}, {Repository: "a/b/c"},
		{Repository: "a/b", Ref: "main"}, {Repository: "a/b", SHA: "abc"}, {Repository: "a/b", RunID: "x"}} {
		if _, err := c.complete(bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestTokenRequests(t *testing.T) {
	clock := time.Now()
	c := &Cloud{Dir: t.TempDir(), Now: func() time.Time { return clock }}
	srv := serveCloud(t, c)
	env := jobEnv(t, srv, `{"repository":"acme/agents"}`)
	other := jobEnv(t, srv, `{"repository":"acme/other"}`)
	without := jobEnv(t, srv, `{"repository":"acme/agents","id_token":false}`)
	if without["ACTIONS_ID_TOKEN_REQUEST_URL"] != "" || without["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] != "" || without["GITHUB_ACTIONS"] != "true" {
		t.Errorf("%v", without)
	}
	ask := func(url, authorization string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", authorization)
		status, body := send(t, r)
		if status != http.StatusOK && strings.Contains(string(body), "eyJ") {
			t.Errorf("a refusal holds a token: %s", body)
		}
		return status
	}
	url, token := env["ACTIONS_ID_TOKEN_REQUEST_URL"], env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
	if !strings.HasSuffix(url, "?api-version=2.0") {
		t.Error(url)
	}
	tests := []struct {
		name, url, authorization string
		want                     int
	}{
		{"bearer", url, "bearer " + token, 200},
		{"Bearer", url, "Bearer " + token, 200},
		{"none", url, "", 401},
		{"basic", url, "Basic " + token, 401},
		{"another job's", url, "bearer " + other["ACTIONS_ID_TOKEN_REQUEST_TOKEN"], 401},
		{"no job", srv.URL + "/_actions/token/none", "bearer " + token, 401},
		{"no token", srv.URL + "/_actions/token/", "bearer ", 401},
	}
	for _, tt := range tests {
		if got := ask(tt.url, tt.authorization); got != tt.want {
			t.Errorf("%s: %d", tt.name, got)
		}
	}
	clock = clock.Add(jobLifetime)
	if got := ask(url, "bearer "+token); got != http.StatusUnauthorized {
		t.Errorf("a job that is over gets %d", got)
	}
	refused := 0
	for _, call := range c.Journal() {
		if call.Service == "github" && !call.Allowed && call.Why != "" {
			refused++
		}
	}
	if refused != 6 {
		t.Errorf("the journal has %d refusals", refused)
	}
}

func TestDefaultAudienceIsTheOwner(t *testing.T) {
	_, srv := startCloud(t)
	var answer struct {
		Value  string
		Claims map[string]any
	}
	control(t, srv, "POST", "token", `{"job":{"repository":"acme/agents","lifetime":60}}`, &answer)
	if answer.Claims["aud"] != "https://github.com/acme" || answer.Claims["exp"].(float64)-answer.Claims["iat"].(float64) != 60 {
		t.Errorf("%v", answer.Claims)
	}
}

func TestControlAPIRefuses(t *testing.T) {
	c, srv := startCloud(t)
	tests := []struct {
		name, method, path, host, authorization, body string
		want                                          int
	}{
		{"health", "GET", "health", "", "Bearer " + c.ControlToken(), "", 200},
		{"localhost", "GET", "health", "localhost:1", "Bearer " + c.ControlToken(), "", 200},
		{"IPv6", "GET", "health", "[::1]:1", "Bearer " + c.ControlToken(), "", 200},
		{"a rebound name", "GET", "health", "evil.example", "Bearer " + c.ControlToken(), "", 403},
		{"a name like it", "GET", "health", "localhost.evil.example:80", "Bearer " + c.ControlToken(), "", 403},
		{"another address", "GET", "health", "10.0.0.1:80", "Bearer " + c.ControlToken(), "", 403},
		{"no token", "GET", "env", "", "", "", 401},
		{"an empty token", "GET", "env", "", "Bearer ", "", 401},
		{"another token", "GET", "env", "", "Bearer x", "", 401},
		{"unknown", "GET", "nothing", "", "Bearer " + c.ControlToken(), "", 404},
		{"another method", "POST", "journal", "", "Bearer " + c.ControlToken(), "", 404},
		{"no account", "GET", "env?account=1", "", "Bearer " + c.ControlToken(), "", 400},
		{"no JSON", "POST", "jobs", "", "Bearer " + c.ControlToken(), "x", 400},
		{"unknown member", "POST", "jobs", "", "Bearer " + c.ControlToken(), `{"repo":"a/b"}`, 400},
		{"repository without ids", "POST", "repositories", "", "Bearer " + c.ControlToken(), `{"owner":"a","name":"b"}`, 400},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(tt.method, "/_local/"+tt.path, strings.NewReader(tt.body))
		r.Host = or(tt.host, strings.TrimPrefix(srv.URL, "http://"))
		r.Header.Set("Authorization", tt.authorization)
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
	}
}

func TestControlAPI(t *testing.T) {
	c, srv := startCloud(t)
	var env map[string]string
	control(t, srv, "GET", "env?account=444455556666", "", &env)
	key, secret, err := c.Administrator("444455556666")
	if err != nil || env["AWS_ACCESS_KEY_ID"] != key || env["AWS_SECRET_ACCESS_KEY"] != secret || env["AWS_ENDPOINT_URL"] != srv.URL ||
		env["GITHUB_API_URL"] != srv.URL+"/api/v3" || env["GH_TOKEN"] == "" || len(env) != 8 {
		t.Errorf("%v %v", len(env), err)
	}
	var journal struct {
		Schema string
		Calls  []Call
	}
	control(t, srv, "GET", "journal", "", &journal)
	if journal.Schema != "slipway.journal/v1" || journal.Calls == nil || len(journal.Calls) != 0 {
		t.Errorf("%+v", journal)
	}
	registerGitHub(t, srv, DefaultAccount, "deploy", "x")
	control(t, srv, "GET", "journal", "", &journal)
	if len(journal.Calls) != 2 || journal.Calls[1].Resource != "arn:aws:iam::111122223333:role/deploy" || journal.Calls[1].Principal != "arn:aws:iam::111122223333:user/administrator" {
		t.Errorf("%+v", journal)
	}
	control(t, srv, "POST", "reset", "", nil)
	if len(c.Journal()) != 0 || c.ControlToken() == "" {
		t.Error("reset leaves the journal, or takes the control token")
	}
	control(t, srv, "GET", "health", "", nil)
}

func TestSecretsAreForTheirOwnerAlone(t *testing.T) {
	c, _ := startCloud(t)
	if _, _, err := c.Administrator(DefaultAccount); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(c.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestIssuerRefusesTheRest(t *testing.T) {
	c, _ := startCloud(t)
	for target, want := range map[string]int{
		"GET /.well-known/nothing":              404,
		"POST /.well-known/jwks":                405,
		"GET /.well-known/jwks":                 200,
		"GET /.well-known/openid-configuration": 200,
	} {
		method, path, _ := strings.Cut(target, " ")
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
		if want == 200 && strings.Contains(w.Body.String(), `"d":`) {
			t.Error("the private key is published")
		}
	}
}
