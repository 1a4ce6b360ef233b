package delivery

import "strings"

// RuntimeName is the name of the runtime that Slipway creates for an agent in
// an environment. AgentCore takes letters, digits and underscores alone, so a
// hyphen becomes an underscore.
func RuntimeName(agent, environment string) string {
	return strings.ReplaceAll(agent+"_"+environment, "-", "_")
}
