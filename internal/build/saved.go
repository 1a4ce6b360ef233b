package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// convert makes an OCI image, in files of dir, of what docker save has
// written: there layers are bare and the manifest is Docker's own. The
// configuration keeps its bytes, and must be the image that was asked for.
//
// Layers are compressed by klauspost's gzip, at three times the speed of the
// standard library's; the same bytes come out whenever the same Slipway does it.
func convert(ctx context.Context, archive, dir, id string) (*spooled, error) {
	saved, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		return nil, fmt.Errorf("reading what docker save wrote: %w", err)
	}
	out := &spooled{dir: dir, blobs: map[string]section{}, mediaType: string(types.OCIManifestSchema1)}
	config, err := saved.RawConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the saved image's configuration: %w", err)
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	if m.Config, err = out.keep(config, types.OCIConfigJSON); err != nil {
		return nil, err
	}
	if m.Config.Digest.String() != id {
		return nil, fmt.Errorf("docker built %s and saved %s", id, m.Config.Digest)
	}
	layers, err := saved.Layers()
	parsed, errConfig := saved.ConfigFile()
	if err := errors.Join(err, errConfig); err != nil {
		return nil, fmt.Errorf("reading the saved image's layers: %w", err)
	}
	if len(layers) != len(parsed.RootFS.DiffIDs) {
		return nil, fmt.Errorf("the saved image has %d layers; its configuration names %d",
			len(layers), len(parsed.RootFS.DiffIDs))
	}
	for i, layer := range layers {
		d, err := out.compress(ctx, layer, parsed.RootFS.DiffIDs[i])
		if err != nil {
			return nil, fmt.Errorf("compressing a layer of the saved image: %w", err)
		}
		m.Layers = append(m.Layers, d)
	}
	if out.manifest, err = json.Marshal(m); err != nil {
		return nil, fmt.Errorf("encoding the image's manifest: %w", err)
	}
	return out, nil
}

// keep writes a small blob.
func (s *spooled) keep(raw []byte, mediaType types.MediaType) (v1.Descriptor, error) {
	sum := sha256.Sum256(raw)
	digest := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
	file := filepath.Join(s.dir, digest.Hex)
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return v1.Descriptor{}, fmt.Errorf("spooling the image: %w", err)
	}
	s.blobs[digest.String()] = section{file: file, size: int64(len(raw))}
	return v1.Descriptor{MediaType: mediaType, Size: int64(len(raw)), Digest: digest}, nil
}

// compress writes a layer and checks that it is the one that the image's
// configuration names.
func (s *spooled) compress(ctx context.Context, layer v1.Layer, want v1.Hash) (v1.Descriptor, error) {
	bare, err := layer.Uncompressed()
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer bare.Close()
	f, err := os.CreateTemp(s.dir, "layer-")
	if err != nil {
		return v1.Descriptor{}, err
	}
	packed, diff := sha256.New(), sha256.New()
	zipped := gzip.NewWriter(io.MultiWriter(f, packed))
	_, err = io.Copy(io.MultiWriter(zipped, diff), heedful{ctx, bare})
	if err := errors.Join(err, zipped.Close(), f.Close()); err != nil {
		return v1.Descriptor{}, err
	}
	if got := hex.EncodeToString(diff.Sum(nil)); got != want.Hex {
		return v1.Descriptor{}, fmt.Errorf("it is sha256:%s; the configuration says %s", got, want)
	}
	info, err := os.Stat(f.Name())
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(packed.Sum(nil))}
	s.blobs[digest.String()] = section{file: f.Name(), size: info.Size()}
	return v1.Descriptor{MediaType: types.OCILayer, Size: info.Size(), Digest: digest}, nil
}

// heedful is a reader that ends with its context.
type heedful struct {
	ctx context.Context
	io.Reader
}

func (h heedful) Read(p []byte) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	return h.Reader.Read(p)
}
