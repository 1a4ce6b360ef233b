package check

import (
	"strings"

	"github.com/rhysd/actionlint"
)

// maxExpression is how long an expression may be (GitHub's runner refuses
// longer ones).
const maxExpression = 21000

// expression is a ${{ }} within a text, or a condition.
type expression struct {
	raw    string // as written, braces included
	source string // what the braces hold
	offset int    // in the text
	tree   actionlint.ExprNode
}

// expressions finds those of a text.
func expressions(text string) []expression {
	var all []expression
	for at := 0; ; {
		i := strings.Index(text[at:], "${{")
		if i < 0 {
			return all
		}
		start := at + i
		size, tree := parseExpression(text[start+3:])
		if size < 0 {
			return all
		}
		all = append(all, expression{raw: text[start : start+3+size], source: strings.TrimSpace(text[start+3 : start+3+size-2]), offset: start, tree: tree})
		at = start + 3 + size
	}
}

// parseExpression reads an expression up to its closing braces, and returns
// how much of the text that is, -1 where nothing closes it.
func parseExpression(text string) (int, actionlint.ExprNode) {
	end := strings.Index(text, "}}")
	if end < 0 {
		return -1, nil
	}
	if len(text) > maxExpression {
		if end > maxExpression {
			return end + 2, nil
		}
		text = text[:maxExpression]
	}
	lexer := actionlint.NewExprLexer(text)
	tree, err := actionlint.NewExprParser().Parse(lexer)
	if err != nil || tree == nil {
		return end + 2, nil
	}
	return lexer.Offset(), tree
}

// condition reads the text of an if, which needs no braces.
func condition(text string) expression {
	if found := expressions(text); len(found) > 0 {
		return found[0]
	}
	_, tree := parseExpression(text + "}}")
	return expression{raw: text, source: text, tree: tree}
}

// dotted is a context and what is taken of it: github event title. "*" stands
// for what is not known. All in lower case: contexts have no case.
type dotted []string

func (p dotted) String() string { return strings.Join(p, ".") }

// begins says whether a path begins with names.
func (p dotted) begins(names ...string) bool {
	if len(p) < len(names) {
		return false
	}
	for i, name := range names {
		if p[i] != name {
			return false
		}
	}
	return true
}

// nth is a part of a path, "" where it is shorter.
func (p dotted) nth(i int) string {
	if i < len(p) {
		return p[i]
	}
	return ""
}

// pathOf reads a chain of accesses. It is nil where that does not begin with
// a context.
func pathOf(n actionlint.ExprNode) dotted {
	var parts dotted
	for {
		switch at := n.(type) {
		case *actionlint.VariableNode:
			parts = append(parts, strings.ToLower(at.Name))
			for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
				parts[i], parts[j] = parts[j], parts[i]
			}
			return parts
		case *actionlint.ObjectDerefNode:
			parts, n = append(parts, strings.ToLower(at.Property)), at.Receiver
		case *actionlint.ArrayDerefNode:
			parts, n = append(parts, "*"), at.Receiver
		case *actionlint.IndexAccessNode:
			name := "*"
			if s, ok := at.Index.(*actionlint.StringNode); ok {
				name = strings.ToLower(s.Value)
			}
			parts, n = append(parts, name), at.Operand
		default:
			return nil
		}
	}
}

// mentions says whether an expression takes anything of a context.
func (e expression) mentions(names ...string) bool {
	found := false
	e.paths(func(p dotted) { found = found || p.begins(names...) })
	return found
}

// paths calls yield with every context that an expression names.
func (e expression) paths(yield func(dotted)) {
	if e.tree == nil {
		return
	}
	actionlint.VisitExprNode(e.tree, func(n, parent actionlint.ExprNode, entering bool) {
		if !entering || continues(n, parent) {
			return
		}
		if p := pathOf(n); p != nil {
			yield(p)
		}
	})
}

// continues says whether a node is only the beginning of its parent's path.
func continues(n, parent actionlint.ExprNode) bool {
	switch p := parent.(type) {
	case *actionlint.ObjectDerefNode:
		return p.Receiver == n
	case *actionlint.ArrayDerefNode:
		return p.Receiver == n
	case *actionlint.IndexAccessNode:
		return p.Operand == n
	}
	return false
}

// yields lists the contexts whose text an expression may come out as. What is
// only compared, or is a condition, is none of them.
func yields(n actionlint.ExprNode) []dotted {
	switch n := n.(type) {
	case *actionlint.LogicalOpNode:
		if n.Kind == actionlint.LogicalOpNodeKindAnd {
			return yields(n.Right)
		}
		return append(yields(n.Left), yields(n.Right)...)
	case *actionlint.FuncCallNode:
		switch strings.ToLower(n.Callee) {
		case "contains", "startswith", "endswith", "hashfiles", "always", "success", "failure", "cancelled":
			return nil
		}
		var all []dotted
		for _, a := range n.Args {
			all = append(all, yields(a)...)
		}
		return all
	case *actionlint.IndexAccessNode:
		if p := pathOf(n); p != nil {
			return []dotted{p}
		}
		return yields(n.Operand)
	case *actionlint.ObjectDerefNode:
		if p := pathOf(n); p != nil {
			return []dotted{p}
		}
		return yields(n.Receiver)
	case *actionlint.ArrayDerefNode:
		if p := pathOf(n); p != nil {
			return []dotted{p}
		}
		return yields(n.Receiver)
	case *actionlint.VariableNode:
		return []dotted{pathOf(n)}
	}
	return nil
}

// yields lists the contexts whose text the expression may come out as.
func (e expression) yields() []dotted {
	if e.tree == nil {
		return nil
	}
	return yields(e.tree)
}
