package sim

import (
	"errors"
	"slices"

	"github.com/slipway-cd/slipway/internal/trust"
)

// resourceBased is the layer of a repository's own policy.
const resourceBased trust.Layer = "resource-based policy"

// mayUseRepository asks whether the asker may do action on a repository. In its
// own account either its policies or the repository's have to allow it, in
// another's both (ECR user guide, "Private repository policies"; IAM user
// guide, "Cross-account policy evaluation logic"). A repository that is not
// there has no policy: strangers do not learn which there are.
func (c *Cloud) mayUseRepository(a asker, g registryID, action, name string, more keys) error {
	action, resource := "ecr:"+action, g.arn(name)
	if r, err := c.loadRepository(g, name); err == nil {
		more = more.joined(resourceTags(r.tags(), "ecr:ResourceTag"))
	}
	v, err := c.judgeRepository(a, g, name, trust.Request{Action: action, Resource: resource, Context: more})
	return a.settle(action, resource, resource, v, err)
}

func (c *Cloud) judgeRepository(a asker, g registryID, name string, r trust.Request) (trust.Verdict, error) {
	h, err := c.holder(a.principal)
	if err != nil {
		return trust.Verdict{Layer: trust.IdentityBased, Statement: -1}, err
	}
	r.Context = a.context(h, r.Resource, r.Context)
	own, theirs := h.grants.Authorize(r), trust.Verdict{Layer: resourceBased, Statement: -1}
	if document, ok := c.repositoryPolicy(g, name); ok {
		policy, err := c.policies.read("of repository "+name, document)
		if err != nil {
			return theirs, err
		}
		theirs = judgeAttached(policy, []string{h.arn, a.principal.arn}, r)
	}
	switch {
	case own.Explicit:
		return own, nil
	case theirs.Explicit:
		return theirs, nil
	case a.principal.account != g.account && own.Allowed:
		return theirs, nil
	case a.principal.account == g.account && theirs.Allowed && own.Layer == trust.IdentityBased && !own.Allowed:
		return withinCeilings(h.grants, theirs, r), nil
	}
	return own, nil
}

// judgeAttached evaluates a policy that is attached to a resource, for a
// principal that has several names: a session's, and its role's.
func judgeAttached(policy trust.Named, names []string, r trust.Request) trust.Verdict {
	v := trust.Verdict{Layer: resourceBased, Statement: -1}
	for _, name := range slices.Compact(names) {
		r.Principal = trust.Principal{Kind: trust.AWS, Value: name}
		d := policy.Policy.Evaluate(r)
		switch {
		case d.Denied():
			return trust.Verdict{Explicit: true, Layer: resourceBased, Policy: policy.Name, Statement: d.Statement, Sid: d.Sid}
		case d.Allowed && !v.Allowed:
			v = trust.Verdict{Allowed: true, Layer: resourceBased, Policy: policy.Name, Statement: d.Statement, Sid: d.Sid}
		case !v.Allowed && v.Misses == nil:
			v.Misses = []trust.PolicyMiss{{Policy: policy.Name, Misses: d.Misses}}
		}
	}
	return v
}

// withinCeilings is a resource's Allow, unless the boundary or the session's
// policy does not allow as much.
func withinCeilings(g trust.Grants, allowed trust.Verdict, r trust.Request) trust.Verdict {
	g.Identity = []trust.Named{{Policy: trust.Policy{Statements: []trust.Statement{
		{Effect: trust.Allow, Actions: []string{"*"}, Resources: []string{"*"}}}}}}
	if v := g.Authorize(r); !v.Allowed {
		return v
	}
	return allowed
}

// mayPull asks for what the pull of an image needs. An image elsewhere than in
// ECR is refused by whoever looks for it.
func (c *Cloud) mayPull(a asker, uri string) error {
	denied := c.allowed(a, "ecr:GetAuthorizationToken", "*", nil)
	g, name, ok := imageRepository(uri)
	if !ok {
		return denied
	}
	for _, action := range []string{"BatchGetImage", "GetDownloadUrlForLayer"} {
		denied = errors.Join(denied, c.mayUseRepository(a, g, action, name, nil))
	}
	return denied
}

// imageRepository is the repository of an image in ECR.
func imageRepository(uri string) (g registryID, name string, ok bool) {
	match := imageURIPattern.FindStringSubmatch(uri)
	if match == nil {
		return g, "", false
	}
	return registryID{account: match[1], region: match[2]}, match[3], true
}

// tags are the repository's, as condition keys have them.
func (r *repository) tags() []tag { return tagsOf(r.Tags) }

// jsonTag is a tag as the JSON services write it.
type jsonTag struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
}

func tagsOf(given []jsonTag) []tag {
	var tags []tag
	for _, t := range given {
		tags = append(tags, tag(t))
	}
	return tags
}
