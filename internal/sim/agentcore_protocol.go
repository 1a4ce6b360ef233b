package sim

import (
	"encoding/json"
	"net/http"
)

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

// wording is how a protocol tells one of AgentCore's errors (the protocols'
// contracts in the developer guide, "Error handling").
type wording struct {
	code   int    // of JSON-RPC
	event  string // of AG-UI's RUN_ERROR
	status int
}

// jsonRPC tells MCP's errors, most of them with status 200, and A2A's, with
// their own.
func jsonRPC(protocol, code string) wording {
	if protocol == protocolMCP {
		switch code {
		case "UnauthorizedException":
			return wording{code: -32001, status: http.StatusUnauthorized}
		case "AccessDeniedException":
			return wording{code: -32002, status: http.StatusForbidden}
		case "ThrottlingException", "ServiceQuotaExceededException":
			return wording{code: -32003, status: http.StatusOK}
		case "ResourceNotFoundException":
			return wording{code: -32004, status: http.StatusOK}
		case "ConflictException", "RetryableConflictException":
			return wording{code: -32005, status: http.StatusOK}
		case "ValidationException":
			return wording{code: -32006, status: http.StatusOK}
		case "RuntimeClientError":
			return wording{code: -32010, status: http.StatusOK}
		case "McpRequestUnacceptableException":
			return wording{code: -32011, status: http.StatusNotAcceptable}
		}
		return wording{code: -32603, status: http.StatusOK}
	}
	switch code {
	case "UnauthorizedException":
		return wording{code: -32001, status: http.StatusUnauthorized}
	case "ResourceNotFoundException":
		return wording{code: -32051, status: http.StatusNotFound}
	case "ValidationException":
		return wording{code: -32052, status: http.StatusBadRequest}
	case "ThrottlingException", "ServiceQuotaExceededException":
		return wording{code: -32053, status: http.StatusTooManyRequests}
	case "ConflictException", "RetryableConflictException":
		return wording{code: -32054, status: http.StatusConflict}
	case "RuntimeClientError":
		return wording{code: -32055, status: http.StatusFailedDependency}
	}
	return wording{code: -32603, status: http.StatusInternalServerError}
}

func runError(code string) wording {
	switch code {
	case "UnauthorizedException":
		return wording{event: "UNAUTHORIZED", status: http.StatusUnauthorized}
	case "AccessDeniedException":
		return wording{event: "ACCESS_DENIED", status: http.StatusForbidden}
	case "ValidationException":
		return wording{event: "VALIDATION_ERROR", status: http.StatusBadRequest}
	case "ThrottlingException":
		return wording{event: "RATE_LIMIT_EXCEEDED", status: http.StatusTooManyRequests}
	case "ConflictException", "RetryableConflictException":
		return wording{event: "SESSION_BUSY", status: http.StatusConflict}
	case "ServiceQuotaExceededException":
		return wording{event: "SERVICE_QUOTA_EXCEEDED", status: http.StatusTooManyRequests}
	case "RuntimeClientError":
		return wording{event: "AGENT_ERROR", status: http.StatusOK}
	}
	return wording{event: "INTERNAL_ERROR", status: http.StatusInternalServerError}
}

// worded puts an error into the form of a runtime's protocol: plain for HTTP,
// JSON-RPC for MCP and A2A, an event for AG-UI. An agent that fails answers
// 200 with MCP and AG-UI. Assumption: the message is that of the HTTP protocol,
// which says more than the documented one for all of a kind.
func (k contract) worded(request []byte, err error) error {
	f := asFault(err)
	if f == nil || k.protocol == protocolHTTP {
		return err
	}
	told := *f
	told.header = f.header.Clone()
	if told.header == nil {
		told.header = http.Header{}
	}
	switch k.protocol {
	case protocolAGUI:
		w := runError(f.Code)
		told.Status = w.status
		told.header.Set("Content-Type", "text/event-stream")
		event := rawOf(map[string]string{"type": "RUN_ERROR", "code": w.event, "message": f.Message})
		told.raw = []byte("data: " + string(event) + "\n\n")
	case protocolA2A:
		if f.Code == "AccessDeniedException" {
			return err // "returned as a standard HTTP error"
		}
		fallthrough
	default:
		w := jsonRPC(k.protocol, f.Code)
		told.Status = w.status
		told.header.Set("Content-Type", "application/json")
		told.raw = rpcError(request, w.code, f.Message)
	}
	if told.Status != http.StatusOK {
		told.header.Set("X-Amzn-ErrorType", f.Code)
	}
	return &told
}

// rpcError answers a JSON-RPC request, whose id it repeats where there is one.
func rpcError(request []byte, code int, message string) []byte {
	var call struct {
		ID json.RawMessage `json:"id"`
	}
	_ = json.Unmarshal(request, &call) // what is no request has no id
	answer := document{"jsonrpc": rawOf("2.0"), "error": rawOf(map[string]any{"code": code, "message": message})}
	if call.ID != nil {
		answer["id"] = call.ID
	}
	return rawOf(answer)
}
