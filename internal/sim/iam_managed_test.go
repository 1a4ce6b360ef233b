package sim

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

const (
	allowGet = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ssm:GetParameter","Resource":"*"}]}`
	allowPut = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ssm:PutParameter","Resource":"*"}]}`
)

func TestManagedPolicies(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	made, err := client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("slipway"), Path: aws.String("/ci/"), PolicyDocument: aws.String(allowGet),
		Tags: []iamtypes.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	if err != nil {
		t.Fatal(err)
	}
	arn := made.Policy.Arn
	if *arn != "arn:aws:iam::111122223333:policy/ci/slipway" || *made.Policy.DefaultVersionId != "v1" || !strings.HasPrefix(*made.Policy.PolicyId, "ANPA") {
		t.Errorf("%+v", made.Policy)
	}
	_, err = client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("SLIPWAY"), PolicyDocument: aws.String(allowGet)})
	wantFault(t, err, "EntityAlreadyExists", 409, "Duplicate names")
	_, err = client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("bad"), PolicyDocument: aws.String(`{"Statement":[{"Effect":"Allow","Action":"*"}]}`)})
	wantFault(t, err, "MalformedPolicyDocument", 400, "resources")
	_, err = client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("old"), PolicyDocument: aws.String(strings.Replace(allowGet, "2012-10-17", "2008-10-17", 1))})
	wantFault(t, err, "MalformedPolicyDocument", 400, "2012-10-17 or greater")
	long := strings.Replace(allowGet, `"*"`, `"arn:aws:ssm:us-east-1:111122223333:parameter/`+strings.Repeat("x", 6144)+`"`, 1)
	_, err = client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("long"), PolicyDocument: &long})
	wantFault(t, err, "LimitExceeded", 409, "6144")
	for range 4 {
		if _, err := client.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: aws.String(allowPut), SetAsDefault: true}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = client.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: aws.String(allowPut)})
	wantFault(t, err, "LimitExceeded", 409, "5 versions")
	got, err := client.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn})
	if err != nil || *got.Policy.DefaultVersionId != "v5" || len(got.Policy.Tags) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	version, err := client.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")})
	if err != nil {
		t.Fatal(err)
	}
	if document, err := url.PathUnescape(*version.PolicyVersion.Document); err != nil || document != allowGet || version.PolicyVersion.IsDefaultVersion {
		t.Errorf("%+v, %v", version.PolicyVersion, err)
	}
	_, err = client.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v5")})
	wantFault(t, err, "DeleteConflict", 409, "default version")
	_, err = client.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
	wantFault(t, err, "DeleteConflict", 409, "more than one version")
	for _, id := range []string{"v1", "v2", "v3", "v4"} {
		if _, err := client.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: &id}); err != nil {
			t.Fatal(err)
		}
	}
	versions, err := client.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: arn})
	if err != nil || len(versions.Versions) != 1 || *versions.Versions[0].VersionId != "v5" {
		t.Errorf("%+v, %v", versions, err)
	}
	_, err = client.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")})
	wantFault(t, err, "NoSuchEntity", 404, "version v1 does not exist")
	_, err = client.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("1")})
	wantFault(t, err, "ValidationError", 400, "versionId")
	local, err := client.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: iamtypes.PolicyScopeTypeLocal})
	if err != nil || len(local.Policies) != 1 {
		t.Errorf("%+v, %v", local, err)
	}
	if _, err := client.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}); err != nil {
		t.Error(err)
	}
	_, err = client.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn})
	wantFault(t, err, "NoSuchEntity", 404, "was not found")
	_, err = client.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String("arn:aws:iam::111122223333:role/slipway")})
	wantFault(t, err, "InvalidInput", 400, "is not valid")
	_, err = client.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: aws.String("arn:aws:iam::aws:policy/PowerUserAccess")})
	wantFault(t, err, "AccessDenied", 403, "AWS's own")
	_, err = client.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String("arn:aws:iam::aws:policy/BedrockAgentCoreFullAccess")})
	wantFault(t, err, "NoSuchEntity", 404, "was not found")
}

