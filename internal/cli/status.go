package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

type statusDocument struct {
	Schema       string              `json:"schema"`       // slipway.status/v1
	At           *time.Time          `json:"at,omitempty"` // when it was read, with --watch
	Environments []environmentStatus `json:"environments"`
}

type environmentStatus struct {
	Agent       string            `json:"agent"`
	Environment string            `json:"environment"`
	Revision    string            `json:"revision,omitempty"`
	Dirty       bool              `json:"dirty,omitempty"` // the image holds changes that the revision does not
	Digest      string            `json:"digest,omitempty"`
	Version     string            `json:"version,omitempty"` // what the endpoint serves
	Endpoint    string            `json:"endpoint,omitempty"`
	Status      string            `json:"status,omitempty"`
	Verdict     delivery.Verdict  `json:"verdict,omitempty"`
	At          *time.Time        `json:"at,omitempty"`
	By          string            `json:"by,omitempty"`
	Run         string            `json:"run,omitempty"`
	RuntimeID   string            `json:"runtime_id,omitempty"`
	Image       string            `json:"image,omitempty"`
	Drift       []string          `json:"drift"`
	RolledBack  *previousDocument `json:"rolled_back_from,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	Deploying   string            `json:"deploying,omitempty"` // who holds the lock
	Error       *errorDocument    `json:"error,omitempty"`
}

func (a *app) statusCommand() *cobra.Command {
	var s selection
	var watch bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "status [--env NAME] [--agent NAME]",
		Short: "What serves in every environment: revision, digest, version, age, verdict, drift",
		Long: "Says what serves in every environment, and where that differs from what was recorded.\n" +
			"--watch goes on until it is interrupted, which is its end (exit 0): redrawn on a terminal,\n" +
			"elsewhere printed when something has changed, with -o json as one document a line.",
		Example: `  slipway status
  slipway status --env prd -o json
  slipway status --watch`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !watch && cmd.Flags().Changed("interval"):
				return usage(cmd, errors.New("--interval is for --watch"))
			case interval < leastInterval:
				return usage(cmd, fmt.Errorf("--interval is %s; the least is %s", interval, leastInterval))
			case watch:
				return a.watch(cmd.Context(), s, interval)
			}
			return a.status(cmd.Context(), s)
		},
	}
	selectionFlags(cmd, &s)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "look again and again, until interrupted")
	cmd.Flags().DurationVar(&interval, "interval", defaultInterval, "how long --watch waits between two looks, 2s at least")
	return cmd
}

func (a *app) status(ctx context.Context, s selection) error {
	file, err := a.load()
	if err != nil {
		return err
	}
	rows, failures, err := a.statuses(ctx, file, s, a.deliverer)
	if err != nil {
		return err
	}
	if a.json() {
		if err := a.ui.document(statusDocument{Schema: "slipway.status/v1", Environments: rows}); err != nil {
			failures = append(failures, err)
		}
		return a.each(failures)
	}
	for _, line := range a.statusLines(rows) {
		a.ui.result("%s", line)
	}
	return a.each(failures)
}

// opener is app.deliverer, or what keeps what that made.
type opener func(context.Context, *project) (*delivery.Deliverer, error)

// statuses looks at each environment of a selection. failures are those that
// could not be read, which their rows say too.
func (a *app) statuses(ctx context.Context, file *config.File, s selection, open opener) (rows []environmentStatus, failures []error, err error) {
	rows = []environmentStatus{}
	for _, each := range everything(file, s) {
		p, err := a.pick(file, each)
		if delivery.KindOf(err) == delivery.KindUsage {
			return nil, nil, err
		}
		row := environmentStatus{Agent: each.agent, Environment: each.environment, Drift: []string{}, Error: errorOf(err)}
		if err == nil {
			row, err = a.environmentStatus(ctx, p, open)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s in %s: %w", row.Agent, row.Environment, err))
		}
		rows = append(rows, row)
	}
	return rows, failures, nil
}

func (a *app) environmentStatus(ctx context.Context, p *project, open opener) (environmentStatus, error) {
	row := environmentStatus{Agent: p.target.Agent, Environment: p.target.Environment, Drift: []string{}}
	d, err := open(ctx, p)
	if err != nil {
		row.Error = errorOf(err)
		return row, err
	}
	st, err := d.Status(ctx)
	if err = a.explained(p, err); err != nil {
		row.Error = errorOf(err)
		return row, err
	}
	row.Version, row.Endpoint, row.Status = st.Runtime.Version, st.Runtime.Endpoint, st.Runtime.Status
	row.RuntimeID, row.Image, row.Drift = st.Runtime.ID, st.Image, orEmpty(st.Drift)
	if l := st.Lock; l != nil && l.Left == "" {
		row.Deploying = l.Holder
	}
	row.Digest = st.Digest()
	if r := st.Release; r != nil {
		if r.Version == st.Runtime.Version { // of another version the record says nothing
			row.Dirty = r.Dirty
			row.Revision, row.Digest, row.Verdict, row.At, row.By, row.Run = r.Revision, r.Digest, r.Verdict, &r.At, r.By, r.Run
		}
		if r.Failed != nil {
			row.RolledBack, row.Reason = &previousDocument{r.Failed.Revision, r.Failed.Digest, r.Failed.Version}, r.Reason
		}
	}
	return row, nil
}

// statusLines is the table of what serves.
func (a *app) statusLines(rows []environmentStatus) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AGENT\tENV\tREVISION\tDIGEST\tVERSION\tAGE\tVERDICT\tDRIFT")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Agent, r.Environment, dash(statusRevision(r)),
			dash(shortDigest(r.Digest)), dash(servedVersion(r)), a.age(r.At), dash(string(r.Verdict)), driftCell(r))
	}
	_ = w.Flush() // a strings.Builder does not fail
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(printable(line), " ")
	}
	return lines
}

func statusRevision(r environmentStatus) string {
	if r.Dirty {
		return shortRevision(r.Revision) + "-dirty"
	}
	return shortRevision(r.Revision)
}

func servedVersion(r environmentStatus) string {
	if r.Endpoint == "" || r.Endpoint == delivery.DefaultEndpoint || r.Version == "" {
		return r.Version
	}
	return r.Version + " (" + r.Endpoint + ")"
}

func driftCell(r environmentStatus) string {
	var notes []string
	switch {
	case r.Error != nil:
		notes = append(notes, "can't be read")
	case r.RuntimeID == "":
		notes = append(notes, "no runtime yet")
	case len(r.Drift) == 0:
		notes = append(notes, "none")
	default:
		notes = append(notes, r.Drift...)
	}
	if r.RolledBack != nil {
		notes = append(notes, "rolled back from "+shortRevision(r.RolledBack.Revision)+" by "+r.By)
	}
	if r.Deploying != "" {
		notes = append(notes, r.Deploying+" is deploying")
	}
	return strings.Join(notes, "; ")
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// age is relative on a terminal, exact elsewhere.
func (a *app) age(at *time.Time) string {
	switch {
	case at == nil:
		return "–"
	case !isTerminal(a.Out):
		return at.UTC().Format(time.RFC3339)
	}
	return span(time.Since(*at))
}

// span is a length of time in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// everything lists each agent in each environment, less what a selection
// leaves out. A selection of what there is not keeps its names, so that
// whoever picks it says what exists.
func everything(file *config.File, s selection) []selection {
	var all []selection
	for _, agent := range file.Agents() {
		for _, env := range file.Environments() {
			if (s.agent == "" || s.agent == agent.Name) && (s.environment == "" || s.environment == env.Name) {
				all = append(all, selection{agent: agent.Name, environment: env.Name, look: true})
			}
		}
	}
	if len(all) == 0 {
		return []selection{s}
	}
	return all
}
