package build

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// committing adds a commit with a message and returns its id.
func committing(t *testing.T, root, message string) string {
	t.Helper()
	gitIn(t, root, "commit", "-q", "--allow-empty", "-m", message)
	return source(t, root).Revision
}

func TestFindGap(t *testing.T) {
	root := committed(t, map[string]string{"x": "x"})
	first := source(t, root).Revision
	second := committing(t, root, "the second\n\nand what it is for")
	third := committing(t, root, strings.Repeat("long ", 100))
	gitIn(t, root, "checkout", "-q", "--detach", first)
	other := committing(t, root, "a side")
	unknown := strings.Repeat("1", 40)
	for name, test := range map[string]struct {
		from, to      string
		ahead, behind int
		subjects      []string // how they begin
		fails         string
	}{
		"ahead":      {from: first, to: third, ahead: 2, subjects: []string{"long long", "the second"}},
		"behind":     {from: third, to: first, behind: 2},
		"both":       {from: other, to: second, ahead: 1, behind: 1, subjects: []string{"the second"}},
		"the same":   {from: second, to: second},
		"unknown":    {from: unknown, to: third, fails: "git rev-list"},
		"no id":      {from: "--all", to: third, fails: "is no commit id"},
		"no id, too": {from: first, to: "HEAD", fails: "is no commit id"},
	} {
		t.Run(name, func(t *testing.T) {
			gap, err := FindGap(t.Context(), root, offered(), test.from, test.to)
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) {
					t.Errorf("%+v, %v", gap, err)
				}
				return
			}
			if err != nil || gap.Ahead != test.ahead || gap.Behind != test.behind || len(gap.Commits) != len(test.subjects) {
				t.Fatalf("%+v, %v", gap, err)
			}
			for i, c := range gap.Commits {
				if !strings.HasPrefix(c.Subject, test.subjects[i]) || len([]rune(c.Subject)) > 120 || len(c.Revision) != 40 {
					t.Errorf("%+v, want %s", c, test.subjects[i])
				}
			}
		})
	}
}

// TestFindGapIsBounded: all are counted, not all are listed.
func TestFindGapIsBounded(t *testing.T) {
	root := committed(t, map[string]string{"x": "x"})
	first := source(t, root).Revision
	var last string
	for i := range mostCommits + 5 {
		gitIn(t, root, "commit", "-q", "--allow-empty", "-m", fmt.Sprintf("number %d %s", i, strings.Repeat("x", 300)))
	}
	last = source(t, root).Revision
	gap, err := FindGap(t.Context(), root, offered(), first, last)
	if err != nil || gap.Ahead != mostCommits+5 || len(gap.Commits) != mostCommits || gap.Commits[0].Revision != last {
		t.Errorf("%d ahead, %d listed, %v", gap.Ahead, len(gap.Commits), err)
	}
}

func TestSubjects(t *testing.T) {
	root := committed(t, map[string]string{"x": "x"})
	first := source(t, root).Revision
	second := committing(t, root, "the second")
	unknown := strings.Repeat("1", 40)
	for name, test := range map[string]struct {
		dir  string
		ask  []string
		want map[string]string
	}{
		"those that are known": {root, []string{second, unknown, first, second}, map[string]string{first: "first", second: "the second"}},
		"unknown ones alone":   {root, []string{unknown}, nil},
		"none":                 {root, nil, nil},
		"no ids":               {root, []string{"", "--all", "HEAD"}, nil},
		"no work tree":         {tree(t, nil), []string{first}, nil},
		"no directory":         {filepath.Join(root, "nowhere"), []string{first}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := Subjects(t.Context(), test.dir, offered(), test.ask)
			if len(got) != len(test.want) {
				t.Fatalf("%v", got)
			}
			for id, subject := range test.want {
				if got[id] != subject {
					t.Errorf("%s: %q, want %q", id, got[id], subject)
				}
			}
		})
	}
}
