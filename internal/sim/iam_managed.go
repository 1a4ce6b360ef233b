package sim

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/trust"
)

// Managed policies: those that an account makes, in versions, and two of AWS's
// own whose text is known for certain. Any other of AWS's does not exist here.

// Quotas of IAM.
const (
	maxManaged        = 6144 // characters without white space
	maxPolicyVersions = 5
	maxAttached       = 10 // managed policies of a role
)

// managed is a managed policy of an account. Record:
// iam/<account>/policy/<lower-case name>, unique without regard to case.
type managed struct {
	Account     string          `json:"account"`
	Name        string          `json:"name"`
	Path        string          `json:"path"`
	ID          string          `json:"id"`
	Description string          `json:"description,omitempty"`
	Created     time.Time       `json:"created"`
	Updated     time.Time       `json:"updated"`
	Tags        []tag           `json:"tags,omitempty"`
	Versions    []policyVersion `json:"versions"` // newest first
	Last        int             `json:"last"`     // number of the newest that there ever was
}

type policyVersion struct {
	Number   int       `json:"number"`
	Document string    `json:"document"`
	Default  bool      `json:"default,omitempty"`
	Created  time.Time `json:"created"`
}

func (v policyVersion) id() string { return "v" + strconv.Itoa(v.Number) }

// ARN of the policy, its path included.
func (m managed) ARN() string { return "arn:aws:iam::" + m.Account + ":policy" + m.Path + m.Name }

// version returns the default version.
func (m managed) version() policyVersion {
	i := slices.IndexFunc(m.Versions, func(v policyVersion) bool { return v.Default })
	return m.Versions[i] // there always is one
}

func managedKey(account, name string) string {
	return "iam/" + account + "/policy/" + strings.ToLower(name)
}

var managedARN = regexp.MustCompile(`^arn:aws:iam::([0-9]{12}|aws):policy(/(?:[\x21-\x7e]*/)?)([\w+=,.@-]{1,128})$`)

// awsManaged are AWS's own (AWS managed policy reference).
func awsManaged() []managed {
	own := func(id, name, document string) managed {
		at := time.Date(2015, 2, 6, 18, 39, 46, 0, time.UTC)
		return managed{Account: "aws", Name: name, Path: "/", ID: id, Created: at, Updated: at, Last: 1,
			Versions: []policyVersion{{Number: 1, Document: document, Default: true, Created: at}}}
	}
	return []managed{
		own("ANPAIWMBCKSKIEE64ZLYK", "AdministratorAccess", administrators),
		own("ANPAJYRXTHIB4FOVS3ZXS", "PowerUserAccess", `{"Version":"2012-10-17","Statement":[`+
			`{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"Resource":"*"},`+
			`{"Effect":"Allow","Action":["account:GetAccountInformation","account:GetGovCloudAccountInformation","account:GetPrimaryEmail",`+
			`"account:ListRegions","iam:CreateServiceLinkedRole","iam:DeleteServiceLinkedRole","iam:ListRoles","organizations:DescribeEffectivePolicy",`+
			`"organizations:DescribeOrganization"],"Resource":"*"}]}`),
	}
}

// findManaged finds a managed policy by its ARN.
func (c *Cloud) findManaged(arn string) (managed, bool) {
	m := managedARN.FindStringSubmatch(arn)
	if m == nil {
		return managed{}, false
	}
	var p managed
	if m[1] == "aws" {
		all := awsManaged()
		if i := slices.IndexFunc(all, func(own managed) bool { return own.ARN() == arn }); i >= 0 {
			return all[i], true
		}
		return p, false
	}
	ok := c.store.get(managedKey(m[1], m[3]), &p) && p.ARN() == arn
	return p, ok
}

// managedPolicy is the text of a managed policy's default version.
func (c *Cloud) managedPolicy(arn string) (document string, ok bool) {
	p, ok := c.findManaged(arn)
	if !ok {
		return "", false
	}
	return p.version().Document, true
}

func noSuchManaged(arn string) error {
	return faultf(http.StatusNotFound, "NoSuchEntity", "Policy %s was not found.", arn)
}

