package assume

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ecr lists the assumptions about ECR's API.
func ecr() []Assumption {
	return []Assumption{
		{"A201", "", a201NoRepositoryOfThatName}, {"A202", "", a202NameTaken}, {"A203", "", a203RepositoryNames},
		{"A204", "", a204FullRepositoryStays}, {"A205", "", a205LoginIsAWS}, {"A206", "", a206LoginLastsTwelveHours}, {"A207", Local, a207LoginOutlivesTheSession},
		{"A210", "", a210PutImageTags}, {"A211", "", a211SameTagSameDigest}, {"A212", "", a212ImmutableTags},
		{"A213", "", a213ExcludedTagsMove}, {"A214", "", a214MutabilitySettings}, {"A215", "", a215DigestHasToMatch},
		{"A216", "", a216LayersHaveToBeThere}, {"A217", "", a217ChildrenHaveToBeThere}, {"A218", "", a218NoLayersNoImage},
		{"A220", "", a220MissesAreFailures}, {"A221", "", a221MissesOfDescribe}, {"A222", "", a222ManifestIsUnchanged},
		{"A223", "", a223PagesOfImages}, {"A224", "", a224PageBounds}, {"A225", "", a225TagsLeave}, {"A226", "", a226LayerAvailability},
		{"A227", "", a227ChildrenAreKept}, {"A228", "", a228RepositoryFacts},
	}
}

// A201: Describing, listing or deleting a repository that is not there is 400
// RepositoryNotFoundException, "The repository with name '…' does not exist in
// the registry with id '…'".
// Source: ECR API reference, DescribeRepositories (errors).
// Confidence: H.
func a201NoRepositoryOfThatName(t T, a *Account) {
	name := a.name()
	want := fmt.Sprintf("The repository with name '%s' does not exist in the registry with id '%s'", name, a.ID)
	for operation, in := range map[string]document{"DescribeRepositories": {"repositoryNames": []string{name}},
		"ListImages": {"repositoryName": name}, "DescribeImages": {"repositoryName": name}, "DeleteRepository": {"repositoryName": name}} {
		a.json11(t, "ecr", operation, in).refused(t, http.StatusBadRequest, "RepositoryNotFoundException", want)
	}
}

// A202: A repository's name that is taken is 400 RepositoryAlreadyExistsException.
// Source: ECR API reference, CreateRepository (errors).
// Confidence: H.
func a202NameTaken(t T, a *Account) {
	name := a.repository(t, nil)
	a.json11(t, "ecr", "CreateRepository", document{"repositoryName": name}).refused(t, http.StatusBadRequest, "RepositoryAlreadyExistsException", "")
}

// A203: Repository names are lower case, of parts between slashes, 2 to 256
// characters; others are 400 InvalidParameterException.
// Source: ECR API reference, CreateRepository (repositoryName).
// Confidence: H.
func a203RepositoryNames(t T, a *Account) {
	for _, name := range []string{"a", "Agent", "a//b", "../a", "a/", ".a", strings.Repeat("a", 257)} {
		a.json11(t, "ecr", "CreateRepository", document{"repositoryName": name}).refused(t, http.StatusBadRequest, "InvalidParameterException", "")
	}
}

// A204: A repository that holds images is deleted with force alone; without, it
// is 400 RepositoryNotEmptyException.
// Source: ECR API reference, DeleteRepository.
// Confidence: H.
func a204FullRepositoryStays(t T, a *Account) {
	name := a.repository(t, nil)
	a.push(t, name, "one", paint(t, "arm64", name, nil))
	a.json11(t, "ecr", "DeleteRepository", document{"repositoryName": name}).refused(t, http.StatusBadRequest, "RepositoryNotEmptyException", "")
	a.json11(t, "ecr", "DeleteRepository", document{"repositoryName": name, "force": true}).want(t, http.StatusOK)
}

// A205: A login is base64 of AWS, a colon and a password, with the registry's
// address beside it.
// Source: ECR API reference, GetAuthorizationToken.
// Confidence: H.
func a205LoginIsAWS(t T, a *Account) {
	x := a.json11(t, "ecr", "GetAuthorizationToken", document{}).want(t, http.StatusOK)
	if secret := password(t, x.text("authorizationData.0.authorizationToken")); len(secret) < 32 {
		t.Errorf("the password has %d characters", len(secret))
	}
	if endpoint := x.text("authorizationData.0.proxyEndpoint"); !strings.HasPrefix(endpoint, "http") {
		t.Errorf("proxyEndpoint is %q", endpoint)
	}
}