// TestAttachedAndBounded: what is attached allows, what bounds limits, and
// neither outlives its taking away.
func TestAttachedAndBounded(t *testing.T) {
	cloud, srv := startCloud(t)
	client, ctx := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	role := aws.String("bounded")
	policy := func(name, document string) *string {
		made, err := client.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: &document})
		if err != nil {
			t.Fatal(err)
		}
		return made.Policy.Arn
	}
	get, put := policy("get", allowGet), policy("put", allowPut)
	_, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: aws.String(serviceTrust), PermissionsBoundary: aws.String("arn:aws:iam::111122223333:policy/none")})
	wantFault(t, err, "NoSuchEntity", 404, "Scope ARN")
	made, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: aws.String(serviceTrust), PermissionsBoundary: put})
	if err != nil || *made.Role.PermissionsBoundary.PermissionsBoundaryArn != *put {
		t.Fatalf("%+v, %v", made, err)
	}
	reader := ssm.NewFromConfig(roleConfig(t, cloud, srv, *role))
	denied := func(because string) {
		t.Helper()
		_, err := reader.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/a/b")})
		wantFault(t, err, "AccessDeniedException", 400, because)
	}
	denied("because no identity-based policy allows the ssm:GetParameter action")
	if _, err := client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: get}); err != nil {
		t.Fatal(err)
	}
	denied("because no permissions boundary allows the ssm:GetParameter action")
	if _, err := client.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: role, PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/PowerUserAccess")}); err != nil {
		t.Fatal(err)
	}
	_, err = reader.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/a/b")})
	wantFault(t, err, "ParameterNotFound", 400, "")
	for want, in := range map[string]*iam.ListPoliciesInput{
		"get":                                 {OnlyAttached: true},
		"PowerUserAccess":                     {PolicyUsageFilter: iamtypes.PolicyUsageTypePermissionsBoundary},
		"get put":                             {Scope: iamtypes.PolicyScopeTypeLocal},
		"AdministratorAccess PowerUserAccess": {Scope: iamtypes.PolicyScopeTypeAws},
		"":                                    {PathPrefix: aws.String("/none/")},
	} {
		list, err := client.ListPolicies(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range list.Policies {
			names = append(names, *p.PolicyName)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%+v lists %q, not %q", in, got, want)
		}
	}
	attached, err := client.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: role})
	if err != nil || len(attached.AttachedPolicies) != 1 || *attached.AttachedPolicies[0].PolicyName != "get" {
		t.Errorf("%+v, %v", attached, err)
	}
	_, err = client.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: get})
	wantFault(t, err, "DeleteConflict", 409, "attached")
	_, err = client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role})
	wantFault(t, err, "DeleteConflict", 409, "detach")
	if _, err := client.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: role}); err != nil {
		t.Error(err)
	}
	if _, err := client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: get}); err != nil {
		t.Error(err)
	}
	denied("because no identity-based policy")
	_, err = client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: get})
	wantFault(t, err, "NoSuchEntity", 404, "")
}

// roleConfig is what a session of a role of the default account has.
func roleConfig(t testing.TB, c *Cloud, srv *httptest.Server, name string) aws.Config {
	t.Helper()
	r, ok := c.findRole(DefaultAccount, name)
	if !ok {
		t.Fatalf("there is no role %s", name)
	}
	key, err := c.newSession(r, "test", "", "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return aws.Config{Region: DefaultRegion, BaseEndpoint: aws.String(srv.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key.ID, key.Secret, key.Token)}
}

func TestRoleTagsAndUpdates(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	role := aws.String("tagged")
	if _, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: aws.String(serviceTrust), Description: aws.String("kept")}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"Slipway", "slipway"} {
		if _, err := client.TagRole(ctx, &iam.TagRoleInput{RoleName: role, Tags: []iamtypes.Tag{{Key: &key, Value: &key}}}); err != nil {
			t.Fatal(err)
		}
	}
	tags, err := client.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: role})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "slipway" || *tags.Tags[0].Value != "slipway" {
		t.Errorf("%+v, %v", tags, err)
	}
	for about, bad := range map[string][]iamtypes.Tag{
		"Duplicate":                {{Key: aws.String("a"), Value: aws.String("")}, {Key: aws.String("A"), Value: aws.String("")}},
		"aws:":                     {{Key: aws.String("AWS:x"), Value: aws.String("")}},
		"tags.1.member.key":        {{Key: aws.String("a*"), Value: aws.String("")}},
		"tags.1.member.value":      {{Key: aws.String("a"), Value: aws.String(strings.Repeat("v", 257))}},
		"less than or equal to 50": slices.Repeat([]iamtypes.Tag{{Key: aws.String("a"), Value: aws.String("")}}, 51),
	} {
		_, err := client.TagRole(ctx, &iam.TagRoleInput{RoleName: role, Tags: bad})
		code := "ValidationError"
		if about == "Duplicate" || about == "aws:" {
			code = "InvalidInput"
		}
		wantFault(t, err, code, 400, about)
	}
	if _, err := client.UntagRole(ctx, &iam.UntagRoleInput{RoleName: role, TagKeys: []string{"slipway"}}); err != nil {
		t.Error(err)
	}
	_, err = client.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: role, MaxSessionDuration: aws.Int32(60)})
	wantFault(t, err, "ValidationError", 400, "3600")
	if _, err := client.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: role, MaxSessionDuration: aws.Int32(7200)}); err != nil {
		t.Error(err)
	}
	got, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: role})
	if err != nil || *got.Role.MaxSessionDuration != 7200 || *got.Role.Description != "kept" || len(got.Role.Tags) != 0 {
		t.Errorf("%+v, %v", got.Role, err)
	}
}

