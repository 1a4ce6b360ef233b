package sim

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// gate is a server that lets in whatever authenticate lets in, as an operation
// of service, and says who came.
func gate(t testing.TB, c *Cloud, service string, p protocol) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		k := &call{Request: r, op: operation{service: service, protocol: p}, id: newRequestID(), at: c.now(), body: body}
		if err := c.authenticate(k); err != nil {
			k.writeFault(w, asFault(err))
			return
		}
		w.Header().Set("Who", k.principal.arn+" "+k.account+" "+k.region)
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(srv.Close)
	return srv
}

func openCloud(t testing.TB, now func() time.Time) (c *Cloud, key, secret string) {
	t.Helper()
	c = &Cloud{Dir: t.TempDir(), Now: now}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	key, secret, err := c.Administrator(DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	return c, key, secret
}

func TestARNInThePathVerifies(t *testing.T) {
	c, key, secret := openCloud(t, nil)
	srv := gate(t, c, "bedrock-agentcore", restJSON)
	config := aws.Config{Region: "eu-central-1", BaseEndpoint: &srv.URL, Credentials: credentials.NewStaticCredentialsProvider(key, secret, ""), RetryMaxAttempts: 1}
	_, err := bedrockagentcore.NewFromConfig(config).InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: aws.String("arn:aws:bedrock-agentcore:eu-central-1:111122223333:runtime/a b+c~d-AbCdEf1234"),
		Qualifier:       aws.String("a b&c=d/+*~"), RuntimeSessionId: aws.String(strings.Repeat("s", 33)), Payload: []byte(`{"prompt":"hi"}`)})
	if err != nil {
		t.Error(err)
	}
	_, err = bedrockagentcorecontrol.NewFromConfig(config).GetAgentRuntime(t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{
		AgentRuntimeId: aws.String("agent-AbCdEf1234"), AgentRuntimeVersion: aws.String("1")})
	if err != nil {
		t.Error(err)
	}
}

