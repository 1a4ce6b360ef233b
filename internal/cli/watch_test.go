package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// quiet is an account with nothing in it, that can be made to refuse.
type quiet struct {
	delivery.Parameters
	logins, reads int
	lasts         time.Duration // how long a session does, 0 for ever
	refuse        func(read int) error
}

func (q *quiet) Login(context.Context) (delivery.Caller, error) {
	q.logins++
	caller := delivery.Caller{Account: demoAccount}
	if q.lasts > 0 {
		caller.Expires = time.Now().Add(q.lasts)
	}
	return caller, nil
}

func (q *quiet) Parameter(context.Context, string) (string, error) {
	q.reads++
	if q.refuse != nil {
		if err := q.refuse(q.reads); err != nil {
			return "", err
		}
	}
	return "", &delivery.RemoteError{Service: "SSM", Code: "ParameterNotFound", Kind: delivery.ErrNotFound}
}

// watchFor watches a quiet account for a time and returns what was printed.
func watchFor(t *testing.T, q *quiet, limit, interval time.Duration, view func(*app) view) string {
	t.Helper()
	file, err := config.Parse("slipway.yaml", []byte("version: 1\nregion: us-east-1\nagents: {a: {repository: aa}}\nenvironments: {dev: {account: \""+demoAccount+"\"}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := &app{System: System{Out: &out, Err: &out}}
	a.ui = newUI(a)
	w := &watcher{app: a, logins: map[selection]*keptLogin{}, deliverers: map[selection]*delivery.Deliverer{}, now: time.Now}
	open := func(ctx context.Context, p *project) (*delivery.Deliverer, error) {
		key := selection{agent: p.target.Agent, environment: p.target.Environment}
		if w.deliverers[key] == nil {
			w.keep(key, &delivery.Deliverer{Target: p.target, Login: q, Parameters: q})
		}
		return w.open(ctx, p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(limit, cancel)
	v := view(a)
	if err := w.run(ctx, file, selection{}, interval, open, v); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	v.end()
	return out.String()
}

func TestWatch(t *testing.T) {
	throttled := func(reads int) error {
		if reads%2 == 0 {
			return &delivery.RemoteError{Service: "SSM", Code: "ThrottlingException", Kind: delivery.ErrThrottled, RequestID: time.Now().String()}
		}
		return nil
	}
	inBlocks := func(a *app) view { return &blocks{app: a} }
	inJSON := func(a *app) view { return &jsonLines{app: a} }
	tests := []struct {
		name          string
		account       quiet
		view          func(*app) view
		said          string // counted
		times         int
		reads, logins int
	}{
		{"what stays the same is printed once", quiet{}, inBlocks, "no runtime yet", 1, 12, 1},
		{"as JSON too", quiet{}, inJSON, `{"schema":"slipway.status/v1"`, 1, 12, 1},
		{"a session that ends is replaced before it does", quiet{lasts: beforeExpiry + 30*time.Second}, inBlocks, "dev", 1, 12, 2},
		{"a refusal is shown, and what comes after it", quiet{refuse: throttled}, inBlocks, "ThrottlingException", 4, 8, 4},
		{"what is refused for good is shown once, and asked for ever more seldom", quiet{refuse: func(int) error { return throttled(0) }}, inJSON, "ThrottlingException", 1, 3, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				said := watchFor(t, &test.account, 59*time.Second, 5*time.Second, test.view)
				if strings.Count(strings.ToLower(said), strings.ToLower(test.said)) != test.times {
					t.Errorf("it said\n%s", said)
				}
				if test.account.reads != test.reads || test.account.logins != test.logins {
					t.Errorf("%d reads, %d logins, want %d, %d", test.account.reads, test.account.logins, test.reads, test.logins)
				}
				if strings.Contains(said, "\x1b") {
					t.Errorf("control characters: %q", said)
				}
			})
		})
	}
}

// TestFrames: a terminal is drawn over in place, and given back.
func TestFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quiet{refuse: func(read int) error {
			if read == 2 {
				return errors.New(hostile)
			}
			return nil
		}}
		var s *screen
		said := watchFor(t, q, 12*time.Second, 5*time.Second, func(a *app) view {
			s = newScreen(a.ui, nil)
			s.size = func() (int, int) { return 40, 6 }
			return &frames{app: a, screen: s, interval: 5 * time.Second}
		})
		if strings.Count(said, enterScreen) != 1 || strings.Count(said, leaveScreen) != 1 || strings.Count(said, beginFrame) != 2 {
			t.Errorf("it said %q", said)
		}
		_, after, _ := strings.Cut(said, leaveScreen)
		if !strings.HasPrefix(after, "AGENT") || strings.Contains(after, "\x1b") {
			t.Errorf("it leaves %q", after)
		}
		for _, frame := range strings.Split(said, beginFrame)[1:] {
			frame, _, _ = strings.Cut(frame, endFrame)
			lines := strings.Split(frame, endLine)
			if len(lines) > 7 || strings.Contains(frame, "\x1b[2J") {
				t.Errorf("a frame of %q", lines)
			}
			for _, line := range lines {
				if n := len([]rune(strings.TrimPrefix(line, "\r\n"))); n > 40 {
					t.Errorf("a line of %d: %q", n, line)
				}
			}
		}
		if !strings.Contains(said, "more lines") {
			t.Errorf("what did not fit is not told: %q", said)
		}
	})
}
