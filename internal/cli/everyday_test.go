package cli

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/slipway-cd/slipway/internal/agentcore"
	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// adminSession is a session of the cloud's administrator.
func (w *scriptWorld) adminSession(ts *testscript.TestScript) *awsauth.Session {
	env, err := w.api.administrator(context.Background(), demoAccount)
	ts.Check(err)
	session, err := awsauth.Source{Getenv: func(name string) string { return env[name] }}.Open(context.Background())
	ts.Check(err)
	return session
}

// cmdSecret writes a SecureString: secret NAME VALUE.
func cmdSecret(ts *testscript.TestScript, _ bool, args []string) {
	client := ssm.NewFromConfig(theWorld(ts).adminSession(ts).Config(awsauth.SSM))
	_, err := client.PutParameter(context.Background(), &ssm.PutParameterInput{Name: aws.String(args[0]), Value: aws.String(args[1]),
		Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true)})
	ts.Check(err)
}

// liveRuntime is the demo agent's runtime as AgentCore has it.
func (w *scriptWorld) liveRuntime(ts *testscript.TestScript) (variables map[string]string, image string) {
	session := w.adminSession(ts)
	id, err := agentcore.NewParameters(session.Config(awsauth.SSM)).Parameter(context.Background(), "/supportAgent/dev/runtime-id")
	ts.Check(err)
	client := &agentcore.Client{Config: session.Config(awsauth.AgentCoreControl), Control: session.Endpoint(awsauth.AgentCoreControl)}
	doc, err := client.Get(context.Background(), id, "")
	ts.Check(err)
	var live struct {
		Variables map[string]string `json:"environmentVariables"`
		Artifact  struct {
			Container struct {
				URI string `json:"containerUri"`
			} `json:"containerConfiguration"`
		} `json:"agentRuntimeArtifact"`
	}
	ts.Check(json.Unmarshal(doc, &live))
	return live.Variables, live.Artifact.Container.URI
}

// cmdByHand does what an administrator without slipway would: the commit's
// image is latest, and a runtime runs it by that tag, with a setting that no
// slipway.yaml knows of.
func cmdByHand(ts *testscript.TestScript, _ bool, _ []string) {
	ctx, session := context.Background(), theWorld(ts).adminSession(ts)
	host := demoAccount + ".dkr.ecr." + demoRegion + ".amazonaws.com"
	images, err := repository(session, delivery.Target{Region: demoRegion}, host, demoRepository)
	ts.Check(err)
	digest, err := images.Resolve(ctx, ts.Getenv("REVISION"))
	ts.Check(err)
	ts.Check(images.Tag(ctx, digest, "latest"))
	_, compute := hostPlatform(demoAccount)
	body := map[string]any{"agentRuntimeName": "supportAgent_dev", "roleArn": "arn:aws:iam::" + demoAccount + ":role/" + "supportAgentExecutionRole-dev",
		"agentRuntimeArtifact": map[string]any{"containerConfiguration": map[string]any{"containerUri": host + "/" + demoRepository + ":latest"}},
		"environmentVariables": map[string]any{"KEPT": "yes"}}
	if provider := regexp.MustCompile(`capacity_provider: (\S+)`).FindStringSubmatch(compute); provider != nil {
		body["capacityProviderConfiguration"] = map[string]any{"capacityProviderArn": provider[1]}
	} else {
		body["networkConfiguration"] = map[string]any{"networkMode": "PUBLIC"}
	}
	raw, err := json.Marshal(body)
	ts.Check(err)
	client := &agentcore.Client{Config: session.Config(awsauth.AgentCoreControl), Control: session.Endpoint(awsauth.AgentCoreControl)}
	doc, err := client.Create(ctx, raw, strings.Repeat("byhand", 6))
	ts.Check(err)
	var made struct {
		ID string `json:"agentRuntimeId"`
	}
	ts.Check(json.Unmarshal(doc, &made))
	ts.Check(agentcore.NewParameters(session.Config(awsauth.SSM)).PutParameter(ctx, "/supportAgent/dev/runtime-id", made.ID, true))
}

// cmdSees waits until a line of a file matches: sees FILE PATTERN.
func cmdSees(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[1])
	for range 3000 {
		if raw, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && pattern.Match(raw) {
			return
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to be told by
	}
	raw, _ := os.ReadFile(ts.MkAbs(args[0]))
	ts.Fatalf("%s never matches %s:\n%s", args[0], args[1], raw)
}

// cmdImage checks what the live runtime names its image by: image PATTERN.
func cmdImage(ts *testscript.TestScript, _ bool, args []string) {
	if _, image := theWorld(ts).liveRuntime(ts); !regexp.MustCompile(args[0]).MatchString(image) {
		ts.Fatalf("it runs %s", image)
	}
}

// cmdVariable checks an environment variable of the live runtime: variable
// NAME VALUE.
func cmdVariable(ts *testscript.TestScript, _ bool, args []string) {
	variables, _ := theWorld(ts).liveRuntime(ts)
	if got := variables[args[0]]; got != args[1] {
		ts.Fatalf("%s is %q, expected %q", args[0], got, args[1])
	}
}

// TestElsewhere: ECR's token goes to registries of its region alone.
func TestElsewhere(t *testing.T) {
	for _, host := range []string{"public.ecr.aws", "evil.example", "111122223333.dkr.ecr.us-east-1.amazonaws.com.evil.example",
		"444455556666.dkr.ecr.eu-west-1.amazonaws.com", "evil.dkr.ecr.us-east-1.amazonaws.com", ""} {
		if images := elsewhere(nil, delivery.Target{Region: "us-east-1"}, host, "shared/agent"); images != nil {
			t.Errorf("%q is taken for a registry", host)
		}
	}
}
