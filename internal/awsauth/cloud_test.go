package awsauth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
)

// startCloud serves a local cloud for the test.
func startCloud(t *testing.T) (*sim.Cloud, string) {
	t.Helper()
	c := &sim.Cloud{Dir: t.TempDir()}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c)
	t.Cleanup(func() {
		server.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, server.URL
}

func getenv(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// administrator opens the session that `slipway local env` stands for.
func administrator(t *testing.T, c *sim.Cloud, base string) *awsauth.Session {
	t.Helper()
	key, secret, err := c.Administrator(sim.DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	s, err := awsauth.Source{Getenv: getenv(map[string]string{"AWS_ENDPOINT_URL": base, "AWS_REGION": sim.DefaultRegion,
		"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret})}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// trustGitHub makes the provider and a role for one subject.
func trustGitHub(t *testing.T, s *awsauth.Session, subject string) string {
	t.Helper()
	client := iam.NewFromConfig(s.Config(awsauth.IAM))
	_, err := client.CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{
		Url: aws.String(sim.Issuer), ClientIDList: []string{awsauth.DefaultAudience}})
	if err != nil {
		t.Fatal(err)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity",
		"Principal":{"Federated":"arn:aws:iam::` + sim.DefaultAccount + `:oidc-provider/token.actions.githubusercontent.com"},
		"Condition":{"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com",
		"token.actions.githubusercontent.com:sub":"` + subject + `"}}}]}`
	out, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("deploy-dev"), AssumeRolePolicyDocument: &policy})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Role.Arn
}

// job starts a job and returns its environment.
func job(t *testing.T, c *sim.Cloud, base, description string) map[string]string {
	t.Helper()
	var started sim.JobState
	call(t, http.MethodPost, base+"/_local/jobs", "Bearer "+c.ControlToken(), description, &started)
	return started.Environ
}

func call(t *testing.T, method, address, authorization, body string, out any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(raw, out) != nil {
		t.Fatalf("%s: %d %s %v", address, resp.StatusCode, raw, err)
	}
}

// inJob is a source as a job has it; the token comes the way GitHub's does.
func inJob(t *testing.T, vars map[string]string, role string) awsauth.Source {
	return awsauth.Source{Getenv: getenv(vars), Role: role, Claims: payload,
		Token: func(_ context.Context, audience string) (string, error) {
			var answer struct{ Value string }
			call(t, http.MethodGet, vars["ACTIONS_ID_TOKEN_REQUEST_URL"]+"&audience="+url.QueryEscape(audience),
				"bearer "+vars["ACTIONS_ID_TOKEN_REQUEST_TOKEN"], "", &answer)
			return answer.Value, nil
		}}
}

func payload(token string) (map[string]string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	claims := make(map[string]string)
	for name, value := range all {
		if text, ok := value.(string); ok {
			claims[name] = text
		}
	}
	return claims, nil
}

func TestAJobOnTheLocalCloud(t *testing.T) {
	c, base := startCloud(t)
	admin := administrator(t, c, base)
	caller, err := admin.Login(t.Context())
	if err != nil || caller.Account != sim.DefaultAccount || !caller.Expires.IsZero() {
		t.Fatalf("got %+v, %v", caller, err)
	}
	role := trustGitHub(t, admin, "repo:acme@1001/agents@2002:environment:dev")
	expect := awsauth.Expect{Repository: "acme/agents", Environment: "dev", Ref: "refs/heads/main"}

	source := inJob(t, job(t, c, base, `{"repository":"acme@1001/agents@2002","environment":"dev","run_id":"318","run_attempt":"2"}`), role)
	source.Expect, source.Duration = expect, 15*time.Minute
	s, err := source.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second login is a new session
		if caller, err = s.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if left := time.Until(caller.Expires); caller.ARN != "arn:aws:sts::111122223333:assumed-role/deploy-dev/gh-318-2" || left > 15*time.Minute || left < 14*time.Minute {
		t.Errorf("got %+v", caller)
	}

	source = inJob(t, job(t, c, base, `{"repository":"evil@99/agents@77","environment":"dev"}`), role)
	source.Expect = expect
	if s, err = source.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = s.Login(t.Context())
	var denial *awsauth.Denial
	if delivery.KindOf(err) != delivery.KindDenied || !errors.As(err, &denial) {
		t.Fatalf("got %v", err)
	}
	want := awsauth.Claim{Name: "sub", Want: "repo:acme/agents:environment:dev", Got: "repo:evil@99/agents@77:environment:dev"}
	if len(denial.Expected) == 0 || denial.Expected[0] != want {
		t.Errorf("got %+v", denial.Expected)
	}
	if denial.Err.RequestID == "" || denial.Err.Status != http.StatusForbidden {
		t.Errorf("got %+v", denial.Err)
	}
}

func TestNoProviderOnTheLocalCloud(t *testing.T) {
	c, base := startCloud(t)
	vars := job(t, c, base, `{"repository":"acme/agents","environment":"dev"}`)
	s, err := inJob(t, vars, "arn:aws:iam::111122223333:role/deploy-dev").Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Login(t.Context())
	var e *delivery.Error
	if !errors.As(err, &e) || e.Kind != delivery.KindDenied || len(e.Hints) == 0 {
		t.Errorf("got %v", err)
	}
	// Keys that are none.
	s, err = awsauth.Source{Getenv: getenv(map[string]string{"AWS_ENDPOINT_URL": base, "AWS_REGION": sim.DefaultRegion,
		"AWS_ACCESS_KEY_ID": "AKIANOBODY0000000000", "AWS_SECRET_ACCESS_KEY": "CANARY"})}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.Login(t.Context()); delivery.KindOf(err) != delivery.KindCredentials || err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("got %v", err)
	}
}
