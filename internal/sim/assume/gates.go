package assume

import (
	"context"
	"net/http"
	"strconv"
	"strings"
)

// Repository is a repository on GitHub whose jobs a test may start: its people
// are Starter, who starts runs, and Reviewer.
type Repository struct {
	API, Name         string // base URL of the API; owner/name
	Starter, Reviewer string
	// Token is the token of a person, or of an administrator for "".
	Token func(ctx context.Context, login string) (string, error)
	// Start starts a job (environment, ref, run_id, name) and returns the id of
	// its run; End ends a job of that name with a conclusion.
	Start func(ctx context.Context, job map[string]any) (run string, err error)
	End   func(ctx context.Context, run, conclusion string) error
}

// gates lists the assumptions about the gates of environments, and about
// deployments. No real repository is asked: a workflow would have to wait in it.
func gates() []Assumption {
	return []Assumption{
		{"A901", Local, a901JobsWait}, {"A902", Local, a902OnlyReviewersMay}, {"A903", Local, a903RefsAreRefused}, {"A904", Local, a904RejectedJobsFail},
		{"A905", Local, a905DeploymentsFollowJobs}, {"A906", Local, a906CancelledIsError}, {"A907", Local, a907NothingProtected},
	}
}

// github calls the API as a person, or as the administrator for "".
func (a *Account) github(t T, login, method, path string, body any) answer {
	t.Helper()
	if a.GitHub == nil {
		t.Fatalf("no repository can be asked")
	}
	token, err := a.GitHub.Token(t.Context(), login)
	if err != nil {
		t.Fatalf("the token of %q: %v", login, err)
	}
	header := map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json"}
	address := a.GitHub.API + path
	if !strings.HasPrefix(path, "/users/") {
		address = a.GitHub.API + "/repos/" + a.GitHub.Name + path
	}
	return a.send(t, method+" "+path, a.request(t, method, address, encode(t, body), header))
}

// gate makes an environment that the reviewer has to approve, for the branch
// main alone where branches is so, and returns its name and id.
func (a *Account) gate(t T, protection document) (name, id string) {
	t.Helper()
	name = a.name()
	if protection == nil {
		reviewer := func(login string) document {
			return document{"type": "User", "id": a.github(t, "", http.MethodGet, "/users/"+login, nil).want(t, http.StatusOK).at("id")}
		}
		protection = document{"prevent_self_review": true, "reviewers": []document{reviewer(a.GitHub.Reviewer), reviewer(a.GitHub.Starter)}}
	}
	made := a.github(t, "", http.MethodPut, "/environments/"+name, protection).want(t, http.StatusOK)
	later(t, func(t T) { a.github(t, "", http.MethodDelete, "/environments/"+name, nil) })
	return name, made.text("id")
}

// begun starts a job and returns the path of its run.
func (a *Account) begun(t T, job document) (run, path string) {
	t.Helper()
	run, err := a.GitHub.Start(t.Context(), job)
	if err != nil || run == "" {
		t.Fatalf("starting %v: run %q, %v", job, run, err)
	}
	return run, "/actions/runs/" + run
}

// review decides about what waits in a run.
func (a *Account) review(t T, login, path, id, state string) answer {
	t.Helper()
	body := `{"environment_ids":[` + id + `],"state":"` + state + `","comment":"why"}`
	return a.github(t, login, http.MethodPost, path+"/pending_deployments", body)
}

// states are those of the newest deployment to an environment, oldest first.
func (a *Account) states(t T, environment string) string {
	t.Helper()
	made := a.github(t, "", http.MethodGet, "/deployments?environment="+environment, nil).want(t, http.StatusOK)
	list := a.github(t, "", http.MethodGet, "/deployments/"+made.text("0.id")+"/statuses", nil).want(t, http.StatusOK)
	var states []string
	for i := list.count("") - 1; i >= 0; i-- {
		states = append(states, list.text(strconv.Itoa(i)+".state"))
	}
	return strings.Join(states, " ")
}

// A901: A job whose environment has reviewers waits, its run with it; one
// approval lets it go on.
// Source: GitHub docs, "Deployments and environments" (required reviewers); REST API, review pending deployments.
// Confidence: H.
func a901JobsWait(t T, a *Account) {
	environment, id := a.gate(t, nil)
	_, path := a.begun(t, document{"environment": environment})
	same(t, "the run", a.github(t, "", http.MethodGet, path, nil).text("status"), "waiting")
	same(t, "the job", a.github(t, "", http.MethodGet, path+"/jobs", nil).text("jobs.0.status"), "waiting")
	pending := a.github(t, a.GitHub.Reviewer, http.MethodGet, path+"/pending_deployments", nil)
	same(t, "what waits", pending.text("0.environment.name")+" "+pending.text("0.current_user_can_approve"), environment+" true")
	a.review(t, a.GitHub.Reviewer, path, id, "approved").want(t, http.StatusOK)
	same(t, "the run", a.github(t, "", http.MethodGet, path, nil).text("status"), "in_progress")
}

