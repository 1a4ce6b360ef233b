package cli

import "github.com/slipway-cd/slipway/internal/trust"

// auditedRole is the verdict on one role.
type auditedRole struct {
	Name     string        `json:"name"`
	Admitted []string      `json:"admitted"`
	Verdict  trust.Outcome `json:"verdict"`
}
