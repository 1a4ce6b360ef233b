package generate

import (
	"slices"
	"testing"
)

func TestChanged(t *testing.T) {
	f := parse(t, "version: 1\nregion: us-east-1\nagents:\n  a: {path: apps/a, repository: aa}\n  ab: {path: apps/ab, repository: bb}\n  in: {path: apps/a/in, repository: cc}\nenvironments: {dev: {account: \"111122223333\"}}\n")
	root := parse(t, "version: 1\nregion: us-east-1\nagents: {a: {repository: aa}}\nenvironments: {dev: {account: \"111122223333\"}}\n")
	all := []string{"a", "ab", "in"}
	for _, test := range []struct {
		files   []string
		want    []string
		because string
	}{
		{nil, nil, ""},
		{[]string{"README.md", "apps/x", "apps/a.txt", "apps"}, nil, ""},
		{[]string{"apps/a/main.py"}, []string{"a"}, ""},
		{[]string{"apps/ab/main.py"}, []string{"ab"}, ""},
		{[]string{"apps/a/in/main.py", "apps/ab/x"}, all, ""},
		{[]string{"README.md", "slipway.yaml"}, all, "slipway.yaml"},
		{[]string{"docs/slipway.yaml", ".github/workflows/ci.yml", "x/.github/workflows/deploy-agent.yml"}, nil, ""},
		{[]string{Deploy}, all, Deploy},
		{[]string{Setup}, all, Setup},
	} {
		if got, because := Changed(f, test.files); !slices.Equal(got, test.want) || because != test.because {
			t.Errorf("%q: %q because of %q, want %q because of %q", test.files, got, because, test.want, test.because)
		}
	}
	if got, _ := Changed(root, []string{"README.md"}); !slices.Equal(got, []string{"a"}) {
		t.Errorf("an agent in the root: %q", got)
	}
}
