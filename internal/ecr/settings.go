package ecr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

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

// StoredImage is a manifest as ECR describes it: of an image, an index, or what
// refers to one.
type StoredImage struct {
	Digest string
	Tags   []string
	Index  bool // its manifest lists others
	// Archived images can't be pulled; one that is being restored can't yet.
	Archived bool
	// Zero, but for Pushed, where that never was. Pulled is coarse: ECR writes
	// it once in 24 hours, and scanners pull too.
	Pushed, Pulled, Activated, Transitioned time.Time
}

// imagePages bounds a repository: it has 100,000 images (facts: ECR), and a
// page 1,000.
const imagePages = 200

// Contents lists all images of a repository, those that are archived too, or
// returns delivery.ErrNotFound where there is no such repository.
func (c *Client) Contents(ctx context.Context, name string) ([]StoredImage, error) {
	const operation = "DescribeImages"
	in := &ecr.DescribeImagesInput{RepositoryName: aws.String(name), MaxResults: aws.Int32(1000),
		Filter: &types.DescribeImagesFilter{ImageStatus: types.ImageStatusFilterAny}}
	var all []StoredImage
	for range imagePages {
		out, err := c.API.DescribeImages(ctx, in)
		if err != nil {
			return nil, remoteError(operation, name, err)
		}
		for _, d := range out.ImageDetails {
			all = append(all, stored(d))
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
	return nil, fmt.Errorf("ECR %s %s: it has no end", operation, name)
}

func stored(d types.ImageDetail) StoredImage {
	mediaType := aws.ToString(d.ImageManifestMediaType)
	return StoredImage{Digest: aws.ToString(d.ImageDigest), Tags: d.ImageTags,
		Index:    strings.Contains(mediaType, "image.index") || strings.Contains(mediaType, "manifest.list"),
		Archived: d.ImageStatus == types.ImageStatusArchived || d.ImageStatus == types.ImageStatusActivating,
		Pushed:   aws.ToTime(d.ImagePushedAt), Pulled: aws.ToTime(d.LastRecordedPullTime),
		Activated: aws.ToTime(d.LastActivatedAt), Transitioned: aws.ToTime(d.LastArchivedAt)}
}
