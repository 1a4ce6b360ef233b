package assume

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/go-jose/go-jose/v4"

	"github.com/slipway-cd/slipway/internal/sim"
	"github.com/slipway-cd/slipway/internal/sim/sandbox"
)

// TestMain lets the test's program be the first process of agents' sandboxes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "sandbox-init" {
		os.Exit(sandbox.Init(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// clock is real time and what the test has waited besides.
type clock struct {
	mu     sync.Mutex
	waited time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.waited)
}

// wait moves the clock, and gives processes a moment of real time.
func (c *clock) wait(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	c.waited += d
	c.mu.Unlock()
	select {
	case <-time.After(5 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// loopbackOnly is a transport that lets nothing leave the machine.
type loopbackOnly struct {
	t    T
	next http.RoundTripper
}

var errLeak = errors.New("a request that leaves loopback")

// RoundTrip fails the test where a request goes elsewhere.
func (l loopbackOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if ip := net.ParseIP(r.URL.Hostname()); ip == nil || !ip.IsLoopback() {
		l.t.Errorf("%s %s leaves loopback", r.Method, r.URL.Redacted())
		return nil, errLeak
	}
	return l.next.RoundTrip(r)
}

// local is a local cloud to ask, and what stands in front of it.
type local struct {
	t       testing.TB
	cloud   *sim.Cloud
	url     string
	account *Account

	mu    sync.Mutex
	front func(http.Handler) http.Handler // if nil, the cloud answers itself
	jobs  map[string]string               // of acme/gated, by run
}

// ServeHTTP lets the front answer.
func (l *local) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	front := l.front
	l.mu.Unlock()
	if front == nil {
		l.cloud.ServeHTTP(w, r)
		return
	}
	front(l.cloud).ServeHTTP(w, r)
}

func (l *local) setFront(front func(http.Handler) http.Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.front = front
}

const settle = 10 * time.Second

// startLocal serves a local cloud with what a sandbox account has: an execution
// role and GitHub's provider.
func startLocal(t *testing.T) *local {
	t.Helper()
	c := &clock{}
	l := &local{t: t, cloud: &sim.Cloud{Dir: t.TempDir(), Settle: settle, Now: c.now, Sandbox: []string{os.Args[0], "sandbox-init"},
		Warn: func(line string) { t.Log("cloud: " + line) }}}
	if err := l.cloud.Open(); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(l)
	l.url = srv.URL
	t.Cleanup(func() {
		srv.Close()
		if err := l.cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	key, secret, err := l.cloud.Administrator(sim.DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	l.account = &Account{Endpoint: srv.URL, ID: sim.DefaultAccount, Region: sim.DefaultRegion, Prefix: "assume",
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""),
		Client:      &http.Client{Transport: loopbackOnly{t, http.DefaultTransport}},
		Patience:    30 * time.Minute, Pause: settle / 2, Now: c.now, Wait: c.wait,
		Subject: "repo:acme/agent:environment:prod", Token: l.jobToken, Mint: l.mint, Forge: l.forge}
	l.account.GitHub = &Repository{API: srv.URL + "/api/v3", Name: "acme/gated", Starter: "octocat", Reviewer: "hubot", Token: l.person, Start: l.start, End: l.end}
	l.settleIn(t)
	return l
}

// person is the token of somebody who can read acme/gated, or the
// administrator's.
func (l *local) person(ctx context.Context, login string) (string, error) {
	var env map[string]string
	err := l.control(ctx, "env?as="+url.QueryEscape(login), nil, &env)
	return env["GH_TOKEN"], err
}

// start starts a job of acme/gated.
func (l *local) start(ctx context.Context, job map[string]any) (run string, err error) {
	var s sim.JobState
	body := document{"repository": "acme/gated", "name": "only"}
	maps.Copy(body, job)
	err = l.control(ctx, "jobs", body, &s)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs[s.RunID] = s.ID
	return s.RunID, err
}

// end ends the job of a run.
func (l *local) end(ctx context.Context, run, conclusion string) error {
	l.mu.Lock()
	id := l.jobs[run]
	l.mu.Unlock()
	return l.control(ctx, "jobs/end", document{"id": id, "conclusion": conclusion}, &sim.JobState{})
}

// settleIn makes what a sandbox account has before it is asked.
func (l *local) settleIn(t *testing.T) {
	t.Helper()
	a := l.account
	l.jobs = map[string]string{}
	gated := document{"owner": "acme", "owner_id": "1", "name": "gated", "id": "3", "readers": []string{"octocat", "hubot"}}
	if err := l.control(t.Context(), "repositories", gated, &sim.Repository{}); err != nil {
		t.Fatal(err)
	}
	trust := trustOf("Service", "bedrock-agentcore.amazonaws.com", "sts:AssumeRole", nil)
	a.Role = a.iam(t, "CreateRole", "RoleName", "execution", "AssumeRolePolicyDocument", trust).want(t, http.StatusOK).element("Arn")
	a.iam(t, "PutRolePolicy", "RoleName", "execution", "PolicyName", "pull", "PolicyDocument", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"},
		{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Resource":"arn:aws:ecr:*:*:repository/*"}]}`).want(t, http.StatusOK)
	a.iam(t, "CreateOpenIDConnectProvider", "Url", "https://"+gitHubHost, "ClientIDList.member.1", awsAudience).want(t, http.StatusOK)
	if goruntime.GOOS == "linux" { // agents run there alone
		program, err := agentProgram(goruntime.GOARCH)
		if err != nil {
			t.Fatal(err)
		}
		a.Program, a.Arch = program, goruntime.GOARCH
		if a.Arch != "arm64" {
			a.Capacity = "arn:aws:bedrock-agentcore:" + a.Region + ":" + a.ID + ":capacity-provider/x"
		}
	}
}

var programs sync.Map // by architecture: the tests' agent

// agentProgram builds the tests' agent, static.
func agentProgram(arch string) ([]byte, error) {
	build := sync.OnceValues(func() ([]byte, error) {
		dir, err := os.MkdirTemp("", "slipway-assume-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		out := filepath.Join(dir, "agent")
		cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", out, "../sandbox/testdata/agent")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if raw, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building the agent: %w\n%s", err, raw)
		}
		return os.ReadFile(out)
	})
	once, _ := programs.LoadOrStore(arch, build)
	return once.(func() ([]byte, error))()
}

// control calls the local cloud's control API.
func (l *local) control(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	method := http.MethodPost
	if in == nil {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, method, l.url+"/_local/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+l.cloud.ControlToken())
	return fetch(l.account.Client, r, out)
}

func fetch(client *http.Client, r *http.Request, out any) error {
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", r.URL.Path, response.StatusCode, raw)
	}
	return errors.Join(err, json.Unmarshal(raw, out))
}

// jobToken mints as a job does.
func (l *local) jobToken(ctx context.Context, audience string) (string, error) {
	var job sim.JobState
	if err := l.control(ctx, "jobs", document{"repository": "acme/agent", "environment": "prod"}, &job); err != nil {
		return "", err
	}
	return requestToken(ctx, l.account.Client, func(name string) string { return job.Environ[name] }, audience)
}

// requestToken asks for a token as GitHub's own toolkit does.
func requestToken(ctx context.Context, client *http.Client, getenv func(string) string, audience string) (string, error) {
	address := getenv("ACTIONS_ID_TOKEN_REQUEST_URL")
	if address == "" {
		return "", errors.New("the job has no address to ask for tokens")
	}
	if audience != "" {
		address += "&audience=" + url.QueryEscape(audience)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
	var answer struct{ Value string }
	err = fetch(client, r, &answer)
	return answer.Value, err
}

func (l *local) mint(ctx context.Context, job map[string]any) (string, error) {
	var answer struct{ Value string }
	err := l.control(ctx, "token", document{"job": job, "audience": awsAudience}, &answer)
	return answer.Value, err
}

// forge signs claims with the local cloud's own key, which is in its state.
func (l *local) forge(claims []byte) (string, error) {
	var published jose.JSONWebKeySet
	r, err := http.NewRequest(http.MethodGet, l.url+"/.well-known/jwks", nil)
	if err != nil {
		return "", err
	}
	if err := fetch(l.account.Client, r, &published); err != nil {
		return "", err
	}
	raw, err := os.ReadFile(filepath.Join(l.cloud.Dir, "issuer.pem"))
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(raw)
	if block == nil || len(published.Keys) != 1 {
		return "", errors.New("the local cloud keeps its key otherwise than this test thinks")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: published.Keys[0].KeyID}}, nil)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
