package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// contents is what a manifest or an index names.
type contents struct {
	Config    *v1.Descriptor  `json:"config"`
	Layers    []v1.Descriptor `json:"layers"`
	Manifests []v1.Descriptor `json:"manifests"`
}

// blobs lists the configuration and the layers.
func (c contents) blobs() []v1.Descriptor {
	if c.Config == nil {
		return c.Layers
	}
	return append([]v1.Descriptor{*c.Config}, c.Layers...)
}

func (m manifest) contents() (contents, error) {
	var c contents
	if err := json.Unmarshal(m.raw, &c); err != nil {
		return c, fmt.Errorf("reading the manifest %s: %w", m.digest, err)
	}
	for _, d := range append(c.blobs(), c.Manifests...) {
		if d.Digest.Algorithm != "sha256" || d.Size < 0 {
			return c, fmt.Errorf("reading the manifest %s: it names %q of %d bytes", m.digest, d.Digest, d.Size)
		}
	}
	return c, nil
}

// image is an image in the repository.
type image struct {
	repository *Repository
	top        manifest
}

// Manifest returns the top manifest.
func (i *image) Manifest(context.Context) ([]byte, string, error) {
	return i.top.raw, i.top.mediaType, nil
}

// Blob opens a config, layer or child manifest of the image. What is read is
// compared with its digest and size: the last Read fails where they differ.
// It returns delivery.ErrNotFound for what the image does not name, though
// the repository may have it.
func (i *image) Blob(ctx context.Context, digest string) (io.ReadCloser, error) {
	r, named, err := i.find(ctx, i.top, digest)
	if err != nil || named {
		return r, err
	}
	return nil, &delivery.RemoteError{Service: service, Operation: "read blob", Resource: i.repository.resource(digest),
		Code: "BLOB_UNKNOWN", Message: "image " + i.top.digest + " does not name it", Kind: delivery.ErrNotFound}
}

// find opens what m, or a manifest below it, names by digest.
func (i *image) find(ctx context.Context, m manifest, digest string) (r io.ReadCloser, named bool, err error) {
	c, err := m.contents()
	if err != nil {
		return nil, false, err
	}
	for _, d := range c.blobs() {
		if d.Digest.String() == digest {
			r, err := i.repository.blob(ctx, d)
			return r, true, err
		}
	}
	for _, d := range c.Manifests {
		if d.Digest.String() == digest {
			sub, err := i.repository.manifest(ctx, digest)
			return io.NopCloser(bytes.NewReader(sub.raw)), true, err
		}
	}
	for _, d := range c.Manifests {
		sub, err := i.repository.manifest(ctx, d.Digest.String())
		if err != nil {
			return nil, false, err
		}
		if r, named, err := i.find(ctx, sub, digest); named || err != nil {
			return r, named, err
		}
	}
	return nil, false, nil
}

// blob opens a config or layer.
func (r *Repository) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	s, err := r.open()
	if err != nil {
		return nil, err
	}
	reference := d.Digest.String()
	var body io.ReadCloser
	err = r.try(ctx, "read blob", reference, func() error {
		layer, err := s.puller.Layer(ctx, s.repo.Digest(reference))
		if err == nil {
			body, err = layer.Compressed() // hashes what is read
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &blobReader{ReadCloser: body, left: d.Size,
		fail: func(err error) error { return r.translate("read blob", reference, err) }}, nil
}

// blobReader reads no more than a blob's size: a registry that goes on sending
// would never come to the end at which the bytes are compared with the digest.
type blobReader struct {
	io.ReadCloser
	left int64
	fail func(error) error
}

func (b *blobReader) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	switch {
	case b.left < 0:
		return 0, b.fail(errors.New("the registry sent more bytes than the blob has"))
	case err != nil && err != io.EOF:
		return n, b.fail(err)
	}
	return n, err
}
