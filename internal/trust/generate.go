package trust

import (
	"slices"
	"strings"
	"unicode"
)

// AgentCore is the service that runs the agents, as principals and
// iam:PassedToService name it, in every partition.
const AgentCore = "bedrock-agentcore.amazonaws.com"

const version = "2012-10-17"

// Deployment is what the documents of one environment are about: one deploy
// role, and one agent or several. Every name in it stands for itself: wildcards
// and policy variables in names are escaped.
//
// The deploy policy of five agents with names of twenty letters fits a role's
// inline policies (InlineLimit); more agents need several roles. Who stores a
// document compares its Size with IAM's limit.
type Deployment struct {
	Account     string
	Region      string // the partition follows from it
	Environment string
	Agents      []Agent
	Endpoint    string // that serves; "" or DEFAULT is none besides DEFAULT
	// ExecutionRole is the ARN of the role that the agents run as; without it
	// no role may be passed.
	ExecutionRole string
	// Subnets and SecurityGroups are those that a runtime may be in; without
	// any, the network is not looked at.
	Subnets, SecurityGroups []string
	// Logs lets a deployment read the agents' logs.
	Logs bool
}

// Agent is an agent in the environment.
type Agent struct {
	Name       string // the SSM parameters are /Name/environment/...
	Repository string // ECR repository's name
	// RuntimeID is the runtime's; "" before it exists. Its statements then are
	// left out rather than written wider than needed.
	RuntimeID string
	// PullFrom are the ARNs of repositories that images are promoted from.
	PullFrom []string
}

