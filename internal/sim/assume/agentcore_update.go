package assume

import (
	"net/http"
	"regexp"
	"strings"
	"time"
)

// A101: An update replaces the whole configuration: environment variables,
// description, lifecycle limits, protocol and header allowlist that it leaves
// out are gone; the lifecycle limits are 900 and 28800 again.
// Source: AgentCore guide, "Versioning" ("a complete, self-contained" version); benchflow-ai/benchflow#937; aws-samples/sample-OpenClaw-on-AWS-with-Bedrock#75.
// Confidence: H for the lifecycle limits, M for the others.
func a101UpdateResets(t T, a *Account) {
	r := a.create(t, document{"environmentVariables": document{"A": "1"}, "description": "first",
		"lifecycleConfiguration":     document{"idleRuntimeSessionTimeout": 600, "maxLifetime": 7200},
		"protocolConfiguration":      document{"serverProtocol": "HTTP"},
		"requestHeaderConfiguration": document{"requestHeaderAllowlist": []string{"X-Amzn-Bedrock-AgentCore-Runtime-Custom-Color"}}})
	same(t, "idleRuntimeSessionTimeout of version 1", a.get(t, r, "").text("lifecycleConfiguration.idleRuntimeSessionTimeout"), "600")
	a.updated(t, r, document{})
	x := a.get(t, r, "")
	same(t, "idleRuntimeSessionTimeout after the update", x.text("lifecycleConfiguration.idleRuntimeSessionTimeout"), "900")
	same(t, "maxLifetime after the update", x.text("lifecycleConfiguration.maxLifetime"), "28800")
	same(t, "the variable A after the update", x.text("environmentVariables.A"), "")
	same(t, "the description after the update", x.text("description"), "")
	same(t, "the header allowlist after the update", x.text("requestHeaderConfiguration.requestHeaderAllowlist"), "")
}

// A102: An update that leaves platformVersion out keeps it, alone of all
// members.
// Source: hashicorp/terraform-provider-aws#50078, #50081.
// Confidence: M.
func a102PlatformVersionIsKept(t T, a *Account) {
	r := a.create(t, document{"platformVersion": "V1"})
	a.updated(t, r, document{})
	same(t, "platformVersion after an update without it", a.get(t, r, "").text("platformVersion"), "V1")
}

// A103: Every update makes a version, one above the last, even where nothing
// changes.
// Source: AgentCore guide, "Versioning"; fastagent-sh/fastagent#545.
// Confidence: M.
func a103EveryUpdateMakesAVersion(t T, a *Account) {
	r := a.create(t, document{})
	for _, want := range []string{"2", "3"} {
		same(t, "the version that an update makes", a.updated(t, r, document{}), want)
	}
}

// A104: Get with version answers that version's whole snapshot, environment
// variables included; without, the newest.
// Source: API reference, GetAgentRuntime (agentRuntimeVersion).
// Confidence: H.
func a104OldVersionsAreWhole(t T, a *Account) {
	r := a.create(t, document{"environmentVariables": document{"RELEASE": "one"}})
	a.updated(t, r, document{"environmentVariables": document{"RELEASE": "two"}})
	for version, want := range map[string]string{"1": "one", "2": "two", "": "two"} {
		same(t, "RELEASE of version "+version, a.get(t, r, version).text("environmentVariables.RELEASE"), want)
	}
	same(t, "agentRuntimeVersion of version 1", a.get(t, r, "1").text("agentRuntimeVersion"), "1")
}

// A105: A new runtime has version 1 and an id of its name, a hyphen and ten
// letters or digits; creating answers 202.
// Source: API reference, CreateAgentRuntime; service model.
// Confidence: H.
func a105VersionsStartAtOne(t T, a *Account) {
	name := a.name()
	r := a.create(t, document{"agentRuntimeName": name})
	if !regexp.MustCompile("^" + name + "-[a-zA-Z0-9]{10}$").MatchString(r.id) {
		t.Errorf("the id of %s is %q", name, r.id)
	}
	same(t, "the first version", a.get(t, r, "").text("agentRuntimeVersion"), "1")
}

