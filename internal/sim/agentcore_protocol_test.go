package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// small makes a runtime of the small agent that serves, changed as asked.
func (f *fleet) small(protocol string, env map[string]string, change func(*bedrockagentcorecontrol.CreateAgentRuntimeInput)) (arn string) {
	f.t.Helper()
	in := f.createInput("agent" + fmt.Sprint(len(f.cloud.store.keys("agentcore/"))))
	if env == nil {
		env = map[string]string{}
	}
	env["PROTOCOL"] = protocol
	in.CapacityProviderConfiguration, in.EnvironmentVariables = instances(), env
	in.ProtocolConfiguration = &types.ProtocolConfiguration{ServerProtocol: types.ServerProtocol(protocol)}
	if change != nil {
		change(in)
	}
	out := must[*bedrockagentcorecontrol.CreateAgentRuntimeOutput](f.t)(f.client.CreateAgentRuntime(f.t.Context(), in))
	f.settle()
	return *out.AgentRuntimeArn
}

// newSmallFleet is a fleet whose image "one" is the small agent.
func newSmallFleet(t *testing.T) *fleet {
	t.Helper()
	f := newFleet(t)
	f.push("one", protocolImage(t))
	return f
}

// post invokes as the SDK does, and reads the whole answer.
func (f *fleet) post(in *bedrockagentcore.InvokeAgentRuntimeInput, payload string) (*bedrockagentcore.InvokeAgentRuntimeOutput, string) {
	f.t.Helper()
	in.Payload, in.ContentType = []byte(payload), aws.String("application/json")
	if in.Accept == nil {
		in.Accept = aws.String("application/json, text/event-stream")
	}
	out := must[*bedrockagentcore.InvokeAgentRuntimeOutput](f.t)(f.data.InvokeAgentRuntime(f.t.Context(), in))
	defer out.Response.Close()
	return out, string(must[[]byte](f.t)(io.ReadAll(out.Response)))
}

// TestStreamArrivesAsItIsSent: the first event is read before the agent may
// send the last one.
func TestStreamArrivesAsItIsSent(t *testing.T) {
	f := newSmallFleet(t)
	arn := f.small("HTTP", nil, nil)
	call := func(do string) *bedrockagentcore.InvokeAgentRuntimeOutput {
		return must[*bedrockagentcore.InvokeAgentRuntimeOutput](t)(f.data.InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
			AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(sessionID("a")), Payload: []byte(`{"do":"` + do + `"}`)}))
	}
	call("hold").Response.Close()
	out := call("stream")
	defer out.Response.Close()
	lines := bufio.NewReader(out.Response)
	if line := must[string](t)(lines.ReadString('\n')); line != "data: one\n" || *out.ContentType != "text/event-stream" {
		t.Fatalf("%s: %q", *out.ContentType, line)
	}
	call("go on").Response.Close()
	if rest := must[[]byte](t)(io.ReadAll(lines)); string(rest) != "\ndata: two\n\n" {
		t.Errorf("the rest: %q", rest)
	}

	// An agent that dies in the middle leaves an answer that does not end.
	out = call("die")
	defer out.Response.Close()
	if raw, err := io.ReadAll(out.Response); err == nil || string(raw) != "data: one\n\n" {
		t.Errorf("the half answer ended well: %q %v", raw, err)
	}
}

func TestMCP(t *testing.T) {
	f := newSmallFleet(t)
	const initialize = `{"jsonrpc":"2.0","id":"i-1","method":"initialize","params":{}}`
	const list = `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`
	seen := func(answer string) map[string]any {
		_, data, _ := strings.Cut(answer, "data: ")
		var message struct{ Result map[string]any }
		if err := json.Unmarshal([]byte(data), &message); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		return message.Result
	}

	// A server without sessions of its own: the platform names one, tells it
	// to both sides, and finds the agent again by it.
	arn := f.small("MCP", nil, nil)
	out, answer := f.post(&bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn}, initialize)
	if !strings.Contains(answer, `"id":"i-1"`) || !strings.Contains(answer, `"serverInfo"`) || *out.ContentType != "application/json" ||
		aws.ToString(out.McpSessionId) == "" || *out.McpSessionId != *out.RuntimeSessionId {
		t.Errorf("initialize: %s, session %v of %v", answer, aws.ToString(out.McpSessionId), *out.RuntimeSessionId)
	}
	out, answer = f.post(&bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, McpSessionId: out.McpSessionId}, list)
	first := seen(answer)
	if *out.ContentType != "text/event-stream" || first["headers"].(map[string]any)["Mcp-Session-Id"].([]any)[0] != *out.McpSessionId {
		t.Errorf("tools/list: %s %s", *out.ContentType, answer)
	}
	_, answer = f.post(&bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, McpSessionId: out.McpSessionId}, list)
	if again := seen(answer); again["calls"] != first["calls"].(float64)+1 {
		t.Errorf("the second call of the session met %v after %v", again["calls"], first["calls"])
	}
	_, answer = f.post(&bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn}, list)
	if other := seen(answer); other["calls"] != float64(1) {
		t.Errorf("a call without a session met an agent that had %v", other["calls"])
	}

	// A server that keeps sessions names its own; it leads back to the agent.
	arn = f.small("MCP", map[string]string{"STATEFUL": "own-session"}, nil)
	out, _ = f.post(&bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn}, initialize)
	if aws.ToString(out.McpSessionId) != "own-session" {
		t.Fatalf("the agent's own session became %v", out.McpSessionId)
	}
	for want := 1.0; want < 3; want++ {
		_, answer = f.post(&bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, McpSessionId: aws.String("own-session")}, list)
		if got := seen(answer)["calls"]; got != want {
			t.Errorf("call %v of the agent's own session: %v", want, got)
		}
	}

	_, err := f.data.InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, Payload: []byte(initialize), Accept: aws.String("application/json")})
	if err == nil || !strings.Contains(err.Error(), "406") {
		t.Errorf("without text/event-stream in Accept: %v", err)
	}
}

