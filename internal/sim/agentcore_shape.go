package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

// document is one of AgentCore's structures as raw JSON: members that this
// program has never heard of stay in it.
type document = map[string]json.RawMessage

// fieldError is one entry of a ValidationException's fieldList.
type fieldError struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

// check collects what is wrong with a request, as AWS does: all at once.
type check struct {
	errors []fieldError
}

// fail records a broken constraint in AWS's words.
func (c *check) fail(path string, raw json.RawMessage, constraint string) {
	value := strings.Trim(string(raw), `"`)
	c.add(path, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", value, path, constraint))
}

func (c *check) add(path, message string) {
	c.errors = append(c.errors, fieldError{Name: path, Message: message})
}

// err is the ValidationException, or nil if nothing is wrong.
func (c *check) err() error {
	if len(c.errors) == 0 {
		return nil
	}
	messages := make([]string, len(c.errors))
	for i, e := range c.errors {
		messages[i] = e.Message
	}
	noun := "errors"
	if len(messages) == 1 {
		noun = "error"
	}
	f := invalid("FieldValidationFailed", "%d validation %s detected: %s", len(messages), noun, strings.Join(messages, "; "))
	f.Fields["fieldList"] = c.errors
	return f
}

// invalid is AgentCore's ValidationException.
func invalid(reason, format string, args ...any) *fault {
	f := faultf(http.StatusBadRequest, "ValidationException", format, args...)
	f.Fields = map[string]any{"reason": reason}
	return f
}

// invalidField is a ValidationException about one member.
func invalidField(name, format string, args ...any) *fault {
	f := invalid("FieldValidationFailed", format, args...)
	f.Fields["fieldList"] = []fieldError{{Name: name, Message: f.Message}}
	return f
}

// shape checks one value.
type shape func(c *check, path string, raw json.RawMessage)

// text is a string of least to most characters that matches a pattern as a whole;
// an empty pattern matches everything.
func text(least, most int, pattern string) shape {
	var re *regexp.Regexp
	if pattern != "" {
		re = regexp.MustCompile(`^(?s:` + pattern + `)$`)
	}
	return func(c *check, path string, raw json.RawMessage) {
		var s string
		if !into(c, path, raw, &s, "a string") {
			return
		}
		switch n := utf8.RuneCountInString(s); {
		case n < least:
			c.fail(path, raw, fmt.Sprintf("Member must have length greater than or equal to %d", least))
		case n > most:
			c.add(path, fmt.Sprintf("Value at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", path, most))
		case re != nil && !re.MatchString(s):
			c.fail(path, raw, "Member must satisfy regular expression pattern: "+pattern)
		}
	}
}

// oneOf is an enumeration.
func oneOf(values ...string) shape {
	return func(c *check, path string, raw json.RawMessage) {
		var s string
		if !into(c, path, raw, &s, "a string") {
			return
		}
		for _, v := range values {
			if s == v {
				return
			}
		}
		c.fail(path, raw, fmt.Sprintf("Member must satisfy enum value set: [%s]", strings.Join(values, ", ")))
	}
}

// number is an integer from least to most.
func number(least, most int) shape {
	return func(c *check, path string, raw json.RawMessage) {
		var n int
		if !into(c, path, raw, &n, "an integer") {
			return
		}
		if n < least {
			c.fail(path, raw, fmt.Sprintf("Member must have value greater than or equal to %d", least))
		}
		if n > most {
			c.fail(path, raw, fmt.Sprintf("Member must have value less than or equal to %d", most))
		}
	}
}

func boolean(c *check, path string, raw json.RawMessage) {
	var b bool
	into(c, path, raw, &b, "a boolean")
}

// list has least to most elements.
func list(least, most int, element shape) shape {
	return func(c *check, path string, raw json.RawMessage) {
		var values []json.RawMessage
		if !into(c, path, raw, &values, "a list") {
			return
		}
		if len(values) < least || len(values) > most {
			c.add(path, fmt.Sprintf("Value at '%s' failed to satisfy constraint: Member must have length between %d and %d", path, least, most))
		}
		for i, v := range values {
			element(c, fmt.Sprintf("%s.%d.member", path, i+1), v)
		}
	}
}

// dictionary has at most that many entries.
func dictionary(most int, key, value shape) shape {
	return func(c *check, path string, raw json.RawMessage) {
		var values document
		if !into(c, path, raw, &values, "a map") {
			return
		}
		if len(values) > most {
			c.add(path, fmt.Sprintf("Value at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", path, most))
		}
		for _, name := range sortedKeys(values) {
			quoted, err := json.Marshal(name)
			if err == nil {
				key(c, path, quoted)
			}
			// the value of an environment variable is nobody's business: its
			// shapes set no pattern, so no message quotes it
			value(c, path+"."+name, values[name])
		}
	}
}

// members of a structure; a name with a star is required. Members that are not
// listed are kept unchecked.
type members map[string]shape

func structure(m members) shape {
	return func(c *check, path string, raw json.RawMessage) {
		var values document
		if into(c, path, raw, &values, "a structure") {
			m.check(c, path, values)
		}
	}
}

func (m members) check(c *check, path string, values document) {
	for _, name := range sortedKeys(m) {
		plain := strings.TrimSuffix(name, "*")
		full := strings.TrimPrefix(path+"."+plain, ".")
		raw, ok := values[plain]
		if ok && isNull(raw) {
			ok = false
		}
		if ok {
			m[name](c, full, raw)
		} else if plain != name {
			c.add(full, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", full))
		}
	}
}

// union is a structure of which exactly one member is set, and that one known:
// what a new kind of it would mean can't be guessed.
func union(m members) shape {
	of := structure(m)
	return func(c *check, path string, raw json.RawMessage) {
		var values document
		if !into(c, path, raw, &values, "a structure") {
			return
		}
		known := 0
		for name := range values {
			if m[name] != nil || m[name+"*"] != nil {
				known++
			}
		}
		if known != 1 || len(values) != 1 {
			c.add(path, fmt.Sprintf("Value at '%s' failed to satisfy constraint: exactly one member of the union must be set", path))
			return
		}
		of(c, path, raw)
	}
}

func into(c *check, path string, raw json.RawMessage, v any, kind string) bool {
	if err := json.Unmarshal(raw, v); err != nil || isNull(raw) {
		c.add(path, fmt.Sprintf("Value at '%s' must be %s", path, kind))
		return false
	}
	return true
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
