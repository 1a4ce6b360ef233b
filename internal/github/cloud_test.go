package github_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/sim"
)

func TestAJobOnTheLocalCloud(t *testing.T) {
	c := &sim.Cloud{Dir: t.TempDir()}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	server := httptest.NewServer(c)
	defer server.Close()
	start := func(job string) func(string) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/_local/jobs", strings.NewReader(job))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+c.ControlToken())
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var vars map[string]string
		if err := json.NewDecoder(resp.Body).Decode(&vars); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %v", resp.StatusCode, err)
		}
		return func(name string) string { return vars[name] }
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
