// Package slipway_test holds the rules of the tree that decay silently: who
// may import whom, and that every package says what it is.
package slipway_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/slipway-cd/slipway/"

// adapters speak to one remote each.
func adapters() []string {
	return []string{"internal/agentcore", "internal/awsauth", "internal/build", "internal/ecr", "internal/github", "internal/iam", "internal/registry"}
}

// rule forbids packages (and what is below them) to import others.
type rule struct {
	of      []string
	forbids []string // prefixes of import paths
	allows  []string // prefixes that are allowed all the same
	but     []string // packages below that have a rule of their own
	alone   bool     // what is above a package is not its own
	because string
}

// assume asks an account, the local cloud's or a real one.
const assume = "internal/sim/assume"

func rules() []rule {
	inAdapters := func() []string {
		var paths []string
		for _, a := range adapters() {
			paths = append(paths, module+a)
		}
		return paths
	}
	return []rule{
		{of: []string{"internal/delivery"}, forbids: []string{module, "github.com/", "os", "net", "log"},
			because: "the core must be readable and testable alone"},
		{of: adapters(), forbids: append(inAdapters(), module+"internal/config", module+"internal/cli", module+"internal/sim"),
			because: "adapters speak in delivery's types; cli introduces them to each other"},
		{of: []string{"internal/config"}, forbids: append(inAdapters(), "net", module+"internal/cli", module+"internal/sim"),
			allows: []string{"net/url", "net/netip"}, because: "parsing works offline"},
		{of: []string{"internal/scaffold"}, forbids: append(inAdapters(), "os", "net", module+"internal/cli", module+"internal/sim"),
			allows: []string{"net/url"}, because: "it reads the file system it is given and proposes; others ask, look and write"},
		{of: []string{"internal/workflow/generate"}, forbids: append(inAdapters(), "os", "net", module+"internal/cli", module+"internal/sim", "github.com/rhysd/"),
			because: "it makes files of slipway.yaml and of the file system it is given; others show and write them, and others judge them"},
		{of: []string{"internal/workflow/pins"}, forbids: []string{module, "github.com/", "os", "net"},
			because: "it is a table: what generates and what checks ask it"},
		{of: []string{"internal/process"}, forbids: []string{module, "github.com/", "net", "log"},
			because: "it runs programs for whoever asks, and knows none of them"},
		{of: []string{"internal/trust"}, forbids: []string{module, "github.com/", "net", "os", "log"},
			allows: []string{"net/netip"}, because: "policies are data; the local cloud's STS asks the same evaluator as everybody"},
		{of: []string{"internal/cdk"}, but: []string{"internal/cdk/synth"}, forbids: []string{module, "github.com/", "os", "net", "log"},
			because: "it reads the tree it is given; what runs an app is synth's alone"},
		{of: []string{"internal/cdk/synth"}, forbids: append(inAdapters(), "github.com/", "net", module+"internal/config", module+"internal/cli", module+"internal/sim", module+"internal/doctor"), allows: []string{module + "internal/process"},
			because: "it runs one program for whoever asks"},
		{of: []string{"internal/workflow/check"}, forbids: []string{module, "net", "os", "log", "github.com/aws/", "github.com/google/"}, allows: []string{module + "internal/pattern", module + "internal/workflow/trigger", module + "internal/workflow/expr"},
			because: "workflows are judged by their bytes: the same verdict on a laptop, in a job and in a test"},
		{of: []string{"internal/doctor"}, forbids: append(inAdapters(), module+"internal/config", module+"internal/cli", module+"internal/sim", "github.com/aws/", "github.com/google/", "net", "os", "log"),
			because: "checks are judged by fakes: cli brings slipway.yaml, the network and the machine"},
		{of: []string{"internal/workflow/expr"}, forbids: []string{module, "go.yaml.in/", "os", "net", "log"},
			because: "one evaluator serves what judges workflows and what explains them, and knows neither"},
		{of: []string{"internal/workflow/trigger"}, forbids: []string{module, "github.com/", "go.yaml.in/", "os", "net", "log"},
			because: "GitHub's filters are data, judged alone by tables of GitHub's own examples"},
		{of: []string{"internal/workflow/explain"}, forbids: append(inAdapters(), "os", "net", module+"internal/config", module+"internal/cli", module+"internal/sim"),
			because: "it explains what it is given: cli brings the files and slipway.yaml"},
		{of: []string{"internal/bootstrap"}, forbids: append(inAdapters(), "github.com/aws/", "github.com/google/", "os", "net", module+"internal/config", module+"internal/cli", module+"internal/sim"),
			because: "it plans: what it reads and changes comes through its ports"},
		{of: []string{"internal/sim"}, but: []string{assume}, forbids: append(inAdapters(), module+"internal/delivery", module+"internal/config", module+"internal/cli", "github.com/aws/", "github.com/google/"),
			because: "a shared misreading of AWS must not sit on both sides of the wire"},
		{of: []string{assume}, forbids: []string{module}, alone: true,
			because: "it is a plain client of whatever account it is given"},
		{of: []string{"cmd"}, forbids: []string{module}, allows: []string{module + "internal/cli"},
			because: "main hands the process over and does nothing else"},
	}
}

