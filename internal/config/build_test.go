package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const secretsFile = `version: 1
region: us-east-1
agents:
  support:
    build:
      secrets:
        npm: {env: NPM_TOKEN}
        net.rc: {file: ~/.netrc}
        beside: {file: keys/x}
    repository: support/runtime
environments:
  dev: {account: "111122223333"}
`

func TestBuildSecrets(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	for _, file := range []string{filepath.Join(dir, "keys", "x"), filepath.Join(home, ".netrc"), filepath.Join(dir, FileName)} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(secretsFile), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Load(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": home, "NPM_TOKEN": "x"}
	got, err := f.BuildSecrets("support", func(name string) string { return env[name] })
	want := []Secret{{ID: "beside", File: filepath.Join(dir, "keys", "x")}, {ID: "net.rc", File: filepath.Join(home, ".netrc")}, {ID: "npm", Env: "NPM_TOKEN"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}

	env = map[string]string{"HOME": dir}
	_, err = f.BuildSecrets("support", func(name string) string { return env[name] })
	var problems Problems
	if delivery.KindOf(err) != delivery.KindConfig || !errors.As(err, &problems) || len(problems) != 2 {
		t.Fatalf("%v, want two problems", err)
	}
	places := []Problem{{Line: 7, Column: 20, Path: "agents.support.build.secrets.npm.env"},
		{Line: 8, Column: 24, Path: `agents.support.build.secrets["net.rc"].file`}}
	for i, want := range places {
		if p := problems[i]; p.Line != want.Line || p.Column != want.Column || p.Path != want.Path || p.Message == "" {
			t.Errorf("got %v, want it at %+v", p, want)
		}
	}
	if _, err := f.BuildSecrets("absent", func(string) string { return "" }); delivery.KindOf(err) != delivery.KindUsage {
		t.Errorf("no such agent: %v", err)
	}
}
