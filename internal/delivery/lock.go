package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Lock is the record that keeps two deployers of one environment apart. It
// lives in the SSM parameter /<agent>/<environment>/lock, created without
// overwrite. SSM can't delete on a condition, so a lock may be lost in a race
// of expiries; the version fence makes that harmless.
type Lock struct {
	Schema  string    `json:"schema"` // slipway.lock/v1
	Nonce   string    `json:"nonce"`
	Owner   string    `json:"owner"`
	Holder  string    `json:"holder"`
	Run     string    `json:"run,omitempty"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
	// What the holder set out to do, and what served before: what the next
	// deployer needs if the holder dies.
	Revision string   `json:"revision"`
	Digest   string   `json:"digest"`
	Previous *Pointer `json:"previous,omitempty"`
	// Back says that the holder set out to go back to a release.
	Back bool `json:"back,omitempty"`
	// Left is set by a holder that was interrupted: where things stand. Such a
	// lock holds nobody up.
	Left string `json:"left,omitempty"`
}

const lockSchema = "slipway.lock/v1"

const (
	// parting bounds what is still said and written when a delivery ends
	// before its time: whoever sent the signal does not wait long.
	parting = 1500 * time.Millisecond
	// lockPatience bounds giving the lock back when there is no hurry.
	lockPatience = 5 * time.Second
)

// lockTries bounds how often a lock is found and gone again.
const lockTries = 3

// free says whether owner may take the lock over: its own in any case, also
// where the answer to its putting was lost.
func (l Lock) free(owner string, now time.Time) bool {
	return l.Owner == owner || l.Left != "" || now.After(l.Expires)
}

// UnderWay says whether the holder may still be at it: neither has it said that
// it was interrupted, nor has its time run out.
func (l Lock) UnderWay(now time.Time) bool {
	return !l.Foreign() && l.Left == "" && !now.After(l.Expires)
}

// Foreign says that the parameter holds something else than a lock of
// slipway's. It keeps deliveries out until somebody has looked at it.
func (l Lock) Foreign() bool { return l.Schema != lockSchema }

// acquire takes the environment's lock, or returns an error of KindLocked
// that says who holds it. Where a dead or interrupted holder left its lock and
// what serves is not settled, what served before *its* delivery is what want
// comes back to; left is that holder's last word.
func (d *Deliverer) acquire(ctx context.Context, want *Lock, settled bool) (left string, err error) {
	for try := 1; ; try++ {
		err = d.putLock(ctx, *want, false)
		switch {
		case err == nil:
			return "", nil
		case errors.Is(err, ErrExists):
			held, readErr := d.readLock(ctx)
			if readErr == nil {
				return d.takeIfFree(ctx, want, *held, settled)
			}
			err = readErr // where it is not there: released this moment
		}
		again := (transient(err) || errors.Is(err, ErrNotFound)) && try < lockTries
		if !again || pause(ctx, time.Duration(try)*pollInterval) != nil {
			if transient(err) || ctx.Err() != nil {
				d.release(ctx, want.Nonce) // it may be ours: an answer was lost
			}
			return "", err
		}
	}
}

// heldByOther is an error of KindLocked where somebody else holds the lock:
// then it is their delivery that keeps a runtime busy, and no use to wait.
func (r *run) heldByOther(ctx context.Context) error {
	held, err := r.readLock(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err == nil && !held.free(r.owner(), r.now()):
		return r.lockedError(*held)
	}
	return err
}

func (d *Deliverer) takeIfFree(ctx context.Context, want *Lock, held Lock, settled bool) (left string, err error) {
	switch {
	case !held.free(want.Owner, d.now()):
		return "", d.lockedError(held)
	case !settled:
		want.Previous = held.Previous
	}
	if err := d.takeOver(ctx, *want); err != nil {
		d.leave(ctx, *want, "a delivery that took over from another one did not begin; "+held.Left)
		return "", err
	}
	return held.Left, nil
}

// takeOver overwrites a lock that is free, and looks whether somebody else
// did so too.
func (d *Deliverer) takeOver(ctx context.Context, want Lock) error {
	if err := d.putLock(ctx, want, true); err != nil {
		return err
	}
	now, err := d.readLock(ctx)
	if err == nil && now.Nonce != want.Nonce {
		err = d.lockedError(*now)
	}
	return err
}

func (d *Deliverer) putLock(ctx context.Context, l Lock, overwrite bool) error {
	value, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encoding the lock: %w", err)
	}
	return d.Parameters.PutParameter(ctx, d.Target.Parameter("lock"), string(value), overwrite)
}

func (d *Deliverer) lockedError(held Lock) error {
	name, by := d.Target.Parameter("lock"), held.Holder
	if held.Foreign() {
		where := " --name " + name + " --region " + d.Target.Region
		return &Error{Kind: KindLocked, Op: "taking the lock", Err: fmt.Errorf("the parameter %s is no lock of slipway's", name),
			Hints: []string{"look at it: aws ssm get-parameter" + where,
				"delete it, if nothing needs it and nothing is under way: aws ssm delete-parameter" + where}}
	}
	if held.Run != "" {
		by += " (" + held.Run + ")"
	}
	return &Error{Kind: KindLocked, Op: "taking the lock " + name,
		Err: fmt.Errorf("%s has held it since %s, until %s at the latest, to deliver %s", by,
			held.Since.UTC().Format(time.RFC3339), held.Expires.UTC().Format(time.RFC3339), short(held.Revision)),
		Hints: []string{"wait for it and run this command again",
			"a holder that is dead for sure: slipway unlock --env " + d.Target.Environment + " --agent " + d.Target.Agent + " " + held.Nonce}}
}

// Unlock breaks the lock that has nonce: it holds nobody up from then on. What
// served before its holder began stays in it, for the next delivery to settle.
// It returns an *Error of KindRefused where another lock is held, or none.
func (d *Deliverer) Unlock(ctx context.Context, nonce string) error {
	r := &run{Deliverer: d}
	if _, err := r.credentials(ctx); err != nil {
		return r.refused(err)
	}
	op := "breaking the lock " + d.Target.Parameter("lock")
	held, err := d.readLock(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		return &Error{Kind: KindRefused, Op: op, Err: errors.New("nobody holds it"), Hints: []string{"nothing has to be done"}}
	case err != nil:
		return &Error{Kind: kindOfRefusal(err), Op: op, Err: err, Hints: hints(err)}
	case held.Foreign():
		return &Error{Kind: KindRefused, Op: op, Err: errors.New("it was not written by slipway"),
			Hints: []string{"delete the parameter, if you know that nothing is under way"}}
	case held.Nonce != nonce:
		return &Error{Kind: KindRefused, Op: op, Err: fmt.Errorf("%s is not its nonce: %s", nonce, held.Story(d.now())),
			Hints: []string{"its nonce is " + held.Nonce}}
	case held.Left != "":
		return nil // it holds nobody up already
	}
	held.Left = "its lock was broken by " + r.by()
	return d.putLock(ctx, *held, true)
}

func (d *Deliverer) readLock(ctx context.Context) (*Lock, error) {
	value, err := d.Parameters.Parameter(ctx, d.Target.Parameter("lock"))
	if err != nil {
		return nil, err
	}
	var l Lock
	if err := json.Unmarshal([]byte(value), &l); err != nil || l.Schema != lockSchema {
		// Not ours to judge: it is held by someone unknown, for good.
		unknown := Lock{Nonce: "unreadable", Holder: "someone unknown (the lock is not readable)", Expires: d.now().Add(time.Hour)}
		return &unknown, nil //nolint:nilerr // see above
	}
	return &l, nil
}

// release gives the lock back if it is still ours. It runs after the verdict,
// whatever became of ctx, so a failure is a warning.
func (d *Deliverer) release(ctx context.Context, nonce string) {
	err := d.onLock(ctx, nonce, func(ctx context.Context) error {
		return d.Parameters.DeleteParameter(ctx, d.Target.Parameter("lock"))
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		d.warn("the lock %s could not be released: %v; it expires by itself", d.Target.Parameter("lock"), err)
	}
}

// leave marks the lock of an unfinished delivery, if it is still ours: it
// holds nobody up, and tells the next deployer where things stand.
func (d *Deliverer) leave(ctx context.Context, l Lock, where string) {
	l.Left = d.quote(where) // a parameter holds 4 KB
	err := d.onLock(ctx, l.Nonce, func(ctx context.Context) error { return d.putLock(ctx, l, true) })
	if err != nil {
		d.warn("the lock %s could not be marked: %v", d.Target.Parameter("lock"), err)
	}
}

// onLock does a last thing to the lock that has nonce, and nothing to another.
// It tries for a while, and no longer than parting where ctx has ended.
func (d *Deliverer) onLock(ctx context.Context, nonce string, do func(context.Context) error) error {
	limit := lockPatience
	if ctx.Err() != nil {
		limit = parting
	}
	return d.wait(context.WithoutCancel(ctx), "the lock", limit, func(ctx context.Context) (bool, string, error) {
		held, err := d.readLock(ctx)
		if err == nil && held.Nonce == nonce {
			err = do(ctx)
		}
		return err == nil, "no answer", err
	})
}

// tidy removes what a finished delivery left of its lock when it was killed
// before it could, or what an unfinished one left that is settled by now.
func (d *Deliverer) tidy(ctx context.Context, owner string) {
	if held, err := d.readLock(ctx); err == nil && held.free(owner, d.now()) {
		d.release(ctx, held.Nonce)
	}
}
