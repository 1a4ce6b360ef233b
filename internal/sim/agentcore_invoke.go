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

func (c *Cloud) invokeAgentRuntime(k *call) (any, error) {
	in, err := target(k)
	if err != nil {
		return nil, err
	}
	if k.op.unsigned {
		return nil, faultf(http.StatusUnauthorized, "UnauthorizedException", "the local cloud does not verify bearer tokens: a runtime with a JWT authorizer can't be invoked here")
	}
	if err := c.mayInvoke(k, in); err != nil {
		return nil, err
	}
	if in.session == "" {
		in.session = newRequestID()
	}
	s, err := c.sessionFor(in)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(k.Context(), streamLimit)
	defer cancel()
	s.enter()
	defer s.leave()
	if err := s.await(ctx); err != nil {
		return nil, err
	}
	return nil, c.proxy(ctx, k, s)
}

// sessionFor finds the session of a call, or begins one with the version that
// the endpoint serves now. A session that runs keeps its version.
func (c *Cloud) sessionFor(in invocation) (*session, error) {
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	missing := faultf(http.StatusNotFound, "ResourceNotFoundException", "No endpoint or agent found with qualifier '%s' for agent '%s'", in.endpoint, in.arn())
	r, err := c.runtime(in.account, in.region, in.id)
	if asFault(err) != nil || (err == nil && r.Deleted != nil) {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	e := r.Endpoints[in.endpoint]
	if e == nil || e.Deleted != nil {
		return nil, missing
	}
	if s := c.agentcore.sessions.find(in.key()); s != nil {
		return s, callable(s.version)
	}
	if e.Live == 0 {
		return nil, conflict("Endpoint '%s' of agent '%s' is in %s status", e.Name, r.ID, r.endpointStatus(e))
	}
	v, err := c.version(r, e.Live)
	if err != nil {
		return nil, err
	}
	if err := callable(v); err != nil {
		return nil, err
	}
	return c.beginSession(in, r, v)
}

// callable says whether a version takes signed calls.
func callable(v *versionRecord) error {
	if m := stringsOf(v.Document, "metadataConfiguration"); string(m["requireMMDSV2"]) != "true" {
		return invalid("FieldValidationFailed", "This runtime is not MMDSv2-enabled. Update the runtime with metadataConfiguration requireMMDSV2 set to true")
	}
	if v.Document["authorizerConfiguration"] != nil {
		return faultf(http.StatusForbidden, "AccessDeniedException", "Authorization method mismatch. The agent is configured for a different authorization method than what was used in your request. Check the agent's authorization configuration and ensure your request uses the matching method (OAuth or SigV4)")
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
	return []string{"Content-Type", "Accept", headerUser, "Mcp-Session-Id", "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name",
		"X-Amzn-Trace-Id", "Traceparent", "Tracestate", "Baggage"}
}

func returned() []string {
	return []string{"Content-Type", "Mcp-Session-Id", "Mcp-Protocol-Version", "X-Amzn-Trace-Id", "Traceparent", "Tracestate", "Baggage"}
}

// signs says whether a header is of the call's signature, which an agent never
// sees, whatever the runtime's allowlist names.
func signs(header string) bool {
	lower := strings.ToLower(header)
	return lower == "authorization" || strings.HasPrefix(lower, "x-amz-")
}

// proxy sends the payload to the agent and its answer to the caller, as it
// comes.
func (c *Cloud) proxy(ctx context.Context, k *call, s *session) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent"+s.contract.path, bytes.NewReader(k.body))
	if err != nil {
		return err
	}
	for _, name := range append(forwarded(), s.contract.headers...) {
		if signs(name) {
			continue
		}
		if values := k.Header.Values(name); len(values) > 0 {
			req.Header[textproto.CanonicalMIMEHeaderKey(name)] = values
		}
	}
	req.Header.Set(headerSession, s.key.session)
	res, err := s.client.Do(req)
	if err != nil {
		return c.broken(k, s, err)
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return clientError("Received error (%d) from runtime. Please check your CloudWatch logs for more information.", res.StatusCode)
	}
	for _, name := range returned() {
		if values := res.Header.Values(name); len(values) > 0 {
			k.answer.Header()[textproto.CanonicalMIMEHeaderKey(name)] = values
		}
	}
	k.answer.Header().Set(headerSession, s.key.session)
	k.answer.Header().Set("X-Amzn-RequestId", k.id)
	k.wrote = true
	k.answer.WriteHeader(res.StatusCode)
	if err := flow(k.answer, res.Body); err != nil {
		c.warn("agent %s: the answer broke off: %v", s.key.runtime, err)
		breakOff(k.answer)
	}
	return nil
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
	in, err := target(k)
	if err != nil {
		return nil, err
	}
	if in.session == "" {
		return nil, invalidField("runtimeSessionId", "1 validation error detected: Value null at 'runtimeSessionId' failed to satisfy constraint: Member must not be null")
	}
	if err := c.mayInvoke(k, in); err != nil {
		return nil, err
	}
	if stopped := c.stopSessions(func(key sessionKey) bool { return key == in.key() }); stopped == 0 {
		return nil, faultf(http.StatusNotFound, "ResourceNotFoundException", "Session '%s' was not found or has ended", in.session)
	}
	return &reply{status: http.StatusOK, header: http.Header{headerSession: {in.session}}, body: map[string]any{}}, nil
}

// contract is what an agent's container promises, by its serverProtocol.
type contract struct {
	port    int
	path    string
	ping    string   // "" where a listening port is all that is promised
	headers []string // further ones that the runtime lets through
}

func contractOf(d document) contract {
	var p struct {
		ServerProtocol string `json:"serverProtocol"`
		Port           int    `json:"port"`
		Path           string `json:"path"`
	}
	_ = exact(d["protocolConfiguration"], &p) // absent or checked
	k := contract{port: 8080, path: "/invocations", ping: "/ping"}
	switch p.ServerProtocol {
	case "MCP":
		k = contract{port: 8000, path: "/mcp"}
	case "A2A":
		k = contract{port: 9000, path: "/", ping: "/ping"}
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
