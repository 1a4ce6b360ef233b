package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// faulty answers the first n requests that match with a fault.
type faulty struct {
	next  http.Handler
	match func(*http.Request) bool
	fault http.HandlerFunc
	mu    sync.Mutex
	n     int
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	hit := f.n > 0 && f.match(r)
	if hit {
		f.n--
	}
	f.mu.Unlock()
	if hit {
		f.fault(w, r)
		return
	}
	f.next.ServeHTTP(w, r)
}

func refuse(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 10_000) // some of the blob arrives
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
		}
	}
}

// hangUp cuts the connection without an answer.
func hangUp(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 10_000)
	panic(http.ErrAbortHandler)
}

func method(m, part string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == m && strings.Contains(r.URL.Path, part) }
}

func TestPushSurvivesPassingFaults(t *testing.T) {
	tests := map[string]struct {
		match func(*http.Request) bool
		fault http.HandlerFunc
		n     int
	}{
		"429 twice at the tag":      {method("GET", "/manifests/"), refuse(429, "TOOMANYREQUESTS", "slow down"), 2},
		"429 twice at a blob":       {method("HEAD", "/blobs/"), refuse(429, "", ""), 2},
		"503 at an upload's start":  {method("POST", "/uploads/"), refuse(503, "UNAVAILABLE", ""), 3},
		"503 amid a blob":           {method("PATCH", ""), refuse(503, "UNAVAILABLE", "try later"), 2},
		"connection cut amid blob":  {method("PATCH", ""), hangUp, 2},
		"upload forgotten":          {method("PUT", "/blobs/"), refuse(404, "BLOB_UPLOAD_UNKNOWN", "unknown"), 1},
		"connection cut at the tag": {method("PUT", "/manifests/"), hangUp, 4},
		"500 at the manifest":       {method("PUT", "/manifests/"), refuse(500, "UNKNOWN", ""), 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, _ := open(t, &faulty{next: plainRegistry(), match: test.match, fault: test.fault, n: test.n})
			img := newImage(t, 2_000_000, 300)
			var last delivery.Transfer
			if err := r.Push(t.Context(), img, tagA, func(p delivery.Transfer) { last = p }); err != nil {
				t.Fatal(err)
			}
			if last.Done != last.Total || last.Total < 2_000_300 {
				t.Errorf("progress ended at %+v", last)
			}
			fresh := &Repository{Registry: host, Name: repository, Endpoint: r.Endpoint, Transport: r.Transport}
			sameImage(t, fresh, img.digest(), img)
		})
	}
}

func TestFaultsThatStayEndWithinALimit(t *testing.T) {
	tests := map[string]struct {
		match func(*http.Request) bool
		fault http.HandlerFunc
		kind  error
		tries int
	}{
		"throttled":            {method("PUT", "/manifests/"), refuse(429, "TOOMANYREQUESTS", "slow down"), delivery.ErrThrottled, tries},
		"denied":               {method("PUT", "/manifests/"), refuse(403, "DENIED", "User is not authorized"), delivery.ErrDenied, 1},
		"missing layer":        {method("PUT", "/manifests/"), refuse(404, "BLOB_UPLOAD_UNKNOWN", "Layers not found"), delivery.ErrInvalid, 1},
		"invalid":              {method("PUT", "/manifests/"), refuse(400, "MANIFEST_INVALID", "no"), delivery.ErrInvalid, 1},
		"no repository":        {method("POST", "/uploads/"), refuse(404, "NAME_UNKNOWN", "The repository does not exist"), delivery.ErrNotFound, 1},
		"too many, no JSON":    {method("POST", "/uploads/"), func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusTooManyRequests) }, delivery.ErrThrottled, tries},
		"another's conflict":   {method("PUT", "/manifests/"), refuse(409, "CONFLICT", "busy"), delivery.ErrConflict, 1},
		"failing for ever":     {method("PUT", "/manifests/"), refuse(500, "UNKNOWN", "no"), nil, tries},
		"tag that can't be":    {method("PUT", "/manifests/"), refuse(400, "TAG_INVALID", "not a tag"), delivery.ErrInvalid, 1},
		"unsupported":          {method("PUT", "/manifests/"), refuse(405, "UNSUPPORTED", "Invalid parameter at 'ImageManifest'"), delivery.ErrInvalid, 1},
		"unauthorized, no key": {method("GET", "/manifests/"), refuse(401, "UNAUTHORIZED", "Not Authorized"), delivery.ErrDenied, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			const many = 1000
			f := &faulty{next: plainRegistry(), match: test.match, fault: test.fault, n: many}
			r, _ := open(t, f)
			r.Jobs = 1
			err := r.Push(t.Context(), newImage(t), tagA, nil)
			var remote *delivery.RemoteError
			if !errors.As(err, &remote) || remote.Kind != test.kind || remote.Service != "registry" || remote.Code == "" || remote.Status == 0 {
				t.Errorf("%#v, want kind %v", err, test.kind)
			}
			if got := many - f.n; got != test.tries {
				t.Errorf("%d tries, want %d", got, test.tries)
			}
		})
	}
}

