package trust

import (
	"fmt"
	"regexp"
	"strings"
)

// Repository is a repository on GitHub, its ids where they are known.
type Repository struct {
	Owner, OwnerID string
	Name, ID       string
}

// repositoryText is OWNER/REPO or OWNER@ID/REPO@ID, of GitHub's letters.
var repositoryText = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_-]*)(?:@([0-9]+))?/([A-Za-z0-9._-]+)(?:@([0-9]+))?$`)

// ParseRepository reads OWNER/REPO, or OWNER@ID/REPO@ID.
func ParseRepository(text string) (Repository, error) {
	m := repositoryText.FindStringSubmatch(text)
	if m == nil || (m[2] == "") != (m[4] == "") {
		return Repository{}, fmt.Errorf("%q is neither OWNER/REPO nor OWNER@ID/REPO@ID", text)
	}
	return Repository{Owner: m[1], OwnerID: m[2], Name: m[3], ID: m[4]}, nil
}

// String is the repository as ParseRepository reads it.
func (r Repository) String() string {
	if !r.immutable() {
		return r.names()
	}
	return r.Owner + "@" + r.OwnerID + "/" + r.Name + "@" + r.ID
}

// names is the repository without ids.
func (r Repository) names() string { return r.Owner + "/" + r.Name }

// immutable says whether the ids are known.
func (r Repository) immutable() bool { return r.ID != "" }

// legacySubject is what the repository's tokens say where they send names.
func (r Repository) legacySubject(context string) string {
	return "repo:" + r.names() + ":" + context
}

// subject is what they say where they send ids.
func (r Repository) subject(context string) string {
	return "repo:" + r.Owner + "@" + r.OwnerID + "/" + r.Name + "@" + r.ID + ":" + context
}

// environmentContext is the end of the subject of a job that names an
// environment: a colon in the name is escaped (GitHub docs: OpenID Connect
// reference).
func environmentContext(name string) string {
	return "environment:" + strings.ReplaceAll(name, ":", "%3A")
}
