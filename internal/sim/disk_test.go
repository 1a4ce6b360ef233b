package sim

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// breaker stops the disk at one of its steps: for good, as a kill does, or
// once, as a disk that is full for a moment. A write that it stops leaves half
// of something behind.
type breaker struct {
	mu      sync.Mutex
	at      int // the step to stop at, from 1; 0 for none
	forever bool
	steps   []string
}

func (b *breaker) step(op, path string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.steps = append(b.steps, op)
	if n := len(b.steps); b.at == 0 || n < b.at || n > b.at && !b.forever {
		return nil
	}
	if op == "write" || op == "append" {
		if f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0); err == nil {
			_, _ = f.WriteString(`{"half`)
			_ = f.Close()
		}
	}
	return &fs.PathError{Op: op, Path: path, Err: syscall.ENOSPC}
}

// arm begins to count, and will stop at a step.
func (b *breaker) arm(at int, forever bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at, b.forever, b.steps = at, forever, nil
}

func (b *breaker) counted() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.steps
}

// world is a cloud with something of everything in it.
type world struct {
	*agents
	breaker *breaker
	ssm     *ssm.Client
	iam     *iam.Client
	runtime string // the id of the runtime that is there
	upload  string // where an upload goes on that has its first half
	layer   string // an upload by API with one part
	digest  string // of the image "one"
}

const (
	halfBlob  = "the first half of a blob, "
	layerBlob = "a blob by API"
)

func (w *world) blob() []byte { return []byte(halfBlob + "and the second") }

// openWorld opens the cloud in a directory. It logs in to the registry, unless
// there is a password from before.
func openWorld(t *testing.T, dir, password string) *world {
	t.Helper()
	b := &breaker{}
	c := &Cloud{Dir: dir, Settle: time.Nanosecond, disk: disk{step: b.step}, Sandbox: []string{os.Args[0], "sandbox-init"}}
	srv := serveCloud(t, c)
	config := adminConfig(t, srv, DefaultAccount)
	h := &hub{t: t, cloud: c, srv: srv, repository: agentRepository, ecr: ecr.NewFromConfig(config), password: password}
	if password == "" {
		h = hubOf(t, c, srv, agentRepository)
	}
	return &world{breaker: b, ssm: ssm.NewFromConfig(config), iam: iam.NewFromConfig(config),
		agents: &agents{hub: h, clock: &movedClock{}, client: bedrockagentcorecontrol.NewFromConfig(config),
			role: "arn:aws:iam::" + DefaultAccount + ":role/exec"}}
}

// newWorld fills a directory and returns what is in it.
func newWorld(t *testing.T, dir string) *world {
	t.Helper()
	w := openWorld(t, dir, "")
	ctx := t.Context()
	executionRole(t, w.srv, DefaultAccount, "exec")
	must[*iam.CreateRoleOutput](t)(w.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("bare"), AssumeRolePolicyDocument: aws.String(serviceTrust)}))
	w.digest = w.push("one", platformImage(t, "arm64"))
	createRepository(t, w.ecr, "team/other")
	must[*ssm.PutParameterOutput](t)(w.ssm.PutParameter(ctx, putString("/p/there", "one")))
	must[*iam.CreateOpenIDConnectProviderOutput](t)(w.iam.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: aws.String(Issuer), ClientIDList: []string{"one"}}))
	must[*ecr.PutAccountSettingOutput](t)(w.ecr.PutAccountSetting(ctx, &ecr.PutAccountSettingInput{Name: aws.String(blobMounting), Value: aws.String("ENABLED")}))
	w.runtime = *must[*bedrockagentcorecontrol.CreateAgentRuntimeOutput](t)(w.client.CreateAgentRuntime(ctx, w.createInput("there"))).AgentRuntimeId
	w.upload = w.do("POST", "/blobs/uploads/", nil).Header.Get("Location")
	w.want(w.do("PATCH", w.upload, strings.NewReader(halfBlob)), 202, "")
	w.layer = w.initiate()
	must[*ecr.UploadLayerPartOutput](t)(w.part(w.layer, 0, []byte(layerBlob)))
	if err := w.cloud.appendLogs(DefaultAccount, DefaultRegion, testGroup, "s", []string{"event one"}); err != nil {
		t.Fatal(err)
	}
	w.look() // what time brings has been brought
	return w
}

