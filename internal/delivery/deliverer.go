package delivery

import (
	"context"
	"fmt"
	"regexp"
	"time"
)

// Deliverer delivers one agent to one environment. Its ports are all needed,
// but for Creator (to create a runtime), Mover (to move a named endpoint),
// Archive (to roll back) and Elsewhere.
type Deliverer struct {
	Target Target
	Actor  Actor

	Login      Login
	Builder    Builder
	Repository Repository
	// Elsewhere opens another repository than the target's, where a runtime
	// that was not delivered by Slipway may have its image. If nil, such
	// images are not looked at.
	Elsewhere  func(registry, repository string) Repository
	Publisher  Publisher
	Runtimes   Runtimes
	Creator    Creator
	Mover      EndpointMover
	Invoker    Invoker
	Logs       Logs
	Parameters Parameters
	Archive    Archive

	// Complete returns the target with the values that slipway.yaml takes from
	// the account itself. It is called with the session open, before anything
	// else is read. If nil, the target is complete as it is.
	Complete func(context.Context) (Target, error)
	// Redact takes secrets out of what others said, before it is kept in a
	// record or a lock. If nil, nothing is known to be secret.
	Redact func(string) string
	// Observe receives events as they happen. If nil, they are dropped.
	Observe func(Event)
	// Now is the clock. If nil, time.Now.
	Now func() time.Time
}

func (d *Deliverer) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

func (d *Deliverer) observe(e Event) {
	if d.Observe != nil {
		d.Observe(e)
	}
}

func (d *Deliverer) note(format string, args ...any) {
	d.observe(Event{Kind: Note, Text: fmt.Sprintf(format, args...)})
}

func (d *Deliverer) warn(format string, args ...any) {
	d.observe(Event{Kind: Warning, Text: fmt.Sprintf(format, args...)})
}

// validRuntimeID says whether id has the form of AgentCore's runtime ids
// (facts: Fields).
func validRuntimeID(id string) bool {
	ok, err := regexp.MatchString(`^[a-zA-Z][a-zA-Z0-9_]{0,99}-[a-zA-Z0-9]{10}$`, id)
	return ok && err == nil
}
