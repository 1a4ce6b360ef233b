package check

import (
	"slices"
	"strings"
)

// command is one simple command of a script. The parser knows as much of the
// shell as it takes to see what is run on what, and what goes where; what it
// does not know it takes for words.
type command struct {
	offset    int
	end       int
	words     []word
	redirects []redirect
	body      word       // a here-document
	inner     []*command // of its substitutions
	within    *command   // whose substitution it is in; nil if in none
	by        string     // how: "$(", "`" or "<("
	then      string     // the operator that follows: | || && ; & or ""
	next      *command   // the one that follows at the same level
}

// word is one word: as written, and without quotes.
type word struct {
	raw, text string
	offset    int
	variables []string // those expanded in it
}

// redirect is > file and the like.
type redirect struct {
	op     string
	target word
}

// parseScript lists the commands of a script in the order in which they run:
// substitutions before what they are part of.
func parseScript(script string) []*command {
	if len(script) > maxSize {
		return nil
	}
	p := &shell{text: script}
	p.list(nil, "", 0)
	return p.all
}

type shell struct {
	text  string
	at    int
	all   []*command
	heres []here
}

type here struct {
	of    *command
	until string
	dash  bool
	raw   bool
}

// deepest is how deep substitutions may be within each other.
const deepest = 50

// list reads commands up to the closing character of a substitution.
func (p *shell) list(within *command, by string, depth int) []*command {
	var commands []*command
	closing := closingOf(by)
	for {
		c := &command{within: within, by: by}
		ended := p.simple(c, closing, depth)
		if len(c.words) > 0 || len(c.redirects) > 0 || len(c.inner) > 0 {
			if n := len(commands); n > 0 {
				commands[n-1].next = c
			}
			commands = append(commands, c)
			p.script(c, depth)
			p.all = append(p.all, c)
		} else if n := len(commands); n > 0 && c.then != "" && c.then != ";" && commands[n-1].then == "" {
			commands[n-1].then = c.then
		}
		if ended {
			return commands
		}
	}
}

// script reads what a shell is given by -c. All of it stands where that
// argument does.
func (p *shell) script(c *command, depth int) {
	if depth > 2 || !slices.Contains([]string{"bash", "sh", "zsh", "dash", "eval"}, c.program()) {
		return
	}
	given, ok := c.flag("-c")
	if a := c.arguments(); !ok && c.program() == "eval" && len(a) > 1 {
		given, ok = a[1], true
	}
	if !ok || given.text == "" {
		return
	}
	inner := &shell{text: given.text}
	inner.list(nil, "", depth+1)
	for _, i := range inner.all {
		i.offset, i.end = given.offset, given.offset
		for n := range i.words {
			i.words[n].offset, i.words[n].raw = given.offset, given.raw
		}
		for n := range i.redirects {
			i.redirects[n].target.offset = given.offset
			i.redirects[n].target.raw = ""
		}
		i.body.offset, i.body.raw = given.offset, ""
	}
	p.all = append(p.all, inner.all...)
}

func closingOf(by string) byte {
	switch by {
	case "`":
		return '`'
	case "":
		return 0
	}
	return ')'
}

// simple reads one command, and says whether the list ends with it.
func (p *shell) simple(c *command, closing byte, depth int) bool {
	defer func() { c.end = p.at }()
	for p.at < len(p.text) {
		ch := p.text[p.at]
		switch {
		case closing != 0 && ch == closing:
			p.at++
			return true
		case ch == ' ' || ch == '\t' || ch == '\r':
			p.at++
		case strings.HasPrefix(p.text[p.at:], "\\\n"):
			p.at += 2
		case strings.HasPrefix(p.text[p.at:], "\\\r\n"):
			p.at += 3
		case ch == '\n':
			p.at++
			p.documents()
			c.then = ";"
			return false
		case ch == '#':
			p.comment()
		case ch == ';' || ch == '(' || ch == ')':
			p.at++
			c.then = ";"
			return false
		case ch == '|' || ch == '&' && !strings.HasPrefix(p.text[p.at:], "&>"):
			c.then = p.operator()
			return false
		default:
			p.part(c, depth)
		}
	}
	return true
}

// comment skips to the line's end. An expression is expanded in a comment
// too, but no command is run there.
func (p *shell) comment() {
	if i := strings.IndexByte(p.text[p.at:], '\n'); i >= 0 {
		p.at += i
		return
	}
	p.at = len(p.text)
}

func (p *shell) operator() string {
	for _, op := range []string{"||", "&&", "|&", "|", "&"} {
		if strings.HasPrefix(p.text[p.at:], op) {
			p.at += len(op)
			if op == "|&" {
				return "|"
			}
			return op
		}
	}
	p.at++
	return ";"
}

// part reads a word or a redirection.
func (p *shell) part(c *command, depth int) {
	op := p.redirection()
	if op == "" {
		w := p.word(c, depth)
		if len(c.words) == 0 {
			c.offset = w.offset
		}
		c.words = append(c.words, w)
		return
	}
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
	w := p.word(c, depth)
	if op == "<<" || op == "<<-" {
		p.heres = append(p.heres, here{c, w.text, op == "<<-", w.raw != w.text})
		return
	}
	c.redirects = append(c.redirects, redirect{op, w})
}

// redirection reads >, 2>>, &> and the like.
func (p *shell) redirection() string {
	rest := p.text[p.at:]
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	for _, op := range []string{"&>>", "&>", ">>", ">&", ">|", ">", "<<<", "<<-", "<<", "<&", "<"} {
		if strings.HasPrefix(rest[digits:], op) && !strings.HasPrefix(rest[digits:], "<(") && !strings.HasPrefix(rest[digits:], ">(") {
			p.at += digits + len(op)
			return rest[:digits] + op
		}
	}
	return ""
}

