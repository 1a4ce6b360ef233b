package assume

import (
	"fmt"
	"net/http"
	"strings"
)

// tryCreate asks for a runtime that is to be refused. One that is made all the
// same is deleted.
func (a *Account) tryCreate(t T, members document) answer {
	t.Helper()
	d := with(a.configuration(a.image(t, "arm64").uri), document{"agentRuntimeName": a.name()})
	x := a.core(t, http.MethodPut, "/runtimes/", with(d, members))
	if id := x.text("agentRuntimeId"); id != "" {
		later(t, func(t T) { a.remove(t, runtime{id: id}) })
	}
	return x
}

// A130: An image for another platform than linux/arm64 is refused by Create and
// Update with 400 ValidationException, "Architecture incompatible for uri '…'.
// Supported architectures: [arm64]".
// Source: AgentCore guide, "Troubleshoot AgentCore Runtime"; the text, many reports.
// Confidence: H.
func a130OnlyARM64(t T, a *Account) {
	r := a.create(t, document{})
	uri := a.image(t, "amd64").uri
	want := "Architecture incompatible for uri '" + uri + "'. Supported architectures: [arm64]"
	amd64 := document{"agentRuntimeArtifact": artifact(uri), "metadataConfiguration": mmdsv2()}
	a.update(t, r, amd64).refused(t, http.StatusBadRequest, "ValidationException", want)
	a.tryCreate(t, with(amd64, document{"metadataConfiguration": nil})).refused(t, http.StatusBadRequest, "ValidationException", want)
	same(t, "the version after a refused update", a.get(t, r, "").text("agentRuntimeVersion"), "1")
}

// A131: An image that is not in the repository is refused by Create and Update
// with 400 ValidationException, and no version is made.
// Source: awslabs/agentcore-samples; the text ("The specified image identifier does not exist") is one report's.
// Confidence: H that it is refused, M for the text.
func a131ImageHasToBeThere(t T, a *Account) {
	repository := a.sharedRepository(t)
	a.image(t, "arm64")
	for _, suffix := range []string{":nobody", "@" + missingDigest} {
		x := a.tryCreate(t, document{"agentRuntimeArtifact": artifact(a.uri(repository, suffix))})
		x.refused(t, http.StatusBadRequest, "ValidationException", "")
	}
}

// A132: An execution role that is not there is refused with 400
// ValidationException, "Role validation failed".
// Source: AgentCore guide, "Permissions"; awslabs/agentcore-samples#154.
// Confidence: H.
func a132RoleHasToBeThere(t T, a *Account) {
	x := a.tryCreate(t, document{"roleArn": "arn:aws:iam::" + a.ID + ":role/" + a.name()})
	x.refused(t, http.StatusBadRequest, "ValidationException", "Role validation failed")
}

// A133: An execution role that does not trust bedrock-agentcore.amazonaws.com is
// refused with 400 ValidationException, "Role validation failed".
// Source: AgentCore guide, "Permissions" (trust policy of the execution role).
// Confidence: H.
func a133RoleHasToTrust(t T, a *Account) {
	role := a.role(t, trustOf("Service", "lambda.amazonaws.com", "sts:AssumeRole", nil))
	a.tryCreate(t, document{"roleArn": role}).refused(t, http.StatusBadRequest, "ValidationException", "Role validation failed")
}

// A134: An execution role of another account is refused with 403
// AccessDeniedException: roles are passed within an account alone.
// Source: IAM guide, "Grant permissions to pass a role" (no cross-account pass).
// Confidence: H that it is refused, M for the code.
func a134RoleOfTheAccount(t T, a *Account) {
	x := a.tryCreate(t, document{"roleArn": "arn:aws:iam::999999999999:role/agent"})
	x.refused(t, http.StatusForbidden, "AccessDeniedException", "")
}

// A135: An image may be named by tag, by digest, and by both; Get answers the
// name as it was given.
// Source: service model, the pattern of containerUri; alvarog2491/agentcore-ab-release-gate for digests.
// Confidence: H for the pattern, M for the use.
func a135DigestAndTag(t T, a *Account) {
	repository, f := a.sharedRepository(t), a.image(t, "arm64")
	r := a.create(t, document{})
	for _, suffix := range []string{":arm64", "@" + f.digest, ":arm64@" + f.digest} {
		uri := a.uri(repository, suffix)
		a.updated(t, r, document{"agentRuntimeArtifact": artifact(uri)})
		same(t, "containerUri", a.get(t, r, "").text("agentRuntimeArtifact.containerConfiguration.containerUri"), uri)
	}
}

// A136: CreateAgentRuntime does not take metadataConfiguration.
// Source: service model: the member is of Update and Get alone. Whether it is refused or ignored is a guess.
// Confidence: L.
func a136MetadataIsNotForCreate(t T, a *Account) {
	a.tryCreate(t, document{"metadataConfiguration": mmdsv2()}).refused(t, http.StatusBadRequest, "ValidationException", "metadataConfiguration")
}

// A137: requireMMDSV2 false is refused with 400 ValidationException.
// Source: hashicorp/terraform-provider-aws#48874.
// Confidence: H.
func a137MetadataIsNotTurnedOff(t T, a *Account) {
	r := a.create(t, document{})
	x := a.update(t, r, document{"metadataConfiguration": document{"requireMMDSV2": false}})
	x.refused(t, http.StatusBadRequest, "ValidationException", "")
}

