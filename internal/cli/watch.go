package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	// leastInterval keeps a watch of many environments within AWS's quotas:
	// one look makes about seven calls for each.
	leastInterval   = 2 * time.Second
	defaultInterval = 5 * time.Second
	// mostInterval bounds the pause after looks that found nothing at all.
	mostInterval = time.Minute
)

// watch looks at the environments until it is interrupted, which is its end
// and no failure. It shows what a remote refuses, and asks again.
func (a *app) watch(ctx context.Context, s selection, interval time.Duration) error {
	file, err := a.load()
	if err != nil {
		return err
	}
	w := &watcher{app: a, logins: map[selection]*keptLogin{}, deliverers: map[selection]*delivery.Deliverer{}, now: time.Now}
	var view view = &blocks{app: a}
	switch {
	case a.json():
		view = &jsonLines{app: a}
	case isTerminal(a.Out) && a.Getenv("TERM") != "dumb" && !a.ci():
		view = &frames{app: a, screen: newScreen(a.ui, a.Out), interval: interval}
	}
	err = w.run(ctx, file, s, interval, w.open, view)
	view.end()
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil
	}
	return err
}

// look is what one look at the environments found.
type look struct {
	at       time.Time
	rows     []environmentStatus
	failures []error
}

// view shows looks.
type view interface {
	show(look)
	end()
}

// watcher looks again and again, with the sessions that it has.
type watcher struct {
	*app
	logins     map[selection]*keptLogin
	deliverers map[selection]*delivery.Deliverer
	now        func() time.Time
}

func (w *watcher) run(ctx context.Context, file *config.File, s selection, interval time.Duration, open opener, v view) error {
	for failed := 0; ; {
		rows, failures, err := w.statuses(ctx, file, s, open)
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		w.forget(rows)
		v.show(look{w.now(), rows, failures})
		failed++
		if len(failures) < len(rows) {
			failed = 0
		}
		pause := time.NewTimer(min(interval<<min(failed, 6), max(interval, mostInterval)))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// open is app.deliverer, once for each environment.
func (w *watcher) open(ctx context.Context, p *project) (*delivery.Deliverer, error) {
	key := selection{agent: p.target.Agent, environment: p.target.Environment}
	if d := w.deliverers[key]; d != nil {
		return d, nil
	}
	d, err := w.deliverer(ctx, p)
	if err != nil {
		return nil, err
	}
	w.keep(key, d)
	return d, nil
}

func (w *watcher) keep(key selection, d *delivery.Deliverer) {
	w.logins[key] = &keptLogin{login: d.Login, now: w.now}
	d.Login = w.logins[key]
	w.deliverers[key] = d
}

// forget has environments that could not be read log in again.
func (w *watcher) forget(rows []environmentStatus) {
	for _, r := range rows {
		if login := w.logins[selection{agent: r.Agent, environment: r.Environment}]; login != nil && r.Error != nil {
			login.caller = nil
		}
	}
}

// keptLogin logs in once, and again when the session is about to end: a watch
// is no reason to ask STS every few seconds.
type keptLogin struct {
	login  delivery.Login
	now    func() time.Time
	caller *delivery.Caller
}

// beforeExpiry is how long before its end a session is replaced.
const beforeExpiry = 5 * time.Minute

// Login returns who we are, by the session that there is while it lasts.
func (k *keptLogin) Login(ctx context.Context) (delivery.Caller, error) {
	if c := k.caller; c != nil && (c.Expires.IsZero() || k.now().Before(c.Expires.Add(-beforeExpiry))) {
		return *c, nil
	}
	k.caller = nil
	caller, err := k.login.Login(ctx)
	if err == nil {
		k.caller = &caller
	}
	return caller, err
}

// frames shows looks on a terminal, each in the place of the one before it.
type frames struct {
	*app
	screen   *screen
	interval time.Duration
	last     []string
}

func (f *frames) show(l look) {
	f.last = f.statusLines(l.rows)
	lines := append([]string{fmt.Sprintf("slipway status, every %s, read at %s; Ctrl-C ends", f.interval, l.at.Format(time.TimeOnly)), ""}, f.last...)
	if len(l.failures) > 0 {
		lines = append(lines, "")
	}
	width, _ := f.screen.size()
	for _, err := range l.failures {
		lines = append(lines, wrapped(f.ui.tame("error: "+err.Error()), width)...)
	}
	f.screen.draw(lines)
}

// end leaves the last look where the command was typed.
func (f *frames) end() {
	f.screen.close()
	for _, line := range f.last {
		f.ui.result("%s", line)
	}
}

// blocks prints a look where it differs from the one before it.
type blocks struct {
	*app
	last string
}

func (b *blocks) show(l look) {
	text := strings.Join(b.statusLines(l.rows), "\n")
	all := text + fmt.Sprint(l.failures)
	if all == b.last {
		return
	}
	for _, err := range l.failures {
		b.ui.line("error: %s", b.ui.tame(err.Error()))
	}
	space := "\n"
	if b.last == "" {
		space = ""
	}
	b.ui.result("%s%s\n%s", space, l.at.UTC().Format(time.RFC3339), text)
	b.last = all
}

func (b *blocks) end() {}

// jsonLines prints a document a line, where it differs from the one before.
type jsonLines struct {
	*app
	last string
}

func (j *jsonLines) show(l look) {
	same, _ := json.Marshal(withoutRequests(l.rows)) // as it is printed below
	if string(same) == j.last {
		return
	}
	j.last = string(same)
	at := l.at.UTC()
	j.ui.jsonLine(statusDocument{Schema: "slipway.status/v1", At: &at, Environments: l.rows})
}

func (j *jsonLines) end() {}

// withoutRequests drops what differs each time that the same is refused.
func withoutRequests(rows []environmentStatus) []environmentStatus {
	same := append([]environmentStatus{}, rows...)
	for i, r := range same {
		if r.Error != nil {
			e := *r.Error
			e.RequestID = ""
			same[i].Error = &e
		}
	}
	return same
}
