package assume

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/slipway-cd/slipway/internal/sim"
)

// The variables that lead to a real account.
const (
	// variableAssume is aws; without it nothing leaves loopback.
	variableAssume = "SLIPWAY_ASSUME"
	// variableAccount is the sandbox account's id: a wrong profile asks nobody.
	variableAccount = "SLIPWAY_ASSUME_ACCOUNT"
	// variableRole is the ARN of an execution role of that account, which trusts
	// bedrock-agentcore.amazonaws.com and may pull from its repositories.
	variableRole = "SLIPWAY_ASSUME_ROLE"
	// variablePrefix begins every name: letters and digits, 12 at most. Default
	// assume.
	variablePrefix = "SLIPWAY_ASSUME_PREFIX"
	// variableAgents is yes where agents may be run.
	variableAgents = "SLIPWAY_ASSUME_AGENTS"
)

// TestRealAccount asks a real account, where SLIPWAY_ASSUME is aws:
//
//	SLIPWAY_ASSUME=aws SLIPWAY_ASSUME_ACCOUNT=111122223333 \
//	SLIPWAY_ASSUME_ROLE=arn:aws:iam::111122223333:role/agent-execution \
//	go test ./internal/sim/assume -run TestRealAccount -v -timeout 4h
//
// Credentials and region are those of the usual AWS chain (AWS_PROFILE,
// AWS_REGION …). They need to be an administrator's of a sandbox account with
// nothing else in it.
//
// It makes, one assumption after the other, and deletes at the end of each:
// some 45 AgentCore runtimes with up to three versions and endpoints, some 40
// ECR repositories with images of about a kilobyte, some 50 IAM roles, some 15
// managed policies, OIDC providers below
// https://token.actions.githubusercontent.com/, and SSM parameters. Every name begins with the prefix and the time in base 36, so
// that what a killed run has left can be found. It changes nothing else, and
// sets nothing of the account. In a job of GitHub Actions (id-token: write) the
// assumptions about tokens are asked too; GitHub's provider has to be in the
// account already, for sts.amazonaws.com.
//
// It costs nothing but the images' storage for some minutes, less than a cent.
// With SLIPWAY_ASSUME_AGENTS=yes, eight assumptions run an agent of 5 MB in
// about 15 sessions of a few seconds, stopped at the end, at the prices of
// AgentCore Runtime: less than ten cents; their log groups stay.
// It takes one to three hours: each runtime is waited for.
func TestRealAccount(t *testing.T) {
	if os.Getenv(variableAssume) != "aws" {
		t.Skipf("no real account is asked: %s is not aws", variableAssume)
	}
	a, err := fromEnvironment(t.Context(), os.Getenv, t)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, a)
}

