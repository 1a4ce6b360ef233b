package trust

import (
	"slices"
	"strings"
)

// subjectConditions judges the conditions on sub.
func (j *allow) subjectConditions() {
	pins := j.on("sub")
	if len(pins) == 0 {
		j.missingSubject()
		return
	}
	loose := false
	for _, p := range pins {
		for i, value := range p.Values {
			loose = j.subject(p, i, value) || loose
		}
	}
	if !loose {
		return
	}
	for _, p := range j.negated() {
		if p.claim == "sub" || p.claim == "repository" || p.claim == "repository_id" {
			j.negates(p)
		}
	}
	if j.guards("sub") || j.guards("repository") || j.guards("repository_id") {
		j.denyGuard()
	}
}

// missingSubject says why nothing says which repository may come.
func (j *allow) missingSubject() {
	told := false
	for _, p := range j.negated() {
		j.negates(p)
		told = told || p.claim == "sub"
	}
	for _, claim := range claimsOf(j.issuer) {
		if claim != "aud" && j.guards(claim) {
			j.denyGuard()
			told = told || claim == "sub"
			break
		}
	}
	if !told {
		j.find("trust/missing-sub", j.path(j.index), j.strangers(j.alone(j.withAudience)),
			"%s has no condition on the sub of %s that tests anything", j.path(j.index), j.issuer)
	}
}

func (j *allow) negates(p pin) {
	j.find("trust/negated-condition", p.path, j.strangers(j.alone(j.withAudience)), "%s says which %s does not get in, not which does", p.Operator, p.claim)
}

func (j *allow) denyGuard() {
	j.find("trust/deny-guard", j.path(j.index), j.strangers(j.alone(j.withAudience)), "%s leaves it to a Deny who gets in", j.path(j.index))
}

// subject judges one value of a condition on sub; loose says that it leaves
// the repository open.
func (j *allow) subject(p pin, i int, value string) (loose bool) {
	s := parseSubject(p.shapes[i])
	path := j.valuePath(p, i)
	if !gitHub(j.issuer) {
		return j.foreignSubject(p, path, value, s)
	}
	if !strings.HasSuffix(p.op.name, "Like") && strings.ContainsAny(value, "*?") {
		return false // literal-wildcard
	}
	openings := s.openings()
	covered := (len(openings) == 0 || j.fixed("repository_id")) && (!s.contextOpen() || j.fixed("environment"))
	if !covered {
		j.wildcards(p, path, value, s, openings)
	}
	switch {
	case !s.repo && len(openings) == 0:
		j.template(p, path, value)
	case s.repo && s.slash && !j.placeholder(value):
		j.sameRepository(p, path, s.repository(), value)
		if s.exact() {
			j.form(p, path, s.repository(), value)
		}
	}
	if !covered || !s.contextOpen() {
		j.context(p, path, value, s)
	}
	return len(openings) > 0 && !covered
}

// foreignSubject judges a subject of another CI's tokens, of whose form
// nothing is known but that it grows from left to right.
func (j *allow) foreignSubject(p pin, path, value string, s subject) bool {
	if !open(s.text) || slices.ContainsFunc([]string{"project_id", "namespace_path", "project_path"}, j.fixed) {
		return false
	}
	before := beforeGap(s.text)
	rule := "trust/wildcard-context"
	if before == "" || strings.HasSuffix(before, ":") && strings.Count(before, ":") == 1 || before == "org/" {
		rule = "trust/wildcard-subject"
	}
	j.find(rule, path, j.let(p, value), "the subject %s is open after %q", value, before)
	return rule == "trust/wildcard-subject"
}

func (j *allow) wildcards(p pin, path, value string, s subject, openings []string) {
	texts := map[string]string{
		"trust/wildcard-subject":    "the subject %s leaves the repository open",
		"trust/wildcard-owner":      "the subject %s leaves the owner open",
		"trust/wildcard-repository": "the subject %s leaves the repository's name open",
		"trust/wildcard-id":         "the subject %s leaves an id open",
	}
	admits := j.let(p, value)
	for _, rule := range slices.Compact(openings) {
		j.find(rule, path, admits, texts[rule], value)
	}
	if s.repo && s.slash && s.contextOpen() && (s.colon || openings == nil) {
		j.find("trust/wildcard-context", path, admits, "the subject %s leaves open what in the repository gets in", value)
	}
	if beforeGap(s.owner) == "" && len(openings) > 0 && strings.Contains(s.text, ":environment:") {
		j.find("trust/environment-pin-alone", path, admits, "the subject %s names an environment, and no repository", value)
	}
}

