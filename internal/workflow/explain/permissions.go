package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/rhysd/actionlint"
)

// level is how much of a permission a token has.
type level int

const (
	none level = iota
	read
	write
)

func (l level) String() string { return [...]string{"none", "read", "write"}[l] }

// levelOf is a level by its name.
func levelOf(name string) (level, bool) {
	i := slices.Index([]string{"none", "read", "write"}, name)
	return level(max(i, 0)), i >= 0
}

// scopes are the permissions that there are, but for those of readable.
func scopes() []string {
	return []string{"actions", "artifact-metadata", "attestations", "checks", "contents", "deployments", "discussions", "id-token", "issues",
		"packages", "pages", "pull-requests", "repository-projects", "security-events", "statuses"}
}

// readable are permissions that nobody can have more of than read.
func readable() []string { return []string{"models", "vulnerability-alerts"} }

// granted are permissions by scope, nil where they are not stated in a way that
// GitHub takes (GitHub docs: Workflow syntax, permissions).
func granted(p *actionlint.Permissions) map[string]level {
	if p == nil {
		return nil
	}
	levels := map[string]level{}
	if p.All != nil {
		all, ok := map[string]level{"read-all": read, "write-all": write}[p.All.Value]
		if !ok {
			return nil
		}
		for _, scope := range scopes() {
			levels[scope] = all
		}
		for _, scope := range readable() {
			levels[scope] = read
		}
		return levels
	}
	for name, scope := range p.Scopes {
		l, ok := levelOf(text(scope.Value))
		if !ok {
			return nil
		}
		levels[name] = l
	}
	return levels
}

// asked are granted, as a called workflow asks for them. Not every GitHub has
// those of readable, so read-all may not mean them.
func asked(p *actionlint.Permissions) map[string]level {
	levels := granted(p)
	if p != nil && p.All != nil {
		for _, scope := range readable() {
			delete(levels, scope)
		}
	}
	return levels
}

// restricted is the less of the two defaults that a repository can have
// (GitHub docs: Managing GitHub Actions settings for a repository).
func restricted() map[string]level { return map[string]level{"contents": read, "packages": read} }

// permissions are a job's own, its workflow's, or those of whoever calls that.
// Nothing gives id-token: write unasked (GitHub docs: OpenID Connect
// reference).
func (r *run) permissions(j *actionlint.Job) *actionlint.Permissions {
	return cmp.Or(j.Permissions, r.workflow.Permissions, r.granted)
}

// overreach is the first call, in a run or in those that it calls, of a
// workflow that asks for more than the calling job has; "" for none. Because of
// one GitHub runs no job at all, whatever their conditions (GitHub docs: Reuse
// workflows, "Supported keywords"). calls are those that were looked into.
func (r *run) overreach(calls *int) string {
	for _, j := range inOrder(r.workflow.Jobs, func(j *actionlint.Job) *actionlint.Pos { return j.Pos }) {
		if j.WorkflowCall == nil {
			continue
		}
		file, local := strings.CutPrefix(text(j.WorkflowCall.Uses), "./")
		callers := append(slices.Clone(r.callers), r.file)
		if !local || slices.Contains(callers, file) || *calls == mostCalls {
			continue
		}
		*calls++
		called, problem := parse(file, r.Files[file])
		if problem != "" {
			continue
		}
		inner := run{Explainer: r.Explainer, workflow: called, file: file, granted: r.permissions(j), callers: callers}
		if most := granted(inner.granted); most != nil {
			if more := beyond(called, file, most); more != "" {
				return more + " from the job " + j.ID.Value + " of " + r.file
			}
		}
		if more := inner.overreach(calls); more != "" {
			return more
		}
	}
	return ""
}

// beyond says what of a called workflow asks for more than there is; "" for
// nothing.
func beyond(called *actionlint.Workflow, file string, most map[string]level) string {
	if more := above(asked(called.Permissions), most); more != "" {
		return file + " asks for " + more
	}
	for _, j := range inOrder(called.Jobs, func(j *actionlint.Job) *actionlint.Pos { return j.Pos }) {
		if more := above(asked(j.Permissions), most); more != "" {
			return "the job " + j.ID.Value + " of " + file + " asks for " + more
		}
	}
	return ""
}

// above lists what is asked for beyond what there is, and that; "" for nothing.
func above(asked, most map[string]level) string {
	var more, but []string
	for _, scope := range append(scopes(), readable()...) {
		l := asked[scope]
		if slices.Contains(readable(), scope) {
			l = min(l, read)
		}
		if l > most[scope] {
			more = append(more, scope+": "+l.String())
			but = append(but, scope+": "+most[scope].String())
		}
	}
	if more == nil {
		return ""
	}
	return strings.Join(more, ", ") + ", and gets " + strings.Join(but, ", ")
}
