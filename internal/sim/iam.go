package sim

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/pattern"
	"github.com/slipway-cd/slipway/internal/trust"
)

// IAM here is providers, roles, their policies and boundaries. Not modelled:
// users and groups beyond each account's administrator, and IAM's eventual
// consistency: what is written here holds at once.

// role is an IAM role. Record: iam/<account>/role/<lower-case name>, since
// names are unique without regard to case.
type role struct {
	Account     string        `json:"account"`
	Name        string        `json:"name"`
	Path        string        `json:"path"`
	ID          string        `json:"id"`
	Description string        `json:"description,omitempty"`
	Trust       string        `json:"trust"` // the document, as given
	MaxSession  time.Duration `json:"max_session"`
	Created     time.Time     `json:"created"`
	Tags        []tag         `json:"tags,omitempty"`
	// Policies are the inline policies by name.
	Policies map[string]string `json:"policies,omitempty"`
	// Attached are the ARNs of managed policies; Boundary is that of the
	// permissions boundary, "" for none.
	Attached []string `json:"attached,omitempty"`
	Boundary string   `json:"boundary,omitempty"`
}

// ARN of the role, its path included.
func (r role) ARN() string { return "arn:aws:iam::" + r.Account + ":role" + r.Path + r.Name }

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// xmlList is a list as the Query protocol writes it, present when empty too.
type xmlList[T any] struct {
	Member []T `xml:"member"`
}

func (c *Cloud) iamOperations() map[string]func(*call) (any, error) {
	return map[string]func(*call) (any, error){
		"CreateOpenIDConnectProvider":        c.createProvider,
		"GetOpenIDConnectProvider":           c.getProvider,
		"ListOpenIDConnectProviders":         c.listProviders,
		"AddClientIDToOpenIDConnectProvider": c.addClientID,
		"DeleteOpenIDConnectProvider":        c.deleteProvider,
		"CreateRole":                         c.createRole,
		"GetRole":                            c.getRole,
		"ListRoles":                          c.listRoles,
		"UpdateAssumeRolePolicy":             c.updateTrust,
		"DeleteRole":                         c.deleteRole,
		"PutRolePolicy":                      c.putRolePolicy,
		"GetRolePolicy":                      c.getRolePolicy,
		"ListRolePolicies":                   c.listRolePolicies,
		"DeleteRolePolicy":                   c.deleteRolePolicy,
		"ListAttachedRolePolicies":           c.listAttachedRolePolicies,
		"AttachRolePolicy":                   c.attachRolePolicy,
		"DetachRolePolicy":                   c.detachRolePolicy,
		"PutRolePermissionsBoundary":         c.putBoundary,
		"DeleteRolePermissionsBoundary":      c.deleteBoundary,
		"UpdateRole":                         c.updateRole,
		"TagRole":                            c.tagRole,
		"UntagRole":                          c.untagRole,
		"ListRoleTags":                       c.listRoleTags,
		"CreateServiceLinkedRole":            c.createServiceLinkedRole,
		"CreatePolicy":                       c.createPolicy,
		"GetPolicy":                          c.getPolicy,
		"ListPolicies":                       c.listPolicies,
		"DeletePolicy":                       c.deletePolicy,
		"CreatePolicyVersion":                c.createPolicyVersion,
		"GetPolicyVersion":                   c.getPolicyVersion,
		"ListPolicyVersions":                 c.listPolicyVersions,
		"SetDefaultPolicyVersion":            c.setDefaultPolicyVersion,
		"DeletePolicyVersion":                c.deletePolicyVersion,
		"TagOpenIDConnectProvider":           c.tagProvider,
	}
}

var (
	iamName = pattern.New(`^[\w+=,.@-]+$`)
	iamPath = pattern.New(`^(/|/[\x21-\x7e]+/)$`)
)

// maxRoles is IAM's default quota of roles in an account.
const maxRoles = 1000

func roleKey(account, name string) string {
	return "iam/" + account + "/role/" + strings.ToLower(name)
}

// findRole finds a role by its exact name.
func (c *Cloud) findRole(account, name string) (role, bool) {
	var r role
	ok := c.store.get(roleKey(account, name), &r) && r.Name == name
	return r, ok
}

// roleOf finds the role that a call names in RoleName.
func (c *Cloud) roleOf(k *call) (role, error) {
	name := k.form.Get("RoleName")
	var wrong constraints
	wrong.length("roleName", name, 1, 64)
	wrong.pattern("roleName", name, iamName, `[\w+=,.@-]+`)
	if err := wrong.fault(); err != nil {
		return role{}, err
	}
	var r role
	if !c.store.get(roleKey(k.account, name), &r) {
		k.resource = "arn:aws:iam::" + k.account + ":role/" + name
		return r, faultf(http.StatusNotFound, "NoSuchEntity", "The role with name %s cannot be found.", name)
	}
	k.resource = r.ARN()
	return r, nil
}

