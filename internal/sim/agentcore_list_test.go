package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

func TestListsArePaged(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	for i := range 5 {
		a.create(fmt.Sprint("agent", i))
	}
	var names []string
	pages := bedrockagentcorecontrol.NewListAgentRuntimesPaginator(a.client, &bedrockagentcorecontrol.ListAgentRuntimesInput{MaxResults: aws.Int32(2)})
	n := 0
	for ; pages.HasMorePages(); n++ {
		for _, r := range must[*bedrockagentcorecontrol.ListAgentRuntimesOutput](t)(pages.NextPage(t.Context())).AgentRuntimes {
			names = append(names, *r.AgentRuntimeName)
		}
	}
	slices.Sort(names)
	if n != 3 || strings.Join(names, " ") != "agent0 agent1 agent2 agent3 agent4" {
		t.Errorf("%d pages: %v", n, names)
	}
	for _, query := range []string{"maxResults=0", "maxResults=101", "maxResults=x", "nextToken=nonsense"} {
		if status, answer := a.raw("POST", "/runtimes/?"+query, ""); status != 400 {
			t.Errorf("%s: %d %v", query, status, answer)
		}
	}
	id := *must[*bedrockagentcorecontrol.ListAgentRuntimesOutput](t)(a.client.ListAgentRuntimes(t.Context(), &bedrockagentcorecontrol.ListAgentRuntimesInput{})).AgentRuntimes[0].AgentRuntimeId
	a.update(a.updateInput(id))
	versions := must[*bedrockagentcorecontrol.ListAgentRuntimeVersionsOutput](t)(a.client.ListAgentRuntimeVersions(t.Context(), &bedrockagentcorecontrol.ListAgentRuntimeVersionsInput{AgentRuntimeId: &id}))
	if len(versions.AgentRuntimes) != 2 || *versions.AgentRuntimes[1].AgentRuntimeVersion != "2" || versions.AgentRuntimes[0].Status != types.AgentRuntimeStatusReady {
		t.Errorf("versions: %+v", versions.AgentRuntimes)
	}
	_, err := a.client.DeleteAgentRuntime(t.Context(), &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: aws.String("1")})
	wantFault(t, err, "ConflictException", 409, "")
	a.settle()
	must[*bedrockagentcorecontrol.DeleteAgentRuntimeOutput](t)(a.client.DeleteAgentRuntime(t.Context(), &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: aws.String("1")}))
	_, err = a.client.GetAgentRuntime(t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: aws.String("1")})
	wantFault(t, err, "ResourceNotFoundException", 404, "")
}

func TestAccountsAndRegionsAreApart(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id := *a.create("agent").AgentRuntimeId
	other := bedrockagentcorecontrol.NewFromConfig(adminConfig(t, a.srv, "444455556666"))
	_, err := other.GetAgentRuntime(t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id})
	wantFault(t, err, "ResourceNotFoundException", 404, id)
	config := adminConfig(t, a.srv, DefaultAccount)
	config.Region = "eu-west-1"
	_, err = bedrockagentcorecontrol.NewFromConfig(config).GetAgentRuntime(t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id})
	wantFault(t, err, "ResourceNotFoundException", 404, id)
	in := a.createInput("agent")
	_, err = other.CreateAgentRuntime(t.Context(), in)
	wantFault(t, err, "AccessDeniedException", 403, "Cross-account pass role")
}

func TestUpdateIsOneAtATime(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id := *a.create("agent").AgentRuntimeId
	var done, refused sync.Map
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			_, err := a.client.UpdateAgentRuntime(context.WithoutCancel(t.Context()), a.updateInput(id))
			if err == nil {
				done.Store(i, true)
			} else if errorCode(err) == "ConflictException" {
				refused.Store(i, true)
			}
		})
	}
	wait.Wait()
	if n, m := length(&done), length(&refused); n != 1 || m != 7 {
		t.Errorf("%d updates were accepted, %d refused", n, m)
	}
}

func length(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}
