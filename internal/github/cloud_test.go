package github_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/sim"
)

func TestAJobOnTheLocalCloud(t *testing.T) {
	c, address := served(t)
	start := func(job string) func(string) string {
		var started sim.JobState
		control(t, c, http.MethodPost, address+"/_local/jobs", json.RawMessage(job), &started)
		return func(name string) string { return started.Environ[name] }
	}

	getenv := start(`{"repository":"acme@1001/agents@2002","environment":"dev","run_id":"318","run_attempt":"2"}`)
	token, err := github.Minter{Getenv: getenv}.IDToken(t.Context(), "sts.amazonaws.com")
	if err != nil {
		t.Fatal(err)
	}
	claims, err := github.Claims(token)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"sub": "repo:acme@1001/agents@2002:environment:dev", "aud": "sts.amazonaws.com",
		"repository_id": "2002", "ref": "refs/heads/main", "iss": sim.Issuer} {
		if claims[name] != want {
			t.Errorf("%s is %q, want %q", name, claims[name], want)
		}
	}
	job := github.JobFrom(getenv)
	if !job.Actions || job.Repository != "acme/agents" || !strings.HasSuffix(job.RunURL(), "/acme/agents/actions/runs/318/attempts/2") {
		t.Errorf("got %+v, %s", job, job.RunURL())
	}

	getenv = start(`{"repository":"acme@1001/agents@2002","id_token":false}`)
	if _, err := (github.Minter{Getenv: getenv}).IDToken(t.Context(), "a"); delivery.KindOf(err) != delivery.KindCredentials {
		t.Errorf("got %v", err)
	}
}
