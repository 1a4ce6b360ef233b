package delivery

import (
	"context"
	"io"
	"time"
)

// Login opens sessions with the target's account.
type Login interface {
	// Login opens a new session, drops the one before it, and says who AWS
	// takes us for. It returns an *Error of KindCredentials or KindDenied.
	Login(ctx context.Context) (Caller, error)
}

// Builder makes an image of a source tree. Implementations run their children
// with an environment of their own: no credential reaches them.
type Builder interface {
	Build(ctx context.Context, req BuildRequest) (Image, error)
}

// BuildRequest is one build.
type BuildRequest struct {
	Source   Source
	Platform string // linux/arm64
	// Progress receives the build's own output, line by line. May be nil.
	Progress func(line string)
	// Step receives each step of a Dockerfile when it begins and when it has
	// ended well. May be nil.
	Step func(BuildStep)
}

// BuildStep is a step of a Dockerfile.
type BuildStep struct {
	Name    string // #5 [stage-1 2/4] RUN go build
	Done    bool
	Cached  bool // it was not run: its result was there
	Elapsed time.Duration
}

// Image is an OCI image as bytes by digest: what a build yields, what a
// registry holds. The manifest may be an index; runnable finds the child that
// runs. An image that keeps files until it is no longer needed is an
// io.Closer too.
type Image interface {
	// Manifest returns the top manifest and its media type.
	Manifest(ctx context.Context) (raw []byte, mediaType string, err error)
	// Blob opens a config, layer or child manifest. It returns ErrNotFound if
	// the image has no such blob.
	Blob(ctx context.Context, digest string) (io.ReadCloser, error)
}

// Repository reads images of the target's ECR repository.
type Repository interface {
	// Resolve returns the digest of a tag, or ErrNotFound.
	Resolve(ctx context.Context, tag string) (digest string, err error)
	// Open returns the image with that digest, or ErrNotFound.
	Open(ctx context.Context, digest string) (Image, error)
}

// Publisher writes images to the target's ECR repository.
type Publisher interface {
	// Push sends what the repository lacks of image, then its manifest under
	// tag. It returns ErrExists where tag is immutable and names another
	// digest.
	Push(ctx context.Context, image Image, tag string, progress func(Transfer)) error
	// Tag points tag at a digest that is there, by one manifest PUT.
	Tag(ctx context.Context, digest, tag string) error
}

// Transfer is how far a push has come, in bytes.
type Transfer struct {
	Done, Total int64
}

// Runtimes reads and updates AgentCore runtimes. Documents are AgentCore's
// own JSON, so that members this program has never heard of survive.
type Runtimes interface {
	// Get returns the configuration of a version, of the newest one where
	// version is "". It returns ErrNotFound for a runtime or version that is
	// not there.
	Get(ctx context.Context, id, version string) (Document, error)
	// Update replaces the whole configuration. It returns ErrConflict while
	// the runtime is busy. The same clientToken makes one version however
	// often it is sent.
	Update(ctx context.Context, id string, body Document, clientToken string) (Document, error)
	// Endpoint returns the state of an endpoint, or ErrNotFound.
	Endpoint(ctx context.Context, id, name string) (Endpoint, error)
}

// Creator makes what an environment lacks: an administrator's ability.
type Creator interface {
	// Create makes a runtime. It returns ErrConflict where the name is taken.
	Create(ctx context.Context, body Document, clientToken string) (Document, error)
	// Find returns the id of the runtime with that name, or ErrNotFound.
	Find(ctx context.Context, name string) (id string, err error)
	// CreateEndpoint makes a named endpoint that serves version.
	CreateEndpoint(ctx context.Context, id, name, version, clientToken string) error
}

// EndpointMover moves named endpoints.
type EndpointMover interface {
	// MoveEndpoint points a named endpoint at a version.
	MoveEndpoint(ctx context.Context, id, name, version, clientToken string) error
}

// Endpoint is the state of a runtime's endpoint. It is settled when Status is
// READY and LiveVersion equals TargetVersion.
type Endpoint struct {
	Name          string
	Status        string
	LiveVersion   string
	TargetVersion string
	FailureReason string
}

// Invoker sends payloads to an agent.
type Invoker interface {
	// Invoke sends payload to the endpoint in the given session and reads the
	// answer to its end, up to 1 MiB of it. bearer, where not empty, is sent
	// over HTTPS in place of a signature. An answer of the agent or of
	// AgentCore that is not 2xx is an Answer, not an error; an error means
	// that nothing could be measured.
	Invoke(ctx context.Context, call Invocation) (Answer, error)
}

// BearerChecker is an Invoker that knows beforehand whether it would send a
// bearer token.
type BearerChecker interface {
	// CheckBearer returns an *Error of KindRefused where calls would go out
	// unencrypted.
	CheckBearer() error
}

// Invocation is one call of an agent.
type Invocation struct {
	RuntimeARN string
	Endpoint   string
	Session    string // 33 to 256 characters
	// Payload is what is sent; where it is empty, Text in the form of the
	// agent's protocol, or a ping.
	Payload []byte
	Text    string
	Bearer  string
	// Stream, where not nil, is where a 2xx answer is written as it comes,
	// without a limit; the Answer then has no Body.
	Stream io.Writer
}

// Answer is what came back from an agent.
type Answer struct {
	Status    int
	Type      string // content type
	Body      []byte
	ErrorCode string // AgentCore's, where Status is not 2xx
	Message   string
	RequestID string
}

// Logs reads what agents print.
type Logs interface {
	// Lines returns the lines of a window, oldest first. A log group that does
	// not exist yet has no lines.
	Lines(ctx context.Context, window LogWindow) ([]LogLine, error)
}

// LogWindow says which log lines are meant: those of an endpoint within a
// time. Where there are more than Limit, the newest.
type LogWindow struct {
	RuntimeID string
	Endpoint  string
	Since     time.Time // zero: from the first
	Until     time.Time // zero: to the last
	Limit     int       // 0 means 1,000
}

// LogLine is one line that an agent printed.
type LogLine struct {
	ID     string
	At     time.Time
	Stream string
	Text   string
}

// Parameters is SSM's Parameter Store, as far as names, the release record
// and the lock need it.
type Parameters interface {
	// Parameter returns the value, or ErrNotFound.
	Parameter(ctx context.Context, name string) (string, error)
	// PutParameter writes the value. Without overwrite it returns ErrExists
	// where there is one.
	PutParameter(ctx context.Context, name, value string, overwrite bool) error
	// DeleteParameter removes the parameter, or returns ErrNotFound.
	DeleteParameter(ctx context.Context, name string) error
}
