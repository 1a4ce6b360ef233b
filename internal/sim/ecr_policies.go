package sim

import (
	"net/http"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/trust"
)

// A repository's documents: who else may use it, and what ECR deletes by
// itself. The local cloud judges by the former, and keeps the latter without
// carrying it out: a rehearsal must not lose images to the clock.

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
	g, err := c.target(k, in)
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
		r.Policy = in.PolicyText
		return checkRepositoryPolicy(in.PolicyText)
	})
	if err != nil {
		return nil, err
	}
	return r.about(map[string]any{"policyText": r.Policy}), nil
}

// checkRepositoryPolicy refuses what ECR refuses: a document that is none, or
// one that names a resource. It also looks whether a principal exists; the
// local cloud does not.
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
		if s.Principals == nil || s.Resources != nil || s.NotResources != nil || foreign {
			return invalid
		}
	}
	return nil
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

// lifecyclePolicy is a repository's rules as ECR documents them (ECR user
// guide: lifecycle policy properties).
type lifecyclePolicy struct {
	Rules []lifecycleRule `json:"rules"`
}

type lifecycleRule struct {
	Priority    *int   `json:"rulePriority"`
	Description string `json:"description"`
	Selection   struct {
		TagStatus    string   `json:"tagStatus"`
		TagPrefixes  []string `json:"tagPrefixList"`
		TagPatterns  []string `json:"tagPatternList"`
		StorageClass string   `json:"storageClass"`
		CountType    string   `json:"countType"`
		CountUnit    string   `json:"countUnit"`
		CountNumber  *int     `json:"countNumber"`
	} `json:"selection"`
	Action struct {
		Type   string `json:"type"`
		Target string `json:"targetStorageClass"`
	} `json:"action"`
}

// checkLifecycle refuses what ECR refuses as a lifecycle policy.
func checkLifecycle(text string) error {
	invalid := func(format string, args ...any) error {
		return ecrInvalid("Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: "+format+"'", args...)
	}
	if len(text) < 100 || len(text) > 30720 {
		return ecrInvalid("Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Member must have length between 100 and 30720'")
	}
	var p lifecyclePolicy
	if err := exact([]byte(text), &p); err != nil {
		return invalid("%v", err)
	}
	if len(p.Rules) == 0 || len(p.Rules) > 50 {
		return invalid("a policy has 1 to 50 rules")
	}
	highest, seen := 0, map[int]bool{}
	for _, r := range p.Rules {
		if problem := r.problem(); problem != "" {
			return invalid("%s", problem)
		}
		if seen[*r.Priority] {
			return invalid("rulePriority %d is used twice", *r.Priority)
		}
		seen[*r.Priority] = true
		highest = max(highest, *r.Priority)
	}
	for _, r := range p.Rules {
		if r.Selection.TagStatus == "any" && *r.Priority != highest {
			return invalid("a rule with tagStatus any has to have the highest rulePriority")
		}
	}
	return nil
}

func (r lifecycleRule) problem() string {
	s := r.Selection
	tags := len(s.TagPrefixes) + len(s.TagPatterns)
	switch {
	case r.Priority == nil || *r.Priority < 1:
		return "rulePriority has to be 1 or more"
	case !slices.Contains([]string{"tagged", "untagged", "any"}, s.TagStatus):
		return "tagStatus is one of tagged, untagged, any"
	case s.TagStatus == "tagged" && (tags == 0 || len(s.TagPrefixes) > 0 && len(s.TagPatterns) > 0):
		return "tagStatus tagged needs one of tagPrefixList and tagPatternList"
	case s.TagStatus != "tagged" && tags > 0:
		return "tagPrefixList and tagPatternList belong to tagStatus tagged"
	case s.CountNumber == nil || *s.CountNumber < 1:
		return "countNumber has to be 1 or more"
	case s.CountType == "imageCountMoreThan" && s.CountUnit != "":
		return "countUnit does not belong to imageCountMoreThan"
	case s.CountType == "sinceImagePushed" && s.CountUnit != "days":
		return "sinceImagePushed needs countUnit days"
	case s.CountType != "imageCountMoreThan" && s.CountType != "sinceImagePushed":
		return "the local cloud knows the countType imageCountMoreThan and sinceImagePushed"
	case r.Action.Type != "expire" || r.Action.Target != "":
		return "the local cloud knows the action expire alone"
	}
	return ""
}

func (r *repository) noLifecycle() error {
	return faultf(http.StatusBadRequest, "LifecyclePolicyNotFoundException",
		"Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", r.Name, r.registry.account)
}

