package ecr

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const service = "ECR"

// remoteError puts what the SDK returns into delivery's words: ECR's answer as
// a *delivery.RemoteError, anything else (no answer, no credentials) wrapped.
func remoteError(operation, resource string, err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("%s: %w", strings.TrimSpace(service+" "+operation+" "+resource), err)
	}
	out := &delivery.RemoteError{Service: service, Operation: operation, Resource: resource,
		Code: api.ErrorCode(), Message: api.ErrorMessage()}
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) {
		out.Status, out.RequestID = answer.HTTPStatusCode(), answer.ServiceRequestID()
	}
	out.Kind = kindOf(out.Code, out.Status)
	return out
}

// kindOf classes ECR's codes, and those that any AWS service may answer.
func kindOf(code string, status int) error {
	switch code {
	case "RepositoryNotFoundException", "ImageNotFoundException":
		return delivery.ErrNotFound
	case "RepositoryAlreadyExistsException":
		return delivery.ErrExists
	case "InvalidParameterException", "ValidationException", "InvalidTagParameterException":
		return delivery.ErrInvalid
	case "ExpiredTokenException", "ExpiredToken", "RequestExpired":
		return delivery.ErrExpired
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded":
		return delivery.ErrThrottled
	case "LimitExceededException", "TooManyTagsException":
		return delivery.ErrQuota
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidClientTokenId",
		"InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationTokenException":
		return delivery.ErrDenied
	}
	switch status {
	case http.StatusForbidden, http.StatusUnauthorized:
		return delivery.ErrDenied
	case http.StatusTooManyRequests:
		return delivery.ErrThrottled
	}
	return nil
}