// managedOf finds the policy that a call names in PolicyArn, and that the
// caller's account may use: its own, or AWS's.
func (c *Cloud) managedOf(k *call) (managed, error) {
	arn := k.form.Get("PolicyArn")
	var wrong constraints
	wrong.length("policyArn", arn, 20, 2048)
	if err := wrong.fault(); err != nil {
		return managed{}, err
	}
	p, ok := c.findManaged(arn)
	if !ok || p.Account != k.account && p.Account != "aws" {
		return p, noSuchManaged(arn)
	}
	return p, nil
}

// changeManaged applies change to the policy that the call names and keeps it.
func (c *Cloud) changeManaged(k *call, change func(*managed) (any, error)) (any, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	p, err := c.managedOf(k)
	if err != nil {
		return nil, err
	}
	if p.Account == "aws" {
		return nil, faultf(http.StatusForbidden, "AccessDenied", "Cannot perform operation on policy %s: it is AWS's own.", p.ARN())
	}
	answer, err := change(&p)
	if err != nil {
		return nil, err
	}
	return answer, c.store.put(managedKey(p.Account, p.Name), p)
}

// checkManaged refuses what IAM refuses as a managed policy.
func checkManaged(document string) error {
	if policySize(document) > maxManaged {
		return faultf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for PolicySize: %d", maxManaged)
	}
	return checkPermissions(document)
}

func (c *Cloud) createPolicy(k *call) (any, error) {
	at := k.at.Truncate(time.Second)
	p := managed{Account: k.account, Name: k.form.Get("PolicyName"), Path: or(k.form.Get("Path"), "/"), ID: newUniqueID("ANPA"),
		Description: k.form.Get("Description"), Created: at, Updated: at, Last: 1,
		Versions: []policyVersion{{Number: 1, Document: k.form.Get("PolicyDocument"), Default: true, Created: at}}}
	var wrong constraints
	wrong.length("policyName", p.Name, 1, 128)
	wrong.pattern("policyName", p.Name, iamName, `[\w+=,.@-]+`)
	wrong.length("path", p.Path, 1, 512)
	wrong.pattern("path", p.Path, iamPath, `((/[A-Za-z0-9\.,\+@=_-]+)*)/`)
	wrong.length("description", p.Description, 0, 1000)
	wrong.length("policyDocument", p.Versions[0].Document, 1, 131072)
	if err := wrong.fault(); err != nil {
		return nil, err
	}
	var err error
	if p.Tags, err = readTags(k.form); err != nil {
		return nil, err
	}
	if err := checkManaged(p.Versions[0].Document); err != nil {
		return nil, err
	}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	var there managed
	if c.store.get(managedKey(p.Account, p.Name), &there) {
		return nil, faultf(http.StatusConflict, "EntityAlreadyExists", "A policy called %s already exists. Duplicate names are not allowed.", p.Name)
	}
	if err := c.store.put(managedKey(p.Account, p.Name), p); err != nil {
		return nil, err
	}
	return struct{ Policy managedXML }{c.managedXML(p)}, nil
}

// managedXML is a managed policy in an answer.
type managedXML struct {
	PolicyName, Arn, Path, CreateDate, UpdateDate string

	PolicyID                      string `xml:"PolicyId"`
	DefaultVersionID              string `xml:"DefaultVersionId"`
	Description                   string `xml:",omitempty"`
	AttachmentCount               int
	PermissionsBoundaryUsageCount int
	IsAttachable                  bool
	Tags                          *xmlList[tag] `xml:",omitempty"`
}

func (c *Cloud) managedXML(p managed) managedXML {
	attached, bounding := c.usesOf(p.ARN())
	x := managedXML{PolicyName: p.Name, Arn: p.ARN(), Path: p.Path, DefaultVersionID: p.version().id(), CreateDate: isoTime(p.Created),
		UpdateDate: isoTime(p.Updated), PolicyID: p.ID, Description: p.Description, AttachmentCount: attached,
		PermissionsBoundaryUsageCount: bounding, IsAttachable: true}
	if p.Tags != nil {
		x.Tags = &xmlList[tag]{p.Tags}
	}
	return x
}

// usesOf counts the roles that have a policy attached, and as boundary. A
// policy's roles are its account's: of AWS's own, all accounts' are counted.
func (c *Cloud) usesOf(arn string) (attached, bounding int) {
	for _, key := range c.store.keys("iam/") {
		if !strings.Contains(key, "/role/") {
			continue
		}
		var r role
		if !c.store.get(key, &r) {
			continue
		}
		if slices.Contains(r.Attached, arn) {
			attached++
		}
		if r.Boundary == arn {
			bounding++
		}
	}
	return attached, bounding
}

