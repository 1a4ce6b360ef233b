package github

import "strings"

// Job is what the variables of a GitHub Actions job say. The zero value is
// "not in a job". Source: GitHub docs, "Variables reference".
type Job struct {
	// Actions says that this is a job of GitHub Actions.
	Actions      bool
	Repository   string // owner/name
	RepositoryID string // decimal
	Owner        string
	OwnerID      string // decimal
	Ref          string // refs/heads/main, refs/tags/v1, refs/pull/7/merge
	SHA          string // 40 hex
	Actor        string // who started the run
	Event        string // push, workflow_dispatch, ...
	Workflow     string
	WorkflowRef  string // owner/name/.github/workflows/file.yml@ref
	RunID        string // decimal, the same for each attempt
	RunAttempt   string // decimal, from 1
	RunNumber    string // decimal
	ServerURL    string // https://github.com, without a slash at its end
	APIURL       string // https://api.github.com, without a slash at its end
	Workspace    string // directory of the checkout
	OutputFile   string // where WriteOutput's text goes; "" if there is none
	SummaryFile  string // where WriteSummary's text goes; "" if there is none
}

// JobFrom reads a job from its variables. GitHub does not tell a job which
// environment it names: that stands in the token alone.
func JobFrom(getenv func(string) string) Job {
	return Job{
		Actions:      getenv("GITHUB_ACTIONS") == "true",
		Repository:   getenv("GITHUB_REPOSITORY"),
		RepositoryID: getenv("GITHUB_REPOSITORY_ID"),
		Owner:        getenv("GITHUB_REPOSITORY_OWNER"),
		OwnerID:      getenv("GITHUB_REPOSITORY_OWNER_ID"),
		Ref:          getenv("GITHUB_REF"),
		SHA:          getenv("GITHUB_SHA"),
		Actor:        getenv("GITHUB_ACTOR"),
		Event:        getenv("GITHUB_EVENT_NAME"),
		Workflow:     getenv("GITHUB_WORKFLOW"),
		WorkflowRef:  getenv("GITHUB_WORKFLOW_REF"),
		RunID:        getenv("GITHUB_RUN_ID"),
		RunAttempt:   getenv("GITHUB_RUN_ATTEMPT"),
		RunNumber:    getenv("GITHUB_RUN_NUMBER"),
		ServerURL:    baseURL(getenv("GITHUB_SERVER_URL"), "https://github.com"),
		APIURL:       baseURL(getenv("GITHUB_API_URL"), "https://api.github.com"),
		Workspace:    getenv("GITHUB_WORKSPACE"),
		OutputFile:   getenv("GITHUB_OUTPUT"),
		SummaryFile:  getenv("GITHUB_STEP_SUMMARY"),
	}
}

func baseURL(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return strings.TrimRight(value, "/")
}

// RunURL is the address of this attempt of the run, or "" outside a job.
func (j Job) RunURL() string {
	if j.Repository == "" || j.RunID == "" {
		return ""
	}
	url := j.ServerURL + "/" + j.Repository + "/actions/runs/" + j.RunID
	if j.RunAttempt != "" && j.RunAttempt != "1" {
		url += "/attempts/" + j.RunAttempt
	}
	return url
}
