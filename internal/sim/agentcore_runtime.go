package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// maxVersions is the highest number that a version's pattern allows.
const maxVersions = 99999

func (c *Cloud) createAgentRuntime(k *call) (any, error) {
	body, err := k.object()
	if err != nil {
		return nil, err
	}
	if _, ok := body["metadataConfiguration"]; ok {
		return nil, invalidField("metadataConfiguration", "metadataConfiguration is not supported when a runtime is created: new runtimes are MMDSv2-enabled")
	}
	if err := checkConfiguration(body, createShape()); err != nil {
		return nil, err
	}
	name, token := stringOf(body, "agentRuntimeName"), stringOf(body, "clientToken")
	if err := c.mayCreate(k, runtimeARN(k.account, k.region, "*"), configurationKeys(body)); err != nil {
		return nil, err
	}
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	if r, err := c.createdBefore(k, token); r != nil || err != nil {
		return r, err
	}
	if err := c.roomFor(k, name); err != nil {
		return nil, err
	}
	digest, err := c.acceptArtifact(k, runtimeARN(k.account, k.region, "*"), body)
	if err != nil {
		return nil, err
	}
	now := c.now().UTC()
	r := &runtimeRecord{ID: newRuntimeID(name), Name: name, Account: k.account, Region: k.region, Created: now, Latest: 1,
		Endpoints: map[string]*endpointRecord{defaultEndpoint: {Name: defaultEndpoint, Created: now, Changed: now, Target: 1}},
		Tokens:    keepToken(nil, token, tokenRecord{Body: hashBody(k.body), Version: 1, At: now})}
	// Runtimes created since 2026-02-15 have it by themselves (facts 1.5).
	body["metadataConfiguration"] = json.RawMessage(`{"requireMMDSV2":true}`)
	v := &versionRecord{Number: 1, Accepted: now, Document: configuration(body), Digest: digest, stuck: stuckBy(k.hit)}
	if err := c.saveVersion(r, v); err != nil {
		return nil, err
	}
	k.resource = r.arn()
	return accepted(c.changed(r, v)), nil
}

// createdBefore answers a repeated creation.
func (c *Cloud) createdBefore(k *call, token string) (any, error) {
	if token == "" {
		return nil, nil
	}
	all, err := c.allRuntimes(k)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		t, ok := r.Tokens[token]
		if again, err := repeated(t, ok && t.Version == 1, k.body, c.now()); err != nil || !again {
			if err != nil {
				return nil, err
			}
			continue
		}
		v, err := c.version(r, 1)
		if err != nil {
			return nil, err
		}
		return accepted(c.changed(r, v)), nil
	}
	return nil, nil
}

// roomFor refuses a name that is taken, and a runtime too many.
func (c *Cloud) roomFor(k *call, name string) error {
	all, err := c.allRuntimes(k)
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Name == name {
			return conflict("An agent with the specified name already exists")
		}
	}
	if most := c.agentcore.quotas.runtimesPerRegion(); len(all) >= most {
		return quotaExceeded("This account has %d agents, the most that it may have", most)
	}
	return nil
}

