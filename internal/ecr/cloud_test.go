package ecr_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/ecr"
	"github.com/slipway-cd/slipway/internal/sim"
)

// TestAgainstTheLocalCloud runs the whole adapter against the local cloud, as
// its administrator.
func TestAgainstTheLocalCloud(t *testing.T) {
	cloud := &sim.Cloud{Dir: t.TempDir()}
	srv := httptest.NewServer(cloud)
	defer func() {
		srv.Close()
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	}()
	key, secret, err := cloud.Administrator(sim.DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	c := ecr.New(aws.Config{Region: sim.DefaultRegion, BaseEndpoint: aws.String(srv.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
	ctx := t.Context()

	if _, err := c.Repository(ctx, "echo/runtime"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("before it is made: %v, want ErrNotFound", err)
	}
	made, err := c.CreateRepository(ctx, "echo/runtime")
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.CreateRepository(ctx, "echo/runtime")
	if diff := cmp.Diff(made, again); err != nil || diff != "" {
		t.Errorf("made again: %v (-first +second):\n%s", err, diff)
	}
	want := ecr.Facts{URI: "111122223333.dkr.ecr.us-east-1.amazonaws.com/echo/runtime",
		ARN: "arn:aws:ecr:us-east-1:111122223333:repository/echo/runtime", Mutability: ecr.ImmutableWithExclusion, Exclusions: []string{"latest"}}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if _, err := c.ScansOnPush(ctx, "nosuch/runtime"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("settings of none: %v, want ErrNotFound", err)
	}
	if scans, err := c.ScansOnPush(ctx, "echo/runtime"); scans || err != nil {
		t.Errorf("scans on push: %v, %v", scans, err)
	}
	if _, err := c.Lifecycle(ctx, "echo/runtime"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("no lifecycle policy: %v, want ErrNotFound", err)
	}
	const lifecycle = `{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":3},"action":{"type":"expire"}}]}`
	if _, err := c.API.PutLifecyclePolicy(ctx, &awsecr.PutLifecyclePolicyInput{
		RepositoryName: aws.String("echo/runtime"), LifecyclePolicyText: aws.String(lifecycle)}); err != nil {
		t.Fatal(err)
	}
	if text, err := c.Lifecycle(ctx, "echo/runtime"); text != lifecycle || err != nil {
		t.Errorf("lifecycle policy %s, %v", text, err)
	}
	images, err := c.Contents(ctx, "echo/runtime")
	if len(images) > 0 || err != nil {
		t.Errorf("an empty repository holds %+v, %v", images, err)
	}
	if _, err := c.Contents(ctx, "nosuch/runtime"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("contents of none: %v, want ErrNotFound", err)
	}
	const index = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	for _, tag := range []string{"latest", "one"} {
		if _, err := c.API.PutImage(ctx, &awsecr.PutImageInput{RepositoryName: aws.String("echo/runtime"),
			ImageManifest: aws.String(index), ImageTag: aws.String(tag)}); err != nil {
			t.Fatal(err)
		}
	}
	if images, err = c.Contents(ctx, "echo/runtime"); err != nil || len(images) != 1 {
		t.Fatalf("the repository holds %+v, %v", images, err)
	}
	if pushed := images[0].Pushed; pushed.After(time.Now()) || time.Since(pushed) > time.Minute {
		t.Errorf("pushed at %v", pushed)
	}
	images[0].Pushed = time.Time{}
	hashed := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(index)))
	if diff := cmp.Diff(ecr.StoredImage{Digest: hashed, Tags: []string{"latest", "one"}, Index: true}, images[0]); diff != "" {
		t.Errorf("image (-want +got):\n%s", diff)
	}
	user, password, expires, err := c.Credentials(ctx)
	if err != nil || user != "AWS" || password == "" || !expires.After(time.Now()) {
		t.Errorf("login of %q until %v, %v", user, expires, err)
	}
	if _, err := c.CreateRepository(ctx, "NOT A NAME"); !errors.Is(err, delivery.ErrInvalid) {
		t.Errorf("a bad name: %v, want ErrInvalid", err)
	}
}
