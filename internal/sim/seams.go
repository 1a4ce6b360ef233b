package sim

import "net/http"

// Placeholders until each service's file lands; the owner of a service deletes its lines here.

// --- identity (sts.go, iam.go) ---
func (c *Cloud) stsOperations() map[string]func(*call) (any, error) { return nil }
func (c *Cloud) iamOperations() map[string]func(*call) (any, error) { return nil }

// passable says whether service may assume the role: the role exists in account and its
// trust policy allows sts:AssumeRole to the service principal (bedrock-agentcore.amazonaws.com).
func (c *Cloud) passable(roleARN, service string) error { return nil }

// allowed says whether the principal may do action on resource. Permission policies are enforced
// in a later issue: this is the one seam for it.
func (c *Cloud) allowed(p principal, action, resource string) error { return nil }

// --- ecr.go, registry.go, ssm.go ---
type ecrState struct{}
type ssmState struct{}

func (c *Cloud) serveRegistry(w http.ResponseWriter, r *http.Request) {}
func (c *Cloud) resetRegistry() error                                 { return nil }
func (c *Cloud) ecrOperations() map[string]func(*call) (any, error)   { return nil }
func (c *Cloud) ssmOperations() map[string]func(*call) (any, error)   { return nil }

// image is what AgentCore needs of an image in the registry.
type image struct {
	digest   string // of the manifest that runs (index resolved)
	manifest []byte
	config   []byte
	os, arch string
	size     int64 // compressed: config and layers
	layers   []imageLayer
}
type imageLayer struct {
	digest, mediaType string
	size              int64
	path              string
} // path of the blob's file

// findImage resolves <account>.dkr.ecr.<region>.amazonaws.com/<repository>[:tag][@digest]; an index resolves
// to the child for one of arches (in that order of preference). It returns a *fault as AgentCore words it:
// ValidationException for an image that is not there or has no child for arches.
func (c *Cloud) findImage(uri string, arches []string) (*image, error) { return nil, nil }

// --- agentcore*.go, logs.go, sandbox/ ---
type coreState struct{}
type logsState struct{}

func (c *Cloud) closeAgents() error                                  { return nil }
func (c *Cloud) identifyRuntime(k *call) error                       { return nil }
func (c *Cloud) logsOperations() map[string]func(*call) (any, error) { return nil }

// appendLogs keeps what an agent printed as log events of a group and stream.
func (c *Cloud) appendLogs(account, region, group, stream string, lines []string) error { return nil }
