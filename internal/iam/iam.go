// Package iam makes what a deploy trusts: GitHub's OIDC provider, and roles
// with one inline policy each. Everything is safe to repeat: what exists is
// brought to what is asked for.
//
// It refuses to replace or delete what it did not make: a provider that other
// teams use gets our audience added and keeps the rest.
package iam

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// GitHubIssuer is the issuer of GitHub Actions' tokens (GitHub docs: OpenID
// Connect reference).
const GitHubIssuer = "https://token.actions.githubusercontent.com"

// Client changes IAM with an administrator's credentials.
type Client struct {
	Config aws.Config
}

func (c *Client) api() *iam.Client { return iam.NewFromConfig(c.Config) }

// EnsureProvider makes the account trust GitHub's issuer for audience and
// returns the provider's ARN. Thumbprints are left out: AWS checks GitHub by
// its own list of authorities (system: E29).
func (c *Client) EnsureProvider(ctx context.Context, account, audience string) (string, error) {
	arn := "arn:aws:iam::" + account + ":oidc-provider/token.actions.githubusercontent.com"
	_, err := c.api().CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url: aws.String(GitHubIssuer), ClientIDList: []string{audience}})
	if err == nil {
		return arn, nil
	}
	var exists *types.EntityAlreadyExistsException
	if !errors.As(err, &exists) {
		return "", remote("CreateOpenIDConnectProvider", arn, err)
	}
	_, err = c.api().AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{
		OpenIDConnectProviderArn: aws.String(arn), ClientID: aws.String(audience)})
	return arn, remote("AddClientIDToOpenIDConnectProvider", arn, err)
}

// Role is a role and all that it may do.
type Role struct {
	Name        string
	Trust       string // policy document: who may assume it
	PolicyName  string
	Permissions string // policy document: what it may do
}

// EnsureRole makes the role, or brings its trust and its permissions to what
// is asked for.
func (c *Client) EnsureRole(ctx context.Context, r Role) error {
	_, err := c.api().CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(r.Name), AssumeRolePolicyDocument: aws.String(r.Trust)})
	var exists *types.EntityAlreadyExistsException
	if errors.As(err, &exists) {
		_, err = c.api().UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
			RoleName: aws.String(r.Name), PolicyDocument: aws.String(r.Trust)})
	}
	if err != nil {
		return remote("CreateRole", r.Name, err)
	}
	_, err = c.api().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String(r.Name),
		PolicyName: aws.String(r.PolicyName), PolicyDocument: aws.String(r.Permissions)})
	return remote("PutRolePolicy", r.Name, err)
}

// remote turns the SDK's error into the core's.
func remote(operation, resource string, err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("IAM %s %s: %w", operation, resource, err)
	}
	e := &delivery.RemoteError{Service: "IAM", Operation: operation, Resource: resource, Code: api.ErrorCode(), Message: api.ErrorMessage()}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		e.RequestID = response.ServiceRequestID()
	}
	switch api.ErrorCode() {
	case "AccessDenied":
		e.Kind = delivery.ErrDenied
	case "NoSuchEntity":
		e.Kind = delivery.ErrNotFound
	case "EntityAlreadyExists":
		e.Kind = delivery.ErrExists
	case "LimitExceeded":
		e.Kind = delivery.ErrQuota
	case "MalformedPolicyDocument", "ValidationError":
		e.Kind = delivery.ErrInvalid
	}
	return e
}
