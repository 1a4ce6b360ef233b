package github

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	apiVersion  = "2026-03-10" // the first that tells the form of subjects
	restTries   = 4
	maxRestBody = 8 << 20
	maxWait     = 60 * time.Second // that GitHub may ask for
	maxPages    = 50
)

// Client speaks to GitHub's REST API for one repository, with the token of
// GH_TOKEN or GITHUB_TOKEN, at GITHUB_API_URL. It sends the token over plain
// HTTP to loopback alone, follows no redirect with it, and names it in no
// error.
type Client struct {
	// Getenv reads the environment.
	Getenv func(string) string
	// Name is the repository: owner/name.
	Name string
	// Transport carries the calls. If nil, one that honours the machine's
	// proxy for https.
	Transport http.RoundTripper
}

// HasToken says whether there is a token to ask with.
func (c *Client) HasToken() bool { return c.token() != "" }

func (c *Client) token() string {
	if token := c.Getenv("GH_TOKEN"); token != "" {
		return token
	}
	return c.Getenv("GITHUB_TOKEN")
}

func (c *Client) base() (string, error) {
	base := strings.TrimSuffix(c.Getenv("GITHUB_API_URL"), "/")
	if base == "" {
		return "https://api.github.com", nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return "", errors.New("GITHUB_API_URL is no URL")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return "", fmt.Errorf("GITHUB_API_URL is not https: the token would travel in clear to %s", u.Hostname())
	}
	return base, nil
}

// path is below the repository's; every part is escaped.
func (c *Client) path(parts ...string) string {
	path := []string{"/repos", c.Name}
	for _, part := range parts {
		path = append(path, url.PathEscape(part))
	}
	return strings.Join(path, "/")
}

// call sends a request and reads the answer into out; both may be nil. It
// returns a *delivery.RemoteError for every answer that is no success.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	_, err := c.send(ctx, method, path, in, out)
	return err
}

// list reads every page of a list; more is called with each page's body.
func (c *Client) list(ctx context.Context, path string, more func(json.RawMessage) error) error {
	page := ""
	for range maxPages {
		var body json.RawMessage
		header, err := c.send(ctx, http.MethodGet, path+"?per_page=100"+page, nil, &body)
		if err != nil {
			return err
		}
		if err := more(body); err != nil {
			return fmt.Errorf("GitHub GET %s: %w", path, err)
		}
		next := nextPage(header.Get("Link"))
		if next == 0 {
			return nil
		}
		page = "&page=" + strconv.Itoa(next)
	}
	return fmt.Errorf("GitHub GET %s: more than %d pages", path, maxPages)
}

// nextPage is the number of the page with rel="next" (RFC 8288), 0 where there
// is none. The rest of the address is not followed: GitHub writes another one
// than was asked, and no answer shall lead the token elsewhere.
func nextPage(link string) int {
	for part := range strings.SplitSeq(link, ",") {
		address, rel, ok := strings.Cut(part, ";")
		u, err := url.Parse(strings.Trim(strings.TrimSpace(address), "<>"))
		if !ok || err != nil || !strings.Contains(rel, `rel="next"`) {
			continue
		}
		if page, err := strconv.Atoi(u.Query().Get("page")); err == nil && page > 0 {
			return page
		}
	}
	return 0
}

func (c *Client) send(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	base, err := c.base()
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "asking GitHub", Err: err}
	}
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return nil, fmt.Errorf("GitHub %s %s: %w", method, path, err)
		}
	}
	for try := 1; ; try++ {
		header, wait, err := c.once(ctx, method, base+path, body, out)
		if err == nil || wait < 0 || try == restTries {
			return header, err
		}
		if sleep(ctx, wait+rand.N(100*time.Millisecond<<try)) != nil {
			return nil, err
		}
	}
}

// once sends a request once. wait is how long to wait before the next try;
// negative where none would help. A write that went unanswered may have been
// carried out: all that are sent here can be repeated.
func (c *Client) once(ctx context.Context, method, address string, body []byte, out any) (header http.Header, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryDeadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, -1, fmt.Errorf("GitHub %s: the address is none", method)
	}
	req.Header.Set("Authorization", "Bearer "+c.token())
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", apiVersion)
	resp, err := Minter{Transport: c.Transport}.client().Do(req)
	if err != nil {
		return nil, 0, withoutURL(err, req.URL.Host)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxRestBody+1))
	if err != nil || len(raw) > maxRestBody {
		return nil, 0, fmt.Errorf("GitHub %s %s: the answer could not be read whole", method, req.URL.Path)
	}
	if resp.StatusCode >= 300 && resp.StatusCode != http.StatusSeeOther {
		return nil, again(resp), remoteFault(req, resp, raw)
	}
	if out == nil || len(raw) == 0 {
		return resp.Header, 0, nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, -1, fmt.Errorf("GitHub %s %s: the answer is not the JSON that was expected", method, req.URL.Path)
	}
	return resp.Header, 0, nil
}

// again says how long GitHub wants to be left alone (GitHub docs: rate limits
// for the REST API), negative where asking again would not help.
func again(resp *http.Response) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		wait = time.Duration(seconds) * time.Second
	}
	limited := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusForbidden && resp.Header.Get("Retry-After") != ""
	if (resp.StatusCode < 500 || resp.StatusCode == http.StatusNotImplemented) && !limited || wait < 0 || wait > maxWait {
		return -1
	}
	return wait
}

// remoteFault is GitHub's refusal in the core's words.
func remoteFault(req *http.Request, resp *http.Response, raw []byte) error {
	var answer struct{ Message string }
	_ = json.Unmarshal(raw, &answer) // the status says enough
	_, resource, _ := strings.Cut(req.URL.Path, "/repos/")
	e := &delivery.RemoteError{Service: "GitHub", Operation: req.Method, Resource: resource, Code: strconv.Itoa(resp.StatusCode),
		Message: answer.Message, Status: resp.StatusCode, RequestID: resp.Header.Get("X-Github-Request-Id")}
	switch resp.StatusCode {
	case http.StatusNotFound:
		e.Kind = delivery.ErrNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Kind = delivery.ErrDenied
	case http.StatusConflict:
		e.Kind = delivery.ErrExists
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
		e.Kind = delivery.ErrInvalid
	case http.StatusTooManyRequests:
		e.Kind = delivery.ErrThrottled
	}
	return e
}
