package config

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// value is a node of the file with the place that it has there.
type value struct {
	node *yaml.Node
	key  *yaml.Node // nil at the top and in lists
	path string
}

// position is a place in the file, from 1.
type position struct{ line, column int }

// reader walks the nodes of a file and gathers the problems it meets.
type reader struct {
	name     string
	problems Problems
	muted    map[*yaml.Node]bool
	places   map[string]position // of each value that was read, by path
	keys     map[string]position // of each key, by path

	resolving   *resolving         // nil where expressions keep their places
	expressions bool               // there are some
	origins     map[string]string  // of values that came from expressions, by path: as written
	unknown     []string           // paths of values that are empty: their expressions are not resolved
	pending     map[string]Problem // parameters that are still to be read, and a place that needs each
	asked       []namedAt          // the environment variables that expressions name
	unset       []string           // those that have no value, where that may be
}

// namedAt is an environment variable that an expression names, and the path of
// the value.
type namedAt struct{ path, name string }

func newReader(name string) *reader {
	return &reader{name: name, muted: map[*yaml.Node]bool{},
		places: map[string]position{}, keys: map[string]position{},
		origins: map[string]string{}, pending: map[string]Problem{}}
}

func (r *reader) report(line, column int, path, hint, message string) {
	if from := r.origins[path]; from != "" {
		if m := expressionShape.FindString(from); m != from {
			from = quote(from)
		}
		message = "the value of " + from + " " + message
	}
	r.problems = append(r.problems, Problem{File: r.name, Line: line, Column: column,
		Path: path, Message: message, Hint: hint})
}

// problem reports a fault of a value, unless the value is muted.
func (r *reader) problem(v value, hint, format string, args ...any) {
	if !r.muted[v.node] {
		r.report(v.node.Line, v.node.Column, v.path, hint, fmt.Sprintf(format, args...))
	}
}

// quoted is a text of a value for a message. What came from an expression is
// not shown: it may be anything.
func (r *reader) quoted(v value, text string) string { return r.quotedAt(v.path, text) }

func (r *reader) quotedAt(path, text string) string {
	if r.origins[path] != "" {
		return fmt.Sprintf("a text of %d characters", utf8.RuneCountInString(text))
	}
	return quote(text)
}

// missing reports what a mapping lacks, at the key that the mapping belongs to.
func (r *reader) missing(v value, hint, format string, args ...any) {
	at := v.node
	if v.key != nil {
		at = v.key
	}
	r.report(at.Line, at.Column, v.path, hint, fmt.Sprintf(format, args...))
}

// mute reports a fault of a node after which nothing else is said about it.
func (r *reader) mute(n *yaml.Node, path, hint, format string, args ...any) {
	r.muted[n] = true
	r.report(n.Line, n.Column, path, hint, fmt.Sprintf(format, args...))
}

// problemAt reports a fault of the value that was read at path.
func (r *reader) problemAt(path, hint, format string, args ...any) {
	p := r.places[path]
	r.report(p.line, p.column, path, hint, fmt.Sprintf(format, args...))
}

// problemAtKey reports a fault of what the key at path names.
func (r *reader) problemAtKey(path, hint, format string, args ...any) {
	p := r.keys[path]
	r.report(p.line, p.column, path, hint, fmt.Sprintf(format, args...))
}

// entries lists a mapping's values in their order, without those that inspect
// has refused. It reports what is no mapping.
func (r *reader) entries(v value) []value {
	if v.node.Kind != yaml.MappingNode {
		r.problem(v, "", "must be a mapping, not %s", kindOf(v.node))
		return nil
	}
	var out []value
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key, child := v.node.Content[i], v.node.Content[i+1]
		if r.muted[key] {
			continue
		}
		path := keyPath(v.path, key.Value)
		r.places[path] = position{child.Line, child.Column}
		r.keys[path] = position{key.Line, key.Column}
		out = append(out, value{node: child, key: key, path: path})
	}
	return out
}

// fields says which keys a mapping may have, and how each is read.
type fields map[string]func(value)

// object reads a mapping with known keys and reports unknown, empty and
// missing ones.
func (r *reader) object(v value, known fields, required ...string) {
	r.members(v, known, func(child value) {
		if isNull(child.node) {
			r.problem(child, "give it a value or remove the key", "has no value")
			return
		}
		known[child.key.Value](child)
	}, required)
}

// members calls read for each known key of a mapping, nulls included.
func (r *reader) members(v value, known fields, read func(value), required []string) {
	var seen []string
	for _, child := range r.entries(v) {
		name := child.key.Value
		seen = append(seen, name)
		if known[name] == nil {
			r.unknownKey(child, sortedKeys(known))
			continue
		}
		read(child)
	}
	if v.node.Kind != yaml.MappingNode {
		return
	}
	for _, name := range required {
		if !slices.Contains(seen, name) {
			r.missing(v, "", "lacks %s", name)
		}
	}
}

// maxSuggestions bounds the work that a file full of nonsense can make.
const maxSuggestions = 200

func (r *reader) unknownKey(v value, known []string) {
	hint := ""
	if len(r.problems) < maxSuggestions {
		hint = didYouMean(v.key.Value, known)
	}
	r.report(v.key.Line, v.key.Column, v.path, hint, "unknown key")
}

// text reads a string that keeps a rule; "" where it does not.
func (r *reader) text(v value, must rule) string {
	text, ok := r.str(v)
	if !ok {
		return ""
	}
	if !must.ok(text) {
		r.problem(v, "", "must be %s, not %s", must.want, r.quoted(v, text))
		return ""
	}
	return text
}

