package awsauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// errorCode is the service's own code, "" where no service answered.
func errorCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// remoteError turns what the SDK returns into a *delivery.RemoteError where
// STS answered, and into a short error where it did not.
func remoteError(operation, resource string, err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("STS %s: %w", operation, cause(err))
	}
	remote := &delivery.RemoteError{Service: "STS", Operation: operation, Resource: resource,
		Code: api.ErrorCode(), Message: api.ErrorMessage(), Kind: kindOf(api.ErrorCode())}
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) {
		remote.Status, remote.RequestID = resp.HTTPStatusCode(), resp.ServiceRequestID()
		if remote.Kind == nil && remote.Status == 403 {
			remote.Kind = delivery.ErrDenied
		}
	}
	return remote
}

// cause drops the SDK's own words round a request that was not answered.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u
	}
	return err
}

func kindOf(code string) error {
	switch code {
	case "AccessDenied", "AccessDeniedException":
		return delivery.ErrDenied
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return delivery.ErrExpired
	case "Throttling", "ThrottlingException", "RequestLimitExceeded":
		return delivery.ErrThrottled
	case "ValidationError", "InvalidIdentityToken":
		return delivery.ErrInvalid
	}
	return nil
}

// unanswered says whether err may go away by itself: the network, a 5xx, or
// throttling. An interrupt does not.
func unanswered(err error) bool {
	var remote *delivery.RemoteError
	if errors.As(err, &remote) {
		return remote.Status >= 500 || remote.Status == 429 || errors.Is(err, delivery.ErrThrottled)
	}
	return !errors.Is(err, context.Canceled)
}
