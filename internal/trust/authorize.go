package trust

import (
	"fmt"
	"strings"
)

// Named is a policy and what it is called: an inline policy's name, a managed
// policy's ARN.
type Named struct {
	Name   string
	Policy Policy
}

// Grants are the policies that together decide on a request within one account
// (IAM user guide: policy evaluation logic for requests within a single
// account). Of service and resource control policies, which belong to an
// organisation, it knows nothing.
type Grants struct {
	// Identity are the policies of the role or user itself.
	Identity []Named
	// Boundary is the permissions boundary, Session the policy that the session
	// was opened with. Each is a ceiling; nil is none.
	Boundary, Session *Named
}

// Layer is a kind of policy in the words of AWS's denials.
type Layer string

// The layers, as AWS's denials name them (IAM user guide: troubleshoot access
// denied error messages).
const (
	IdentityBased       Layer = "identity-based policy"
	PermissionsBoundary Layer = "permissions boundary"
	SessionPolicy       Layer = "session policy"
)

// Verdict is what grants say of a request.
type Verdict struct {
	Allowed bool
	// Explicit says that a Deny statement decided.
	Explicit bool
	// Layer is the kind of policy that decided: which allowed, which denies, or
	// which allows nothing of the kind.
	Layer Layer
	// Policy is the name of the policy that decided, and Statement and Sid its
	// statement; "" and -1 where none did.
	Policy    string
	Statement int
	Sid       string
	// Misses tells of each policy of the layer why its Allow statements did not
	// match, where none did.
	Misses []PolicyMiss
}

// PolicyMiss is a policy none of whose Allow statements matched.
type PolicyMiss struct {
	Policy string
	Misses []Miss
}

// Authorize joins the policies: a Deny anywhere decides, then each layer has to
// allow, the identity's by one policy of several.
func (g Grants) Authorize(r Request) Verdict {
	layers := []struct {
		layer    Layer
		policies []Named
		absent   bool
	}{
		{IdentityBased, g.Identity, false},
		{PermissionsBoundary, one(g.Boundary), g.Boundary == nil},
		{SessionPolicy, one(g.Session), g.Session == nil},
	}
	for _, l := range layers {
		for _, p := range l.policies {
			if d := p.Policy.Evaluate(r); d.Denied() {
				return Verdict{Explicit: true, Layer: l.layer, Policy: p.Name, Statement: d.Statement, Sid: d.Sid}
			}
		}
	}
	var by Verdict
	for _, l := range layers {
		if l.absent {
			continue
		}
		v := allowing(l.layer, l.policies, r)
		if !v.Allowed {
			return v
		}
		if l.layer == IdentityBased {
			by = v
		}
	}
	return by
}

func one(p *Named) []Named {
	if p == nil {
		return nil
	}
	return []Named{*p}
}

// allowing finds the first policy that allows the request.
func allowing(layer Layer, policies []Named, r Request) Verdict {
	v := Verdict{Layer: layer, Statement: -1}
	for _, p := range policies {
		d := p.Policy.Evaluate(r)
		if d.Allowed {
			return Verdict{Allowed: true, Layer: layer, Policy: p.Name, Statement: d.Statement, Sid: d.Sid}
		}
		v.Misses = append(v.Misses, PolicyMiss{Policy: p.Name, Misses: d.Misses})
	}
	return v
}

// Reason puts the verdict into words: which statement allowed it, or why none
// did.
func (v Verdict) Reason() string {
	if v.Statement >= 0 {
		does := "allows"
		if v.Explicit {
			does = "denies"
		}
		return fmt.Sprintf("%s %s %s it by %s", v.Layer, v.Policy, does, statementName(v.Statement, v.Sid))
	}
	reasons := []string{}
	for _, p := range v.Misses {
		for _, m := range p.Misses {
			if m.Element == "Condition" { // the others speak of something else altogether
				reasons = append(reasons, fmt.Sprintf("%s %s: %s", p.Policy, statementName(m.Statement, m.Sid), m.Reason()))
			}
		}
	}
	if len(reasons) == 0 {
		return fmt.Sprintf("no %s allows it", v.Layer)
	}
	return fmt.Sprintf("no %s allows it: %s", v.Layer, strings.Join(reasons, "; "))
}

func statementName(index int, sid string) string {
	if sid != "" {
		return "statement " + sid
	}
	return fmt.Sprintf("statement %d", index)
}

// Reason says why the statement did not match.
func (m Miss) Reason() string {
	if len(m.Failed) == 0 {
		return "the " + m.Element + " is another"
	}
	reasons := make([]string, 0, len(m.Failed))
	for _, f := range m.Failed {
		got := "absent"
		if f.Got != nil {
			got = fmt.Sprintf("%q", f.Got)
		}
		reasons = append(reasons, fmt.Sprintf("%s %s wants %q, got %s", f.Operator, f.Key, f.Wanted, got))
	}
	return strings.Join(reasons, ", ")
}
