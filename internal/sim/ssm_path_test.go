package sim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

func TestParametersByPath(t *testing.T) {
	client, ctx := ssmClient(t), t.Context()
	for _, name := range []string{"/app/dev/a", "/app/dev/b", "/app/dev/sub/c", "/app/devil", "/app/x", "plain", "/top"} {
		must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, putString(name, "value of "+name)))
	}
	secret := putString("/app/dev/secret", "hush")
	secret.Type = types.ParameterTypeSecureString
	must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, secret))
	for _, test := range []struct {
		path      string
		recursive bool
		want      string
	}{
		{"/app/dev", false, "/app/dev/a /app/dev/b /app/dev/secret"},
		{"/app/dev/", false, "/app/dev/a /app/dev/b /app/dev/secret"},
		{"/app/dev", true, "/app/dev/a /app/dev/b /app/dev/secret /app/dev/sub/c"},
		{"/app", false, "/app/devil /app/x"},
		{"/app/dev/a", true, ""},
		{"/none", true, ""},
		{"/", false, "/top plain"},
		{"/", true, "/app/dev/a /app/dev/b /app/dev/secret /app/dev/sub/c /app/devil /app/x /top plain"},
	} {
		var names []string
		pages := ssm.NewGetParametersByPathPaginator(client, &ssm.GetParametersByPathInput{Path: &test.path, Recursive: &test.recursive, MaxResults: aws.Int32(3)})
		for pages.HasMorePages() {
			page := must[*ssm.GetParametersByPathOutput](t)(pages.NextPage(ctx))
			if len(page.Parameters) > 3 {
				t.Errorf("%s: a page of %d", test.path, len(page.Parameters))
			}
			for _, p := range page.Parameters {
				names = append(names, *p.Name)
				if p.Type == types.ParameterTypeString && (*p.Value != "value of "+*p.Name || p.Version != 1) {
					t.Errorf("%s is %+v", *p.Name, p)
				}
			}
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("%s (recursive %v): %s, want %s", test.path, test.recursive, got, test.want)
		}
	}
	for decrypt, plain := range map[bool]bool{true: true, false: false} {
		out := must[*ssm.GetParametersByPathOutput](t)(client.GetParametersByPath(ctx, &ssm.GetParametersByPathInput{Path: aws.String("/app/dev"), WithDecryption: &decrypt}))
		if got := *out.Parameters[2].Value; (got == "hush") != plain {
			t.Errorf("with decryption %v, the secret is %q", decrypt, got)
		}
	}
}

func TestParametersByPathRefuses(t *testing.T) {
	client, ctx := ssmClient(t), t.Context()
	must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, putString("/a/b", "v")))
	for code, in := range map[string][]ssm.GetParametersByPathInput{
		"ValidationException": {{Path: aws.String("a")}, {Path: aws.String("a/b")}, {Path: aws.String("//")}, {Path: aws.String("/a//b")},
			{Path: aws.String("/a/../b c")}, {Path: aws.String("/a\x00")}, {Path: aws.String("/ssm/x")},
			{Path: aws.String("/a"), MaxResults: aws.Int32(0)}, {Path: aws.String("/a"), MaxResults: aws.Int32(11)}},
		"HierarchyLevelLimitExceededException": {{Path: aws.String(strings.Repeat("/x", 16))}},
		"InvalidNextToken":                     {{Path: aws.String("/a"), NextToken: aws.String("%")}, {Path: aws.String("/a"), NextToken: aws.String("djE")}},
		"InvalidFilterKey":                     {{Path: aws.String("/a"), ParameterFilters: []types.ParameterStringFilter{{Key: aws.String("Type")}}}},
	} {
		for _, call := range in {
			_, err := client.GetParametersByPath(ctx, &call)
			wantCode(t, err, code)
		}
	}
}

func TestDescribeParameters(t *testing.T) {
	client, ctx := ssmClient(t), t.Context()
	var want []string
	for i := range 7 {
		name := fmt.Sprintf("/p/%d", i)
		want = append(want, name)
		must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, putString(name, "v")))
	}
	var got []string
	pages := ssm.NewDescribeParametersPaginator(client, &ssm.DescribeParametersInput{MaxResults: aws.Int32(3)})
	for pages.HasMorePages() {
		for _, p := range must[*ssm.DescribeParametersOutput](t)(pages.NextPage(ctx)).Parameters {
			got = append(got, *p.Name)
			if *p.ARN != "arn:aws:ssm:us-east-1:111122223333:parameter"+*p.Name || p.Version != 1 || p.Tier != types.ParameterTierStandard || p.LastModifiedDate.IsZero() {
				t.Errorf("described %+v", p)
			}
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("described %v", got)
	}
	for code, in := range map[string]ssm.DescribeParametersInput{
		"ValidationException": {MaxResults: aws.Int32(51)},
		"InvalidNextToken":    {NextToken: aws.String("x y")},
		"InvalidFilterKey":    {ParameterFilters: []types.ParameterStringFilter{{Key: aws.String("Name"), Values: []string{"x"}}}},
	} {
		_, err := client.DescribeParameters(ctx, &in)
		wantCode(t, err, code)
	}
}

// TestParameterQuota fills a tier without writing it to the disk.
func TestParameterQuota(t *testing.T) {
	c, srv := startCloud(t)
	client := ssm.NewFromConfig(adminConfig(t, srv, DefaultAccount))
	k := &call{account: DefaultAccount, region: DefaultRegion}
	for i := range maxStandard {
		c.store.remember(k.parameterKey(fmt.Sprintf("/p/%d", i)), rawOf(parameter{Name: fmt.Sprintf("/p/%d", i),
			Versions: []parameterVersion{{Version: 1, Type: "String", Value: "v", Tier: "Standard"}}}))
	}
	_, err := client.PutParameter(t.Context(), putString("/one/more", "v"))
	wantCode(t, err, "ParameterLimitExceeded")
	advanced := putString("/one/more", "v")
	advanced.Tier = types.ParameterTierAdvanced
	must[*ssm.PutParameterOutput](t)(client.PutParameter(t.Context(), advanced))
	again := putString("/p/1", "w")
	again.Overwrite = aws.Bool(true)
	must[*ssm.PutParameterOutput](t)(client.PutParameter(t.Context(), again))
	var count int
	pages := ssm.NewGetParametersByPathPaginator(client, &ssm.GetParametersByPathInput{Path: aws.String("/p")})
	for range 20 {
		count += len(must[*ssm.GetParametersByPathOutput](t)(pages.NextPage(t.Context())).Parameters)
	}
	if count != 200 {
		t.Errorf("twenty pages hold %d parameters", count)
	}
}
