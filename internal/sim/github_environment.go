package sim

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/nacl/box"
)

// githubEnvironment is a deployment environment of a repository. Record:
// github/environment/<full name>/<name>, both in lower case: GitHub tells names
// apart without regard to case.
type githubEnvironment struct {
	Name        string                    `json:"name"`
	ID          string                    `json:"id"`
	Wait        int                       `json:"wait,omitempty"` // minutes
	Reviewers   []githubReviewer          `json:"reviewers,omitempty"`
	PreventSelf bool                      `json:"prevent_self,omitempty"`
	Branches    *branchRule               `json:"branches,omitempty"` // nil: every branch
	Policies    []branchPolicy            `json:"policies,omitempty"`
	Variables   map[string]githubVariable `json:"variables,omitempty"`
	Secrets     map[string]githubSecret   `json:"secrets,omitempty"`
	Created     time.Time                 `json:"created"`
	Updated     time.Time                 `json:"updated"`
}

// githubReviewer is a person or a team; Name is login or org/slug.
type githubReviewer struct {
	Type string `json:"type"` // User or Team
	Name string `json:"name"`
}

type branchRule struct {
	Protected bool `json:"protected_branches"`
	Custom    bool `json:"custom_branch_policies"`
}

type branchPolicy struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

type githubVariable struct {
	Name    string    `json:"name"`
	Value   string    `json:"value"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// githubSecret keeps what was sealed, as it was sealed: nobody reads it back.
type githubSecret struct {
	Name    string    `json:"name"`
	Sealed  string    `json:"sealed"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

const (
	environmentRecord = "github/environment/"
	mostReviewers     = 6 // GitHub docs: managing environments for deployment
	mostWait          = 43200
	mostVariable      = 48 << 10 // bytes of a variable's or a secret's value
)

func environmentKey(r Repository, name string) string {
	return environmentRecord + strings.ToLower(r.FullName()) + "/" + strings.ToLower(name)
}

func (c *Cloud) findEnvironment(r Repository, name string) (githubEnvironment, bool) {
	var e githubEnvironment
	ok := c.store.get(environmentKey(r, name), &e)
	return e, ok
}

// bornEnvironment makes the environment that a job names and that is not there:
// as GitHub does, without any protection.
func (c *Cloud) bornEnvironment(j Job) error {
	var registered Repository
	if j.Environment == "" || !c.store.get(repositoryRecord+strings.ToLower(j.repository.FullName()), &registered) {
		return nil
	}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	if _, ok := c.findEnvironment(registered, j.Environment); ok {
		return nil
	}
	return c.store.put(environmentKey(registered, j.Environment), newEnvironment(registered, j.Environment, c.now().UTC()))
}

func newEnvironment(r Repository, name string, at time.Time) githubEnvironment {
	return githubEnvironment{Name: name, ID: derivedID(r.FullName() + "/" + name), Created: at.Truncate(time.Second), Updated: at.Truncate(time.Second)}
}

// environment is the one that a call names.
func (k *githubCall) environment() (githubEnvironment, error) {
	e, ok := k.cloud.findEnvironment(k.repo, k.names[2])
	if !ok {
		return e, githubFault(http.StatusNotFound, "Not Found")
	}
	return e, nil
}

// changeEnvironment applies change to the environment that a call names.
func (k *githubCall) changeEnvironment(change func(*githubEnvironment) error) error {
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	e, err := k.environment()
	if err != nil {
		return err
	}
	if err := change(&e); err != nil {
		return err
	}
	e.Updated = k.at.Truncate(time.Second)
	return k.cloud.store.put(environmentKey(k.repo, e.Name), e)
}

// view is an environment with its protection rules.
func (e githubEnvironment) view(k *githubCall) map[string]any {
	id, _ := strconv.Atoi(e.ID)
	rules := []map[string]any{}
	rule := func(kind string, more map[string]any) {
		r := map[string]any{"id": id*10 + len(rules), "node_id": "GA_" + e.ID + kind, "type": kind}
		for name, value := range more {
			r[name] = value
		}
		rules = append(rules, r)
	}
	if e.Wait > 0 {
		rule("wait_timer", map[string]any{"wait_timer": e.Wait})
	}
	if len(e.Reviewers) > 0 {
		reviewers := []map[string]any{}
		for _, r := range e.Reviewers {
			reviewers = append(reviewers, map[string]any{"type": r.Type, "reviewer": r.view(k)})
		}
		rule("required_reviewers", map[string]any{"prevent_self_review": e.PreventSelf, "reviewers": reviewers})
	}
	if e.Branches != nil {
		rule("branch_policy", nil)
	}
	api := k.address("/repos/" + k.repo.FullName() + "/environments/" + e.Name)
	view := map[string]any{"id": id, "node_id": "EN_" + e.ID, "name": e.Name, "url": api, "html_url": "https://github.com/" + k.repo.FullName() + "/deployments/activity_log?environments_filter=" + e.Name,
		"created_at": e.Created.Format(time.RFC3339), "updated_at": e.Updated.Format(time.RFC3339), "can_admins_bypass": true,
		"protection_rules": rules, "deployment_branch_policy": nil}
	if e.Branches != nil {
		view["deployment_branch_policy"] = e.Branches
	}
	return view
}

func (r githubReviewer) view(k *githubCall) map[string]any {
	if r.Type == "Team" {
		return teamView(k, r.Name)
	}
	return accountView(k, r.Name, derivedID(r.Name), "User")
}

func listEnvironments(k *githubCall) (int, any, error) {
	all := []map[string]any{}
	for _, key := range k.cloud.store.keys(environmentKey(k.repo, "")) {
		var e githubEnvironment
		if k.cloud.store.get(key, &e) {
			all = append(all, e.view(k))
		}
	}
	return http.StatusOK, map[string]any{"total_count": len(all), "environments": githubPage(k, all)}, nil
}

func getEnvironment(k *githubCall) (int, any, error) {
	e, err := k.environment()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, e.view(k), nil
}

// environmentInput is what PUT takes. What it leaves out is reset: the call
// states the protection whole.
type environmentInput struct {
	Wait        int  `json:"wait_timer"`
	PreventSelf bool `json:"prevent_self_review"`
	Reviewers   []struct {
		Type string `json:"type"`
		ID   int64  `json:"id"`
	} `json:"reviewers"`
	Branches *branchRule `json:"deployment_branch_policy"`
}

// putEnvironment makes an environment or states its protection anew. On a
// private repository, reviewers and wait timers take a plan that has them;
// elsewhere GitHub drops them without a word (GitHub docs: deployments and
// environments).
func putEnvironment(k *githubCall) (int, any, error) {
	var in environmentInput
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	reviewers, err := k.reviewers(in)
	if err != nil {
		return 0, nil, err
	}
	switch {
	case in.Wait < 0 || in.Wait > mostWait:
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Validation Failed: wait_timer is between 0 and %d", mostWait)
	case in.Branches != nil && in.Branches.Protected == in.Branches.Custom:
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Validation Failed: protected_branches and custom_branch_policies cannot have the same value")
	}
	if k.repo.Private && k.repo.Plan != "enterprise" {
		in.Wait, reviewers, in.PreventSelf = 0, nil, false
	}
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	e, ok := k.cloud.findEnvironment(k.repo, k.names[2])
	if !ok {
		e = newEnvironment(k.repo, k.names[2], k.at)
	}
	e.Wait, e.Reviewers, e.PreventSelf, e.Branches, e.Updated = in.Wait, reviewers, in.PreventSelf, in.Branches, k.at.Truncate(time.Second)
	if e.Branches == nil || !e.Branches.Custom {
		e.Policies = nil
	}
	return http.StatusOK, e.view(k), k.cloud.store.put(environmentKey(k.repo, e.Name), e)
}

// reviewers finds who is meant by ids: people and teams that can read the
// repository.
func (k *githubCall) reviewers(in environmentInput) ([]githubReviewer, error) {
	if len(in.Reviewers) > mostReviewers {
		return nil, githubFault(http.StatusUnprocessableEntity, "Validation Failed: up to %d reviewers", mostReviewers)
	}
	var list []githubReviewer
	for _, asked := range in.Reviewers {
		i := slices.IndexFunc(k.repo.Readers, func(name string) bool {
			return derivedID(name) == strconv.FormatInt(asked.ID, 10) && strings.Contains(name, "/") == (asked.Type == "Team")
		})
		if i < 0 || asked.Type != "User" && asked.Type != "Team" {
			return nil, githubFault(http.StatusUnprocessableEntity, "Validation Failed: %s %d can't review deployments of %s", asked.Type, asked.ID, k.repo.FullName())
		}
		list = append(list, githubReviewer{asked.Type, k.repo.Readers[i]})
	}
	return list, nil
}

func deleteEnvironment(k *githubCall) (int, any, error) {
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	e, err := k.environment()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, k.cloud.store.delete(environmentKey(k.repo, e.Name))
}

func (p branchPolicy) view() map[string]any {
	return map[string]any{"id": p.ID, "node_id": "DBP_" + strconv.FormatInt(p.ID, 10), "name": p.Name, "type": p.Type}
}

func listBranchPolicies(k *githubCall) (int, any, error) {
	e, err := k.environment()
	if err != nil {
		return 0, nil, err
	}
	all := []map[string]any{}
	for _, p := range e.Policies {
		all = append(all, p.view())
	}
	return http.StatusOK, map[string]any{"total_count": len(all), "branch_policies": githubPage(k, all)}, nil
}

func createBranchPolicy(k *githubCall) (int, any, error) {
	var in branchPolicy
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	in.Type = or(in.Type, "branch")
	if in.Name == "" || in.Type != "branch" && in.Type != "tag" {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\nname and type branch or tag are needed")
	}
	exists := false
	err := k.changeEnvironment(func(e *githubEnvironment) error {
		if e.Branches == nil || !e.Branches.Custom {
			return githubFault(http.StatusNotFound, "Not Found")
		}
		for _, p := range e.Policies {
			in.ID = max(in.ID, p.ID)
			if p.Name == in.Name && p.Type == in.Type {
				exists, in = true, p
				return nil
			}
		}
		in.ID++
		e.Policies = append(e.Policies, in)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	if exists {
		return http.StatusSeeOther, nil, nil
	}
	return http.StatusOK, in.view(), nil
}

func deleteBranchPolicy(k *githubCall) (int, any, error) {
	return http.StatusNoContent, nil, k.changeEnvironment(func(e *githubEnvironment) error {
		i := slices.IndexFunc(e.Policies, func(p branchPolicy) bool { return strconv.FormatInt(p.ID, 10) == k.names[3] })
		if i < 0 {
			return githubFault(http.StatusNotFound, "Not Found")
		}
		e.Policies = slices.Delete(e.Policies, i, i+1)
		return nil
	})
}

// settingName is what variables and secrets may be called (GitHub docs:
// naming conventions for configuration variables). They have no case.
var settingName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)

func checkSetting(name, value string) (string, error) {
	name = strings.ToUpper(name)
	if !settingName.MatchString(name) || strings.HasPrefix(name, "GITHUB_") {
		return "", githubFault(http.StatusUnprocessableEntity, "Variable or secret names can only contain alphanumeric characters ([a-z], [A-Z], [0-9]) or underscores (_). Spaces are not allowed. Must start with a letter ([a-z], [A-Z]) or underscores (_), and not with GITHUB_")
	}
	if len(value) > mostVariable {
		return "", githubFault(http.StatusUnprocessableEntity, "%s is larger than %d bytes", name, mostVariable)
	}
	return name, nil
}

func (v githubVariable) view() map[string]any {
	return map[string]any{"name": v.Name, "value": v.Value, "created_at": v.Created.Format(time.RFC3339), "updated_at": v.Updated.Format(time.RFC3339)}
}

func listVariables(k *githubCall) (int, any, error) {
	e, err := k.environment()
	if err != nil {
		return 0, nil, err
	}
	all := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(e.Variables)) {
		all = append(all, e.Variables[name].view())
	}
	return http.StatusOK, map[string]any{"total_count": len(all), "variables": githubPage(k, all)}, nil
}

func getVariable(k *githubCall) (int, any, error) {
	e, err := k.environment()
	if err != nil {
		return 0, nil, err
	}
	v, ok := e.Variables[strings.ToUpper(k.names[3])]
	if !ok {
		return 0, nil, githubFault(http.StatusNotFound, "Not Found")
	}
	return http.StatusOK, v.view(), nil
}

type variableInput struct {
	Name  string  `json:"name"`
	Value *string `json:"value"`
}

func createVariable(k *githubCall) (int, any, error) {
	var in variableInput
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	if in.Value == nil {
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "Invalid request.\n\n\"value\" wasn't supplied.")
	}
	name, err := checkSetting(in.Name, *in.Value)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, struct{}{}, k.changeEnvironment(func(e *githubEnvironment) error {
		if _, ok := e.Variables[name]; ok {
			return githubFault(http.StatusConflict, "Already exists - Variable already exists")
		}
		if e.Variables == nil {
			e.Variables = map[string]githubVariable{}
		}
		e.Variables[name] = githubVariable{name, *in.Value, k.at, k.at}
		return nil
	})
}

