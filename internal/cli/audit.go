package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/github"
	"github.com/slipway-cd/slipway/internal/trust"
)

// inspection is what slipway audit looks at, and whom that is meant for.
type inspection struct {
	trust, policy string // files, "-" for stdin
	role          string
	all           bool

	repository, environment, account, issuer string
	probes                                   string // file
}

type auditDocument struct {
	Schema   string          `json:"schema"` // slipway.audit/v1
	Findings []trust.Finding `json:"findings"`
	Admitted []string        `json:"admitted"`
	Roles    []auditedRole   `json:"roles,omitempty"` // with --role and --all
	Verdict  trust.Outcome   `json:"verdict"`

	trust bool // it says who gets in
}

func (a *app) auditCommand() *cobra.Command {
	var in inspection
	cmd := &cobra.Command{
		Use:   "audit (--trust FILE --github OWNER/REPO | --policy FILE | --role NAME | --all)",
		Short: "Who can assume a deploy role, and what is wrong with its policies",
		Long: "Tries a role's trust policy with tokens of the intended job and of strangers, says who gets in, and\n" +
			"explains each fault with what to do. Exit 0: nothing, or warnings; 3: errors. With --trust or --policy\n" +
			"it is offline, and nothing counts but the options; with --role or --all it reads the account's IAM.\n" +
			"docs/audit.md lists the rules.",
		Example: `  slipway audit --trust trust.json --github acme@1001/agent@2002 --environment prod
  slipway audit --role slipway-agent-prod
  slipway audit --all -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.audit(cmd.Context(), in)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&in.trust, "trust", "", "file with a role's trust policy, - for stdin")
	flags.StringVar(&in.policy, "policy", "", "file with a permission policy, - for stdin")
	flags.StringVar(&in.role, "role", "", "a role of the account, its permissions too")
	flags.BoolVar(&in.all, "all", false, "every role of the account that trusts a CI system")
	flags.StringVar(&in.repository, "github", "", "repository that may deploy: OWNER/REPO, or OWNER@ID/REPO@ID where it sends ids")
	flags.StringVar(&in.environment, "environment", "", "environment that the job names")
	flags.StringVar(&in.account, "account", "", "account of the role")
	flags.StringVar(&in.issuer, "issuer", trust.GitHubIssuer, "issuer of the tokens")
	flags.StringVar(&in.probes, "probes", "", "file with tokens to try instead: {\"id\": {claims}}")
	cmd.MarkFlagsOneRequired("trust", "policy", "role", "all")
	cmd.MarkFlagsMutuallyExclusive("trust", "policy", "role", "all")
	return cmd
}

func (a *app) audit(ctx context.Context, in inspection) error {
	options, err := a.auditOptions(in)
	if err != nil {
		return err
	}
	switch {
	case in.trust != "":
		return a.auditTrust(in, options)
	case in.policy != "":
		return a.auditPolicy(in)
	default:
		return a.auditRoles(ctx, in, options)
	}
}

// auditPolicy judges what a file allows, offline.
func (a *app) auditPolicy(in inspection) error {
	doc, err := a.readInput(in.policy)
	if err != nil {
		return readable(in.policy, err)
	}
	report, err := trust.AuditPolicy(doc, trust.PolicyOptions{Account: in.account})
	if err != nil {
		return readable(in.policy, fmt.Errorf("reading %s: %w", in.policy, err))
	}
	return a.tellAudit(in.policy, auditDocument{Findings: report.Findings, Admitted: []string{}, Verdict: report.Outcome()})
}

// auditTrust judges a file, offline.
func (a *app) auditTrust(in inspection, options trust.AuditOptions) error {
	if in.repository == "" {
		return &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("--trust needs --github"),
			Hints: []string{"--github OWNER/REPO names the repository that may deploy"}}
	}
	doc, err := a.readInput(in.trust)
	if err != nil {
		return readable(in.trust, err)
	}
	report, err := trust.AuditTrust(doc, options)
	if err != nil {
		return readable(in.trust, fmt.Errorf("reading %s: %w", in.trust, err))
	}
	return a.tellAudit(in.trust, auditDocument{Findings: report.Findings, Admitted: report.Admitted, Verdict: report.Outcome(), trust: true})
}

// readable is the error of a file that can't be judged.
func readable(name string, err error) error {
	return &delivery.Error{Kind: delivery.KindUsage, Err: err,
		Hints: []string{"the file has to hold a policy document as IAM takes it: " + name}}
}

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// auditOptions reads the options, which have to be right before anything else
// counts.
func (a *app) auditOptions(in inspection) (trust.AuditOptions, error) {
	o := trust.AuditOptions{Environment: in.environment, Account: in.account, Issuer: in.issuer}
	wrong := func(err error, hint string) (trust.AuditOptions, error) {
		return o, &delivery.Error{Kind: delivery.KindUsage, Err: err, Hints: []string{hint}}
	}
	var err error
	if in.repository != "" {
		if o.Repository, err = trust.ParseRepository(in.repository); err != nil {
			return wrong(fmt.Errorf("--github: %w", err), "as in --github acme/agent, or --github acme@1001/agent@2002 with GitHub's ids")
		}
	}
	if in.account != "" && !accountID.MatchString(in.account) {
		return wrong(fmt.Errorf("--account: %q is no account", in.account), "an account has 12 digits")
	}
	if u, err := url.Parse(in.issuer); err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return wrong(fmt.Errorf("--issuer: %q is no issuer", in.issuer), "as in --issuer "+trust.GitHubIssuer)
	}
	o.Issuer = strings.TrimSuffix(in.issuer, "/")
	if in.probes == "" {
		return o, nil
	}
	raw, err := a.readInput(in.probes)
	if err == nil {
		o.Probes, err = trust.ReadProbes(raw)
	}
	if err != nil {
		return wrong(fmt.Errorf("--probes: %w", err), `the file has to hold tokens by their id: {"legit-job": {"sub": "…", "aud": "…"}}`)
	}
	return o, nil
}

// tellAudit prints what was found in a document, and sets the exit status.
func (a *app) tellAudit(name string, doc auditDocument) error {
	doc.Schema = "slipway.audit/v1"
	if a.json() {
		if err := a.ui.document(doc); err != nil {
			return err
		}
	} else {
		a.ui.audits(name, doc)
	}
	if a.ui.actions {
		a.ui.annotateFindings(name, doc.Findings)
	}
	if doc.Verdict != trust.Reject {
		return nil
	}
	return exitError(delivery.ExitCode(&delivery.Error{Kind: delivery.KindFindings}))
}

// audits shows a verdict, or those on several roles.
func (u *ui) audits(name string, doc auditDocument) {
	if name != "" {
		u.audit(name, doc)
		return
	}
	for i, r := range doc.Roles {
		if i > 0 {
			u.result("")
		}
		u.audit("role "+r.Name, auditDocument{Findings: r.findings, Admitted: r.Admitted, Verdict: r.Verdict, trust: len(r.Issuers) > 0})
	}
	if len(doc.Roles) == 0 {
		u.result("no role of this account trusts a CI system")
	}
}

// audit shows a verdict to people: who gets in, then each fault and its mend.
func (u *ui) audit(name string, doc auditDocument) {
	colors := map[trust.Outcome]string{trust.Accept: green, trust.Warn: yellow, trust.Reject: red}
	u.result("%s  %s%s", u.paint(colors[doc.Verdict], string(doc.Verdict)), u.tame(name), tally(doc.Findings, severityOf))
	if doc.trust {
		u.admitted(doc.Admitted)
	}
	strangers := 0
	for _, id := range doc.Admitted {
		if trust.Stranger(id) {
			strangers++
		}
	}
	for _, f := range doc.Findings {
		u.finding(f, strangers)
	}
}

func severityOf(f trust.Finding) string { return string(f.Severity) }

// tally counts findings by their severity: ": 2 errors, 1 warning".
func tally[F any](findings []F, severity func(F) string) string {
	var parts []string
	for _, word := range []string{"error", "warning"} {
		n := 0
		for _, f := range findings {
			if severity(f) == word {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, plural(n, word))
		}
	}
	if parts == nil {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// admitted lists who gets in, strangers last, those of a kind in one line.
func (u *ui) admitted(ids []string) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, stranger := range []bool{false, true} {
		word := "gets in"
		if stranger {
			word = "stranger"
		}
		for _, line := range kinds(ids, stranger) {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", word, u.tame(line.ids), line.about)
		}
	}
	_ = w.Flush() // a strings.Builder does not fail
	if len(ids) == 0 {
		b.WriteString("  nobody gets in\n")
	}
	for line := range strings.Lines(b.String()) {
		u.result("%s", strings.TrimRight(line, " \n"))
	}
}

// kind is probes that are one caller in different forms.
type kind struct{ ids, about string }

// kinds puts together strangers, or those who are none, of a kind.
func kinds(ids []string, stranger bool) []kind {
	var all []kind
	for _, id := range ids {
		about := trust.About(id)
		switch n := len(all) - 1; {
		case trust.Stranger(id) != stranger:
		case n >= 0 && about != "" && all[n].about == about:
			all[n].ids += ", " + id
		default:
			all = append(all, kind{id, about})
		}
	}
	return all
}

// finding shows one fault. strangers are all that get in.
func (u *ui) finding(f trust.Finding, strangers int) {
	color := red
	if f.Severity == trust.SeverityWarning {
		color = yellow
	}
	u.result("")
	u.result("%s  %s%s", u.paint(color, string(f.Severity)), f.Rule, findingPlace(f))
	u.result("    %s", u.tame(f.Message))
	switch {
	case len(f.Admits) == 0:
	case len(f.Admits) == strangers:
		u.result("    lets in every stranger above")
	default:
		u.result("    lets in %s", u.tame(strings.Join(f.Admits, ", ")))
	}
	u.result("    fix: %s", f.Fix)
}

// findingPlace says where a finding is.
func findingPlace(f trust.Finding) string {
	var b strings.Builder
	if f.Policy != "" {
		b.WriteString("  policy " + printable(f.Policy))
	}
	if f.Line > 0 {
		fmt.Fprintf(&b, "  line %d, column %d", f.Line, f.Column)
	}
	return b.String()
}

// annotateFindings shows them at their lines, where GitHub shows a file.
func (u *ui) annotateFindings(name string, findings []trust.Finding) {
	var notes []github.Annotation
	for _, f := range findings {
		note := github.Annotation{Level: string(f.Severity), Title: f.Rule, Message: f.Message + "\nfix: " + f.Fix}
		if f.Role == "" && name != "-" {
			note.File, note.Line, note.Column = name, f.Line, f.Column
		}
		notes = append(notes, note)
	}
	u.annotations(notes)
}

// annotations shows notes, the worst first: of each level as many as GitHub
// shows, the last of which tells how many more there are.
func (u *ui) annotations(notes []github.Annotation) {
	for _, level := range []string{"error", "warning"} {
		group := slices.DeleteFunc(slices.Clone(notes), func(n github.Annotation) bool { return n.Level != level })
		for i, note := range group[:min(len(group), mostAnnotations)] {
			if i == mostAnnotations-1 && len(group) > mostAnnotations {
				note.Message += fmt.Sprintf("\n(and %d more)", len(group)-mostAnnotations)
			}
			note.Message = printableLines(note.Message)
			_ = github.Annotate(u.err, note) // stderr: nobody to tell
		}
	}
}
