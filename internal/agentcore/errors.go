package agentcore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// unansweredError is a call that nobody answered, or not to the end. For the
// core it is a *delivery.RemoteError without a status.
type unansweredError struct {
	service   string
	operation string
	resource  string
	sent      bool // it may have been acted on
	err       error
}

func (e *unansweredError) Error() string {
	return fmt.Sprintf("%s %s %s: no answer: %v", e.service, e.operation, e.resource, e.err)
}

// Unwrap returns the call as a remote error, and the cause.
func (e *unansweredError) Unwrap() []error {
	return []error{&delivery.RemoteError{Service: e.service, Operation: e.operation, Resource: e.resource,
		Code: "NoAnswer", Message: e.err.Error()}, e.err}
}

func (r *request) unanswered(err error) error {
	return &unansweredError{service: "AgentCore", operation: r.operation, resource: r.resource,
		sent: !neverSent(err), err: withoutURL(err)}
}

// withoutURL drops what the clients put round the cause: it says twice what is
// known.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// neverSent says that the connection itself failed, so that no request left.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// failure is the body of a rest-json error.
type failure struct {
	Message   string `json:"message"`
	Code      string `json:"code"`
	Type      string `json:"__type"`
	Reason    string `json:"reason"`
	FieldList []struct {
		Name    string `json:"name"`
		Message string `json:"message"`
	} `json:"fieldList"`
	// Error is JSON-RPC's, in which MCP's and A2A's runtimes word it.
	Error struct {
		Message string `json:"message"`
	} `json:"error"`
}

// remoteError reads a refusal: the code from the X-Amzn-ErrorType header or
// the body, the message with the fields that it is about.
func remoteError(r *request, resp *http.Response, body []byte) error {
	f, code := readFailure(resp, body)
	return &refusal{
		RemoteError: &delivery.RemoteError{Service: "AgentCore", Operation: r.operation, Resource: r.resource, Code: code,
			Message: f.text(), Status: resp.StatusCode, RequestID: requestID(resp.Header), Kind: kindOf(code, resp.StatusCode)},
		after: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
}

func readFailure(resp *http.Response, body []byte) (failure, string) {
	var f failure
	event, _ := bytes.CutPrefix(bytes.TrimSpace(body), []byte("data: ")) // AG-UI's runtimes word it as an event
	if json.Unmarshal(event, &f) != nil {
		f = failure{Message: http.StatusText(resp.StatusCode)} // HTML of something in between
	}
	if f.Message == "" {
		f.Message = f.Error.Message
	}
	for _, code := range []string{resp.Header.Get("X-Amzn-Errortype"), f.Code, f.Type} {
		if code = shortCode(code); code != "" {
			return f, code
		}
	}
	return f, strconv.Itoa(resp.StatusCode)
}

// shortCode cuts what AWS puts round a code: com.amazonaws.x#Code:http://...
func shortCode(code string) string {
	if i := strings.LastIndexByte(code, '#'); i >= 0 {
		code = code[i+1:]
	}
	code, _, _ = strings.Cut(code, ":")
	return strings.TrimSpace(code)
}

func (f failure) text() string {
	text := []string{f.Message}
	if f.Reason != "" {
		text[0] += " (" + f.Reason + ")"
	}
	for _, field := range f.FieldList {
		text = append(text, field.Name+": "+field.Message)
	}
	return strings.Join(text, "; ")
}

func requestID(h http.Header) string {
	if id := h.Get("X-Amzn-Requestid"); id != "" {
		return id
	}
	return h.Get("X-Amz-Request-Id")
}

// kindOf maps AgentCore's, SSM's and CloudWatch Logs' codes to what the core
// decides on.
func kindOf(code string, status int) error {
	switch code {
	case "ResourceNotFoundException", "ParameterNotFound":
		return delivery.ErrNotFound
	case "ParameterAlreadyExists":
		return delivery.ErrExists
	case "ConflictException", "RetryableConflictException":
		return delivery.ErrConflict
	case "ThrottlingException", "TooManyRequestsException", "TooManyUpdates", "Throttling":
		return delivery.ErrThrottled
	case "ServiceQuotaExceededException", "LimitExceededException", "ParameterLimitExceeded", "ParameterMaxVersionLimitExceeded":
		return delivery.ErrQuota
	case "ExpiredTokenException", "ExpiredToken":
		return delivery.ErrExpired
	case "ValidationException", "InvalidParameterException":
		return delivery.ErrInvalid
	}
	switch status {
	case http.StatusTooManyRequests:
		return delivery.ErrThrottled
	case http.StatusUnauthorized, http.StatusForbidden:
		return delivery.ErrDenied
	case http.StatusNotFound:
		return delivery.ErrNotFound
	}
	if code == "AccessDeniedException" { // of the JSON 1.1 services, with status 400
		return delivery.ErrDenied
	}
	return nil
}

// sdkError turns what an SDK client returns into the core's terms.
func sdkError(service, operation, resource string, err error) error {
	var own *delivery.Error
	if errors.As(err, &own) {
		return own
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return &unansweredError{service: service, operation: operation, resource: resource, sent: true, err: withoutURL(err)}
	}
	remote := &delivery.RemoteError{Service: service, Operation: operation, Resource: resource,
		Code: api.ErrorCode(), Message: api.ErrorMessage()}
	var resp *awshttp.ResponseError
	if errors.As(err, &resp) {
		remote.Status, remote.RequestID = resp.HTTPStatusCode(), resp.ServiceRequestID()
	}
	remote.Kind = kindOf(remote.Code, remote.Status)
	return remote
}

// ours returns the error of a failed login where there is one within err: it
// says everything.
func ours(err error) error {
	var own *delivery.Error
	if errors.As(err, &own) {
		return own
	}
	return err
}
