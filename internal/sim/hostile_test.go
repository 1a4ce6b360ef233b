package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// impatientHub is a hub whose cloud waits for nobody.
func impatientHub(t *testing.T) *hub {
	t.Helper()
	c := &Cloud{Dir: t.TempDir(), patience: 100 * time.Millisecond}
	return hubOf(t, c, serveCloud(t, c), "team/agent")
}

// line is a connection that a hostile client writes to by hand.
func (h *hub) line(request string) net.Conn {
	h.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(h.t.Context(), "tcp", h.srv.Listener.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		h.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		h.t.Fatal(err)
	}
	return conn
}

// basic is the header of a login.
func (h *hub) basic() string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth("AWS", h.password)
	return "Authorization: " + r.Header.Get("Authorization") + "\r\n"
}

// TestSlowBodies: a body that stands still is an error, and leaves nothing.
func TestSlowBodies(t *testing.T) {
	h := impatientHub(t)
	at := h.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	for what, request := range map[string]string{
		"an AWS call": "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: AmazonSSM.GetParameter\r\nContent-Length: 1000\r\n\r\n{",
		"a form":      "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nA",
		"a chunk":     "PATCH " + at + " HTTP/1.1\r\nHost: x\r\n" + h.basic() + "Content-Length: 1000\r\n\r\nx",
		"a manifest":  "PUT /v2/team/agent/manifests/x HTTP/1.1\r\nHost: x\r\n" + h.basic() + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
	} {
		conn := h.line(request)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", what, resp.Status)
		}
		_ = resp.Body.Close()
	}
	if got := h.do("GET", at, nil).Header.Get("Range"); got != uploadRange(0) {
		t.Errorf("the upload stands at %s", got)
	}
}

// TestSlowReaders: an answer that nobody takes comes to an end.
func TestSlowReaders(t *testing.T) {
	h := impatientHub(t)
	h.cloud.patience = 2 * time.Second // a busy machine's upload has to come through
	blob := make([]byte, 64<<20)
	digest := digestOf(blob)
	h.want(h.do("POST", "/blobs/uploads/?digest="+digest, bytes.NewReader(blob)), 201, "")
	h.line("GET /v2/team/agent/blobs/" + digest + " HTTP/1.1\r\nHost: x\r\n" + h.basic() + "\r\n")
	eventually(t, "the answer comes to an end", func() bool {
		calls := h.cloud.Journal()
		return calls[len(calls)-1].Action == "GetBlob"
	})
}

// eventually polls until ok, for as long as a slow machine may take.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("it never happens that %s", what)
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

// TestPatienceIsNotForTheWhole: a body may take longer than the cloud waits,
// as long as it goes on.
func TestPatienceIsNotForTheWhole(t *testing.T) {
	h := impatientHub(t)
	h.cloud.patience = 2 * time.Second
	at := h.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	piece := make([]byte, stretch)
	r, w := io.Pipe()
	go func() {
		for range 12 {
			if _, err := w.Write(piece); err != nil {
				return
			}
			time.Sleep(250 * time.Millisecond) // a slow line
		}
		_ = w.Close()
	}()
	h.want(h.do("PATCH", at, r), 202, "")
}

// endless is a body that never ends; it counts what was asked of it.
type endless struct{ sent int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.sent += int64(len(p))
	return len(p), nil
}

