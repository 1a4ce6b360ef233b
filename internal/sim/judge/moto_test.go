package judge

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/needs"
)

// partMoto is moto's server.
const partMoto = "moto_server"

// TestMoto makes the same calls to moto and to the cloud: where they differ,
// the list says who is right. A difference that is gone, and one that is not
// listed, fail.
func TestMoto(t *testing.T) {
	seen := judgeMoto(t)
	ours := observe(t, newCloud(t, nil), "")
	judgeDifferences(seen, ours).holds(t, partMoto)
	publish(t, partMoto, regexp.MustCompile(`(?s)\| call \| moto \|.*?\n\n`), table(differences()))
}

// judgeMoto runs moto's server and says what it answered.
func judgeMoto(t *testing.T) map[string]string {
	t.Helper()
	known := exec.Command("python3", "-c", "import boto3, moto.bedrockagentcorecontrol").Run()
	path, err := exec.LookPath("moto_server")
	needs.Part(t, partMoto, err == nil && known == nil)
	cmd := exec.CommandContext(t.Context(), path, "-H", "127.0.0.1", "-p", "0")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // killed with the test's context
	address := make(chan string, 1)
	go announced(out, address)
	select {
	case url := <-address:
		return observe(t, newCloud(t, nil), url)
	case <-time.After(time.Minute):
		t.Fatal("moto_server did not say where it listens")
		return nil
	}
}

// announced reads where the server listens, and then the rest, so that it is
// not stopped by a full pipe.
func announced(out io.Reader, address chan<- string) {
	running := regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)`)
	for s := bufio.NewScanner(out); s.Scan(); {
		if m := running.FindStringSubmatch(s.Text()); m != nil {
			address <- m[1]
		}
	}
}

// observe runs the calls against url, or against the cloud itself.
func observe(t *testing.T, c *cloud, url string) map[string]string {
	t.Helper()
	c.repository(agentRepository, "")
	image := func(arch string) string {
		digest := c.push(agentRepository+":"+arch, imageOf(t, arch, "agent", []byte(arch)))
		return "111122223333.dkr.ecr.us-east-1.amazonaws.com/" + agentRepository + "@" + digest
	}
	p := program{dir: must[string](t)(filepath.Abs("testdata/python")), env: map[string]string{
		"ARM64": image("arm64"), "AMD64": image("amd64"), "JUDGE_TOKEN": c.token("acme/agents", "dev")}}
	for name, value := range c.admin {
		p.env[name] = value
	}
	if url != "" {
		p.env["AWS_ENDPOINT_URL"] = url
	}
	p.version(t, "python3", "-c", "import moto; print('moto', moto.__version__)")
	out, messages, err := p.run(t, "python3", "differences.py")
	if err != nil {
		t.Fatalf("%v\n%s", err, messages)
	}
	seen := map[string]string{}
	if err := json.Unmarshal([]byte(out), &seen); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return seen
}

// judgeDifferences compares what was seen with the list, in both directions.
func judgeDifferences(moto, ours map[string]string) verdict {
	var v verdict
	listed := map[string]bool{}
	for _, d := range differences() {
		listed[d.call] = true
		var err error
		switch {
		case ours[d.call] != d.aws:
			err = fmt.Errorf("the cloud says %q, AWS %q (%s)", ours[d.call], d.aws, d.source)
		case moto[d.call] != d.moto:
			err = fmt.Errorf("moto says %q, not %q any more", moto[d.call], d.moto)
		case d.moto == d.aws || d.source == "":
			err = fmt.Errorf("it is no difference, or has no source")
		}
		v.note(d.call, err)
	}
	for call := range ours {
		if !listed[call] {
			v.note(call, fmt.Errorf("is not listed: moto says %q, the cloud %q", moto[call], ours[call]))
		}
	}
	return v
}

// table is the page's.
func table(all []difference) string {
	var b strings.Builder
	b.WriteString("| call | moto | AWS and the local cloud | source |\n|---|---|---|---|\n")
	for _, d := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", d.call, d.moto, d.aws, d.source)
	}
	return b.String() + "\n"
}
