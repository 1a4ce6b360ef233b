package sim

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

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
		"default_branch": or(r.DefaultBranch, "main"), "permissions": k.caller.permissions(),
		"fork": false, "archived": false, "disabled": false, "has_issues": true, "has_projects": true, "has_wiki": true, "has_pages": false,
		"has_discussions": false, "forks": 0, "forks_count": 0, "open_issues": 0, "open_issues_count": 0, "stargazers_count": 0, "watchers": 0,
		"watchers_count": 0, "size": 0, "network_count": 0, "subscribers_count": 0, "description": nil, "homepage": nil, "language": nil,
		"license": nil, "mirror_url": nil, "created_at": k.stamp(), "updated_at": k.stamp(), "pushed_at": k.stamp(),
	} {
		view[name] = value
	}
	return view
}

// permissions are the caller's on a repository.
func (a githubCaller) permissions() map[string]bool {
	return map[string]bool{"admin": a.admin, "maintain": a.admin, "push": a.admin, "triage": a.admin, "pull": true}
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

// getUser answers a person who is known to some repository, or an owner.
func getUser(k *githubCall) (int, any, error) {
	login, id, kind, ok := k.cloud.account(k.names["username"])
	if !ok {
		return 0, nil, githubFault(http.StatusNotFound, "Not Found")
	}
	return http.StatusOK, userView(k, login, id, kind), nil
}

// userView is an account with what it tells of itself: nothing.
func userView(k *githubCall, login, id, kind string) map[string]any {
	view := accountView(k, login, id, kind)
	for _, name := range []string{"bio", "blog", "company", "email", "hireable", "location", "name"} {
		view[name] = nil
	}
	for _, name := range []string{"followers", "following", "public_gists", "public_repos"} {
		view[name] = 0
	}
	view["created_at"], view["updated_at"] = k.stamp(), k.stamp()
	return view
}

// account finds who has a login: the owner of a repository, or a person.
func (c *Cloud) account(name string) (login, id, kind string, ok bool) {
	for _, key := range c.store.keys(repositoryRecord) {
		var r Repository
		if c.store.get(key, &r) && strings.EqualFold(r.Owner, name) {
			return r.Owner, r.OwnerID, "Organization", true
		}
	}
	for _, login := range append(c.people(), administratorLogin) {
		if strings.EqualFold(login, name) {
			return login, derivedID(login), "User", true
		}
	}
	return "", "", "", false
}

// reader finds a team, as org/slug, that was registered with a repository, as
// it is written there.
func (c *Cloud) reader(name string) (string, bool) {
	for _, key := range c.store.keys(repositoryRecord) {
		var r Repository
		if !c.store.get(key, &r) {
			continue
		}
		for _, reader := range r.Readers {
			if strings.EqualFold(reader, name) {
				return reader, true
			}
		}
	}
	return "", false
}

func getTeam(k *githubCall) (int, any, error) {
	full, ok := k.cloud.reader(k.names["org"] + "/" + k.names["team_slug"])
	if !ok {
		return 0, nil, githubFault(http.StatusNotFound, "Not Found")
	}
	view := teamView(k, full)
	view["created_at"], view["updated_at"], view["members_count"], view["repos_count"] = k.stamp(), k.stamp(), len(k.cloud.members(full)), 1
	owner, _, _ := strings.Cut(full, "/")
	organization := accountView(k, owner, derivedID(owner), "Organization")
	for name, value := range map[string]any{"description": nil, "hooks_url": "", "issues_url": "", "members_url": "", "public_members_url": "",
		"has_organization_projects": true, "has_repository_projects": true, "public_repos": 1, "public_gists": 0, "followers": 0, "following": 0,
		"created_at": k.stamp(), "updated_at": k.stamp(), "archived_at": nil} {
		organization[name] = value
	}
	view["organization"] = organization
	return http.StatusOK, view, nil
}

// teamView is a team in an answer. Its url names the organisation by id; its
// html_url alone has the organisation's name, as with GitHub.
func teamView(k *githubCall, full string) map[string]any {
	org, slug, _ := strings.Cut(full, "/")
	id := derivedID(full)
	api := k.address("/organizations/" + derivedID(org) + "/team/" + id)
	return map[string]any{"id": json.Number(id), "node_id": "T_" + id, "name": slug, "slug": slug, "description": nil,
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
	return http.StatusOK, paged(k, all, mostPerPage, func(_ int, part []branch) any { return part }), nil
}
