package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/cdk"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/trust"
)

// Doctor examines one agent in one environment. A port that is nil can't be
// asked: the checks that need it are skipped.
type Doctor struct {
	Target  delivery.Target
	Project Project
	// Offline leaves out whatever needs the network.
	Offline bool
	// Getenv reads the environment. If nil, it is empty.
	Getenv func(string) string
	// Now is the time. If nil, the machine's clock.
	Now func() time.Time

	// The machine.
	Tree   fs.FS // the repository, from its root
	Git    Git
	Engine func() error // whether the build engine is there
	// Synth makes the cloud assembly of the CDK app in a folder of Tree, without
	// credentials. Where lookups are missing, the assembly says which.
	Synth func(ctx context.Context, dir string) (cdk.Assembly, error)

	// AWS.
	Login      delivery.Login
	Clock      func(ctx context.Context) (time.Time, error) // AWS's, from an answer of STS
	Roles      Roles
	Parameters Parameters
	Runtimes   Runtimes
	Repository Repository
	Images     delivery.Repository
	Status     func(ctx context.Context) (delivery.Status, error)
	Archive    delivery.Archive

	// GitHub.
	Claims func(ctx context.Context) (map[string]string, error) // of this job's token; nil outside a job
	GitHub GitHub
}

// Project is what slipway.yaml says beside the target.
type Project struct {
	File            string // slipway.yaml, as a person would name it
	DeployRole      string // ARN
	Session         time.Duration
	GitHub          string // owner/name
	OwnerID, NameID string // decimal, where the file has them
	Branch          string
	Reviewers       []string // users, and teams as organisation/team
	// Approvals says that the environment has an approvals: block.
	Approvals bool
	// Endpoint is as written: "" where the file is silent.
	Endpoint       string
	ToolPinned     bool
	Unset          []string // environment variables that settings are taken from, and that are not set here
	Path           string   // of the agent, from the repository's root
	Engine         string
	Dockerfile     string // from Path; "" where the engine needs none
	Platform       string
	NetworkMode    string
	Subnets        []string
	SecurityGroups []string
	// Siblings are the runtime-id parameters of the agent's other environments
	// in the same account and region, by environment.
	Siblings map[string]string
}

// Roles reads IAM.
type Roles interface {
	// Role returns a role with its documents, or delivery.ErrNotFound.
	Role(ctx context.Context, name string) (trust.Role, error)
	// Audiences returns the client ids of the provider of an issuer, or
	// delivery.ErrNotFound.
	Audiences(ctx context.Context, account, issuer string) ([]string, error)
}

// Parameters reads SSM.
type Parameters interface {
	// Parameter returns the value, or delivery.ErrNotFound.
	Parameter(ctx context.Context, name string) (string, error)
}

// Runtimes reads AgentCore.
type Runtimes interface {
	// Get returns the newest configuration where version is "", or
	// delivery.ErrNotFound.
	Get(ctx context.Context, id, version string) (delivery.Document, error)
	// Endpoint returns the state of an endpoint, or delivery.ErrNotFound.
	Endpoint(ctx context.Context, id, name string) (delivery.Endpoint, error)
}

// Repository reads the settings of an ECR repository, and what is in it.
type Repository interface {
	// Settings returns delivery.ErrNotFound where there is no such repository.
	Settings(ctx context.Context, name string) (RepositorySettings, error)
	// Lifecycle returns the lifecycle policy's text, or delivery.ErrNotFound.
	Lifecycle(ctx context.Context, name string) (string, error)
	// Contents lists all images, those that are archived too.
	Contents(ctx context.Context, name string) ([]StoredImage, error)
}

// StoredImage is a manifest of a repository as ECR describes it: of an image,
// of an index, or of what an index or an image refers to.
type StoredImage struct {
	Digest string
	Tags   []string
	Index  bool // its manifest lists others
	// Archived images can't be pulled.
	Archived bool
	Pushed   time.Time
	// Pulled, Activated and Transitioned are zero where that never was: when it
	// was last pulled, restored from the archive, moved there.
	Pulled, Activated, Transitioned time.Time
}

// RepositorySettings is what a delivery depends on.
type RepositorySettings struct {
	ARN          string
	RevisionsFix bool // the tag of a commit can't be moved
	LatestMoves  bool
	ScanOnPush   bool
}

// GitHub reads a repository's settings. Its repository is that of
// Project.GitHub.
type GitHub interface {
	// Repository returns delivery.ErrNotFound where the token sees none.
	Repository(ctx context.Context) (GitHubRepository, error)
	// Environment returns delivery.ErrNotFound where there is none of the name.
	Environment(ctx context.Context, name string) (GitHubEnvironment, error)
	// Variables returns those of an environment, the repository's own below
	// them.
	Variables(ctx context.Context, environment string) (map[string]string, error)
}

// GitHubRepository is how a repository's jobs name themselves.
type GitHubRepository struct {
	FullName      string // owner/name, as it is called now
	OwnerID, ID   string
	DefaultBranch string
	// SubjectPrefix is what GitHub puts before the context: repo:owner/name, or
	// its immutable form.
	SubjectPrefix string
	// Template lists the claims of a subject of its own making, nil where the
	// repository has GitHub's own form.
	Template []string
}

// GitHubEnvironment is how an environment is protected.
type GitHubEnvironment struct {
	Reviewers         []string // users, and teams as organisation/team
	PreventSelfReview bool
	AdminsBypass      bool
	// Branches are the patterns of branches that may deploy. AnyBranch says
	// that all may; ProtectedBranches, those that are protected.
	AnyBranch         bool
	ProtectedBranches bool
	Branches          []string
}

