package iam_test

import (
	"errors"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/iam"
	"github.com/slipway-cd/slipway/internal/sim"
	"github.com/slipway-cd/slipway/internal/trust"
)

const (
	service = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	lambda  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	allow   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:BatchGetImage","Resource":"*"}]}`
	more    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:PutImage","Resource":"*"}]}`
	ceiling = "arn:aws:iam::111122223333:policy/slipway/ceiling"
)

func administrator(t *testing.T) aws.Config {
	t.Helper()
	cloud := &sim.Cloud{Dir: t.TempDir()}
	srv := httptest.NewServer(cloud)
	t.Cleanup(func() {
		srv.Close()
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	key, secret, err := cloud.Administrator(sim.DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	return aws.Config{Region: sim.DefaultRegion, BaseEndpoint: aws.String(srv.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")}
}

// TestProvider: made once, found again, and another team's audience stays
// where ours is added.
func TestProvider(t *testing.T) {
	c, ctx := &iam.Client{Config: administrator(t)}, t.Context()
	if _, err := c.Provider(ctx, sim.DefaultAccount, trust.GitHubIssuer); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("before there is one: %v", err)
	}
	if err := c.CreateProvider(ctx, trust.GitHubIssuer, "theirs", map[string]string{"team": "a"}); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateProvider(ctx, trust.GitHubIssuer, "ours", nil); !errors.Is(err, delivery.ErrExists) {
		t.Errorf("the second: %v", err)
	}
	p, err := c.Provider(ctx, sim.DefaultAccount, trust.GitHubIssuer)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.AddAudience(ctx, p.ARN, "sts.amazonaws.com"); err != nil {
			t.Fatal(err)
		}
	}
	p, err = c.Provider(ctx, sim.DefaultAccount, trust.GitHubIssuer)
	want := trust.Provider{ARN: "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com", Issuer: trust.GitHubIssuer,
		Audiences: []string{"theirs", "sts.amazonaws.com"}, Tags: map[string]string{"team": "a"}}
	if err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
}

// TestRole: what is made is read back whole, and brought to what is asked for
// with other policies left alone.
func TestRole(t *testing.T) {
	c, ctx := &iam.Client{Config: administrator(t)}, t.Context()
	if _, err := c.Role(ctx, "agent"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("before there is one: %v", err)
	}
	boundary := trust.Managed{Document: trust.Document{Name: ceiling, JSON: []byte(allow)}, Tags: map[string]string{"slipway": "dev"}}
	if err := c.CreatePolicy(ctx, boundary); err != nil {
		t.Fatal(err)
	}
	first := trust.Role{Name: "agent", Path: "/ci/", Trust: []byte(lambda), MaxSession: 2 * time.Hour, Tags: map[string]string{"slipway": "dev"},
		Inline: []trust.Document{{Name: "another", JSON: []byte(more)}}}
	if err := c.CreateRole(ctx, first); err != nil {
		t.Fatal(err)
	}
	then := trust.Role{Name: "agent", Trust: []byte(service), MaxSession: time.Hour, Tags: map[string]string{"slipway": "prd"},
		Inline: []trust.Document{{Name: "slipway", JSON: []byte(allow)}}, Boundary: &boundary.Document}
	if err := c.UpdateRole(ctx, then); err != nil {
		t.Fatal(err)
	}
	got, err := c.Role(ctx, "agent")
	want := trust.Role{Name: "agent", Path: "/ci/", ARN: "arn:aws:iam::111122223333:role/ci/agent", Trust: []byte(service), MaxSession: time.Hour,
		Tags: map[string]string{"slipway": "prd"}, Boundary: &boundary.Document,
		Inline: []trust.Document{{Name: "another", JSON: []byte(more)}, {Name: "slipway", JSON: []byte(allow)}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	roles, err := c.Roles(ctx)
	if err != nil || !slices.ContainsFunc(roles, func(r trust.Role) bool { return r.Name == "agent" && string(r.Trust) == service }) {
		t.Errorf("%+v, %v", roles, err)
	}
}

// TestPolicyVersions: a sixth version makes room for itself.
func TestPolicyVersions(t *testing.T) {
	c, ctx := &iam.Client{Config: administrator(t)}, t.Context()
	m := trust.Managed{Document: trust.Document{Name: ceiling, JSON: []byte(allow)}, Tags: map[string]string{"slipway": "dev"}}
	if err := c.CreatePolicy(ctx, m); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		m.JSON = []byte([]string{more, allow}[i%2])
		if err := c.UpdatePolicy(ctx, m); err != nil {
			t.Fatalf("update %d: %v", i, err)
		}
		if got, err := c.Policy(ctx, ceiling); err != nil || string(got.JSON) != string(m.JSON) || got.Tags["slipway"] != "dev" {
			t.Fatalf("update %d: got %s, %v", i, got.JSON, err)
		}
	}
}

func TestServiceRole(t *testing.T) {
	c, ctx := &iam.Client{Config: administrator(t)}, t.Context()
	for range 2 { // the second time, it is there
		if err := c.CreateServiceRole(ctx, "network.bedrock-agentcore.amazonaws.com"); err != nil {
			t.Error(err)
		}
	}
	if err := c.CreateServiceRole(ctx, "ec2.amazonaws.com"); err == nil {
		t.Error("an unknown service was taken")
	}
}

// TestRefusals: IAM's refusals keep their code and become the core's kinds.
func TestRefusals(t *testing.T) {
	cfg := administrator(t)
	c := &iam.Client{Config: cfg}
	err := c.CreateRole(t.Context(), trust.Role{Name: "agent", Trust: []byte(`{"Statement":[]}`)})
	var remote *delivery.RemoteError
	if !errors.Is(err, delivery.ErrInvalid) || !errors.As(err, &remote) || remote.Code != "MalformedPolicyDocument" || remote.RequestID == "" || remote.Resource != "agent" {
		t.Errorf("%#v", err)
	}
	cfg.Credentials = credentials.NewStaticCredentialsProvider("AKIANOBODY0000000000", "canary-secret", "")
	_, err = (&iam.Client{Config: cfg}).Role(t.Context(), "agent")
	if !errors.As(err, &remote) || remote.Code != "InvalidClientTokenId" || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
}
