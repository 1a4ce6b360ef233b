package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// GitHub's REST API, as much of it as a delivery meets: the repository, what
// its tokens' subjects look like, environments with their protection, variables
// and sealed secrets, runs that wait for a review, deployments. A path that is not served answers 501 and names
// itself. testdata/github/openapi.json, GitHub's own description, judges every
// answer.

// githubRoute is one operation: method and path as GitHub's description has
// them, and its name there.
type githubRoute struct {
	method, path string
	name         string
	run          func(*githubCall) (int, any, error)
	// needs is the permission that a job's token has to have for it
	// (GitHub docs: permissions required for GitHub Apps), whatever the
	// repository's visibility. People may do what needs no more than to read.
	// If empty, it is the administrator's alone.
	needs string
}

// Permissions that routes need. No job has members or user; review is
// deployments: write, and people who can read the repository may ask for it.
const (
	readMetadata     = "metadata:read"
	readContents     = "contents:read"
	readActions      = "actions:read"
	writeActions     = "actions:write"
	readChecks       = "checks:read"
	readDeployments  = "deployments:read"
	writeDeployments = "deployments:write"
	readMembers      = "members:read"
	readUser         = "user:read"
	review           = "review"
)

// githubCall is one request.
type githubCall struct {
	*http.Request
	cloud  *Cloud
	caller githubCaller
	body   []byte
	names  map[string]string // the open parts of the path, decoded
	repo   Repository
	at     time.Time
}

// githubCaller is who a token belongs to: the administrator of everything, a
// person, or a job of one repository.
type githubCaller struct {
	name, login string // as the journal and as answers have it
	admin       bool
	job         *Job // nil for people
}

// githubError is an error as GitHub answers it.
type githubError struct {
	status  int
	message string
	errors  string // what is wrong, where the message does not say it
}

func (e *githubError) Error() string {
	if e.errors != "" {
		return e.message + ": " + e.errors
	}
	return e.message
}

func githubFault(status int, format string, args ...any) error {
	return &githubError{status: status, message: fmt.Sprintf(format, args...)}
}

// githubRoutes are in the order in which they are tried: a name that is written
// out comes before one that is left open.
func (c *Cloud) githubRoutes() []githubRoute {
	const repo = "/repos/{owner}/{repo}"
	const subject, policies = "/actions/oidc/customization/sub", "/deployment-branch-policies"
	const environment = repo + "/environments/{environment_name}"
	routes := []githubRoute{
		{"GET", repo, "repos/get", getRepo, readMetadata},
		{"GET", repo + "/branches", "repos/list-branches", listBranches, readContents},
		{"GET", repo + subject, "actions/get-custom-oidc-sub-claim-for-repo", getSubject, ""},
		{"PUT", repo + subject, "actions/set-custom-oidc-sub-claim-for-repo", putSubject, ""},
		{"GET", "/orgs/{org}" + subject, "oidc/get-oidc-custom-sub-template-for-org", getOwnerSubject, ""},
		{"PUT", "/orgs/{org}" + subject, "oidc/update-oidc-custom-sub-template-for-org", putOwnerSubject, ""},
		{"GET", repo + "/environments", "repos/get-all-environments", listEnvironments, readActions},
		{"GET", environment, "repos/get-environment", getEnvironment, readActions},
		{"PUT", environment, "repos/create-or-update-environment", putEnvironment, ""},
		{"DELETE", environment, "repos/delete-an-environment", deleteEnvironment, ""},
		{"GET", environment + policies, "repos/list-deployment-branch-policies", listBranchPolicies, readActions},
		{"POST", environment + policies, "repos/create-deployment-branch-policy", createBranchPolicy, ""},
		{"GET", environment + policies + "/{branch_policy_id}", "repos/get-deployment-branch-policy", getBranchPolicy, readActions},
		{"PUT", environment + policies + "/{branch_policy_id}", "repos/update-deployment-branch-policy", updateBranchPolicy, ""},
		{"DELETE", environment + policies + "/{branch_policy_id}", "repos/delete-deployment-branch-policy", deleteBranchPolicy, ""},
		{"GET", "/user", "users/get-authenticated", getMe, readUser},
		{"GET", "/users/{username}", "users/get-by-username", getUser, readMetadata},
		{"GET", "/orgs/{org}/teams/{team_slug}", "teams/get-by-name", getTeam, readMembers},
		{"GET", "/orgs/{org}/teams/{team_slug}/members", "teams/list-members-in-org", listMembers, readMembers},
	}
	return slices.Concat(routes, runRoutes(repo), deploymentRoutes(repo), settingRoutes(repo+"/actions", "repo"), settingRoutes(environment, "environment"))
}

