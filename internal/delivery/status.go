package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Status is what an environment serves, and where that differs from what its
// record says.
type Status struct {
	Target  Target
	Release *Release // nil where nothing was ever recorded
	Runtime RuntimeState
	Image   string   // the image URI that runs
	Drift   []string // a sentence each
	Lock    *Lock    // a delivery under way
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
	s.Drift = d.drift(s.Release, live, endpoint, missing)
	if l, err := d.readLock(ctx); err == nil {
		s.Lock = l
	}
	return s, nil
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
	if e.LiveVersion != release.Version {
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
