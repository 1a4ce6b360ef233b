package assume

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a test that is expected to fail: it remembers what it was told.
type recorder struct {
	T
	mu       sync.Mutex
	failures []string
	undo     []func()
}

// Errorf remembers a failure.
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// Fatalf remembers a failure and ends the assumption.
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	goruntime.Goexit()
}

// Cleanup remembers what to undo.
func (r *recorder) Cleanup(undo func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.undo = append(r.undo, undo)
}

func (r *recorder) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failures)
}

// record asks an account one assumption and returns what failed. Undoing is
// done with honest answers.
func record(t *testing.T, a *Account, assumption Assumption, honest func()) []string {
	r := &recorder{T: t}
	run := func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
	run(func() { assumption.Check(r, a) })
	said := r.said()
	honest()
	for _, undo := range slices.Backward(r.undo) {
		run(undo)
	}
	return said
}

// deviation is a cloud that answers one call otherwise than the local one does.
type deviation struct {
	id string
	// call is in the label of the calls that are answered otherwise; see label.
	call string
	// old becomes new in answers' bodies and header values; where old is empty,
	// the answer is new as a whole.
	old, new string
	// status, unless 0, is answered in place of the cloud's.
	status int
}

func (d deviation) String() string { return fmt.Sprintf("%s %s %s to %s", d.id, d.call, d.old, d.new) }

