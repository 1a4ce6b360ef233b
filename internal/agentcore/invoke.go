package agentcore

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	maxAnswer = 1 << 20 // of an agent's answer that is kept
	// AgentCore lets a call last 15 minutes and a stream an hour (facts:
	// Container contract). A little more lets it say so itself.
	invokeBudget = 16 * time.Minute
	streamBudget = 61 * time.Minute
	maxRefusal   = 64 << 10 // of a refusal's body
)

const sessionHeader = "X-Amzn-Bedrock-Agentcore-Runtime-Session-Id"

// Invoke sends the payload to the agent and reads the answer to its end; the
// first MiB of it is kept. An answer of the agent or of AgentCore that is not
// 2xx is an Answer with ErrorCode, not an error; an error means that nothing
// could be measured. Sent again is only what did not reach the agent: a
// throttled call, a retryable conflict, a connection that failed.
// With call.Stream a 2xx answer is written there as it comes, without a limit.
func (c *Client) Invoke(ctx context.Context, call delivery.Invocation) (delivery.Answer, error) {
	if call.Stream != nil {
		ctx, cancel := context.WithTimeout(ctx, streamBudget)
		defer cancel()
		return c.invoke(ctx, call, call.Stream)
	}
	ctx, cancel := context.WithTimeout(ctx, invokeBudget)
	defer cancel()
	var kept limitedBuffer
	answer, err := c.invoke(ctx, call, &kept)
	if answer.Body == nil {
		answer.Body = kept.data
	}
	return answer, err
}

func (c *Client) invoke(ctx context.Context, call delivery.Invocation, w io.Writer) (delivery.Answer, error) {
	r := c.data("InvokeAgentRuntime", "invocations", call.RuntimeARN, call.Endpoint, call.Session)
	r.header.Set("Content-Type", "application/json")
	r.header.Set("Accept", "application/json, text/event-stream")
	r.body, r.bearer = call.Payload, call.Bearer
	var answer delivery.Answer
	err := c.retry(ctx, r, func(ctx context.Context) error {
		answer = delivery.Answer{} // an earlier attempt's refusal is not this one's
		resp, err := c.send(ctx, r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer = delivery.Answer{Status: resp.StatusCode, Type: resp.Header.Get("Content-Type"), RequestID: requestID(resp.Header)}
		if resp.StatusCode/100 != 2 {
			return readRefusal(r, resp, &answer)
		}
		if _, err := io.Copy(w, resp.Body); err != nil {
			return r.unanswered(fmt.Errorf("the answer did not come to its end: %w", err))
		}
		return nil
	})
	if err != nil && answer.ErrorCode != "" {
		return answer, nil // the last answer was a refusal
	}
	return answer, err
}

// data makes a request to the data plane about a session of an endpoint.
func (c *Client) data(operation, verb, arn, endpoint, session string) *request {
	if endpoint == "" {
		endpoint = delivery.DefaultEndpoint
	}
	r := &request{operation: operation, resource: arn, method: http.MethodPost, base: c.base(c.Data, dataHost),
		path: "/runtimes/" + escape(arn) + "/" + verb, query: url.Values{"qualifier": {endpoint}}, header: http.Header{}}
	if session != "" {
		r.header.Set(sessionHeader, session)
	}
	return r
}

// readRefusal fills the answer with what a status other than 2xx says, and
// returns it as the error that decides on another try.
func readRefusal(r *request, resp *http.Response, answer *delivery.Answer) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		answer.Status = 0
		return r.unanswered(err)
	}
	f, code := readFailure(resp, body)
	answer.Body, answer.ErrorCode, answer.Message = body, code, f.text()
	return remoteError(r, resp, body)
}

// limitedBuffer keeps the first MiB that is written to it and counts the rest
// as written, so that the answer is read to its end.
type limitedBuffer struct{ data []byte }

// Write never fails.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	room := maxAnswer - len(b.data)
	b.data = append(b.data, p[:min(room, len(p))]...)
	return len(p), nil
}
