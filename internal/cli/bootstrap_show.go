package cli

import (
	"fmt"
	"strings"

	"github.com/slipway-cd/slipway/internal/bootstrap"
)

// bootstrapDone prints the result.
func (a *app) bootstrapDone(setups []*setup, outcome string) error {
	if a.json() {
		doc := bootstrapDocument{Schema: "slipway.bootstrap/v1", Outcome: outcome, Environments: []bootstrapEnvironment{}}
		for _, s := range setups {
			doc.Environments = append(doc.Environments, s.document())
		}
		return a.ui.document(doc)
	}
	if outcome != planned {
		for _, s := range setups {
			a.ui.result("%s %s", s.name, outcome)
		}
	}
	for _, s := range setups {
		for _, agent := range s.missing() {
			a.ui.line("%s", a.ui.paint(dim, fmt.Sprintf("next: slipway bootstrap --env %s --create   # or: %s --agent %s, then bootstrap again", s.name, s.projects[0].target.Delivery(true), agent)))
			break
		}
	}
	return nil
}

func (s *setup) document() bootstrapEnvironment {
	e := bootstrapEnvironment{Name: s.name, Steps: []bootstrapStep{}, Missing: s.missing(), Created: orEmpty(s.created)}
	for i, step := range s.steps {
		e.Steps = append(e.Steps, bootstrapStep{ID: step.ID, Side: step.Side, Resource: step.Resource, Action: step.Action,
			Changes: orEmpty(step.Changes), Notes: orEmpty(step.Notes), Applied: s.applied[i]})
	}
	return e
}

// showPlan prints the plan: as the result where it was asked for, else before
// the question.
func (a *app) showPlan(setups []*setup, f bootstrapFlags) {
	if a.json() {
		return
	}
	show := a.ui.line
	if f.dryRun {
		show = a.ui.result
	}
	for _, s := range setups {
		show("%s", a.ui.paint(bold, fmt.Sprintf("%s  account %s, %s", s.name, s.wanted.Account, s.wanted.Region)))
		for _, step := range s.steps {
			a.showStep(show, step)
		}
		for _, agent := range s.missing() {
			show("  %-7s %-18s %s", "later", "runtime", agent+": deploy --create makes it")
		}
	}
}

func (a *app) showStep(show func(string, ...any), step bootstrap.Step) {
	color := dim
	if step.Pending() {
		color = yellow
	}
	show("  %s %-18s %s", a.ui.paint(color, fmt.Sprintf("%-7s", step.Action)), step.ID, a.ui.tame(step.Resource))
	for _, line := range a.stepLines(step) {
		show("          %s", a.ui.tame(line))
	}
}

// stepLines are the changes of a step and what is to be known of it. Statements
// that a document gets anew are told by their names alone.
func (a *app) stepLines(step bootstrap.Step) []string {
	var lines []string
	for i := 0; i < len(step.Changes); i++ {
		c := step.Changes[i]
		document, name, isStatement := strings.Cut(c.Field, ": ")
		if !isStatement || c.Before != "" || a.debug {
			lines = append(lines, a.changeLine(c))
			continue
		}
		names := []string{name}
		for i+1 < len(step.Changes) {
			next := step.Changes[i+1]
			other, more, ok := strings.Cut(next.Field, ": ")
			if !ok || other != document || next.Before != "" {
				break
			}
			names = append(names, more)
			i++
		}
		lines = append(lines, "+ "+document+"  "+strings.Join(names, ", "))
	}
	for _, note := range step.Notes {
		lines = append(lines, "! "+note)
	}
	return lines
}

// mostOfValue is how much of a value the plan shows; --debug shows all.
const mostOfValue = 60

func (a *app) changeLine(c bootstrap.Change) string {
	short := func(s string) string {
		s = strings.Join(strings.Fields(s), " ")
		if r := []rune(s); !a.debug && len(r) > mostOfValue {
			return string(r[:mostOfValue-1]) + "…"
		}
		return s
	}
	switch {
	case c.Before == "":
		return "+ " + c.Field + "  " + short(c.After)
	case c.After == "":
		return "- " + c.Field + "  " + short(c.Before)
	}
	return "~ " + c.Field + "  " + short(c.Before) + " → " + short(c.After)
}
