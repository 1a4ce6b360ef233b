package sim

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/slipway-cd/slipway/internal/trust"
)

// agentcoreService is AgentCore as a role's trust policy names it.
const agentcoreService = "bedrock-agentcore.amazonaws.com"

// may records what the call acts on and asks whether the caller may.
func (c *Cloud) may(k *call, resource string, more keys) error {
	k.resource = resource
	return c.allowed(k.asker(), "bedrock-agentcore:"+k.op.name, resource, more)
}

// mayCreate asks besides whether the caller may tag what it makes.
func (c *Cloud) mayCreate(k *call, resource string, more keys) error {
	if err := c.may(k, resource, more); err != nil || more["aws:TagKeys"] == nil {
		return err
	}
	return c.allowed(k.asker(), "bedrock-agentcore:TagResource", resource, more)
}

// mayMakeEndpoint asks on the runtime, which the endpoint becomes part of.
func (c *Cloud) mayMakeEndpoint(k *call, body document) error {
	tags := tagKeys(coreTags(body))
	if err := c.mayRuntime(k, tags); err != nil || tags["aws:TagKeys"] == nil {
		return err
	}
	return c.allowed(k.asker(), "bedrock-agentcore:TagResource", k.resource, tags)
}

// configurationKeys are the condition keys of what a runtime is given: tags,
// and in VPC mode its subnets and security groups (AgentCore developer guide,
// "Use VPC condition keys").
func configurationKeys(body document) keys {
	all := tagKeys(coreTags(body))
	network := stringsOf(body, "networkConfiguration")
	if stringOf(network, "networkMode") != "VPC" {
		return all
	}
	vpc := stringsOf(network, "networkModeConfig")
	for _, name := range []string{"subnets", "securityGroups"} {
		var ids []string
		_ = json.Unmarshal(vpc[name], &ids) // checked on its way in
		all["bedrock-agentcore:"+name] = ids
	}
	return all
}

// coreTags reads the tags of a request, which AgentCore takes as an object.
func coreTags(body document) []tag {
	var given map[string]string
	_ = json.Unmarshal(body["tags"], &given) // absent or checked
	var tags []tag
	for _, key := range sortedKeys(given) {
		tags = append(tags, tag{Key: key, Value: given[key]})
	}
	return tags
}

// mayPass asks whether the caller may give AgentCore the role (IAM user guide,
// "Grant permissions to pass a role to an AWS service").
func (c *Cloud) mayPass(k *call, role, runtime string) error {
	err := c.allowed(k.asker(), "iam:PassRole", role, keys{
		"iam:PassedToService":       {agentcoreService},
		"iam:AssociatedResourceArn": {runtime},
	})
	if err != nil {
		return err
	}
	if accountOf(role, "") != k.account {
		return faultf(http.StatusForbidden, "AccessDeniedException", "Cross-account pass role is not allowed.")
	}
	return nil
}

// execution is AgentCore as it acts with an execution role.
func (c *Cloud) execution(region, arn string, said *[]Decision) asker {
	const session = "BedrockAgentCore"
	p := principal{account: accountOf(arn, ""), role: arn[strings.LastIndexByte(arn, '/')+1:], session: session}
	p.arn = "arn:aws:sts::" + p.account + ":assumed-role/" + p.role + "/" + session
	if r, ok := shared[role](c.store, roleKey(p.account, p.role)); ok {
		p.id = r.ID + ":" + session
	}
	return asker{principal: p, at: c.now().UTC(), region: region, decisions: said}
}

// mayStart asks, as an agent starts, what AgentCore asked when its version was
// made: the execution role may be gone or narrower by now.
func (c *Cloud) mayStart(r *runtimeRecord, v *versionRecord) error {
	role := stringOf(v.Document, "roleArn")
	if err := c.passable(role, agentcoreService, r.arn()); err != nil {
		return withWhy(clientError("The execution role '%s' could not be assumed", role), err)
	}
	var said []Decision
	if err := c.mayPull(c.execution(r.Region, role, &said), imageURI(v.Document)); err != nil {
		return withWhy(clientError("The image could not be pulled with the execution role '%s': access denied", role), err)
	}
	return nil
}

// withWhy tells the journal what the caller is not told.
func withWhy(f *fault, err error) *fault {
	f.why = err.Error()
	if cause := asFault(err); cause != nil {
		f.why = cause.reason()
	}
	return f
}

// foreign refuses a call for another account's or region's runtime, as no
// policy of the runtime allows it.
func (k *call) foreign(resource string) error {
	return k.asker().settle("bedrock-agentcore:"+k.op.name, resource, resource,
		trust.Verdict{Layer: resourceBased, Statement: -1}, nil)
}
