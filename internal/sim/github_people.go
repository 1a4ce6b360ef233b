package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// People: whoever can read a registered repository, by login or as a member of
// a team, has a token of the API. What they can do is to read, and to review
// where they are asked to; all else is the administrator's.

// administratorLogin is the administrator's in GitHub's answers.
const administratorLogin = "administrator"

// personToken is the token of a person, made of the administrator's: it needs
// no record, and lives as long.
func personToken(administrators, login string) string {
	mac := hmac.New(sha256.New, []byte(administrators))
	mac.Write([]byte("person " + strings.ToLower(login)))
	return "ghp_" + hex.EncodeToString(mac.Sum(nil))[:36]
}

// people are the logins of everybody whom some repository knows, as they are
// written there, sorted.
func (c *Cloud) people() []string {
	var logins []string
	add := func(name string) {
		known := strings.Contains(name, "/") || slices.ContainsFunc(logins, func(l string) bool { return strings.EqualFold(l, name) })
		if !known {
			logins = append(logins, name)
		}
	}
	for _, key := range c.store.keys(repositoryRecord) {
		var r Repository
		if !c.store.get(key, &r) {
			continue
		}
		for _, name := range r.Readers {
			add(name)
		}
		for _, members := range r.Teams {
			for _, name := range members {
				add(name)
			}
		}
	}
	slices.Sort(logins)
	return logins
}

// reads says whether a person can read a repository: everybody can read a
// public one.
func (r Repository) reads(login string) bool {
	if !r.Private {
		return true
	}
	same := func(name string) bool { return strings.EqualFold(name, login) }
	return slices.ContainsFunc(r.Readers, func(reader string) bool { return same(reader) || slices.ContainsFunc(r.Teams[reader], same) })
}

// person finds the person whose token it is.
func (c *Cloud) person(administrators, token string) (login string, ok bool) {
	for _, login := range c.people() {
		if sameText(personToken(administrators, login), token) {
			return login, true
		}
	}
	return "", false
}

// personEnv is what a person's shell needs to speak to GitHub's API.
func (c *Cloud) personEnv(login, host string) (map[string]string, error) {
	administrators, err := c.githubToken()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(c.people(), func(l string) bool { return strings.EqualFold(l, login) }) {
		return nil, fmt.Errorf("nobody is called %q: the people here are %s", login, or(strings.Join(c.people(), ", "), "none; `slipway local repository` registers a repository with its readers"))
	}
	return map[string]string{"GITHUB_API_URL": "http://" + host + "/api/v3", "GH_TOKEN": personToken(administrators, login)}, nil
}

// loginView is whoever has a login, in an answer.
func loginView(k *githubCall, login string) map[string]any {
	if login == actionsBot {
		return accountView(k, login, "41898282", "Bot")
	}
	return accountView(k, login, derivedID(login), "User")
}

// getMe answers who calls.
func getMe(k *githubCall) (int, any, error) {
	return http.StatusOK, userView(k, k.caller.login, derivedID(k.caller.login), "User"), nil
}

func listMembers(k *githubCall) (int, any, error) {
	full, ok := k.cloud.reader(k.names["org"] + "/" + k.names["team_slug"])
	if !ok {
		return 0, nil, githubFault(http.StatusNotFound, "Not Found")
	}
	all := []map[string]any{}
	for _, login := range k.cloud.members(full) {
		all = append(all, loginView(k, login))
	}
	return http.StatusOK, paged(k, all, mostPerPage, plain), nil
}

// members are those of a team, sorted.
func (c *Cloud) members(team string) []string {
	var logins []string
	for _, key := range c.store.keys(repositoryRecord) {
		var r Repository
		if c.store.get(key, &r) {
			logins = append(logins, r.Teams[team]...)
		}
	}
	slices.Sort(logins)
	return slices.Compact(logins)
}
