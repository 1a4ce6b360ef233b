package generate

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

var update = flag.Bool("update", false, "rewrite golden files")

const tool = `
tool:
  version: 0.1.0
  url: https://github.com/slipway-cd/slipway/releases/download/v{version}/slipway_{version}_{os}_{arch}.tar.gz
  sha256:
    linux/amd64: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    linux/arm64: fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9
`

func parse(t testing.TB, text string) *config.File {
	t.Helper()
	f, err := config.Parse("slipway.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func example(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", name, "slipway.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// project is a slipway.yaml and what stands beside it.
type project struct {
	yaml string
	tree fs.FS
}

func tree(files map[string]string) fs.FS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// projects are those with golden files.
func projects(t testing.TB) map[string]project {
	infra := `{"scripts": {"test": "jest", "synth": "cdk synth"}, "engines": {"node": ">=24"}}`
	return map[string]project{
		// One agent, one environment.
		"minimal": {example(t, "minimal") + tool, tree(map[string]string{"Dockerfile": "FROM scratch\n"})},
		// Two agents and three environments, with most of what slipway.yaml knows.
		"full": {example(t, "full"), tree(map[string]string{
			"apps/customer-service-agent/pyproject.toml":     "[project]\nname = \"x\"\nrequires-python = \">=3.12\"\n",
			"apps/customer-service-agent/tests/test_main.py": "",
			"apps/triage/go.mod":                             "module example.com/triage\n",
			"apps/triage/cmd/triage/main.go":                 "package main\n",
			"infra/cdk.json":                                 "{}", "infra/package.json": infra, "infra/package-lock.json": "{}",
		})},
		// The described system: one Python agent in three environments, and its CDK app.
		"starter": {`version: 1
github: acme/agents
region: us-east-1
agents:
  customerServiceAgent: {path: apps/customer-service-agent, repository: customerserviceagent/runtime}
environments:
  dev: {account: "111122223333", trigger: push}
  stg: {account: "111122223333", after: dev, approvals: {reviewers: [octocat]}}
  prd: {account: "444455556666", after: stg, endpoint: live, approvals: {reviewers: [acme/release]}}
` + tool, tree(map[string]string{
			"apps/customer-service-agent/Dockerfile":       "FROM --platform=linux/arm64 public.ecr.aws/docker/library/python:3.13-slim\n",
			"apps/customer-service-agent/requirements.txt": "fastapi==0.1\n", "apps/customer-service-agent/tests/test_main.py": "",
			"infra/cdk.json": "{}", "infra/package.json": infra, "infra/package-lock.json": "{}", "infra/.nvmrc": "24\n",
		})},
		// What slipway init writes: an environment that waits to be asked.
		"asked": {`version: 1
github: acme/agents
region: us-east-1
agents:
  support: {path: ., build: {engine: go, package: ./cmd/support}, repository: support/runtime}
environments:
  dev: {account: "111122223333"}
` + tool, tree(map[string]string{"go.mod": "module example.com/support\n", "cmd/support/main.go": "package main\n"})},
		// Many agents in several languages, two branches, an environment on request, values from variables.
		"many": {`version: 1
github: acme/agents
region: ${env:REGION}
agents:
  alpha:
    path: apps/alpha
    build: {secrets: {pypi: {env: PYPI_TOKEN}}}
    repository: alpha/runtime
    runtime: {environment_variables: {TEAM: "${env:TEAM}", RUN: "${env:GITHUB_RUN_ID}"}}
  beta: {path: "apps/be+ta", build: {engine: go, package: ./cmd/beta}, repository: beta/runtime}
  "no": {path: apps/gamma, build: {platform: linux/amd64}, repository: gamma/runtime}
environments:
  dev: {account: "111122223333", trigger: push, compute: instances, timeouts: {ready: 30m}}
  edge: {account: "111122223333", trigger: push, branch: release/1.x, compute: instances}
  lab: {account: "${env:LAB_ACCOUNT}", compute: instances}
  prd: {account: "444455556666", after: dev, compute: instances}
` + tool, tree(map[string]string{
			"apps/alpha/pyproject.toml": "[tool.ruff]\n", "apps/alpha/.python-version": "3.12\n", "apps/be+ta/cmd/beta/main.go": "package main\n", "go.mod": "module example.com/agents\n",
			"apps/gamma/package.json": `{"scripts": {"lint": "eslint .", "test": "echo \"Error: no test specified\" && exit 1"}}`,
		})},
	}
}

func generated(t testing.TB, p project) Result {
	t.Helper()
	r, err := Generate(parse(t, p.yaml), p.tree)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGolden(t *testing.T) {
	for name, p := range projects(t) {
		t.Run(name, func(t *testing.T) {
			r := generated(t, p)
			for _, f := range r.Files {
				golden := filepath.Join("testdata", "golden", name, filepath.FromSlash(strings.TrimPrefix(f.Path, ".github/")))
				if *update {
					if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(golden, f.Content, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), string(f.Content)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", golden, diff)
				}
			}
			if again := generated(t, p); cmp.Diff(r, again) != "" {
				t.Error("the same slipway.yaml yields other files")
			}
		})
	}
}

// TestShape: what holds for every file, whatever it is of.
func TestShape(t *testing.T) {
	place := regexp.MustCompile(`<[a-z]+>`)
	action := regexp.MustCompile(`^(actions|aws-actions)/[a-z-]+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+$`)
	for name, p := range projects(t) {
		for _, f := range generated(t, p).Files {
			at := name + " " + f.Path
			if s := place.FindString(string(f.Content)); s != "" {
				t.Errorf("%s: %s was not filled in", at, s)
			}
			if Judge(f.Content) != Ours {
				t.Errorf("%s does not know where it comes from", at)
			}
			if strings.Contains(string(f.Content), "\t") || strings.Contains(string(f.Content), " \n") {
				t.Errorf("%s has tabs, or spaces at the end of a line", at)
			}
			for line := range strings.Lines(string(f.Content)) {
				used, ok := strings.CutPrefix(strings.TrimLeft(line, " -"), "uses: ")
				if used = strings.TrimSpace(used); ok && !strings.HasPrefix(used, "./") && !action.MatchString(used) {
					t.Errorf("%s uses %s", at, used)
				}
			}
			var doc yaml.Node
			if err := yaml.Unmarshal(f.Content, &doc); err != nil {
				t.Errorf("%s: %v", at, err)
			}
			scripts(&doc, func(script string) {
				if strings.Contains(script, "${{") {
					t.Errorf("%s: GitHub writes into the script %q", at, script)
				}
			})
		}
	}
}

// scripts visits the run: of every step.
func scripts(n *yaml.Node, visit func(string)) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Value == "run" && n.Content[i+1].Kind == yaml.ScalarNode {
				visit(n.Content[i+1].Value)
			}
		}
	}
	for _, c := range n.Content {
		scripts(c, visit)
	}
}

