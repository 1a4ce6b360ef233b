package awsauth

import (
	"fmt"
	"strings"
)

// hints says what to change after an AccessDenied, most telling first. It
// never proposes to trust another repository's subject.
func (w *webIdentity) hints(claims map[string]string) []string {
	if claims == nil {
		return []string{"the role's trust policy does not admit this job: compare its conditions with the token's sub and aud"}
	}
	repository, context := splitSubject(claims["sub"])
	if w.expect.Repository != "" && names(repository) != names(w.expect.Repository) {
		return []string{otherRepository(names(repository), names(w.expect.Repository))}
	}
	var hints []string
	if hint := w.expect.contextHint(context); hint != "" {
		hints = append(hints, hint)
	}
	hints = append(hints, w.formHints(repository)...)
	for _, c := range w.compare(claims) {
		if hint := claimHint(c); hint != "" {
			hints = append(hints, hint)
		}
	}
	if len(hints) == 0 {
		hints = append(hints, "the token is what slipway.yaml implies, so the role is what differs: "+
			"does it exist in account "+accountOf(w.role)+", and does its trust policy name the OIDC provider of the same account? "+
			"slipway bootstrap --dry-run shows an administrator what differs")
	}
	if w.expect.admits(claims) {
		hints = append(hints, "the role's trust policy must hold, under StringEquals: sub "+claims["sub"]+" and aud "+claims["aud"])
		if w.expect.Ref == "" && claims["ref"] != "" {
			hints = append(hints, "if it has a condition on ref, that must admit "+claims["ref"]+"; branch: of the environment in slipway.yaml says which is meant")
		}
	}
	return hints
}

func otherRepository(got, want string) string {
	if strings.EqualFold(got, want) {
		return fmt.Sprintf("the token is from %s, slipway.yaml says %s: they differ by case, and IAM compares exactly", got, want)
	}
	return fmt.Sprintf("the token is from %s, slipway.yaml says github: %s; a job of another repository can't deliver here", orNone(got), want)
}

// contextHint explains a subject that ends otherwise than implied.
func (e Expect) contextHint(got string) string {
	want := e.context()
	kind, value, _ := strings.Cut(got, ":")
	switch {
	case want == "" || got == want:
		return ""
	case kind == "pull_request":
		return "this job was started by a pull request; those are not trusted to deliver: run it on a push or by hand"
	case e.Environment != "" && kind == "ref":
		return fmt.Sprintf("the job names no environment: add `environment: %s` to the job, and its subject ends in :%s", e.Environment, want)
	case e.Environment != "" && kind == "environment":
		return fmt.Sprintf("the job names the environment %s, this role is for %s", value, e.Environment)
	case kind == "environment":
		return fmt.Sprintf("the job names the environment %s, so its subject does not end in :%s", value, want)
	}
	return ""
}

// formHints explains the two forms of a subject: names, or names with ids.
func (w *webIdentity) formHints(repository string) []string {
	sent, wanted := strings.Contains(repository, "@"), strings.Contains(w.expect.Repository, "@")
	switch {
	case sent && !wanted:
		name, _ := splitSubject(w.expect.subject())
		if name == "" {
			name = names(repository)
		}
		return []string{fmt.Sprintf("this repository sends numeric ids in its subject (created, renamed or transferred since 2026-07-15): "+
			"a trust policy that says repo:%s:… does not match repo:%s:…", name, repository)}
	case wanted && !sent && repository != "":
		return []string{"this repository sends names in its subject, slipway.yaml gives ids: the trust policy may expect the other form"}
	case sent && repository != w.expect.Repository && wanted:
		return []string{"the ids differ: the repository, or its owner, is not the one that was trusted but another one of the same name"}
	}
	return nil
}

func claimHint(c Claim) string {
	if c.OK {
		return ""
	}
	switch c.Name {
	case "aud":
		return fmt.Sprintf("the token is for the audience %s, want %s", orNone(c.Got), c.Want)
	case "repository_id":
		return fmt.Sprintf("the repository's id is %s, want %s: a repository made anew under an old name is another one", orNone(c.Got), c.Want)
	case "ref":
		return fmt.Sprintf("the job runs on %s, this environment takes %s", orNone(c.Got), c.Want)
	}
	return ""
}

// splitSubject cuts repo:<repository>:<context>.
func splitSubject(sub string) (repository, context string) {
	rest, ok := strings.CutPrefix(sub, "repo:")
	if !ok {
		return "", sub
	}
	repository, context, _ = strings.Cut(rest, ":")
	return repository, context
}

// names drops the ids of owner@id/name@id.
func names(repository string) string {
	owner, name, _ := strings.Cut(repository, "/")
	owner, _, _ = strings.Cut(owner, "@")
	name, _, _ = strings.Cut(name, "@")
	if name == "" {
		return owner
	}
	return owner + "/" + name
}