// A902: Who is no reviewer, or started the run where self-review is prevented,
// is refused with 422 Validation Failed, "No pending deployment requests to
// approve or reject".
// Source: transcripts of gh api in several repositories (2025, 2026); whether the re-run counts or the first run is open: here both do.
// Confidence: M.
func a902OnlyReviewersMay(t T, a *Account) {
	environment, id := a.gate(t, nil)
	_, path := a.begun(t, document{"environment": environment})
	for _, login := range []string{a.GitHub.Starter, ""} {
		x := a.review(t, login, path, id, "approved").want(t, http.StatusUnprocessableEntity)
		same(t, "errors", x.text("errors"), "No pending deployment requests to approve or reject")
	}
}

// A903: A job whose ref the environment does not admit fails at once; its
// annotations are "Branch "X" is not allowed to deploy to E due to environment
// protection rules." and "The deployment was rejected or didn't satisfy other
// protection rules."; its deployment was waiting, and failed.
// Source: SBC-Utrecht/pytom-match-pick#291, peaceiris/actions-gh-pages#725, and transcripts of check runs; Tag "X" for tags.
// Confidence: H for the words, M for the deployment.
func a903RefsAreRefused(t T, a *Account) {
	environment, _ := a.gate(t, document{"deployment_branch_policy": document{"protected_branches": false, "custom_branch_policies": true}})
	a.github(t, "", http.MethodPost, "/environments/"+environment+"/deployment-branch-policies", document{"name": "main"}).want(t, http.StatusOK)
	for ref, want := range map[string]string{"refs/heads/topic": `Branch "topic"`, "refs/tags/main": `Tag "main"`} {
		_, path := a.begun(t, document{"environment": environment, "ref": ref})
		job := a.github(t, "", http.MethodGet, path+"/jobs", nil)
		same(t, "the job of "+ref, job.text("jobs.0.conclusion"), "failure")
		notes := a.github(t, "", http.MethodGet, "/check-runs/"+job.text("jobs.0.id")+"/annotations", nil)
		same(t, "the first annotation", notes.text("0.message"), want+" is not allowed to deploy to "+environment+" due to environment protection rules.")
		same(t, "the second", notes.text("1.message"), "The deployment was rejected or didn't satisfy other protection rules.")
		same(t, "its deployment", a.states(t, environment), "waiting failure")
	}
}

// A904: A job that was rejected fails, and its run and its deployment with it.
// Source: GitHub docs, "Reviewing deployments" (the workflow fails); the state of the deployment is open.
// Confidence: H for the run, L for the deployment.
func a904RejectedJobsFail(t T, a *Account) {
	environment, id := a.gate(t, nil)
	_, path := a.begun(t, document{"environment": environment})
	a.review(t, a.GitHub.Reviewer, path, id, "rejected").want(t, http.StatusOK)
	same(t, "the run", a.github(t, "", http.MethodGet, path, nil).text("conclusion"), "failure")
	same(t, "its deployment", a.states(t, environment), "waiting failure")
}

// A905: A job that names an environment has a deployment by
// github-actions[bot], which is waiting while the job is, then queued, in
// progress, and a success or a failure. A success makes the one before inactive.
// Source: GitHub docs, "Deployments and environments"; REST API, create a deployment status (auto_inactive). The description of answers leaves waiting out; reports of check runs have it.
// Confidence: M.
func a905DeploymentsFollowJobs(t T, a *Account) {
	environment, id := a.gate(t, nil)
	for range 2 {
		run, path := a.begun(t, document{"environment": environment})
		a.review(t, a.GitHub.Reviewer, path, id, "approved").want(t, http.StatusOK)
		if err := a.GitHub.End(t.Context(), run, "success"); err != nil {
			t.Fatalf("ending the job: %v", err)
		}
		same(t, "its deployment", a.states(t, environment), "waiting queued in_progress success")
	}
	all := a.github(t, "", http.MethodGet, "/deployments?environment="+environment, nil)
	same(t, "its creator", all.text("0.creator.login"), "github-actions[bot]")
	before := a.github(t, "", http.MethodGet, "/deployments/"+all.text("1.id")+"/statuses", nil)
	same(t, "the one before", before.text("0.state"), "inactive")
}

// A906: The deployment of a job that was cancelled ends as an error.
// Source: none: a deployment knows no cancelled, and GitHub does not say.
// Confidence: L.
func a906CancelledIsError(t T, a *Account) {
	environment, _ := a.gate(t, nil)
	_, path := a.begun(t, document{"environment": environment})
	a.github(t, "", http.MethodPost, path+"/cancel", nil).want(t, http.StatusAccepted)
	same(t, "its deployment", a.states(t, environment), "waiting error")
}

// A907: An environment for protected branches alone admits every branch of a
// repository that protects none.
// Source: GitHub docs, "Deployments and environments" (deployment branches and tags).
// Confidence: H for branches, L that a tag is refused.
func a907NothingProtected(t T, a *Account) {
	environment, _ := a.gate(t, document{"deployment_branch_policy": document{"protected_branches": true, "custom_branch_policies": false}})
	for ref, want := range map[string]string{"refs/heads/topic": "in_progress", "refs/tags/topic": "completed"} {
		_, path := a.begun(t, document{"environment": environment, "ref": ref})
		same(t, "the run of "+ref, a.github(t, "", http.MethodGet, path, nil).text("status"), want)
	}
}
