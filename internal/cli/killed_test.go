package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	cranetypes "github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/slipway-cd/slipway/internal/sim"
)

// TestKilledCloudLosesNothing kills the program again and again while clients
// write to it. After each start, whatever was acknowledged is there, byte for
// byte; what was under way is there whole or not at all; and nothing else is.
func TestKilledCloudLosesNothing(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "cloud")
	server := upCloud(t, dir)
	setUpKilled(t, server)
	ledgers := newLedgers(seed)
	idle := func() bool { // a slow machine may not get round to each ledger
		return slices.ContainsFunc(ledgers, func(l ledger) bool { return l.count() == 0 })
	}
	for round := 0; round < rounds || idle() && round < 10*rounds; round++ {
		ctx, cancel := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for _, l := range ledgers {
			writers.Go(func() {
				for ctx.Err() == nil && l.write(ctx, server) == nil { // an error is the end of the server, or is found by check
				}
			})
		}
		time.Sleep(time.Duration(20+chance.IntN(280)) * time.Millisecond) // the moment of the kill is the test's input
		if err := server.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cancel()
		writers.Wait()
		_ = server.cmd.Wait() // killed
		server = upCloud(t, dir)
		for _, l := range ledgers {
			if err := l.check(t.Context(), server); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		checkRegistryFiles(t, dir)
	}
	for _, l := range ledgers {
		if l.count() == 0 {
			t.Errorf("%T has written nothing", l)
		}
		t.Logf("%T: %d writes acknowledged", l, l.count())
	}
}

// killedServer is a running `slipway local up` with clients of it.
type killedServer struct {
	cmd      *exec.Cmd
	base     string
	password string // of the registry
	ssm      *ssm.Client
	ecr      *ecr.Client
	iam      *iam.Client
	core     *bedrockagentcorecontrol.Client
}

const killedRepository = "team/killed"

// upCloud starts the program and waits until it serves.
func upCloud(t *testing.T, dir string) *killedServer {
	t.Helper()
	exe, err := exec.LookPath("slipway")
	if err != nil {
		t.Fatal(err)
	}
	cmd, base, _ := startUp(t, exe, dir, time.Millisecond)
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // where it was not ended before
	s := &killedServer{cmd: cmd, base: base}
	c, err := dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	env, err := c.administrator(t.Context(), sim.DefaultAccount)
	if err != nil {
		t.Fatal(err)
	}
	config := aws.Config{Region: sim.DefaultRegion, BaseEndpoint: &s.base, RetryMaxAttempts: 1, HTTPClient: wholeAnswers{},
		Credentials: credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], "")}
	s.ssm, s.ecr, s.iam, s.core = ssm.NewFromConfig(config), ecr.NewFromConfig(config), iam.NewFromConfig(config), bedrockagentcorecontrol.NewFromConfig(config)
	token, err := s.ecr.GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(*token.AuthorizationData[0].AuthorizationToken)
	if err != nil {
		t.Fatal(err)
	}
	s.password = strings.TrimPrefix(string(raw), "AWS:")
	return s
}

// wholeAnswers reads an answer before the SDK gets to see it. The SDK closes
// the request's body when an answer begins; net/http, which may still be
// looking for the body's end, then gives up the connection and with it the rest
// of a long answer. Where nothing is retried, that would be seen now and then.
type wholeAnswers struct{}

func (wholeAnswers) Do(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(raw))
	return resp, err
}

// setUpKilled makes what the writers need.
func setUpKilled(t *testing.T, s *killedServer) {
	t.Helper()
	_, err := s.ecr.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: aws.String(killedRepository)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.iam.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("exec"), AssumeRolePolicyDocument: aws.String(killedTrust)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.iam.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("exec"), PolicyName: aws.String("pull"), PolicyDocument: aws.String(killedPull)})
	if err != nil {
		t.Fatal(err)
	}
	if err := (&imageLedger{chance: rand.New(rand.NewPCG(1, 1))}).push(t.Context(), s, "base"); err != nil {
		t.Fatal(err)
	}
}

const killedPull = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Resource":"*"}]}`

const killedTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// do sends a request to the registry; the path is below the repository's.
func (s *killedServer) do(ctx context.Context, method, path string, body []byte, contentType string) (*http.Response, []byte, error) {
	if !strings.HasPrefix(path, "/v2/") {
		path = "/v2/" + killedRepository + path
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.SetBasicAuth("AWS", s.password)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s %s", method, path, resp.Status, raw)
	}
	return resp, raw, err
}