func TestA2A(t *testing.T) {
	f := newSmallFleet(t)
	arn := f.small("A2A", nil, nil)
	const send = `{"jsonrpc":"2.0","id":"1","method":"message/send","params":{"message":{"role":"user","messageId":"m","parts":[{"kind":"text","text":"ping"}]}}}`
	out, answer := f.post(&bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(sessionID("a"))}, send)
	if !strings.Contains(answer, `"text":"pong"`) || !strings.Contains(answer, *out.RuntimeSessionId) {
		t.Errorf("message/send: %s", answer)
	}
	card, err := f.data.GetAgentCard(t.Context(), &bedrockagentcore.GetAgentCardInput{AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(sessionID("a"))})
	if err != nil {
		t.Fatal(err)
	}
	var told map[string]any
	if err := card.AgentCard.UnmarshalSmithyDocument(&told); err != nil || told["name"] != "small" || *card.RuntimeSessionId != sessionID("a") || *card.StatusCode != 200 {
		t.Errorf("the card: %v %v %+v", err, told, card)
	}
	other := f.small("HTTP", nil, nil)
	_, err = f.data.GetAgentCard(t.Context(), &bedrockagentcore.GetAgentCardInput{AgentRuntimeArn: &other})
	wantFault(t, err, "ValidationException", 400, "agent card")
	_, err = f.data.GetAgentCard(t.Context(), &bedrockagentcore.GetAgentCardInput{AgentRuntimeArn: aws.String(elsewhere(arn))})
	wantFault(t, err, "ResourceNotFoundException", 404, "")
}

func TestAGUI(t *testing.T) {
	f := newSmallFleet(t)
	arn := f.small("AGUI", nil, nil)
	out, answer := f.post(&bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn}, `{"threadId":"t","runId":"r","messages":[]}`)
	if *out.ContentType != "text/event-stream" || !strings.Contains(answer, `"type":"RUN_FINISHED"`) {
		t.Errorf("%s: %s", *out.ContentType, answer)
	}
}

// TestProtocolPlaces: port and path of the configuration go before the
// protocol's own.
func TestProtocolPlaces(t *testing.T) {
	f := newSmallFleet(t)
	arn := f.small("HTTP", map[string]string{"PORT": "8123", "SERVE": "/run"}, func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
		in.ProtocolConfiguration.Port, in.ProtocolConfiguration.Path = aws.Int32(8123), aws.String("/run")
	})
	if _, answer := f.post(&bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn}, `{}`); !strings.Contains(answer, `"calls":1`) {
		t.Errorf("the agent answered %s", answer)
	}
	in := f.createInput("other")
	in.ProtocolConfiguration = &types.ProtocolConfiguration{ServerProtocol: "HTTP", Port: aws.Int32(8443)}
	_, err := f.client.CreateAgentRuntime(t.Context(), in)
	wantFault(t, err, "ValidationException", 400, "protocolConfiguration.port")
}

