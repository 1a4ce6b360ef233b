package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Deployments and their statuses (GitHub docs: REST API endpoints for
// deployments, and for deployment statuses). Each job that names an environment
// makes one, as on GitHub; others make theirs by calls. There are no commits,
// so nothing is merged and no commit has a status.

// githubDeployment is a deployment with its statuses, oldest first. Record:
// github/deployment/<id>, nineteen digits.
type githubDeployment struct {
	ID          int64              `json:"id"`
	Repository  string             `json:"repository"` // its id
	SHA         string             `json:"sha"`
	Ref         string             `json:"ref"`
	Task        string             `json:"task"`
	Environment string             `json:"environment"`
	Original    string             `json:"original"` // environment, before a status changed it
	Description *string            `json:"description"`
	Payload     json.RawMessage    `json:"payload"`
	Transient   bool               `json:"transient,omitempty"`
	Production  bool               `json:"production,omitempty"`
	Creator     string             `json:"creator"`
	Created     time.Time          `json:"created"`
	Updated     time.Time          `json:"updated"`
	Statuses    []deploymentStatus `json:"statuses,omitempty"`
}

type deploymentStatus struct {
	State       string    `json:"state"`
	Creator     string    `json:"creator"`
	Description string    `json:"description,omitempty"`
	Environment string    `json:"environment"`
	LogURL      string    `json:"log_url,omitempty"`
	URL         string    `json:"url,omitempty"` // the environment's
	Created     time.Time `json:"created"`
}

const (
	deploymentRecord = "github/deployment/"
	// actionsBot makes the deployments of jobs.
	actionsBot = "github-actions[bot]"
	// mostDescription is in characters, and mostStatuses a limit of ours: a
	// deployment is one record.
	mostDescription = 140
	mostStatuses    = 1000
	stateInactive   = "inactive"
)

func deploymentKey(id int64) string { return fmt.Sprintf("%s%019d", deploymentRecord, id) }

// deployment finds a deployment of a repository.
func (c *Cloud) deployment(r Repository, id int64) (githubDeployment, bool) {
	var d githubDeployment
	ok := c.store.get(deploymentKey(id), &d) && d.Repository == r.ID
	return d, ok
}

// deployments are a repository's, oldest first.
func (c *Cloud) deployments(r Repository) []githubDeployment {
	var all []githubDeployment
	for _, key := range c.store.keys(deploymentRecord) {
		var d githubDeployment
		if c.store.get(key, &d) && d.Repository == r.ID {
			all = append(all, d)
		}
	}
	return all
}

// newDeployment keeps a deployment under the next number. The caller holds
// identity.mu.
func (c *Cloud) newDeployment(d githubDeployment) (githubDeployment, error) {
	d.ID = 1
	if keys := c.store.keys(deploymentRecord); len(keys) > 0 {
		d.ID = decimalID(strings.TrimPrefix(keys[len(keys)-1], deploymentRecord)) + 1
	}
	return d, c.store.put(deploymentKey(d.ID), d)
}

// deployed says of a job's deployment how the job stands; it makes the
// deployment with the first word. The caller holds identity.mu and keeps the job.
func (c *Cloud) deployed(j *startedJob, states ...string) error {
	e, ok := c.findEnvironment(j.Job.repository, j.Job.Environment)
	d, made := c.deployment(j.Job.repository, j.Deployment)
	if j.Job.Environment == "" || !ok && !made {
		return nil
	}
	if !made {
		var err error
		now := c.now().UTC()
		if d, err = c.newDeployment(githubDeployment{Repository: j.Job.repository.ID, SHA: j.Job.SHA, Ref: j.Job.refName(), Task: "deploy", Environment: e.Name,
			Original: e.Name, Payload: json.RawMessage("{}"), Creator: actionsBot, Created: now, Updated: now}); err != nil {
			return err
		}
		j.Deployment = d.ID
	}
	for _, state := range states {
		if len(d.Statuses) > 0 && d.Statuses[len(d.Statuses)-1].State == state { // said, before a write that failed
			continue
		}
		if err := c.addStatus(&d, deploymentStatus{State: state, Creator: actionsBot, LogURL: j.site(), URL: j.Job.EnvironmentURL}, true); err != nil {
			return err
		}
	}
	return nil
}

// addStatus adds a status to a deployment. A success makes inactive what was
// deployed to the environment before: neither transient nor production, and a
// success until now. The caller holds identity.mu.
func (c *Cloud) addStatus(d *githubDeployment, s deploymentStatus, autoInactive bool) error {
	s.Created = c.now().UTC()
	s.Environment = or(s.Environment, d.Environment)
	d.Environment, d.Updated = s.Environment, s.Created
	d.Statuses = append(d.Statuses, s)
	if err := c.store.put(deploymentKey(d.ID), d); err != nil {
		return err
	}
	if s.State != concludedSuccess || !autoInactive {
		return nil
	}
	for _, before := range c.deployments(Repository{ID: d.Repository}) {
		last := len(before.Statuses) - 1
		if before.ID >= d.ID || before.Transient || before.Production || !strings.EqualFold(before.Environment, d.Environment) || last < 0 || before.Statuses[last].State != concludedSuccess {
			continue
		}
		if err := c.addStatus(&before, deploymentStatus{State: stateInactive, Creator: s.Creator}, false); err != nil {
			return err
		}
	}
	return nil
}

func (d githubDeployment) view(k *githubCall) map[string]any {
	id := strconv.FormatInt(d.ID, 10)
	api := k.address("/repos/" + k.repo.FullName())
	return map[string]any{"id": d.ID, "node_id": "DE_" + id, "url": api + "/deployments/" + id, "statuses_url": api + "/deployments/" + id + "/statuses",
		"repository_url": api, "sha": d.SHA, "ref": d.Ref, "task": d.Task, "payload": d.Payload, "environment": d.Environment, "original_environment": d.Original,
		"description": d.Description, "creator": loginView(k, d.Creator), "created_at": d.Created.Format(time.RFC3339), "updated_at": d.Updated.Format(time.RFC3339),
		"transient_environment": d.Transient, "production_environment": d.Production, "performed_via_github_app": nil}
}

// statusView is the i-th status; its number is made of the deployment's.
func (d githubDeployment) statusView(k *githubCall, i int) map[string]any {
	s := d.Statuses[i]
	id := strconv.FormatInt(d.statusID(i), 10)
	api := k.address("/repos/" + k.repo.FullName())
	deployment := api + "/deployments/" + strconv.FormatInt(d.ID, 10)
	return map[string]any{"id": d.statusID(i), "node_id": "DES_" + id, "url": deployment + "/statuses/" + id, "deployment_url": deployment, "repository_url": api,
		"state": s.State, "creator": loginView(k, s.Creator), "description": s.Description, "environment": s.Environment, "environment_url": s.URL,
		"target_url": s.LogURL, "log_url": s.LogURL, "created_at": s.Created.Format(time.RFC3339), "updated_at": s.Created.Format(time.RFC3339), "performed_via_github_app": nil}
}

func (d githubDeployment) statusID(i int) int64 { return d.ID*mostStatuses + int64(i) }

// listDeployments lists deployments, newest first, as its filters ask.
func listDeployments(k *githubCall) (int, any, error) {
	query := k.URL.Query()
	filter := func(name, value string) bool {
		given := query.Get(name)
		return given == "" || given == "none" || given == value
	}
	all := []map[string]any{}
	for _, d := range slices.Backward(k.cloud.deployments(k.repo)) {
		if filter("sha", d.SHA) && filter("ref", d.Ref) && filter("task", d.Task) && filter("environment", d.Environment) {
			all = append(all, d.view(k))
		}
	}
	return http.StatusOK, paged(k, all, mostPerPage, plain), nil
}

// plain wraps a list that stands for itself.
func plain(_ int, part []map[string]any) any { return part }

// namedDeployment is the one that a call names.
func (k *githubCall) namedDeployment() (githubDeployment, error) {
	var d githubDeployment
	ok := decimal.MatchString(k.names["deployment_id"])
	if ok {
		d, ok = k.cloud.deployment(k.repo, decimalID(k.names["deployment_id"]))
	}
	if !ok {
		return d, githubFault(http.StatusNotFound, "Not Found")
	}
	return d, nil
}

func getDeployment(k *githubCall) (int, any, error) {
	d, err := k.namedDeployment()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, d.view(k), nil
}

func createDeployment(k *githubCall) (int, any, error) {
	var in struct {
		Ref         string          `json:"ref"`
		Task        *string         `json:"task"`
		AutoMerge   *bool           `json:"auto_merge"`
		Contexts    []string        `json:"required_contexts"`
		Payload     json.RawMessage `json:"payload"`
		Environment *string         `json:"environment"`
		Description *string         `json:"description"`
		Transient   *bool           `json:"transient_environment"`
		Production  *bool           `json:"production_environment"`
	}
	if err := k.decodeStrictly(&in, "ref"); err != nil {
		return 0, nil, err
	}
	environment := or(valueOf(in.Environment, ""), "production")
	switch {
	case in.Ref == "":
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "No ref found for: %s", in.Ref)
	case len(in.Contexts) > 0:
		return 0, nil, githubFault(http.StatusConflict, "Conflict: Commit status checks failed for %s.", in.Ref)
	case len(environment) > mostName:
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Validation Failed: environment is too long (maximum is %d characters)", mostName)
	case len(in.Payload) > 0 && in.Payload[0] != '{' && in.Payload[0] != '"' && string(in.Payload) != "null":
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\npayload is an object or a string")
	}
	if len(in.Payload) == 0 || string(in.Payload) == "null" {
		in.Payload = json.RawMessage("{}")
	}
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	d, err := k.cloud.newDeployment(githubDeployment{Repository: k.repo.ID, SHA: k.commitOf(in.Ref), Ref: in.Ref, Task: or(valueOf(in.Task, ""), "deploy"),
		Environment: environment, Original: environment, Description: in.Description, Payload: in.Payload, Transient: valueOf(in.Transient, false),
		Production: valueOf(in.Production, environment == "production"), Creator: k.caller.login, Created: k.at, Updated: k.at})
	return http.StatusCreated, d.view(k), err
}

