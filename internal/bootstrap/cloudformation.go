package bootstrap

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/slipway-cd/slipway/internal/trust"
)

// Template is the AWS side of an environment as an AWS CloudFormation template,
// for accounts whose resources come from stacks alone (CloudFormation user
// guide: template anatomy). The provider is the account's: whether the stack
// makes it is a parameter, for there can be only one. The service-linked roles
// are left to AWS.
func Template(e Environment) ([]byte, error) {
	resources := map[string]any{
		"Provider": map[string]any{"Type": "AWS::IAM::OIDCProvider", "Condition": "MakeProvider", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain",
			"Properties": map[string]any{"Url": orElse(e.Caller.Issuer, trust.GitHubIssuer), "ClientIdList": []string{orElse(e.Caller.Audience, "sts.amazonaws.com")}}},
		"Boundary": map[string]any{"Type": "AWS::IAM::ManagedPolicy", "Properties": map[string]any{
			"ManagedPolicyName": roleName(e.boundaryARN()), "Path": rolePath(e.DeployRole), "PolicyDocument": raw(e.Boundary())}},
		"DeployRole": e.role(e.DeployRole, e.Caller.Trust(), e.DeployPolicy(), map[string]any{
			"PermissionsBoundary": map[string]string{"Ref": "Boundary"}, "MaxSessionDuration": int(sessionLimit.Seconds())}),
	}
	if e.MakeExecutionRole {
		resources["ExecutionRole"] = e.role(e.ExecutionRole, e.ExecutionTrust(), e.ExecutionPolicy(), nil)
	}
	for i, a := range e.Agents {
		resources[fmt.Sprintf("Repository%d", i+1)] = e.repositoryResource(a.Repository)
	}
	template := map[string]any{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description":              "What Slipway needs to deliver to " + e.Environment(),
		"Parameters": map[string]any{"CreateProvider": map[string]any{"Type": "String", "Default": "true", "AllowedValues": []string{"true", "false"},
			"Description": "false where the account has GitHub's OIDC provider already"}},
		"Conditions": map[string]any{"MakeProvider": map[string]any{"Fn::Equals": []any{map[string]string{"Ref": "CreateProvider"}, "true"}}},
		"Resources":  resources,
		"Outputs":    map[string]any{"DeployRoleArn": map[string]any{"Value": map[string]any{"Fn::GetAtt": []string{"DeployRole", "Arn"}}}},
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(template) // members in the order of their names
	return b.Bytes(), err
}

func raw(p trust.Policy) json.RawMessage { return p.Compact() }

// role is a role as a resource.
func (e Environment) role(arn string, who, what trust.Policy, more map[string]any) map[string]any {
	properties := map[string]any{"RoleName": roleName(arn), "Path": rolePath(arn), "AssumeRolePolicyDocument": raw(who),
		"Policies": []any{map[string]any{"PolicyName": PolicyName, "PolicyDocument": raw(what)}}, "Tags": e.tagResources()}
	for name, value := range more {
		properties[name] = value
	}
	return map[string]any{"Type": "AWS::IAM::Role", "Properties": properties}
}

func (e Environment) tagResources() []any {
	return []any{map[string]string{"Key": Tag, "Value": e.Owner}}
}

// repositoryResource keeps its images when the stack goes.
func (e Environment) repositoryResource(name string) map[string]any {
	properties := map[string]any{"RepositoryName": name, "ImageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
		"ImageTagMutabilityExclusionFilters": []any{map[string]string{"ImageTagMutabilityExclusionFilterType": "WILDCARD", "ImageTagMutabilityExclusionFilterValue": "latest"}},
		"ImageScanningConfiguration":         map[string]bool{"ScanOnPush": true},
		"LifecyclePolicy":                    map[string]string{"LifecyclePolicyText": lifecycle}, "Tags": e.tagResources()}
	if pullers := e.Pullers[name]; len(pullers) > 0 {
		properties["RepositoryPolicyText"] = raw(trust.RepositoryPolicy(pullers))
	}
	return map[string]any{"Type": "AWS::ECR::Repository", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain", "Properties": properties}
}
