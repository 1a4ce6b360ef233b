package config

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// The kinds of expression that a value may hold.
const (
	kindEnv = "env" // a variable of the process environment
	kindSSM = "ssm" // a parameter of the target's Parameter Store
)

// reference is one expression of a value: ${env:NAME} or ${ssm:/path}.
type reference struct{ kind, name string }

func (e reference) String() string { return "${" + e.kind + ":" + e.name + "}" }

// in is the reference as one agent and environment mean it: the path of a
// parameter may hold their names, as repository may.
func (e reference) in(agent, environment string) reference {
	if e.kind == kindSSM {
		e.name = strings.NewReplacer("{agent}", agent, "{environment}", environment).Replace(e.name)
	}
	return e
}

// part is a piece of a value: literal text, or a reference.
type part struct {
	text string
	from *reference
}

var (
	expressionShape = pattern.New(`^\$\{([A-Za-z0-9_-]*):((?:[^{}]|\{agent\}|\{environment\})*)\}`)
	shellShape      = pattern.New(`^\$\{([A-Za-z_][A-Za-z0-9_]{0,60})\}`)
	envNameShape    = pattern.New(`^[A-Za-z_][A-Za-z0-9_]*$`)
	ssmNameShape    = pattern.New(`^(/([A-Za-z0-9_.-]|\{agent\}|\{environment\})+)+$`)
)

// ssmNameLimit is how long Parameter Store lets a name be.
const ssmNameLimit = 1011

// split takes a value apart. $${ stands for ${ itself. Nothing is looked for
// in what an expression yields, so a value can't smuggle another one in. What
// is no expression and begins like one is said in message.
func split(text string) (parts []part, message, hint string) {
	var literal strings.Builder
	for text != "" {
		at := strings.Index(text, "${")
		if at < 0 {
			break
		}
		if at > 0 && text[at-1] == '$' {
			literal.WriteString(text[:at-1] + "${")
			text = text[at+2:]
			continue
		}
		literal.WriteString(text[:at])
		text = text[at:]
		m := expressionShape.FindStringSubmatch(text)
		if m == nil {
			message, hint = malformed(text)
			return nil, message, hint
		}
		e := reference{m[1], m[2]}
		if message, hint = e.fault(); message != "" {
			return nil, message, hint
		}
		parts = append(parts, part{text: literal.String()}, part{from: &e})
		literal.Reset()
		text = text[len(m[0]):]
	}
	return append(parts, part{text: literal.String() + text}), "", ""
}

// Literal is a text as a value of slipway.yaml has it: without expressions.
func Literal(text string) string { return strings.ReplaceAll(text, "${", "$${") }

// fault says why a reference can't be one.
func (e reference) fault() (message, hint string) {
	switch {
	case e.kind == kindEnv && !envNameShape.MatchString(e.name):
		return "${env:NAME} must name an environment variable: letters, digits and _", ""
	case e.kind == kindSSM && (!ssmNameShape.MatchString(e.name) || len(e.name) > ssmNameLimit):
		return "${ssm:/path} must name a parameter by its whole path: parts of letters, digits, . _ and -, each after a /",
			"it may hold {agent} and {environment}"
	case e.kind != kindEnv && e.kind != kindSSM:
		return fmt.Sprintf("there is no expression ${%s:…}; there are ${env:NAME} and ${ssm:/path}", strings.Trim(quote(e.kind), `"`)),
			"write $${ where the text itself begins with ${"
	}
	return "", ""
}

// malformed says what a text is that begins like an expression.
func malformed(text string) (message, hint string) {
	if strings.HasPrefix(text, "${{") {
		return "GitHub does not evaluate ${{ … }} here",
			"set an environment variable of the job and write ${env:NAME}, or $${{ for the text itself"
	}
	if m := shellShape.FindStringSubmatch(text); m != nil {
		return "there is no expression ${" + m[1] + "}; there are ${env:NAME} and ${ssm:/path}",
			"write ${env:" + m[1] + "}, or $${ where the text itself begins with ${"
	}
	return "${ begins no expression; there are ${env:NAME} and ${ssm:/path}", "write $${ where the text itself begins with ${"
}

// The values that may hold expressions, by their paths. What Slipway needs
// before it can ask AWS anything, or without asking it, takes ${env:…} alone;
// what only a deploy needs takes ${ssm:…} too. Names, paths, choices and
// numbers are what the file itself is about and take neither.
var (
	takesEnv = pattern.New(`^(region` +
		`|agents\.[^.\[]+\.(repository|build\.args[.\[].+)` +
		`|environments\.[^.\[]+\.(account|region|endpoint|deploy_role|profile))$`)
	takesBoth = pattern.New(`^(agents\.[^.\[]+\.(runtime\.(description|environment_variables[.\[].+|protocol_configuration\.path` +
		`|(request_header|authorizer)_configuration\..+|filesystem_configurations\[.+)|verify\.(payload.*|expect\.contains))` +
		`|environments\.[^.\[]+\.(execution_role|capacity_provider|network\.(security_groups|subnets)(\[.+)?))$`)
	variablePath = pattern.New(`^agents\.[^.\[]+\.runtime\.environment_variables[.\[]`)
)

// misplaced says why an expression can't stand at a path.
func (e reference) misplaced(path string) (message, hint string) {
	switch {
	case takesBoth.MatchString(path), e.kind == kindEnv && takesEnv.MatchString(path):
		return "", ""
	case takesEnv.MatchString(path):
		return "can't come from Parameter Store: it is needed before or without asking AWS", "write ${env:NAME}"
	}
	return "takes no expressions such as " + e.String(), "write the value itself"
}

// unfit says why a value that an expression yields can't stand in the file,
// whatever it is for.
func unfit(text string) string {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool {
		return c < ' ' && c != '\t' && c != '\n' && c != '\r' || c >= 0x7f && c <= 0x9f
	}) {
		return "is not plain text in UTF-8"
	}
	return ""
}
