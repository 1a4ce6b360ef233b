package sim

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// hit is what befalls one call: nothing, where no fault was due.
type hit struct {
	delay time.Duration
	fault *setFault // nil: at most a delay
	marks []string  // for the journal
	held  func(*setFault)
	// silent says that the client gets no byte: the connection just ends.
	silent bool
	whole  *cutAnswer // the answer that is cut when it is whole
}

func (h *hit) is(effect string) bool { return h != nil && h.fault != nil && h.fault.Effect == effect }

// mark names the faults for the journal.
func (h *hit) mark() string { return strings.Join(h.marks, ", ") }

// begin lets happen what comes before a call is performed. A *fault that it
// returns takes the call's place.
func (h *hit) begin(ctx context.Context) error {
	if h.delay > 0 {
		timer := time.NewTimer(h.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done(): // the client has gone: nobody is kept waiting
		}
	}
	switch {
	case h.is(EffectError):
		return &fault{Code: h.fault.Code, Status: h.fault.Status, Message: h.fault.Message}
	case h.is(EffectDrop):
		return h.hangUp()
	case h.is(EffectHang):
		return h.hang(ctx)
	case h.is(EffectLost), h.is(EffectHold):
		h.silent = true
	}
	return nil
}

// hang holds a call until its client goes or the fault is cleared; then it is
// performed.
func (h *hit) hang(ctx context.Context) error {
	select {
	case <-h.fault.cleared:
		return nil
	case <-ctx.Done():
		return h.hangUp()
	}
}

// hangUp ends the call before it is performed.
func (h *hit) hangUp() error {
	h.silent = true
	return faultf(0, "ConnectionClosed", "a fault has closed the connection")
}

// end lets happen what comes after a call was performed and journaled. It does
// not return where the connection has to end: net/http knows this panic.
func (h *hit) end(ctx context.Context) {
	if h.is(EffectHold) {
		h.held(h.fault)
		select {
		case <-h.fault.cleared:
		case <-ctx.Done():
		}
	}
	if h.whole != nil {
		h.whole.sendHalf()
		h.silent = true
	}
	if h.silent {
		panic(http.ErrAbortHandler)
	}
}

// answer wraps the writer that the call is answered by.
func (h *hit) answer(w http.ResponseWriter) http.ResponseWriter {
	switch {
	case h.is(EffectTruncate):
		h.whole = &cutAnswer{ResponseWriter: w}
		return h.whole
	case h.is(EffectCorrupt):
		return &wrongAnswer{ResponseWriter: w}
	case h.is(EffectLost), h.is(EffectDrop), h.is(EffectHang), h.is(EffectHold):
		return &mutedAnswer{ResponseWriter: w, hit: h}
	}
	return w
}

// payload wraps the bytes that a client uploads.
func (h *hit) payload(body io.ReadCloser, size int64) io.ReadCloser {
	switch {
	case h.is(EffectTruncate):
		h.whole, h.silent = nil, true // what is cut is the upload, not its answer
		return &cutPayload{ReadCloser: body, left: max(size/2, 1)}
	case h.is(EffectCorrupt):
		return &wrongPayload{ReadCloser: body}
	}
	return body
}

// mutedAnswer says nothing where the connection is to end.
type mutedAnswer struct {
	http.ResponseWriter
	hit *hit
}

func (w *mutedAnswer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *mutedAnswer) WriteHeader(status int) {
	if !w.hit.silent {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *mutedAnswer) Write(b []byte) (int, error) {
	if w.hit.silent {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

func (w *mutedAnswer) FlushError() error {
	if w.hit.silent {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// cutAnswer keeps an answer until it is whole, then sends half of it under the
// length of the whole.
type cutAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *cutAnswer) Unwrap() http.ResponseWriter         { return w.ResponseWriter }
func (w *cutAnswer) Write(b []byte) (int, error)         { return w.body.Write(b) }
func (w *cutAnswer) ReadFrom(r io.Reader) (int64, error) { return w.body.ReadFrom(r) }
func (w *cutAnswer) FlushError() error                   { return nil }

func (w *cutAnswer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *cutAnswer) sendHalf() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.Header().Get("Content-Length") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(w.body.Len()))
	}
	w.ResponseWriter.WriteHeader(w.status)
	_, _ = w.ResponseWriter.Write(w.body.Bytes()[:w.body.Len()/2]) // the client has gone: nothing to tell it
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// wrongAnswer changes the first byte of an answer's body.
type wrongAnswer struct {
	http.ResponseWriter
	done bool
}

func (w *wrongAnswer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *wrongAnswer) Write(b []byte) (int, error) {
	if w.done || len(b) == 0 {
		return w.ResponseWriter.Write(b)
	}
	w.done = true
	return w.ResponseWriter.Write(flipped(b))
}

// flipped is b with its first byte changed.
func flipped(b []byte) []byte {
	out := bytes.Clone(b)
	out[0] ^= 1
	return out
}

// wrongPayload changes the first byte of an upload.
type wrongPayload struct {
	io.ReadCloser
	done bool
}

func (p *wrongPayload) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if !p.done && n > 0 {
		p.done = true
		copy(b, flipped(b[:1]))
	}
	return n, err
}

// cutPayload ends an upload after some bytes, as a connection that breaks does.
type cutPayload struct {
	io.ReadCloser
	left int64
}

func (p *cutPayload) Read(b []byte) (int, error) {
	if p.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := p.ReadCloser.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	return n, err
}
