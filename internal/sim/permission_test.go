package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// question is what an operation has to ask the policies: an action and its
// resource.
type question struct{ action, resource string }

const (
	arnRole       = "arn:aws:iam::111122223333:role/agents/other"
	arnPolicy     = "arn:aws:iam::111122223333:policy/p"
	arnProvider   = "arn:aws:iam::111122223333:oidc-provider/issuer.example"
	arnRepository = "arn:aws:ecr:us-east-1:111122223333:repository/team/agent"
	arnParameter  = "arn:aws:ssm:us-east-1:111122223333:parameter/agent/dev/x"
	arnRuntime    = "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/agent-AbCdEf1234"
	arnEndpoint   = arnRuntime + "/runtime-endpoint/live"
	arnGroup      = "arn:aws:logs:us-east-1:111122223333:log-group:/g:log-stream:"
)

// asked is a request to an operation, and what has to be asked for it. A body
// is JSON, or a form for IAM; of AgentCore, "METHOD path" may stand before it.
type asked struct {
	body string
	want []question
}

// onOne are the questions of operations that act on one resource each.
func onOne(into map[string]asked, service, resource, body string, operations ...string) {
	for _, name := range operations {
		into[service+":"+name] = asked{body, []question{{service + ":" + name, resource}}}
	}
}

// allAsked says of every operation what it has to ask, as the Service
// Authorization Reference has it.
func allAsked() map[string]asked {
	all := map[string]asked{}
	askedOfIAM(all)
	askedOfECR(all)
	askedOfAgentCore(all)
	onOne(all, "ssm", arnParameter, `{"Name":"/agent/dev/x","Value":"v","Type":"String"}`, "GetParameter", "GetParameterHistory", "PutParameter", "DeleteParameter")
	onOne(all, "ssm", arnParameter, `{"Names":["/agent/dev/x"]}`, "GetParameters", "DeleteParameters")
	onOne(all, "ssm", "arn:aws:ssm:us-east-1:111122223333:parameter/agent/dev", `{"Path":"/agent/dev"}`, "GetParametersByPath")
	onOne(all, "ssm", "arn:aws:ssm:us-east-1:111122223333:*", `{}`, "DescribeParameters")
	onOne(all, "logs", arnGroup, `{"logGroupName":"/g"}`, "FilterLogEvents", "DescribeLogStreams")
	onOne(all, "logs", "arn:aws:logs:us-east-1:111122223333:log-group::log-stream:", `{}`, "DescribeLogGroups")
	return all
}

func askedOfIAM(all map[string]asked) {
	onOne(all, "iam", arnRole, "RoleName=other&PolicyName=p&PolicyArn="+arnPolicy, "GetRole", "UpdateAssumeRolePolicy", "DeleteRole", "PutRolePolicy",
		"GetRolePolicy", "ListRolePolicies", "DeleteRolePolicy", "ListAttachedRolePolicies", "AttachRolePolicy", "DetachRolePolicy",
		"PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary", "UpdateRole", "TagRole", "UntagRole", "ListRoleTags")
	onOne(all, "iam", "arn:aws:iam::111122223333:role/agents/new", "RoleName=new&Path=/agents/", "CreateRole")
	onOne(all, "iam", "arn:aws:iam::111122223333:role/", "", "ListRoles")
	onOne(all, "iam", "arn:aws:iam::111122223333:role/aws-service-role/network.bedrock-agentcore.amazonaws.com/AWSServiceRoleForBedrockAgentCoreNetwork",
		"AWSServiceName=network.bedrock-agentcore.amazonaws.com", "CreateServiceLinkedRole")
	onOne(all, "iam", "arn:aws:iam::111122223333:policy/new", "PolicyName=new", "CreatePolicy")
	onOne(all, "iam", "arn:aws:iam::111122223333:policy/", "", "ListPolicies")
	onOne(all, "iam", arnPolicy, "PolicyArn="+arnPolicy, "GetPolicy", "DeletePolicy", "CreatePolicyVersion", "GetPolicyVersion",
		"ListPolicyVersions", "SetDefaultPolicyVersion", "DeletePolicyVersion")
	onOne(all, "iam", arnProvider, "Url=https://issuer.example", "CreateOpenIDConnectProvider")
	onOne(all, "iam", arnProvider, "ClientID=a&OpenIDConnectProviderArn="+arnProvider, "GetOpenIDConnectProvider",
		"AddClientIDToOpenIDConnectProvider", "DeleteOpenIDConnectProvider", "TagOpenIDConnectProvider")
	onOne(all, "iam", "arn:aws:iam::111122223333:oidc-provider/*", "", "ListOpenIDConnectProviders")
}

