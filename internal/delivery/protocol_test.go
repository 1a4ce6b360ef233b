package delivery

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPingFitsTheProtocol: what is sent where slipway.yaml states nothing, and
// what slipway.yaml states goes out as it is.
func TestPingFitsTheProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for protocol, want := range map[string]string{
			"null":                      `{"prompt": "ping"}`,
			`{"serverProtocol":"HTTP"}`: `{"prompt": "ping"}`,
			`{"serverProtocol":"MCP"}`:  `"method":"initialize"`,
			`{"serverProtocol":"A2A"}`:  `"method":"message/send"`,
			`{"serverProtocol":"AGUI"}`: `"threadId":`,
			`{"serverProtocol":"NEW"}`:  `{"prompt": "ping"}`,
		} {
			w := newWorld(t)
			w.versions[0] = edited(w.versions[0], `{"protocolConfiguration":`+protocol+`}`)
			live, err := readFacts(w.versions[0])
			if err != nil {
				t.Fatal(err)
			}
			d, _ := w.deliverer("me")
			sent := &invoker{answer: Answer{Status: 200, Body: []byte(`{"jsonrpc":"2.0","id":"slipway","result":{}}`)}}
			d.Invoker = sent
			if err := d.verify(t.Context(), live, DefaultEndpoint); err != nil {
				t.Errorf("%s: %v", protocol, err)
			}
			if !json.Valid(sent.call.Payload) || !strings.Contains(string(sent.call.Payload), want) {
				t.Errorf("%s: sent %s", protocol, sent.call.Payload)
			}
			d.Target.Verify.Payload = []byte(`{"question":1}`)
			if err := d.verify(t.Context(), live, DefaultEndpoint); err != nil || string(sent.call.Payload) != `{"question":1}` {
				t.Errorf("%s: sent %s, %v", protocol, sent.call.Payload, err)
			}
		}
	})
}

// invoker answers every call alike, and keeps the last one.
type invoker struct {
	call   Invocation
	answer Answer
	calls  int
	open   error
}

func (i *invoker) Invoke(_ context.Context, call Invocation) (Answer, error) {
	i.call = call
	i.calls++
	return i.answer, nil
}

func (i *invoker) CheckBearer() error { return i.open }

// TestJudgesTheProtocolsErrors: a 2xx answer that holds an error of its
// protocol is a failure; AgentCore's word that the agent was not asked is
// neither.
func TestJudgesTheProtocolsErrors(t *testing.T) {
	sse := func(data ...string) string {
		return "event: message\ndata: " + strings.Join(data, "\n\ndata: ") + "\n\n"
	}
	const rpcError = `{"jsonrpc":"2.0","id":"slipway","error":{"code":-32601,"message":"Method not found"}}`
	for _, test := range []struct {
		name, protocol, body string
		own                  bool   // slipway.yaml states a payload
		fails                string // "" passes
	}{
		{"a result", "MCP", `{"jsonrpc":"2.0","id":"slipway","result":{"capabilities":{}}}`, false, ""},
		{"a result as an event", "MCP", sse(`{"jsonrpc":"2.0","id":"slipway","result":{}}`), false, ""},
		{"a notification before it", "MCP", sse(`{"jsonrpc":"2.0","method":"x"}`, `{"jsonrpc":"2.0","id":"slipway","result":{}}`), false, ""},
		{"an event in several lines", "MCP", "data: {\"id\":1,\r\ndata: \"result\":{}}\r\n\r\n", false, ""},
		{"an error", "MCP", rpcError, false, "JSON-RPC error -32601: Method not found"},
		{"an error as an event", "MCP", sse(rpcError), false, "-32601"},
		{"an error to one's own payload", "MCP", rpcError, true, "-32601"},
		{"the agent never got healthy", "MCP", `{"jsonrpc":"2.0","error":{"code":-32010,"message":"Runtime initialization time exceeded"}}`, true, "-32010: Runtime init"},
		{"no JSON-RPC", "MCP", `<html>`, false, "no JSON-RPC result: <html>"},
		{"nothing", "MCP", ``, false, "no JSON-RPC result: (it is empty)"},
		{"a result that is null", "MCP", `{"jsonrpc":"2.0","id":"slipway","result":null}`, false, "no JSON-RPC result"},
		{"no JSON-RPC to one's own payload", "MCP", `accepted`, true, ""},
		{"a message", "A2A", `{"jsonrpc":"2.0","id":"slipway","result":{"kind":"message"}}`, false, ""},
		{"an error", "A2A", rpcError, false, "-32601"},
		{"a run", "AGUI", sse(`{"type":"RUN_STARTED"}`, `{"type":"RUN_FINISHED"}`), false, ""},
		{"a run that fails", "AGUI", sse(`{"type":"RUN_STARTED"}`, `{"type":"RUN_ERROR","code":"AGENT_ERROR","message":"Agent execution failed"}`), false, "RUN_ERROR AGENT_ERROR: Agent execution failed"},
		{"an error of its own kind", "HTTP", rpcError, false, ""},
		{"an event of its own kind", "HTTP", sse(`{"type":"RUN_ERROR"}`), false, ""},
	} {
		d := &Deliverer{}
		if test.own {
			d.Target.Verify.Payload = []byte(`{}`)
		}
		err := d.judge(test.protocol, Answer{Status: 200, Body: []byte(test.body)})
		if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("%s, %s: %v", test.protocol, test.name, err)
		}
		var failed *verifyError
		if err != nil && !errors.As(err, &failed) {
			t.Errorf("%s, %s: it is no verdict: %v", test.protocol, test.name, err)
		}
	}
	for code, unsure := range map[string]bool{"-32003": true, "-32005": true, "-32010": false, "-32603": false} {
		a := Answer{Status: 200, Body: []byte(`{"error":{"code":` + code + `}}`)}
		if inconclusive("MCP", a) != unsure || inconclusive("A2A", a) {
			t.Errorf("code %s of MCP: inconclusive is %v", code, !unsure)
		}
	}
	d := &Deliverer{Target: Target{Verify: VerifySpec{Contains: "pong"}}}
	if err := d.judge("A2A", Answer{Status: 200, Body: []byte(`{"result":"ping"}`)}); err == nil || !strings.Contains(err.Error(), `"pong"`) {
		t.Errorf("expect is forgotten: %v", err)
	}
}

