package awsauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// DefaultAudience is what AWS's own action asks GitHub for.
const DefaultAudience = "sts.amazonaws.com"

// Source says where a session comes from.
type Source struct {
	// Getenv reads the environment. Outside a job the SDK's own chain also
	// reads the process's, where Getenv has no keys.
	Getenv func(string) string
	// Region goes before AWS_REGION, AWS_DEFAULT_REGION and the profile's.
	Region string
	// Profile goes before keys in the environment and AWS_PROFILE. In a
	// GitHub job it is not used.
	Profile string

	// Role is the ARN of the role that a GitHub job assumes.
	Role string
	// Token asks for the job's OIDC token. Needed in a GitHub job.
	Token func(ctx context.Context, audience string) (string, error)
	// Claims decodes a token, to explain a denial. May be nil.
	Claims func(token string) (map[string]string, error)
	// Audience of the token. If empty, DefaultAudience.
	Audience string
	// Duration of the session, 15 minutes to 12 hours. If zero, one hour.
	Duration time.Duration
	// Expect is what a denial is compared with.
	Expect Expect

	// AllowKeys takes long-lived keys in CI too.
	AllowKeys bool
	// AllowForeign takes endpoints that are not AWS's: Endpoints.Foreign.
	AllowForeign bool
	// Patience is how long one answer of AWS may take. If zero, or longer than
	// that, a minute.
	Patience time.Duration
	// Version goes into the user agent, as slipway/<version>.
	Version string
	// Warn receives what a person should know, a line each. If nil, it is
	// dropped.
	Warn func(line string)
	// Transport carries the calls. If nil, one that honours AWS_CA_BUNDLE
	// and the machine's proxy.
	Transport http.RoundTripper
}

// Open checks the settings and returns a session. It sends nothing: the first
// call, or Login, fetches credentials. It returns a *delivery.Error of
// KindConfig, KindCredentials or KindRefused.
func (s Source) Open(ctx context.Context) (*Session, error) {
	endpoints, err := ReadEndpoints(s.Getenv)
	if err != nil {
		return nil, err
	}
	if foreign := endpoints.Foreign(); len(foreign) > 0 && !s.AllowForeign {
		return nil, &delivery.Error{Kind: delivery.KindRefused, Op: "choosing AWS's endpoints",
			Err:   errors.New("not AWS: " + strings.Join(foreign, ", ")),
			Hints: []string{"whoever runs that host reads what is sent there, tokens included; --yes allows it"}}
	}
	client := withoutRedirects(s.Transport)
	if s.Transport == nil {
		if client, err = newClient(s.Getenv("AWS_CA_BUNDLE")); err != nil {
			return nil, err
		}
	}
	if s.Patience > 0 {
		client.Timeout = min(client.Timeout, s.Patience)
	}
	session := &Session{endpoints: endpoints, region: s.region(), client: client, version: s.Version}
	provider, err := s.provider(ctx, session)
	if err != nil {
		return nil, err
	}
	if !regionPattern.MatchString(session.region) {
		return nil, badRegion(session.region)
	}
	session.use(provider)
	return session, nil
}

// regionPattern keeps a region from becoming another host's name.
var regionPattern = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)

func badRegion(region string) error {
	err := errors.New("no region is set")
	if region != "" {
		err = fmt.Errorf("%q is no region", region)
	}
	return &delivery.Error{Kind: delivery.KindConfig, Op: "choosing the region", Err: err,
		Hints: []string{"set region: in slipway.yaml, --region, or AWS_REGION"}}
}

func (s Source) region() string {
	for _, region := range []string{s.Region, s.Getenv("AWS_REGION"), s.Getenv("AWS_DEFAULT_REGION")} {
		if region != "" {
			return region
		}
	}
	return ""
}

// inGitHub says whether this is a job that can be trusted by its own token.
func (s Source) inGitHub() bool {
	return s.Getenv("GITHUB_ACTIONS") == "true" || s.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL") != ""
}

// inCI says whether nobody is there to look after a key.
func (s Source) inCI() bool {
	ci := strings.ToLower(s.Getenv("CI"))
	return s.inGitHub() || ci != "" && ci != "false" && ci != "0"
}

