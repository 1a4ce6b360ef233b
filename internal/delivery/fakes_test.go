package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testAccount  = "111122223333"
	testRegistry = testAccount + ".dkr.ecr.us-east-1.amazonaws.com"
	testID       = "helper_dev-a1b2c3d4e5"
	testARN      = "arn:aws:bedrock-agentcore:us-east-1:" + testAccount + ":runtime/" + testID
)

func testTarget() Target {
	return Target{Agent: "helper", Environment: "dev", Account: testAccount, Region: "us-east-1",
		Registry: testRegistry, Repository: "helper/runtime", Compute: MicroVM, MovesLatest: true,
		ExecutionRole: "arn:aws:iam::" + testAccount + ":role/helper"}
}

// rev makes a revision of one letter.
func rev(letter string) string { return strings.Repeat(letter, 40) }

// killed is what the world panics with when it ends a run, as kill -9 would.
type killed struct{}

// world is all that a delivery speaks to, in memory. It behaves as facts.md
// says AgentCore, SSM and ECR do, and keeps a ledger of every call.
type world struct {
	mu sync.Mutex
	t  testing.TB

	account string
	logins  int
	params  map[string]string
	history map[string][]string // what params held, oldest first
	tags    map[string]string   // tag: digest
	images  map[string]*fakeImage
	built   map[string]*fakeImage // revision: what its build yields

	runtime   bool // there is one
	versions  []Document
	deleted   int // how many of the oldest are gone
	status    string
	failure   string
	busy      int // polls until UPDATING ends
	endpoints map[string]*Endpoint
	tokens    map[string]int // clientToken: the version it made

	polls       int               // how long updates take
	lag         int               // how long liveVersion lags behind
	updateFails map[string]string // digest: failureReason
	verdicts    map[string]Answer // digest: what its agent answers, if not pong
	lines       []LogLine
	sessions    map[string]bool

	ledger []string
	counts map[string]int
	// before and after run at a call's start and end, with its number among
	// calls of that name. What after returns is an answer lost on its way.
	before, after map[string]func(ctx context.Context, n int) error
	// fault does so with every call, numbered among all.
	fault   func(ctx context.Context, k int, name string, done bool) error
	writes  int
	onWrite func(n int, done bool)
	lagging map[string]int
}

// newWorld has one runtime at version 1, made by other hands: no record, an
// image of another revision, members that nobody here has heard of.
func newWorld(t testing.TB) *world {
	w := &world{t: t, account: testAccount, params: map[string]string{}, tags: map[string]string{}, images: map[string]*fakeImage{},
		built: map[string]*fakeImage{}, status: "READY", endpoints: map[string]*Endpoint{}, tokens: map[string]int{},
		polls: 2, lag: 2, updateFails: map[string]string{}, verdicts: map[string]Answer{}, sessions: map[string]bool{},
		counts: map[string]int{}, before: map[string]func(context.Context, int) error{},
		after: map[string]func(context.Context, int) error{}, lagging: map[string]int{}}
	old := newImage("linux", "arm64", rev("0"))
	w.keep(old, rev("0"), "latest")
	w.runtime = true
	w.versions = []Document{Document(`{"agentRuntimeArn":"` + testARN + `","agentRuntimeId":"` + testID + `","agentRuntimeName":"helper_dev",` +
		`"agentRuntimeVersion":"1","status":"READY","createdAt":"2026-11-01T00:00:00Z","roleArn":"arn:aws:iam::111122223333:role/helper",` +
		`"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"` + testRegistry + `/helper/runtime:latest"}},` +
		`"networkConfiguration":{"networkMode":"PUBLIC"},"lifecycleConfiguration":{"idleRuntimeSessionTimeout":600,"maxLifetime":7200},` +
		`"environmentVariables":{"SECRET":"hush","LOG_LEVEL":"info"},"hooksConfiguration":{"build":{"warmup":1.50}}}`)}
	w.endpoints[DefaultEndpoint] = &Endpoint{Name: DefaultEndpoint, Status: "READY", LiveVersion: "1", TargetVersion: "1"}
	w.params["/helper/dev/runtime-id"] = testID + "\n"
	return w
}

// noRuntime takes the runtime away: the environment has none yet.
func (w *world) noRuntime() *world {
	w.runtime, w.versions = false, nil
	delete(w.endpoints, DefaultEndpoint)
	delete(w.params, "/helper/dev/runtime-id")
	return w
}

func (w *world) keep(img *fakeImage, tags ...string) {
	w.images[img.digest] = img
	for _, tag := range tags {
		w.tags[tag] = img.digest
	}
}

