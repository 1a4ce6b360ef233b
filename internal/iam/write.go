package iam

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/slipway-cd/slipway/internal/trust"
)

// CreateProvider makes the account trust an issuer (https://…) for an audience.
// Thumbprints are left out: AWS checks GitHub by its own list of authorities
// (system: E29). Where the provider is there already, it is delivery.ErrExists.
func (c *Client) CreateProvider(ctx context.Context, issuer, audience string, tags map[string]string) error {
	_, err := c.api().CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url: aws.String(issuer), ClientIDList: []string{audience}, Tags: tagList(tags)})
	return remote("CreateOpenIDConnectProvider", issuer, err)
}

// AddAudience adds an audience to a provider and leaves all else as it is. One
// that is there already is no error.
func (c *Client) AddAudience(ctx context.Context, arn, audience string) error {
	_, err := c.api().AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{
		OpenIDConnectProviderArn: aws.String(arn), ClientID: aws.String(audience)})
	return remote("AddClientIDToOpenIDConnectProvider", arn, err)
}

func tagList(tags map[string]string) []types.Tag {
	var list []types.Tag
	for key, value := range tags {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	slices.SortFunc(list, func(a, b types.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	return list
}

// CreateRole makes a role with its trust, boundary, tags and inline policies.
// Killed in between, it is there without policies, which allows nothing.
func (c *Client) CreateRole(ctx context.Context, r trust.Role) error {
	in := &iam.CreateRoleInput{RoleName: aws.String(r.Name), Path: aws.String(cmp.Or(r.Path, "/")), AssumeRolePolicyDocument: aws.String(string(r.Trust)),
		Tags: tagList(r.Tags)}
	if r.Boundary != nil {
		in.PermissionsBoundary = aws.String(r.Boundary.Name)
	}
	if r.MaxSession > 0 {
		in.MaxSessionDuration = aws.Int32(int32(r.MaxSession.Seconds()))
	}
	if _, err := c.api().CreateRole(ctx, in); err != nil {
		return remote("CreateRole", r.Name, err)
	}
	return c.putPolicies(ctx, r)
}

// UpdateRole brings a role's trust, boundary, longest session, tags and the
// named inline policies to what is asked for; other policies stay. The boundary
// comes first: what a policy adds is never wider than it, not for a moment.
func (c *Client) UpdateRole(ctx context.Context, r trust.Role) error {
	if r.Boundary != nil {
		_, err := c.api().PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{
			RoleName: aws.String(r.Name), PermissionsBoundary: aws.String(r.Boundary.Name)})
		if err != nil {
			return remote("PutRolePermissionsBoundary", r.Name, err)
		}
	}
	_, err := c.api().UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{
		RoleName: aws.String(r.Name), PolicyDocument: aws.String(string(r.Trust))})
	if err != nil {
		return remote("UpdateAssumeRolePolicy", r.Name, err)
	}
	if r.MaxSession > 0 {
		_, err := c.api().UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: aws.String(r.Name), MaxSessionDuration: aws.Int32(int32(r.MaxSession.Seconds()))})
		if err != nil {
			return remote("UpdateRole", r.Name, err)
		}
	}
	if len(r.Tags) > 0 {
		if _, err := c.api().TagRole(ctx, &iam.TagRoleInput{RoleName: aws.String(r.Name), Tags: tagList(r.Tags)}); err != nil {
			return remote("TagRole", r.Name, err)
		}
	}
	return c.putPolicies(ctx, r)
}

func (c *Client) putPolicies(ctx context.Context, r trust.Role) error {
	for _, p := range r.Inline {
		_, err := c.api().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String(r.Name),
			PolicyName: aws.String(p.Name), PolicyDocument: aws.String(string(p.JSON))})
		if err != nil {
			return remote("PutRolePolicy", r.Name, err)
		}
	}
	return nil
}

// CreatePolicy makes a managed policy, whose ARN is m.Name.
func (c *Client) CreatePolicy(ctx context.Context, m trust.Managed) error {
	_, path, _ := strings.Cut(m.Name, ":policy/")
	dir, name := "/"+path[:strings.LastIndexByte(path, '/')+1], path[strings.LastIndexByte(path, '/')+1:]
	_, err := c.api().CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String(name), Path: aws.String(dir),
		PolicyDocument: aws.String(string(m.JSON)), Tags: tagList(m.Tags)})
	return remote("CreatePolicy", m.Name, err)
}

// UpdatePolicy puts a new version of a managed policy in force. IAM keeps five:
// the oldest makes room.
func (c *Client) UpdatePolicy(ctx context.Context, m trust.Managed) error {
	create := func() error {
		_, err := c.api().CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: aws.String(m.Name),
			PolicyDocument: aws.String(string(m.JSON)), SetAsDefault: true})
		return err
	}
	err := create()
	var full *types.LimitExceededException
	if errors.As(err, &full) {
		if err := c.dropOldest(ctx, m.Name); err != nil {
			return err
		}
		err = create()
	}
	return remote("CreatePolicyVersion", m.Name, err)
}

func (c *Client) dropOldest(ctx context.Context, arn string) error {
	var oldest *types.PolicyVersion
	pages := iam.NewListPolicyVersionsPaginator(c.api(), &iam.ListPolicyVersionsInput{PolicyArn: aws.String(arn)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return remote("ListPolicyVersions", arn, err)
		}
		for _, v := range page.Versions {
			if !v.IsDefaultVersion && (oldest == nil || aws.ToTime(v.CreateDate).Before(aws.ToTime(oldest.CreateDate))) {
				oldest = &v
			}
		}
	}
	if oldest == nil {
		return nil
	}
	_, err := c.api().DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: aws.String(arn), VersionId: oldest.VersionId})
	return remote("DeletePolicyVersion", arn, err)
}

// CreateServiceRole makes the role that one of AWS's services acts by. One that
// is there already is a success.
func (c *Client) CreateServiceRole(ctx context.Context, service string) error {
	_, err := c.api().CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: aws.String(service)})
	var taken *types.InvalidInputException
	if errors.As(err, &taken) && strings.Contains(taken.ErrorMessage(), "has been taken") {
		return nil
	}
	return remote("CreateServiceLinkedRole", service, err)
}
