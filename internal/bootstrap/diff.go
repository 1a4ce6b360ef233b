package bootstrap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/trust"
)

// roleChanges compares what a role has with what it shall have. Policies of
// other names, and tags, are not looked at.
func roleChanges(have, want trust.Role) []Change {
	changes := documentChanges("trust", have.Trust, want.Trust)
	for _, p := range want.Inline {
		i := slices.IndexFunc(have.Inline, func(d trust.Document) bool { return d.Name == p.Name })
		var old []byte
		if i >= 0 {
			old = have.Inline[i].JSON
		}
		changes = append(changes, documentChanges("permissions", old, p.JSON)...)
	}
	if want.Boundary != nil {
		old := ""
		if have.Boundary != nil {
			old = have.Boundary.Name
		}
		changes = append(changes, changed("boundary", old, want.Boundary.Name)...)
	}
	if want.MaxSession > 0 && have.MaxSession != want.MaxSession {
		old := ""
		if have.MaxSession > 0 {
			old = have.MaxSession.String()
		}
		changes = append(changes, changed("longest session", old, want.MaxSession.String())...)
	}
	return changes
}

func changed(field, before, after string) []Change {
	if before == after {
		return nil
	}
	return []Change{{Field: field, Before: before, After: after}}
}

// documentChanges compares two policy documents statement by statement; an
// empty one has none. One that can't be read is replaced whole.
func documentChanges(field string, have, want []byte) []Change {
	old, err := parse(have)
	if err != nil {
		return []Change{{Field: field, Before: "a document that can't be read: " + err.Error(), After: string(want)}}
	}
	now, err := parse(want)
	if err != nil { // it is our own
		return []Change{{Field: field, Before: string(have), After: string(want)}}
	}
	var changes []Change
	before, after := byName(old), byName(now)
	for _, s := range before {
		if _, ok := find(after, s.name); !ok {
			changes = append(changes, Change{Field: field + ": " + s.name, Before: s.text})
		}
	}
	for _, s := range after {
		text, _ := find(before, s.name)
		changes = append(changes, changed(field+": "+s.name, text, s.text)...)
	}
	return changes
}

func parse(document []byte) (trust.Policy, error) {
	if len(document) == 0 {
		return trust.Policy{}, nil
	}
	return trust.Parse(document)
}

func find(statements []statement, name string) (text string, ok bool) {
	i := slices.IndexFunc(statements, func(s statement) bool { return s.name == name })
	if i < 0 {
		return "", false
	}
	return statements[i].text, true
}

// statement is one statement as text, under its Sid or its number.
type statement struct{ name, text string }

func byName(p trust.Policy) []statement {
	statements := make([]statement, 0, len(p.Statements))
	for i, s := range p.Statements {
		name := s.Sid
		if name == "" {
			name = fmt.Sprintf("statement %d", i+1)
		}
		one := trust.Policy{Version: p.Version, Statements: []trust.Statement{s}}
		text := string(one.Compact())
		text = strings.TrimSuffix(text[strings.Index(text, "[")+1:], "]}")
		statements = append(statements, statement{name, text})
	}
	return statements
}
