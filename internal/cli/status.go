package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

type statusDocument struct {
	Schema       string              `json:"schema"` // slipway.status/v1
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
	cmd := &cobra.Command{
		Use:   "status [--env NAME] [--agent NAME]",
		Short: "What serves in every environment: revision, digest, version, age, verdict, drift",
		Example: `  slipway status
  slipway status --env prd -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), s) },
	}
	selectionFlags(cmd, &s)
	return cmd
}

func (a *app) status(ctx context.Context, s selection) error {
	file, err := a.load()
	if err != nil {
		return err
	}
	doc := statusDocument{Schema: "slipway.status/v1", Environments: []environmentStatus{}}
	var failures []error
	for _, each := range everything(file, s) {
		p, err := a.pick(file, each)
		if delivery.KindOf(err) == delivery.KindUsage {
			return err
		}
		row := environmentStatus{Agent: each.agent, Environment: each.environment, Drift: []string{}, Error: errorOf(err)}
		if err == nil {
			row, err = a.environmentStatus(ctx, p)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s in %s: %w", row.Agent, row.Environment, err))
		}
		doc.Environments = append(doc.Environments, row)
	}
	if !a.json() {
		a.statusTable(doc.Environments)
	} else if err := a.ui.document(doc); err != nil {
		failures = append(failures, err)
	}
	return a.each(failures)
}

func (a *app) environmentStatus(ctx context.Context, p *project) (environmentStatus, error) {
	row := environmentStatus{Agent: p.target.Agent, Environment: p.target.Environment, Drift: []string{}}
	d, err := a.deliverer(ctx, p)
	if err != nil {
		row.Error = errorOf(err)
		return row, err
	}
	st, err := d.Status(ctx)
	if err != nil {
		row.Error = errorOf(err)
		return row, err
	}
	row.Version, row.Endpoint, row.Status = st.Runtime.Version, st.Runtime.Endpoint, st.Runtime.Status
	row.RuntimeID, row.Image, row.Drift = st.Runtime.ID, st.Image, orEmpty(st.Drift)
	if l := st.Lock; l != nil && l.Left == "" {
		row.Deploying = l.Holder
	}
	if r := st.Release; r != nil {
		row.Dirty = r.Dirty
		row.Revision, row.Digest, row.Verdict, row.At, row.By, row.Run = r.Revision, r.Digest, r.Verdict, &r.At, r.By, r.Run
		if r.Failed != nil {
			row.RolledBack, row.Reason = &previousDocument{r.Failed.Revision, r.Failed.Digest, r.Failed.Version}, r.Reason
		}
	}
	return row, nil
}

func (a *app) statusTable(rows []environmentStatus) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AGENT\tENV\tREVISION\tDIGEST\tVERSION\tAGE\tVERDICT\tDRIFT")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Agent, r.Environment, dash(statusRevision(r)),
			dash(shortDigest(r.Digest)), dash(servedVersion(r)), a.age(r.At), dash(string(r.Verdict)), driftCell(r))
	}
	_ = w.Flush() // a strings.Builder does not fail
	for _, line := range strings.Split(strings.TrimRight(b.String(), "\n"), "\n") {
		a.ui.result("%s", strings.TrimRight(printable(line), " "))
	}
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
				all = append(all, selection{agent.Name, env.Name})
			}
		}
	}
	if len(all) == 0 {
		return []selection{s}
	}
	return all
}
