package sim

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// Limits of layers that are uploaded by API (UploadLayerPart's model; the
// user guide's service quotas). Sizes are bytes.
const (
	maxLayerPart  = 20_971_520
	minLayerPart  = 5 << 20 // of every part but the last
	maxLayerParts = 4200
)

func (c *Cloud) maxLayerPart() int64 {
	if c.ecr.layerPartLimit > 0 {
		return c.ecr.layerPartLimit
	}
	return maxLayerPart
}

func (c *Cloud) minLayerPart() int64 {
	if c.ecr.layerPartLeast > 0 {
		return c.ecr.layerPartLeast
	}
	return minLayerPart
}

// maxLayerPartBody is a part in base64, within JSON.
func (c *Cloud) maxLayerPartBody() int64 { return c.maxLayerPart()/3*4 + 64<<10 }

// layerURLLife is how long GetDownloadUrlForLayer's answer works: an hour, as
// ECR's redirects to S3 do.
const layerURLLife = time.Hour

// layerUpload is the record of an upload by API: what has been acknowledged.
// It tells such uploads from the registry's, which have none.
type layerUpload struct {
	Size     int64 `json:"size"`
	Parts    int   `json:"parts"`
	Last     int64 `json:"last"`                // bytes of the last part
	TooSmall bool  `json:"too_small,omitempty"` // a part that was not the last
}

func layerUploadKey(r *repository, id string) string { return "ecr/upload/" + r.Store + "/" + id }

// layerInput is what the operations on one upload are told.
type layerInput struct {
	repositoryInput
	UploadID string `json:"uploadId"`
}

func (c *Cloud) initiateLayerUpload(k *call) (any, error) {
	var in repositoryInput
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	r, err := c.targetRepository(k, in)
	if err != nil {
		return nil, err
	}
	id, err := c.startUpload(r)
	if err != nil {
		return nil, err
	}
	if err := c.store.put(layerUploadKey(r, id), layerUpload{}); err != nil {
		return nil, err
	}
	return map[string]any{"uploadId": id, "partSize": c.maxLayerPart()}, nil
}

// targetRepository is target for operations that need the repository itself.
func (c *Cloud) targetRepository(k *call, in repositoryInput) (*repository, error) {
	g, err := c.target(k, in)
	if err != nil {
		return nil, err
	}
	return c.loadRepository(g, in.RepositoryName)
}

// useLayerUpload finds and locks an upload by API, for do.
func (c *Cloud) useLayerUpload(k *call, in layerInput, do func(*repository, *upload, *layerUpload) error) error {
	r, err := c.targetRepository(k, in.repositoryInput)
	if err != nil {
		return err
	}
	unknown := faultf(http.StatusBadRequest, "UploadNotFoundException",
		"The upload with id '%s' in the repository with name '%s' in the registry with id '%s' does not exist", in.UploadID, r.Name, r.registry.account)
	if !uploadPattern.MatchString(in.UploadID) {
		return unknown
	}
	u, err := c.openUpload(r, in.UploadID)
	if errors.Is(err, fs.ErrNotExist) {
		return unknown
	}
	if err != nil {
		return err
	}
	if u.lock() != nil {
		return unknown
	}
	defer u.mu.Unlock()
	var kept layerUpload
	if !c.store.get(layerUploadKey(r, in.UploadID), &kept) {
		return unknown // one of the registry's
	}
	err = do(r, u, &kept)
	if u.done {
		c.forgetUpload(u.path)
		if err := c.store.delete(layerUploadKey(r, in.UploadID)); err != nil {
			c.warn("forgetting the upload %s: %v", in.UploadID, err)
		}
	}
	return err
}

