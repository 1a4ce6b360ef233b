package sim

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
)

// blobMounting is the one account setting that is modelled: whether layers may
// be mounted across the repositories of a registry (the user guide's "Blob
// mounting"). It is off until it is turned on.
const blobMounting = "BLOB_MOUNTING"

func settingKey(g registryID, name string) string {
	return "ecr/setting/" + g.account + "/" + g.region + "/" + name
}

// setting is the value of an account's setting in a region.
func (c *Cloud) setting(g registryID, name string) string {
	value := "DISABLED"
	c.store.get(settingKey(g, name), &value)
	return value
}

type settingInput struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (in settingInput) check() error {
	switch in.Name {
	case blobMounting:
		return nil
	case "BASIC_SCAN_TYPE_VERSION", "REGISTRY_POLICY_SCOPE":
		return ecrInvalid("the local cloud does not implement the account setting %s", in.Name)
	}
	return ecrInvalid("Invalid parameter at 'name' failed to satisfy constraint: 'must be one of BASIC_SCAN_TYPE_VERSION, REGISTRY_POLICY_SCOPE, BLOB_MOUNTING'")
}

// targetSetting begins both operations: settings have no ARN of their own.
func (c *Cloud) targetSetting(k *call) (settingInput, registryID, error) {
	var in settingInput
	if err := k.decode(&in); err != nil {
		return in, registryID{}, err
	}
	if err := c.allowed(k.asker(), "ecr:"+k.op.name, "*", nil); err != nil {
		return in, registryID{}, err
	}
	return in, registryID{k.account, k.region}, in.check()
}

func (c *Cloud) getAccountSetting(k *call) (any, error) {
	in, g, err := c.targetSetting(k)
	if err != nil {
		return nil, err
	}
	return map[string]any{"name": in.Name, "value": c.setting(g, in.Name)}, nil
}

func (c *Cloud) putAccountSetting(k *call) (any, error) {
	in, g, err := c.targetSetting(k)
	if err != nil {
		return nil, err
	}
	if in.Value != "ENABLED" && in.Value != "DISABLED" {
		return nil, faultf(http.StatusBadRequest, "ValidationException", "The value of %s is ENABLED or DISABLED, not '%s'", in.Name, in.Value)
	}
	if err := c.store.put(settingKey(g, in.Name), in.Value); err != nil {
		return nil, err
	}
	return map[string]any{"name": in.Name, "value": in.Value}, nil
}

// mountSource is the repository that layers may be mounted from, or nil.
func (c *Cloud) mountSource(x *exchange, from string) *repository {
	if c.setting(x.registry, blobMounting) != "ENABLED" || checkRepositoryName(from) != nil ||
		c.mayUseRepository(x.asker(), x.registry, "GetDownloadUrlForLayer", from, nil) != nil {
		return nil
	}
	source, err := c.loadRepository(x.registry, from)
	if err != nil {
		return nil
	}
	return source
}

// mount puts a layer of another repository of the registry into r, where the
// account has that turned on and the caller may read it there. If not, the
// layer has to be uploaded: that is no error.
func (c *Cloud) mount(x *exchange, r *repository, digest, from string) (bool, error) {
	source := c.mountSource(x, from)
	if source == nil || !digestPattern.MatchString(digest) {
		return false, nil
	}
	target := c.blobPath(r, digest)
	if err := c.disk.before("link", target); err != nil {
		return false, err
	}
	err := os.Link(c.blobPath(source, digest), target)
	switch {
	case errors.Is(err, fs.ErrExist):
		return true, nil
	case err != nil:
		return false, nil //nolint:nilerr // it is not there, or this file system has no links: it is uploaded
	}
	return true, c.disk.syncDir(filepath.Dir(target))
}
