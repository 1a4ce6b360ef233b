package assume

import (
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

// permissions lists the assumptions about how calls are authorised.
func permissions() []Assumption {
	return []Assumption{
		{"A540", Job, a540DenialsNameTheAction}, {"A541", Job, a541DenialsOfIAM}, {"A542", Job, a542ExplicitDeny},
		{"A543", Job, a543SessionPolicyIsACeiling}, {"A544", Job, a544IdentityNeedsNoPermission}, {"A545", Job, a545LogGroupsWithTheirStreams},
		{"A546", Job, a546EndpointsAreAskedFor}, {"A547", Job, a547OverwriteIsAKey}, {"A548", Job, a548RegistryDenies},
	}
}

// permitted is a job's session, of a role with a policy of one statement or
// none. Parameters are of AssumeRoleWithWebIdentity.
func (a *Account) permitted(t T, statement string, parameters ...string) *Account {
	t.Helper()
	role := a.jobRole(t, nil)
	if statement != "" {
		name := nameOf(role)
		a.iam(t, "PutRolePolicy", "RoleName", name, "PolicyName", "p", "PolicyDocument", policyOf(statement)).want(t, http.StatusOK)
		later(t, func(t T) { a.iam(t, "DeleteRolePolicy", "RoleName", name, "PolicyName", "p") })
	}
	x := a.admitted(t, role, a.jobToken(t, awsAudience), parameters...)
	return &Account{Endpoint: a.Endpoint, ID: a.ID, Region: a.Region, Client: a.Client, Now: a.Now, Wait: a.Wait, Prefix: a.Prefix,
		Credentials: credentials.NewStaticCredentialsProvider(x.element("AccessKeyId"), x.element("SecretAccessKey"), x.element("SessionToken"))}
}

func policyOf(statement string) string {
	return `{"Version":"2012-10-17","Statement":[` + statement + `]}`
}

func allow(action, resource string) string {
	return `{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}`
}

// parameterNamed is the ARN of a parameter of the account.
func (a *Account) parameterNamed(name string) string {
	return "arn:aws:ssm:" + a.Region + ":" + a.ID + ":parameter" + name
}

// A540: A call that no policy of the role allows is AccessDeniedException, in
// JSON 1.1 services 400, with "User: ARN is not authorized to perform: ACTION on
// resource: ARN because no identity-based policy allows the ACTION action".
// Source: IAM guide, "Troubleshoot access denied error messages"; many reports.
// Confidence: H.
func a540DenialsNameTheAction(t T, a *Account) {
	s := a.permitted(t, "")
	s.json11(t, "ssm", "GetParameter", document{"Name": "/x/y"}).refused(t, http.StatusBadRequest, "AccessDeniedException",
		"is not authorized to perform: ssm:GetParameter on resource: "+a.parameterNamed("/x/y")+" because no identity-based policy allows the ssm:GetParameter action")
	s.json11(t, "ecr", "GetAuthorizationToken", document{}).refused(t, http.StatusBadRequest, "AccessDeniedException", "on resource: * because no identity-based policy")
}

// A541: IAM denies with 403 AccessDenied, and names a role that is there, or not,
// as "role NAME".
// Source: aws/aws-cdk#27067 and many reports.
// Confidence: H for roles.
func a541DenialsOfIAM(t T, a *Account) {
	name := a.name()
	a.permitted(t, "").iam(t, "GetRole", "RoleName", name).refused(t, http.StatusForbidden, "AccessDenied",
		"is not authorized to perform: iam:GetRole on resource: role "+name+" because no identity-based policy allows the iam:GetRole action")
}

// A542: A Deny decides over any Allow, and is told: "with an explicit deny in an
// identity-based policy".
// Source: IAM guide, "Troubleshoot access denied error messages". Since 2026 the ARN of a policy that has one follows.
// Confidence: H.
func a542ExplicitDeny(t T, a *Account) {
	s := a.permitted(t, allow("ssm:*", "*")+`,{"Effect":"Deny","Action":"ssm:GetParameter","Resource":"*"}`)
	s.json11(t, "ssm", "GetParameter", document{"Name": "/x/y"}).refused(t, http.StatusBadRequest, "AccessDeniedException",
		"with an explicit deny in an identity-based policy")
}

// A543: A session's policy is a ceiling: what it does not allow is denied,
// "because no session policy allows the ACTION action".
// Source: STS API reference, AssumeRoleWithWebIdentity (Policy); IAM guide, "Session policies".
// Confidence: H.
func a543SessionPolicyIsACeiling(t T, a *Account) {
	s := a.permitted(t, allow("ssm:*", "*"), "Policy", policyOf(allow("ecr:*", "*")))
	s.json11(t, "ssm", "GetParameter", document{"Name": "/x/y"}).refused(t, http.StatusBadRequest, "AccessDeniedException",
		"because no session policy allows the ssm:GetParameter action")
}

// A544: GetCallerIdentity needs no permission, and no Deny forbids it.
// Source: STS API reference, GetCallerIdentity ("No permissions are required").
// Confidence: H.
func a544IdentityNeedsNoPermission(t T, a *Account) {
	s := a.permitted(t, `{"Effect":"Deny","Action":"*","Resource":"*"}`)
	s.query(t, "sts", "2011-06-15", "GetCallerIdentity", true, nil).want(t, http.StatusOK)
}

// A545: Log groups are authorised with their streams: a policy names them as
// the group's ARN and :*, and the ARN alone allows no reading.
// Source: CloudWatch Logs guide, "Overview of managing access permissions" (ARN formats); aws/aws-cli#3578.
// Confidence: H.
func a545LogGroupsWithTheirStreams(t T, a *Account) {
	arn := "arn:aws:logs:" + a.Region + ":" + a.ID + ":log-group:/slipway/none"
	in := document{"logGroupName": "/slipway/none"}
	a.permitted(t, allow("logs:FilterLogEvents", arn)).filter(t, in).refused(t, http.StatusBadRequest, "AccessDeniedException", arn+":log-stream:")
	a.permitted(t, allow("logs:FilterLogEvents", arn+":*")).filter(t, in).refused(t, http.StatusBadRequest, "ResourceNotFoundException", "")
}

// A546: An invocation is authorised on the runtime and on its endpoint: a policy
// that names one of them alone does not do.
// Source: AgentCore guide, "Permissions for AgentCore Runtime"; Service Authorization Reference (two resource types). Whether
// ListAgentRuntimeVersions and ListAgentRuntimeEndpoints are asked on the runtime, or on * as the reference has it, is open.
// Confidence: M.
func a546EndpointsAreAskedFor(t T, a *Account) {
	arn := "arn:aws:bedrock-agentcore:" + a.Region + ":" + a.ID + ":runtime/none-0123456789"
	invoke := func(s *Account) answer {
		return s.rest(t, "bedrock-agentcore", http.MethodPost, "/runtimes/"+strings.NewReplacer(":", "%3A", "/", "%2F").Replace(arn)+"/invocations", []byte("{}"), nil)
	}
	for _, resource := range []string{arn, arn + "/runtime-endpoint/DEFAULT"} {
		invoke(a.permitted(t, allow("bedrock-agentcore:InvokeAgentRuntime", resource))).refused(t, http.StatusForbidden, "AccessDeniedException",
			"is not authorized to perform: bedrock-agentcore:InvokeAgentRuntime")
	}
	invoke(a.permitted(t, allow("bedrock-agentcore:InvokeAgentRuntime", arn+"*"))).refused(t, http.StatusNotFound, "ResourceNotFoundException", "")
}

// A547: PutParameter tells policies whether it overwrites: ssm:Overwrite.
// Source: Service Authorization Reference, AWS Systems Manager (condition keys).
// Confidence: H for the key, M that it is there without Overwrite.
func a547OverwriteIsAKey(t T, a *Account) {
	name := "/" + a.name()
	s := a.permitted(t, `{"Effect":"Allow","Action":"ssm:PutParameter","Resource":"`+a.parameterNamed(name)+`","Condition":{"StringEquals":{"ssm:Overwrite":"false"}}}`)
	in := document{"Name": name, "Value": "one", "Type": "String", "Overwrite": true}
	s.json11(t, "ssm", "PutParameter", in).refused(t, http.StatusBadRequest, "AccessDeniedException", "ssm:PutParameter")
	in["Overwrite"] = false
	s.json11(t, "ssm", "PutParameter", in).want(t, http.StatusOK)
	later(t, func(t T) { a.json11(t, "ssm", "DeleteParameter", document{"Name": name}) })
}

// A548: The registry authorises each request as the ECR action behind it, of
// whoever asked for the login, and denies with 403 DENIED.
// Source: ECR guide, "Pushing a Docker image" (required permissions); the text, many reports.
// Confidence: H for the code, M for the actions of single requests.
func a548RegistryDenies(t T, a *Account) {
	name := a.repository(t, nil)
	s := a.permitted(t, allow("ecr:GetAuthorizationToken", "*"))
	s.docker(t, s.token(t), http.MethodPost, "/v2/"+name+"/blobs/uploads/", nil, nil).refused(t, http.StatusForbidden, "DENIED",
		"is not authorized to perform: ecr:InitiateLayerUpload on resource: arn:aws:ecr:"+a.Region+":"+a.ID+":repository/"+name)
}
