package delivery

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// tokenSlack is what a token must have left: AgentCore refuses one that ends
// within a minute.
const tokenSlack = time.Minute

// checkToken refuses calls of a runtime with a JWT authorizer that could not
// succeed: without a token, with one that is over, or by a way that is open.
// What the authorizer wants of the token, it alone knows.
func (d *Deliverer) checkToken(op string, more ...string) error {
	refuse := func(what string, hints ...string) error {
		return &Error{Kind: KindRefused, Op: op, Err: errors.New(what), Hints: append(hints, more...)}
	}
	if d.Target.BearerToken == "" {
		return refuse("this runtime has a JWT authorizer, and there is no bearer token to call it with",
			"put one in SLIPWAY_VERIFY_TOKEN")
	}
	if end, ok := tokenEnd(d.Target.BearerToken); ok && !d.now().Add(tokenSlack).Before(end) {
		return refuse("the token in SLIPWAY_VERIFY_TOKEN "+expiry(end, d.now()), "put a fresh one there")
	}
	if checker, ok := d.Invoker.(BearerChecker); ok {
		return checker.CheckBearer()
	}
	return nil
}

func expiry(end, now time.Time) string {
	when := end.UTC().Format(time.RFC3339)
	if now.Before(end) {
		return "expires at " + when + ": AgentCore wants a minute of life left"
	}
	return "expired at " + when
}

// tokenEnd reads when a JWT ends by its own word; false where it does not say.
// It trusts nothing: AgentCore is the one to judge the token.
func tokenEnd(token string) (time.Time, bool) {
	_, rest, _ := strings.Cut(token, ".")
	claims, _, ok := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(claims)
	if !ok || err != nil {
		return time.Time{}, false
	}
	var c struct {
		Expires json.Number `json:"exp"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return time.Time{}, false
	}
	seconds, err := c.Expires.Float64()
	return time.Unix(int64(seconds), 0), err == nil
}

// refusedBearer says whether it is the token that was refused: that tells
// nothing about the agent, unless AgentCore says that it was the agent.
func refusedBearer(call Invocation, a Answer) bool {
	return call.Bearer != "" && (a.Status == 401 || a.Status == 403) && a.ErrorCode != "RuntimeClientError"
}

// tokenError is AgentCore's refusal of the token: the agent was not asked.
type tokenError struct{ error }

func (e *tokenError) Unwrap() error { return e.error }

// tokenRefused words it. A token that was good when the delivery began may be
// over by now.
func (d *Deliverer) tokenRefused(err error) error {
	hint := "the runtime's authorizer refused the token in SLIPWAY_VERIFY_TOKEN: " +
		"put a fresh one there, for the audience, client and scopes that it wants"
	if end, ok := tokenEnd(d.Target.BearerToken); ok && !d.now().Before(end) {
		hint = fmt.Sprintf("the token in SLIPWAY_VERIFY_TOKEN %s, while the delivery ran: put one there that lives longer",
			expiry(end, d.now()))
	}
	return &Error{Kind: KindFailed, Op: "verify could not be measured", Err: &tokenError{err}, Hints: []string{hint}}
}
