package awsauth

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// claims of a job of acme/agents that names the environment dev.
func claims(change ...string) map[string]string {
	c := map[string]string{
		"iss": "https://token.actions.githubusercontent.com", "aud": "sts.amazonaws.com",
		"sub": "repo:acme/agents:environment:dev", "repository": "acme/agents", "repository_id": "2002",
		"repository_owner_id": "1001", "ref": "refs/heads/main", "environment": "dev",
	}
	for i := 0; i < len(change); i += 2 {
		c[change[i]] = change[i+1]
	}
	return c
}

func TestDenialIsExplained(t *testing.T) {
	byName := Expect{Repository: "acme/agents", Environment: "dev", Ref: "refs/heads/main", RepositoryID: "2002"}
	byID := Expect{Repository: "acme@1001/agents@2002", Environment: "dev"}
	immutable := "repo:acme@1001/agents@2002:environment:dev"
	tests := []struct {
		name   string
		expect Expect
		token  map[string]string
		wrong  string // the claims that differ
		hints  []string
		never  string
	}{
		{"as implied", byName, claims(), "", []string{"the role is what differs", "must hold, under StringEquals: sub repo:acme/agents:environment:dev and aud"}, ""},
		{"names implied, ids sent", byName, claims("sub", immutable), "", []string{"numeric ids", "says repo:acme/agents:… does not match repo:acme@1001/agents@2002:…", "sub " + immutable}, ""},
		{"ids implied, names sent", byID, claims(), "sub", []string{"sends names"}, ""},
		{"ids as implied", byID, claims("sub", immutable), "", []string{"the role is what differs"}, ""},
		{"made anew under the same name", byID, claims("sub", "repo:acme@9/agents@9:environment:dev", "repository_id", "9"), "sub repository_id", []string{"another one of the same name", "made anew"}, "must hold"},
		{"no environment", byName, claims("sub", "repo:acme/agents:ref:refs/heads/main"), "sub", []string{"add `environment: dev` to the job"}, "must hold"},
		{"other environment", byName, claims("sub", "repo:acme/agents:environment:prd"), "sub", []string{"names the environment prd, this role is for dev"}, ""},
		{"pull request", byName, claims("sub", "repo:acme/agents:pull_request", "ref", "refs/pull/7/merge"), "sub ref", []string{"pull request", "runs on refs/pull/7/merge"}, ""},
		{"other repository", byName, claims("sub", "repo:evil@99/agents@77:environment:dev", "repository_id", "77"), "sub repository_id", []string{"from evil/agents, slipway.yaml says github: acme/agents"}, "must hold"},
		{"case", byName, claims("sub", "repo:Acme/agents:environment:dev"), "sub", []string{"differ by case"}, "must hold"},
		{"audience", byName, claims("aud", "https://github.com/acme"), "aud", []string{"for the audience https://github.com/acme, want sts.amazonaws.com"}, ""},
		{"branch", byName, claims("ref", "refs/heads/x"), "ref", []string{"runs on refs/heads/x"}, ""},
		{"branch implied, environment named", Expect{Repository: "acme/agents", Ref: "refs/heads/main"}, claims(), "sub", []string{"names the environment dev, so"}, ""},
		{"a colon in the environment", Expect{Repository: "acme/agents", Environment: "x:ref:refs/heads/main"}, claims("sub", "repo:acme/agents:environment:x%3Aref%3Arefs/heads/main"), "", []string{"the role is what differs"}, ""},
		{"nothing is implied", Expect{}, claims(), "", []string{"the role is what differs"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, e := denied(t, tt.expect, tt.token)
			var wrong []string
			for _, c := range d.Expected {
				if !c.OK {
					wrong = append(wrong, c.Name)
				}
			}
			if got := strings.Join(wrong, " "); got != tt.wrong {
				t.Errorf("differ: %q, want %q (%+v)", got, tt.wrong, d.Expected)
			}
			hints := strings.Join(e.Hints, "\n")
			for _, want := range tt.hints {
				if !strings.Contains(hints, want) {
					t.Errorf("hints lack %q:\n%s", want, hints)
				}
			}
			if tt.never != "" && strings.Contains(hints, tt.never) {
				t.Errorf("hints hold %q:\n%s", tt.never, hints)
			}
		})
	}
}

func denied(t *testing.T, expect Expect, token map[string]string) (*Denial, *delivery.Error) {
	t.Helper()
	remote := &fakeSTS{answers: []stsAnswer{refused(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")}}
	s, err := Source{Getenv: jobEnv(), Role: role, Token: tokens(), Transport: remote, Expect: expect,
		Claims: func(string) (map[string]string, error) { return token, nil }}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Login(t.Context())
	var d *Denial
	var e *delivery.Error
	var r *delivery.RemoteError
	if !errors.As(err, &d) || !errors.As(err, &e) || !errors.As(err, &r) || e.Kind != delivery.KindDenied || !errors.Is(err, delivery.ErrDenied) {
		t.Fatalf("got %v", err)
	}
	if d.Role != role || r.RequestID != "req-1" || r.Status != 403 {
		t.Errorf("got %+v, %+v", d, r)
	}
	if !strings.Contains(err.Error(), "AWS refused the token for role "+role+" (AccessDenied") || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("got %v", err)
	}
	return d, e
}

// TestUncomparedRef: where slipway.yaml names no branch the token's ref is
// shown all the same: the role may ask for one.
func TestUncomparedRef(t *testing.T) {
	d, e := denied(t, Expect{Repository: "acme/agents", Environment: "dev"},
		claims("sub", "repo:acme/agents:environment:dev", "ref", "refs/heads/topic"))
	last := d.Expected[len(d.Expected)-1]
	if last != (Claim{Name: "ref", Got: "refs/heads/topic", OK: true}) {
		t.Errorf("got %+v", d.Expected)
	}
	if !strings.Contains(strings.Join(e.Hints, "\n"), "refs/heads/topic") {
		t.Errorf("no hint names the ref: %q", e.Hints)
	}
}

func TestDenialWithoutClaims(t *testing.T) {
	remote := &fakeSTS{answers: []stsAnswer{refused(403, "AccessDenied", "no")}}
	for _, decode := range []func(string) (map[string]string, error){nil,
		func(string) (map[string]string, error) { return nil, errors.New("broken") }} {
		s, err := Source{Getenv: jobEnv(), Role: role, Token: tokens(), Transport: remote, Claims: decode}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Login(t.Context())
		var d *Denial
		var e *delivery.Error
		if !errors.As(err, &d) || !errors.As(err, &e) || d.Expected != nil || len(e.Hints) != 1 {
			t.Errorf("got %v", err)
		}
	}
}

func TestProviderHints(t *testing.T) {
	for message, want := range map[string]string{
		"No OpenIDConnect provider found in your account for https://token.actions.githubusercontent.com": "account 111122223333 has no OIDC provider",
		"Incorrect token audience": "add it to the client ids",
		"Claim is not an integer":  "look at its iss",
	} {
		remote := &fakeSTS{answers: []stsAnswer{refused(400, "InvalidIdentityToken", message)}}
		s, err := Source{Getenv: jobEnv(), Role: role, Token: tokens(), Transport: remote, Duration: time.Hour,
			Claims: func(string) (map[string]string, error) { return claims(), nil }}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Login(t.Context())
		var e *delivery.Error
		if !errors.As(err, &e) || !strings.Contains(strings.Join(e.Hints, "\n"), want) {
			t.Errorf("%s: got %v", message, err)
		}
	}
}