// runRoutes are those of workflow runs and of the gates before their jobs.
func runRoutes(repo string) []githubRoute {
	runs := repo + "/actions/runs"
	one := runs + "/{run_id}"
	return []githubRoute{
		{"GET", repo + "/actions/workflows", "actions/list-repo-workflows", listWorkflows, readActions},
		{"GET", repo + "/actions/workflows/{workflow_id}", "actions/get-workflow", getWorkflow, readActions},
		{"GET", runs, "actions/list-workflow-runs-for-repo", listRuns, readActions},
		{"GET", one, "actions/get-workflow-run", getRun, readActions},
		{"GET", one + "/attempts/{attempt_number}", "actions/get-workflow-run-attempt", getRun, readActions},
		{"GET", one + "/jobs", "actions/list-jobs-for-workflow-run", listJobs, readActions},
		{"GET", one + "/attempts/{attempt_number}/jobs", "actions/list-jobs-for-workflow-run-attempt", listJobs, readActions},
		{"GET", one + "/artifacts", "actions/list-workflow-run-artifacts", listArtifacts, readActions},
		{"GET", one + "/pending_deployments", "actions/get-pending-deployments-for-run", listPending, readActions},
		{"POST", one + "/pending_deployments", "actions/review-pending-deployments-for-run", reviewRun, review},
		{"GET", one + "/approvals", "actions/get-reviews-for-run", listApprovals, readActions},
		{"POST", one + "/rerun", "actions/re-run-workflow", rerunRun, writeActions},
		{"POST", one + "/cancel", "actions/cancel-workflow-run", cancelRun, writeActions},
		{"GET", repo + "/check-runs/{check_run_id}/annotations", "checks/list-annotations", listAnnotations, readChecks},
	}
}

func deploymentRoutes(repo string) []githubRoute {
	all := repo + "/deployments"
	one := all + "/{deployment_id}"
	return []githubRoute{
		{"GET", all, "repos/list-deployments", listDeployments, readDeployments},
		{"POST", all, "repos/create-deployment", createDeployment, writeDeployments},
		{"GET", one, "repos/get-deployment", getDeployment, readDeployments},
		{"GET", one + "/statuses", "repos/list-deployment-statuses", listStatuses, readDeployments},
		{"POST", one + "/statuses", "repos/create-deployment-status", createStatus, writeDeployments},
		{"GET", one + "/statuses/{status_id}", "repos/get-deployment-status", getStatus, readDeployments},
	}
}

// settingRoutes are those of variables and secrets, of a repository or of one
// of its environments.
func settingRoutes(under, of string) []githubRoute {
	const variable, secret = "/variables/{name}", "/secrets/{secret_name}"
	return []githubRoute{
		{"GET", under + "/variables", "actions/list-" + of + "-variables", listVariables, ""},
		{"POST", under + "/variables", "actions/create-" + of + "-variable", createVariable, ""},
		{"GET", under + variable, "actions/get-" + of + "-variable", getVariable, ""},
		{"PATCH", under + variable, "actions/update-" + of + "-variable", updateVariable, ""},
		{"DELETE", under + variable, "actions/delete-" + of + "-variable", deleteVariable, ""},
		{"GET", under + "/secrets", "actions/list-" + of + "-secrets", listSecrets, ""},
		{"GET", under + "/secrets/public-key", "actions/get-" + of + "-public-key", getPublicKey, ""},
		{"GET", under + secret, "actions/get-" + of + "-secret", getSecret, ""},
		{"PUT", under + secret, "actions/create-or-update-" + of + "-secret", putSecret, ""},
		{"DELETE", under + secret, "actions/delete-" + of + "-secret", deleteSecret, ""},
	}
}

// findGitHub finds the route of a request and the open parts of its path.
func (c *Cloud) findGitHub(method, escaped string) (githubRoute, map[string]string, bool) {
	parts := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	for _, route := range c.githubRoutes() {
		if route.method != method {
			continue
		}
		if names, ok := matchPath(strings.Split(strings.TrimPrefix(route.path, "/"), "/"), parts); ok {
			return route, names, true
		}
	}
	return githubRoute{}, nil, false
}

// matchPath compares a path with a pattern, part by part.
func matchPath(pattern, parts []string) (names map[string]string, ok bool) {
	if len(pattern) != len(parts) {
		return nil, false
	}
	names = map[string]string{}
	for i, p := range pattern {
		if !strings.HasPrefix(p, "{") {
			if p != parts[i] {
				return nil, false
			}
			continue
		}
		name, err := url.PathUnescape(parts[i])
		if err != nil || name == "" {
			return nil, false
		}
		names[strings.Trim(p, "{}")] = name
	}
	return names, true
}

