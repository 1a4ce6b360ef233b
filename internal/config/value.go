package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Value names what a single value of slipway.yaml is, for CheckValue.
type Value int

// The values that may come from elsewhere than the file: from a flag, a
// question, another tool's file.
const (
	ValueName     Value = iota // of an environment
	ValueAgent                 // the name of an agent
	ValueAccount               // 12 digits
	ValueRegion                // us-east-1
	ValueGitHub                // owner/name
	ValueBranch                // of git
	ValuePath                  // inside the repository
	ValuePackage               // a Go package in an agent's path
	ValueVariable              // the name of a build argument
	ValueArgument              // its value
)

// CheckValue says what is wrong with a value, as Parse would of one in the
// file: "must be …". It never repeats the value.
func CheckValue(kind Value, text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
		return errors.New("must be without control characters")
	}
	if what := credentialIn(text); what != "" {
		return fmt.Errorf("must not hold %s", what)
	}
	switch kind {
	case ValueAgent:
		if lower := strings.ToLower(text); strings.HasPrefix(lower, "aws") || strings.HasPrefix(lower, "ssm") {
			return errors.New("can't begin with aws or ssm: SSM refuses such parameters")
		}
		return nameRule.check(text)
	case ValueName:
		return nameRule.check(text)
	case ValueAccount:
		return rule{want: "12 digits", pattern: accountRule.pattern}.check(text)
	case ValueRegion:
		return regionRule.check(text)
	case ValueGitHub:
		return githubRule.check(text)
	case ValuePackage:
		return packageRule.check(text)
	case ValueVariable:
		if isCredentialName(text) {
			return errors.New("must not be the name of a credential")
		}
		return variableRule.check(text)
	case ValueBranch:
		if message, _ := branchProblem(text); message != "" {
			return errors.New("must be a branch")
		}
	case ValuePath:
		if message, _ := pathProblem(text); message != "" {
			return errors.New(message)
		}
		if strings.Contains(text, "${") {
			return errors.New("must not hold ${, which begins an expression")
		}
	}
	return nil
}

// check is ok as an error.
func (r rule) check(text string) error {
	if r.ok(text) {
		return nil
	}
	return errors.New("must be " + r.want)
}