// changeRole applies change to the role that the call names and keeps it. A
// service's role is nobody else's to change, but for its tags.
func (c *Cloud) changeRole(k *call, change func(*role) error) (any, error) {
	return c.editRole(k, func(r *role) error {
		if r.linkedRole() {
			return r.protected()
		}
		return change(r)
	})
}

// editRole is changeRole for the roles of services too.
func (c *Cloud) editRole(k *call, change func(*role) error) (any, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	r, err := c.roleOf(k)
	if err != nil {
		return nil, err
	}
	if err := change(&r); err != nil {
		return nil, err
	}
	return nil, c.store.put(roleKey(r.Account, r.Name), r)
}

func (c *Cloud) createRole(k *call) (any, error) {
	r, err := c.readRole(k)
	if err != nil {
		return nil, err
	}
	k.resource = r.ARN()
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	var there role
	if c.store.get(roleKey(r.Account, r.Name), &there) {
		return nil, faultf(http.StatusConflict, "EntityAlreadyExists", "Role with name %s already exists.", r.Name)
	}
	if len(c.store.keys(roleKey(r.Account, ""))) >= maxRoles {
		return nil, faultf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for RolesPerAccount: %d", maxRoles)
	}
	if err := c.store.put(roleKey(r.Account, r.Name), r); err != nil {
		return nil, err
	}
	return struct{ Role roleXML }{r.xml()}, nil
}

// readRole checks CreateRole's parameters.
func (c *Cloud) readRole(k *call) (role, error) {
	r := role{Account: k.account, Name: k.form.Get("RoleName"), Path: or(k.form.Get("Path"), "/"), ID: newUniqueID("AROA"),
		Description: k.form.Get("Description"), Trust: k.form.Get("AssumeRolePolicyDocument"),
		MaxSession: defaultDuration, Created: k.at.Truncate(time.Second)}
	var wrong constraints
	wrong.length("roleName", r.Name, 1, 64)
	wrong.pattern("roleName", r.Name, iamName, `[\w+=,.@-]+`)
	wrong.length("path", r.Path, 1, 512)
	wrong.pattern("path", r.Path, iamPath, `(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`)
	wrong.length("description", r.Description, 0, 1000)
	wrong.length("assumeRolePolicyDocument", r.Trust, 1, 131072)
	if given := k.form.Get("MaxSessionDuration"); given != "" {
		seconds, _ := strconv.Atoi(given) // what is no number is out of range
		wrong.between("maxSessionDuration", seconds, 3600, 43200)
		r.MaxSession = time.Duration(seconds) * time.Second
	}
	if err := wrong.fault(); err != nil {
		return r, err
	}
	if k.form.Has("PermissionsBoundary") {
		boundary, err := c.policyOf(k, "PermissionsBoundary", noBoundary)
		if err != nil {
			return r, err
		}
		r.Boundary = boundary.ARN()
	}
	var err error
	if r.Tags, err = readTags(k.form, strings.EqualFold); err != nil {
		return r, err
	}
	return r, checkTrust(r.Trust)
}

// readList reads NAME.member.1, .2 and so on.
func readList(form url.Values, name string) []string {
	var list []string
	for i := 1; form.Has(name + ".member." + strconv.Itoa(i)); i++ {
		list = append(list, form.Get(name+".member."+strconv.Itoa(i)))
	}
	return list
}

// roleXML is a role in an answer.
type roleXML struct {
	Path, RoleName, Arn, CreateDate, AssumeRolePolicyDocument string

	RoleID string `xml:"RoleId"`

	Description         string `xml:",omitempty"`
	MaxSessionDuration  int
	PermissionsBoundary *boundaryXML  `xml:",omitempty"`
	Tags                *xmlList[tag] `xml:",omitempty"`
}

type boundaryXML struct {
	PermissionsBoundaryType, PermissionsBoundaryArn string
}

func (r role) xml() roleXML {
	x := roleXML{Path: r.Path, RoleName: r.Name, RoleID: r.ID, Arn: r.ARN(), CreateDate: isoTime(r.Created),
		AssumeRolePolicyDocument: uriEncode(r.Trust, false), Description: r.Description,
		MaxSessionDuration: int(r.MaxSession.Seconds())}
	if r.Boundary != "" {
		x.PermissionsBoundary = &boundaryXML{"Policy", r.Boundary}
	}
	if r.Tags != nil {
		x.Tags = &xmlList[tag]{r.Tags}
	}
	return x
}

func (c *Cloud) getRole(k *call) (any, error) {
	r, err := c.roleOf(k)
	if err != nil {
		return nil, err
	}
	return struct{ Role roleXML }{r.xml()}, nil
}