// byName turns /repositories/ID/…, the form of the links that GitHub answers,
// into /repos/OWNER/NAME/….
func (c *Cloud) byName(path string) string {
	rest, ok := strings.CutPrefix(path, "/repositories/")
	if !ok {
		return path
	}
	id, rest, _ := strings.Cut(rest, "/")
	for _, key := range c.store.keys(repositoryRecord) {
		var r Repository
		if c.store.get(key, &r) && r.ID == id {
			return strings.TrimSuffix("/repos/"+r.FullName()+"/"+rest, "/")
		}
	}
	return path
}

// serveGitHub answers GitHub's REST API, and journals it.
func (c *Cloud) serveGitHub(w http.ResponseWriter, r *http.Request) {
	path := c.byName(strings.TrimPrefix(r.URL.EscapedPath(), "/api/v3"))
	route, names, found := c.findGitHub(r.Method, path)
	call := &githubCall{Request: r, cloud: c, names: names, at: c.now().UTC()}
	entry := Call{Time: call.at, Principal: "anonymous", Service: "github", Action: route.name, Resource: resourceOf(path),
		Method: r.Method, Path: r.URL.Path, Allowed: true, RequestID: newRequestID()}
	h := c.befall("github", route.name, entry.Resource)
	entry.Fault = h.mark()
	w = h.answer(w)
	status, body, err := http.StatusOK, any(nil), h.begin(r.Context())
	if f := asFault(err); f != nil {
		err = &githubError{status: f.Status, message: f.Message}
	}
	if err == nil {
		call.caller, err = c.githubCaller(r)
		entry.Principal = or(call.caller.name, entry.Principal)
	}
	if err == nil && !found {
		err = githubFault(http.StatusNotImplemented, "the local cloud does not implement %s %s of GitHub's API", r.Method, path)
	}
	call.head(w.Header(), entry.RequestID)
	if err == nil {
		status, body, err = call.answer(route, w.Header())
	}
	entry.Bytes = int64(len(call.body))
	if err != nil {
		status, body = githubAnswer(err)
		entry.Allowed = status != http.StatusUnauthorized && status != http.StatusForbidden
		entry.Why = err.Error()
	}
	entry.Status = status
	c.journal.add(entry)
	if body == nil {
		w.WriteHeader(status)
	} else {
		writeJSON(w, status, body)
	}
	h.end(r.Context())
}

// resourceOf is what a path is about: owner/name/… without the words before it.
func resourceOf(path string) string {
	parts := strings.SplitN(path, "/", 3)
	return parts[len(parts)-1]
}

// The versions of the API (GitHub docs: API versions). A call that names none
// gets the first.
const (
	githubVersion       = "2022-11-28"
	githubVersionNewest = "2026-03-10"
)

// head sets what every answer carries. No limit of calls is kept: `slipway
// local fault` makes refusals by one.
func (k *githubCall) head(h http.Header, requestID string) {
	h.Set("X-GitHub-Request-Id", requestID)
	h.Set("X-GitHub-Api-Version-Selected", or(k.Header.Get("X-GitHub-Api-Version"), githubVersion))
	h.Set("X-RateLimit-Limit", "5000")
	h.Set("X-RateLimit-Remaining", "4999")
	h.Set("X-RateLimit-Used", "1")
	h.Set("X-RateLimit-Reset", strconv.FormatInt(k.at.Add(time.Hour).Unix(), 10))
	h.Set("X-RateLimit-Resource", "core")
}

// githubAnswer words an error (GitHub docs: troubleshooting the REST API).
func githubAnswer(err error) (int, any) {
	e, ok := err.(*githubError) //nolint:errorlint // routes return it as it is
	if !ok {
		e = &githubError{status: http.StatusInternalServerError, message: "the local cloud failed: " + err.Error()}
	}
	body := map[string]string{"message": e.message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(e.status)}
	if e.errors != "" {
		body["errors"] = e.errors
	}
	return e.status, body
}

// githubCaller finds who a token belongs to.
func (c *Cloud) githubCaller(r *http.Request) (githubCaller, error) {
	given := bearer(r)
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "token") {
		given = strings.TrimSpace(token)
	}
	if given == "" {
		return githubCaller{}, githubFault(http.StatusUnauthorized, "Requires authentication")
	}
	token, err := c.githubToken()
	if err != nil {
		return githubCaller{}, err
	}
	if sameText(token, given) {
		return githubCaller{name: administratorLogin, login: administratorLogin, admin: true}, nil
	}
	if job, ok := c.jobOfToken(given); ok {
		return githubCaller{name: job.subject(), login: actionsBot, job: &job}, nil
	}
	if login, ok := c.person(token, given); ok {
		return githubCaller{name: login, login: login}, nil
	}
	return githubCaller{}, githubFault(http.StatusUnauthorized, "Bad credentials")
}

