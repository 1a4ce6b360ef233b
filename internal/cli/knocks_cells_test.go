package cli

import (
	"os"
	"slices"
	"syscall"
)

// The operations that cells are about, as the journal names them.
const (
	opMint     = "github:IssueIDToken"
	opAssume   = "sts:AssumeRoleWithWebIdentity"
	opWho      = "sts:GetCallerIdentity"
	opParam    = "ssm:GetParameter"
	opPut      = "ssm:PutParameter"
	opDelete   = "ssm:DeleteParameter"
	opGet      = "bedrock-agentcore:GetAgentRuntime"
	opUpdate   = "bedrock-agentcore:UpdateAgentRuntime"
	opEndpoint = "bedrock-agentcore:GetAgentRuntimeEndpoint"
	opMove     = "bedrock-agentcore:UpdateAgentRuntimeEndpoint"
	opInvoke   = "bedrock-agentcore:InvokeAgentRuntime"
	opLogin    = "ecr:GetAuthorizationToken"
	opBlob     = "registry:UploadBlob"
	opComplete = "registry:CompleteUpload"
	opManifest = "registry:PutManifest"
	opResolve  = "registry:GetManifest"
)

// What befalls them.
const (
	once      = " --times 1"
	throttled = " --error ThrottlingException"
	failing   = " --error InternalServerException"
	away      = " --error ServiceUnavailable"
	expired   = " --error ExpiredTokenException"
	denied    = " --error AccessDeniedException"
	hang      = " --hang"
	lost      = " --lost"
	drop      = " --drop"
	truncated = " --truncate"
	corrupt   = " --corrupt"
)

func knocks() []knock {
	return slices.Concat(credentialKnocks(), preflightKnocks(), pushKnocks(), updateKnocks(), readyKnocks(),
		verifyKnocks(), endpointKnocks(), lastKnocks(), stopKnocks())
}

func credentialKnocks() []knock {
	return []knock{
		{"credentials", "mint 503 once", opMint + away + once, 0, "", knockExtra{}},
		{"credentials", "mint 503 forever", opMint + away, 2, "GitHub's token service did not answer", knockExtra{}},
		{"credentials", "mint dropped once", opMint + drop + once, 0, "", knockExtra{}},
		{"credentials", "mint lost once", opMint + lost + once, 0, "", knockExtra{}},
		{"credentials", "mint truncated once", opMint + truncated + once, 0, "", knockExtra{}},
		{"credentials", "mint hangs once", opMint + hang + once, 0, "", knockExtra{}},
		{"credentials", "assume throttled once", opAssume + throttled + once, 0, "", knockExtra{}},
		{"credentials", "assume throttled forever", opAssume + throttled, 2, "ThrottlingException|assuming the deploy role", knockExtra{}},
		{"credentials", "assume 5xx forever", opAssume + failing, 2, "assuming the deploy role", knockExtra{}},
		{"credentials", "assume hangs forever", opAssume + hang, 2, "assuming the deploy role", knockExtra{}},
		{"credentials", "assume dropped once", opAssume + drop + once, 0, "", knockExtra{}},
		{"credentials", "assume lost once", opAssume + lost + once, 0, "", knockExtra{}},
		{"credentials", "assume truncated once", opAssume + truncated + once, 0, "", knockExtra{}},
		{"credentials", "assume: keys unreachable once", opAssume + " --error IDPCommunicationError" + once, 0, "", knockExtra{}},
		{"credentials", "assume: token expired once", opAssume + expired + once, 0, "", knockExtra{}},
		{"credentials", "assume: token expired forever", opAssume + expired, 2, "is the runner's clock right?", knockExtra{}},
		{"credentials", "assume denied", opAssume + " --error AccessDenied", 2, "AWS refused the token for role", knockExtra{}},
		{"credentials", "who are we: throttled once", opWho + throttled + once, 0, "", knockExtra{}},
		{"credentials", "who are we: 5xx forever", opWho + failing, 2, "asking AWS who we are", knockExtra{}},
		{"credentials", "second login throttled forever", opAssume + throttled + " --skip 1", 2, "assuming the deploy role", knockExtra{fresh: true}},
	}
}

