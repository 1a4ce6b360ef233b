package trust

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// audience is what Slipway asks GitHub for: STS's own (configure-aws-credentials
// README).
const audience = "sts.amazonaws.com"

// AuditOptions say whom a role is meant for. What is left empty is not held
// against a policy.
type AuditOptions struct {
	Repository  Repository // with ids: it sends the immutable subject
	Environment string     // that the job names
	Account     string     // of the role
	Issuer      string     // "" for GitHubIssuer
	Probes      []Probe    // nil for ones made of the above
	// Unprotected says that nobody approves what is deployed to the
	// environment, so that others in the repository get nothing by a wildcard.
	Unprotected bool
	// UnsafeWorkflows are the repository's workflows that outsiders can start
	// and that may ask for a token of the environment.
	UnsafeWorkflows []string
}

// AuditTrust finds what is wrong with a role's trust policy. Probes decide who
// gets in; rules explain why. It fails where the document is no trust policy.
func AuditTrust(doc []byte, o AuditOptions) (Report, error) {
	a, err := newAudit(doc, o)
	if err != nil {
		return Report{}, err
	}
	a.document()
	for i := range a.policy.Statements {
		a.statement(i)
	}
	a.placeholders()
	a.outcome()
	return a.report.sorted(), nil
}

// audit is one run of AuditTrust.
type audit struct {
	AuditOptions
	doc     []byte
	policy  Policy
	list    bool           // statements stand in a list
	places  map[string]int // offset of each path
	repeats []Repeat
	doubts  []doubt
	caller  caller
	report  Report
}

func newAudit(doc []byte, o AuditOptions) (*audit, error) {
	root, err := tree(doc)
	if err != nil {
		return nil, err
	}
	r := &reader{doc: doc, lenient: true}
	a := &audit{AuditOptions: o, doc: doc, policy: r.policy(root), places: make(map[string]int)}
	if r.err != nil {
		return nil, r.err
	}
	a.repeats, a.doubts = r.repeats, r.doubts
	if a.Issuer == "" {
		a.Issuer = GitHubIssuer
	}
	a.place(root)
	if err := a.settle(); err != nil {
		return nil, err
	}
	a.caller = a.intended()
	if a.Probes == nil && gitHub(a.Issuer) {
		a.Probes = a.caller.probes()
	}
	return a, nil
}

// place notes where everything stands, the last of repeated keys.
func (a *audit) place(n node) {
	a.places[n.path] = n.offset
	if n.path == "Statement" {
		a.list = n.kind == array
	}
	for _, m := range n.members {
		a.place(m.value)
		a.places[m.value.path] = m.offset
		if m.value.kind == scalar {
			a.places[m.value.path] = m.value.offset
		}
	}
	for _, item := range n.items {
		a.place(item)
	}
}

// settle makes the statements fit to be evaluated: what is not understood
// never narrows, and never helps to admit an intended caller either.
func (a *audit) settle() error {
	named := false
	for i := range a.policy.Statements {
		s := &a.policy.Statements[i]
		not, inverted := a.places[a.path(i)+".NotPrincipal"]
		switch {
		case inverted && s.Effect == Allow:
			s.Principals = []Principal{{Kind: Anyone, Value: "*"}}
		case inverted:
			s.Principals = []Principal{}
		case s.Principals == nil:
			not = a.places[a.path(i)]
			a.doubts = append(a.doubts, doubt{not, a.path(i) + " has no Principal"})
			s.Principals = []Principal{}
		default:
			named = true
		}
		named = named || inverted
		if s.Effect != Allow && s.Effect != Deny {
			s.Actions, s.NotActions = nil, nil
		}
		if s.Resources != nil || s.NotResources != nil {
			a.doubts = append(a.doubts, doubt{a.places[a.path(i)], a.path(i) + " has a Resource, which a trust policy may not"})
		}
	}
	if !named {
		return errors.New("no statement has a Principal: this is no trust policy")
	}
	return nil
}

// path of a statement.
func (a *audit) path(i int) string {
	if !a.list {
		return "Statement"
	}
	return fmt.Sprintf("Statement[%d]", i)
}

// find adds a finding at a path of the document.
func (a *audit) find(rule, path string, admits []string, format string, args ...any) {
	offset, ok := a.places[path]
	if !ok {
		path = ""
	}
	a.findAt(rule, offset, admits, path != "", format, args...)
}

