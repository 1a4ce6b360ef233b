package judge

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/slipway-cd/slipway/internal/sim"
	"github.com/slipway-cd/slipway/internal/sim/sandbox"
)

var update = flag.Bool("update", false, "write the counts and tables of docs/judges.md anew")

// TestMain lets the test's program be the first process of agents' sandboxes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "sandbox-init" {
		os.Exit(sandbox.Init(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// cloud is a local cloud on a loopback port, and its administrator.
type cloud struct {
	t     *testing.T
	cloud *sim.Cloud
	url   string // http://127.0.0.1:PORT
	host  string // 127.0.0.1:PORT, which is also the registry's name for clients
	admin map[string]string
	ecr   *ecr.Client
}

// newCloud serves a cloud. Where in is given, it stands between the clients and
// the cloud: to record, or to break.
func newCloud(t *testing.T, in func(http.Handler) http.Handler) *cloud {
	t.Helper()
	clock := &clock{}
	c := &sim.Cloud{Dir: t.TempDir(), Settle: settle, Now: clock.now, Sandbox: []string{os.Args[0], "sandbox-init"},
		Warn: func(line string) { t.Log("cloud: " + line) }}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	handler := clock.watched(c)
	if in != nil {
		handler = in(c)
	}
	srv := httptest.NewServer(handler)
	t.Cleanup(func() {
		srv.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	key, secret, err := c.Administrator(sim.DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	return &cloud{t: t, cloud: c, url: srv.URL, host: strings.TrimPrefix(srv.URL, "http://"),
		admin: map[string]string{"AWS_ENDPOINT_URL": srv.URL, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret,
			"AWS_REGION": sim.DefaultRegion, "AWS_DEFAULT_REGION": sim.DefaultRegion},
		ecr: ecr.NewFromConfig(aws.Config{Region: sim.DefaultRegion, BaseEndpoint: &srv.URL, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})}
}

// settle is how long a runtime settles: more than any client takes between two
// calls, so that what is UPDATING still is, however slow the machine.
const settle = 5 * time.Second

// clock is the cloud's. It runs, and moves on that far each time somebody looks
// at a runtime: waiting takes calls, not time. Signatures are judged by it too,
// and allow for five minutes.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/runtimes/") {
			c.ahead.Add(int64(settle))
		}
		next.ServeHTTP(w, r)
	})
}

// repository makes a repository.
func (c *cloud) repository(name string, mutability types.ImageTagMutability) {
	c.t.Helper()
	in := &ecr.CreateRepositoryInput{RepositoryName: &name, ImageTagMutability: mutability}
	if _, err := c.ecr.CreateRepository(c.t.Context(), in); err != nil {
		c.t.Fatal(err)
	}
}

// mountBlobs turns cross-repository mounts on; ECR's accounts have them off.
func (c *cloud) mountBlobs() {
	c.t.Helper()
	in := &ecr.PutAccountSettingInput{Name: aws.String("BLOB_MOUNTING"), Value: aws.String("ENABLED")}
	if _, err := c.ecr.PutAccountSetting(c.t.Context(), in); err != nil {
		c.t.Fatal(err)
	}
}

// password is what `aws ecr get-login-password` prints.
func (c *cloud) password() string {
	c.t.Helper()
	out, err := c.ecr.GetAuthorizationToken(c.t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		c.t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(*out.AuthorizationData[0].AuthorizationToken)
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimPrefix(string(raw), "AWS:")
}

// token is a job's token, as GitHub would sign it.
func (c *cloud) token(repository, environment string) string {
	c.t.Helper()
	body := fmt.Sprintf(`{"job":{"repository":%q,"environment":%q},"audience":"sts.amazonaws.com"}`, repository, environment)
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+"/_local/token", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.cloud.ControlToken())
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	var token struct {
		Value string `json:"value"`
	}
	if err := json.NewDecoder(res.Body).Decode(&token); err != nil || token.Value == "" {
		c.t.Fatalf("no token: %d, %v", res.StatusCode, err)
	}
	return token.Value
}

// program is a judge's program: it finds nothing of the machine's own
// configuration, and ends with the test.
type program struct {
	dir string
	env map[string]string
	in  string // stdin
}

// limit is more than any judge takes; one that hangs fails.
const limit = 4 * time.Minute

// run returns what the program printed, on each stream.
func (p program) run(t *testing.T, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = p.dir, strings.NewReader(p.in)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true"}
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err = cmd.Run()
	return out.String(), messages.String(), err
}

// version notes in the test's log which version of a program judges.
func (p program) version(t *testing.T, name string, args ...string) {
	t.Helper()
	out, messages, err := p.run(t, name, args...)
	if err != nil {
		t.Fatalf("%s does not say its version: %v\n%s", name, err, messages)
	}
	t.Logf("%s %s", name, strings.Join(strings.Fields(out), " "))
}
