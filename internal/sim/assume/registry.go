package assume

import (
	"net/http"
	"strconv"
	"strings"
)

// registry lists the assumptions about ECR's registry: the OCI distribution API
// and where ECR departs from it.
func registry() []Assumption {
	return []Assumption{
		{"A301", "", a301NoLoginIsAsked}, {"A302", "", a302NoRepositoryOnPush}, {"A303", "", a303RepositoriesAreApart},
		{"A304", "", a304DigestsAreCompared}, {"A305", "", a305MissingBlobs}, {"A306", "", a306ImmutableTagOnPush},
		{"A307", "", a307PushAgain}, {"A308", "", a308PullByDigest}, {"A309", "", a309UnknownManifest},
		{"A310", "", a310PushInOneRequest}, {"A311", "", a311TagsList}, {"A312", "", a312Referrers},
		{"A313", Local, a313MountIsAnUpload}, {"A314", "", a314LayersAreNotDeleted}, {"A315", "", a315AbsentReferences},
	}
}

// get reads from the registry.
func (a *Account) pull(t T, repository, path string) answer {
	t.Helper()
	return a.docker(t, a.token(t), http.MethodGet, "/v2/"+repository+path, nil, map[string]string{"Accept": typeManifest + ", " + typeIndex})
}

// A301: Without a login, or with a wrong one, the registry answers 401 with a
// Basic challenge.
// Source: RFC 7617; docker's and containerd's behaviour against ECR.
// Confidence: H.
func a301NoLoginIsAsked(t T, a *Account) {
	for _, login := range []string{"", "QVdTOm5vYm9keQ=="} {
		x := a.docker(t, login, http.MethodGet, "/v2/", nil, nil)
		if x.status != http.StatusUnauthorized || login == "" && !strings.HasPrefix(x.header.Get("Www-Authenticate"), "Basic ") {
			t.Errorf("want 401 and a Basic challenge: %s %v", x, x.header)
		}
	}
	a.docker(t, a.token(t), http.MethodGet, "/v2/", nil, nil).want(t, http.StatusOK)
}

// A302: A push makes no repository: 404 NAME_UNKNOWN.
// Source: ECR guide, "Pushing a Docker image" (the repository has to exist; creation templates aside).
// Confidence: H.
func a302NoRepositoryOnPush(t T, a *Account) {
	name := a.name() + "/agent"
	x := a.docker(t, a.token(t), http.MethodPost, "/v2/"+name+"/blobs/uploads/", nil, nil)
	x.refused(t, http.StatusNotFound, "NAME_UNKNOWN", name)
	a.pull(t, name, "/manifests/one").refused(t, http.StatusNotFound, "NAME_UNKNOWN", name)
}

// A303: A blob of one repository is not in another.
// Source: ECR API reference, BatchCheckLayerAvailability (per repository); ECR guide, "Blob mounting" (off by default).
// Confidence: H.
func a303RepositoriesAreApart(t T, a *Account) {
	here, there := a.repository(t, nil), a.repository(t, nil)
	p := paint(t, "arm64", here, nil)
	a.uploadParts(t, here, p)
	for name, want := range map[string]int{here: http.StatusOK, there: http.StatusNotFound} {
		a.docker(t, a.token(t), http.MethodHead, "/v2/"+name+"/blobs/"+digestOf(p.layer), nil, nil).want(t, want)
	}
}

// A304: A blob that does not have the digest that it is pushed as is refused
// with a 4xx status, and is not there.
// Source: OCI distribution specification, "Pushing blobs"; ECR API reference, CompleteLayerUpload (InvalidLayerException).
// Confidence: H that it is refused, M for the code.
func a304DigestsAreCompared(t T, a *Account) {
	name := a.repository(t, nil)
	x := a.uploadBlob(t, name, []byte("another thing"), missingDigest)
	if x.status < 400 || x.status > 499 {
		t.Errorf("a blob of another digest: %s", x)
	}
	a.docker(t, a.token(t), http.MethodHead, "/v2/"+name+"/blobs/"+missingDigest, nil, nil).want(t, http.StatusNotFound)
}

