package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// MaxSize is the size in bytes above which a slipway.yaml is refused.
const MaxSize = 1 << 20

// Parse reads a slipway.yaml. name is what problems call the file. A file
// with mistakes yields Problems, all of them, and no File. Values that hold
// expressions are empty until Resolve.
func Parse(name string, data []byte) (*File, error) {
	return parseWith(name, data, nil)
}

// parseWith is Parse with the expressions of s resolved; s may be nil.
func parseWith(name string, data []byte, s *resolving) (*File, error) {
	r := newReader(name)
	r.resolving = s
	root := r.document(data)
	if root == nil {
		return nil, r.problems.sorted()
	}
	r.inspect(root, "", 0)
	f := r.file(value{node: root})
	r.check(f)
	if len(r.problems) > 0 {
		return nil, r.problems.sorted()
	}
	f.data, f.expressions, f.resolved, f.pending = data, r.expressions, s != nil, r.pending
	f.unknown, f.asked, f.unset = r.unknown, r.asked, r.unset
	return f, nil
}

// document reads the bytes as one YAML document and returns its top node, or
// nil after reporting why it can't.
func (r *reader) document(data []byte) *yaml.Node {
	if line, column, message := badBytes(data); message != "" {
		r.report(line, column, "", "", message)
		return nil
	}
	var doc, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		r.report(1, 1, "", "slipway init writes one, slipway schema describes every key", "the file is empty")
		return nil
	case err != nil:
		r.syntaxError(data, err)
		return nil
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		r.report(second.Line, second.Column, "", "", "a second YAML document begins here; the file must hold one")
		return nil
	case !errors.Is(err, io.EOF):
		r.syntaxError(data, err)
		return nil
	}
	root := doc.Content[0]
	if isNull(root) {
		r.report(1, 1, "", "slipway init writes one, slipway schema describes every key", "the file is empty")
		return nil
	}
	return root
}

// badBytes finds what makes data no YAML text in UTF-8: where, and what.
func badBytes(data []byte) (line, column int, message string) {
	switch {
	case len(data) > MaxSize:
		return 1, 1, fmt.Sprintf("the file is larger than %d KiB", MaxSize>>10)
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return 1, 1, "the file begins with a byte order mark; save it as UTF-8 without one"
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return 1, 1, "the file is in UTF-16; save it as UTF-8"
	}
	line, column = 1, 1
	for len(data) > 0 {
		c, size := utf8.DecodeRune(data)
		switch {
		case c == utf8.RuneError && size == 1:
			return line, column, "the file is not UTF-8 text"
		case c == 0:
			return line, column, "the file holds a NUL character; save it as UTF-8 text"
		case c < ' ' && c != '\t' && c != '\n' && c != '\r', c >= 0x7f && c <= 0x9f && c != 0x85:
			return line, column, fmt.Sprintf("the file holds the control character %U", c)
		case c == '\n':
			line, column = line+1, 0
		}
		column++
		data = data[size:]
	}
	return 0, 0, ""
}

var yamlErrorLine = pattern.New(`^yaml: (?:line (\d+): )?`)

// syntaxError reports an error of the YAML reader. That reader knows lines at
// best, and often the line where the enclosing block begins, so the line is
// looked for by reading again.
func (r *reader) syntaxError(data []byte, err error) {
	message := err.Error()
	line := 1
	if m := yamlErrorLine.FindStringSubmatch(message); m != nil {
		message = message[len(m[0]):]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	if found := firstBadLine(lines); found > 0 {
		line = found
	}
	line = min(max(line, 1), len(lines))
	text := string(lines[line-1])
	indent := len(text) - len(strings.TrimLeft(text, " "))
	if strings.HasPrefix(text[indent:], "\t") {
		r.report(line, indent+1, "", "indent with spaces", "a tab can't indent YAML")
		return
	}
	r.report(line, indent+1, "", "", "not YAML: "+message)
}

// maxSearch bounds the search for the line of a syntax error: how many bytes
// it reads again in all.
const maxSearch = 4 << 20

// firstBadLine returns the line after the longest prefix that is YAML: the
// line that breaks the file, or opens what is never closed. It returns 0 for
// a file that is too large to search.
func firstBadLine(lines [][]byte) int {
	data := bytes.Join(lines, nil)
	searched := 0
	for n := len(lines) - 1; n > 0; n-- {
		data = data[:len(data)-len(lines[n])]
		if searched += len(data); searched > maxSearch {
			return 0
		}
		if isYAML(data) {
			return n + 1
		}
	}
	return 1
}

func isYAML(data []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var node yaml.Node
		if err := decoder.Decode(&node); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}
