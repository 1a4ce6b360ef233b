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

// TestEveryListIsPaged, and takes no token but its own.
func TestEveryListIsPaged(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id, other := *a.create("agent").AgentRuntimeId, *a.create("other").AgentRuntimeId
	for i := range 11 {
		a.update(a.updateInput(id))
		a.settle()
		if i < 4 {
			must[*bedrockagentcorecontrol.CreateAgentRuntimeEndpointOutput](t)(a.client.CreateAgentRuntimeEndpoint(t.Context(),
				&bedrockagentcorecontrol.CreateAgentRuntimeEndpointInput{AgentRuntimeId: &id, Name: aws.String(fmt.Sprint("e", i))}))
		}
	}
	// 12 versions: 10 and 11 come after 9.
	var got []string
	for token := (*string)(nil); ; {
		out := must[*bedrockagentcorecontrol.ListAgentRuntimeVersionsOutput](t)(a.client.ListAgentRuntimeVersions(t.Context(),
			&bedrockagentcorecontrol.ListAgentRuntimeVersionsInput{AgentRuntimeId: &id, MaxResults: aws.Int32(5), NextToken: token}))
		for _, v := range out.AgentRuntimes {
			got = append(got, *v.AgentRuntimeVersion)
		}
		if token = out.NextToken; token == nil {
			break
		}
	}
	if strings.Join(got, " ") != "1 2 3 4 5 6 7 8 9 10 11 12" {
		t.Errorf("versions, by pages: %v", got)
	}
	got = nil
	pages := bedrockagentcorecontrol.NewListAgentRuntimeEndpointsPaginator(a.client, &bedrockagentcorecontrol.ListAgentRuntimeEndpointsInput{AgentRuntimeId: &id, MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		for _, e := range must[*bedrockagentcorecontrol.ListAgentRuntimeEndpointsOutput](t)(pages.NextPage(t.Context())).RuntimeEndpoints {
			got = append(got, *e.Name)
		}
	}
	if strings.Join(got, " ") != "DEFAULT e0 e1 e2 e3" {
		t.Errorf("endpoints, by pages: %v", got)
	}

	_, answer := a.raw("POST", "/runtimes/"+id+"/versions/?maxResults=3", "")
	token, _ := answer["nextToken"].(string)
	lists := []string{"/runtimes/", "/runtimes/" + id + "/runtime-endpoints/", "/runtimes/" + other + "/versions/"}
	for _, path := range lists {
		if status, answer := a.raw("POST", path+"?nextToken="+token, ""); status != 400 || answer["message"] != "Invalid nextToken" {
			t.Errorf("%s takes the token of another list: %d %v", path, status, answer)
		}
	}
	for _, path := range append(lists, "/runtimes/"+id+"/versions/") {
		for _, query := range []string{"maxResults=0", "maxResults=101", "maxResults=-1", "maxResults=", "maxResults=1.5", "nextToken=", "nextToken=nonsense", "nextToken=" + strings.Repeat("A", 2049)} {
			if status, answer := a.raw("POST", path+"?"+query, ""); status != 400 {
				t.Errorf("%s?%.30s: %d %v", path, query, status, answer)
			}
		}
	}
	// What a token names may go meanwhile: the list goes on after it.
	_, answer = a.raw("POST", "/runtimes/"+id+"/versions/?maxResults=6", "")
	token, _ = answer["nextToken"].(string)
	if status, answer := a.raw("DELETE", "/runtimes/"+id+"/?version=7", ""); status != 202 {
		t.Fatalf("%d %v", status, answer)
	}
	_, answer = a.raw("POST", "/runtimes/"+id+"/versions/?maxResults=1&nextToken="+token, "")
	if items, _ := answer["agentRuntimes"].([]any); len(items) != 1 || items[0].(map[string]any)["agentRuntimeVersion"] != "8" {
		t.Errorf("after the token's version: %v", answer)
	}
}

// TestQuotas of runtimes, versions and endpoints. They are adjustable at AWS;
// here the test has asked for less.
func TestQuotas(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	a.cloud.agentcore.quotas = quotas{runtimes: 2, versions: 2, endpoints: 2}
	id := *a.create("agent").AgentRuntimeId
	a.create("other")
	_, err := a.client.CreateAgentRuntime(t.Context(), a.createInput("third"))
	wantFault(t, err, "ServiceQuotaExceededException", 402, "2 agents")
	_, err = a.client.CreateAgentRuntime(t.Context(), a.createInput("other"))
	wantFault(t, err, "ConflictException", 409, "already exists")
	a.update(a.updateInput(id))
	a.settle()
	_, err = a.client.UpdateAgentRuntime(t.Context(), a.updateInput(id))
	wantFault(t, err, "ServiceQuotaExceededException", 402, "2 versions")
	if got := *a.get(id).AgentRuntimeVersion; got != "2" {
		t.Errorf("a refused update made version %s", got)
	}
	endpoint := func(name string) error {
		_, err := a.client.CreateAgentRuntimeEndpoint(t.Context(), &bedrockagentcorecontrol.CreateAgentRuntimeEndpointInput{AgentRuntimeId: &id, Name: &name})
		return err
	}
	if err := endpoint("live"); err != nil {
		t.Error(err)
	}
	wantFault(t, endpoint("second"), "ServiceQuotaExceededException", 402, "2 endpoints")
	// An old version that is deleted makes room.
	a.settle()
	must[*bedrockagentcorecontrol.DeleteAgentRuntimeOutput](t)(a.client.DeleteAgentRuntime(t.Context(), &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: aws.String("1")}))
	a.update(a.updateInput(id))
}

func TestDefaultQuotas(t *testing.T) {
	var q quotas
	got := []int{q.runtimesPerRegion(), q.versionsPerRuntime(), q.endpointsPerRuntime(), q.sessionsIn("us-east-1"), q.sessionsIn("us-west-2"), q.sessionsIn("eu-west-1")}
	if !slices.Equal(got, []int{1000, 1000, 10, 5000, 5000, 2500}) {
		t.Errorf("AWS's quotas are %v", got)
	}
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
