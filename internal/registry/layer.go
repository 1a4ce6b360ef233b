package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// layer is a blob of a delivery.Image as go-containerregistry sends it. The
// context is that of the one upload it is made for.
type layer struct {
	ctx   context.Context
	img   delivery.Image
	desc  v1.Descriptor
	count *counter
}

var _ v1.Layer = (*layer)(nil)

// Digest, DiffID, Size and MediaType are v1.Layer's.
func (l *layer) Digest() (v1.Hash, error) { return l.desc.Digest, nil }

// DiffID is not known, and not asked for by an upload.
func (l *layer) DiffID() (v1.Hash, error) { return v1.Hash{}, errNotKnown }

// Size returns the size of the bytes that are sent.
func (l *layer) Size() (int64, error) { return l.desc.Size, nil }

// MediaType returns what the manifest says.
func (l *layer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }

// Uncompressed is not asked for by an upload.
func (l *layer) Uncompressed() (io.ReadCloser, error) { return nil, errNotKnown }

var errNotKnown = errors.New("a blob that is only sent has no uncompressed form")

// Compressed opens the bytes that are sent, from their beginning.
func (l *layer) Compressed() (io.ReadCloser, error) {
	body, err := l.img.Blob(l.ctx, l.desc.Digest.String())
	if err != nil {
		return nil, &sourceError{fmt.Errorf("reading the image to push: %w", err)}
	}
	l.count.set(l.desc, 0)
	return &sentReader{ReadCloser: body, layer: l, sum: sha256.New()}, nil
}

// sentReader counts and hashes a blob on its way out, so that an image that is
// not what it says is told from a line that is.
type sentReader struct {
	io.ReadCloser
	layer *layer
	sum   hash.Hash
	sent  int64
}

func (s *sentReader) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.sum.Write(p[:n])
	s.sent += int64(n)
	if err == nil && s.sent == s.layer.desc.Size {
		err = s.end()
	}
	s.layer.count.set(s.layer.desc, min(s.sent, s.layer.desc.Size))
	if err != nil && !errors.Is(err, io.EOF) {
		return n, &sourceError{fmt.Errorf("reading the image to push: %w", err)}
	}
	if errors.Is(err, io.EOF) || s.sent >= s.layer.desc.Size {
		if bad := s.check(); bad != nil {
			return 0, bad // without its last bytes no upload is taken for whole
		}
	}
	return n, err
}

// end looks whether the image's blob ends where its manifest says.
func (s *sentReader) end() error {
	var more [1]byte
	n, err := io.ReadFull(s.ReadCloser, more[:])
	s.sum.Write(more[:n])
	s.sent += int64(n)
	return err
}

func (s *sentReader) check() error {
	d := s.layer.desc
	if got := hex.EncodeToString(s.sum.Sum(nil)); s.sent != d.Size || got != d.Digest.Hex {
		return &sourceError{fmt.Errorf("the image's blob %s holds %d bytes of sha256:%s, its manifest says %d", d.Digest, s.sent, got, d.Size)}
	}
	return nil
}

// counter adds up how far the blobs of a push have come.
type counter struct {
	mu    sync.Mutex
	done  map[string]int64 // by digest
	sum   delivery.Transfer
	blobs []v1.Descriptor
	tell  func(delivery.Transfer)
}

func newCounter(blobs []v1.Descriptor, tell func(delivery.Transfer)) *counter {
	c := &counter{done: map[string]int64{}, blobs: blobs, tell: tell}
	for _, d := range blobs {
		c.sum.Total += d.Size
	}
	return c
}

// set says that n bytes of a blob are there; fewer than before, where its
// upload began anew.
func (c *counter) set(d v1.Descriptor, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := d.Digest.String()
	if n == c.done[key] {
		return
	}
	c.sum.Done += n - c.done[key]
	c.done[key] = n
	if c.tell != nil {
		c.tell(c.sum)
	}
}

func (c *counter) allDone() {
	for _, d := range c.blobs {
		c.set(d, d.Size)
	}
}
