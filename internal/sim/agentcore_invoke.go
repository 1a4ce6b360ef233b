package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
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
// and on the endpoint.
func (c *Cloud) mayInvoke(k *call, in invocation) error {
	if in.account != k.account || in.region != k.region {
		return faultf(http.StatusForbidden, "AccessDeniedException", "%s may not call %s: other accounts and regions need a resource policy, which the local cloud has not", k.principal.arn, in.arn())
	}
	if err := c.may(k, in.arn()); err != nil {
		return err
	}
	if err := c.may(k, in.arn()+"/runtime-endpoint/"+in.endpoint); err != nil {
		return err
	}
	if k.Header.Get(headerUser) != "" {
		return c.allowed(k.principal, "bedrock-agentcore:InvokeAgentRuntimeForUser", in.arn())
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
	_, v, err := c.find(in)
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
func (c *Cloud) find(in invocation) (*runtimeRecord, *versionRecord, error) {
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	return c.served(in)
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
			return faultf(http.StatusNotAcceptable, "McpRequestUnacceptableException", "Accept Header Error - MCP protocol requires Accept header: application/json, text/event-stream")
		}
		// It routes before the other: SDKs make up a new id of that one for
		// each call that names none.
		in.session = or(k.Header.Get(headerMCP), in.session)
	}
	in.session = or(in.session, newRequestID())
	return c.inSession(k, in, func(ctx context.Context, s *session) error {
		return c.proxy(ctx, k, s, http.MethodPost, agent.path)
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
	return faultf(http.StatusNotFound, "ResourceNotFoundException", "No endpoint or agent found with qualifier '%s' for agent '%s'", in.endpoint, in.arn())
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

// forwarded are the headers that go to the agent; its answer may carry those
// of the second list back.
func forwarded() []string {
	return []string{"Content-Type", "Accept", headerUser, headerMCP, "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name",
		"X-Amzn-Trace-Id", "Traceparent", "Tracestate", "Baggage"}
}

func returned() []string {
	return []string{"Content-Type", headerMCP, "Mcp-Protocol-Version", "X-Amzn-Trace-Id", "Traceparent", "Tracestate", "Baggage"}
}

// withheld says whether a header is never passed on, whatever the runtime's
// allowlist names: what a call is signed with; and where it has a token
// instead, the user that it would speak for, who is the token's own.
func withheld(header string, bearer bool) bool {
	switch lower := strings.ToLower(header); lower {
	case "authorization":
		return !bearer
	case strings.ToLower(headerUser):
		return bearer
	default:
		return strings.HasPrefix(lower, "x-amz-")
	}
}

// proxy sends a call to the agent and its answer to the caller, as it comes.
func (c *Cloud) proxy(ctx context.Context, k *call, s *session, method, path string) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(k.body))
	if err != nil {
		return err
	}
	for _, name := range append(forwarded(), s.contract.headers...) {
		if withheld(name, k.op.unsigned) {
			continue
		}
		if values := k.Header.Values(name); len(values) > 0 {
			req.Header[textproto.CanonicalMIMEHeaderKey(name)] = values
		}
	}
	req.Header.Set(headerSession, s.key.session)
	if s.contract.protocol == protocolMCP && req.Header.Get(headerMCP) == "" && !initializes(k.body) {
		req.Header.Set(headerMCP, s.key.session)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return c.broken(k, s, err)
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return clientError("Received error (%d) from runtime. Please check your CloudWatch logs for more information.", res.StatusCode)
	}
	c.passOn(k, s, res)
	if err := flow(k.answer, res.Body); err != nil {
		c.warn("agent %s: the answer broke off: %v", s.key.runtime, err)
		breakOff(k.answer)
	}
	return nil
}

// passOn writes the head of an agent's answer.
func (c *Cloud) passOn(k *call, s *session, res *http.Response) {
	header := k.answer.Header()
	for _, name := range returned() {
		if values := res.Header.Values(name); len(values) > 0 {
			header[textproto.CanonicalMIMEHeaderKey(name)] = values
		}
	}
	if s.contract.protocol == protocolMCP {
		// An agent that keeps MCP's sessions itself names them; either way the
		// id leads back to this session.
		if id := header.Get(headerMCP); id != "" && id != s.key.session {
			c.agentcore.sessions.name(s, id)
		} else {
			header.Set(headerMCP, s.key.session)
		}
	}
	header.Set(headerSession, s.key.session)
	header.Set("X-Amzn-RequestId", k.id)
	k.wrote = true
	k.answer.WriteHeader(res.StatusCode)
}

// initializes says whether a payload begins a session of MCP's. Assumption: it
// goes out without an id, so that a server which keeps sessions gives one; all
// other payloads carry one, as the contract has it.
func initializes(payload []byte) bool {
	var call struct {
		Method string `json:"method"`
	}
	return json.Unmarshal(payload, &call) == nil && call.Method == "initialize"
}

// broken words a call that got no answer at all.
func (c *Cloud) broken(k *call, s *session, err error) error {
	if k.Context().Err() != nil {
		return clientError("The caller has gone")
	}
	c.warn("agent %s: no answer: %v", s.key.runtime, err)
	return clientError("Received error (502) from runtime. Please check your CloudWatch logs for more information.")
}

// flow copies an answer, piece by piece.
func flow(w http.ResponseWriter, r io.Reader) error {
	out := http.NewResponseController(w)
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return nil //nolint:nilerr // the caller has gone: nothing to tell it
			}
			if err := out.Flush(); err != nil {
				return nil //nolint:nilerr // the same
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// breakOff lets the caller see that an answer is not whole: a clean end would
// say that it is.
func breakOff(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
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

// The values of serverProtocol.
const (
	protocolHTTP = "HTTP"
	protocolMCP  = "MCP"
	protocolA2A  = "A2A"
	protocolAGUI = "AGUI"
)

// contract is what an agent's container promises, by its serverProtocol.
type contract struct {
	protocol string
	port     int
	path     string
	ping     string   // "" where a listening port is all that is promised
	headers  []string // further ones that the runtime lets through
}

func contractOf(d document) contract {
	var p struct {
		ServerProtocol string `json:"serverProtocol"`
		Port           int    `json:"port"`
		Path           string `json:"path"`
	}
	_ = exact(d["protocolConfiguration"], &p) // absent or checked
	k := contract{protocol: or(p.ServerProtocol, protocolHTTP), port: 8080, path: "/invocations", ping: "/ping"}
	switch p.ServerProtocol {
	case protocolMCP:
		k.port, k.path, k.ping = 8000, "/mcp", ""
	case protocolA2A:
		k.port, k.path = 9000, "/"
	}
	if p.Port != 0 {
		k.port = p.Port
	}
	if p.Path != "" {
		k.path = p.Path
	}
	_ = json.Unmarshal(stringsOf(d, "requestHeaderConfiguration")["requestHeaderAllowlist"], &k.headers) // absent or checked
	return k
}

// healthy judges an answer to /ping.
func healthy(status int, body []byte) (ok, busy bool) {
	var p struct {
		Status string `json:"status"`
	}
	if status != http.StatusOK || json.Unmarshal(body, &p) != nil {
		return false, false
	}
	return p.Status == "Healthy" || p.Status == "HealthyBusy", p.Status == "HealthyBusy"
}

// initTimeExceeded is what AgentCore says of an agent that does not become
// healthy, whether it is slow or has crashed. The truth is in its log.
func initTimeExceeded() *fault {
	return clientError("Runtime initialization time exceeded. Please make sure that initialization completes in 30s.")
}

func logGroup(runtimeID, endpoint string) string {
	return fmt.Sprintf("/aws/bedrock-agentcore/runtimes/%s-%s", runtimeID, endpoint)
}