// reopen is the world as it is after a restart.
func (w *world) reopen() *world {
	w.t.Helper()
	kill(w.t, w.cloud)
	again := openWorld(w.t, w.cloud.Dir, w.password)
	again.runtime, again.upload, again.layer, again.digest = w.runtime, w.upload, w.layer, w.digest
	return again
}

// look tells all that a client can see, whole: blobs by their own digest,
// versions that are named are there. What is random is left out.
func (w *world) look() string {
	w.t.Helper()
	var b strings.Builder
	w.lookParameters(&b)
	w.lookImages(&b)
	w.lookRoles(&b)
	w.lookRuntimes(&b)
	setting := must[*ecr.GetAccountSettingOutput](w.t)(w.ecr.GetAccountSetting(w.t.Context(), &ecr.GetAccountSettingInput{Name: aws.String(blobMounting)}))
	fmt.Fprintln(&b, "mounting", *setting.Value)
	events, err := w.cloud.readLogs(DefaultAccount, DefaultRegion, testGroup)
	if err != nil {
		w.t.Error(err)
	}
	for _, e := range events {
		fmt.Fprintln(&b, "event", e.Seq, e.Message)
	}
	return b.String()
}

func (w *world) lookParameters(b *strings.Builder) {
	ctx := w.t.Context()
	for _, p := range must[*ssm.DescribeParametersOutput](w.t)(w.ssm.DescribeParameters(ctx, &ssm.DescribeParametersInput{})).Parameters {
		for _, v := range must[*ssm.GetParameterHistoryOutput](w.t)(w.ssm.GetParameterHistory(ctx, &ssm.GetParameterHistoryInput{Name: p.Name})).Parameters {
			fmt.Fprintln(b, "parameter", *v.Name, v.Version, *v.Value)
		}
	}
}

func (w *world) lookImages(b *strings.Builder) {
	ctx := w.t.Context()
	for _, r := range must[*ecr.DescribeRepositoriesOutput](w.t)(w.ecr.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{})).Repositories {
		fmt.Fprintln(b, "repository", *r.RepositoryName, r.ImageTagMutability)
		at := *w.hub
		at.repository = *r.RepositoryName
		for _, entry := range must[[]os.DirEntry](w.t)(os.ReadDir(at.dir("blobs"))) {
			got := must[[]byte](w.t)(io.ReadAll(at.do("GET", "/blobs/sha256:"+entry.Name(), nil).Body))
			if digestOf(got) != "sha256:"+entry.Name() {
				w.t.Errorf("the blob %s is not whole", entry.Name())
			}
			fmt.Fprintln(b, "blob", entry.Name())
		}
		for _, image := range must[*ecr.DescribeImagesOutput](w.t)(w.ecr.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: r.RepositoryName})).ImageDetails {
			resp := at.do("GET", "/manifests/"+*image.ImageDigest, nil)
			raw := must[[]byte](w.t)(io.ReadAll(resp.Body))
			m, _, err := parseManifest(raw, resp.Header.Get("Content-Type"))
			if err != nil || digestOf(raw) != *image.ImageDigest {
				w.t.Fatalf("the manifest %s is not whole: %v", *image.ImageDigest, err)
			}
			for _, digest := range m.blobs() {
				at.want(at.do("HEAD", "/blobs/"+digest, nil), 200, "")
			}
			fmt.Fprintln(b, "image", *image.ImageDigest, image.ImageTags)
		}
	}
}

