package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
)

// creatable refuses to create a runtime that could not be created.
func (r *run) creatable() error {
	op := "creating the runtime of " + r.Target.Agent + " in " + r.Target.Environment
	if r.Creator == nil {
		return &Error{Kind: KindRefused, Op: op, Err: errors.New("runtimes can't be created from here")}
	}
	if r.Target.ExecutionRole == "" {
		return &Error{Kind: KindConfig, Op: op, Err: errors.New("no execution role is set"),
			Hints: []string{"set environments." + r.Target.Environment + ".execution_role in slipway.yaml, or EXECUTION_ROLE_ARN"}}
	}
	return nil
}

// createRuntime makes the runtime and registers its id. A run that was killed
// between the two finds the runtime by its name.
func (r *run) createRuntime(ctx context.Context) error {
	name := RuntimeName(r.Target.Agent, r.Target.Environment)
	body, err := r.creation(name)
	if err != nil {
		return err
	}
	r.began, r.touched = r.now(), true
	doc, err := r.Creator.Create(ctx, body, clientToken(name, "0", body))
	if err != nil {
		r.touched = !refusal(err)
	}
	if errors.Is(err, ErrConflict) {
		return r.adopt(ctx, name)
	}
	if err != nil {
		return err
	}
	if r.live, err = readFacts(doc); err != nil {
		return err
	}
	r.updated = true
	r.report.Runtime = RuntimeState{ID: r.live.ID, Version: r.live.Version, Endpoint: r.Target.Serving(), Status: r.live.Status}
	return r.keepParameter(ctx, "runtime-id", r.live.ID)
}

// adopt takes the runtime that has our name: made by a run that was killed
// before it could register it.
func (r *run) adopt(ctx context.Context, name string) error {
	id, err := r.Creator.Find(ctx, name)
	if err != nil {
		return err
	}
	r.note("runtime %s exists already: taking it", id)
	r.report.Runtime.ID, r.create = id, false
	if err := r.readLive(ctx); err != nil {
		return err
	}
	if err := r.keepParameter(ctx, "runtime-id", id); err != nil {
		return err
	}
	if err := r.plan(ctx); err != nil {
		return err
	}
	if !r.needsUpdate() {
		r.updated = true
		return nil
	}
	if err := r.adoptGood(ctx); err != nil {
		return err
	}
	if err := r.recordFound(ctx); err != nil {
		return err
	}
	return r.send(ctx, r.replan)
}

// creation is the body that makes a runtime. It needs a network, which an
// update takes from the live runtime.
func (r *run) creation(name string) (Document, error) {
	base := object{
		{name: "agentRuntimeName", value: json.RawMessage(strconv.Quote(name))},
		{name: "roleArn", value: json.RawMessage(strconv.Quote(r.Target.ExecutionRole))},
		{name: "networkConfiguration", value: json.RawMessage(`{"networkMode":"PUBLIC"}`)},
	}
	if r.Target.Compute == Instances {
		base = base.without("networkConfiguration") // the capacity provider has one
	}
	raw := base.raw()
	// edit drops the name as it drops all that only answers carry; create needs it.
	body, _, err := edit(raw, r.Target.Settings, r.imageURI())
	if err != nil {
		return nil, err
	}
	o, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	// Create refuses metadataConfiguration: new runtimes have MMDSv2 on.
	o = o.without("metadataConfiguration").set("agentRuntimeName", json.RawMessage(strconv.Quote(name)))
	return o.raw(), nil
}