// commitOf is the commit of a ref: itself, the one of the newest run on it, or
// the one that a job on it would be given. The caller holds identity.mu.
func (k *githubCall) commitOf(ref string) string {
	if commit.MatchString(ref) {
		return ref
	}
	var newest githubRun
	for _, key := range k.cloud.store.keys(workflowRunRecord) {
		var run githubRun
		if k.cloud.store.get(key, &run) && k.owns(run) && (run.Common.refName() == ref || run.Common.Ref == ref) && !run.Created.Before(newest.Created) {
			newest = run
		}
	}
	if newest.ID != "" {
		return newest.Common.SHA
	}
	if !strings.HasPrefix(ref, "refs/") {
		ref = "refs/heads/" + ref
	}
	return madeUpCommit(k.repo, ref)
}

func listStatuses(k *githubCall) (int, any, error) {
	d, err := k.namedDeployment()
	if err != nil {
		return 0, nil, err
	}
	all := []map[string]any{}
	for i := range slices.Backward(d.Statuses) {
		all = append(all, d.statusView(k, i))
	}
	return http.StatusOK, paged(k, all, mostPerPage, plain), nil
}

func getStatus(k *githubCall) (int, any, error) {
	d, err := k.namedDeployment()
	if err != nil {
		return 0, nil, err
	}
	for i := range d.Statuses {
		if k.names["status_id"] == strconv.FormatInt(d.statusID(i), 10) {
			return http.StatusOK, d.statusView(k, i), nil
		}
	}
	return 0, nil, githubFault(http.StatusNotFound, "Not Found")
}

