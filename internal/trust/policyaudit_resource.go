package trust

import (
	"slices"
	"strings"
)

// stranger is an account that nobody has.
const stranger = "000000000000"

// executionTrust audits who may assume the role that agents run as.
func (a *policyAudit) executionTrust() {
	for i, s := range a.policy.Statements {
		if s.Effect != Allow {
			continue
		}
		if slices.Contains(s.Principals, Principal{Service, AgentCore}) && s.actsOn("sts:AssumeRole") {
			a.confusedDeputy(i)
			a.sourceARN(i)
		}
		for _, p := range s.Principals {
			a.sharedWith(i, p)
		}
	}
}

// confusedDeputy asks whether the service may come on behalf of a stranger, or
// of nobody that it names.
func (a *policyAudit) confusedDeputy(statement int) {
	probing, origin := a.policy.probing("aws:sourceaccount", "aws:sourcearn")
	for _, context := range []map[string][]string{
		{"aws:SourceAccount": {stranger}, "aws:SourceArn": {arbitrary("bedrock-agentcore:x", stranger, "us-east-1")}},
		nil,
	} {
		d := probing.Evaluate(Request{Principal: Principal{Service, AgentCore}, Action: "sts:AssumeRole", Context: context})
		if d.Allowed && origin[d.Statement] == statement {
			a.find("confused-deputy", statement, "Principal", nil, "%s lets AgentCore assume the role on behalf of another account", a.name(statement))
			return
		}
	}
}

// sourceARN asks whether a runtime that is yet to be made gets in.
func (a *policyAudit) sourceARN(statement int) {
	for _, c := range a.policy.Statements[statement].Conditions {
		if !strings.EqualFold(c.Key, "aws:SourceArn") {
			continue
		}
		for _, value := range c.Values {
			parts := splitARN(value)
			if len(parts) != 6 || !strings.HasPrefix(parts[5], "runtime/") || slices.ContainsFunc(a.Runtimes, func(r string) bool { return arnMatch(r, value, variables{}) }) {
				continue
			}
			parts[5] = "runtime/" + unheardOf + "-0123456789"
			if !c.holds(samples([]string{strings.Join(parts, ":")}), variables{}) {
				a.find("source-arn-too-narrow", statement, "Condition", nil, "%s trusts %s alone, which can't be made before it may assume the role", a.name(statement), value)
				return
			}
		}
	}
}

// sharedWith reports a principal that is not AgentCore.
func (a *policyAudit) sharedWith(statement int, p Principal) {
	switch {
	case p == Principal{Service, AgentCore}:
	case p.Kind == Federated:
		a.find("same-role", statement, "Principal", nil, "%s also trusts %s: the role deploys and is what the agents run as", a.name(statement), p.Value)
	default:
		a.find("shared-execution-role", statement, "Principal", nil, "%s also trusts %s", a.name(statement), p.Value)
	}
}

// repositoryGrants audits whom a repository lets push.
func (a *policyAudit) repositoryGrants() {
	account := a.Account
	if parts := splitARN(a.Role); account == "" && len(parts) == 6 {
		account = parts[4]
	}
	probing, origin := a.policy.probing("aws:principalaccount", "aws:principalarn")
	for _, s := range a.policy.Statements {
		for _, p := range s.Principals {
			asks, foreign := asker(p, account)
			for _, action := range []string{"ecr:PutImage", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"} {
				d := probing.Evaluate(Request{Principal: asks, Action: action, Context: principalContext(asks)})
				if foreign && d.Allowed {
					i := origin[d.Statement]
					a.find("foreign-push", i, "Principal", nil, "%s lets %s push", a.name(i), p.Value)
					break
				}
			}
		}
	}
	a.patterns()
}

// asker is somebody whom a stated principal means, and whether they may be of
// another account than this.
func asker(p Principal, account string) (asks Principal, foreign bool) {
	if p.Kind == Anyone || p.Kind == AWS && p.Value == "*" {
		return Principal{AWS, "arn:aws:iam::" + stranger + ":role/" + unheardOf}, true
	}
	if p.Kind != AWS {
		return p, false
	}
	of := p.Value
	if parts := splitARN(p.Value); len(parts) == 6 {
		of = parts[4]
	} else {
		p.Value = "arn:aws:iam::" + p.Value + ":root"
	}
	return p, account == "" || of != account
}

func principalContext(p Principal) map[string][]string {
	context := map[string][]string{"aws:PrincipalArn": {p.Value}}
	if parts := splitARN(p.Value); len(parts) == 6 {
		context["aws:PrincipalAccount"] = []string{parts[4]}
	}
	return context
}
