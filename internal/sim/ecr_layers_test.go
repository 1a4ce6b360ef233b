package sim

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// initiate begins an upload by API.
func (h *hub) initiate() string {
	h.t.Helper()
	out := must[*ecr.InitiateLayerUploadOutput](h.t)(h.ecr.InitiateLayerUpload(h.t.Context(), &ecr.InitiateLayerUploadInput{RepositoryName: &h.repository}))
	if *out.PartSize != 20_971_520 && h.cloud.ecr.layerPartLimit == 0 {
		h.t.Errorf("parts shall be of %d bytes", *out.PartSize)
	}
	return *out.UploadId
}

// part sends bytes as the part that begins at first.
func (h *hub) part(upload string, first int, blob []byte) (*ecr.UploadLayerPartOutput, error) {
	return h.ecr.UploadLayerPart(h.t.Context(), &ecr.UploadLayerPartInput{RepositoryName: &h.repository, UploadId: &upload,
		PartFirstByte: aws.Int64(int64(first)), PartLastByte: aws.Int64(int64(first + len(blob) - 1)), LayerPartBlob: blob})
}

func (h *hub) complete(upload string, digests ...string) error {
	_, err := h.ecr.CompleteLayerUpload(h.t.Context(), &ecr.CompleteLayerUploadInput{RepositoryName: &h.repository, UploadId: &upload, LayerDigests: append([]string{}, digests...)})
	return err
}

