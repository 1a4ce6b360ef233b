package assume

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// logs lists the assumptions about CloudWatch Logs, as far as agents' output
// needs it.
func logs() []Assumption {
	return []Assumption{
		{"A701", "", a701NoSuchGroup}, {"A702", "", a702LimitsOfFilter}, {"A703", Agent, a703GroupOfAnEndpoint},
		{"A704", Agent, a704EventsAndPages}, {"A705", Agent, a705Patterns}, {"A706", "", a706PatternsHaveALimit},
		{"A707", "", a707PrefixAndNamesExclude},
	}
}

func (a *Account) filter(t T, members document) answer {
	t.Helper()
	return a.json11(t, "logs", "FilterLogEvents", members)
}

// groupOf is the group of what the endpoint DEFAULT runs.
func groupOf(r runtime) string {
	return "/aws/bedrock-agentcore/runtimes/" + r.id + "-DEFAULT"
}

// A701: A group that is not there is 400 ResourceNotFoundException, "The
// specified log group does not exist."
// Source: CloudWatch Logs API reference, FilterLogEvents (errors).
// Confidence: H.
func a701NoSuchGroup(t T, a *Account) {
	x := a.filter(t, document{"logGroupName": "/aws/bedrock-agentcore/runtimes/" + a.name() + "-0123456789-DEFAULT"})
	x.refused(t, http.StatusBadRequest, "ResourceNotFoundException", "The specified log group does not exist.")
}

// A702: limit is 1 to 10000.
// Source: CloudWatch Logs API reference, FilterLogEvents.
// Confidence: H.
func a702LimitsOfFilter(t T, a *Account) {
	for _, limit := range []int{0, 10001} {
		a.filter(t, document{"logGroupName": "x", "limit": limit}).refused(t, http.StatusBadRequest, "InvalidParameterException", "limit")
	}
}

// chatty is an agent that has failed n times, each with a line in its log.
func (a *Account) chatty(t T, n int) runtime {
	t.Helper()
	r := a.agent(t, document{"REVISION": "one"})
	session := a.session()
	later(t, func(t T) { a.stop(t, r, session) })
	for range n {
		a.invoke(t, r, "DEFAULT", session, `{"do":"fail"}`).want(t, http.StatusFailedDependency)
	}
	a.eventually(t, "the log has the agent's lines", func() bool {
		x := a.filter(t, document{"logGroupName": groupOf(r), "filterPattern": `"the handler fails"`})
		return x.status == http.StatusOK && x.count("events") == n
	})
	return r
}

// A703: What an agent prints is in a group per endpoint,
// /aws/bedrock-agentcore/runtimes/ID-ENDPOINT, in streams with [runtime-logs] in
// their names.
// Source: AgentCore guide, "View observability data"; facts from use.
// Confidence: H.
func a703GroupOfAnEndpoint(t T, a *Account) {
	r := a.chatty(t, 1)
	x := a.filter(t, document{"logGroupName": groupOf(r), "filterPattern": `"the handler fails"`}).want(t, http.StatusOK)
	if stream := x.text("events.0.logStreamName"); !strings.Contains(stream, "[runtime-logs]") {
		t.Errorf("the stream is %q", stream)
	}
}

// A704: An event has a stream, a time in milliseconds, a message and an id; a
// page of limit has a nextToken where more follows, and pages meet every event
// once. An empty page may have a nextToken too.
// Source: CloudWatch Logs API reference, FilterLogEvents.
// Confidence: H.
func a704EventsAndPages(t T, a *Account) {
	r := a.chatty(t, 3)
	ids, token := map[string]bool{}, any(nil)
	for range 40 { // some pages may be empty
		x := a.filter(t, with(document{"logGroupName": groupOf(r), "filterPattern": `"the handler fails"`, "limit": 1}, document{"nextToken": token})).want(t, http.StatusOK)
		if n := x.count("events"); n > 1 {
			t.Errorf("a page of at most 1 has %d events", n)
		}
		if x.count("events") == 1 {
			ids[x.text("events.0.eventId")] = true
			millis, err := strconv.ParseFloat(x.text("events.0.timestamp"), 64)
			if at := time.UnixMilli(int64(millis)); err != nil || a.now().Sub(at).Abs() > time.Hour {
				t.Errorf("the time of an event is %v (%v)", at, err)
			}
		}
		if token = x.at("nextToken"); token == nil {
			break
		}
	}
	if len(ids) != 3 || token != nil {
		t.Errorf("the pages have %d events, want 3", len(ids))
	}
}

// A705: A pattern's terms all have to be there, ?terms one of them, -terms none;
// they know upper from lower case.
// Source: CloudWatch Logs guide, "Filter pattern syntax".
// Confidence: H.
func a705Patterns(t T, a *Account) {
	r := a.chatty(t, 1)
	for pattern, want := range map[string]string{"handler fails": "1", "handler succeeds": "0", "Handler": "0", "?nobody ?fails": "1", "handler -fails": "0"} {
		x := a.filter(t, document{"logGroupName": groupOf(r), "filterPattern": pattern}).want(t, http.StatusOK)
		same(t, "how often "+pattern+" is found", strconv.Itoa(x.count("events")), want)
	}
}

// A706: A pattern has at most 1024 characters, and its quotes are closed.
// Source: CloudWatch Logs API reference, FilterLogEvents (filterPattern).
// Confidence: H.
func a706PatternsHaveALimit(t T, a *Account) {
	for _, pattern := range []string{strings.Repeat("x", 1025), `"open`} {
		a.filter(t, document{"logGroupName": "x", "filterPattern": pattern}).refused(t, http.StatusBadRequest, "InvalidParameterException", "")
	}
}

// A707: Names of streams and a prefix of them are not used together.
// Source: CloudWatch Logs API reference, FilterLogEvents (logStreamNamePrefix).
// Confidence: H.
func a707PrefixAndNamesExclude(t T, a *Account) {
	x := a.filter(t, document{"logGroupName": "x", "logStreamNames": []string{"a"}, "logStreamNamePrefix": "a"})
	x.refused(t, http.StatusBadRequest, "InvalidParameterException", "")
}
