package sim

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// identityProvider is one on this machine that a test can spoil.
type identityProvider struct {
	*httptest.Server
	t   testing.TB
	key issuerKey

	mu sync.Mutex
	// discovery and keys answer in place of the good documents, where not nil.
	discovery, keys http.HandlerFunc
	published       []issuerKey
	asked           map[string]int
}

func newIdentityProvider(t testing.TB) *identityProvider {
	t.Helper()
	p := &identityProvider{t: t, key: newTestKey(t), asked: map[string]int{}}
	p.published = []issuerKey{p.key}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func newTestKey(t testing.TB) issuerKey {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return named(private)
}

func (p *identityProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.URL.Path]++
	discovery, keys := p.discovery, p.keys
	set := jose.JSONWebKeySet{}
	for _, k := range p.published {
		set.Keys = append(set.Keys, k.published().Keys...)
	}
	p.mu.Unlock()
	switch {
	case r.URL.Path == "/tenant"+discoveryPath && discovery != nil:
		discovery(w, r)
	case r.URL.Path == "/tenant"+discoveryPath:
		writeJSON(w, 200, map[string]string{"issuer": p.issuer(), "jwks_uri": p.URL + "/keys"})
	case r.URL.Path == "/keys" && keys != nil:
		keys(w, r)
	case r.URL.Path == "/keys":
		writeJSON(w, 200, set)
	default:
		http.NotFound(w, r)
	}
}

func (p *identityProvider) issuer() string  { return p.URL + "/tenant" }
func (p *identityProvider) address() string { return p.issuer() + discoveryPath }