// A106: A runtime is CREATING, then READY; while it is updated, UPDATING, then
// READY.
// Source: API reference, GetAgentRuntime (status).
// Confidence: H.
func a106StatusesOfAnUpdate(t T, a *Account) {
	r := a.begin(t, document{})
	same(t, "the status of a new runtime", a.get(t, r, "").text("status"), "CREATING")
	a.ready(t, r, "1")
	same(t, "the status that an update answers", a.update(t, r, document{"metadataConfiguration": mmdsv2()}).want(t, http.StatusAccepted).text("status"), "UPDATING")
	a.ready(t, r, "2")
}

// A107: The same clientToken with the same body makes one version; the repeat
// is answered with that version.
// Source: API reference, UpdateAgentRuntime (clientToken).
// Confidence: H.
func a107SameTokenSameVersion(t T, a *Account) {
	r := a.create(t, document{})
	members := document{"clientToken": a.newToken(), "metadataConfiguration": mmdsv2()}
	for _, what := range []string{"the first call", "its repeat"} {
		same(t, "the version of "+what, a.update(t, r, members).want(t, http.StatusAccepted).text("agentRuntimeVersion"), "2")
	}
	a.ready(t, r, "2")
	same(t, "the newest version", a.get(t, r, "").text("agentRuntimeVersion"), "2")
}

// A108: The same clientToken with another body is refused with 400
// ValidationException, reason IdempotentParameterMismatchException.
// Source: service model, ValidationExceptionReason.
// Confidence: M.
func a108SameTokenOtherBody(t T, a *Account) {
	r := a.create(t, document{})
	token := a.newToken()
	a.updated(t, r, document{"clientToken": token})
	x := a.update(t, r, document{"clientToken": token, "description": "another", "metadataConfiguration": mmdsv2()})
	x.refused(t, http.StatusBadRequest, "ValidationException", "")
	same(t, "the reason", x.text("reason"), "IdempotentParameterMismatchException")
}

// A109: A runtime that is being created or updated takes no other change: 409
// ConflictException.
// Source: API reference, UpdateAgentRuntime (ConflictException); its text is open.
// Confidence: H for the code, L for the text.
func a109BusyIsAConflict(t T, a *Account) {
	r := a.begin(t, document{})
	a.update(t, r, document{"metadataConfiguration": mmdsv2()}).refused(t, http.StatusConflict, "ConflictException", "")
}

// A110: A name that is taken is refused with 409 ConflictException and the text
// "An agent with the specified name already exists".
// Source: AgentCore guide; awslabs/agentcore-samples (deployment notebooks).
// Confidence: H.
func a110TakenName(t T, a *Account) {
	name := a.name()
	a.create(t, document{"agentRuntimeName": name})
	x := a.core(t, http.MethodPut, "/runtimes/", with(a.configuration(a.image(t, "arm64").uri), document{"agentRuntimeName": name}))
	x.refused(t, http.StatusConflict, "ConflictException", "An agent with the specified name already exists")
}

// A111: A runtime or a version that is not there is 404
// ResourceNotFoundException.
// Source: API reference, GetAgentRuntime (errors).
// Confidence: H.
func a111NoVersionNoAnswer(t T, a *Account) {
	r := a.create(t, document{})
	a.core(t, http.MethodGet, r.path()+"?version=7", nil).refused(t, http.StatusNotFound, "ResourceNotFoundException", "")
	a.core(t, http.MethodGet, "/runtimes/"+a.name()+"-0123456789/", nil).refused(t, http.StatusNotFound, "ResourceNotFoundException", "")
}

// A112: A member that the service does not know is kept and given back.
// Source: none: no AWS sentence says whether it is kept, ignored or refused. Whoever sends back what Get answered is told here if a member is lost.
// Confidence: L.
func a112UnknownMembersStay(t T, a *Account) {
	r := a.create(t, document{"somethingNewer": document{"mode": "ON"}})
	same(t, "the unknown member", a.get(t, r, "").text("somethingNewer.mode"), "ON")
}

// A113: A member that only answers have (agentRuntimeArn, status, createdAt …)
// is refused in an update with 400 ValidationException.
// Source: none: AWS does not say whether it is refused or ignored; the strict reading shows a careless copy.
// Confidence: L.
func a113ResponseMembersAreRefused(t T, a *Account) {
	r := a.create(t, document{})
	for _, member := range []string{"agentRuntimeArn", "agentRuntimeVersion", "createdAt", "lastUpdatedAt", "status", "failureReason", "workloadIdentityDetails"} {
		x := a.update(t, r, document{"metadataConfiguration": mmdsv2(), member: "x"})
		x.refused(t, http.StatusBadRequest, "ValidationException", member)
	}
}

