package sim

import (
	"os"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestFindImage(t *testing.T) {
	h := newHub(t, "team/agent")
	arm, amd := platformImage(t, "arm64"), platformImage(t, "amd64")
	attestation := platformImage(t, "unknown")
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}},
		mutate.IndexAddendum{Add: amd, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
	if err := remote.WriteIndex(h.tag("all"), index, h.auth); err != nil {
		t.Fatal(err)
	}
	for tag, img := range map[string]v1.Image{"arm": arm, "amd": amd, "latest": arm} {
		if err := remote.Write(h.tag(tag), img, h.auth); err != nil {
			t.Fatal(err)
		}
	}
	armDigest, amdDigest := must[v1.Hash](t)(arm.Digest()).String(), must[v1.Hash](t)(amd.Digest()).String()
	base := "111122223333.dkr.ecr.us-east-1.amazonaws.com/team/agent"
	for _, test := range []struct{ uri, arches, digest, fault string }{
		{base + ":arm", "arm64", armDigest, ""},
		{base, "arm64", armDigest, ""},
		{base + "@" + armDigest, "arm64", armDigest, ""},
		{base + ":arm@" + armDigest, "arm64", armDigest, ""},
		{base + ":all", "arm64", armDigest, ""},
		{base + ":all", "amd64 arm64", amdDigest, ""},
		{base + ":all", "arm64 amd64", armDigest, ""},
		{base + ":all", "s390x", "", "Architecture incompatible for uri '" + base + ":all'. Supported architectures: [s390x]"},
		{base + ":amd", "arm64", "", "Architecture incompatible for uri '" + base + ":amd'. Supported architectures: [arm64]"},
		{base + ":arm@" + amdDigest, "arm64", "", "does not exist"},
		{base + ":none", "arm64", "", "does not exist"},
		{base + "/other:arm", "arm64", "", "does not exist"},
		{strings.Replace(base, "us-east-1", "eu-west-1", 1), "arm64", "", "does not exist"},
		{"docker.io/library/alpine", "arm64", "", "not an image in Amazon ECR"},
		{"111122223333.dkr.ecr.us-east-1.amazonaws.com/../x:y", "arm64", "", "not an image in Amazon ECR"},
		{"", "arm64", "", "not an image in Amazon ECR"},
	} {
		img, err := h.cloud.findImage(test.uri, strings.Fields(test.arches))
		if test.fault != "" {
			if f := asFault(err); f == nil || f.Code != "ValidationException" || !strings.Contains(f.Message, test.fault) {
				t.Errorf("%s for %s: %v, want %s", test.uri, test.arches, err, test.fault)
			}
			continue
		}
		if err != nil || img.digest != test.digest || digestOf(img.manifest) != test.digest || img.os != "linux" || len(img.layers) != 2 {
			t.Errorf("%s for %s: %+v, %v", test.uri, test.arches, img, err)
			continue
		}
		for _, l := range img.layers {
			if raw := must[[]byte](t)(os.ReadFile(l.path)); digestOf(raw) != l.digest || int64(len(raw)) != l.size {
				t.Errorf("layer %s of %s is not at %s", l.digest, test.uri, l.path)
			}
		}
	}
	if img := must[*image](t)(h.cloud.findImage(base+":arm", []string{"arm64"})); img.size != imageBytes(t, arm) {
		t.Errorf("size is %d, want %d", img.size, imageBytes(t, arm))
	}
}

func platformImage(t *testing.T, arch string) v1.Image {
	t.Helper()
	img := must[v1.Image](t)(random.Image(1000, 2))
	config := must[*v1.ConfigFile](t)(img.ConfigFile()).DeepCopy()
	config.OS, config.Architecture = "linux", arch
	return must[v1.Image](t)(mutate.ConfigFile(img, config))
}
