package github_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/bootstrap"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/sim"
)

// served is a local cloud and its address.
func served(t *testing.T) (*sim.Cloud, string) {
	t.Helper()
	cloud := &sim.Cloud{Dir: t.TempDir()}
	if err := cloud.Open(); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(cloud)
	t.Cleanup(func() {
		srv.Close()
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	return cloud, srv.URL
}

// hosted is a client of the local cloud's GitHub.
func hosted(t *testing.T, r sim.Repository) *github.Client {
	t.Helper()
	cloud, address := served(t)
	var env map[string]string
	control(t, cloud, http.MethodPost, address+"/_local/repositories", r, nil)
	control(t, cloud, http.MethodGet, address+"/_local/env", nil, &env)
	return &github.Client{Name: r.FullName(), Getenv: func(name string) string { return env[name] }}
}

// control calls the cloud's control API.
func control(t *testing.T, c *sim.Cloud, method, address string, in, out any) {
	t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.ControlToken())
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", address, resp.Status)
	}
	if out == nil {
		return
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		t.Fatal(err)
	}
}

func agents() sim.Repository {
	return sim.Repository{Owner: "acme", OwnerID: "1001", Name: "agents", ID: "2002", Immutable: true, Readers: []string{"octocat", "acme/platform"}}
}

func TestRepositoryAndSubject(t *testing.T) {
	c, ctx := hosted(t, agents()), t.Context()
	r, err := c.Repository(ctx)
	want := bootstrap.HostRepository{FullName: "acme/agents", ID: "2002", OwnerID: "1001", DefaultBranch: "main", Admin: true}
	if err != nil || r != want {
		t.Errorf("got %+v, %v", r, err)
	}
	s, err := c.Subject(ctx)
	if err != nil || s.Prefix != "repo:acme@1001/agents@2002" || s.ClaimKeys != nil {
		t.Errorf("got %+v, %v", s, err)
	}
	c.Name = "acme/nothing"
	if _, err := c.Repository(ctx); !errors.Is(err, delivery.ErrNotFound) {
		t.Error(err)
	}
}

// TestGate: what is stated is read back, whatever the environment is called.
func TestGate(t *testing.T) {
	c, ctx := hosted(t, agents()), t.Context()
	for _, name := range []string{"prd", "eu/prd 1%"} {
		if _, err := c.Gate(ctx, name); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		want := bootstrap.Gate{Name: name, Reviewers: []string{"octocat", "acme/platform"}, PreventSelf: true, NamedBranches: true,
			Branches: []bootstrap.BranchRule{{Name: "main"}, {Name: "v*", Tag: true}}, AdminsBypass: true, Wait: 5}
		for range 2 { // the second time changes nothing
			if err := c.PutGate(ctx, want); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.Gate(ctx, name); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if err := c.CheckReviewer(ctx, "nobody"); !errors.Is(err, delivery.ErrNotFound) {
		t.Error(err)
	}
	if err := c.PutGate(ctx, bootstrap.Gate{Name: "prd", Reviewers: []string{"acme/nobody"}}); !errors.Is(err, delivery.ErrNotFound) {
		t.Error(err)
	}
	if protected, err := c.ProtectedBranches(ctx); err != nil || protected {
		t.Errorf("%v, %v", protected, err)
	}
}

func TestSettings(t *testing.T) {
	c, ctx := hosted(t, agents()), t.Context()
	if err := c.PutGate(ctx, bootstrap.Gate{Name: "dev"}); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"one", "two"} {
		if err := errors.Join(c.PutVariable(ctx, "dev", "AWS_DEPLOY_ROLE_ARN", value), c.PutSecret(ctx, "dev", "TOKEN", value)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 { // more than a page
		if err := c.PutVariable(ctx, "dev", "V"+strings.Repeat("X", i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	values, err := c.Variables(ctx, "dev")
	if err != nil || values["AWS_DEPLOY_ROLE_ARN"] != "two" || len(values) != 41 {
		t.Errorf("%d variables, AWS_DEPLOY_ROLE_ARN %s, %v", len(values), values["AWS_DEPLOY_ROLE_ARN"], err)
	}
	names, err := c.Secrets(ctx, "dev")
	own, errOwn := c.RepositorySecrets(ctx)
	if err := errors.Join(err, errOwn); err != nil || !slices.Equal(names, []string{"TOKEN"}) || len(own) != 0 {
		t.Errorf("%v, %v, %v", names, own, err)
	}
	if err := c.PutVariable(ctx, "nowhere", "A", "b"); !errors.Is(err, delivery.ErrNotFound) {
		t.Error(err)
	}
}