// signedCall is a request to the gate, signed by AWS's signer.
func signedCall(t testing.TB, url, key, secret, token, service string, at time.Time, prepare func(*http.Request)) *http.Request {
	t.Helper()
	body := "Action=GetCallerIdentity&Version=2011-06-15"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if prepare != nil {
		prepare(r)
	}
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: key, SecretAccessKey: secret, SessionToken: token},
		r, hexHash([]byte(body)), service, "us-west-2", at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSignatures(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 2, 0, 0, time.UTC)
	c, key, secret := openCloud(t, func() time.Time { return now })
	session, err := c.newSession(role{Account: "444455556666", Name: "r", ID: "AROAX"}, "s", "", "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ended, err := c.newSession(role{Account: "444455556666", Name: "r", ID: "AROAX"}, "s", "", "", -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	type signing struct {
		key, secret, token, service string
		at                          time.Time
		prepare, tamper             func(*http.Request)
		path                        string
	}
	header := func(name string, change func(string) string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, change(r.Header.Get(name))) }
	}
	to := func(value string) func(string) string { return func(string) string { return value } }
	swap := func(old, new string) func(string) string {
		return func(s string) string { return strings.ReplaceAll(s, old, new) }
	}
	const mismatch = "The request signature we calculated does not match"
	tests := []struct {
		name          string
		s             signing
		code, message string // of the Query protocol; empty: let in
		status        int
	}{
		{"administrator", signing{}, "", "arn:aws:iam::111122223333:user/administrator 111122223333 us-west-2", 200},
		{"session", signing{key: session.ID, secret: session.Secret, token: session.Token}, "", "arn:aws:sts::444455556666:assumed-role/r/s 444455556666", 200},
		{"signed before midnight", signing{at: now.Add(-4 * time.Minute)}, "", "", 200},
		{"spaces in a header", signing{prepare: header("X-Amz-Meta", to("  a   b  "))}, "", "", 200},
		{"query out of order", signing{path: "/?b=2&a-b=%7E&a=1&a=0&c&d=x%20y"}, "", "", 200},
		{"path with escapes", signing{path: "/a%3Ab/c%20d/%C3%A9/"}, "", "", 200},
		{"no authorization", signing{tamper: func(r *http.Request) { r.Header.Del("Authorization") }}, "MissingAuthenticationToken", "Request is missing Authentication Token", 403},
		{"presigned", signing{path: "/?X-Amz-Signature=00", tamper: func(r *http.Request) { r.Header.Del("Authorization") }}, "MissingAuthenticationToken", "presigned", 403},
		{"bearer", signing{tamper: header("Authorization", to("Bearer x"))}, "MissingAuthenticationToken", "AWS4-HMAC-SHA256", 403},
		{"no parts", signing{tamper: header("Authorization", to("AWS4-HMAC-SHA256 x"))}, "IncompleteSignature", "requires 'Credential' parameter. Authorization header requires 'Signature'", 400},
		{"short scope", signing{tamper: header("Authorization", swap("/us-west-2/", "/"))}, "IncompleteSignature", "exactly 5", 400},
		{"no date", signing{tamper: func(r *http.Request) { r.Header.Del("X-Amz-Date") }}, "IncompleteSignature", "existence of either", 400},
		{"date of another form", signing{tamper: header("X-Amz-Date", to("2026-11-23"))}, "IncompleteSignature", "basic format", 400},
		{"terminator", signing{tamper: header("Authorization", swap("aws4_request", "aws4"))}, "SignatureDoesNotMatch", "terminator", 403},
		{"another service", signing{service: "iam"}, "SignatureDoesNotMatch", "correct service: 'sts'", 403},
		{"no region", signing{tamper: header("Authorization", swap("us-west-2", "moon"))}, "SignatureDoesNotMatch", "valid region", 403},
		{"another day", signing{tamper: header("Authorization", swap("/20261123/", "/20261122/"))}, "SignatureDoesNotMatch", "Date in Credential scope", 403},
		{"unknown key", signing{key: "AKIAIOSFODNN7EXAMPLE"}, "InvalidClientTokenId", "The security token included in the request is invalid.", 403},
		{"session without its token", signing{key: session.ID, secret: session.Secret}, "InvalidClientTokenId", "invalid", 403},
		{"session with another's token", signing{key: session.ID, secret: session.Secret, token: ended.Token}, "InvalidClientTokenId", "invalid", 403},
		{"administrator with a token", signing{token: session.Token}, "InvalidClientTokenId", "invalid", 403},
		{"ended session", signing{key: ended.ID, secret: ended.Secret, token: ended.Token}, "ExpiredToken", "The security token included in the request is expired", 403},
		{"wrong secret", signing{secret: "x"}, "SignatureDoesNotMatch", mismatch, 403},
		{"old", signing{at: now.Add(-5*time.Minute - time.Second)}, "SignatureDoesNotMatch", "Signature expired: 20261122T235659Z is now earlier than 20261122T235700Z (20261123T000200Z - 5 min.)", 403},
		{"ahead", signing{at: now.Add(5*time.Minute + time.Second)}, "SignatureDoesNotMatch", "Signature not yet current", 403},
		{"body changed", signing{tamper: func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("Action=x")), 8
		}}, "SignatureDoesNotMatch", mismatch, 403},
		{"body's hash not the body's", signing{prepare: header("X-Amz-Content-Sha256", to(hexHash(nil)))}, "SignatureDoesNotMatch", "x-amz-content-sha256", 403},
		{"unsigned payload", signing{prepare: header("X-Amz-Content-Sha256", to("UNSIGNED-PAYLOAD"))}, "SignatureDoesNotMatch", "x-amz-content-sha256", 403},
		{"header added", signing{tamper: header("X-Amz-Target", to("x"))}, "SignatureDoesNotMatch", "'x-amz-target' must be a 'SignedHeader'", 403},
		{"header changed", signing{tamper: header("Content-Type", to("text/plain"))}, "SignatureDoesNotMatch", mismatch, 403},
		{"host not signed", signing{tamper: header("Authorization", swap(";host;", ";"))}, "SignatureDoesNotMatch", "'Host'", 403},
		{"headers out of order", signing{tamper: header("Authorization", swap("content-type;host", "host;content-type"))}, "SignatureDoesNotMatch", "alphabetical order", 403},
		{"method changed", signing{tamper: func(r *http.Request) { r.Method = http.MethodPut }}, "SignatureDoesNotMatch", mismatch, 403},
		{"path changed", signing{tamper: func(r *http.Request) { r.URL.Path = "/x" }}, "SignatureDoesNotMatch", mismatch, 403},
		{"query added", signing{tamper: func(r *http.Request) { r.URL.RawQuery = "a=b" }}, "SignatureDoesNotMatch", mismatch, 403},
		{"host changed", signing{tamper: func(r *http.Request) { r.Host = "sts.amazonaws.com" }}, "SignatureDoesNotMatch", mismatch, 403},
	}
	srv := gate(t, c, "sts", queryXML)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.s
			if s.secret == "" {
				s.secret = secret
			}
			if s.at.IsZero() {
				s.at = now
			}
			r := signedCall(t, srv.URL+or(s.path, "/"), or(s.key, key), s.secret, s.token, or(s.service, "sts"), s.at, s.prepare)
			if s.tamper != nil {
				s.tamper(r)
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			said := bytes.ReplaceAll(body, []byte("&#39;"), []byte("'"))
			said = append(said, response.Header.Get("Who")...)
			if response.StatusCode != tt.status || !strings.Contains(string(said), tt.message) ||
				tt.code != "" && !strings.Contains(string(said), "<Code>"+tt.code+"</Code>") {
				t.Errorf("got %d %s, want %d %s %q", response.StatusCode, said, tt.status, tt.code, tt.message)
			}
		})
	}
}

