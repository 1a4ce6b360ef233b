package sim

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// createRepository makes a repository in the default account.
func createRepository(t *testing.T, client *ecr.Client, name string) {
	t.Helper()
	must[*ecr.CreateRepositoryOutput](t)(client.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: &name}))
}

func TestRepositoryLife(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	name := aws.String("customerserviceagent/runtime")
	made := must[*ecr.CreateRepositoryOutput](t)(client.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: name})).Repository
	if *made.RepositoryUri != "111122223333.dkr.ecr.us-east-1.amazonaws.com/customerserviceagent/runtime" ||
		*made.RepositoryArn != "arn:aws:ecr:us-east-1:111122223333:repository/customerserviceagent/runtime" ||
		made.ImageTagMutability != types.ImageTagMutabilityMutable || made.CreatedAt.IsZero() {
		t.Errorf("created %+v", made)
	}
	_, err := client.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: name})
	wantCode(t, err, "RepositoryAlreadyExistsException")
	got := must[*ecr.DescribeRepositoriesOutput](t)(client.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{*name}}))
	if len(got.Repositories) != 1 || !got.Repositories[0].CreatedAt.Equal(*made.CreatedAt) {
		t.Errorf("described %+v", got.Repositories)
	}
	_, err = client.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{"none"}})
	var missing *types.RepositoryNotFoundException
	if !errors.As(err, &missing) || missing.ErrorMessage() != "The repository with name 'none' does not exist in the registry with id '111122223333'" {
		t.Errorf("describing none: %v", err)
	}
	must[*ecr.DeleteRepositoryOutput](t)(client.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: name}))
	_, err = client.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: name})
	wantCode(t, err, "RepositoryNotFoundException")
}

func TestRepositoryNamesAreRefused(t *testing.T) {
	c, srv := startCloud(t)
	client, ctx := ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	for _, name := range []string{"a", "A/b", "../x", "a/../b", "a//b", "/a", "a/", ".a", "a..b", "a___b", "a b", "a\x00b", strings.Repeat("a", 257)} {
		_, err := client.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: &name})
		wantCode(t, err, "InvalidParameterException")
	}
	if keys := c.store.keys("ecr/"); len(keys) != 0 {
		t.Errorf("refused names left %v", keys)
	}
	for _, name := range []string{"ab", "a-b", "a--b/c_d.e__f/0"} {
		createRepository(t, client, name)
	}
}

func TestDescribeRepositoriesPages(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	for i := range 5 {
		createRepository(t, client, fmt.Sprintf("team/repo-%d", i))
	}
	var names []string
	pages := ecr.NewDescribeRepositoriesPaginator(client, &ecr.DescribeRepositoriesInput{MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		page := must[*ecr.DescribeRepositoriesOutput](t)(pages.NextPage(ctx))
		if len(page.Repositories) > 2 {
			t.Errorf("a page of %d", len(page.Repositories))
		}
		for _, r := range page.Repositories {
			names = append(names, *r.RepositoryName)
		}
	}
	if want := "team/repo-0 team/repo-1 team/repo-2 team/repo-3 team/repo-4"; strings.Join(names, " ") != want {
		t.Errorf("pages hold %v", names)
	}
	_, err := client.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{NextToken: aws.String("%%%")})
	wantCode(t, err, "InvalidParameterException")
}

func TestAnotherAccountsRegistryIsDenied(t *testing.T) {
	_, srv := startCloud(t)
	ctx := t.Context()
	createRepository(t, ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount)), "ours")
	theirs := ecr.NewFromConfig(adminConfig(t, srv, "444455556666"))
	for _, name := range []string{"ours", "nobodys"} {
		_, err := theirs.DescribeImages(ctx, &ecr.DescribeImagesInput{RegistryId: aws.String(DefaultAccount), RepositoryName: &name})
		wantCode(t, err, "AccessDeniedException")
	}
	_, err := theirs.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: aws.String("ours")})
	wantCode(t, err, "RepositoryNotFoundException")
}

