package delivery

import "time"

// EventKind is what an Event reports.
type EventKind int

// The kinds of event, in no order.
const (
	StageStarted EventKind = iota // Stage
	StageDone                     // Stage, Elapsed, Skipped, Text
	Note                          // Text
	Warning                       // Text
	BuildOutput                   // Text: a line of the build's own output
	BuildStepped                  // Step: a step of a Dockerfile has begun or ended
	Transferred                   // Transfer
	Waiting                       // Text: for what, and until when
	Diff                          // Changes: what an update is about to change
	AgentOutput                   // Lines: what the agent printed
)

// Event is something worth telling while a delivery runs. It carries data;
// how it looks is the observer's business.
type Event struct {
	Kind     EventKind
	Stage    string
	Text     string
	Elapsed  time.Duration
	Skipped  bool
	Step     BuildStep
	Transfer Transfer
	Changes  []Change
	Lines    []LogLine
}
