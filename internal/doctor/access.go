package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/trust"
)

// audience is what Slipway asks GitHub's tokens for.
const audience = "sts.amazonaws.com"

// caller opens the session of all checks.
func (x *examination) caller(ctx context.Context) (delivery.Caller, error) {
	return x.login.get(func() (delivery.Caller, error) {
		if x.Login == nil {
			return delivery.Caller{}, skipped("no session with AWS")
		}
		return x.Login.Login(ctx)
	})
}

func credentials(ctx context.Context, x *examination) (string, error) {
	caller, err := x.caller(ctx)
	var e *delivery.Error
	switch {
	case errors.As(err, &e) && e.Kind == delivery.KindUnavailable:
		return "", err // nothing is said of the credentials
	case err != nil:
		hint := "AWS_PROFILE or --profile on a machine of one's own; id-token: write and AWS_DEPLOY_ROLE_ARN in a job"
		if e != nil && len(e.Hints) > 0 {
			hint = strings.Join(e.Hints, "; ")
		}
		x.finding("doctor/credentials", err.Error(), hint)
		return "", nil
	case caller.Account != x.Target.Account:
		x.finding("doctor/account", fmt.Sprintf("the credentials are those of account %s; %s is in account %s", caller.Account, x.Target.Environment, x.Target.Account),
			"choose the account's own profile or role").on(caller.ARN)
	}
	return caller.ARN, nil
}

// jobClaims are those of one token of this job.
func (x *examination) jobClaims(ctx context.Context) (map[string]string, error) {
	return x.claims.get(func() (map[string]string, error) { return x.Claims(ctx) })
}

// token looks at the token of the job that this is.
func token(ctx context.Context, x *examination) (string, error) {
	if x.Claims == nil {
		return "", skipped("not in a job")
	}
	claims, err := x.jobClaims(ctx)
	if err != nil {
		var e *delivery.Error
		hint := "permissions: {id-token: write} in the job; jobs of forks have none"
		if errors.As(err, &e) && len(e.Hints) > 0 {
			hint = e.Hints[0]
		}
		x.finding("doctor/token", err.Error(), hint)
		return "", nil
	}
	for _, want := range x.implied() {
		if got := claims[want.name]; !slices.Contains(want.values, got) {
			x.finding("doctor/token-claims", fmt.Sprintf("the token's %s is %s; slipway.yaml implies %s", want.name, orAbsent(got), want.values[0]),
				"compare the job's environment:, its branch and its repository with slipway.yaml")
		}
	}
	return claims["sub"], nil
}

func orAbsent(claim string) string {
	if claim == "" {
		return "absent"
	}
	return claim
}

// implication is a claim that slipway.yaml implies, in one form or another.
type implication struct {
	name   string
	values []string
}

// implied lists what slipway.yaml says of a job's token. Of the subject it says
// nothing where the file names the repository without its ids: whether GitHub
// puts them in is the repository's setting.
func (x *examination) implied() []implication {
	p := x.Project
	list := []implication{{"aud", []string{audience}}, {"environment", []string{x.Target.Environment}}}
	add := func(name, value string) {
		if value != "" {
			list = append(list, implication{name, []string{value}})
		}
	}
	add("repository", p.GitHub)
	add("repository_id", p.NameID)
	if p.Branch != "" {
		add("ref", "refs/heads/"+p.Branch)
	}
	if p.NameID != "" {
		add("sub", x.subject(immutable(p.GitHub, p.OwnerID, p.NameID)))
	}
	return list
}

// immutable is the part of a subject that names a repository with its ids.
func immutable(repository, ownerID, id string) string {
	owner, name, _ := strings.Cut(repository, "/")
	return "repo:" + owner + "@" + ownerID + "/" + name + "@" + id
}

// subject is that of a job of the environment; GitHub escapes colons.
func (x *examination) subject(prefix string) string {
	return prefix + ":environment:" + strings.ReplaceAll(x.Target.Environment, ":", "%3A")
}

