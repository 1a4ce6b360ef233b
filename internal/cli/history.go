package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/build"
	"github.com/slipway-cd/slipway/internal/delivery"
)

type historyDocument struct {
	Schema      string            `json:"schema"` // slipway.history/v1
	Agent       string            `json:"agent"`
	Environment string            `json:"environment"`
	RuntimeID   string            `json:"runtime_id,omitempty"`
	Releases    []releaseDocument `json:"releases"` // newest first
	Recorded    int               `json:"recorded"` // how many there are
	Lock        *lockDocument     `json:"lock,omitempty"`
}

// releaseDocument is a release as it was recorded, and what is there of it now.
type releaseDocument struct {
	Revision     string            `json:"revision,omitempty"`
	Subject      string            `json:"subject,omitempty"` // of the commit, where the work tree knows it
	Digest       string            `json:"digest,omitempty"`
	Image        string            `json:"image,omitempty"`
	Version      string            `json:"version"`
	Endpoint     string            `json:"endpoint,omitempty"`
	Verdict      delivery.Verdict  `json:"verdict,omitempty"`
	At           *time.Time        `json:"at,omitempty"`
	By           string            `json:"by,omitempty"`
	Run          string            `json:"run,omitempty"`
	Serves       bool              `json:"serves"`
	Recorded     bool              `json:"recorded"`
	VersionState delivery.Presence `json:"version_state"`
	ImageState   delivery.Presence `json:"image_state"`
	Tags         []string          `json:"tags"`
	OutOfOrder   bool              `json:"out_of_order,omitempty"`
	Dirty        bool              `json:"dirty,omitempty"`
	Adopted      string            `json:"adopted,omitempty"`
	PromotedFrom *delivery.Origin  `json:"promoted_from,omitempty"`
	RolledBack   *previousDocument `json:"rolled_back_from,omitempty"`
	Reason       string            `json:"reason,omitempty"`
}

// lockDocument is a lock that is held, or was left.
type lockDocument struct {
	Holder   string    `json:"holder"`
	Run      string    `json:"run,omitempty"`
	Since    time.Time `json:"since"`
	Expires  time.Time `json:"expires"`
	Revision string    `json:"revision,omitempty"`
	Digest   string    `json:"digest,omitempty"`
	Left     string    `json:"left,omitempty"` // the last word of a delivery that was interrupted
}

