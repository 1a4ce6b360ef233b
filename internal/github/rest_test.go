package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
)

const secretToken = "ghp_canaryOfTheToken"

// clientOf is a client of a server that answers as it is told.
func clientOf(t *testing.T, answer http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	return &Client{Name: "acme/agents", Getenv: func(name string) string {
		return map[string]string{"GITHUB_API_URL": srv.URL + "/api/v3", "GH_TOKEN": secretToken}[name]
	}}
}

// TestAnswers: each refusal has its kind, is asked again only where that may
// help, and tells no token.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		header map[string]string
		body   string
		kind   error
		calls  int
	}{
		{"not found", 404, nil, `{"message":"Not Found"}`, delivery.ErrNotFound, 1},
		{"no token", 401, nil, `{"message":"Bad credentials"}`, delivery.ErrDenied, 1},
		{"no right", 403, nil, `{"message":"Resource not accessible by integration"}`, delivery.ErrDenied, 1},
		{"limited", 403, map[string]string{"Retry-After": "0"}, `{"message":"secondary rate limit"}`, delivery.ErrDenied, restTries},
		{"limited for long", 429, map[string]string{"Retry-After": "3600"}, `{}`, delivery.ErrThrottled, 1},
		{"invalid", 422, nil, `{"message":"Validation Failed"}`, delivery.ErrInvalid, 1},
		{"broken", 502, nil, `<html>bad gateway</html>`, nil, restTries},
		{"not there", 501, nil, `{}`, nil, 1},
		{"elsewhere", 301, map[string]string{"Location": "https://evil.example/"}, ``, nil, 1},
		{"no JSON", 200, nil, `<html>hello</html>`, nil, 1},
		{"another shape", 200, nil, `[1,2]`, nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
				calls++
				if got := r.Header.Get("Authorization"); got != "Bearer "+secretToken || r.Header.Get("X-GitHub-Api-Version") != apiVersion {
					t.Errorf("asked with %q", got)
				}
				for name, value := range c.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			_, err := client.Repository(t.Context())
			if err == nil || c.kind != nil && !errors.Is(err, c.kind) || calls != c.calls {
				t.Errorf("%v after %d calls", err, calls)
			}
			if strings.Contains(fmt.Sprint(err), "canary") || strings.Contains(fmt.Sprintf("%#v", err), secretToken) {
				t.Errorf("the token is told: %v", err)
			}
		})
	}
}

// TestTokenStaysHere: no plain HTTP but to loopback, and no token without one.
func TestTokenStaysHere(t *testing.T) {
	for _, base := range []string{"http://github.example/api/v3", "not a url", "ftp://127.0.0.1/"} {
		client := &Client{Name: "acme/agents", Getenv: func(name string) string {
			return map[string]string{"GITHUB_API_URL": base, "GH_TOKEN": secretToken}[name]
		}}
		if _, err := client.Repository(t.Context()); delivery.KindOf(err) != delivery.KindConfig {
			t.Errorf("%s: %v", base, err)
		}
	}
	none := &Client{Getenv: func(string) string { return "" }}
	if none.HasToken() {
		t.Error("there is a token")
	}
	if base, err := none.base(); err != nil || base != "https://api.github.com" {
		t.Errorf("%s, %v", base, err)
	}
}

// TestPages: a list is read to its end, and no further than that.
func TestPages(t *testing.T) {
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		page := r.URL.Query().Get("page")
		if page == "" {
			page = "1"
		}
		if page != "3" {
			w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?per_page=100&page=%d>; rel="next", <http://x/>; rel="last"`, r.Host, r.URL.Path, page[0]-'0'+1))
		}
		fmt.Fprintf(w, `{"variables":[{"name":"V%s","value":"%s"}]}`, page, page)
	})
	got, err := client.Variables(t.Context(), "a/b c")
	if err != nil || len(got) != 3 || got["V3"] != "3" {
		t.Errorf("%v, %v", got, err)
	}
	endless := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", `<http://x/repos/acme/agents/environments/dev/variables?page=2>; rel="next"`)
		fmt.Fprint(w, `{"variables":[]}`)
	})
	if _, err := endless.Variables(t.Context(), "dev"); err == nil || !strings.Contains(err.Error(), "more than 50 pages") {
		t.Error(err)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		w.WriteHeader(http.StatusBadGateway)
	})
	if _, err := client.Repository(ctx); err == nil {
		t.Error("it succeeded")
	}
}

// TestStaleKey: a public key that was changed between the two calls is fetched
// again, once.
func TestStaleKey(t *testing.T) {
	keys, puts := 0, 0
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			keys++
			fmt.Fprintf(w, `{"key_id":"%d","key":"%s"}`, keys, "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")
			return
		}
		puts++
		if puts == 1 {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	if err := client.PutSecret(t.Context(), "dev", "TOKEN", "value"); err != nil || keys != 2 || puts != 2 {
		t.Errorf("%v after %d keys and %d puts", err, keys, puts)
	}
}

func FuzzNextPage(f *testing.F) {
	for _, link := range []string{"", `<https://api.github.com/repositories/1/x?page=2>; rel="next"`, `<>; rel="next"`, `<%zz>; rel="next"`, `,;,`, `<http://x/y?page=-1>; rel="next"`} {
		f.Add(link)
	}
	f.Fuzz(func(t *testing.T, link string) {
		if next := nextPage(link); next < 0 || next > 0 && !strings.Contains(link, "page=") {
			t.Errorf("%q leads to %d", link, next)
		}
	})
}
