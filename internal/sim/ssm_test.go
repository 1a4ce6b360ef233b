package sim

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"
)

func ssmClient(t *testing.T) *ssm.Client {
	t.Helper()
	_, srv := startCloud(t)
	return ssm.NewFromConfig(adminConfig(t, srv, DefaultAccount))
}

// wantCode fails unless err is AWS's error of that code.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("got %v, want the error %s", err, code)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func putString(name, value string) *ssm.PutParameterInput {
	return &ssm.PutParameterInput{Name: &name, Value: &value, Type: types.ParameterTypeString}
}

func TestParameterLife(t *testing.T) {
	client, ctx := ssmClient(t), t.Context()
	const name = "/customerServiceAgent/dev/runtime-id"
	put := must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, putString(name, "one")))
	if put.Version != 1 || put.Tier != types.ParameterTierStandard {
		t.Errorf("first put answered %+v", put)
	}
	_, err := client.PutParameter(ctx, putString(name, "two"))
	wantCode(t, err, "ParameterAlreadyExists")

	over := putString(name, "two")
	over.Overwrite, over.Type = aws.Bool(true), ""
	if put := must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, over)); put.Version != 2 {
		t.Errorf("overwrite made version %d, want 2", put.Version)
	}
	arn := "arn:aws:ssm:us-east-1:111122223333:parameter" + name
	for ref, want := range map[string]string{name: "two", name + ":1": "one", arn: "two", arn + ":1": "one"} {
		got := must[*ssm.GetParameterOutput](t)(client.GetParameter(ctx, &ssm.GetParameterInput{Name: &ref})).Parameter
		if *got.Value != want || *got.Name != name || *got.ARN != arn || got.Type != types.ParameterTypeString || got.LastModifiedDate.IsZero() {
			t.Errorf("%s answered %+v", ref, got)
		}
	}
	_, err = client.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name + ":3")})
	wantCode(t, err, "ParameterVersionNotFound")

	must[*ssm.DeleteParameterOutput](t)(client.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: aws.String(name)}))
	_, err = client.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name)})
	wantCode(t, err, "ParameterNotFound")
	_, err = client.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: aws.String(name)})
	wantCode(t, err, "ParameterNotFound")
	if put := must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, putString(name, "three"))); put.Version != 1 {
		t.Errorf("created again with version %d, want 1", put.Version)
	}
}

func TestParametersOfOtherAccountsAndRegionsAreApart(t *testing.T) {
	_, srv := startCloud(t)
	ctx := t.Context()
	ours := ssm.NewFromConfig(adminConfig(t, srv, DefaultAccount))
	theirs := ssm.NewFromConfig(adminConfig(t, srv, "444455556666"))
	must[*ssm.PutParameterOutput](t)(ours.PutParameter(ctx, putString("/a/b", "ours")))
	for _, ref := range []string{"/a/b", "arn:aws:ssm:us-east-1:111122223333:parameter/a/b"} {
		_, err := theirs.GetParameter(ctx, &ssm.GetParameterInput{Name: &ref})
		wantCode(t, err, "ParameterNotFound")
	}
	_, err := ours.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/a/b")}, func(o *ssm.Options) { o.Region = "eu-west-1" })
	wantCode(t, err, "ParameterNotFound")
}

func TestGetAndDeleteParameters(t *testing.T) {
	client, ctx := ssmClient(t), t.Context()
	for _, name := range []string{"/a/1", "/a/2", "plain"} {
		must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, putString(name, "v")))
	}
	got := must[*ssm.GetParametersOutput](t)(client.GetParameters(ctx, &ssm.GetParametersInput{Names: []string{"/a/2", "/no", "plain"}}))
	if len(got.Parameters) != 2 || *got.Parameters[0].Name != "/a/2" || fmt.Sprint(got.InvalidParameters) != "[/no]" {
		t.Errorf("GetParameters answered %+v, invalid %v", got.Parameters, got.InvalidParameters)
	}
	if arn := *got.Parameters[1].ARN; arn != "arn:aws:ssm:us-east-1:111122223333:parameter/plain" {
		t.Errorf("ARN of a name without a slash is %s", arn)
	}
	_, err := client.GetParameters(ctx, &ssm.GetParametersInput{Names: strings.Split(strings.Repeat("x,", 10)+"x", ",")})
	wantCode(t, err, "ValidationException")

	gone := must[*ssm.DeleteParametersOutput](t)(client.DeleteParameters(ctx, &ssm.DeleteParametersInput{Names: []string{"/a/1", "/no"}}))
	if fmt.Sprint(gone.DeletedParameters, gone.InvalidParameters) != "[/a/1] [/no]" {
		t.Errorf("DeleteParameters answered %v, invalid %v", gone.DeletedParameters, gone.InvalidParameters)
	}
}

