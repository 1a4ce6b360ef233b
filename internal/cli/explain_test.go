package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/iam"
	"github.com/slipway-cd/slipway/internal/trust"
)

const (
	caller   = "arn:aws:sts::111122223333:assumed-role/slipway-agents-dev/gh-1-1"
	runtime1 = "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/helper_dev-a1b2c3d4e5"
	exec1    = "arn:aws:iam::111122223333:role/helper-exec"
)

func devCeiling() ceiling {
	return ceiling{role: "slipway-agents-dev", create: "slipway deploy --create --env dev", Deployment: trust.Deployment{Account: "111122223333", Region: "us-east-1", Environment: "dev", Endpoint: "live",
		ExecutionRole: exec1, Logs: true, Agents: []trust.Agent{{Name: "helper", Repository: "helper/runtime"}}}}
}

// TestDenialHints has the texts of each service, and what a reader is told to
// do about them.
func TestDenialHints(t *testing.T) {
	denied := func(action, resource, reason string) string {
		return "User: " + caller + " is not authorized to perform: " + action + " on resource: " + resource + " " + reason
	}
	none := func(action, resource string) string {
		return denied(action, resource, "because no identity-based policy allows the "+action+" action")
	}
	const bootstrap = "an administrator runs slipway bootstrap --env dev, or adds: "
	for name, test := range map[string]struct {
		service, operation, code, message string
		status                            int
		hints                             []string // each a part of one hint, in order
	}{
		"ECR's login": {"ECR", "GetAuthorizationToken", "AccessDeniedException", none("ecr:GetAuthorizationToken", "*"), 400,
			[]string{"the role slipway-agents-dev lacks ecr:GetAuthorizationToken on *",
				"statement EcrLogin of the policy that slipway bootstrap writes allows it: " + bootstrap + `{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"}`}},
		"the registry": {"registry", "put manifest", "DENIED", none("ecr:PutImage", "arn:aws:ecr:us-east-1:111122223333:repository/helper/runtime"), 403,
			[]string{"lacks ecr:PutImage on", `statement EcrPushOneRepo of the policy that slipway bootstrap writes allows it: ` + bootstrap +
				`{"Effect":"Allow","Action":"ecr:PutImage","Resource":"arn:aws:ecr:us-east-1:111122223333:repository/helper/runtime"}`}},
		"another repository": {"registry", "push blob", "DENIED", none("ecr:InitiateLayerUpload", "arn:aws:ecr:us-east-1:111122223333:repository/other"), 403,
			[]string{"lacks ecr:InitiateLayerUpload on", "statement EcrPushOneRepo of the policy that slipway bootstrap writes allows it on " +
				"arn:aws:ecr:us-east-1:111122223333:repository/helper/runtime alone: does slipway.yaml name another repository"}},
		"SSM": {"SSM", "PutParameter", "AccessDeniedException", none("ssm:PutParameter", "arn:aws:ssm:us-east-1:111122223333:parameter/helper/dev/lock"), 400,
			[]string{"lacks ssm:PutParameter on", "statement LockAndRecord of the policy"}},
		"the runtime's id": {"SSM", "PutParameter", "AccessDeniedException", none("ssm:PutParameter", "arn:aws:ssm:us-east-1:111122223333:parameter/helper/dev/runtime-id"), 400,
			[]string{"lacks", "on purpose: it is an administrator's act, once: slipway deploy --create --env dev"}},
		"a runtime read": {"AgentCore", "GetAgentRuntime", "AccessDeniedException", none("bedrock-agentcore:GetAgentRuntime", runtime1), 403,
			[]string{"lacks", `statement ReadRuntime of the policy that slipway bootstrap writes allows it: ` + bootstrap +
				`{"Effect":"Allow","Action":"bedrock-agentcore:GetAgentRuntime","Resource":["` + runtime1 + `","` + runtime1 + `/runtime-endpoint/*"]}`}},
		"an endpoint": {"AgentCore", "UpdateAgentRuntimeEndpoint", "AccessDeniedException", none("bedrock-agentcore:UpdateAgentRuntimeEndpoint", runtime1+"/runtime-endpoint/live"), 403,
			[]string{"lacks", "statement MoveEndpoint of the policy"}},
		"a runtime made": {"AgentCore", "CreateAgentRuntime", "AccessDeniedException", none("bedrock-agentcore:CreateAgentRuntime", "arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/*"), 403,
			[]string{"lacks", "administrator's act, once: slipway deploy --create"}},
		"no resource": {"AgentCore", "GetAgentRuntime", "AccessDeniedException", "User: " + caller + " is not authorized to perform: bedrock-agentcore:GetAgentRuntime", 403,
			[]string{"lacks bedrock-agentcore:GetAgentRuntime", "runtime/RUNTIME_ID"}},
		"no words": {"AgentCore", "GetAgentRuntime", "AccessDeniedException", "User is not authorized to perform this action", 403,
			[]string{"the caller lacks bedrock-agentcore:GetAgentRuntime", "statement ReadRuntime of the policy"}},
		"a role passed": {"AgentCore", "UpdateAgentRuntime", "AccessDeniedException", none("iam:PassRole", exec1), 403,
			[]string{"lacks iam:PassRole on " + exec1 + ": the runtime's execution role is passed to bedrock-agentcore.amazonaws.com (iam:PassedToService)",
				"statement PassOnlyTheExecutionRole of the policy", "its condition did not hold: iam:PassedToService bedrock-agentcore.amazonaws.com"}},
		"another role passed": {"AgentCore", "UpdateAgentRuntime", "AccessDeniedException", none("iam:PassRole", "arn:aws:iam::111122223333:role/admin"), 403,
			[]string{"lacks iam:PassRole", "allows it on " + exec1 + " alone: execution_role of dev in slipway.yaml, or what the live runtime has, is another role"}},
		"another account's role": {"AgentCore", "UpdateAgentRuntime", "AccessDeniedException", "Cross-account pass role is not allowed.", 403,
			[]string{"of its own account 111122223333 alone"}},
		"logs": {"Logs", "FilterLogEvents", "AccessDeniedException",
			none("logs:FilterLogEvents", "arn:aws:logs:us-east-1:111122223333:log-group:/aws/bedrock-agentcore/runtimes/helper_dev-a1b2c3d4e5-DEFAULT:log-stream:"), 400,
			[]string{"lacks logs:FilterLogEvents", "statement ReadLogs of the policy", "helper_dev-a1b2c3d4e5-*"}[:2]},
		"an administrator's": {"IAM", "CreateRole", "AccessDenied", "User: arn:aws:iam::111122223333:user/me is not authorized to perform: iam:CreateRole on resource: arn:aws:iam::111122223333:role/x because no identity-based policy allows the iam:CreateRole action", 403,
			[]string{"arn:aws:iam::111122223333:user/me lacks iam:CreateRole", "this takes an administrator of account 111122223333"}},
		"somebody else's": {"SSM", "GetParameter", "AccessDeniedException", "User: arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_dev/me is not authorized to perform: ssm:GetParameter on resource: arn:aws:ssm:us-east-1:111122223333:parameter/helper/dev/release because no identity-based policy allows the ssm:GetParameter action", 400,
			[]string{"the role AWSReservedSSO_dev lacks", "statement ReadDeployParameters of the deploy role slipway-agents-dev allows it there; for the role AWSReservedSSO_dev an administrator adds: "}},
		"a boundary's Deny": {"AgentCore", "UpdateAgentRuntime", "AccessDeniedException",
			denied("iam:PassRole", "arn:aws:iam::111122223333:role/admin", "with an explicit deny in a permissions boundary: arn:aws:iam::111122223333:policy/b"), 403,
			[]string{"a Deny in a permissions boundary (arn:aws:iam::111122223333:policy/b) forbids iam:PassRole on arn:aws:iam::111122223333:role/admin: no Allow added to the role helps",
				"statement PassRoleOnlyTheExecutionRole of the boundary that slipway bootstrap writes forbids it on purpose"}},
		"a boundary that lacks it": {"SSM", "GetParameter", "AccessDeniedException",
			denied("ssm:GetParameter", "arn:aws:ssm:us-east-1:111122223333:parameter/helper/dev/lock", "because no permissions boundary allows the ssm:GetParameter action"), 400,
			[]string{"a permissions boundary does not allow ssm:GetParameter", "the boundary that slipway bootstrap writes allows it: an administrator runs slipway bootstrap --env dev"}},
		"the organization": {"ECR", "GetAuthorizationToken", "AccessDeniedException", denied("ecr:GetAuthorizationToken", "*",
			"with an explicit deny in a service control policy: arn:aws:organizations::123456789012:policy/o-a/service_control_policy/p-1"), 400,
			[]string{"a Deny in a service control policy (arn:aws:organizations::123456789012:policy/o-a/service_control_policy/p-1) forbids", "administrator of the AWS organization"}},
		"a session's policy": {"SSM", "GetParameter", "AccessDeniedException", denied("ssm:GetParameter", "x", "because no session policy allows the ssm:GetParameter action"), 400,
			[]string{"a session policy does not allow ssm:GetParameter on x", "Slipway opens its sessions without one"}},
		"a repository's policy": {"registry", "read manifest", "DENIED", denied("ecr:BatchGetImage", "arn:aws:ecr:us-east-1:444455556666:repository/x", "because no resource-based policy allows the ecr:BatchGetImage action"), 403,
			[]string{"a resource-based policy does not allow", "the owner of arn:aws:ecr:us-east-1:444455556666:repository/x can change that"}},
		"its own Deny": {"SSM", "GetParameter", "AccessDeniedException", denied("ssm:GetParameter", "x", "with an explicit deny in an identity-based policy"), 400,
			[]string{"a Deny in a policy of the role slipway-agents-dev itself forbids ssm:GetParameter on x", "takes the Deny out"}},
		"somebody's Deny": {"SSM", "GetParameter", "AccessDeniedException", denied("ssm:GetParameter", "x", "with an explicit deny"), 400,
			[]string{"a Deny in some policy forbids", "AWS does not say whose"}},
		"encoded": {"IAM", "GetRole", "AccessDenied", "You are not authorized to perform this operation. Encoded authorization failure message: BLOB", 403,
			[]string{"the caller lacks iam:GetRole", "deliveries do without it", "aws sts decode-authorization-message --encoded-message TEXT (the call's event in CloudTrail has it, request id req-1)"}},
		"the image's pull": {"AgentCore", "UpdateAgentRuntime", "ValidationException",
			"Access denied while validating ECR URI 'x'. The execution role requires permissions for ecr:GetAuthorizationToken, ecr:BatchGetImage, and ecr:GetDownloadUrlForLayer operations.", 400,
			[]string{"the execution role " + exec1 + ", not the deploy role, lacks", "statements EcrLogin and PullImage of the policy that slipway bootstrap --execution-role writes allow it"}},
		"a token":     {"AgentCore", "InvokeAgentRuntime", "AccessDeniedException", "OAuth authorization failed: Failed to parse token", 403, nil},
		"a signature": {"ECR", "DescribeImages", "InvalidSignatureException", "The request signature we calculated does not match", 403, nil},
		"GitHub's":    {"GitHub", "GET /repos", "403", "Resource not accessible: not authorized", 403, nil},
	} {
		t.Run(name, func(t *testing.T) {
			remote := &delivery.RemoteError{Service: test.service, Operation: test.operation, Code: test.code, Message: test.message,
				Status: test.status, RequestID: "req-1", Kind: delivery.ErrDenied}
			if test.code == "ValidationException" {
				remote.Kind = delivery.ErrInvalid
			}
			got := devCeiling().hints(remote)
			if len(got) != len(test.hints) {
				t.Fatalf("%d hints: %s", len(got), strings.Join(got, "\n"))
			}
			for i, want := range test.hints {
				if !strings.Contains(got[i], want) {
					t.Errorf("hint %q\nlacks %q", got[i], want)
				}
			}
			if text := remote.Error() + strings.Join(got, " "); strings.Contains(text, "BLOB") {
				t.Errorf("what is encoded is told: %s", text)
			}
		})
	}
}

