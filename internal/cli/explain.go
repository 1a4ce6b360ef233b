package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/trust"
)

// This file says what to do about calls that AWS denied: what the caller lacks,
// and which statement of the policies that bootstrap writes has it. It asks
// nobody: AWS's own words and slipway.yaml are all it knows.

// explained adds to an error what to do about the denials in it. A token that
// STS refused is explained where that is known.
func (a *app) explained(p *project, err error) error {
	var token *awsauth.Denial
	if err == nil || errors.As(err, &token) {
		return err
	}
	c := a.ceiling(p)
	var hints []string
	for _, remote := range remotes(err) {
		for _, h := range c.hints(remote) {
			if !slices.Contains(hints, h) {
				hints = append(hints, h)
			}
		}
	}
	if hints == nil {
		return err
	}
	e := &delivery.Error{Kind: delivery.KindOf(err), Err: err, Hints: hints}
	var known *delivery.Error
	switch {
	case errors.As(err, &known):
		e.Serves = known.Serves
		e.Hints = append(e.Hints, slices.DeleteFunc(slices.Clone(known.Hints), func(h string) bool { return h == delivery.DeniedHint })...)
	case errors.Is(err, delivery.ErrDenied):
		e.Kind = delivery.KindDenied
	}
	return e
}

// remotes are the answers of remotes in a tree of errors.
func remotes(err error) []*delivery.RemoteError {
	switch e := err.(type) { //nolint:errorlint // the tree is walked here
	case *delivery.RemoteError:
		return []*delivery.RemoteError{e}
	case interface{ Unwrap() error }:
		return remotes(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []*delivery.RemoteError
		for _, each := range e.Unwrap() {
			all = append(all, remotes(each)...)
		}
		return all
	}
	return nil
}

// ceiling is what an environment's deploy role may do, as bootstrap has it.
type ceiling struct {
	trust.Deployment
	role   string // the deploy role's name
	create string // the command that makes what is made once
}

func (a *app) ceiling(p *project) ceiling {
	c := ceiling{Deployment: deployment(p), create: p.target.Delivery(true)}
	if from, err := a.pullFrom(p.file, p); err == nil {
		c.Agents[0].PullFrom = from
	}
	role, err := deployRole(p.file, c.Deployment, a.Getenv)
	if err == nil {
		c.role = role[strings.LastIndexByte(role, '/')+1:]
	}
	return c
}

// deployment is what policies are written about: one environment, an agent for
// each project.
func deployment(projects ...*project) trust.Deployment {
	p := projects[0]
	d := trust.Deployment{Account: p.target.Account, Region: p.target.Region, Environment: p.target.Environment, Endpoint: p.target.Endpoint,
		ExecutionRole: p.target.ExecutionRole, Subnets: p.env.Network.Subnets, SecurityGroups: p.env.Network.SecurityGroups, Logs: true}
	for _, p := range projects {
		d.Agents = append(d.Agents, trust.Agent{Name: p.target.Agent, Repository: p.target.Repository})
	}
	return d
}

// deployRole is the ARN of the environment's deploy role: where slipway.yaml
// names none, that of the one which bootstrap makes.
func deployRole(file *config.File, d trust.Deployment, getenv func(string) string) (string, error) {
	role, err := file.DeployRole(d.Environment, getenv)
	if err == nil && role == "" {
		role = "arn:" + trust.Partition(d.Region) + ":iam::" + d.Account + ":role/slipway-" + file.GitHub.Name + "-" + d.Environment
	}
	return role, err
}

// hints says what to do about an answer, nil where it is no denial.
func (c ceiling) hints(remote *delivery.RemoteError) []string {
	switch message := remote.Message; {
	case strings.Contains(message, "Access denied while validating ECR URI"):
		return c.cannotPull()
	case strings.Contains(message, "Cross-account pass role"):
		return []string{"a runtime takes an execution role of its own account " + c.Account + " alone: execution_role of " + c.Environment + " in slipway.yaml names it"}
	}
	if !errors.Is(remote, delivery.ErrDenied) {
		return nil
	}
	d, ok := trust.ParseDenial(remote.Message)
	if !ok {
		d, ok = unsaid(remote)
	}
	var hints []string
	if ok {
		hints = c.at(d).denied(d)
	}
	if strings.Contains(remote.Message, trust.Encoded) {
		hints = append(hints, encoded(remote.RequestID))
	}
	return hints
}

// encoded says who can read what AWS has encoded. The text itself is long, and
// CloudTrail keeps it.
func encoded(requestID string) string {
	where := "the call's event in CloudTrail has it"
	if requestID != "" {
		where += ", request id " + requestID
	}
	return "AWS encoded the reason; an administrator reads it: aws sts decode-authorization-message --encoded-message TEXT (" + where + ")"
}

// unsaid makes a denial of what was called, where the message does not say what
// was denied.
func unsaid(remote *delivery.RemoteError) (trust.Denial, bool) {
	prefix := map[string]string{"ECR": "ecr", "SSM": "ssm", "AgentCore": "bedrock-agentcore", "Logs": "logs", "IAM": "iam"}[remote.Service]
	if prefix == "" || !strings.Contains(strings.ToLower(remote.Message), "not authorized") {
		return trust.Denial{}, false
	}
	d := trust.Denial{Action: prefix + ":" + remote.Operation}
	if strings.HasPrefix(remote.Resource, "arn:") {
		d.Resource = remote.Resource
	}
	return d, true
}

// at gives the policies the runtime that a denial is about: no id of one is
// known here but that.
func (c ceiling) at(d trust.Denial) ceiling {
	id := "RUNTIME_ID"
	if _, rest, ok := strings.Cut(d.Resource, ":runtime/"); ok {
		id, _, _ = strings.Cut(rest, "/")
	} else if _, rest, ok := strings.Cut(d.Resource, "/bedrock-agentcore/runtimes/"); ok {
		group, _, _ := strings.Cut(rest, ":")
		id = group[:max(strings.LastIndexByte(group, '-'), 0)]
	}
	c.Agents = slices.Clone(c.Agents)
	for i := range c.Agents {
		c.Agents[i].RuntimeID = id
	}
	if d.Action == passRole && c.ExecutionRole == "" {
		c.ExecutionRole = d.Resource // the live runtime's
	}
	return c
}

const passRole = "iam:PassRole"

// denied says what to do about a denial, by the kind of policy that decided.
func (c ceiling) denied(d trust.Denial) []string {
	switch {
	case d.Layer == trust.PermissionsBoundary:
		return c.bounded(d)
	case d.Explicit || d.Layer != "" && d.Layer != trust.IdentityBased:
		return []string{c.decides(d), whoCan(d)}
	}
	return c.lacking(d)
}

// decides says that adding to the role's own policies is of no use.
func (c ceiling) decides(d trust.Denial) string {
	layer := "some policy"
	if d.Layer != "" {
		layer = "a " + string(d.Layer)
	}
	if d.Layer == trust.IdentityBased {
		layer = "a policy of " + who(d) + " itself"
	}
	if d.Policy != "" {
		layer += " (" + d.Policy + ")"
	}
	if d.Explicit {
		return fmt.Sprintf("a Deny in %s forbids %s: no Allow added to the role helps", layer, what(d))
	}
	return fmt.Sprintf("%s does not allow %s: adding to the role's own policies does not help", layer, what(d))
}

// whoCan says who can change the policy that decided.
func whoCan(d trust.Denial) string {
	switch d.Layer {
	case trust.IdentityBased:
		return "whoever manages that role takes the Deny out, if it is not meant"
	case trust.ServiceControl, trust.ResourceControl:
		return "an administrator of the AWS organization can change that"
	case trust.EndpointPolicy:
		return "whoever runs the network that this ran in can change that: it is the policy of a VPC endpoint"
	case trust.SessionPolicy:
		return "the session was opened with a policy of its own: whoever opens it can change that; Slipway opens its sessions without one"
	case trust.ResourceBased:
		return "the owner of " + orThe(d.Resource, "resource") + " can change that: it is the resource's own policy"
	}
	return "AWS does not say whose: look in the role's policies and its boundary; an administrator of the AWS organization, in its service control policies"
}

// bounded explains a denial by the permissions boundary.
func (c ceiling) bounded(d trust.Denial) []string {
	hints := []string{c.decides(d)}
	v := c.Boundary().Evaluate(trust.Request{Action: d.Action, Resource: d.Resource, Context: c.context()})
	switch {
	case v.Allowed:
		return append(hints, "the boundary that slipway bootstrap writes allows it: "+c.bootstrap()+"; another's boundary is changed by whoever manages it")
	case v.Denied():
		return append(hints, fmt.Sprintf("statement %s of the boundary that slipway bootstrap writes forbids it on purpose: it is no delivery's business", v.Sid))
	}
	return append(hints, "the boundary that slipway bootstrap writes does not allow it on purpose: it is no delivery's business")
}

// context is what a delivery's calls say of themselves.
func (c ceiling) context() map[string][]string {
	return map[string][]string{"aws:RequestedRegion": {c.Region}, "iam:PassedToService": {trust.AgentCore}}
}

func (c ceiling) bootstrap() string {
	return "an administrator runs slipway bootstrap --env " + c.Environment
}

// lacking explains that no policy of the caller's own allows a call.
func (c ceiling) lacking(d trust.Denial) []string {
	hints := []string{who(d) + " lacks " + what(d)}
	if d.Action == passRole {
		hints[0] += fmt.Sprintf(": the runtime's execution role is passed to %s (iam:PassedToService)", trust.AgentCore)
	}
	covering, others := c.DeployPolicy().About(d.Action, d.Resource)
	switch {
	case len(covering) > 0:
		return append(hints, c.granted(d, covering[0])...)
	case administrators(d):
		return append(hints, "the policy that slipway bootstrap writes does not allow it on purpose: it is an administrator's act, once: "+c.create)
	case d.Role() != c.role && d.Principal != "":
		return append(hints, "deliveries do without it: this takes an administrator of account "+c.Account)
	case len(others) > 0:
		return append(hints, fmt.Sprintf("statement %s of the policy that slipway bootstrap writes allows it on %s alone: %s", others[0].Sid,
			strings.Join(others[0].Resources, ", "), c.misnamed(d)))
	}
	return append(hints, "the policy that slipway bootstrap writes does not allow it on purpose: deliveries do without it")
}

// granted says which statement allows what was denied, and how the caller gets
// it.
func (c ceiling) granted(d trust.Denial, s trust.Statement) []string {
	only := s
	only.Sid, only.Actions = "", []string{d.Action} // the role may have the rest
	hints := []string{fmt.Sprintf("statement %s of the policy that slipway bootstrap writes allows it: %s, or adds: %s", s.Sid, c.bootstrap(), only.Compact())}
	if d.Principal != "" && d.Role() != c.role {
		hints = []string{fmt.Sprintf("statement %s of the deploy role %s allows it there; for %s an administrator adds: %s", s.Sid, c.role, who(d), only.Compact())}
	}
	if len(s.Conditions) > 0 {
		var keys []string
		for _, condition := range s.Conditions {
			if condition.Operator != "Null" {
				keys = append(keys, condition.Key+" "+strings.Join(condition.Values, ", "))
			}
		}
		hints = append(hints, "where the role has that statement already, its condition did not hold: "+strings.Join(keys, "; "))
	}
	return hints
}

// administrators says whether a call makes what is made once.
func administrators(d trust.Denial) bool {
	switch d.Action {
	case "bedrock-agentcore:CreateAgentRuntime", "bedrock-agentcore:CreateAgentRuntimeEndpoint":
		return true
	case "ssm:PutParameter":
		return strings.HasSuffix(d.Resource, "/runtime-id")
	}
	return false
}

// misnamed says where a name comes from that the role may do nothing with.
func (c ceiling) misnamed(d trust.Denial) string {
	switch service, _, _ := strings.Cut(d.Action, ":"); service {
	case "ecr":
		return "does slipway.yaml name another repository than at the last bootstrap?"
	case "iam":
		return "execution_role of " + c.Environment + " in slipway.yaml, or what the live runtime has, is another role"
	case "ssm":
		return "is the agent, or the environment, new in slipway.yaml since the last bootstrap?"
	}
	return "is it the runtime of another environment, account or region?"
}

// cannotPull explains that AgentCore could not pull the image as the execution
// role.
func (c ceiling) cannotPull() []string {
	role := "the runtime's execution role"
	if c.ExecutionRole != "" {
		role = "the execution role " + c.ExecutionRole
	}
	var sids, statements []string
	for _, s := range c.ExecutionPolicy().Statements {
		if slices.ContainsFunc(s.Actions, func(action string) bool { return strings.HasPrefix(action, "ecr:") }) {
			sids, statements = append(sids, s.Sid), append(statements, string(s.Compact()))
		}
	}
	return []string{role + ", not the deploy role, lacks ecr:GetAuthorizationToken, ecr:BatchGetImage or ecr:GetDownloadUrlForLayer on the image's repository",
		fmt.Sprintf("statements %s of the policy that slipway bootstrap --execution-role writes allow it: an administrator runs that, or adds: %s",
			strings.Join(sids, " and "), strings.Join(statements, ","))}
}

// who was denied, in a hint.
func who(d trust.Denial) string {
	if role := d.Role(); role != "" {
		return "the role " + role
	}
	return orThe(d.Principal, "caller")
}

// what was denied, in a hint.
func what(d trust.Denial) string {
	if d.Resource == "" {
		return d.Action
	}
	return d.Action + " on " + d.Resource
}

func orThe(name, kind string) string {
	if name == "" {
		return "the " + kind
	}
	return name
}
