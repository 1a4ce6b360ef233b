package judge

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/needs"
)

// partJS is AWS's JavaScript SDK.
const partJS = "js-sdk"

// jsDir holds the judge's script; `npm ci` there installs the SDK.
const jsDir = "testdata/js"

// sdkCall is what the script says of one call.
type sdkCall struct {
	Service   string `json:"service"`
	Operation string `json:"operation"`
	Expects   string `json:"expects"`
	Error     string `json:"error"`
}

// TestJavaScriptSDK: every operation that the cloud serves, called by AWS's own
// client, with the answers' members and the exceptions' types checked.
func TestJavaScriptSDK(t *testing.T) {
	needJS(t)
	v, calls := judgeJS(newCloud(t, nil))
	everyOperation(t, calls)
	everyServiceRefuses(t, calls)
	v.holds(t, partJS)
}

func needJS(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: agents run on Linux")
	}
	_, err := exec.LookPath("node")
	_, missing := os.Stat(filepath.Join(jsDir, "node_modules", ".package-lock.json"))
	needs.Part(t, partJS, err == nil && missing == nil)
}

// judgeJS runs the script. One that ends early has failed, whatever it said of
// the calls before.
func judgeJS(c *cloud) (verdict, []sdkCall) {
	c.t.Helper()
	p := program{dir: must[string](c.t)(filepath.Abs(jsDir)), env: map[string]string{"JUDGE_IMAGE": c.pushAgent(), "JUDGE_TOKEN": c.token("acme/agents", "dev")}}
	for name, value := range c.admin {
		p.env[name] = value
	}
	p.version(c.t, "node", "--version")
	out, messages, err := p.run(c.t, "node", "judge.mjs")
	var v verdict
	var calls []sdkCall
	for _, line := range lines(out) {
		var call sdkCall
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			c.t.Fatalf("the script printed %q: %v", line, err)
		}
		calls = append(calls, call)
		var wrong error
		if call.Error != "" {
			wrong = errors.New(call.Error)
		}
		v.note(fmt.Sprintf("%s %s (%s)", call.Service, call.Operation, call.Expects), wrong)
	}
	if err != nil {
		v.note("the script", fmt.Errorf("%w\n%s", err, messages))
	}
	return v, calls
}

// everyOperation holds the judge to the table of docs/local-cloud.md, which a
// test of internal/sim holds to the code: an operation without a judge fails.
func everyOperation(t *testing.T, calls []sdkCall) {
	t.Helper()
	called := map[string]bool{}
	for _, call := range calls {
		called[call.Service+" "+call.Operation] = true
	}
	for _, name := range operations(t) {
		if !called[name] && ofNoSDK()[name] == "" {
			t.Errorf("the cloud serves %s, and the JavaScript SDK does not judge it: add it to %s", name, jsDir)
		}
		delete(called, name)
	}
	for name := range called {
		t.Errorf("the JavaScript SDK calls %s, which docs/local-cloud.md does not list", name)
	}
}

// ofNoSDK are the operations that no SDK can call, and why.
func ofNoSDK() map[string]string {
	return map[string]string{
		"AgentCore GetRuntimeProtectedResourceMetadata": "it is for callers who have no token yet; AWS documents it as a plain GET",
	}
}

// operations are "<service> <operation>" of the page's table.
func operations(t *testing.T) []string {
	t.Helper()
	raw := must[[]byte](t)(os.ReadFile("../../../docs/local-cloud.md"))
	named := regexp.MustCompile("`([A-Z][A-Za-z]+)`")
	var all []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Z][A-Za-z ]+) \([^)]+\) \| (.*) \|$`).FindAllStringSubmatch(string(raw), -1) {
		for _, match := range named.FindAllStringSubmatch(row[2], -1) {
			all = append(all, row[1]+" "+match[1])
		}
	}
	if len(all) < 40 {
		t.Fatalf("the page's table has %d operations: %v", len(all), all)
	}
	return all
}

// everyServiceRefuses demands a bad call to each service, not only good ones.
func everyServiceRefuses(t *testing.T, calls []sdkCall) {
	t.Helper()
	for _, service := range []string{"STS", "IAM", "SSM", "ECR", "AgentCore", "CloudWatch Logs"} {
		if !slices.ContainsFunc(calls, func(c sdkCall) bool { return c.Service == service && strings.HasSuffix(c.Expects, "Exception") }) {
			t.Errorf("the JavaScript SDK makes no bad call to %s", service)
		}
	}
}