// tokenUntil is a token that ends then, by its own word.
func tokenUntil(exp string) string { return tokenOf(`{"exp":` + exp + `}`) }

func tokenOf(claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(claims)) + ".c2ln"
}

// TestForeignToken: a token for somebody else ends the delivery before any
// write. What it does not say, AgentCore judges.
func TestForeignToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const both = `{"customJWTAuthorizer":{"allowedAudience":["agents","more"],"allowedClients":["ci"]}}`
		for _, test := range []struct{ authorizer, token, says string }{ // "" delivers
			{both, tokenOf(`{"aud":"agents","client_id":"ci"}`), ""},
			{both, tokenOf(`{"aud":["x","more"],"client_id":"ci"}`), ""},
			{both, tokenOf(`{"aud":"agents","client_id":"laptop"}`), "has client_id laptop, which is not in the runtime's allowedClients"},
			{both, tokenOf(`{"aud":["x","y"],"client_id":"ci"}`), "has aud x, y, which is not in the runtime's allowedAudience"},
			{both, tokenOf(`{"aud":"Agents"}`), "has aud Agents"},
			{both, tokenOf(`{}`), ""},
			{both, tokenOf(`{"aud":7,"client_id":null}`), ""},
			{both, "opaque", ""},
			{`{"customJWTAuthorizer":{}}`, tokenOf(`{"aud":"x","client_id":"y"}`), ""},
		} {
			w := newWorld(t)
			w.versions[0] = edited(w.versions[0], `{"authorizerConfiguration":`+test.authorizer+`}`)
			d, _ := w.deliverer("me")
			d.Target.BearerToken = test.token
			_, err := d.Deploy(t.Context(), commit("b"))
			if test.says == "" && err != nil || test.says != "" && (ExitCode(err) != 2 || KindOf(err) != KindRefused || w.writes != 0 ||
				!strings.Contains(fmt.Sprint(err), test.says)) {
				t.Errorf("%s for %s: %v after %d writes, want %q", test.token, test.authorizer, err, w.writes, test.says)
			}
		}
	})
}

func TestTokenEnd(t *testing.T) {
	for token, want := range map[string]int64{
		tokenUntil("1800000000"): 1800000000, tokenUntil("1.8e9"): 1800000000, tokenUntil(`"x"`): 0, tokenUntil("null"): 0,
		"opaque": 0, "": 0, "a.b": 0, "a.b.c": 0, "..": 0,
	} {
		if end, ok := tokenEnd(token); ok != (want != 0) || ok && end.Unix() != want {
			t.Errorf("%s: %v %v", token, end, ok)
		}
	}
}