func (c *Cloud) getPolicy(k *call) (any, error) {
	p, err := c.managedOf(k)
	if err != nil {
		return nil, err
	}
	return struct{ Policy managedXML }{c.managedXML(p)}, nil
}

// listPolicies answers policies by name: the account's, or AWS's too.
func (c *Cloud) listPolicies(k *call) (any, error) {
	scope, prefix := or(k.form.Get("Scope"), "All"), or(k.form.Get("PathPrefix"), "/")
	var all []managed
	if scope != "AWS" {
		for _, key := range c.store.keys(managedKey(k.account, "")) {
			var p managed
			if c.store.get(key, &p) {
				all = append(all, p)
			}
		}
	}
	switch scope {
	case "All", "AWS":
		all = append(all, awsManaged()...)
	case "Local":
	default:
		return nil, faultf(http.StatusBadRequest, "ValidationError",
			"1 validation error detected: Value '%s' at 'scope' failed to satisfy constraint: Member must satisfy enum value set: [All, AWS, Local]", scope)
	}
	all = slices.DeleteFunc(all, func(p managed) bool { return !strings.HasPrefix(p.Path, prefix) })
	name := func(p managed) string { return strings.ToLower(p.Name) + " " + p.Account }
	slices.SortFunc(all, func(a, b managed) int { return strings.Compare(name(a), name(b)) })
	page, marker, err := paginate(k.form, all, name)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Policies    xmlList[managedXML]
		IsTruncated bool
		Marker      string `xml:",omitempty"`
	}{IsTruncated: marker != "", Marker: marker}
	for _, p := range page {
		x := c.managedXML(p)
		x.Tags, x.Description = nil, "" // ListPolicies leaves them out
		answer.Policies.Member = append(answer.Policies.Member, x)
	}
	return answer, nil
}

