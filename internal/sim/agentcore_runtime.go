package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// maxImage is what AgentCore takes of an image: 2 GB, not adjustable.
const maxImage = 2 << 30

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
	if err := checkConfiguration(body, createMembers()); err != nil {
		return nil, err
	}
	name, token := stringOf(body, "agentRuntimeName"), stringOf(body, "clientToken")
	if err := c.may(k, runtimeARN(k.account, k.region, "*")); err != nil {
		return nil, err
	}
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	if r, err := c.createdBefore(k, token); r != nil || err != nil {
		return r, err
	}
	if other, err := c.runtimeNamed(k, name); other != nil || err != nil {
		return nil, errorOr(err, conflict("An agent with the specified name already exists"))
	}
	digest, err := c.acceptArtifact(k, body)
	if err != nil {
		return nil, err
	}
	now := c.now().UTC()
	r := &runtimeRecord{ID: newRuntimeID(name), Name: name, Account: k.account, Region: k.region, Created: now, Latest: 1,
		Endpoints: map[string]*endpointRecord{defaultEndpoint: {Name: defaultEndpoint, Created: now, Changed: now, Target: 1}},
		Tokens:    keepToken(nil, token, tokenRecord{Body: hashBody(k.body), Version: 1, At: now})}
	// Runtimes created since 2026-02-15 have it by themselves (facts 1.5).
	body["metadataConfiguration"] = json.RawMessage(`{"requireMMDSV2":true}`)
	v := &versionRecord{Number: 1, Accepted: now, Document: configuration(body), Digest: digest}
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

func (c *Cloud) runtimeNamed(k *call, name string) (*runtimeRecord, error) {
	all, err := c.allRuntimes(k)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Name == name {
			return r, nil
		}
	}
	return nil, nil
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

// checkConfiguration judges a whole configuration, as Create and Update do.
func checkConfiguration(body document, m members) error {
	for name, raw := range body {
		if isNull(raw) {
			delete(body, name)
		}
	}
	v := &check{}
	m.check(v, "", body)
	for _, name := range responseMembers() {
		if _, ok := body[name]; ok {
			v.add(name, fmt.Sprintf("'%s' is set by AgentCore and can't be sent", name))
		}
	}
	if err := v.err(); err != nil {
		return err
	}
	return checkTogether(body)
}

// checkTogether judges what no member can say alone.
func checkTogether(body document) error {
	if _, ok := stringsOf(body, "agentRuntimeArtifact")["codeConfiguration"]; ok {
		return invalidField("agentRuntimeArtifact.codeConfiguration", "the local cloud does not run codeConfiguration: deploy a container")
	}
	network := stringsOf(body, "networkConfiguration")
	if _, instances := body["capacityProviderConfiguration"]; network == nil && !instances {
		// Optional in newer models, which know capacity providers; a microVM
		// needs it.
		return invalidField("networkConfiguration", "1 validation error detected: Value null at 'networkConfiguration' failed to satisfy constraint: Member must not be null")
	}
	vpc := stringsOf(network, "networkModeConfig")
	if stringOf(network, "networkMode") == "VPC" && vpc == nil {
		return invalidField("networkConfiguration.networkModeConfig", "networkModeConfig is required when networkMode is VPC")
	}
	if _, ok := vpc["requireServiceS3Endpoint"]; ok {
		return invalidField("networkConfiguration.networkModeConfig.requireServiceS3Endpoint",
			"requireServiceS3Endpoint is supported only when runtimes from before 2026-05-05 are updated")
	}
	idle, life := lifecycle(body)
	if idle > life {
		return invalidField("lifecycleConfiguration.idleRuntimeSessionTimeout", "idleRuntimeSessionTimeout (%d) must be less than or equal to maxLifetime (%d)", idle, life)
	}
	return nil
}

// stringsOf reads a member that is a structure; nil if it is absent.
func stringsOf(d document, name string) document {
	var m document
	_ = json.Unmarshal(d[name], &m) // absent or checked
	return m
}

// lifecycle reads the limits of sessions in seconds, or their defaults.
func lifecycle(d document) (idle, life int) {
	l := struct {
		Idle int `json:"idleRuntimeSessionTimeout"`
		Life int `json:"maxLifetime"`
	}{900, 28800}
	if raw, ok := d["lifecycleConfiguration"]; ok {
		_ = json.Unmarshal(raw, &l) // checked on its way in
	}
	return l.Idle, l.Life
}

// configuration is what a version keeps of a request: everything, members it
// has never heard of included (assumption: AWS keeps what a newer client
// sends), without what belongs to the request alone.
func configuration(body document) document {
	d := document{}
	for name, raw := range body {
		switch name {
		case "agentRuntimeName", "clientToken", "tags":
		default:
			d[name] = raw
		}
	}
	idle, life := lifecycle(d)
	limits := stringsOf(d, "lifecycleConfiguration")
	if limits == nil {
		limits = document{}
	}
	limits["idleRuntimeSessionTimeout"], limits["maxLifetime"] = rawOf(idle), rawOf(life)
	d["lifecycleConfiguration"] = rawOf(limits)
	return d
}

