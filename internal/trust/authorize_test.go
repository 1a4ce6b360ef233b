package trust

import (
	"strings"
	"testing"
)

// grant reads a permission policy of one statement.
func grant(t *testing.T, name, statement string) Named {
	t.Helper()
	p, err := Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statement + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return Named{Name: name, Policy: p}
}

func TestAuthorizeJoinsTheLayers(t *testing.T) {
	get := `{"Sid":"Get","Effect":"Allow","Action":"ssm:GetParameter","Resource":"*"}`
	all := `{"Sid":"All","Effect":"Allow","Action":"*","Resource":"*"}`
	put := `{"Sid":"Put","Effect":"Allow","Action":"ssm:PutParameter","Resource":"*"}`
	never := `{"Sid":"Never","Effect":"Deny","Action":"ssm:*","Resource":"*"}`
	here := `{"Sid":"Here","Effect":"Allow","Action":"ssm:GetParameter","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}}`
	none := ""
	for _, c := range []struct {
		name, identity, boundary, session string
		allowed, explicit                 bool
		layer                             Layer
		reason                            string
	}{
		{"an identity policy allows", get, none, none, true, false, IdentityBased, "identity-based policy identity allows it by statement Get"},
		{"no policy at all", none, none, none, false, false, IdentityBased, "no identity-based policy allows it"},
		{"another action", put, none, none, false, false, IdentityBased, "no identity-based policy allows it"},
		{"a boundary grants nothing by itself", none, all, none, false, false, IdentityBased, "no identity-based policy allows it"},
		{"a boundary that does not reach it", get, put, none, false, false, PermissionsBoundary, "no permissions boundary allows it"},
		{"a boundary that does", get, all, none, true, false, IdentityBased, "statement Get"},
		{"a boundary that denies", all, never, none, false, true, PermissionsBoundary, "permissions boundary boundary denies it by statement Never"},
		{"a session policy that does not reach it", all, none, put, false, false, SessionPolicy, "no session policy allows it"},
		{"a session policy that denies", all, none, never, false, true, SessionPolicy, "session policy session denies it by statement Never"},
		{"a condition", here, none, none, false, false, IdentityBased, `identity statement Here: StringEquals aws:RequestedRegion wants ["us-east-1"], got absent`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var g Grants
			if c.identity != "" {
				g.Identity = []Named{grant(t, "other", put), grant(t, "identity", c.identity)}
			}
			if c.boundary != "" {
				n := grant(t, "boundary", c.boundary)
				g.Boundary = &n
			}
			if c.session != "" {
				n := grant(t, "session", c.session)
				g.Session = &n
			}
			v := g.Authorize(Request{Action: "ssm:GetParameter", Resource: "arn:aws:ssm:us-east-1:111122223333:parameter/a"})
			if v.Allowed != c.allowed || v.Explicit != c.explicit || v.Layer != c.layer || !strings.Contains(v.Reason(), c.reason) {
				t.Errorf("got %+v: %s", v, v.Reason())
			}
		})
	}
}

// TestRoleGrantsRefuseWhatTheyCannotRead: a policy that can't be read must not
// count as one that says nothing.
func TestRoleGrantsRefuseWhatTheyCannotRead(t *testing.T) {
	good := Document{Name: "good", JSON: []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)}
	bad := Document{Name: "bad", JSON: []byte(`{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Sounds":{"a":"b"}}}]}`)}
	for _, r := range []Role{{Inline: []Document{good, bad}}, {Attached: []Document{bad}}, {Boundary: &bad}} {
		if _, err := r.Grants(); err == nil || !strings.Contains(err.Error(), "policy bad: ") {
			t.Errorf("%+v: %v", r, err)
		}
	}
	g, err := Role{Inline: []Document{good}, Boundary: &good}.Grants()
	if err != nil || len(g.Identity) != 1 || g.Boundary == nil {
		t.Errorf("%+v, %v", g, err)
	}
}
