package config

import (
	"encoding/json"
	"math"
	"strings"

	"go.yaml.in/yaml/v3"
)

// payload turns any YAML value into JSON, keys in the order of the file.
func (r *reader) payload(v value) json.RawMessage {
	if isNull(v.node) && !isExplicitNull(v.node) {
		r.problem(v, "write null to send null", "has no value")
		return nil
	}
	var b strings.Builder
	if !r.writeJSON(&b, v) {
		return nil
	}
	return json.RawMessage(b.String())
}

// writeJSON writes a value as JSON. It returns false after reporting what has
// no place in JSON.
func (r *reader) writeJSON(b *strings.Builder, v value) bool {
	switch v.node.Kind {
	case yaml.MappingNode:
		return r.writeObject(b, v)
	case yaml.SequenceNode:
		ok := true
		b.WriteByte('[')
		for i, item := range v.node.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			ok = r.writeJSON(b, value{node: item, path: indexPath(v.path, i)}) && ok
		}
		b.WriteByte(']')
		return ok
	case yaml.ScalarNode:
		return r.writeScalar(b, v)
	}
	return false
}

func (r *reader) writeObject(b *strings.Builder, v value) bool {
	ok := true
	b.WriteByte('{')
	for i, child := range r.entries(v) {
		if i > 0 {
			b.WriteByte(',')
		}
		key, _ := marshal(child.key.Value)
		b.Write(key)
		b.WriteByte(':')
		ok = r.writeJSON(b, child) && ok
	}
	b.WriteByte('}')
	return ok
}

func (r *reader) writeScalar(b *strings.Builder, v value) bool {
	text := v.node.Value
	var decoded any
	switch v.node.Tag {
	case "!!null":
		text = "null"
	case "!!int", "!!float", "!!bool":
		if json.Valid([]byte(text)) { // as written: 1.0 stays 1.0, long numbers keep their digits
			break
		}
		if err := v.node.Decode(&decoded); err != nil || !isFinite(decoded) {
			r.problem(v, "quote it", "%s has no place in JSON", quote(text))
			return false
		}
		out, _ := marshal(decoded)
		text = string(out)
	default:
		out, _ := marshal(text)
		text = string(out)
	}
	b.WriteString(text)
	return true
}

func isFinite(v any) bool {
	f, ok := v.(float64)
	return !ok || !math.IsNaN(f) && !math.IsInf(f, 0)
}
