// Package sim is the local cloud: STS, IAM, SSM, ECR with its registry,
// Bedrock AgentCore, CloudWatch Logs and GitHub's token issuer, in their real
// wire formats, on one port.
//
// It does what AWS does, not what is convenient: tokens, signatures and trust
// policies are checked, updates replace the whole configuration, statuses take
// their time, images are pulled and run. What it does not know it refuses
// loudly, with an error that names the operation; it never answers with an
// empty success. It shares no code with the adapters that talk to it (the
// policy evaluator of internal/trust aside), so that one misreading of AWS is
// not encoded on both sides.
//
// What it does not model is said where it is left out. Acknowledged writes are
// durable: a record is on disk before its answer leaves.
package sim

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of a cloud that does not say otherwise.
const (
	DefaultAccount = "111122223333"
	DefaultRegion  = "us-east-1"
)

// Cloud is a local cloud. The zero value is ready: it keeps its state in a
// temporary directory and removes it on Close.
type Cloud struct {
	// Dir holds the state. If empty, a temporary directory.
	Dir string
	// Account and Region are what clients that can't name them speak to.
	Account string
	Region  string
	// Settle is how long a runtime stays CREATING or UPDATING. Production
	// takes seconds to a minute (platform V1). If zero, one second. The
	// endpoint DEFAULT follows half of Settle later.
	Settle time.Duration
	// Sandbox is the command that becomes the first process of an agent's
	// sandbox; it has to call sandbox.Init. If empty, agents can't be run in
	// namespaces.
	Sandbox []string
	// Now is the clock. If nil, time.Now.
	Now func() time.Time
	// Warn receives what an operator of the cloud should know, a line each.
	// If nil, it is dropped.
	Warn func(line string)

	once    sync.Once
	openErr error
	temp    bool
	https   atomic.Bool // it is served by HTTPS as well: authority.go
	lock    io.Closer   // held on Dir while the cloud is open
	disk    disk
	// patience is the constant of that name where it is zero; tests have less.
	patience time.Duration
	// payloadLimit bounds a payload in bytes. If zero, AgentCore's 100 MB.
	payloadLimit int64
	store        *store
	journal      *journal
	faults       faults // faults*.go

	policies  policyCache
	identity  identity  // STS, IAM, GitHub's issuer: identity*.go, sts.go, iam.go, oidc.go
	keySets   keySets   // of other issuers: keysets.go
	ssm       ssmState  // ssm.go
	ecr       ecrState  // ecr.go, registry.go
	agentcore coreState // agentcore*.go
	logs      logsState // logs.go
}

// Open loads the state. ServeHTTP does it by itself; Open reports what is
// wrong before the first call.
func (c *Cloud) Open() error {
	c.once.Do(func() { c.openErr = c.open() })
	return c.openErr
}

func (c *Cloud) open() error {
	if c.Account == "" {
		c.Account = DefaultAccount
	}
	if c.Region == "" {
		c.Region = DefaultRegion
	}
	if c.Settle == 0 {
		c.Settle = time.Second
	}
	if c.Dir == "" {
		dir, err := os.MkdirTemp("", "slipway-cloud-")
		if err != nil {
			return fmt.Errorf("making a state directory: %w", err)
		}
		c.Dir, c.temp = dir, true
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("making the state directory: %w", err)
	}
	if err := c.disk.syncDir(filepath.Dir(filepath.Clean(c.Dir))); err != nil {
		return fmt.Errorf("making the state directory: %w", err)
	}
	var err error
	if c.lock, err = lockDir(c.Dir); err != nil {
		return err
	}
	if c.store, err = openStore(filepath.Join(c.Dir, "records"), c.disk); err != nil {
		return err
	}
	if c.journal, err = openJournal(filepath.Join(c.Dir, "journal.jsonl")); err != nil {
		return err
	}
	if err := c.openIdentity(); err != nil {
		return err
	}
	if err := c.sweep(); err != nil {
		return err
	}
	return c.disk.syncDir(c.Dir) // the directories and files that were made in it
}

// Close stops every agent and closes the state. Calls that are under way may
// fail, and none starts another agent. A cloud that is closed stays so.
func (c *Cloud) Close() error {
	_ = c.ClearFault("") // what hangs goes on; all of them: that can't fail
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	c.agentcore.closed = true
	c.closeAgents()
	var err error
	if c.journal != nil {
		err = c.journal.close()
	}
	if c.lock != nil {
		err = errors.Join(err, c.lock.Close())
	}
	if c.temp {
		err = errors.Join(err, os.RemoveAll(c.Dir))
	}
	return err
}

// Reset stops every agent and forgets everything but the cloud's own keys, so
// that tokens and administrators' keys stay valid; faults are cleared. What is changing meanwhile
// changes before or after it, never across: no record and no agent of before
// is left. A crash may leave files that no record names any more, never the
// reverse.
func (c *Cloud) Reset() error {
	if err := c.Open(); err != nil {
		return err
	}
	_ = c.ClearFault("") // all of them: that can't fail
	for _, mu := range []*sync.Mutex{&c.agentcore.mu, &c.ecr.mu, &c.ssm.mu, &c.identity.mu} {
		mu.Lock()
		defer mu.Unlock()
	}
	c.closeAgents()
	if err := c.store.deleteAll(keepOnReset); err != nil {
		return err
	}
	return errors.Join(c.resetAgents(), c.resetRegistry(), c.journal.reset())
}

func (c *Cloud) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func (c *Cloud) warn(format string, args ...any) {
	if c.Warn != nil {
		c.Warn(fmt.Sprintf(format, args...))
	}
}

// ServeHTTP answers one request. What a request is for is told by its Host,
// path and headers, as each service's clients send them.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := c.Open(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w = c.patient(w, r)
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/_local/"):
		c.serveLocal(w, r)
	case path == "/v2" || strings.HasPrefix(path, "/v2/"):
		c.serveRegistry(w, r)
	case strings.HasPrefix(path, layerPrefix):
		c.serveLayer(w, r)
	case strings.HasPrefix(path, "/.well-known/") || strings.HasPrefix(path, "/_actions/"):
		c.serveIssuer(w, r)
	case strings.HasPrefix(path, "/api/v3/"):
		c.serveGitHub(w, r)
	default:
		c.serveAWS(w, r)
	}
}

// newID returns n random bytes in hex.
func newID(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand
	return hex.EncodeToString(b)
}

// newRequestID returns an AWS request id: a random UUID.
func newRequestID() string {
	h := newID(16)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}
