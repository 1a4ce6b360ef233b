package awsauth

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	role         = "arn:aws:iam::111122223333:role/deploy-dev"
	canaryToken  = "CANARY-jwt-1b7d"
	canarySecret = "CANARY-secret-93c0"
	canaryKey    = "ASIACANARYKEYID00000"
)

// stsAnswer is one answer of the STS that the tests talk to.
type stsAnswer struct {
	status int
	body   string
	err    error
}

func refused(status int, code, message string) stsAnswer {
	return stsAnswer{status: status, body: fmt.Sprintf(`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>`+
		`<Code>%s</Code><Message>%s</Message></Error><RequestId>req-1</RequestId></ErrorResponse>`, code, message)}
}

func session(expires time.Time) stsAnswer {
	return stsAnswer{status: 200, body: fmt.Sprintf(`<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">`+
		`<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey>`+
		`<SessionToken>CANARY-session</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult>`+
		`<ResponseMetadata><RequestId>req-2</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>`,
		canaryKey, canarySecret, expires.UTC().Format(time.RFC3339))}
}

const identity = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` +
	`<Arn>arn:aws:sts::111122223333:assumed-role/deploy-dev/gh-7-2</Arn><UserId>AROA:gh</UserId><Account>111122223333</Account>` +
	`</GetCallerIdentityResult></GetCallerIdentityResponse>`

// fakeSTS answers AssumeRoleWithWebIdentity from a list, the last one for
// ever, and keeps every form and header it was sent.
type fakeSTS struct {
	mu      sync.Mutex
	answers []stsAnswer
	assumed []url.Values
	headers []http.Header // of the calls that are signed
	hosts   []string
}

func (f *fakeSTS) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, err
	}
	f.hosts = append(f.hosts, r.URL.Host)
	answer := stsAnswer{status: 200, body: identity}
	if form.Get("Action") == "AssumeRoleWithWebIdentity" {
		answer = f.answers[min(len(f.assumed), len(f.answers)-1)]
		f.assumed = append(f.assumed, form)
	} else {
		f.headers = append(f.headers, r.Header)
	}
	if answer.err != nil {
		return nil, answer.err
	}
	return &http.Response{StatusCode: answer.status, Header: http.Header{"Content-Type": {"text/xml"}, "X-Amzn-Requestid": {"req-1"}},
		Body: io.NopCloser(strings.NewReader(answer.body)), Request: r}, nil
}

// tokens hands out numbered tokens.
func tokens() func(context.Context, string) (string, error) {
	n := 0
	return func(_ context.Context, audience string) (string, error) {
		n++
		return fmt.Sprintf("%s.%d.%s", canaryToken, n, audience), nil
	}
}

func jobEnv(more ...string) func(string) string {
	return env(append([]string{"GITHUB_ACTIONS", "true", "CI", "true", "GITHUB_RUN_ID", "7", "GITHUB_RUN_ATTEMPT", "2", "AWS_REGION", "us-east-1"}, more...)...)
}

func TestLoginInAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expires := time.Now().Add(time.Hour).Truncate(time.Second)
		remote := &fakeSTS{answers: []stsAnswer{session(expires)}}
		s, err := Source{Getenv: jobEnv(), Role: role, Token: tokens(), Transport: remote, Version: "1.2.3"}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(remote.hosts) != 0 {
			t.Errorf("Open sent something to %v", remote.hosts)
		}
		caller, err := s.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := delivery.Caller{Account: "111122223333", ARN: "arn:aws:sts::111122223333:assumed-role/deploy-dev/gh-7-2", Expires: expires.UTC()}
		if !caller.Expires.Equal(expires) || caller.Account != want.Account || caller.ARN != want.ARN {
			t.Errorf("got %+v, want %+v", caller, want)
		}
		form := remote.assumed[0]
		for name, want := range map[string]string{"Version": "2011-06-15", "RoleArn": role, "RoleSessionName": "gh-7-2",
			"DurationSeconds": "3600", "WebIdentityToken": canaryToken + ".1.sts.amazonaws.com"} {
			if form.Get(name) != want {
				t.Errorf("%s = %q, want %q", name, form.Get(name), want)
			}
		}
		h := remote.headers[0]
		if !strings.HasPrefix(h.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+canaryKey) || !strings.Contains(h.Get("User-Agent"), "slipway/1.2.3") {
			t.Errorf("sent %q by %q", h.Get("Authorization"), h.Get("User-Agent"))
		}
		if remote.hosts[0] != "sts.us-east-1.amazonaws.com" {
			t.Errorf("sent to %s", remote.hosts[0])
		}
	})
}

// Credentials are fetched once, replaced five minutes before their end, and a
// new login drops them.
func TestCredentialsAreRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote := &fakeSTS{answers: []stsAnswer{session(time.Now().Add(15 * time.Minute)), session(time.Now().Add(time.Hour))}}
		s, err := Source{Getenv: jobEnv(), Role: role, Token: tokens(), Transport: remote, Duration: 15 * time.Minute}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fetch := func(want int) {
			t.Helper()
			if _, err := s.Config(SSM).Credentials.Retrieve(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(remote.assumed) != want {
				t.Errorf("%d sessions, want %d", len(remote.assumed), want)
			}
		}
		fetch(1)
		time.Sleep(9 * time.Minute)
		fetch(1)
		time.Sleep(time.Minute + time.Second)
		fetch(2)
		if _, err := s.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		fetch(3)
		if remote.assumed[0].Get("DurationSeconds") != "900" {
			t.Errorf("asked for %s s", remote.assumed[0].Get("DurationSeconds"))
		}
	})
}

func TestAssumeRetries(t *testing.T) {
	jwks := refused(400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements")
	idp := refused(400, "IDPCommunicationError", "An error occurred while calling the identity provider")
	denied := refused(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	expired := refused(400, "ExpiredTokenException", "Token expired")
	good := session(time.Now().Add(100 * 365 * 24 * time.Hour))
	tests := []struct {
		name    string
		answers []stsAnswer
		calls   int
		kind    delivery.Kind
	}{
		{"keys came late", []stsAnswer{jwks, idp, good}, 3, ""},
		{"keys never came", []stsAnswer{jwks}, 5, delivery.KindUnavailable},
		{"issuer away for ever", []stsAnswer{idp}, 5, delivery.KindUnavailable},
		{"a 503, then throttled", []stsAnswer{{status: 503, body: "<html>"}, refused(400, "Throttling", "Rate exceeded"), good}, 3, ""},
		{"network down for ever", []stsAnswer{{err: errors.New("connection refused")}}, 5, delivery.KindUnavailable},
		{"denied", []stsAnswer{denied, good}, 1, delivery.KindDenied},
		{"expired once", []stsAnswer{expired, good}, 2, ""},
		{"expired twice", []stsAnswer{expired, expired, good}, 2, delivery.KindCredentials},
		{"no provider", []stsAnswer{refused(400, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://x")}, 1, delivery.KindDenied},
		{"audience", []stsAnswer{refused(400, "InvalidIdentityToken", "Incorrect token audience")}, 1, delivery.KindDenied},
		{"rejected claim", []stsAnswer{refused(403, "IDPRejectedClaim", "revoked")}, 1, delivery.KindDenied},
		{"region", []stsAnswer{refused(403, "RegionDisabledException", "STS is not activated in this region")}, 1, delivery.KindConfig},
		{"duration", []stsAnswer{refused(400, "ValidationError", "DurationSeconds exceeds the MaxSessionDuration")}, 1, delivery.KindConfig},
		{"no credentials in the answer", []stsAnswer{{status: 200, body: "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult/></AssumeRoleWithWebIdentityResponse>"}}, 5, delivery.KindUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				remote := &fakeSTS{answers: tt.answers}
				s, err := Source{Getenv: jobEnv(), Role: role, Token: tokens(), Transport: remote}.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				_, err = s.Login(t.Context())
				if len(remote.assumed) != tt.calls {
					t.Errorf("%d calls, want %d", len(remote.assumed), tt.calls)
				}
				if time.Since(start) > assumeDeadline {
					t.Errorf("took %v", time.Since(start))
				}
				for i, form := range remote.assumed { // a new token for each attempt
					if want := fmt.Sprintf("%s.%d.%s", canaryToken, i+1, DefaultAudience); form.Get("WebIdentityToken") != want {
						t.Errorf("attempt %d sent %s", i+1, form.Get("WebIdentityToken"))
					}
				}
				if (tt.kind == "") != (err == nil) || err != nil && delivery.KindOf(err) != tt.kind {
					t.Errorf("got %v of kind %s, want %q", err, delivery.KindOf(err), tt.kind)
				}
				if err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, err), "CANARY") {
					t.Errorf("the error holds a secret: %v", err)
				}
			})
		})
	}
}

func TestNothingFromTheTokenIsUnexplained(t *testing.T) {
	noToken := &delivery.Error{Kind: delivery.KindCredentials, Op: "asking GitHub", Err: errors.New("no permission")}
	s, err := Source{Getenv: jobEnv(), Role: role, Transport: &fakeSTS{},
		Token: func(context.Context, string) (string, error) { return "", noToken }}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.Login(t.Context()); !errors.Is(err, noToken) {
		t.Errorf("got %v", err)
	}
	// The same from within a call of a service.
	_, err = ssm.NewFromConfig(s.Config(SSM)).GetParameter(t.Context(), &ssm.GetParameterInput{Name: new(string)})
	if !errors.Is(err, noToken) {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	long := []string{"AWS_ACCESS_KEY_ID", "AKIACANARY0000000000", "AWS_SECRET_ACCESS_KEY", canarySecret}
	tests := []struct {
		name   string
		source Source
		kind   delivery.Kind
		want   string
	}{
		{"keys in a job", Source{Getenv: jobEnv(long...), Role: role}, delivery.KindCredentials, "long-lived"},
		{"keys in a job, session token beside", Source{Getenv: jobEnv(append(long, "AWS_SESSION_TOKEN", "x")...)}, delivery.KindCredentials, "long-lived"},
		{"keys without session token", Source{Getenv: jobEnv("AWS_ACCESS_KEY_ID", "ASIAX", "AWS_SECRET_ACCESS_KEY", canarySecret)}, delivery.KindCredentials, "long-lived"},
		{"keys in another CI", Source{Getenv: env(append(long, "CI", "1", "AWS_REGION", "us-east-1")...)}, delivery.KindCredentials, "long-lived"},
		{"half a key", Source{Getenv: env("AWS_SECRET_ACCESS_KEY", canarySecret)}, delivery.KindCredentials, "go together"},
		{"no role", Source{Getenv: jobEnv()}, delivery.KindCredentials, "no role"},
		{"bad role", Source{Getenv: jobEnv(), Role: "deploy-dev", Token: tokens()}, delivery.KindConfig, "no role"},
		{"no region", Source{Getenv: env(long...)}, delivery.KindConfig, "region"},
		{"bad region", Source{Getenv: env(append(long, "AWS_REGION", "x.evil.example/")...)}, delivery.KindConfig, "no region"},
		{"short", Source{Getenv: jobEnv(), Role: role, Token: tokens(), Duration: time.Minute}, delivery.KindConfig, "15 minutes"},
		{"foreign", Source{Getenv: jobEnv("AWS_ENDPOINT_URL", "https://aws.example"), Role: role, Token: tokens()}, delivery.KindRefused, "aws.example"},
		{"clear text", Source{Getenv: jobEnv("AWS_ENDPOINT_URL_STS", "http://aws.example"), Role: role, Token: tokens()}, delivery.KindConfig, "https"},
		{"no bundle", Source{Getenv: jobEnv("AWS_CA_BUNDLE", "/nowhere/ca.pem"), Role: role, Token: tokens()}, delivery.KindConfig, "AWS_CA_BUNDLE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.source.Open(t.Context())
			if err == nil || delivery.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v of kind %s, want %q of %s", err, delivery.KindOf(err), tt.want, tt.kind)
			}
			if strings.Contains(err.Error(), "CANARY") {
				t.Errorf("the error holds a key: %v", err)
			}
		})
	}
}

func TestLongLivedKeysAreWarnedAbout(t *testing.T) {
	pairs := []string{"AWS_ACCESS_KEY_ID", "AKIACANARY0000000000", "AWS_SECRET_ACCESS_KEY", canarySecret, "AWS_REGION", "eu-west-1"}
	temporary := []string{"AWS_ACCESS_KEY_ID", canaryKey, "AWS_SECRET_ACCESS_KEY", canarySecret, "AWS_SESSION_TOKEN", "t", "AWS_REGION", "eu-west-1"}
	tests := []struct {
		name   string
		source Source
		warned bool
	}{
		{"a person's", Source{Getenv: env(pairs...)}, true},
		{"forced in CI", Source{Getenv: jobEnv(pairs...), AllowKeys: true, Role: role}, true},
		{"temporary", Source{Getenv: env(temporary...)}, false},
		{"temporary, of an earlier step", Source{Getenv: jobEnv(temporary...)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var warnings []string
			remote := &fakeSTS{}
			tt.source.Warn = func(line string) { warnings = append(warnings, line) }
			tt.source.Transport = remote
			s, err := tt.source.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				caller, err := s.Login(t.Context())
				if err != nil || !caller.Expires.IsZero() {
					t.Fatalf("got %+v, %v", caller, err)
				}
			}
			if got := len(warnings); got > 1 || got == 1 != tt.warned {
				t.Errorf("warnings %q", warnings)
			}
			if strings.Contains(strings.Join(warnings, ""), "CANARY") {
				t.Errorf("the warning holds a key: %q", warnings)
			}
			if len(remote.assumed) != 0 {
				t.Errorf("assumed %v", remote.assumed)
			}
		})
	}
}

func TestProfile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	getenv := env("AWS_CONFIG_FILE", write("config", "[profile dev]\nregion = eu-west-3\n"),
		"AWS_SHARED_CREDENTIALS_FILE", write("credentials", "[dev]\naws_access_key_id = ASIADEV\naws_secret_access_key = "+canarySecret+"\naws_session_token = t\n"),
		"AWS_ACCESS_KEY_ID", "AKIAOTHER", "AWS_SECRET_ACCESS_KEY", canarySecret)
	remote := &fakeSTS{}
	s, err := Source{Getenv: getenv, Profile: "dev", Transport: remote}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Region() != "eu-west-3" || !strings.Contains(remote.headers[0].Get("Authorization"), "Credential=ASIADEV/") {
		t.Errorf("region %s, signed %s", s.Region(), remote.headers[0].Get("Authorization"))
	}
	_, err = Source{Getenv: getenv, Profile: "nobody", Transport: remote}.Open(t.Context())
	if delivery.KindOf(err) != delivery.KindCredentials || err == nil {
		t.Errorf("got %v", err)
	}
}

// The endpoint of each service comes from Getenv, for the SDK's own clients
// too, and never from the process's environment.
func TestEndpointsReachTheClients(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
	t.Setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:9")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"Parameter":{"Value":"`+r.Header.Get("X-Amz-Target")+`"}}`)
	}))
	defer server.Close()
	s, err := Source{Getenv: env("AWS_ENDPOINT_URL_SSM", server.URL, "AWS_REGION", "us-east-1",
		"AWS_ACCESS_KEY_ID", "AKIA1", "AWS_SECRET_ACCESS_KEY", "s")}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, err := ssm.NewFromConfig(s.Config(SSM)).GetParameter(t.Context(), &ssm.GetParameterInput{Name: new(string)})
	if err != nil || *out.Parameter.Value != "AmazonSSM.GetParameter" {
		t.Errorf("got %+v, %v", out, err)
	}
	if s.Config(ECR).BaseEndpoint != nil || s.Endpoint(SSM) != server.URL {
		t.Errorf("got %v, %s", s.Config(ECR).BaseEndpoint, s.Endpoint(SSM))
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var calls int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	s, err := Source{Getenv: jobEnv("AWS_ENDPOINT_URL", server.URL), Role: role, Token: tokens()}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Login(t.Context()); err == nil || calls != 0 {
		t.Errorf("error %v, %d calls of the other host", err, calls)
	}
}

