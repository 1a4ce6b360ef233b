package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// registryHost is a registry's own name, by which accounts and regions are
// told apart (design.md §6).
var registryHost = pattern.New(`^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?(?::[0-9]+)?$`)

// exchange is one request to the registry.
type exchange struct {
	*http.Request
	w         *statusWriter
	id        string
	at        time.Time
	registry  registryID
	principal principal
	route     route
	resource  string
	read      int64 // bytes of the body so far
	hit       *hit  // what befalls it
	decisions []Decision
}

// statusWriter remembers the status for the journal.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Read counts the body.
func (x *exchange) Read(b []byte) (int, error) {
	n, err := x.Body.Read(b)
	x.read += int64(n)
	return n, err
}

// route is what a request to the registry is for.
type route struct {
	action     string // for the journal: GetBlob, PutManifest ...
	permission string // the ECR action behind it
	repository string
	reference  string // digest, tag or upload id
	run        func(*Cloud, *exchange) error
}

// serveRegistry answers one request of the OCI distribution API.
func (c *Cloud) serveRegistry(w http.ResponseWriter, r *http.Request) {
	x := &exchange{Request: r, w: &statusWriter{ResponseWriter: w}, id: newRequestID(), at: c.now().UTC(), hit: &hit{}}
	x.principal.arn = "anonymous"
	x.registry = c.registryFor(r.Host)
	x.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	x.w.Header().Set("X-Amzn-RequestId", x.id)
	err := c.answerRegistry(x)
	if err != nil {
		c.writeRegistryError(x, err)
		if f := asFault(err); f != nil && f.Status == 0 {
			x.w.status = 0 // nothing was answered
		}
	}
	entry := Call{Time: x.at, Principal: x.principal.arn, Service: "registry", Action: x.route.action,
		Resource: x.resource, Method: r.Method, Path: r.URL.Path, Bytes: x.read,
		Status: x.w.status, Allowed: true, RequestID: x.id, Fault: x.hit.mark(), Decisions: x.decisions}
	if f := asFault(err); f != nil && (x.w.status == http.StatusUnauthorized || x.w.status == http.StatusForbidden) {
		entry.Allowed, entry.Why = false, f.reason()
	}
	c.journal.add(entry)
	x.hit.end(x.Context())
}

// registryFor tells the registry from the Host; any other name stands for the
// default account and region.
func (c *Cloud) registryFor(host string) registryID {
	if m := registryHost.FindStringSubmatch(host); m != nil {
		return registryID{account: m[1], region: m[2]}
	}
	return registryID{account: c.Account, region: c.Region}
}

func (c *Cloud) answerRegistry(x *exchange) error {
	var err error
	if x.route, err = findRoute(x.Request); err != nil {
		return err
	}
	if err := c.login(x); err != nil {
		return err
	}
	if x.route.repository != "" {
		x.resource = x.registry.arn(x.route.repository)
		if err := c.mayUseRepository(x.asker(), x.registry, x.route.permission, x.route.repository, nil); err != nil {
			return err
		}
	}
	if err := x.suffer(c.befall("registry", x.route.action, x.named())); err != nil {
		return err
	}
	return x.route.run(c, x)
}

// suffer lets happen what befalls the request before it is performed.
func (x *exchange) suffer(h *hit) error {
	x.hit = h
	x.w.ResponseWriter = h.answer(x.w.ResponseWriter)
	if x.ContentLength != 0 {
		x.Body = h.payload(x.Body, x.ContentLength)
	}
	if (h.is(EffectHang) || h.is(EffectHold)) && x.ContentLength != 0 {
		// Only once the body is read does net/http notice that a client goes.
		raw, err := io.ReadAll(x)
		if err != nil {
			return h.hangUp()
		}
		x.Body = io.NopCloser(bytes.NewReader(raw))
	}
	err := h.begin(x.Context())
	if f := asFault(err); f != nil {
		registryFault(f)
	}
	return err
}

// named is what the request is about, as a fault asks for it.
func (x *exchange) named() string {
	name := x.route.repository
	switch reference := or(x.URL.Query().Get("digest"), x.route.reference); {
	case strings.HasPrefix(reference, "sha256:"):
		name += "@" + reference
	case reference != "":
		name += ":" + reference
	}
	return name
}