// TestTokenIsCheckedBeforeAnyWrite: one that is over, or would go out in
// clear, ends the delivery while nothing has happened.
func TestTokenIsCheckedBeforeAnyWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }
		open := &Error{Kind: KindRefused, Err: errors.New("not sent in clear")}
		for name, test := range map[string]struct {
			token string
			open  error
			says  string // "" delivers
		}{
			"good":                  {tokenUntil(at(time.Hour)), nil, ""},
			"opaque":                {"opaque-token", nil, ""},
			"over":                  {tokenUntil(at(-time.Hour)), nil, "SLIPWAY_VERIFY_TOKEN expired at "},
			"over in half a minute": {tokenUntil(at(30 * time.Second)), nil, "expires at "},
			"in clear":              {tokenUntil(at(time.Hour)), open, "not sent in clear"},
		} {
			w := newWorld(t)
			w.versions[0] = edited(w.versions[0], `{"authorizerConfiguration":{"customJWTAuthorizer":{}}}`)
			d, _ := w.deliverer("me")
			d.Target.BearerToken = test.token
			d.Invoker = &guarded{world: w, open: test.open}
			_, err := d.Deploy(t.Context(), commit("b"))
			if test.says == "" {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if KindOf(err) != KindRefused || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), test.token) || w.writes != 0 {
				t.Errorf("%s: %v after %d writes", name, err, w.writes)
			}
		}
	})
}

// guarded is a world whose invoker may have no way to send a token.
type guarded struct {
	*world
	open error
}

func (g *guarded) CheckBearer() error { return g.open }

// TestExpiredOnTheWay: a token that ended while the delivery ran is told apart
// from one that was never good, and both from an agent that fails.
func TestExpiredOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			lasts  time.Duration
			hint   string
			answer Answer
		}{
			"ended":   {2 * time.Minute, "while the delivery ran", Answer{Status: 401, ErrorCode: "UnauthorizedException", Message: "Token has expired"}},
			"refused": {time.Hour, "audience, client and scopes", Answer{Status: 401, ErrorCode: "UnauthorizedException", Message: "Claim 'aud' value mismatch with configuration."}},
			"agent":   {time.Hour, "", Answer{Status: 403, ErrorCode: "RuntimeClientError", Message: "it crashed"}},
		} {
			w := newWorld(t)
			w.versions[0] = edited(w.versions[0], `{"authorizerConfiguration":{"customJWTAuthorizer":{}}}`)
			w.verdicts[w.digestOf("b")] = test.answer
			w.after["Update"] = func(_ context.Context, n int) error {
				if n == 1 {
					time.Sleep(3 * time.Minute)
				}
				return nil
			}
			d, _ := w.deliverer("me")
			d.Target.BearerToken = tokenUntil(fmt.Sprint(time.Now().Add(test.lasts).Unix()))
			_, err := d.Deploy(t.Context(), commit("b"))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%s: %v", name, err)
			}
			hints := strings.Join(e.Hints, " ")
			if judged := strings.Contains(err.Error(), "does not serve"); judged != (test.hint == "") || !strings.Contains(hints, test.hint) || !strings.Contains(err.Error(), test.answer.Message) {
				t.Errorf("%s: %v; hints %s", name, err, hints)
			}
			if strings.Contains(err.Error()+hints, d.Target.BearerToken) {
				t.Errorf("%s: the token is told", name)
			}
		}
	})
}

// TestCallFitsTheProtocol: slipway invoke words a text as the agent takes it,
// and never calls an agent with a JWT authorizer without a token.
func TestCallFitsTheProtocol(t *testing.T) {
	for _, test := range []struct {
		protocol, text, want string
	}{
		{"HTTP", `say "hi"`, `{"prompt": "say \"hi\""}`}, {"A2A", `say "hi"`, `"text":"say \"hi\""`}, {"AGUI", "hi", `"content":"hi"`},
		{"HTTP", "", `{"prompt": "ping"}`}, {"MCP", "", `"initialize"`}, {"MCP", "hi", ""},
	} {
		w := newWorld(t)
		w.versions[0] = edited(w.versions[0], `{"protocolConfiguration":{"serverProtocol":"`+test.protocol+`"}}`)
		d, _ := w.deliverer("me")
		sent := &invoker{}
		d.Invoker = sent
		_, err := d.Call(t.Context(), Invocation{Text: test.text})
		if (err == nil) != (test.want != "") || !strings.Contains(string(sent.call.Payload), test.want) || err == nil && !json.Valid(sent.call.Payload) {
			t.Errorf("%s %q: sent %s, %v", test.protocol, test.text, sent.call.Payload, err)
		}
		if err != nil && KindOf(err) != KindUsage {
			t.Errorf("%s %q: %v", test.protocol, test.text, err)
		}
	}
	w := newWorld(t)
	w.versions[0] = edited(w.versions[0], `{"authorizerConfiguration":{"customJWTAuthorizer":{}}}`)
	d, _ := w.deliverer("me")
	sent := &invoker{}
	d.Invoker = sent
	if _, err := d.Call(t.Context(), Invocation{}); KindOf(err) != KindRefused || sent.calls != 0 {
		t.Errorf("without a token: %v after %d calls", err, sent.calls)
	}
}
