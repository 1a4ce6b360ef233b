package sim

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// coreState is AgentCore's part of the cloud. Records are in the store; a
// runtime's status follows from their times, so that it survives a restart.
type coreState struct {
	mu       sync.Mutex // one change of the control plane at a time
	closed   bool       // the cloud is: no session begins any more
	sessions sessions
	quotas   quotas
}

// routes of the control plane (paths end in a slash) and of the data plane, by
// method and by the path after /runtimes, {} for a label.
func (c *Cloud) runtimeRoutes() map[string]operation {
	return map[string]operation{
		"PUT ":                           {name: "CreateAgentRuntime", run: c.createAgentRuntime},
		"POST ":                          {name: "ListAgentRuntimes", run: c.listAgentRuntimes},
		"PUT {}":                         {name: "UpdateAgentRuntime", run: c.updateAgentRuntime},
		"GET {}":                         {name: "GetAgentRuntime", run: c.getAgentRuntime},
		"DELETE {}":                      {name: "DeleteAgentRuntime", run: c.deleteAgentRuntime},
		"POST {}/versions":               {name: "ListAgentRuntimeVersions", run: c.listAgentRuntimeVersions},
		"PUT {}/runtime-endpoints":       {name: "CreateAgentRuntimeEndpoint", run: c.createAgentRuntimeEndpoint},
		"POST {}/runtime-endpoints":      {name: "ListAgentRuntimeEndpoints", run: c.listAgentRuntimeEndpoints},
		"PUT {}/runtime-endpoints/{}":    {name: "UpdateAgentRuntimeEndpoint", run: c.updateAgentRuntimeEndpoint},
		"GET {}/runtime-endpoints/{}":    {name: "GetAgentRuntimeEndpoint", run: c.getAgentRuntimeEndpoint},
		"DELETE {}/runtime-endpoints/{}": {name: "DeleteAgentRuntimeEndpoint", run: c.deleteAgentRuntimeEndpoint},
		"POST {}/invocations":            {name: "InvokeAgentRuntime", run: c.invokeAgentRuntime},
		"POST {}/stopruntimesession":     {name: "StopRuntimeSession", run: c.stopRuntimeSession},
		"POST {}/commands":               {name: "InvokeAgentRuntimeCommand"},
		"GET {}/invocations/.well-known/agent-card.json":          {name: "GetAgentCard", run: c.getAgentCard},
		"GET {}/invocations/.well-known/oauth-protected-resource": {name: "GetRuntimeProtectedResourceMetadata", run: c.getProtectedResource},
	}
}

// identifyRuntime finds the AgentCore operation of a path under /runtimes.
// Labels are decoded after the path is split: an ARN holds a slash.
func (c *Cloud) identifyRuntime(k *call) error {
	k.op = operation{service: "bedrock-agentcore", protocol: restJSON}
	rest := strings.Trim(strings.TrimPrefix(k.URL.EscapedPath(), "/runtimes"), "/")
	segments := strings.Split(rest, "/")
	for i, s := range segments {
		if s == "" || (i != 0 && (i != 2 || segments[1] != "runtime-endpoints")) {
			continue
		}
		label, err := url.PathUnescape(s)
		if err != nil {
			return invalid("CannotParse", "the path can't be read: %v", err)
		}
		k.params = append(k.params, label)
		segments[i] = "{}"
	}
	op, ok := c.runtimeRoutes()[k.Method+" "+strings.Join(segments, "/")]
	if !ok {
		return faultf(http.StatusNotFound, "UnknownOperationException", "AgentCore has no operation %s %s", k.Method, k.URL.Path)
	}
	k.op.name, k.op.run = op.name, op.run
	if op.run == nil {
		return faultf(http.StatusNotImplemented, "UnknownOperationException", "the local cloud does not implement bedrock-agentcore:%s", op.name)
	}
	k.op.unsigned = takesBearer(op.name) && (k.Header.Get("Authorization") == "" || carriesBearer(k.Request))
	return nil
}

// body reads a JSON object of a request.
func (k *call) object() (document, error) {
	d := document{}
	if len(k.body) == 0 {
		return d, nil
	}
	if err := json.Unmarshal(k.body, &d); err != nil {
		return nil, invalid("CannotParse", "the request's body can't be read: %v", err)
	}
	return d, nil
}

// stringOf reads a string member that has been checked; "" if it is absent.
func stringOf(d document, name string) string {
	var s string
	_ = json.Unmarshal(d[name], &s) // absent or checked
	return s
}

// rawOf encodes a value that can always be encoded.
func rawOf(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}

// coreTime is a time as AgentCore writes it: ISO 8601.
func coreTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func runtimeARN(account, region, id string) string {
	return fmt.Sprintf("arn:aws:bedrock-agentcore:%s:%s:runtime/%s", region, account, id)
}

// newRuntimeID returns the ten characters that AgentCore puts after a name.
func newRuntimeID(name string) string { return name + "-" + randomLetters(10) }

func randomLetters(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)] // uniform enough for a name
	}
	return string(b)
}

// maxNextToken is the longest nextToken that AgentCore's model takes.
const maxNextToken = 2048

// page cuts items, which are sorted by key, according to maxResults and
// nextToken. A token names its list and the first item that is left, so that
// items which come or go in between move nothing, and no other list takes it.
func page[T any](k *call, items []T, key func(T) string) (cut []T, next string, err error) {
	q := k.URL.Query()
	size := 100
	if given := q.Get("maxResults"); q.Has("maxResults") {
		if size, err = strconv.Atoi(given); err != nil || size < 1 || size > 100 {
			return nil, "", invalidField("maxResults", "Value '%s' at 'maxResults' failed to satisfy constraint: Member must be between 1 and 100", given)
		}
	}
	list := strings.Join(append([]string{k.op.name, k.account, k.region}, k.params...), "/") + " "
	start := 0
	if token := q.Get("nextToken"); q.Has("nextToken") {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		from, ok := strings.CutPrefix(string(raw), list)
		if err != nil || !ok || len(token) > maxNextToken {
			return nil, "", invalidField("nextToken", "Invalid nextToken")
		}
		for start < len(items) && key(items[start]) < from {
			start++
		}
	}
	end := min(start+size, len(items))
	if end < len(items) {
		next = base64.RawURLEncoding.EncodeToString([]byte(list + key(items[end])))
	}
	return items[start:end], next, nil
}

// listing is a list's answer: nextToken only where there is more.
func listing(name string, items any, next string) map[string]any {
	out := map[string]any{name: items}
	if next != "" {
		out["nextToken"] = next
	}
	return out
}
