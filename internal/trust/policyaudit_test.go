package trust

import (
	"slices"
	"strings"
	"testing"
)

const deployRole = "arn:aws:iam::123456789012:role/deploy"

// document wraps statements, separated by commas.
func document(statements string) string {
	return `{"Version":"2012-10-17","Statement":[` + statements + `]}`
}

func granting(action, resource, more string) string {
	return `{"Effect":"Allow","Action":` + action + `,"Resource":` + resource + more + `}`
}

func trusting(principal, condition string) string {
	return `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":` + principal + `,"Condition":{` + condition + `}}`
}

// policyFaults are, for each rule, documents that have the fault and near
// misses that don't.
type policyFault struct {
	rule       string
	o          PolicyOptions
	bad, clean []string
}

func policyFaults() []policyFault {
	const (
		toAgentCore = `,"Condition":{"StringEquals":{"iam:PassedToService":"bedrock-agentcore.amazonaws.com"}}`
		role        = `"arn:aws:iam::123456789012:role/agentcore/exec"`
		service     = `{"Service":"bedrock-agentcore.amazonaws.com"}`
		account     = `"StringEquals":{"aws:SourceAccount":"123456789012"}`
		runtimes    = `"ArnLike":{"aws:SourceArn":"arn:aws:bedrock-agentcore:us-east-1:123456789012:*"}`
		denyPass    = `,{"Effect":"Deny","Action":"iam:PassRole","NotResource":` + role + `}`
	)
	one := `"arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a-0123456789"`
	repository := `"arn:aws:ecr:us-east-1:123456789012:repository/agent"`
	pull := func(action, principal, more string) string {
		return `{"Effect":"Allow","Principal":` + principal + `,"Action":` + action + more + `}`
	}
	return []policyFault{
		{"pass-role-any", PolicyOptions{}, []string{
			granting(`"iam:PassRole"`, `"*"`, toAgentCore),
			granting(`"IAM:pass*"`, `"arn:aws:iam::123456789012:role/*"`, toAgentCore),
			granting(`["ecr:PutImage","iam:*"]`, `["arn:aws:iam::*"]`, toAgentCore),
			granting(`"iam:PassRole"`, `"*"`, toAgentCore) + `,{"Effect":"Deny","Action":"iam:PassRole","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"false"}}}`,
		}, []string{
			granting(`"iam:PassRole"`, role, toAgentCore),
			granting(`"iam:PassRole"`, `"*"`, toAgentCore) + denyPass,
			granting(`"iam:PassRole"`, `"*"`, `,"Condition":{"StringEquals":{"iam:ResourceTag/agentcore":"yes","iam:PassedToService":"bedrock-agentcore.amazonaws.com"}}`),
		}},
		{"pass-role-unscoped", PolicyOptions{}, []string{
			granting(`"iam:PassRole"`, role, ``),
			granting(`"iam:PassRole"`, role, `,"Condition":{"StringEqualsIfExists":{"iam:PassedToService":"bedrock-agentcore.amazonaws.com"}}`),
			granting(`"iam:Pass*"`, role, `,"Condition":{"StringLike":{"iam:PassedToService":"*"}}`),
		}, []string{
			granting(`"iam:PassRole"`, role, toAgentCore),
			granting(`"iam:PassRole"`, role, ``) + `,{"Effect":"Deny","Action":"iam:*","Resource":"*","Condition":{"StringNotEquals":{"iam:PassedToService":"bedrock-agentcore.amazonaws.com"}}}`,
		}},
		{"passed-to-any-service", PolicyOptions{}, []string{
			granting(`"iam:PassRole"`, role, `,"Condition":{"StringLike":{"iam:PassedToService":"*.amazonaws.com"}}`),
		}, []string{
			granting(`"iam:PassRole"`, role, `,"Condition":{"StringLike":{"iam:PassedToService":"bedrock-agentcore.amazonaws.com"}}`),
			granting(`"iam:PassRole"`, role, ``),
		}},
		{"runtime-escalation", PolicyOptions{}, []string{
			granting(`"iam:PassRole"`, `"*"`, toAgentCore) + "," + granting(`"bedrock-agentcore:UpdateAgentRuntime"`, one, ``),
			granting(`"*"`, `"*"`, ``),
		}, []string{
			granting(`"iam:PassRole"`, role, toAgentCore) + "," + granting(`"bedrock-agentcore:UpdateAgentRuntime"`, one, ``),
			granting(`"iam:PassRole"`, `"*"`, toAgentCore) + "," + granting(`"bedrock-agentcore:GetAgentRuntime"`, one, ``),
		}},
		{"unknown-prefix", PolicyOptions{}, []string{
			granting(`["ecr:PutImage","bedrock-agentcore-control:UpdateAgentRuntime"]`, one, ``),
			granting(`"agentcore:*"`, `"*"`, ``),
		}, []string{granting(`"Bedrock-AgentCore:UpdateAgentRuntime"`, one, ``)}},
		{"all-repositories", PolicyOptions{}, []string{
			granting(`"ecr:*"`, `"*"`, ``),
			granting(`"ecr:Put*"`, `"arn:aws:ecr:us-east-1:123456789012:repository/*"`, ``),
			granting(`"ecr:PutImage"`, `"arn:aws:ecr:*:*:*"`, `,"Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}`),
		}, []string{
			granting(`"ecr:PutImage"`, repository, ``),
			granting(`"ecr:GetAuthorizationToken"`, `"*"`, ``),
			granting(`"ecr:PutImage"`, `"*"`, `,"Condition":{"StringEquals":{"aws:ResourceTag/agent":"a"}}`),
			granting(`"ecr:PutImage"`, `"*"`, ``) + `,{"Effect":"Deny","Action":"ecr:*","NotResource":` + repository + `}`,
		}},
		{"repository-control", PolicyOptions{}, []string{
			granting(`["ecr:PutImage","ecr:SetRepositoryPolicy"]`, repository, ``),
			granting(`"ecr:PutImageTag*"`, repository, ``),
			granting(`"ecr:*"`, repository, ``),
			granting(`"ecr:BatchDeleteImage"`, `"arn:aws:ecr:us-east-1:123456789012:repository/a?c"`, ``),
			granting(`"ecr:DeleteRepository"`, `"arn:aws:ecr:us-east-1:123456789012:repository/${aws:PrincipalTag/agent}"`, ``),
		}, []string{
			granting(`"ecr:PutImage"`, repository, ``),
			granting(`"ecr:*"`, repository, ``) + `,{"Effect":"Deny","Action":["ecr:Set*","ecr:PutImageTagMutability","ecr:PutLifecyclePolicy","ecr:BatchDelete*","ecr:Delete*"],"Resource":"*"}`,
		}},
		{"all-parameters", PolicyOptions{}, []string{
			granting(`"ssm:GetParameter*"`, `"*"`, ``),
			granting(`"ssm:GetParameters"`, `"arn:aws:ssm:us-east-1:123456789012:parameter/*"`, ``),
		}, []string{
			granting(`"ssm:GetParameter*"`, `"arn:aws:ssm:us-east-1:123456789012:parameter/agent/prod/*"`, ``),
			granting(`"ssm:DescribeParameters"`, `"*"`, ``),
		}},
		{"assume-any", PolicyOptions{}, []string{
			granting(`"sts:AssumeRole"`, `"*"`, ``),
			granting(`"sts:*"`, `"arn:aws:iam::*:role/*"`, ``),
		}, []string{
			granting(`"sts:AssumeRole"`, `"arn:aws:iam::123456789012:role/cdk"`, ``),
			granting(`"sts:GetCallerIdentity"`, `"*"`, ``),
		}},
		{"self-change", PolicyOptions{Role: deployRole}, []string{
			granting(`"iam:PutRolePolicy"`, `"`+deployRole+`"`, ``),
			granting(`"iam:Update*"`, `"arn:aws:iam::123456789012:role/*"`, ``),
		}, []string{
			granting(`"iam:PutRolePolicy"`, `"arn:aws:iam::123456789012:role/other"`, ``),
			granting(`"iam:GetRole*"`, `"`+deployRole+`"`, ``),
		}},
		{"self-change", PolicyOptions{}, []string{granting(`"iam:PutRolePolicy"`, `"arn:aws:iam::123456789012:role/other"`, ``)}, []string{
			granting(`"iam:GetRole"`, `"*"`, ``),
		}},
		{"service-linked-role", PolicyOptions{}, []string{
			granting(`"iam:CreateServiceLinkedRole"`, `"arn:aws:iam::*:role/aws-service-role/*"`, ``),
			granting(`"iam:CreateServiceLinkedRole"`, `"*"`, `,"Condition":{"StringLike":{"iam:AWSServiceName":"runtime-identity.bedrock-agentcore.amazonaws.com"}}`),
		}, []string{granting(`"iam:GetRole"`, `"arn:aws:iam::*:role/aws-service-role/*"`, ``)}},
		{"managed-admin", PolicyOptions{}, []string{granting(`"*"`, `"*"`, ``), `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`}, []string{
			granting(`"ecr:*"`, `"*"`, ``),
			granting(`"*"`, repository, ``),
		}},
		{"managed-admin", PolicyOptions{Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}}, []string{granting(`"ecr:PutImage"`, repository, ``)}, nil},
		{"managed-admin", PolicyOptions{Attached: []string{"arn:aws-cn:iam::aws:policy/BedrockAgentCoreFullAccess"}}, []string{granting(`"ecr:PutImage"`, repository, ``)}, nil},
		{"managed-admin", PolicyOptions{Attached: []string{"arn:aws:iam::123456789012:policy/AdministratorAccess"}}, nil, []string{granting(`"ecr:PutImage"`, repository, ``)}},
		{"mixed-environments", PolicyOptions{}, []string{
			granting(`"ssm:GetParameter"`, `["arn:aws:ssm:us-east-1:123456789012:parameter/agent/dev/*","arn:aws:ssm:us-east-1:123456789012:parameter/agent/prod/*"]`, ``),
			granting(`"ssm:PutParameter"`, `"arn:aws:ssm:us-east-1:123456789012:parameter/agent/blue/lock"`, ``) + "," +
				granting(`"ecr:PutImage"`, `"arn:aws:ecr:us-east-1:123456789012:repository/agent-dev"`, ``),
		}, []string{
			granting(`"ssm:GetParameter"`, `["arn:aws:ssm:us-east-1:123456789012:parameter/agent/prod/*","arn:aws:ssm:us-east-1:123456789012:parameter/billing/prod/*"]`, ``),
			granting(`"ecr:PutImage"`, `"arn:aws:ecr:us-east-1:123456789012:repository/agent/runtime-prod"`, ``) + "," +
				granting(`["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"]`, `"arn:aws:ecr:us-east-1:123456789012:repository/agent/runtime-dev"`, ``),
		}},
		{"mixed-environments", PolicyOptions{Environments: []string{"blue", "green"}}, []string{
			granting(`"ecr:PutImage"`, `["arn:aws:ecr:us-east-1:123456789012:repository/agent-blue","arn:aws:ecr:us-east-1:123456789012:repository/agent-green"]`, ``),
		}, []string{
			granting(`"ecr:PutImage"`, `["arn:aws:ecr:us-east-1:123456789012:repository/agent-blue","arn:aws:ecr:us-east-1:123456789012:repository/dev-blue"]`, ``),
		}},
		{"agentcore-excess", PolicyOptions{}, []string{
			granting(`"bedrock-agentcore:*"`, one, ``),
			granting(`"bedrock-agentcore:InvokeAgentRuntime*"`, one, ``),
			granting(`["bedrock-agentcore:InvokeAgentRuntimeForUser"]`, one, ``),
			granting(`"bedrock-agentcore:GetWorkloadAccessTokenForUserId"`, `"*"`, ``),
		}, []string{
			granting(`["bedrock-agentcore:InvokeAgentRuntime","bedrock-agentcore:GetAgentRuntime*"]`, one, ``),
			granting(`"bedrock-agentcore:InvokeAgentRuntime*"`, one, ``) + `,{"Effect":"Deny","Action":["bedrock-agentcore:InvokeAgentRuntime?*"],"Resource":"*"}`,
		}},
		{"allow-not", PolicyOptions{}, []string{
			`{"Effect":"Allow","NotAction":"iam:*","Resource":` + repository + `}`,
			`{"Effect":"Allow","Action":"ecr:PutImage","NotResource":` + repository + `}`,
		}, []string{`{"Effect":"Deny","NotAction":"ecr:*","Resource":"*"},` + granting(`"ecr:PutImage"`, repository, ``)}},
		{"no-boundary", PolicyOptions{NoBoundary: true}, []string{granting(`"ecr:PutImage"`, repository, ``)}, nil},
		{"no-boundary", PolicyOptions{}, nil, []string{granting(`"ecr:PutImage"`, repository, ``)}},
		{"confused-deputy", PolicyOptions{}, []string{
			trusting(service, ``),
			trusting(service, `"StringEqualsIfExists":{"aws:SourceAccount":"123456789012"}`),
			trusting(service, `"ArnLike":{"aws:SourceArn":"arn:aws:bedrock-agentcore:*:*:*"}`),
		}, []string{
			trusting(service, account+","+runtimes),
			trusting(service, ``) + `,{"Effect":"Deny","Action":"sts:*","Principal":"*","Condition":{"StringNotEquals":{"aws:SourceAccount":"123456789012"}}}`,
		}},
		{"shared-execution-role", PolicyOptions{}, []string{
			trusting(`{"Service":["bedrock-agentcore.amazonaws.com","lambda.amazonaws.com"]}`, account+","+runtimes),
			trusting(service, account+","+runtimes) + "," + trusting(`"*"`, account),
			trusting(`{"AWS":"123456789012"}`, account),
		}, []string{trusting(service, account+","+runtimes)}},
		{"source-arn-too-narrow", PolicyOptions{}, []string{
			trusting(service, account+`,"ArnLike":{"aws:SourceArn":`+one+`}`),
			trusting(service, account+`,"ArnEquals":{"aws:SourceArn":"arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/a-*"}`),
		}, []string{
			trusting(service, account+`,"ArnLike":{"aws:SourceArn":"arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/*"}`),
			trusting(service, account+`,"ArnLike":{"aws:SourceArn":[`+one+`,"arn:aws:bedrock-agentcore:us-east-1:123456789012:*"]}`),
		}},
		{"source-arn-too-narrow", PolicyOptions{Runtimes: []string{strings.Trim(one, `"`)}}, nil, []string{
			trusting(service, account+`,"ArnLike":{"aws:SourceArn":`+one+`}`),
		}},
		{"same-role", PolicyOptions{Role: deployRole, ExecutionRole: deployRole}, []string{granting(`"ecr:PutImage"`, repository, ``)}, nil},
		{"same-role", PolicyOptions{Role: deployRole}, []string{granting(`"iam:PassRole"`, `"`+deployRole+`"`, toAgentCore)}, []string{
			granting(`"iam:PassRole"`, role, toAgentCore),
		}},
		{"same-role", PolicyOptions{}, []string{
			trusting(service, account) + `,{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/x"}}`,
		}, nil},
		{"for-all-values", PolicyOptions{}, []string{
			granting(`"bedrock-agentcore:UpdateAgentRuntime"`, one, `,"Condition":{"ForAllValues:StringEquals":{"bedrock-agentcore:subnets":["subnet-1"]}}`),
			granting(`"bedrock-agentcore:UpdateAgentRuntime"`, one, `,"Condition":{"ForAllValues:StringLike":{"bedrock-agentcore:subnets":["subnet-1"]},"Null":{"bedrock-agentcore:securityGroups":"false"}}`),
			trusting(service, account+`,"ForAllValues:ArnLike":{"aws:SourceArn":"arn:aws:bedrock-agentcore:us-east-1:123456789012:*"}`),
		}, []string{
			granting(`"bedrock-agentcore:UpdateAgentRuntime"`, one, `,"Condition":{"ForAllValues:StringEquals":{"bedrock-agentcore:subnets":["subnet-1"]},"Null":{"Bedrock-AgentCore:Subnets":"false"}}`),
			`{"Effect":"Deny","Action":"ecr:*","Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":"a"}}}`,
		}},
		{"foreign-push", PolicyOptions{Account: "123456789012"}, []string{
			pull(`"ecr:PutImage"`, `{"AWS":"210987654321"}`, ``),
			pull(`"ecr:*"`, `{"AWS":"arn:aws:iam::210987654321:role/ci"}`, ``),
			pull(`["ecr:BatchGetImage","ecr:Upload*"]`, `"*"`, ``),
		}, []string{
			pull(`["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"]`, `{"AWS":"210987654321"}`, ``),
			pull(`"ecr:PutImage"`, `{"AWS":"arn:aws:iam::123456789012:role/ci"}`, ``),
			pull(`"ecr:PutImage"`, `"*"`, `,"Condition":{"StringEquals":{"aws:PrincipalAccount":"123456789012"}}`),
		}},
		{"foreign-push", PolicyOptions{}, []string{pull(`"ecr:PutImage"`, `{"AWS":"123456789012"}`, ``)}, []string{pull(`"ecr:BatchGetImage"`, `{"AWS":"123456789012"}`, ``)}},
		{"duplicate-key", PolicyOptions{}, []string{`{"Effect":"Allow","Action":"ecr:*","Action":"ecr:PutImage","Resource":` + repository + `}`}, nil},
	}
}