func TestAuthorizationToken(t *testing.T) {
	now := time.Now()
	c := &Cloud{Dir: t.TempDir(), Now: func() time.Time { return now }}
	srv := serveCloud(t, c)
	client := ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount))
	out := must[*ecr.GetAuthorizationTokenOutput](t)(client.GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{}))
	data := out.AuthorizationData[0]
	raw := must[[]byte](t)(base64.StdEncoding.DecodeString(*data.AuthorizationToken))
	user, password, _ := strings.Cut(string(raw), ":")
	if user != "AWS" || len(password) < 100 || *data.ProxyEndpoint != srv.URL {
		t.Errorf("token for %q, endpoint %s", user, *data.ProxyEndpoint)
	}
	if life := data.ExpiresAt.Sub(now); life < 12*time.Hour-time.Second || life > 12*time.Hour {
		t.Errorf("the token lives %s", life)
	}
	for _, key := range c.store.keys("") {
		if strings.Contains(string(c.store.records[key]), password) || strings.Contains(key, password) {
			t.Errorf("the password is kept in %s", key)
		}
	}
}

func TestExclusionFilters(t *testing.T) {
	for _, test := range []struct {
		mutability, filters, tag string
		immutable                bool
	}{
		{"MUTABLE", "", "latest", false},
		{"IMMUTABLE", "", "latest", true},
		{"IMMUTABLE_WITH_EXCLUSION", "latest env-*", "latest", false},
		{"IMMUTABLE_WITH_EXCLUSION", "latest env-*", "env-dev", false},
		{"IMMUTABLE_WITH_EXCLUSION", "latest env-*", "my-env-dev", true},
		{"IMMUTABLE_WITH_EXCLUSION", "latest", "latest2", true},
		{"MUTABLE_WITH_EXCLUSION", "v*.*", "v1.2", true},
		{"MUTABLE_WITH_EXCLUSION", "v*.*", "v1", false},
		{"MUTABLE_WITH_EXCLUSION", "a*b*a", "aba", true},
		{"MUTABLE_WITH_EXCLUSION", "ab*ba", "aba", false},
		{"MUTABLE_WITH_EXCLUSION", "*", "anything", true},
	} {
		r := &repository{Mutability: test.mutability}
		for _, f := range strings.Fields(test.filters) {
			r.Filters = append(r.Filters, exclusionFilter{"WILDCARD", f})
		}
		if got := r.immutable(test.tag); got != test.immutable {
			t.Errorf("%s %s: immutable(%s) = %v", test.mutability, test.filters, test.tag, got)
		}
	}
}

func TestPutImageTagMutabilityChecksFilters(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	createRepository(t, client, "ab")
	filter := func(values ...string) (list []types.ImageTagMutabilityExclusionFilter) {
		for _, v := range values {
			list = append(list, types.ImageTagMutabilityExclusionFilter{Filter: aws.String(v), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard})
		}
		return list
	}
	in := &ecr.PutImageTagMutabilityInput{RepositoryName: aws.String("ab"), ImageTagMutability: "IMMUTABLE_WITH_EXCLUSION", ImageTagMutabilityExclusionFilters: filter("latest", "env-*")}
	out := must[*ecr.PutImageTagMutabilityOutput](t)(client.PutImageTagMutability(ctx, in))
	if len(out.ImageTagMutabilityExclusionFilters) != 2 || out.ImageTagMutability != in.ImageTagMutability {
		t.Errorf("answered %+v", out)
	}
	for _, bad := range []struct {
		mutability types.ImageTagMutability
		filters    []types.ImageTagMutabilityExclusionFilter
	}{
		{"IMMUTABLE_WITH_EXCLUSION", nil},
		{"IMMUTABLE", filter("latest")},
		{"SOMETIMES", nil},
		{"MUTABLE_WITH_EXCLUSION", filter("a", "b", "c", "d", "e", "f")},
		{"MUTABLE_WITH_EXCLUSION", filter("a/b")},
	} {
		_, err := client.PutImageTagMutability(ctx, &ecr.PutImageTagMutabilityInput{RepositoryName: aws.String("ab"), ImageTagMutability: bad.mutability, ImageTagMutabilityExclusionFilters: bad.filters})
		wantCode(t, err, "InvalidParameterException")
	}
}

