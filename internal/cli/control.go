package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding the request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/_local/"+name, bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking the local cloud: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("reading the local cloud's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
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

// job starts a job and returns the variables that it sees.
func (c *control) job(ctx context.Context, j sim.Job) (map[string]string, error) {
	env := make(map[string]string)
	return env, c.call(ctx, http.MethodPost, "jobs", j, &env)
}

// administrator returns the exports that an administrator needs.
func (c *control) administrator(ctx context.Context, account string) (map[string]string, error) {
	env := make(map[string]string)
	return env, c.call(ctx, http.MethodGet, "env?account="+account, nil, &env)
}
