package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/trust"
)

// call is a call that a delivery makes, on the resources it makes it on.
type call struct {
	action    string
	resources []string
	context   map[string][]string
}

// calls lists what a delivery of the target calls: of AgentCore nothing before
// there is a runtime, for then an administrator creates it.
func (x *examination) calls(ctx context.Context) []call {
	t := x.Target
	repository := []string{x.arn("ecr", "repository/"+t.Repository)}
	parameter := func(name string) string { return x.arn("ssm", "parameter"+t.Parameter(name)) }
	list := []call{
		{"ecr:GetAuthorizationToken", []string{"*"}, nil},
		{"ecr:BatchCheckLayerAvailability", repository, nil},
		{"ecr:InitiateLayerUpload", repository, nil},
		{"ecr:UploadLayerPart", repository, nil},
		{"ecr:CompleteLayerUpload", repository, nil},
		{"ecr:PutImage", repository, nil},
		{"ecr:BatchGetImage", repository, nil},
		{"ecr:GetDownloadUrlForLayer", repository, nil},
		{"ssm:GetParameter", []string{parameter("runtime-id"), parameter("release"), parameter("lock")}, nil},
		{"ssm:GetParameterHistory", []string{parameter("release")}, nil},
		{"ssm:PutParameter", []string{parameter("lock"), parameter("release"), parameter("image-uri")}, nil},
		{"ssm:DeleteParameter", []string{parameter("lock")}, nil},
	}
	if live, err := x.live(ctx); err == nil {
		list = append(list, x.runtimeCalls(live)...)
	}
	return list
}

func (x *examination) runtimeCalls(live delivery.RuntimeFacts) []call {
	runtime := x.arn("bedrock-agentcore", "runtime/"+live.ID)
	endpoints := []string{runtime, runtime + "/runtime-endpoint/" + delivery.DefaultEndpoint}
	list := []call{
		{"bedrock-agentcore:GetAgentRuntime", []string{runtime}, nil},
		{"bedrock-agentcore:UpdateAgentRuntime", []string{runtime}, x.networkKeys(live)},
	}
	if name := x.Target.Endpoint; name != "" {
		named := runtime + "/runtime-endpoint/" + name
		endpoints = append(endpoints, named)
		list = append(list, call{"bedrock-agentcore:UpdateAgentRuntimeEndpoint", []string{runtime, named}, nil})
	}
	list = append(list, call{"bedrock-agentcore:GetAgentRuntimeEndpoint", endpoints, nil})
	if !live.Authorizer && !x.Target.Verify.Skip { // a bearer token is no signed call
		list = append(list, call{"bedrock-agentcore:InvokeAgentRuntime", endpoints, nil})
	}
	return list
}

// networkKeys are the condition keys of an update's network (AgentCore
// developer guide: use IAM condition keys with VPC settings).
func (x *examination) networkKeys(live delivery.RuntimeFacts) map[string][]string {
	subnets, groups := live.Subnets, live.SecurityGroups
	if x.Project.NetworkMode == public {
		return nil
	}
	if len(x.Project.Subnets) > 0 {
		subnets = x.Project.Subnets
	}
	if len(x.Project.SecurityGroups) > 0 {
		groups = x.Project.SecurityGroups
	}
	return map[string][]string{"bedrock-agentcore:subnets": subnets, "bedrock-agentcore:securityGroups": groups}
}

func (x *examination) arn(service, resource string) string {
	return "arn:" + trust.Partition(x.Target.Region) + ":" + service + ":" + x.Target.Region + ":" + x.Target.Account + ":" + resource
}

// global are the condition keys that each request of the deploy role has (IAM
// user guide: AWS global condition context keys).
func (x *examination) global(own map[string][]string) map[string][]string {
	context := map[string][]string{
		"aws:RequestedRegion":  {x.Target.Region},
		"aws:PrincipalAccount": {x.Target.Account}, "aws:ResourceAccount": {x.Target.Account},
		"aws:PrincipalArn":    {x.Project.DeployRole},
		"aws:SecureTransport": {"true"},
	}
	for key, values := range own {
		context[key] = values
	}
	return context
}

// grants are the policies of a role; where one can't be read, that is the
// finding.
func (x *examination) grants(role trust.Role) (trust.Grants, bool) {
	grants, err := role.Grants()
	if err != nil {
		x.finding("doctor/policy-unreadable", err.Error(), "write it anew: slipway bootstrap").on(role.ARN)
	}
	return grants, err == nil
}

func permissions(ctx context.Context, x *examination) (string, error) {
	role, err := x.existing(ctx)
	if err != nil {
		return "", err
	}
	grants, ok := x.grants(role)
	if !ok {
		return "", nil
	}
	calls := x.calls(ctx)
	for _, c := range calls {
		refused, why := denied(grants, c, x.global(c.context))
		if len(refused) > 0 {
			x.finding("doctor/action-denied", fmt.Sprintf("%s may not call %s: %s", role.Name, c.action, why),
				"slipway bootstrap --env "+x.Target.Environment+", or add "+statement(c.action, refused, nil)).on(refused[0])
		}
	}
	return fmt.Sprintf("%s may make all of the %d calls of a delivery", role.Name, len(calls)), nil
}

// denied lists the resources of a call on which it is refused, and why on the
// first of them.
func denied(grants trust.Grants, c call, context map[string][]string) (resources []string, why string) {
	for _, resource := range c.resources {
		verdict := grants.Authorize(trust.Request{Action: c.action, Resource: resource, Context: context})
		if verdict.Allowed {
			continue
		}
		if why == "" {
			why = verdict.Reason()
		}
		resources = append(resources, resource)
	}
	return resources, why
}

// statement is what an administrator adds, in one line.
func statement(action string, resources []string, conditions []trust.Condition) string {
	p := trust.Policy{Statements: []trust.Statement{{Effect: trust.Allow, Actions: []string{action}, Resources: slices.Clone(resources), Conditions: conditions}}}
	text := string(p.Compact())
	_, text, _ = strings.Cut(text, `"Statement":[`)
	return strings.TrimSuffix(text, "]}")
}

// passRole asks for what UpdateAgentRuntime needs besides: passing the
// execution role, to AgentCore alone.
func passRole(ctx context.Context, x *examination) (string, error) {
	role, err := x.existing(ctx)
	if err != nil {
		return "", err
	}
	if _, err := x.id(ctx); errors.Is(err, delivery.ErrNotFound) {
		return "", skipped("no runtime is known") // the role gets it with the runtime
	}
	execution, err := x.executionARN(ctx)
	if err != nil {
		return "", err
	}
	grants, err := role.Grants()
	if err != nil {
		return "", skipped("a policy of the role can't be read")
	}
	to := map[string][]string{"iam:PassedToService": {trust.AgentCore}}
	refused, why := denied(grants, call{action: "iam:PassRole", resources: []string{execution}}, x.global(to))
	if len(refused) > 0 {
		x.finding("doctor/pass-role-denied", fmt.Sprintf("%s may not pass %s to AgentCore: %s", role.Name, roleName(execution), why),
			"slipway bootstrap --env "+x.Target.Environment+", or add "+statement("iam:PassRole", refused,
				[]trust.Condition{{Operator: "StringEquals", Key: "iam:PassedToService", Values: []string{trust.AgentCore}}})).on(execution)
	}
	return role.Name + " may pass " + roleName(execution), nil
}
