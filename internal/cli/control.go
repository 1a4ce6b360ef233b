package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
)

// addressFile, in a cloud's state directory, holds the address that it serves
// on; controlFile the token of its control API.
const (
	addressFile = "address"
	controlFile = "control"
)

// control speaks to the control API of a local cloud.
type control struct {
	base, token string
}

// errNoCloud says that nothing serves a state directory.
var errNoCloud = errors.New("no local cloud serves it")

// dial finds the running cloud of a state directory.
func dial(ctx context.Context, dir string) (*control, error) {
	missing := &delivery.Error{Kind: delivery.KindUnavailable, Op: "speaking to the local cloud in " + dir, Err: errNoCloud,
		Hints: []string{"start it: slipway local up --state " + dir}}
	address, err := os.ReadFile(filepath.Join(dir, addressFile))
	if err != nil {
		return nil, missing
	}
	token, err := os.ReadFile(filepath.Join(dir, controlFile))
	if err != nil {
		return nil, missing
	}
	c := &control{base: strings.TrimSpace(string(address)), token: strings.TrimSpace(string(token))}
	if err := c.call(ctx, http.MethodGet, "health", nil, nil); err != nil {
		return nil, missing
	}
	return c, nil
}

// call asks the control API and decodes the answer into result, if not nil.
func (c *control) call(ctx context.Context, method, name string, body, result any) error {
	status, answer, err := exchange(ctx, "the local cloud", method, c.base+"/_local/"+name, c.token, body)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		var refusal struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(answer, &refusal) // an answer that is none has no message
		what, _, _ := strings.Cut(name, "?")
		return fmt.Errorf("the local cloud refused %s: %s", what, refusal.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer, result)
}

// exchange sends a body as JSON to a side of the local cloud that takes bearer
// tokens, and reads its answer.
func exchange(ctx context.Context, side, method, address, token string, body any) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, nil, fmt.Errorf("encoding the request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(raw))
	if err != nil {
		return 0, nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("asking %s: %w", side, err)
	}
	defer resp.Body.Close()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil, fmt.Errorf("reading the answer of %s: %w", side, err)
	}
	return resp.StatusCode, answer, nil
}

// start starts a job; where a gate is before it, it waits.
func (c *control) start(ctx context.Context, j sim.Job) (sim.JobState, error) {
	var s sim.JobState
	return s, c.call(ctx, http.MethodPost, "jobs", j, &s)
}

// job says how a job stands.
func (c *control) job(ctx context.Context, id string) (sim.JobState, error) {
	var s sim.JobState
	return s, c.call(ctx, http.MethodGet, "jobs?id="+url.QueryEscape(id), nil, &s)
}

// end says how a job has ended: success, failure or cancelled.
func (c *control) end(ctx context.Context, id, conclusion string) error {
	return c.call(ctx, http.MethodPost, "jobs/end", map[string]string{"id": id, "conclusion": conclusion}, nil)
}

// waiting lists the jobs that wait behind a gate.
func (c *control) waiting(ctx context.Context) ([]sim.JobState, error) {
	var runs struct {
		Waiting []sim.JobState `json:"waiting"`
	}
	return runs.Waiting, c.call(ctx, http.MethodGet, "runs", nil, &runs)
}

// person returns the exports of somebody who has a login of GitHub.
func (c *control) person(ctx context.Context, login string) (map[string]string, error) {
	env := make(map[string]string)
	return env, c.call(ctx, http.MethodGet, "env?as="+url.QueryEscape(login), nil, &env)
}

// administrator returns the exports that an administrator needs.
func (c *control) administrator(ctx context.Context, account string) (map[string]string, error) {
	env := make(map[string]string)
	return env, c.call(ctx, http.MethodGet, "env?account="+account, nil, &env)
}
