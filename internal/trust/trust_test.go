package trust

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseRefuses(t *testing.T) {
	statement := func(s string) string { return `{"Statement":[{` + s + `}]}` }
	tests := []struct{ name, doc, want string }{
		{"nothing", ``, "unexpected EOF"},
		{"no object", `[]`, "the document is no object"},
		{"cut short", `{"Statement":[`, "EOF"},
		{"two documents", `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}} {}`, "something follows"},
		{"not UTF-8", "{\"Id\":\"\xff\"}", "not UTF-8"},
		{"too deep", strings.Repeat(`{"a":`, 20), "nested deeper than 16"},
		{"no statement", `{"Version":"2012-10-17"}`, "no Statement"},
		{"empty statement", `{"Statement":[]}`, "Statement is empty"},
		{"other version", `{"Version":"2012-10-18","Statement":[]}`, `Version "2012-10-18"`},
		{"unknown element", `{"Foo":1}`, `unknown element "Foo"`},
		{"wrong case", `{"statement":[]}`, `unknown element "statement": it is spelled "Statement"`},
		{"wrong case within", statement(`"effect":"Allow"`), `unknown element "effect": it is spelled "Effect"`},
		{"effect", statement(`"Effect":"allow","Action":"*"`), `Effect "allow" is neither`},
		{"no effect", statement(`"Action":"*"`), `Effect "" is neither`},
		{"no action", statement(`"Effect":"Allow"`), "needs one of Action and NotAction"},
		{"both actions", statement(`"Effect":"Allow","Action":"*","NotAction":"*"`), "needs one of"},
		{"both resources", statement(`"Effect":"Allow","Action":"*","Resource":"*","NotResource":"*"`), "both Resource"},
		{"NotPrincipal", statement(`"Effect":"Allow","NotPrincipal":"*","Action":"*"`), "NotPrincipal is not supported"},
		{"principal's kind", statement(`"Effect":"Allow","Principal":{"federated":"x"},"Action":"*"`), `it is spelled "Federated"`},
		{"principal's text", statement(`"Effect":"Allow","Principal":"x","Action":"*"`), `neither "*" nor an object`},
		{"no principal", statement(`"Effect":"Allow","Principal":{},"Action":"*"`), "names nobody"},
		{"action no text", statement(`"Effect":"Allow","Action":{}`), "neither a value nor a list"},
		{"unknown operator", statement(`"Effect":"Allow","Action":"*","Condition":{"StringIs":{"a":"b"}}`),
			`line 1, column 59: Statement[0].Condition.StringIs: unknown operator "StringIs"`},
		{"operator's case", statement(`"Effect":"Allow","Action":"*","Condition":{"stringEquals":{"a":"b"}}`), "unknown operator"},
		{"Null with a prefix", statement(`"Effect":"Allow","Action":"*","Condition":{"NullIfExists":{"a":"true"}}`), "Null takes no prefix"},
		{"Bool of no boolean", statement(`"Effect":"Allow","Action":"*","Condition":{"Bool":{"a":"yes"}}`), "neither true nor false"},
		{"value an object", statement(`"Effect":"Allow","Action":"*","Condition":{"Bool":{"a":{}}}`), "neither a value nor a list"},
		{"Numeric of no number", statement(`"Effect":"Allow","Action":"*","Condition":{"NumericLessThan":{"a":"inf"}}`), `"inf" is no number`},
		{"no value", statement(`"Effect":"Allow","Action":"*","Condition":{"StringEquals":{"a":[]}}`), "no value to compare with"},
		{"action without a service", statement(`"Effect":"Allow","Action":"PutImage"`), `"PutImage" is neither "*" nor prefaced by a vendor`},
		{"wildcard for the service", statement(`"Effect":"Allow","Action":"ec*:PutImage"`), "neither"},
		{"variable in an action", statement(`"Effect":"Allow","NotAction":"ecr:${a:b}"`), "neither"},
		{"resource that is no ARN", statement(`"Effect":"Allow","Action":"*","Resource":"bucket"`), `"bucket" is neither "*" nor in ARN format`},
		{"resource cut short", statement(`"Effect":"Allow","Action":"*","NotResource":"arn:aws:iam::1"`), "neither"},
		{"binary operator", statement(`"Effect":"Allow","Action":"*","Condition":{"BinaryEquals":{"a":"YQ=="}}`), `unknown operator "BinaryEquals"`},
		{"Sid twice", `{"Statement":[{"Sid":"a","Effect":"Allow","Action":"*"},{"Sid":"a","Effect":"Allow","Action":"*"}]}`, `Sid "a" is used twice`},
		{"key twice", statement(`"Effect":"Deny","Effect":"Allow","Action":"*"`), "Statement[0].Effect is stated twice"},
		{"escaped key twice", statement(`"Effect":"Deny","\u0045ffect":"Allow","Action":"*"`), "Statement[0].Effect is stated twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.doc))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want one with %q", err, tt.want)
			}
		})
	}
}

