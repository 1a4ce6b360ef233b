package pins

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTable: each line is an action of GitHub or AWS, a release and a whole
// commit; releases of an action ascend, so that the last is the newest, and no
// two of them are one commit.
func TestTable(t *testing.T) {
	line := regexp.MustCompile(`^(actions|aws-actions)/[a-z-]+ v[0-9]+\.[0-9]+\.[0-9]+ [0-9a-f]{40}$`)
	for text := range strings.Lines(table) {
		if !line.MatchString(strings.TrimSuffix(text, "\n")) {
			t.Fatalf("%q is no line of the table", text)
		}
	}
	for _, action := range Actions() {
		all, seen := releases(action), map[string]bool{}
		for i, p := range all {
			if i > 0 && slices.Compare(numbers(t, all[i-1].Version), numbers(t, p.Version)) >= 0 {
				t.Errorf("%s: %s comes after %s", action, p.Version, all[i-1].Version)
			}
			if seen[p.SHA] {
				t.Errorf("%s %s: another release is the same commit", action, p.Version)
			}
			seen[p.SHA] = true
		}
	}
}

func numbers(t *testing.T, version string) []int {
	var all []int
	for part := range strings.SplitSeq(strings.TrimPrefix(version, "v"), ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

func TestVersion(t *testing.T) {
	const v602 = "de0fac2e4500dabe0009e67214ff5f5447ce83dd"
	for _, test := range []struct {
		action, sha, want string
	}{
		{"actions/checkout", v602, "v6.0.2"},
		{"Actions/Checkout", strings.ToUpper(v602), "v6.0.2"},
		{"actions/cache", v602, ""},    // another action's
		{"actions/checkout", "v6", ""}, // no commit
		{"actions/checkout", v602[:7], ""},
		{"actions/checkout", "", ""},
		{"someone/checkout", v602, ""},
		{"", v602, ""},
	} {
		got, known := Version(test.action, test.sha)
		if got != test.want || known != (test.want != "") {
			t.Errorf("Version(%q, %q) = %q, %v; want %q", test.action, test.sha, got, known, test.want)
		}
	}
	cache, ok := Lookup("actions/cache")
	if got, _ := Version("actions/cache/restore", cache.SHA); !ok || got != cache.Version {
		t.Errorf("a directory of an action's repository has another version: %q, want %q", got, cache.Version)
	}
}

func TestLookup(t *testing.T) {
	for _, action := range []string{"actions/checkout", "actions/setup-go", "actions/setup-node", "actions/setup-python", "aws-actions/configure-aws-credentials"} {
		p, ok := Lookup(action)
		if got, _ := Version(action, p.SHA); !ok || got != p.Version || p.Uses() != action+"@"+p.SHA {
			t.Errorf("%s: %+v, %v", action, p, ok)
		}
	}
	if p, ok := Lookup("someone/action"); ok {
		t.Errorf("an action of a stranger is known: %+v", p)
	}
}
