package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// The variables by which a job with id-token: write is told how to ask for
// its token.
const (
	requestURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	requestToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

const (
	mintTries    = 5
	mintDeadline = 30 * time.Second
	tryDeadline  = 10 * time.Second
	maxMintBody  = 64 << 10
	// maxToken is the longest token that STS takes (facts: section 3.2).
	maxToken = 20000
)

// Minter asks GitHub for the job's OIDC token.
type Minter struct {
	// Getenv reads the job's variables.
	Getenv func(string) string
	// Transport sends the request. If nil, one of its own, which uses the
	// machine's proxy for https alone.
	Transport http.RoundTripper
}

// Available says whether the job may ask for a token at all.
func (m Minter) Available() bool {
	return m.Getenv(requestURL) != "" && m.Getenv(requestToken) != ""
}

// IDToken returns a new token for audience. It tries five times in 30 seconds
// where GitHub does not answer, or throttles. It returns a *delivery.Error of
// KindCredentials, or of KindUnavailable where GitHub never answered.
//
// The token is good for five minutes: ask just before use and keep nothing.
func (m Minter) IDToken(ctx context.Context, audience string) (string, error) {
	if !m.Available() {
		return "", m.missing()
	}
	address, err := m.address(audience)
	if err != nil {
		return "", credentials(err)
	}
	ctx, cancel := context.WithTimeout(ctx, mintDeadline)
	defer cancel()
	client := m.client()
	for try := range mintTries {
		if try > 0 {
			if waitErr := sleep(ctx, backoff(try)); waitErr != nil {
				break
			}
		}
		var token string
		var again bool
		token, again, err = m.mint(ctx, client, address)
		if err == nil {
			return token, nil
		}
		if !again {
			return "", credentials(err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return "", &delivery.Error{Kind: delivery.KindUnavailable, Op: "asking GitHub for an OIDC token", Err: err,
		Hints: []string{"GitHub's token service did not answer; run the job again"}}
}

// missing says why there is no token: the one mistake that everybody makes.
func (m Minter) missing() error {
	names := requestURL + " and " + requestToken
	hints := []string{
		"add to the job: permissions: {id-token: write, contents: read}",
		"pull requests from forks get no token, whatever the workflow says; deliver from a push",
	}
	if m.Getenv("GITHUB_ACTIONS") != "true" {
		hints = []string{"this is no GitHub Actions job; `slipway local job` runs a command as one"}
	}
	return &delivery.Error{Kind: delivery.KindCredentials, Op: "asking GitHub for an OIDC token",
		Err: errors.New("the job may not ask for one: " + names + " are not both set"), Hints: hints}
}

// address is the request's URL with the audience added.
func (m Minter) address(audience string) (string, error) {
	u, err := url.Parse(m.Getenv(requestURL))
	if err != nil || u.Host == "" {
		return "", errors.New(requestURL + " is not a URL") // the value may hold what identifies the run
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return "", fmt.Errorf("%s is not https: the request token would travel in clear to %s", requestURL, u.Hostname())
	}
	query := u.Query()
	query.Set("audience", audience)
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// loopback says whether host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// client sends no request token through a proxy in clear (https tunnels, http
// does not) and follows no redirect with it.
func (m Minter) client() *http.Client {
	transport := m.Transport
	if transport == nil {
		transport = &http.Transport{Proxy: tunnelOnly, TLSHandshakeTimeout: tryDeadline, DisableKeepAlives: true}
	}
	return &http.Client{
		Transport:     transport,
		Timeout:       tryDeadline,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func tunnelOnly(r *http.Request) (*url.URL, error) {
	if r.URL.Scheme != "https" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

// mint asks once and says whether asking again may help.
func (m Minter) mint(ctx context.Context, client *http.Client, address string) (token string, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", false, errors.New(requestURL + " is not a URL")
	}
	req.Header.Set("Authorization", "bearer "+m.Getenv(requestToken))
	req.Header.Set("Accept", "application/json; api-version=2.0")
	resp, err := client.Do(req)
	if err != nil {
		return "", true, withoutURL(err, req.URL.Host)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxMintBody+1))
	if err != nil {
		return "", true, withoutURL(err, req.URL.Host)
	}
	if resp.StatusCode != http.StatusOK {
		// The body is left out: it is GitHub's, but it answers a secret.
		return "", resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests, &delivery.RemoteError{Service: "GitHub", Operation: "IDToken", Resource: req.URL.Host,
			Code: strconv.Itoa(resp.StatusCode), Message: http.StatusText(resp.StatusCode), Status: resp.StatusCode,
			RequestID: resp.Header.Get("X-Github-Request-Id")}
	}
	token, err = tokenOf(body)
	return token, false, err
}

// withoutURL drops the request's URL from a client's error: its query
// identifies the run, and nobody needs it.
func withoutURL(err error, host string) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("no answer from %s: %w", host, err)
}

// tokenOf reads {"value": "<jwt>"} and refuses what can't be a token.
func tokenOf(body []byte) (string, error) {
	var answer struct{ Value string }
	if len(body) > maxMintBody {
		return "", errors.New("GitHub's answer is larger than a token can be")
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", errors.New("GitHub's answer is not the JSON of a token") // err would quote it
	}
	if !looksLikeToken(answer.Value) {
		return "", errors.New("GitHub's answer holds no token")
	}
	return answer.Value, nil
}

// looksLikeToken says whether s has the form of a compact JWS: three parts of
// base64url, no longer than STS takes.
func looksLikeToken(s string) bool {
	if len(s) > maxToken || strings.Count(s, ".") != 2 {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || strings.Trim(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func credentials(err error) error {
	return &delivery.Error{Kind: delivery.KindCredentials, Op: "asking GitHub for an OIDC token", Err: err}
}

// backoff is full jitter over 200 ms, 400 ms, 800 ms, ...
func backoff(try int) time.Duration {
	return rand.N(100 * time.Millisecond << try)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
