package awsauth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	dialTimeout = 10 * time.Second
	callTimeout = 60 * time.Second // of one attempt, its body read
	maxAttempts = 4
	maxBackoff  = 10 * time.Second
)

// newClient is the HTTP client of every call. It trusts AWS_CA_BUNDLE in
// place of the system's roots, as the AWS CLI does.
func newClient(bundle string) (*http.Client, error) {
	roots, err := readBundle(bundle)
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "reading AWS_CA_BUNDLE", Err: err}
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	return withoutRedirects(&http.Transport{
		Proxy:                 tunnelOnly,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   dialTimeout,
		ExpectContinueTimeout: time.Second,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
	}), nil
}

// withoutRedirects keeps a signed request, and the session token in its
// headers, from going anywhere else than where it was sent.
func withoutRedirects(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		Timeout:       callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// tunnelOnly sends https through the machine's proxy, which then sees only
// where it goes. Plain http is for loopback and goes there directly.
func tunnelOnly(r *http.Request) (*url.URL, error) {
	if r.URL.Scheme != "https" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

func readBundle(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return roots, nil
}

// newRetryer is the SDK's standard retryer, with full jitter, of four
// attempts. LimitExceededException is taken out: ECR says it for quotas, which
// no retry raises (security: section 2). Two are added: an answer whose body
// was cut says nothing, and credentials that have expired may be replaced
// (renew; nil: never).
func newRetryer(renew func() bool) aws.Retryer {
	own := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
		var garbled *smithy.DeserializationError
		switch {
		case errorCode(err) == "LimitExceededException":
			return aws.FalseTernary
		case errors.Is(kindOf(errorCode(err)), delivery.ErrExpired):
			return aws.BoolTernary(renew != nil && renew())
		case errors.As(err, &garbled) && errors.Is(err, io.ErrUnexpectedEOF):
			return aws.TrueTernary
		}
		return aws.UnknownTernary
	})
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.MaxBackoff = maxBackoff
		o.Retryables = append([]retry.IsErrorRetryable{own}, o.Retryables...)
	})
}
