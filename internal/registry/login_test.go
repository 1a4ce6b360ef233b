package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// guarded asks for a login, of which the newest alone is good.
type guarded struct {
	next http.Handler
	mu   sync.Mutex
	good string
	deny http.HandlerFunc
	bad  int
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	g.mu.Lock()
	ok := user == "AWS" && password == g.good
	if !ok {
		g.bad++
	}
	g.mu.Unlock()
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="https://`+host+`/",service="ecr.amazonaws.com"`)
		g.deny(w, r)
		return
	}
	g.next.ServeHTTP(w, r)
}

func TestExpiredLoginIsRenewedOnce(t *testing.T) {
	const expired = "Your authorization token has expired. Reauthenticate and try again."
	for name, deny := range map[string]http.HandlerFunc{"401": refuse(401, "UNAUTHORIZED", "Not Authorized"), "ECR's 403": refuse(403, "DENIED", expired)} {
		t.Run(name, func(t *testing.T) {
			g := &guarded{next: plainRegistry(), good: "canary-1", deny: deny}
			r, _ := open(t, g)
			asked := 0
			r.Auth = func(context.Context) (string, string, time.Time, error) {
				asked++
				return "AWS", fmt.Sprintf("canary-%d", asked), time.Time{}, nil
			}
			img := newImage(t, 50_000, 60_000, 70_000)
			if err := r.Push(t.Context(), img, "one", nil); err != nil || asked != 1 {
				t.Fatalf("first push: %v, asked %d times", err, asked)
			}
			g.good = "canary-2" // twelve hours later
			if err := r.Push(t.Context(), newImage(t, 80_000), "two", nil); err != nil || asked != 2 {
				t.Errorf("second push: %v, asked %d times", err, asked)
			}
			g.good, g.bad = "never", 0
			err := second(r.Resolve(t.Context(), "two"))
			if !errors.Is(err, delivery.ErrDenied) && !errors.Is(err, delivery.ErrExpired) {
				t.Errorf("a login that is never good: %v", err)
			}
			if g.bad != 2 {
				t.Errorf("%d requests with a bad login, want 2", g.bad)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "canary") {
				t.Errorf("the login is in the error: %v", err)
			}
		})
	}
}

// TestLoginExpiresAtAHead renews a login that ends at a request whose answer
// has no text to say so.
func TestLoginExpiresAtAHead(t *testing.T) {
	next := plainRegistry()
	r, _ := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); r.Method == http.MethodHead && password == "canary-1" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}))
	var asked atomic.Int32
	r.Auth = func(context.Context) (string, string, time.Time, error) {
		return "AWS", fmt.Sprintf("canary-%d", asked.Add(1)), time.Time{}, nil
	}
	if err := r.Push(t.Context(), newImage(t, 50_000), "one", nil); err != nil || asked.Load() != 2 {
		t.Errorf("%v, asked %d times, want 2", err, asked.Load())
	}
}

func TestLoginIsKeptUntilShortlyBeforeItsEnd(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	r, _ := open(t, plainRegistry())
	r.Now = func() time.Time { return now }
	asked := 0
	r.Auth = func(context.Context) (string, string, time.Time, error) {
		asked++
		return "AWS", "x", now.Add(12 * time.Hour), nil
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {11 * time.Hour, 1}, {59 * time.Minute, 2}} {
		now = now.Add(step.after)
		if err := second(r.Resolve(t.Context(), "absent")); !errors.Is(err, delivery.ErrNotFound) {
			t.Fatal(err)
		}
		if asked != step.want {
			t.Errorf("after %v more: asked %d times, want %d", step.after, asked, step.want)
		}
	}
}

func TestNoLoginToBeHad(t *testing.T) {
	r, rec := open(t, plainRegistry())
	denied := &delivery.RemoteError{Service: "ECR", Operation: "GetAuthorizationToken", Code: "AccessDeniedException", Kind: delivery.ErrDenied}
	asked := 0
	r.Auth = func(context.Context) (string, string, time.Time, error) {
		asked++
		return "", "", time.Time{}, denied
	}
	err := r.Push(t.Context(), newImage(t, 10), tagA, nil)
	var remote *delivery.RemoteError
	if !errors.As(err, &remote) || remote != denied {
		t.Errorf("%v, want ECR's own error", err)
	}
	if seen := rec.take(); asked != 1 || len(seen) != 0 {
		t.Errorf("asked %d times, sent %v", asked, seen)
	}
}
