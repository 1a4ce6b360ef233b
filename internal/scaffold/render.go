package scaffold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/pattern"
)

// Proposal is what a slipway.yaml is to say.
type Proposal struct {
	GitHub       string // owner/name; "" where it is not known
	Agents       []Agent
	Environments []Environment
}

// Environment is one environment of a proposal.
type Environment struct {
	Name    string
	Account string
	Region  string
	Branch  string // "" where it is not known
}

// Render writes the proposal as a commented slipway.yaml, the same bytes for
// the same proposal. What is wrong with it config.Parse says: Render checks
// nothing, and quotes what YAML could take for something else. No comment
// holds what others wrote.
func Render(p Proposal) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# yaml-language-server: $schema=%s", schemaAddress())
	line("# Written by slipway init, and yours from here on; slipway schema describes every key.")
	line("version: 1")
	if p.GitHub != "" {
		line("github: %s", scalar(p.GitHub))
	} else {
		line("# github: owner/name          # once the repository is there")
	}
	if region := p.region(); region != "" {
		line("region: %s", scalar(region))
	}
	line("agents:")
	for i, a := range p.Agents {
		first := i == 0
		line("%s", explained(first, "  "+scalar(a.Name)+":", "in SSM: /<agent>/<environment>/runtime-id"))
		line("%s", explained(first, "    path: "+scalar(a.Path), "the build context"))
		line("    build: {%s}", strings.Join(build(a), ", "))
		line("%s", explained(first, "    repository: "+scalar(a.Repository), "in ECR, where it has to exist"))
	}
	line("    # What is stated here is set by every deploy; all else stays as it is live.")
	line("    # runtime: {environment_variables: {LOG_LEVEL: info}}")
	line("    # verify: {payload: {prompt: ping}, expect: {contains: pong}}")
	line("environments:")
	for i, e := range p.Environments {
		line("  %s:", scalar(e.Name))
		line("%s", explained(i == 0, "    account: "+quoted(e.Account), "compared with the credentials before any write"))
		if e.Region != "" && p.region() == "" {
			line("    region: %s", scalar(e.Region))
		}
		if e.Branch != "" {
			line("    branch: %s", scalar(e.Branch))
		}
	}
	line("  # With a named endpoint, a version that fails its verify never serves:")
	line("  # prd: {account: \"444455556666\", after: %s, endpoint: live, approvals: {reviewers: [octocat]}}", scalar(p.last()))
	return b.Bytes()
}

// explained is a line with a comment at a column, where the key stands first.
func explained(first bool, text, comment string) string {
	if !first {
		return text
	}
	return fmt.Sprintf("%-30s # %s", text, comment)
}

// region is the region that all environments share, or "".
func (p Proposal) region() string {
	region := ""
	for i, e := range p.Environments {
		if i > 0 && e.Region != region {
			return ""
		}
		region = e.Region
	}
	return region
}

func (p Proposal) last() string {
	if len(p.Environments) == 0 {
		return "dev"
	}
	return p.Environments[len(p.Environments)-1].Name
}

// build are the members of an agent's build, in their order.
func build(a Agent) []string {
	members := []string{"engine: " + scalar(a.Engine)}
	if a.Dockerfile != "" {
		members = append(members, "dockerfile: "+scalar(a.Dockerfile))
	}
	if a.Package != "" && a.Package != "." {
		members = append(members, "package: "+scalar(a.Package))
	}
	if len(a.Args) > 0 {
		var args []string
		for _, key := range slices.Sorted(maps.Keys(a.Args)) {
			args = append(args, scalar(key)+": "+quoted(config.Literal(a.Args[key])))
		}
		members = append(members, "args: {"+strings.Join(args, ", ")+"}")
	}
	return members
}

// plain matches what YAML takes for a string wherever it stands, but for the
// words that are something else in some version of YAML.
var plain = pattern.New(`^[A-Za-z][A-Za-z0-9_/-]*(\.[A-Za-z0-9_/-]+)*$`)

func scalar(text string) string {
	switch strings.ToLower(text) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf":
		return quoted(text)
	}
	if plain.MatchString(text) {
		return text
	}
	return quoted(text)
}

// quoted is a double-quoted string: JSON's are YAML's.
func quoted(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string can always be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

// schemaAddress is where editors find the schema.
func schemaAddress() string {
	var schema struct {
		ID string `json:"$id"`
	}
	_ = json.Unmarshal(config.Schema(), &schema) // it is ours, and a test reads it
	return schema.ID
}
