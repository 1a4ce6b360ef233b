package assume

import (
	"net/http"
	"strconv"
)

// A120: DEFAULT follows each update by itself; liveVersion becomes the new
// version when the endpoint serves it, while targetVersion is it at once.
// Source: AgentCore guide, "Versioning" (DEFAULT endpoint); API reference, GetAgentRuntimeEndpoint.
// Confidence: H.
func a120DefaultFollows(t T, a *Account) {
	r := a.create(t, document{})
	a.update(t, r, document{"metadataConfiguration": mmdsv2()}).want(t, http.StatusAccepted)
	x := a.endpoint(t, r, "DEFAULT")
	same(t, "targetVersion of DEFAULT at once", x.text("targetVersion"), "2")
	same(t, "liveVersion of DEFAULT at once", x.text("liveVersion"), "1")
	a.ready(t, r, "2")
}

// A121: DEFAULT can't be moved by UpdateAgentRuntimeEndpoint, nor deleted: 409
// ConflictException.
// Source: AgentCore guide, "Versioning" (DEFAULT "automatically points to the latest version"); the code is a guess.
// Confidence: H that it is refused, L for the code.
func a121DefaultIsNotPinned(t T, a *Account) {
	r := a.create(t, document{})
	path := r.path() + "runtime-endpoints/DEFAULT/"
	a.core(t, http.MethodPut, path, document{"agentRuntimeVersion": "1"}).refused(t, http.StatusConflict, "ConflictException", "")
	a.core(t, http.MethodDelete, path, nil).refused(t, http.StatusConflict, "ConflictException", "")
}

// A122: A named endpoint stays at its version when the runtime is updated.
// Source: AgentCore guide, "Versioning"; aws-ia/terraform-aws-agentcore#31.
// Confidence: H.
func a122NamedEndpointStays(t T, a *Account) {
	r := a.create(t, document{})
	a.addEndpoint(t, r, "production", "1", document{"agentRuntimeVersion": "1"})
	a.updated(t, r, document{})
	x := a.endpoint(t, r, "production")
	same(t, "liveVersion of production", x.text("liveVersion"), "1")
	same(t, "targetVersion of production", x.text("targetVersion"), "1")
}

// A123: An endpoint that is made without a version takes what is the newest
// then.
// Source: aws-ia/terraform-aws-agentcore#31.
// Confidence: H.
func a123NewEndpointTakesTheNewest(t T, a *Account) {
	r := a.create(t, document{})
	a.updated(t, r, document{})
	a.addEndpoint(t, r, "production", "2", document{})
	a.updated(t, r, document{})
	same(t, "liveVersion of production", a.endpoint(t, r, "production").text("liveVersion"), "2")
}

// A124: UpdateAgentRuntimeEndpoint moves a named endpoint, back to an older
// version too; it answers 202 with the new targetVersion.
// Source: API reference, UpdateAgentRuntimeEndpoint.
// Confidence: H.
func a124EndpointMovesWhenTold(t T, a *Account) {
	r := a.create(t, document{})
	a.addEndpoint(t, r, "production", "1", document{})
	a.updated(t, r, document{})
	for _, version := range []string{"2", "1"} {
		x := a.core(t, http.MethodPut, r.path()+"runtime-endpoints/production/", document{"agentRuntimeVersion": version}).want(t, http.StatusAccepted)
		same(t, "targetVersion", x.text("targetVersion"), version)
		a.serves(t, r, "production", version)
	}
}

// A125: An endpoint does not go to a version that is not there (404), and no
// endpoint of that name is 404 too.
// Source: API reference, UpdateAgentRuntimeEndpoint (errors).
// Confidence: H.
func a125NoMoveToWhatIsNot(t T, a *Account) {
	r := a.create(t, document{})
	a.addEndpoint(t, r, "production", "1", document{})
	for _, name := range []string{"production", "nobody"} {
		x := a.core(t, http.MethodPut, r.path()+"runtime-endpoints/"+name+"/", document{"agentRuntimeVersion": "9"})
		x.refused(t, http.StatusNotFound, "ResourceNotFoundException", "")
	}
	a.core(t, http.MethodPut, r.path()+"runtime-endpoints/", document{"name": "production"}).refused(t, http.StatusConflict, "ConflictException", "")
}

// A126: A runtime has ten endpoints at most, DEFAULT among them; the next is
// 402 ServiceQuotaExceededException.
// Source: AgentCore guide, "Quotas" (10, adjustable); that DEFAULT counts is a guess.
// Confidence: H for ten, L for DEFAULT.
func a126TenEndpoints(t T, a *Account) {
	r := a.create(t, document{})
	for i := range 9 {
		a.addEndpoint(t, r, "e"+strconv.Itoa(i), "1", document{})
	}
	x := a.core(t, http.MethodPut, r.path()+"runtime-endpoints/", document{"name": "e9"})
	x.refused(t, http.StatusPaymentRequired, "ServiceQuotaExceededException", "")
}

// A127: Every runtime has the endpoint DEFAULT, and it is listed with its live
// and target version.
// Source: AgentCore guide, "Versioning"; API reference, ListAgentRuntimeEndpoints.
// Confidence: H.
func a127DefaultIsAlwaysThere(t T, a *Account) {
	r := a.create(t, document{})
	x := a.core(t, http.MethodPost, r.path()+"runtime-endpoints/", nil).want(t, http.StatusOK)
	same(t, "how many endpoints a new runtime has", strconv.Itoa(x.count("runtimeEndpoints")), "1")
	for member, want := range map[string]string{"name": "DEFAULT", "status": "READY", "liveVersion": "1", "targetVersion": "1"} {
		same(t, member+" of the endpoint", x.text("runtimeEndpoints.0."+member), want)
	}
}
