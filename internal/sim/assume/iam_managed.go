package assume

import (
	"net/http"
	"strings"
)

// managed lists the assumptions about managed policies, boundaries and tags.
func managed() []Assumption {
	return []Assumption{
		{"A520", "", a520PolicyOfAnAccount}, {"A521", "", a521PolicyNamesWithoutCase}, {"A522", "", a522ManagedPoliciesHaveAVersion},
		{"A523", "", a523ManagedPoliciesHaveALimit}, {"A524", "", a524FiveVersions}, {"A525", "", a525DefaultVersionStays},
		{"A526", "", a526PolicyInUseStays}, {"A527", "", a527AttachingTwice}, {"A528", "", a528PoliciesThatAreNotThere},
		{"A529", "", a529BoundaryOfARole}, {"A530", "", a530ListRolesLeavesOut}, {"A531", "", a531UpdateRoleKeepsTheRest},
		{"A532", "", a532TagsOfRolesWithoutCase}, {"A533", "", a533TagKeysOnce}, {"A534", "", a534PoliciesOfAWS},
		{"A535", Local, a535ServiceLinkedRoleTwice},
	}
}

// policy makes a managed policy that lasts as long as the assumption, and
// returns its ARN.
func (a *Account) policy(t T, document string) string {
	t.Helper()
	x := a.iam(t, "CreatePolicy", "PolicyName", a.name(), "PolicyDocument", document).want(t, http.StatusOK)
	arn := x.element("Arn")
	later(t, func(t T) { a.iam(t, "DeletePolicy", "PolicyArn", arn) })
	return arn
}

// plainRole makes a role that only Lambda trusts, and returns its name.
func (a *Account) plainRole(t T) string {
	t.Helper()
	return nameOf(a.role(t, trustOf("Service", "lambda.amazonaws.com", "sts:AssumeRole", nil)))
}

// allowLogin is a policy's text.
func allowLogin() string { return policyOf(allow("ecr:GetAuthorizationToken", "*")) }

// A520: A managed policy's ARN is arn:aws:iam::ACCOUNT:policy, its path and its
// name; its id begins with ANPA, its first version is v1 and the default one,
// whose document comes back encoded.
// Source: IAM API reference, CreatePolicy, GetPolicyVersion; IAM guide, "IAM identifiers".
// Confidence: H.
func a520PolicyOfAnAccount(t T, a *Account) {
	name := a.name()
	x := a.iam(t, "CreatePolicy", "PolicyName", name, "Path", "/slipway/", "PolicyDocument", allowLogin()).want(t, http.StatusOK)
	arn := x.element("Arn")
	later(t, func(t T) { a.iam(t, "DeletePolicy", "PolicyArn", arn) })
	same(t, "the ARN", arn, "arn:aws:iam::"+a.ID+":policy/slipway/"+name)
	same(t, "the version", x.element("DefaultVersionId"), "v1")
	if id := x.element("PolicyId"); !strings.HasPrefix(id, "ANPA") {
		t.Errorf("the id is %q", id)
	}
	x = a.iam(t, "GetPolicyVersion", "PolicyArn", arn, "VersionId", "v1").want(t, http.StatusOK)
	same(t, "whether it is the default", x.element("IsDefaultVersion"), "true")
	if document := x.element("Document"); !strings.HasPrefix(document, "%7B") {
		t.Errorf("the document is %q", document)
	}
}

// A521: Names of managed policies are one without regard to case: 409
// EntityAlreadyExists.
// Source: IAM API reference, CreatePolicy ("IAM user, group, role, and policy names must be unique within the account. Names are not distinguished by case").
// Confidence: H.
func a521PolicyNamesWithoutCase(t T, a *Account) {
	name := nameOf(a.policy(t, allowLogin()))
	a.iam(t, "CreatePolicy", "PolicyName", strings.ToUpper(name), "PolicyDocument", allowLogin()).
		refused(t, http.StatusConflict, "EntityAlreadyExists", "Duplicate names are not allowed.")
}

