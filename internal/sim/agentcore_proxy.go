package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strings"
)

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
