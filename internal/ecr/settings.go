package ecr

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// ScansOnPush says whether the repository scans images when they are pushed, or
// returns delivery.ErrNotFound. Of the registry's own scanning rules, which
// may cover the repository besides, it knows nothing.
func (c *Client) ScansOnPush(ctx context.Context, name string) (bool, error) {
	const operation = "DescribeRepositories"
	out, err := c.API.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}})
	if err != nil {
		return false, remoteError(operation, name, err)
	}
	for _, r := range out.Repositories {
		if aws.ToString(r.RepositoryName) == name && r.ImageScanningConfiguration != nil {
			return r.ImageScanningConfiguration.ScanOnPush, nil
		}
	}
	return false, nil
}

// Lifecycle returns the text of the repository's lifecycle policy, or
// delivery.ErrNotFound where it has none.
func (c *Client) Lifecycle(ctx context.Context, name string) (string, error) {
	out, err := c.API.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: aws.String(name)})
	if err == nil {
		return aws.ToString(out.LifecyclePolicyText), nil
	}
	err = remoteError("GetLifecyclePolicy", name, err)
	var remote *delivery.RemoteError
	if errors.As(err, &remote) && remote.Code == "LifecyclePolicyNotFoundException" {
		remote.Kind = delivery.ErrNotFound
	}
	return "", err
}
