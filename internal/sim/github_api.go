package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// GitHub's REST API, as much of it as sets an environment up: the repository,
// what its tokens' subjects look like, environments with their protection,
// variables and sealed secrets. A path that is not served answers 501 and names
// itself. testdata/github/openapi.json, GitHub's own description, judges every
// answer.

// githubRoute is one operation: method and path as GitHub's description has
// them, and its name there.
type githubRoute struct {
	method, path string
	name         string
	run          func(*githubCall) (int, any, error)
	// job says that the token of a job may call it, whose workflow asks for
	// contents: read and id-token: write alone.
	job bool
}

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

// githubCaller is who a token belongs to: the administrator of everything, or
// a job of one repository.
type githubCaller struct {
	name       string
	admin      bool
	repository string
}

// githubError is an error as GitHub answers it.
type githubError struct {
	status  int
	message string
}

func (e *githubError) Error() string { return e.message }

func githubFault(status int, format string, args ...any) error {
	return &githubError{status, fmt.Sprintf(format, args...)}
}

// githubRoutes are in the order in which they are tried: a name that is written
// out comes before one that is left open.
func (c *Cloud) githubRoutes() []githubRoute {
	const repo = "/repos/{owner}/{repo}"
	const subject, policies = "/actions/oidc/customization/sub", "/deployment-branch-policies"
	const environment = repo + "/environments/{environment_name}"
	routes := []githubRoute{
		{"GET", repo, "repos/get", getRepo, true},
		{"GET", repo + "/branches", "repos/list-branches", listBranches, true},
		{"GET", repo + subject, "actions/get-custom-oidc-sub-claim-for-repo", getSubject, false},
		{"PUT", repo + subject, "actions/set-custom-oidc-sub-claim-for-repo", putSubject, false},
		{"GET", "/orgs/{org}" + subject, "oidc/get-oidc-custom-sub-template-for-org", getOwnerSubject, false},
		{"PUT", "/orgs/{org}" + subject, "oidc/update-oidc-custom-sub-template-for-org", putOwnerSubject, false},
		{"GET", repo + "/environments", "repos/get-all-environments", listEnvironments, false},
		{"GET", environment, "repos/get-environment", getEnvironment, false},
		{"PUT", environment, "repos/create-or-update-environment", putEnvironment, false},
		{"DELETE", environment, "repos/delete-an-environment", deleteEnvironment, false},
		{"GET", environment + policies, "repos/list-deployment-branch-policies", listBranchPolicies, false},
		{"POST", environment + policies, "repos/create-deployment-branch-policy", createBranchPolicy, false},
		{"GET", environment + policies + "/{branch_policy_id}", "repos/get-deployment-branch-policy", getBranchPolicy, false},
		{"PUT", environment + policies + "/{branch_policy_id}", "repos/update-deployment-branch-policy", updateBranchPolicy, false},
		{"DELETE", environment + policies + "/{branch_policy_id}", "repos/delete-deployment-branch-policy", deleteBranchPolicy, false},
		{"GET", "/users/{username}", "users/get-by-username", getUser, true},
		{"GET", "/orgs/{org}/teams/{team_slug}", "teams/get-by-name", getTeam, false},
	}
	return slices.Concat(routes, settingRoutes(repo+"/actions", "repo"), settingRoutes(environment, "environment"))
}

// settingRoutes are those of variables and secrets, of a repository or of one
// of its environments.
func settingRoutes(under, of string) []githubRoute {
	const variable, secret = "/variables/{name}", "/secrets/{secret_name}"
	return []githubRoute{
		{"GET", under + "/variables", "actions/list-" + of + "-variables", listVariables, false},
		{"POST", under + "/variables", "actions/create-" + of + "-variable", createVariable, false},
		{"GET", under + variable, "actions/get-" + of + "-variable", getVariable, false},
		{"PATCH", under + variable, "actions/update-" + of + "-variable", updateVariable, false},
		{"DELETE", under + variable, "actions/delete-" + of + "-variable", deleteVariable, false},
		{"GET", under + "/secrets", "actions/list-" + of + "-secrets", listSecrets, false},
		{"GET", under + "/secrets/public-key", "actions/get-" + of + "-public-key", getPublicKey, false},
		{"GET", under + secret, "actions/get-" + of + "-secret", getSecret, false},
		{"PUT", under + secret, "actions/create-or-update-" + of + "-secret", putSecret, false},
		{"DELETE", under + secret, "actions/delete-" + of + "-secret", deleteSecret, false},
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
		err = &githubError{f.Status, f.Message}
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
	h.end()
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
		e = &githubError{http.StatusInternalServerError, "the local cloud failed: " + err.Error()}
	}
	return e.status, map[string]string{"message": e.message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(e.status)}
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
		return githubCaller{name: "administrator", admin: true}, nil
	}
	if job, ok := c.jobOfToken(given); ok {
		return githubCaller{name: job.subject(), repository: job.repository.FullName()}, nil
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

// admit finds the repository and refuses what a job's token may not do. A
// private repository of others is not there for it.
func (k *githubCall) admit(route githubRoute, h http.Header) error {
	if name, ok := k.names["repo"]; ok {
		full := k.names["owner"] + "/" + name
		found := k.cloud.store.get(repositoryRecord+strings.ToLower(full), &k.repo)
		if moved, ok := k.cloud.movedTo(full); ok && !found {
			h.Set("Location", k.address(k.byID(moved)))
			return githubFault(http.StatusMovedPermanently, "Moved Permanently")
		}
		if !found || k.repo.Private && !k.caller.admin && !strings.EqualFold(full, k.caller.repository) {
			return githubFault(http.StatusNotFound, "Not Found")
		}
	}
	if !k.caller.admin && !route.job {
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
