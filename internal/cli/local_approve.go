package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
)

// review is a decision about what waits in a run.
type review struct {
	run, as, environment, comment string
	reject                        bool
}

type reviewDocument struct {
	Schema       string   `json:"schema"` // slipway.local-review/v1
	Repository   string   `json:"repository"`
	RunID        string   `json:"run_id"`
	Environments []string `json:"environments"`
	State        string   `json:"state"` // approved or rejected
	User         string   `json:"user"`
	Comment      string   `json:"comment"`
}

func (a *app) localApprove(dir func() string) *cobra.Command {
	var r review
	cmd := &cobra.Command{
		Use: "approve [RUN]", Short: "Review the jobs of a run that wait for an approval, by GitHub's own API", Args: cobra.MaximumNArgs(1),
		Example: `  slipway local approve                         # the one run that waits
  slipway local approve 17000000001 --as hubot --comment "the digest is the tested one"
  slipway local approve 17000000001 --reject --comment "not on a Friday"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.run = append(args, "")[0]
			c, err := dial(cmd.Context(), dir())
			if err != nil {
				return err
			}
			doc, err := c.review(cmd.Context(), r)
			if err != nil {
				return err
			}
			if a.json() {
				return a.ui.document(doc)
			}
			a.ui.result("%s %s %s in run %s of %s", doc.User, doc.State, strings.Join(doc.Environments, ", "), doc.RunID, doc.Repository)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.as, "as", "", "login of who reviews (default: the first who may)")
	f.StringVar(&r.environment, "environment", "", "of several that wait, the one to decide about (default: all of them)")
	f.StringVar(&r.comment, "comment", "", "comment of the review")
	f.BoolVar(&r.reject, "reject", false, "reject: the jobs fail")
	return cmd
}

// review decides as a person, by GitHub's API: who may not is refused there.
func (c *control) review(ctx context.Context, r review) (reviewDocument, error) {
	jobs, err := c.toReview(ctx, r)
	if err != nil {
		return reviewDocument{}, err
	}
	first := jobs[0]
	doc := reviewDocument{Schema: "slipway.local-review/v1", Repository: first.Repository, RunID: first.RunID, State: "approved", User: r.as, Comment: r.comment}
	if r.reject {
		doc.State = "rejected"
	}
	if doc.User == "" && len(first.Gate.MayApprove) > 0 {
		doc.User = first.Gate.MayApprove[0]
	}
	refused := &delivery.Error{Kind: delivery.KindRefused, Op: "reviewing run " + first.RunID,
		Hints: []string{fmt.Sprintf("%s asks %s; %s started the run", first.Gate.Environment, strings.Join(first.Gate.Reviewers, ", "), first.Gate.Actor),
			"who may: " + cmp.Or(strings.Join(first.Gate.MayApprove, ", "), "nobody")}}
	if doc.User == "" {
		refused.Err = errors.New("nobody may decide")
		return doc, refused
	}
	env, err := c.person(ctx, doc.User)
	if err != nil {
		return doc, &delivery.Error{Kind: delivery.KindUsage, Err: err}
	}
	wanted := map[string]bool{}
	for _, j := range jobs {
		wanted[j.Gate.Environment] = true
	}
	if doc.Environments, err = decide(ctx, env, doc, wanted); err != nil {
		refused.Err = err
		return doc, refused
	}
	return doc, nil
}

// toReview finds the jobs that a review is about, all of one run.
func (c *control) toReview(ctx context.Context, r review) ([]sim.JobState, error) {
	waiting, err := c.waiting(ctx)
	if err != nil {
		return nil, err
	}
	var jobs []sim.JobState
	for _, j := range waiting {
		if j.Gate.Review && (r.run == "" || r.run == j.RunID) && (r.environment == "" || strings.EqualFold(r.environment, j.Gate.Environment)) {
			jobs = append(jobs, j)
		}
	}
	if len(jobs) == 0 {
		return nil, &delivery.Error{Kind: delivery.KindRefused, Op: strings.TrimSpace("reviewing run " + r.run), Err: errors.New("no job waits for an approval")}
	}
	for _, j := range jobs {
		if j.RunID != jobs[0].RunID {
			return nil, &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("runs %s and %s wait: say which", jobs[0].RunID, j.RunID)}
		}
	}
	return jobs, nil
}

// decide reviews environments of a run and returns the names of those that were
// decided about.
func decide(ctx context.Context, env map[string]string, doc reviewDocument, wanted map[string]bool) ([]string, error) {
	path := "/repos/" + doc.Repository + "/actions/runs/" + doc.RunID + "/pending_deployments"
	var pending []struct {
		Environment struct {
			ID   int64  `json:"id"`
			Name string `json:"name"`
		} `json:"environment"`
	}
	if err := askGitHub(ctx, env, http.MethodGet, path, nil, &pending); err != nil {
		return nil, err
	}
	var ids []int64
	var names []string
	for _, p := range pending {
		if wanted[p.Environment.Name] {
			ids, names = append(ids, p.Environment.ID), append(names, p.Environment.Name)
		}
	}
	decision := map[string]any{"environment_ids": ids, "state": doc.State, "comment": doc.Comment}
	return names, askGitHub(ctx, env, http.MethodPost, path, decision, nil)
}

// askGitHub calls GitHub's API as who has env, and decodes the answer into
// result, if not nil.
func askGitHub(ctx context.Context, env map[string]string, method, path string, body, result any) error {
	status, answer, err := exchange(ctx, "GitHub", method, env["GITHUB_API_URL"]+path, env["GH_TOKEN"], body)
	if err != nil {
		return err
	}
	if status >= http.StatusMultipleChoices {
		var refusal struct {
			Message string `json:"message"`
			Errors  any    `json:"errors"`
		}
		_ = json.Unmarshal(answer, &refusal) // an answer that is none has no message
		if refusal.Errors != nil {
			refusal.Message += fmt.Sprintf(": %v", refusal.Errors)
		}
		return fmt.Errorf("GitHub answers %d %s: %s", status, http.StatusText(status), refusal.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer, result)
}