// provider chooses where credentials come from, once.
func (s Source) provider(ctx context.Context, session *Session) (aws.CredentialsProvider, error) {
	keys, err := s.keys()
	if err != nil {
		return nil, err
	}
	found := keys.HasKeys() && s.Profile == "" || keys.HasKeys() && s.inGitHub()
	if found && longLived(keys) {
		if s.inCI() && !s.AllowKeys {
			return nil, keysRefused()
		}
		return s.guard(credentials.StaticCredentialsProvider{Value: keys}), nil
	}
	switch {
	case s.inGitHub() && s.Role != "":
		return s.webIdentity(session)
	case found: // temporary ones: another step's, or a person's
		return s.guard(credentials.StaticCredentialsProvider{Value: keys}), nil
	case s.inGitHub():
		return nil, &delivery.Error{Kind: delivery.KindCredentials, Op: "choosing the deploy role",
			Err:   errors.New("no role is set for this environment"),
			Hints: []string{"set the variable AWS_DEPLOY_ROLE_ARN in the job's env:, or deploy_role: of the environment in slipway.yaml"}}
	}
	return s.chain(ctx, session)
}

// keys reads the keys that stand in the environment.
func (s Source) keys() (aws.Credentials, error) {
	keys := aws.Credentials{
		AccessKeyID:     s.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: s.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    s.Getenv("AWS_SESSION_TOKEN"),
		Source:          "environment",
	}
	if (keys.AccessKeyID == "") != (keys.SecretAccessKey == "") {
		return keys, &delivery.Error{Kind: delivery.KindCredentials, Op: "reading the keys in the environment",
			Err: errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together; one of them is not set")}
	}
	return keys, nil
}

// longLived says whether keys don't expire by themselves.
func longLived(keys aws.Credentials) bool {
	return strings.HasPrefix(keys.AccessKeyID, "AKIA") || keys.SessionToken == "" && !keys.CanExpire
}

func keysRefused() error {
	return &delivery.Error{Kind: delivery.KindCredentials, Op: "choosing credentials",
		Err: errors.New("long-lived AWS keys are refused in CI: they outlive the job, and leak"),
		Hints: []string{
			"take AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY out of the job and of the repository's secrets, and deactivate the key",
			"a job needs permissions: {id-token: write} and AWS_DEPLOY_ROLE_ARN, nothing else",
		}}
}

// webIdentity is the job's own way in.
func (s Source) webIdentity(session *Session) (aws.CredentialsProvider, error) {
	if !rolePattern.MatchString(s.Role) {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "choosing the deploy role",
			Err: fmt.Errorf("%q is no role: want arn:aws:iam::<account>:role/<name>", s.Role)}
	}
	duration := s.Duration
	if duration == 0 {
		duration = time.Hour
	}
	if duration < 15*time.Minute || duration > 12*time.Hour {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "choosing the session's duration",
			Err: fmt.Errorf("%v: STS takes 15 minutes to 12 hours", duration)}
	}
	if s.Token == nil {
		return nil, &delivery.Error{Kind: delivery.KindCredentials, Op: "choosing credentials", Err: errors.New("there is no way to ask for a token")}
	}
	audience := s.Audience
	if audience == "" {
		audience = DefaultAudience
	}
	cfg := session.Config(STS)
	cfg.Credentials = aws.AnonymousCredentials{}
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} } // each attempt needs a new token
	return &webIdentity{
		sts: sts.NewFromConfig(cfg), token: s.Token, claims: s.Claims, audience: audience, role: s.Role,
		session:  sessionName(s.Getenv("GITHUB_RUN_ID"), s.Getenv("GITHUB_RUN_ATTEMPT")),
		duration: duration, expect: s.Expect,
	}, nil
}

var rolePattern = regexp.MustCompile(`^arn:aws(-[^:]+)?:iam::\d{12}:role/.+$`)

// chain is what the AWS CLI does on a person's machine: profiles, SSO,
// credential processes, the machine's own role.
func (s Source) chain(ctx context.Context, session *Session) (aws.CredentialsProvider, error) {
	profile := s.Profile
	if profile == "" {
		profile = s.Getenv("AWS_PROFILE")
	}
	options := []func(*config.LoadOptions) error{
		config.WithRegion(session.region), // an empty one leaves the profile's
		config.WithSharedConfigProfile(profile),
		config.WithRetryer(func() aws.Retryer { return newRetryer(nil) }),
		config.WithLogger(logging.Nop{}), // what fails is in the error
		// Without it the chain's web-identity provider would go to AWS with
		// a token that is meant for the local cloud.
		config.WithBaseEndpoint(session.endpoints.URL(STS)),
	}
	if file := s.Getenv("AWS_CONFIG_FILE"); file != "" {
		options = append(options, config.WithSharedConfigFiles([]string{file}))
	}
	if file := s.Getenv("AWS_SHARED_CREDENTIALS_FILE"); file != "" {
		options = append(options, config.WithSharedCredentialsFiles([]string{file}))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindCredentials, Op: "reading the AWS configuration", Err: err,
			Hints: []string{"`aws configure list` shows what the AWS CLI finds"}}
	}
	if session.region == "" {
		session.region = loaded.Region
	}
	return s.guard(loaded.Credentials), nil
}