// ledger writes to the cloud, one write at a time, and remembers what was
// acknowledged. Its check reads that back, and learns what became of the write
// that was under way.
type ledger interface {
	write(context.Context, *killedServer) error
	check(context.Context, *killedServer) error
	count() int
}

func newLedgers(seed uint64) []ledger {
	var all []ledger
	for i := range 3 {
		chance := func(stream int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(10*stream+i))) }
		all = append(all, &parameterLedger{name: fmt.Sprintf("/killed/%d", i)}, &imageLedger{name: fmt.Sprint("w", i), chance: chance(1)})
	}
	return append(all, &runtimeLedger{}, &roleLedger{}, &goneLedger{})
}

// parameterLedger writes version after version: the nth write is version
// n%parameterVersions+1 of a parameter of its own.
type parameterLedger struct {
	name         string
	acked, tried int
}

const parameterVersions = 20

func (l *parameterLedger) count() int { return l.acked }

func (l *parameterLedger) parameter(n int) string {
	return fmt.Sprintf("%s/%d", l.name, n/parameterVersions)
}

func (l *parameterLedger) value(n int) string {
	return fmt.Sprintf("%s write %d %s", l.name, n, strings.Repeat("x", n%997))
}

func (l *parameterLedger) write(ctx context.Context, s *killedServer) error {
	n := l.acked
	l.tried = n + 1
	out, err := s.ssm.PutParameter(ctx, &ssm.PutParameterInput{Name: aws.String(l.parameter(n)), Value: aws.String(l.value(n)),
		Type: ssmtypes.ParameterTypeString, Overwrite: aws.Bool(n%parameterVersions > 0)})
	if err != nil {
		return err
	}
	l.acked++
	if out.Version != int64(n%parameterVersions+1) {
		return fmt.Errorf("write %d of %s made version %d", n, l.name, out.Version)
	}
	return nil
}

func (l *parameterLedger) check(ctx context.Context, s *killedServer) error {
	found := 0
	for {
		history, err := s.ssm.GetParameterHistory(ctx, &ssm.GetParameterHistoryInput{Name: aws.String(l.parameter(found))})
		var missing *ssmtypes.ParameterNotFound
		if errors.As(err, &missing) {
			break
		}
		if err != nil {
			return err
		}
		for i, v := range history.Parameters {
			if v.Version != int64(i+1) || *v.Value != l.value(found) {
				return fmt.Errorf("%s, version %d is %q", *v.Name, v.Version, *v.Value)
			}
			found++
		}
		if found%parameterVersions > 0 {
			break
		}
	}
	if found < l.acked || found > l.tried {
		return fmt.Errorf("%s has %d writes: %d were acknowledged, %d begun", l.name, found, l.acked, l.tried)
	}
	l.acked, l.tried = found, found
	return nil
}

// imageLedger pushes images in chunks.
type imageLedger struct {
	name   string
	chance *rand.Rand
	pushed int               // images begun
	blobs  map[string][]byte // acknowledged, by digest
	tags   map[string]string // acknowledged: digest by tag
	open   openUpload
}

// openUpload is an upload that was under way when the cloud was killed.
type openUpload struct {
	location     string
	blob         []byte
	acked, tried int // bytes
}

func (l *imageLedger) count() int { return len(l.tags) }

func (l *imageLedger) write(ctx context.Context, s *killedServer) error {
	l.pushed++
	return l.push(ctx, s, fmt.Sprintf("%s-%d", l.name, l.pushed))
}

func (l *imageLedger) push(ctx context.Context, s *killedServer, tag string) error {
	layer := make([]byte, 1+l.chance.IntN(300_000))
	for i := range layer {
		layer[i] = byte(l.chance.Uint32())
	}
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(layer, cranetypes.DockerUncompressedLayer))
	if err != nil {
		return err
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: "arm64", Author: tag})
	if err != nil {
		return err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	for _, blob := range [][]byte{layer, config} {
		if err := l.upload(ctx, s, blob); err != nil {
			return err
		}
	}
	if _, _, err := s.do(ctx, http.MethodPut, "/manifests/"+tag, raw, string(cranetypes.DockerManifestSchema2)); err != nil {
		return err
	}
	if l.tags == nil {
		l.tags = map[string]string{}
	}
	l.tags[tag] = digest.String()
	return nil
}

