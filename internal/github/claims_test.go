package github

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
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

// FuzzClaims: what is read of a token is what its payload states, each claim
// once, by exact name; and no error quotes the token.
func FuzzClaims(f *testing.F) {
	f.Add(tokenWith(`{"sub":"repo:o/r:ref:refs/heads/main","aud":"sts.amazonaws.com"}`))
	f.Add(tokenWith(`{"a":"b","a":"c"}`))
	f.Add(tokenWith(`{"sub":"a","SUB":"b","\u0073ub2":1.50,"aud":["a","b"],"x":{"y":1},"z":null}`))
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := Claims(token)
		if (claims == nil) == (err == nil) {
			t.Errorf("claims %v and error %v", claims, err)
		}
		if err != nil && len(token) > 40 && strings.Contains(err.Error(), token) {
			t.Errorf("the error quotes the token: %v", err)
		}
		if err == nil {
			asStated(t, token, claims)
		}
	})
}

// FuzzClaimsOf is FuzzClaims without the base64 in the way.
func FuzzClaimsOf(f *testing.F) {
	for _, payload := range []string{`{"sub":"a"}`, `{"sub":"a","sub":"b"}`, `{"a":[],"b":[1],"c":true,"d":1e400}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":1}x`} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		token := "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".AA"
		if claims, err := Claims(token); err == nil {
			asStated(t, token, claims)
		}
	})
}

// asStated compares claims with what encoding/json reads of a token, and sees
// that it states none of them twice.
func asStated(t *testing.T, token string, claims map[string]string) {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	var plain map[string]any
	if err == nil {
		err = json.Unmarshal(payload, &plain)
	}
	var number *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &number) { // 1e400 is a number, but no float64
		t.Fatalf("read: %q (%v)", payload, err)
	}
	for name, text := range claims {
		if value, ok := plain[name].(string); ok && value != text {
			t.Errorf("%q is %q, read as %q", name, value, text)
		}
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	seen := map[string]bool{}
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil || seen[fmt.Sprint(name)] {
			t.Fatalf("%q is stated twice (%v): %s", name, err, payload)
		}
		seen[fmt.Sprint(name)] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzTokenOf: what is taken for GitHub's token has a token's form.
func FuzzTokenOf(f *testing.F) {
	for _, body := range []string{`{"value":"e30.e30.AA"}`, `{"value":"a.b"}`, `{"VALUE":"e30.e30.AA"}`, `[]`, `{"value":"e30.e30.AA\n"}`} {
		f.Add([]byte(body))
	}
	form := regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := tokenOf(body)
		if err == nil && (!form.MatchString(token) || len(token) > maxToken) {
			t.Errorf("%q is taken", token)
		}
		if err != nil && (token != "" || len(body) > 40 && strings.Contains(err.Error(), string(body))) {
			t.Errorf("%q, %v", token, err)
		}
	})
}
