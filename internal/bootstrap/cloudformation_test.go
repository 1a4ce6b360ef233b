package bootstrap

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/slipway-cd/slipway/internal/needs"
)

// TestTemplate: the same environment is the same bytes, its documents are the
// ones that the plan writes, and cfn-lint takes it.
func TestTemplate(t *testing.T) {
	e := wanted()
	e.Pullers = map[string][]string{"agent/runtime": {"arn:aws:iam::444455556666:role/deploy-prd"}}
	text, err := Template(e)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Template(e); err != nil || !bytes.Equal(text, again) {
		t.Errorf("it differs from run to run: %v", err)
	}
	var template struct {
		Resources map[string]struct {
			Type       string
			Properties struct {
				AssumeRolePolicyDocument json.RawMessage
				PermissionsBoundary      map[string]string
				Policies                 []struct{ PolicyDocument json.RawMessage }
			}
		}
	}
	if err := json.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	role := template.Resources["DeployRole"]
	if len(documentChanges("trust", role.Properties.AssumeRolePolicyDocument, e.Caller.Trust().JSON())) > 0 ||
		len(documentChanges("permissions", role.Properties.Policies[0].PolicyDocument, e.DeployPolicy().JSON())) > 0 ||
		role.Properties.PermissionsBoundary["Ref"] != "Boundary" {
		t.Errorf("%+v", role)
	}
	if len(template.Resources) != 5 {
		t.Errorf("%d resources", len(template.Resources))
	}
	_, missing := exec.LookPath("cfn-lint")
	needs.Part(t, "cfn-lint", missing == nil)
	name := filepath.Join(t.TempDir(), "template.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "cfn-lint", name).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
