package trigger

import (
	"fmt"
	"slices"
	"strings"
)

// Event is something that happens in a repository. What is not known of it is
// left out.
type Event struct {
	Name string // push, pull_request, workflow_dispatch …
	Type string // its activity, as in opened; "" where that is not known
	Ref  string // of a push: refs/heads/main, refs/tags/v1
	Base string // of a pull request: the branch it asks to be merged into
	// Changed are the files that it changes, from the repository's root.
	// Compared says that they are known, even where there are none.
	Changed  []string
	Compared bool
	// Commits is how many a push brings, as far as that is known.
	Commits int
}

// On is what a workflow says of one event, in the words of its file. An empty
// list is a key that is not there.
type On struct {
	Event                    string
	Types                    []string
	Branches, BranchesIgnore []string
	Tags, TagsIgnore         []string
	Paths, PathsIgnore       []string
	Workflows                []string // of workflow_run
	Crons                    []string // of schedule
	Inputs                   []Input  // of workflow_dispatch
}

// Verdict is whether something runs.
type Verdict string

// The verdicts.
const (
	Runs    Verdict = "runs"
	Skipped Verdict = "skipped"
	// Depends is on what Decision.DependsOn lists.
	Depends Verdict = "depends"
)

// Decision is a verdict with its reason.
type Decision struct {
	Verdict   Verdict
	Because   string
	DependsOn []string
}

// GitHub's limits on path filters (GitHub docs: Workflow syntax, "Git diff
// comparisons"): above the first the diff is cut, above the second it is not
// made and the workflow runs.
const (
	MostFiles   = 300
	MostCommits = 1000
)

// Decide says whether an event of the name starts the workflow. Its error is a
// filter that GitHub refuses: such a workflow does not run at all.
func (o On) Decide(e Event) (Decision, error) {
	branches, err := either("branches", o.Branches, o.BranchesIgnore)
	if err != nil {
		return Decision{}, err
	}
	tags, err := either("tags", o.Tags, o.TagsIgnore)
	if err != nil {
		return Decision{}, err
	}
	paths, err := either("paths", o.Paths, o.PathsIgnore)
	if err != nil {
		return Decision{}, err
	}
	steps := []func() Decision{
		func() Decision { return o.byType(e) },
		func() Decision { return byRef(e, branches, tags) },
		func() Decision { return byPath(e, paths) },
	}
	if e.Name == "workflow_run" {
		steps = append(steps, o.byWorkflow)
	}
	return all(o.everything(e), steps), nil
}

// everything is the reason of an event without filters.
func (o On) everything(e Event) string {
	if e.Name == "schedule" {
		return "cron " + strings.Join(o.Crons, ", ")
	}
	return "on " + e.Name
}

// all joins decisions that must each let an event through. The reason is that
// of the last filter there was.
func all(otherwise string, steps []func() Decision) Decision {
	whole := Decision{Verdict: Runs, Because: otherwise}
	for _, step := range steps {
		d := step()
		switch d.Verdict {
		case Skipped:
			return d
		case Depends:
			if whole.Verdict == Runs {
				whole = Decision{Verdict: Depends, Because: d.Because}
			}
			whole.DependsOn = append(whole.DependsOn, d.DependsOn...)
		default:
			if d.Because != "" && whole.Verdict == Runs {
				whole.Because = d.Because
			}
		}
	}
	return whole
}

func runs(because string) Decision { return Decision{Verdict: Runs, Because: because} }

func skipped(format string, args ...any) Decision {
	return Decision{Verdict: Skipped, Because: fmt.Sprintf(format, args...)}
}

func depends(on, format string, args ...any) Decision {
	return Decision{Verdict: Depends, Because: fmt.Sprintf(format, args...), DependsOn: []string{on}}
}

// defaultTypes are the activities that start a workflow which names none:
// nil where that is all of them (GitHub docs: Events that trigger workflows).
func defaultTypes(event string) []string {
	if event == "pull_request" || event == "pull_request_target" {
		return []string{"opened", "synchronize", "reopened"}
	}
	return nil
}

func (o On) byType(e Event) Decision {
	types, said := o.Types, "types: "
	if len(types) == 0 {
		types, said = defaultTypes(e.Name), "without types, "+e.Name+" means "
	}
	list := strings.Join(types, ", ")
	switch {
	case len(types) == 0, e.Type == "" && len(o.Types) == 0:
		return runs("")
	case e.Type == "":
		return depends("the activity", "%s%s", said, list)
	case !slices.Contains(types, e.Type):
		return skipped("%s%s, not %s", said, list, e.Type)
	}
	return runs(said + e.Type)
}

// byRef applies the filters of branches and tags. Those of a pull request and
// of its kin are about the branch that it goes to.
func byRef(e Event, branches, tags filterOf) Decision {
	if e.Name != "push" {
		return byBase(e, branches)
	}
	tag, isTag := strings.CutPrefix(e.Ref, "refs/tags/")
	branch, isBranch := strings.CutPrefix(e.Ref, "refs/heads/")
	switch {
	case !branches.set() && !tags.set():
		return runs("")
	case !isTag && !isBranch:
		return depends("the ref", "it has a filter of branches or tags")
	case isTag && !tags.set():
		return skipped("%s without tags: a push of a tag does not start it", branches.key)
	case isBranch && !branches.set():
		return skipped("%s without branches: a push of a branch does not start it", tags.key)
	case isTag:
		return tags.decide(tag)
	}
	return branches.decide(branch)
}

func byBase(e Event, branches filterOf) Decision {
	switch {
	case !branches.set():
		return runs("")
	case e.Base == "":
		return depends("the base branch", "it has a filter: %s", branches.key)
	}
	return branches.decide(e.Base)
}

func (f filterOf) decide(name string) Decision {
	passes, because := f.passes(name)
	if !passes {
		return skipped("%s", because)
	}
	return runs(because)
}

// byPath applies the filter of paths, which does not count for tags.
func byPath(e Event, paths filterOf) Decision {
	switch {
	case !paths.set():
		return runs("")
	case strings.HasPrefix(e.Ref, "refs/tags/"):
		return runs(paths.key + " does not count for tags")
	case e.Commits > MostCommits:
		return runs(fmt.Sprintf("a push of more than %d commits: %s does not count", MostCommits, paths.key))
	case !e.Compared:
		return depends("the changed files", "it has a filter: %s", paths.key)
	case len(e.Changed) == 0:
		return skipped("no file is changed, and it has a filter: %s", paths.key)
	}
	return paths.decideFiles(e.Changed)
}

func (f filterOf) decideFiles(files []string) Decision {
	passed, first := 0, ""
	for _, name := range files {
		if passes, because := f.passes(name); passes {
			passed++
			if passed == 1 {
				first = because
			}
		} else if first == "" && len(files) == 1 {
			return skipped("%s", because)
		}
	}
	switch {
	case passed == 0:
		return skipped("no changed file passes %s", f.key)
	case len(files)-passed >= MostFiles: // the first that GitHub looks at may be others
		return depends("which files GitHub compares", "%s; but GitHub looks at %d of the %d changed files", first, MostFiles, len(files))
	case passed > 1:
		return runs(fmt.Sprintf("%s (and %d more)", first, passed-1))
	}
	return runs(first)
}

// byWorkflow is for workflow_run.
func (o On) byWorkflow() Decision {
	return depends("the workflow that ended", "it waits for %s", strings.Join(o.Workflows, ", "))
}
