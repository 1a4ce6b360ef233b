package sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/slipway-cd/slipway/internal/trust"
)

const (
	corpusAccount = "123456789012"
	corpusSubject = "repo:acme@1001/agent@2002:environment:prod"
)

// corpusToken is a token of the corpus and its verdict.
type corpusToken struct {
	ID, Title, Token, Verdict, Error, Message, Sub string
}

func corpusTokens(t testing.TB) (tokens []corpusToken, now time.Time, keySet, trustPolicy []byte) {
	t.Helper()
	var file struct {
		Now    int64
		Tokens []corpusToken
	}
	if err := json.Unmarshal(testdata(t, "tokens/tokens.json"), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Tokens) < 24 {
		t.Fatalf("the corpus has %d tokens", len(file.Tokens))
	}
	return file.Tokens, time.Unix(file.Now, 0), testdata(t, "tokens/jwks.json"), testdata(t, "tokens/trust.json")
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestCorpusTokens(t *testing.T) {
	tokens, now, keySet, trustPolicy := corpusTokens(t)
	policy, err := trust.Parse(trustPolicy)
	if err != nil {
		t.Fatal(err)
	}
	issuer := TokenIssuer{URL: Issuer, ClientIDs: []string{"sts.amazonaws.com"}, KeySet: keySet}
	for _, tt := range tokens {
		t.Run(tt.ID, func(t *testing.T) {
			claims, err := VerifyToken(tt.Token, issuer, now)
			code, message, subject := "", "", ""
			var refused *TokenError
			switch {
			case errors.As(err, &refused):
				code, message = refused.Code, refused.Message
			case err != nil:
				t.Fatal(err)
			case !policy.Evaluate(claims.Request(trust.ProviderARN(corpusAccount, Issuer))).Allowed:
				code, message = "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"
			default:
				subject = claims.Subject
			}
			if code != tt.Error || !strings.Contains(message, tt.Message) || subject != tt.Sub {
				t.Errorf("%s: got %s %q sub %q, want %s %q sub %q", tt.Title, code, message, subject, tt.Error, tt.Message, tt.Sub)
			}
		})
	}
}

// tokenMaker signs tokens of the tests' own.
type tokenMaker struct {
	private any
	alg     jose.SignatureAlgorithm
	now     time.Time
}

func (m tokenMaker) keySet(t testing.TB) []byte {
	t.Helper()
	key := jose.JSONWebKey{Key: m.private, KeyID: "k"}
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// raw signs the payload as it is.
func (m tokenMaker) raw(t testing.TB, payload string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: m.alg, Key: jose.JSONWebKey{Key: m.private, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// with signs good claims with changes; a nil value takes a claim away.
func (m tokenMaker) with(t testing.TB, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{"iss": Issuer, "sub": corpusSubject, "aud": "sts.amazonaws.com",
		"iat": m.now.Unix(), "nbf": m.now.Unix() - 600, "exp": m.now.Unix() + 300}
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return m.raw(t, string(raw))
}

func newRSA(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestTokens(t *testing.T) {
	now := time.Unix(1795392000, 0)
	m := tokenMaker{newRSA(t, 2048), jose.RS256, now}
	unix := now.Unix()
	good := m.with(t, nil)
	head, rest, _ := strings.Cut(good, ".")
	header := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) + "." + rest }
	text := `"iss":"` + Issuer + `","aud":"sts.amazonaws.com","iat":1795392000,"exp":1795392300`
	tests := []struct{ name, token, code, message string }{
		{"good", good, "", ""},
		{"audience a list of one", m.with(t, map[string]any{"aud": []string{"sts.amazonaws.com"}}), "", ""},
		{"azp counts, not aud", m.with(t, map[string]any{"aud": "x", "azp": "sts.amazonaws.com"}), "", ""},
		{"no nbf", m.with(t, map[string]any{"nbf": nil}), "", ""},
		{"one second to live", m.with(t, map[string]any{"exp": unix + 1}), "", ""},
		{"a claim that differs by case", m.raw(t, `{`+text+`,"sub":"x","Sub":"y","SUB":"z"}`), "", ""},
		{"too short", "a.b", "ValidationError", "length"},
		{"too long", strings.Repeat("a", 20001), "ValidationError", "length"},
		{"garbage", "garbage", "InvalidIdentityToken", "not a valid JWT"},
		{"newline at the end", good + "\n", "InvalidIdentityToken", ""},
		{"newline within", head + "\n." + rest, "InvalidIdentityToken", ""},
		{"unsigned", good[:strings.LastIndexByte(good, '.')+1], "InvalidIdentityToken", "not signed"},
		{"alg none", header(`{"alg":"none","kid":"k"}`), "InvalidIdentityToken", "signing algorithm"},
		{"alg HS256", header(`{"alg":"HS256","kid":"k"}`), "InvalidIdentityToken", "signing algorithm"},
		{"alg twice", header(`{"alg":"RS256","alg":"none","kid":"k"}`), "InvalidIdentityToken", "twice"},
		{"alg of another key", header(`{"alg":"ES256","kid":"k"}`), "InvalidIdentityToken", "verification key"},
		{"no kid", header(`{"alg":"RS256"}`), "InvalidIdentityToken", "names no key"},
		{"kid no string", header(`{"alg":"RS256","kid":1}`), "InvalidIdentityToken", "names no key"},
		{"key in the header", header(`{"alg":"RS256","kid":"k","jwk":{}}`), "InvalidIdentityToken", "jwk"},
		{"certificate in the header", header(`{"alg":"RS256","kid":"k","x5c":[]}`), "InvalidIdentityToken", "x5c"},
		{"b64", header(`{"alg":"RS256","kid":"k","b64":false}`), "InvalidIdentityToken", "b64"},
		{"payload no object", m.raw(t, `[]`), "InvalidIdentityToken", "no JSON object"},
		{"two payloads", m.raw(t, `{} {}`), "InvalidIdentityToken", "follows"},
		{"issuer http", m.with(t, map[string]any{"iss": "http://token.actions.githubusercontent.com"}), "InvalidIdentityToken", "No OpenIDConnect provider found"},
		{"issuer with a path", m.with(t, map[string]any{"iss": Issuer + "/acme"}), "InvalidIdentityToken", "No OpenIDConnect provider found"},
		{"issuer absent", m.with(t, map[string]any{"iss": nil}), "InvalidIdentityToken", "iss"},
		{"two audiences", m.with(t, map[string]any{"aud": []string{"sts.amazonaws.com", "x"}}), "InvalidIdentityToken", "Incorrect token audience"},
		{"audience absent", m.with(t, map[string]any{"aud": nil}), "InvalidIdentityToken", "aud"},
		{"expires now", m.with(t, map[string]any{"exp": unix}), "ExpiredTokenException", "Token expired"},
		{"expired, wrong audience", m.with(t, map[string]any{"exp": unix, "aud": "x"}), "InvalidIdentityToken", "audience"},
		{"issued ahead", m.with(t, map[string]any{"iat": unix + 1}), "InvalidIdentityToken", "issued"},
		{"exp a fraction", m.with(t, map[string]any{"exp": 1795392300.5}), "InvalidIdentityToken", "exp"},
		{"exp with an exponent", m.raw(t, `{"iss":"`+Issuer+`","sub":"x","aud":"sts.amazonaws.com","iat":1,"exp":1e12}`), "InvalidIdentityToken", "exp"},
		{"exp beyond 64 bits", m.raw(t, `{"iss":"`+Issuer+`","sub":"x","aud":"sts.amazonaws.com","iat":1,"exp":99999999999999999999}`), "InvalidIdentityToken", "exp"},
		{"nbf a string", m.with(t, map[string]any{"nbf": "1"}), "InvalidIdentityToken", "nbf"},
		{"sub absent", m.with(t, map[string]any{"sub": nil}), "InvalidIdentityToken", "sub"},
		{"sub a number", m.with(t, map[string]any{"sub": 1}), "InvalidIdentityToken", "sub"},
		{"sub by another case alone", m.raw(t, `{`+text+`,"Sub":"y"}`), "InvalidIdentityToken", "sub"},
		{"sub twice, escaped", m.raw(t, `{`+text+`,"sub":"x","\u0073ub":"y"}`), "InvalidIdentityToken", "twice"},
	}
	issuer := TokenIssuer{URL: Issuer, ClientIDs: []string{"sts.amazonaws.com"}, KeySet: m.keySet(t)}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := VerifyToken(tt.token, issuer, now)
			var refused *TokenError
			if !errors.As(err, &refused) {
				refused = &TokenError{}
			}
			if refused.Code != tt.code || !strings.Contains(refused.Message, tt.message) {
				t.Errorf("got %v, want %s with %q", err, tt.code, tt.message)
			}
		})
	}
}

