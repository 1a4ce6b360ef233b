package expr

import (
	"slices"
	"strconv"
	"strings"

	"github.com/rhysd/actionlint"
)

// Scope is where an expression stands: what its names mean.
type Scope struct {
	// Lookup is what a name such as github.ref comes to.
	Lookup func(path []string) Value
	// Before is the state of the jobs before this one, for success(). If nil,
	// status functions have no meaning here.
	Before func() Value
}

// Condition is an if: as it is written, whole. status says that it asks for
// the state of the jobs before itself; where it does not, GitHub adds
// success() && (GitHub docs: Evaluate expressions, "Status check functions").
func (s Scope) Condition(text string) Value {
	if actionlint.ContainsExpression(text) && !single(text) {
		return s.Template(text) // a text, and true where it is not empty
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "${{"), "}}")
	node, _, err := expression(text + "}}")
	if err != nil {
		return Unknown("if: " + strings.TrimSpace(text))
	}
	if asksStatus(node) || s.Before == nil {
		return s.Truth(node).named(text)
	}
	before := s.Before()
	if !before.Unknown() && !Truthy(before.Of) {
		return before
	}
	own := s.Truth(node).named(text)
	if !own.Unknown() && !Truthy(own.Of) {
		return own
	}
	if on := Join(before, own); on != nil {
		return Unknown(on...)
	}
	return own
}

// single says that a text is one expression and nothing else, not even a line
// end.
func single(text string) bool {
	return strings.HasPrefix(text, "${{") && strings.HasSuffix(text, "}}") && strings.Count(text, "${{") == 1
}

// expression reads what stands between ${{ and }}, the latter included, and
// says how long it is.
func expression(text string) (node actionlint.ExprNode, length int, err error) {
	lexer := actionlint.NewExprLexer(text)
	node, failure := actionlint.NewExprParser().Parse(lexer)
	if failure != nil {
		return nil, 0, failure
	}
	return node, lexer.Offset(), nil
}

// Template is a text with its expressions replaced. One that is an expression
// and nothing else keeps the expression's kind.
func (s Scope) Template(text string) Value {
	var b strings.Builder
	var open []Value
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "${{")
		b.WriteString(before)
		if !found {
			break
		}
		node, n, err := expression(after)
		if err != nil {
			return Unknown(strings.TrimSpace(text))
		}
		v := s.Eval(node).named(after[:n])
		if before == "" && b.Len() == 0 && after[n:] == "" && rest == text {
			return v
		}
		open = append(open, v)
		b.WriteString(InText(v.Of))
		rest = after[n:]
	}
	if on := Join(open...); on != nil {
		return Unknown(on...)
	}
	return Known(b.String())
}

// named writes what a value depends on as the text has it: the parser takes
// the case of names away.
func (v Value) named(text string) Value {
	lower := strings.ToLower(text)
	if len(lower) != len(text) {
		return v
	}
	v.DependsOn = slices.Clone(v.DependsOn)
	for i, on := range v.DependsOn {
		if at := strings.Index(lower, on); at >= 0 {
			v.DependsOn[i] = text[at : at+len(on)]
		}
	}
	return v
}

// Asks says whether an if: asks for the state of other jobs.
func Asks(condition string) bool {
	node, _, err := expression(strings.TrimSuffix(strings.TrimPrefix(condition, "${{"), "}}") + "}}")
	return err == nil && asksStatus(node)
}

// asksStatus says whether an expression asks for the state of other jobs.
func asksStatus(node actionlint.ExprNode) bool {
	asks := false
	actionlint.VisitExprNode(node, func(n, _ actionlint.ExprNode, entering bool) {
		if call, ok := n.(*actionlint.FuncCallNode); ok && entering {
			switch strings.ToLower(call.Callee) {
			case "always", "success", "failure", "cancelled":
				asks = true
			}
		}
	})
	return asks
}

// Truth is what an expression counts as in a condition. It knows more than
// Eval: false && anything is false, whichever of the two comes first.
func (s Scope) Truth(node actionlint.ExprNode) Value {
	switch n := node.(type) {
	case *actionlint.NotOpNode:
		v := s.Truth(n.Operand)
		if v.Unknown() {
			return v
		}
		return Known(!Truthy(v.Of))
	case *actionlint.LogicalOpNode:
		settles := n.Kind == actionlint.LogicalOpNodeKindOr // true || …, false && …
		left, right := s.Truth(n.Left), s.Truth(n.Right)
		for _, side := range []Value{left, right} {
			if !side.Unknown() && Truthy(side.Of) == settles {
				return Known(settles)
			}
		}
		if on := Join(left, right); on != nil {
			return Unknown(on...)
		}
		return Known(!settles)
	}
	v := s.Eval(node)
	if v.Unknown() {
		return v
	}
	return Known(Truthy(v.Of))
}

// Eval is what an expression comes to.
func (s Scope) Eval(node actionlint.ExprNode) Value {
	switch n := node.(type) {
	case *actionlint.NullNode:
		return Known(nil)
	case *actionlint.BoolNode:
		return Known(n.Value)
	case *actionlint.IntNode:
		return Known(float64(n.Value))
	case *actionlint.FloatNode:
		return Known(n.Value)
	case *actionlint.StringNode:
		return Known(n.Value)
	case *actionlint.NotOpNode:
		return s.Truth(node)
	case *actionlint.LogicalOpNode:
		return s.logical(n)
	case *actionlint.CompareOpNode:
		return s.compare(n)
	case *actionlint.FuncCallNode:
		return s.call(n)
	}
	if path, ok := s.path(node); ok {
		return s.Lookup(path)
	}
	return s.member(node)
}