// TestDenialAfter: where releases come from another environment, the command
// that makes the runtime is a promotion.
func TestDenialAfter(t *testing.T) {
	a := &app{}
	file, err := config.Parse("slipway.yaml", []byte("version: 1\nregion: us-east-1\ngithub: acme/agents\nagents: {helper: {repository: helper/runtime}}\n"+
		"environments: {dev: {account: \""+demoAccount+"\"}, stg: {account: \""+demoAccount+"\", after: dev}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{"dev": "slipway deploy --create --env dev", "stg": "slipway promote --to stg --create"} {
		p, err := a.pick(file, selection{environment: env})
		if err != nil {
			t.Fatal(err)
		}
		remote := &delivery.RemoteError{Service: "AgentCore", Operation: "CreateAgentRuntime", Code: "AccessDeniedException", Status: 403, Kind: delivery.ErrDenied,
			Message: "User: " + caller + " is not authorized to perform: bedrock-agentcore:CreateAgentRuntime on resource: arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime/*"}
		if hints := a.ceiling(p).hints(remote); !strings.HasSuffix(strings.Join(hints, "\n"), "once: "+want) {
			t.Errorf("%s: %q", env, hints)
		}
	}
}

// TestRemotes finds every answer in a tree, once each.
func TestRemotes(t *testing.T) {
	one, two := &delivery.RemoteError{Code: "1"}, &delivery.RemoteError{Code: "2", Kind: delivery.ErrDenied}
	got := remotes(fmt.Errorf("x: %w", errors.Join(&delivery.Error{Err: one}, errors.New("no remote"), fmt.Errorf("%w and %w", two, one))))
	if !slices.Equal(got, []*delivery.RemoteError{one, two, one}) {
		t.Errorf("%v", got)
	}
}

// TestDenialsAreExplained takes one action at a time from the roles of a
// running environment: each command tells which statement has it, nothing is
// half done, and what served goes on serving.
func TestDenialsAreExplained(t *testing.T) {
	d := newTestWorld(t)
	admin, err := d.api.administrator(t.Context(), demoAccount)
	if err == nil {
		_, err = d.deliver(t.Context(), "create", 0, admin, "deploy", "--env", "dev", "--create", "--yes")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.firstDeploy(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := d.serving(t)
	for i, test := range []struct {
		role, action string
		command      []string
		code         int
		hints        []string
	}{
		{demoDeployRole, "ssm:GetParameter", []string{"deploy"}, 2, []string{"lacks ssm:GetParameter on arn:aws:ssm:us-east-1:111122223333:parameter/supportAgent/dev/runtime-id", "statement ReadDeployParameters of"}},
		{demoDeployRole, "ssm:PutParameter", []string{"deploy"}, 2, []string{"lacks ssm:PutParameter on arn:aws:ssm:us-east-1:111122223333:parameter/supportAgent/dev/lock", "statement LockAndRecord of"}},
		{demoDeployRole, "ecr:GetAuthorizationToken", []string{"deploy"}, 2, []string{"statement EcrLogin of"}},
		{demoDeployRole, "ecr:PutImage", []string{"deploy"}, 1, []string{"statement EcrPushOneRepo of"}},
		{demoDeployRole, "bedrock-agentcore:UpdateAgentRuntime", []string{"deploy"}, 1, []string{"statement UpdateThisRuntime of"}},
		{demoDeployRole, "iam:PassRole", []string{"deploy"}, 1, []string{"lacks iam:PassRole on arn:aws:iam::111122223333:role/" + "supportAgentExecutionRole-dev", "statement PassOnlyTheExecutionRole of"}},
		{"supportAgentExecutionRole-dev", "ecr:BatchGetImage", []string{"deploy"}, 1, []string{"the execution role arn:aws:iam::111122223333:role/" + "supportAgentExecutionRole-dev" + ", not the deploy role, lacks"}},
		{demoDeployRole, "bedrock-agentcore:GetAgentRuntime", []string{"status"}, 2, []string{"statement ReadRuntime of"}},
		{demoDeployRole, "logs:FilterLogEvents", []string{"logs"}, 2, []string{"statement ReadLogs of"}},
		{demoDeployRole, "bedrock-agentcore:InvokeAgentRuntime", []string{"invoke"}, 1, []string{"statement Verify of"}},
	} {
		t.Run(test.action, func(t *testing.T) {
			d.without(t, test.role, test.action)
			defer d.without(t, test.role, "")
			if _, err := d.commit(t.Context(), `var tools = []string{"clock", "calendar"}`+strings.Repeat("\n", i+1), test.action); err != nil {
				t.Fatal(err)
			}
			env, err := d.job(t.Context(), "acme/agents", "dev")
			if err != nil {
				t.Fatal(err)
			}
			o, out, err := d.slipway(t.Context(), env, append(test.command, "--env", "dev")...)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("slipway %s: exit %d\n%s", test.command[0], o.code, o.stderr)
			if o.code != test.code {
				t.Errorf("exit %d, want %d", o.code, test.code)
			}
			for _, hint := range test.hints {
				if !strings.Contains(o.stderr, hint) {
					t.Errorf("no hint %q", hint)
				}
			}
			if test.command[0] == "deploy" && test.code == 1 {
				var doc deploymentDocument
				if err := json.Unmarshal(out, &doc); err != nil || doc.Error == nil || !strings.Contains(strings.Join(doc.Error.Hints, "\n"), test.hints[0]) {
					t.Errorf("the document does not explain it: %s", out)
				}
			}
			if strings.Contains(o.stderr, delivery.DeniedHint) {
				t.Error("the core's own hint is told beside a better one")
			}
		})
	}
	if after := d.serving(t); after != before {
		t.Errorf("version %s serves, it was %s", after, before)
	}
}

// without takes an action away from a role, "" nothing.
func (d *demo) without(t *testing.T, role, action string) {
	t.Helper()
	env, err := d.api.administrator(t.Context(), demoAccount)
	if err != nil {
		t.Fatal(err)
	}
	session, err := awsauth.Source{Getenv: func(name string) string { return env[name] }, Region: demoRegion}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][2]string{demoDeployRole: {"deploy-trust.json", "deploy-policy.json"}, "supportAgentExecutionRole-dev": {"execution-trust.json", "execution-policy.json"}}[role]
	admitted, errTrust := os.ReadFile("testdata/world/" + files[0])
	allowed, errPolicy := os.ReadFile("testdata/world/" + files[1])
	p, err := trust.Parse(allowed)
	if err := errors.Join(errTrust, errPolicy, err); err != nil {
		t.Fatal(err)
	}
	var kept []trust.Statement
	for _, s := range p.Statements {
		if s.Actions = slices.DeleteFunc(s.Actions, func(a string) bool { return a == action }); len(s.Actions) > 0 {
			kept = append(kept, s)
		}
	}
	p.Statements = kept
	admin := &iam.Client{Config: session.Config(awsauth.IAM)}
	if err := admin.UpdateRole(t.Context(), trust.Role{Name: role, Trust: admitted, Inline: []trust.Document{{Name: "slipway", JSON: p.JSON()}}}); err != nil {
		t.Fatal(err)
	}
}

// serving is the version that serves.
func (d *demo) serving(t *testing.T) string {
	t.Helper()
	env, err := d.job(t.Context(), "acme/agents", "dev")
	if err != nil {
		t.Fatal(err)
	}
	o, out, err := d.slipway(t.Context(), env, "status")
	var doc statusDocument
	if err := errors.Join(err, json.Unmarshal(out, &doc)); err != nil || len(doc.Environments) != 1 {
		t.Fatalf("%v: %s", err, o.stderr)
	}
	return doc.Environments[0].Version
}
