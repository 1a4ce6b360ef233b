package sim

import (
	"net/http"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/trust"
)

// linked are the services whose linked roles are modelled, and the roles' names
// (AgentCore developer guide: using service-linked roles).
func linked() map[string]string {
	return map[string]string{
		"runtime-identity.bedrock-agentcore.amazonaws.com": "AWSServiceRoleForBedrockAgentCoreRuntimeIdentity",
		"network.bedrock-agentcore.amazonaws.com":          "AWSServiceRoleForBedrockAgentCoreNetwork",
	}
}

// createServiceLinkedRole makes the role that a service acts by. What the role
// may do is the service's affair: it has no policies here.
func (c *Cloud) createServiceLinkedRole(k *call) (any, error) {
	service := k.form.Get("AWSServiceName")
	var wrong constraints
	wrong.length("awsServiceName", service, 1, 128)
	if err := wrong.fault(); err != nil {
		return nil, err
	}
	name, ok := linked()[service]
	if !ok {
		return nil, faultf(http.StatusBadRequest, "InvalidInput", "the local cloud knows no service-linked role of %s", service)
	}
	if k.form.Get("CustomSuffix") != "" {
		return nil, faultf(http.StatusBadRequest, "InvalidInput", "Custom suffix is not allowed for %s", service)
	}
	r := role{Account: k.account, Name: name, Path: "/aws-service-role/" + service + "/", ID: newUniqueID("AROA"),
		Description: k.form.Get("Description"), MaxSession: defaultDuration, Created: k.at.Truncate(time.Second),
		Trust: string(trust.Policy{Version: "2012-10-17", Statements: []trust.Statement{{Effect: trust.Allow, Actions: []string{"sts:AssumeRole"},
			Principals: []trust.Principal{{Kind: trust.Service, Value: service}}}}}.JSON())}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	if _, ok := c.findRole(k.account, name); ok {
		return nil, faultf(http.StatusBadRequest, "InvalidInput",
			"Service role name %s has been taken in this account, please try a different suffix.", name)
	}
	if err := c.store.put(roleKey(r.Account, r.Name), r); err != nil {
		return nil, err
	}
	return struct{ Role roleXML }{r.xml()}, nil
}

// linkedRole says whether a role is a service's: nobody else changes it.
func (r role) linkedRole() bool { return strings.HasPrefix(r.Path, "/aws-service-role/") }

func (r role) protected() error {
	return faultf(http.StatusBadRequest, "UnmodifiableEntity", "Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", r.Name)
}
