package check

import (
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/workflow/trigger"
)

// Project is what slipway.yaml says about a repository.
type Project struct {
	// Agents are the paths that a push deploys from.
	Agents []Agent
	// Environments are those that jobs may deploy to.
	Environments []Environment
}

// Agent is an agent of slipway.yaml.
type Agent struct {
	Name, Path string
}

// Environment is an environment of slipway.yaml.
type Environment struct {
	Name      string
	After     string // the environment it is promoted from
	Approvals bool
	// Admits says whether the role's trust, as slipway bootstrap writes it,
	// lets a job in that names an environment ("" for none) and runs for a
	// ref. If nil, nobody knows.
	Admits func(environment, ref string) bool
	// Branch is the one that the trust pins, "" where that is not known.
	Branch string
}

func (p *Project) environment(name string) *Environment {
	for i, e := range p.Environments {
		if e.Name == name {
			return &p.Environments[i]
		}
	}
	return nil
}

// compare holds the workflows to slipway.yaml.
func (p *Project) compare(set []*document) {
	for _, d := range set {
		for _, j := range d.jobs {
			if j.deploys() && j.deliversAgent() {
				p.compareJob(j)
			}
		}
		p.compareFilter(d)
	}
}

// deliversAgent says whether a job is about an agent: the infrastructure's own
// workflow has its own environments.
func (j *job) deliversAgent() bool {
	return slices.ContainsFunc(j.steps, func(s *step) bool {
		return slices.ContainsFunc(s.commands, func(c *command) bool {
			return c.program() == "slipway" && c.delivers() || c.has("update-agent-runtime")
		})
	})
}

func (p *Project) compareJob(j *job) {
	d, at := j.doc, j.environment()
	names := j.choices(at.text())
	if !at.ok() {
		for _, name := range j.delivered() {
			if e := p.environment(name); e != nil && e.Admits != nil && !e.Admits("", "refs/heads/"+e.Branch) {
				d.report("workflow/subject-mismatch", j.key.place(), "%s sends a subject that ends in :ref:…; the role of %s admits :environment:%s alone", j.name(), name, name)
			}
		}
		return
	}
	for _, name := range names.values {
		e := p.environment(name)
		if e == nil {
			d.report("workflow/unknown-environment", at.place(), "slipway.yaml has no environment %s", name)
			continue
		}
		if e.After != "" && !e.Approvals {
			d.report("workflow/missing-approvals", at.place(), "%s is promoted from %s, and nobody has to approve", name, e.After)
		}
		p.compareRefs(j, e)
	}
}

// delivered are the environments that a job's commands of slipway name.
func (j *job) delivered() []string {
	var all []string
	for _, s := range j.steps {
		for _, c := range s.slipway() {
			if w, ok := c.environmentFlag(); ok && c.delivers() {
				all = append(all, w.text)
			}
		}
	}
	return all
}

// compareRefs finds jobs that never run for the branch that the trust pins.
func (p *Project) compareRefs(j *job, e *Environment) {
	if e.Admits == nil || e.Branch == "" {
		return
	}
	for _, t := range j.doc.triggers {
		if t.name != "push" || !j.starts("push") || j.doc.on("workflow_dispatch") {
			continue
		}
		refs := pushed(t.value, e.Branch)
		if len(refs) == 0 || slices.ContainsFunc(refs, func(ref string) bool { return e.Admits(e.Name, ref) }) {
			continue
		}
		j.doc.report("workflow/subject-mismatch", t.key.place(), "%s runs for %s; the role of %s admits refs/heads/%s alone", j.name(), strings.Join(refs, ", "), e.Name, e.Branch)
	}
}

// pushed are the refs that a push filter names, those with a wildcard in them
// standing for the branch where they match it. None means any.
func pushed(push node, branch string) []string {
	var refs []string
	for _, b := range push.get("branches").texts() {
		switch {
		case strings.HasPrefix(b, "!"):
		case !strings.ContainsAny(b, "*?[+"):
			refs = append(refs, "refs/heads/"+b)
		case match(b, branch):
			refs = append(refs, "refs/heads/"+branch)
		default:
			return nil
		}
	}
	if refs == nil && !push.get("branches-ignore").ok() {
		for _, t := range push.get("tags").texts() {
			refs = append(refs, "refs/tags/"+t)
		}
	}
	return refs
}

// match says whether a pattern is of the name; one that GitHub can't read is of
// none.
func match(pattern, name string) bool {
	p, err := trigger.ParsePattern(pattern)
	return err == nil && p.Match(name)
}

// compareFilter holds a deploying workflow's path filter to the agents' paths.
func (p *Project) compareFilter(d *document) {
	for _, t := range d.triggers {
		paths := t.value.get("paths")
		if t.name != "push" || !paths.ok() || !slices.ContainsFunc(d.jobs, (*job).deliversAgent) {
			continue
		}
		f := filter{d, t.value.at("paths").key, paths.texts()}
		for _, a := range p.Agents {
			if a.Path != "" && a.Path != "." && !f.holds(a.Path+"/x") {
				d.report("workflow/path-filters", f.at.place(), "the filter leaves %s out, where agent %s is built from", a.Path, a.Name)
			}
		}
	}
}
