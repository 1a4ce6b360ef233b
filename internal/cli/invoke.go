package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
)

type invokeDocument struct {
	Schema  string          `json:"schema"` // slipway.invoke/v1
	Status  int             `json:"status"`
	Type    string          `json:"content_type"`
	Answer  json.RawMessage `json:"answer"` // as JSON where it is JSON, else a string
	Seconds float64         `json:"seconds"`
}

// maxPayload is AgentCore's limit on payloads: 100 MB.
const maxPayload = 100_000_000

func (a *app) invokeCommand() *cobra.Command {
	var s selection
	var endpoint, session string
	cmd := &cobra.Command{
		Use:   "invoke --env NAME [PAYLOAD]",
		Short: "Send a payload to the agent, print its answer",
		Long:  "Sends PAYLOAD to the agent through the endpoint that serves. \"-\" reads it from stdin;\ntext that is no JSON is sent in the form of the agent's protocol ({\"prompt\": TEXT} for HTTP).\nA runtime with a JWT authorizer is called with the token in SLIPWAY_VERIFY_TOKEN.",
		Example: `  slipway invoke --env dev '{"prompt": "ping"}'
  echo '{"prompt": "ping"}' | slipway invoke --env dev -`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := len(session); session != "" && (n < 33 || n > 256) {
				return usage(cmd, fmt.Errorf("--session has %d characters; AgentCore takes 33 to 256", n))
			}
			call, err := a.payload(cmd.Context(), args)
			if err != nil {
				return err
			}
			p, err := a.project(s)
			if err != nil {
				return err
			}
			d, err := a.deliverer(cmd.Context(), p)
			if err != nil {
				return err
			}
			call.Endpoint, call.Session = endpoint, session
			return a.explained(p, a.invoke(cmd.Context(), d, call))
		},
	}
	selectionFlags(cmd, &s)
	cmd.Flags().StringVar(&endpoint, "endpoint", "", "endpoint to call; default: the one that serves")
	cmd.Flags().StringVar(&session, "session", "", "session id, 33 to 256 characters; default: a fresh one")
	return cmd
}

// invoke calls the agent. Text is passed on as it comes, a document needs the
// whole answer.
func (a *app) invoke(ctx context.Context, d *delivery.Deliverer, call delivery.Invocation) error {
	out := &answerWriter{ui: a.ui, terminal: isTerminal(a.Out)}
	if !a.json() {
		call.Stream = out
	}
	start := time.Now()
	answer, err := d.Call(ctx, call)
	out.end()
	if err != nil {
		return err
	}
	return a.printAnswer(answer, time.Since(start))
}

// answerWriter passes an agent's answer on to stdout, a line at a time on a
// terminal: there the agent's words must not move the cursor. The last line
// gets the end that it may lack.
type answerWriter struct {
	ui       *ui
	terminal bool
	rest     []byte // of a line that has not ended
	open     bool
}

// Write never fails: who reads stdout may have gone, and is told nothing.
func (w *answerWriter) Write(p []byte) (int, error) {
	if !w.terminal {
		w.ui.raw(p)
		w.open = len(p) > 0 && p[len(p)-1] != '\n'
		return len(p), nil
	}
	w.rest = append(w.rest, p...)
	for {
		line, rest, ended := bytes.Cut(w.rest, []byte("\n"))
		if !ended {
			return len(p), nil
		}
		w.ui.result("%s", printable(string(line)))
		w.rest = rest
	}
}

func (w *answerWriter) end() {
	switch {
	case len(w.rest) > 0:
		w.ui.result("%s", printable(string(w.rest)))
	case w.open:
		w.ui.result("")
	}
}

// payload is what the arguments ask to be sent: JSON as it is, text for the
// agent's protocol to wrap, or nothing, which is a ping.
func (a *app) payload(ctx context.Context, args []string) (call delivery.Invocation, err error) {
	if len(args) == 0 {
		return call, nil
	}
	text := args[0]
	if text == "-" {
		raw, err := until(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.In, maxPayload+1)) })
		if ctx.Err() != nil {
			return call, &delivery.Error{Kind: delivery.KindInterrupted, Err: errors.New("interrupted: nothing was sent")}
		}
		if err != nil {
			return call, fmt.Errorf("reading the payload: %w", err)
		}
		if len(raw) > maxPayload {
			return call, &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("the payload is larger than AgentCore's 100 MB")}
		}
		if len(raw) == 0 {
			return call, &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("there is no payload on stdin")}
		}
		call.Payload = raw
		return call, nil
	}
	if json.Valid([]byte(text)) {
		call.Payload = []byte(text)
	} else {
		call.Text = text
	}
	return call, nil
}

func (a *app) printAnswer(answer delivery.Answer, took time.Duration) error {
	var failed error
	if answer.Status < 200 || answer.Status > 299 {
		failed = &delivery.Error{Kind: delivery.KindFailed, Op: "invoking the agent", Err: answeredError(answer), Hints: invokeHints(answer)}
	}
	if a.json() {
		body := json.RawMessage(answer.Body)
		if !json.Valid(body) {
			body, _ = json.Marshal(string(answer.Body)) // a string always encodes
		}
		doc := invokeDocument{Schema: "slipway.invoke/v1", Status: answer.Status, Type: answer.Type, Answer: body, Seconds: seconds(took)}
		return errors.Join(a.ui.document(doc), failed)
	}
	return failed
}

// answeredError is AgentCore's denial, or what the agent answered.
func answeredError(answer delivery.Answer) error {
	if answer.Status == http.StatusForbidden && answer.ErrorCode == "AccessDeniedException" {
		return &delivery.RemoteError{Service: "AgentCore", Operation: "InvokeAgentRuntime", Code: answer.ErrorCode, Message: answer.Message,
			Status: answer.Status, RequestID: answer.RequestID, Kind: delivery.ErrDenied}
	}
	return fmt.Errorf("it answered %d %s: %s", answer.Status, answer.ErrorCode, answer.Message)
}

// invokeHints looks at whose the failure is: the agent's, or the call's.
func invokeHints(answer delivery.Answer) []string {
	switch answer.Status {
	case http.StatusUnauthorized:
		return []string{"the runtime's authorizer refused the token in SLIPWAY_VERIFY_TOKEN: put a fresh one there, for the audience, client and scopes that it wants"}
	case http.StatusNotFound:
		return []string{"slipway status shows the endpoint that serves"}
	case http.StatusFailedDependency:
		return []string{"slipway logs shows what the agent printed"}
	}
	return nil
}
