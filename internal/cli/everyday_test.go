package cli

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/slipway-cd/slipway/internal/agentcore"
	"github.com/slipway-cd/slipway/internal/awsauth"
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

// cmdRuns checks an environment variable of the live runtime: runs NAME VALUE.
func cmdRuns(ts *testscript.TestScript, _ bool, args []string) {
	variables, _ := theWorld(ts).liveRuntime(ts)
	if got := variables[args[0]]; got != args[1] {
		ts.Fatalf("%s is %q, expected %q", args[0], got, args[1])
	}
}