func preflightKnocks() []knock {
	return []knock{
		{"preflight", "parameter throttled once", opParam + throttled + once, 0, "", knockExtra{}},
		{"preflight", "parameter throttled forever", opParam + throttled, 2, "SSM GetParameter /supportAgent/dev/runtime-id", knockExtra{}},
		{"preflight", "parameter 5xx forever", opParam + failing, 2, "/supportAgent/dev/runtime-id", knockExtra{}},
		{"preflight", "parameter hangs forever", opParam + hang, 2, "/supportAgent/dev/runtime-id", knockExtra{}},
		{"preflight", "parameter dropped once", opParam + drop + once, 0, "", knockExtra{}},
		{"preflight", "parameter truncated once", opParam + truncated + once, 0, "", knockExtra{}},
		{"preflight", "credentials expired once", opParam + expired + once, 0, "", knockExtra{}},
		{"preflight", "credentials expired forever", opParam + expired, 2, "ExpiredTokenException|run the same command again", knockExtra{}},
		{"preflight", "record denied", opParam + denied + " --resource /release", 2, "/supportAgent/dev/release|slipway bootstrap writes", knockExtra{}},
		{"preflight", "login to ECR throttled once", opLogin + throttled + once, 0, "", knockExtra{}},
		{"preflight", "login to ECR throttled forever", opLogin + throttled, 2, "ECR GetAuthorizationToken", knockExtra{}},
		{"preflight", "registry 503 once", opResolve + away + once, 0, "", knockExtra{}},
		{"preflight", "registry 503 forever", opResolve + away, 2, "registry resolve", knockExtra{}},
		{"preflight", "runtime throttled once", opGet + throttled + once, 0, "", knockExtra{}},
		{"preflight", "runtime throttled forever", opGet + throttled, 2, "AgentCore GetAgentRuntime supportAgent_dev-", knockExtra{}},
		{"preflight", "runtime 5xx forever", opGet + failing, 2, "AgentCore GetAgentRuntime supportAgent_dev-", knockExtra{}},
		{"preflight", "runtime hangs forever", opGet + hang, 2, "AgentCore GetAgentRuntime supportAgent_dev-", knockExtra{}},
		{"preflight", "runtime hangs once", opGet + hang + once, 0, "", knockExtra{}},
		{"preflight", "runtime dropped once", opGet + drop + once, 0, "", knockExtra{}},
		{"preflight", "runtime truncated once", opGet + truncated + once, 0, "", knockExtra{}},
		{"preflight", "runtime denied", opGet + denied, 2, "AccessDeniedException|slipway bootstrap writes", knockExtra{}},
		{"preflight", "runtime: credentials expired once", opGet + expired + once, 0, "", knockExtra{}},
		{"preflight", "lock throttled once", opPut + throttled + once, 0, "", knockExtra{}},
		{"preflight", "lock throttled forever", opPut + throttled + " --resource /lock", 2, "/supportAgent/dev/lock", knockExtra{}},
		{"preflight", "lock 5xx forever", opPut + failing + " --resource /lock", 2, "/supportAgent/dev/lock", knockExtra{}},
		{"preflight", "lock hangs forever", opPut + hang + " --resource /lock", 2, "/supportAgent/dev/lock", knockExtra{}},
		{"preflight", "lock lost once", opPut + lost + once, 0, "", knockExtra{}},
		{"preflight", "lock lost forever", opPut + lost + " --resource /lock", 2, "/supportAgent/dev/lock: no answer", knockExtra{}},
	}
}

func pushKnocks() []knock {
	return []knock{
		{"push", "blob 503 once", opBlob + away + once, 0, "", knockExtra{}},
		{"push", "blob throttled twice", opBlob + throttled + " --times 2", 0, "", knockExtra{}},
		{"push", "blob 5xx forever", opBlob + failing, 1, "registry push blob|still serves", knockExtra{}},
		{"push", "blob hangs once", opBlob + hang + once, 0, "", knockExtra{}},
		{"push", "blob hangs forever", opBlob + hang, 1, "registry push blob|stood still|still serves", knockExtra{}},
		{"push", "blob lost once", opBlob + lost + once, 0, "", knockExtra{}},
		{"push", "blob dropped once", opBlob + drop + once, 0, "", knockExtra{}},
		{"push", "blob truncated once", opBlob + truncated + once, 0, "", knockExtra{}},
		{"push", "blob truncated forever", opBlob + truncated, 1, "registry push blob|still serves", knockExtra{}},
		{"push", "blob corrupt once", opBlob + corrupt + once, 0, "", knockExtra{}},
		{"push", "blob corrupt forever", opBlob + corrupt, 1, "DIGEST_INVALID|still serves", knockExtra{}},
		{"push", "blob completed, lost once", opComplete + lost + once, 0, "", knockExtra{}},
		{"push", "registry login expired once", opBlob + expired + once, 0, "", knockExtra{}},
		{"push", "registry denied", opBlob + denied, 1, "DENIED|the role lacks a permission|still serves", knockExtra{}},
		{"push", "manifest 503 once", opManifest + away + once, 0, "", knockExtra{}},
		{"push", "manifest 5xx forever", opManifest + failing, 1, "registry put manifest|still serves", knockExtra{}},
		{"push", "manifest lost once", opManifest + lost + once, 0, "", knockExtra{}},
		{"push", "manifest corrupt once", opManifest + corrupt + once, 1, "still serves", knockExtra{}},
		{"push", "read back 5xx forever", opResolve + failing + " --skip 3", 1, "reading back the tag|still serves", knockExtra{}},
		{"push", "read back corrupt once", opResolve + corrupt + " --skip 3" + once, 1, "after the push of|still serves", knockExtra{}},
		{"push", "the tag moved", opResolve + hang + " --skip 3" + once, 1, "somebody else pushed it|still serves",
			knockExtra{meanwhile: moveTag, again: ""}},
		{"push", "repository gone", opBlob + " --error NAME_UNKNOWN --status 404", 1, "NAME_UNKNOWN|still serves", knockExtra{}},
	}
}

