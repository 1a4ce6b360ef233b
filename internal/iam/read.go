package iam

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/slipway-cd/slipway/internal/trust"
)

// Provider returns the account's OIDC provider of an issuer (https://…), or
// delivery.ErrNotFound.
func (c *Client) Provider(ctx context.Context, account, issuer string) (trust.Provider, error) {
	arn := c.providerARN(account, issuer)
	out, err := c.api().GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: aws.String(arn)})
	if err != nil {
		return trust.Provider{}, remote("GetOpenIDConnectProvider", arn, err)
	}
	return trust.Provider{ARN: arn, Issuer: "https://" + strings.TrimPrefix(aws.ToString(out.Url), "https://"),
		Audiences: out.ClientIDList, Tags: tagMap(out.Tags)}, nil
}

// providerARN is in the partition of the client's region.
func (c *Client) providerARN(account, issuer string) string {
	return c.partitioned(trust.ProviderARN(account, issuer))
}

// partitioned puts an ARN into the partition of the client's region.
func (c *Client) partitioned(arn string) string {
	return "arn:" + trust.Partition(c.Config.Region) + strings.TrimPrefix(arn, "arn:aws")
}

func tagMap(tags []types.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

// Role returns a role with all its documents, or delivery.ErrNotFound.
func (c *Client) Role(ctx context.Context, name string) (trust.Role, error) {
	out, err := c.api().GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String(name)})
	if err != nil {
		return trust.Role{}, remote("GetRole", name, err)
	}
	r, err := roleOf(out.Role)
	if err != nil {
		return r, err
	}
	if r.Inline, err = c.inline(ctx, name); err != nil {
		return r, err
	}
	if r.Attached, err = c.attached(ctx, name); err != nil {
		return r, err
	}
	if b := out.Role.PermissionsBoundary; b != nil {
		d, err := c.Policy(ctx, aws.ToString(b.PermissionsBoundaryArn))
		r.Boundary = &d.Document
		return r, err
	}
	return r, nil
}

// Roles returns every role of the account with its trust policy; permissions,
// boundaries and tags take calls of their own: Role.
func (c *Client) Roles(ctx context.Context) ([]trust.Role, error) {
	var roles []trust.Role
	pages := iam.NewListRolesPaginator(c.api(), &iam.ListRolesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, remote("ListRoles", "", err)
		}
		for _, listed := range page.Roles {
			r, err := roleOf(&listed)
			if err != nil {
				return nil, err
			}
			roles = append(roles, r)
		}
	}
	return roles, nil
}

func roleOf(r *types.Role) (trust.Role, error) {
	document, err := unescape("the trust policy of "+aws.ToString(r.RoleName), r.AssumeRolePolicyDocument)
	return trust.Role{Name: aws.ToString(r.RoleName), Path: aws.ToString(r.Path), ARN: aws.ToString(r.Arn), Trust: document,
		MaxSession: time.Duration(aws.ToInt32(r.MaxSessionDuration)) * time.Second, Tags: tagMap(r.Tags)}, err
}

// unescape decodes a document as IAM answers it: URL-encoded (RFC 3986).
func unescape(what string, encoded *string) ([]byte, error) {
	document, err := url.PathUnescape(aws.ToString(encoded))
	if err != nil {
		return nil, errors.New("IAM: " + what + " is not URL-encoded")
	}
	return []byte(document), nil
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
				return nil, remote("GetRolePolicy", role, err)
			}
			document, err := unescape("policy "+name+" of "+role, out.PolicyDocument)
			if err != nil {
				return nil, err
			}
			documents = append(documents, trust.Document{Name: name, JSON: document})
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
		for _, p := range page.AttachedPolicies {
			m, err := c.Policy(ctx, aws.ToString(p.PolicyArn))
			if err != nil {
				return nil, err
			}
			documents = append(documents, m.Document)
		}
	}
	return documents, nil
}

// Policy returns a managed policy's document in force, or delivery.ErrNotFound.
func (c *Client) Policy(ctx context.Context, arn string) (trust.Managed, error) {
	m := trust.Managed{Document: trust.Document{Name: arn}}
	p, err := c.api().GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String(arn)})
	if err != nil {
		return m, remote("GetPolicy", arn, err)
	}
	m.Tags = tagMap(p.Policy.Tags)
	v, err := c.api().GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: aws.String(arn), VersionId: p.Policy.DefaultVersionId})
	if err != nil {
		return m, remote("GetPolicyVersion", arn, err)
	}
	m.JSON, err = unescape("policy "+arn, v.PolicyVersion.Document)
	return m, err
}