// str reads any string.
func (r *reader) str(v value) (string, bool) {
	switch {
	case r.muted[v.node]:
		return "", false
	case v.node.Kind != yaml.ScalarNode, isNull(v.node):
		r.problem(v, "", "must be a string, not %s", kindOf(v.node))
		return "", false
	case v.node.Tag != "!!str":
		r.problem(v, "write "+quote(v.node.Value), "must be a quoted string, not %s", kindOf(v.node))
		return "", false
	}
	return v.node.Value, true
}

// choice reads one of some words.
func (r *reader) choice(v value, options ...string) string {
	text := v.node.Value
	if v.node.Kind == yaml.ScalarNode && slices.Contains(options, text) && !r.muted[v.node] {
		return text
	}
	hint := ""
	if s := Suggest(text, options); s != "" {
		hint = "did you mean " + s + "?"
	}
	r.problem(v, hint, "must be %s, not %s", join(options, "or"), shown(v.node))
	return ""
}

// number reads an integer between two bounds.
func (r *reader) number(v value, least, most int) (int, bool) {
	n, err := strconv.Atoi(v.node.Value)
	decimal := v.node.Tag == "!!int" && strconv.Itoa(n) == v.node.Value // not 0755, which YAML reads as octal
	if v.node.Kind != yaml.ScalarNode || !decimal || err != nil || n < least || n > most {
		r.problem(v, "", "must be a whole number from %d to %d, not %s", least, most, shown(v.node))
		return 0, false
	}
	return n, true
}

// items lists a YAML list of least to most items.
func (r *reader) items(v value, least, most int) []value {
	if v.node.Kind != yaml.SequenceNode {
		r.problem(v, "", "must be a list, not %s", kindOf(v.node))
		return nil
	}
	if n := len(v.node.Content); n < least || n > most {
		r.problem(v, "", "must hold %d to %d items, not %d", least, most, n)
		return nil
	}
	out := make([]value, len(v.node.Content))
	for i, n := range v.node.Content {
		out[i] = value{node: n, path: indexPath(v.path, i)}
	}
	return out
}

// texts reads a list of one to most strings that keep a rule, each once.
func (r *reader) texts(v value, most int, must rule) []string {
	var out []string
	for _, item := range r.items(v, 1, most) {
		text := r.text(item, must)
		if text != "" && slices.Contains(out, text) {
			r.problem(item, "", "%s is listed twice", r.quoted(item, text))
		}
		out = append(out, text)
	}
	return out
}

// ids reads AWS ids in any form of list: a YAML list, or a string that
// splitList understands, or a list of such strings.
func (r *reader) ids(v value, must rule) []string {
	if r.muted[v.node] {
		return nil
	}
	parts := []value{v}
	if v.node.Kind == yaml.SequenceNode {
		parts = nil
		for i, n := range v.node.Content {
			parts = append(parts, value{node: n, path: indexPath(v.path, i)})
		}
	}
	var all []string
	for _, part := range parts {
		text, ok := r.str(part)
		if !ok {
			return nil
		}
		ids, err := splitList(text)
		if err != nil {
			r.problem(part, "", "%v", err)
			return nil
		}
		for _, id := range ids {
			if !must.ok(id) && r.origins[part.path] != "" {
				r.problem(part, "", "holds %s; each id must be %s", r.quoted(part, id), must.want)
				return nil
			}
			if !must.ok(id) {
				r.problem(part, "", "each must be %s, not %s", must.want, quote(id))
				return nil
			}
		}
		all = append(all, ids...)
	}
	all = compactList(all)
	if message := checkIDs(all, must); message != "" {
		r.problem(v, "", "%s", message)
		return nil
	}
	return all
}

// The bounds of timeouts: every wait has a deadline.
const (
	minTimeout = time.Second
	maxTimeout = 24 * time.Hour
)

// duration reads a Go duration or a number of seconds.
func (r *reader) duration(v value) time.Duration {
	const want = "must be a duration such as 15m, or seconds"
	if r.muted[v.node] {
		return 0
	}
	if v.node.Kind != yaml.ScalarNode {
		r.problem(v, "", want+", not %s", kindOf(v.node))
		return 0
	}
	text := v.node.Value
	if seconds.MatchString(text) {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || !durationShape.MatchString(text) {
		r.problem(v, "", want+", not %s", quote(v.node.Value))
		return 0
	}
	if d < minTimeout || d > maxTimeout {
		r.problem(v, "", "must be from 1s to 24h, not %s", quote(v.node.Value))
		return 0
	}
	return d
}

var (
	seconds       = pattern.New(`^[0-9]{1,9}$`)
	durationShape = pattern.New(`^([0-9]+(\.[0-9]+)?(ms|h|m|s))+$`)
)

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// isExplicitNull tells null and ~ from a key with nothing after it.
func isExplicitNull(n *yaml.Node) bool { return isNull(n) && n.Value != "" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "null"
	case "!!timestamp":
		return "a date"
	}
	return "a string"
}

// shown is a node for a message: its text, or what it is.
func shown(n *yaml.Node) string {
	switch {
	case n.Kind != yaml.ScalarNode || isNull(n):
		return kindOf(n)
	case n.Tag == "!!str" || len(n.Value) > 60:
		return quote(n.Value)
	}
	return n.Value
}

var plainKey = pattern.New(`^[A-Za-z0-9_-]{1,100}$`)

// keyPath is the path of a mapping's member.
func keyPath(path, key string) string {
	switch {
	case !plainKey.MatchString(key) || credentialIn(key) != "":
		return path + "[" + quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

func indexPath(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}
