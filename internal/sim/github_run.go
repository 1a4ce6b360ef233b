package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Workflow runs and their jobs, as far as a delivery sees them: there is no
// workflow file here and no runner. Whoever starts a job says which run it is
// of; a run without a job that is going is completed until the next one joins
// it.

// githubRun is a workflow run. Record: github/workflow-run/<id>.
type githubRun struct {
	ID     string `json:"id"`
	Number string `json:"number"`
	// Common is what its jobs have in common: repository, ref, commit, event,
	// actor and workflow.
	Common   Job             `json:"common"`
	Attempts []githubAttempt `json:"attempts"`
	Jobs     []string        `json:"jobs"` // ids, of every attempt, oldest first
	Reviews  []githubReview  `json:"reviews,omitempty"`
	Created  time.Time       `json:"created"`
	Updated  time.Time       `json:"updated"`
}

// githubAttempt is a first run, or a re-run.
type githubAttempt struct {
	Actor   string    `json:"actor"` // who triggered it
	Started time.Time `json:"started"`
}

const workflowRunRecord = "github/workflow-run/"

// Statuses of jobs and runs, and conclusions of those that are completed
// (GitHub docs: REST API endpoints for workflow jobs).
const (
	jobQueued    = "queued"
	jobWaiting   = "waiting"
	jobRunning   = "in_progress"
	jobCompleted = "completed"

	concludedSuccess   = "success"
	concludedFailure   = "failure"
	concludedCancelled = "cancelled"
)

// startedJob is a job of a run. Record: github/job/<id>. It may ask for tokens
// while it is in progress, and only then.
type startedJob struct {
	ID           string    `json:"id"`
	RequestToken string    `json:"request_token"`
	GitHubToken  string    `json:"github_token"`
	Job          Job       `json:"job"`
	Status       string    `json:"status"`
	Conclusion   string    `json:"conclusion,omitempty"`
	Notes        []string  `json:"notes,omitempty"` // annotations: why it failed
	Gate         *jobGate  `json:"gate,omitempty"`  // nil: nothing to wait for
	Deployment   int64     `json:"deployment,omitempty"`
	Created      time.Time `json:"created"`
	Started      time.Time `json:"started,omitzero"`
	Ended        time.Time `json:"ended,omitzero"`
	Expires      time.Time `json:"expires"`
}

const (
	// jobLifetime is the longest that GitHub lets a hosted job run, and
	// longestGate the longest that it lets one wait (GitHub docs: Actions
	// limits; reviewing deployments).
	jobLifetime = 6 * time.Hour
	longestGate = 30 * 24 * time.Hour
	// keptRuns is how long runs are remembered: GitHub keeps their logs so long.
	keptRuns = 90 * 24 * time.Hour
)

// JobState is how a job stands.
type JobState struct {
	ID         string `json:"id"`
	RunID      string `json:"run_id"`
	Repository string `json:"repository"`
	// Status is waiting, in_progress or completed; Conclusion, of a completed
	// one, success, failure or cancelled.
	Status     string `json:"status"`
	Conclusion string `json:"conclusion,omitempty"`
	// Message says why a job was completed before it began.
	Message string `json:"message,omitempty"`
	// Gate is what a waiting job waits for.
	Gate *GateState `json:"gate,omitempty"`
	// Environ is what a job in progress sees.
	Environ map[string]string `json:"environ,omitempty"`
}

// startJob starts a job, in its run, behind the gate of its environment; host
// is the cloud's address.
func (c *Cloud) startJob(j Job, host string) (JobState, error) {
	j, err := c.joined(j)
	if err != nil {
		return JobState{}, err
	}
	if j, err = c.complete(j); err != nil {
		return JobState{}, err
	}
	if err := c.bornEnvironment(j); err != nil {
		return JobState{}, err
	}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	run, err := c.enter(&j)
	if err != nil {
		return JobState{}, err
	}
	now := c.now().UTC()
	started := &startedJob{ID: newID(8), RequestToken: newID(32), Job: j, Status: jobQueued, Created: now, Expires: now.Add(longestGate)}
	started.GitHubToken = jobTokenPrefix + started.ID + newID(10)
	if err := c.gate(started); err != nil {
		return JobState{}, err
	}
	// A job that no run names is none: it counts with the second write.
	if err := c.store.put(jobRecord+started.ID, started); err != nil {
		return JobState{}, err
	}
	run.Jobs, run.Updated = append(run.Jobs, started.ID), now
	return c.state(started, host), c.store.put(workflowRunRecord+run.ID, run)
}

