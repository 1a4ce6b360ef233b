package judge

import (
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

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
	v, areas, err := judgeConformance(c, path)
	if err != nil {
		t.Fatal(err)
	}
	v.holds(t, partConformance)
	publish(t, partConformance, regexp.MustCompile(`(?m)^\| passes \|.*\n\| skipped \|.*\n\| disabled \|.*$`),
		fmt.Sprintf("| passes | %s |\n| skipped | %s |\n| disabled | %s |", areas["Pass"], areas["Skip"], areas["Disabled"]))
}

func conformanceProgram(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("conformance")
	needs.Part(t, partConformance, err == nil)
	return path
}

// judgeConformance runs the suite. It counts its cases, and names what each
// verdict was about.
func judgeConformance(c *cloud, path string) (v verdict, areas map[string]string, err error) {
	c.t.Helper()
	p := program{dir: c.t.TempDir(), env: conformanceConfig()}
	c.repository(p.env["OCI_REPO1"], "")
	c.repository(p.env["OCI_REPO2"], "")
	c.mountBlobs()
	p.env["OCI_REGISTRY"], p.env["OCI_PASSWORD"] = c.host, c.password()
	_, messages, err := p.run(c.t, path) // it ends with 1 where a case fails: the report says which
	report, readErr := os.ReadFile(filepath.Join(p.dir, "results", "junit.xml"))
	if readErr != nil {
		return v, nil, fmt.Errorf("the suite left no report: %w, %w\n%s", readErr, err, messages)
	}
	if v, err = readJUnit(report); err != nil {
		return v, nil, err
	}
	areas, err = readAreas(filepath.Join(p.dir, "results", "results.yaml"))
	return v, areas, err
}

// readAreas reads the suite's summary: by verdict, the parts of the API and
// the kinds of content.
func readAreas(file string) (map[string]string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var summary struct{ APIs, Data map[string]string }
	if err := yaml.Unmarshal(raw, &summary); err != nil {
		return nil, err
	}
	areas := map[string]string{}
	for _, table := range []map[string]string{summary.APIs, summary.Data} {
		for _, name := range slices.Sorted(maps.Keys(table)) {
			verdict := table[name]
			areas[verdict] = strings.TrimPrefix(areas[verdict]+", "+name, ", ")
		}
	}
	return areas, nil
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
