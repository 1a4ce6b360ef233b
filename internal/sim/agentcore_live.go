package sim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/sim/sandbox"
)

// live is a session's whole life.
func (c *Cloud) live(s *session, r *runtimeRecord) {
	defer close(s.done)
	defer s.cancel()
	defer s.timer.Stop()
	defer c.agentcore.sessions.remove(s)
	p, err := c.startAgent(s, r)
	if err != nil {
		c.agentcore.sessions.remove(s) // the next call tries again
		s.failed = err
		close(s.ready)
		return
	}
	defer p.Close()
	defer s.client.CloseIdleConnections()
	close(s.ready)
	select {
	case <-s.ctx.Done():
	case <-p.Done():
		c.warn("agent %s version %d ended by itself: %s", s.key.runtime, s.version.Number, p.End())
	}
}

// startAgent unpacks the image, starts it and waits until it is healthy.
func (c *Cloud) startAgent(s *session, r *runtimeRecord) (*sandbox.Process, error) {
	ctx, cancel := context.WithTimeout(s.ctx, c.agentcore.sessions.initTime())
	defer cancel()
	runner, err := c.runner()
	if err != nil {
		return nil, err
	}
	agent, err := c.prepare(s.ctx, s, r)
	if err != nil {
		return nil, err
	}
	p, err := runner.Start(s.ctx, agent)
	if err != nil {
		c.warn("agent %s version %d could not be started: %v", s.key.runtime, s.version.Number, err)
		return nil, clientError("the local cloud could not start the agent: %v", err)
	}
	s.client = &http.Client{Transport: &http.Transport{
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return p.Dial(ctx) },
		DisableCompression:    true,
		ResponseHeaderTimeout: syncLimit,
	}}
	if err := s.untilHealthy(ctx, p); err != nil {
		p.Close()
		c.warn("agent %s version %d did not become healthy: %v (%s)", s.key.runtime, s.version.Number, err, p.End())
		return nil, initTimeExceeded()
	}
	return p, nil
}

func (t *sessions) initTime() time.Duration {
	if t.limit != 0 {
		return t.limit
	}
	return initLimit
}

// untilHealthy pings the agent. AgentCore waits its time out even for an agent
// that has crashed; here the end is seen at once, and told in the same words.
func (s *session) untilHealthy(ctx context.Context, p *sandbox.Process) error {
	again := time.NewTicker(25 * time.Millisecond)
	defer again.Stop()
	for {
		if ok, _ := s.ping(ctx); ok {
			return nil
		}
		select {
		case <-p.Done():
			return errors.New("the agent ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}

// pingLimit bounds one /ping.
const pingLimit = 5 * time.Second

// ping asks the agent for its health; where its protocol has no such path, a
// connection has to do.
func (s *session) ping(ctx context.Context) (ok, busy bool) {
	if s.client == nil {
		return false, false
	}
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	ping := s.contract.ping
	if ping == "" {
		ping = "/"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+ping, nil)
	if err != nil {
		return false, false
	}
	res, err := s.client.Do(req)
	if err != nil {
		return false, false
	}
	defer res.Body.Close()
	if s.contract.ping == "" {
		return true, false
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return false, false
	}
	return healthy(res.StatusCode, body)
}

// stopSessions ends the sessions that match, waits for their end, and says how
// many there were.
func (c *Cloud) stopSessions(match func(sessionKey) bool) int {
	t := &c.agentcore.sessions
	t.mu.Lock()
	var ending []*session
	for key, s := range t.all {
		if match(key) {
			ending = append(ending, s)
			delete(t.all, key)
			t.forgetNames(s)
		}
	}
	t.mu.Unlock()
	for _, s := range ending {
		s.cancel()
	}
	for _, s := range ending {
		<-s.done
	}
	return len(ending)
}

// closeAgents ends every agent. The caller holds c.agentcore.mu, so that none
// begins meanwhile.
func (c *Cloud) closeAgents() {
	c.stopSessions(func(sessionKey) bool { return true })
}

// agentsDir holds unpacked images and the agents' own layers.
func (c *Cloud) agentsDir(name string) string { return filepath.Join(c.Dir, "agents", name) }

// runner is made on first use, after what a killed cloud left behind is gone.
func (c *Cloud) runner() (*sandbox.Runner, error) {
	t := &c.agentcore.sessions
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.runner == nil {
		if err := c.sweepAgents(); err != nil {
			return nil, err
		}
		t.runner = &sandbox.Runner{Init: c.Sandbox, Owner: c.Dir, Warn: c.Warn}
	}
	return t.runner, nil
}

// agentOutput keeps what an agent prints: one stream per process.
func (c *Cloud) agentOutput(s *session, r *runtimeRecord) func(string) {
	group := logGroup(r.ID, s.key.endpoint)
	// The date comes first, as live groups show it: a search by the prefix
	// [runtime-logs] finds nothing (fastagent-sh/fastagent#312).
	stream := c.now().UTC().Format("2006/01/02/") + "[runtime-logs]" + newRequestID()
	keep := func(lines ...string) {
		if err := c.appendLogs(r.Account, r.Region, group, stream, lines); err != nil {
			c.warn("keeping the log of %s: %v", r.arn(), err)
		}
	}
	keep() // the group is there even if nothing is printed
	return func(line string) {
		if strings.TrimSpace(line) != "" {
			keep(line)
		}
	}
}

// platformError says what is missing to run an image here.
func platformError(platform string) error {
	return clientError("the local cloud can't run %s images on this machine: no emulator is registered for them (binfmt_misc, with flag F). Build for %s (a microVM takes linux/arm64 alone; compute: instances takes both), or register one", platform, hostPlatform())
}

// healthy judges an answer to /ping.
func healthy(status int, body []byte) (ok, busy bool) {
	var p struct {
		Status string `json:"status"`
	}
	if status != http.StatusOK || json.Unmarshal(body, &p) != nil {
		return false, false
	}
	return p.Status == "Healthy" || p.Status == "HealthyBusy", p.Status == "HealthyBusy"
}

// initTimeExceeded is what AgentCore says of an agent that does not become
// healthy, whether it is slow or has crashed. The truth is in its log.
func initTimeExceeded() *fault {
	return clientError("Runtime initialization time exceeded. Please make sure that initialization completes in 30s.")
}