// A305: A manifest whose blobs are missing is refused, and its tag is not there.
// Source: oras-project/oras-py#54 (BLOB_UPLOAD_UNKNOWN); ECR API reference, PutImage.
// Confidence: H that it is refused, M for the code.
func a305MissingBlobs(t T, a *Account) {
	name := a.repository(t, nil)
	x := a.putManifest(t, name, "one", typeManifest, paint(t, "arm64", name, nil).manifest)
	x.refused(t, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "")
	a.pull(t, name, "/manifests/one").want(t, http.StatusNotFound)
}

// A306: A push that would move an immutable tag is refused: 400 TAG_INVALID.
// Source: osscontainertools/kaniko#204; ECR guide, "Image tag mutability".
// Confidence: H that it is refused, M for the code.
func a306ImmutableTagOnPush(t T, a *Account) {
	name := a.repository(t, document{"imageTagMutability": "IMMUTABLE"})
	first, second := paint(t, "arm64", name+"1", nil), paint(t, "arm64", name+"2", nil)
	a.push(t, name, "one", first)
	a.uploadParts(t, name, second)
	a.putManifest(t, name, "one", typeManifest, second.manifest).refused(t, http.StatusBadRequest, "TAG_INVALID", "one")
	same(t, "what the tag names", a.pull(t, name, "/manifests/one").want(t, http.StatusOK).header.Get("Docker-Content-Digest"), first.digest())
}

// A307: Pushing the same manifest to the same tag again is no error where tags
// are mutable, and is refused where they are not.
// Source: aws/containers-roadmap#2179, #2380.
// Confidence: M.
func a307PushAgain(t T, a *Account) {
	for mutability, want := range map[string]int{"MUTABLE": http.StatusCreated, "IMMUTABLE": http.StatusBadRequest} {
		name := a.repository(t, document{"imageTagMutability": mutability})
		p := paint(t, "arm64", name, nil)
		a.push(t, name, "one", p)
		a.putManifest(t, name, "one", typeManifest, p.manifest).want(t, want)
	}
}

// A308: A manifest is served as it was pushed, by tag and by digest, with its
// digest and type in headers.
// Source: OCI distribution specification, "Pulling manifests".
// Confidence: H.
func a308PullByDigest(t T, a *Account) {
	name := a.repository(t, nil)
	p := paint(t, "arm64", name, nil)
	digest := a.push(t, name, "one", p)
	for _, reference := range []string{"one", digest} {
		x := a.pull(t, name, "/manifests/"+reference).want(t, http.StatusOK)
		same(t, "the manifest", string(x.body), string(p.manifest))
		same(t, "its digest", x.header.Get("Docker-Content-Digest"), digest)
		same(t, "its type", x.header.Get("Content-Type"), typeManifest)
	}
	same(t, "a blob", string(a.pull(t, name, "/blobs/"+digestOf(p.config)).want(t, http.StatusOK).body), string(p.config))
}

// A309: A tag or digest that is not there is 404 MANIFEST_UNKNOWN.
// Source: OCI distribution specification, error codes.
// Confidence: H.
func a309UnknownManifest(t T, a *Account) {
	name := a.repository(t, nil)
	for _, reference := range []string{"nobody", missingDigest} {
		a.pull(t, name, "/manifests/"+reference).refused(t, http.StatusNotFound, "MANIFEST_UNKNOWN", "")
	}
}

// A310: An upload goes on where Location says: POST 202, PATCH with the bytes,
// PUT with the digest 201.
// Source: OCI distribution specification, "Pushing a blob in chunks"; aws/containers-roadmap#2831 for PATCH.
// Confidence: H.
func a310PushInOneRequest(t T, a *Account) {
	name := a.repository(t, nil)
	blob := []byte(name)
	x := a.uploadBlob(t, name, blob, digestOf(blob)).want(t, http.StatusCreated)
	if !strings.Contains(x.header.Get("Location"), digestOf(blob)) {
		t.Errorf("Location does not name the blob: %v", x.header)
	}
}

