package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Statuses of runtimes and endpoints. There is no FAILED.
const (
	statusCreating     = "CREATING"
	statusCreateFailed = "CREATE_FAILED"
	statusUpdating     = "UPDATING"
	statusUpdateFailed = "UPDATE_FAILED"
	statusReady        = "READY"
	statusDeleting     = "DELETING"
)

const defaultEndpoint = "DEFAULT"

// runtimeRecord is a runtime. Its versions are records of their own.
type runtimeRecord struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Account string    `json:"account"`
	Region  string    `json:"region"`
	Created time.Time `json:"created"`
	Latest  int       `json:"latest"` // the newest version's number
	// Deleted is when the deletion was accepted.
	Deleted *time.Time `json:"deleted,omitempty"`
	// Settled says that the newest version's outcome has been decided.
	Settled   bool                       `json:"settled"`
	Endpoints map[string]*endpointRecord `json:"endpoints"`
	Tokens    map[string]tokenRecord     `json:"tokens,omitempty"`
}

// versionRecord is one immutable version.
type versionRecord struct {
	Number   int       `json:"number"`
	Accepted time.Time `json:"accepted"`
	Document document  `json:"document"`
	// Digest is what the image's name meant when the version was made. Reports
	// differ on when AWS resolves a tag; assumption: once, at the version's
	// creation, and never again.
	Digest  string `json:"digest"`
	Failure string `json:"failure,omitempty"` // why the version failed
	stuck
}

// endpointRecord is an endpoint. Live is 0 until the first version serves.
type endpointRecord struct {
	Name        string      `json:"name"`
	Description string      `json:"description,omitempty"`
	Created     time.Time   `json:"created"`
	Changed     time.Time   `json:"changed"` // when Target was set
	Live        int         `json:"live"`
	Target      int         `json:"target"`
	Failure     string      `json:"failure,omitempty"`
	Deleted     *time.Time  `json:"deleted,omitempty"`
	Token       tokenRecord `json:"token"` // of its creation
	// Moves are the tokens of its updates.
	Moves map[string]tokenRecord `json:"moves,omitempty"`
	stuck
}

// stuck is what a fault has done to a version or endpoint in the making.
type stuck struct {
	// By is the key of the fault that keeps it in state for as long as it is set.
	By string `json:"stuck_by,omitempty"`
	// Doom is why it will fail.
	Doom  string `json:"doom,omitempty"`
	state string // what By says now, "" if it is set no longer
}

// stuckBy is what befell the call that began it.
func stuckBy(h *hit) stuck {
	switch {
	case !h.is(EffectStuck):
		return stuck{}
	case failed(h.fault.State):
		return stuck{Doom: h.fault.Message}
	}
	return stuck{By: h.fault.key, state: h.fault.State}
}

// tokenRecord is what a clientToken has done.
type tokenRecord struct {
	Token   string    `json:"token,omitempty"`
	Body    string    `json:"body"` // its hash
	Version int       `json:"version"`
	At      time.Time `json:"at"`
}

// tokenLife is how long a clientToken suppresses repeats. Assumption: AWS does
// not say.
const tokenLife = 24 * time.Hour

