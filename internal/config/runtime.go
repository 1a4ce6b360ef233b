package config

import (
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// member is one member of an AgentCore structure: its name in slipway.yaml,
// its name in AgentCore's JSON, and how its value is read.
type member struct {
	name     string
	json     string
	read     func(*reader, value) any
	required bool
}

// runtimeMembers are the members of a runtime's configuration that the file
// may state (facts 1.4). All others stay as they are live.
func runtimeMembers() []member {
	return []member{
		{name: "description", json: "description", read: textOf(anyText.length(1, 4096))},
		{name: "environment_variables", json: "environmentVariables", read: (*reader).variables},
		{name: "lifecycle_configuration", json: "lifecycleConfiguration", read: structOf(
			member{name: "idle_runtime_session_timeout", json: "idleRuntimeSessionTimeout", read: numberOf(60, 28800)},
			member{name: "max_lifetime", json: "maxLifetime", read: numberOf(60, 28800)},
		)},
		{name: "protocol_configuration", json: "protocolConfiguration", read: structOf(
			member{name: "server_protocol", json: "serverProtocol", read: choiceOf("HTTP", "MCP", "A2A", "AGUI"), required: true},
			member{name: "port", json: "port", read: (*reader).port},
			member{name: "path", json: "path", read: textOf(portPathRule)},
		)},
		{name: "request_header_configuration", json: "requestHeaderConfiguration", read: structOf(
			member{name: "request_header_allowlist", json: "requestHeaderAllowlist", read: textsOf(20, headerRule), required: true},
		)},
		{name: "authorizer_configuration", json: "authorizerConfiguration", read: structOf(
			member{name: "custom_jwt_authorizer", json: "customJWTAuthorizer", read: structOf(jwtMembers()...), required: true},
		)},
		{name: "filesystem_configurations", json: "filesystemConfigurations", read: (*reader).filesystems},
	}
}

func jwtMembers() []member {
	return []member{
		{name: "discovery_url", json: "discoveryUrl", read: textOf(discoveryRule), required: true},
		{name: "allowed_audience", json: "allowedAudience", read: textsOf(1000, anyText)},
		{name: "allowed_clients", json: "allowedClients", read: textsOf(1000, anyText)},
		{name: "allowed_scopes", json: "allowedScopes", read: textsOf(1000, scopeRule)},
	}
}

func filesystemMembers() []member {
	accessPoint := func(arn rule) func(*reader, value) any {
		return structOf(
			member{name: "access_point_arn", json: "accessPointArn", read: textOf(arn), required: true},
			member{name: "mount_path", json: "mountPath", read: textOf(mountRule), required: true})
	}
	return []member{
		{name: "session_storage", json: "sessionStorage", read: structOf(
			member{name: "mount_path", json: "mountPath", read: textOf(mountRule), required: true})},
		{name: "s3_files_access_point", json: "s3FilesAccessPoint", read: accessPoint(s3FilesRule)},
		{name: "efs_access_point", json: "efsAccessPoint", read: accessPoint(efsRule)},
	}
}

func textOf(must rule) func(*reader, value) any {
	return func(r *reader, v value) any { return r.text(v, must) }
}

func textsOf(most int, must rule) func(*reader, value) any {
	return func(r *reader, v value) any { return r.texts(v, most, must) }
}

func numberOf(least, most int) func(*reader, value) any {
	return func(r *reader, v value) any {
		n, _ := r.number(v, least, most)
		return n
	}
}

func choiceOf(options ...string) func(*reader, value) any {
	return func(r *reader, v value) any { return r.choice(v, options...) }
}

func structOf(members ...member) func(*reader, value) any {
	return func(r *reader, v value) any { return r.settings(v, members) }
}

// settings reads a structure of AgentCore under its JSON names. An explicit
// null asks for the live member to be removed; a required one can't be.
func (r *reader) settings(v value, members []member) map[string]any {
	known, byName, required := fields{}, map[string]member{}, []string(nil)
	for _, m := range members {
		known[m.name] = func(value) {}
		byName[m.name] = m
		if m.required {
			required = append(required, m.name)
		}
	}
	out := map[string]any{}
	r.members(v, known, func(child value) {
		m := byName[child.key.Value]
		switch {
		case isExplicitNull(child.node) && !m.required:
			out[m.json] = nil
		case isNull(child.node):
			r.emptyMember(child, m.required)
		default:
			out[m.json] = m.read(r, child)
		}
	}, required)
	return out
}

// emptyMember reports a key with nothing after it: the likely slip for null,
// which would remove something that is live.
func (r *reader) emptyMember(v value, required bool) {
	hint := "write null to remove what is live"
	if required {
		hint = "give it a value"
	}
	r.problem(v, hint, "has no value")
}

// The limits of environment variables (facts 1.4).
const (
	variableLimit      = 50
	variableValueLimit = 5000
)

// variables reads environment variables. Numbers and booleans are taken as
// they are written; an explicit null removes a live variable.
func (r *reader) variables(v value) any {
	out := map[string]any{}
	set := 0
	for _, child := range r.entries(v) {
		r.variableName(child)
		name := child.key.Value
		if isExplicitNull(child.node) {
			out[name] = nil
			continue
		}
		if isNull(child.node) {
			r.problem(child, `write "" for an empty one, null to remove a live one`, "has no value")
			continue
		}
		text, ok := r.scalar(child)
		switch {
		case ok && utf8.RuneCountInString(text) > variableValueLimit:
			r.problem(child, "", "must be at most %d characters, not %d", variableValueLimit, utf8.RuneCountInString(text))
		case ok && text != "" && isCredentialName(name):
			r.problem(child, "the agent has the credentials of its execution role", "an AWS credential can't be set here")
		}
		out[name] = text
		set++
	}
	if set > variableLimit {
		r.problem(v, "", "must hold at most %d variables, not %d", variableLimit, set)
	}
	return out
}

// variablesOf are the environment variables that a runtime's settings state.
func variablesOf(runtime map[string]any) map[string]any {
	variables, _ := runtime["environmentVariables"].(map[string]any)
	return variables
}

func (r *reader) variableName(v value) {
	if !variableRule.ok(v.key.Value) {
		r.report(v.key.Line, v.key.Column, v.path, "", "must have "+variableRule.want)
	}
}

// scalar reads a string, or a number or boolean as it is written.
func (r *reader) scalar(v value) (string, bool) {
	if r.muted[v.node] {
		return "", false
	}
	if v.node.Kind != yaml.ScalarNode || isNull(v.node) {
		r.problem(v, "", "must be a string, not %s", kindOf(v.node))
		return "", false
	}
	return v.node.Value, true
}

func (r *reader) port(v value) any {
	n, ok := r.number(v, 8000, 12000)
	if ok && n == 8443 {
		r.problem(v, "", "8443 is AgentCore's own port")
	}
	return n
}

// filesystems reads the list of mounts, each of one kind.
func (r *reader) filesystems(v value) any {
	out := []any{}
	for _, item := range r.items(v, 0, 5) {
		mount := r.settings(item, filesystemMembers())
		if item.node.Kind == yaml.MappingNode && len(item.node.Content) != 2 {
			r.problem(item, "", "must have one of session_storage, s3_files_access_point and efs_access_point")
		}
		out = append(out, mount)
	}
	return out
}
