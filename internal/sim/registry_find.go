package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// maxImageConfig bounds an image's configuration, which is read into memory.
const maxImageConfig = 8 << 20

// imageURIPattern takes a registry, a repository, and a tag, a digest or both.
var imageURIPattern = pattern.New(`^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)(?::([^:@]+))?(?:@(.+))?$`)

// image is what AgentCore needs of an image in the registry.
type image struct {
	digest   string // of the manifest that runs (index resolved)
	manifest []byte
	config   []byte
	os, arch string
	size     int64 // compressed: config and layers
	layers   []imageLayer
}

type imageLayer struct {
	digest, mediaType string
	size              int64
	path              string // of the blob's file
}

// findImage resolves <account>.dkr.ecr.<region>.amazonaws.com/<repository>[:tag][@digest]; an index resolves
// to the child for one of arches (in that order of preference). It returns a *fault as AgentCore words it:
// ValidationException for an image that is not there or has no child for arches.
func (c *Cloud) findImage(uri string, arches []string) (*image, error) {
	match := imageURIPattern.FindStringSubmatch(uri)
	if match == nil || checkRepositoryName(match[3]) != nil {
		return nil, ssmInvalid("The container URI '%s' is not an image in Amazon ECR", uri)
	}
	missing := ssmInvalid("The specified image identifier does not exist: '%s'. Check the image identifier and try again.", uri)
	r, err := c.loadRepository(registryID{account: match[1], region: match[2]}, match[3])
	if err != nil {
		return nil, missing
	}
	id := imageID{Tag: match[4], Digest: match[5]}
	if id == (imageID{}) {
		id.Tag = "latest"
	}
	digest, failure := r.find(id)
	if failure != nil {
		return nil, missing
	}
	incompatible := ssmInvalid("Architecture incompatible for uri '%s'. Supported architectures: [%s]", uri, strings.Join(arches, ", "))
	if isIndex(r.Images[digest].MediaType) {
		if digest, err = c.pickChild(r, digest, arches); err != nil {
			return nil, err
		}
		if digest == "" {
			return nil, incompatible
		}
	}
	img, err := c.openImage(r, digest)
	if err != nil {
		return nil, err
	}
	if img.os != "linux" || !slices.Contains(arches, img.arch) {
		return nil, incompatible
	}
	return img, nil
}

// pickChild finds the child of an index for the first of arches that it has;
// attestations (unknown/unknown) are for none.
func (c *Cloud) pickChild(r *repository, digest string, arches []string) (string, error) {
	raw, err := c.readManifest(r, digest)
	if err != nil {
		return "", err
	}
	var index manifest
	if err := exact(raw, &index); err != nil {
		return "", fmt.Errorf("reading the index %s: %w", digest, err)
	}
	for _, arch := range arches {
		for _, child := range index.Manifests {
			if child.Platform.OS == "linux" && child.Platform.Architecture == arch && !isIndex(r.Images[child.Digest].MediaType) {
				return child.Digest, nil
			}
		}
	}
	return "", nil
}

func (c *Cloud) openImage(r *repository, digest string) (*image, error) {
	raw, err := c.readManifest(r, digest)
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := exact(raw, &m); err != nil {
		return nil, fmt.Errorf("reading the manifest %s: %w", digest, err)
	}
	img := &image{digest: digest, manifest: raw, size: m.size()}
	if img.config, err = readConfig(c.blobPath(r, m.Config.Digest)); err != nil {
		return nil, err
	}
	var platform struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	}
	if err := json.Unmarshal(img.config, &platform); err != nil {
		return nil, faultf(http.StatusBadRequest, "ValidationException", "the configuration of image %s is not JSON", digest)
	}
	img.os, img.arch = platform.OS, platform.Architecture
	for _, l := range m.Layers {
		img.layers = append(img.layers, imageLayer{digest: l.Digest, mediaType: l.MediaType, size: l.Size, path: c.blobPath(r, l.Digest)})
	}
	return img, nil
}

func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading an image's configuration: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxImageConfig+1))
	if err != nil {
		return nil, fmt.Errorf("reading an image's configuration: %w", err)
	}
	if len(raw) > maxImageConfig {
		return nil, faultf(http.StatusBadRequest, "ValidationException", "the image's configuration is larger than %d bytes", maxImageConfig)
	}
	return raw, nil
}
