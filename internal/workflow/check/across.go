package check

import (
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/workflow/trigger"
)

// across compares files that are checked together.
func across(set []*document) {
	for _, d := range set {
		d.checkOrder(set)
	}
	checkFilters(set)
}

// checkOrder finds deliveries that no test holds up: tests that start on the
// same push and that the delivery does not wait for.
func (d *document) checkOrder(set []*document) {
	if d.action {
		return
	}
	for _, j := range d.jobs {
		if !j.deploys() || !j.starts("push") || !d.on("push") || j.waitsForTests() {
			continue
		}
		if beside := besideOf(j, set); beside != nil {
			d.report("workflow/deploy-before-tests", j.key.place(), "%s and the tests of %s start on the same push: red tests stop nothing", j.name(), beside.name())
		}
	}
}

// besideOf is a job with tests that starts on the same push.
func besideOf(j *job, set []*document) *job {
	for _, d := range set {
		if d.action || !d.on("push") {
			continue
		}
		for _, other := range d.jobs {
			if other != j && !other.token.ok() && other.starts("push") && other.hasTests() && !other.waitsFor(j) {
				return other
			}
		}
	}
	return nil
}

func (j *job) hasTests() bool {
	return slices.ContainsFunc(j.steps, func(s *step) bool { return s.tests() != nil })
}

// waitsForTests says whether a job begins after tests of this workflow, or of
// one that it calls.
func (j *job) waitsForTests() bool {
	seen := map[*job]bool{}
	var waits func(*job) bool
	waits = func(at *job) bool {
		for _, n := range at.needed() {
			if seen[n] {
				continue
			}
			seen[n] = true
			if n.hasTests() || n.calls() || waits(n) {
				return true
			}
		}
		return false
	}
	return j.hasTests() || waits(j)
}

func (j *job) waitsFor(other *job) bool {
	for _, n := range j.needed() {
		if n == other || n != j && slices.Contains(n.needed(), other) {
			return true
		}
	}
	return false
}

// filter is the path filter of a push.
type filter struct {
	doc   *document
	at    node // paths
	paths []string
}

// checkFilters compares the path filters of workflows that deploy on a push.
func checkFilters(set []*document) {
	var filters []filter
	for _, d := range set {
		for _, t := range d.triggers {
			paths := t.value.get("paths")
			if t.name != "push" || !paths.ok() || !slices.ContainsFunc(d.jobs, (*job).deploys) {
				continue
			}
			f := filter{d, t.value.at("paths").key, paths.texts()}
			if file := d.inRepository(); file != "" && !f.holds(file) {
				d.report("workflow/path-filters", f.at.place(), "the filter does not hold %s itself: a change of the workflow deploys nothing", file)
			}
			filters = append(filters, f)
		}
	}
	for i, f := range filters {
		for _, o := range filters[:i] {
			if f.overlaps(o) && !f.same(o) {
				f.doc.report("workflow/path-filters", f.at.place(), "this filter and that of %s differ, for the same files", o.doc.name)
			}
		}
	}
}

// inRepository is a workflow's path from the root of its repository, "" where
// its name does not tell.
func (d *document) inRepository() string {
	name := "/" + strings.ReplaceAll(d.name, `\`, "/")
	if i := strings.LastIndex(name, "/.github/workflows/"); i >= 0 {
		return name[i+1:]
	}
	return ""
}

// holds says whether a filter lets a file start a run. One that GitHub can't
// read holds nothing; actionlint says so.
func (f filter) holds(file string) bool {
	parsed, err := trigger.ParseFilter(f.paths)
	in, _ := parsed.Decide(file)
	return err == nil && in
}

// own are the patterns of a filter that are about the agent, not about
// workflows and settings.
func (f filter) own() []string {
	var all []string
	for _, p := range f.paths {
		if !strings.HasPrefix(p, ".github/") && p != "slipway.yaml" {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all
}

func (f filter) same(o filter) bool { return slices.Equal(f.own(), o.own()) }

// overlaps says whether two filters are about some same directory.
func (f filter) overlaps(o filter) bool {
	for _, a := range f.own() {
		for _, b := range o.own() {
			a, b := strings.TrimSuffix(a, "**"), strings.TrimSuffix(b, "**")
			if strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
				return true
			}
		}
	}
	return false
}
