package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// What AgentCore's members look like (API reference and service model, as
// collected in the project's facts 1.4).

const (
	patternRuntimeID = `[a-zA-Z][a-zA-Z0-9_]{0,99}-[a-zA-Z0-9]{10}`
	patternName      = `[a-zA-Z][a-zA-Z0-9_]{0,47}`
	patternVersion   = `([1-9][0-9]{0,4})`
	patternToken     = `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,256}` //nolint:gosec // a pattern, no token
	patternRole      = `arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+`
	patternImage     = `(([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?|public\.ecr\.aws)/((?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*)(?::([^:@]{1,300}))?(?:@(.+))?`
	patternTag       = `[a-zA-Z0-9\s._:/=+@-]*`
	patternMount     = `/mnt/[a-zA-Z0-9._-]+/?`
	patternS3Files   = `arn:aws[-a-z]*:s3files:[0-9a-z-:]+:file-system/fs-[0-9a-f]{17,40}/access-point/fsap-[0-9a-f]{17,40}`
	patternEFS       = `arn:aws[-a-z]*:elasticfilesystem:[0-9a-z-:]+:access-point/fsap-[0-9a-f]{8,40}`
)

// configurationMembers are what Create and Update have in common: each update
// replaces all of them.
func configurationMembers() members {
	return members{
		"agentRuntimeArtifact*":         artifactShape(),
		"roleArn*":                      text(1, 2048, patternRole),
		"networkConfiguration":          networkShape(),
		"description":                   text(1, 4096, ""),
		"authorizerConfiguration":       authorizerShape(),
		"requestHeaderConfiguration":    union(members{"requestHeaderAllowlist": list(1, 20, text(1, 256, `[A-Za-z][A-Za-z0-9_-]{0,255}`))}),
		"protocolConfiguration":         protocolShape(),
		"lifecycleConfiguration":        structure(members{"idleRuntimeSessionTimeout": number(60, 28800), "maxLifetime": number(60, 28800)}),
		"environmentVariables":          dictionary(50, text(1, 100, ""), text(0, 5000, "")),
		"filesystemConfigurations":      filesystemShape(),
		"capacityProviderConfiguration": structure(members{"capacityProviderArn*": text(1, 2048, "")}),
		"platformVersion":               oneOf(platformV1, platformV2),
		"allowedPorts":                  allowedPortsShape(),
		"clientToken":                   text(33, 256, patternToken),
	}
}

const (
	platformV1 = "V1"
	platformV2 = "V2"
)

func createMembers() members {
	m := configurationMembers()
	m["agentRuntimeName*"] = text(1, 48, patternName)
	m["tags"] = tagsShape()
	return m
}

func updateMembers() members {
	m := configurationMembers()
	m["metadataConfiguration"] = structure(members{"requireMMDSV2*": boolean})
	return m
}

func tagsShape() shape {
	return dictionary(50, text(1, 128, patternTag), text(0, 256, patternTag))
}

func artifactShape() shape {
	code := structure(members{
		"code*": union(members{"s3": structure(members{
			"bucket*": text(3, 63, `[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]`), "prefix*": text(1, 1024, ""), "versionId": text(3, 1024, "")})}),
		"runtime*":    oneOf("PYTHON_3_10", "PYTHON_3_11", "PYTHON_3_12", "PYTHON_3_13", "PYTHON_3_14", "NODE_22"),
		"entryPoint*": list(1, 2, text(1, 128, "")),
	})
	return union(members{
		"containerConfiguration": structure(members{"containerUri*": text(1, 1024, patternImage)}),
		"codeConfiguration":      code,
	})
}

func networkShape() shape {
	return structure(members{
		"networkMode*": oneOf("PUBLIC", "VPC"),
		"networkModeConfig": structure(members{
			"securityGroups*":          list(1, 16, text(0, 1024, `sg-[0-9a-zA-Z]{8,17}`)),
			"subnets*":                 list(1, 16, text(0, 1024, `subnet-[0-9a-zA-Z]{8,17}`)),
			"requireServiceS3Endpoint": boolean,
		}),
	})
}

