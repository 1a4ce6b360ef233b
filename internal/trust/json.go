package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of a document. IAM's own are lower (10,240 characters).
const (
	maxDocument = 256 << 10
	maxDepth    = 16
)

// kind of a JSON value.
type kind int

const (
	scalar kind = iota // string, number, boolean: text holds it
	null
	object
	array
)

// node is a JSON value that knows where it stands in the document.
type node struct {
	kind    kind
	text    string // scalar
	quoted  bool   // scalar: it is a string
	path    string // e.g. Statement[0].Condition.StringEquals
	offset  int    // where it begins
	members []member
	items   []node
}

type member struct {
	name   string
	offset int
	value  node
}

// tree reads a document. Every member is kept, repeated ones too.
func tree(doc []byte) (node, error) {
	if len(doc) > maxDocument {
		return node{}, fmt.Errorf("the document is larger than %d bytes", maxDocument)
	}
	if !utf8.Valid(doc) {
		return node{}, errors.New("the document is not UTF-8")
	}
	s := scanner{Decoder: json.NewDecoder(bytes.NewReader(doc)), doc: doc}
	s.UseNumber()
	root, err := s.value("", 0)
	if err != nil {
		return node{}, positioned(doc, int(s.InputOffset()), err)
	}
	if _, offset, err := s.next(); !errors.Is(err, io.EOF) {
		return node{}, positioned(doc, offset, errors.New("something follows the document"))
	}
	return root, nil
}

// scanner reads tokens and knows where they begin.
type scanner struct {
	*json.Decoder
	doc []byte
}

func (s scanner) next() (token json.Token, offset int, err error) {
	for offset = int(s.InputOffset()); offset < len(s.doc) && strings.IndexByte(" \t\r\n,:", s.doc[offset]) >= 0; {
		offset++
	}
	token, err = s.Token()
	return token, offset, err
}

func (s scanner) value(path string, depth int) (node, error) {
	token, offset, err := s.next()
	if errors.Is(err, io.EOF) {
		return node{}, io.ErrUnexpectedEOF
	}
	if err != nil {
		return node{}, err
	}
	n := node{path: path, offset: offset}
	switch token := token.(type) {
	case nil:
		n.kind = null
	case string:
		n.text, n.quoted = token, true
	case json.Delim:
		if depth == maxDepth {
			return n, fmt.Errorf("nested deeper than %d", maxDepth)
		}
		if token == '{' {
			return s.object(n, depth)
		}
		return s.array(n, depth)
	default:
		n.text = fmt.Sprint(token)
	}
	return n, nil
}

func (s scanner) object(n node, depth int) (node, error) {
	n.kind = object
	for s.More() {
		token, offset, err := s.next()
		if err != nil {
			return n, err
		}
		name, ok := token.(string)
		if !ok {
			return n, fmt.Errorf("%v stands where a member's name should", token)
		}
		m := member{name: name, offset: offset}
		if m.value, err = s.value(strings.TrimPrefix(n.path+"."+name, "."), depth+1); err != nil {
			return n, err
		}
		n.members = append(n.members, m)
	}
	_, err := s.Token() // the closing brace
	return n, err
}

func (s scanner) array(n node, depth int) (node, error) {
	n.kind = array
	for s.More() {
		item, err := s.value(fmt.Sprintf("%s[%d]", n.path, len(n.items)), depth+1)
		if err != nil {
			return n, err
		}
		n.items = append(n.items, item)
	}
	_, err := s.Token() // the closing bracket
	return n, err
}

// strings reads a scalar or a list of scalars as text: IAM takes "x" and ["x"]
// alike, and true or 3600 where it means "true" or "3600".
func (n node) strings() ([]string, error) {
	items := n.items
	if n.kind == scalar {
		items = []node{n}
	} else if n.kind != array {
		return nil, fmt.Errorf("%s is neither a value nor a list of values", n.path)
	}
	values := make([]string, 0, len(items))
	for _, item := range items {
		if item.kind != scalar {
			return nil, fmt.Errorf("%s is no plain value", item.path)
		}
		values = append(values, item.text)
	}
	return values, nil
}

// positioned adds line and column, which count from 1, to an error.
func positioned(doc []byte, offset int, err error) error {
	line, column := position(doc, offset)
	return fmt.Errorf("line %d, column %d: %w", line, column, err)
}

func position(doc []byte, offset int) (line, column int) {
	before := doc[:min(offset, len(doc))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}