// listRoles answers roles by name, in pages.
func (c *Cloud) listRoles(k *call) (any, error) {
	prefix := or(k.form.Get("PathPrefix"), "/")
	var roles []role
	for _, key := range c.store.keys("iam/" + k.account + "/role/") {
		var r role
		if c.store.get(key, &r) && strings.HasPrefix(r.Path, prefix) {
			r.Tags, r.Boundary = nil, "" // ListRoles leaves them out
			roles = append(roles, r)
		}
	}
	page, marker, err := paginate(k.form, roles, func(r role) string { return strings.ToLower(r.Name) })
	if err != nil {
		return nil, err
	}
	answer := struct {
		Roles       xmlList[roleXML]
		IsTruncated bool
		Marker      string `xml:",omitempty"`
	}{IsTruncated: marker != "", Marker: marker}
	for _, r := range page {
		answer.Roles.Member = append(answer.Roles.Member, r.xml())
	}
	return answer, nil
}

// paginate returns the page of sorted items that MaxItems and Marker ask for,
// and the next page's marker, which is the name of the last item seen, encoded.
func paginate[T any](form url.Values, items []T, name func(T) string) (page []T, marker string, err error) {
	most := 100
	if given := form.Get("MaxItems"); given != "" {
		if most, err = strconv.Atoi(given); err != nil || most < 1 || most > 1000 {
			return nil, "", faultf(http.StatusBadRequest, "ValidationError", "MaxItems %q is not between 1 and 1000", given)
		}
	}
	after, err := base64.RawURLEncoding.DecodeString(form.Get("Marker"))
	if err != nil {
		return nil, "", faultf(http.StatusBadRequest, "ValidationError", "Invalid Marker.")
	}
	for _, item := range items {
		if len(after) > 0 && name(item) <= string(after) {
			continue
		}
		if len(page) == most {
			return page, base64.RawURLEncoding.EncodeToString([]byte(name(page[most-1]))), nil
		}
		page = append(page, item)
	}
	return page, "", nil
}

func (c *Cloud) updateTrust(k *call) (any, error) {
	document := k.form.Get("PolicyDocument")
	return c.changeRole(k, func(r *role) error {
		if err := checkTrust(document); err != nil {
			return err
		}
		r.Trust = document
		return nil
	})
}

// updateRole changes description and longest session; what is not named stays.
func (c *Cloud) updateRole(k *call) (any, error) {
	_, err := c.changeRole(k, func(r *role) error {
		var wrong constraints
		if k.form.Has("Description") {
			r.Description = k.form.Get("Description")
			wrong.length("description", r.Description, 0, 1000)
		}
		if given := k.form.Get("MaxSessionDuration"); given != "" {
			seconds, _ := strconv.Atoi(given) // what is no number is out of range
			wrong.between("maxSessionDuration", seconds, 3600, 43200)
			r.MaxSession = time.Duration(seconds) * time.Second
		}
		return wrong.fault()
	})
	return struct{}{}, err // an empty result, as few of IAM's operations have
}

func (c *Cloud) deleteRole(k *call) (any, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	r, err := c.roleOf(k)
	if err != nil {
		return nil, err
	}
	switch {
	case r.linkedRole():
		return nil, r.protected()
	case len(r.Policies) > 0:
		return nil, faultf(http.StatusConflict, "DeleteConflict", "Cannot delete entity, must delete policies first.")
	case len(r.Attached) > 0:
		return nil, faultf(http.StatusConflict, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
	}
	return nil, c.store.delete(roleKey(r.Account, r.Name))
}

// passable says whether service may assume the role on behalf of the resource
// source, which conditions on aws:SourceArn and aws:SourceAccount see: the role
// exists and its trust policy allows sts:AssumeRole to the service principal.
func (c *Cloud) passable(arn, service, source string) error {
	refuse := func(why string) error {
		f := faultf(http.StatusBadRequest, "ValidationException",
			"Role validation failed for '%s'. Please verify that the role exists and its trust policy allows assumption by this service", arn)
		f.why = why
		return f
	}
	m := roleARN.FindStringSubmatch(arn)
	if m == nil {
		return refuse("it is no ARN of a role")
	}
	r, ok := c.findRole(m[1], m[3])
	if !ok || r.ARN() != arn {
		return refuse("there is no such role")
	}
	policy, err := trust.Parse([]byte(r.Trust))
	if err != nil {
		return refuse(err.Error())
	}
	context := map[string][]string{"aws:SourceArn": {source}}
	if parts := strings.SplitN(source, ":", 6); len(parts) == 6 {
		context["aws:SourceAccount"] = []string{parts[4]}
	}
	d := policy.Evaluate(trust.Request{Principal: trust.Principal{Kind: trust.Service, Value: service}, Action: "sts:AssumeRole", Context: context})
	if !d.Allowed {
		return refuse(explain(d))
	}
	return nil
}
