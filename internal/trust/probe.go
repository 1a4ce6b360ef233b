package trust

import (
	"fmt"
	"slices"
	"strings"
)

// Probe is a token to try a policy with. Its id tells who would send it: ids
// that begin with legit- are the intended callers, all others strangers.
type Probe struct {
	ID     string
	Claims map[string]string
}

// otherWorkflow is the one stranger that a good policy may admit: the same
// repository and environment, but another workflow file.
const otherWorkflow = "other-workflow"

func (p Probe) intended() bool { return strings.HasPrefix(p.ID, "legit-") }

// ReadProbes reads tokens as {"id": {"claim": "value"}}, in their order.
func ReadProbes(doc []byte) ([]Probe, error) {
	root, err := tree(doc)
	if err != nil {
		return nil, err
	}
	r := &reader{doc: doc}
	probes := []Probe{}
	for _, m := range r.members(root) {
		p := Probe{ID: m.name, Claims: make(map[string]string)}
		for _, claim := range r.members(m.value) {
			if claim.value.kind != scalar {
				r.fail(claim.value.offset, "%s is no plain value", claim.value.path)
			}
			p.Claims[claim.name] = claim.value.text
		}
		probes = append(probes, p)
	}
	if r.err == nil && len(r.repeats) > 0 {
		r.err = fmt.Errorf("line %d, column %d: %s is stated twice", r.repeats[0].Line, r.repeats[0].Column, r.repeats[0].Path)
	}
	return probes, r.err
}

// caller is the job that a role is meant for, as far as it is known.
type caller struct {
	repository  Repository // ids and names always there
	context     string     // of its subject
	environment string     // "" where the job names none
	pinned      map[string]string
	listed      []string // contexts of subject that the policy lists: nobody's guess
}

// claim is what the policy pins, or else an example.
func (c caller) claim(name, example string) string {
	if value := c.pinned[name]; value != "" {
		return value
	}
	return example
}

// token of the caller's own repository, but for sub.
func (c caller) token(sub string) map[string]string {
	r := c.repository
	claims := map[string]string{
		"sub": sub, "aud": audience, "repository": r.names(), "repository_id": r.ID, "repository_owner_id": r.OwnerID,
		"actor": c.claim("actor", "bob"), "actor_id": c.claim("actor_id", "9"), "ref": c.claim("ref", "refs/heads/main"),
		"workflow":         c.claim("workflow", "deploy"),
		"job_workflow_ref": c.claim("job_workflow_ref", r.names()+"/.github/workflows/deploy-agent.yml@refs/heads/main"),
		"event_name":       "push", "runner_environment": "github-hosted",
	}
	if id := c.pinned["enterprise_id"]; id != "" {
		claims["enterprise_id"] = id
	}
	if c.environment != "" {
		claims["environment"] = c.environment
	}
	return claims
}

// elsewhere is the same job in another repository, whose workflows it runs.
func (c caller) elsewhere(r Repository) caller {
	pinned := make(map[string]string)
	for name, value := range c.pinned {
		if name != "job_workflow_ref" && name != "workflow" && name != "actor" {
			pinned[name] = value
		}
	}
	c.repository, c.pinned = r, pinned
	return c
}

// in is the caller's repository, but for the job: another context of subject,
// and no environment.
func (c caller) in(context, environment string) caller {
	c.context, c.environment = context, environment
	return c
}

// probes makes tokens of the intended caller and of strangers to it. Each
// comes in both forms of subject where both tell something.
func (c caller) probes() []Probe {
	r := c.repository
	other := func(id, name string) string {
		if id == name {
			return name + "0"
		}
		return name
	}
	ownerID, id := other(r.OwnerID, "666"), other(r.ID, "777")
	evil := Repository{other(r.Owner, "evil"), ownerID, "x", id}
	var probes []Probe
	add := func(name string, c caller, legacy bool, claims ...string) {
		sub := c.repository.subject(c.context)
		if legacy {
			sub = c.repository.legacySubject(c.context)
		}
		token := c.token(sub)
		for i := 0; i+1 < len(claims); i += 2 {
			token[claims[i]] = claims[i+1]
		}
		probes = append(probes, Probe{name, token})
	}
	both := func(name string, c caller) {
		add(name, c, false)
		add(name+"-legacy", c, true)
	}
	add("legit-immutable", c, false)
	add("legit-legacy", c, true)
	both("other-org", c.elsewhere(evil))
	both("org-prefix-squat", c.elsewhere(Repository{r.Owner + "-evil", ownerID, r.Name, id}))
	add("org-onechar-legacy", c.elsewhere(Repository{oneCharOff(r.Owner), ownerID, r.Name, id}), true)
	add("resurrected-immutable", c.elsewhere(Repository{r.Owner, ownerID, r.Name, id}), false)
	add("resurrected-legacy", c.elsewhere(Repository{r.Owner, ownerID, r.Name, id}), true)
	both("same-org-other-repo", c.elsewhere(Repository{r.Owner, r.OwnerID, other(r.Name, "other"), id}))
	add("repo-prefix-legacy", c.elsewhere(Repository{r.Owner, r.OwnerID, r.Name + "-fork", id}), true)
	both("pull_request", c.in("pull_request", ""))
	both("other-branch", c.in(c.unlisted("ref:refs/heads/feature"), ""))
	add("any-tag", c.in("ref:refs/tags/v9", ""), false)
	strange := c.unlisted("environment:dev")
	both("other-env", c.in(strange, strings.TrimPrefix(strange, "environment:")))
	add(otherWorkflow, c, false, "job_workflow_ref", r.names()+"/.github/workflows/evil.yml@refs/heads/feature")
	add("lured-actor-evil-repo", c.elsewhere(evil), false, "actor", c.claim("actor", "alice"))
	add("evil-calls-shared-workflow", c.elsewhere(evil), false,
		"job_workflow_ref", c.claim("job_workflow_ref", r.Owner+"/shared/.github/workflows/deploy-agent.yml@refs/heads/main"))
	add("wrong-aud", c, false, "aud", "https://github.com/"+r.Owner)
	return probes
}

// unlisted is a context like the one given that is neither the caller's own
// nor one that may be.
func (c caller) unlisted(context string) string {
	for context == c.context || slices.Contains(c.listed, context) {
		context += "-2"
	}
	return context
}

func oneCharOff(name string) string {
	last := "x"
	if strings.HasSuffix(name, last) {
		last = "y"
	}
	return name[:len(name)-1] + last
}
