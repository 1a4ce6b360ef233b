package sim

import (
	"net/http"
	"strconv"
	"time"
)

func endpointMembers() members {
	return members{
		"agentRuntimeVersion": text(1, 5, patternVersion),
		"description":         text(1, 256, ""),
		"clientToken":         text(33, 256, patternToken),
		"tags":                tagsShape(),
	}
}

func createEndpointMembers() members {
	m := endpointMembers()
	m["name*"] = text(1, 48, patternName)
	return m
}

// endpointRequest reads the body of Create and Update.
func endpointRequest(k *call, m members) (document, error) {
	body, err := k.object()
	if err != nil {
		return nil, err
	}
	v := &check{}
	m.check(v, "", body)
	return body, v.err()
}

func (c *Cloud) createAgentRuntimeEndpoint(k *call) (any, error) {
	body, err := endpointRequest(k, createEndpointShape())
	if err != nil {
		return nil, err
	}
	if err := c.mayMakeEndpoint(k, body); err != nil {
		return nil, err
	}
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	r, err := c.runtime(k.account, k.region, k.params[0])
	if err != nil {
		return nil, err
	}
	name, token := stringOf(body, "name"), stringOf(body, "clientToken")
	if e, err := r.endpointMade(token, k.body, c.now()); e != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return accepted(r.endpointCreated(e)), nil
	}
	if r.Endpoints[name] != nil {
		return nil, conflict("An endpoint with the specified name already exists")
	}
	if err := r.busy(); err != nil {
		return nil, err
	}
	if most := c.agentcore.quotas.endpointsPerRuntime(); len(r.Endpoints) >= most {
		return nil, quotaExceeded("A runtime has at most %d endpoints", most)
	}
	target, err := c.targetVersion(r, body)
	if err != nil {
		return nil, err
	}
	now := c.now().UTC()
	e := &endpointRecord{Name: name, Description: stringOf(body, "description"), Created: now, Changed: now, Target: target,
		Token: tokenRecord{Token: token, Body: hashBody(k.body), At: now}, stuck: stuckBy(k.hit)}
	r.Endpoints[name] = e
	return accepted(r.endpointCreated(e)), c.store.put(r.key(), r)
}

// endpointMade is the endpoint that the token has made before, nil if none.
func (r *runtimeRecord) endpointMade(token string, body []byte, now time.Time) (*endpointRecord, error) {
	for _, e := range r.Endpoints {
		again, err := repeated(e.Token, token != "" && e.Token.Token == token, body, now)
		if again || err != nil {
			return e, err
		}
	}
	return nil, nil
}

func (r *runtimeRecord) endpointCreated(e *endpointRecord) map[string]any {
	return map[string]any{"agentRuntimeArn": r.arn(), "agentRuntimeEndpointArn": r.endpointARN(e.Name), "agentRuntimeId": r.ID,
		"endpointName": e.Name, "createdAt": coreTime(e.Created), "status": r.endpointStatus(e), "targetVersion": strconv.Itoa(e.Target)}
}

// targetVersion is the version that a request names, or the newest: an
// endpoint stays at what was the newest then.
func (c *Cloud) targetVersion(r *runtimeRecord, body document) (int, error) {
	number := r.Latest
	if given := stringOf(body, "agentRuntimeVersion"); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil {
			return 0, err
		}
		number = n
	}
	if number > r.Latest {
		return 0, noVersion(r.ID, number)
	}
	v, err := c.version(r, number)
	if err != nil {
		return 0, err
	}
	if number == r.Latest && !r.Settled {
		return 0, conflict("Version '%d' of agent '%s' is in %s status", number, r.ID, r.status(v))
	}
	if v.Failure != "" {
		return 0, conflict("Version '%d' of agent '%s' is not ready: %s", number, r.ID, v.Failure)
	}
	return number, nil
}

// endpoint finds an endpoint of the path.
func (r *runtimeRecord) endpoint(name string) (*endpointRecord, error) {
	e, ok := r.Endpoints[name]
	if !ok {
		return nil, faultf(http.StatusNotFound, "ResourceNotFoundException", "Endpoint '%s' of agent '%s' was not found", name, r.ID)
	}
	return e, nil
}

// endpointStatus follows from what the endpoint serves and should serve.
// DEFAULT is READY with its runtime, a moment before its liveVersion is the
// new one: whoever waits for READY alone sees the old version.
func (r *runtimeRecord) endpointStatus(e *endpointRecord) string {
	switch {
	case r.Deleted != nil || e.Deleted != nil:
		return statusDeleting
	case e.Failure != "" && e.Live == 0:
		return statusCreateFailed
	case e.Failure != "":
		return statusUpdateFailed
	case e.Live != e.Target && e.state != "":
		return e.state
	case e.Live == e.Target, e.Live != 0 && e.Name == defaultEndpoint && r.Settled:
		return statusReady
	case e.Live == 0:
		return statusCreating
	}
	return statusUpdating
}

