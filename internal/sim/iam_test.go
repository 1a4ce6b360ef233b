package sim

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const serviceTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},
	"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"},
	"ArnLike":{"aws:SourceArn":"arn:aws:bedrock-agentcore:us-east-1:111122223333:*"}}}]}`

func TestProviders(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	made, err := client.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String(Issuer), ClientIDList: []string{"a"},
		ThumbprintList: []string{"6938fd4d98bab03faadb97b34396831e3780aea1"}})
	if err != nil {
		t.Fatal(err)
	}
	arn := made.OpenIDConnectProviderArn
	if *arn != "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" {
		t.Error(*arn)
	}
	_, err = client.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String(Issuer)})
	wantFault(t, err, "EntityAlreadyExists", 409, "already exists")
	for range 2 { // the second time, it is there already
		if _, err := client.AddClientIDToOpenIDConnectProvider(ctx, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: aws.String("sts.amazonaws.com")}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	if *got.Url != "token.actions.githubusercontent.com" || strings.Join(got.ClientIDList, " ") != "a sts.amazonaws.com" || len(got.ThumbprintList) != 1 || got.CreateDate == nil {
		t.Errorf("%+v", got)
	}
	list, err := client.ListOpenIDConnectProviders(ctx, nil)
	if err != nil || len(list.OpenIDConnectProviderList) != 1 || *list.OpenIDConnectProviderList[0].Arn != *arn {
		t.Errorf("%v %v", list, err)
	}
	if _, err := client.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}); err != nil {
		t.Error(err)
	}
	_, err = client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
	wantFault(t, err, "NoSuchEntity", 404, "not found")
	for _, bad := range []string{"http://x.example", "https://x.example:8443", "https://x.example?a=b", "https://", "x.example", "https://" + strings.Repeat("x", 255)} {
		_, err := client.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: &bad})
		wantFault(t, err, "ValidationError", 400, "")
	}
}

func TestRoles(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	name := aws.String("exec-role")
	made, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, Path: aws.String("/agentcore/"), AssumeRolePolicyDocument: aws.String(serviceTrust),
		Description: aws.String("<runs> & agents"), MaxSessionDuration: aws.Int32(7200), Tags: []iamtypes.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	if err != nil {
		t.Fatal(err)
	}
	if r := made.Role; *r.Arn != "arn:aws:iam::111122223333:role/agentcore/exec-role" || !strings.HasPrefix(*r.RoleId, "AROA") || len(*r.RoleId) != 21 || r.CreateDate.IsZero() {
		t.Errorf("%+v", r)
	}
	got, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	if err != nil {
		t.Fatal(err)
	}
	if document, err := url.PathUnescape(*got.Role.AssumeRolePolicyDocument); err != nil || document != serviceTrust || strings.ContainsAny(*got.Role.AssumeRolePolicyDocument, `+ "{:`) {
		t.Errorf("%v %s", err, *got.Role.AssumeRolePolicyDocument)
	}
	if *got.Role.Description != "<runs> & agents" || *got.Role.MaxSessionDuration != 7200 || *got.Role.Tags[0].Value != "v" {
		t.Errorf("%+v", got.Role)
	}
	_, err = client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("EXEC-role"), AssumeRolePolicyDocument: aws.String(serviceTrust)})
	wantFault(t, err, "EntityAlreadyExists", 409, "")
	_, err = client.GetRole(ctx, &iam.GetRoleInput{RoleName: aws.String("nobody")})
	wantFault(t, err, "NoSuchEntity", 404, "The role with name nobody cannot be found.")
	_, err = iam.NewFromConfig(adminConfig(t, srv, "444455556666")).GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	wantFault(t, err, "NoSuchEntity", 404, "")
	_, err = client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("b"), AssumeRolePolicyDocument: aws.String(serviceTrust), PermissionsBoundary: aws.String("arn:aws:iam::111122223333:policy/none")})
	wantFault(t, err, "NoSuchEntity", 404, "not attachable")
	if _, err := client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name}); err != nil {
		t.Error(err)
	}
	_, err = client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	wantFault(t, err, "NoSuchEntity", 404, "")
}

