package sim

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// FuzzSignedRequest: what AWS's own signer has signed is let in, whatever its
// path, query, header and body; changed by a byte anywhere, or presigned, it
// is not.
func FuzzSignedRequest(f *testing.F) {
	c, key, secret := openCloud(f, nil)
	f.Add("/", "a", []byte("Action=GetCallerIdentity"))
	f.Add("/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A1%3Aruntime%2Fa/invocations?qualifier=a+b&x=%2B", "a  b", []byte(`{}`))
	f.Add("/%20~é*'()/?b=1&a=2&a=1&c", " x  y ", []byte(nil))
	keys := aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}
	f.Fuzz(func(t *testing.T, target, value string, body []byte) {
		r := foreignRequest(t, target, value, body)
		now := time.Now()
		sum := sha256.Sum256(body)
		signer := v4.NewSigner()
		if err := signer.SignHTTP(t.Context(), keys, r, hex.EncodeToString(sum[:]), "sts", DefaultRegion, now); err != nil {
			t.Fatal(err)
		}
		wire := onTheWire(t, r)
		if err := c.authenticate(received(t, wire, body)); err != nil {
			t.Fatalf("refused what is signed: %v\n%s", err, wire)
		}
		for what, changed := range map[string]*call{
			"the method": received(t, bytes.Replace(wire, []byte("POST "), []byte("PUT "), 1), body),
			"the path":   received(t, bytes.Replace(wire, []byte("POST /"), []byte("POST /x"), 1), body),
			"a header":   received(t, bytes.Replace(wire, []byte("X-Amz-Test: "), []byte("X-Amz-Test: x"), 1), body),
			"the body":   received(t, wire, append(bytes.Clone(body), 'x')),
		} {
			if c.authenticate(changed) == nil {
				t.Errorf("let in with %s changed:\n%s", what, wire)
			}
		}
		address, headers, err := signer.PresignHTTP(t.Context(), keys, foreignRequest(t, target, value, body), hex.EncodeToString(sum[:]), "sts", DefaultRegion, now)
		if err != nil {
			t.Fatal(err)
		}
		presigned := httptest.NewRequest(http.MethodPost, address, bytes.NewReader(body))
		maps.Copy(presigned.Header, headers)
		k := &call{Request: presigned, op: operation{service: "sts"}, body: body}
		if f := asFault(c.authenticate(k)); f == nil || f.Code != "MissingAuthenticationToken" {
			t.Errorf("a presigned request: %v", f)
		}
	})
}

// foreignRequest makes a request of what is fuzzed, or skips what no client
// sends, or what AWS's signers read each in its own way: paths that are not
// clean, and tabs within a header, which Python's, JavaScript's and Java's take
// for spaces, as the cloud does, and Go's does not.
func foreignRequest(t *testing.T, target, value string, body []byte) *http.Request {
	t.Helper()
	u, err := url.Parse("http://cloud.example" + target)
	if err != nil || strings.ContainsAny(value, "\t\r\n") || u.Host != "cloud.example" || u.User != nil || !strings.HasPrefix(u.EscapedPath(), "/") {
		t.Skip()
	}
	sent := u.EscapedPath()
	if _, err := url.ParseQuery(u.RawQuery); err != nil || strings.TrimSuffix(sent, "/") != strings.TrimSuffix(path.Clean(sent), "/") {
		t.Skip()
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		t.Skip()
	}
	r.Header.Set("X-Amz-Test", value)
	return r
}

// onTheWire is a request as it is sent; one that can't be is skipped.
func onTheWire(t *testing.T, r *http.Request) []byte {
	t.Helper()
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Skip()
	}
	return wire.Bytes()
}

// received is a request as the cloud reads it.
func received(t *testing.T, wire, body []byte) *call {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		t.Skip()
	}
	return &call{Request: r, op: operation{service: "sts"}, body: body}
}