// A114: A new runtime has metadataConfiguration.requireMMDSV2 true by itself.
// Source: AgentCore release notes, 2026-02-15 and 2026-06-30; hashicorp/terraform-provider-aws#48874.
// Confidence: H.
func a114MetadataIsSetByItself(t T, a *Account) {
	same(t, "requireMMDSV2 of a new runtime", a.get(t, a.create(t, document{}), "").text("metadataConfiguration.requireMMDSV2"), "true")
}

// A115: An update that leaves metadataConfiguration out clears it.
// Source: none: AWS does not say; the strict reading shows who relies on the other.
// Confidence: L.
func a115MetadataIsCleared(t T, a *Account) {
	r := a.create(t, document{})
	a.updated(t, r, document{"metadataConfiguration": nil})
	same(t, "requireMMDSV2 after an update without it", a.get(t, r, "").text("metadataConfiguration.requireMMDSV2"), "")
}

// A116: Deleting answers 202 DELETING; then the runtime is not found, and its
// name is free.
// Source: API reference, DeleteAgentRuntime.
// Confidence: H for the status, M for the name.
func a116DeletedIsGone(t T, a *Account) {
	name := a.name()
	r := a.create(t, document{"agentRuntimeName": name})
	same(t, "the status that deleting answers", a.core(t, http.MethodDelete, r.path(), nil).want(t, http.StatusAccepted).text("status"), "DELETING")
	a.eventually(t, "the runtime is gone", func() bool {
		return a.core(t, http.MethodGet, r.path(), nil).status == http.StatusNotFound
	})
	a.create(t, document{"agentRuntimeName": name})
}

// A117: The ARN of a runtime is
// arn:aws:bedrock-agentcore:REGION:ACCOUNT:runtime/ID, and that of an endpoint
// the same with /runtime-endpoint/NAME, whatever the model's pattern says.
// Source: answers in awslabs/agentcore-samples and aws/bedrock-agentcore-starter-toolkit; the service model's agentRuntimeArn pattern differs.
// Confidence: H.
func a117ARNForm(t T, a *Account) {
	r := a.create(t, document{})
	same(t, "the runtime's ARN", r.arn, "arn:aws:bedrock-agentcore:"+a.Region+":"+a.ID+":runtime/"+r.id)
	x := a.endpoint(t, r, "DEFAULT")
	same(t, "the endpoint's ARN", x.text("agentRuntimeEndpointArn"), r.arn+"/runtime-endpoint/DEFAULT")
	same(t, "the runtime's ARN by its endpoint", x.text("agentRuntimeArn"), r.arn)
	if strings.Contains(r.arn, ":agent/") {
		t.Errorf("the ARN is of the model's form: %s", r.arn)
	}
}

// A118: Versions are kept for as long as their runtime, whether an endpoint
// serves them or not.
// Source: AgentCore guide, "Quotas", 2026-09; older copies say that inactive versions go after 45 days.
// Confidence: M. Nobody waits that long.
func a118VersionsAreKept(t T, a *Account) {
	r := a.create(t, document{})
	a.updated(t, r, document{})
	a.pass(t, 46*24*time.Hour)
	same(t, "agentRuntimeVersion of version 1, 46 days later", a.get(t, r, "1").text("agentRuntimeVersion"), "1")
}

// A119: A clientToken suppresses repeats for a day, and no longer.
// Source: none: AWS does not say for how long.
// Confidence: L.
func a119TokensLastADay(t T, a *Account) {
	r := a.create(t, document{})
	token := document{"clientToken": a.newToken()}
	same(t, "the version", a.updated(t, r, token), "2")
	a.pass(t, 23*time.Hour)
	same(t, "the version 23 hours later", a.updated(t, r, token), "2")
	a.pass(t, 2*time.Hour)
	same(t, "the version 25 hours later", a.updated(t, r, token), "3")
}

// pass lets time pass.
func (a *Account) pass(t T, d time.Duration) {
	t.Helper()
	if err := a.wait(t.Context(), d); err != nil {
		t.Fatalf("waiting: %v", err)
	}
}