// allRuntimes of the caller's account and region.
func (c *Cloud) allRuntimes(k *call) ([]*runtimeRecord, error) {
	var all []*runtimeRecord
	prefix := runtimePrefix(k.account, k.region)
	for _, key := range c.store.keys(prefix) {
		r, err := c.runtime(k.account, k.region, strings.TrimPrefix(key, prefix))
		if f := asFault(err); f != nil && f.Status == http.StatusNotFound {
			continue // deleted by now
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// saveVersion writes the version first: it counts once the runtime names it.
func (c *Cloud) saveVersion(r *runtimeRecord, v *versionRecord) error {
	if err := c.store.put(versionKey(r, v.Number), v); err != nil {
		return err
	}
	return c.store.put(r.key(), r)
}

func accepted(body any) *reply { return &reply{status: http.StatusAccepted, body: body} }

// changed is the answer of Create and Update.
func (c *Cloud) changed(r *runtimeRecord, v *versionRecord) map[string]any {
	out := map[string]any{
		"agentRuntimeArn": r.arn(), "agentRuntimeId": r.ID, "agentRuntimeVersion": strconv.Itoa(v.Number),
		"createdAt": coreTime(r.Created), "status": r.status(v), "workloadIdentityDetails": r.workloadIdentity(),
	}
	if v.Number > 1 {
		out["lastUpdatedAt"] = coreTime(v.Accepted)
	}
	return out
}

func (r *runtimeRecord) workloadIdentity() map[string]string {
	return map[string]string{"workloadIdentityArn": fmt.Sprintf(
		"arn:aws:bedrock-agentcore:%s:%s:workload-identity-directory/default/workload-identity/%s", r.Region, r.Account, r.ID)}
}

func (c *Cloud) updateAgentRuntime(k *call) (any, error) {
	body, err := k.object()
	if err != nil {
		return nil, err
	}
	if _, ok := body["agentRuntimeName"]; ok {
		return nil, invalidField("agentRuntimeName", "'agentRuntimeName' can't be changed")
	}
	if err := checkConfiguration(body, updateShape()); err != nil {
		return nil, err
	}
	if m := stringsOf(body, "metadataConfiguration"); m != nil && string(m["requireMMDSV2"]) != "true" {
		return nil, invalidField("metadataConfiguration.requireMMDSV2", "requireMMDSV2 can't be set to false")
	}
	if err := c.mayRuntime(k, configurationKeys(body)); err != nil {
		return nil, err
	}
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	r, err := c.runtime(k.account, k.region, k.params[0])
	if err != nil {
		return nil, err
	}
	token := stringOf(body, "clientToken")
	t, ok := r.Tokens[token]
	if again, err := repeated(t, ok && token != "", k.body, c.now()); err != nil {
		return nil, err
	} else if again {
		v, err := c.version(r, t.Version)
		if err != nil {
			return nil, err
		}
		return accepted(c.changed(r, v)), nil
	}
	if err := r.busy(); err != nil {
		return nil, err
	}
	return c.makeVersion(k, r, body, token)
}

// makeVersion replaces the whole configuration: what the request leaves out is
// gone, platformVersion alone is kept. Assumption: metadataConfiguration is
// cleared like the rest, and invoking the version is then refused; AWS does
// not say, and this is the reading that shows who relies on the other.
func (c *Cloud) makeVersion(k *call, r *runtimeRecord, body document, token string) (any, error) {
	if r.Latest >= maxVersions {
		return nil, quotaExceeded("The runtime has no version numbers left")
	}
	if most := c.agentcore.quotas.versionsPerRuntime(); len(c.versions(r)) >= most {
		return nil, quotaExceeded("Agent '%s' has %d versions, the most that it may have", r.ID, most)
	}
	digest, err := c.acceptArtifact(k, r.arn(), body)
	if err != nil {
		return nil, err
	}
	old, err := c.version(r, r.Latest)
	if err != nil {
		return nil, err
	}
	now := c.now().UTC()
	v := &versionRecord{Number: r.Latest + 1, Accepted: now, Document: configuration(body), Digest: digest, stuck: stuckBy(k.hit)}
	if platform, ok := old.Document["platformVersion"]; ok && v.Document["platformVersion"] == nil {
		v.Document["platformVersion"] = platform
	}
	r.Latest, r.Settled = v.Number, false
	r.Tokens = keepToken(r.Tokens, token, tokenRecord{Body: hashBody(k.body), Version: v.Number, At: now})
	e := r.Endpoints[defaultEndpoint]
	e.Target, e.Changed, e.Failure = v.Number, now, ""
	if err := c.saveVersion(r, v); err != nil {
		return nil, err
	}
	return accepted(c.changed(r, v)), nil
}

// mayRuntime checks the id of the path and asks whether the caller may.
func (c *Cloud) mayRuntime(k *call, more keys) error {
	v := &check{}
	runtimeIDShape()(v, "agentRuntimeId", rawOf(k.params[0]))
	if err := v.err(); err != nil {
		return err
	}
	return c.may(k, runtimeARN(k.account, k.region, k.params[0]), more)
}

func (c *Cloud) getAgentRuntime(k *call) (any, error) {
	if err := c.mayRuntime(k, nil); err != nil {
		return nil, err
	}
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	r, err := c.runtime(k.account, k.region, k.params[0])
	if err != nil {
		return nil, err
	}
	number := r.Latest
	if given := k.URL.Query().Get("version"); given != "" {
		if number, err = parseVersion("agentRuntimeVersion", given); err != nil {
			return nil, err
		}
	}
	if number > r.Latest {
		return nil, noVersion(r.ID, number)
	}
	v, err := c.version(r, number)
	if err != nil {
		return nil, err
	}
	return r.snapshot(v), nil
}

// snapshot is Get's answer: the version's whole configuration, environment
// variables included, and what AgentCore adds.
func (r *runtimeRecord) snapshot(v *versionRecord) document {
	d := document{}
	for name, raw := range v.Document {
		d[name] = raw
	}
	added := map[string]any{
		"agentRuntimeArn": r.arn(), "agentRuntimeId": r.ID, "agentRuntimeName": r.Name,
		"agentRuntimeVersion": strconv.Itoa(v.Number), "createdAt": coreTime(r.Created),
		"lastUpdatedAt": coreTime(v.Accepted), "status": r.status(v), "workloadIdentityDetails": r.workloadIdentity(),
	}
	if v.Failure != "" {
		added["failureReason"] = v.Failure
	}
	for name, value := range added {
		d[name] = rawOf(value)
	}
	return d
}

func (c *Cloud) listAgentRuntimes(k *call) (any, error) {
	if err := c.may(k, "*", nil); err != nil {
		return nil, err
	}
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	all, err := c.allRuntimes(k)
	if err != nil {
		return nil, err
	}
	all, next, err := page(k, all, func(r *runtimeRecord) string { return r.ID })
	if err != nil {
		return nil, err
	}
	items := []map[string]any{}
	for _, r := range all {
		v, err := c.version(r, r.Latest)
		if err != nil {
			return nil, err
		}
		items = append(items, r.item(v))
	}
	return listing("agentRuntimes", items, next), nil
}

func (r *runtimeRecord) item(v *versionRecord) map[string]any {
	item := map[string]any{"agentRuntimeArn": r.arn(), "agentRuntimeId": r.ID, "agentRuntimeVersion": strconv.Itoa(v.Number),
		"agentRuntimeName": r.Name, "lastUpdatedAt": coreTime(v.Accepted), "status": r.status(v)}
	if description := stringOf(v.Document, "description"); description != "" {
		item["description"] = description
	}
	return item
}

func (c *Cloud) listAgentRuntimeVersions(k *call) (any, error) {
	if err := c.mayRuntime(k, nil); err != nil {
		return nil, err
	}
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	r, err := c.runtime(k.account, k.region, k.params[0])
	if err != nil {
		return nil, err
	}
	versions, next, err := page(k, c.versions(r), func(v *versionRecord) string { return fmt.Sprintf("%05d", v.Number) })
	if err != nil {
		return nil, err
	}
	items := []map[string]any{}
	for _, v := range versions {
		items = append(items, r.item(v))
	}
	return listing("agentRuntimes", items, next), nil
}

// deleteAgentRuntime deletes a runtime with its endpoints, or, with version,
// that one version alone, unless an endpoint needs it. Assumption: endpoints
// do not keep a runtime from being deleted.
func (c *Cloud) deleteAgentRuntime(k *call) (any, error) {
	if err := c.mayRuntime(k, nil); err != nil {
		return nil, err
	}
	c.agentcore.mu.Lock()
	r, err := c.runtime(k.account, k.region, k.params[0])
	if err == nil {
		err = r.busy()
	}
	if version := k.URL.Query().Get("version"); version != "" && err == nil {
		defer c.agentcore.mu.Unlock()
		return c.deleteVersion(r, version)
	}
	if err == nil {
		now := c.now().UTC()
		r.Deleted = &now
		err = c.store.put(r.key(), r)
	}
	c.agentcore.mu.Unlock()
	if err != nil {
		return nil, err
	}
	c.stopSessions(func(s sessionKey) bool { return s.runtime == r.arn() })
	return accepted(map[string]any{"agentRuntimeId": r.ID, "status": statusDeleting}), nil
}

func (c *Cloud) deleteVersion(r *runtimeRecord, version string) (any, error) {
	number, err := parseVersion("version", version)
	if err != nil {
		return nil, err
	}
	if number > r.Latest {
		return nil, noVersion(r.ID, number)
	}
	if _, err := c.version(r, number); err != nil {
		return nil, err
	}
	for _, e := range r.Endpoints {
		if e.Live == number || e.Target == number {
			return nil, conflict("Version '%d' of agent '%s' is used by endpoint '%s'", number, r.ID, e.Name)
		}
	}
	if number == r.Latest {
		return nil, conflict("Version '%d' is the newest version of agent '%s'", number, r.ID)
	}
	if err := c.store.delete(versionKey(r, number)); err != nil {
		return nil, err
	}
	return accepted(map[string]any{"agentRuntimeId": r.ID, "agentRuntimeVersion": version, "status": statusDeleting}), nil
}
