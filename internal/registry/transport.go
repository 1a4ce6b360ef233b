package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// renewBefore is how long before its end a login is no longer used, so
	// that none ends in the middle of an upload's first bytes.
	renewBefore = 2 * time.Minute
	// maxErrorBody bounds what is read of an error's body.
	maxErrorBody = 64 << 10
	// maxRedirects bounds how often one request is sent elsewhere, as net/http
	// does by itself. (go-containerregistry takes that bound away for blobs.)
	maxRedirects = 10
)

// chain is what a request goes through: login, route, patience, the line.
func (r *Repository) chain() http.RoundTripper {
	line := r.Transport
	if line == nil {
		line = newLine()
	}
	limit := stallLimit
	if r.Patience > 0 {
		limit = min(limit, r.Patience)
	}
	out := &route{registry: r.Registry, endpoint: r.Endpoint, next: &patient{limit: limit, next: line}}
	return &login{registry: r.Registry, auth: r.Auth, now: r.now, next: out}
}

// newLine returns a transport that gives up on dials and handshakes in time.
func newLine() http.RoundTripper {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// lineError says that a request got no answer.
type lineError struct{ err error }

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

// route sends what is meant for the registry to the endpoint, under the
// registry's own name. Requests for other hosts (a redirect to where blobs
// are kept) go where they say.
type route struct {
	registry string
	endpoint *url.URL
	next     http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *route) RoundTrip(req *http.Request) (*http.Response, error) {
	if redirects(req) > maxRedirects {
		return nil, fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	out := req
	if req.URL.Host == t.registry {
		out = req.Clone(req.Context())
		out.Host = t.registry
		out.URL.Scheme = "https"
		if t.endpoint != nil {
			out.URL.Scheme, out.URL.Host = t.endpoint.Scheme, t.endpoint.Host
		}
	}
	resp, err := t.next.RoundTrip(out)
	if err != nil {
		return nil, &lineError{err}
	}
	resp.Request = req
	t.ownName(resp)
	return resp, nil
}

// redirects counts the answers that have led to a request, as net/http keeps
// them.
func redirects(req *http.Request) int {
	n := 0
	for req != nil && req.Response != nil {
		n++
		req = req.Response.Request
	}
	return n
}

// ownName gives an absolute Location at the endpoint the registry's own name,
// so that the next request takes this route again.
func (t *route) ownName(resp *http.Response) {
	if t.endpoint == nil {
		return
	}
	u, err := url.Parse(resp.Header.Get("Location"))
	if err == nil && u.Host == t.endpoint.Host {
		u.Scheme, u.Host = "https", t.registry
		resp.Header.Set("Location", u.String())
	}
}

// login adds the login to requests for the registry itself, and renews it
// once where the registry says that it has expired (security: D10). A request
// that was redirected elsewhere is never given it (D11).
type login struct {
	registry string
	auth     func(context.Context) (user, password string, expires time.Time, err error)
	now      func() time.Time
	next     http.RoundTripper

	mu   sync.Mutex
	held *credential
}

type credential struct {
	user, password string
	expires        time.Time
}

// RoundTrip implements http.RoundTripper.
func (t *login) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.registry {
		return t.next.RoundTrip(req)
	}
	if req.URL.Path == "/v2/" {
		return greeting(req), nil
	}
	if t.auth == nil {
		return t.next.RoundTrip(req)
	}
	resp, used, err := t.send(req)
	if err != nil || !hasExpired(resp) {
		return resp, err
	}
	again, ok := rewind(req)
	if !ok {
		return resp, nil
	}
	discard(resp)
	t.drop(used)
	resp, _, err = t.send(again)
	return resp, err
}

func (t *login) send(req *http.Request) (*http.Response, *credential, error) {
	c, err := t.credential(req.Context())
	if err != nil {
		closeBody(req)
		return nil, nil, err
	}
	out := req.Clone(req.Context())
	out.SetBasicAuth(c.user, c.password)
	resp, err := t.next.RoundTrip(out)
	return resp, c, err
}

// credential returns the login that is held, or a new one. Requests that come
// meanwhile wait for it rather than ask for one of their own.
func (t *login) credential(ctx context.Context) (*credential, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.held; c != nil && (c.expires.IsZero() || t.now().Before(c.expires.Add(-renewBefore))) {
		return c, nil
	}
	user, password, expires, err := t.auth(ctx)
	if err != nil {
		return nil, fmt.Errorf("getting the registry's login: %w", err)
	}
	t.held = &credential{user: user, password: password, expires: expires}
	return t.held, nil
}

// drop forgets c, unless another request has renewed it already.
func (t *login) drop(c *credential) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == c {
		t.held = nil
	}
}

// hasExpired says whether a login was refused for its age: 401, or ECR's 403
// with the text "Your authorization token has expired". The answer to a HEAD
// has no text: it may have been that.
func hasExpired(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return true
	case http.StatusForbidden:
		if resp.Request != nil && resp.Request.Method == http.MethodHead {
			return true
		}
		head, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // a cut body is no worse than none
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
		return expiredText(string(head))
	}
	return false
}

func expiredText(s string) bool { return strings.Contains(s, "authorization token has expired") }

// greeting answers go-containerregistry's ping in the registry's place. The
// ping asks which login is wanted; ECR's is known, and a round trip per
// command is saved.
func greeting(req *http.Request) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, Request: req}
}

// rewind returns req ready to be sent again, if its body can be.
func rewind(req *http.Request) (*http.Request, bool) {
	out := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return out, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	out.Body = body
	return out, true
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // RoundTripper's duty; there is nothing to tell
	}
}

// discard lets the connection be used again.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxErrorBody) // best effort
	_ = resp.Body.Close()
}