func authorizerShape() shape {
	names := list(1, 1<<20, text(1, 1<<20, ""))
	return union(members{"customJWTAuthorizer": structure(members{
		"discoveryUrl*":   text(1, 1<<20, `.+/\.well-known/(openid-configuration|oauth-authorization-server.*)`),
		"allowedAudience": names,
		"allowedClients":  names,
		"allowedScopes":   list(1, 1<<20, text(1, 255, `[\x21\x23-\x5B\x5D-\x7E]+`)),
		"customClaims":    list(1, 1<<20, claimShape),
	})})
}

// claimShape is a rule for a claim: EQUALS compares a string; CONTAINS and
// CONTAINS_ANY look into a list, for one value and for any of several.
func claimShape(c *check, path string, raw json.RawMessage) {
	value := union(members{"matchValueString": text(1, 255, ""), "matchValueStringList": list(1, 255, text(1, 255, ""))})
	structure(members{
		"inboundTokenClaimName*":      text(1, 255, `[A-Za-z0-9_.:-]+`),
		"inboundTokenClaimValueType*": oneOf("STRING", "STRING_ARRAY"),
		"authorizingClaimMatchValue*": structure(members{"claimMatchOperator*": oneOf("EQUALS", "CONTAINS", "CONTAINS_ANY"), "claimMatchValue*": value}),
	})(c, path, raw)
	var rule customClaim
	if exact(raw, &rule) != nil || !slices.Contains([]string{"EQUALS", "CONTAINS", "CONTAINS_ANY"}, rule.Match.Operator) {
		return // said above
	}
	if (rule.Type == "STRING") != (rule.Match.Operator == "EQUALS") || (rule.Match.Value.List != nil) != (rule.Match.Operator == "CONTAINS_ANY") {
		c.add(path, fmt.Sprintf("Value at '%s' failed to satisfy constraint: EQUALS takes a STRING and matchValueString, CONTAINS a STRING_ARRAY and matchValueString, CONTAINS_ANY a STRING_ARRAY and matchValueStringList", path))
	}
}

func protocolShape() shape {
	return structure(members{
		"serverProtocol*": oneOf("MCP", "HTTP", "A2A", "AGUI"),
		"port":            portShape,
		"path":            text(1, 1024, `/.*`),
	})
}

func allowedPortsShape() shape {
	return list(1, 5, union(members{
		"port":      portShape,
		"portRange": structure(members{"from*": portShape, "to*": portShape}),
	}))
}

func filesystemShape() shape {
	mount := text(6, 200, patternMount)
	return list(0, 5, union(members{
		"sessionStorage":     structure(members{"mountPath*": mount}),
		"s3FilesAccessPoint": structure(members{"accessPointArn*": text(1, 2048, patternS3Files), "mountPath*": mount}),
		"efsAccessPoint":     structure(members{"accessPointArn*": text(1, 2048, patternEFS), "mountPath*": mount}),
	}))
}

// Shapes are made once: some of the patterns take a millisecond to compile.
//
//nolint:gochecknoglobals // made once and never changed, like a compiled pattern
var (
	createShape         = sync.OnceValue(createMembers)
	updateShape         = sync.OnceValue(updateMembers)
	createEndpointShape = sync.OnceValue(createEndpointMembers)
	updateEndpointShape = sync.OnceValue(endpointMembers)
	runtimeIDShape      = sync.OnceValue(func() shape { return text(1, 111, patternRuntimeID) })
	nameShape           = sync.OnceValue(func() shape { return text(1, 48, patternName) })
	versionShape        = sync.OnceValue(func() shape { return text(1, 5, patternVersion) })
)

// portShape: 8000 to 12000, not 8443.
func portShape(c *check, path string, raw json.RawMessage) {
	number(8000, 12000)(c, path, raw)
	if string(raw) == "8443" {
		c.fail(path, raw, "port 8443 is reserved")
	}
}

// responseMembers are set by AgentCore and never sent. Assumption: a request
// that carries one is refused. No AWS sentence says whether they are refused
// or ignored; refusing shows a client that copies an answer back unread.
func responseMembers() []string {
	return []string{"agentRuntimeArn", "agentRuntimeId", "agentRuntimeVersion", "createdAt",
		"lastUpdatedAt", "status", "failureReason", "workloadIdentityDetails"}
}
