package judge

import (
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/needs"
)

// partConformance is the OCI distribution conformance suite.
const partConformance = "oci-conformance"

// conformanceConfig is what the suite is told. Off is what ECR refuses: a
// digest other than sha256, an image without layers, an empty blob. On are
// three checks that the suite leaves out by default.
func conformanceConfig() map[string]string {
	return map[string]string{
		"OCI_TLS":             "disabled",
		"OCI_USERNAME":        "AWS",
		"OCI_REPO1":           "conformance/one",
		"OCI_REPO2":           "conformance/two",
		"OCI_DATA_SHA512":     "false",
		"OCI_DATA_NO_LAYERS":  "false",
		"OCI_DATA_EMPTY_BLOB": "false",

		"OCI_API_BLOBS_DIGEST_HEADER":     "true",
		"OCI_API_BLOBS_UPLOAD_CANCEL":     "true",
		"OCI_API_MANIFESTS_DIGEST_HEADER": "true",
	}
}

// TestConformance: pull, push, content discovery, content management,
// cross-repository mount and referrers, as the suite's authors read the
// specification.
func TestConformance(t *testing.T) {
	path := conformanceProgram(t)
	c := newCloud(t, nil)
	v, err := judgeConformance(c, path)
	if err != nil {
		t.Fatal(err)
	}
	v.holds(t, partConformance)
}

func conformanceProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("conformance")
	needs.Part(t, partConformance, err == nil)
	return path
}

// judgeConformance runs the suite and counts its cases.
func judgeConformance(c *cloud, path string) (verdict, error) {
	c.t.Helper()
	p := program{dir: c.t.TempDir(), env: conformanceConfig()}
	c.repository(p.env["OCI_REPO1"], "")
	c.repository(p.env["OCI_REPO2"], "")
	p.env["OCI_REGISTRY"], p.env["OCI_PASSWORD"] = c.host, c.password()
	_, messages, err := p.run(c.t, path) // it ends with 1 where a case fails: the report says which
	_ = os.RemoveAll("/tmp/jres")
	_ = os.CopyFS("/tmp/jres", os.DirFS(p.dir))
	raw, readErr := os.ReadFile(filepath.Join(p.dir, "results", "junit.xml"))
	if readErr != nil {
		return verdict{}, fmt.Errorf("the suite left no report: %w, %w\n%s", readErr, err, messages)
	}
	return readJUnit(raw)
}

// readJUnit reads the suite's report. The counts are the suite's own: they
// count groups of cases too, which the list does not hold.
func readJUnit(raw []byte) (verdict, error) {
	var report struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Skipped  int `xml:"skipped,attr"`
		Disabled int `xml:"disabled,attr"`
		Cases    []struct {
			Name   string `xml:"name,attr"`
			Status string `xml:"status,attr"`
			Output string `xml:"system-out"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(raw, &report); err != nil {
		return verdict{}, fmt.Errorf("reading the report: %w", err)
	}
	// The suite deletes an index with a subject by its tags in random order, and
	// ECR refuses to delete an image while an index holds it: two cases more are
	// skipped, or none.
	v := verdict{chance: 2, failed: report.Failures + report.Errors, skipped: report.Skipped + report.Disabled}
	v.passed = report.Tests - v.failed - v.skipped
	for _, c := range report.Cases {
		if c.Status == "failure" || c.Status == "error" {
			v.failures = append(v.failures, c.Name+": "+strings.TrimSpace(c.Output))
		}
	}
	if len(report.Cases) == 0 || v.failed > 0 && len(v.failures) == 0 {
		return v, fmt.Errorf("the report lists %d cases, %d of them failed, and counts %d failures", len(report.Cases), len(v.failures), v.failed)
	}
	return v, nil
}
