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
	// One that denies IAM writes, sts:AssumeRole and passing roles to others is
	// a boundary.
	Kind PolicyKind
	// Role is the ARN of the role that holds the document, ExecutionRole of the
	// one that agents run as.
	Role, ExecutionRole string
	// NoBoundary says that the role is known to have no permissions boundary.
	NoBoundary bool
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
	p, repeats, err := Read(doc)
	if err != nil {
		return Report{}, err
	}
	root, err := tree(doc)
	if err != nil {
		return Report{}, err
	}
	if o.Kind == "" {
		o.Kind = kindOf(p)
	}
	a := &policyAudit{PolicyOptions: o, policy: p, doc: doc, root: root}
	for _, r := range repeats {
		a.report.Findings = append(a.report.Findings, a.finding("duplicate-key", r.Line, r.Column, "%s is stated twice: the last counts", r.Path))
	}
	switch o.Kind {
	case PermissionPolicy, BoundaryPolicy:
		a.permissions()
	case ExecutionTrust:
		a.executionTrust()
	case RepositoryGrants:
		a.repositoryGrants()
	default:
		return Report{}, fmt.Errorf("it is a %s, and no permission policy", o.Kind)
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

// isCeiling says whether the policy itself denies what would lead out of it.
func isCeiling(p Policy) bool {
	role := arbitrary("iam:PassRole", "123456789012", "us-east-1")
	for _, action := range []string{"iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:UpdateAssumeRolePolicy", "sts:AssumeRole", "iam:PassRole"} {
		context := map[string][]string{"iam:PassedToService": {"lambda.amazonaws.com"}}
		if !p.Evaluate(Request{Action: action, Resource: role, Context: context}).Denied() {
			return false
		}
	}
	return true
}

// policyAudit is an audit under way.
type policyAudit struct {
	PolicyOptions
	policy Policy
	doc    []byte
	root   node
	report Report
}

func (a *policyAudit) finding(rule string, line, column int, format string, args ...any) Finding {
	r := policyRule("policy/" + rule)
	return Finding{Rule: r.ID, Severity: r.Severity, Message: fmt.Sprintf(format, args...), Fix: r.Fix, Line: line, Column: column}
}

// find reports a fault of a statement's element, at the value of it that
// matters where there are several; of the document as a whole if element is "".
func (a *policyAudit) find(rule string, statement int, element string, matters func(string) bool, format string, args ...any) {
	line, column := 0, 0
	if element != "" {
		line, column = position(a.doc, a.offset(statement, element, matters))
	}
	a.report.Findings = append(a.report.Findings, a.finding(rule, line, column, format, args...))
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
