package sim

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func randomBlob(t *testing.T, n int) ([]byte, string) {
	t.Helper()
	b := make([]byte, n)
	rand.Read(b)
	return b, digestOf(b)
}

func TestMonolithicUpload(t *testing.T) {
	h := newHub(t, "team/agent")
	blob, digest := randomBlob(t, 5000)
	resp := h.do("POST", "/blobs/uploads/?digest="+digest, bytes.NewReader(blob))
	h.want(resp, 201, "")
	if resp.Header.Get("Location") != "/v2/team/agent/blobs/"+digest || resp.Header.Get("Docker-Content-Digest") != digest {
		t.Errorf("answered %v", resp.Header)
	}
	part := h.do("GET", "/blobs/"+digest, nil, "Range", "bytes=10-19")
	if got := must[[]byte](t)(io.ReadAll(part.Body)); part.StatusCode != http.StatusPartialContent || !bytes.Equal(got, blob[10:20]) {
		t.Errorf("a range is %d, %d bytes", part.StatusCode, len(got))
	}
	h.want(h.do("GET", "/blobs/"+digest, nil, "Range", "bytes=9000-"), 416, "")

	other, otherDigest := randomBlob(t, 10)
	h.want(h.do("POST", "/blobs/uploads/?digest="+digest, bytes.NewReader(other)), 400, "DIGEST_INVALID")
	h.want(h.do("POST", "/blobs/uploads/?digest=sha256:..", bytes.NewReader(other)), 400, "DIGEST_INVALID")
	h.want(h.do("GET", "/blobs/"+otherDigest, nil), 404, "BLOB_UNKNOWN")
	h.want(h.do("POST", "/blobs/uploads/?digest="+digestOf(nil), nil), 400, "BLOB_UPLOAD_INVALID")
	h.noUploads()
}

func TestChunkedUpload(t *testing.T) {
	h := newHub(t, "team/agent")
	blob, digest := randomBlob(t, 3000)
	resp := h.do("POST", "/blobs/uploads/", nil)
	h.want(resp, 202, "")
	at := resp.Header.Get("Location")
	chunk := func(first, last int, body []byte) *http.Response {
		return h.do("PATCH", at, bytes.NewReader(body), "Content-Range", fmt.Sprintf("%d-%d", first, last), "Content-Type", octets)
	}
	resp = chunk(0, 999, blob[:1000])
	h.want(resp, 202, "")
	if resp.Header.Get("Range") != "0-999" || resp.Header.Get("Location") != at {
		t.Errorf("after the first chunk: %v", resp.Header)
	}
	for what, resp := range map[string]*http.Response{
		"a gap":         chunk(2000, 2999, blob[2000:]),
		"a repeat":      chunk(0, 999, blob[:1000]),
		"a short chunk": chunk(1000, 1999, blob[1000:1500]),
		"no range":      h.do("PATCH", at, bytes.NewReader(blob), "Content-Range", "bytes 1000-1999/3000"),
	} {
		if resp.StatusCode != http.StatusRequestedRangeNotSatisfiable || resp.Header.Get("Range") != "0-999" {
			t.Errorf("%s: %d, Range %s", what, resp.StatusCode, resp.Header.Get("Range"))
		}
	}
	h.want(chunk(1000, 1999, blob[1000:2000]), 202, "")
	status := h.do("GET", at, nil)
	if status.StatusCode != http.StatusNoContent || status.Header.Get("Range") != "0-1999" {
		t.Errorf("the upload stands at %s (%d)", status.Header.Get("Range"), status.StatusCode)
	}
	h.want(h.do("PUT", at+"?digest="+digest, bytes.NewReader(blob[2000:]), "Content-Range", "2000-2999"), 201, "")
	got := h.do("GET", "/blobs/"+digest, nil)
	if body := must[[]byte](t)(io.ReadAll(got.Body)); !bytes.Equal(body, blob) {
		t.Error("the blob is not what was sent")
	}
	h.want(h.do("PUT", at+"?digest="+digest, nil), 404, "BLOB_UPLOAD_UNKNOWN")
	h.noUploads()
}

func (h *hub) noUploads() {
	h.t.Helper()
	if left := must[[]os.DirEntry](h.t)(os.ReadDir(h.dir("uploads"))); len(left) != 0 {
		h.t.Errorf("uploads left behind: %v", left)
	}
}

// dir is a directory of the hub's repository.
func (h *hub) dir(sub string) string {
	h.t.Helper()
	r := must[*repository](h.t)(h.cloud.loadRepository(registryID{DefaultAccount, DefaultRegion}, h.repository))
	return filepath.Join(h.cloud.repositoryDir(r), sub)
}

func TestUploadIsCancelled(t *testing.T) {
	h := newHub(t, "team/agent")
	at := h.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	h.want(h.do("PATCH", at, strings.NewReader("abc")), 202, "")
	h.want(h.do("DELETE", at, nil), 204, "")
	h.want(h.do("GET", at, nil), 404, "BLOB_UPLOAD_UNKNOWN")
}

// breakingReader sends some bytes, then fails, as a connection that is lost.
type breakingReader struct{ left int }

func (r *breakingReader) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, errors.New("lost")
	}
	n := min(len(b), r.left)
	r.left -= n
	return n, nil
}

func TestUploadCutShortIsTakenBack(t *testing.T) {
	h := newHub(t, "team/agent")
	blob, digest := randomBlob(t, 200_000)
	at := h.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	h.want(h.do("PATCH", at, bytes.NewReader(blob[:1000])), 202, "")
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPatch, h.srv.URL+at, &breakingReader{left: 100_000}))
	req.SetBasicAuth("AWS", h.password)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("the broken chunk was answered")
	}
	// Whichever takes the upload's lock first, the broken chunk leaves nothing.
	h.want(h.do("PATCH", at, bytes.NewReader(blob[1000:]), "Content-Range", "1000-199999"), 202, "")
	h.want(h.do("PUT", at+"?digest="+digest, nil), 201, "")
}

func TestLayersAreBounded(t *testing.T) {
	h := newHub(t, "team/agent")
	h.cloud.ecr.layerLimit = 1000
	blob, digest := randomBlob(t, 1001)
	at := h.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	h.want(h.do("PATCH", at, bytes.NewReader(blob)), 413, "SIZE_INVALID")
	h.want(h.do("PATCH", at, bytes.NewReader(blob[:1000])), 202, "")
	h.want(h.do("PUT", at+"?digest="+digest, bytes.NewReader(blob[1000:])), 413, "SIZE_INVALID")
	h.want(h.do("PUT", at+"?digest="+digestOf(blob[:1000]), nil), 201, "")
	h.want(h.do("POST", "/blobs/uploads/?digest="+digest, bytes.NewReader(blob)), 413, "SIZE_INVALID")
	h.noUploads()
}

func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"0-1", "5-3", "-1-2", "bytes 0-1/2", "99999999999999999999-1", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		first, last, err := contentRange(header)
		if err == nil && (first < 0 || last < first) {
			t.Errorf("%q is read as %d-%d", header, first, last)
		}
	})
}
