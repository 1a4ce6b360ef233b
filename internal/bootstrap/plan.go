// Package bootstrap plans what an environment needs before its first delivery:
// GitHub's provider, roles and their boundary, image repositories. It reads
// everything first, says step by step what would be made or changed, field by
// field, and applies no more than that.
//
// It refuses to replace or delete what it did not make. Whatever it makes
// carries a tag; something of the same name without that tag is left alone,
// unless the caller adopts it. It knows no SDK and no network: adapters do
// what its small ports ask for.
package bootstrap

import (
	"context"
	"fmt"
)

// Action is what a step does.
type Action string

// The actions. Adopt takes over something that another made.
const (
	Create Action = "create"
	Update Action = "update"
	Adopt  Action = "adopt"
	Keep   Action = "keep"
)

// Change is one field that a step sets.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Sides of a step.
const (
	AWS    = "AWS"
	GitHub = "GitHub"
)

// Step is one thing to make, to change, or to leave as it is.
type Step struct {
	ID          string // stable: provider, boundary, deploy-role, …
	Environment string // "" is the account's or the repository's own
	Side        string // AWS or GitHub
	Resource    string // ARN or name
	Action      Action
	Changes     []Change
	// Notes are what a reader should know, a sentence each.
	Notes []string
	// Apply carries the step out; nil where there is nothing to do.
	Apply func(context.Context) error
}

// Pending says whether the step changes something.
func (s Step) Pending() bool { return s.Apply != nil }

// Apply carries out the steps in order and stops at the first that fails.
// after is called with each that was carried out; it may be nil.
func Apply(ctx context.Context, steps []Step, after func(Step)) error {
	for _, s := range steps {
		if !s.Pending() {
			continue
		}
		if err := s.Apply(ctx); err != nil {
			return fmt.Errorf("%s %s: %w", s.Action, s.Resource, err)
		}
		if after != nil {
			after(s)
		}
	}
	return nil
}

// ForeignError is something of the right name that somebody else made and that
// differs from what is needed.
type ForeignError struct {
	Step Step
}

// Error names what is in the way.
func (f *ForeignError) Error() string {
	return fmt.Sprintf("%s exists, was not made by slipway bootstrap, and differs: %s", f.Step.Resource, f.Step.Changes[0].Field)
}