func provider(ctx context.Context, x *examination) (string, error) {
	if x.Roles == nil {
		return "", skipped("not asked")
	}
	audiences, err := x.Roles.Audiences(ctx, x.Target.Account, trust.GitHubIssuer)
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		x.finding("doctor/provider-missing", "account "+x.Target.Account+" has no OIDC provider for "+trust.GitHubIssuer,
			"slipway bootstrap makes it, once per account").on(providerARN(x.Target))
		return "", nil
	case err != nil:
		return "", err
	case !slices.Contains(audiences, audience):
		x.finding("doctor/provider-audience", fmt.Sprintf("the OIDC provider takes tokens for %s alone", strings.Join(audiences, ", ")),
			"add "+audience+" to its client ids: slipway bootstrap does, and keeps the others").on(providerARN(x.Target))
	}
	return "takes tokens for " + audience, nil
}

func providerARN(t delivery.Target) string {
	return "arn:" + trust.Partition(t.Region) + strings.TrimPrefix(trust.ProviderARN(t.Account, trust.GitHubIssuer), "arn:aws")
}

// deployRole is the role that the environment's jobs assume.
func (x *examination) deployRole(ctx context.Context) (trust.Role, error) {
	if x.Project.DeployRole == "" {
		return trust.Role{}, skipped("no deploy role is named")
	}
	if x.Roles == nil {
		return trust.Role{}, skipped("not asked")
	}
	return x.deploy.get(func() (trust.Role, error) { return x.Roles.Role(ctx, roleName(x.Project.DeployRole)) })
}

