package sim

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	dataschemas "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/schemas"
	controlschemas "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/schemas"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/traits"
)

// TestRoutesAreTheModels holds every route against the SDK's own model.
func TestRoutesAreTheModels(t *testing.T) {
	c := &Cloud{}
	seen := []string{"GetRuntimeProtectedResourceMetadata"} // documented, but of no SDK: its callers have no credentials
	for _, s := range []*smithy.Schema{
		controlschemas.CreateAgentRuntime, controlschemas.GetAgentRuntime, controlschemas.UpdateAgentRuntime,
		controlschemas.DeleteAgentRuntime, controlschemas.ListAgentRuntimes, controlschemas.ListAgentRuntimeVersions,
		controlschemas.CreateAgentRuntimeEndpoint, controlschemas.GetAgentRuntimeEndpoint, controlschemas.UpdateAgentRuntimeEndpoint,
		controlschemas.DeleteAgentRuntimeEndpoint, controlschemas.ListAgentRuntimeEndpoints,
		dataschemas.InvokeAgentRuntime, dataschemas.StopRuntimeSession, dataschemas.InvokeAgentRuntimeCommand, dataschemas.GetAgentCard,
	} {
		route, ok := smithy.SchemaTrait[*traits.HTTP](s)
		if !ok {
			t.Fatalf("%s has no route", s.ID().Name)
		}
		path, _, _ := strings.Cut(route.URI, "?")
		path = strings.NewReplacer("{agentRuntimeId}", "a-0123456789", "{agentRuntimeArn}", "arn%3Aaws%3Ax%3A%3A%3Aruntime%2Fa-0123456789", "{endpointName}", "live").Replace(path)
		k := &call{Request: httptest.NewRequest(route.Method, path, nil)}
		err := c.identifyRuntime(k)
		if k.op.name != s.ID().Name {
			t.Errorf("%s %s is taken for %q (%v)", route.Method, path, k.op.name, err)
		}
		seen = append(seen, k.op.name)
	}
	for route, op := range c.runtimeRoutes() {
		if !slices.Contains(seen, op.name) {
			t.Errorf("the route %q (%s) was not held against the model", route, op.name)
		}
	}
}

// TestMembersAreTheModels holds the checked members against the SDK's model.
func TestMembersAreTheModels(t *testing.T) {
	for name, test := range map[string]struct {
		schema  *smithy.Schema
		members members
		labels  []string
	}{
		"Create": {controlschemas.CreateAgentRuntimeRequest, createMembers(), nil},
		"Update": {controlschemas.UpdateAgentRuntimeRequest, updateMembers(), []string{"agentRuntimeId"}},
	} {
		var want, got []string
		for member := range test.schema.Members() {
			if !slices.Contains(test.labels, member) {
				want = append(want, member)
			}
		}
		for member := range test.members {
			got = append(got, strings.TrimSuffix(member, "*"))
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: checked are %v, the model has %v", name, got, want)
		}
	}
}

func TestUnknownPathsFailLoudly(t *testing.T) {
	a := newAgents(t)
	for _, path := range []string{"/runtimes/a-0123456789/unknown", "/runtimes/a-0123456789/commands"} {
		status, answer := a.raw("POST", path, "{}")
		if status < 400 || answer["message"] == nil {
			t.Errorf("%s: %d %v", path, status, answer)
		}
	}
}
