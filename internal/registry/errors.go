package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const service = "registry"

// maxMessage bounds what is repeated of a registry's own words.
const maxMessage = 500

// sourceError is a failure of the image that is pushed, not of the registry.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// passing says whether a step may succeed if it is tried again.
func passing(err error) bool {
	var source *sourceError
	if errors.As(err, &source) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var upload *uploadError
	if errors.As(err, &upload) && upload.lost() {
		return true
	}
	var answer *transport.Error
	if errors.As(err, &answer) {
		return passingAnswer(answer)
	}
	var line *lineError
	if errors.As(err, &line) {
		return passingLine(line.err)
	}
	// The body of an answer was cut.
	var op *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op)
}

func passingAnswer(e *transport.Error) bool {
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return hasCode(e, transport.TooManyRequestsErrorCode)
}

func hasCode(e *transport.Error, codes ...transport.ErrorCode) bool {
	return slices.ContainsFunc(e.Errors, func(d transport.Diagnostic) bool { return slices.Contains(codes, d.Code) })
}

// uploadError is a failed upload. Where the registry has forgotten an upload,
// or got other bytes than it counted, a new one may succeed; of a manifest the
// same codes say that a blob is missing, and trying again does not help.
type uploadError struct{ err error }

func (e *uploadError) Error() string { return e.err.Error() }
func (e *uploadError) Unwrap() error { return e.err }

func (e *uploadError) lost() bool {
	var answer *transport.Error
	return errors.As(e.err, &answer) && (answer.StatusCode == http.StatusRequestedRangeNotSatisfiable ||
		hasCode(answer, transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode, transport.DigestInvalidErrorCode))
}

func passingLine(err error) bool {
	var cert *tls.CertificateVerificationError
	var dns *net.DNSError
	switch {
	case errors.As(err, &cert):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return true
}

// resource names what a call was about: <registry>/<repository>:<tag> or
// @<digest>.
func (r *Repository) resource(reference string) string {
	s := r.Registry + "/" + r.Name
	switch {
	case reference == "":
		return s
	case strings.HasPrefix(reference, "sha256:"):
		return s + "@" + reference
	}
	return s + ":" + reference
}

func (r *Repository) invalid(operation, reference string, err error) error {
	return &delivery.RemoteError{Service: service, Operation: operation, Resource: r.resource(reference),
		Code: "NAME_INVALID", Message: clean(err.Error()), Kind: delivery.ErrInvalid}
}

// translate puts a failure into delivery's words. URLs are left out: those of
// uploads and redirects carry keys of their own.
func (r *Repository) translate(operation, reference string, err error) error {
	var remote *delivery.RemoteError
	if errors.As(err, &remote) {
		return err // a login that could not be had, or a nested read
	}
	var answer *transport.Error
	if errors.As(err, &answer) {
		return r.remoteError(operation, reference, answer)
	}
	var asked *url.Error
	for errors.As(err, &asked) {
		err = asked.Err
	}
	return fmt.Errorf("registry %s %s: %w", operation, r.resource(reference), err)
}

func (r *Repository) remoteError(operation, reference string, e *transport.Error) error {
	out := &delivery.RemoteError{Service: service, Operation: operation, Resource: r.resource(reference),
		Status: e.StatusCode, Code: fmt.Sprintf("HTTP %d", e.StatusCode), Message: http.StatusText(e.StatusCode)}
	if len(e.Errors) > 0 {
		out.Code, out.Message = clean(string(e.Errors[0].Code)), clean(reasons(e.Errors))
	}
	out.Kind = kindOf(out)
	return out
}

// reasons joins all that a registry gave as reasons: the message of the first,
// whose code is told beside it, and each other with its code.
func reasons(list []transport.Diagnostic) string {
	all := make([]string, len(list))
	for i, d := range list {
		all[i] = d.Message
		if i > 0 {
			all[i] = string(d.Code) + ": " + d.Message
		}
		if detail, ok := d.Detail.(string); ok && detail != "" {
			all[i] += " (" + detail + ")"
		}
	}
	return strings.TrimSpace(strings.Join(all, "; "))
}

// kindOf classes a registry's answer.
func kindOf(e *delivery.RemoteError) error {
	switch e.Code {
	case "TAG_INVALID", "ImageTagAlreadyExistsException":
		// ECR: "The image tag 'x' already exists in the 'r' repository and
		// cannot be overwritten because the repository is immutable."
		if strings.Contains(e.Message, "immutable") || strings.Contains(e.Message, "already exists") {
			return delivery.ErrExists
		}
		return delivery.ErrInvalid
	case "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "DIGEST_INVALID", "SIZE_INVALID", "NAME_INVALID":
		return delivery.ErrInvalid
	case "TOOMANYREQUESTS":
		return delivery.ErrThrottled
	case "DENIED", "UNAUTHORIZED":
		return deniedKind(e.Message)
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return deniedKind(e.Message)
	case http.StatusNotFound:
		return delivery.ErrNotFound
	case http.StatusConflict:
		return delivery.ErrConflict
	case http.StatusTooManyRequests:
		return delivery.ErrThrottled
	}
	if e.Status >= 400 && e.Status < 500 {
		return delivery.ErrInvalid
	}
	return nil
}

func deniedKind(message string) error {
	if expiredText(message) {
		return delivery.ErrExpired
	}
	return delivery.ErrDenied
}

// clean makes a remote's words safe to print: one line, no control
// characters, bounded.
func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return strings.TrimSpace(s)
}
