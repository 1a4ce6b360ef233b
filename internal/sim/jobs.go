package sim

import (
	"crypto/sha1" //nolint:gosec // commits are named by it; nothing is protected
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"maps"
	"sort"
	"strconv"
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// Job is one job of a GitHub Actions run, as its token describes it. What is
// left out gets a plausible value.
type Job struct {
	// Repository is OWNER/NAME, or OWNER@ID/NAME@ID for one that sends
	// immutable subjects. A registered repository given by its names alone
	// keeps its own ids and form.
	Repository  string `json:"repository"`
	Ref         string `json:"ref,omitempty"`         // refs/…; default refs/heads/main
	Environment string `json:"environment,omitempty"` // the job's environment
	Event       string `json:"event,omitempty"`       // default push
	SHA         string `json:"sha,omitempty"`         // 40 hex digits
	Actor       string `json:"actor,omitempty"`       // default octocat
	Workflow    string `json:"workflow,omitempty"`    // its name; default deploy-agent
	// WorkflowFile is the workflow's path in the repository. Default:
	// .github/workflows/<Workflow>.yml.
	WorkflowFile string `json:"workflow_file,omitempty"`
	// JobWorkflowRef is the called workflow's O/R/PATH@REF. Default: the
	// calling one.
	JobWorkflowRef string `json:"job_workflow_ref,omitempty"`
	HeadRef        string `json:"head_ref,omitempty"` // pull requests: branch names
	BaseRef        string `json:"base_ref,omitempty"`
	Name           string `json:"name,omitempty"` // GITHUB_JOB; default deploy
	RunID          string `json:"run_id,omitempty"`
	RunNumber      string `json:"run_number,omitempty"`
	RunAttempt     string `json:"run_attempt,omitempty"`
	// IDToken says whether the job has the permission id-token: write. If
	// nil, it has.
	IDToken *bool `json:"id_token,omitempty"`
	// GitHubToken hands the job its token of GitHub's API as GITHUB_TOKEN, as a
	// workflow does that passes github.token on.
	GitHubToken bool `json:"github_token,omitempty"`
	// Permissions are the token's, such as deployments: write, beside id-token.
	// If nil, contents: read.
	Permissions map[string]string `json:"permissions,omitempty"`
	// EnvironmentURL is the address of what is deployed, as environment.url of
	// a workflow.
	EnvironmentURL string `json:"environment_url,omitempty"`
	// Lifetime of tokens in seconds. Zero: 300, as GitHub's.
	Lifetime int64 `json:"lifetime,omitempty"`

	repository Repository // settled by complete
}

// Repository is a GitHub repository as the issuer knows it.
type Repository struct {
	Owner   string `json:"owner"`
	OwnerID string `json:"owner_id"` // decimal
	Name    string `json:"name"`
	ID      string `json:"id"` // decimal
	// Immutable says that subjects carry ids: the form of repositories made,
	// renamed or transferred since 2026-07-15, or opted in.
	Immutable bool `json:"immutable"`
	// ClaimKeys is the subject's template, where the repository has one of its
	// own (GitHub docs: customizing the token claims).
	ClaimKeys []string `json:"claim_keys,omitempty"`
	// OwnersTemplate says that it is the owner's template that counts.
	OwnersTemplate bool `json:"owners_template,omitempty"`
	// DefaultBranch is main if empty; Protected are the branches with
	// protection.
	DefaultBranch string   `json:"default_branch,omitempty"`
	Protected     []string `json:"protected,omitempty"`
	// Private and Plan decide what environments can do. Reviewers and wait
	// timers of private repositories take the plan enterprise: elsewhere they
	// are dropped, on the plan team refused, and on the plan free there are no
	// environments at all.
	Private bool   `json:"private,omitempty"`
	Plan    string `json:"plan,omitempty"`
	// Formerly is the owner/name that it had before it was renamed or
	// transferred.
	Formerly string `json:"formerly,omitempty"`
	// Readers are the people (login) and teams (org/slug) who can read it, Teams
	// the logins of the teams' members.
	Readers []string            `json:"readers,omitempty"`
	Teams   map[string][]string `json:"teams,omitempty"`
}

// FullName is OWNER/NAME.
func (r Repository) FullName() string { return r.Owner + "/" + r.Name }

func (r Repository) subject() string {
	if r.Immutable {
		return fmt.Sprintf("repo:%s@%s/%s@%s", r.Owner, r.OwnerID, r.Name, r.ID)
	}
	return "repo:" + r.FullName()
}

const (
	jobRecord        = "github/job/"
	repositoryRecord = "github/repository/" // + lower-case full name
	runRecord        = "github/run"         // the last run's number
	tokenLifetime    = 300                  // seconds
	// jobTokenPrefix is that of the tokens that GitHub hands to apps and jobs.
	// The job's id comes next.
	jobTokenPrefix = "ghs_"
)

var (
	accountID      = pattern.New(`^[0-9]{12}$`)
	repositoryName = pattern.New(`^([A-Za-z0-9][A-Za-z0-9-]{0,38})(?:@([0-9]{1,19}))?/([A-Za-z0-9._-]{1,100})(?:@([0-9]{1,19}))?$`)
	commit         = pattern.New(`^[0-9a-f]{40}$`)
	decimal        = pattern.New(`^[0-9]{1,19}$`)
)

// registerRepository keeps the ids and the subject form of a repository.
func (c *Cloud) registerRepository(r Repository) error {
	m := repositoryName.FindStringSubmatch(r.FullName())
	if m == nil || !decimal.MatchString(r.ID) || !decimal.MatchString(r.OwnerID) {
		return fmt.Errorf("a repository needs owner, name and decimal ids, not %q with %q and %q", r.FullName(), r.OwnerID, r.ID)
	}
	for team, members := range r.Teams {
		if !contains(r.Readers, team) || !strings.Contains(team, "/") {
			return fmt.Errorf("team %q (of %s) is none of the readers; a team is written ORG/SLUG", team, strings.Join(members, ", "))
		}
	}
	return c.store.put(repositoryRecord+strings.ToLower(r.FullName()), r)
}

// findRepository settles what a job's Repository means.
func (c *Cloud) findRepository(given string) (Repository, error) {
	m := repositoryName.FindStringSubmatch(given)
	if m == nil || (m[2] == "") != (m[4] == "") {
		return Repository{}, fmt.Errorf("repository %q is neither OWNER/NAME nor OWNER@ID/NAME@ID", given)
	}
	var r Repository
	known := c.store.get(repositoryRecord+strings.ToLower(m[1]+"/"+m[3]), &r)
	switch {
	case m[2] == "" && known:
		return r, nil
	case m[2] != "" && (!known || r.OwnerID != m[2] || r.ID != m[4]):
		return Repository{Owner: m[1], OwnerID: m[2], Name: m[3], ID: m[4], Immutable: true}, nil
	case m[2] != "":
		r.Immutable = true
		return r, nil
	}
	return Repository{Owner: m[1], OwnerID: derivedID(m[1]), Name: m[3], ID: derivedID(given)}, nil
}

// derivedID makes a stable id of a name, for repositories nobody registered.
func derivedID(name string) string {
	h := fnv.New64a()
	h.Write([]byte(strings.ToLower(name)))
	return strconv.FormatUint(100_000_000+h.Sum64()%800_000_000, 10)
}

// complete checks a job and fills in what it leaves out.
func (c *Cloud) complete(j Job) (Job, error) {
	var err error
	if j.repository, err = c.findRepository(j.Repository); err != nil {
		return j, err
	}
	j.Ref = or(j.Ref, "refs/heads/main")
	if !strings.HasPrefix(j.Ref, "refs/") {
		return j, fmt.Errorf("ref %q does not begin with refs/", j.Ref)
	}
	if err := checkJobPermissions(j.Permissions); err != nil {
		return j, err
	}
	j.SHA = or(j.SHA, madeUpCommit(j.repository, j.Ref))
	if !commit.MatchString(j.SHA) {
		return j, fmt.Errorf("sha %q is not 40 hex digits", j.SHA)
	}
	j.Event, j.Actor, j.Name = or(j.Event, "push"), or(j.Actor, "octocat"), or(j.Name, "deploy")
	j.Workflow = or(j.Workflow, "deploy-agent")
	j.WorkflowFile = or(j.WorkflowFile, ".github/workflows/"+j.Workflow+".yml")
	j.JobWorkflowRef = or(j.JobWorkflowRef, j.workflowRef())
	if j.RunID == "" {
		run, err := c.nextRun()
		if err != nil {
			return j, err
		}
		j.RunID, j.RunNumber = strconv.FormatInt(17_000_000_000+run, 10), or(j.RunNumber, strconv.FormatInt(run, 10))
	}
	j.RunNumber, j.RunAttempt = or(j.RunNumber, "1"), or(j.RunAttempt, "1")
	for _, number := range []string{j.RunID, j.RunNumber, j.RunAttempt} {
		if !decimal.MatchString(number) {
			return j, fmt.Errorf("%q is no number of a run", number)
		}
	}
	return j, nil
}

// madeUpCommit is that of a ref for which nobody has said one.
func madeUpCommit(r Repository, ref string) string {
	sum := sha1.Sum([]byte(r.FullName() + ref)) //nolint:gosec // nothing is protected by it
	return hex.EncodeToString(sum[:])
}

// checkJobPermissions refuses what no job can have (GitHub docs: workflow syntax,
// permissions).
func checkJobPermissions(permissions map[string]string) error {
	known := []string{"actions", "attestations", "checks", "contents", "deployments", "discussions", "issues", "models", "packages", "pages",
		"pull-requests", "security-events", "statuses"}
	for name, level := range permissions {
		if !contains(known, name) {
			return fmt.Errorf("a job has no permission %q; there are %s (id-token is given by itself)", name, strings.Join(known, ", "))
		}
		if level != "read" && level != "write" && level != "none" {
			return fmt.Errorf("the permission %s is read, write or none, not %q", name, level)
		}
	}
	return nil
}

// may says whether the job's token has a permission, such as deployments:read.
func (j Job) may(permission string) bool {
	name, level, _ := strings.Cut(permission, ":")
	has := j.Permissions[name]
	if j.Permissions == nil && name == "contents" {
		has = "read"
	}
	return name == "metadata" || has == level || has == "write"
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// nextRun counts runs over the life of the cloud.
func (c *Cloud) nextRun() (int64, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	var run int64
	c.store.get(runRecord, &run)
	run++
	return run, c.store.put(runRecord, run)
}

// environOf is the environment that a job in progress sees, with host as the
// cloud's address.
func (c *Cloud) environOf(j *startedJob, host string) map[string]string {
	base := "http://" + host
	env := j.Job.environ(base)
	env["GITHUB_TRIGGERING_ACTOR"] = c.starter(j)
	maps.Copy(env, c.endpoints(host))
	if j.Job.IDToken == nil || *j.Job.IDToken {
		env["ACTIONS_ID_TOKEN_REQUEST_URL"] = base + tokenPath + j.ID + "?api-version=2.0"
		env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = j.RequestToken
	}
	if j.Job.GitHubToken {
		env["GITHUB_TOKEN"] = j.GitHubToken
	}
	return env
}

// environ is what a runner sets for the job, the token variables aside. It
// never holds AWS keys: getting them is the job's affair.
func (j Job) environ(base string) map[string]string {
	r := j.repository
	return map[string]string{
		"GITHUB_ACTIONS": "true", "CI": "true",
		"GITHUB_REPOSITORY": r.FullName(), "GITHUB_REPOSITORY_ID": r.ID,
		"GITHUB_REPOSITORY_OWNER": r.Owner, "GITHUB_REPOSITORY_OWNER_ID": r.OwnerID,
		"GITHUB_REF": j.Ref, "GITHUB_REF_NAME": j.refName(), "GITHUB_REF_TYPE": j.refType(),
		"GITHUB_SHA": j.SHA, "GITHUB_EVENT_NAME": j.Event,
		"GITHUB_ACTOR": j.Actor, "GITHUB_ACTOR_ID": derivedID(j.Actor), "GITHUB_TRIGGERING_ACTOR": j.Actor,
		"GITHUB_RUN_ID": j.RunID, "GITHUB_RUN_NUMBER": j.RunNumber, "GITHUB_RUN_ATTEMPT": j.RunAttempt,
		"GITHUB_WORKFLOW": j.Workflow, "GITHUB_WORKFLOW_REF": j.workflowRef(), "GITHUB_WORKFLOW_SHA": j.SHA,
		"GITHUB_JOB": j.Name, "GITHUB_HEAD_REF": j.HeadRef, "GITHUB_BASE_REF": j.BaseRef,
		"GITHUB_SERVER_URL": "https://github.com", "GITHUB_API_URL": base + "/api/v3",
	}
}

func (j Job) workflowRef() string {
	return j.repository.FullName() + "/" + j.WorkflowFile + "@" + j.Ref
}

func (j Job) refType() string {
	if strings.HasPrefix(j.Ref, "refs/tags/") {
		return "tag"
	}
	return "branch"
}

func (j Job) refName() string {
	for _, prefix := range []string{"refs/heads/", "refs/tags/", "refs/pull/"} {
		if name, ok := strings.CutPrefix(j.Ref, prefix); ok {
			return name
		}
	}
	return j.Ref
}

// claimText is a value within a subject: its colons are sent as %3A, so that no
// value imitates another subject.
func claimText(s string) string { return strings.ReplaceAll(s, ":", "%3A") }

// subject is the token's sub: the repository and the job's context, or what the
// repository's template asks for.
func (j Job) subject() string {
	if len(j.repository.ClaimKeys) == 0 {
		return j.repository.subject() + ":" + j.context()
	}
	var parts []string
	for _, key := range j.repository.ClaimKeys {
		switch key {
		case "repo":
			parts = append(parts, j.repository.subject())
		case "context":
			parts = append(parts, j.context())
		default:
			value, _ := j.claims()[key].(string)
			parts = append(parts, key+":"+claimText(value))
		}
	}
	return strings.Join(parts, ":")
}

// context is the job's: environment before pull request before ref.
func (j Job) context() string {
	switch {
	case j.Environment != "":
		return "environment:" + claimText(j.Environment)
	case j.Event == "pull_request":
		return "pull_request"
	default:
		return "ref:" + claimText(j.Ref)
	}
}

// issue signs a token of a completed job. Without an audience it is for the
// repository's owner, as GitHub's.
func (c *Cloud) issue(j Job, audience string) (token string, claims map[string]any, err error) {
	if j.repository.Name == "" { // read back from its record
		if j.repository, err = c.findRepository(j.Repository); err != nil {
			return "", nil, err
		}
	}
	j.repository.ClaimKeys = c.claimKeys(j.repository)
	claims = j.claims()
	claims["sub"] = j.subject()
	claims["aud"] = or(audience, "https://github.com/"+j.repository.Owner)
	now, lifetime := c.now().Unix(), j.Lifetime
	if lifetime == 0 {
		lifetime = tokenLifetime
	}
	claims["iat"], claims["nbf"], claims["exp"] = now, now-600, now+lifetime
	token, err = c.identity.signer.sign(claims)
	return token, claims, err
}

// claims are those of GitHub's tokens, but for audience and times. Ids and
// booleans are strings.
func (j Job) claims() map[string]any {
	r := j.repository
	claims := map[string]any{
		"jti": newRequestID(), "iss": Issuer,
		"repository": r.FullName(), "repository_id": r.ID,
		"repository_owner": r.Owner, "repository_owner_id": r.OwnerID, "repository_visibility": visibility(r.Private),
		"ref": j.Ref, "ref_type": j.refType(), "ref_protected": strconv.FormatBool(j.refType() == "branch" && contains(r.Protected, j.refName())), "sha": j.SHA,
		"head_ref": j.HeadRef, "base_ref": j.BaseRef, "event_name": j.Event,
		"actor": j.Actor, "actor_id": derivedID(j.Actor),
		"workflow": j.Workflow, "workflow_ref": j.workflowRef(), "workflow_sha": j.SHA,
		"job_workflow_ref": j.JobWorkflowRef, "job_workflow_sha": j.SHA,
		"run_id": j.RunID, "run_number": j.RunNumber, "run_attempt": j.RunAttempt,
		"check_run_id": j.checkRunID(), "runner_environment": "github-hosted",
	}
	if j.Environment != "" {
		claims["environment"], claims["environment_node_id"] = j.Environment, "EN_"+derivedID(r.ID+j.Environment)
	}
	return claims
}

func (j Job) checkRunID() string {
	sum := sha1.Sum([]byte(j.RunID + "/" + j.RunAttempt + "/" + j.Name)) //nolint:gosec // makes up a commit
	return strconv.FormatUint(uint64(binary.BigEndian.Uint32(sum[:4])), 10)
}

func claimNames() []string {
	names := []string{"aud", "exp", "iat", "nbf", "sub", "environment", "enterprise", "enterprise_id"}
	for name := range (Job{}).claims() {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// findJob returns the job in progress that the request token was made for.
func (c *Cloud) findJob(id, token string) (startedJob, bool) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	j, ok := c.settled(id)
	if !ok || j.Status != jobRunning || !sameText(j.RequestToken, token) || j.Job.IDToken != nil && !*j.Job.IDToken {
		return startedJob{}, false
	}
	return *j, true
}

// jobOfToken returns the job in progress whose token of GitHub's API it is.
func (c *Cloud) jobOfToken(token string) (Job, bool) {
	id := strings.TrimPrefix(token, jobTokenPrefix)
	if len(id) < 16 {
		return Job{}, false
	}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	j, ok := c.settled(id[:16])
	if !ok || j.Status != jobRunning || !sameText(j.GitHubToken, token) {
		return Job{}, false
	}
	return j.Job, true
}
