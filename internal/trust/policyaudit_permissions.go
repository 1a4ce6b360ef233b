package trust

import (
	"regexp"
	"slices"
	"strings"
)

// agentCoreExcess are actions on AgentCore that a delivery never calls, the last
// one standing for whatever a wildcard covers besides (AgentCore developer
// guide: invoke a runtime on behalf of a user, run commands in a session).
func agentCoreExcess() []string {
	return []string{
		"bedrock-agentcore:InvokeAgentRuntimeForUser", "bedrock-agentcore:InvokeAgentRuntimeCommand",
		"bedrock-agentcore:InvokeAgentRuntimeCommandShell", "bedrock-agentcore:GetWorkloadAccessTokenForUserId",
		"bedrock-agentcore:" + unheardOf,
	}
}

// unheardOf is a name that nobody gave to anything.
const unheardOf = "SlipwayProbe"

// permissions audits what a role may do. A boundary alone grants nothing: of it
// only what would lead out of it is asked.
func (a *policyAudit) permissions() {
	a.passRole()
	a.each("repository-control", []string{"ecr:SetRepositoryPolicy", "ecr:PutImageTagMutability", "ecr:PutLifecyclePolicy",
		"ecr:BatchDeleteImage", "ecr:DeleteRepository"}, a.targets)
	a.each("assume-any", []string{"sts:AssumeRole"}, a.anywhere)
	a.each("self-change", []string{"iam:UpdateAssumeRolePolicy", "iam:PutRolePolicy", "iam:AttachRolePolicy",
		"iam:PutRolePermissionsBoundary", "iam:DeleteRolePermissionsBoundary"}, a.self)
	a.each("agentcore-excess", agentCoreExcess(), a.targets)
	a.each("managed-admin", []string{"slipway-probe:" + unheardOf}, a.anywhere)
	a.patterns()
	if a.Kind == BoundaryPolicy {
		return
	}
	a.each("all-repositories", []string{"ecr:PutImage", "ecr:CompleteLayerUpload"}, a.anywhere)
	a.each("all-parameters", []string{"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory"}, a.anywhere)
	a.each("service-linked-role", []string{"iam:CreateServiceLinkedRole"}, a.targets)
	a.mixedEnvironments()
	a.role()
}

// role audits what is known of the role besides the document.
func (a *policyAudit) role() {
	if a.NoBoundary {
		a.find("no-boundary", 0, "", nil, "the role has no permissions boundary")
	}
	if a.Role != "" && a.Role == a.ExecutionRole {
		a.find("same-role", 0, "", nil, "the deploy role %s is what the agents run as", a.Role)
	}
	for _, arn := range a.Attached {
		_, name, _ := strings.Cut(arn, ":iam::aws:policy/")
		if slices.Contains([]string{"AdministratorAccess", "PowerUserAccess", "BedrockAgentCoreFullAccess"}, name) {
			a.find("managed-admin", 0, "", nil, "the role has AWS's policy %s", name)
		}
	}
}

// each asks for the actions on the resources that of says, and reports each
// statement that allows some, once.
func (a *policyAudit) each(rule string, actions []string, of func(statement int, action string) []string) {
	allowed := map[int][]string{}
	for _, action := range actions {
		for _, i := range a.allowing(action, nil, of) {
			allowed[i] = append(allowed[i], action)
		}
	}
	for i, actions := range allowed {
		covers := strings.ReplaceAll(strings.Join(actions, ", "), "bedrock-agentcore:"+unheardOf, "any action of AgentCore's")
		covers = strings.ReplaceAll(covers, "slipway-probe:"+unheardOf, "any action of any service")
		a.find(rule, i, actionElement(a.policy.Statements[i]), Statement{Actions: actions}.heldBy, "%s: %s allows %s", policyRule("policy/"+rule).Finds, a.name(i), covers)
	}
}

// heldBy says whether a stated action covers one of these.
func (s Statement) heldBy(stated string) bool {
	return slices.ContainsFunc(s.Actions, Statement{Actions: []string{stated}}.actsOn)
}

func actionElement(s Statement) string {
	if s.NotActions != nil {
		return "NotAction"
	}
	return "Action"
}

func (a *policyAudit) name(statement int) string {
	return statementName(statement, a.policy.Statements[statement].Sid)
}

