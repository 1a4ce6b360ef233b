package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of AgentCore Runtime on images (facts: Image rules).
const (
	maxImageBytes = 2 << 30 // compressed; not adjustable
	// maxNamedUserLayers: with more layers, a USER that is not numeric ends in
	// "Failed to mount overlay" when the agent starts.
	maxNamedUserLayers = 53
	maxManifestBytes   = 4 << 20
	// maxDescribedBytes is ECR's bound of a layer (52,000 MiB). A manifest of 4
	// MiB can't name so many that their sum overflows.
	maxDescribedBytes = 52_000 << 20
	maxConfigBytes    = 8 << 20
)

// ImageFacts is what preflight reads from the image itself.
type ImageFacts struct {
	Digest   string // of the manifest that runs
	Platform string // linux/arm64
	Size     int64  // compressed bytes: config and layers
	Layers   int
	User     string
	Revision string   // label org.opencontainers.image.revision
	Ports    []string // exposed
}

type ociDescriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	Platform  *struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	} `json:"platform"`
}

type ociManifest struct {
	Config    ociDescriptor   `json:"config"`
	Layers    []ociDescriptor `json:"layers"`
	Manifests []ociDescriptor `json:"manifests"`
}

type ociConfig struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Config       struct {
		User         string              `json:"User"`
		Labels       map[string]string   `json:"Labels"`
		ExposedPorts map[string]struct{} `json:"ExposedPorts"`
	} `json:"config"`
}

// child is an image inside an index: its own manifest, the index's blobs.
type child struct {
	Image
	raw       []byte
	mediaType string
}

// Manifest returns the child's manifest.
func (c child) Manifest(context.Context) ([]byte, string, error) { return c.raw, c.mediaType, nil }

// runnable resolves an image to the one manifest that runs on platforms:
// itself, or the child of an index. Attestations (unknown/unknown) are not
// images and are passed over (system: E32).
func runnable(ctx context.Context, img Image, platforms []string) (Image, error) {
	raw, _, err := img.Manifest(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the image's manifest: %w", err)
	}
	var m ociManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("reading the image's manifest: %w", err)
	}
	if len(m.Manifests) == 0 {
		return img, nil
	}
	var found []string
	for _, want := range platforms {
		for _, d := range m.Manifests {
			if d.Platform == nil {
				continue
			}
			has := d.Platform.OS + "/" + d.Platform.Architecture
			if has == want {
				return openChild(ctx, img, d)
			}
			if want == platforms[0] && has != "unknown/unknown" {
				found = append(found, has)
			}
		}
	}
	return nil, platformError(strings.Join(found, ", "), platforms)
}

func openChild(ctx context.Context, img Image, d ociDescriptor) (Image, error) {
	raw, err := readBlob(ctx, img, d.Digest, maxManifestBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the index's child: %w", err)
	}
	return child{Image: img, raw: raw, mediaType: d.MediaType}, nil
}

func readBlob(ctx context.Context, img Image, digest string, limit int64) ([]byte, error) {
	r, err := img.Blob(ctx, digest)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", digest, limit)
	}
	return raw, errors.Join(err, r.Close())
}

// inspect reads the facts of an image that is not an index.
func inspect(ctx context.Context, img Image) (ImageFacts, error) {
	raw, _, err := img.Manifest(ctx)
	if err != nil {
		return ImageFacts{}, fmt.Errorf("reading the image's manifest: %w", err)
	}
	var m ociManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return ImageFacts{}, fmt.Errorf("reading the image's manifest: %w", err)
	}
	rawConfig, err := readBlob(ctx, img, m.Config.Digest, maxConfigBytes)
	if err != nil {
		return ImageFacts{}, fmt.Errorf("reading the image's configuration: %w", err)
	}
	var c ociConfig
	if err := json.Unmarshal(rawConfig, &c); err != nil {
		return ImageFacts{}, fmt.Errorf("reading the image's configuration: %w", err)
	}
	f := ImageFacts{Digest: digestOf(raw), Platform: c.OS + "/" + c.Architecture, Size: m.Config.Size,
		Layers: len(m.Layers), User: c.Config.User, Revision: c.Config.Labels["org.opencontainers.image.revision"]}
	for _, d := range append(m.Layers, m.Config) {
		if d.Size < 0 || d.Size > maxDescribedBytes {
			return ImageFacts{}, fmt.Errorf("reading the image's manifest: %s has a size of %d bytes", d.Digest, d.Size)
		}
	}
	for _, l := range m.Layers {
		f.Size += l.Size
	}
	for port := range c.Config.ExposedPorts {
		f.Ports = append(f.Ports, port)
	}
	return f, nil
}

// check refuses an image that AgentCore would refuse, or that could not start
// there, before anything is written.
func (f ImageFacts) check(compute Compute) error {
	fits := false
	for _, p := range compute.Platforms() {
		fits = fits || p == f.Platform
	}
	switch {
	case !fits:
		return platformError(f.Platform, compute.Platforms())
	case f.Size > maxImageBytes:
		return &Error{Kind: KindImage, Op: "checking the image",
			Err:   fmt.Errorf("%s is %d MB; AgentCore takes at most 2048 MB", f.Digest, f.Size>>20),
			Hints: []string{"the limit can't be raised: use a smaller base image or fewer dependencies"}}
	case f.Layers > maxNamedUserLayers && !numericUser(f.User):
		return &Error{Kind: KindImage, Op: "checking the image",
			Err:   fmt.Errorf("%s has %d layers and the user %q: AgentCore fails to mount more than %d layers for a user that is not numeric", f.Digest, f.Layers, f.User, maxNamedUserLayers),
			Hints: []string{"name the user by number (USER 1000), or build fewer layers"}}
	}
	return nil
}

func numericUser(user string) bool {
	if user == "" {
		return true // root
	}
	for _, r := range user {
		if (r < '0' || r > '9') && r != ':' {
			return false
		}
	}
	return true
}

func platformError(found string, want []string) error {
	if found == "" {
		found = "no platform at all"
	}
	return &Error{Kind: KindImage, Op: "checking the image",
		Err: fmt.Errorf("it is built for %s; this runtime runs %s", found, strings.Join(want, " or ")),
		Hints: []string{
			"set build.platform: " + want[0] + " for this agent in slipway.yaml",
			"AgentCore's microVMs run arm64 alone; x86 needs compute: instances with a capacity provider, fixed when the runtime is created"}}
}