// bad makes the agent of a revision crash at its start.
func (w *world) bad(letter string) {
	w.verdicts[w.imageOf(rev(letter)).digest] = Answer{Status: 424, ErrorCode: "RuntimeClientError", Message: "initialization time exceeded"}
}

func (w *world) imageOf(revision string) *fakeImage {
	if w.built[revision] == nil {
		w.built[revision] = newImage("linux", "arm64", revision)
	}
	return w.built[revision]
}

func (w *world) digestOf(letter string) string { return w.imageOf(rev(letter)).digest }

// called is the call numbered k among all, with what it was on.
func (w *world) called(k int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ledger[k-1]
}

// call records a call, runs what the test put before it, and returns what it
// put after it.
func (w *world) call(ctx context.Context, name, on string, write bool, do func() error) error {
	w.mu.Lock()
	w.counts[name]++
	n := w.counts[name]
	w.ledger = append(w.ledger, strings.TrimSpace(name+" "+on))
	before, after, fault, k := w.before[name], w.after[name], w.fault, len(w.ledger)
	w.mu.Unlock()
	if fault != nil {
		if err := fault(ctx, k, name, false); err != nil {
			return err
		}
	}
	if before != nil {
		if err := before(ctx, n); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.mu.Lock()
	if write {
		w.writes++
		if w.onWrite != nil {
			w.dying(w.writes, false)
		}
	}
	err := do()
	if write && w.onWrite != nil {
		w.dying(w.writes, true)
	}
	w.mu.Unlock()
	if fault != nil && err == nil {
		err = fault(ctx, k, name, true)
	}
	if after != nil && err == nil {
		return after(ctx, n)
	}
	return err
}

func (w *world) dying(n int, done bool) {
	defer func() {
		if p := recover(); p != nil {
			w.mu.Unlock()
			panic(p)
		}
	}()
	w.onWrite(n, done)
}

// wrote lists the writing calls so far.
func (w *world) wrote() []string {
	var wrote []string
	for _, c := range w.ledger {
		switch name, _, _ := strings.Cut(c, " "); name {
		case "Push", "Tag", "Update", "Create", "CreateEndpoint", "MoveEndpoint", "PutParameter", "DeleteParameter":
			wrote = append(wrote, c)
		}
	}
	return wrote
}

func remote(kind error, status int, code string) error {
	return &RemoteError{Service: "AWS", Operation: "Call", Code: code, Status: status, Kind: kind}
}

func throttled() error { return remote(ErrThrottled, 429, "ThrottlingException") }
func notFound() error  { return remote(ErrNotFound, 404, "ResourceNotFoundException") }

func (w *world) Login(ctx context.Context) (c Caller, err error) {
	err = w.call(ctx, "Login", "", false, func() error {
		w.logins++
		c = Caller{Account: w.account, ARN: "arn:aws:sts::" + w.account + ":assumed-role/deploy/gh-1"}
		return nil
	})
	return c, err
}

func (w *world) Build(ctx context.Context, req BuildRequest) (img Image, err error) {
	err = w.call(ctx, "Build", short(req.Source.Revision), false, func() error {
		img = w.imageOf(req.Source.Revision)
		return nil
	})
	return img, err
}

func (w *world) Resolve(ctx context.Context, tag string) (digest string, err error) {
	err = w.call(ctx, "Resolve", tag, false, func() error {
		digest = w.tags[tag]
		if digest == "" {
			return notFound()
		}
		return nil
	})
	return digest, err
}

func (w *world) Open(ctx context.Context, digest string) (img Image, err error) {
	err = w.call(ctx, "Open", digest, false, func() error {
		if w.images[digest] == nil {
			return notFound()
		}
		img = w.images[digest]
		return nil
	})
	return img, err
}

func (w *world) Push(ctx context.Context, img Image, tag string, progress func(Transfer)) error {
	raw, _, err := img.Manifest(ctx)
	if err != nil {
		return err
	}
	digest := digestOf(raw)
	return w.call(ctx, "Push", tag, true, func() error {
		if old := w.tags[tag]; old != "" && old != digest {
			return remote(ErrExists, 400, "ImageTagAlreadyExistsException")
		}
		progress(Transfer{Done: 1, Total: 1})
		w.keep(&fakeImage{raw: raw, digest: digest, blobs: blobsOf(img)}, tag)
		return nil
	})
}

func (w *world) Tag(ctx context.Context, digest, tag string) error {
	return w.call(ctx, "Tag", tag, true, func() error {
		if w.images[digest] == nil {
			return notFound()
		}
		w.tags[tag] = digest
		return nil
	})
}

func (w *world) Get(ctx context.Context, id, version string) (doc Document, err error) {
	err = w.call(ctx, "Get", version, false, func() error {
		if !w.runtime || id != testID {
			return notFound()
		}
		if version != "" {
			n, _ := strconv.Atoi(version)
			if n < 1 || n > len(w.versions) || n <= w.deleted {
				return notFound()
			}
			doc = w.versions[n-1]
			return nil
		}
		if w.busy > 0 {
			if w.busy--; w.busy == 0 {
				w.settleUpdate()
			}
		}
		doc = w.stamped()
		return nil
	})
	return doc, err
}

// stamped is the newest version with the runtime's status.
func (w *world) stamped() Document {
	o, _ := parseObject(w.versions[len(w.versions)-1])
	o = o.set("status", quoted(w.status))
	if w.failure != "" {
		o = o.set("failureReason", quoted(w.failure))
	}
	return o.raw()
}

func quoted(s string) json.RawMessage {
	raw, _ := json.Marshal(s)
	return raw
}

func (w *world) settleUpdate() {
	newest := w.versions[len(w.versions)-1]
	if why := w.updateFails[w.runs(newest)]; why != "" {
		w.status, w.failure = "UPDATE_FAILED", why
		return
	}
	w.status, w.lagging[DefaultEndpoint] = "READY", w.lag
	e := w.endpoints[DefaultEndpoint]
	e.TargetVersion, e.Status = strconv.Itoa(len(w.versions)), "READY"
}

// runs resolves what a version's configuration names to a digest.
func (w *world) runs(doc Document) string {
	f, err := readFacts(doc)
	if err != nil {
		w.t.Errorf("a document that can't be read: %s", doc)
	}
	uri := f.Artifact.Container.URI
	if _, digest, ok := strings.Cut(uri, "@"); ok {
		return digest
	}
	return w.tags[uri[strings.LastIndex(uri, ":")+1:]]
}

func (w *world) Update(ctx context.Context, id string, body Document, token string) (doc Document, err error) {
	err = w.call(ctx, "Update", "", true, func() error {
		if !w.runtime || id != testID {
			return notFound()
		}
		if n := w.tokens[token]; n > 0 {
			doc = w.versions[n-1]
			return nil
		}
		if w.status == "UPDATING" {
			return remote(ErrConflict, 409, "ConflictException")
		}
		w.tokens[token] = w.makeVersion(body)
		doc = w.stamped()
		return nil
	})
	return doc, err
}

// makeVersion is what an update does, whoever sends it.
func (w *world) makeVersion(body Document) int {
	o, err := parseObject(body)
	if err != nil {
		w.t.Errorf("a body that can't be read: %s", body)
	}
	for _, m := range o {
		for _, name := range responseOnly() {
			if m.name == name {
				w.t.Errorf("the body of an update has %s", name)
			}
		}
	}
	n := len(w.versions) + 1
	o = append(object{{name: "agentRuntimeArn", value: quoted(testARN)}, {name: "agentRuntimeId", value: quoted(testID)}, {name: "agentRuntimeName", value: quoted("helper_dev")},
		{name: "agentRuntimeVersion", value: quoted(strconv.Itoa(n))}, {name: "status", value: quoted("READY")}, {name: "createdAt", value: quoted("2026-11-01T00:00:00Z")},
		{name: "lastUpdatedAt", value: quoted(time.Now().UTC().Format(time.RFC3339Nano))}}, o...)
	w.versions = append(w.versions, o.raw())
	w.status, w.failure, w.busy = "UPDATING", "", max(w.polls, 1)
	return n
}

// foreign is an update by other hands, done in no time.
func (w *world) foreign() {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, _ := parseObject(w.versions[len(w.versions)-1])
	w.makeVersion(o.without(responseOnly()...).set("description", quoted("by hand")).raw())
	w.busy, w.status = 0, "READY"
	e := w.endpoints[DefaultEndpoint]
	e.TargetVersion, e.LiveVersion = strconv.Itoa(len(w.versions)), strconv.Itoa(len(w.versions))
}

func (w *world) Endpoint(ctx context.Context, _, name string) (e Endpoint, err error) {
	err = w.call(ctx, "Endpoint", name, false, func() error {
		p := w.endpoints[name]
		if p == nil {
			return notFound()
		}
		e = *p
		if p.LiveVersion != p.TargetVersion {
			if w.lagging[name]--; w.lagging[name] <= 0 {
				p.LiveVersion = p.TargetVersion
			}
		}
		return nil
	})
	return e, err
}

func (w *world) Create(ctx context.Context, body Document, token string) (doc Document, err error) {
	err = w.call(ctx, "Create", "", true, func() error {
		if w.runtime && w.tokens[token] == 0 {
			return remote(ErrConflict, 409, "ConflictException")
		}
		o, _ := parseObject(body)
		if _, has := o.get("metadataConfiguration"); has {
			return remote(ErrInvalid, 400, "ValidationException")
		}
		w.runtime = true
		w.endpoints[DefaultEndpoint] = &Endpoint{Name: DefaultEndpoint, Status: "CREATING", TargetVersion: "1"}
		if len(w.versions) == 0 {
			// new runtimes have MMDSv2 on
			w.tokens[token] = w.makeVersion(o.without("agentRuntimeName").set("metadataConfiguration", Document(`{"requireMMDSV2":true}`)).raw())
			w.status = "CREATING"
		}
		doc = w.stamped()
		return nil
	})
	return doc, err
}

func (w *world) Find(ctx context.Context, name string) (id string, err error) {
	err = w.call(ctx, "Find", name, false, func() error {
		if !w.runtime || name != "helper_dev" {
			return notFound()
		}
		id = testID
		return nil
	})
	return id, err
}

func (w *world) CreateEndpoint(ctx context.Context, _, name, version, _ string) error {
	return w.call(ctx, "CreateEndpoint", name+" "+version, true, func() error {
		if w.endpoints[name] != nil {
			return remote(ErrConflict, 409, "ConflictException")
		}
		w.endpoints[name] = &Endpoint{Name: name, Status: "READY", LiveVersion: "", TargetVersion: version}
		w.lagging[name] = w.lag
		return nil
	})
}

func (w *world) MoveEndpoint(ctx context.Context, _, name, version, token string) error {
	return w.call(ctx, "MoveEndpoint", name+" "+version, true, func() error {
		if w.endpoints[name] == nil {
			return notFound()
		}
		if w.tokens[token] > 0 {
			return nil // a repeat does nothing
		}
		w.tokens[token] = 1
		w.endpoints[name].TargetVersion, w.lagging[name] = version, w.lag
		return nil
	})
}

func (w *world) Invoke(ctx context.Context, c Invocation) (a Answer, err error) {
	err = w.call(ctx, "Invoke", c.Endpoint, false, func() error {
		if w.sessions[c.Session] || len(c.Session) < 33 {
			w.t.Errorf("session %q is not fresh, or too short", c.Session)
		}
		w.sessions[c.Session] = true
		n, err := strconv.Atoi(w.endpoints[c.Endpoint].LiveVersion)
		if err != nil || c.RuntimeARN != testARN {
			w.t.Errorf("invoked %s at %s, which serves nothing", c.RuntimeARN, c.Endpoint)
		}
		a = Answer{Status: 200, Body: []byte(`{"answer":"pong"}`)}
		digest := w.runs(w.versions[n-1])
		for _, key := range []string{c.Endpoint + " " + digest, digest} {
			if v, ok := w.verdicts[key]; ok {
				a = v
				break
			}
		}
		return nil
	})
	return a, err
}

func (w *world) Lines(ctx context.Context, window LogWindow) (lines []LogLine, err error) {
	err = w.call(ctx, "Lines", window.Endpoint, false, func() error { lines = w.lines; return nil })
	return lines, err
}

func (w *world) Parameter(ctx context.Context, name string) (value string, err error) {
	err = w.call(ctx, "Parameter", name, false, func() error {
		v, ok := w.params[name]
		if !ok {
			return remote(ErrNotFound, 400, "ParameterNotFound")
		}
		value = v
		return nil
	})
	return value, err
}

func (w *world) PutParameter(ctx context.Context, name, value string, overwrite bool) error {
	return w.call(ctx, "PutParameter", name, true, func() error {
		if _, ok := w.params[name]; ok && !overwrite {
			return remote(ErrExists, 400, "ParameterAlreadyExists")
		}
		if len(value) > 4096 {
			return remote(ErrInvalid, 400, "ValidationException")
		}
		w.params[name] = value
		if w.history == nil {
			w.history = map[string][]string{}
		}
		w.history[name] = append(w.history[name], value)
		return nil
	})
}

func (w *world) History(ctx context.Context, name string) (values []string, err error) {
	return values, w.call(ctx, "History", name, false, func() error {
		if values = slices.Clone(w.history[name]); values == nil {
			return remote(ErrNotFound, 400, "ParameterNotFound")
		}
		return nil
	})
}

func (w *world) DeleteParameter(ctx context.Context, name string) error {
	return w.call(ctx, "DeleteParameter", name, true, func() error {
		if _, ok := w.params[name]; !ok {
			return remote(ErrNotFound, 400, "ParameterNotFound")
		}
		delete(w.params, name)
		return nil
	})
}
