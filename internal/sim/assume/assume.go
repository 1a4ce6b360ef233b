// Package assume states what the local cloud takes for true of AWS and GitHub,
// each thing with a number, and asks an account whether it holds.
//
// The account is the local cloud's in every run of the tests. With
// SLIPWAY_ASSUME=aws it is a real one; the package's tests say what that needs,
// makes and costs. Where a real account says otherwise, the assumption, the
// local cloud and what relies on either have to change together.
//
// An assumption is a function whose comment has its number, the statement, its
// source and how sure it is: H, the vendor's documentation, its service model
// or many independent reports; M, one good source; L, a guess. docs/assumptions.md
// is made of these comments. The package is a plain HTTP client that signs its
// calls: an SDK would hide what is on the wire. It imports nothing of Slipway,
// so that no reading of AWS is judged by itself.
package assume

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// T is what an assumption takes of a test: *testing.T is one, and so is a
// recorder that has to see it fail.
type T interface {
	Context() context.Context
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Assumption is one thing taken for true.
type Assumption struct {
	// ID is A and three digits: 1xx AgentCore, 2xx ECR, 3xx its registry, 4xx
	// STS, 5xx IAM and permissions, 6xx SSM, 7xx CloudWatch Logs, 8xx GitHub's tokens, 9xx its gates.
	ID string
	// Needs is what the account has to have, or nothing.
	Needs Need
	// Check fails t where the account says otherwise.
	Check func(t T, a *Account)
}

// Need is what an assumption can't be asked without.
type Need string

// Needs of assumptions.
const (
	// Local: a real account can't be asked, safely or for free. It takes keys
	// of GitHub's issuer, a long wait or the account's quota.
	Local Need = "local"
	// Job: an ID token of GitHub Actions, and its provider in the account.
	Job Need = "job"
	// Agent: a program that AgentCore can run. Its sessions cost money.
	Agent Need = "agent"
)

// Account is an account to ask. Everything that it makes has a name that begins
// with Prefix, and is deleted when the assumption has been asked.
type Account struct {
	// Endpoint is the base URL of every service. If empty, AWS's own names.
	Endpoint string
	// ID is the account's, 12 digits. Region is where its runtimes are.
	ID, Region  string
	Credentials aws.CredentialsProvider
	// Client sends every request. It has to be set: the default would go
	// anywhere.
	Client *http.Client
	// Prefix of names: letters and digits, a letter first, at most 20.
	Prefix string
	// Role is the ARN of an execution role that AgentCore may pass and that may
	// pull from the account's repositories.
	Role string
	// Patience is how long to wait for a status, Pause how long between looks.
	Patience, Pause time.Duration
	// Now is the account's clock, and Wait waits by it. If nil, the real ones.
	Now  func() time.Time
	Wait func(ctx context.Context, d time.Duration) error

	// Token mints an ID token for an audience, as a job does. Subject is the
	// sub that it has. If nil, there is no job.
	Token   func(ctx context.Context, audience string) (string, error)
	Subject string
	// Forge signs claims with the issuer's own key. If nil, nobody has it.
	Forge func(claims []byte) (string, error)
	// Mint mints a token of a job that is described (repository, environment,
	// ref, event). If nil, nobody can.
	Mint func(ctx context.Context, job map[string]any) (string, error)
	// GitHub is a repository whose environments have gates. If nil, there is none.
	GitHub *Repository
	// Program is the tests' agent (internal/sim/sandbox/testdata/agent), static,
	// for Linux on Arch. If nil, no agent is run. Capacity is the ARN of the
	// capacity provider to run it on; if empty, a microVM, which is arm64.
	Program        []byte
	Arch, Capacity string

	mu     sync.Mutex
	count  int                // of names
	shared string             // the repository of images that nobody changes
	images map[string]fixture // in it, by platform
	login  string             // of the registry, since loggedIn

	loggedIn time.Time
}

// fixture is an image that several assumptions look at and none changes.
type fixture struct{ uri, digest string }

// All lists every assumption, by number.
func All() []Assumption {
	var all []Assumption
	for _, area := range [][]Assumption{agentcore(), ecr(), ecrPolicies(), registry(), sts(), iam(), managed(), permissions(), ssm(), logs(), github(), gates()} {
		all = append(all, area...)
	}
	return all
}
