package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	tries     = 5 // of each step, the first one included
	firstWait = 500 * time.Millisecond
	longest   = 10 * time.Second
	// keptManifests bounds the memory for manifests that were read or written.
	keptManifests = 64
	// maxManifest is ECR's limit on a manifest in bytes (facts: ECR).
	maxManifest = 4_194_304
	// namePattern is ECR's of repository names (facts: ECR).
	namePattern = `^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`
)

// Repository is one repository of a registry. Registry and Name are required;
// it is safe for concurrent use and must not be copied after its first use.
type Repository struct {
	// Registry is the registry's own host name, its identity wherever the
	// traffic goes: <account>.dkr.ecr.<region>.amazonaws.com.
	Registry string
	// Name is the repository's name within the registry.
	Name string
	// Endpoint is where the traffic goes instead, with Registry as Host. If
	// nil, https to Registry itself. Its path is not used.
	Endpoint *url.URL
	// Transport carries the requests. If nil, one of its own with limits on
	// how long a dial and a handshake may take. With either, a connection that
	// stands still is given up.
	Transport http.RoundTripper
	// Patience is how long a connection may stand still. If zero, or longer
	// than that, two minutes.
	Patience time.Duration
	// Auth returns the login of the registry and when it ends (zero: never).
	// It is asked on first use, again shortly before the end, and once more
	// where the registry says that the login has expired. If nil, no login is
	// sent.
	Auth func(ctx context.Context) (user, password string, expires time.Time, err error)
	// Jobs is how many blobs are sent at a time. If zero, four.
	Jobs int
	// Now is the clock. If nil, time.Now.
	Now func() time.Time

	// pause waits between tries. If nil, a timer.
	pause func(ctx context.Context, d time.Duration) error

	once    sync.Once
	session session
	openErr error

	mu        sync.Mutex
	manifests map[string]manifest // by digest
}

var (
	_ delivery.Repository = (*Repository)(nil)
	_ delivery.Publisher  = (*Repository)(nil)
)

// session is what go-containerregistry needs to speak to the repository.
type session struct {
	repo      name.Repository
	transport http.RoundTripper
	puller    *remote.Puller
}

// manifest is a manifest as bytes, with what its bytes hash to.
type manifest struct {
	raw       []byte
	mediaType string
	digest    string
}

// RawManifest and MediaType let go-containerregistry send the bytes as they
// are.
func (m manifest) RawManifest() ([]byte, error) { return m.raw, nil }

// MediaType returns the manifest's media type.
func (m manifest) MediaType() (types.MediaType, error) { return types.MediaType(m.mediaType), nil }

// Resolve returns the digest that tag names. The manifest itself is read and
// hashed: the same single request as asking for the header, but nothing has
// to be believed. It returns delivery.ErrNotFound where there is no such tag
// (code MANIFEST_UNKNOWN) or repository (NAME_UNKNOWN).
func (r *Repository) Resolve(ctx context.Context, tag string) (string, error) {
	m, err := r.fetch(ctx, "resolve", tag)
	return m.digest, err
}

// Open returns the image with that digest. Its manifest is read at once, its
// blobs when they are asked for. It returns delivery.ErrNotFound where the
// repository has no such manifest.
func (r *Repository) Open(ctx context.Context, digest string) (delivery.Image, error) {
	m, err := r.manifest(ctx, digest)
	if err != nil {
		return nil, err
	}
	return &image{repository: r, top: m}, nil
}

// Tag points tag at a digest that is there: one PUT of its manifest, none if
// it already names it. It returns delivery.ErrNotFound where there is no such
// digest and delivery.ErrExists where the tag is immutable.
func (r *Repository) Tag(ctx context.Context, digest, tag string) error {
	current, err := r.Resolve(ctx, tag)
	if err == nil && current == digest {
		return nil
	}
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		return err
	}
	m, err := r.manifest(ctx, digest)
	if err != nil {
		return err
	}
	return r.put(ctx, m, tag)
}

// put writes a manifest under a tag or its own digest. An immutable tag that
// already names it is a success: so does a lost answer become one.
func (r *Repository) put(ctx context.Context, m manifest, reference string) error {
	s, err := r.open()
	if err != nil {
		return err
	}
	ref, err := s.reference(reference)
	if err != nil {
		return r.invalid("put manifest", reference, err)
	}
	err = r.try(ctx, "put manifest", reference, func() error {
		pusher, err := s.pusher(1)
		if err != nil {
			return err
		}
		return pusher.Put(ctx, ref, m)
	})
	if errors.Is(err, delivery.ErrExists) {
		if current, resolveErr := r.Resolve(ctx, reference); resolveErr == nil && current == m.digest {
			err = nil
		}
	}
	if err == nil {
		r.keep(m)
	}
	return err
}