func askedOfECR(all map[string]asked) {
	onOne(all, "ecr", arnRepository, `{"repositoryName":"team/agent","repositoryNames":["team/agent"],"resourceArn":"`+arnRepository+`",
		"imageScanningConfiguration":{"scanOnPush":true},"uploadId":"`+newRequestID()+`","partFirstByte":0,"partLastByte":3,"layerPartBlob":"YWJjZA==",
		"layerDigests":["`+digestOf(nil)+`"]}`,
		"CreateRepository", "DescribeRepositories", "DeleteRepository", "PutImageTagMutability", "PutImageScanningConfiguration",
		"SetRepositoryPolicy", "GetRepositoryPolicy", "DeleteRepositoryPolicy", "PutLifecyclePolicy", "GetLifecyclePolicy", "DeleteLifecyclePolicy",
		"TagResource", "UntagResource", "ListTagsForResource", "PutImage", "BatchGetImage", "BatchDeleteImage", "DescribeImages", "ListImages",
		"BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "GetDownloadUrlForLayer")
	onOne(all, "ecr", "*", `{"name":"BLOB_MOUNTING"}`, "GetAuthorizationToken", "GetAccountSetting", "PutAccountSetting")
}

// endpointBody is of an endpoint, artifactBody of a runtime.
const (
	endpointBody = `{"name":"live"}`
	artifactBody = `{"roleArn":"` + arnRole + `","agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"111122223333.dkr.ecr.us-east-1.amazonaws.com/team/agent:one"}},
		"networkConfiguration":{"networkMode":"PUBLIC"}`
)

func askedOfAgentCore(all map[string]asked) {
	const service = "bedrock-agentcore"
	one := func(path, resource string, operations ...string) { onOne(all, service, resource, path, operations...) }
	one("GET /runtimes/agent-AbCdEf1234/", arnRuntime, "GetAgentRuntime")
	one("DELETE /runtimes/agent-AbCdEf1234/", arnRuntime, "DeleteAgentRuntime")
	one("POST /runtimes/", "*", "ListAgentRuntimes")
	one("POST /runtimes/agent-AbCdEf1234/versions/", arnRuntime, "ListAgentRuntimeVersions")
	one("POST /runtimes/agent-AbCdEf1234/runtime-endpoints/", arnRuntime, "ListAgentRuntimeEndpoints")
	one("PUT /runtimes/agent-AbCdEf1234/runtime-endpoints/ "+endpointBody, arnRuntime, "CreateAgentRuntimeEndpoint")
	both := func(path, name string) {
		all[service+":"+name] = asked{path, []question{{service + ":" + name, arnRuntime}, {service + ":" + name, arnEndpoint}}}
	}
	both("GET /runtimes/agent-AbCdEf1234/runtime-endpoints/live/", "GetAgentRuntimeEndpoint")
	both("PUT /runtimes/agent-AbCdEf1234/runtime-endpoints/live/ {}", "UpdateAgentRuntimeEndpoint")
	both("DELETE /runtimes/agent-AbCdEf1234/runtime-endpoints/live/", "DeleteAgentRuntimeEndpoint")
	label := "/runtimes/" + url.PathEscape(arnRuntime)
	both("POST "+label+"/invocations?qualifier=live", "InvokeAgentRuntime")
	both("POST "+label+"/stopruntimesession?qualifier=live", "StopRuntimeSession")
	both("GET "+label+"/invocations/.well-known/agent-card.json?qualifier=live", "GetAgentCard")
	pass := question{"iam:PassRole", arnRole}
	all[service+":CreateAgentRuntime"] = asked{`PUT /runtimes/ ` + artifactBody + `,"agentRuntimeName":"new"}`,
		[]question{{service + ":CreateAgentRuntime", "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/*"}, pass}}
	all[service+":UpdateAgentRuntime"] = asked{`PUT /runtimes/agent-AbCdEf1234/ ` + artifactBody + `}`,
		[]question{{service + ":UpdateAgentRuntime", arnRuntime}, pass}}
}

// unasked are the operations that nobody needs a permission for: STS answers
// everyone who he is, a token's exchange is the trust policy's matter, and two
// of AgentCore's take no signature or are not served.
func unasked(operation string) bool {
	switch operation {
	case "sts:GetCallerIdentity", "sts:AssumeRoleWithWebIdentity",
		"bedrock-agentcore:GetRuntimeProtectedResourceMetadata", "bedrock-agentcore:InvokeAgentRuntimeCommand":
		return true
	}
	return false
}

// TestEveryOperationAsks: with exactly what an operation has to ask for, its
// caller is let through; without any one of these, it is denied in AWS's words.
func TestEveryOperationAsks(t *testing.T) {
	c := permissionCloud(t)
	all := allAsked()
	for _, operation := range operationNames(c) {
		request, ok := all[operation]
		if unasked(operation) {
			continue
		}
		if !ok {
			t.Errorf("nothing says what %s has to ask for", operation)
			continue
		}
		t.Run(operation, func(t *testing.T) {
			k, err := c.tried(t, operation, request, request.want)
			if f := asFault(err); f != nil && denies(f) {
				t.Errorf("denied with all it needs: %v", f)
			}
			var got []question
			for _, d := range k.decisions {
				if d.Principal == "" {
					got = append(got, question{d.Action, d.Resource})
				}
			}
			if len(got) != len(request.want) {
				t.Fatalf("it asks for %v, not for %v", got, request.want)
			}
			for i, missing := range request.want {
				if got[i] != missing {
					t.Errorf("it asks for %v, not for %v", got[i], missing)
				}
				rest := append(append([]question{}, request.want[:i]...), request.want[i+1:]...)
				k, err := c.tried(t, operation, request, rest)
				wantDenial(t, k, err, missing)
			}
		})
	}
}

func wantDenial(t *testing.T, k *call, err error, missing question) {
	t.Helper()
	f := asFault(err)
	if f == nil || !strings.HasPrefix(f.Message, "User: arn:aws:sts::111122223333:assumed-role/caller/s is not authorized to perform: "+missing.action+" on resource: ") ||
		!strings.HasSuffix(f.Message, " because no identity-based policy allows the "+missing.action+" action") {
		t.Fatalf("without %v: %v", missing, err)
	}
	want := map[protocol]string{queryXML: "403 AccessDenied", json11: "400 AccessDeniedException", restJSON: "403 AccessDeniedException"}[k.op.protocol]
	if got := fmt.Sprint(f.Status, " ", f.Code); got != want {
		t.Errorf("without %v: %s, not %s", missing, got, want)
	}
}

// operationNames are all operations of AWS's services, as service:Operation.
func operationNames(c *Cloud) []string {
	var names []string
	for _, op := range fuzzOperations(c) {
		names = append(names, op.service+":"+op.name)
	}
	for _, op := range c.runtimeRoutes() {
		names = append(names, "bedrock-agentcore:"+op.name)
	}
	return names
}

// permissionCloud has a role that calls, and what it calls about.
func permissionCloud(t *testing.T) *Cloud {
	t.Helper()
	c, _, _ := openCloud(t, nil)
	c.furnish(t)
	return c
}

// furnish makes what operations are asked about, again where one deleted it.
func (c *Cloud) furnish(t *testing.T) {
	t.Helper()
	for _, r := range []role{{Name: "caller", Path: "/"}, {Name: "other", Path: "/agents/"}} {
		r.Account, r.ID = DefaultAccount, "AROA"+r.Name
		if err := c.store.put(roleKey(r.Account, r.Name), r); err != nil {
			t.Fatal(err)
		}
	}
	r := runtimeRecord{ID: "agent-AbCdEf1234", Name: "agent", Account: DefaultAccount, Region: DefaultRegion, Latest: 1, Settled: true,
		Endpoints: map[string]*endpointRecord{defaultEndpoint: {Name: defaultEndpoint, Live: 1, Target: 1}}}
	if err := c.saveVersion(&r, &versionRecord{Number: 1, Document: document{}}); err != nil {
		t.Fatal(err)
	}
}

// caller lets the role caller do what is given, and returns its session.
func (c *Cloud) caller(t testing.TB, change func(*role), granted []question) principal {
	t.Helper()
	r := role{Account: DefaultAccount, Name: "caller", Path: "/", ID: "AROAcaller", Policies: map[string]string{}}
	statements := []any{}
	for _, q := range granted {
		statements = append(statements, map[string]any{"Effect": "Allow", "Action": q.action, "Resource": q.resource})
	}
	document, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		t.Fatal(err)
	}
	if len(granted) > 0 {
		r.Policies["granted"] = string(document)
	}
	if change != nil {
		change(&r)
	}
	if err := c.store.put(roleKey(DefaultAccount, "caller"), r); err != nil {
		t.Fatal(err)
	}
	return principal{arn: "arn:aws:sts::111122223333:assumed-role/caller/s", account: DefaultAccount, id: r.ID + ":s", role: "caller", session: "s", issued: c.now()}
}

