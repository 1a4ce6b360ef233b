package assume

import (
	"net/http"
	"strings"
)

// ecrPolicies lists the assumptions about what a repository has beside images.
func ecrPolicies() []Assumption {
	return []Assumption{
		{"A230", "", a230PoliciesThatAreNotThere}, {"A231", "", a231RepositoryPoliciesAreWrittenAnew},
		{"A232", "", a232RepositoryPoliciesAreChecked}, {"A233", "", a233LifecycleInOneLine}, {"A234", "", a234LifecycleIsChecked},
		{"A235", "", a235LifecycleLength}, {"A236", "", a236TagsOfRepositories}, {"A237", "", a237ScanOnPush},
	}
}

// lifecycleOf is a lifecycle policy of rules.
func lifecycleOf(rules ...string) string { return `{"rules":[` + strings.Join(rules, ",") + `]}` }

// leftovers is a rule with a priority.
func leftovers(priority string) string {
	return `{"rulePriority":` + priority + `,"description":"leftovers of interrupted pushes, and of nothing else","selection":` +
		`{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":30},"action":{"type":"expire"}}`
}

// A230: A repository's policy or lifecycle policy that is not there is 400
// RepositoryPolicyNotFoundException or LifecyclePolicyNotFoundException, read or
// deleted.
// Source: ECR API reference, GetRepositoryPolicy, GetLifecyclePolicy (errors).
// Confidence: H.
func a230PoliciesThatAreNotThere(t T, a *Account) {
	on := document{"repositoryName": a.repository(t, nil)}
	for _, kind := range []string{"RepositoryPolicy", "LifecyclePolicy"} {
		a.json11(t, "ecr", "Get"+kind, on).refused(t, http.StatusBadRequest, kind+"NotFoundException", "does not exist for the repository with name")
		a.json11(t, "ecr", "Delete"+kind, on).refused(t, http.StatusBadRequest, kind+"NotFoundException", "")
	}
}

// A231: ECR gives a repository's policy back written anew: a member a line,
// with a space before and after the colon, lists on one line.
// Source: AWS CLI reference, set-repository-policy (example); hashicorp/terraform-provider-aws#7853.
// Confidence: H that the text is another, M for its form.
func a231RepositoryPoliciesAreWrittenAnew(t T, a *Account) {
	name := a.repository(t, nil)
	text := `{"Version":"2012-10-17","Statement":[{"Sid":"pull by us","Effect":"Allow","Principal":"*","Action":["ecr:BatchGetImage","ecr:ListImages"],` +
		`"Condition":{"StringEquals":{"aws:PrincipalAccount":"` + a.ID + `"}}}]}`
	want := "{\n  \"Version\" : \"2012-10-17\",\n  \"Statement\" : [ {\n    \"Sid\" : \"pull by us\",\n    \"Effect\" : \"Allow\",\n    \"Principal\" : \"*\",\n" +
		"    \"Action\" : [ \"ecr:BatchGetImage\", \"ecr:ListImages\" ],\n    \"Condition\" : {\n      \"StringEquals\" : {\n" +
		"        \"aws:PrincipalAccount\" : \"" + a.ID + "\"\n      }\n    }\n  } ]\n}"
	x := a.json11(t, "ecr", "SetRepositoryPolicy", document{"repositoryName": name, "policyText": text}).want(t, http.StatusOK)
	same(t, "what is answered", x.text("policyText"), want)
	x = a.json11(t, "ecr", "GetRepositoryPolicy", document{"repositoryName": name}).want(t, http.StatusOK)
	same(t, "what is kept", x.text("policyText"), want)
}

// A232: A repository's policy that is none, that names a resource, or whose
// principal can't be one is 400 InvalidParameterException.
// Source: Many reports of "Invalid repository policy provided" (terraform-aws-modules/terraform-aws-ecr#19, hashicorp/terraform-provider-aws#3924).
// Confidence: H for the principal, M for the resource.
func a232RepositoryPoliciesAreChecked(t T, a *Account) {
	name := a.repository(t, nil)
	statement := `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + a.ID + `:root"},"Action":"ecr:BatchGetImage"}`
	a.json11(t, "ecr", "SetRepositoryPolicy", document{"repositoryName": name, "policyText": policyOf(statement)}).want(t, http.StatusOK)
	for _, bad := range []string{"{", strings.Replace(statement, `"Action"`, `"Resource":"*","Action"`, 1), strings.Replace(statement, ":root", ":*", 1)} {
		a.json11(t, "ecr", "SetRepositoryPolicy", document{"repositoryName": name, "policyText": policyOf(bad)}).
			refused(t, http.StatusBadRequest, "InvalidParameterException", "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'")
	}
}