func TestTokensOfEveryAlgorithm(t *testing.T) {
	now := time.Unix(1795392000, 0)
	elliptical := func(c elliptic.Curve) any {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	rsaKey := newRSA(t, 2048)
	for alg, key := range map[jose.SignatureAlgorithm]any{
		jose.RS256: rsaKey, jose.RS384: rsaKey, jose.RS512: rsaKey,
		jose.ES256: elliptical(elliptic.P256()), jose.ES384: elliptical(elliptic.P384()), jose.ES512: elliptical(elliptic.P521()),
	} {
		m := tokenMaker{key, alg, now}
		issuer := TokenIssuer{URL: Issuer, ClientIDs: []string{"sts.amazonaws.com"}, KeySet: m.keySet(t)}
		if _, err := VerifyToken(m.with(t, nil), issuer, now); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
	m := tokenMaker{rsaKey, jose.PS256, now}
	if _, err := VerifyToken(m.with(t, nil), TokenIssuer{URL: Issuer, ClientIDs: []string{"sts.amazonaws.com"}, KeySet: m.keySet(t)}, now); err == nil {
		t.Error("PS256 is taken")
	}
}

func TestKeySetsThatAreNone(t *testing.T) {
	now := time.Unix(1795392000, 0)
	m := tokenMaker{newRSA(t, 2048), jose.RS256, now}
	for _, keySet := range []string{"", "<html>", "{}", `{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AA","kid":"k"}]}`, strings.Repeat(" ", maxKeySet) + string(m.keySet(t))} {
		_, err := VerifyToken(m.with(t, nil), TokenIssuer{URL: Issuer, ClientIDs: []string{"sts.amazonaws.com"}, KeySet: []byte(keySet)}, now)
		if err == nil || !strings.Contains(err.Error(), "Couldn't retrieve verification key") {
			t.Errorf("%.20q: %v", keySet, err)
		}
	}
}

func FuzzVerifyToken(f *testing.F) {
	tokens, now, keySet, _ := corpusTokens(f)
	for _, tt := range tokens {
		f.Add(tt.Token)
	}
	issuer := TokenIssuer{URL: Issuer, ClientIDs: []string{"sts.amazonaws.com"}, KeySet: keySet}
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := VerifyToken(token, issuer, now)
		var refused *TokenError
		if err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
		if err == nil && claims.Subject != corpusSubject && !strings.HasPrefix(claims.Subject, "repo:acme@1001/agent@2002:") {
			t.Fatalf("a token that nobody signed is taken, for %q", claims.Subject)
		}
	})
}