func (a *audit) findAt(id string, offset int, admits []string, placed bool, format string, args ...any) {
	rule := ruleOf(id)
	f := Finding{Rule: id, Severity: rule.Severity, Message: fmt.Sprintf(format, args...), Fix: rule.Fix, Admits: admits}
	if placed {
		f.Line, f.Column = position(a.doc, offset)
	}
	if id == "trust/wildcard-context" && a.Unprotected {
		f.Severity = SeverityWarning
	}
	a.report.Findings = append(a.report.Findings, f)
}

// document tells what is wrong with the document itself.
func (a *audit) document() {
	for _, r := range a.repeats {
		a.report.Findings = append(a.report.Findings, Finding{Rule: "trust/duplicate-key", Severity: SeverityError,
			Message: r.Path + " is stated twice: the last counts", Fix: ruleOf("trust/duplicate-key").Fix, Line: r.Line, Column: r.Column})
	}
	for _, d := range a.doubts {
		a.findAt("trust/invalid-element", d.offset, nil, true, "%s", d.text)
	}
	for i, s := range a.policy.Statements {
		a.sameKeys(i, s)
	}
}

// sameKeys finds keys of one operator that differ by case alone: to IAM they
// are one.
func (a *audit) sameKeys(i int, s Statement) {
	for j, c := range s.Conditions {
		for _, earlier := range s.Conditions[:j] {
			if c.Operator == earlier.Operator && strings.EqualFold(c.Key, earlier.Key) {
				a.find("trust/duplicate-key", a.conditionPath(i, c), nil,
					"%s.Condition.%s has %s and %s, which are one key", a.path(i), c.Operator, earlier.Key, c.Key)
			}
		}
	}
}

func (a *audit) conditionPath(i int, c Condition) string {
	return a.path(i) + ".Condition." + c.Operator + "." + c.Key
}

// provider is an identity provider that a statement names by its ARN.
type provider struct{ arn, account, issuer string }

// providerOf takes the ARN of an OIDC provider apart (IAM user guide: IAM
// identifiers).
func providerOf(p Principal) (provider, bool) {
	parts := strings.SplitN(p.Value, ":", 6)
	if p.Kind != Federated || len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" {
		return provider{}, false
	}
	host, ok := strings.CutPrefix(parts[5], "oidc-provider/")
	return provider{arn: p.Value, account: parts[4], issuer: "https://" + host}, ok
}

// providers lists the ARNs that a token of the issuer may come in by: the
// policy's own of the right account, else the one that there should be.
func (a *audit) providers(issuer string) []string {
	var arns []string
	for _, s := range a.policy.Statements {
		for _, p := range s.Principals {
			found, ok := providerOf(p)
			if ok && found.issuer == issuer && (a.Account == "" || a.Account == found.account) && !slices.Contains(arns, p.Value) {
				arns = append(arns, p.Value)
			}
		}
	}
	if len(arns) == 0 {
		return []string{ProviderARN(a.Account, issuer)}
	}
	return arns
}

// admits says whether a policy lets a token in.
func (a *audit) admits(p Policy, claims map[string]string) bool {
	issuer := a.Issuer
	if iss := claims["iss"]; iss != "" {
		issuer = iss
	}
	return slices.ContainsFunc(a.providers(issuer), func(arn string) bool {
		return p.Evaluate(WebIdentity(arn, issuer, claims)).Allowed
	})
}

// callKeys are condition keys of the call itself, whatever the token (IAM user
// guide: global condition context keys, available keys for AWS STS).
func callKey(key string) bool {
	switch strings.ToLower(key) {
	case "aws:sourceip", "aws:vpcsourceip", "aws:sourcevpc", "aws:sourcevpce", "aws:useragent", "aws:referer",
		"aws:currenttime", "aws:epochtime", "aws:securetransport", "aws:requestedregion", "sts:rolesessionname":
		return true
	}
	return false
}

// judged is the policy as probes can tell: a condition on the call itself is
// taken as met in an Allow and as unmet in a Deny.
func judged(p Policy) Policy {
	onCall := func(c Condition) bool { return callKey(c.Key) }
	statements := []Statement{}
	for _, s := range p.Statements {
		if s.Effect == Deny && slices.ContainsFunc(s.Conditions, onCall) {
			continue
		}
		s.Conditions = slices.DeleteFunc(slices.Clone(s.Conditions), onCall)
		statements = append(statements, s)
	}
	p.Statements = statements
	return p
}

// admitted lists the probes that a policy lets in, in their order.
func (a *audit) admitted(p Policy) []string {
	p = judged(p)
	var in []string
	for _, probe := range a.Probes {
		if a.admits(p, probe.Claims) {
			in = append(in, probe.ID)
		}
	}
	return in
}

