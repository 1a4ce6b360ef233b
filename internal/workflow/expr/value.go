package expr

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Value is what an expression comes to, or what it depends on. Of it is nil, a
// bool, a float64, a string, a []any or a map[string]any.
type Value struct {
	Of        any
	DependsOn []string // it is not known
}

// Known is a value.
func Known(of any) Value { return Value{Of: of} }

// Unknown is a value that depends on something.
func Unknown(on ...string) Value { return Value{DependsOn: on} }

// Unknown says that it depends on something.
func (v Value) Unknown() bool { return len(v.DependsOn) > 0 }

// Join is what several values depend on, each once.
func Join(values ...Value) []string {
	var on []string
	for _, v := range values {
		for _, each := range v.DependsOn {
			if !slices.Contains(on, each) {
				on = append(on, each)
			}
		}
	}
	return on
}

// The rules below are GitHub's (GitHub docs: Evaluate expressions in workflows
// and actions, "Literals" and "Operators").

// Truthy says what a value counts as in a condition.
func Truthy(of any) bool {
	switch v := of.(type) {
	case nil:
		return false
	case bool:
		return v
	case float64:
		return v != 0 && !math.IsNaN(v)
	case string:
		return v != ""
	}
	return true
}

// equal compares loosely: strings without regard to case, what is of two kinds
// as numbers. Lists and objects are equal to none.
func equal(a, b any) bool {
	if sa, sb, ok := strings2(a, b); ok {
		return strings.EqualFold(sa, sb)
	}
	return number(a) == number(b)
}

// less orders two values; those that are no numbers have no order.
func less(a, b any, orEqual bool) bool {
	if sa, sb, ok := strings2(a, b); ok {
		order := cmp.Compare(strings.ToUpper(sa), strings.ToUpper(sb))
		return order < 0 || orEqual && order == 0
	}
	na, nb := number(a), number(b)
	return na < nb || orEqual && na == nb
}

func strings2(a, b any) (sa, sb string, ok bool) {
	sa, okA := a.(string)
	sb, okB := b.(string)
	return sa, sb, okA && okB
}

func number(of any) float64 {
	switch v := of.(type) {
	case nil:
		return 0
	case bool:
		if v {
			return 1
		}
		return 0
	case float64:
		return v
	case string:
		if v = strings.TrimSpace(v); v == "" {
			return 0
		}
		if n, err := strconv.ParseFloat(v, 64); err == nil && !strings.ContainsRune(v, '_') {
			return n
		}
	}
	return math.NaN()
}

// InText is a value as it stands within a text.
func InText(of any) string {
	switch v := of.(type) {
	case nil:
		return ""
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'g', 15, 64)
	case string:
		return v
	case []any:
		return "Array"
	}
	return "Object"
}

// fromJSON reads JSON as the function of that name does.
func fromJSON(text string) (any, bool) {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return nil, false
	}
	return v, true
}

// Property is a member of an object, whose names have no case, or an element.
func Property(of any, name string) any {
	switch v := of.(type) {
	case map[string]any:
		for key, member := range v {
			if strings.EqualFold(key, name) {
				return member
			}
		}
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}
