package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/sim"
)

// between puts a handler in front of the cloud for what a job sends. The
// signature covers the name the client used, so that is kept.
func between(t *testing.T, d *demo, intercept func(http.ResponseWriter, *http.Request, http.Handler)) map[string]string {
	t.Helper()
	target, err := url.Parse(d.cloud.address)
	if err != nil {
		t.Fatal(err)
	}
	next := httputil.NewSingleHostReverseProxy(target)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { intercept(w, r, next) }))
	t.Cleanup(srv.Close)
	env, err := d.job(t.Context(), "acme/agents")
	if err != nil {
		t.Fatal(err)
	}
	env["AWS_ENDPOINT_URL"], env["AWS_ENDPOINT_URL_STS"] = srv.URL, srv.URL
	return env
}

// runDeploy deploys with the real program and returns its exit code and stderr.
func (d *demo) runDeploy(t *testing.T, env map[string]string, args ...string) (int, deploymentDocument, string) {
	t.Helper()
	o, out, err := d.slipway(t.Context(), env, append([]string{"deploy", "--env", "dev"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	var report deploymentDocument
	if len(out) > 0 {
		if err := json.Unmarshal(out, &report); err != nil {
			t.Fatal(err)
		}
	}
	return o.code, report, o.stderr
}

func isUpdate(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/runtimes/")
}

// TestKnocks lets the bad days of the issue befall the real program: AgentCore
// throttles, an update fails after it was accepted, an image is too large.
func TestKnocks(t *testing.T) {
	d := newTestWorld(t)
	admin, err := d.api.administrator(t.Context(), demoAccount)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := d.runDeploy(t, admin, "--create", "--yes", "--skip-verify"); code != 0 {
		t.Fatalf("create: exit %d\n%s", code, stderr)
	}
	t.Run("throttled twice", func(t *testing.T) { throttled(t, d, 2, 0) })
	t.Run("throttled forever", func(t *testing.T) { throttled(t, d, 1<<30, 1) })
	t.Run("update failed", func(t *testing.T) { updateFailed(t, d, admin) })
	t.Run("too large", func(t *testing.T) { tooLarge(t, d, admin) })
}

func throttled(t *testing.T, d *demo, times int32, want int) {
	if _, err := d.commit(t.Context(), fmt.Sprintf("var tools = []string{%q}", t.Name()), t.Name()); err != nil {
		t.Fatal(err)
	}
	var left atomic.Int32
	left.Store(times)
	env := between(t, d, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isUpdate(r) && left.Add(-1) >= 0 {
			w.Header().Set("X-Amzn-ErrorType", "ThrottlingException")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"message":"Rate exceeded"}`)
			return
		}
		next.ServeHTTP(w, r)
	})
	code, report, stderr := d.runDeploy(t, env, "--skip-verify")
	if code != want {
		t.Fatalf("exit %d, expected %d\n%s", code, want, stderr)
	}
	if want != 0 && (report.Error == nil || !strings.Contains(report.Error.Message, "ThrottlingException") || !strings.Contains(stderr, "still serves")) {
		t.Errorf("%+v\n%s", report.Error, stderr)
	}
}

// updateFailed deletes the image when the update has been accepted.
func updateFailed(t *testing.T, d *demo, admin map[string]string) {
	if _, err := d.commit(t.Context(), `var tools = []string{"gone"}`, "gone"); err != nil {
		t.Fatal(err)
	}
	images := adminECR(t, admin)
	env := between(t, d, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		var body bytes.Buffer
		r.Body = io.NopCloser(io.TeeReader(r.Body, &body))
		next.ServeHTTP(w, r)
		_, after, ok := strings.Cut(body.String(), "@sha256:")
		if !isUpdate(r) || !ok || len(after) < 64 {
			return
		}
		_, err := images.BatchDeleteImage(t.Context(), &ecr.BatchDeleteImageInput{RepositoryName: aws.String(demoRepository),
			ImageIds: []types.ImageIdentifier{{ImageDigest: aws.String("sha256:" + after[:64])}}})
		if err != nil {
			t.Error(err)
		}
	})
	code, report, stderr := d.runDeploy(t, env, "--skip-verify")
	if code != 1 || report.Error == nil || !strings.Contains(report.Error.Message, "UPDATE_FAILED") || !strings.Contains(stderr, "still serves") {
		t.Errorf("exit %d, %+v\n%s", code, report.Error, stderr)
	}
}

func adminECR(t *testing.T, admin map[string]string) *ecr.Client {
	t.Helper()
	session, err := awsauth.Source{Getenv: func(name string) string { return admin[name] }, Region: sim.DefaultRegion}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ecr.NewFromConfig(session.Config(awsauth.ECR))
}

// tooLarge gives the commit an image whose manifest states 3 GB.
func tooLarge(t *testing.T, d *demo, admin map[string]string) {
	images := adminECR(t, admin)
	got, err := images.BatchGetImage(t.Context(), &ecr.BatchGetImageInput{RepositoryName: aws.String(demoRepository),
		ImageIds: []types.ImageIdentifier{{ImageTag: aws.String("latest")}}})
	if err != nil || len(got.Images) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	var manifest map[string]any
	if err := json.Unmarshal([]byte(aws.ToString(got.Images[0].ImageManifest)), &manifest); err != nil {
		t.Fatal(err)
	}
	manifest["layers"].([]any)[0].(map[string]any)["size"] = 3 << 30
	raw, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	revision, err := d.commit(t.Context(), `var tools = []string{"large"}`, "large")
	if err != nil {
		t.Fatal(err)
	}
	_, err = images.PutImage(t.Context(), &ecr.PutImageInput{RepositoryName: aws.String(demoRepository), ImageTag: aws.String(revision),
		ImageManifest: aws.String(string(raw)), ImageManifestMediaType: got.Images[0].ImageManifestMediaType})
	if err != nil {
		t.Fatal(err)
	}
	env, err := d.job(t.Context(), "acme/agents")
	if err != nil {
		t.Fatal(err)
	}
	seen := len(d.cloud.Journal())
	code, _, stderr := d.runDeploy(t, env)
	if code != 2 || !strings.Contains(stderr, "AgentCore takes at most 2048 MB") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	for _, c := range d.cloud.Journal()[seen:] {
		if writing(c) {
			t.Errorf("it wrote: %s:%s %s", c.Service, c.Action, c.Resource)
		}
	}
}
