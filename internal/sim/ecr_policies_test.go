package sim

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

const sharedPolicy = `{"Version":"2012-10-17","Statement":[{"Sid":"Pull","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:user/administrator"},"Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer","ecr:DescribeRepositories"]}]}`

// TestRepositoryPolicy: another account sees a repository when both say so.
func TestRepositoryPolicy(t *testing.T) {
	_, srv := startCloud(t)
	owner, ctx := ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	other := ecr.NewFromConfig(adminConfig(t, srv, "444455556666"))
	name := aws.String("team/shared")
	if _, err := owner.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: name}); err != nil {
		t.Fatal(err)
	}
	look := func() error {
		_, err := other.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RegistryId: aws.String(DefaultAccount), RepositoryNames: []string{*name}})
		return err
	}
	wantFault(t, look(), "AccessDeniedException", 400, "because no resource-based policy allows the ecr:DescribeRepositories action")
	_, err := owner.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: name})
	wantFault(t, err, "RepositoryPolicyNotFoundException", 400, "does not exist")
	for _, bad := range []string{
		"{", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*"}]}`,
		strings.Replace(sharedPolicy, `"Sid":"Pull"`, `"Resource":"*"`, 1), strings.Replace(sharedPolicy, "ecr:BatchGetImage", "s3:GetObject", 1),
		strings.Replace(sharedPolicy, "arn:aws:iam::444455556666:user/administrator", "arn:aws:iam::444455556666:*", 1),
	} {
		_, err := owner.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: name, PolicyText: &bad})
		wantFault(t, err, "InvalidParameterException", 400, "Invalid repository policy provided")
	}
	if _, err := owner.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: name, PolicyText: aws.String(sharedPolicy)}); err != nil {
		t.Fatal(err)
	}
	if err := look(); err != nil {
		t.Error(err)
	}
	got, err := owner.GetRepositoryPolicy(ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: name})
	if err != nil || *got.PolicyText != printed(sharedPolicy) || *got.RegistryId != DefaultAccount {
		t.Errorf("%+v, %v", got, err)
	}
	if gone, err := owner.DeleteRepositoryPolicy(ctx, &ecr.DeleteRepositoryPolicyInput{RepositoryName: name}); err != nil || *gone.PolicyText != printed(sharedPolicy) {
		t.Errorf("%+v, %v", gone, err)
	}
	wantFault(t, look(), "AccessDeniedException", 400, "because no resource-based policy")
}

const keepPolicy = `{"rules":[{"rulePriority":1,"description":"leftovers of interrupted pushes","selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":30},"action":{"type":"expire"}}]}`

func TestLifecyclePolicy(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	name := aws.String("team/agent")
	if _, err := client.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: name}); err != nil {
		t.Fatal(err)
	}
	_, err := client.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: name})
	wantFault(t, err, "LifecyclePolicyNotFoundException", 400, "does not exist")
	for old, bad := range map[string]string{
		`"rulePriority":1`:               `"rulePriority":0`,
		`"tagStatus":"untagged"`:         `"tagStatus":"tagged"`,
		`"countUnit":"days"`:             `"countUnit":"weeks"`,
		`"countType":"sinceImagePushed"`: `"countType":"imageCountMoreThan"`,
		`"countNumber":30`:               `"countNumber":0`,
		`"type":"expire"`:                `"type":"forget"`,
		`"rules":[{`:                     `"rules":[],"more":[{`,
		"leftovers":                      strings.Repeat("x", 31000),
		// One that ECR would not read is not silently left out.
		`"description"`:              `"Description"`,
		`"type":"expire"}`:           `"type":"expire","targetStorageClass":null}`,
		`{"type":"expire"}}]}`:       `{"type":"expire"},"note":""}]}`,
		`"selection":{`:              `"rulePriority":2,"selection":{`,
		`"tagStatus":"untagged",`:    `"tagStatus":"tagged","tagPatternList":["*a*b*c*d*"],`,
		`"rules":[{"rulePriority":1`: `"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":9},"action":{"type":"expire"}},{"rulePriority":2`,
	} {
		text := strings.Replace(keepPolicy, old, bad, 1)
		if text == keepPolicy {
			t.Fatalf("%s is not in the policy", old)
		}
		_, err := client.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: name, LifecyclePolicyText: &text})
		wantFault(t, err, "InvalidParameterException", 400, "LifecyclePolicyText")
	}
	if _, err := client.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: name, LifecyclePolicyText: aws.String(keepPolicy)}); err != nil {
		t.Fatal(err)
	}
	got, err := client.GetLifecyclePolicy(ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: name})
	if err != nil || *got.LifecyclePolicyText != keepPolicy {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := client.DeleteLifecyclePolicy(ctx, &ecr.DeleteLifecyclePolicyInput{RepositoryName: name}); err != nil {
		t.Error(err)
	}
}