// roleName is the last part of a role's ARN: a path is no part of the name.
func roleName(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// trusted evaluates the deploy role's trust policy for the job that GitHub
// would start, or for the token of the job that this is.
func trusted(ctx context.Context, x *examination) (string, error) {
	p := x.Project
	if p.DeployRole == "" {
		x.finding("doctor/no-deploy-role", "no deploy role is named for "+x.Target.Environment,
			"set deploy_role of the environment in slipway.yaml, or AWS_DEPLOY_ROLE_ARN in its jobs").in(p.File)
		return "", nil
	}
	role, err := x.deployRole(ctx)
	if errors.Is(err, delivery.ErrNotFound) {
		x.finding("doctor/deploy-role-missing", "there is no role "+roleName(p.DeployRole)+" in account "+x.Target.Account,
			"slipway bootstrap makes it; or correct deploy_role").on(p.DeployRole)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	policy, err := trust.Parse(role.Trust)
	if err != nil {
		x.finding("doctor/trust-unreadable", "the trust policy: "+err.Error(), "write it anew: slipway bootstrap").on(role.ARN)
		return "", nil //nolint:nilerr // it is the finding
	}
	tokens, err := x.tokens(ctx)
	if err != nil {
		return "", err
	}
	admitted := ""
	for _, claims := range tokens {
		decision := policy.Evaluate(trust.WebIdentity(providerARN(x.Target), trust.GitHubIssuer, claims))
		if decision.Allowed {
			return "admits " + claims["sub"], nil
		}
		if admitted == "" {
			admitted = refusal(decision, claims["sub"])
		}
	}
	x.finding("doctor/trust-denies", admitted, "slipway bootstrap --env "+x.Target.Environment+" writes the condition that admits this job alone").on(role.ARN)
	return "", nil
}

// refusal says why no statement admits a job: the conditions that failed, of
// those statements that speak of web identities at all.
func refusal(d trust.Decision, subject string) string {
	text := "the trust policy refuses " + subject
	if d.Denied() {
		return fmt.Sprintf("%s by statement %s", text, orIndex(d.Sid, d.Statement))
	}
	for _, m := range d.Misses {
		if m.Element == "Condition" {
			return fmt.Sprintf("%s: statement %s: %s", text, orIndex(m.Sid, m.Statement), m.Reason())
		}
	}
	if len(d.Misses) > 0 {
		return text + ": " + d.Misses[0].Reason()
	}
	return text + ": it has no statement that allows anything"
}

func orIndex(sid string, index int) string {
	if sid != "" {
		return sid
	}
	return strconv.Itoa(index)
}

// tokens are the claims that the trust policy is asked about. In a job they are
// the job's own. Elsewhere they are made of slipway.yaml and GitHub's answer;
// where neither says whether subjects hold ids, there are both forms, of
// which the second stands for ids that nobody here knows.
func (x *examination) tokens(ctx context.Context) ([]map[string]string, error) {
	if x.Claims != nil {
		claims, err := x.jobClaims(ctx)
		if err != nil {
			return nil, skipped("the job has no token")
		}
		return []map[string]string{claims}, nil
	}
	p := x.Project
	if p.GitHub == "" {
		return nil, skipped("slipway.yaml does not name the repository (github:)")
	}
	repository, err := x.hubRepository(ctx)
	if err == nil {
		return x.tokensOf(repository)
	}
	form := GitHubRepository{FullName: p.GitHub, OwnerID: p.OwnerID, ID: p.NameID, SubjectPrefix: "repo:" + p.GitHub}
	if p.NameID != "" {
		form.SubjectPrefix = immutable(p.GitHub, p.OwnerID, p.NameID)
	}
	tokens, err := x.tokensOf(form)
	if err != nil || p.NameID != "" {
		return tokens, err
	}
	role, err := x.deployRole(ctx)
	if err != nil {
		return nil, err
	}
	if ownerID, id := pinnedIDs(role.Trust, p.GitHub); id != "" {
		form.OwnerID, form.ID, form.SubjectPrefix = ownerID, id, immutable(p.GitHub, ownerID, id)
		more, err := x.tokensOf(form)
		return append(tokens, more...), err
	}
	return tokens, nil
}

// pinnedIDs finds owner@id/name@id of a repository in a trust policy: where
// nobody else says, its ids are taken as right.
func pinnedIDs(document []byte, repository string) (ownerID, id string) {
	owner, name, _ := strings.Cut(repository, "/")
	_, rest, ok := strings.Cut(string(document), "repo:"+owner+"@")
	if !ok {
		return "", ""
	}
	ownerID, rest, _ = strings.Cut(rest, "/")
	rest, ok = strings.CutPrefix(rest, name+"@")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if !ok || end < 1 || strings.Trim(ownerID, "0123456789") != "" {
		return "", ""
	}
	return ownerID, rest[:end]
}

// workflow is the file that Slipway generates for deliveries.
const workflow = "/.github/workflows/deploy-agent.yml@"

func (x *examination) tokensOf(r GitHubRepository) ([]map[string]string, error) {
	if r.Template != nil {
		return nil, skipped("the repository has a subject template of its own (" + strings.Join(r.Template, ", ") + ")")
	}
	branch := x.Project.Branch
	if branch == "" {
		branch = r.DefaultBranch
	}
	if branch == "" {
		branch = "main"
	}
	ref := "refs/heads/" + branch
	claims := map[string]string{"sub": x.subject(r.SubjectPrefix), "aud": audience, "ref": ref, "environment": x.Target.Environment,
		"repository": r.FullName, "job_workflow_ref": r.FullName + workflow + ref}
	if r.ID != "" {
		claims["repository_id"] = r.ID
	} else if id := x.Project.NameID; id != "" {
		claims["repository_id"] = id
	}
	return []map[string]string{claims}, nil
}

func session(ctx context.Context, x *examination) (string, error) {
	role, err := x.existing(ctx)
	if err != nil {
		return "", err
	}
	if x.Project.Session > role.MaxSession && role.MaxSession > 0 {
		x.finding("doctor/session-too-long", fmt.Sprintf("a session of %s is asked for; %s allows %s", short(x.Project.Session), role.Name, short(role.MaxSession)),
			"raise its MaxSessionDuration, or ask for less").on(role.ARN)
	}
	return fmt.Sprintf("%s of at most %s", short(x.Project.Session), short(role.MaxSession)), nil
}

// short is 1h rather than 1h0m0s.
func short(d time.Duration) string {
	return strings.TrimSuffix(d.String(), "0m0s")
}