func (w *world) lookRoles(b *strings.Builder) {
	ctx := w.t.Context()
	for _, r := range must[*iam.ListRolesOutput](w.t)(w.iam.ListRoles(ctx, &iam.ListRolesInput{})).Roles {
		policies := must[*iam.ListRolePoliciesOutput](w.t)(w.iam.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: r.RoleName}))
		fmt.Fprintln(b, "role", *r.RoleName, policies.PolicyNames)
	}
	for _, p := range must[*iam.ListOpenIDConnectProvidersOutput](w.t)(w.iam.ListOpenIDConnectProviders(ctx, nil)).OpenIDConnectProviderList {
		got := must[*iam.GetOpenIDConnectProviderOutput](w.t)(w.iam.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: p.Arn}))
		fmt.Fprintln(b, "provider", *got.Url, got.ClientIDList)
	}
}

func (w *world) lookRuntimes(b *strings.Builder) {
	ctx := w.t.Context()
	for _, r := range must[*bedrockagentcorecontrol.ListAgentRuntimesOutput](w.t)(w.client.ListAgentRuntimes(ctx, &bedrockagentcorecontrol.ListAgentRuntimesInput{})).AgentRuntimes {
		fmt.Fprintln(b, "runtime", *r.AgentRuntimeName, *r.AgentRuntimeVersion, r.Status)
		versions := must[*bedrockagentcorecontrol.ListAgentRuntimeVersionsOutput](w.t)(w.client.ListAgentRuntimeVersions(ctx,
			&bedrockagentcorecontrol.ListAgentRuntimeVersionsInput{AgentRuntimeId: r.AgentRuntimeId}))
		for _, v := range versions.AgentRuntimes {
			got := must[*bedrockagentcorecontrol.GetAgentRuntimeOutput](w.t)(w.client.GetAgentRuntime(ctx,
				&bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: r.AgentRuntimeId, AgentRuntimeVersion: v.AgentRuntimeVersion}))
			fmt.Fprintln(b, "version", *got.AgentRuntimeVersion, aws.ToString(got.Description))
		}
		endpoints := must[*bedrockagentcorecontrol.ListAgentRuntimeEndpointsOutput](w.t)(w.client.ListAgentRuntimeEndpoints(ctx,
			&bedrockagentcorecontrol.ListAgentRuntimeEndpointsInput{AgentRuntimeId: r.AgentRuntimeId}))
		for _, e := range endpoints.RuntimeEndpoints {
			fmt.Fprintln(b, "endpoint", *e.Name, aws.ToString(e.LiveVersion), aws.ToString(e.TargetVersion))
		}
	}
}

// status is an error unless the answer's status is that of success.
func status(resp *http.Response) error {
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		raw, _ := io.ReadAll(resp.Body) // what there is of it explains the status
		return fmt.Errorf("%s: %s", resp.Status, raw)
	}
	return nil
}

func second[T any](_ T, err error) error { return err }

