package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
)

// How a job ends.
const (
	endedWell      = "success"
	endedBadly     = "failure"
	endedCancelled = "cancelled"
)

// gatePause is how long to wait between looks at a gate.
const gatePause = 100 * time.Millisecond

func (a *app) localJob(dir func() string) *cobra.Command {
	var job sim.Job
	var noToken bool
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "job --repository OWNER/NAME [flags] -- COMMAND [ARG]...", Args: cobra.MinimumNArgs(1),
		Short: "Run a command as a GitHub Actions job would see it: OIDC variables, no AWS keys",
		Long: "Runs a command as a GitHub Actions job would see it: OIDC variables, no AWS keys.\n" +
			"A job whose environment has reviewers or a wait timer waits before it gets a token; one whose ref the\n" +
			"environment does not admit fails. It ends with the command.",
		Example: `  slipway local job --repository acme/agents --environment stg -- slipway promote --to stg
  slipway local job --repository acme/agents --run 17 --name promote --environment stg -- true   # a job of run 17`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := positive(cmd, "wait", limit); err != nil {
				return err
			}
			if noToken {
				job.IDToken = new(bool)
			}
			job.GitHubToken = job.Permissions != nil
			c, err := dial(cmd.Context(), dir())
			if err != nil {
				return err
			}
			return a.runJob(cmd.Context(), c, job, limit, a.stateFlag(dir()), args)
		},
	}
	jobFlags(cmd, &job)
	_ = cmd.MarkFlagRequired("repository") // the flag exists
	f := cmd.Flags()
	f.StringVar(&job.RunID, "run", "", "id of the run that the job is of; an id that is new begins one (default: a new run)")
	f.StringVar(&job.Name, "name", "", "the job's name, one of its own within the run (default deploy)")
	f.StringVar(&job.EnvironmentURL, "environment-url", "", "address of what is deployed, for the deployment's statuses")
	f.BoolVar(&noToken, "no-id-token", false, "a job without the permission id-token: write")
	f.StringToStringVar(&job.Permissions, "permissions", nil, "other permissions, such as contents=read,deployments=write; GITHUB_TOKEN has them")
	f.DurationVar(&limit, "wait", 10*time.Minute, "how long to wait for approvals and wait timers")
	return cmd
}

// stateFlag is what a command needs to mean the cloud in dir.
func (a *app) stateFlag(dir string) string {
	if dir == a.path(defaultState) {
		return ""
	}
	return " --state " + dir
}

// runJob runs a command as a job, from its gate to its end.
func (a *app) runJob(ctx context.Context, c *control, job sim.Job, limit time.Duration, stateFlag string, args []string) error {
	// An interrupt while it starts would leave a job behind that nobody ends.
	s, err := c.start(context.WithoutCancel(ctx), job)
	if err != nil {
		return &delivery.Error{Kind: delivery.KindUsage, Op: "starting the job", Err: err}
	}
	if s, err = a.awaitGate(ctx, c, s, limit, stateFlag); err != nil {
		return err
	}
	err = a.handOver(ctx, args, jobEnviron(a.Env, s.Environ))
	conclusion := endedWell
	switch {
	case ctx.Err() != nil:
		conclusion = endedCancelled
	case err != nil:
		conclusion = endedBadly
	}
	if wrong := c.end(context.WithoutCancel(ctx), s.ID, conclusion); wrong != nil {
		a.ui.warn("run %s does not know that its job has ended: %v", s.RunID, wrong)
	}
	return err
}

// awaitGate waits until a job may begin, and says what for. One that will not
// is cancelled.
func (a *app) awaitGate(ctx context.Context, c *control, s sim.JobState, limit time.Duration, stateFlag string) (sim.JobState, error) {
	inTime, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	said := ""
	for s.Gate != nil {
		if text := gateText(s, stateFlag); text != said {
			a.ui.line("%s", text)
			said = text
		}
		select {
		case <-inTime.Done():
			return s, a.gaveUp(ctx, c, s, limit, stateFlag)
		case <-time.After(gatePause):
		}
		next, err := c.job(inTime, s.ID)
		if inTime.Err() != nil {
			continue // the answer was cut off: the next turn ends it
		}
		if err != nil {
			return s, &delivery.Error{Kind: delivery.KindUnavailable, Op: "waiting for run " + s.RunID, Err: err}
		}
		s = next
	}
	if s.Environ == nil {
		hint := "the environment's deployment branches and tags decide what may deploy; --ref says what the job runs on"
		if said != "" {
			hint = "who decided what: GET /repos/" + s.Repository + "/actions/runs/" + s.RunID + "/approvals"
		}
		return s, &delivery.Error{Kind: delivery.KindFailed, Op: "job of run " + s.RunID, Err: errors.New(cmp.Or(s.Message, "it was "+s.Conclusion)), Hints: []string{hint}}
	}
	return s, nil
}

// gaveUp ends the wait of a job that is interrupted, or for which nobody came.
func (a *app) gaveUp(ctx context.Context, c *control, s sim.JobState, limit time.Duration, stateFlag string) error {
	err := c.end(context.WithoutCancel(ctx), s.ID, endedCancelled)
	op := "waiting for the gate of " + s.Gate.Environment
	if ctx.Err() != nil {
		return &delivery.Error{Kind: delivery.KindInterrupted, Op: op, Err: errors.Join(context.Cause(ctx), err)}
	}
	hints := []string{"--wait DURATION waits longer"}
	if s.Gate.Review {
		hints = append(hints, "meanwhile, in another shell: slipway local approve "+s.RunID+stateFlag)
	}
	return &delivery.Error{Kind: delivery.KindFailed, Op: op, Err: errors.Join(fmt.Errorf("it did not open in %s; the job is cancelled", limit), err), Hints: hints}
}

// gateText says in a line what a job waits for, and what to do.
func gateText(s sim.JobState, stateFlag string) string {
	g := s.Gate
	var waits []string
	then := ""
	if g.Review {
		waits = append(waits, "an approval by "+strings.Join(g.Reviewers, " or "))
		then = "; slipway local approve " + s.RunID + stateFlag
		if len(g.MayApprove) == 0 {
			then = "; none of them may: whoever started the run, " + g.Actor + ", is refused, and teams need members"
		}
	}
	if !g.Until.IsZero() && time.Now().Before(g.Until) {
		waits = append(waits, "the wait timer, until "+g.Until.Local().Format("15:04:05"))
	}
	return fmt.Sprintf("run %s: %s waits for %s%s", s.RunID, g.Environment, cmp.Or(strings.Join(waits, " and "), "its gate"), then)
}
