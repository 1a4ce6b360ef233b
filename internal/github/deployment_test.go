package github

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// pages answers each path with its text, and 404 elsewhere.
func pages(texts map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, ok := texts[strings.TrimPrefix(r.URL.Path, "/api/v3/repos/acme/agents/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, text)
	}
}

// ofRun are the statuses of a deployment of a run, the newest first.
func ofRun(run string, states ...string) string {
	var all []string
	for _, state := range states {
		all = append(all, fmt.Sprintf(`{"state":%q,"log_url":"https://github.com/acme/agents/actions/runs/%s/job/7"}`, state, run))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// TestJobDeployment: of the environment's deployments it is the open one of
// this run, and of no other.
func TestJobDeployment(t *testing.T) {
	for name, test := range map[string]struct {
		first, second string // the statuses of the newest deployment and the one before
		want          int64
	}{
		"the newest":         {ofRun("318", "in_progress", "queued"), "[]", 2},
		"another run":        {ofRun("319", "in_progress"), ofRun("318", "in_progress"), 1},
		"a longer number":    {ofRun("3180", "in_progress"), "[]", 0},
		"one that has ended": {ofRun("318", "success", "in_progress"), ofRun("318", "in_progress"), 1},
		"no status yet":      {"[]", "[]", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := clientOf(t, pages(map[string]string{"deployments": `[{"id":2},{"id":1}]`,
				"deployments/2/statuses": test.first, "deployments/1/statuses": test.second}))
			got, err := c.JobDeployment(t.Context(), Job{Repository: "acme/agents", RunID: "318", SHA: "abc"}, "dev")
			if err != nil || got != test.want {
				t.Errorf("it is %d, want %d: %v", got, test.want, err)
			}
		})
	}
	denied := clientOf(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	if _, err := denied.JobDeployment(t.Context(), Job{RunID: "318"}, "dev"); !errors.Is(err, delivery.ErrDenied) {
		t.Errorf("without the permission: %v", err)
	}
}

// TestSetDeploymentStatus: what is sent is what GitHub takes.
func TestSetDeploymentStatus(t *testing.T) {
	var sent DeploymentStatus
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/deployments/7/statuses") || json.NewDecoder(r.Body).Decode(&sent) != nil {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		w.WriteHeader(http.StatusCreated)
	})
	if err := c.SetDeploymentStatus(t.Context(), 7, DeploymentStatus{State: "success", Description: strings.Repeat("ä", 200), EnvironmentURL: "https://a.example"}); err != nil {
		t.Fatal(err)
	}
	if n := len([]rune(sent.Description)); sent.State != "success" || sent.EnvironmentURL != "https://a.example" || n != mostDescription {
		t.Errorf("it sent %+v, %d characters", sent, n)
	}
}

// TestLastServed: what an environment serves is what a status of Slipway's last
// said of that agent; other statuses say nothing.
func TestLastServed(t *testing.T) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	status := func(state, description string) string {
		return fmt.Sprintf(`{"state":%q,"description":%q}`, state, description)
	}
	for name, test := range map[string]struct{ first, second, want string }{
		"the newest":      {status("success", Serves("support", a, "4")), status("success", Serves("support", b, "3")), a},
		"a later failure": {status("failure", "aaaaaaa was not delivered"), status("inactive", Serves("support", b, "3")), b},
		"another agent":   {status("success", Serves("triage", a, "4")), status("success", Serves("support", b, "3")), b},
		"not a commit":    {status("success", "support: main serves as version 4"), status("success", "done"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := clientOf(t, pages(map[string]string{"deployments": `[{"id":2},{"id":1}]`,
				"deployments/2/statuses": "[" + test.first + "]", "deployments/1/statuses": "[" + test.second + "]"}))
			if got, err := c.LastServed(t.Context(), "stg", "support"); err != nil || got != test.want {
				t.Errorf("it is %q, want %q: %v", got, test.want, err)
			}
		})
	}
}

// TestApprovers: who approved this environment, each once; who rejected and who
// approved another one aside.
func TestApprovers(t *testing.T) {
	c := clientOf(t, pages(map[string]string{"actions/runs/318/approvals": `[
		{"state":"approved","user":{"login":"hubot"},"environments":[{"name":"STG"}]},
		{"state":"approved","user":{"login":"hubot"},"environments":[{"name":"stg"}]},
		{"state":"rejected","user":{"login":"eve"},"environments":[{"name":"stg"}]},
		{"state":"approved","user":{"login":"mona"},"environments":[{"name":"prd"}]}]`}))
	got, err := c.Approvers(t.Context(), Job{RunID: "318"}, "stg")
	if err != nil || !slices.Equal(got, []string{"hubot"}) {
		t.Errorf("they are %q: %v", got, err)
	}
}

// TestCompare: GitHub lists the oldest first, a reader wants the newest.
func TestCompare(t *testing.T) {
	c := clientOf(t, pages(map[string]string{"compare/a...b": `{"ahead_by":2,"behind_by":1,"commits":[
		{"sha":"1","commit":{"message":"first"}},{"sha":"2","commit":{"message":"second\n\nits text"}}]}`}))
	got, err := c.Compare(t.Context(), "a", "b")
	want := []ComparedCommit{{"2", "second"}, {"1", "first"}}
	if err != nil || got.Ahead != 2 || got.Behind != 1 || !slices.Equal(got.Commits, want) {
		t.Errorf("it is %+v: %v", got, err)
	}
}
