package generate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-cd/slipway/internal/needs"
)

type composite struct {
	Runs struct {
		Steps []struct {
			Env map[string]string
			Run string
		}
	}
}

func action(t *testing.T, f File) composite {
	t.Helper()
	var a composite
	if err := yaml.Unmarshal(f.Content, &a); err != nil || len(a.Runs.Steps) != 1 {
		t.Fatalf("%s: %v, %d steps", f.Path, err, len(a.Runs.Steps))
	}
	return a
}

func script(t *testing.T, f File) string { return action(t, f).Runs.Steps[0].Run }

func archive(t *testing.T, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{"slipway": content, "LICENSE": "free"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// machine is a runner whose curl serves one file.
type machine struct {
	dir    string // has served, temp, tools, path
	action composite
	system string
}

// install runs the action's script as the runner does, and returns what it put
// on PATH.
func (m machine) install(t *testing.T) (onPath, output string, err error) {
	t.Helper()
	pathFile := filepath.Join(m.dir, "path")
	if err := os.WriteFile(pathFile, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	step := m.action.Runs.Steps[0]
	cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.Run)
	cmd.Env = []string{"PATH=" + filepath.Join(m.dir, "bin") + ":" + os.Getenv("PATH"), "RUNNER_OS=" + m.system, "RUNNER_ARCH=X64",
		"RUNNER_TEMP=" + filepath.Join(m.dir, "temp"), "RUNNER_TOOL_CACHE=" + filepath.Join(m.dir, "tools"), "GITHUB_PATH=" + pathFile, "SERVED=" + filepath.Join(m.dir, "served")}
	for name, value := range step.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	put, readErr := os.ReadFile(pathFile)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return strings.TrimSpace(string(put)), string(out), err
}

func (m machine) serve(t *testing.T, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, "served"), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func newMachine(t *testing.T, url string, pinned []byte) machine {
	t.Helper()
	s := sha256.Sum256(pinned)
	text := "version: 1\nregion: us-east-1\nagents: {a: {repository: aa, build: {engine: go}}}\nenvironments: {dev: {account: \"111122223333\", trigger: push}}\n" +
		"tool: {version: 0.1.0, url: \"" + url + "\", sha256: {linux/amd64: \"" + hex.EncodeToString(s[:]) + "\"}}\n"
	m := machine{t.TempDir(), action(t, generated(t, project{yaml: text}).Files[0]), "Linux"}
	for _, name := range []string{"bin", "temp", "tools"} {
		if err := os.Mkdir(filepath.Join(m.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Its curl copies what is served to what follows --output, and tells the address.
	const curl = "#!/bin/sh\nwhile [ \"$1\" != --output ]; do shift; done\ncp \"$SERVED\" \"$2\" && echo \"curl $3\"\n"
	if err := os.WriteFile(filepath.Join(m.dir, "bin", "curl"), []byte(curl), 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSetup: the pinned Slipway comes onto PATH, and nothing else ever does.
func TestSetup(t *testing.T) {
	needs.Program(t, "bash")
	const program = "#!/bin/sh\necho 'slipway 0.1.0'\n"
	packed := archive(t, program)
	m := newMachine(t, "https://x.example/v{version}/slipway_{os}_{arch}.tar.gz", packed)
	installed := func(want bool) string {
		t.Helper()
		dir, output, err := m.install(t)
		if !want {
			if err == nil || dir != "" || !strings.Contains(output, "::error title=slipway::") {
				t.Errorf("%v, %q on PATH, want a failure that is annotated, and nothing\n%s", err, dir, output)
			}
			return output
		}
		if err != nil || !strings.HasPrefix(dir, filepath.Join(m.dir, "temp")) {
			t.Fatalf("%v, %q on PATH\n%s", err, dir, output)
		}
		out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "slipway"), "version").Output()
		if err != nil || string(out) != "slipway 0.1.0\n" {
			t.Errorf("what is on PATH says %q, %v", out, err)
		}
		return output
	}

	m.serve(t, archive(t, "#!/bin/sh\necho evil\n"))
	if out := installed(false); !strings.Contains(out, "https://x.example/v0.1.0/slipway_linux_amd64.tar.gz serves another file") {
		t.Errorf("it does not say what is wrong:\n%s", out)
	}
	m.serve(t, nil)
	installed(false)
	m.serve(t, packed)
	if out := installed(true); !strings.Contains(out, "curl https://x.example/v0.1.0/slipway_linux_amd64.tar.gz") {
		t.Errorf("it was not downloaded:\n%s", out)
	}

	// It was kept, and is not downloaded again; what was changed there is.
	m.serve(t, nil)
	if out := installed(true); strings.Contains(out, "curl") {
		t.Errorf("it was downloaded again:\n%s", out)
	}
	kept, err := filepath.Glob(filepath.Join(m.dir, "tools", "slipway", "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %q, %v", kept, err)
	}
	if err := os.WriteFile(kept[0], archive(t, "#!/bin/sh\necho evil\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	installed(false)
	m.serve(t, packed)
	installed(true)

	m.system = "Windows"
	if out := installed(false); !strings.Contains(out, "pins no slipway for Windows-X64") {
		t.Errorf("it does not say what is wrong:\n%s", out)
	}
}

// TestSetupOfAProgram: what is no archive is the program itself; plain http is
// for loopback, and asked for by curl as nothing else.
func TestSetupOfAProgram(t *testing.T) {
	needs.Program(t, "bash")
	const program = "#!/bin/sh\necho 'slipway 0.1.0'\n"
	m := newMachine(t, "http://127.0.0.1:4510/slipway", []byte(program))
	m.serve(t, []byte(program))
	dir, output, err := m.install(t)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "slipway")).Output(); err != nil || string(out) != "slipway 0.1.0\n" {
		t.Errorf("what is on PATH says %q, %v", out, err)
	}
	if run := m.action.Runs.Steps[0].Run; !strings.Contains(run, "--proto '=http' ") || strings.Contains(run, "tar ") {
		t.Errorf("the script:\n%s", run)
	}
}
