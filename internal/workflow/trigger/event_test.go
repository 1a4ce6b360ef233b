package trigger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/workflow/trigger"
)

func many(n int, format string) []string {
	files := make([]string, n)
	for i := range files {
		files[i] = fmt.Sprintf(format, i)
	}
	return files
}

func TestDecide(t *testing.T) {
	push := func(ref string, changed ...string) trigger.Event {
		return trigger.Event{Name: "push", Ref: ref, Changed: changed, Compared: true}
	}
	main, tag := "refs/heads/main", "refs/tags/v1"
	paths := trigger.On{Paths: []string{"sub/**", "!sub/docs/**"}}
	for name, tt := range map[string]struct {
		on      trigger.On
		event   trigger.Event
		want    trigger.Verdict
		because string
	}{
		"no filter, branch": {trigger.On{}, push(main), trigger.Runs, "on push"},
		"no filter, tag":    {trigger.On{}, push(tag), trigger.Runs, "on push"},

		"branch":                     {trigger.On{Branches: []string{"main", "releases/**"}}, push(main), trigger.Runs, "branches: main matches main"},
		"other branch":               {trigger.On{Branches: []string{"main"}}, push("refs/heads/x"), trigger.Skipped, "no pattern of branches matches x"},
		"excluded branch":            {trigger.On{Branches: []string{"r/**", "!r/**-alpha"}}, push("refs/heads/r/1-alpha"), trigger.Skipped, "branches: !r/**-alpha excludes r/1-alpha"},
		"branches alone, tag":        {trigger.On{Branches: []string{"**"}}, push(tag), trigger.Skipped, "branches without tags"},
		"branches-ignore alone, tag": {trigger.On{BranchesIgnore: []string{"x"}}, push(tag), trigger.Skipped, "branches-ignore without tags"},
		"tags alone, branch":         {trigger.On{Tags: []string{"**"}}, push(main), trigger.Skipped, "tags without branches"},
		"tag":                        {trigger.On{Branches: []string{"main"}, Tags: []string{"v[0-9]"}}, push(tag), trigger.Runs, "tags: v[0-9] matches v1"},
		"ignored branch":             {trigger.On{BranchesIgnore: []string{"ma*"}}, push(main), trigger.Skipped, "branches-ignore: ma* matches main"},
		"not ignored":                {trigger.On{BranchesIgnore: []string{"x"}}, push(main), trigger.Runs, "no pattern of branches-ignore matches main"},
		"only negative":              {trigger.On{Branches: []string{"!x"}}, push(main), trigger.Skipped, "! alone"},

		"path":                {paths, push(main, "a", "sub/b", "sub/c"), trigger.Runs, "paths: sub/** matches sub/b (and 1 more)"},
		"excluded path":       {paths, push(main, "sub/docs/readme.md"), trigger.Skipped, "paths: !sub/docs/** excludes sub/docs/readme.md"},
		"excluded and not":    {paths, push(main, "sub/docs/readme.md", "sub/x"), trigger.Runs, "paths: sub/** matches sub/x"},
		"no path":             {paths, push(main, "a", "b"), trigger.Skipped, "no changed file passes paths"},
		"nothing changed":     {paths, push(main), trigger.Skipped, "no file is changed"},
		"changes unknown":     {paths, trigger.Event{Name: "push", Ref: main}, trigger.Depends, "it has a filter: paths"},
		"tag and paths":       {paths, push(tag, "a"), trigger.Runs, "paths does not count for tags"},
		"all ignored":         {trigger.On{PathsIgnore: []string{"docs/**"}}, push(main, "docs/a", "docs/b"), trigger.Skipped, "no changed file passes paths-ignore"},
		"one not ignored":     {trigger.On{PathsIgnore: []string{"docs/**"}}, push(main, "docs/a", "b"), trigger.Runs, "no pattern of paths-ignore matches b"},
		"branch but not path": {trigger.On{Branches: []string{"main"}, Paths: []string{"x"}}, push(main, "y"), trigger.Skipped, "no pattern of paths matches y"},
		"path but not branch": {trigger.On{Branches: []string{"x"}, Paths: []string{"y"}}, push(main, "y"), trigger.Skipped, "no pattern of branches matches main"},
		"branch and path":     {trigger.On{Branches: []string{"main"}, Paths: []string{"y"}}, push(main, "y"), trigger.Runs, "paths: y matches y"},

		"300 others":   {paths, push(main, append(many(300, "x/%d"), "sub/a")...), trigger.Depends, "GitHub looks at 300 of the 301"},
		"299 others":   {paths, push(main, append(many(299, "x/%d"), "sub/a")...), trigger.Runs, "sub/a"},
		"1001 commits": {paths, trigger.Event{Name: "push", Ref: main, Commits: 1001}, trigger.Runs, "more than 1000 commits"},
		"1000 commits": {paths, trigger.Event{Name: "push", Ref: main, Commits: 1000, Compared: true}, trigger.Skipped, "no file is changed"},

		"pull request":           {trigger.On{}, trigger.Event{Name: "pull_request", Type: "synchronize"}, trigger.Runs, "synchronize"},
		"of no type":             {trigger.On{}, trigger.Event{Name: "pull_request"}, trigger.Runs, "on pull_request"},
		"closed":                 {trigger.On{}, trigger.Event{Name: "pull_request", Type: "closed"}, trigger.Skipped, "means opened, synchronize, reopened, not closed"},
		"closed on request":      {trigger.On{Types: []string{"closed"}}, trigger.Event{Name: "pull_request", Type: "closed"}, trigger.Runs, "types: closed"},
		"type unknown":           {trigger.On{Types: []string{"labeled"}}, trigger.Event{Name: "pull_request"}, trigger.Depends, "types: labeled"},
		"base":                   {trigger.On{Branches: []string{"main"}}, trigger.Event{Name: "pull_request", Base: "main", Ref: "refs/pull/1/merge"}, trigger.Runs, "branches: main matches main"},
		"other base":             {trigger.On{Branches: []string{"main"}}, trigger.Event{Name: "pull_request", Base: "x"}, trigger.Skipped, "no pattern of branches matches x"},
		"base unknown":           {trigger.On{Branches: []string{"main"}}, trigger.Event{Name: "pull_request"}, trigger.Depends, "filter: branches"},
		"issue of any type":      {trigger.On{}, trigger.Event{Name: "issues", Type: "pinned"}, trigger.Runs, "on issues"},
		"schedule":               {trigger.On{Crons: []string{"0 4 * * *"}}, trigger.Event{Name: "schedule", Ref: main}, trigger.Runs, "cron 0 4 * * *"},
		"workflow_run":           {trigger.On{Workflows: []string{"ci"}}, trigger.Event{Name: "workflow_run"}, trigger.Depends, "waits for ci"},
		"unknown but wrong base": {trigger.On{Branches: []string{"main"}, Paths: []string{"x"}}, trigger.Event{Name: "pull_request", Base: "y"}, trigger.Skipped, "branches"},
	} {
		got, err := tt.on.Decide(tt.event)
		if err != nil || got.Verdict != tt.want || !strings.Contains(got.Because, tt.because) {
			t.Errorf("%s: %+v, %v; want %s, %s", name, got, err, tt.want, tt.because)
		}
		if (got.Verdict == trigger.Depends) != (len(got.DependsOn) > 0) {
			t.Errorf("%s depends on %v", name, got.DependsOn)
		}
	}
	both := trigger.On{Branches: []string{"main"}, Paths: []string{"x"}}
	if got, _ := both.Decide(trigger.Event{Name: "pull_request"}); !slices.Equal(got.DependsOn, []string{"the base branch", "the changed files"}) {
		t.Errorf("it depends on %v", got.DependsOn)
	}
}

