package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// Push sends the blobs that the repository lacks, several at a time, then the
// manifests of an index's children, then the image's own manifest under tag.
// Where tag names that manifest already, nothing is sent. progress, which may
// be nil, is told the bytes of blobs so far, one call at a time; what is there
// already counts as done. Blobs of an image in another repository of the same
// registry are mounted where the registry lets them be (OCI distribution:
// mounting a blob from another repository), else sent on as they are read.
//
// It returns delivery.ErrExists where tag is immutable and names another
// digest, delivery.ErrNotFound (NAME_UNKNOWN) where there is no repository.
func (r *Repository) Push(ctx context.Context, img delivery.Image, tag string, progress func(delivery.Transfer)) error {
	all, err := collect(ctx, img)
	if err != nil {
		return fmt.Errorf("reading the image to push: %w", err)
	}
	count := newCounter(all.blobs, progress)
	current, err := r.Resolve(ctx, tag)
	if err == nil && current == all.top().digest {
		count.allDone()
		return nil
	}
	// A repository that is not there is told by the first upload: registries
	// that make repositories on push give the same answer here.
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		return err
	}
	if err := r.upload(ctx, img, all.blobs, count); err != nil {
		return err
	}
	for _, m := range all.children() {
		if err := r.putMissing(ctx, m); err != nil {
			return err
		}
	}
	return r.put(ctx, all.top(), tag)
}

// putMissing writes the manifest of a child under its own digest.
func (r *Repository) putMissing(ctx context.Context, m manifest) error {
	_, err := r.fetch(ctx, "read manifest", m.digest)
	if errors.Is(err, delivery.ErrNotFound) {
		return r.put(ctx, m, m.digest)
	}
	return err
}

// collection is all that an image consists of, each digest once.
type collection struct {
	manifests []manifest // children before what names them; the top one last
	blobs     []v1.Descriptor
}

func (c collection) top() manifest        { return c.manifests[len(c.manifests)-1] }
func (c collection) children() []manifest { return c.manifests[:len(c.manifests)-1] }

// collect reads the manifests of an image.
func collect(ctx context.Context, img delivery.Image) (collection, error) {
	raw, mediaType, err := img.Manifest(ctx)
	if err != nil {
		return collection{}, err
	}
	if len(raw) > maxManifest {
		return collection{}, fmt.Errorf("the manifest is larger than %d bytes", maxManifest)
	}
	c := collector{img: img, seen: map[string]bool{}}
	err = c.add(ctx, manifest{raw: raw, mediaType: mediaType, digest: digestOf(raw)})
	return c.all, err
}

type collector struct {
	img  delivery.Image
	seen map[string]bool
	all  collection
}

func (c *collector) add(ctx context.Context, m manifest) error {
	named, err := m.contents()
	if err != nil {
		return err
	}
	for _, d := range named.Manifests {
		if c.once(d) {
			if err := c.addChild(ctx, d); err != nil {
				return err
			}
		}
	}
	for _, d := range named.blobs() {
		// What may not be distributed is fetched from where its URLs say.
		if d.MediaType.IsDistributable() && c.once(d) {
			c.all.blobs = append(c.all.blobs, d)
		}
	}
	c.all.manifests = append(c.all.manifests, m)
	return nil
}

func (c *collector) once(d v1.Descriptor) bool {
	known := c.seen[d.Digest.String()]
	c.seen[d.Digest.String()] = true
	return !known
}

func (c *collector) addChild(ctx context.Context, d v1.Descriptor) error {
	digest := d.Digest.String()
	body, err := c.img.Blob(ctx, digest)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(body, maxManifest+1))
	if err := errors.Join(err, body.Close()); err != nil {
		return fmt.Errorf("reading the manifest %s: %w", digest, err)
	}
	m := manifest{raw: raw, mediaType: string(d.MediaType), digest: digestOf(raw)}
	if m.digest != digest {
		return fmt.Errorf("the manifest %s holds the bytes of %s", digest, m.digest)
	}
	if m.mediaType == "" {
		var own struct {
			MediaType string `json:"mediaType"`
		}
		_ = json.Unmarshal(raw, &own) // add reports what is no JSON
		m.mediaType = own.MediaType
	}
	return c.add(ctx, m)
}

// upload sends blobs, r.jobs of them at a time. The first failure stops all.
func (r *Repository) upload(ctx context.Context, img delivery.Image, blobs []v1.Descriptor, count *counter) error {
	s, err := r.open()
	if err != nil {
		return err
	}
	pusher, err := s.pusher(r.jobs())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group sync.WaitGroup
	slots := make(chan struct{}, r.jobs())
	for _, d := range blobs {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			if err := r.uploadOne(ctx, pusher, s, img, d, count); err != nil {
				stop(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// uploadOne sends one blob, if the repository lacks it. A try that was cut is
// followed by a new upload, after asking whether the blob arrived after all.
func (r *Repository) uploadOne(ctx context.Context, pusher *remote.Pusher, s *session, img delivery.Image, d v1.Descriptor, count *counter) error {
	err := r.try(ctx, "push blob", d.Digest.String(), func() error {
		if err := pusher.Upload(ctx, s.repo, r.mountable(&layer{ctx: ctx, img: img, desc: d, count: count})); err != nil {
			return &uploadError{err}
		}
		return nil
	})
	if err == nil {
		count.set(d, d.Size)
	}
	return err
}

// mountable says of a blob where in the registry it is, if it is.
func (r *Repository) mountable(l *layer) v1.Layer {
	from, ok := l.img.(*image)
	if !ok || from.repository.Registry != r.Registry || from.repository.Name == r.Name {
		return l
	}
	s, err := from.repository.open()
	if err != nil {
		return l // it is read from there, and that tells why not
	}
	return &remote.MountableLayer{Layer: l, Reference: s.repo.Digest(l.desc.Digest.String())}
}
