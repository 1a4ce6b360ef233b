package sim

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// githubEnvironment is a deployment environment of a repository. Record:
// github/environment/<full name>/<name>, both in lower case: GitHub tells names
// apart without regard to case.
type githubEnvironment struct {
	Name        string           `json:"name"`
	ID          string           `json:"id"`
	Wait        int              `json:"wait,omitempty"` // minutes
	Reviewers   []githubReviewer `json:"reviewers,omitempty"`
	PreventSelf bool             `json:"prevent_self,omitempty"`
	Branches    *branchRule      `json:"branches,omitempty"` // nil: every branch
	Policies    []branchPolicy   `json:"policies,omitempty"`
	// NoBypass says that administrators can't pass over the protection.
	NoBypass bool `json:"no_bypass,omitempty"`
	githubSettings
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// githubReviewer is a person or a team; Name is login or org/slug.
type githubReviewer struct {
	Type string `json:"type"` // User or Team
	Name string `json:"name"`
}

type branchRule struct {
	Protected bool `json:"protected_branches"`
	Custom    bool `json:"custom_branch_policies"`
}

type branchPolicy struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

const (
	environmentRecord = "github/environment/"
	mostReviewers     = 6 // GitHub docs: managing environments for deployment
	mostWait          = 43200
	mostName          = 255
)

func environmentKey(r Repository, name string) string {
	return environmentRecord + strings.ToLower(r.FullName()) + "/" + strings.ToLower(name)
}

func (c *Cloud) findEnvironment(r Repository, name string) (githubEnvironment, bool) {
	var e githubEnvironment
	ok := c.store.get(environmentKey(r, name), &e)
	return e, ok
}

// bornEnvironment makes the environment that a job names and that is not there:
// as GitHub does, without any protection.
func (c *Cloud) bornEnvironment(j Job) error {
	var registered Repository
	if j.Environment == "" || !c.store.get(repositoryRecord+strings.ToLower(j.repository.FullName()), &registered) {
		return nil
	}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	if _, ok := c.findEnvironment(registered, j.Environment); ok {
		return nil
	}
	return c.store.put(environmentKey(registered, j.Environment), newEnvironment(registered, j.Environment, c.now().UTC()))
}

func newEnvironment(r Repository, name string, at time.Time) githubEnvironment {
	return githubEnvironment{Name: name, ID: derivedID(r.FullName() + "/" + name), Created: at.Truncate(time.Second), Updated: at.Truncate(time.Second)}
}

// environment is the one that a call names.
func (k *githubCall) environment() (githubEnvironment, error) {
	e, ok := k.cloud.findEnvironment(k.repo, k.names["environment_name"])
	if !ok {
		return e, githubFault(http.StatusNotFound, "Not Found")
	}
	return e, nil
}

// changeEnvironment applies change to the environment that a call names.
func (k *githubCall) changeEnvironment(change func(*githubEnvironment) error) error {
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	e, err := k.environment()
	if err != nil {
		return err
	}
	if err := change(&e); err != nil {
		return err
	}
	e.Updated = k.at.Truncate(time.Second)
	return k.cloud.store.put(environmentKey(k.repo, e.Name), e)
}

// view is an environment with its protection rules.
func (e githubEnvironment) view(k *githubCall) map[string]any {
	id, _ := strconv.Atoi(e.ID)
	rules := []map[string]any{}
	rule := func(kind string, more map[string]any) {
		r := map[string]any{"id": id*10 + len(rules), "node_id": "GA_" + e.ID + kind, "type": kind}
		for name, value := range more {
			r[name] = value
		}
		rules = append(rules, r)
	}
	if e.Wait > 0 {
		rule("wait_timer", map[string]any{"wait_timer": e.Wait})
	}
	if len(e.Reviewers) > 0 {
		reviewers := []map[string]any{}
		for _, r := range e.Reviewers {
			reviewers = append(reviewers, map[string]any{"type": r.Type, "reviewer": r.view(k)})
		}
		rule("required_reviewers", map[string]any{"prevent_self_review": e.PreventSelf, "reviewers": reviewers})
	}
	if e.Branches != nil {
		rule("branch_policy", nil)
	}
	escaped := url.PathEscape(e.Name)
	api := k.address("/repos/" + k.repo.FullName() + "/environments/" + escaped)
	view := map[string]any{"id": id, "node_id": "EN_" + e.ID, "name": e.Name, "url": api, "html_url": "https://github.com/" + k.repo.FullName() + "/deployments/activity_log?environments_filter=" + escaped,
		"created_at": e.Created.Format(time.RFC3339), "updated_at": e.Updated.Format(time.RFC3339), "can_admins_bypass": !e.NoBypass,
		"protection_rules": rules, "deployment_branch_policy": nil}
	if e.Branches != nil {
		view["deployment_branch_policy"] = e.Branches
	}
	return view
}

func (r githubReviewer) view(k *githubCall) map[string]any {
	if r.Type == "Team" {
		return teamView(k, r.Name)
	}
	return accountView(k, r.Name, derivedID(r.Name), "User")
}

func listEnvironments(k *githubCall) (int, any, error) {
	all := []map[string]any{}
	for _, key := range k.cloud.store.keys(environmentKey(k.repo, "")) {
		var e githubEnvironment
		if k.cloud.store.get(key, &e) {
			all = append(all, e.view(k))
		}
	}
	return http.StatusOK, paged(k, all, mostPerPage, counted("environments")), nil
}

func getEnvironment(k *githubCall) (int, any, error) {
	e, err := k.environment()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, e.view(k), nil
}

// environmentInput is what PUT takes. What it leaves out is reset: the call
// states the protection whole. AdminsBypass is not in GitHub's description;
// its clients write it (go-github and the Terraform provider do).
type environmentInput struct {
	Wait        *int  `json:"wait_timer"`
	PreventSelf *bool `json:"prevent_self_review"`
	Reviewers   []struct {
		Type string `json:"type"`
		ID   int64  `json:"id"`
	} `json:"reviewers"`
	Branches     *branchRule `json:"deployment_branch_policy"`
	AdminsBypass *bool       `json:"can_admins_bypass"`
}

// putEnvironment makes an environment or states its protection anew.
func putEnvironment(k *githubCall) (int, any, error) {
	var in environmentInput
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	if err := k.checkEnvironment(in); err != nil {
		return 0, nil, err
	}
	reviewers, err := k.reviewers(in)
	if err != nil {
		return 0, nil, err
	}
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	e, ok := k.cloud.findEnvironment(k.repo, k.names["environment_name"])
	if !ok {
		e = newEnvironment(k.repo, k.names["environment_name"], k.at)
	}
	e.Wait, e.Reviewers, e.PreventSelf, e.Branches, e.NoBypass, e.Updated = 0, nil, false, in.Branches, false, k.at.Truncate(time.Second)
	if k.hasReviewers() {
		e.Wait, e.Reviewers, e.PreventSelf = valueOf(in.Wait, 0), reviewers, valueOf(in.PreventSelf, false)
		e.NoBypass = !valueOf(in.AdminsBypass, true)
	}
	if e.Branches == nil || !e.Branches.Custom {
		e.Policies = nil
	}
	return http.StatusOK, e.view(k), k.cloud.store.put(environmentKey(k.repo, e.Name), e)
}

func valueOf[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// hasReviewers says whether the repository's environments can have reviewers
// and wait timers (GitHub docs: deployments and environments). GitHub has been
// seen to drop them without a word elsewhere, and to refuse them.
func (k *githubCall) hasReviewers() bool { return !k.repo.Private || k.repo.Plan == "enterprise" }

func (k *githubCall) checkEnvironment(in environmentInput) error {
	const refused = http.StatusUnprocessableEntity
	asks := in.Wait != nil || in.PreventSelf != nil || in.Reviewers != nil || in.AdminsBypass != nil
	switch {
	case k.repo.Private && k.repo.Plan == "free":
		return githubFault(http.StatusNotFound, "Not Found")
	case k.repo.Private && k.repo.Plan == "team" && asks:
		return githubFault(refused, "Failed to create the environment protection rule. Please ensure the billing plan supports the required reviewers protection rule.")
	case len(k.names["environment_name"]) > mostName:
		return githubFault(refused, "Validation Failed: name is too long (maximum is %d characters)", mostName)
	case valueOf(in.Wait, 0) < 0 || valueOf(in.Wait, 0) > mostWait:
		return githubFault(refused, "Validation Failed: wait_timer is between 0 and %d", mostWait)
	case in.Branches != nil && in.Branches.Protected == in.Branches.Custom:
		return githubFault(refused, "Validation Failed: protected_branches and custom_branch_policies cannot have the same value")
	}
	return nil
}

// reviewers finds who is meant by ids: people and teams that can read the
// repository.
func (k *githubCall) reviewers(in environmentInput) ([]githubReviewer, error) {
	if len(in.Reviewers) > mostReviewers {
		return nil, githubFault(http.StatusUnprocessableEntity, "Validation Failed: up to %d reviewers", mostReviewers)
	}
	var list []githubReviewer
	for _, asked := range in.Reviewers {
		i := slices.IndexFunc(k.repo.Readers, func(name string) bool {
			return derivedID(name) == strconv.FormatInt(asked.ID, 10) && strings.Contains(name, "/") == (asked.Type == "Team")
		})
		if i < 0 || asked.Type != "User" && asked.Type != "Team" {
			return nil, githubFault(http.StatusUnprocessableEntity, "Validation Failed: %s %d can't review deployments of %s", asked.Type, asked.ID, k.repo.FullName())
		}
		list = append(list, githubReviewer{asked.Type, k.repo.Readers[i]})
	}
	return list, nil
}

func deleteEnvironment(k *githubCall) (int, any, error) {
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	e, err := k.environment()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, k.cloud.store.delete(environmentKey(k.repo, e.Name))
}

func (p branchPolicy) view() map[string]any {
	return map[string]any{"id": p.ID, "node_id": "DBP_" + strconv.FormatInt(p.ID, 10), "name": p.Name, "type": p.Type}
}

func listBranchPolicies(k *githubCall) (int, any, error) {
	e, err := k.environment()
	if err != nil {
		return 0, nil, err
	}
	all := []map[string]any{}
	for _, p := range e.Policies {
		all = append(all, p.view())
	}
	return http.StatusOK, paged(k, all, mostPerPage, counted("branch_policies")), nil
}

func createBranchPolicy(k *githubCall) (int, any, error) {
	var in branchPolicy
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	in.Type = or(in.Type, "branch")
	if in.Name == "" || in.Type != "branch" && in.Type != "tag" {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\nname and type branch or tag are needed")
	}
	exists := false
	err := k.changeEnvironment(func(e *githubEnvironment) error {
		if e.Branches == nil || !e.Branches.Custom {
			return githubFault(http.StatusNotFound, "Not Found")
		}
		for _, p := range e.Policies {
			in.ID = max(in.ID, p.ID)
			if p.Name == in.Name && p.Type == in.Type {
				exists, in = true, p
				return nil
			}
		}
		in.ID++
		e.Policies = append(e.Policies, in)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	if exists {
		return http.StatusSeeOther, nil, nil
	}
	return http.StatusOK, in.view(), nil
}

// findPolicy is the place of the policy that a call names.
func (k *githubCall) findPolicy(e githubEnvironment) (int, error) {
	i := slices.IndexFunc(e.Policies, func(p branchPolicy) bool { return strconv.FormatInt(p.ID, 10) == k.names["branch_policy_id"] })
	if i < 0 {
		return i, githubFault(http.StatusNotFound, "Not Found")
	}
	return i, nil
}

func getBranchPolicy(k *githubCall) (int, any, error) {
	e, err := k.environment()
	if err != nil {
		return 0, nil, err
	}
	i, err := k.findPolicy(e)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, e.Policies[i].view(), nil
}

// updateBranchPolicy gives a policy another pattern; its type stays.
func updateBranchPolicy(k *githubCall) (int, any, error) {
	var in branchPolicy
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	if in.Name == "" {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\n\"name\" wasn't supplied.")
	}
	var changed branchPolicy
	err := k.changeEnvironment(func(e *githubEnvironment) error {
		i, err := k.findPolicy(*e)
		if err == nil {
			e.Policies[i].Name = in.Name
			changed = e.Policies[i]
		}
		return err
	})
	return http.StatusOK, changed.view(), err
}

func deleteBranchPolicy(k *githubCall) (int, any, error) {
	return http.StatusNoContent, nil, k.changeEnvironment(func(e *githubEnvironment) error {
		i, err := k.findPolicy(*e)
		if err == nil {
			e.Policies = slices.Delete(e.Policies, i, i+1)
		}
		return err
	})
}
