package judge

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// page publishes what the judges say.
const page = "../../../docs/judges.md"

// verdict is what a judge says of a cloud.
type verdict struct {
	passed, failed, skipped int
	failures                []string // what failed, a line each
	// chance is how many cases a judge skips or passes by chance.
	chance int
}

// note adds one check: what is wrong, or nothing.
func (v *verdict) note(what string, err error) {
	if err == nil {
		v.passed++
		return
	}
	v.failed++
	v.failures = append(v.failures, fmt.Sprintf("%s: %v", what, err))
}

// holds demands that nothing failed and that the page has the counts.
func (v verdict) holds(t *testing.T, part string) {
	t.Helper()
	for _, failure := range v.failures {
		t.Error(failure)
	}
	if v.failed > 0 || v.passed == 0 {
		t.Fatalf("%s: %d passed, %d failed, %d skipped", part, v.passed, v.failed, v.skipped)
	}
	row := regexp.MustCompile("(?m)^(\\| `" + regexp.QuoteMeta(part) + "` \\|.*\\|) (\\d+) \\| (\\d+) \\| (\\d+) \\|$")
	if v.likely(t, row) {
		return
	}
	publish(t, part, row, fmt.Sprintf("${1} %d | %d | %d |", v.passed, v.failed, v.skipped))
}

// likely says whether the page's counts are the run's, but for chance.
func (v verdict) likely(t *testing.T, row *regexp.Regexp) bool {
	t.Helper()
	m := row.FindSubmatch(must[[]byte](t)(os.ReadFile(page)))
	if m == nil {
		return false
	}
	passed, _ := strconv.Atoi(string(m[2])) // the pattern has made sure
	skipped, _ := strconv.Atoi(string(m[4]))
	moved := passed - v.passed
	return moved <= v.chance && -moved <= v.chance && passed+skipped == v.passed+v.skipped
}

// publish holds one place of the page to what it has to say.
func publish(t *testing.T, part string, place *regexp.Regexp, text string) {
	t.Helper()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !place.Match(raw) {
		t.Fatalf("docs/judges.md has no place for %s (%s)", part, place)
	}
	want := place.ReplaceAll(raw, []byte(text))
	if bytes.Equal(raw, want) {
		return
	}
	if !*update {
		t.Fatalf("docs/judges.md does not say of %s what the run says; run the test with -update\n%s", part, firstDifference(raw, want))
	}
	if err := os.WriteFile(page, want, 0o600); err != nil {
		t.Fatal(err)
	}
}

func firstDifference(is, want []byte) string {
	page, run := lines(string(is)), lines(string(want))
	for i := range run {
		if i >= len(page) || page[i] != run[i] {
			return "the page: " + strings.Join(page[i:min(i+1, len(page))], "") + "\nthe run:  " + run[i]
		}
	}
	return "the page has more lines"
}

// lines are a text's, without empty ones.
func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}
