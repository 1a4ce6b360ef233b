package judge

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/slipway-cd/slipway/internal/needs"
)

// client is a program that pushes to and pulls from registries.
type client struct {
	name    string // of the program, and of the part
	version []string
	env     func(dir string) map[string]string
	steps   []step
	corrupt string // what it says of a blob with the wrong content
}

// step is one command. In its words, {host} is the registry, {src}, {dst} and
// {fixed} are repositories (tags of the last are immutable), {none} is no
// repository, {one} and {index} are digests of images in {src}.
type step struct {
	args  string
	stdin string
	says  string // has to be in what it prints
	fails bool
}

const (
	right = "{password}"
	wrong = "wrong"
)

// What ECR says, and its users see.
const (
	saysImmutable = "already exists in the 'judge/fixed' repository and cannot be overwritten because the tag is immutable"
	saysNoSuch    = "The repository with name 'judge/none' does not exist in the registry with id '111122223333'"
)

func clients() []client {
	return []client{crane(), skopeo(), oras(), docker()}
}

func crane() client {
	return client{name: "crane", version: []string{"version"}, corrupt: "error verifying sha256 checksum", steps: []step{
		{args: "auth login -u AWS --password-stdin {host}", stdin: right, says: "logged in"},
		{args: "pull {src}:one one.tar"},
		{args: "push one.tar {src}:pushed", says: "{src}@sha256:"},
		{args: "validate --remote {src}:pushed", says: "PASS"},
		{args: "copy {src}:one {dst}:one"},
		{args: "digest {dst}:one", says: "{one}"},
		{args: "copy {src}:index {dst}:index"},
		{args: "digest {dst}:index", says: "{index}"},
		{args: "validate --remote {dst}:index", says: "PASS"},
		{args: "digest --platform linux/arm64 {dst}:index", says: "sha256:"},
		{args: "index append -m {src}:one -t {src}:list", says: "{src}@sha256:"},
		{args: "tag {src}:pushed again"},
		{args: "ls {src}", says: "again\nindex\nlist\none\npushed\n"},
		{args: "delete {src}:again"},
		{args: "ls {src}", says: "\none\n"},
		{args: "manifest {src}:again", fails: true, says: "MANIFEST_UNKNOWN"},
		{args: "delete {src}@{one}", fails: true, says: "Requested image referenced by manifest list"},
		{args: "copy {src}:one {fixed}:one"},
		{args: "copy {src}:index {fixed}:one", fails: true, says: "TAG_INVALID: The image tag 'one' " + saysImmutable},
		{args: "copy {src}:one {none}:one", fails: true, says: "NAME_UNKNOWN: " + saysNoSuch},
		{args: "auth login -u AWS --password-stdin {host}", stdin: wrong}, // it does not ask the registry
		{args: "ls {src}", fails: true, says: "UNAUTHORIZED: Not Authorized"},
	}}
}

func skopeo() client {
	const from, to, both = "--src-tls-verify=false ", "--dest-tls-verify=false ", "--src-tls-verify=false --dest-tls-verify=false "
	return client{name: "skopeo", version: []string{"--version"}, corrupt: "digest", env: func(dir string) map[string]string {
		return map[string]string{"REGISTRY_AUTH_FILE": dir + "/auth.json"}
	}, steps: []step{
		{args: "login --tls-verify=false -u AWS --password-stdin {host}", stdin: right, says: "Login Succeeded"},
		{args: "copy " + from + "docker://{src}:one oci:pulled:one"},
		{args: "copy " + to + "oci:pulled:one docker://{src}:pushed"},
		{args: "copy " + both + "docker://{src}:one docker://{dst}:one"},
		{args: "inspect --tls-verify=false docker://{dst}:one", says: `"Digest": "{one}"`},
		{args: "copy --all " + both + "docker://{src}:index docker://{dst}:index", says: "Copying 2 of 2 images in list"},
		{args: "inspect --raw --tls-verify=false docker://{dst}:index", says: `"architecture":"arm64"`},
		{args: "list-tags --tls-verify=false docker://{src}", says: `"pushed"`},
		{args: "delete --tls-verify=false docker://{src}:pushed"},
		{args: "inspect --tls-verify=false docker://{src}:pushed", fails: true, says: "manifest unknown"},
		{args: "copy " + to + "oci:pulled:one docker://{fixed}:one"},
		{args: "copy " + both + "docker://{src}:index docker://{fixed}:one --all", fails: true, says: "tag invalid: The image tag 'one' " + saysImmutable},
		{args: "copy " + to + "oci:pulled:one docker://{none}:one", fails: true, says: "name unknown: " + saysNoSuch},
		{args: "login --tls-verify=false -u AWS --password-stdin {host}", stdin: wrong, fails: true, says: "invalid username/password"},
		{args: "logout {host}", says: "Removed login credentials"},
		{args: "inspect --tls-verify=false docker://{src}:one", fails: true, says: "unauthorized: Not Authorized"},
	}}
}

