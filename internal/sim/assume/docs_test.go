package assume

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

//nolint:gochecknoglobals // the flag of a test
var update = flag.Bool("update", false, "rewrite docs/assumptions.md")

const page = "../../../docs/assumptions.md"

// comment is what an assumption's comment says.
type comment struct{ statement, source, confidence string }

var commentForm = regexp.MustCompile(`(?s)^A([0-9]{3}): (.+?)\nSource: (.+?)\nConfidence: ([HML]\b.*?)\n$`)

// comments reads the comments of the functions a<number>…, by number.
func comments(t *testing.T) map[string]comment {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	function := regexp.MustCompile(`^a([0-9]{3})[A-Z]`)
	found := map[string]comment{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !function.MatchString(f.Name.Name) {
				continue
			}
			number := function.FindStringSubmatch(f.Name.Name)[1]
			m := commentForm.FindStringSubmatch(f.Doc.Text())
			if m == nil || m[1] != number {
				t.Errorf("the comment of %s has not the form of an assumption:\n%s", f.Name.Name, f.Doc.Text())
				continue
			}
			one := func(s string) string { return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`) }
			found["A"+number] = comment{one(m[2]), one(m[3]), one(m[4])}
		}
	}
	return found
}

// TestDocs holds docs/assumptions.md to the comments.
func TestDocs(t *testing.T) {
	said := comments(t)
	var b strings.Builder
	b.WriteString(`# Assumptions

What the local cloud takes for true of AWS and GitHub. Each is a function of ` + "`internal/sim/assume`" + `, asked of the local
cloud in every run of the tests; this page is made of their comments (` + "`go test ./internal/sim/assume -run TestDocs -update`" + `).

Sure: H, the vendor's documentation, its service model, or many independent reports; M, one good source; L, a guess.
On AWS: whether it can be asked of a real account, and what that needs; ` + "`aws_test.go`" + ` there says how, what it makes and costs.
`)
	area := byte(0)
	for _, a := range All() {
		c, ok := said[a.ID]
		if !ok {
			t.Errorf("%s has no comment", a.ID)
		}
		delete(said, a.ID)
		if a.ID[1] != area {
			area = a.ID[1]
			fmt.Fprintf(&b, "\n## %s\n\n| number | statement | source | sure | on AWS |\n|---|---|---|---|---|\n", areaOf(area))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", a.ID, c.statement, c.source, strings.TrimSuffix(c.confidence, "."), onAWS(a.Needs))
	}
	for id := range said {
		t.Errorf("%s is not asked: no list has it", id)
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(page)
	if err != nil || string(raw) != b.String() {
		t.Errorf("docs/assumptions.md is not what the comments say (%v): run with -update", err)
	}
}

func areaOf(digit byte) string {
	return map[byte]string{'1': "AgentCore", '2': "ECR", '3': "ECR's registry", '4': "STS", '5': "IAM", '6': "SSM", '7': "CloudWatch Logs", '8': "GitHub's tokens", '9': "GitHub's gates"}[digit]
}

func onAWS(need Need) string {
	return map[Need]string{"": "yes", Local: "no", Job: "yes, in a job", Agent: "yes, runs an agent"}[need]
}
