package github

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/nacl/box"

	"github.com/slipway-cd/slipway/internal/bootstrap"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// Repository returns the repository's ids and what the token may do with it
// (GitHub docs: get a repository).
func (c *Client) Repository(ctx context.Context) (bootstrap.HostRepository, error) {
	var r struct {
		ID    int64
		Owner struct {
			ID    int64
			Login string
		}
		FullName      string `json:"full_name"`
		Private       bool
		DefaultBranch string `json:"default_branch"`
		Permissions   struct{ Admin bool }
	}
	err := c.call(ctx, http.MethodGet, c.path(), nil, &r)
	return bootstrap.HostRepository{FullName: r.FullName, ID: strconv.FormatInt(r.ID, 10), OwnerID: strconv.FormatInt(r.Owner.ID, 10),
		DefaultBranch: r.DefaultBranch, Private: r.Private, Admin: r.Permissions.Admin}, err
}

// Subject returns what the subjects of the repository's tokens look like
// (GitHub docs: get the customization template for an OIDC subject claim).
func (c *Client) Subject(ctx context.Context) (bootstrap.SubjectForm, error) {
	var s struct {
		UseDefault   bool     `json:"use_default"`
		ClaimKeys    []string `json:"include_claim_keys"`
		UseImmutable *bool    `json:"use_immutable_subject"`
		Prefix       string   `json:"sub_claim_prefix"`
	}
	err := c.call(ctx, http.MethodGet, c.path("actions", "oidc", "customization", "sub"), nil, &s)
	form := bootstrap.SubjectForm{Prefix: s.Prefix}
	if !s.UseDefault {
		form.ClaimKeys = s.ClaimKeys
	}
	return form, err
}

// gateJSON is an environment as GitHub answers it.
type gateJSON struct {
	Name             string
	CanAdminsBypass  *bool `json:"can_admins_bypass"`
	DeploymentBranch *struct {
		Protected bool `json:"protected_branches"`
		Custom    bool `json:"custom_branch_policies"`
	} `json:"deployment_branch_policy"`
	Rules []struct {
		Type        string
		Wait        int  `json:"wait_timer"`
		PreventSelf bool `json:"prevent_self_review"`
		Reviewers   []struct {
			Type     string
			Reviewer struct {
				ID    int64
				Login string
				Slug  string
				Page  string `json:"html_url"`
			}
		}
	} `json:"protection_rules"`
}

// Gate returns how an environment is protected, or delivery.ErrNotFound
// (GitHub docs: get an environment).
func (c *Client) Gate(ctx context.Context, name string) (bootstrap.Gate, error) {
	var e gateJSON
	if err := c.call(ctx, http.MethodGet, c.path("environments", name), nil, &e); err != nil {
		return bootstrap.Gate{}, err
	}
	g := bootstrap.Gate{Name: e.Name, AdminsBypass: e.CanAdminsBypass == nil || *e.CanAdminsBypass}
	for _, r := range e.Rules {
		g.Wait = max(g.Wait, r.Wait)
		g.PreventSelf = g.PreventSelf || r.PreventSelf
		for _, who := range r.Reviewers {
			name := who.Reviewer.Login
			if who.Type == "Team" {
				name = teamName(who.Reviewer.Page, who.Reviewer.Slug)
			}
			g.Reviewers = append(g.Reviewers, name)
		}
	}
	if b := e.DeploymentBranch; b != nil {
		g.ProtectedBranches, g.NamedBranches = b.Protected, b.Custom
	}
	if !g.NamedBranches {
		return g, nil
	}
	err := c.list(ctx, c.path("environments", name, "deployment-branch-policies"), func(raw json.RawMessage) error {
		var page struct {
			Policies []struct{ Name, Type string } `json:"branch_policies"`
		}
		err := json.Unmarshal(raw, &page)
		for _, p := range page.Policies {
			g.Branches = append(g.Branches, bootstrap.BranchRule{Name: p.Name, Tag: p.Type == "tag"})
		}
		return err
	})
	return g, err
}

// teamName is org/slug; the organisation stands in the address of the team's
// page alone: https://github.com/orgs/acme/teams/platform.
func teamName(page, slug string) string {
	_, rest, _ := strings.Cut(page, "/orgs/")
	org, _, _ := strings.Cut(rest, "/")
	return org + "/" + slug
}

// reviewer finds the id of a person (login) or a team (org/slug).
func (c *Client) reviewer(ctx context.Context, name string) (kind string, id int64, err error) {
	kind, path := "User", "/users/"+url.PathEscape(name)
	if org, slug, ok := strings.Cut(name, "/"); ok {
		kind, path = "Team", "/orgs/"+url.PathEscape(org)+"/teams/"+url.PathEscape(slug)
	}
	var who struct{ ID int64 }
	err = c.call(ctx, http.MethodGet, path, nil, &who)
	return kind, who.ID, err
}

// CheckReviewer returns delivery.ErrNotFound for a person or team that GitHub
// does not know, or not to this token.
func (c *Client) CheckReviewer(ctx context.Context, name string) error {
	_, _, err := c.reviewer(ctx, name)
	return err
}

