package trust

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// denials are texts as services word them. Those of ECR, SSM, CloudWatch Logs,
// IAM and AgentCore differ by what they call the resource.
func denials() map[string]Denial {
	const (
		role = "arn:aws:sts::111122223333:assumed-role/deploy/gh-1-1"
		path = "arn:aws:ssm:us-east-1:111122223333:parameter/helper/dev/lock"
		user = "arn:aws:iam::111122223333:user/somebody"
		scp  = "arn:aws:organizations::123456789012:policy/o-a1b2c3d4e5/service_control_policy/p-12345678"
	)
	return map[string]Denial{
		"User: " + role + " is not authorized to perform: ssm:PutParameter on resource: " + path + " because no identity-based policy allows the ssm:PutParameter action": {
			Principal: role, Action: "ssm:PutParameter", Resource: path, Layer: IdentityBased,
			Because: "because no identity-based policy allows the ssm:PutParameter action"},
		"User: " + role + " is not authorized to perform: ecr:GetAuthorizationToken on resource: * because no permissions boundary allows the ecr:GetAuthorizationToken action": {
			Principal: role, Action: "ecr:GetAuthorizationToken", Resource: "*", Layer: PermissionsBoundary,
			Because: "because no permissions boundary allows the ecr:GetAuthorizationToken action"},
		"User: " + role + " is not authorized to perform: ecr:PutImage on resource: arn:aws:ecr:us-east-1:111122223333:repository/a/b with an explicit deny in a service control policy: " + scp: {
			Principal: role, Action: "ecr:PutImage", Resource: "arn:aws:ecr:us-east-1:111122223333:repository/a/b", Layer: ServiceControl, Policy: scp, Explicit: true,
			Because: "with an explicit deny in a service control policy: " + scp},
		"User: " + role + " is not authorized to perform: logs:FilterLogEvents on resource: arn:aws:logs:us-east-1:111122223333:log-group:/aws/bedrock-agentcore/runtimes/h-1-DEFAULT:log-stream: because no session policy allows the logs:FilterLogEvents action": {
			Principal: role, Action: "logs:FilterLogEvents", Layer: SessionPolicy,
			Resource: "arn:aws:logs:us-east-1:111122223333:log-group:/aws/bedrock-agentcore/runtimes/h-1-DEFAULT:log-stream:",
			Because:  "because no session policy allows the logs:FilterLogEvents action"},
		"User: " + user + " is not authorized to perform: iam:GetRole on resource: role deploy because no identity-based policy allows the iam:GetRole action": {
			Principal: user, Action: "iam:GetRole", Resource: "role deploy", Layer: IdentityBased,
			Because: "because no identity-based policy allows the iam:GetRole action"},
		"User: " + role + " is not authorized to perform: bedrock-agentcore:InvokeAgentRuntime on resource: arn:aws:bedrock-agentcore:us-west-2:444455556666:runtime/MyAgent because no resource-based policy allows the bedrock-agentcore:InvokeAgentRuntime action": {
			Principal: role, Action: "bedrock-agentcore:InvokeAgentRuntime", Resource: "arn:aws:bedrock-agentcore:us-west-2:444455556666:runtime/MyAgent",
			Layer: ResourceBased, Because: "because no resource-based policy allows the bedrock-agentcore:InvokeAgentRuntime action"},
		"User: " + role + " is not authorized to perform: bedrock-agentcore:GetAgentRuntime": {
			Principal: role, Action: "bedrock-agentcore:GetAgentRuntime"},
		"User: " + role + " is not authorized to perform: iam:PassRole on resource: arn:aws:iam::111122223333:role/exec with an explicit deny in a permissions boundary: arn:aws:iam::111122223333:policy/b.": {
			Principal: role, Action: "iam:PassRole", Resource: "arn:aws:iam::111122223333:role/exec", Layer: PermissionsBoundary, Explicit: true,
			Policy: "arn:aws:iam::111122223333:policy/b", Because: "with an explicit deny in a permissions boundary: arn:aws:iam::111122223333:policy/b"},
		"User: " + role + " is not authorized to perform: ssm:GetParameter on resource: " + path + " with an explicit deny": {
			Principal: role, Action: "ssm:GetParameter", Resource: path, Explicit: true, Because: "with an explicit deny"},
		"User: " + role + " is not authorized to perform: ssm:GetParameter on resource: " + path + " because no VPC endpoint policy allows the ssm:GetParameter action": {
			Principal: role, Action: "ssm:GetParameter", Resource: path, Layer: EndpointPolicy,
			Because: "because no VPC endpoint policy allows the ssm:GetParameter action"},
		"You are not authorized to perform this operation. User: " + role + " is not authorized to perform: ec2:CreateNetworkInterface on resource: arn:aws:ec2:us-east-1:111122223333:subnet/subnet-1 " +
			"because no identity-based policy allows the ec2:CreateNetworkInterface action. Encoded authorization failure message: AbC-dEf": {
			Principal: role, Action: "ec2:CreateNetworkInterface", Resource: "arn:aws:ec2:us-east-1:111122223333:subnet/subnet-1", Layer: IdentityBased,
			Because: "because no identity-based policy allows the ec2:CreateNetworkInterface action"},
	}
}

