package delivery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// Document is a runtime's configuration as AgentCore's own JSON object.
// Members that this program has never heard of stay in it, byte for byte.
type Document = json.RawMessage

// responseOnly lists the members of a Get answer that an update does not
// take (facts: Update semantics). It is short on purpose: what is not named
// here is sent back.
func responseOnly() []string {
	return []string{"agentRuntimeArn", "agentRuntimeId", "agentRuntimeName", "agentRuntimeVersion",
		"createdAt", "lastUpdatedAt", "status", "failureReason", "workloadIdentityDetails"}
}

// runtimeFacts is what the core reads of a runtime's document.
type runtimeFacts struct {
	ARN      string `json:"agentRuntimeArn"`
	ID       string `json:"agentRuntimeId"`
	Name     string `json:"agentRuntimeName"`
	Version  string `json:"agentRuntimeVersion"`
	Status   string `json:"status"`
	Failure  string `json:"failureReason"`
	Role     string `json:"roleArn"`
	Artifact struct {
		Container struct {
			URI string `json:"containerUri"`
		} `json:"containerConfiguration"`
	} `json:"agentRuntimeArtifact"`
	Capacity   json.RawMessage `json:"capacityProviderConfiguration"`
	Authorizer json.RawMessage `json:"authorizerConfiguration"`
	Protocol   struct {
		Server string `json:"serverProtocol"`
	} `json:"protocolConfiguration"`
}

func readFacts(doc Document) (runtimeFacts, error) {
	var f runtimeFacts
	exact, err := named(doc, "agentRuntimeArn", "agentRuntimeId", "agentRuntimeName", "agentRuntimeVersion", "status", "failureReason", "roleArn",
		"agentRuntimeArtifact.containerConfiguration.containerUri", "capacityProviderConfiguration", "authorizerConfiguration",
		"protocolConfiguration.serverProtocol")
	if err == nil {
		err = json.Unmarshal(exact, &f)
	}
	if err != nil {
		return f, fmt.Errorf("reading the runtime's document: %w", err)
	}
	return f, nil
}

// named keeps the members at these paths, by exact name: encoding/json would
// take STATUS for status. A value that is no object stays, for its reader to
// refuse.
func named(raw json.RawMessage, paths ...string) (json.RawMessage, error) {
	o, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	var kept object
	for _, path := range paths {
		name, below, nested := strings.Cut(path, ".")
		value, ok := o.get(name)
		if !ok {
			continue
		}
		if inner, err := named(value, below); nested && err == nil {
			value = inner
		}
		kept = kept.set(name, value)
	}
	return kept.raw(), nil
}

// statedOnce refuses a document that states a member twice, at any depth:
// readers differ on which of the two counts, so no edit of it is sure.
func statedOnce(doc Document) error {
	dec := json.NewDecoder(bytes.NewReader(doc))
	var open []map[string]bool // the names of each object that is open; nil for a list
	isName := false
	for {
		token, err := dec.Token()
		if err != nil {
			return nil //nolint:nilerr // the end, or broken: that is for others to say
		}
		inside := len(open) > 0 && open[len(open)-1] != nil
		name, isText := token.(string)
		switch {
		case token == json.Delim('{'):
			open, isName = append(open, map[string]bool{}), true
			continue
		case token == json.Delim('['):
			open, isName = append(open, nil), false
			continue
		case token == json.Delim('}'), token == json.Delim(']'):
			open = open[:len(open)-1]
			isName = len(open) > 0 && open[len(open)-1] != nil
			continue
		case inside && isName && isText:
			if open[len(open)-1][name] {
				return fmt.Errorf("it states %q twice", name)
			}
			open[len(open)-1][name] = true
		}
		isName = inside && !isName
	}
}

// compute tells what the runtime runs on from its live configuration.
func (f runtimeFacts) compute() Compute {
	if present(f.Capacity) {
		return Instances
	}
	return MicroVM
}

func present(raw json.RawMessage) bool {
	return len(raw) > 0 && !bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// member is one member of a JSON object, its name and value as they were
// written.
type member struct {
	name    string
	value   json.RawMessage
	written []byte // the name with its quotes; nil for one of our own
}

// object is a JSON object that keeps the order and the bytes of its members.
type object []member

func parseObject(raw json.RawMessage) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') || !json.Valid(raw) {
		return nil, errors.New("not a JSON object")
	}
	var o object
	for dec.More() {
		start := dec.InputOffset()
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		written := bytes.TrimLeft(raw[start:dec.InputOffset()], ", \t\r\n")
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		o = append(o, member{name.(string), value, written})
	}
	return o, nil
}

