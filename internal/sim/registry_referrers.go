package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
)

// referrer is a descriptor of an image that refers to another.
type referrer struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

// listReferrers answers an index of what has the digest as its subject; the
// subject itself need not be there (OCI distribution: listing referrers).
func (c *Cloud) listReferrers(x *exchange) error {
	r, err := c.repositoryOf(x)
	if err != nil {
		return err
	}
	subject, only := x.route.reference, x.URL.Query().Get("artifactType")
	if !digestPattern.MatchString(subject) {
		return faultf(http.StatusBadRequest, "DIGEST_INVALID", "'%s' is not a sha256 digest", subject)
	}
	if only != "" {
		x.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	body, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": typeOCIIndex, "manifests": r.referrers(subject, only)})
	if err != nil {
		return fmt.Errorf("encoding the referrers of %s: %w", subject, err)
	}
	return x.reply(http.StatusOK, typeOCIIndex, body)
}

// referrers lists what refers to subject, of one artifact type if only says so.
func (r *repository) referrers(subject, only string) []referrer {
	found := []referrer{}
	for digest, info := range r.Images {
		if info.Subject != subject || only != "" && info.ArtifactMediaType != only {
			continue
		}
		found = append(found, referrer{MediaType: info.MediaType, Digest: digest, Size: info.ManifestSize,
			ArtifactType: info.ArtifactMediaType, Annotations: info.Annotations})
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Digest < found[j].Digest })
	return found
}
