package trust

import (
	"slices"
	"strconv"
	"strings"
)

// pin is a condition on a claim.
type pin struct {
	Condition
	op     operator
	claim  string   // sub, aud, …; "" where the key is none of the issuer's claims
	shapes []string // of its values
	path   string
}

// narrows says whether only tokens with a fitting claim meet the condition.
func (p pin) narrows() bool { return !p.op.negated && p.op.name != "Null" }

// exact says whether they have one of a list of values.
func (p pin) exact() bool {
	return p.narrows() && strings.HasPrefix(p.op.name, "String") && !slices.ContainsFunc(p.shapes, open)
}

// needed says whether a request without the key fails.
func (p pin) needed() bool {
	switch {
	case p.op.name == "Null":
		return !slices.ContainsFunc(p.Values, func(v string) bool { return strings.EqualFold(v, "true") })
	case p.op.ifExists || p.op.set == forAll:
		return false
	default:
		return !p.op.negated || p.op.set == forAny
	}
}

// valuePath is where a value stands: a list's own, or the key's.
func (a *audit) valuePath(p pin, i int) string {
	if at := p.path + "[" + strconv.Itoa(i) + "]"; a.places[at] > 0 {
		return at
	}
	return p.path
}

// allow is an Allow statement for a provider.
type allow struct {
	*audit
	index int
	Statement
	issuer string
	pins   []pin
}

// statement judges one statement. Deny statements only ever narrow.
func (a *audit) statement(i int) {
	s := a.policy.Statements[i]
	if s.Effect != Allow {
		return
	}
	j := &allow{audit: a, index: i, Statement: s}
	providers := j.principals()
	if len(providers) > 0 {
		j.actions()
	}
	if !s.actsOn(AssumeWithWebIdentity) || j.issuer == "" {
		return
	}
	j.pins = a.pinsOf(i, j.issuer)
	j.keys()
	j.subjectConditions()
	j.audienceConditions()
	j.otherClaims()
}

// principals tells who else may come, and settles whose keys count.
func (j *allow) principals() []provider {
	var providers []provider
	var others []string
	path := j.path(j.index) + ".Principal"
	for _, p := range j.Principals {
		found, ok := providerOf(p)
		switch {
		case p.Value == "*" && p.Kind != Service && p.Kind != Canonical:
			j.issuer = j.Issuer
			j.find("trust/open-principal", path, j.strangers(j.alone(nil)), "%s lets in everyone", j.path(j.index))
		case ok && (found.issuer == j.Issuer || !j.serves(j.Issuer)):
			providers = append(providers, found)
		default:
			others = append(others, p.Value)
		}
	}
	if len(others) > 0 {
		j.find("trust/other-principal", path, nil, "%s also trusts %s", j.path(j.index), strings.Join(others, ", "))
	}
	for _, p := range providers {
		j.provider(p, path)
	}
	return providers
}

func (j *allow) provider(p provider, path string) {
	if j.issuer == "" {
		j.issuer = p.issuer
	}
	if j.Account != "" && p.account != j.Account && !j.placeholder(p.account) {
		j.find("trust/foreign-provider", path, nil, "%s is of account %s; the role is in %s", p.arn, p.account, j.Account)
	}
	if p.issuer != j.Issuer {
		j.find("trust/issuer-mismatch", path, nil, "%s is the provider of %s; the tokens come from %s", p.arn, p.issuer, j.Issuer)
	}
}

// serves says whether any Allow names the issuer's provider.
func (a *audit) serves(issuer string) bool {
	for _, s := range a.policy.Statements {
		for _, p := range s.Principals {
			if found, ok := providerOf(p); ok && s.Effect == Allow && found.issuer == issuer {
				return true
			}
		}
	}
	return false
}

func (j *allow) actions() {
	path := j.path(j.index) + ".Action"
	if j.NotActions != nil {
		j.find("trust/broad-action", j.path(j.index)+".NotAction", nil, "NotAction allows whatever it does not name")
		return
	}
	for _, action := range j.Actions {
		if !strings.EqualFold(action, AssumeWithWebIdentity) {
			j.find("trust/broad-action", path, nil, "%s is more than %s", action, AssumeWithWebIdentity)
		}
	}
}

// alone is the policy with this Allow only, changed by edit, and what is
// denied.
func (j *allow) alone(edit func(*Statement)) Policy {
	p := Policy{Version: j.policy.Version}
	for i, s := range j.policy.Statements {
		if i == j.index && edit != nil {
			s.Conditions = slices.Clone(s.Conditions)
			edit(&s)
		}
		if i == j.index || s.Effect == Deny {
			p.Statements = append(p.Statements, s)
		}
	}
	return p
}

// withAudience adds the condition on the audience that there should be.
func (j *allow) withAudience(s *Statement) {
	s.Conditions = append(s.Conditions, Condition{"StringEquals", strings.TrimPrefix(j.issuer, "https://") + ":aud", []string{audience}})
}

