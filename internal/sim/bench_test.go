package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signedRead is a call that AWS's own signer has signed; it may be sent many
// times, as signatures are good for five minutes.
type signedRead struct {
	request *http.Request
	body    string
}

func newSignedRead(t testing.TB, c *Cloud, method, path, target, service, body string) signedRead {
	t.Helper()
	key, secret, err := c.Administrator(DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:4510"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	}
	sum := sha256.Sum256([]byte(body))
	err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, r,
		hex.EncodeToString(sum[:]), service, DefaultRegion, c.now())
	if err != nil {
		t.Fatal(err)
	}
	return signedRead{r, body}
}

func (s signedRead) send(t testing.TB, c *Cloud) *httptest.ResponseRecorder {
	t.Helper()
	r := s.request.Clone(s.request.Context())
	r.Body = io.NopCloser(strings.NewReader(s.body))
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s answered %d %s", s.request.URL, w.Code, w.Body)
	}
	return w
}

// newFilledCloud is a cloud with much in it, and the reads that a delivery
// polls with.
func newFilledCloud(t testing.TB) (*Cloud, map[string]signedRead) {
	t.Helper()
	c := &Cloud{Dir: t.TempDir()}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	const id = "agent-AbCdEf1234"
	fillCloud(t, c, id)
	return c, map[string]signedRead{
		"GetParameter":    newSignedRead(t, c, "POST", "/", "AmazonSSM.GetParameter", "ssm", `{"Name":"/agent/dev/release"}`),
		"GetAgentRuntime": newSignedRead(t, c, "GET", "/runtimes/"+id+"/", "", "bedrock-agentcore", ""),
		"GetEndpoint":     newSignedRead(t, c, "GET", "/runtimes/"+id+"/runtime-endpoints/DEFAULT/", "", "bedrock-agentcore", ""),
		"DescribeImages": newSignedRead(t, c, "POST", "/", "AmazonEC2ContainerRegistry_V20150921.DescribeImages", "ecr",
			`{"repositoryName":"team/agent","imageIds":[{"imageTag":"t1"}]}`),
	}
}

// TestReadsDoNotDecodeTheWorld counts allocations, which a slow machine does
// not change: a read that decodes all that lies beside it makes thousands.
func TestReadsDoNotDecodeTheWorld(t *testing.T) {
	c, reads := newFilledCloud(t)
	for name, read := range reads {
		if n := testing.AllocsPerRun(20, func() { read.send(t, c) }); n > 600 {
			t.Errorf("%s makes %.0f allocations", name, n)
		}
	}
}

// TestSharedRecordsAreNotChanged: what one reader holds is what was there.
func TestSharedRecordsAreNotChanged(t *testing.T) {
	c, _ := newFilledCloud(t)
	g := registryID{DefaultAccount, DefaultRegion}
	before := must[*repository](t)(c.loadRepository(g, "team/agent"))
	if err := c.removeImage(must[*repository](t)(c.loadRepository(g, "team/agent")), before.ImageTags["t1"], "t1"); err != nil {
		t.Fatal(err)
	}
	after := must[*repository](t)(c.loadRepository(g, "team/agent"))
	if len(before.Images) != 1000 || len(after.Images) != 999 || len(before.ImageTags) != 1000 || len(after.ImageTags) != 999 {
		t.Errorf("before %d images and %d tags, after %d and %d", len(before.Images), len(before.ImageTags), len(after.Images), len(after.ImageTags))
	}
}

// BenchmarkSignedReads measures what a poll costs: the target is 2,000 a
// second at least.
func BenchmarkSignedReads(b *testing.B) {
	c, reads := newFilledCloud(b)
	for name, read := range reads {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				read.send(b, c)
			}
		})
	}
}

// fillCloud puts in what a long-lived cloud holds: a parameter with a full
// history, a repository with a thousand images, a runtime.
func fillCloud(b testing.TB, c *Cloud, id string) {
	b.Helper()
	k := &call{account: DefaultAccount, region: DefaultRegion}
	p := parameter{Name: "/agent/dev/release"}
	for i := range maxParameterVersions {
		p.Versions = append(p.Versions, parameterVersion{Version: int64(i + 1), Type: "String", Value: strings.Repeat("x", 2000), Tier: "Standard", Modified: time.Now()})
	}
	r := repository{Name: "team/agent", Store: "x", Images: map[string]imageInfo{}, ImageTags: map[string]string{}}
	for i := range 1000 {
		digest := digestOf([]byte{byte(i), byte(i >> 8)})
		r.Images[digest] = imageInfo{MediaType: typeOCIManifest, ManifestSize: 1000, Size: 10_000_000, Pushed: time.Now()}
		r.ImageTags[fmt.Sprintf("t%d", i)] = digest
	}
	runtime := runtimeRecord{ID: id, Name: "agent", Account: DefaultAccount, Region: DefaultRegion, Latest: 1, Settled: true,
		Endpoints: map[string]*endpointRecord{defaultEndpoint: {Name: defaultEndpoint, Live: 1, Target: 1}}}
	for key, record := range map[string]any{
		k.parameterKey(p.Name): p, registryID{DefaultAccount, DefaultRegion}.key(r.Name): r,
		runtime.key(): runtime, versionKey(&runtime, 1): versionRecord{Number: 1, Document: document{}},
	} {
		if err := c.store.put(key, record); err != nil {
			b.Fatal(err)
		}
	}
}