func oras() client {
	return client{name: "oras", version: []string{"version"}, corrupt: "mismatch", steps: []step{
		{args: "login --plain-http -u AWS --password-stdin {host}", stdin: right, says: "Login Succeeded"},
		{args: "push --plain-http {src}:pushed --artifact-type application/vnd.example.thing sbom.json:application/json", says: "Digest: sha256:"},
		{args: "pull --plain-http -o pulled {src}:pushed", says: "Pulled [registry]"},
		{args: "attach --plain-http {src}:one --artifact-type application/spdx+json sbom.json:application/json", says: "Attached to [registry] {src}@{one}"},
		{args: "discover --plain-http {src}:one", says: "application/spdx+json"},
		{args: "copy -r --from-plain-http --to-plain-http {src}:one {dst}:one", says: "Digest: {one}"},
		{args: "discover --plain-http {dst}@{one}", says: "application/spdx+json"},
		{args: "copy -r --from-plain-http --to-plain-http {src}:index {dst}:index", says: "Digest: {index}"},
		{args: "manifest fetch --plain-http --platform linux/arm64 --descriptor {dst}:index", says: `"digest":"sha256:`},
		{args: "manifest index create --plain-http {src}:list one", says: "Digest: sha256:"},
		{args: "tag --plain-http {src}:pushed again", says: "Tagged again"},
		{args: "repo tags --plain-http {src}", says: "again\nindex\nlist\none\npushed\n"},
		{args: "manifest delete --plain-http -f {src}:pushed", says: "Deleted [registry]"},
		{args: "resolve --plain-http {src}:again", fails: true, says: "not found"}, // it deletes the image a tag stands for
		{args: "push --plain-http {fixed}:one sbom.json", says: "Digest: sha256:"},
		{args: "push --plain-http {fixed}:one --artifact-type application/vnd.example.other sbom.json", fails: true, says: "tag invalid: The image tag 'one' " + saysImmutable},
		{args: "push --plain-http {none}:one sbom.json", fails: true, says: "name unknown: " + saysNoSuch},
		{args: "login --plain-http -u AWS --password-stdin {host}", stdin: wrong, fails: true, says: "unauthorized: Not Authorized"},
		{args: "logout {host}"},
		{args: "resolve --plain-http {src}:one", fails: true, says: "basic credential not found"},
	}}
}

func docker() client {
	return client{name: "docker", version: []string{"version", "--format", "client {{.Client.Version}}, server {{.Server.Version}}"}, corrupt: "verification failed",
		env: func(string) map[string]string { return map[string]string{"DOCKER_HOST": os.Getenv("DOCKER_HOST")} }, steps: []step{
			{args: "login -u AWS --password-stdin {host}", stdin: right, says: "Login Succeeded"},
			{args: "pull {src}:one", says: "Digest: {one}"},
			{args: "tag {src}:one {src}:pushed"},
			{args: "push {src}:pushed", says: "pushed: digest: sha256:"},
			{args: "tag {src}:one {dst}:one"},
			{args: "push {dst}:one", says: "one: digest: sha256:"},
			{args: "pull {src}:index", says: "Digest: {index}"},
			{args: "manifest create --insecure {dst}:list {dst}:one", says: "Created manifest list"},
			{args: "manifest push --insecure {dst}:list", says: "sha256:"},
			{args: "pull {src}:none", fails: true, says: "manifest unknown: Requested image not found"},
			{args: "tag {src}:one {fixed}:one"},
			{args: "push {fixed}:one", says: "one: digest: sha256:"},
			{args: "push {fixed}:one", fails: true, says: "tag invalid: The image tag 'one' " + saysImmutable}, // ECR refuses an equal image too
			{args: "tag {src}:one {none}:one"},
			{args: "push {none}:one", fails: true, says: "name unknown: " + saysNoSuch},
			{args: "login -u AWS --password-stdin {host}", stdin: wrong, fails: true, says: "401 Unauthorized"},
			{args: "logout {host}", says: "Removing login credentials"},
			{args: "pull {dst}:one", fails: true, says: "no basic auth credentials"},
		}}
}

