package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

type (
	v1Image = v1.Image
	v1Layer = v1.Layer
	v1Hash  = v1.Hash
)

// hub is a cloud with one repository, and clients that are logged in to it.
type hub struct {
	t          *testing.T
	cloud      *Cloud
	srv        *httptest.Server
	ecr        *ecr.Client
	repository string
	password   string
	auth       remote.Option
}

func newHub(t *testing.T, repository string) *hub {
	t.Helper()
	c, srv := startCloud(t)
	return hubOf(t, c, srv, repository)
}

func hubOf(t *testing.T, c *Cloud, srv *httptest.Server, repository string) *hub {
	t.Helper()
	h := &hub{t: t, cloud: c, srv: srv, repository: repository}
	h.ecr = ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount))
	if _, err := h.ecr.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{RepositoryNames: []string{repository}}); err != nil {
		createRepository(t, h.ecr, repository)
	}
	h.login(h.ecr)
	return h
}

func (h *hub) login(client *ecr.Client) {
	h.t.Helper()
	h.password = registryPassword(h.t, client)
	h.auth = remote.WithAuth(&authn.Basic{Username: "AWS", Password: h.password})
}

func registryPassword(t *testing.T, client *ecr.Client) string {
	t.Helper()
	out := must[*ecr.GetAuthorizationTokenOutput](t)(client.GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{}))
	raw := must[[]byte](t)(base64.StdEncoding.DecodeString(*out.AuthorizationData[0].AuthorizationToken))
	return strings.TrimPrefix(string(raw), "AWS:")
}

func (h *hub) ref(suffix string) name.Reference {
	h.t.Helper()
	return must[name.Reference](h.t)(name.ParseReference(strings.TrimPrefix(h.srv.URL, "http://")+"/"+h.repository+suffix, name.Insecure))
}

func (h *hub) tag(tag string) name.Tag { return h.ref(":" + tag).(name.Tag) }

// do sends a request by hand; the path is that of /v2/<repository>.
func (h *hub) do(method, path string, body io.Reader, header ...string) *http.Response {
	h.t.Helper()
	target := path
	if !strings.HasPrefix(path, "/v2/") {
		target = "/v2/" + h.repository + path
	}
	req := must[*http.Request](h.t)(http.NewRequestWithContext(h.t.Context(), method, h.srv.URL+target, body))
	req.SetBasicAuth("AWS", h.password)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp := must[*http.Response](h.t)(http.DefaultClient.Do(req))
	h.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// want fails unless the answer has the status and, where given, the code.
func (h *hub) want(resp *http.Response, status int, code string) {
	h.t.Helper()
	body := must[[]byte](h.t)(io.ReadAll(resp.Body))
	if resp.StatusCode != status || code != "" && !strings.Contains(string(body), `"code":"`+code+`"`) {
		h.t.Errorf("%s %s: %d %s, want %d %s", resp.Request.Method, resp.Request.URL.Path, resp.StatusCode, body, status, code)
	}
}

func imageBytes(t *testing.T, img v1.Image) int64 {
	t.Helper()
	m := must[*v1.Manifest](t)(img.Manifest())
	total := m.Config.Size
	for _, l := range m.Layers {
		total += l.Size
	}
	return total
}

func TestPushAndPull(t *testing.T) {
	h := newHub(t, "team/group/agent")
	img := must[v1.Image](t)(random.Image(100_000, 4))
	if err := remote.Write(h.tag("v1"), img, h.auth); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(h.tag("v1"), img, h.auth); err != nil {
		t.Errorf("pushing again: %v", err)
	}
	got := must[v1.Image](t)(remote.Image(h.tag("v1"), h.auth))
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	if want := must[v1.Hash](t)(img.Digest()); must[v1.Hash](t)(got.Digest()) != want {
		t.Errorf("pulled another image than was pushed")
	}
	index := must[v1.ImageIndex](t)(random.Index(1000, 2, 3))
	if err := remote.WriteIndex(h.tag("all"), index, h.auth); err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(must[v1.ImageIndex](t)(remote.Index(h.tag("all"), h.auth))); err != nil {
		t.Error(err)
	}
}

func TestCraneTagsListsAndDeletes(t *testing.T) {
	h := newHub(t, "team/agent")
	options := []crane.Option{crane.Insecure, crane.WithAuth(&authn.Basic{Username: "AWS", Password: h.password})}
	if err := crane.Push(must[v1.Image](t)(random.Image(10, 1)), h.tag("c").String(), options...); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"a", "b", "d"} {
		if err := crane.Tag(h.tag("c").String(), tag, options...); err != nil {
			t.Fatal(err)
		}
	}
	repo := h.tag("c").Repository.String()
	if tags := must[[]string](t)(crane.ListTags(repo, options...)); fmt.Sprint(tags) != "[a b c d]" {
		t.Errorf("tags are %v", tags)
	}
	// remote pages by Link.
	paged := must[[]string](t)(remote.List(h.tag("c").Repository, h.auth, remote.WithPageSize(3)))
	if fmt.Sprint(paged) != "[a b c d]" {
		t.Errorf("paged tags are %v", paged)
	}
	if err := crane.Delete(h.tag("b").String(), options...); err != nil {
		t.Fatal(err)
	}
	if _, err := crane.Digest(h.tag("b").String(), options...); err == nil {
		t.Error("a deleted tag still resolves")
	}
	digest := must[string](t)(crane.Digest(h.tag("a").String(), options...))
	if err := crane.Delete(repo+"@"+digest, options...); err != nil {
		t.Fatal(err)
	}
	if tags := must[[]string](t)(crane.ListTags(repo, options...)); len(tags) != 0 {
		t.Errorf("after its digest was deleted, tags are %v", tags)
	}
}