// let lists the strangers that one value of a condition lets in.
func (j *allow) let(p pin, value string) []string {
	return j.strangers(j.alone(func(s *Statement) {
		for i, c := range s.Conditions {
			if c.Operator == p.Operator && c.Key == p.Key {
				s.Conditions[i].Values = []string{value}
			}
		}
		j.withAudience(s)
	}))
}

// pinsOf reads a statement's conditions as an issuer's tokens meet them.
func (a *audit) pinsOf(i int, issuer string) []pin {
	var pins []pin
	for _, c := range a.policy.Statements[i].Conditions {
		op, err := parseOperator(c.Operator)
		if err != nil {
			continue // told already
		}
		p := pin{Condition: c, op: op, path: a.conditionPath(i, c)}
		host, claim := splitKey(c.Key)
		if host == strings.ToLower(strings.TrimPrefix(issuer, "https://")) && slices.Contains(claimsOf(issuer), claim) {
			p.claim = claim
		}
		like := strings.HasSuffix(op.name, "Like")
		for _, value := range c.Values {
			p.shapes = append(p.shapes, shape(value, like, a.policy.Version == "2012-10-17"))
		}
		pins = append(pins, p)
	}
	return pins
}

// splitKey takes a condition key apart: issuer and claim, lower-case.
func splitKey(key string) (host, claim string) {
	key = strings.ToLower(key)
	at := strings.LastIndexByte(key, ':')
	if at < 0 {
		return "", key
	}
	return key[:at], key[at+1:]
}

// keys judges the keys that are no claims of the issuer's.
func (j *allow) keys() {
	for _, p := range j.pins {
		if p.claim != "" {
			j.operator(p)
			continue
		}
		if callKey(p.Key) {
			continue
		}
		host, claim := splitKey(p.Key)
		foreign := host != strings.ToLower(strings.TrimPrefix(j.issuer, "https://")) && strings.Contains(host, ".") &&
			slices.Contains(claimsOf(GitHubIssuer), claim)
		switch {
		case !p.needed():
			j.find("trust/no-effect", p.path, nil, "%s tests nothing: no token has %s", p.Operator, p.Key)
		case foreign:
			j.find("trust/issuer-mismatch", p.path, nil, "%s is a key of another issuer than the provider's, %s", p.Key, j.issuer)
		default:
			j.find("trust/unsupported-claim", p.path, nil, "%s never holds: AWS has no key %s", p.Operator, p.Key)
		}
	}
}

// operator judges how a claim is tested.
func (j *allow) operator(p pin) {
	if p.op.set != "" {
		j.find("trust/for-all-values", p.path, nil, "%s on %s, which has one value", p.Operator, p.claim)
	} else if p.op.ifExists && (p.claim == "sub" || p.claim == "aud") {
		j.find("trust/no-effect", p.path, nil, "%s tests nothing where a token has no %s", p.Operator, p.claim)
	}
	if strings.HasSuffix(p.op.name, "Like") || !strings.HasPrefix(p.op.name, "String") || p.op.negated {
		return
	}
	for i, value := range p.Values {
		if strings.ContainsAny(p.shapes[i], "*?") {
			j.find("trust/literal-wildcard", j.valuePath(p, i), nil, "%s takes the wildcard in %s literally", p.Operator, value)
		}
	}
}

// on lists the conditions on a claim that narrow it: where some are exact,
// those alone, because the others can't widen it again.
func (j *allow) on(claim string) []pin {
	var all, exact []pin
	for _, p := range j.pins {
		if p.claim != claim || !p.narrows() {
			continue
		}
		all = append(all, p)
		if p.exact() {
			exact = append(exact, p)
		}
	}
	if exact != nil {
		return exact
	}
	return all
}

// fixed says whether a claim is pinned to a list of values.
func (j *allow) fixed(claim string) bool {
	return slices.ContainsFunc(j.on(claim), func(p pin) bool { return p.exact() && p.needed() })
}

// negated lists the conditions that say who does not get in.
func (j *allow) negated() []pin {
	var pins []pin
	for _, p := range j.pins {
		if p.op.negated && p.claim != "" {
			pins = append(pins, p)
		}
	}
	return pins
}

// guards says whether a Deny narrows a claim.
func (j *allow) guards(claim string) bool {
	for i, s := range j.policy.Statements {
		if s.Effect != Deny || !s.actsOn(AssumeWithWebIdentity) {
			continue
		}
		if slices.ContainsFunc(j.pinsOf(i, j.issuer), func(p pin) bool { return p.claim == claim }) {
			return true
		}
	}
	return false
}

