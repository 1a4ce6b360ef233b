package trust

import (
	"fmt"
	"slices"
	"strings"
)

// PolicyKind is what a document is for. Rules differ: what a ceiling may well
// hold would be too much for a grant.
type PolicyKind string

// The kinds that AuditPolicy knows.
const (
	PermissionPolicy  PolicyKind = "permission policy"
	BoundaryPolicy    PolicyKind = "permissions boundary"
	ExecutionTrust    PolicyKind = "execution trust"
	RepositoryGrants  PolicyKind = "repository policy"
	webIdentityPolicy PolicyKind = "web identity trust" // AuditTrust's affair
)

// PolicyOptions is what is known besides the document; the zero value is
// nothing.
type PolicyOptions struct {
	// Kind is the document's; "" lets the document tell. One that names
	// principals is an execution trust or a repository policy by its actions.
	// One that allows on every resource and denies IAM writes, sts:AssumeRole,
	// passing roles to others and the like is a boundary.
	Kind PolicyKind
	// Role is the ARN of the role that holds the document, ExecutionRole of the
	// one that agents run as.
	Role, ExecutionRole string
	// NoBoundary says that the role is known to have no permissions boundary.
	NoBoundary bool
	// Besides are the role's other permission policies: what they deny is denied,
	// and what they allow may add to what this one does.
	Besides []Document
	// Attached are the ARNs of the role's managed policies.
	Attached []string
	// Account owns the repository of a repository policy; "" is Role's, and if
	// that is not known either, whoever is named may be a stranger.
	Account string
	// Environments are the names there are, Runtimes the ARNs of those that
	// exist already.
	Environments, Runtimes []string
}

// AuditPolicy looks for what a deploy or execution role should not be allowed,
// nor a repository allow others. It asks the policy itself, with actions and
// resources that no deployment needs, so that a wildcard is found however it is
// written, and what a Deny takes away again is not. Other conditions of an Allow
// are taken as met, of a Deny as not met. The error says why the document is not
// one it can judge.
func AuditPolicy(doc []byte, o PolicyOptions) (Report, error) {
	a, err := newPolicyAudit(doc)
	if err != nil {
		return Report{}, err
	}
	a.PolicyOptions = o
	if a.Kind == "" {
		a.Kind = kindOf(a.policy)
	}
	if err := a.join(o.Besides); err != nil {
		return Report{}, err
	}
	switch a.Kind {
	case PermissionPolicy, BoundaryPolicy:
		a.permissions()
	case ExecutionTrust:
		a.executionTrust()
	case RepositoryGrants:
		a.repositoryGrants()
	default:
		return Report{}, fmt.Errorf("it is a %s, and no permission policy", a.Kind)
	}
	a.setOperators()
	return a.report.sorted(), nil
}

// kindOf tells what a document is for.
func kindOf(p Policy) PolicyKind {
	if !slices.ContainsFunc(p.Statements, func(s Statement) bool { return s.Principals != nil }) {
		if isCeiling(p) {
			return BoundaryPolicy
		}
		return PermissionPolicy
	}
	acts := func(action string) bool {
		return slices.ContainsFunc(p.Statements, func(s Statement) bool { return s.actsOn(action) })
	}
	switch {
	case acts("sts:AssumeRole"):
		return ExecutionTrust
	case acts(AssumeWithWebIdentity):
		return webIdentityPolicy
	default:
		return RepositoryGrants
	}
}

// isCeiling says whether the policy speaks of every resource and denies, itself,
// what would lead out of it. No grant does both.
func isCeiling(p Policy) bool {
	if slices.ContainsFunc(p.Statements, func(s Statement) bool { return s.Effect == Allow && !slices.Equal(s.Resources, []string{"*"}) }) {
		return false
	}
	for _, action := range []string{
		"iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:PassRole", "sts:AssumeRole",
		"ecr:SetRepositoryPolicy", "bedrock-agentcore:GetWorkloadAccessTokenForUserId",
	} {
		r := Request{Action: action, Resource: arbitrary(action, stranger, "us-east-1"), Context: map[string][]string{"iam:PassedToService": {unheardOf}}}
		if !p.Evaluate(r).Denied() {
			return false
		}
	}
	return true
}

// policyAudit is an audit under way.
type policyAudit struct {
	PolicyOptions
	policy Policy // the document's own statements, and then those of Besides
	own    int    // how many are the document's
	doc    []byte
	root   node
	report Report
}

