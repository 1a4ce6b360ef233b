package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// GitHub's REST API, as much of it as sets an environment up: the repository,
// what its tokens' subjects look like, environments with their protection,
// variables and sealed secrets. A path that is not served answers 501 and names
// itself. testdata/github/openapi.json, GitHub's own description, judges every
// answer.

// githubRoute is one operation: its name in GitHub's description, and who
// answers it.
type githubRoute struct {
	name string
	run  func(*githubCall) (int, any, error)
}

// githubCall is one request. names are the parts of the path that the route
// leaves open, decoded.
type githubCall struct {
	*http.Request
	cloud *Cloud
	body  []byte
	names []string
	repo  Repository
	at    time.Time
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

// githubRoutes by method and path; {} is any one part.
func (c *Cloud) githubRoutes() map[string]githubRoute {
	const repo, environment = "/repos/{}/{}", "/repos/{}/{}/environments/{}"
	return map[string]githubRoute{
		"GET " + repo: {"repos/get", getRepo},
		"GET " + repo + "/actions/oidc/customization/sub":          {"actions/get-custom-oidc-sub-claim-for-repo", getSubject},
		"PUT " + repo + "/actions/oidc/customization/sub":          {"actions/set-custom-oidc-sub-claim-for-repo", putSubject},
		"GET " + repo + "/branches":                                {"repos/list-branches", listBranches},
		"GET " + repo + "/actions/secrets":                         {"actions/list-repo-secrets", listRepoSecrets},
		"GET " + repo + "/environments":                            {"repos/get-all-environments", listEnvironments},
		"GET " + environment:                                       {"repos/get-environment", getEnvironment},
		"PUT " + environment:                                       {"repos/create-or-update-environment", putEnvironment},
		"DELETE " + environment:                                    {"repos/delete-an-environment", deleteEnvironment},
		"GET " + environment + "/deployment-branch-policies":       {"repos/list-deployment-branch-policies", listBranchPolicies},
		"POST " + environment + "/deployment-branch-policies":      {"repos/create-deployment-branch-policy", createBranchPolicy},
		"DELETE " + environment + "/deployment-branch-policies/{}": {"repos/delete-deployment-branch-policy", deleteBranchPolicy},
		"GET " + environment + "/variables":                        {"actions/list-environment-variables", listVariables},
		"POST " + environment + "/variables":                       {"actions/create-environment-variable", createVariable},
		"GET " + environment + "/variables/{}":                     {"actions/get-environment-variable", getVariable},
		"PATCH " + environment + "/variables/{}":                   {"actions/update-environment-variable", updateVariable},
		"DELETE " + environment + "/variables/{}":                  {"actions/delete-environment-variable", deleteVariable},
		"GET " + environment + "/secrets":                          {"actions/list-environment-secrets", listSecrets},
		"GET " + environment + "/secrets/public-key":               {"actions/get-environment-public-key", getPublicKey},
		"PUT " + environment + "/secrets/{}":                       {"actions/create-or-update-environment-secret", putSecret},
		"DELETE " + environment + "/secrets/{}":                    {"actions/delete-environment-secret", deleteSecret},
		"GET /users/{}":                                            {"users/get-by-username", getUser},
		"GET /orgs/{}/teams/{}":                                    {"teams/get-by-name", getTeam},
	}
}

// findGitHub finds the route of a request and the open parts of its path.
func (c *Cloud) findGitHub(method, escaped string) (githubRoute, []string, bool) {
	parts := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	for pattern, route := range c.githubRoutes() {
		verb, path, _ := strings.Cut(pattern, " ")
		if names, ok := matchPath(strings.Split(strings.TrimPrefix(path, "/"), "/"), parts); ok && verb == method {
			// A name that is written out is no name that is left open.
			if len(names) > 3 && names[3] == "public-key" {
				continue
			}
			return route, names, true
		}
	}
	return githubRoute{}, nil, false
}

// matchPath compares a path with a pattern, part by part.
func matchPath(pattern, parts []string) (names []string, ok bool) {
	if len(pattern) != len(parts) {
		return nil, false
	}
	for i, p := range pattern {
		if p != "{}" {
			if p != parts[i] {
				return nil, false
			}
			continue
		}
		name, err := url.PathUnescape(parts[i])
		if err != nil || name == "" {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}

// serveGitHub answers GitHub's REST API, and journals it.
func (c *Cloud) serveGitHub(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/api/v3")
	route, names, found := c.findGitHub(r.Method, path)
	entry := Call{Time: c.now().UTC(), Principal: "anonymous", Service: "github", Action: route.name, Resource: strings.Join(names, "/"),
		Method: r.Method, Path: r.URL.Path, Allowed: true, RequestID: newRequestID()}
	h := c.befall("github", route.name, entry.Resource)
	entry.Fault = h.mark()
	w = h.answer(w)
	status, body, err := http.StatusOK, any(nil), h.begin(r.Context())
	if f := asFault(err); f != nil {
		err = &githubError{f.Status, f.Message}
	}
	call := &githubCall{Request: r, cloud: c, names: names, at: entry.Time}
	if err == nil {
		entry.Principal, err = c.githubCaller(r)
	}
	if err == nil && !found {
		err = githubFault(http.StatusNotImplemented, "the local cloud does not implement %s %s of GitHub's API", r.Method, path)
	}
	if err == nil {
		status, body, err = call.answer(route)
	}
	entry.Bytes = int64(len(call.body))
	if err != nil {
		status, body = githubAnswer(err)
		entry.Allowed = status != http.StatusUnauthorized && status != http.StatusForbidden
		entry.Why = err.Error()
	}
	entry.Status = status
	c.journal.add(entry)
	w.Header().Set("X-GitHub-Request-Id", entry.RequestID)
	if body == nil {
		w.WriteHeader(status)
	} else {
		writeJSON(w, status, body)
	}
	h.end()
}

// githubAnswer words an error (GitHub docs: troubleshooting the REST API).
func githubAnswer(err error) (int, any) {
	e, ok := err.(*githubError) //nolint:errorlint // routes return it as it is
	if !ok {
		e = &githubError{http.StatusInternalServerError, "the local cloud failed: " + err.Error()}
	}
	return e.status, map[string]string{"message": e.message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(e.status)}
}

// githubCaller is who a token belongs to: the administrator, who alone gets in.
func (c *Cloud) githubCaller(r *http.Request) (string, error) {
	given := bearer(r)
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "token") {
		given = strings.TrimSpace(token)
	}
	if given == "" {
		return "anonymous", githubFault(http.StatusUnauthorized, "Requires authentication")
	}
	if token, err := c.githubToken(); err != nil || !sameText(token, given) {
		return "anonymous", githubFault(http.StatusUnauthorized, "Bad credentials")
	}
	return "administrator", nil
}

// answer runs a route. A repository that nobody registered is not found.
func (k *githubCall) answer(route githubRoute) (int, any, error) {
	var err error
	if k.body, err = readBody(k.Request, maxStranger); err != nil {
		return 0, nil, githubFault(http.StatusRequestEntityTooLarge, "the request's body is too large")
	}
	if strings.HasPrefix(route.name, "repos/") || strings.HasPrefix(route.name, "actions/") {
		full := k.names[0] + "/" + k.names[1]
		if !k.cloud.store.get(repositoryRecord+strings.ToLower(full), &k.repo) {
			return 0, nil, githubFault(http.StatusNotFound, "Not Found")
		}
	}
	return route.run(k)
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

// githubPage cuts a list as per_page and page ask, 30 at a time unless told (GitHub
// docs: using pagination), and says where the next begins.
func githubPage[T any](k *githubCall, list []T) []T {
	size, number := 30, 1
	if n, err := strconv.Atoi(k.URL.Query().Get("per_page")); err == nil && n >= 1 {
		size = min(n, 100)
	}
	if n, err := strconv.Atoi(k.URL.Query().Get("page")); err == nil && n >= 1 {
		number = n
	}
	from := min((number-1)*size, len(list))
	return list[from:min(from+size, len(list))]
}

// address is a URL of the API.
func (k *githubCall) address(path string) string { return "http://" + k.Host + "/api/v3" + path }

// getRepo answers a repository; of its many addresses those alone that a client
// may follow lead somewhere.
func getRepo(k *githubCall) (int, any, error) {
	return http.StatusOK, k.repo.view(k), nil
}

func (r Repository) view(k *githubCall) map[string]any {
	api := k.address("/repos/" + r.FullName())
	view := map[string]any{}
	for _, name := range []string{"archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare", "contents",
		"contributors", "deployments", "downloads", "events", "forks", "git_commits", "git_refs", "git_tags", "hooks", "issue_comment",
		"issue_events", "issues", "keys", "labels", "languages", "merges", "milestones", "notifications", "pulls", "releases",
		"stargazers", "statuses", "subscribers", "subscription", "tags", "teams", "trees"} {
		view[name+"_url"] = api + "/" + name
	}
	site := "https://github.com/" + r.FullName()
	for name, value := range map[string]any{
		"id": json.Number(r.ID), "node_id": "R_" + r.ID, "name": r.Name, "full_name": r.FullName(), "url": api, "html_url": site,
		"clone_url": site + ".git", "git_url": "git://github.com/" + r.FullName() + ".git", "ssh_url": "git@github.com:" + r.FullName() + ".git",
		"svn_url": site, "private": r.Private, "visibility": visibility(r.Private), "owner": accountView(k, r.Owner, r.OwnerID, "Organization"),
		"default_branch": or(r.DefaultBranch, "main"), "permissions": map[string]bool{"admin": true, "maintain": true, "push": true, "triage": true, "pull": true},
		"fork": false, "archived": false, "disabled": false, "has_issues": true, "has_projects": true, "has_wiki": true, "has_pages": false,
		"has_discussions": false, "forks": 0, "forks_count": 0, "open_issues": 0, "open_issues_count": 0, "stargazers_count": 0, "watchers": 0,
		"watchers_count": 0, "size": 0, "network_count": 0, "subscribers_count": 0, "description": nil, "homepage": nil, "language": nil,
		"license": nil, "mirror_url": nil, "created_at": k.stamp(), "updated_at": k.stamp(), "pushed_at": k.stamp(),
	} {
		view[name] = value
	}
	return view
}

func visibility(private bool) string {
	if private {
		return "private"
	}
	return "public"
}

// stamp is a time that nothing asks about.
func (k *githubCall) stamp() string { return k.at.Truncate(time.Second).Format(time.RFC3339) }

// accountView is a user or an organisation in an answer.
func accountView(k *githubCall, login, id, kind string) map[string]any {
	api := k.address("/users/" + login)
	view := map[string]any{"login": login, "id": json.Number(id), "node_id": "U_" + id, "avatar_url": "", "gravatar_id": "", "url": api,
		"html_url": "https://github.com/" + login, "type": kind, "site_admin": false}
	for _, name := range []string{"followers", "following", "gists", "starred", "subscriptions", "organizations", "repos", "events", "received_events"} {
		view[name+"_url"] = api + "/" + name
	}
	return view
}

// getUser answers a person who is known to some repository.
func getUser(k *githubCall) (int, any, error) {
	login := k.names[0]
	if !k.cloud.knows(login) {
		return 0, nil, githubFault(http.StatusNotFound, "Not Found")
	}
	view := accountView(k, login, derivedID(login), "User")
	for _, name := range []string{"bio", "blog", "company", "email", "hireable", "location", "name"} {
		view[name] = nil
	}
	for _, name := range []string{"followers", "following", "public_gists", "public_repos"} {
		view[name] = 0
	}
	view["created_at"], view["updated_at"] = k.stamp(), k.stamp()
	return http.StatusOK, view, nil
}

// knows says whether a person, or a team as org/slug, has been registered with
// a repository.
func (c *Cloud) knows(name string) bool {
	for _, key := range c.store.keys(repositoryRecord) {
		var r Repository
		if !c.store.get(key, &r) {
			continue
		}
		for _, reader := range r.Readers {
			if strings.EqualFold(reader, name) {
				return true
			}
		}
	}
	return false
}

func getTeam(k *githubCall) (int, any, error) {
	full := k.names[0] + "/" + k.names[1]
	if !k.cloud.knows(full) {
		return 0, nil, githubFault(http.StatusNotFound, "Not Found")
	}
	view := teamView(k, full)
	view["created_at"], view["updated_at"], view["members_count"], view["repos_count"] = k.stamp(), k.stamp(), 1, 1
	organization := accountView(k, k.names[0], derivedID(k.names[0]), "Organization")
	for name, value := range map[string]any{"description": nil, "hooks_url": "", "issues_url": "", "members_url": "", "public_members_url": "",
		"has_organization_projects": true, "has_repository_projects": true, "public_repos": 1, "public_gists": 0, "followers": 0, "following": 0,
		"created_at": k.stamp(), "updated_at": k.stamp(), "archived_at": nil} {
		organization[name] = value
	}
	view["organization"] = organization
	return http.StatusOK, view, nil
}

func teamView(k *githubCall, full string) map[string]any {
	org, slug, _ := strings.Cut(full, "/")
	api := k.address("/orgs/" + org + "/teams/" + slug)
	return map[string]any{"id": json.Number(derivedID(full)), "node_id": "T_" + derivedID(full), "name": slug, "slug": slug, "description": nil,
		"privacy": "closed", "notification_setting": "notifications_enabled", "permission": "pull", "url": api, "type": "organization",
		"html_url": "https://github.com/orgs/" + org + "/teams/" + slug, "members_url": api + "/members{/member}", "repositories_url": api + "/repos", "parent": nil}
}

// listBranches answers the default branch, and those that are protected.
func listBranches(k *githubCall) (int, any, error) {
	type branch struct {
		Name      string         `json:"name"`
		Commit    map[string]any `json:"commit"`
		Protected bool           `json:"protected"`
	}
	all := []branch{}
	names := append([]string{or(k.repo.DefaultBranch, "main")}, k.repo.Protected...)
	for i, name := range names {
		protected := i > 0 || contains(k.repo.Protected, name)
		if i > 0 && name == names[0] || k.URL.Query().Get("protected") == "true" && !protected {
			continue
		}
		sha := strings.Repeat("0", 40)
		all = append(all, branch{name, map[string]any{"sha": sha, "url": k.address("/repos/" + k.repo.FullName() + "/commits/" + sha)}, protected})
	}
	return http.StatusOK, githubPage(k, all), nil
}

// subjectForm is the customization of a repository's subjects (GitHub docs:
// REST API endpoints for GitHub Actions OIDC).
type subjectForm struct {
	UseDefault   *bool    `json:"use_default"`
	ClaimKeys    []string `json:"include_claim_keys,omitempty"`
	UseImmutable *bool    `json:"use_immutable_subject,omitempty"`
	Prefix       string   `json:"sub_claim_prefix,omitempty"`
}

func getSubject(k *githubCall) (int, any, error) {
	standard := len(k.repo.ClaimKeys) == 0
	return http.StatusOK, subjectForm{UseDefault: &standard, ClaimKeys: k.repo.ClaimKeys, UseImmutable: &k.repo.Immutable, Prefix: k.repo.subject()}, nil
}

func putSubject(k *githubCall) (int, any, error) {
	var in subjectForm
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	switch {
	case in.UseDefault == nil:
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\n\"use_default\" wasn't supplied.")
	case *in.UseDefault && len(in.ClaimKeys) > 0:
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "include_claim_keys can't be set with use_default")
	case !*in.UseDefault && len(in.ClaimKeys) == 0: // the organisation's template; there is none
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "the local cloud knows no organisation's template: state include_claim_keys")
	}
	for _, key := range in.ClaimKeys {
		if _, ok := (Job{}).claims()[key]; !ok && key != "repo" && key != "context" && key != "environment" {
			return 0, nil, githubFault(http.StatusUnprocessableEntity, "%q is no claim", key)
		}
	}
	k.repo.ClaimKeys = in.ClaimKeys
	if in.UseImmutable != nil {
		k.repo.Immutable = *in.UseImmutable
	}
	return http.StatusCreated, struct{}{}, k.cloud.store.put(repositoryRecord+strings.ToLower(k.repo.FullName()), k.repo)
}
