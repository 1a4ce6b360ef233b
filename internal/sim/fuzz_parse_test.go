package sim

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/slipway-cd/slipway/internal/trust"
)

// FuzzSignedClaims: of what the issuer itself has signed, a token is taken
// alone if it states each claim once, sub as a text that is not empty, and its
// audience and times hold.
func FuzzSignedClaims(f *testing.F) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1795392000, 0)
	m := tokenMaker{private, jose.ES256, now}
	issuer := TokenIssuer{URL: Issuer, ClientIDs: []string{"sts.amazonaws.com"}, KeySet: m.keySet(f)}
	good := fmt.Sprintf(`{"iss":"%s","sub":"repo:a/b:ref:c","aud":"sts.amazonaws.com","iat":%d,"nbf":1,"exp":%d}`, Issuer, now.Unix(), now.Unix()+300)
	for _, payload := range []string{good, strings.Replace(good, `"sub"`, `"sub":"x","sub"`, 1), strings.Replace(good, `"aud"`, `"azp":["sts.amazonaws.com"],"aud"`, 1),
		strings.Replace(good, `"sub"`, `"\u0073ub"`, 1), strings.Replace(good, `"nbf":1`, `"nbf":1e3`, 1), strings.Replace(good, `"repo:a/b:ref:c"`, `7`, 1), `{}`, `[]`} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		claims, err := VerifyToken(m.raw(t, string(payload)), issuer, now)
		if err != nil {
			return
		}
		names, scanErr := memberNames(payload)
		var plain map[string]any
		if jsonErr := json.Unmarshal(payload, &plain); scanErr != nil || jsonErr != nil {
			t.Fatalf("taken: %s (%v, %v)", payload, scanErr, jsonErr)
		}
		for name, times := range names {
			if times != 1 {
				t.Errorf("%q is stated %d times: %s", name, times, payload)
			}
		}
		if claims.Subject == "" || plain["sub"] != claims.Subject || len(names) != len(claims.All) {
			t.Errorf("read as %+v: %s", claims, payload)
		}
		if claims.Audience != "sts.amazonaws.com" || claims.Issuer != Issuer || !now.Before(claims.Expires) {
			t.Errorf("taken with %+v: %s", claims, payload)
		}
	})
}

// memberNames counts the members of a JSON object.
func memberNames(raw []byte) (map[string]int, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	names := map[string]int{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		names[fmt.Sprint(name)]++
	}
	return names, nil
}

