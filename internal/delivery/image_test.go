package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// fakeImage is an OCI image of a manifest and a few small blobs.
type fakeImage struct {
	raw    []byte
	digest string
	blobs  map[string][]byte
}

func (i *fakeImage) Manifest(context.Context) ([]byte, string, error) {
	return i.raw, "application/vnd.oci.image.manifest.v1+json", nil
}

func (i *fakeImage) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	b, ok := i.blobs[digest]
	if !ok {
		return nil, notFound()
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func blobsOf(img Image) map[string][]byte {
	switch i := img.(type) {
	case *fakeImage:
		return i.blobs
	case child:
		return blobsOf(i.Image)
	}
	return nil
}

// shape is what preflight looks at.
type shape struct {
	os, arch, user string
	layers         int
	layerSize      int64
}

func newImage(os, arch, revision string) *fakeImage {
	return shape{os: os, arch: arch, layers: 1, layerSize: 1000}.image(revision)
}

func (s shape) image(revision string) *fakeImage {
	config := fmt.Appendf(nil, `{"os":%q,"architecture":%q,"config":{"User":%q,"Labels":{"org.opencontainers.image.revision":%q}}}`,
		s.os, s.arch, s.user, revision)
	m := ociManifest{Config: ociDescriptor{Digest: digestOf(config), Size: int64(len(config))}}
	for range s.layers {
		m.Layers = append(m.Layers, ociDescriptor{Digest: digestOf([]byte("layer")), Size: s.layerSize})
	}
	raw, _ := json.Marshal(m)
	return &fakeImage{raw: raw, digest: digestOf(raw), blobs: map[string][]byte{m.Config.Digest: config}}
}

// index puts images into one, beside an attestation.
func index(children ...*fakeImage) *fakeImage {
	blobs := map[string][]byte{}
	list := []byte(`{"digest":"sha256:0","platform":{"os":"unknown","architecture":"unknown"}}`)
	for _, c := range children {
		for d, b := range c.blobs {
			blobs[d] = b
			if bytes.Contains(b, []byte(`"architecture"`)) {
				var conf ociConfig
				_ = json.Unmarshal(b, &conf)
				list = fmt.Appendf(list, `,{"digest":%q,"platform":{"os":%q,"architecture":%q}}`, c.digest, conf.OS, conf.Architecture)
			}
		}
		blobs[c.digest] = c.raw
	}
	raw := fmt.Appendf(nil, `{"manifests":[%s]}`, list)
	return &fakeImage{raw: raw, digest: digestOf(raw), blobs: blobs}
}
