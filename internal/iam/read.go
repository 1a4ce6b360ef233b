package iam

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/slipway-cd/slipway/internal/trust"
)

// Role reads a role with every document of it, or returns
// delivery.ErrNotFound.
func (c *Client) Role(ctx context.Context, name string) (trust.Role, error) {
	out, err := c.api().GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(name)})
	if err != nil {
		return trust.Role{}, remote("GetRole", name, err)
	}
	role, err := roleOf(*out.Role)
	if err != nil {
		return role, err
	}
	if role.Inline, err = c.inline(ctx, name); err != nil {
		return role, err
	}
	if role.Attached, err = c.attached(ctx, name); err != nil {
		return role, err
	}
	if b := out.Role.PermissionsBoundary; b != nil {
		boundary, err := c.managed(ctx, aws.ToString(b.PermissionsBoundaryArn))
		if err != nil {
			return role, err
		}
		role.Boundary = &boundary
	}
	return role, nil
}

// roleOf reads what GetRole and ListRoles say themselves.
func roleOf(r types.Role) (trust.Role, error) {
	role := trust.Role{Name: aws.ToString(r.RoleName), Path: aws.ToString(r.Path), ARN: aws.ToString(r.Arn),
		MaxSession: time.Duration(aws.ToInt32(r.MaxSessionDuration)) * time.Second, Tags: tags(r.Tags)}
	var err error
	role.Trust, err = document(aws.ToString(r.AssumeRolePolicyDocument), role.Name)
	return role, err
}

func tags(list []types.Tag) map[string]string {
	all := make(map[string]string, len(list))
	for _, t := range list {
		all[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return all
}

// document undoes the URL-encoding in which IAM returns documents (API_GetRole,
// RFC 3986: a plus stays one).
func document(text, of string) ([]byte, error) {
	plain, err := url.PathUnescape(text)
	if err != nil {
		return nil, fmt.Errorf("IAM: a policy of %s is not URL-encoded: %w", of, err)
	}
	return []byte(plain), nil
}

func (c *Client) inline(ctx context.Context, role string) ([]trust.Document, error) {
	var documents []trust.Document
	pages := iam.NewListRolePoliciesPaginator(c.api(), &iam.ListRolePoliciesInput{RoleName: aws.String(role)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, remote("ListRolePolicies", role, err)
		}
		for _, name := range page.PolicyNames {
			out, err := c.api().GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: aws.String(role), PolicyName: aws.String(name)})
			if err != nil {
				return nil, remote("GetRolePolicy", role+" "+name, err)
			}
			text, err := document(aws.ToString(out.PolicyDocument), role)
			if err != nil {
				return nil, err
			}
			documents = append(documents, trust.Document{Name: name, JSON: text})
		}
	}
	return documents, nil
}

func (c *Client) attached(ctx context.Context, role string) ([]trust.Document, error) {
	var documents []trust.Document
	pages := iam.NewListAttachedRolePoliciesPaginator(c.api(), &iam.ListAttachedRolePoliciesInput{RoleName: aws.String(role)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, remote("ListAttachedRolePolicies", role, err)
		}
		for _, policy := range page.AttachedPolicies {
			d, err := c.managed(ctx, aws.ToString(policy.PolicyArn))
			if err != nil {
				return nil, err
			}
			documents = append(documents, d)
		}
	}
	return documents, nil
}

// managed reads the default version of a managed policy.
func (c *Client) managed(ctx context.Context, arn string) (trust.Document, error) {
	policy, err := c.api().GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String(arn)})
	if err != nil {
		return trust.Document{}, remote("GetPolicy", arn, err)
	}
	version, err := c.api().GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: aws.String(arn), VersionId: policy.Policy.DefaultVersionId})
	if err != nil {
		return trust.Document{}, remote("GetPolicyVersion", arn, err)
	}
	text, err := document(aws.ToString(version.PolicyVersion.Document), arn)
	return trust.Document{Name: arn, JSON: text}, err
}

// Provider is an OIDC provider of an account.
type Provider struct {
	ARN       string
	URL       string // without https://, as IAM gives it
	ClientIDs []string
	Tags      map[string]string
}

// Provider reads the provider of an issuer, or returns delivery.ErrNotFound.
func (c *Client) Provider(ctx context.Context, account, issuer string) (Provider, error) {
	arn := "arn:" + trust.Partition(c.Config.Region) + strings.TrimPrefix(trust.ProviderARN(account, issuer), "arn:aws")
	out, err := c.api().GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: aws.String(arn)})
	if err != nil {
		return Provider{}, remote("GetOpenIDConnectProvider", arn, err)
	}
	return Provider{ARN: arn, URL: aws.ToString(out.Url), ClientIDs: out.ClientIDList, Tags: tags(out.Tags)}, nil
}
