package sim

import (
	"errors"
	"net/http"
	"strconv"
	"testing"

	"github.com/google/go-github/v92/github"
)

// goGitHub is Google's client of the API, as whoever has a token.
func goGitHub(t *testing.T, j *githubJudge) *github.Client {
	t.Helper()
	c, err := github.NewClient(github.WithAuthToken(j.token), github.WithEnterpriseURLs(j.srv.URL, j.srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGoGitHub: a client that nobody here wrote sets a gate up, sees a run wait
// before it, is refused its own review, approves as another, and follows the
// deployment.
func TestGoGitHub(t *testing.T) {
	j := newGitHubJudge(t)
	ctx, admin, octocat, hubot := t.Context(), goGitHub(t, j), goGitHub(t, j.as("octocat")), goGitHub(t, j.as("hubot"))
	team := first[*github.Team](t)(admin.Teams.GetTeamBySlug(ctx, "acme", "platform"))
	made := first[*github.Environment](t)(admin.Repositories.CreateUpdateEnvironment(ctx, "acme", "agents", "prd", &github.CreateUpdateEnvironment{
		Reviewers: []*github.EnvReviewers{{Type: new("Team"), ID: team.ID}}, PreventSelfReview: new(true), CanAdminsBypass: new(false),
		DeploymentBranchPolicy: &github.BranchPolicy{ProtectedBranches: new(false), CustomBranchPolicies: new(true)}}))
	first[*github.DeploymentBranchPolicy](t)(admin.Repositories.CreateDeploymentBranchPolicy(ctx, "acme", "agents", "prd", github.CreateDeploymentBranchPolicyRequest{Name: "main"}))

	s := j.start(Job{Environment: "prd", Name: "promote"})
	runs := first[*github.WorkflowRuns](t)(hubot.Actions.ListRepositoryWorkflowRuns(ctx, "acme", "agents", &github.ListWorkflowRunsOptions{Status: "waiting"}))
	if runs.GetTotalCount() != 1 {
		t.Fatalf("%v", runs)
	}
	run := runs.WorkflowRuns[0].GetID()
	jobs := first[*github.Jobs](t)(hubot.Actions.ListWorkflowJobs(ctx, "acme", "agents", run, nil))
	if jobs.Jobs[0].GetStatus() != "waiting" || jobs.Jobs[0].GetName() != "promote" {
		t.Errorf("%v", jobs.Jobs[0])
	}
	approve := github.PendingDeploymentsRequest{EnvironmentIDs: []int64{made.GetID()}, State: "approved", Comment: "that digest"}
	_, _, err := octocat.Actions.PendingDeployments(ctx, "acme", "agents", run, approve)
	var refusal *github.ErrorResponse
	if !errors.As(err, &refusal) || refusal.Response.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a review of one's own: %v", err)
	}
	for client, may := range map[*github.Client]bool{hubot: true, octocat: false} {
		pending := first[[]*github.PendingDeployment](t)(client.Actions.GetPendingDeployments(ctx, "acme", "agents", run))
		if len(pending) != 1 || pending[0].GetCurrentUserCanApprove() != may || pending[0].GetEnvironment().GetName() != "prd" || len(pending[0].Reviewers) != 1 {
			t.Errorf("%v", pending)
		}
	}
	approved := first[[]*github.Deployment](t)(hubot.Actions.PendingDeployments(ctx, "acme", "agents", run, approve))
	if len(approved) != 1 || approved[0].GetEnvironment() != "prd" {
		t.Fatalf("%v", approved)
	}
	statusOf := func() string {
		t.Helper()
		return first[[]*github.DeploymentStatus](t)(hubot.Repositories.ListDeploymentStatuses(ctx, "acme", "agents", approved[0].GetID(), nil))[0].GetState()
	}
	if got := statusOf(); got != "in_progress" {
		t.Error(got)
	}
	j.end(s, "success")
	if got := statusOf(); got != "success" {
		t.Error(got)
	}
	if now := first[*github.WorkflowRun](t)(hubot.Actions.GetWorkflowRunByID(ctx, "acme", "agents", run)); now.GetConclusion() != "success" || strconv.FormatInt(run, 10) != s.RunID {
		t.Errorf("%v", now)
	}
	topic := j.start(Job{Environment: "prd", Ref: "refs/heads/topic"})
	failed := first[*github.Jobs](t)(hubot.Actions.ListWorkflowJobs(ctx, "acme", "agents", decimalID(topic.RunID), nil)).Jobs[0]
	notes := first[[]*github.CheckRunAnnotation](t)(hubot.Checks.ListCheckRunAnnotations(ctx, "acme", "agents", failed.GetID(), nil))
	if failed.GetConclusion() != "failure" || len(notes) != 2 || notes[0].GetMessage() != topic.Message[:len(notes[0].GetMessage())] {
		t.Errorf("%v %v", failed, notes)
	}
	if _, err := admin.Actions.RerunWorkflowByID(ctx, "acme", "agents", run); err != nil {
		t.Error(err)
	}
	byHand(t, admin)
}

// byHand makes a deployment by calls.
func byHand(t *testing.T, c *github.Client) {
	ctx := t.Context()
	d := first[*github.Deployment](t)(c.Repositories.CreateDeployment(ctx, "acme", "agents", github.DeploymentRequest{Ref: "main", Environment: new("green"),
		AutoMerge: new(false), RequiredContexts: []string{}, Payload: map[string]string{"a": "b"}, Description: new("by hand")}))
	s := first[*github.DeploymentStatus](t)(c.Repositories.CreateDeploymentStatus(ctx, "acme", "agents", d.GetID(), github.DeploymentStatusRequest{
		State: "success", LogURL: new("https://log.example.com"), EnvironmentURL: new("https://green.example.com"), AutoInactive: new(true)}))
	again := first[*github.DeploymentStatus](t)(c.Repositories.GetDeploymentStatus(ctx, "acme", "agents", d.GetID(), s.GetID()))
	if again.GetEnvironmentURL() != "https://green.example.com" || again.GetLogURL() != "https://log.example.com" {
		t.Errorf("%v", again)
	}
	list := first[[]*github.Deployment](t)(c.Repositories.ListDeployments(ctx, "acme", "agents", &github.DeploymentsListOptions{Environment: "green"}))
	if len(list) != 1 || string(list[0].Payload) != `{"a":"b"}` {
		t.Errorf("%v", list)
	}
}

// first is what a call answers.
func first[T any](t *testing.T) func(T, *github.Response, error) T {
	return func(v T, _ *github.Response, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
