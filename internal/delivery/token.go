package delivery

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// tokenSlack is what a token must have left: AgentCore refuses one that ends
// within a minute.
const tokenSlack = time.Minute

// checkToken refuses calls of a runtime with a JWT authorizer that could not
// succeed: without a token, with one that is over or meant for somebody else,
// or by a way that is open. All else that the authorizer wants of the token,
// it alone judges.
func (d *Deliverer) checkToken(op string, authorizer json.RawMessage, more ...string) error {
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
	if what, hint := foreignToken(d.Target.BearerToken, authorizer); what != "" {
		return refuse(what, hint)
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

// foreignToken says what of a JWT the authorizer has not allowed, by the token's
// own word: its audience or its client. A token that does not say, or that is
// no JWT, is left to AgentCore (AgentCore developer guide: JWT authorizer).
func foreignToken(token string, authorizer json.RawMessage) (what, hint string) {
	var has struct {
		Audience json.RawMessage `json:"aud"`
		Client   json.RawMessage `json:"client_id"`
	}
	var wants struct {
		JWT struct {
			Audiences []string `json:"allowedAudience"`
			Clients   []string `json:"allowedClients"`
		} `json:"customJWTAuthorizer"`
	}
	if !tokenClaims(token, &has) || json.Unmarshal(authorizer, &wants) != nil {
		return "", ""
	}
	for _, claim := range []struct {
		name, setting string
		has           json.RawMessage
		allowed       []string
	}{
		{"aud", "allowedAudience", has.Audience, wants.JWT.Audiences},
		{"client_id", "allowedClients", has.Client, wants.JWT.Clients},
	} {
		values := oneOrMany(claim.has)
		if len(claim.allowed) == 0 || len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(claim.allowed, v) }) {
			continue
		}
		return fmt.Sprintf("the token in SLIPWAY_VERIFY_TOKEN has %s %s, which is not in the runtime's %s", claim.name, excerpt([]byte(strings.Join(values, ", "))), claim.setting),
			fmt.Sprintf("the authorizer takes %s: ask the identity provider for such a token", excerpt([]byte(strings.Join(claim.allowed, ", "))))
	}
	return "", ""
}

// oneOrMany reads a claim that is a string or a list of them; nil where it is
// neither.
func oneOrMany(claim json.RawMessage) []string {
	var one string
	if present(claim) && json.Unmarshal(claim, &one) == nil {
		return []string{one}
	}
	var many []string
	if json.Unmarshal(claim, &many) != nil {
		return nil
	}
	return many
}

// tokenEnd reads when a JWT ends by its own word; false where it does not say.
func tokenEnd(token string) (time.Time, bool) {
	var c struct {
		Expires json.Number `json:"exp"`
	}
	if !tokenClaims(token, &c) {
		return time.Time{}, false
	}
	seconds, err := c.Expires.Float64()
	return time.Unix(int64(seconds), 0), err == nil
}

// tokenClaims reads a JWT's claims into c; false where it is none. It trusts
// nothing: AgentCore is the one to judge the token.
func tokenClaims(token string, c any) bool {
	_, rest, _ := strings.Cut(token, ".")
	claims, _, ok := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(claims)
	return ok && err == nil && json.Unmarshal(raw, c) == nil
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
