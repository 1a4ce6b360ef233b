package sim

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// A large layer may take an hour, so bodies have no limit as a whole: one that
// stands still does, and so does an answer that nobody reads.
const (
	// patience is how long the cloud waits for the next stretch of a body, or
	// for the caller to take the next piece of an answer.
	patience = time.Minute
	// stretch is that of a body, in bytes: slower is standing still.
	stretch = 16 << 10
)

// patient bounds the waiting for r's body and for who reads w.
func (c *Cloud) patient(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	limit := patience
	if c.patience > 0 {
		limit = c.patience
	}
	line := http.NewResponseController(w)
	if r.Body != nil && r.Body != http.NoBody {
		body := &patientBody{ReadCloser: r.Body, line: line, limit: limit}
		body.extend() // net/http reads what a handler leaves of it
		r.Body = body
	}
	return &patientWriter{ResponseWriter: w, line: line, limit: limit}
}

// patientBody gives up on a body that stands still. Errors of the deadlines
// themselves say that the line has none, as in tests without one.
type patientBody struct {
	io.ReadCloser
	line  *http.ResponseController
	limit time.Duration
	begun bool
	got   int // since the deadline was set
}

func (b *patientBody) Read(p []byte) (int, error) {
	if !b.begun || b.got >= stretch {
		b.extend()
	}
	b.begun = true
	n, err := b.ReadCloser.Read(p)
	b.got += n
	if errors.Is(err, io.EOF) { // what comes next on the line has limits of its own
		_ = b.line.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (b *patientBody) extend() {
	b.got = 0
	_ = b.line.SetReadDeadline(time.Now().Add(b.limit))
}

// patientWriter gives up on a caller that does not take its answer.
type patientWriter struct {
	http.ResponseWriter
	line  *http.ResponseController
	limit time.Duration
}

func (w *patientWriter) Write(p []byte) (int, error) {
	_ = w.line.SetWriteDeadline(time.Now().Add(w.limit))
	n, err := w.ResponseWriter.Write(p)
	_ = w.line.SetWriteDeadline(time.Time{}) // a stream may say nothing for long
	return n, err
}

// FlushError is Flush for http.ResponseController.
func (w *patientWriter) FlushError() error {
	_ = w.line.SetWriteDeadline(time.Now().Add(w.limit))
	err := w.line.Flush()
	_ = w.line.SetWriteDeadline(time.Time{})
	return err
}

// Unwrap lets http.ResponseController reach the line.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
