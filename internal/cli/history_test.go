package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
)

func TestCallerName(t *testing.T) {
	for by, want := range map[string]string{
		"octocat": "octocat",
		"arn:aws:sts::111122223333:assumed-role/deploy/gh-1": "deploy/gh-1",
		"arn:aws:iam::111122223333:user/ops/ann":             "ops/ann",
		"arn:aws:iam::111122223333:root":                     "root",
		"":                                                   "",
	} {
		if got := callerName(by); got != want {
			t.Errorf("%s: %q, want %q", by, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for want, a := range map[string]aheadDocument{
		"dev serves another revision than stg":                     {Environment: "dev"},
		"dev is ahead of stg by 1 commit":                          {Environment: "dev", Known: true, Count: 1},
		"dev is behind stg by 2 commits":                           {Environment: "dev", Known: true, Lacks: 2},
		"dev is ahead of stg by 3 commits, and lacks 1 of its own": {Environment: "dev", Known: true, Count: 3, Lacks: 1},
	} {
		if got := distance("stg", a); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestAheadLines names five commits and counts the rest.
func TestAheadLines(t *testing.T) {
	a := &app{}
	a.ui = newUI(a)
	ahead := &aheadDocument{Environment: "dev", Known: true, Count: 120}
	for range 100 {
		ahead.Commits = append(ahead.Commits, commitDocument{strings.Repeat("a", 40), "one of many"})
	}
	lines := a.aheadLines([]environmentStatus{{Agent: "helper", Environment: "dev"}, {Agent: "helper", Environment: "stg", Ahead: ahead}})
	if len(lines) != 3+mostSubjects || lines[0] != "" || lines[1] != "helper: dev is ahead of stg by 120 commits" ||
		lines[2] != "  aaaaaaa one of many" || lines[len(lines)-1] != "  … and 115 more" {
		t.Errorf("%q", lines)
	}
}

// TestHistoryLines: what was recorded by whomever is one line of a table, and no
// command to a terminal or to GitHub's runner.
func TestHistoryLines(t *testing.T) {
	var out bytes.Buffer
	a := &app{System: System{Out: &out, Env: []string{"GITHUB_ACTIONS=true"}}}
	a.ui = newUI(a)
	rows := a.historyLines([]releaseDocument{
		{Revision: "::error ::" + hostile, Digest: hostile, Version: hostile, By: "a\tb\n::error ::c", Verdict: hostile, Subject: "##[error]" + hostile,
			Tags: []string{strings.Repeat("b", 40) + "-dirty-0123456789ab", "latest"}, Adopted: hostile,
			RolledBack: &previousDocument{Revision: hostile, Version: "3"}, Reason: strings.Repeat("because\n", 100),
			PromotedFrom: &delivery.Origin{Environment: "dev", Version: "7"}, VersionState: delivery.Gone, ImageState: delivery.Gone},
	})
	if len(rows) != 2 || strings.HasPrefix(rows[1], "::") || strings.Contains(rows[1], "##[") || strings.ContainsAny(rows[1], "\x1b\n\t") {
		t.Errorf("%q", rows)
	}
	for _, want := range []string{"a b ::error ::c", "bbbbbbb-dirty,latest", "adopted; promoted from dev (version 7); rolled back from ", "…; version gone; image gone"} {
		if !strings.Contains(rows[1], want) {
			t.Errorf("%q lacks %q", rows[1], want)
		}
	}
}

func TestDiffNotes(t *testing.T) {
	plan := &delivery.Plan{Target: delivery.Target{Environment: "stg", After: "dev"},
		Changes: []delivery.Change{{Path: "a", Before: []byte("1")}, {Path: "b", Before: []byte("1"), After: []byte("2")}}}
	got := strings.Join(diffNotes(plan, "a deploy", errors.New("no token")), "\n")
	for _, want := range []string{"a deploy is refused: no token", "a deploy drops a with --replace alone"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
	if notes := diffNotes(&delivery.Plan{}, "a deploy", nil); notes != nil {
		t.Errorf("%q", notes)
	}
}
