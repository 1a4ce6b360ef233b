package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// maxLayer is ECR's bound of a layer, 52,000 MiB, in bytes.
const maxLayer = 52_000 << 20

var (
	// uploadPattern is an upload's id, which names its file.
	uploadPattern = pattern.New(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	chunkRange    = pattern.New(`^([0-9]+)-([0-9]+)$`)
)

// upload is a blob on its way: a file that grows, and the hash of what is in
// it. Only the file survives a restart; the hash is taken again from it.
type upload struct {
	disk  disk
	path  string
	limit int64

	mu   sync.Mutex
	size int64
	hash hash.Hash // nil: to be taken from the file
	done bool      // finished or cancelled
}

// blobPath is the file of a blob; digest has been checked.
func (c *Cloud) blobPath(r *repository, digest string) string {
	return filepath.Join(c.repositoryDir(r), "blobs", strings.TrimPrefix(digest, "sha256:"))
}

func (c *Cloud) layerLimit() int64 {
	if c.ecr.layerLimit > 0 {
		return c.ecr.layerLimit
	}
	return maxLayer
}

// startUpload opens an empty upload in the repository and returns its id.
func (c *Cloud) startUpload(r *repository) (string, error) {
	id := newRequestID()
	path := c.uploadPath(r, id)
	if err := c.disk.before("create", path); err != nil {
		return "", fmt.Errorf("starting an upload to %s: %w", r.Name, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // deleted since r was read
		return "", repositoryNotFound(r.registry, r.Name)
	}
	if err != nil {
		return "", fmt.Errorf("starting an upload to %s: %w", r.Name, err)
	}
	return id, f.Close()
}

func (c *Cloud) uploadPath(r *repository, id string) string {
	return filepath.Join(c.repositoryDir(r), "uploads", id)
}

// findUpload returns the upload of an id in this repository; another's is not
// found.
func (c *Cloud) findUpload(r *repository, id string) (*upload, error) {
	unknown := faultf(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN",
		"The upload with id '%s' in the repository with name '%s' in the registry with id '%s' does not exist", id, r.Name, r.registry.account)
	if !uploadPattern.MatchString(id) || c.store.get(layerUploadKey(r, id), &layerUpload{}) {
		return nil, unknown
	}
	u, err := c.openUpload(r, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, unknown
	}
	return u, err
}

// openUpload returns the upload of a well-formed id.
func (c *Cloud) openUpload(r *repository, id string) (*upload, error) {
	path := c.uploadPath(r, id)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("finding the upload %s: %w", id, err)
	}
	size := info.Size()
	var kept layerUpload
	if c.store.get(layerUploadKey(r, id), &kept) {
		size = min(size, kept.Size)
	}
	c.ecr.uploadsMu.Lock()
	defer c.ecr.uploadsMu.Unlock()
	if c.ecr.uploads == nil {
		c.ecr.uploads = map[string]*upload{}
	}
	u, ok := c.ecr.uploads[path]
	if !ok {
		u = &upload{disk: c.disk, path: path, limit: c.layerLimit(), size: size}
		c.ecr.uploads[path] = u
	}
	return u, nil
}

func (c *Cloud) forgetUpload(path string) {
	c.ecr.uploadsMu.Lock()
	defer c.ecr.uploadsMu.Unlock()
	delete(c.ecr.uploads, path)
}

// lock takes the upload for one request; it fails if it ended meanwhile.
func (u *upload) lock() error {
	u.mu.Lock()
	if !u.done {
		return nil
	}
	u.mu.Unlock()
	return faultf(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "The upload has ended")
}

// append adds a chunk. A chunk that is cut off or too large leaves the upload
// as it was before.
func (u *upload) append(chunk io.Reader) error {
	f, err := os.OpenFile(u.path, os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening the upload: %w", err)
	}
	if err = u.write(f, chunk); err != nil {
		u.hash = nil
		err = errors.Join(err, u.disk.truncate(f, u.size))
	}
	return errors.Join(err, f.Close())
}

func (u *upload) write(f *os.File, chunk io.Reader) error {
	if err := u.rehash(f); err != nil {
		return err
	}
	if err := u.disk.before("append", u.path); err != nil {
		return fmt.Errorf("keeping a chunk: %w", err)
	}
	room, from := u.limit-u.size, &sender{r: chunk}
	n, err := io.Copy(io.MultiWriter(f, u.hash), io.LimitReader(from, room+1))
	switch {
	case from.err != nil:
		return faultf(http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "the chunk was cut off: %v", from.err)
	case err != nil:
		return fmt.Errorf("keeping a chunk: %w", err)
	case n > room:
		return faultf(http.StatusRequestEntityTooLarge, "SIZE_INVALID", "the layer is larger than %d bytes", u.limit)
	}
	u.size += n
	return nil
}

// sender tells a chunk that broke off from one that could not be written.
type sender struct {
	r   io.Reader
	err error
}

func (s *sender) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// rehash makes sure that the hash is of what the file holds, and leaves the
// file at its end. What a chunk that failed has left behind goes.
func (u *upload) rehash(f *os.File) error {
	if u.hash != nil {
		_, err := f.Seek(u.size, io.SeekStart)
		return err
	}
	h := sha256.New()
	err := u.disk.truncate(f, u.size)
	if err == nil {
		_, err = io.Copy(h, f)
	}
	if err != nil {
		return fmt.Errorf("reading the upload again: %w", err)
	}
	u.hash = h
	return nil
}

// finish makes the upload a blob: it is compared with its digest, then synced
// and renamed, so that a blob that is there is whole. The upload is over
// whatever the outcome.
func (u *upload) finish(target, digest string) error {
	u.done = true
	f, err := os.OpenFile(u.path, os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening the upload: %w", err)
	}
	if err := u.settle(f, digest); err != nil {
		return errors.Join(err, f.Close(), u.disk.remove(u.path))
	}
	if err := u.disk.keep(f, target); err != nil {
		return fmt.Errorf("keeping the blob %s: %w", digest, err)
	}
	return nil
}

func (u *upload) settle(f *os.File, digest string) error {
	if err := u.rehash(f); err != nil {
		return err
	}
	if u.size == 0 { // devcontainers/cli#814: EmptyUploadException
		return faultf(http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "the upload cannot be completed because it does not have any parts")
	}
	if got := "sha256:" + hex.EncodeToString(u.hash.Sum(nil)); got != digest {
		return faultf(http.StatusBadRequest, "DIGEST_INVALID", "the layer's digest is '%s', not the '%s' that was given", got, digest)
	}
	return nil
}

// uploadLife is how long an upload that nobody goes on with is kept over a
// restart. (ECR does not say how long it keeps one.)
const uploadLife = 24 * time.Hour

// sweep removes what writes that were cut off and pushes that were given up
// have left.
func (c *Cloud) sweep() error {
	for _, pattern := range []string{".new-*", "logs/.new-*", "registry/*/manifests/.new-*"} {
		left, err := fs.Glob(os.DirFS(c.Dir), pattern)
		if err != nil {
			return err
		}
		for _, name := range left {
			if err := os.Remove(filepath.Join(c.Dir, filepath.FromSlash(name))); err != nil {
				return fmt.Errorf("removing what was written by half: %w", err)
			}
		}
	}
	return c.sweepUploads()
}

func (c *Cloud) sweepUploads() error {
	uploads, err := fs.Glob(os.DirFS(c.Dir), "registry/*/uploads/*")
	if err != nil {
		return err
	}
	for _, name := range uploads {
		path := filepath.Join(c.Dir, filepath.FromSlash(name))
		info, err := os.Stat(path)
		if err == nil && c.now().Sub(info.ModTime()) > uploadLife {
			err = os.Remove(path)
		}
		if err != nil {
			return fmt.Errorf("removing an upload that was given up: %w", err)
		}
	}
	for _, key := range c.store.keys("ecr/upload/") {
		store, id, _ := strings.Cut(strings.TrimPrefix(key, "ecr/upload/"), "/")
		if _, err := os.Stat(c.uploadPath(&repository{Store: store}, id)); errors.Is(err, fs.ErrNotExist) {
			if err := c.store.delete(key); err != nil {
				return err
			}
		}
	}
	return nil
}

// cancel drops the upload.
func (u *upload) cancel() error {
	u.done = true
	return u.disk.remove(u.path)
}

// uploadRange is the Range of an upload's answers.
func uploadRange(size int64) string { return fmt.Sprintf("0-%d", max(size-1, 0)) }

// contentRange reads a chunk's Content-Range, <first>-<last>, which is not the
// form that HTTP gives it (OCI distribution: pushing a blob in chunks).
func contentRange(header string) (first, last int64, err error) {
	match := chunkRange.FindStringSubmatch(header)
	if match != nil {
		first, err = strconv.ParseInt(match[1], 10, 64)
		if err == nil {
			last, err = strconv.ParseInt(match[2], 10, 64)
		}
	}
	if match == nil || err != nil || last < first {
		return 0, 0, fmt.Errorf("the Content-Range %q is not of the form <first>-<last>", header)
	}
	return first, last, nil
}
