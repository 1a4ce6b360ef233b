package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// The values of a runtime's serverProtocol (facts: Container contract).
const (
	protocolHTTP = "HTTP"
	protocolMCP  = "MCP"
	protocolA2A  = "A2A"
	protocolAGUI = "AGUI"
)

// protocol is what the runtime's agent speaks.
func (f runtimeFacts) protocol() string {
	if f.Protocol.Server == "" {
		return protocolHTTP
	}
	return f.Protocol.Server
}

// ping is the payload that a version is tried with where slipway.yaml states
// none. An MCP server is asked to begin a session: that needs none of its
// tools. An A2A server gets the message that AWS documents, and not a request
// for its card: the card is there while the agent behind it fails, and asking
// for it is a permission of its own.
func ping(protocol string) json.RawMessage {
	if protocol == protocolMCP {
		return json.RawMessage(`{"jsonrpc":"2.0","id":"slipway","method":"initialize","params":{` +
			`"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"slipway","version":"1"}}}`)
	}
	payload, _ := say(protocol, "ping") // every other protocol takes a text
	return payload
}

// say puts a text into the payload that an agent of the protocol takes; false
// where it takes no text.
func say(protocol, text string) (json.RawMessage, bool) {
	quoted, err := json.Marshal(text)
	if err != nil || protocol == protocolMCP {
		return nil, false
	}
	form := `{"prompt": %s}`
	switch protocol {
	case protocolA2A:
		form = `{"jsonrpc":"2.0","id":"slipway","method":"message/send","params":{"message":{` +
			`"kind":"message","role":"user","messageId":"slipway","parts":[{"kind":"text","text":%s}]}}}`
	case protocolAGUI:
		form = `{"threadId":"slipway","runId":"slipway","state":{},"tools":[],"context":[],"forwardedProps":{},` +
			`"messages":[{"id":"slipway","role":"user","content":%s}]}`
	}
	return fmt.Appendf(nil, form, quoted), true
}

// message is what the protocols' answers say of success and failure.
type message struct {
	Error *struct {
		Code    json.Number `json:"code"`
		Message string      `json:"message"`
	} `json:"error"`
	Result json.RawMessage `json:"result"`
	// AG-UI's events.
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// messages reads an answer that is one JSON value, or a stream of events.
func messages(body []byte) []message {
	var all []message
	add := func(raw []byte) {
		var m message
		if json.Unmarshal(raw, &m) == nil {
			all = append(all, m)
		}
	}
	if body = bytes.TrimSpace(body); bytes.HasPrefix(body, []byte("{")) {
		add(body)
		return all
	}
	var data []string
	for line := range strings.Lines(string(body) + "\n\n") {
		line = strings.TrimRight(line, "\r\n")
		if part, ok := strings.CutPrefix(line, "data:"); ok {
			data = append(data, strings.TrimPrefix(part, " "))
		} else if line == "" && len(data) > 0 {
			add([]byte(strings.Join(data, "\n")))
			data = nil
		}
	}
	return all
}

// Codes of JSON-RPC by which AgentCore itself says, with status 200, that an
// MCP server was not asked (facts: MCP contract): throttled, or busy.
const (
	rpcThrottled = "-32003"
	rpcConflict  = "-32005"
)

// failure is the failure that a 2xx answer holds, as its protocol tells it; ""
// where there is none. With MCP and AG-UI AgentCore itself answers so, when the
// agent never became healthy.
func failure(protocol string, body []byte) string {
	for _, m := range messages(body) {
		switch {
		case protocol == protocolAGUI && m.Type == "RUN_ERROR":
			return strings.TrimSpace(fmt.Sprintf("it answered with the event RUN_ERROR %s: %s", m.Code, m.Message))
		case (protocol == protocolMCP || protocol == protocolA2A) && m.Error != nil:
			return fmt.Sprintf("it answered with the JSON-RPC error %s: %s", m.Error.Code, m.Error.Message)
		}
	}
	return ""
}

// answers says whether an answer holds what our own payload asks for: the
// result of a call, where the protocol has calls.
func answers(protocol string, body []byte) bool {
	if protocol != protocolMCP && protocol != protocolA2A {
		return true
	}
	for _, m := range messages(body) {
		if present(m.Result) {
			return true
		}
	}
	return false
}

// unasked says whether a 2xx answer is AgentCore's word that the agent was not
// asked.
func unasked(protocol string, body []byte) bool {
	if protocol != protocolMCP {
		return false
	}
	for _, m := range messages(body) {
		if m.Error != nil && (m.Error.Code == rpcThrottled || m.Error.Code == rpcConflict) {
			return true
		}
	}
	return false
}
