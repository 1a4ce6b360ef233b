package github

import (
	"encoding/base64"
	"maps"
	"strings"
	"testing"
)

func tokenWith(payload string) string {
	return "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func TestClaims(t *testing.T) {
	got, err := Claims(tokenWith(`{"sub":"repo:o/r:environment:dev","exp":1763000000,"aud":["a","b"],"ok":true,
		"Sub":"other","escaped":"x","nested":{"sub":"no"},"mixed":["a",1],"none":null}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"sub": "repo:o/r:environment:dev", "exp": "1763000000", "aud": "a, b",
		"ok": "true", "Sub": "other", "escaped": "x"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestClaimsRefuses(t *testing.T) {
	for name, token := range map[string]string{
		"empty":        "",
		"two parts":    "a.b",
		"four parts":   "a.b.c.d",
		"20,000 dots":  strings.Repeat(".", 20000),
		"too long":     strings.Repeat("a", 20000) + ".e30.a",
		"padding":      "a.e30=.a",
		"line end":     "a.e30\n.a",
		"no base64url": "a.a.a",
		"spare bits":   "a.e31.a",
		"array":        tokenWith(`[]`),
		"text":         tokenWith(`"sub"`),
		"cut off":      tokenWith(`{"sub":"a"`),
		"broken":       tokenWith(`{"sub":}`),
		"followed":     tokenWith(`{"sub":"a"}{}`),
		"twice":        tokenWith(`{"sub":"a","sub":"b"}`),
		"twice nested": tokenWith(`{"sub":{},"sub":"b"}`),
		"too deep":     tokenWith(`{"a":` + strings.Repeat("[", 12000) + `}`),
	} {
		if claims, err := Claims(token); err == nil {
			t.Errorf("%s: got %v, want an error", name, claims)
		}
	}
}

func FuzzClaims(f *testing.F) {
	f.Add(tokenWith(`{"sub":"repo:o/r:ref:refs/heads/main","aud":"sts.amazonaws.com"}`))
	f.Add(tokenWith(`{"a":"b","a":"c"}`))
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := Claims(token)
		if (claims == nil) == (err == nil) {
			t.Errorf("claims %v and error %v", claims, err)
		}
		if err != nil && len(token) > 40 && strings.Contains(err.Error(), token) {
			t.Errorf("the error quotes the token: %v", err)
		}
	})
}
