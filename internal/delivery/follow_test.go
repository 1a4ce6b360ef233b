package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// tape is a log whose lines come at their times, some of them late.
type tape struct {
	start   time.Time
	lines   []taped
	fails   func(look int) error
	looks   []time.Time
	windows []LogWindow
}

type taped struct {
	LogLine
	comes time.Duration // after start; it is dated At
}

func (l *tape) Lines(_ context.Context, window LogWindow) ([]LogLine, error) {
	l.looks, l.windows = append(l.looks, time.Now()), append(l.windows, window)
	if l.fails != nil {
		if err := l.fails(len(l.looks)); err != nil {
			return nil, err
		}
	}
	var lines []LogLine
	for _, line := range l.lines {
		if time.Since(l.start) >= line.comes && !line.At.Before(window.Since) {
			lines = append(lines, line.LogLine)
		}
	}
	slices.SortStableFunc(lines, func(a, b LogLine) int { return a.At.Compare(b.At) })
	return lines, nil
}

// add tapes a line dated at, that comes at another time.
func (l *tape) add(text string, at, comes time.Duration) {
	l.lines = append(l.lines, taped{LogLine{ID: fmt.Sprint(len(l.lines)), At: l.start.Add(at), Text: text}, comes})
}

func TestFollowLog(t *testing.T) {
	denied, expired := remote(ErrDenied, 403, "AccessDeniedException"), remote(ErrExpired, 400, "ExpiredTokenException")
	tests := []struct {
		name   string
		tape   func(l *tape)
		query  LogQuery
		want   string // lines in the order shown, | between looks
		err    error
		looks  func(n int) bool
		logins int
		note   string
	}{
		{name: "each line once, as it comes", tape: func(l *tape) {
			l.add("a", -time.Second, 0)
			l.add("b", 3*time.Second, 3*time.Second)
			l.add("c", 3*time.Second, 3*time.Second)
			l.add("d", 90*time.Second, 91*time.Second)
		}, want: "a|b c|d", logins: 1, looks: func(n int) bool { return n > 60 && n <= 130 }},
		{name: "late and out of order", tape: func(l *tape) {
			l.add("second", 10*time.Second, 10*time.Second)
			l.add("late", 5*time.Second, 40*time.Second)
			l.add("third", 38*time.Second, 38*time.Second)
			l.add("fourth", 39*time.Second, 50*time.Second)
			l.add("before fourth", 36*time.Second, 50*time.Second)
		}, want: "second|third|late|before fourth fourth", logins: 1},
		{name: "the newest of the past, and no older one later", query: LogQuery{Limit: 2}, tape: func(l *tape) {
			for i := range 5 {
				l.add(fmt.Sprint(i), time.Duration(i-10)*time.Second, 0)
			}
			l.add("new", 20*time.Second, 20*time.Second)
		}, want: "3 4|new", logins: 1},
		{name: "a log that is not there yet", tape: func(l *tape) { l.add("first", 30*time.Second, 31*time.Second) }, want: "first", logins: 1,
			note: "waiting for what the agent prints"},
		{name: "throttled", tape: func(l *tape) {
			l.add("a", 0, 0)
			l.fails = func(look int) error {
				if look > 1 && look < 6 {
					return throttled()
				}
				return nil
			}
			l.add("b", 2*time.Second, 2*time.Second)
		}, want: "a|b", logins: 1, note: "the log can't be read"},
		{name: "throttled for good asks ever more seldom", tape: func(l *tape) { l.fails = func(int) error { return throttled() } },
			logins: 1, looks: func(n int) bool { return n < 12 }},
		{name: "a session that ran out", tape: func(l *tape) {
			l.fails = func(look int) error {
				if look == 2 {
					return expired
				}
				return nil
			}
			l.add("a", 0, 0)
			l.add("b", 10*time.Second, 10*time.Second)
		}, want: "a|b", logins: 2},
		{name: "denied", tape: func(l *tape) { l.fails = func(int) error { return denied } }, err: ErrDenied, logins: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				d, o := w.deliverer("me")
				log := &tape{start: time.Now()}
				test.tape(log)
				d.Logs = log
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(2*time.Minute, cancel)
				var shown []string
				test.query.Since = log.start.Add(-time.Hour)
				err := d.FollowLog(ctx, test.query, func(lines []LogLine) {
					var texts []string
					for _, l := range lines {
						texts = append(texts, l.Text)
					}
					shown = append(shown, strings.Join(texts, " "))
				})
				if got := strings.Join(shown, "|"); got != test.want || !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
					t.Errorf("shown %q, %v, want %q, %v", got, err, test.want, test.err)
				}
				if w.logins != test.logins || test.looks != nil && !test.looks(len(log.looks)) || test.note != "" && !o.told(Note, test.note) {
					t.Errorf("%d logins, %d looks, events %+v", w.logins, len(log.looks), o.events)
				}
				if last := log.windows[len(log.windows)-1]; last.Endpoint != DefaultEndpoint || last.RuntimeID != testID {
					t.Errorf("looked at %+v", last)
				}
			})
		})
	}
}

// TestFollowLogForgets: what can't come again need not be remembered.
func TestFollowLogForgets(t *testing.T) {
	f := follower{seen: map[string]time.Time{}}
	start := time.Now()
	for i := range 1000 {
		f.fresh([]LogLine{{ID: fmt.Sprint(i), At: start.Add(time.Duration(i) * time.Second)}})
	}
	if n := len(f.seen); n > int(followOverlap/time.Second)+1 {
		t.Errorf("%d lines are remembered", n)
	}
}

// TestFollowLogWindow: a log that is followed for long is not read from its
// beginning each time.
func TestFollowLogWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d, _ := w.deliverer("me")
		d.Target.Endpoint = "live"
		log := &tape{start: time.Now()}
		for i := range 1000 {
			log.add("x", time.Duration(i)*time.Second, time.Duration(i)*time.Second)
		}
		d.Logs = log
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Minute, cancel)
		shown := 0
		if err := d.FollowLog(ctx, LogQuery{}, func(lines []LogLine) { shown += len(lines) }); err != nil || shown != 1000 {
			t.Errorf("%d lines shown, %v", shown, err)
		}
		last := log.windows[len(log.windows)-1]
		if want := log.start.Add(999*time.Second - followOverlap); !last.Since.Equal(want) || last.Endpoint != "live" {
			t.Errorf("the last window is %+v, want since %s", last, want)
		}
	})
}
