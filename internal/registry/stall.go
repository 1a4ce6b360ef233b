package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// stallLimit is how long a connection may stand still: no byte taken of what
// is sent, no answer, no byte of what is read. Completing a large layer keeps
// a registry busy for a while before it answers.
const stallLimit = 2 * time.Minute

var errStalled = errors.New("the connection stood still")

// patient ends a request on which nothing moves, however long a request that
// moves may take. Time that its own side spends (reading the image, using what
// was read) does not count.
type patient struct {
	limit time.Duration
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *patient) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{ctx: ctx, cancel: cancel, limit: t.limit}
	w.timer = time.AfterFunc(t.limit, func() { cancel(errStalled) })
	out := req.Clone(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &watchedRequest{ReadCloser: req.Body, watch: w}
	}
	resp, err := t.next.RoundTrip(out)
	w.answer()
	if err != nil {
		err = w.blame(err)
		cancel(nil)
		return nil, err
	}
	resp.Body = &watchedResponse{ReadCloser: resp.Body, watch: w}
	return resp, nil
}

// watch runs while the other side has to act.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration

	mu       sync.Mutex
	answered bool
}

// answer ends the part of the request: its body, which may be read for a while
// yet, does not start the watch again.
func (w *watch) answer() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered = true
	w.timer.Stop()
}

// sent starts the watch after a part of the request's body.
func (w *watch) sent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.answered {
		w.timer.Reset(w.limit)
	}
}

// blame says that it was the watch which ended a request, where it was.
func (w *watch) blame(err error) error {
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(w.ctx), errStalled) {
		return &lineError{errStalled}
	}
	return err
}

type watchedRequest struct {
	io.ReadCloser
	watch *watch
}

func (b *watchedRequest) Read(p []byte) (int, error) {
	b.watch.timer.Stop()
	defer b.watch.sent()
	return b.ReadCloser.Read(p)
}

type watchedResponse struct {
	io.ReadCloser
	watch *watch
}

func (b *watchedResponse) Read(p []byte) (int, error) {
	b.watch.timer.Reset(b.watch.limit)
	defer b.watch.timer.Stop()
	n, err := b.ReadCloser.Read(p)
	return n, b.watch.blame(err)
}

// Close ends the request.
func (b *watchedResponse) Close() error {
	err := b.ReadCloser.Close()
	b.watch.timer.Stop()
	b.watch.cancel(nil)
	return err
}