// writes are all that changes the state, each once. A blob and an image go in
// by every way that there is.
func writes() map[string]func(*world) error {
	return map[string]func(*world) error{
		"create a parameter": func(w *world) error { return second(w.ssm.PutParameter(w.t.Context(), putString("/p/new", "two"))) },
		"overwrite a parameter": func(w *world) error {
			in := putString("/p/there", "two")
			in.Overwrite = aws.Bool(true)
			return second(w.ssm.PutParameter(w.t.Context(), in))
		},
		"delete a parameter": func(w *world) error {
			return second(w.ssm.DeleteParameter(w.t.Context(), &ssm.DeleteParameterInput{Name: aws.String("/p/there")}))
		},
		"create a repository": func(w *world) error {
			return second(w.ecr.CreateRepository(w.t.Context(), &ecr.CreateRepositoryInput{RepositoryName: aws.String("team/new")}))
		},
		"delete a repository": func(w *world) error {
			return second(w.ecr.DeleteRepository(w.t.Context(), &ecr.DeleteRepositoryInput{RepositoryName: aws.String("team/other"), Force: true}))
		},
		"change mutability": func(w *world) error {
			return second(w.ecr.PutImageTagMutability(w.t.Context(), &ecr.PutImageTagMutabilityInput{RepositoryName: &w.repository,
				ImageTagMutability: ecrtypes.ImageTagMutabilityImmutable}))
		},
		"push a blob at once": func(w *world) error {
			return status(w.do("POST", "/blobs/uploads/?digest="+digestOf(w.blob()), bytes.NewReader(w.blob())))
		},
		"push the rest of a blob": func(w *world) error {
			return status(w.do("PUT", w.upload+"?digest="+digestOf(w.blob()), bytes.NewReader(w.blob()[len(halfBlob):]), "Content-Range", fmt.Sprintf("%d-%d", len(halfBlob), len(w.blob())-1)))
		},
		"complete a layer": func(w *world) error { return w.complete(w.layer, digestOf([]byte(layerBlob))) },
		"mount a blob": func(w *world) error {
			at, m := *w.hub, w.manifest()
			at.repository = "team/other"
			return status(at.do("POST", "/blobs/uploads/?mount="+m.Config.Digest+"&from="+agentRepository, nil))
		},
		"push a manifest": func(w *world) error {
			raw := append(w.rawManifest(), '\n')
			return status(w.do("PUT", "/manifests/two", bytes.NewReader(raw), "Content-Type", typeDockerManifest))
		},
		"tag an image": func(w *world) error {
			return second(w.ecr.PutImage(w.t.Context(), &ecr.PutImageInput{RepositoryName: &w.repository, ImageTag: aws.String("again"),
				ImageManifest: aws.String(string(w.rawManifest())), ImageManifestMediaType: aws.String(typeDockerManifest)}))
		},
		"delete an image": func(w *world) error { return status(w.do("DELETE", "/manifests/"+w.digest, nil)) },
		"create a role": func(w *world) error {
			return second(w.iam.CreateRole(w.t.Context(), &iam.CreateRoleInput{RoleName: aws.String("new"), AssumeRolePolicyDocument: aws.String(serviceTrust)}))
		},
		"put a policy": func(w *world) error {
			return second(w.iam.PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("exec"), PolicyName: aws.String("p"),
				PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)}))
		},
		"delete a role": func(w *world) error {
			return second(w.iam.DeleteRole(w.t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("bare")}))
		},
		"add an audience": func(w *world) error {
			return second(w.iam.AddClientIDToOpenIDConnectProvider(w.t.Context(), &iam.AddClientIDToOpenIDConnectProviderInput{ClientID: aws.String("two"),
				OpenIDConnectProviderArn: aws.String("arn:aws:iam::" + DefaultAccount + ":oidc-provider/token.actions.githubusercontent.com")}))
		},
		"create a runtime": func(w *world) error { return second(w.client.CreateAgentRuntime(w.t.Context(), w.createInput("new"))) },
		"update a runtime": func(w *world) error {
			in := w.updateInput(w.runtime)
			in.Description = aws.String("the second")
			return second(w.client.UpdateAgentRuntime(w.t.Context(), in))
		},
		"delete a runtime": func(w *world) error {
			return second(w.client.DeleteAgentRuntime(w.t.Context(), &bedrockagentcorecontrol.DeleteAgentRuntimeInput{AgentRuntimeId: &w.runtime}))
		},
		"create an endpoint": func(w *world) error {
			return second(w.client.CreateAgentRuntimeEndpoint(w.t.Context(), &bedrockagentcorecontrol.CreateAgentRuntimeEndpointInput{AgentRuntimeId: &w.runtime, Name: aws.String("prod")}))
		},
		"change a setting": func(w *world) error {
			return second(w.ecr.PutAccountSetting(w.t.Context(), &ecr.PutAccountSettingInput{Name: aws.String(blobMounting), Value: aws.String("DISABLED")}))
		},
		"log an event": func(w *world) error {
			return w.cloud.appendLogs(DefaultAccount, DefaultRegion, testGroup, "s", []string{"event two"})
		},
	}
}

