package sim

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// What ECR deletes by itself. The local cloud checks the rules and keeps them
// without carrying them out: a rehearsal must not lose images to the clock.

// lifecyclePolicy is a repository's rules as ECR documents them (ECR user
// guide, "Lifecycle policy properties"), and in its order.
type lifecyclePolicy struct {
	Rules []lifecycleRule `json:"rules"`
}

type lifecycleRule struct {
	Priority    int     `json:"rulePriority"`
	Description *string `json:"description,omitempty"`
	Selection   struct {
		TagStatus    string   `json:"tagStatus"`
		TagPrefixes  []string `json:"tagPrefixList,omitempty"`
		TagPatterns  []string `json:"tagPatternList,omitempty"`
		StorageClass string   `json:"storageClass,omitempty"`
		CountType    string   `json:"countType"`
		CountUnit    string   `json:"countUnit,omitempty"`
		CountNumber  int      `json:"countNumber"`
	} `json:"selection"`
	Action struct {
		Type   string `json:"type"`
		Target string `json:"targetStorageClass,omitempty"`
	} `json:"action"`
}

// readLifecycle refuses what ECR refuses as a lifecycle policy, and returns it
// as ECR gives it back: in one line, its rules by priority.
func readLifecycle(text string) (string, error) {
	invalid := func(format string, args ...any) error {
		return ecrInvalid("Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: "+format+"'", args...)
	}
	if len(text) < 100 || len(text) > 30720 {
		return "", ecrInvalid("Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Member must have length between 100 and 30720'")
	}
	var p lifecyclePolicy
	if err := exact([]byte(text), &p); err != nil {
		return "", invalid("%v", err)
	}
	if len(p.Rules) == 0 || len(p.Rules) > 50 {
		return "", invalid("a policy has 1 to 50 rules")
	}
	for _, r := range p.Rules {
		if problem := r.problem(); problem != "" {
			return "", invalid("%s", problem)
		}
	}
	if !sameMembers(text, oneLine(p)) {
		return "", invalid("instance failed to match exactly one schema")
	}
	slices.SortFunc(p.Rules, func(a, b lifecycleRule) int { return a.Priority - b.Priority })
	for i, r := range p.Rules[1:] {
		if r.Priority == p.Rules[i].Priority {
			return "", invalid("rulePriority %d is used twice", r.Priority)
		}
		if p.Rules[i].Selection.TagStatus == "any" {
			return "", invalid("a rule with tagStatus any has to have the highest rulePriority")
		}
	}
	return oneLine(p), nil
}

// sameMembers says whether two texts are one JSON object. Written anew, a
// document loses what its type does not know: a member of another name or case,
// null, one that is there twice.
func sameMembers(given, anew string) bool {
	one, err := strictObject([]byte(given))
	if err != nil {
		return false
	}
	other, err := strictObject([]byte(anew))
	return err == nil && reflect.DeepEqual(one, other)
}

func (r lifecycleRule) problem() string {
	s := r.Selection
	tags := len(s.TagPrefixes) + len(s.TagPatterns)
	switch {
	case r.Priority < 1:
		return "rulePriority has to be 1 or more"
	case !slices.Contains([]string{"tagged", "untagged", "any"}, s.TagStatus):
		return "tagStatus is one of tagged, untagged, any"
	case s.TagStatus == "tagged" && (tags == 0 || len(s.TagPrefixes) > 0 && len(s.TagPatterns) > 0):
		return "tagStatus tagged needs one of tagPrefixList and tagPatternList"
	case s.TagStatus != "tagged" && tags > 0:
		return "tagPrefixList and tagPatternList belong to tagStatus tagged"
	case slices.ContainsFunc(s.TagPatterns, func(p string) bool { return strings.Count(p, "*") > 4 }):
		return "a string of tagPatternList has four wildcards at most"
	case s.CountNumber < 1:
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
	r, err := c.changeRepository(k, in.repositoryInput, func(r *repository) (err error) {
		r.Lifecycle, err = readLifecycle(in.Text)
		return err
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