func TestRefusalsByProtocol(t *testing.T) {
	tests := []struct {
		kind   sigFailure
		codes  [3]string // queryXML, json11, restJSON
		status [3]int
	}{
		{missingToken, [3]string{"MissingAuthenticationToken", "MissingAuthenticationTokenException", "MissingAuthenticationTokenException"}, [3]int{403, 400, 403}},
		{incompleteSignature, [3]string{"IncompleteSignature", "IncompleteSignatureException", "IncompleteSignatureException"}, [3]int{400, 400, 400}},
		{unknownClient, [3]string{"InvalidClientTokenId", "UnrecognizedClientException", "UnrecognizedClientException"}, [3]int{403, 400, 403}},
		{badSignature, [3]string{"SignatureDoesNotMatch", "InvalidSignatureException", "InvalidSignatureException"}, [3]int{403, 400, 403}},
		{expiredToken, [3]string{"ExpiredToken", "ExpiredTokenException", "ExpiredTokenException"}, [3]int{403, 400, 403}},
	}
	for _, tt := range tests {
		for p, code := range tt.codes {
			f := (&call{op: operation{protocol: protocol(p)}}).sigFault(tt.kind, "x")
			if f.Code != code || f.Status != tt.status[p] {
				t.Errorf("protocol %d: %s %d, want %s %d", p, f.Code, f.Status, code, tt.status[p])
			}
		}
	}
}

func TestUnsignedCallIsRefusedAndJournaled(t *testing.T) {
	c, srv := startCloud(t)
	client := sts.New(sts.Options{Region: DefaultRegion, BaseEndpoint: &srv.URL, Credentials: aws.AnonymousCredentials{}, RetryMaxAttempts: 1})
	_, err := client.GetCallerIdentity(t.Context(), nil)
	wantFault(t, err, "MissingAuthenticationToken", 403, "missing")
	calls := c.Journal()
	if len(calls) != 1 || calls[0].Allowed || calls[0].Principal != "anonymous" || !strings.HasPrefix(calls[0].Why, "MissingAuthenticationToken") {
		t.Errorf("%+v", calls)
	}
}

func FuzzAuthorization(f *testing.F) {
	c, _, _ := openCloud(f, nil)
	f.Add("AWS4-HMAC-SHA256 Credential=AKIA/20261123/us-east-1/sts/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "20261123T000000Z", "/a%3a?b=%zz")
	f.Fuzz(func(t *testing.T, authorization, date, target string) {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RequestURI = target
		r.Header["Authorization"], r.Header["X-Amz-Date"] = []string{authorization}, []string{date}
		k := &call{Request: r, op: operation{service: "sts"}}
		if asFault(c.authenticate(k)) == nil {
			t.Fatal("let in without a key")
		}
	})
}
