package check

import (
	"path"
	"slices"
	"strings"
)

// prefix says whether a word stands before the command proper.
func prefix(text string) bool {
	return slices.Contains([]string{"if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "sudo", "exec", "command",
		"nohup", "builtin", "&"}, text)
}

// arguments are a command's words from the program on: keywords, assignments
// and wrappers before it are left out.
func (c *command) arguments() []word {
	words := c.words
	for len(words) > 0 {
		first := words[0].text
		wraps := first == "env" && len(words) > 1 && strings.Contains(words[1].text, "=")
		option := len(words) > 1 && len(words) < len(c.words) && strings.HasPrefix(first, "-") // sudo -E
		if !prefix(first) && !assigns(first) && !wraps && !option {
			break
		}
		words = words[1:]
	}
	return words
}

// assigns says whether a word is NAME=value.
func assigns(text string) bool {
	name, _, ok := strings.Cut(text, "=")
	name = strings.TrimSuffix(name, "+")
	if !ok || name == "" || name[0] >= '0' && name[0] <= '9' {
		return false
	}
	for _, r := range name {
		if r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') {
			return false
		}
	}
	return true
}

// assignments are the variables that a command sets, with what to.
func (c *command) assignments() map[string]word {
	set := map[string]word{}
	words := c.words
	if a := c.arguments(); len(a) > 0 && slices.Contains([]string{"export", "declare", "local", "readonly", "typeset"}, a[0].text) {
		words = a[1:]
	} else if len(a) > 0 {
		words = c.words[:len(c.words)-len(a)]
	}
	for _, w := range words {
		if assigns(w.text) {
			name, value, _ := strings.Cut(w.text, "=")
			w.text = value
			set[strings.TrimSuffix(name, "+")] = w
		}
	}
	return set
}

// program is the command's name without its directory.
func (c *command) program() string {
	a := c.arguments()
	if len(a) == 0 {
		return ""
	}
	return strings.TrimSuffix(path.Base(a[0].text), ".exe")
}

// first is the program's word, or the first assignment where nothing but
// assignments stands there.
func (c *command) first() word {
	if a := c.arguments(); len(a) > 0 {
		return a[0]
	}
	return c.words[0]
}

// has says whether a word stands among the arguments.
func (c *command) has(text string) bool {
	a := c.arguments()
	return len(a) > 1 && slices.ContainsFunc(a[1:], func(w word) bool { return w.text == text })
}

// flag is the value of a flag, given as --name value or --name=value.
func (c *command) flag(name string) (word, bool) {
	words := c.arguments()
	for i, w := range words {
		if w.text == name {
			if i+1 < len(words) {
				return words[i+1], true
			}
			return word{offset: w.offset}, true
		}
		if value, ok := strings.CutPrefix(w.text, name+"="); ok {
			w.text = value
			return w, true
		}
	}
	return word{}, false
}

// captured says whether what a command prints is kept instead of shown.
func (c *command) captured() bool { return c.within != nil }

// expands says whether a word of the command, what it is redirected to
// included, expands a variable.
func (c *command) expands(variable string) bool {
	return slices.ContainsFunc(c.all(), func(w word) bool { return slices.Contains(w.variables, variable) })
}

// all are the command's words, those of its redirections and its
// here-document.
func (c *command) all() []word {
	words := slices.Clone(c.words)
	for _, r := range c.redirects {
		words = append(words, r.target)
	}
	if c.body.raw != "" {
		words = append(words, c.body)
	}
	return words
}
