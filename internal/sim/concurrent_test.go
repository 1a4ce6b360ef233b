package sim

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
)

const rivals = 8

// TestOneOfManyWins: of many who create the same at once, one does; the others
// are told that it is there.
func TestOneOfManyWins(t *testing.T) {
	a := newAgents(t)
	a.push("one", platformImage(t, "arm64"))
	roles := iam.NewFromConfig(adminConfig(t, a.srv, DefaultAccount))
	for code, create := range map[string]func() error{
		"RepositoryAlreadyExistsException": func() error {
			return second(a.ecr.CreateRepository(t.Context(), &ecr.CreateRepositoryInput{RepositoryName: aws.String("team/race")}))
		},
		"EntityAlreadyExists": func() error {
			return second(roles.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("race"), AssumeRolePolicyDocument: aws.String(serviceTrust)}))
		},
		"EntityAlreadyExistsException": func() error {
			return second(roles.CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: aws.String(Issuer)}))
		},
		"ConflictException": func() error {
			return second(a.client.CreateAgentRuntime(t.Context(), a.createInput("race")))
		},
	} {
		var won atomic.Int32
		var group sync.WaitGroup
		for range rivals {
			group.Go(func() {
				err := create()
				var api smithy.APIError
				switch {
				case err == nil:
					won.Add(1)
				case !errors.As(err, &api) || api.ErrorCode() != code && api.ErrorCode()+"Exception" != code:
					t.Errorf("a loser of %s is told %v", code, err)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Errorf("%s: %d won", code, won.Load())
		}
	}
}

// TestVersionsAreDense: writers of one parameter, and of one runtime, each get
// a version of their own, and none is left out.
func TestVersionsAreDense(t *testing.T) {
	a := newAgents(t)
	a.cloud.Settle = 1 // a version is READY by the next look
	a.push("one", platformImage(t, "arm64"))
	parameters := ssm.NewFromConfig(adminConfig(t, a.srv, DefaultAccount))
	id := *must[*bedrockagentcorecontrol.CreateAgentRuntimeOutput](t)(a.client.CreateAgentRuntime(t.Context(), a.createInput("dense"))).AgentRuntimeId
	var mu sync.Mutex
	seen := map[string]int{}
	var group sync.WaitGroup
	for writer := range rivals {
		group.Go(func() {
			for i := range 10 {
				in := putString("/dense", fmt.Sprintf("%d of %d", i, writer))
				in.Overwrite = aws.Bool(true)
				out, err := parameters.PutParameter(t.Context(), in)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[fmt.Sprint("parameter ", out.Version)]++
				mu.Unlock()
				a.clock.add(2)
				up, err := a.client.UpdateAgentRuntime(t.Context(), a.updateInput(id))
				if err != nil && errorCode(err) == "ConflictException" {
					continue // another's version is not READY yet
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen["runtime "+*up.AgentRuntimeVersion]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	runtimeVersions := len(seen) - 10*rivals
	for n := range 10 * rivals {
		if seen[fmt.Sprint("parameter ", n+1)] != 1 {
			t.Errorf("version %d of the parameter was given %d times", n+1, seen[fmt.Sprint("parameter ", n+1)])
		}
	}
	for n := range runtimeVersions {
		if seen[fmt.Sprint("runtime ", n+2)] != 1 {
			t.Errorf("version %d of the runtime was given %d times", n+2, seen[fmt.Sprint("runtime ", n+2)])
		}
	}
	if runtimeVersions == 0 {
		t.Error("nobody updated the runtime")
	}
}

// TestImmutableTagsNeverMove: of many who push the same immutable tag at once,
// one has it for good.
func TestImmutableTagsNeverMove(t *testing.T) {
	h := newHub(t, "team/agent")
	must[*ecr.PutImageTagMutabilityOutput](t)(h.ecr.PutImageTagMutability(t.Context(), &ecr.PutImageTagMutabilityInput{
		RepositoryName: &h.repository, ImageTagMutability: types.ImageTagMutabilityImmutable}))
	blob := []byte("the only blob")
	h.want(h.do("POST", "/blobs/uploads/?digest="+digestOf(blob), bytes.NewReader(blob)), 201, "")
	var won atomic.Pointer[string]
	var group sync.WaitGroup
	for n := range rivals {
		group.Go(func() {
			raw := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"digest":%q,"size":13},"layers":[{"digest":%q,"size":13}],"annotations":{"n":"%d"}}`,
				typeOCIManifest, digestOf(blob), digestOf(blob), n))
			digest := digestOf(raw)
			resp := h.do("PUT", "/manifests/v1", bytes.NewReader(raw), "Content-Type", typeOCIManifest)
			switch resp.StatusCode {
			case http.StatusCreated:
				if !won.CompareAndSwap(nil, &digest) {
					t.Error("two have pushed it")
				}
			case http.StatusBadRequest:
				h.want(resp, 400, "TAG_INVALID")
			default:
				t.Errorf("%s", resp.Status)
			}
			for range 5 { // whoever has won, the tag stays where it is
				if now := h.do("HEAD", "/manifests/v1", nil).Header.Get("Docker-Content-Digest"); won.Load() != nil && now != *won.Load() {
					t.Errorf("the tag names %s, %s won", now, *won.Load())
				}
			}
		})
	}
	group.Wait()
	if won.Load() == nil {
		t.Error("nobody has pushed it")
	}
}

// TestDeletedProvidersStayDeleted: adding an audience does not bring back a
// provider that is deleted meanwhile.
func TestDeletedProvidersStayDeleted(t *testing.T) {
	_, srv := startCloud(t)
	client := iam.NewFromConfig(adminConfig(t, srv, DefaultAccount))
	arn := aws.String("arn:aws:iam::" + DefaultAccount + ":oidc-provider/token.actions.githubusercontent.com")
	for round := range 20 {
		must[*iam.CreateOpenIDConnectProviderOutput](t)(client.CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: aws.String(Issuer)}))
		var group sync.WaitGroup
		for n := range 4 {
			group.Go(func() {
				err := second(client.AddClientIDToOpenIDConnectProvider(t.Context(), &iam.AddClientIDToOpenIDConnectProviderInput{
					OpenIDConnectProviderArn: arn, ClientID: aws.String(fmt.Sprint("client-", n))}))
				if err != nil && errorCode(err) != "NoSuchEntity" {
					t.Error(err)
				}
			})
		}
		must[*iam.DeleteOpenIDConnectProviderOutput](t)(client.DeleteOpenIDConnectProvider(t.Context(), &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))
		group.Wait()
		if left := must[*iam.ListOpenIDConnectProvidersOutput](t)(client.ListOpenIDConnectProviders(t.Context(), nil)); len(left.OpenIDConnectProviderList) > 0 {
			t.Fatalf("round %d: the deleted provider is there", round)
		}
	}
}