// Git answers what git knows of the work tree.
type Git interface {
	Head(ctx context.Context) (delivery.Source, error)
	// Tracked says whether git has the file, Ignored whether it is told not to.
	Tracked(ctx context.Context, file string) (bool, error)
	Ignored(ctx context.Context, file string) (bool, error)
	Shallow(ctx context.Context) (bool, error)
}

// check is one thing that is looked at.
type check struct {
	id    string
	group string
	// needs says whose network it needs; "" is nobody's.
	needs side
	run   func(context.Context, *examination) (detail string, err error)
}

type side string

const (
	nobody   side = ""
	inAWS    side = "AWS"
	atGitHub side = "GitHub"
)

// The groups of checks, in their order.
const (
	groupProject     = "slipway.yaml"
	groupMachine     = "machine"
	groupTree        = "repository"
	groupAccess      = "access"
	groupPermissions = "permissions"
	groupImages      = "images"
	groupRuntime     = "runtime"
	groupGitHub      = "GitHub"
)

// skipped is the reason why a check was not made.
type skipped string

func (s skipped) Error() string { return string(s) }

// errAbsent says that there is nothing of what a check is about: it is not
// spoken of.
var errAbsent = errors.New("there is nothing to check")

// Examine makes every check. It ends with the context.
func (d Doctor) Examine(ctx context.Context) Report {
	x := &examination{Doctor: d}
	report := Report{Findings: []Finding{}, Checks: []Check{}}
	for _, c := range checks() {
		x.found = nil
		detail, err := x.make(ctx, c)
		if errors.Is(err, errAbsent) {
			continue
		}
		done := Check{ID: c.id, Group: c.group, Status: OK, Detail: detail, Worst: worst(x.found)}
		switch {
		case err != nil:
			done.Status, done.Detail = Skipped, because(err)
		case len(x.found) > 0:
			done.Status, done.Detail = Found, summary(x.found)
		}
		if err != nil && len(x.found) > 0 { // it had come that far
			done.Status, done.Detail = Found, summary(x.found)+"; then "+because(err)
		}
		report.Checks = append(report.Checks, done)
		report.Findings = append(report.Findings, x.found...)
	}
	report.sort()
	return report
}

func (x *examination) make(ctx context.Context, c check) (string, error) {
	switch {
	case ctx.Err() != nil:
		return "", skipped("interrupted")
	case x.Offline && c.needs != nobody:
		return "", skipped("offline")
	case c.needs == inAWS && c.id != checkCredentials:
		if _, err := x.caller(ctx); err != nil {
			return "", skipped("no session with AWS")
		}
	}
	limit := patience
	if c.id == checkSynth {
		limit = synthPatience
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.run(ctx, x)
}

// patience is how long one check may take, retries included. An app that is
// compiled and run takes longer than an answer.
const (
	patience      = 30 * time.Second
	synthPatience = 5 * time.Minute
)

// because says in one line why a check could not be made.
func because(err error) string {
	var reason skipped
	var remote *delivery.RemoteError
	switch {
	case errors.As(err, &reason):
		return string(reason)
	case errors.As(err, &remote) && errors.Is(remote, delivery.ErrDenied):
		return fmt.Sprintf("lacks %s on %s", permission(remote), orIt(remote.Resource))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", patience)
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &remote) && remote.Status >= 500:
		return fmt.Sprintf("%s did not answer %s: %s", remote.Service, remote.Operation, remote.Code)
	}
	return err.Error()
}

// permission is the action that a refused call needs, in IAM's words.
func permission(e *delivery.RemoteError) string {
	prefix := map[string]string{"AgentCore": "bedrock-agentcore"}[e.Service]
	if prefix == "" {
		prefix = strings.ToLower(e.Service)
	}
	return prefix + ":" + e.Operation
}

func orIt(resource string) string {
	if resource == "" {
		return "it"
	}
	return resource
}

// examination is one Examine: what was found so far by the check that runs,
// and what several checks read once.
type examination struct {
	Doctor
	found []Finding

	login     once[delivery.Caller]
	claims    once[map[string]string]
	deploy    once[trust.Role]
	execution once[trust.Role]
	runtimeID once[string]
	runtime   once[delivery.RuntimeFacts]
	status    once[delivery.Status]
	hub       once[GitHubRepository]
	head      once[delivery.Source]

	apps       once[[]string] // folders of CDK apps
	assemblies map[string]*once[cdk.Assembly]
	keys       map[string]bool // lookups that were reported
}

// once is a value that is read when it is first asked for.
type once[T any] struct {
	read  bool
	value T
	err   error
}

func (o *once[T]) get(read func() (T, error)) (T, error) {
	if !o.read {
		o.value, o.err = read()
		o.read = true
	}
	return o.value, o.err
}

// finding reports a fault. id is one of Rules, which has its severity.
func (x *examination) finding(id, message, hint string) *Finding {
	x.found = append(x.found, Finding{ID: id, Severity: severityOf(id), Message: message, Hint: hint})
	return &x.found[len(x.found)-1]
}

func (f *Finding) on(resource string) { f.Resource = resource }

func (f *Finding) in(file string) *Finding {
	f.File = file
	return f
}

func (x *examination) getenv(name string) string {
	if x.Getenv == nil {
		return ""
	}
	return x.Getenv(name)
}

func (x *examination) now() time.Time {
	if x.Now == nil {
		return time.Now()
	}
	return x.Now()
}