func (c *Cloud) updateAgentRuntimeEndpoint(k *call) (any, error) {
	body, err := endpointRequest(k, updateEndpointShape())
	if err != nil {
		return nil, err
	}
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	r, e, err := c.endpointOf(k)
	if err != nil {
		return nil, err
	}
	if e.Name == defaultEndpoint {
		// It follows the newest version by itself and can't be pinned.
		return nil, conflict("The DEFAULT endpoint can't be updated")
	}
	token := stringOf(body, "clientToken")
	t, ok := e.Moves[token]
	again, err := repeated(t, ok && token != "", k.body, c.now())
	if err != nil {
		return nil, err
	}
	if again {
		return accepted(r.endpointItem(e, false)), nil
	}
	if r.Deleted != nil || e.Deleted != nil || e.Live != e.Target && e.Failure == "" {
		return nil, conflict("Endpoint '%s' is in %s status and can't be changed now", e.Name, r.endpointStatus(e))
	}
	if stringOf(body, "agentRuntimeVersion") != "" {
		if e.Target, err = c.targetVersion(r, body); err != nil {
			return nil, err
		}
	}
	if description := stringOf(body, "description"); description != "" {
		e.Description = description
	}
	e.Changed, e.Failure, e.stuck = c.now().UTC(), "", stuckBy(k.hit)
	e.Moves = keepToken(e.Moves, token, tokenRecord{Body: hashBody(k.body), At: e.Changed})
	return accepted(r.endpointItem(e, false)), c.store.put(r.key(), r)
}

// endpointOf finds the endpoint that a path names, asking whether the caller
// may. The caller holds c.agentcore.mu.
func (c *Cloud) endpointOf(k *call) (*runtimeRecord, *endpointRecord, error) {
	if err := c.mayRuntime(k, nil); err != nil {
		return nil, nil, err
	}
	if err := c.may(k, runtimeARN(k.account, k.region, k.params[0])+"/runtime-endpoint/"+k.params[1], nil); err != nil {
		return nil, nil, err
	}
	r, err := c.runtime(k.account, k.region, k.params[0])
	if err != nil {
		return nil, nil, err
	}
	e, err := r.endpoint(k.params[1])
	return r, e, err
}

// endpointItem is an endpoint in answers; whole has the members of Get and
// List.
func (r *runtimeRecord) endpointItem(e *endpointRecord, whole bool) map[string]any {
	item := map[string]any{"agentRuntimeArn": r.arn(), "agentRuntimeEndpointArn": r.endpointARN(e.Name),
		"status": r.endpointStatus(e), "createdAt": coreTime(e.Created), "lastUpdatedAt": coreTime(e.Changed),
		"targetVersion": strconv.Itoa(e.Target)}
	if e.Live != 0 {
		item["liveVersion"] = strconv.Itoa(e.Live)
	}
	if whole {
		item["name"], item["id"] = e.Name, e.Name
		if e.Description != "" {
			item["description"] = e.Description
		}
		if e.Failure != "" {
			item["failureReason"] = e.Failure
		}
	}
	return item
}

func (c *Cloud) getAgentRuntimeEndpoint(k *call) (any, error) {
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	r, e, err := c.endpointOf(k)
	if err != nil {
		return nil, err
	}
	return r.endpointItem(e, true), nil
}

func (c *Cloud) listAgentRuntimeEndpoints(k *call) (any, error) {
	if err := c.mayRuntime(k, nil); err != nil {
		return nil, err
	}
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	r, err := c.runtime(k.account, k.region, k.params[0])
	if err != nil {
		return nil, err
	}
	names, next, err := page(k, sortedKeys(r.Endpoints), func(name string) string { return name })
	if err != nil {
		return nil, err
	}
	items := []map[string]any{}
	for _, name := range names {
		items = append(items, r.endpointItem(r.Endpoints[name], true))
	}
	return listing("runtimeEndpoints", items, next), nil
}

func (c *Cloud) deleteAgentRuntimeEndpoint(k *call) (any, error) {
	r, err := c.beginEndpointDeletion(k)
	if err != nil {
		return nil, err
	}
	name := k.params[1]
	c.stopSessions(func(s sessionKey) bool { return s.runtime == r.arn() && s.endpoint == name })
	return accepted(map[string]any{"agentRuntimeId": r.ID, "endpointName": name, "status": statusDeleting}), nil
}

func (c *Cloud) beginEndpointDeletion(k *call) (*runtimeRecord, error) {
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	r, e, err := c.endpointOf(k)
	if err != nil {
		return nil, err
	}
	if e.Name == defaultEndpoint {
		return nil, conflict("The DEFAULT endpoint can't be deleted")
	}
	if err := r.busy(); err != nil {
		return nil, err
	}
	if e.Deleted != nil {
		return nil, conflict("Endpoint '%s' is in %s status and can't be changed now", e.Name, statusDeleting)
	}
	now := c.now().UTC()
	e.Deleted = &now
	return r, c.store.put(r.key(), r)
}
