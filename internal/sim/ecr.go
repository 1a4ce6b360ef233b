package sim

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/slipway-cd/slipway/internal/pattern"
)

var (
	// repositoryPattern is CreateRepository's, so names never begin with a dot
	// and have no empty or dotted path element.
	repositoryPattern = pattern.New(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	accountPattern    = pattern.New(`^[0-9]{12}$`)
)

// ecrState guards the read-modify-write of repositories, and holds the uploads
// that are under way.
type ecrState struct {
	mu sync.Mutex
	// layerLimit bounds a layer in bytes. If zero, ECR's 52,000 MiB.
	layerLimit int64
	// layerPartLimit and layerPartLeast bound a part of a layer in bytes, and
	// every one but the last. If zero, ECR's 20,971,520 and 5 MiB.
	layerPartLimit, layerPartLeast int64
	// imageLimit and tagLimit bound the images of a repository and the tags of
	// an image. If zero, ECR's 100,000 and 1,000.
	imageLimit, tagLimit int

	uploadsMu sync.Mutex
	uploads   map[string]*upload
}

// registryID is one registry: an account's in a region.
type registryID struct{ account, region string }

func (g registryID) arn(repository string) string {
	return "arn:aws:ecr:" + g.region + ":" + g.account + ":repository/" + repository
}

func (g registryID) host() string {
	return g.account + ".dkr.ecr." + g.region + ".amazonaws.com"
}

func (g registryID) key(repository string) string {
	return "ecr/repository/" + g.account + "/" + g.region + "/" + repository
}

// repository is a repository with what it holds. One record, so that an image
// and its tag appear together or not at all.
type repository struct {
	registry registryID

	Name       string               `json:"name"`
	Store      string               `json:"store"` // its directory under Dir/registry; random, so a new repository of an old name is empty
	Created    time.Time            `json:"created"`
	Mutability string               `json:"mutability"`
	Filters    []exclusionFilter    `json:"filters,omitempty"`
	ScanOnPush bool                 `json:"scan_on_push,omitempty"`
	Policy     string               `json:"policy,omitempty"` // who else may use it
	Lifecycle  string               `json:"lifecycle,omitempty"`
	Tags       []jsonTag            `json:"tags,omitempty"` // of the resource
	Images     map[string]imageInfo `json:"images"`         // by digest
	ImageTags  map[string]string    `json:"image_tags"`     // tag -> digest
}

// imageInfo is what ECR knows of an image without reading it again.
type imageInfo struct {
	MediaType         string            `json:"media_type"`
	ArtifactMediaType string            `json:"artifact_media_type,omitempty"`
	ManifestSize      int64             `json:"manifest_size"`
	Size              int64             `json:"size"` // compressed; of an index, its largest child's
	Pushed            time.Time         `json:"pushed"`
	Subject           string            `json:"subject,omitempty"`     // digest of the image it refers to
	Annotations       map[string]string `json:"annotations,omitempty"` // of an image with a subject
}

func (c *Cloud) ecrOperations() map[string]func(*call) (any, error) {
	return map[string]func(*call) (any, error){
		"CreateRepository":              c.createRepository,
		"DescribeRepositories":          c.describeRepositories,
		"DeleteRepository":              c.deleteRepository,
		"PutImageTagMutability":         c.putImageTagMutability,
		"PutImageScanningConfiguration": c.putImageScanning,
		"SetRepositoryPolicy":           c.setRepositoryPolicy,
		"GetRepositoryPolicy":           c.getRepositoryPolicy,
		"DeleteRepositoryPolicy":        c.deleteRepositoryPolicy,
		"PutLifecyclePolicy":            c.putLifecyclePolicy,
		"GetLifecyclePolicy":            c.getLifecyclePolicy,
		"DeleteLifecyclePolicy":         c.deleteLifecyclePolicy,
		"TagResource":                   c.tagECR,
		"UntagResource":                 c.untagECR,
		"ListTagsForResource":           c.listTagsECR,
		"GetAuthorizationToken":         c.getAuthorizationToken,
		"PutImage":                      c.putImageOperation,
		"BatchGetImage":                 c.batchGetImage,
		"BatchDeleteImage":              c.batchDeleteImage,
		"DescribeImages":                c.describeImages,
		"ListImages":                    c.listImages,
		"BatchCheckLayerAvailability":   c.batchCheckLayerAvailability,
		"InitiateLayerUpload":           c.initiateLayerUpload,
		"UploadLayerPart":               c.uploadLayerPart,
		"CompleteLayerUpload":           c.completeLayerUpload,
		"GetDownloadUrlForLayer":        c.getDownloadURL,
		"GetAccountSetting":             c.getAccountSetting,
		"PutAccountSetting":             c.putAccountSetting,
	}
}

// repositoryInput is what every operation on one repository is told.
type repositoryInput struct {
	RegistryID     string `json:"registryId"`
	RepositoryName string `json:"repositoryName"`
}

func ecrInvalid(format string, args ...any) *fault {
	return faultf(http.StatusBadRequest, "InvalidParameterException", format, args...)
}

func checkRepositoryName(name string) error {
	if len(name) < 2 || len(name) > 256 || !repositoryPattern.MatchString(name) {
		return ecrInvalid("Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*''")
	}
	return nil
}

func repositoryNotFound(g registryID, name string) *fault {
	return faultf(http.StatusBadRequest, "RepositoryNotFoundException",
		"The repository with name '%s' does not exist in the registry with id '%s'", name, g.account)
}

// registryOf resolves an operation's registryId, the caller's own if empty.
func (k *call) registryOf(id string) (registryID, error) {
	if id == "" {
		id = k.account
	}
	if !accountPattern.MatchString(id) {
		return registryID{}, ecrInvalid("Invalid parameter at 'registryId' failed to satisfy constraint: 'must satisfy regular expression '[0-9]{12}''")
	}
	return registryID{account: id, region: k.region}, nil
}

// target is what begins every operation on one repository: names are checked,
// the resource noted, the permission asked.
func (c *Cloud) target(k *call, in repositoryInput) (registryID, error) {
	return c.targetTagged(k, in, nil)
}

// targetTagged is target for an operation that brings tags.
func (c *Cloud) targetTagged(k *call, in repositoryInput, tags keys) (registryID, error) {
	g, err := k.registryOf(in.RegistryID)
	if err != nil {
		return g, err
	}
	if err := checkRepositoryName(in.RepositoryName); err != nil {
		return g, err
	}
	k.resource = g.arn(in.RepositoryName)
	return g, c.mayUseRepository(k.asker(), g, k.op.name, in.RepositoryName, tags)
}

// targetNew asks besides whether the caller may tag what it makes (ECR user
// guide, "Tag a private repository").
func (c *Cloud) targetNew(k *call, in createRepositoryInput) (registryID, error) {
	tags := tagKeys(tagsOf(in.Tags))
	g, err := c.targetTagged(k, in.repositoryInput, tags)
	if err != nil || len(in.Tags) == 0 {
		return g, err
	}
	return g, c.mayUseRepository(k.asker(), g, "TagResource", in.RepositoryName, tags)
}

// loadRepository returns a repository of the caller's own, but for its images
// and tags, which all readers share: who changes those clones them first.
func (c *Cloud) loadRepository(g registryID, name string) (*repository, error) {
	known, ok := shared[repository](c.store, g.key(name))
	if !ok {
		return nil, repositoryNotFound(g, name)
	}
	r := *known
	r.registry = g
	if r.Images == nil {
		r.Images = map[string]imageInfo{}
	}
	if r.ImageTags == nil {
		r.ImageTags = map[string]string{}
	}
	return &r, nil
}

func (c *Cloud) saveRepository(r *repository) error {
	return c.store.put(r.registry.key(r.Name), r)
}

// view is the repository as the API answers it.
func (r *repository) view() map[string]any {
	view := map[string]any{
		"repositoryArn":              r.registry.arn(r.Name),
		"registryId":                 r.registry.account,
		"repositoryName":             r.Name,
		"repositoryUri":              r.registry.host() + "/" + r.Name,
		"createdAt":                  epoch(r.Created),
		"imageTagMutability":         r.Mutability,
		"imageScanningConfiguration": map[string]any{"scanOnPush": r.ScanOnPush},
		"encryptionConfiguration":    map[string]any{"encryptionType": "AES256"},
	}
	if len(r.Filters) > 0 {
		view["imageTagMutabilityExclusionFilters"] = r.Filters
	}
	return view
}

type createRepositoryInput struct {
	repositoryInput
	Tags       []jsonTag         `json:"tags"`
	Mutability string            `json:"imageTagMutability"`
	Filters    []exclusionFilter `json:"imageTagMutabilityExclusionFilters"`
	Scanning   struct {
		ScanOnPush bool `json:"scanOnPush"`
	} `json:"imageScanningConfiguration"`
	Encryption struct {
		EncryptionType string `json:"encryptionType"`
	} `json:"encryptionConfiguration"`
}

func (c *Cloud) createRepository(k *call) (any, error) {
	var in createRepositoryInput
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	g, err := c.targetNew(k, in)
	if err != nil {
		return nil, err
	}
	if in.Mutability == "" {
		in.Mutability = "MUTABLE"
	}
	if err := checkMutability(in.Mutability, in.Filters); err != nil {
		return nil, err
	}
	if err := checkRepositoryTags(in.Tags); err != nil {
		return nil, err
	}
	if e := in.Encryption.EncryptionType; e != "" && e != "AES256" {
		return nil, ecrInvalid("the local cloud has no KMS: encryptionType %q is not implemented", e)
	}
	c.ecr.mu.Lock()
	defer c.ecr.mu.Unlock()
	if _, err := c.loadRepository(g, in.RepositoryName); err == nil {
		return nil, faultf(http.StatusBadRequest, "RepositoryAlreadyExistsException",
			"The repository with name '%s' already exists in the registry with id '%s'", in.RepositoryName, g.account)
	}
	r := &repository{registry: g, Name: in.RepositoryName, Store: newID(16), Created: k.at,
		Mutability: in.Mutability, Filters: in.Filters, ScanOnPush: in.Scanning.ScanOnPush, Tags: in.Tags}
	if err := c.makeRepositoryStore(r); err != nil {
		return nil, err
	}
	if err := c.saveRepository(r); err != nil {
		return nil, err
	}
	return map[string]any{"repository": r.view()}, nil
}

func (c *Cloud) describeRepositories(k *call) (any, error) {
	var in struct {
		RegistryID string   `json:"registryId"`
		Names      []string `json:"repositoryNames"`
		NextToken  string   `json:"nextToken"`
		MaxResults *int     `json:"maxResults"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	g, err := k.registryOf(in.RegistryID)
	if err != nil {
		return nil, err
	}
	if len(in.Names) > 0 {
		return c.describeNamed(k, g, in.Names)
	}
	k.resource = g.arn("*")
	if err := c.mayUseRepository(k.asker(), g, k.op.name, "*", nil); err != nil {
		return nil, err
	}
	var names []string
	for _, key := range c.store.keys(g.key("")) {
		names = append(names, strings.TrimPrefix(key, g.key("")))
	}
	page, next, err := pageOf(names, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return withToken("repositories", c.viewRepositories(g, page), next), nil
}

func (c *Cloud) describeNamed(k *call, g registryID, names []string) (any, error) {
	if len(names) > 100 {
		return nil, ecrInvalid("Invalid parameter at 'repositoryNames' failed to satisfy constraint: 'Member must have length less than or equal to 100'")
	}
	for _, name := range names {
		if _, err := c.target(k, repositoryInput{RegistryID: g.account, RepositoryName: name}); err != nil {
			return nil, err
		}
		if _, err := c.loadRepository(g, name); err != nil {
			return nil, err
		}
	}
	return withToken("repositories", c.viewRepositories(g, names), ""), nil
}

// viewRepositories leaves out one that was deleted meanwhile.
func (c *Cloud) viewRepositories(g registryID, names []string) []map[string]any {
	views := []map[string]any{}
	for _, name := range names {
		if r, err := c.loadRepository(g, name); err == nil {
			views = append(views, r.view())
		}
	}
	return views
}

func withToken(member string, list any, next string) map[string]any {
	answer := map[string]any{member: list}
	if next != "" {
		answer["nextToken"] = next
	}
	return answer
}

// pageOf cuts a page out of sorted, unique keys. The token is the last key of
// the page before, so that what comes and goes meanwhile shifts nothing.
func pageOf(keys []string, token string, maxResults *int) (page []string, next string, err error) {
	size := 100
	if maxResults != nil {
		size = *maxResults
	}
	if size < 1 || size > 1000 {
		return nil, "", ecrInvalid("Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value between 1 and 1000'")
	}
	after, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, "", ecrInvalid("Invalid parameter at 'nextToken' failed to satisfy constraint: 'must be a token from a previous answer'")
	}
	keys = keys[sort.Search(len(keys), func(i int) bool { return keys[i] > string(after) }):]
	if len(keys) > size {
		keys = keys[:size]
		next = base64.RawURLEncoding.EncodeToString([]byte(keys[size-1]))
	}
	return keys, next, nil
}

func (c *Cloud) deleteRepository(k *call) (any, error) {
	var in struct {
		repositoryInput
		Force bool `json:"force"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	g, err := c.target(k, in.repositoryInput)
	if err != nil {
		return nil, err
	}
	c.ecr.mu.Lock()
	defer c.ecr.mu.Unlock()
	r, err := c.loadRepository(g, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if len(r.Images) > 0 && !in.Force {
		return nil, faultf(http.StatusBadRequest, "RepositoryNotEmptyException",
			"The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", r.Name, g.account)
	}
	if err := c.store.delete(g.key(r.Name)); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(c.repositoryDir(r)); err != nil {
		c.warn("removing the files of repository %s: %v", r.Name, err) // it is gone all the same
	}
	return map[string]any{"repository": r.view()}, nil
}

func (c *Cloud) putImageScanning(k *call) (any, error) {
	var in struct {
		repositoryInput
		Scanning *struct {
			ScanOnPush bool `json:"scanOnPush"`
		} `json:"imageScanningConfiguration"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	if in.Scanning == nil {
		return nil, ecrInvalid("Invalid parameter at 'imageScanningConfiguration' failed to satisfy constraint: 'Member must not be null'")
	}
	r, err := c.changeRepository(k, in.repositoryInput, func(r *repository) error {
		r.ScanOnPush = in.Scanning.ScanOnPush
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r.about(map[string]any{"imageScanningConfiguration": map[string]any{"scanOnPush": r.ScanOnPush}}), nil
}

// repositoryDir is where a repository keeps its blobs, manifests and uploads.
func (c *Cloud) repositoryDir(r *repository) string {
	return filepath.Join(c.Dir, "registry", r.Store)
}

func (c *Cloud) makeRepositoryStore(r *repository) error {
	for _, sub := range []string{"blobs", "manifests", "uploads"} {
		if err := c.disk.mkdir(filepath.Join(c.repositoryDir(r), sub)); err != nil {
			return err
		}
	}
	for _, dir := range []string{c.repositoryDir(r), filepath.Join(c.Dir, "registry"), c.Dir} {
		if err := c.disk.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// resetRegistry forgets every blob, manifest and upload; the records go with
// the store's. The caller holds c.ecr.mu.
func (c *Cloud) resetRegistry() error {
	c.ecr.uploadsMu.Lock()
	c.ecr.uploads = nil
	c.ecr.uploadsMu.Unlock()
	return os.RemoveAll(filepath.Join(c.Dir, "registry"))
}
