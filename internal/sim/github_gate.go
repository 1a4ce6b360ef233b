package sim

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The gate before a job that names an environment: which refs may deploy, who
// has to approve, how long to wait (GitHub docs: deployments and environments;
// reviewing deployments). GitHub lets administrators pass over it on its pages
// alone: its API has no call for that, so nobody can here.

// jobGate is what a job has to wait for. Reviewers are looked up when somebody
// reviews: they are the environment's.
type jobGate struct {
	Review   bool      `json:"review,omitempty"`
	Approved bool      `json:"approved,omitempty"`
	Wait     int       `json:"wait,omitempty"` // minutes
	Until    time.Time `json:"until,omitzero"`
}

func (g *jobGate) passed(now time.Time) bool {
	return g == nil || (!g.Review || g.Approved) && !now.Before(g.Until)
}

// GateState is what a waiting job waits for: a review, a time, or both.
type GateState struct {
	Environment string `json:"environment"`
	// Review says that somebody has to approve; Reviewers are the people and
	// teams who are asked, MayApprove the logins of those who may.
	Review     bool     `json:"review"`
	Reviewers  []string `json:"reviewers"`
	MayApprove []string `json:"may_approve"`
	// Actor started the run.
	Actor string `json:"actor"`
	// Until is when the wait timer ends.
	Until time.Time `json:"until,omitzero"`
}

// githubReview is a decision about jobs of a run.
type githubReview struct {
	Environments []reviewedEnvironment `json:"environments"`
	State        string                `json:"state"` // approved or rejected
	User         string                `json:"user"`
	Comment      string                `json:"comment"`
	At           time.Time             `json:"at"`
}

type reviewedEnvironment struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

const (
	reviewApproved = "approved"
	reviewRejected = "rejected"
	// notDeployed is GitHub's annotation of every job that a gate refused.
	notDeployed = "The deployment was rejected or didn't satisfy other protection rules."
)

// gate puts a new job before its environment's gate: it begins, waits, or has
// failed. The caller holds identity.mu and keeps the job.
func (c *Cloud) gate(j *startedJob) error {
	e, ok := c.findEnvironment(j.Job.repository, j.Job.Environment)
	if j.Job.Environment == "" || !ok { // a repository that nobody registered has no environments
		return c.begin(j, j.Created)
	}
	if refusal := e.refuses(j.Job); refusal != "" {
		j.Notes = []string{refusal, notDeployed}
		if err := c.deployed(j, jobWaiting); err != nil {
			return err
		}
		return c.finish(j, concludedFailure, j.Created)
	}
	if len(e.Reviewers) == 0 && e.Wait == 0 {
		return c.begin(j, j.Created)
	}
	j.Status = jobWaiting
	j.Gate = &jobGate{Review: len(e.Reviewers) > 0, Wait: e.Wait}
	if e.Wait > 0 {
		j.Gate.Until = j.Created.Add(time.Duration(e.Wait) * time.Minute)
	}
	return c.deployed(j, jobWaiting)
}

// refuses says why an environment does not admit a job's ref, in GitHub's
// words, or nothing.
func (e githubEnvironment) refuses(j Job) string {
	if e.Branches == nil || e.admits(j) {
		return ""
	}
	kind := "Branch"
	if j.refType() == "tag" {
		kind = "Tag"
	}
	return fmt.Sprintf("%s %q is not allowed to deploy to %s due to environment protection rules.", kind, j.refName(), e.Name)
}

// admits holds a job's ref to the environment's rule. Protected branches alone
// is no rule where the repository protects none (GitHub docs: deployment
// branches and tags); no tag is a branch, whatever its name. A pull request
// deploys from refs/pull/N/merge.
func (e githubEnvironment) admits(j Job) bool {
	if e.Branches.Protected {
		return j.refType() == "branch" && (len(j.repository.Protected) == 0 || contains(j.repository.Protected, j.refName()))
	}
	name := j.refName()
	if strings.HasPrefix(j.Ref, "refs/pull/") {
		name = j.Ref
	}
	return slices.ContainsFunc(e.Policies, func(p branchPolicy) bool { return p.Type == j.refType() && matchesRef(p.Name, name) })
}

