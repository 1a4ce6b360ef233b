package sim

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

func TestCreateRefuses(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	a.push("amd", platformImage(t, "amd64"))
	uri := a.uri(":amd")
	for name, test := range map[string]struct {
		change  func(*bedrockagentcorecontrol.CreateAgentRuntimeInput)
		message string
	}{
		"hyphen in the name": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) { in.AgentRuntimeName = aws.String("a-b") },
			"Value 'a-b' at 'agentRuntimeName' failed to satisfy constraint: Member must satisfy regular expression pattern"},
		"wrong architecture": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) { in.AgentRuntimeArtifact = container(uri) },
			"Architecture incompatible for uri '" + uri + "'. Supported architectures: [arm64]"},
		"no such image": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.AgentRuntimeArtifact = container(a.uri(":none"))
		}, "does not exist"},
		"other registry": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.AgentRuntimeArtifact = container("docker.io/library/x")
		}, "containerUri"},
		"no such role": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.RoleArn = aws.String("arn:aws:iam::111122223333:role/none")
		}, "Role validation failed for 'arn:aws:iam::111122223333:role/none'"},
		"no role": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.RoleArn = aws.String("arn:aws:iam::111122223333:user/x")
		}, "roleArn"},
		"no network": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) { in.NetworkConfiguration = nil }, "networkConfiguration"},
		"VPC without any": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.NetworkConfiguration.NetworkMode = types.NetworkModeVpc
		}, "networkModeConfig"},
		"bad subnet": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.NetworkConfiguration = &types.NetworkConfiguration{NetworkMode: types.NetworkModeVpc,
				NetworkModeConfig: &types.VpcConfig{SecurityGroups: []string{"sg-12345678"}, Subnets: []string{"subnet-12345678", "nonsense"}}}
		}, "Value 'nonsense' at 'networkConfiguration.networkModeConfig.subnets.2.member'"},
		"service endpoint": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.NetworkConfiguration = &types.NetworkConfiguration{NetworkMode: types.NetworkModeVpc,
				NetworkModeConfig: &types.VpcConfig{SecurityGroups: []string{"sg-12345678"}, Subnets: []string{"subnet-12345678"}, RequireServiceS3Endpoint: aws.Bool(true)}}
		}, "requireServiceS3Endpoint"},
		"short life": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.LifecycleConfiguration = &types.LifecycleConfiguration{MaxLifetime: aws.Int32(59)}
		}, "lifecycleConfiguration.maxLifetime"},
		"idle beyond life": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.LifecycleConfiguration = &types.LifecycleConfiguration{MaxLifetime: aws.Int32(600)}
		}, "less than or equal to maxLifetime"},
		"too many variables": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.EnvironmentVariables = map[string]string{}
			for i := range 51 {
				in.EnvironmentVariables[fmt.Sprint("V", i)] = ""
			}
		}, "environmentVariables"},
		"code": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.AgentRuntimeArtifact = &types.AgentRuntimeArtifactMemberCodeConfiguration{Value: types.CodeConfiguration{
				Code:    &types.CodeMemberS3{Value: types.S3Location{Bucket: aws.String("bucket"), Prefix: aws.String("key.zip")}},
				Runtime: types.AgentManagedRuntimeTypePython312, EntryPoint: []string{"main.py"}}}
		}, "codeConfiguration"},
		"reserved port": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) {
			in.AllowedPorts = []types.AllowedPort{&types.AllowedPortMemberPort{Value: 8443}}
		}, "8443"},
		"short token": {func(in *bedrockagentcorecontrol.CreateAgentRuntimeInput) { in.ClientToken = aws.String("short") }, "clientToken"},
	} {
		t.Run(name, func(t *testing.T) {
			in := a.createInput("agent")
			test.change(in)
			_, err := a.client.CreateAgentRuntime(t.Context(), in)
			wantFault(t, err, "ValidationException", 400, test.message)
			var v *types.ValidationException
			if !errors.As(err, &v) || v.Reason == "" {
				t.Errorf("no reason: %v", err)
			}
		})
	}
	list := must[*bedrockagentcorecontrol.ListAgentRuntimesOutput](t)(a.client.ListAgentRuntimes(t.Context(), &bedrockagentcorecontrol.ListAgentRuntimesInput{}))
	if len(list.AgentRuntimes) != 0 {
		t.Errorf("a refused creation left %d runtimes", len(list.AgentRuntimes))
	}
}

func TestInstancesTakeBothArchitectures(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "amd64"))
	in := a.createInput("agent")
	in.NetworkConfiguration = nil
	in.CapacityProviderConfiguration = &types.CapacityProviderConfiguration{CapacityProviderArn: aws.String("arn:aws:bedrock-agentcore:us-east-1:111122223333:capacity-provider/x")}
	must[*bedrockagentcorecontrol.CreateAgentRuntimeOutput](t)(a.client.CreateAgentRuntime(t.Context(), in))
}

func TestUpdateRefuses(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	id := *a.create("agent").AgentRuntimeId
	for name, test := range map[string]struct {
		change  func(*bedrockagentcorecontrol.UpdateAgentRuntimeInput)
		code    string
		status  int
		message string
	}{
		"metadata false": {func(in *bedrockagentcorecontrol.UpdateAgentRuntimeInput) {
			in.MetadataConfiguration.RequireMMDSV2 = aws.Bool(false)
		}, "ValidationException", 400, "requireMMDSV2"},
		"malformed id": {func(in *bedrockagentcorecontrol.UpdateAgentRuntimeInput) {
			in.AgentRuntimeId = aws.String("placeholder")
		}, "ValidationException", 400, "agentRuntimeId"},
		"unknown runtime": {func(in *bedrockagentcorecontrol.UpdateAgentRuntimeInput) {
			in.AgentRuntimeId = aws.String("agent-0123456789")
		}, "ResourceNotFoundException", 404, "agent-0123456789"},
	} {
		in := a.updateInput(id)
		test.change(in)
		_, err := a.client.UpdateAgentRuntime(t.Context(), in)
		t.Log(name)
		wantFault(t, err, test.code, test.status, test.message)
	}
	if v := *a.get(id).AgentRuntimeVersion; v != "1" {
		t.Errorf("a refused update made version %s", v)
	}
}
