package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Status is what an environment serves, and where that differs from what its
// record says.
type Status struct {
	Target  Target
	Release *Release // nil where nothing was ever recorded
	Runtime RuntimeState
	Image   string // the image URI that runs
	// Endpoints are DEFAULT and the named endpoint, where there is one, as far
	// as they are there.
	Endpoints []Served
	Drift     []string // a sentence each
	Notes     []string // what is worth knowing and no drift, a sentence each
	Lock      *Lock    // of a delivery under way, or left by one that ended before its time
}

// Served is an endpoint and what it serves.
type Served struct {
	Endpoint
	Image string // the URI; "" where it serves nothing, or a version that is gone
}

// Digest is that of the image that runs, "" where its configuration names it
// by a tag alone.
func (s Status) Digest() string { return parseImage(s.Image).digest }

// Status reads what the environment serves. An environment without a runtime
// is no error: its Runtime.ID is empty.
func (d *Deliverer) Status(ctx context.Context) (Status, error) {
	s := Status{Target: d.Target}
	if err := d.login(ctx); err != nil {
		return s, err
	}
	id, err := d.runtimeID(ctx)
	if errors.Is(err, ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if s.Release, err = d.recorded(ctx); err != nil {
		return s, err
	}
	doc, err := d.Runtimes.Get(ctx, id, "")
	if err != nil {
		return s, d.gone(id, err)
	}
	live, err := readFacts(doc)
	if err != nil {
		return s, err
	}
	endpoint, missing := d.Runtimes.Endpoint(ctx, id, d.Target.Serving())
	if missing != nil && !errors.Is(missing, ErrNotFound) {
		return s, missing
	}
	s.Runtime = RuntimeState{ID: id, Version: endpoint.LiveVersion, Endpoint: d.Target.Serving(), Status: live.Status}
	s.Image = live.Artifact.Container.URI
	if endpoint.LiveVersion != "" && endpoint.LiveVersion != live.Version {
		if s.Image, err = d.imageOf(ctx, id, endpoint.LiveVersion); err != nil {
			return s, err
		}
	}
	if missing == nil {
		s.Endpoints = []Served{{Endpoint: endpoint, Image: s.Image}}
	}
	s.Drift = d.drift(s.Release, live, endpoint, missing)
	s.tagged()
	if err := d.readDefault(ctx, &s, live); err != nil {
		return s, err
	}
	if l, err := d.readLock(ctx); err == nil {
		s.Lock = l
		s.noteLock(d.now())
	}
	return s, nil
}

// noteLock notes a lock that no delivery holds, unless one has left its last
// word in it.
func (s *Status) noteLock(now time.Time) {
	switch {
	case s.Lock.Foreign():
		s.Notes = append(s.Notes, "the parameter "+s.Target.Parameter("lock")+" is no lock of slipway's, and keeps deliveries out")
	case s.Lock.Left == "" && !s.Lock.UnderWay(now):
		s.Notes = append(s.Notes, "an interrupted delivery left its lock: slipway history --env "+s.Target.Environment+" --agent "+s.Target.Agent)
	}
}

// readDefault adds what DEFAULT serves where users of the agent call another
// endpoint: a version that failed its verify stays there, and so does the one
// that was gone back from.
func (d *Deliverer) readDefault(ctx context.Context, s *Status, live runtimeFacts) error {
	if d.Target.Serving() == DefaultEndpoint {
		return nil
	}
	e, err := d.Runtimes.Endpoint(ctx, s.Runtime.ID, DefaultEndpoint)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	served := Served{Endpoint: e}
	switch e.LiveVersion {
	case "":
	case live.Version:
		served.Image = live.Artifact.Container.URI
	case s.Runtime.Version:
		served.Image = s.Image
	default:
		if served.Image, err = d.imageOf(ctx, s.Runtime.ID, e.LiveVersion); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	s.Endpoints = append([]Served{served}, s.Endpoints...)
	if e.LiveVersion != "" && e.LiveVersion != s.Runtime.Version {
		s.Notes = append(s.Notes, DefaultEndpoint+" is at version "+e.LiveVersion)
	}
	return nil
}

// tagged says that a tag alone names the image that runs: it is drift, unless
// slipway.yaml asks for it.
func (s *Status) tagged() {
	name := parseImage(s.Image)
	if s.Image == "" || name.digest != "" || name.repository == "" ||
		slices.ContainsFunc(s.Drift, func(d string) bool { return strings.Contains(d, s.Image) }) {
		return // or it was told already
	}
	text := "its image is named by the tag " + name.tag + " alone, which may move"
	if s.Target.Reference == ByTag || s.Target.Reference == ByLatest {
		s.Notes = append(s.Notes, text)
		return
	}
	s.Drift = append(s.Drift, text)
}

// imageOf is the image URI of a version.
func (d *Deliverer) imageOf(ctx context.Context, id, version string) (string, error) {
	doc, err := d.Runtimes.Get(ctx, id, version)
	if err != nil {
		return "", err
	}
	f, err := readFacts(doc)
	return f.Artifact.Container.URI, err
}

// login opens a session and checks that it is the target's account.
func (d *Deliverer) login(ctx context.Context) error {
	r := &run{Deliverer: d}
	if _, err := r.credentials(ctx); err != nil {
		return r.refused(err)
	}
	return nil
}

// drift says in words where the runtime differs from its record.
func (d *Deliverer) drift(release *Release, live runtimeFacts, e Endpoint, missing error) []string {
	var drift []string
	say := func(format string, args ...any) { drift = append(drift, fmt.Sprintf(format, args...)) }
	if live.Status != "READY" {
		say("the runtime is %s%s", live.Status, reason(live.Failure))
	}
	if missing != nil {
		say("endpoint %s is not there", d.Target.Serving())
		return drift
	}
	if release == nil {
		say("no release is recorded: it was not delivered by slipway")
		return drift
	}
	switch {
	case e.LiveVersion == release.Version:
	case older(e.LiveVersion, release.Version):
		say("%s is behind: it serves version %s, the record says %s", d.Target.Serving(), e.LiveVersion, release.Version)
	default:
		say("%s serves version %s, the record says %s", d.Target.Serving(), e.LiveVersion, release.Version)
	}
	if e.LiveVersion != e.TargetVersion && e.TargetVersion != "" {
		say("%s is on its way to version %s", d.Target.Serving(), e.TargetVersion)
	}
	uri := live.Artifact.Container.URI
	if release.Adopted != "" {
		say("version %s was adopted, not delivered: it names its image %s", release.Version, release.Adopted)
	} else if recorded := release.imageURI(d.Target); live.Version == release.Version && !sameImage(uri, recorded) {
		if (d.Target.Reference == "" || d.Target.Reference == ByDigest) && uri != "" {
			say("version %s runs %s, the record says %s", live.Version, uri, recorded)
		}
	}
	return drift
}

// older says whether the first of two versions was made before the other.
func older(a, b string) bool {
	m, errA := strconv.Atoi(a)
	n, errB := strconv.Atoi(b)
	return errA == nil && errB == nil && m < n
}

func reason(failure string) string {
	if failure == "" {
		return ""
	}
	return ": " + failure
}

// LogQuery says which log lines are wanted.
type LogQuery struct {
	// Endpoint whose log group is read; "" for the one that serves.
	Endpoint string
	// Version, where not "", takes the time from the making of that version to
	// the making of the next one.
	Version string
	Since   time.Time
	Limit   int
}

// AgentLog returns what the agent printed, oldest first. AgentCore keeps one
// log group per endpoint, not per version: a version's lines are those of its
// time.
func (d *Deliverer) AgentLog(ctx context.Context, q LogQuery) ([]LogLine, error) {
	if err := d.login(ctx); err != nil {
		return nil, err
	}
	id, err := d.runtimeID(ctx)
	if err != nil {
		return nil, err
	}
	var until time.Time
	if q.Version != "" {
		if q.Since, until, err = d.versionTime(ctx, id, q.Version); err != nil {
			return nil, err
		}
	}
	if q.Endpoint == "" {
		q.Endpoint = d.Target.Serving()
	}
	return d.Logs.Lines(ctx, LogWindow{RuntimeID: id, Endpoint: q.Endpoint, Since: q.Since, Until: until, Limit: q.Limit})
}

// versionTime returns when a version was made and when the next one was; zero
// where there is no next one.
func (d *Deliverer) versionTime(ctx context.Context, id, version string) (since, until time.Time, err error) {
	if since, err = d.madeAt(ctx, id, version); err != nil {
		if errors.Is(err, ErrNotFound) {
			err = &Error{Kind: KindRuntime, Op: "finding version " + version, Err: err}
		}
		return since, until, err
	}
	until, err = d.madeAt(ctx, id, next(version))
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrInvalid) {
		return since, time.Time{}, nil
	}
	return since, until, err
}

func (d *Deliverer) madeAt(ctx context.Context, id, version string) (time.Time, error) {
	doc, err := d.Runtimes.Get(ctx, id, version)
	if err != nil {
		return time.Time{}, err
	}
	return madeTime(doc, version)
}

// madeTime reads when a version was made from its document.
func madeTime(doc Document, version string) (time.Time, error) {
	o, err := parseObject(doc)
	if err != nil {
		return time.Time{}, err
	}
	raw, _ := o.get("lastUpdatedAt")
	at, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(raw))
	if err != nil {
		return time.Time{}, fmt.Errorf("reading when version %s was made: %w", version, err)
	}
	return at, nil
}