func createStatus(k *githubCall) (int, any, error) {
	var in struct {
		State       string `json:"state"`
		Target      string `json:"target_url"`
		Log         string `json:"log_url"`
		Description string `json:"description"`
		Environment string `json:"environment"`
		URL         string `json:"environment_url"`
		Inactive    *bool  `json:"auto_inactive"`
	}
	if err := k.decodeStrictly(&in, "state"); err != nil {
		return 0, nil, err
	}
	if err := memberOf("state", in.State, "error", concludedFailure, stateInactive, jobRunning, jobQueued, "pending", concludedSuccess); err != nil {
		return 0, nil, err
	}
	if len([]rune(in.Description)) > mostDescription {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Validation Failed: description is too long (maximum is %d characters)", mostDescription)
	}
	if len(in.Environment) > mostName {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Validation Failed: environment is too long (maximum is %d characters)", mostName)
	}
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	d, err := k.namedDeployment()
	if err != nil {
		return 0, nil, err
	}
	if len(d.Statuses) >= mostStatuses {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Validation Failed: a deployment has at most %d statuses here", mostStatuses)
	}
	s := deploymentStatus{State: in.State, Creator: k.caller.login, Description: in.Description, Environment: in.Environment, LogURL: or(in.Log, in.Target), URL: in.URL}
	if err := k.cloud.addStatus(&d, s, valueOf(in.Inactive, true)); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, d.statusView(k, len(d.Statuses)-1), nil
}
