package sim

import (
	"net/http"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/trust"
)

// maxRepositoryPolicy is in characters (ECR user guide: service quotas).
const maxRepositoryPolicy = 10240

// repositoryPolicy is the policy of a repository, where it has one.
func (c *Cloud) repositoryPolicy(g registryID, name string) (document string, ok bool) {
	r, err := c.loadRepository(g, name)
	if err != nil || r.Policy == "" {
		return "", false
	}
	return r.Policy, true
}

// changeRepository applies change to the repository that a call names, keeps
// it, and returns it.
func (c *Cloud) changeRepository(k *call, in repositoryInput, change func(*repository) error) (*repository, error) {
	return c.retagRepository(k, in, nil, change)
}

// retagRepository is changeRepository for an operation on tags: more are what
// policies are told of them.
func (c *Cloud) retagRepository(k *call, in repositoryInput, more keys, change func(*repository) error) (*repository, error) {
	g, err := c.targetTagged(k, in, more)
	if err != nil {
		return nil, err
	}
	c.ecr.mu.Lock()
	defer c.ecr.mu.Unlock()
	r, err := c.loadRepository(g, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if err := change(r); err != nil {
		return nil, err
	}
	return r, c.saveRepository(r)
}

// repositoryNamed reads the repository that a call names.
func (c *Cloud) repositoryNamed(k *call, in repositoryInput) (*repository, error) {
	g, err := c.target(k, in)
	if err != nil {
		return nil, err
	}
	return c.loadRepository(g, in.RepositoryName)
}

// about is the beginning of every answer about a repository's documents.
func (r *repository) about(more map[string]any) map[string]any {
	answer := map[string]any{"registryId": r.registry.account, "repositoryName": r.Name}
	for name, value := range more {
		answer[name] = value
	}
	return answer
}

func (c *Cloud) setRepositoryPolicy(k *call) (any, error) {
	var in struct {
		repositoryInput
		PolicyText string `json:"policyText"`
		Force      bool   `json:"force"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	r, err := c.changeRepository(k, in.repositoryInput, func(r *repository) error {
		if err := checkRepositoryPolicy(in.PolicyText); err != nil {
			return err
		}
		r.Policy = printed(in.PolicyText)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r.about(map[string]any{"policyText": r.Policy}), nil
}

// checkRepositoryPolicy refuses what ECR refuses: a document that is none, or
// one that names a resource, or what can be no principal. ECR also looks whether
// a principal exists; the local cloud does not.
func checkRepositoryPolicy(text string) error {
	invalid := ecrInvalid("Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'")
	if len(text) > maxRepositoryPolicy {
		return ecrInvalid("Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Member must have length less than or equal to %d'", maxRepositoryPolicy)
	}
	policy, err := trust.Parse([]byte(text))
	if err != nil {
		invalid.why = err.Error()
		return invalid
	}
	for _, s := range policy.Statements {
		foreign := slices.ContainsFunc(slices.Concat(s.Actions, s.NotActions), func(a string) bool {
			return a != "*" && !strings.HasPrefix(strings.ToLower(a), "ecr:")
		})
		if s.Principals == nil || s.Resources != nil || s.NotResources != nil || foreign || slices.ContainsFunc(s.Principals, impossible) {
			return invalid
		}
	}
	return nil
}

// impossible says whether a principal has not the form of its kind.
func impossible(p trust.Principal) bool {
	form := principalForm(p.Kind)
	return form != nil && !form.MatchString(p.Value)
}

func (r *repository) noPolicy() error {
	return faultf(http.StatusBadRequest, "RepositoryPolicyNotFoundException",
		"Repository policy does not exist for the repository with name '%s' in the registry with id '%s'", r.Name, r.registry.account)
}

func (c *Cloud) getRepositoryPolicy(k *call) (any, error) {
	var in repositoryInput
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	r, err := c.repositoryNamed(k, in)
	if err != nil {
		return nil, err
	}
	if r.Policy == "" {
		return nil, r.noPolicy()
	}
	return r.about(map[string]any{"policyText": r.Policy}), nil
}

func (c *Cloud) deleteRepositoryPolicy(k *call) (any, error) {
	var in repositoryInput
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	var gone string
	r, err := c.changeRepository(k, in, func(r *repository) error {
		if r.Policy == "" {
			return r.noPolicy()
		}
		gone, r.Policy = r.Policy, ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r.about(map[string]any{"policyText": gone}), nil
}