func TestTagsListParameters(t *testing.T) {
	h := newHub(t, "team/agent")
	img := must[v1.Image](t)(random.Image(10, 1))
	for _, tag := range []string{"a", "b", "c"} {
		if err := remote.Write(h.tag(tag), img, h.auth); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]string{"": "a b c", "?n=2": "a b", "?n=2&last=b": "c", "?last=zz": "", "?n=0": ""} {
		resp := h.do("GET", "/tags/list"+query, nil)
		var body struct {
			Name string
			Tags []string
		}
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || body.Tags == nil {
			t.Fatal(err, body)
		}
		if strings.Join(body.Tags, " ") != want || body.Name != h.repository {
			t.Errorf("%q lists %v", query, body)
		}
		if link := resp.Header.Get("Link"); (link != "") != (query == "?n=2") {
			t.Errorf("%q has Link %q", query, link)
		}
	}
	h.want(h.do("GET", "/tags/list?n=x", nil), 400, "PAGINATION_NUMBER_INVALID")
}

func TestLogin(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	c := &Cloud{Dir: t.TempDir(), Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }}
	srv := serveCloud(t, c)
	h := hubOf(t, c, srv, "team/agent")
	h.want(h.do("GET", "/v2/", nil), 200, "")
	password := h.password
	for _, wrong := range []string{"", "x", password + "x"} {
		h.password = wrong
		resp := h.do("GET", "/v2/", nil)
		h.want(resp, 401, "UNAUTHORIZED")
		if want := `Basic realm="` + srv.URL + `/",service="ecr.amazonaws.com"`; resp.Header.Get("Www-Authenticate") != want {
			t.Errorf("the challenge is %q", resp.Header.Get("Www-Authenticate"))
		}
	}
	h.password = password
	mu.Lock()
	now = now.Add(12*time.Hour + time.Second)
	mu.Unlock()
	resp := h.do("GET", "/v2/", nil)
	if resp.Header.Get("Www-Authenticate") != "" {
		t.Error("an expired token is challenged")
	}
	body := string(must[[]byte](t)(io.ReadAll(resp.Body)))
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(body, `"DENIED"`) || !strings.Contains(body, "Your authorization token has expired. Reauthenticate and try again.") {
		t.Errorf("an expired token gets %d %s", resp.StatusCode, body)
	}
}