func updateKnocks() []knock {
	return []knock{
		{"update", "fence 5xx forever", opGet + failing + " --skip 1", 1, "AgentCore GetAgentRuntime|still serves", knockExtra{}},
		{"update", "throttled once", opUpdate + throttled + once, 0, "", knockExtra{}},
		{"update", "throttled forever", opUpdate + throttled, 1, "AgentCore UpdateAgentRuntime supportAgent_dev-|ThrottlingException|still serves", knockExtra{}},
		{"update", "5xx once", opUpdate + failing + once, 0, "", knockExtra{}},
		{"update", "5xx forever", opUpdate + failing, 1, "InternalServerException|still serves", knockExtra{}},
		{"update", "hangs once", opUpdate + hang + once, 0, "", knockExtra{}},
		{"update", "hangs forever", opUpdate + hang, 1, "UpdateAgentRuntime|still serves", knockExtra{}},
		{"update", "answer lost once", opUpdate + lost + once, 0, "", knockExtra{}},
		{"update", "answer lost forever", opUpdate + lost, 0, "", knockExtra{}},
		{"update", "answer truncated once", opUpdate + truncated + once, 0, "", knockExtra{}},
		{"update", "dropped once", opUpdate + drop + once, 0, "", knockExtra{}},
		{"update", "dropped forever", opUpdate + drop, 1, "UpdateAgentRuntime|still serves", knockExtra{}},
		{"update", "conflict once", opUpdate + " --error ConflictException" + once, 0, "", knockExtra{}},
		{"update", "conflict forever", opUpdate + " --error ConflictException", 1, "ConflictException|still serves", knockExtra{}},
		{"update", "credentials expired once", opUpdate + expired + once, 0, "", knockExtra{}},
		{"update", "credentials expired forever", opUpdate + expired, 1, "ExpiredTokenException|still serves|run the same command again", knockExtra{}},
		{"update", "denied", opUpdate + denied, 1, "AccessDeniedException|still serves|slipway bootstrap writes", knockExtra{}},
		{"update", "quota", opUpdate + " --error ServiceQuotaExceededException", 1, "a quota is used up|still serves", knockExtra{}},
		{"update", "runtime deleted", opUpdate + hang + once, 1, "ResourceNotFoundException",
			knockExtra{meanwhile: deleteRuntime, again: "--create --yes"}},
	}
}

func readyKnocks() []knock {
	const after = " --skip 2" // preflight and fence
	return []knock{
		{"ready", "UPDATE_FAILED", opUpdate + " --stuck UPDATE_FAILED --message 'no capacity left'" + once, 1, "UPDATE_FAILED: no capacity left|still serves", knockExtra{surplus: 1}},
		{"ready", "image deleted", opGet + hang + after + once, 1, "UPDATE_FAILED|could not be pulled|still serves", knockExtra{meanwhile: deleteImage, surplus: 1}},
		{"ready", "stuck UPDATING", opUpdate + " --stuck UPDATING", 6, "waited 3s for runtime supportAgent_dev-|to be READY; last seen: UPDATING", knockExtra{}},
		{"ready", "unknown status", opUpdate + " --stuck REBALANCING", 6, "last seen: REBALANCING", knockExtra{}},
		{"ready", "DELETING", opUpdate + " --stuck DELETING", 6, "the runtime is being deleted", knockExtra{}},
		{"ready", "throttled once", opGet + throttled + after + once, 0, "", knockExtra{}},
		{"ready", "throttled forever", opGet + throttled + after, 6, "to be READY|ThrottlingException", knockExtra{}},
		{"ready", "5xx forever", opGet + failing + after, 6, "to be READY|InternalServerException", knockExtra{}},
		{"ready", "hangs once", opGet + hang + after + once, 0, "", knockExtra{args: "--timeout 20s"}},
		{"ready", "hangs forever", opGet + hang + after, 6, "to be READY", knockExtra{}},
		{"ready", "dropped once", opGet + drop + after + once, 0, "", knockExtra{}},
		{"ready", "lost forever", opGet + lost + after, 6, "to be READY", knockExtra{}},
		{"ready", "truncated once", opGet + truncated + after + once, 0, "", knockExtra{}},
		{"ready", "credentials expired once", opGet + expired + after + once, 0, "", knockExtra{}},
		{"ready", "DEFAULT 5xx forever", opEndpoint + failing, 6, "endpoint DEFAULT to serve version", knockExtra{}},
		{"ready", "DEFAULT hangs forever", opEndpoint + hang, 6, "endpoint DEFAULT to serve version", knockExtra{}},
		{"ready", "runtime deleted", opGet + hang + after + once, 6, "", knockExtra{meanwhile: deleteRuntime, again: "--create --yes"}},
		{"ready", "somebody's update", opGet + hang + after + once, 5, "another deployment has updated the runtime", knockExtra{meanwhile: foreignUpdate, surplus: 2}},
	}
}

