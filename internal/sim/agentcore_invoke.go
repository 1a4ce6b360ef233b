package sim

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Headers of the data plane.
const (
	headerSession = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
	headerUser    = "X-Amzn-Bedrock-AgentCore-Runtime-User-Id"
	headerMCP     = "Mcp-Session-Id"
)

// streamLimit is how long AgentCore keeps one answer open, syncLimit how long
// it waits for an answer to begin.
const (
	streamLimit = time.Hour
	syncLimit   = 15 * time.Minute
)

// invocation is what a call of the data plane names.
type invocation struct {
	account, region, id string
	endpoint, session   string
}

func (i invocation) arn() string { return runtimeARN(i.account, i.region, i.id) }

func (i invocation) key() sessionKey {
	return sessionKey{runtime: i.arn(), endpoint: i.endpoint, session: i.session}
}

// target reads the runtime, the endpoint and the session of a call. The
// runtime is an ARN (arn:aws:bedrock-agentcore:region:account:runtime/id; the
// model's own pattern is not what AWS returns), or an id with accountId.
func target(k *call) (invocation, error) {
	in := invocation{account: k.URL.Query().Get("accountId"), region: k.region, id: k.params[0],
		endpoint: k.URL.Query().Get("qualifier"), session: k.Header.Get(headerSession)}
	if in.endpoint == "" {
		in.endpoint = defaultEndpoint
	}
	if strings.HasPrefix(in.id, "arn:") {
		parts := strings.SplitN(in.id, ":", 6)
		id, ok := strings.CutPrefix(parts[len(parts)-1], "runtime/")
		if len(parts) != 6 || parts[2] != "bedrock-agentcore" || !ok {
			return in, invalidField("agentRuntimeArn", "Invalid agent runtime ARN: '%s'", in.id)
		}
		in.region, in.account, in.id = parts[3], parts[4], id
	} else if in.account == "" {
		return in, invalidField("accountId", "accountId is required when agentRuntimeArn is a runtime's id")
	}
	v := &check{}
	runtimeIDShape()(v, "agentRuntimeArn", rawOf(in.id))
	nameShape()(v, "qualifier", rawOf(in.endpoint))
	if in.session != "" {
		text(33, 256, "")(v, "runtimeSessionId", rawOf(in.session))
	}
	if !accountPattern.MatchString(in.account) {
		v.fail("accountId", rawOf(in.account), "Member must satisfy regular expression pattern: [0-9]{12}")
	}
	return in, v.err()
}