// A522: A managed policy has the version 2012-10-17; an older one, or none, is
// 400 MalformedPolicyDocument. An inline policy needs none.
// Source: Reports of "Policy document must be version 2012-10-17 or greater." (Meteor-CollectionFS#630, moto's tests).
// Confidence: M.
func a522ManagedPoliciesHaveAVersion(t T, a *Account) {
	bare := strings.Replace(allowLogin(), `"Version":"2012-10-17",`, "", 1)
	for _, old := range []string{bare, strings.Replace(allowLogin(), "2012-10-17", "2008-10-17", 1)} {
		a.iam(t, "CreatePolicy", "PolicyName", a.name(), "PolicyDocument", old).
			refused(t, http.StatusBadRequest, "MalformedPolicyDocument", "version 2012-10-17 or greater")
	}
	role := a.plainRole(t)
	a.iam(t, "PutRolePolicy", "RoleName", role, "PolicyName", "p", "PolicyDocument", bare).want(t, http.StatusOK)
	a.iam(t, "DeleteRolePolicy", "RoleName", role, "PolicyName", "p").want(t, http.StatusOK)
}

// A523: A managed policy of more than 6144 characters, white space aside, is
// 409 LimitExceeded.
// Source: IAM guide, "IAM and STS quotas"; many reports of "Cannot exceed quota for PolicySize: 6144".
// Confidence: H.
func a523ManagedPoliciesHaveALimit(t T, a *Account) {
	long := policyOf(allow("ecr:PutImage", "arn:aws:ecr:us-east-1:"+a.ID+":repository/"+strings.Repeat("x", 6144)))
	a.iam(t, "CreatePolicy", "PolicyName", a.name(), "PolicyDocument", long).
		refused(t, http.StatusConflict, "LimitExceeded", "Cannot exceed quota for PolicySize: 6144")
	a.policy(t, strings.Replace(allowLogin(), ":", ":"+strings.Repeat(" ", 6144), 1))
}

// A524: A managed policy has five versions at most: a sixth is 409
// LimitExceeded. Numbers are not used again.
// Source: IAM guide, "Versioning IAM policies"; 99designs/iamy#21 (the text).
// Confidence: H.
func a524FiveVersions(t T, a *Account) {
	arn := a.policy(t, allowLogin())
	later(t, func(t T) {
		for _, version := range []string{"v2", "v3", "v4", "v5", "v6"} {
			a.iam(t, "DeletePolicyVersion", "PolicyArn", arn, "VersionId", version)
		}
	})
	for range 4 {
		a.iam(t, "CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", allowLogin()).want(t, http.StatusOK)
	}
	a.iam(t, "CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", allowLogin()).
		refused(t, http.StatusConflict, "LimitExceeded", "A managed policy can have up to 5 versions.")
	a.iam(t, "DeletePolicyVersion", "PolicyArn", arn, "VersionId", "v5").want(t, http.StatusOK)
	x := a.iam(t, "CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", allowLogin()).want(t, http.StatusOK)
	same(t, "the number", x.element("VersionId"), "v6")
	same(t, "whether it is the default", x.element("IsDefaultVersion"), "false")
}

// A525: The default version is not deleted, and a policy with other versions
// neither: 409 DeleteConflict.
// Source: IAM API reference, DeletePolicyVersion, DeletePolicy; redradrat/aws-iam-operator#13 (the texts).
// Confidence: H.
func a525DefaultVersionStays(t T, a *Account) {
	arn := a.policy(t, allowLogin())
	later(t, func(t T) { a.iam(t, "DeletePolicyVersion", "PolicyArn", arn, "VersionId", "v1") })
	a.iam(t, "CreatePolicyVersion", "PolicyArn", arn, "PolicyDocument", allowLogin(), "SetAsDefault", "true").want(t, http.StatusOK)
	a.iam(t, "DeletePolicyVersion", "PolicyArn", arn, "VersionId", "v2").
		refused(t, http.StatusConflict, "DeleteConflict", "Cannot delete the default version of a policy.")
	a.iam(t, "DeletePolicy", "PolicyArn", arn).refused(t, http.StatusConflict, "DeleteConflict", "This policy has more than one version.")
}