// The registry's own name in Host tells account and region apart.
func TestHostNamesTheRegistry(t *testing.T) {
	c, srv := startCloud(t)
	h := hubOf(t, c, srv, "team/agent")
	euConfig := adminConfig(t, srv, DefaultAccount)
	euConfig.Region = "eu-west-1"
	eu := ecr.NewFromConfig(euConfig)
	createRepository(t, eu, "only/eu")
	theirs := ecr.NewFromConfig(adminConfig(t, srv, "444455556666"))
	createRepository(t, theirs, "team/agent")
	for _, test := range []struct {
		host, repository, password string
		status                     int
		code                       string
	}{
		{"", "team/agent", h.password, 200, ""},
		{"111122223333.dkr.ecr.us-east-1.amazonaws.com", "team/agent", h.password, 200, ""},
		{"111122223333.dkr.ecr.us-east-1.amazonaws.com:4510", "team/agent", h.password, 200, ""},
		{"111122223333.dkr.ecr.us-east-1.amazonaws.com", "none", h.password, 404, "NAME_UNKNOWN"},
		{"444455556666.dkr.ecr.us-east-1.amazonaws.com", "team/agent", h.password, 403, "DENIED"},
		{"444455556666.dkr.ecr.us-east-1.amazonaws.com", "team/agent", registryPassword(t, theirs), 200, ""},
		{"", "team/agent", registryPassword(t, theirs), 403, "DENIED"},
		{"111122223333.dkr.ecr.eu-west-1.amazonaws.com", "only/eu", h.password, 401, "UNAUTHORIZED"},
		{"111122223333.dkr.ecr.eu-west-1.amazonaws.com", "only/eu", registryPassword(t, eu), 200, ""},
		{"111122223333.dkr.ecr.eu-west-1.amazonaws.com", "team/agent", registryPassword(t, eu), 404, "NAME_UNKNOWN"},
	} {
		req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/v2/"+test.repository+"/tags/list", nil))
		req.Host = test.host
		req.SetBasicAuth("AWS", test.password)
		resp := must[*http.Response](t)(http.DefaultClient.Do(req))
		h.want(resp, test.status, test.code)
		resp.Body.Close()
	}
}

func TestBlobsStayInTheirRepository(t *testing.T) {
	h := newHub(t, "team/agent")
	img := must[v1.Image](t)(random.Image(1000, 1))
	if err := remote.Write(h.tag("v1"), img, h.auth); err != nil {
		t.Fatal(err)
	}
	digest := must[v1.Hash](t)(must[[]v1.Layer](t)(img.Layers())[0].Digest()).String()
	h.want(h.do("HEAD", "/blobs/"+digest, nil), 200, "")
	createRepository(t, h.ecr, "other")
	h.want(h.do("GET", "/v2/other/blobs/"+digest, nil), 404, "BLOB_UNKNOWN")
	h.want(h.do("GET", "/v2/other/manifests/v1", nil), 404, "MANIFEST_UNKNOWN")
	resp := h.do("POST", "/v2/other/blobs/uploads/?mount="+digest+"&from="+h.repository, nil)
	h.want(resp, 202, "")
	upload := resp.Header.Get("Location")
	raw := must[[]byte](t)(img.RawManifest())
	h.want(h.do("PUT", "/v2/other/manifests/v1", bytes.NewReader(raw), "Content-Type", typeDockerManifest), 404, "BLOB_UPLOAD_UNKNOWN")
	// An upload is its repository's too.
	h.want(h.do("GET", strings.Replace(upload, "/other/", "/"+h.repository+"/", 1), nil), 404, "BLOB_UPLOAD_UNKNOWN")
}

func TestRepositoriesAreNotMadeByPush(t *testing.T) {
	h := newHub(t, "team/agent")
	h.want(h.do("POST", "/v2/none/blobs/uploads/", nil), 404, "NAME_UNKNOWN")
	h.want(h.do("PUT", "/v2/none/manifests/x", strings.NewReader("{}")), 404, "NAME_UNKNOWN")
	h.want(h.do("GET", "/v2/none/tags/list", nil), 404, "NAME_UNKNOWN")
}

func TestBadPaths(t *testing.T) {
	h := newHub(t, "team/agent")
	zeros := "sha256:" + strings.Repeat("0", 64)
	for _, test := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/v2/a/../b/tags/list", 400, "NAME_INVALID"},
		{"GET", "/v2/%2e%2e/tags/list", 400, "NAME_INVALID"},
		{"GET", "/v2/..%2f..%2fx/manifests/latest", 400, "NAME_INVALID"},
		{"GET", "/v2/Upper/tags/list", 400, "NAME_INVALID"},
		{"GET", "/v2/team/agent/blobs/sha256:..%2f..%2fx", 404, ""},
		{"GET", "/v2/team/agent/blobs/sha256:..", 400, "DIGEST_INVALID"},
		{"GET", "/v2/team/agent/blobs/sha512:" + strings.Repeat("0", 128), 400, "DIGEST_INVALID"},
		{"GET", "/v2/team/agent/blobs/" + strings.ToUpper(zeros), 400, "DIGEST_INVALID"},
		{"GET", "/v2/team/agent/blobs/" + zeros, 404, "BLOB_UNKNOWN"},
		{"GET", "/v2/team/agent/manifests/" + zeros, 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/team/agent/manifests/none", 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/team/agent/manifests/.hidden", 400, "TAG_INVALID"},
		{"GET", "/v2/team/agent/manifests/sha256:12", 400, "DIGEST_INVALID"},
		{"GET", "/v2/team/agent/blobs/uploads/..", 404, "BLOB_UPLOAD_UNKNOWN"},
		{"GET", "/v2/team/agent/blobs/uploads/" + newRequestID(), 404, "BLOB_UPLOAD_UNKNOWN"},
		{"GET", "/v2/_catalog", 404, "UNSUPPORTED"},
		{"GET", "/v2/team/agent/referrers/latest", 400, "DIGEST_INVALID"},
		{"DELETE", "/v2/team/agent/blobs/" + zeros, 405, "UNSUPPORTED"},
		{"POST", "/v2/team/agent/manifests/x", 405, "UNSUPPORTED"},
		{"GET", "/v2/team/agent/blobs/uploads/", 405, "UNSUPPORTED"},
	} {
		h.want(h.do(test.method, test.path, nil), test.status, test.code)
	}
}

