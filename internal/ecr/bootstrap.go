package ecr

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/slipway-cd/slipway/internal/bootstrap"
)

// State returns a repository with its documents and tags, or
// delivery.ErrNotFound.
func (c *Client) State(ctx context.Context, name string) (bootstrap.Repository, error) {
	out, err := c.API.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}})
	if err != nil {
		return bootstrap.Repository{}, remoteError("DescribeRepositories", name, err)
	}
	if len(out.Repositories) != 1 {
		return bootstrap.Repository{}, errors.New("ECR DescribeRepositories " + name + ": the answer does not hold the repository")
	}
	found := out.Repositories[0]
	r := bootstrap.Repository{Name: name, Mutability: string(found.ImageTagMutability), Exclusions: facts(found).Exclusions, Tags: map[string]string{}}
	if s := found.ImageScanningConfiguration; s != nil {
		r.ScanOnPush = s.ScanOnPush
	}
	if r.Lifecycle, err = c.lifecycle(ctx, name); err != nil {
		return r, err
	}
	if r.Policy, err = c.policy(ctx, name); err != nil {
		return r, err
	}
	tags, err := c.API.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: found.RepositoryArn})
	if err != nil {
		return r, remoteError("ListTagsForResource", name, err)
	}
	for _, t := range tags.Tags {
		r.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return r, nil
}

func (c *Client) lifecycle(ctx context.Context, name string) (string, error) {
	out, err := c.API.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: aws.String(name)})
	var none *types.LifecyclePolicyNotFoundException
	if errors.As(err, &none) {
		return "", nil
	}
	if err != nil {
		return "", remoteError("GetLifecyclePolicy", name, err)
	}
	return aws.ToString(out.LifecyclePolicyText), nil
}

func (c *Client) policy(ctx context.Context, name string) ([]byte, error) {
	out, err := c.API.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: aws.String(name)})
	var none *types.RepositoryPolicyNotFoundException
	if errors.As(err, &none) {
		return nil, nil
	}
	if err != nil {
		return nil, remoteError("GetRepositoryPolicy", name, err)
	}
	return []byte(aws.ToString(out.PolicyText)), nil
}

// Make makes a repository, its documents included.
func (c *Client) Make(ctx context.Context, r bootstrap.Repository) error {
	in := &ecr.CreateRepositoryInput{RepositoryName: aws.String(r.Name), ImageTagMutability: types.ImageTagMutability(r.Mutability),
		ImageTagMutabilityExclusionFilters: filters(r.Exclusions),
		ImageScanningConfiguration:         &types.ImageScanningConfiguration{ScanOnPush: r.ScanOnPush}, Tags: tagList(r.Tags)}
	if _, err := c.API.CreateRepository(ctx, in); err != nil {
		return remoteError("CreateRepository", r.Name, err)
	}
	made := r
	made.Lifecycle, made.Policy = "", nil
	return c.Bring(ctx, made, r)
}

func filters(patterns []string) []types.ImageTagMutabilityExclusionFilter {
	var list []types.ImageTagMutabilityExclusionFilter
	for _, pattern := range patterns {
		list = append(list, types.ImageTagMutabilityExclusionFilter{Filter: aws.String(pattern), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard})
	}
	return list
}

func tagList(tags map[string]string) []types.Tag {
	var list []types.Tag
	for key, value := range tags {
		list = append(list, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	slices.SortFunc(list, func(a, b types.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	return list
}

// Bring brings a repository from one state to another, in as many calls as
// there are differences.
func (c *Client) Bring(ctx context.Context, from, to bootstrap.Repository) error {
	name := aws.String(to.Name)
	if from.Mutability != to.Mutability || !slices.Equal(from.Exclusions, to.Exclusions) {
		_, err := c.API.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{RepositoryName: name,
			ImageTagMutability: types.ImageTagMutability(to.Mutability), ImageTagMutabilityExclusionFilters: filters(to.Exclusions)})
		if err != nil {
			return remoteError("PutImageTagMutability", to.Name, err)
		}
	}
	if from.ScanOnPush != to.ScanOnPush {
		_, err := c.API.PutImageScanningConfiguration(ctx, &ecr.PutImageScanningConfigurationInput{RepositoryName: name,
			ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: to.ScanOnPush}})
		if err != nil {
			return remoteError("PutImageScanningConfiguration", to.Name, err)
		}
	}
	if from.Lifecycle != to.Lifecycle {
		_, err := c.API.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: name, LifecyclePolicyText: aws.String(to.Lifecycle)})
		if err != nil {
			return remoteError("PutLifecyclePolicy", to.Name, err)
		}
	}
	if bytes.Equal(from.Policy, to.Policy) {
		return c.retag(ctx, from, to)
	}
	if err := c.putPolicy(ctx, to); err != nil {
		return err
	}
	return c.retag(ctx, from, to)
}

// putPolicy sets a repository's policy; none takes it away.
func (c *Client) putPolicy(ctx context.Context, r bootstrap.Repository) error {
	if len(r.Policy) == 0 {
		_, err := c.API.DeleteRepositoryPolicy(ctx, &ecr.DeleteRepositoryPolicyInput{RepositoryName: aws.String(r.Name)})
		return orNil("DeleteRepositoryPolicy", r.Name, err)
	}
	_, err := c.API.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: aws.String(r.Name), PolicyText: aws.String(string(r.Policy))})
	return orNil("SetRepositoryPolicy", r.Name, err)
}

func orNil(operation, resource string, err error) error {
	if err == nil {
		return nil
	}
	return remoteError(operation, resource, err)
}

// retag adds the tags that are missing; no tag is taken away.
func (c *Client) retag(ctx context.Context, from, to bootstrap.Repository) error {
	missing := map[string]string{}
	for key, value := range to.Tags {
		if from.Tags[key] != value {
			missing[key] = value
		}
	}
	if len(missing) == 0 {
		return nil
	}
	out, err := c.API.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{to.Name}})
	if err != nil {
		return remoteError("DescribeRepositories", to.Name, err)
	}
	_, err = c.API.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: out.Repositories[0].RepositoryArn, Tags: tagList(missing)})
	return orNil("TagResource", to.Name, err)
}
