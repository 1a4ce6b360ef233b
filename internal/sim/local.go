package sim

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
)

// maxControlBody bounds the body of a call to the control API.
const maxControlBody = 1 << 20

// serveLocal answers the control API, /_local/…: what `slipway local` asks.
// It hands out administrators' keys, so it asks for the control token and
// answers only under a loopback name: a page in a browser that has had its own
// name pointed at 127.0.0.1 is turned away.
func (c *Cloud) serveLocal(w http.ResponseWriter, r *http.Request) {
	if !loopback(r.Host) {
		writeJSON(w, http.StatusForbidden, map[string]string{"message": "the control API answers on a loopback address alone, not as " + r.Host})
		return
	}
	if subtle.ConstantTimeCompare([]byte(bearer(r)), []byte(c.identity.control)) != 1 {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"message": "the control API wants the token in the file control of the cloud's state directory"})
		return
	}
	name := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/_local/")
	run, ok := c.controls()[name]
	if !ok {
		writeJSON(w, http.StatusNotFound, map[string]string{"message": "the control API has no " + r.Method + " " + r.URL.Path})
		return
	}
	answer, err := run(r)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (c *Cloud) controls() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"GET health":        c.controlHealth,
		"GET env":           c.controlEnv,
		"GET journal":       c.controlJournal,
		"GET faults":        c.controlFaults,
		"POST faults":       c.controlAddFault,
		"DELETE faults":     c.controlClearFault,
		"POST jobs":         c.controlJob,
		"GET jobs":          c.controlJobState,
		"POST jobs/end":     c.controlEndJob,
		"GET runs":          c.controlRuns,
		"POST token":        c.controlToken,
		"POST repositories": c.controlRepository,
		"POST reset":        func(*http.Request) (any, error) { return struct{}{}, c.Reset() },
	}
}

func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func (c *Cloud) controlHealth(*http.Request) (any, error) {
	return map[string]string{"status": "ok", "account": c.Account, "region": c.Region}, nil
}

// controlEnv answers the exports of an account's administrator, or of a person.
func (c *Cloud) controlEnv(r *http.Request) (any, error) {
	if login := r.URL.Query().Get("as"); login != "" {
		return c.personEnv(login, r.Host)
	}
	key, secret, err := c.Administrator(or(r.URL.Query().Get("account"), c.Account))
	if err != nil {
		return nil, err
	}
	github, err := c.githubToken()
	if err != nil {
		return nil, err
	}
	env := c.endpoints(r.Host)
	env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = key, secret
	env["GITHUB_API_URL"], env["GH_TOKEN"] = "http://"+r.Host+"/api/v3", github
	return env, nil
}

// endpoints are the exports that lead AWS's clients to the cloud. All is plain
// HTTP but AgentCore's data plane, which takes bearer tokens: who is given that
// address is told whom to trust for it as well. (Node reads a variable of its
// own.)
func (c *Cloud) endpoints(host string) map[string]string {
	base := "http://" + host
	env := map[string]string{"AWS_ENDPOINT_URL": base, "AWS_ENDPOINT_URL_STS": base,
		"AWS_REGION": c.Region, "AWS_DEFAULT_REGION": c.Region}
	if c.https.Load() {
		env["AWS_ENDPOINT_URL_BEDROCK_AGENTCORE"] = "https://" + host
		env["AWS_CA_BUNDLE"], env["NODE_EXTRA_CA_CERTS"] = c.AuthorityFile(), c.AuthorityFile()
	}
	return env
}

func (c *Cloud) controlJournal(*http.Request) (any, error) {
	return struct {
		Schema string `json:"schema"`
		Calls  []Call `json:"calls"`
	}{"slipway.journal/v1", c.Journal()}, nil
}

// controlJob starts a job and answers how it stands: where no gate is before
// it, with the environment that it sees.
func (c *Cloud) controlJob(r *http.Request) (any, error) {
	var j Job
	if err := readControl(r, &j); err != nil {
		return nil, err
	}
	return c.startJob(j, r.Host)
}

// controlJobState answers how a job stands.
func (c *Cloud) controlJobState(r *http.Request) (any, error) {
	return c.jobState(r.URL.Query().Get("id"), r.Host)
}

// controlEndJob says how a job has ended.
func (c *Cloud) controlEndJob(r *http.Request) (any, error) {
	var request struct {
		ID         string `json:"id"`
		Conclusion string `json:"conclusion"`
	}
	if err := readControl(r, &request); err != nil {
		return nil, err
	}
	return c.endJob(request.ID, request.Conclusion)
}

// controlRuns lists the jobs that wait, oldest first.
func (c *Cloud) controlRuns(r *http.Request) (any, error) {
	waiting := []JobState{}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	for _, key := range c.store.keys(workflowRunRecord) {
		var run githubRun
		if !c.store.get(key, &run) {
			continue
		}
		for _, j := range c.jobsOf(run, len(run.Attempts)) {
			if j.Status == jobWaiting {
				waiting = append(waiting, c.state(j, r.Host))
			}
		}
	}
	return struct {
		Waiting []JobState `json:"waiting"`
	}{waiting}, nil
}

// controlToken signs a token with no job behind it.
func (c *Cloud) controlToken(r *http.Request) (any, error) {
	var request struct {
		Job      Job    `json:"job"`
		Audience string `json:"audience"`
	}
	if err := readControl(r, &request); err != nil {
		return nil, err
	}
	j, err := c.complete(request.Job)
	if err != nil {
		return nil, err
	}
	token, claims, err := c.issue(j, request.Audience)
	return map[string]any{"value": token, "claims": claims}, err
}

func (c *Cloud) controlRepository(r *http.Request) (any, error) {
	var repository Repository
	if err := readControl(r, &repository); err != nil {
		return nil, err
	}
	if repository.Owner == "" { // its name says all of it, as a job's does
		named, err := c.findRepository(repository.Name)
		if err != nil {
			return nil, err
		}
		repository.Owner, repository.OwnerID, repository.Name, repository.ID, repository.Immutable = named.Owner, named.OwnerID, named.Name, named.ID, named.Immutable
	}
	return repository, c.registerRepository(repository)
}

// readControl reads a request's JSON body. A member it does not know is a
// mistake of ours, so it is refused.
func readControl(r *http.Request, v any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, maxControlBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return errors.New("reading the request: " + err.Error())
	}
	return nil
}
