package assume

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// agentcore lists the assumptions about AgentCore: A10x and A11x what an update
// does, A12x endpoints, A13x what is refused, A14x lists, A15x invoking.
func agentcore() []Assumption {
	return []Assumption{
		{"A101", "", a101UpdateResets}, {"A102", "", a102PlatformVersionIsKept}, {"A103", "", a103EveryUpdateMakesAVersion},
		{"A104", "", a104OldVersionsAreWhole}, {"A105", "", a105VersionsStartAtOne}, {"A106", "", a106StatusesOfAnUpdate},
		{"A107", "", a107SameTokenSameVersion}, {"A108", "", a108SameTokenOtherBody}, {"A109", "", a109BusyIsAConflict},
		{"A110", "", a110TakenName}, {"A111", "", a111NoVersionNoAnswer}, {"A112", "", a112UnknownMembersStay},
		{"A113", "", a113ResponseMembersAreRefused}, {"A114", "", a114MetadataIsSetByItself}, {"A115", "", a115MetadataIsCleared},
		{"A116", "", a116DeletedIsGone}, {"A117", "", a117ARNForm},
		{"A118", Local, a118VersionsAreKept}, {"A119", Local, a119TokensLastADay},
		{"A120", "", a120DefaultFollows}, {"A121", "", a121DefaultIsNotPinned}, {"A122", "", a122NamedEndpointStays},
		{"A123", "", a123NewEndpointTakesTheNewest}, {"A124", "", a124EndpointMovesWhenTold}, {"A125", "", a125NoMoveToWhatIsNot},
		{"A126", Local, a126TenEndpoints}, {"A127", "", a127DefaultIsAlwaysThere},
		{"A130", "", a130OnlyARM64}, {"A131", "", a131ImageHasToBeThere}, {"A132", "", a132RoleHasToBeThere},
		{"A133", "", a133RoleHasToTrust}, {"A134", "", a134RoleOfTheAccount}, {"A135", "", a135DigestAndTag},
		{"A136", "", a136MetadataIsNotForCreate}, {"A137", "", a137MetadataIsNotTurnedOff}, {"A138", "", a138NamesHaveNoHyphens},
		{"A139", "", a139LifecycleBounds}, {"A140", "", a140PagesHaveBounds}, {"A141", "", a141PagesMeetEverything},
		{"A142", "", a142PathsEndInASlash}, {"A143", "", a143NetworkIsRequired}, {"A144", "", a144ChildOfAnIndex},
		{"A145", "", a145AnUpdateIsWhole},
		{"A150", "", a150SessionIDLength}, {"A151", "", a151NoSuchQualifier}, {"A152", "", a152BareIDNeedsAnAccount},
		{"A153", "", a153NoMMDSv2NoCall}, {"A154", "", a154JWTRuntimeRefusesSigV4}, {"A155", Agent, a155AnswersComeThrough},
		{"A156", Agent, a156AgentsErrorsAre424}, {"A157", Agent, a157SessionsKeepTheirVersion}, {"A158", Agent, a158StoppingTwice},
		{"A159", Agent, a159TagsAreResolvedOnce},
	}
}

// document is a structure of AgentCore.
type document = map[string]any

// configuration is the least that Create and Update take for an image.
func (a *Account) configuration(uri string) document {
	return document{"roleArn": a.Role, "networkConfiguration": document{"networkMode": "PUBLIC"},
		"agentRuntimeArtifact": artifact(uri)}
}

func artifact(uri string) document {
	return document{"containerConfiguration": document{"containerUri": uri}}
}

// with is a copy of d with members set, or taken out where nil.
func with(d document, members document) document {
	d = maps.Clone(d)
	for name, value := range members {
		if d[name] = value; value == nil {
			delete(d, name)
		}
	}
	return d
}

// image is an image of the shared repository for a platform, which is there
// until the last assumption has been asked.
func (a *Account) image(t T, arch string) fixture {
	t.Helper()
	repository := a.sharedRepository(t)
	a.mu.Lock()
	f, known := a.images[arch]
	a.mu.Unlock()
	if known {
		return f
	}
	f.digest = a.push(t, repository, arch, paint(t, arch, arch, nil))
	f.uri = a.uri(repository, "@"+f.digest)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.images[arch] = f
	return f
}

func (a *Account) sharedRepository(t T) string {
	t.Helper()
	a.mu.Lock()
	name := a.shared
	a.mu.Unlock()
	if name != "" {
		return name
	}
	name = a.name() + "/agent"
	a.json11(t, "ecr", "CreateRepository", document{"repositoryName": name}).want(t, http.StatusOK)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shared, a.images = name, map[string]fixture{}
	return name
}