// condition evaluates one condition over the values of key k.
func condition(t *testing.T, operator, values string, got ...string) bool {
	t.Helper()
	p, err := Parse([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Condition":{"` + operator + `":{"K":` + values + `}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	return p.Evaluate(Request{Action: "a:b", Context: map[string][]string{"k": got, "v:name": {"ann*"}, "v:mixed": {"Mixed"}, "v:yes": {"True"}, "v:two": {"x", "y"}}}).Allowed
}

func TestConditions(t *testing.T) {
	none := []string(nil)
	tests := []struct {
		operator, values string
		got              []string
		want             bool
	}{
		{"StringEquals", `"a"`, []string{"a"}, true},
		{"StringEquals", `["b","a"]`, []string{"a"}, true},
		{"StringEquals", `"a"`, []string{"A"}, false},
		{"StringEquals", `"a"`, []string{"a\n"}, false},
		{"StringEquals", `"*"`, []string{"a"}, false},
		{"StringEquals", `""`, []string{""}, true},
		{"StringEquals", `"a"`, none, false},
		{"StringEqualsIfExists", `"a"`, none, true},
		{"StringEqualsIfExists", `"a"`, []string{"b"}, false},
		{"StringNotEquals", `"a"`, none, true},
		{"StringNotEquals", `["a","b"]`, []string{"b"}, false},
		{"StringNotEquals", `["a","b"]`, []string{"c"}, true},
		{"StringNotEquals", `"a"`, []string{"a", "c"}, false},
		{"StringEqualsIgnoreCase", `"aB"`, []string{"Ab"}, true},
		{"StringNotEqualsIgnoreCase", `"aB"`, []string{"Ab"}, false},
		{"StringLike", `"repo:acm?/*"`, []string{"repo:acme/x/y"}, true},
		{"StringLike", `"repo:acm?/*"`, []string{"repo:acm/x"}, false},
		{"StringLike", `"a*b*c"`, []string{"a-b-b-c"}, true},
		{"StringLike", `"a*b*c"`, []string{"a-c-b"}, false},
		{"StringLike", `"?"`, []string{"é"}, true},
		{"StringNotLike", `"a*"`, none, true},
		{"StringNotLike", `"a*"`, []string{"ab"}, false},
		{"ForAllValues:StringEquals", `["a","b"]`, none, true},
		{"ForAllValues:StringEquals", `["a","b"]`, []string{"a", "b"}, true},
		{"ForAllValues:StringEquals", `["a","b"]`, []string{"a", "c"}, false},
		{"ForAllValues:StringNotEquals", `["a"]`, []string{"b", "a"}, false},
		{"ForAnyValue:StringEquals", `["a","b"]`, none, false},
		{"ForAnyValue:StringEquals", `["a","b"]`, []string{"c", "b"}, true},
		{"ForAnyValue:StringEquals", `["a","b"]`, []string{"c"}, false},
		{"ForAnyValue:StringNotEquals", `"a"`, none, false},
		{"ForAnyValue:StringNotEquals", `"a"`, []string{"a", "b"}, true},
		{"ForAnyValue:StringLikeIfExists", `"a*"`, none, false},
		{"ForAnyValue:StringNotEqualsIfExists", `"a*"`, none, false},
		{"ForAllValues:StringLikeIfExists", `"a*"`, none, true},
		{"StringEquals", `"a"`, []string{"a", "b"}, false},
		{"StringEqualsIfExists", `["a","b"]`, []string{"a", "b"}, false},
		{"StringNotEquals", `"a"`, []string{"b", "c"}, false},
		{"Null", `["true","false"]`, none, true},
		{"Null", `"true"`, none, true},
		{"Null", `true`, []string{"x"}, false},
		{"Null", `"false"`, []string{"x"}, true},
		{"Null", `"false"`, none, false},
		{"Bool", `"true"`, []string{"TRUE"}, true},
		{"Bool", `false`, []string{"true"}, false},
		{"Bool", `"true"`, none, false},
		{"BoolIfExists", `"true"`, none, true},
		{"ArnLike", `"arn:aws:s3:::b*"`, []string{"arn:aws:s3:::bucket/x:y"}, true},
		{"ArnLike", `"arn:aws:*:r:1:*"`, []string{"arn:aws:a:b:r:1:x"}, false},
		{"ArnEquals", `"arn:aws:s3:::b*"`, []string{"arn:aws:s3:::b"}, true},
		{"ArnLike", `"arn:*"`, []string{"arn:aws:s3:::b"}, false},
		{"ArnNotLike", `"arn:aws:s3:::b*"`, []string{"arn:aws:s3:::c"}, true},
		{"NumericLessThanEquals", `"3600"`, []string{"3600"}, true},
		{"NumericLessThan", `3600`, []string{"3600"}, false},
		{"NumericEquals", `"1"`, []string{"x"}, false},
		{"NumericNotEquals", `"1"`, []string{"2"}, true},
		{"DateGreaterThan", `"2026-01-01T00:00:00Z"`, []string{"2026-01-01T00:00:01Z"}, true},
		{"DateLessThan", `"2026-01-01"`, []string{"1795392000"}, false},
		{"IpAddress", `"10.0.0.0/8"`, []string{"10.1.2.3"}, true},
		{"NotIpAddress", `"10.0.0.0/8"`, []string{"10.1.2.3"}, false},
		{"StringEquals", `"${v:name}"`, []string{"ann*"}, true},
		{"StringLike", `"${v:name}/*"`, []string{"anna/x"}, false},
		{"StringLike", `"${V:Name}/*"`, []string{"ann*/x"}, true},
		{"StringEqualsIgnoreCase", `"${v:mixed}"`, []string{"mIXed"}, true},
		{"Bool", `"${v:yes}"`, []string{"true"}, true},
		{"StringNotEquals", `"${v:absent}"`, []string{"x"}, true},
		{"StringEquals", `"${v:absent}"`, []string{"${v:absent}"}, false},
		{"StringEquals", `"${v:two}"`, []string{"x"}, false},
		{"StringEquals", `"${v:absent, 'd'}"`, []string{"d"}, true},
		{"StringLike", `"a${*}b"`, []string{"a*b"}, true},
		{"StringLike", `"a${*}b"`, []string{"axb"}, false},
		{"ArnLike", `"arn:aws:iam::1:user/${v:name}"`, []string{"arn:aws:iam::1:user/ann*"}, true},
	}
	for _, tt := range tests {
		if got := condition(t, tt.operator, tt.values, tt.got...); got != tt.want {
			t.Errorf("%s %s over %q: %v, want %v", tt.operator, tt.values, tt.got, got, tt.want)
		}
	}
}

func TestOldVersionHasNoVariables(t *testing.T) {
	p, err := Parse([]byte(`{"Statement":{"Effect":"Allow","Action":"a:b","Condition":{"StringEquals":{"k":"${k}"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{"${k}": true, "x": false} {
		if got := p.Evaluate(Request{Action: "a:b", Context: map[string][]string{"k": {value}}}).Allowed; got != want {
			t.Errorf("%s: %v", value, got)
		}
	}
}

func TestPrincipals(t *testing.T) {
	user := Principal{Kind: AWS, Value: "arn:aws:iam::111122223333:user/a"}
	provider := Principal{Kind: Federated, Value: "arn:aws:iam::111122223333:oidc-provider/x"}
	tests := []struct {
		stated string
		asks   Principal
		want   bool
	}{
		{`"*"`, user, true},
		{`"*"`, provider, true},
		{`{"AWS":"*"}`, user, true},
		{`{"AWS":"111122223333"}`, user, true},
		{`{"AWS":"arn:aws:iam::111122223333:root"}`, user, true},
		{`{"AWS":"arn:aws:iam::111122223333:root"}`, provider, false},
		{`{"AWS":"444455556666"}`, user, false},
		{`{"AWS":["444455556666","arn:aws:iam::111122223333:user/a"]}`, user, true},
		{`{"Federated":"arn:aws:iam::111122223333:oidc-provider/x"}`, provider, true},
		{`{"Federated":"arn:aws:iam::111122223333:oidc-provider/*"}`, provider, false},
		{`{"Service":"ecs.amazonaws.com","AWS":"111122223333"}`, Principal{Kind: Service, Value: "ecs.amazonaws.com"}, true},
		{`{"Service":"ecs.amazonaws.com"}`, Principal{Kind: AWS, Value: "ecs.amazonaws.com"}, false},
	}
	for _, tt := range tests {
		p, err := Parse([]byte(`{"Statement":{"Effect":"Allow","Action":"*","Principal":` + tt.stated + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Evaluate(Request{Principal: tt.asks, Action: "a:b"}).Allowed; got != tt.want {
			t.Errorf("%s, asked by %v: %v", tt.stated, tt.asks, got)
		}
	}
}

func TestActionsAndResources(t *testing.T) {
	tests := []struct {
		statement, action, resource string
		want                        bool
	}{
		{`"Action":"ecr:Put*","Resource":"*"`, "ecr:PutImage", "arn:aws:ecr:r:1:repository/x", true},
		{`"Action":"ECR:putimage","Resource":"*"`, "ecr:PutImage", "x", true},
		{`"Action":"ecr:PutImage","Resource":"*"`, "ecr:PutImageTagMutability", "x", false},
		{`"NotAction":"iam:*","Resource":"*"`, "ecr:PutImage", "x", true},
		{`"NotAction":"iam:*","Resource":"*"`, "iam:PassRole", "x", false},
		{`"Action":"*","Resource":"arn:aws:ecr:*:1:repository/a"`, "ecr:PutImage", "arn:aws:ecr:r:1:repository/a", true},
		{`"Action":"*","Resource":"arn:aws:ecr:*:1:repository/a"`, "ecr:PutImage", "arn:aws:ecr:r:1:repository/A", false},
		{`"Action":"*","Resource":"arn:aws:ecr:*:repository/a"`, "ecr:PutImage", "arn:aws:ecr:r:1:repository/a", true},
		{`"Action":"*","Resource":"arn:aws:ecr:r*:1:repository/a"`, "ecr:PutImage", "arn:aws:ecr:r:x:1:repository/a", true},
		{`"Action":"*","Resource":"arn:aws:ecr:r*x:1:repository/a"`, "ecr:PutImage", "arn:aws:ecr:r:x:1:repository/a", false},
		{`"Action":"*","Resource":"arn:aws:ecr:r?x:1:repository/a"`, "ecr:PutImage", "arn:aws:ecr:r:x:1:repository/a", false},
		{`"Action":"*","Resource":"arn:aws:iam::*"`, "iam:PassRole", "arn:aws:iam::1:role/x", true},
		{`"Action":"*","Resource":"arn:aws:iam::*:role/x"`, "iam:PassRole", "arn:aws:iam::1:role/y", false},
		{`"Action":"*","NotResource":"arn:aws:iam::1:role/ok/*"`, "iam:PassRole", "arn:aws:iam::1:role/ok/x", false},
		{`"Action":"*","NotResource":"arn:aws:iam::1:role/ok/*"`, "iam:PassRole", "arn:aws:iam::1:role/x", true},
	}
	for _, tt := range tests {
		p, err := Parse([]byte(`{"Statement":{"Effect":"Allow",` + tt.statement + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Evaluate(Request{Action: tt.action, Resource: tt.resource}).Allowed; got != tt.want {
			t.Errorf("%s, asked for %s on %s: %v", tt.statement, tt.action, tt.resource, got)
		}
	}
}

func TestDecisionTellsWhy(t *testing.T) {
	p, err := Parse([]byte(`{"Statement":[
		{"Sid":"Other","Effect":"Allow","Action":"x:y"},
		{"Sid":"Mine","Effect":"Allow","Action":"a:b","Condition":{"StringEquals":{"k":["1","2"],"l":"3"},"StringLike":{"m":"*"}}},
		{"Sid":"Never","Effect":"Deny","Action":"a:b","Condition":{"StringEquals":{"k":"9"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(k string) Decision {
		return p.Evaluate(Request{Action: "a:b", Context: map[string][]string{"k": {k}, "m": {"x"}, "l": {"3"}}})
	}
	tests := []struct {
		k    string
		want Decision
	}{
		{"1", Decision{Allowed: true, Statement: 1, Sid: "Mine"}},
		{"9", Decision{Statement: 2, Sid: "Never"}},
		{"7", Decision{Statement: -1, Misses: []Miss{
			{Statement: 0, Sid: "Other", Element: "Action"},
			{Statement: 1, Sid: "Mine", Element: "Condition", Failed: []Failed{
				{Operator: "StringEquals", Key: "k", Wanted: []string{"1", "2"}, Got: []string{"7"}}}},
		}}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, ask(tt.k)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.k, diff)
		}
	}
	if ask("7").Denied() || !ask("9").Denied() {
		t.Error("Denied does not tell a Deny from the lack of an Allow")
	}
}

func TestDenyBeforeAllow(t *testing.T) {
	p, err := Parse([]byte(`{"Statement":[{"Effect":"Deny","Action":"a:*"},{"Effect":"Allow","Action":"a:b"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if d := p.Evaluate(Request{Action: "a:b"}); d.Allowed || d.Statement != 0 {
		t.Errorf("%+v", d)
	}
}

func TestOnlyConditionKeysOfAWSReachThePolicy(t *testing.T) {
	r := WebIdentity("arn", GitHubIssuer, map[string]string{"sub": "s", "aud": "a", "event_name": "push", "repository_owner_id": "1", "ref": "r"})
	want := map[string][]string{
		"token.actions.githubusercontent.com:sub": {"s"}, "token.actions.githubusercontent.com:aud": {"a"},
		"token.actions.githubusercontent.com:ref": {"r"},
	}
	if diff := cmp.Diff(want, r.Context); diff != "" {
		t.Error(diff)
	}
	other := WebIdentity("arn", "https://gitlab.example", map[string]string{"sub": "s", "ref": "r"})
	if diff := cmp.Diff(map[string][]string{"gitlab.example:sub": {"s"}}, other.Context); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"T00a.json", "T16.json", "T24.json", "T26.json", "T44.json", "iam/deploy-policy.json", "iam/deploy-boundary.json"} {
		f.Add(readFile(f, name))
	}
	f.Add([]byte(`{"Statement":{"Effect":"Allow","Action":"*","Condition":{"ForAllValues:StringLikeIfExists":{"a":"${b, 'c'}*?"}}}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, repeats, err := Read(doc)
		strict, strictErr := Parse(doc)
		if (strictErr == nil) != (err == nil && len(repeats) == 0) {
			t.Fatalf("Parse says %v, Read %v with %v", strictErr, err, repeats)
		}
		if err != nil {
			return
		}
		if strictErr == nil && cmp.Diff(p, strict) != "" {
			t.Fatal("Parse and Read differ")
		}
		d := p.Evaluate(WebIdentity("arn:aws:iam::1:oidc-provider/x", GitHubIssuer, map[string]string{"sub": "repo:a/b:ref:c", "aud": "x"}))
		if d.Allowed && d.Statement < 0 {
			t.Fatalf("%+v", d)
		}
	})
}

// FuzzPattern: a pattern with wildcards matches what the regular expression of
// the same meaning matches.
func FuzzPattern(f *testing.F) {
	for _, pair := range [][2]string{{"repo:acme/*", "repo:acme/agent"}, {"*a*b*", "xaxbx"}, {"a?c", "abc"}, {"**", ""}, {"?", "é"}, {"*ab", "aab"}, {"a*a", "a"}, {"[a]", "a"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, text, s string) {
		if !utf8.ValidString(text) || !utf8.ValidString(s) || len(text) > 200 || len(s) > 200 {
			t.Skip() // neither policies nor claims are anything but UTF-8
		}
		p, ok := variables(nil).compile(text, anything)
		if !ok {
			t.Fatalf("%q is no pattern", text)
		}
		quoted := regexp.QuoteMeta(text)
		want := regexp.MustCompile(`^(?s:` + strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(quoted) + `)$`).MatchString(s)
		if got := p.match(s); got != want {
			t.Errorf("%q matches %q: %t, want %t", text, s, got, want)
		}
		literal, _ := variables(nil).compile(text, nothing)
		if literal.match(s) != (text == s) {
			t.Errorf("%q as a text matches %q: %t", text, s, literal.match(s))
		}
	})
}
