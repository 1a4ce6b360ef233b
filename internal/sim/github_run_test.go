package sim

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// gated makes an environment of acme/agents with protection.
func (j *githubJudge) gated(name string, protection map[string]any) (id int) {
	j.t.Helper()
	made := j.do("PUT", agentsPath+"/environments/"+name, protection, 200)
	return int(made["id"].(float64))
}

// reviewers are people and teams, as the call wants them.
func (j *githubJudge) reviewers(names ...string) []map[string]any {
	j.t.Helper()
	var list []map[string]any
	for _, name := range names {
		kind, path := "User", "/users/"+name
		if org, slug, ok := strings.Cut(name, "/"); ok {
			kind, path = "Team", "/orgs/"+org+"/teams/"+slug
		}
		list = append(list, map[string]any{"type": kind, "id": j.do("GET", path, nil, 200)["id"]})
	}
	return list
}

func runPath(s JobState) string { return agentsPath + "/actions/runs/" + s.RunID }

// review asks to approve or reject environments of a run.
func (j *githubJudge) review(s JobState, state, comment string, status int, ids ...int) []byte {
	j.t.Helper()
	return j.raw("POST", runPath(s)+"/pending_deployments", map[string]any{"environment_ids": ids, "state": state, "comment": comment}, status)
}

// people are whoever can read a repository.
func (j *githubJudge) people() {
	if me := j.as("hubot").do("GET", "/user", nil, 200); me["login"] != "hubot" {
		j.t.Errorf("%v", me)
	}
	j.as("stranger").do("GET", "/user", nil, 401)
	if team := j.list("GET", "/orgs/acme/teams/platform/members", nil, 200); len(team) != 2 || team[0]["login"] != "hubot" {
		j.t.Errorf("%v", team)
	}
	j.as("hubot").do("GET", agentsPath, nil, 200)
	j.as("monalisa").do("GET", "/repos/acme/secretive", nil, 404)
	j.as("octocat").do("GET", "/repos/acme/secretive", nil, 200)
	j.as("octocat").do("PUT", devPath, map[string]any{}, 403)
	j.as("octocat").do("GET", agentsPath+"/actions/secrets", nil, 403)
}

// runs are two jobs of one run, the second behind a gate, and a re-run.
func (j *githubJudge) runs() {
	t := j.t
	id := j.gated("stg", map[string]any{"prevent_self_review": true, "reviewers": j.reviewers("octocat", "acme/platform")})
	prove := j.start(Job{Name: "prove", Event: "workflow_dispatch"})
	j.end(prove, "success")
	promote := j.start(Job{Name: "promote", Environment: "stg", RunID: prove.RunID})
	if promote.RunID != prove.RunID || promote.Status != "waiting" || promote.Environ != nil || !slices.Equal(promote.Gate.MayApprove, []string{"hubot"}) {
		t.Fatalf("%+v %+v", promote, promote.Gate)
	}
	if run := j.do("GET", runPath(prove), nil, 200); run["status"] != "waiting" || run["conclusion"] != nil || run["run_attempt"] != 1.0 {
		t.Errorf("%v", run)
	}
	if list := j.do("GET", agentsPath+"/actions/runs?status=waiting&actor=octocat&branch=main&event=workflow_dispatch", nil, 200); list["total_count"] != 1.0 {
		t.Errorf("%v", list)
	}
	if list := j.do("GET", agentsPath+"/actions/runs?status=success", nil, 200); list["total_count"] != 0.0 {
		t.Errorf("%v", list)
	}
	j.do("GET", agentsPath+"/actions/runs?created=2020-01-01", nil, 501)
	if list := j.do("GET", agentsPath+"/actions/workflows", nil, 200); list["total_count"] != 1.0 {
		t.Errorf("%v", list)
	}
	if one := j.do("GET", agentsPath+"/actions/workflows/deploy-agent.yml", nil, 200); one["id"] != j.do("GET", runPath(prove), nil, 200)["workflow_id"] {
		t.Errorf("%v", one)
	}
	j.do("GET", agentsPath+"/actions/workflows/1", nil, 404)
	j.do("GET", runPath(prove)+"/artifacts", nil, 200)
	j.do("GET", "/repos/acme/secretive/actions/runs/"+prove.RunID, nil, 404)
	for login, may := range map[string]bool{"hubot": true, "octocat": false, "monalisa": false} {
		pending := j.as(login).list("GET", runPath(prove)+"/pending_deployments", nil, 200)
		if len(pending) != 1 || pending[0]["current_user_can_approve"] != may || len(pending[0]["reviewers"].([]any)) != 2 {
			t.Errorf("%s: %v", login, pending)
		}
	}
	j.wrongReviews(promote, id)
	if done := j.as("hubot").review(promote, "approved", "that digest", 200, id); !strings.Contains(string(done), `"environment":"stg"`) {
		t.Errorf("%s", done)
	}
	j.as("hubot").review(promote, "approved", "again", 422, id)
	if s := j.stands(promote); s.Status != "in_progress" || s.Environ["GITHUB_RUN_ID"] != prove.RunID || s.Environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] == "" {
		t.Errorf("%+v", s)
	}
	j.do("POST", runPath(prove)+"/rerun", nil, 403)
	j.end(promote, "success")
	if approvals := j.list("GET", runPath(prove)+"/approvals", nil, 200); len(approvals) != 1 || approvals[0]["comment"] != "that digest" || approvals[0]["user"].(map[string]any)["login"] != "hubot" {
		t.Errorf("%v", approvals)
	}
	j.rerun(prove.RunID)
}

