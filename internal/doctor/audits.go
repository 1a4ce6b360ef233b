package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/trust"
)

// audited hands on what an audit found of a role's document. All of it are
// warnings here: such a role delivers.
func (x *examination) audited(r trust.Report, role trust.Role) {
	for _, f := range r.Findings {
		x.finding(f.Rule, f.Message, f.Fix).on(role.ARN)
	}
}

// trustAudit asks who else gets in.
func trustAudit(ctx context.Context, x *examination) (string, error) {
	role, err := x.existing(ctx)
	if err != nil {
		return "", err
	}
	p := x.Project
	owner, name, ok := strings.Cut(p.GitHub, "/")
	if !ok {
		return "", skipped("slipway.yaml does not name the repository (github:)")
	}
	repository := trust.Repository{Owner: owner, OwnerID: p.OwnerID, Name: name, ID: p.NameID}
	if r, err := x.hubRepository(ctx); err == nil {
		repository.OwnerID, repository.ID = r.OwnerID, r.ID
	}
	report, err := trust.AuditTrust(role.Trust, trust.AuditOptions{Repository: repository, Environment: x.Target.Environment,
		Account: x.Target.Account, Unprotected: !p.Approvals})
	if err != nil {
		return "", skipped("the trust policy can't be read")
	}
	x.audited(report, role)
	return "nobody else gets in", nil
}

// policyAudit asks what the deploy role may do that no delivery needs.
func policyAudit(ctx context.Context, x *examination) (string, error) {
	role, err := x.existing(ctx)
	if err != nil {
		return "", err
	}
	execution, _ := x.executionARN(ctx)
	options := trust.PolicyOptions{Kind: trust.PermissionPolicy, Role: role.ARN, ExecutionRole: execution, NoBoundary: role.Boundary == nil}
	for _, d := range role.Attached {
		options.Attached = append(options.Attached, d.Name)
	}
	documents := append(append([]trust.Document{}, role.Inline...), role.Attached...)
	for _, d := range documents {
		report, err := trust.AuditPolicy(d.JSON, options)
		if err != nil {
			return "", fmt.Errorf("policy %s: %w", d.Name, err)
		}
		x.audited(report, role)
		options.NoBoundary, options.Attached = false, nil // of the role, and said once
	}
	return "no more than a delivery needs", nil
}

// existing is the deploy role, where there is one.
func (x *examination) existing(ctx context.Context) (trust.Role, error) {
	role, err := x.deployRole(ctx)
	if errors.Is(err, delivery.ErrNotFound) {
		return role, skipped("there is no deploy role")
	}
	return role, err
}
