package trust

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// What IAM takes, in characters, white space aside (IAM user guide: IAM and STS
// quotas). Inline policies of one role share theirs; that of trust policies can
// be raised.
const (
	InlineLimit  = 10240
	ManagedLimit = 6144
	TrustLimit   = 2048
)

// Size is how much of IAM's limits the policy takes.
func (p Policy) Size() int { return utf8.RuneCount(p.Compact()) }

// JSON writes the policy as a document for readers: indented, elements in the
// order of IAM's documentation, a single value as a string and several as a
// list. The same policy is always the same bytes, and Parse reads them back.
// What no document can say (a key twice under one operator) Parse then refuses.
func (p Policy) JSON() []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, p.Compact(), "", "  "); err != nil {
		panic(err) // Compact writes JSON
	}
	return b.Bytes()
}

// Compact writes the policy as JSON does, without white space.
func (p Policy) Compact() []byte {
	var w writer
	w.object(func() {
		w.texts("Version", nonempty(p.Version))
		w.texts("Id", nonempty(p.ID))
		w.member("Statement")
		w.WriteByte('[')
		for i, s := range p.Statements {
			if i > 0 {
				w.WriteByte(',')
			}
			w.statement(s)
		}
		w.WriteByte(']')
	})
	return w.Bytes()
}

func nonempty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// writer writes JSON whose members keep the order that they are written in.
type writer struct{ bytes.Buffer }

func (w *writer) statement(s Statement) {
	w.object(func() {
		w.texts("Sid", nonempty(s.Sid))
		w.texts("Effect", nonempty(string(s.Effect)))
		w.principals(s.Principals)
		w.texts("Action", s.Actions)
		w.texts("NotAction", s.NotActions)
		w.texts("Resource", s.Resources)
		w.texts("NotResource", s.NotResources)
		w.conditions(s.Conditions)
	})
}

func (w *writer) principals(principals []Principal) {
	if principals == nil {
		return
	}
	w.member("Principal")
	byKind := map[Kind][]string{}
	kinds := []Kind{}
	for _, p := range principals {
		if p.Kind == Anyone { // whoever else is named is among them
			w.text("*")
			return
		}
		if byKind[p.Kind] == nil {
			kinds = append(kinds, p.Kind)
		}
		byKind[p.Kind] = append(byKind[p.Kind], p.Value)
	}
	w.object(func() {
		for _, k := range kinds {
			w.texts(string(k), byKind[k])
		}
	})
}

func (w *writer) conditions(conditions []Condition) {
	if len(conditions) == 0 {
		return
	}
	byOperator := map[string][]Condition{}
	operators := []string{}
	for _, c := range conditions {
		if byOperator[c.Operator] == nil {
			operators = append(operators, c.Operator)
		}
		byOperator[c.Operator] = append(byOperator[c.Operator], c)
	}
	w.member("Condition")
	w.object(func() {
		for _, operator := range operators {
			w.member(operator)
			w.object(func() {
				for _, c := range byOperator[operator] {
					w.texts(c.Key, append([]string{}, c.Values...))
				}
			})
		}
	})
}

func (w *writer) object(members func()) {
	w.WriteByte('{')
	members()
	w.WriteByte('}')
}

// member begins a member of the object at hand.
func (w *writer) member(name string) {
	if !bytes.HasSuffix(w.Bytes(), []byte("{")) {
		w.WriteByte(',')
	}
	w.text(name)
	w.WriteByte(':')
}

// texts writes a member of one value, or of a list; nil writes none.
func (w *writer) texts(name string, values []string) {
	switch {
	case values == nil:
	case len(values) == 1:
		w.member(name)
		w.text(values[0])
	default:
		w.member(name)
		w.WriteByte('[')
		for i, value := range values {
			if i > 0 {
				w.WriteByte(',')
			}
			w.text(value)
		}
		w.WriteByte(']')
	}
}

func (w *writer) text(s string) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string has no way to fail, nor has a buffer
	}
	w.Truncate(w.Len() - 1) // Encode ends a line
}