// Call sends a payload to the agent as its users would, through the serving
// endpoint or the one named.
func (d *Deliverer) Call(ctx context.Context, call Invocation) (Answer, error) {
	if err := d.login(ctx); err != nil {
		return Answer{}, err
	}
	id, err := d.runtimeID(ctx)
	if err != nil {
		return Answer{}, err
	}
	doc, err := d.Runtimes.Get(ctx, id, "")
	if err != nil {
		return Answer{}, err
	}
	f, err := readFacts(doc)
	if err != nil {
		return Answer{}, err
	}
	if call.Endpoint == "" {
		call.Endpoint = d.Target.Serving()
	}
	if call.Session == "" {
		call.Session = "slipway-invoke-" + randomHex(16)
	}
	if len(call.Payload) == 0 {
		if call.Payload, err = f.payload(call.Text); err != nil {
			return Answer{}, err
		}
	}
	if present(f.Authorizer) {
		if err := d.checkToken("invoking the agent", f.Authorizer); err != nil {
			return Answer{}, err
		}
	}
	call.RuntimeARN, call.Bearer = f.ARN, d.bearer(f)
	return d.Invoker.Invoke(ctx, call)
}

// payload is a text as the agent takes it, or a ping.
func (f runtimeFacts) payload(text string) ([]byte, error) {
	if text == "" {
		return ping(f.protocol()), nil
	}
	payload, ok := say(f.protocol(), text)
	if !ok {
		return nil, &Error{Kind: KindUsage, Op: "invoking the agent", Err: errors.New("an MCP server takes JSON-RPC, no text"),
			Hints: []string{`such as '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'`}}
	}
	return payload, nil
}
