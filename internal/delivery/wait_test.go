package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

func TestWait(t *testing.T) {
	fatal := remote(ErrDenied, 403, "AccessDeniedException")
	for name, tt := range map[string]struct {
		look func(n int) (bool, string, error)
		want error
		took time.Duration // at most
	}{
		"at once":                    {func(int) (bool, string, error) { return true, "READY", nil }, nil, 0},
		"throttled for a while":      {func(n int) (bool, string, error) { return n > 9, "", orNil(n <= 9, throttled()) }, nil, 2 * time.Minute},
		"500 for a while":            {func(n int) (bool, string, error) { return n > 3, "", orNil(n <= 3, remote(nil, 500, "Internal")) }, nil, time.Minute},
		"no connection for a while":  {func(n int) (bool, string, error) { return n > 3, "", orNil(n <= 3, &url.Error{Err: io.EOF}) }, nil, time.Minute},
		"denied":                     {func(int) (bool, string, error) { return false, "", fatal }, fatal, 0},
		"not found without a status": {func(int) (bool, string, error) { return false, "", remote(ErrNotFound, 0, "") }, ErrNotFound, 0},
		"a verdict":                  {func(n int) (bool, string, error) { return n == 2, "", orNil(n == 2, errUpdateFailed) }, errUpdateFailed, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				d, _ := w.deliverer("me")
				start, n := time.Now(), 0
				err := d.wait(t.Context(), "it", 10*time.Minute, func(context.Context) (bool, string, error) { n++; return tt.look(n) })
				if !errors.Is(err, tt.want) || time.Since(start) > tt.took {
					t.Errorf("%v after %s", err, time.Since(start))
				}
			})
		})
	}
}

func orNil(is bool, err error) error {
	if is {
		return err
	}
	return nil
}

func TestWaitEnds(t *testing.T) {
	for name, look := range map[string]probe{
		"never done": func(context.Context) (bool, string, error) { return false, "UPDATING", nil },
		"throttled":  func(context.Context) (bool, string, error) { return false, "", throttled() },
		"hangs":      func(ctx context.Context) (bool, string, error) { <-ctx.Done(); return false, "", ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				d, watch := w.deliverer("me")
				start := time.Now()
				err := d.wait(t.Context(), "it", 5*time.Minute, look)
				var late *deadlineError
				if !errors.As(err, &late) || time.Since(start) != 5*time.Minute || errors.Is(err, ErrThrottled) != (name == "throttled") {
					t.Errorf("%v after %s", err, time.Since(start))
				}
				last := start
				for i, e := range watch.events {
					if gap := watch.times[i].Sub(last); e.Kind != Waiting || gap < heartbeatEach || gap > heartbeatEach+maxPoll+lookTimeout {
						t.Errorf("%s after %s", e.Text, gap)
					}
					last = watch.times[i]
				}
				if least := map[bool]int{true: 6, false: 11}[name == "hangs"]; len(watch.events) < least {
					t.Errorf("%d heartbeats in 5 minutes", len(watch.events))
				}
			})
		})
	}
}

// TestWaitHeedsItsContext: an interrupt and a time limit are told apart, and
// neither is a deadline of the wait's own.
func TestWaitHeedsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d, _ := w.deliverer("me")
		never := func(context.Context) (bool, string, error) { return false, "UPDATING", nil }
		if err := d.wait(w.within(time.Minute), "it", time.Hour, never); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		if err := d.wait(ctx, "it", time.Hour, never); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestReadyBudget: the runtime's wait and DEFAULT's share one limit.
func TestReadyBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d, _ := w.deliverer("me")
		d.Target.ReadyTimeout = 5 * time.Minute
		w.endpoints[DefaultEndpoint].LiveVersion, w.endpoints[DefaultEndpoint].TargetVersion = "0", "1"
		w.lagging[DefaultEndpoint] = 1 << 30
		start := time.Now()
		w.status, w.busy = "UPDATING", 1<<30
		time.AfterFunc(3*time.Minute, func() { w.mu.Lock(); w.status, w.busy = "READY", 0; w.mu.Unlock() })
		err := d.ready(t.Context(), testID, "1")
		var late *deadlineError
		if took := time.Since(start); !errors.As(err, &late) || took > 5*time.Minute+pollInterval {
			t.Errorf("%v after %s", err, took)
		}
	})
}

func TestMeasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d, _ := w.deliverer("me")
		live, _ := readFacts(w.versions[0])
		for status, conclusive := range map[int]bool{200: true, 424: true, 400: true, 403: true, 429: false, 409: false, 500: false, 503: false} {
			w.counts["Invoke"] = 0
			w.verdicts[w.tags["latest"]] = Answer{Status: status}
			_, err := d.measure(t.Context(), live, DefaultEndpoint)
			if want := map[bool]int{true: 1, false: measureTries}[conclusive]; (err == nil) != conclusive || w.counts["Invoke"] != want {
				t.Errorf("%d: %v after %d tries", status, err, w.counts["Invoke"])
			}
		}
	})
}

// TestBearer: a token goes to runtimes with an authorizer alone.
func TestBearer(t *testing.T) {
	d := &Deliverer{Target: Target{BearerToken: "jwt"}}
	with, _ := readFacts(Document(`{"authorizerConfiguration":{"customJWTAuthorizer":{}}}`))
	if d.bearer(with) != "jwt" || d.bearer(runtimeFacts{}) != "" {
		t.Error("the token goes to the wrong runtimes")
	}
}

// TestExplainWaitsForLines: lines arrive late, or never.
func TestExplainWaitsForLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d, watch := w.deliverer("me")
		start := time.Now()
		window := LogWindow{RuntimeID: testID, Endpoint: DefaultEndpoint, Since: start}
		d.explain(t.Context(), window, logPatience)
		if took := time.Since(start); !watch.told(Note, "no log lines") || took < logPatience || took > logPatience+pollInterval {
			t.Errorf("after %s: %v", took, watch.events)
		}
		w.after["Lines"] = func(context.Context, int) error { w.lines = []LogLine{{Text: "late"}}; return nil }
		d.explain(t.Context(), window, logPatience)
		if !watch.told(AgentOutput, "late") {
			t.Error("late lines were not shown")
		}
	})
}

func TestExitCodes(t *testing.T) {
	want := map[Kind]int{KindUsage: 2, KindConfig: 2, KindSource: 2, KindCredentials: 2, KindDenied: 2, KindAccount: 2, KindImage: 2,
		KindRuntime: 2, KindRefused: 2, KindUnavailable: 2, KindFailed: 1, KindFindings: 3, KindRolledBack: 4, KindLocked: 5,
		KindSuperseded: 5, KindPerson: 6, KindInterrupted: 130}
	if len(Kinds()) != len(want) {
		t.Errorf("%d kinds, want %d", len(Kinds()), len(want))
	}
	for _, k := range Kinds() {
		wrapped := fmt.Errorf("outer: %w", &Error{Kind: k.Kind, Op: "op", Err: io.EOF})
		if got := ExitCode(wrapped); got != want[k.Kind] || got != k.Exit || k.Meaning == "" {
			t.Errorf("%s: exit %d, want %d", k.Kind, got, want[k.Kind])
		}
	}
	if ExitCode(nil) != 0 || ExitCode(io.EOF) != 1 {
		t.Error("nil is 0, what carries no kind is 1")
	}
	// What failed outside decides, not what it wraps.
	if err := (&Error{Kind: KindPerson, Err: &Error{Kind: KindDenied, Err: io.EOF}}); ExitCode(err) != 6 || !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

func TestExcerpt(t *testing.T) {
	for in, want := range map[string]string{"": "(it is empty)", "a\n": "a", "a\xff": "a?"} {
		if got := excerpt([]byte(in)); got != want {
			t.Errorf("excerpt(%q) = %q", in, got)
		}
	}
	if got := excerpt(bytes.Repeat([]byte("é"), 500)); len(got) > 310 {
		t.Errorf("%d bytes", len(got))
	}
}