func TestLayersByAPI(t *testing.T) {
	h := newHub(t, "team/agent")
	blob, digest := randomBlob(t, minLayerPart+1000)
	id := h.initiate()
	out := must[*ecr.UploadLayerPartOutput](t)(h.part(id, 0, blob[:minLayerPart]))
	if *out.LastByteReceived != minLayerPart-1 || *out.UploadId != id || *out.RegistryId != DefaultAccount {
		t.Errorf("the first part answered %+v", out)
	}
	for what, send := range map[string]func() (*ecr.UploadLayerPartOutput, error){
		"a repeat": func() (*ecr.UploadLayerPartOutput, error) { return h.part(id, 0, blob[:minLayerPart]) },
		"a gap":    func() (*ecr.UploadLayerPartOutput, error) { return h.part(id, minLayerPart+1, blob[minLayerPart:]) },
		"nothing":  func() (*ecr.UploadLayerPartOutput, error) { return h.part(id, minLayerPart, []byte{}) },
	} {
		_, err := send()
		var invalid *types.InvalidLayerPartException
		if !errors.As(err, &invalid) || invalid.LastValidByteReceived == nil || *invalid.LastValidByteReceived != minLayerPart-1 || *invalid.UploadId != id {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := h.ecr.UploadLayerPart(t.Context(), &ecr.UploadLayerPartInput{RepositoryName: &h.repository, UploadId: &id,
		PartFirstByte: aws.Int64(minLayerPart), PartLastByte: aws.Int64(minLayerPart + 5000), LayerPartBlob: blob[minLayerPart:]})
	wantCode(t, err, "InvalidLayerPartException")
	h.want(h.do("GET", "/blobs/uploads/"+id, nil), 404, "BLOB_UPLOAD_UNKNOWN") // the registry's uploads are others
	must[*ecr.UploadLayerPartOutput](t)(h.part(id, minLayerPart, blob[minLayerPart:]))
	if err := h.complete(id, digest); err != nil {
		t.Fatal(err)
	}
	got := h.do("GET", "/blobs/"+digest, nil)
	if body := must[[]byte](t)(io.ReadAll(got.Body)); !bytes.Equal(body, blob) {
		t.Error("the layer is not what was sent")
	}
	wantCode(t, h.complete(id, digest), "UploadNotFoundException")
	h.noUploads()
	if keys := h.cloud.store.keys("ecr/upload/"); len(keys) != 0 {
		t.Errorf("records are left: %v", keys)
	}
}

func TestLayersByAPIRefuse(t *testing.T) {
	h := newHub(t, "team/agent")
	blob, digest := randomBlob(t, 1000)
	small := h.initiate()
	for first := 0; first < len(blob); first += 500 {
		must[*ecr.UploadLayerPartOutput](t)(h.part(small, first, blob[first:first+500]))
	}
	wantCode(t, h.complete(small, digest), "LayerPartTooSmallException")

	empty := h.initiate()
	wantCode(t, h.complete(empty, digest), "EmptyUploadException")
	wantCode(t, h.complete(empty, []string{}...), "InvalidParameterException")
	wantCode(t, h.complete(empty, "sha256:.."), "InvalidParameterException")
	wantCode(t, h.complete(empty, digest, digestOf(nil)), "InvalidLayerException")

	wrong := h.initiate()
	must[*ecr.UploadLayerPartOutput](t)(h.part(wrong, 0, blob))
	wantCode(t, h.complete(wrong, digestOf([]byte("other"))), "InvalidLayerException")
	wantCode(t, h.complete(wrong, digest), "UploadNotFoundException")

	for range 2 {
		twice := h.initiate()
		must[*ecr.UploadLayerPartOutput](t)(h.part(twice, 0, blob))
		if err := h.complete(twice, digest); err != nil {
			wantCode(t, err, "LayerAlreadyExistsException")
		} else if _, err := os.Stat(filepath.Join(h.dir("uploads"), twice)); !os.IsNotExist(err) {
			t.Errorf("the upload is left: %v", err)
		}
	}

	for _, id := range []string{"", "..", "../" + empty, strings.ToUpper(empty), "00000000-0000-4000-a000-000000000000", empty + "\x00"} {
		_, err := h.part(id, 0, blob)
		if id == "" {
			continue // the SDK refuses it itself, or sends it: either is an error
		}
		wantCode(t, err, "UploadNotFoundException")
	}
	registrys := filepath.Base(h.do("POST", "/blobs/uploads/", nil).Header.Get("Location"))
	_, err := h.part(registrys, 0, blob)
	wantCode(t, err, "UploadNotFoundException")
	const most = 64 << 10
	h.cloud.ecr.layerPartLimit = most
	_, err = h.part(empty, 0, make([]byte, most+1))
	wantCode(t, err, "InvalidParameterException")
	must[*ecr.UploadLayerPartOutput](t)(h.part(empty, 0, make([]byte, most)))

	h.cloud.ecr.layerLimit = 100
	_, err = h.part(h.initiate(), 0, blob)
	wantCode(t, err, "LimitExceededException")
	createRepository(t, h.ecr, "team/other")
	other := *h
	other.repository = "team/other"
	_, err = other.part(empty, most, blob)
	wantCode(t, err, "UploadNotFoundException")
}

// TestLayersByAPIAfterACrash: what was acknowledged is there, what was not is
// not, and small parts are remembered.
func TestLayersByAPIAfterACrash(t *testing.T) {
	const least = 1000
	h := newHub(t, "team/agent")
	h.cloud.ecr.layerPartLeast = least
	blob, digest := randomBlob(t, least+700)
	id, small := h.initiate(), h.initiate()
	must[*ecr.UploadLayerPartOutput](t)(h.part(id, 0, blob[:least]))
	must[*ecr.UploadLayerPartOutput](t)(h.part(small, 0, blob[:10]))
	must[*ecr.UploadLayerPartOutput](t)(h.part(small, 10, blob[10:20]))
	half := must[*os.File](t)(os.OpenFile(filepath.Join(h.dir("uploads"), id), os.O_APPEND|os.O_WRONLY, 0))
	if _, err := half.WriteString("half a part"); err != nil || half.Close() != nil {
		t.Fatal(err)
	}
	kill(t, h.cloud)
	reopened := &Cloud{Dir: h.cloud.Dir}
	reopened.ecr.layerPartLeast = least
	again := hubOf(t, reopened, serveCloud(t, reopened), h.repository)
	_, err := again.part(id, 0, blob[:least])
	var invalid *types.InvalidLayerPartException
	if !errors.As(err, &invalid) || *invalid.LastValidByteReceived != least-1 {
		t.Errorf("the upload goes on elsewhere: %v", err)
	}
	must[*ecr.UploadLayerPartOutput](t)(again.part(id, least, blob[least:]))
	if err := again.complete(id, digest); err != nil {
		t.Error(err)
	}
	wantCode(t, again.complete(small, digestOf(blob[:20])), "LayerPartTooSmallException")
}

func TestDownloadURL(t *testing.T) {
	now := time.Now()
	c := &Cloud{Dir: t.TempDir(), Now: func() time.Time { return now }}
	h := hubOf(t, c, serveCloud(t, c), "team/agent")
	img := must[v1.Image](t)(random.Image(5000, 1))
	if err := remote.Write(h.tag("v1"), img, h.auth); err != nil {
		t.Fatal(err)
	}
	layer := must[[]v1.Layer](t)(img.Layers())[0]
	digest := must[v1.Hash](t)(layer.Digest()).String()
	ask := func(digest string) (*ecr.GetDownloadUrlForLayerOutput, error) {
		return h.ecr.GetDownloadUrlForLayer(t.Context(), &ecr.GetDownloadUrlForLayerInput{RepositoryName: &h.repository, LayerDigest: &digest})
	}
	address := *must[*ecr.GetDownloadUrlForLayerOutput](t)(ask(digest)).DownloadUrl
	get := func(url string, want int) []byte {
		t.Helper()
		req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))
		resp := must[*http.Response](t)(http.DefaultClient.Do(req))
		defer resp.Body.Close()
		body := must[[]byte](t)(io.ReadAll(resp.Body))
		if resp.StatusCode != want {
			t.Errorf("%s: %d %s, want %d", url, resp.StatusCode, body, want)
		}
		return body
	}
	if got := get(address, 200); digestOf(got) != digest {
		t.Errorf("the address serves %s", digestOf(got))
	}
	for _, forged := range []string{strings.Replace(address, "expires=", "expires=9", 1), strings.TrimSuffix(address, address[len(address)-1:]),
		strings.Replace(address, "/_layers/", "/_layers/../", 1), strings.SplitN(address, "?", 2)[0], h.srv.URL + "/_layers/%2e%2e/issuer.pem"} {
		get(forged, 403)
	}
	now = now.Add(layerURLLife)
	get(address, 403)
	now = now.Add(-layerURLLife)

	loose, looseDigest := randomBlob(t, 100)
	h.want(h.do("POST", "/blobs/uploads/?digest="+looseDigest, bytes.NewReader(loose)), 201, "")
	_, err := ask(looseDigest)
	wantCode(t, err, "LayerInaccessibleException")
	_, err = ask(digestOf([]byte("none")))
	wantCode(t, err, "LayersNotFoundException")
	_, err = ask("sha256:../../issuer.pem")
	wantCode(t, err, "InvalidParameterException")
}