// TestEndlessBodies: no more is read than may be.
func TestEndlessBodies(t *testing.T) {
	h := newHub(t, "team/agent")
	h.cloud.ecr.layerLimit, h.cloud.ecr.layerPartLimit, h.cloud.payloadLimit = 1<<20, 2<<20, 2<<20
	key, _, err := h.cloud.Administrator(DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	at := h.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	known := sigAlgorithm + " Credential=" + key + "/20260101/us-east-1/ecr/aws4_request"
	for name, test := range map[string]struct {
		method, path string
		header       []string
		most         int64
		status       int
	}{
		"a stranger's call":  {"POST", "/", []string{"X-Amz-Target", "AmazonSSM.PutParameter"}, maxStranger, 413},
		"a stranger's form":  {"POST", "/", []string{"Content-Type", "application/x-www-form-urlencoded"}, maxStranger, 413},
		"a call":             {"POST", "/", []string{"X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.PutImage", "Authorization", known}, maxBody, 413},
		"a part":             {"POST", "/", []string{"X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.UploadLayerPart", "Authorization", known}, h.cloud.maxLayerPartBody(), 413},
		"a payload":          {"POST", "/runtimes/x/invocations", []string{"Authorization", known}, 2 << 20, 413},
		"a manifest":         {"PUT", "/v2/team/agent/manifests/x", nil, maxManifest, 413},
		"a chunk":            {"PATCH", at, nil, 1 << 20, 413},
		"a whole blob":       {"POST", "/v2/team/agent/blobs/uploads/?digest=" + digestOf(nil), nil, 1 << 20, 413},
		"a control call":     {"POST", "/_local/jobs", []string{"Authorization", "Bearer " + h.cloud.ControlToken()}, maxControlBody, 400},
		"a token's request":  {"POST", "/_actions/token", nil, 1 << 20, 0},
		"GitHub's API":       {"POST", "/api/v3/x", nil, 1 << 20, 0},
		"where nothing is":   {"POST", "/nothing/here", nil, maxStranger, 413},
		"a method too many":  {"POST", "/v2/team/agent/manifests/x", nil, 1 << 20, 405},
		"a repository's sub": {"PUT", "/v2/../x/manifests/y", nil, 1 << 20, 400},
	} {
		body := &endless{}
		r := httptest.NewRequestWithContext(t.Context(), test.method, "/", nil)
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(test.path, "?")
		r.Body, r.ContentLength, r.Host = io.NopCloser(body), -1, "127.0.0.1"
		r.SetBasicAuth("AWS", h.password)
		for i := 0; i+1 < len(test.header); i += 2 {
			r.Header.Set(test.header[i], test.header[i+1])
		}
		if strings.HasPrefix(name, "a stranger's") || name == "where nothing is" {
			r.Header.Del("Authorization")
		}
		w := httptest.NewRecorder()
		h.cloud.ServeHTTP(w, r)
		if test.status != 0 && w.Code != test.status || w.Code < 400 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if slack := int64(1<<20 + 64<<10); body.sent > test.most+slack {
			t.Errorf("%s: %d bytes were read, of %d at most", name, body.sent, test.most)
		}
	}
}

// TestDeepJSON: what is nested without end is no JSON here.
func TestDeepJSON(t *testing.T) {
	a := newAgents(t)
	deep := strings.Repeat("[", 200_000)
	object := strings.Repeat(`{"a":`, 200_000) // IAM takes 2,000 bytes of it
	for _, body := range []string{deep, object, `{"agentRuntimeName":` + deep, `{"tags":` + object} {
		if status, answer := a.raw("PUT", "/runtimes/", body); status != http.StatusBadRequest {
			t.Errorf("a runtime: %d %v", status, answer)
		}
		a.want(a.do("PUT", "/manifests/x", strings.NewReader(body), "Content-Type", typeOCIManifest), 405, "UNSUPPORTED")
	}
	roles := iam.NewFromConfig(adminConfig(t, a.srv, DefaultAccount))
	for _, document := range []string{deep[:2000], object[:2000], `{"Version":"2012-10-17","Statement":` + deep[:1900]} {
		_, err := roles.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("deep"), AssumeRolePolicyDocument: &document})
		wantCode(t, err, "MalformedPolicyDocument")
	}
	for _, test := range []struct{ target, service string }{{"AmazonSSM.GetParameter", "ssm"}, {"AmazonEC2ContainerRegistry_V20150921.ListImages", "ecr"}, {"Logs_20140328.FilterLogEvents", "logs"}} {
		call := newSignedRead(t, a.cloud, "POST", "/", test.target, test.service, deep)
		r := call.request.Clone(t.Context())
		r.Body = io.NopCloser(strings.NewReader(call.body))
		w := httptest.NewRecorder()
		a.cloud.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "SerializationException") {
			t.Errorf("%s: %d %.200s", test.target, w.Code, w.Body)
		}
	}
}