func (w *world) rawManifest() []byte {
	w.t.Helper()
	return must[[]byte](w.t)(io.ReadAll(w.do("GET", "/manifests/"+w.digest, nil).Body))
}

func (w *world) manifest() *manifest {
	w.t.Helper()
	m, _, err := parseManifest(w.rawManifest(), typeDockerManifest)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// TestEveryWriteAtEveryStep stops each write at each step that it takes at the
// disk. Killed there, the cloud that is started again has the old state or the
// new one, and the new one if that was acknowledged. Refused there once, as by
// a full disk, the running cloud shows what a restart would, and goes on.
func TestEveryWriteAtEveryStep(t *testing.T) {
	base := filepath.Join(t.TempDir(), "base")
	full := newWorld(t, base)
	kill(t, full.cloud)
	for name, write := range writes() {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			start := func() *world {
				dir := filepath.Join(t.TempDir(), "cloud")
				if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
					t.Fatal(err)
				}
				w := openWorld(t, dir, full.password)
				if err := w.cloud.appendLogs(DefaultAccount, DefaultRegion, testGroup, "s", []string{"begun"}); err != nil {
					t.Fatal(err)
				}
				w.runtime, w.upload, w.layer, w.digest = full.runtime, full.upload, full.layer, full.digest
				return w
			}
			w := start()
			old := w.look()
			w.breaker.arm(0, false)
			if err := write(w); err != nil {
				t.Fatalf("undisturbed: %v", err)
			}
			steps := w.breaker.counted()
			if len(steps) == 0 {
				t.Fatal("it writes nothing")
			}
			changed := w.look()
			if changed == old {
				t.Fatal("nothing is seen of it")
			}
			for i, op := range steps {
				stop := fmt.Sprintf("killed at step %d of %v", i+1, steps)
				w := start()
				w.breaker.arm(i+1, true)
				err := write(w)
				again := w.reopen()
				checkState(t, stop, again.look(), old, changed, err)
				noHalves(t, stop, w.cloud.Dir)

				refuse := fmt.Sprintf("refused at step %d of %v", i+1, steps)
				w = start()
				w.breaker.arm(i+1, false)
				err = write(w)
				w.breaker.arm(0, false)
				got := w.look()
				checkState(t, refuse, got, old, changed, err)
				if err == nil && op != "truncate" && op != "remove" && op != "syncdir" {
					t.Errorf("%s: it succeeds all the same", refuse)
				}
				if err := second(w.ssm.PutParameter(t.Context(), putString("/p/later", "x"))); err != nil {
					t.Errorf("%s: the next write: %v", refuse, err)
				}
				if err := w.cloud.appendLogs(DefaultAccount, DefaultRegion, testGroup, "s", []string{"later"}); err != nil {
					t.Errorf("%s: the next event: %v", refuse, err)
				}
				if got, after := w.look(), w.reopen().look(); got != after || !strings.Contains(got, "later\n") {
					t.Errorf("%s: before and after a restart:\n%s\n%s", refuse, got, after)
				}
			}
		})
	}
}

// checkState wants the old state or the new one, and the new one where the
// write was acknowledged.
func checkState(t *testing.T, what, got, old, changed string, err error) {
	t.Helper()
	if got != changed && (got != old || err == nil) {
		t.Errorf("%s (%v): it shows\n%s\nwhich is neither\n%s\nnor\n%s", what, err, got, old, changed)
	}
}

// noHalves looks for what writes that were cut off leave behind.
func noHalves(t *testing.T, what, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".new-") {
			t.Errorf("%s: %s is left", what, path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