func TestBlobMounting(t *testing.T) {
	h := newHub(t, "team/agent")
	createRepository(t, h.ecr, "team/base")
	base := *h
	base.repository = "team/base"
	blob, digest := randomBlob(t, 3000)
	base.want(base.do("POST", "/blobs/uploads/?digest="+digest, bytes.NewReader(blob)), 201, "")
	get := func() string {
		t.Helper()
		return *must[*ecr.GetAccountSettingOutput](t)(h.ecr.GetAccountSetting(t.Context(), &ecr.GetAccountSettingInput{Name: aws.String("BLOB_MOUNTING")})).Value
	}
	put := func(name, value string) error {
		_, err := h.ecr.PutAccountSetting(t.Context(), &ecr.PutAccountSettingInput{Name: &name, Value: &value})
		return err
	}
	if got := get(); got != "DISABLED" {
		t.Errorf("before it is set, mounting is %s", got)
	}
	mount := "/blobs/uploads/?mount=" + digest + "&from=team/base"
	h.want(h.do("POST", mount, nil), 202, "")
	h.want(h.do("HEAD", "/blobs/"+digest, nil), 404, "")
	wantCode(t, put("BLOB_MOUNTING", "ON"), "ValidationException")
	wantCode(t, put("BASIC_SCAN_TYPE_VERSION", "AWS_NATIVE"), "InvalidParameterException")
	wantCode(t, put("NONE", "ENABLED"), "InvalidParameterException")
	if err := put("BLOB_MOUNTING", "ENABLED"); err != nil || get() != "ENABLED" {
		t.Errorf("mounting is %s: %v", get(), err)
	}
	for _, from := range []string{"team/none", "..", "team/base/../base", "", "TEAM/BASE"} {
		h.want(h.do("POST", "/blobs/uploads/?mount="+digest+"&from="+from, nil), 202, "")
	}
	h.want(h.do("POST", "/blobs/uploads/?mount=sha256:..&from=team/base", nil), 202, "")
	h.want(h.do("POST", "/blobs/uploads/?mount="+digestOf(nil)+"&from=team/base", nil), 202, "")
	for range 2 {
		resp := h.do("POST", mount, nil)
		h.want(resp, 201, "")
		if resp.Header.Get("Location") != "/v2/team/agent/blobs/"+digest || resp.Header.Get("Docker-Content-Digest") != digest {
			t.Errorf("mounted: %v", resp.Header)
		}
	}
	must[*ecr.DeleteRepositoryOutput](t)(h.ecr.DeleteRepository(t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: aws.String("team/base")}))
	got := h.do("GET", "/blobs/"+digest, nil)
	if body := must[[]byte](t)(io.ReadAll(got.Body)); !bytes.Equal(body, blob) {
		t.Error("a mounted layer goes with the repository it came from")
	}
	if err := put("BLOB_MOUNTING", "DISABLED"); err != nil || get() != "DISABLED" {
		t.Errorf("mounting is %s: %v", get(), err)
	}
}

func TestRegistryQuotas(t *testing.T) {
	h := newHub(t, "team/agent")
	h.cloud.ecr.imageLimit, h.cloud.ecr.tagLimit = 2, 2
	for i, tag := range []string{"a", "b"} {
		if err := remote.Write(h.tag(tag), must[v1.Image](t)(random.Image(int64(10+i), 1)), h.auth); err != nil {
			t.Fatal(err)
		}
	}
	img := must[v1.Image](t)(random.Image(20, 1))
	err := remote.Write(h.tag("c"), img, h.auth)
	if err == nil || !strings.Contains(err.Error(), "DENIED") || !strings.Contains(err.Error(), "maximum allowed number of images which is '2'") {
		t.Errorf("a third image: %v", err)
	}
	got := must[*ecr.BatchGetImageOutput](t)(h.ecr.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: &h.repository,
		ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("a")}}}))
	retag := func(tag string) error {
		_, err := h.ecr.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: &h.repository, ImageManifest: got.Images[0].ImageManifest, ImageTag: &tag})
		return err
	}
	if err := retag("a2"); err != nil {
		t.Error(err)
	}
	wantCode(t, retag("a3"), "LimitExceededException")
	wantCode(t, retag("a"), "ImageAlreadyExistsException")
	wantCode(t, retag(strings.Repeat("x", 301)), "InvalidParameterException")
}