// TestClients: people's own programs, by ECR's login, doing what people do with
// a registry and what a registry must refuse.
func TestClients(t *testing.T) {
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			c.needed(t)
			c.judge(newCloud(t, nil)).holds(t, c.name)
		})
	}
}

func (c client) needed(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath(c.name)
	if err == nil && c.name == "docker" {
		err = exec.Command(path, "version").Run() // the daemon has to answer too
	}
	needs.Part(t, c.name, err == nil)
}

// judge runs every step, whatever became of those before.
func (c client) judge(cloud *cloud) verdict {
	t := cloud.t
	t.Helper()
	p := program{dir: t.TempDir(), env: map[string]string{}}
	if c.env != nil {
		p.env = c.env(p.dir)
	}
	p.version(t, c.name, c.version...)
	words := cloud.stock(p.dir)
	if c.name == "docker" {
		t.Cleanup(func() { forget(t, cloud.host) })
	}
	var v verdict
	for _, s := range c.steps {
		p.in = words.Replace(s.stdin)
		args := strings.Fields(words.Replace(s.args))
		out, messages, err := p.run(t, c.name, args...)
		v.note(c.name+" "+strings.Join(args, " "), s.differs(out+messages, words.Replace(s.says), err))
	}
	return v
}

// differs says what of a step is not as it should be.
func (s step) differs(printed, says string, err error) error {
	switch {
	case s.fails && err == nil:
		return fmt.Errorf("succeeded: %s", printed)
	case !s.fails && err != nil:
		return fmt.Errorf("%w: %s", err, printed)
	case !strings.Contains(printed, says):
		return fmt.Errorf("did not say %q: %s", says, printed)
	}
	return nil
}

// stock fills the cloud's repositories and returns the words of the steps.
func (c *cloud) stock(dir string) *strings.Replacer {
	c.t.Helper()
	for _, name := range []string{"judge/src", "judge/dst"} {
		c.repository(name, "")
	}
	c.repository("judge/fixed", types.ImageTagMutabilityImmutable)
	if err := os.WriteFile(dir+"/sbom.json", []byte(`{"spdxVersion": "SPDX-2.3"}`), 0o600); err != nil {
		c.t.Fatal(err)
	}
	amd64, arm64 := imageOf(c.t, "amd64", "hello", []byte("amd64")), imageOf(c.t, "arm64", "hello", []byte("arm64"))
	one := c.push("judge/src:one", amd64)
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: amd64, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: arm64, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
	digest := c.pushIndex("judge/src:index", index)
	repository := func(name string) string { return c.host + "/judge/" + name }
	return strings.NewReplacer("{host}", c.host, "{src}", repository("src"), "{dst}", repository("dst"), "{fixed}", repository("fixed"),
		"{none}", repository("none"), "{one}", one, "{index}", digest, "{password}", c.password())
}

// forget removes from docker's daemon what the judge has put there.
func forget(t *testing.T, host string) {
	out, err := exec.Command("docker", "images", "--format", "{{.Repository}}:{{.Tag}}").Output()
	if err != nil {
		t.Error(err)
	}
	for _, reference := range lines(string(out)) {
		if strings.HasPrefix(reference, host+"/") {
			if out, err := exec.Command("docker", "rmi", reference).CombinedOutput(); err != nil {
				t.Errorf("docker rmi %s: %v %s", reference, err, out)
			}
		}
	}
}
