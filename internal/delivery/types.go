package delivery

import (
	"encoding/json"
	"time"
)

// Compute is what a runtime runs on. It decides which platforms an image may
// have.
type Compute string

// The two kinds of compute of AgentCore Runtime (facts: Image rules).
const (
	// MicroVM is the default compute. It runs linux/arm64 alone.
	MicroVM Compute = "microvm"
	// Instances is a capacity provider of one's own. It runs linux/arm64 and
	// linux/amd64.
	Instances Compute = "instances"
)

// Platforms lists what c runs, as OS/architecture.
func (c Compute) Platforms() []string {
	if c == Instances {
		return []string{"linux/arm64", "linux/amd64"}
	}
	return []string{"linux/arm64"}
}

// ImageReference is how the runtime's configuration names the image.
type ImageReference string

// The three ways to name an image. Digest is the default and the only one
// that can't change under a version that is already serving.
const (
	ByDigest ImageReference = "digest"
	ByTag    ImageReference = "tag"
	ByLatest ImageReference = "latest"
)

// DefaultEndpoint is the endpoint that follows the newest version by itself.
const DefaultEndpoint = "DEFAULT"

// Target is one agent in one environment, as slipway.yaml describes it: all
// that a delivery needs to know beforehand.
type Target struct {
	Agent       string
	Environment string
	Account     string // 12 digits
	Region      string
	Registry    string // host: <account>.dkr.ecr.<region>.amazonaws.com
	Repository  string // ECR repository name
	Compute     Compute
	Reference   ImageReference // "" means ByDigest
	Endpoint    string         // named endpoint, "" where DEFAULT serves
	// After names the environment that must have served an image first; ""
	// where deploy may deliver.
	After string
	// MovesLatest says that this environment is the first one which uses
	// Repository, so that its releases move the tag latest.
	MovesLatest bool
	// Settings holds what Slipway owns of the runtime's configuration, in
	// AgentCore's own JSON names. A null asks for a live member to be removed.
	Settings json.RawMessage
	// ExecutionRole is needed to create a runtime. An update takes it from
	// Settings or from the live runtime.
	ExecutionRole string
	Verify        VerifySpec
	ReadyTimeout  time.Duration // 0 means 15 min (docs: V1 900 s)
	VerifyTimeout time.Duration // 0 means 2 min
	// Origins says of which environment variables in Settings the value came
	// from elsewhere, and how slipway.yaml names it: ${ssm:/path}. Such values
	// are not shown.
	Origins map[string]string
	// Unread names the parameters that Settings and Verify still lack. A
	// delivery reads them first (Deliverer.Complete).
	Unread []string
	// BearerToken verifies and invokes runtimes with a JWT authorizer, which
	// take no signed calls. It is sent to no other.
	BearerToken string
}

// Parameter returns the SSM name of one of the target's parameters:
// runtime-id, release, image-uri or lock.
func (t Target) Parameter(name string) string {
	return "/" + t.Agent + "/" + t.Environment + "/" + name
}

// ImageURI names a digest in the target's repository.
func (t Target) ImageURI(digest string) string {
	return t.Registry + "/" + t.Repository + "@" + digest
}

// Serving is the endpoint that users of the agent call.
func (t Target) Serving() string {
	if t.Endpoint == "" {
		return DefaultEndpoint
	}
	return t.Endpoint
}

// Delivery is the command that delivers to the environment, and makes its
// runtime where create is set: a promotion where it takes its releases from
// another one, as a deploy there is refused.
func (t Target) Delivery(create bool) string {
	switch {
	case t.After != "" && create:
		return "slipway promote --to " + t.Environment + " --create"
	case t.After != "":
		return "slipway promote --to " + t.Environment
	case create:
		return "slipway deploy --create --env " + t.Environment
	}
	return "slipway deploy --env " + t.Environment
}

// again says that a release is to be delivered once more.
func (t Target) again() string {
	if t.After != "" {
		return "promote it again"
	}
	return "deploy it again"
}

func (t Target) readyLimit() time.Duration {
	if t.ReadyTimeout == 0 {
		return DefaultReadyTimeout
	}
	return t.ReadyTimeout
}

func (t Target) verifyLimit() time.Duration {
	if t.VerifyTimeout == 0 {
		return DefaultVerifyTimeout
	}
	return t.VerifyTimeout
}

// VerifySpec says how a new version proves that it serves. The zero value
// sends a ping as the runtime's protocol has it ({"prompt": "ping"} for HTTP)
// and accepts any 2xx answer that ends and holds no error of the protocol.
type VerifySpec struct {
	Payload  json.RawMessage
	Contains string
	Skip     bool
}

// Source is the commit that is delivered.
type Source struct {
	Dir      string    // the build context
	Root     string    // the work tree that Dir is in
	Revision string    // 40 hex
	Time     time.Time // of the commit: SOURCE_DATE_EPOCH
	Dirty    bool      // the work tree differs from the commit
}

