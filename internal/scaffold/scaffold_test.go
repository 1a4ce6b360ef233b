package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/config"
)

// tree is a file system of texts by path.
func tree(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func look(t *testing.T, files map[string]string) *Survey {
	t.Helper()
	s, err := Look(tree(files), "project")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// brief is an agent in one line.
func brief(a Agent) string {
	line := fmt.Sprintf("%s %s %s %s%s → %s", a.Name, a.Engine, a.Path, a.Dockerfile, a.Package, a.Repository)
	if len(a.Args) > 0 {
		line += fmt.Sprint(" ", a.Args)
	}
	return line
}

const plainImage = "FROM scratch\n"

func TestLook(t *testing.T) {
	for _, test := range []struct {
		name    string
		files   map[string]string
		agents  []string
		certain bool
		notes   []string // parts of them, in order
	}{
		{"nothing", map[string]string{"README.md": "hello"}, nil, false, nil},
		{"a Dockerfile in the root", map[string]string{"Dockerfile": plainImage}, []string{"project docker . Dockerfile → project/runtime"}, true, nil},
		{"a Containerfile", map[string]string{"a/Containerfile": plainImage}, []string{"a docker a Containerfile → a/runtime"}, true, nil},
		{"several", map[string]string{"apps/one/Dockerfile": plainImage, "apps/two/Dockerfile": plainImage},
			[]string{"one docker apps/one Dockerfile → one/runtime", "two docker apps/two Dockerfile → two/runtime"}, false, nil},
		{"two of a name", map[string]string{"a/svc/Dockerfile": plainImage, "b/svc/Dockerfile": plainImage},
			[]string{"svc docker a/svc Dockerfile → svc/runtime", "svc-2 docker b/svc Dockerfile → svc-2/runtime"}, false, nil},
		{"others' Dockerfiles", map[string]string{"node_modules/x/Dockerfile": plainImage, ".devcontainer/Dockerfile": plainImage,
			"vendor/y/Dockerfile": plainImage, "sub/.git": "gitdir: elsewhere", "sub/Dockerfile": plainImage}, nil, false, nil},
		{"no Dockerfile at all", map[string]string{"a/Dockerfile": "hello world\n# FROM comment\n"}, nil, false, []string{"a/Dockerfile is left out: it has no FROM"}},
		{"binary", map[string]string{"a/Dockerfile": "FROM \x00\xff"}, nil, false, []string{"a/Dockerfile: not a text"}},
		{"huge", map[string]string{"a/Dockerfile": "FROM scratch\n" + strings.Repeat("#", 2<<20)}, nil, false, []string{"a/Dockerfile: larger than 1024 KiB"}},
		{"another platform", map[string]string{"a/Dockerfile": "FROM --platform=linux/amd64 python\n"}, []string{"a docker a Dockerfile → a/runtime"}, true,
			[]string{"linux/arm64 alone"}},
		{"another port", map[string]string{"a/Dockerfile": "FROM python\nEXPOSE 3000\n"}, []string{"a docker a Dockerfile → a/runtime"}, true, []string{"exposes 3000"}},
		{"built from the root", map[string]string{"docker/agent/Dockerfile": "FROM python\nCOPY src/ ./\n", "src/main.py": ""},
			[]string{"agent docker . docker/agent/Dockerfile → agent/runtime"}, true, nil},
		{"files in neither place", map[string]string{"agent/Dockerfile": "FROM python\nCOPY made.bin /\n"}, []string{"agent docker agent Dockerfile → agent/runtime"}, true, nil},
		{"a directory that no name is made of", map[string]string{"42/Dockerfile": plainImage}, []string{"agent docker 42 Dockerfile → agent/runtime"}, true, nil},
		{"a name that SSM refuses", map[string]string{"aws-bot/Dockerfile": plainImage}, []string{"agent docker aws-bot Dockerfile → agent/runtime"}, true, nil},
		{"a path that slipway.yaml refuses", map[string]string{"a\x7fb/Dockerfile": plainImage}, nil, false, []string{`"a\x7fb/Dockerfile" is left out`}},
		{"a Go program", map[string]string{"go.mod": "module x", "cmd/bot/main.go": "package main", "lib/x.go": "package lib", "cmd/bot/x_test.go": "package main"},
			[]string{"bot go . ./cmd/bot → bot/runtime"}, true, nil},
		{"a Go program in the root of a module", map[string]string{"bot/go.mod": "module x", "bot/main.go": "// Package main.\npackage main"},
			[]string{"bot go bot . → bot/runtime"}, true, nil},
		{"Go that Linux does not build", map[string]string{"go.mod": "module x", "gen.go": "//go:build ignore\n\npackage main", "w/main.go": "//go:build windows\n\npackage main"},
			nil, false, nil},
		{"Go that is broken", map[string]string{"go.mod": "module x", "main.go": "packag main"}, nil, false, nil},
		{"Go beside a Dockerfile", map[string]string{"go.mod": "module x", "main.go": "package main", "Dockerfile": plainImage},
			[]string{"project docker . Dockerfile → project/runtime"}, true, nil},
		{"the starter", map[string]string{"apps/customer-service-agent/Dockerfile": plainImage, "infra/lib/agentcore-stack.ts": "",
			"apps/customer-service-agent/customer_service_agent/main.py": ""},
			[]string{"customerServiceAgent docker apps/customer-service-agent Dockerfile → customerserviceagent/runtime-{environment}"}, true, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := look(t, test.files)
			var agents []string
			for _, a := range s.Agents {
				agents = append(agents, brief(a))
			}
			if diff := cmp.Diff(test.agents, agents); diff != "" || s.Certain != test.certain {
				t.Errorf("certain %v, agents:\n%s", s.Certain, diff)
			}
			wantNotes(t, s.Notes, test.notes)
		})
	}
}

func wantNotes(t *testing.T, notes, want []string) {
	t.Helper()
	if len(notes) != len(want) {
		t.Fatalf("notes are %q, want %q", notes, want)
	}
	for i, part := range want {
		if !strings.Contains(notes[i], part) {
			t.Errorf("note %q, want %q in it", notes[i], part)
		}
	}
}

func TestDockerfile(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"FROM a\nEXPOSE 8080/tcp 9000/udp $PORT\nUSER 1000:1000\n", " (EXPOSE 8080, USER 1000:1000)"},
		{"from a as b\nuser root\nexpose 1\nFROM b\n", ""},
		{"FROM a\r\nEXPOSE \\\r\n  8080 \\\r\n  8000\r\n", " (EXPOSE 8080 8000)"},
		{"FROM a\n# EXPOSE 1\nEXPOSE 2 \\\n# a comment within\n 3\n", " (EXPOSE 2 3)"},
		{"FROM a\nUSER one\nUSER ${X}\n", ""},
		{"FROM a\nUSER \x1b[31m\n", ""},
		{"FROM\nEXPOSE 8080\n", " (EXPOSE 8080)"},
		{"", ""},
	} {
		if got := parseDockerfile(test.text).facts(); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
	d := parseDockerfile("FROM --platform=$BUILDPLATFORM a AS b\nCOPY --from=x /y /z\nCOPY --chown=1 ./a b/ /d\nADD ../up *.py https://x/y c /d\nFROM --platform=linux/amd64 b\n")
	if diff := cmp.Diff([]string{"a", "b", "c"}, d.sources); diff != "" || d.platform != "linux/amd64" || d.base != "b" {
		t.Errorf("%+v\n%s", d, diff)
	}
}

