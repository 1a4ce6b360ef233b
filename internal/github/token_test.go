package github

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const (
	canary = "CANARY-request-token-7f3a"
	jwt    = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJDQU5BUlkifQ.c2ln"
)

func env(pairs ...string) func(string) string {
	vars := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		vars[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return vars[name] }
}

// answers is a RoundTripper that gives its answers one by one, the last one
// for ever, and keeps the requests.
type answers struct {
	list     []func() (*http.Response, error)
	requests []*http.Request
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	i := min(len(a.requests), len(a.list)-1)
	a.requests = append(a.requests, r)
	return a.list[i]()
}

func status(code int, body string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

func broken() (*http.Response, error) { return nil, errors.New("connection reset") }

func TestIDTokenRetries(t *testing.T) {
	good := status(200, `{"value":"`+jwt+`"}`)
	tests := []struct {
		name  string
		list  []func() (*http.Response, error)
		calls int
		kind  delivery.Kind // "" means a token
	}{
		{"at once", []func() (*http.Response, error){good}, 1, ""},
		{"after a 429", []func() (*http.Response, error){status(429, canary), good}, 2, ""},
		{"after a 503 and a reset", []func() (*http.Response, error){status(503, canary), broken, good}, 3, ""},
		{"5xx for ever", []func() (*http.Response, error){status(500, canary)}, 5, delivery.KindUnavailable},
		{"network down for ever", []func() (*http.Response, error){broken}, 5, delivery.KindUnavailable},
		{"401 is final", []func() (*http.Response, error){status(401, canary)}, 1, delivery.KindCredentials},
		{"a redirect is not followed", []func() (*http.Response, error){status(302, "")}, 1, delivery.KindCredentials},
		{"HTML", []func() (*http.Response, error){status(200, "<html>"+jwt)}, 1, delivery.KindCredentials},
		{"no value", []func() (*http.Response, error){status(200, `{}`)}, 1, delivery.KindCredentials},
		{"no token", []func() (*http.Response, error){status(200, `{"value":"a b\n.c.d"}`)}, 1, delivery.KindCredentials},
		{"10 MB", []func() (*http.Response, error){status(200, strings.Repeat(" ", 10<<20)+`{"value":"`+jwt+`"}`)}, 1, delivery.KindCredentials},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				remote := &answers{list: tt.list}
				start := time.Now()
				token, err := Minter{
					Getenv:    env(requestURL, "https://tokens.example/x?api-version=2.0", requestToken, canary),
					Transport: remote,
				}.IDToken(t.Context(), "sts.amazonaws.com")
				if len(remote.requests) != tt.calls {
					t.Errorf("%d requests, want %d", len(remote.requests), tt.calls)
				}
				if time.Since(start) > mintDeadline {
					t.Errorf("took %v", time.Since(start))
				}
				checkMint(t, token, err, tt.kind)
			})
		})
	}
}

func checkMint(t *testing.T, token string, err error, kind delivery.Kind) {
	t.Helper()
	if kind == "" {
		if err != nil || token != jwt {
			t.Fatalf("got %q, %v", token, err)
		}
		return
	}
	if err == nil || token != "" || delivery.KindOf(err) != kind {
		t.Fatalf("got %q, %v of kind %s, want kind %s", token, err, delivery.KindOf(err), kind)
	}
	for _, secret := range []string{canary, jwt} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
}

// A hanging service ends with the deadline, an interrupt at once.
func TestIDTokenHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := Minter{Getenv: env(requestURL, "https://tokens.example/", requestToken, canary), Transport: hang{}}
		start := time.Now()
		_, err := m.IDToken(t.Context(), "a")
		if took := time.Since(start); took != mintDeadline || delivery.KindOf(err) != delivery.KindUnavailable {
			t.Errorf("ended after %v with %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err = m.IDToken(ctx, "a"); err == nil || time.Since(start) != time.Second {
			t.Errorf("ended after %v with %v", time.Since(start), err)
		}
	})
}

type hang struct{}

func (hang) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestIDTokenOnTheWire(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		io.WriteString(w, `{"count":1,"value":"`+jwt+`"}`)
	}))
	defer server.Close()
	m := Minter{Getenv: env(requestURL, server.URL+"/idtoken?api-version=2.0", requestToken, canary)}
	token, err := m.IDToken(t.Context(), "a&b=c/ü")
	if err != nil || token != jwt {
		t.Fatalf("got %q, %v", token, err)
	}
	if got.Method != http.MethodGet || got.URL.Path != "/idtoken" || got.Header.Get("Authorization") != "bearer "+canary {
		t.Errorf("sent %s %s with %q", got.Method, got.URL.Path, got.Header.Get("Authorization"))
	}
	if q := got.URL.Query(); q.Get("api-version") != "2.0" || q.Get("audience") != "a&b=c/ü" || len(q) != 2 {
		t.Errorf("query %v", q)
	}
}

func TestRedirectCarriesNoToken(t *testing.T) {
	var calls int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	_, err := Minter{Getenv: env(requestURL, server.URL, requestToken, canary)}.IDToken(t.Context(), "a")
	if err == nil || calls != 0 {
		t.Errorf("err %v, %d calls of the other host", err, calls)
	}
}

func TestIDTokenRefusals(t *testing.T) {
	tests := []struct {
		name, url, token, actions, want, hint string
	}{
		{"no permission", "", "", "true", requestURL, "id-token: write"},
		{"no permission, fork", "", "", "true", requestURL, "forks"},
		{"half", "https://tokens.example/", "", "true", requestToken, "id-token: write"},
		{"no job", "", "", "", requestURL, "slipway local job"},
		{"plain http", "http://tokens.example/", canary, "true", "not https", ""},
		{"http to a name like loopback", "http://localhost.example/", canary, "true", "not https", ""},
		{"other scheme", "ftp://127.0.0.1/", canary, "true", "not https", ""},
		{"no URL", "::", canary, "true", "not a URL", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			remote := &answers{list: []func() (*http.Response, error){status(200, "{}")}}
			_, err := Minter{Getenv: env(requestURL, tt.url, requestToken, tt.token, "GITHUB_ACTIONS", tt.actions), Transport: remote}.
				IDToken(t.Context(), "a")
			var e *delivery.Error
			if !errors.As(err, &e) || e.Kind != delivery.KindCredentials {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(strings.Join(e.Hints, "\n"), tt.hint) {
				t.Errorf("got %q, hints %q", err, e.Hints)
			}
			if strings.Contains(err.Error(), canary) || len(remote.requests) != 0 {
				t.Errorf("%d requests, error %q", len(remote.requests), err)
			}
		})
	}
}