// findRoute reads method and path: /v2/<name>/<kind>/<reference>. Names hold
// slashes, so the path is read from its end.
func findRoute(r *http.Request) (route, error) {
	path := strings.TrimPrefix(r.URL.Path, "/v2")
	if path == "" || path == "/" {
		return methodRoute(r.Method, route{}, pingRoutes())
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	n := len(parts)
	var found route
	var table map[string]route
	switch {
	case n >= 3 && parts[n-2] == "manifests":
		found, table = route{repository: join(parts[:n-2]), reference: parts[n-1]}, manifestRoutes()
	case n >= 4 && parts[n-3] == "blobs" && parts[n-2] == "uploads" && parts[n-1] != "":
		found, table = route{repository: join(parts[:n-3]), reference: parts[n-1]}, uploadRoutes()
	case n >= 3 && strings.HasSuffix(path, "/blobs/uploads") || strings.HasSuffix(path, "/blobs/uploads/"):
		name, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/blobs/uploads")
		found, table = route{repository: name}, startRoutes()
		if wholeUpload(r) {
			table = map[string]route{"POST": {action: "UploadBlob", permission: "InitiateLayerUpload", run: (*Cloud).postUpload}}
		}
	case n >= 3 && parts[n-2] == "blobs":
		found, table = route{repository: join(parts[:n-2]), reference: parts[n-1]}, blobRoutes()
	case n >= 3 && parts[n-2] == "referrers":
		found, table = route{repository: join(parts[:n-2]), reference: parts[n-1]}, referrerRoutes()
	case n >= 3 && parts[n-2] == "tags" && parts[n-1] == "list":
		found, table = route{repository: join(parts[:n-2])}, tagRoutes()
	default:
		return route{action: "Unknown"}, faultf(http.StatusNotFound, "UNSUPPORTED", "the local registry does not serve %s", r.URL.Path)
	}
	return methodRoute(r.Method, found, table)
}

func join(parts []string) string { return strings.Join(parts, "/") }

// methodRoute picks the method and checks the name before it is used for
// anything.
func methodRoute(method string, found route, table map[string]route) (route, error) {
	match, ok := table[method]
	if !ok {
		found.action = "Unknown"
		return found, faultf(http.StatusMethodNotAllowed, "UNSUPPORTED", "The operation is unsupported.")
	}
	found.action, found.permission, found.run = match.action, match.permission, match.run
	if found.repository == "" && found.action == "Ping" {
		return found, nil
	}
	if checkRepositoryName(found.repository) != nil {
		found.repository = ""
		return found, faultf(http.StatusBadRequest, "NAME_INVALID", "invalid repository name")
	}
	return found, nil
}

func pingRoutes() map[string]route {
	return map[string]route{"GET": {action: "Ping", run: (*Cloud).ping}, "HEAD": {action: "Ping", run: (*Cloud).ping}}
}

func startRoutes() map[string]route {
	return map[string]route{"POST": {action: "StartUpload", permission: "InitiateLayerUpload", run: (*Cloud).postUpload}}
}

// wholeUpload says whether a POST carries the whole blob.
func wholeUpload(r *http.Request) bool {
	query := r.URL.Query()
	return query.Get("digest") != "" && query.Get("mount") == ""
}

func referrerRoutes() map[string]route {
	return map[string]route{"GET": {action: "ListReferrers", permission: "BatchGetImage", run: (*Cloud).listReferrers}}
}

func tagRoutes() map[string]route {
	return map[string]route{"GET": {action: "ListTags", permission: "ListImages", run: (*Cloud).listTags}}
}

func manifestRoutes() map[string]route {
	return map[string]route{
		"HEAD":   {action: "HeadManifest", permission: "BatchGetImage", run: (*Cloud).getManifest},
		"GET":    {action: "GetManifest", permission: "BatchGetImage", run: (*Cloud).getManifest},
		"PUT":    {action: "PutManifest", permission: "PutImage", run: (*Cloud).putManifest},
		"DELETE": {action: "DeleteManifest", permission: "BatchDeleteImage", run: (*Cloud).deleteManifest},
	}
}

// blobRoutes: ECR does not delete layers on request.
func blobRoutes() map[string]route {
	return map[string]route{
		"HEAD": {action: "HeadBlob", permission: "BatchCheckLayerAvailability", run: (*Cloud).getBlob},
		"GET":  {action: "GetBlob", permission: "GetDownloadUrlForLayer", run: (*Cloud).getBlob},
	}
}

func uploadRoutes() map[string]route {
	return map[string]route{
		"GET":    {action: "GetUpload", permission: "UploadLayerPart", run: (*Cloud).getUpload},
		"PATCH":  {action: "UploadBlob", permission: "UploadLayerPart", run: (*Cloud).patchUpload},
		"PUT":    {action: "CompleteUpload", permission: "CompleteLayerUpload", run: (*Cloud).putUpload},
		"DELETE": {action: "CancelUpload", permission: "UploadLayerPart", run: (*Cloud).deleteUpload},
	}
}

// login checks the token of GetAuthorizationToken. No token or an unknown one
// is asked for; an expired one is denied without a challenge, as ECR does
// (flipt-io/flipt#3043). A token is good in the region that gave it.
func (c *Cloud) login(x *exchange) error {
	challenge := faultf(http.StatusUnauthorized, "UNAUTHORIZED", "Not Authorized")
	user, password, ok := x.BasicAuth()
	if !ok || user != "AWS" {
		return challenge
	}
	var token registryToken
	if !c.store.get(registryTokenKey(password), &token) || token.Region != x.registry.region {
		return challenge
	}
	x.principal = token.principal()
	if !x.at.Before(token.Expires) {
		return faultf(http.StatusForbidden, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
	}
	return nil
}

func (c *Cloud) ping(x *exchange) error {
	return x.reply(http.StatusOK, "application/json", []byte("{}"))
}

func (x *exchange) reply(status int, contentType string, body []byte) error {
	if contentType != "" {
		x.w.Header().Set("Content-Type", contentType)
	}
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // the client has gone: nothing to tell it
	return nil
}

// registryCode tells how the registry words ECR's errors. Where known, from
// what users saw: TAG_INVALID (osscontainertools/kaniko#204),
// BLOB_UPLOAD_UNKNOWN (oras-project/oras-py#54), UNSUPPORTED with 405
// (google/go-containerregistry#704, docker/docker.app#563).
func registryCode(f *fault) (int, string) {
	switch f.Code {
	case "RepositoryNotFoundException":
		return http.StatusNotFound, "NAME_UNKNOWN"
	case "ImageNotFoundException":
		return http.StatusNotFound, "MANIFEST_UNKNOWN"
	case "LayersNotFoundException":
		return http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN"
	case "ReferencedImagesNotFoundException":
		return http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN"
	case "ImageTagAlreadyExistsException":
		return http.StatusBadRequest, "TAG_INVALID"
	case "ImageDigestDoesNotMatchException":
		return http.StatusBadRequest, "DIGEST_INVALID"
	case "ImageReferencedByManifestList", "InvalidParameterException":
		return http.StatusMethodNotAllowed, "UNSUPPORTED"
	case "AccessDeniedException", "AccessDenied", "LimitExceededException":
		return http.StatusForbidden, "DENIED"
	}
	return f.Status, f.Code
}

// writeRegistryError answers {"errors": [{code, message}]}.
func (c *Cloud) writeRegistryError(x *exchange, err error) {
	f := asFault(err)
	if f == nil {
		c.warn("registry: %s %s: %v", x.Method, x.URL.Path, err)
		f = faultf(http.StatusInternalServerError, "UNKNOWN", "the local cloud failed: %v", err)
	}
	if x.w.status != 0 {
		return // the answer has begun
	}
	status, code := registryCode(f)
	if status == http.StatusUnauthorized {
		x.w.Header().Set("Www-Authenticate", `Basic realm="http://`+x.Host+`/",service="ecr.amazonaws.com"`)
	}
	body, marshalErr := json.Marshal(map[string]any{"errors": []map[string]any{{"code": code, "message": f.Message}}})
	if err := errors.Join(marshalErr, x.reply(status, "application/json; charset=utf-8", body)); err != nil {
		c.warn("registry: answering %s %s: %v", x.Method, x.URL.Path, err)
	}
}

// drain reads what is left of a refused body, up to a bound, so that a client
// that is still sending gets to see the answer.
func (x *exchange) drain() {
	_, _ = io.CopyN(io.Discard, x, 1<<20)
}
