package trust

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// symbol of a pattern: a rune, or one of the wildcards, which no rune equals.
type symbol rune

const (
	anyRun  symbol = -1 - iota // *
	anyOne                     // ?
	partRun                    // * that does not reach over a colon
	partOne                    // ? likewise
)

func (s symbol) repeats() bool { return s == anyRun || s == partRun }

func (s symbol) takes(r rune) bool {
	switch s {
	case anyRun, anyOne:
		return true
	case partRun, partOne:
		return r != ':'
	default:
		return s == symbol(r)
	}
}

// pattern is a text with wildcards.
type pattern []symbol

// match compares the whole of s. It follows every way through the pattern at
// once, so that time is bounded by the product of both lengths.
func (p pattern) match(s string) bool {
	at, next := make([]bool, len(p)+1), make([]bool, len(p)+1) // places that s may have come to
	at[0] = true
	for _, r := range s {
		p.skipRuns(at)
		clear(next)
		for j, symbol := range p {
			switch {
			case !at[j] || !symbol.takes(r):
			case symbol.repeats():
				next[j] = true
			default:
				next[j+1] = true
			}
		}
		at, next = next, at
	}
	p.skipRuns(at)
	return at[len(p)]
}

// skipRuns lets each * stand for nothing.
func (p pattern) skipRuns(at []bool) {
	for j, symbol := range p {
		if at[j] && symbol.repeats() {
			at[j+1] = true
		}
	}
}

// folded returns the pattern without upper case.
func (p pattern) folded() pattern {
	for i, s := range p {
		if s > 0 {
			p[i] = symbol(unicode.ToLower(rune(s)))
		}
	}
	return p
}

// reach says what wildcards in a text match.
type reach int

const (
	nothing  reach = iota // they are plain text
	anything              // any text
	onePart               // any text without a colon
)

// variables are the values that policy variables stand for; nil where the
// policy's version knows none (2008-10-17).
type variables map[string][]string

// variable is ${key}, or ${key, 'default'}.
var variable = regexp.MustCompile(`\$\{([^{}]*)\}`)

// compile makes a pattern of a policy's text. A variable's value is literal,
// wildcards in it included; one that has no value, or several, makes the text
// match nothing (ok is false).
func (v variables) compile(text string, wildcards reach) (p pattern, ok bool) {
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
		p = literal(p, value, nothing)
		text = text[at[1]:]
	}
}

func literal(p pattern, text string, wildcards reach) pattern {
	run, one := anyRun, anyOne
	if wildcards == onePart {
		run, one = partRun, partOne
	}
	for _, r := range text {
		switch {
		case wildcards != nothing && r == '*':
			p = append(p, run)
		case wildcards != nothing && r == '?':
			p = append(p, one)
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

// arnMatch compares ARNs as ArnLike does, part by part: a wildcard does not
// reach over a colon, but in the last part, the resource, where colons are text.
func arnMatch(got, wanted string, vars variables) bool {
	gotParts, wantedParts := strings.SplitN(got, ":", 6), splitARN(wanted)
	if len(gotParts) != 6 || len(wantedParts) != 6 {
		return false
	}
	for i, part := range wantedParts {
		p, ok := vars.compile(part, anything)
		if !ok || !p.match(gotParts[i]) {
			return false
		}
	}
	return true
}

// resourceMatch compares ARNs as the Resource element does: there, a * that ends
// a part reaches over colons, so that arn:aws:iam::* is all of IAM (IAM user
// guide: JSON policy elements, Resource).
func resourceMatch(got, wanted string, vars variables) bool {
	var whole pattern
	parts := splitARN(wanted)
	for i, part := range parts {
		if i > 0 {
			whole = append(whole, ':')
		}
		wildcards := onePart
		if i == 5 {
			wildcards = anything
		}
		head, reaches := strings.CutSuffix(part, "*")
		p, ok := vars.compile(head, wildcards)
		if !ok {
			return false
		}
		whole = append(whole, p...)
		if reaches {
			whole = append(whole, anyRun)
		}
	}
	return whole.match(got)
}

// checkResource refuses what is no pattern of ARNs: IAM takes "*" and ARNs
// alone, and what it makes of an ARN cut short is not documented.
func checkResource(text string) error {
	reaches := strings.Contains(text+":", "*:")
	if text == "*" || strings.HasPrefix(text, "arn:") && (reaches || len(splitARN(text)) == 6) {
		return nil
	}
	return fmt.Errorf("%q is neither \"*\" nor in ARN format", text)
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
