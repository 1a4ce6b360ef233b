package sim

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// Managed policies: those that an account makes, in versions, and two of AWS's
// own whose text is known for certain. Any other of AWS's does not exist here.

// Quotas of IAM.
const (
	maxManaged        = 6144 // characters without white space
	maxPolicyVersions = 5
	maxPolicies       = 1500 // of an account
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

// current is the default version.
func (m managed) current() policyVersion {
	i := slices.IndexFunc(m.Versions, func(v policyVersion) bool { return v.Default })
	return m.Versions[i] // there always is one
}

func managedKey(account, name string) string {
	return "iam/" + account + "/policy/" + strings.ToLower(name)
}

var (
	managedARN  = pattern.New(`^arn:aws:iam::([0-9]{12}|aws):policy(/(?:[\x21-\x7e]*/)?)([\w+=,.@-]{1,128})$`)
	managedPath = pattern.New(`^(/[A-Za-z0-9.,+@=_-]+)*/$`)
	versionID   = pattern.New(`^v[1-9][0-9]*(\.[A-Za-z0-9-]*)?$`)
)

// awsManaged are AWS's own, with the version that the AWS managed policy
// reference has as the default; those before are not kept.
func awsManaged() []managed {
	own := func(id, name string, number int, updated time.Time, document string) managed {
		return managed{Account: "aws", Name: name, Path: "/", ID: id, Created: time.Date(2015, 2, 6, 18, 39, 0, 0, time.UTC), Updated: updated,
			Last: number, Versions: []policyVersion{{Number: number, Document: document, Default: true, Created: updated}}}
	}
	return []managed{
		own("ANPAIWMBCKSKIEE64ZLYK", "AdministratorAccess", 1, time.Date(2015, 2, 6, 18, 39, 0, 0, time.UTC), administrators),
		own("ANPAJYRXTHIB4FOVS3ZXS", "PowerUserAccess", 12, time.Date(2026, 2, 12, 17, 59, 0, 0, time.UTC), `{"Version":"2012-10-17","Statement":[`+
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
	return p.current().Document, true
}

// notFound is what IAM says of a policy that is not there.
const notFound = "Policy %s was not found."

func noSuchManaged(arn string) error {
	return faultf(http.StatusNotFound, "NoSuchEntity", notFound, arn)
}

// policyARN checks a parameter that names a managed policy.
func policyARN(k *call, parameter string) (string, error) {
	arn := k.form.Get(parameter)
	var wrong constraints
	wrong.length(strings.ToLower(parameter[:1])+parameter[1:], arn, 20, 2048)
	if err := wrong.fault(); err != nil {
		return "", err
	}
	if !managedARN.MatchString(arn) {
		return "", faultf(http.StatusBadRequest, "InvalidInput", "ARN %s is not valid.", arn)
	}
	return arn, nil
}

// policyOf finds the managed policy that a parameter names and that the
// caller's account may use: its own, or AWS's. absent words that there is none.
func (c *Cloud) policyOf(k *call, parameter, absent string) (managed, error) {
	arn, err := policyARN(k, parameter)
	if err != nil {
		return managed{}, err
	}
	p, ok := c.findManaged(arn)
	if !ok || p.Account != k.account && p.Account != "aws" {
		return p, faultf(http.StatusNotFound, "NoSuchEntity", absent, arn)
	}
	return p, nil
}

// managedOf finds the policy that a call names in PolicyArn.
func (c *Cloud) managedOf(k *call) (managed, error) { return c.policyOf(k, "PolicyArn", notFound) }

// ownManaged is managedOf for an operation that changes the policy, which has
// to be the account's own.
func (c *Cloud) ownManaged(k *call) (managed, error) {
	p, err := c.managedOf(k)
	if err == nil && p.Account == "aws" {
		return p, faultf(http.StatusForbidden, "AccessDenied", "Cannot perform operation on policy %s: it is AWS's own.", p.ARN())
	}
	return p, err
}

// changeManaged applies change to the policy that the call names and keeps it.
func (c *Cloud) changeManaged(k *call, change func(*managed) (any, error)) (any, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	p, err := c.ownManaged(k)
	if err != nil {
		return nil, err
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
	policy, err := readPermissions(document)
	if err == nil && policy.Version != "2012-10-17" {
		return malformed("Policy document must be version 2012-10-17 or greater.")
	}
	return err
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
	wrong.pattern("path", p.Path, managedPath, `((/[A-Za-z0-9\.,\+@=_-]+)*)/`)
	wrong.length("description", p.Description, 0, 1000)
	wrong.length("policyDocument", p.Versions[0].Document, 1, 131072)
	if err := wrong.fault(); err != nil {
		return nil, err
	}
	var err error
	if p.Tags, err = readTags(k.form, exactly); err != nil {
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
	if len(c.store.keys(managedKey(p.Account, ""))) >= maxPolicies {
		return nil, faultf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for PoliciesPerAccount: %d", maxPolicies)
	}
	if err := c.store.put(managedKey(p.Account, p.Name), p); err != nil {
		return nil, err
	}
	return struct{ Policy managedXML }{c.managedXML(k.account, p)}, nil
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

func (c *Cloud) managedXML(account string, p managed) managedXML {
	attached, bounding := c.usesOf(account, p.ARN())
	x := managedXML{PolicyName: p.Name, Arn: p.ARN(), Path: p.Path, DefaultVersionID: p.current().id(), CreateDate: isoTime(p.Created),
		UpdateDate: isoTime(p.Updated), PolicyID: p.ID, Description: p.Description, AttachmentCount: attached,
		PermissionsBoundaryUsageCount: bounding, IsAttachable: true}
	if p.Tags != nil {
		x.Tags = &xmlList[tag]{p.Tags}
	}
	return x
}

// usesOf counts the roles of an account that have a policy attached, and as
// boundary.
func (c *Cloud) usesOf(account, arn string) (attached, bounding int) {
	for _, key := range c.store.keys(roleKey(account, "")) {
		r, ok := shared[role](c.store, key)
		if !ok {
			continue // deleted meanwhile
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
	return struct{ Policy managedXML }{c.managedXML(k.account, p)}, nil
}

// listPolicies answers policies by name: the account's, or AWS's too.
func (c *Cloud) listPolicies(k *call) (any, error) {
	which, err := readPolicyFilter(k.form)
	if err != nil {
		return nil, err
	}
	var all []managedXML
	for _, p := range c.managedIn(k.account) {
		x := c.managedXML(k.account, p)
		x.Tags, x.Description = nil, "" // ListPolicies leaves them out
		if which.has(p, x) {
			all = append(all, x)
		}
	}
	name := func(x managedXML) string { return strings.ToLower(x.PolicyName) + " " + x.Arn }
	slices.SortFunc(all, func(a, b managedXML) int { return strings.Compare(name(a), name(b)) })
	page, marker, err := paginate(k.form, all, name)
	if err != nil {
		return nil, err
	}
	return struct {
		Policies    xmlList[managedXML]
		IsTruncated bool
		Marker      string `xml:",omitempty"`
	}{xmlList[managedXML]{page}, marker != "", marker}, nil
}

// managedIn are the policies that an account may use.
func (c *Cloud) managedIn(account string) []managed {
	all := awsManaged()
	for _, key := range c.store.keys(managedKey(account, "")) {
		var p managed
		if c.store.get(key, &p) {
			all = append(all, p)
		}
	}
	return all
}

// policyFilter is what a call of ListPolicies asks for.
type policyFilter struct {
	scope, prefix, usage string
	attached             bool
}

func readPolicyFilter(form url.Values) (policyFilter, error) {
	f := policyFilter{or(form.Get("Scope"), "All"), or(form.Get("PathPrefix"), "/"), form.Get("PolicyUsageFilter"), form.Get("OnlyAttached") == "true"}
	var wrong constraints
	wrong.among("scope", f.scope, "All", "AWS", "Local")
	wrong.pattern("pathPrefix", f.prefix, managedPath, `((/[A-Za-z0-9\.,\+@=_-]+)*)/`)
	if form.Has("PolicyUsageFilter") {
		wrong.among("policyUsageFilter", f.usage, "PermissionsPolicy", "PermissionsBoundary")
	}
	return f, wrong.fault()
}

// has says whether the filter lets a policy through. What is attached is a
// permissions policy, unless the filter is about boundaries.
func (f policyFilter) has(p managed, x managedXML) bool {
	uses := x.AttachmentCount
	if f.usage == "PermissionsBoundary" {
		uses = x.PermissionsBoundaryUsageCount
	}
	ours := p.Account != "aws"
	return (f.scope == "All" || (f.scope == "Local") == ours) && strings.HasPrefix(p.Path, f.prefix) &&
		(uses > 0 || !f.attached && f.usage == "")
}

func (c *Cloud) deletePolicy(k *call) (any, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	p, err := c.ownManaged(k)
	if err != nil {
		return nil, err
	}
	attached, bounding := c.usesOf(k.account, p.ARN())
	switch {
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
	var wrong constraints
	wrong.length("policyDocument", document, 1, 131072)
	if err := wrong.fault(); err != nil {
		return nil, err
	}
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
	var wrong constraints
	wrong.pattern("versionId", id, versionID, `v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`)
	if err := wrong.fault(); err != nil {
		return -1, err
	}
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
	page, marker, err := paginate(k.form, p.Versions, func(v policyVersion) string {
		return strconv.Itoa(1<<20 - v.Number) // newest first, and sorted as text
	})
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