func (c *Cloud) deletePolicy(k *call) (any, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	p, err := c.managedOf(k)
	if err != nil {
		return nil, err
	}
	attached, bounding := c.usesOf(p.ARN())
	switch {
	case p.Account == "aws":
		return nil, faultf(http.StatusForbidden, "AccessDenied", "Cannot perform operation on policy %s: it is AWS's own.", p.ARN())
	case attached+bounding > 0:
		return nil, faultf(http.StatusConflict, "DeleteConflict", "Cannot delete a policy attached to entities.")
	case len(p.Versions) > 1:
		return nil, faultf(http.StatusConflict, "DeleteConflict", "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	}
	return nil, c.store.delete(managedKey(p.Account, p.Name))
}

// versionXML is a version in an answer; lists leave the document out.
type versionXML struct {
	Document         string `xml:",omitempty"`
	VersionID        string `xml:"VersionId"`
	IsDefaultVersion bool
	CreateDate       string
}

func (v policyVersion) xml() versionXML {
	return versionXML{VersionID: v.id(), IsDefaultVersion: v.Default, CreateDate: isoTime(v.Created)}
}

func (c *Cloud) createPolicyVersion(k *call) (any, error) {
	document := k.form.Get("PolicyDocument")
	return c.changeManaged(k, func(p *managed) (any, error) {
		if err := checkManaged(document); err != nil {
			return nil, err
		}
		if len(p.Versions) >= maxPolicyVersions {
			return nil, faultf(http.StatusConflict, "LimitExceeded",
				"A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxPolicyVersions)
		}
		p.Last++
		v := policyVersion{Number: p.Last, Document: document, Created: k.at.Truncate(time.Second)}
		p.Versions = slices.Insert(slices.Clone(p.Versions), 0, v)
		if k.form.Get("SetAsDefault") == "true" {
			p.setDefault(v.Number)
		}
		p.Updated = v.Created
		return struct{ PolicyVersion versionXML }{p.Versions[0].xml()}, nil
	})
}

func (m *managed) setDefault(number int) {
	for i := range m.Versions {
		m.Versions[i].Default = m.Versions[i].Number == number
	}
}

// versionOf finds the version that a call names in VersionId.
func (m managed) versionOf(k *call) (int, error) {
	id := k.form.Get("VersionId")
	i := slices.IndexFunc(m.Versions, func(v policyVersion) bool { return v.id() == id })
	if i < 0 {
		return i, faultf(http.StatusNotFound, "NoSuchEntity", "Policy %s version %s does not exist or is not attachable.", m.ARN(), id)
	}
	return i, nil
}

func (c *Cloud) getPolicyVersion(k *call) (any, error) {
	p, err := c.managedOf(k)
	if err != nil {
		return nil, err
	}
	i, err := p.versionOf(k)
	if err != nil {
		return nil, err
	}
	x := p.Versions[i].xml()
	x.Document = uriEncode(p.Versions[i].Document, false)
	return struct{ PolicyVersion versionXML }{x}, nil
}

func (c *Cloud) listPolicyVersions(k *call) (any, error) {
	p, err := c.managedOf(k)
	if err != nil {
		return nil, err
	}
	// There are five at most, but a client may ask for one at a time.
	page, marker, err := paginate(k.form, p.Versions, func(v policyVersion) string { return strconv.Itoa(1<<20 - v.Number) })
	if err != nil {
		return nil, err
	}
	answer := struct {
		Versions    xmlList[versionXML]
		IsTruncated bool
		Marker      string `xml:",omitempty"`
	}{IsTruncated: marker != "", Marker: marker}
	for _, v := range page {
		answer.Versions.Member = append(answer.Versions.Member, v.xml())
	}
	return answer, nil
}

func (c *Cloud) setDefaultPolicyVersion(k *call) (any, error) {
	return c.changeManaged(k, func(p *managed) (any, error) {
		i, err := p.versionOf(k)
		if err != nil {
			return nil, err
		}
		p.Versions = slices.Clone(p.Versions)
		p.setDefault(p.Versions[i].Number)
		return nil, nil
	})
}

func (c *Cloud) deletePolicyVersion(k *call) (any, error) {
	return c.changeManaged(k, func(p *managed) (any, error) {
		i, err := p.versionOf(k)
		if err != nil {
			return nil, err
		}
		if p.Versions[i].Default {
			return nil, faultf(http.StatusConflict, "DeleteConflict", "Cannot delete the default version of a policy.")
		}
		p.Versions = slices.Delete(slices.Clone(p.Versions), i, i+1)
		return nil, nil
	})
}

func (c *Cloud) attachRolePolicy(k *call) (any, error) {
	return c.changeRole(k, func(r *role) error {
		arn := k.form.Get("PolicyArn")
		if _, err := c.managedOf(k); err != nil {
			return faultf(http.StatusNotFound, "NoSuchEntity", "Policy %s does not exist or is not attachable.", arn)
		}
		if slices.Contains(r.Attached, arn) {
			return nil
		}
		if len(r.Attached) >= maxAttached {
			return faultf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: %d", maxAttached)
		}
		r.Attached = append(slices.Clone(r.Attached), arn)
		return nil
	})
}

func (c *Cloud) detachRolePolicy(k *call) (any, error) {
	return c.changeRole(k, func(r *role) error {
		arn := k.form.Get("PolicyArn")
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
	all := []attached{}
	for _, arn := range slices.Sorted(slices.Values(r.Attached)) {
		all = append(all, attached{arn[strings.LastIndexByte(arn, '/')+1:], arn})
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

// boundaryOf checks the parameter PermissionsBoundary: a managed policy.
func (c *Cloud) boundaryOf(k *call) (string, error) {
	arn := k.form.Get("PermissionsBoundary")
	p, ok := c.findManaged(arn)
	if !ok || p.Account != k.account && p.Account != "aws" {
		return "", faultf(http.StatusNotFound, "NoSuchEntity", "Scope ARN: %s does not exist or is not attachable.", arn)
	}
	return arn, nil
}

func (c *Cloud) putBoundary(k *call) (any, error) {
	return c.changeRole(k, func(r *role) error {
		boundary, err := c.boundaryOf(k)
		if err != nil {
			return err
		}
		r.Boundary = boundary
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

func (c *Cloud) tagRole(k *call) (any, error) {
	return c.changeRole(k, func(r *role) error {
		tags, err := readTags(k.form)
		if err != nil {
			return err
		}
		r.Tags, err = retagged(r.Tags, tags)
		return err
	})
}

// retagged lays tags over others: keys are told apart without regard to case,
// and keep the case that they have first.
func retagged(old, added []tag) ([]tag, error) {
	tags := slices.Clone(old)
	for _, t := range added {
		if i := slices.IndexFunc(tags, func(o tag) bool { return strings.EqualFold(o.Key, t.Key) }); i >= 0 {
			tags[i].Value = t.Value
			continue
		}
		tags = append(tags, t)
	}
	if len(tags) > 50 {
		return nil, faultf(http.StatusConflict, "LimitExceeded", "The number of tags has reached the maximum limit.")
	}
	return tags, nil
}

func (c *Cloud) untagRole(k *call) (any, error) {
	gone := readList(k.form, "TagKeys")
	return c.changeRole(k, func(r *role) error {
		r.Tags = slices.DeleteFunc(slices.Clone(r.Tags), func(t tag) bool {
			return slices.ContainsFunc(gone, func(key string) bool { return strings.EqualFold(key, t.Key) })
		})
		return nil
	})
}

func (c *Cloud) listRoleTags(k *call) (any, error) {
	r, err := c.roleOf(k)
	if err != nil {
		return nil, err
	}
	tags := slices.SortedFunc(slices.Values(r.Tags), func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	page, marker, err := paginate(k.form, tags, func(t tag) string { return t.Key })
	if err != nil {
		return nil, err
	}
	return struct {
		Tags        xmlList[tag]
		IsTruncated bool
		Marker      string `xml:",omitempty"`
	}{xmlList[tag]{page}, marker != "", marker}, nil
}

func (c *Cloud) tagProvider(k *call) (any, error) {
	tags, err := readTags(k.form)
	if err != nil {
		return nil, err
	}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	p, err := c.providerOf(k)
	if err != nil {
		return nil, err
	}
	if p.Tags, err = retagged(p.Tags, tags); err != nil {
		return nil, err
	}
	return nil, c.store.put(providerKey(p.Account, p.URL), p)
}

// linked are the services whose linked roles are modelled, and the roles' names
// (AgentCore developer guide: using service-linked roles).
func linked() map[string]string {
	return map[string]string{
		"runtime-identity.bedrock-agentcore.amazonaws.com": "AWSServiceRoleForBedrockAgentCoreRuntimeIdentity",
		"network.bedrock-agentcore.amazonaws.com":          "AWSServiceRoleForBedrockAgentCoreNetwork",
	}
}

// createServiceLinkedRole makes the role that a service acts by. What the role
// may do is the service's affair: it has no policies here.
func (c *Cloud) createServiceLinkedRole(k *call) (any, error) {
	service := k.form.Get("AWSServiceName")
	var wrong constraints
	wrong.length("awsServiceName", service, 1, 128)
	if err := wrong.fault(); err != nil {
		return nil, err
	}
	name, ok := linked()[service]
	if !ok {
		return nil, faultf(http.StatusBadRequest, "InvalidInput", "the local cloud knows no service-linked role of %s", service)
	}
	if k.form.Get("CustomSuffix") != "" {
		return nil, faultf(http.StatusBadRequest, "InvalidInput", "Custom suffix is not allowed for %s", service)
	}
	r := role{Account: k.account, Name: name, Path: "/aws-service-role/" + service + "/", ID: newUniqueID("AROA"),
		Description: k.form.Get("Description"), MaxSession: defaultDuration, Created: k.at.Truncate(time.Second),
		Trust: string(trust.Policy{Version: "2012-10-17", Statements: []trust.Statement{{Effect: trust.Allow, Actions: []string{"sts:AssumeRole"},
			Principals: []trust.Principal{{Kind: trust.Service, Value: service}}}}}.JSON())}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	if _, ok := c.findRole(k.account, name); ok {
		return nil, faultf(http.StatusBadRequest, "InvalidInput",
			"Service role name %s has been taken in this account, please try a different suffix.", name)
	}
	if err := c.store.put(roleKey(r.Account, r.Name), r); err != nil {
		return nil, err
	}
	return struct{ Role roleXML }{r.xml()}, nil
}

// linkedRole says whether a role is a service's: nobody else changes it.
func (r role) linkedRole() bool { return strings.HasPrefix(r.Path, "/aws-service-role/") }

func (r role) protected() error {
	return faultf(http.StatusBadRequest, "UnmodifiableEntity", "Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", r.Name)
}
