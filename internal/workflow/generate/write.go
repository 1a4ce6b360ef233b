package generate

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/slipway-cd/slipway/internal/pattern"
	"github.com/slipway-cd/slipway/internal/workflow/pins"
)

// fill puts values in the places of a text, which are called <like this>, all
// at once: no value is looked into.
func fill(text string, values ...string) string {
	return strings.NewReplacer(values...).Replace(strings.TrimPrefix(text, "\n"))
}

// plainShape matches what YAML takes for a string wherever it stands, but for
// the words that are something else in some version of YAML.
var plainShape = pattern.New(`^\.?[A-Za-z_](?:[A-Za-z0-9_./-]*[A-Za-z0-9_/])?(?:/\*\*)?$`)

// scalar is a text as YAML, quoted where it could be taken for something else.
// GitHub evaluates ${{ wherever it stands, and nothing hides it: such a text
// can't be written.
func (p *plan) scalar(text string) string {
	quoted := p.quoted(text)
	switch strings.TrimPrefix(strings.ToLower(text), ".") {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf":
		return quoted
	}
	if plainShape.MatchString(text) {
		return text
	}
	return quoted
}

// quoted is scalar, in quotes in any case.
func (p *plan) quoted(text string) string {
	switch {
	case strings.Contains(text, "${{"):
		p.fail(text, "GitHub would evaluate ${{")
	case !utf8.ValidString(text):
		p.fail(text, "it is not UTF-8")
	}
	return strconv.QuoteToASCII(text) // its escapes are YAML's
}

func (p *plan) fail(text, why string) {
	if p.err == nil {
		p.err = refused(fmt.Errorf("%q of slipway.yaml can't stand in a workflow: %s", text, why), "change the value")
	}
}

// scalars is a list in one line.
func (p *plan) scalars(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = p.scalar(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// literals is a JSON list of names, for fromJSON in an expression: a name
// holds nothing that would have to be quoted.
func literals(names []string) string {
	return `'["` + strings.Join(names, `","`) + `"]'`
}

// indent moves the lines of a text to the right.
func indent(by int, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line != "\n" {
			b.WriteString(strings.Repeat(" ", by))
		}
		b.WriteString(line)
	}
	return b.String()
}

// uses is a step's uses: of an action, by commit.
func uses(action string) string {
	pin, _ := pins.Lookup(action) // a test looks up all that are used
	return pin.Uses() + " # " + pin.Version
}

// checkout is the first step of every job. depth is in its with:, a line.
func checkout(depth string) string {
	return fill(`
- name: check out
  uses: <uses>
  with:
<depth>    persist-credentials: false
`, "<uses>", uses("actions/checkout"), "<depth>", indent(4, depth))
}

// install is the step that puts Slipway on PATH.
func install() string {
	return "- name: install slipway\n  uses: ./.github/actions/setup-slipway\n"
}
