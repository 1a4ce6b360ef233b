package sim

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// TestPagesHaveBounds: each list refuses pages of no size, pages that are too
// large, and tokens that it has not given, with its service's code.
func TestPagesHaveBounds(t *testing.T) {
	h := newHub(t, "team/agent")
	config := adminConfig(t, h.srv, DefaultAccount)
	parameters, roles, logs := ssm.NewFromConfig(config), iam.NewFromConfig(config), cloudwatchlogs.NewFromConfig(config)
	ctx := t.Context()
	must[*ssm.PutParameterOutput](t)(parameters.PutParameter(ctx, putString("/p/x", "v")))
	executionRole(t, h.srv, DefaultAccount, "exec")
	if err := h.cloud.appendLogs(DefaultAccount, DefaultRegion, testGroup, "s", []string{"event"}); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string]struct {
		most        int32
		size, token string // the codes
		call        func(size *int32, token *string) error
	}{
		"DescribeRepositories": {1000, "InvalidParameterException", "InvalidParameterException", func(n *int32, s *string) error {
			return second(h.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{MaxResults: n, NextToken: s}))
		}},
		"DescribeImages": {1000, "InvalidParameterException", "InvalidParameterException", func(n *int32, s *string) error {
			return second(h.ecr.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: &h.repository, MaxResults: n, NextToken: s}))
		}},
		"ListImages": {1000, "InvalidParameterException", "InvalidParameterException", func(n *int32, s *string) error {
			return second(h.ecr.ListImages(ctx, &ecr.ListImagesInput{RepositoryName: &h.repository, MaxResults: n, NextToken: s}))
		}},
		"GetParameterHistory": {50, "ValidationException", "InvalidNextToken", func(n *int32, s *string) error {
			return second(parameters.GetParameterHistory(ctx, &ssm.GetParameterHistoryInput{Name: aws.String("/p/x"), MaxResults: n, NextToken: s}))
		}},
		"GetParametersByPath": {10, "ValidationException", "InvalidNextToken", func(n *int32, s *string) error {
			return second(parameters.GetParametersByPath(ctx, &ssm.GetParametersByPathInput{Path: aws.String("/p"), MaxResults: n, NextToken: s}))
		}},
		"DescribeParameters": {50, "ValidationException", "InvalidNextToken", func(n *int32, s *string) error {
			return second(parameters.DescribeParameters(ctx, &ssm.DescribeParametersInput{MaxResults: n, NextToken: s}))
		}},
		"ListRoles": {1000, "ValidationError", "ValidationError", func(n *int32, s *string) error {
			return second(roles.ListRoles(ctx, &iam.ListRolesInput{MaxItems: n, Marker: s}))
		}},
		"ListRolePolicies": {1000, "ValidationError", "ValidationError", func(n *int32, s *string) error {
			return second(roles.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: aws.String("exec"), MaxItems: n, Marker: s}))
		}},
		"ListAttachedRolePolicies": {1000, "ValidationError", "ValidationError", func(n *int32, s *string) error {
			return second(roles.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: aws.String("exec"), MaxItems: n, Marker: s}))
		}},
		"FilterLogEvents": {10_000, "InvalidParameterException", "InvalidParameterException", func(n *int32, s *string) error {
			return second(logs.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(testGroup), Limit: n, NextToken: s}))
		}},
		"DescribeLogGroups": {50, "InvalidParameterException", "InvalidParameterException", func(n *int32, s *string) error {
			return second(logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{Limit: n, NextToken: s}))
		}},
		"DescribeLogStreams": {50, "InvalidParameterException", "InvalidParameterException", func(n *int32, s *string) error {
			return second(logs.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String(testGroup), Limit: n, NextToken: s}))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int32{1, list.most} {
				if err := list.call(&size, nil); err != nil {
					t.Errorf("a page of %d: %v", size, err)
				}
			}
			for _, size := range []int32{0, -1, list.most + 1} {
				wantCode(t, list.call(&size, nil), list.size)
			}
			for _, token := range []string{"%", "not base64!", "ÿ"} {
				wantCode(t, list.call(nil, &token), list.token)
			}
		})
	}
}