func TestManifestRules(t *testing.T) {
	h := newHub(t, "team/agent")
	img := must[v1.Image](t)(random.Image(1000, 1))
	if err := remote.Write(h.tag("v1"), img, h.auth); err != nil {
		t.Fatal(err)
	}
	raw := must[[]byte](t)(img.RawManifest())
	digest := digestOf(raw)
	put := func(reference string, body []byte, mediaType string) *http.Response {
		return h.do("PUT", "/manifests/"+reference, bytes.NewReader(body), "Content-Type", mediaType)
	}
	zeros := "sha256:" + strings.Repeat("0", 64)
	h.want(put(digest, raw, typeDockerManifest), 201, "")
	h.want(put(zeros, raw, typeDockerManifest), 400, "DIGEST_INVALID")
	h.want(put("v2", raw, typeOCIManifest), 405, "UNSUPPORTED")
	h.want(put("v2", raw, "text/plain"), 405, "UNSUPPORTED")
	h.want(put("v2", []byte("{"), typeDockerManifest), 405, "UNSUPPORTED")
	h.want(put("v2", bytes.Repeat([]byte(" "), maxManifest+1), typeDockerManifest), 413, "SIZE_INVALID")
	h.want(put("v2", []byte(`{"schemaVersion":2,"manifests":[{"digest":"`+zeros+`","size":1}]}`), typeOCIIndex), 404, "MANIFEST_BLOB_UNKNOWN")
	h.want(h.do("GET", "/manifests/v2", nil), 404, "MANIFEST_UNKNOWN")
	resp := h.do("HEAD", "/manifests/v1", nil)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Docker-Content-Digest") != digest || resp.Header.Get("Content-Type") != typeDockerManifest || resp.ContentLength != int64(len(raw)) {
		t.Errorf("HEAD answers %d %v", resp.StatusCode, resp.Header)
	}
}

func TestImmutableTags(t *testing.T) {
	h := newHub(t, "team/agent")
	one, two := must[v1.Image](t)(random.Image(10, 1)), must[v1.Image](t)(random.Image(10, 1))
	for _, tag := range []string{"v1", "latest"} {
		if err := remote.Write(h.tag(tag), one, h.auth); err != nil {
			t.Fatal(err)
		}
	}
	must[*ecr.PutImageTagMutabilityOutput](t)(h.ecr.PutImageTagMutability(t.Context(), mutabilityInput(h.repository)))
	err := remote.Write(h.tag("v1"), two, h.auth)
	var refused *transport.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusBadRequest || refused.Errors[0].Code != "TAG_INVALID" ||
		refused.Errors[0].Message != "The image tag 'v1' already exists in the 'team/agent' repository and cannot be overwritten because the tag is immutable." {
		t.Errorf("pushing to an immutable tag: %v", err)
	}
	same := bytes.NewReader(must[[]byte](t)(one.RawManifest()))
	h.want(h.do("PUT", "/manifests/v1", same, "Content-Type", typeDockerManifest), 400, "TAG_INVALID")
	raw := string(must[[]byte](t)(two.RawManifest()))
	_, err = h.ecr.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: &h.repository, ImageManifest: &raw, ImageTag: aws.String("v1")})
	wantCode(t, err, "ImageTagAlreadyExistsException")
	if err := remote.Write(h.tag("latest"), two, h.auth); err != nil {
		t.Errorf("moving an excluded tag: %v", err)
	}
	if got := must[*v1.Descriptor](t)(remote.Head(h.tag("v1"), h.auth)).Digest; got != must[v1.Hash](t)(one.Digest()) {
		t.Error("the immutable tag moved")
	}
}

