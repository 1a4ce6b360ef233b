package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/awsauth"
	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/iam"
	"github.com/slipway-cd/slipway/internal/trust"
)

// auditedRole is the verdict on one role.
type auditedRole struct {
	Name     string        `json:"name"`
	ARN      string        `json:"arn"`
	Issuers  []string      `json:"issuers"` // of the CI systems that it trusts
	Admitted []string      `json:"admitted"`
	Verdict  trust.Outcome `json:"verdict"`

	findings []trust.Finding
}

// roleAudit judges roles of an account.
type roleAudit struct {
	inspection
	options trust.AuditOptions
	file    *config.File // nil where there is no slipway.yaml
	getenv  func(string) string
	whole   bool // permissions, too
}

// auditRoles reads the account's roles and judges them.
func (a *app) auditRoles(ctx context.Context, in inspection, options trust.AuditOptions) error {
	r := roleAudit{inspection: in, options: options, getenv: a.Getenv, whole: !in.all}
	var err error
	if r.file, err = a.optionalFile(); err != nil {
		return err
	}
	session, err := a.reader(ctx, r.file, in.environment)
	if err != nil {
		return err
	}
	roles, err := rolesOf(ctx, &iam.Client{Config: session.Config(awsauth.IAM)}, in)
	if err != nil {
		return err
	}
	doc := auditDocument{Findings: []trust.Finding{}, Admitted: []string{}}
	for _, role := range roles {
		audited, err := r.role(role)
		if err != nil {
			return fmt.Errorf("role %s: %w", role.Name, err)
		}
		doc.Roles = append(doc.Roles, audited)
		doc.Findings = append(doc.Findings, audited.findings...)
		for _, id := range audited.Admitted {
			if !slices.Contains(doc.Admitted, id) {
				doc.Admitted = append(doc.Admitted, id)
			}
		}
	}
	doc.Verdict = trust.Report{Findings: doc.Findings}.Outcome()
	return a.tellAudit("", doc)
}

// optionalFile is slipway.yaml, nil where there is none.
func (a *app) optionalFile() (*config.File, error) {
	if name, _ := config.Find(a.Dir); name == "" { // its error says no more
		return nil, nil
	}
	return a.load()
}

// reader opens a session that reads IAM: that of an environment of
// slipway.yaml, or of whatever the machine is logged in to.
func (a *app) reader(ctx context.Context, file *config.File, environment string) (*awsauth.Session, error) {
	if file == nil || len(file.Environments()) == 0 {
		return awsauth.Source{Getenv: a.Getenv, Region: a.region, Profile: a.profile, AllowKeys: a.force, AllowForeign: a.yes,
			Version: version().Version, Warn: func(line string) { a.ui.warn("%s", line) }}.Open(ctx)
	}
	if environment == "" {
		environment = file.Environments()[0].Name
	}
	p, err := a.pick(file, selection{agent: file.Agents()[0].Name, environment: environment, login: true, look: true})
	if err != nil {
		return nil, err
	}
	return a.session(ctx, p)
}

// rolesOf reads the role that was named, or all that trust a CI system.
func rolesOf(ctx context.Context, account *iam.Client, in inspection) ([]trust.Role, error) {
	if !in.all {
		role, err := account.Role(ctx, in.role)
		if errors.Is(err, delivery.ErrNotFound) {
			err = &delivery.Error{Kind: delivery.KindUsage, Err: err, Hints: []string{"slipway audit --all lists the roles that trust a CI system"}}
		}
		return []trust.Role{role}, err
	}
	all, err := account.Roles(ctx)
	var trusting []trust.Role
	for _, role := range all {
		issuers, unreadable := trust.Issuers(role.Trust)
		if len(issuers) > 0 || unreadable != nil && strings.Contains(string(role.Trust), "oidc-provider/") {
			trusting = append(trusting, role)
		}
	}
	return trusting, err
}