// simUsers may know the local cloud.
func simUsers() map[string]string {
	return map[string]string{
		"internal/cli/local.go":            "it is `slipway local`",
		"internal/cli/control.go":          "it is the client of the local cloud's control API",
		"internal/cli/local_fault.go":      "it is `slipway local fault`",
		"internal/cli/local_verify.go":     "it is `slipway local token --verify`",
		"internal/cli/local_job.go":        "it is `slipway local job`",
		"internal/cli/local_approve.go":    "it is `slipway local approve`",
		"internal/cli/local_repository.go": "it is `slipway local repository`",
		"internal/cli/demo.go":             "it is `slipway demo`",
		"internal/cli/demo_steps.go":       "it is `slipway demo`",
	}
}

type source struct {
	path string // with slashes, from the repository's root
	file *ast.File
	test bool
}

func (s source) dir() string { return path.Dir(s.path) }

func (s source) imports() []string {
	var paths []string
	for _, i := range s.file.Imports {
		p, _ := strconv.Unquote(i.Path.Value) // the parser has read it
		paths = append(paths, p)
	}
	return paths
}

// sources parses every Go file of the repository.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "slipway-demo") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{filepath.ToSlash(name), file, strings.HasSuffix(name, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d Go files: the walk is wrong", len(all))
	}
	return all
}

func below(p, prefix string) bool {
	p, prefix = strings.TrimSuffix(p, "/"), strings.TrimSuffix(prefix, "/")
	return p == prefix || strings.HasPrefix(p, prefix+"/")
}

func belowAny(p string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if below(p, prefix) {
			return true
		}
	}
	return false
}

// breaks says whether a rule forbids what a file imports.
func (r rule) breaks(dir, imported string) bool {
	if !belowAny(dir, r.of) || belowAny(dir, r.but) || belowAny(imported, r.allows) || !belowAny(imported, r.forbids) {
		return false
	}
	own := below(imported, module+dir) || !r.alone && below(module+dir, imported) // a package and what is below it are one
	return !own || imported == strings.TrimSuffix(module, "/")
}

func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, imported := range s.imports() {
			if imported == module+"internal/needs" {
				t.Errorf("%s imports internal/needs: it is for tests", s.path)
			}
			for _, r := range rules() {
				if r.breaks(s.dir(), imported) {
					t.Errorf("%s imports %s: %s", s.path, imported, r.because)
				}
			}
			if imported == module+"internal/sim" && simUsers()[s.path] == "" && !below(s.dir(), "internal/sim") {
				t.Errorf("%s imports the local cloud: the product must not know that it is simulated", s.path)
			}
		}
	}
}

// TestRulesCanFail holds the rules themselves to what they are for.
func TestRulesCanFail(t *testing.T) {
	broken := []struct{ dir, imported string }{
		{"internal/delivery", "os"},
		{"internal/delivery", module + "internal/config"},
		{"internal/registry", module + "internal/ecr"},
		{"internal/sim", "github.com/aws/aws-sdk-go-v2/aws"},
		{"internal/sim/sandbox", module + "internal/delivery"},
		{"internal/scaffold", "os/exec"},
		{"internal/workflow/generate", "os"},
		{"internal/workflow/generate", module + "internal/build"},
		{"internal/workflow/pins", module + "internal/config"},
		{assume, module + "internal/sim"},
		{assume, module + "internal/agentcore"},
		{"internal/trust", "net/http"},
		{"internal/workflow/check", "os/exec"},
		{"internal/workflow/check", module + "internal/config"},
	}
	for _, b := range broken {
		found := false
		for _, r := range rules() {
			found = found || r.breaks(b.dir, b.imported)
		}
		if !found {
			t.Errorf("no rule forbids %s to import %s", b.dir, b.imported)
		}
	}
}

// TestProcessState keeps the process's own state in main's hands: everybody
// else gets what they need handed to them.
func TestProcessState(t *testing.T) {
	forbidden := map[string]bool{"Exit": true, "Args": true, "Stdin": true, "Stdout": true, "Stderr": true, "Getenv": true, "Environ": true, "LookupEnv": true}
	for _, s := range sources(t) {
		if s.test || below(s.dir(), "cmd") || below(s.dir(), "internal/sim/sandbox") {
			continue // the sandbox's first process is a process of its own
		}
		if s.dir() == "internal/needs" {
			continue // tests alone import it, and CI speaks to tests by a variable
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "os" && forbidden[sel.Sel.Name] {
					t.Errorf("%s uses os.%s: only main does", s.path, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function: what runs must be called by somebody", s.path)
			}
		}
	}
}

// TestDocs demands a comment on every package and every exported name.
func TestDocs(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		documented[s.dir()] = documented[s.dir()] || s.file.Doc != nil
		for _, name := range undocumented(s.file) {
			t.Errorf("%s: %s has no comment", s.path, name)
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment: what does it do, and what does it refuse?", dir)
		}
	}
}

// undocumented lists the exported names of a file that have no comment.
func undocumented(f *ast.File) []string {
	var names []string
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			names = append(names, undocumentedSpecs(d)...)
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	id, ok := t.(*ast.Ident)
	return ok && id.IsExported()
}

func undocumentedSpecs(d *ast.GenDecl) []string {
	var names []string
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				names = append(names, spec.Name.Name)
			}
		case *ast.ValueSpec:
			if spec.Names[0].IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				names = append(names, spec.Names[0].Name)
			}
		}
	}
	return names
}