// Tagging without a pull: BatchGetImage, then PutImage (system S49).
func TestRetagByAPI(t *testing.T) {
	h := newHub(t, "team/agent")
	ctx := t.Context()
	img := must[v1Image](t)(random.Image(1024, 2))
	if err := remote.Write(h.tag("one"), img, h.auth); err != nil {
		t.Fatal(err)
	}
	digest := must[v1Hash](t)(img.Digest()).String()
	got := must[*ecr.BatchGetImageOutput](t)(h.ecr.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: &h.repository,
		ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("one")}, {ImageTag: aws.String("none")}, {ImageDigest: aws.String("sha256:1")}, {ImageTag: aws.String("one"), ImageDigest: aws.String("sha256:" + strings.Repeat("0", 64))}, {}}}))
	if len(got.Images) != 1 || *got.Images[0].ImageId.ImageDigest != digest || digestOf([]byte(*got.Images[0].ImageManifest)) != digest {
		t.Fatalf("BatchGetImage answered %+v", got.Images)
	}
	var codes []string
	for _, f := range got.Failures {
		codes = append(codes, string(f.FailureCode))
	}
	if want := "ImageNotFound InvalidImageDigest ImageTagDoesNotMatchDigest MissingDigestAndTag"; strings.Join(codes, " ") != want {
		t.Errorf("failures are %v, want %s", codes, want)
	}
	put := &ecr.PutImageInput{RepositoryName: &h.repository, ImageManifest: got.Images[0].ImageManifest,
		ImageManifestMediaType: got.Images[0].ImageManifestMediaType, ImageTag: aws.String("two"), ImageDigest: &digest}
	out := must[*ecr.PutImageOutput](t)(h.ecr.PutImage(ctx, put))
	if *out.Image.ImageId.ImageDigest != digest || *out.Image.ImageId.ImageTag != "two" {
		t.Errorf("PutImage answered %+v", out.Image.ImageId)
	}
	_, err := h.ecr.PutImage(ctx, put)
	wantCode(t, err, "ImageAlreadyExistsException")
	put.ImageDigest = aws.String("sha256:" + strings.Repeat("0", 64))
	_, err = h.ecr.PutImage(ctx, put)
	wantCode(t, err, "ImageDigestDoesNotMatchException")

	_, err = h.ecr.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: &h.repository, AcceptedMediaTypes: []string{typeOCIManifest}, ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("one")}}})
	wantCode(t, err, "InvalidParameterException")
}

