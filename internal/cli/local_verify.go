package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
	"github.com/slipway-cd/slipway/internal/trust"
)

// verification is what slipway local token --verify judges: one token, by the
// code of the local cloud's STS, offline.
type verification struct {
	token    string // file, "-" for stdin
	jwks     string // file
	trust    string // file; "" judges the token alone
	audience string
	now      int64 // Unix seconds; 0 is the machine's time
}

type tokenVerdict struct {
	Schema  string `json:"schema"`  // slipway.token/v1
	Verdict string `json:"verdict"` // accept or reject
	Error   string `json:"error"`   // STS's code
	Message string `json:"message"`
	Sub     string `json:"sub"` // on accept
}

// verifyToken prints the verdict: accept is 0, reject 3.
func (a *app) verifyToken(v verification) error {
	token, err := a.readInput(v.token)
	if err != nil {
		return err
	}
	if v.jwks == "" {
		return &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("--verify needs the issuer's key set: --jwks FILE")}
	}
	keys, err := a.readInput(v.jwks)
	if err != nil {
		return err
	}
	var policy *trust.Policy
	if v.trust != "" {
		raw, err := a.readInput(v.trust)
		if err != nil {
			return err
		}
		parsed, _, err := trust.Read(raw)
		if err != nil {
			return &delivery.Error{Kind: delivery.KindUsage, Op: "reading " + v.trust, Err: err}
		}
		policy = &parsed
	}
	now := time.Now()
	if v.now != 0 {
		now = time.Unix(v.now, 0)
	}
	issuer := sim.TokenIssuer{URL: sim.Issuer, ClientIDs: []string{v.audience}, KeySet: keys}
	return a.tellVerdict(judge(strings.TrimRight(string(token), "\r\n"), issuer, policy, now))
}

// judge asks STS's own order: the token, then the role's trust.
func judge(token string, issuer sim.TokenIssuer, policy *trust.Policy, now time.Time) tokenVerdict {
	doc := tokenVerdict{Schema: "slipway.token/v1", Verdict: "reject"}
	claims, err := sim.VerifyToken(token, issuer, now)
	var bad *sim.TokenError
	switch {
	case errors.As(err, &bad):
		doc.Error, doc.Message = bad.Code, bad.Message
	case err != nil:
		doc.Error, doc.Message = "InvalidIdentityToken", err.Error()
	case policy != nil && !admits(*policy, claims):
		doc.Error, doc.Message = "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"
	default:
		doc.Verdict, doc.Sub = "accept", claims.Subject
	}
	return doc
}

// admits evaluates a trust policy for a token. The policy names the provider
// by its ARN; whose account that is, the policy alone says.
func admits(policy trust.Policy, claims *sim.Claims) bool {
	for _, s := range policy.Statements {
		for _, p := range s.Principals {
			if p.Kind == trust.Federated && policy.Evaluate(claims.Request(p.Value)).Allowed {
				return true
			}
		}
	}
	return policy.Evaluate(claims.Request("")).Allowed // trusts anyone
}

func (a *app) tellVerdict(doc tokenVerdict) error {
	switch {
	case a.json():
		if err := a.ui.document(doc); err != nil {
			return err
		}
	case doc.Verdict == "accept":
		a.ui.result("accept %s", doc.Sub)
	default:
		a.ui.result("reject %s: %s", doc.Error, doc.Message)
	}
	if doc.Verdict == "accept" {
		return nil
	}
	return exitError(delivery.ExitCode(&delivery.Error{Kind: delivery.KindFindings}))
}

// maxInput bounds a file that is judged.
const maxInput = 1 << 20

// readInput reads a file of the user's, or stdin for "-".
func (a *app) readInput(name string) ([]byte, error) {
	in := a.In
	if name != "-" {
		f, err := os.Open(a.path(name))
		if err != nil {
			return nil, &delivery.Error{Kind: delivery.KindUsage, Err: err}
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(raw) > maxInput {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxInput)
	}
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindUsage, Op: "reading " + name, Err: err}
	}
	return raw, nil
}