// strangers lists those let in who should not be.
func (a *audit) strangers(p Policy) []string {
	return slices.DeleteFunc(a.admitted(p), func(id string) bool {
		return id == otherWorkflow || Probe{ID: id}.intended()
	})
}

// outcome lets the probes decide, and says what no rule has explained.
func (a *audit) outcome() {
	a.report.Admitted = a.admitted(a.policy)
	var explained []string
	broken := false
	for _, f := range a.report.Findings {
		broken = broken || ruleOf(f.Rule).Broken
		explained = append(explained, f.Admits...)
	}
	var rest []string
	for _, id := range a.strangers(a.policy) {
		if !slices.Contains(explained, id) {
			rest = append(rest, id)
		}
	}
	if len(rest) > 0 {
		a.find("trust/admits-stranger", "Statement", rest, "it lets in %s%s", strings.Join(rest, ", "), a.resurrection(rest))
	}
	if !broken && a.unmet() {
		a.find("trust/never-matches", "Statement", nil, "the intended caller stays out: %s", a.reason())
	}
	if len(a.UnsafeWorkflows) > 0 && slices.Contains(a.report.Admitted, otherWorkflow) {
		a.find("trust/unsafe-trigger-admitted", "Statement", nil, "%s can be started by outsiders, and the policy admits any workflow",
			strings.Join(a.UnsafeWorkflows, ", "))
	}
}

// resurrection tells what a subject of names alone lacks.
func (a *audit) resurrection(strangers []string) string {
	if slices.Equal(strangers, []string{"resurrected-legacy"}) {
		return ": who takes over a deleted name; pin repository_id beside it"
	}
	return ""
}

// unmet says whether the intended callers stay out: the one with the immutable
// subject where the repository sends it, else either.
func (a *audit) unmet() bool {
	if a.Repository.Owner == "" {
		return false // nobody said who is meant
	}
	p := judged(a.policy)
	asked, met := false, false
	for _, probe := range a.callers() {
		asked = true
		met = met || a.welcome(p, probe)
	}
	return asked && !met
}

// callers are the probes one of which has to get in.
func (a *audit) callers() []Probe {
	var all []Probe
	for _, probe := range a.Probes {
		if probe.ID == "legit-immutable" && a.Repository.immutable() {
			return []Probe{probe}
		}
		if probe.intended() {
			all = append(all, probe)
		}
	}
	return all
}

// welcome says whether a policy admits an intended caller: where nobody said
// which environment the job names, in any context that the policy lists.
func (a *audit) welcome(p Policy, probe Probe) bool {
	if a.admits(p, probe.Claims) {
		return true
	}
	if a.Environment != "" {
		return false
	}
	return slices.ContainsFunc(a.caller.listed, func(context string) bool {
		return a.admits(p, reworded(probe.Claims, context))
	})
}

// reworded is a token for another context of the same repository.
func reworded(claims map[string]string, context string) map[string]string {
	changed := make(map[string]string)
	for name, value := range claims {
		changed[name] = value
	}
	delete(changed, "environment")
	parts := strings.SplitN(claims["sub"], ":", 3)
	changed["sub"] = strings.Join(append(parts[:min(2, len(parts))], context), ":")
	if name, ok := strings.CutPrefix(context, "environment:"); ok {
		changed["environment"] = strings.ReplaceAll(name, "%3A", ":")
	}
	if ref, ok := strings.CutPrefix(context, "ref:"); ok {
		changed["ref"] = ref
	}
	return changed
}

// reason says what keeps the intended caller out, by IAM's own evaluation.
func (a *audit) reason() string {
	claims := a.callers()[0].Claims
	d := judged(a.policy).Evaluate(WebIdentity(a.providers(a.Issuer)[0], a.Issuer, claims))
	if d.Denied() {
		return fmt.Sprintf("Statement[%d] denies it", d.Statement)
	}
	var reasons []string
	for _, m := range d.Misses {
		if m.Element != "Condition" {
			reasons = append(reasons, fmt.Sprintf("Statement[%d] has another %s", m.Statement, m.Element))
		}
		for _, f := range m.Failed {
			reasons = append(reasons, fmt.Sprintf("%s wants %s, the token has %s", f.Key, words(f.Wanted), words(f.Got)))
		}
	}
	if len(reasons) == 0 {
		return "no statement allows it"
	}
	return strings.Join(reasons, "; ")
}

// words are values as a sentence has them.
func words(values []string) string {
	if len(values) == 0 {
		return "none"
	}
	return strings.Join(values, " or ")
}