func TestPutImageRefuses(t *testing.T) {
	h := newHub(t, "team/agent")
	zeros := "sha256:" + strings.Repeat("0", 64)
	child := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7}`, typeOCIManifest, zeros)
	for what, test := range map[string]struct{ manifest, mediaType, tag, code string }{
		"layers missing":       {`{"schemaVersion":2,"config":` + child + `,"layers":[` + child + `]}`, typeOCIManifest, "x", "LayersNotFoundException"},
		"children missing":     {`{"schemaVersion":2,"manifests":[` + child + `]}`, typeOCIIndex, "x", "ReferencedImagesNotFoundException"},
		"no layers":            {`{"schemaVersion":2,"config":` + child + `,"layers":[]}`, typeOCIManifest, "x", "InvalidParameterException"},
		"not JSON":             {`{`, typeOCIManifest, "x", "InvalidParameterException"},
		"schema 1":             {`{"schemaVersion":1}`, "application/vnd.docker.distribution.manifest.v1+json", "x", "InvalidParameterException"},
		"other type":           {`{"schemaVersion":2}`, "application/json", "x", "InvalidParameterException"},
		"no type":              {`{"schemaVersion":2,"manifests":[` + child + `]}`, "", "x", "InvalidParameterException"},
		"two types":            {`{"schemaVersion":2,"mediaType":"` + typeOCIIndex + `","manifests":[]}`, typeDockerList, "x", "InvalidParameterException"},
		"traversal as digest":  {`{"schemaVersion":2,"config":{"digest":"sha256:../../x"},"layers":[{"digest":"sha256:.."}]}`, typeOCIManifest, "x", "InvalidParameterException"},
		"tag with a slash":     {`{"schemaVersion":2,"manifests":[]}`, typeOCIIndex, "a/b", "InvalidParameterException"},
		"manifest over 4 MiB":  {`{"schemaVersion":2,"manifests":[` + strings.Repeat(" ", maxManifest) + `]}`, typeOCIIndex, "x", "InvalidParameterException"},
		"repository not there": {`{"schemaVersion":2,"manifests":[]}`, typeOCIIndex, "x", "RepositoryNotFoundException"},
	} {
		t.Run(what, func(t *testing.T) {
			repository := h.repository
			if what == "repository not there" {
				repository = "none"
			}
			_, err := h.ecr.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: &repository, ImageManifest: &test.manifest, ImageManifestMediaType: &test.mediaType, ImageTag: &test.tag})
			wantCode(t, err, test.code)
		})
	}
	left := must[*ecr.ListImagesOutput](t)(h.ecr.ListImages(t.Context(), &ecr.ListImagesInput{RepositoryName: &h.repository}))
	if len(left.ImageIds) != 0 {
		t.Errorf("refused images are listed: %v", left.ImageIds)
	}
}

func TestDescribeAndListImages(t *testing.T) {
	h := newHub(t, "team/agent")
	ctx := t.Context()
	small, big := must[v1Image](t)(random.Image(1000, 1)), must[v1Image](t)(random.Image(9000, 3))
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: small}, mutate.IndexAddendum{Add: big})
	if err := remote.WriteIndex(h.tag("index"), index, h.auth); err != nil {
		t.Fatal(err)
	}
	if err := remote.Tag(h.tag("big"), big, h.auth); err != nil {
		t.Fatal(err)
	}
	if err := remote.Tag(h.tag("large"), big, h.auth); err != nil {
		t.Fatal(err)
	}
	size := imageBytes(t, big)
	for tag, want := range map[string]int64{"big": size, "index": size} {
		out := must[*ecr.DescribeImagesOutput](t)(h.ecr.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: &h.repository, ImageIds: []types.ImageIdentifier{{ImageTag: &tag}}}))
		if d := out.ImageDetails[0]; *d.ImageSizeInBytes != want || d.ImagePushedAt.IsZero() || d.ImageStatus != "ACTIVE" {
			t.Errorf("%s: size %d, want %d: %+v", tag, *d.ImageSizeInBytes, want, d)
		}
	}
	_, err := h.ecr.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: &h.repository, ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("none")}}})
	wantCode(t, err, "ImageNotFoundException")

	count := func(status types.TagStatus) (ids, details int) {
		list := ecr.NewListImagesPaginator(h.ecr, &ecr.ListImagesInput{RepositoryName: &h.repository, MaxResults: aws.Int32(1), Filter: &types.ListImagesFilter{TagStatus: status}})
		for list.HasMorePages() {
			ids += len(must[*ecr.ListImagesOutput](t)(list.NextPage(ctx)).ImageIds)
		}
		describe := ecr.NewDescribeImagesPaginator(h.ecr, &ecr.DescribeImagesInput{RepositoryName: &h.repository, MaxResults: aws.Int32(1), Filter: &types.DescribeImagesFilter{TagStatus: status}})
		for describe.HasMorePages() {
			details += len(must[*ecr.DescribeImagesOutput](t)(describe.NextPage(ctx)).ImageDetails)
		}
		return ids, details
	}
	for status, want := range map[types.TagStatus][2]int{"ANY": {4, 3}, "TAGGED": {3, 2}, "UNTAGGED": {1, 1}} {
		if ids, details := count(status); ids != want[0] || details != want[1] {
			t.Errorf("%s lists %d ids and %d details, want %v", status, ids, details, want)
		}
	}
	_, err = h.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: &h.repository})
	wantCode(t, err, "RepositoryNotEmptyException")
	must[*ecr.DeleteRepositoryOutput](t)(h.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: &h.repository, Force: true}))
}

func TestBatchDeleteImage(t *testing.T) {
	h := newHub(t, "team/agent")
	ctx := t.Context()
	img := must[v1Image](t)(random.Image(100, 1))
	for _, tag := range []string{"a", "b"} {
		if err := remote.Write(h.tag(tag), img, h.auth); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(id types.ImageIdentifier) *ecr.BatchDeleteImageOutput {
		return must[*ecr.BatchDeleteImageOutput](t)(h.ecr.BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{RepositoryName: &h.repository, ImageIds: []types.ImageIdentifier{id}}))
	}
	tagged := func() int {
		return len(must[*ecr.ListImagesOutput](t)(h.ecr.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: &h.repository})).ImageIds)
	}
	remove(types.ImageIdentifier{ImageTag: aws.String("a")})
	if n := tagged(); n != 1 {
		t.Errorf("%d ids after a tag was removed, want 1", n)
	}
	if out := remove(types.ImageIdentifier{ImageTag: aws.String("a")}); len(out.Failures) != 1 || out.Failures[0].FailureCode != "ImageNotFound" {
		t.Errorf("removing it again: %+v", out.Failures)
	}
	remove(types.ImageIdentifier{ImageTag: aws.String("b")})
	if n := tagged(); n != 0 {
		t.Errorf("%d ids after the last tag was removed, want 0", n)
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})
	if err := remote.WriteIndex(h.tag("index"), index, h.auth); err != nil {
		t.Fatal(err)
	}
	child := must[v1Hash](t)(img.Digest()).String()
	if out := remove(types.ImageIdentifier{ImageDigest: &child}); len(out.Failures) != 1 || out.Failures[0].FailureCode != "ImageReferencedByManifestList" {
		t.Errorf("removing an index's child: %+v", out.Failures)
	}
}

func TestBatchCheckLayerAvailability(t *testing.T) {
	h := newHub(t, "team/agent")
	img := must[v1Image](t)(random.Image(100, 1))
	if err := remote.Write(h.tag("a"), img, h.auth); err != nil {
		t.Fatal(err)
	}
	layer := must[[]v1Layer](t)(img.Layers())[0]
	have := must[v1Hash](t)(layer.Digest()).String()
	out := must[*ecr.BatchCheckLayerAvailabilityOutput](t)(h.ecr.BatchCheckLayerAvailability(t.Context(), &ecr.BatchCheckLayerAvailabilityInput{
		RepositoryName: &h.repository, LayerDigests: []string{have, "sha256:" + strings.Repeat("0", 64), "sha256:../x"}}))
	if len(out.Layers) != 2 || out.Layers[0].LayerAvailability != "AVAILABLE" || *out.Layers[0].LayerSize != must[int64](t)(layer.Size()) ||
		out.Layers[1].LayerAvailability != "UNAVAILABLE" || len(out.Failures) != 1 {
		t.Errorf("answered %+v, failures %+v", out.Layers, out.Failures)
	}
}

// TestRefusedDeletionLeavesItsTag: the second of two deletions in one call is
// written, the first, which is refused, is not written with it.
func TestRefusedDeletionLeavesItsTag(t *testing.T) {
	h := newHub(t, "team/agent")
	idx := must[v1.ImageIndex](t)(random.Index(100, 1, 2))
	if err := remote.WriteIndex(h.tag("index"), idx, h.auth); err != nil {
		t.Fatal(err)
	}
	child := must[*v1.IndexManifest](t)(idx.IndexManifest()).Manifests[0].Digest
	if err := remote.Tag(h.tag("child"), must[*remote.Descriptor](t)(remote.Get(h.ref("@"+child.String()), h.auth)), h.auth); err != nil {
		t.Fatal(err)
	}
	other := must[v1.Image](t)(random.Image(100, 1))
	if err := remote.Write(h.tag("other"), other, h.auth); err != nil {
		t.Fatal(err)
	}
	out := must[*ecr.BatchDeleteImageOutput](t)(h.ecr.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{
		RepositoryName: aws.String("team/agent"), ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("child")}, {ImageTag: aws.String("other")}}}))
	if len(out.Failures) != 1 || len(out.ImageIds) != 1 {
		t.Fatalf("deleting answered %+v", out)
	}
	if _, err := remote.Head(h.tag("child"), h.auth); err != nil {
		t.Errorf("the refused tag is gone: %v", err)
	}
}
