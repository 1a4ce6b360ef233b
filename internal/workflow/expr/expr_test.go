package expr_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/workflow/expr"
)

// told knows two names and nothing else.
func told(path []string) expr.Value {
	switch strings.Join(path, ".") {
	case "github.event_name":
		return expr.Known("push")
	case "inputs.environment":
		return expr.Known(nil)
	}
	return expr.Unread(path)
}

// TestCondition: conditions come out as GitHub has them, or depend on what
// nobody said (GitHub docs: Evaluate expressions in workflows and actions).
func TestCondition(t *testing.T) {
	for condition, want := range map[string]string{
		"github.event_name == 'push'":                     "true",
		"GitHub.Event_Name == 'PUSH'":                     "true",
		"github['event_name'] != 'push'":                  "false",
		"${{ github.event_name == 'push' }}":              "true",
		"x ${{ github.event_name == 'pull_request' }}":    "true", // a text that is not empty
		"inputs.environment == 'stg'":                     "false",
		"inputs.environment":                              "false",
		"inputs.environment || 'dev'":                     "true",
		"!inputs.environment":                             "true",
		"1 == '1' && null == 0 && true == 1 && 'a' < 'B'": "true",
		"'' == null":                        "true",
		"'x' == 0":                          "false",
		"vars.A == 'x'":                     "depends on vars.A",
		"vars.A && false":                   "false",
		"vars.A || true":                    "true",
		"vars.A && secrets.B":               "depends on vars.A, secrets.B",
		"contains('a,b', 'B')":              "true",
		"contains(fromJSON('[1, 2]'), '2')": "true",
		"startsWith(github.event_name, 'pu') && endsWith(github.event_name, 'x')": "false",
		"format('{0}{{{1}', 'a', 1) == 'a{1'":                                     "true",
		"fromJSON('{\"a\": {\"b\": [2]}}').a.b[0] == 2":                           "true",
		"always()":               "true",
		"cancelled()":            "depends on cancelled()",
		"success()":              "depends on success()",
		"hashFiles('**') == 'x'": "depends on hashfiles()",
	} {
		v := expr.Scope{Lookup: told}.Condition(condition)
		got := fmt.Sprint(expr.Truthy(v.Of))
		if v.Unknown() {
			got = "depends on " + strings.Join(v.DependsOn, ", ")
		}
		if got != want {
			t.Errorf("%s: %s, want %s", condition, got, want)
		}
	}
}

// TestStatus: a condition that asks for no state of the jobs before gets
// success() in front of it.
func TestStatus(t *testing.T) {
	for condition, want := range map[string]bool{"true": false, "always()": true, "success() || true": true, "cancelled()": false} {
		s := expr.Scope{Lookup: told, Before: func() expr.Value { return expr.Known(false) }}
		if v := s.Condition(condition); v.Unknown() || expr.Truthy(v.Of) != want {
			t.Errorf("%s: %+v, want %v", condition, v, want)
		}
	}
}
