package sim

import (
	"net/http"
	"strings"
	"testing"
)

func FuzzFindRoute(f *testing.F) {
	for _, seed := range []string{"/v2/", "/v2/a/b/manifests/x", "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/x", "/v2/a/blobs/sha256:x", "/v2/../tags/list", "/v2//blobs/uploads"} {
		f.Add("GET", seed)
		f.Add("POST", seed)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		r := &http.Request{Method: method}
		r.URL = must[*http.Request](t)(http.NewRequest(http.MethodGet, "/", nil)).URL
		r.URL.Path = path
		found, err := findRoute(r)
		if err == nil && found.run == nil {
			t.Errorf("%s %s leads nowhere", method, path)
		}
		if found.repository != "" && checkRepositoryName(found.repository) != nil && err == nil {
			t.Errorf("%s %s lets the name %q through", method, path, found.repository)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"sha256:`+strings.Repeat("0", 64)+`"},"layers":[{"digest":"sha256:.."}]}`), typeOCIManifest)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{}]}`), typeOCIIndex)
	f.Add([]byte(`[]`), "")
	f.Fuzz(func(t *testing.T, raw []byte, mediaType string) {
		m, _, err := parseManifest(raw, mediaType)
		if err != nil {
			return
		}
		for _, d := range append(m.Layers, m.Manifests...) {
			if !digestPattern.MatchString(d.Digest) {
				t.Errorf("the digest %q got through", d.Digest)
			}
		}
	})
}