func TestPutParameterRefuses(t *testing.T) {
	client, ctx := ssmClient(t), t.Context()
	type in = ssm.PutParameterInput
	for what, test := range map[string]struct {
		change func(*in)
		code   string
	}{
		"no type":             {func(p *in) { p.Type = "" }, "ValidationException"},
		"unknown type":        {func(p *in) { p.Type = "Number" }, "ValidationException"},
		"empty value":         {func(p *in) { p.Value = aws.String("") }, "ValidationException"},
		"over 4 KB":           {func(p *in) { p.Value = aws.String(strings.Repeat("x", 4097)) }, "ValidationException"},
		"over 8 KB":           {func(p *in) { p.Value = aws.String(strings.Repeat("x", 8193)); p.Tier = "Advanced" }, "ValidationException"},
		"nested":              {func(p *in) { p.Value = aws.String("a {{ssm:other}}") }, "ValidationException"},
		"not fully qualified": {func(p *in) { p.Name = aws.String("a/b") }, "ValidationException"},
		"bad character":       {func(p *in) { p.Name = aws.String("/a/b c") }, "ValidationException"},
		"an ARN":              {func(p *in) { p.Name = aws.String("arn:aws:ssm:us-east-1:111122223333:parameter/a") }, "ValidationException"},
		"empty level":         {func(p *in) { p.Name = aws.String("/a//b") }, "ValidationException"},
		"too long":            {func(p *in) { p.Name = aws.String("/" + strings.Repeat("a", 1011)) }, "ValidationException"},
		"16 levels":           {func(p *in) { p.Name = aws.String(strings.Repeat("/a", 16)) }, "HierarchyLevelLimitExceededException"},
		"reserved":            {func(p *in) { p.Name = aws.String("/aws/service/x") }, "AccessDeniedException"},
		"reserved name":       {func(p *in) { p.Name = aws.String("ssmThing") }, "ValidationException"},
		"key of a String":     {func(p *in) { p.KeyId = aws.String("alias/aws/ssm") }, "ValidationException"},
		"unknown key":         {func(p *in) { p.Type = "SecureString"; p.KeyId = aws.String("alias/mine") }, "InvalidKeyId"},
		"policies":            {func(p *in) { p.Policies = aws.String("[{}]") }, "ValidationException"},
		"data type":           {func(p *in) { p.DataType = aws.String("aws:ec2:image") }, "ValidationException"},
		"pattern":             {func(p *in) { p.AllowedPattern = aws.String(`^\d+$`) }, "ParameterPatternMismatchException"},
		"broken pattern":      {func(p *in) { p.AllowedPattern = aws.String(`(`) }, "InvalidAllowedPatternException"},
		"tags over": {func(p *in) {
			p.Overwrite = aws.Bool(true)
			p.Tags = []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
		}, "ValidationException"},
	} {
		t.Run(what, func(t *testing.T) {
			put := putString("/refused/"+strings.ReplaceAll(what, " ", "-"), "value")
			test.change(put)
			_, err := client.PutParameter(ctx, put)
			wantCode(t, err, test.code)
			_, err = client.GetParameter(ctx, &ssm.GetParameterInput{Name: put.Name})
			wantCode(t, err, "ParameterNotFound")
		})
	}
}