func (a *app) historyCommand() *cobra.Command {
	s := selection{look: true}
	var limit int
	cmd := &cobra.Command{
		Use:   "history --env NAME",
		Short: "Releases of an environment, newest first, and what is still there of them",
		Long: "Lists what an environment has served, as its deliveries recorded it: the SSM parameter's own history,\n" +
			"of which AWS keeps 100 values. It says of each release whether AgentCore still has the version, which\n" +
			"tags of the repository name the image, and the commit's subject where the work tree knows it. What\n" +
			"serves without a record, such as what a killed delivery left, is an entry of its own.",
		Example: `  slipway history --env dev
  slipway history --env prd --limit 100 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usage(cmd, fmt.Errorf("--limit is %d; it has to be 1 or more", limit))
			}
			return a.history(cmd.Context(), s, limit)
		},
	}
	selectionFlags(cmd, &s)
	cmd.Flags().IntVar(&limit, "limit", 20, "at most so many releases, the newest")
	return cmd
}

func (a *app) history(ctx context.Context, s selection, limit int) error {
	p, err := a.project(s)
	if err != nil {
		return err
	}
	d, err := a.deliverer(ctx, p)
	if err != nil {
		return err
	}
	h, err := d.History(ctx, delivery.HistoryOptions{Limit: limit})
	if err != nil {
		return a.explained(p, err)
	}
	doc := a.historyOf(ctx, p, h)
	if a.json() {
		return a.ui.document(doc)
	}
	a.printHistory(h, doc.Releases)
	return nil
}

func (a *app) historyOf(ctx context.Context, p *project, h *delivery.History) historyDocument {
	doc := historyDocument{Schema: "slipway.history/v1", Agent: p.target.Agent, Environment: p.target.Environment,
		RuntimeID: h.Now.Runtime.ID, Releases: []releaseDocument{}, Recorded: h.Recorded}
	var revisions []string
	for _, e := range h.Entries {
		doc.Releases = append(doc.Releases, releaseOf(e))
		revisions = append(revisions, e.Revision)
	}
	subjects := build.Subjects(ctx, p.file.Dir, a.Env, revisions)
	for i, r := range doc.Releases {
		doc.Releases[i].Subject = subjects[r.Revision]
	}
	if l := h.Now.Lock; l != nil {
		doc.Lock = &lockDocument{l.Holder, l.Run, l.Since, l.Expires, l.Revision, l.Digest, l.Left}
	}
	return doc
}

func releaseOf(e delivery.Entry) releaseDocument {
	doc := releaseDocument{Revision: e.Revision, Digest: e.Digest, Image: e.URI, Version: e.Version, Endpoint: e.Endpoint,
		Verdict: e.Verdict, By: e.By, Run: e.Run, Serves: e.Serves, Recorded: e.Recorded, VersionState: e.VersionIs, ImageState: e.ImageIs,
		Tags: orEmpty(e.Tags), OutOfOrder: e.OutOfOrder, Dirty: e.Dirty, Adopted: e.Adopted, PromotedFrom: e.PromotedFrom, Reason: e.Reason}
	if !e.At.IsZero() {
		doc.At = &e.At
	}
	if f := e.Failed; f != nil {
		doc.RolledBack = &previousDocument{f.Revision, f.Digest, f.Version}
	}
	return doc
}

// printHistory prints the table, and below it what the table has no room for.
func (a *app) printHistory(h *delivery.History, releases []releaseDocument) {
	t := h.Now.Target
	if h.Recorded == 0 {
		a.ui.line("no release of %s in %s is recorded", t.Agent, t.Environment)
	}
	if len(releases) > 0 {
		for _, line := range a.historyLines(releases) {
			a.ui.result("%s", line)
		}
	}
	if n := h.Recorded; n > 0 && shownOf(releases) < n {
		a.ui.line("%s more: --limit %d", plural(n-shownOf(releases), "older release"), n)
	}
	if l := h.Now.Lock; l != nil {
		a.ui.result("\n%s", a.ui.tame(l.Story(time.Now())))
	}
}

// shownOf counts the releases that were recorded.
func shownOf(releases []releaseDocument) int {
	n := 0
	for _, r := range releases {
		if r.Recorded {
			n++
		}
	}
	return n
}

func (a *app) historyLines(releases []releaseDocument) []string {
	rows := [][]string{{"REVISION", "DIGEST", "VERSION", "AGE", "BY", "VERDICT", "TAGS", "SUBJECT", "NOTE"}}
	for _, r := range releases {
		rows = append(rows, []string{dash(revisionName(r.Revision, r.Dirty)), dash(shortDigest(r.Digest)), r.Version, a.age(r.At),
			dash(callerName(r.By)), dash(string(r.Verdict)), dash(tagNames(r.Tags)), dash(beginning(r.Subject, mostOfSubject)), strings.Join(releaseNotes(r), "; ")})
	}
	return a.table(rows)
}

// tagNames are tags as a table has room for them: one that is a revision by
// its first digits.
func tagNames(tags []string) string {
	var names []string
	for _, tag := range tags {
		revision, dirty, _ := strings.Cut(tag, "-")
		if len(revision) == 40 {
			tag = revisionName(revision, dirty != "")
		}
		names = append(names, tag)
	}
	return strings.Join(names, ",")
}

// How much of a commit's subject, and of why a release was gone back from, a
// table shows.
const (
	mostOfSubject = 50
	mostOfReason  = 100
)

// releaseNotes is what is not usual about a release.
func releaseNotes(r releaseDocument) []string {
	var notes []string
	say := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if r.Serves {
		say("serves now")
	}
	if !r.Recorded {
		say("not recorded")
	}
	if r.Adopted != "" {
		say("adopted")
	}
	if o := r.PromotedFrom; o != nil {
		say("promoted from %s (version %s)", o.Environment, o.Version)
	}
	if r.OutOfOrder {
		say("out of order")
	}
	if f := r.RolledBack; f != nil {
		say("rolled back from %s (version %s): %s", dash(shortRevision(f.Revision)), f.Version, beginning(r.Reason, mostOfReason))
	}
	if r.VersionState == delivery.Gone {
		say("version gone")
	}
	if r.ImageState == delivery.Gone {
		say("image gone")
	}
	return notes
}

// beginning is a text up to so many characters.
func beginning(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// callerName is who delivered as a table has room for it: of an ARN, the role
// and the session, or the user.
func callerName(by string) string {
	if !strings.HasPrefix(by, "arn:") {
		return by
	}
	_, name, ok := strings.Cut(by, "/")
	if !ok {
		return by[strings.LastIndexByte(by, ':')+1:] // root
	}
	return name
}

// table aligns cells, the first row being their names. What others wrote moves
// no cursor, and is no command to GitHub's runner: hence no colon at a line's
// beginning.
func (a *app) table(rows [][]string) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = a.ui.harmless(oneLine(c))
		}
		cells[0] = strings.TrimLeft(cells[0], ": ")
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // a strings.Builder does not fail
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return lines
}

// oneLine is a text with its line ends and tabs as blanks.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
