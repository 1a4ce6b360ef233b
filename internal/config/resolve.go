package config

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// Lookup finds what expressions name.
type Lookup struct {
	// Env returns a variable of the process environment, "" where it is not
	// set. If nil, none is.
	Env func(name string) string
	// Parameters holds the parameters that were read, by name: those that
	// Parameters asks for. If nil, they are still to be read, and the values
	// that need them are empty.
	Parameters map[string]Parameter
}

// Parameter is a parameter of Parameter Store as it was read. The zero value
// is one that is not there.
type Parameter struct {
	Value string
	// Secret says that it is a SecureString: its value is never shown, and
	// stands in runtime.environment_variables alone.
	Secret bool
}

// resolving is whose expressions are resolved, and from what.
type resolving struct {
	agent, environment string
	lookup             Lookup
	region             bool // the file's region is the environment's
	look               bool // of the agent, only where its images are
	partial            bool // what only a deploy needs may be known elsewhere
}

// concerns says whether a path belongs to the agent, the environment, or what
// both use.
func (s *resolving) concerns(path string) bool {
	own, agents := strings.CutPrefix(path, "agents."+s.agent+".")
	return s.agent != "" && agents && (!s.look || own == "repository") ||
		strings.HasPrefix(path, "environments."+s.environment+".") || path == "region" && s.region
}

// Resolve returns the file with the expressions of one agent and environment
// replaced by what they name; those of others stay, and the values that hold
// them are empty. It returns a *delivery.Error of KindUsage where the
// selection names what the file lacks, and of KindConfig, round Problems,
// where an expression yields nothing, or what the file would be refused for.
func (f *File) Resolve(s Selection, lookup Lookup) (*File, error) {
	a, err := f.Agent(s.Agent)
	if err != nil {
		return nil, err
	}
	if _, err := f.Environment(s.Environment); err != nil {
		return nil, err
	}
	if s.Login {
		return f.resolve(resolving{environment: s.Environment, lookup: lookup})
	}
	return f.resolve(resolving{agent: a.Name, environment: s.Environment, lookup: lookup, look: s.Look, partial: s.Partial})
}

// resolve reads the file again, with values in the place of expressions: each
// is held to the rules that a literal is held to.
func (f *File) resolve(s resolving) (*File, error) {
	if !f.expressions {
		return f, nil
	}
	_, own := f.places[environmentPath(s.environment, "region")]
	s.region = !own
	again, err := parseWith(f.Name, f.data, &s)
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindConfig, Err: err}
	}
	again.Dir = f.Dir
	return again, nil
}

// Parameters lists the parameters that are still to be read for the agent and
// environment that the file was resolved for, each once.
func (f *File) Parameters() []string {
	return slices.Sorted(maps.Keys(f.pending))
}

// Variables lists the environment variables that ${env:…} names in what is
// about an environment and an agent, each once; an agent "" leaves agents out.
func (f *File) Variables(agent, environment string) []string {
	named := map[string]bool{}
	for _, v := range f.asked {
		if v.path == "region" || strings.HasPrefix(v.path, "environments."+environment+".") ||
			agent != "" && strings.HasPrefix(v.path, "agents."+agent+".") {
			named[v.name] = true
		}
	}
	return slices.Sorted(maps.Keys(named))
}

// Unset lists the environment variables that a file resolved in part lacks,
// each once.
func (f *File) Unset() []string {
	names := slices.Clone(f.unset)
	slices.Sort(names)
	return slices.Compact(names)
}

// NeededBy is where one of Parameters is named first, as a mistake that still
// lacks its words.
func (f *File) NeededBy(parameter string) Problem { return f.pending[parameter] }

// resolveScalar replaces the expressions of a value, where it is one that is
// to be resolved; else it mutes the value, which is then read as empty.
func (r *reader) resolveScalar(n *yaml.Node, path string) {
	parts, message, hint := split(n.Value)
	if message != "" {
		r.mute(n, path, hint, "%s", message)
		return
	}
	written := n.Value
	var text strings.Builder
	var told Problems
	waits, taken := false, false
	for _, p := range parts {
		if p.from == nil {
			text.WriteString(p.text)
			continue
		}
		taken = true
		value, problem, later := r.valueOf(*p.from, n, path)
		waits = waits || later
		if problem.Message != "" {
			told = append(told, problem)
		}
		text.WriteString(value)
	}
	switch {
	case !taken:
		n.Value = text.String() // $${ is ${
		return
	case len(told) > 0 || waits:
		r.muted[n] = true
		r.unknown = append(r.unknown, path)
		for _, p := range told {
			r.report(n.Line, n.Column, path, p.Hint, p.Message)
		}
	default:
		n.Value, n.Tag, n.Style = text.String(), "!!str", yaml.DoubleQuotedStyle
		r.origins[path] = written
		r.resolvedScalar(n, path)
	}
	r.expressions = true
}

// valueOf returns what a reference yields; later where that can't be known in
// this reading of the file.
func (r *reader) valueOf(e reference, n *yaml.Node, path string) (value string, problem Problem, later bool) {
	if problem.Message, problem.Hint = e.misplaced(path); problem.Message != "" {
		return "", problem, false
	}
	if e.kind == kindEnv {
		r.asked = append(r.asked, namedAt{path, e.name})
	}
	s := r.resolving
	if s == nil || !s.concerns(path) {
		return "", problem, true
	}
	e = e.in(s.agent, s.environment)
	if e.kind == kindEnv {
		if s.lookup.Env != nil {
			value = s.lookup.Env(e.name)
		}
		if value == "" && s.partial && takesBoth.MatchString(path) {
			r.unset = append(r.unset, e.name)
			return "", problem, true
		}
		if value == "" {
			problem = Problem{Message: e.String() + " has no value", Hint: "set the environment variable " + e.name}
		}
		return value, problem, false
	}
	if s.lookup.Parameters == nil {
		if _, named := r.pending[e.name]; !named {
			r.pending[e.name] = Problem{File: r.name, Line: n.Line, Column: n.Column, Path: path}
		}
		return "", problem, true
	}
	p := s.lookup.Parameters[e.name]
	value = strings.TrimSuffix(strings.TrimSuffix(p.Value, "\n"), "\r")
	switch {
	case value == "":
		problem = Problem{Message: e.String() + " has no value", Hint: "write the parameter " + e.name + ", in the environment's account and region"}
	case p.Secret && !variablePath.MatchString(path):
		problem = Problem{Message: e.String() + " is a SecureString, and this value is shown in plans and logs",
			Hint: "SecureStrings may stand in runtime.environment_variables alone; make it a String if it is no secret"}
	}
	return value, problem, false
}

// resolvedScalar reports what no value may be that came from an expression.
func (r *reader) resolvedScalar(n *yaml.Node, path string) {
	if fault := unfit(n.Value); fault != "" {
		r.mute(n, path, "", "%s", fault)
		return
	}
	if what := credentialIn(n.Value); what != "" && !variablePath.MatchString(path) {
		r.mute(n, path, "credentials may stand in runtime.environment_variables alone", "looks like %s", what)
	}
}
