package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/agentcore"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// resolve puts values in the place of the expressions that one agent and
// environment need. parameters is nil while they are still to be read.
func (a *app) resolve(file *config.File, s config.Selection, parameters map[string]config.Parameter) (*config.File, error) {
	resolved, err := file.Resolve(s, config.Lookup{Env: a.Getenv, Parameters: parameters})
	var problems config.Problems
	if errors.As(err, &problems) {
		a.relative(problems)
	}
	return resolved, err
}

// completion reads what slipway.yaml takes from the account's own Parameter
// Store, and makes the target anew with it.
func (a *app) completion(p *project, store *agentcore.Parameters) func(context.Context) (delivery.Target, error) {
	return func(ctx context.Context) (delivery.Target, error) {
		values, err := a.parameters(ctx, p.file, store)
		if err != nil {
			return p.target, err
		}
		return a.completedBy(p, values)
	}
}

// completedBy is the target with values in their places. What the command line
// says of it stays.
func (a *app) completedBy(p *project, values map[string]config.Parameter) (delivery.Target, error) {
	s := config.Selection{Agent: p.target.Agent, Environment: p.target.Environment, Region: a.region}
	file, err := a.resolve(p.file, s, values)
	if err != nil {
		return p.target, err
	}
	t, err := file.Target(s, a.Getenv)
	t.Verify.Skip, t.BearerToken = p.target.Verify.Skip, p.target.BearerToken
	t.ReadyTimeout, t.VerifyTimeout = p.target.ReadyTimeout, p.target.VerifyTimeout
	return t, err
}

// completionBack is completion for a rollback, which sets none of the values
// anew: one that can't be read is no reason to stay where things are bad, unless
// the verify needs it.
func (a *app) completionBack(p *project, whole func(context.Context) (delivery.Target, error)) func(context.Context) (delivery.Target, error) {
	return func(ctx context.Context) (delivery.Target, error) {
		t, err := whole(ctx)
		if err == nil || ctx.Err() != nil {
			return t, err
		}
		values := make(map[string]config.Parameter)
		for _, name := range p.file.Parameters() {
			if strings.Contains(p.file.NeededBy(name).Path, ".verify") {
				return t, err
			}
			values[name] = config.Parameter{Value: "unread", Secret: true}
		}
		a.ui.warn("a value of slipway.yaml can't be had, and a rollback needs none: %v", err)
		return a.completedBy(p, values)
	}
}

// parameters reads the parameters that a file still lacks. One that is not
// there is left out: the file says where it is needed.
func (a *app) parameters(ctx context.Context, file *config.File, store *agentcore.Parameters) (map[string]config.Parameter, error) {
	values := make(map[string]config.Parameter)
	for _, name := range file.Parameters() {
		value, secret, err := store.Value(ctx, name)
		if errors.Is(err, delivery.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, a.unreadable(file.NeededBy(name), name, err)
		}
		if secret {
			a.ui.conceal(value)
		}
		values[name] = config.Parameter{Value: value, Secret: secret}
	}
	return values, nil
}

// unreadable says which value could not be read, and what for.
func (a *app) unreadable(place config.Problem, name string, err error) error {
	place.Message = "reading ${ssm:" + name + "}"
	places := config.Problems{place}
	a.relative(places)
	failure := &delivery.Error{Kind: delivery.KindUnavailable, Op: places.Error(), Err: err}
	if errors.Is(err, delivery.ErrDenied) {
		failure.Kind = delivery.KindDenied
		failure.Hints = []string{fmt.Sprintf("the deploy role needs ssm:GetParameter on %s, and kms:Decrypt where a key of your own encrypts it", name)}
	}
	return failure
}

// shortSecret is the length below which a text can't be told from others: it
// is hidden in diffs alone.
const shortSecret = 6

// conceal has a secret hidden wherever it would be written from now on, each
// of its lines, plain and as JSON has it: the error of a remote or the log of
// an agent may quote it.
func (u *ui) conceal(secret string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, text := range append([]string{secret}, strings.Split(secret, "\n")...) {
		if text = strings.TrimSpace(text); len(text) < shortSecret {
			continue
		}
		for _, form := range []string{text, inJSON(text, true), inJSON(text, false)} {
			// GitHub's annotations escape a % in a line (actions/toolkit, escapeData).
			u.secrets = append(u.secrets, form, strings.ReplaceAll(form, "%", "%25"))
		}
	}
	// A Replacer takes the first that fits: one secret may begin with another.
	slices.SortStableFunc(u.secrets, func(a, b string) int { return len(b) - len(a) })
}

// hidden is a text of others without the secrets that ui knows.
func (u *ui) hidden(text string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return string(u.redact([]byte(text)))
}

// inJSON is a text as it stands within a JSON string.
func inJSON(text string, html bool) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(html)
	_ = encoder.Encode(text) // a string always encodes
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(b.String()), `"`), `"`)
}

// redact replaces what conceal was told.
func (u *ui) redact(p []byte) []byte {
	if len(u.secrets) == 0 {
		return p
	}
	var pairs []string
	for _, secret := range u.secrets {
		pairs = append(pairs, secret, "(hidden)")
	}
	return []byte(strings.NewReplacer(pairs...).Replace(string(p)))
}

// redacting is a stream of the process without the secrets that ui knows. ui
// writes whole lines, so a secret never comes in two pieces.
type redacting struct {
	to io.Writer
	ui *ui
}

// Write writes p, less the secrets in it.
func (r redacting) Write(p []byte) (int, error) {
	if _, err := r.to.Write(r.ui.redact(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