// tried performs a request as a role that may do what is given.
func (c *Cloud) tried(t *testing.T, operation string, request asked, granted []question) (*call, error) {
	t.Helper()
	c.furnish(t)
	service, name, _ := strings.Cut(operation, ":")
	method, target, body := http.MethodPost, "/", request.body
	if service == "bedrock-agentcore" {
		method, target, _ = strings.Cut(request.body, " ")
		target, body, _ = strings.Cut(target, " ")
	}
	k := &call{Request: httptest.NewRequest(method, target, nil), body: []byte(body), id: newRequestID(), at: c.now().UTC(),
		account: c.Account, region: c.Region, principal: c.caller(t, nil, granted), answer: httptest.NewRecorder(), hit: &hit{}}
	if service == "bedrock-agentcore" {
		k.Header.Set("Authorization", sigAlgorithm+" x")
		k.body = []byte(body)
		if err := c.identifyRuntime(k); err != nil || k.op.name != name {
			t.Fatalf("%s is taken for %s: %v", operation, k.op.name, err)
		}
		return k, second(c.perform(k))
	}
	for _, op := range fuzzOperations(c) {
		if op.service == service && op.name == name {
			k.op = op
		}
	}
	if k.op.protocol == queryXML {
		k.form = must[url.Values](t)(url.ParseQuery(body))
	}
	return k, second(c.perform(k))
}

