package agentcore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	signingName = "bedrock-agentcore" // of both planes (facts: Wire)
	dataHost    = "bedrock-agentcore"
	maxBody     = 16 << 20         // of a control plane's answer
	callTimeout = 30 * time.Second // of one attempt on the control plane
	callBudget  = 3 * time.Minute  // of a call with its retries
)

// HTTPClient sends requests; *http.Client is one.
type HTTPClient interface {
	Do(*http.Request) (*http.Response, error)
}

// Client speaks to AgentCore's control and data planes. It implements
// delivery.Runtimes, Creator, EndpointMover and Invoker, and is safe for
// concurrent use.
type Client struct {
	// Config gives region and credentials.
	Config aws.Config
	// Control and Data are base URLs without a slash at the end. If empty,
	// AWS's own for the region.
	Control, Data string
	// HTTP sends the requests. If nil, Config.HTTPClient without its timeout:
	// an agent may answer for an hour, so deadlines are set call by call.
	HTTP HTTPClient
	// Patience is how long one answer of the control plane may take. If zero,
	// or longer than that, 30 seconds.
	Patience time.Duration
	// Renew drops credentials that AWS says have expired, and says whether new
	// ones may help. If nil, none do.
	Renew func() bool
	// UserAgent names the program: slipway/<version>.
	UserAgent string
}

// request is one call before it is signed.
type request struct {
	operation string
	resource  string // for errors
	method    string
	base      string
	path      string // escaped
	query     url.Values
	header    http.Header
	body      []byte
	bearer    string
	// repeat says that sending it twice does no more than sending it once.
	repeat bool
	// again says whether a refusal, by its code, status and message, may go
	// away by itself. If nil, transient.
	again func(*delivery.RemoteError) bool
	tries int // if 0, maxTries
}

// control makes a request to the control plane. Labels are escaped.
func (c *Client) control(operation, resource, method string, labels ...string) *request {
	path := []string{"", "runtimes"}
	for _, label := range labels {
		path = append(path, escape(label))
	}
	return &request{operation: operation, resource: resource, method: method, path: strings.Join(path, "/") + "/", query: url.Values{},
		base: c.base(c.Control, "bedrock-agentcore-control"), header: http.Header{}, repeat: true}
}

// base is the override, the configuration's endpoint, or AWS's own host.
func (c *Client) base(override, host string) string {
	switch {
	case override != "":
		return strings.TrimRight(override, "/")
	case c.Config.BaseEndpoint != nil:
		return strings.TrimRight(*c.Config.BaseEndpoint, "/")
	case strings.HasPrefix(c.Config.Region, "cn-"):
		return "https://" + host + "." + c.Config.Region + ".amazonaws.com.cn"
	}
	return "https://" + host + "." + c.Config.Region + ".amazonaws.com"
}

// call sends a control plane request, again where that may help, and returns
// the body of a 2xx answer.
func (c *Client) call(ctx context.Context, r *request) (delivery.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, callBudget)
	defer cancel()
	patience := callTimeout
	if c.Patience > 0 {
		patience = min(patience, c.Patience)
	}
	var body []byte
	err := c.retry(ctx, r, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		resp, err := c.send(ctx, r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1)); err != nil {
			return r.unanswered(err)
		}
		if len(body) > maxBody {
			return fmt.Errorf("AgentCore %s %s: the answer is larger than %d bytes", r.operation, r.resource, maxBody)
		}
		if resp.StatusCode/100 != 2 {
			return remoteError(r, resp, body)
		}
		return nil
	})
	return body, err
}

// send signs the request and sends it once.
func (c *Client) send(ctx context.Context, r *request) (*http.Response, error) {
	address := r.base + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("AgentCore %s: %w", r.operation, err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	if err := c.authorize(ctx, req, r); err != nil {
		return nil, err
	}
	resp, err := c.client().Do(req)
	if err != nil {
		return nil, r.unanswered(err)
	}
	return resp, nil
}

// authorize signs the request, or adds the bearer token in a signature's
// place.
func (c *Client) authorize(ctx context.Context, req *http.Request, r *request) error {
	if r.bearer != "" {
		if err := checkBearer(req.URL.Scheme, req.URL.Host); err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+r.bearer)
		return nil
	}
	if c.Config.Credentials == nil {
		return &delivery.Error{Kind: delivery.KindCredentials, Op: "AgentCore " + r.operation, Err: errors.New("there are no credentials")}
	}
	creds, err := c.Config.Credentials.Retrieve(ctx)
	if err != nil {
		return ours(fmt.Errorf("AgentCore %s: %w", r.operation, err))
	}
	return sign(ctx, req, creds, c.Config.Region, r.body, time.Now())
}

// CheckBearer returns an *Error of KindRefused where a bearer token would go
// out unencrypted. It implements delivery.BearerChecker.
func (c *Client) CheckBearer() error {
	u, err := url.Parse(c.base(c.Data, dataHost))
	if err != nil {
		return fmt.Errorf("reading AgentCore's endpoint: %w", err)
	}
	return checkBearer(u.Scheme, u.Host)
}

// checkBearer keeps a bearer token off plain HTTP, also to this machine: unlike
// a signature, it is all that a thief needs.
func checkBearer(scheme, host string) error {
	if scheme == "https" {
		return nil
	}
	return &delivery.Error{Kind: delivery.KindRefused, Op: "calling the agent", Err: fmt.Errorf("a bearer token is not sent in clear to %s", host),
		Hints: []string{"AWS_ENDPOINT_URL_BEDROCK_AGENTCORE has to be https://, with its authority in AWS_CA_BUNDLE; `slipway local env` exports both"}}
}

// sign adds a SigV4 signature. The signer escapes the path once more than the
// wire does, so that an ARN within it is signed as AWS reads it.
func sign(ctx context.Context, req *http.Request, creds aws.Credentials, region string, body []byte, at time.Time) error {
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), signingName, region, at); err != nil {
		return fmt.Errorf("signing the request: %w", err)
	}
	return nil
}

func (c *Client) client() HTTPClient {
	if c.HTTP != nil {
		return c.HTTP
	}
	if client, ok := c.Config.HTTPClient.(*http.Client); ok {
		patient := *client
		patient.Timeout = 0
		return &patient
	}
	if c.Config.HTTPClient != nil {
		return c.Config.HTTPClient
	}
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// escape escapes a label of a path as AWS's clients do: all but the
// unreserved characters, slashes included.
func escape(label string) string {
	var b strings.Builder
	for i := range len(label) {
		switch c := label[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
