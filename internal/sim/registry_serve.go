package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strconv"
)

// octets is the type of everything that is a blob.
const octets = "application/octet-stream"

func (c *Cloud) repositoryOf(x *exchange) (*repository, error) {
	return c.loadRepository(x.registry, x.route.repository)
}

// getBlob serves GET with Range, and HEAD. ECR redirects GET to S3; the local
// cloud does not.
func (c *Cloud) getBlob(x *exchange) error {
	r, err := c.repositoryOf(x)
	if err != nil {
		return err
	}
	digest := x.route.reference
	if !digestPattern.MatchString(digest) {
		return faultf(http.StatusBadRequest, "DIGEST_INVALID", "'%s' is not a sha256 digest", digest)
	}
	f, err := os.Open(c.blobPath(r, digest))
	if errors.Is(err, fs.ErrNotExist) {
		return faultf(http.StatusNotFound, "BLOB_UNKNOWN", "the layer '%s' does not exist in the repository with name '%s'", digest, r.Name)
	}
	if err != nil {
		return fmt.Errorf("opening the blob %s: %w", digest, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("opening the blob %s: %w", digest, err)
	}
	x.w.Header().Set("Content-Type", octets)
	x.w.Header().Set("Docker-Content-Digest", digest)
	x.w.Header().Set("Etag", `"`+digest+`"`)
	http.ServeContent(x.w, x.Request, "", info.ModTime(), f)
	return nil
}

// postUpload starts an upload; with ?digest= and a body it is the whole blob.
// ?mount= falls back to an upload unless the account has blob mounting turned
// on.
func (c *Cloud) postUpload(x *exchange) error {
	r, err := c.repositoryOf(x)
	if err != nil {
		return err
	}
	query := x.URL.Query()
	whole := wholeUpload(x.Request)
	if whole && !digestPattern.MatchString(query.Get("digest")) {
		x.drain()
		return faultf(http.StatusBadRequest, "DIGEST_INVALID", "'%s' is not a sha256 digest", query.Get("digest"))
	}
	if digest := query.Get("mount"); digest != "" {
		if mounted, err := c.mount(x, r, digest, query.Get("from")); err != nil {
			return err
		} else if mounted {
			x.route.action = "MountBlob"
			return x.created(r, "blobs", digest)
		}
	}
	id, err := c.startUpload(r)
	if err != nil {
		return err
	}
	if !whole {
		return x.accepted(r, id, 0)
	}
	x.route.reference = id
	if err := c.putUpload(x); err != nil {
		// The client never learned the upload's id. It is gone already if it
		// was compared with its digest.
		_ = c.disk.remove(c.uploadPath(r, id))
		c.forgetUpload(c.uploadPath(r, id))
		return err
	}
	return nil
}

// accepted answers with where an upload goes on. The address is relative, so
// that it stays with whatever name the client used. (ECR answers a PATCH with
// 201, aws/containers-roadmap#2831: a bug that the local cloud does not copy.)
func (x *exchange) accepted(r *repository, id string, size int64) error {
	x.uploadHeaders(r, id, size)
	return x.reply(http.StatusAccepted, "", nil)
}

func (x *exchange) uploadHeaders(r *repository, id string, size int64) {
	h := x.w.Header()
	h.Set("Location", "/v2/"+r.Name+"/blobs/uploads/"+id)
	h.Set("Docker-Upload-Uuid", id)
	h.Set("Range", uploadRange(size))
}

// useUpload finds and locks the upload that the request names, for do.
func (c *Cloud) useUpload(x *exchange, do func(*repository, *upload) error) error {
	r, err := c.repositoryOf(x)
	if err != nil {
		return err
	}
	u, err := c.findUpload(r, x.route.reference)
	if err != nil {
		return err
	}
	if err := u.lock(); err != nil {
		return err
	}
	defer u.mu.Unlock()
	err = do(r, u)
	if u.done {
		c.forgetUpload(u.path)
	}
	return err
}

func (c *Cloud) getUpload(x *exchange) error {
	return c.useUpload(x, func(r *repository, u *upload) error {
		x.uploadHeaders(r, x.route.reference, u.size)
		return x.reply(http.StatusNoContent, "", nil)
	})
}

func (c *Cloud) deleteUpload(x *exchange) error {
	return c.useUpload(x, func(_ *repository, u *upload) error {
		if err := u.cancel(); err != nil {
			return fmt.Errorf("cancelling the upload: %w", err)
		}
		return x.reply(http.StatusNoContent, "", nil)
	})
}

func (c *Cloud) patchUpload(x *exchange) error {
	return c.useUpload(x, func(r *repository, u *upload) error {
		if err := x.appendChunk(r, u); err != nil {
			return err
		}
		return x.accepted(r, x.route.reference, u.size)
	})
}

// appendChunk adds the body. A chunk that says where it belongs has to follow
// what is there.
func (x *exchange) appendChunk(r *repository, u *upload) error {
	if header := x.Header.Get("Content-Range"); header != "" {
		first, last, err := contentRange(header)
		if err == nil && first != u.size {
			err = fmt.Errorf("the chunk begins at %d, the upload goes on at %d", first, u.size)
		}
		if err == nil && x.ContentLength >= 0 && last-first+1 != x.ContentLength {
			err = fmt.Errorf("the chunk is %d bytes, its Content-Range says %s", x.ContentLength, header)
		}
		if err != nil {
			x.uploadHeaders(r, x.route.reference, u.size)
			x.drain()
			return faultf(http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", "%v", err)
		}
	}
	return u.append(x)
}

// putUpload finishes an upload, with the last chunk in its body or none.
func (c *Cloud) putUpload(x *exchange) error {
	digest := x.URL.Query().Get("digest")
	return c.useUpload(x, func(r *repository, u *upload) error {
		if !digestPattern.MatchString(digest) {
			x.drain()
			return faultf(http.StatusBadRequest, "DIGEST_INVALID", "'%s' is not a sha256 digest", digest)
		}
		if x.ContentLength != 0 {
			if err := x.appendChunk(r, u); err != nil {
				return err
			}
		}
		if err := u.finish(c.blobPath(r, digest), digest); err != nil {
			return err
		}
		return x.created(r, "blobs", digest)
	})
}

func (x *exchange) created(r *repository, kind, digest string) error {
	h := x.w.Header()
	h.Set("Location", "/v2/"+r.Name+"/"+kind+"/"+digest)
	h.Set("Docker-Content-Digest", digest)
	return x.reply(http.StatusCreated, "", nil)
}

// getManifest serves GET and HEAD by tag or digest, as it was pushed.
func (c *Cloud) getManifest(x *exchange) error {
	r, digest, err := c.resolveManifest(x)
	if err != nil {
		return err
	}
	raw, err := c.readManifest(r, digest)
	if err != nil {
		return err
	}
	x.w.Header().Set("Docker-Content-Digest", digest)
	x.w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	return x.reply(http.StatusOK, r.Images[digest].MediaType, raw)
}

func (c *Cloud) resolveManifest(x *exchange) (*repository, string, error) {
	r, err := c.repositoryOf(x)
	if err != nil {
		return nil, "", err
	}
	if err := checkReference(x.route.reference); err != nil {
		return nil, "", err
	}
	digest, ok := r.resolve(x.route.reference)
	if !ok {
		return nil, "", faultf(http.StatusNotFound, "MANIFEST_UNKNOWN", "Requested image not found")
	}
	return r, digest, nil
}

// checkReference takes a tag or a sha256 digest.
func checkReference(reference string) error {
	switch {
	case digestPattern.MatchString(reference), tagPattern.MatchString(reference):
		return nil
	case len(reference) > 7 && reference[:7] == "sha256:", len(reference) > 7 && reference[:7] == "sha512:":
		return faultf(http.StatusBadRequest, "DIGEST_INVALID", "'%s' is not a sha256 digest", reference)
	}
	return faultf(http.StatusBadRequest, "TAG_INVALID", "'%s' is neither a tag nor a sha256 digest", reference)
}

func (c *Cloud) putManifest(x *exchange) error {
	r, err := c.repositoryOf(x)
	if err != nil {
		return err
	}
	if err := checkReference(x.route.reference); err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(x, maxManifest+1))
	if err != nil {
		return faultf(http.StatusBadRequest, "MANIFEST_INVALID", "the manifest was cut off: %v", err)
	}
	if len(raw) > maxManifest {
		return faultf(http.StatusRequestEntityTooLarge, "SIZE_INVALID", "the manifest is larger than %d bytes", maxManifest)
	}
	in := imagePut{raw: raw, mediaType: x.Header.Get("Content-Type"), tag: x.route.reference}
	if digestPattern.MatchString(in.tag) {
		in.tag, in.digest = "", in.tag
	}
	digest, _, err := c.putImage(x.registry, r.Name, in, x.at)
	if f := asFault(err); f != nil && f.Code == "ImageAlreadyExistsException" {
		err = nil // docker push again is no error ...
		if in.tag != "" && r.immutable(in.tag) {
			err = tagImmutable(r, in.tag) // ... but where tags are immutable: aws/containers-roadmap#2179, #2380
		}
	}
	if err != nil {
		return err
	}
	if m, _, err := parseManifest(raw, in.mediaType); err == nil && m.Subject != nil {
		x.w.Header().Set("OCI-Subject", m.Subject.Digest) // the client need not keep a list of referrers itself
	}
	return x.created(r, "manifests", digest)
}

// deleteManifest is BatchDeleteImage in the registry's words
// (aws/containers-roadmap#1229, shipped).
func (c *Cloud) deleteManifest(x *exchange) error {
	c.ecr.mu.Lock()
	defer c.ecr.mu.Unlock()
	r, digest, err := c.resolveManifest(x)
	if err != nil {
		return err
	}
	tag := x.route.reference
	if tag == digest {
		tag = ""
	}
	if err := c.removeImage(r, digest, tag); err != nil {
		return err
	}
	return x.reply(http.StatusAccepted, "", nil)
}

// listTags answers sorted tags after ?last=, at most ?n= of them, with a Link
// to the rest.
func (c *Cloud) listTags(x *exchange) error {
	r, err := c.repositoryOf(x)
	if err != nil {
		return err
	}
	query := x.URL.Query()
	limit := 1000
	if s := query.Get("n"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return faultf(http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n has to be a number, not '%s'", s)
		}
		limit = min(n, limit)
	}
	tags := []string{}
	for tag := range r.ImageTags {
		if tag > query.Get("last") {
			tags = append(tags, tag)
		}
	}
	sort.Strings(tags)
	if len(tags) > limit {
		tags = tags[:limit]
		if limit > 0 {
			next := url.Values{"n": {strconv.Itoa(limit)}, "last": {tags[limit-1]}}
			x.w.Header().Set("Link", "</v2/"+r.Name+"/tags/list?"+next.Encode()+`>; rel="next"`)
		}
	}
	body, err := json.Marshal(map[string]any{"name": r.Name, "tags": tags})
	if err != nil {
		return fmt.Errorf("encoding the tags of %s: %w", r.Name, err)
	}
	return x.reply(http.StatusOK, "application/json", body)
}