func updateVariable(k *githubCall) (int, any, error) {
	var in variableInput
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, k.changeEnvironment(func(e *githubEnvironment) error {
		v, ok := e.Variables[strings.ToUpper(k.names[3])]
		if !ok {
			return githubFault(http.StatusNotFound, "Not Found")
		}
		if in.Value == nil {
			return nil
		}
		if _, err := checkSetting(v.Name, *in.Value); err != nil {
			return err
		}
		v.Value, v.Updated = *in.Value, k.at
		e.Variables[v.Name] = v
		return nil
	})
}

func deleteVariable(k *githubCall) (int, any, error) {
	return http.StatusNoContent, nil, k.changeEnvironment(func(e *githubEnvironment) error {
		name := strings.ToUpper(k.names[3])
		if _, ok := e.Variables[name]; !ok {
			return githubFault(http.StatusNotFound, "Not Found")
		}
		delete(e.Variables, name)
		return nil
	})
}

func (s githubSecret) view() map[string]any {
	return map[string]any{"name": s.Name, "created_at": s.Created.Format(time.RFC3339), "updated_at": s.Updated.Format(time.RFC3339)}
}

func listSecrets(k *githubCall) (int, any, error) {
	e, err := k.environment()
	if err != nil {
		return 0, nil, err
	}
	all := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(e.Secrets)) {
		all = append(all, e.Secrets[name].view())
	}
	return http.StatusOK, map[string]any{"total_count": len(all), "secrets": githubPage(k, all)}, nil
}

