package trust

import (
	"regexp"
	"strings"
)

// symbol of a pattern: a rune, or one of the wildcards, which no rune equals.
type symbol rune

const (
	anyRun symbol = -1 // *
	anyOne symbol = -2 // ?
)

// pattern is a text with wildcards.
type pattern []symbol

// match compares the whole of s. It backs up to the last star alone, so that
// time is bounded by the product of both lengths.
func (p pattern) match(s string) bool {
	text := []rune(s)
	i, j, star, mark := 0, 0, -1, 0
	for i < len(text) {
		switch {
		case j < len(p) && p[j] == anyRun:
			star, mark = j, i
			j++
		case j < len(p) && (p[j] == anyOne || p[j] == symbol(text[i])):
			i++
			j++
		case star >= 0:
			mark++
			i, j = mark, star+1
		default:
			return false
		}
	}
	for j < len(p) && p[j] == anyRun {
		j++
	}
	return j == len(p)
}

// variables are the values that policy variables stand for; nil where the
// policy's version knows none (2008-10-17).
type variables map[string][]string

// variable is ${key}, or ${key, 'default'}.
var variable = regexp.MustCompile(`\$\{([^{}]*)\}`)

// compile makes a pattern of a policy's text. A variable's value is literal,
// wildcards in it included; one that has no value, or several, makes the text
// match nothing (ok is false).
func (v variables) compile(text string, wildcards bool) (p pattern, ok bool) {
	if v == nil {
		return literal(nil, text, wildcards), true
	}
	for {
		at := variable.FindStringSubmatchIndex(text)
		if at == nil {
			return literal(p, text, wildcards), true
		}
		p = literal(p, text[:at[0]], wildcards)
		value, ok := v.value(text[at[2]:at[3]])
		if !ok {
			return nil, false
		}
		p = literal(p, value, false)
		text = text[at[1]:]
	}
}

func literal(p pattern, text string, wildcards bool) pattern {
	for _, r := range text {
		switch {
		case wildcards && r == '*':
			p = append(p, anyRun)
		case wildcards && r == '?':
			p = append(p, anyOne)
		default:
			p = append(p, symbol(r))
		}
	}
	return p
}

func (v variables) value(name string) (string, bool) {
	switch name {
	case "*", "?", "$":
		return name, true
	}
	name, otherwise, hasDefault := strings.Cut(name, ",")
	values := v[strings.ToLower(strings.TrimSpace(name))]
	if len(values) == 1 {
		return values[0], true
	}
	otherwise = strings.TrimSpace(otherwise)
	if hasDefault && len(values) == 0 && len(otherwise) >= 2 && strings.HasPrefix(otherwise, "'") && strings.HasSuffix(otherwise, "'") {
		return otherwise[1 : len(otherwise)-1], true
	}
	return "", false
}

// arnMatch compares ARNs part by part: a wildcard does not reach over a colon,
// but in the last part, the resource, where colons are text.
func arnMatch(got, wanted string, vars variables) bool {
	gotParts, wantedParts := strings.SplitN(got, ":", 6), splitARN(wanted)
	if len(gotParts) != 6 || len(wantedParts) != 6 {
		return false
	}
	for i, part := range wantedParts {
		p, ok := vars.compile(part, true)
		if !ok || !p.match(gotParts[i]) {
			return false
		}
	}
	return true
}

// splitARN splits a pattern at its first five colons, those within ${…} aside.
func splitARN(s string) []string {
	var parts []string
	start, depth := 0, 0
	for i := 0; i < len(s) && len(parts) < 5; i++ {
		switch {
		case strings.HasPrefix(s[i:], "${"):
			depth++
		case s[i] == '}' && depth > 0:
			depth--
		case s[i] == ':' && depth == 0:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