// A138: Names of runtimes and endpoints are letters, digits and underscores, at
// most 48, a letter first; others are 400 ValidationException with a fieldList.
// Source: service model, agentRuntimeName and name of endpoints.
// Confidence: H.
func a138NamesHaveNoHyphens(t T, a *Account) {
	r := a.create(t, document{})
	for _, name := range []string{"my-agent", "9agent", strings.Repeat("a", 49)} {
		a.tryCreate(t, document{"agentRuntimeName": name}).refused(t, http.StatusBadRequest, "ValidationException", "")
		x := a.core(t, http.MethodPut, r.path()+"runtime-endpoints/", document{"name": name})
		x.refused(t, http.StatusBadRequest, "ValidationException", "")
	}
	x := a.tryCreate(t, document{"agentRuntimeName": "my-agent"})
	same(t, "the field that is wrong", x.text("fieldList.0.name"), "agentRuntimeName")
}

// A139: Lifecycle limits are 60 to 28800 seconds.
// Source: service model, LifecycleConfiguration.
// Confidence: H.
func a139LifecycleBounds(t T, a *Account) {
	for _, limits := range []document{{"idleRuntimeSessionTimeout": 59}, {"maxLifetime": 28801}} {
		a.tryCreate(t, document{"lifecycleConfiguration": limits}).refused(t, http.StatusBadRequest, "ValidationException", "")
	}
}

// A140: maxResults of lists is 1 to 100.
// Source: service model, MaxResults.
// Confidence: H.
func a140PagesHaveBounds(t T, a *Account) {
	for _, size := range []string{"0", "101"} {
		a.core(t, http.MethodPost, "/runtimes/?maxResults="+size, nil).refused(t, http.StatusBadRequest, "ValidationException", "")
	}
	a.core(t, http.MethodPost, "/runtimes/?maxResults=100", nil).want(t, http.StatusOK)
}

// A141: Pages of a list meet every item once, and the last has no nextToken.
// Source: API reference, ListAgentRuntimeVersions.
// Confidence: H.
func a141PagesMeetEverything(t T, a *Account) {
	r := a.create(t, document{})
	a.updated(t, r, document{})
	a.updated(t, r, document{})
	seen, next := map[string]int{}, ""
	for range 4 {
		x := a.core(t, http.MethodPost, r.path()+"versions/?maxResults=1"+next, nil).want(t, http.StatusOK)
		if n := x.count("agentRuntimes"); n > 1 {
			t.Errorf("a page of at most 1 has %d items", n)
		}
		seen[x.text("agentRuntimes.0.agentRuntimeVersion")]++
		token := x.text("nextToken")
		if token == "" {
			break
		}
		next = "&nextToken=" + token
	}
	same(t, "what the pages have", fmt.Sprint(seen), fmt.Sprint(map[string]int{"1": 1, "2": 1, "3": 1}))
}

// A142: Creating is PUT and listing is POST, on paths that end in a slash.
// Source: service model (http traits).
// Confidence: H.
func a142PathsEndInASlash(t T, a *Account) {
	x := a.core(t, http.MethodPost, "/runtimes/", nil).want(t, http.StatusOK)
	if x.count("agentRuntimes") < 0 {
		t.Errorf("POST /runtimes/ does not list: %s", x)
	}
}

// A143: A microVM's runtime needs networkConfiguration.
// Source: service model up to 2026-08-05 (required); optional since capacity providers exist.
// Confidence: M.
func a143NetworkIsRequired(t T, a *Account) {
	a.tryCreate(t, document{"networkConfiguration": nil}).refused(t, http.StatusBadRequest, "ValidationException", "networkConfiguration")
}

// A144: An index with an arm64 child is taken, attestations beside it ignored;
// one without such a child is refused.
// Source: docker/build-push-action#755, #1459; use in awslabs/agentcore-samples.
// Confidence: M.
func a144ChildOfAnIndex(t T, a *Account) {
	repository := a.sharedRepository(t)
	arm, amd, other := paint(t, "arm64", "child", nil), paint(t, "amd64", "child", nil), paint(t, "unknown", "attestation", nil)
	for _, p := range []picture{arm, amd, other} {
		a.uploadParts(t, repository, p)
		a.putManifest(t, repository, p.digest(), typeManifest, p.manifest).want(t, http.StatusCreated)
	}
	whole := index(t, map[string]picture{"linux/amd64": amd, "linux/arm64": arm, "unknown/unknown": other})
	without := index(t, map[string]picture{"linux/amd64": amd, "unknown/unknown": other})
	for _, raw := range [][]byte{whole, without} {
		a.putManifest(t, repository, digestOf(raw), typeIndex, raw).want(t, http.StatusCreated)
	}
	a.create(t, document{"agentRuntimeArtifact": artifact(a.uri(repository, "@"+digestOf(whole)))})
	x := a.tryCreate(t, document{"agentRuntimeArtifact": artifact(a.uri(repository, "@"+digestOf(without)))})
	x.refused(t, http.StatusBadRequest, "ValidationException", "Architecture incompatible")
}

// A145: An update of one member alone is refused: artifact, role and network are
// required in each.
// Source: service model, UpdateAgentRuntimeRequest (required). One AWS sample updates metadataConfiguration alone.
// Confidence: M.
func a145AnUpdateIsWhole(t T, a *Account) {
	r := a.create(t, document{})
	x := a.core(t, http.MethodPut, r.path(), document{"metadataConfiguration": mmdsv2()})
	x.refused(t, http.StatusBadRequest, "ValidationException", "agentRuntimeArtifact")
}