func TestServiceLinkedRoles(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	service := aws.String("runtime-identity.bedrock-agentcore.amazonaws.com")
	made, err := client.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: service})
	if err != nil || *made.Role.Arn != "arn:aws:iam::111122223333:role/aws-service-role/"+*service+"/AWSServiceRoleForBedrockAgentCoreRuntimeIdentity" {
		t.Fatalf("%+v, %v", made, err)
	}
	_, err = client.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: service})
	wantFault(t, err, "InvalidInput", 400, "has been taken in this account")
	if _, err := client.TagRole(ctx, &iam.TagRoleInput{RoleName: made.Role.RoleName, Tags: []iamtypes.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}); err != nil {
		t.Error(err)
	}
	_, err = client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: made.Role.RoleName})
	wantFault(t, err, "UnmodifiableEntity", 400, "only modifiable by AWS")
	_, err = client.CreateServiceLinkedRole(ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: aws.String("ec2.amazonaws.com")})
	wantFault(t, err, "InvalidInput", 400, "knows no service-linked role")
}

// TestTagKeysReachPolicies: who may touch one tag alone, may not touch others.
func TestTagKeysReachPolicies(t *testing.T) {
	cloud, srv := startCloud(t)
	admin, ctx := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	role := aws.String("tagger")
	if _, err := admin.CreateRole(ctx, &iam.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: aws.String(serviceTrust)}); err != nil {
		t.Fatal(err)
	}
	made, err := ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount)).CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("team/agent")})
	if err != nil {
		t.Fatal(err)
	}
	for _, condition := range []string{`"StringEquals":{"aws:RequestTag/team":"v","aws:TagKeys":"team"}`, `"StringEquals":{"aws:TagKeys":"team"},"Null":{"aws:RequestTag/team":"true"}`} {
		document := policyOf("Allow", "*", "*", condition)
		if _, err := admin.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: role, PolicyName: aws.String("p"), PolicyDocument: &document}); err != nil {
			t.Fatal(err)
		}
		config := roleConfig(t, cloud, srv, *role)
		tagger, repositories := iam.NewFromConfig(config), ecr.NewFromConfig(config)
		for key, allowed := range map[string]bool{"team": true, "owner": false} {
			calls := map[string]error{}
			if strings.Contains(condition, "Null") {
				_, calls["UntagRole"] = tagger.UntagRole(ctx, &iam.UntagRoleInput{RoleName: role, TagKeys: []string{key}})
				_, calls["UntagResource"] = repositories.UntagResource(ctx, &ecr.UntagResourceInput{ResourceArn: made.Repository.RepositoryArn, TagKeys: []string{key}})
			} else {
				_, calls["TagRole"] = tagger.TagRole(ctx, &iam.TagRoleInput{RoleName: role, Tags: []iamtypes.Tag{{Key: &key, Value: aws.String("v")}}})
				_, calls["TagResource"] = repositories.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: made.Repository.RepositoryArn, Tags: repositoryTags(key)})
			}
			for operation, err := range calls {
				if (err == nil) != allowed {
					t.Errorf("%s of %s: %v", operation, key, err)
				}
			}
		}
	}
}
