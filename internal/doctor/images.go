package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/trust"
)

func repository(ctx context.Context, x *examination) (string, error) {
	name := x.Target.Repository
	if x.Repository == nil {
		return "", skipped("not asked")
	}
	settings, err := x.Repository.Settings(ctx, name)
	if errors.Is(err, delivery.ErrNotFound) {
		x.finding("doctor/repository-missing", "there is no ECR repository "+name+" in "+x.Target.Account+" "+x.Target.Region,
			"slipway bootstrap makes it; or correct repository: of the agent").on(x.arn("ecr", "repository/"+name))
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if want := x.arn("ecr", "repository/"+name); settings.ARN != want {
		x.finding("doctor/repository-elsewhere", "the repository is "+settings.ARN+", expected "+want,
			"correct account: or region: of the environment").on(settings.ARN)
	}
	if !settings.RevisionsFix {
		x.finding("doctor/tags-movable", "the tag of a commit can be pointed at another image",
			"slipway bootstrap, or make the repository IMMUTABLE_WITH_EXCLUSION, excluding latest").on(settings.ARN)
	}
	if !settings.LatestMoves && x.Target.MovesLatest {
		x.finding("doctor/latest-immutable", "the tag latest can't be moved: the second delivery would fail when it has served already",
			"slipway bootstrap, or make the repository IMMUTABLE_WITH_EXCLUSION, excluding latest").on(settings.ARN)
	}
	if !settings.ScanOnPush {
		x.finding("doctor/no-scan", "images are not scanned when they are pushed", "slipway bootstrap turns scan on push on").on(settings.ARN)
	}
	return name, nil
}

// image looks at the image of HEAD, where it is in the repository already.
func image(ctx context.Context, x *examination) (string, error) {
	source, err := x.source(ctx)
	if err != nil {
		return "", skipped("no commit to look for")
	}
	if x.Images == nil {
		return "", skipped("not asked")
	}
	digest, err := x.Images.Resolve(ctx, source.Revision)
	if errors.Is(err, delivery.ErrNotFound) {
		return x.unbuilt(), nil
	}
	if err != nil {
		return "", err
	}
	img, err := x.Images.Open(ctx, digest)
	if err != nil {
		return "", err
	}
	compute := x.Target.Compute
	if live, err := x.live(ctx); err == nil {
		compute = live.Compute
	}
	facts, err := delivery.CheckImage(ctx, img, compute)
	var e *delivery.Error
	if errors.As(err, &e) {
		x.finding("doctor/image-unfit", "the image of "+source.Revision[:7]+": "+e.Error(), strings.Join(e.Hints, "; ")).on(x.Target.ImageURI(digest))
		return "", nil
	}
	return source.Revision[:7] + " is " + facts.Platform, err
}

func (x *examination) unbuilt() string {
	return "none of HEAD yet: a deploy builds it for " + x.Project.Platform
}

// executionARN is the execution role of the next version.
func (x *examination) executionARN(ctx context.Context) (string, error) {
	if x.Target.ExecutionRole != "" {
		return x.Target.ExecutionRole, nil
	}
	live, err := x.live(ctx)
	if err != nil || live.Role == "" {
		return "", skipped("no execution role is known")
	}
	return live.Role, nil
}

func executionRole(ctx context.Context, x *examination) (string, error) {
	arn, err := x.executionARN(ctx)
	if err != nil {
		x.finding("doctor/no-execution-role", "no execution role is named for "+x.Target.Environment,
			"set execution_role of the environment in slipway.yaml, or EXECUTION_ROLE_ARN").in(x.Project.File)
		return "", nil //nolint:nilerr // it is the finding
	}
	if arn == x.Project.DeployRole {
		x.finding("doctor/same-role", "the agent runs as the deploy role: its code can deliver, and pass itself on",
			"give the agent a role of its own: slipway bootstrap").on(arn)
	}
	if x.Roles == nil {
		return "", skipped("not asked")
	}
	role, err := x.execution.get(func() (trust.Role, error) { return x.Roles.Role(ctx, roleName(arn)) })
	if errors.Is(err, delivery.ErrNotFound) {
		x.finding("doctor/execution-role-missing", "there is no role "+roleName(arn)+" in account "+x.Target.Account,
			"slipway bootstrap makes it; or correct execution_role").on(arn)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	x.executionTrust(role)
	x.executionGrants(ctx, role)
	return role.Name, nil
}

// executionTrust asks whether AgentCore gets in, for this account's runtimes
// alone.
func (x *examination) executionTrust(role trust.Role) {
	policy, err := trust.Parse(role.Trust)
	if err != nil {
		x.finding("doctor/execution-trust-denies", "the trust policy of "+role.Name+": "+err.Error(), "write it anew: slipway bootstrap").on(role.ARN)
		return
	}
	asks := func(account string) trust.Decision {
		source := strings.Replace(x.arn("bedrock-agentcore", "runtime/*"), x.Target.Account, account, 1)
		return policy.Evaluate(trust.Request{Principal: trust.Principal{Kind: trust.Service, Value: trust.AgentCore}, Action: "sts:AssumeRole",
			Context: map[string][]string{"aws:SourceAccount": {account}, "aws:SourceArn": {source}}})
	}
	if d := asks(x.Target.Account); !d.Allowed {
		x.finding("doctor/execution-trust-denies", refusal(d, trust.AgentCore)+": "+role.Name,
			"let "+trust.AgentCore+" assume it, with aws:SourceAccount "+x.Target.Account+" and aws:SourceArn "+x.arn("bedrock-agentcore", "*")).on(role.ARN)
		return
	}
	if asks("000000000000").Allowed {
		x.finding("doctor/confused-deputy", role.Name+" trusts AgentCore on behalf of any account",
			"add the conditions aws:SourceAccount and aws:SourceArn to its trust policy: slipway bootstrap").on(role.ARN)
	}
}

// executionGrants asks for what AgentCore does as the role before any code of
// the agent runs: pull the image, write the log.
func (x *examination) executionGrants(ctx context.Context, role trust.Role) {
	grants, ok := x.grants(role)
	if !ok {
		return
	}
	repository := x.arn("ecr", "repository/"+x.Target.Repository)
	x.lacks(grants, role, "doctor/execution-pull-denied", "can't pull the image", []call{
		{"ecr:GetAuthorizationToken", []string{"*"}, nil},
		{"ecr:BatchGetImage", []string{repository}, nil},
		{"ecr:GetDownloadUrlForLayer", []string{repository}, nil}})
	live, err := x.live(ctx)
	if err != nil {
		return
	}
	group := x.arn("logs", "log-group:/aws/bedrock-agentcore/runtimes/"+live.ID+"-"+x.Target.Serving())
	x.lacks(grants, role, "doctor/execution-logs-denied", "can't write the agent's log", []call{
		{"logs:CreateLogGroup", []string{group}, nil},
		{"logs:CreateLogStream", []string{group + ":log-stream:any"}, nil},
		{"logs:PutLogEvents", []string{group + ":log-stream:any"}, nil}})
}

// lacks makes one finding of all the calls that a role is refused.
func (x *examination) lacks(grants trust.Grants, role trust.Role, id, what string, calls []call) {
	var missing, add []string
	for _, c := range calls {
		if refused, _ := denied(grants, c, x.global(nil)); len(refused) > 0 {
			missing = append(missing, c.action)
			add = append(add, statement(c.action, refused, nil))
		}
	}
	if len(missing) > 0 {
		x.finding(id, fmt.Sprintf("%s %s: it lacks %s", role.Name, what, strings.Join(missing, ", ")),
			"slipway bootstrap --env "+x.Target.Environment+", or add "+strings.Join(add, ", ")).on(role.ARN)
	}
}