// deviations are samples of how a real cloud could differ, some for each area.
func deviations() []deviation {
	return []deviation{
		{id: "A101", call: "GET /runtimes/", old: `"idleRuntimeSessionTimeout":900`, new: `"idleRuntimeSessionTimeout":600`},
		{id: "A102", call: "GET /runtimes/", old: `"platformVersion":"V1"`, new: `"platformVersion":"V2"`},
		{id: "A103", call: "PUT /runtimes/", old: `"agentRuntimeVersion":"3"`, new: `"agentRuntimeVersion":"2"`},
		{id: "A104", call: "GET /runtimes/", old: `"RELEASE":"one"`, new: `"RELEASE":"two"`},
		{id: "A106", call: "PUT /runtimes/", old: `"UPDATING"`, new: `"READY"`},
		{id: "A108", call: "PUT /runtimes/", old: "IdempotentParameterMismatchException", new: "FieldValidationFailed"},
		{id: "A109", call: "PUT /runtimes/", old: "ConflictException", new: "ValidationException"},
		{id: "A112", call: "GET /runtimes/", old: "somethingNewer", new: "somethingOther"},
		{id: "A117", call: "PUT /runtimes/", old: ":runtime/", new: ":agent/"},
		{id: "A120", call: "runtime-endpoints/DEFAULT", old: `"liveVersion":"1"`, new: `"liveVersion":"2"`},
		{id: "A122", call: "runtime-endpoints/production", old: `"targetVersion":"1"`, new: `"targetVersion":"2"`},
		{id: "A130", call: "PUT /runtimes/", old: "[arm64]", new: "[arm64, amd64]"},
		{id: "A135", call: "GET /runtimes/", old: ":arm64@sha256", new: "@sha256"},
		{id: "A140", call: "POST /runtimes/", new: `{"agentRuntimes":[]}`, status: 200},
		{id: "A141", call: "/versions/", old: `"nextToken"`, new: `"token"`},
		{id: "A150", call: "/invocations", new: `{}`, status: 200},
		{id: "A151", call: "/invocations", old: "ResourceNotFoundException", new: "RuntimeClientError"},
		{id: "A153", call: "/invocations", old: "MMDSv2", new: "IMDSv2"},
		{id: "A201", call: "ecr:DescribeRepositories", old: "RepositoryNotFoundException", new: "NotFound"},
		{id: "A206", call: "ecr:GetAuthorizationToken", old: `"expiresAt":1`, new: `"expiresAt":2`},
		{id: "A210", call: "ecr:PutImage", old: `"imageTag":"two"`, new: `"imageTag":"one"`},
		{id: "A212", call: "ecr:PutImage", old: "ImageTagAlreadyExistsException", new: "ImageAlreadyExistsException"},
		{id: "A213", call: "ecr:PutImage", old: "ImageTagAlreadyExistsException", new: "ImageAlreadyExistsException"},
		{id: "A220", call: "ecr:BatchGetImage", old: "ImageTagDoesNotMatchDigest", new: "ImageNotFound"},
		{id: "A222", call: "ecr:BatchGetImage", old: `\"schemaVersion\":2`, new: `\"schemaVersion\": 2`},
		{id: "A223", call: "ecr:DescribeImages", old: `"nextToken"`, new: `"token"`},
		{id: "A231", call: "ecr:GetRepositoryPolicy", old: `\"Version\" : `, new: `\"Version\": `},
		{id: "A233", call: "ecr:PutLifecyclePolicy", old: `{\"rules\":[{\"rulePriority\":3`, new: `{\"rules\":[{\"rulePriority\":7`},
		{id: "A234", call: "ecr:PutLifecyclePolicy", new: `{}`, status: 200},
		{id: "A301", call: "GET /v2/", old: "Basic", new: "Bearer"},
		{id: "A302", call: "POST /v2/", old: "NAME_UNKNOWN", new: "NAME_INVALID"},
		{id: "A304", call: "PUT /v2/", new: "", status: 201},
		{id: "A307", call: "PUT /v2/", status: 201},
		{id: "A308", call: "GET /v2/", old: `"schemaVersion":2`, new: `"schemaVersion":3`},
		{id: "A312", call: "/referrers/", old: "example.note", new: "example.other"},
		{id: "A402", call: "AssumeRoleWithWebIdentity", old: "Not authorized to perform", new: "Role not found:"},
		{id: "A404", call: "AssumeRoleWithWebIdentity", old: "InvalidIdentityToken", new: "AccessDenied"},
		{id: "A408", call: "AssumeRoleWithWebIdentity", old: "ExpiredTokenException", new: "InvalidIdentityToken"},
		{id: "A416", call: "AssumeRoleWithWebIdentity", old: "InvalidIdentityToken", new: "AccessDenied"},
		{id: "A401", call: "AssumeRoleWithWebIdentity", old: ":assumed-role/", new: ":role/"},
		{id: "A502", call: "CreateOpenIDConnectProvider", old: "EntityAlreadyExists", new: "LimitExceeded"},
		{id: "A506", call: "GetOpenIDConnectProvider", old: "NoSuchEntity", new: "InvalidInput"},
		{id: "A510", call: "CreateRole", old: "MalformedPolicyDocument", new: "InvalidInput"},
		{id: "A513", call: "GetRole", old: "%20", new: "+"},
		{id: "A520", call: "GetPolicyVersion", old: "%7B", new: "{"},
		{id: "A524", call: "CreatePolicyVersion", old: "LimitExceeded", new: "InvalidInput"},
		{id: "A526", call: "DeletePolicy", old: "DeleteConflict", new: "NoSuchEntity"},
		{id: "A529", call: "GetRole", old: ">Policy<", new: ">PermissionsBoundaryPolicy<"},
		{id: "A530", call: "ListRoles", old: "</MaxSessionDuration>", new: "</MaxSessionDuration><Tags/>"},
		{id: "A531", call: "GetRole", old: "7200", new: "3600"},
		{id: "A532", call: "ListRoleTags", old: "team", new: "Team"},
		{id: "A601", call: "ssm:PutParameter", old: "ParameterAlreadyExists", new: "TooManyUpdates"},
		{id: "A602", call: "ssm:PutParameter", old: `"Version":3`, new: `"Version":2`},
		{id: "A605", call: "ssm:GetParameters", old: `"InvalidParameters"`, new: `"Invalid"`},
		{id: "A613", call: "ssm:GetParameter", old: `"Value"`, new: `"Other"`},
		{id: "A701", call: "logs:FilterLogEvents", old: "ResourceNotFoundException", new: "InvalidParameterException"},
		{id: "A706", call: "logs:FilterLogEvents", new: `{"events":[]}`, status: 200},
		{id: "A804", call: "/.well-known/jwks", old: `"kid":"`, new: `"kid":"x`},
		{id: "A804", call: "/.well-known/openid-configuration", old: "githubusercontent.com", new: "example.com"},
		{id: "A902", call: "/pending_deployments", old: "No pending", new: "Some pending"},
		{id: "A905", call: "/statuses", old: `"inactive"`, new: `"success"`},
	}
}

