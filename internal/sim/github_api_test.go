package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/crypto/nacl/box"
)

// githubJudge is a client of the API that holds every call and answer to
// GitHub's own description.
type githubJudge struct {
	t     *testing.T
	srv   *httptest.Server
	token string
	api   map[string]judgedOperation
	saw   map[string]bool // operations
}

type judgedOperation struct {
	ID        string         `json:"id"`
	Request   any            `json:"request"`
	Responses map[string]any `json:"responses"`
}

func newGitHubJudge(t *testing.T) *githubJudge {
	t.Helper()
	raw, err := os.ReadFile("testdata/github/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var description struct{ Operations map[string]judgedOperation }
	if err := json.Unmarshal(raw, &description); err != nil {
		t.Fatal(err)
	}
	c, srv := startCloud(t)
	for _, r := range []Repository{
		{Owner: "acme", OwnerID: "1001", Name: "agents", ID: "2002", Immutable: true, Readers: []string{"octocat", "monalisa", "acme/platform"},
			Teams: map[string][]string{"acme/platform": {"hubot", "octocat"}}},
		{Owner: "acme", OwnerID: "1001", Name: "secretive", ID: "2003", Private: true, Readers: []string{"octocat"}},
	} {
		if err := c.registerRepository(r); err != nil {
			t.Fatal(err)
		}
	}
	token, err := c.githubToken()
	if err != nil {
		t.Fatal(err)
	}
	// A job that waits has a deployment that does: GitHub's answers have been
	// seen to say so, and its description leaves the word out.
	for _, name := range []string{"GET " + statusesPattern, "GET " + statusesPattern + "/{status_id}"} {
		alsoWaiting(description.Operations[name].Responses["200"])
	}
	return &githubJudge{t: t, srv: srv, token: token, api: description.Operations, saw: map[string]bool{}}
}

const statusesPattern = "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses"

// alsoWaiting adds the word to the enumeration of a deployment's states.
func alsoWaiting(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, v := range s {
			alsoWaiting(v)
		}
	case map[string]any:
		if values, ok := s["enum"].([]any); ok && slices.Contains(values, any("inactive")) {
			s["enum"] = append(values, "waiting")
		}
		for _, v := range s {
			alsoWaiting(v)
		}
	}
}

// as is the judge as a person, or as a job with its token.
func (j *githubJudge) as(login string) *githubJudge {
	j.t.Helper()
	other := *j
	other.token = personToken(j.token, login)
	return &other
}

// cloud is the one that is judged.
func (j *githubJudge) cloud() *Cloud { return j.srv.Config.Handler.(*Cloud) }

// start starts a job.
func (j *githubJudge) start(job Job) JobState {
	j.t.Helper()
	if job.Repository == "" {
		job.Repository = "acme/agents"
	}
	return must[JobState](j.t)(j.cloud().startJob(job, "localhost"))
}

// stands is how a job stands now.
func (j *githubJudge) stands(s JobState) JobState {
	j.t.Helper()
	return must[JobState](j.t)(j.cloud().jobState(s.ID, "localhost"))
}

// end ends a job.
func (j *githubJudge) end(s JobState, conclusion string) {
	j.t.Helper()
	must[JobState](j.t)(j.cloud().endJob(s.ID, conclusion))
}

// list is do for a list.
func (j *githubJudge) list(method, path string, body any, status int) []map[string]any {
	j.t.Helper()
	var out []map[string]any
	if err := json.Unmarshal(j.raw(method, path, body, status), &out); err != nil {
		j.t.Fatal(err)
	}
	return out
}

// operation finds the description of a call; a name that is written out counts
// before one that is left open.
func (j *githubJudge) operation(method, path string) judgedOperation {
	j.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	best, fewest := judgedOperation{}, len(path)
	for name, op := range j.api {
		verb, pattern, _ := strings.Cut(name, " ")
		re := regexp.MustCompile("^" + regexp.MustCompile(`\\\{[a-z_]+\\\}`).ReplaceAllString(regexp.QuoteMeta(pattern), "[^/]+") + "$")
		if open := strings.Count(pattern, "{"); verb == method && re.MatchString(path) && open < fewest {
			best, fewest = op, open
		}
	}
	if best.ID == "" {
		j.t.Fatalf("the description has no %s %s", method, path)
	}
	return best
}

