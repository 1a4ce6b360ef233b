package trust

import (
	"fmt"
	"strings"
)

// Effect of a statement.
type Effect string

// The effects there are.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// Policy is an IAM policy document.
type Policy struct {
	Version    string // empty where the document has none
	ID         string
	Statements []Statement
}

// Statement is one statement of a policy. Of each pair (Actions and
// NotActions, Resources and NotResources) at most one is set.
type Statement struct {
	Sid          string
	Effect       Effect
	Principals   []Principal // nil in permission policies
	Actions      []string
	NotActions   []string
	Resources    []string // nil in trust policies
	NotResources []string
	Conditions   []Condition // all have to hold
}

// Kind is a kind of principal, named as in policies.
type Kind string

// The kinds there are. Anyone is the principal "*".
const (
	AWS       Kind = "AWS"
	Federated Kind = "Federated"
	Service   Kind = "Service"
	Canonical Kind = "CanonicalUser"
	Anyone    Kind = "*"
)

// Principal is who a statement speaks of, or who asks.
type Principal struct {
	Kind  Kind
	Value string // ARN, account id or service name
}

// Condition is one key of one operator. It holds if the key's value in the
// request satisfies the operator for one of Values (for none, if negated).
type Condition struct {
	Operator string // as written, e.g. ForAnyValue:StringLikeIfExists
	Key      string // as written; compared without regard to case
	Values   []string
}

// Repeat is a JSON key that a document states twice in one object. Most
// readers, IAM's among them, see the last.
type Repeat struct {
	Path         string // of the key, e.g. Statement[0].Condition.StringEquals
	Line, Column int    // where the later one begins, from 1
}

// Parse reads a policy document and refuses whatever is not exactly one. The
// error names the place.
func Parse(doc []byte) (Policy, error) {
	p, repeats, err := Read(doc)
	if err == nil && len(repeats) > 0 {
		r := repeats[0]
		err = fmt.Errorf("line %d, column %d: %s is stated twice", r.Line, r.Column, r.Path)
	}
	if err != nil {
		return Policy{}, err
	}
	return p, nil
}

// Read reads a document as IAM evaluates it, last of repeated keys first, and
// returns the repeats besides. Whoever stores or accepts policies wants Parse;
// Read is for those who explain one.
func Read(doc []byte) (Policy, []Repeat, error) {
	root, err := tree(doc)
	if err != nil {
		return Policy{}, nil, err
	}
	r := &reader{doc: doc}
	p := r.policy(root)
	return p, r.repeats, r.err
}

// reader turns JSON into a policy. It keeps the first error.
type reader struct {
	doc     []byte
	repeats []Repeat
	err     error
	// lenient reads on where the document is still a policy: what IAM refuses
	// in it becomes a doubt, and what is in doubt is left out.
	lenient bool
	doubts  []doubt
}

// doubt is what a policy holds that no policy may.
type doubt struct {
	offset int
	text   string
}

// refuse is fail, but for a lenient reader.
func (r *reader) refuse(offset int, format string, args ...any) {
	if r.lenient {
		r.doubts = append(r.doubts, doubt{offset, fmt.Errorf(format, args...).Error()})
		return
	}
	r.fail(offset, format, args...)
}

func (r *reader) fail(offset int, format string, args ...any) {
	if r.err == nil {
		r.err = positioned(r.doc, offset, fmt.Errorf(format, args...))
	}
}

// members returns the members of an object, the last of repeated ones alone.
func (r *reader) members(n node) []member {
	if n.kind != object {
		r.fail(n.offset, "%s is no object", orDocument(n.path))
		return nil
	}
	last := make(map[string]int)
	for i, m := range n.members {
		if _, ok := last[m.name]; ok {
			line, column := position(r.doc, m.offset)
			r.repeats = append(r.repeats, Repeat{Path: m.value.path, Line: line, Column: column})
		}
		last[m.name] = i
	}
	var members []member
	for i, m := range n.members {
		if last[m.name] == i {
			members = append(members, m)
		}
	}
	return members
}

