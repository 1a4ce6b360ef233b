package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// Waiting is done by polling: AgentCore has no waiters and its answers lag.
const (
	pollInterval  = time.Second // also the least pause before something is tried again
	firstPoll     = pollInterval / 4
	pollGrowth    = 1.5
	maxPoll       = 10 * time.Second
	heartbeatEach = 15 * time.Second
	// One look that hangs is not the end of the wait: it gets a quarter of the
	// time, within these.
	lookTimeout = 30 * time.Second
	lookAtLeast = 5 * time.Second
)

// deadlineError says what was waited for in vain. It is a state of the world,
// not a failure of a call: the caller decides what it means.
type deadlineError struct {
	what    string
	limit   time.Duration
	last    string
	trouble error // why the last look saw nothing, if it did not
}

func (e *deadlineError) Error() string {
	text := fmt.Sprintf("waited %s for %s; last seen: %s", e.limit.Round(100*time.Millisecond), e.what, e.last)
	if e.trouble != nil {
		text += fmt.Sprintf("; then no answer (%v)", e.trouble)
	}
	return text
}

func (e *deadlineError) Unwrap() error { return e.trouble }

// probe looks once. It says whether the wait is over and what it saw.
type probe func(ctx context.Context) (done bool, seen string, err error)

// wait probes until it is done, fails, or limit has passed. Answers that say
// nothing about the state (throttled, a 5xx, a lost connection) are looked
// past until the deadline.
func (d *Deliverer) wait(ctx context.Context, what string, limit time.Duration, look probe) error {
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start, beat := d.now(), d.now()
	last, interval := "nothing", firstPoll
	var trouble error
	for {
		done, seen, err := lookOnce(timed, limit, look)
		if trouble = err; err == nil {
			last = seen
		}
		if done || (err != nil && timed.Err() == nil && !transient(err)) {
			return err
		}
		if now := d.now(); now.Sub(beat) >= heartbeatEach {
			beat = now
			d.observe(Event{Kind: Waiting, Text: fmt.Sprintf("%s: %s (%s of %s)", what, last, now.Sub(start).Round(time.Second), limit)})
		}
		if err := pause(timed, interval); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &deadlineError{what: what, limit: limit, last: last, trouble: trouble}
		}
		interval = min(time.Duration(float64(interval)*pollGrowth), maxPoll)
	}
}

func lookOnce(ctx context.Context, limit time.Duration, look probe) (bool, string, error) {
	ctx, cancel := context.WithTimeout(ctx, min(max(limit/4, lookAtLeast), lookTimeout))
	defer cancel()
	return look(ctx)
}

// pause sleeps about d (half of it is jitter), or until the context ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// transient says whether an error tells nothing about the state asked for:
// throttled, a 5xx without a kind, or no answer at all.
func transient(err error) bool {
	var remote *RemoteError
	if errors.As(err, &remote) {
		return errors.Is(err, ErrThrottled) || remote.Kind == nil && (remote.Status >= 500 || remote.Status == 0)
	}
	var line interface{ Timeout() bool } // what net, net/url and contexts return
	return errors.As(err, &line) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// ready waits until the runtime is READY at version and DEFAULT serves it.
func (d *Deliverer) ready(ctx context.Context, id, version string) error {
	limit, start := d.Target.readyLimit(), d.now()
	if err := d.runtimeReady(ctx, id, version, limit); err != nil {
		return err
	}
	rest := max(limit-d.now().Sub(start), pollInterval)
	return d.endpointAt(ctx, id, DefaultEndpoint, version, rest)
}

// Default deadlines (facts: V1 updates take seconds to a minute; the READY
// budget used in practice is 900 s).
const (
	DefaultReadyTimeout  = 15 * time.Minute
	DefaultVerifyTimeout = 2 * time.Minute
)

// errUpdateFailed is AgentCore's own verdict on a version.
var errUpdateFailed = errors.New("AgentCore could not make the version ready")

// errDeleting says that somebody is deleting the runtime.
var errDeleting = errors.New("the runtime is being deleted")

// errForeignVersion says that somebody else's version came in between.
var errForeignVersion = errors.New("another deployment has updated the runtime")

// runtimeReady waits until the runtime is READY. version "" takes any.
func (d *Deliverer) runtimeReady(ctx context.Context, id, version string, limit time.Duration) error {
	return d.wait(ctx, "runtime "+id+" to be READY", limit, func(ctx context.Context) (bool, string, error) {
		doc, err := d.Runtimes.Get(ctx, id, "")
		if err != nil {
			return false, "", err
		}
		f, err := readFacts(doc)
		if err != nil {
			return true, "", err
		}
		if version != "" && f.Version != version {
			return true, f.Status, fmt.Errorf("%w: it is at version %s, expected %s", errForeignVersion, f.Version, version)
		}
		switch f.Status {
		case "READY":
			return true, f.Status, nil
		case "DELETING", "DELETE_FAILED":
			return true, f.Status, fmt.Errorf("%w: %s: %s", errDeleting, f.Status, orUnknown(f.Failure))
		case "UPDATE_FAILED", "CREATE_FAILED":
			return true, f.Status, fmt.Errorf("%w: %s: %s", errUpdateFailed, f.Status, orUnknown(f.Failure))
		}
		return false, f.Status, nil // CREATING, UPDATING, or a status of tomorrow: not ready
	})
}

func orUnknown(reason string) string {
	if reason == "" {
		return "no reason given"
	}
	return reason
}

// endpointAt waits until an endpoint is READY and serves version: a status
// alone is not enough, liveVersion lags behind targetVersion.
func (d *Deliverer) endpointAt(ctx context.Context, id, name, version string, limit time.Duration) error {
	what := fmt.Sprintf("endpoint %s to serve version %s", name, version)
	return d.wait(ctx, what, limit, func(ctx context.Context) (bool, string, error) {
		e, err := d.Runtimes.Endpoint(ctx, id, name)
		if err != nil {
			return false, "", err
		}
		seen := fmt.Sprintf("%s, live %s, target %s", e.Status, e.LiveVersion, e.TargetVersion)
		switch {
		case e.Status == "READY" && e.LiveVersion == version:
			return true, seen, nil
		case e.Status == "UPDATE_FAILED" || e.Status == "CREATE_FAILED":
			return true, seen, fmt.Errorf("%w: endpoint %s: %s: %s", errUpdateFailed, name, e.Status, orUnknown(e.FailureReason))
		case e.Status == "READY" && e.TargetVersion != "" && e.TargetVersion != version && name == DefaultEndpoint:
			return true, seen, fmt.Errorf("%w: %s targets version %s, expected %s", errForeignVersion, name, e.TargetVersion, version)
		}
		return false, seen, nil
	})
}