// TestNoAnswerNamesNoURL: an upload's address holds a key to it.
func TestNoAnswerNamesNoURL(t *testing.T) {
	r, _ := open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.Method == http.MethodPost:
			w.Header().Set("Location", req.URL.Path+"upload-1?_state=canary")
			w.WriteHeader(http.StatusAccepted)
		case req.Method == http.MethodPatch:
			hangUp(w, req)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	err := r.Push(t.Context(), newImage(t, 1000), tagA, nil)
	var remote *delivery.RemoteError
	if err == nil || errors.As(err, &remote) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "registry push blob "+host+"/"+repository+"@sha256:") {
		t.Errorf("%v", err)
	}
}

func TestImmutableTag(t *testing.T) {
	inner := plainRegistry()
	immutable := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if method("PUT", "/manifests/"+tagA)(r) {
			probe := httptest.NewRecorder()
			inner.ServeHTTP(probe, httptest.NewRequest(http.MethodHead, r.URL.Path, nil))
			if probe.Code == http.StatusOK {
				refuse(400, "TAG_INVALID", "The image tag '"+tagA+"' already exists in the 'r' repository and cannot be overwritten because the tag is immutable.")(w, r)
				return
			}
		}
		inner.ServeHTTP(w, r)
	})
	r, _ := open(t, immutable)
	first, other := newImage(t, 100), newImage(t, 200)
	if err := r.Push(t.Context(), first, tagA, nil); err != nil {
		t.Fatal(err)
	}
	err := r.Push(t.Context(), other, tagA, nil)
	if !errors.Is(err, delivery.ErrExists) {
		t.Errorf("another digest: %v, want ErrExists", err)
	}
	if err := r.Tag(t.Context(), other.digest(), tagA); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("tagging what was refused: %v, want ErrNotFound", err)
	}
	// The answer to the first PUT was lost, another PUT of the same is refused.
	if err := r.put(t.Context(), manifest{raw: first.raw, mediaType: ociManifest, digest: first.digest()}, tagA); err != nil {
		t.Errorf("the same digest: %v", err)
	}
}

// TestRedirectGetsNoLogin: blobs are kept on another host, as ECR's are in S3
// (security: D11).
func TestRedirectGetsNoLogin(t *testing.T) {
	inner := plainRegistry()
	img := newImage(t, 4000)
	var given []string
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given = append(given, r.Header.Get("Authorization"))
		inner.ServeHTTP(w, httptest.NewRequest(r.Method, r.URL.Path, nil))
	}))
	defer store.Close()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if method("GET", "/blobs/")(r) {
			http.Redirect(w, r, "http://layers.s3.example"+r.URL.Path+"?X-Amz-Signature=canary", http.StatusTemporaryRedirect)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	defer front.Close()
	endpoint, _ := url.Parse(front.URL)
	line := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, "layers.s3.example:") {
			addr = store.Listener.Addr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	defer line.CloseIdleConnections()
	r := &Repository{Registry: host, Name: repository, Endpoint: endpoint, Transport: line,
		Auth:  func(context.Context) (string, string, time.Time, error) { return "AWS", "canary", time.Time{}, nil },
		pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	if err := r.Push(t.Context(), img, tagA, nil); err != nil {
		t.Fatal(err)
	}
	sameImage(t, r, img.digest(), img)
	if len(given) != 2 || given[0] != "" || given[1] != "" {
		t.Errorf("the other host was given %q, want two requests without a login", given)
	}
	store.Close()
	got, err := r.Open(t.Context(), img.digest())
	if err != nil {
		t.Fatal(err)
	}
	for digest := range img.blobs {
		err := second(got.Blob(t.Context(), digest))
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("the other host is gone: %v, want an error without the URL's signature", err)
		}
	}
}

