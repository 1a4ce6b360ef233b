package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// verifyError is the agent's failure to prove that it serves.
type verifyError struct {
	reason string
	again  bool // it is not the new version, but one that was brought back
}

func (e *verifyError) Error() string {
	if e.again {
		return "it does not serve: " + e.reason
	}
	return "the new version does not serve: " + e.reason
}

const (
	measureTries = 4                // answers that say nothing about the agent
	logPatience  = 10 * time.Second // log lines arrive late
	logLook      = 3 * time.Second  // nothing waits longer for one look
	logLimit     = 200
)

// verify invokes version through an endpoint in a fresh session: a running
// session keeps the code it started with (system: E30). A *verifyError means
// that the agent failed; any other error that nothing could be measured.
func (d *Deliverer) verify(ctx context.Context, version runtimeFacts, endpoint string) error {
	limit := d.Target.verifyLimit()
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := d.measure(timed, version, endpoint)
	if errors.Is(err, context.DeadlineExceeded) && timed.Err() != nil && ctx.Err() == nil {
		return &verifyError{reason: fmt.Sprintf("it gave no answer within %s (%v)", limit, err)}
	}
	if err != nil {
		return err
	}
	if err := d.judge(version.protocol(), answer); err != nil {
		return err
	}
	// The answer counts only if the endpoint served our version all along.
	return d.stillAt(timed, version, endpoint)
}

// stillAt fails where an endpoint serves another version by now.
func (d *Deliverer) stillAt(ctx context.Context, version runtimeFacts, endpoint string) error {
	e, err := d.Runtimes.Endpoint(ctx, version.ID, endpoint)
	if err != nil {
		return err
	}
	if e.LiveVersion != version.Version {
		return fmt.Errorf("%w: %s serves version %s, expected %s", errForeignVersion, endpoint, e.LiveVersion, version.Version)
	}
	return nil
}

// bearer is the token for calls of a version: none where it has no JWT
// authorizer and takes signed calls alone.
func (d *Deliverer) bearer(version runtimeFacts) string {
	if present(version.Authorizer) {
		return d.Target.BearerToken
	}
	return ""
}

// measure invokes until an answer says something about the agent.
func (d *Deliverer) measure(ctx context.Context, version runtimeFacts, endpoint string) (Answer, error) {
	payload := d.Target.Verify.Payload
	if len(payload) == 0 {
		payload = ping(version.protocol())
	}
	for try := 1; ; try++ {
		call := Invocation{RuntimeARN: version.ARN, Endpoint: endpoint, Session: "slipway-verify-" + randomHex(16),
			Payload: payload, Bearer: d.bearer(version)}
		answer, err := d.Invoker.Invoke(ctx, call)
		if err == nil && !inconclusive(version.protocol(), answer) && !refusedBearer(call, answer) {
			return answer, nil
		}
		if err == nil {
			err = &RemoteError{Kind: turnedAway(answer), Service: "AgentCore", Operation: "InvokeAgentRuntime", Resource: version.ARN,
				Code: answer.ErrorCode, Message: answer.Message, Status: answer.Status, RequestID: answer.RequestID}
		}
		if refusedBearer(call, answer) {
			return Answer{}, d.tokenRefused(err)
		}
		if ctx.Err() != nil || try == measureTries || errors.Is(err, ErrDenied) || errors.Is(err, ErrNotFound) {
			return Answer{}, fmt.Errorf("verify could not be measured: %w", err)
		}
		if pause(ctx, time.Duration(try)*time.Second) != nil {
			return Answer{}, fmt.Errorf("verify could not be measured: %w", err) // why is what was answered last
		}
	}
}

// inconclusive says whether an answer is AgentCore's and not the agent's.
func inconclusive(protocol string, a Answer) bool {
	return strings.HasPrefix(a.ErrorCode, "ExpiredToken") || a.Status == 429 || a.Status == 409 || a.Status == 500 ||
		a.Status == 503 || turnedAway(a) != nil || unasked(protocol, a.Body)
}

// turnedAway is why AgentCore did not ask the agent at all, nil where it did: the
// caller may not, or the runtime is gone.
func turnedAway(a Answer) error {
	switch {
	case a.Status == 403 && a.ErrorCode == "AccessDeniedException":
		return ErrDenied
	case a.Status == 404 && a.ErrorCode == "ResourceNotFoundException":
		return ErrNotFound
	}
	return nil
}

func (d *Deliverer) judge(protocol string, a Answer) error {
	if a.Status < 200 || a.Status > 299 {
		reason := fmt.Sprintf("it answered %d", a.Status)
		if a.ErrorCode != "" {
			reason += " " + a.ErrorCode
		}
		if a.Message != "" {
			reason += ": " + a.Message
		}
		return &verifyError{reason: reason}
	}
	if reason := failure(protocol, a.Body); reason != "" {
		return &verifyError{reason: reason}
	}
	if len(d.Target.Verify.Payload) == 0 && !answers(protocol, a.Body) {
		return &verifyError{reason: "its answer holds no JSON-RPC result: " + d.quote(string(a.Body))}
	}
	if want := d.Target.Verify.Contains; want != "" && !bytes.Contains(a.Body, []byte(want)) {
		return &verifyError{reason: fmt.Sprintf("its answer does not contain %q: %s", want, d.quote(string(a.Body)))}
	}
	return nil
}

// quote is an excerpt of what others said, without the secrets that are known.
// They are taken out before it is cut: half a secret is not known for one.
func (d *Deliverer) quote(text string) string {
	if d.Redact != nil {
		text = d.Redact(text)
	}
	return excerpt([]byte(text))
}

func excerpt(body []byte) string {
	const most = 300
	text := strings.ToValidUTF8(strings.TrimSpace(string(body)), "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	if text == "" {
		return "(it is empty)"
	}
	return text
}

// explain tells what the agent itself printed in a window: the cause of a
// failed verify is there and nowhere else. Lines arrive late: it looks until
// patience ends, and once at least. It says whether there were any.
func (d *Deliverer) explain(ctx context.Context, window LogWindow, patience time.Duration) bool {
	window.Limit = logLimit
	for start := d.now(); ; {
		look, cancel := context.WithTimeout(ctx, logLook)
		lines, err := d.Logs.Lines(look, window)
		cancel()
		if err == nil && len(lines) > 0 {
			d.observe(Event{Kind: AgentOutput, Lines: lines})
			return true
		}
		if patience == 0 {
			return false
		}
		if d.now().Sub(start) >= patience || pause(ctx, pollInterval) != nil {
			d.note("the agent printed nothing that could be read (%v)", orNothing(err))
			return false
		}
	}
}

func orNothing(err error) any {
	if err == nil {
		return "no log lines"
	}
	return err
}