// Parallel pushers of the same layers and tags, and readers meanwhile.
func TestParallelPushes(t *testing.T) {
	h := newHub(t, "team/agent")
	shared := must[v1.Image](t)(random.Image(20_000, 3))
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			img, err := mutate.Config(shared, v1.Config{Labels: map[string]string{"n": fmt.Sprint(i % 3)}})
			if err != nil {
				t.Error(err)
				return
			}
			for _, tag := range []string{fmt.Sprintf("v%d", i), "latest"} {
				if err := remote.Write(h.tag(tag), img, h.auth); err != nil {
					t.Error(err)
				}
			}
			got, err := remote.Image(h.tag("latest"), h.auth)
			if err == nil {
				err = validate.Image(got)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if tags := must[[]string](t)(remote.List(h.tag("x").Repository, h.auth)); len(tags) != 7 {
		t.Errorf("tags are %v", tags)
	}
}

func TestRegistrySurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	first := &Cloud{Dir: dir}
	h := hubOf(t, first, serveCloud(t, first), "team/agent")
	img := must[v1.Image](t)(random.Image(5000, 2))
	if err := remote.Write(h.tag("v1"), img, h.auth); err != nil {
		t.Fatal(err)
	}
	blob, digest := randomBlob(t, 2000)
	at := h.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	h.want(h.do("PATCH", at, bytes.NewReader(blob[:1500])), 202, "")
	kill(t, first)
	second := &Cloud{Dir: dir}
	again := hubOf(t, second, serveCloud(t, second), "team/agent")
	again.password, again.auth = h.password, h.auth // the token lives on
	if err := validate.Image(must[v1.Image](t)(remote.Image(again.tag("v1"), again.auth))); err != nil {
		t.Error(err)
	}
	again.want(again.do("PUT", at+"?digest="+digest, bytes.NewReader(blob[1500:]), "Content-Range", "1500-1999"), 201, "")
}

func TestResetEmptiesTheRegistry(t *testing.T) {
	h := newHub(t, "team/agent")
	if err := remote.Write(h.tag("v1"), must[v1.Image](t)(random.Image(10, 1)), h.auth); err != nil {
		t.Fatal(err)
	}
	if err := h.cloud.Reset(); err != nil {
		t.Fatal(err)
	}
	createRepository(t, h.ecr, h.repository)
	h.login(h.ecr)
	if tags := must[[]string](t)(remote.List(h.tag("x").Repository, h.auth)); len(tags) != 0 {
		t.Errorf("after a reset tags are %v", tags)
	}
	if blobs := must[[]os.DirEntry](t)(os.ReadDir(h.dir("blobs"))); len(blobs) != 0 {
		t.Errorf("after a reset there are %d blobs", len(blobs))
	}
}

func TestRegistryIsJournaled(t *testing.T) {
	h := newHub(t, "team/agent")
	blob, digest := randomBlob(t, 500)
	h.want(h.do("POST", "/blobs/uploads/?digest="+digest, bytes.NewReader(blob)), 201, "")
	h.want(h.do("GET", "/blobs/"+digest, nil), 200, "")
	password := h.password
	h.password = "wrong"
	h.want(h.do("GET", "/blobs/"+digest, nil), 401, "")
	var lines []string
	for _, call := range h.cloud.Journal() {
		if call.Service == "registry" {
			lines = append(lines, fmt.Sprintf("%s %s %d %d %v", call.Action, call.Principal, call.Bytes, call.Status, call.Allowed))
		}
		if raw := string(must[[]byte](t)(json.Marshal(call))); strings.Contains(raw, password) || strings.Contains(raw, "digest=") {
			t.Errorf("the journal holds a password or a query: %s", raw)
		}
	}
	admin := "arn:aws:iam::111122223333:user/administrator"
	want := []string{"UploadBlob " + admin + " 500 201 true", "GetBlob " + admin + " 0 200 true", "GetBlob anonymous 0 401 false"}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("journal:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func mutabilityInput(repository string) *ecr.PutImageTagMutabilityInput {
	return &ecr.PutImageTagMutabilityInput{RepositoryName: &repository, ImageTagMutability: "IMMUTABLE_WITH_EXCLUSION",
		ImageTagMutabilityExclusionFilters: []types.ImageTagMutabilityExclusionFilter{{Filter: aws.String("latest"), FilterType: "WILDCARD"}}}
}
