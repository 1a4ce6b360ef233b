package sim

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestReferrers(t *testing.T) {
	h := newHub(t, "team/agent")
	img := must[v1.Image](t)(random.Image(100, 1))
	if err := remote.Write(h.tag("v1"), img, h.auth); err != nil {
		t.Fatal(err)
	}
	subject := must[*v1.Descriptor](t)(remote.Head(h.tag("v1"), h.auth))
	var digests []string
	for _, kind := range []types.MediaType{"application/spdx+json", "application/vnd.example.record"} {
		artifact := mutate.ConfigMediaType(mutate.MediaType(must[v1.Image](t)(random.Image(10, 1)), types.OCIManifestSchema1), kind)
		artifact = mutate.Annotations(artifact, map[string]string{"kind": string(kind)}).(v1.Image)
		artifact = mutate.Subject(artifact, *subject).(v1.Image) // last: the other mutations drop it
		digest := must[v1.Hash](t)(artifact.Digest()).String()
		if err := remote.Write(h.ref("@"+digest), artifact, h.auth); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest)
	}
	base := h.tag("v1").Repository
	all := must[*v1.IndexManifest](t)(must[v1.ImageIndex](t)(remote.Referrers(base.Digest(subject.Digest.String()), h.auth)).IndexManifest())
	if len(all.Manifests) != 2 {
		t.Errorf("there are %d referrers, want 2", len(all.Manifests))
	}
	one := must[*v1.IndexManifest](t)(must[v1.ImageIndex](t)(remote.Referrers(base.Digest(subject.Digest.String()), h.auth,
		remote.WithFilter("artifactType", "application/spdx+json"))).IndexManifest())
	if len(one.Manifests) != 1 || one.Manifests[0].Digest.String() != digests[0] || one.Manifests[0].Annotations["kind"] != "application/spdx+json" {
		t.Errorf("the filtered referrers are %+v", one.Manifests)
	}
	// A client that got OCI-Subject makes no tag of its own for the list.
	if tags := must[[]string](t)(remote.List(base, h.auth)); len(tags) != 1 {
		t.Errorf("tags are %v", tags)
	}
	none := must[*v1.IndexManifest](t)(must[v1.ImageIndex](t)(remote.Referrers(base.Digest(digests[0]), h.auth)).IndexManifest())
	if len(none.Manifests) != 0 {
		t.Errorf("an artifact has %d referrers", len(none.Manifests))
	}
}