// wrongReviews are refused, and change nothing.
func (j *githubJudge) wrongReviews(s JobState, id int) {
	j.t.Helper()
	for _, login := range []string{"octocat", "monalisa"} { // started it; is no reviewer
		if refusal := j.as(login).review(s, "approved", "", 422, id); !strings.Contains(string(refusal), "No pending deployment requests") {
			j.t.Errorf("%s: %s", login, refusal)
		}
	}
	j.review(s, "approved", "", 422, id) // the administrator is none either
	j.as("hubot").review(s, "approved", "", 422, id, 1)
	j.as("hubot").review(s, "approved", "", 422)
	j.as("hubot").review(s, "waved through", "", 422, id)
	path := runPath(s) + "/pending_deployments"
	for _, body := range []map[string]any{
		{"environment_ids": []int{id}, "state": "approved"},
		{"environment_ids": "all", "state": "approved", "comment": ""},
		{"environment_ids": []int{id}, "state": "approved", "comment": "", "force": true},
	} {
		j.as("hubot").do("POST", path, body, 422)
	}
	j.as("stranger").do("POST", path, map[string]any{}, 401)
	if now := j.stands(s); now.Status != "waiting" {
		j.t.Errorf("%+v", now)
	}
}

// rerun begins another attempt, whose jobs need another approval.
func (j *githubJudge) rerun(run string) {
	t, path := j.t, agentsPath+"/actions/runs/"+run
	j.do("POST", path+"/rerun", map[string]any{"debug": true}, 422)
	j.do("POST", path+"/rerun", map[string]any{"enable_debug_logging": false}, 201)
	if now := j.do("GET", path, nil, 200); now["status"] != "queued" || now["run_attempt"] != 2.0 || now["triggering_actor"].(map[string]any)["login"] != administratorLogin {
		t.Errorf("%v", now)
	}
	if first := j.do("GET", path+"/attempts/1", nil, 200); first["conclusion"] != "success" {
		t.Errorf("%v", first)
	}
	j.do("GET", path+"/attempts/3", nil, 404)
	again := j.start(Job{Name: "promote", Environment: "stg", RunID: run})
	if again.Status != "waiting" || slices.Contains(again.Gate.MayApprove, "octocat") {
		t.Errorf("%+v %+v", again, again.Gate)
	}
	for query, want := range map[string]float64{"/jobs": 1, "/jobs?filter=all": 3, "/attempts/1/jobs": 2} {
		if list := j.do("GET", path+query, nil, 200); list["total_count"] != want {
			t.Errorf("%s: %v", query, list)
		}
	}
	j.do("POST", path+"/cancel", nil, 202)
	j.do("POST", path+"/cancel", nil, 409)
	if s := j.stands(again); s.Conclusion != "cancelled" {
		t.Errorf("%+v", s)
	}
	check := j.do("GET", path+"/jobs", nil, 200)["jobs"].([]any)[0].(map[string]any)["id"].(float64)
	j.do("GET", agentsPath+"/check-runs/"+itoa(int(check))+"/annotations", nil, 200)
	j.do("GET", agentsPath+"/check-runs/1/annotations", nil, 404)
	if _, err := j.cloud().startJob(Job{Repository: "acme/agents", Name: "promote", RunID: run}, ""); err == nil {
		t.Error("two jobs of one name in an attempt")
	}
	if _, err := j.cloud().startJob(Job{Repository: "acme/agents", Name: "other", RunID: run, Ref: "refs/heads/topic"}, ""); err == nil {
		t.Error("a job of another ref than its run's")
	}
}