func TestInlinePolicies(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	name, policy := aws.String("r"), aws.String("deploy")
	document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}`
	if _, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(serviceTrust)}); err != nil {
		t.Fatal(err)
	}
	_, err := client.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: policy})
	wantFault(t, err, "NoSuchEntity", 404, "The role policy with name deploy cannot be found.")
	if _, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: policy, PolicyDocument: &document}); err != nil {
		t.Fatal(err)
	}
	got, err := client.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: policy})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := url.PathUnescape(*got.PolicyDocument); err != nil || text != document {
		t.Errorf("%v %s", err, text)
	}
	list, err := client.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: name})
	if err != nil || strings.Join(list.PolicyNames, " ") != "deploy" || list.IsTruncated {
		t.Errorf("%v %v", list, err)
	}
	attached, err := client.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: name})
	if err != nil || len(attached.AttachedPolicies) != 0 {
		t.Errorf("%v %v", attached, err)
	}
	_, err = client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	wantFault(t, err, "DeleteConflict", 409, "must delete policies first")
	for document, message := range map[string]string{
		`{}`: "no Statement",
		`{"Statement":{"Sid":"a-b","Effect":"Allow","Action":"ecr:*","Resource":"*"}}`:                                  "alpha-numeric",
		`{"Statement":{"Effect":"Allow","Action":"ecr:*"}}`:                                                             "must contain resources",
		`{"Statement":{"Effect":"Allow","Action":"ecr","Resource":"*"}}`:                                                "prefaced by a vendor",
		`{"Statement":{"Effect":"Allow","Action":"ecr:*","Resource":"repo"}}`:                                           "ARN format",
		`{"Statement":{"Effect":"Allow","Action":"ecr:*","Resource":"*","Principal":"*"}}`:                              "should not specify a principal",
		`{"Statement":{"Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{"StringIs":{"a":"b"}}}}`:           "unknown operator",
		`{"Statement":{"Effect":"Allow","Action":"ecr:*","Resource":"*","Condition":{"Bool":{"a":"true","a":"true"}}}}`: "twice",
	} {
		_, err := client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: policy, PolicyDocument: &document})
		wantFault(t, err, "MalformedPolicyDocument", 400, message)
	}
	long := strings.Replace(document, "ecr:*", "ecr:"+strings.Repeat("a", maxInline), 1)
	_, err = client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: policy, PolicyDocument: &long})
	wantFault(t, err, "LimitExceeded", 409, "10240")
	if _, err := client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: policy}); err != nil {
		t.Error(err)
	}
	if _, err := client.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name}); err != nil {
		t.Error(err)
	}
}

func TestTrustPoliciesThatIAMRefuses(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	federated := func(condition string) string {
		return `{"Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"},
			"Action":"sts:AssumeRoleWithWebIdentity"` + condition + `}]}`
	}
	aud := `"StringEquals":{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com"}`
	tests := []struct{ name, document, code string }{
		{"no JSON", `x`, "MalformedPolicyDocument"},
		{"no principal", `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole"}}`, "MalformedPolicyDocument"},
		{"a resource", `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*","Resource":"*"}}`, "MalformedPolicyDocument"},
		{"an action of another service", `{"Statement":{"Effect":"Allow","Action":"s3:GetObject","Principal":"*"}}`, "MalformedPolicyDocument"},
		{"an action that assumes nothing", `{"Statement":{"Effect":"Allow","Action":"sts:GetCallerIdentity","Principal":"*"}}`, "MalformedPolicyDocument"},
		{"any action of STS", `{"Statement":{"Sid":"A1","Effect":"Allow","Action":["sts:*","sts:AssumeRoleWith*","STS:TagSession"],"Principal":{"AWS":["111122223333","arn:aws:iam::111122223333:root","*"]}}}`, ""},
		{"a Sid with a blank", `{"Statement":{"Sid":"a b","Effect":"Allow","Action":"sts:AssumeRole","Principal":"*"}}`, "MalformedPolicyDocument"},
		{"somebody", `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"somebody"}}}`, "MalformedPolicyDocument"},
		{"an ARN with a wildcard for the account", `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::*:root"}}}`, "MalformedPolicyDocument"},
		{"a service's short name", `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"bedrock-agentcore"}}}`, "MalformedPolicyDocument"},
		{"a subject as a principal", `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":"repo:acme/agent"}}}`, "MalformedPolicyDocument"},
		{"GitHub without a condition", federated(""), "MalformedPolicyDocument"},
		{"GitHub with the audience alone", federated(`,"Condition":{` + aud + `}`), "MalformedPolicyDocument"},
		{"GitHub with a misspelled subject", federated(`,"Condition":{` + aud + `,"StringLike":{"token.actions.githubusercontent.com/sub":"x"}}`), "MalformedPolicyDocument"},
		{"GitHub with a condition twice", federated(`,"Condition":{"StringEquals":{"token.actions.githubusercontent.com:sub":"x"},` + aud + `}`), "MalformedPolicyDocument"},
		{"any subject", federated(`,"Condition":{` + aud + `,"StringLike":{"Token.Actions.githubusercontent.com:SUB":"*"}}`), ""},
		{"too long", federated(`,"Condition":{` + aud + `,"StringLike":{"token.actions.githubusercontent.com:sub":"` + strings.Repeat("x", maxTrust) + `"}}`), "LimitExceeded"},
	}
	for i, tt := range tests {
		_, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r" + strconv.Itoa(i)), AssumeRolePolicyDocument: &tt.document})
		if code := errorCode(err); code != tt.code {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.code)
		}
	}
}