func hashBody(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// repeated says whether the token has done this request before; with another
// body it is refused.
func repeated(t tokenRecord, ok bool, body []byte, now time.Time) (bool, error) {
	if !ok || now.Sub(t.At) > tokenLife {
		return false, nil
	}
	if t.Body != hashBody(body) {
		return false, invalid("IdempotentParameterMismatchException", "The client token was used before with a different request")
	}
	return true, nil
}

// keepToken adds a token and drops those that have expired.
func keepToken(tokens map[string]tokenRecord, token string, t tokenRecord) map[string]tokenRecord {
	if token == "" {
		return tokens
	}
	kept := map[string]tokenRecord{token: t}
	for name, old := range tokens {
		if t.At.Sub(old.At) <= tokenLife && name != token {
			kept[name] = old
		}
	}
	return kept
}

func runtimePrefix(account, region string) string {
	return "agentcore/" + account + "/" + region + "/runtime/"
}

func versionKey(r *runtimeRecord, number int) string {
	return fmt.Sprintf("agentcore/%s/%s/version/%s/%05d", r.Account, r.Region, r.ID, number)
}

func (r *runtimeRecord) key() string { return runtimePrefix(r.Account, r.Region) + r.ID }
func (r *runtimeRecord) arn() string { return runtimeARN(r.Account, r.Region, r.ID) }
func (r *runtimeRecord) endpointARN(name string) string {
	return r.arn() + "/runtime-endpoint/" + name
}

func noRuntime(id string) error {
	return faultf(http.StatusNotFound, "ResourceNotFoundException", "Agent with ID '%s' was not found", id)
}

func noVersion(id string, number int) error {
	return faultf(http.StatusNotFound, "ResourceNotFoundException", "Agent with ID '%s' and version '%d' was not found", id, number)
}

// runtime loads a runtime as it is now. The caller holds c.agentcore.mu.
func (c *Cloud) runtime(account, region, id string) (*runtimeRecord, error) {
	var r runtimeRecord
	if !c.store.get(runtimePrefix(account, region)+id, &r) {
		return nil, noRuntime(id)
	}
	if r.Deleted != nil && !c.now().Before(r.Deleted.Add(c.Settle)) {
		return nil, errorOr(c.forgetRuntime(&r), noRuntime(id))
	}
	for _, e := range r.Endpoints {
		e.state = c.stuckState(e.By)
	}
	changed, err := c.settle(&r)
	if err != nil {
		return nil, err
	}
	if !changed {
		return &r, nil
	}
	if err := c.store.put(r.key(), &r); err != nil { // time brings it again with the next look
		c.warn("keeping the state of %s: %v", r.arn(), err)
	}
	return &r, nil
}

func errorOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// forgetRuntime removes a deleted runtime's records, its own the last: where a
// crash comes between, the next look goes on.
func (c *Cloud) forgetRuntime(r *runtimeRecord) error {
	for _, key := range c.store.keys(fmt.Sprintf("agentcore/%s/%s/version/%s/", r.Account, r.Region, r.ID)) {
		if err := c.store.delete(key); err != nil {
			return err
		}
	}
	return c.store.delete(r.key())
}

// version loads one version of a runtime.
func (c *Cloud) version(r *runtimeRecord, number int) (*versionRecord, error) {
	var v versionRecord
	if !c.store.get(versionKey(r, number), &v) {
		return nil, noVersion(r.ID, number)
	}
	v.state = c.stuckState(v.By)
	return &v, nil
}

// versions lists a runtime's versions, the oldest first. A record above Latest
// was cut off by a crash before it was accepted.
func (c *Cloud) versions(r *runtimeRecord) []*versionRecord {
	var all []*versionRecord
	for _, key := range c.store.keys(fmt.Sprintf("agentcore/%s/%s/version/%s/", r.Account, r.Region, r.ID)) {
		var v versionRecord
		if c.store.get(key, &v) && v.Number <= r.Latest {
			v.state = c.stuckState(v.By)
			all = append(all, &v)
		}
	}
	return all
}

// parseVersion reads a version's number as it is written on the wire.
func parseVersion(name, s string) (int, error) {
	v := &check{}
	versionShape()(v, name, rawOf(s))
	if err := v.err(); err != nil {
		return 0, err
	}
	return strconv.Atoi(s)
}

// settleTime is how long a version takes to become READY. Platform V2 takes a
// snapshot first: minutes where V1 takes seconds.
func (c *Cloud) settleTime(d document) time.Duration {
	if stringOf(d, "platformVersion") == platformV2 {
		return 4 * c.Settle
	}
	return c.Settle
}

// settle lets happen what time has brought: the newest version succeeds or
// fails, endpoints reach their targets. It reports whether anything changed.
func (c *Cloud) settle(r *runtimeRecord) (bool, error) {
	v, err := c.version(r, r.Latest)
	if err != nil {
		return false, err
	}
	now, changed := c.now(), false
	ready := v.Accepted.Add(c.settleTime(v.Document))
	if !r.Settled && !now.Before(ready) && v.state == "" {
		c.decide(r, v)
		changed = r.Settled
	}
	for name, e := range r.Endpoints {
		at := e.Changed.Add(c.Settle)
		if name == defaultEndpoint {
			at = ready.Add(c.Settle / 2) // liveVersion lags targetVersion
		}
		if e.Live != e.Target && e.Failure == "" && r.Settled && !now.Before(at) && e.state == "" {
			changed = true
			if e.Failure = e.Doom; e.Failure == "" {
				e.Live = e.Target
			}
		}
		if e.Deleted != nil && !now.Before(e.Deleted.Add(c.Settle)) {
			delete(r.Endpoints, name)
			changed = true
		}
	}
	return changed, nil
}

// decide ends the making of a version. It fails where the image is no longer
// there, or where a fault says so.
func (c *Cloud) decide(r *runtimeRecord, v *versionRecord) {
	r.Settled = true
	uri := imageURI(v.Document)
	if v.Failure == "" {
		v.Failure = v.Doom
	}
	if v.Failure == "" {
		if _, err := c.findImage(pinned(uri, v.Digest), arches(v.Document)); err == nil {
			return
		}
		v.Failure = fmt.Sprintf("The image '%s' (%s) could not be pulled", uri, v.Digest)
	}
	if err := c.store.put(versionKey(r, v.Number), v); err != nil {
		c.warn("keeping the state of %s: %v", r.arn(), err)
		r.Settled = false // it is decided when it can be kept
		return
	}
	r.Endpoints[defaultEndpoint].Failure = v.Failure
}

// pinned is an image's name with its digest in place of tag or digest.
func pinned(uri, digest string) string {
	repository, _, _ := strings.Cut(uri, "@")
	if slash := strings.LastIndexByte(repository, '/'); strings.Contains(repository[slash+1:], ":") {
		repository = repository[:strings.LastIndexByte(repository, ':')]
	}
	return repository + "@" + digest
}

// status of a runtime, by its newest version.
func (r *runtimeRecord) status(v *versionRecord) string {
	first := v.Number == 1
	switch {
	case r.Deleted != nil:
		return statusDeleting
	case v.Number < r.Latest && v.Failure == "":
		return statusReady
	case v.Failure != "" && first:
		return statusCreateFailed
	case v.Failure != "":
		return statusUpdateFailed
	case r.Settled:
		return statusReady
	case v.state != "":
		return v.state
	case first:
		return statusCreating
	}
	return statusUpdating
}

// busy refuses a change while another is under way.
func (r *runtimeRecord) busy() error {
	var status string
	switch {
	case r.Deleted != nil:
		status = statusDeleting
	case !r.Settled && r.Latest == 1:
		status = statusCreating
	case !r.Settled:
		status = statusUpdating
	default:
		return nil
	}
	return conflict("Agent '%s' is in %s status and can't be changed now", r.ID, status)
}

func conflict(format string, args ...any) *fault {
	return faultf(http.StatusConflict, "ConflictException", format, args...)
}

// imageURI is a version's containerUri.
func imageURI(d document) string {
	var artifact struct {
		ContainerConfiguration struct {
			ContainerURI string `json:"containerUri"`
		} `json:"containerConfiguration"`
	}
	_ = exact(d["agentRuntimeArtifact"], &artifact) // checked on its way in
	return artifact.ContainerConfiguration.ContainerURI
}

// arches that a version may run on: a microVM is arm64; a capacity provider's
// instances are either.
func arches(d document) []string {
	if _, ok := d["capacityProviderConfiguration"]; ok {
		return []string{"arm64", "amd64"}
	}
	return []string{"arm64"}
}
