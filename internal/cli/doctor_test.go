package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/doctor"
)

// TestDoctorDoc holds docs/doctor.md to the rules of the code.
func TestDoctorDoc(t *testing.T) {
	var b bytes.Buffer
	fmt.Fprint(&b, "# What `slipway doctor` finds\n\nGenerated from the program; `make golden` rewrites it.\n\n"+
		"An error makes a delivery fail, or do what slipway.yaml does not say: exit 3. Warnings and notes alone end\n"+
		"with 0. What can't be read is skipped and says which permission was lacking; that is no finding. Of a\n"+
		"role's documents, the findings of `slipway audit` (`trust/…`, `policy/…`) come besides, as warnings.\n\n"+
		"With `-o json`: `slipway.doctor/v1` with `agent`, `environment`, `findings` (the worst first), `checks` (each\n"+
		"`ok`, `finding` or `skipped`, with a `detail`) and `verdict`; with `--all`, `slipway.doctors/v1` with such\n"+
		"documents in `reports`.\n\n"+
		"| id | severity | finds | what to do |\n|---|---|---|---|\n")
	for _, r := range doctor.Rules() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.ID, r.Severity, r.Finds, r.Fix)
	}
	golden(t, "doctor.md", b.Bytes())
}

// cmdPolicy puts a policy of the demo's into a role, as an administrator
// would: policy deploy|execution|deploy-trust|execution-trust OLD NEW. With
// OLD, which has to be there, put NEW in its place.
func cmdPolicy(ts *testscript.TestScript, _ bool, args []string) {
	name := args[0]
	if !strings.HasSuffix(name, "-trust") {
		name += "-policy"
	}
	raw, err := os.ReadFile("testdata/world/" + name + ".json")
	ts.Check(err)
	text := string(raw)
	if len(args) > 1 {
		if !strings.Contains(text, args[1]) {
			ts.Fatalf("%s holds no %s", name, args[1])
		}
		text = strings.ReplaceAll(text, args[1], args[2])
	}
	role := demoDeployRole
	if strings.HasPrefix(name, "execution") {
		role = "supportAgentExecutionRole-dev"
	}
	iam := awsiam.NewFromConfig(theWorld(ts).adminSession(ts).Config(awsauth.IAM))
	if strings.HasSuffix(name, "-trust") {
		_, err = iam.UpdateAssumeRolePolicy(context.Background(), &awsiam.UpdateAssumeRolePolicyInput{
			RoleName: aws.String(role), PolicyDocument: aws.String(text)})
	} else {
		_, err = iam.PutRolePolicy(context.Background(), &awsiam.PutRolePolicyInput{
			RoleName: aws.String(role), PolicyName: aws.String("slipway"), PolicyDocument: aws.String(text)})
	}
	ts.Check(err)
}

// cmdLifecycle gives the agent's repository a lifecycle policy: lifecycle TEXT.
func cmdLifecycle(ts *testscript.TestScript, _ bool, args []string) {
	ecr := awsecr.NewFromConfig(theWorld(ts).adminSession(ts).Config(awsauth.ECR))
	_, err := ecr.PutLifecyclePolicy(context.Background(), &awsecr.PutLifecyclePolicyInput{
		RepositoryName: aws.String(demoRepository), LifecyclePolicyText: aws.String(args[0])})
	ts.Check(err)
}
