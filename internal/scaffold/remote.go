package scaffold

import (
	"net/url"
	"path"
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// Remote is where a git remote is.
type Remote struct {
	Host  string // lower case, without a port
	Owner string
	Name  string
}

// String is owner/name.
func (r Remote) String() string { return r.Owner + "/" + r.Name }

var (
	ownerPattern = pattern.New(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)
	repoPattern  = pattern.New(`^[A-Za-z0-9._-]{1,100}$`)
	hostPattern  = pattern.New(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	scpForm      = pattern.New(`^(?:[^@/:\s]+@)?([^@/:\s]+):([^\s]+)$`)
	driveLetter  = pattern.New(`^[A-Za-z]:[\\/]`)
)

// ParseRemote reads the URL of a git remote: https, ssh, git, or scp's
// host:path. It is false for what is no owner/name on a host: paths, and hosts
// that nest repositories deeper. User, password and port are dropped.
func ParseRemote(text string) (Remote, bool) {
	text = strings.TrimSpace(text)
	if driveLetter.MatchString(text) {
		return Remote{}, false
	}
	host, where := "", ""
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil {
			return Remote{}, false
		}
		switch u.Scheme {
		case "https", "http", "ssh", "git", "git+ssh", "ssh+git":
			host, where = u.Hostname(), u.Path
		}
	} else if m := scpForm.FindStringSubmatch(text); m != nil {
		host, where = m[1], m[2]
	}
	host = strings.ToLower(host)
	if host == "ssh.github.com" || host == "www.github.com" {
		host = "github.com" // ssh over port 443
	}
	where = strings.Trim(where, "/")
	owner, name := path.Split(strings.TrimSuffix(where, ".git"))
	r := Remote{Host: host, Owner: strings.TrimSuffix(owner, "/"), Name: name}
	ok := hostPattern.MatchString(host) && ownerPattern.MatchString(r.Owner) && repoPattern.MatchString(name) && strings.Trim(name, ".") != ""
	if !ok {
		return Remote{}, false
	}
	return r, true
}

// OnGitHub says whether a host is GitHub: github.com, a tenant of GHE.com, or
// the server of which the caller knows that it is one.
func (r Remote) OnGitHub(server string) bool {
	return r.Host == "github.com" || strings.HasSuffix(r.Host, ".ghe.com") || server != "" && r.Host == strings.ToLower(server)
}