// A526: A policy that is attached to a role, or bounds one, is not deleted, and
// a role with a policy attached neither: 409 DeleteConflict.
// Source: IAM API reference, DeletePolicy, DeleteRole. Whether a boundary alone keeps its policy is open.
// Confidence: H, M for boundaries.
func a526PolicyInUseStays(t T, a *Account) {
	attached, bounding, role := a.policy(t, allowLogin()), a.policy(t, allowLogin()), a.plainRole(t)
	a.iam(t, "AttachRolePolicy", "RoleName", role, "PolicyArn", attached).want(t, http.StatusOK)
	later(t, func(t T) { a.iam(t, "DetachRolePolicy", "RoleName", role, "PolicyArn", attached) })
	a.iam(t, "PutRolePermissionsBoundary", "RoleName", role, "PermissionsBoundary", bounding).want(t, http.StatusOK)
	later(t, func(t T) { a.iam(t, "DeleteRolePermissionsBoundary", "RoleName", role) })
	for _, arn := range []string{attached, bounding} {
		a.iam(t, "DeletePolicy", "PolicyArn", arn).refused(t, http.StatusConflict, "DeleteConflict", "Cannot delete a policy attached to entities.")
	}
	a.iam(t, "DeleteRole", "RoleName", role).refused(t, http.StatusConflict, "DeleteConflict", "must detach all policies first")
}

// A527: Attaching a policy that is attached is no error, detaching one that is
// not is 404 NoSuchEntity.
// Source: IAM API reference, AttachRolePolicy, DetachRolePolicy (errors).
// Confidence: M.
func a527AttachingTwice(t T, a *Account) {
	arn, role := a.policy(t, allowLogin()), a.plainRole(t)
	later(t, func(t T) { a.iam(t, "DetachRolePolicy", "RoleName", role, "PolicyArn", arn) })
	for range 2 {
		a.iam(t, "AttachRolePolicy", "RoleName", role, "PolicyArn", arn).want(t, http.StatusOK)
	}
	x := a.iam(t, "ListAttachedRolePolicies", "RoleName", role).want(t, http.StatusOK)
	same(t, "what is attached", x.element("PolicyArn"), arn)
	same(t, "its name", x.element("PolicyName"), nameOf(arn))
	a.iam(t, "DetachRolePolicy", "RoleName", role, "PolicyArn", arn).want(t, http.StatusOK)
	a.iam(t, "DetachRolePolicy", "RoleName", role, "PolicyArn", arn).refused(t, http.StatusNotFound, "NoSuchEntity", arn)
}

// A528: A policy that is not there is 404 NoSuchEntity, each time in other words:
// read, attached, put as a boundary, or a version of it. What is no ARN of a
// policy is 400 InvalidInput.
// Source: Reports (getmoto/moto#6482, pulumi/pulumi#7419, hashicorp/terraform-provider-aws#1337).
// Confidence: H for the codes, M for the texts.
func a528PoliciesThatAreNotThere(t T, a *Account) {
	there, role := a.policy(t, allowLogin()), a.plainRole(t)
	none := there + "x"
	a.iam(t, "GetPolicy", "PolicyArn", none).refused(t, http.StatusNotFound, "NoSuchEntity", "Policy "+none+" was not found.")
	a.iam(t, "GetPolicyVersion", "PolicyArn", there, "VersionId", "v9").refused(t, http.StatusNotFound, "NoSuchEntity", "v9")
	a.iam(t, "AttachRolePolicy", "RoleName", role, "PolicyArn", none).
		refused(t, http.StatusNotFound, "NoSuchEntity", "Policy "+none+" does not exist or is not attachable.")
	a.iam(t, "PutRolePermissionsBoundary", "RoleName", role, "PermissionsBoundary", none).
		refused(t, http.StatusNotFound, "NoSuchEntity", "Scope ARN: "+none+" does not exist or is not attachable.")
	a.iam(t, "AttachRolePolicy", "RoleName", role, "PolicyArn", "no ARN, but long enough").refused(t, http.StatusBadRequest, "InvalidInput", "is not valid")
}