// TestHugeManifests: thousands of layers that are not there, an index of
// thousands of children, and one index in another in another.
func TestHugeManifests(t *testing.T) {
	h := newHub(t, "team/agent")
	many := func(n int, of func(i int) string) []descriptor {
		list := make([]descriptor, n)
		for i := range list {
			list[i] = descriptor{MediaType: typeOCIManifest, Digest: of(i), Size: 1}
		}
		return list
	}
	put := func(tag string, m map[string]any) *http.Response {
		raw := must[[]byte](t)(json.Marshal(m))
		if len(raw) > maxManifest {
			t.Fatalf("%d bytes are too many for this test", len(raw))
		}
		return h.do("PUT", "/manifests/"+tag, bytes.NewReader(raw), "Content-Type", fmt.Sprint(m["mediaType"]))
	}
	absent := func(i int) string { return digestOf([]byte(fmt.Sprint(i))) }
	h.want(put("wide", map[string]any{"schemaVersion": 2, "mediaType": typeOCIManifest,
		"config": descriptor{Digest: absent(0)}, "layers": many(2_000, absent)}), 404, "BLOB_UPLOAD_UNKNOWN")
	h.want(put("wide", map[string]any{"schemaVersion": 2, "mediaType": typeOCIIndex, "manifests": many(2_000, absent)}), 404, "MANIFEST_BLOB_UNKNOWN")
	img := must[v1.Image](t)(random.Image(10, 1))
	if err := remote.Write(h.tag("one"), img, h.auth); err != nil {
		t.Fatal(err)
	}
	child := must[v1.Hash](t)(img.Digest()).String()
	h.want(put("wide", map[string]any{"schemaVersion": 2, "mediaType": typeOCIIndex, "manifests": many(2_000, func(int) string { return child })}), 201, "")
	for depth := range 50 {
		resp := put(fmt.Sprint("deep", depth), map[string]any{"schemaVersion": 2, "mediaType": typeOCIIndex, "manifests": many(1, func(int) string { return child })})
		h.want(resp, 201, "")
		child = resp.Header.Get("Docker-Content-Digest")
	}
	for _, tag := range []string{"wide", "deep49"} {
		uri := DefaultAccount + ".dkr.ecr.us-east-1.amazonaws.com/team/agent:" + tag
		if _, err := h.cloud.findImage(uri, []string{"arm64"}); err == nil || !strings.Contains(err.Error(), "Architecture incompatible") {
			t.Errorf("%s is an image: %v", tag, err)
		}
	}
	h.want(h.do("DELETE", "/manifests/one", nil), 405, "UNSUPPORTED") // an index lists it
}

// TestNamesThatLead: nothing outside of the cloud's own directories is
// reached by a name, whatever it is written as.
func TestNamesThatLead(t *testing.T) {
	a := newAgents(t)
	for _, id := range []string{"..", "%2e%2e", "..%2f..%2fissuer.pem", "%2fetc%2fpasswd", "agent-AbCdEf1234%00", "agent%ef%bc%8fAbCdEf1234", "AGENT", "agent-", strings.Repeat("a", 5000)} {
		for _, path := range []string{"/runtimes/" + id + "/", "/runtimes/" + id + "/versions/", "/runtimes/" + id + "/runtime-endpoints/DEFAULT/", "/runtimes/agent-AbCdEf1234/runtime-endpoints/" + id + "/"} {
			status, answer := a.raw("GET", path, "")
			if status != http.StatusBadRequest && status != http.StatusNotFound && status != http.StatusForbidden {
				t.Errorf("%s: %d %v", path, status, answer)
			}
		}
	}
	for _, name := range []string{"team%2f..%2f..", "team/%2e%2e", "team%00", "t%c3%a9am", "TEAM/agent", "team/.hidden", "%2fteam", "team%5cagent"} {
		for _, rest := range []string{"/tags/list", "/manifests/latest", "/blobs/" + digestOf(nil), "/blobs/uploads/" + newRequestID(), "/referrers/" + digestOf(nil)} {
			if resp := a.do("GET", "/v2/"+name+rest, nil); resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusNotFound {
				t.Errorf("%s%s: %s", name, rest, resp.Status)
			}
		}
	}
	upload := a.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	id := upload[strings.LastIndexByte(upload, '/')+1:]
	for _, odd := range []string{strings.ToUpper(id), id + "%00", id + "%2f..%2f" + id, "..%2fuploads%2f" + id, "%2e%2e", id[:35], id + "0"} {
		if resp := a.do("PATCH", "/blobs/uploads/"+odd, strings.NewReader("x")); resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusBadRequest {
			t.Errorf("the upload %s: %s", odd, resp.Status)
		}
	}
	parameters := ssm.NewFromConfig(adminConfig(t, a.srv, DefaultAccount))
	for _, name := range []string{"/a/../../b", "/a/./b", "/a\x00b", "/é", "/a b", "/a//b", "../records", "/a/", strings.Repeat("/x", 16), "/" + strings.Repeat("x", 1011)} {
		if _, err := parameters.PutParameter(t.Context(), putString(name, "x")); err == nil {
			if got, err := parameters.GetParameter(t.Context(), &ssm.GetParameterInput{Name: &name}); err != nil || *got.Parameter.Name != name {
				t.Errorf("%q was put and is not found: %v", name, err)
			}
		}
	}
	a.want(a.do("GET", upload, nil), 204, "")
}

