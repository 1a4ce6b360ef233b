package assume

import (
	"net/http"
	"regexp"
	"testing"
)

// TestLocalCloud asks the local cloud every assumption. Nothing leaves
// loopback.
func TestLocalCloud(t *testing.T) {
	l := startLocal(t)
	ask(t, l.account)
}

// ask asks an account every assumption for which it has what is needed.
func ask(t *testing.T, a *Account) {
	t.Helper()
	defer a.Close(t)
	for _, assumption := range All() {
		t.Run(assumption.ID, func(t *testing.T) {
			has := map[Need]bool{"": true, Local: a.Forge != nil, Job: a.Token != nil, Agent: a.Program != nil}
			if !has[assumption.Needs] {
				t.Skipf("SKIPPED: the account lacks what it takes: %s", assumption.Needs)
			}
			assumption.Check(t, a)
		})
	}
}

// TestNumbers holds numbers to be in order, each once, and in their area.
func TestNumbers(t *testing.T) {
	form := regexp.MustCompile(`^A[1-9][0-9]{2}$`)
	last := ""
	for _, assumption := range All() {
		if !form.MatchString(assumption.ID) || assumption.ID <= last || assumption.Check == nil {
			t.Errorf("%s follows %s", assumption.ID, last)
		}
		last = assumption.ID
	}
	if len(All()) < 100 {
		t.Errorf("there are %d assumptions", len(All()))
	}
}

// TestNothingLeavesLoopback sees the trap close.
func TestNothingLeavesLoopback(t *testing.T) {
	for _, address := range []string{"https://sts.us-east-1.amazonaws.com/", "http://192.0.2.1/", "http://localhost.example/"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		caught := &recorder{T: t}
		trap := loopbackOnly{caught, http.DefaultTransport}
		if response, err := trap.RoundTrip(r); err == nil {
			_ = response.Body.Close()
			t.Errorf("%s went out", address)
		}
		if len(caught.said()) == 0 {
			t.Errorf("nobody was told of %s", address)
		}
	}
}
