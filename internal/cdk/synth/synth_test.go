package synth_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/cdk"
	"github.com/slipway-cd/slipway/internal/cdk/synth"
	"github.com/slipway-cd/slipway/internal/needs"
)

// fake is an npx that writes down how it was called, and does what a script
// says. It gets the folder of the assembly as $out.
func fake(t *testing.T, script string) (s synth.Synth, called func() string) {
	t.Helper()
	needs.Program(t, "sh")
	dir := t.TempDir()
	log := filepath.Join(dir, "called")
	text := "#!/bin/sh\n{ echo \"$@\"; env; pwd; } > " + log + "\nfor out; do :; done\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, "npx"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	s = synth.Synth{Dir: t.TempDir(), Env: []string{"PATH=" + dir + ":/usr/bin:/bin", "AWS_PROFILE=x", "AWS_SECRET_ACCESS_KEY=y", "CDK_DEFAULT_ACCOUNT=z", "KEPT=k",
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN=t"}}
	return s, func() string {
		raw, _ := os.ReadFile(log)
		return string(raw)
	}
}

func TestRun(t *testing.T) {
	s, called := fake(t, `echo '{"artifacts": {}}' > "$out/manifest.json"`)
	a, err := s.Run(t.Context())
	if err != nil || len(a.Missing) != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	said := called()
	for _, want := range []string{"--no-install cdk synth --quiet --no-lookups ", "KEPT=k\n", "AWS_EC2_METADATA_DISABLED=true\n", "AWS_ENDPOINT_URL=http://127.0.0.1:1\n", "\n" + s.Dir + "\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in %s", want, said)
		}
	}
	for _, gone := range []string{"AWS_PROFILE", "AWS_SECRET_ACCESS_KEY", "CDK_DEFAULT_ACCOUNT", "ACTIONS_ID_TOKEN"} {
		if strings.Contains(said, gone) {
			t.Errorf("%s is handed on", gone)
		}
	}
}

// Where the machine allows it, a synth has no network but a loopback that is
// down.
func TestIsolated(t *testing.T) {
	s, called := fake(t, `cat /proc/net/dev > "$out/dev"; cp "$out/dev" dev; echo '{}' > "$out/manifest.json"`)
	a, err := s.Run(t.Context())
	if err != nil || called() == "" {
		t.Fatal(err)
	}
	needs.Part(t, "namespaces", a.Isolated)
	raw, err := os.ReadFile(filepath.Join(s.Dir, "dev"))
	if err != nil || strings.Contains(string(raw), "eth") || !strings.Contains(string(raw), "lo:") {
		t.Errorf("%s %v", raw, err)
	}
}

func TestMissing(t *testing.T) {
	s, _ := fake(t, `echo '{"missing": [{"key": "vpc-provider:account=1:region=r", "provider": "vpc-provider", "props": {}}]}' > "$out/manifest.json"; echo 'lookups are disabled' >&2; exit 1`)
	a, err := s.Run(t.Context())
	var failure *synth.Error
	if !errors.As(err, &failure) || err.Error() != "cdk synth: exit status 1: lookups are disabled" || len(a.Missing) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestFailures(t *testing.T) {
	s, _ := fake(t, `seq 20000; echo TS2304 >&2; exit 2`)
	if _, err := s.Run(t.Context()); err == nil || err.Error() != "cdk synth: exit status 2: TS2304" {
		t.Error(err)
	}
	s, _ = fake(t, "")
	if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "reading the cloud assembly") {
		t.Errorf("no assembly: %v", err)
	}
	s.Env = []string{"PATH=" + t.TempDir()}
	if _, err := s.Run(t.Context()); !errors.Is(err, cdk.ErrNoProgram) {
		t.Errorf("no npx: %v", err)
	}
	s, _ = fake(t, "sleep 60 & wait")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