// TestRedirectLoop: a registry that sends blobs round in a circle is given up
// soon, here and on another host.
func TestRedirectLoop(t *testing.T) {
	inner := plainRegistry()
	img := newImage(t, 4000)
	var turns atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if method("GET", "/blobs/")(r) {
			turns.Add(1)
			http.Redirect(w, r, "http://"+[]string{"layers.s3.example", host}[turns.Load()%2]+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	defer front.Close()
	endpoint, _ := url.Parse(front.URL)
	line := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, front.Listener.Addr().String())
	}}
	defer line.CloseIdleConnections()
	r := &Repository{Registry: host, Name: repository, Endpoint: endpoint, Transport: line,
		pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	if err := r.Push(t.Context(), img, tagA, nil); err != nil {
		t.Fatal(err)
	}
	got, err := r.Open(t.Context(), img.digest())
	if err == nil {
		for digest := range img.blobs {
			if err = second(got.Blob(t.Context(), digest)); err == nil {
				t.Errorf("the blob %s was read", digest)
			}
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("it ends with %v", err)
	}
	if n := turns.Load(); n < 2 || n > 100 {
		t.Errorf("it was sent round %d times", n)
	}
}

// TestHostOverride: the traffic goes to the endpoint, under the registry's
// name; the endpoint's own address in a Location is understood.
func TestHostOverride(t *testing.T) {
	inner := plainRegistry()
	var hosts []string
	var mu sync.Mutex
	r, _ := open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		hosts = append(hosts, req.Host)
		mu.Unlock()
		addr := req.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
		inner.ServeHTTP(&absolute{ResponseWriter: w, base: "http://" + addr}, req)
	}))
	if err := r.Push(t.Context(), newImage(t, 1000), tagA, nil); err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		if h != host {
			t.Errorf("Host %q, want %q", h, host)
		}
	}
}

// absolute makes a Location absolute.
type absolute struct {
	http.ResponseWriter
	base string
}

func (a *absolute) WriteHeader(status int) {
	if l := a.Header().Get("Location"); strings.HasPrefix(l, "/") {
		a.Header().Set("Location", a.base+l)
	}
	a.ResponseWriter.WriteHeader(status)
}

// TestLies: what is read is hashed, whatever the headers say (security: D12).
func TestLies(t *testing.T) {
	img, other := newImage(t, 5000), newImage(t, 5000)
	lie := func(match func(*http.Request) bool, answer func(w http.ResponseWriter)) *Repository {
		inner := plainRegistry()
		honest, _ := open(t, inner)
		if err := errors.Join(honest.Push(t.Context(), img, tagA, nil), honest.Push(t.Context(), other, "other", nil)); err != nil {
			t.Fatal(err)
		}
		r, _ := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if match(r) {
				answer(w)
				return
			}
			inner.ServeHTTP(w, r)
		}))
		return r
	}
	var layer string
	for digest, b := range img.blobs {
		if len(b) == 5000 {
			layer = digest
		}
	}
	header := func(w http.ResponseWriter, digest string, body []byte) {
		w.Header().Set("Docker-Content-Digest", digest)
		w.Header().Set("Content-Type", ociManifest)
		_, _ = w.Write(body)
	}
	read := func(r *Repository) error {
		got, err := r.Open(t.Context(), img.digest())
		if err != nil {
			return err
		}
		body, err := got.Blob(t.Context(), layer)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, body)
		return errors.Join(err, body.Close())
	}

	r := lie(method("GET", "/manifests/"), func(w http.ResponseWriter) { header(w, img.digest(), other.raw) })
	if digest, err := r.Resolve(t.Context(), tagA); err != nil || digest != other.digest() {
		t.Errorf("the header was believed: %s, %v", digest, err)
	}
	if err := read(r); err == nil {
		t.Error("another manifest was taken for the digest")
	}
	for name, body := range map[string][]byte{"other bytes": bytes.Repeat([]byte("x"), 5000), "fewer": img.blobs[layer][:4000],
		"more": append(bytes.Clone(img.blobs[layer]), 'x'), "none": nil} {
		r := lie(method("GET", "/blobs/"), func(w http.ResponseWriter) { header(w, layer, body) })
		if err := read(r); err == nil {
			t.Errorf("blob with %s was taken", name)
		}
	}
	endless := lie(method("GET", "/blobs/"), func(w http.ResponseWriter) {
		for err := error(nil); err == nil; {
			_, err = w.Write(make([]byte, 10_000))
		}
	})
	if err := read(endless); err == nil || !strings.Contains(err.Error(), "more bytes than the blob has") {
		t.Errorf("a blob without end: %v", err)
	}
	if err := read(lie(func(*http.Request) bool { return false }, nil)); err != nil {
		t.Errorf("no lie: %v", err)
	}
}

// TestImageThatIsNotWhatItSays is told from a line that is broken: one try.
func TestImageThatIsNotWhatItSays(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"other bytes": func(b []byte) []byte { return append([]byte{b[0] ^ 1}, b[1:]...) },
		"fewer":       func(b []byte) []byte { return b[:len(b)-1] },
		"more":        func(b []byte) []byte { return append(bytes.Clone(b), 'x') },
	} {
		t.Run(name, func(t *testing.T) {
			r, rec := open(t, plainRegistry())
			img := newImage(t, 4000)
			for digest, b := range img.blobs {
				if len(b) == 4000 {
					img.blobs[digest] = spoil(b)
				}
			}
			if err := r.Push(t.Context(), img, tagA, nil); err == nil || !strings.Contains(err.Error(), "its manifest says") {
				t.Errorf("%v, want the image to be blamed", err)
			}
			if n := count(rec.take(), "PUT /v2/"+repository+"/manifests"); n != 0 {
				t.Errorf("%d manifests were written", n)
			}
		})
	}
}

