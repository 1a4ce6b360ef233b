package sim

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/slipway-cd/slipway/internal/sim/sandbox"
)

// initLimit is how long an agent may take to become healthy.
const initLimit = 30 * time.Second

// sessionKey names a session: they are kept apart by endpoint.
type sessionKey struct {
	runtime  string // ARN
	endpoint string
	session  string
}

// sessions are the agents that run. The zero value is ready.
type sessions struct {
	mu  sync.Mutex
	all map[sessionKey]*session
	// named are sessions by the Mcp-Session-Id that their agent has given them.
	named  map[sessionKey]*session
	runner *sandbox.Runner
	images map[string]*sync.Mutex // by digest: one unpacks, the others wait
	// limit is initLimit where it is zero; tests are less patient.
	limit time.Duration
}

func (t *sessions) find(key sessionKey) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.all[key]; s != nil {
		return s
	}
	return t.named[key]
}

// name lets a session be found by another id as well.
func (t *sessions) name(s *session, id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all[s.key] != s {
		return // it has ended
	}
	if t.named == nil {
		t.named = make(map[sessionKey]*session)
	}
	t.forgetNames(s) // an agent has one session of MCP's at a time
	t.named[sessionKey{s.key.runtime, s.key.endpoint, id}] = s
}

func (t *sessions) forgetNames(s *session) {
	maps.DeleteFunc(t.named, func(_ sessionKey, other *session) bool { return other == s })
}

// remove takes a session off the table, if it is still the one there.
func (t *sessions) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all[s.key] == s {
		delete(t.all, s.key)
	}
	t.forgetNames(s)
}

// count of the sessions whose runtimes' ARNs begin with prefix.
func (t *sessions) count(prefix string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.all {
		if strings.HasPrefix(key.runtime, prefix) {
			n++
		}
	}
	return n
}

// session is one process of one version.
type session struct {
	key        sessionKey
	version    *versionRecord
	contract   contract
	idle, life time.Duration
	begun      time.Time // by the cloud's clock

	// ctx ends when the session shall.
	ctx    context.Context
	cancel context.CancelFunc
	// ready is closed when the agent is healthy, or failed says why not.
	ready  chan struct{}
	failed error
	client *http.Client
	// done is closed when nothing of the session is left.
	done chan struct{}

	mu       sync.Mutex
	inFlight int
	used     time.Time   // when it was busy last, by the cloud's clock
	timer    *time.Timer // looks again when a limit may have passed
}

// await waits until the agent is healthy.
func (s *session) await(ctx context.Context) error {
	select {
	case <-s.ready:
		return s.failed
	case <-ctx.Done():
		return clientError("The caller has gone")
	}
}

// enter and leave count the calls under way, those that wait for the agent's
// start included: a session is idle without any. A session that is ending
// can't be entered.
func (s *session) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.inFlight++
	return true
}

func (s *session) leave(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	s.used = now
	s.arm(now)
}

// arm sets the timer to the next moment at which the session may have to end.
// The caller holds s.mu.
func (s *session) arm(now time.Time) {
	next := s.begun.Add(s.life).Sub(now)
	if s.inFlight == 0 {
		next = min(next, s.used.Add(s.idle).Sub(now))
	}
	s.timer.Reset(max(next, time.Millisecond))
}

// busy says whether the agent works on something without a call. One that
// still starts has a limit of its own.
func (s *session) busy() bool {
	select {
	case <-s.ready:
		_, busy := s.ping(s.ctx)
		return busy
	default:
		return true
	}
}

// review ends a session whose time is over by the cloud's clock: its life,
// whatever it does, or its idle time, unless its agent says that it is busy.
func (c *Cloud) review(s *session) {
	s.mu.Lock()
	idle := s.inFlight == 0 && !c.now().Before(s.used.Add(s.idle))
	s.mu.Unlock()
	busy := idle && s.busy()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := c.now()
	switch {
	case s.ctx.Err() != nil:
		return
	case !now.Before(s.begun.Add(s.life)):
		s.cancel()
		return
	case s.inFlight > 0:
	case busy:
		s.used = now
	case !now.Before(s.used.Add(s.idle)):
		s.cancel()
		return
	}
	s.arm(now)
}

// sessionFor enters the session of a call, or begins one with the version that
// the endpoint serves now. A session that runs keeps its version.
func (c *Cloud) sessionFor(in invocation) (*session, error) {
	for {
		s := c.agentcore.sessions.find(in.key())
		if s == nil {
			var err error
			if s, err = c.beginSession(in); s != nil || err != nil {
				return s, err
			}
			continue // another call was faster
		}
		c.review(s)
		if s.enter() {
			return s, nil
		}
		<-s.done // it is ending; the next one begins after it
	}
}

// beginSession begins a session and enters it; nil if there is one by now. Its
// agent's start outlives the call that caused it.
func (c *Cloud) beginSession(in invocation) (*session, error) {
	c.agentcore.mu.Lock()
	defer c.agentcore.mu.Unlock()
	if c.agentcore.closed {
		return nil, faultf(http.StatusInternalServerError, "InternalServerException", "the local cloud is closing")
	}
	t := &c.agentcore.sessions
	if t.find(in.key()) != nil {
		return nil, nil //nolint:nilnil // said above
	}
	r, v, err := c.served(in)
	if err != nil {
		return nil, err
	}
	if most := c.agentcore.quotas.sessionsIn(in.region); t.count(runtimeARN(in.account, in.region, "")) >= most {
		return nil, quotaExceeded("This account has %d active sessions, the most that it may have", most)
	}
	s := newSession(in.key(), v, c.now())
	s.timer = time.AfterFunc(s.idle, func() { c.review(s) })
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = make(map[sessionKey]*session)
	}
	t.all[s.key] = s
	go c.live(s, r)
	return s, nil
}

// newSession is a session with one call under way.
func newSession(key sessionKey, v *versionRecord, now time.Time) *session {
	idle, life := lifecycle(v.Document)
	ctx, cancel := context.WithCancel(context.Background())
	return &session{key: key, version: v, contract: contractOf(v.Document), begun: now, used: now, inFlight: 1,
		idle: time.Duration(idle) * time.Second, life: time.Duration(life) * time.Second,
		ctx: ctx, cancel: cancel, ready: make(chan struct{}), done: make(chan struct{})}
}