// Close deletes what assumptions have shared.
func (a *Account) Close(t T) {
	a.mu.Lock()
	name := a.shared
	a.shared = ""
	a.mu.Unlock()
	if name != "" {
		a.json11(t, "ecr", "DeleteRepository", document{"repositoryName": name, "force": true}).want(t, http.StatusOK)
	}
}

// runtime is a runtime that an assumption has made.
type runtime struct{ id, arn string }

func (r runtime) path() string { return "/runtimes/" + r.id + "/" }

func (r runtime) invocations() string { return "/runtimes/" + url.PathEscape(r.arn) + "/invocations" }

// create makes a runtime, which lasts as long as the assumption, and waits
// until it is READY. members change the configuration.
func (a *Account) create(t T, members document) runtime {
	t.Helper()
	r := a.begin(t, members)
	a.ready(t, r, "1")
	return r
}

// begin is create without the wait.
func (a *Account) begin(t T, members document) runtime {
	t.Helper()
	d := with(a.configuration(a.image(t, "arm64").uri), members)
	if d["agentRuntimeName"] == nil {
		d["agentRuntimeName"] = a.name()
	}
	x := a.core(t, http.MethodPut, "/runtimes/", d).want(t, http.StatusAccepted)
	r := runtime{id: x.text("agentRuntimeId"), arn: x.text("agentRuntimeArn")}
	later(t, func(t T) { a.remove(t, r) })
	return r
}

// remove deletes a runtime as soon as it is not busy.
func (a *Account) remove(t T, r runtime) {
	a.eventually(t, r.id+" can be deleted", func() bool {
		return a.core(t, http.MethodDelete, r.path(), nil).status != http.StatusConflict
	})
}

// update replaces a runtime's configuration.
func (a *Account) update(t T, r runtime, members document) answer {
	t.Helper()
	return a.core(t, http.MethodPut, r.path(), with(a.configuration(a.image(t, "arm64").uri), members))
}

// mmdsv2 is what an update has to send, so that the runtime stays callable.
func mmdsv2() document { return document{"requireMMDSV2": true} }

// updated updates and waits until DEFAULT serves the version.
func (a *Account) updated(t T, r runtime, members document) string {
	t.Helper()
	if _, given := members["metadataConfiguration"]; !given {
		members = with(members, document{"metadataConfiguration": mmdsv2()})
	}
	version := a.update(t, r, members).want(t, http.StatusAccepted).text("agentRuntimeVersion")
	a.ready(t, r, version)
	return version
}

// ready waits until the runtime is READY and DEFAULT serves the version.
func (a *Account) ready(t T, r runtime, version string) {
	t.Helper()
	a.eventually(t, r.id+" is READY", func() bool {
		x := a.get(t, r, "")
		if status := x.text("status"); strings.HasSuffix(status, "_FAILED") {
			t.Fatalf("the runtime failed: %s", x)
		}
		return x.text("status") == "READY"
	})
	a.serves(t, r, "DEFAULT", version)
}

// serves waits until an endpoint serves a version.
func (a *Account) serves(t T, r runtime, endpoint, version string) {
	t.Helper()
	a.eventually(t, endpoint+" serves version "+version, func() bool {
		x := a.endpoint(t, r, endpoint)
		return x.text("status") == "READY" && x.text("liveVersion") == version
	})
}

// get reads a runtime, or one version of it.
func (a *Account) get(t T, r runtime, version string) answer {
	t.Helper()
	path := r.path()
	if version != "" {
		path += "?version=" + version
	}
	return a.core(t, http.MethodGet, path, nil).want(t, http.StatusOK)
}

func (a *Account) endpoint(t T, r runtime, name string) answer {
	t.Helper()
	return a.core(t, http.MethodGet, r.path()+"runtime-endpoints/"+name+"/", nil).want(t, http.StatusOK)
}

// addEndpoint makes a named endpoint and waits until it serves the version.
func (a *Account) addEndpoint(t T, r runtime, name, version string, members document) {
	t.Helper()
	a.core(t, http.MethodPut, r.path()+"runtime-endpoints/", with(document{"name": name}, members)).want(t, http.StatusAccepted)
	a.serves(t, r, name, version)
}

// newToken is a clientToken of 33 characters at least.
func (a *Account) newToken() string {
	return fmt.Sprintf("%s-%s", a.name(), strings.Repeat("0", 33))
}
