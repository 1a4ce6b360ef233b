package config

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// file reads the top of slipway.yaml.
func (r *reader) file(v value) *File {
	f := &File{Name: r.name, places: r.places}
	r.object(v, fields{
		"version":      r.version,
		"github":       func(v value) { f.GitHub = r.github(v) },
		"region":       func(v value) { f.Region = r.text(v, regionRule) },
		"tool":         func(v value) { f.Tool = r.tool(v) },
		"agents":       func(v value) { f.agents = r.agents(v) },
		"environments": func(v value) { f.environments = r.environments(v) },
	}, "version", "agents", "environments")
	return f
}

func (r *reader) version(v value) {
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!int" || v.node.Value != "1" {
		r.problem(v, "write version: 1", "this Slipway reads version 1 of the file")
	}
}

func (r *reader) github(v value) GitHub {
	g := parseGitHub(r.text(v, githubRule))
	if (g.OwnerID == "") != (g.NameID == "") {
		r.problem(v, "", "must have both ids or none: owner@id/name@id")
	}
	return g
}

func (r *reader) tool(v value) Tool {
	var t Tool
	r.object(v, fields{
		"version": func(v value) { t.Version = r.text(v, versionRule) },
		"url":     func(v value) { t.URL = r.text(v, urlRule) },
		"sha256": func(v value) {
			t.SHA256 = map[string]string{}
			for _, sum := range r.entries(v) {
				if !platformRule.ok(sum.key.Value) {
					r.report(sum.key.Line, sum.key.Column, sum.path, "", "must be "+platformRule.want)
					continue
				}
				t.SHA256[sum.key.Value] = r.text(sum, sha256Rule)
			}
		},
	}, "version")
	return t
}

// named reads a mapping whose keys are names, each once whatever its case:
// GitHub knows one environment Prod/prod, a token's subject two (C12).
func (r *reader) named(v value, what string, read func(name string, v value)) {
	entries := r.entries(v)
	if v.node.Kind == yaml.MappingNode && len(v.node.Content) == 0 {
		r.missing(v, "", "must name at least one %s", what)
	}
	seen := map[string]string{}
	for _, child := range entries {
		name := child.key.Value
		if !nameRule.ok(name) {
			r.report(child.key.Line, child.key.Column, child.path, "",
				"the name of an "+what+" must be "+nameRule.want)
			continue
		}
		if other, twice := seen[strings.ToLower(name)]; twice {
			r.report(child.key.Line, child.key.Column, child.path, "",
				"differs from "+other+" in case alone")
			continue
		}
		seen[strings.ToLower(name)] = name
		if isNull(child.node) {
			r.problem(child, "give it a value or remove the key", "has no value")
			continue
		}
		read(name, child)
	}
}

func (r *reader) agents(v value) []Agent {
	var agents []Agent
	r.named(v, "agent", func(name string, v value) {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "aws") || strings.HasPrefix(lower, "ssm") {
			r.report(v.key.Line, v.key.Column, v.path, "",
				"the name of an agent can't begin with aws or ssm: SSM refuses such parameters")
		}
		agents = append(agents, r.agent(name, v))
	})
	return agents
}

func (r *reader) agent(name string, v value) Agent {
	a := Agent{Name: name, Build: Build{Path: ".", Engine: EngineDocker, Dockerfile: "Dockerfile",
		Platform: "linux/arm64", Package: "."}}
	r.object(v, fields{
		"path":       func(v value) { a.Build.Path = r.localPath(v) },
		"build":      func(v value) { r.build(v, &a.Build) },
		"repository": func(v value) { a.Repository, _ = r.str(v) },
		"runtime":    func(v value) { a.Runtime = r.settings(v, runtimeMembers()) },
		"verify":     func(v value) { a.Verify = r.verify(v) },
	}, "repository")
	for name := range variablesOf(a.Runtime) {
		if from := r.origins[keyPath(agentPath(a.Name, "runtime.environment_variables"), name)]; from != "" {
			if a.Origins == nil {
				a.Origins = map[string]string{}
			}
			a.Origins[name] = from
		}
	}
	return a
}

// localPath reads a path that stays inside the repository. Load checks that
// no symbolic link leads out.
func (r *reader) localPath(v value) string {
	text, ok := r.str(v)
	if !ok {
		return ""
	}
	if message, hint := pathProblem(text); message != "" {
		r.problem(v, hint, "%s", message)
		return ""
	}
	return cleanPath(text)
}