// template judges a subject that does not begin with repo:.
func (j *allow) template(p pin, path, value string) {
	first, _, _ := strings.Cut(value, ":")
	if first == "repository" || first == "repository_id" || j.placeholder(value) {
		return // one repository all the same
	}
	j.find("trust/template-subject", path, j.let(p, value), "the subject %s does not begin with one repository", value)
}

// sameRepository compares the names and ids that a value states with those of
// --github.
func (j *allow) sameRepository(p pin, path string, r Repository, value string) {
	want := j.Repository
	if want.Owner == "" || j.placeholder(value) {
		return
	}
	folded := p.op.name == "StringEqualsIgnoreCase"
	differs := func(got, want string) (name, letters bool) {
		if got == "" || open(got) || got == want || want == "" {
			return false, false
		}
		return !strings.EqualFold(got, want), strings.EqualFold(got, want) && !folded
	}
	ownerName, ownerCase := differs(r.Owner, want.Owner)
	repoName, repoCase := differs(r.Name, want.Name)
	ownerID, _ := differs(r.OwnerID, want.OwnerID)
	repoID, _ := differs(r.ID, want.ID)
	switch {
	case ownerName || repoName || ownerID || repoID:
		j.find("trust/repository-mismatch", path, j.let(p, value), "%s names another repository than %s", value, j.Repository)
	case ownerCase || repoCase:
		j.find("trust/case-mismatch", path, j.let(p, value), "%s differs from %s by case", value, j.Repository)
	}
}

// form compares the form of an exact repository with what is sent: names, or
// names with ids.
func (j *allow) form(p pin, path string, r Repository, value string) {
	ids := r.OwnerID != "" && r.ID != ""
	switch {
	case !ids && (r.OwnerID != "" || r.ID != ""), ids && namesOnly(j.issuer):
		j.find("trust/subject-format", path, nil, "%s is in no form that GitHub sends for this repository", value)
	case ids || namesOnly(j.issuer) || j.bothForms(p):
		if !ids && !namesOnly(j.issuer) && !j.fixed("repository_id") {
			j.legacy(path, value)
		}
	case j.Repository.immutable():
		j.find("trust/subject-format", path, nil, "%s has names alone; %s sends ids", value, j.Repository.names())
	default:
		j.legacy(path, value)
	}
}

func (j *allow) legacy(path, value string) {
	j.find("trust/legacy-subject", path, nil, "%s has names alone, which outlive their owner", value)
}

// bothForms says whether a subject with ids stands beside.
func (j *allow) bothForms(p pin) bool {
	return slices.ContainsFunc(p.shapes, func(s string) bool { return parseSubject(s).repository().immutable() })
}

// context judges what a subject says after its repository.
func (j *allow) context(p pin, path, value string, s subject) {
	switch {
	case s.mayBe("pull_request"):
		j.find("trust/pull-request-subject", path, j.let(p, value), "the subject %s is that of pull requests", value)
	case s.mayBe("ref:refs/tags/"):
		j.find("trust/tag-subject", path, j.let(p, value), "the subject %s is that of tags", value)
	case j.Environment == "" || open(s.context) || s.context == "" || j.placeholder(value):
	case s.context == environmentContext(j.Environment) || p.foldsTo(s.context, environmentContext(j.Environment)):
	case strings.HasPrefix(s.context, environmentContext(j.Environment)+":"): // a template goes on
	case strings.EqualFold(s.context, environmentContext(j.Environment)):
		j.find("trust/case-mismatch", path, nil, "%s differs from the environment %s by case", value, j.Environment)
		fallthrough
	default:
		j.find("trust/environment-subject", path, j.let(p, value), "%s is not the subject of a job that names the environment %s", value, j.Environment)
	}
}