// TestGateHoldsTokensBack: no token of either kind before the approval, none
// after a rejection, none after the end; also over a restart.
func TestGateHoldsTokensBack(t *testing.T) {
	j := newGitHubJudge(t)
	id := j.gated("prd", map[string]any{"reviewers": j.reviewers("monalisa")})
	rejected, approved := j.start(Job{Environment: "prd"}), j.start(Job{Environment: "prd", GitHubToken: true})
	var record startedJob
	if !j.cloud().store.get(jobRecord+approved.ID, &record) {
		t.Fatal("no record")
	}
	tokens := func(want bool) {
		t.Helper()
		_, oidc := j.cloud().findJob(record.ID, record.RequestToken)
		_, api := j.cloud().jobOfToken(record.GitHubToken)
		if oidc != want || api != want {
			t.Errorf("ID token: %t, API: %t, want %t", oidc, api, want)
		}
	}
	tokens(false)
	j.as("monalisa").review(rejected, "rejected", "not on a Friday", 200, id)
	if s := j.stands(rejected); s.Conclusion != "failure" || !strings.Contains(s.Message, "monalisa: not on a Friday") || s.Environ != nil {
		t.Errorf("%+v", s)
	}
	j.end(rejected, "success") // too late
	if s := j.stands(rejected); s.Conclusion != "failure" {
		t.Errorf("%+v", s)
	}
	j.as("monalisa").review(approved, "approved", "", 200, id)
	tokens(true)
	kill(t, j.cloud())
	again := &Cloud{Dir: j.cloud().Dir}
	if err := again.Open(); err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, ok := again.findJob(record.ID, record.RequestToken); !ok {
		t.Error("the approval is forgotten")
	}
	must[JobState](t)(again.endJob(approved.ID, "failure"))
	if _, ok := again.findJob(record.ID, record.RequestToken); ok {
		t.Error("a job that has ended gets a token")
	}
}

// TestWaitTimer: by the cloud's clock, from when the job was started, and
// beside the approval.
func TestWaitTimer(t *testing.T) {
	j := newGitHubJudge(t)
	clock := &movedClock{at: time.Now()}
	j.cloud().Now = clock.now
	id := j.gated("prd", map[string]any{"wait_timer": 30, "reviewers": j.reviewers("monalisa")})
	j.gated("stg", map[string]any{"wait_timer": 30})
	both, timer := j.start(Job{Environment: "prd"}), j.start(Job{Environment: "stg"})
	if pending := j.list("GET", runPath(both)+"/pending_deployments", nil, 200); pending[0]["wait_timer"] != 30.0 || pending[0]["wait_timer_started_at"] == nil {
		t.Errorf("%v", pending)
	}
	j.as("monalisa").review(both, "approved", "", 200, id)
	for _, s := range []JobState{both, timer} {
		if s = j.stands(s); s.Status != "waiting" || s.Gate.Review {
			t.Errorf("%+v %+v", s, s.Gate)
		}
	}
	clock.add(30 * time.Minute)
	for _, s := range []JobState{both, timer} {
		if s = j.stands(s); s.Environ == nil {
			t.Errorf("%+v", s)
		}
	}
	clock.add(jobLifetime)
	if s := j.stands(both); s.Conclusion != "cancelled" {
		t.Errorf("%+v", s)
	}
	forever := j.start(Job{Environment: "prd"})
	clock.add(longestGate)
	if s := j.stands(forever); s.Conclusion != "failure" {
		t.Errorf("%+v", s)
	}
}