// A206: A login lasts 12 hours.
// Source: ECR API reference, GetAuthorizationToken. Whether it outlives the STS session behind it is open.
// Confidence: H.
func a206LoginLastsTwelveHours(t T, a *Account) {
	x := a.json11(t, "ecr", "GetAuthorizationToken", document{}).want(t, http.StatusOK)
	seconds, err := strconv.ParseFloat(x.text("authorizationData.0.expiresAt"), 64)
	left := time.UnixMilli(int64(seconds * 1000)).Sub(a.now())
	if err != nil || left < 11*time.Hour+50*time.Minute || left > 12*time.Hour+10*time.Minute {
		t.Errorf("a login ends in %v (%v)", left, err)
	}
}

// A207: A login outlives the STS session that asked for it, up to its own 12
// hours, and then is refused.
// Source: ECR API reference, GetAuthorizationToken (12 hours); nothing is said of sessions.
// Confidence: L. It takes a session to its end, and 12 hours.
func a207LoginOutlivesTheSession(t T, a *Account) {
	session := a.permitted(t, allow("ecr:GetAuthorizationToken", "*"), "DurationSeconds", "900")
	login := session.token(t)
	a.pass(t, 16*time.Minute)
	session.json11(t, "ecr", "GetAuthorizationToken", document{}).refused(t, http.StatusBadRequest, "ExpiredTokenException", "")
	a.docker(t, login, http.MethodGet, "/v2/", nil, nil).want(t, http.StatusOK)
	a.pass(t, 12*time.Hour)
	a.docker(t, login, http.MethodGet, "/v2/", nil, nil).want(t, http.StatusForbidden)
}

// A210: PutImage gives an image that is there another tag, with no pull and no
// upload, and answers its digest.
// Source: ECR guide, "Retagging an image".
// Confidence: H.
func a210PutImageTags(t T, a *Account) {
	name := a.repository(t, nil)
	p := paint(t, "arm64", name, nil)
	digest := a.push(t, name, "one", p)
	x := a.putImage(t, name, "two", p.manifest, document{"imageManifestMediaType": typeManifest, "imageDigest": digest}).want(t, http.StatusOK)
	same(t, "the digest behind the new tag", x.text("image.imageId.imageDigest"), digest)
	same(t, "the new tag", x.text("image.imageId.imageTag"), "two")
}

// A211: The same tag on the same digest once more is 400
// ImageAlreadyExistsException, whatever the repository's mutability.
// Source: ECR API reference, PutImage ("there were no changes to the manifest or image tag after the last push").
// Confidence: H.
func a211SameTagSameDigest(t T, a *Account) {
	for _, mutability := range []string{"MUTABLE", "IMMUTABLE"} {
		name := a.repository(t, document{"imageTagMutability": mutability})
		p := paint(t, "arm64", name, nil)
		a.push(t, name, "one", p)
		a.putImage(t, name, "one", p.manifest, nil).refused(t, http.StatusBadRequest, "ImageAlreadyExistsException", "")
	}
}

// A212: In a repository with IMMUTABLE tags, a tag that is taken does not move:
// 400 ImageTagAlreadyExistsException.
// Source: ECR guide, "Image tag mutability"; API reference, PutImage (errors).
// Confidence: H.
func a212ImmutableTags(t T, a *Account) {
	name := a.repository(t, document{"imageTagMutability": "IMMUTABLE"})
	first, second := paint(t, "arm64", name+"1", nil), paint(t, "arm64", name+"2", nil)
	a.push(t, name, "one", first)
	a.push(t, name, "two", second)
	a.putImage(t, name, "one", second.manifest, nil).refused(t, http.StatusBadRequest, "ImageTagAlreadyExistsException", "")
	x := a.json11(t, "ecr", "DescribeImages", document{"repositoryName": name, "imageIds": []any{document{"imageTag": "one"}}}).want(t, http.StatusOK)
	same(t, "what the tag names", x.text("imageDetails.0.imageDigest"), first.digest())
}