func verifyKnocks() []knock {
	return []knock{
		{"verify", "throttled once", opInvoke + throttled + once, 0, "", knockExtra{}},
		{"verify", "5xx once", opInvoke + failing + once, 0, "", knockExtra{}},
		{"verify", "5xx, then the way back works", opInvoke + failing + " --times 4", 4, "verify could not be measured|InternalServerException|serves again", knockExtra{surplus: 2}},
		{"verify", "5xx forever", opInvoke + failing, 6, "verify could not be measured", knockExtra{surplus: 2}},
		{"verify", "hangs once", opInvoke + hang + once, 4, "it gave no answer within 5s|serves again", knockExtra{args: "--timeout 5s", surplus: 2}},
		{"verify", "hangs forever", opInvoke + hang, 6, "it gave no answer within 3s", knockExtra{args: "--timeout 3s", surplus: 2}},
		{"verify", "dropped once", opInvoke + drop + once, 0, "", knockExtra{}},
		{"verify", "lost once", opInvoke + lost + once, 0, "", knockExtra{}},
		{"verify", "truncated once", opInvoke + truncated + once, 0, "", knockExtra{}},
		{"verify", "denied forever", opInvoke + denied, 6, "AccessDeniedException", knockExtra{surplus: 2}},
		{"verify", "credentials expired once", opInvoke + expired + once, 0, "", knockExtra{}},
		{"verify", "runtime deleted", opInvoke + hang + once, 6, "", knockExtra{meanwhile: deleteRuntime, again: "--create --yes"}},
		{"verify", "somebody's update", opInvoke + hang + once, 5, "another deployment has updated the runtime", knockExtra{meanwhile: foreignUpdate, surplus: 2}},
	}
}

func endpointKnocks() []knock {
	live := func(e knockExtra) knockExtra { e.live = true; return e }
	return []knock{
		{"endpoint", "move throttled once", opMove + throttled + once, 0, "", live(knockExtra{})},
		{"endpoint", "move throttled forever", opMove + throttled, 1, "UpdateAgentRuntimeEndpoint|still serves", live(knockExtra{})},
		{"endpoint", "everything about it 5xx forever", opMove + failing + ";" + opEndpoint + failing + " --resource live --skip 2", 6, "what live serves could not be read", live(knockExtra{})},
		{"endpoint", "move lost once", opMove + lost + once, 0, "", live(knockExtra{})},
		{"endpoint", "move hangs once", opMove + hang + once, 0, "", live(knockExtra{})},
		{"endpoint", "move dropped once", opMove + drop + once, 0, "", live(knockExtra{})},
		{"endpoint", "move truncated once", opMove + truncated + once, 0, "", live(knockExtra{})},
		{"endpoint", "move conflicts once", opMove + " --error ConflictException" + once, 0, "", live(knockExtra{})},
		{"endpoint", "credentials expired once", opMove + expired + once, 0, "", live(knockExtra{})},
		{"endpoint", "stuck UPDATING", opMove + " --stuck UPDATING", 6, "waited 3s for endpoint live to serve version|last seen: UPDATING", live(knockExtra{})},
		{"endpoint", "UPDATE_FAILED", opMove + " --stuck UPDATE_FAILED --message 'no capacity left'" + once, 4, "no capacity left|serves version", live(knockExtra{})},
		{"endpoint", "probe 5xx, then the way back works", opInvoke + failing + " --resource live --times 4", 4, "verify could not be measured", live(knockExtra{})},
		{"endpoint", "probe 5xx forever", opInvoke + failing + " --resource live", 6, "verify could not be measured", live(knockExtra{})},
		{"endpoint", "verify fails behind it", opInvoke + failing + " --resource DEFAULT", 1, "live was not touched", live(knockExtra{})},
		{"endpoint", "stuck runtime behind it", opUpdate + " --stuck UPDATING", 6, "last seen: UPDATING", live(knockExtra{})},
		{"endpoint", "UPDATE_FAILED behind it", opUpdate + " --stuck UPDATE_FAILED" + once, 1, "UPDATE_FAILED", live(knockExtra{surplus: 1})},
	}
}

