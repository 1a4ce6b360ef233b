package config

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// File is a slipway.yaml without mistakes. Parse and Load make it; the zero
// value has no agents and no environments.
type File struct {
	Name   string // as problems call it
	Dir    string // the directory it was loaded from, absolute; "" from Parse
	GitHub GitHub
	Region string // for environments that name none; may be ""
	Tool   Tool

	agents       []Agent
	environments []Environment
	places       map[string]position

	data        []byte             // what it was read from
	expressions bool               // it holds some
	resolved    bool               // those of one agent and environment have their values
	unknown     []string           // paths of values that are empty: their expressions are not resolved
	pending     map[string]Problem // parameters that are still to be read, and a place that needs each
	asked       []namedAt          // the environment variables that expressions name
	unset       []string           // those that have no value, where that may be
}

// GitHub names the repository on GitHub. The ids are set where the file
// writes them, as owner@1/name@2.
type GitHub struct {
	Owner, OwnerID string
	Name, NameID   string
}

// String is owner/name, or "" where the file names no repository.
func (g GitHub) String() string {
	if g.Owner == "" {
		return ""
	}
	return g.Owner + "/" + g.Name
}

// Subject is the repository as it stands in a token's subject: owner/name, or
// owner@id/name@id where the ids are known.
func (g GitHub) Subject() string {
	if g.OwnerID == "" {
		return g.String()
	}
	return g.Owner + "@" + g.OwnerID + "/" + g.Name + "@" + g.NameID
}

func parseGitHub(text string) GitHub {
	owner, name, _ := strings.Cut(text, "/")
	var g GitHub
	g.Owner, g.OwnerID, _ = strings.Cut(owner, "@")
	g.Name, g.NameID, _ = strings.Cut(name, "@")
	return g
}

// Tool pins the Slipway that generated workflows install.
type Tool struct {
	Version string            // 0.3.1
	URL     string            // https; may hold {version}, {os} and {arch}
	SHA256  map[string]string // by platform: linux/amd64
}

// Agent is one agent of the file.
type Agent struct {
	Name       string
	Build      Build
	Repository string // ECR repository; may hold {agent} and {environment}
	// Runtime holds the members of the runtime's configuration that the file
	// states, in AgentCore's own JSON names. A null asks to remove one.
	Runtime map[string]any
	// Origins says of which environment variables of Runtime the value came
	// from an expression, and how that stands in the file.
	Origins map[string]string
	Verify  delivery.VerifySpec
}

// RepositoryIn is the name of the agent's ECR repository in an environment.
// Names are written in lower case there: ECR takes no capitals.
func (a Agent) RepositoryIn(environment string) string {
	return strings.NewReplacer("{agent}", strings.ToLower(a.Name),
		"{environment}", strings.ToLower(environment)).Replace(a.Repository)
}

// Environment is one environment of the file. Fields that the file leaves out
// are zero, aside from Compute and ImageReference, which have their defaults.
type Environment struct {
	Name             string
	Account          string // 12 digits
	Region           string // "" where only the process environment says it
	Trigger          string // push, or "" for on request
	After            string
	Endpoint         string // as written: a name, DEFAULT, or "" where the file is silent
	Reviewers        []string
	DeployRole       string
	ExecutionRole    string
	Network          Network
	Branch           string
	URL              string // where the environment can be looked at; "" for AWS's console
	Compute          delivery.Compute
	CapacityProvider string
	ImageReference   delivery.ImageReference
	Profile          string
	ReadyTimeout     time.Duration
	VerifyTimeout    time.Duration
}

// The network modes of AgentCore.
const (
	NetworkPublic = "PUBLIC"
	NetworkVPC    = "VPC"
)

// Network is where a runtime's connections leave from.
type Network struct {
	Mode           string // NetworkPublic, NetworkVPC or ""
	SecurityGroups []string
	Subnets        []string
}

// Agents lists the agents in the order of the file.
func (f *File) Agents() []Agent { return slices.Clone(f.agents) }

// Environments lists the environments in the order of the file.
func (f *File) Environments() []Environment { return slices.Clone(f.environments) }

// Agent finds an agent by name, or the only one where name is "". It returns
// a *delivery.Error of KindUsage that lists what there is.
func (f *File) Agent(name string) (Agent, error) {
	names := make([]string, len(f.agents))
	for i, a := range f.agents {
		names[i] = a.Name
	}
	if name == "" && len(names) == 1 {
		return f.agents[0], nil
	}
	i, err := f.find("agent", name, names)
	if err != nil {
		return Agent{}, err
	}
	return f.agents[i], nil
}

// Environment finds an environment by name. It returns a *delivery.Error of
// KindUsage that lists what there is; "" is never guessed.
func (f *File) Environment(name string) (Environment, error) {
	names := make([]string, len(f.environments))
	for i, e := range f.environments {
		names[i] = e.Name
	}
	i, err := f.find("environment", name, names)
	if err != nil {
		return Environment{}, err
	}
	return f.environments[i], nil
}

// marshal is json.Marshal without HTML escapes. Keys come out sorted.
func marshal(v any) (json.RawMessage, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n")), nil
}