// upload pushes a blob in up to four chunks.
func (l *imageLedger) upload(ctx context.Context, s *killedServer, blob []byte) error {
	resp, _, err := s.do(ctx, http.MethodPost, "/blobs/uploads/", nil, "")
	if err != nil {
		return err
	}
	l.open = openUpload{location: resp.Header.Get("Location"), blob: blob}
	for chunk := 1 + len(blob)/(1+l.chance.IntN(4)); l.open.acked < len(blob); {
		l.open.tried = min(l.open.acked+chunk, len(blob))
		if _, _, err := s.do(ctx, http.MethodPatch, l.open.location, blob[l.open.acked:l.open.tried], "application/octet-stream"); err != nil {
			return err
		}
		l.open.acked = l.open.tried
	}
	return l.finish(ctx, s, nil)
}

func (l *imageLedger) finish(ctx context.Context, s *killedServer, rest []byte) error {
	digest := digestOfBytes(l.open.blob)
	blob := l.open.blob
	location := l.open.location
	l.open.location = "" // it may have been finished: nobody goes on with it
	if _, _, err := s.do(ctx, http.MethodPut, location+"?digest="+digest, rest, ""); err != nil {
		return err
	}
	if l.blobs == nil {
		l.blobs = map[string][]byte{}
	}
	l.blobs[digest] = blob
	return nil
}

func digestOfBytes(b []byte) string {
	hash, _, err := v1.SHA256(bytes.NewReader(b))
	if err != nil {
		return err.Error() // a bytes.Reader does not fail
	}
	return hash.String()
}

func (l *imageLedger) check(ctx context.Context, s *killedServer) error {
	for digest, blob := range l.blobs {
		_, got, err := s.do(ctx, http.MethodGet, "/blobs/"+digest, nil, "")
		if err != nil || !bytes.Equal(got, blob) {
			return fmt.Errorf("the blob %s has %d bytes, not %d: %w", digest, len(got), len(blob), err)
		}
	}
	for tag, digest := range l.tags {
		_, raw, err := s.do(ctx, http.MethodGet, "/manifests/"+tag, nil, "")
		if err != nil || digestOfBytes(raw) != digest {
			return fmt.Errorf("the tag %s names %s, not %s: %w", tag, digestOfBytes(raw), digest, err)
		}
	}
	if l.open.location == "" {
		return nil
	}
	resp, _, err := s.do(ctx, http.MethodGet, l.open.location, nil, "")
	if err != nil {
		return err
	}
	var last int
	if _, err := fmt.Sscanf(resp.Header.Get("Range"), "0-%d", &last); err != nil {
		return fmt.Errorf("the upload stands at %q", resp.Header.Get("Range"))
	}
	size := last + 1
	if last == 0 && l.open.acked == 0 { // nothing, or one byte
		l.open.location = ""
		return nil
	}
	if size < l.open.acked || size > l.open.tried {
		return fmt.Errorf("the upload has %d bytes: %d were acknowledged, %d sent", size, l.open.acked, l.open.tried)
	}
	return l.finish(ctx, s, l.open.blob[size:])
}

// runtimeLedger updates one runtime, over and over.
type runtimeLedger struct {
	id           string
	acked, tried int
}

func (l *runtimeLedger) count() int { return l.acked }

func (l *runtimeLedger) write(ctx context.Context, s *killedServer) error {
	artifact := &types.AgentRuntimeArtifactMemberContainerConfiguration{Value: types.ContainerConfiguration{
		ContainerUri: aws.String(sim.DefaultAccount + ".dkr.ecr." + sim.DefaultRegion + ".amazonaws.com/" + killedRepository + ":base")}}
	network := &types.NetworkConfiguration{NetworkMode: types.NetworkModePublic}
	role := aws.String("arn:aws:iam::" + sim.DefaultAccount + ":role/exec")
	l.tried = l.acked + 1
	description := aws.String(fmt.Sprint("version ", l.tried))
	if l.id == "" {
		out, err := s.core.CreateAgentRuntime(ctx, &bedrockagentcorecontrol.CreateAgentRuntimeInput{AgentRuntimeName: aws.String("killed"),
			RoleArn: role, AgentRuntimeArtifact: artifact, NetworkConfiguration: network, Description: description})
		if err != nil {
			return err
		}
		l.id, l.acked = *out.AgentRuntimeId, 1
		return nil
	}
	_, err := s.core.UpdateAgentRuntime(ctx, &bedrockagentcorecontrol.UpdateAgentRuntimeInput{AgentRuntimeId: &l.id,
		RoleArn: role, AgentRuntimeArtifact: artifact, NetworkConfiguration: network, Description: description})
	var busy *types.ConflictException
	if errors.As(err, &busy) {
		return nil // it is still UPDATING
	}
	if err == nil {
		l.acked++
	}
	return err
}

