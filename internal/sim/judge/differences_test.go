package judge

import "slices"

// difference is one call that moto and AWS answer differently.
type difference struct {
	call   string // as differences.py names it
	moto   string
	aws    string // and so the local cloud's
	source string // who says that AWS does that
}

// differences are the list, as docs/judges.md has it.
func differences() []difference {
	return slices.Concat(differencesAgentCore(), differencesIdentity(), differencesStore())
}

// differencesAgentCore are those of AgentCore.
func differencesAgentCore() []difference {
	return []difference{
		{"omitted environment and lifecycle", "{'LOG_LEVEL': 'info'}, idle 600", "None, idle 900",
			"AgentCore guide, [versioning](https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/agent-runtime-versioning.html); [seen](https://github.com/benchflow-ai/benchflow/issues/937)"},
		{"status after an update", "UPDATING", "READY",
			"[GetAgentRuntime](https://docs.aws.amazon.com/bedrock-agentcore-control/latest/APIReference/API_GetAgentRuntime.html), status"},
		{"update of a runtime that is UPDATING", "accepted", "ConflictException",
			"[UpdateAgentRuntime](https://docs.aws.amazon.com/bedrock-agentcore-control/latest/APIReference/API_UpdateAgentRuntime.html), errors"},
		{"description of version 1", "two", "one",
			"[GetAgentRuntime](https://docs.aws.amazon.com/bedrock-agentcore-control/latest/APIReference/API_GetAgentRuntime.html), agentRuntimeVersion"},
		{"metadataConfiguration of a new runtime", "None", "{'requireMMDSV2': True}",
			"[terraform-provider-aws#48874](https://github.com/hashicorp/terraform-provider-aws/issues/48874)"},
		{"filesystemConfigurations", "None", "[{'sessionStorage': {'mountPath': '/mnt/data'}}]",
			"[GetAgentRuntime](https://docs.aws.amazon.com/bedrock-agentcore-control/latest/APIReference/API_GetAgentRuntime.html)"},
		{"runtime's ARN", "agent/…", "runtime/…",
			"AgentCore guide, [permissions](https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/runtime-permissions.html)"},
		{"runtime's id", "random", "the name and ten characters",
			"[CreateAgentRuntime](https://docs.aws.amazon.com/bedrock-agentcore-control/latest/APIReference/API_CreateAgentRuntime.html), agentRuntimeId"},
		{"endpoint DEFAULT", "ResourceNotFoundException", "accepted",
			"AgentCore guide, [versioning](https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/agent-runtime-versioning.html)"},
		{"endpoint that was moved to version 2", "UPDATING, liveVersion 1", "READY, liveVersion 2",
			"[GetAgentRuntimeEndpoint](https://docs.aws.amazon.com/bedrock-agentcore-control/latest/APIReference/API_GetAgentRuntimeEndpoint.html), liveVersion"},
		{"a page of one version", "3 and no nextToken", "1 and a nextToken",
			"[ListAgentRuntimeVersions](https://docs.aws.amazon.com/bedrock-agentcore-control/latest/APIReference/API_ListAgentRuntimeVersions.html), maxResults"},
		{"stop of a session that is not there", "404", "ResourceNotFoundException",
			"[StopRuntimeSession](https://docs.aws.amazon.com/bedrock-agentcore/latest/APIReference/API_StopRuntimeSession.html), errors"},
		{"creation with the same clientToken", "another runtime", "the same runtime",
			"[CreateAgentRuntime](https://docs.aws.amazon.com/bedrock-agentcore-control/latest/APIReference/API_CreateAgentRuntime.html), clientToken"},
		{"image for amd64 on a microVM", "accepted", "ValidationException",
			"AgentCore guide, [troubleshooting](https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/runtime-troubleshooting.html)"},
		{"image that is not there", "accepted", "ValidationException",
			"[agentcore-samples#154](https://github.com/awslabs/agentcore-samples/issues/154)"},
		{"execution role that is not there", "accepted", "ValidationException",
			"AgentCore guide, [permissions](https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/runtime-permissions.html)"},
		{"two subnets pasted into one", "accepted", "ValidationException",
			"[VpcConfig](https://docs.aws.amazon.com/bedrock-agentcore-control/latest/APIReference/API_VpcConfig.html), pattern"},
		{"runtime's name with a hyphen", "accepted", "ValidationException",
			"[CreateAgentRuntime](https://docs.aws.amazon.com/bedrock-agentcore-control/latest/APIReference/API_CreateAgentRuntime.html), pattern"},
		{"eleventh endpoint", "accepted", "ServiceQuotaExceededException",
			"AgentCore guide, [quotas](https://docs.aws.amazon.com/bedrock-agentcore/latest/devguide/bedrock-agentcore-limits.html)"},
	}
}

// differencesIdentity are those of STS and IAM.
func differencesIdentity() []difference {
	return []difference{
		{"token of another environment", "accepted", "AccessDenied",
			"[AssumeRoleWithWebIdentity](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html)"},
		{"token that nobody signed", "accepted", "InvalidIdentityToken",
			"[AssumeRoleWithWebIdentity](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html), errors"},
		{"role that is not there", "accepted", "AccessDenied",
			"[AssumeRoleWithWebIdentity](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html)"},
		{"wrong signature", "accepted", "SignatureDoesNotMatch",
			"IAM guide, [errors of signing](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html)"},
		{"trust in all of GitHub", "accepted", "MalformedPolicyDocument",
			"IAM guide, [shared providers](https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_oidc_secure-by-default.html)"},
	}
}

// differencesStore are those of Parameter Store and ECR.
func differencesStore() []difference {
	return []difference{
		{"SecureString that is not decrypted", "has the value in it", "opaque",
			"[GetParameter](https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html), WithDecryption"},
		{"parameter that names another", "accepted", "ValidationException",
			"[PutParameter](https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html), Value"},
		{"immutable tag that is moved", "ImageAlreadyExistsException", "ImageTagAlreadyExistsException",
			"[PutImage](https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html), errors"},
		{"manifest whose layers are not there", "accepted", "LayersNotFoundException",
			"[PutImage](https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html), errors"},
		{"imageDigest that is not the manifest's", "accepted", "ImageDigestDoesNotMatchException",
			"[PutImage](https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html), errors"},
		{"BatchCheckLayerAvailability", "500", "accepted",
			"[BatchCheckLayerAvailability](https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchCheckLayerAvailability.html)"},
		{"the registry at /v2/", "404, no challenge", "401, Basic",
			"ECR guide, [registry authentication](https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html)"},
	}
}
