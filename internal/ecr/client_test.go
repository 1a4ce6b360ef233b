package ecr

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// answer is what a fake ECR says to one operation.
type answer struct {
	status int
	body   string
}

// serve returns a client of a fake ECR, and the operations and bodies it got.
func serve(t *testing.T, answers map[string]answer) (*Client, *[]string) {
	t.Helper()
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		seen = append(seen, operation+" "+string(body))
		a, ok := answers[operation]
		if !ok {
			t.Errorf("unexpected %s", operation)
			a.status = http.StatusInternalServerError
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("X-Amzn-RequestId", "id-1")
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(srv.Close)
	return New(aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), RetryMaxAttempts: 1, HTTPClient: srv.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "canary-secret", "")}), &seen
}

func TestCredentials(t *testing.T) {
	token := base64.StdEncoding.EncodeToString([]byte("AWS:pass:word"))
	c, _ := serve(t, map[string]answer{"GetAuthorizationToken": {200,
		`{"authorizationData":[{"authorizationToken":"` + token + `","expiresAt":1793577600,"proxyEndpoint":"https://x"}]}`}})
	user, password, expires, err := c.Credentials(t.Context())
	if err != nil || user != "AWS" || password != "pass:word" || !expires.Equal(time.Unix(1793577600, 0)) {
		t.Errorf("%q %q %v, %v", user, password, expires, err)
	}
}

