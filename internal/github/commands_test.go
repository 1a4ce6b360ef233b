package github

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAnnotate(t *testing.T) {
	tests := []struct {
		a    Annotation
		want string
	}{
		{Annotation{Message: "m"}, "::error::m\n"},
		{Annotation{Level: "warning", File: "a,b:c.yaml", Line: 3, Column: 7, Title: "50%: x", Message: "100%\r\nnext::error::"},
			"::warning file=a%2Cb%3Ac.yaml,line=3,col=7,title=50%25%3A x::100%25%0D%0Anext::error::\n"},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		if err := Annotate(&b, tt.a); err != nil || b.String() != tt.want {
			t.Errorf("got %q, %v, want %q", b.String(), err, tt.want)
		}
	}
}

func TestGroupAndMask(t *testing.T) {
	var b bytes.Buffer
	if Group(&b, "push\n::error::x") != nil || EndGroup(&b) != nil || Mask(&b, "a%\n\nb\r\n") != nil {
		t.Fatal("a buffer does not fail")
	}
	want := "::group::push%0A::error::x\n::endgroup::\n::add-mask::a%25\n::add-mask::b\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestForeign(t *testing.T) {
	shape := regexp.MustCompile(`(?s)^::stop-commands::([A-Z2-7]{26})\n(.*)::([A-Z2-7]{26})::\n$`)
	var tokens []string
	for _, text := range []string{"::error::boo\nx", "line\n", ""} {
		var b bytes.Buffer
		if err := Foreign(&b, []byte(text)); err != nil {
			t.Fatal(err)
		}
		m := shape.FindStringSubmatch(b.String())
		if m == nil || m[1] != m[3] || strings.TrimSuffix(m[2], "\n") != strings.TrimSuffix(text, "\n") {
			t.Errorf("got %q", b.String())
			continue
		}
		tokens = append(tokens, m[1])
	}
	if len(tokens) == 3 && (tokens[0] == tokens[1] || tokens[1] == tokens[2]) {
		t.Errorf("the token is not random: %v", tokens)
	}
}

func TestWriteOutput(t *testing.T) {
	var b bytes.Buffer
	value := "a\nslipway_\nother=1"
	if err := WriteOutput(&b, "digest", value); err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(b.String(), "\n")
	name, delimiter, _ := strings.Cut(first, "<<")
	if name != "digest" || len(delimiter) < 26 || rest != value+"\n"+delimiter+"\n" {
		t.Errorf("got %q", b.String())
	}
	for _, bad := range []string{"", "a=b", "a\nb", "a<<b"} {
		if err := WriteOutput(&b, bad, "v"); err == nil {
			t.Errorf("name %q was taken", bad)
		}
	}
}

func TestWriteSummary(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSummary(&b, "short"); err != nil || b.String() != "short" {
		t.Errorf("got %q, %v", b.String(), err)
	}
	for name, long := range map[string]string{
		"lines":   "<details>\n" + strings.Repeat("a line\n", 200_000),
		"no line": strings.Repeat("ü", 1<<20),
	} {
		b.Reset()
		if err := WriteSummary(&b, long); err != nil {
			t.Fatal(err)
		}
		if b.Len() > 1000<<10 || b.Len() < 890<<10 || !strings.Contains(b.String(), "cut at 900 KiB") || !utf8.ValidString(b.String()) {
			t.Errorf("%s: %d bytes that end in %q", name, b.Len(), b.String()[b.Len()-80:])
		}
		if got := strings.Count(b.String(), "</details>"); got != strings.Count(long, "<details>") {
			t.Errorf("%s: %d closed details", name, got)
		}
	}
}

func TestJobFrom(t *testing.T) {
	j := JobFrom(env("GITHUB_ACTIONS", "true", "GITHUB_REPOSITORY", "acme/agents", "GITHUB_RUN_ID", "7",
		"GITHUB_RUN_ATTEMPT", "2", "GITHUB_SERVER_URL", "http://127.0.0.1:1/", "GITHUB_REPOSITORY_ID", "9"))
	if !j.Actions || j.RepositoryID != "9" || j.RunURL() != "http://127.0.0.1:1/acme/agents/actions/runs/7/attempts/2" {
		t.Errorf("got %+v, %s", j, j.RunURL())
	}
	if none := JobFrom(env()); none.Actions || none.RunURL() != "" || none.APIURL != "https://api.github.com" {
		t.Errorf("got %+v", none)
	}
	first := JobFrom(env("GITHUB_REPOSITORY", "o/r", "GITHUB_RUN_ID", "7", "GITHUB_RUN_ATTEMPT", "1"))
	if got := first.RunURL(); got != "https://github.com/o/r/actions/runs/7" {
		t.Errorf("got %s", got)
	}
}

// FuzzForeign: of what others wrote, the runner takes nothing for a command of
// its own: neither a log's line, nor an annotation's text, nor an output.
func FuzzForeign(f *testing.F) {
	for _, text := range []string{"", "a", "::add-mask::x", "a\n::set-output name=a::b\r\n::stop-commands::x\n", "%0A::x::", "a:b,c=d", "x\rz\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var log strings.Builder
		if err := Foreign(&log, []byte(text)); err != nil {
			t.Fatal(err)
		}
		token, rest, _ := strings.Cut(strings.TrimPrefix(log.String(), "::stop-commands::"), "\n")
		body, ended := strings.CutSuffix(rest, "::"+token+"::\n")
		if !ended || body != "" && !strings.HasSuffix(body, "\n") || strings.TrimSuffix(body, "\n") != strings.TrimSuffix(text, "\n") && body != text {
			t.Errorf("%q is written as %q", text, log.String())
		}
		var said strings.Builder
		if err := Annotate(&said, Annotation{File: text, Line: 1, Title: text, Message: text}); err != nil {
			t.Fatal(err)
		}
		if err := Group(&said, text); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Split(said.String(), "\n"); len(lines) != 3 || strings.Contains(said.String(), "\r") ||
			!strings.HasPrefix(lines[0], "::error ") || !strings.HasPrefix(lines[1], "::group::") {
			t.Errorf("%q is annotated as %q", text, said.String())
		}
		var output strings.Builder
		if err := WriteOutput(&output, "name", text); err != nil {
			t.Fatal(err)
		}
		head, value, _ := strings.Cut(output.String(), "\n")
		delimiter := strings.TrimPrefix(head, "name<<")
		if strings.TrimSuffix(value, "\n"+delimiter+"\n") != text || strings.Contains(text, delimiter) {
			t.Errorf("%q is put out as %q", text, output.String())
		}
	})
}