// matchesRef matches a name with a pattern of deployment branches: Ruby's
// File.fnmatch with FNM_PATHNAME, where * stays within a part and **/ is any
// number of parts. A pattern that is none matches nothing.
func matchesRef(pattern, name string) bool {
	patterns, parts := strings.Split(pattern, "/"), strings.Split(name, "/")
	anyParts := func(i int) bool { return i < len(patterns)-1 && patterns[i] == "**" }
	i, at := 0, 0
	star, from := -1, 0 // the last **/, and where what follows it was tried
	for at < len(parts) {
		switch {
		case anyParts(i):
			star, from, i = i, at, i+1
		case i < len(patterns) && matchesPart(patterns[i], parts[at]):
			i, at = i+1, at+1
		case star >= 0:
			from, i = from+1, star+1
			at = from
		default:
			return false
		}
	}
	return i == len(patterns)
}

func matchesPart(pattern, part string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), part)
	return err == nil && ok
}

// gateState is what a waiting job waits for. The caller holds identity.mu.
func (c *Cloud) gateState(j *startedJob) *GateState {
	s := &GateState{Environment: j.Job.Environment, Review: j.Gate.Review && !j.Gate.Approved, Until: j.Gate.Until, Actor: c.starter(j),
		Reviewers: []string{}, MayApprove: []string{}}
	e, _ := c.findEnvironment(j.Job.repository, j.Job.Environment)
	for _, r := range e.Reviewers {
		s.Reviewers = append(s.Reviewers, r.Name)
		for _, login := range r.people(j.Job.repository) {
			if !contains(s.MayApprove, login) && c.mayReview(login, e, j) {
				s.MayApprove = append(s.MayApprove, login)
			}
		}
	}
	return s
}

// people are the logins that a reviewer stands for.
func (r githubReviewer) people(repository Repository) []string {
	if r.Type != "Team" {
		return []string{r.Name}
	}
	return repository.Teams[r.Name]
}

// starter is who triggered the attempt that a job is of.
func (c *Cloud) starter(j *startedJob) string {
	var run githubRun
	attempt, _ := strconv.Atoi(j.Job.RunAttempt)
	if c.store.get(workflowRunRecord+j.Job.RunID, &run) && attempt >= 1 && attempt <= len(run.Attempts) {
		return run.Attempts[attempt-1].Actor
	}
	return j.Job.Actor // of a run that is being made
}

// mayReview says whether a person may decide about a waiting job: a reviewer of
// its environment and, where self-review is prevented, neither who triggered
// this attempt nor who started the run.
func (c *Cloud) mayReview(login string, e githubEnvironment, j *startedJob) bool {
	if e.PreventSelf && (strings.EqualFold(login, c.starter(j)) || strings.EqualFold(login, j.Job.Actor)) {
		return false
	}
	return login != "" && slices.ContainsFunc(e.Reviewers, func(r githubReviewer) bool {
		return slices.ContainsFunc(r.people(j.Job.repository), func(name string) bool { return strings.EqualFold(name, login) })
	})
}

// pending are the waiting jobs of a run's newest attempt, by their environment
// and in the order in which they came. The caller holds identity.mu.
func (k *githubCall) pending(run githubRun) (environments []githubEnvironment, jobs map[string][]*startedJob) {
	jobs = map[string][]*startedJob{}
	for _, j := range k.cloud.jobsOf(run, len(run.Attempts)) {
		if j.Status != jobWaiting {
			continue
		}
		e, ok := k.cloud.findEnvironment(k.repo, j.Job.Environment)
		if !ok { // it was deleted meanwhile
			continue
		}
		if jobs[e.ID] == nil {
			environments = append(environments, e)
		}
		jobs[e.ID] = append(jobs[e.ID], j)
	}
	return environments, jobs
}

func (k *githubCall) mayReview(e githubEnvironment, j *startedJob) bool {
	return j.Gate.Review && !j.Gate.Approved && k.cloud.mayReview(k.caller.login, e, j)
}

func listPending(k *githubCall) (int, any, error) {
	return k.lookAtRun(func(run githubRun, _ int) any { return k.pendingView(run) })
}

// pendingView is what waits in a run. The caller holds identity.mu.
func (k *githubCall) pendingView(run githubRun) any {
	all := []map[string]any{}
	environments, jobs := k.pending(run)
	for _, e := range environments {
		first := jobs[e.ID][0]
		reviewers := []map[string]any{}
		for _, r := range e.Reviewers {
			reviewers = append(reviewers, map[string]any{"type": r.Type, "reviewer": r.view(k)})
		}
		started := any(nil)
		if first.Gate.Wait > 0 {
			started = first.Created.Format(time.RFC3339)
		}
		all = append(all, map[string]any{"environment": e.brief(k), "wait_timer": first.Gate.Wait, "wait_timer_started_at": started, "reviewers": reviewers,
			"current_user_can_approve": slices.ContainsFunc(jobs[e.ID], func(j *startedJob) bool { return k.mayReview(e, j) })})
	}
	return all
}

