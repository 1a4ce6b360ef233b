package trust

import "strings"

// gap is what a pattern leaves open: a wildcard, or a policy variable, which
// takes its value from the token.
const gap = "\x00"

// shape is a policy's value with a gap for whatever it leaves open.
func shape(value string, wildcards, variables bool) string {
	var b strings.Builder
	for len(value) > 0 {
		if at := variable.FindStringSubmatchIndex(value); variables && at != nil && at[0] == 0 {
			if name := value[at[2]:at[3]]; name == "*" || name == "?" || name == "$" {
				b.WriteString(name)
			} else {
				b.WriteString(gap)
			}
			value = value[at[1]:]
			continue
		}
		if c := value[:1]; wildcards && (c == "*" || c == "?") {
			b.WriteString(gap)
		} else {
			b.WriteString(c)
		}
		value = value[1:]
	}
	return b.String()
}

func open(shape string) bool { return strings.Contains(shape, gap) }

// beforeGap is what a value says for sure at its beginning.
func beforeGap(shape string) string {
	before, _, _ := strings.Cut(shape, gap)
	return before
}

// subject is the shape of a sub value in its parts.
type subject struct {
	text        string
	repo        bool   // begins with repo:
	owner, name string // with their ids, as far as a gap does not swallow them
	slash       bool   // owner ends before a gap swallows what follows
	colon       bool   // so does name
	context     string
}

func parseSubject(shape string) subject {
	s := subject{text: shape}
	rest, ok := strings.CutPrefix(shape, "repo:")
	if !ok {
		return s
	}
	s.repo = true
	s.owner, rest, s.slash = strings.Cut(rest, "/")
	if s.slash {
		s.name, s.context, s.colon = strings.Cut(rest, ":")
	} else if at := strings.LastIndex(s.owner, gap+":"); at >= 0 {
		s.context = s.owner[at+len(gap)+1:]
	}
	return s
}

// openings names the rules that a subject's wildcards break, before its
// context.
func (s subject) openings() []string {
	if !s.repo {
		if before := beforeGap(s.text); open(s.text) && strings.HasPrefix("repo:", before) {
			return []string{"trust/wildcard-subject"}
		}
		return nil
	}
	var rules []string
	switch {
	case !open(s.owner):
	case strings.Contains(beforeGap(s.owner), "@"):
		rules = append(rules, "trust/wildcard-id")
	case !s.slash && beforeGap(s.owner) == "":
		rules = append(rules, "trust/wildcard-subject")
	default:
		rules = append(rules, "trust/wildcard-owner")
	}
	switch {
	case !open(s.name):
	case strings.Contains(beforeGap(s.name), "@"):
		rules = append(rules, "trust/wildcard-id")
	default:
		rules = append(rules, "trust/wildcard-repository")
	}
	return rules
}

// contextOpen says whether the subject leaves its context open.
func (s subject) contextOpen() bool {
	return open(s.context) || s.context == "" && strings.HasSuffix(s.text, gap)
}

// exact says whether the subject names one repository, whatever the context.
func (s subject) exact() bool {
	return s.repo && s.slash && s.colon && !open(s.owner) && !open(s.name)
}

// repository is the one that an exact subject names.
func (s subject) repository() Repository {
	var r Repository
	r.Owner, r.OwnerID, _ = strings.Cut(s.owner, "@")
	r.Name, r.ID, _ = strings.Cut(s.name, "@")
	return r
}

// mayBe says whether the context's certain beginning, which has to be
// something, goes with that of a context.
func (s subject) mayBe(context string) bool {
	before := beforeGap(s.context)
	return before != "" && (strings.HasPrefix(context, before) || strings.HasPrefix(before, context)) &&
		(open(s.context) || strings.HasPrefix(before, context))
}
