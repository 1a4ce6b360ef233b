package trust

import (
	"regexp"
	"slices"
	"strings"
)

// Words of templates, as the documentation of GitHub, AWS and others writes
// them. In capitals more of them are, because hardly anybody is named so.
var (
	brackets = regexp.MustCompile(`<[^<>]*>|\{\{|\[[A-Za-z][A-Za-z _-]*\]|%[A-Z_]+%`)
	spelled  = regexp.MustCompile(`(?i)^(your|my|github|gh|replace|insert|example|target)[-_ ]?(with[-_ ]?)?(your[-_ ]?)?(github[-_ ]?)?(aws[-_ ]?)?(org|organi[sz]ation|owner|user|username|repo|repository|repo[-_ ]?name|org[-_ ]?name|branch|account|account[-_ ]?id|environment|env|name|me|here)([-_ ]?(name|id|here))?$|^(changeme|change[-_]me|todo|fixme|xxx+|octo-org|octo-repo|octocat)$`)
	capital  = regexp.MustCompile(`^\$?(AWS_)?(ORG|ORGANI[SZ]ATION|OWNER|USER|USERNAME|REPO|REPOSITORY|BRANCH|ACCOUNT|ENV|ENVIRONMENT)([-_]?(NAME|ID|NUMBER|OWNER|REPO))?$`)
	dollar   = regexp.MustCompile(`\$\{([^{}]*)\}|\$\([^)]*\)`)
	between  = regexp.MustCompile(`[/:@,]`)
)

// placeholder says whether text of a template is left in a value. What is the
// real name of something is none.
func (a *audit) placeholder(value string) bool {
	if brackets.MatchString(value) {
		return true
	}
	for _, m := range dollar.FindAllStringSubmatch(value, -1) {
		if !policyVariable(m[1]) {
			return true
		}
	}
	return slices.ContainsFunc(between.Split(value, -1), func(word string) bool {
		real := word == a.Repository.Owner || word == a.Repository.Name || word == a.Environment
		return !real && (spelled.MatchString(word) || capital.MatchString(word))
	})
}

// policyVariable says whether ${name} is one that IAM knows: a condition key,
// which has a colon, or an escape.
func policyVariable(name string) bool {
	name, _, _ = strings.Cut(name, ",")
	return name == "*" || name == "?" || name == "$" || strings.Contains(name, ":") && !strings.Contains(name, "::")
}

// placeholders looks for them in all that a policy says of who may come.
func (a *audit) placeholders() {
	for i, s := range a.policy.Statements {
		for _, p := range s.Principals {
			if a.placeholder(p.Value) {
				a.find("trust/placeholder", a.path(i)+".Principal", nil, "%s is text of a template", p.Value)
			}
		}
		for _, c := range s.Conditions {
			a.placeholderValues(pin{Condition: c, path: a.conditionPath(i, c)})
		}
	}
}

func (a *audit) placeholderValues(p pin) {
	for i, value := range p.Values {
		if a.placeholder(value) {
			a.find("trust/placeholder", a.valuePath(p, i), nil, "%s is text of a template", value)
		}
	}
}