func TestRepositoryTagsAndScanning(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	made, err := client.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("team/agent"), Tags: []ecrtypes.Tag{{Key: aws.String("team"), Value: aws.String("a")}}})
	if err != nil {
		t.Fatal(err)
	}
	arn := made.Repository.RepositoryArn
	if _, err := client.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: arn, Tags: []ecrtypes.Tag{{Key: aws.String("slipway"), Value: aws.String("dev")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UntagResource(ctx, &ecr.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"team"}}); err != nil {
		t.Fatal(err)
	}
	tags, err := client.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: arn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "slipway" {
		t.Errorf("%+v, %v", tags, err)
	}
	for _, foreign := range []string{"arn:aws:s3:::x", strings.Replace(*arn, DefaultRegion, "eu-west-1", 1)} {
		_, err = client.ListTagsForResource(ctx, &ecr.ListTagsForResourceInput{ResourceArn: &foreign})
		wantFault(t, err, "InvalidParameterException", 400, "resourceArn")
	}
	for code, keys := range map[string][]string{
		"InvalidTagParameterException": {"a", "a"}, "TooManyTagsException": strings.Split(strings.Repeat("x ", 50), " "),
	} {
		_, err = client.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: arn, Tags: repositoryTags(keys...)})
		wantFault(t, err, code, 400, "")
		_, err = client.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("team/other"), Tags: repositoryTags(keys...)})
		wantFault(t, err, code, 400, "")
	}
	_, err = client.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: arn, Tags: repositoryTags("aws:cloudformation:stack-name")})
	wantFault(t, err, "InvalidTagParameterException", 400, "aws:")
	if _, err := client.PutImageScanningConfiguration(ctx, &ecr.PutImageScanningConfigurationInput{RepositoryName: aws.String("team/agent"),
		ImageScanningConfiguration: &ecrtypes.ImageScanningConfiguration{ScanOnPush: true}}); err != nil {
		t.Fatal(err)
	}
	got, err := client.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{})
	if err != nil || !got.Repositories[0].ImageScanningConfiguration.ScanOnPush {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestDocumentsComeBackAsECRWritesThem: in the forms of the AWS CLI's examples.
func TestDocumentsComeBackAsECRWritesThem(t *testing.T) {
	_, srv := startCloud(t)
	client, ctx := ecr.NewFromConfig(adminConfig(t, srv, DefaultAccount)), t.Context()
	name := aws.String("team/agent")
	if _, err := client.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: name}); err != nil {
		t.Fatal(err)
	}
	set, err := client.SetRepositoryPolicy(ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: name, PolicyText: aws.String(
		`{"Version":"2008-10-17","Statement":[{"Sid":"a < b","Effect":"Allow","Principal":"*","Action":["ecr:BatchGetImage","ecr:ListImages"],"Condition":{}}]}`)})
	want := "{\n  \"Version\" : \"2008-10-17\",\n  \"Statement\" : [ {\n    \"Sid\" : \"a < b\",\n    \"Effect\" : \"Allow\",\n    \"Principal\" : \"*\",\n" +
		"    \"Action\" : [ \"ecr:BatchGetImage\", \"ecr:ListImages\" ],\n    \"Condition\" : { }\n  } ]\n}"
	if err != nil || *set.PolicyText != want {
		t.Errorf("%v, %s", err, *set.PolicyText)
	}
	rule := `{ "rulePriority": PRIORITY, "selection": {"countNumber": 1, "tagStatus": "tagged", "tagPatternList": ["a*"], "countType": "imageCountMoreThan"}, "action": {"type": "expire"} }`
	put, err := client.PutLifecyclePolicy(ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: name, LifecyclePolicyText: aws.String(
		`{"rules": [` + strings.Replace(rule, "PRIORITY", "20", 1) + ",\n" + strings.Replace(rule, "PRIORITY", "3", 1) + `]}`)})
	anew := `{"rulePriority":PRIORITY,"selection":{"tagStatus":"tagged","tagPatternList":["a*"],"countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}`
	want = `{"rules":[` + strings.Replace(anew, "PRIORITY", "3", 1) + "," + strings.Replace(anew, "PRIORITY", "20", 1) + `]}`
	if err != nil || *put.LifecyclePolicyText != want {
		t.Errorf("%v, %s", err, *put.LifecyclePolicyText)
	}
}

func repositoryTags(keys ...string) []ecrtypes.Tag {
	var tags []ecrtypes.Tag
	for _, key := range keys {
		tags = append(tags, ecrtypes.Tag{Key: &key, Value: aws.String("v")})
	}
	return tags
}
