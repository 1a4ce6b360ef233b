package trigger_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/slipway-cd/slipway/internal/workflow/trigger"
)

// The first two tables are those of GitHub's own page (Workflow syntax, "Filter
// pattern cheat sheet"), with names beside them that must not match.
func TestPatterns(t *testing.T) {
	for _, tt := range []struct{ pattern, in, out string }{
		// Branches and tags.
		{"feature/*", "feature/my-branch feature/your-branch", "feature feature/a/b my/feature/x"},
		{"feature/**", "feature/beta-a/my-branch feature/your-branch feature/mona/the/octocat", "feature features/a"},
		{"main", "main", "mai mainly Main x/main"},
		{"releases/mona-the-octocat", "releases/mona-the-octocat", "releases"},
		{"*", "main releases", "releases/10"},
		{"**", "all/the/branches every/tag", ""},
		{"*feature", "mona-feature feature ver-10-feature", "feature-1 a/feature"},
		{"v2*", "v2 v2.0 v2.9", "v1 av2 v2/x"},
		{"v[12].[0-9]+.[0-9]+", "v1.10.1 v2.0.0", "v3.0.0 v1.10 v1..1 v1x10x1"},
		{"Octo*", "Octocat", "octocat"},
		{"[CB]at", "Cat Bat", "Rat cat Cats"},
		{"[1-2]00", "100 200", "300 00"},

		// Paths.
		{"*", "README.md server.rb", "docs/README.md"},
		{"*.jsx?", "page.js page.jsx", "page.jsxx page.j a/page.js"},
		{"**", "all/the/files.md", ""},
		{"*.js", "app.js index.js", "src/app.js app.jsx"},
		{"**.js", "index.js js/index.js src/js/app.js", "index.jsx"},
		{"docs/*", "docs/README.md docs/file.txt", "docs/a/b.md docs README.md"},
		{"docs/**", "docs/README.md docs/mona/octocat.txt", "docs a/docs/b"},
		{"docs/**/*.md", "docs/README.md docs/mona/hello-world.md docs/a/markdown/file.md", "docs/a.txt docs/a/b.mdx docs.md"},
		{"**/docs/**", "docs/hello.md dir/docs/my-file.txt space/docs/plan/space.doc", "docs mydocs/a dir/docs.md"},
		{"**/README.md", "README.md js/README.md", "xREADME.md js/README.mdx"},
		{"**/*src/**", "a/src/app.js my-src/code/js/app.js", "src a/srcs/b"},
		{"**/*-post.md", "my-post.md path/their-post.md", "post.md"},
		{"**/migrate-*.sql", "migrate-10909.sql db/migrate-v1.0.sql db/sept/migrate-v1.sql", "migrate.sql db/migrate-a/b.sql"},

		// What the words before the tables say.
		{"apps/agent/**", "apps/agent/main.py apps/agent/a/b.py", "apps/agents/main.py"},
		{"/docs/**", "", "docs/a.md"},
		{"docs/", "", "docs docs/a.md"},
		{"a**/b", "a/b ax/b a/x/b", "ab"},
		{"a/?b", "ab a/b", "a//b"},
		{"**/?b", "b /b x/b xb", "x"},
		{`v1\+2`, "v1+2", "v12 v112"},
		{`what\?`, "what?", "wha what"},
		{`\*.md`, "*.md", "a.md"},
		{`\[a]`, "[a]", "a"},
		{`back\slash`, `back\slash`, "backslash"},
		{"a!b", "a!b", "ab"},
		{"é?t", "ét t", "eet"},
		{"日+", "日 日日", "本"},
	} {
		p, err := trigger.ParsePattern(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		for name := range strings.FieldsSeq(tt.in) {
			if !p.Match(name) {
				t.Errorf("%s does not match %s", tt.pattern, name)
			}
		}
		for name := range strings.FieldsSeq(tt.out) {
			if p.Match(name) {
				t.Errorf("%s matches %s", tt.pattern, name)
			}
		}
	}
}

func TestBrokenPatterns(t *testing.T) {
	for pattern, want := range map[string]string{
		"":      "empty",
		"!":     "empty",
		"?a":    "no character before it",
		"!+a":   "no character before it",
		"a*+":   "can't repeat a wildcard",
		"**?":   "can't repeat a wildcard",
		"a++":   "repeated already",
		"[0-9":  "[ is not closed",
		"v[]":   "lists no character",
		"[a-]":  "has no end",
		"[9-0]": "no range",
		"[a-9]": "no range",
		"[A-z]": "no range",
	} {
		if _, err := trigger.ParsePattern(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", pattern, err, want)
		}
	}
}

func TestFilter(t *testing.T) {
	for _, tt := range []struct {
		filter string
		name   string
		in     bool
		by     string
	}{
		// Of GitHub's page.
		{"*.md !README.md", "hello.md", true, "*.md"},
		{"*.md !README.md", "README.md", false, "!README.md"},
		{"*.md !README.md", "docs/hello.md", false, ""},
		{"*.md !README.md README*", "README.md", true, "README*"},
		{"*.md !README.md README*", "README.doc", true, "README*"},
		{"releases/** !releases/**-alpha", "releases/10", true, "releases/**"},
		{"releases/** !releases/**-alpha", "releases/beta/mona", true, "releases/**"},
		{"releases/** !releases/**-alpha", "releases/10-alpha", false, "!releases/**-alpha"},
		{"releases/** !releases/**-alpha", "releases/beta/3-alpha", false, "!releases/**-alpha"},
		{"sub-project/** !sub-project/docs/**", "sub-project/src/index.js", true, "sub-project/**"},
		{"sub-project/** !sub-project/docs/**", "sub-project/docs/readme.md", false, "!sub-project/docs/**"},
		// The order counts: the last that matches.
		{"!README.md *.md", "README.md", true, "*.md"},
	} {
		f, err := trigger.ParseFilter(strings.Fields(tt.filter))
		if err != nil {
			t.Fatal(err)
		}
		if in, by := f.Decide(tt.name); in != tt.in || by != tt.by {
			t.Errorf("%s: %s is in: %v, by %q", tt.filter, tt.name, in, by)
		}
	}
}

// A pattern that a matcher with a way back never comes to the end of.
func TestLongPattern(t *testing.T) {
	p, err := trigger.ParsePattern(strings.Repeat("*a?", 200) + "b")
	if err != nil {
		t.Fatal(err)
	}
	if p.Match(strings.Repeat("a", 2000)) {
		t.Error("there is no b")
	}
}

// FuzzPattern compares with the expression that a pattern stands for.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{"**/docs/**|docs/a", "v[12].[0-9]+|v1.2", "*.jsx?|a.js", `a\+|a+`, "!**.js|x/y.js", "**/?b|b", "***/a|b/a", "[a-|a"} {
		pattern, name, _ := strings.Cut(seed, "|")
		f.Add(pattern, name)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		p, err := trigger.ParsePattern(pattern)
		if err != nil {
			return
		}
		got := p.Match(name)
		if len(pattern) > 200 || !utf8.ValidString(pattern) { // which regexp refuses
			return
		}
		re, err := regexp.Compile(expression(strings.TrimPrefix(pattern, "!")))
		if err != nil {
			t.Fatalf("%q: %v", pattern, err)
		}
		if got != re.MatchString(name) {
			t.Errorf("%q matches %q: %v; %s does not", pattern, name, got, re)
		}
	})
}