func TestParseDenial(t *testing.T) {
	for message, want := range denials() {
		if got, ok := ParseDenial(message); !ok || got != want {
			t.Errorf("%s\ngot  %+v, %v\nwant %+v", message, got, ok, want)
		}
	}
	for _, message := range []string{"", "Not authorized to perform sts:AssumeRoleWithWebIdentity", "User is not authorized to perform this action",
		"User: x is not authorized to perform: ", "User: x is not authorized to perform: ssm: on resource: y", "access denied",
		"Authorization method mismatch. The agent is configured for a different authorization method than what was used in your request."} {
		if d, ok := ParseDenial(message); ok {
			t.Errorf("%q was read as %+v", message, d)
		}
	}
}

func TestDenialRole(t *testing.T) {
	for principal, want := range map[string]string{
		"arn:aws:sts::111122223333:assumed-role/deploy/gh-1-1": "deploy",
		"arn:aws-cn:iam::111122223333:role/path/to/deploy":     "deploy",
		"arn:aws:iam::111122223333:user/deploy":                "",
		"arn:aws:sts::111122223333:federated-user/deploy":      "",
		"anonymous": "",
		"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_A/b": "AWSReservedSSO_A",
	} {
		if got := (Denial{Principal: principal}).Role(); got != want {
			t.Errorf("%s: %q, want %q", principal, got, want)
		}
	}
}

func TestAbout(t *testing.T) {
	p := Policy{Version: version, Statements: []Statement{
		permit("One", []string{"arn:aws:ecr:us-east-1:111122223333:repository/${*}x"}, "ecr:Put*"),
		permit("Two", []string{"*"}, "ecr:PutImage"),
		forbid("Never", "ecr:PutImage"),
		permit("Other", []string{"*"}, "ssm:GetParameter"),
	}}
	sids := func(list []Statement) string {
		var names []string
		for _, s := range list {
			names = append(names, s.Sid)
		}
		return strings.Join(names, " ")
	}
	for _, test := range []struct{ action, resource, covering, others string }{
		{"ecr:putimage", "arn:aws:ecr:us-east-1:111122223333:repository/*x", "One Two", ""},
		{"ecr:PutImage", "arn:aws:ecr:us-east-1:111122223333:repository/ax", "Two", "One"},
		{"ecr:PutImage", "", "One Two", ""},
		{"ecr:DeleteRepository", "*", "", ""},
	} {
		covering, others := p.About(test.action, test.resource)
		if sids(covering) != test.covering || sids(others) != test.others {
			t.Errorf("%s on %s: %s / %s, want %s / %s", test.action, test.resource, sids(covering), sids(others), test.covering, test.others)
		}
	}
	if got := string(p.Statements[3].Compact()); got != `{"Sid":"Other","Effect":"Allow","Action":"ssm:GetParameter","Resource":"*"}` {
		t.Error(got)
	}
}

// FuzzParseDenial: whatever a service says, each part is a piece of it, and
// what is encoded is in none.
func FuzzParseDenial(f *testing.F) {
	for message := range denials() {
		f.Add(message)
	}
	f.Add("User: a is not authorized to perform: b:c on resource: d because no  with an explicit deny is not authorized to perform: e:f")
	f.Fuzz(func(t *testing.T, message string) {
		d, ok := ParseDenial(message)
		if !ok {
			if d != (Denial{}) {
				t.Errorf("%q: %+v", message, d)
			}
			return
		}
		if d.Action == "" || strings.ContainsAny(d.Action, " \n") {
			t.Errorf("%q: action %q", message, d.Action)
		}
		for _, part := range []string{d.Principal, d.Action, d.Resource, d.Because, string(d.Layer), d.Policy} {
			if !strings.Contains(message, part) || strings.Contains(part, Encoded) || utf8.ValidString(message) && !utf8.ValidString(part) {
				t.Errorf("%q: %q is no part of it", message, part)
			}
		}
		_ = d.Role()
	})
}