// A213: With IMMUTABLE_WITH_EXCLUSION, tags that a WILDCARD filter names move,
// and the others don't.
// Source: ECR API reference, PutImageTagMutability (imageTagMutabilityExclusionFilters).
// Confidence: H.
func a213ExcludedTagsMove(t T, a *Account) {
	name := a.repository(t, document{"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
		"imageTagMutabilityExclusionFilters": []any{document{"filterType": "WILDCARD", "filter": "latest"}, document{"filterType": "WILDCARD", "filter": "env-*"}}})
	first, second := paint(t, "arm64", name+"1", nil), paint(t, "arm64", name+"2", nil)
	a.push(t, name, "one", first)
	a.push(t, name, "two", second)
	for _, tag := range []string{"latest", "env-dev"} {
		a.putImage(t, name, tag, first.manifest, nil).want(t, http.StatusOK)
		a.putImage(t, name, tag, second.manifest, nil).want(t, http.StatusOK)
	}
	a.putImage(t, name, "one", second.manifest, nil).refused(t, http.StatusBadRequest, "ImageTagAlreadyExistsException", "")
}

// A214: Filters belong to the settings with exclusion: 1 to 5 of them, of
// letters, digits and ._*-.
// Source: ECR API reference, PutImageTagMutability.
// Confidence: H.
func a214MutabilitySettings(t T, a *Account) {
	name := a.repository(t, nil)
	filter := document{"filterType": "WILDCARD", "filter": "latest"}
	for _, in := range []document{
		{"imageTagMutability": "SOMETIMES"},
		{"imageTagMutability": "IMMUTABLE", "imageTagMutabilityExclusionFilters": []any{filter}},
		{"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"},
		{"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": []any{filter, filter, filter, filter, filter, filter}},
		{"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": []any{with(filter, document{"filter": "a b"})}},
	} {
		x := a.json11(t, "ecr", "PutImageTagMutability", with(in, document{"repositoryName": name}))
		x.refused(t, http.StatusBadRequest, "InvalidParameterException", "")
	}
}

// A215: PutImage with an imageDigest that is not the manifest's is 400
// ImageDigestDoesNotMatchException.
// Source: ECR API reference, PutImage (errors).
// Confidence: H.
func a215DigestHasToMatch(t T, a *Account) {
	name := a.repository(t, nil)
	p := paint(t, "arm64", name, nil)
	a.push(t, name, "one", p)
	x := a.putImage(t, name, "two", p.manifest, document{"imageDigest": missingDigest})
	x.refused(t, http.StatusBadRequest, "ImageDigestDoesNotMatchException", "")
}

// A216: A manifest whose configuration or layers are not in the same repository
// is 400 LayersNotFoundException, and nothing is tagged.
// Source: ECR API reference, PutImage (errors).
// Confidence: H.
func a216LayersHaveToBeThere(t T, a *Account) {
	elsewhere, name := a.repository(t, nil), a.repository(t, nil)
	p := paint(t, "arm64", name, nil)
	a.push(t, elsewhere, "one", p)
	a.putImage(t, name, "one", p.manifest, nil).refused(t, http.StatusBadRequest, "LayersNotFoundException", "")
	x := a.json11(t, "ecr", "ListImages", document{"repositoryName": name}).want(t, http.StatusOK)
	same(t, "how many images there are after the refusal", strconv.Itoa(x.count("imageIds")), "0")
}

// A217: An index whose children are not in the same repository is 400
// ReferencedImagesNotFoundException.
// Source: ECR API reference, PutImage (errors).
// Confidence: H.
func a217ChildrenHaveToBeThere(t T, a *Account) {
	name := a.repository(t, nil)
	raw := index(t, map[string]picture{"linux/arm64": paint(t, "arm64", name, nil)})
	a.putImage(t, name, "one", raw, document{"imageManifestMediaType": typeIndex}).refused(t, http.StatusBadRequest, "ReferencedImagesNotFoundException", "")
}