// FuzzSignedHeaders: an Authorization header that is for this call has host
// and every x-amz- header among what it signs.
func FuzzSignedHeaders(f *testing.F) {
	f.Add("Credential=AKIA/20261123/us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date;x-amz-test, Signature=00", "x-amz-test")
	f.Add("Credential=AKIA/20261123/us-east-1/sts/aws4_request,SignedHeaders=host;x-amz-date,Signature=00,SignedHeaders=host", "X-Amz-Security-Token")
	f.Add("Credential=AKIA/20261123/us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "X-Amz-Security-Token")
	f.Add("Credential=a/b/c/d/aws4_request, SignedHeaders=;;, Signature==", "host")
	at := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, parts, header string) {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header = http.Header{"Authorization": {sigAlgorithm + " " + parts}, "X-Amz-Date": {at.Format(sigTime)}, header: {"x"}}
		k := &call{Request: r, op: operation{service: "sts"}}
		a, err := k.readAuthorization()
		if err != nil || k.checkScope(a, at) != nil {
			return
		}
		if !slices.Contains(a.signed, "host") || a.key == "" || a.signature == "" || a.service != "sts" {
			t.Errorf("taken: %+v", a)
		}
		for name := range r.Header {
			if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !slices.Contains(a.signed, lower) {
				t.Errorf("%s is not signed by %q", name, parts)
			}
		}
	})
}

// FuzzRegistryRequest: whatever is sent to the registry, its answer is none of
// the cloud's own faults, and nothing is written but into the repository's own
// directories, under the names that blobs, manifests and uploads have.
func FuzzRegistryRequest(f *testing.F) {
	c, _, _ := openCloud(f, nil)
	login := fuzzLogin(f, c)
	before := filesOf(f, c.Dir)
	digest := digestOf([]byte("x"))
	for _, target := range []string{"/v2/", "/v2/team/agent/blobs/uploads/?digest=" + digest, "/v2/team/agent/blobs/uploads/../../x",
		"/v2/team/agent/manifests/..%2f..%2fx", "/v2/..%2fteam/manifests/x", "/v2/team/agent/blobs/sha256:..", "/v2/team/agent/referrers/" + digest} {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			f.Add(method, target, []byte("x"))
		}
	}
	allowed := regexp.MustCompile(`^registry/[0-9a-f]{32}/((blobs|manifests)/[0-9a-f]{64}|uploads/[0-9a-f-]{36})$|^records/[0-9a-f]{64}\.json$`)
	f.Fuzz(func(t *testing.T, method, target string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Path != "/v2" && !strings.HasPrefix(u.Path, "/v2/") {
			t.Skip()
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://cloud.example/", bytes.NewReader(body))
		if err != nil {
			t.Skip()
		}
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		r.SetBasicAuth("AWS", login)
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
		if w.Code >= 400 && method != http.MethodHead && json.Unmarshal(w.Body.Bytes(), &struct{ Errors []any }{}) != nil {
			t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
		if method == http.MethodGet || method == http.MethodHead {
			return
		}
		for name := range filesOf(t, c.Dir) {
			if !before[name] && !allowed.MatchString(name) {
				t.Errorf("%s %s has written %s", method, target, name)
			}
		}
	})
}

// fuzzLogin makes the repository team/agent and a login.
func fuzzLogin(t testing.TB, c *Cloud) string {
	t.Helper()
	k := adminCall(c, "ecr", "CreateRepository", []byte(`{"repositoryName":"team/agent"}`))
	if _, err := c.createRepository(k); err != nil {
		t.Fatal(err)
	}
	answer, err := c.getAuthorizationToken(adminCall(c, "ecr", "GetAuthorizationToken", nil))
	if err != nil {
		t.Fatal(err)
	}
	data, _ := answer.(map[string]any)["authorizationData"].([]map[string]any)
	token, _ := data[0]["authorizationToken"].(string)
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(raw), "AWS:")
}

// filesOf lists the files below dir.
func filesOf(t testing.TB, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an upload that ended meanwhile
		}
		if err == nil && !d.IsDir() {
			rel, relErr := filepath.Rel(dir, name)
			names[filepath.ToSlash(rel)] = true
			err = relErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// FuzzRegistryLogin: no login lets in but one that the cloud has given.
func FuzzRegistryLogin(f *testing.F) {
	c, _, _ := openCloud(f, nil)
	login := fuzzLogin(f, c)
	f.Add("Basic " + base64.StdEncoding.EncodeToString([]byte("AWS:"+login[1:])))
	f.Add("Basic QVdTOg==")
	f.Add("Bearer x")
	f.Add("")
	good := base64.StdEncoding.EncodeToString([]byte("AWS:" + login))
	f.Fuzz(func(t *testing.T, header string) {
		if strings.Contains(header, good) {
			t.Skip()
		}
		r := httptest.NewRequest(http.MethodGet, "/v2/team/agent/tags/list", nil)
		r.Header["Authorization"] = []string{header}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%q: %d %s", header, w.Code, w.Body)
		}
	})
}

