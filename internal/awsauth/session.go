package awsauth

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	"github.com/slipway-cd/slipway/internal/delivery"
)

var _ delivery.Login = (*Session)(nil)

// refreshBefore is how long before their end credentials are replaced.
const refreshBefore = 5 * time.Minute

// Session is a session with AWS, opened by Source.Open. It is safe for
// concurrent use and implements delivery.Login.
type Session struct {
	endpoints Endpoints
	region    string
	client    *http.Client
	version   string
	provider  aws.CredentialsProvider
	cache     *aws.CredentialsCache

	mu      sync.Mutex
	renewed time.Time // when Renew last dropped credentials
}

func (s *Session) use(provider aws.CredentialsProvider) {
	s.provider = provider
	s.cache = aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = refreshBefore })
}

// Login drops the credentials there are, fetches new ones, and asks STS whose
// they are. It returns a *delivery.Error: KindCredentials where there are
// none or they don't work, KindDenied, with a *Denial in it, where STS refused
// the job's token, KindUnavailable where nobody answered.
func (s *Session) Login(ctx context.Context) (delivery.Caller, error) {
	s.drop()
	creds, err := s.cache.Retrieve(ctx)
	if err != nil {
		return delivery.Caller{}, loginError("fetching credentials", err)
	}
	out, err := sts.NewFromConfig(s.Config(STS)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return delivery.Caller{}, loginError("asking AWS who we are", remoteErrorUnlessOurs(err))
	}
	caller := delivery.Caller{Account: aws.ToString(out.Account), ARN: aws.ToString(out.Arn)}
	if creds.CanExpire {
		caller.Expires = creds.Expires.Add(refreshBefore) // the cache moved it forward
	}
	return caller, nil
}

// drop forgets the credentials there are.
func (s *Session) drop() {
	s.cache.Invalidate()
	if inner, ok := s.provider.(interface{ Invalidate() }); ok {
		inner.Invalidate()
	}
}

// renewEach bounds how often credentials are replaced before their time.
const renewEach = time.Minute

// Renew drops credentials that AWS says have expired, so that the next call
// fetches new ones. It says whether that may help: not where they were new,
// for then a clock is wrong.
func (s *Session) Renew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache == nil || time.Since(s.renewed) < renewEach {
		return false
	}
	s.renewed = time.Now()
	s.drop()
	return true
}

// remoteErrorUnlessOurs keeps an error that the credentials themselves
// returned within the call.
func remoteErrorUnlessOurs(err error) error {
	var e *delivery.Error
	if errors.As(err, &e) {
		return e
	}
	return remoteError("GetCallerIdentity", "", err)
}

func loginError(op string, err error) error {
	var e *delivery.Error
	if errors.As(err, &e) {
		return e // it says everything; the SDK's words round it don't help
	}
	kind := delivery.KindCredentials
	if unanswered(err) {
		kind = delivery.KindUnavailable
	}
	if errors.Is(err, context.Canceled) {
		kind = delivery.KindInterrupted
	}
	return &delivery.Error{Kind: kind, Op: op, Err: err}
}

// Config returns the configuration for one service. Its credentials are
// fetched on first use, shared by all services, and replaced five minutes
// before they end. Errors of its calls hold the *delivery.Error of a login
// that failed within them.
//
// The endpoint is put in here, in place of the SDK's own reading of the
// process's environment.
func (s *Session) Config(service Service) aws.Config {
	cfg := aws.Config{
		Region:     s.region,
		HTTPClient: s.client,
		Retryer:    func() aws.Retryer { return newRetryer(s.Renew) },
		APIOptions: []func(*middleware.Stack) error{awsmiddleware.AddUserAgentKeyValue("slipway", s.agentVersion())},
	}
	if s.cache != nil {
		cfg.Credentials = s.cache
	}
	if url := s.endpoints.URL(service); url != "" {
		cfg.BaseEndpoint = aws.String(url)
	}
	return cfg
}

// Endpoint returns the base URL that stands in for a service's own, or "".
func (s *Session) Endpoint(service Service) string { return s.endpoints.URL(service) }

// Transport carries calls to AWS that are none of an SDK's, such as a
// registry's: it trusts whom the session trusts.
func (s *Session) Transport() http.RoundTripper { return s.client.Transport }

// Region returns the region of the session.
func (s *Session) Region() string { return s.region }

// guarded watches credentials that somebody else keeps: it warns about
// long-lived keys, refuses them in CI, and words what the chain can't find.
type guarded struct {
	next   aws.CredentialsProvider
	refuse bool
	warn   func(string)
	once   sync.Once
}

func (s Source) guard(next aws.CredentialsProvider) *guarded {
	return &guarded{next: next, refuse: s.inCI() && !s.AllowKeys, warn: s.Warn}
}

// Retrieve returns the credentials of the provider that it guards.
func (g *guarded) Retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, assumeDeadline)
	defer cancel()
	keys, err := g.next.Retrieve(ctx)
	if err != nil {
		return keys, &delivery.Error{Kind: delivery.KindCredentials, Op: "finding AWS credentials", Err: cause(err), Hints: []string{
			"on a machine of one's own: AWS_PROFILE or --profile, and `aws sso login` where the profile uses SSO",
			"in a GitHub job: permissions: {id-token: write} and AWS_DEPLOY_ROLE_ARN"}}
	}
	if longLived(keys) {
		if g.refuse {
			return aws.Credentials{}, keysRefused()
		}
		g.once.Do(g.warnOfKeys)
	}
	return keys, nil
}

func (g *guarded) warnOfKeys() {
	if g.warn != nil {
		g.warn("these AWS keys don't expire by themselves; prefer `aws sso login` or a role, and keep such keys out of CI")
	}
}

// Invalidate makes the provider fetch anew, where it keeps what it fetched.
func (g *guarded) Invalidate() {
	if cache, ok := g.next.(interface{ Invalidate() }); ok {
		cache.Invalidate()
	}
}

func (s *Session) agentVersion() string {
	if s.version == "" {
		return "unknown"
	}
	return s.version
}
