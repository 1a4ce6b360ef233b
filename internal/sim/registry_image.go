package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// maxManifest is PutImage's limit of a manifest, in bytes.
const maxManifest = 4_194_304

// Media types that ECR takes as images.
const (
	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	typeOCIIndex       = "application/vnd.oci.image.index.v1+json"
)

var (
	tagPattern    = pattern.New(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,299}$`)
	digestPattern = pattern.New(`^sha256:[0-9a-f]{64}$`)
)

func isIndex(mediaType string) bool { return mediaType == typeDockerList || mediaType == typeOCIIndex }

// digestOf is the digest of b, which is its identity everywhere.
func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// manifest is the part of a manifest or an index that a registry reads.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Manifests     []descriptor      `json:"manifests"`
	Subject       *descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"`
	URLs      []string `json:"urls"`
	Platform  struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	} `json:"platform"`
}

// blobs are the blobs that have to be in the repository. Layers that are to be
// fetched from elsewhere (foreign, non-distributable) don't.
func (m *manifest) blobs() []string {
	digests := []string{m.Config.Digest}
	for _, l := range m.Layers {
		if len(l.URLs) == 0 {
			digests = append(digests, l.Digest)
		}
	}
	return digests
}

// size is the compressed size: config and layers.
func (m *manifest) size() int64 {
	total := m.Config.Size
	for _, l := range m.Layers {
		total += l.Size
	}
	return total
}

func manifestInvalid(constraint string, args ...any) *fault {
	return ecrInvalid("Invalid parameter at 'ImageManifest' failed to satisfy constraint: '%s'", fmt.Sprintf(constraint, args...))
}

// parseManifest reads a manifest of the media type that the client names, or
// of the one that it names itself.
func parseManifest(raw []byte, mediaType string) (*manifest, string, error) {
	if len(raw) == 0 || len(raw) > maxManifest {
		return nil, "", manifestInvalid("Member must have length between 1 and %d", maxManifest)
	}
	var m manifest
	if err := exact(raw, &m); err != nil {
		return nil, "", manifestInvalid("Invalid JSON syntax")
	}
	switch {
	case mediaType == "":
		mediaType = m.MediaType
	case m.MediaType != "" && m.MediaType != mediaType:
		return nil, "", manifestInvalid("its media type '%s' is not the '%s' that was sent with it", m.MediaType, mediaType)
	}
	if mediaType == "" {
		return nil, "", ecrInvalid("Invalid parameter at 'imageManifestMediaType' failed to satisfy constraint: 'must be specified, the manifest does not contain it'")
	}
	return &m, mediaType, m.check(mediaType)
}

func (m *manifest) check(mediaType string) error {
	if m.SchemaVersion != 2 {
		return manifestInvalid("schemaVersion must be 2")
	}
	if m.Subject != nil {
		if err := checkDescriptors([]descriptor{*m.Subject}); err != nil {
			return err
		}
	}
	switch mediaType {
	case typeDockerManifest, typeOCIManifest:
		if len(m.Layers) == 0 { // werf/werf#2558
			return manifestInvalid("Image has to have at least 1 layer")
		}
		if len(m.Manifests) > 0 {
			return manifestInvalid("an image manifest lists no manifests")
		}
		return checkDescriptors(append([]descriptor{m.Config}, m.Layers...))
	case typeDockerList, typeOCIIndex:
		if len(m.Layers) > 0 {
			return manifestInvalid("an index lists no layers")
		}
		return checkDescriptors(m.Manifests)
	}
	return manifestInvalid("the media type '%s' is not supported", mediaType)
}

func checkDescriptors(list []descriptor) error {
	for _, d := range list {
		if !digestPattern.MatchString(d.Digest) || d.Size < 0 {
			return manifestInvalid("each descriptor needs a digest 'sha256:' with 64 hexadecimal digits, and a size")
		}
	}
	return nil
}

// imagePut is an image on its way into a repository.
type imagePut struct {
	raw       []byte
	mediaType string // if empty, what the manifest says
	tag       string // if empty, the image is stored by digest alone
	digest    string // if empty, not compared
}