// manifest returns the manifest with that digest, from memory where it has
// been read or written before.
func (r *Repository) manifest(ctx context.Context, digest string) (manifest, error) {
	r.mu.Lock()
	m, ok := r.manifests[digest]
	r.mu.Unlock()
	if ok {
		return m, nil
	}
	return r.fetch(ctx, "read manifest", digest)
}

// fetch reads a manifest by tag or digest and hashes it.
func (r *Repository) fetch(ctx context.Context, operation, reference string) (manifest, error) {
	s, err := r.open()
	if err != nil {
		return manifest{}, err
	}
	ref, err := s.reference(reference)
	if err != nil {
		return manifest{}, r.invalid(operation, reference, err)
	}
	var m manifest
	err = r.try(ctx, operation, reference, func() error {
		d, err := s.puller.Get(ctx, ref)
		if err != nil {
			return err
		}
		if len(d.Manifest) > maxManifest {
			return fmt.Errorf("the manifest is larger than %d bytes", maxManifest)
		}
		m = manifest{raw: d.Manifest, mediaType: string(d.MediaType), digest: digestOf(d.Manifest)}
		return nil
	})
	if err == nil {
		r.keep(m)
	}
	return m, err
}

func (r *Repository) keep(m manifest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.manifests == nil || len(r.manifests) >= keptManifests {
		r.manifests = map[string]manifest{}
	}
	r.manifests[m.digest] = m
}

// try runs one step, again where the registry or the line failed in a way
// that may pass, and puts the last failure into delivery's words.
func (r *Repository) try(ctx context.Context, operation, reference string, step func() error) error {
	for n := 0; ; n++ {
		err := step()
		if err == nil {
			return nil
		}
		if n+1 == tries || ctx.Err() != nil || !passing(err) {
			return r.translate(operation, reference, err)
		}
		if err := r.wait(ctx, n); err != nil {
			return r.translate(operation, reference, err)
		}
	}
}

// wait pauses after try n: anything up to firstWait, doubled each time (full
// jitter, so that many deployers don't come back at once).
func (r *Repository) wait(ctx context.Context, n int) error {
	most := min(firstWait<<n, longest)
	d := time.Duration(rand.Int64N(int64(most)))
	if r.pause != nil {
		return r.pause(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Repository) open() (*session, error) {
	r.once.Do(func() { r.session, r.openErr = r.newSession() })
	return &r.session, r.openErr
}

func (r *Repository) newSession() (session, error) {
	if !regexp.MustCompile(namePattern).MatchString(r.Name) {
		return session{}, r.invalid("open", "", fmt.Errorf("%q is no name of an ECR repository", r.Name))
	}
	repo, err := name.NewRepository(r.Registry+"/"+r.Name, name.StrictValidation)
	if err != nil {
		return session{}, r.invalid("open", "", err)
	}
	if err := checkEndpoint(r.Endpoint); err != nil {
		return session{}, err
	}
	chain := r.chain()
	// Given a transport of its own making, go-containerregistry neither logs
	// nor retries nor asks for a login: chain and try do.
	wrapped, err := transport.NewWithContext(context.Background(), repo.Registry, authn.Anonymous, chain, nil)
	if err != nil {
		return session{}, r.invalid("open", "", err)
	}
	s := session{repo: repo, transport: wrapped}
	s.puller, err = remote.NewPuller(s.options(r.jobs())...)
	return s, err
}

func (s *session) options(jobs int) []remote.Option {
	return []remote.Option{remote.WithTransport(s.transport), remote.WithJobs(jobs),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}), // once: retrying is try's
	}
}

// pusher returns a new pusher: each remembers what it has sent and would not
// send it again after another client had deleted it.
func (s *session) pusher(jobs int) (*remote.Pusher, error) {
	return remote.NewPusher(s.options(jobs)...)
}

// reference reads a tag or a digest.
func (s *session) reference(text string) (name.Reference, error) {
	if d, err := name.NewDigest(s.repo.Name()+"@"+text, name.StrictValidation); err == nil {
		return d, nil
	}
	return name.NewTag(s.repo.Name()+":"+text, name.StrictValidation)
}

func (r *Repository) jobs() int {
	if r.Jobs > 0 {
		return r.Jobs
	}
	return 4
}

func (r *Repository) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// checkEndpoint refuses to send a login in the clear beyond this machine.
func checkEndpoint(u *url.URL) error {
	if u == nil || u.Scheme == "https" {
		return nil
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	if u.Scheme == "http" && (host == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return &delivery.Error{Kind: delivery.KindConfig, Op: "opening the registry",
		Err:   fmt.Errorf("the endpoint %s://%s is neither https nor on this machine's loopback", u.Scheme, u.Host),
		Hints: []string{"use an https:// endpoint; plain http is for 127.0.0.1, [::1] and localhost alone"}}
}

func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}
