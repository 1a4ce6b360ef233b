package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"sort"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// file is a file of the layer.
type file struct {
	name    string // app/agent
	mode    int64
	content []byte
}

// user runs the agent: a number, which needs no /etc/passwd and which
// AgentCore can map however many layers there are (facts: Image rules).
const user = "65532:65532"

// assemble makes the image of files: one layer, a configuration, a manifest.
// The first file is the program. Nothing in it depends on when or where it is
// built: all times are the commit's.
func assemble(files []file, p platform, source delivery.Source) (delivery.Image, error) {
	layer, diffID, err := pack(files, source.Time)
	if err != nil {
		return nil, err
	}
	out := &image{blobs: map[string][]byte{}}
	config, err := json.Marshal(configuration("/"+files[0].name, diffID, p, source))
	if err != nil {
		return nil, fmt.Errorf("encoding the image's configuration: %w", err)
	}
	out.manifest, err = json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: out.add(types.OCIConfigJSON, config), Layers: []v1.Descriptor{out.add(types.OCILayer, layer)}})
	if err != nil {
		return nil, fmt.Errorf("encoding the image's manifest: %w", err)
	}
	return out, nil
}

func configuration(program string, diffID v1.Hash, p platform, source delivery.Source) v1.ConfigFile {
	created := v1.Time{Time: source.Time.UTC()}
	return v1.ConfigFile{
		OS: p.os, Architecture: p.arch, Created: created,
		Config: v1.Config{
			User: user, WorkingDir: "/app", Entrypoint: []string{program},
			Env:          []string{"PATH=/app", "HOME=/tmp"},
			ExposedPorts: map[string]struct{}{"8080/tcp": {}},
			Labels:       labels(source),
		},
		RootFS:  v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{diffID}},
		History: []v1.History{{Created: created, CreatedBy: "slipway build, engine go"}},
	}
}

// labels says which commit the image is of. An image of changed files is not
// an image of the commit.
func labels(source delivery.Source) map[string]string {
	revision := source.Revision
	if revision == "" {
		return nil
	}
	if source.Dirty {
		revision += "-dirty"
	}
	return map[string]string{
		"org.opencontainers.image.revision": revision,
		"org.opencontainers.image.created":  source.Time.UTC().Format(time.RFC3339),
	}
}

// pack makes a gzipped tar of files, with the directories they are in and an
// empty /tmp, in one order and with one time. It returns the digest of the
// bare tar beside it.
func pack(files []file, at time.Time) ([]byte, v1.Hash, error) {
	var packed bytes.Buffer
	bare := sha256.New()
	zipped := gzip.NewWriter(&packed) // its header has no time and no name
	w := tar.NewWriter(io.MultiWriter(zipped, bare))
	for _, dir := range directories(files) {
		mode := int64(0o755)
		if dir == "tmp/" {
			mode = 0o1777
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: mode, ModTime: at.UTC(), Format: tar.FormatPAX}); err != nil {
			return nil, v1.Hash{}, fmt.Errorf("packing %s: %w", dir, err)
		}
	}
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: at.UTC(), Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return nil, v1.Hash{}, fmt.Errorf("packing %s: %w", f.name, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, v1.Hash{}, fmt.Errorf("packing %s: %w", f.name, err)
		}
	}
	for _, c := range []io.Closer{w, zipped} {
		if err := c.Close(); err != nil {
			return nil, v1.Hash{}, fmt.Errorf("packing the layer: %w", err)
		}
	}
	return packed.Bytes(), v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(bare.Sum(nil))}, nil
}

// directories lists the directories of files and tmp, parents first.
func directories(files []file) []string {
	all := map[string]bool{"tmp/": true}
	for _, f := range files {
		for dir := path.Dir(f.name); dir != "."; dir = path.Dir(dir) {
			all[dir+"/"] = true
		}
	}
	var list []string
	for dir := range all {
		list = append(list, dir)
	}
	sort.Strings(list)
	return list
}

// image is an image in memory.
type image struct {
	manifest []byte
	blobs    map[string][]byte // by digest
}

var _ delivery.Image = (*image)(nil)

func (i *image) add(mediaType types.MediaType, b []byte) v1.Descriptor {
	sum := sha256.Sum256(b)
	digest := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
	i.blobs[digest.String()] = b
	return v1.Descriptor{MediaType: mediaType, Size: int64(len(b)), Digest: digest}
}

// Manifest returns the image's manifest: it is no index.
func (i *image) Manifest(context.Context) ([]byte, string, error) {
	return i.manifest, string(types.OCIManifestSchema1), nil
}

// Blob opens the configuration or the layer, or returns delivery.ErrNotFound.
func (i *image) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	b, ok := i.blobs[digest]
	if !ok {
		return nil, fmt.Errorf("blob %s of the built image: %w", digest, delivery.ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}