// allowing lists the statements that allow the action on one of the resources,
// in a request with this context.
func (a *policyAudit) allowing(action string, context map[string][]string, of func(statement int, action string) []string) []int {
	probing, origin := a.policy.probing("iam:passedtoservice")
	var allowing []int
	for i, s := range probing.Statements {
		if s.Effect != Allow || !s.actsOn(action) {
			continue
		}
		alone := Policy{Version: version, Statements: []Statement{s}}
		for _, resource := range of(origin[i], action) {
			r := Request{Action: action, Resource: resource, Context: context}
			if alone.Evaluate(r).Allowed && probing.Evaluate(r).Allowed {
				allowing = append(allowing, origin[i])
				break
			}
		}
	}
	return allowing
}

// anywhere are resources that nothing in the policy could mean by name, in each
// account and region that it speaks of.
func (a *policyAudit) anywhere(_ int, action string) []string {
	var resources []string
	for _, account := range a.accounts() {
		for _, region := range a.regions() {
			resources = append(resources, arbitrary(action, account, region))
		}
	}
	return resources
}

// targets are resources that the statement means, and those of anywhere.
func (a *policyAudit) targets(statement int, action string) []string {
	return append(samples(anyValue(a.policy.Statements[statement].Resources)), a.anywhere(statement, action)...)
}

// self is the role itself; where it is not known, it may be any.
func (a *policyAudit) self(statement int, action string) []string {
	if a.Role != "" {
		return []string{a.Role}
	}
	return a.targets(statement, action)
}

// samples are ARNs that the patterns match.
func samples(patterns []string) []string {
	var arns []string
	for _, p := range patterns {
		arns = append(arns, strings.NewReplacer("${*}", "*", "${?}", "?", "${$}", "$", "*", "x", "?", "x").Replace(p))
	}
	return arns
}

// arbitrary is a resource of the kind that the action is about.
func arbitrary(action, account, region string) string {
	service, _, _ := strings.Cut(action, ":")
	prefix := "arn:" + Partition(region) + ":"
	switch service {
	case "iam", "sts":
		return prefix + "iam::" + account + ":role/" + unheardOf
	case "ecr":
		return prefix + "ecr:" + region + ":" + account + ":repository/" + unheardOf
	case "ssm":
		return prefix + "ssm:" + region + ":" + account + ":parameter/" + unheardOf + "/" + unheardOf
	case "bedrock-agentcore":
		return prefix + "bedrock-agentcore:" + region + ":" + account + ":runtime/" + unheardOf + "-0123456789"
	default:
		return prefix + service + ":" + region + ":" + account + ":" + unheardOf
	}
}

// few bounds how many accounts and regions are asked for.
const few = 8

func (a *policyAudit) accounts() []string { return a.parts(4, "123456789012") }
func (a *policyAudit) regions() []string  { return a.parts(3, "us-east-1") }

// parts are the texts that stand in a part of the ARNs at hand.
func (a *policyAudit) parts(part int, usual string) []string {
	values := []string{usual}
	arns := []string{a.Role, a.ExecutionRole}
	for _, s := range a.policy.Statements {
		arns = append(arns, slices.Concat(s.Resources, s.NotResources)...)
	}
	for _, arn := range arns {
		parts := splitARN(arn)
		if len(parts) == 6 && parts[part] != "" && !strings.ContainsAny(parts[part], "*?$") && !slices.Contains(values, parts[part]) && len(values) < few {
			values = append(values, parts[part])
		}
	}
	return values
}

// passRole audits iam:PassRole, by the role and by the service it is passed to.
func (a *policyAudit) passRole() {
	const action = "iam:PassRole"
	to := func(service ...string) map[string][]string {
		return map[string][]string{"iam:PassedToService": service}
	}
	stated := Statement{Actions: []string{action}}.heldBy
	unscoped := append(a.allowing(action, to(unheardOf), a.targets), a.allowing(action, to(), a.targets)...)
	for _, i := range unscoped {
		a.find("pass-role-unscoped", i, actionElement(a.policy.Statements[i]), stated, "%s may pass a role to any service", a.name(i))
	}
	for _, i := range a.allowing(action, to(unheardOf+".amazonaws.com"), a.targets) {
		if !slices.Contains(unscoped, i) {
			a.find("passed-to-any-service", i, "Condition", nil, "%s may pass a role to any service: iam:PassedToService is a pattern", a.name(i))
		}
	}
	anyRole := append(a.allowing(action, to(AgentCore), a.anywhere), a.allowing(action, to(unheardOf), a.anywhere)...)
	for _, i := range anyRole {
		a.find("pass-role-any", i, actionElement(a.policy.Statements[i]), stated, "%s may pass any role", a.name(i))
	}
	for _, change := range []string{"bedrock-agentcore:UpdateAgentRuntime", "bedrock-agentcore:CreateAgentRuntime"} {
		for _, i := range a.allowing(change, nil, a.targets) {
			if len(anyRole) > 0 && a.Kind != BoundaryPolicy {
				a.find("runtime-escalation", i, actionElement(a.policy.Statements[i]), Statement{Actions: []string{change}}.heldBy,
					"%s may change a runtime, and %s pass it any role: its code then runs as any role that AgentCore may assume", a.name(i), a.name(anyRole[0]))
			}
		}
	}
	for i, s := range a.policy.Statements {
		if s.Effect == Allow && s.actsOn(action) && a.Role != "" && a.Role != a.ExecutionRole && slices.Contains(s.Resources, a.Role) {
			a.find("same-role", i, "Resource", func(r string) bool { return r == a.Role }, "%s may pass the role itself to AgentCore", a.name(i))
		}
	}
}