// A529: GetRole tells the boundary, of type "Policy" whatever the model says;
// taking away one that is not there is 404 NoSuchEntity.
// Source: awsdocs/iam-user-guide#82; IAM API reference, DeleteRolePermissionsBoundary (errors).
// Confidence: H, L for the second.
func a529BoundaryOfARole(t T, a *Account) {
	arn, role := a.policy(t, allowLogin()), a.plainRole(t)
	later(t, func(t T) { a.iam(t, "DeleteRolePermissionsBoundary", "RoleName", role) })
	a.iam(t, "PutRolePermissionsBoundary", "RoleName", role, "PermissionsBoundary", arn).want(t, http.StatusOK)
	x := a.iam(t, "GetRole", "RoleName", role).want(t, http.StatusOK)
	same(t, "the boundary", x.element("PermissionsBoundaryArn"), arn)
	same(t, "its type", x.element("PermissionsBoundaryType"), "Policy")
	a.iam(t, "DeleteRolePermissionsBoundary", "RoleName", role).want(t, http.StatusOK)
	a.iam(t, "DeleteRolePermissionsBoundary", "RoleName", role).refused(t, http.StatusNotFound, "NoSuchEntity", "")
}

// A530: ListRoles leaves tags and boundaries out: who wants them asks for each
// role.
// Source: IAM API reference, ListRoles; awsdocs/iam-user-guide#81.
// Confidence: H.
func a530ListRolesLeavesOut(t T, a *Account) {
	arn, role := a.policy(t, allowLogin()), a.name()
	path := "/" + a.name() + "/"
	a.iam(t, "CreateRole", "RoleName", role, "Path", path, "PermissionsBoundary", arn, "Tags.member.1.Key", "k", "Tags.member.1.Value", "v",
		"AssumeRolePolicyDocument", trustOf("Service", "lambda.amazonaws.com", "sts:AssumeRole", nil)).want(t, http.StatusOK)
	later(t, func(t T) { a.iam(t, "DeleteRole", "RoleName", role) })
	x := a.iam(t, "ListRoles", "PathPrefix", path).want(t, http.StatusOK)
	same(t, "the role", x.element("RoleName"), role)
	for _, left := range []string{"PermissionsBoundary", "Tags"} {
		if strings.Contains(string(x.body), "<"+left) {
			t.Errorf("ListRoles tells %s", left)
		}
	}
}

// A531: UpdateRole changes what it names and leaves the rest.
// Source: go-to-k/cdkd#1239, tried on AWS in 2026-07; the IAM API reference says that MaxSessionDuration falls back to an hour.
// Confidence: M.
func a531UpdateRoleKeepsTheRest(t T, a *Account) {
	role := a.plainRole(t)
	a.iam(t, "UpdateRole", "RoleName", role, "MaxSessionDuration", "7200").want(t, http.StatusOK)
	a.iam(t, "UpdateRole", "RoleName", role, "Description", "d").want(t, http.StatusOK)
	x := a.iam(t, "GetRole", "RoleName", role).want(t, http.StatusOK)
	same(t, "MaxSessionDuration", x.element("MaxSessionDuration"), "7200")
	same(t, "Description", x.element("Description"), "d")
}