// TestMalformedRanges: a chunk that does not say where it belongs is refused
// and changes nothing.
func TestMalformedRanges(t *testing.T) {
	h := newHub(t, "team/agent")
	at := h.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	h.want(h.do("PATCH", at, strings.NewReader("0123456789"), "Content-Range", "0-9"), 202, "")
	for _, header := range []string{"10-18", "9-18", "10-9", "-1-8", "10", "a-b", "10-19-29", "bytes 10-19/20", "10-19/20", "0x0a-0x13", "18446744073709551626-18446744073709551635",
		"9223372036854775807-9223372036854775816", "10-9223372036854775807", "+10-19", " 10-19 x", "１０-１９"} {
		resp := h.do("PATCH", at, strings.NewReader("9876543210"), "Content-Range", header)
		if resp.StatusCode != http.StatusRequestedRangeNotSatisfiable || resp.Header.Get("Range") != "0-9" {
			t.Errorf("%q: %s, at %s", header, resp.Status, resp.Header.Get("Range"))
		}
	}
	for _, header := range []string{"bytes=5-2", "bytes=a-", "bytes=-", "bytes=99-", "bytes=0-1,5-2", "bytes=" + strings.Repeat("0-0,", 10_000) + "0-0"} {
		blob := []byte("0123456789")
		h.want(h.do("POST", "/blobs/uploads/?digest="+digestOf(blob), bytes.NewReader(blob)), 201, "")
		resp := h.do("GET", "/blobs/"+digestOf(blob), nil, "Range", header)
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n > 1<<10 {
			t.Errorf("%.30q: %s, %d bytes, %v", header, resp.Status, n, err)
		}
	}
}

// TestManyIdleLines: who only holds connections is in nobody's way.
func TestManyIdleLines(t *testing.T) {
	h := newHub(t, "team/agent")
	for i := range 400 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", h.srv.Listener.Addr().String())
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
	}
	h.want(h.do("GET", "/v2/", nil), 200, "")
	must[*ecr.DescribeRepositoriesOutput](t)(h.ecr.DescribeRepositories(t.Context(), &ecr.DescribeRepositoriesInput{}))
}

// TestLongLists: a million tags and parameters are listed page by page, and a
// page costs what is on it.
func TestLongLists(t *testing.T) {
	h := newHub(t, "team/agent")
	const n = 200_000
	k := &call{account: DefaultAccount, region: DefaultRegion}
	s := h.cloud.store
	s.mu.Lock()
	for i := range n {
		key := k.parameterKey(fmt.Sprintf("/many/%07d", i))
		s.records[key], s.order = rawOf(nil), append(s.order, key)
	}
	s.mu.Unlock()
	// The order of keys is that of names: "ssm/" comes after all others.
	first := fmt.Sprintf("/many/%07d", n-5)
	for i := n - 5; i < n; i++ {
		name := fmt.Sprintf("/many/%07d", i)
		s.remember(k.parameterKey(name), rawOf(parameter{Name: name, Versions: []parameterVersion{{Version: 1, Type: "String", Value: "v", Tier: "Standard"}}}))
	}
	looks := 0
	page, next := h.cloud.parametersAfter(k, fmt.Sprintf("/many/%07d", n-6), 3, func(string) bool { looks++; return true })
	if len(page) != 3 || page[0].Name != first || next == "" || looks > 5 {
		t.Errorf("a page of %d after %d looks, then %q", len(page), looks, next)
	}

	r := must[*repository](t)(h.cloud.loadRepository(registryID{DefaultAccount, DefaultRegion}, h.repository))
	r.Images, r.ImageTags = map[string]imageInfo{}, map[string]string{}
	for i := range 20_000 {
		digest := digestOf([]byte(fmt.Sprint(i)))
		r.Images[digest] = imageInfo{MediaType: typeOCIManifest, Pushed: time.Now()}
		r.ImageTags[fmt.Sprint("t", i)] = digest
	}
	if err := h.cloud.saveRepository(r); err != nil {
		t.Fatal(err)
	}
	var seen int
	pages := ecr.NewDescribeImagesPaginator(h.ecr, &ecr.DescribeImagesInput{RepositoryName: &h.repository, MaxResults: aws.Int32(1000)})
	for range 5 {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen += len(out.ImageDetails)
		if len(out.ImageDetails[0].ImageTags) != 1 {
			t.Errorf("an image has the tags %v", out.ImageDetails[0].ImageTags)
		}
	}
	resp := h.do("GET", "/tags/list?n=1000000", nil)
	var list struct{ Tags []string }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || len(list.Tags) != 1000 || resp.Header.Get("Link") == "" || seen != 5000 {
		t.Errorf("%d images, %d tags at once, %v", seen, len(list.Tags), err)
	}
}