func TestBrokenFilters(t *testing.T) {
	for want, on := range map[string]trigger.On{
		"branches and branches-ignore can't both": {Branches: []string{"a"}, BranchesIgnore: []string{"b"}},
		"tags and tags-ignore can't both":         {Tags: []string{"a"}, TagsIgnore: []string{"b"}},
		"paths and paths-ignore can't both":       {Paths: []string{"a"}, PathsIgnore: []string{"b"}},
		`paths-ignore: pattern "+": `:             {PathsIgnore: []string{"+"}},
	} {
		if _, err := on.Decide(trigger.Event{Name: "push"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestValues(t *testing.T) {
	inputs := []trigger.Input{
		{Name: "environment", Type: "choice", Required: true, Options: []string{"stg", "prd"}},
		{Name: "logLevel", Type: "choice", Required: true, Default: "warning", Options: []string{"info", "warning"}},
		{Name: "print_tags", Type: "boolean", Required: true},
		{Name: "count", Type: "number", Default: "3"},
		{Name: "note"},
	}
	got, err := trigger.Values(inputs, map[string]string{"Environment": "stg", "print_tags": "true"})
	want := map[string]any{"environment": "stg", "logLevel": "warning", "print_tags": true, "count": 3.0, "note": ""}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, tt := range []struct {
		given map[string]string
		want  string
	}{
		{nil, "the input environment has to be given; it can be stg, prd"},
		{map[string]string{"environment": ""}, "the input environment has to be given"},
		{map[string]string{"environment": "dev"}, `the input environment is "dev"; it can be stg, prd`},
		{map[string]string{"environment": "STG"}, `is "STG"`},
		{map[string]string{"environment": "stg", "env": "x"}, "there is no input env; there is environment, logLevel, print_tags, count, note"},
		{map[string]string{"environment": "stg", "print_tags": "yes"}, "true or false"},
		{map[string]string{"environment": "stg", "count": "many"}, "no number"},
		{map[string]string{"environment": "stg", "count": "NaN"}, "no number"},
		{map[string]string{"environment": "dev", "count": "many"}, "no number"},
	} {
		if _, err := trigger.Values(inputs, tt.given); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %s", tt.given, err, tt.want)
		}
	}
	if _, err := trigger.Values(nil, map[string]string{"a": "b"}); err == nil || !strings.Contains(err.Error(), "it has none") {
		t.Error(err)
	}
}
