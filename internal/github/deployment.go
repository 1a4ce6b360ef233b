package github

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// DeploymentStatus is what GitHub shows of a deployment: on the page of the
// environment, beside the commit, and in the pull request that it came from.
type DeploymentStatus struct {
	State          string `json:"state"` // in_progress, success, failure or error
	Description    string `json:"description,omitempty"`
	EnvironmentURL string `json:"environment_url,omitempty"` // where the environment can be looked at
	LogURL         string `json:"log_url,omitempty"`
}

var commitID = pattern.New(`^[0-9a-f]{40}$`)

const (
	mostDescription = 140 // characters (GitHub docs: create a deployment status)
	mostDeployments = 30  // that are looked through for a job's
)

// JobDeployment is the id of the deployment that GitHub has made of a job
// because the job names the environment, 0 where there is none that is still
// open. It takes the permission deployments: read.
func (c *Client) JobDeployment(ctx context.Context, job Job, environment string) (int64, error) {
	query := url.Values{"environment": {environment}, "sha": {job.SHA}, "per_page": {strconv.Itoa(mostDeployments)}}
	var all []struct{ ID int64 }
	if err := c.call(ctx, http.MethodGet, c.path("deployments")+"?"+query.Encode(), nil, &all); err != nil {
		return 0, err
	}
	for _, d := range all {
		mine, err := c.isOf(ctx, d.ID, job)
		if err != nil || mine {
			return d.ID, err
		}
	}
	return 0, nil
}

// isOf says whether a deployment is an open one of the job's run: its statuses,
// the newest first, lead to the run's log.
func (c *Client) isOf(ctx context.Context, id int64, job Job) (bool, error) {
	var statuses []struct {
		State  string
		LogURL string `json:"log_url"`
	}
	err := c.call(ctx, http.MethodGet, c.path("deployments", strconv.FormatInt(id, 10), "statuses")+"?per_page=100", nil, &statuses)
	if err != nil || len(statuses) == 0 || slices.Contains([]string{"success", "failure", "error", "inactive"}, statuses[0].State) {
		return false, err
	}
	for _, s := range statuses {
		if strings.Contains(s.LogURL+"/", "/"+job.Repository+"/actions/runs/"+job.RunID+"/") {
			return true, nil
		}
	}
	return false, nil
}

// SetDeploymentStatus adds a status to a deployment (GitHub docs: create a
// deployment status). It takes the permission deployments: write. The
// description is cut where GitHub would refuse it.
func (c *Client) SetDeploymentStatus(ctx context.Context, id int64, s DeploymentStatus) error {
	if utf8.RuneCountInString(s.Description) > mostDescription {
		s.Description = string([]rune(s.Description)[:mostDescription-1]) + "…"
	}
	return c.call(ctx, http.MethodPost, c.path("deployments", strconv.FormatInt(id, 10), "statuses"), s, nil)
}

// served is how a status says what the environment serves, so that a job of
// another environment can tell it without a permission in AWS.
const served = " serves as version "

// Serves is the description of a status: of the agent, a revision of 40 hex
// serves as version.
func Serves(agent, revision, version string) string {
	return agent + ": " + revision + served + version
}

// LastServed is the revision of an agent that an environment serves as far as
// the statuses of its deployments say so, "" where none does. It takes the
// permission deployments: read.
func (c *Client) LastServed(ctx context.Context, environment, agent string) (string, error) {
	query := url.Values{"environment": {environment}, "per_page": {strconv.Itoa(mostDeployments)}}
	var all []struct{ ID int64 }
	if err := c.call(ctx, http.MethodGet, c.path("deployments")+"?"+query.Encode(), nil, &all); err != nil {
		return "", err
	}
	for _, d := range all {
		var statuses []struct{ State, Description string }
		if err := c.call(ctx, http.MethodGet, c.path("deployments", strconv.FormatInt(d.ID, 10), "statuses")+"?per_page=100", nil, &statuses); err != nil {
			return "", err
		}
		for _, s := range statuses {
			revision, _, ok := strings.Cut(strings.TrimPrefix(s.Description, agent+": "), served)
			if ok && commitID.MatchString(revision) && (s.State == "success" || s.State == "inactive") {
				return revision, nil
			}
		}
	}
	return "", nil
}

// Approvers are the people who let the run into the environment, in the order
// of their reviews (GitHub docs: get the review history for a workflow run).
// It takes the permission actions: read.
func (c *Client) Approvers(ctx context.Context, job Job, environment string) ([]string, error) {
	var reviews []struct {
		State        string
		User         struct{ Login string }
		Environments []struct{ Name string }
	}
	if err := c.call(ctx, http.MethodGet, c.path("actions", "runs", job.RunID, "approvals"), nil, &reviews); err != nil {
		return nil, err
	}
	var logins []string
	for _, r := range reviews {
		for _, e := range r.Environments {
			if r.State == "approved" && strings.EqualFold(e.Name, environment) && !slices.Contains(logins, r.User.Login) {
				logins = append(logins, r.User.Login)
			}
		}
	}
	return logins, nil
}

// Comparison is what lies between two commits, as GitHub tells it: a job's
// checkout need not have them.
type Comparison struct {
	Ahead   int // how many commits the second has that the first has not
	Behind  int // how many the first has that the second has not
	Commits []ComparedCommit
}

// ComparedCommit is a commit of a comparison.
type ComparedCommit struct {
	Revision string // 40 hex
	Subject  string // the first line of its message
}

// Compare says what lies between two commits, the newest first, 250 at most
// (GitHub docs: compare two commits). It takes the permission contents: read.
func (c *Client) Compare(ctx context.Context, base, head string) (Comparison, error) {
	var answer struct {
		Ahead   int `json:"ahead_by"`
		Behind  int `json:"behind_by"`
		Commits []struct {
			SHA    string
			Commit struct{ Message string }
		}
	}
	if err := c.call(ctx, http.MethodGet, c.path("compare", base+"..."+head), nil, &answer); err != nil {
		return Comparison{}, fmt.Errorf("comparing commits: %w", err)
	}
	found := Comparison{Ahead: answer.Ahead, Behind: answer.Behind}
	for _, commit := range slices.Backward(answer.Commits) {
		subject, _, _ := strings.Cut(commit.Commit.Message, "\n")
		found.Commits = append(found.Commits, ComparedCommit{commit.SHA, subject})
	}
	return found, nil
}
