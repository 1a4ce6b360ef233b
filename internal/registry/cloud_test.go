package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdkecr "github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/ecr"
	"github.com/slipway-cd/slipway/internal/registry"
	"github.com/slipway-cd/slipway/internal/sim"
)

// memory is an image in memory.
type memory struct {
	raw       []byte
	mediaType string
	blobs     map[string][]byte
}

func (m memory) Manifest(context.Context) ([]byte, string, error) { return m.raw, m.mediaType, nil }

func (m memory) Blob(_ context.Context, digest string) (io.ReadCloser, error) {
	b, ok := m.blobs[digest]
	if !ok {
		return nil, delivery.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// imageOf makes an image whose layers hold the given texts.
func imageOf(t *testing.T, layers ...string) memory {
	t.Helper()
	m := memory{mediaType: "application/vnd.oci.image.manifest.v1+json", blobs: map[string][]byte{}}
	add := func(mediaType, text string) map[string]any {
		b := []byte(text)
		m.blobs[digestOf(b)] = b
		return map[string]any{"mediaType": mediaType, "digest": digestOf(b), "size": len(b)}
	}
	var list []any
	for _, text := range layers {
		list = append(list, add("application/vnd.oci.image.layer.v1.tar+gzip", text))
	}
	raw, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": m.mediaType, "layers": list,
		"config": add("application/vnd.oci.image.config.v1+json", `{"os":"linux","architecture":"arm64","rootfs":{"type":"layers"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	m.raw = raw
	return m
}

// cloud is a local cloud with a clock, and ways into it.
type cloud struct {
	url   *url.URL
	mu    sync.Mutex
	now   time.Time
	sim   *sim.Cloud
	asked int
}

func startCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{now: time.Now()}
	c.sim = &sim.Cloud{Dir: t.TempDir(), Now: c.time}
	srv := httptest.NewServer(c.sim)
	t.Cleanup(func() {
		srv.Close()
		if err := c.sim.Close(); err != nil {
			t.Error(err)
		}
	})
	var err error
	if c.url, err = url.Parse(srv.URL); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cloud) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *cloud) later(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// repository makes a repository in account, through ECR's API, and returns its
// registry side with the login of ECR's API.
func (c *cloud) repository(t *testing.T, account, name string) *registry.Repository {
	t.Helper()
	key, secret, err := c.sim.Administrator(account)
	if err != nil {
		t.Fatal(err)
	}
	api := ecr.New(aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(c.url.String()), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
	if name != "absent" {
		if _, err := api.CreateRepository(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	return &registry.Repository{Registry: account + ".dkr.ecr.us-east-1.amazonaws.com", Name: name, Endpoint: c.url,
		Auth: func(ctx context.Context) (string, string, time.Time, error) {
			c.asked++
			user, password, expires, err := api.Credentials(ctx)
			return user, password, expires, err
		}}
}

const (
	account  = "111122223333"
	revision = "0123456789abcdef0123456789abcdef01234567"
)

func TestLocalCloudKeepsAnImage(t *testing.T) {
	c := startCloud(t)
	r := c.repository(t, account, "echo/runtime")
	img := imageOf(t, strings.Repeat("layer one", 100_000), "layer two")
	if err := r.Push(t.Context(), img, revision, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Tag(t.Context(), digestOf(img.raw), "latest"); err != nil {
		t.Fatal(err)
	}
	fresh := &registry.Repository{Registry: r.Registry, Name: r.Name, Endpoint: r.Endpoint, Auth: r.Auth}
	for _, tag := range []string{revision, "latest"} {
		if digest, err := fresh.Resolve(t.Context(), tag); err != nil || digest != digestOf(img.raw) {
			t.Errorf("%s names %s, %v", tag, digest, err)
		}
	}
	got, err := fresh.Open(t.Context(), digestOf(img.raw))
	if err != nil {
		t.Fatal(err)
	}
	for digest, want := range img.blobs {
		body, err := got.Blob(t.Context(), digest)
		if err != nil {
			t.Fatal(err)
		}
		read, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || !bytes.Equal(read, want) {
			t.Errorf("blob %s: %d bytes, %v", digest, len(read), err)
		}
	}
	// The same again: neither an error, though the tag is immutable, nor a write.
	if err := errors.Join(fresh.Push(t.Context(), img, revision, nil), fresh.Tag(t.Context(), digestOf(img.raw), revision)); err != nil {
		t.Errorf("pushed and tagged again: %v", err)
	}
}

func TestLocalCloudHasImmutableTags(t *testing.T) {
	c := startCloud(t)
	r := c.repository(t, account, "echo/runtime")
	first, other := imageOf(t, "one"), imageOf(t, "two")
	if err := errors.Join(r.Push(t.Context(), first, revision, nil), r.Push(t.Context(), first, "latest", nil)); err != nil {
		t.Fatal(err)
	}
	if err := r.Push(t.Context(), other, revision, nil); !errors.Is(err, delivery.ErrExists) {
		t.Errorf("a revision tag for another digest: %v, want ErrExists", err)
	}
	if digest, err := r.Resolve(t.Context(), revision); err != nil || digest != digestOf(first.raw) {
		t.Errorf("the revision tag names %s, %v", digest, err)
	}
	if err := r.Push(t.Context(), other, "latest", nil); err != nil {
		t.Errorf("latest is excluded and moves: %v", err)
	}
}

func TestLocalCloudTellsRegistriesApart(t *testing.T) {
	c := startCloud(t)
	mine, theirs := c.repository(t, account, "echo/runtime"), c.repository(t, "444455556666", "echo/runtime")
	if err := mine.Push(t.Context(), imageOf(t, "mine"), revision, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Resolve(t.Context(), revision); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("another account's registry has it: %v", err)
	}
	err := c.repository(t, account, "absent").Push(t.Context(), imageOf(t, "x"), revision, nil)
	var remote *delivery.RemoteError
	if !errors.As(err, &remote) || remote.Kind != delivery.ErrNotFound || remote.Code != "NAME_UNKNOWN" {
		t.Errorf("push to no repository: %v, want NAME_UNKNOWN", err)
	}
}

// TestLocalCloudCopies moves an image between repositories: mounted where the
// registry mounts, else streamed, within a registry or between two.
func TestLocalCloudCopies(t *testing.T) {
	for what, test := range map[string]struct {
		account string
		mounts  bool
		bytes   bool // of layers were sent
	}{
		"mounted":             {account, true, false},
		"mounting is off":     {account, false, true},
		"to another registry": {"444455556666", true, true},
	} {
		t.Run(what, func(t *testing.T) {
			c := startCloud(t)
			from, to := c.repository(t, account, "echo/dev"), c.repository(t, test.account, "echo/stg")
			if test.mounts {
				c.mounting(t)
			}
			img := imageOf(t, strings.Repeat("layer one", 100_000), "layer two")
			if err := from.Push(t.Context(), img, revision, nil); err != nil {
				t.Fatal(err)
			}
			source, err := from.Open(t.Context(), digestOf(img.raw))
			if err != nil {
				t.Fatal(err)
			}
			before := len(c.sim.Journal())
			var told delivery.Transfer
			if err := to.Push(t.Context(), source, revision, func(now delivery.Transfer) { told = now }); err != nil {
				t.Fatal(err)
			}
			if digest, err := to.Resolve(t.Context(), revision); err != nil || digest != digestOf(img.raw) {
				t.Errorf("it is %s, %v", digest, err)
			}
			var sent int64
			for _, call := range c.sim.Journal()[before:] {
				if call.Method == "PATCH" || call.Method == "PUT" && strings.Contains(call.Path, "/blobs/") {
					sent += call.Bytes
				}
			}
			if (sent > 900_000) != test.bytes || told.Done != told.Total || told.Total < 900_000 {
				t.Errorf("%d bytes of layers were sent; told %+v", sent, told)
			}
		})
	}
}

// mounting turns the account's setting on.
func (c *cloud) mounting(t *testing.T) {
	t.Helper()
	key, secret, err := c.sim.Administrator(account)
	if err != nil {
		t.Fatal(err)
	}
	api := sdkecr.New(sdkecr.Options{Region: "us-east-1", BaseEndpoint: aws.String(c.url.String()),
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
	if _, err := api.PutAccountSetting(t.Context(), &sdkecr.PutAccountSettingInput{Name: aws.String("BLOB_MOUNTING"), Value: aws.String("ENABLED")}); err != nil {
		t.Fatal(err)
	}
}

func TestLocalCloudEndsLogins(t *testing.T) {
	c := startCloud(t)
	r := c.repository(t, account, "echo/runtime")
	if err := r.Push(t.Context(), imageOf(t, "one"), revision, nil); err != nil || c.asked != 1 {
		t.Fatalf("%v after %d logins", err, c.asked)
	}
	c.later(13 * time.Hour) // of which this side's clock knows nothing
	// The API's signatures are of this side's time, so that a new login is
	// refused too; what counts is that it was asked for, once.
	err := r.Push(t.Context(), imageOf(t, "two"), "latest", nil)
	if c.asked != 2 || err == nil {
		t.Errorf("%d logins, want 2: %v", c.asked, err)
	}
}