// Caller is who AWS says we are.
type Caller struct {
	Account string
	ARN     string
	Expires time.Time // zero for long-lived keys
}

// Verdict is what the verify stage said of a release.
type Verdict string

// The verdicts a release may carry. Only a passed release is promotable.
const (
	Passed     Verdict = "passed"
	Unverified Verdict = "unverified"
)

// Release is what an environment serves. It is kept as JSON in the SSM
// parameter /<agent>/<environment>/release, whose history is the audit trail.
type Release struct {
	Schema      string    `json:"schema"` // slipway.release/v1
	Agent       string    `json:"agent"`
	Environment string    `json:"environment"`
	Revision    string    `json:"revision"`
	Digest      string    `json:"digest"`
	Version     string    `json:"version"`
	Endpoint    string    `json:"endpoint"`
	Verdict     Verdict   `json:"verdict"`
	Previous    *Pointer  `json:"previous,omitempty"`
	At          time.Time `json:"at"`
	By          string    `json:"by"`
	Run         string    `json:"run,omitempty"`
	// OutOfOrder says that the environment takes its releases from another
	// one, and got this one past it.
	OutOfOrder bool `json:"out_of_order,omitempty"`
	// Dirty says that the image holds changes that Revision does not.
	Dirty bool `json:"dirty,omitempty"`
	// Failed is the release that this one replaced because it failed; Reason
	// says why.
	Failed *Pointer `json:"rolled_back_from,omitempty"`
	// PromotedFrom is where the image was proved to serve before it came here;
	// nil where it was deployed.
	PromotedFrom *Origin `json:"promoted_from,omitempty"`
	// Image names the image where it is not in the target's repository.
	Image string `json:"image,omitempty"`
	// Adopted is set where the release was found serving, and not delivered:
	// what its version names its image by.
	Adopted string `json:"adopted,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Hidden names the environment variables whose values came from elsewhere
	// (Target.Origins): what they were is not shown later either.
	Hidden []string `json:"hidden,omitempty"`
}

// Origin is the release of another environment that one was promoted from.
type Origin struct {
	Environment string    `json:"environment"`
	Version     string    `json:"version"`
	At          time.Time `json:"at"` // when it was proved
	Run         string    `json:"run,omitempty"`
}

// Pointer names a release from another one.
type Pointer struct {
	Revision string `json:"revision"`
	Digest   string `json:"digest"`
	Version  string `json:"version"`
	Image    string `json:"image,omitempty"` // where it is not in the target's repository
}

// Actor is on whose behalf a delivery runs.
type Actor struct {
	Name  string // GitHub actor in CI, else the caller's ARN
	Run   string // URL of the GitHub run, if any
	Owner string // who may take over a lock: repository + run id in CI, else caller + host + work tree
	CI    bool
}

// The stages of a delivery, in their order.
const (
	StageCredentials = "credentials"
	StageBuild       = "build"
	StagePreflight   = "preflight"
	StagePush        = "push"
	StageUpdate      = "update"
	StageReady       = "ready"
	StageVerify      = "verify"
	StageEndpoint    = "endpoint"
	StageLatest      = "latest"
	StageRecord      = "record"
)

// Stages lists the stages of a delivery in their order.
func Stages() []string {
	return []string{StageCredentials, StageBuild, StagePreflight, StagePush, StageUpdate,
		StageReady, StageVerify, StageEndpoint, StageLatest, StageRecord}
}

// Stage is one finished stage of a delivery.
type Stage struct {
	Name    string
	Elapsed time.Duration
	Skipped bool
}

// Outcome is how a delivery ended.
type Outcome string

// The outcomes of a delivery.
const (
	Deployed   Outcome = "deployed"
	Unchanged  Outcome = "unchanged"
	RolledBack Outcome = "rolled-back"
	Failed     Outcome = "failed"
)

// Deployment is the account of one delivery, finished or not.
type Deployment struct {
	Target   Target
	Outcome  Outcome
	Revision string
	Digest   string
	Platform string
	Image    string   // names the image where it is not in the target's repository
	Tags     []string // those that name the image now
	Runtime  RuntimeState
	Previous *Pointer
	// PreviousPassed says that Previous is recorded as having passed its
	// verify: a rollback can go to it.
	PreviousPassed bool
	// Back says that it was a rollback.
	Back bool
	// PromotedFrom is where a promotion's image was proved.
	PromotedFrom *Origin
	Changes      []Change
	Stages       []Stage
	Elapsed      time.Duration
}

// RuntimeState is where a runtime stands.
type RuntimeState struct {
	ID       string
	Version  string
	Endpoint string
	Status   string
}

// Change is one field that an update changes. Before and After are JSON; an
// absent one is empty. Secret says that neither must be shown; Origin is then
// how slipway.yaml names where After comes from, if it does.
type Change struct {
	Path   string
	Before json.RawMessage
	After  json.RawMessage
	Secret bool
	Origin string
}
