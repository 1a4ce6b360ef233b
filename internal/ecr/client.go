package ecr

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// Client speaks to ECR's API in one account and region. API is required; it
// brings the credentials, the endpoint and the retries.
type Client struct {
	API *ecr.Client
}

// New returns a client with the credentials and region of cfg.
func New(cfg aws.Config) *Client { return &Client{API: ecr.NewFromConfig(cfg)} }

// Credentials returns the login of the account's registry and when it ends,
// twelve hours after it was asked for (GetAuthorizationToken). It fits the
// field Auth of registry.Repository.
func (c *Client) Credentials(ctx context.Context) (user, password string, expires time.Time, err error) {
	const operation = "GetAuthorizationToken"
	out, err := c.API.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return "", "", time.Time{}, remoteError(operation, "", err)
	}
	if len(out.AuthorizationData) == 0 {
		return "", "", time.Time{}, errors.New("ECR GetAuthorizationToken: the answer holds no token")
	}
	data := out.AuthorizationData[0]
	user, password, ok := parseLogin(aws.ToString(data.AuthorizationToken))
	if !ok {
		// The text is not repeated: it is the login.
		return "", "", time.Time{}, errors.New("ECR GetAuthorizationToken: the token is not the base64 of user:password")
	}
	return user, password, aws.ToTime(data.ExpiresAt), nil
}

// parseLogin reads base64 of user:password, both of them there. A line end or
// another control character is of no login.
func parseLogin(token string) (user, password string, ok bool) {
	raw, err := base64.StdEncoding.Strict().DecodeString(token)
	user, password, ok = strings.Cut(string(raw), ":")
	control := strings.ContainsFunc(token, unicode.IsControl) || strings.ContainsFunc(string(raw), unicode.IsControl)
	return user, password, ok && err == nil && user != "" && password != "" && !control
}

// Mutability says whether a repository's tags may move: one of ECR's four
// values.
type Mutability string

// ECR's values (facts: ECR). With an exclusion, the tags that match one of the
// filters are treated the other way round.
const (
	Mutable                Mutability = "MUTABLE"
	Immutable              Mutability = "IMMUTABLE"
	MutableWithExclusion   Mutability = "MUTABLE_WITH_EXCLUSION"
	ImmutableWithExclusion Mutability = "IMMUTABLE_WITH_EXCLUSION"
)

// Facts is what there is to know about a repository.
type Facts struct {
	URI        string // <registry>/<name>
	ARN        string
	Mutability Mutability
	Exclusions []string // wildcard filters: latest, env-*
}

// Movable says whether tag may be pointed at another digest.
func (f Facts) Movable(tag string) bool {
	movable := f.Mutability != Immutable && f.Mutability != ImmutableWithExclusion
	if f.Mutability != MutableWithExclusion && f.Mutability != ImmutableWithExclusion {
		return movable
	}
	for _, filter := range f.Exclusions {
		if matches(filter, tag) {
			return !movable
		}
	}
	return movable
}

// matches compares a tag with a filter in which * stands for any characters.
func matches(filter, tag string) bool {
	parts := strings.Split(filter, "*")
	if len(parts) == 1 {
		return filter == tag
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(tag) < len(first)+len(last) || !strings.HasPrefix(tag, first) || !strings.HasSuffix(tag, last) {
		return false
	}
	rest := tag[len(first) : len(tag)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return true
}

// Repository returns the facts of a repository, or delivery.ErrNotFound.
func (c *Client) Repository(ctx context.Context, name string) (Facts, error) {
	const operation = "DescribeRepositories"
	out, err := c.API.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}})
	if err != nil {
		return Facts{}, remoteError(operation, name, err)
	}
	for _, r := range out.Repositories {
		if aws.ToString(r.RepositoryName) == name {
			return facts(r), nil
		}
	}
	return Facts{}, &delivery.RemoteError{Service: service, Operation: operation, Resource: name,
		Code: "RepositoryNotFoundException", Message: "the answer does not hold the repository", Kind: delivery.ErrNotFound}
}

func facts(r types.Repository) Facts {
	f := Facts{URI: aws.ToString(r.RepositoryUri), ARN: aws.ToString(r.RepositoryArn), Mutability: Mutability(r.ImageTagMutability)}
	for _, filter := range r.ImageTagMutabilityExclusionFilters {
		f.Exclusions = append(f.Exclusions, aws.ToString(filter.Filter))
	}
	return f
}

// CreateRepository makes a repository whose tags can't move, latest aside
// (system: E8), and returns its facts. A repository that is there already is a
// success and stays as it is: its facts tell whether its tags may move.
func (c *Client) CreateRepository(ctx context.Context, name string) (Facts, error) {
	out, err := c.API.CreateRepository(ctx, &ecr.CreateRepositoryInput{
		RepositoryName:     aws.String(name),
		ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion,
		ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{{
			Filter: aws.String("latest"), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard}},
	})
	if err == nil && out.Repository != nil {
		return facts(*out.Repository), nil
	}
	if err == nil {
		return Facts{}, fmt.Errorf("ECR CreateRepository %s: the answer holds no repository", name)
	}
	err = remoteError("CreateRepository", name, err)
	if errors.Is(err, delivery.ErrExists) {
		return c.Repository(ctx, name)
	}
	return Facts{}, err
}
