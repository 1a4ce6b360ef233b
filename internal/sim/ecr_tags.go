package sim

import (
	"net/http"
	"slices"
	"strings"
)

// tagInput names a repository by its ARN.
type tagInput struct {
	ARN  string    `json:"resourceArn"`
	Tags []jsonTag `json:"tags"`
	Keys []string  `json:"tagKeys"`
}

// tagInput reads what a call about tags is told, and the repository that it
// names: one of the region that is called, of any account.
func (k *call) tagInput() (tagInput, repositoryInput, error) {
	var in tagInput
	if err := k.decode(&in); err != nil {
		return in, repositoryInput{}, err
	}
	rest, ok := strings.CutPrefix(in.ARN, "arn:aws:ecr:"+k.region+":")
	account, name, found := strings.Cut(rest, ":repository/")
	if !ok || !found {
		return in, repositoryInput{}, ecrInvalid("Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'")
	}
	return in, repositoryInput{RegistryID: account, RepositoryName: name}, nil
}

func (c *Cloud) tagECR(k *call) (any, error) {
	in, on, err := k.tagInput()
	if err != nil {
		return nil, err
	}
	_, err = c.retagRepository(k, on, tagKeys(tagsOf(in.Tags)), func(r *repository) error {
		r.Tags = slices.DeleteFunc(slices.Clone(r.Tags), func(old jsonTag) bool {
			return slices.ContainsFunc(in.Tags, func(t jsonTag) bool { return t.Key == old.Key })
		})
		r.Tags = append(r.Tags, in.Tags...)
		return checkRepositoryTags(r.Tags)
	})
	return map[string]any{}, err
}

// checkRepositoryTags refuses what ECR refuses as a repository's tags.
func checkRepositoryTags(given []jsonTag) error {
	if len(given) > maxTags {
		return faultf(http.StatusBadRequest, "TooManyTagsException", "The list of tags on the repository is over the limit of %d", maxTags)
	}
	for i, t := range given {
		var wrong constraints
		tag(t).check(&wrong, "tags")
		twice := slices.ContainsFunc(given[:i], func(o jsonTag) bool { return o.Key == t.Key })
		if wrong != nil || twice || strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return faultf(http.StatusBadRequest, "InvalidTagParameterException",
				"Invalid tag key '%s': keys are there once, do not begin with aws: and have 1 to 128 characters, values 256 at most", t.Key)
		}
	}
	return nil
}

func (c *Cloud) untagECR(k *call) (any, error) {
	in, on, err := k.tagInput()
	if err != nil {
		return nil, err
	}
	_, err = c.retagRepository(k, on, untagKeys(in.Keys), func(r *repository) error {
		r.Tags = slices.DeleteFunc(slices.Clone(r.Tags), func(t jsonTag) bool { return slices.Contains(in.Keys, t.Key) })
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
		tags = []jsonTag{}
	}
	return map[string]any{"tags": tags}, nil
}
