package iam_test

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/iam"
	"github.com/slipway-cd/slipway/internal/sim"
)

// TestRole: a role is read with all of its documents, as they were written.
func TestRole(t *testing.T) {
	cfg := administrator(t)
	c, api := &iam.Client{Config: cfg}, sdk.NewFromConfig(cfg)
	if _, err := c.Role(t.Context(), "agent"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("before it is made: %v, want ErrNotFound", err)
	}
	policy, err := api.CreatePolicy(t.Context(), &sdk.CreatePolicyInput{PolicyName: aws.String("ceiling"), PolicyDocument: aws.String(allow)})
	if err != nil {
		t.Fatal(err)
	}
	arn := policy.Policy.Arn
	if _, err := api.CreateRole(t.Context(), &sdk.CreateRoleInput{RoleName: aws.String("agent"), AssumeRolePolicyDocument: aws.String(trust),
		PermissionsBoundary: arn, MaxSessionDuration: aws.Int32(7200)}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.PutRolePolicy(t.Context(), &sdk.PutRolePolicyInput{RoleName: aws.String("agent"),
		PolicyName: aws.String("a+b"), PolicyDocument: aws.String(allow)}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.AttachRolePolicy(t.Context(), &sdk.AttachRolePolicyInput{RoleName: aws.String("agent"), PolicyArn: arn}); err != nil {
		t.Fatal(err)
	}
	r, err := c.Role(t.Context(), "agent")
	if err != nil {
		t.Fatal(err)
	}
	if string(r.Trust) != trust || r.MaxSession != 2*time.Hour || r.ARN != "arn:aws:iam::111122223333:role/agent" {
		t.Errorf("%+v", r)
	}
	if len(r.Inline) != 1 || r.Inline[0].Name != "a+b" || string(r.Inline[0].JSON) != allow {
		t.Errorf("inline %+v", r.Inline)
	}
	if len(r.Attached) != 1 || r.Attached[0].Name != *arn || string(r.Attached[0].JSON) != allow {
		t.Errorf("attached %+v", r.Attached)
	}
	if r.Boundary == nil || r.Boundary.Name != *arn || string(r.Boundary.JSON) != allow {
		t.Errorf("boundary %+v", r.Boundary)
	}
}

func TestProvider(t *testing.T) {
	c := &iam.Client{Config: administrator(t)}
	if _, err := c.Provider(t.Context(), sim.DefaultAccount, iam.GitHubIssuer); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("before it is made: %v, want ErrNotFound", err)
	}
	if _, err := c.EnsureProvider(t.Context(), sim.DefaultAccount, "sts.amazonaws.com"); err != nil {
		t.Fatal(err)
	}
	p, err := c.Provider(t.Context(), sim.DefaultAccount, iam.GitHubIssuer)
	if err != nil || len(p.Audiences) != 1 || p.Audiences[0] != "sts.amazonaws.com" || p.ARN != "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" {
		t.Errorf("%+v, %v", p, err)
	}
}