// TestLayersOfPolicies: each layer may refuse, in words of its own.
func TestLayersOfPolicies(t *testing.T) {
	c := permissionCloud(t)
	const boundary = "arn:aws:iam::111122223333:policy/boundary"
	if err := c.store.put(managedKey(DefaultAccount, "boundary"), managed{Account: DefaultAccount, Name: "boundary", Path: "/",
		Versions: []policyVersion{{Number: 1, Default: true, Document: policyOf("Allow", "ssm:Get*", "*", "")}}}); err != nil {
		t.Fatal(err)
	}
	get := question{"ssm:GetParameter", arnParameter}
	for name, test := range map[string]struct {
		change  func(*role)
		session string
		action  string
		want    string // "" for allowed
	}{
		"allowed":         {action: "ssm:GetParameter"},
		"nothing allows":  {action: "ssm:PutParameter", want: "because no identity-based policy allows the ssm:PutParameter action"},
		"explicit deny":   {change: func(r *role) { r.Policies["deny"] = policyOf("Deny", "ssm:*", "*", "") }, action: "ssm:GetParameter", want: "with an explicit deny in an identity-based policy"},
		"within boundary": {change: func(r *role) { r.Boundary = boundary }, action: "ssm:GetParameter"},
		"beyond boundary": {change: func(r *role) { r.Boundary, r.Policies["all"] = boundary, policyOf("Allow", "*", "*", "") },
			action: "ssm:PutParameter", want: "because no permissions boundary allows the ssm:PutParameter action"},
		"boundary gone":  {change: func(r *role) { r.Boundary = boundary + "x" }, action: "ssm:GetParameter", want: "because no identity-based policy allows"},
		"within session": {session: policyOf("Allow", "ssm:*", "*", ""), action: "ssm:GetParameter"},
		"beyond session": {session: policyOf("Allow", "ecr:*", "*", ""), action: "ssm:GetParameter", want: "because no session policy allows the ssm:GetParameter action"},
		"denied session": {session: policyOf("Deny", "ssm:*", "*", ""), action: "ssm:GetParameter", want: "with an explicit deny in a session policy"},
		"another account": {change: func(r *role) {
			r.Policies["granted"] = policyOf("Allow", "*", "*", `"StringEquals":{"aws:ResourceAccount":"444455556666"}`)
		}, action: "ssm:GetParameter", want: "because no identity-based policy allows"},
		"recreated": {change: func(r *role) { r.ID = "AROAother" }, action: "ssm:GetParameter"},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.caller(t, test.change, []question{get})
			p.policy = test.session
			var said []Decision
			err := c.allowed(asker{principal: p, at: time.Now(), region: DefaultRegion, request: httptest.NewRequest("POST", "/", nil), decisions: &said}, test.action, arnParameter, nil)
			if (test.want == "") != (err == nil) || err != nil && !strings.HasSuffix(strings.TrimSpace(asFault(err).Message), test.want) && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if len(said) != 1 || said[0].By == "" || said[0].Allowed != (err == nil) {
				t.Errorf("the journal has %+v", said)
			}
		})
	}
}

