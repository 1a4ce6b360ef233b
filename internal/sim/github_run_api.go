package sim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The calls that are about runs, their jobs and annotations.

// workflowRun is the run that a call names. The caller holds identity.mu.
func (k *githubCall) workflowRun() (githubRun, error) {
	var run githubRun
	if !decimal.MatchString(k.names["run_id"]) || !k.cloud.store.get(workflowRunRecord+k.names["run_id"], &run) || !k.owns(run) {
		return run, githubFault(http.StatusNotFound, "Not Found")
	}
	return run, nil
}

// owns says whether a run is of the repository that a call names.
func (k *githubCall) owns(run githubRun) bool {
	r, err := k.cloud.findRepository(run.Common.Repository)
	return err == nil && r.ID == k.repo.ID
}

// changeRun applies change to the run that a call names, and keeps it.
func (k *githubCall) changeRun(change func(*githubRun) error) error {
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	run, err := k.workflowRun()
	if err != nil {
		return err
	}
	if err := change(&run); err != nil {
		return err
	}
	run.Updated = k.at
	return k.cloud.store.put(workflowRunRecord+run.ID, run)
}

// attempted is the attempt that a call names, or the newest.
func (k *githubCall) attempted(run githubRun) (int, error) {
	given, ok := k.names["attempt_number"]
	if !ok {
		return len(run.Attempts), nil
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 || n > len(run.Attempts) {
		return 0, githubFault(http.StatusNotFound, "Not Found")
	}
	return n, nil
}

// lookAtRun answers what look makes of the run, and of the attempt, that a call
// names.
func (k *githubCall) lookAtRun(look func(run githubRun, attempt int) any) (int, any, error) {
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	run, err := k.workflowRun()
	if err != nil {
		return 0, nil, err
	}
	attempt, err := k.attempted(run)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, look(run, attempt), nil
}

func getRun(k *githubCall) (int, any, error) {
	return k.lookAtRun(func(run githubRun, attempt int) any { return run.view(k, attempt) })
}

// listRuns lists runs, newest first, as its filters ask.
func listRuns(k *githubCall) (int, any, error) {
	query := k.URL.Query()
	for _, filter := range []string{"created", "check_suite_id"} {
		if query.Get(filter) != "" {
			return 0, nil, githubFault(http.StatusNotImplemented, "the local cloud does not filter runs by %s", filter)
		}
	}
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	var runs []githubRun
	for _, key := range k.cloud.store.keys(workflowRunRecord) {
		var run githubRun
		if k.cloud.store.get(key, &run) && k.owns(run) {
			runs = append(runs, run)
		}
	}
	slices.SortStableFunc(runs, func(a, b githubRun) int { return b.Created.Compare(a.Created) })
	all := []map[string]any{}
	for _, run := range runs {
		view := run.view(k, len(run.Attempts))
		if filtered(query.Get("actor"), run.Common.Actor) && filtered(query.Get("branch"), run.Common.refName()) && filtered(query.Get("event"), run.Common.Event) &&
			filtered(query.Get("head_sha"), run.Common.SHA) && (filtered(query.Get("status"), view["status"]) || filtered(query.Get("status"), view["conclusion"])) {
			all = append(all, view)
		}
	}
	return http.StatusOK, paged(k, all, mostPerPage, counted("workflow_runs")), nil
}

// filtered says whether a filter lets a value through.
func filtered(filter string, value any) bool { return filter == "" || filter == value }

func (r githubRun) view(k *githubCall, attempt int) map[string]any {
	status, conclusion := statusOf(k.cloud.jobsOf(r, attempt))
	common, started := r.Common, r.Attempts[attempt-1]
	common.repository = k.repo
	api := k.address("/repos/" + k.repo.FullName() + "/actions/runs/" + r.ID)
	site := "https://github.com/" + k.repo.FullName()
	workflow := workflowID(k.repo, common.WorkflowFile)
	repository := k.repo.view(k)
	view := map[string]any{"id": decimalID(r.ID), "node_id": "WFR_" + r.ID, "name": common.Workflow, "display_title": common.Workflow,
		"head_branch": common.refName(), "head_sha": common.SHA, "path": common.WorkflowFile, "run_number": decimalID(r.Number), "run_attempt": attempt,
		"event": common.Event, "status": status, "conclusion": conclusion, "workflow_id": decimalID(workflow), "check_suite_id": decimalID(r.ID),
		"check_suite_node_id": "CS_" + r.ID, "url": api, "html_url": site + "/actions/runs/" + r.ID, "pull_requests": []any{},
		"created_at": r.Created.Format(time.RFC3339), "updated_at": r.Updated.Format(time.RFC3339), "run_started_at": started.Started.Format(time.RFC3339),
		"actor": loginView(k, common.Actor), "triggering_actor": loginView(k, started.Actor), "head_commit": nil,
		"repository": repository, "head_repository": repository, "previous_attempt_url": nil,
		"check_suite_url": k.address("/repos/" + k.repo.FullName() + "/check-suites/" + r.ID), "workflow_url": k.address("/repos/" + k.repo.FullName() + "/actions/workflows/" + workflow)}
	for name, under := range map[string]string{"jobs_url": "/jobs", "logs_url": "/logs", "artifacts_url": "/artifacts", "cancel_url": "/cancel", "rerun_url": "/rerun"} {
		view[name] = api + under
	}
	if attempt > 1 {
		view["previous_attempt_url"] = api + "/attempts/" + strconv.Itoa(attempt-1)
	}
	return view
}

// decimalID is a decimal id in an answer.
func decimalID(id string) int64 { n, _ := strconv.ParseInt(id, 10, 64); return n }

// listJobs lists the jobs of the newest attempt, of the one that a call names,
// or of all.
func listJobs(k *githubCall) (int, any, error) {
	return k.lookAtRun(func(run githubRun, attempt int) any {
		if k.URL.Query().Get("filter") == "all" {
			attempt = 0
		}
		all := []map[string]any{}
		for _, j := range k.cloud.jobsOf(run, attempt) {
			all = append(all, j.view(k))
		}
		return paged(k, all, mostPerPage, counted("jobs"))
	})
}

// site is the page of a job, as links to it have it.
func (j *startedJob) site() string {
	return "https://github.com/" + j.Job.repository.FullName() + "/actions/runs/" + j.Job.RunID + "/job/" + j.Job.checkRunID()
}

func (j *startedJob) view(k *githubCall) map[string]any {
	id, api := j.Job.checkRunID(), k.address("/repos/"+k.repo.FullName())
	view := map[string]any{"id": decimalID(id), "node_id": "CR_" + id, "run_id": decimalID(j.Job.RunID), "run_url": api + "/actions/runs/" + j.Job.RunID,
		"run_attempt": decimalID(j.Job.RunAttempt), "name": j.Job.Name, "workflow_name": j.Job.Workflow, "head_branch": j.Job.refName(), "head_sha": j.Job.SHA,
		"status": j.Status, "conclusion": nil, "created_at": j.Created.Format(time.RFC3339), "started_at": orTime(j.Started, j.Created).Format(time.RFC3339),
		"completed_at": nil, "url": api + "/actions/jobs/" + id, "html_url": j.site(), "check_run_url": api + "/check-runs/" + id,
		"labels": []string{"ubuntu-latest"}, "runner_id": nil, "runner_name": nil, "runner_group_id": nil, "runner_group_name": nil, "steps": []any{}}
	if j.Status == jobCompleted {
		view["conclusion"], view["completed_at"] = j.Conclusion, j.Ended.Format(time.RFC3339)
	}
	return view
}

func orTime(at, otherwise time.Time) time.Time {
	if at.IsZero() {
		return otherwise
	}
	return at
}

// listAnnotations says why a job failed before it began: GitHub shows that
// nowhere else.
func listAnnotations(k *githubCall) (int, any, error) {
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	for _, key := range k.cloud.store.keys(jobRecord) {
		j, ok := k.cloud.settled(strings.TrimPrefix(key, jobRecord))
		if !ok || j.Job.repository.ID != k.repo.ID || j.Job.checkRunID() != k.names["check_run_id"] {
			continue
		}
		all := []map[string]any{}
		for _, note := range j.Notes {
			all = append(all, map[string]any{"path": ".github", "blob_href": "https://github.com/" + k.repo.FullName() + "/blob/" + j.Job.SHA + "/.github",
				"start_line": 1, "end_line": 1, "start_column": nil, "end_column": nil, "annotation_level": "failure", "title": "", "message": note, "raw_details": ""})
		}
		return http.StatusOK, paged(k, all, mostPerPage, plain), nil
	}
	return 0, nil, githubFault(http.StatusNotFound, "Not Found")
}

// rerunRun begins another attempt, whose jobs are still to be started.
func rerunRun(k *githubCall) (int, any, error) {
	var in struct {
		Debug *bool `json:"enable_debug_logging"`
	}
	if err := k.decodeStrictly(&in); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, struct{}{}, k.changeRun(func(run *githubRun) error {
		if status, _ := statusOf(k.cloud.jobsOf(*run, len(run.Attempts))); status != jobCompleted {
			return githubFault(http.StatusForbidden, "This workflow run is already running")
		}
		if len(run.Attempts) >= mostAttempts {
			return githubFault(http.StatusForbidden, "This workflow run can't be run again: it has had %d attempts", mostAttempts)
		}
		run.Attempts = append(run.Attempts, githubAttempt{k.caller.login, k.at})
		return nil
	})
}

// cancelRun ends the jobs of a run.
func cancelRun(k *githubCall) (int, any, error) {
	return http.StatusAccepted, struct{}{}, k.changeRun(func(run *githubRun) error {
		ended := 0
		for _, j := range k.cloud.jobsOf(*run, len(run.Attempts)) {
			if j.Status == jobCompleted {
				continue
			}
			ended++
			if err := k.cloud.finish(j, concludedCancelled, k.at); err != nil {
				return err
			}
			if err := k.cloud.store.put(jobRecord+j.ID, j); err != nil {
				return err
			}
		}
		if ended == 0 {
			return githubFault(http.StatusConflict, "Cannot cancel a workflow run that is completed.")
		}
		return nil
	})
}