// AWS_CA_BUNDLE takes the place of the system's roots.
func TestCABundle(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, identity) }))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshake that is refused below
	dir := t.TempDir()
	bundle, junk := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "junk.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := errors.Join(os.WriteFile(bundle, cert, 0o600), os.WriteFile(junk, []byte("junk"), 0o600)); err != nil {
		t.Fatal(err)
	}
	open := func(bundle string) (*Session, error) {
		return Source{Getenv: env("AWS_ENDPOINT_URL", server.URL, "AWS_CA_BUNDLE", bundle, "AWS_REGION", "us-east-1",
			"AWS_ACCESS_KEY_ID", "AKIA1", "AWS_SECRET_ACCESS_KEY", "s")}.Open(t.Context())
	}
	s, err := open(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.Login(t.Context()); err != nil {
		t.Errorf("with the bundle: %v", err)
	}
	if s, err = open(""); err != nil {
		t.Fatal(err)
	}
	if resp, err := s.client.Head(server.URL); err == nil {
		resp.Body.Close()
		t.Error("a certificate that nobody vouches for was taken")
	}
	if _, err = open(junk); delivery.KindOf(err) != delivery.KindConfig || err == nil {
		t.Errorf("got %v", err)
	}
}

func TestSessionName(t *testing.T) {
	for want, in := range map[string][2]string{"gh-7-2": {"7", "2"}, "gh-7": {"7", ""}, "slipway": {"", "2"}, "gh-a-b-1": {"a b", "1"}} {
		if got := sessionName(in[0], in[1]); got != want {
			t.Errorf("%v: got %s, want %s", in, got, want)
		}
	}
	if got := sessionName(strings.Repeat("9", 99), "1"); len(got) != 64 {
		t.Errorf("%d characters", len(got))
	}
}

func TestServicesHaveDistinctVariables(t *testing.T) {
	list := services()
	slices.Sort(list)
	if len(slices.Compact(list)) != 7 {
		t.Errorf("got %v", list)
	}
}
