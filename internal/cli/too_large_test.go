package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/slipway-cd/slipway/internal/awsauth"
)

// TestTooLarge gives the commit an image whose manifest states 3 GB.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	w := newKnockWorld(t, false)
	d := w.demo
	images := ecr.NewFromConfig(w.session.Config(awsauth.ECR))
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
	env, err := d.job(t.Context(), "acme/agents", "dev")
	if err != nil {
		t.Fatal(err)
	}
	seen := len(d.cloud.Journal())
	o := w.deploy(t, env)
	if o.code != 2 || !strings.Contains(o.stderr, "AgentCore takes at most 2048 MB") {
		t.Errorf("exit %d\n%s", o.code, o.stderr)
	}
	for _, c := range d.cloud.Journal()[seen:] {
		if writing(c) {
			t.Errorf("it wrote: %s:%s %s", c.Service, c.Action, c.Resource)
		}
	}
}