// label names a call: its target, its action, or its method and path.
func label(r *http.Request, body []byte) string {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		prefix, operation, _ := strings.Cut(target, ".")
		for _, service := range []string{"ecr", "ssm", "logs"} {
			if targetOf(service) == prefix {
				return service + ":" + operation
			}
		}
	}
	if form, err := url.ParseQuery(string(body)); err == nil && form.Has("Action") {
		return form.Get("Action")
	}
	return r.Method + " " + r.URL.Path
}

// of is the deviating cloud. It counts the answers that it has changed.
func (d deviation) of(changed *int) func(http.Handler) http.Handler {
	var mu sync.Mutex
	return func(cloud http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			answer := httptest.NewRecorder()
			cloud.ServeHTTP(answer, r)
			if !exactly(label(r, body), d.call) {
				pass(w, answer, answer.Code, answer.Body.String())
				return
			}
			mu.Lock()
			defer mu.Unlock()
			before := fmt.Sprint(answer.Code, answer.Header(), answer.Body)
			text, status := d.change(answer)
			if fmt.Sprint(status, answer.Header(), text) != before {
				*changed++
			}
			pass(w, answer, status, text)
		})
	}
}

// exactly: an operation is named whole, a path in part.
func exactly(label, call string) bool {
	if strings.Contains(call, "/") {
		return strings.Contains(label, call)
	}
	return label == call
}

func (d deviation) change(answer *httptest.ResponseRecorder) (string, int) {
	text, status := answer.Body.String(), answer.Code
	if d.status != 0 {
		status = d.status
		text = d.new
		answer.Header().Del("X-Amzn-Errortype")
	}
	if d.old != "" {
		text = strings.ReplaceAll(text, d.old, d.new)
		for name, values := range answer.Header() {
			for i := range values {
				answer.Header()[name][i] = strings.ReplaceAll(values[i], d.old, d.new)
			}
		}
	}
	return text, status
}

func pass(w http.ResponseWriter, answer *httptest.ResponseRecorder, status int, text string) {
	for name, values := range answer.Header() {
		if name != "Content-Length" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client has gone: nothing to tell it
}

// TestDeviationsAreFound sees each sample of a deviating cloud fail its
// assumption, and an honest cloud pass it at the same place.
func TestDeviationsAreFound(t *testing.T) {
	l := startLocal(t)
	l.account.Patience = 10 * settle
	l.account.image(t, "arm64")
	l.account.image(t, "amd64")
	byID := map[string]Assumption{}
	for _, assumption := range All() {
		byID[assumption.ID] = assumption
	}
	areas := map[byte]bool{}
	for _, d := range deviations() {
		t.Run(d.String(), func(t *testing.T) {
			changed := 0
			l.setFront(d.of(&changed))
			said := record(t, l.account, byID[d.id], func() { l.setFront(nil) })
			if len(said) == 0 || changed == 0 {
				t.Errorf("%d answers were changed, and %s holds all the same", changed, d.id)
			}
		})
		areas[d.id[1]] = true
	}
	if len(areas) != 9 {
		t.Errorf("deviations are of %d areas", len(areas))
	}
}

// TestEveryAssumptionCanFail asks clouds that answer everything alike: no
// assumption holds of both.
func TestEveryAssumptionCanFail(t *testing.T) {
	l := startLocal(t)
	l.account.Patience, l.account.Pause = 2*time.Second, time.Second
	l.account.image(t, "arm64")
	l.account.image(t, "amd64")
	l.account.token(t)
	for _, assumption := range All() {
		for _, d := range []deviation{{call: "/", new: "{}", status: 200}, {call: "/", new: "{}", status: 400}} {
			l.setFront(func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(d.status)
					_, _ = io.WriteString(w, d.new) // the client has gone: nothing to tell it
				})
			})
			if assumption.Needs == Agent && l.account.Program == nil {
				continue
			}
			if said := record(t, l.account, assumption, func() { l.setFront(nil) }); len(said) == 0 {
				t.Errorf("%s holds of a cloud that answers everything with %d", assumption.ID, d.status)
			}
		}
	}
}