// FuzzStrictObject: what is read strictly is what encoding/json reads, without
// a repeated member at any depth, and no deeper than it may be.
func FuzzStrictObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":{"b":[1,"x",null,true]}}`, `{"a":1,"a":2}`, `{"a":[{"b":1,"b":2}]}`, `{"a":1}{}`, `[]`, "{\"a\":\"\xff\"}",
		strings.Repeat(`{"a":`, 17) + "1" + strings.Repeat("}", 17), `{"\u0061":1,"a":2}`, `{"a":1e999}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := strictObject(raw)
		if err != nil {
			return
		}
		if !json.Valid(raw) || !utf8.Valid(raw) {
			t.Fatalf("taken: %q", raw)
		}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		var want map[string]any
		if err := d.Decode(&want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %v, not as %v (%v)", raw, got, want, err)
		}
		if commas, members := leaves(raw), leaves(rawOf(got)); commas != members {
			t.Errorf("%s states %d things, %d were read", raw, commas, members)
		}
	})
}

// leaves counts the tokens of a JSON text: repeated members are lost where it is
// read into a map.
func leaves(raw []byte) int {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	for n := 0; ; n++ {
		if _, err := d.Token(); err != nil {
			return n
		}
	}
}

// FuzzExact: a member is read from its exact name alone, and from the last of
// several.
func FuzzExact(f *testing.F) {
	for _, seed := range []string{`{"name":"a","Name":"b","NAME":"c"}`, `{"inner":{"Name":"a","name":"b"},"Inner":{"name":"c"}}`,
		`{"list":[{"name":"a","nAme":"b"}],"LIST":[]}`, `{"name":"a","name":"b"}`, `{"ſame":1,"\u006eame":"x"}`, `[]`, `null`, `{"inner":null}`} {
		f.Add([]byte(seed))
	}
	type inner struct {
		Name string `json:"name"`
	}
	type outer struct {
		Name  string  `json:"name"`
		Inner inner   `json:"inner"`
		List  []inner `json:"list"`
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got outer
		if exact(raw, &got) != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("taken: %q", raw)
		}
		var plain map[string]any
		if json.Unmarshal(raw, &plain) != nil {
			return // null
		}
		text := func(value any) string {
			m, _ := value.(map[string]any)
			s, _ := m["name"].(string)
			return s
		}
		if got.Name != text(plain) || got.Inner.Name != text(plain["inner"]) {
			t.Errorf("%s is read as %+v", raw, got)
		}
		list, _ := plain["list"].([]any)
		for i, item := range got.List {
			if item.Name != text(list[i]) {
				t.Errorf("%s is read as %+v", raw, got)
			}
		}
	})
}

// FuzzImageURI: an image's name that AgentCore's pattern takes is pinned to the
// same repository of the same account, and again to the same.
func FuzzImageURI(f *testing.F) {
	digest := digestOf(nil)
	for _, suffix := range []string{"team/agent:one", "team/agent", "team/agent@" + digest, "team/agent:one@" + digest, "a/b:c/d", "a:b:c", "a@b@c", "../x:y"} {
		f.Add("111122223333.dkr.ecr.us-east-1.amazonaws.com/" + suffix)
	}
	f.Add("public.ecr.aws/a/b:c")
	whole := regexp.MustCompile(`^(?s:` + patternImage + `)$`)
	f.Fuzz(func(t *testing.T, uri string) {
		if !whole.MatchString(uri) {
			return
		}
		m := whole.FindStringSubmatch(uri)
		once := pinned(uri, digest)
		again := whole.FindStringSubmatch(once)
		if again == nil || again[1] != m[1] || again[5] != m[5] || again[7] != digest || pinned(once, digest) != once {
			t.Errorf("%q is pinned as %q", uri, once)
		}
		if g, name, ok := imageRepository(uri); ok && (g != registryID{m[2], m[3]} || name != m[5]) {
			t.Errorf("the repository of %q is %s", uri, g.arn(name))
		}
	})
}

// FuzzInvocation: what a call of the data plane names is a runtime's ARN of an
// account, an endpoint and a session, each of its form.
func FuzzInvocation(f *testing.F) {
	f.Add("arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/agent-0123456789", "", "DEFAULT", strings.Repeat("s", 33))
	f.Add("agent-0123456789", "111122223333", "", "")
	f.Add("arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/agent-0123456789/runtime-endpoint/x", "1", "a/b", "short")
	f.Add("arn:aws:ecr:a:b:c", "", "", "")
	f.Add("agent", "111122223333", "", "")
	f.Add("arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/../agent-0123456789", "", "", "")
	id, name := regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,99}-[a-zA-Z0-9]{10}$`), regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,47}$`)
	f.Fuzz(func(t *testing.T, runtime, account, qualifier, session string) {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		query := r.URL.Query()
		query.Set("accountId", account)
		query.Set("qualifier", qualifier)
		r.URL.RawQuery = query.Encode()
		r.Header[http.CanonicalHeaderKey(headerSession)] = []string{session}
		in, err := target(&call{Request: r, params: []string{runtime}, region: DefaultRegion})
		if err != nil {
			if asFault(err) == nil {
				t.Errorf("%v", err)
			}
			return
		}
		if !id.MatchString(in.id) || !accountPattern.MatchString(in.account) || !name.MatchString(in.endpoint) {
			t.Errorf("%q is read as %+v", runtime, in)
		}
		if n := utf8.RuneCountInString(in.session); in.session != "" && (n < 33 || n > 256) {
			t.Errorf("a session of %d characters", n)
		}
		if strings.HasPrefix(runtime, "arn:aws:") && in.arn() != runtime {
			t.Errorf("%q is read as %q", runtime, in.arn())
		}
	})
}

// FuzzControl: the control API answers whatever it is sent with JSON.
func FuzzControl(f *testing.F) {
	c, _, _ := openCloud(f, nil)
	f.Add("POST", "token", []byte(`{"job":{},"x":1}`))
	f.Add("POST", "jobs", []byte(`{"repository":"acme"}`))
	f.Add("POST", "repositories", []byte(`{"owner":"acme","owner_id":"1","name":"agent","id":"x"}`))
	f.Add("GET", "journal/../health", []byte(nil))
	f.Fuzz(func(t *testing.T, method, name string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/_local/", bytes.NewReader(body))
		r.Method, r.URL.Path, r.Host = method, "/_local/"+name, "127.0.0.1:1"
		r.Header.Set("Authorization", "Bearer "+c.ControlToken())
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		var answer map[string]any
		if w.Code >= 500 || json.Unmarshal(w.Body.Bytes(), &answer) != nil {
			t.Fatalf("%s %s: %d %s", name, body, w.Code, w.Body)
		}
	})
}

// FuzzJob: a job that is taken has one subject, which no value of it imitates,
// and ids that are decimal.
func FuzzJob(f *testing.F) {
	c, _, _ := openCloud(f, nil)
	for _, job := range []string{`{"repository":"acme/agent","environment":"x:ref:refs/heads/main"}`, `{"repository":"acme@1/agent@2","event":"pull_request"}`,
		`{"repository":"acme/agent","ref":"refs/heads/a:b"}`, `{"repository":"a/b","lifetime":-1,"run_id":"x"}`, `{"repository":"acme/agent:environment:prod"}`, `{}`} {
		f.Add([]byte(job))
	}
	subject := regexp.MustCompile(`^repo:[^:/]+/[^:/]+:(environment:[^:]+|pull_request|ref:refs/[^:]*)$`)
	f.Fuzz(func(t *testing.T, body []byte) {
		var j Job
		if readControl(httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)), &j) != nil {
			return
		}
		j.RunID = or(j.RunID, "1") // the count of runs is on the disk
		j, err := c.complete(j)
		if err != nil {
			return
		}
		claims := j.claims()
		if sub := j.subject(); !subject.MatchString(sub) {
			t.Errorf("%s has the subject %q", body, sub)
		}
		for _, name := range []string{"repository_id", "repository_owner_id", "run_id", "run_number", "run_attempt"} {
			if id, _ := claims[name].(string); !decimal.MatchString(id) {
				t.Errorf("%s has %s %q", body, name, id)
			}
		}
	})
}

// FuzzCheckTrust: a trust policy that IAM takes has a principal in each
// statement, and looks at the subject wherever it trusts GitHub.
func FuzzCheckTrust(f *testing.F) {
	names, err := filepath.Glob("../trust/testdata/T*.json")
	if err != nil || len(names) == 0 {
		f.Fatal(err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	f.Fuzz(func(t *testing.T, document string) {
		if checkTrust(document) != nil {
			return
		}
		policy, err := trust.Parse([]byte(document))
		if err != nil {
			t.Fatalf("taken: %s (%v)", document, err)
		}
		for _, s := range policy.Statements {
			if len(s.Principals) == 0 || len(s.Actions)+len(s.NotActions) == 0 {
				t.Errorf("taken: %+v", s)
			}
			if s.Effect == trust.Allow && strings.Contains(fmt.Sprint(s.Principals), "oidc-provider/"+gitHubHost) && !strings.Contains(strings.ToLower(fmt.Sprint(s.Conditions)), ":sub") {
				t.Errorf("trusts GitHub without a look at the subject: %s", document)
			}
		}
	})
}

// FuzzParameterName: a name that is taken is what its ARN names, and is read
// back by name, by ARN and by version.
func FuzzParameterName(f *testing.F) {
	c, _, _ := openCloud(f, nil)
	for _, name := range []string{"/team/prod/x", "x", " /a ", "/aws/x", "ssm", "/a//b", "a:1", "/" + strings.Repeat("a/", 20), "/a/../b", "arn:aws:ssm:us-east-1:111122223333:parameter/x"} {
		f.Add(name)
	}
	plain := regexp.MustCompile(`^[a-zA-Z0-9_.\-/]+$`)
	f.Fuzz(func(t *testing.T, name string) {
		body := rawOf(map[string]any{"Name": name, "Value": "1", "Type": "String", "Overwrite": true})
		if !utf8.ValidString(name) {
			t.Skip()
		}
		if _, err := c.putParameter(adminCall(c, "ssm", "PutParameter", body)); err != nil {
			return
		}
		name = strings.TrimSpace(name)
		if !plain.MatchString(name) || strings.Contains(name, "//") {
			t.Errorf("the name %q is taken", name)
		}
		k := adminCall(c, "ssm", "GetParameter", nil)
		for _, reference := range []string{name, k.parameterARN(name)} {
			ref, _, err := c.lookupParameter(k, reference)
			if err != nil || strings.TrimPrefix(ref.name, "/") != strings.TrimPrefix(name, "/") {
				t.Errorf("%q is read by %q as %q: %v", name, reference, ref.name, err)
			}
		}
		if _, err := c.deleteParameter(adminCall(c, "ssm", "DeleteParameter", rawOf(map[string]string{"Name": name}))); err != nil {
			t.Error(err)
		}
	})
}

// FuzzPageTokens: a token of a list that nobody gave is refused or read, and
// what is read stays within the list.
func FuzzPageTokens(f *testing.F) {
	for _, token := range []string{"", "AA", "Yg", "%%%", "MTA", "LTE", "djE"} {
		f.Add(token, 2)
		f.Add(token, 0)
		f.Add(token, -1)
	}
	keys := []string{"a", "b", "c"}
	f.Fuzz(func(t *testing.T, token string, size int) {
		page, next, err := pageOf(keys, token, &size)
		if err == nil && (len(page) > size || len(page) > len(keys) || next != "" && len(page) == 0) {
			t.Errorf("%q, %d: %v %q", token, size, page, next)
		}
		if n, err := decodeVersionToken(token); err == nil && token != "" && encodeVersionToken(n) != token {
			if again, err := decodeVersionToken(encodeVersionToken(n)); err != nil || again != n {
				t.Errorf("%q is read as %d", token, n)
			}
		}
		if _, err := parseLogToken(token); err != nil && asFault(err) == nil {
			t.Error(err)
		}
		items := []map[string]any{{"a": 1}, {"b": 1}}
		if answer, err := pageLogs("x", items, &size, token); err == nil {
			list, _ := answer.(map[string]any)["x"].([]map[string]any)
			if len(list) > len(items) || len(list) > size {
				t.Errorf("%q, %d: %v", token, size, answer)
			}
		}
	})
}