func TestParseRemote(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"https://github.com/acme/agents.git", "github.com acme/agents"},
		{"https://github.com/acme/agents", "github.com acme/agents"},
		{"https://github.com/acme/agents/", "github.com acme/agents"},
		{"https://user:s3cret@github.com/acme/agents.git", "github.com acme/agents"},
		{"https://x-access-token:ghp_abcdefghijkl@github.com/acme/agents", "github.com acme/agents"},
		{"git@github.com:acme/agents.git", "github.com acme/agents"},
		{"org-1234@GitHub.com:acme/agents", "github.com acme/agents"},
		{"github.com:acme/a.b-c_d", "github.com acme/a.b-c_d"},
		{"ssh://git@github.com/acme/agents.git", "github.com acme/agents"},
		{"ssh://git@ssh.github.com:443/acme/agents.git", "github.com acme/agents"},
		{"git+ssh://git@github.com/acme/agents", "github.com acme/agents"},
		{"git://github.com/acme/agents.git", "github.com acme/agents"},
		{"https://git.example.com:8443/team/bot.git", "git.example.com team/bot"},
		{"git@acme.ghe.com:acme/agents.git", "acme.ghe.com acme/agents"},
		{" https://github.com/acme/agents.git\n", "github.com acme/agents"},
		{"https://gitlab.com/group/sub/agents.git", ""},
		{"https://github.com/acme", ""},
		{"https://github.com/acme/..", ""},
		{"https://github.com/-acme/agents", ""},
		{"https://github.com/acme/a\x1b[31m", ""},
		{"file:///srv/git/acme/agents.git", ""},
		{"/srv/git/acme/agents.git", ""},
		{"../agents", ""},
		{`C:\acme\agents`, ""},
		{"C:/acme/agents", ""},
		{"https://%zz/acme/agents", ""},
		{"ext::sh -c evil", ""},
		{"", ""},
	} {
		got := ""
		if r, ok := ParseRemote(test.text); ok {
			got = r.Host + " " + r.String()
		}
		if got != test.want {
			t.Errorf("%q is %q, want %q", test.text, got, test.want)
		}
	}
	for host, want := range map[string]bool{"github.com": true, "acme.ghe.com": true, "git.example.com": true, "gitlab.com": false, "ghe.com.evil.example": false} {
		if got := (Remote{Host: host}).OnGitHub("Git.Example.com"); got != want {
			t.Errorf("%s on GitHub: %v", host, got)
		}
	}
}

