package sim

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/pattern"
	"github.com/slipway-cd/slipway/internal/trust"
)

// Quotas of IAM, in characters without white space.
const (
	maxTrust  = 2048
	maxInline = 10240 // all inline policies of a role together
)

func malformed(format string, args ...any) error {
	return faultf(http.StatusBadRequest, "MalformedPolicyDocument", format, args...)
}

// checkTrust refuses what IAM refuses as a role's trust policy, a trust in
// GitHub that does not look at the subject included.
func checkTrust(document string) error {
	if policySize(document) > maxTrust {
		return faultf(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: %d", maxTrust)
	}
	policy, err := trust.Parse([]byte(document))
	if err != nil {
		return malformed("This policy contains invalid Json or elements: %v", err)
	}
	for _, s := range policy.Statements {
		if err := checkTrustStatement(s); err != nil {
			return err
		}
	}
	return nil
}

func checkTrustStatement(s trust.Statement) error {
	switch {
	case !sid.MatchString(s.Sid):
		return malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
	case s.Principals == nil:
		return malformed("Missing required field Principal")
	case s.Resources != nil || s.NotResources != nil:
		return malformed("Has prohibited field Resource")
	}
	for _, action := range slices.Concat(s.Actions, s.NotActions) {
		if !assumes(action) {
			return malformed("AssumeRole policy may only specify STS AssumeRole actions.")
		}
	}
	for _, p := range s.Principals {
		if form := principalForm(p.Kind); form != nil && !form.MatchString(p.Value) {
			return malformed("Invalid principal in policy: %q:%q", p.Kind, p.Value)
		}
	}
	if trustsGitHub(s) && !looksAtSubject(s) {
		return malformed("A role that trusts %s needs a condition on %s:sub", Issuer, gitHubHost)
	}
	return nil
}

// What IAM takes as principals, by their form. It also looks whether an AWS
// principal or a service exists; the local cloud does not.
var (
	sid              = pattern.New(`^[0-9A-Za-z]*$`)
	awsPrincipal     = pattern.New(`^(\*|[0-9]{12}|A[A-Z0-9]{15,127}|arn:aws(-[a-z]+)*:(iam|sts)::[0-9]{12}:(root|(user|role|assumed-role|federated-user)/[\x21-\x7e]+))$`)
	servicePrincipal = pattern.New(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.cn)?|amazon\.com)$`)
	federated        = pattern.New(`^(\*|arn:aws(-[a-z]+)*:iam::[0-9]{12}:(oidc|saml)-provider/[\x21-\x7e]+|[a-z0-9-]+(\.[a-z0-9-]+)+)$`)
)

func principalForm(kind trust.Kind) *pattern.Pattern {
	switch kind {
	case trust.AWS:
		return awsPrincipal
	case trust.Service:
		return servicePrincipal
	case trust.Federated:
		return federated
	default:
		return nil
	}
}

// assumes says whether an action of a trust policy, which may have wildcards,
// is one of those that belong there.
func assumes(action string) bool {
	return slices.ContainsFunc([]string{"sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity",
		"sts:tagsession", "sts:setsourceidentity", "sts:setcontext"}, func(known string) bool { return matchWildcard(strings.ToLower(action), known) })
}

// gitHubHost is GitHub's issuer as provider ARNs and condition keys name it.
const gitHubHost = "token.actions.githubusercontent.com"

// trustsGitHub says whether an Allow statement names GitHub's provider, with
// or without an enterprise's path.
func trustsGitHub(s trust.Statement) bool {
	return s.Effect == trust.Allow && slices.ContainsFunc(s.Principals, func(p trust.Principal) bool {
		_, host, _ := strings.Cut(p.Value, ":oidc-provider/")
		return p.Kind == trust.Federated && (host == gitHubHost || strings.HasPrefix(host, gitHubHost+"/"))
	})
}

// looksAtSubject says whether a condition is on the subject. As IAM does, it
// does not ask whether the condition narrows anything.
func looksAtSubject(s trust.Statement) bool {
	return slices.ContainsFunc(s.Conditions, func(c trust.Condition) bool {
		key := strings.ToLower(c.Key)
		return strings.HasPrefix(key, gitHubHost) && strings.HasSuffix(key, ":sub")
	})
}

// readPermissions reads a permission policy, and refuses what IAM refuses.
func readPermissions(document string) (trust.Policy, error) {
	policy, err := trust.Parse([]byte(document))
	if err != nil {
		return policy, malformed("Syntax errors in policy: %v", err)
	}
	return policy, checkPermissions(policy)
}

func checkPermissions(policy trust.Policy) error {
	for _, s := range policy.Statements {
		switch {
		case !sid.MatchString(s.Sid):
			return malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
		case s.Principals != nil:
			return malformed("Policy document should not specify a principal.")
		case s.Resources == nil && s.NotResources == nil:
			return malformed("Policy statement must contain resources.")
		}
		for _, resource := range slices.Concat(s.Resources, s.NotResources) {
			if resource != "*" && (!strings.HasPrefix(resource, "arn:") || strings.Count(resource, ":") < 5) {
				return malformed(`Resource %s must be in ARN format or "*".`, resource)
			}
		}
	}
	return nil
}

// policySize is a document's size as IAM counts it.
func policySize(document string) int {
	n := 0
	for _, r := range document {
		if r != ' ' && r != '\t' && r != '\n' && r != '\r' {
			n++
		}
	}
	return n
}

// policyName checks the parameter PolicyName.
func policyName(k *call) (string, error) {
	name := k.form.Get("PolicyName")
	var wrong constraints
	wrong.length("policyName", name, 1, 128)
	wrong.pattern("policyName", name, iamName, `[\w+=,.@-]+`)
	return name, wrong.fault()
}

func (c *Cloud) putRolePolicy(k *call) (any, error) {
	name, err := policyName(k)
	if err != nil {
		return nil, err
	}
	document := k.form.Get("PolicyDocument")
	return c.changeRole(k, func(r *role) error {
		if _, err := readPermissions(document); err != nil {
			return err
		}
		policies := maps.Clone(r.Policies)
		if policies == nil {
			policies = make(map[string]string)
		}
		policies[name] = document
		size := 0
		for _, p := range policies {
			size += policySize(p)
		}
		if size > maxInline {
			return faultf(http.StatusConflict, "LimitExceeded", "Maximum policy size of %d bytes exceeded for role %s", maxInline, r.Name)
		}
		r.Policies = policies
		return nil
	})
}

func noSuchPolicy(name string) error {
	return faultf(http.StatusNotFound, "NoSuchEntity", "The role policy with name %s cannot be found.", name)
}

func (c *Cloud) getRolePolicy(k *call) (any, error) {
	name, err := policyName(k)
	if err != nil {
		return nil, err
	}
	r, err := c.roleOf(k)
	if err != nil {
		return nil, err
	}
	document, ok := r.Policies[name]
	if !ok {
		return nil, noSuchPolicy(name)
	}
	return struct{ RoleName, PolicyName, PolicyDocument string }{r.Name, name, uriEncode(document, false)}, nil
}

func (c *Cloud) listRolePolicies(k *call) (any, error) {
	r, err := c.roleOf(k)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(r.Policies))
	page, marker, err := paginate(k.form, names, func(s string) string { return s })
	if err != nil {
		return nil, err
	}
	return struct {
		PolicyNames xmlList[string]
		IsTruncated bool
		Marker      string `xml:",omitempty"`
	}{xmlList[string]{page}, marker != "", marker}, nil
}

func (c *Cloud) deleteRolePolicy(k *call) (any, error) {
	name, err := policyName(k)
	if err != nil {
		return nil, err
	}
	return c.changeRole(k, func(r *role) error {
		if _, ok := r.Policies[name]; !ok {
			return noSuchPolicy(name)
		}
		delete(r.Policies, name)
		return nil
	})
}