// joined fills in what a job has of the run that it names, where there is one.
func (c *Cloud) joined(j Job) (Job, error) {
	var run githubRun
	if j.RunID == "" || !c.store.get(workflowRunRecord+j.RunID, &run) {
		return j, nil
	}
	common := run.Common
	for _, member := range []struct {
		name string
		own  *string
		runs string
	}{
		{"repository", &j.Repository, common.Repository}, {"ref", &j.Ref, common.Ref}, {"event", &j.Event, common.Event},
		{"sha", &j.SHA, common.SHA}, {"actor", &j.Actor, common.Actor}, {"workflow", &j.Workflow, common.Workflow},
		{"workflow file", &j.WorkflowFile, common.WorkflowFile}, {"head ref", &j.HeadRef, common.HeadRef},
		{"base ref", &j.BaseRef, common.BaseRef}, {"number", &j.RunNumber, run.Number}, {"attempt", &j.RunAttempt, run.attempt()},
	} {
		if *member.own != "" && *member.own != member.runs {
			return j, fmt.Errorf("run %s has the %s %q, not %q", run.ID, member.name, member.runs, *member.own)
		}
		*member.own = member.runs
	}
	return j, nil
}

func (r githubRun) attempt() string { return strconv.Itoa(len(r.Attempts)) }

// enter finds or makes the run of a completed job. A name is one job's, in an
// attempt. The caller holds identity.mu.
func (c *Cloud) enter(j *Job) (githubRun, error) {
	var run githubRun
	now := c.now().UTC()
	if !c.store.get(workflowRunRecord+j.RunID, &run) {
		common := *j
		common.Environment, common.Name, common.Permissions, common.IDToken = "", "", nil, nil
		run = githubRun{ID: j.RunID, Number: j.RunNumber, Common: common, Created: now}
		for attempt, _ := strconv.Atoi(j.RunAttempt); len(run.Attempts) < min(attempt, mostAttempts); {
			run.Attempts = append(run.Attempts, githubAttempt{j.Actor, now})
		}
		return run, nil
	}
	for _, other := range c.jobsOf(run, len(run.Attempts)) {
		if other.Job.Name == j.Name {
			return run, fmt.Errorf("run %s has a job %q already: name this one otherwise, or re-run the run (POST /repos/%s/actions/runs/%s/rerun)",
				run.ID, j.Name, j.repository.FullName(), run.ID)
		}
	}
	return run, nil
}

// mostAttempts is how often GitHub lets a run be run (GitHub docs: Actions limits).
const mostAttempts = 50

// jobsOf lists the jobs of an attempt as they stand; attempt 0 is all. The
// caller holds identity.mu.
func (c *Cloud) jobsOf(run githubRun, attempt int) []*startedJob {
	var list []*startedJob
	for _, id := range run.Jobs {
		j, ok := c.settled(id)
		if ok && (attempt == 0 || j.Job.RunAttempt == strconv.Itoa(attempt)) {
			list = append(list, j)
		}
	}
	return list
}

// settled reads a job as it stands by the clock: a wait timer ends, and so does
// the longest time that a job may wait or run. The caller holds identity.mu.
func (c *Cloud) settled(id string) (*startedJob, bool) {
	j := new(startedJob)
	if !c.store.get(jobRecord+id, j) {
		return nil, false
	}
	var err error
	if j.Job.repository, err = c.findRepository(j.Job.Repository); err != nil {
		return nil, false
	}
	now, before := c.now().UTC(), j.Status
	switch {
	case j.Status == jobWaiting && j.Gate.passed(now):
		err = c.begin(j, now)
	case j.Status == jobWaiting && !now.Before(j.Expires):
		err = c.finish(j, concludedFailure, now)
	case j.Status == jobRunning && !now.Before(j.Expires):
		err = c.finish(j, concludedCancelled, now)
	}
	if err == nil && j.Status != before {
		err = c.store.put(jobRecord+j.ID, j)
	}
	if err != nil { // the disk's: what is there stays as it was, and the next reader tries again
		c.warn("job %s of run %s: %v", j.Job.Name, j.Job.RunID, err)
		return nil, false
	}
	return j, true
}