// answer runs a route for a caller who may call it.
func (k *githubCall) answer(route githubRoute, h http.Header) (int, any, error) {
	if v := h.Get("X-GitHub-Api-Version-Selected"); v != githubVersion && v != githubVersionNewest {
		return 0, nil, githubFault(http.StatusBadRequest, "%q is not a version of the API: there are %s and %s", v, githubVersion, githubVersionNewest)
	}
	var err error
	if k.body, err = readBody(k.Request, maxStranger); err != nil {
		return 0, nil, githubFault(http.StatusRequestEntityTooLarge, "the request's body is too large")
	}
	if err := k.admit(route, h); err != nil {
		return 0, nil, err
	}
	status, body, err := route.run(k)
	if p, ok := body.(githubPage); ok {
		p.link(k, h)
		body = p.body
	}
	return status, body, err
}

// admit finds the repository and refuses what the caller may not do. A private
// repository of others is not there for it.
func (k *githubCall) admit(route githubRoute, h http.Header) error {
	if name, ok := k.names["repo"]; ok {
		full := k.names["owner"] + "/" + name
		found := k.cloud.store.get(repositoryRecord+strings.ToLower(full), &k.repo)
		if moved, ok := k.cloud.movedTo(full); ok && !found {
			h.Set("Location", k.address(k.byID(moved)))
			return githubFault(http.StatusMovedPermanently, "Moved Permanently")
		}
		if !found || !k.caller.sees(k.repo) {
			return githubFault(http.StatusNotFound, "Not Found")
		}
	}
	return k.caller.permitted(route.needs, k.repo)
}

// sees says whether a repository is there for the caller.
func (a githubCaller) sees(r Repository) bool {
	switch {
	case a.admin || !r.Private:
		return true
	case a.job != nil:
		return a.job.repository.ID == r.ID
	}
	return r.reads(a.login)
}

// permitted refuses what a job's token lacks the permission for, or is of
// another repository for; and to people all but reading and reviewing.
func (a githubCaller) permitted(needs string, r Repository) error {
	job := a.job
	switch {
	case a.admin, job == nil && (needs == review || strings.HasSuffix(needs, ":read")):
		return nil
	case job == nil:
		return githubFault(http.StatusForbidden, "Must have admin rights to Repository.")
	case needs == review:
		needs = writeDeployments
	}
	foreign := r.ID != "" && r.ID != job.repository.ID && strings.HasSuffix(needs, ":write")
	if needs == "" || foreign || !job.may(needs) {
		return githubFault(http.StatusForbidden, "Resource not accessible by integration")
	}
	return nil
}

// movedTo finds the repository that had a name before it was renamed or
// transferred.
func (c *Cloud) movedTo(full string) (Repository, bool) {
	for _, key := range c.store.keys(repositoryRecord) {
		var r Repository
		if c.store.get(key, &r) && strings.EqualFold(r.Formerly, full) {
			return r, true
		}
	}
	return Repository{}, false
}

// decode reads the body, by exact names.
func (k *githubCall) decode(v any) error {
	if len(bytes.TrimSpace(k.body)) == 0 {
		return nil
	}
	if !json.Valid(k.body) {
		return githubFault(http.StatusBadRequest, "Problems parsing JSON")
	}
	if err := exact(k.body, v); err != nil {
		return githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\n%v", err)
	}
	return nil
}

// decodeStrictly reads the body as the operations with a schema do: a member
// that is not in it, or a needed one that is missing, is refused.
func (k *githubCall) decodeStrictly(v any, needed ...string) error {
	var members map[string]json.RawMessage
	if len(bytes.TrimSpace(k.body)) > 0 {
		if !json.Valid(k.body) {
			return githubFault(http.StatusBadRequest, "Problems parsing JSON")
		}
		if json.Unmarshal(k.body, &members) != nil {
			return githubFault(http.StatusBadRequest, "Body should be a JSON object")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !contains(jsonNames(v), name) {
			return githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\n%q is not a permitted key.", name)
		}
	}
	for _, name := range needed {
		if raw, ok := members[name]; !ok || string(raw) == "null" {
			return githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\n%q wasn't supplied.", name)
		}
	}
	return k.decode(v)
}

// jsonNames are those of a structure that v points to.
func jsonNames(v any) []string {
	var names []string
	t := reflect.TypeOf(v).Elem()
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("json"))
	}
	return names
}

// memberOf refuses a value that is none of those that a member can have.
func memberOf(name, value string, values ...string) error {
	if contains(values, value) {
		return nil
	}
	return githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\nFor 'properties/%s', %q is not a member of %q.", name, value, values)
}
