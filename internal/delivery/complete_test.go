package delivery

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestComplete: what the account itself holds is read with the session open,
// before anything else, and never shown.
func TestComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d, o := w.deliverer("me")
		d.Target.Unread = []string{"/helper/dev/key"}
		if _, err := d.Deploy(t.Context(), commit("a")); ExitCode(err) != 2 || KindOf(err) != KindConfig || len(w.wrote()) > 0 {
			t.Errorf("a target that lacks values was delivered: %v, %v", err, w.wrote())
		}
		if _, err := d.Plan(t.Context(), commit("a")); KindOf(err) != KindConfig {
			t.Errorf("a target that lacks values was planned: %v", err)
		}

		w.ledger = nil
		d.Complete = func(context.Context) (Target, error) {
			if len(w.ledger) != 1 || w.ledger[0] != "Login" {
				t.Errorf("completed after %v", w.ledger)
			}
			target := testTarget()
			target.Settings = Document(`{"environmentVariables":{"KEY":"hush-hush","LOG_LEVEL":"debug"}}`)
			target.Origins = map[string]string{"KEY": "${ssm:/helper/dev/key}"}
			return target, nil
		}
		plan, err := d.Plan(t.Context(), commit("a"))
		if err != nil || len(w.wrote()) > 0 {
			t.Fatalf("%v, %v", err, w.wrote())
		}
		w.ledger = nil
		dep, err := d.Deploy(t.Context(), commit("a"))
		if err != nil || dep.Outcome != Deployed {
			t.Fatalf("%+v, %v", dep, err)
		}
		for _, changes := range [][]Change{plan.Changes, dep.Changes} {
			hidden, open := false, false
			for _, c := range changes {
				hidden = hidden || c.Path == "environmentVariables.KEY" && c.Secret && c.Origin == "${ssm:/helper/dev/key}"
				open = open || c.Path == "environmentVariables.LOG_LEVEL" && !c.Secret && c.Origin == ""
			}
			if !hidden || !open {
				t.Errorf("changes %+v", changes)
			}
		}
		w.ledger = nil
		if dep, err = d.Deploy(t.Context(), commit("a")); err != nil || dep.Outcome != Unchanged || len(w.wrote()) > 0 {
			t.Errorf("again: %s, %v, %v", dep.Outcome, err, w.wrote())
		}

		w.ledger = nil
		refused := &Error{Kind: KindConfig, Err: errors.New("slipway.yaml:1:1: ${ssm:/x} has no value")}
		d.Complete = func(context.Context) (Target, error) { return Target{}, refused }
		_, err = d.Deploy(t.Context(), commit("b"))
		if !errors.Is(err, refused) || ExitCode(err) != 2 || len(w.wrote()) > 0 || w.counts["Build"] > 1 || o.told(Note, "hush") {
			t.Errorf("got %v, %v", err, w.wrote())
		}
	})
}
