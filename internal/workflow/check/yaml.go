package check

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// node is a YAML value, with aliases followed. The zero node is one that is
// not there: what is asked of it is not there either.
type node struct{ *yaml.Node }

// follow resolves an alias. GitHub takes anchors since September 2025, and
// knows no merge keys.
func follow(n *yaml.Node) node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode; i++ {
		if i > 10 {
			return node{}
		}
		n = n.Alias
	}
	return node{n}
}

func (n node) is(kind yaml.Kind) bool { return n.Node != nil && n.Kind == kind }
func (n node) ok() bool               { return n.Node != nil }

// entry is a key and its value.
type entry struct{ key, value node }

func (n node) entries() []entry {
	if !n.is(yaml.MappingNode) {
		return nil
	}
	var all []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		all = append(all, entry{follow(n.Content[i]), follow(n.Content[i+1])})
	}
	return all
}

// items are those of a list; a single value is a list of itself.
func (n node) items() []node {
	switch {
	case n.is(yaml.SequenceNode):
		var all []node
		for _, c := range n.Content {
			all = append(all, follow(c))
		}
		return all
	case n.is(yaml.ScalarNode) && n.Tag != "!!null":
		return []node{n}
	}
	return nil
}

// at returns the key and the value of a mapping's entry.
func (n node) at(key string) entry {
	for _, e := range n.entries() {
		if e.key.text() == key {
			return e
		}
	}
	return entry{}
}

func (n node) get(key string) node { return n.at(key).value }

// fold is get for names whose case does not matter: inputs of actions.
func (n node) fold(key string) node {
	for _, e := range n.entries() {
		if strings.EqualFold(e.key.text(), key) {
			return e.value
		}
	}
	return node{}
}

// text is a scalar's text, "" for anything else.
func (n node) text() string {
	if !n.is(yaml.ScalarNode) || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

// texts are those of a list, or of a single value.
func (n node) texts() []string {
	var all []string
	for _, item := range n.items() {
		all = append(all, item.text())
	}
	return all
}

// scalars calls yield with every scalar that stands below a node, where it is
// written: aliases are not followed.
func scalars(n *yaml.Node, yield func(node)) {
	if n.Kind == yaml.ScalarNode {
		yield(node{n})
	}
	for _, c := range n.Content {
		scalars(c, yield)
	}
}

// place is where something stands.
type place struct{ line, column int }

func (n node) place() place {
	if n.Node == nil {
		return place{1, 1}
	}
	return place{n.Line, n.Column}
}

// within finds where a piece of a scalar's text stands in the file: escapes
// and folded lines aside, at its own line and column.
func (d *document) within(n node, offset int, piece string) place {
	text := n.text()
	piece, _, _ = strings.Cut(piece, "\n")
	if !n.ok() || piece == "" || offset < 0 || offset > len(text) {
		return n.place()
	}
	before := strings.Count(text[:offset], piece)
	for i := n.Line - 1; i >= 0 && i < len(d.lines); i++ {
		line, from := d.lines[i], 0
		if i == n.Line-1 {
			from = byteOf(line, n.Column)
		}
		for {
			at := strings.Index(line[from:], piece)
			if at < 0 {
				break
			}
			if before == 0 {
				return place{i + 1, utf8.RuneCountInString(line[:from+at]) + 1}
			}
			before--
			from += at + len(piece)
		}
	}
	return n.place()
}

// byteOf is where a line's column begins, in bytes.
func byteOf(line string, column int) int {
	at := 0
	for column > 1 && at < len(line) {
		_, size := utf8.DecodeRuneInString(line[at:])
		at += size
		column--
	}
	return at
}