// A311: The list of tags has every tag, and a page of n has a Link to the next.
// Source: OCI distribution specification, "Listing tags".
// Confidence: H.
func a311TagsList(t T, a *Account) {
	name := a.repository(t, nil)
	p := paint(t, "arm64", name, nil)
	a.push(t, name, "one", p)
	a.putImage(t, name, "two", p.manifest, nil).want(t, http.StatusOK)
	same(t, "how many tags there are", strconv.Itoa(a.pull(t, name, "/tags/list").want(t, http.StatusOK).count("tags")), "2")
	x := a.pull(t, name, "/tags/list?n=1").want(t, http.StatusOK)
	if x.count("tags") != 1 || !strings.Contains(x.header.Get("Link"), `rel="next"`) {
		t.Errorf("a page of one: %s %v", x, x.header)
	}
}

// A312: What has a subject is listed as the subject's referrer, with its
// artifact type.
// Source: OCI distribution specification 1.1, "Listing referrers"; ECR guide, "OCI 1.1 reference types".
// Confidence: H.
func a312Referrers(t T, a *Account) {
	name := a.repository(t, nil)
	p, note := paint(t, "arm64", name, nil), paint(t, "arm64", name+"note", nil)
	a.push(t, name, "one", p)
	a.uploadParts(t, name, note)
	raw := encode(t, document{"schemaVersion": 2, "mediaType": typeManifest, "artifactType": "application/vnd.example.note",
		"config": part(typeConfig, note.config), "layers": []any{part(typeLayer, note.layer)}, "subject": part(typeManifest, p.manifest)})
	a.putManifest(t, name, digestOf(raw), typeManifest, raw).want(t, http.StatusCreated)
	x := a.pull(t, name, "/referrers/"+p.digest()).want(t, http.StatusOK)
	same(t, "the referrer", x.text("manifests.0.digest"), digestOf(raw))
	same(t, "its artifact type", x.text("manifests.0.artifactType"), "application/vnd.example.note")
}

// A313: A mount from another repository becomes an upload (202), unless the
// account has blob mounting turned on.
// Source: ECR guide, "Blob mounting"; OCI distribution specification, "Mounting a blob".
// Confidence: M. The account's setting is not to be changed for a test.
func a313MountIsAnUpload(t T, a *Account) {
	from, name := a.repository(t, nil), a.repository(t, nil)
	p := paint(t, "arm64", from, nil)
	a.uploadParts(t, from, p)
	a.docker(t, a.token(t), http.MethodPost, "/v2/"+name+"/blobs/uploads/?mount="+digestOf(p.layer)+"&from="+from, nil, nil).want(t, http.StatusAccepted)
}

// A314: Layers are not deleted on request: 405 UNSUPPORTED.
// Source: google/go-containerregistry#704; ECR has no such operation.
// Confidence: M.
func a314LayersAreNotDeleted(t T, a *Account) {
	name := a.repository(t, nil)
	p := paint(t, "arm64", name, nil)
	a.uploadParts(t, name, p)
	x := a.docker(t, a.token(t), http.MethodDelete, "/v2/"+name+"/blobs/"+digestOf(p.layer), nil, nil)
	x.refused(t, http.StatusMethodNotAllowed, "UNSUPPORTED", "")
	a.docker(t, a.token(t), http.MethodHead, "/v2/"+name+"/blobs/"+digestOf(p.layer), nil, nil).want(t, http.StatusOK)
}

// A315: An index that names an absent child is refused, and nothing is tagged.
// Source: ECR API reference, PutImage (ReferencedImagesNotFoundException).
// Confidence: H that it is refused, M for the status.
func a315AbsentReferences(t T, a *Account) {
	name := a.repository(t, nil)
	raw := index(t, map[string]picture{"linux/arm64": paint(t, "arm64", name, nil)})
	if x := a.putManifest(t, name, "one", typeIndex, raw); x.status < 400 || x.status > 499 {
		t.Errorf("an index with an absent child: %s", x)
	}
	a.pull(t, name, "/manifests/one").want(t, http.StatusNotFound)
}