// role judges who may assume a role, and what it may do.
func (r roleAudit) role(role trust.Role) (auditedRole, error) {
	audited := auditedRole{Name: role.Name, ARN: role.ARN, Issuers: []string{}, Admitted: []string{}}
	options := r.known(role)
	issuers, err := trust.Issuers(role.Trust)
	switch {
	case err != nil:
		issuers = []string{options.Issuer} // AuditTrust tells what is wrong
	case len(issuers) == 0:
		return r.permissions(audited, role, trust.Document{JSON: role.Trust})
	}
	audited.Issuers = issuers
	for _, issuer := range issuers {
		options.Issuer = issuer
		report, err := trust.AuditTrust(role.Trust, options)
		if err != nil {
			return audited, err
		}
		audited.add(report, "")
	}
	if !r.whole {
		return audited, nil
	}
	return r.permissions(audited, role)
}

// known says whom a role is meant for: what the options say, and slipway.yaml
// of the role that it names.
func (r roleAudit) known(role trust.Role) trust.AuditOptions {
	o := r.options
	if parts := strings.Split(role.ARN, ":"); o.Account == "" && len(parts) > 4 {
		o.Account = parts[4]
	}
	if r.file == nil {
		return o
	}
	for _, env := range r.file.Environments() {
		arn, err := r.file.DeployRole(env.Name, r.getenv)
		if err != nil || arn != role.ARN {
			continue
		}
		if o.Environment == "" {
			o.Environment = env.Name
		}
		o.Unprotected = o.Environment == env.Name && len(env.Reviewers) == 0
		if g := r.file.GitHub; o.Repository == (trust.Repository{}) {
			o.Repository = trust.Repository{Owner: g.Owner, OwnerID: g.OwnerID, Name: g.Name, ID: g.NameID}
		}
		return o
	}
	return o
}

// permissions judges what a role may do, and documents besides.
func (r roleAudit) permissions(audited auditedRole, role trust.Role, besides ...trust.Document) (auditedRole, error) {
	o := trust.PolicyOptions{Role: role.ARN, NoBoundary: role.Boundary == nil, Account: r.known(role).Account}
	for _, d := range role.Attached {
		o.Attached = append(o.Attached, d.Name)
	}
	if r.file != nil {
		for _, env := range r.file.Environments() {
			o.Environments = append(o.Environments, env.Name)
		}
	}
	own := slices.Concat(role.Inline, role.Attached)
	judge := func(d trust.Document, kind trust.PolicyKind) error {
		o.Kind, o.Besides = kind, nil
		if kind == trust.PermissionPolicy {
			o.Besides = others(own, d.Name)
		}
		report, err := trust.AuditPolicy(d.JSON, o)
		if err != nil {
			return fmt.Errorf("policy %s: %w", d.Name, err)
		}
		audited.add(report, d.Name)
		if kind == trust.PermissionPolicy {
			o.NoBoundary, o.Attached = false, nil // told once
		}
		return nil
	}
	for _, d := range besides {
		if err := judge(d, ""); err != nil {
			return audited, err
		}
	}
	for _, d := range own {
		if err := judge(d, trust.PermissionPolicy); err != nil {
			return audited, err
		}
	}
	if role.Boundary == nil {
		return audited, nil
	}
	return audited, judge(*role.Boundary, trust.BoundaryPolicy)
}

// others are a role's permission documents but the one of a name.
func others(all []trust.Document, name string) []trust.Document {
	return slices.DeleteFunc(slices.Clone(all), func(d trust.Document) bool { return d.Name == name })
}

// add joins a report on one of the role's documents.
func (r *auditedRole) add(report trust.Report, policy string) {
	for _, f := range report.Findings {
		f.Role = r.Name
		if f.Line > 0 { // else it is the role's own fault
			f.Policy = policy
		}
		r.findings = append(r.findings, f)
	}
	for _, id := range report.Admitted {
		if !slices.Contains(r.Admitted, id) {
			r.Admitted = append(r.Admitted, id)
		}
	}
	r.Verdict = trust.Report{Findings: r.findings}.Outcome()
}