// logical is the operand that decides, as in inputs.environment || 'dev'.
func (s Scope) logical(n *actionlint.LogicalOpNode) Value {
	left := s.Eval(n.Left)
	if left.Unknown() {
		if whole := s.Truth(n); !whole.Unknown() {
			return whole
		}
		return Unknown(Join(left, s.Eval(n.Right))...)
	}
	if Truthy(left.Of) == (n.Kind == actionlint.LogicalOpNodeKindOr) {
		return left
	}
	return s.Eval(n.Right)
}

func (s Scope) compare(n *actionlint.CompareOpNode) Value {
	left, right := s.Eval(n.Left), s.Eval(n.Right)
	if on := Join(left, right); on != nil {
		return Unknown(on...)
	}
	a, b := left.Of, right.Of
	switch n.Kind {
	case actionlint.CompareOpNodeKindEq:
		return Known(equal(a, b))
	case actionlint.CompareOpNodeKindNotEq:
		return Known(!equal(a, b))
	case actionlint.CompareOpNodeKindLess:
		return Known(less(a, b, false))
	case actionlint.CompareOpNodeKindLessEq:
		return Known(less(a, b, true))
	case actionlint.CompareOpNodeKindGreater:
		return Known(less(b, a, false))
	default:
		return Known(less(b, a, true))
	}
}

// path is a name as in github.event.inputs['environment'].
func (s Scope) path(node actionlint.ExprNode) ([]string, bool) {
	switch n := node.(type) {
	case *actionlint.VariableNode:
		return []string{n.Name}, true
	case *actionlint.ObjectDerefNode:
		path, ok := s.path(n.Receiver)
		return append(path, n.Property), ok
	case *actionlint.IndexAccessNode:
		path, ok := s.path(n.Operand)
		index := s.Eval(n.Index)
		if !ok || index.Unknown() {
			return nil, false
		}
		return append(path, strings.ToLower(InText(index.Of))), true
	}
	return nil, false
}

// member is a part of what is no name, such as fromJSON('{…}').x.
func (s Scope) member(node actionlint.ExprNode) Value {
	switch n := node.(type) {
	case *actionlint.ObjectDerefNode:
		of := s.Eval(n.Receiver)
		if of.Unknown() {
			return of
		}
		return Known(Property(of.Of, n.Property))
	case *actionlint.IndexAccessNode:
		of, index := s.Eval(n.Operand), s.Eval(n.Index)
		if on := Join(of, index); on != nil {
			return Unknown(on...)
		}
		return Known(Property(of.Of, InText(index.Of)))
	case *actionlint.ArrayDerefNode:
		if of := s.Eval(n.Receiver); of.Unknown() {
			return of
		}
	}
	return Unknown("an expression that is not evaluated here")
}

// call is a function (GitHub docs: Evaluate expressions, "Functions").
func (s Scope) call(n *actionlint.FuncCallNode) Value {
	name := strings.ToLower(n.Callee)
	switch name {
	case "always":
		return Known(true)
	case "cancelled":
		if s.Before != nil {
			return Known(false) // nobody cancels
		}
	case "success":
		if s.Before != nil {
			return s.Before()
		}
	case "failure":
		return Unknown("failure()")
	}
	args := make([]Value, len(n.Args))
	for i, arg := range n.Args {
		args[i] = s.Eval(arg)
	}
	if on := Join(args...); on != nil {
		return Unknown(on...)
	}
	if v, ok := apply(name, args); ok {
		return v
	}
	return Unknown(name + "()")
}

func apply(name string, args []Value) (Value, bool) {
	switch {
	case name == "contains" && len(args) == 2:
		return Known(contains(args[0].Of, args[1].Of)), true
	case name == "startswith" && len(args) == 2:
		return Known(strings.HasPrefix(fold(args[0]), fold(args[1]))), true
	case name == "endswith" && len(args) == 2:
		return Known(strings.HasSuffix(fold(args[0]), fold(args[1]))), true
	case name == "format" && len(args) > 0:
		return format(args)
	case name == "fromjson" && len(args) == 1:
		v, ok := fromJSON(InText(args[0].Of))
		return Known(v), ok
	}
	return Value{}, false
}

func fold(v Value) string { return strings.ToUpper(InText(v.Of)) }

func contains(in, what any) bool {
	if list, ok := in.([]any); ok {
		return slices.ContainsFunc(list, func(each any) bool { return equal(each, what) })
	}
	return strings.Contains(fold(Known(in)), fold(Known(what)))
}

// format fills {0} and so on; {{ is a brace.
func format(args []Value) (Value, bool) {
	var b strings.Builder
	text := InText(args[0].Of)
	for i := 0; i < len(text); i++ {
		if c := text[i]; c != '{' && c != '}' {
			b.WriteByte(c)
			continue
		}
		if strings.HasPrefix(text[i+1:], text[i:i+1]) {
			b.WriteByte(text[i])
			i++
			continue
		}
		inside, _, closed := strings.Cut(text[i+1:], "}")
		at, err := strconv.Atoi(inside)
		if text[i] == '}' || !closed || err != nil || at < 0 || at+1 >= len(args) {
			return Value{}, false
		}
		b.WriteString(InText(args[at+1].Of))
		i += len(inside) + 1
	}
	return Known(b.String()), true
}

// Dotted is a path as it is written.
func Dotted(path []string) string { return strings.Join(path, ".") }

// Unread is a name that only GitHub can tell.
func Unread(path []string) Value { return Unknown(Dotted(path)) }