func lastKnocks() []knock {
	const latest = " --resource runtime:latest"
	return []knock{
		{"latest", "503 once", opManifest + away + latest + once, 0, "", knockExtra{}},
		{"latest", "5xx forever", opManifest + failing + latest, 6, "verified; latest is not done", knockExtra{}},
		{"latest", "hangs forever", opManifest + hang + latest, 6, "verified; latest is not done", knockExtra{}},
		{"latest", "lost once", opManifest + lost + latest + once, 0, "", knockExtra{}},
		{"latest", "dropped once", opManifest + drop + latest + once, 0, "", knockExtra{}},
		{"latest", "denied", opManifest + denied + latest, 6, "verified; latest is not done", knockExtra{}},
		{"latest", "login expired once", opManifest + expired + latest + once, 0, "", knockExtra{}},
		{"record", "throttled once", opPut + throttled + " --resource /release" + once, 0, "", knockExtra{}},
		{"record", "throttled forever", opPut + throttled + " --resource /release", 6, "verified; record is not done|/supportAgent/dev/release", knockExtra{}},
		{"record", "5xx forever", opPut + failing + " --resource /image-uri", 6, "verified; record is not done|/supportAgent/dev/image-uri", knockExtra{}},
		{"record", "hangs forever", opPut + hang + " --resource /release", 6, "verified; record is not done", knockExtra{}},
		{"record", "lost once", opPut + lost + " --resource /release" + once, 0, "", knockExtra{}},
		{"record", "credentials expired once", opPut + expired + " --resource /release" + once, 0, "", knockExtra{}},
		{"unlock", "throttled once", opDelete + throttled + once, 0, "", knockExtra{}},
		{"unlock", "throttled forever", opDelete + throttled, 0, "could not be released", knockExtra{}},
		{"unlock", "hangs forever", opDelete + hang, 0, "could not be released", knockExtra{}},
		{"unlock", "lost once", opDelete + lost + once, 0, "", knockExtra{}},
		{"unlock", "dropped once", opDelete + drop + once, 0, "", knockExtra{}},
	}
}

// stopKnocks interrupt a wait that would last.
func stopKnocks() []knock {
	var cells []knock
	for name, signal := range map[string]os.Signal{"SIGINT": os.Interrupt, "SIGTERM": syscall.SIGTERM} {
		stop := knockExtra{stop: signal, args: "--timeout 10m"}
		behind := stop
		behind.live = true
		silent := stop
		silent.then = "'*:*'" + hang
		cells = append(cells, []knock{
			{"interrupt", name + " in credentials", opAssume + hang, 130, "interrupted during credentials", stop},
			{"interrupt", name + " in preflight", opGet + hang, 130, "interrupted during preflight", stop},
			{"interrupt", name + " at the lock", opPut + hang, 130, "interrupted during preflight", stop},
			{"interrupt", name + " in push", opBlob + hang, 130, "interrupted during push|still serves", stop},
			{"interrupt", name + " in update", opUpdate + hang, 130, "interrupted during update|was sent and not answered", stop},
			{"interrupt", name + " in ready", opGet + " --latency 1ms --skip 2;" + opUpdate + " --stuck UPDATING", 130, "interrupted during ready|serves through DEFAULT or is about to, unverified", stop},
			{"interrupt", name + " in verify", opInvoke + hang, 130, "interrupted during verify|serves through DEFAULT or is about to, unverified", stop},
			{"interrupt", name + " in endpoint", opMove + hang, 130, "interrupted during endpoint", behind},
			{"interrupt", name + " in latest", opManifest + hang + " --resource runtime:latest", 130, "interrupted during latest|verified; latest is not done", stop},
			{"interrupt", name + " in record", opPut + hang + " --resource /release", 130, "interrupted during record|verified; record is not done", stop},
			{"interrupt", name + " while nothing answers", opInvoke + hang, 130, "interrupted during verify", silent},
		}...)
	}
	return cells
}
