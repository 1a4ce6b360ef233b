package delivery

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	// followInterval is between two looks at a log that is followed. It stays
	// far below what CloudWatch Logs allows: 5 FilterLogEvents a second.
	followInterval = 2 * time.Second
	// followOverlap is how far back each look goes: CloudWatch Logs takes lines
	// in late, and out of their order.
	followOverlap = time.Minute
	// followBackoff bounds the pause after looks that fail.
	followBackoff = time.Minute
	// followLimit is how many lines one look takes in.
	followLimit = 100_000
)

// FollowLog shows what the agent has printed, the newest q.Limit lines of it,
// and then what it prints, in order and each line once, until ctx ends. That is
// its end, and no error. q.Version has no meaning here.
//
// A log group that is not there yet is waited for, and so is a service that
// gives no answer. A line that comes late is shown when it comes.
func (d *Deliverer) FollowLog(ctx context.Context, q LogQuery, show func([]LogLine)) error {
	err := d.followLog(ctx, q, show)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return err
}

func (d *Deliverer) followLog(ctx context.Context, q LogQuery, show func([]LogLine)) error {
	if err := d.login(ctx); err != nil {
		return err
	}
	id, err := d.runtimeID(ctx)
	if err != nil {
		return err
	}
	if q.Endpoint == "" {
		q.Endpoint = d.Target.Serving()
	}
	f := follower{Deliverer: d, seen: map[string]time.Time{},
		window: LogWindow{RuntimeID: id, Endpoint: q.Endpoint, Since: q.Since, Limit: followLimit}}
	lines, err := f.look(ctx)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		d.note("nothing yet: waiting for what the agent prints")
	}
	if q.Limit > 0 && len(lines) > q.Limit {
		lines = lines[len(lines)-q.Limit:]
	}
	for {
		if len(lines) > 0 {
			show(lines)
		}
		if err := pause(ctx, followInterval); err != nil {
			return err
		}
		if lines, err = f.look(ctx); err != nil {
			return err
		}
	}
}

// follower is a log that is being followed.
type follower struct {
	*Deliverer
	window LogWindow
	seen   map[string]time.Time // ids of lines in the window
}

// look returns the lines that are new, after as many tries as it takes.
func (f *follower) look(ctx context.Context) ([]LogLine, error) {
	for failures := 0; ; failures++ {
		lines, err := f.Logs.Lines(ctx, f.window)
		switch {
		case err == nil:
			return f.fresh(lines), nil
		case errors.Is(err, ErrExpired):
			if err := f.login(ctx); err != nil && !transient(err) {
				return nil, err
			}
		case !transient(err):
			return nil, err
		}
		if failures == 1 { // once may be chance
			f.note("the log can't be read (%v): trying again", err)
		}
		if err := pause(ctx, min(followInterval<<min(failures, 10), followBackoff)); err != nil {
			return nil, err
		}
	}
}

// fresh drops the lines that were seen before, and moves the window on to
// what may still come.
func (f *follower) fresh(lines []LogLine) []LogLine {
	var fresh []LogLine
	since := f.window.Since
	for _, l := range lines {
		if _, old := f.seen[l.ID]; !old {
			fresh = append(fresh, l)
			f.seen[l.ID] = l.At
		}
		if at := l.At.Add(-followOverlap); at.After(since) {
			since = at
		}
	}
	f.window.Since = since
	for id, at := range f.seen {
		if at.Before(since) {
			delete(f.seen, id)
		}
	}
	slices.SortStableFunc(fresh, func(a, b LogLine) int { return a.At.Compare(b.At) })
	return fresh
}