func TestCancelledPush(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, rec := open(t, &faulty{next: plainRegistry(), n: 1000, match: method("PATCH", ""), fault: func(w http.ResponseWriter, req *http.Request) {
		cancel()
		refuse(503, "", "")(w, req)
	}})
	if err := r.Push(ctx, newImage(t, 1000), tagA, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	if n := count(rec.take(), "PUT"); n != 0 {
		t.Errorf("%d writes after the end", n)
	}
}

func TestPauseGrowsAndStaysBounded(t *testing.T) {
	var longestSeen time.Duration
	r := &Repository{pause: func(_ context.Context, d time.Duration) error { longestSeen = max(longestSeen, d); return nil }}
	for n := range 40 {
		for range 50 {
			longestSeen = 0
			if err := r.wait(t.Context(), min(n, tries)); err != nil {
				t.Fatal(err)
			}
			if most := min(firstWait<<min(n, tries), longest); longestSeen < 0 || longestSeen >= most {
				t.Fatalf("pause %d is %v, want less than %v", n, longestSeen, most)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&Repository{}).wait(ctx, 4); !errors.Is(err, context.Canceled) {
		t.Errorf("a pause that is cancelled: %v", err)
	}
}

func TestClean(t *testing.T) {
	got := clean("a\x1b[31mb\nc" + strings.Repeat("é", 600))
	if strings.ContainsAny(got, "\x1b\n") || len(got) > maxMessage+4 {
		t.Errorf("%q", got)
	}
}

// TestStandstill: the registry takes the connection and then nothing moves.
func TestStandstill(t *testing.T) {
	img := newImage(t, 50_000)
	layer := "" // the config is smaller than half of it: reading that is another fault
	for digest, b := range img.blobs {
		if len(b) == 50_000 {
			layer = digest
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	half := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "50000")
		_, _ = w.Write(make([]byte, 100))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	for name, test := range map[string]struct {
		match func(*http.Request) bool
		fault http.HandlerFunc
		n     int
		want  error
	}{
		"once, then well": {method("PATCH", ""), hang, 1, nil},
		"amid a manifest": {method("GET", "/manifests/"), half, 1, nil},
		"a blob, sent":    {method("PATCH", ""), hang, 1000, errStalled},
		"a blob, read":    {method("GET", "/blobs/"+layer), half, 1000, errStalled},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := open(t, &faulty{next: plainRegistry(), match: test.match, fault: test.fault, n: test.n})
			r.Patience = 200 * time.Millisecond
			err := r.Push(t.Context(), img, tagA, nil)
			if err == nil {
				err = readAll(t.Context(), r, img)
			}
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func readAll(ctx context.Context, r *Repository, img *fakeImage) error {
	got, err := r.Open(ctx, img.digest())
	if err != nil {
		return err
	}
	for digest := range img.blobs {
		body, err := got.Blob(ctx, digest)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, body)
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
	}
	return nil
}

// TestReasonIsKept: what a registry says of a manifest that it does not take
// is all there is to go by.
func TestReasonIsKept(t *testing.T) {
	for name, test := range map[string]struct {
		fault http.HandlerFunc
		want  string
	}{
		"one": {refuse(405, "UNSUPPORTED", "Invalid parameter at 'ImageManifest'"), "UNSUPPORTED: Invalid parameter at 'ImageManifest'"},
		"many": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusMethodNotAllowed)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNSUPPORTED","message":"first"},{"code":"MANIFEST_INVALID","message":"second"}]}`)
		}, "UNSUPPORTED: first; MANIFEST_INVALID: second"},
		"detail": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusMethodNotAllowed)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNSUPPORTED","message":"no","detail":"media type"}]}`)
		}, "UNSUPPORTED: no (media type)"},
		"code alone": {refuse(405, "UNSUPPORTED", ""), "UNSUPPORTED"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusMethodNotAllowed) },
			"HTTP 405: Method Not Allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := open(t, &faulty{next: plainRegistry(), match: method("PUT", "/manifests/"), fault: test.fault, n: 1})
			err := r.Push(t.Context(), newImage(t), tagA, nil)
			if err == nil || !strings.HasSuffix(err.Error(), ": "+test.want) {
				t.Errorf("%v, want %q at its end", err, test.want)
			}
		})
	}
}
