package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerifyToken judges tokens of the cloud's own issuer: the deploy role
// admits the repository's, and nothing else is taken.
func TestVerifyToken(t *testing.T) {
	d := newTestWorld(t)
	jwks := filepath.Join(d.Dir, "jwks.json")
	resp, err := http.Get(d.cloud.address + "/.well-known/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	keys, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := os.ReadFile("testdata/world/deploy-trust.json")
	if err != nil {
		t.Fatal(err)
	}
	trusted := filepath.Join(d.Dir, "trust.json")
	for name, raw := range map[string][]byte{jwks: keys, trusted: policy} {
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	token := func(repository string) string {
		var answer struct{ Value string }
		request := map[string]any{"job": map[string]string{"repository": repository, "environment": "dev"}, "audience": "sts.amazonaws.com"}
		if err := d.api.call(t.Context(), "POST", "token", request, &answer); err != nil {
			t.Fatal(err)
		}
		return answer.Value
	}
	good, evil := token("acme/agents"), token("evil@99/agents@77")
	for name, test := range map[string]struct {
		token string
		args  []string
		exit  int
		code  string
	}{
		"admitted":      {good, []string{"--trust", trusted}, 0, ""},
		"stranger":      {evil, []string{"--trust", trusted}, 3, "AccessDenied"},
		"stranger's":    {evil, nil, 0, ""},
		"expired":       {good, []string{"--now", "4000000000"}, 3, "ExpiredTokenException"},
		"cut":           {good[:len(good)-9], nil, 3, "InvalidIdentityToken"},
		"no token":      {"x", nil, 3, "ValidationError"},
		"other aud":     {good, []string{"--audience", "other"}, 3, "InvalidIdentityToken"},
		"no such trust": {good, []string{"--trust", "nothing.json"}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out, messages bytes.Buffer
			args := append([]string{"local", "token", "--verify", "-", "--jwks", jwks, "-o", "json"}, test.args...)
			code := Main(t.Context(), args, System{In: strings.NewReader(test.token), Out: &out, Err: &messages, Dir: d.Dir})
			if code != test.exit {
				t.Fatalf("exit %d: %s%s", code, &out, &messages)
			}
			if code == 2 {
				if out.Len() > 0 || !strings.HasPrefix(messages.String(), "error:") {
					t.Errorf("stdout %q, stderr %q", &out, &messages)
				}
				return
			}
			var verdict tokenVerdict
			if err := json.Unmarshal(out.Bytes(), &verdict); err != nil {
				t.Fatal(err)
			}
			if verdict.Error != test.code || (verdict.Verdict == "accept") != (code == 0) || (verdict.Sub != "") != (code == 0) {
				t.Errorf("%+v", verdict)
			}
		})
	}
}