// TestWhoMayDeploy: refs and the environment's rule.
func TestWhoMayDeploy(t *testing.T) {
	custom := func(kind string, names ...string) githubEnvironment {
		e := githubEnvironment{Name: "prd", Branches: &branchRule{Custom: true}}
		for _, name := range names {
			e.Policies = append(e.Policies, branchPolicy{Name: name, Type: kind})
		}
		return e
	}
	protected := githubEnvironment{Name: "prd", Branches: &branchRule{Protected: true}}
	for _, c := range []struct {
		what      string
		e         githubEnvironment
		ref       string
		protected []string
		want      string // "" admits
	}{
		{"no rule", githubEnvironment{}, "refs/tags/v1", nil, ""},
		{"the branch", custom("branch", "main"), "refs/heads/main", nil, ""},
		{"another", custom("branch", "main"), "refs/heads/topic", nil, `Branch "topic" is not allowed to deploy to prd due to environment protection rules.`},
		{"upper case", custom("branch", "main"), "refs/heads/Main", nil, "Branch"},
		{"no policy", custom("branch"), "refs/heads/main", nil, "Branch"},
		{"a tag of the branch's name", custom("branch", "main"), "refs/tags/main", nil, `Tag "main" is not allowed to deploy to prd due to environment protection rules.`},
		{"a branch of the tag's name", custom("tag", "v*"), "refs/heads/v1", nil, "Branch"},
		{"a tag", custom("tag", "v*"), "refs/tags/v1", nil, ""},
		{"one part", custom("branch", "release/*"), "refs/heads/release/1", nil, ""},
		{"two parts", custom("branch", "release/*"), "refs/heads/release/1/2", nil, "Branch"},
		{"a star is no slash", custom("branch", "*"), "refs/heads/a/b", nil, "Branch"},
		{"any number of parts", custom("branch", "a/**/z"), "refs/heads/a/b/c/z", nil, ""},
		{"none of them", custom("branch", "a/**/z"), "refs/heads/a/z", nil, ""},
		{"a set", custom("branch", "v[0-9]"), "refs/heads/v1", nil, ""},
		{"not of a set", custom("branch", "v[!0-9]"), "refs/heads/v1", nil, "Branch"},
		{"a broken pattern", custom("branch", "v["), "refs/heads/v[", nil, "Branch"},
		{"a pull request", custom("branch", "main", "7/merge"), "refs/pull/7/merge", nil, "Branch"},
		{"a pull request that is meant", custom("branch", "refs/pull/*/merge"), "refs/pull/7/merge", nil, ""},
		{"protected", protected, "refs/heads/main", []string{"main"}, ""},
		{"not protected", protected, "refs/heads/topic", []string{"main"}, "Branch"},
		{"nothing is protected", protected, "refs/heads/topic", nil, ""},
		{"a tag named as protected", protected, "refs/tags/main", []string{"main"}, "Tag"},
	} {
		got := c.e.refuses(Job{Ref: c.ref, repository: Repository{Protected: c.protected}})
		if (c.want == "") != (got == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// TestRefusedRef: the job fails at once, says why, and leaves a deployment.
func TestRefusedRef(t *testing.T) {
	j := newGitHubJudge(t)
	j.gated("prd", map[string]any{"reviewers": j.reviewers("monalisa"), "deployment_branch_policy": map[string]bool{"protected_branches": false, "custom_branch_policies": true}})
	j.do("POST", agentsPath+"/environments/prd/deployment-branch-policies", map[string]any{"name": "main"}, 200)
	s := j.start(Job{Environment: "prd", Ref: "refs/tags/main"})
	if s.Status != "completed" || s.Conclusion != "failure" || !strings.Contains(s.Message, `Tag "main" is not allowed to deploy to prd`) || s.Environ != nil {
		t.Errorf("%+v", s)
	}
	job := j.do("GET", runPath(s)+"/jobs", nil, 200)["jobs"].([]any)[0].(map[string]any)
	notes := j.list("GET", agentsPath+"/check-runs/"+itoa(int(job["id"].(float64)))+"/annotations", nil, 200)
	if len(notes) != 2 || notes[1]["message"] != notDeployed {
		t.Errorf("%v", notes)
	}
	if got := j.states(1); got != "waiting failure" {
		t.Error(got)
	}
}

// states are a deployment's, oldest first.
func (j *githubJudge) states(id int) string {
	j.t.Helper()
	var states []string
	for _, s := range slices.Backward(j.list("GET", agentsPath+"/deployments/"+itoa(id)+"/statuses?per_page=100", nil, 200)) {
		states = append(states, s["state"].(string))
	}
	return strings.Join(states, " ")
}

// TestDeploymentsOfJobs: GitHub makes one for each job that names an
// environment, and says how it goes.
func TestDeploymentsOfJobs(t *testing.T) {
	j := newGitHubJudge(t)
	id := j.gated("stg", map[string]any{"reviewers": j.reviewers("monalisa")})
	for _, c := range []struct {
		job    Job
		review string
		end    string
		want   string
	}{
		{Job{Environment: "dev", EnvironmentURL: "https://dev.example.com"}, "", "success", "queued in_progress success"},
		{Job{Environment: "dev"}, "", "failure", "queued in_progress failure"},
		{Job{Environment: "stg"}, "approved", "success", "waiting queued in_progress success"},
		{Job{Environment: "stg"}, "rejected", "", "waiting failure"},
		{Job{Environment: "stg"}, "", "cancelled", "waiting error"},
	} {
		s := j.start(c.job)
		if c.review != "" {
			j.as("monalisa").review(s, c.review, "", 200, id)
		}
		if c.end != "" {
			j.end(s, c.end)
		}
		made := j.list("GET", agentsPath+"/deployments?per_page=1", nil, 200)[0]
		if got := j.states(int(made["id"].(float64))); got != c.want {
			t.Errorf("%+v: %s, want %s", c.job, got, c.want)
		}
		if made["creator"].(map[string]any)["login"] != actionsBot || made["ref"] != "main" || made["environment"] != c.job.Environment {
			t.Errorf("%v", made)
		}
	}
	first := j.list("GET", agentsPath+"/deployments/1/statuses", nil, 200)[0]
	if first["environment_url"] != "https://dev.example.com" || !strings.Contains(first["log_url"].(string), "/actions/runs/") {
		t.Errorf("%v", first)
	}
	if other := j.start(Job{Repository: "somebody/else", Environment: "dev"}); other.Environ == nil || len(j.cloud().store.keys(deploymentRecord)) != 5 {
		t.Error("a repository that nobody registered has a deployment")
	}
}

// deployments are made by calls as well.
func (j *githubJudge) deployments() {
	t, path := j.t, agentsPath+"/deployments"
	sha := strings.Repeat("a", 40)
	created := j.do("POST", path, map[string]any{"ref": sha, "environment": "green", "required_contexts": []string{}, "payload": map[string]any{"n": 1}, "description": "by hand"}, 201)
	if created["sha"] != sha || created["production_environment"] != false || created["creator"].(map[string]any)["login"] != administratorLogin {
		t.Errorf("%v", created)
	}
	one := path + "/" + itoa(int(created["id"].(float64)))
	if got := j.do("GET", one, nil, 200); got["payload"].(map[string]any)["n"] != 1.0 {
		t.Errorf("%v", got)
	}
	status := j.do("POST", one+"/statuses", map[string]any{"state": "success", "target_url": "https://log.example.com", "environment_url": "https://green.example.com", "description": "up"}, 201)
	if status["log_url"] != "https://log.example.com" || status["environment"] != "green" {
		t.Errorf("%v", status)
	}
	if same := j.do("GET", one+"/statuses/"+itoa(int(status["id"].(float64))), nil, 200); same["description"] != "up" {
		t.Errorf("%v", same)
	}
	for query, want := range map[string]int{"sha=" + sha: 1, "environment=green&task=deploy": 1, "environment=none&sha=" + sha: 1, "sha=0": 0, "task=other": 0, "ref=" + sha: 1} {
		if list := j.list("GET", path+"?"+query, nil, 200); len(list) != want {
			t.Errorf("%s: %d, want %d", query, len(list), want)
		}
	}
	for _, wrong := range []struct {
		path   string
		body   any
		status int
	}{
		{path, map[string]any{"environment": "green"}, 422},
		{path, map[string]any{"ref": ""}, 422},
		{path, map[string]any{"ref": "main", "stage": "green"}, 422},
		{path, map[string]any{"ref": "main", "payload": 7}, 422},
		{path, map[string]any{"ref": "main", "environment": strings.Repeat("x", 256)}, 422},
		{path, map[string]any{"ref": "main", "required_contexts": []string{"ci"}}, 409},
		{path, []int{1}, 400},
		{one + "/statuses", map[string]any{"state": "waiting"}, 422},
		{one + "/statuses", map[string]any{}, 422},
		{one + "/statuses", map[string]any{"state": "success", "description": strings.Repeat("é", 141)}, 422},
		{path + "/99/statuses", map[string]any{"state": "success"}, 404},
	} {
		j.do("POST", wrong.path, wrong.body, wrong.status)
	}
	if list := j.list("GET", one+"/statuses", nil, 200); len(list) != 1 {
		t.Errorf("%v", list)
	}
	j.do("GET", one+"/statuses/1", nil, 404)
	j.do("GET", "/repos/acme/secretive/deployments/"+itoa(int(created["id"].(float64))), nil, 404)
}

// TestInactive: a success makes those before it inactive, where they were one.
func TestInactive(t *testing.T) {
	j := newGitHubJudge(t)
	path := agentsPath + "/deployments"
	create := func(more map[string]any) int {
		body := map[string]any{"ref": "main", "environment": "blue"}
		for k, v := range more {
			body[k] = v
		}
		return int(j.do("POST", path, body, 201)["id"].(float64))
	}
	say := func(id int, state string, more map[string]any) {
		body := map[string]any{"state": state}
		for k, v := range more {
			body[k] = v
		}
		j.do("POST", path+"/"+itoa(id)+"/statuses", body, 201)
	}
	old, failed, other := create(nil), create(nil), create(map[string]any{"environment": "red"})
	transient, production := create(map[string]any{"transient_environment": true}), create(map[string]any{"production_environment": true})
	for _, id := range []int{old, other, transient, production} {
		say(id, "success", map[string]any{"auto_inactive": false})
	}
	say(failed, "failure", nil)
	say(create(nil), "in_progress", nil)
	if got := j.states(old); got != "success" {
		t.Error(got)
	}
	next := create(nil)
	say(next, "success", nil)
	for id, want := range map[int]string{old: "success inactive", failed: "failure", other: "success", transient: "success", production: "success", next: "success"} {
		if got := j.states(id); got != want {
			t.Errorf("%d: %s, want %s", id, got, want)
		}
	}
	say(next, "queued", map[string]any{"environment": "violet"})
	if d := j.do("GET", path+"/"+itoa(next), nil, 200); d["environment"] != "violet" || d["original_environment"] != "blue" {
		t.Errorf("%v", d)
	}
}

// TestPermissionsOfJobs: a job's token can what its workflow asks for.
func TestPermissionsOfJobs(t *testing.T) {
	j := newGitHubJudge(t)
	s := j.start(Job{Environment: "dev"})
	for _, c := range []struct {
		method, path string
		permissions  map[string]string
		status       int
	}{
		{"GET", "", nil, 200},
		{"GET", "/branches", nil, 200},
		{"GET", "/branches", map[string]string{"deployments": "write"}, 403},
		{"GET", "/deployments", nil, 403},
		{"GET", "/deployments", map[string]string{"deployments": "read"}, 200},
		{"POST", "/deployments", map[string]string{"deployments": "read"}, 403},
		{"POST", "/deployments", map[string]string{"deployments": "write"}, 201},
		{"GET", "/actions/runs", map[string]string{"actions": "read"}, 200},
		{"GET", "/environments/dev", map[string]string{"actions": "read"}, 200},
		{"POST", "/actions/runs/" + s.RunID + "/cancel", map[string]string{"actions": "read"}, 403},
		{"POST", "/actions/runs/" + s.RunID + "/pending_deployments", nil, 403},
		{"POST", "/actions/runs/" + s.RunID + "/pending_deployments", map[string]string{"deployments": "write"}, 422},
		{"GET", "/actions/secrets", map[string]string{"actions": "write"}, 403},
		{"PUT", "/environments/dev", map[string]string{"actions": "write", "deployments": "write"}, 403},
	} {
		job := *j
		job.token = j.start(Job{Permissions: c.permissions, GitHubToken: true}).Environ["GITHUB_TOKEN"]
		body := map[string]any{"ref": "main", "environment_ids": []int{1}, "state": "approved", "comment": ""}
		if strings.HasSuffix(c.path, "/deployments") {
			body = map[string]any{"ref": "main"}
		} else if strings.HasSuffix(c.path, "/pending_deployments") {
			delete(body, "ref")
		}
		if c.method == http.MethodGet {
			body = nil
		}
		var sent any
		if body != nil {
			sent = body
		}
		t.Run(fmt.Sprint(c.method, c.path, c.permissions), func(t *testing.T) {
			job.t = t
			job.do(c.method, agentsPath+c.path, sent, c.status)
		})
	}
	for name, level := range map[string]string{"id-token": "write", "contents": "admin", "weather": "read"} {
		if _, err := j.cloud().startJob(Job{Repository: "acme/agents", Permissions: map[string]string{name: level}}, ""); err == nil {
			t.Errorf("%s: %s is granted", name, level)
		}
	}
}

// TestReviewsAtOnce: one approval counts, and each job of a run is in it.
func TestReviewsAtOnce(t *testing.T) {
	j := newGitHubJudge(t)
	id := j.gated("prd", map[string]any{"reviewers": j.reviewers("monalisa", "acme/platform")})
	run := j.start(Job{Environment: "prd", Name: "first"}).RunID
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			if _, err := j.cloud().startJob(Job{Repository: "acme/agents", RunID: run, Name: fmt.Sprint(i), Environment: "dev"}, ""); err != nil {
				t.Error(err)
			}
		})
	}
	statuses := make(chan int, 3)
	for _, login := range []string{"monalisa", "hubot", "octocat"} {
		wait.Go(func() {
			body := fmt.Sprintf(`{"environment_ids":[%d],"state":"approved","comment":""}`, id)
			r := httptest.NewRequest(http.MethodPost, "/api/v3"+agentsPath+"/actions/runs/"+run+"/pending_deployments", strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+personToken(j.token, login))
			w := httptest.NewRecorder()
			j.cloud().ServeHTTP(w, r)
			statuses <- w.Code
		})
	}
	wait.Wait()
	close(statuses)
	var got []int
	for status := range statuses {
		got = append(got, status)
	}
	slices.Sort(got)
	if !slices.Equal(got, []int{200, 422, 422}) {
		t.Errorf("%v", got)
	}
	if list := j.do("GET", agentsPath+"/actions/runs/"+run+"/jobs", nil, 200); list["total_count"] != 5.0 {
		t.Errorf("%v", list["total_count"])
	}
}
