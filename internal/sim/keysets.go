package sim

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// discoveryPath is where an issuer publishes its OpenID configuration;
// metadataPath is RFC 8414's, before the issuer's own path.
const (
	discoveryPath = "/.well-known/openid-configuration"
	metadataPath  = "/.well-known/oauth-authorization-server"
)

// Limits of fetching an issuer's keys. STS gives up after 5 s; the rest is
// ours.
const (
	keysLimit    = 5 * time.Second // for both documents
	keysLife     = 10 * time.Minute
	keysAgain    = time.Second // between two fetches, failed ones included
	maxDiscovery = 256 << 10
	maxRedirects = 3
)

// keySets are those of issuers other than the cloud's own, by the URL of the
// issuer's discovery document. The zero value is ready.
type keySets struct {
	mu  sync.Mutex
	all map[string]*keySet
	// transport carries the fetches. If nil, one that trusts the machine's
	// roots.
	transport http.RoundTripper
}

// keySet is one issuer's, as it was fetched last.
type keySet struct {
	mu      sync.Mutex // held while it is fetched: others wait for the outcome
	issuer  string
	keys    []byte
	fetched time.Time // zero: never
	asked   time.Time
	err     error // of the last fetch
}

func (t *keySets) of(address string) *keySet {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = make(map[string]*keySet)
	}
	if t.all[address] == nil {
		t.all[address] = &keySet{}
	}
	return t.all[address]
}

// issuerAt is the issuer whose discovery document is at an address, with its
// keys. The cloud's own is known without asking; other documents are fetched.
func (c *Cloud) issuerAt(ctx context.Context, address string) (TokenIssuer, error) {
	if address == Issuer+discoveryPath {
		keys, err := jsonBody(c.identity.keys)
		return TokenIssuer{URL: Issuer, KeySet: keys}, err
	}
	ctx = context.WithoutCancel(ctx) // what is fetched is for others too
	set := c.keySets.of(address)
	get := func(renew bool) (string, []byte, error) {
		return set.get(c.now(), renew, func() (string, []byte, error) { return c.keySets.fetch(ctx, address) })
	}
	issuer, keys, err := get(false)
	renew := func() ([]byte, error) {
		_, keys, err := get(true)
		return keys, err
	}
	return TokenIssuer{URL: issuer, KeySet: keys, renew: renew}, err
}

// get returns the keys that are kept while they are fresh, else fetches them:
// once for all who ask, and not more often than keysAgain, whoever asks. A
// failed fetch takes nothing away: keys that were good until now stay so for
// their time.
func (s *keySet) get(now time.Time, renew bool, fetch func() (issuer string, keys []byte, err error)) (string, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := !s.fetched.IsZero() && now.Sub(s.fetched) < keysLife
	recent := !s.asked.IsZero() && now.Sub(s.asked) < keysAgain
	switch {
	case fresh && (!renew || recent && s.err == nil):
		return s.issuer, s.keys, nil
	case recent:
		return "", nil, s.err
	}
	issuer, keys, err := fetch()
	if s.asked, s.err = now, err; err != nil {
		return "", nil, err
	}
	s.issuer, s.keys, s.fetched = issuer, keys, now
	return issuer, keys, nil
}

// fetch reads a discovery document and the key set that it names.
func (t *keySets) fetch(ctx context.Context, address string) (issuer string, keys []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, keysLimit)
	defer cancel()
	client := t.client()
	u, err := fetchable(address, true)
	if err != nil {
		return "", nil, err
	}
	raw, err := fetchDocument(ctx, client, u, maxDiscovery)
	if err != nil {
		return "", nil, err
	}
	document, err := strictObject(raw)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", u.Redacted(), err)
	}
	issuer, _ = document["issuer"].(string)
	if !names(u, issuer) {
		return "", nil, fmt.Errorf("%s is not the document of the issuer that it names: %q", u.Redacted(), issuer)
	}
	at, _ := document["jwks_uri"].(string)
	set, err := fetchable(at, loopback(u.Host))
	if err != nil {
		return "", nil, fmt.Errorf("jwks_uri: %w", err)
	}
	keys, err = fetchDocument(ctx, client, set, maxKeySet)
	if err != nil {
		return "", nil, err
	}
	return issuer, keys, checkKeySet(keys)
}

func checkKeySet(raw []byte) error {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return fmt.Errorf("the key set can't be read: %w", err)
	}
	if len(set.Keys) == 0 {
		return errors.New("the key set has no keys")
	}
	return nil
}

// fetchable parses an address that may be fetched: https, or http on this
// machine. An issuer elsewhere can't name an address of this machine.
func fetchable(address string, local bool) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, errors.New("it is no address to fetch from")
	}
	here := loopback(u.Host)
	switch {
	case here && !local:
		return nil, fmt.Errorf("%s is on this machine, its issuer is not", u.Redacted())
	case u.Scheme == "https", u.Scheme == "http" && here:
		return u, nil
	}
	return nil, fmt.Errorf("%s: only https is fetched, and http on a loopback address", u.Redacted())
}

// names says whether a discovery document's address is that of the issuer,
// which may end in a slash.
func names(u *url.URL, issuer string) bool {
	base := *u
	if prefix, ok := strings.CutSuffix(u.Path, discoveryPath); ok {
		base.Path = prefix
	} else if path, ok := strings.CutPrefix(u.Path, metadataPath); ok {
		base.Path = path
	} else {
		return false
	}
	return issuer != "" && strings.TrimSuffix(issuer, "/") == strings.TrimSuffix(base.String(), "/")
}

func (t *keySets) client() *http.Client {
	transport := t.transport
	if transport == nil {
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		first := via[0].URL
		if r.URL.Host != first.Host || r.URL.Scheme != first.Scheme || len(via) > maxRedirects {
			return fmt.Errorf("a redirect to %s is not followed", r.URL.Host)
		}
		return nil
	}}
}

func fetchDocument(ctx context.Context, client *http.Client, u *url.URL, limit int64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	res, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", u.Redacted(), res.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", u.Redacted(), limit)
	}
	return raw, nil
}