func (c *Cloud) uploadLayerPart(k *call) (any, error) {
	var in struct {
		layerInput
		First *int64 `json:"partFirstByte"`
		Last  *int64 `json:"partLastByte"`
		Blob  []byte `json:"layerPartBlob"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	if in.First == nil || in.Last == nil || *in.First < 0 || *in.Last < 0 {
		return nil, ecrInvalid("Invalid parameter at 'partFirstByte' or 'partLastByte' failed to satisfy constraint: 'Member must have value greater than or equal to 0'")
	}
	if most := c.maxLayerPart(); int64(len(in.Blob)) > most {
		return nil, ecrInvalid("Invalid parameter at 'layerPartBlob' failed to satisfy constraint: 'Member must have length less than or equal to %d'", most)
	}
	err := c.useLayerUpload(k, in.layerInput, func(r *repository, u *upload, kept *layerUpload) error {
		if len(in.Blob) == 0 || *in.First != u.size || *in.Last-*in.First+1 != int64(len(in.Blob)) {
			return invalidLayerPart(r, in.UploadID, u.size)
		}
		if kept.Parts >= maxLayerParts || u.size+int64(len(in.Blob)) > u.limit {
			return faultf(http.StatusBadRequest, "LimitExceededException", "A layer has at most %d parts and %d bytes", maxLayerParts, u.limit)
		}
		return c.keepLayerPart(r, u, kept, in.layerInput, in.Blob)
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"registryId": or(in.RegistryID, k.account), "repositoryName": in.RepositoryName,
		"uploadId": in.UploadID, "lastByteReceived": *in.Last}, nil
}

// keepLayerPart writes a part, then the record that makes it count: what a
// crash leaves behind the recorded size is cut off when the upload goes on.
func (c *Cloud) keepLayerPart(r *repository, u *upload, kept *layerUpload, in layerInput, part []byte) error {
	before := u.size
	if err := u.append(bytes.NewReader(part)); err != nil {
		return err
	}
	after := layerUpload{Size: u.size, Parts: kept.Parts + 1, Last: int64(len(part)),
		TooSmall: kept.TooSmall || kept.Parts > 0 && kept.Last < c.minLayerPart()}
	err := c.store.put(layerUploadKey(r, in.UploadID), after)
	if err != nil && !errors.Is(err, errUnsynced) {
		u.size, u.hash = before, nil
	}
	return err
}

// invalidLayerPart says where an upload goes on: of no part, nowhere.
func invalidLayerPart(r *repository, id string, size int64) *fault {
	f := faultf(http.StatusBadRequest, "InvalidLayerPartException",
		"The layer part is empty, is not as large as its first and last byte say, or does not follow the bytes received, which are %d", size)
	f.Fields = map[string]any{"registryId": r.registry.account, "repositoryName": r.Name, "uploadId": id}
	if size > 0 {
		f.Fields["lastValidByteReceived"] = size - 1
	}
	return f
}

func (c *Cloud) completeLayerUpload(k *call) (any, error) {
	var in struct {
		layerInput
		Digests []string `json:"layerDigests"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	if len(in.Digests) == 0 || len(in.Digests) > 100 {
		return nil, ecrInvalid("Invalid parameter at 'layerDigests' failed to satisfy constraint: 'Member must have length between 1 and 100'")
	}
	digest := in.Digests[0]
	for _, d := range in.Digests {
		if !digestPattern.MatchString(d) {
			return nil, ecrInvalid("Invalid parameter at 'layerDigests' failed to satisfy constraint: 'Member must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'', of sha256")
		}
		if d != digest {
			return nil, invalidLayer("the layer has one sha256 digest, not %d", len(in.Digests))
		}
	}
	err := c.useLayerUpload(k, in.layerInput, func(r *repository, u *upload, kept *layerUpload) error {
		return c.finishLayer(r, u, kept, digest)
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"registryId": or(in.RegistryID, k.account), "repositoryName": in.RepositoryName,
		"uploadId": in.UploadID, "layerDigest": digest}, nil
}

func invalidLayer(format string, args ...any) *fault {
	return faultf(http.StatusBadRequest, "InvalidLayerException", format, args...)
}

// finishLayer makes the upload a layer. Assumption: one that has no parts, or
// too small ones, stays as it is; any other is over, whatever the outcome.
func (c *Cloud) finishLayer(r *repository, u *upload, kept *layerUpload, digest string) error {
	switch {
	case kept.Parts == 0:
		return faultf(http.StatusBadRequest, "EmptyUploadException", "The upload cannot be completed because it does not have any parts")
	case kept.TooSmall:
		return faultf(http.StatusBadRequest, "LayerPartTooSmallException", "Layer parts must be at least %d bytes in size, but for the last", c.minLayerPart())
	}
	if _, err := os.Stat(c.blobPath(r, digest)); err == nil {
		return errors.Join(faultf(http.StatusBadRequest, "LayerAlreadyExistsException",
			"The image layer '%s' already exists in the repository with name '%s' in the registry with id '%s'", digest, r.Name, r.registry.account), u.cancel())
	}
	err := u.finish(c.blobPath(r, digest), digest)
	if f := asFault(err); f != nil && f.Code == "DIGEST_INVALID" {
		return invalidLayer("%s", f.Message)
	}
	return err
}

// getDownloadURL answers an address that serves a layer to whoever has it,
// without a login. Only "image layers that are referenced in an image" have
// one.
func (c *Cloud) getDownloadURL(k *call) (any, error) {
	var in struct {
		repositoryInput
		Digest string `json:"layerDigest"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	r, err := c.targetRepository(k, in.repositoryInput)
	if err != nil {
		return nil, err
	}
	if !digestPattern.MatchString(in.Digest) {
		return nil, ecrInvalid("Invalid parameter at 'layerDigest' failed to satisfy constraint: 'must satisfy regular expression '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'', of sha256")
	}
	if _, err := os.Stat(c.blobPath(r, in.Digest)); err != nil {
		return nil, faultf(http.StatusBadRequest, "LayersNotFoundException",
			"The layer with digest '%s' does not exist in the repository with name '%s' in the registry with id '%s'", in.Digest, r.Name, r.registry.account)
	}
	if !c.inImage(r, in.Digest) {
		return nil, faultf(http.StatusBadRequest, "LayerInaccessibleException", "The layer with digest '%s' is not associated with an image", in.Digest)
	}
	scheme := "http"
	if k.TLS != nil {
		scheme = "https"
	}
	path, expires := layerPath(r.Store, in.Digest), strconv.FormatInt(k.at.Add(layerURLLife).Unix(), 10)
	query := url.Values{"expires": {expires}, "signature": {c.signLayer(path, expires)}}
	return map[string]any{"layerDigest": in.Digest, "downloadUrl": scheme + "://" + k.Host + path + "?" + query.Encode()}, nil
}

// inImage says whether an image of the repository has the blob.
func (c *Cloud) inImage(r *repository, digest string) bool {
	for candidate, info := range r.Images {
		if isIndex(info.MediaType) {
			continue
		}
		if raw, err := c.readManifest(r, candidate); err == nil && strings.Contains(string(raw), digest) {
			return true
		}
	}
	return false
}

const layerPrefix = "/_layers/"

// layerURL is a layer's path: a repository's directory and a sha256.
var layerURL = pattern.New(`^/_layers/([0-9a-f]+)/([0-9a-f]{64})$`)

func layerPath(store, digest string) string {
	return layerPrefix + store + "/" + strings.TrimPrefix(digest, "sha256:")
}

// signLayer signs an address with a key derived from the cloud's own secret,
// so that it survives a restart.
func (c *Cloud) signLayer(path, expires string) string {
	mac := hmac.New(sha256.New, []byte("layers\x00"+c.identity.control))
	mac.Write([]byte(path + "\x00" + expires))
	return hex.EncodeToString(mac.Sum(nil))
}

// serveLayer answers GET and HEAD of an address that getDownloadURL gave.
func (c *Cloud) serveLayer(w http.ResponseWriter, r *http.Request) {
	out := &statusWriter{ResponseWriter: w}
	entry := Call{Time: c.now().UTC(), Principal: "anonymous", Service: "registry", Action: "DownloadLayer",
		Method: r.Method, Path: r.URL.Path, Allowed: true, RequestID: newRequestID()}
	if err := c.answerLayer(out, r); err != nil {
		f := asFault(err)
		if f == nil {
			c.warn("registry: %s %s: %v", r.Method, r.URL.Path, err)
			f = faultf(http.StatusInternalServerError, "InternalError", "the local cloud failed")
		}
		entry.Allowed, entry.Why = f.Status != http.StatusForbidden, f.Error()
		out.Header().Set("Content-Type", "application/xml")
		out.WriteHeader(f.Status)
		_ = xml.NewEncoder(out).Encode(struct { // as S3 words it; the client may have gone
			XMLName       struct{} `xml:"Error"`
			Code, Message string
		}{Code: f.Code, Message: f.Message})
	}
	entry.Status = out.status
	c.journal.add(entry)
}

func (c *Cloud) answerLayer(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return faultf(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	}
	match := layerURL.FindStringSubmatch(r.URL.Path)
	expires, signature := r.URL.Query().Get("expires"), r.URL.Query().Get("signature")
	if match == nil || !hmac.Equal([]byte(signature), []byte(c.signLayer(r.URL.Path, expires))) {
		return faultf(http.StatusForbidden, "SignatureDoesNotMatch", "The signature does not match the address")
	}
	if until, err := strconv.ParseInt(expires, 10, 64); err != nil || c.now().Unix() >= until {
		return faultf(http.StatusForbidden, "AccessDenied", "Request has expired")
	}
	f, err := os.Open(filepath.Join(c.Dir, "registry", match[1], "blobs", match[2]))
	if errors.Is(err, fs.ErrNotExist) {
		return faultf(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
	}
	if err != nil {
		return fmt.Errorf("opening a layer: %w", err)
	}
	defer f.Close()
	w.Header().Set("Content-Type", octets)
	w.Header().Set("Etag", `"`+match[2]+`"`)
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}