// putImage is the one way into a repository, for PutImage and for docker push:
// what is referenced has to be there, digests agree, immutable tags stay.
// Nothing is stored unless all of it holds.
func (c *Cloud) putImage(g registryID, name string, in imagePut, at time.Time) (digest, mediaType string, err error) {
	m, mediaType, err := parseManifest(in.raw, in.mediaType)
	if err != nil {
		return "", "", err
	}
	if in.tag != "" && !tagPattern.MatchString(in.tag) {
		return "", "", ecrInvalid("Invalid parameter at 'imageTag' failed to satisfy constraint: 'must satisfy regular expression '[a-zA-Z0-9-_.]+''")
	}
	digest = digestOf(in.raw)
	if in.digest != "" && in.digest != digest {
		return "", "", faultf(http.StatusBadRequest, "ImageDigestDoesNotMatchException",
			"The provided digest '%s' does not match the digest '%s' that was calculated from the image manifest", in.digest, digest)
	}
	c.ecr.mu.Lock()
	defer c.ecr.mu.Unlock()
	r, err := c.loadRepository(g, name)
	if err != nil {
		return "", "", err
	}
	if err := c.checkPut(r, m, mediaType, digest, in.tag); err != nil {
		return digest, mediaType, err
	}
	return digest, mediaType, c.keepImage(r, m, in, digest, mediaType, at)
}

func (c *Cloud) checkPut(r *repository, m *manifest, mediaType, digest, tag string) error {
	if err := c.checkReferences(r, m, mediaType); err != nil {
		return err
	}
	if err := r.checkTag(digest, tag); err != nil {
		return err
	}
	return c.checkQuotas(r, digest, tag)
}

// Quotas of ECR (the user guide's service quotas).
const (
	maxImages    = 100_000 // of a repository
	maxImageTags = 1_000   // of an image
)

// checkQuotas words what users saw: semaphoreci/docs#404 and
// namespacelabs/foundation#649.
func (c *Cloud) checkQuotas(r *repository, digest, tag string) error {
	images, tags := maxImages, maxImageTags
	if c.ecr.imageLimit > 0 {
		images = c.ecr.imageLimit
	}
	if c.ecr.tagLimit > 0 {
		tags = c.ecr.tagLimit
	}
	if _, known := r.Images[digest]; !known && len(r.Images) >= images {
		return faultf(http.StatusBadRequest, "LimitExceededException",
			"The repository with name '%s' in registry with id '%s' already has the maximum allowed number of images which is '%d'", r.Name, r.registry.account, images)
	}
	if tag != "" && r.ImageTags[tag] != digest && len(r.tagsOf(digest)) >= tags {
		return faultf(http.StatusBadRequest, "LimitExceededException",
			"Adding tag '%s' to an image in the repository with name '%s' in registry with id '%s' exceeds the maximum allowed number of tags per image which is '%d'", tag, r.Name, r.registry.account, tags)
	}
	return nil
}

// checkTag compares with what the tag names now. The same tag on the same
// digest is ImageAlreadyExistsException, whatever the mutability: "there were
// no changes to the manifest or image tag after the last push".
func (r *repository) checkTag(digest, tag string) error {
	_, known := r.Images[digest]
	current, taken := r.ImageTags[tag]
	switch {
	case known && (tag == "" || current == digest):
		shown := tag
		if tag == "" {
			shown = "null"
		}
		return faultf(http.StatusBadRequest, "ImageAlreadyExistsException",
			"Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'", digest, shown, r.Name, r.registry.account)
	case tag != "" && taken && r.immutable(tag):
		return tagImmutable(r, tag)
	}
	return nil
}

func tagImmutable(r *repository, tag string) *fault {
	return faultf(http.StatusBadRequest, "ImageTagAlreadyExistsException",
		"The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the tag is immutable.", tag, r.Name)
}

// checkReferences looks for every blob, or every child of an index, in the
// same repository.
func (c *Cloud) checkReferences(r *repository, m *manifest, mediaType string) error {
	var missing []string
	if isIndex(mediaType) {
		for _, child := range m.Manifests {
			if _, ok := r.Images[child.Digest]; !ok {
				missing = append(missing, child.Digest)
			}
		}
		if len(missing) > 0 {
			return faultf(http.StatusBadRequest, "ReferencedImagesNotFoundException",
				"Images with digests '[%s]' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist", strings.Join(missing, ", "), r.Name, r.registry.account)
		}
		return nil
	}
	for _, digest := range m.blobs() {
		if _, err := os.Stat(c.blobPath(r, digest)); err != nil {
			missing = append(missing, digest)
		}
	}
	if len(missing) > 0 {
		return faultf(http.StatusBadRequest, "LayersNotFoundException",
			"Layers with digests '[%s]' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist", strings.Join(missing, ", "), r.Name, r.registry.account)
	}
	return nil
}