// A218: An image without layers is refused with 400 InvalidParameterException.
// Source: werf/werf#2558.
// Confidence: M.
func a218NoLayersNoImage(t T, a *Account) {
	name := a.repository(t, nil)
	config := []byte("{}")
	a.uploadBlob(t, name, config, digestOf(config)).want(t, http.StatusCreated)
	raw := encode(t, document{"schemaVersion": 2, "mediaType": typeManifest, "config": part(typeConfig, config), "layers": []any{}})
	a.putImage(t, name, "one", raw, nil).refused(t, http.StatusBadRequest, "InvalidParameterException", "layer")
}

// A220: BatchGetImage answers 200 with what it has not under failures:
// ImageNotFound, ImageTagDoesNotMatchDigest, InvalidImageDigest.
// Source: ECR API reference, BatchGetImage, ImageFailure.
// Confidence: H.
func a220MissesAreFailures(t T, a *Account) {
	name := a.repository(t, nil)
	digest := a.push(t, name, "one", paint(t, "arm64", name, nil))
	x := a.json11(t, "ecr", "BatchGetImage", document{"repositoryName": name, "imageIds": []any{
		document{"imageTag": "nobody"}, document{"imageTag": "one", "imageDigest": missingDigest}, document{"imageDigest": "sha256:xyz"}, document{"imageTag": "one"}}})
	x.want(t, http.StatusOK)
	same(t, "what was found", x.text("images.0.imageId.imageDigest"), digest)
	codes := map[string]int{}
	for i := range x.count("failures") {
		codes[x.text("failures."+strconv.Itoa(i)+".failureCode")]++
	}
	same(t, "the failures", fmt.Sprint(codes), fmt.Sprint(map[string]int{"ImageNotFound": 1, "ImageTagDoesNotMatchDigest": 1, "InvalidImageDigest": 1}))
}

// A221: DescribeImages of an image that is not there is 400
// ImageNotFoundException.
// Source: ECR API reference, DescribeImages (errors).
// Confidence: H.
func a221MissesOfDescribe(t T, a *Account) {
	name := a.repository(t, nil)
	x := a.json11(t, "ecr", "DescribeImages", document{"repositoryName": name, "imageIds": []any{document{"imageTag": "nobody"}}})
	x.refused(t, http.StatusBadRequest, "ImageNotFoundException", "nobody")
}

// A222: BatchGetImage gives a manifest back byte for byte where its type is
// accepted, so that its digest is the one that was pushed.
// Source: ECR API reference, BatchGetImage (acceptedMediaTypes).
// Confidence: H.
func a222ManifestIsUnchanged(t T, a *Account) {
	name := a.repository(t, nil)
	p := paint(t, "arm64", name, nil)
	a.push(t, name, "one", p)
	x := a.json11(t, "ecr", "BatchGetImage", document{"repositoryName": name, "imageIds": []any{document{"imageTag": "one"}}, "acceptedMediaTypes": []string{typeManifest}})
	same(t, "the manifest", x.want(t, http.StatusOK).text("images.0.imageManifest"), string(p.manifest))
	same(t, "its type", x.text("images.0.imageManifestMediaType"), typeManifest)
}

// A223: Pages of ListImages and DescribeImages meet every image once; ListImages
// has an entry for each tag, DescribeImages for each digest.
// Source: ECR API reference, ListImages, DescribeImages.
// Confidence: H.
func a223PagesOfImages(t T, a *Account) {
	name := a.repository(t, nil)
	for _, salt := range []string{"1", "2"} {
		p := paint(t, "arm64", name+salt, nil)
		a.push(t, name, "a"+salt, p)
		a.putImage(t, name, "b"+salt, p.manifest, nil).want(t, http.StatusOK)
	}
	for operation, want := range map[string]struct {
		list string
		n    int
	}{"ListImages": {"imageIds", 4}, "DescribeImages": {"imageDetails", 2}} {
		seen, token := map[string]bool{}, any(nil)
		for range want.n + 1 {
			x := a.json11(t, "ecr", operation, with(document{"repositoryName": name, "maxResults": 1}, document{"nextToken": token})).want(t, http.StatusOK)
			if n := x.count(want.list); n > 1 {
				t.Errorf("%s: a page of at most 1 has %d", operation, n)
			}
			if x.count(want.list) == 1 {
				seen[x.text(want.list+".0")] = true
			}
			if token = x.at("nextToken"); token == nil {
				break
			}
		}
		if len(seen) != want.n || token != nil {
			t.Errorf("%s: pages have %d entries, want %d (nextToken %v)", operation, len(seen), want.n, token)
		}
	}
}

