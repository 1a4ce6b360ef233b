package delivery

import (
	"errors"
	"fmt"
	"strings"
)

// What adapters report and the core decides on. Each is matched by errors.Is
// against a *RemoteError.
var (
	ErrNotFound  = errors.New("not found")
	ErrExists    = errors.New("already exists")
	ErrConflict  = errors.New("conflict")
	ErrDenied    = errors.New("access denied")
	ErrThrottled = errors.New("throttled")
	ErrInvalid   = errors.New("invalid request")
	ErrExpired   = errors.New("credentials expired")
	ErrQuota     = errors.New("quota exceeded")
)

// RemoteError is a refusal by a remote: which service and operation, on what,
// with the remote's own code, message and request id. Adapters return it for
// every answer that is not a success.
type RemoteError struct {
	Service   string // ECR, SSM, AgentCore, STS, Logs, GitHub
	Operation string // PutParameter
	Resource  string // the name or ARN that the call was about
	Code      string // the service's own code: ParameterNotFound
	Message   string
	Status    int    // HTTP status, 0 if unknown
	RequestID string // as the service gave it
	// Kind is one of this package's Err values, or nil.
	Kind error
}

// Error says what was refused, on what, and by whom.
func (e *RemoteError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Service, e.Operation)
	if e.Resource != "" {
		fmt.Fprintf(&b, " %s", e.Resource)
	}
	b.WriteString(": ")
	b.WriteString(e.Code)
	// What AWS has encoded, a thousand characters of it, tells a reader nothing.
	message, _, encoded := strings.Cut(e.Message, "Encoded authorization failure message:")
	if encoded {
		message += "(an encoded message follows)"
	}
	if message != "" && message != e.Code {
		fmt.Fprintf(&b, ": %s", message)
	}
	return b.String()
}

// Unwrap returns Kind, so that errors.Is(err, ErrNotFound) works.
func (e *RemoteError) Unwrap() error { return e.Kind }

// Kind is the class of a failure. Each has one exit code; docs/errors.md
// lists them all.
type Kind string

// The kinds of failure.
const (
	KindUsage       Kind = "usage"
	KindConfig      Kind = "config"
	KindSource      Kind = "source"
	KindCredentials Kind = "credentials"
	KindDenied      Kind = "denied"
	KindAccount     Kind = "account-mismatch"
	KindImage       Kind = "image"
	KindRuntime     Kind = "runtime"
	KindRefused     Kind = "refused"
	KindUnavailable Kind = "unavailable"
	KindFailed      Kind = "failed"
	KindFindings    Kind = "findings"
	KindRolledBack  Kind = "rolled-back"
	KindLocked      Kind = "locked"
	KindSuperseded  Kind = "superseded"
	KindPerson      Kind = "person-needed"
	KindInterrupted Kind = "interrupted"
)

// KindInfo describes a kind for docs/errors.md.
type KindInfo struct {
	Kind    Kind
	Exit    int
	Meaning string
}

// Kinds lists every kind with its exit code and meaning.
func Kinds() []KindInfo {
	return []KindInfo{
		{KindUsage, 2, "the command line is wrong, or a question could not be asked"},
		{KindConfig, 2, "slipway.yaml is wrong; each mistake has its file:line:column"},
		{KindSource, 2, "the work tree can't be delivered: no commit, uncommitted changes, no build context"},
		{KindCredentials, 2, "there are no usable credentials"},
		{KindDenied, 2, "AWS refused the token or a permission before anything was written"},
		{KindAccount, 2, "the credentials belong to another account than slipway.yaml names"},
		{KindImage, 2, "the image can't run on this runtime: platform, size, layers, contents"},
		{KindRuntime, 2, "the runtime can't be found or can't take an update"},
		{KindRefused, 2, "a rule of delivery forbids it; nothing was written"},
		{KindUnavailable, 2, "a remote did not answer before anything was written"},
		{KindFailed, 1, "a stage failed; the previous release still serves"},
		{KindFindings, 3, "something was found"},
		{KindRolledBack, 4, "the new release failed; the previous one serves again"},
		{KindLocked, 5, "another deployment holds the lock"},
		{KindSuperseded, 5, "another deployment won the race"},
		{KindPerson, 6, "a person is needed; the message says what serves now"},
		{KindInterrupted, 130, "interrupted; the message says where things stand"},
	}
}

// Error is a failed command: what failed, on what, and what to do.
type Error struct {
	Kind  Kind
	Op    string   // what was being done: "reading the runtime id"
	Err   error    // why it failed
	Hints []string // what to do, a sentence each
	// Serves says what serves now, where a delivery had begun.
	Serves string
}

// Error joins what was being done and why it failed.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Op
	}
	if e.Op == "" {
		return e.Err.Error()
	}
	return e.Op + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error, KindFailed where it carries none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindFailed
}

// ExitCode returns the exit code for an error: 0 for nil.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	kind := KindOf(err)
	for _, k := range Kinds() {
		if k.Kind == kind {
			return k.Exit
		}
	}
	return 1
}
