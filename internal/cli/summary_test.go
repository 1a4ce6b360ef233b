package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
)

// summaryJob is the job of the summaries.
func summaryJob() github.Job {
	return github.Job{Actions: true, Repository: "acme/agents", Actor: "octocat", RunID: "17000000318", RunNumber: "318", ServerURL: "https://github.com"}
}

// summaryDelivery is a delivery that went well.
func summaryDelivery() *delivery.Deployment {
	hex := func(digit string) string { return strings.Repeat(digit, 64) }
	return &delivery.Deployment{Target: delivery.Target{Agent: "customerServiceAgent", Environment: "dev", Region: "us-east-1"}, Outcome: delivery.Deployed,
		Revision: strings.Repeat("7", 40), Digest: "sha256:" + hex("4"), Tags: []string{strings.Repeat("7", 40), "latest"},
		Runtime:  delivery.RuntimeState{ID: "customerServiceAgent_dev-abcdefghij", Version: "4", Endpoint: "DEFAULT"},
		Previous: &delivery.Pointer{Revision: strings.Repeat("9", 40), Digest: "sha256:" + hex("0"), Version: "3"}, PreviousPassed: true,
		Changes: []delivery.Change{
			{Path: "agentRuntimeArtifact.containerConfiguration.containerUri",
				Before: json.RawMessage(`"111122223333.dkr.ecr.us-east-1.amazonaws.com/agents/dev@sha256:` + hex("0") + `"`),
				After:  json.RawMessage(`"111122223333.dkr.ecr.us-east-1.amazonaws.com/agents/dev@sha256:` + hex("4") + `"`)},
			{Path: "environmentVariables.LOG_LEVEL", Before: json.RawMessage(`"debug"`), After: json.RawMessage(`"info | ` + "`x`" + `"`)},
			{Path: "environmentVariables.TOKEN", Before: json.RawMessage(`"canary"`), After: json.RawMessage(`"canary"`), Secret: true},
			{Path: "lifecycleConfiguration.maxLifetime", After: json.RawMessage(`28800`)},
		},
		Stages:  []delivery.Stage{{Name: delivery.StageBuild, Elapsed: 6100 * time.Millisecond}, {Name: delivery.StageEndpoint, Skipped: true}},
		Elapsed: 14900 * time.Millisecond}
}

// TestSummary holds what a reader sees of a job: the verdict first, how to go
// back, what went wrong and what serves, what changed. Quoted text leaves
// neither its block nor its cell. testdata/summary has the pages; -update
// rewrites them.
func TestSummary(t *testing.T) {
	for name, change := range map[string]func(*story){
		"deployed": func(s *story) {
			s.between.ahead = 3
			s.between.commits = []commitDocument{{s.Revision, "Answer in the caller's language"}, {strings.Repeat("8", 40), "``` # <b>big</b>"}}
		},
		"first": func(s *story) {
			s.Previous, s.PreviousPassed, s.Changes, s.between, s.oneOfMany = nil, false, nil, between{}, true
		},
		"promoted": func(s *story) {
			s.Target.Environment, s.oneOfMany, s.approvers = "stg", true, []string{"hubot", "monalisa"}
			s.PromotedFrom = &delivery.Origin{Environment: "dev", Version: "9"}
		},
		"back":      func(s *story) { s.behind, s.Back = 1, true },
		"adopted":   func(s *story) { s.PreviousPassed = false },
		"diverged":  func(s *story) { s.ahead, s.behind = 2, 1 },
		"unchanged": func(s *story) { s.Outcome, s.Previous, s.Changes, s.between = delivery.Unchanged, nil, nil, between{} },
		"rolled-back": func(s *story) {
			s.Outcome, s.agentLog = delivery.RolledBack, []string{"Traceback", "```", "</details>"}
			s.Tags = []string{s.Revision + "-dirty-abc"}
			s.err = &delivery.Error{Kind: delivery.KindRolledBack, Err: errors.New("it said ```\n# big"), Hints: []string{"mend it"}, Serves: "version 5 serves"}
		},
		"person": func(s *story) {
			s.Outcome = delivery.Failed
			s.err = &delivery.Error{Kind: delivery.KindPerson, Err: errors.New("it serves and is not recorded"), Serves: "version 4 serves"}
		},
		"refused": func(s *story) {
			*s = story{Deployment: &delivery.Deployment{Target: s.Target, Outcome: delivery.Failed}, job: s.job,
				err: &delivery.Error{Kind: delivery.KindRefused, Err: errors.New("prd takes its releases from stg")}}
		},
		"many-changes": func(s *story) {
			for i := range 20 {
				s.Changes = append(s.Changes, delivery.Change{Path: "environmentVariables.V" + strings.Repeat("I", i), After: json.RawMessage(`"x"`)})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := story{Deployment: summaryDelivery(), job: summaryJob(), url: "https://agents.example.com/dev"}
			s.from, s.to = s.Previous.Revision, s.Revision
			change(&s)
			var md bytes.Buffer
			if err := s.write(&md); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(md.String(), "canary") {
				t.Error("it tells a secret value")
			}
			goldenFile(t, filepath.Join("testdata", "summary", name+".md"), md.Bytes())
		})
	}
}

// TestToApprove holds what whoever approves a promotion reads.
func TestToApprove(t *testing.T) {
	e := delivery.Evidence{Agent: "customerServiceAgent", Environment: "dev", Revision: strings.Repeat("7", 40), Digest: "sha256:" + strings.Repeat("4", 64),
		Version: "9", By: "arn:aws:sts::111122223333:assumed-role/deploy/gh-1`|", Released: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)}
	news := between{from: strings.Repeat("9", 40), to: e.Revision, ahead: 1, commits: []commitDocument{{e.Revision, "Answer in the caller's language"}}}
	goldenFile(t, filepath.Join("testdata", "summary", "to-approve.md"), []byte(toApprove(e, "stg", summaryJob(), news)))
	goldenFile(t, filepath.Join("testdata", "summary", "to-approve-unknown.md"), []byte(toApprove(e, "stg", summaryJob(), between{})))
}

// goldenFile compares what was made with a file of testdata; -update rewrites
// it.
func goldenFile(t *testing.T, name string, got []byte) {
	t.Helper()
	if update() {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