// TestRender holds the file to a golden one and to Slipway's own reader, with
// values that YAML could take for something else.
func TestRender(t *testing.T) {
	p := Proposal{GitHub: "acme/1e3", Agents: []Agent{
		{Name: "no", Path: "apps/x: y", Engine: config.EngineDocker, Dockerfile: "# Dockerfile", Repository: "no/runtime",
			Args: map[string]string{"A": "1e3", "B": `x: "y" # z`, "null": "null", "C, D": "{[]}&*!|>'%@`", "E": "日本\t", "F": "<&>"}},
		{Name: "Null", Path: "42", Engine: config.EngineGo, Package: "./cmd/on", Repository: "null/runtime-{environment}"},
		{Name: "plain", Path: ".", Engine: config.EngineDocker, Dockerfile: "docker/Dockerfile.v1", Repository: "plain/runtime"},
	}, Environments: []Environment{{Name: "y", Account: "000000000012", Region: "us-east-1", Branch: "true"}, {Name: "off", Account: "111122223333", Region: "eu-west-1"}}}
	text := Render(p)
	golden := filepath.Join("testdata", "proposal.yaml")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("%s:\n%s", golden, diff)
	}
	file, err := config.Parse("slipway.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range file.Agents() {
		got := Agent{Name: a.Name, Path: a.Build.Path, Engine: a.Build.Engine, Repository: a.Repository, Args: a.Build.Args}
		want := p.Agents[i]
		want.Dockerfile, want.Package = "", ""
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Agent{})); diff != "" {
			t.Errorf("agent %d reads back otherwise:\n%s", i, diff)
		}
	}
	for i, e := range file.Environments() {
		if got := (Environment{e.Name, e.Account, e.Region, e.Branch}); got != p.Environments[i] {
			t.Errorf("environment %d reads back as %+v", i, got)
		}
	}
	if file.GitHub.String() != p.GitHub || file.Agents()[1].Build.Package != "./cmd/on" || file.Agents()[0].Build.Dockerfile != "# Dockerfile" {
		t.Errorf("read back otherwise: %s %+v", file.GitHub, file.Agents())
	}
}

// TestSchemaAddress looks at the one thing that is read out of the schema.
func TestSchemaAddress(t *testing.T) {
	if got := schemaAddress(); !strings.HasPrefix(got, "https://") || !strings.HasSuffix(got, "/schema.json") {
		t.Errorf("the schema is at %q", got)
	}
}

// TestLimits looks at a repository that is too large to be looked at, and at
// one that can't be read.
func TestLimits(t *testing.T) {
	files := map[string]string{"zz/Dockerfile": plainImage, strings.Repeat("d/", maxDepth+1) + "Dockerfile": plainImage}
	for i := range maxEntries {
		files[fmt.Sprintf("many/%05d", i)] = ""
	}
	s := look(t, files)
	if len(s.Agents) != 0 {
		t.Errorf("found %v", s.Agents)
	}
	wantNotes(t, s.Notes, []string{"more than 50000 files"})
	if _, err := Look(broken{}, "x"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a root that can't be read: %v", err)
	}
}

type broken struct{}

func (broken) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}
