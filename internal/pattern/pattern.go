// Package pattern compiles regular expressions when they are first used. A
// command starts without the hundreds that the local cloud and slipway.yaml
// have: compiling them all took a quarter of its start. It refuses nothing: an
// expression that does not compile panics at its first use, as
// regexp.MustCompile does at once.
package pattern

import (
	"regexp"
	"sync"
)

// Pattern is a regular expression. Make one with New.
type Pattern struct {
	compiled func() *regexp.Regexp
}

// New returns the pattern of an expression in the syntax of package regexp.
func New(expression string) *Pattern {
	return &Pattern{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })}
}

// MatchString is that of regexp.Regexp.
func (p *Pattern) MatchString(s string) bool { return p.compiled().MatchString(s) }

// FindStringSubmatch is that of regexp.Regexp.
func (p *Pattern) FindStringSubmatch(s string) []string { return p.compiled().FindStringSubmatch(s) }

// FindString is that of regexp.Regexp.
func (p *Pattern) FindString(s string) string { return p.compiled().FindString(s) }

// FindAllStringSubmatch is that of regexp.Regexp.
func (p *Pattern) FindAllStringSubmatch(s string, n int) [][]string {
	return p.compiled().FindAllStringSubmatch(s, n)
}
