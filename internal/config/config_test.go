package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden files anew")

func inputs(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no inputs in testdata/%s: %v", dir, err)
	}
	return files
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestBad holds every bad input to its golden list of problems.
func TestBad(t *testing.T) {
	for _, file := range inputs(t, "bad") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := Parse("slipway.yaml", read(t, file))
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("got %v, want Problems", err)
			}
			if f != nil {
				t.Error("a file with problems was returned")
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(read(t, golden)), got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			for _, p := range problems {
				if p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Errorf("problem without a place or a message: %+v", p)
				}
			}
		})
	}
}

// TestGoldenFilesHaveInputs is the inverse: no golden file without its input.
func TestGoldenFilesHaveInputs(t *testing.T) {
	golden, err := filepath.Glob("testdata/bad/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range golden {
		if _, err := os.Stat(strings.TrimSuffix(file, ".txt") + ".yaml"); err != nil {
			t.Errorf("%s has no input", file)
		}
	}
}

func TestGood(t *testing.T) {
	for _, file := range append(inputs(t, "good"), examples(t)...) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := Parse("slipway.yaml", read(t, file))
			if err != nil {
				t.Fatalf("refused:\n%v", err)
			}
			for _, a := range f.Agents() {
				for _, e := range f.Environments() {
					s := Selection{Agent: a.Name, Environment: e.Name}
					if f.regionOf(e) == "" {
						s.Region = "us-east-1"
					}
					target, err := f.Target(s, testVariables)
					if err != nil {
						t.Fatalf("%s in %s: %v", a.Name, e.Name, err)
					}
					if !json.Valid(target.Settings) || target.Verify.Payload != nil && !json.Valid(target.Verify.Payload) {
						t.Errorf("settings %s or payload %s are not JSON", target.Settings, target.Verify.Payload)
					}
				}
			}
		})
	}
}

// testVariables are the variables that testdata/good names.
func testVariables(name string) string {
	return map[string]string{"REGION": "us-east-1", "PRD_REGION": "eu-west-1", "TEAM": "support", "PYTHON": "3.13",
		"ROUTE": "/invocations", "HEADER": "X-Team", "ACCOUNT": "111122223333", "PRD_ACCOUNT": "444455556666",
		"ENDPOINT": "live", "PROFILE": "dev", "GROUP": "sg-0123456789abcdef0"}[name]
}

func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../examples/*/slipway.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	return files
}

// TestExamplesLoad runs the examples from where they are, links and all.
func TestExamplesLoad(t *testing.T) {
	for _, file := range examples(t) {
		f, err := Load(file)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if !filepath.IsAbs(f.Dir) {
			t.Errorf("%s: Dir is %q", file, f.Dir)
		}
		if first, _, _ := bytes.Cut(read(t, file), []byte("\n")); !bytes.HasPrefix(first, []byte("# yaml-language-server: $schema=")) {
			t.Errorf("%s does not begin by naming its schema", file)
		}
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("slipway.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := compiler.Compile("slipway.json") // checks it against the meta-schema
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// schemaAccepts says what an editor with the schema would say of a file.
func schemaAccepts(t *testing.T, s *jsonschema.Schema, data []byte) bool {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return false
	}
	return s.Validate(doc) == nil
}

// TestSchemaAgrees holds the schema to the parser: it accepts what Parse
// accepts, and refuses what Parse refuses unless the input says that no
// schema can tell.
func TestSchemaAgrees(t *testing.T) {
	s := compileSchema(t)
	for _, file := range append(inputs(t, "good"), examples(t)...) {
		if !schemaAccepts(t, s, read(t, file)) {
			var doc any
			_ = yaml.Unmarshal(read(t, file), &doc)
			t.Errorf("%s: the schema refuses it: %v", file, s.Validate(doc))
		}
	}
	for _, file := range inputs(t, "bad") {
		data := read(t, file)
		want := bytes.HasPrefix(data, []byte("# schema accepts: "))
		if got := schemaAccepts(t, s, data); got != want {
			t.Errorf("%s: the schema accepts it: %v, want %v", file, got, want)
		}
	}
}

// TestSchemaDescribesEveryKey walks the schema for members without a text.
func TestSchemaDescribesEveryKey(t *testing.T) {
	var root any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	count := 0
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch node := node.(type) {
		case map[string]any:
			for key, child := range node {
				properties, ok := child.(map[string]any)
				if key == "properties" && ok && !strings.Contains(path, "/if") && !strings.Contains(path, "/then") {
					for name, p := range properties {
						count++
						if text, _ := p.(map[string]any)["description"].(string); len(text) < 5 {
							t.Errorf("%s/%s has no description", path, name)
						}
					}
				}
				walk(path+"/"+key, child)
			}
		case []any:
			for _, child := range node {
				walk(path, child)
			}
		}
	}
	walk("", root)
	if count < 50 {
		t.Errorf("found %d members only", count)
	}
}

// TestSchemaKnowsEveryKey: the full example uses each key that the schema has,
// so that neither schema nor parser has a key that the other lacks.
func TestSchemaKnowsEveryKey(t *testing.T) {
	var full map[string]any
	if err := yaml.Unmarshal(read(t, "../../examples/full/slipway.yaml"), &full); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var gather func(any)
	gather = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			for key, child := range node {
				used[key] = true
				gather(child)
			}
		case []any:
			for _, child := range node {
				gather(child)
			}
		}
	}
	gather(full)
	known := schemaKeys(t)
	for _, key := range known {
		if !used[key] {
			t.Errorf("examples/full does not show %s", key)
		}
	}
	for _, m := range slices.Concat(runtimeMembers(), jwtMembers(), filesystemMembers()) {
		if !slices.Contains(known, m.name) {
			t.Errorf("the schema lacks %s", m.name)
		}
	}
}

func schemaKeys(t *testing.T) (keys []string) {
	t.Helper()
	var root any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			for key, child := range node {
				if properties, ok := child.(map[string]any); ok && key == "properties" {
					keys = append(keys, sortedKeys(properties)...)
				}
				walk(child)
			}
		case []any:
			for _, child := range node {
				walk(child)
			}
		}
	}
	walk(root)
	return keys
}
