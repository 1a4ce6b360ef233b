package explain

import (
	"slices"
	"strings"

	"github.com/rhysd/actionlint"

	"github.com/slipway-cd/slipway/internal/workflow/expr"
)

// places are where a job runs, one for each environment that its matrix makes.
// A job without an environment has one place if it may ask for a token.
func (r *run) places(j *actionlint.Job, out *Job, m matrix) []Place {
	places := []Place{}
	if j.Environment == nil || j.Environment.Name == nil {
		if out.Token {
			places = append(places, r.place(j, out, m, 0, expr.Known("")))
		}
		return places
	}
	for row := range max(1, len(m.rows)) {
		name := r.jobScope(j, out, m, row, false).Template(j.Environment.Name.Value)
		if !name.Unknown() && expr.InText(name.Of) == "" {
			name = expr.Known("")
		}
		p := r.place(j, out, m, row, name)
		if !slices.ContainsFunc(places, func(other Place) bool { return samePlace(p, other) }) {
			places = append(places, p)
		}
	}
	return places
}

func samePlace(a, b Place) bool {
	return a.Environment == b.Environment && a.Role == b.Role && slices.Equal(a.DependsOn, b.DependsOn)
}

// jobScope is what names mean within a job, in one combination of its matrix.
// env: is there for its steps alone.
func (r *run) jobScope(j *actionlint.Job, out *Job, m matrix, row int, steps bool) scope {
	var s scope
	s.Lookup = func(path []string) expr.Value {
		return m.lookup(path, row, func() expr.Value {
			if steps && path[0] == "env" && len(path) == 2 {
				return r.env(j, path, s)
			}
			return r.lookup(path, out.Needs)
		})
	}
	return s
}

// env is a variable of the job or the workflow. Those are not made of each
// other (GitHub docs: Workflow syntax, env).
func (r *run) env(j *actionlint.Job, path []string, s scope) expr.Value {
	for _, env := range []*actionlint.Env{j.Env, r.workflow.Env} {
		if env == nil {
			continue
		}
		if env.Expression != nil {
			return expr.Unread(path)
		}
		if v := env.Vars[path[1]]; v != nil {
			inner := scope{Scope: expr.Scope{Lookup: func(p []string) expr.Value {
				if p[0] == "env" {
					return expr.Unread(p)
				}
				return s.Lookup(p)
			}}}
			return inner.Template(text(v.Value))
		}
	}
	return expr.Unread(path)
}

// place is one environment, as far as its name is known.
func (r *run) place(j *actionlint.Job, out *Job, m matrix, row int, name expr.Value) Place {
	p := Place{DependsOn: name.DependsOn}
	if !name.Unknown() {
		p.Environment = expr.InText(name.Of)
	}
	stated, known := r.environment(p.Environment)
	p.Known = known
	p.Reviewers = stated.Reviewers
	if known {
		p.Branch = stated.Branch
		p.Refused = stated.Branch != "" && r.Event.Ref != "" && r.Event.Ref != "refs/heads/"+stated.Branch
	}
	if !out.Token {
		return p
	}
	if !name.Unknown() {
		p.Subject = r.subject(p.Environment)
	}
	r.role(&p, r.jobScope(j, out, m, row, true), j, stated)
	return p
}

// environment finds one of slipway.yaml. To GitHub names have no case.
func (r *run) environment(name string) (Environment, bool) {
	for known, e := range r.Environments {
		if strings.EqualFold(known, name) {
			return e, true
		}
	}
	return Environment{}, false
}

// subject is the sub of the token (GitHub docs: OpenID Connect reference,
// "Example subject claims"), "" where the repository is not known.
func (r *run) subject(environment string) string {
	switch e := r.Event; {
	case r.Repository == "":
		return ""
	case environment != "":
		return "repo:" + r.Repository + ":environment:" + strings.ReplaceAll(environment, ":", "%3A")
	case e.Name == "pull_request":
		return "repo:" + r.Repository + ":pull_request"
	case e.Ref == "":
		return ""
	default:
		return "repo:" + r.Repository + ":ref:" + e.Ref
	}
}

// role is the one that the job takes: that of a step of AWS's action, else the
// variable that Slipway reads, else the environment's in slipway.yaml.
func (r *run) role(p *Place, s scope, j *actionlint.Job, stated Environment) {
	named, from := s.roleOfSteps(j)
	if from == "" {
		path := []string{"env", strings.ToLower(roleVariable)}
		if v := r.env(j, path, s); len(v.DependsOn) != 1 || v.DependsOn[0] != expr.Dotted(path) {
			named, from = v, roleVariable
		}
	}
	if from != "" && !named.Unknown() {
		p.Role, p.RoleFrom = expr.InText(named.Of), from
		return
	}
	p.RoleDependsOn = named.DependsOn
	if stated.Role != "" {
		p.Role, p.RoleFrom = stated.Role, "slipway.yaml"
	}
}

// roleVariable names the role to Slipway.
const roleVariable = "AWS_DEPLOY_ROLE_ARN"

// roleOfSteps is the role of the first step that names one, and what names it.
func (s scope) roleOfSteps(j *actionlint.Job) (role expr.Value, from string) {
	for _, step := range j.Steps {
		if action, ok := step.Exec.(*actionlint.ExecAction); ok {
			if input := action.Inputs["role-to-assume"]; input != nil {
				return s.Template(text(input.Value)), "role-to-assume"
			}
		}
		if step.Env == nil {
			continue
		}
		if v := step.Env.Vars[strings.ToLower(roleVariable)]; v != nil {
			return s.Template(text(v.Value)), roleVariable
		}
	}
	return expr.Value{}, ""
}
