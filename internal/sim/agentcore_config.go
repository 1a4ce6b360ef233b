package sim

import (
	"encoding/json"
	"fmt"
	"strings"
)

// maxImage is what AgentCore takes of an image: 2 GB, not adjustable.
const maxImage = 2 << 30

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
		_ = exact(raw, &l) // checked on its way in
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
// the image. The runtime is an ARN, whose id is * before it has one.
func (c *Cloud) acceptArtifact(k *call, runtime string, body document) (digest string, err error) {
	role, uri := stringOf(body, "roleArn"), imageURI(body)
	if err := c.mayPass(k, role, runtime); err != nil {
		return "", err
	}
	if err := c.passable(role, agentcoreService, runtime); err != nil {
		return "", withReason(err)
	}
	if err := c.mayPull(c.execution(k.region, role, &k.decisions), uri); err != nil {
		f := invalidField("agentRuntimeArtifact.containerConfiguration.containerUri",
			"Access denied while validating ECR URI '%s'. The execution role requires permissions for ecr:GetAuthorizationToken, ecr:BatchGetImage, and ecr:GetDownloadUrlForLayer operations.", uri)
		f.why = err.Error()
		return "", f
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