func policyOf(effect, action, resource, condition string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Action":"` + action + `","Resource":"` + resource + `","Condition":{` + condition + `}}]}`
}

// TestSessionOfADeletedRole: a session has no more than its role, and is not of
// another role of the same name.
func TestSessionOfADeletedRole(t *testing.T) {
	c := permissionCloud(t)
	get := question{"ssm:GetParameter", arnParameter}
	p := c.caller(t, nil, []question{get})
	ask := func() error {
		return c.allowed(asker{principal: p, at: time.Now(), decisions: &[]Decision{}}, get.action, get.resource, nil)
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	c.caller(t, func(r *role) { r.ID = "AROAanother" }, []question{get})
	if err := ask(); err == nil {
		t.Error("the session serves a new role of the old name")
	}
	if err := c.store.delete(roleKey(DefaultAccount, "caller")); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err == nil || !strings.Contains(asFault(err).why, "gone") {
		t.Errorf("the session outlives its role: %v", err)
	}
}

// TestConditionKeys: the keys that policies are written with are there.
func TestConditionKeys(t *testing.T) {
	c := permissionCloud(t)
	for _, condition := range []string{
		`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/caller"}`,
		`"StringEquals":{"aws:PrincipalAccount":"111122223333","aws:ResourceAccount":"111122223333","aws:PrincipalType":"AssumedRole"}`,
		`"StringLike":{"aws:userid":"AROAcaller:*"},"Null":{"aws:username":"true"}`,
		`"DateLessThan":{"aws:CurrentTime":"2999-01-01T00:00:00Z","aws:TokenIssueTime":"2999-01-01T00:00:00Z"}`,
		`"NumericGreaterThan":{"aws:EpochTime":"1"}`,
		`"Bool":{"aws:SecureTransport":"true","aws:ViaAWSService":"false"}`,
		`"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}`,
		`"StringEquals":{"aws:RequestedRegion":"us-east-1","aws:PrincipalTag/team":"agents"}`,
		`"StringEquals":{"ssm:Overwrite":"true"}`,
		`"StringEquals":{"aws:FederatedProvider":"arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"}`,
	} {
		p := c.caller(t, func(r *role) {
			r.Policies["granted"] = policyOf("Allow", "ssm:PutParameter", arnParameter, condition)
			r.Tags = []tag{{Key: "team", Value: "agents"}}
		}, nil)
		p.provider = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
		k := adminCall(c, "ssm", "PutParameter", []byte(`{"Name":"/agent/dev/x","Value":"v","Type":"String","Overwrite":true}`))
		k.principal = p
		if _, err := c.putParameter(k); err != nil {
			t.Errorf("%s: %v", condition, err)
		}
	}
}

// TestVPCKeys: a runtime's subnets are a key with many values, and absent
// outside of a VPC.
func TestVPCKeys(t *testing.T) {
	condition := `"ForAllValues:StringEquals":{"bedrock-agentcore:subnets":["subnet-1","subnet-2"]},"Null":{"bedrock-agentcore:subnets":"false"}`
	for network, want := range map[string]bool{
		`{"networkMode":"VPC","networkModeConfig":{"subnets":["subnet-1"],"securityGroups":["sg-1"]}}`:            true,
		`{"networkMode":"VPC","networkModeConfig":{"subnets":["subnet-1","subnet-3"],"securityGroups":["sg-1"]}}`: false,
		`{"networkMode":"PUBLIC"}`: false,
	} {
		c := permissionCloud(t)
		p := c.caller(t, func(r *role) {
			r.Policies["granted"] = policyOf("Allow", "bedrock-agentcore:UpdateAgentRuntime", arnRuntime, condition)
		}, nil)
		var said []Decision
		err := c.allowed(asker{principal: p, at: time.Now(), decisions: &said}, "bedrock-agentcore:UpdateAgentRuntime", arnRuntime,
			configurationKeys(document{"networkConfiguration": json.RawMessage(network)}))
		if (err == nil) != want {
			t.Errorf("%s: %v", network, err)
		}
	}
}

// TestPassedRole: the caller passes it, AgentCore pulls with it, when a version
// is made and when an agent starts.
func TestPassedRole(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	created := a.create("agent")
	r := must[*runtimeRecord](t)(a.cloud.runtime(DefaultAccount, DefaultRegion, *created.AgentRuntimeId))
	v := must[*versionRecord](t)(a.cloud.version(r, 1))
	if err := a.cloud.mayStart(r, v); err != nil {
		t.Error(err)
	}
	permit(t, a.srv, DefaultAccount, "exec", policyOf("Allow", "ecr:GetAuthorizationToken", "*", ""))
	if f := asFault(a.cloud.mayStart(r, v)); f == nil || f.Status != http.StatusFailedDependency || !strings.Contains(f.why, "ecr:BatchGetImage") {
		t.Errorf("an agent starts with a role that can't pull: %v", f)
	}
	_, err := a.client.UpdateAgentRuntime(t.Context(), a.updateInput(*created.AgentRuntimeId))
	wantFault(t, err, "ValidationException", 400, "Access denied while validating ECR URI")
	calls := a.cloud.Journal()
	last := calls[len(calls)-1]
	if n := len(last.Decisions); n != 5 || last.Decisions[1].Action != "iam:PassRole" || last.Decisions[3].Principal == "" || last.Decisions[3].Allowed {
		t.Errorf("the journal has %+v", last.Decisions)
	}
}

// TestRepositoryPolicies: another account needs both policies, the own one of
// two.
func TestRepositoryPolicies(t *testing.T) {
	pull := question{"ecr:BatchGetImage", "arn:aws:ecr:us-east-1:*:repository/team/agent"}
	attached := func(effect, principal string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Principal":{"AWS":"` + principal + `"},"Action":"ecr:BatchGetImage"}]}`
	}
	const caller = "arn:aws:iam::111122223333:role/caller"
	for name, test := range map[string]struct {
		account, policy string
		granted         []question
		want            string
	}{
		"own, by its policy":          {DefaultAccount, "", []question{pull}, ""},
		"own, by the repository's":    {DefaultAccount, attached("Allow", caller), nil, ""},
		"own, by neither":             {DefaultAccount, attached("Allow", caller+"x"), nil, "because no identity-based policy allows"},
		"own, denied":                 {DefaultAccount, attached("Deny", caller), []question{pull}, "with an explicit deny in a resource-based policy"},
		"another's, by both":          {"444455556666", attached("Allow", caller), []question{pull}, ""},
		"another's, by account":       {"444455556666", attached("Allow", DefaultAccount), []question{pull}, ""},
		"another's, own policy alone": {"444455556666", "", []question{pull}, "because no resource-based policy allows the ecr:BatchGetImage action"},
		"another's, theirs alone":     {"444455556666", attached("Allow", caller), nil, "because no identity-based policy allows"},
	} {
		t.Run(name, func(t *testing.T) {
			c := permissionCloud(t)
			g := registryID{test.account, DefaultRegion}
			if err := c.store.put(g.key("team/agent"), repository{Name: "team/agent", Policy: test.policy}); err != nil {
				t.Fatal(err)
			}
			p := c.caller(t, nil, test.granted)
			err := c.mayUseRepository(asker{principal: p, at: time.Now(), region: DefaultRegion, decisions: &[]Decision{}}, g, "BatchGetImage", "team/agent", nil)
			if (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
