// Command agent is a small agent of each of AgentCore's protocols, as its
// PROTOCOL says: HTTP, MCP, A2A or AGUI. PORT and SERVE (a path) move it from
// its protocol's place; BEHAVIOUR makes it one of those that go wrong.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const sessionHeader = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"

// agent is the state that one session keeps.
type agent struct {
	calls atomic.Int64
	busy  atomic.Bool
	next  sync.Mutex // held until a stream may go on
}

func main() {
	a := &agent{}
	port, path := "8080", "/invocations"
	var serve http.HandlerFunc
	switch os.Getenv("PROTOCOL") {
	case "MCP":
		port, path, serve = "8000", "/mcp", a.mcp
	case "A2A":
		port, path, serve = "9000", "/", a.a2a
	case "AGUI":
		serve = a.agui
	default:
		serve = a.http
	}
	if given := os.Getenv("PORT"); given != "" {
		port = given
	}
	if given := os.Getenv("SERVE"); given != "" {
		path = given
	}
	switch os.Getenv("BEHAVIOUR") {
	case "crash":
		fmt.Println("Traceback: ModuleNotFoundError: No module named 'strands'")
		os.Exit(3)
	case "unhealthy":
		a.busy.Store(true)
		http.HandleFunc("GET /ping", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "starting", http.StatusServiceUnavailable) })
	default:
		if os.Getenv("PROTOCOL") != "MCP" {
			http.HandleFunc("GET /ping", a.ping)
		}
	}
	if os.Getenv("PROTOCOL") == "A2A" {
		http.HandleFunc("GET /.well-known/agent-card.json", card)
	}
	http.HandleFunc("POST "+path, serve)
	fmt.Println(http.ListenAndServe(":"+port, nil))
	os.Exit(1)
}

func (a *agent) ping(w http.ResponseWriter, r *http.Request) {
	status := "Healthy"
	if a.busy.Load() {
		status = "HealthyBusy"
	}
	answer(w, map[string]any{"status": status})
}

// state is what a caller can tell one session from another by.
func (a *agent) state(r *http.Request) map[string]any {
	return map[string]any{"calls": a.calls.Add(1), "pid": os.Getpid(), "session": r.Header.Get(sessionHeader), "headers": r.Header}
}

func (a *agent) http(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Do string `json:"do"`
	}
	_ = json.NewDecoder(r.Body).Decode(&q)
	switch q.Do {
	case "busy", "idle":
		a.busy.Store(q.Do == "busy")
	case "fail":
		fmt.Println("the handler fails")
		http.Error(w, "no", http.StatusInternalServerError)
		return
	case "error body":
		answer(w, map[string]any{"error": "the model is away"})
		return
	case "stream":
		a.stream(w, "data: one\n\n", "data: two\n\n")
		return
	case "die":
		a.stream(w, "data: one\n\n", "")
		return
	case "go on": // lets the stream of another call go on
		a.next.Unlock()
	case "hold":
		a.next.Lock()
	}
	answer(w, a.state(r))
}

// stream sends its first event, and the last one once it may; where there is
// no last one, it dies in the middle.
func (a *agent) stream(w http.ResponseWriter, first, last string) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, first)
	w.(http.Flusher).Flush()
	a.next.Lock()
	defer a.next.Unlock()
	if last == "" {
		time.Sleep(10 * time.Millisecond) // let the first event leave
		os.Exit(9)
	}
	_, _ = io.WriteString(w, last)
}

type rpc struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// mcp is a server that keeps MCP's sessions itself where STATEFUL is set.
func (a *agent) mcp(w http.ResponseWriter, r *http.Request) {
	var q rpc
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if own := os.Getenv("STATEFUL"); own != "" {
		if given := r.Header.Get("Mcp-Session-Id"); q.Method == "initialize" && given != "" || q.Method != "initialize" && given != own {
			http.Error(w, "no such session: "+given, http.StatusNotFound)
			return
		}
		w.Header().Set("Mcp-Session-Id", own)
	}
	switch q.Method {
	case "initialize":
		result(w, q.ID, map[string]any{"protocolVersion": "2025-06-18", "capabilities": map[string]any{}, "serverInfo": map[string]string{"name": "small", "version": "1"}})
	case "tools/list":
		w.Header().Set("Content-Type", "text/event-stream")
		raw, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": q.ID, "result": a.state(r)})
		fmt.Fprintf(w, "event: message\ndata: %s\n\n", raw)
	default:
		answer(w, map[string]any{"jsonrpc": "2.0", "id": q.ID, "error": map[string]any{"code": -32601, "message": "Method not found"}})
	}
}

func (a *agent) a2a(w http.ResponseWriter, r *http.Request) {
	var q rpc
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Method != "message/send" {
		answer(w, map[string]any{"jsonrpc": "2.0", "id": q.ID, "error": map[string]any{"code": -32601, "message": "Method not found"}})
		return
	}
	if os.Getenv("BEHAVIOUR") == "rpc error" {
		answer(w, map[string]any{"jsonrpc": "2.0", "id": q.ID, "error": map[string]any{"code": -32603, "message": "the model is away"}})
		return
	}
	result(w, q.ID, map[string]any{"kind": "message", "role": "agent", "messageId": "m", "parts": []any{map[string]string{"kind": "text", "text": "pong"}}, "state": a.state(r)})
}

func card(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"name": "small", "version": "1.0.0", "protocolVersion": "0.3.0", "skills": []any{}})
}

func (a *agent) agui(w http.ResponseWriter, r *http.Request) {
	var q struct {
		ThreadID string `json:"threadId"`
		RunID    string `json:"runId"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.ThreadID == "" {
		http.Error(w, "threadId is missing", http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	events := []string{"RUN_STARTED", "RUN_FINISHED"}
	if os.Getenv("BEHAVIOUR") == "run error" {
		events = []string{"RUN_STARTED", "RUN_ERROR"}
	}
	for _, event := range events {
		raw, _ := json.Marshal(map[string]string{"type": event, "threadId": q.ThreadID, "runId": q.RunID})
		fmt.Fprintf(w, "data: %s\n\n", raw)
	}
}

func result(w http.ResponseWriter, id json.RawMessage, value any) {
	answer(w, map[string]any{"jsonrpc": "2.0", "id": id, "result": value})
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
