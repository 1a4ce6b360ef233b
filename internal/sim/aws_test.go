package sim

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestCallsHaveOneForm: what is addressed in another way is no call.
func TestCallsHaveOneForm(t *testing.T) {
	c, _, _ := openCloud(t, nil)
	const form = "Action=GetCallerIdentity&Version=2011-06-15"
	tests := []struct {
		name, method, path, target, body string
		status                           int
		say                              string
	}{
		{"JSON by GET", "GET", "/", "AmazonSSM.GetParameter", "{}", 404, "UnknownOperationException"},
		{"JSON elsewhere", "POST", "/x", "AmazonSSM.GetParameter", "{}", 404, "UnknownOperationException"},
		{"JSON", "POST", "/", "AmazonSSM.GetParameter", "{}", 400, "MissingAuthenticationTokenException"},
		{"Query elsewhere", "POST", "/x", "", form, 404, "UnknownOperationException"},
		{"Query", "POST", "/", "", form, 403, "MissingAuthenticationToken"},
		{"no runtimes", "GET", "/runtimesagent-AbCdEf1234/", "", "", 404, "UnknownOperationException"},
		{"large", "POST", "/", "AmazonSSM.GetParameter", strings.Repeat(" ", maxBody+1), 413, "RequestEntityTooLargeException"},
	}
	for _, tt := range tests {
		r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body))
		if tt.target != "" {
			r.Header.Set("X-Amz-Target", tt.target)
		} else {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.say) {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/runtimes/x/invocations", bytes.NewReader(nil))
	if n := c.bodyLimit(r); n != maxStranger {
		t.Errorf("a stranger's payload may have %d bytes", n)
	}
	key, _, err := c.Administrator(DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int64{key: 100_000_000, "AKIAUNKNOWN": maxStranger} {
		r.Header.Set("Authorization", sigAlgorithm+" Credential="+id+"/20260101/us-east-1/bedrock-agentcore/aws4_request")
		if n := c.bodyLimit(r); n != want {
			t.Errorf("a payload of %s may have %d bytes", id, n)
		}
	}
	r.Header.Set("Authorization", sigAlgorithm+" Credential="+key+"/20260101/us-east-1/ecr/aws4_request")
	r.URL.Path = "/"
	for operation, least := range map[string]int64{"UploadLayerPart": 20_971_520 / 3 * 4, "PutImage": 2 * maxManifest} {
		r.Header.Set("X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921."+operation)
		if n := c.bodyLimit(r); n < least || n > 2*least {
			t.Errorf("a call of %s may have %d bytes", operation, n)
		}
	}
}