// keepImage writes the manifest, then the record that makes it known.
func (c *Cloud) keepImage(r *repository, m *manifest, in imagePut, digest, mediaType string, at time.Time) error {
	r.Images, r.ImageTags = maps.Clone(r.Images), maps.Clone(r.ImageTags)
	if _, known := r.Images[digest]; !known {
		if err := c.disk.writeFile(c.manifestPath(r, digest), in.raw); err != nil {
			return fmt.Errorf("storing the manifest %s: %w", digest, err)
		}
		info := imageInfo{MediaType: mediaType, ArtifactMediaType: firstNonEmpty(m.ArtifactType, m.Config.MediaType),
			ManifestSize: int64(len(in.raw)), Size: m.size(), Pushed: at}
		if m.Subject != nil {
			info.Subject, info.Annotations = m.Subject.Digest, m.Annotations
		}
		for _, child := range m.Manifests { // DescribeImages: "the max size of all manifests in the list"
			info.Size = max(info.Size, r.Images[child.Digest].Size)
		}
		r.Images[digest] = info
	}
	if in.tag != "" {
		r.ImageTags[in.tag] = digest
	}
	return c.saveRepository(r)
}

// manifestPath is the file of a manifest; digest has been checked.
func (c *Cloud) manifestPath(r *repository, digest string) string {
	return filepath.Join(c.repositoryDir(r), "manifests", strings.TrimPrefix(digest, "sha256:"))
}

// resolve finds the digest that a tag or digest names in the repository.
func (r *repository) resolve(reference string) (string, bool) {
	if !strings.Contains(reference, ":") {
		digest, ok := r.ImageTags[reference]
		return digest, ok
	}
	_, ok := r.Images[reference]
	return reference, ok
}

// readManifest returns the bytes of an image that the repository has.
func (c *Cloud) readManifest(r *repository, digest string) ([]byte, error) {
	raw, err := os.ReadFile(c.manifestPath(r, digest))
	if errors.Is(err, fs.ErrNotExist) { // deleted since r was read
		return nil, imageNotFound(r, imageID{Digest: digest})
	}
	if err != nil {
		return nil, fmt.Errorf("reading the manifest %s of %s: %w", digest, r.Name, err)
	}
	return raw, nil
}

// removeImage takes a tag away, or with a digest the image and all its tags.
// An image goes with its last tag, as with BatchDeleteImage. Blobs stay: ECR
// collects them unseen, the local cloud with the repository.
func (c *Cloud) removeImage(r *repository, digest, tag string) error {
	changed := *r // a refusal leaves r as it was
	changed.Images, changed.ImageTags = maps.Clone(r.Images), maps.Clone(r.ImageTags)
	delete(changed.ImageTags, tag)
	gone := tag == "" || len(changed.tagsOf(digest)) == 0
	if gone {
		if index := c.referencedBy(r, digest); index != "" {
			return faultf(http.StatusBadRequest, "ImageReferencedByManifestList",
				"Requested image referenced by manifest list: [%s]", index)
		}
		for _, t := range changed.tagsOf(digest) {
			delete(changed.ImageTags, t)
		}
		delete(changed.Images, digest)
	}
	if err := c.saveRepository(&changed); err != nil {
		return err
	}
	*r = changed
	if gone {
		if err := c.disk.remove(c.manifestPath(r, digest)); err != nil {
			c.warn("removing the manifest %s of %s: %v", digest, r.Name, err)
		}
	}
	return nil
}

// referencedBy finds an index that lists the image.
func (c *Cloud) referencedBy(r *repository, digest string) string {
	for candidate, info := range r.Images {
		if !isIndex(info.MediaType) {
			continue
		}
		raw, err := c.readManifest(r, candidate)
		if err == nil && strings.Contains(string(raw), digest) {
			return candidate
		}
	}
	return ""
}

// tagsOfEach lists the tags of many images, sorted, in one pass.
func (r *repository) tagsOfEach(digests iter.Seq[string]) map[string][]string {
	all := map[string][]string{}
	for digest := range digests {
		all[digest] = nil
	}
	for tag, digest := range r.ImageTags {
		if tags, wanted := all[digest]; wanted {
			all[digest] = append(tags, tag)
		}
	}
	for _, tags := range all {
		sort.Strings(tags)
	}
	return all
}

// tagsOf lists the tags of an image, sorted.
func (r *repository) tagsOf(digest string) []string {
	var tags []string
	for tag, d := range r.ImageTags {
		if d == digest {
			tags = append(tags, tag)
		}
	}
	sort.Strings(tags)
	return tags
}