func orDocument(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func (r *reader) policy(root node) Policy {
	var p Policy
	stated := false
	for _, m := range r.members(root) {
		switch m.name {
		case "Version":
			p.Version = r.text(m.value)
			if p.Version != "2012-10-17" && p.Version != "2008-10-17" {
				r.refuse(m.value.offset, "Version %q is neither 2012-10-17 nor 2008-10-17", p.Version)
			}
		case "Id":
			p.ID = r.text(m.value)
		case "Statement":
			stated = true
			p.Statements = r.statements(m.value)
		default:
			r.unknown(m, "Version", "Id", "Statement")
		}
	}
	if !stated {
		r.fail(root.offset, "the document has no Statement")
	}
	return p
}

func (r *reader) unknown(m member, known ...string) {
	for _, name := range known {
		if strings.EqualFold(name, m.name) {
			r.refuse(m.offset, "%s: unknown element %q: it is spelled %q", m.value.path, m.name, name)
			return
		}
	}
	r.refuse(m.offset, "%s: unknown element %q", m.value.path, m.name)
}

func (r *reader) text(n node) string {
	if n.kind != scalar || !n.quoted {
		r.fail(n.offset, "%s is no string", n.path)
	}
	return n.text
}

func (r *reader) statements(n node) []Statement {
	items := n.items
	if n.kind == object { // a single statement may stand without its list
		items = []node{n}
	} else if n.kind != array {
		r.fail(n.offset, "%s is no list of statements", n.path)
	}
	if len(items) == 0 {
		r.fail(n.offset, "%s is empty", n.path)
	}
	statements := make([]Statement, 0, len(items))
	sids := make(map[string]bool)
	for _, item := range items {
		s := r.statement(item)
		if s.Sid != "" && sids[s.Sid] {
			r.refuse(item.offset, "%s: the Sid %q is used twice", item.path, s.Sid)
		}
		sids[s.Sid] = true
		statements = append(statements, s)
	}
	return statements
}

func (r *reader) statement(n node) Statement {
	var s Statement
	for _, m := range r.members(n) {
		switch m.name {
		case "Sid":
			s.Sid = r.text(m.value)
		case "Effect":
			s.Effect = Effect(r.text(m.value))
		case "Principal":
			s.Principals = r.principals(m.value)
		case "NotPrincipal":
			r.refuse(m.offset, "%s: NotPrincipal is not supported: it admits whoever is not named", m.value.path)
		case "Action":
			s.Actions = r.checked(m.value, checkAction)
		case "NotAction":
			s.NotActions = r.checked(m.value, checkAction)
		case "Resource":
			s.Resources = r.checked(m.value, checkResource)
		case "NotResource":
			s.NotResources = r.checked(m.value, checkResource)
		case "Condition":
			s.Conditions = r.conditions(m.value)
		default:
			r.unknown(m, "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
		}
	}
	r.check(n, s)
	return s
}

func (r *reader) check(n node, s Statement) {
	if s.Effect != Allow && s.Effect != Deny {
		r.refuse(n.offset, "%s: Effect %q is neither Allow nor Deny", n.path, s.Effect)
	}
	if (s.Actions == nil) == (s.NotActions == nil) {
		r.refuse(n.offset, "%s needs one of Action and NotAction", n.path)
	}
	if s.Resources != nil && s.NotResources != nil {
		r.refuse(n.offset, "%s has both Resource and NotResource", n.path)
	}
}

func (r *reader) list(n node) []string {
	values, err := n.strings()
	if err != nil {
		r.fail(n.offset, "%w", err)
	}
	if len(values) == 0 {
		r.refuse(n.offset, "%s is empty", n.path)
	}
	return values
}

// checked reads a list whose values all have to pass.
func (r *reader) checked(n node, check func(string) error) []string {
	values := r.list(n)
	for _, value := range values {
		if err := check(value); err != nil {
			r.refuse(n.offset, "%s: %w", n.path, err)
		}
	}
	return values
}

func (r *reader) principals(n node) []Principal {
	if n.kind == scalar {
		if n.text != "*" {
			r.refuse(n.offset, "%s is neither \"*\" nor an object", n.path)
			return []Principal{}
		}
		return []Principal{{Kind: Anyone, Value: "*"}}
	}
	principals := []Principal{}
	for _, m := range r.members(n) {
		switch k := Kind(m.name); k {
		case AWS, Federated, Service, Canonical:
			for _, value := range r.list(m.value) {
				principals = append(principals, Principal{Kind: k, Value: value})
			}
		default:
			r.unknown(m, string(AWS), string(Federated), string(Service), string(Canonical))
		}
	}
	if len(principals) == 0 {
		r.refuse(n.offset, "%s names nobody", n.path)
	}
	return principals
}

func (r *reader) conditions(n node) []Condition {
	var conditions []Condition
	for _, m := range r.members(n) {
		op, err := parseOperator(m.name)
		if err != nil {
			r.refuse(m.offset, "%s: %w", m.value.path, err)
		}
		for _, key := range r.members(m.value) {
			values, err := key.value.strings()
			if err != nil {
				r.refuse(key.value.offset, "%w", err)
			}
			if err := op.checkValues(values); err != nil {
				r.refuse(key.value.offset, "%s: %w", key.value.path, err)
			}
			conditions = append(conditions, Condition{Operator: m.name, Key: key.name, Values: values})
		}
	}
	return conditions
}