// DeployPolicy is what one environment's deliveries need, no action that they
// would not miss (docs/least-privilege.md), each on the resources at hand alone (Service Authorization Reference: ECR, Systems
// Manager, Bedrock AgentCore). iam:PassRole comes with the runtime's update,
// which is what needs it.
func (d Deployment) DeployPolicy() Policy {
	var parameters, releases, records, locks, repositories, sources []string
	for _, a := range d.Agents {
		path := "parameter/" + exact(a.Name) + "/" + exact(d.Environment)
		parameters = append(parameters, d.arn("ssm", path+"/*"))
		for _, name := range []string{"/lock", "/release", "/image-uri"} {
			records = append(records, d.arn("ssm", path+name))
		}
		releases = append(releases, d.arn("ssm", path+"/release"))
		locks = append(locks, d.arn("ssm", path+"/lock"))
		repositories = append(repositories, d.repository(a))
		for _, source := range a.PullFrom {
			sources = append(sources, exact(source))
		}
	}
	statements := []Statement{
		permit("EcrLogin", []string{"*"}, "ecr:GetAuthorizationToken"),
		permit("EcrPushOneRepo", repositories,
			"ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload",
			"ecr:PutImage", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
		permit("PullPromoted", sources, "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
		permit("ReadDeployParameters", parameters, "ssm:GetParameter"),
		permit("ReadHistory", releases, "ssm:GetParameterHistory"),
		permit("LockAndRecord", records, "ssm:PutParameter"),
		permit("Unlock", locks, "ssm:DeleteParameter"),
	}
	return policy(append(statements, d.runtimeStatements()...)...)
}

// runtimeStatements are those about runtimes that exist already.
func (d Deployment) runtimeStatements() []Statement {
	var runtimes, read, moved, invoked, logs []string
	for _, a := range d.Agents {
		if a.RuntimeID == "" {
			continue
		}
		runtime := d.arn("bedrock-agentcore", "runtime/"+exact(a.RuntimeID))
		endpoint := runtime + "/runtime-endpoint/"
		runtimes = append(runtimes, runtime)
		read = append(read, runtime, endpoint+"*")
		invoked = append(invoked, runtime, endpoint+"DEFAULT")
		if d.Endpoint != "" && d.Endpoint != "DEFAULT" {
			moved = append(moved, runtime, endpoint+exact(d.Endpoint))
			invoked = append(invoked, endpoint+exact(d.Endpoint))
		}
		if d.Logs {
			logs = append(logs, d.arn("logs", "log-group:"+logGroups(a)))
		}
	}
	if runtimes == nil {
		return nil
	}
	pass := permit("PassOnlyTheExecutionRole", nonempty(exact(d.ExecutionRole)), "iam:PassRole")
	pass.Conditions = []Condition{{"StringEquals", "iam:PassedToService", []string{AgentCore}}}
	return []Statement{
		permit("ReadRuntime", read, "bedrock-agentcore:GetAgentRuntime", "bedrock-agentcore:GetAgentRuntimeEndpoint"),
		d.update(runtimes),
		permit("MoveEndpoint", moved, "bedrock-agentcore:UpdateAgentRuntimeEndpoint"),
		permit("Verify", invoked, "bedrock-agentcore:InvokeAgentRuntime"),
		pass,
		permit("ReadLogs", logs, "logs:FilterLogEvents"),
	}
}

// update keeps runtimes in the approved network, where one is: ForAllValues
// alone would hold for an update without any network, hence Null besides
// (AgentCore developer guide: use IAM condition keys with VPC settings).
func (d Deployment) update(runtimes []string) Statement {
	s := permit("UpdateThisRuntime", runtimes, "bedrock-agentcore:UpdateAgentRuntime")
	var within, present []Condition
	for _, network := range []struct {
		key     string
		allowed []string
	}{
		{"bedrock-agentcore:subnets", d.Subnets},
		{"bedrock-agentcore:securityGroups", d.SecurityGroups},
	} {
		if len(network.allowed) > 0 {
			within = append(within, Condition{"ForAllValues:StringEquals", network.key, exactly(network.allowed)})
			present = append(present, Condition{"Null", network.key, []string{"false"}})
		}
	}
	if within != nil {
		s.Sid, s.Conditions = "UpdateThisRuntimeInApprovedVpcOnly", slices.Concat(within, present)
	}
	return s
}

// Boundary is the ceiling of the deploy role: whatever policies it is given
// later, it passes no other role, and to AgentCore alone, changes nothing in
// IAM and acts in the environment's region and those promoted from.
func (d Deployment) Boundary() Policy {
	ceiling := permit("Ceiling", []string{"*"},
		"ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart",
		"ecr:CompleteLayerUpload", "ecr:PutImage", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:DescribeImages",
		"ecr:DescribeRepositories", "ssm:GetParameter", "ssm:GetParameters", "ssm:GetParameterHistory", "ssm:PutParameter",
		"ssm:DeleteParameter", "bedrock-agentcore:GetAgentRuntime*", "bedrock-agentcore:ListAgentRuntime*",
		"bedrock-agentcore:UpdateAgentRuntime*", "bedrock-agentcore:InvokeAgentRuntime", "logs:FilterLogEvents", "iam:PassRole")
	ceiling.Conditions = []Condition{{"StringEqualsIfExists", "aws:RequestedRegion", d.regions()}}
	elsewhere := forbid("PassRoleOnlyToAgentCore", "iam:PassRole")
	elsewhere.Conditions = []Condition{{"StringNotEquals", "iam:PassedToService", []string{AgentCore}}}
	another := forbid("PassRoleOnlyTheExecutionRole", "iam:PassRole")
	if d.ExecutionRole != "" {
		another.Resources, another.NotResources = nil, []string{exact(d.ExecutionRole)}
	}
	return policy(ceiling, elsewhere, another, forbid("NeverEscalate",
		"sts:AssumeRole", "iam:Create*", "iam:Put*", "iam:Attach*", "iam:Detach*", "iam:Delete*", "iam:Update*",
		"ecr:SetRepositoryPolicy", "ecr:DeleteRepository", "ecr:BatchDeleteImage", "ecr:PutImageTagMutability",
		"ecr:PutLifecyclePolicy", "bedrock-agentcore:PutResourcePolicy", "bedrock-agentcore:InvokeAgentRuntimeForUser",
		"bedrock-agentcore:InvokeAgentRuntimeCommand*", "bedrock-agentcore:GetWorkloadAccessToken*",
		"bedrock-agentcore:*CodeInterpreter*"))
}

// regions are those that deliveries act in, the environment's own first.
func (d Deployment) regions() []string {
	regions := []string{d.Region}
	for _, a := range d.Agents {
		for _, source := range a.PullFrom {
			if parts := strings.SplitN(source, ":", 6); len(parts) == 6 && !slices.Contains(regions, parts[3]) {
				regions = append(regions, parts[3])
			}
		}
	}
	return exactly(regions)
}

// ExecutionTrust lets AgentCore assume the execution role, on behalf of this
// account's resources in this region alone (AgentCore developer guide: IAM
// permissions for AgentCore Runtime).
func (d Deployment) ExecutionTrust() Policy {
	return policy(Statement{
		Sid: "AssumeRolePolicy", Effect: Allow, Principals: []Principal{{Service, AgentCore}}, Actions: []string{"sts:AssumeRole"},
		Conditions: []Condition{
			{"StringEquals", "aws:SourceAccount", []string{exact(d.Account)}},
			{"ArnLike", "aws:SourceArn", []string{d.arn("bedrock-agentcore", "*")}},
		},
	})
}

// ExecutionPolicy is what AgentCore itself needs to run the agents, after the
// page of ExecutionTrust but narrower: these repositories and these runtimes'
// logs and workload identities, and no token for a user id that nobody proved
// (GetWorkloadAccessTokenForUserId). Before a runtime exists its id is not
// known: the logs then are those of any runtime, and there is no identity.
//
// Models, memories and whatever else the agents' code calls are not in it. Only
// their author knows which.
func (d Deployment) ExecutionPolicy() Policy {
	var repositories, groups, streams, identities []string
	for _, a := range d.Agents {
		repositories = append(repositories, d.repository(a))
		group := d.arn("logs", "log-group:"+logGroups(a))
		if !slices.Contains(groups, group) {
			groups, streams = append(groups, group), append(streams, group+":log-stream:*")
		}
		if name, _, ok := cutLast(a.RuntimeID, "-"); ok {
			identities = append(identities, d.arn("bedrock-agentcore", "workload-identity-directory/default/workload-identity/"+exact(name)+"-*"))
		}
	}
	if identities != nil {
		identities = append([]string{d.arn("bedrock-agentcore", "workload-identity-directory/default")}, identities...)
	}
	metrics := permit("PutMetrics", []string{"*"}, "cloudwatch:PutMetricData")
	metrics.Conditions = []Condition{{"StringEquals", "cloudwatch:namespace", []string{"bedrock-agentcore"}}}
	return policy(
		permit("EcrLogin", []string{"*"}, "ecr:GetAuthorizationToken"),
		permit("PullImage", repositories, "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
		permit("MakeLogGroup", groups, "logs:CreateLogGroup", "logs:DescribeLogStreams"),
		permit("WriteLogs", streams, "logs:CreateLogStream", "logs:PutLogEvents"),
		permit("Trace", []string{"*"}, "xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"),
		metrics,
		permit("ActAsWorkload", identities, "bedrock-agentcore:GetWorkloadAccessToken", "bedrock-agentcore:GetWorkloadAccessTokenForJWT"),
	)
}

// RepositoryPolicy lets roles of other accounts pull from a repository, and no
// more (ECR user guide: private repository policies). ECR refuses a principal
// that does not exist, and one that is made anew is another: so the principals
// are the accounts, and a condition holds them to the roles. Of nobody it has
// no statement: such a repository needs no policy.
func RepositoryPolicy(pullers []string) Policy {
	if len(pullers) == 0 {
		return policy()
	}
	s := Statement{Sid: "PullFromOtherAccounts", Effect: Allow, Actions: []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
		Conditions: []Condition{{"ArnEquals", "aws:PrincipalArn", pullers}}}
	for _, role := range pullers {
		account, _, _ := strings.Cut(role, ":role/")
		if p := (Principal{AWS, account + ":root"}); !slices.Contains(s.Principals, p) {
			s.Principals = append(s.Principals, p)
		}
	}
	return policy(s)
}

// Caller is the GitHub job that a deploy role trusts: exact values, in which
// wildcards and variables mean nothing.
type Caller struct {
	Account     string
	Region      string // for the partition alone
	Issuer      string // "" is GitHubIssuer
	Audience    string // "" is sts.amazonaws.com
	Environment string // names the Sid
	// Subjects are exact sub values: one, or two while a repository migrates.
	Subjects     []string
	RepositoryID string   // "" is not pinned
	Ref          string   // "" is not pinned
	Workflows    []string // job_workflow_ref values; nil is not pinned
}

// Trust admits the caller and nobody else (IAM user guide: create a role for
// OpenID Connect federation).
func (c Caller) Trust() Policy {
	if c.Issuer == "" {
		c.Issuer = GitHubIssuer
	}
	if c.Audience == "" {
		c.Audience = "sts.amazonaws.com"
	}
	prefix := strings.TrimPrefix(c.Issuer, "https://") + ":"
	var conditions []Condition
	pin := func(claim string, values ...string) {
		if !slices.Equal(values, []string{""}) && len(values) > 0 {
			conditions = append(conditions, Condition{"StringEquals", prefix + claim, exactly(values)})
		}
	}
	pin("aud", c.Audience)
	conditions = append(conditions, Condition{"StringEquals", prefix + "sub", exactly(c.Subjects)}) // admits nobody without any
	pin("repository_id", c.RepositoryID)
	pin("ref", c.Ref)
	pin("job_workflow_ref", c.Workflows...)
	return policy(Statement{
		Sid:        "GitHubEnvironment" + sid(c.Environment),
		Effect:     Allow,
		Principals: []Principal{{Federated, "arn:" + Partition(c.Region) + strings.TrimPrefix(ProviderARN(c.Account, c.Issuer), "arn:aws")}},
		Actions:    []string{AssumeWithWebIdentity},
		Conditions: conditions,
	})
}

// Partition is the part of AWS that a region belongs to (AWS general reference:
// Amazon Resource Names).
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	case strings.HasPrefix(region, "eusc-"):
		return "aws-eusc"
	default:
		return "aws"
	}
}

func (d Deployment) arn(service, resource string) string {
	return "arn:" + Partition(d.Region) + ":" + service + ":" + exact(d.Region) + ":" + exact(d.Account) + ":" + resource
}

func (d Deployment) repository(a Agent) string {
	return d.arn("ecr", "repository/"+exact(a.Repository))
}

// logGroups are those of the agent's endpoints, one each; of any runtime before
// the agent's exists.
func logGroups(a Agent) string {
	if a.RuntimeID == "" {
		return "/aws/bedrock-agentcore/runtimes/*"
	}
	return "/aws/bedrock-agentcore/runtimes/" + exact(a.RuntimeID) + "-*"
}

// policy leaves out statements that speak of nothing.
func policy(statements ...Statement) Policy {
	p := Policy{Version: version}
	for _, s := range statements {
		if s.Resources != nil || s.NotResources != nil || s.Principals != nil {
			p.Statements = append(p.Statements, s)
		}
	}
	return p
}

func permit(sid string, resources []string, actions ...string) Statement {
	return Statement{Sid: sid, Effect: Allow, Actions: actions, Resources: resources}
}

func forbid(sid string, actions ...string) Statement {
	return Statement{Sid: sid, Effect: Deny, Actions: actions, Resources: []string{"*"}}
}

// exact writes a text so that no wildcard or variable is in it (IAM user guide:
// policy variables, predefined values).
func exact(text string) string {
	return strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace(text)
}

// exactly is exact for values under StringEquals, which knows variables but no
// wildcards.
func exactly(texts []string) []string {
	values := make([]string, len(texts))
	for i, text := range texts {
		values[i] = strings.ReplaceAll(text, "$", "${$}")
	}
	return values
}

// sid makes a name fit to be part of a Sid, which holds letters and digits.
func sid(name string) string {
	var b strings.Builder
	upper := true
	for _, r := range name {
		switch {
		case r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r):
			upper = true
		case upper:
			b.WriteRune(unicode.ToUpper(r))
			upper = false
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