// brief is an environment as answers about runs have it.
func (e githubEnvironment) brief(k *githubCall) map[string]any {
	whole := e.view(k)
	brief := map[string]any{}
	for _, name := range []string{"id", "node_id", "name", "url", "html_url"} {
		brief[name] = whole[name]
	}
	return brief
}

// nothingPending is GitHub's answer to whoever may not approve what is named,
// also to those whom the prevention of self-review stops.
func nothingPending() error {
	return &githubError{status: http.StatusUnprocessableEntity, message: "Validation Failed", errors: "No pending deployment requests to approve or reject"}
}

// reviewRun approves or rejects the jobs that wait for environments: all that
// are named, or nothing.
func reviewRun(k *githubCall) (int, any, error) {
	var in struct {
		Environments []int64 `json:"environment_ids"`
		State        string  `json:"state"`
		Comment      string  `json:"comment"`
	}
	if err := k.decodeStrictly(&in, "environment_ids", "state", "comment"); err != nil {
		return 0, nil, err
	}
	if err := memberOf("state", in.State, reviewApproved, reviewRejected); err != nil {
		return 0, nil, err
	}
	answer := []map[string]any{}
	err := k.changeRun(func(run *githubRun) error {
		review := githubReview{State: in.State, User: k.caller.login, Comment: in.Comment, At: k.at}
		chosen, err := k.chosen(*run, in.Environments, &review)
		if err != nil {
			return err
		}
		for _, j := range chosen {
			if err := k.decide(j, review); err != nil {
				return err
			}
			if d, ok := k.cloud.deployment(k.repo, j.Deployment); ok {
				answer = append(answer, d.view(k))
			}
		}
		run.Reviews = append(run.Reviews, review)
		return nil
	})
	return http.StatusOK, answer, err
}

// chosen are the jobs that a review is about; each environment that it names
// has to have one that the caller may decide about.
func (k *githubCall) chosen(run githubRun, ids []int64, review *githubReview) ([]*startedJob, error) {
	environments, jobs := k.pending(run)
	var chosen []*startedJob
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		before := len(chosen)
		for _, e := range environments {
			if e.ID != strconv.FormatInt(id, 10) {
				continue
			}
			review.Environments = append(review.Environments, reviewedEnvironment{e.ID, e.Name})
			for _, j := range jobs[e.ID] {
				if k.mayReview(e, j) {
					chosen = append(chosen, j)
				}
			}
		}
		if len(chosen) == before {
			return nil, nothingPending()
		}
	}
	if len(chosen) == 0 {
		return nil, nothingPending()
	}
	return chosen, nil
}

// decide lets a job go on, or fails it. One approval suffices.
func (k *githubCall) decide(j *startedJob, review githubReview) error {
	var err error
	if review.State == reviewRejected {
		j.Notes = []string{notDeployed}
		if review.Comment != "" {
			j.Notes = append(j.Notes, review.User+": "+review.Comment)
		}
		err = k.cloud.finish(j, concludedFailure, k.at)
	} else if j.Gate.Approved = true; j.Gate.passed(k.at) {
		err = k.cloud.begin(j, k.at)
	}
	if err != nil {
		return err
	}
	return k.cloud.store.put(jobRecord+j.ID, j)
}

// listApprovals lists the reviews of a run.
func listApprovals(k *githubCall) (int, any, error) {
	return k.lookAtRun(func(run githubRun, _ int) any { return k.reviewsView(run) })
}

// reviewsView is the decisions of a run. The caller holds identity.mu.
func (k *githubCall) reviewsView(run githubRun) any {
	all := []map[string]any{}
	for _, r := range run.Reviews {
		environments := []map[string]any{}
		for _, named := range r.Environments {
			e, ok := k.cloud.findEnvironment(k.repo, named.Name)
			if !ok {
				e = githubEnvironment{ID: named.ID, Name: named.Name, Created: r.At, Updated: r.At}
			}
			view := e.brief(k)
			view["created_at"], view["updated_at"] = e.Created.Format(time.RFC3339), e.Updated.Format(time.RFC3339)
			environments = append(environments, view)
		}
		all = append(all, map[string]any{"environments": environments, "state": r.State, "comment": r.Comment, "user": loginView(k, r.User)})
	}
	return all
}