// newPolicyAudit reads a document as far as it is a policy, and reports what no
// policy may hold.
func newPolicyAudit(doc []byte) (*policyAudit, error) {
	root, err := tree(doc)
	if err != nil {
		return nil, err
	}
	r := &reader{doc: doc, lenient: true}
	a := &policyAudit{policy: r.policy(root), doc: doc, root: root}
	if r.err != nil {
		return nil, r.err
	}
	a.own = len(a.policy.Statements)
	for _, repeat := range r.repeats {
		a.add("duplicate-key", repeat.Line, repeat.Column, "%s is stated twice: the last counts", repeat.Path)
	}
	for _, d := range r.doubts {
		line, column := position(doc, d.offset)
		a.add("invalid-element", line, column, "%s", d.text)
	}
	return a, nil
}

// join adds the statements of other documents, where theirs count too.
func (a *policyAudit) join(besides []Document) error {
	if a.Kind != PermissionPolicy {
		return nil
	}
	for _, d := range besides {
		other, err := newPolicyAudit(d.JSON) // its own audit tells its doubts
		if err != nil {
			return fmt.Errorf("policy %s: %w", d.Name, err)
		}
		a.policy.Statements = append(a.policy.Statements, other.policy.Statements...)
	}
	return nil
}

func (a *policyAudit) statements() []Statement { return a.policy.Statements[:a.own] }

func (a *policyAudit) add(rule string, line, column int, format string, args ...any) {
	r := policyRule("policy/" + rule)
	a.report.Findings = append(a.report.Findings, Finding{
		Rule: r.ID, Severity: r.Severity, Message: fmt.Sprintf(format, args...), Fix: r.Fix, Line: line, Column: column,
	})
}

// find reports a fault of a statement's element, at the value of it that
// matters where there are several; of the document as a whole if element is "".
// A statement of another document is that one's affair.
func (a *policyAudit) find(rule string, statement int, element string, matters func(string) bool, format string, args ...any) {
	if statement >= a.own {
		return
	}
	line, column := 0, 0
	if element != "" {
		line, column = position(a.doc, a.offset(statement, element, matters))
	}
	a.add(rule, line, column, format, args...)
}

func (a *policyAudit) offset(statement int, element string, matters func(string) bool) int {
	at, _ := a.root.member("Statement")
	if at.kind == array {
		at = at.items[statement]
	}
	value, ok := at.member(element)
	if !ok {
		return at.offset
	}
	for _, item := range value.items {
		if matters != nil && matters(item.text) {
			return item.offset
		}
	}
	return value.offset
}

// member returns an object's member, the last of several.
func (n node) member(name string) (node, bool) {
	for _, m := range slices.Backward(n.members) {
		if m.name == name {
			return m.value, true
		}
	}
	return node{}, false
}

// probing is the policy as it stands if the conditions on other keys than these
// (in lower case) turn out as bad as they can: an Allow's hold, a Deny's don't.
// Conditions on a resource's tags stay, for they name resources; variables may
// have any value. statements are where in the policy each one comes from.
func (p Policy) probing(keys ...string) (probing Policy, statements []int) {
	known := func(c Condition) bool {
		key := strings.ToLower(c.Key)
		return slices.Contains(keys, key) || strings.Contains(key, "resourcetag/")
	}
	probing.Version = version
	for i, s := range p.Statements {
		unknown := slices.ContainsFunc(s.Conditions, func(c Condition) bool { return !known(c) })
		if unknown && s.Effect == Deny {
			continue
		}
		if s.Effect == Allow {
			s.Conditions = slices.DeleteFunc(slices.Clone(s.Conditions), func(c Condition) bool { return !known(c) })
			s.Resources = anyValue(s.Resources)
		}
		probing.Statements = append(probing.Statements, s)
		statements = append(statements, i)
	}
	return probing, statements
}

// anyValue puts a wildcard where a variable stands.
func anyValue(resources []string) []string {
	if resources == nil {
		return nil
	}
	values := make([]string, len(resources))
	for i, r := range resources {
		values[i] = variable.ReplaceAllStringFunc(r, func(v string) string {
			if v == "${*}" || v == "${?}" || v == "${$}" {
				return v
			}
			return "*"
		})
	}
	return values
}