// do calls the API, expects a status, and holds both sides to the description.
func (j *githubJudge) do(method, path string, body any, status int) map[string]any {
	j.t.Helper()
	var out map[string]any
	_ = json.Unmarshal(j.raw(method, path, body, status), &out) // some are empty, some are lists
	return out
}

func (j *githubJudge) raw(method, path string, body any, status int) []byte {
	j.t.Helper()
	op := j.operation(method, path)
	if status < 300 {
		j.saw[op.ID] = true
	}
	var raw []byte
	if body != nil {
		raw, _ = json.Marshal(body) // maps and structs of ours
		if status < 300 {
			j.valid(op.ID+" request", op.Request, raw)
		}
	}
	req, err := http.NewRequestWithContext(j.t.Context(), method, j.srv.URL+"/api/v3"+path, bytes.NewReader(raw))
	if err != nil {
		j.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+j.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		j.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status {
		j.t.Fatalf("%s %s: %s %s, %v", method, path, resp.Status, answer, err)
	}
	if schema := op.Responses[itoa(status)]; schema != nil {
		j.valid(op.ID+" answer", schema, answer)
	}
	return answer
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func (j *githubJudge) valid(what string, schema any, raw []byte) {
	j.t.Helper()
	if schema == nil {
		return
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", schema); err != nil {
		j.t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		j.t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err == nil {
		err = compiled.Validate(instance)
	}
	if err != nil {
		j.t.Errorf("%s is not as GitHub describes it: %v\n%s", what, err, raw)
	}
}

const agentsPath, devPath = "/repos/acme/agents", "/repos/acme/agents/environments/dev"

// TestGitHubAsDescribed sets an environment up by every operation there is.
func TestGitHubAsDescribed(t *testing.T) {
	j := newGitHubJudge(t)
	if repo := j.do("GET", agentsPath, nil, 200); repo["id"] != 2002.0 || repo["default_branch"] != "main" {
		t.Errorf("%v", repo)
	}
	j.do("GET", "/repos/acme/nothing", nil, 404)
	j.do("GET", agentsPath+"/branches", nil, 200)
	user, team := j.do("GET", "/users/octocat", nil, 200)["id"], j.do("GET", "/orgs/acme/teams/platform", nil, 200)["id"]
	j.do("GET", "/users/nobody", nil, 404)
	j.do("GET", "/orgs/acme/teams/nobody", nil, 404)
	made := j.do("PUT", devPath, map[string]any{"prevent_self_review": true, "reviewers": []map[string]any{{"type": "User", "id": user}, {"type": "Team", "id": team}},
		"deployment_branch_policy": map[string]bool{"protected_branches": false, "custom_branch_policies": true}}, 200)
	if rules := made["protection_rules"].([]any); len(rules) != 2 {
		t.Errorf("%v", rules)
	}
	j.do("PUT", devPath, map[string]any{"reviewers": []map[string]any{{"type": "User", "id": 1}}}, 422)
	j.do("PUT", devPath, map[string]any{"deployment_branch_policy": map[string]bool{"protected_branches": true, "custom_branch_policies": true}}, 422)
	policy := j.do("POST", devPath+"/deployment-branch-policies", map[string]any{"name": "main", "type": "branch"}, 200)
	j.do("POST", devPath+"/deployment-branch-policies", map[string]any{"name": "release/*"}, 200)
	if list := j.do("GET", devPath+"/deployment-branch-policies", nil, 200); list["total_count"] != 2.0 {
		t.Errorf("%v", list)
	}
	one := devPath + "/deployment-branch-policies/" + itoa(int(policy["id"].(float64)))
	if p := j.do("PUT", one, map[string]any{"name": "trunk"}, 200); p["name"] != "trunk" || p["type"] != "branch" {
		t.Errorf("%v", p)
	}
	if p := j.do("GET", one, nil, 200); p["name"] != "trunk" {
		t.Errorf("%v", p)
	}
	j.do("DELETE", one, nil, 204)
	if list := j.do("GET", agentsPath+"/environments", nil, 200); list["total_count"] != 1.0 {
		t.Errorf("%v", list)
	}
	for _, under := range []string{devPath, agentsPath + "/actions"} {
		j.variables(under)
		j.secrets(under)
	}
	if e := j.do("GET", devPath, nil, 200); e["can_admins_bypass"] != true {
		t.Errorf("%v", e)
	}
	j.do("DELETE", devPath, nil, 204)
	j.do("GET", devPath, nil, 404)
	if form := j.do("GET", agentsPath+"/actions/oidc/customization/sub", nil, 200); form["sub_claim_prefix"] != "repo:acme@1001/agents@2002" || form["use_default"] != true {
		t.Errorf("%v", form)
	}
	j.subjects()
	j.people()
	j.runs()
	j.deployments()
	for _, r := range (&Cloud{}).githubRoutes() {
		if op := j.api[r.method+" "+r.path]; op.ID != r.name || !j.saw[op.ID] {
			t.Errorf("%s %s is %q in the description and %q here; it was called: %t", r.method, r.path, op.ID, r.name, j.saw[op.ID])
		}
		delete(j.api, r.method+" "+r.path)
	}
	if len(j.api) > 0 {
		t.Errorf("not served: %v", slices.Collect(maps.Keys(j.api)))
	}
}

// subjects follow the repository's template, or the owner's where it says so.
func (j *githubJudge) subjects() {
	const own, owners = agentsPath + "/actions/oidc/customization/sub", "/orgs/acme/actions/oidc/customization/sub"
	cloud := j.srv.Config.Handler.(*Cloud)
	expect := func(want string) {
		j.t.Helper()
		_, claims, err := cloud.issue(mustComplete(j.t, cloud, Job{Repository: "acme/agents", Environment: "prd"}), "")
		if err != nil || claims["sub"] != want {
			j.t.Errorf("got %v, want %s, %v", claims["sub"], want, err)
		}
	}
	j.do("PUT", own, map[string]any{"use_default": false, "include_claim_keys": []string{"repo", "context", "ref"}}, 201)
	expect("repo:acme@1001/agents@2002:environment:prd:ref:refs/heads/main")
	j.do("PUT", own, map[string]any{"use_default": false, "include_claim_keys": []string{"weather"}}, 422)
	j.do("PUT", own, map[string]any{}, 422)
	j.do("PUT", own, map[string]any{"use_default": false, "use_immutable_subject": false}, 201)
	expect("repo:acme/agents:environment:prd")
	j.do("GET", owners, nil, 200)
	j.do("PUT", owners, map[string]any{"include_claim_keys": []string{"repository_owner", "environment"}}, 201)
	expect("repository_owner:acme:environment:prd")
	if form := j.do("GET", own, nil, 200); form["use_default"] != false || form["use_immutable_subject"] != false || len(form["include_claim_keys"].([]any)) != 2 {
		j.t.Errorf("%v", form)
	}
	j.do("PUT", own, map[string]any{"use_default": true, "use_immutable_subject": true}, 201)
	expect("repo:acme@1001/agents@2002:environment:prd")
}

func (j *githubJudge) variables(under string) {
	j.do("POST", under+"/variables", map[string]string{"name": "AWS_DEPLOY_ROLE_ARN", "value": "arn:…"}, 201)
	j.do("POST", under+"/variables", map[string]string{"name": "aws_deploy_role_arn", "value": "x"}, 409)
	j.do("POST", under+"/variables", map[string]string{"name": "GITHUB_X", "value": "x"}, 422)
	j.do("PATCH", under+"/variables/AWS_DEPLOY_ROLE_ARN", map[string]string{"value": "new"}, 204)
	if v := j.do("GET", under+"/variables/AWS_DEPLOY_ROLE_ARN", nil, 200); v["value"] != "new" {
		j.t.Errorf("%v", v)
	}
	if list := j.do("GET", under+"/variables?per_page=10", nil, 200); list["total_count"] != 1.0 {
		j.t.Errorf("%v", list)
	}
	j.do("DELETE", under+"/variables/AWS_DEPLOY_ROLE_ARN", nil, 204)
	j.do("GET", under+"/variables/AWS_DEPLOY_ROLE_ARN", nil, 404)
}

func (j *githubJudge) secrets(under string) {
	key := j.do("GET", under+"/secrets/public-key", nil, 200)
	public, err := base64.StdEncoding.DecodeString(key["key"].(string))
	if err != nil || len(public) != 32 {
		j.t.Fatal(err)
	}
	sealed, err := box.SealAnonymous(nil, []byte("canary"), (*[32]byte)(public), nil)
	if err != nil {
		j.t.Fatal(err)
	}
	secret := map[string]any{"encrypted_value": base64.StdEncoding.EncodeToString(sealed), "key_id": key["key_id"]}
	j.do("PUT", under+"/secrets/TOKEN", secret, 201)
	j.do("PUT", under+"/secrets/TOKEN", secret, 204)
	j.do("PUT", under+"/secrets/TOKEN", map[string]any{"encrypted_value": secret["encrypted_value"], "key_id": "1"}, 422)
	j.do("PUT", under+"/secrets/TOKEN", map[string]any{"encrypted_value": "bm90aGluZw==", "key_id": key["key_id"]}, 422)
	if list := j.do("GET", under+"/secrets", nil, 200); list["total_count"] != 1.0 {
		j.t.Errorf("%v", list)
	}
	if one := j.do("GET", under+"/secrets/token", nil, 200); one["name"] != "TOKEN" || len(one) != 3 {
		j.t.Errorf("%v", one)
	}
	j.do("DELETE", under+"/secrets/TOKEN", nil, 204)
	j.do("GET", under+"/secrets/TOKEN", nil, 404)
}

// TestGitHubDropsReviewers: on a private repository of a plan without them,
// reviewers are dropped without a word.
func TestGitHubDropsReviewers(t *testing.T) {
	j := newGitHubJudge(t)
	user := j.do("GET", "/users/octocat", nil, 200)["id"]
	made := j.do("PUT", "/repos/acme/secretive/environments/prd", map[string]any{"prevent_self_review": true, "reviewers": []map[string]any{{"type": "User", "id": user}}}, 200)
	if rules := made["protection_rules"].([]any); len(rules) != 0 {
		t.Errorf("%v", rules)
	}
}

// TestGitHubAsksWho: no token, a wrong one, and a path that is not served.
func TestGitHubAsksWho(t *testing.T) {
	j := newGitHubJudge(t)
	for _, call := range []struct {
		path, token string
		status      int
	}{
		{agentsPath, "", 401},
		{agentsPath, "ghp_wrong", 401},
		{agentsPath + "/pulls", j.token, 501},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", j.srv.URL+"/api/v3"+call.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if call.token != "" {
			req.Header.Set("Authorization", "token "+call.token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != call.status {
			t.Errorf("%s with %q: %s", call.path, call.token, resp.Status)
		}
	}
}

// TestSubjectsFollowTheTemplate: what the API says is what tokens carry.
func TestSubjectsFollowTheTemplate(t *testing.T) {
	r := Repository{Owner: "acme", OwnerID: "1", Name: "agents", ID: "2"}
	j := Job{Environment: "a:b", Ref: "refs/heads/main", Event: "push", JobWorkflowRef: "acme/agents/.github/workflows/x.yml@refs/heads/main"}
	for _, c := range []struct {
		immutable bool
		keys      []string
		want      string
	}{
		{false, nil, "repo:acme/agents:environment:a%3Ab"},
		{true, nil, "repo:acme@1/agents@2:environment:a%3Ab"},
		{true, []string{"repo", "context", "job_workflow_ref"}, "repo:acme@1/agents@2:environment:a%3Ab:job_workflow_ref:acme/agents/.github/workflows/x.yml@refs/heads/main"},
		{false, []string{"repository_id", "environment"}, "repository_id:2:environment:a%3Ab"},
	} {
		r.Immutable, r.ClaimKeys = c.immutable, c.keys
		j.repository = r
		if got := j.subject(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// TestBornEnvironment: a job that names an environment makes it, unprotected.
func TestBornEnvironment(t *testing.T) {
	j := newGitHubJudge(t)
	c := j.srv.Config.Handler.(*Cloud)
	j.do("GET", devPath, nil, 404)
	if _, err := c.startJob(Job{Repository: "acme/agents", Environment: "dev"}, "localhost"); err != nil {
		t.Fatal(err)
	}
	if rules := j.do("GET", devPath, nil, 200)["protection_rules"].([]any); len(rules) != 0 {
		t.Errorf("%v", rules)
	}
}