// PutGate makes an environment, or states its protection anew, and adds the
// branches that are missing (GitHub docs: create or update an environment).
func (c *Client) PutGate(ctx context.Context, g bootstrap.Gate) error {
	type reviewer struct {
		Type string `json:"type"`
		ID   int64  `json:"id"`
	}
	type rule struct {
		Protected bool `json:"protected_branches"`
		Custom    bool `json:"custom_branch_policies"`
	}
	in := struct {
		Wait        int        `json:"wait_timer"`
		PreventSelf bool       `json:"prevent_self_review"`
		Reviewers   []reviewer `json:"reviewers"`
		Branches    *rule      `json:"deployment_branch_policy"`
	}{g.Wait, g.PreventSelf, []reviewer{}, nil}
	for _, name := range g.Reviewers {
		kind, id, err := c.reviewer(ctx, name)
		if err != nil {
			return err
		}
		in.Reviewers = append(in.Reviewers, reviewer{kind, id})
	}
	if g.ProtectedBranches || g.NamedBranches {
		in.Branches = &rule{g.ProtectedBranches, g.NamedBranches}
	}
	if err := c.call(ctx, http.MethodPut, c.path("environments", g.Name), in, nil); err != nil {
		return err
	}
	if !g.NamedBranches {
		return nil
	}
	have, err := c.Gate(ctx, g.Name)
	if err != nil {
		return err
	}
	for _, b := range g.Branches {
		if slices.Contains(have.Branches, b) {
			continue
		}
		kind := "branch"
		if b.Tag {
			kind = "tag"
		}
		err := c.call(ctx, http.MethodPost, c.path("environments", g.Name, "deployment-branch-policies"), map[string]string{"name": b.Name, "type": kind}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// ProtectedBranches says whether the repository has a protected branch.
func (c *Client) ProtectedBranches(ctx context.Context) (bool, error) {
	var branches []struct{ Name string }
	err := c.call(ctx, http.MethodGet, c.path("branches")+"?protected=true", nil, &branches)
	return len(branches) > 0, err
}

// Variables returns an environment's variables by name.
func (c *Client) Variables(ctx context.Context, environment string) (map[string]string, error) {
	values := map[string]string{}
	err := c.list(ctx, c.path("environments", environment, "variables"), func(raw json.RawMessage) error {
		var page struct {
			Variables []struct{ Name, Value string }
		}
		err := json.Unmarshal(raw, &page)
		for _, v := range page.Variables {
			values[v.Name] = v.Value
		}
		return err
	})
	return values, err
}

// PutVariable sets a variable of an environment.
func (c *Client) PutVariable(ctx context.Context, environment, name, value string) error {
	in := map[string]string{"name": name, "value": value}
	err := c.call(ctx, http.MethodPost, c.path("environments", environment, "variables"), in, nil)
	if errors.Is(err, delivery.ErrExists) {
		err = c.call(ctx, http.MethodPatch, c.path("environments", environment, "variables", name), in, nil)
	}
	return err
}

// Secrets returns the names of an environment's secrets.
func (c *Client) Secrets(ctx context.Context, environment string) ([]string, error) {
	return c.secretNames(ctx, c.path("environments", environment, "secrets"))
}

// RepositorySecrets returns the names of the repository's own secrets.
func (c *Client) RepositorySecrets(ctx context.Context) ([]string, error) {
	return c.secretNames(ctx, c.path("actions", "secrets"))
}

func (c *Client) secretNames(ctx context.Context, path string) ([]string, error) {
	var names []string
	err := c.list(ctx, path, func(raw json.RawMessage) error {
		var page struct{ Secrets []struct{ Name string } }
		err := json.Unmarshal(raw, &page)
		for _, s := range page.Secrets {
			names = append(names, s.Name)
		}
		return err
	})
	return names, err
}

// PutSecret seals a value to the environment's public key and sets the secret.
// A key that was changed meanwhile is fetched again, once (GitHub docs:
// encrypting secrets for the REST API).
func (c *Client) PutSecret(ctx context.Context, environment, name, value string) error {
	err := c.putSecret(ctx, environment, name, value)
	var refused *delivery.RemoteError
	if errors.As(err, &refused) && refused.Status == http.StatusUnprocessableEntity {
		err = c.putSecret(ctx, environment, name, value)
	}
	return err
}

func (c *Client) putSecret(ctx context.Context, environment, name, value string) error {
	var key struct {
		ID  string `json:"key_id"`
		Key string `json:"key"`
	}
	if err := c.call(ctx, http.MethodGet, c.path("environments", environment, "secrets", "public-key"), nil, &key); err != nil {
		return err
	}
	public, err := base64.StdEncoding.DecodeString(key.Key)
	if err != nil || len(public) != 32 {
		return fmt.Errorf("GitHub: the public key of environment %s is none", environment)
	}
	sealed, err := box.SealAnonymous(nil, []byte(value), (*[32]byte)(public), nil)
	if err != nil {
		return fmt.Errorf("sealing %s: %w", name, err)
	}
	in := map[string]string{"encrypted_value": base64.StdEncoding.EncodeToString(sealed), "key_id": key.ID}
	return c.call(ctx, http.MethodPut, c.path("environments", environment, "secrets", name), in, nil)
}