func TestPolicyRulesFindAndSpare(t *testing.T) {
	tested := map[string]bool{}
	for _, tt := range policyFaults() {
		rule := "policy/" + tt.rule
		tested[rule] = true
		for _, doc := range append(slices.Clone(tt.bad), tt.clean...) {
			report, err := AuditPolicy([]byte(document(doc)), tt.o)
			if err != nil {
				t.Fatalf("%s: %s: %v", rule, doc, err)
			}
			found := slices.IndexFunc(report.Findings, func(f Finding) bool { return f.Rule == rule })
			if want := slices.Contains(tt.bad, doc); (found >= 0) != want {
				t.Errorf("%s, wanted %t, in %s:\n%v", rule, want, doc, report.Findings)
			}
			if found >= 0 && report.Findings[found].Severity != policyRule(rule).Severity {
				t.Errorf("%s is a %s", rule, report.Findings[found].Severity)
			}
		}
	}
	for _, r := range PolicyRules() {
		if !tested[r.ID] {
			t.Errorf("%s has no input of its own", r.ID)
		}
		if r.Fix == "" || r.Finds == "" {
			t.Errorf("%s says nothing", r.ID)
		}
	}
}

func TestGeneratedAndCorpusDocumentsAreClean(t *testing.T) {
	docs := map[string][]byte{}
	for name, p := range generated() {
		if !strings.Contains(name, "caller") {
			docs[name] = p.JSON()
		}
	}
	for _, name := range []string{"deploy-policy", "deploy-boundary", "exec-trust"} {
		docs["corpus "+name] = readFile(t, "iam/"+name+".json")
	}
	known := PolicyOptions{Role: deployRole, ExecutionRole: corpusDeployment().ExecutionRole, Environments: []string{"dev", "prod"}, Account: "123456789012"}
	for name, doc := range docs {
		for _, o := range []PolicyOptions{{}, known} {
			report, err := AuditPolicy(doc, o)
			if err != nil || report.Outcome() != Accept {
				t.Errorf("%s: %v\n%v", name, err, report.Findings)
			}
		}
	}
}

