package iam_test

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/iam"
	"github.com/slipway-cd/slipway/internal/sim"
)

const (
	trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	other = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	allow = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:BatchGetImage","Resource":"*"}]}`
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

// TestEnsureProvider: made once, found again, and another team's audience
// stays where ours is added.
func TestEnsureProvider(t *testing.T) {
	cfg := administrator(t)
	c := &iam.Client{Config: cfg}
	for _, audience := range []string{"theirs", "sts.amazonaws.com", "sts.amazonaws.com"} {
		arn, err := c.EnsureProvider(t.Context(), sim.DefaultAccount, audience)
		if err != nil || arn != "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" {
			t.Fatalf("%s: %q, %v", audience, arn, err)
		}
	}
	got, err := sdk.NewFromConfig(cfg).GetOpenIDConnectProvider(t.Context(), &sdk.GetOpenIDConnectProviderInput{
		OpenIDConnectProviderArn: aws.String("arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com")})
	if err != nil || !slices.Equal(slices.Sorted(slices.Values(got.ClientIDList)), []string{"sts.amazonaws.com", "theirs"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestEnsureRole: what exists is brought to what is asked for.
func TestEnsureRole(t *testing.T) {
	cfg := administrator(t)
	c := &iam.Client{Config: cfg}
	for _, document := range []string{other, trust} {
		if err := c.EnsureRole(t.Context(), iam.Role{Name: "agent", Trust: document, PolicyName: "slipway", Permissions: allow}); err != nil {
			t.Fatal(err)
		}
	}
	api := sdk.NewFromConfig(cfg)
	role, err := api.GetRole(t.Context(), &sdk.GetRoleInput{RoleName: aws.String("agent")})
	if err != nil {
		t.Fatal(err)
	}
	if document, err := url.QueryUnescape(aws.ToString(role.Role.AssumeRolePolicyDocument)); err != nil || !strings.Contains(document, "bedrock-agentcore") {
		t.Errorf("trust is %s, %v", document, err)
	}
	policy, err := api.GetRolePolicy(t.Context(), &sdk.GetRolePolicyInput{RoleName: aws.String("agent"), PolicyName: aws.String("slipway")})
	if err != nil || !strings.Contains(aws.ToString(policy.PolicyDocument), "BatchGetImage") {
		t.Errorf("permissions are %+v, %v", policy, err)
	}
}

// TestRefusals: IAM's refusals keep their code and become the core's kinds.
func TestRefusals(t *testing.T) {
	cfg := administrator(t)
	c := &iam.Client{Config: cfg}
	err := c.EnsureRole(t.Context(), iam.Role{Name: "agent", Trust: `{"Statement":[]}`, PolicyName: "p", Permissions: allow})
	var remote *delivery.RemoteError
	if !errors.Is(err, delivery.ErrInvalid) || !errors.As(err, &remote) || remote.Code != "MalformedPolicyDocument" || remote.RequestID == "" || remote.Resource != "agent" {
		t.Errorf("%#v", err)
	}
	cfg.Credentials = credentials.NewStaticCredentialsProvider("AKIANOBODY0000000000", "canary-secret", "")
	_, err = (&iam.Client{Config: cfg}).EnsureProvider(t.Context(), sim.DefaultAccount, "x")
	if !errors.As(err, &remote) || remote.Code != "InvalidClientTokenId" || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
}
