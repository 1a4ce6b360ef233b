package sim

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// TestStuckRuntime: a status that is held shows in every answer and refuses
// changes, survives time, and ends with its fault.
func TestStuckRuntime(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id := *a.create("agent").AgentRuntimeId
	a.settle()
	mustFault(t, a.cloud, Fault{Service: "bedrock-agentcore", Operation: "UpdateAgentRuntime", Effect: EffectStuck, State: "REBALANCING"})
	if out := a.update(a.updateInput(id)); out.Status != "REBALANCING" {
		t.Errorf("the update answers %s", out.Status)
	}
	for range 5 {
		a.settle()
	}
	list := must[*bedrockagentcorecontrol.ListAgentRuntimesOutput](t)(a.client.ListAgentRuntimes(t.Context(), &bedrockagentcorecontrol.ListAgentRuntimesInput{}))
	e := a.endpoint(id, "DEFAULT")
	if got := a.get(id); got.Status != "REBALANCING" || *got.AgentRuntimeVersion != "2" || list.AgentRuntimes[0].Status != "REBALANCING" ||
		*e.LiveVersion != "1" || *e.TargetVersion != "2" || e.Status != types.AgentRuntimeEndpointStatusUpdating {
		t.Errorf("%+v, %+v, %+v", got, list.AgentRuntimes, e)
	}
	if _, err := a.client.UpdateAgentRuntime(t.Context(), a.updateInput(id)); err == nil || !strings.Contains(err.Error(), "ConflictException") {
		t.Errorf("updated meanwhile: %v", err)
	}
	if err := a.cloud.ClearFault(""); err != nil {
		t.Fatal(err)
	}
	if got := a.get(id); got.Status != types.AgentRuntimeStatusReady || *a.endpoint(id, "DEFAULT").LiveVersion != "2" {
		t.Errorf("%+v", got)
	}
}

// TestStuckByAnother: ids of faults begin again with each process, and what one
// of an earlier process held is not held by another of the same id.
func TestStuckByAnother(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id := *a.create("agent").AgentRuntimeId
	a.settle()
	held := mustFault(t, a.cloud, Fault{Service: "bedrock-agentcore", Operation: "UpdateAgentRuntime", Effect: EffectStuck, State: "REBALANCING"})
	a.update(a.updateInput(id))
	a.cloud.faults.last, a.cloud.faults.run, a.cloud.faults.set = 0, "", nil // as another process begins
	other := mustFault(t, a.cloud, Fault{Service: "bedrock-agentcore", Operation: "UpdateAgentRuntime", Resource: "another", Effect: EffectStuck, State: "OTHER"})
	a.settle()
	if got := a.get(id); other != held || got.Status != types.AgentRuntimeStatusReady {
		t.Errorf("%s after %s: the runtime is %s", other, held, got.Status)
	}
}

// TestDoomedRuntime: a version that is to fail does so in its time, with the
// reason, and stays failed when the fault is gone.
func TestDoomedRuntime(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id := *a.create("agent").AgentRuntimeId
	a.settle()
	mustFault(t, a.cloud, Fault{Service: "bedrock-agentcore", Operation: "UpdateAgentRuntime", Effect: EffectStuck, State: "UPDATE_FAILED", Message: "no capacity"})
	if out := a.update(a.updateInput(id)); out.Status != types.AgentRuntimeStatusUpdating {
		t.Errorf("the update answers %s", out.Status)
	}
	if err := a.cloud.ClearFault(""); err != nil {
		t.Fatal(err)
	}
	a.settle()
	if got := a.get(id); got.Status != types.AgentRuntimeStatusUpdateFailed || aws.ToString(got.FailureReason) != "no capacity" {
		t.Errorf("%+v", got)
	}
	if e := a.endpoint(id, "DEFAULT"); *e.LiveVersion != "1" || aws.ToString(e.FailureReason) != "no capacity" {
		t.Errorf("%+v", e)
	}
}

// TestStuckEndpoint: the same for a named endpoint; one that has failed can be
// moved again.
func TestStuckEndpoint(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id := *a.create("agent").AgentRuntimeId
	a.settle()
	must[*bedrockagentcorecontrol.CreateAgentRuntimeEndpointOutput](t)(a.client.CreateAgentRuntimeEndpoint(t.Context(),
		&bedrockagentcorecontrol.CreateAgentRuntimeEndpointInput{AgentRuntimeId: &id, Name: aws.String("live")}))
	a.update(a.updateInput(id))
	a.settle()
	move := func(version string) error {
		_, err := a.client.UpdateAgentRuntimeEndpoint(t.Context(), &bedrockagentcorecontrol.UpdateAgentRuntimeEndpointInput{
			AgentRuntimeId: &id, EndpointName: aws.String("live"), AgentRuntimeVersion: &version})
		a.settle()
		return err
	}
	stuck := func(state string) {
		mustFault(t, a.cloud, Fault{Service: "bedrock-agentcore", Operation: "UpdateAgentRuntimeEndpoint", Effect: EffectStuck, State: state, Times: 1})
	}
	stuck("UPDATING")
	if err := move("2"); err != nil {
		t.Fatal(err)
	}
	if e := a.endpoint(id, "live"); e.Status != types.AgentRuntimeEndpointStatusUpdating || *e.LiveVersion != "1" {
		t.Errorf("%+v", e)
	}
	if err := move("1"); err == nil {
		t.Error("an endpoint was moved while it was stuck")
	}
	if err := a.cloud.ClearFault(""); err != nil {
		t.Fatal(err)
	}
	if e := a.endpoint(id, "live"); e.Status != types.AgentRuntimeEndpointStatusReady || *e.LiveVersion != "2" {
		t.Errorf("%+v", e)
	}
	stuck("UPDATE_FAILED")
	if err := move("1"); err != nil {
		t.Fatal(err)
	}
	if e := a.endpoint(id, "live"); e.Status != types.AgentRuntimeEndpointStatusUpdateFailed || *e.LiveVersion != "2" || aws.ToString(e.FailureReason) == "" {
		t.Errorf("%+v", e)
	}
	if err := move("1"); err != nil || *a.endpoint(id, "live").LiveVersion != "1" {
		t.Errorf("moved again: %v, %+v", err, a.endpoint(id, "live"))
	}
}
