package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
)

const smallest = `version: 1
region: us-east-1
agents: {a: {repository: aa}}
environments: {dev: {account: "111122223333"}}
`

func problemsOf(t *testing.T, data string) Problems {
	t.Helper()
	_, err := Parse("slipway.yaml", []byte(data))
	var problems Problems
	if err != nil && !errors.As(err, &problems) {
		t.Fatalf("got %T, want Problems", err)
	}
	return problems
}

// TestBytes: what is no YAML text in UTF-8, or too much of it.
func TestBytes(t *testing.T) {
	bytes := []byte("\xff\xfe")
	for _, unit := range utf16.Encode([]rune(smallest)) {
		bytes = append(bytes, byte(unit), byte(unit>>8))
	}
	wide := string(bytes)
	tests := []struct{ name, data, want string }{
		{"no bytes", "", "slipway.yaml:1:1: the file is empty (slipway init writes one, slipway schema describes every key)"},
		{"byte order mark", "\xef\xbb\xbf" + smallest, "slipway.yaml:1:1: the file begins with a byte order mark; save it as UTF-8 without one"},
		{"UTF-16", wide, "slipway.yaml:1:1: the file is in UTF-16; save it as UTF-8"},
		{"UTF-16 without mark", wide[2:], "slipway.yaml:1:2: the file holds a NUL character; save it as UTF-8 text"},
		{"Latin-1", "version: 1\nx: gr\xfcn\n", "slipway.yaml:2:6: the file is not UTF-8 text"},
		{"escape", "version: 1\nä: \x1b[31m\n", "slipway.yaml:2:4: the file holds the control character U+001B"},
		{"C1 control", "a: \u009b31m\n", "slipway.yaml:1:4: the file holds the control character U+009B"},
		{"too large", smallest + strings.Repeat("#", MaxSize), "slipway.yaml:1:1: the file is larger than 1024 KiB"},
		{"too deep", smallest + "x: " + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "\n", "nests deeper than 64 levels"},
		{"far too deep", smallest + "x: " + strings.Repeat("[", 20000), "exceeded max depth"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problems := problemsOf(t, test.data)
			if !strings.Contains(problems.Error(), test.want) {
				t.Errorf("got %v, want %s", problems, test.want)
			}
		})
	}
	if problems := problemsOf(t, smallest+strings.Repeat("#", MaxSize-len(smallest))); problems != nil {
		t.Errorf("a file of exactly 1 MiB is refused: %v", problems)
	}
}

// TestSyntaxErrorLines: the line of a syntax error is the one that a person
// would point at, in small and in large files.
func TestSyntaxErrorLines(t *testing.T) {
	large := strings.Repeat("# a comment that makes the file too large to search for the line\n", 1000)
	tests := []struct {
		name, data   string
		line, column int
	}{
		{"tab", smallest + "x:\n  a: 1\n \tb: 2\n", 7, 2},
		{"tab, large", large + "x:\n\ta: 1\n" + large, 1002, 1},
		{"never closed", smallest + "x: {a: 1,\n  b: 2\n  c: [3]\n", 5, 1},
		{"block", smallest + "x:\n  a: 1\n b: 2\n", 7, 2},
		{"second document", smallest + "---\na: b: c\n", 6, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problems := problemsOf(t, test.data)
			if len(problems) != 1 || problems[0].Line != test.line || problems[0].Column != test.column {
				t.Errorf("got %v, want one problem at %d:%d", problems, test.line, test.column)
			}
		})
	}
}

// credentials are made at run time, so that no scanner finds one in here.
func credentials() map[string]string {
	body := strings.Repeat("Ab3", 12)
	return map[string]string{
		"AWS access key":           "AKIA" + "IOSFODNN7CANARY1",
		"temporary AWS access key": "ASIA" + "IOSFODNN7CANARY1",
		"RSA key":                  "-----BEGIN RSA " + "PRIVATE KEY-----\\nMIIEcanary",
		"PKCS8 key":                "-----BEGIN " + "PRIVATE KEY-----\\nMIIEcanary",
		"GitHub token":             "ghp_" + body,
		"GitHub app token":         "ghs_" + body,
		"fine-grained token":       "github_pat_" + body,
		"JSON web token":           "eyJhbGciOiJSUzI1NiJ9" + ".eyJzdWIiOiJjYW5hcnkifQ.c2ln",
		"bearer":                   "Bearer eyJhbGciOiJSUzI1NiJ9" + ".eyJzdWIiOiJjYW5hcnkifQ.c2ln",
		"Slack token":              "xoxb-" + "123456789012-canary",
		"API key":                  "sk-ant-" + "api03-canarycanary",
	}
}