// A532: A role's tags are one without regard to the case of their keys: the
// later takes the place of the other, as it writes its key.
// Source: IAM guide, "Tags for IAM resources"; aws/aws-cdk#26253, tried on AWS.
// Confidence: H.
func a532TagsOfRolesWithoutCase(t T, a *Account) {
	role := a.plainRole(t)
	for _, key := range []string{"Team", "team"} {
		a.iam(t, "TagRole", "RoleName", role, "Tags.member.1.Key", key, "Tags.member.1.Value", key).want(t, http.StatusOK)
	}
	x := a.iam(t, "ListRoleTags", "RoleName", role).want(t, http.StatusOK)
	same(t, "the key", x.element("Key"), "team")
	if n := strings.Count(string(x.body), "<Key>"); n != 1 {
		t.Errorf("there are %d tags", n)
	}
	a.iam(t, "UntagRole", "RoleName", role, "TagKeys.member.1", "TEAM").want(t, http.StatusOK)
	if x = a.iam(t, "ListRoleTags", "RoleName", role).want(t, http.StatusOK); strings.Contains(string(x.body), "<Key>") {
		t.Errorf("the tag is still there")
	}
}

// A533: A key that a call to TagRole has twice is 400 InvalidInput, one that
// begins with aws: is refused.
// Source: Many reports of "Duplicate tag keys found. Please note that Tag keys are case insensitive." (aws/aws-cdk#26253).
// Confidence: H, L for the code of the second.
func a533TagKeysOnce(t T, a *Account) {
	role := a.plainRole(t)
	a.iam(t, "TagRole", "RoleName", role, "Tags.member.1.Key", "a", "Tags.member.1.Value", "", "Tags.member.2.Key", "A", "Tags.member.2.Value", "").
		refused(t, http.StatusBadRequest, "InvalidInput", "Duplicate tag keys found.")
	a.iam(t, "TagRole", "RoleName", role, "Tags.member.1.Key", "aws:x", "Tags.member.1.Value", "").want(t, http.StatusBadRequest)
}

// A534: AdministratorAccess and PowerUserAccess are AWS's own and can be
// attached; their defaults are v1 and v12.
// Source: AWS managed policy reference.
// Confidence: H; AWS changes PowerUserAccess now and then.
func a534PoliciesOfAWS(t T, a *Account) {
	for name, version := range map[string]string{"AdministratorAccess": "v1", "PowerUserAccess": "v12"} {
		x := a.iam(t, "GetPolicy", "PolicyArn", "arn:aws:iam::aws:policy/"+name).want(t, http.StatusOK)
		same(t, "the version of "+name, x.element("DefaultVersionId"), version)
		same(t, "whether it can be attached", x.element("IsAttachable"), "true")
	}
}

// A535: A service-linked role that is there is 400 InvalidInput, "Service role
// name … has been taken in this account, please try a different suffix."
// Source: Many reports (DataDog/pathfinding-labs#23, chanzuckerberg/cztack#897); AgentCore guide, "Using service-linked roles" (the names).
// Confidence: H. It would leave a role that AgentCore alone lets go.
func a535ServiceLinkedRoleTwice(t T, a *Account) {
	const service = "network.bedrock-agentcore.amazonaws.com"
	const role = "AWSServiceRoleForBedrockAgentCoreNetwork"
	x := a.iam(t, "CreateServiceLinkedRole", "AWSServiceName", service)
	if x.status == http.StatusOK {
		same(t, "the ARN", x.element("Arn"), "arn:aws:iam::"+a.ID+":role/aws-service-role/"+service+"/"+role)
	}
	a.iam(t, "CreateServiceLinkedRole", "AWSServiceName", service).
		refused(t, http.StatusBadRequest, "InvalidInput", "Service role name "+role+" has been taken in this account")
	a.iam(t, "DeleteRole", "RoleName", role).refused(t, http.StatusBadRequest, "UnmodifiableEntity", role)
}