// audienceConditions judges the conditions on aud.
func (j *allow) audienceConditions() {
	pins := j.on("aud")
	if len(pins) == 0 {
		j.missingAudience(j.path(j.index))
	}
	for _, p := range pins {
		for i, s := range p.shapes {
			switch {
			case !open(s) && s != audience && !j.placeholder(s) && gitHub(j.issuer) && !(p.op.name == "StringEqualsIgnoreCase" && strings.EqualFold(s, audience)):
				j.find("trust/audience-mismatch", j.valuePath(p, i), j.foreignAudience(),
					"the audience %s is not %s", p.Values[i], audience)
			case open(s) && len(beforeGap(s)) < len("https://x"):
				j.missingAudience(j.valuePath(p, i))
			case open(s):
				j.find("trust/audience-mismatch", j.valuePath(p, i), j.foreignAudience(), "the audience %s is more than %s", p.Values[i], audience)
			}
		}
	}
}

func (j *allow) missingAudience(path string) {
	j.find("trust/missing-aud", path, j.foreignAudience(), "%s does not say for whom the token has to be made", j.path(j.index))
}

// foreignAudience lists the strangers that come in by another audience.
func (j *allow) foreignAudience() []string {
	fitting := j.admitted(j.alone(j.withAudience))
	return slices.DeleteFunc(j.strangers(j.alone(nil)), func(id string) bool { return slices.Contains(fitting, id) })
}

// otherClaims judges the conditions on claims beside sub and aud.
func (j *allow) otherClaims() {
	for _, p := range j.pins {
		if !p.narrows() || p.claim == "" {
			continue
		}
		for i, s := range p.shapes {
			j.claim(p, i, s)
		}
	}
	if j.oneRepository() {
		return
	}
	for _, p := range j.pins {
		if !p.narrows() {
			continue
		}
		switch p.claim {
		case "actor", "actor_id":
			j.find("trust/actor-pin", p.path, j.strangers(j.alone(j.withAudience)), "%s says who ran the job, and nothing says in which repository", p.claim)
		case "job_workflow_ref":
			j.find("trust/workflow-pin-alone", p.path, j.strangers(j.alone(j.withAudience)), "%s is pinned, and the repository is not", p.claim)
		case "environment":
			j.find("trust/environment-pin-alone", p.path, j.strangers(j.alone(j.withAudience)), "%s is pinned, and the repository is not", p.claim)
		}
	}
}

// oneRepository says whether something names the repository exactly.
func (j *allow) oneRepository() bool {
	if j.fixed("repository") || j.fixed("repository_id") {
		return true
	}
	return slices.ContainsFunc(j.on("sub"), func(p pin) bool {
		return len(p.shapes) > 0 && !slices.ContainsFunc(p.shapes, func(s string) bool { return open(s) && !parseSubject(s).exact() })
	})
}

// claim judges one value of a claim.
func (j *allow) claim(p pin, i int, s string) {
	path := j.valuePath(p, i)
	switch value := p.Values[i]; p.claim {
	case "repository":
		owner, name, _ := strings.Cut(s, "/")
		j.sameRepository(p, path, Repository{Owner: owner, Name: name}, value)
	case "repository_id":
		switch {
		case open(s) && !j.immutableSubject():
			j.find("trust/wildcard-id", path, j.let(p, value), "repository_id %s is no single id", value)
		case !open(s) && j.Repository.immutable() && s != j.Repository.ID:
			j.find("trust/repository-mismatch", path, nil, "repository_id %s is not %s", value, j.Repository.ID)
		case s == gap:
			j.find("trust/no-effect", path, nil, "repository_id %s is any", value)
		}
	case "environment":
		if !open(s) && j.Environment != "" && s != j.Environment && !p.foldsTo(s, j.Environment) && !j.placeholder(s) {
			j.find("trust/environment-subject", path, nil, "the environment %s is not %s", value, j.Environment)
		}
	case "ref":
		switch {
		case strings.HasPrefix(s, "refs/tags/"):
			j.find("trust/tag-subject", path, nil, "ref %s is a tag", value)
		case s == gap:
			j.find("trust/no-effect", path, nil, "ref %s is any", value)
		}
	case "job_workflow_ref":
		if open(s) && !strings.Contains(s[strings.LastIndex(s, gap):], "@") {
			j.find("trust/mutable-workflow", path, nil, "job_workflow_ref %s fits any branch's copy of the workflow", value)
		}
	case "workflow", "actor", "actor_id":
		if s == gap {
			j.find("trust/no-effect", path, nil, "%s %s is any", p.claim, value)
		}
	}
}

// foldsTo says whether the operator takes two values as one by their case.
func (p pin) foldsTo(a, b string) bool {
	return p.op.name == "StringEqualsIgnoreCase" && strings.EqualFold(a, b)
}

// immutableSubject says whether every subject has its ids written out.
func (j *allow) immutableSubject() bool {
	pins := j.on("sub")
	return len(pins) > 0 && !slices.ContainsFunc(pins[0].shapes, func(s string) bool {
		sub := parseSubject(s)
		return !sub.exact() || !sub.repository().immutable()
	})
}
