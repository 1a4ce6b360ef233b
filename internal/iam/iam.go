// Package iam reads and writes what a deploy trusts: OIDC providers, roles with
// their policies and boundaries. Each write is one that internal/bootstrap plans
// and shows before.
//
// It can't delete a provider, a role or a policy, nor take an audience or
// another's policy away: there is no method for it.
package iam

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// Client changes IAM with an administrator's credentials.
type Client struct {
	Config aws.Config
}

func (c *Client) api() *iam.Client { return iam.NewFromConfig(c.Config) }

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
