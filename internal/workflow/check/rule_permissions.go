package check

import (
	"slices"
	"strings"
)

// checkPermissions looks at what the jobs of a workflow may do.
func (d *document) checkPermissions() {
	top := d.root.at("permissions")
	if strings.EqualFold(top.value.text(), "write-all") {
		d.report("workflow/write-all", top.value.place(), "every job may write everything, and mint tokens")
	}
	if e := top.value.at("id-token"); strings.EqualFold(e.value.text(), "write") {
		d.report("workflow/id-token-for-all-jobs", e.key.place(), "id-token: write for the whole workflow: each job, and each action in it, may mint a token")
	}
	told := top.key.ok()
	for _, j := range d.jobs {
		own := j.node.at("permissions")
		if strings.EqualFold(own.value.text(), "write-all") {
			d.report("workflow/write-all", own.value.place(), "%s may write everything, and mint tokens", j.name())
		}
		if !told && !own.key.ok() && slices.Contains(j.granted(), j) { // else its callers are told
			told = true // once is enough
			d.report("workflow/no-permissions", j.key.place(), "%s has what the repository's settings give by default, which may be everything but a token", j.name())
		}
		j.checkMissingPermissions()
	}
}

// checkMissingPermissions looks for what a job needs and states not to have.
func (j *job) checkMissingPermissions() {
	if !j.token.ok() && !j.calls() && !j.selfHosted() {
		if s, what := j.needsToken(); s != nil {
			j.doc.report("workflow/missing-id-token", s.place(), "%s in %s, which has no id-token: write: GitHub gives it no token", what, j.name())
		}
	}
	permissions := j.permissions()
	if !permissions.key.ok() || permissions.value.text() != "" || !j.token.ok() {
		return
	}
	if permissions.value.get("contents").ok() {
		return
	}
	for _, s := range j.steps {
		if s.action == "actions/checkout" {
			j.doc.report("workflow/missing-contents-read", j.token.place(), "%s checks out, but naming id-token took contents: read away", j.name())
			return
		}
	}
}

// needsToken is the first step that can't do without a token.
func (j *job) needsToken() (*step, string) {
	for _, s := range j.steps {
		if s.action == "aws-actions/configure-aws-credentials" && s.with.fold("role-to-assume").ok() &&
			!s.with.fold("aws-access-key-id").ok() && !s.with.fold("web-identity-token-file").ok() && s.with.fold("role-chaining").text() != "true" {
			return s, "AWS credentials are asked for"
		}
		for _, c := range s.slipway() {
			if slices.ContainsFunc([]string{"deploy", "promote", "rollback", "unlock", "credentials"}, c.has) && !c.has("--dry-run") && !c.has("--help") {
				return s, "slipway delivers"
			}
		}
	}
	return nil, ""
}

// place is where a step's work stands: what it uses or runs.
func (s *step) place() place {
	switch {
	case s.uses.ok():
		return s.uses.place()
	case s.run.ok():
		return s.node.at("run").key.place()
	}
	return s.node.place()
}

// checkTriggers looks at who can start what.
func (d *document) checkTriggers() {
	for _, t := range d.triggers {
		for _, j := range d.jobs {
			if !j.token.ok() || !j.starts(t.name) {
				continue
			}
			switch t.name {
			case "pull_request_target", "workflow_run":
				d.report("workflow/unsafe-trigger", t.key.place(),
					"%s starts %s on the default branch for strangers' pull requests, and the job may mint a token: AWS can't tell it from a push", t.name, j.name())
			case "pull_request":
				if j.mayDeploy(d.during(t.name), map[*job]bool{}) {
					d.report("workflow/pull-request-deploy", j.key.place(), "pull_request starts %s, which may deploy code that nobody has reviewed", j.name())
				}
			}
		}
	}
}
