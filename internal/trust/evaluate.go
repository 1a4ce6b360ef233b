package trust

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Request is what a policy is asked about.
type Request struct {
	Principal Principal // zero for permission policies, which name none
	Action    string    // service:Operation
	Resource  string    // ARN; empty for trust policies, which name none
	// Context holds the values of condition keys. A key that is not there, or
	// has no value, is absent, which is not the same as empty.
	Context map[string][]string
}

// Decision is what a policy says of a request.
type Decision struct {
	Allowed bool
	// Statement is the index of the statement that decided, and Sid its Sid:
	// the Deny that matched, or else the first Allow. -1 where none matched.
	Statement int
	Sid       string
	// Misses tells of each Allow statement, in order, why it did not match,
	// where none did.
	Misses []Miss
}

// Denied says that a Deny statement matched: no Allow could help.
func (d Decision) Denied() bool { return !d.Allowed && d.Statement >= 0 }

// Miss is why an Allow statement did not match.
type Miss struct {
	Statement int
	Sid       string
	// Element is the first element that did not match: Principal, Action,
	// Resource or Condition.
	Element string
	// Failed are the conditions that did not hold, all of them.
	Failed []Failed
}

// Failed is a condition that did not hold.
type Failed struct {
	Operator string   // as written
	Key      string   // as written
	Wanted   []string // the policy's values
	Got      []string // the request's; nil where it has no such key
}

// Evaluate says whether the policy allows the request: a Deny that matches
// decides, else an Allow that matches, else it is denied.
func (p Policy) Evaluate(r Request) Decision {
	context := lowered(r.Context)
	var vars variables
	if p.Version == "2012-10-17" {
		vars = context
	}
	d := Decision{Statement: -1}
	for i, s := range p.Statements {
		miss, matched := s.match(r, context, vars)
		miss.Statement, miss.Sid = i, s.Sid
		switch {
		case matched && s.Effect == Deny:
			return Decision{Statement: i, Sid: s.Sid}
		case matched && !d.Allowed:
			d.Allowed, d.Statement, d.Sid = true, i, s.Sid
		case s.Effect == Allow:
			d.Misses = append(d.Misses, miss)
		}
	}
	if d.Allowed {
		d.Misses = nil
	}
	return d
}

// lowered returns the context by lower-case keys: condition keys have no case.
func lowered(context map[string][]string) variables {
	v := make(variables, len(context))
	for key, values := range context {
		if len(values) > 0 {
			v[strings.ToLower(key)] = values
		}
	}
	return v
}

func (s Statement) match(r Request, context, vars variables) (Miss, bool) {
	switch {
	case s.Principals != nil && !slices.ContainsFunc(s.Principals, r.Principal.is):
		return Miss{Element: "Principal"}, false
	case !s.actsOn(r.Action):
		return Miss{Element: "Action"}, false
	case !s.covers(r.Resource, vars):
		return Miss{Element: "Resource"}, false
	}
	var failed []Failed
	for _, c := range s.Conditions {
		got := context[strings.ToLower(c.Key)]
		if !c.holds(got, vars) {
			failed = append(failed, Failed{Operator: c.Operator, Key: c.Key, Wanted: c.Values, Got: got})
		}
	}
	return Miss{Element: "Condition", Failed: failed}, failed == nil
}

// is says whether a statement's principal speaks of the one that asks. An
// account, or its root, stands for all of the account's principals; "*" and
// {"AWS": "*"} for everyone, as IAM's documentation has it.
func (asks Principal) is(stated Principal) bool {
	if stated.Kind == Anyone || stated.Kind == AWS && stated.Value == "*" {
		return true
	}
	if stated.Kind != asks.Kind {
		return false
	}
	if stated.Value == asks.Value {
		return true
	}
	if stated.Kind != AWS {
		return false
	}
	account := strings.Split(asks.Value, ":")
	return len(account) == 6 && account[4] != "" &&
		(stated.Value == account[4] || stated.Value == "arn:"+account[1]+":iam::"+account[4]+":root")
}

// actsOn matches actions, which have no case, nor variables.
func (s Statement) actsOn(action string) bool {
	matches := func(stated string) bool {
		return literal(nil, strings.ToLower(stated), anything).match(strings.ToLower(action))
	}
	if s.NotActions != nil {
		return !slices.ContainsFunc(s.NotActions, matches)
	}
	return slices.ContainsFunc(s.Actions, matches)
}

// action is a service's prefix and the name of an operation of it; wildcards
// stand in the name alone (IAM user guide: JSON policy elements, Action).
var action = regexp.MustCompile(`^[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+$`)

func checkAction(text string) error {
	if text == "*" || action.MatchString(text) {
		return nil
	}
	return fmt.Errorf("%q is neither \"*\" nor prefaced by a vendor as in ecr:PutImage", text)
}

// covers matches resources. A statement without any, as in trust policies,
// covers the one that it is attached to.
func (s Statement) covers(resource string, vars variables) bool {
	matches := func(stated string) bool { return stated == "*" || resourceMatch(resource, stated, vars) }
	switch {
	case s.NotResources != nil:
		return !slices.ContainsFunc(s.NotResources, matches)
	case s.Resources != nil:
		return slices.ContainsFunc(s.Resources, matches)
	default:
		return true
	}
}
