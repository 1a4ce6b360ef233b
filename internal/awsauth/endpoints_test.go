package awsauth

import (
	"slices"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
)

func env(pairs ...string) func(string) string {
	vars := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		vars[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return vars[name] }
}

func TestReadEndpoints(t *testing.T) {
	e, err := ReadEndpoints(env("AWS_ENDPOINT_URL", "http://127.0.0.1:4510/", "AWS_ENDPOINT_URL_STS", "https://sts.us-east-1.amazonaws.com"))
	if err != nil {
		t.Fatal(err)
	}
	if e.URL(STS) != "https://sts.us-east-1.amazonaws.com" || e.URL(ECR) != "http://127.0.0.1:4510" || len(e.Foreign()) != 0 {
		t.Errorf("got %+v", e)
	}
	if e, err = ReadEndpoints(env()); err != nil || e.URL(STS) != "" {
		t.Errorf("got %+v, %v", e, err)
	}
	if e, err = ReadEndpoints(env("AWS_ENDPOINT_URL", "http://evil.example", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")); err != nil || e.URL(STS) != "" {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestReadEndpointsRefuses(t *testing.T) {
	for _, value := range []string{"http://example.com", "http://localhost.example", "http://10.0.0.1:4510", "ftp://127.0.0.1",
		"127.0.0.1:4510", "https://", "https://user:CANARY@aws.example", "https://aws.example/?x=CANARY", "http://[::2]:1", "://"} {
		_, err := ReadEndpoints(env("AWS_ENDPOINT_URL_SSM", value))
		if delivery.KindOf(err) != delivery.KindConfig || err == nil {
			t.Errorf("%s: got %v", value, err)
			continue
		}
		if !strings.Contains(err.Error(), "AWS_ENDPOINT_URL_SSM") || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: got %v", value, err)
		}
	}
}

func TestForeignEndpoints(t *testing.T) {
	for host, foreign := range map[string]bool{
		"sts.us-east-1.amazonaws.com":                        false,
		"sts.amazonaws.com":                                  false,
		"STS.us-east-1.amazonaws.com":                        false,
		"api.ecr.eu-central-1.amazonaws.com":                 false,
		"bedrock-agentcore-control.us-gov-west-1.api.aws":    false,
		"logs.cn-north-1.amazonaws.com.cn":                   false,
		"vpce-0a1b-2c3d.ssm.us-east-1.vpce.amazonaws.com":    false,
		"localhost:4510":                                     false,
		"aws.example":                                        true,
		"sts.us-east-1.amazonaws.com.evil.example":           true,
		"sts.s3.amazonaws.com":                               true, // somebody's bucket
		"evil.execute-api.us-east-1.amazonaws.com":           true,
		"evil.us-east-1.elb.amazonaws.com":                   true,
		"x.lambda-url.us-east-1.on.aws":                      true,
		"vpce-1.vpce-svc-2.us-east-1.vpce.amazonaws.com":     true,
		"sts.us-east-1.evil.us-east-1.execute.amazonaws.com": true,
	} {
		e, err := ReadEndpoints(env("AWS_ENDPOINT_URL", "https://"+host))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		var want []string
		if foreign {
			want = []string{"AWS_ENDPOINT_URL=" + host}
		}
		if !slices.Equal(e.Foreign(), want) {
			t.Errorf("%s: foreign %q, want %q", host, e.Foreign(), want)
		}
	}
}