// listRepoSecrets answers none: the local cloud keeps those of environments.
func listRepoSecrets(*githubCall) (int, any, error) {
	return http.StatusOK, map[string]any{"total_count": 0, "secrets": []any{}}, nil
}

// sealKey is the key that secrets are sealed to. Record: github/seal.
type sealKey struct {
	ID      string `json:"id"`
	Public  []byte `json:"public"`
	Private []byte `json:"private"`
}

const sealRecord = "github/seal"

func (c *Cloud) sealKey() (sealKey, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	var key sealKey
	if c.store.get(sealRecord, &key) {
		return key, nil
	}
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return key, err
	}
	key = sealKey{ID: derivedID(base64.StdEncoding.EncodeToString(public[:])), Public: public[:], Private: private[:]}
	return key, c.store.put(sealRecord, key)
}

func getPublicKey(k *githubCall) (int, any, error) {
	if _, err := k.environment(); err != nil {
		return 0, nil, err
	}
	key, err := k.cloud.sealKey()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]string{"key_id": key.ID, "key": base64.StdEncoding.EncodeToString(key.Public)}, nil
}

// putSecret takes a value that was sealed to our key (libsodium's sealed
// boxes), and looks whether it can be opened.
func putSecret(k *githubCall) (int, any, error) {
	var in struct {
		Sealed string `json:"encrypted_value"`
		KeyID  string `json:"key_id"`
	}
	if err := k.decode(&in); err != nil {
		return 0, nil, err
	}
	key, err := k.cloud.sealKey()
	if err != nil {
		return 0, nil, err
	}
	value, err := key.open(in.Sealed)
	switch {
	case in.KeyID != key.ID:
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "The key_id does not match the public key's: fetch it again")
	case err != nil:
		return 0, nil, githubFault(http.StatusUnprocessableEntity, "encrypted_value %v", err)
	}
	name, err := checkSetting(k.names[3], value)
	if err != nil {
		return 0, nil, err
	}
	status := http.StatusCreated
	err = k.changeEnvironment(func(e *githubEnvironment) error {
		s, ok := e.Secrets[name]
		if ok {
			status = http.StatusNoContent
		} else {
			s = githubSecret{Name: name, Created: k.at}
		}
		s.Sealed, s.Updated = in.Sealed, k.at
		if e.Secrets == nil {
			e.Secrets = map[string]githubSecret{}
		}
		e.Secrets[name] = s
		return nil
	})
	if status == http.StatusNoContent {
		return status, nil, err
	}
	return status, struct{}{}, err
}

func (s sealKey) open(sealed string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(s.Public) != 32 || len(s.Private) != 32 {
		return "", errors.New("is not base64")
	}
	value, ok := box.OpenAnonymous(nil, raw, (*[32]byte)(s.Public), (*[32]byte)(s.Private))
	if !ok {
		return "", errors.New("is not sealed to the public key")
	}
	return string(value), nil
}

func deleteSecret(k *githubCall) (int, any, error) {
	return http.StatusNoContent, nil, k.changeEnvironment(func(e *githubEnvironment) error {
		name := strings.ToUpper(k.names[3])
		if _, ok := e.Secrets[name]; !ok {
			return githubFault(http.StatusNotFound, "Not Found")
		}
		delete(e.Secrets, name)
		return nil
	})
}