func (c *Cloud) putLifecyclePolicy(k *call) (any, error) {
	var in struct {
		repositoryInput
		Text string `json:"lifecyclePolicyText"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	r, err := c.changeRepository(k, in.repositoryInput, func(r *repository) error {
		r.Lifecycle = in.Text
		return checkLifecycle(in.Text)
	})
	if err != nil {
		return nil, err
	}
	return r.about(map[string]any{"lifecyclePolicyText": r.Lifecycle}), nil
}

func (c *Cloud) getLifecyclePolicy(k *call) (any, error) {
	var in repositoryInput
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	r, err := c.repositoryNamed(k, in)
	if err != nil {
		return nil, err
	}
	if r.Lifecycle == "" {
		return nil, r.noLifecycle()
	}
	// lastEvaluatedAt is when rules were last carried out: never, here.
	return r.about(map[string]any{"lifecyclePolicyText": r.Lifecycle, "lastEvaluatedAt": 0}), nil
}

func (c *Cloud) deleteLifecyclePolicy(k *call) (any, error) {
	var in repositoryInput
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	var gone string
	r, err := c.changeRepository(k, in, func(r *repository) error {
		if r.Lifecycle == "" {
			return r.noLifecycle()
		}
		gone, r.Lifecycle = r.Lifecycle, ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r.about(map[string]any{"lifecyclePolicyText": gone, "lastEvaluatedAt": 0}), nil
}

func (c *Cloud) putImageScanning(k *call) (any, error) {
	var in struct {
		repositoryInput
		Scanning *struct {
			ScanOnPush bool `json:"scanOnPush"`
		} `json:"imageScanningConfiguration"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	if in.Scanning == nil {
		return nil, ecrInvalid("Invalid parameter at 'imageScanningConfiguration' failed to satisfy constraint: 'Member must not be null'")
	}
	r, err := c.changeRepository(k, in.repositoryInput, func(r *repository) error {
		r.ScanOnPush = in.Scanning.ScanOnPush
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r.about(map[string]any{"imageScanningConfiguration": map[string]any{"scanOnPush": r.ScanOnPush}}), nil
}

// tagInput names a repository by its ARN.
type tagInput struct {
	ARN  string           `json:"resourceArn"`
	Tags []map[string]any `json:"tags"`
	Keys []string         `json:"tagKeys"`
}

func (k *call) tagInput() (tagInput, repositoryInput, error) {
	var in tagInput
	if err := k.decode(&in); err != nil {
		return in, repositoryInput{}, err
	}
	parts := strings.SplitN(in.ARN, ":", 6)
	if len(parts) < 6 || parts[2] != "ecr" || !strings.HasPrefix(parts[5], "repository/") {
		return in, repositoryInput{}, ecrInvalid("Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'")
	}
	return in, repositoryInput{RegistryID: parts[4], RepositoryName: strings.TrimPrefix(parts[5], "repository/")}, nil
}

func tagKey(t map[string]any) string {
	key, _ := t["Key"].(string)
	return key
}

func (c *Cloud) tagECR(k *call) (any, error) {
	in, on, err := k.tagInput()
	if err != nil {
		return nil, err
	}
	_, err = c.changeRepository(k, on, func(r *repository) error {
		tags := slices.Clone(r.Tags)
		for _, t := range in.Tags {
			tags = slices.DeleteFunc(tags, func(o map[string]any) bool { return tagKey(o) == tagKey(t) })
			tags = append(tags, t)
		}
		r.Tags = tags
		if len(tags) > 50 {
			return faultf(http.StatusBadRequest, "TooManyTagsException", "The list of tags on the repository is over the limit of 50")
		}
		return nil
	})
	return map[string]any{}, err
}

func (c *Cloud) untagECR(k *call) (any, error) {
	in, on, err := k.tagInput()
	if err != nil {
		return nil, err
	}
	_, err = c.changeRepository(k, on, func(r *repository) error {
		r.Tags = slices.DeleteFunc(slices.Clone(r.Tags), func(t map[string]any) bool { return slices.Contains(in.Keys, tagKey(t)) })
		return nil
	})
	return map[string]any{}, err
}

func (c *Cloud) listTagsECR(k *call) (any, error) {
	_, on, err := k.tagInput()
	if err != nil {
		return nil, err
	}
	r, err := c.repositoryNamed(k, on)
	if err != nil {
		return nil, err
	}
	tags := r.Tags
	if tags == nil {
		tags = []map[string]any{}
	}
	return map[string]any{"tags": tags}, nil
}