func TestParameterTypesAndTiers(t *testing.T) {
	client, ctx := ssmClient(t), t.Context()
	big := putString("/big", strings.Repeat("x", 5000))
	big.Tier = types.ParameterTierIntelligentTiering
	if put := must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, big)); put.Tier != types.ParameterTierAdvanced {
		t.Errorf("intelligent tiering chose %s for 5000 bytes", put.Tier)
	}
	big.Overwrite, big.Tier, big.Value = aws.Bool(true), types.ParameterTierStandard, aws.String("small")
	_, err := client.PutParameter(ctx, big)
	wantCode(t, err, "ValidationException")
	big.Tier, big.Type = "", types.ParameterTypeStringList
	_, err = client.PutParameter(ctx, big)
	wantCode(t, err, "HierarchyTypeMismatchException")

	secret := putString("/secret", "canary-value")
	secret.Type = types.ParameterTypeSecureString
	must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, secret))
	for _, decrypt := range []bool{true, false} {
		got := must[*ssm.GetParameterOutput](t)(client.GetParameter(ctx, &ssm.GetParameterInput{Name: secret.Name, WithDecryption: &decrypt}))
		if shown := strings.Contains(*got.Parameter.Value, "canary"); shown != decrypt {
			t.Errorf("with decryption %v the value is %q", decrypt, *got.Parameter.Value)
		}
	}
}

func TestParameterHistoryKeepsTheNewestHundred(t *testing.T) {
	client, ctx := ssmClient(t), t.Context()
	put := putString("/agent/dev/release", "v1")
	must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, put))
	put.Overwrite = aws.Bool(true)
	for n := 2; n <= 103; n++ {
		put.Value = aws.String(fmt.Sprintf("v%d", n))
		must[*ssm.PutParameterOutput](t)(client.PutParameter(ctx, put))
	}
	var versions []int64
	pages := ssm.NewGetParameterHistoryPaginator(client, &ssm.GetParameterHistoryInput{Name: put.Name, MaxResults: aws.Int32(30)})
	for pages.HasMorePages() {
		page := must[*ssm.GetParameterHistoryOutput](t)(pages.NextPage(ctx))
		for _, entry := range page.Parameters {
			versions = append(versions, entry.Version)
			if *entry.Value != fmt.Sprintf("v%d", entry.Version) || *entry.LastModifiedUser != "arn:aws:iam::111122223333:user/administrator" {
				t.Fatalf("history has %s by %s as version %d", *entry.Value, *entry.LastModifiedUser, entry.Version)
			}
		}
	}
	if len(versions) != 100 || versions[0] != 4 || versions[99] != 103 {
		t.Errorf("history has %d versions: %v", len(versions), versions)
	}
	_, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/agent/dev/release:3")})
	wantCode(t, err, "ParameterVersionNotFound")
	_, err = client.GetParameterHistory(ctx, &ssm.GetParameterHistoryInput{Name: put.Name, NextToken: aws.String("junk")})
	wantCode(t, err, "InvalidNextToken")
	_, err = client.GetParameterHistory(ctx, &ssm.GetParameterHistoryInput{Name: put.Name, MaxResults: aws.Int32(51)})
	wantCode(t, err, "ValidationException")
	_, err = client.GetParameterHistory(ctx, &ssm.GetParameterHistoryInput{Name: aws.String("/none")})
	wantCode(t, err, "ParameterNotFound")
}

// A parameter that is created without Overwrite is a lock: of many creators
// one gets it.
func TestParameterIsALock(t *testing.T) {
	client, ctx := ssmClient(t), t.Context()
	var won, lost atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			_, err := client.PutParameter(ctx, putString("/agent/dev/lock", "mine"))
			var exists *types.ParameterAlreadyExists
			switch {
			case err == nil:
				won.Add(1)
			case errors.As(err, &exists):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 || lost.Load() != 15 {
		t.Errorf("%d creators won, %d lost", won.Load(), lost.Load())
	}
}

func TestParametersSurviveARestart(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	first := serveCloud(t, &Cloud{Dir: dir})
	must[*ssm.PutParameterOutput](t)(ssm.NewFromConfig(adminConfig(t, first, DefaultAccount)).PutParameter(ctx, putString("/kept", "here")))
	kill(t, first.Config.Handler.(*Cloud))
	second := serveCloud(t, &Cloud{Dir: dir})
	got := must[*ssm.GetParameterOutput](t)(ssm.NewFromConfig(adminConfig(t, second, DefaultAccount)).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/kept")}))
	if *got.Parameter.Value != "here" || got.Parameter.Version != 1 {
		t.Errorf("after a restart: %+v", got.Parameter)
	}
}