// times says how often a document was asked for.
func (p *identityProvider) times(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// set changes the provider under its lock.
func (p *identityProvider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// token is a good one, changed as asked; a nil takes a claim away.
func (p *identityProvider) token(now time.Time, change map[string]any) string {
	p.t.Helper()
	return p.tokenBy(p.key, now, change)
}

func (p *identityProvider) tokenBy(key issuerKey, now time.Time, change map[string]any) string {
	p.t.Helper()
	claims := map[string]any{"iss": p.issuer(), "sub": "user-1", "aud": "agents", "client_id": "web", "scope": "openid agents/invoke",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for name, value := range change {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	token, err := key.sign(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

func serve(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// TestHostileKeySets is K1 to K9: nothing of such a provider is trusted, and it
// is asked a bounded number of times.
func TestHostileKeySets(t *testing.T) {
	elsewhere := httptest.NewServer(serve(200, "application/json", `{"keys":[]}`))
	defer elsewhere.Close()
	const stolen = "keys of a stranger"
	strangers := 0
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strangers++ }))
	defer stranger.Close()
	moved := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, stranger.URL+"/keys", http.StatusFound)
	}
	loop := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }
	// Whole within the limit, so that only its size is wrong with it.
	huge := func(document any) http.HandlerFunc {
		raw, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		return serve(200, "application/json", string(raw)+strings.Repeat(" ", 10<<20))
	}
	named := func(issuer, keys string) http.HandlerFunc {
		raw, err := json.Marshal(map[string]string{"issuer": issuer, "jwks_uri": keys})
		if err != nil {
			t.Fatal(err)
		}
		return serve(200, "application/json", string(raw))
	}
	for name, spoil := range map[string]func(p *identityProvider){
		"K1 connection refused": func(p *identityProvider) { p.Close() },
		"K1 no keys to be had":  func(p *identityProvider) { p.discovery = named(p.issuer(), "http://127.0.0.1:1/keys") },
		"K3 500":                func(p *identityProvider) { p.discovery = serve(500, "text/plain", "no") },
		"K3 500 for the keys":   func(p *identityProvider) { p.keys = serve(500, "text/plain", "no") },
		"K4 HTML":               func(p *identityProvider) { p.discovery = serve(200, "text/html", "<html>") },
		"K4 HTML for the keys":  func(p *identityProvider) { p.keys = serve(200, "text/html", "<html>") },
		"K5 no keys":            func(p *identityProvider) { p.keys = serve(200, "application/json", `{"keys":[]}`) },
		"K5 an empty object":    func(p *identityProvider) { p.keys = serve(200, "application/json", `{}`) },
		"K7 another issuer":     func(p *identityProvider) { p.discovery = named(elsewhere.URL, p.URL+"/keys") },
		"K7 another tenant":     func(p *identityProvider) { p.discovery = named(p.URL+"/tenants", p.URL+"/keys") },
		"K7 an issuer twice": func(p *identityProvider) {
			p.discovery = serve(200, "application/json", `{"issuer":"x","issuer":"`+p.issuer()+`","jwks_uri":"`+p.URL+`/keys"}`)
		},
		"K8 redirect to another host": func(p *identityProvider) { p.discovery = moved },
		"K8 redirect of the keys":     func(p *identityProvider) { p.keys = moved },
		"K8 redirect loop":            func(p *identityProvider) { p.keys = loop },
		"K9 10 MB of discovery": func(p *identityProvider) {
			p.discovery = huge(map[string]string{"issuer": p.issuer(), "jwks_uri": p.URL + "/keys"})
		},
		"K9 10 MB of keys":             func(p *identityProvider) { p.keys = huge(p.key.published()) },
		"keys by plain http elsewhere": func(p *identityProvider) { p.discovery = named(p.issuer(), "http://keys.example/keys") },
		"keys from a file":             func(p *identityProvider) { p.discovery = named(p.issuer(), "file:///etc/passwd") },
		"keys behind a password": func(p *identityProvider) {
			p.discovery = named(p.issuer(), strings.Replace(p.URL, "//", "//a:b@", 1)+"/keys")
		},
		stolen: func(p *identityProvider) { p.published = []issuerKey{newTestKey(p.t)} },
	} {
		t.Run(name, func(t *testing.T) {
			p := newIdentityProvider(t)
			spoil(p)
			clock := &movedClock{at: time.Now()}
			c := &Cloud{Now: clock.now}
			for range 3 {
				issuer, err := c.issuerAt(t.Context(), p.address())
				if err == nil && name != stolen {
					t.Fatalf("%s is trusted", issuer.URL)
				}
				if _, err := verifyAt(t, c, p, p.token(clock.now(), nil)); err == nil {
					t.Fatal("the token is taken")
				}
			}
			if n, m := p.times("/tenant"+discoveryPath), p.times("/keys"); n > 1 || m > maxRedirects+1 {
				t.Errorf("the provider was asked %d times, for keys %d times, within a second", n, m)
			}
		})
	}
	if strangers > 0 {
		t.Errorf("another host was asked %d times", strangers)
	}
}

// verifyAt judges a token as a cloud that fetches its issuer's keys.
func verifyAt(t testing.TB, c *Cloud, p *identityProvider, token string) (map[string]any, error) {
	t.Helper()
	issuer, err := c.issuerAt(t.Context(), p.address())
	if err != nil {
		return nil, err
	}
	claims, _, err := signedClaims(token, func(url string) (TokenIssuer, error) {
		if url != issuer.URL {
			return TokenIssuer{}, noProvider(url)
		}
		return issuer, nil
	})
	return claims, err
}

// TestHangingProvider is K2: it costs those who wait five seconds, once.
func TestHangingProvider(t *testing.T) {
	p := newIdentityProvider(t)
	var limit time.Duration
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		deadline, ok := r.Context().Deadline()
		if !ok {
			t.Error("the fetch has no deadline")
		}
		limit = time.Until(deadline)
		return nil, errors.New("deadline")
	})
	c := &Cloud{}
	c.keySets.transport = transport
	if _, err := verifyAt(t, c, p, p.token(time.Now(), nil)); err == nil {
		t.Error("the token is taken")
	}
	if limit > keysLimit || limit < keysLimit/2 {
		t.Errorf("a hanging provider is given %s", limit)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestRotatedKeys is K6: an unknown key is looked for once more, and then
// refused; keys that are known are not fetched again.
func TestRotatedKeys(t *testing.T) {
	p := newIdentityProvider(t)
	clock := &movedClock{at: time.Now()}
	c := &Cloud{Now: clock.now}
	take := func(token string) bool {
		_, err := verifyAt(t, c, p, token)
		return err == nil
	}
	for range 2 {
		if !take(p.token(clock.now(), nil)) || p.times("/keys") != 1 {
			t.Fatalf("a good token, twice: the keys were fetched %d times", p.times("/keys"))
		}
	}
	next := newTestKey(t)
	p.set(func() { p.published = []issuerKey{next} })
	clock.add(2 * keysAgain)
	if !take(p.tokenBy(next, clock.now(), nil)) || p.times("/keys") != 2 {
		t.Fatalf("after a rotation: fetched %d times", p.times("/keys"))
	}
	if take(p.token(clock.now(), nil)) {
		t.Error("the key of before the rotation is still trusted")
	}
	for range 5 {
		if take(p.tokenBy(newTestKey(t), clock.now(), nil)) {
			t.Error("an unknown key is trusted")
		}
	}
	if p.times("/keys") != 2 {
		t.Errorf("unknown keys made the cloud ask %d times within a second", p.times("/keys"))
	}
	// A provider that is away takes no trust from the keys that are fresh.
	p.set(func() { p.keys = serve(500, "text/plain", "no") })
	clock.add(2 * keysAgain)
	if take(p.tokenBy(newTestKey(t), clock.now(), nil)) || !take(p.tokenBy(next, clock.now(), nil)) || p.times("/keys") != 3 {
		t.Errorf("while the provider is away: fetched %d times", p.times("/keys"))
	}
	clock.add(keysLife)
	if take(p.tokenBy(next, clock.now(), nil)) {
		t.Error("keys are trusted beyond their time")
	}
}

func TestRedirectsOnTheSameHostAreFollowed(t *testing.T) {
	p := newIdentityProvider(t)
	p.discovery = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			http.Redirect(w, r, r.URL.Path+"?now", http.StatusFound)
			return
		}
		writeJSON(w, 200, map[string]string{"issuer": p.issuer() + "/", "jwks_uri": p.URL + "/keys"})
	}
	c := &Cloud{}
	if issuer, err := c.issuerAt(t.Context(), p.address()); err != nil || issuer.URL != p.issuer()+"/" {
		t.Errorf("%v %v", issuer.URL, err)
	}
}

func TestFetchableAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"https://id.example.com/.well-known/openid-configuration": true,
		"http://127.0.0.1:1/x": true, "http://localhost/x": true, "http://[::1]:1/x": true,
		"http://id.example.com/x": false, "ftp://id.example.com/x": false, "https://": false, "x": false, "": false,
		"https://u:p@id.example.com/x": false, "http://127.0.0.1.example.com/": false, "http://127.0.0.1@example.com/": false,
	} {
		if _, err := fetchable(address, true); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := fetchable("https://127.0.0.1/keys", false); err == nil {
		t.Error("an issuer elsewhere sends the cloud to this machine")
	}
	for address, issuer := range map[string]string{
		"https://a.example/t/.well-known/openid-configuration":       "https://a.example/t",
		"https://a.example/.well-known/oauth-authorization-server/t": "https://a.example/t",
		"https://a.example/.well-known/openid-configuration":         "https://a.example/",
	} {
		u, err := fetchable(address, false)
		if err != nil || !names(u, issuer) || names(u, issuer+"x") || names(u, "") {
			t.Errorf("%s is not taken for the document of %s (%v)", address, issuer, err)
		}
	}
}

// TestSTSFetchesKeys: the keys of a registered issuer are fetched for STS as
// well, from the address that its name says.
func TestSTSFetchesKeys(t *testing.T) {
	p := newIdentityProvider(t)
	c, _, _ := openCloud(t, nil)
	const issuer = "https://gitlab.example"
	var asked []string
	c.keySets.transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.String())
		w := httptest.NewRecorder()
		if strings.HasSuffix(r.URL.Path, discoveryPath) {
			writeJSON(w, 200, map[string]string{"issuer": issuer, "jwks_uri": issuer + "/keys"})
		} else {
			writeJSON(w, 200, p.key.published())
		}
		return w.Result(), nil
	})
	if err := c.store.put(providerKey(DefaultAccount, issuer), provider{Account: DefaultAccount, URL: issuer, ClientIDs: []string{"sts.amazonaws.com"}}); err != nil {
		t.Fatal(err)
	}
	verify := func(token string) error {
		_, err := verifyToken(token, time.Now(), func(url string) (TokenIssuer, error) {
			return c.registeredIssuer(t.Context(), DefaultAccount, url)
		})
		return err
	}
	good := map[string]any{"iss": issuer, "aud": "sts.amazonaws.com"}
	if err := verify(p.token(time.Now(), good)); err != nil || strings.Join(asked, " ") != issuer+discoveryPath+" "+issuer+"/keys" {
		t.Errorf("%v; asked %v", err, asked)
	}
	if err := verify(p.tokenBy(newTestKey(t), time.Now(), good)); err == nil || !strings.Contains(err.Error(), "Couldn't retrieve verification key") {
		t.Errorf("another key: %v", err)
	}
	if err := verify(p.token(time.Now(), map[string]any{"iss": issuer + "/"})); err == nil || !strings.Contains(err.Error(), "No OpenIDConnect provider") {
		t.Errorf("an issuer that is not registered: %v", err)
	}
}
