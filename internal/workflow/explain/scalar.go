package explain

import (
	"math"
	"strconv"
	"strings"

	"github.com/rhysd/actionlint"
	"go.yaml.in/yaml/v3"

	"github.com/slipway-cd/slipway/internal/pattern"
	"github.com/slipway-cd/slipway/internal/workflow/expr"
)

// kinds are the scalars of a file that stand there plain, by their places:
// those may be true, 1 or null, where a quoted one is a text. The parser of
// workflows tells the texts alone.
type kinds map[actionlint.Pos]any

// kindsOf reads the scalars of a file, none of one that is no YAML.
func kindsOf(source []byte) kinds {
	k := kinds{}
	var root yaml.Node
	if yaml.Unmarshal(source, &root) == nil {
		k.add(&root)
	}
	return k
}

func (k kinds) add(n *yaml.Node) {
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	tagged := n.Style&yaml.TaggedStyle != 0 && n.Tag == "!!str"
	if n.Kind == yaml.ScalarNode && n.Style&quoted == 0 && !tagged {
		k[actionlint.Pos{Line: n.Line, Col: n.Column}] = plain(n.Value)
	}
	for _, each := range n.Content { // not what an alias names: it stands elsewhere
		k.add(each)
	}
}

// of is the scalar at a place.
func (k kinds) of(text string, at *actionlint.Pos) any {
	if at != nil {
		if of, ok := k[*at]; ok {
			return of
		}
	}
	return text
}

var number = pattern.New(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// plain is a scalar without quotes as GitHub reads it, by YAML 1.2's core
// schema: yes, 1_000 and dates are texts.
func plain(text string) any {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return nil
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	case ".nan", ".NaN", ".NAN":
		return math.NaN()
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF":
		return math.Inf(1)
	case "-.inf", "-.Inf", "-.INF":
		return math.Inf(-1)
	}
	for prefix, base := range map[string]int{"0x": 16, "0o": 8} {
		if digits, ok := strings.CutPrefix(text, prefix); ok {
			if n, err := strconv.ParseUint(digits, base, 31); err == nil {
				return float64(n)
			}
		}
	}
	if number.MatchString(text) {
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n
		}
	}
	return text
}

// declared is a value as an input of its kind; not ok is one that GitHub
// refuses. Anything is a text, and a text nothing else.
func declared(kind actionlint.WorkflowCallEventInputType, of any) (any, bool) {
	switch kind {
	case actionlint.WorkflowCallEventInputTypeBoolean:
		_, ok := of.(bool)
		return of, ok
	case actionlint.WorkflowCallEventInputTypeNumber:
		_, ok := of.(float64)
		return of, ok
	case actionlint.WorkflowCallEventInputTypeString:
		switch of.(type) {
		case []any, map[string]any:
			return nil, false
		}
		return expr.InText(of), true
	}
	return of, true
}

func kindNames() map[actionlint.WorkflowCallEventInputType]string {
	return map[actionlint.WorkflowCallEventInputType]string{
		actionlint.WorkflowCallEventInputTypeBoolean: "boolean",
		actionlint.WorkflowCallEventInputTypeNumber:  "number",
		actionlint.WorkflowCallEventInputTypeString:  "string",
	}
}

// shown is a value for people: a text in quotes.
func shown(of any) string {
	switch v := of.(type) {
	case nil:
		return "null"
	case string:
		return strconv.Quote(v)
	}
	return expr.InText(of)
}