func TestPolicyFindingsSayWhere(t *testing.T) {
	doc := "{\"Statement\":[\n {\"Effect\":\"Allow\",\"Resource\":\"*\",\n  \"Action\":[\"ecr:PutImage\",\n   \"ssm:*\"]}]}"
	report, err := AuditPolicy([]byte(doc), PolicyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]int{}
	for _, f := range report.Findings {
		got[f.Rule] = [2]int{f.Line, f.Column}
	}
	want := map[string][2]int{"policy/all-repositories": {3, 13}, "policy/all-parameters": {4, 4}}
	for rule, at := range want {
		if got[rule] != at {
			t.Errorf("%s at %v, want %v", rule, got[rule], at)
		}
	}
}

func TestAuditPolicyRefusesWhatIsNone(t *testing.T) {
	for _, doc := range []string{`{}`, `x`, string(readFile(t, "iam/deploy-trust.json")), document(`{"Effect":"Allow","Action":"PutImage","Resource":"*"}`)} {
		if _, err := AuditPolicy([]byte(doc), PolicyOptions{}); err == nil {
			t.Errorf("%s is taken for a permission policy", doc)
		}
	}
}

func FuzzAuditPolicy(f *testing.F) {
	for _, tt := range policyFaults() {
		for _, doc := range append(tt.bad, tt.clean...) {
			f.Add([]byte(document(doc)))
		}
	}
	for _, p := range generated() {
		f.Add(p.Compact())
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if len(doc) > 4096 {
			t.Skip()
		}
		report, err := AuditPolicy(doc, PolicyOptions{Role: deployRole})
		if err != nil {
			return
		}
		for _, finding := range report.Findings {
			if policyRule(finding.Rule).Severity != finding.Severity || finding.Message == "" || finding.Admits == nil {
				t.Errorf("%+v", finding)
			}
		}
		again, err := AuditPolicy(doc, PolicyOptions{Role: deployRole})
		if err != nil || len(again.Findings) != len(report.Findings) {
			t.Errorf("another time: %v %v", err, again.Findings)
		}
	})
}
