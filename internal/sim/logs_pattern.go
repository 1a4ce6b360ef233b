package sim

import (
	"strings"
)

// maxLogPattern is the longest filterPattern.
const maxLogPattern = 1024

// logPattern is a filter pattern for unstructured events: terms that all have
// to be there, ?terms of which one has to be, -terms that must not be. Terms
// are parts of words and know upper from lower case; a quoted one is a phrase.
type logPattern []logTerm

type logTerm struct {
	text string
	kind byte // 0, '?' or '-'
}

// parseLogPattern reads a pattern. JSON ({ … }), space-delimited ([ … ]) and
// regular-expression (%…%) patterns are refused: a pattern that is read as
// something else would find nothing, silently.
func parseLogPattern(pattern string) (logPattern, error) {
	if len(pattern) > maxLogPattern {
		return nil, badParameter("1 validation error detected: Value at 'filterPattern' failed to satisfy constraint: Member must have length less than or equal to %d", maxLogPattern)
	}
	rest := strings.TrimSpace(pattern)
	if rest != "" && strings.ContainsRune("{[%", rune(rest[0])) {
		return nil, badParameter("Invalid filter pattern: the local cloud knows terms, \"phrases\", ?any and -not; it does not know %q", pattern)
	}
	var p logPattern
	for rest != "" {
		var t logTerm
		var ok bool
		if t, rest, ok = nextTerm(rest); !ok {
			return nil, badParameter("Invalid filter pattern: %q", pattern)
		}
		p = append(p, t)
	}
	return p, nil
}

// nextTerm cuts the first term off.
func nextTerm(s string) (t logTerm, rest string, ok bool) {
	if s[0] == '?' || s[0] == '-' {
		t.kind, s = s[0], s[1:]
	}
	if strings.HasPrefix(s, `"`) {
		t.text, rest, ok = quotedTerm(s[1:])
	} else {
		end := strings.IndexAny(s, " \t\n")
		if end < 0 {
			end = len(s)
		}
		t.text, rest, ok = s[:end], s[end:], !strings.Contains(s[:end], `"`)
	}
	return t, strings.TrimSpace(rest), ok && t.text != ""
}

// quotedTerm reads to the closing quote; \" is a quote inside.
func quotedTerm(s string) (term, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

// match says whether a message fits. AWS ignores ?terms beside terms that are
// required; so does this.
func (p logPattern) match(message string) bool {
	anyAsked, anyFound, required := false, false, false
	for _, t := range p {
		found := strings.Contains(message, t.text)
		switch t.kind {
		case '?':
			anyAsked, anyFound = true, anyFound || found
		case '-':
			if found {
				return false
			}
		default:
			required = true
			if !found {
				return false
			}
		}
	}
	return required || !anyAsked || anyFound
}
