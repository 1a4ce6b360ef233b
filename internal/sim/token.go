package sim

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/slipway-cd/slipway/internal/trust"
)

// Limits of what STS takes.
const (
	minToken  = 4
	maxToken  = 20000
	maxKeySet = 1 << 20
	minRSA    = 2048 // bits
)

// TokenError is why STS does not take a token. Code is the STS error code.
type TokenError struct {
	Code    string
	Message string
}

// Error is the code and the message, as STS answers them.
func (e *TokenError) Error() string { return e.Code + ": " + e.Message }

func invalidToken(format string, args ...any) error {
	return &TokenError{Code: "InvalidIdentityToken", Message: fmt.Sprintf(format, args...)}
}

// TokenIssuer is an issuer as registered in an account.
type TokenIssuer struct {
	URL       string   // https://…, compared exactly
	ClientIDs []string // the audiences it may issue for
	KeySet    []byte   // its JWKS
	// renew fetches the key set anew, where a token names a key that KeySet
	// lacks. If nil, KeySet is all there is.
	renew func() ([]byte, error)
}

// Claims are those of a token that was taken.
type Claims struct {
	Issuer   string
	Subject  string
	Audience string // azp where the token has it, as AWS reads it
	Expires  time.Time
	All      map[string]any // every claim, numbers as json.Number
}

// Request is what a role's trust policy is asked about for these claims.
// provider is the ARN of the issuer's provider in the role's account.
func (c *Claims) Request(provider string) trust.Request {
	text := make(map[string]string)
	for name, value := range c.All {
		if s, ok := value.(string); ok {
			text[name] = s
		}
	}
	text["sub"], text["aud"] = c.Subject, c.Audience
	return trust.WebIdentity(provider, c.Issuer, text)
}

// VerifyToken judges a token as STS does, with issuer the one that is
// registered: length, structure, header, issuer, key, signature, types of
// claims, audience, time. It takes no leeway and no key from the token, and
// fetches nothing. The error is a *TokenError. Whether a role admits the token
// is for its trust policy to say: Claims.Request.
func VerifyToken(token string, issuer TokenIssuer, now time.Time) (*Claims, error) {
	return verifyToken(token, now, func(url string) (TokenIssuer, error) {
		if url != issuer.URL {
			return TokenIssuer{}, noProvider(url)
		}
		return issuer, nil
	})
}

func noProvider(url string) error {
	return invalidToken("No OpenIDConnect provider found in your account for %s", url)
}

func noKey() error {
	return invalidToken("Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements")
}

// verifyToken is VerifyToken with issuers found as registered asks.
func verifyToken(token string, now time.Time, registered func(url string) (TokenIssuer, error)) (*Claims, error) {
	if len(token) < minToken || len(token) > maxToken {
		return nil, &TokenError{Code: "ValidationError", Message: fmt.Sprintf(
			"1 validation error detected: Value at 'webIdentityToken' failed to satisfy constraint: Member must have length between %d and %d", minToken, maxToken)}
	}
	payload, issuer, err := signedClaims(token, registered)
	if err != nil {
		return nil, err
	}
	return checkClaims(payload, issuer, now)
}

// signedClaims returns the claims of a token that its issuer has signed. What
// they say is not judged.
func signedClaims(token string, registered func(url string) (TokenIssuer, error)) (map[string]any, TokenIssuer, error) {
	header, payload, err := tokenParts(token)
	if err != nil {
		return nil, TokenIssuer{}, err
	}
	algorithm, keyID, err := checkHeader(header)
	if err != nil {
		return nil, TokenIssuer{}, err
	}
	url, ok := payload["iss"].(string)
	if !ok {
		return nil, TokenIssuer{}, invalidToken("Missing a required claim: iss")
	}
	issuer, err := registered(url)
	if err != nil {
		return nil, TokenIssuer{}, err
	}
	keys, err := issuer.keysFor(algorithm, keyID)
	if err != nil {
		return nil, TokenIssuer{}, err
	}
	return payload, issuer, checkSigned(token, algorithm, keys)
}

// keysFor finds the issuer's keys of an id, with one look at whether it has
// published others since.
func (i TokenIssuer) keysFor(algorithm jose.SignatureAlgorithm, keyID string) ([]jose.JSONWebKey, error) {
	keys, err := usableKeys(i.KeySet, algorithm, keyID)
	if err == nil || i.renew == nil {
		return keys, err
	}
	newer, failed := i.renew()
	if failed != nil {
		return nil, err
	}
	return usableKeys(newer, algorithm, keyID)
}

// tokenParts takes a compact JWT apart. Dots are counted before anything is
// split, and characters are checked first: base64's decoder skips newlines.
func tokenParts(token string) (header, payload map[string]any, err error) {
	if strings.Count(token, ".") != 2 || strings.IndexFunc(token, notTokenRune) >= 0 {
		return nil, nil, invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	head, rest, _ := strings.Cut(token, ".")
	body, signature, _ := strings.Cut(rest, ".")
	if signature == "" {
		return nil, nil, invalidToken("The ID Token provided is not a valid JWT: it is not signed")
	}
	if header, err = tokenPart(head); err != nil {
		return nil, nil, invalidToken("The ID Token provided is not a valid JWT: header: %v", err)
	}
	if payload, err = tokenPart(body); err != nil {
		return nil, nil, invalidToken("The ID Token provided is not a valid JWT: claims: %v", err)
	}
	return header, payload, nil
}

func notTokenRune(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.')
}

func tokenPart(part string) (map[string]any, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("it is not base64url")
	}
	return strictObject(raw)
}