// TestFailuresInTheProtocolsWords: what goes wrong with an agent is told as its
// protocol tells errors; with MCP and AG-UI the status is 200.
func TestFailuresInTheProtocolsWords(t *testing.T) {
	f := newSmallFleet(t)
	const rpc = `{"jsonrpc":"2.0","id":7,"method":"initialize"}`
	initial := "Runtime initialization time exceeded. Please make sure that initialization completes in 30s."
	for _, test := range []struct {
		name, protocol string
		env            map[string]string
		payload        string
		status         int
		body           string
	}{
		{"HTTP: crash at start", "HTTP", map[string]string{"BEHAVIOUR": "crash"}, `{}`, 424, `{"message":"` + initial + `"}`},
		{"HTTP: never healthy", "HTTP", map[string]string{"BEHAVIOUR": "unhealthy"}, `{}`, 424, `{"message":"` + initial + `"}`},
		{"HTTP: wrong port", "HTTP", map[string]string{"PORT": "8081"}, `{}`, 424, `{"message":"` + initial + `"}`},
		{"HTTP: 500", "HTTP", nil, `{"do":"fail"}`, 424, `Received error (500) from runtime`},
		{"HTTP: 200 with an error body", "HTTP", nil, `{"do":"error body"}`, 200, `{"error":"the model is away"}`},
		{"MCP: wrong port", "MCP", map[string]string{"PORT": "8001"}, rpc, 200, `{"error":{"code":-32010,"message":"` + initial + `"},"id":7,"jsonrpc":"2.0"}`},
		{"MCP: its own error", "MCP", nil, `{"jsonrpc":"2.0","id":7,"method":"x"}`, 200, `"code":-32601`},
		{"A2A: crash at start", "A2A", map[string]string{"BEHAVIOUR": "crash"}, rpc, 424, `"code":-32055`},
		{"A2A: its own error", "A2A", map[string]string{"BEHAVIOUR": "rpc error"}, `{"id":1,"method":"message/send"}`, 200, `"the model is away"`},
		{"AG-UI: 422", "AGUI", nil, `{}`, 200, `data: {"code":"AGENT_ERROR","message":"Received error (422) from runtime`},
	} {
		arn := f.small(test.protocol, test.env, nil)
		f.cloud.agentcore.sessions.limit = 0
		if test.env["PORT"] != "" || test.env["BEHAVIOUR"] == "unhealthy" { // nobody will ever answer
			f.cloud.agentcore.sessions.limit = time.Second
		}
		r := f.signedPost(arn, test.payload)
		status, body := send(t, r)
		if status != test.status || !strings.Contains(string(body), test.body) {
			t.Errorf("%s: %d %s", test.name, status, body)
		}
	}
}

// signedPost is an invocation as a client without an SDK sends it.
func (f *fleet) signedPost(arn, payload string) *http.Request {
	f.t.Helper()
	key, secret, err := f.cloud.Administrator(DefaultAccount)
	if err != nil {
		f.t.Fatal(err)
	}
	r := must[*http.Request](f.t)(http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.srv.URL+"/runtimes/"+escaped(arn)+"/invocations", strings.NewReader(payload)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	err = v4.NewSigner().SignHTTP(f.t.Context(), aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, r,
		hexHash([]byte(payload)), "bedrock-agentcore", DefaultRegion, time.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func escaped(arn string) string { return strings.NewReplacer(":", "%3A", "/", "%2F").Replace(arn) }

// TestPayloadTooLarge: more than 100 MB is refused, in the service's own form.
func TestPayloadTooLarge(t *testing.T) {
	c, _, _ := openCloud(t, nil)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/runtimes/x/invocations", io.LimitReader(zeros{}, maxPayload+1))
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	if w.Code != 413 || !strings.HasPrefix(w.Body.String(), `{"message":`) || w.Header().Get("X-Amzn-ErrorType") != "RequestEntityTooLargeException" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte{'0'}, min(len(p), 4096))), nil
}

// TestSessionsEnd: by their idle time, unless the agent says that it is busy,
// and by their life, whatever it says.
func TestSessionsEnd(t *testing.T) {
	f := newSmallFleet(t)
	arn := f.small("HTTP", nil, func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
		in.LifecycleConfiguration = &types.LifecycleConfiguration{IdleRuntimeSessionTimeout: aws.Int32(60), MaxLifetime: aws.Int32(100)}
	})
	call := func(do string) (pid any) {
		_, answer := f.post(&bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(sessionID("a"))}, `{"do":"`+do+`"}`)
		var state map[string]any
		if err := json.Unmarshal([]byte(answer), &state); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(state["pid"], " ", state["calls"])
	}
	steps := []struct {
		later time.Duration
		do    string
		calls int // of the process that answers
	}{
		{0, "", 1},
		{59 * time.Second, "", 2},
		{60 * time.Second, "busy", 1}, // idle: another process
		{61 * time.Second, "idle", 2}, // busy all the while
		{39 * time.Second, "busy", 1}, // its life was over
	}
	for i, step := range steps {
		f.clock.add(step.later)
		if got := fmt.Sprint(call(step.do)); !strings.HasSuffix(got, fmt.Sprint(" ", step.calls)) {
			t.Errorf("step %d: pid and calls %s, want %d calls", i, got, step.calls)
		}
	}
}

// TestSessionQuota: sessions beyond the account's number are refused, and an
// ended one makes room.
func TestSessionQuota(t *testing.T) {
	f := newSmallFleet(t)
	f.cloud.agentcore.quotas.sessions = 1
	arn := f.small("HTTP", nil, nil)
	f.must(arn, "a", `{}`)
	f.must(arn, "a", `{}`)
	_, err := f.invoke(arn, "b", `{}`)
	wantFault(t, err, "ServiceQuotaExceededException", 402, "1 active sessions")
	must[*bedrockagentcore.StopRuntimeSessionOutput](t)(f.data.StopRuntimeSession(t.Context(),
		&bedrockagentcore.StopRuntimeSessionInput{AgentRuntimeArn: &arn, RuntimeSessionId: aws.String(sessionID("a"))}))
	f.must(arn, "b", `{}`)
}