// TestCredentials: wherever one stands it is refused, once, and never shown.
func TestCredentials(t *testing.T) {
	places := map[string]string{
		"variable":   `agents: {a: {repository: aa, runtime: {environment_variables: {K: "%s"}}}}`,
		"argument":   `agents: {a: {repository: aa, build: {args: {K: "%s"}}}}`,
		"payload":    `agents: {a: {repository: aa, verify: {payload: {deep: ["%s"]}}}}`,
		"checked":    `agents: {a: {repository: aa}}` + "\n" + `region: "%s"`,
		"wrong type": `agents: {a: {repository: ["%s"]}}`,
		"key":        `agents: {a: {repository: aa, "%s": x}}`,
		"name":       `agents: {"%s": {repository: aa}, a: {repository: aa}}`,
	}
	for what, credential := range credentials() {
		for place, line := range places {
			data := "version: 1\nenvironments: {dev: {account: \"111122223333\"}}\n" + fmt.Sprintf(line, credential) + "\n"
			problems := problemsOf(t, data)
			said := problems.Error()
			if strings.Count(said, "looks like ") != 1 {
				t.Errorf("%s as %s: %v", what, place, said)
			}
			for _, part := range strings.Split(credential, `\n`) {
				if strings.Contains(said, part) || strings.Contains(said, "canary") || strings.Contains(said, "CANARY") {
					t.Errorf("%s as %s is shown: %s", what, place, said)
				}
			}
		}
	}
}

// TestNearCredentials: what resembles one and is none.
func TestNearCredentials(t *testing.T) {
	for _, text := range []string{"AKIA", "ASIAPACIFIC", "ghp_", "my_ghp_value", "github_pat_", "eyJhbGciOiJub25lIn0",
		"-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "sk-1", "xoxb", "keyJar.example", "disk-test-1"} {
		data := fmt.Sprintf("%s\nx: \"%s\"\n", strings.TrimSpace(smallest), text)
		for _, p := range problemsOf(t, data) {
			if strings.HasPrefix(p.Message, "looks like") {
				t.Errorf("%q: %v", text, p)
			}
		}
	}
}

// TestProblemsStayBounded: a file full of nonsense is neither searched for
// suggestions nor told without end.
func TestProblemsStayBounded(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "key_%d: x\n", i)
	}
	problems := problemsOf(t, b.String())
	hints := 0
	for _, p := range problems {
		if p.Hint != "" {
			hints++
		}
	}
	if hints > maxSuggestions {
		t.Errorf("%d problems have hints", hints)
	}
	last := problems[len(problems)-1].String()
	if want := "slipway.yaml:998:1: and 4003 more problems from here on"; len(problems) != maxProblems+1 || last != want {
		t.Errorf("%d problems, the last is %s", len(problems), last)
	}
}

func TestSuggest(t *testing.T) {
	options := []string{"account", "region", "environment_variables", "dev", "prd"}
	for word, want := range map[string]string{
		"acount": "account", "regoin": "region", "environmentVariables": "environment_variables",
		"environment-variable": "environment_variables", "pdr": "prd", "DEV": "dev",
		"colour": "", "x": "", "stg": "", strings.Repeat("region", 100): "",
	} {
		if got := Suggest(word, options); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}

// FuzzParse: no input panics; a file that is accepted is accepted again, and
// yields targets or errors.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		for _, file := range mustGlob(f, dir) {
			f.Add(file)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("slipway.yaml", data)
		if err != nil {
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 || problems.Error() == "" {
				t.Fatalf("a refusal without problems: %v", err)
			}
			return
		}
		checkTargets(t, file)
	})
}