func (o object) get(name string) (json.RawMessage, bool) {
	for _, m := range o {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

func (o object) set(name string, value json.RawMessage) object {
	for i := range o {
		if o[i].name == name {
			o[i].value = value
			return o
		}
	}
	return append(o, member{name: name, value: value})
}

func (o object) without(names ...string) object {
	var kept object
	for _, m := range o {
		drop := false
		for _, n := range names {
			drop = drop || n == m.name
		}
		if !drop {
			kept = append(kept, m)
		}
	}
	return kept
}

func (o object) raw() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if m.written == nil {
			m.written, _ = json.Marshal(m.name) // a string always encodes
		}
		b.Write(m.written)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// edit returns the body of an update: the live document less what responses
// alone carry, with the image and the owned settings in it, and MMDSv2 on
// (AgentCore refuses calls of runtimes without it since 2026-06-30).
// dropped lists the live members that settings asks to remove.
func edit(live Document, settings json.RawMessage, imageURI string) (body Document, dropped []string, err error) {
	o, err := parseObject(live)
	if err == nil {
		err = statedOnce(live)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the live configuration: %w", err)
	}
	if _, err := parseObject(settings); err != nil && present(settings) {
		return nil, nil, fmt.Errorf("reading the settings: %w", err) // anything else would replace the whole configuration
	}
	body = o.without(responseOnly()...).raw()
	uri, _ := json.Marshal(imageURI) // a string always encodes
	for _, patch := range []json.RawMessage{
		settings,
		// the artifact is one of two: code in S3 would have to go, which edit reports as dropped
		json.RawMessage(`{"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":` + string(uri) + `},"codeConfiguration":null}}`),
		mmdsV2(),
	} {
		if !present(patch) {
			continue
		}
		if body, dropped, err = merge(body, patch, "", dropped); err != nil {
			return nil, nil, err
		}
	}
	return body, dropped, nil
}

func mmdsV2() json.RawMessage {
	return json.RawMessage(`{"metadataConfiguration":{"requireMMDSV2":true}}`)
}

// merge lays patch over live: objects member by member, everything else
// whole. A null removes. What is equal keeps its bytes.
func merge(live, patch json.RawMessage, path string, dropped []string) (json.RawMessage, []string, error) {
	over, err := parseObject(patch)
	if err != nil {
		return patch, dropped, nil //nolint:nilerr // not an object: replaces the value whole
	}
	base, err := parseObject(live)
	if err != nil {
		base = nil // absent, or of another kind: replaced by what patch states
	}
	for _, m := range over {
		old, had := base.get(m.name)
		where := join(path, m.name)
		switch {
		case !present(m.value):
			if had {
				base, dropped = base.without(m.name), append(dropped, where)
			}
		case had && equalJSON(old, m.value):
		default:
			if m.value, dropped, err = merge(old, m.value, where, dropped); err != nil {
				return nil, nil, err
			}
			base = base.set(m.name, m.value)
		}
	}
	return base.raw(), dropped, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func equalJSON(a, b json.RawMessage) bool {
	x, errX := decodeJSON(a)
	y, errY := decodeJSON(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func decodeJSON(raw json.RawMessage) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // large numbers stay what they are
	var v any
	err := dec.Decode(&v)
	return v, err
}

// diff lists what differs between two configurations, leaf by leaf, sorted by
// path. Values of environment variables that settings does not state are
// marked secret: they may hold anything.
func diff(before, after Document, settings json.RawMessage) ([]Change, error) {
	stated := statedVariables(settings)
	b, err := parseObject(before)
	if err != nil {
		return nil, fmt.Errorf("reading the live configuration: %w", err)
	}
	changes := compare("", b.without(responseOnly()...).raw(), after, nil)
	sort.Slice(changes, func(i, j int) bool { return changes[i].Path < changes[j].Path })
	for i, c := range changes {
		changes[i].Secret = isVariable(c.Path) && !stated[c.Path]
	}
	return changes, nil
}

const variablesMember = "environmentVariables"

func isVariable(path string) bool {
	return len(path) >= len(variablesMember) && path[:len(variablesMember)] == variablesMember
}

func statedVariables(settings json.RawMessage) map[string]bool {
	stated := make(map[string]bool)
	o, _ := parseObject(settings) // no settings, nothing stated
	raw, _ := o.get(variablesMember)
	variables, _ := parseObject(raw)
	for _, m := range variables {
		if !present(m.value) {
			continue // a null states no value: what is live stays secret
		}
		stated[join(variablesMember, m.name)] = true
	}
	return stated
}

func compare(path string, before, after json.RawMessage, changes []Change) []Change {
	if present(before) == present(after) && (!present(before) || equalJSON(before, after)) {
		return changes
	}
	b, errB := parseObject(before)
	a, errA := parseObject(after)
	if (errB != nil && present(before)) || (errA != nil && present(after)) || (errA != nil && errB != nil) {
		return append(changes, Change{Path: path, Before: before, After: after})
	}
	for _, m := range b {
		value, _ := a.get(m.name)
		changes = compare(join(path, m.name), m.value, value, changes)
	}
	for _, m := range a {
		if _, both := b.get(m.name); !both {
			changes = compare(join(path, m.name), nil, m.value, changes)
		}
	}
	return changes
}

// snapshotBody is the update that brings a version's configuration back, as
// it was but for MMDSv2.
func snapshotBody(version Document) (Document, error) {
	o, err := parseObject(version)
	if err == nil {
		err = statedOnce(version)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the version's configuration: %w", err)
	}
	body, _, err := merge(o.without(responseOnly()...).raw(), mmdsV2(), "", nil)
	return body, err
}
