package config

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// credentialPatterns are the shapes of credentials that carry their own mark
// (security.md, C09). Values without one, such as an AWS secret key, are
// known by the name of their variable alone.
var credentialPatterns = []struct {
	what    string
	pattern *pattern.Pattern
}{
	{"an AWS access key", pattern.New(`\b(AKIA[A-Z0-9]{7,}|ASIA[A-Z0-9]{16})\b`)},
	{"a GitHub token", pattern.New(`\b(gh[pousr]_[A-Za-z0-9]{6,}|github_pat_[A-Za-z0-9_]{6,})`)},
	{"a JSON web token", pattern.New(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}`)},
	{"a Slack token", pattern.New(`\bxox[abeoprs]-[A-Za-z0-9-]{10,}`)},
	{"an API key", pattern.New(`\bsk-(ant|proj|live|test)-[A-Za-z0-9_-]{10,}|\b[sr]k_live_[A-Za-z0-9]{10,}|\bAIza[A-Za-z0-9_-]{35}`)},
}

var pemBegin = pattern.New(`-----BEGIN([A-Z0-9 ]*)`)

// credentialIn says what kind of credential a text seems to hold, "" for none.
func credentialIn(text string) string {
	for _, c := range credentialPatterns {
		if c.pattern.MatchString(text) {
			return c.what
		}
	}
	for _, m := range pemBegin.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(m[1], "CERTIFICATE") && !strings.Contains(m[1], "PUBLIC KEY") {
			return "a private key"
		}
	}
	return ""
}

// isCredentialName tells the variables that carry AWS credentials.
func isCredentialName(name string) bool {
	switch strings.ToUpper(name) {
	case "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN":
		return true
	}
	return false
}

// quote makes a value fit for a message: one line, short, no control
// characters, no credentials.
func quote(text string) string {
	if credentialIn(text) != "" {
		return "(hidden)"
	}
	const limit = 60
	if utf8.RuneCountInString(text) > limit {
		text = string([]rune(text)[:limit]) + "…"
	}
	return strconv.Quote(text)
}