func TestRefused(t *testing.T) {
	const base = "version: 1\nregion: us-east-1\nagents: {a: {repository: aa}}\n"
	const dev = "environments: {dev: {account: \"111122223333\", trigger: push}}\n"
	sum := strings.Repeat("a", 64)
	for _, test := range []struct{ name, yaml, want string }{
		{"no tool", base + dev, "tool is missing"},
		{"no url", base + dev + "tool: {version: 0.1.0}", "tool.url is missing"},
		{"no sum", base + dev + "tool: {version: 0.1.0, url: \"https://x.example/s\"}", "tool.sha256 has no linux/amd64"},
		{"no sum of the builder", base + dev + "tool: {version: 0.1.0, url: \"https://x.example/s\", sha256: {linux/amd64: " + sum + "}}", "tool.sha256 has no linux/arm64"},
		{"one file for two platforms", base + dev + "tool: {version: 0.1.0, url: \"https://x.example/s\", sha256: {linux/amd64: " + sum + ", linux/arm64: " + sum + "}}", "the same for every platform"},
		{"zip", base + dev + "tool: {version: 0.1.0, url: \"https://x.example/s.zip\", sha256: {linux/amd64: " + sum + "}}", "a .zip"},
		{"push to what is promoted to", base + "environments:\n  dev: {account: \"111122223333\"}\n  stg: {account: \"111122223333\", after: dev, trigger: push}\n" + tool, "stg has trigger: push and takes its releases from dev"},
		{"AWS keys", "version: 1\nregion: us-east-1\nagents: {a: {repository: aa, runtime: {description: \"${env:AWS_SECRET_ACCESS_KEY}\"}}}\n" + dev + tool, "hands AWS keys to a job"},
		{"expression in a branch", base + "environments: {dev: {account: \"111122223333\", trigger: push, branch: \"x$${{secrets.X}}\"}}\n" + tool, "GitHub would evaluate ${{"},
		{"expression in a path", "version: 1\nregion: us-east-1\nagents: {a: {repository: aa, path: \"$${{ secrets.X }}\"}}\n" + dev + tool, "GitHub would evaluate ${{"},
		{"expression in the url", base + dev + strings.Replace(tool, "{arch}", "{arch}$${{secrets.X}}", 1), "GitHub would evaluate ${{"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := config.Parse("slipway.yaml", []byte(test.yaml))
			if err != nil {
				t.Fatalf("slipway.yaml itself is refused: %v", err)
			}
			_, err = Generate(f, nil)
			if delivery.KindOf(err) != delivery.KindConfig || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want KindConfig with %q", err, test.want)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	ours := string(generated(t, projects(t)["minimal"]).Files[0].Content)
	bare, _, _ := strings.Cut(ours, "sha256 ")
	for _, test := range []struct {
		name, text string
		want       Origin
	}{
		{"as it was generated", ours, Ours},
		{"checked out on Windows", strings.ReplaceAll(ours, "\n", "\r\n"), Ours},
		{"a line more", ours + "# mine\n", Edited},
		{"a letter less", strings.Replace(ours, "curl", "url", 1), Edited},
		{"another sum", strings.Replace(ours, "sha256 ", "sha256 0", 1), Edited},
		{"no sum", bare, Edited},
		{"a line above", "# mine\n" + ours, Edited},
		{"by hand", "name: x\n", Foreign},
		{"nothing", "", Foreign},
	} {
		if got := Judge([]byte(test.text)); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestNotes(t *testing.T) {
	notes := strings.Join(append(generated(t, projects(t)["full"]).Notes, generated(t, projects(t)["many"]).Notes...), "\n")
	for _, want := range []string{"customerServiceAgent is built with buildctl", "apps/gamma has no package-lock.json"} {
		if !strings.Contains(notes, want) {
			t.Errorf("nothing says that %s:\n%s", want, notes)
		}
	}
	if notes := generated(t, projects(t)["starter"]).Notes; notes != nil {
		t.Errorf("there is nothing to say, and it says %q", notes)
	}
}
