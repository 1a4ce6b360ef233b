package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	server "github.com/google/go-containerregistry/pkg/registry"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	host       = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
	repository = "customerserviceagent/runtime"
	tagA       = "0123456789abcdef0123456789abcdef01234567"

	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	ociLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// fakeImage is an image in memory.
type fakeImage struct {
	raw       []byte
	mediaType string
	blobs     map[string][]byte
}

func (f *fakeImage) Manifest(context.Context) ([]byte, string, error) {
	return f.raw, f.mediaType, nil
}

func (f *fakeImage) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	b, ok := f.blobs[digest]
	if !ok {
		return nil, delivery.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (f *fakeImage) digest() string { return digestOf(f.raw) }

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

func (f *fakeImage) add(mediaType string, b []byte) descriptor {
	d := descriptor{mediaType, digestOf(b), len(b)}
	f.blobs[d.Digest] = b
	return d
}

func newImage(t *testing.T, layerSizes ...int) *fakeImage {
	t.Helper()
	f := &fakeImage{mediaType: ociManifest, blobs: map[string][]byte{}}
	var layers []descriptor
	for _, size := range layerSizes {
		b := make([]byte, size)
		rand.Read(b)
		layers = append(layers, f.add(ociLayer, b))
	}
	config := f.add(ociConfig, []byte(`{"os":"linux","architecture":"arm64"}`))
	f.raw = mustJSON(t, map[string]any{"schemaVersion": 2, "mediaType": ociManifest, "config": config, "layers": layers})
	return f
}

// newIndex makes an index over children, whose blobs it holds as well.
func newIndex(t *testing.T, children ...*fakeImage) *fakeImage {
	t.Helper()
	f := &fakeImage{mediaType: ociIndex, blobs: map[string][]byte{}}
	var list []descriptor
	for _, c := range children {
		list = append(list, f.add(c.mediaType, c.raw))
		for digest, b := range c.blobs {
			f.blobs[digest] = b
		}
	}
	f.raw = mustJSON(t, map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": list})
	return f
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// recorder notes the requests that reach a handler.
type recorder struct {
	next http.Handler
	mu   sync.Mutex
	seen []string
}

func (c *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.seen = append(c.seen, r.Method+" "+r.URL.Path)
	c.mu.Unlock()
	c.next.ServeHTTP(w, r)
}

// take returns what was seen since the last take, uploads' random ids cut off.
func (c *recorder) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	for i, s := range seen {
		if j := strings.Index(s, "/uploads/"); j >= 0 {
			seen[i] = s[:j+len("/uploads/")]
		}
	}
	return seen
}

func count(seen []string, prefix string) int {
	n := 0
	for _, s := range seen {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

func plainRegistry() http.Handler { return server.New(server.Logger(log.New(io.Discard, "", 0))) }

// open returns a repository whose traffic goes to handler, and what reaches it.
func open(t *testing.T, handler http.Handler) (*Repository, *recorder) {
	t.Helper()
	rec := &recorder{next: handler}
	srv := httptest.NewServer(rec)
	t.Cleanup(srv.Close)
	endpoint, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &Repository{Registry: host, Name: repository, Endpoint: endpoint, Transport: srv.Client().Transport,
		pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}, rec
}

// sameImage compares what the repository holds under digest with want.
func sameImage(t *testing.T, r *Repository, digest string, want *fakeImage) {
	t.Helper()
	ctx := t.Context()
	got, err := r.Open(ctx, digest)
	if err != nil {
		t.Fatal(err)
	}
	raw, mediaType, err := got.Manifest(ctx)
	if err != nil || mediaType != want.mediaType || !bytes.Equal(raw, want.raw) {
		t.Errorf("manifest %q %s, %v; want %q %s", mediaType, raw, err, want.mediaType, want.raw)
	}
	for digest, b := range want.blobs {
		body, err := got.Blob(ctx, digest)
		if err != nil {
			t.Fatal(err)
		}
		read, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || !bytes.Equal(read, b) {
			t.Errorf("blob %s: %d bytes, %v; want %d", digest, len(read), err, len(b))
		}
	}
}

func TestPushThenRead(t *testing.T) {
	r, _ := open(t, plainRegistry())
	img := newImage(t, 300_000, 5)
	var last delivery.Transfer
	if err := r.Push(t.Context(), img, tagA, func(p delivery.Transfer) { last = p }); err != nil {
		t.Fatal(err)
	}
	if want := (delivery.Transfer{Done: 300_042, Total: 300_042}); last != want {
		t.Errorf("progress ended at %+v, want %+v", last, want)
	}
	digest, err := r.Resolve(t.Context(), tagA)
	if err != nil || digest != img.digest() {
		t.Errorf("tag names %s, %v; want %s", digest, err, img.digest())
	}
	fresh := &Repository{Registry: host, Name: repository, Endpoint: r.Endpoint, Transport: r.Transport}
	sameImage(t, fresh, digest, img)
}

func TestPushOfIndexSendsChildrenFirst(t *testing.T) {
	r, rec := open(t, plainRegistry())
	a, b := newImage(t, 1000), newImage(t, 2000)
	index := newIndex(t, a, b)
	if err := r.Push(t.Context(), index, tagA, nil); err != nil {
		t.Fatal(err)
	}
	var puts []string
	for _, s := range rec.take() {
		if strings.HasPrefix(s, "PUT ") && strings.Contains(s, "/manifests/") {
			puts = append(puts, s[strings.LastIndex(s, "/")+1:])
		}
	}
	if diff := cmp.Diff([]string{a.digest(), b.digest(), tagA}, puts); diff != "" {
		t.Errorf("manifests written (-want +got):\n%s", diff)
	}
	fresh := &Repository{Registry: host, Name: repository, Endpoint: r.Endpoint, Transport: r.Transport}
	sameImage(t, fresh, index.digest(), index)
}

func TestPushSendsOnlyWhatIsMissing(t *testing.T) {
	r, rec := open(t, plainRegistry())
	first := newImage(t, 1000)
	second := newImage(t)
	shared := descriptor{ociLayer, "", 0}
	for digest, b := range first.blobs {
		if len(b) == 1000 {
			shared.Digest, shared.Size = digest, len(b)
			second.blobs[digest] = b
		}
	}
	config := second.add(ociConfig, []byte(`{"os":"linux","architecture":"arm64","new":1}`))
	second.raw = mustJSON(t, map[string]any{"schemaVersion": 2, "mediaType": ociManifest, "config": config, "layers": []descriptor{shared}})

	if err := r.Push(t.Context(), first, "one", nil); err != nil {
		t.Fatal(err)
	}
	rec.take()
	if err := r.Push(t.Context(), second, "two", nil); err != nil {
		t.Fatal(err)
	}
	seen := rec.take()
	if got := count(seen, "PATCH"); got != 1 {
		t.Errorf("%d blobs sent, want the configuration alone: %v", got, seen)
	}
	// GET tag, 2 HEADs, POST PATCH PUT of one blob, PUT manifest.
	if len(seen) != 7 {
		t.Errorf("%d requests, want 7: %v", len(seen), seen)
	}
}

func TestPushOfWhatIsThereWritesNothing(t *testing.T) {
	r, rec := open(t, plainRegistry())
	img := newImage(t, 1000)
	if err := r.Push(t.Context(), img, tagA, nil); err != nil {
		t.Fatal(err)
	}
	rec.take()
	var last delivery.Transfer
	if err := r.Push(t.Context(), img, tagA, func(p delivery.Transfer) { last = p }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"GET /v2/" + repository + "/manifests/" + tagA}, rec.take()); diff != "" {
		t.Errorf("requests of the second push (-want +got):\n%s", diff)
	}
	if last.Done != last.Total || last.Total == 0 {
		t.Errorf("progress of the second push ended at %+v", last)
	}
}

func TestTagIsOnePut(t *testing.T) {
	r, rec := open(t, plainRegistry())
	img := newImage(t, 1000)
	if err := r.Push(t.Context(), img, tagA, nil); err != nil {
		t.Fatal(err)
	}
	rec.take()
	latest := "/v2/" + repository + "/manifests/latest"
	for _, want := range [][]string{{"GET " + latest, "PUT " + latest}, {"GET " + latest}} {
		if err := r.Tag(t.Context(), img.digest(), "latest"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, rec.take()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	}
	if digest, err := r.Resolve(t.Context(), "latest"); err != nil || digest != img.digest() {
		t.Errorf("latest names %s, %v", digest, err)
	}
	absent := "sha256:" + strings.Repeat("0", 64)
	if err := r.Tag(t.Context(), absent, "latest"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("tagging an absent digest: %v, want ErrNotFound", err)
	}
}

func TestNotThere(t *testing.T) {
	r, _ := open(t, plainRegistry())
	img := newImage(t, 10)
	if err := r.Push(t.Context(), img, tagA, nil); err != nil {
		t.Fatal(err)
	}
	got, err := r.Open(t.Context(), img.digest())
	if err != nil {
		t.Fatal(err)
	}
	absent := "sha256:" + strings.Repeat("0", 64)
	for what, err := range map[string]error{
		"a tag":    second(r.Resolve(t.Context(), "absent")),
		"a digest": second(r.Open(t.Context(), absent)),
		"a blob":   second(got.Blob(t.Context(), absent)),
	} {
		if !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("%s that is not there: %v, want ErrNotFound", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestBadNames(t *testing.T) {
	for _, name := range []string{"", "UPPER", "a b", "../x", "a/"} {
		r := &Repository{Registry: host, Name: name}
		if _, err := r.Resolve(t.Context(), "latest"); !errors.Is(err, delivery.ErrInvalid) {
			t.Errorf("repository %q: %v, want ErrInvalid", name, err)
		}
	}
	r := &Repository{Registry: host, Name: repository}
	for _, tag := range []string{"", "a/b", "a b", "sha256:short", "latest?x=1", strings.Repeat("x", 200)} {
		if _, err := r.Resolve(t.Context(), tag); !errors.Is(err, delivery.ErrInvalid) {
			t.Errorf("tag %q: %v, want ErrInvalid", tag, err)
		}
	}
}

func TestPlainHTTPBeyondLoopbackIsRefused(t *testing.T) {
	for raw, ok := range map[string]bool{
		"http://127.0.0.1:4510": true, "http://[::1]:4510": true, "http://localhost:1": true,
		"https://proxy.example": true, "http://proxy.example": false, "http://10.0.0.1": false,
		"http://127.0.0.1.example": false, "ftp://127.0.0.1": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkEndpoint(u); (err == nil) != ok {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestForeignManifest(t *testing.T) {
	for _, raw := range []string{"", "[]", "{", `{"layers":[{"digest":"sha256:zz","size":1}]}`,
		`{"layers":[{"digest":"sha256:` + strings.Repeat("0", 64) + `","size":-1}]}`, `{"config":7}`} {
		img := &fakeImage{raw: []byte(raw), mediaType: ociManifest}
		if err := (&Repository{Registry: host, Name: repository}).Push(t.Context(), img, tagA, nil); err == nil {
			t.Errorf("manifest %q was pushed", raw)
		}
	}
}

func FuzzContents(f *testing.F) {
	f.Add([]byte(`{"config":{"digest":"sha256:` + strings.Repeat("0", 64) + `","size":1},"layers":[],"manifests":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := manifest{raw: raw, digest: "d"}.contents()
		if err != nil {
			return
		}
		for _, d := range append(c.blobs(), c.Manifests...) {
			if d.Size < 0 || len(d.Digest.Hex) != 64 {
				t.Errorf("accepted %v", d)
			}
		}
	})
}

func ExampleRepository() {
	r := &Repository{Registry: host, Name: repository}
	fmt.Println(r.resource("latest"))
	// Output: 111122223333.dkr.ecr.us-east-1.amazonaws.com/customerserviceagent/runtime:latest
}