// adminCall is a call of the default account's administrator, signature and
// all else checked.
func adminCall(c *Cloud, service, operationName string, body []byte) *call {
	return &call{Request: httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)), op: operation{service: service, name: operationName},
		id: newRequestID(), at: c.now().UTC(), body: body, account: c.Account, region: c.Region,
		principal: principal{arn: "arn:aws:iam::" + c.Account + ":user/administrator", account: c.Account}}
}

// fuzzOperations are the operations of JSON 1.1 and Query, in a settled order.
func fuzzOperations(c *Cloud) []operation {
	var all []operation
	for _, s := range []struct {
		name     string
		protocol protocol
		table    map[string]func(*call) (any, error)
	}{{"ecr", json11, c.ecrOperations()}, {"ssm", json11, c.ssmOperations()}, {"logs", json11, c.logsOperations()},
		{"iam", queryXML, c.iamOperations()}, {"sts", queryXML, c.stsOperations()}} {
		for _, name := range slices.Sorted(maps.Keys(s.table)) {
			all = append(all, operation{service: s.name, name: name, protocol: s.protocol, run: s.table[name]})
		}
	}
	return all
}

// FuzzOperations: whatever the body, an operation of JSON 1.1 or Query ends in
// an answer that can be written, or a refusal; never in a fault of the cloud's
// own.
func FuzzOperations(f *testing.F) {
	c, _, _ := openCloud(f, nil)
	fuzzLogin(f, c)
	for _, body := range []string{`{"Name":"/team/prod/x","Value":"1","Type":"String","Overwrite":true}`, `{"Names":["/team/prod/x","a:1"]}`,
		`{"repositoryName":"team/agent","imageIds":[{"imageTag":"a"}],"maxResults":1,"nextToken":"AA"}`, `{"logGroupName":"x","filterPattern":"a","nextToken":"MQ"}`,
		`{"repositoryName":"team/agent","imageManifest":"{}","imageTag":"x"}`, `{"logGroupNamePrefix":"/","limit":1}`,
		"RoleName=a&AssumeRolePolicyDocument=%7B%7D&Path=/&MaxItems=1&Marker=a", "Url=https://a.example&ClientIDList.member.1=a&OpenIDConnectProviderArn=arn:aws:iam::111122223333:oidc-provider/a.example",
		"RoleArn=arn:aws:iam::111122223333:role/x&RoleSessionName=ab&WebIdentityToken=e30.e30.AA&DurationSeconds=900"} {
		for n, op := range fuzzOperations(c) {
			if (op.protocol == json11) == strings.HasPrefix(body, "{") {
				f.Add(uint8(n), []byte(body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		all := fuzzOperations(c)
		k := adminCall(c, "", "", body)
		k.op = all[int(n)%len(all)]
		if k.op.protocol == queryXML {
			form, err := url.ParseQuery(string(body))
			if err != nil {
				t.Skip()
			}
			k.form = form
		}
		result, err := k.op.run(k)
		if status := c.respond(httptest.NewRecorder(), k, result, err); status >= 500 {
			t.Errorf("%s:%s: %d, %v", k.op.service, k.op.name, status, err)
		}
	})
}

// FuzzRuntimeOperations is FuzzOperations for AgentCore: a raw path and body.
func FuzzRuntimeOperations(f *testing.F) {
	c, _, _ := openCloud(f, nil)
	r := &runtimeRecord{ID: "agent-0123456789", Name: "agent", Account: c.Account, Region: c.Region, Latest: 1, Settled: true, Created: c.now(),
		Endpoints: map[string]*endpointRecord{defaultEndpoint: {Name: defaultEndpoint, Live: 1, Target: 1}}}
	if err := c.saveVersion(r, &versionRecord{Number: 1, Document: document{"lifecycleConfiguration": rawOf(map[string]int{})}}); err != nil {
		f.Fatal(err)
	}
	const body = `{"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"111122223333.dkr.ecr.us-east-1.amazonaws.com/a:b"}},"roleArn":"arn:aws:iam::111122223333:role/x","networkConfiguration":{"networkMode":"PUBLIC"},"name":"e","agentRuntimeVersion":"1"}`
	for _, target := range []string{"/runtimes/", "/runtimes/?maxResults=1&nextToken=AA", "/runtimes/agent-0123456789/?version=1", "/runtimes/agent-0123456789/versions/",
		"/runtimes/agent-0123456789/runtime-endpoints/", "/runtimes/agent-0123456789/runtime-endpoints/DEFAULT/", "/runtimes/agent-0123456789/invocations?accountId=111122223333",
		"/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A111122223333%3Aruntime%2Fagent-0123456789/stopruntimesession", "/runtimes/%2e%2e/x"} {
		for _, method := range []string{"GET", "POST", "PUT"} {
			f.Add(method, target, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, method, target string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Path != "/runtimes" && !strings.HasPrefix(u.Path, "/runtimes/") {
			t.Skip()
		}
		k := adminCall(c, "", "", body)
		k.Method, k.URL, k.answer = method, u, httptest.NewRecorder()
		result, err := any(nil), c.identifyRuntime(k)
		if err == nil {
			result, err = k.op.run(k)
		}
		if status := c.respond(httptest.NewRecorder(), k, result, err); status >= 500 && status != http.StatusNotImplemented {
			t.Errorf("%s %s: %d, %v", method, target, status, err)
		}
	})
}

// FuzzGitHubBodies: what takes a body answers any with JSON, never with a fault
// of its own, and nobody who may not is let in by one.
func FuzzGitHubBodies(f *testing.F) {
	c, _, _ := openCloud(f, nil)
	if err := c.registerRepository(Repository{Owner: "acme", OwnerID: "1", Name: "agents", ID: "2", Readers: []string{"hubot"}}); err != nil {
		f.Fatal(err)
	}
	e := newEnvironment(Repository{Owner: "acme", Name: "agents"}, "prd", time.Now())
	e.Reviewers = []githubReviewer{{"User", "octocat"}}
	waits, err := c.startJob(Job{Repository: "acme/agents", Environment: "dev"}, "localhost")
	if err == nil {
		err = c.store.put(environmentKey(Repository{Owner: "acme", Name: "agents"}, "prd"), e)
	}
	if err == nil {
		waits, err = c.startJob(Job{Repository: "acme/agents", Environment: "prd", RunID: waits.RunID, Name: "promote"}, "localhost")
	}
	token, wrong := c.githubToken()
	if err := errors.Join(err, wrong); err != nil {
		f.Fatal(err)
	}
	paths := []string{"/deployments", "/deployments/1/statuses", "/actions/runs/" + waits.RunID + "/pending_deployments", "/actions/runs/" + waits.RunID + "/rerun"}
	f.Add(uint8(0), []byte(`{"ref":"main","payload":"x","required_contexts":[]}`))
	f.Add(uint8(1), []byte(`{"state":"success","auto_inactive":null,"environment":"é"}`))
	f.Add(uint8(2), []byte(`{"environment_ids":[`+e.ID+`],"state":"approved","comment":""}`))
	f.Add(uint8(3), []byte(`{"enable_debug_logging":1}`))
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		for _, token := range []string{token, personToken(token, "hubot")} {
			r := httptest.NewRequest(http.MethodPost, "/api/v3/repos/acme/agents"+paths[int(which)%len(paths)], bytes.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			c.ServeHTTP(w, r)
			if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s %s: %d %s", r.URL.Path, body, w.Code, w.Body)
			}
		}
		if s, err := c.jobState(waits.ID, "localhost"); err != nil || s.Status != jobWaiting {
			t.Fatalf("%s opens the gate: %+v %v", body, s, err)
		}
	})
}

// FuzzRefPattern: a pattern without special characters is a name; any other is
// decided in no time.
func FuzzRefPattern(f *testing.F) {
	f.Add("release/*", "release/1")
	f.Add("**/**/a/**/b", "a/a/a/a/a/a/b")
	f.Add("v[!0-9]", "v[")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := matchesRef(pattern, name)
		if !strings.ContainsAny(pattern, `*?[\`) && got != (pattern == name) {
			t.Errorf("%q and %q: %t", pattern, name, got)
		}
	})
}
