package build

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// spooled is an image in files of a private directory, which is removed when
// the image is closed.
type spooled struct {
	dir       string
	manifest  []byte
	mediaType string
	blobs     map[string]section // by digest
}

// section is where the bytes of a blob are.
type section struct {
	file         string
	offset, size int64
}

var (
	_ delivery.Image = (*spooled)(nil)
	_ io.Closer      = (*spooled)(nil)
)

// Manifest returns the top manifest, which may be an index.
func (s *spooled) Manifest(context.Context) ([]byte, string, error) {
	return s.manifest, s.mediaType, nil
}

// Blob opens a blob or a child's manifest, or returns delivery.ErrNotFound.
func (s *spooled) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	at, ok := s.blobs[digest]
	if !ok {
		return nil, fmt.Errorf("blob %s of the built image: %w", digest, delivery.ErrNotFound)
	}
	f, err := os.Open(at.file)
	if err != nil {
		return nil, fmt.Errorf("reading the built image: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, at.offset, at.size), f}, nil
}

// Close removes the image's files.
func (s *spooled) Close() error { return os.RemoveAll(s.dir) }

// maxManifest is more than any registry takes for a manifest, in bytes.
const maxManifest = 4 << 20

var blobName = regexp.MustCompile(`^(?:\./)?blobs/sha256/([0-9a-f]{64})$`)

// openArchive reads where things are in an OCI image layout that was exported
// as a tar file within dir. Nothing is unpacked: blobs are read where they are.
func openArchive(file, dir string) (*spooled, error) {
	img := &spooled{dir: dir, blobs: map[string]section{}}
	index, err := img.scan(file)
	if err != nil {
		return nil, fmt.Errorf("reading the exported image: %w", err)
	}
	if err := img.open(index); err != nil {
		return nil, fmt.Errorf("reading the exported image: %w", err)
	}
	return img, nil
}

// scan notes where each blob is, and returns the layout's index.json.
func (s *spooled) scan(file string) (index []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return index, nil
		}
		if err != nil {
			return nil, err
		}
		switch m := blobName.FindStringSubmatch(h.Name); {
		case h.Typeflag != tar.TypeReg:
		case m != nil:
			at, err := f.Seek(0, io.SeekCurrent) // the reader stands where the content begins
			if err != nil {
				return nil, err
			}
			s.blobs["sha256:"+m[1]] = section{file: file, offset: at, size: h.Size}
		case h.Name == "index.json":
			if index, err = io.ReadAll(io.LimitReader(r, maxManifest)); err != nil {
				return nil, err
			}
		}
	}
}

// open reads the one manifest that index.json names.
func (s *spooled) open(index []byte) error {
	var layout struct {
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(index, &layout); err != nil {
		return fmt.Errorf("its index.json: %w", err)
	}
	if len(layout.Manifests) != 1 {
		return fmt.Errorf("its index.json names %d images, not one", len(layout.Manifests))
	}
	top := layout.Manifests[0]
	r, err := s.Blob(context.Background(), top.Digest.String())
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxManifest))
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != top.Digest.Hex {
		return fmt.Errorf("its manifest is not %s", top.Digest)
	}
	s.manifest, s.mediaType = raw, string(top.MediaType)
	return nil
}
