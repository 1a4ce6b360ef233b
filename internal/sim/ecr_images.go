package sim

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/http"
	"os"
	"slices"
	"sort"
	"strings"
	"time"
)

// registryTokenLifetime of an authorization token: 12 hours.
const registryTokenLifetime = 12 * time.Hour

// registryToken is what is kept of an authorization token; its password is
// known by its digest alone. Who asked for it is asked about at each use: it
// outlives its session, but not its role's permissions.
type registryToken struct {
	identified
	Region  string    `json:"region"`
	Expires time.Time `json:"expires"`
}

func registryTokenKey(password string) string { return "ecr/token/" + digestOf([]byte(password)) }

func (c *Cloud) getAuthorizationToken(k *call) (any, error) {
	var in struct {
		RegistryIDs []string `json:"registryIds"` // deprecated: the token is good for every registry
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	for _, id := range in.RegistryIDs {
		if id != k.account {
			return nil, ecrInvalid("the local cloud does not implement registryIds of other accounts; the token is good for all registries")
		}
	}
	if err := c.allowed(k.asker(), "ecr:GetAuthorizationToken", "*", nil); err != nil {
		return nil, err
	}
	c.dropOldTokens(k.at)
	secret := make([]byte, 96)
	rand.Read(secret) // never fails: crypto/rand
	password := base64.RawURLEncoding.EncodeToString(secret)
	token := registryToken{identified: k.principal.identified(), Region: k.region, Expires: k.at.Add(registryTokenLifetime)}
	if err := c.store.put(registryTokenKey(password), token); err != nil {
		return nil, err
	}
	return map[string]any{"authorizationData": []map[string]any{{
		"authorizationToken": base64.StdEncoding.EncodeToString([]byte("AWS:" + password)),
		"expiresAt":          epoch(token.Expires),
		"proxyEndpoint":      proxyEndpoint(k),
	}}}, nil
}

// proxyEndpoint is the cloud's own address as the caller wrote it, since the
// registry's name leads to AWS (design.md §6); a caller that used an AWS name
// gets the registry's.
func proxyEndpoint(k *call) string {
	if strings.Contains(k.Host, ".amazonaws.com") {
		return "https://" + registryID{k.account, k.region}.host()
	}
	return "http://" + k.Host
}

// dropOldTokens forgets tokens a day after they expired; until then their
// bearers are told that they did.
func (c *Cloud) dropOldTokens(now time.Time) {
	for _, key := range c.store.keys("ecr/token/") {
		var t registryToken
		if c.store.get(key, &t) && now.Sub(t.Expires) > 24*time.Hour {
			if err := c.store.delete(key); err != nil {
				c.warn("forgetting an expired registry token: %v", err)
			}
		}
	}
}

type imageID struct {
	Digest string `json:"imageDigest,omitempty"`
	Tag    string `json:"imageTag,omitempty"`
}

// imageFailure is one miss of a batch; misses are no error of the call.
type imageFailure struct {
	ID     imageID `json:"imageId"`
	Code   string  `json:"failureCode"`
	Reason string  `json:"failureReason"`
}

// find resolves an image id to a digest, or says as BatchGetImage does why not.
func (r *repository) find(id imageID) (string, *imageFailure) {
	digest, ok := r.ImageTags[id.Tag]
	switch {
	case id.Tag == "" && id.Digest == "":
		return "", &imageFailure{id, "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"}
	case id.Digest != "" && !digestPattern.MatchString(id.Digest):
		return "", &imageFailure{id, "InvalidImageDigest", "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"}
	case id.Tag == "":
		digest = id.Digest
		_, ok = r.Images[digest]
	case ok && id.Digest != "" && digest != id.Digest:
		return "", &imageFailure{id, "ImageTagDoesNotMatchDigest", "Requested image tag does not match the requested image digest"}
	}
	if !ok {
		return "", &imageFailure{id, "ImageNotFound", "Requested image not found"}
	}
	return digest, nil
}

func checkImageIDs(ids []imageID) error {
	if len(ids) == 0 || len(ids) > 100 {
		return ecrInvalid("Invalid parameter at 'imageIds' failed to satisfy constraint: 'Member must have length between 1 and 100'")
	}
	return nil
}

func (c *Cloud) putImageOperation(k *call) (any, error) {
	var in struct {
		repositoryInput
		Manifest  string `json:"imageManifest"`
		MediaType string `json:"imageManifestMediaType"`
		Tag       string `json:"imageTag"`
		Digest    string `json:"imageDigest"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	g, err := c.target(k, in.repositoryInput)
	if err != nil {
		return nil, err
	}
	put := imagePut{raw: []byte(in.Manifest), mediaType: in.MediaType, tag: in.Tag, digest: in.Digest}
	digest, mediaType, err := c.putImage(g, in.RepositoryName, put, k.at)
	if err != nil {
		return nil, err
	}
	return map[string]any{"image": imageView(g, in.RepositoryName, imageID{digest, in.Tag}, in.Manifest, mediaType)}, nil
}

func imageView(g registryID, name string, id imageID, manifest, mediaType string) map[string]any {
	return map[string]any{"registryId": g.account, "repositoryName": name, "imageId": id,
		"imageManifest": manifest, "imageManifestMediaType": mediaType}
}

func (c *Cloud) batchGetImage(k *call) (any, error) {
	var in struct {
		repositoryInput
		IDs      []imageID `json:"imageIds"`
		Accepted []string  `json:"acceptedMediaTypes"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	r, err := c.targetImages(k, in.repositoryInput, in.IDs)
	if err != nil {
		return nil, err
	}
	images, failures := []map[string]any{}, []*imageFailure{}
	for _, id := range in.IDs {
		digest, failure := r.find(id)
		if failure != nil {
			failures = append(failures, failure)
			continue
		}
		mediaType := r.Images[digest].MediaType
		if !accepts(in.Accepted, mediaType) {
			return nil, ecrInvalid("the image %s is a %s, which is not among acceptedMediaTypes; ECR may convert it, the local cloud does not", digest, mediaType)
		}
		raw, err := c.readManifest(r, digest)
		if err != nil {
			return nil, err
		}
		images = append(images, imageView(r.registry, r.Name, imageID{digest, id.Tag}, string(raw), mediaType))
	}
	return map[string]any{"images": images, "failures": failures}, nil
}

// targetImages is target for the operations that name images.
func (c *Cloud) targetImages(k *call, in repositoryInput, ids []imageID) (*repository, error) {
	g, err := c.target(k, in)
	if err != nil {
		return nil, err
	}
	if err := checkImageIDs(ids); err != nil {
		return nil, err
	}
	return c.loadRepository(g, in.RepositoryName)
}

func accepts(accepted []string, mediaType string) bool {
	for _, a := range accepted {
		if a == mediaType {
			return true
		}
	}
	return len(accepted) == 0
}

func (c *Cloud) batchDeleteImage(k *call) (any, error) {
	var in struct {
		repositoryInput
		IDs []imageID `json:"imageIds"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	c.ecr.mu.Lock()
	defer c.ecr.mu.Unlock()
	r, err := c.targetImages(k, in.repositoryInput, in.IDs)
	if err != nil {
		return nil, err
	}
	deleted, failures := []imageID{}, []*imageFailure{}
	for _, id := range in.IDs {
		digest, failure := r.find(id)
		if failure == nil {
			err := c.removeImage(r, digest, id.Tag)
			if f := asFault(err); f != nil {
				failure = &imageFailure{id, f.Code, f.Message}
			} else if err != nil {
				return nil, err
			}
		}
		if failure != nil {
			failures = append(failures, failure)
			continue
		}
		deleted = append(deleted, imageID{digest, id.Tag})
	}
	return map[string]any{"imageIds": deleted, "failures": failures}, nil
}

type imageFilter struct {
	TagStatus   string `json:"tagStatus"`
	ImageStatus string `json:"imageStatus"`
}

// check refuses filters outside of the enumerations. Archiving is not
// modelled: every image is ACTIVE.
func (f imageFilter) check() error {
	switch f.TagStatus {
	case "", "TAGGED", "UNTAGGED", "ANY":
	default:
		return ecrInvalid("Invalid parameter at 'tagStatus' failed to satisfy constraint: 'Member must satisfy enum value set: [TAGGED, UNTAGGED, ANY]'")
	}
	switch f.ImageStatus {
	case "", "ACTIVE", "ANY", "ARCHIVED", "ACTIVATING":
		return nil
	}
	return ecrInvalid("Invalid parameter at 'imageStatus' failed to satisfy constraint: 'Member must satisfy enum value set: [ACTIVE, ARCHIVED, ACTIVATING, ANY]'")
}

func (f imageFilter) keeps(tagged bool) bool {
	if f.ImageStatus == "ARCHIVED" || f.ImageStatus == "ACTIVATING" {
		return false
	}
	return f.TagStatus == "" || f.TagStatus == "ANY" || tagged == (f.TagStatus == "TAGGED")
}

// imageListInput is what DescribeImages and ListImages have in common.
type imageListInput struct {
	repositoryInput
	NextToken  string      `json:"nextToken"`
	MaxResults *int        `json:"maxResults"`
	Filter     imageFilter `json:"filter"`
	IDs        []imageID   `json:"imageIds"` // DescribeImages alone
}

func (c *Cloud) targetList(k *call, in *imageListInput) (*repository, error) {
	if err := k.decode(in); err != nil {
		return nil, err
	}
	g, err := c.target(k, in.repositoryInput)
	if err != nil {
		return nil, err
	}
	if err := in.Filter.check(); err != nil {
		return nil, err
	}
	return c.loadRepository(g, in.RepositoryName)
}

func (c *Cloud) describeImages(k *call) (any, error) {
	var in imageListInput
	r, err := c.targetList(k, &in)
	if err != nil {
		return nil, err
	}
	if len(in.IDs) > 0 {
		return describeNamedImages(r, in)
	}
	var digests []string
	tags := r.tagsOfEach(maps.Keys(r.Images))
	for digest := range r.Images {
		if in.Filter.keeps(len(tags[digest]) > 0) {
			digests = append(digests, digest)
		}
	}
	sort.Strings(digests)
	page, next, err := pageOf(digests, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return withToken("imageDetails", r.details(page), next), nil
}

// describeNamedImages fails on the first image that is not there, unlike
// BatchGetImage.
func describeNamedImages(r *repository, in imageListInput) (any, error) {
	if err := checkImageIDs(in.IDs); err != nil {
		return nil, err
	}
	if in.NextToken != "" || in.MaxResults != nil {
		return nil, ecrInvalid("Invalid parameter at 'imageIds' failed to satisfy constraint: 'nextToken and maxResults can't be used with imageIds'")
	}
	var digests []string
	seen := map[string]bool{}
	for _, id := range in.IDs {
		digest, failure := r.find(id)
		if failure != nil && failure.Code != "ImageNotFound" {
			return nil, ecrInvalid("%s", failure.Reason)
		}
		if failure != nil {
			return nil, imageNotFound(r, id)
		}
		if !seen[digest] {
			seen[digest] = true
			digests = append(digests, digest)
		}
	}
	return withToken("imageDetails", r.details(digests), ""), nil
}

func imageNotFound(r *repository, id imageID) *fault {
	quote := func(s string) string {
		if s == "" {
			return "null"
		}
		return s
	}
	return faultf(http.StatusBadRequest, "ImageNotFoundException",
		"The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'",
		quote(id.Digest), quote(id.Tag), r.Name, r.registry.account)
}

func (r *repository) details(digests []string) []map[string]any {
	details, tags := []map[string]any{}, r.tagsOfEach(slices.Values(digests))
	for _, digest := range digests {
		info := r.Images[digest]
		detail := map[string]any{
			"registryId": r.registry.account, "repositoryName": r.Name, "imageDigest": digest,
			"imageSizeInBytes": info.Size, "imagePushedAt": epoch(info.Pushed),
			"imageManifestMediaType": info.MediaType, "imageStatus": "ACTIVE",
		}
		if info.ArtifactMediaType != "" {
			detail["artifactMediaType"] = info.ArtifactMediaType
		}
		if info.Subject != "" {
			detail["subjectManifestDigest"] = info.Subject
		}
		if tags := tags[digest]; len(tags) > 0 {
			detail["imageTags"] = tags
		}
		details = append(details, detail)
	}
	return details
}

func (c *Cloud) listImages(k *call) (any, error) {
	var in imageListInput
	r, err := c.targetList(k, &in)
	if err != nil {
		return nil, err
	}
	var keys []string // "<digest> <tag>": one entry for each tag
	all := r.tagsOfEach(maps.Keys(r.Images))
	for digest := range r.Images {
		tags := all[digest]
		if !in.Filter.keeps(len(tags) > 0) {
			continue
		}
		if len(tags) == 0 {
			tags = []string{""}
		}
		for _, tag := range tags {
			keys = append(keys, digest+" "+tag)
		}
	}
	sort.Strings(keys)
	page, next, err := pageOf(keys, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	ids := []imageID{}
	for _, key := range page {
		digest, tag, _ := strings.Cut(key, " ")
		ids = append(ids, imageID{digest, tag})
	}
	return withToken("imageIds", ids, next), nil
}

func (c *Cloud) batchCheckLayerAvailability(k *call) (any, error) {
	var in struct {
		repositoryInput
		Digests []string `json:"layerDigests"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	g, err := c.target(k, in.repositoryInput)
	if err != nil {
		return nil, err
	}
	if len(in.Digests) == 0 || len(in.Digests) > 100 {
		return nil, ecrInvalid("Invalid parameter at 'layerDigests' failed to satisfy constraint: 'Member must have length between 1 and 100'")
	}
	r, err := c.loadRepository(g, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	layers, failures := []map[string]any{}, []map[string]any{}
	for _, digest := range in.Digests {
		if !digestPattern.MatchString(digest) {
			failures = append(failures, map[string]any{"layerDigest": digest, "failureCode": "InvalidLayerDigest",
				"failureReason": "Invalid request parameters: layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"})
			continue
		}
		layer := map[string]any{"layerDigest": digest, "layerAvailability": "UNAVAILABLE"}
		if info, err := os.Stat(c.blobPath(r, digest)); err == nil {
			layer["layerAvailability"], layer["layerSize"] = "AVAILABLE", info.Size()
		}
		layers = append(layers, layer)
	}
	return map[string]any{"layers": layers, "failures": failures}, nil
}