// A233: ECR gives a lifecycle policy back in one line, its rules by priority.
// Source: AWS CLI reference, put-lifecycle-policy (example); Pulumi's and Terraform's documentation of the resource ("seems to reorder rules").
// Confidence: M.
func a233LifecycleInOneLine(t T, a *Account) {
	name := a.repository(t, nil)
	every := `{"rulePriority":7,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":9000},"action":{"type":"expire"}}`
	text := strings.ReplaceAll(lifecycleOf(every, leftovers("3")), `":`, "\" : ")
	x := a.json11(t, "ecr", "PutLifecyclePolicy", document{"repositoryName": name, "lifecyclePolicyText": text}).want(t, http.StatusOK)
	same(t, "what is answered", x.text("lifecyclePolicyText"), lifecycleOf(leftovers("3"), every))
}

// A234: A lifecycle policy that is not of the documented form is 400
// InvalidParameterException: an unknown member, null, a priority that is there
// twice, a rule for any image that is not the last.
// Source: ECR guide, "Lifecycle policy properties"; cloudposse/terraform-aws-ecr#158 (null), hashicorp/terraform-provider-aws#45909.
// Confidence: H.
func a234LifecycleIsChecked(t T, a *Account) {
	name := a.repository(t, nil)
	rule := leftovers("5")
	every := `{"rulePriority":3,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":9000},"action":{"type":"expire"}}`
	for _, bad := range []string{
		lifecycleOf(strings.Replace(rule, `"type":"expire"`, `"type":"expire","targetStorageClass":null`, 1)),
		lifecycleOf(strings.Replace(rule, `"rulePriority"`, `"note":"x","rulePriority"`, 1)),
		lifecycleOf(strings.Replace(rule, `"untagged"`, `"tagged"`, 1)), lifecycleOf(rule, rule), lifecycleOf(rule, every),
	} {
		a.json11(t, "ecr", "PutLifecyclePolicy", document{"repositoryName": name, "lifecyclePolicyText": bad}).
			refused(t, http.StatusBadRequest, "InvalidParameterException", "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint")
	}
}

// A235: A lifecycle policy's text has 100 to 30,720 characters; another length
// is 400 InvalidParameterException.
// Source: ECR API reference, PutLifecyclePolicy.
// Confidence: H for the bounds, L for the code.
func a235LifecycleLength(t T, a *Account) {
	name := a.repository(t, nil)
	for _, bad := range []string{`{"rules":[]}`, lifecycleOf(strings.Replace(leftovers("1"), "leftovers", strings.Repeat("x", 30720), 1))} {
		a.json11(t, "ecr", "PutLifecyclePolicy", document{"repositoryName": name, "lifecyclePolicyText": bad}).
			refused(t, http.StatusBadRequest, "InvalidParameterException", "")
	}
}

// A236: A repository is tagged by its ARN; a key that is there gets the new
// value, and keys are told apart by case.
// Source: ECR API reference, TagResource, UntagResource, ListTagsForResource; AWS general reference, "Tagging".
// Confidence: H.
func a236TagsOfRepositories(t T, a *Account) {
	arn := "arn:aws:ecr:" + a.Region + ":" + a.ID + ":repository/" + a.repository(t, nil)
	for _, value := range []string{"one", "two"} {
		tags := []document{{"Key": "team", "Value": value}, {"Key": "Team", "Value": "other"}}
		a.json11(t, "ecr", "TagResource", document{"resourceArn": arn, "tags": tags}).want(t, http.StatusOK)
	}
	a.json11(t, "ecr", "UntagResource", document{"resourceArn": arn, "tagKeys": []string{"Team"}}).want(t, http.StatusOK)
	x := a.json11(t, "ecr", "ListTagsForResource", document{"resourceArn": arn}).want(t, http.StatusOK)
	same(t, "the key", x.text("tags.0.Key"), "team")
	same(t, "the value", x.text("tags.0.Value"), "two")
	same(t, "a second tag", x.text("tags.1.Key"), "")
	a.json11(t, "ecr", "TagResource", document{"resourceArn": arn + "x", "tags": []document{{"Key": "k", "Value": "v"}}}).
		refused(t, http.StatusBadRequest, "RepositoryNotFoundException", "")
}

// A237: PutImageScanningConfiguration turns scanning on push on and off, and
// DescribeRepositories tells.
// Source: ECR API reference, PutImageScanningConfiguration.
// Confidence: H.
func a237ScanOnPush(t T, a *Account) {
	name := a.repository(t, nil)
	for _, on := range []string{"true", "false"} {
		a.json11(t, "ecr", "PutImageScanningConfiguration", document{"repositoryName": name,
			"imageScanningConfiguration": document{"scanOnPush": on == "true"}}).want(t, http.StatusOK)
		x := a.json11(t, "ecr", "DescribeRepositories", document{"repositoryNames": []string{name}}).want(t, http.StatusOK)
		same(t, "scanOnPush", x.text("repositories.0.imageScanningConfiguration.scanOnPush"), on)
	}
}