// fromEnvironment is the account that the variables name.
func fromEnvironment(ctx context.Context, getenv func(string) string, t T) (*Account, error) {
	id, role, prefix := getenv(variableAccount), getenv(variableRole), getenv(variablePrefix)
	if prefix == "" {
		prefix = "assume"
	}
	switch {
	case !regexp.MustCompile(`^[0-9]{12}$`).MatchString(id):
		return nil, fmt.Errorf("%s has to be the sandbox account's id", variableAccount)
	case !strings.HasPrefix(role, "arn:aws:iam::"+id+":role/"):
		return nil, fmt.Errorf("%s has to be the ARN of an execution role of account %s", variableRole, id)
	case !regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`).MatchString(prefix):
		return nil, fmt.Errorf("%s has to be lower-case letters and digits, 12 at most", variablePrefix)
	}
	usual, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	if usual.Region == "" {
		return nil, errors.New("there is no region: set AWS_REGION")
	}
	a := &Account{Endpoint: aws.ToString(usual.BaseEndpoint), ID: id, Region: usual.Region, Credentials: usual.Credentials,
		Prefix: prefix + strconv.FormatInt(time.Now().Unix(), 36), Role: role,
		Client: &http.Client{Timeout: 5 * time.Minute}, Patience: 20 * time.Minute, Pause: 3 * time.Second}
	x := a.query(t, "sts", "2011-06-15", "GetCallerIdentity", true, nil).want(t, http.StatusOK)
	if got := x.element("Account"); got != id {
		return nil, fmt.Errorf("the credentials are of account %s, and %s says %s", got, variableAccount, id)
	}
	if getenv(variableAgents) == "yes" {
		a.Arch = "arm64"
		if a.Program, err = agentProgram(a.Arch); err != nil {
			return nil, err
		}
	}
	if getenv("ACTIONS_ID_TOKEN_REQUEST_URL") != "" {
		a.Token = func(ctx context.Context, audience string) (string, error) {
			return requestToken(ctx, a.Client, getenv, audience)
		}
		a.Subject = claimText(a.claims(t, a.jobToken(t, awsAudience)), "sub")
	}
	return a, nil
}

// TestWrongAccountsAreNotAsked holds the way to a real account to its guards.
func TestWrongAccountsAreNotAsked(t *testing.T) {
	cloud := &sim.Cloud{Dir: t.TempDir()}
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		cloud.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		srv.Close()
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := cloud.Open(); err != nil {
		t.Fatal(err)
	}
	key, secret, err := cloud.Administrator(sim.DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": srv.URL, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret,
		"AWS_REGION": "us-east-1", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": ""} {
		t.Setenv(name, value)
	}
	good := map[string]string{variableAccount: sim.DefaultAccount, variableRole: "arn:aws:iam::" + sim.DefaultAccount + ":role/x"}
	other := map[string]string{variableAccount: "444455556666", variableRole: "arn:aws:iam::444455556666:role/x"}
	for _, test := range []struct {
		name, want string
		variables  map[string]string
		calls      int
	}{
		{"no account", variableAccount, map[string]string{variableRole: good[variableRole]}, 0},
		{"no role", variableRole, map[string]string{variableAccount: sim.DefaultAccount}, 0},
		{"a role elsewhere", variableRole, map[string]string{variableAccount: sim.DefaultAccount, variableRole: other[variableRole]}, 0},
		{"a hostile prefix", variablePrefix, map[string]string{variableAccount: sim.DefaultAccount, variableRole: good[variableRole], variablePrefix: "../x"}, 0},
		{"another account's credentials", sim.DefaultAccount, other, 1},
		{"all is well", "", good, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked = 0
			a, err := fromEnvironment(t.Context(), func(name string) string { return test.variables[name] }, t)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if asked != test.calls {
				t.Errorf("%d calls were made, want %d", asked, test.calls)
			}
			if err == nil && (a.Token != nil || a.Program != nil || a.Forge != nil) {
				t.Error("the account has what nobody gave it")
			}
		})
	}
}

// TestHostsAreAWSs: without an endpoint, calls go to AWS's own names.
func TestHostsAreAWSs(t *testing.T) {
	a := &Account{ID: "111122223333", Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	for service, want := range map[string]string{
		"iam": "https://iam.amazonaws.com", "ecr": "https://api.ecr.eu-west-1.amazonaws.com", "sts": "https://sts.eu-west-1.amazonaws.com",
		"bedrock-agentcore":         "https://bedrock-agentcore.eu-west-1.amazonaws.com",
		"bedrock-agentcore-control": "https://bedrock-agentcore-control.eu-west-1.amazonaws.com",
	} {
		same(t, "the host of "+service, a.host(service), want)
	}
	same(t, "the registry", a.registryHost(t), "https://111122223333.dkr.ecr.eu-west-1.amazonaws.com")
	for service, want := range map[string]string{"iam": "us-east-1/iam", "bedrock-agentcore-control": "eu-west-1/bedrock-agentcore"} {
		r := a.request(t, http.MethodGet, a.host(service)+"/", nil, nil)
		a.sign(t, r, service, nil)
		if header := r.Header.Get("Authorization"); !strings.Contains(header, "/"+want+"/aws4_request") {
			t.Errorf("%s is signed as %s", service, header)
		}
	}
}
