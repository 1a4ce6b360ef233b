package delivery

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadRuntime(t *testing.T) {
	yes := true
	for _, test := range []struct {
		name, doc string
		want      RuntimeFacts
	}{
		{"all of it", `{"agentRuntimeId":"a_dev-0123456789","agentRuntimeVersion":"3","status":"READY","roleArn":"r",
			"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"u"}},"authorizerConfiguration":{},
			"capacityProviderConfiguration":{"capacityProviderArn":"c"},"metadataConfiguration":{"requireMMDSV2":true},
			"networkConfiguration":{"networkMode":"VPC","networkModeConfig":{"subnets":["s"],"securityGroups":["g"],"requireServiceS3Endpoint":true}}}`,
			RuntimeFacts{ID: "a_dev-0123456789", Version: "3", Status: "READY", Role: "r", Image: "u", Authorizer: true, Compute: Instances,
				MMDSv2: true, NetworkMode: "VPC", Subnets: []string{"s"}, SecurityGroups: []string{"g"}, ServiceS3Endpoint: &yes}},
		{"other members by case", `{"STATUS":"x","networkConfiguration":{"NetworkMode":"VPC"},"metadataConfiguration":{"requiremmdsv2":true}}`,
			RuntimeFacts{Compute: MicroVM}},
		{"nothing", `{}`, RuntimeFacts{Compute: MicroVM}},
	} {
		got, err := ReadRuntime(Document(test.doc))
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", test.name, err, diff)
		}
	}
	for _, broken := range []string{``, `[]`, `{"networkConfiguration":{"networkMode":1}}`} {
		if _, err := ReadRuntime(Document(broken)); err == nil {
			t.Errorf("%s is read", broken)
		}
	}
}
