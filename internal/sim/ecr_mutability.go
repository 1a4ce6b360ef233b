package sim

import (
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// maxExclusionFilters is PutImageTagMutability's limit.
const maxExclusionFilters = 5

var filterPattern = pattern.New(`^[0-9a-zA-Z._*-]{1,128}$`)

type exclusionFilter struct {
	FilterType string `json:"filterType"`
	Filter     string `json:"filter"`
}

func (c *Cloud) putImageTagMutability(k *call) (any, error) {
	var in struct {
		repositoryInput
		Mutability string            `json:"imageTagMutability"`
		Filters    []exclusionFilter `json:"imageTagMutabilityExclusionFilters"`
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	g, err := c.target(k, in.repositoryInput)
	if err != nil {
		return nil, err
	}
	if err := checkMutability(in.Mutability, in.Filters); err != nil {
		return nil, err
	}
	c.ecr.mu.Lock()
	defer c.ecr.mu.Unlock()
	r, err := c.loadRepository(g, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	r.Mutability, r.Filters = in.Mutability, in.Filters
	if err := c.saveRepository(r); err != nil {
		return nil, err
	}
	answer := map[string]any{"registryId": g.account, "repositoryName": r.Name, "imageTagMutability": r.Mutability}
	if len(r.Filters) > 0 {
		answer["imageTagMutabilityExclusionFilters"] = r.Filters
	}
	return answer, nil
}

// checkMutability: filters belong to the two settings with exclusion, 1 to 5
// of them (API_PutImageTagMutability).
func checkMutability(mutability string, filters []exclusionFilter) error {
	exclusion := strings.HasSuffix(mutability, "_WITH_EXCLUSION")
	switch mutability {
	case "MUTABLE", "IMMUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION":
	default:
		return ecrInvalid("Invalid parameter at 'imageTagMutability' failed to satisfy constraint: 'Member must satisfy enum value set: [IMMUTABLE_WITH_EXCLUSION, MUTABLE, IMMUTABLE, MUTABLE_WITH_EXCLUSION]'")
	}
	switch {
	case exclusion && (len(filters) == 0 || len(filters) > maxExclusionFilters):
		return ecrInvalid("Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'Member must have length between 1 and %d'", maxExclusionFilters)
	case !exclusion && len(filters) > 0:
		return ecrInvalid("Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'exclusion filters can't be used with %s'", mutability)
	}
	for _, f := range filters {
		if f.FilterType != "WILDCARD" || !filterPattern.MatchString(f.Filter) {
			return ecrInvalid("Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'must be of type WILDCARD and satisfy regular expression '^[0-9a-zA-Z._*-]{1,128}$''")
		}
	}
	return nil
}

// immutable says whether a tag may not move.
func (r *repository) immutable(tag string) bool {
	immutable := strings.HasPrefix(r.Mutability, "IMMUTABLE")
	for _, f := range r.Filters {
		if matchWildcard(f.Filter, tag) {
			return !immutable
		}
	}
	return immutable
}

// matchWildcard matches a whole tag; * stands for any characters, none too.
func matchWildcard(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(s, first) || len(s) < len(first)+len(last) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}
