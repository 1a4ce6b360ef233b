package sim

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocsNameEveryOperation holds the table of docs/local-cloud.md to what is
// served: no operation missing, none too many.
func TestDocsNameEveryOperation(t *testing.T) {
	raw, err := os.ReadFile("../../docs/local-cloud.md")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cloud{}
	var core []string
	for _, op := range c.runtimeRoutes() {
		if op.run != nil {
			core = append(core, op.name)
		}
	}
	named := regexp.MustCompile("`([A-Z][A-Za-z]+)`")
	for service, want := range map[string][]string{
		"STS": slices.Collect(maps.Keys(c.stsOperations())), "IAM": slices.Collect(maps.Keys(c.iamOperations())),
		"SSM": slices.Collect(maps.Keys(c.ssmOperations())), "ECR": slices.Collect(maps.Keys(c.ecrOperations())),
		"CloudWatch Logs": slices.Collect(maps.Keys(c.logsOperations())), "AgentCore": core,
	} {
		_, row, ok := strings.Cut(string(raw), "\n| "+service+" (")
		row, _, _ = strings.Cut(row, "\n")
		var got []string
		for _, match := range named.FindAllStringSubmatch(row, -1) {
			got = append(got, match[1])
		}
		slices.Sort(got)
		slices.Sort(want)
		if !ok || !slices.Equal(got, want) {
			t.Errorf("%s: the page has %v, the cloud %v", service, got, want)
		}
	}
}