func (l *runtimeLedger) check(ctx context.Context, s *killedServer) error {
	all, err := s.core.ListAgentRuntimes(ctx, &bedrockagentcorecontrol.ListAgentRuntimesInput{})
	if err != nil {
		return err
	}
	if len(all.AgentRuntimes) == 0 && l.acked == 0 {
		return nil
	}
	if len(all.AgentRuntimes) != 1 {
		return fmt.Errorf("there are %d runtimes", len(all.AgentRuntimes))
	}
	l.id = *all.AgentRuntimes[0].AgentRuntimeId
	found := 0
	for n := 1; ; n++ {
		got, err := s.core.GetAgentRuntime(ctx, &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &l.id, AgentRuntimeVersion: aws.String(fmt.Sprint(n))})
		var missing *types.ResourceNotFoundException
		if errors.As(err, &missing) {
			break
		}
		if err != nil {
			return err
		}
		if aws.ToString(got.Description) != fmt.Sprint("version ", n) {
			return fmt.Errorf("version %d of the runtime is %q", n, aws.ToString(got.Description))
		}
		found = n
	}
	latest := *all.AgentRuntimes[0].AgentRuntimeVersion
	if found < l.acked || found > l.tried || latest != fmt.Sprint(found) {
		return fmt.Errorf("the runtime is at %s and has %d versions: %d were acknowledged, %d begun", latest, found, l.acked, l.tried)
	}
	l.acked, l.tried = found, found
	return nil
}

// roleLedger makes roles, each with a policy.
type roleLedger struct{ acked, tried int }

func (l *roleLedger) count() int { return l.acked }

func (l *roleLedger) write(ctx context.Context, s *killedServer) error {
	l.tried = l.acked + 1
	name := aws.String(fmt.Sprint("role-", l.acked))
	_, err := s.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(killedTrust)})
	if err != nil {
		return err
	}
	l.acked++
	return nil
}

func (l *roleLedger) check(ctx context.Context, s *killedServer) error {
	found := 0
	pages := iam.NewListRolesPaginator(s.iam, &iam.ListRolesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		found += len(page.Roles)
	}
	found-- // exec
	if found < l.acked || found > l.tried {
		return fmt.Errorf("there are %d roles: %d were acknowledged, %d begun", found, l.acked, l.tried)
	}
	l.acked, l.tried = found, found
	return nil
}

// goneLedger makes a lock and lets go of it: what was deleted stays so.
type goneLedger struct {
	held  bool // acknowledged last
	under bool // a write is under way
	done  int
}

func (l *goneLedger) count() int { return l.done }

func (l *goneLedger) write(ctx context.Context, s *killedServer) error {
	l.under = true
	var err error
	if l.held {
		_, err = s.ssm.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: aws.String("/killed/lock")})
	} else {
		_, err = s.ssm.PutParameter(ctx, &ssm.PutParameterInput{Name: aws.String("/killed/lock"), Value: aws.String("x"), Type: ssmtypes.ParameterTypeString})
	}
	if err != nil {
		return err
	}
	l.held, l.under = !l.held, false
	l.done++
	return nil
}

func (l *goneLedger) check(ctx context.Context, s *killedServer) error {
	_, err := s.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/killed/lock")})
	var missing *ssmtypes.ParameterNotFound
	held := err == nil
	switch {
	case err != nil && !errors.As(err, &missing):
		return err
	case held != l.held && !l.under:
		return fmt.Errorf("the lock is held: %v; acknowledged was the reverse", held)
	}
	l.held, l.under = held, false
	return nil
}

// checkRegistryFiles looks at what no client asked for: each blob that is there
// is whole, and nothing is left of files that were written by half.
func checkRegistryFiles(t *testing.T, dir string) {
	t.Helper()
	for _, pattern := range []string{"registry/*/blobs/*", "registry/*/manifests/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, name := range files {
			raw, err := os.ReadFile(name)
			if err != nil || digestOfBytes(raw) != "sha256:"+filepath.Base(name) {
				t.Errorf("%s is not whole: %v", name, err)
			}
		}
	}
	for _, pattern := range []string{".new-*", "*/.new-*", "registry/*/manifests/.new-*"} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); len(left) > 0 {
			t.Errorf("written by half: %v", left)
		}
	}
}
