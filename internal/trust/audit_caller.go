package trust

import (
	"regexp"
	"slices"
	"strings"
)

// gitHub says whether an issuer is GitHub's: github.com, an enterprise's path
// there, GHE.com, or a server of one's own (GitHub docs: OpenID Connect
// reference).
func gitHub(issuer string) bool {
	return issuer == GitHubIssuer || strings.HasPrefix(issuer, GitHubIssuer+"/") || gheCom.MatchString(issuer) || namesOnly(issuer)
}

var gheCom = regexp.MustCompile(`^https://token\.actions\.[a-z0-9-]+\.ghe\.com(/.*)?$`)

// namesOnly says whether an issuer knows no immutable subjects: GitHub
// Enterprise Server.
func namesOnly(issuer string) bool { return strings.HasSuffix(issuer, "/_services/token") }

// intended is the caller whom the options mean. What they leave open is taken
// from the policy: the ids, the branch, the workflow that it pins are right.
func (a *audit) intended() caller {
	c := caller{repository: a.Repository, environment: a.Environment, pinned: make(map[string]string)}
	for i, s := range a.policy.Statements {
		if s.Effect == Allow {
			a.learn(&c, a.pinsOf(i, a.Issuer))
		}
	}
	if c.repository.Owner == "" {
		c.repository.Owner, c.repository.Name = "owner", "repository"
	}
	if c.repository.ID == "" {
		c.repository.ID = c.claim("repository_id", "2")
	}
	if c.repository.OwnerID == "" {
		c.repository.OwnerID = "1"
	}
	switch {
	case c.environment != "":
		c.context, c.listed = environmentContext(c.environment), nil
	case len(c.listed) > 0:
		c.context = c.listed[0]
	default:
		c.context = "ref:refs/heads/main"
	}
	if name, ok := strings.CutPrefix(c.context, "environment:"); ok {
		c.environment = strings.ReplaceAll(name, "%3A", ":")
	}
	if ref, ok := strings.CutPrefix(c.context, "ref:"); ok && c.pinned["ref"] == "" {
		c.pinned["ref"] = ref
	}
	return c
}

// learn takes from a statement's exact values what the options leave open.
func (a *audit) learn(c *caller, pins []pin) {
	for _, p := range pins {
		if !p.narrows() || p.claim == "" {
			continue
		}
		for i, s := range p.shapes {
			switch {
			case p.claim == "sub":
				a.learnSubject(c, parseSubject(s))
			case !open(s) && c.pinned[p.claim] == "":
				c.pinned[p.claim] = p.Values[i]
			}
		}
	}
}

func (a *audit) learnSubject(c *caller, s subject) {
	if !s.exact() {
		return
	}
	r := s.repository()
	if c.repository.Owner == "" && !a.placeholder(s.text) {
		c.repository.Owner, c.repository.Name = r.Owner, r.Name
	}
	if r.Owner != c.repository.Owner || r.Name != c.repository.Name {
		return
	}
	if c.repository.ID == "" && r.ID != "" && r.OwnerID != "" {
		c.repository.OwnerID, c.repository.ID = r.OwnerID, r.ID
	}
	job := strings.HasPrefix(s.context, "environment:") || strings.HasPrefix(s.context, "ref:refs/heads/")
	if a.Environment == "" && job && !open(s.context) && !slices.Contains(c.listed, s.context) {
		c.listed = append(c.listed, s.context)
	}
}
