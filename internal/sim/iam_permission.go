package sim

import (
	"strings"

	"github.com/slipway-cd/slipway/internal/trust"
)

// iamResource is what an IAM operation acts on.
type iamResource struct {
	arn   string
	shown string // as a denial names it, where that is not the ARN
	more  keys
}

// mayIAM asks whether the caller may do what it asks of IAM, before the
// operation looks at anything: by what the call names, whether it exists or
// not. IAM is a global service: its region is us-east-1 (IAM user guide,
// aws:RequestedRegion).
func (c *Cloud) mayIAM(k *call) error {
	on := c.iamResourceOf(k)
	k.resource = on.arn
	a := k.asker()
	a.region = "us-east-1"
	tags := tagsOfForm(k)
	on.more = on.more.joined(tagKeys(tags)).joined(untagKeys(readList(k.form, "TagKeys")))
	actions := []string{"iam:" + k.op.name}
	if kind, creates := strings.CutPrefix(k.op.name, "Create"); creates && len(tags) > 0 {
		actions = append(actions, "iam:Tag"+kind) // IAM user guide, "Tags for IAM resources"
	}
	for _, action := range actions {
		v, err := c.judge(a, action, on.arn, on.more)
		if err := a.settle(action, on.arn, or(on.shown, on.arn), v, err); err != nil {
			return err
		}
	}
	return nil
}

// tagsOfForm reads the tags of a call; the operation refuses bad ones.
func tagsOfForm(k *call) []tag {
	tags, err := readTags(k.form, exactly)
	if err != nil {
		return nil
	}
	return tags
}

// iamResourceOf finds the resource by the operation's parameters, as the
// Service Authorization Reference has it.
func (c *Cloud) iamResourceOf(k *call) iamResource {
	prefix := "arn:aws:iam::" + k.account + ":"
	under := func(kind string) iamResource {
		return iamResource{arn: prefix + kind + or(k.form.Get("PathPrefix"), "/")}
	}
	switch k.op.name {
	case "CreateRole":
		arn := prefix + "role" + or(k.form.Get("Path"), "/") + k.form.Get("RoleName")
		return iamResource{arn: arn, more: boundaryKeys(k.form.Get("PermissionsBoundary"))}
	case "CreatePolicy":
		name := k.form.Get("PolicyName")
		return iamResource{arn: prefix + "policy" + or(k.form.Get("Path"), "/") + name, shown: "policy " + name}
	case "CreateOpenIDConnectProvider":
		return iamResource{arn: trust.ProviderARN(k.account, k.form.Get("Url"))}
	case "CreateServiceLinkedRole":
		service := k.form.Get("AWSServiceName")
		return iamResource{arn: prefix + "role/aws-service-role/" + service + "/" + or(linked()[service], "*"), more: keys{"iam:AWSServiceName": {service}}}
	case "ListRoles":
		return under("role")
	case "ListPolicies":
		on := under("policy")
		on.shown = "policy path " + or(k.form.Get("PathPrefix"), "/")
		return on
	case "ListOpenIDConnectProviders":
		return iamResource{arn: prefix + "oidc-provider/*"}
	}
	return c.iamNamed(k)
}

// iamNamed finds the resource of an operation on one that exists, or should. A
// call that names none is not let through by less than everything.
func (c *Cloud) iamNamed(k *call) iamResource {
	switch {
	case k.form.Has("RoleName"):
		return c.iamRole(k)
	case k.form.Has("OpenIDConnectProviderArn"):
		return iamResource{arn: k.form.Get("OpenIDConnectProviderArn")}
	case k.form.Has("PolicyArn"):
		arn := k.form.Get("PolicyArn")
		return iamResource{arn: arn, shown: "policy " + arn}
	}
	return iamResource{arn: "arn:aws:iam::" + k.account + ":*"}
}

// iamRole is the role that a call names. A policy that is attached is a
// condition key, and so is the boundary: the one that the call brings, or for
// changes of permissions the one that the role has (IAM user guide,
// iam:PermissionsBoundary).
func (c *Cloud) iamRole(k *call) iamResource {
	name := k.form.Get("RoleName")
	on := iamResource{arn: "arn:aws:iam::" + k.account + ":role/" + name, shown: "role " + name}
	if r, ok := shared[role](c.store, roleKey(k.account, name)); ok {
		on.arn = r.ARN()
		on.more = resourceTags(r.Tags, "iam:ResourceTag")
		if strings.HasSuffix(k.op.name, "RolePolicy") || k.op.name == "DeleteRolePermissionsBoundary" {
			on.more = on.more.joined(boundaryKeys(r.Boundary))
		}
	}
	if policy := k.form.Get("PolicyArn"); policy != "" {
		on.more = on.more.joined(keys{"iam:PolicyARN": {policy}})
	}
	on.more = on.more.joined(boundaryKeys(k.form.Get("PermissionsBoundary")))
	return on
}

func boundaryKeys(arn string) keys {
	if arn == "" {
		return nil
	}
	return keys{"iam:PermissionsBoundary": {arn}}
}
