package awsauth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// Expect is the caller that slipway.yaml implies a role to trust. An empty
// member is not compared.
type Expect struct {
	Repository   string // owner/name, or owner@id/name@id for the immutable form
	RepositoryID string // decimal
	Environment  string // the GitHub environment that the job names
	Ref          string // refs/heads/main
	Audience     string // if empty, that of the Source
}

// Claim is one claim of the token beside what slipway.yaml implies. Where it
// implies nothing Want is empty and OK true: the role may still ask for it.
type Claim struct {
	Name string // as in the token: sub
	Want string
	Got  string
	OK   bool
}

// Denial is a token that STS refused: which role, what the token says, and
// where it differs from what slipway.yaml implies. It is reached by errors.As
// through the *delivery.Error that Login returns. The token itself is not in
// it.
type Denial struct { //nolint:errname // a denial is data first: who was refused, and why
	Role     string
	Token    map[string]string // the token's claims; nil if they can't be read
	Expected []Claim           // sub, aud, repository_id, ref, where there is something to compare
	Err      *delivery.RemoteError
}

// Error says which role was refused, with STS's own code.
func (d *Denial) Error() string {
	return fmt.Sprintf("AWS refused the token for role %s (%s: %s)", d.Role, d.Err.Code, d.Err.Message)
}

// Unwrap returns STS's answer.
func (d *Denial) Unwrap() error { return d.Err }

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// explain turns STS's last answer into the error that Login returns.
func (w *webIdentity) explain(err error, token string) error {
	e := &delivery.Error{Kind: delivery.KindUnavailable, Op: "assuming the deploy role", Err: err}
	var remote *delivery.RemoteError
	if !errors.As(err, &remote) || retryable(err) {
		e.Hints = []string{"STS, or GitHub's keys behind it, did not answer; run the job again"}
		return e
	}
	claims := w.read(token)
	e.Kind, e.Hints = w.refusal(remote, claims)
	if e.Kind == delivery.KindDenied {
		e.Op = "" // the denial says it
		e.Err = &Denial{Role: w.role, Token: claims, Expected: w.compare(claims), Err: remote}
	}
	return e
}

func (w *webIdentity) read(token string) map[string]string {
	if w.claims == nil {
		return nil
	}
	claims, err := w.claims(token)
	if err != nil {
		return nil // STS has judged it already; the explanation does without
	}
	return claims
}

// refusal names the kind and the way out for each answer of STS.
func (w *webIdentity) refusal(remote *delivery.RemoteError, claims map[string]string) (delivery.Kind, []string) {
	issuer := claims["iss"]
	if issuer == "" {
		issuer = "https://token.actions.githubusercontent.com"
	}
	switch message := remote.Message; remote.Code {
	case "InvalidIdentityToken", "IDPRejectedClaim":
		if strings.Contains(message, "No OpenIDConnect provider") {
			return delivery.KindDenied, []string{
				"the account " + accountOf(w.role) + " has no OIDC provider for " + issuer + ": an administrator runs slipway bootstrap, which makes it once per account",
				"or the role is in another account than the provider: compare the role's account with slipway.yaml"}
		}
		if strings.Contains(message, "audience") {
			return delivery.KindDenied, []string{"the token is for " + orNone(claims["aud"]) + ": add it to the client ids of the OIDC provider for " + issuer}
		}
		return delivery.KindDenied, []string{"AWS takes no token of " + issuer + " in this form; look at its iss, aud and exp"}
	case "ExpiredTokenException":
		return delivery.KindCredentials, []string{"a new token was expired on arrival too: is the runner's clock right?"}
	case "RegionDisabledException":
		return delivery.KindConfig, []string{"STS is not active in this region: an administrator activates it in IAM's account settings"}
	case "ValidationError":
		return delivery.KindConfig, []string{fmt.Sprintf("the session is asked for %v: the role's MaxSessionDuration may be shorter", w.duration)}
	}
	return delivery.KindDenied, w.hints(claims)
}

// compare sets the token's claims beside what slipway.yaml implies.
func (w *webIdentity) compare(claims map[string]string) []Claim {
	if claims == nil {
		return nil
	}
	audience := w.expect.Audience
	if audience == "" {
		audience = w.audience
	}
	var list []Claim
	add := func(name, want string, ok bool) {
		if want != "" {
			list = append(list, Claim{Name: name, Want: want, Got: claims[name], OK: ok})
		}
	}
	add("sub", w.expect.subject(), w.expect.admits(claims))
	add("aud", audience, claims["aud"] == audience)
	id := w.expect.repositoryID()
	add("repository_id", id, claims["repository_id"] == id)
	add("ref", w.expect.Ref, claims["ref"] == w.expect.Ref)
	if w.expect.Ref == "" && claims["ref"] != "" { // not compared, but the role may
		list = append(list, Claim{Name: "ref", Got: claims["ref"], OK: true})
	}
	return list
}

// subject is the subject that slipway.yaml implies, in the form in which it
// names the repository; "" where it names none.
func (e Expect) subject() string {
	if e.Repository == "" || e.context() == "" {
		return ""
	}
	return "repo:" + e.Repository + ":" + e.context()
}

// context is what follows the repository in a subject: an environment wins
// over a ref, and GitHub escapes its colons (facts: section 6).
func (e Expect) context() string {
	if e.Environment != "" {
		return "environment:" + strings.ReplaceAll(e.Environment, ":", "%3A")
	}
	if e.Ref != "" {
		return "ref:" + e.Ref
	}
	return ""
}

// admits says whether the token's subject is the one implied: exactly, or,
// where slipway.yaml gives names alone, the same names with the token's ids.
func (e Expect) admits(claims map[string]string) bool {
	sub := claims["sub"]
	if sub == e.subject() {
		return true
	}
	owner, name, _ := strings.Cut(e.Repository, "/")
	if strings.Contains(e.Repository, "@") {
		return false
	}
	immutable := fmt.Sprintf("repo:%s@%s/%s@%s:%s", owner, claims["repository_owner_id"], name, claims["repository_id"], e.context())
	return sub == immutable && claims["repository_id"] != ""
}

// repositoryID is the id that is given, or part of owner@id/name@id.
func (e Expect) repositoryID() string {
	if e.RepositoryID != "" {
		return e.RepositoryID
	}
	_, name, _ := strings.Cut(e.Repository, "/")
	_, id, _ := strings.Cut(name, "@")
	return id
}

func accountOf(role string) string {
	parts := strings.SplitN(role, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}