// acceptArtifact judges role and image as Create and Update do, and resolves
// the image.
func (c *Cloud) acceptArtifact(k *call, body document) (digest string, err error) {
	role, uri := stringOf(body, "roleArn"), imageURI(body)
	if err := c.allowed(k.principal, "iam:PassRole", role); err != nil {
		return "", err
	}
	if account := strings.Split(role, ":")[4]; account != k.account {
		return "", faultf(http.StatusForbidden, "AccessDeniedException", "Cross-account pass role is not allowed.")
	}
	if err := c.passableFrom(role, "bedrock-agentcore.amazonaws.com", runtimeARN(k.account, k.region, "*")); err != nil {
		return "", withReason(err)
	}
	// The execution role pulls the image, not the caller.
	puller := principal{arn: role, account: k.account, role: role[strings.LastIndexByte(role, '/')+1:]}
	for _, action := range []string{"ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"} {
		if err := c.allowed(puller, action, repositoryARN(uri)); err != nil {
			return "", invalidField("agentRuntimeArtifact.containerConfiguration.containerUri",
				"Access denied while validating ECR URI '%s'. The execution role requires permissions for ecr:GetAuthorizationToken, ecr:BatchGetImage, and ecr:GetDownloadUrlForLayer operations.", uri)
		}
	}
	allowed := arches(body)
	found, err := c.findImage(uri, allowed)
	if err != nil {
		return "", withReason(err)
	}
	if !contains(allowed, found.arch) {
		return "", invalidField("agentRuntimeArtifact.containerConfiguration.containerUri",
			"Architecture incompatible for uri '%s'. Supported architectures: [%s]", uri, strings.Join(allowed, ", "))
	}
	if found.size > maxImage {
		return "", invalidField("agentRuntimeArtifact.containerConfiguration.containerUri",
			"The image '%s' has %d bytes; at most %d are supported", uri, found.size, int64(maxImage))
	}
	return found.digest, nil
}

// withReason completes a ValidationException of another part of the cloud.
func withReason(err error) error {
	if f := asFault(err); f != nil && f.Fields == nil {
		f.Fields = map[string]any{"reason": "FieldValidationFailed"}
	}
	return err
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// repositoryARN of an image's name.
func repositoryARN(uri string) string {
	host, rest, _ := strings.Cut(uri, "/")
	repository, _, _ := strings.Cut(strings.SplitN(rest, "@", 2)[0], ":")
	parts := strings.Split(host, ".") // <account>.dkr.ecr.<region>.amazonaws.com
	if len(parts) < 4 {
		return "*" // ECR Public
	}
	return fmt.Sprintf("arn:aws:ecr:%s:%s:repository/%s", parts[3], parts[0], repository)
}

// changed is the answer of Create and Update.
func (c *Cloud) changed(r *runtimeRecord, v *versionRecord) map[string]any {
	out := map[string]any{
		"agentRuntimeArn": r.arn(), "agentRuntimeId": r.ID, "agentRuntimeVersion": fmt.Sprint(v.Number),
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
	if err := checkConfiguration(body, updateMembers()); err != nil {
		return nil, err
	}
	if m := stringsOf(body, "metadataConfiguration"); m != nil && string(m["requireMMDSV2"]) != "true" {
		return nil, invalidField("metadataConfiguration.requireMMDSV2", "requireMMDSV2 can't be set to false")
	}
	if err := c.mayRuntime(k); err != nil {
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
		return nil, faultf(http.StatusPaymentRequired, "ServiceQuotaExceededException", "The runtime has no version numbers left")
	}
	digest, err := c.acceptArtifact(k, body)
	if err != nil {
		return nil, err
	}
	old, err := c.version(r, r.Latest)
	if err != nil {
		return nil, err
	}
	now := c.now().UTC()
	v := &versionRecord{Number: r.Latest + 1, Accepted: now, Document: configuration(body), Digest: digest}
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
func (c *Cloud) mayRuntime(k *call) error {
	v := &check{}
	text(1, 111, patternRuntimeID)(v, "agentRuntimeId", rawOf(k.params[0]))
	if err := v.err(); err != nil {
		return err
	}
	return c.may(k, runtimeARN(k.account, k.region, k.params[0]))
}

func (c *Cloud) getAgentRuntime(k *call) (any, error) {
	if err := c.mayRuntime(k); err != nil {
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
		return nil, faultf(http.StatusNotFound, "ResourceNotFoundException", "Agent with ID '%s' and version '%d' was not found", r.ID, number)
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
		"agentRuntimeVersion": fmt.Sprint(v.Number), "createdAt": coreTime(r.Created),
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
	if err := c.may(k, "*"); err != nil {
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
	item := map[string]any{"agentRuntimeArn": r.arn(), "agentRuntimeId": r.ID, "agentRuntimeVersion": fmt.Sprint(v.Number),
		"agentRuntimeName": r.Name, "lastUpdatedAt": coreTime(v.Accepted), "status": r.status(v)}
	if description := stringOf(v.Document, "description"); description != "" {
		item["description"] = description
	}
	return item
}

func (c *Cloud) listAgentRuntimeVersions(k *call) (any, error) {
	if err := c.mayRuntime(k); err != nil {
		return nil, err
	}
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	r, err := c.runtime(k.account, k.region, k.params[0])
	if err != nil {
		return nil, err
	}
	versions, next, err := page(k, c.versions(r), func(v *versionRecord) string { return fmt.Sprint(v.Number) })
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
	if err := c.mayRuntime(k); err != nil {
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
