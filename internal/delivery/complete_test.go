package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

		// A literal in its place: what was hidden stays so.
		plainly := testTarget()
		plainly.Settings = Document(`{"environmentVariables":{"KEY":"open","LOG_LEVEL":"info"}}`)
		d.Complete = func(context.Context) (Target, error) { return plainly, nil }
		if plan, err = d.Plan(t.Context(), commit("a")); err != nil || len(plan.Changes) != 2 {
			t.Fatalf("%+v, %v", plan, err)
		}
		for _, c := range plan.Changes {
			if c.Secret != (c.Path == "environmentVariables.KEY") {
				t.Errorf("%s: hidden is %v", c.Path, c.Secret)
			}
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

// TestRollbackHasNoOrigins: what a rollback brings back is the old version's
// value, hidden as it is, and not what slipway.yaml names today.
func TestRollbackHasNoOrigins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d, _ := w.deliverer("me")
		d.Target.Origins = map[string]string{"KEY": "${ssm:/helper/dev/key}"}
		for _, letter := range []string{"a", "b"} {
			d.Target.Settings = Document(`{"environmentVariables":{"KEY":"value of ` + letter + `"}}`)
			if _, err := d.Deploy(t.Context(), commit(letter)); err != nil {
				t.Fatal(err)
			}
		}
		plan, err := d.RollbackPlan(t.Context(), RollbackOptions{})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(plan.Changes, func(c Change) bool { return c.Path == "environmentVariables.KEY" })
		if i < 0 || !plan.Changes[i].Secret || plan.Changes[i].Origin != "" {
			t.Errorf("%+v", plan.Changes)
		}
	})
}

// TestRedact: what others said is kept without the secrets that are known, in
// no part either.
func TestRedact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		secret := strings.Repeat("hush", 100)
		w.verdicts[w.digestOf("b")] = Answer{Status: 200, Body: []byte("no pong, but " + secret)}
		d, _ := w.deliverer("me")
		d.Target.Verify.Contains = "pong!"
		d.Redact = func(text string) string { return strings.ReplaceAll(text, secret, "(hidden)") }
		if _, err := d.Deploy(t.Context(), commit("b")); ExitCode(err) != 4 && ExitCode(err) != 6 || strings.Contains(err.Error(), "hush") {
			t.Errorf("%v", err)
		}
		for name, value := range w.params {
			if strings.Contains(fmt.Sprint(value), "hush") {
				t.Errorf("%s holds %v", name, value)
			}
		}
	})
}
