package trust

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// set is how an operator treats keys with several values.
type set string

const (
	forAll set = "ForAllValues:"
	forAny set = "ForAnyValue:"
)

// operator is a condition operator taken apart.
type operator struct {
	set      set
	name     string // without set prefix and IfExists, and not negated
	negated  bool
	ifExists bool
}

// positive returns a negated operator's twin. ("Not" stands in different
// places: StringNotLike, NotIpAddress.)
func positive(name string) (twin string, negated bool) {
	switch name {
	case "StringNotEquals", "StringNotEqualsIgnoreCase", "StringNotLike", "ArnNotEquals", "ArnNotLike",
		"NumericNotEquals", "DateNotEquals", "NotIpAddress":
		return strings.Replace(name, "Not", "", 1), true
	}
	return name, false
}

func positives() []string {
	return []string{
		"StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike", "Bool", "Null", "IpAddress",
		"NumericEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
		"DateEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
	}
}

func parseOperator(written string) (operator, error) {
	var op operator
	name := written
	for _, prefix := range []set{forAll, forAny} {
		if rest, ok := strings.CutPrefix(name, string(prefix)); ok {
			op.set, name = prefix, rest
		}
	}
	name, op.ifExists = strings.CutSuffix(name, "IfExists")
	op.name, op.negated = positive(name)
	if !slices.Contains(positives(), op.name) {
		return op, fmt.Errorf("unknown operator %q", written)
	}
	if op.name == "Null" && (op.set != "" || op.ifExists) {
		return op, fmt.Errorf("operator %q: Null takes no prefix and no IfExists", written)
	}
	return op, nil
}

// checkValues refuses values that the operator could never compare.
func (op operator) checkValues(values []string) error {
	if len(values) == 0 {
		return errors.New("it has no value to compare with")
	}
	for _, value := range values {
		var err error
		switch {
		case op.name == "Null" || op.name == "Bool":
			if v := strings.ToLower(value); v != "true" && v != "false" && !strings.Contains(v, "${") {
				err = fmt.Errorf("%q is neither true nor false", value)
			}
		case strings.HasPrefix(op.name, "Numeric"):
			if f, bad := strconv.ParseFloat(value, 64); bad != nil || math.IsNaN(f) || math.IsInf(f, 0) {
				err = fmt.Errorf("%q is no number", value)
			}
		case strings.HasPrefix(op.name, "Date"):
			_, err = parseDate(value)
		case op.name == "IpAddress":
			_, err = parsePrefix(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// holds says whether the condition is met by the request's values of its key;
// nil means that the request has no such key. Over no values at all
// ForAllValues holds and ForAnyValue does not, IfExists or not: that speaks of
// each value within the set (seen: repost.aws, "ForAnyValue:StringEqualsIfExists
// behaving unexpectedly"). A key with several values needs either; without, no
// condition holds (IAM user guide: single-valued vs. multivalued context keys).
func (c Condition) holds(got []string, vars variables) bool {
	op, err := parseOperator(c.Operator)
	if err != nil {
		return false // Parse refuses it; a policy made by hand may hold it
	}
	if op.name == "Null" {
		absent := strconv.FormatBool(len(got) == 0)
		return slices.ContainsFunc(c.Values, func(v string) bool { return strings.EqualFold(v, absent) })
	}
	one := func(value string) bool {
		return slices.ContainsFunc(c.Values, func(wanted string) bool { return op.matches(value, wanted, vars) }) != op.negated
	}
	switch {
	case op.set == forAny:
		return slices.ContainsFunc(got, one)
	case op.set == forAll:
		return !slices.ContainsFunc(got, func(value string) bool { return !one(value) })
	case len(got) == 0:
		return op.ifExists || op.negated
	default:
		return len(got) == 1 && one(got[0])
	}
}

// matches compares one value of the request with one of the policy, the
// operator's negation aside.
func (op operator) matches(got, wanted string, vars variables) bool {
	switch op.name {
	case "StringEquals":
		p, ok := vars.compile(wanted, nothing)
		return ok && p.match(got)
	case "StringEqualsIgnoreCase", "Bool":
		p, ok := vars.compile(wanted, nothing)
		return ok && p.folded().match(strings.ToLower(got))
	case "StringLike":
		p, ok := vars.compile(wanted, anything)
		return ok && p.match(got)
	case "ArnEquals", "ArnLike":
		return arnMatch(got, wanted, vars)
	case "IpAddress":
		address, err := netip.ParseAddr(got)
		prefix, bad := parsePrefix(wanted)
		return err == nil && bad == nil && prefix.Contains(address)
	}
	if order, ok := strings.CutPrefix(op.name, "Numeric"); ok {
		a, err := strconv.ParseFloat(got, 64)
		b, bad := strconv.ParseFloat(wanted, 64)
		return err == nil && bad == nil && ordered(order, compare(a, b))
	}
	order := strings.TrimPrefix(op.name, "Date")
	a, err := parseDate(got)
	b, bad := parseDate(wanted)
	return err == nil && bad == nil && ordered(order, a.Compare(b))
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	}
	return 2 // NaN: matches nothing
}

func ordered(order string, sign int) bool {
	switch order {
	case "Equals":
		return sign == 0
	case "LessThan":
		return sign == -1
	case "LessThanEquals":
		return sign == -1 || sign == 0
	case "GreaterThan":
		return sign == 1
	default: // GreaterThanEquals
		return sign == 1 || sign == 0
	}
}

// parseDate reads ISO 8601 as IAM takes it, or seconds since 1970.
func parseDate(s string) (time.Time, error) {
	if seconds, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date", s)
}

func parsePrefix(s string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(s); err == nil {
		return address.Prefix(address.BitLen())
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return prefix, fmt.Errorf("%q is no address range", s)
	}
	return prefix, nil
}