// patterns are faults that show in the text.
func (a *policyAudit) patterns() {
	for i, s := range a.policy.Statements {
		for _, element := range []struct {
			name   string
			values []string
		}{{"Action", s.Actions}, {"NotAction", s.NotActions}} {
			for _, action := range element.values {
				if prefix, _, _ := strings.Cut(strings.ToLower(action), ":"); strings.Contains(prefix, "agentcore") && prefix != "bedrock-agentcore" {
					a.find("unknown-prefix", i, element.name, func(stated string) bool { return stated == action },
						"%q grants nothing: IAM knows no prefix %q", action, prefix)
				}
			}
		}
		if s.Effect != Allow {
			continue
		}
		if s.NotActions != nil {
			a.find("allow-not", i, "NotAction", nil, "%s allows all actions but those it names", a.name(i))
		}
		if s.NotResources != nil {
			a.find("allow-not", i, "NotResource", nil, "%s allows all resources but those it names", a.name(i))
		}
	}
}

// setOperators looks for conditions that hold where their key is absent, by
// ForAllValues, and are all there is on that key.
func (a *policyAudit) setOperators() {
	for i, s := range a.policy.Statements {
		for _, c := range s.Conditions {
			if op, err := parseOperator(c.Operator); err != nil || op.set != forAll || op.negated || s.Effect != Allow {
				continue
			}
			if !slices.ContainsFunc(s.Conditions, func(other Condition) bool {
				return strings.EqualFold(other.Key, c.Key) && !other.holds(nil, nil)
			}) {
				a.find("for-all-values", i, "Condition", nil, "%s: %s also holds where %s is absent", a.name(i), c.Operator, c.Key)
			}
		}
	}
}

// mixedEnvironments looks for resources of a second environment. Pulling from
// the repository promoted from is no fault.
func (a *policyAudit) mixedEnvironments() {
	first := ""
	for i, s := range a.policy.Statements {
		if s.Effect != Allow || pullsOnly(s) {
			continue
		}
		for _, resource := range s.Resources {
			env := a.environment(resource)
			switch {
			case env == "" || env == first:
			case first == "":
				first = env
			default:
				a.find("mixed-environments", i, "Resource", func(r string) bool { return r == resource },
					"%s reaches the environment %s, and the role %s besides", a.name(i), env, first)
				return
			}
		}
	}
}

func pullsOnly(s Statement) bool {
	pulls := []string{"ecr:batchgetimage", "ecr:getdownloadurlforlayer", "ecr:batchchecklayeravailability", "ecr:describeimages", "ecr:describerepositories"}
	return s.Actions != nil && !slices.ContainsFunc(s.Actions, func(action string) bool { return !slices.Contains(pulls, strings.ToLower(action)) })
}

// word is a part of a name.
var word = regexp.MustCompile(`[A-Za-z0-9]+`)

// environment is the one that a resource belongs to by its name, "" if it does
// not tell: of a parameter the second part of its path, of others the last word
// that is an environment's name.
func (a *policyAudit) environment(resource string) string {
	parts := splitARN(resource)
	if len(parts) != 6 {
		return ""
	}
	if parts[2] == "ssm" {
		path := strings.Split(strings.TrimPrefix(parts[5], "parameter/"), "/")
		if len(path) < 3 || strings.ContainsAny(path[1], "*?$") {
			return ""
		}
		return path[1]
	}
	names := a.Environments
	if len(names) == 0 {
		names = []string{"dev", "test", "qa", "stg", "stage", "staging", "prd", "prod", "production"}
	}
	for _, w := range slices.Backward(word.FindAllString(parts[5], -1)) {
		if slices.Contains(names, w) {
			return w
		}
	}
	return ""
}
