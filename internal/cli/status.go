package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	Endpoints   []endpointStatus  `json:"endpoints"` // what each serves: DEFAULT, and the named one
	Drift       []string          `json:"drift"`
	Notes       []string          `json:"notes"` // what is no drift
	Ahead       *aheadDocument    `json:"ahead,omitempty"`
	RolledBack  *previousDocument `json:"rolled_back_from,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	Deploying   string            `json:"deploying,omitempty"` // who holds the lock, until it expires
	Error       *errorDocument    `json:"error,omitempty"`
}

type endpointStatus struct {
	Name          string `json:"name"`
	Status        string `json:"status,omitempty"`
	Version       string `json:"version,omitempty"` // that is live
	TargetVersion string `json:"target_version,omitempty"`
	Image         string `json:"image,omitempty"`
}

func (a *app) statusCommand() *cobra.Command {
	var s selection
	var watch bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "status [--env NAME] [--agent NAME]",
		Short: "What serves in every environment: revision, digest, version, age, verdict, drift",
		Long: "Says what serves in every environment, since when and by whom, and where that differs from what was\n" +
			"recorded. DRIFT is that, and what is worth knowing: behind a named endpoint, DEFAULT may be at another\n" +
			"version, such as one that failed its verify. Where an environment takes its releases from another that\n" +
			"serves another revision, the commits between them are below the table, as far as the work tree has them.\n" +
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
	for _, each := range everything(file, a.named(s)) {
		p, err := a.pick(file, each)
		if delivery.KindOf(err) == delivery.KindUsage {
			return nil, nil, err
		}
		row := emptyStatus(each.agent, each.environment)
		row.Error = errorOf(err)
		if err == nil {
			row, err = a.environmentStatus(ctx, p, open)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s in %s: %w", row.Agent, row.Environment, err))
		}
		rows = append(rows, row)
	}
	a.compare(ctx, file, rows)
	return rows, failures, nil
}

func emptyStatus(agent, environment string) environmentStatus {
	return environmentStatus{Agent: agent, Environment: environment, Endpoints: []endpointStatus{}, Drift: []string{}, Notes: []string{}}
}

func (a *app) environmentStatus(ctx context.Context, p *project, open opener) (environmentStatus, error) {
	row := emptyStatus(p.target.Agent, p.target.Environment)
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
	row.RuntimeID, row.Image, row.Drift, row.Notes = st.Runtime.ID, st.Image, orEmpty(st.Drift), orEmpty(st.Notes)
	for _, e := range st.Endpoints {
		row.Endpoints = append(row.Endpoints, endpointStatus{e.Name, e.Status, e.LiveVersion, e.TargetVersion, e.Image})
	}
	if l := st.Lock; l != nil && l.UnderWay(time.Now()) {
		row.Deploying = l.Holder
	}
	row.Digest = st.Digest()
	if r := st.Release; r != nil && r.Version == st.Runtime.Version { // of another version the record says nothing
		row.recorded(*r)
	}
	return row, nil
}

// recorded is what the record says of the version that serves.
func (row *environmentStatus) recorded(r delivery.Release) {
	row.Dirty = r.Dirty
	row.Revision, row.Digest, row.Verdict, row.At, row.By, row.Run = r.Revision, r.Digest, r.Verdict, &r.At, r.By, r.Run
	if r.Failed != nil {
		row.RolledBack, row.Reason = &previousDocument{r.Failed.Revision, r.Failed.Digest, r.Failed.Version}, r.Reason
	}
}

// statusLines is the table of what serves, and what there is to promote.
func (a *app) statusLines(rows []environmentStatus) []string {
	cells := [][]string{{"AGENT", "ENV", "REVISION", "DIGEST", "VERSION", "AGE", "BY", "VERDICT", "DRIFT"}}
	for _, r := range rows {
		cells = append(cells, []string{r.Agent, r.Environment, dash(revisionName(r.Revision, r.Dirty)), dash(shortDigest(r.Digest)),
			dash(servedVersion(r)), a.age(r.At), dash(callerName(r.By)), dash(string(r.Verdict)), driftCell(r)})
	}
	return append(a.table(cells), a.aheadLines(rows)...)
}

func revisionName(revision string, dirty bool) string {
	if dirty {
		return shortRevision(revision) + "-dirty"
	}
	return shortRevision(revision)
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
	notes = append(notes, r.Notes...)
	if r.RolledBack != nil {
		notes = append(notes, "rolled back from "+shortRevision(r.RolledBack.Revision)+" by "+callerName(r.By))
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
