package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// TestImageOfAnotherAccount: it is there, but no policy of its repository lets
// the execution role pull it.
func TestImageOfAnotherAccount(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	r := must[*repository](t)(a.cloud.loadRepository(registryID{DefaultAccount, DefaultRegion}, agentRepository))
	r.registry.account = "444455556666"
	if err := a.cloud.saveRepository(r); err != nil {
		t.Fatal(err)
	}
	in := a.createInput("agent")
	in.AgentRuntimeArtifact = container(strings.Replace(a.uri(":one"), DefaultAccount, "444455556666", 1))
	_, err := a.client.CreateAgentRuntime(t.Context(), in)
	wantFault(t, err, "ValidationException", 400, "Access denied while validating ECR URI")
}

func TestEndpointsAreStrict(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id, ctx := *a.create("agent").AgentRuntimeId, t.Context()
	a.settle()
	in := &bedrockagentcorecontrol.CreateAgentRuntimeEndpointInput{AgentRuntimeId: &id, Name: aws.String("live"), ClientToken: aws.String(strings.Repeat("e", 40))}
	must[*bedrockagentcorecontrol.CreateAgentRuntimeEndpointOutput](t)(a.client.CreateAgentRuntimeEndpoint(ctx, in))
	a.settle()
	in.Name = aws.String("other")
	_, err := a.client.CreateAgentRuntimeEndpoint(ctx, in)
	wantFault(t, err, "ValidationException", 400, "token")

	a.update(a.updateInput(id)) // version 2 is not ready yet
	_, err = a.client.UpdateAgentRuntimeEndpoint(ctx, &bedrockagentcorecontrol.UpdateAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: aws.String("live"), AgentRuntimeVersion: aws.String("2")})
	wantFault(t, err, "ConflictException", 409, "UPDATING")
	a.settle()

	remove := &bedrockagentcorecontrol.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: aws.String("live")}
	must[*bedrockagentcorecontrol.DeleteAgentRuntimeEndpointOutput](t)(a.client.DeleteAgentRuntimeEndpoint(ctx, remove))
	_, err = a.client.DeleteAgentRuntimeEndpoint(ctx, remove)
	wantFault(t, err, "ConflictException", 409, "DELETING")
}

// TestExecutionTrustNamesTheRuntime: once a runtime is there, a role may trust
// AgentCore on behalf of that one alone.
func TestExecutionTrustNamesTheRuntime(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	created := a.create("agent")
	a.settle()
	client := iam.NewFromConfig(adminConfig(t, a.srv, DefaultAccount))
	trusting := func(source string) {
		t.Helper()
		must[*iam.UpdateAssumeRolePolicyOutput](t)(client.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("exec"),
			PolicyDocument: aws.String(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},
				"Action":"sts:AssumeRole","Condition":{"ArnEquals":{"aws:SourceArn":%q}}}]}`, source))}))
	}
	trusting(*created.AgentRuntimeArn + "x")
	_, err := a.client.UpdateAgentRuntime(t.Context(), a.updateInput(*created.AgentRuntimeId))
	wantFault(t, err, "ValidationException", 400, "Role validation failed")
	trusting(*created.AgentRuntimeArn)
	a.update(a.updateInput(*created.AgentRuntimeId))
}

// TestDeletionGoesOn: a crash between a deleted runtime's records leaves no
// half of it.
func TestDeletionGoesOn(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id := *a.create("agent").AgentRuntimeId
	a.settle()
	must[*bedrockagentcorecontrol.DeleteAgentRuntimeOutput](t)(a.client.DeleteAgentRuntime(t.Context(), &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: &id}))
	r := &runtimeRecord{ID: id, Account: DefaultAccount, Region: DefaultRegion}
	if err := a.cloud.store.delete(versionKey(r, 1)); err != nil {
		t.Fatal(err)
	}
	a.settle()
	_, err := a.client.GetAgentRuntime(t.Context(), &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id})
	wantFault(t, err, "ResourceNotFoundException", 404, id)
	if keys := a.cloud.store.keys("agentcore/"); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

// TestStartIsNotIdle: a session whose agent still starts does not expire.
func TestStartIsNotIdle(t *testing.T) {
	clock := &movedClock{at: time.Now()}
	c := &Cloud{Now: clock.now}
	s := newSession(sessionKey{}, &versionRecord{}, clock.now())
	defer s.cancel()
	s.timer = time.AfterFunc(time.Hour, func() {})
	defer s.timer.Stop()
	s.leave(clock.now()) // the caller has gone
	clock.add(s.idle)
	c.review(s)
	if s.ctx.Err() != nil {
		t.Error("it is ended while it starts")
	}
	close(s.ready)
	c.review(s)
	if s.ctx.Err() != nil {
		t.Error("its start does not count as use")
	}
	clock.add(s.idle)
	c.review(s)
	if s.ctx.Err() == nil {
		t.Error("an idle session does not end")
	}
}

// TestSignatureStaysOutside: an allowlist does not hand the caller's signature
// and session token to the agent.
func TestSignatureStaysOutside(t *testing.T) {
	f := newFleet(t)
	f.push("one", agentImage(t))
	id, arn := f.deploy(nil)
	f.redeploy(id, func(in *bedrockagentcorecontrol.UpdateAgentRuntimeInput) {
		in.RequestHeaderConfiguration = &types.RequestHeaderConfigurationMemberRequestHeaderAllowlist{
			Value: []string{"Authorization", "X-Amz-Date", "amz-sdk-invocation-id"}}
	})
	headers, _ := f.must(arn, "a", `{}`)["headers"].(map[string]any)
	if headers["Amz-Sdk-Invocation-Id"] == nil {
		t.Errorf("the allowed header is missing: %v", headers)
	}
	if headers["Authorization"] != nil || headers["X-Amz-Date"] != nil {
		t.Errorf("the agent saw %v", headers)
	}
}
