package trigger

import (
	"errors"
	"fmt"
	"strings"
)

// Pattern is one line of a filter (GitHub docs: Workflow syntax, "Filter
// pattern cheat sheet"). It matches whole names, and letters by their case.
type Pattern struct {
	text     string
	negative bool
	atoms    []atom
}

// atom is one step through a name: a kind of character, as often as it says.
type atom struct {
	fits func(rune) bool
	loop bool // it may come again
	skip int  // how many atoms may be left out together from here; 0 is none
	fork bool // it is no character: what follows comes next, or is left out
}

// ParsePattern reads a pattern. It refuses what GitHub refuses as broken: a ?
// or + with nothing before it to repeat, and brackets that are not closed or
// hold no range of letters or digits.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: text}
	body, negative := strings.CutPrefix(text, "!")
	if body == "" {
		return p, errors.New("an empty pattern matches nothing")
	}
	p.negative = negative
	r := reader{rest: []rune(body)}
	for len(r.rest) > 0 {
		if err := r.next(); err != nil {
			return p, fmt.Errorf("pattern %q: %w", text, err)
		}
	}
	p.atoms = r.atoms
	return p, nil
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Negative says whether the pattern begins with !, and so excludes.
func (p Pattern) Negative() bool { return p.negative }

func (p Pattern) positive() bool { return !p.negative }

// Match says whether a name is of the pattern, whatever that is for. It takes
// time in proportion to both.
func (p Pattern) Match(name string) bool {
	// The set of atoms that may come next, walked along the name: no pattern
	// makes it go back.
	at := make([]bool, len(p.atoms)+1)
	p.enter(at, 0)
	for _, c := range name {
		next := make([]bool, len(at))
		for i, a := range p.atoms {
			if !at[i] || !a.fits(c) {
				continue
			}
			if a.loop {
				p.enter(next, i)
			}
			p.enter(next, i+1)
		}
		at = next
	}
	return at[len(p.atoms)]
}

// enter adds an atom, and those that follow where it is left out: each once.
func (p Pattern) enter(at []bool, i int) {
	if at[i] {
		return
	}
	at[i] = true
	if i == len(p.atoms) {
		return
	}
	if p.atoms[i].fork {
		p.enter(at, i+1)
	}
	if n := p.atoms[i].skip; n > 0 {
		p.enter(at, i+n)
	}
}

// reader makes atoms of a pattern's text.
type reader struct {
	rest  []rune
	atoms []atom
	slash bool // the last was /, or there was none yet
}

func (r *reader) next() error {
	switch c := r.rest[0]; {
	case r.begins("**/") && (len(r.atoms) == 0 || r.slash) && !r.repeats(3):
		// A whole part of a path: any folders, or none.
		r.take(3, atom{fits: nothing, fork: true, skip: 3}, atom{fits: anything, loop: true}, atom{fits: exactly('/')})
		r.slash = true
		return nil
	case r.begins("**"):
		for r.begins("*") {
			r.take(1)
		}
		r.take(0, atom{fits: anything, loop: true, skip: 1})
		return r.alone()
	case c == '*':
		r.take(1, atom{fits: withinFolder, loop: true, skip: 1})
		return r.alone()
	case c == '?' || c == '+':
		return fmt.Errorf("%c has no character before it to repeat", c)
	case c == '[':
		return r.brackets()
	case c == '\\' && len(r.rest) > 1 && strings.ContainsRune(`\*?+[]!`, r.rest[1]):
		return r.character(2, exactly(r.rest[1]), r.rest[1])
	default:
		return r.character(1, exactly(c), c)
	}
}

func (r *reader) begins(text string) bool {
	for i, c := range text { // ASCII: an index is a position
		if i >= len(r.rest) || r.rest[i] != c {
			return false
		}
	}
	return true
}

func (r *reader) take(n int, atoms ...atom) {
	r.rest, r.atoms, r.slash = r.rest[n:], append(r.atoms, atoms...), false
}

// repeats says whether what is n characters on repeats the one before it.
func (r *reader) repeats(n int) bool {
	return len(r.rest) > n && (r.rest[n] == '?' || r.rest[n] == '+')
}

// alone refuses to repeat a wildcard.
func (r *reader) alone() error {
	if r.repeats(0) {
		return fmt.Errorf("%c can't repeat a wildcard", r.rest[0])
	}
	return nil
}

// character takes one character, n of the text, and the ? or + after it.
func (r *reader) character(n int, fits func(rune) bool, c rune) error {
	a := atom{fits: fits}
	repeated := r.repeats(n)
	if repeated {
		if r.rest[n] == '?' {
			a.skip = 1
		} else {
			a.loop = true
		}
		n++
	}
	r.take(n, a)
	r.slash = c == '/' && !repeated
	if repeated && r.repeats(0) {
		return fmt.Errorf("%c can't repeat what is repeated already", r.rest[0])
	}
	return nil
}

// brackets takes one character of those listed, single or in ranges.
func (r *reader) brackets() error {
	end := 1
	for end < len(r.rest) && r.rest[end] != ']' {
		end++
	}
	if end == len(r.rest) {
		return errors.New("[ is not closed")
	}
	ranges, err := readRanges(r.rest[1:end])
	if err != nil {
		return err
	}
	return r.character(end+1, func(c rune) bool {
		for _, each := range ranges {
			if each[0] <= c && c <= each[1] {
				return true
			}
		}
		return false
	}, '[')
}

func readRanges(list []rune) (ranges [][2]rune, err error) {
	if len(list) == 0 {
		return nil, errors.New("[] lists no character")
	}
	for i := 0; i < len(list); i++ {
		from, to := list[i], list[i]
		if i+1 < len(list) && list[i+1] == '-' {
			if i+2 == len(list) {
				return nil, fmt.Errorf("the range %c- has no end", from)
			}
			to = list[i+2]
			if !sameKind(from, to) || from > to {
				return nil, fmt.Errorf("%c-%c is no range: those are of a-z, A-Z or 0-9", from, to)
			}
			i += 2
		}
		ranges = append(ranges, [2]rune{from, to})
	}
	return ranges, nil
}

// sameKind says whether two characters are both of a-z, of A-Z or of 0-9.
func sameKind(a, b rune) bool {
	for _, kind := range [][2]rune{{'a', 'z'}, {'A', 'Z'}, {'0', '9'}} {
		if kind[0] <= a && a <= kind[1] {
			return kind[0] <= b && b <= kind[1]
		}
	}
	return false
}

func anything(rune) bool { return true }

func nothing(rune) bool { return false }

func withinFolder(c rune) bool { return c != '/' }

func exactly(want rune) func(rune) bool { return func(c rune) bool { return c == want } }