// A224: maxResults is 1 to 1000.
// Source: ECR API reference, ListImages.
// Confidence: H.
func a224PageBounds(t T, a *Account) {
	name := a.repository(t, nil)
	for _, size := range []int{0, 1001} {
		a.json11(t, "ecr", "ListImages", document{"repositoryName": name, "maxResults": size}).refused(t, http.StatusBadRequest, "InvalidParameterException", "maxResults")
	}
}

// A225: BatchDeleteImage by a tag takes the tag alone, unless it is the image's
// last: then the image goes.
// Source: ECR API reference, BatchDeleteImage.
// Confidence: H.
func a225TagsLeave(t T, a *Account) {
	name := a.repository(t, nil)
	p := paint(t, "arm64", name, nil)
	a.push(t, name, "one", p)
	a.putImage(t, name, "two", p.manifest, nil).want(t, http.StatusOK)
	for i, tag := range []string{"one", "two"} {
		a.json11(t, "ecr", "BatchDeleteImage", document{"repositoryName": name, "imageIds": []any{document{"imageTag": tag}}}).want(t, http.StatusOK)
		x := a.json11(t, "ecr", "DescribeImages", document{"repositoryName": name}).want(t, http.StatusOK)
		same(t, "how many images are left", strconv.Itoa(x.count("imageDetails")), strconv.Itoa(1-i))
	}
}

// A226: BatchCheckLayerAvailability answers AVAILABLE with the size, or
// UNAVAILABLE, for each digest.
// Source: ECR API reference, BatchCheckLayerAvailability.
// Confidence: H.
func a226LayerAvailability(t T, a *Account) {
	name := a.repository(t, nil)
	p := paint(t, "arm64", name, nil)
	a.uploadParts(t, name, p)
	x := a.json11(t, "ecr", "BatchCheckLayerAvailability", document{"repositoryName": name, "layerDigests": []string{digestOf(p.layer), missingDigest}}).want(t, http.StatusOK)
	got := map[string]string{}
	for i := range x.count("layers") {
		at := "layers." + strconv.Itoa(i) + "."
		got[x.text(at+"layerDigest")] = x.text(at + "layerAvailability")
	}
	same(t, "the layer that is there", got[digestOf(p.layer)], "AVAILABLE")
	if got[missingDigest] == "AVAILABLE" {
		t.Errorf("a layer that nobody pushed is AVAILABLE")
	}
}

// A227: An image that an index lists is not deleted: a failure with the code
// ImageReferencedByManifestList.
// Source: ECR API reference, ImageFailure (failureCode).
// Confidence: H.
func a227ChildrenAreKept(t T, a *Account) {
	name := a.repository(t, nil)
	child := paint(t, "arm64", name, nil)
	a.uploadParts(t, name, child)
	a.putManifest(t, name, child.digest(), typeManifest, child.manifest).want(t, http.StatusCreated)
	raw := index(t, map[string]picture{"linux/arm64": child})
	a.putManifest(t, name, "one", typeIndex, raw).want(t, http.StatusCreated)
	x := a.json11(t, "ecr", "BatchDeleteImage", document{"repositoryName": name, "imageIds": []any{document{"imageDigest": child.digest()}}}).want(t, http.StatusOK)
	same(t, "why the child stays", x.text("failures.0.failureCode"), "ImageReferencedByManifestList")
}

// A228: A repository has the URI ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME, and
// is MUTABLE unless made otherwise.
// Source: ECR API reference, Repository.
// Confidence: H.
func a228RepositoryFacts(t T, a *Account) {
	name := a.repository(t, nil)
	x := a.json11(t, "ecr", "DescribeRepositories", document{"repositoryNames": []string{name}}).want(t, http.StatusOK)
	same(t, "repositoryUri", x.text("repositories.0.repositoryUri"), a.uri(name, ""))
	same(t, "repositoryArn", x.text("repositories.0.repositoryArn"), "arn:aws:ecr:"+a.Region+":"+a.ID+":repository/"+name)
	same(t, "imageTagMutability", x.text("repositories.0.imageTagMutability"), "MUTABLE")
}