func TestListRolesInPages(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	for _, name := range []string{"c", "A", "b", "d", "e"} {
		if _, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(serviceTrust)}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	pages := iam.NewListRolesPaginator(client, &iam.ListRolesInput{MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Roles {
			names = append(names, *r.RoleName)
		}
	}
	if got := strings.Join(names, ""); got != "Abcde" {
		t.Error(got)
	}
}

func TestUnknownOperationFailsLoudly(t *testing.T) {
	_, srv := startCloud(t)
	_, err := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)).ListUsers(t.Context(), nil)
	wantFault(t, err, "InvalidAction", 400, "the local cloud does not implement iam:ListUsers")
}

func TestPassable(t *testing.T) {
	c, srv := startCloud(t)
	client, ctx := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	for name, document := range map[string]string{"exec": serviceTrust, "deploy": gitHubTrust(DefaultAccount, "x")} {
		if _, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &document}); err != nil {
			t.Fatal(err)
		}
	}
	const service, arn = "bedrock-agentcore.amazonaws.com", "arn:aws:iam::111122223333:role/"
	tests := []struct {
		role, service, source string
		want                  bool
	}{
		{arn + "exec", service, "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/x", true},
		{arn + "exec", service, "arn:aws:bedrock-agentcore:eu-west-1:111122223333:runtime/x", false},
		{arn + "exec", service, "arn:aws:bedrock-agentcore:us-east-1:444455556666:runtime/x", false},
		{arn + "exec", "ecs.amazonaws.com", "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/x", false},
		{arn + "deploy", service, "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/x", false},
		{arn + "none", service, "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/x", false},
		{arn + "path/exec", service, "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/x", false},
		{"exec", service, "", false},
	}
	for _, tt := range tests {
		if err := c.passable(tt.role, tt.service, tt.source); (err == nil) != tt.want {
			t.Errorf("%s by %s for %s: %v", tt.role, tt.service, tt.source, err)
		}
	}
}

func TestIdentityIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	first := &Cloud{Dir: dir}
	if err := first.Open(); err != nil {
		t.Fatal(err)
	}
	key, secret, err := first.Administrator(DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	token, claims, err := first.issue(mustComplete(t, first, Job{Repository: "acme/agents"}), "")
	if err != nil {
		t.Fatal(err)
	}
	session, err := first.newSession(role{Account: DefaultAccount, Name: "r", ID: "AROAX"}, "s", "", "", 3600e9)
	if err != nil {
		t.Fatal(err)
	}
	control := first.ControlToken()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := &Cloud{Dir: dir}
	srv := serveCloud(t, second)
	again, secretAgain, err := second.Administrator(DefaultAccount)
	if err != nil || again != key || secretAgain != secret || second.ControlToken() != control {
		t.Errorf("keys changed: %v", err)
	}
	var kept accessKey
	if !second.store.get(keyRecord+session.ID, &kept) || kept.Token != session.Token {
		t.Error("the session is gone")
	}
	keys, err := json.Marshal(second.identity.keys)
	if err != nil {
		t.Fatal(err)
	}
	issuer := TokenIssuer{URL: Issuer, ClientIDs: []string{claims["aud"].(string)}, KeySet: keys}
	if _, err := VerifyToken(token, issuer, second.now()); err != nil {
		t.Error(err)
	}
	registerGitHub(t, srv, DefaultAccount, "deploy", "x")
	if err := second.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, ok := second.findRole(DefaultAccount, "deploy"); ok {
		t.Error("a role survives a reset")
	}
	if second.store.get(keyRecord+session.ID, &kept) {
		t.Error("a session survives a reset")
	}
	if again, _, err := second.Administrator(DefaultAccount); err != nil || again != key {
		t.Errorf("the administrator's key does not survive a reset: %v", err)
	}
}

func mustComplete(t testing.TB, c *Cloud, j Job) Job {
	t.Helper()
	j, err := c.complete(j)
	if err != nil {
		t.Fatal(err)
	}
	return j
}
