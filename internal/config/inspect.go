package config

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds how deeply a file may nest.
const maxDepth = 64

// inspect reports what no part of the file may hold, whatever its meaning:
// aliases, tags, repeated or odd keys, credentials, broken expressions. A node
// with such a fault is muted, so that nothing else is said about it.
func (r *reader) inspect(n *yaml.Node, path string, depth int) {
	if depth > maxDepth {
		r.mute(n, path, "", "nests deeper than %d levels", maxDepth)
		n.Content = nil
		return
	}
	if n.Style&yaml.TaggedStyle != 0 && n.Tag != "!!str" {
		r.mute(n, path, "", "YAML tags are not supported")
	}
	switch n.Kind {
	case yaml.AliasNode:
		r.mute(n, path, "write the value out", "YAML aliases are not supported")
	case yaml.ScalarNode:
		r.inspectScalar(n, path)
		if strings.Contains(n.Value, "${") && !r.muted[n] {
			r.resolveScalar(n, path)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			r.inspect(item, indexPath(path, i), depth+1)
		}
	case yaml.MappingNode:
		r.inspectMapping(n, path, depth)
	}
}

func (r *reader) inspectMapping(n *yaml.Node, path string, depth int) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, child := n.Content[i], n.Content[i+1]
		childPath := keyPath(path, key.Value)
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag != "!!str" && key.Tag != "!!int":
			r.inspectKey(key, path)
			childPath = path
		case first[key.Value] > 0:
			r.mute(key, childPath, "", "is given twice; first in line %d", first[key.Value])
		default:
			first[key.Value] = key.Line
			r.inspectScalar(key, childPath)
			if strings.Contains(key.Value, "${env:") || strings.Contains(key.Value, "${ssm:") {
				r.mute(key, childPath, "write the name itself", "keys take no expressions")
			}
		}
		r.inspect(child, childPath, depth+1)
	}
}

func (r *reader) inspectKey(key *yaml.Node, path string) {
	if key.Tag == "!!merge" {
		r.mute(key, path, "write the keys out", "YAML merge keys are not supported")
		return
	}
	r.mute(key, path, "quote it", "keys must be strings, not %s", kindOf(key))
}

func (r *reader) inspectScalar(n *yaml.Node, path string) {
	if what := credentialIn(n.Value); what != "" {
		hint := "credentials don't belong in slipway.yaml: keep it as an SSM SecureString and write ${ssm:/path} " +
			"in runtime.environment_variables, or let the execution role read it from AWS Secrets Manager"
		if strings.Contains(path, ".build.") {
			hint = "credentials don't belong in slipway.yaml, nor in an image: name where it comes from in build.secrets"
		}
		r.mute(n, path, hint, "looks like %s", what)
	}
}
