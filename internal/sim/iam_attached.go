package sim

import (
	"net/http"
	"slices"
	"strings"
)

// maxAttached is IAM's default quota of managed policies of a role.
const maxAttached = 10

// What IAM says of a policy that is to be attached, or to bound, and is not there.
const (
	notAttachable = "Policy %s does not exist or is not attachable."
	noBoundary    = "Scope ARN: %s does not exist or is not attachable."
)

func (c *Cloud) attachRolePolicy(k *call) (any, error) {
	return c.changeRole(k, func(r *role) error {
		p, err := c.policyOf(k, "PolicyArn", notAttachable)
		if err != nil || slices.Contains(r.Attached, p.ARN()) {
			return err
		}
		if len(r.Attached) >= maxAttached {
			return faultf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: %d", maxAttached)
		}
		r.Attached = append(slices.Clone(r.Attached), p.ARN())
		return nil
	})
}

func (c *Cloud) detachRolePolicy(k *call) (any, error) {
	return c.changeRole(k, func(r *role) error {
		arn, err := policyARN(k, "PolicyArn")
		if err != nil {
			return err
		}
		i := slices.Index(r.Attached, arn)
		if i < 0 {
			return noSuchManaged(arn)
		}
		r.Attached = slices.Delete(slices.Clone(r.Attached), i, i+1)
		return nil
	})
}

func (c *Cloud) listAttachedRolePolicies(k *call) (any, error) {
	type attached struct{ PolicyName, PolicyArn string }
	r, err := c.roleOf(k)
	if err != nil {
		return nil, err
	}
	var all []attached
	for _, arn := range slices.Sorted(slices.Values(r.Attached)) {
		path, name := pathOf(arn)
		if strings.HasPrefix(path, k.form.Get("PathPrefix")) {
			all = append(all, attached{name, arn})
		}
	}
	page, marker, err := paginate(k.form, all, func(a attached) string { return a.PolicyArn })
	if err != nil {
		return nil, err
	}
	return struct {
		AttachedPolicies xmlList[attached]
		IsTruncated      bool
		Marker           string `xml:",omitempty"`
	}{xmlList[attached]{page}, marker != "", marker}, nil
}

// pathOf are the path and the name of a managed policy, by its ARN.
func pathOf(arn string) (path, name string) {
	_, path, _ = strings.Cut(arn, ":policy")
	i := strings.LastIndexByte(path, '/') + 1
	return path[:i], path[i:]
}

func (c *Cloud) putBoundary(k *call) (any, error) {
	return c.changeRole(k, func(r *role) error {
		p, err := c.policyOf(k, "PermissionsBoundary", noBoundary)
		if err != nil {
			return err
		}
		r.Boundary = p.ARN()
		return nil
	})
}

func (c *Cloud) deleteBoundary(k *call) (any, error) {
	return c.changeRole(k, func(r *role) error {
		if r.Boundary == "" {
			return faultf(http.StatusNotFound, "NoSuchEntity", "Role %s does not have a permissions boundary.", r.Name)
		}
		r.Boundary = ""
		return nil
	})
}
