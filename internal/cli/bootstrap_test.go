package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// TestPullers: a repository that two environments share is open to whoever
// promotes from either, whichever of them is set up; one of an environment's
// own is not.
func TestPullers(t *testing.T) {
	const prd, eu = "arn:aws:iam::444455556666:role/slipway-agents-prd", "arn:aws:iam::777788889999:role/deploy-eu"
	for _, test := range []struct {
		repository, environment string
		want                    map[string][]string
	}{
		{"support", "dev", map[string][]string{"support": {prd, eu}}},
		{"support", "stg", map[string][]string{"support": {prd, eu}}},
		{"support", "prd", map[string][]string{}},
		{"support-{environment}", "dev", map[string][]string{}},
		{"support-{environment}", "stg", map[string][]string{"support-stg": {prd, eu}}},
	} {
		dir := t.TempDir()
		text := `version: 1
region: us-east-1
github: acme/agents
agents:
  support:
    path: support
    repository: "` + test.repository + `"
environments:
  dev:
    account: "111122223333"
  stg:
    account: "111122223333"
    after: dev
  prd:
    account: "444455556666"
    after: stg
  eu:
    account: "777788889999"
    region: eu-central-1
    after: stg
    deploy_role: ` + eu + "\n"
		if err := os.WriteFile(filepath.Join(dir, "slipway.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a := &app{System: System{Dir: dir}}
		a.ui = newUI(a)
		file, err := a.load()
		if err != nil {
			t.Fatal(err)
		}
		p, err := a.pick(file, selection{agent: "support", environment: test.environment, look: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := pullers(file, []*project{p}); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s in %s: %v", test.repository, test.environment, got)
		}
	}
}