func TestCredentialsThatCanNotBeRead(t *testing.T) {
	for _, body := range []string{`{}`, `{"authorizationData":[]}`, `{"authorizationData":[{}]}`,
		`{"authorizationData":[{"authorizationToken":"canary!"}]}`,
		`{"authorizationData":[{"authorizationToken":"` + base64.StdEncoding.EncodeToString([]byte("canary")) + `"}]}`,
		`{"authorizationData":[{"authorizationToken":"` + base64.StdEncoding.EncodeToString([]byte(":canary")) + `"}]}`} {
		c, _ := serve(t, map[string]answer{"GetAuthorizationToken": {200, body}})
		_, _, _, err := c.Credentials(t.Context())
		if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), base64.StdEncoding.EncodeToString([]byte("canary"))) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestRepository(t *testing.T) {
	c, _ := serve(t, map[string]answer{"DescribeRepositories": {200, `{"repositories":[{"repositoryName":"a/runtime",
		"repositoryUri":"1.dkr.ecr.us-east-1.amazonaws.com/a/runtime","repositoryArn":"arn:aws:ecr:us-east-1:1:repository/a/runtime",
		"imageTagMutability":"IMMUTABLE_WITH_EXCLUSION","imageTagMutabilityExclusionFilters":[{"filter":"latest","filterType":"WILDCARD"},{"filter":"env-*","filterType":"WILDCARD"}]}]}`}})
	got, err := c.Repository(t.Context(), "a/runtime")
	want := Facts{URI: "1.dkr.ecr.us-east-1.amazonaws.com/a/runtime", ARN: "arn:aws:ecr:us-east-1:1:repository/a/runtime",
		Mutability: ImmutableWithExclusion, Exclusions: []string{"latest", "env-*"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := c.Repository(t.Context(), "b/runtime"); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("an answer about another repository: %v", err)
	}
}

func TestCreateRepositoryKeepsTagsFromMoving(t *testing.T) {
	c, seen := serve(t, map[string]answer{"CreateRepository": {200, `{"repository":{"repositoryName":"a","imageTagMutability":"IMMUTABLE_WITH_EXCLUSION"}}`}})
	got, err := c.CreateRepository(t.Context(), "a")
	if err != nil || got.Mutability != ImmutableWithExclusion {
		t.Fatalf("%+v, %v", got, err)
	}
	var sent map[string]any
	if err := json.Unmarshal([]byte(strings.TrimPrefix((*seen)[0], "CreateRepository ")), &sent); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"repositoryName": "a", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
		"imageTagMutabilityExclusionFilters": []any{map[string]any{"filter": "latest", "filterType": "WILDCARD"}}}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestCreateRepositoryThatIsThere(t *testing.T) {
	c, seen := serve(t, map[string]answer{
		"CreateRepository":     {400, `{"__type":"RepositoryAlreadyExistsException","message":"exists"}`},
		"DescribeRepositories": {200, `{"repositories":[{"repositoryName":"a","imageTagMutability":"MUTABLE"}]}`}})
	got, err := c.CreateRepository(t.Context(), "a")
	if err != nil || got.Mutability != Mutable || len(*seen) != 2 {
		t.Errorf("%+v, %v after %v", got, err, *seen)
	}
}

// TestContents reads what only a real ECR answers, page by page.
func TestContents(t *testing.T) {
	c, seen := serve(t, map[string]answer{"DescribeImages": {200, `{"imageDetails":[
		{"imageDigest":"sha256:a","imageTags":["v1"],"imagePushedAt":1.7e9,"imageStatus":"ARCHIVED","lastArchivedAt":1.8e9,
		 "lastRecordedPullTime":1.71e9,"lastActivatedAt":1.72e9,"imageManifestMediaType":"application/vnd.docker.distribution.manifest.list.v2+json"},
		{"imageDigest":"sha256:b","imagePushedAt":1.75e9,"imageStatus":"ACTIVE","imageManifestMediaType":"application/vnd.oci.image.manifest.v1+json"},
		{"imageDigest":"sha256:c","imagePushedAt":1.75e9,"imageStatus":"ACTIVATING"}]}`}})
	got, err := c.Contents(t.Context(), "echo/runtime")
	if err != nil {
		t.Fatal(err)
	}
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	want := []StoredImage{
		{Digest: "sha256:a", Tags: []string{"v1"}, Index: true, Archived: true, Pushed: at(1.7e9), Pulled: at(1.71e9), Activated: at(1.72e9), Transitioned: at(1.8e9)},
		{Digest: "sha256:b", Pushed: at(1.75e9)},
		{Digest: "sha256:c", Archived: true, Pushed: at(1.75e9)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}
	if asked := (*seen)[0]; !strings.Contains(asked, `"imageStatus":"ANY"`) || !strings.Contains(asked, `"maxResults":1000`) {
		t.Errorf("asked for %s", asked)
	}
	c, _ = serve(t, map[string]answer{"DescribeImages": {200, `{"imageDetails":[],"nextToken":"again"}`}})
	if _, err := c.Contents(t.Context(), "echo/runtime"); err == nil || !strings.Contains(err.Error(), "no end") {
		t.Errorf("pages without end: %v", err)
	}
}

func TestErrors(t *testing.T) {
	for code, want := range map[string]error{
		"RepositoryNotFoundException": delivery.ErrNotFound, "AccessDeniedException": delivery.ErrDenied,
		"ExpiredTokenException": delivery.ErrExpired, "ThrottlingException": delivery.ErrThrottled,
		"InvalidParameterException": delivery.ErrInvalid, "LimitExceededException": delivery.ErrQuota,
		"UnrecognizedClientException": delivery.ErrDenied, "ServerException": nil,
	} {
		c, _ := serve(t, map[string]answer{"DescribeRepositories": {400, `{"__type":"` + code + `","message":"says why"}`}})
		_, err := c.Repository(t.Context(), "a/runtime")
		var remote *delivery.RemoteError
		if !errors.As(err, &remote) {
			t.Errorf("%s: %v is no RemoteError", code, err)
			continue
		}
		wanted := delivery.RemoteError{Service: "ECR", Operation: "DescribeRepositories", Resource: "a/runtime",
			Code: code, Message: "says why", Status: 400, RequestID: "id-1", Kind: want}
		if *remote != wanted {
			t.Errorf("%+v, want %+v", *remote, wanted)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	srv := httptest.NewServer(nil)
	srv.Close()
	c := New(aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "canary-secret", "canary-token")})
	_, err := c.Repository(t.Context(), "a")
	var remote *delivery.RemoteError
	if err == nil || errors.As(err, &remote) || !strings.Contains(err.Error(), "ECR DescribeRepositories a") || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
}

func TestMovable(t *testing.T) {
	for _, test := range []struct {
		mutability Mutability
		filters    string
		tag        string
		want       bool
	}{
		{"", "", "x", true}, {Mutable, "latest", "latest", true}, {Immutable, "latest", "latest", false},
		{ImmutableWithExclusion, "latest", "latest", true}, {ImmutableWithExclusion, "latest", "latest2", false},
		{ImmutableWithExclusion, "env-* latest", "env-dev", true}, {ImmutableWithExclusion, "env-*", "env", false},
		{ImmutableWithExclusion, "*", "x", true}, {ImmutableWithExclusion, "a*b*c", "aXbYc", true},
		{ImmutableWithExclusion, "a*b*c", "ac", false}, {ImmutableWithExclusion, "ab*ba", "aba", false},
		{MutableWithExclusion, "v*", "v1", false}, {MutableWithExclusion, "v*", "x", true},
	} {
		f := Facts{Mutability: test.mutability, Exclusions: strings.Fields(test.filters)}
		if got := f.Movable(test.tag); got != test.want {
			t.Errorf("%s %q: tag %q movable %v, want %v", test.mutability, test.filters, test.tag, got, test.want)
		}
	}
}

// FuzzParseLogin: a login that is taken is written again as it was, and holds
// nothing that a header can't carry.
func FuzzParseLogin(f *testing.F) {
	for _, login := range []string{"AWS:secret", "AWS:", ":secret", "AWS", "AWS:a:b", "AWS:a\nb", "\x00:\xff"} {
		f.Add(base64.StdEncoding.EncodeToString([]byte(login)))
	}
	f.Add("QVdTOng\n=")
	f.Add("QVdTOnh=")
	f.Fuzz(func(t *testing.T, token string) {
		user, password, ok := parseLogin(token)
		if !ok {
			return
		}
		if user == "" || password == "" || strings.Contains(user, ":") || strings.ContainsAny(user+password, "\x00\r\n") {
			t.Errorf("%q is read as %q and %q", token, user, password)
		}
		if again := base64.StdEncoding.EncodeToString([]byte(user + ":" + password)); again != token {
			t.Errorf("%q is written as %q", token, again)
		}
	})
}