// word reads a word up to a blank or an operator outside of quotes.
func (p *shell) word(c *command, depth int) word {
	w := word{offset: p.at}
	var text strings.Builder
	for p.at < len(p.text) {
		ch := p.text[p.at]
		if strings.ContainsRune(" \t\r\n;|&()<>", rune(ch)) && !p.substitutes() {
			if ch == '(' && strings.HasSuffix(p.text[w.offset:p.at], "=") {
				p.array(&text)
				continue
			}
			break
		}
		switch ch {
		case '`':
			if c.by == "`" { // the end of the substitution that the command is in
				w.raw, w.text = p.text[w.offset:p.at], text.String()
				return w
			}
			p.piece(c, &w, &text, depth)
		case '\'':
			p.single(&text)
		case '"':
			p.at++
			p.double(c, &w, &text, depth)
		default:
			p.piece(c, &w, &text, depth)
		}
	}
	if p.at == w.offset { // an operator where a word should be
		p.at = min(p.at+1, len(p.text))
	}
	w.raw, w.text = p.text[w.offset:p.at], text.String()
	return w
}

// array skips the list of an array's assignment, as text.
func (p *shell) array(text *strings.Builder) {
	end := strings.IndexByte(p.text[p.at:], ')')
	if end < 0 {
		end = len(p.text) - p.at - 1
	}
	text.WriteString(p.text[p.at : p.at+end+1])
	p.at += end + 1
}

// substitutes says whether <( or >( stands here.
func (p *shell) substitutes() bool {
	rest := p.text[p.at:]
	return strings.HasPrefix(rest, "<(") || strings.HasPrefix(rest, ">(")
}

func (p *shell) single(text *strings.Builder) {
	p.at++
	end := strings.IndexByte(p.text[p.at:], '\'')
	if end < 0 {
		end = len(p.text) - p.at
	}
	text.WriteString(p.text[p.at : p.at+end])
	p.at = min(p.at+end+1, len(p.text))
}

func (p *shell) double(c *command, w *word, text *strings.Builder, depth int) {
	for p.at < len(p.text) {
		if p.text[p.at] == '"' {
			p.at++
			return
		}
		p.piece(c, w, text, depth)
	}
}

// piece reads a character, an escape, an expression, a variable or a
// substitution.
func (p *shell) piece(c *command, w *word, text *strings.Builder, depth int) {
	rest := p.text[p.at:]
	switch {
	case strings.HasPrefix(rest, "\\\n"):
		p.at += 2
	case rest[0] == '\\' && len(rest) > 1:
		text.WriteByte(rest[1])
		p.at += 2
	case strings.HasPrefix(rest, "${{"):
		size := len(rest)
		if end, _ := parseExpression(rest[3:]); end >= 0 {
			size = 3 + end
		}
		text.WriteString(rest[:size])
		p.at += size
	case strings.HasPrefix(rest, "$((") && strings.Contains(rest, "))"):
		size := strings.Index(rest, "))") + 2
		text.WriteString(rest[:size])
		p.at += size
	case depth < deepest && (strings.HasPrefix(rest, "$(") || strings.HasPrefix(rest, "<(") || strings.HasPrefix(rest, ">(")):
		p.substitution(c, text, rest[:2], depth)
	case depth < deepest && rest[0] == '`' && c.by != "`":
		p.substitution(c, text, "`", depth)
	case rest[0] == '$':
		name, size := variableName(rest)
		if name != "" {
			w.variables = append(w.variables, name)
		}
		text.WriteString(rest[:size])
		p.at += size
	default:
		text.WriteByte(rest[0])
		p.at++
	}
}

func (p *shell) substitution(c *command, text *strings.Builder, by string, depth int) {
	start := p.at
	p.at += len(by)
	c.inner = append(c.inner, p.list(c, by, depth+1)...)
	text.WriteString(p.text[start:p.at])
}

// variableName reads $NAME, ${NAME and PowerShell's $env:NAME.
func variableName(text string) (name string, size int) {
	at := 1
	if strings.HasPrefix(text[at:], "{") {
		at++
	}
	if strings.HasPrefix(text[at:], "#") || strings.HasPrefix(text[at:], "!") {
		at++
	}
	if rest := text[at:]; len(rest) > 4 && strings.EqualFold(rest[:4], "env:") {
		at += 4
	}
	start := at
	for at < len(text) && (text[at] == '_' || text[at] >= '0' && text[at] <= '9' || text[at]|0x20 >= 'a' && text[at]|0x20 <= 'z') {
		at++
	}
	return text[start:at], at
}

// documents reads the here-documents that a line has begun.
func (p *shell) documents() {
	for _, h := range p.heres {
		start := p.at
		for p.at < len(p.text) {
			line, _, _ := strings.Cut(p.text[p.at:], "\n")
			end := min(p.at+len(line)+1, len(p.text))
			bare := strings.TrimSuffix(line, "\r")
			if h.dash {
				bare = strings.TrimLeft(bare, "\t")
			}
			if bare == h.until {
				h.of.body = p.hereWord(start, p.at, h.raw)
				p.at = end
				break
			}
			p.at = end
			h.of.body = p.hereWord(start, p.at, h.raw)
		}
	}
	p.heres = nil
}

func (p *shell) hereWord(start, end int, raw bool) word {
	w := word{raw: p.text[start:end], text: p.text[start:end], offset: start}
	for i := 0; !raw && i < len(w.raw); i++ {
		if w.raw[i] == '$' {
			if name, _ := variableName(w.raw[i:]); name != "" {
				w.variables = append(w.variables, name)
			}
		}
	}
	return w
}