// mayInvoke asks whether the caller may: AgentCore authorises on the runtime
// and on the endpoint. Runtimes have no policies of their own here, so that
// other accounts may not.
func (c *Cloud) mayInvoke(k *call, in invocation) error {
	if in.account != k.account || in.region != k.region {
		return k.foreign(in.arn())
	}
	actions := []string{k.op.name}
	if k.Header.Get(headerUser) != "" {
		actions = append(actions, "InvokeAgentRuntimeForUser")
	}
	for _, action := range actions {
		for _, resource := range []string{in.arn(), in.arn() + "/runtime-endpoint/" + in.endpoint} {
			k.resource = resource
			if err := c.allowed(k.asker(), "bedrock-agentcore:"+action, resource, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// admit finds what a call names and asks whether its caller may: by signature
// and policies, or by a bearer token where the runtime has an authorizer.
func (c *Cloud) admit(k *call) (invocation, *versionRecord, error) {
	in, err := target(k)
	if err != nil {
		return in, nil, err
	}
	if !k.op.unsigned {
		if err := c.mayInvoke(k, in); err != nil {
			return in, nil, err
		}
	}
	v, err := c.find(in)
	if err != nil && k.op.unsigned && !carriesBearer(k.Request) {
		err = errorOr(c.authenticate(k), err) // strangers learn nothing
	}
	if err != nil {
		return in, nil, err
	}
	k.resource = in.arn() + "/runtime-endpoint/" + in.endpoint
	authorizer := authorizerOf(v.Document)
	switch {
	case authorizer != nil && k.op.unsigned:
		err = c.authorizeBearer(k, in, authorizer)
	case authorizer != nil, carriesBearer(k.Request):
		err = mismatch()
	case k.op.unsigned:
		err = c.authenticate(k) // there is nothing to authenticate: it says so
	}
	return in, v, err
}

// find finds the version that an endpoint serves now.
func (c *Cloud) find(in invocation) (*versionRecord, error) {
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	_, v, err := c.served(in)
	return v, err
}

func (c *Cloud) invokeAgentRuntime(k *call) (any, error) {
	in, v, err := c.admit(k)
	if v == nil {
		return nil, err
	}
	agent := contractOf(v.Document)
	if err == nil {
		err = c.invoke(k, in, v, agent)
	}
	return nil, agent.worded(k.body, err)
}

func (c *Cloud) invoke(k *call, in invocation, v *versionRecord, agent contract) error {
	if err := callable(v); err != nil {
		return err
	}
	if agent.protocol == protocolMCP {
		accept := k.Header.Get("Accept")
		if !strings.Contains(accept, "application/json") || !strings.Contains(accept, "text/event-stream") {
			return faultf(http.StatusNotAcceptable, "McpRequestUnacceptableException",
				"Accept Header Error - MCP protocol requires Accept header: application/json, text/event-stream")
		}
		// It routes before the other: SDKs make up a new id of that one for
		// each call that names none.
		in.session = or(k.Header.Get(headerMCP), in.session)
	}
	in.session = or(in.session, newRequestID())
	return c.inSession(k, in, func(ctx context.Context, s *session) error {
		return c.proxy(ctx, k, s, http.MethodPost, s.contract.path)
	})
}

// inSession runs what a call asks of its session's agent.
func (c *Cloud) inSession(k *call, in invocation, run func(context.Context, *session) error) error {
	s, err := c.sessionFor(in)
	if err != nil {
		return err
	}
	defer func() { s.leave(c.now()) }()
	ctx, cancel := context.WithTimeout(k.Context(), streamLimit)
	defer cancel()
	if err := s.await(ctx); err != nil {
		return err
	}
	return run(ctx, s)
}

// agentCardPath is where an A2A server describes itself.
const agentCardPath = "/.well-known/agent-card.json"

// getAgentCard asks an A2A server who it is. Assumption: of the other
// protocols it is refused.
func (c *Cloud) getAgentCard(k *call) (any, error) {
	in, v, err := c.admit(k)
	if err != nil {
		return nil, err
	}
	if contractOf(v.Document).protocol != protocolA2A {
		return nil, invalid("FieldValidationFailed", "Agent '%s' is no A2A server: it has no agent card", in.arn())
	}
	if err := callable(v); err != nil {
		return nil, err
	}
	in.session = or(in.session, newRequestID())
	return nil, c.inSession(k, in, func(ctx context.Context, s *session) error {
		return c.proxy(ctx, k, s, http.MethodGet, agentCardPath)
	})
}

func noEndpoint(in invocation) error {
	return faultf(http.StatusNotFound, "ResourceNotFoundException",
		"No endpoint or agent found with qualifier '%s' for agent '%s'", in.endpoint, in.arn())
}

// served is the version that an endpoint serves. The caller holds
// c.agentcore.mu.
func (c *Cloud) served(in invocation) (*runtimeRecord, *versionRecord, error) {
	r, err := c.runtime(in.account, in.region, in.id)
	if asFault(err) != nil || (err == nil && r.Deleted != nil) {
		return nil, nil, noEndpoint(in)
	}
	if err != nil {
		return nil, nil, err
	}
	e := r.Endpoints[in.endpoint]
	if e == nil || e.Deleted != nil {
		return nil, nil, noEndpoint(in)
	}
	if e.Live == 0 {
		return nil, nil, conflict("Endpoint '%s' of agent '%s' is in %s status", e.Name, r.ID, r.endpointStatus(e))
	}
	v, err := c.version(r, e.Live)
	return r, v, err
}

// callable says whether a version takes calls at all.
func callable(v *versionRecord) error {
	if m := stringsOf(v.Document, "metadataConfiguration"); string(m["requireMMDSV2"]) != "true" {
		return invalid("FieldValidationFailed", "This runtime is not MMDSv2-enabled. Update the runtime with metadataConfiguration requireMMDSV2 set to true")
	}
	return nil
}

// clientError is AgentCore's word for whatever goes wrong in the agent.
func clientError(format string, args ...any) *fault {
	return faultf(http.StatusFailedDependency, "RuntimeClientError", format, args...)
}

func (c *Cloud) stopRuntimeSession(k *call) (any, error) {
	in, _, err := c.admit(k)
	if err != nil {
		return nil, err
	}
	if in.session == "" {
		return nil, invalidField("runtimeSessionId", "1 validation error detected: Value null at 'runtimeSessionId' failed to satisfy constraint: Member must not be null")
	}
	if stopped := c.stopSessions(func(key sessionKey) bool { return key == in.key() }); stopped == 0 {
		return nil, faultf(http.StatusNotFound, "ResourceNotFoundException", "Session '%s' was not found or has ended", in.session)
	}
	return &reply{status: http.StatusOK, header: http.Header{headerSession: {in.session}}, body: map[string]any{}}, nil
}

func logGroup(runtimeID, endpoint string) string {
	return fmt.Sprintf("/aws/bedrock-agentcore/runtimes/%s-%s", runtimeID, endpoint)
}