func (r *reader) verify(v value) delivery.VerifySpec {
	var spec delivery.VerifySpec
	r.members(v, fields{"payload": func(value) {}, "expect": func(value) {}}, func(child value) {
		switch {
		case child.key.Value == "payload":
			spec.Payload = r.payload(child)
		case isNull(child.node):
			r.problem(child, "give it a value or remove the key", "has no value")
		default:
			r.object(child, fields{
				"contains": func(v value) { spec.Contains = r.text(v, anyText) },
			}, "contains")
		}
	}, nil)
	return spec
}

func (r *reader) environments(v value) []Environment {
	var environments []Environment
	r.named(v, "environment", func(name string, v value) {
		environments = append(environments, r.environment(name, v))
	})
	return environments
}

func (r *reader) environment(name string, v value) Environment {
	e := Environment{Name: name, Compute: delivery.MicroVM, ImageReference: delivery.ByDigest}
	r.object(v, fields{
		"account":           func(v value) { e.Account = r.account(v) },
		"region":            func(v value) { e.Region = r.text(v, regionRule) },
		"trigger":           func(v value) { e.Trigger = r.choice(v, "push") },
		"after":             func(v value) { e.After, _ = r.str(v) },
		"endpoint":          func(v value) { e.Endpoint = r.text(v, endpointRule) },
		"approvals":         func(v value) { e.Reviewers = r.approvals(v) },
		"deploy_role":       func(v value) { e.DeployRole = r.text(v, roleRule) },
		"execution_role":    func(v value) { e.ExecutionRole = r.text(v, roleRule) },
		"network":           func(v value) { e.Network = r.network(v) },
		"branch":            func(v value) { e.Branch = r.branch(v) },
		"url":               func(v value) { e.URL = r.text(v, pageRule) },
		"compute":           func(v value) { e.Compute = delivery.Compute(r.choice(v, "microvm", "instances")) },
		"capacity_provider": func(v value) { e.CapacityProvider = r.text(v, capacityRule) },
		"image_reference": func(v value) {
			e.ImageReference = delivery.ImageReference(r.choice(v, "digest", "tag", "latest"))
		},
		"profile":  func(v value) { e.Profile = r.text(v, profileRule) },
		"timeouts": func(v value) { r.timeouts(v, &e) },
	}, "account")
	return e
}

func (r *reader) account(v value) string {
	if v.node.Kind == yaml.ScalarNode && (v.node.Tag == "!!int" || v.node.Tag == "!!float") {
		r.problem(v, "write "+quote(v.node.Value)+": YAML reads bare digits as a number and may change it",
			"must be %s", accountRule.want)
		return ""
	}
	return r.text(v, accountRule)
}

// reviewerLimit is how many reviewers GitHub takes per environment.
const reviewerLimit = 6

func (r *reader) approvals(v value) (reviewers []string) {
	r.object(v, fields{
		"reviewers": func(v value) { reviewers = r.texts(v, reviewerLimit, reviewerRule) },
	}, "reviewers")
	return reviewers
}

func (r *reader) network(v value) Network {
	var n Network
	r.object(v, fields{
		"mode":            func(v value) { n.Mode = r.choice(v, NetworkPublic, NetworkVPC) },
		"security_groups": func(v value) { n.SecurityGroups = r.ids(v, groupRule) },
		"subnets":         func(v value) { n.Subnets = r.ids(v, subnetRule) },
	})
	if n.Mode == NetworkPublic && len(n.SecurityGroups)+len(n.Subnets) > 0 {
		r.problemAt(v.path+".mode", "", "PUBLIC has no subnets and no security groups; VPC has")
	}
	return n
}

func (r *reader) branch(v value) string {
	text, ok := r.str(v)
	if !ok {
		return ""
	}
	if message, hint := branchProblem(text); message != "" {
		r.problem(v, hint, "%s", message)
		return ""
	}
	return text
}

func (r *reader) timeouts(v value, e *Environment) {
	r.object(v, fields{
		"ready":  func(v value) { e.ReadyTimeout = r.duration(v) },
		"verify": func(v value) { e.VerifyTimeout = r.duration(v) },
	})
}