// begin lets a job run. The caller holds identity.mu and keeps the job.
func (c *Cloud) begin(j *startedJob, now time.Time) error {
	j.Status, j.Started, j.Expires = jobRunning, now, now.Add(jobLifetime)
	return c.deployed(j, jobQueued, jobRunning)
}

// finish completes a job. The caller holds identity.mu and keeps the job.
func (c *Cloud) finish(j *startedJob, conclusion string, now time.Time) error {
	j.Status, j.Conclusion, j.Ended = jobCompleted, conclusion, now
	state := conclusion
	if conclusion == concludedCancelled {
		state = "error" // assumption: a deployment knows no cancelled
	}
	return c.deployed(j, state)
}

// endJob completes a job, for good: what it ended with first counts.
func (c *Cloud) endJob(id, conclusion string) (JobState, error) {
	if !slices.Contains([]string{concludedSuccess, concludedFailure, concludedCancelled}, conclusion) {
		return JobState{}, fmt.Errorf("a job ends with success, failure or cancelled, not %q", conclusion)
	}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	j, ok := c.settled(id)
	if !ok {
		return JobState{}, fmt.Errorf("there is no job %q", id)
	}
	if j.Status == jobCompleted {
		return c.state(j, ""), nil
	}
	if err := c.finish(j, conclusion, c.now().UTC()); err != nil {
		return JobState{}, err
	}
	return c.state(j, ""), c.store.put(jobRecord+j.ID, j)
}

// jobState is how a job stands now.
func (c *Cloud) jobState(id, host string) (JobState, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	j, ok := c.settled(id)
	if !ok {
		return JobState{}, fmt.Errorf("there is no job %q", id)
	}
	return c.state(j, host), nil
}

func (c *Cloud) state(j *startedJob, host string) JobState {
	s := JobState{ID: j.ID, RunID: j.Job.RunID, Repository: j.Job.repository.FullName(), Status: j.Status, Conclusion: j.Conclusion, Message: strings.Join(j.Notes, " ")}
	switch j.Status {
	case jobWaiting:
		s.Gate = c.gateState(j)
	case jobRunning:
		s.Environ = c.environOf(j, host)
	}
	return s
}

// statusOf is that of a run whose attempt has these jobs.
func statusOf(jobs []*startedJob) (status string, conclusion any) {
	has := func(value func(*startedJob) string, want string) bool {
		return slices.ContainsFunc(jobs, func(j *startedJob) bool { return value(j) == want })
	}
	state := func(j *startedJob) string { return j.Status }
	end := func(j *startedJob) string { return j.Conclusion }
	switch {
	case len(jobs) == 0:
		return jobQueued, nil
	case has(state, jobRunning):
		return jobRunning, nil
	case has(state, jobWaiting):
		return jobWaiting, nil
	case has(end, concludedFailure):
		return jobCompleted, concludedFailure
	case has(end, concludedCancelled):
		return jobCompleted, concludedCancelled
	}
	return jobCompleted, concludedSuccess
}

// forgetRuns drops the runs and jobs that GitHub would remember no longer.
func (c *Cloud) forgetRuns() error {
	old := func(at time.Time) bool { return c.now().Sub(at) > keptRuns }
	for _, key := range c.store.keys(workflowRunRecord) {
		var run githubRun
		if c.store.get(key, &run) && !old(run.Updated) {
			continue
		}
		if err := c.store.delete(key); err != nil {
			return err
		}
	}
	for _, key := range c.store.keys(jobRecord) {
		var j startedJob
		if c.store.get(key, &j) && !old(j.Created) {
			continue
		}
		if err := c.store.delete(key); err != nil {
			return err
		}
	}
	return nil
}