// expression is a pattern, which is known to be whole, as a regular expression.
func expression(pattern string) string {
	var b strings.Builder
	b.WriteString(`^(?s:`)
	folder := regexp.MustCompile(`^\*\*/($|[^?+])`)
	for whole, rest := pattern, pattern; rest != ""; {
		start := len(rest) == len(whole) || strings.HasSuffix(whole[:len(whole)-len(rest)], "/")
		switch stars := len(rest) - len(strings.TrimLeft(rest, "*")); {
		case start && folder.MatchString(rest):
			b.WriteString(`(?:.+/)?`)
			rest = rest[3:]
		case stars > 1:
			b.WriteString(`.*`)
			rest = rest[stars:]
		case stars == 1:
			b.WriteString(`[^/]*`)
			rest = rest[1:]
		case rest[0] == '?', rest[0] == '+':
			b.WriteByte(rest[0])
			rest = rest[1:]
		case rest[0] == '[':
			list, after, _ := strings.Cut(rest[1:], "]")
			b.WriteString("[" + strings.NewReplacer(`\`, `\\`, "^", `\^`, "[", `\[`).Replace(list) + "]")
			rest = after
		default:
			if len(rest) > 1 && rest[0] == '\\' && strings.ContainsRune(`\*?+[]!`, rune(rest[1])) {
				rest = rest[1:]
			}
			c := []rune(rest)[0]
			b.WriteString(regexp.QuoteMeta(string(c)))
			rest = rest[len(string(c)):]
		}
	}
	return b.String() + `)$`
}
