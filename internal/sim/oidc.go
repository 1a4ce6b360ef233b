package sim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/slipway-cd/slipway/internal/trust"
)

// Issuer is the issuer of GitHub's tokens. The local cloud issues under the
// same name, with a key of its own.
const Issuer = trust.GitHubIssuer

// issuerKey is the key that signs GitHub's tokens.
type issuerKey struct {
	private *rsa.PrivateKey
	id      string // kid
}

// openIssuerKey reads the key kept at path, or makes it: RSA 2048, as GitHub's.
func openIssuerKey(d disk, path string) (issuerKey, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newIssuerKey(d, path)
	}
	if err != nil {
		return issuerKey{}, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return issuerKey{}, fmt.Errorf("%s holds no PEM block", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return issuerKey{}, fmt.Errorf("%s: %w", path, err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return issuerKey{}, fmt.Errorf("%s holds no RSA key", path)
	}
	return named(private), nil
}

func newIssuerKey(d disk, path string) (issuerKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return issuerKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return issuerKey{}, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return named(private), d.writeFile(path, block)
}

func named(private *rsa.PrivateKey) issuerKey {
	sum := sha256.Sum256(private.N.Bytes())
	return issuerKey{private: private, id: hex.EncodeToString(sum[:16])}
}

func (k issuerKey) published() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: &k.private.PublicKey, KeyID: k.id, Algorithm: string(jose.RS256), Use: "sig"},
	}}
}

// sign returns claims as a JWT with the header that GitHub's tokens carry.
func (k issuerKey) sign(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: k.private, KeyID: k.id}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// Operations of the issuer, as the journal and faults name them.
const (
	actionDiscovery = "GetConfiguration"
	actionKeySet    = "GetKeySet"
	actionToken     = "IssueIDToken"
)

const tokenPath = "/_actions/token/"

func issuerAction(path string) string {
	switch {
	case path == "/.well-known/openid-configuration":
		return actionDiscovery
	case path == "/.well-known/jwks":
		return actionKeySet
	case strings.HasPrefix(path, tokenPath):
		return actionToken
	}
	return ""
}

// serveIssuer answers what https://token.actions.githubusercontent.com
// publishes, and a job's requests for tokens.
func (c *Cloud) serveIssuer(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"message": "the issuer answers GET alone"})
		return
	}
	action := issuerAction(r.URL.Path)
	h := c.befall("github", action, "")
	w = h.answer(w)
	err := h.begin(r.Context())
	switch {
	case action == actionToken:
		c.serveToken(w, r, h, err)
	case err != nil:
		writeJSON(w, asFault(err).Status, map[string]string{"message": asFault(err).Message})
	case action == actionDiscovery:
		writeJSON(w, http.StatusOK, discovery("http://"+r.Host))
	case action == actionKeySet:
		writeJSON(w, http.StatusOK, c.identity.keys)
	default:
		writeJSON(w, http.StatusNotFound, map[string]string{"message": "the issuer has nothing at " + r.URL.Path})
	}
	h.end(r.Context())
}

// discovery is GitHub's discovery document, but that the keys are fetched from
// base: verifiers that follow it have to reach this cloud, not GitHub.
func discovery(base string) map[string]any {
	return map[string]any{
		"issuer":                                Issuer,
		"jwks_uri":                              base + "/.well-known/jwks",
		"subject_types_supported":               []string{"public", "pairwise"},
		"response_types_supported":              []string{"id_token"},
		"claims_supported":                      claimNames(),
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      []string{"openid"},
	}
}

// serveToken answers a job's request for its token:
// GET …?api-version=2.0&audience=… with "Authorization: bearer <request token>".
func (c *Cloud) serveToken(w http.ResponseWriter, r *http.Request, h *hit, refused error) {
	entry := Call{Time: c.now().UTC(), Principal: "anonymous", Service: "github", Action: actionToken,
		Method: r.Method, Path: r.URL.Path, Status: http.StatusOK, Allowed: true, RequestID: newRequestID(), Fault: h.mark()}
	defer func() { c.journal.add(entry) }()
	refuse := func(status int, message string) {
		entry.Status, entry.Allowed, entry.Why = status, false, message
		writeJSON(w, status, map[string]string{"message": message})
	}
	if f := asFault(refused); f != nil {
		refuse(f.Status, f.Message)
		return
	}
	job, ok := c.findJob(strings.TrimPrefix(r.URL.Path, tokenPath), bearer(r))
	if !ok {
		refuse(http.StatusUnauthorized, "the request token is absent, of another job, or the job is over")
		return
	}
	audience := r.URL.Query().Get("audience")
	token, claims, err := c.issue(job.Job, audience)
	if err != nil {
		refuse(http.StatusInternalServerError, err.Error())
		return
	}
	entry.Principal, _ = claims["sub"].(string)
	entry.Resource, _ = claims["aud"].(string)
	writeJSON(w, http.StatusOK, map[string]any{"count": len(token), "value": token})
}

// bearer returns the token of the Authorization header, "" without one. The
// scheme's case does not count: GitHub's own toolkit sends "Bearer".
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // the client has gone: nothing to tell it
}