// algorithms are what STS takes; "none" and HMAC are not among them.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}
}

func checkHeader(header map[string]any) (jose.SignatureAlgorithm, string, error) {
	name, _ := header["alg"].(string)
	algorithm := jose.SignatureAlgorithm(name)
	if !slices.Contains(algorithms(), algorithm) {
		return "", "", invalidToken("Unsupported signing algorithm %q", name)
	}
	// crit and b64 change what is signed; the others carry a key or name where
	// it is to be had. Keys come from the issuer alone.
	for _, refused := range []string{"crit", "b64", "jwk", "jku", "x5u", "x5c"} {
		if _, ok := header[refused]; ok {
			return "", "", invalidToken("The token's header has %q, which is not supported", refused)
		}
	}
	keyID, _ := header["kid"].(string)
	if keyID == "" {
		return "", "", invalidToken("The token's header names no key")
	}
	return algorithm, keyID, nil
}

// usableKeys returns the issuer's keys of that id that may verify the
// algorithm. A key of a kind we don't know does not spoil its neighbours.
func usableKeys(keySet []byte, algorithm jose.SignatureAlgorithm, keyID string) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(keySet) > maxKeySet || json.Unmarshal(keySet, &set) != nil {
		return nil, noKey()
	}
	var usable []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && key.KeyID == keyID && fits(key, algorithm) {
			usable = append(usable, key)
		}
	}
	if len(usable) == 0 {
		return nil, noKey()
	}
	return usable, nil
}

func fits(key jose.JSONWebKey, algorithm jose.SignatureAlgorithm) bool {
	if key.Use != "" && key.Use != "sig" || key.Algorithm != "" && key.Algorithm != string(algorithm) {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(string(algorithm), "RS") && public.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		curves := map[jose.SignatureAlgorithm]string{jose.ES256: "P-256", jose.ES384: "P-384", jose.ES512: "P-521"}
		return curves[algorithm] == public.Curve.Params().Name
	default:
		return false
	}
}

func checkSigned(token string, algorithm jose.SignatureAlgorithm, keys []jose.JSONWebKey) error {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		return invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	for _, key := range keys {
		if _, err := signed.Verify(key.Key); err == nil {
			return nil
		}
	}
	return invalidToken("The token's signature could not be verified")
}

// checkClaims checks the types of claims, the audience and the times, in this
// order.
func checkClaims(payload map[string]any, issuer TokenIssuer, now time.Time) (*Claims, error) {
	subject, ok := payload["sub"].(string)
	if !ok || subject == "" {
		return nil, invalidToken("Missing a required claim: sub")
	}
	expires, err := secondsClaim(payload, "exp", true)
	if err != nil {
		return nil, err
	}
	issued, err := secondsClaim(payload, "iat", true)
	if err != nil {
		return nil, err
	}
	notBefore, err := secondsClaim(payload, "nbf", false)
	if err != nil {
		return nil, err
	}
	audience, err := effectiveAudience(payload)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(issuer.ClientIDs, audience) {
		return nil, invalidToken("Incorrect token audience")
	}
	at := now.Unix()
	switch {
	case at >= expires:
		return nil, &TokenError{Code: "ExpiredTokenException", Message: fmt.Sprintf(
			"Token expired: current date/time %d must be before the expiration date/time %d", at, expires)}
	case notBefore > at:
		return nil, invalidToken("The token is not valid before %d; it is %d", notBefore, at)
	case issued > at:
		return nil, invalidToken("The token says that it was issued at %d; it is %d", issued, at)
	}
	return &Claims{Issuer: issuer.URL, Subject: subject, Audience: audience, Expires: time.Unix(expires, 0).UTC(), All: payload}, nil
}

// secondsClaim reads a claim in seconds since 1970. STS wants integers.
func secondsClaim(payload map[string]any, name string, required bool) (int64, error) {
	claim, ok := payload[name]
	if !ok && !required {
		return 0, nil
	}
	if !ok {
		return 0, invalidToken("Missing a required claim: %s", name)
	}
	number, _ := claim.(json.Number)
	seconds, err := number.Int64()
	if err != nil || seconds < 0 {
		return 0, invalidToken("The claim %s is no integer", name)
	}
	return seconds, nil
}

// effectiveAudience is azp where there is one, else aud, which may be a list
// of one.
func effectiveAudience(payload map[string]any) (string, error) {
	audience, ok := payload["aud"]
	if !ok {
		return "", invalidToken("Missing a required claim: aud")
	}
	if party, ok := payload["azp"]; ok {
		audience = party
	}
	if list, ok := audience.([]any); ok && len(list) == 1 {
		audience = list[0]
	}
	text, ok := audience.(string)
	if !ok {
		return "", invalidToken("Incorrect token audience")
	}
	return text, nil
}
