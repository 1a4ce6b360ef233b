package config

import (
	"strings"
	"testing"
)

func TestCheckValue(t *testing.T) {
	for _, test := range []struct {
		kind Value
		good []string
		bad  []string
	}{
		{ValueName, []string{"dev", "no", "Prod-1"}, []string{"", "1dev", "a b", "a:b", "ä", strings.Repeat("x", 48)}},
		{ValueAgent, []string{"support", "my_agent"}, []string{"", "awsBot", "SSM", "a/b"}},
		{ValueAccount, []string{"111122223333"}, []string{"", "1111", "11112222333x", "1111222233334"}},
		{ValueRegion, []string{"us-east-1", "us-gov-west-1"}, []string{"", "us-east", "us-east-1.evil.example"}},
		{ValueGitHub, []string{"acme/agents", "acme@1/agents@2"}, []string{"", "acme", "a/b/c", "https://github.com/a/b"}},
		{ValueBranch, []string{"main", "release/1.x"}, []string{"", "main*", "refs/heads/main", "a..b"}},
		{ValuePath, []string{".", "apps/x: y", "a/.b"}, []string{"", "/etc", "../x", "a/../b", `a\b`, "~/x", "c:x"}},
		{ValuePackage, []string{".", "./cmd/agent", "cmd"}, []string{"", "../x", "a b"}},
		{ValueVariable, []string{"AGENT_NAME"}, []string{"", "A=B", "AWS_SECRET_ACCESS_KEY"}},
		{ValueArgument, []string{"", "x: y # no"}, []string{"ghp_abcdefghijkl", "AKIAIOSFODNN7EXAMPLE", "a\nb", "\x7f", "\u009b", "a\u202eb"}},
	} {
		for _, text := range test.good {
			if err := CheckValue(test.kind, text); err != nil {
				t.Errorf("kind %d refuses %q: %v", test.kind, text, err)
			}
		}
		for _, text := range test.bad {
			err := CheckValue(test.kind, text)
			if err == nil {
				t.Errorf("kind %d takes %q", test.kind, text)
			} else if len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Errorf("the error repeats the value: %v", err)
			}
		}
	}
}
